//! Raw clients: HTTP/1.1, and gRPC as HTTP/2 with frames of our own making.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic_types::StatusExt;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The gRPC status out of trailers or, where the answer is headers alone, out of these.
    pub(crate) fn grpc(&self) -> tonic::Status {
        let status = tonic::Status::from_header_map(&self.trailers);
        let status = status.or_else(|| tonic::Status::from_header_map(&self.headers));
        status.unwrap_or_else(|| panic!("no gRPC status: {self:?}"))
    }

    pub(crate) fn retry_info(&self) -> Option<Duration> {
        self.grpc().get_details_retry_info().and_then(|info| info.retry_delay)
    }

    /// The message of a gRPC answer without its frame.
    pub(crate) fn message(&self) -> Bytes {
        self.body.slice(5.min(self.body.len())..)
    }
}

fn request(method: &Method, url: String, headers: &[(&str, &str)], body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method.clone()).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body)).expect("a request")
}

async fn whole(answer: http::Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a body");
    let trailers = body.trailers().cloned().unwrap_or_default();
    Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers }
}

/// One request over HTTP/1.1.
pub(crate) async fn http1(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    http1_over(TcpStream::connect(address).await.expect("connects"), method, path, headers, body).await
}

/// The same over a connection that is there.
pub(crate) async fn http1_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let mut all = vec![("host", "test")];
    all.extend_from_slice(headers);
    whole(sender.send_request(request(&method, path.to_owned(), &all, body.into())).await.expect("an answer")).await
}

/// `POST` over HTTP/1.1 with a content type.
pub(crate) async fn post(address: SocketAddr, path: &str, content_type: &str, body: impl Into<Bytes>) -> Answer {
    http1(address, Method::POST, path, &[("content-type", content_type)], body).await
}

/// One request over HTTP/2.
pub(crate) async fn http2(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    http2_over(TcpStream::connect(address).await.expect("connects"), method, path, headers, body).await
}

/// The same over a connection that is there.
pub(crate) async fn http2_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let url = format!("http://test{path}");
    whole(sender.send_request(request(&method, url, headers, body.into())).await.expect("an answer")).await
}

/// A unary call with these headers beside the usual ones; `framed` is the body as it is.
pub(crate) async fn call_raw(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    framed: impl Into<Bytes>,
) -> Answer {
    let mut all = vec![("te", "trailers")];
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        all.push(("content-type", "application/grpc"));
    }
    all.extend_from_slice(headers);
    http2(address, Method::POST, path, &all, framed).await
}

/// A unary call with one message as it is.
pub(crate) async fn call(address: SocketAddr, path: &str, message: &[u8]) -> Answer {
    call_raw(address, path, &[], frame(0, message)).await
}

/// Flag, length, message.
pub(crate) fn frame(flag: u8, message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(flag);
    out.put_u32(u32::try_from(message.len()).expect("a short message"));
    out.put_slice(message);
    out.freeze()
}

/// Flag and message of the one frame.
pub(crate) fn unframe(mut framed: Bytes) -> (u8, Bytes) {
    let flag = framed.get_u8();
    let length = framed.get_u32() as usize;
    assert_eq!(framed.len(), length, "one whole frame");
    (flag, framed)
}
