//! What the program needs to know, free of contradictions. Units and defaults stand in the [table](super::table).

use super::values::Secret;
use crate::otlp::Signal;
use std::path::PathBuf;
use std::time::Duration;

/// Everything.
#[derive(Clone, Debug)]
pub struct Config {
    /// Receivers that a pipeline uses.
    pub receivers: Vec<Receiver>,
    /// The processor `why502`; all pipelines that name it share one.
    pub processor: Processor,
    /// Exporters that a pipeline uses.
    pub exporters: Vec<Exporter>,
    /// Pipelines.
    pub pipelines: Vec<Pipeline>,
    /// Our own telemetry.
    pub telemetry: Telemetry,
    /// What works and may not be meant.
    pub warnings: Vec<super::tree::Mistake>,
}

/// An OTLP receiver.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// `otlp` or `otlp/name`.
    pub name: String,
    /// OTLP over gRPC.
    pub grpc: Option<Listener>,
    /// OTLP over HTTP.
    pub http: Option<Listener>,
}

/// One listening socket.
#[derive(Clone, Debug)]
pub struct Listener {
    /// `127.0.0.1:4317`.
    pub endpoint: String,
    /// Largest request after decompression.
    pub request_bytes_max: usize,
    /// Requests worked on at once.
    pub requests_max: usize,
    /// Bytes of all of them together, as received and after decompression.
    pub in_flight_bytes_max: usize,
    /// Certificate and key; plain text where `None`.
    pub tls: Option<ServerTls>,
    /// Line of the endpoint, for messages.
    pub line: usize,
}

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// PEM.
    pub cert_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
    /// PEM; clients must show a certificate of this authority.
    pub client_ca_file: Option<PathBuf>,
}

/// The processor.
#[derive(Clone, Debug)]
pub struct Processor {
    /// How long a record waits for its verdict.
    pub hold: Duration,
    /// A link is set at this confidence or above.
    pub link_threshold: f64,
    /// Parsed values go to the names of the semantic conventions.
    pub enrich_http: bool,
    /// Seconds that nginx's local time is ahead of UTC; inferred where `None`.
    pub zone: Option<i64>,
    /// nginx `log_format` texts.
    pub log_formats: Vec<String>,
    /// Failed requests open at once.
    pub requests_max: usize,
    /// Spans remembered for linking.
    pub spans_max: usize,
    /// Bytes of records and spans that wait for a verdict.
    pub held_bytes_max: usize,
    /// Verdicts kept for the query API.
    pub verdicts_max: usize,
}

/// One exporter.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// `otlp/tempo`.
    pub name: String,
    /// What it is.
    pub kind: ExporterKind,
}

/// Kinds of exporters.
#[derive(Clone, Debug)]
pub enum ExporterKind {
    /// OTLP over gRPC.
    Grpc(Remote),
    /// OTLP over HTTP.
    Http(Remote),
    /// OTLP JSON, one request a line.
    File(PathBuf),
    /// Verdicts for people on standard output.
    Debug,
}

/// A backend across the network.
#[derive(Clone, Debug)]
pub struct Remote {
    /// As written.
    pub endpoint: String,
    /// Whole URLs for single signals: logs, traces, metrics.
    pub signal_endpoints: [Option<String>; 3],
    /// Sent with each request.
    pub headers: Vec<(String, Secret)>,
    /// Of request bodies.
    pub compression: Compression,
    /// JSON instead of protobuf.
    pub json: bool,
    /// For one try.
    pub timeout: Duration,
    /// TLS.
    pub tls: ClientTls,
    /// Queue.
    pub queue: Queue,
    /// Retry.
    pub retry: Retry,
    /// Largest request before compression.
    pub request_bytes_max: usize,
    /// Line of the endpoint, for messages.
    pub line: usize,
}

/// Compression of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// TLS towards a backend.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// Plain text for an endpoint without scheme.
    pub insecure: bool,
    /// Trust any certificate.
    pub insecure_skip_verify: bool,
    /// PEM of the authority; the system's where `None`.
    pub ca_file: Option<PathBuf>,
    /// PEM of our certificate.
    pub cert_file: Option<PathBuf>,
    /// PEM of our key.
    pub key_file: Option<PathBuf>,
    /// Name in the certificate, if not the endpoint's.
    pub server_name: Option<String>,
}

/// A queue before a backend.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// Requests that wait.
    pub requests_max: usize,
    /// Their bytes.
    pub bytes_max: usize,
    /// Requests on their way at once.
    pub consumers: usize,
}

/// Exponential backoff.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Off: a failed request is dropped.
    pub enabled: bool,
    /// Before the second try.
    pub initial_interval: Duration,
    /// Share of the interval that is random, 0 to 1.
    pub randomization_factor: f64,
    /// Of the interval from try to try.
    pub multiplier: f64,
    /// Longest interval.
    pub max_interval: Duration,
    /// After so long the request is dropped; zero never gives up.
    pub max_elapsed_time: Duration,
}

/// What goes where.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// `logs` or `logs/name`.
    pub name: String,
    /// Of the name.
    pub signal: Signal,
    /// Indices of [`Config::receivers`].
    pub receivers: Vec<usize>,
    /// It names the processor `why502`.
    pub explained: bool,
    /// Indices of [`Config::exporters`].
    pub exporters: Vec<usize>,
}

/// Our own telemetry.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// OTLP over gRPC; off where `None`.
    pub metrics_endpoint: Option<String>,
    /// How often.
    pub metrics_interval: Duration,
    /// OTLP over gRPC; off where `None`.
    pub logs_endpoint: Option<String>,
}
