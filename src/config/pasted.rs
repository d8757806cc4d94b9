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
