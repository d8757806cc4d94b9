//! Good requests that wait for their link, and those that were linked a moment ago. Only where all records are linked.

use super::row::{self, Row};
use super::{Asked, scene::APART_MAX};
use crate::engine::causes::Expected;
use crate::engine::correlate::{Interval, Seen};
use crate::engine::verdict::{Source, Ticket};
use crate::read::evidence::{Nanos, NginxAccess, SECOND, TraceContext};
use crate::read::maps::HashMap;
use std::collections::BTreeMap;

/// Good requests of a site that wait: 50 MiB.
const WAITING_MAX: usize = 100_000;
/// Those that were linked stay so long, because spans that are theirs are not another's.
const STAYS: Nanos = 5 * SECOND;
/// Good requests of one path whose spans a failing one's may be: past it the others are not compared.
const ROWS_MAX: usize = 512;

/// A good request.
#[derive(Clone, Debug)]
pub struct Good {
    /// Its access line.
    pub access: Seen<NginxAccess>,
    /// Trace context that one of its records carries.
    pub trace: Option<TraceContext>,
    /// Its other records: error lines of attempts that a retry made good.
    pub others: Vec<(Source, Ticket)>,
    /// When its link is due.
    pub due: Nanos,
    /// It has its link, and whether that is a trace.
    linked: Option<bool>,
}

impl Good {
    /// One that waits.
    pub fn new(
        access: Seen<NginxAccess>,
        trace: Option<TraceContext>,
        others: Vec<(Source, Ticket)>,
        due: Nanos,
    ) -> Good {
        Good { access, trace, others, due, linked: None }
    }

    /// What it asked for.
    pub fn asked(&self) -> Asked {
        Asked::of_target(&self.access.what.method, &self.access.what.target)
    }

    /// Its attempts, by a clock that is so much ahead.
    pub fn rows(&self, who: u64, ahead: Nanos) -> Vec<Row> {
        let access = &self.access.what;
        let at =
            Interval { from: self.access.at.from.saturating_add(ahead), to: self.access.at.to.saturating_add(ahead) };
        row::attempts(row::whole(who, self.asked(), at, access, Expected::SameStatus), access)
    }
}

/// Names one of them: when it was answered, and which of that moment.
pub type Key = (Nanos, u64);

/// Good requests in order of their answers.
#[derive(Debug, Default)]
pub struct Goods {
    all: BTreeMap<Key, Good>,
    next: u64,
    waiting: usize,
    /// Traces that their records name.
    traces: HashMap<[u8; 16], u32>,
}

impl Goods {
    /// Adds one; true when there are too many now.
    pub fn push(&mut self, good: Good) -> bool {
        self.next += 1;
        if let Some(trace) = good.trace {
            *self.traces.entry(trace.trace_id).or_default() += 1;
        }
        self.all.insert((good.access.at.to, self.next), good);
        self.waiting += 1;
        self.waiting > WAITING_MAX
    }

    /// True when none is known.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// True when none waits.
    pub fn is_idle(&self) -> bool {
        self.waiting == 0
    }

    /// One of them.
    pub fn get(&self, key: Key) -> Option<&Good> {
        self.all.get(&key)
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Nanos> {
        self.all.values().find(|good| good.linked.is_none()).map(|good| good.due)
    }

    /// The first that wait and are due, at most so many.
    pub fn due(&self, until: Nanos, count: usize) -> Vec<Key> {
        let waiting = self.all.iter().filter(|(_, good)| good.linked.is_none());
        waiting.take_while(|(_, good)| good.due <= until).take(count).map(|(key, _)| *key).collect()
    }

    /// It got its link: a trace, or none. Those that were linked long before it are forgotten.
    pub fn linked(&mut self, key: Key, has_trace: bool) {
        let Some(good) = self.all.get_mut(&key) else { return };
        if good.linked.replace(has_trace).is_none() {
            self.waiting -= 1;
        }
        let horizon = key.0.saturating_sub(STAYS);
        while let Some(first) = self.all.first_entry() {
            if first.key().0 >= horizon || first.get().linked.is_none() {
                break;
            }
            if let Some(trace) = first.remove().trace
                && let Some(count) = self.traces.get_mut(&trace.trace_id)
            {
                *count -= 1;
                if *count == 0 {
                    self.traces.remove(&trace.trace_id);
                }
            }
        }
    }

    /// True when the record of one of them names this trace.
    pub fn names(&self, trace_id: &[u8; 16]) -> bool {
        self.traces.contains_key(trace_id)
    }

    /// Those without an exact or sure trace that ended within a time, in order.
    pub fn within(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = (Key, &Good)> {
        let range = (from.saturating_sub(APART_MAX), 0)..=(to.max(from).saturating_add(APART_MAX), u64::MAX);
        let open = self.all.range(range).filter(|(_, good)| good.linked != Some(true) && good.trace.is_none());
        open.map(|(key, good)| (*key, good))
    }

    /// The attempts of those that asked for a path and ended within a time, as far as their clock is known.
    pub fn rows(&self, path: u64, from: Nanos, to: Nanos, ahead: impl Fn(u64) -> Option<Nanos>) -> Vec<Row> {
        let on_path = self.within(from, to).filter(|(_, good)| good.asked().path == path);
        let rows = |(key, good): (Key, &Good)| Some(good.rows(number(key), ahead(good.access.source)?));
        on_path.take(ROWS_MAX).filter_map(rows).flatten().collect()
    }
}

/// A number that no failing request has: those count from 0 within a site.
pub fn number(key: Key) -> u64 {
    key.1 | 1 << 63
}
