//! Spans that took long, with a short name: what says where the time of a failed request went.
//!
//! A span that is named here lasted a second or more. nginx's timers and Gunicorn's are whole seconds, mostly tens, so the
//! span that took most of a request that ran into one lasted longer, and healthy spans hardly ever do: they cost one comparison.
//! Whether a span failed says nothing of the time, so errors that came quickly are not kept.

use crate::engine::verdict::{Quote, Source, Verdict};
use crate::read::evidence::{MILLISECOND, Nanos, SECOND};
use crate::read::maps::HashMap;
use crate::read::text::quotable;
use std::collections::{BTreeMap, VecDeque};

/// A span that lasts so long is slow.
pub const SLOW_MIN: Nanos = SECOND;
/// Longest name of one, in bytes: a quote shows it with its times.
pub const LABEL_BYTES_MAX: usize = 120;
/// Slow spans of all sites: 4 MiB.
const SPANS_MAX: usize = 16_384;
/// Slow spans of one trace: a request is slow for one or two of them, and each is compared with its children.
const PER_TRACE_MAX: usize = 32;

/// One span that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowSpan {
    /// Never all zero.
    pub trace_id: [u8; 16],
    /// Never all zero.
    pub span_id: [u8; 8],
    /// All zero for a root span.
    pub parent_span_id: [u8; 8],
    /// Start.
    pub start: Nanos,
    /// End, at least [`SLOW_MIN`] later.
    pub end: Nanos,
    /// OTLP `SpanKind` SERVER: the whole of a request as one service saw it.
    pub is_server: bool,
    /// Where it was made: [`crate::engine::place::Place::site`].
    pub site: u64,
    /// `SELECT orders on db.internal`, at most [`LABEL_BYTES_MAX`], as its sender wrote it: not fit to show unchecked.
    pub label: Box<str>,
}

impl SlowSpan {
    /// How long it took.
    pub fn took(&self) -> Nanos {
        self.end.saturating_sub(self.start)
    }
}

/// A bounded set of slow spans, by trace.
#[derive(Debug, Default)]
pub struct SlowSpans {
    traces: HashMap<[u8; 16], Vec<SlowSpan>>,
    /// The traces in the order in which they were seen first, by the site that began each: one that has many pushes out its
    /// own.
    order: BTreeMap<u64, VecDeque<[u8; 16]>>,
    count: usize,
}

impl SlowSpans {
    /// Remembers a span; one that came before is not taken again.
    pub fn insert(&mut self, span: SlowSpan) {
        let (site, trace_id) = (span.site, span.trace_id);
        match self.traces.get_mut(&trace_id) {
            Some(known) if known.len() >= PER_TRACE_MAX => return,
            Some(known) if known.iter().any(|other| other.span_id == span.span_id) => return,
            Some(known) => known.push(span),
            None => {
                self.traces.insert(trace_id, vec![span]);
                self.order.entry(site).or_default().push_back(trace_id);
            }
        }
        self.count += 1;
        while self.count > SPANS_MAX && self.forget_one(site) {}
    }

    /// How many are remembered.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Those of a trace, in order of arrival.
    pub fn of_trace(&self, trace_id: &[u8; 16]) -> &[SlowSpan] {
        self.traces.get(trace_id).map_or(&[], Vec::as_slice)
    }

    /// The trace that was seen first, of the site that has the most; false where there is none.
    fn forget_one(&mut self, newest: u64) -> bool {
        let all = self.traces.len();
        let has_most = self.order.get(&newest).is_some_and(|order| order.len() * 2 >= all);
        let most = || self.order.iter().max_by_key(|(_, order)| order.len()).map(|(site, _)| *site);
        let Some(site) = Some(newest).filter(|_| has_most).or_else(most) else { return false };
        let Some(order) = self.order.get_mut(&site) else { return false };
        let Some(trace_id) = order.pop_front() else { return false };
        if order.is_empty() {
            self.order.remove(&site);
        }
        self.count -= self.traces.remove(&trace_id).map_or(0, |spans| spans.len()).min(self.count);
        true
    }

    /// Adds to the evidence which span took most of a request's time. `request_time` is how long nginx says it took.
    pub(in crate::engine) fn name(&self, verdict: &mut Verdict, request_time: Option<Nanos>, evidence_max: usize) {
        let Some(trace) = verdict.link.trace else { return };
        let Some(quote) = quote(self.of_trace(&trace.trace_id), request_time) else { return };
        let evidence = &mut verdict.evidence;
        if evidence.len() >= evidence_max {
            // The most telling stands first: the last line gives way, and no conclusion does.
            let is_line = |quote: &Quote| !matches!(quote.source, Source::Why502 | Source::Trace);
            match evidence.iter().rposition(is_line).filter(|place| *place > 1) {
                Some(spare) => drop(evidence.remove(spare)),
                None => return,
            }
        }
        // What a link rests on stands last.
        let last = evidence.len() - usize::from(evidence.last().is_some_and(|quote| quote.source == Source::Trace));
        evidence.insert(last, quote);
    }
}

/// The span of a request's own time, and the one that took most of it by itself.
pub fn slowest(spans: &[SlowSpan]) -> (Option<&SlowSpan>, Option<&SlowSpan>) {
    let whole = spans.iter().filter(|span| span.is_server).max_by_key(|span| span.took());
    let others = spans.iter().filter(|span| whole.is_none_or(|whole| whole.span_id != span.span_id));
    (whole, others.max_by_key(|span| own_time(span, spans)))
}

/// `SELECT orders on db.internal took 29.0 of 30.0 s`, where one span took at least half of the time.
fn quote(spans: &[SlowSpan], request_time: Option<Nanos>) -> Option<Quote> {
    let (whole, slowest) = slowest(spans);
    let slowest = slowest?;
    // A span that is much shorter than the request is not where its time went: it waited before it, or this is a retry.
    let of = whole.map(SlowSpan::took).or(request_time)?;
    if request_time.is_some_and(|time| of < time / 2) || own_time(slowest, spans) < of / 2 {
        return None;
    }
    let words = format!("{} took {} of {} s", slowest.label, seconds(slowest.took()), seconds(of));
    Some(Quote { source: Source::Trace, text: quotable(words), ticket: None })
}

/// The time of a span in which none of its children was busy that were slow themselves.
fn own_time(span: &SlowSpan, spans: &[SlowSpan]) -> Nanos {
    let of_span = |child: &&SlowSpan| child.parent_span_id == span.span_id && child.span_id != span.span_id;
    let mut busy: Vec<(Nanos, Nanos)> = spans
        .iter()
        .filter(of_span)
        .map(|child| (child.start.max(span.start).min(span.end), child.end.min(span.end)))
        .collect();
    busy.sort_unstable();
    let (mut own, mut until) = (span.took(), span.start);
    for (start, end) in busy {
        own = own.saturating_sub(end.saturating_sub(start.max(until)).max(0));
        until = until.max(end);
    }
    own
}

/// `29.0`.
pub fn seconds(time: Nanos) -> String {
    let tenths = time.max(0).saturating_add(50 * MILLISECOND) / (100 * MILLISECOND);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests;
