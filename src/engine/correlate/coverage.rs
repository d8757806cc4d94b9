//! Which times the access logs of a site cover, stream by stream.

use super::Interval;
use crate::read::evidence::{Nanos, SECOND};
use std::collections::{BTreeMap, VecDeque};

/// Seconds of one stream that are remembered: ten minutes, more than any hold.
const SECONDS_MAX: usize = 600;
/// Streams of one site: virtual hosts with a log of their own. Past it the one that was silent the longest is forgotten.
const STREAMS_MAX: usize = 256;
/// A log that wrote within so long of a time was read about then.
pub(super) const READ_ABOUT: Nanos = 300 * SECOND;
/// An access line is written after its error lines, and an idle nginx may have nothing to write for so many seconds.
const SPAN_SECONDS: i64 = 60;
/// So many seconds after a failure its own access line is there, if there is one.
const AFTER_SECONDS: i64 = 3;

/// So many failures of one virtual host without an access line, one after the other and none with one, show that the access
/// logs in sight have none of its requests.
const MISSED_MIN: u32 = 20;
/// One with an access line was seen.
const FOUND: u32 = u32::MAX;
/// Virtual hosts of one site that are told apart.
const HOSTS_MAX: usize = 256;

/// What the access logs of one site cover.
#[derive(Debug, Default)]
pub struct Coverage {
    streams: BTreeMap<u64, Seconds>,
    /// Failures without an access line, by virtual host.
    hosts: BTreeMap<u64, u32>,
}

/// The seconds in which one access log wrote.
#[derive(Debug, Default)]
struct Seconds {
    /// In the order in which they were written, nearly sorted.
    any: VecDeque<i64>,
    /// Those with a healthy answer.
    healthy: VecDeque<i64>,
}

impl Coverage {
    pub(super) fn note(&mut self, stream: u64, at: Nanos, healthy: bool) {
        let second = at.div_euclid(SECOND);
        if self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(&stream) {
            let newest = |seconds: &Seconds| seconds.any.back().copied();
            let silent = self.streams.iter().min_by_key(|(_, seconds)| newest(seconds)).map(|(stream, _)| *stream);
            silent.and_then(|silent| self.streams.remove(&silent));
        }
        let seconds = self.streams.entry(stream).or_default();
        note_second(&mut seconds.any, second);
        if healthy {
            note_second(&mut seconds.healthy, second);
        }
    }

    /// Notes whether a failure of a virtual host has an access line, where it would have been found.
    pub(super) fn note_host(&mut self, host: u64, found: bool) {
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(&host) {
            return;
        }
        let missed = self.hosts.entry(host).or_default();
        *missed = if found || *missed == FOUND { FOUND } else { (*missed + 1).min(FOUND - 1) };
    }

    /// True where the requests of a virtual host are in none of the access logs.
    pub(super) fn has_none_of(&self, host: u64) -> bool {
        self.hosts.get(&host).is_some_and(|missed| (MISSED_MIN..FOUND).contains(missed))
    }

    /// True when one of them wrote at this time or later.
    pub(super) fn has_passed(&self, at: Interval) -> bool {
        let (from, _) = whole(at);
        self.streams.values().any(|seconds| seconds.any.back().is_some_and(|newest| *newest >= from))
    }

    /// True when there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// True when one of them wrote about then.
    pub(super) fn is_about(&self, at: Interval) -> bool {
        self.about(at).next().is_some()
    }

    /// True when one wrote about then, and each that did wrote around this time, so that a request which is missing in
    /// them is missed. A log that ends before this time covers nothing of it.
    pub(super) fn covers(&self, at: Interval) -> bool {
        let mut about = self.about(at).peekable();
        about.peek().is_some() && about.all(|seconds| seconds.cover(at))
    }

    pub(super) fn is_healthy_around(&self, stream: Option<u64>, at: Interval, seconds: i64) -> bool {
        let (from, to) = whole(at);
        let fits = |second: &i64| (from - seconds..=to + seconds).contains(second);
        let of = self.streams.iter().filter(|(id, _)| stream.is_none_or(|stream| stream == **id));
        of.into_iter().any(|(_, of)| of.healthy.iter().rev().any(fits))
    }

    fn about(&self, at: Interval) -> impl Iterator<Item = &Seconds> {
        let (from, to) = whole(at);
        let about = READ_ABOUT / SECOND;
        self.streams
            .values()
            .filter(move |seconds| seconds.any.iter().rev().any(|second| (from - about..=to + about).contains(second)))
    }
}

impl Seconds {
    fn cover(&self, at: Interval) -> bool {
        let (from, to) = whole(at);
        let around = |second: &i64| (from..=to + AFTER_SECONDS).contains(second);
        let before = |second: &i64| (from - SPAN_SECONDS..=to).contains(second);
        let after = |second: &i64| (from..=to + SPAN_SECONDS).contains(second);
        let seconds = &self.any;
        seconds.iter().rev().any(around) || (seconds.iter().rev().any(before) && seconds.iter().rev().any(after))
    }
}

fn whole(at: Interval) -> (i64, i64) {
    (at.from.div_euclid(SECOND), at.to.div_euclid(SECOND))
}

fn note_second(seconds: &mut VecDeque<i64>, second: i64) {
    // Files are merged nearly in order: a repeat is nearly always the newest.
    if seconds.iter().rev().take(8).any(|known| *known == second) {
        return;
    }
    if seconds.len() == SECONDS_MAX {
        seconds.pop_front();
    }
    seconds.push_back(second);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Interval {
        Interval { from: second * SECOND, to: second * SECOND + SECOND - 1 }
    }

    #[test]
    fn a_virtual_host_without_an_access_log_is_told_by_its_many_failures() {
        let mut coverage = Coverage::default();
        for _ in 0..MISSED_MIN {
            assert!(!coverage.has_none_of(1));
            coverage.note_host(1, false);
        }
        assert!(coverage.has_none_of(1) && !coverage.has_none_of(2));
        coverage.note_host(1, true);
        coverage.note_host(1, false);
        assert!(!coverage.has_none_of(1), "one was found");
        (0..2 * HOSTS_MAX as u64).for_each(|host| coverage.note_host(host, false));
        assert_eq!(coverage.hosts.len(), HOSTS_MAX);
        coverage.note(7, 100 * SECOND, true);
        assert!(coverage.has_passed(at(99)) && coverage.has_passed(at(100)) && !coverage.has_passed(at(101)));
    }

    #[test]
    fn coverage_is_of_each_stream_and_of_a_time() {
        let mut coverage = Coverage::default();
        assert!(!coverage.covers(at(100)), "no access log");
        coverage.note(1, 100 * SECOND, true);
        assert!(coverage.covers(at(100)) && coverage.covers(at(98)));
        assert!(!coverage.covers(at(101)), "it ends before");
        assert!(coverage.is_about(at(101)) && !coverage.is_about(at(1_000)));
        coverage.note(1, 110 * SECOND, false);
        assert!(coverage.covers(at(105)), "between two lines");
        coverage.note(2, 90 * SECOND, true);
        assert!(!coverage.covers(at(105)), "the other log may have had it");
        assert!(coverage.is_healthy_around(Some(2), at(95), 5) && !coverage.is_healthy_around(Some(1), at(115), 5));
    }
}
