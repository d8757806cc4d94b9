//! Spans: which of them wait for the verdict of a request that they may be of, and when they may go on.

use super::correlate::join::Request;
use super::correlate::link::Asked;
use super::correlate::spans::{SpanRow, hash_id, hash_text, parse_trace_id};
use super::holding::Held;
use super::place::Place;
use super::verdict::{Ticket, Verdict};
use super::{Engine, STANDALONE_AFTER, Timer, outcome};
use crate::read::Wanted;
use crate::read::evidence::{Nanos, SECOND};
use std::sync::Arc;

/// Open requests of one path that a span is compared with; in a storm on one URL the newest ones.
const SPAN_LOOKS_MAX: usize = 256;

impl Engine {
    /// Takes the server and client spans of one resource. A span that has a ticket is one that the caller keeps back until
    /// [`super::Output::Release`] names it, because it [`may be a failed request's own`](may_be_own); all others have gone on.
    pub fn handle_spans(&mut self, now: Nanos, _place: &Arc<Place>, rows: &[SpanRow]) {
        for row in rows {
            self.world.has_nginx_spans |= row.is_from_nginx();
            let number = self.world.spans.insert(now, *row, self.settings.spans_max);
            if let Some(ticket) = row.held() {
                self.watch(now, number, row, ticket);
            }
        }
        for ticket in self.world.spans.take_forgotten() {
            self.resolve(ticket, None);
        }
    }

    /// Trace and request ids that requests in sight name, to be asked by [`may_be_own`]. Compare the pointer to see whether
    /// it changed.
    pub fn named(&self) -> Arc<Wanted> {
        self.requests.named()
    }

    fn watch(&mut self, now: Nanos, number: u64, span: &SpanRow, ticket: Ticket) {
        self.held.insert(ticket, Held { lane: None, resolved: None });
        let verdict = self.verdict_of_trace(span);
        if verdict.is_none() && (span.failed() || self.is_named(span)) {
            self.world.spans.wait(number, now);
            // Its request's records may come later than it, and wait as long again.
            let due = now.saturating_add(self.settings.hold).saturating_add(STANDALONE_AFTER);
            self.set_timer(due, Timer::Span(number));
        } else {
            self.resolve(ticket, verdict);
        }
    }

    pub(super) fn release_span(&mut self, now: Nanos, number: u64) {
        let Some(since) = self.world.spans.waits_since(number) else { return };
        let Some(span) = self.world.spans.get(number).copied() else { return };
        if !self.held.contains_key(&span.ticket) {
            self.world.spans.waited(number);
            return;
        }
        let longest = self.settings.hold.saturating_mul(2).saturating_add(STANDALONE_AFTER);
        if now < since.saturating_add(longest) && self.is_awaited(&span) {
            self.set_timer(now.saturating_add(SECOND), Timer::Span(number));
            return;
        }
        self.world.spans.waited(number);
        self.resolve(span.ticket, None);
    }

    /// Spans of the linked trace that are the failed request's own get its verdict.
    pub(super) fn resolve_spans(&mut self, id: u64, verdict: &Arc<Verdict>) {
        let Some(trace) = verdict.link.trace else { return };
        let Some(asked) = self.requests.get(id).map(Asked::of) else { return };
        let of_trace = self.world.spans.of_trace(&trace.trace_id);
        let own: Vec<Ticket> =
            of_trace.filter(|(_, span)| is_own_span(span, asked)).filter_map(|(_, span)| span.held()).collect();
        for ticket in own {
            self.resolve(ticket, Some(Arc::clone(verdict)));
        }
    }

    /// The verdict of a decided request whose trace this span is.
    fn verdict_of_trace(&self, span: &SpanRow) -> Option<Arc<Verdict>> {
        let fits = |request: &Request| {
            let verdict = request.verdict.as_ref()?;
            let trace = verdict.link.trace?;
            (trace.trace_id == span.trace_id && is_own_span(span, Asked::of(request))).then(|| Arc::clone(verdict))
        };
        self.requests.linked_to(span.trace_id).find_map(|(_, request)| fits(request))
    }

    /// Open requests that share a key with a span.
    fn near(&self, span: &SpanRow) -> impl Iterator<Item = &Request> {
        let open = self.requests.near_span(span).filter(|(_, request)| request.verdict.is_none());
        open.map(|(_, request)| request).take(SPAN_LOOKS_MAX)
    }

    /// True when an open request names this span's trace or request id.
    fn is_named(&self, span: &SpanRow) -> bool {
        self.near(span).any(|request| names(request, span))
    }

    /// True when an open request may turn out to be this span's.
    fn is_awaited(&self, span: &SpanRow) -> bool {
        self.near(span).any(|request| {
            // The cheap questions first: there may be hundreds of open requests on one path.
            let in_time = || {
                outcome::failed_at(request).is_some_and(|at| {
                    span.start <= at.to.saturating_add(2 * SECOND) && span.end >= at.from.saturating_sub(2 * SECOND)
                })
            };
            names(request, span) || (span.is_server() && in_time() && Asked::of(request).is_of(span))
        })
    }
}

/// True for a span that could be a failed request's own: it tells of a failure itself, or it is a server span whose trace
/// or request id is among the `named`. No other span is ever kept back.
pub fn may_be_own(span: &SpanRow, named: &Wanted) -> bool {
    let is_named =
        || named.contains(hash_id(&span.trace_id)) || (span.request_id != 0 && named.contains(span.request_id));
    span.failed() || (!named.is_empty() && (span.is_server() || span.is_from_nginx()) && is_named())
}

/// True when a record of the request carries the span's trace or request id.
fn names(request: &Request, span: &SpanRow) -> bool {
    if request.trace.is_some_and(|trace| trace.trace_id == span.trace_id) {
        return true;
    }
    let request_id = request.access.as_ref().map_or("", |access| access.what.request_id.as_str());
    !request_id.is_empty()
        && (hash_text(request_id.as_bytes()) == span.request_id || parse_trace_id(request_id) == Some(span.trace_id))
}

/// The server or client span of the failed request itself, not one of the calls that its application made.
fn is_own_span(span: &SpanRow, asked: Asked) -> bool {
    span.is_from_nginx() || asked.is_of(span)
}
