//! OTLP over gRPC to a backend: a unary call framed by ourselves, so that bytes stay bytes.

use super::StartError;
use super::error::{Delivered, DeliveryError, Then, delivered, retry_after, then_of_grpc, then_of_http};
use super::http::{ANSWER_BYTES_MAX, compress, encoding_name, endpoint, headers, timed_out, unreachable, words};
use super::queue::Deliver;
use super::tls::{HttpClient, client};
use crate::config::settings::{Compression, Remote};
use crate::otlp::Signal;
use bytes::{BufMut, Bytes, BytesMut};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tonic_types::StatusExt;

/// A client for one backend.
pub struct Client {
    name: String,
    client: HttpClient,
    scheme: Scheme,
    authority: Authority,
    headers: HeaderMap,
    compression: Compression,
    timeout: Duration,
    line: usize,
}

impl Client {
    /// A client that has no connection yet.
    ///
    /// # Errors
    /// When the endpoint is none, or a certificate cannot be used.
    pub fn new(name: &str, remote: &Remote) -> Result<Client, StartError> {
        let wrong = |problem: &str| endpoint(name, &remote.endpoint, problem, remote.line);
        let (scheme, rest) = match remote.endpoint.split_once("://") {
            Some(("http" | "grpc", rest)) => (Scheme::HTTP, rest),
            Some(("https" | "grpcs", rest)) => (Scheme::HTTPS, rest),
            Some(_) => return Err(wrong("the scheme is neither http nor https")),
            None if remote.tls.insecure => (Scheme::HTTP, remote.endpoint.as_str()),
            None => (Scheme::HTTPS, remote.endpoint.as_str()),
        };
        let authority = rest.trim_end_matches('/');
        let authority: Authority = authority.parse().map_err(|_| wrong("it is not HOST:PORT"))?;
        if authority.port().is_none() {
            return Err(wrong("it names no port; 4317 is usual"));
        }
        let mut headers = headers(remote);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
        if let Some(encoding) = encoding_name(remote.compression) {
            headers.insert("grpc-encoding", encoding);
        }
        if let Ok(timeout) = HeaderValue::from_str(&format!("{}m", remote.timeout.as_millis().min(99_999_999))) {
            headers.insert("grpc-timeout", timeout);
        }
        let client = client(name, remote, true)?;
        Ok(Client {
            name: name.to_owned(),
            client,
            scheme,
            authority,
            headers,
            compression: remote.compression,
            timeout: remote.timeout,
            line: remote.line,
        })
    }

    async fn send(&self, signal: Signal, request: Bytes) -> Result<Delivered, DeliveryError> {
        let url = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(signal.grpc_path());
        let url = url.build().map_err(|error| DeliveryError {
            text: error.to_string(),
            reason: "encoding",
            then: Then::Drop,
        })?;
        let mut call = http::Request::new(Full::new(framed(self.compression, &request)));
        *call.method_mut() = http::Method::POST;
        *call.uri_mut() = url.clone();
        *call.version_mut() = http::Version::HTTP_2;
        *call.headers_mut() = self.headers.clone();
        let whole = async {
            let answer =
                self.client.request(call).await.map_err(|error| unreachable(&self.name, &url, &error, self.line))?;
            let (head, body) = answer.into_parts();
            let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            Ok::<_, DeliveryError>((head, collected))
        };
        let (head, collected) = match tokio::time::timeout(self.timeout, whole).await {
            Ok(result) => result?,
            Err(_) => return Err(timed_out(&self.name, self.authority.as_str(), self.timeout)),
        };
        if !head.status.is_success() {
            // A proxy in between, not a gRPC server.
            let after = retry_after(head.headers.get(header::RETRY_AFTER));
            let text = format!(
                "{} answered HTTP {} to a gRPC call; is it a gRPC endpoint? (line {})",
                self.authority, head.status, self.line
            );
            return Err(DeliveryError { text, reason: "refused", then: then_of_http(head.status.as_u16(), after) });
        }
        let (trailers, body) = match collected {
            Ok(collected) => (collected.trailers().cloned(), collected.to_bytes()),
            Err(error) => {
                let text = format!("the answer of {} broke off: {error}", self.authority);
                return Err(DeliveryError { text, reason: "unreachable", then: Then::Retry(None) });
            }
        };
        let status = tonic::Status::from_header_map(&head.headers)
            .or_else(|| trailers.as_ref().and_then(tonic::Status::from_header_map));
        match status {
            Some(status) if status.code() == tonic::Code::Ok => {
                let told = delivered(body.get(5..).unwrap_or_default());
                Ok(Delivered { message: words(&told.message, &self.headers), ..told })
            }
            Some(status) => Err(self.refused(signal, &status)),
            None => {
                let text = format!(
                    "{} answered without a gRPC status; is it a gRPC endpoint? (line {})",
                    self.authority, self.line
                );
                Err(DeliveryError { text, reason: "unreachable", then: Then::Retry(None) })
            }
        }
    }

    fn refused(&self, signal: Signal, status: &tonic::Status) -> DeliveryError {
        let retry_info = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let words = words(status.message(), &self.headers);
        let advice = match status.code() {
            tonic::Code::Unimplemented => {
                format!("; the backend takes no {}: give them another one than that of {}", signal.id(), self.name)
            }
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
                format!("; check exporters::{}::headers", self.name)
            }
            _ => String::new(),
        };
        let text = format!("{} answered {:?} {words}{advice}", self.authority, status.code());
        DeliveryError { text, reason: "refused", then: then_of_grpc(status.code(), status.message(), retry_info) }
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

/// Flag, length, message.
fn framed(compression: Compression, request: &Bytes) -> Bytes {
    let message = compress(compression, request);
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(u8::from(compression != Compression::None));
    // A request is at most `max_request_bytes`, 64 MiB.
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(&message);
    out.freeze()
}
