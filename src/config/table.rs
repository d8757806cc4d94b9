//! Every setting in one table: the reader, its messages and docs/configuration.md are made of it.

/// How a setting is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A text.
    Text,
    /// `host:port`, or a URL.
    Endpoint,
    /// A file's path.
    Path,
    /// `8s`, `1m30s`; from, to.
    Duration(&'static str, &'static str),
    /// `4MiB`; from, to.
    Bytes(&'static str, &'static str),
    /// A whole number; from, to.
    Count(u64, u64),
    /// A number; from, to.
    Number(f64, f64),
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// Names and secret values.
    Headers,
    /// `+02:00`.
    Zone,
    /// Names of attributes and the values that they must have.
    Selector,
    /// A list of sections.
    Sections,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Section and key, `::` between.
    pub path: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// As it would be written; empty is none.
    pub default: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

const TRANSPORT: &str = "`unix` listens on a socket of the file system, for senders on this machine. One that a killed program left behind is replaced, one that is answered at is taken.";
const SOCKET_MODE: &str = "Mode of that socket, octal: who may write it may send.";

const fn row(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Setting {
    Setting { path, kind, default, doc }
}

/// All settings in the order of the documentation.
pub const SETTINGS: &[Setting] = &[
    row(
        "grpc::endpoint",
        Kind::Endpoint,
        "127.0.0.1:4317",
        "Address and port to listen on for OTLP over gRPC; with `transport: unix`, the path of a socket.",
    ),
    row("grpc::transport", Kind::Choice(&["tcp", "unix"]), "tcp", TRANSPORT),
    row("grpc::socket_mode", Kind::Text, "660", SOCKET_MODE),
    row(
        "grpc::max_recv_msg_size_mib",
        Kind::Count(1, 1024),
        "64",
        "Largest request after decompression, in MiB (OTLP 1.11.0 recommends 64).",
    ),
    row(
        "grpc::max_concurrent_requests",
        Kind::Count(1, 100_000),
        "256",
        "Requests worked on at once; more are answered UNAVAILABLE with RetryInfo.",
    ),
    row(
        "grpc::max_bytes_in_flight",
        Kind::Bytes("1MiB", "64GiB"),
        "192MiB",
        "Bytes of the requests that are worked on, as received and after decompression; past it UNAVAILABLE with RetryInfo.",
    ),
    row(
        "grpc::tls::cert_file",
        Kind::Path,
        "",
        "PEM file of the certificate chain; with `key_file` it switches TLS on.",
    ),
    row("grpc::tls::key_file", Kind::Path, "", "PEM file of the private key."),
    row(
        "grpc::tls::client_ca_file",
        Kind::Path,
        "",
        "PEM file of an authority; clients must then show a certificate of it.",
    ),
    row("grpc::tls::min_version", Kind::Choice(&["1.2", "1.3"]), "1.2", "The least version of TLS that is spoken."),
    row(
        "grpc::tls::reload_interval",
        Kind::Duration("1s", "720h"),
        "",
        "How often the files are looked at, and taken over where they have changed; without it on SIGHUP alone.",
    ),
    row(
        "grpc::auth::authenticator",
        Kind::Text,
        "",
        "Name of an extension, such as `bearertokenauth`: who does not show what it asks for is answered UNAUTHENTICATED before anything of the request is read. `grpc.health.v1.Health` stays open.",
    ),
    row(
        "grpc::keepalive::server_parameters::time",
        Kind::Duration("1s", "720h"),
        "60s",
        "A connection that is silent for so long is asked whether it is alive.",
    ),
    row(
        "grpc::keepalive::server_parameters::timeout",
        Kind::Duration("1s", "1h"),
        "20s",
        "It is closed when it does not answer within this time.",
    ),
    row(
        "grpc::keepalive::server_parameters::max_connection_age",
        Kind::Duration("0", "720h"),
        "0",
        "A connection takes no new requests after so long, give or take a tenth, so that senders spread anew behind a load balancer; 0 is never.",
    ),
    row(
        "http::endpoint",
        Kind::Endpoint,
        "127.0.0.1:4318",
        "Address and port to listen on for OTLP over HTTP; with `transport: unix`, the path of a socket.",
    ),
    row("http::transport", Kind::Choice(&["tcp", "unix"]), "tcp", TRANSPORT),
    row("http::socket_mode", Kind::Text, "660", SOCKET_MODE),
    row("http::max_request_body_size", Kind::Bytes("1KiB", "1GiB"), "64MiB", "Largest request after decompression."),
    row(
        "http::max_concurrent_requests",
        Kind::Count(1, 100_000),
        "256",
        "Requests worked on at once; more are answered 503 with Retry-After.",
    ),
    row(
        "http::max_bytes_in_flight",
        Kind::Bytes("1MiB", "64GiB"),
        "192MiB",
        "Bytes of the requests that are worked on, as received and after decompression; past it 503 with Retry-After.",
    ),
    row(
        "http::tls::cert_file",
        Kind::Path,
        "",
        "PEM file of the certificate chain; with `key_file` it switches TLS on.",
    ),
    row("http::tls::key_file", Kind::Path, "", "PEM file of the private key."),
    row(
        "http::tls::client_ca_file",
        Kind::Path,
        "",
        "PEM file of an authority; clients must then show a certificate of it.",
    ),
    row("http::tls::min_version", Kind::Choice(&["1.2", "1.3"]), "1.2", "The least version of TLS that is spoken."),
    row(
        "http::tls::reload_interval",
        Kind::Duration("1s", "720h"),
        "",
        "How often the files are looked at, and taken over where they have changed; without it on SIGHUP alone.",
    ),
    row(
        "http::auth::authenticator",
        Kind::Text,
        "",
        "Name of an extension, such as `bearertokenauth`: who does not show what it asks for is answered 401 before anything of the request is read.",
    ),
    row("http::traces_url_path", Kind::Text, "/v1/traces", "Path that takes traces."),
    row("http::metrics_url_path", Kind::Text, "/v1/metrics", "Path that takes metrics."),
    row("http::logs_url_path", Kind::Text, "/v1/logs", "Path that takes logs."),
    row(
        "http::cors::allowed_origins",
        Kind::List,
        "",
        "Pages of these origins may send from a browser: `https://shop.example`, `https://*.example`, `*` for all. None without it.",
    ),
    row(
        "http::cors::allowed_headers",
        Kind::List,
        "",
        "Headers that they may send beside those that every page may; `*` for all.",
    ),
    row("http::cors::exposed_headers", Kind::List, "", "Headers of answers that they may read beside the usual ones."),
    row(
        "http::cors::max_age",
        Kind::Count(0, 86_400),
        "",
        "Seconds that a browser may remember it; five without it, as the Fetch Standard has it.",
    ),
    row(
        "why502::hold",
        Kind::Duration("0", "5m"),
        "8s",
        "How long a record of a failing request waits for its verdict at most. A verdict that nothing can change any more leaves a second after the last line of its request.",
    ),
    row(
        "why502::link::threshold",
        Kind::Number(0.0, 1.0),
        "0.95",
        "A link to a trace that no id proves is set at this confidence or above.",
    ),
    row(
        "why502::link::records",
        Kind::Choice(&["failed", "all"]),
        "failed",
        "Whose records get the trace of their request: those of failed requests, or `all`. With `all` each access line waits for its link as long as `hold`, while less than half of `limits::held_bytes` waits; past it good ones go on at once without a link.",
    ),
    row(
        "why502::enrich::http",
        Kind::Bool,
        "true",
        "Write parsed values under the names of the semantic conventions where a record of a failed request lacks them.",
    ),
    row(
        "why502::time_zone",
        Kind::Zone,
        "",
        "How far local time in nginx's error log is ahead of UTC (`+02:00`); inferred from the collector's observed time without it.",
    ),
    row(
        "why502::log_formats",
        Kind::List,
        "",
        "Texts of nginx `log_format` directives whose lines are to be read; nginx's `${name}` is written `$${name}` here.",
    ),
    row(
        "why502::gunicorn_formats",
        Kind::List,
        "",
        "Texts of Gunicorn's `access_log_format` whose lines are to be read.",
    ),
    row(
        "why502::nginx_conf",
        Kind::Path,
        "",
        "An nginx configuration, read with its includes at the start: its log formats are then known, and its upstreams and timeouts count as evidence.",
    ),
    row(
        "why502::sites::keys",
        Kind::List,
        "[k8s.namespace.name + k8s.pod.name, k8s.pod.uid, k8s.pod.name, aws.ecs.task.arn, container.id, host.name, host.id, service.namespace + service.name, service.name]",
        "Attributes that tell places apart: the first of these that a resource has says where it stands. ` + ` joins names that must all be there. Records of one place explain each other directly.",
    ),
    row(
        "why502::sites::upstreams",
        Kind::Sections,
        "",
        "Which nginx stands before which application server, where addresses and names do not tell; at most 64.",
    ),
    row(
        "why502::limits::requests",
        Kind::Count(1, 1_000_000),
        "10000",
        "Failed requests that wait for their verdict at once; past it the oldest gets its verdict early.",
    ),
    row(
        "why502::limits::spans",
        Kind::Count(1, 10_000_000),
        "200000",
        "Spans remembered for linking, about 100 bytes each; past it the oldest are forgotten.",
    ),
    row(
        "why502::limits::held_bytes",
        Kind::Bytes("64KiB", "16GiB"),
        "64MiB",
        "Bytes of records that wait for a verdict; past it a request with failures waits for up to a second, and its sender is then asked to come back.",
    ),
    row(
        "why502::limits::held_span_bytes",
        Kind::Bytes("64KiB", "16GiB"),
        "16MiB",
        "Bytes of spans that wait for a verdict; past it spans go on at once and do not get it.",
    ),
    row(
        "why502::verdicts::per_incident",
        Kind::Count(0, 1_000_000),
        "",
        "Verdict records of one incident that are sent, and as many revised ones; the others are counted. All without it. The attributes on the records and spans of the requests are written in any case.",
    ),
    row("why502::limits::verdicts", Kind::Count(1, 1_000_000), "1000", "Verdicts kept for the query API."),
    row(
        "upstream::nginx",
        Kind::Selector,
        "",
        "Attributes of the resource of nginx's logs, such as `{host.name: edge-1}`.",
    ),
    row(
        "upstream::server",
        Kind::Selector,
        "",
        "Attributes of the resource of the application server's logs and spans, such as `{service.name: shop}`.",
    ),
    row(
        "upstream::address",
        Kind::Text,
        "",
        "The peer as nginx writes it, `10.0.0.1:8000` or `unix:/run/gunicorn.sock`; any peer of that nginx without it.",
    ),
    row(
        "remote::endpoint",
        Kind::Endpoint,
        "",
        "Where the backend listens: `host:port` or a URL; OTLP over HTTP appends `/v1/SIGNAL`.",
    ),
    row("remote::logs_endpoint", Kind::Endpoint, "", "Whole URL for logs (`otlphttp` only)."),
    row("remote::traces_endpoint", Kind::Endpoint, "", "Whole URL for traces (`otlphttp` only)."),
    row("remote::metrics_endpoint", Kind::Endpoint, "", "Whole URL for metrics (`otlphttp` only)."),
    row("remote::headers", Kind::Headers, "", "Sent with each request; the values are secret."),
    row(
        "remote::auth::authenticator",
        Kind::Text,
        "",
        "Name of an extension, such as `bearertokenauth`: its token or user goes with each request.",
    ),
    row(
        "remote::proxy_url",
        Kind::Endpoint,
        "",
        "A proxy, `http://proxy:3128`, that is asked to connect (`CONNECT`); the environment is not asked for one.",
    ),
    row(
        "remote::compression",
        Kind::Choice(&["gzip", "zstd", "snappy", "zlib", "deflate", "lz4", "none"]),
        "gzip",
        "Compression of requests; `zlib`, `deflate` and `lz4` for `otlphttp` only.",
    ),
    row("remote::encoding", Kind::Choice(&["proto", "json"]), "proto", "Encoding of requests (`otlphttp` only)."),
    row("remote::timeout", Kind::Duration("10ms", "10m"), "10s", "For one try."),
    row(
        "remote::max_request_bytes",
        Kind::Bytes("1KiB", "64MiB"),
        "4MiB",
        "Largest request before compression; waiting requests are joined up to it, larger ones are split.",
    ),
    row(
        "remote::max_request_items",
        Kind::Count(1, 1_000_000),
        "",
        "Most log records, spans or data points of a request; larger ones are split. Any number without it.",
    ),
    row("remote::tls::insecure", Kind::Bool, "false", "Speak plain text to an endpoint written without a scheme."),
    row("remote::tls::insecure_skip_verify", Kind::Bool, "false", "Trust any certificate; for tests only."),
    row("remote::tls::ca_file", Kind::Path, "", "PEM file of the authority to trust instead of the system's."),
    row("remote::tls::cert_file", Kind::Path, "", "PEM file of our certificate."),
    row("remote::tls::key_file", Kind::Path, "", "PEM file of our key."),
    row("remote::tls::server_name_override", Kind::Text, "", "Name to look for in the certificate."),
    row("remote::tls::min_version", Kind::Choice(&["1.2", "1.3"]), "1.2", "The least version of TLS that is spoken."),
    row(
        "remote::tls::reload_interval",
        Kind::Duration("1s", "720h"),
        "",
        "How often the files are looked at, and taken over where they have changed; without it on SIGHUP alone.",
    ),
    row(
        "remote::sending_queue::enabled",
        Kind::Bool,
        "true",
        "Whether requests wait for the backend. `false`: as many are taken as `num_consumers` have on their way, and one more; the senders of others are asked to come back.",
    ),
    row(
        "remote::sending_queue::queue_size",
        Kind::Count(1, 1_000_000_000_000),
        "1000",
        "How much may wait for the backend, counted as `sizer` says; small requests are joined as they wait, and count as they will be sent.",
    ),
    row(
        "remote::sending_queue::sizer",
        Kind::Choice(&["requests", "items", "bytes"]),
        "requests",
        "What `queue_size` counts; items and bytes of requests on their way count as well.",
    ),
    row(
        "remote::sending_queue::queue_bytes",
        Kind::Bytes("64KiB", "64GiB"),
        "128MiB",
        "Bytes that wait for the backend or are on their way to it.",
    ),
    row(
        "remote::sending_queue::when_full",
        Kind::Choice(&["refuse", "drop_newest", "drop_oldest"]),
        "refuse",
        "What becomes of a request when the queue is full: its sender is asked to come back before anything of it is used (UNAVAILABLE with RetryInfo, 503 with Retry-After), it is dropped and counted, or the oldest that wait are. Where a pipeline has several exporters, all that refuse must have room.",
    ),
    row(
        "remote::sending_queue::storage",
        Kind::Choice(&["memory", "journal"]),
        "memory",
        "Where what waits is kept. `journal`: a request for this backend is acknowledged when it is on the disk, and what the backend does not have when the program ends, however it ends, is sent after the next start. What there is no memory for (`queue_bytes`, `memory::limit`) then waits beside the journal, within `journal::max_bytes`, and comes back oldest first; `queue_size` and `queue_bytes` refuse nobody.",
    ),
    row("remote::sending_queue::num_consumers", Kind::Count(1, 1_000), "10", "Requests on their way at once."),
    row("remote::retry_on_failure::enabled", Kind::Bool, "true", "Whether what may be sent again is."),
    row("remote::retry_on_failure::initial_interval", Kind::Duration("1ms", "1h"), "5s", "Before the second try."),
    row(
        "remote::retry_on_failure::randomization_factor",
        Kind::Number(0.0, 1.0),
        "0.5",
        "Share of the interval that is random.",
    ),
    row("remote::retry_on_failure::multiplier", Kind::Number(1.0, 10.0), "1.5", "Of the interval from try to try."),
    row("remote::retry_on_failure::max_interval", Kind::Duration("1ms", "24h"), "30s", "Longest interval."),
    row(
        "remote::retry_on_failure::max_elapsed_time",
        Kind::Duration("0", "720h"),
        "0",
        "After so long a request is dropped and counted; 0 never gives up, and senders are asked to come back when the queue is full.",
    ),
    row(
        "remote::dead_letter::path",
        Kind::Path,
        "",
        "File to append to what the backend refuses for good: OTLP JSON, one request a line. When it is renamed or deleted it is made anew.",
    ),
    row(
        "remote::dead_letter::max_bytes",
        Kind::Bytes("64KiB", "64GiB"),
        "256MiB",
        "Bytes of requests that are written to it from the start of the program to its end; more are only counted.",
    ),
    row(
        "datadog::site",
        Kind::Choice(&[
            "datadoghq.com",
            "us3.datadoghq.com",
            "us5.datadoghq.com",
            "ap1.datadoghq.com",
            "ap2.datadoghq.com",
            "datadoghq.eu",
        ]),
        "datadoghq.com",
        "The site of the account, as the address of its pages has it; `endpoint` stands for it where something is between.",
    ),
    row("datadog::key", Kind::Text, "", "The API key, a secret: `${env:DD_API_KEY}`."),
    row(
        "kafka::brokers",
        Kind::List,
        "",
        "`host:port` of brokers that know the others; `[localhost:9092]` without it.",
    ),
    row("kafka::client_id", Kind::Text, "why502", "What brokers call this client in their logs."),
    row("kafka::rack_id", Kind::Text, "", "Replicas in this rack are read first, where brokers allow it."),
    row(
        "kafka::auth::sasl::mechanism",
        Kind::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
        "",
        "How a password is shown.",
    ),
    row("kafka::auth::sasl::username", Kind::Text, "", "User."),
    row("kafka::auth::sasl::password", Kind::Text, "", "Its password; it is secret: `${env:KAFKA_PASSWORD}`."),
    row(
        "kafka_receiver::logs::topics",
        Kind::List,
        "",
        "Topics of logs; `[otlp_logs]` without it. Those without a pipeline are not read.",
    ),
    row("kafka_receiver::logs::topic", Kind::Text, "", "One more of them."),
    row(
        "kafka_receiver::logs::encoding",
        Kind::Text,
        "otlp_proto",
        "What a message of these topics is: `otlp_proto` or `otlp_json`, a request of logs.",
    ),
    row(
        "kafka_receiver::traces::topics",
        Kind::List,
        "",
        "Topics of traces; `[otlp_spans]` without it. Those without a pipeline are not read.",
    ),
    row("kafka_receiver::traces::topic", Kind::Text, "", "One more of them."),
    row(
        "kafka_receiver::traces::encoding",
        Kind::Text,
        "otlp_proto",
        "What a message of these topics is: `otlp_proto` or `otlp_json`, a request of traces.",
    ),
    row(
        "kafka_receiver::metrics::topics",
        Kind::List,
        "",
        "Topics of metrics; `[otlp_metrics]` without it. Those without a pipeline are not read.",
    ),
    row("kafka_receiver::metrics::topic", Kind::Text, "", "One more of them."),
    row(
        "kafka_receiver::metrics::encoding",
        Kind::Text,
        "otlp_proto",
        "What a message of these topics is: `otlp_proto` or `otlp_json`, a request of metrics.",
    ),
    row("kafka_receiver::group_id", Kind::Text, "why502", "Group: its instances share the partitions."),
    row(
        "kafka_receiver::group_instance_id",
        Kind::Text,
        "",
        "Makes this instance a static member, which keeps its partitions through a restart; each instance needs one of its own.",
    ),
    row(
        "kafka_receiver::group_protocol",
        Kind::Choice(&["consumer", "classic"]),
        "consumer",
        "`consumer`: brokers from 4.0 on assign partitions, and only those that move are stopped. `classic`: for older brokers; every change of the group stops all of it until what is held is delivered.",
    ),
    row(
        "kafka_receiver::group_rebalance_strategy",
        Kind::Text,
        "range",
        "`range` alone: partition 3 of the logs and partition 3 of the traces go to the same instance where both topics have as many partitions.",
    ),
    row(
        "kafka_receiver::initial_offset",
        Kind::Choice(&["latest", "earliest"]),
        "latest",
        "Where a group begins that has committed nothing yet: with what comes next, or with all that is there.",
    ),
    row(
        "kafka_receiver::session_timeout",
        Kind::Duration("1s", "30m"),
        "10s",
        "An instance that is silent for so long is gone (`classic`; with `consumer` the broker says).",
    ),
    row(
        "kafka_receiver::heartbeat_interval",
        Kind::Duration("100ms", "10m"),
        "3s",
        "How often an instance says that it lives (`classic`).",
    ),
    row(
        "kafka_receiver::autocommit::enable",
        Kind::Bool,
        "true",
        "Must be true: offsets are committed when every backend has what was read, and only then.",
    ),
    row(
        "kafka_receiver::autocommit::interval",
        Kind::Duration("50ms", "10m"),
        "1s",
        "How often offsets are committed.",
    ),
    row("kafka_receiver::min_fetch_size", Kind::Bytes("1B", "64MiB"), "1B", "A broker answers when it has so much."),
    row(
        "kafka_receiver::max_fetch_size",
        Kind::Bytes("16KiB", "64MiB"),
        "1MiB",
        "The most that is fetched from a broker at once; less where `memory::limit` leaves less. A larger message is fetched alone.",
    ),
    row("kafka_receiver::max_fetch_wait", Kind::Duration("1ms", "1m"), "250ms", "Or after so long."),
    row(
        "kafka_receiver::max_partition_fetch_size",
        Kind::Bytes("16KiB", "64MiB"),
        "1MiB",
        "The most of one partition.",
    ),
    row(
        "kafka_receiver::dead_letter::path",
        Kind::Path,
        "",
        "File to append to what is no OTLP: one message a line, JSON with its topic, partition, offset, key and value (base64). Without it such messages are only counted.",
    ),
    row(
        "kafka_receiver::dead_letter::max_bytes",
        Kind::Bytes("64KiB", "64GiB"),
        "256MiB",
        "Bytes of messages that are written to it from the start of the program to its end.",
    ),
    row("kafka_exporter::logs::topic", Kind::Text, "otlp_logs", "Topic of logs."),
    row(
        "kafka_exporter::logs::encoding",
        Kind::Text,
        "otlp_proto",
        "What a message of logs is: `otlp_proto` or `otlp_json`.",
    ),
    row("kafka_exporter::traces::topic", Kind::Text, "otlp_spans", "Topic of traces."),
    row(
        "kafka_exporter::traces::encoding",
        Kind::Text,
        "otlp_proto",
        "What a message of traces is: `otlp_proto` or `otlp_json`.",
    ),
    row("kafka_exporter::metrics::topic", Kind::Text, "otlp_metrics", "Topic of metrics."),
    row(
        "kafka_exporter::metrics::encoding",
        Kind::Text,
        "otlp_proto",
        "What a message of metrics is: `otlp_proto` or `otlp_json`.",
    ),
    row(
        "kafka_exporter::partition_by",
        Kind::List,
        "",
        "Attributes of resources, such as `[service.namespace]`: logs, traces and metrics of resources in which all of these are alike have one key, so one partition and one order. What must be explained together needs one key.",
    ),
    row(
        "kafka_exporter::partition_logs_by_resource_attributes",
        Kind::Bool,
        "false",
        "The key of logs is made of all attributes of their resource.",
    ),
    row("kafka_exporter::partition_traces_by_id", Kind::Bool, "false", "The key of traces is their trace id."),
    row(
        "kafka_exporter::partition_metrics_by_resource_attributes",
        Kind::Bool,
        "false",
        "The key of metrics is made of all attributes of their resource.",
    ),
    row(
        "kafka_exporter::record_partitioner::sticky_key::hasher",
        Kind::Choice(&["sarama_compat", "murmur2"]),
        "sarama_compat",
        "Which partition a key has: as the collector does it, or as Java's client.",
    ),
    row("kafka_exporter::record_headers", Kind::Headers, "", "Headers of each message; the values are secret."),
    row("kafka_exporter::timeout", Kind::Duration("10ms", "10m"), "5s", "For one try."),
    row(
        "kafka_exporter::producer::max_message_bytes",
        Kind::Bytes("1KiB", "64MiB"),
        "1000000B",
        "Largest message before compression; waiting requests are joined up to it, larger ones are split. Brokers have a limit of their own (`message.max.bytes`).",
    ),
    row(
        "kafka_exporter::producer::required_acks",
        Kind::Choice(&["all", "-1", "1", "0"]),
        "all",
        "Who has a message when it counts as delivered: all in-sync replicas, the leader alone, nobody. With `all` (-1) no try is written twice.",
    ),
    row(
        "kafka_exporter::producer::compression",
        Kind::Choice(&["none", "gzip", "snappy", "lz4", "zstd"]),
        "none",
        "Compression of batches.",
    ),
    row(
        "kafka_exporter::producer::compression_params::level",
        Kind::Text,
        "",
        "Its level: 1 to 9 for gzip, 1 to 22 for zstd.",
    ),
    row(
        "kafka_exporter::producer::linger",
        Kind::Duration("0", "10s"),
        "10ms",
        "How long a batch waits for more messages.",
    ),
    row(
        "kafka_exporter::producer::allow_auto_topic_creation",
        Kind::Bool,
        "true",
        "Whether a broker that may make topics makes one that is missing, with as many partitions as it likes.",
    ),
    row(
        "file::path",
        Kind::Path,
        "",
        "File to append to: OTLP JSON, one request a line. When it is renamed or deleted it is made anew.",
    ),
    row("bearertokenauth::token", Kind::Text, "", "The token; it is secret."),
    row(
        "bearertokenauth::tokens",
        Kind::List,
        "",
        "Several, of which each is good on a receiver and the first is sent by an exporter.",
    ),
    row(
        "bearertokenauth::filename",
        Kind::Path,
        "",
        "File with one token a line, instead of those; it is looked at once a minute, and taken over where it has changed.",
    ),
    row("bearertokenauth::scheme", Kind::Text, "Bearer", "The word before the token."),
    row("bearertokenauth::header", Kind::Text, "Authorization", "The header that holds it."),
    row(
        "basicauth::htpasswd::file",
        Kind::Path,
        "",
        "File of `user:hash` lines as `htpasswd -B` writes them (bcrypt), for receivers; it is looked at once a minute.",
    ),
    row(
        "basicauth::htpasswd::inline",
        Kind::Text,
        "",
        "The same as a text, where a password may also stand as it is; it is secret. A user who stands in both has this one.",
    ),
    row("basicauth::client_auth::username", Kind::Text, "", "User that an exporter sends."),
    row("basicauth::client_auth::password", Kind::Text, "", "Its password."),
    row(
        "health_check::endpoint",
        Kind::Endpoint,
        "127.0.0.1:13133",
        "Address and port to answer `GET /livez` and `GET /readyz` on, in plain text.",
    ),
    row("health_check::path", Kind::Text, "/", "Answers as `/readyz` does, for probes that the collector had."),
    row(
        "journal::directory",
        Kind::Path,
        "",
        "Directory of the journal, on a local disk; made where it is missing. It belongs to one running why502 alone.",
    ),
    row(
        "journal::max_bytes",
        Kind::Bytes("8MiB", "64GiB"),
        "1GiB",
        "Bytes that it takes of the disk at most. Past it senders are asked to come back until backends have what is there.",
    ),
    row(
        "telemetry::logs::level",
        Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        "info",
        "Of our own log on standard error.",
    ),
    row(
        "telemetry::logs::otlp_endpoint",
        Kind::Endpoint,
        "",
        "Where our own log goes by OTLP over gRPC; nowhere without it.",
    ),
    row(
        "telemetry::metrics::level",
        Kind::Choice(&["none", "basic", "normal", "detailed"]),
        "normal",
        "`none` switches our own metrics off; the others are the same.",
    ),
    row(
        "telemetry::metrics::readers",
        Kind::Sections,
        "",
        "Who gets our own metrics beside `otlp_endpoint`: one entry for Prometheus, nobody without it.",
    ),
    row(
        "reader::pull::exporter::prometheus::host",
        Kind::Text,
        "127.0.0.1",
        "Address to answer `GET /metrics` on, in Prometheus's text format.",
    ),
    row("reader::pull::exporter::prometheus::port", Kind::Count(0, 65_535), "8888", "Its port; 0 is any free one."),
    row(
        "telemetry::metrics::otlp_endpoint",
        Kind::Endpoint,
        "",
        "Where our own metrics go by OTLP over gRPC; nowhere without it.",
    ),
    row("telemetry::metrics::interval", Kind::Duration("1s", "1h"), "60s", "How often our own metrics are sent."),
    row(
        "memory::limit",
        Kind::Text,
        "auto",
        "Resident memory of the whole program: a size such as `256MiB`, or `auto`, nine tenths of what the control group (container, service) allows, else 512 MiB. What the engine's limits allow is kept aside of it; data on its way in, held, queued and on its way out shares the rest, and past it senders are asked to come back.",
    ),
    row(
        "web::endpoint",
        Kind::Endpoint,
        "127.0.0.1:5020",
        "Address and port of the page; empty switches it off. Where it is not written and the port is taken, why502 starts without the page and says so.",
    ),
    row(
        "web::hosts",
        Kind::List,
        "",
        "Names that a browser may ask for it by, beside `localhost` and addresses; others are refused, so that no page of a stranger reads this one by a name that it made point here.",
    ),
    row(
        "web::auth::authenticator",
        Kind::Text,
        "",
        "Name of an extension: `basicauth`, for which browsers ask, or `bearertokenauth`, which only programs and proxies send.",
    ),
    row(
        "web::tls::cert_file",
        Kind::Path,
        "",
        "PEM file of the certificate chain; with `key_file` it switches TLS on.",
    ),
    row("web::tls::key_file", Kind::Path, "", "PEM file of the private key."),
    row(
        "web::tls::client_ca_file",
        Kind::Path,
        "",
        "PEM file of an authority; browsers must then show a certificate of it.",
    ),
    row("web::tls::min_version", Kind::Choice(&["1.2", "1.3"]), "1.2", "The least version of TLS that is spoken."),
    row(
        "web::tls::reload_interval",
        Kind::Duration("1s", "720h"),
        "",
        "How often the files are looked at, and taken over where they have changed; without it on SIGHUP alone.",
    ),
    row("pipeline::receivers", Kind::List, "", "Names of receivers."),
    row("pipeline::processors", Kind::List, "", "`[why502]`, or none: then data is relayed untouched."),
    row("pipeline::exporters", Kind::List, "", "Names of exporters."),
];

/// The row of a path.
pub fn find(path: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.path == path)
}

/// Keys that may stand directly under a section, without repeats.
pub fn keys_under(section: &str) -> Vec<&'static str> {
    let mut keys: Vec<&'static str> = Vec::new();
    for setting in SETTINGS {
        let inside = setting.path.strip_prefix(section).and_then(|rest| rest.strip_prefix("::"));
        if let Some(key) = inside.and_then(|rest| rest.split("::").next())
            && !keys.contains(&key)
        {
            keys.push(key);
        }
    }
    keys
}
