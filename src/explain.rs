//! `why502 explain`: the engine of the live pipeline on files of any age and size.
//!
//! ```text
//!  file ─► lines ─► reader ─┐
//!  file ─► lines ─► reader ─┼─► merged by time ─► engine ─► report
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

use crate::engine::verdict::Verdict;
use crate::engine::{Decision, Engine, Output, Settings};
use crate::read::evidence::{Nanos, SECOND};
use crate::read::formats::Reader;
use crate::read::nginx_conf::NginxConf;
use merge::{Merged, Merger};
use places::{Places, Remembered};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

/// How long a request waits, in the time of the logs. A restart takes some seconds and spans come up to 7 s late; memory
/// holds a minute of failing requests, not of all.
const HOLD: Nanos = 60 * SECOND;
/// Failing requests open at once, and as many decided ones; each takes about 5 KiB with its lines and its verdict, so
/// 200 MiB at the worst. Past 300 failures a second they get their verdict before the hold is over.
const REQUESTS_MAX: usize = 20_000;

/// Read ahead of standard input for the first look: some 20,000 lines.
const PEEK_BYTES: u64 = 4 << 20;

/// Verdicts that are handed over to the report at once; fewer where the logs go on by a second.
const TOLD_MAX: usize = 64;
/// Such batches on their way.
const TOLD_BATCHES_MAX: usize = 16;

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
}

/// One verdict with where its records stand.
#[derive(Debug)]
pub struct Explained<'a> {
    /// The verdict.
    pub verdict: &'a Verdict,
    /// Where its records stand.
    pub places: &'a Places,
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
    run_while(options, reader, |one| {
        explained(one);
        ControlFlow::Continue(())
    })
}

/// The same until there is no more use in it: whoever read the report has gone.
///
/// The report is made on this thread while another one reads on.
pub fn run_while(
    options: &Options,
    reader: &Reader,
    mut explained: impl FnMut(Explained<'_>) -> ControlFlow<()>,
) -> Totals {
    let (sender, told) = sync_channel::<Vec<Told>>(TOLD_BATCHES_MAX);
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("explain".to_owned());
        let worker = match worker.spawn_scoped(scope, move || judge(options, reader, sender)) {
            Ok(worker) => worker,
            Err(error) => {
                let problem = format!("nothing was read: no thread can be started: {error}");
                return Totals { problems: vec![problem], ..Totals::default() };
            }
        };
        let one_by_one = told.iter().flatten();
        for Told { verdict, places } in one_by_one {
            if explained(Explained { verdict: &verdict, places: &places }).is_break() {
                break;
            }
        }
        // Where the report is no longer wanted, the other thread finds nobody to tell and ends.
        drop(told);
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A verdict on its way to the report.
struct Told {
    verdict: Arc<Verdict>,
    places: Places,
}

/// Verdicts that wait to be told together.
struct Teller {
    sender: SyncSender<Vec<Told>>,
    batch: Vec<Told>,
    /// When the first of them was reached, in the time of the logs.
    since: Nanos,
}

impl Teller {
    /// Sends what waits, where it is enough or waited for long; breaks when nobody listens any more.
    fn tell(&mut self, now: Nanos) -> ControlFlow<()> {
        let is_due = self.batch.len() >= TOLD_MAX || now.saturating_sub(self.since) >= SECOND;
        if self.batch.is_empty() || !is_due { ControlFlow::Continue(()) } else { self.tell_all() }
    }

    fn tell_all(&mut self) -> ControlFlow<()> {
        let batch = std::mem::take(&mut self.batch);
        if self.sender.send(batch).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Reads everything and tells each verdict.
fn judge(options: &Options, reader: &Reader, sender: SyncSender<Vec<Told>>) -> Totals {
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
    let settings =
        Settings { hold: HOLD, requests_max: REQUESTS_MAX, nginx: options.nginx.clone(), ..Settings::default() };
    let mut engine = Engine::new(settings);
    engine.want(surveyed.wanted().clone());
    let mut remembered = Remembered::default();
    let mut teller = Teller { sender, batch: Vec::new(), since: Nanos::MIN };
    let mut now = Nanos::MIN;
    loop {
        // No copy is kept while the engine changes it: that would cost a copy of all of it for each failed request.
        let wanted = engine.wanted();
        let next = merger.next(&wanted);
        drop(wanted);
        let Some((time, item)) = next else { break };
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
            Merged::Span(span, place) => {
                let ticket = span.ticket;
                remembered.keep(ticket, place);
                if engine.handle_span(now, *span) == Decision::Pass {
                    remembered.released(ticket);
                }
            }
            Merged::Healthy { stream, at, count } => engine.handle_healthy(at, &stream, count),
        }
        drain(&mut engine, &mut remembered, &mut teller, now);
        if teller.tell(now).is_break() {
            merger.finish(&mut totals);
            return totals;
        }
    }
    engine.finish(now);
    drain(&mut engine, &mut remembered, &mut teller, now);
    // The last ones: nothing is left to be stopped.
    let _ = teller.tell_all();
    merger.finish(&mut totals);
    totals
}

/// Takes what the engine has to say.
fn drain(engine: &mut Engine, remembered: &mut Remembered, teller: &mut Teller, now: Nanos) {
    let mut released = Vec::new();
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Release { ticket, .. } => released.push(ticket),
            Output::Verdict(verdict) => {
                let places = remembered.of(&verdict);
                if teller.batch.is_empty() {
                    teller.since = now;
                }
                teller.batch.push(Told { verdict, places });
            }
        }
    }
    for ticket in released {
        remembered.released(ticket);
    }
}
