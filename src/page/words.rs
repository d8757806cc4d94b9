//! Numbers, times and counts as people read them.

use crate::engine::incident::{Counts, Incident};
use crate::read::evidence::{Nanos, SECOND};
use crate::read::text::printable;
use crate::read::time::rfc3339;
use std::fmt::Display;

/// What a stamp without a year has where no line of any file tells of one ([`crate::read::evidence::Stamp`]).
const YEAR_OF_NONE: &str = "1972-";

/// A time as it is printed, without a year where nobody knows one; `None` where no line of its file had a stamp.
pub fn when(time: Nanos) -> Option<String> {
    let text = rfc3339(time);
    if text.starts_with(YEAR_OF_NONE) {
        return text.get(YEAR_OF_NONE.len()..).map(str::to_owned);
    }
    // Before all logs: the place of what has no time.
    (time >= 0).then_some(text)
}

/// `10:15:33`, with milliseconds where there are any.
pub fn clock(time: Nanos) -> String {
    let text = rfc3339(time);
    let of_day = text.split('T').nth(1).unwrap_or_default();
    of_day.trim_end_matches('Z').to_owned()
}

/// `56 s`, `3 min 20 s`, `2 h 5 min`.
pub fn lasted(time: Nanos) -> String {
    let seconds = time.max(0) / SECOND;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// `1,234 lines`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// Half a sentence as a whole one.
pub fn sentence(half: &str) -> String {
    let mut chars = half.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

/// `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `20,000 requests failed and 8 failures join none`.
pub fn failed(incident: &Incident) -> String {
    let requests = counted(incident.tally.requests, "request failed", "requests failed");
    let failures = incident.tally.failures;
    match (incident.tally.requests, failures) {
        (_, 0) => requests,
        (0, _) => counted(failures, "failure that joins no request", "failures that join no request"),
        _ => format!("{requests} and {}", counted(failures, "failure joins none", "failures join none")),
    }
}

/// `/report 12, /cheap 8, others 3`: so many keys are named.
pub fn listed<K: Ord + Clone + Display>(counts: &Counts<K>, named: usize) -> String {
    let rows = counts.rows();
    let others = counts.others + rows.iter().skip(named).map(|(_, count)| *count).sum::<u64>();
    let mut parts: Vec<String> =
        rows.iter().take(named).map(|(key, count)| format!("{key} {}", grouped(*count))).collect();
    parts.extend((others > 0).then(|| format!("others {}", grouped(others))));
    printable(&parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let texts = [0, 12, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "12", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn times() {
        let time = 1_764_065_733 * SECOND + SECOND / 4;
        assert_eq!(clock(time), "10:15:33.250");
        assert_eq!(when(time).as_deref(), Some("2025-11-25T10:15:33.250Z"));
        let texts = [-1, 0, 59, 60, 200, 7_500].map(|seconds| lasted(seconds * SECOND));
        assert_eq!(texts, ["0 s", "0 s", "59 s", "1 min", "3 min 20 s", "2 h 5 min"]);
    }
}
