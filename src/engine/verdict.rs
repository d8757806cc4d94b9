//! Symptom, cause, evidence and link of one failed request.

use super::calibration::Completeness;
use super::causes::Cause;
use super::incident::Label;
use super::words::Peer;
use crate::read::evidence::{Nanos, Symptom, Text, TraceContext};
use crate::read::text::shown;
use std::borrow::Cow;
use std::sync::Arc;

/// Names one record or span that the caller keeps while the engine decides. The engine never looks inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Which program wrote a record; the first word of a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// nginx's error log.
    NginxError,
    /// nginx's access log.
    NginxAccess,
    /// Gunicorn's error log.
    Gunicorn,
    /// Gunicorn's or uvicorn's access log.
    GunicornAccess,
    /// Kernel, systemd, Kubernetes, supervisor.
    Host,
    /// A span.
    Trace,
    /// A conclusion of why502 itself: what else it could be, what was looked for and not found.
    Why502,
}

impl Source {
    /// All of them.
    pub const ALL: [Source; 7] = [
        Source::NginxError,
        Source::NginxAccess,
        Source::Gunicorn,
        Source::GunicornAccess,
        Source::Host,
        Source::Trace,
        Source::Why502,
    ];

    /// The word before the colon of a quote.
    pub fn id(self) -> &'static str {
        match self {
            Source::NginxError => "nginx.error",
            Source::NginxAccess => "nginx.access",
            Source::Gunicorn => "gunicorn",
            Source::GunicornAccess => "gunicorn.access",
            Source::Host => "host",
            Source::Trace => "trace",
            Source::Why502 => "why502",
        }
    }
}

/// One piece of evidence as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    /// Who wrote it.
    pub source: Source,
    /// The deciding words, printable, at most 200 characters.
    pub text: String,
    /// The record quoted; `None` for a conclusion.
    pub ticket: Option<Ticket>,
}

/// How the trace was found; the names are a contract (`why502.link.method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMethod {
    /// The record or a joined record carries the trace id.
    TraceContext,
    /// `$request_id` on both sides.
    RequestId,
    /// A span of its method and target fits the request's time, and no other request has a better claim to it.
    Timing,
    /// No trace.
    None,
}

impl LinkMethod {
    /// All methods, the surest first.
    pub const ALL: [LinkMethod; 4] =
        [LinkMethod::TraceContext, LinkMethod::RequestId, LinkMethod::Timing, LinkMethod::None];

    /// The word of the contract.
    pub fn id(self) -> &'static str {
        match self {
            LinkMethod::TraceContext => "trace_context",
            LinkMethod::RequestId => "request_id",
            LinkMethod::Timing => "timing",
            LinkMethod::None => "none",
        }
    }
}

/// The trace of a failed request.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// How it was found.
    pub method: LinkMethod,
    /// Probability that `trace` is this request's, 0 to 1.
    pub confidence: f64,
    /// Set when the link is exact or at least as sure as `link.threshold`.
    pub trace: Option<TraceContext>,
    /// Traces that could be this request's, best first, at most 5; empty when `trace` is set by an id.
    pub candidates: Vec<[u8; 16]>,
    /// What speaks for the likeliest one where it was found by time: by feature the natural logarithm of its odds, above 0
    /// for it, below against it. Together they are the logarithm of the odds that `confidence` stands for.
    pub odds: Vec<(&'static str, f64)>,
}

impl Link {
    /// No trace was found.
    pub const NONE: Link =
        Link { method: LinkMethod::None, confidence: 0.0, trace: None, candidates: Vec::new(), odds: Vec::new() };
}

/// A request that did not fail, with its trace.
#[derive(Clone, Debug, PartialEq)]
pub struct GoodRequest {
    /// The stamp of its access line.
    pub time: Nanos,
    /// Status that the client got.
    pub status: u16,
    /// Request method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The client's address; empty when unknown.
    pub client: String,
    /// Every record of this request with who wrote it.
    pub records: Vec<(Source, Ticket)>,
    /// The trace.
    pub link: Link,
}

/// One rule that fired for a failed request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Considered {
    /// The cause that it speaks for.
    pub cause: &'static Cause,
    /// Its name, as [`Rule::id`](super::calibration::Rule::id).
    pub rule: &'static str,
    /// Its share of one probability: those of one request make 1 at most, and what they leave is unknown.
    pub confidence: f64,
}

/// Symptom, cause, evidence and link of one failed request, or of a fatal record that no request joins.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// 32 hexadecimal digits, the same for the same input: `why502.request.uid`.
    pub uid: String,
    /// 0, raised each time that late evidence changes the verdict.
    pub revision: u32,
    /// When the request failed; the stamp of its access line, else of its error line.
    pub time: Nanos,
    /// Status that the client got; `None` where no request or no access line is known.
    pub status: Option<u16>,
    /// Request method; empty when unknown.
    pub method: Text,
    /// Path and query; empty when unknown.
    pub target: Text,
    /// The client's address; empty when unknown.
    pub client: Text,
    /// Name of the virtual host that was asked for, without a port; empty when unknown.
    pub host: Text,
    /// What nginx saw.
    pub symptom: Symptom,
    /// Why.
    pub cause: &'static Cause,
    /// Probability that the cause is right, 0 to 1.
    pub confidence: f64,
    /// How much of what could be told of it was in sight.
    pub completeness: Completeness,
    /// Every rule that fired, the one that leads first; at most 8.
    pub considered: Vec<Considered>,
    /// What decided, at most 5, the most telling first.
    pub evidence: Vec<Quote>,
    /// Every record of this request with who wrote it.
    pub records: Vec<(Source, Ticket)>,
    /// Last peer tried; `None` when unknown.
    pub upstream: Option<Text>,
    /// Peers tried; 0 when unknown.
    pub attempts: u32,
    /// The Gunicorn worker blamed.
    pub worker_pid: Option<u32>,
    /// The trace.
    pub link: Link,
    /// The application server that nginx asked.
    pub peer: Peer,
    /// What to do, where that is not the same for all requests of the cause.
    pub asks: Option<&'static str>,
    /// The incident that it is of; every verdict that the engine gives is of one.
    pub incident: Option<Arc<Label>>,
}

impl Verdict {
    /// What happened, half a sentence, of the server that is there.
    pub fn summary(&self) -> Cow<'static, str> {
        self.peer.summary(self.cause)
    }

    /// What to do about it, without values.
    pub fn hint(&self) -> &'static str {
        self.asks.unwrap_or_else(|| self.peer.hint(self.cause))
    }

    /// True for a failed request, false for a fatal record that no request joins.
    pub fn is_request(&self) -> bool {
        self.status.is_some() || !self.target.is_empty()
    }

    /// One sentence for people: what failed and why.
    pub fn sentence(&self) -> String {
        let mut out = String::with_capacity(SENTENCE_BYTES + self.target.len());
        let (method, target) = (shown(&self.method), shown(&self.target));
        match (self.status, self.target.is_empty()) {
            (Some(_), true) => out.push_str("a request"),
            (_, false) => out.extend([&method, " ", &target]),
            (None, true) => out.push_str("no request joined"),
        }
        match self.status {
            Some(status) => out.extend([" -> ", &status.to_string()]),
            None if self.target.is_empty() => {}
            None => out.push_str(" failed"),
        }
        out.extend([": ", &self.summary()]);
        out
    }
}

/// What a sentence takes beside the target, about.
const SENTENCE_BYTES: usize = 128;

/// A confidence in whole percent, for people; nothing is ever quite sure.
pub fn percent(confidence: f64) -> f64 {
    (confidence * 100.0).round().min(99.0)
}
