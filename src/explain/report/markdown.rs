//! The report as Markdown, to paste into a ticket.

use super::Report;
use super::summary::Summary;
use crate::engine::text::{printable, shortened};
use crate::engine::time::rfc3339;
use crate::engine::verdict::Verdict;
use crate::explain::{Explained, Totals};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Examples of one cause when nobody said how many.
const EXAMPLES: u64 = 3;

/// The report as Markdown: collected, because the summary comes first.
#[derive(Debug)]
pub struct Markdown {
    limit: u64,
    summary: Summary,
    examples: BTreeMap<&'static str, (u64, String)>,
}

impl Markdown {
    /// At most `limit` examples of each cause; one when grouped by cause.
    pub fn new(limit: Option<u64>, by_cause: bool) -> Markdown {
        let limit = if by_cause { 1 } else { limit.unwrap_or(EXAMPLES) };
        Markdown { limit, summary: Summary::default(), examples: BTreeMap::new() }
    }
}

impl Report for Markdown {
    fn verdict(&mut self, _out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()> {
        self.summary.add(explained.verdict);
        let (count, text) = self.examples.entry(explained.verdict.cause.id).or_default();
        if *count < self.limit {
            *count += 1;
            text.push_str(&example(explained));
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write, totals: &Totals) -> io::Result<()> {
        writeln!(out, "## why502: {} failed requests in {} lines\n", self.summary.total, totals.lines)?;
        if self.summary.total == 0 {
            return Ok(());
        }
        writeln!(out, "| cause | count | first | last |\n|---|---|---|---|")?;
        for row in self.summary.rows() {
            writeln!(out, "| `{}` | {} | {} | {} |", row.cause.id, row.count, rfc3339(row.first), rfc3339(row.last))?;
        }
        for row in self.summary.rows() {
            writeln!(
                out,
                "\n### `{}`\n\n{}.\n\n**What to do:** {}\n",
                row.cause.id, row.cause.summary, row.cause.hint
            )?;
            if let Some((_, text)) = self.examples.get(row.cause.id) {
                out.write_all(text.as_bytes())?;
            }
        }
        Ok(())
    }
}

fn example(explained: &Explained<'_>) -> String {
    let verdict = explained.verdict;
    let mut text = format!(
        "- {} {} ({:.0}% sure)\n\n  ```text\n",
        rfc3339(verdict.time),
        heading(verdict),
        verdict.confidence * 100.0
    );
    for quote in &verdict.evidence {
        let place = quote
            .ticket
            .and_then(|ticket| explained.places.get(ticket))
            .map(|place| format!("{}:{} ", printable(&place.file), place.line));
        text.push_str(&format!("  {}{}: {}\n", place.unwrap_or_default(), quote.source.id(), fenced(&quote.text)));
    }
    text.push_str("  ```\n\n");
    text
}

fn heading(verdict: &Verdict) -> String {
    let status = verdict.status.map_or_else(String::new, |status| format!("{status} "));
    let request = if verdict.target.is_empty() {
        String::new()
    } else {
        format!("`{} {}`", verdict.method, shortened(&printable(&verdict.target), 120).replace('`', "'"))
    };
    format!("{status}{request}")
}

/// A log line cannot close the fence.
fn fenced(text: &str) -> String {
    text.replace("```", "'''")
}
