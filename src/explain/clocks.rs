//! Gunicorn's clock against nginx's, in files: the ends of workers against the answers that were cut.
//!
//! Each end of a worker cuts the answer that it was making, so the two lists have the same gaps. Where the clocks agree,
//! most of their times do; where one clock is wrong, most of them agree at one other distance.

use crate::read::evidence::{Nanos, SECOND};
use std::collections::BTreeMap;

/// Clocks that are further apart are no clocks.
const APART_MAX: Nanos = 600 * SECOND;
/// Apart by less than this is the grain of both logs.
const APART_MIN: i64 = 2;
/// Ends of workers, and cut answers, that are looked at.
const EVENTS_MAX: usize = 500;
const CUTS_MAX: usize = 2_000;
/// So many must agree.
const AGREE_MIN: usize = 3;

/// The seconds in which something happened, each once, in order.
pub(super) struct Seconds(Vec<i64>);

impl Seconds {
    /// Of times in any order.
    pub(super) fn of(mut times: Vec<Nanos>) -> Seconds {
        times.iter_mut().for_each(|time| *time = time.div_euclid(SECOND));
        times.sort_unstable();
        times.dedup();
        Seconds(times)
    }

    fn first(&self, count_max: usize) -> &[i64] {
        self.0.get(..count_max).unwrap_or(&self.0)
    }
}

/// How far the clock of the ends is ahead of that of the cuts; 0 where nothing says so.
pub(super) fn ahead(ends: Seconds, cuts: &Seconds) -> Nanos {
    let (ends, cuts) = (ends.first(EVENTS_MAX), cuts.first(CUTS_MAX));
    let mut votes: BTreeMap<i64, usize> = BTreeMap::new();
    for end in ends {
        for cut in cuts {
            let apart = end - cut;
            if apart.abs() <= APART_MAX / SECOND {
                *votes.entry(apart).or_default() += 1;
            }
        }
    }
    // An end and its cut may fall into neighbouring seconds.
    let around = |apart: i64| {
        ends.iter().filter(|end| (-1..=1).any(|off| cuts.binary_search(&(*end - apart + off)).is_ok())).count()
    };
    let Some(best) = votes.iter().max_by_key(|(apart, count)| (**count, -apart.abs())).map(|(apart, _)| *apart) else {
        return 0;
    };
    let agree = around(best);
    let rival = votes.iter().filter(|(apart, _)| (*apart - best).abs() > 2).map(|(_, count)| *count).max().unwrap_or(0);
    let is_sure = best.abs() >= APART_MIN
        && agree >= AGREE_MIN
        && agree * 10 >= ends.len() * 6
        && around(0) * 3 <= agree
        && rival * 2 <= agree;
    if is_sure { best * SECOND } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ends: &[i64], cuts: &[i64], expected: i64) {
        let times = |seconds: &[i64]| seconds.iter().map(|second| second * SECOND).collect();
        let (ends_of, cuts_of) = (Seconds::of(times(ends)), Seconds::of(times(cuts)));
        assert_eq!(ahead(ends_of, &cuts_of), expected * SECOND, "{ends:?} {cuts:?}");
    }

    #[test]
    fn a_wrong_clock_shows_when_the_gaps_are_the_same() {
        check(&[137, 240, 311, 398], &[100, 203, 274, 361, 500], 37);
        check(&[63, 166, 237, 324], &[100, 203, 274, 361], -37);
    }

    #[test]
    fn nothing_is_made_of_little_or_of_what_agrees() {
        check(&[], &[], 0);
        check(&[137, 240], &[100, 203], 0);
        check(&[100, 203, 274, 361], &[100, 203, 274, 361], 0);
        check(&[101, 204, 275, 362], &[100, 203, 274, 361], 0);
        // A failure each minute: the gaps do not tell which belongs to which.
        check(&[30, 90, 150, 210, 270], &[0, 60, 120, 180, 240], 0);
    }
}
