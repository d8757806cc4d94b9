//! The report of `why502 explain`: for people, as JSON lines, or as Markdown for a ticket.
//!
//! What a person reads begins with the summary, which is known only at the end, and a failure is told with its last revision:
//! until then finished blocks wait in a temporary file (module `spill`), so that memory does not grow with the number of
//! failures.

mod good;
pub mod html;
pub mod incidents;
pub mod json;
pub mod markdown;
pub mod schema;
mod spill;
pub mod summary;
pub mod text;
mod waterfall;

use super::places::Places;
use super::{Explained, Outage, Told, Totals};
use crate::engine::incident::Incident;
use crate::engine::verdict::{GoodRequest, Verdict};
use crate::page::words::when;
use crate::read::evidence::Nanos;
use incidents::Incidents;
use spill::Spill;
use std::io::{self, Write};
use summary::{Row, Summary};

/// ` first to last` of a cause.
fn span(row: &Row) -> String {
    match (when(row.first), when(row.last)) {
        (Some(first), Some(last)) => format!("{first} to {last}"),
        (None, Some(last)) => format!("up to {last}"),
        _ => NO_TIME.to_owned(),
    }
}

const NO_TIME: &str = "at an unknown time";

/// Which verdicts are shown, and in which order.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Ids of causes; empty shows all.
    pub causes: Vec<String>,
    /// Only what failed at or after.
    pub since: Option<Nanos>,
    /// Only what failed before.
    pub until: Option<Nanos>,
    /// At most so many requests one by one, of each cause when they stand by cause; the summary counts all. `None`
    /// shows all.
    pub limit: Option<u64>,
    /// Requests stand under their cause instead of in order of time.
    pub by_cause: bool,
    /// Every failure is shown; else each story once, where the report is for people.
    pub each: bool,
}

impl Filter {
    /// True when the verdict is shown.
    pub fn fits(&self, verdict: &Verdict) -> bool {
        (self.causes.is_empty() || self.causes.iter().any(|id| id == verdict.cause.id))
            && self.since.is_none_or(|since| verdict.time >= since)
            && self.until.is_none_or(|until| verdict.time < until)
    }

    /// True when only its time keeps the verdict out.
    fn is_of_other_time(&self, verdict: &Verdict) -> bool {
        let anytime = Filter { since: None, until: None, ..self.clone() };
        !self.fits(verdict) && anytime.fits(verdict)
    }

    /// True when the incident is shown: some failure of it may be.
    pub fn fits_incident(&self, incident: &Incident) -> bool {
        let has = |id: &String| incident.tally.causes.rows().iter().any(|(cause, _)| cause == id);
        (self.causes.is_empty() || self.causes.iter().any(has))
            && self.since.is_none_or(|since| incident.last >= since)
            && self.until.is_none_or(|until| incident.first < until)
    }
}

/// How often a story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// Failures that tell it, beside the one that is shown.
    pub more: u64,
    /// When the last of them was.
    pub last: Nanos,
}

/// Failures that lie outside of `--since` and `--until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    /// How many.
    pub count: u64,
    /// When the first of them was.
    pub first: Nanos,
    /// When the last of them was.
    pub last: Nanos,
}

impl Outside {
    fn note(known: &mut Option<Outside>, time: Nanos) {
        let outside = known.get_or_insert(Outside { count: 0, first: time, last: time });
        outside.count += 1;
        (outside.first, outside.last) = (outside.first.min(time), outside.last.max(time));
    }

    /// Where all of them are, for who asked for another time.
    pub fn words(self) -> Option<String> {
        let failures = summary::counted(self.count, "failure lies", "failures lie");
        let (first, last) = (when(self.first)?, when(self.last)?);
        let times = if first == last { format!("at {first}") } else { format!("from {first} to {last}") };
        Some(format!("nothing failed within --since and --until; {failures} outside of it, {times}"))
    }
}

/// What is told when a report has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Failures that the limit left out of it without a word in it.
    pub hidden: u64,
    /// Failures of another time, where none is shown.
    pub outside: Option<Outside>,
}

/// One way to write the report. The parts are called in the order in which they stand here.
pub trait Report {
    /// True when the report has an object for each failure and each incident, and no summary: then incidents are written as
    /// they end, and failures behind them, each with its last revision.
    fn is_bare(&self) -> bool;

    /// What stands first.
    ///
    /// # Errors
    /// When it cannot be written.
    fn head(&self, out: &mut dyn Write, summary: &Summary, totals: &Totals) -> io::Result<()>;

    /// One incident that is over.
    ///
    /// # Errors
    /// When it cannot be written.
    fn incident(&self, out: &mut dyn Write, outage: &Outage) -> io::Result<()>;

    /// What stands behind the incidents; so many of them, with so many failures, were left out.
    ///
    /// # Errors
    /// When it cannot be written.
    fn more_incidents(&self, out: &mut dyn Write, count: u64, failures: u64) -> io::Result<()>;

    /// The heading over the requests of one cause.
    ///
    /// # Errors
    /// When it cannot be written.
    fn group(&self, out: &mut dyn Write, row: &Row) -> io::Result<()>;

    /// One request.
    ///
    /// # Errors
    /// When it cannot be written.
    fn request(&self, out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()>;

    /// One good request.
    ///
    /// # Errors
    /// When it cannot be written.
    fn good(&self, out: &mut dyn Write, good: &GoodRequest, places: &Places) -> io::Result<()> {
        writeln!(out, "{}", good::line(good, places))
    }

    /// How often the story of the last request is told beside it; what stands between two requests where it is not.
    ///
    /// # Errors
    /// When it cannot be written.
    fn again(&self, out: &mut dyn Write, again: Option<Again>) -> io::Result<()>;

    /// The end: the summary by cause; `hidden` requests were counted and not shown.
    ///
    /// # Errors
    /// When it cannot be written.
    fn end(&self, out: &mut dyn Write, summary: &Summary, hidden: u64) -> io::Result<()>;
}

/// Writes a report from verdicts that come in order of time.
pub struct Writer<'a> {
    report: &'a dyn Report,
    filter: &'a Filter,
    out: &'a mut dyn Write,
    spill: Spill,
    incidents: Incidents,
    outside: Option<Outside>,
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Writer").field("filter", &self.filter).finish_non_exhaustive()
    }
}

impl<'a> Writer<'a> {
    /// A report of what the filter lets through.
    pub fn new(report: &'a dyn Report, filter: &'a Filter, out: &'a mut dyn Write) -> Writer<'a> {
        let each = filter.each || report.is_bare();
        Writer { report, filter, out, spill: Spill::new(each), incidents: Incidents::default(), outside: None }
    }

    /// Takes what comes next.
    ///
    /// # Errors
    /// When it cannot be written, to the output or to the temporary file.
    pub fn told(&mut self, told: Told<'_>) -> io::Result<()> {
        match told {
            Told::Verdict(explained) => self.verdict(&explained),
            Told::Incident(outage) => self.incident(outage),
            Told::Good(good, places) => self.good(good, places),
        }
    }

    fn incident(&mut self, outage: Outage) -> io::Result<()> {
        if !self.filter.fits_incident(&outage.incident) {
            return Ok(());
        }
        if self.report.is_bare() {
            return self.report.incident(self.out, &outage);
        }
        self.incidents.keep(outage);
        Ok(())
    }

    /// Takes one verdict.
    ///
    /// # Errors
    /// When it cannot be written, to the output or to the temporary file.
    pub fn verdict(&mut self, explained: &Explained<'_>) -> io::Result<()> {
        let fits = self.filter.fits(explained.verdict);
        if !fits && explained.verdict.revision == 0 && self.filter.is_of_other_time(explained.verdict) {
            Outside::note(&mut self.outside, explained.verdict.time);
        }
        self.spill.add(explained, fits, self.report, self.filter)
    }

    /// Takes one good request. They stand before what has a summary, because they are written as they come.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn good(&mut self, good: &GoodRequest, places: &Places) -> io::Result<()> {
        let fits = self.filter.causes.is_empty()
            && self.filter.since.is_none_or(|since| good.time >= since)
            && self.filter.until.is_none_or(|until| good.time < until);
        if fits { self.report.good(self.out, good, places) } else { Ok(()) }
    }

    /// Ends the report.
    ///
    /// # Errors
    /// When it cannot be written, or the temporary file cannot be read.
    pub fn finish(mut self, totals: &Totals) -> io::Result<Finished> {
        let mut summary = self.spill.summary()?;
        self.report.head(self.out, &summary, totals)?;
        let (shown, left_out) = self.incidents.shown(self.filter.each || self.report.is_bare());
        for outage in shown {
            summary.note_origin(outage.incident.label.origin);
            self.report.incident(self.out, outage)?;
        }
        self.report.more_incidents(self.out, left_out.incidents, left_out.failures)?;
        let mut shown = 0;
        if self.filter.by_cause {
            for row in summary.rows() {
                if self.filter.limit != Some(0) {
                    self.report.group(self.out, &row)?;
                }
                shown += self.spill.write(self.out, self.report, Some(row.cause), self.filter.limit)?;
            }
        } else {
            shown += self.spill.write(self.out, self.report, None, self.filter.limit)?;
        }
        let hidden = summary.total.saturating_sub(shown);
        self.report.end(self.out, &summary, hidden)?;
        self.out.flush()?;
        let outside = self.outside.filter(|_| summary.total == 0);
        Ok(Finished { hidden: if self.report.is_bare() { hidden } else { 0 }, outside })
    }
}
