//! All files as one stream in order of time.
//!
//! Of each file one item is kept ahead: the next line that proves something. Its place in the order is its own stamp,
//! but never before the item that came before it in its file: lines are written nearly in order, and a stamp that a
//! hostile line forges must not pull the others along.

use super::Totals;
use super::input::{Input, Lines};
use super::places::Place;
use super::survey::Survey;
use super::traces::Traces;
use crate::engine::evidence::{Evidence, Nanos, Proof, SECOND};
use crate::engine::formats::joiner::{Joiner, Pushed};
use crate::engine::formats::{Format, Reader, Reading, SourceMemory, nginx_access};
use crate::engine::verdict::Ticket;
use crate::engine::{Record, Span, Wanted};
use std::collections::VecDeque;
use std::sync::Arc;

/// Text kept of a record for the timeline.
const TEXT_BYTES_MAX: usize = 4_096;
/// A stamp may jump this far ahead of its file's last one; past it the line keeps its place and its stamp is doubted
/// only for the order. Logs have gaps of days; a forged year 2500 is what this is for.
const JUMP_MAX: Nanos = 400 * 86_400 * SECOND;
/// Stamps of so many healthy lines of a file are read, then of one in [`SAMPLE_LINES`]: enough to know which seconds an
/// access log covers.
const EACH_LINE_MAX: u64 = 100_000;
const SAMPLE_LINES: u64 = 32;
/// How often the progress is told.
const PROGRESS_BYTES: u64 = 1 << 20;

/// The next thing in order of time.
#[derive(Debug)]
pub enum Merged {
    /// A line that proves something.
    Record(Box<Record>, Place),
    /// A span.
    Span(Box<Span>, Place),
    /// Healthy requests of an access log, about when they were answered.
    Healthy {
        /// The log stream.
        source: u64,
        /// When.
        at: Nanos,
        /// How many.
        count: u64,
    },
}

/// All files as one stream in order of time.
pub struct Merger<'a> {
    streams: Vec<Stream<'a>>,
    traces: Option<Traces>,
    reader: &'a Reader,
    survey: &'a Survey,
    next_ticket: u64,
    progress: Option<&'a dyn Fn(u64)>,
    bytes: u64,
    bytes_told: u64,
    problems: Vec<String>,
    files: u64,
    lines: u64,
    unrecognised: u64,
}

#[derive(Debug)]
struct Stream<'a> {
    inputs: VecDeque<&'a Input>,
    current: Option<(&'a Input, Lines)>,
    source: u64,
    memory: SourceMemory,
    joiner: Joiner,
    ahead: VecDeque<Ahead>,
    /// Order of the last item.
    order: Nanos,
    /// The last stamp of any line of this stream.
    stamp: Option<Nanos>,
    /// The last second in which a healthy answer is known.
    healthy_second: Option<i64>,
}

#[derive(Debug)]
struct Ahead {
    order: Nanos,
    what: What,
}

#[derive(Debug)]
enum What {
    Evidence(Box<Evidence>, Place),
    Healthy(Nanos),
}

impl<'a> Merger<'a> {
    /// Opens everything; what cannot be opened is a problem and left out.
    pub fn open(
        inputs: &'a [Input],
        traces: &[String],
        reader: &'a Reader,
        survey: &'a Survey,
        progress: Option<&'a dyn Fn(u64)>,
        problems: &mut Vec<String>,
    ) -> Merger<'a> {
        let mut streams: Vec<Stream<'a>> = Vec::new();
        for input in inputs {
            match streams.iter_mut().find(|stream| stream.source == input.stream) {
                Some(stream) => stream.inputs.push_back(input),
                None => streams.push(Stream {
                    inputs: VecDeque::from([input]),
                    current: None,
                    source: input.stream,
                    memory: SourceMemory::default(),
                    joiner: Joiner::default(),
                    ahead: VecDeque::new(),
                    order: Nanos::MIN,
                    stamp: None,
                    healthy_second: None,
                }),
            }
        }
        let traces = (!traces.is_empty()).then(|| Traces::read(traces, problems));
        Merger {
            streams,
            traces,
            reader,
            survey,
            next_ticket: 0,
            progress,
            bytes: 0,
            bytes_told: 0,
            problems: Vec::new(),
            files: 0,
            lines: 0,
            unrecognised: 0,
        }
    }

    /// The next item with its place in the order; `None` at the end of everything.
    pub fn next(&mut self, wanted: &Wanted) -> Option<(Nanos, Merged)> {
        for index in 0..self.streams.len() {
            self.fill(index, wanted);
        }
        let stream = (0..self.streams.len())
            .filter_map(|index| self.streams.get(index)?.ahead.front().map(|ahead| (ahead.order, index)))
            .min();
        let span = self.traces.as_ref().and_then(Traces::peek);
        if let Some(end) = span
            && stream.is_none_or(|(order, _)| end < order)
        {
            let (facts, place) = self.traces.as_mut()?.pop()?;
            let ticket = self.ticket();
            return Some((end, Merged::Span(Box::new(Span { ticket, facts }), place)));
        }
        let (order, index) = stream?;
        let stream = self.streams.get_mut(index)?;
        let source = stream.source;
        let ahead = stream.ahead.pop_front()?;
        let merged = match ahead.what {
            What::Healthy(at) => Merged::Healthy { source, at, count: 1 },
            What::Evidence(evidence, place) => {
                let ticket = self.ticket();
                Merged::Record(Box::new(Record { ticket, source, observed: 0, evidence: *evidence }), place)
            }
        };
        Some((order, merged))
    }

    /// Adds what was read to the totals.
    pub fn finish(self, totals: &mut Totals) {
        totals.files += self.files;
        totals.lines += self.lines;
        totals.unrecognised += self.unrecognised;
        totals.spans += self.traces.as_ref().map_or(0, Traces::count);
        totals.problems.extend(self.problems);
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Reads on until the stream has an item ahead.
    fn fill(&mut self, index: usize, wanted: &Wanted) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        while stream.ahead.is_empty() {
            if stream.current.is_none() {
                let Some(input) = stream.inputs.pop_front() else { return };
                match Lines::open(input) {
                    Ok(lines) => {
                        self.files += 1;
                        stream.current = Some((input, lines));
                    }
                    Err(error) => self.problems.push(format!("{}: cannot be read: {error}", input.name)),
                }
                continue;
            }
            let Some((input, lines)) = stream.current.as_mut() else { return };
            let (before, number) = (lines.bytes, lines.number + 1);
            match lines.next_line() {
                Ok(Some(line)) => {
                    let sampled = is_sampled(self.lines);
                    let mut looked: [Option<Looked>; 2] = [None, None];
                    let mut pushed = stream.joiner.push(line, number);
                    if pushed == Pushed::Ended {
                        let [kept, _] = &mut looked;
                        *kept = stream.joiner.take().map(|(text, first)| {
                            look(self.reader, text.as_bytes(), &mut stream.memory, wanted, false, (&input.name, first))
                        });
                        pushed = stream.joiner.push(line, number);
                    }
                    if pushed == Pushed::Whole {
                        let [_, own] = &mut looked;
                        let place = (&input.name, number);
                        *own = Some(look(self.reader, line, &mut stream.memory, wanted, sampled, place));
                    }
                    self.lines += 1;
                    self.bytes += lines.bytes - before;
                    for looked in looked.into_iter().flatten() {
                        self.unrecognised += u64::from(matches!(looked.reading, Reading::Unrecognised));
                        stream.accept(looked, self.survey);
                    }
                }
                Ok(None) => {
                    if lines.cut > 0 {
                        self.problems.push(format!(
                            "{}: {} lines longer than 1 MiB were read only in part",
                            input.name, lines.cut
                        ));
                    }
                    let kept = stream.joiner.take().map(|(text, first)| {
                        look(self.reader, text.as_bytes(), &mut stream.memory, wanted, false, (&input.name, first))
                    });
                    stream.current = None;
                    if let Some(looked) = kept {
                        self.unrecognised += u64::from(matches!(looked.reading, Reading::Unrecognised));
                        stream.accept(looked, self.survey);
                    }
                }
                Err(error) => {
                    self.problems.push(format!(
                        "{}: line {}: cannot be read on: {error}",
                        input.name,
                        lines.number + 1
                    ));
                    stream.current = None;
                }
            }
            if self.bytes - self.bytes_told >= PROGRESS_BYTES {
                self.bytes_told = self.bytes;
                if let Some(progress) = self.progress {
                    progress(self.bytes);
                }
            }
        }
    }
}

/// What was found in one record.
struct Looked {
    reading: Reading,
    /// When a healthy answer was logged.
    covers: Option<Nanos>,
    place: Option<Place>,
}

fn look(
    reader: &Reader,
    line: &[u8],
    memory: &mut SourceMemory,
    wanted: &Wanted,
    sampled: bool,
    (file, number): (&Arc<str>, u64),
) -> Looked {
    let reading = reader.read(line, memory, wanted);
    let of_access = matches!(reading, Reading::Healthy(Format::NginxAccess | Format::NginxAccessJson));
    let covers = if of_access && sampled { nginx_access::quick_stamp(line) } else { None };
    let place = matches!(reading, Reading::Proves(..)).then(|| Place {
        file: Arc::clone(file),
        line: number,
        text: text_of(line),
    });
    Looked { reading, covers, place }
}

impl Stream<'_> {
    fn accept(&mut self, looked: Looked, survey: &Survey) {
        if let Some(at) = looked.covers {
            self.healthy(at);
        }
        self.take(looked.reading, looked.place, survey);
    }

    /// A healthy request was answered: the access log covers this time.
    fn healthy(&mut self, at: Nanos) {
        let second = at.div_euclid(SECOND);
        if self.healthy_second != Some(second)
            && self.stamp.is_none_or(|last| at.saturating_sub(last).saturating_abs() <= JUMP_MAX)
        {
            self.healthy_second = Some(second);
            self.stamp = Some(at);
            self.order = self.order.max(at);
            self.ahead.push_back(Ahead { order: self.order, what: What::Healthy(at) });
        }
    }

    fn take(&mut self, reading: Reading, place: Option<Place>, survey: &Survey) {
        match reading {
            Reading::Proves(_, evidences) => {
                for evidence in evidences {
                    let order = self.order_of(&evidence, survey);
                    let place = place.clone().unwrap_or(Place { file: Arc::from(""), line: 0, text: String::new() });
                    self.ahead.push_back(Ahead { order, what: What::Evidence(Box::new(evidence), place) });
                }
            }
            Reading::Healthy(_) | Reading::Unrecognised => {}
        }
    }

    fn order_of(&mut self, evidence: &Evidence, survey: &Survey) -> Nanos {
        if let Some(stamp) = evidence.stamp {
            let offset = if stamp.zone_known { 0 } else { survey.zone_of(self.source) };
            let mut at = stamp.nanos.saturating_sub(offset);
            if matches!(evidence.proof, Proof::NginxAccess(_)) {
                // Within its second the access line is the last word.
                at = at.saturating_add(stamp.grain - 1);
            }
            let jumps = self.stamp.is_some_and(|last| at.saturating_sub(last).saturating_abs() > JUMP_MAX);
            if evidence.genuine && !jumps {
                self.stamp = Some(at);
                self.order = self.order.max(at);
            }
        }
        self.order
    }
}

fn is_sampled(lines: u64) -> bool {
    lines < EACH_LINE_MAX || lines.is_multiple_of(SAMPLE_LINES)
}

fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..TEXT_BYTES_MAX).unwrap_or(line)).into_owned()
}
