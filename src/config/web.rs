//! `web`: the page for people.

use super::endpoint;
use super::extensions::Extensions;
use super::receivers::auth;
use super::section::{Context, Section};
use super::settings::{Keepalive, Listener, ServerTls, Web};
use super::tree::{Mistake, Node};
use crate::otlp::Signal;
use std::net::IpAddr;
use std::time::Duration;

/// Requests that are answered at once; each is a page of at most 200 KiB.
const REQUESTS_MAX: usize = 32;
/// Nobody sends the page anything but a head.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// A connection that is silent for so long is asked whether it is alive.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The page; `None` where it is switched off by an empty endpoint.
pub(super) fn web(context: &mut Context<'_>, node: Option<&Node>, extensions: &Extensions) -> Option<Web> {
    let section = Section::open(context, "web", "web", node);
    let tls = section.section(context, "tls", "web::tls");
    let identity = tls.identity(context);
    let client_ca_file = tls.file(context, "client_ca_file");
    let min_version = tls.tls_version(context);
    let reload_interval = tls.has_value("reload_interval").then(|| tls.duration(context, "reload_interval"));
    let auth = auth(context, extensions, &section, "web::auth");
    let hosts = section.list(context, "hosts").into_iter().map(|(host, _)| host.to_ascii_lowercase()).collect();
    if section.has("endpoint") && !section.has_value("endpoint") {
        return None;
    }
    let text = section.text(context, "endpoint").filter(|text| !text.is_empty())?;
    let line = section.line_of("endpoint");
    let Some((host, port)) = endpoint::listen(&text) else {
        context.mistake(line, format!("`web::endpoint`: `{text}` is not HOST:PORT, such as 127.0.0.1:5020"));
        return None;
    };
    let listener = Listener {
        endpoint: text,
        host,
        port,
        unix: None,
        request_bytes_max: REQUEST_BYTES_MAX,
        requests_max: REQUESTS_MAX,
        in_flight_bytes_max: REQUESTS_MAX * REQUEST_BYTES_MAX,
        tls: identity.map(|identity| ServerTls { identity, client_ca_file, min_version, reload_interval }),
        auth,
        cors: None,
        paths: Signal::ALL.map(|_| String::new()),
        keepalive: Keepalive { time: KEEPALIVE, timeout: KEEPALIVE / 3, age_max: None },
        line,
    };
    let is_written = section.has_value("endpoint");
    if is_written {
        check(context, &listener);
    }
    Some(Web { listener, is_written, hosts })
}

/// What others can reach shows the requests of clients to them: it asks who they are.
fn check(context: &mut Context<'_>, listener: &Listener) {
    let endpoint = &listener.endpoint;
    if is_loopback(&listener.host) {
        return;
    }
    let asks_for_certificate = listener.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
    if listener.auth.is_none() && !asks_for_certificate {
        let text = format!(
            "`web::endpoint`: {endpoint} can be reached by others, and shows them what clients asked for; name an extension \
             such as `basicauth` as `web::auth::authenticator`, or listen on 127.0.0.1"
        );
        context.mistake(listener.line, text);
    } else if listener.auth.is_some() && listener.tls.is_none() {
        let text = "`web::auth` without `tls`: whoever can listen on the way reads the secret".to_owned();
        context.warnings.push(Mistake { line: listener.line, text });
    }
}

/// True where only this machine reaches it.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::config;

    const BASE: &str = "receivers: {otlp: {protocols: {grpc: {endpoint: \"127.0.0.1:4317\"}}}}\nprocessors: {why502: {}}\n\
                        exporters: {debug: {}}\n\
                        service: {pipelines: {logs: {receivers: [otlp], processors: [why502], exporters: [debug]}}, extensions: [EXTENSIONS]}\n";

    fn read(web: &str) -> Result<config::settings::Config, String> {
        let told = |mistakes: Vec<config::tree::Mistake>| {
            mistakes.into_iter().map(|mistake| mistake.text).collect::<Vec<_>>().join("\n")
        };
        let listed = if web.contains("htpasswd") { "basicauth" } else { "" };
        config::read(&format!("{}{web}", BASE.replace("EXTENSIONS", listed)), &|_| None).map_err(told)
    }

    #[test]
    fn it_is_on_the_loopback_unless_it_is_switched_off() {
        let web = read("").expect("valid").web.expect("a page");
        assert_eq!((web.listener.endpoint.as_str(), web.is_written), ("127.0.0.1:5020", false));
        let web = read("web: {endpoint: \"localhost:1\"}\n").expect("valid").web.expect("a page");
        assert!(web.is_written && web.listener.port == 1);
        for off in ["web: {endpoint: \"\"}\n", "web: {endpoint: }\n"] {
            assert!(read(off).expect("valid").web.is_none(), "{off}");
        }
    }

    #[test]
    fn who_can_be_reached_by_others_asks_who_they_are() {
        let check = |web: &str, words: &str| {
            let told =
                read(web).map(|config| config.warnings.into_iter().map(|warning| warning.text).collect::<String>());
            let told = told.unwrap_or_else(|mistakes| mistakes);
            assert!(told.contains(words) && !told.contains("s3cret"), "{web}: {told}");
            assert_eq!(told.is_empty(), words.is_empty(), "{web}: {told}");
        };
        check("web: {endpoint: 127.0.0.1:5020}\n", "");
        check("web: {endpoint: \"[::1]:5020\"}\n", "");
        check("web: {endpoint: 0.0.0.0:5020}\n", "can be reached by others");
        check("web: {endpoint: \":5020\"}\n", "can be reached by others");
        check("web: {endpoint: shop.example:5020}\n", "can be reached by others");
        let users = "extensions: {basicauth: {htpasswd: {inline: \"a:s3cret\"}}}\n";
        check(
            &format!("{users}web: {{endpoint: 0.0.0.0:5020, auth: {{authenticator: basicauth}}}}\n"),
            "without `tls`",
        );
        check(&format!("{users}web: {{endpoint: 127.0.0.1:5020, auth: {{authenticator: basicauth}}}}\n"), "");
        check("web: {auth: {authenticator: basicauth}}\n", "is not defined under `extensions`");
        check("web: {endpoint: 127.0.0.1:4317}\n", "taken already by `receivers::otlp::protocols::grpc::endpoint`");
        check("web: {endpoint: nothing}\n", "not HOST:PORT");
        check("web: {endpont: 127.0.0.1:1}\n", "did you mean `endpoint`?");
    }
}
