//! What the page keeps beside verdicts: their lines with their times, lines about processes, failures by minute.
//!
//! Bounded by number and by bytes, whatever is logged: of a storm the first requests of each incident and a few of each
//! second keep their lines, of the others only the words that decided. Off until somebody serves the page.

use crate::engine::correlate::slow::SlowSpan;
use crate::engine::verdict::{Source, Ticket, Verdict};
use crate::page::rate::Rates;
use crate::page::rows::{Line, Row, rows};
use crate::read::evidence::{Nanos, SECOND};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of all lines that are kept.
const BYTES_MAX: usize = 4 << 20;
/// Requests that keep their lines.
const DETAILS_MAX: usize = 4_096;
/// Of each incident the first so many keep their lines in any case.
const OF_INCIDENT: u32 = 32;
/// Of the others so many of each second do: a person reads no more.
const OF_SECOND: u32 = 16;
/// Incidents whose first requests are counted; the oldest is forgotten, and counts anew.
const INCIDENTS_MAX: usize = 1_000;
/// Lines of one request.
pub const LINES_MAX: usize = 24;
/// Bytes of one line.
pub const LINE_BYTES_MAX: usize = 2_048;
/// Lines about processes, of all streams: some 300 bytes each, and a Gunicorn that lives writes one a minute at most.
const PROCESSES_MAX: usize = 2_048;
/// Spans of one request.
const SPANS_MAX: usize = 32;
/// What a line, a request or a span takes beside its bytes.
const OVERHEAD: usize = 128;

/// A line that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptLine {
    /// When it was written.
    pub at: Option<Nanos>,
    /// Where it stands; empty where nothing says so.
    pub place: String,
    /// Its text, at most [`LINE_BYTES_MAX`].
    pub text: String,
}

impl KeptLine {
    fn shown(&self) -> Line<'_> {
        Line { at: self.at, place: self.place.as_str().into(), text: &self.text }
    }

    fn bytes(&self) -> usize {
        self.place.len() + self.text.len() + OVERHEAD
    }
}

/// A line about a process.
#[derive(Clone, Debug)]
struct Process {
    stream: u64,
    source: Source,
    line: Arc<KeptLine>,
}

/// What is kept of one failed request.
#[derive(Clone, Debug)]
pub struct Detail {
    /// Its last revision.
    pub verdict: Arc<Verdict>,
    /// Its lines.
    lines: Vec<(Ticket, Arc<KeptLine>)>,
    /// Spans of its trace.
    pub spans: Vec<SlowSpan>,
}

impl Detail {
    /// What is shown of its lines, in order of time.
    pub fn rows(&self) -> Vec<Row> {
        let line = |ticket| self.lines.iter().find(|(of, _)| *of == ticket).map(|(_, line)| line.shown());
        let mut rows = rows(&self.verdict, line);
        crate::page::rows::in_order(&mut rows);
        rows
    }

    fn bytes(&self) -> usize {
        let lines: usize = self.lines.iter().map(|(_, line)| line.bytes()).sum();
        lines + self.spans.len() * 2 * OVERHEAD + OVERHEAD
    }
}

#[derive(Debug, Default)]
struct Inner {
    details: BTreeMap<String, Arc<Detail>>,
    order: VecDeque<String>,
    bytes: usize,
    /// How many requests of an incident have kept their lines.
    of_incident: BTreeMap<String, u32>,
    incidents: VecDeque<String>,
    /// The second that is counted, and how many of it have.
    of_second: (i64, u32),
    processes: BTreeMap<Ticket, Process>,
    rates: Rates,
}

/// What is kept; clones share it. Keeps nothing until it is switched on.
#[derive(Clone, Debug, Default)]
pub struct Details(Option<Arc<Mutex<Inner>>>);

impl Details {
    /// Keeps what it is given.
    pub fn on() -> Details {
        Details(Some(Arc::default()))
    }

    /// True where somebody will look.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn inner(&self) -> Option<MutexGuard<'_, Inner>> {
        self.0.as_ref().map(|inner| inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a line about a process.
    pub fn note_process(&self, ticket: Ticket, stream: u64, source: Source, line: KeptLine) {
        let Some(mut inner) = self.inner() else { return };
        inner.processes.insert(ticket, Process { stream, source, line: Arc::new(line) });
        if inner.processes.len() > PROCESSES_MAX {
            inner.processes.pop_first();
        }
    }

    /// A line about a process that is kept.
    pub fn process(&self, ticket: Ticket) -> Option<Arc<KeptLine>> {
        self.inner()?.processes.get(&ticket).map(|process| Arc::clone(&process.line))
    }

    /// Counts a verdict, in the place of what it revises, and says whether its lines are to be kept.
    pub fn count(&self, now: Nanos, verdict: &Verdict, before: Option<&Verdict>) -> bool {
        let Some(mut inner) = self.inner() else { return false };
        if let Some(before) = before {
            inner.rates.remove(before.time, before.cause);
        }
        inner.rates.add(verdict.time, verdict.cause);
        if inner.details.contains_key(&verdict.uid) {
            return true;
        }
        let uid = verdict.incident.as_ref().map(|label| label.uid.as_str()).unwrap_or_default();
        let kept = inner.of_incident.get(uid).copied().unwrap_or(0);
        if kept < OF_INCIDENT {
            if inner.of_incident.insert(uid.to_owned(), kept + 1).is_none() {
                inner.incidents.push_back(uid.to_owned());
            }
            if inner.incidents.len() > INCIDENTS_MAX
                && let Some(oldest) = inner.incidents.pop_front()
            {
                inner.of_incident.remove(&oldest);
            }
            return true;
        }
        let second = now.div_euclid(SECOND);
        let (known, count) = inner.of_second;
        inner.of_second = if known == second { (second, count.saturating_add(1)) } else { (second, 1) };
        inner.of_second.1 <= OF_SECOND
    }

    /// Keeps the lines and spans of a verdict. Lines that an earlier revision had and that are gone by now stay.
    pub fn keep(&self, verdict: &Arc<Verdict>, mut lines: Vec<(Ticket, Arc<KeptLine>)>, mut spans: Vec<SlowSpan>) {
        let Some(mut inner) = self.inner() else { return };
        if let Some(before) = inner.details.remove(&verdict.uid) {
            inner.bytes = inner.bytes.saturating_sub(before.bytes());
            inner.order.retain(|uid| *uid != verdict.uid);
            for (ticket, line) in &before.lines {
                if lines.iter().all(|(known, _)| known != ticket) {
                    lines.push((*ticket, Arc::clone(line)));
                }
            }
            let is_known = |span: &SlowSpan| spans.iter().any(|known| known.span_id == span.span_id);
            let old: Vec<SlowSpan> = before.spans.iter().filter(|span| !is_known(span)).cloned().collect();
            spans.extend(old);
        }
        lines.truncate(LINES_MAX);
        spans.truncate(SPANS_MAX);
        let detail = Detail { verdict: Arc::clone(verdict), lines, spans };
        inner.bytes += detail.bytes();
        inner.details.insert(verdict.uid.clone(), Arc::new(detail));
        inner.order.push_back(verdict.uid.clone());
        while inner.order.len() > DETAILS_MAX || inner.bytes > BYTES_MAX && inner.order.len() > 1 {
            let Some(oldest) = inner.order.pop_front() else { break };
            if let Some(gone) = inner.details.remove(&oldest) {
                inner.bytes = inner.bytes.saturating_sub(gone.bytes());
            }
        }
    }

    /// Keeps a span of a verdict's trace, where its lines are kept.
    pub fn add_span(&self, uid: &str, span: impl FnOnce() -> Option<SlowSpan>) {
        let Some(mut inner) = self.inner() else { return };
        let Some(detail) = inner.details.get_mut(uid).filter(|detail| detail.spans.len() < SPANS_MAX) else { return };
        let Some(span) = span() else { return };
        if detail.spans.iter().all(|known| known.span_id != span.span_id) {
            Arc::make_mut(detail).spans.push(span);
            inner.bytes += 2 * OVERHEAD;
        }
    }

    /// What is kept of a request.
    pub fn get(&self, uid: &str) -> Option<Arc<Detail>> {
        self.inner()?.details.get(uid).cloned()
    }

    /// What is kept of requests of an incident, the first `limit` that were.
    pub fn of_incident(&self, incident: &str, limit: usize) -> Vec<Arc<Detail>> {
        let Some(inner) = self.inner() else { return Vec::new() };
        let of = |detail: &&Arc<Detail>| detail.verdict.incident.as_ref().is_some_and(|label| label.uid == incident);
        inner.order.iter().filter_map(|uid| inner.details.get(uid)).filter(of).take(limit).cloned().collect()
    }

    /// Lines about processes within these times, out of the streams that these lines are of.
    pub fn around(&self, tickets: &[Ticket], from: Nanos, to: Nanos) -> Vec<Row> {
        let Some(inner) = self.inner() else { return Vec::new() };
        let mut streams: Vec<u64> =
            tickets.iter().filter_map(|ticket| inner.processes.get(ticket)).map(|process| process.stream).collect();
        streams.sort_unstable();
        streams.dedup();
        let is_near = |line: &KeptLine| line.at.is_some_and(|at| (from..=to).contains(&at));
        let of =
            inner.processes.iter().filter(|(_, process)| streams.contains(&process.stream) && is_near(&process.line));
        of.map(|(ticket, process)| crate::page::rows::plain(*ticket, process.source, &process.line.shown())).collect()
    }

    /// Failures by minute.
    pub fn rates(&self) -> Rates {
        self.inner().map(|inner| inner.rates.clone()).unwrap_or_default()
    }
}
