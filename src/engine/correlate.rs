//! What belongs together: the evidence of one request, the life of one Gunicorn, the trace of one request.

pub mod alignment;
pub mod coverage;
mod groups;
pub mod gunicorn;
pub mod join;
pub mod link;
mod shelf;
pub mod skew;
pub mod slow;
pub mod spans;
pub mod world;

use super::verdict::Ticket;
use crate::read::evidence::{Nanos, SECOND, Stamp};

/// When something happened, as exactly as its stamp says. Both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Earliest.
    pub from: Nanos,
    /// Latest.
    pub to: Nanos,
}

impl Interval {
    /// The time that a stamp stands for: `07:14:39` is any time of that second.
    pub fn of_stamp(stamp: Stamp) -> Interval {
        Interval { from: stamp.nanos, to: stamp.nanos.saturating_add(stamp.grain.max(1) - 1) }
    }

    /// A line without any stamp happened about when it was seen.
    pub fn about(now: Nanos) -> Interval {
        Interval { from: now.saturating_sub(SECOND), to: now.saturating_add(SECOND) }
    }

    /// So much earlier.
    pub fn earlier(self, by: Nanos) -> Interval {
        Interval { from: self.from.saturating_sub(by), to: self.to.saturating_sub(by) }
    }

    /// True when the two may be the same moment, give or take: `other` lies within `[self + before, self + after]`.
    pub fn near(self, other: Interval, before: Nanos, after: Nanos) -> bool {
        other.to >= self.from.saturating_add(before) && other.from <= self.to.saturating_add(after)
    }

    /// How far apart the two surely are; 0 when they overlap.
    pub fn distance(self, other: Interval) -> Nanos {
        if other.from > self.to {
            other.from.saturating_sub(self.to)
        } else if self.from > other.to {
            self.from.saturating_sub(other.to)
        } else {
            0
        }
    }
}

/// One record with what it proves, when, and the caller's name for it.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// The caller's name for the record.
    pub ticket: Ticket,
    /// The log stream.
    pub source: u64,
    /// When it happened.
    pub at: Interval,
    /// The bare line, for quotes; empty for nginx's lines, whose fields say all that is quoted.
    pub text: String,
    /// Hash of the bare line for nginx's lines, else 0: uids are made of it.
    pub words: u64,
    /// What it proves.
    pub what: T,
}
