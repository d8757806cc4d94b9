//! OTLP over HTTP: protobuf and JSON on `/v1/logs`, `/v1/traces`, `/v1/metrics`.

use super::admission::Admission;
use super::body::{self, Encoding};
use super::{Calls, Consumer, Refusal, RpcStatus, grpc};
use crate::config::settings::Cors;
use crate::otlp::{Signal, json};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use prost::Message;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

/// The paths of the three signals, logs first, as routes; other methods are answered 405 with `Allow`, other paths 404.
pub fn routes<C: Consumer>(consumer: C, request_bytes_max: usize, admission: Admission, paths: &[String; 3]) -> Router {
    let calls = Calls { consumer, limit: request_bytes_max, admission };
    let mut router = Router::new();
    for (signal, path) in Signal::ALL.into_iter().zip(paths) {
        let handler =
            move |State(calls): State<Calls<C>>, request: Request| async move { answer(&calls, signal, request).await };
        // Some write the path of their endpoint with a slash at its end.
        router = router.route(&format!("{path}/"), post(handler));
        router = router.route(path, post(handler));
    }
    let words = format!("nothing is here; OTLP goes to {}", paths.join(", "));
    let elsewhere = move |request: Request| async move { unknown(&request, StatusCode::NOT_FOUND, &words) };
    router.fallback(elsewhere).method_not_allowed_fallback(other_method).with_state(calls)
}

async fn answer<C: Consumer>(calls: &Calls<C>, signal: Signal, request: Request) -> Response {
    let Some(format) = format_of(&request) else {
        calls.consumer.refused(&Refusal::ContentType);
        let mut response = refuse(&Refusal::ContentType, Format::Protobuf);
        response
            .headers_mut()
            .insert(header::ACCEPT, HeaderValue::from_static("application/x-protobuf, application/json"));
        return response;
    };
    match take(calls, signal, format, request).await {
        Ok(()) => respond(StatusCode::OK, format, Bytes::from_static(if format == Format::Json { b"{}" } else { b"" })),
        Err(refusal) => {
            calls.consumer.refused(&refusal);
            refuse(&refusal, format)
        }
    }
}

async fn take<C: Consumer>(calls: &Calls<C>, signal: Signal, format: Format, request: Request) -> Result<(), Refusal> {
    let mut admitted = calls.admission.admit()?;
    let encoding = Encoding::of(request.headers().get(header::CONTENT_ENCODING))?;
    let body = body::read(request.into_body(), calls.limit, &mut admitted, |_| None).await?;
    admitted.start()?;
    let bytes = body::decompress(encoding, body, calls.limit, &mut admitted)?;
    let message = match format {
        Format::Protobuf => bytes,
        Format::Json => {
            let message = json::to_protobuf(signal, &bytes).map_err(|error| Refusal::Malformed(error.to_string()))?;
            // Usually shorter than its JSON, and never longer than the reader's own limit.
            admitted.grow(message.len())?;
            Bytes::from(message)
        }
    };
    calls.consumer.consume(signal, message).await
}

/// Parameters such as `; charset=utf-8` are let pass.
fn format_of(request: &Request) -> Option<Format> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    match value.split(';').next()?.trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Some(Format::Protobuf),
        "application/json" => Some(Format::Json),
        _ => None,
    }
}

fn refuse(refusal: &Refusal, format: Format) -> Response {
    let status = match refusal {
        Refusal::Malformed(_) | Refusal::EncodingUnnamed => StatusCode::BAD_REQUEST,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Overloaded { .. } | Refusal::NotKept(_) | Refusal::ShuttingDown | Refusal::Broken(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Refusal::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        Refusal::Disabled => StatusCode::NOT_FOUND,
        Refusal::Encoding(_) | Refusal::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    let mut response = refuse_with(status, grpc::rpc_status(refusal), format);
    if let Some(after) = refusal.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}

/// The answer to a request that does not show who sends it.
pub(super) fn denied(request: &Request, refusal: &Refusal) -> Response {
    refuse(refusal, format_of(request).unwrap_or(Format::Protobuf))
}

/// Lets pages send from a browser. Nothing here goes by a cookie, so what a browser adds by itself opens nothing.
pub fn open_to_pages(router: Router, cors: &Cors) -> Router {
    let origins = cors.origins.clone();
    let is_let_in = move |origin: &HeaderValue, _: &http::request::Parts| {
        origins.iter().any(|pattern| is_origin(origin.as_bytes(), pattern))
    };
    // Those that pages may always send with OTLP, as the collector has it.
    let mut headers = vec![header::CONTENT_TYPE, header::ACCEPT, HeaderName::from_static("x-requested-with")];
    headers.extend(cors.headers.iter().cloned());
    let mut layer = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_let_in))
        .allow_methods([http::Method::POST])
        .allow_headers(if cors.any_header { AllowHeaders::mirror_request() } else { headers.into() })
        .expose_headers(cors.exposed.clone())
        .allow_credentials(true);
    if let Some(age) = cors.max_age {
        layer = layer.max_age(age);
    }
    router.layer(layer)
}

/// True when an origin is the one that is written, where `*` is any part.
fn is_origin(origin: &[u8], pattern: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, after)) => {
            origin.len() >= before.len() + after.len()
                && origin.starts_with(before.as_bytes())
                && origin.ends_with(after.as_bytes())
        }
        None => origin == pattern.as_bytes(),
    }
}

/// An answer whose body says why.
fn refuse_with(status: StatusCode, body: RpcStatus, format: Format) -> Response {
    let body = match format {
        Format::Protobuf => Bytes::from(body.encode_to_vec()),
        Format::Json => Bytes::from(serde_json::json!({"code": body.code, "message": body.message}).to_string()),
    };
    respond(status, format, body)
}

async fn other_method(request: Request) -> Response {
    unknown(&request, StatusCode::METHOD_NOT_ALLOWED, "only POST is understood here")
}

/// Errors of every kind carry a `google.rpc.Status` (OTLP 1.11.0, "Failures").
fn unknown(request: &Request, status: StatusCode, message: &str) -> Response {
    let body = RpcStatus { code: tonic::Code::Unimplemented as i32, message: message.to_owned(), details: Vec::new() };
    refuse_with(status, body, format_of(request).unwrap_or(Format::Protobuf))
}

fn respond(status: StatusCode, format: Format, body: Bytes) -> Response {
    let mut response = Response::new(axum::body::Body::from(body));
    *response.status_mut() = status;
    let content_type = match format {
        Format::Protobuf => HeaderValue::from_static("application/x-protobuf"),
        Format::Json => HeaderValue::from_static("application/json"),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
