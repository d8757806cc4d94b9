//! The names of nginx's variables: one that neither nginx nor the configuration defines stops nginx from starting, so in
//! a `log_format` it is a slip of the pen, or the format of another server.

use super::statements::Statement;
use std::collections::BTreeSet;

/// Names in the documentation (nginx.org, index of variables, to 1.31), those of ingress-nginx's template, and of
/// wide-spread modules.
const NAMES: &[&str] = &[
    "ancient_browser",
    "args",
    "binary_remote_addr",
    "body_bytes_sent",
    "brotli_ratio",
    "bytes_received",
    "bytes_sent",
    "connection",
    "connection_requests",
    "connection_time",
    "connections_active",
    "connections_reading",
    "connections_waiting",
    "connections_writing",
    "content_length",
    "content_type",
    "date_gmt",
    "date_local",
    "document_root",
    "document_uri",
    "fastcgi_path_info",
    "fastcgi_script_name",
    "gzip_ratio",
    "host",
    "hostname",
    "http2",
    "http3",
    "https",
    "ingress_name",
    "invalid_referer",
    "is_args",
    "is_request_port",
    "limit_conn_status",
    "limit_rate",
    "limit_req_status",
    "location_path",
    "memcached_key",
    "modern_browser",
    "modsecurity_status",
    "msec",
    "msie",
    "namespace",
    "nginx_version",
    "pid",
    "pipe",
    "protocol",
    "proxy_add_x_forwarded_for",
    "proxy_alternative_upstream_name",
    "proxy_host",
    "proxy_port",
    "proxy_protocol_addr",
    "proxy_protocol_port",
    "proxy_protocol_server_addr",
    "proxy_protocol_server_port",
    "proxy_upstream_name",
    "query_string",
    "quic",
    "realip_remote_addr",
    "realip_remote_port",
    "realpath_root",
    "remote_addr",
    "remote_port",
    "remote_user",
    "req_id",
    "request",
    "request_body",
    "request_body_file",
    "request_completion",
    "request_filename",
    "request_id",
    "request_length",
    "request_method",
    "request_port",
    "request_time",
    "request_uri",
    "resource_name",
    "scheme",
    "secure_link",
    "secure_link_expires",
    "server_addr",
    "server_name",
    "server_port",
    "server_protocol",
    "service_name",
    "service_port",
    "session_log_binary_id",
    "session_log_id",
    "session_time",
    "slice_range",
    "spdy",
    "spdy_request_priority",
    "status",
    "the_real_ip",
    "time_iso8601",
    "time_local",
    "uid_got",
    "uid_reset",
    "uid_set",
    "upstream_addr",
    "upstream_bytes_received",
    "upstream_bytes_sent",
    "upstream_cache_age",
    "upstream_cache_etag",
    "upstream_cache_key",
    "upstream_cache_last_modified",
    "upstream_cache_status",
    "upstream_connect_time",
    "upstream_first_byte_time",
    "upstream_header_time",
    "upstream_last_server_name",
    "upstream_queue_time",
    "upstream_response_length",
    "upstream_response_time",
    "upstream_session_time",
    "upstream_status",
    "uri",
    "zstd_ratio",
];

/// Families of which any name is defined.
const PREFIXES: &[&str] = &[
    "arg_",
    "cookie_",
    "geoip2_",
    "geoip_",
    "http_",
    "jwt_",
    "opentelemetry_",
    "opentracing_",
    "otel_",
    "proxy_protocol_tlv_",
    "sent_http_",
    "sent_trailer_",
    "ssl_",
    "tcpinfo_",
    "upstream_cookie_",
    "upstream_http_",
    "upstream_trailer_",
];

/// True for a variable of nginx itself or of a wide-spread module. Captures (`$1`) are none in a log format.
pub fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()))
}

/// What to say of one that is not.
pub fn unknown(name: &str) -> String {
    let nearest = NAMES.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 3 && distance * 3 <= name.len() => {
            format!("nginx has no variable ${name}; did you mean ${known}? What it holds is read as text")
        }
        _ => format!("nginx has no variable ${name}; what it holds is read as text"),
    }
}

/// Adds the variables that a directive defines: `set $x`, `map $a $x {}`, `(?<x>...)`, a line of `geoip2`.
pub(super) fn define(statement: &Statement, defined: &mut BTreeSet<String>) {
    let arguments = statement.arguments.as_slice();
    let name_of = |word: Option<&String>| word.and_then(|word| word.strip_prefix('$')).map(str::to_owned);
    let found = match statement.name.as_str() {
        "log_format" | "if" | "return" => None,
        "map" | "geo" | "split_clients" => name_of(arguments.last()),
        name if name.starts_with('$') => name.strip_prefix('$').map(str::to_owned),
        _ => name_of(arguments.first()),
    };
    defined.extend(found);
    for word in arguments {
        for (start, _) in word.match_indices("(?") {
            let rest = word.get(start + 2..).unwrap_or_default();
            let rest = rest.strip_prefix('P').unwrap_or(rest);
            let name = rest.strip_prefix(['<', '\'']).unwrap_or_default();
            let length = name.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            defined.extend(name.get(..length).filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
}
