//! The report for a person at three in the morning: incidents with what to do, then each story of a failed request once with
//! its lines, then the causes.

use super::incidents::lines;
use super::summary::{Row, Summary, counted, sentence};
use super::{Again, NO_TIME, Report, span, waterfall, when};
use crate::engine::verdict::{Verdict, percent};
use crate::enrich::hex;
use crate::explain::{Explained, Outage, Totals};
use crate::page::rows;
use crate::page::words::failed;
use crate::read::evidence::{Nanos, SECOND};
use crate::read::text::{printable, shortened};
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// The report for people. The writer takes styles out where there is no terminal.
#[derive(Debug)]
pub struct Text {
    /// Deciding words are coloured; where they cannot be, they stand between `»` and `«`.
    pub colours: bool,
}

impl Report for Text {
    fn is_bare(&self) -> bool {
        false
    }

    fn head(&self, out: &mut dyn Write, summary: &Summary, totals: &Totals) -> io::Result<()> {
        if summary.total == 0 {
            writeln!(out, "{}", none(totals))?;
            return unrecognised(out, totals);
        }
        writeln!(out, "{BOLD}{} in {}{BOLD:#}\n", summary.sentence(), read(totals))?;
        unrecognised(out, totals)
    }

    fn incident(&self, out: &mut dyn Write, outage: &Outage) -> io::Result<()> {
        let incident = &outage.incident;
        let origin = incident.label.origin;
        let times = times(incident.first, incident.last);
        writeln!(out, "{BOLD}INCIDENT{BOLD:#} {RED}{}{RED:#}  {}  {DIM}{times}{DIM:#}", origin.id, failed(incident))?;
        writeln!(out, "  {}", sentence(&incident.label.summary()))?;
        writeln!(out, "  {BOLD}What to do:{BOLD:#} {}", incident.label.hint())?;
        for (name, text) in lines(outage) {
            writeln!(out, "  {DIM}{name:<10}{DIM:#} {text}")?;
        }
        for (index, row) in waterfall::rows(&outage.spans).into_iter().enumerate() {
            let name = if index == 0 { "spans" } else { "" };
            writeln!(out, "  {DIM}{name:<10}{DIM:#} {row}")?;
        }
        writeln!(out)
    }

    fn more_incidents(&self, out: &mut dyn Write, count: u64, failures: u64) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let count = counted(count, "smaller incident", "smaller incidents");
        let failures = counted(failures, "failure", "failures");
        writeln!(out, "{DIM}({count} with {failures} more; --format json has all){DIM:#}\n")
    }

    fn group(&self, out: &mut dyn Write, row: &Row) -> io::Result<()> {
        write!(out, "{BOLD}──{BOLD:#} ")?;
        heading(out, row)?;
        writeln!(out)
    }

    fn request(&self, out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()> {
        let verdict = explained.verdict;
        let status = verdict.status.map_or_else(String::new, |status| format!("{RED}{status}{RED:#} "));
        let what = shortened(&what(verdict), 160);
        let client =
            if verdict.client.is_empty() { String::new() } else { format!(" from {}", printable(&verdict.client)) };
        writeln!(out, "{DIM}{}{DIM:#} {status}{BOLD}{what}{BOLD:#}{client}", time_of(verdict))?;
        let percent = percent(verdict.confidence);
        writeln!(out, "  {RED}{}{RED:#} {DIM}({percent}% sure){DIM:#}: {}", verdict.cause.id, verdict.summary())?;
        for row in explained.rows() {
            self.row(out, &row)?;
        }
        if let Some(trace) = verdict.link.trace {
            writeln!(out, "    trace {} {DIM}(by {}){DIM:#}", hex(&trace.trace_id), verdict.link.method.id())?;
        } else if !verdict.link.candidates.is_empty() {
            let candidates: Vec<String> = verdict.link.candidates.iter().map(|id| hex(id)).collect();
            writeln!(out, "    {DIM}could be trace {}{DIM:#}", candidates.join(" or "))?;
        }
        Ok(())
    }

    fn again(&self, out: &mut dyn Write, again: Option<Again>) -> io::Result<()> {
        if let Some(again) = again {
            let more = super::summary::grouped(again.more);
            let until = when(again.last).map_or_else(String::new, |last| format!(", the last at {last}"));
            writeln!(out, "  {BOLD}and {more} more like it{BOLD:#}{until}")?;
        }
        writeln!(out)
    }

    fn end(&self, out: &mut dyn Write, summary: &Summary, hidden: u64) -> io::Result<()> {
        for row in summary.rows() {
            heading(out, &row)?;
            // Its incident has told what it means and what to do.
            if !row.is_origin {
                writeln!(out, "  {}", sentence(row.cause.summary))?;
                writeln!(out, "  {BOLD}What to do:{BOLD:#} {}", row.cause.hint)?;
            }
        }
        if hidden == 0 {
            return Ok(());
        }
        writeln!(out, "{DIM}({} more; --each or a larger --limit shows them){DIM:#}", super::summary::grouped(hidden))
    }
}

impl Text {
    fn row(&self, out: &mut dyn Write, row: &rows::Row) -> io::Result<()> {
        let mark = if row.deciding { "►" } else { " " };
        write!(out, "  {mark} ")?;
        if let Some(place) = &row.place {
            write!(out, "{CYAN}{place}{CYAN:#} ")?;
        }
        let colon = if row.place.is_none() && row.deciding { ":" } else { "" };
        write!(out, "{DIM}{}{colon}{DIM:#} {}", row.source, row.before)?;
        match (row.words.is_empty(), self.colours) {
            (true, _) => {}
            (false, true) => write!(out, "{RED}{}{RED:#}", row.words)?,
            (false, false) => write!(out, "»{}«", row.words)?,
        }
        writeln!(out, "{}", row.after)?;
        for told in &row.told {
            writeln!(out, "      {DIM}={DIM:#} {told}")?;
        }
        Ok(())
    }
}

fn heading(out: &mut dyn Write, row: &Row) -> io::Result<()> {
    writeln!(
        out,
        "{RED}{}{RED:#}  {} ({:.0}%)  {DIM}{}{DIM:#}",
        row.cause.id,
        super::summary::grouped(row.count),
        row.percent,
        span(row)
    )
}

/// `first to last (56 s)`, or the one time.
pub(super) fn times(first: Nanos, last: Nanos) -> String {
    let seconds = last.saturating_sub(first) / SECOND;
    match (when(first), when(last)) {
        (Some(first), Some(last)) if first == last => first,
        (Some(first), Some(last)) if seconds == 0 => format!("{first} to {last}"),
        (Some(first), Some(last)) => format!("{first} to {last} ({seconds} s)"),
        (None, Some(last)) => format!("up to {last}"),
        _ => NO_TIME.to_owned(),
    }
}

/// `1,234 lines of 3 files`, with the spans where there are any.
pub(super) fn read(totals: &Totals) -> String {
    let lines = counted(totals.lines, "line", "lines");
    let files = counted(totals.files, "file", "files");
    let spans =
        if totals.spans == 0 { String::new() } else { format!(" and {}", counted(totals.spans, "span", "spans")) };
    format!("{lines} of {files}{spans}")
}

/// That nothing failed, or that nothing is known of it.
pub(super) fn none(totals: &Totals) -> String {
    if totals.files == 0 {
        return "Nothing was read, so nothing is known.".to_owned();
    }
    format!("No failed request in {}.", read(totals))
}

fn unrecognised(out: &mut dyn Write, totals: &Totals) -> io::Result<()> {
    if totals.unrecognised * 2 > totals.lines {
        let lines = counted(totals.unrecognised, "line is", "lines are");
        writeln!(out, "{lines} in no known format: `why502 parse FILE` shows what each is read as.\n")?;
    }
    Ok(())
}

pub(super) fn time_of(verdict: &Verdict) -> String {
    when(verdict.time).unwrap_or_else(|| NO_TIME.to_owned())
}

/// `GET /x`, or that there is no request.
pub(super) fn what(verdict: &Verdict) -> String {
    match (verdict.method.is_empty(), verdict.target.is_empty()) {
        (_, true) if verdict.status.is_some() => "a request".to_owned(),
        (_, true) => "no request joined".to_owned(),
        (true, false) => printable(&verdict.target),
        (false, false) => format!("{} {}", printable(&verdict.method), printable(&verdict.target)),
    }
}
