//! OTLP over gRPC to a backend: a unary call framed by ourselves, so that bytes stay bytes.

use super::StartError;
use super::compress::{Protocol, compress, encoding_name};
use super::error::{Delivered, DeliveryError, Then, delivered, retry_after, then_of_grpc, then_of_http};
use super::http::{ANSWER_BYTES_MAX, endpoint_of, headers, timed_out, unreachable, words};
use super::pieces::Pieces;
use super::queue::Deliver;
use super::tls::{Connections, client};
use crate::config::endpoint::below;
use crate::config::settings::{Compression, Endpoint, Remote};
use crate::otlp::Signal;
use bytes::{BufMut, Bytes, BytesMut};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Limited};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tonic_types::StatusExt;

/// A client for one backend.
pub struct Client {
    name: String,
    connections: Connections,
    endpoints: [Option<Endpoint>; 3],
    headers: HeaderMap,
    compression: Compression,
    timeout: Duration,
}

impl Client {
    /// A client that has no connection yet.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn new(name: &str, remote: &Remote) -> Result<Client, StartError> {
        let mut headers = headers(remote)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
        if let Some(encoding) = encoding_name(remote.compression) {
            headers.insert("grpc-encoding", encoding);
        }
        if let Ok(timeout) = HeaderValue::from_str(&format!("{}m", remote.timeout.as_millis().min(99_999_999))) {
            headers.insert("grpc-timeout", timeout);
        }
        let connections = client(name, remote, true)?;
        Ok(Client {
            name: name.to_owned(),
            connections,
            endpoints: remote.endpoints.clone(),
            headers,
            compression: remote.compression,
            timeout: remote.timeout,
        })
    }

    async fn send(&self, signal: Signal, request: Bytes) -> Result<Delivered, DeliveryError> {
        let endpoint = endpoint_of(&self.endpoints, &self.name, signal)?;
        let url = below(&endpoint.url, signal.grpc_path()).map_err(|error| DeliveryError {
            text: error.to_string(),
            reason: "encoding",
            then: Then::Drop,
        })?;
        let authority = endpoint.url.authority().map_or("", Authority::as_str);
        let mut call = http::Request::new(framed(self.compression, &request));
        *call.method_mut() = http::Method::POST;
        *call.uri_mut() = url;
        *call.version_mut() = http::Version::HTTP_2;
        *call.headers_mut() = self.headers.clone();
        let (number, client) = self.connections.current();
        let whole = async {
            let answer = client.request(call).await.map_err(|error| unreachable(&self.name, endpoint, &error))?;
            let (head, body) = answer.into_parts();
            let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            Ok::<_, DeliveryError>((head, collected))
        };
        let (head, collected) = match tokio::time::timeout(self.timeout, whole).await {
            Ok(result) => result?,
            Err(_) => {
                self.connections.renew(number);
                return Err(timed_out(&self.name, authority, self.timeout));
            }
        };
        if !head.status.is_success() {
            // A proxy in between, not a gRPC server.
            let after = retry_after(head.headers.get(header::RETRY_AFTER));
            let text = format!(
                "{authority} answered HTTP {} to a gRPC call; is {} a gRPC endpoint?",
                head.status, endpoint.place
            );
            return Err(DeliveryError { text, reason: "refused", then: then_of_http(head.status.as_u16(), after) });
        }
        let (trailers, body) = match collected {
            Ok(collected) => (collected.trailers().cloned(), collected.to_bytes()),
            Err(error) => {
                let text = format!("the answer of {authority} broke off: {error}");
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
            Some(status) => Err(self.refused(authority, signal, &status)),
            None => {
                let text =
                    format!("{authority} answered without a gRPC status; is {} a gRPC endpoint?", endpoint.place);
                Err(DeliveryError { text, reason: "unreachable", then: Then::Retry(None) })
            }
        }
    }

    fn refused(&self, authority: &str, signal: Signal, status: &tonic::Status) -> DeliveryError {
        let retry_info = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let words = words(status.message(), &self.headers);
        let advice = match status.code() {
            tonic::Code::Unimplemented => {
                format!("; the backend takes no {}: give them another one than that of {}", signal.id(), self.name)
            }
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
                format!("; check exporters::{}::headers or auth", self.name)
            }
            _ => String::new(),
        };
        let text = format!("{authority} answered {:?} {words}{advice}", status.code());
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
fn framed(compression: Compression, request: &Bytes) -> Pieces {
    let message = compress(compression, Protocol::Grpc, request);
    let mut head = BytesMut::with_capacity(5);
    head.put_u8(u8::from(compression != Compression::None));
    // A request is at most `max_request_bytes`, 64 MiB.
    head.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    Pieces::new(head.freeze(), message)
}
