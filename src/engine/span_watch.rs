//! Spans: which of them wait for the verdict of a request that they may be of, and when they may go on.

use super::correlate::join::Request;
use super::correlate::link::Asked;
use super::correlate::slow::SlowSpan;
use super::correlate::spans::{SpanRow, hash_id, hash_text, parse_trace_id};
use super::place::Place;
use super::sites::SiteRef;
use super::timers::{REVISIT, Timer};
use super::topology::Role;
use super::verdict::{Ticket, Verdict};
use super::{Engine, outcome};
use crate::read::Wanted;
use crate::read::evidence::{Nanos, SECOND};
use std::sync::Arc;

/// Open requests of one path that a span is compared with; in a storm on one URL the newest ones.
const SPAN_LOOKS_MAX: usize = 256;
/// Sites of an nginx whose open requests on the path of a span are looked at.
const NGINXES_MAX: usize = 64;

impl Engine {
    /// Takes the server and client spans of one resource. Those whose places are among the `held`, the first one first, the
    /// caller keeps back until [`super::Output::Release`] names them, because they
    /// [`may be a failed request's own`](may_be_own); all others have gone on.
    pub fn handle_spans(&mut self, now: Nanos, place: &Arc<Place>, rows: &[SpanRow], held: &[(usize, Ticket)]) {
        let at = self.site_of(now, place);
        if rows.iter().any(|row| row.is_server() && !row.is_from_nginx()) {
            self.note(at, Role::Spans, place);
            if !self.wanted.wants_samples() {
                Arc::make_mut(&mut self.wanted).want_samples();
            }
        }
        let limit = self.settings.spans_max;
        let mut watched = Vec::with_capacity(held.len());
        let mut held = held.iter().peekable();
        if let Some(site) = self.sites.get_mut(at) {
            let before = site.world.spans.count();
            for (place, row) in rows.iter().enumerate() {
                site.world.has_nginx_spans |= row.is_from_nginx();
                let number = site.world.spans.insert(now, *row, limit);
                if let Some((_, ticket)) = held.next_if(|(held, _)| *held == place) {
                    watched.push((number, *row, *ticket));
                }
            }
            debug_assert!(held.peek().is_none(), "a span waits that is not among the rows, or is out of their order");
            self.spans = (self.spans + site.world.spans.count()).saturating_sub(before);
        }
        for (number, row, ticket) in watched {
            self.watch(now, at, number, &row, ticket);
        }
        self.forget_spans(at);
    }

    /// Takes the spans of any kind that took long: what says where the time of a failed request went.
    pub fn handle_slow(&mut self, spans: impl IntoIterator<Item = SlowSpan>) {
        for span in spans {
            self.slow.insert(span);
        }
    }

    /// The spans of a trace that took long, as far as they are remembered.
    pub fn slow_spans(&self, trace_id: &[u8; 16]) -> &[SlowSpan] {
        self.slow.of_trace(trace_id)
    }

    /// Trace and request ids that requests in sight name, to be asked by [`may_be_own`]. Compare the pointer to see whether
    /// it changed.
    pub fn named(&self) -> Arc<Wanted> {
        self.named.ids()
    }

    /// Lets go of spans past the limit, of the site that has the most.
    fn forget_spans(&mut self, newest: SiteRef) {
        while self.spans > self.settings.spans_max {
            let count = |site: &super::sites::Site| site.world.spans.count();
            let has_most = self.sites.get(newest).is_some_and(|site| count(site) * 2 >= self.spans);
            let most = || self.sites.iter().max_by_key(|(_, site)| count(site)).map(|(at, _)| at);
            let Some(at) = Some(newest).filter(|_| has_most).or_else(most) else { break };
            let Some(site) = self.sites.get_mut(at) else { break };
            let before = site.world.spans.count();
            site.world.spans.shrink();
            let after = site.world.spans.count();
            if after == before {
                break;
            }
            self.spans = (self.spans + after).saturating_sub(before);
            self.release_forgotten(at);
        }
        self.release_forgotten(newest);
    }

    /// Spans that waited when they were forgotten go on.
    pub(super) fn release_forgotten(&mut self, at: SiteRef) {
        let Some(site) = self.sites.get_mut(at) else { return };
        for ticket in site.world.spans.take_forgotten() {
            self.resolve(ticket, None);
        }
    }

    fn watch(&mut self, now: Nanos, at: SiteRef, number: u64, span: &SpanRow, ticket: Ticket) {
        self.holding.hold(ticket, None);
        let verdict = self.verdict_of_trace(span);
        if verdict.is_none() && (span.failed() || self.is_named(span)) {
            if let Some(site) = self.sites.get_mut(at) {
                site.world.spans.wait(number, now, ticket);
                self.waiting.insert(at);
            }
            // Its request's records may come later than it, and wait as long again.
            self.timers.set(now.saturating_add(self.delays.death), Timer::Span(at, number));
        } else {
            self.resolve(ticket, verdict);
        }
    }

    pub(super) fn release_span(&mut self, now: Nanos, at: SiteRef, number: u64) {
        let Some(site) = self.sites.get_mut(at) else { return };
        let Some((since, ticket)) = site.world.spans.waits_since(number) else { return };
        let Some(span) = site.world.spans.get(number).copied() else { return };
        let longest = self.delays.verdict.saturating_add(self.delays.death);
        let waits = self.holding.has(ticket);
        if waits && now < since.saturating_add(longest) && self.is_awaited(&span) {
            self.timers.set(now.saturating_add(REVISIT), Timer::Span(at, number));
            return;
        }
        if let Some(site) = self.sites.get_mut(at) {
            site.world.spans.waited(number);
        }
        self.resolve(ticket, None);
    }

    /// Spans of the linked trace that are the failed request's own get its verdict. A trace id is one trace's wherever it
    /// comes from.
    pub(super) fn resolve_spans(&mut self, at: SiteRef, id: u64, verdict: &Arc<Verdict>) {
        let Some(trace) = verdict.link.trace else { return };
        let Some(asked) = self.sites.get(at).and_then(|site| site.requests.get(id)).map(Asked::of) else { return };
        let sites = &self.sites;
        self.waiting.retain(|at| sites.get(*at).is_some_and(|site| site.world.spans.any_waits()));
        let with_waiting = self.waiting.iter().filter_map(|at| sites.get(*at));
        let own_of = |site: &'_ super::sites::Site| -> Vec<Ticket> {
            let spans = &site.world.spans;
            let own = spans.of_trace(&trace.trace_id).filter(|(_, span)| is_own_span(span, asked));
            own.filter_map(|(number, _)| spans.waits_since(number)).map(|(_, ticket)| ticket).collect()
        };
        let own: Vec<Ticket> = with_waiting.flat_map(own_of).collect();
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
        self.naming(span).find_map(fits)
    }

    /// Requests that name a span's trace or request id.
    fn naming(&self, span: &SpanRow) -> impl Iterator<Item = &Request> {
        self.named.of_span(span).filter_map(|(at, id)| self.sites.get(at)?.requests.get(id))
    }

    /// True when an open request names this span's trace or request id.
    fn is_named(&self, span: &SpanRow) -> bool {
        let open = self.naming(span).filter(|request| request.verdict.is_none());
        open.take(SPAN_LOOKS_MAX).any(|request| names(request, span))
    }

    /// True when an open request may turn out to be this span's.
    fn is_awaited(&self, span: &SpanRow) -> bool {
        // The cheap questions first: there may be hundreds of open requests on one path.
        let in_time = |request: &Request| {
            outcome::failed_at(request).is_some_and(|at| {
                span.start <= at.to.saturating_add(2 * SECOND) && span.end >= at.from.saturating_sub(2 * SECOND)
            })
        };
        let sites = self.topology.nginxes().take(NGINXES_MAX).filter_map(|at| self.sites.get(at));
        let mut on_path = sites.flat_map(|site| {
            site.requests.on_path_of(span).filter(|request| request.verdict.is_none()).take(SPAN_LOOKS_MAX)
        });
        self.is_named(span)
            || (span.is_server() && on_path.any(|request| in_time(request) && Asked::of(request).is_of(span)))
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
