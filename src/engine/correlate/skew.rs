//! How far the clocks of two writers are apart, learned from events that both tell of.

use crate::read::evidence::{MILLISECOND, Nanos, SECOND};
use std::collections::VecDeque;

/// Differences that are remembered: clocks drift and are set.
const SAMPLES_MAX: usize = 32;
/// So many must agree before anything is believed.
const SAMPLES_MIN: usize = 5;
/// Apart by less than this is what writing a line takes.
const SKEW_MIN: Nanos = 15 * MILLISECOND;
/// The differences of one pair of clocks lie within this of each other; what scatters more is no clock.
const SCATTER_MAX: Nanos = 250 * MILLISECOND;

/// The differences seen between two clocks.
#[derive(Clone, Debug, Default)]
pub struct Skew {
    samples: VecDeque<Nanos>,
}

impl Skew {
    /// Notes one event by both clocks.
    pub fn note(&mut self, ahead: Nanos) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(ahead);
    }

    /// Enough events were seen by both.
    pub fn is_known(&self) -> bool {
        self.samples.len() >= SAMPLES_MIN
    }

    /// How far the one clock is ahead of the other; 0 while it is not known, or nothing worth mentioning.
    pub fn ahead(&self) -> Nanos {
        if !self.is_known() {
            return 0;
        }
        let mut sorted: Vec<Nanos> = self.samples.iter().copied().collect();
        let median = middle(&mut sorted);
        let mut apart: Vec<Nanos> = sorted.iter().map(|ahead| ahead.saturating_sub(median).saturating_abs()).collect();
        let is_sure = middle(&mut apart) <= SCATTER_MAX && median.saturating_abs() >= SKEW_MIN;
        if is_sure { median } else { 0 }
    }
}

fn middle(values: &mut [Nanos]) -> Nanos {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// How far a writer's clock is ahead of the collector's, by lines that were seen before they say that they were written.
/// A clock that is behind cannot be told from lines that come late.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    leads: VecDeque<Nanos>,
}

/// A lead of less than this is the grain of stamps.
const LEAD_MIN: Nanos = 1_500 * MILLISECOND;

impl Ahead {
    /// Notes a stamp with when its line was seen.
    pub fn note(&mut self, stamp: Nanos, observed: Nanos) {
        if self.leads.len() == SAMPLES_MAX {
            self.leads.pop_front();
        }
        self.leads.push_back(stamp.saturating_sub(observed));
    }

    /// How far to set its stamps back; 0 while nothing says so.
    pub fn lead(&self) -> Nanos {
        let lead = self.leads.iter().copied().max().unwrap_or(0);
        if lead < LEAD_MIN {
            return 0;
        }
        // One line alone may have a forged stamp.
        let is_sure = self.leads.len() >= SAMPLES_MIN
            && self.leads.iter().filter(|other| lead.saturating_sub(**other) <= SECOND).count() >= SAMPLES_MIN;
        if is_sure { lead } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skew(samples: &[Nanos]) -> Nanos {
        let mut skew = Skew::default();
        for ahead in samples {
            skew.note(ahead * MILLISECOND);
        }
        skew.ahead() / MILLISECOND
    }

    #[test]
    fn a_clock_that_is_ahead_is_believed_when_several_events_agree() {
        assert_eq!(skew(&[400, 401, 399, 400]), 0, "too few");
        assert_eq!(skew(&[400, 401, 399, 400, 402]), 400);
        assert_eq!(skew(&[-5_000, -5_001, -5_000, -5_002, -5_000, 9]), -5_000, "one stray does not matter");
        assert_eq!(skew(&[1, 2, 0, 1, 3, 2]), 0, "that is no skew");
        assert_eq!(skew(&[100, 2_000, -900, 4_000, 700, -3_000]), 0, "and that is no clock");
    }

    #[test]
    fn lines_from_the_future_show_a_clock_that_is_ahead() {
        let mut ahead = Ahead::default();
        let mut leads = Vec::new();
        for line in 0..6 {
            ahead.note((line * 60 + 7) * SECOND, line * 60 * SECOND);
            leads.push(ahead.lead() / SECOND);
        }
        assert_eq!(leads, [0, 0, 0, 0, 7, 7]);
        let mut late = Ahead::default();
        for line in 0..9 {
            late.note(line * SECOND, line * SECOND + 20 * SECOND);
        }
        assert_eq!(late.lead(), 0, "late lines are late");
    }

    #[test]
    fn one_forged_stamp_moves_nothing() {
        let mut ahead = Ahead::default();
        for line in 0..20 {
            let stamp = if line == 9 { 9_000 * SECOND } else { line * SECOND };
            ahead.note(stamp, line * SECOND);
            assert_eq!(ahead.lead(), 0);
        }
    }
}
