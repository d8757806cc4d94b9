//! The configuration: one YAML file in the words and the shape of the OpenTelemetry Collector.
//!
//! Read in two steps: what the user wrote ([`tree`], every node with its line), then what the program needs
//! ([`settings`], free of contradictions). All mistakes are reported at once. Parsing touches neither the environment
//! nor files: variables come from a function, and files that it names are opened by whoever needs them.

pub mod changes;
pub mod endpoint;
mod exporters;
mod extensions;
pub mod kafka;
pub mod moment;
pub mod pasted;
mod processors;
mod receivers;
pub mod schema;
pub mod section;
pub mod settings;
pub mod table;
pub mod tree;
pub mod values;
pub mod web;

use crate::otlp::Signal;
use exporters::exporters;
use extensions::{Extensions, plain_listener};
use http::uri::Scheme;
use pasted::{PROCESSORS_NOT_NEEDED, told_of};
use processors::processors;
use receivers::{check_overlap, receivers};
use section::{Context, Section, unknown, unknown_key};
use settings::{Config, Journal, MemoryLimit, Pipeline, Scraped, Telemetry};
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

const ROOT_KEYS: [&str; 8] =
    ["receivers", "processors", "exporters", "extensions", "memory", "journal", "service", "web"];

/// Reads a configuration.
///
/// # Errors
/// All mistakes, in order of their lines.
pub fn read(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<Mistake>> {
    let (config, mistakes) = draft(text, environment).map_err(|mistake| vec![mistake])?;
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
}

/// Reads a configuration as far as it can be read, so that what it names can be looked at although something else is
/// wrong: what is written wrongly has its default or is left out. Mistakes are in order of their lines; with one, the
/// configuration is not to be run.
///
/// # Errors
/// The first mistake of syntax: what follows it cannot be trusted.
pub fn draft(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<(Config, Vec<Mistake>), Mistake> {
    let root = tree::read(text)?;
    let mut context = Context { mistakes: Vec::new(), warnings: Vec::new(), environment };
    let mut config = read_root(&mut context, &root);
    // What is read twice is told once: two that read the same are of one line, and mended by one look at it.
    context.mistakes.sort();
    context.mistakes.dedup();
    context.warnings.sort();
    context.warnings.dedup();
    config.warnings = context.warnings;
    Ok((config, context.mistakes))
}

fn read_root(context: &mut Context<'_>, root: &Node) -> Config {
    for (key, line, _) in context.members(root, "the file") {
        if !ROOT_KEYS.contains(&key.as_str()) {
            let text = match key.as_str() {
                "connectors" => "why502 has no connectors; leave them to the collector in front or behind".to_owned(),
                _ => unknown_key("the file", key, &ROOT_KEYS),
            };
            context.mistake(*line, text);
        }
    }
    let service = member(root, "service");
    let listed = service.map_or_else(Vec::new, |service| listed(context, service));
    let extensions = Extensions::read(context, member(root, "extensions"), &listed);
    let (receivers, receiver_names) = receivers(context, member(root, "receivers"), &extensions);
    let (processor, processor_names) = processors(context, member(root, "processors"));
    let (exporters, exporter_names) = exporters(context, member(root, "exporters"), &extensions);
    let journal = journal(context, member(root, "journal"), &exporters, root.line);
    if let Some(service) = service {
        for (key, line, _) in context.members(service, "service") {
            const KEYS: [&str; 3] = ["pipelines", "telemetry", "extensions"];
            if !KEYS.contains(&key.as_str()) {
                context.mistake(*line, unknown_key("service", key, &KEYS));
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
    context.warnings.extend(unused(&names, &used));
    let telemetry = telemetry(context, service.and_then(|service| member(service, "telemetry")));
    let memory = memory(context, member(root, "memory"));
    let web = web::web(context, member(root, "web"), &extensions);
    let health = extensions.health;
    let warnings = Vec::new();
    let config =
        Config { receivers, processor, exporters, pipelines, health, telemetry, memory, journal, web, warnings };
    check_overlap(context, &config.listeners().collect::<Vec<_>>());
    config
}

fn memory(context: &mut Context<'_>, node: Option<&Node>) -> MemoryLimit {
    const RANGE: std::ops::RangeInclusive<usize> = 32 << 20..=1 << 40;
    let section = Section::open(context, "memory", "memory", node);
    match section.text(context, "limit").as_deref() {
        None | Some("auto") => MemoryLimit::Auto,
        Some(text) => match values::bytes(text).filter(|bytes| RANGE.contains(bytes)) {
            Some(bytes) => MemoryLimit::Bytes(bytes),
            None => {
                let place = section.place("limit");
                let text = format!("`{}`: `{text}` is not auto, nor a size such as 256MiB, 32MiB to 1TiB", place.key);
                context.mistake(place.line, text);
                MemoryLimit::Auto
            }
        },
    }
}

/// The extensions that the service starts.
fn listed(context: &mut Context<'_>, service: &Node) -> Vec<(String, usize)> {
    match member(service, "extensions").map(|node| (node, &node.kind)) {
        Some((_, Kind::List(items))) => items
            .iter()
            .filter_map(|item| context.text(item, "service::extensions").map(|name| (name, item.line)))
            .collect(),
        None | Some((_, Kind::Null)) => Vec::new(),
        Some((node, _)) => {
            context.mistake(node.line, "`service::extensions` must be a list such as [bearertokenauth]");
            Vec::new()
        }
    }
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

/// `otlp/` has nothing behind its `/`.
fn check_name(context: &mut Context<'_>, kind: &str, name: &str, line: usize) {
    if let Some((known, "")) = name.split_once('/') {
        context
            .mistake(line, format!("`{kind}::{name}` has no name behind its `/`; write `{known}` or `{known}/NAME`"));
    }
}

type Named = Vec<(String, usize)>;

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
                unknown("service::pipelines", "pipeline", name, type_of(name), &["logs", "traces", "metrics"]),
            );
            continue;
        };
        check_name(context, "service::pipelines", name, *line);
        let shown = format!("service::pipelines::{name}");
        let section = Section::open(context, "pipeline", &shown, Some(value));
        let receivers = resolve(context, &section, "receivers", names.receivers, used);
        let exporters = resolve(context, &section, "exporters", names.exporters, used);
        let processors = section.list(context, "processors");
        for (index, (processor, line)) in processors.iter().enumerate() {
            used.push(format!("processors::{processor}"));
            let text = if processors.iter().take(index).any(|(before, _)| before == processor) {
                format!("`{processor}` stands here twice; keep one")
            } else if told_of(PROCESSORS_NOT_NEEDED, type_of(processor)).is_some() {
                // Told of where it is defined.
                match names.processors.iter().any(|(known, _)| known == processor) {
                    true => continue,
                    false => format!("`{processor}` is not defined under `processors`; take it out, it is not needed"),
                }
            } else if processor != "why502" {
                format!("why502 has no processor `{processor}`; put it into the collector in front or behind")
            } else if !names.processors.iter().any(|(known, _)| known == "why502") {
                "`why502` is not defined under `processors`; write `why502:` there".to_owned()
            } else if signal == Signal::Metrics {
                "metrics are relayed untouched; take `why502` out of this pipeline".to_owned()
            } else {
                continue;
            };
            context.mistake(*line, format!("`{shown}::processors`: {text}"));
        }
        for (key, without) in [("receivers", "nothing would come in"), ("exporters", "what comes in would be dropped")]
        {
            if !section.has(key) {
                context.mistake(*line, format!("`{shown}` names no {key}"));
            } else if section.is_empty(key) {
                context
                    .mistake(section.line_of(key), format!("`{shown}::{key}` is empty: {without}; name at least one"));
            }
        }
        let explained = processors.iter().any(|(processor, _)| processor == "why502");
        for debug in section.list(context, "exporters").iter().filter(|(name, _)| type_of(name) == "debug") {
            if !explained {
                let text = format!(
                    "`{shown}` has no processor `why502`, so no verdicts, and `{}` shows nothing else: nothing of this pipeline",
                    debug.0
                );
                context.warnings.push(Mistake { line: debug.1, text });
            }
        }
        if signal != Signal::Traces {
            for (exporter, line) in section.list(context, "exporters") {
                if type_of(&exporter) == "jaeger" {
                    let text = format!("`{shown}::exporters`: Jaeger takes traces alone; take `{exporter}` out");
                    context.mistake(line, text);
                }
            }
        }
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
    let mut seen = Vec::new();
    for (name, line) in section.list(context, key) {
        used.push(format!("{key}::{name}"));
        let place = section.place(key).key;
        if seen.contains(&name) {
            context.mistake(line, format!("`{place}`: `{name}` stands here twice; keep one"));
            continue;
        }
        match defined.iter().position(|(known, _)| *known == name) {
            Some(index) => indices.push(index),
            None => {
                let known: Vec<&str> = defined.iter().map(|(name, _)| name.as_str()).collect();
                let text = unknown(key, "entry", &name, &name, &known);
                context.mistake(line, format!("`{place}`: {text}"));
            }
        }
        seen.push(name);
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

/// The journal, where an exporter asks for it.
fn journal(
    context: &mut Context<'_>,
    node: Option<&Node>,
    exporters: &[settings::Exporter],
    line: usize,
) -> Option<Journal> {
    let section = Section::open(context, "journal", "journal", node);
    let directory = section.file(context, "directory");
    let bytes_max = section.bytes(context, "max_bytes") as u64;
    let asks = exporters.iter().find(|exporter| exporter.is_journaled());
    match (asks, directory) {
        (Some(_), Some(directory)) => Some(Journal { directory, bytes_max }),
        (Some(exporter), None) => {
            let line = node.map_or(line, |node| node.line);
            let text = format!(
                "`exporters::{}::sending_queue::storage` is `journal`, and `journal::directory` is missing; write `journal: {{directory: DIRECTORY}}` at the top of the file",
                exporter.name
            );
            context.mistake(line, text);
            None
        }
        (None, directory) => {
            if let Some(node) = node {
                let text = match directory {
                    Some(_) => "`journal` does nothing: no exporter has `sending_queue: {storage: journal}`",
                    None => "`journal` needs a `directory`, and exporters with `sending_queue: {storage: journal}`",
                };
                context.warnings.push(Mistake { line: node.line, text: text.to_owned() });
            }
            None
        }
    }
}

fn telemetry(context: &mut Context<'_>, node: Option<&Node>) -> Telemetry {
    let section = Section::open(context, "telemetry", "service::telemetry", node);
    let logs = section.section(context, "logs", "telemetry::logs");
    let metrics = section.section(context, "metrics", "telemetry::metrics");
    let plain = |text: &str| endpoint::grpc(text, Scheme::HTTP);
    let has_metrics = metrics.choice(context, "level") != "none";
    Telemetry {
        level: logs.choice(context, "level").to_owned(),
        logs_endpoint: logs.endpoint(context, "otlp_endpoint", plain),
        metrics_endpoint: metrics.endpoint(context, "otlp_endpoint", plain).filter(|_| has_metrics),
        metrics_interval: metrics.duration(context, "interval"),
        prometheus: prometheus(context, &metrics).filter(|_| has_metrics),
    }
}

/// The one reader that we have, in the collector's words: `readers: [{pull: {exporter: {prometheus: {}}}}]`.
fn prometheus(context: &mut Context<'_>, metrics: &Section<'_>) -> Option<Scraped> {
    let mut found = None;
    for reader in metrics.sections(context, "readers", "reader") {
        let exporter = reader.section(context, "pull", "reader::pull");
        let exporter = exporter.section(context, "exporter", "reader::pull::exporter");
        let prometheus = exporter.section(context, "prometheus", "reader::pull::exporter::prometheus");
        let place = prometheus.place("port");
        if !exporter.has("prometheus") {
            // What stands there instead has been told of.
            if !reader.has("periodic") {
                let text = format!("`{}` must be `pull: {{exporter: {{prometheus: {{}}}}}}`", reader.shown());
                context.mistake(reader.line, text);
            }
        } else if found.is_some() {
            let text = "`service::telemetry::metrics::readers` has a second one for Prometheus; keep one";
            context.mistake(reader.line, text);
        } else {
            let host = prometheus.text(context, "host").unwrap_or_default();
            let port = prometheus.count(context, "port");
            let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
            let line = if prometheus.has("port") { place.line } else { prometheus.line };
            let listener = plain_listener(context, &place.key, format!("{host}:{port}"), line);
            found = Some(Scraped { listener, key: place.key });
        }
    }
    found
}

#[cfg(test)]
mod tests;
