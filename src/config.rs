//! The configuration: one YAML file in the words and the shape of the OpenTelemetry Collector.
//!
//! Read in two steps: what the user wrote ([`tree`], every node with its line), then what the program needs
//! ([`settings`], free of contradictions). All mistakes are reported at once. Parsing touches neither the environment
//! nor files: variables come from a function, and files that it names are opened by whoever needs them.

pub mod section;
pub mod settings;
pub mod table;
pub mod tree;
pub mod values;

use crate::otlp::Signal;
use section::{Context, Section, unknown_key};
use settings::{
    ClientTls, Compression, Config, Exporter, ExporterKind, Listener, Pipeline, Processor, Queue, Receiver, Remote,
    Retry, ServerTls, Telemetry,
};
use tree::{Kind, Mistake, Node};

/// What runs without a file: OTLP on the loopback, verdicts on the terminal, nothing leaves the machine.
pub const EMBEDDED: &str = "\
receivers:
  otlp:
    protocols:
      grpc: {endpoint: 127.0.0.1:4317}
      http: {endpoint: 127.0.0.1:4318}
processors:
  why502:
exporters:
  debug:
service:
  pipelines:
    logs: {receivers: [otlp], processors: [why502], exporters: [debug]}
    traces: {receivers: [otlp], processors: [why502], exporters: [debug]}
";

const ROOT_KEYS: [&str; 4] = ["receivers", "processors", "exporters", "service"];

/// Reads a configuration.
///
/// # Errors
/// All mistakes, in order of their lines.
pub fn read(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<Mistake>> {
    let root = tree::read(text).map_err(|mistake| vec![mistake])?;
    let mut context = Context { mistakes: Vec::new(), environment };
    let config = read_root(&mut context, &root);
    let mut mistakes = context.mistakes;
    mistakes.sort();
    mistakes.dedup();
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
}

fn read_root(context: &mut Context<'_>, root: &Node) -> Config {
    for (key, line, _) in context.members(root, "the file") {
        if !ROOT_KEYS.contains(&key.as_str()) {
            let text = match key.as_str() {
                "extensions" | "connectors" => {
                    format!("why502 has no {key}; leave them to the collector in front or behind")
                }
                _ => unknown_key("the file", key, &ROOT_KEYS),
            };
            context.mistake(*line, text);
        }
    }
    let (receivers, receiver_names) = receivers(context, member(root, "receivers"));
    let (processor, processor_names) = processors(context, member(root, "processors"));
    let (exporters, exporter_names) = exporters(context, member(root, "exporters"));
    let service = member(root, "service");
    if let Some(service) = service {
        for (key, line, _) in context.members(service, "service") {
            if !["pipelines", "telemetry"].contains(&key.as_str()) {
                let text = match key.as_str() {
                    "extensions" => {
                        "why502 has no extensions; leave them to the collector in front or behind".to_owned()
                    }
                    _ => unknown_key("service", key, &["pipelines", "telemetry"]),
                };
                context.mistake(*line, text);
            }
        }
    }
    let names = Names { receivers: &receiver_names, processors: &processor_names, exporters: &exporter_names };
    let mut used = Vec::new();
    let pipelines = pipelines(context, service.and_then(|service| member(service, "pipelines")), &names, &mut used);
    if pipelines.is_empty() && context.mistakes.is_empty() {
        context.mistake(
            service.map_or(1, |service| service.line),
            "`service::pipelines` is empty; name at least one of logs, traces, metrics",
        );
    }
    let mut warnings = unused(&names, &used);
    for receiver in &receivers {
        for listener in receiver.grpc.iter().chain(&receiver.http) {
            if listener.tls.is_none()
                && (listener.endpoint.starts_with("0.0.0.0")
                    || listener.endpoint.starts_with("[::]")
                    || listener.endpoint.starts_with(':'))
            {
                let text = format!(
                    "{} listens on every address without TLS; anybody who reaches it can send logs",
                    listener.endpoint
                );
                warnings.push(Mistake { line: listener.line, text });
            }
        }
    }
    let telemetry = telemetry(context, service.and_then(|service| member(service, "telemetry")));
    Config { receivers, processor, exporters, pipelines, telemetry, warnings }
}

fn member<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.kind {
        Kind::Map(members) => members.iter().find(|(known, _, _)| known == key).map(|(_, _, value)| value),
        _ => None,
    }
}

/// `otlp/tempo` is of type `otlp`.
fn type_of(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

type Named = Vec<(String, usize)>;

fn receivers(context: &mut Context<'_>, node: Option<&Node>) -> (Vec<Receiver>, Named) {
    let mut receivers = Vec::new();
    let mut names = Vec::new();
    let Some(node) = node else { return (receivers, names) };
    for (name, line, value) in context.members(node, "receivers") {
        names.push((name.clone(), *line));
        if type_of(name) != "otlp" {
            context.mistake(
                *line,
                format!("why502 has no receiver `{name}`, only `otlp`; let a collector or `why502 tail` send to it"),
            );
            continue;
        }
        let shown = format!("receivers::{name}");
        let mut protocols = None;
        for (key, line, inner) in context.members(value, &shown) {
            if key == "protocols" {
                protocols = Some(inner);
            } else {
                context.mistake(*line, unknown_key(&shown, key, &["protocols"]));
            }
        }
        let shown = format!("{shown}::protocols");
        let members = protocols.map_or(&[][..], |protocols| context.members(protocols, &shown));
        let mut receiver = Receiver { name: name.clone(), grpc: None, http: None };
        for (key, line, inner) in members {
            match key.as_str() {
                "grpc" => receiver.grpc = Some(listener(context, "grpc", &format!("{shown}::grpc"), inner)),
                "http" => receiver.http = Some(listener(context, "http", &format!("{shown}::http"), inner)),
                _ => context.mistake(*line, unknown_key(&shown, key, &["grpc", "http"])),
            }
        }
        if members.is_empty() {
            context.mistake(
                *line,
                format!("`receivers::{name}` names no protocol; write `protocols: {{grpc: {{}}, http: {{}}}}`"),
            );
        }
        receivers.push(receiver);
    }
    (receivers, names)
}

fn listener(context: &mut Context<'_>, path: &'static str, shown: &str, node: &Node) -> Listener {
    let section = Section::open(context, path, shown, Some(node));
    let tls_path = if path == "grpc" { "grpc::tls" } else { "http::tls" };
    let tls = section.section(context, "tls", tls_path);
    let (cert, key) = (tls.path(context, "cert_file"), tls.path(context, "key_file"));
    let client_ca_file = tls.path(context, "client_ca_file");
    let tls = match (cert, key) {
        (Some(cert_file), Some(key_file)) => Some(ServerTls { cert_file, key_file, client_ca_file }),
        (None, None) if client_ca_file.is_none() => None,
        _ => {
            context.mistake(section.line_of("tls"), format!("`{shown}::tls` needs both `cert_file` and `key_file`"));
            None
        }
    };
    let endpoint = section.text(context, "endpoint").unwrap_or_default();
    let line = section.line_of("endpoint");
    if !is_socket_address(&endpoint) {
        context.mistake(line, format!("`{shown}::endpoint`: `{endpoint}` is not HOST:PORT, such as 127.0.0.1:4317"));
    }
    let request_bytes_max = if path == "grpc" {
        section.count(context, "max_recv_msg_size_mib") << 20
    } else {
        section.bytes(context, "max_request_body_size")
    };
    let in_flight_bytes_max = section.bytes(context, "max_bytes_in_flight");
    // A compressed request is in memory twice, and a JSON one too.
    if in_flight_bytes_max / 2 < request_bytes_max {
        let key = if path == "grpc" { "max_recv_msg_size_mib" } else { "max_request_body_size" };
        context.mistake(
            section.line_of("max_bytes_in_flight"),
            format!(
                "`{shown}::max_bytes_in_flight` must be at least twice `{key}`, or the largest request is never taken"
            ),
        );
    }
    let requests_max = section.count(context, "max_concurrent_requests");
    Listener { endpoint, request_bytes_max, requests_max, in_flight_bytes_max, tls, line }
}

fn is_socket_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok() && !host.contains("//") && (!host.contains(':') || host.starts_with('['))
    })
}

fn processors(context: &mut Context<'_>, node: Option<&Node>) -> (Processor, Named) {
    let mut names = Vec::new();
    let mut found = None;
    for (name, line, value) in node.map_or(&[][..], |node| context.members(node, "processors")) {
        names.push((name.clone(), *line));
        if name == "why502" {
            found = Some(value);
        } else if type_of(name) == "why502" {
            context.mistake(
                *line,
                "there is one processor `why502`: logs are explained by spans, so all pipelines share it",
            );
        } else {
            context.mistake(
                *line,
                format!("why502 has no processor `{name}`; put it into the collector in front or behind"),
            );
        }
    }
    let section = Section::open(context, "why502", "processors::why502", found);
    let log_formats = section.list(context, "log_formats");
    for (text, line) in &log_formats {
        if let Err(problem) = crate::engine::formats::log_format::LogFormat::compile(text) {
            context.mistake(*line, format!("`processors::why502::log_formats`: {problem}"));
        }
    }
    let link = section.section(context, "link", "why502::link");
    let enrich = section.section(context, "enrich", "why502::enrich");
    let limits = section.section(context, "limits", "why502::limits");
    let processor = Processor {
        hold: section.duration(context, "hold"),
        link_threshold: link.number(context, "threshold"),
        enrich_http: enrich.boolean(context, "http"),
        zone: section.zone(context, "time_zone"),
        log_formats: log_formats.into_iter().map(|(text, _)| text).collect(),
        requests_max: limits.count(context, "requests"),
        spans_max: limits.count(context, "spans"),
        held_bytes_max: limits.bytes(context, "held_bytes"),
        verdicts_max: limits.count(context, "verdicts"),
    };
    (processor, names)
}

fn exporters(context: &mut Context<'_>, node: Option<&Node>) -> (Vec<Exporter>, Named) {
    let mut exporters = Vec::new();
    let mut names = Vec::new();
    for (name, line, value) in node.map_or(&[][..], |node| context.members(node, "exporters")) {
        let shown = format!("exporters::{name}");
        let kind = match type_of(name) {
            "otlp" | "otlp_grpc" => remote(context, &shown, value, *line, false).map(ExporterKind::Grpc),
            "otlphttp" | "otlp_http" => remote(context, &shown, value, *line, true).map(ExporterKind::Http),
            "file" => {
                let section = Section::open(context, "file", &shown, Some(value));
                let path = section.path(context, "path");
                if !section.has_value("path") {
                    context.mistake(*line, format!("`{shown}` needs a `path`"));
                }
                path.map(ExporterKind::File)
            }
            "debug" => {
                for (key, line, _) in context.members(value, &shown) {
                    context.mistake(*line, format!("`{shown}` has no key `{key}`; it has none at all"));
                }
                Some(ExporterKind::Debug)
            }
            other => {
                context.mistake(
                    *line,
                    unknown_key("exporters", other, &["otlp", "otlphttp", "file", "debug"]).replace("key", "exporter"),
                );
                None
            }
        };
        // A broken one keeps its place, so that pipelines do not complain about it as well.
        names.push((name.clone(), *line));
        exporters.push(Exporter { name: name.clone(), kind: kind.unwrap_or(ExporterKind::Debug) });
    }
    (exporters, names)
}

fn remote(context: &mut Context<'_>, shown: &str, node: &Node, line: usize, http: bool) -> Option<Remote> {
    let section = Section::open(context, "remote", shown, Some(node));
    if !http {
        for key in ["logs_endpoint", "traces_endpoint", "metrics_endpoint", "encoding"] {
            if section.has(key) {
                context.mistake(
                    section.line_of(key),
                    format!("`{shown}::{key}` is for `otlphttp`; gRPC has one endpoint and one encoding"),
                );
            }
        }
    }
    let signal_endpoints =
        ["logs_endpoint", "traces_endpoint", "metrics_endpoint"].map(|key| section.text(context, key));
    let endpoint = section.text(context, "endpoint");
    for (key, value) in [("endpoint", &endpoint)]
        .into_iter()
        .chain(["logs_endpoint", "traces_endpoint", "metrics_endpoint"].into_iter().zip(&signal_endpoints))
    {
        let rest = value.as_deref().unwrap_or_default();
        let authority = rest.split_once("://").map_or(rest, |(_, rest)| rest).split(['/', '?']).next();
        if authority.is_some_and(|authority| authority.contains('@')) {
            // Not shown: it is a secret, and it would appear wherever the endpoint is named.
            let text = format!("`{shown}::{key}` has a user or key before its `@`; send it as one of the `headers`");
            context.mistake(section.line_of(key), text);
            return None;
        }
    }
    let keys: &[&str] =
        if http { &["endpoint", "logs_endpoint", "traces_endpoint", "metrics_endpoint"] } else { &["endpoint"] };
    if !keys.iter().any(|key| section.has_value(key)) {
        context.mistake(
            line,
            format!(
                "`{shown}` needs an `endpoint`, such as {}",
                if http { "https://otlp.example.com" } else { "tempo:4317" }
            ),
        );
    }
    let endpoint = endpoint.unwrap_or_default();
    let tls = section.section(context, "tls", "remote::tls");
    let queue = section.section(context, "sending_queue", "remote::sending_queue");
    let retry = section.section(context, "retry_on_failure", "remote::retry_on_failure");
    if !queue.boolean(context, "enabled") {
        context.mistake(
            queue.line_of("enabled"),
            format!(
                "`{shown}::sending_queue::enabled` cannot be false: nothing may wait for a backend but its own queue"
            ),
        );
    }
    let insecure = tls.boolean(context, "insecure");
    let endpoint_line = section.line_of("endpoint");
    if http && !endpoint.is_empty() && !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        context
            .mistake(endpoint_line, format!("`{shown}::endpoint`: `{endpoint}` needs a scheme, http:// or https://"));
    }
    Some(Remote {
        endpoint,
        signal_endpoints,
        headers: section.headers(context, "headers"),
        compression: match section.choice(context, "compression") {
            "zstd" => Compression::Zstd,
            "none" => Compression::None,
            _ => Compression::Gzip,
        },
        json: section.choice(context, "encoding") == "json",
        timeout: section.duration(context, "timeout"),
        tls: ClientTls {
            insecure,
            insecure_skip_verify: tls.boolean(context, "insecure_skip_verify"),
            ca_file: tls.path(context, "ca_file"),
            cert_file: tls.path(context, "cert_file"),
            key_file: tls.path(context, "key_file"),
            server_name: tls.text(context, "server_name_override"),
        },
        queue: Queue {
            requests_max: queue.count(context, "queue_size"),
            bytes_max: queue.bytes(context, "queue_bytes"),
            consumers: queue.count(context, "num_consumers"),
        },
        retry: Retry {
            enabled: retry.boolean(context, "enabled"),
            initial_interval: retry.duration(context, "initial_interval"),
            randomization_factor: retry.number(context, "randomization_factor"),
            multiplier: retry.number(context, "multiplier"),
            max_interval: retry.duration(context, "max_interval"),
            max_elapsed_time: retry.duration(context, "max_elapsed_time"),
        },
        request_bytes_max: section.bytes(context, "max_request_bytes"),
        line: endpoint_line,
    })
}

struct Names<'a> {
    receivers: &'a Named,
    processors: &'a Named,
    exporters: &'a Named,
}

fn pipelines(
    context: &mut Context<'_>,
    node: Option<&Node>,
    names: &Names<'_>,
    used: &mut Vec<String>,
) -> Vec<Pipeline> {
    let mut pipelines = Vec::new();
    for (name, line, value) in node.map_or(&[][..], |node| context.members(node, "service::pipelines")) {
        let Some(signal) = Signal::ALL.into_iter().find(|signal| signal.id() == type_of(name)) else {
            context.mistake(
                *line,
                unknown_key("service::pipelines", type_of(name), &["logs", "traces", "metrics"])
                    .replace("key", "pipeline"),
            );
            continue;
        };
        let shown = format!("service::pipelines::{name}");
        let section = Section::open(context, "pipeline", &shown, Some(value));
        let receivers = resolve(context, &section, "receivers", names.receivers, used);
        let exporters = resolve(context, &section, "exporters", names.exporters, used);
        let processors = section.list(context, "processors");
        for (processor, line) in &processors {
            used.push(format!("processors::{processor}"));
            if processor != "why502" {
                context.mistake(
                    *line,
                    format!("why502 has no processor `{processor}`; put it into the collector in front or behind"),
                );
            } else if !names.processors.iter().any(|(known, _)| known == "why502") {
                context.mistake(*line, "`why502` is not defined under `processors`; write `why502:` there");
            } else if signal == Signal::Metrics {
                context.mistake(*line, "metrics are relayed untouched; take `why502` out of this pipeline");
            }
        }
        for (key, found) in [("receivers", receivers.is_empty()), ("exporters", exporters.is_empty())] {
            if found && !section.has(key) {
                context.mistake(*line, format!("`{shown}` names no {key}"));
            }
        }
        let explained = processors.iter().any(|(processor, _)| processor == "why502");
        pipelines.push(Pipeline { name: name.clone(), signal, receivers, explained, exporters });
    }
    pipelines
}

fn resolve(
    context: &mut Context<'_>,
    section: &Section<'_>,
    key: &str,
    defined: &Named,
    used: &mut Vec<String>,
) -> Vec<usize> {
    let mut indices = Vec::new();
    for (name, line) in section.list(context, key) {
        used.push(format!("{key}::{name}"));
        match defined.iter().position(|(known, _)| *known == name) {
            Some(index) if indices.contains(&index) => {
                context.mistake(line, format!("`{name}` stands here twice; keep one"))
            }
            Some(index) => indices.push(index),
            None => {
                let known: Vec<&str> = defined.iter().map(|(name, _)| name.as_str()).collect();
                context.mistake(line, unknown_key(key, &name, &known).replace("key", "entry"));
            }
        }
    }
    indices
}

fn unused(names: &Names<'_>, used: &[String]) -> Vec<Mistake> {
    let all = [("receivers", names.receivers), ("processors", names.processors), ("exporters", names.exporters)];
    all.into_iter()
        .flat_map(|(kind, defined)| defined.iter().map(move |(name, line)| (format!("{kind}::{name}"), *line)))
        .filter(|(path, _)| !used.contains(path))
        .map(|(path, line)| Mistake { line, text: format!("`{path}` is in no pipeline and does nothing") })
        .collect()
}

fn telemetry(context: &mut Context<'_>, node: Option<&Node>) -> Telemetry {
    let section = Section::open(context, "telemetry", "service::telemetry", node);
    let logs = section.section(context, "logs", "telemetry::logs");
    let metrics = section.section(context, "metrics", "telemetry::metrics");
    Telemetry {
        level: logs.choice(context, "level").to_owned(),
        logs_endpoint: logs.text(context, "otlp_endpoint"),
        metrics_endpoint: metrics.text(context, "otlp_endpoint"),
        metrics_interval: metrics.duration(context, "interval"),
    }
}

#[cfg(test)]
mod tests;
