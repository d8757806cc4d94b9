//! How many requests failed in each minute, by cause.

use super::axis::number;
use super::parts;
use super::words::{clock, counted, grouped};
use crate::engine::causes::Cause;
use crate::read::evidence::{Nanos, SECOND};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Minutes that are shown.
pub const MINUTES: i64 = 60;
/// What one column counts.
pub const MINUTE: Nanos = 60 * SECOND;
/// Causes that are drawn by themselves; the others are drawn together.
const DRAWN_MAX: usize = 6;
/// Height of the tallest column.
const TALL: f64 = 100.0;

/// Failures by minute and cause. Bounded: minutes that are older than [`MINUTES`] before the newest are forgotten.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    minutes: BTreeMap<i64, BTreeMap<&'static str, (&'static Cause, u64)>>,
}

impl Rates {
    /// Counts a failure.
    pub fn add(&mut self, time: Nanos, cause: &'static Cause) {
        let minute = time.div_euclid(MINUTE);
        let newest = self.minutes.last_key_value().map_or(minute, |(newest, _)| (*newest).max(minute));
        let oldest = newest.saturating_sub(MINUTES - 1);
        if minute < oldest {
            return;
        }
        self.minutes.entry(minute).or_default().entry(cause.id).or_insert((cause, 0)).1 += 1;
        while self.minutes.first_key_value().is_some_and(|(first, _)| *first < oldest) {
            self.minutes.pop_first();
        }
    }

    /// Counts it no longer: late evidence changed its cause.
    pub fn remove(&mut self, time: Nanos, cause: &'static Cause) {
        let minute = time.div_euclid(MINUTE);
        if let Some(causes) = self.minutes.get_mut(&minute)
            && let Some((_, count)) = causes.get_mut(cause.id)
        {
            *count = count.saturating_sub(1);
        }
    }

    /// The chart with its numbers. It ends now, or with the newest failure where all are of another time (a replay).
    pub fn html(&self, now: Nanos) -> Markup {
        let now = now.div_euclid(MINUTE);
        let newest = self.minutes.last_key_value().map_or(now, |(minute, _)| *minute);
        let to = if newest < now.saturating_sub(MINUTES - 1) || newest > now { newest } else { now };
        let from = to.saturating_sub(MINUTES - 1);
        let mut totals: BTreeMap<&'static str, (&'static Cause, u64)> = BTreeMap::new();
        let mut most = 0;
        for causes in self.minutes.range(from..=to).map(|(_, causes)| causes) {
            most = most.max(causes.values().map(|(_, count)| count).sum::<u64>());
            for (id, (cause, count)) in causes {
                totals.entry(id).or_insert((cause, 0)).1 += count;
            }
        }
        let mut rows: Vec<(&'static Cause, u64)> = totals.into_values().filter(|(_, count)| *count > 0).collect();
        rows.sort_by_key(|(cause, count)| (std::cmp::Reverse(*count), cause.id));
        if rows.is_empty() || most == 0 {
            return html! { p .note { "No request failed within the hour." } };
        }
        let rank = |id: &str| rows.iter().position(|(cause, _)| cause.id == id).unwrap_or(DRAWN_MAX).min(DRAWN_MAX);
        let total: u64 = rows.iter().map(|(_, count)| count).sum();
        html! {
            figure .rate {
                svg viewBox={ "0 0 " (MINUTES * 10) " " (TALL) } preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                    @for (minute, causes) in self.minutes.range(from..=to) {
                        (column((minute - from) as f64 * 10.0, causes, most, &rank))
                    }
                }
                ol .ticks aria-hidden="true" {
                    @for tick in 0..=4 {
                        @let time = (from + (MINUTES - 1) * tick / 4).saturating_mul(MINUTE);
                        li { (clock(time).get(..5).unwrap_or_default()) }
                    }
                }
                figcaption {
                    (counted(total, "failure", "failures")) " in the 60 minutes to " (parts::stamp(to.saturating_add(1).saturating_mul(MINUTE)))
                    ", at most " (grouped(most)) " in one."
                }
                ul .legend {
                    @for (cause, count) in &rows {
                        li { span .{ "key s" (rank(cause.id)) } aria-hidden="true" {} " " (cause.id) " " (grouped(*count)) }
                    }
                }
            }
        }
    }
}

fn column(
    left: f64,
    causes: &BTreeMap<&'static str, (&'static Cause, u64)>,
    most: u64,
    rank: &impl Fn(&str) -> usize,
) -> Markup {
    let mut parts: Vec<(usize, u64)> = causes.values().map(|(cause, count)| (rank(cause.id), *count)).collect();
    parts.sort_unstable();
    let mut top = TALL;
    html! {
        @for (rank, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
            @let height = count as f64 / most as f64 * TALL;
            ({ top -= height; html! {} })
            rect .{ "s" (rank) } x=(number(left + 1.0)) y=(number(top)) width="8" height=(number(height)) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::causes::by_id;

    #[test]
    fn an_hour_of_minutes_is_kept() {
        let timeout = by_id("worker_timeout").expect("a cause");
        let mut rates = Rates::default();
        for minute in 0..500 {
            rates.add(minute * MINUTE, timeout);
        }
        rates.add(0, timeout);
        assert_eq!(rates.minutes.len(), MINUTES as usize);
        let unknown = crate::engine::causes::UNKNOWN;
        rates.add(499 * MINUTE, unknown);
        rates.remove(499 * MINUTE, timeout);
        rates.remove(0, timeout);
        let html = rates.html(499 * MINUTE).into_string();
        assert!(
            html.contains("60 failures") && html.contains("worker_timeout 59") && html.contains("unknown 1"),
            "{html}"
        );
        assert!(rates.html(10_000 * MINUTE).into_string().contains("60 failures"), "a replay ends with its own time");
        assert!(Rates::default().html(0).into_string().contains("No request failed"));
    }
}
