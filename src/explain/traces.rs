//! Spans of OTLP JSON files, in order of their end.
//!
//! Files hold spans in the order in which they arrived, so they are sorted: in memory as long as they are few, else in
//! runs in a temporary file that are merged (module `runs`). Memory does not grow with the number of spans.

mod runs;
mod stored;

use super::input::{Input, Lines};
use super::report::summary::counted;
use crate::engine::correlate::slow::SlowSpan;
use crate::engine::correlate::spans::SpanRow;
use crate::engine::place::Place;
use crate::otlp::{self, ResourceGroup, Signal};
use crate::read::Wanted;
use crate::read::evidence::Nanos;
use crate::scan::place::Sites;
use runs::Runs;
use std::collections::HashMap;
use std::sync::Arc;

/// Longest request: OTLP's receivers take 64 MiB at most, and the collector's file exporter writes one request a line.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Processes whose place is told apart, some 20 MiB; spans of further ones have none.
const PLACES_MAX: usize = 32_768;

/// Spans that took long and are remembered with their names, 50 MiB; further ones are nameless.
const SLOW_MAX: usize = 262_144;

/// Spans in order of their end.
#[derive(Debug)]
pub struct Traces {
    runs: Runs,
    count: u64,
    /// Whether spans have places.
    are_placed: bool,
    /// Where they were made, by the hash of their resource.
    places: HashMap<u32, Arc<Place>>,
    /// Those past [`SLOW_MAX`], and those that a request has too many of.
    nameless: u64,
    /// Spans that took long; in order of their end once all were read, the next one last.
    slow: Vec<SlowSpan>,
}

impl Traces {
    /// Reads the files. What cannot be read is a problem; everything else is used. Spans are placed by their resource where
    /// `are_placed`, that is where the log files are of several sites.
    pub fn read(files: &[String], are_placed: bool, problems: &mut Vec<String>) -> Traces {
        let (places, slow) = (HashMap::new(), Vec::new());
        let mut traces = Traces { runs: Runs::default(), count: 0, are_placed, places, nameless: 0, slow };
        for input in super::input::expand(files, problems) {
            if let Err(problem) = traces.read_file(&input, problems) {
                problems.push(problem);
            }
        }
        traces.slow.sort_by_key(|span| std::cmp::Reverse(span.end));
        if let Err(error) = traces.runs.end() {
            problems.push(runs::problem(&error));
        }
        traces
    }

    /// End of the next span.
    pub fn peek(&self) -> Option<Nanos> {
        self.runs.peek()
    }

    /// The next span, and where it was made.
    pub fn pop(&mut self, problems: &mut Vec<String>) -> Option<(SpanRow, Arc<Place>)> {
        let span = self.runs.pop().unwrap_or_else(|error| {
            problems.push(runs::problem(&error));
            self.runs = Runs::default();
            None
        })?;
        let place = self.places.get(&span.process).cloned().unwrap_or_default();
        Some((span, place))
    }

    /// The next span that took long and ended by then.
    pub fn pop_slow(&mut self, until: Nanos) -> Option<SlowSpan> {
        self.slow.last().filter(|span| span.end <= until)?;
        self.slow.pop()
    }

    /// How many were read.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What was left out of what is told of spans that took long.
    pub fn note(&self) -> Option<String> {
        let spans =
            counted(self.nameless, "span that took a second or more is", "spans that took a second or more are");
        let words = format!("{spans} not named in evidence and timelines: there are too many of them");
        (self.nameless > 0).then_some(words)
    }

    fn read_file(&mut self, input: &Input, problems: &mut Vec<String>) -> Result<(), String> {
        let name = &input.name;
        let mut lines = Lines::open(input).map_err(|error| format!("{name}: cannot be read: {error}"))?;
        lines.line_bytes_max = REQUEST_BYTES_MAX;
        let mut object = Object::default();
        let mut refused: Option<(String, u64)> = None;
        let mut refuse = |line: u64, error: String| match &mut refused {
            Some((_, more)) => *more += 1,
            None => refused = Some((format!("{name}: line {line}: not OTLP JSON of traces: {error}"), 0)),
        };
        let ended = loop {
            let line = match lines.next_line() {
                Ok(Some(line)) => String::from_utf8_lossy(line).into_owned(),
                Ok(None) => break Ok(()),
                Err(error) => break Err(format!("{name}: line {}: cannot be read on: {error}", lines.number + 1)),
            };
            if object.is_torn_by(&line) {
                refuse(object.first_line, "the object has no end".to_owned());
                object = Object::default();
            }
            object.push(&line, lines.number);
            if object.depth <= 0 || object.text.len() > REQUEST_BYTES_MAX {
                if let Err(error) = self.add(&object) {
                    refuse(object.first_line, error);
                }
                object = Object::default();
            }
            if self.runs.is_full() {
                break Err(format!("{name}: line {}: too many spans; the others are left out", lines.number));
            }
        };
        if !object.text.trim().is_empty() {
            refuse(object.first_line, "the object has no end".to_owned());
        }
        if let Some((problem, more)) = refused {
            let others = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            problems.push(format!("{problem}{others}"));
        }
        if let Some(change) = lines.changed() {
            problems.push(format!("{name}: line {}: {change}", lines.number));
        }
        ended
    }

    fn add(&mut self, object: &Object) -> Result<(), String> {
        if object.text.trim().is_empty() {
            return Ok(());
        }
        let request =
            otlp::json::to_protobuf(Signal::Traces, object.text.as_bytes()).map_err(|error| error.to_string())?;
        let sites = Sites::default();
        let place = |resource: &ResourceGroup<'_>| {
            Arc::new(if self.are_placed { sites.of_resource(resource.attributes()) } else { Place::default() })
        };
        let scanned = crate::scan::spans::scan(&request, usize::MAX, &Wanted::default(), place);
        for (place, rows) in scanned.groups.into_iter().filter(|(place, _)| place.site != 0) {
            if let Some(span) = scanned.rows.get(rows.start)
                && self.places.len() < PLACES_MAX
            {
                self.places.entry(span.process).or_insert(place);
            }
        }
        let room = SLOW_MAX.saturating_sub(self.slow.len());
        self.nameless += scanned.nameless + scanned.slow.len().saturating_sub(room) as u64;
        self.slow.extend(scanned.slow.into_iter().take(room));
        for span in scanned.rows {
            self.count += 1;
            self.runs.push(span).map_err(|error| runs::problem(&error))?;
        }
        Ok(())
    }
}

/// One JSON object, which may be printed over many lines.
#[derive(Debug, Default)]
struct Object {
    text: String,
    first_line: u64,
    /// Open braces and brackets.
    depth: i64,
    in_string: bool,
    escaped: bool,
}

impl Object {
    fn push(&mut self, line: &str, number: u64) {
        if self.text.is_empty() {
            self.first_line = number;
        } else {
            self.text.push('\n');
        }
        self.text.push_str(line);
        for byte in line.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => self.depth -= 1,
                _ => {}
            }
        }
        if self.in_string && line.ends_with('}') {
            // No string of JSON spans lines; the next line decides.
            self.in_string = false;
        }
    }

    /// The writer of the file died in the middle of an object, and the next begins on this line.
    fn is_torn_by(&self, line: &str) -> bool {
        !self.text.is_empty() && line.starts_with("{\"resourceSpans\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(number: u32, end: u32) -> String {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{number:032x}","spanId":"{number:016x}","kind":2,"startTimeUnixNano":"1","endTimeUnixNano":"{end}","attributes":[{{"key":"url.path","value":{{"stringValue":"/{{{number}"}}}}]}}]}}]}}]}}"#
        )
    }

    /// Numbers of the spans in order, and the problems.
    fn check(text: &str, expected: &str, problems_expected: &[&str]) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("t.json");
        std::fs::write(&path, text).expect("a file");
        let mut problems = Vec::new();
        let mut traces = Traces::read(&[path.to_string_lossy().into_owned()], false, &mut problems);
        let mut found = Vec::new();
        while let Some((span, place)) = traces.pop(&mut problems) {
            assert_eq!(place.site, 0, "nothing is placed");
            let number = u64::from_be_bytes(span.span_id);
            assert_eq!(span, span.asking("", &format!("/{{{number}")), "the row has its path");
            found.push(number.to_string());
        }
        assert_eq!(found.join(" "), expected);
        assert_eq!(traces.count(), found.len() as u64);
        assert_eq!(problems.len(), problems_expected.len(), "{problems:?}");
        for (problem, part) in problems.iter().zip(problems_expected) {
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn in_order_of_their_end() {
        check(&format!("{}\n\n{}\n{}", span(1, 30), span(2, 10), span(3, 20)), "2 3 1", &[]);
        let pretty = span(1, 9).replace(",\"", ",\n  \"");
        check(&format!("{pretty}\n{}\n", span(2, 10)), "1 2", &[]);
        check("", "", &[]);
    }

    #[test]
    fn long_spans_without_a_name_are_counted() {
        let spans = |count: u64| -> String {
            let span = |number: u64| {
                format!(
                    r#"{{"traceId":"{number:032x}","spanId":"{number:016x}","kind":1,"startTimeUnixNano":"1","endTimeUnixNano":"5000000000"}}"#
                )
            };
            let spans: Vec<String> = (1..=count).map(span).collect();
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(","))
        };
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("t.json");
        let note = |text: &str| {
            std::fs::write(&path, text).expect("a file");
            Traces::read(&[path.to_string_lossy().into_owned()], false, &mut Vec::new()).note()
        };
        assert_eq!(note(&spans(4_096)), None);
        let told = note(&spans(4_098)).expect("too many in one request");
        assert!(told.starts_with("2 spans that took a second or more are not named"), "{told}");
    }

    #[test]
    fn what_is_damaged_costs_itself() {
        let torn = span(7, 1).chars().take(100).collect::<String>();
        check(&format!("{torn}\n{}\n", span(1, 2)), "1", &["line 1: not OTLP JSON of traces: the object has no end"]);
        check(&format!("hello\n{}\nyou\n{torn}", span(1, 2)), "1", &["line 1: not OTLP JSON"]);
    }

    #[test]
    fn a_long_line_is_one_request() {
        let long = span(1, 2)
            .replace("\"key\":\"url.path\"", &format!("\"key\":\"{}\"}},{{\"key\":\"url.path\"", "x".repeat(3 << 20)));
        check(&format!("{long}\n{}", span(2, 1)), "2 1", &[]);
    }
}
