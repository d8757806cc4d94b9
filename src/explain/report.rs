//! The report of `why502 explain`: for people, as JSON lines, or as Markdown for a ticket.

pub mod json;
pub mod markdown;
pub mod summary;
pub mod text;

use super::{Explained, Totals};
use crate::engine::evidence::Nanos;
use crate::engine::verdict::Verdict;
use std::io::{self, Write};

/// Which verdicts are shown.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Ids of causes; empty shows all.
    pub causes: Vec<String>,
    /// Only what failed at or after.
    pub since: Option<Nanos>,
    /// Only what failed before.
    pub until: Option<Nanos>,
    /// At most so many requests one by one; the summary counts all. `None` shows all.
    pub limit: Option<u64>,
}

impl Filter {
    /// True when the verdict is shown.
    pub fn fits(&self, verdict: &Verdict) -> bool {
        (self.causes.is_empty() || self.causes.iter().any(|id| id == verdict.cause.id))
            && self.since.is_none_or(|since| verdict.time >= since)
            && self.until.is_none_or(|until| verdict.time < until)
    }
}

/// One way to write the report.
pub trait Report {
    /// Takes one verdict.
    ///
    /// # Errors
    /// When it cannot be written.
    fn verdict(&mut self, out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()>;

    /// Ends the report.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(&mut self, out: &mut dyn Write, totals: &Totals) -> io::Result<()>;
}
