//! The closed list of what a line or a span can prove.
//!
//! Every value here was read from untrusted bytes: strings are cut to [`TEXT_BYTES_MAX`] before they get here and
//! keep their raw content; whoever prints them neutralises control characters ([`crate::read::text::printable`]).

mod host;

pub use host::{Host, Server, ServerEvent};

use crate::read::text::hash64;

/// A text of a field: one of up to 23 bytes stands where the field does, a longer one is shared by its copies. Thousands of
/// failed requests wait for their verdicts, and each has some twenty texts, nearly all of them short.
pub type Text = smol_str::SmolStr;

/// Unix time in nanoseconds. Negative before 1970; the year 2262 is its end, and later times saturate there.
pub type Nanos = i64;

/// One second in [`Nanos`].
pub const SECOND: Nanos = 1_000_000_000;
/// One millisecond in [`Nanos`].
pub const MILLISECOND: Nanos = 1_000_000;

/// Longest text kept from any one field, in bytes. nginx cuts a whole error line at 2,048
/// (`src/core/ngx_log.h`, `NGX_MAX_ERROR_STR`), so nothing of an error line is lost.
pub const TEXT_BYTES_MAX: usize = 2_048;

/// When a line says that it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time read as UTC when `zone_known` is false.
    pub nanos: Nanos,
    /// How coarse the stamp is: [`SECOND`], [`MILLISECOND`] or 1.
    pub grain: Nanos,
    /// False for nginx's error log, which prints local time and no zone.
    pub zone_known: bool,
    /// False for RFC 3164 (`Mar  4 09:15:02`): read as 1972, the year that has every day.
    pub year_known: bool,
}

impl Stamp {
    /// `LogRecord.time_unix_nano`: as coarse as its digits look, because it was read out of a text.
    pub fn of_record(nanos: Nanos) -> Stamp {
        let grain = [SECOND, MILLISECOND].into_iter().find(|grain| nanos % grain == 0).unwrap_or(1);
        Stamp { nanos, grain, zone_known: true, year_known: true }
    }
}

/// What nginx saw happen to a request. A fact; the names are a contract (`why502.symptom`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each name says what the string of `id` says")]
pub enum Symptom {
    ConnectRefused,
    ConnectSocketMissing,
    ConnectPermissionDenied,
    ConnectBacklogFull,
    ConnectTimedOut,
    ConnectUnreachable,
    ConnectNoLocalPort,
    ConnectFailed,
    NoLiveUpstreams,
    NameNotResolved,
    TlsHandshakeFailed,
    TlsCertificateRejected,
    RequestSendFailed,
    ResponseClosedEarly,
    ResponseReset,
    ResponseTimedOut,
    ResponseHeaderTooBig,
    ResponseHeaderInvalid,
    ResponseTruncated,
    Relayed,
    NginxOutOfConnections,
    NginxOutOfFiles,
    ClientClosed,
    Unknown,
}

impl Symptom {
    /// All symptoms in the order of the contract.
    pub const ALL: [Symptom; 24] = [
        Symptom::ConnectRefused,
        Symptom::ConnectSocketMissing,
        Symptom::ConnectPermissionDenied,
        Symptom::ConnectBacklogFull,
        Symptom::ConnectTimedOut,
        Symptom::ConnectUnreachable,
        Symptom::ConnectNoLocalPort,
        Symptom::ConnectFailed,
        Symptom::NoLiveUpstreams,
        Symptom::NameNotResolved,
        Symptom::TlsHandshakeFailed,
        Symptom::TlsCertificateRejected,
        Symptom::RequestSendFailed,
        Symptom::ResponseClosedEarly,
        Symptom::ResponseReset,
        Symptom::ResponseTimedOut,
        Symptom::ResponseHeaderTooBig,
        Symptom::ResponseHeaderInvalid,
        Symptom::ResponseTruncated,
        Symptom::Relayed,
        Symptom::NginxOutOfConnections,
        Symptom::NginxOutOfFiles,
        Symptom::ClientClosed,
        Symptom::Unknown,
    ];

    /// The word of the contract.
    pub fn id(self) -> &'static str {
        match self {
            Symptom::ConnectRefused => "connect_refused",
            Symptom::ConnectSocketMissing => "connect_socket_missing",
            Symptom::ConnectPermissionDenied => "connect_permission_denied",
            Symptom::ConnectBacklogFull => "connect_backlog_full",
            Symptom::ConnectTimedOut => "connect_timed_out",
            Symptom::ConnectUnreachable => "connect_unreachable",
            Symptom::ConnectNoLocalPort => "connect_no_local_port",
            Symptom::ConnectFailed => "connect_failed",
            Symptom::NoLiveUpstreams => "no_live_upstreams",
            Symptom::NameNotResolved => "name_not_resolved",
            Symptom::TlsHandshakeFailed => "tls_handshake_failed",
            Symptom::TlsCertificateRejected => "tls_certificate_rejected",
            Symptom::RequestSendFailed => "request_send_failed",
            Symptom::ResponseClosedEarly => "response_closed_early",
            Symptom::ResponseReset => "response_reset",
            Symptom::ResponseTimedOut => "response_timed_out",
            Symptom::ResponseHeaderTooBig => "response_header_too_big",
            Symptom::ResponseHeaderInvalid => "response_header_invalid",
            Symptom::ResponseTruncated => "response_truncated",
            Symptom::Relayed => "relayed",
            Symptom::NginxOutOfConnections => "nginx_out_of_connections",
            Symptom::NginxOutOfFiles => "nginx_out_of_files",
            Symptom::ClientClosed => "client_closed",
            Symptom::Unknown => "unknown",
        }
    }

    /// True when nginx could not connect.
    pub fn is_connect(self) -> bool {
        use Symptom as S;
        matches!(
            self,
            S::ConnectRefused
                | S::ConnectSocketMissing
                | S::ConnectPermissionDenied
                | S::ConnectBacklogFull
                | S::ConnectTimedOut
                | S::ConnectUnreachable
                | S::ConnectNoLocalPort
                | S::ConnectFailed
        )
    }
}

/// What one line or record proves, with the keys that its envelope carried.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// What it proves.
    pub proof: Proof,
    /// The line's own stamp, else the envelope's; `None` where neither has one.
    pub stamp: Option<Stamp>,
    /// The bare line, envelope peeled, for quotes; at most [`TEXT_BYTES_MAX`] bytes. Empty after [`Evidence::forget_text`].
    pub text: String,
    /// Hash of a text that was forgotten, else 0.
    pub words: u64,
    /// Whom the line's envelope names as its writer's place; `None` where it names nobody.
    pub origin: Option<Origin>,
    /// Trace context found in the line or its attributes.
    pub trace: Option<TraceContext>,
    /// False when something about the line contradicts that the program wrote it: the physical line before it
    /// ended inside a quote, as a client's line feed leaves it, or it imitates a line inside another field.
    pub genuine: bool,
}

impl Evidence {
    /// Hash of the bare line: uids are made of it.
    pub fn words(&self) -> u64 {
        if self.words == 0 { hash64(self.text.as_bytes()) } else { self.words }
    }

    /// Gives up the text of nginx's lines, whose fields say all that is quoted. Whoever read the line has it warm; in a storm
    /// it would be cold where it is not needed any more.
    pub fn forget_text(&mut self) {
        if matches!(self.proof, Proof::NginxError(_) | Proof::NginxAccess(_)) {
            self.words = self.words();
            self.text = String::new();
        }
    }
}

/// Where a line was written, as its envelope says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// What the name is one of.
    pub kind: OriginKind,
    /// The name as it stands in the envelope.
    pub name: String,
}

/// What an envelope names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OriginKind {
    /// A container, or a service of compose with its number (`web-1`).
    Container,
    /// A pod of Kubernetes, without its container.
    Pod,
    /// A machine.
    Host,
    /// A unit of systemd.
    Unit,
}

impl OriginKind {
    /// The place with this name; `None` for an empty one.
    pub fn named(self, name: impl Into<String>) -> Option<Origin> {
        let name = name.into();
        (!name.is_empty()).then_some(Origin { kind: self, name })
    }
}

/// Trace and span id of a request, as W3C trace context carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceContext {
    /// Never all zero.
    pub trace_id: [u8; 16],
    /// `None` where only the trace id is known. Never all zero.
    pub span_id: Option<[u8; 8]>,
}

/// What is proven.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// A line of nginx's error log that concerns an upstream, a limit of nginx itself or a client's abort.
    NginxError(Box<NginxError>),
    /// A line of nginx's access log.
    NginxAccess(Box<NginxAccess>),
    /// A line of Gunicorn's error log (or of an uvicorn worker, which shares its handlers).
    Gunicorn(Gunicorn),
    /// A line of Gunicorn's or uvicorn's access log.
    GunicornAccess(Box<GunicornAccess>),
    /// The last line of a Python traceback: `OSError: [Errno 24] Too many open files`.
    Exception {
        /// Class with its module, as printed.
        class: String,
        /// Text after the colon; empty when none.
        message: String,
        /// The application's own line that led there: `app.py:19 in report`; `None` where no frame of it was read.
        frame: Option<Box<str>>,
    },
    /// The kernel, systemd, Kubernetes or a supervisor about a process.
    Host(Host),
}

impl Proof {
    /// The process that wrote the line, where it says so.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Proof::NginxError(error) => error.pid,
            Proof::NginxAccess(access) => access.pid,
            Proof::Gunicorn(gunicorn) => gunicorn.pid,
            Proof::GunicornAccess(_) | Proof::Exception { .. } | Proof::Host(_) => None,
        }
    }
}

/// A line of nginx's error log (`src/http/ngx_http_request.c`, `ngx_http_log_error_handler`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NginxError {
    /// `emerg` to `debug` as printed; empty when lost.
    pub level: &'static str,
    /// nginx worker; `None` when lost.
    pub pid: Option<u32>,
    /// `*N`: equals `$connection` of the access log.
    pub connection: Option<u64>,
    /// Message up to ` while ` or `, client:`, errno suffix included.
    pub message: Text,
    /// Number of the ` (N: text)` suffix: errno, resolver code or OpenSSL verify code.
    pub code: Option<i32>,
    /// Text of that suffix.
    pub code_text: Text,
    /// Phrase after ` while `: `connecting to upstream`, `reading response header from upstream` ...
    pub action: Text,
    /// What it means for the request; `None` for a line that is no failure of an attempt (a warning, a companion).
    pub symptom: Option<Symptom>,
    /// `client:`; empty when absent.
    pub client: Text,
    /// `server:`.
    pub server: Text,
    /// `request:` whole: `GET /x HTTP/1.1`; `None` when absent.
    pub request: Option<Text>,
    /// `subrequest:`.
    pub subrequest: Option<Text>,
    /// Peer of `upstream:`, or of `connect() to PEER failed`: `127.0.0.1:8000`, `unix:/run/g.sock`, a block's name.
    pub upstream: Option<Text>,
    /// Scheme of `upstream:`: `http`, `https`, `fastcgi`, `uwsgi`, `grpc` ...; empty when absent.
    pub upstream_scheme: Text,
    /// `host:`.
    pub host: Option<Text>,
    /// The name that did not resolve, the header at fault, or other detail of the message; empty when none.
    pub detail: Text,
}

/// A field of an access log: the format may not have it, nginx may have had no value (`-`), or it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Logged<T> {
    /// The format has no such variable.
    #[default]
    No,
    /// `-` or empty: nginx had no value.
    Dash,
    /// The value.
    Value(T),
}

impl<T> Logged<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Logged::Value(value) => Some(value),
            Logged::No | Logged::Dash => None,
        }
    }

    /// True when the format has the variable and nginx had no value.
    pub fn is_dash(&self) -> bool {
        matches!(self, Logged::Dash)
    }

    /// True when the format has the variable.
    pub fn is_logged(&self) -> bool {
        !matches!(self, Logged::No)
    }
}

/// One attempt of nginx to get an answer: one element of the `$upstream_*` lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attempt {
    /// `$upstream_addr`; empty when not logged or without a peer.
    pub address: Text,
    /// `$upstream_status`.
    pub status: Logged<u16>,
    /// `$upstream_connect_time`.
    pub connect_time: Logged<Nanos>,
    /// `$upstream_header_time`: `Dash` says that nginx made the status itself.
    pub header_time: Logged<Nanos>,
    /// `$upstream_response_time`.
    pub response_time: Logged<Nanos>,
    /// `$upstream_bytes_received`.
    pub bytes_received: Logged<u64>,
    /// `$upstream_bytes_sent`.
    pub bytes_sent: Logged<u64>,
}

/// A line of nginx's access log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NginxAccess {
    /// `$status`; 9 is `009`, an HTTP/0.9 answer passed through.
    pub status: u16,
    /// `$request` or its parts.
    pub method: Text,
    /// Path and query as the client sent them.
    pub target: Text,
    /// `HTTP/1.1`; empty when not logged.
    pub protocol: Text,
    /// `$remote_addr`.
    pub client: Text,
    /// `$host` or `$http_host`.
    pub host: Text,
    /// `$pid`.
    pub pid: Option<u32>,
    /// `$connection`.
    pub connection: Option<u64>,
    /// `$connection_requests`.
    pub connection_requests: Option<u64>,
    /// `$request_id` or `$req_id`; empty when not logged.
    pub request_id: Text,
    /// `$request_time`.
    pub request_time: Logged<Nanos>,
    /// `$body_bytes_sent`.
    pub body_bytes_sent: Logged<u64>,
    /// `$request_length`.
    pub request_length: Logged<u64>,
    /// Attempts in order. Empty when nginx had none or the format has no `$upstream_*` variable.
    pub attempts: Vec<Attempt>,
    /// The format has at least one `$upstream_*` variable.
    pub has_upstream: bool,
    /// The stamp is `$msec`: milliseconds, not a whole second.
    pub exact_time: bool,
}

/// What a line of Gunicorn's error log says.
#[derive(Clone, Debug, PartialEq)]
pub struct Gunicorn {
    /// The pid in brackets: the process that wrote the line.
    pub pid: Option<u32>,
    /// `INFO`, `ERROR` ...; empty when lost. Levels differ by version and prove nothing.
    pub level: String,
    /// What it says.
    pub event: GunicornEvent,
}

/// The messages that count (`gunicorn/arbiter.py`, `gunicorn/workers/*.py`, 19.9 to 27).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the comment of each variant quotes its message")]
pub enum GunicornEvent {
    /// `Starting gunicorn 23.0.0`
    Starting { version: String },
    /// `Listening at: http://127.0.0.1:8000,unix:/run/g.sock (PID)`; addresses as nginx writes them:
    /// `127.0.0.1:8000`, `unix:/run/g.sock`. None with `reuse_port` of 24 and later: there each worker has a socket of its own.
    Listening { addresses: Vec<String> },
    /// `Using worker: sync`
    UsingWorker { class: String },
    /// `Booting worker with pid: N`, uvicorn's `Started server process [N]`
    Booting { worker: u32 },
    /// `WORKER TIMEOUT (pid:N)`
    WorkerTimeout { worker: u32 },
    /// `Worker exiting (pid: N)`
    WorkerExiting { worker: u32 },
    /// `Worker (pid:N) was sent SIGKILL! Perhaps out of memory?`, `... was terminated due to signal 9`,
    /// `... was sent code 139!` (signal 11)
    WorkerSignalled { worker: u32, signal: u32 },
    /// `Worker (pid:N) exited with code 1`, with or without a full stop
    WorkerExited { worker: u32, code: i32 },
    /// `Worker graceful timeout (pid:N)`
    GracefulTimeout { worker: u32 },
    /// `Handling signal: term`; lower case without `SIG`
    HandlingSignal { name: String },
    /// `Hang up: Master`
    HangUp,
    /// `Shutting down: Master`
    ShuttingDown,
    /// `Reason: Worker failed to boot.`
    BootFailed,
    /// `Reason: App failed to load.`, `Failed to find attribute 'x' in 'm'.`
    AppLoadFailed { detail: String },
    /// `Exception in worker process`
    ExceptionInWorker,
    /// A frame of a traceback out of the primary process's own import of the application (`--preload`)
    PreloadFailed,
    /// `Error handling request /x`, with `(no URI read)` as `None`
    ErrorHandlingRequest { target: Option<String> },
    /// `Socket error processing request.`
    SocketError,
    /// `Invalid request from ip=...: [SSL: HTTP_REQUEST] http request`
    PlainRequestToTlsPort,
    /// `Invalid request from ip=...: ...`
    InvalidRequest { detail: String },
    /// `Autorestarting worker after current request.`, uvicorn's `Maximum request limit of N exceeded`
    Autorestarting,
    /// A frame of a traceback: `File ".../gunicorn/workers/base.py", line 204, in handle_abort`
    Aborted,
    /// `Parent changed, shutting down: <Worker N>`
    ParentChanged,
    /// `Connection in use: ('0.0.0.0', 8000)`, `Can't connect to (...)`, `Invalid address: ...`
    BindFailed { address: String },
    /// `Retrying in 1 second.`, after each try to bind that failed
    BindRetry,
    /// `Unhandled exception in main loop`
    ArbiterCrashed,
    /// `Unhandled signal: cld` of 24.0.0: dead workers are not replaced
    ChildrenIgnored,
    /// `Application startup failed. Exiting.` of uvicorn
    StartupFailed,
    /// `DIRTY WORKER TIMEOUT (pid:N)`, `Dirty worker (pid:N) killed by signal S`, `Execution timeout for X.Y after Ns`: the dirty
    /// side of 25 and later, which runs what web workers hand over
    DirtyTrouble,
    /// `Ignoring EPIPE`, `Ignoring connection reset`: the client, nginx, went away
    ClientGone,
    /// Any other line in Gunicorn's format.
    Other,
}

/// A line of Gunicorn's or uvicorn's access log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GunicornAccess {
    /// Status that the application answered.
    pub status: u16,
    /// Request method.
    pub method: Text,
    /// Path and query.
    pub target: Text,
    /// `%(p)s`: the worker.
    pub worker: Option<u32>,
    /// `%(h)s`: the peer, which is nginx; empty over a unix socket.
    pub client: Text,
    /// `%(L)s`, `%(D)s`, `%(M)s` or `%(T)s`.
    pub duration: Option<Nanos>,
    /// `%({x-request-id}i)s`; empty when not logged.
    pub request_id: Text,
}
