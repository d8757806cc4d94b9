//! A verdict on the wire: attributes on the records and spans of the failed request, and a record of its own. Pure.

pub mod attributes;

use crate::engine::verdict::Verdict;
use crate::otlp::{Attribute, Encoded, LogPatch, NewRecord, SpanEvent, SpanPatch, Value};
use crate::read::evidence::Nanos;
use crate::read::text::printable;

/// Name of the verdict record and of the span event.
pub const EVENT_NAME: &str = "why502.verdict";
/// OTLP severity WARN: a verdict tells of a failure, and its own arrival is none.
const SEVERITY_WARN: i32 = 13;

/// The attributes of a verdict, at most 12; what is unknown is left out. [`attributes::ATTRIBUTES`] lists them all.
pub fn attributes(verdict: &Verdict) -> Vec<Attribute> {
    let evidence: Vec<String> =
        verdict.evidence.iter().map(|quote| format!("{}: {}", quote.source.id(), quote.text)).collect();
    let mut attributes = vec![
        Attribute::new("why502.cause", verdict.cause.id),
        Attribute::new("why502.category", verdict.cause.category.id()),
        Attribute::new("why502.symptom", verdict.symptom.id()),
        Attribute::new("why502.confidence", Value::Double(verdict.confidence)),
        Attribute::new("why502.evidence", Value::Strings(evidence)),
        Attribute::new("why502.hint", verdict.cause.hint),
        Attribute::new("why502.request.uid", verdict.uid.as_str()),
    ];
    if let Some(upstream) = &verdict.upstream {
        attributes.push(Attribute::new("why502.upstream.address", printable(upstream)));
    }
    if verdict.attempts > 0 {
        attributes.push(Attribute::new("why502.upstream.attempts", Value::Int(i64::from(verdict.attempts))));
    }
    if let Some(worker) = verdict.worker_pid {
        attributes.push(Attribute::new("why502.worker.pid", Value::Int(i64::from(worker))));
    }
    attributes.push(Attribute::new("why502.link.method", verdict.link.method.id()));
    // Twelve is the limit: the candidates where the link is not certain, else how certain it is.
    if verdict.link.trace.is_none() && !verdict.link.candidates.is_empty() {
        let candidates = verdict.link.candidates.iter().map(|id| hex(id)).collect();
        attributes.push(Attribute::new("why502.link.candidates", Value::Strings(candidates)));
    } else if verdict.link.confidence > 0.0 {
        attributes.push(Attribute::new("why502.link.confidence", Value::Double(verdict.link.confidence)));
    }
    attributes
}

/// A verdict as bytes: its attributes are encoded once and stand on every record and span of the failed request, on the
/// event of the span and on the verdict's own record.
#[derive(Clone, Debug)]
pub struct Enrichment {
    own: Encoded,
    http: Encoded,
    time: u64,
    cause: &'static str,
    trace_id: Option<[u8; 16]>,
    span_id: Option<[u8; 8]>,
}

impl Enrichment {
    /// The bytes of a verdict.
    pub fn of(verdict: &Verdict) -> Enrichment {
        Enrichment {
            own: attributes(verdict).into(),
            http: http_attributes(verdict).into(),
            time: unix(verdict.time),
            cause: verdict.cause.id,
            trace_id: verdict.link.trace.map(|trace| trace.trace_id),
            span_id: verdict.link.trace.and_then(|trace| trace.span_id),
        }
    }

    /// What a held log record of the failed request gets; with `http` also parsed values under the names of the semantic
    /// conventions. `pid` is the process that wrote it.
    pub fn log_patch(&self, http: bool, pid: Option<u32>) -> LogPatch {
        let attributes_if_missing = match pid {
            _ if !http => Encoded::default(),
            Some(pid) => self.http.and(&vec![Attribute::new("process.pid", Value::Int(i64::from(pid)))].into()),
            None => self.http.clone(),
        };
        LogPatch { attributes: self.own.clone(), attributes_if_missing, trace_id: self.trace_id, span_id: self.span_id }
    }

    /// What the server or client span of the failed request gets: so that a backend of traces alone shows the cause.
    pub fn span_patch(&self) -> SpanPatch {
        SpanPatch {
            attributes: self.own.clone(),
            attributes_if_missing: vec![Attribute::new("error.type", self.cause)].into(),
            events: vec![SpanEvent { time: self.time, name: EVENT_NAME.to_owned(), attributes: self.own.clone() }],
        }
    }

    /// The verdict that it was made of as a `LogRecord` message of its own.
    pub fn verdict_record(&self, verdict: &Verdict, now: Nanos) -> Vec<u8> {
        let mut more = vec![Attribute::new("log.record.uid", verdict.uid.as_str())];
        if verdict.revision > 0 {
            more.push(Attribute::new("why502.revision", Value::Int(i64::from(verdict.revision))));
        }
        let body = verdict.sentence();
        NewRecord {
            time: self.time,
            observed_time: unix(now),
            severity_number: SEVERITY_WARN,
            severity_text: "WARN",
            body: &body,
            attributes: &more,
            encoded: &[&self.own, &self.http],
            trace_id: self.trace_id,
            span_id: self.span_id,
            event_name: EVENT_NAME,
        }
        .encode()
    }
}

/// Parsed values under the names of the semantic conventions 1.44.
fn http_attributes(verdict: &Verdict) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    if !verdict.method.is_empty() {
        attributes.push(Attribute::new("http.request.method", printable(&verdict.method)));
    }
    if !verdict.target.is_empty() {
        let path = verdict.target.split('?').next().unwrap_or_default();
        attributes.push(Attribute::new("url.path", printable(path)));
    }
    if let Some(status) = verdict.status {
        attributes.push(Attribute::new("http.response.status_code", Value::Int(i64::from(status))));
    }
    if !verdict.client.is_empty() {
        attributes.push(Attribute::new("client.address", printable(&verdict.client)));
    }
    if !verdict.host.is_empty() {
        attributes.push(Attribute::new("server.address", printable(&verdict.host)));
    }
    attributes
}

fn unix(time: Nanos) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
