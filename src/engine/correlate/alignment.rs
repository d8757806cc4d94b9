//! How far the clock of the spans is ahead of that of an access log where no id says it: by the pattern that both saw.
//!
//! A request and its span end together and take about as long. Of a good request all spans that may be its own are noted,
//! each with how much later it ended. Its own is as much later as the clocks are apart, request after request; those of
//! strangers are now here, now there.
//!
//! ```text
//!  request 1      |  |        x     |
//!  request 2   |              x            |       x  its own span
//!  request 3            |     x   |                |  a stranger's
//!            ──────┼──────────┼──────────────►  end of the span - end of the request
//!                  0       the clocks are so much apart
//! ```
//!
//! What comes at regular times proves nothing: the health checks of one service and those of another on the same path are
//! always as far apart. Where requests agree at two places (two machines, each with a clock of its own), it is only known
//! that clocks are apart.

use crate::read::evidence::{MILLISECOND, Nanos, SECOND};
use std::collections::VecDeque;

/// Requests that are remembered: clocks drift and are set.
const REQUESTS_MAX: usize = 48;
/// Spans of one request that are remembered, those that ended nearest to it.
const SPANS_MAX: usize = 64;
/// How far apart they are noted: clocks change in minutes.
const NOTED_APART: Nanos = SECOND / 4;
/// Farther apart than that two clocks are not looked for.
pub const APART_MAX: Nanos = 5 * SECOND;
/// Ends of a request and its own span lie within this of each other, whatever the clocks: half of them within 0.4 ms.
const WINDOW: Nanos = 6 * MILLISECOND;
/// Apart by less than this is no difference of clocks: a thread that waits for its turn ends its span 17 ms early.
const TOGETHER: Nanos = 20 * MILLISECOND;
/// So many requests must agree before anything is believed.
const AGREE_MIN: usize = 8;
/// They must be more than chance puts together, by so many of its standard deviations, anywhere within [`APART_MAX`].
const ABOVE_CHANCE: f64 = 6.0;
/// The same where clocks that agree would put them.
const ABOVE_CHANCE_TOGETHER: f64 = 3.0;
/// Requests of which so many have gaps between them that are alike come at regular times.
const REGULAR: f64 = 1.0 / 3.0;
/// A span takes as long as its request, or longer by what reading a clock takes.
const LONGER_MAX: Nanos = 3 * MILLISECOND;
/// It may be shorter: its request waited for a worker.
const SHORTER_MIN: Nanos = 10 * MILLISECOND;

/// What is known of the two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// Nothing, or that they agree.
    #[default]
    Together,
    /// The clock of the spans is so much ahead.
    Ahead(Nanos),
    /// They are apart, and nothing says by how much.
    Unclear,
}

/// What was seen of the two clocks.
#[derive(Clone, Debug, Default)]
pub struct Alignment {
    requests: VecDeque<Noted>,
    clock: Clock,
}

/// A request.
#[derive(Clone, Debug)]
struct Noted {
    end: Nanos,
    /// How much later the spans ended that may be its own.
    later: Vec<Nanos>,
    /// Spans that ended farther away are not among them.
    within: Nanos,
}

impl Alignment {
    /// True when a request that ended then is to be noted: each of the first, and one in a while of the others.
    pub fn asks_for(&self, end: Nanos) -> bool {
        let last = self.requests.back().map_or(Nanos::MIN, |last| last.end);
        self.requests.len() < REQUESTS_MAX || end.saturating_sub(last).saturating_abs() >= NOTED_APART
    }

    /// What is known.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Notes a request by when it ended and how long it took, with start and end of all spans of its target that ended within
    /// so much of it.
    pub fn note(&mut self, end: Nanos, took: Nanos, within: Nanos, spans: impl Iterator<Item = (Nanos, Nanos)>) {
        let mut within = within.min(APART_MAX);
        let shorter_max = SHORTER_MIN.max(took / 4);
        let as_long = |(start, end): &(Nanos, Nanos)| {
            let shorter = took.saturating_sub(end.saturating_sub(*start));
            (-LONGER_MAX..=shorter_max).contains(&shorter)
        };
        let later = spans.filter(as_long).map(|(_, ended)| ended.saturating_sub(end));
        let mut later: Vec<Nanos> = later.filter(|later| later.saturating_abs() <= within).collect();
        if later.is_empty() {
            return;
        }
        if later.len() > SPANS_MAX {
            later.select_nth_unstable_by_key(SPANS_MAX, |later| later.saturating_abs());
            later.truncate(SPANS_MAX);
            within = later.iter().map(|later| later.saturating_abs()).max().unwrap_or(within);
        }
        if self.requests.len() == REQUESTS_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(Noted { end, later, within });
        if let Some(clock) = self.judge() {
            self.clock = clock;
        }
    }

    /// What the requests say together; `None` where that is nothing.
    fn judge(&self) -> Option<Clock> {
        let windows = self.windows();
        let chance = self.chance();
        let above = |count: usize, deviations: f64| count as f64 >= chance + deviations * (chance + 1.0).sqrt();
        let best = windows.iter().max_by_key(|window| window.count)?;
        let is_together = |window: &&Window| window.middle.saturating_abs() <= TOGETHER;
        let together = windows.iter().filter(is_together).map(|window| window.count).max().unwrap_or(0);
        if together >= AGREE_MIN && above(together, ABOVE_CHANCE_TOGETHER) && together * 2 >= best.count {
            return Some(Clock::Together);
        }
        if best.count < AGREE_MIN || !above(best.count, ABOVE_CHANCE) {
            return None;
        }
        if self.are_regular(best) {
            return None;
        }
        let is_elsewhere = |window: &&Window| window.middle.saturating_sub(best.middle).saturating_abs() > 2 * WINDOW;
        let second = windows.iter().filter(is_elsewhere).map(|window| window.count).max().unwrap_or(0);
        let is_clear = best.count as f64 - chance >= 2.0 * (second as f64 - chance);
        Some(if is_clear { Clock::Ahead(best.middle) } else { Clock::Unclear })
    }

    /// Those that agree about a place came at regular times.
    fn are_regular(&self, at: &Window) -> bool {
        let agrees = |request: &&Noted| request.later.iter().any(|later| at.has(*later));
        let mut ends: Vec<Nanos> = self.requests.iter().filter(agrees).map(|request| request.end).collect();
        ends.sort_unstable();
        let mut gaps: Vec<Nanos> = ends.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        gaps.sort_unstable();
        let alike = |gap: &Nanos| gaps.partition_point(|other| *other <= gap.saturating_add(WINDOW));
        let most = gaps.iter().enumerate().map(|(index, gap)| alike(gap) - index).max().unwrap_or(0);
        most as f64 > gaps.len() as f64 * REGULAR
    }

    /// How many requests agree about each place where a span ended.
    fn windows(&self) -> Vec<Window> {
        let of_all = self.requests.iter().enumerate();
        let mut all: Vec<(Nanos, usize)> =
            of_all.flat_map(|(index, request)| request.later.iter().map(move |later| (*later, index))).collect();
        all.sort_unstable();
        let mut inside = [0_u16; REQUESTS_MAX];
        let (mut count, mut first) = (0, 0);
        let mut windows = Vec::with_capacity(all.len());
        for (last, (later, request)) in all.iter().enumerate() {
            if let Some(spans) = inside.get_mut(*request) {
                count += usize::from(*spans == 0);
                *spans += 1;
            }
            while let Some((left, request)) = all.get(first).filter(|(left, _)| later.saturating_sub(*left) > WINDOW) {
                debug_assert!(left <= later, "in order");
                if let Some(spans) = inside.get_mut(*request) {
                    *spans -= 1;
                    count -= usize::from(*spans == 0);
                }
                first += 1;
            }
            let at = |place: usize| all.get(place).map_or(*later, |(later, _)| *later);
            windows.push(Window { from: at(first), middle: at(first.midpoint(last)), count });
        }
        windows
    }

    /// How many requests chance alone would put into a window.
    fn chance(&self) -> f64 {
        let of_request = |request: &Noted| {
            let range = 2.0 * request.within.max(WINDOW) as f64;
            (request.later.len() as f64 * WINDOW as f64 / range).min(1.0)
        };
        self.requests.iter().map(of_request).sum()
    }
}

/// Spans that ended about as much later than their requests.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Nanos,
    middle: Nanos,
    count: usize,
}

impl Window {
    fn has(&self, later: Nanos) -> bool {
        (0..=WINDOW).contains(&later.saturating_sub(self.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: Nanos) -> Nanos {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((u128::from(self.0) * limit as u128) >> 64) as Nanos
        }
    }

    /// So many requests a second for two minutes that take up to 80 ms each, by clocks that are so much apart; of each
    /// hundred so many have a span. Begun at random, or each so much after the other.
    fn check(rate: Nanos, ahead: Nanos, traced: Nanos, every: Option<(Nanos, Nanos)>) -> Clock {
        let mut random = Random(7);
        let count = 120 * rate;
        let mut all: Vec<(Nanos, Nanos)> = (0..count)
            .map(|number| match every {
                Some((every, took)) => (number * every, number * every + took),
                None => {
                    let start = random.below(120 * SECOND);
                    (start, start + MILLISECOND + random.below(80 * MILLISECOND))
                }
            })
            .collect();
        all.sort_unstable();
        let spans: Vec<(Nanos, Nanos)> = all
            .iter()
            .filter_map(|(start, end)| {
                let moved = (start + ahead + random.below(2 * MILLISECOND), end + ahead - random.below(MILLISECOND));
                (random.below(100) < traced).then_some(moved)
            })
            .collect();
        let mut alignment = Alignment::default();
        let apart = (count / 100).max(1) as usize;
        for (start, end) in all.iter().skip(all.len() / 8).step_by(apart).take(2 * REQUESTS_MAX) {
            alignment.note(*end, end - start, APART_MAX, spans.iter().copied());
        }
        alignment.clock()
    }

    fn is_ahead(clock: Clock, expected: Nanos) -> bool {
        matches!(clock, Clock::Ahead(ahead) if (ahead - expected).abs() < 3 * MILLISECOND)
    }

    #[test]
    fn the_pattern_tells_how_far_clocks_are_apart() {
        for ahead in [30, 100, -300, 600, 4_000, -4_900] {
            for (rate, traced) in [(1, 100), (10, 100), (10, 40), (300, 100)] {
                let clock = check(rate, ahead * MILLISECOND, traced, None);
                // Where many requests ask for the same, what lies farther away is not looked at.
                let is_far = rate == 300 && ahead.abs() > 500;
                let expected = if is_far { clock == Clock::Together } else { is_ahead(clock, ahead * MILLISECOND) };
                assert!(expected, "{ahead} ms, {rate}/s, {traced} % traced: {clock:?}");
            }
        }
    }

    #[test]
    fn clocks_that_agree_are_left_alone() {
        for (rate, traced) in [(1, 100), (10, 100), (10, 40), (10, 3), (300, 100), (300, 3), (2_000, 100)] {
            assert_eq!(check(rate, 0, traced, None), Clock::Together, "{rate}/s, {traced} %");
        }
    }

    #[test]
    fn what_comes_at_regular_times_says_nothing() {
        for every in [SECOND, 8 * SECOND] {
            let health = Some((every, 5 * MILLISECOND));
            for ahead in [0, 300] {
                assert_eq!(check(1, ahead * MILLISECOND, 100, health), Clock::Together, "{every} {ahead}");
            }
        }
        // Real requests between the checks of another service: their own spans are not in view.
        let mut alignment = Alignment::default();
        let mut random = Random(5);
        for number in 0..200 {
            let check = number * 10 * SECOND;
            let span = (check + 2 * SECOND, check + 2 * SECOND + 4 * MILLISECOND);
            alignment.note(check, 5 * MILLISECOND, APART_MAX, std::iter::once(span));
            alignment.note(check + random.below(9 * SECOND), 5 * MILLISECOND, APART_MAX, std::iter::once(span));
        }
        assert_eq!(alignment.clock(), Clock::Together);
    }

    #[test]
    fn two_clocks_that_are_off_are_no_one_clock() {
        let mut alignment = Alignment::default();
        let mut random = Random(9);
        for number in 0..100 {
            let end = number * SECOND + random.below(900 * MILLISECOND);
            let ahead = if random.below(2) == 0 { 300 } else { -200 } * MILLISECOND;
            let span = (end + ahead - 20 * MILLISECOND, end + ahead);
            alignment.note(end, 21 * MILLISECOND, APART_MAX, std::iter::once(span));
        }
        assert_eq!(alignment.clock(), Clock::Unclear);
    }

    #[test]
    fn a_clock_that_is_set_is_followed() {
        let mut alignment = Alignment::default();
        let mut random = Random(3);
        let mut last = 0;
        for number in 0..4 * REQUESTS_MAX {
            last += SECOND + random.below(SECOND);
            let ahead = if number < 2 * REQUESTS_MAX { 200 * MILLISECOND } else { 0 };
            let span = (last + ahead - 20 * MILLISECOND, last + ahead);
            alignment.note(last, 21 * MILLISECOND, APART_MAX, std::iter::once(span));
            if number == REQUESTS_MAX {
                assert!(is_ahead(alignment.clock(), 200 * MILLISECOND), "{:?}", alignment.clock());
            }
        }
        assert_eq!(alignment.clock(), Clock::Together);
    }

    #[test]
    fn no_number_breaks_it() {
        let mut alignment = Alignment::default();
        let odd = [Nanos::MIN, -1, 0, 1, Nanos::MAX];
        for end in odd {
            for took in odd {
                alignment.note(end, took, took, odd.iter().flat_map(|start| odd.map(|end| (*start, end))));
            }
        }
    }
}
