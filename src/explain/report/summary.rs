//! Counts by cause: what the report ends with, and what a person reads first.

use crate::engine::causes::Cause;
use crate::engine::evidence::Nanos;
use crate::engine::verdict::Verdict;
use std::collections::BTreeMap;

/// One cause's share.
#[derive(Clone, Debug)]
pub struct Row {
    /// The cause.
    pub cause: &'static Cause,
    /// How often.
    pub count: u64,
    /// First failure.
    pub first: Nanos,
    /// Last failure.
    pub last: Nanos,
}

/// Counts by cause.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    rows: BTreeMap<&'static str, Row>,
    /// All verdicts.
    pub total: u64,
}

impl Summary {
    /// Counts one verdict.
    pub fn add(&mut self, verdict: &Verdict) {
        self.total += 1;
        let row = self.rows.entry(verdict.cause.id).or_insert(Row {
            cause: verdict.cause,
            count: 0,
            first: verdict.time,
            last: verdict.time,
        });
        row.count += 1;
        row.first = row.first.min(verdict.time);
        row.last = row.last.max(verdict.time);
    }

    /// Rows, most frequent first.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.rows.values().cloned().collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(row.count), row.cause.id));
        rows
    }
}
