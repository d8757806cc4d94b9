//! What the program needs to know, free of contradictions. Units and defaults stand in the [table](super::table).

use super::endpoint;
use super::kafka::{KafkaExporter, KafkaReceiver};
use super::values::Secret;
use crate::otlp::Signal;
use crate::read::formats::LogFormat;
use http::Uri;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where a setting stands, for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `exporters::otlp/tempo::endpoint`, or `--to`.
    pub key: String,
    /// Line of the file; 0 where there is none.
    pub line: usize,
}

/// `exporters::otlp/tempo::endpoint (line 9)`.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => formatter.write_str(&self.key),
            line => write!(formatter, "{} (line {line})", self.key),
        }
    }
}

/// What can be connected to.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// With its scheme; `/` is the path of a gRPC endpoint.
    pub url: Uri,
    /// Where it is written.
    pub place: Place,
}

impl Endpoint {
    /// Without brackets.
    pub fn host(&self) -> &str {
        endpoint::host(&self.url)
    }

    /// That of the scheme where none is written.
    pub fn port(&self) -> u16 {
        endpoint::port(&self.url)
    }
}

/// Without the query, which may be a secret.
impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&endpoint::without_query(&self.url))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Endpoint({self}, {:?})", self.place)
    }
}

/// A file that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedFile {
    /// As written: a relative one starts where the program was started.
    pub path: PathBuf,
    /// Where it is written.
    pub place: Place,
}

impl From<&str> for NamedFile {
    fn from(path: &str) -> NamedFile {
        NamedFile { path: path.into(), place: Place::default() }
    }
}

/// Who we are in a TLS handshake.
#[derive(Clone, Debug)]
pub struct Identity {
    /// PEM of the certificate chain.
    pub cert_file: NamedFile,
    /// PEM of the private key.
    pub key_file: NamedFile,
}

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
    /// Answers probes; `None` where the extension is not switched on.
    pub health: Option<HealthCheck>,
    /// Our own telemetry.
    pub telemetry: Telemetry,
    /// What the whole program may take.
    pub memory: MemoryLimit,
    /// Where requests are kept until their backends have them; none where no exporter asks for it.
    pub journal: Option<Journal>,
    /// The page for people; off where `None`.
    pub web: Option<Web>,
    /// What works and may not be meant.
    pub warnings: Vec<super::tree::Mistake>,
}

impl Config {
    /// All sockets that are listened on, each with the key of its endpoint; the page where somebody asked for it.
    pub fn listeners(&self) -> impl Iterator<Item = (String, &Listener)> {
        let health = self.health.iter().map(|health| (health.key.clone(), &health.listener));
        let scraped = self.telemetry.prometheus.iter().map(|scraped| (scraped.key.clone(), &scraped.listener));
        let page = self.web.iter().filter(|web| web.is_written).map(|web| ("web::endpoint".to_owned(), &web.listener));
        listeners(&self.receivers).chain(health).chain(scraped).chain(page)
    }
}

/// The extension `health_check`.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// Where probes are answered.
    pub listener: Listener,
    /// The key of its endpoint.
    pub key: String,
    /// Answers as `/readyz` does, as the collector has it.
    pub path: String,
}

/// Where our own metrics are scraped.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// Where `/metrics` is answered.
    pub listener: Listener,
    /// The key of its port.
    pub key: String,
}

/// All sockets of receivers, each with the key of its endpoint.
pub(super) fn listeners(receivers: &[Receiver]) -> impl Iterator<Item = (String, &Listener)> {
    receivers.iter().flat_map(|receiver| {
        let of = [("grpc", &receiver.grpc), ("http", &receiver.http)];
        of.into_iter().filter_map(|(protocol, listener)| {
            let key = format!("receivers::{}::protocols::{protocol}::endpoint", receiver.name);
            Some((key, listener.as_ref()?))
        })
    })
}

/// What the whole program may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Nine tenths of what the control group allows, else 512 MiB.
    #[default]
    Auto,
    /// So many bytes.
    Bytes(usize),
}

/// A receiver.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// `otlp` or `otlp/name`.
    pub name: String,
    /// OTLP over gRPC.
    pub grpc: Option<Listener>,
    /// OTLP over HTTP.
    pub http: Option<Listener>,
    /// OTLP out of Kafka instead of both.
    pub kafka: Option<Box<KafkaReceiver>>,
}

/// One listening socket.
#[derive(Clone, Debug)]
pub struct Listener {
    /// `127.0.0.1:4317`, as written.
    pub endpoint: String,
    /// Its host, without brackets; `0.0.0.0` where none is written.
    pub host: String,
    /// Its port; 0 is any free one.
    pub port: u16,
    /// The socket of the file system that is listened on instead.
    pub unix: Option<UnixSocket>,
    /// Largest request after decompression.
    pub request_bytes_max: usize,
    /// Requests worked on at once.
    pub requests_max: usize,
    /// Bytes of all of them together, as received and after decompression.
    pub in_flight_bytes_max: usize,
    /// Certificate and key; plain text where `None`.
    pub tls: Option<ServerTls>,
    /// Who may send; everybody where `None`.
    pub auth: Option<Authenticator>,
    /// Pages of these origins may send from a browser (`http` only).
    pub cors: Option<Cors>,
    /// Where requests of the three signals go, logs first (`http` only).
    pub paths: [String; 3],
    /// How connections are looked after.
    pub keepalive: Keepalive,
    /// Line of the endpoint, for messages.
    pub line: usize,
}

/// A socket of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// Its name.
    pub path: PathBuf,
    /// Who may connect: those who may write it.
    pub mode: u32,
}

/// Who is let in, or who we say that we are.
#[derive(Clone, Debug)]
pub enum Authenticator {
    /// A token in a header.
    Bearer(Bearer),
    /// User and password (RFC 7617).
    Basic(Basic),
}

/// A token in a header.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// `authorization` unless written otherwise.
    pub header: http::HeaderName,
    /// Before the token; may be empty.
    pub scheme: String,
    /// Each of them is good; the first is sent.
    pub tokens: Vec<Secret>,
    /// One token a line, instead of those.
    pub file: Option<NamedFile>,
    /// Line of the section, for messages.
    pub line: usize,
}

/// User and password.
#[derive(Clone, Debug)]
pub struct Basic {
    /// `user:hash` a line.
    pub file: Option<NamedFile>,
    /// The same as a text.
    pub inline: Option<Secret>,
    /// Whom we are towards a backend.
    pub client: Option<(String, Secret)>,
    /// Line of the section, for messages.
    pub line: usize,
}

/// What browsers are told (Fetch Standard, "CORS protocol").
#[derive(Clone, Debug)]
pub struct Cors {
    /// `https://shop.example`, `*` for all, `https://*.example`.
    pub origins: Vec<String>,
    /// Beside those that every page may send.
    pub headers: Vec<http::HeaderName>,
    /// Any header may be sent.
    pub any_header: bool,
    /// Beside those that every page may read.
    pub exposed: Vec<http::HeaderName>,
    /// How long a browser may remember it, in seconds.
    pub max_age: Option<Duration>,
}

/// How connections are looked after.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// A connection that is silent for so long is asked whether it is alive.
    pub time: Duration,
    /// It is closed when it does not answer within this time.
    pub timeout: Duration,
    /// After about so long it takes no new requests; never where `None`.
    pub age_max: Option<Duration>,
}

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// Our certificate and key.
    pub identity: Identity,
    /// PEM; clients must show a certificate of this authority.
    pub client_ca_file: Option<NamedFile>,
    /// The least version that is spoken.
    pub min_version: TlsVersion,
    /// How often the files are looked at for changes; never where `None`.
    pub reload_interval: Option<Duration>,
}

/// Versions of TLS that are spoken at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246, and later.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// The page for people.
#[derive(Clone, Debug)]
pub struct Web {
    /// Where it listens.
    pub listener: Listener,
    /// False where nobody asked for it: then a port that is taken is no reason not to start.
    pub is_written: bool,
    /// Names that it may be asked for by, beside `localhost` and addresses; in lower case.
    pub hosts: Vec<String>,
}

/// The processor.
#[derive(Clone, Debug)]
pub struct Processor {
    /// How long a record waits for its verdict.
    pub hold: Duration,
    /// A link is set at this confidence or above.
    pub link_threshold: f64,
    /// Records of good requests get their link as well.
    pub link_all: bool,
    /// Parsed values go to the names of the semantic conventions.
    pub enrich_http: bool,
    /// Seconds that nginx's local time is ahead of UTC; inferred where `None`.
    pub zone: Option<i64>,
    /// nginx's `log_format` texts, compiled.
    pub log_formats: Vec<LogFormat>,
    /// Gunicorn's `access_log_format` texts, compiled.
    pub gunicorn_formats: Vec<LogFormat>,
    /// An nginx configuration that is read at the start.
    pub nginx_conf: Option<NamedFile>,
    /// How places are told apart, and who stands before whom.
    pub sites: Sites,
    /// Failed requests open at once.
    pub requests_max: usize,
    /// Spans remembered for linking.
    pub spans_max: usize,
    /// Bytes of records and spans that wait for a verdict.
    pub held_bytes_max: usize,
    /// Bytes of spans that wait for a verdict.
    pub held_span_bytes_max: usize,
    /// Verdicts kept for the query API.
    pub verdicts_max: usize,
    /// Verdict records of one incident that are sent; all where `None`.
    pub verdicts_per_incident: Option<u64>,
}

/// How places are told apart.
#[derive(Clone, Debug)]
pub struct Sites {
    /// Names of attributes that make a site, the most telling first; those of one key must all be there.
    pub keys: Vec<Vec<String>>,
    /// Explicit rules of the topology.
    pub upstreams: Vec<Upstream>,
}

/// One rule: which nginx stands before which application server.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Attributes of the resource of nginx's logs.
    pub nginx: Vec<(String, String)>,
    /// Attributes of the resource of the application server's logs and spans.
    pub server: Vec<(String, String)>,
    /// The peer as nginx writes it; any where `None`.
    pub address: Option<String>,
}

/// One exporter.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// `otlp/tempo`.
    pub name: String,
    /// What it is.
    pub kind: ExporterKind,
}

impl Exporter {
    /// Whether it waits for its backend on disk.
    pub fn is_journaled(&self) -> bool {
        self.remote().is_some_and(|remote| remote.is_journaled)
    }

    /// Its backend, where it has one across the network.
    pub fn remote(&self) -> Option<&Remote> {
        match &self.kind {
            ExporterKind::Grpc(remote) | ExporterKind::Http(remote) => Some(remote),
            ExporterKind::Kafka(kafka) => Some(&kafka.remote),
            ExporterKind::File(_) | ExporterKind::Debug => None,
        }
    }

    /// Where its signals go; nowhere across the network for `file` and `debug`.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.remote().into_iter().flat_map(|remote| remote.endpoints.iter().flatten())
    }
}

/// Kinds of exporters.
#[derive(Clone, Debug)]
pub enum ExporterKind {
    /// OTLP over gRPC.
    Grpc(Remote),
    /// OTLP over HTTP.
    Http(Remote),
    /// OTLP into topics of Kafka.
    Kafka(Box<KafkaExporter>),
    /// OTLP JSON, one request a line.
    File(NamedFile),
    /// Verdicts for people on standard output.
    Debug,
}

/// A backend across the network.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where logs, traces and metrics go; `None` is nowhere. Of gRPC all three are the same.
    pub endpoints: [Option<Endpoint>; 3],
    /// Sent with each request.
    pub headers: Vec<(String, Secret)>,
    /// Whom we say that we are.
    pub auth: Option<Authenticator>,
    /// A proxy that connects us by `CONNECT`.
    pub proxy: Option<Endpoint>,
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
    /// Most items of a request; any number where `None`.
    pub request_items_max: Option<u64>,
    /// Where what the backend refuses for good is written, and how many bytes at most.
    pub dead_letter: Option<(NamedFile, usize)>,
    /// What is acknowledged for it is in the journal until it has it.
    pub is_journaled: bool,
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
    /// Google's snappy: framed over gRPC, one block over HTTP, as the collector has it.
    Snappy,
    /// RFC 1950.
    Zlib,
    /// RFC 1950 under HTTP's own name.
    Deflate,
    /// Frames of LZ4.
    Lz4,
}

/// TLS towards a backend.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// Trust any certificate.
    pub insecure_skip_verify: bool,
    /// PEM of the authority; the system's where `None`.
    pub ca_file: Option<NamedFile>,
    /// Our certificate and key, if the backend asks for one.
    pub identity: Option<Identity>,
    /// Name in the certificate, if not the endpoint's.
    pub server_name: Option<String>,
    /// The least version that is spoken.
    pub min_version: TlsVersion,
    /// How often the files are looked at for changes; never where `None`.
    pub reload_interval: Option<Duration>,
}

/// A queue before a backend.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// Requests that wait, as they will be sent: small ones are joined as they wait.
    pub requests_max: usize,
    /// Items that wait or are on their way.
    pub items_max: u64,
    /// Their bytes.
    pub bytes_max: usize,
    /// Requests on their way at once.
    pub consumers: usize,
    /// What becomes of a request for which there is no room.
    pub when_full: WhenFull,
}

/// What becomes of a request when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Its sender is asked to come back: nothing that was acknowledged is dropped.
    Refuse,
    /// It is dropped.
    DropNewest,
    /// The oldest that wait are dropped.
    DropOldest,
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

/// The journal.
#[derive(Clone, Debug)]
pub struct Journal {
    /// Its directory.
    pub directory: NamedFile,
    /// Bytes of all its segments together.
    pub bytes_max: u64,
}

/// Our own telemetry.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// OTLP over gRPC; off where `None`.
    pub metrics_endpoint: Option<Endpoint>,
    /// How often.
    pub metrics_interval: Duration,
    /// In Prometheus's format, when it asks; off where `None`.
    pub prometheus: Option<Scraped>,
    /// OTLP over gRPC; off where `None`.
    pub logs_endpoint: Option<Endpoint>,
}
