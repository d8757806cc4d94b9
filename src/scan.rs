//! From the bytes of a request to what it proves. Pure, and run where the bytes arrived, on every core.
//!
//! A record that proves nothing costs a walk to its body and a look at its status. What is remembered of each source
//! (the format of its lines) is a cache that may be lost.

mod asked;
mod fields;
pub mod place;
pub mod spans;
pub mod streams;

use crate::engine::place::Stream;
use crate::otlp::{AnyValue, Item, LogRecord, Request, ResourceGroup, ScopeGroup, Surroundings};
use crate::read::evidence::{Evidence, Nanos, SECOND, Stamp, TraceContext};
use crate::read::formats::nginx_access::quick_stamp;
pub use crate::read::formats::table::FORMATS;
use crate::read::formats::{Format, Reader, Reading, may_have_id, parsed, table};
use crate::read::text::{hash64, lossy};
use crate::read::time::LATE_MIN;
use crate::read::{SourceMemory, Wanted};
use asked::Asked;
use fields::Fields;
use place::Sites;
use std::ops::Range;
use std::sync::Arc;
use streams::{Entry, Streams};

/// Longest text that is read, as `explain` and `tail` cut their lines: a record may have 64 MiB, which would keep a core
/// for seconds. The record itself goes on whole.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// One record that proves something.
#[derive(Debug)]
pub struct FoundRecord {
    /// Where it stands in the request.
    pub range: Range<usize>,
    /// What surrounds it.
    pub surroundings: Surroundings,
    /// Who wrote it.
    pub stream: Stream,
    /// When a collector saw it; 0 is unknown.
    pub observed: Nanos,
    /// What it proves: one thing, or several where several lines stand in one record.
    pub evidences: Vec<Evidence>,
}

/// What a request of logs proves.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Records that prove something, in order; behind them good access lines whose error line is among them.
    pub found: Vec<FoundRecord>,
    /// Healthy answers of access logs. One stream may stand in it several times; of neighbours in one scope a few
    /// stand for all.
    pub healthy: Vec<Answers>,
    /// Of each scope the first of them, now and then, with when it was observed: how far requests and spans are apart is
    /// learned from them. Without spans in view only those that carry an id.
    pub samples: Vec<(Stream, Nanos, Evidence)>,
    /// Records in each of [`FORMATS`].
    pub recognised: [u64; table::COUNT],
    /// Records in no known format.
    pub unrecognised: u64,
}

/// Healthy answers of one stream.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The log.
    pub stream: Stream,
    /// How many.
    pub count: u64,
    /// The seconds in which they were given, where their lines came late; empty where that was about now.
    pub late: Vec<Nanos>,
}

impl Answers {
    /// Adds others of the same stream.
    pub fn add(&mut self, others: Answers) {
        self.count += others.count;
        others.late.into_iter().for_each(|second| self.note_late(second));
    }

    fn note_late(&mut self, second: Nanos) {
        if self.late.len() < LATE_SECONDS_MAX && self.late.last() != Some(&second) {
            self.late.push(second);
        }
    }
}

/// Seconds of one stream that are told at once: what the engine remembers of one.
const LATE_SECONDS_MAX: usize = 600;

/// Reads every record of a request of logs, as long as `admit` has room for what is found: `None` where it had none for
/// a record, because then the whole request is refused. `request` has passed [`crate::otlp::check`].
pub fn logs<S: Streams>(
    request: &[u8],
    reader: &Reader,
    streams: &S,
    sites: &Sites,
    wanted: &Wanted,
    mut admit: impl FnMut(&FoundRecord) -> bool,
) -> Option<Scanned> {
    let mut scanned = Scanned::default();
    // Of each record, whether it is a good access line that goes on.
    let mut passed = Vec::new();
    for resource in Request::new(request).resources() {
        let mut current = Current::of(&resource, streams, sites);
        let mut shells = Shells::default();
        for scope in resource.scopes() {
            shells.scope = None;
            let mut healthy = Healthy::default();
            let mut is_sampled = false;
            for item in scope.items() {
                let record = item.log_record();
                let reading = read(&record, reader, wanted, &mut current);
                scanned.count(&reading);
                let is_good_access = matches!(reading, Reading::Healthy(Format::NginxAccess | Format::NginxAccessJson));
                passed.push(is_good_access);
                if is_good_access {
                    healthy.count(&record, &mut current, &mut scanned.healthy);
                    if !std::mem::replace(&mut is_sampled, true) {
                        scanned.samples.extend(sample(&record, reader, wanted, &mut current));
                    }
                }
                if let Reading::Proves(_, evidences) = reading {
                    let surroundings = shells.surroundings(&resource, &scope);
                    let Some(stream) = current.last().cloned() else { continue };
                    let found = found(&item, &record, surroundings, stream, evidences);
                    if !admit(&found) {
                        return None;
                    }
                    scanned.found.push(found);
                }
            }
            healthy.finish(&mut scanned.healthy);
        }
    }
    if let Some(asked) = Asked::by(&scanned.found) {
        let others = if scanned.healthy.is_empty() {
            Vec::new()
        } else {
            look_again(request, reader, streams, sites, asked.wanted(), &passed, admit)
        };
        asked.put_behind(&mut scanned.found, others);
    }
    Some(scanned)
}

/// Those of the good access lines that are wanted after all, as long as there is room.
fn look_again<S: Streams>(
    request: &[u8],
    reader: &Reader,
    streams: &S,
    sites: &Sites,
    wanted: &Wanted,
    passed: &[bool],
    mut admit: impl FnMut(&FoundRecord) -> bool,
) -> Vec<FoundRecord> {
    let mut again = Vec::new();
    let mut passed = passed.iter();
    for resource in Request::new(request).resources() {
        let mut current = Current::of(&resource, streams, sites);
        let mut shells = Shells::default();
        for scope in resource.scopes() {
            shells.scope = None;
            for item in scope.items().filter(|_| passed.next().is_some_and(|passed| *passed)) {
                let record = item.log_record();
                let line = record.body_string().map(bounded);
                if line.is_some_and(|line| reader.dismiss(line, wanted).is_some()) {
                    continue;
                }
                // What the stream is remembered for came behind this line.
                let reading =
                    current.entry(&record).with(|memory| read_with(&record, reader, wanted, &mut memory.clone()));
                let Reading::Proves(_, evidences) = reading else { continue };
                let surroundings = shells.surroundings(&resource, &scope);
                let Some(stream) = current.last().cloned() else { continue };
                let found = found(&item, &record, surroundings, stream, evidences);
                if again.len() == asked::LINES_MAX || !admit(&found) {
                    return again;
                }
                again.push(found);
            }
        }
    }
    again
}

/// What surrounds the records at hand, made for the first that is found.
#[derive(Default)]
struct Shells {
    resource: Option<Arc<[u8]>>,
    scope: Option<Arc<[u8]>>,
}

impl Shells {
    fn surroundings(&mut self, resource: &ResourceGroup<'_>, scope: &ScopeGroup<'_>) -> Surroundings {
        let of_resource = self.resource.get_or_insert_with(|| resource.shell());
        let of_scope = self.scope.get_or_insert_with(|| scope.shell());
        Surroundings::of(of_resource.clone(), of_scope.clone())
    }
}

/// The log stream of the record at hand. Most senders put one file into one scope, so it rarely changes from record to
/// record.
struct Current<'a, S: Streams> {
    resource: &'a ResourceGroup<'a>,
    resource_hash: u64,
    /// The resource names a pod or container: no record of it names another.
    is_inside: bool,
    file: Vec<u8>,
    /// Hash of what the record says itself of where it was written.
    said: u64,
    entry: Option<S::Entry>,
    streams: &'a S,
    sites: &'a Sites,
}

impl<'a, S: Streams> Current<'a, S> {
    fn of(resource: &'a ResourceGroup<'a>, streams: &'a S, sites: &'a Sites) -> Current<'a, S> {
        Current {
            resource,
            resource_hash: hash64(resource.resource().unwrap_or_default()),
            is_inside: place::names_a_place(resource.attributes()),
            file: Vec::new(),
            said: 0,
            entry: None,
            streams,
            sites,
        }
    }

    /// The stream of the record that was read last, with the memory of its stream: what is dismissed before asks for none.
    fn last(&self) -> Option<&Stream> {
        self.entry.as_ref().map(S::Entry::stream)
    }

    /// What is remembered of the stream of a record.
    fn entry(&mut self, record: &LogRecord<'_>) -> &S::Entry {
        let file = file_of(record);
        let said = if self.is_inside { 0 } else { place::hash_of_record(record) };
        if self.file != file || self.said != said {
            file.clone_into(&mut self.file);
            self.said = said;
            self.entry = None;
        }
        self.entry.get_or_insert_with(|| {
            let id = self.resource_hash ^ hash64(&self.file).rotate_left(7) ^ self.said.rotate_left(23);
            self.streams.entry(id, || self.sites.of_record(self.resource.attributes(), record, &self.file))
        })
    }
}

/// The file or stream of a container that a record was read from; its path where it is known.
fn file_of<'a>(record: &LogRecord<'a>) -> &'a [u8] {
    let mut file: &[u8] = &[];
    for pair in record.attributes() {
        if matches!(pair.key, b"log.file.path" | b"log.file.name" | b"log.iostream") {
            file = pair.value().as_string().unwrap_or_default();
            if pair.key == b"log.file.path" {
                break;
            }
        }
    }
    file
}

/// Of so many healthy answers one is asked for its stream: naming it for each would cost more than reading it.
const HEALTHY_NAMED: u64 = 16;

/// Healthy answers of one scope.
#[derive(Default)]
struct Healthy {
    last: Option<Answers>,
    until_named: u64,
    /// How many late ones there are from one that is asked for its second to the next.
    late_step: u64,
}

impl Healthy {
    fn count<S: Streams>(&mut self, record: &LogRecord<'_>, current: &mut Current<'_, S>, into: &mut Vec<Answers>) {
        if self.until_named == 0 {
            self.until_named = HEALTHY_NAMED;
            let stream = current.entry(record).stream();
            if self.last.as_ref().is_none_or(|last| last.stream.id != stream.id) {
                into.extend(self.last.replace(Answers { stream: stream.clone(), count: 0, late: Vec::new() }));
            }
            if let (Some(last), Some(second)) = (&mut self.last, late_second(record)) {
                // When they came says nothing of when they were given: the fewer there are in a second, the more often they are
                // asked, so that hardly a second is missed.
                let apart = last.late.last().map_or(Nanos::MAX, |before| second.saturating_sub(*before));
                self.late_step = match apart {
                    0 => (self.late_step * 2).clamp(1, HEALTHY_NAMED),
                    SECOND => self.late_step.max(1),
                    _ => 1,
                };
                self.until_named = self.late_step;
                last.note_late(second);
            }
        }
        self.until_named -= 1;
        if let Some(last) = &mut self.last {
            last.count += 1;
        }
    }

    fn finish(self, into: &mut Vec<Answers>) {
        into.extend(self.last);
    }
}

/// The second of a healthy line that came late.
fn late_second(record: &LogRecord<'_>) -> Option<Nanos> {
    let at = quick_stamp(bounded(record.body_string()?))?;
    let is_late = observed(record).saturating_sub(at) >= LATE_MIN;
    is_late.then(|| at.div_euclid(SECOND).saturating_mul(SECOND))
}

fn read<S: Streams>(record: &LogRecord<'_>, reader: &Reader, wanted: &Wanted, current: &mut Current<'_, S>) -> Reading {
    let line = record.body_string().filter(|line| !line.is_empty()).map(bounded);
    // The healthy lines of an access log end here, before any attribute is looked at.
    if let Some(format) = line.and_then(|line| reader.dismiss(line, wanted)) {
        return Reading::Healthy(format);
    }
    current.entry(record).with(|memory| read_with(record, reader, wanted, memory))
}

fn read_with(record: &LogRecord<'_>, reader: &Reader, wanted: &Wanted, memory: &mut SourceMemory) -> Reading {
    match record.body_string().filter(|line| !line.is_empty()).map(bounded) {
        Some(line) => read_line(line, record, reader, memory, wanted),
        None => read_pairs(record, reader, memory, wanted),
    }
}

fn read_line(
    line: &[u8],
    record: &LogRecord<'_>,
    reader: &Reader,
    memory: &mut SourceMemory,
    wanted: &Wanted,
) -> Reading {
    let reading = reader.read(line, memory, wanted);
    if matches!(reading, Reading::Healthy(_)) {
        return reading;
    }
    if matches!(reading, Reading::Unrecognised) && !may_add(record) {
        return reading;
    }
    // A collector that parsed the line may have left only its message in the body.
    let fields = Fields::of(record.attributes());
    if fields.is_empty() && parsed::is_complete(&reading) {
        return reading;
    }
    let get = |name: &str| fields.get(name);
    let reading = match reading {
        Reading::Unrecognised => reader.read_parsed(&get, memory, wanted),
        proves => proves,
    };
    parsed::complete(reading, &lossy(line), recorded(record), &get, memory)
}

fn read_pairs(record: &LogRecord<'_>, reader: &Reader, memory: &mut SourceMemory, wanted: &Wanted) -> Reading {
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

/// Healthy lines of one stream that are read as samples are so far apart, as the engine takes them.
const SAMPLES_APART: Nanos = SECOND / 4;

/// What a healthy line proves that carries an id, or any where such are wanted.
fn sample<S: Streams>(
    record: &LogRecord<'_>,
    reader: &Reader,
    wanted: &Wanted,
    current: &mut Current<'_, S>,
) -> Option<(Stream, Nanos, Evidence)> {
    let line = record.body_string().map(bounded)?;
    if !wanted.wants_samples() && record.trace_id().is_none() && !may_have_id(line) {
        return None;
    }
    let everything = Wanted::everything();
    let entry = current.entry(record);
    let at = observed(record);
    let is_enough = entry.with(|memory| {
        let is_enough = at != 0 && (0..SAMPLES_APART).contains(&at.saturating_sub(memory.sampled));
        memory.sampled = if is_enough { memory.sampled } else { at };
        is_enough
    });
    if is_enough {
        return None;
    }
    let Reading::Proves(_, evidences) = entry.with(|memory| read_line(line, record, reader, memory, &everything))
    else {
        return None;
    };
    let mut evidence = evidences.into_iter().next()?;
    note_trace(record, &mut evidence);
    Some((entry.stream().clone(), observed(record), evidence))
}

/// True where an attribute may say more than a body that says nothing: those of most programs do not.
fn may_add(record: &LogRecord<'_>) -> bool {
    record.attributes().any(|pair| parsed::counts(pair.key) || matches!(pair.value(), AnyValue::Map(_)))
}

fn bounded(text: &[u8]) -> &[u8] {
    text.get(..TEXT_BYTES_MAX).unwrap_or(text)
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
    stream: Stream,
    mut evidences: Vec<Evidence>,
) -> FoundRecord {
    for evidence in &mut evidences {
        note_trace(record, evidence);
        evidence.forget_text();
    }
    FoundRecord { range: item.range(), surroundings, stream, observed: observed(record), evidences }
}

/// What the record itself says of its trace counts before what its line says.
fn note_trace(record: &LogRecord<'_>, evidence: &mut Evidence) {
    if let Some(trace_id) = record.trace_id() {
        evidence.trace = Some(TraceContext { trace_id, span_id: record.span_id() });
    }
}

fn observed(record: &LogRecord<'_>) -> Nanos {
    nanos(if record.observed_time != 0 { record.observed_time } else { record.time })
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
