//! The receiver's side: check, scan, send on what proves nothing, hand over the rest.

use super::correlator::{HeldRecord, Message};
use super::streams::Lesson;
use super::{Route, Shared, send_all};
use crate::otlp::{self, Edits, Signal};
use crate::receiver::{Consumer, Refusal};
use crate::scan::{self, FoundRecord};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// When a sender shall come back after it was asked to.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a receiver hands its requests to.
#[derive(Clone, Debug)]
pub struct Intake {
    pub(super) shared: Arc<Shared>,
    /// By signal in the order of [`Signal::ALL`].
    pub(super) routes: [Arc<Route>; 3],
    pub(super) messages: mpsc::Sender<Message>,
}

impl Consumer for Intake {
    async fn consume(&self, signal: Signal, request: Bytes) -> Result<(), Refusal> {
        self.take(signal, request)
    }

    fn refused(&self, refusal: &Refusal) {
        self.shared.counters.refused(refusal.reason());
    }
}

impl Intake {
    fn take(&self, signal: Signal, request: Bytes) -> Result<(), Refusal> {
        let [logs, traces, metrics] = &self.routes;
        let route = match signal {
            Signal::Logs => logs,
            Signal::Traces => traces,
            Signal::Metrics => metrics,
        };
        if route.is_empty() {
            return Err(Refusal::Disabled);
        }
        if self.shared.draining.load(Ordering::Relaxed) {
            return Err(Refusal::ShuttingDown);
        }
        let counts = otlp::check(signal, &request).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let items = counts.items;
        // Nothing to send on; a receiver answers success (OTLP 1.11.0, "Full Success"), and senders should not send it.
        if counts.entries == 0 {
            return Ok(());
        }
        if !route.explained.is_empty() {
            match signal {
                Signal::Logs => self.take_logs(route, &request, items)?,
                Signal::Traces => self.take_traces(route, &request, items)?,
                Signal::Metrics => send_all(&route.explained, signal, &request, items),
            }
        }
        send_all(&route.plain, signal, &request, items);
        self.shared.counters.accepted(signal, items);
        Ok(())
    }

    fn take_logs(&self, route: &Arc<Route>, request: &Bytes, items: u64) -> Result<(), Refusal> {
        let wanted = self.shared.wanted();
        let shared = &self.shared;
        let lesson = Lesson::new(&shared.streams);
        let mut bytes = 0;
        // A request that is refused is read no further than to the record that has no room.
        let admit = |found: &FoundRecord| {
            bytes += found.range.len() + ITEM_OVERHEAD;
            self.has_room(bytes) && self.messages.capacity() > 0
        };
        let Some(scanned) = scan::logs(request, &shared.reader, &lesson, &shared.sites, &wanted, admit) else {
            lesson.forget();
            return Err(Refusal::Overloaded { retry_after: RETRY_AFTER });
        };
        if scanned.found.is_empty() {
            self.count(scanned);
            send_all(&route.explained, Signal::Logs, request, items);
            return Ok(());
        }
        let mut edits = Edits::new();
        let mut held = Vec::with_capacity(scanned.found.len());
        let mut bytes = 0;
        let mut last_shells = None;
        let found_count = scanned.found.len() as u64;
        let (healthy, recognised, unrecognised) = (scanned.healthy, scanned.recognised, scanned.unrecognised);
        for found in scanned.found {
            let Some(item) = request.get(found.range.clone()) else { continue };
            edits.remove(found.range);
            // What surrounds a record counts once for all records in it: it is as long as the sender likes.
            let shells = (found.surroundings.resource_shell().as_ptr(), found.surroundings.scope_shell().as_ptr());
            let shells_len = if last_shells == Some(shells) { 0 } else { found.surroundings.bytes_len() };
            last_shells = Some(shells);
            let weight = item.len() + ITEM_OVERHEAD + shells_len;
            bytes += weight;
            held.push(HeldRecord {
                weight,
                // A copy: a slice would keep the whole request in memory for one record of it.
                bytes: Bytes::copy_from_slice(item),
                surroundings: found.surroundings,
                stream: found.stream,
                observed: found.observed,
                evidences: found.evidences,
            });
        }
        // Before anything of the request is used: its sender shall send all of it again.
        let permit = match self.admit(bytes) {
            Ok(permit) => permit,
            Err(refusal) => {
                lesson.forget();
                return Err(refusal);
            }
        };
        self.shared.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let rest = items.saturating_sub(found_count);
        if rest > 0 {
            send_all(&route.explained, Signal::Logs, &Bytes::from(edits.apply(request)), rest);
        }
        permit.send(Message::Records { records: held, route: Arc::clone(route) });
        self.count(scan::Scanned { found: Vec::new(), healthy, recognised, unrecognised });
        Ok(())
    }

    fn take_traces(&self, route: &Arc<Route>, request: &Bytes, items: u64) -> Result<(), Refusal> {
        let mut spans = Vec::new();
        scan::spans::for_each(request, |found, facts| spans.push((found.item.range(), facts)));
        if spans.is_empty() {
            send_all(&route.explained, Signal::Traces, request, items);
            return Ok(());
        }
        let permit = self.admit(request.len())?;
        self.shared.held_bytes.fetch_add(request.len(), Ordering::Relaxed);
        permit.send(Message::Spans { request: request.clone(), items, spans, route: Arc::clone(route) });
        Ok(())
    }

    fn admit(&self, bytes: usize) -> Result<mpsc::Permit<'_, Message>, Refusal> {
        if !self.has_room(bytes) {
            return Err(Refusal::Overloaded { retry_after: RETRY_AFTER });
        }
        self.messages.try_reserve().map_err(|_| Refusal::Overloaded { retry_after: RETRY_AFTER })
    }

    /// A request that would never fit is taken when nothing else is held.
    fn has_room(&self, bytes: usize) -> bool {
        let held = self.shared.held_bytes.load(Ordering::Relaxed);
        held == 0 || held.saturating_add(bytes) <= self.shared.held_bytes_max
    }

    fn count(&self, scanned: scan::Scanned) {
        if !scanned.healthy.is_empty() {
            self.shared.note_healthy(scanned.healthy);
        }
        self.shared.counters.recognised(&scanned.recognised, scanned.unrecognised);
    }
}

/// What a held item takes beside its bytes: evidence, tickets, entries of maps; measured at about 2 KiB.
pub(super) const ITEM_OVERHEAD: usize = 2_048;
