//! Which requests for the page are answered; who asks is looked at before (`receiver::auth`).
//!
//! A page of a stranger may make the browser of somebody who can reach this one ask for it, under a name of its own that it
//! makes point here (DNS rebinding). So a request must name an address, `localhost` or a name of the configuration; nothing
//! allows other origins to read an answer.

use super::{TARGET_BYTES_MAX, harden};
use crate::config::settings::Web;
use crate::web::limits::until_sent;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What a request must be to be answered.
pub(super) struct Guard {
    hosts: Vec<String>,
    places: Arc<Semaphore>,
}

impl Guard {
    pub(super) fn new(settings: &Web) -> Guard {
        Guard { hosts: settings.hosts.clone(), places: Arc::new(Semaphore::new(settings.listener.requests_max)) }
    }

    /// True for an address, `localhost`, or a name that is configured; whatever the port, which a tunnel may change.
    fn knows(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.hosts.contains(&name)
    }
}

/// Checks a request, answers it or says in one sentence why not.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = answer(&guard, request, next).await;
    harden(&mut response);
    response
}

async fn answer(guard: &Guard, request: Request, next: Next) -> Response {
    let refuse = |status: StatusCode, words: &str| {
        let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (status, kind, format!("{words}\n")).into_response()
    };
    // Of HTTP/2 the name stands in the address.
    let authority = request.uri().authority().map(ToString::to_string);
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let host = authority.or(host).unwrap_or_default();
    if !guard.knows(&host) {
        let words = "This is not the name of this why502: ask for it by its address or as localhost, or add the name to web::hosts.";
        return refuse(StatusCode::MISDIRECTED_REQUEST, words);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "This page is only looked at: GET and HEAD.");
    }
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > TARGET_BYTES_MAX {
        return refuse(StatusCode::URI_TOO_LONG, "This address is longer than any of this page.");
    }
    let Ok(place) = Arc::clone(&guard.places).try_acquire_owned() else {
        let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "Too many ask at once; ask again in a second.");
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return response;
    };
    let response = next.run(request).await;
    if response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
        // A stream has a place of its own.
        return response;
    }
    // The document is in memory as a whole until it has been sent.
    until_sent(response, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn guard(web: &str) -> Guard {
        let text = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:4317\"}}}}}}}}\nexporters: {{debug: {{}}}}\n\
             service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}}}\nweb: {web}\n"
        );
        Guard::new(&config::read(&text, &|_| None).expect("valid").web.expect("a page"))
    }

    #[test]
    fn only_its_own_names_are_answered() {
        let guard = guard("{hosts: [Why.example]}");
        for known in [
            "localhost",
            "LOCALHOST:5020",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:5020",
            "10.0.0.7:5020",
            "why.example",
            "why.example.:1",
        ] {
            assert!(guard.knows(known), "{known}");
        }
        for stranger in [
            "",
            "evil.example",
            "evil.example:5020",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[evil]",
            "why.example.evil",
            "127.0.0.1@evil.example",
        ] {
            assert!(!guard.knows(stranger), "{stranger}");
        }
    }
}
