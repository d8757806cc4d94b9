//! `receivers`: what is listened on.

use super::extensions::Extensions;
use super::section::{Context, Section, unknown_key};
use super::settings::{Authenticator, Cors, Keepalive, Listener, Receiver, ServerTls, UnixSocket, listeners};
use super::tree::{Mistake, Node};
use super::{Named, check_name, endpoint, kafka, type_of};
use crate::otlp::Signal;
use std::path::PathBuf;
use std::time::Duration;

/// Of a socket's path (`sun_path` of Linux, 108 with its end), less what it is called while it is made.
const UNIX_PATH_BYTES_MAX: usize = 96;

pub(super) fn receivers(
    context: &mut Context<'_>,
    node: Option<&Node>,
    extensions: &Extensions,
) -> (Vec<Receiver>, Named) {
    let mut receivers = Vec::new();
    let mut names = Vec::new();
    let Some(node) = node else { return (receivers, names) };
    for (name, line, value) in context.members(node, "receivers") {
        names.push((name.clone(), *line));
        check_name(context, "receivers", name, *line);
        let shown = format!("receivers::{name}");
        if type_of(name) == "kafka" {
            let kafka = Some(Box::new(kafka::receiver(context, &shown, value)));
            receivers.push(Receiver { name: name.clone(), grpc: None, http: None, kafka });
            continue;
        }
        if type_of(name) != "otlp" {
            let text = format!(
                "why502 has no receiver `{name}`, only `otlp` and `kafka`; let a collector or `why502 tail` send to it"
            );
            context.mistake(*line, text);
            continue;
        }
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
        let mut receiver = Receiver { name: name.clone(), grpc: None, http: None, kafka: None };
        for (key, line, inner) in members {
            match key.as_str() {
                "grpc" => {
                    receiver.grpc = Some(listener(context, extensions, "grpc", &format!("{shown}::grpc"), inner));
                }
                "http" => {
                    receiver.http = Some(listener(context, extensions, "http", &format!("{shown}::http"), inner));
                }
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
    check_reach(context, &receivers);
    (receivers, names)
}

/// Two sockets cannot listen at one address.
pub(super) fn check_overlap(context: &mut Context<'_>, all: &[(String, &Listener)]) {
    for (index, (key, listener)) in all.iter().enumerate() {
        let endpoint = &listener.endpoint;
        if let Some((first, taken)) = all.iter().take(index).find(|(_, before)| overlap(before, listener)) {
            let what = if listener.unix.is_some() { "path" } else { "port" };
            let line = taken.line;
            let text =
                format!("`{key}`: {endpoint} is taken already by `{first}` (line {line}); choose another {what}");
            context.mistake(listener.line, text);
        }
    }
}

/// What everybody reaches should be protected.
fn check_reach(context: &mut Context<'_>, receivers: &[Receiver]) {
    for (_, listener) in listeners(receivers) {
        let endpoint = &listener.endpoint;
        let shown = listener.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        let asks = shown || listener.auth.is_some();
        if !asks && matches!(listener.host.as_str(), "0.0.0.0" | "::") {
            let how = match listener.tls {
                None => "without TLS",
                Some(_) => "and asks for no certificate (`tls::client_ca_file`) and no token (`auth`)",
            };
            let text = format!("{endpoint} listens on every address {how}; anybody who reaches it can send logs");
            context.warnings.push(Mistake { line: listener.line, text });
        }
    }
}

/// True when the system refuses the second of both.
fn overlap(first: &Listener, second: &Listener) -> bool {
    let [first_host, second_host] = [first, second].map(|listener| match listener.host.as_str() {
        "localhost" => "127.0.0.1",
        host => host,
    });
    // Every IPv6 address is every IPv4 address too, as Linux has it.
    let covers = |all: &str, host: &str| all == "::" || (all == "0.0.0.0" && !host.contains(':'));
    if first.unix.is_some() || second.unix.is_some() {
        return first.unix.as_ref().map(|unix| &unix.path) == second.unix.as_ref().map(|unix| &unix.path);
    }
    let same = first_host == second_host || covers(first_host, second_host) || covers(second_host, first_host);
    same && first.port == second.port && first.port != 0
}

fn listener(
    context: &mut Context<'_>,
    extensions: &Extensions,
    path: &'static str,
    shown: &str,
    node: &Node,
) -> Listener {
    let section = Section::open(context, path, shown, Some(node));
    let tls_path = if path == "grpc" { "grpc::tls" } else { "http::tls" };
    let tls = section.section(context, "tls", tls_path);
    let identity = tls.identity(context);
    let client_ca_file = tls.file(context, "client_ca_file");
    if client_ca_file.is_some() && !tls.has_value("cert_file") && !tls.has_value("key_file") {
        context.mistake(section.line_of("tls"), format!("`{shown}::tls` needs both `cert_file` and `key_file`"));
    }
    let min_version = tls.tls_version(context);
    let reload_interval = tls.has_value("reload_interval").then(|| tls.duration(context, "reload_interval"));
    let tls = identity.map(|identity| ServerTls { identity, client_ca_file, min_version, reload_interval });
    let auth = auth(context, extensions, &section, if path == "grpc" { "grpc::auth" } else { "http::auth" });
    if auth.is_some() && tls.is_none() {
        let text = format!("`{shown}::auth` without `tls`: whoever can listen on the way reads the secret");
        context.warnings.push(Mistake { line: section.line_of("auth"), text });
    }
    let endpoint = section.text(context, "endpoint").unwrap_or_default();
    let line = section.line_of("endpoint");
    let unix = unix(context, &section, &endpoint);
    let (host, port) = match unix {
        Some(_) => (String::new(), 0),
        None => endpoint::listen(&endpoint).unwrap_or_else(|| {
            let text = format!("`{shown}::endpoint`: `{endpoint}` is not HOST:PORT, such as 127.0.0.1:4317");
            context.mistake(line, text);
            (String::new(), 0)
        }),
    };
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
    let keepalive = keepalive(context, (path == "grpc").then_some(&section));
    let is_http = path == "http";
    let cors = is_http.then(|| cors(context, &section)).flatten();
    let paths =
        if is_http { paths(context, &section) } else { Signal::ALL.map(|signal| signal.grpc_path().to_owned()) };
    Listener {
        endpoint,
        host,
        port,
        unix,
        request_bytes_max,
        requests_max,
        in_flight_bytes_max,
        tls,
        auth,
        cors,
        paths,
        keepalive,
        line,
    }
}

/// The socket of the file system, where one is asked for.
fn unix(context: &mut Context<'_>, section: &Section<'_>, endpoint: &str) -> Option<UnixSocket> {
    let mode = section.text(context, "socket_mode").unwrap_or_default();
    if section.choice(context, "transport") != "unix" {
        if section.has_value("socket_mode") {
            let place = section.place("socket_mode");
            context.mistake(place.line, format!("`{}` is for `transport: unix`; take it out", place.key));
        }
        return None;
    }
    let place = section.place("endpoint");
    if !endpoint.starts_with('/') || endpoint.ends_with('/') {
        let text =
            format!("`{}`: `{endpoint}` is no absolute path of a socket, such as /run/why502/otlp.sock", place.key);
        context.mistake(place.line, text);
    } else if endpoint.len() > UNIX_PATH_BYTES_MAX {
        let text = format!("`{}`: a socket's path has at most {UNIX_PATH_BYTES_MAX} bytes", place.key);
        context.mistake(place.line, text);
    }
    let digits = mode.strip_prefix("0o").unwrap_or(&mode);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777);
    let mode = mode.unwrap_or_else(|| {
        let place = section.place("socket_mode");
        context.mistake(place.line, format!("`{}` is not three octal digits, such as 660", place.key));
        0
    });
    Some(UnixSocket { path: PathBuf::from(endpoint), mode })
}

pub(super) fn auth(
    context: &mut Context<'_>,
    extensions: &Extensions,
    section: &Section<'_>,
    path: &'static str,
) -> Option<Authenticator> {
    let found = extensions.of(context, section, path)?;
    if let Authenticator::Basic(basic) = &found
        && basic.file.is_none()
        && basic.inline.is_none()
    {
        let place = section.place("auth");
        context.mistake(place.line, format!("`{}` names an extension without `htpasswd`; write it there", place.key));
    }
    Some(found)
}

/// Where requests of each signal go.
fn paths(context: &mut Context<'_>, section: &Section<'_>) -> [String; 3] {
    let mut taken: Vec<String> = Vec::new();
    Signal::ALL.map(|signal| {
        let key = match signal {
            Signal::Logs => "logs_url_path",
            Signal::Traces => "traces_url_path",
            Signal::Metrics => "metrics_url_path",
        };
        let place = section.place(key);
        // As the collector does.
        let path = section.text(context, key).unwrap_or_default();
        let path = format!("/{}", path.trim_matches('/'));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        if path == "/" || !path.chars().all(is_plain) {
            context.mistake(place.line, format!("`{}`: write a path of letters, digits, `-`, `_` and `.`", place.key));
        } else if taken.contains(&path) {
            context.mistake(place.line, format!("`{}`: {path} is taken by another signal", place.key));
        }
        taken.push(path.clone());
        path
    })
}

/// Which pages may send from a browser.
fn cors(context: &mut Context<'_>, section: &Section<'_>) -> Option<Cors> {
    if !section.has("cors") {
        return None;
    }
    let cors = section.section(context, "cors", "http::cors");
    let names = |context: &mut Context<'_>, key: &str| {
        let mut headers = Vec::new();
        for (name, line) in cors.list(context, key).into_iter().filter(|(name, _)| name != "*") {
            match http::HeaderName::try_from(name.to_ascii_lowercase()) {
                Ok(header) => headers.push(header),
                Err(_) => context.mistake(line, format!("`{name}` is no name of a header")),
            }
        }
        headers
    };
    let any_header = cors.list(context, "allowed_headers").iter().any(|(name, _)| name == "*");
    let (headers, exposed) = (names(context, "allowed_headers"), names(context, "exposed_headers"));
    let mut origins = Vec::new();
    for (origin, line) in cors.list(context, "allowed_origins") {
        let stars = origin.matches('*').count();
        let is_origin = origin.starts_with("http://") || origin.starts_with("https://");
        if origin != "*" && (!is_origin || stars > 1 || origin.ends_with('/')) {
            context.mistake(
                line,
                format!("`{origin}` is no origin; write `https://shop.example`, one `*` at most, or `*`"),
            );
        }
        origins.push(origin);
    }
    if origins.is_empty() {
        let place = section.place("cors");
        context.mistake(place.line, format!("`{}` needs `allowed_origins`, or lets nobody in", place.key));
    }
    let max_age = cors.has_value("max_age").then(|| cors.count(context, "max_age"));
    let max_age = max_age.map(|seconds| Duration::from_secs(seconds as u64));
    Some(Cors { origins, headers, any_header, exposed, max_age })
}

/// The defaults hold for OTLP over HTTP too, where nothing of it can be set.
pub(super) fn keepalive(context: &mut Context<'_>, listener: Option<&Section<'_>>) -> Keepalive {
    const PARAMETERS: &str = "grpc::keepalive::server_parameters";
    let section = match listener {
        Some(listener) => {
            let keepalive = listener.section(context, "keepalive", "grpc::keepalive");
            keepalive.section(context, "server_parameters", PARAMETERS)
        }
        None => Section::open(context, PARAMETERS, PARAMETERS, None),
    };
    let age = section.duration(context, "max_connection_age");
    Keepalive {
        time: section.duration(context, "time"),
        timeout: section.duration(context, "timeout"),
        age_max: (!age.is_zero()).then_some(age),
    }
}
