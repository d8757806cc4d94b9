//! When a record happened: its stamp with the year, the zone and the clock that it lacks.

use super::correlate::Interval;
use super::{Engine, Record};
use crate::read::evidence::{Nanos, SECOND};
use crate::read::time;

/// Log streams whose clock is watched; past it all are forgotten and learned anew.
const SOURCES_MAX: usize = 4_096;

impl Engine {
    pub(super) fn moment(&mut self, now: Nanos, record: &Record) -> Interval {
        let Some(stamp) = record.evidence.stamp else {
            return Interval::about(if record.observed != 0 { record.observed } else { now });
        };
        let mut stamp = stamp;
        if !stamp.year_known {
            stamp.nanos = time::nearest_year(stamp.nanos, if record.observed != 0 { record.observed } else { now });
        }
        if !stamp.zone_known {
            let offset = match self.settings.zone {
                Some(offset) => offset,
                None if record.observed != 0 => zone_offset(stamp.nanos, record.observed).unwrap_or(0),
                None => 0,
            };
            stamp.nanos = stamp.nanos.saturating_sub(offset);
        }
        if record.observed != 0 {
            if self.ahead.len() >= SOURCES_MAX && !self.ahead.contains_key(&record.stream.id) {
                self.ahead.clear();
            }
            let clock = self.ahead.entry(record.stream.id).or_default();
            if record.evidence.genuine {
                // The stamp of a half that a client forged says nothing about a clock.
                clock.note(stamp.nanos, record.observed);
            }
            let lead = clock.lead();
            stamp.nanos = stamp.nanos.saturating_sub(lead);
        }
        Interval::of_stamp(stamp)
    }
}

/// How far a local stamp is ahead of UTC, in whole quarters of an hour, if it can be a zone at all (-12 to +14 h).
fn zone_offset(local: Nanos, observed: Nanos) -> Option<Nanos> {
    const QUARTER: Nanos = 900 * SECOND;
    let ahead = local.saturating_sub(observed);
    // A line is observed after it was written, a few minutes late at most.
    let rounded = ahead.saturating_add(QUARTER / 2 + 300 * SECOND).div_euclid(QUARTER).saturating_mul(QUARTER);
    (-12 * 3_600 * SECOND..=14 * 3_600 * SECOND).contains(&rounded).then_some(rounded)
}
