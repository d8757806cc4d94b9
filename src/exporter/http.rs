//! OTLP over HTTP to a backend.

use super::StartError;
use super::compress::{Protocol, compress, encoding_name};
use super::error::{Delivered, DeliveryError, Then, delivered, delivered_json, retry_after, then_of_http};
use super::pieces::Pieces;
use super::queue::Deliver;
use super::tls::{Connections, client};
use crate::auth;
use crate::config::settings::{Compression, Endpoint, Remote};
use crate::otlp::{Signal, json};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, Limited};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Largest answer that is read (OTLP 1.11.0 recommends 4 MiB).
pub(super) const ANSWER_BYTES_MAX: usize = 4 << 20;
/// What is told of a backend's words, in characters.
const WORDS_MAX: usize = 200;
/// Where these words are looked for at the start of a body, in bytes.
const BODY_WORDS_MAX: usize = 8 << 10;
/// A shorter header value is no secret worth garbling a message for.
const SECRET_BYTES_MIN: usize = 6;

/// A client for one backend.
pub struct Client {
    name: String,
    connections: Connections,
    endpoints: [Option<Endpoint>; 3],
    headers: HeaderMap,
    compression: Compression,
    json: bool,
    timeout: Duration,
}

impl Client {
    /// A client that has no connection yet.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn new(name: &str, remote: &Remote) -> Result<Client, StartError> {
        Ok(Client {
            name: name.to_owned(),
            connections: client(name, remote, false)?,
            endpoints: remote.endpoints.clone(),
            headers: headers(remote)?,
            compression: remote.compression,
            json: remote.json,
            timeout: remote.timeout,
        })
    }

    async fn send(&self, signal: Signal, request: Bytes) -> Result<Delivered, DeliveryError> {
        let endpoint = endpoint_of(&self.endpoints, &self.name, signal)?;
        let body = if self.json { self.as_json(signal, &request)? } else { request };
        let body = compress(self.compression, Protocol::Http, &body);
        let mut call = http::Request::post(endpoint.url.clone())
            .body(Pieces::from(body))
            .map_err(|error| local(&error.to_string()))?;
        call.headers_mut().extend(self.headers.clone());
        let content_type = if self.json { "application/json" } else { "application/x-protobuf" };
        call.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = encoding_name(self.compression) {
            call.headers_mut().insert(header::CONTENT_ENCODING, encoding);
        }
        let (number, client) = self.connections.current();
        let whole = async {
            let answer = client.request(call).await.map_err(|error| unreachable(&self.name, endpoint, &error))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX)
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default();
            Ok((head, body))
        };
        let (head, body) = match tokio::time::timeout(self.timeout, whole).await {
            Ok(result) => result?,
            Err(_) => {
                self.connections.renew(number);
                return Err(timed_out(&self.name, &endpoint.to_string(), self.timeout));
            }
        };
        let status = head.status.as_u16();
        if head.status.is_success() {
            let told = if self.json { delivered_json(&body) } else { delivered(&body) };
            return Ok(Delivered { message: words(&told.message, &self.headers), ..told });
        }
        let words = words(&String::from_utf8_lossy(body.get(..BODY_WORDS_MAX).unwrap_or(&body)), &self.headers);
        let then = then_of_http(status, retry_after(head.headers.get(header::RETRY_AFTER)));
        let advice = match status {
            401 | 403 => format!("; check exporters::{}::headers or auth (key, site)", self.name),
            404 => format!(
                "; the backend does not take {} here: leave the exporter out of that pipeline or check its endpoint",
                signal.id()
            ),
            _ => String::new(),
        };
        let text = format!("{endpoint} answered {status} {words}{advice}");
        Err(DeliveryError { text, reason: "refused", then })
    }

    fn as_json(&self, signal: Signal, request: &[u8]) -> Result<Bytes, DeliveryError> {
        let text = json::from_protobuf(signal, request).map_err(|error| local(&error.to_string()))?;
        Ok(Bytes::from(text))
    }
}

impl Deliver for Client {
    fn deliver(
        &self,
        signal: Signal,
        request: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<Delivered, DeliveryError>> + Send + '_>> {
        Box::pin(self.send(signal, request))
    }
}

/// Where a signal goes.
pub(super) fn endpoint_of<'e>(
    endpoints: &'e [Option<Endpoint>; 3],
    name: &str,
    signal: Signal,
) -> Result<&'e Endpoint, DeliveryError> {
    let [logs, traces, metrics] = endpoints;
    let endpoint = match signal {
        Signal::Logs => logs,
        Signal::Traces => traces,
        Signal::Metrics => metrics,
    };
    endpoint.as_ref().ok_or_else(|| {
        let text = format!("exporters::{name} has no endpoint for {}", signal.id());
        DeliveryError { text, reason: "no_endpoint", then: Then::Drop }
    })
}

/// Configured headers, who we are, and our name.
///
/// # Errors
/// When the file of a token cannot be read.
pub(super) fn headers(remote: &Remote) -> Result<HeaderMap, StartError> {
    let mut headers = HeaderMap::new();
    let agent = concat!("why502/", env!("CARGO_PKG_VERSION"), " OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in &remote.headers {
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value.reveal()))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    if let Some(authenticator) = &remote.auth {
        let (name, value) = auth::shown(authenticator)?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// A backend's words for our log: short, printable, and without the secrets that it may have repeated.
pub(super) fn words(told: &str, headers: &HeaderMap) -> String {
    let mut told = told.to_owned();
    for value in headers.values().filter(|value| value.is_sensitive()) {
        let Ok(value) = value.to_str() else { continue };
        // `Bearer TOKEN` is often repeated without its first word.
        for secret in std::iter::once(value).chain(value.split_whitespace()) {
            if secret.len() >= SECRET_BYTES_MIN && told.contains(secret) {
                told = told.replace(secret, "[hidden]");
            }
        }
    }
    told.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

fn local(problem: &str) -> DeliveryError {
    DeliveryError { text: format!("the request cannot be built: {problem}"), reason: "encoding", then: Then::Drop }
}

pub(super) fn timed_out(name: &str, url: &str, after: Duration) -> DeliveryError {
    let text =
        format!("{url} did not answer within {} s; is it overloaded? exporters::{name}::timeout", after.as_secs_f64());
    DeliveryError { text, reason: "timeout", then: Then::Retry(None) }
}

/// The TLS error inside; an `io::Error` does not name what it wraps as its source.
fn tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error
        .downcast_ref()
        .or_else(|| inner?.downcast_ref())
        .or_else(|| tls_error(inner?.downcast_ref::<std::io::Error>()?))
}

/// No connection, or one that ended without an answer: try again.
pub(super) fn unreachable(name: &str, endpoint: &Endpoint, error: &hyper_util::client::legacy::Error) -> DeliveryError {
    let mut words = error.to_string();
    let mut tls = None;
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        words = inner.to_string();
        tls = tls.or_else(|| tls_error(inner));
        source = inner.source();
    }
    let host = endpoint.url.authority().map_or("", http::uri::Authority::as_str);
    let place = &endpoint.place;
    let text = if let Some(tls) = tls {
        let advice = match tls {
            rustls::Error::InvalidCertificate(_) => format!(
                "is exporters::{name}::tls::ca_file (or the system) the authority of its certificate, and its name right (tls::server_name_override)?"
            ),
            _ => format!("does it speak TLS, and is {place} right?"),
        };
        format!("cannot connect to {host} by TLS: {tls}; {advice}")
    } else if error.is_connect() {
        format!("cannot connect to {host}: {words}; is it running, and is {place} right?")
    } else {
        format!("the connection to {host} ended: {words}")
    };
    DeliveryError { text, reason: "unreachable", then: Then::Retry(None) }
}
