//! What is said of words of the collector that a pasted file may have and that are none of why502.

/// Keys that the collector has beside ours, where a pasted file may well have them.
pub const UNSUPPORTED: &[&str] = &[
    "grpc::keepalive::enforcement_policy",
    "grpc::keepalive::server_parameters::max_connection_idle",
    "grpc::keepalive::server_parameters::max_connection_age_grace",
];

/// Keys of the collector that are not needed here, with the reason: they are let stand and told of.
pub const NOT_NEEDED: &[(&str, &str)] = &[
    ("remote::sending_queue::block_on_overflow", "a full queue is pushed back to the sender (`when_full`)"),
    ("remote::sending_queue::batch", "small requests are joined as they wait, up to `max_request_bytes`"),
    ("remote::balancer_name", "there is one connection to each backend, and HTTP/2 shares it"),
    ("remote::wait_for_ready", "what cannot be sent yet waits in the queue"),
    ("remote::read_buffer_size", "buffers size themselves"),
    ("remote::write_buffer_size", "buffers size themselves"),
    (
        "remote::keepalive",
        "a dead connection is noticed by the `timeout` of a request, which is then sent again over a new one",
    ),
    ("remote::max_idle_conns", "connections are kept as long as they are used"),
    ("remote::idle_conn_timeout", "connections are kept as long as they are used"),
    ("grpc::include_metadata", "no header of a request is passed on"),
    ("http::include_metadata", "no header of a request is passed on"),
    ("grpc::read_buffer_size", "buffers size themselves"),
    ("grpc::write_buffer_size", "buffers size themselves"),
    ("grpc::max_concurrent_streams", "a connection has 256 streams at once"),
    ("http::read_header_timeout", "a head must be there within 10 s"),
    ("http::read_timeout", "a body must be there within 30 s"),
    ("http::idle_timeout", "a silent connection is closed after 10 s"),
    ("kafka_receiver::protocol_version", "versions are agreed on with each broker"),
    ("kafka_exporter::protocol_version", "versions are agreed on with each broker"),
    ("kafka_receiver::use_leader_epoch", "it is always used where the broker knows it"),
    ("kafka_exporter::use_leader_epoch", "it is always used where the broker knows it"),
    ("kafka_receiver::conn_idle_timeout", "connections are kept as long as they are used"),
    ("kafka_exporter::conn_idle_timeout", "connections are kept as long as they are used"),
    ("kafka_receiver::metadata", "what is known of a cluster is asked for anew when it changes"),
    ("kafka_exporter::metadata", "what is known of a cluster is asked for anew when it changes"),
    ("kafka::auth::sasl::version", "it is agreed on with the broker"),
    ("kafka_receiver::message_marking", "a message is marked when every backend has all of it, and never before"),
    ("kafka_receiver::error_backoff", "what there is no room for is tried again until there is, and is never skipped"),
    ("kafka_receiver::telemetry", "`service::telemetry` tells how far the group is"),
    ("kafka_exporter::producer::flush_max_messages", "a batch is limited by `max_message_bytes`"),
    ("health_check::check_collector_pipeline", "readiness looks at the queues in any case"),
    ("reader::pull::exporter::prometheus::without_scope_info", "there is one scope, and it is not shown"),
    ("reader::pull::exporter::prometheus::without_units", "a unit is in the name where there is one"),
    ("reader::pull::exporter::prometheus::without_type_suffix", "counters end in `_total`"),
    ("reader::pull::exporter::prometheus::with_resource_constant_labels", "the resource is in `target_info`"),
];

/// Keys of the collector that would mean something, with what to do instead.
pub const INSTEAD: &[(&str, &str)] = &[
    ("remote::sending_queue::wait_for_result", "a request is acknowledged when it is in the queue; take it out"),
    ("remote::authority", "write the name in the certificate as `tls::server_name_override`"),
    ("remote::api", "write `site` and `key` without `api` above them"),
    ("kafka_receiver::resolve_canonical_bootstrap_servers_only", "name the brokers as their certificates do"),
    ("kafka_exporter::resolve_canonical_bootstrap_servers_only", "name the brokers as their certificates do"),
    ("kafka_receiver::profiles", "there are no profiles here; leave them to the collector"),
    ("kafka_exporter::profiles", "there are no profiles here; leave them to the collector"),
    ("kafka::auth::plain_text", "write `sasl: {mechanism: PLAIN, username: USER, password: PASSWORD}`"),
    ("kafka::auth::kerberos", "write `sasl` with PLAIN or SCRAM, or certificates under `tls`"),
    ("kafka::auth::tls", "write `tls` beside `auth`, not below it"),
    ("kafka::auth::sasl::aws_msk", "give the cluster SCRAM-SHA-512 or certificates, and write `sasl` or `tls`"),
    (
        "kafka::auth::sasl::oauthbearer_token_source",
        "write a `mechanism` of PLAIN or SCRAM, or certificates under `tls`",
    ),
    (
        "kafka_receiver::header_extraction",
        "headers of messages are not read; let what sends write attributes of the resource",
    ),
    ("kafka_receiver::logs::exclude_topics", "name each topic under `topics`"),
    ("kafka_receiver::traces::exclude_topics", "name each topic under `topics`"),
    ("kafka_receiver::metrics::exclude_topics", "name each topic under `topics`"),
    ("kafka_exporter::topic_from_attribute", "name a topic for each signal, and a second exporter for a second topic"),
    ("kafka_exporter::logs::topic_from_metadata_key", "name the topic as `topic`"),
    ("kafka_exporter::traces::topic_from_metadata_key", "name the topic as `topic`"),
    ("kafka_exporter::metrics::topic_from_metadata_key", "name the topic as `topic`"),
    (
        "kafka_exporter::include_metadata_keys",
        "no header of a request is passed on; write those that are always the same as `record_headers`",
    ),
    (
        "kafka_exporter::partition_logs_by_trace_id",
        "lines of one site would go to several partitions; write `partition_by: [ATTRIBUTE]`",
    ),
    ("kafka_exporter::record_partitioner::round_robin", "take it out: without a key messages go anywhere"),
    ("kafka_exporter::record_partitioner::least_backup", "take it out: without a key messages go anywhere"),
    ("kafka_exporter::record_partitioner::extension", "write `sticky_key`, and what makes the key as `partition_by`"),
    ("health_check::tls", "probes are answered in plain text; take it out"),
    ("health_check::response_body", "the answer says in a sentence what is wrong; take it out"),
    ("reader::periodic", "write where metrics go by OTLP as `service::telemetry::metrics::otlp_endpoint`"),
    ("telemetry::metrics::address", "write `readers: [{pull: {exporter: {prometheus: {host: HOST, port: PORT}}}}]`"),
];

/// Processors of the collector that are let stand in a pasted file, with the reason why they do nothing.
pub const PROCESSORS_NOT_NEEDED: &[(&str, &str)] = &[
    ("batch", "small requests are joined as they wait for a backend"),
    ("memory_limiter", "`memory::limit` is one ceiling, past which senders are asked to come back"),
];

/// Extensions of the collector that are let stand in a pasted file, with the reason why they do nothing.
pub const EXTENSIONS_NOT_NEEDED: &[(&str, &str)] = &[
    ("zpages", "`service::telemetry` and the page at `web::endpoint` tell how it goes"),
    ("pprof", "it is for Go programs"),
    ("memory_ballast", "there is no garbage collector to be kept calm"),
];

/// What is said of a key or processor.
pub fn told_of(table: &'static [(&'static str, &'static str)], path: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == path).map(|(_, words)| *words)
}
