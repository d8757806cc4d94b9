//! Every attribute that why502 writes, in one table: docs/attributes.md and the registry of semantic conventions are made
//! of it, and a test compares it with what [`super`] writes.

use crate::engine::causes::{self, Category};
use crate::engine::incident::{Ended, State};
use crate::engine::verdict::LinkMethod;
use crate::read::evidence::Symptom;

/// What an attribute stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// Log records of the failed request.
    Record,
    /// The server or client span of the failed request.
    Span,
    /// The event [`super::EVENT_NAME`] of that span.
    SpanEvent,
    /// The verdict's own log record.
    Verdict,
    /// The log record of an incident.
    Incident,
}

/// What the value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    String,
    /// Texts in order.
    Strings,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// One of these words.
    Words(Vocabulary),
}

/// A closed list of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// [`causes::all`].
    Causes,
    /// [`Category::ALL`].
    Categories,
    /// [`Symptom::ALL`].
    Symptoms,
    /// [`LinkMethod::ALL`].
    LinkMethods,
    /// [`State::ALL`].
    States,
    /// [`Ended::WORDS`].
    Ends,
}

impl Vocabulary {
    /// Each word with what it means, half a sentence, in the order of the contract.
    pub fn words(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Vocabulary::Causes => causes::all().iter().map(|cause| (cause.id, cause.summary)).collect(),
            Vocabulary::Categories => {
                Category::ALL.iter().map(|category| (category.id(), of_category(*category))).collect()
            }
            Vocabulary::Symptoms => Symptom::ALL.iter().map(|symptom| (symptom.id(), of_symptom(*symptom))).collect(),
            Vocabulary::States => State::ALL.iter().map(|state| (state.id(), of_state(*state))).collect(),
            Vocabulary::Ends => Ended::WORDS.to_vec(),
            Vocabulary::LinkMethods => LinkMethod::ALL.iter().map(|method| (method.id(), of_method(*method))).collect(),
        }
    }
}

/// When an attribute is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// On each of its carriers.
    Always,
    /// Under this condition, half a sentence after "if".
    If(&'static str),
}

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name.
    pub id: &'static str,
    /// What the value is.
    pub kind: Kind,
    /// What it means, one sentence.
    pub brief: &'static str,
    /// Shape, unit, range and the like; empty when there is nothing more to say.
    pub note: &'static str,
    /// Values as they would be written in YAML; empty for a closed list of words.
    pub examples: &'static [&'static str],
    /// When it is there.
    pub presence: Presence,
    /// What it stands on.
    pub on: &'static [Carrier],
}

impl Row {
    /// True for a name of our own; the others are of OpenTelemetry's semantic conventions.
    pub fn is_own(&self) -> bool {
        self.id.starts_with("why502.")
    }
}

const EVERYWHERE: &[Carrier] = &[Carrier::Record, Carrier::Span, Carrier::SpanEvent, Carrier::Verdict];
const LOGS: &[Carrier] = &[Carrier::Record, Carrier::Verdict];
const VERDICT: &[Carrier] = &[Carrier::Verdict];
const INCIDENT: &[Carrier] = &[Carrier::Incident];
const BOTH: &[Carrier] = &[Carrier::Record, Carrier::Span, Carrier::SpanEvent, Carrier::Verdict, Carrier::Incident];

/// All attributes: our own in the order in which they are written, then those of the semantic conventions.
pub const ATTRIBUTES: &[Row] = &[
    Row {
        id: "why502.cause",
        kind: Kind::Words(Vocabulary::Causes),
        brief: "Why the request failed.",
        note: "A judgement: `why502.confidence` says how sure it is.",
        examples: &[],
        presence: Presence::Always,
        on: EVERYWHERE,
    },
    Row {
        id: "why502.category",
        kind: Kind::Words(Vocabulary::Categories),
        brief: "What kind of cause it is, and so who can mend it.",
        note: "",
        examples: &[],
        presence: Presence::Always,
        on: EVERYWHERE,
    },
    Row {
        id: "why502.symptom",
        kind: Kind::Words(Vocabulary::Symptoms),
        brief: "What nginx saw happen to the request.",
        note: "A fact, where the cause is a judgement.",
        examples: &[],
        presence: Presence::Always,
        on: EVERYWHERE,
    },
    Row {
        id: "why502.confidence",
        kind: Kind::Double,
        brief: "Probability that the cause is right.",
        note: "0 to 1, in thousandths.",
        examples: &["0.98", "0.5"],
        presence: Presence::Always,
        on: EVERYWHERE,
    },
    Row {
        id: "why502.evidence",
        kind: Kind::Strings,
        brief: "What decided: short quotes, the most telling first.",
        note: "At most 5, each of at most 200 characters behind its source: `nginx.error`, `nginx.access`, `gunicorn`, `gunicorn.access`, `host`, `trace`, or `why502` for a conclusion of its own. Control characters are replaced.",
        examples: &["[\"gunicorn: WORKER TIMEOUT (pid:301)\", \"nginx.access: GET /report 502\"]"],
        presence: Presence::Always,
        on: BOTH,
    },
    Row {
        id: "why502.hint",
        kind: Kind::String,
        brief: "What to do.",
        note: "One or two sentences, the same for each verdict of a cause, so that it groups.",
        examples: &[
            "\"Raise `worker_rlimit_nofile` (and `LimitNOFILE=` of the unit) to at least twice `worker_connections`.\"",
        ],
        presence: Presence::Always,
        on: BOTH,
    },
    Row {
        id: "why502.request.uid",
        kind: Kind::String,
        brief: "The same on every record and span of one failed request.",
        note: "32 hexadecimal digits, made of the request's first record: the same input gives the same uid.",
        examples: &["\"5f0c2b9f3c7d41e88a3d8f1f3c2a9b10\""],
        presence: Presence::Always,
        on: EVERYWHERE,
    },
    Row {
        id: "why502.upstream.address",
        kind: Kind::String,
        brief: "The last peer that nginx tried.",
        note: "As nginx writes it: `host:port`, or `unix:/path` for a socket.",
        examples: &["\"127.0.0.1:8000\"", "\"unix:/run/gunicorn.sock\""],
        presence: Presence::If("a peer is known"),
        on: EVERYWHERE,
    },
    Row {
        id: "why502.upstream.attempts",
        kind: Kind::Int,
        brief: "Peers that nginx tried for this request.",
        note: "1 or more.",
        examples: &["1", "2"],
        presence: Presence::If("it is known"),
        on: EVERYWHERE,
    },
    Row {
        id: "why502.worker.pid",
        kind: Kind::Int,
        brief: "Process id of the Gunicorn worker that is blamed.",
        note: "As Gunicorn's log names it: inside a container, the container's.",
        examples: &["301"],
        presence: Presence::If("the cause blames one worker"),
        on: EVERYWHERE,
    },
    Row {
        id: "why502.incident.uid",
        kind: Kind::String,
        brief: "The same on everything of one outage.",
        note: "32 hexadecimal digits, made of the site, the cause and the first failure: the same input gives the same uid. A verdict stays in its incident when late evidence changes it.",
        examples: &["\"9c1f07d2be8e4b60a5a4d8f20c6e7b13\""],
        presence: Presence::Always,
        on: BOTH,
    },
    Row {
        id: "why502.incident.origin",
        kind: Kind::Words(Vocabulary::Causes),
        brief: "The cause that the others of its incident follow from.",
        note: "As far as it was known when this was written: the record `why502.incident` that closes it has the last word.",
        examples: &[],
        presence: Presence::Always,
        on: BOTH,
    },
    Row {
        id: "why502.link.method",
        kind: Kind::Words(Vocabulary::LinkMethods),
        brief: "How the trace of the request was found.",
        note: "The trace and span id of a log record are set only where it had none and the link is exact or at least as sure as `link::threshold`; an id that a record has is never changed. Where `link::records` is `all`, records of good requests have the attributes of their link as well, and no others.",
        examples: &[],
        presence: Presence::Always,
        on: EVERYWHERE,
    },
    Row {
        id: "why502.link.candidates",
        kind: Kind::Strings,
        brief: "Ids of traces that could be this request's, best first.",
        note: "At most 5, each of 32 hexadecimal digits.",
        examples: &["[\"0af7651916cd43dd8448eb211c80319c\", \"4bf92f3577b34da6a3ce929d0e0e4736\"]"],
        presence: Presence::If("no trace is certain enough and at least one could be it"),
        on: EVERYWHERE,
    },
    Row {
        id: "why502.link.confidence",
        kind: Kind::Double,
        brief: "Probability that the linked trace is this request's.",
        note: "0 to 1; 1 for a link by an id.",
        examples: &["1.0", "0.96"],
        presence: Presence::If("a trace is linked"),
        on: EVERYWHERE,
    },
    Row {
        id: "why502.revision",
        kind: Kind::Int,
        brief: "How often late evidence changed this verdict.",
        note: "1 or more; a verdict that was never revised has none. The newest revision of a `why502.request.uid` counts.",
        examples: &["1"],
        presence: Presence::If("the verdict was revised"),
        on: VERDICT,
    },
    Row {
        id: "why502.incident.state",
        kind: Kind::Words(Vocabulary::States),
        brief: "What became of the incident.",
        note: "Told of when it opens, when its failures have doubled, while it grows every 10 s, and when it closes.",
        examples: &[],
        presence: Presence::Always,
        on: INCIDENT,
    },
    Row {
        id: "why502.incident.first",
        kind: Kind::String,
        brief: "When its first request failed.",
        note: "RFC 3339. The record's own time is that of the last failure, or of what ended it.",
        examples: &["\"2026-11-22T07:14:39.250Z\""],
        presence: Presence::Always,
        on: INCIDENT,
    },
    Row {
        id: "why502.incident.requests",
        kind: Kind::Int,
        brief: "Failed requests of the incident, so far.",
        note: "",
        examples: &["20"],
        presence: Presence::Always,
        on: INCIDENT,
    },
    Row {
        id: "why502.incident.failures",
        kind: Kind::Int,
        brief: "Failures of the incident that join no request, so far.",
        note: "A worker's end, a Gunicorn that cannot start, a line of the kernel.",
        examples: &["8", "0"],
        presence: Presence::Always,
        on: INCIDENT,
    },
    Row {
        id: "why502.incident.causes",
        kind: Kind::Strings,
        brief: "Its failures by cause, each with its count, the most frequent first.",
        note: "",
        examples: &["[\"workers_saturated 18\", \"worker_timeout 10\"]"],
        presence: Presence::Always,
        on: INCIDENT,
    },
    Row {
        id: "why502.incident.paths",
        kind: Kind::Strings,
        brief: "Its requests by route, each with its count, the most frequent first.",
        note: "Paths without their query, ids replaced by `*`. At most 10 and `others`.",
        examples: &["[\"/report 12\", \"/users/*/orders 8\"]"],
        presence: Presence::If("the path of a request is known"),
        on: INCIDENT,
    },
    Row {
        id: "why502.incident.statuses",
        kind: Kind::Strings,
        brief: "Its requests by the status that the client got, each with its count.",
        note: "",
        examples: &["[\"504 18\", \"500 2\"]"],
        presence: Presence::If("the status of a request is known"),
        on: INCIDENT,
    },
    Row {
        id: "why502.incident.upstreams",
        kind: Kind::Strings,
        brief: "Its requests by the last peer that nginx tried, each with its count.",
        note: "At most 10 and `others`.",
        examples: &["[\"127.0.0.1:8000 20\"]"],
        presence: Presence::If("the peer of a request is known"),
        on: INCIDENT,
    },
    Row {
        id: "why502.incident.examples",
        kind: Kind::Strings,
        brief: "`why502.request.uid` of some of its failures, those with a trace first.",
        note: "At most 3. The record is of the trace of the first that has one.",
        examples: &["[\"5f0c2b9f3c7d41e88a3d8f1f3c2a9b10\"]"],
        presence: Presence::Always,
        on: INCIDENT,
    },
    Row {
        id: "why502.incident.ended",
        kind: Kind::Words(Vocabulary::Ends),
        brief: "What ended the incident.",
        note: "The body of the record has the words.",
        examples: &[],
        presence: Presence::If("the incident is closed"),
        on: INCIDENT,
    },
    Row {
        id: "log.record.uid",
        kind: Kind::String,
        brief: "The same as `why502.request.uid`.",
        note: "Of an incident its uid, a hyphen, and how often it was told of before.",
        examples: &["\"5f0c2b9f3c7d41e88a3d8f1f3c2a9b10\""],
        presence: Presence::Always,
        on: &[Carrier::Verdict, Carrier::Incident],
    },
    Row {
        id: "http.request.method",
        kind: Kind::String,
        brief: "Method of the request, out of nginx's logs.",
        note: "",
        examples: &["\"GET\""],
        presence: Presence::If("it is known"),
        on: LOGS,
    },
    Row {
        id: "url.path",
        kind: Kind::String,
        brief: "Path of the request, without its query.",
        note: "",
        examples: &["\"/report\""],
        presence: Presence::If("it is known"),
        on: LOGS,
    },
    Row {
        id: "http.response.status_code",
        kind: Kind::Int,
        brief: "Status that the client got.",
        note: "",
        examples: &["502", "504"],
        presence: Presence::If("it is known"),
        on: LOGS,
    },
    Row {
        id: "client.address",
        kind: Kind::String,
        brief: "Address of the client, as nginx saw it.",
        note: "",
        examples: &["\"198.51.100.20\""],
        presence: Presence::If("it is known"),
        on: LOGS,
    },
    Row {
        id: "server.address",
        kind: Kind::String,
        brief: "Name of the virtual host that was asked for.",
        note: "The request's `Host` without its port, else the `server_name` that nginx logs.",
        examples: &["\"shop.example\""],
        presence: Presence::If("it is known"),
        on: LOGS,
    },
    Row {
        id: "process.pid",
        kind: Kind::Int,
        brief: "The process that wrote the line: an nginx worker, or a process of Gunicorn.",
        note: "",
        examples: &["411"],
        presence: Presence::If("the line names it"),
        on: &[Carrier::Record],
    },
    Row {
        id: "error.type",
        kind: Kind::String,
        brief: "The cause, for backends that group spans by it.",
        note: "",
        examples: &["\"worker_timeout\""],
        presence: Presence::If("the span has none"),
        on: &[Carrier::Span],
    },
];

fn of_category(category: Category) -> &'static str {
    match category {
        Category::Unreachable => "nginx cannot connect: Gunicorn, the address, the permissions or the network",
        Category::Capacity => "something has run out: workers, queue, ports, descriptors, connections",
        Category::Worker => "the Gunicorn worker that had the request came to its end",
        Category::Lifecycle => "Gunicorn starts, stops, reloads, or cannot start",
        Category::Protocol => "nginx and the upstream disagree about HTTP or about a connection kept alive",
        Category::Tls => "nginx and the upstream disagree about TLS",
        Category::Application => "the application itself answered so, was slow, or broke off",
        Category::Client => "the client went away",
        Category::Unknown => "the evidence does not say",
    }
}

fn of_symptom(symptom: Symptom) -> &'static str {
    match symptom {
        Symptom::ConnectRefused => "the connection was refused",
        Symptom::ConnectSocketMissing => "the unix socket's file does not exist",
        Symptom::ConnectPermissionDenied => "the connection was denied: errno 13",
        Symptom::ConnectBacklogFull => "the unix socket's listen queue was full: errno 11",
        Symptom::ConnectTimedOut => "no connection within the time for it",
        Symptom::ConnectUnreachable => "no route to the host or to its network",
        Symptom::ConnectNoLocalPort => "no local port was left for the connection",
        Symptom::ConnectFailed => "the connection failed with another errno, or with one that is not known",
        Symptom::NoLiveUpstreams => "all servers of the upstream group were set aside",
        Symptom::NameNotResolved => "the upstream's name did not resolve",
        Symptom::TlsHandshakeFailed => "the TLS handshake with the upstream failed",
        Symptom::TlsCertificateRejected => "nginx did not trust the upstream's certificate",
        Symptom::RequestSendFailed => "the connection broke while the request was sent",
        Symptom::ResponseClosedEarly => "the upstream closed the connection before a whole response header",
        Symptom::ResponseReset => "the upstream reset the connection before a whole response header",
        Symptom::ResponseTimedOut => "no response within the time for it",
        Symptom::ResponseHeaderTooBig => "the response header did not fit into nginx's buffer",
        Symptom::ResponseHeaderInvalid => "the response header was not valid HTTP",
        Symptom::ResponseTruncated => "the header was sent, and the body was cut",
        Symptom::Relayed => "the upstream itself answered with this status",
        Symptom::NginxOutOfConnections => "nginx had no connection left (`worker_connections`)",
        Symptom::NginxOutOfFiles => "nginx had no file descriptor left",
        Symptom::ClientClosed => "the client closed the connection first",
        Symptom::Unknown => "the logs do not say",
    }
}

fn of_state(state: State) -> &'static str {
    match state {
        State::Opened => "its first failure was judged",
        State::Changed => "more failures joined it, or its origin became clearer",
        State::Closed => "nothing joins it any more",
    }
}

fn of_method(method: LinkMethod) -> &'static str {
    match method {
        LinkMethod::TraceContext => "a record of the request carries the trace id",
        LinkMethod::RequestId => "nginx's `$request_id` is on the span, or is the trace id",
        LinkMethod::Timing => "time, method and path of a span fit",
        LinkMethod::None => "no trace was found",
    }
}
