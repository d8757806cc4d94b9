//! From the bytes of a request to what it proves. Pure, and run where the bytes arrived, on every core.
//!
//! A record that proves nothing costs a walk to its body and a look at its status. What is remembered of each source
//! (the format of its lines) is a cache that may be lost.

pub mod spans;

use crate::engine::Wanted;
use crate::engine::evidence::{Evidence, Nanos, Stamp, TraceContext};
use crate::engine::formats::{Format, Reader, Reading, SourceMemory};
use crate::engine::text::hash64;
use crate::otlp::{AnyValue, Attributes, Item, LogRecord, Request, Surroundings};
use std::collections::HashMap;
use std::ops::Range;

/// Sources remembered; past it all are forgotten, which costs a second look at their next lines.
const SOURCES_MAX: usize = 4_096;
/// Attributes of a record that a collector parsed which are looked at.
const FIELDS_MAX: usize = 64;
/// Longest text that is read, as `explain` and `tail` cut their lines: a record may have 64 MiB, which would keep a core
/// for seconds. The record itself goes on whole.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Formats counted: the length of [`FORMATS`].
const FORMATS_COUNT: usize = 7;

/// Formats in the order of [`Scanned::recognised`].
pub const FORMATS: [Format; FORMATS_COUNT] = [
    Format::NginxError,
    Format::NginxAccess,
    Format::NginxAccessJson,
    Format::Gunicorn,
    Format::GunicornAccess,
    Format::Exception,
    Format::Host,
];

/// What is remembered of all sources.
#[derive(Debug, Default)]
pub struct Memories {
    by_source: HashMap<u64, SourceMemory>,
}

impl Memories {
    fn of(&mut self, source: u64) -> &mut SourceMemory {
        if self.by_source.len() >= SOURCES_MAX && !self.by_source.contains_key(&source) {
            self.by_source.clear();
        }
        self.by_source.entry(source).or_default()
    }
}

/// One record that proves something.
#[derive(Debug)]
pub struct FoundRecord {
    /// Where it stands in the request.
    pub range: Range<usize>,
    /// What surrounds it.
    pub surroundings: Surroundings,
    /// Its log stream.
    pub source: u64,
    /// When a collector saw it; 0 is unknown.
    pub observed: Nanos,
    /// What it proves: one thing, or several where several lines stand in one record.
    pub evidences: Vec<Evidence>,
}

/// What a request of logs proves.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Records that prove something, in order.
    pub found: Vec<FoundRecord>,
    /// Healthy answers of access logs, by log stream.
    pub healthy: Vec<(u64, u64)>,
    /// Records in each of [`FORMATS`].
    pub recognised: [u64; FORMATS_COUNT],
    /// Records in no known format.
    pub unrecognised: u64,
}

/// Reads every record of a request of logs. `request` has passed [`crate::otlp::check`].
pub fn logs(request: &[u8], reader: &Reader, memories: &mut Memories, wanted: &Wanted) -> Scanned {
    let mut scanned = Scanned::default();
    for resource in Request::new(request).resources() {
        let resource_hash = hash64(resource.resource().unwrap_or_default());
        let mut resource_shell = None;
        for scope in resource.scopes() {
            let mut scope_shell = None;
            // Most senders put one file into one scope, so the stream rarely changes from record to record.
            let mut stream = Stream { hash: resource_hash, file: Vec::new() };
            let mut healthy = 0;
            let mut healthy_record = None;
            for item in scope.items() {
                let record = item.log_record();
                let reading = read(&record, reader, memories, wanted, &mut stream);
                scanned.count(&reading);
                if matches!(reading, Reading::Healthy(Format::NginxAccess | Format::NginxAccessJson)) {
                    healthy += 1;
                    healthy_record.get_or_insert(record);
                }
                if let Reading::Proves(_, evidences) = reading {
                    let resource_shell = resource_shell.get_or_insert_with(|| resource.shell());
                    let scope_shell = scope_shell.get_or_insert_with(|| scope.shell());
                    let surroundings = Surroundings::of(resource_shell.clone(), scope_shell.clone());
                    scanned.found.push(found(&item, &record, surroundings, stream.source(), evidences));
                }
            }
            if let Some(first) = healthy_record {
                // One stream for all of the scope: naming it for each healthy record would cost more than reading it.
                name_stream(&first, &mut stream);
                scanned.healthy.push((stream.source(), healthy));
            }
        }
    }
    scanned
}

/// The log stream of the record at hand.
struct Stream {
    hash: u64,
    file: Vec<u8>,
}

impl Stream {
    fn source(&self) -> u64 {
        self.hash ^ hash64(&self.file).rotate_left(7)
    }
}

fn read(
    record: &LogRecord<'_>,
    reader: &Reader,
    memories: &mut Memories,
    wanted: &Wanted,
    stream: &mut Stream,
) -> Reading {
    if let Some(line) = record.body_string().filter(|line| !line.is_empty()) {
        let line = bounded(line);
        // The healthy lines of an access log end here, before any attribute is looked at.
        if let Some(format) = reader.dismiss(line, wanted) {
            return Reading::Healthy(format);
        }
        name_stream(record, stream);
        let memory = memories.of(stream.source());
        let reading = reader.read(line, memory, wanted);
        if !matches!(reading, Reading::Unrecognised) {
            return reading;
        }
        // A collector that parsed the line may have left only its message in the body.
        return read_fields(record.attributes(), reader, memory, wanted);
    }
    name_stream(record, stream);
    let memory = memories.of(stream.source());
    match record.body() {
        Some(AnyValue::Map(map)) => read_fields(map, reader, memory, wanted),
        _ => read_fields(record.attributes(), reader, memory, wanted),
    }
}

fn bounded(text: &[u8]) -> &[u8] {
    text.get(..TEXT_BYTES_MAX).unwrap_or(text)
}

fn name_stream(record: &LogRecord<'_>, stream: &mut Stream) {
    let mut file: &[u8] = &[];
    for pair in record.attributes() {
        if matches!(pair.key, b"log.file.path" | b"log.file.name" | b"log.iostream") {
            file = pair.value().as_string().unwrap_or_default();
            if pair.key == b"log.file.path" {
                break;
            }
        }
    }
    if stream.file != file {
        file.clone_into(&mut stream.file);
    }
}

/// Reads named values: a structured body, or the attributes of a record that a collector parsed.
fn read_fields(attributes: Attributes<'_>, reader: &Reader, memory: &mut SourceMemory, wanted: &Wanted) -> Reading {
    let mut fields: Vec<(String, String)> = Vec::new();
    for pair in attributes.take(FIELDS_MAX) {
        let value = match pair.value() {
            AnyValue::String(text) => String::from_utf8_lossy(bounded(text)).into_owned(),
            AnyValue::Int(number) => number.to_string(),
            AnyValue::Double(number) => number.to_string(),
            AnyValue::Bool(flag) => flag.to_string(),
            _ => continue,
        };
        fields.push((String::from_utf8_lossy(pair.key).into_owned(), value));
    }
    if fields.is_empty() {
        return Reading::Unrecognised;
    }
    let borrowed: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    reader.read_parsed(&borrowed, memory, wanted)
}

fn found(
    item: &Item<'_>,
    record: &LogRecord<'_>,
    surroundings: Surroundings,
    source: u64,
    mut evidences: Vec<Evidence>,
) -> FoundRecord {
    if let Some(trace_id) = record.trace_id() {
        let context = TraceContext { trace_id, span_id: record.span_id() };
        for evidence in &mut evidences {
            evidence.trace = Some(context);
        }
    }
    let nanos = |time: u64| Nanos::try_from(time).unwrap_or(Nanos::MAX);
    if record.time != 0 {
        // A collector that took the stamp off the line, or a logger that writes none into it.
        for evidence in evidences.iter_mut().filter(|evidence| evidence.stamp.is_none()) {
            evidence.stamp = Some(Stamp::of_record(nanos(record.time)));
        }
    }
    let observed = if record.observed_time != 0 { record.observed_time } else { record.time };
    FoundRecord { range: item.range(), surroundings, source, observed: nanos(observed), evidences }
}

impl Scanned {
    fn count(&mut self, reading: &Reading) {
        let (Reading::Healthy(format) | Reading::Proves(format, _)) = reading else {
            self.unrecognised += 1;
            return;
        };
        if let Some(index) = FORMATS.iter().position(|known| known == format)
            && let Some(count) = self.recognised.get_mut(index)
        {
            *count += 1;
        }
    }
}
