//! From the bytes of a request to what it proves. Pure, and run where the bytes arrived, on every core.
//!
//! A record that proves nothing costs a walk to its body and a look at its status. What is remembered of each source
//! (the format of its lines) is a cache that may be lost.

mod fields;
pub mod spans;

use crate::otlp::{AnyValue, Item, LogRecord, Request, Surroundings};
use crate::read::Wanted;
use crate::read::evidence::{Evidence, Nanos, Stamp, TraceContext};
pub use crate::read::formats::table::FORMATS;
use crate::read::formats::{Format, Reader, Reading, SourceMemory, parsed, table};
use crate::read::text::hash64;
use fields::Fields;
use std::collections::HashMap;
use std::ops::Range;

/// Sources remembered; past it all are forgotten, which costs a second look at their next lines.
const SOURCES_MAX: usize = 4_096;
/// Longest text that is read, as `explain` and `tail` cut their lines: a record may have 64 MiB, which would keep a core
/// for seconds. The record itself goes on whole.
const TEXT_BYTES_MAX: usize = 1 << 20;
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
    pub recognised: [u64; table::COUNT],
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
        if matches!(reading, Reading::Healthy(_)) {
            return reading;
        }
        if matches!(reading, Reading::Unrecognised) && !may_add(record) {
            return reading;
        }
        // A collector that parsed the line may have left only its message in the body.
        let fields = Fields::of(record.attributes());
        let get = |name: &str| fields.get(name);
        let reading = match reading {
            Reading::Unrecognised => reader.read_parsed(&get, memory, wanted),
            proves => proves,
        };
        return parsed::complete(reading, &String::from_utf8_lossy(line), recorded(record), &get, memory);
    }
    name_stream(record, stream);
    let memory = memories.of(stream.source());
    let mut fields = Fields::default();
    let mut reading = Reading::Unrecognised;
    if let Some(AnyValue::Map(map)) = record.body() {
        fields.add(map);
        reading = reader.read_parsed(&|name| fields.get(name), memory, wanted);
    }
    if matches!(reading, Reading::Unrecognised) {
        let attributes = Fields::of(record.attributes());
        reading = reader.read_parsed(&|name| attributes.get(name), memory, wanted);
    }
    if matches!(reading, Reading::Healthy(_)) {
        return reading;
    }
    fields.add(record.attributes());
    let get = |name: &str| fields.get(name);
    parsed::complete(reading, &parsed::line_of(&get).unwrap_or_default(), recorded(record), &get, memory)
}

/// True where an attribute may say more than a body that says nothing: those of most programs do not.
fn may_add(record: &LogRecord<'_>) -> bool {
    record.attributes().any(|pair| parsed::counts(pair.key) || matches!(pair.value(), AnyValue::Map(_)))
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

/// The time that whoever read the line gave to its record.
fn recorded(record: &LogRecord<'_>) -> Option<Stamp> {
    (record.time != 0).then(|| Stamp::of_record(nanos(record.time)))
}

fn nanos(time: u64) -> Nanos {
    Nanos::try_from(time).unwrap_or(Nanos::MAX)
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
