//! The zone of stamps that name none, and the hours at which it changed.
//!
//! nginx prints local time without a zone in its error log, and local time with the zone in its access log
//! (`$time_local`, `$time_iso8601`). So where an access log is at hand, what it says at each time is the zone of its
//! error log too. Daylight saving time shows as a change of it: an hour that is missing, or one that comes twice, which
//! only the order of the lines can tell apart.

pub(super) mod sampling;

use crate::read::evidence::{Nanos, SECOND};

/// Lines of one stream are in order but for so much.
const DISORDER_MAX: Nanos = 90 * SECOND;

/// How far a place's local time is ahead of UTC, at each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Before the first change.
    first: Nanos,
    /// From when (UTC), and how far from then on; in order.
    changes: Vec<(Nanos, Nanos)>,
}

impl Zone {
    /// The same as UTC.
    pub const UTC: Zone = Zone { first: 0, changes: Vec::new() };

    /// The same at all times.
    pub fn fixed(offset: Nanos) -> Zone {
        Zone { first: offset, changes: Vec::new() }
    }

    /// What samples of (UTC, offset) say; `None` without any. Between two samples that differ, the later one's time counts.
    pub fn of_samples(mut samples: Vec<(Nanos, Nanos)>) -> Option<Zone> {
        samples.sort_unstable();
        let mut zone = Zone::fixed(samples.first()?.1);
        for (index, (utc, offset)) in samples.iter().enumerate() {
            // One line alone among others is no change: a client can write something like a stamp.
            let stays = samples.get(index + 1).is_none_or(|next| next.1 == *offset);
            if zone.latest() != *offset && stays {
                zone.changes.push((*utc, *offset));
            }
        }
        Some(zone)
    }

    /// One change.
    pub fn changing(before: Nanos, at: Nanos, after: Nanos) -> Zone {
        Zone { first: before, changes: vec![(at, after)] }
    }

    /// How far it is ahead of UTC at a time in UTC.
    pub fn offset_at(&self, utc: Nanos) -> Nanos {
        let later = self.changes.iter().rev().find(|(from, _)| utc >= *from);
        later.map_or(self.first, |(_, offset)| *offset)
    }

    /// All offsets that it ever has, in order of time.
    pub fn offsets(&self) -> impl Iterator<Item = Nanos> {
        std::iter::once(self.first).chain(self.changes.iter().map(|(_, offset)| *offset))
    }

    fn latest(&self) -> Nanos {
        self.changes.last().map_or(self.first, |(_, offset)| *offset)
    }
}

/// Turns the local stamps of one stream, in the order of its lines, into UTC.
#[derive(Clone, Debug, Default)]
pub struct LocalClock {
    last: Option<Nanos>,
}

impl LocalClock {
    /// UTC of a local stamp. Of the two times that a repeated hour allows it is the first that is not before the line
    /// above.
    pub fn utc(&mut self, zone: &Zone, local: Nanos) -> Nanos {
        let utc = self.look(zone, local);
        self.last = self.last.max(Some(utc));
        utc
    }

    fn look(&self, zone: &Zone, local: Nanos) -> Nanos {
        if zone.changes.is_empty() {
            return local.saturating_sub(zone.first);
        }
        let times = |offset: Nanos| local.saturating_sub(offset);
        let possible = zone.offsets().map(times).filter(|utc| times(zone.offset_at(*utc)) == *utc);
        let mut possible: Vec<Nanos> = possible.collect();
        possible.sort_unstable();
        let not_before = self.last.map_or(Nanos::MIN, |last| last.saturating_sub(DISORDER_MAX));
        if let Some(utc) = possible.iter().find(|utc| **utc >= not_before).or(possible.first()) {
            return *utc;
        }
        // Within the hour that is missing there is no such time: a clock that was set late.
        times(zone.offset_at(times(zone.latest())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::time::{from_utc, rfc3339};

    const HOUR: Nanos = 3_600 * SECOND;

    fn at(month: u32, day: u32, hour: u32, minute: u32) -> Nanos {
        from_utc(2026, month, day, hour, minute, 0).expect("a date")
    }

    /// Central Europe in 2026.
    fn berlin() -> Zone {
        let samples = [
            (at(1, 1, 0, 0), HOUR),
            (at(3, 29, 1, 0), 2 * HOUR),
            (at(7, 1, 0, 0), 2 * HOUR),
            (at(10, 25, 1, 0), HOUR),
            (at(12, 1, 0, 0), HOUR),
        ];
        Zone::of_samples(samples.to_vec()).expect("samples")
    }

    fn check(zone: &Zone, locals: &[Nanos], expected: &[&str]) {
        let mut clock = LocalClock::default();
        let utc: Vec<String> = locals.iter().map(|local| rfc3339(clock.utc(zone, *local))).collect();
        assert_eq!(utc, expected);
    }

    #[test]
    fn an_hour_is_missing_in_spring() {
        check(
            &berlin(),
            &[at(3, 29, 1, 59), at(3, 29, 3, 0), at(3, 29, 3, 1)],
            &["2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:01:00Z"],
        );
        check(&berlin(), &[at(3, 29, 2, 30)], &["2026-03-29T00:30:00Z"]);
    }

    #[test]
    fn an_hour_comes_twice_in_autumn() {
        check(
            &berlin(),
            &[at(10, 25, 1, 59), at(10, 25, 2, 59), at(10, 25, 2, 1), at(10, 25, 2, 59), at(10, 25, 3, 0)],
            &[
                "2026-10-24T23:59:00Z",
                "2026-10-25T00:59:00Z",
                "2026-10-25T01:01:00Z",
                "2026-10-25T01:59:00Z",
                "2026-10-25T02:00:00Z",
            ],
        );
    }

    #[test]
    fn lines_a_little_out_of_order_stay_where_they_are() {
        check(
            &berlin(),
            &[at(10, 25, 2, 31), at(10, 25, 2, 30), at(10, 25, 2, 31)],
            &["2026-10-25T00:31:00Z", "2026-10-25T00:30:00Z", "2026-10-25T00:31:00Z"],
        );
    }

    #[test]
    fn around_midnight_nothing_happens() {
        let zone = Zone::fixed(-5 * HOUR);
        check(&zone, &[at(6, 30, 23, 59), at(7, 1, 0, 0)], &["2026-07-01T04:59:00Z", "2026-07-01T05:00:00Z"]);
    }
}
