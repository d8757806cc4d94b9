//! How far apart a request is by nginx's access line and by its span: learned, from a prior out of recordings.
//!
//! A distribution is a row of bins. Each sample that an id proves adds to its bin, on top of what the prior says, and old
//! samples fade. No single sample moves much, so that a stray or a forged one does not matter.

use crate::read::evidence::{MILLISECOND, Nanos};
use std::collections::VecDeque;

/// The prior counts as so many samples.
const PRIOR_SAMPLES: f64 = 40.0;
/// Samples past which all of them are halved: load changes within minutes.
const SAMPLES_MAX: f64 = 1_024.0;
/// No span was seen to end later than that after its request: such a difference is one of clocks, which are compared first
/// ([`crate::engine::correlate::skew`]).
const CLOCK_IS_WRONG: Nanos = 60 * MILLISECOND;
/// Waits that are remembered: at a thousand requests a second half a second of them, at ten a minute.
const WAITS_MAX: usize = 512;
/// A density outside of all bins, for each second.
const OUTSIDE: f64 = 1e-7;
/// Nothing is known finer than that: the grain of `$msec`, which nginx reads once a turn, and of the start that is computed
/// of it.
const GRAIN: Nanos = 2 * MILLISECOND;

/// Edges of bins in microseconds, with what lies between each and the one before it by the prior.
type Prior = &'static [(i64, f64)];

/// End of the span after the stamp of the access line. 6,701 requests of the lab: half within 0.4 ms, 98 % within -4 to
/// +0.8 ms under sync workers, down to -17 ms under threads at concurrency 50; ASGI spans end up to 14 ms after it.
const END: Prior = &[
    (-60_000_000, 0.0),
    (-1_000_000, 0.000_3),
    (-100_000, 0.000_7),
    (-40_000, 0.001),
    (-20_000, 0.006),
    (-10_000, 0.02),
    (-5_000, 0.03),
    (-2_500, 0.05),
    (-1_200, 0.08),
    (-600, 0.11),
    (-200, 0.17),
    (200, 0.22),
    (600, 0.19),
    (1_000, 0.10),
    (2_000, 0.006),
    (5_000, 0.008),
    (15_000, 0.005),
    (60_000, 0.001),
    (1_000_000, 0.000_7),
    (60_000_000, 0.000_3),
];

/// Start of the span after the start of the request: 1 to 3 ms where a worker is free, else as long as the queue is.
const START: Prior = &[
    (-1_000_000, 0.0),
    (-20_000, 0.000_3),
    (-3_000, 0.001_5),
    (-500, 0.004),
    (300, 0.012),
    (600, 0.04),
    (1_000, 0.13),
    (1_500, 0.20),
    (2_000, 0.14),
    (3_000, 0.09),
    (5_000, 0.06),
    (10_000, 0.06),
    (20_000, 0.05),
    (40_000, 0.05),
    (80_000, 0.05),
    (160_000, 0.03),
    (320_000, 0.02),
    (640_000, 0.02),
    (1_280_000, 0.013),
    (2_560_000, 0.01),
    (5_120_000, 0.007),
    (10_240_000, 0.005),
    (30_720_000, 0.003),
    (61_440_000, 0.001),
];

/// One learned distribution.
#[derive(Clone, Debug)]
struct Histogram {
    prior: Prior,
    counts: Vec<f64>,
    total: f64,
}

impl Histogram {
    fn new(prior: Prior) -> Histogram {
        Histogram { prior, counts: vec![0.0; prior.len()], total: 0.0 }
    }

    fn note(&mut self, apart: Nanos) {
        let apart = apart / 1_000;
        let bin = self.prior.iter().position(|(edge, _)| apart < *edge).filter(|bin| *bin > 0);
        let Some(count) = bin.and_then(|bin| self.counts.get_mut(bin)) else { return };
        *count += 1.0;
        self.total += 1.0;
        if self.total > SAMPLES_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2.0);
            self.total /= 2.0;
        }
    }

    /// The mean density within a time, for each second.
    fn density(&self, from: Nanos, to: Nanos) -> f64 {
        let short = GRAIN.saturating_sub(to.saturating_sub(from)).max(0) / 2;
        let (from, to) = (from.saturating_sub(short) as f64 / 1e3, to.saturating_add(short) as f64 / 1e3);
        let prior_total: f64 = self.prior.iter().map(|(_, share)| share).sum();
        let mut mass = 0.0;
        let mut before = f64::NEG_INFINITY;
        for ((edge, share), count) in self.prior.iter().zip(&self.counts) {
            let edge = *edge as f64;
            let covered = (to.min(edge) - from.max(before)).max(0.0);
            if covered > 0.0 && before.is_finite() {
                let weight = share / prior_total * PRIOR_SAMPLES + count;
                mass += weight * covered / (edge - before);
            }
            before = edge;
        }
        mass / (PRIOR_SAMPLES + self.total) / ((to - from) / 1e6) + OUTSIDE
    }
}

/// What is learned of the requests of one nginx and one class of workers.
#[derive(Clone, Debug)]
pub struct Delays {
    ends: Histogram,
    starts: Histogram,
    /// When a request began and how long it waited for its span, in order of their beginning.
    waits: VecDeque<(Nanos, Nanos)>,
    /// Requests with an id whose span is in sight, and whose span is not.
    arrived: f64,
    lost: f64,
}

impl Default for Delays {
    fn default() -> Delays {
        Delays {
            ends: Histogram::new(END),
            starts: Histogram::new(START),
            waits: VecDeque::new(),
            // As the lab: four of five requests have a span; the others asked for files, or their worker was killed.
            arrived: 8.0,
            lost: 2.0,
        }
    }
}

/// Requests with an id past which their counts are halved.
const ARRIVALS_MAX: f64 = 500.0;
/// A share of spans that arrive is never quite 0 or 1.
const SHARE_MIN: f64 = 0.02;

impl Delays {
    /// Notes a request whose span is known by an id: how much later the span began and ended.
    pub fn note(&mut self, began: Option<(Nanos, Nanos)>, end: Nanos) {
        if end > CLOCK_IS_WRONG {
            return;
        }
        self.ends.note(end);
        if let Some((at, wait)) = began {
            self.starts.note(wait);
            self.note_wait(at, wait);
        }
    }

    /// Notes how long a request waited whose span is known well enough.
    pub fn note_wait(&mut self, at: Nanos, wait: Nanos) {
        if self.waits.len() == WAITS_MAX {
            self.waits.pop_front();
        }
        // Requests are decided nearly in order.
        let place = self.waits.iter().rposition(|(known, _)| *known <= at).map_or(0, |place| place + 1);
        self.waits.insert(place, (at, wait));
    }

    /// Notes whether the span of a request with an id arrived.
    pub fn note_arrival(&mut self, arrived: bool) {
        *(if arrived { &mut self.arrived } else { &mut self.lost }) += 1.0;
        if self.arrived + self.lost > ARRIVALS_MAX {
            self.arrived /= 2.0;
            self.lost /= 2.0;
        }
    }

    /// The share of requests whose span arrives: what is left after sampling and loss.
    pub fn share_arrived(&self) -> f64 {
        (self.arrived / (self.arrived + self.lost)).clamp(SHARE_MIN, 1.0 - SHARE_MIN)
    }

    /// Density of the end of a span so long after that of its request, for each second.
    pub fn end(&self, from: Nanos, to: Nanos) -> f64 {
        self.ends.density(from, to)
    }

    /// Density of the start of a span so long after that of its request, for each second.
    pub fn start(&self, from: Nanos, to: Nanos) -> f64 {
        self.starts.density(from, to)
    }

    /// Requests that began within a time, with how long they waited.
    pub fn waits(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = (Nanos, Nanos)> {
        let first = self.waits.partition_point(|(at, _)| *at < from);
        self.waits.iter().skip(first).take_while(move |(at, _)| *at <= to).copied()
    }
}

/// What those that came at the same time waited: their middle, and how far from it they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    wait: f64,
    scatter: f64,
}

/// Neighbours on each side that tell of a queue.
const NEIGHBOURS: usize = 7;
/// Of fewer neighbours nothing is concluded.
const NEIGHBOURS_MIN: usize = 4;
/// Whoever came earlier or later than that met another queue.
pub(super) const NEIGHBOUR_APART_MAX: Nanos = 1_500 * MILLISECOND;

impl Queue {
    /// The queue that a request met which began then; `known` are other requests, in order of their beginning.
    pub fn around(known: &[(Nanos, Nanos)], at: Nanos) -> Option<Queue> {
        let place = known.partition_point(|(other, _)| *other < at);
        let near = |index: &usize| {
            known.get(*index).filter(|(other, _)| other.saturating_sub(at).saturating_abs() <= NEIGHBOUR_APART_MAX)
        };
        let before = (place.saturating_sub(NEIGHBOURS)..place).filter_map(|index| near(&index));
        let after = (place..place + NEIGHBOURS).filter_map(|index| near(&index));
        let mut waits: Vec<f64> = before.chain(after).map(|(_, wait)| *wait as f64 / 1e9).collect();
        if waits.len() < NEIGHBOURS_MIN {
            return None;
        }
        let wait = middle(&mut waits);
        let mut apart: Vec<f64> = waits.iter().map(|other| (other - wait).abs()).collect();
        // Never sharper than the grain of the stamps, nor than a tenth of the queue itself.
        let scatter = (middle(&mut apart) * 1.5).max(0.001).max(wait.abs() * 0.1);
        Some(Queue { wait, scatter })
    }

    /// Density of a wait in it, for each second.
    pub fn density(&self, wait: Nanos) -> f64 {
        (-((wait as f64 / 1e9 - self.wait).abs() / self.scatter)).exp() / (2.0 * self.scatter)
    }
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_density_sums_to_one() {
        let mut delays = Delays::default();
        let whole = |delays: &Delays| {
            let minute = 60_000 * MILLISECOND;
            delays.end(-minute, minute) * 120.0
        };
        assert!((whole(&delays) - 1.0).abs() < 0.01);
        for _ in 0..5_000 {
            delays.note(None, 30 * MILLISECOND);
        }
        assert!((whole(&delays) - 1.0).abs() < 0.01);
        assert!(delays.ends.total <= SAMPLES_MAX);
    }

    #[test]
    fn what_ids_prove_is_learned_and_one_stray_is_not() {
        let mut delays = Delays::default();
        let (usual, odd) = ((0, MILLISECOND), (30 * MILLISECOND, 31 * MILLISECOND));
        let before = delays.end(usual.0, usual.1);
        delays.note(None, 30 * MILLISECOND);
        assert!(delays.end(usual.0, usual.1) > before * 0.9);
        for _ in 0..200 {
            delays.note(None, 30 * MILLISECOND);
        }
        assert!(
            delays.end(odd.0, odd.1) > delays.end(usual.0, usual.1) / 20.0,
            "the clock is behind, or the server slow"
        );
        assert!(delays.end(odd.0, odd.1) > 100.0 * Delays::default().end(odd.0, odd.1));
    }

    #[test]
    fn the_share_of_spans_that_arrive_follows_what_is_seen() {
        let mut delays = Delays::default();
        assert!((delays.share_arrived() - 0.8).abs() < 1e-9);
        (0..1_000).for_each(|number| delays.note_arrival(number % 10 == 0));
        assert!((delays.share_arrived() - 0.1).abs() < 0.03, "{}", delays.share_arrived());
        (0..2_000).for_each(|_| delays.note_arrival(true));
        assert!(delays.share_arrived() > 0.95);
    }

    #[test]
    fn those_that_came_together_waited_alike() {
        let known: Vec<(Nanos, Nanos)> =
            (0..20).map(|number| (number * 10 * MILLISECOND, number * 50 * MILLISECOND)).collect();
        let queue = Queue::around(&known, 100 * MILLISECOND).expect("enough");
        assert!(queue.density(500 * MILLISECOND) > 3.0 * queue.density(100 * MILLISECOND));
        assert_eq!(Queue::around(&known, 9_000 * MILLISECOND), None);
        assert_eq!(Queue::around(known.get(..3).expect("three"), 0), None);
    }
}
