//! An incident in one sentence.

use super::{Incident, State};
use std::fmt::Write;

/// Keys of one count that are named.
const NAMED_MAX: usize = 3;

impl Incident {
    /// One sentence for people: what failed, how often, since when, and what ended it.
    pub fn sentence(&self) -> String {
        let origin = self.label.origin;
        let mut out = format!("{}: {}", origin.id, self.failed());
        let upstreams = self.tally.upstreams.rows();
        if let [(upstream, _)] = upstreams.as_slice() {
            let _ = write!(out, " at {upstream}");
        } else if let Some((upstream, _)) = upstreams.first() {
            let _ = write!(out, " at {upstream} and {} more", upstreams.len() - 1);
        }
        let seconds = self.seconds();
        if seconds > 0 {
            let _ = write!(out, " within {seconds} s");
        }
        let parts: Vec<String> =
            [self.causes(), listed(self.tally.paths.rows(), self.tally.paths.others)].into_iter().flatten().collect();
        if !parts.is_empty() {
            let _ = write!(out, " ({})", parts.join("; "));
        }
        match (&self.ended, self.state) {
            (Some(ended), _) => {
                let _ = write!(out, "; ended: {}", ended.words());
            }
            (None, State::Opened) => {}
            (None, _) => out.push_str("; not over yet"),
        }
        out
    }

    /// `20 requests failed and 8 failures join none`.
    fn failed(&self) -> String {
        let count = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let requests = count(self.tally.requests, "request failed", "requests failed");
        let failures = self.tally.failures;
        match (self.tally.requests, failures) {
            (_, 0) => requests,
            (0, _) => count(failures, "failure that joins no request", "failures that join no request"),
            _ => format!("{requests} and {}", count(failures, "failure joins none", "failures join none")),
        }
    }

    /// Whole seconds from the first to the last failure.
    fn seconds(&self) -> i64 {
        self.last.saturating_sub(self.first) / crate::read::evidence::SECOND
    }

    /// The causes where there are several.
    fn causes(&self) -> Option<String> {
        let rows = self.tally.causes.rows();
        if rows.len() < 2 { None } else { listed(rows, 0) }
    }
}

/// `/report 12, /cheap 8 and 3 more`.
fn listed<K: std::fmt::Display>(rows: Vec<(K, u64)>, others: u64) -> Option<String> {
    let more: u64 = others + rows.iter().skip(NAMED_MAX).map(|(_, count)| *count).sum::<u64>();
    let mut parts: Vec<String> = rows.iter().take(NAMED_MAX).map(|(key, count)| format!("{key} {count}")).collect();
    parts.extend((more > 0).then(|| format!("others {more}")));
    (!parts.is_empty()).then(|| parts.join(", "))
}
