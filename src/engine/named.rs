//! Trace and request ids that requests in sight name: by them a span of any site finds its request.

use super::correlate::join::Naming;
use super::correlate::spans::{SpanRow, hash_id};
use super::sites::SiteRef;
use crate::read::Wanted;
use crate::read::maps::HashMap;
use std::sync::Arc;

/// Requests that name one id and are remembered: attempts of one trace, each a request of its own.
const REQUESTS_MAX: usize = 64;

/// Which requests name which id, by its hash.
#[derive(Debug, Default)]
pub(super) struct Named {
    requests: HashMap<u64, Vec<(SiteRef, u64)>>,
    /// The ids, for those who read spans.
    ids: Arc<Wanted>,
}

impl Named {
    /// Takes over what the requests of a site name from now on, or no longer.
    pub(super) fn apply(&mut self, at: SiteRef, changes: impl Iterator<Item = Naming>) {
        for Naming { id, request, named } in changes {
            let requests = self.requests.entry(id).or_default();
            if named && requests.len() < REQUESTS_MAX {
                requests.push((at, request));
            } else if !named {
                requests.retain(|known| *known != (at, request));
            }
            match (requests.is_empty(), named) {
                (true, _) => {
                    self.requests.remove(&id);
                    Arc::make_mut(&mut self.ids).remove(id);
                }
                (false, true) if requests.len() == 1 => Arc::make_mut(&mut self.ids).add(id),
                (false, _) => {}
            }
        }
    }

    /// Hashes of the ids. Compare the pointer to see whether they changed.
    pub(super) fn ids(&self) -> Arc<Wanted> {
        Arc::clone(&self.ids)
    }

    /// Requests that name the trace or request id of a span.
    pub(super) fn of_span(&self, span: &SpanRow) -> impl Iterator<Item = (SiteRef, u64)> {
        let of = |id: u64| self.requests.get(&id).map_or(&[][..], Vec::as_slice);
        let request_id = if span.request_id == 0 { &[][..] } else { of(span.request_id) };
        of(hash_id(&span.trace_id)).iter().chain(request_id).rev().copied()
    }
}
