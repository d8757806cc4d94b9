//! The rows of about one second, with an index that is made when somebody asks for it.

use super::{SpanRow, hash_id};
use crate::read::evidence::{Nanos, SECOND};

/// Bits of the filter for each row: of a trace that is not here, one bucket in sixteen is searched in vain.
const FILTER_BITS: usize = 16;
/// So many rows are as quickly looked through as an index is asked.
const TAIL_MAX: usize = 64;
/// A bucket that got nothing for so long is most likely done.
const QUIET: Nanos = 2 * SECOND;

/// Rows in order of arrival.
#[derive(Debug)]
pub(super) struct Bucket {
    /// The second in which its rows ended; `None` for those that ended at any time.
    pub(super) second: Option<i64>,
    /// Time on the caller's clock when the first row came.
    pub(super) opened: Nanos,
    /// And the last.
    pub(super) arrived: Nanos,
    /// The earliest end.
    from: Nanos,
    /// The latest end.
    to: Nanos,
    pub(super) rows: Vec<SpanRow>,
    index: Index,
    /// It is among those whose index has to be looked after.
    pub(super) touched: bool,
}

/// Numbers of rows in an order by which they are found.
#[derive(Debug, Default)]
struct Index {
    /// The first so many rows are in it.
    count: usize,
    by_trace: Vec<u16>,
    by_path: Vec<u16>,
    /// Those that have one.
    by_request_id: Vec<u16>,
    /// A bit is set for each trace and request id.
    filter: Vec<u64>,
}

impl Bucket {
    /// An empty one with room for so many rows.
    pub(super) fn new(second: Option<i64>, now: Nanos, room: usize) -> Bucket {
        Bucket {
            second,
            opened: now,
            arrived: now,
            from: Nanos::MAX,
            to: Nanos::MIN,
            rows: Vec::with_capacity(room),
            index: Index::default(),
            touched: false,
        }
    }

    #[inline]
    pub(super) fn push(&mut self, now: Nanos, row: SpanRow) {
        self.arrived = self.arrived.max(now);
        self.from = self.from.min(row.end);
        self.to = self.to.max(row.end);
        self.rows.push(row);
    }

    /// Makes the index anew where it pays; false when that is not needed again.
    pub(super) fn look_after(&mut self, now: Nanos, is_full: bool) -> bool {
        let tail = self.rows.len() - self.index.count;
        let is_done = is_full || self.arrived.saturating_add(QUIET) < now;
        if (is_done && tail > 0) || tail > self.index.count.max(TAIL_MAX) {
            self.index = Index::of(&self.rows);
        }
        self.touched = !is_done;
        self.touched
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let index = &self.index;
        let numbers = index.by_trace.capacity() + index.by_path.capacity() + index.by_request_id.capacity();
        size_of::<Bucket>()
            + self.rows.capacity() * size_of::<SpanRow>()
            + numbers * size_of::<u16>()
            + index.filter.capacity() * size_of::<u64>()
    }

    /// False when no row has the trace or request id with this hash.
    #[inline]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.rows.len() > self.index.count || self.index.may_have(hash)
    }

    /// True when rows may have ended within a time.
    #[inline]
    pub(super) fn overlaps(&self, from: Nanos, to: Nanos) -> bool {
        self.from <= to && self.to >= from
    }

    /// Rows of a trace in order of arrival.
    pub(super) fn of_trace(&self, trace_id: &[u8; 16]) -> impl Iterator<Item = (usize, &SpanRow)> {
        let numbers = self.index.by_trace.as_slice();
        let start = numbers.partition_point(|number| self.key(*number, |row| row.trace_id) < Some(*trace_id));
        let indexed = numbers.get(start..).unwrap_or_default().iter().map_while(|number| self.row(*number));
        let is_of_it = |row: &SpanRow| row.trace_id == *trace_id;
        indexed.take_while(move |(_, row)| is_of_it(row)).chain(self.tail().filter(move |(_, row)| is_of_it(row)))
    }

    /// The last row with a request id.
    pub(super) fn of_request_id(&self, request_id: u64) -> Option<(usize, &SpanRow)> {
        let in_tail = self.tail().filter(|(_, row)| row.request_id == request_id).last();
        if in_tail.is_some() {
            return in_tail;
        }
        let numbers = self.index.by_request_id.as_slice();
        let end = numbers.partition_point(|number| self.key(*number, |row| row.request_id) <= Some(request_id));
        let found = numbers.get(end.checked_sub(1)?).and_then(|number| self.row(*number));
        found.filter(|(_, row)| row.request_id == request_id)
    }

    /// Rows with a path that ended within a time.
    pub(super) fn on_path(&self, path: u64, from: Nanos, to: Nanos) -> impl Iterator<Item = (usize, &SpanRow)> {
        let numbers = self.index.by_path.as_slice();
        let start = numbers.partition_point(|number| self.key(*number, |row| (row.path, row.end)) < Some((path, from)));
        let indexed = numbers.get(start..).unwrap_or_default().iter().map_while(|number| self.row(*number));
        let fits = move |row: &SpanRow| row.path == path && row.end >= from && row.end <= to;
        indexed.take_while(move |(_, row)| fits(row)).chain(self.tail().filter(move |(_, row)| fits(row)))
    }

    /// Rows that are not in the index.
    fn tail(&self) -> impl Iterator<Item = (usize, &SpanRow)> {
        self.rows.iter().enumerate().skip(self.index.count)
    }

    fn row(&self, number: u16) -> Option<(usize, &SpanRow)> {
        self.rows.get(usize::from(number)).map(|row| (usize::from(number), row))
    }

    fn key<K>(&self, number: u16, key: impl Fn(&SpanRow) -> K) -> Option<K> {
        self.rows.get(usize::from(number)).map(key)
    }
}

impl Index {
    fn of(rows: &[SpanRow]) -> Index {
        let all = || (0_u16..=u16::MAX).zip(rows);
        let mut by_trace: Vec<([u8; 16], u16)> = all().map(|(number, row)| (row.trace_id, number)).collect();
        by_trace.sort_unstable();
        let mut by_path: Vec<(u64, Nanos, u16)> = all().map(|(number, row)| (row.path, row.end, number)).collect();
        by_path.sort_unstable();
        let with_id = all().filter(|(_, row)| row.request_id != 0);
        let mut by_request_id: Vec<(u64, u16)> = with_id.map(|(number, row)| (row.request_id, number)).collect();
        by_request_id.sort_unstable();
        let words = (rows.len() * FILTER_BITS).div_ceil(64).next_power_of_two();
        let mut index = Index {
            count: rows.len(),
            by_trace: by_trace.iter().map(|(_, number)| *number).collect(),
            by_path: by_path.iter().map(|(_, _, number)| *number).collect(),
            by_request_id: by_request_id.iter().map(|(_, number)| *number).collect(),
            filter: vec![0; words],
        };
        for row in rows {
            index.note(hash_id(&row.trace_id));
            index.note(row.request_id);
        }
        index
    }

    fn note(&mut self, hash: u64) {
        let at = (hash >> 6) as usize & self.filter.len().wrapping_sub(1);
        if let Some(word) = self.filter.get_mut(at) {
            *word |= 1 << (hash & 63);
        }
    }

    /// False when no row in it has this id.
    #[inline]
    fn may_have(&self, hash: u64) -> bool {
        let at = (hash >> 6) as usize & self.filter.len().wrapping_sub(1);
        self.filter.get(at).is_some_and(|word| word & 1 << (hash & 63) != 0)
    }
}
