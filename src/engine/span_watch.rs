//! Spans: which of them wait for the verdict of a request that they may be of, and when they may go on.

use super::case::Case;
use super::correlate;
use super::correlate::join::Request;
use super::correlate::spans::SpanSeen;
use super::sites::SiteRef;
use super::timers::{REVISIT, Timer};
use super::topology::Role;
use super::verdict::{Ticket, Verdict};
use super::{Decision, Engine, Span};
use super::{gather, outcome};
use crate::read::evidence::{Nanos, SECOND, SpanFacts};
use std::sync::Arc;

/// Open requests of one path that a span is compared with; in a storm on one URL the newest ones.
const SPAN_LOOKS_MAX: usize = 256;

impl Engine {
    /// Takes one server or client span.
    pub fn handle_span(&mut self, now: Nanos, span: Span) -> Decision {
        let Span { ticket, place, facts } = span;
        let at = self.site_of(now, &place);
        if facts.kind == 2 && !facts.from_nginx {
            self.note(at, Role::Spans, &place);
        }
        let failed = facts.error || facts.http_status.is_some_and(|status| status >= 500);
        let left_by_exception = facts.kind == 2 && facts.http_status.is_none() && !facts.method.is_empty();
        let verdict = self.verdict_of_trace(&facts);
        let awaited = verdict.is_none() && self.is_awaited(&facts);
        let held = verdict.is_some() || failed || left_by_exception || awaited;
        let limit = self.settings.spans_max;
        let Some(site) = self.sites.get_mut(at) else { return Decision::Pass };
        site.world.has_nginx_spans |= facts.from_nginx;
        let seen = SpanSeen { ticket, facts, held: held && verdict.is_none(), seen: now, linked: None };
        let (number, forgotten) = site.world.spans.insert(seen, limit);
        if let Some(forgotten) = forgotten.filter(|span| span.held) {
            self.resolve(forgotten.ticket, None);
        }
        if !held {
            return Decision::Pass;
        }
        self.holding.hold(ticket, None);
        match verdict {
            Some(verdict) => self.resolve(ticket, Some(verdict)),
            // Its request's records may come later than it, and wait as long again.
            None => drop(self.timers.set(now.saturating_add(self.delays.death), Timer::Span(at, number))),
        }
        Decision::Hold
    }

    pub(super) fn release_span(&mut self, now: Nanos, at: SiteRef, number: u64) {
        let Some(span) = self.sites.get(at).and_then(|site| site.world.spans.get(number)) else { return };
        let longest = self.delays.verdict.saturating_add(self.delays.death);
        if now < span.seen.saturating_add(longest) && self.is_awaited(&span.facts) {
            self.timers.set(now.saturating_add(REVISIT), Timer::Span(at, number));
            return;
        }
        let ticket = span.ticket;
        self.resolve(ticket, None);
    }

    /// Spans of the linked trace that are the failed request's own get its verdict.
    pub(super) fn resolve_spans(&mut self, now: Nanos, at: SiteRef, id: u64, verdict: &Arc<Verdict>) {
        let Some(trace) = verdict.link.trace else { return };
        let Some(aim) = self.aim_of(at, id) else { return };
        let ties = self.topology.ties(now, at, aim.as_deref(), &self.sites);
        let Some(case) = gather::case_at(&self.sites, at, id, &ties) else { return };
        let own: Vec<Ticket> = case
            .spans_of_trace(&trace.trace_id)
            .filter(|(_, span)| span.held && is_own_span(&span.facts, &case))
            .map(|(_, span)| span.ticket)
            .collect();
        for ticket in own {
            self.resolve(ticket, Some(Arc::clone(verdict)));
        }
    }

    /// The verdict of a decided request whose trace this span is.
    fn verdict_of_trace(&self, facts: &SpanFacts) -> Option<Arc<Verdict>> {
        let fits = |request: &Request| {
            let verdict = request.verdict.as_ref()?;
            let trace = verdict.link.trace?;
            let own = facts.from_nginx || correlate::link::is_target_of(facts, request);
            (trace.trace_id == facts.trace_id && own).then(|| Arc::clone(verdict))
        };
        let sites = self.topology.nginxes().filter_map(|at| self.sites.get(at));
        sites
            .into_iter()
            .find_map(|site| site.requests.linked_to(facts.trace_id).find_map(|(_, request)| fits(request)))
    }

    /// True when an open request may turn out to be this span's.
    fn is_awaited(&self, facts: &SpanFacts) -> bool {
        let sites = self.topology.nginxes().filter_map(|at| self.sites.get(at));
        let mut open = sites.flat_map(|site| {
            site.requests.near_span(facts).filter(|(_, request)| request.verdict.is_none()).take(SPAN_LOOKS_MAX)
        });
        open.any(|(_, request)| {
            if request.trace.is_some_and(|trace| trace.trace_id == facts.trace_id) {
                return true;
            }
            let request_id = request.access.as_ref().map_or("", |access| access.what.request_id.as_str());
            if !request_id.is_empty() && request_id == facts.request_id {
                return true;
            }
            // The cheap questions first: there may be hundreds of open requests on one path.
            let in_time = outcome::failed_at(request).is_some_and(|at| {
                facts.start <= at.to.saturating_add(2 * SECOND) && facts.end >= at.from.saturating_sub(2 * SECOND)
            });
            facts.kind == 2 && in_time && correlate::link::is_target_of(facts, request)
        })
    }
}

/// The server or client span of the failed request itself, not one of the calls that its application made.
fn is_own_span(facts: &SpanFacts, case: &Case<'_>) -> bool {
    facts.from_nginx || correlate::link::same_target(facts, case)
}
