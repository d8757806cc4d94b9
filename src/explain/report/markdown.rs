//! The report as Markdown, to paste into a ticket.

use super::incidents::lines;
use super::summary::{Row, Summary, counted, grouped, sentence};
use super::text::{none, read, time_of, times, what};
use super::{Again, Report, waterfall, when};
use crate::engine::verdict::percent;
use crate::enrich::hex;
use crate::explain::{Explained, Outage, Totals};
use crate::page::words::failed;
use crate::read::text::shortened;
use std::io::{self, Write};

/// The report as Markdown.
#[derive(Debug, Default)]
pub struct Markdown;

impl Report for Markdown {
    fn is_bare(&self) -> bool {
        false
    }

    fn head(&self, out: &mut dyn Write, summary: &Summary, totals: &Totals) -> io::Result<()> {
        if summary.total == 0 {
            let heading = if totals.files == 0 { "nothing was read" } else { "no failed request" };
            return writeln!(out, "## why502: {heading}\n\n{}", none(totals));
        }
        writeln!(out, "## why502: {}\n\nIn {}.\n", summary.sentence(), read(totals))
    }

    fn incident(&self, out: &mut dyn Write, outage: &Outage) -> io::Result<()> {
        let incident = &outage.incident;
        let origin = incident.label.origin;
        writeln!(out, "### Incident: `{}`, {}\n", origin.id, failed(incident))?;
        writeln!(
            out,
            "{}: {} **What to do:** {}\n",
            times(incident.first, incident.last),
            sentence(&incident.label.summary()),
            incident.label.hint()
        )?;
        for (name, text) in lines(outage) {
            writeln!(out, "- {name}: `{}`", text.replace('`', "'"))?;
        }
        let spans = waterfall::rows(&outage.spans);
        if !spans.is_empty() {
            let rows: Vec<String> = spans.iter().map(|row| fenced(row)).collect();
            writeln!(out, "\n```text\nspans {}\n```", rows.join("\n"))?;
        }
        writeln!(out)
    }

    fn more_incidents(&self, out: &mut dyn Write, count: u64, failures: u64) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let count = counted(count, "smaller incident", "smaller incidents");
        writeln!(out, "({count} with {} more)\n", counted(failures, "failure", "failures"))
    }

    fn group(&self, out: &mut dyn Write, row: &Row) -> io::Result<()> {
        writeln!(out, "### `{}` ({})\n", row.cause.id, grouped(row.count))
    }

    fn end(&self, out: &mut dyn Write, summary: &Summary, hidden: u64) -> io::Result<()> {
        if summary.total == 0 {
            return Ok(());
        }
        if hidden > 0 {
            writeln!(out, "({} more)\n", grouped(hidden))?;
        }
        writeln!(out, "| cause | count | share | first | last |\n|---|---:|---:|---|---|")?;
        for row in summary.rows() {
            let [first, last] = [row.first, row.last].map(|time| when(time).unwrap_or_else(|| "-".to_owned()));
            let count = grouped(row.count);
            writeln!(out, "| `{}` | {count} | {:.0}% | {first} | {last} |", row.cause.id, row.percent)?;
        }
        // The incidents have told what their origins mean and what to do.
        let mut others = summary.rows().into_iter().filter(|row| !row.is_origin).peekable();
        if others.peek().is_some() {
            writeln!(out)?;
        }
        for row in others {
            let cause = row.cause;
            writeln!(out, "- **`{}`**: {} **What to do:** {}", cause.id, sentence(cause.summary), cause.hint)?;
        }
        Ok(())
    }

    fn again(&self, out: &mut dyn Write, again: Option<Again>) -> io::Result<()> {
        let Some(again) = again else { return Ok(()) };
        let until = when(again.last).map_or_else(String::new, |last| format!(", the last at {last}"));
        writeln!(out, "**And {} more like it**{until}.\n", grouped(again.more))
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
        for row in explained.rows() {
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
}

/// A log line cannot close the fence.
fn fenced(text: &str) -> String {
    text.replace("```", "'''")
}
