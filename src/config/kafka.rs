//! `receivers: kafka` and `exporters: kafka`, in the words of the collector.

use super::exporters::{client_tls, dead_letter, queue_of, retry_of, storage};
use super::section::{Context, Section};
use super::settings::{ClientTls, Compression, NamedFile, Place, Remote};
use super::table::keys_under;
use super::tree::{Mistake, Node};
use super::values::Secret;
use crate::otlp::Signal;
use std::time::Duration;

/// What is said of an encoding that is none of ours.
const ENCODINGS: &str = "why502 reads and writes `otlp_proto` and `otlp_json`; let a collector turn others into these";
/// What is said of a pattern for topics.
const PATTERNS: &str = "name each topic: those of one pattern need not have the same partitions";

/// How brokers are spoken to.
#[derive(Clone, Debug)]
pub struct Client {
    /// `host:port` of some of them.
    pub brokers: Vec<String>,
    /// Where they are written.
    pub place: Place,
    /// Shown in their logs.
    pub client_id: String,
    /// Brokers of this rack are asked first.
    pub rack: Option<String>,
    /// Who we are.
    pub sasl: Option<Sasl>,
    /// TLS; plain text where `None`.
    pub tls: Option<ClientTls>,
}

/// Who we are towards a broker.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// How that is shown.
    pub mechanism: Mechanism,
    /// User.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// Where it is written.
    pub place: Place,
}

/// How a client shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// RFC 7677.
    ScramSha256,
    /// The same with SHA-512.
    ScramSha512,
}

/// What stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A request of OTLP as protobuf.
    Proto,
    /// The same as JSON.
    Json,
}

/// The receiver.
#[derive(Clone, Debug)]
pub struct KafkaReceiver {
    /// Its brokers.
    pub client: Client,
    /// Topics of each signal with their encoding; what no pipeline asks for is not read.
    pub topics: [(Vec<String>, Encoding); 3],
    /// All instances of one group share the partitions.
    pub group: String,
    /// A static member keeps its partitions through a restart.
    pub instance: Option<String>,
    /// Where reading begins that nobody of the group has begun: at the first message, else at the next.
    pub from_earliest: bool,
    /// The protocol of brokers from 4.0 on, else the one of before.
    pub is_incremental: bool,
    /// A member of the classic protocol that is silent for so long is gone.
    pub session_timeout: Duration,
    /// How often such a member says that it lives.
    pub heartbeat_interval: Duration,
    /// How often offsets are committed.
    pub commit_interval: Duration,
    /// A broker answers when it has so many bytes.
    pub fetch_min: usize,
    /// The most that is fetched at once.
    pub fetch_max: usize,
    /// The most of one partition.
    pub partition_fetch_max: usize,
    /// Or after so long.
    pub fetch_wait: Duration,
    /// Where messages are written that nobody can read, and how many bytes at most.
    pub dead_letter: Option<(NamedFile, usize)>,
}

/// The exporter.
#[derive(Clone, Debug)]
pub struct KafkaExporter {
    /// Its brokers.
    pub client: Client,
    /// Topic and encoding of each signal.
    pub topics: [(String, Encoding); 3],
    /// What makes the key of each signal's messages.
    pub keys: [Key; 3],
    /// From the hash of a key to its partition as Java's client does it, else as Sarama.
    pub is_murmur2: bool,
    /// Every in-sync replica has it before it is delivered; `Some(false)` is the leader alone, `None` nobody.
    pub acks: Option<bool>,
    /// Of batches; `Gzip`, `Snappy`, `Lz4`, `Zstd` or `None`.
    pub compression: Compression,
    /// Its level, where one is written.
    pub level: Option<i32>,
    /// How long a batch waits for more messages.
    pub linger: Duration,
    /// Whether brokers may make topics.
    pub creates_topics: bool,
    /// Sent with each message.
    pub headers: Vec<(String, Secret)>,
    /// Queue, retry, timeout, sizes.
    pub remote: Remote,
}

/// What makes the key of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// None: messages go anywhere.
    None,
    /// The values of these attributes of a resource.
    Attributes(Vec<String>),
    /// All attributes of a resource.
    Resource,
    /// The trace of a span.
    Trace,
}

impl KafkaReceiver {
    /// Topics and encoding of a signal.
    pub fn topics_of(&self, signal: Signal) -> &(Vec<String>, Encoding) {
        of_signal(&self.topics, signal)
    }
}

/// The entry of a signal, in the order of [`Signal::ALL`].
pub fn of_signal<T>(all: &[T; 3], signal: Signal) -> &T {
    let [logs, traces, metrics] = all;
    match signal {
        Signal::Logs => logs,
        Signal::Traces => traces,
        Signal::Metrics => metrics,
    }
}

/// Keys of sections that the exporter shares with others.
const OF_REMOTES: [&str; 5] = ["tls", "timeout", "retry_on_failure", "sending_queue", "dead_letter"];

pub(super) fn receiver(context: &mut Context<'_>, shown: &str, node: &Node) -> KafkaReceiver {
    let mut others = keys_under("kafka");
    others.push("tls");
    let section = Section::open_with(context, "kafka_receiver", &others, shown, Some(node));
    let topics = Signal::ALL.map(|signal| {
        let (key, path) = match signal {
            Signal::Logs => ("logs", "kafka_receiver::logs"),
            Signal::Traces => ("traces", "kafka_receiver::traces"),
            Signal::Metrics => ("metrics", "kafka_receiver::metrics"),
        };
        let of = section.section(context, key, path);
        let mut topics: Vec<String> = of.list(context, "topics").into_iter().map(|(topic, _)| topic).collect();
        // Of versions before 0.142 of the collector, and shorter.
        topics.extend(of.text(context, "topic"));
        if topics.is_empty() {
            topics.push(default_topic(signal).to_owned());
        }
        check_topics(context, &of, &topics);
        (topics, encoding(context, &of))
    });
    check_shared(context, &section, &topics);
    let strategy = section.text(context, "group_rebalance_strategy").unwrap_or_default();
    if strategy != "range" {
        let place = section.place("group_rebalance_strategy");
        let text = format!(
            "`{}`: `{strategy}` may give the logs of a site to one instance and its traces to another; write `range`, or take it out",
            place.key
        );
        context.mistake(place.line, text);
    }
    let autocommit = section.section(context, "autocommit", "kafka_receiver::autocommit");
    if !autocommit.boolean(context, "enable") {
        let place = autocommit.place("enable");
        let text = format!(
            "`{}`: offsets are committed when every backend has what was read, and only then; take it out",
            place.key
        );
        context.mistake(place.line, text);
    }
    let (fetch_min, fetch_max) = (section.bytes(context, "min_fetch_size"), section.bytes(context, "max_fetch_size"));
    if fetch_min > fetch_max {
        let text = format!("`{shown}::min_fetch_size` is larger than `max_fetch_size`; lower it");
        context.mistake(section.line_of("min_fetch_size"), text);
    }
    let heartbeat_interval = section.duration(context, "heartbeat_interval");
    let session_timeout = section.duration(context, "session_timeout");
    if heartbeat_interval >= session_timeout {
        let text = format!("`{shown}::heartbeat_interval` must be shorter than `session_timeout`, a third of it");
        context.mistake(section.line_of("heartbeat_interval"), text);
    }
    let dead = section.section(context, "dead_letter", "kafka_receiver::dead_letter");
    KafkaReceiver {
        client: client(context, shown, node),
        topics,
        group: section.text(context, "group_id").unwrap_or_default(),
        instance: section.text(context, "group_instance_id"),
        from_earliest: section.choice(context, "initial_offset") == "earliest",
        is_incremental: section.choice(context, "group_protocol") != "classic",
        session_timeout,
        heartbeat_interval,
        commit_interval: autocommit.duration(context, "interval"),
        fetch_min,
        fetch_max,
        partition_fetch_max: section.bytes(context, "max_partition_fetch_size"),
        fetch_wait: section.duration(context, "max_fetch_wait"),
        dead_letter: dead_letter(context, &section, &dead),
    }
}

pub(super) fn exporter(context: &mut Context<'_>, shown: &str, node: &Node) -> KafkaExporter {
    let mut others = keys_under("kafka");
    others.extend(OF_REMOTES);
    let section = Section::open_with(context, "kafka_exporter", &others, shown, Some(node));
    let topics = Signal::ALL.map(|signal| {
        let (key, path) = match signal {
            Signal::Logs => ("logs", "kafka_exporter::logs"),
            Signal::Traces => ("traces", "kafka_exporter::traces"),
            Signal::Metrics => ("metrics", "kafka_exporter::metrics"),
        };
        let of = section.section(context, key, path);
        let topic = of.text(context, "topic").unwrap_or_else(|| default_topic(signal).to_owned());
        check_topics(context, &of, std::slice::from_ref(&topic));
        (topic, encoding(context, &of))
    });
    let producer = section.section(context, "producer", "kafka_exporter::producer");
    let params = producer.section(context, "compression_params", "kafka_exporter::producer::compression_params");
    let compression = match producer.choice(context, "compression") {
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::None,
    };
    let level = level(context, &params, compression);
    let queue = section.section(context, "sending_queue", "remote::sending_queue");
    let retry = section.section(context, "retry_on_failure", "remote::retry_on_failure");
    let mut queue_limits = queue_of(context, &queue);
    if !queue.has_value("num_consumers") {
        // What one site sent in an order is then written in this order.
        queue_limits.consumers = 1;
    }
    let dead = section.section(context, "dead_letter", "remote::dead_letter");
    let partitioner = section.section(context, "record_partitioner", "kafka_exporter::record_partitioner");
    let sticky = partitioner.section(context, "sticky_key", "kafka_exporter::record_partitioner::sticky_key");
    let client = client(context, shown, node);
    let remote = Remote {
        endpoints: [None, None, None],
        headers: Vec::new(),
        auth: None,
        proxy: None,
        compression: Compression::None,
        json: false,
        timeout: section.duration(context, "timeout"),
        tls: client.tls.clone().unwrap_or_default(),
        queue: queue_limits,
        retry: retry_of(context, &retry),
        request_bytes_max: producer.bytes(context, "max_message_bytes"),
        request_items_max: None,
        dead_letter: dead_letter(context, &section, &dead),
        is_journaled: storage(context, &queue),
    };
    KafkaExporter {
        topics,
        keys: keys(context, &section),
        is_murmur2: sticky.choice(context, "hasher") == "murmur2",
        acks: match producer.choice(context, "required_acks") {
            "0" => None,
            "1" => Some(false),
            _ => Some(true),
        },
        compression,
        level,
        linger: producer.duration(context, "linger"),
        creates_topics: producer.boolean(context, "allow_auto_topic_creation"),
        headers: section.headers(context, "record_headers"),
        client,
        remote,
    }
}

/// Brokers, and who we are towards them.
fn client(context: &mut Context<'_>, shown: &str, node: &Node) -> Client {
    let section = Section::unchecked("kafka", shown, Some(node));
    let mut brokers: Vec<String> = section.list(context, "brokers").into_iter().map(|(broker, _)| broker).collect();
    if brokers.is_empty() {
        brokers.push("localhost:9092".to_owned());
    }
    let place = section.place("brokers");
    for broker in &brokers {
        let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) || broker.contains("://") {
            context.mistake(place.line, format!("`{}`: `{broker}` is not HOST:PORT, such as kafka:9092", place.key));
        }
    }
    let auth = section.section(context, "auth", "kafka::auth");
    let sasl = section_of_sasl(context, &auth);
    let tls = section.section(context, "tls", "remote::tls");
    let is_on = section.has("tls") && !tls.boolean(context, "insecure");
    let settings = client_tls(context, &tls);
    if tls.has_value("min_version") {
        let place = tls.place("min_version");
        let text =
            format!("`{}`: brokers are spoken to by TLS 1.2 or 1.3, whichever both have; take it out", place.key);
        context.mistake(place.line, text);
    }
    if sasl.as_ref().is_some_and(|sasl| sasl.mechanism == Mechanism::Plain) && !is_on {
        let place = auth.place("sasl");
        let text = format!("`{}`: PLAIN without `tls`: whoever can listen on the way reads the password", place.key);
        context.warnings.push(Mistake { line: place.line, text });
    }
    Client {
        brokers,
        place,
        client_id: section.text(context, "client_id").unwrap_or_default(),
        rack: section.text(context, "rack_id"),
        sasl,
        tls: is_on.then_some(settings),
    }
}

fn section_of_sasl(context: &mut Context<'_>, auth: &Section<'_>) -> Option<Sasl> {
    if !auth.has("sasl") {
        return None;
    }
    let sasl = auth.section(context, "sasl", "kafka::auth::sasl");
    let place = auth.place("sasl");
    let mechanism = match sasl.choice(context, "mechanism") {
        "PLAIN" => Mechanism::Plain,
        "SCRAM-SHA-512" => Mechanism::ScramSha512,
        _ => Mechanism::ScramSha256,
    };
    for key in ["mechanism", "username", "password"] {
        if !sasl.has_value(key) {
            context.mistake(place.line, format!("`{}` needs a `{key}`", place.key));
        }
    }
    let username = sasl.text(context, "username").unwrap_or_default();
    let password = sasl.secret(context, "password").unwrap_or_else(|| Secret::new(String::new()));
    Some(Sasl { mechanism, username, password, place })
}

fn default_topic(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "otlp_logs",
        Signal::Traces => "otlp_spans",
        Signal::Metrics => "otlp_metrics",
    }
}

fn encoding(context: &mut Context<'_>, section: &Section<'_>) -> Encoding {
    match section.text(context, "encoding").as_deref() {
        Some("otlp_proto") | None => Encoding::Proto,
        Some("otlp_json") => Encoding::Json,
        Some(other) => {
            let place = section.place("encoding");
            context.mistake(place.line, format!("`{}`: `{other}` is no encoding here; {ENCODINGS}", place.key));
            Encoding::Proto
        }
    }
}

fn check_topics(context: &mut Context<'_>, section: &Section<'_>, topics: &[String]) {
    let key = if section.has("topics") { "topics" } else { "topic" };
    let place = section.place(key);
    for topic in topics {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if topic.starts_with('^') {
            context.mistake(place.line, format!("`{}`: `{topic}` is a pattern; {PATTERNS}", place.key));
        } else if topic.is_empty() || topic.len() > 249 || !topic.chars().all(is_name) {
            let text = format!(
                "`{}`: `{topic}` is no name of a topic; it has up to 249 letters, digits, `.`, `_` and `-`",
                place.key
            );
            context.mistake(place.line, text);
        }
    }
}

/// A topic has one signal: its messages do not say which.
fn check_shared(context: &mut Context<'_>, section: &Section<'_>, topics: &[(Vec<String>, Encoding); 3]) {
    let mut seen: Vec<&String> = Vec::new();
    for topic in topics.iter().flat_map(|(topics, _)| topics) {
        if seen.contains(&topic) {
            let text = format!(
                "`{}`: topic `{topic}` stands here twice; each signal needs topics of its own",
                section.shown()
            );
            context.mistake(section.line, text);
        }
        seen.push(topic);
    }
}

/// What makes the keys of logs, traces and metrics.
fn keys(context: &mut Context<'_>, section: &Section<'_>) -> [Key; 3] {
    let attributes: Vec<String> = section.list(context, "partition_by").into_iter().map(|(name, _)| name).collect();
    let all = [
        ("partition_logs_by_resource_attributes", Key::Resource),
        ("partition_traces_by_id", Key::Trace),
        ("partition_metrics_by_resource_attributes", Key::Resource),
    ];
    all.map(|(name, key)| match (section.boolean(context, name), attributes.is_empty()) {
        (true, false) => {
            let place = section.place(name);
            let text = format!("`{}` and `partition_by` both say what makes the key; keep one", place.key);
            context.mistake(place.line, text);
            Key::None
        }
        (true, true) => key,
        (false, false) => Key::Attributes(attributes.clone()),
        (false, true) => Key::None,
    })
}

fn level(context: &mut Context<'_>, params: &Section<'_>, compression: Compression) -> Option<i32> {
    if !params.has_value("level") {
        return None;
    }
    let place = params.place("level");
    let text = params.text(context, "level").unwrap_or_default();
    let range = match compression {
        Compression::Gzip => 1..=9,
        Compression::Zstd => 1..=22,
        _ => {
            let text = format!("`{}`: gzip and zstd alone have levels; take it out", place.key);
            context.mistake(place.line, text);
            return None;
        }
    };
    match text.parse::<i32>() {
        Ok(-1) => None,
        Ok(level) if range.contains(&level) => Some(level),
        _ => {
            let (from, to) = (range.start(), range.end());
            context.mistake(place.line, format!("`{}`: `{text}` is no level, {from} to {to}, or -1", place.key));
            None
        }
    }
}
