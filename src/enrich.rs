//! A verdict on the wire: attributes on the records and spans of the failed request, and a record of its own. Pure.

pub mod attributes;
pub mod incident;

use crate::engine::verdict::{GoodRequest, Link, Verdict};
use crate::otlp::{Attribute, Encoded, Encoder, LogPatch, NewRecord, SpanEvent, SpanPatch};
use crate::read::evidence::Nanos;
use crate::read::text::shown;
use std::sync::Arc;

/// Name of the verdict record and of the span event.
pub const EVENT_NAME: &str = "why502.verdict";
/// OTLP severity WARN: a verdict tells of a failure, and its own arrival is none.
const SEVERITY_WARN: i32 = 13;

/// The attributes of a verdict, at most 14; what is unknown is left out. [`attributes::ATTRIBUTES`] lists them all.
pub fn attributes(verdict: &Verdict) -> Encoded {
    with_own(said_of_all(verdict), verdict)
}

/// What verdicts of one kind have in common: in an outage most say the same, each of a request of its own.
fn said_of_all(verdict: &Verdict) -> Encoder {
    let quoted: usize = verdict.evidence.iter().map(|quote| quote.text.len() + 32).sum();
    let mut out = Encoder::with_capacity(ATTRIBUTES_MAX, OWN_BYTES + quoted + verdict.hint().len());
    out.text("why502.cause", verdict.cause.id);
    out.text("why502.category", verdict.cause.category.id());
    out.text("why502.symptom", verdict.symptom.id());
    out.double("why502.confidence", verdict.confidence);
    out.texts("why502.evidence", verdict.evidence.iter().map(|quote| [quote.source.id(), ": ", quote.text.as_str()]));
    out.text("why502.hint", verdict.hint());
    out
}

/// Attributes of a verdict.
const ATTRIBUTES_MAX: usize = 14;
/// What they take beside quotes and advice, about.
const OWN_BYTES: usize = 720;

/// What is written into all records of verdicts, kept from one to the next.
#[derive(Debug, Default)]
pub struct Common {
    /// The last verdict, and what is said of all that are like it.
    last: Option<(Arc<Verdict>, Encoder)>,
}

impl Common {
    /// The bytes of a verdict, as [`Enrichment::of`] makes them.
    pub fn enrichment(&mut self, verdict: &Arc<Verdict>) -> Enrichment {
        let said = match &self.last {
            Some((last, said)) if say_the_same(last, verdict) => said,
            _ => &self.last.insert((Arc::clone(verdict), said_of_all(verdict))).1,
        };
        Enrichment::with(with_own(said.roomy(ATTRIBUTES_MAX, OWN_BYTES), verdict), verdict)
    }
}

/// True where [`said_of_all`] would say the same.
fn say_the_same(one: &Verdict, other: &Verdict) -> bool {
    let quotes = |verdict: &Verdict| verdict.evidence.len();
    one.cause == other.cause
        && one.symptom == other.symptom
        && one.confidence.to_bits() == other.confidence.to_bits()
        && one.hint() == other.hint()
        && quotes(one) == quotes(other)
        && one
            .evidence
            .iter()
            .zip(&other.evidence)
            .all(|(one, other)| one.source == other.source && one.text == other.text)
}

/// The same with what is of this verdict alone.
fn with_own(mut out: Encoder, verdict: &Verdict) -> Encoded {
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
    put_link(&verdict.link, &mut out);
    out.finish()
}

fn put_link(link: &Link, out: &mut Encoder) {
    out.text("why502.link.method", link.method.id());
    // Fourteen is the limit: the candidates where the link is not certain, else how certain it is.
    if link.trace.is_none() && !link.candidates.is_empty() {
        let candidates: Vec<String> = link.candidates.iter().map(|id| hex(id)).collect();
        out.texts("why502.link.candidates", candidates.iter().map(|id| [id.as_str(), "", ""]));
    } else if link.confidence > 0.0 {
        out.double("why502.link.confidence", link.confidence);
    }
}

/// What a held log record of a good request gets: its link alone.
pub fn link_patch(good: &GoodRequest) -> LogPatch {
    let link = &good.link;
    let mut out = Encoder::with_capacity(2, 64 + 48 * link.candidates.len());
    put_link(link, &mut out);
    LogPatch {
        attributes: out.finish(),
        attributes_if_missing: Encoded::default(),
        number_if_missing: None,
        trace_id: link.trace.map(|trace| trace.trace_id),
        span_id: link.trace.and_then(|trace| trace.span_id),
    }
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
        Enrichment::with(attributes(verdict), verdict)
    }

    fn with(own: Encoded, verdict: &Verdict) -> Enrichment {
        Enrichment {
            own,
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
        let mut more = Encoder::default();
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
            texts: &[("log.record.uid", &verdict.uid)],
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
