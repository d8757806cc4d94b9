//! All files as one stream in order of time.
//!
//! Of each stream (module `stream`) one item is kept ahead: the next line that proves something.

use super::Totals;
use super::input::Input;
use super::places::Place;
use super::stream::{Ahead, Context, Stream, What};
use super::survey::Survey;
use super::traces::Traces;
use crate::engine::correlate::slow::SlowSpan;
use crate::engine::correlate::spans::SpanRow;
use crate::engine::verdict::Ticket;
use crate::engine::{Record, place};
use crate::read::Wanted;
use crate::read::evidence::{Nanos, NginxError, Proof, SECOND};
use crate::read::formats::Reader;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

/// An access line is awaited for so long after its error line, as in the engine: its hold, and some seconds of disorder.
const AWAITED_FOR: Nanos = super::HOLD + 15 * SECOND;
/// Files open at once; others are closed until their time comes. Systems allow 256 (macOS) to 1,024.
const OPEN_MAX: usize = 128;
/// The same of compressed files, which are read anew from their beginning after they were closed: as many as the usual
/// limit of 1,024 leaves.
const OPEN_DEAR_MAX: usize = 768;
/// Read ahead of one file: past it reading gets no faster.
const BUFFER_BYTES: usize = 256 * 1024;
/// The same where files are closed and opened again, and what was read ahead is lost.
const SMALL_BUFFER_BYTES: usize = 16 * 1024;
/// Kept of all closed files together: what is left of a file when it is no more than its share need not be read again.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// The next thing in order of time.
#[derive(Debug)]
pub enum Merged {
    /// A line that proves something.
    Record(Box<Record>, Arc<Place>),
    /// The line of a healthy request that carries an id, to learn from.
    Sample(Box<Record>),
    /// A span.
    Span(Box<SpanRow>, Ticket, Arc<place::Place>),
    /// A span that took long, before its row.
    Slow(Box<SlowSpan>),
    /// Healthy requests of an access log, about when they were answered.
    Healthy {
        /// The log stream.
        stream: place::Stream,
        /// When.
        at: Nanos,
        /// How many.
        count: u64,
    },
}

/// All files as one stream in order of time.
pub struct Merger<'a> {
    streams: Vec<Stream<'a>>,
    /// The streams that have an item ahead, by its place in the order.
    next: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// Streams that have not been looked into.
    unfilled: std::ops::Range<usize>,
    /// How often a stream was read.
    reads: u64,
    /// Streams whose file is open, by when they were read last; only where there are too many to keep all open.
    open: BTreeSet<(u64, usize)>,
    /// Those of them that are dear to close.
    open_dear: BTreeSet<(u64, usize)>,
    traces: Option<Traces>,
    /// Request lines whose access line is handed over although it looks healthy.
    wanted: Wanted,
    /// Those of them that the survey did not know, with when their error line came.
    awaited: VecDeque<(Nanos, u64)>,
    next_ticket: u64,
    context: Context<'a>,
}

impl Iterator for Merger<'_> {
    type Item = (Nanos, Merged);

    /// The next item with its place in the order; `None` at the end of everything.
    fn next(&mut self) -> Option<(Nanos, Merged)> {
        while let Some(index) = self.unfilled.next() {
            self.fill(index);
        }
        let stream = self.next.peek().map(|Reverse(first)| *first);
        let span = self.traces.as_ref().and_then(Traces::peek);
        let until = [stream.map(|(order, _)| order), span].into_iter().flatten().min().unwrap_or(Nanos::MAX);
        if let Some(slow) = self.traces.as_mut().and_then(|traces| traces.pop_slow(until)) {
            return Some((slow.end, Merged::Slow(Box::new(slow))));
        }
        if let Some(end) = span
            && stream.is_none_or(|(order, _)| end < order)
        {
            let (span, place) = self.traces.as_mut()?.pop(&mut self.context.problems)?;
            return Some((end, Merged::Span(Box::new(span), self.ticket(), place)));
        }
        let (_, index) = stream?;
        self.next.pop();
        let stream = self.streams.get_mut(index)?;
        let Ahead { order, stream: stream_of, what } = stream.ahead.pop_front()?;
        // Filled before the next item is asked for, when more may be wanted of it.
        match stream.ahead.front() {
            Some(ahead) => self.next.push(Reverse((ahead.order, index))),
            None => self.unfilled = index..index + 1,
        }
        let merged = match what {
            What::Healthy(at) => Merged::Healthy { stream: stream_of, at, count: 1 },
            What::Sample(evidence) => {
                let ticket = self.ticket();
                Merged::Sample(Box::new(Record { ticket, stream: stream_of, observed: 0, evidence: *evidence }))
            }
            What::Evidence(evidence, place) => {
                if let Proof::NginxError(error) = &evidence.proof {
                    self.await_access_line(order, error);
                }
                let ticket = self.ticket();
                Merged::Record(Box::new(Record { ticket, stream: stream_of, observed: 0, evidence: *evidence }), place)
            }
        };
        Some((order, merged))
    }
}

impl<'a> Merger<'a> {
    /// Opens everything; what cannot be opened is a problem and left out.
    pub fn open(
        inputs: &'a [Input],
        traces: &[String],
        reader: &'a Reader,
        survey: &'a Survey,
        progress: Option<&'a super::Telling>,
        problems: &mut Vec<String>,
    ) -> Merger<'a> {
        let mut streams: Vec<Stream<'a>> = Vec::new();
        let mut known: BTreeMap<u64, usize> = BTreeMap::new();
        for input in inputs {
            let next = streams.len();
            let place = *known.entry(input.stream).or_insert(next);
            match streams.get_mut(place) {
                Some(stream) => stream.push(input),
                None => streams.push(Stream::new(input, survey)),
            }
        }
        let traces = (!traces.is_empty()).then(|| Traces::read(traces, !survey.sites().are_one(), problems));
        let buffer_bytes = if streams.len() > OPEN_MAX { SMALL_BUFFER_BYTES } else { BUFFER_BYTES };
        let bytes_all = inputs.iter().map(|input| input.bytes).sum();
        let mut context = Context::new(reader, survey, progress, buffer_bytes, bytes_all);
        context.samples = traces.is_some();
        Merger {
            next: BinaryHeap::with_capacity(streams.len()),
            unfilled: 0..streams.len(),
            reads: 0,
            open: BTreeSet::new(),
            open_dear: BTreeSet::new(),
            streams,
            traces,
            wanted: survey.wanted().clone(),
            awaited: VecDeque::new(),
            next_ticket: 0,
            context,
        }
    }

    /// Every access line is handed over, also of good requests.
    pub fn want_all(&mut self) {
        self.wanted.want_all();
    }

    /// Whether [`Place::text`] is filled, which it is unless told otherwise.
    pub fn keep_texts(&mut self, are_kept: bool) {
        self.context.keeps_texts = are_kept;
    }

    /// Adds what was read to the totals.
    pub fn finish(self, totals: &mut Totals) {
        self.context.finish(totals);
        totals.spans += self.traces.as_ref().map_or(0, Traces::count);
        totals.notes.extend(self.traces.as_ref().and_then(Traces::note));
    }

    /// From now on the access line of this request is looked for, as long as the engine may wait for it.
    fn await_access_line(&mut self, now: Nanos, error: &NginxError) {
        while let Some((since, hash)) = self.awaited.front().copied()
            && since.saturating_add(AWAITED_FOR) < now
        {
            self.wanted.remove(hash);
            self.awaited.pop_front();
        }
        let Some(hash) = error.request_line_hash() else { return };
        // In an outage the survey knows them all.
        if !self.wanted.knows(hash) {
            self.wanted.add(hash);
            self.awaited.push_back((now, hash));
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn fill(&mut self, index: usize) {
        let is_crowded = self.streams.len() > OPEN_MAX;
        if is_crowded {
            self.make_room(index);
        }
        let Some(stream) = self.streams.get_mut(index) else { return };
        self.open.remove(&(stream.used, index));
        self.open_dear.remove(&(stream.used, index));
        self.reads += 1;
        stream.used = self.reads;
        stream.fill(&mut self.context, &self.wanted);
        if is_crowded && stream.is_open() {
            let open = if stream.is_dear_to_close() { &mut self.open_dear } else { &mut self.open };
            open.insert((stream.used, index));
        }
        if let Some(ahead) = stream.ahead.front() {
            self.next.push(Reverse((ahead.order, index)));
        }
    }

    /// Closes the file that was read longest ago, unless the stream that is to be read is open itself.
    fn make_room(&mut self, index: usize) {
        if self.streams.get(index).is_some_and(Stream::is_open) {
            return;
        }
        let kept_bytes_max = (KEPT_BYTES_MAX / self.streams.len().max(1)).min(SMALL_BUFFER_BYTES);
        for (open, open_max) in [(&mut self.open, OPEN_MAX), (&mut self.open_dear, OPEN_DEAR_MAX)] {
            while open.len() >= open_max
                && let Some((_, oldest)) = open.pop_first()
            {
                if let Some(stream) = self.streams.get_mut(oldest) {
                    stream.close(kept_bytes_max);
                }
            }
        }
    }
}
