//! Spans of OTLP JSON files, in order of their end.

use super::input::{Input, Lines};
use super::places::Place;
use crate::engine::evidence::{Nanos, SpanFacts};
use crate::otlp::{self, Signal};
use std::collections::VecDeque;
use std::sync::Arc;

/// Spans of all files; each is about 300 bytes, so 600 MiB at the very worst.
const SPANS_MAX: usize = 2_000_000;
/// One request of a file; the collector's file exporter writes one a line.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// Spans in order of their end.
#[derive(Debug, Default)]
pub struct Traces {
    spans: VecDeque<(SpanFacts, Arc<str>, u64)>,
    count: u64,
}

impl Traces {
    /// Reads the files. What cannot be read is a problem; everything else is used.
    pub fn read(files: &[String], problems: &mut Vec<String>) -> Traces {
        let mut spans = Vec::new();
        for input in super::input::expand(files, problems) {
            if let Err(problem) = read_file(&input, &mut spans) {
                problems.push(problem);
            }
        }
        spans.sort_by_key(|(facts, _, _)| facts.end);
        Traces { count: spans.len() as u64, spans: VecDeque::from(spans) }
    }

    /// End of the next span.
    pub fn peek(&self) -> Option<Nanos> {
        self.spans.front().map(|(facts, _, _)| facts.end)
    }

    /// The next span.
    pub fn pop(&mut self) -> Option<(SpanFacts, Place)> {
        let (facts, file, line) = self.spans.pop_front()?;
        Some((facts, Place { file, line, text: String::new() }))
    }

    /// How many were read.
    pub fn count(&self) -> u64 {
        self.count
    }
}

fn read_file(input: &Input, spans: &mut Vec<(SpanFacts, Arc<str>, u64)>) -> Result<(), String> {
    let name = &input.name;
    let mut lines = Lines::open(input).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    let mut pending = String::new();
    let mut first_line = 1;
    while let Some(line) = lines.next_line().map_err(|error| format!("{name}: cannot be read on: {error}"))? {
        let text = String::from_utf8_lossy(line).into_owned();
        let number = lines.number;
        if lines.bytes > FILE_BYTES_MAX || spans.len() >= SPANS_MAX {
            return Err(format!("{name}: line {number}: too many spans; cut the file by time"));
        }
        if pending.is_empty() {
            first_line = number;
        }
        pending.push_str(&text);
        // One request a line is the usual case; a pretty-printed object ends some lines further down.
        match otlp::json::to_protobuf(Signal::Traces, pending.as_bytes()) {
            Ok(request) => {
                add(&request, name, first_line, spans);
                pending.clear();
            }
            Err(_) if pending.trim().is_empty() => pending.clear(),
            Err(error) if pending.len() > super::input::LINE_BYTES_MAX * 16 => {
                return Err(format!("{name}: line {first_line}: not OTLP JSON: {error}"));
            }
            Err(_) => pending.push('\n'),
        }
    }
    if pending.trim().is_empty() {
        return Ok(());
    }
    match otlp::json::to_protobuf(Signal::Traces, pending.as_bytes()) {
        Ok(request) => {
            add(&request, name, first_line, spans);
            Ok(())
        }
        Err(error) => Err(format!("{name}: line {first_line}: not OTLP JSON: {error}")),
    }
}

fn add(request: &[u8], name: &Arc<str>, line: u64, spans: &mut Vec<(SpanFacts, Arc<str>, u64)>) {
    crate::scan::spans::for_each(request, |_, facts| spans.push((facts, Arc::clone(name), line)));
}
