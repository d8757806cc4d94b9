//! docs/configuration.md.

use super::{cell, generated_by};
use std::fmt::Write;
use why502::config::table::{Kind, SETTINGS};
use why502::config::{self, EMBEDDED};

/// Section of the table, where it stands in the file, what it is.
const SECTIONS: [(&str, &str, &str); 19] = [
    (
        "grpc",
        "receivers::otlp::protocols::grpc",
        "OTLP over gRPC, and on the same port why502's own gRPC API, health and reflection.",
    ),
    (
        "http",
        "receivers::otlp::protocols::http",
        "OTLP over HTTP on `/v1/logs`, `/v1/traces` and `/v1/metrics`, protobuf and JSON.",
    ),
    (
        "why502",
        "processors::why502",
        "The processor. All pipelines that name it share one: logs are explained by spans.",
    ),
    ("upstream", "processors::why502::sites::upstreams", "Each entry of the list. Both sides are needed."),
    (
        "remote",
        "exporters::otlp and exporters::otlphttp",
        "OTLP over gRPC and over HTTP; `otlp_grpc` and `otlp_http` are the same. Several of a kind have a `/name` behind it. `jaeger` is `otlp` for traces alone.",
    ),
    (
        "datadog",
        "exporters::datadog",
        "Datadog's intake of OTLP over HTTP, with its key and its limits (`max_request_bytes` is 3 MB there, `max_request_items` 1000). It has the keys of `otlphttp` beside these.",
    ),
    (
        "kafka",
        "receivers::kafka and exporters::kafka",
        "Keys that both have, beside `tls`, which is that of other exporters: TLS is on where it stands and `insecure` is false. See [kafka.md](kafka.md).",
    ),
    (
        "kafka_receiver",
        "receivers::kafka",
        "OTLP out of topics. The topic is the journal: a message counts as read when every backend has it.",
    ),
    (
        "kafka_exporter",
        "exporters::kafka",
        "OTLP into topics. It has `retry_on_failure`, `sending_queue` and `dead_letter` of other exporters beside these; `num_consumers` is 1 unless it is written, so that the order stays.",
    ),
    (
        "file",
        "exporters::file",
        "OTLP JSON, one request a line. The exporter `debug` has no keys: verdicts for people on standard output.",
    ),
    (
        "journal",
        "journal",
        "Where requests for exporters with `sending_queue: {storage: journal}` are kept until they are delivered; see [journal.md](journal.md).",
    ),
    ("pipeline", "service::pipelines::logs, traces, metrics", "Several of a signal have a `/name` behind it."),
    (
        "health_check",
        "extensions::health_check",
        "Probes over HTTP. `/livez` fails when only a restart helps, `/readyz` also while senders are asked to come back, with the reason; a backend that is down fails neither before its queue is full. Both are answered by OTLP over HTTP as well.",
    ),
    (
        "bearertokenauth",
        "extensions::bearertokenauth",
        "A token in a header, for `auth::authenticator` of a receiver or an exporter. Name it under `service::extensions`.",
    ),
    (
        "basicauth",
        "extensions::basicauth",
        "User and password (RFC 7617), in the same way. Good ones are asked of bcrypt once.",
    ),
    ("memory", "memory", "One ceiling for everything."),
    (
        "web",
        "web",
        "The page for people. One that others can reach asks who they are: without `auth::authenticator` (`basicauth` for browsers) or `tls::client_ca_file` it is refused.",
    ),
    ("telemetry", "service::telemetry", "why502's own telemetry."),
    (
        "reader",
        "service::telemetry::metrics::readers",
        "Each entry of the list. The metrics are those of [telemetry.md](telemetry.md), counters with `_total` behind their name.",
    ),
];

pub(crate) fn markdown() -> String {
    let mut out = generated_by("<!-- ", "src/config/table.rs", " -->");
    let _ = write!(
        out,
        "# Configuration\n\n\
         One YAML file in the words and the shape of the OpenTelemetry Collector. `why502 validate --config FILE` reports every\n\
         mistake at once, each with its line. A key that is not listed here is an error. `${{env:NAME}}`, `${{env:NAME:-default}}` and\n\
         `${{NAME}}` are replaced by the environment, `$$` is a dollar sign. Durations are written as Go writes them (`500ms`, `8s`,\n\
         `1m30s`), sizes with their unit (`4MiB`, `3MB`) or in bytes. Without a file `why502 run` uses:\n\n\
         ```yaml\n{EMBEDDED}```\n"
    );
    for (section, title, about) in SECTIONS {
        let _ = write!(
            out,
            "\n## `{title}`\n\n{about}\n\n| key | type | range | default | meaning |\n|---|---|---|---|---|\n"
        );
        for setting in SETTINGS {
            let Some(key) = setting.path.strip_prefix(section).and_then(|rest| rest.strip_prefix("::")) else {
                continue;
            };
            let default = if setting.default.is_empty() { "none".to_owned() } else { format!("`{}`", setting.default) };
            let listens = matches!(section, "grpc" | "http" | "web");
            let (kind, range) = if listens && setting.kind == Kind::Endpoint {
                ("`host:port`", String::new())
            } else {
                written(setting.kind)
            };
            let _ = writeln!(out, "| `{key}` | {kind} | {range} | {default} | {} |", cell(setting.doc));
        }
    }
    out
}

/// Type and range.
fn written(kind: Kind) -> (&'static str, String) {
    match kind {
        Kind::Text => ("text", String::new()),
        Kind::Endpoint => ("`host:port` or URL", String::new()),
        Kind::Path => ("path", String::new()),
        Kind::Duration(from, to) => ("duration", format!("{from} to {to}")),
        Kind::Bytes(from, to) => ("size", format!("{from} to {to}")),
        Kind::Count(from, to) => ("whole number", format!("{from} to {to}")),
        Kind::Number(from, to) => ("number", format!("{from} to {to}")),
        Kind::Bool => ("boolean", "`true`, `false`".to_owned()),
        Kind::Choice(words) => ("word", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
        Kind::List => ("list of texts", String::new()),
        Kind::Headers => ("names and secret values", String::new()),
        Kind::Selector => ("names and values", String::new()),
        Kind::Sections => ("list of sections", String::new()),
        Kind::Zone => ("offset such as `+02:00`, or `UTC`", "-14:59 to +14:59".to_owned()),
    }
}

#[test]
fn no_setting_is_left_out() {
    for setting in SETTINGS {
        let sections = SECTIONS.iter().filter(|(section, _, _)| setting.path.starts_with(&format!("{section}::")));
        assert_eq!(sections.count(), 1, "{}", setting.path);
        assert!(setting.doc.ends_with('.'), "{}", setting.path);
    }
    let documented = markdown().lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(documented, SETTINGS.len());
}

#[test]
fn what_it_shows_is_valid() {
    let config = config::read(EMBEDDED, &|_| None).expect("valid");
    assert!(config.warnings.is_empty());
}
