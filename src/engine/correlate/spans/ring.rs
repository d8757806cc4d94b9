//! The spans of a while, in buckets of the second in which they ended.
//!
//! A row is appended and nothing else is done for it: no map, no index. Who looks for rows of a failed request first calls
//! [`Spans::look_after`], which makes the indexes of the buckets that changed; without it everything is found as well, only
//! more slowly. The bucket that was opened first is forgotten first, so that a sender whose clock is wrong pushes nobody out.

use super::bucket::Bucket;
use super::{PER_TRACE_MAX, SpanRow, hash_id};
use crate::engine::verdict::Ticket;
use crate::read::evidence::{Nanos, SECOND};
use std::collections::{BTreeMap, VecDeque};

/// Bits of a number that say which row of its bucket it is.
const ROW_BITS: u32 = 10;
/// Rows of one bucket at most: what an index of it costs to make, and what is forgotten at once. More of one second make
/// further buckets.
const BUCKET_ROWS_MAX: usize = 1 << ROW_BITS;
/// A bucket takes rows for so long: one that trickles on would keep those behind it from being forgotten.
const OPEN_MAX: Nanos = 60 * SECOND;
/// Spans that ended farther from now have no bucket of their second; more than the time that spans are in sight.
const APART_MAX: Nanos = 200 * SECOND;
/// Buckets at once: seconds within [`APART_MAX`] of now, opened again for late spans, and rows by [`BUCKET_ROWS_MAX`].
const BUCKETS_MAX: usize = 2_048;

/// A bounded set of spans.
#[derive(Debug, Default)]
pub struct Spans {
    /// In the order in which they were opened.
    buckets: VecDeque<Bucket>,
    /// Place of the first of `buckets` among all that there ever were.
    first: u64,
    /// The bucket of each second that takes more.
    open: BTreeMap<Option<i64>, u64>,
    /// The bucket that the last row went to, which the next one most often goes to as well.
    last: Option<u64>,
    count: usize,
    /// Buckets whose index may lack rows.
    touched: Vec<u64>,
    /// Rows whose span waits, with the time on the caller's clock when it came and the name of the caller's copy.
    waiting: BTreeMap<u64, (Nanos, Ticket)>,
    /// Rows of spans that were linked, with the request.
    linked: BTreeMap<u64, u64>,
    /// Tickets of waiting rows that were forgotten.
    forgotten: Vec<Ticket>,
}

impl Spans {
    /// A set whose numbers begin here, at a whole number of buckets.
    pub fn counting_from(first: u64) -> Spans {
        Spans { first: first >> ROW_BITS, ..Spans::default() }
    }

    /// Forgets the bucket that was opened first.
    pub fn shrink(&mut self) {
        self.pop_oldest();
    }

    /// Remembers a span, of at most so many; returns its number.
    #[inline]
    pub fn insert(&mut self, now: Nanos, row: SpanRow, limit: usize) -> u64 {
        let full = rows_max(limit);
        if self.count >= limit.max(1) {
            self.pop_oldest();
        }
        let place = match self.last.filter(|place| self.takes(*place, now, &row, full)) {
            Some(place) => place,
            None => self.open(now, &row, full),
        };
        self.last = Some(place);
        self.count += 1;
        let at = usize::try_from(place.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let Some(bucket) = self.buckets.get_mut(at) else { return 0 };
        if !std::mem::replace(&mut bucket.touched, true) {
            self.touched.push(place);
        }
        bucket.push(now, row);
        place << ROW_BITS | (bucket.rows.len() as u64 - 1)
    }

    /// True when a bucket has room for a row that ended in its second.
    #[inline]
    fn takes(&self, place: u64, now: Nanos, row: &SpanRow, full: usize) -> bool {
        self.bucket(place).is_some_and(|bucket| {
            let same_second = match bucket.second {
                Some(second) => (0..SECOND).contains(&row.end.saturating_sub(second.saturating_mul(SECOND))),
                None => second_of(now, row).is_none(),
            };
            same_second && bucket.rows.len() < full && now.saturating_sub(bucket.opened) < OPEN_MAX
        })
    }

    /// The bucket for a row, a new one where there is none with room.
    fn open(&mut self, now: Nanos, row: &SpanRow, full: usize) -> u64 {
        let second = second_of(now, row);
        let before = self.open.get(&second).copied();
        if let Some(place) = before.filter(|place| self.takes(*place, now, row, full)) {
            return place;
        }
        // Where one bucket of this second is full, the next will be as well.
        let room = before.and_then(|place| self.bucket(place)).map_or(0, |bucket| bucket.rows.len());
        if self.buckets.len() >= BUCKETS_MAX {
            self.pop_oldest();
        }
        let place = self.first + self.buckets.len() as u64;
        self.buckets.push_back(Bucket::new(second, now, if room >= full { full } else { 0 }));
        self.open.insert(second, place);
        place
    }

    /// Forgets spans that came before the horizon on the caller's clock.
    pub fn forget(&mut self, horizon: Nanos) {
        while self.buckets.front().is_some_and(|bucket| bucket.arrived < horizon) {
            self.pop_oldest();
        }
    }

    /// Tickets of spans that waited when they were forgotten; each is told once.
    pub fn take_forgotten(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.forgotten)
    }

    /// Makes the indexes that are out of date. A verdict calls it before it looks for spans.
    pub fn look_after(&mut self, now: Nanos, limit: usize) {
        let full = rows_max(limit);
        let mut touched = std::mem::take(&mut self.touched);
        touched.retain(|place| {
            let at = place.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
            at.and_then(|at| self.buckets.get_mut(at))
                .is_some_and(|bucket| bucket.look_after(now, bucket.rows.len() >= full))
        });
        self.touched = touched;
    }

    /// One span by number.
    pub fn get(&self, number: u64) -> Option<&SpanRow> {
        let row = number & (BUCKET_ROWS_MAX as u64 - 1);
        self.bucket(number >> ROW_BITS)?.rows.get(row as usize)
    }

    /// Notes that a span waits since now, and which the caller's copy is.
    pub fn wait(&mut self, number: u64, now: Nanos, ticket: Ticket) {
        self.waiting.insert(number, (now, ticket));
    }

    /// Since when a span waits, and which the caller's copy is.
    pub fn waits_since(&self, number: u64) -> Option<(Nanos, Ticket)> {
        self.waiting.get(&number).copied()
    }

    /// True when one waits.
    pub fn any_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Notes that a span no longer waits.
    pub fn waited(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// Notes the request that a span is of.
    pub fn link(&mut self, number: u64, request: u64) {
        if self.get(number).is_some() {
            self.linked.insert(number, request);
        }
    }

    /// The open or decided request that a span was linked to.
    pub fn linked(&self, number: u64) -> Option<u64> {
        self.linked.get(&number).copied()
    }

    /// The spans of a trace with their numbers, those of one second in order of arrival.
    pub fn of_trace(&self, trace_id: &[u8; 16]) -> impl Iterator<Item = (u64, &SpanRow)> {
        let hash = hash_id(trace_id);
        let buckets = self.numbered().filter(move |(_, bucket)| bucket.may_have(hash));
        buckets.flat_map(|(base, bucket)| numbers(base, bucket.of_trace(trace_id))).take(PER_TRACE_MAX)
    }

    /// The span whose request header carried this request id, by [`super::hash_text`]; the newest of several.
    pub fn of_request_id(&self, request_id: u64) -> Option<(u64, &SpanRow)> {
        let found =
            |(base, bucket): (u64, &'_ Bucket)| bucket.of_request_id(request_id).map(|(row, _)| base | row as u64);
        let number = self.numbered().rev().filter(|(_, bucket)| bucket.may_have(request_id)).find_map(found)?;
        self.get(number).map(|row| (number, row))
    }

    /// Spans with this path, by [`super::hash_text`], that ended within a time.
    pub fn on_path(&self, path: u64, from: Nanos, to: Nanos) -> impl Iterator<Item = (u64, &SpanRow)> {
        let to = to.max(from);
        let buckets = self.numbered().filter(move |(_, bucket)| bucket.overlaps(from, to));
        buckets.flat_map(move |(base, bucket)| numbers(base, bucket.on_path(path, from, to)))
    }

    /// Spans that ended within a time.
    pub fn within(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = (u64, &SpanRow)> {
        let buckets = self.numbered().filter(move |(_, bucket)| bucket.overlaps(from, to));
        let rows = buckets.flat_map(|(base, bucket)| numbers(base, bucket.rows.iter().enumerate()));
        rows.filter(move |(_, span)| span.end >= from && span.end <= to)
    }

    /// Spans in sight.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.buckets.iter().map(Bucket::bytes).sum()
    }

    fn bucket(&self, place: u64) -> Option<&Bucket> {
        self.buckets.get(usize::try_from(place.checked_sub(self.first)?).ok()?)
    }

    fn numbered(&self) -> impl DoubleEndedIterator<Item = (u64, &Bucket)> + ExactSizeIterator {
        let first = self.first;
        self.buckets.iter().enumerate().map(move |(at, bucket)| ((first + at as u64) << ROW_BITS, bucket))
    }

    fn pop_oldest(&mut self) {
        let Some(bucket) = self.buckets.pop_front() else { return };
        let place = self.first;
        self.first += 1;
        self.count -= bucket.rows.len();
        if self.open.get(&bucket.second) == Some(&place) {
            self.open.remove(&bucket.second);
        }
        // What comes before the first row of the next bucket was in this one.
        let next = self.first << ROW_BITS;
        self.linked = self.linked.split_off(&next);
        let waiting = self.waiting.split_off(&next);
        let forgotten = std::mem::replace(&mut self.waiting, waiting);
        self.forgotten.extend(forgotten.into_values().map(|(_, ticket)| ticket));
    }
}

fn numbers<'a>(
    base: u64,
    rows: impl Iterator<Item = (usize, &'a SpanRow)>,
) -> impl Iterator<Item = (u64, &'a SpanRow)> {
    rows.map(move |(row, span)| (base | row as u64, span))
}

/// Rows of one bucket where so many spans are remembered: of few, a part only is forgotten at once.
fn rows_max(limit: usize) -> usize {
    (limit / 8).clamp(1, BUCKET_ROWS_MAX)
}

/// The second of a row's bucket: that of its end, where it is anywhere near now.
fn second_of(now: Nanos, row: &SpanRow) -> Option<i64> {
    let is_near = row.end.saturating_sub(now).saturating_abs() < APART_MAX;
    is_near.then(|| row.end.div_euclid(SECOND))
}
