//! A verdict on the wire: attributes on the records and spans of the failed request, and a record of its own. Pure.

pub mod attributes;
pub mod incident;

use crate::engine::verdict::Verdict;
use crate::otlp::{Attribute, Encoded, Encoder, LogPatch, NewRecord, SpanEvent, SpanPatch};
use crate::read::evidence::Nanos;
use crate::read::text::shown;

/// Name of the verdict record and of the span event.
pub const EVENT_NAME: &str = "why502.verdict";
/// OTLP severity WARN: a verdict tells of a failure, and its own arrival is none.
const SEVERITY_WARN: i32 = 13;

/// The attributes of a verdict, at most 14; what is unknown is left out. [`attributes::ATTRIBUTES`] lists them all.
pub fn attributes(verdict: &Verdict) -> Encoded {
    let quoted: usize = verdict.evidence.iter().map(|quote| quote.text.len() + 32).sum();
    let mut out = Encoder::with_capacity(14, 720 + quoted + verdict.hint().len());
    out.text("why502.cause", verdict.cause.id);
    out.text("why502.category", verdict.cause.category.id());
    out.text("why502.symptom", verdict.symptom.id());
    out.double("why502.confidence", verdict.confidence);
    out.texts("why502.evidence", verdict.evidence.iter().map(|quote| [quote.source.id(), ": ", quote.text.as_str()]));
    out.text("why502.hint", verdict.hint());
    out.text("why502.request.uid", &verdict.uid);
    if let Some(upstream) = &verdict.upstream {
        out.text("why502.upstream.address", &shown(upstream));
    }
    if verdict.attempts > 0 {
        out.int("why502.upstream.attempts", i64::from(verdict.attempts));
    }
    if let Some(worker) = verdict.worker_pid {
        out.int("why502.worker.pid", i64::from(worker));
    }
    if let Some(incident) = &verdict.incident {
        out.text("why502.incident.uid", &incident.uid);
        out.text("why502.incident.origin", incident.origin.id);
    }
    out.text("why502.link.method", verdict.link.method.id());
    // Fourteen is the limit: the candidates where the link is not certain, else how certain it is.
    if verdict.link.trace.is_none() && !verdict.link.candidates.is_empty() {
        let candidates: Vec<String> = verdict.link.candidates.iter().map(|id| hex(id)).collect();
        out.texts("why502.link.candidates", candidates.iter().map(|id| [id.as_str(), "", ""]));
    } else if verdict.link.confidence > 0.0 {
        out.double("why502.link.confidence", verdict.link.confidence);
    }
    out.finish()
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
            own: attributes(verdict),
            http: http_attributes(verdict),
            time: unix(verdict.time),
            cause: verdict.cause.id,
            trace_id: verdict.link.trace.map(|trace| trace.trace_id),
            span_id: verdict.link.trace.and_then(|trace| trace.span_id),
        }
    }

    /// What a held log record of the failed request gets; with `http` also parsed values under the names of the semantic
    /// conventions. `pid` is the process that wrote it.
    pub fn log_patch(&self, http: bool, pid: Option<u32>) -> LogPatch {
        LogPatch {
            attributes: self.own.clone(),
            attributes_if_missing: if http { self.http.clone() } else { Encoded::default() },
            number_if_missing: pid.filter(|_| http).map(|pid| ("process.pid", i64::from(pid))),
            trace_id: self.trace_id,
            span_id: self.span_id,
        }
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
        let mut out = Vec::with_capacity(self.own.bytes_len() + self.http.bytes_len() + 512);
        self.put_verdict_record(verdict, now, &mut out);
        out
    }

    /// Appends the same.
    pub fn put_verdict_record(&self, verdict: &Verdict, now: Nanos, out: &mut Vec<u8>) {
        let mut more = Encoder::with_capacity(2, 96);
        more.text("log.record.uid", &verdict.uid);
        if verdict.revision > 0 {
            more.int("why502.revision", i64::from(verdict.revision));
        }
        NewRecord {
            time: self.time,
            observed_time: unix(now),
            severity_number: SEVERITY_WARN,
            severity_text: "WARN",
            body: &verdict.sentence(),
            attributes: &[],
            encoded: &[&self.own, &self.http, &more.finish()],
            trace_id: self.trace_id,
            span_id: self.span_id,
            event_name: EVENT_NAME,
        }
        .encode_to(out);
    }
}

/// Parsed values under the names of the semantic conventions 1.44.
fn http_attributes(verdict: &Verdict) -> Encoded {
    let texts = [&verdict.method, &verdict.target, &verdict.client, &verdict.host];
    let mut out = Encoder::with_capacity(6, 192 + texts.iter().map(|text| text.len()).sum::<usize>());
    if !verdict.method.is_empty() {
        out.text("http.request.method", &shown(&verdict.method));
    }
    if !verdict.target.is_empty() {
        let path = verdict.target.split('?').next().unwrap_or_default();
        out.text("url.path", &shown(path));
    }
    if let Some(status) = verdict.status {
        out.int("http.response.status_code", i64::from(status));
    }
    if !verdict.client.is_empty() {
        out.text("client.address", &shown(&verdict.client));
    }
    if !verdict.host.is_empty() {
        out.text("server.address", &shown(&verdict.host));
    }
    out.finish()
}

fn unix(time: Nanos) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
