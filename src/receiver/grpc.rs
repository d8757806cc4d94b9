//! OTLP over gRPC: unary calls, framed by ourselves so that the bytes of a request stay bytes and decompression is
//! bounded while it runs (tonic would decode, or give an error that means another code).

use super::admission::{Admission, Admitted};
use super::body::{self, Encoding};
use super::{Calls, Consumer, Refusal, RpcStatus};
use crate::otlp::Signal;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::StreamBody;
use tonic_types::{ErrorDetails, StatusExt};

/// Flag and length before each message (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX_BYTES: usize = 5;
/// Encodings that senders may use.
const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,deflate,zlib,snappy,lz4");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const UNIMPLEMENTED: HeaderValue = HeaderValue::from_static("12");

/// The three services as routes, beside `others`, which are services of these names.
pub fn routes<C: Consumer>(
    consumer: C,
    request_bytes_max: usize,
    admission: Admission,
    others: Router,
    names: &[&str],
) -> Router {
    let calls = Calls { consumer, limit: request_bytes_max, admission };
    let mut router = Router::new();
    for signal in Signal::ALL {
        let handler =
            move |State(calls): State<Calls<C>>, request: Request| async move { answer(&calls, signal, request).await };
        router = router.route(signal.grpc_path(), post(handler));
    }
    let served = served(names);
    let explain = move |response: Response| std::future::ready(explained(response, &served));
    let router = router.fallback(elsewhere::<C>).with_state(calls).merge(others.reset_fallback());
    router.layer(axum::middleware::map_response(explain))
}

/// What a caller of something else is told.
fn served(names: &[&str]) -> HeaderValue {
    let otlp = Signal::ALL.map(|signal| signal.grpc_path().trim_start_matches('/'));
    let words = format!(
        "nothing is served under this name; OTLP is taken by {}, and beside them are {}",
        otlp.join(", "),
        names.join(", ")
    );
    // ASCII without percent signs, so it needs no escape.
    HeaderValue::try_from(words).unwrap_or_else(|_| HeaderValue::from_static("nothing is served under this name"))
}

/// Unknown services come from [`elsewhere`], unknown methods from the service; neither has words.
fn explained(mut response: Response, served: &HeaderValue) -> Response {
    let headers = response.headers_mut();
    let is_unknown = headers.get("grpc-status").is_some_and(|code| code.as_bytes() == UNIMPLEMENTED.as_bytes());
    if is_unknown && !headers.contains_key("grpc-message") {
        headers.insert("grpc-message", served.clone());
    }
    response
}

async fn elsewhere<C: Consumer>(State(calls): State<Calls<C>>, request: Request) -> Response {
    if !is_grpc(&request) {
        return no_grpc(&calls);
    }
    let mut response = plain(StatusCode::OK);
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response.headers_mut().insert("grpc-status", UNIMPLEMENTED);
    response
}

/// Mostly OTLP over HTTP that took the wrong port: a status of gRPC would be 200 and look like success to its sender.
fn no_grpc<C: Consumer>(calls: &Calls<C>) -> Response {
    calls.consumer.refused(&Refusal::ContentType);
    let words = "this listener takes gRPC (content type application/grpc); OTLP over HTTP has a listener of its own, on port 4318 unless configured otherwise\n";
    let mut response = Response::new(axum::body::Body::from(words));
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

async fn answer<C: Consumer>(calls: &Calls<C>, signal: Signal, request: Request) -> Response {
    if !is_grpc(&request) {
        return no_grpc(calls);
    }
    match take(calls, signal, request).await {
        // All three response messages are empty on full success.
        Ok(()) => success(),
        Err(refusal) => {
            calls.consumer.refused(&refusal);
            failure(&refusal)
        }
    }
}

/// gRPC over HTTP/2, "Content-Type": `application/grpc`, alone or `+proto`; gRPC-Web and other codecs are not read.
fn is_grpc(request: &Request) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    ["application/grpc", "application/grpc+proto"].iter().any(|known| essence.eq_ignore_ascii_case(known))
}

async fn take<C: Consumer>(calls: &Calls<C>, signal: Signal, request: Request) -> Result<(), Refusal> {
    let mut admitted = calls.admission.admit()?;
    let encoding = Encoding::of(request.headers().get("grpc-encoding"))?;
    let limit = calls.limit.saturating_add(PREFIX_BYTES);
    let framed = body::read(request.into_body(), limit, &mut admitted, announced).await?;
    admitted.start()?;
    let message = unframe(framed, encoding, calls.limit, &mut admitted)?;
    calls.consumer.consume(signal, message).await
}

/// How long the body of a call will be, by the prefix of its message.
fn announced(head: &[u8]) -> Option<usize> {
    let [_, length @ ..] = head.first_chunk::<PREFIX_BYTES>()?;
    usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_add(PREFIX_BYTES)
}

/// The one message of a unary call.
fn unframe(mut framed: Bytes, encoding: Encoding, limit: usize, admitted: &mut Admitted) -> Result<Bytes, Refusal> {
    if framed.len() < PREFIX_BYTES {
        return Err(Refusal::Malformed("the call holds no message".to_owned()));
    }
    let flag = framed.get_u8();
    let length = framed.get_u32() as usize;
    if length > limit {
        return Err(Refusal::TooLarge(limit));
    }
    if framed.len() != length {
        return Err(Refusal::Malformed(format!("the message announces {length} bytes and has {}", framed.len())));
    }
    match (flag, encoding) {
        (0, _) => Ok(framed),
        (1, Encoding::Identity) => Err(Refusal::EncodingUnnamed),
        (1, encoding) => body::decompress(encoding, framed, limit, admitted),
        _ => Err(Refusal::Malformed(format!("the message has the unknown flag {flag}"))),
    }
}

fn success() -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [
        Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from_static(&[0; PREFIX_BYTES]))),
        Ok(http_body::Frame::trailers(trailers)),
    ];
    let mut response = Response::new(axum::body::Body::new(StreamBody::new(tokio_stream::iter(frames))));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

/// The answer to a request that does not show who sends it.
pub(super) fn denied(request: &Request, refusal: &Refusal) -> Response {
    let mut response = failure(refusal);
    if !is_grpc(request) {
        // Whoever does not speak gRPC must not take this for success.
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

/// An answer of headers alone.
fn failure(refusal: &Refusal) -> Response {
    let status = status_of(refusal);
    let mut response = plain(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, GRPC);
    if matches!(refusal, Refusal::Encoding(_)) {
        headers.insert(HeaderName::from_static("grpc-accept-encoding"), ACCEPTED);
    }
    // tonic's own rules for the three headers: percent-encoding, base64.
    if status.add_header(headers).is_err() {
        headers.insert("grpc-status", HeaderValue::from_static("13"));
    }
    response
}

/// The gRPC status of a refusal.
pub fn status_of(refusal: &Refusal) -> tonic::Status {
    let message = refusal.to_string();
    let code = code_of(refusal);
    match refusal.retry_after() {
        Some(after) => tonic::Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(after))),
        None => tonic::Status::new(code, message),
    }
}

fn code_of(refusal: &Refusal) -> tonic::Code {
    match refusal {
        Refusal::Malformed(_) => tonic::Code::InvalidArgument,
        Refusal::TooLarge(_) => tonic::Code::ResourceExhausted,
        // gRPC's own rule for it, where OTLP has none ("Compressed-Flag" in its compression.md).
        Refusal::EncodingUnnamed => tonic::Code::Internal,
        Refusal::Unauthenticated(_) => tonic::Code::Unauthenticated,
        Refusal::Overloaded { .. } | Refusal::NotKept(_) | Refusal::ShuttingDown | Refusal::Broken(_) => {
            tonic::Code::Unavailable
        }
        Refusal::Disabled | Refusal::Encoding(_) | Refusal::ContentType => tonic::Code::Unimplemented,
    }
}

/// `google.rpc.Status` of a refusal.
pub(super) fn rpc_status(refusal: &Refusal) -> RpcStatus {
    RpcStatus { code: code_of(refusal) as i32, message: refusal.to_string(), details: Vec::new() }
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = status;
    response
}
