//! Spans: which of them wait for the verdict of a request that they may be of, and when they may go on.

use super::case::Case;
use super::correlate;
use super::correlate::join::Request;
use super::correlate::spans::SpanSeen;
use super::holding::Held;
use super::verdict::{Ticket, Verdict};
use super::{Decision, Engine, STANDALONE_AFTER, Span, Timer};
use super::{gather, outcome};
use crate::read::evidence::{Nanos, SECOND, SpanFacts};
use std::sync::Arc;

/// Open requests of one path that a span is compared with; in a storm on one URL the newest ones.
const SPAN_LOOKS_MAX: usize = 256;

impl Engine {
    /// Takes one server or client span.
    pub fn handle_span(&mut self, now: Nanos, span: Span) -> Decision {
        let Span { ticket, facts, .. } = span;
        self.world.has_nginx_spans |= facts.from_nginx;
        let failed = facts.error || facts.http_status.is_some_and(|status| status >= 500);
        let left_by_exception = facts.kind == 2 && facts.http_status.is_none() && !facts.method.is_empty();
        let verdict = self.verdict_of_trace(&facts);
        let awaited = verdict.is_none() && self.is_awaited(&facts);
        let held = verdict.is_some() || failed || left_by_exception || awaited;
        let seen = SpanSeen { ticket, facts, held: held && verdict.is_none(), seen: now, linked: None };
        let (number, forgotten) = self.world.spans.insert(seen, self.settings.spans_max);
        if let Some(forgotten) = forgotten.filter(|span| span.held) {
            self.resolve(forgotten.ticket, None);
        }
        if !held {
            return Decision::Pass;
        }
        self.held.insert(ticket, Held { lane: None, resolved: None });
        match verdict {
            Some(verdict) => self.resolve(ticket, Some(verdict)),
            // Its request's records may come later than it, and wait as long again.
            None => self.set_timer(
                now.saturating_add(self.settings.hold).saturating_add(STANDALONE_AFTER),
                Timer::Span(number),
            ),
        }
        Decision::Hold
    }

    pub(super) fn release_span(&mut self, now: Nanos, number: u64) {
        let Some(span) = self.world.spans.get(number) else { return };
        let longest = self.settings.hold.saturating_mul(2).saturating_add(STANDALONE_AFTER);
        if now < span.seen.saturating_add(longest) && self.is_awaited(&span.facts) {
            self.set_timer(now.saturating_add(SECOND), Timer::Span(number));
            return;
        }
        let ticket = span.ticket;
        self.resolve(ticket, None);
    }

    /// Spans of the linked trace that are the failed request's own get its verdict.
    pub(super) fn resolve_spans(&mut self, id: u64, verdict: &Arc<Verdict>) {
        let Some(trace) = verdict.link.trace else { return };
        let Some(request) = self.requests.get(id) else { return };
        let Some(case) = gather::case_of(request, &self.world) else { return };
        let own: Vec<Ticket> = self
            .world
            .spans
            .of_trace(&trace.trace_id)
            .filter(|(_, span)| span.held && is_own_span(&span.facts, &case))
            .map(|(_, span)| span.ticket)
            .collect();
        for ticket in own {
            self.resolve(ticket, Some(Arc::clone(verdict)));
        }
    }

    /// The verdict of a decided request whose trace this span is.
    pub(super) fn verdict_of_trace(&self, facts: &SpanFacts) -> Option<Arc<Verdict>> {
        let fits = |request: &Request| {
            let verdict = request.verdict.as_ref()?;
            let trace = verdict.link.trace?;
            let case = gather::case_of(request, &self.world)?;
            (trace.trace_id == facts.trace_id && is_own_span(facts, &case)).then(|| Arc::clone(verdict))
        };
        self.requests.linked_to(facts.trace_id).find_map(|(_, request)| fits(request))
    }

    /// True when an open request may turn out to be this span's.
    pub(super) fn is_awaited(&self, facts: &SpanFacts) -> bool {
        let open = self.requests.near_span(facts).filter(|(_, request)| request.verdict.is_none());
        open.take(SPAN_LOOKS_MAX).any(|(_, request)| {
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
            facts.kind == 2
                && in_time
                && gather::case_of(request, &self.world).is_some_and(|case| correlate::link::same_target(facts, &case))
        })
    }
}

/// The server or client span of the failed request itself, not one of the calls that its application made.
fn is_own_span(facts: &SpanFacts, case: &Case<'_>) -> bool {
    facts.from_nginx || correlate::link::same_target(facts, case)
}
