//! `receivers`: what is listened on.

use super::section::{Context, Section, unknown_key};
use super::settings::{Keepalive, Listener, Receiver, ServerTls, listeners};
use super::tree::{Mistake, Node};
use super::{Named, check_name, endpoint, type_of};

pub(super) fn receivers(context: &mut Context<'_>, node: Option<&Node>) -> (Vec<Receiver>, Named) {
    let mut receivers = Vec::new();
    let mut names = Vec::new();
    let Some(node) = node else { return (receivers, names) };
    for (name, line, value) in context.members(node, "receivers") {
        names.push((name.clone(), *line));
        check_name(context, "receivers", name, *line);
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
    check_listeners(context, &receivers);
    (receivers, names)
}

/// Two sockets cannot listen at one address, and one that everybody reaches should be protected.
fn check_listeners(context: &mut Context<'_>, receivers: &[Receiver]) {
    let all: Vec<(String, &Listener)> = listeners(receivers).collect();
    for (index, (key, listener)) in all.iter().enumerate() {
        let endpoint = &listener.endpoint;
        if let Some((first, taken)) = all.iter().take(index).find(|(_, before)| overlap(before, listener)) {
            let text =
                format!("`{key}`: {endpoint} is taken already by `{first}` (line {}); choose another port", taken.line);
            context.mistake(listener.line, text);
        }
        let asks = listener.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        if !asks && matches!(listener.host.as_str(), "0.0.0.0" | "::") {
            let how = match listener.tls {
                None => "without TLS",
                Some(_) => "and asks for no certificate (`tls::client_ca_file`)",
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
    let same = first_host == second_host || covers(first_host, second_host) || covers(second_host, first_host);
    same && first.port == second.port && first.port != 0
}

fn listener(context: &mut Context<'_>, path: &'static str, shown: &str, node: &Node) -> Listener {
    let section = Section::open(context, path, shown, Some(node));
    let tls_path = if path == "grpc" { "grpc::tls" } else { "http::tls" };
    let tls = section.section(context, "tls", tls_path);
    let identity = tls.identity(context);
    let client_ca_file = tls.file(context, "client_ca_file");
    if client_ca_file.is_some() && !tls.has_value("cert_file") && !tls.has_value("key_file") {
        context.mistake(section.line_of("tls"), format!("`{shown}::tls` needs both `cert_file` and `key_file`"));
    }
    let tls = identity.map(|identity| ServerTls { identity, client_ca_file });
    let endpoint = section.text(context, "endpoint").unwrap_or_default();
    let line = section.line_of("endpoint");
    let (host, port) = endpoint::listen(&endpoint).unwrap_or_else(|| {
        context.mistake(line, format!("`{shown}::endpoint`: `{endpoint}` is not HOST:PORT, such as 127.0.0.1:4317"));
        (String::new(), 0)
    });
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
    Listener { endpoint, host, port, request_bytes_max, requests_max, in_flight_bytes_max, tls, keepalive, line }
}

/// The defaults hold for OTLP over HTTP too, where nothing of it can be set.
fn keepalive(context: &mut Context<'_>, listener: Option<&Section<'_>>) -> Keepalive {
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
