//! `why502 explain`: the engine of the live pipeline on files of any age and size.
//!
//! ```text
//!  file ─► lines ─► reader ─┐
//!  file ─► lines ─► reader ─┼─► merged by time ═► engine ═► report         ═► from one thread to the next
//!  traces ─► spans ─────────┘
//! ```
//!
//! Memory is bounded whatever the size of the files: of each file only the next line that proves something is kept, of
//! the engine what lies within its hold. Lines of regular files are sampled first ([`survey`]): their zone is inferred,
//! and the request lines of error logs are noted, so that the access line of a truncated answer (status 200) is found.

mod clocks;
pub mod input;
pub mod merge;
pub mod places;
pub mod report;
mod sites;
mod stream;
pub mod survey;
pub mod traces;
pub mod zones;

use crate::engine::correlate::slow::SlowSpan;
use crate::engine::incident::{Incident, State};
use crate::engine::span_watch::may_be_own;
use crate::engine::verdict::{GoodRequest, Verdict};
use crate::engine::{Decision, Engine, Output, Settings};
use crate::page::rows::{Row, rows};
use crate::read::evidence::{Nanos, SECOND};
use crate::read::formats::Reader;
use crate::read::nginx_conf::NginxConf;
use merge::{Merged, Merger};
use places::{Place, Places, Remembered};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// How long a request waits, in the time of the logs. A restart takes some seconds and spans come up to 7 s late; memory
/// holds a minute of failing requests, not of all.
const HOLD: Nanos = 60 * SECOND;
/// Failing requests open at once, and as many decided ones; each takes about 5 KiB with its lines and its verdict, so
/// 200 MiB at the worst. Past 300 failures a second they get their verdict before the hold is over.
const REQUESTS_MAX: usize = 20_000;

/// Read ahead of standard input for the first look: some 20,000 lines.
const PEEK_BYTES: u64 = 4 << 20;

/// Lines, and verdicts, that one thread hands to the next at once; fewer where the logs go on by a second.
const BATCH_MAX: usize = 128;
/// Such batches on their way: some 2 MiB of lines.
const BATCHES_MAX: usize = 8;

/// Takes bytes done, and bytes in all.
pub type Progress = Box<Telling>;
/// The same where it is only called.
type Telling = dyn Fn(u64, Option<u64>) + Send + Sync;

/// What is read and how.
#[derive(Default)]
pub struct Options {
    /// Log files, globs and directories; `-` is standard input.
    pub files: Vec<String>,
    /// OTLP JSON files of traces.
    pub traces: Vec<String>,
    /// Offset of local time in nginx's error logs ahead of UTC; inferred where `None`.
    pub zone: Option<Nanos>,
    /// nginx's configuration, where it is known: what it says of upstreams and timeouts feeds the causes.
    pub nginx: Option<Arc<NginxConf>>,
    /// Says how many bytes of the files were read so far, as they are on disk, and of how many; `None` where a pipe is
    /// among them. Called about every MiB of lines.
    pub progress: Option<Progress>,
    /// The report shows no line of a file, so that [`places::Place::text`] may be empty.
    pub without_texts: bool,
    /// Good requests are told as well, each with its trace: every access line is read, which takes some ten times as long.
    pub all: bool,
}

/// One verdict with where its records stand.
#[derive(Debug)]
pub struct Explained<'a> {
    /// The verdict.
    pub verdict: &'a Verdict,
    /// Where its records stand.
    pub places: &'a Places,
}

impl Explained<'_> {
    /// Its lines and conclusions, as reports show them.
    pub fn rows(&self) -> Vec<Row> {
        rows(self.verdict, |ticket| self.places.get(ticket).map(Place::shown))
    }
}

/// An incident that is over, with where the words about its origin stand.
#[derive(Clone, Debug)]
pub struct Outage {
    /// The incident, closed.
    pub incident: Arc<Incident>,
    /// Where its evidence stands, if that is still known.
    pub place: Option<Arc<Place>>,
    /// The spans that took long of its first example that has any; empty without traces.
    pub spans: Vec<SlowSpan>,
}

/// What the report is told, one after the other.
#[derive(Debug)]
pub enum Told<'a> {
    /// A verdict, or a revision of one.
    Verdict(Explained<'a>),
    /// An incident, when it is over.
    Incident(Outage),
    /// A good request with where its records stand; only with [`Options::all`].
    Good(&'a GoodRequest, &'a Places),
}

/// What was read, for the end of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files read.
    pub files: u64,
    /// Lines read.
    pub lines: u64,
    /// Lines in no known format.
    pub unrecognised: u64,
    /// Spans read.
    pub spans: u64,
    /// What could not be read, one sentence each.
    pub problems: Vec<String>,
    /// What was found out about the files and taken into account, one sentence each.
    pub notes: Vec<String>,
}

/// Reads everything and hands over each verdict as it is reached, in order of the time of the logs.
pub fn run(options: &Options, reader: &Reader, mut explained: impl FnMut(Explained<'_>)) -> Totals {
    run_while(options, reader, |told| {
        if let Told::Verdict(one) = told {
            explained(one);
        }
        ControlFlow::Continue(())
    })
}

/// The same with incidents, until there is no more use in it: whoever read the report has gone.
///
/// One thread reads, one judges, and the report is made on this one. Each hands its work on in order, so that the report
/// is the same whichever of them is ahead.
pub fn run_while(options: &Options, reader: &Reader, mut tell: impl FnMut(Told<'_>) -> ControlFlow<()>) -> Totals {
    let (found, items) = sync_channel(BATCHES_MAX);
    let (reached, told) = sync_channel(BATCHES_MAX);
    let mut found = Batches::new(found);
    let mut reached = Batches::new(reached);
    thread::scope(|scope| {
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let started = named("read").spawn_scoped(scope, move || read(options, reader, &mut found));
        let reading = match started {
            Ok(reading) => reading,
            Err(error) => return without_thread(&error),
        };
        let started = named("judge").spawn_scoped(scope, move || judge(options, &items, &mut reached));
        if let Err(error) = started {
            return without_thread(&error);
        }
        for reached in told.iter().flatten() {
            let told = match &reached {
                Reached::Verdict { verdict, places } => Told::Verdict(Explained { verdict, places }),
                Reached::Incident(outage) => Told::Incident(outage.clone()),
                Reached::Good { good, places } => Told::Good(good, places),
            };
            if tell(told).is_break() {
                break;
            }
        }
        // Where the report is no longer wanted, the others find nobody to hand on to and end.
        drop(told);
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn without_thread(error: &std::io::Error) -> Totals {
    Totals { problems: vec![format!("nothing was read: no thread can be started: {error}")], ..Totals::default() }
}

/// A verdict, an incident or a good request on its way to the report.
enum Reached {
    Verdict { verdict: Arc<Verdict>, places: Places },
    Incident(Outage),
    Good { good: Arc<GoodRequest>, places: Places },
}

/// What one thread hands to the next, many at once: a hand-over costs more than most of what is handed over.
struct Batches<T> {
    sender: SyncSender<Vec<T>>,
    batch: Vec<T>,
    /// The time of the first of them, in the time of the logs.
    since: Nanos,
}

impl<T> Batches<T> {
    fn new(sender: SyncSender<Vec<T>>) -> Batches<T> {
        Batches { sender, batch: Vec::new(), since: Nanos::MIN }
    }

    /// Adds one, and hands over what waits where that is much or waited for long; breaks where nobody takes it any more.
    fn push(&mut self, now: Nanos, one: T) -> ControlFlow<()> {
        if self.batch.is_empty() {
            self.since = now;
            self.batch.reserve_exact(BATCH_MAX);
        }
        self.batch.push(one);
        let is_due = self.batch.len() >= BATCH_MAX || now.saturating_sub(self.since) >= SECOND;
        if is_due { self.hand_over() } else { ControlFlow::Continue(()) }
    }

    /// Hands over what waits.
    fn hand_over(&mut self) -> ControlFlow<()> {
        let batch = std::mem::take(&mut self.batch);
        if self.sender.send(batch).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Reads everything, in order of the time of the logs.
fn read(options: &Options, reader: &Reader, found: &mut Batches<(Nanos, Merged)>) -> Totals {
    let mut totals = Totals::default();
    let mut inputs = input::expand(&options.files, &mut totals.problems);
    for input in &mut inputs {
        if let Err(error) = input.peek(PEEK_BYTES) {
            totals.problems.push(format!("{}: cannot be read: {error}", input.name));
        }
    }
    let surveyed = survey::survey(&inputs, reader, options.zone);
    totals.notes.extend(surveyed.wrong_clocks(&inputs));
    let mut merger =
        Merger::open(&inputs, &options.traces, reader, &surveyed, options.progress.as_deref(), &mut totals.problems);
    merger.keep_texts(!options.without_texts);
    if options.all {
        merger.want_all();
    }
    for (time, item) in merger.by_ref() {
        if found.push(time, (time, item)).is_break() {
            break;
        }
    }
    // Where nobody takes the last ones, nobody takes anything any more.
    let _ = found.hand_over();
    merger.finish(&mut totals);
    totals
}

/// Judges what was read, until it ends or nobody wants to be told any more.
fn judge(options: &Options, items: &Receiver<Vec<(Nanos, Merged)>>, reached: &mut Batches<Reached>) {
    let settings = Settings {
        hold: HOLD,
        requests_max: REQUESTS_MAX,
        link_all: options.all,
        nginx: options.nginx.clone(),
        ..Settings::default()
    };
    let mut engine = Engine::new(settings);
    let mut remembered = Remembered::default();
    let mut now = Nanos::MIN;
    for (time, item) in items.iter().flatten() {
        now = now.max(time);
        engine.handle_timeout(now);
        match item {
            Merged::Record(record, place) => {
                let ticket = record.ticket;
                remembered.keep(ticket, place);
                if engine.handle_record(now, *record) == Decision::Pass {
                    remembered.released(ticket);
                }
            }
            Merged::Span(span, ticket, place) => {
                let held = may_be_own(&span, &engine.named()).then_some((0, ticket));
                engine.handle_spans(now, &place, &[*span], held.as_slice());
            }
            Merged::Slow(span) => engine.handle_slow([*span]),
            Merged::Sample(record) => engine.handle_sample(now, *record),
            Merged::Healthy { stream, at, count } => engine.handle_healthy(at, &stream, count),
        }
        if drain(&mut engine, &mut remembered, reached, now).is_break() {
            return;
        }
    }
    engine.finish(now);
    // The last ones: nothing is left to be stopped.
    let _ = drain(&mut engine, &mut remembered, reached, now);
    let _ = reached.hand_over();
}

/// Takes what the engine has to say.
fn drain(
    engine: &mut Engine,
    remembered: &mut Remembered,
    reached: &mut Batches<Reached>,
    now: Nanos,
) -> ControlFlow<()> {
    let mut released = Vec::new();
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Release { ticket, .. } => released.push(ticket),
            Output::Verdict(verdict) => {
                let places = remembered.of(&verdict);
                reached.push(now, Reached::Verdict { verdict, places })?;
            }
            Output::Good(good) => {
                let places = remembered.of_records(&good.records);
                reached.push(now, Reached::Good { good, places })?;
            }
            // What it was while it was open is told by what it was in the end.
            Output::Incident(incident) if incident.state == State::Closed => {
                let place = incident.evidence.as_ref().and_then(|quote| remembered.place(quote.ticket?));
                let traces = incident.examples.iter().filter_map(|example| example.trace);
                let spans = traces.map(|trace| engine.slow_spans(&trace.trace_id)).find(|spans| !spans.is_empty());
                let spans = spans.unwrap_or_default().to_vec();
                reached.push(now, Reached::Incident(Outage { incident, place, spans }))?;
            }
            Output::Incident(_) => {}
        }
    }
    for ticket in released {
        remembered.released(ticket);
    }
    ControlFlow::Continue(())
}
