//! The report as Markdown, to paste into a ticket.

use super::summary::{Row, Summary, grouped, sentence};
use super::text::{read, time_of, what};
use super::{Report, timeline, when};
use crate::engine::verdict::percent;
use crate::enrich::hex;
use crate::explain::{Explained, Totals};
use crate::read::text::shortened;
use std::io::{self, Write};

/// The report as Markdown.
#[derive(Debug, Default)]
pub struct Markdown;

impl Report for Markdown {
    fn is_bare(&self) -> bool {
        false
    }

    fn summary(&self, out: &mut dyn Write, summary: &Summary, totals: &Totals) -> io::Result<()> {
        if summary.total == 0 {
            return writeln!(out, "## why502: no failed request\n\nIn {}.", read(totals));
        }
        writeln!(out, "## why502: {}\n\nIn {}.\n", summary.sentence(), read(totals))?;
        writeln!(out, "| cause | count | share | first | last |\n|---|---:|---:|---|---|")?;
        for row in summary.rows() {
            let [first, last] = [row.first, row.last].map(|time| when(time).unwrap_or_else(|| "-".to_owned()));
            let count = grouped(row.count);
            writeln!(out, "| `{}` | {count} | {:.0}% | {first} | {last} |", row.cause.id, row.percent)?;
        }
        writeln!(out)?;
        for row in summary.rows() {
            let cause = row.cause;
            writeln!(out, "- **`{}`**: {} **What to do:** {}", cause.id, sentence(cause.summary), cause.hint)?;
        }
        writeln!(out)
    }

    fn group(&self, out: &mut dyn Write, row: &Row) -> io::Result<()> {
        writeln!(out, "### `{}` ({})\n", row.cause.id, grouped(row.count))
    }

    fn request(&self, out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()> {
        let verdict = explained.verdict;
        let status = verdict.status.map_or_else(String::new, |status| format!("{status} "));
        let what = shortened(&what(verdict), 160).replace('`', "'");
        let percent = percent(verdict.confidence);
        writeln!(
            out,
            "{} {status}`{what}`: **`{}`** ({percent}% sure)\n\n```text",
            time_of(verdict),
            verdict.cause.id
        )?;
        for row in timeline::rows(explained) {
            let mark = if row.deciding { "►" } else { " " };
            let colon = if row.place.is_none() && row.deciding { ":" } else { "" };
            let place = row.place.map_or_else(String::new, |place| format!("{} ", fenced(&place)));
            let words = if row.words.is_empty() { String::new() } else { format!("»{}«", row.words) };
            let text = fenced(&format!("{}{words}{}", row.before, row.after));
            writeln!(out, "{mark} {place}{}{colon} {text}", row.source)?;
            for told in row.told {
                writeln!(out, "    = {}", fenced(&told))?;
            }
        }
        if let Some(trace) = verdict.link.trace {
            writeln!(out, "  trace {} (by {})", hex(&trace.trace_id), verdict.link.method.id())?;
        }
        writeln!(out, "```\n")
    }

    fn end(&self, out: &mut dyn Write, hidden: u64) -> io::Result<()> {
        if hidden == 0 { Ok(()) } else { writeln!(out, "({} more)", grouped(hidden)) }
    }
}

/// A log line cannot close the fence.
fn fenced(text: &str) -> String {
    text.replace("```", "'''")
}
