//! External merge sort of spans by their end: what fits into memory is sorted and written as one run of a temporary
//! file; in the end all runs are read side by side.

use super::stored;
use crate::engine::correlate::spans::SpanRow;
use crate::read::evidence::Nanos;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Spans in memory before they become a run: 44 MiB.
const RUN_SPANS_MAX: usize = 1 << 19;
/// Runs at most: 10 GiB, some 130 million spans.
const RUNS_MAX: usize = 256;
/// Read ahead of each run.
const BUFFER_BYTES: usize = 128 * 1024;

/// Spans, first pushed in any order, then popped in order of their end.
#[derive(Debug)]
pub(super) struct Runs {
    memory: VecDeque<SpanRow>,
    run_spans_max: usize,
    file: Option<File>,
    runs: Vec<Run>,
    /// End of the next span of each run; `runs.len()` is what is in memory.
    next: BinaryHeap<Reverse<(Nanos, usize)>>,
}

#[derive(Debug)]
struct Run {
    /// Of the file, what is not in the buffer yet.
    unread: std::ops::Range<u64>,
    buffer: Vec<u8>,
    at: usize,
    first: Option<SpanRow>,
}

impl Default for Runs {
    fn default() -> Runs {
        Runs {
            memory: VecDeque::new(),
            run_spans_max: RUN_SPANS_MAX,
            file: None,
            runs: Vec::new(),
            next: BinaryHeap::new(),
        }
    }
}

/// What to say when the temporary file fails.
pub(super) fn problem(error: &io::Error) -> String {
    format!("--traces: the temporary file that sorts spans: {error}; is there room in the temporary directory?")
}

impl Runs {
    /// Adds a span; before [`Runs::end`].
    pub(super) fn push(&mut self, span: SpanRow) -> io::Result<()> {
        if self.is_full() {
            return Ok(());
        }
        self.memory.push_back(span);
        if self.memory.len() > self.run_spans_max { self.write_run() } else { Ok(()) }
    }

    /// True when no more can be added.
    pub(super) fn is_full(&self) -> bool {
        self.runs.len() >= RUNS_MAX
    }

    /// Nothing more comes: from now on spans are popped.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.sort();
        if let Some(first) = self.memory.front() {
            self.next.push(Reverse((first.end, self.runs.len())));
        }
        for index in 0..self.runs.len() {
            self.refill(index)?;
        }
        Ok(())
    }

    /// End of the next span.
    pub(super) fn peek(&self) -> Option<Nanos> {
        self.next.peek().map(|Reverse((end, _))| *end)
    }

    /// The next span.
    pub(super) fn pop(&mut self) -> io::Result<Option<SpanRow>> {
        let Some(Reverse((_, index))) = self.next.pop() else { return Ok(None) };
        if let Some(run) = self.runs.get_mut(index) {
            let span = run.first.take();
            self.refill(index)?;
            return Ok(span);
        }
        let span = self.memory.pop_front();
        if let Some(first) = self.memory.front() {
            self.next.push(Reverse((first.end, index)));
        }
        Ok(span)
    }

    /// Equal ends keep the order in which they came.
    fn sort(&mut self) {
        self.memory.make_contiguous().sort_by_key(|span| span.end);
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.sort();
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        let start = file.seek(SeekFrom::End(0))?;
        let mut bytes = Vec::with_capacity(BUFFER_BYTES);
        for span in self.memory.drain(..) {
            stored::write(&span, &mut bytes);
            if bytes.len() >= BUFFER_BYTES {
                file.write_all(&bytes)?;
                bytes.clear();
            }
        }
        file.write_all(&bytes)?;
        let end = file.stream_position()?;
        self.runs.push(Run { unread: start..end, buffer: Vec::new(), at: 0, first: None });
        Ok(())
    }

    /// Reads the next span of a run and puts it into the order.
    fn refill(&mut self, index: usize) -> io::Result<()> {
        let (Some(run), Some(file)) = (self.runs.get_mut(index), self.file.as_mut()) else { return Ok(()) };
        run.first = run.read(file)?;
        if let Some(first) = &run.first {
            self.next.push(Reverse((first.end, index)));
        }
        Ok(())
    }
}

impl Run {
    fn read(&mut self, file: &mut File) -> io::Result<Option<SpanRow>> {
        loop {
            let mut rest = self.buffer.get(self.at..).unwrap_or_default();
            if let Some(span) = stored::read(&mut rest) {
                self.at = self.buffer.len() - rest.len();
                return Ok(Some(span));
            }
            let left = self.unread.end.saturating_sub(self.unread.start);
            if left == 0 {
                // The run is done: its buffer is of no more use.
                self.buffer = Vec::new();
                return Ok(None);
            }
            self.buffer.drain(..self.at.min(self.buffer.len()));
            self.at = 0;
            file.seek(SeekFrom::Start(self.unread.start))?;
            let read = file.take(left.min(BUFFER_BYTES as u64)).read_to_end(&mut self.buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.unread.start += read as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(run_spans_max: usize, runs_expected: std::ops::RangeInclusive<usize>) {
        let mut runs = Runs { run_spans_max, ..Runs::default() };
        let mut expected = Vec::new();
        for number in 0..5_000_u64 {
            let end = Nanos::try_from(number.wrapping_mul(2_654_435_761) % 1_000).unwrap_or(0);
            expected.push((end, number));
            runs.push(SpanRow { end, span_id: number.to_le_bytes(), ..SpanRow::default() }).expect("keeps");
        }
        // Equal ends in the order in which they came.
        expected.sort();
        runs.end().expect("reads");
        assert!(runs_expected.contains(&runs.runs.len()), "{} runs", runs.runs.len());
        let mut found = Vec::new();
        while let Some(end) = runs.peek() {
            let span = runs.pop().expect("reads").expect("a span");
            assert_eq!(span.end, end);
            found.push((end, u64::from_le_bytes(span.span_id)));
        }
        assert_eq!(found, expected);
        assert_eq!(runs.pop().expect("reads"), None);
    }

    #[test]
    fn in_memory_and_in_runs() {
        check(usize::MAX, 0..=0);
        check(300, 5..=50);
        check(2_000, 1..=4);
    }
}
