//! When a record happened: its stamp with the year, the zone and the clock that it lacks.

use super::Record;
use super::correlate::Interval;
use super::correlate::join::FarApart;
use super::correlate::skew::Ahead;
use crate::read::evidence::{Nanos, SECOND};
use crate::read::maps::HashMap;
use crate::read::time::{self, LATE_MIN};

/// Streams of one site whose clock is watched; past it all are forgotten and learned anew.
const STREAMS_MAX: usize = 4_096;

/// Records that come within so long of each other were on their way about as long.
const SAME_BATCH: Nanos = 30 * SECOND;
/// Requests without the keys of a connection that must agree.
const VOTES_MIN: u32 = 3;
/// Zones are whole quarters of an hour apart.
const QUARTER: Nanos = 900 * SECOND;
/// An access line is written after its error lines, by a slow client up to so much.
const SLACK: Nanos = 75 * SECOND;

/// The clocks of one site's streams.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// How far the clocks of streams are ahead of the collector's.
    ahead: HashMap<u64, Ahead>,
    /// When the newest record came whose stamp has a zone, and how long it had been on its way.
    wait: Option<(Nanos, Nanos)>,
    /// The zones of streams whose stamps have none.
    zones: HashMap<u64, Zone>,
}

/// How far local time is ahead of UTC in one stream.
#[derive(Clone, Copy, Debug, Default)]
struct Zone {
    /// As it is taken now.
    offset: Nanos,
    /// A request that another stream tells of as well has shown it.
    shown: bool,
    /// What such requests say of late, and how many in a row.
    vote: Nanos,
    votes: u32,
}

impl Clocks {
    /// When the record happened. `zone` is how far stamps without one are ahead of UTC, where that is set.
    pub(super) fn moment(&mut self, now: Nanos, zone: Option<Nanos>, record: &Record) -> Interval {
        let Some(mut stamp) = record.evidence.stamp else {
            return Interval::about(if record.observed != 0 { record.observed } else { now });
        };
        if !stamp.year_known {
            stamp.nanos = time::nearest_year(stamp.nanos, if record.observed != 0 { record.observed } else { now });
        }
        if !stamp.zone_known {
            let offset = match zone {
                Some(offset) => offset,
                None if record.observed != 0 => self.zone_of(stamp.nanos, record),
                None => 0,
            };
            stamp.nanos = stamp.nanos.saturating_sub(offset);
        } else if stamp.year_known && record.observed != 0 && record.evidence.genuine {
            self.wait = Some((record.observed, record.observed.saturating_sub(stamp.nanos)));
        }
        if record.observed != 0 {
            let id = record.stream.id;
            if self.ahead.len() >= STREAMS_MAX && !self.ahead.contains_key(&id) {
                self.ahead.clear();
            }
            let clock = self.ahead.entry(id).or_default();
            if record.evidence.genuine {
                // The stamp of a half that a client forged says nothing about a clock.
                clock.note(stamp.nanos, record.observed);
            }
            stamp.nanos = stamp.nanos.saturating_sub(clock.lead());
        }
        Interval::of_stamp(stamp)
    }

    /// How far this stamp is ahead of UTC: as a request has shown, else by when its line came, less what other lines that
    /// came then had been on their way.
    fn zone_of(&mut self, local: Nanos, record: &Record) -> Nanos {
        let waited = self.wait.filter(|(came, wait)| {
            *wait >= LATE_MIN && record.observed.saturating_sub(*came).saturating_abs() <= SAME_BATCH
        });
        let written = record.observed.saturating_sub(waited.map_or(0, |(_, wait)| wait));
        if self.zones.len() >= STREAMS_MAX && !self.zones.contains_key(&record.stream.id) {
            self.zones.clear();
        }
        let known = self.zones.entry(record.stream.id).or_default();
        if !known.shown {
            known.offset = zone_offset(local, written).unwrap_or(0);
        }
        known.offset
    }

    /// True when records that come now are late: then the time of their arrival says nothing of their zone.
    pub(super) fn are_late(&self) -> bool {
        self.wait.is_some_and(|(_, wait)| wait >= LATE_MIN)
    }

    /// Two lines tell of one request, and the one in a stream whose stamps have no zone is so much later than the other: if
    /// that can be a difference of zones, it is one, or may be one where the lines share less than their connection.
    /// Returns how much later the stream's stamps were taken for.
    pub(super) fn show_zone(&mut self, pair: FarApart) -> Option<Nanos> {
        let known = self.zones.get_mut(&pair.stream).filter(|known| !known.shown)?;
        // The error line comes first, and up to the slack before the access line.
        let quarters = pair.later.saturating_add(SLACK).div_euclid(QUARTER).saturating_mul(QUARTER);
        let fits = (-SLACK..=SECOND).contains(&pair.later.saturating_sub(quarters));
        let offset = known.offset.saturating_add(quarters);
        if quarters == 0 || !fits || !ZONES.contains(&offset) {
            return None;
        }
        let votes = if known.vote == offset { known.votes + 1 } else { 1 };
        (known.vote, known.votes) = (offset, votes);
        if !pair.exact && votes < VOTES_MIN {
            return None;
        }
        (known.offset, known.shown) = (offset, true);
        Some(quarters)
    }
}

/// How far clocks on Earth are ahead of UTC: -12 to +14 h.
const ZONES: std::ops::RangeInclusive<Nanos> = -12 * 3_600 * SECOND..=14 * 3_600 * SECOND;

/// How far a local stamp is ahead of UTC, in whole quarters of an hour, if it can be a zone at all (-12 to +14 h).
fn zone_offset(local: Nanos, observed: Nanos) -> Option<Nanos> {
    let ahead = local.saturating_sub(observed);
    // A line is observed after it was written, a few minutes late at most.
    let rounded = ahead.saturating_add(QUARTER / 2 + 300 * SECOND).div_euclid(QUARTER).saturating_mul(QUARTER);
    ZONES.contains(&rounded).then_some(rounded)
}
