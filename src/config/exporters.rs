//! `exporters`: where everything goes.

mod datadog;

use super::extensions::Extensions;
use super::section::{Context, Section, unknown};
use super::settings::{
    Authenticator, ClientTls, Compression, Endpoint, Exporter, ExporterKind, NamedFile, Queue, Remote, Retry, WhenFull,
};
use super::table::keys_under;
use super::tree::{Mistake, Node};
use super::{Named, check_name, endpoint, kafka, type_of};
use crate::otlp::Signal;
use http::uri::Scheme;
use rustls::pki_types::ServerName;

/// Keys of whole URLs for single signals.
const LOGS: &str = "logs_endpoint";
const TRACES: &str = "traces_endpoint";
const METRICS: &str = "metrics_endpoint";

pub(super) fn exporters(
    context: &mut Context<'_>,
    node: Option<&Node>,
    extensions: &Extensions,
) -> (Vec<Exporter>, Named) {
    let mut exporters = Vec::new();
    let mut names = Vec::new();
    for (name, line, value) in node.map_or(&[][..], |node| context.members(node, "exporters")) {
        check_name(context, "exporters", name, *line);
        let shown = format!("exporters::{name}");
        let kind = match type_of(name) {
            "otlp" | "otlp_grpc" => {
                Some(ExporterKind::Grpc(remote(context, extensions, &shown, value, *line, Preset::Grpc)))
            }
            "otlphttp" | "otlp_http" => {
                Some(ExporterKind::Http(remote(context, extensions, &shown, value, *line, Preset::Http)))
            }
            "datadog" => Some(ExporterKind::Http(remote(context, extensions, &shown, value, *line, Preset::Datadog))),
            "jaeger" => Some(ExporterKind::Grpc(remote(context, extensions, &shown, value, *line, Preset::Jaeger))),
            "file" => {
                let section = Section::open(context, "file", &shown, Some(value));
                let path = section.file(context, "path");
                if !section.has_value("path") {
                    context.mistake(*line, format!("`{shown}` needs a `path`"));
                }
                path.map(ExporterKind::File)
            }
            "kafka" => Some(ExporterKind::Kafka(Box::new(kafka::exporter(context, &shown, value)))),
            "debug" => {
                for (key, line, _) in context.members(value, &shown) {
                    if ["verbosity", "sampling_initial", "sampling_thereafter", "use_internal_logger"]
                        .contains(&key.as_str())
                    {
                        let text =
                            format!("`{shown}::{key}` does nothing: verdicts are shown, each of them, and no records");
                        context.warnings.push(Mistake { line: *line, text });
                    } else {
                        context.mistake(*line, format!("`{shown}` has no key `{key}`; it has none at all"));
                    }
                }
                Some(ExporterKind::Debug)
            }
            other => {
                context.mistake(
                    *line,
                    unknown(
                        "exporters",
                        "exporter",
                        name,
                        other,
                        &["otlp", "otlphttp", "datadog", "jaeger", "kafka", "file", "debug"],
                    ),
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

/// What a remote exporter is for: any backend that speaks OTLP, or one of which we know the endpoint, key and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preset {
    Grpc,
    Http,
    Datadog,
    Jaeger,
}

impl Preset {
    /// Keys that it has beside those of every remote exporter.
    fn keys(self) -> Vec<&'static str> {
        if self == Preset::Datadog { keys_under("datadog") } else { Vec::new() }
    }
}

fn remote(
    context: &mut Context<'_>,
    extensions: &Extensions,
    shown: &str,
    node: &Node,
    line: usize,
    preset: Preset,
) -> Remote {
    let section = Section::open_with(context, "remote", &preset.keys(), shown, Some(node));
    let http = matches!(preset, Preset::Http | Preset::Datadog);
    if !http {
        for key in [LOGS, TRACES, METRICS, "encoding"] {
            if section.has(key) {
                context.mistake(
                    section.line_of(key),
                    format!("`{shown}::{key}` is for `otlphttp`; gRPC has one endpoint and one encoding"),
                );
            }
        }
    }
    let tls = section.section(context, "tls", "remote::tls");
    let scheme = if tls.boolean(context, "insecure") { Scheme::HTTP } else { Scheme::HTTPS };
    let mut endpoints = if http {
        urls(context, &section)
    } else {
        let endpoint = section.endpoint(context, "endpoint", |text| endpoint::grpc(text, scheme.clone()));
        [endpoint.clone(), endpoint.clone(), endpoint]
    };
    let mut headers = section.headers(context, "headers");
    let mut request_bytes_max = section.bytes(context, "max_request_bytes");
    let mut request_items_max =
        section.has_value("max_request_items").then(|| section.count(context, "max_request_items") as u64);
    match preset {
        Preset::Grpc | Preset::Http => {}
        Preset::Datadog => {
            let own = Section::unchecked("datadog", shown, Some(node));
            datadog::preset(context, &own, &section, &mut endpoints, &mut headers);
            if !section.has_value("max_request_bytes") {
                request_bytes_max = datadog::REQUEST_BYTES_MAX;
            }
            request_items_max = request_items_max.or(Some(datadog::REQUEST_ITEMS_MAX));
        }
        // Of the three signals it has traces alone.
        Preset::Jaeger => {
            let [logs, _, metrics] = &mut endpoints;
            (*logs, *metrics) = (None, None);
        }
    }
    let keys = if http { &["endpoint", LOGS, TRACES, METRICS][..] } else { &["endpoint"] };
    if preset != Preset::Datadog && !keys.iter().any(|key| section.has_value(key)) {
        let such = if http { "https://otlp.example.com" } else { "tempo:4317" };
        context.mistake(line, format!("`{shown}` needs an `endpoint`, such as {such}"));
    }
    let queue = section.section(context, "sending_queue", "remote::sending_queue");
    let retry = section.section(context, "retry_on_failure", "remote::retry_on_failure");
    let plain = endpoints.iter().flatten().all(|endpoint| endpoint.url.scheme() == Some(&Scheme::HTTP));
    if plain && endpoints.iter().flatten().next().is_some() {
        for key in ["ca_file", "cert_file", "key_file", "server_name_override", "insecure_skip_verify", "min_version"] {
            if tls.has_value(key) {
                let place = tls.place(key);
                let text = format!("`{}` does nothing: what is sent to `{shown}` is plain text", place.key);
                context.warnings.push(Mistake { line: place.line, text });
            }
        }
    }
    Remote {
        endpoints,
        headers,
        auth: auth(context, extensions, &section),
        proxy: proxy(context, &section),
        compression: compression(context, &section, http),
        json: section.choice(context, "encoding") == "json",
        timeout: section.duration(context, "timeout"),
        tls: client_tls(context, &tls),
        queue: queue_of(context, &queue),
        retry: retry_of(context, &retry),
        request_bytes_max,
        request_items_max,
        dead_letter: {
            let dead = section.section(context, "dead_letter", "remote::dead_letter");
            dead_letter(context, &section, &dead)
        },
        is_journaled: storage(context, &queue),
    }
}

/// TLS towards a backend.
pub(super) fn client_tls(context: &mut Context<'_>, tls: &Section<'_>) -> ClientTls {
    let server_name = tls.text(context, "server_name_override");
    if let Some(problem) = server_name.clone().and_then(|name| ServerName::try_from(name).err()) {
        let place = tls.place("server_name_override");
        context.mistake(place.line, format!("`{}`: {problem}; write the name in the certificate", place.key));
    }
    ClientTls {
        insecure_skip_verify: tls.boolean(context, "insecure_skip_verify"),
        ca_file: tls.file(context, "ca_file"),
        identity: tls.identity(context),
        server_name,
        min_version: tls.tls_version(context),
        reload_interval: tls.has_value("reload_interval").then(|| tls.duration(context, "reload_interval")),
    }
}

/// When what failed is sent again.
pub(super) fn retry_of(context: &mut Context<'_>, retry: &Section<'_>) -> Retry {
    Retry {
        enabled: retry.boolean(context, "enabled"),
        initial_interval: retry.duration(context, "initial_interval"),
        randomization_factor: retry.number(context, "randomization_factor"),
        multiplier: retry.number(context, "multiplier"),
        max_interval: retry.duration(context, "max_interval"),
        max_elapsed_time: retry.duration(context, "max_elapsed_time"),
    }
}

fn compression(context: &mut Context<'_>, section: &Section<'_>, http: bool) -> Compression {
    let name = section.choice(context, "compression");
    if !http && matches!(name, "zlib" | "deflate" | "lz4") {
        let place = section.place("compression");
        let text = format!("`{}`: `{name}` is for `otlphttp`; write gzip, zstd or snappy", place.key);
        context.mistake(place.line, text);
    }
    match name {
        "zstd" => Compression::Zstd,
        "snappy" => Compression::Snappy,
        "zlib" => Compression::Zlib,
        "deflate" => Compression::Deflate,
        "lz4" => Compression::Lz4,
        "none" => Compression::None,
        _ => Compression::Gzip,
    }
}

fn auth(context: &mut Context<'_>, extensions: &Extensions, section: &Section<'_>) -> Option<Authenticator> {
    let found = extensions.of(context, section, "remote::auth")?;
    if let Authenticator::Basic(basic) = &found
        && basic.client.is_none()
    {
        let place = section.place("auth");
        context
            .mistake(place.line, format!("`{}` names an extension without `client_auth`; write it there", place.key));
    }
    Some(found)
}

/// It is spoken to in plain text; what is sent through it is not, where the backend has TLS.
fn proxy(context: &mut Context<'_>, section: &Section<'_>) -> Option<Endpoint> {
    let proxy = section.endpoint(context, "proxy_url", endpoint::http)?;
    if proxy.url.scheme() != Some(&Scheme::HTTP) {
        let text = format!("`{}` must begin with http://; proxies are not spoken to by TLS", proxy.place.key);
        context.mistake(proxy.place.line, text);
    }
    Some(proxy)
}

/// `queue_size` is counted in what `sizer` says; `queue_bytes` holds beside it.
pub(super) fn queue_of(context: &mut Context<'_>, queue: &Section<'_>) -> Queue {
    let size = queue.count(context, "queue_size");
    let bytes_max = queue.bytes(context, "queue_bytes");
    let is_enabled = is_enabled(context, queue);
    let mut limits = Queue {
        requests_max: usize::MAX,
        items_max: u64::MAX,
        bytes_max,
        consumers: queue.count(context, "num_consumers"),
        when_full: match queue.choice(context, "when_full") {
            "drop_newest" => WhenFull::DropNewest,
            "drop_oldest" => WhenFull::DropOldest,
            _ => WhenFull::Refuse,
        },
    };
    match queue.choice(context, "sizer") {
        "items" => limits.items_max = size as u64,
        "bytes" if queue.has_value("queue_size") => {
            limits.bytes_max = if queue.has_value("queue_bytes") { size.min(bytes_max) } else { size };
        }
        "bytes" => {}
        _ => limits.requests_max = size,
    }
    if !is_enabled {
        // The next one while the others are on their way: without it no consumer would find any.
        limits.requests_max = 1;
    }
    limits
}

/// Whether requests may wait that are not on their way.
fn is_enabled(context: &mut Context<'_>, queue: &Section<'_>) -> bool {
    let is_enabled = queue.boolean(context, "enabled");
    if is_enabled {
        return true;
    }
    let place = queue.place("enabled");
    if queue.choice(context, "storage") == "journal" {
        let text = format!("`{}` is false, and `storage: journal` keeps what waits; take one of them out", place.key);
        context.mistake(place.line, text);
    } else {
        let text = format!(
            "`{}: false`: a request is acknowledged when it is on its way, not when the backend has it, as in the collector; \
             write `storage: journal` where no crash may lose it",
            place.key
        );
        context.warnings.push(Mistake { line: place.line, text });
    }
    false
}

/// Whether the queue is kept on disk.
pub(super) fn storage(context: &mut Context<'_>, queue: &Section<'_>) -> bool {
    if queue.text(context, "storage").is_some_and(|name| type_of(&name) == "file_storage") {
        let place = queue.place("storage");
        let text = format!(
            "`{}`: why502 has no `file_storage` but a journal of its own; write `storage: journal` here and \
             `journal: {{directory: DIRECTORY}}` at the top of the file",
            place.key
        );
        context.mistake(place.line, text);
        return false;
    }
    queue.choice(context, "storage") == "journal"
}

/// The file for what nobody takes; `dead` is the part of the section that is about it.
pub(super) fn dead_letter(
    context: &mut Context<'_>,
    section: &Section<'_>,
    dead: &Section<'_>,
) -> Option<(NamedFile, usize)> {
    let bytes_max = dead.bytes(context, "max_bytes");
    let file = dead.file(context, "path");
    if section.has("dead_letter") && !dead.has_value("path") {
        let text = format!("`{}` needs a `path`", section.place("dead_letter").key);
        context.mistake(section.line_of("dead_letter"), text);
    }
    Some((file?, bytes_max))
}

/// Where each signal goes: its own URL, else one below the server's.
fn urls(context: &mut Context<'_>, section: &Section<'_>) -> [Option<Endpoint>; 3] {
    let base = section.endpoint(context, "endpoint", endpoint::http);
    // Wrong for one signal is wrong for all three; it is said once.
    let base = base.filter(|base| match endpoint::below(&base.url, Signal::Logs.http_path()) {
        Ok(_) => true,
        Err(problem) => {
            context.mistake(base.place.line, format!("`{}`: {problem}", base.place.key));
            false
        }
    });
    [(LOGS, Signal::Logs), (TRACES, Signal::Traces), (METRICS, Signal::Metrics)].map(|(key, signal)| {
        if section.has_value(key) {
            return section.endpoint(context, key, endpoint::http);
        }
        let base = base.as_ref()?;
        let url = endpoint::below(&base.url, signal.http_path()).ok()?;
        Some(Endpoint { url, place: base.place.clone() })
    })
}
