//! OTLP over HTTP: protobuf and JSON on `/v1/logs`, `/v1/traces`, `/v1/metrics`.

use super::admission::Admission;
use super::body::{self, Encoding};
use super::{Calls, Consumer, Refusal, RpcStatus, grpc};
use crate::otlp::{Signal, json};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use prost::Message;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

/// The three paths as routes; other methods are answered 405 with `Allow`, other paths 404.
pub fn routes<C: Consumer>(consumer: C, request_bytes_max: usize, admission: Admission) -> Router {
    let calls = Calls { consumer, limit: request_bytes_max, admission };
    let mut router = Router::new();
    for signal in Signal::ALL {
        let handler =
            move |State(calls): State<Calls<C>>, request: Request| async move { answer(&calls, signal, request).await };
        // Some write the path of their endpoint with a slash at its end.
        router = router.route(&format!("{}/", signal.http_path()), post(handler));
        router = router.route(signal.http_path(), post(handler));
    }
    router.fallback(other_path).method_not_allowed_fallback(other_method).with_state(calls)
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
    let body = body::read(request.into_body(), calls.limit, &mut admitted).await?;
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
        Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Overloaded { .. } | Refusal::ShuttingDown | Refusal::Broken(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Disabled => StatusCode::NOT_FOUND,
        Refusal::Encoding(_) | Refusal::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    let mut response = refuse_with(status, grpc::rpc_status(refusal), format);
    if let Some(after) = refusal.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}

/// An answer whose body says why.
fn refuse_with(status: StatusCode, body: RpcStatus, format: Format) -> Response {
    let body = match format {
        Format::Protobuf => Bytes::from(body.encode_to_vec()),
        Format::Json => Bytes::from(serde_json::json!({"code": body.code, "message": body.message}).to_string()),
    };
    respond(status, format, body)
}

async fn other_path(request: Request) -> Response {
    unknown(&request, StatusCode::NOT_FOUND, "nothing is here; OTLP goes to /v1/logs, /v1/traces and /v1/metrics")
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
