//! Spans in sight, by trace, by request id and by time.

use crate::engine::verdict::Ticket;
use crate::read::evidence::{Nanos, SpanFacts};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Spans of one trace that are looked at; a trace may have thousands, a request's own are among the first.
const PER_TRACE_MAX: usize = 64;

/// One remembered span.
#[derive(Clone, Debug)]
pub struct SpanSeen {
    /// The caller's name for it.
    pub ticket: Ticket,
    /// What it proves.
    pub facts: SpanFacts,
    /// Held by the caller until released.
    pub held: bool,
    /// Time on the caller's clock when it came.
    pub seen: Nanos,
    /// The open or decided request that it was linked to.
    pub linked: Option<u64>,
}

/// A bounded set of spans.
#[derive(Debug, Default)]
pub struct Spans {
    /// Number of the first of `seen`.
    first: u64,
    /// In order of arrival, which is the order in which they are forgotten.
    seen: VecDeque<SpanSeen>,
    by_trace: HashMap<[u8; 16], Vec<u64>>,
    by_request_id: HashMap<String, u64>,
    by_end: BTreeMap<(Nanos, u64), ()>,
}

impl Spans {
    /// A set whose numbers begin here.
    pub fn counting_from(first: u64) -> Spans {
        Spans { first, ..Spans::default() }
    }

    /// Remembers a span; returns its number and, when the set is full, the span that was forgotten.
    pub fn insert(&mut self, span: SpanSeen, limit: usize) -> (u64, Option<SpanSeen>) {
        let number = self.first + self.seen.len() as u64;
        let of_trace = self.by_trace.entry(span.facts.trace_id).or_default();
        if of_trace.len() < PER_TRACE_MAX {
            of_trace.push(number);
        }
        if !span.facts.request_id.is_empty() {
            self.by_request_id.insert(span.facts.request_id.clone(), number);
        }
        self.by_end.insert((span.facts.end, number), ());
        self.seen.push_back(span);
        let forgotten = if self.seen.len() > limit.max(1) { self.pop_oldest() } else { None };
        (number, forgotten)
    }

    /// Forgets spans that came before the horizon on the caller's clock; returns those that were still held.
    pub fn forget(&mut self, horizon: Nanos) -> Vec<SpanSeen> {
        let mut held = Vec::new();
        while self.seen.front().is_some_and(|span| span.seen < horizon) {
            if let Some(span) = self.pop_oldest()
                && span.held
            {
                held.push(span);
            }
        }
        held
    }

    /// One span by number.
    pub fn get(&self, number: u64) -> Option<&SpanSeen> {
        self.seen.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// One span by number, to mark it.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut SpanSeen> {
        self.seen.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The spans of a trace with their numbers, in order of arrival.
    pub fn of_trace(&self, trace_id: &[u8; 16]) -> impl Iterator<Item = (u64, &SpanSeen)> {
        let numbers: &[u64] = self.by_trace.get(trace_id).map_or(&[], Vec::as_slice);
        numbers.iter().filter_map(|number| self.get(*number).map(|span| (*number, span)))
    }

    /// The span whose request header carried this request id.
    pub fn of_request_id(&self, request_id: &str) -> Option<(u64, &SpanSeen)> {
        let number = *self.by_request_id.get(request_id)?;
        self.get(number).map(|span| (number, span))
    }

    /// Spans that ended within a time, in order of their end.
    pub fn ending_within(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = (u64, &SpanSeen)> {
        let to = to.max(from);
        self.by_end
            .range((from, 0)..=(to, u64::MAX))
            .filter_map(|((_, number), ())| self.get(*number).map(|span| (*number, span)))
    }

    /// Spans in sight.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    fn pop_oldest(&mut self) -> Option<SpanSeen> {
        let (number, span) = (self.first, self.seen.pop_front()?);
        self.first += 1;
        self.by_end.remove(&(span.facts.end, number));
        if let Some(numbers) = self.by_trace.get_mut(&span.facts.trace_id) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_trace.remove(&span.facts.trace_id);
            }
        }
        if self.by_request_id.get(&span.facts.request_id) == Some(&number) {
            self.by_request_id.remove(&span.facts.request_id);
        }
        Some(span)
    }
}
