//! Counts by cause: what a person reads first.

use crate::engine::causes::Cause;
pub use crate::page::words::{counted, grouped, sentence};
use crate::read::evidence::Nanos;
use std::collections::BTreeMap;

/// One cause's share.
#[derive(Clone, Debug)]
pub struct Row {
    /// The cause.
    pub cause: &'static Cause,
    /// How often.
    pub count: u64,
    /// Of a hundred failures.
    pub percent: f64,
    /// First failure.
    pub first: Nanos,
    /// Last failure.
    pub last: Nanos,
    /// An incident that is shown has it as its origin.
    pub is_origin: bool,
}

/// Counts by cause.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    rows: BTreeMap<&'static str, Row>,
    /// All verdicts.
    pub total: u64,
    /// Those of requests; the others are of fatal records that join none.
    pub requests: u64,
}

impl Summary {
    /// Counts one verdict.
    pub fn count(&mut self, cause: &'static Cause, time: Nanos, is_request: bool) {
        self.total += 1;
        self.requests += u64::from(is_request);
        let row = self.rows.entry(cause.id).or_insert(Row {
            cause,
            count: 0,
            percent: 0.0,
            first: time,
            last: time,
            is_origin: false,
        });
        row.count += 1;
        row.first = row.first.min(time);
        row.last = row.last.max(time);
    }

    /// An incident that is shown has this origin.
    pub fn note_origin(&mut self, cause: &'static Cause) {
        if let Some(row) = self.rows.get_mut(cause.id) {
            row.is_origin = true;
        }
    }

    /// Rows, most frequent first.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.rows.values().cloned().collect();
        for row in &mut rows {
            row.percent = row.count as f64 * 100.0 / self.total as f64;
        }
        rows.sort_by_key(|row| (std::cmp::Reverse(row.count), row.first, row.cause.id));
        rows
    }

    /// What was found, in words: `3 failed requests and 1 failure that joins no request`.
    pub fn sentence(&self) -> String {
        let others = self.total - self.requests;
        let requests = counted(self.requests, "failed request", "failed requests");
        let of_others = counted(others, "failure that joins no request", "failures that join no request");
        match (self.requests, others) {
            (_, 0) => requests,
            (0, _) => of_others,
            _ => format!("{requests} and {of_others}"),
        }
    }
}
