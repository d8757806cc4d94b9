//! The report for a person at three in the morning: each failed request with its lines, then causes and what to do.

use super::Report;
use super::summary::Summary;
use crate::engine::text::{printable, shortened};
use crate::engine::time::rfc3339;
use crate::engine::verdict::Verdict;
use crate::enrich::hex;
use crate::explain::{Explained, Totals};
use anstyle::{AnsiColor, Style};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Requests shown one by one for each cause when nobody said how many; the summary counts all.
const EACH_CAUSE_MAX: u64 = 10;
/// Characters of a line in a timeline.
const LINE_CHARS_MAX: usize = 220;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// The report for people. Colours are taken out by the writer where there is no terminal.
#[derive(Debug)]
pub struct Text {
    limit: Option<u64>,
    by_cause: bool,
    summary: Summary,
    shown: BTreeMap<&'static str, u64>,
    shown_all: u64,
    hidden: u64,
}

impl Text {
    /// A report of at most `limit` requests one by one; `by_cause` shows one of each cause.
    pub fn new(limit: Option<u64>, by_cause: bool) -> Text {
        Text { limit, by_cause, summary: Summary::default(), shown: BTreeMap::new(), shown_all: 0, hidden: 0 }
    }

    fn shows(&mut self, verdict: &Verdict) -> bool {
        let of_cause = self.shown.entry(verdict.cause.id).or_default();
        let fits = match (self.by_cause, self.limit) {
            (true, _) => *of_cause < 1,
            (false, Some(limit)) => self.shown_all < limit,
            (false, None) => *of_cause < EACH_CAUSE_MAX,
        };
        if fits {
            *of_cause += 1;
            self.shown_all += 1;
        } else {
            self.hidden += 1;
        }
        fits
    }
}

impl Report for Text {
    fn verdict(&mut self, out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()> {
        self.summary.add(explained.verdict);
        if self.shows(explained.verdict) { request(out, explained) } else { Ok(()) }
    }

    fn finish(&mut self, out: &mut dyn Write, totals: &Totals) -> io::Result<()> {
        if self.summary.total == 0 {
            writeln!(out, "No failed request in {} lines ({} in no known format).", totals.lines, totals.unrecognised)?;
            if totals.lines > 0 && totals.unrecognised * 2 > totals.lines {
                writeln!(out, "Most lines were not recognised: `why502 parse FILE` shows what each is read as.")?;
            }
            return Ok(());
        }
        if self.hidden > 0 {
            writeln!(out, "{DIM}({} more like these; --limit N shows more){DIM:#}\n", self.hidden)?;
        }
        writeln!(out, "{BOLD}{} failed requests in {} lines{BOLD:#}\n", self.summary.total, totals.lines)?;
        for row in self.summary.rows() {
            let share = row.count as f64 * 100.0 / self.summary.total as f64;
            writeln!(
                out,
                "{RED}{}{RED:#}  {} ({share:.0}%)  {DIM}{} to {}{DIM:#}",
                row.cause.id,
                row.count,
                rfc3339(row.first),
                rfc3339(row.last)
            )?;
            writeln!(out, "  {}.", row.cause.summary)?;
            writeln!(out, "  What to do: {}\n", row.cause.hint)?;
        }
        Ok(())
    }
}

fn request(out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()> {
    let verdict = explained.verdict;
    let status = verdict.status.map_or_else(String::new, |status| format!("{status} "));
    let what = match (verdict.method.is_empty(), verdict.target.is_empty()) {
        (_, true) => "no request joined".to_owned(),
        (true, false) => printable(&verdict.target),
        (false, false) => format!("{} {}", printable(&verdict.method), printable(&verdict.target)),
    };
    let client =
        if verdict.client.is_empty() { String::new() } else { format!(" from {}", printable(&verdict.client)) };
    let percent = (verdict.confidence * 100.0).round();
    writeln!(
        out,
        "{DIM}{}{DIM:#} {RED}{status}{RED:#}{BOLD}{}{BOLD:#}{client}",
        rfc3339(verdict.time),
        shortened(&what, 160)
    )?;
    writeln!(out, "  {RED}{}{RED:#} {DIM}({percent}% sure){DIM:#}: {}", verdict.cause.id, verdict.cause.summary)?;
    let deciding: Vec<_> = verdict.evidence.iter().filter_map(|quote| quote.ticket).collect();
    for (source, ticket) in &verdict.records {
        let Some(place) = explained.places.get(*ticket) else { continue };
        let mark = if deciding.contains(ticket) { "►" } else { " " };
        let words = verdict.evidence.iter().find(|quote| quote.ticket == Some(*ticket)).map(|quote| quote.text.clone());
        let text = words.unwrap_or_else(|| shortened(&printable(&place.text), LINE_CHARS_MAX));
        writeln!(
            out,
            "  {mark} {CYAN}{}:{}{CYAN:#} {DIM}{}{DIM:#} {text}",
            printable(&place.file),
            place.line,
            source.id()
        )?;
    }
    for quote in verdict.evidence.iter().filter(|quote| quote.ticket.is_none()) {
        writeln!(out, "  ► {}", quote.text)?;
    }
    if let Some(trace) = verdict.link.trace {
        writeln!(out, "    trace {} {DIM}(by {}){DIM:#}", hex(&trace.trace_id), verdict.link.method.id())?;
    } else if !verdict.link.candidates.is_empty() {
        let candidates: Vec<String> = verdict.link.candidates.iter().map(|id| hex(id)).collect();
        writeln!(out, "    {DIM}could be trace {}{DIM:#}", candidates.join(" or "))?;
    }
    writeln!(out)
}
