//! A backend that answers by a script and keeps what it was sent.

use super::certificates::Files;
use super::client::{frame, unframe};
use super::requests::{gunzip, unzstd};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

/// One answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status, headers, body.
    Http(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Code and, for some, after how long to come back.
    Grpc(Code, Option<Duration>),
    /// OK with this message.
    GrpcOk(Vec<u8>),
    /// Code and words.
    GrpcSays(Code, String),
    /// A code that gRPC does not have.
    GrpcUnknownCode(&'static str),
    /// Too large, as the protocol says it, for a longer message; success for others.
    TooLargeAbove(usize),
    /// One of so many is refused for the moment, at random; success for others.
    OneIn(u32),
    /// The connection ends without an answer.
    Close,
    /// Nothing, for longer than any test runs.
    Hang,
}

impl Reply {
    pub(crate) fn http(status: u16) -> Reply {
        Reply::Http(status, Vec::new(), Vec::new())
    }
}

/// One request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// As it came, frame and compression included.
    pub(crate) raw: Bytes,
    /// It was answered with success for want of another script.
    pub(crate) taken: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The message, taken out of its frame and decompressed by what the headers say.
    pub(crate) fn message(&self) -> Vec<u8> {
        let is_grpc = self.header("content-type").starts_with("application/grpc");
        let (flag, bytes) = if is_grpc { unframe(self.raw.clone()) } else { (1, self.raw.clone()) };
        let encoding = self.header(if is_grpc { "grpc-encoding" } else { "content-encoding" });
        match (flag, encoding) {
            (0, _) | (_, "" | "identity") => bytes.to_vec(),
            (_, "gzip") => gunzip(&bytes),
            (_, "zstd") => unzstd(&bytes),
            (_, other) => panic!("unknown encoding {other}"),
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<VecDeque<Reply>>,
    after: Mutex<Option<Reply>>,
    seen: Mutex<Vec<Seen>>,
}

/// A listening backend; it ends with the test.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    /// Answers by the script, then success.
    pub(crate) async fn start(script: Vec<Reply>) -> Backend {
        Backend::listen(script, None, None).await
    }

    /// Answers the same for ever.
    pub(crate) async fn always(reply: Reply) -> Backend {
        Backend::listen(Vec::new(), Some(reply), None).await
    }

    /// Answers success over TLS.
    pub(crate) async fn tls(files: &Files) -> Backend {
        Backend::listen(Vec::new(), None, Some(acceptor(files))).await
    }

    /// Answers success at this address, which was free a moment ago.
    pub(crate) async fn at(address: SocketAddr) -> Backend {
        Backend::serve(TcpListener::bind(address).await.expect("the port"), Vec::new(), None, None)
    }

    async fn listen(script: Vec<Reply>, after: Option<Reply>, tls: Option<tokio_rustls::TlsAcceptor>) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Backend::serve(listener, script, after, tls)
    }

    fn serve(
        listener: TcpListener,
        script: Vec<Reply>,
        after: Option<Reply>,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Backend {
        let address = listener.local_addr().expect("an address");
        let shared =
            Arc::new(Shared { script: Mutex::new(script.into()), after: Mutex::new(after), ..Shared::default() });
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Backend { address, shared, task }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("unbroken").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().expect("unbroken").len()
    }

    /// Bodies of all records that came, those of refused requests as well.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let logs = self.seen().into_iter().filter(|seen| seen.path.to_ascii_lowercase().contains("logs"));
        logs.flat_map(|seen| super::requests::bodies(&seen.message())).collect()
    }

    /// Bodies of the records that it took, those of refused requests not.
    pub(crate) fn taken_bodies(&self) -> Vec<String> {
        let logs = self.seen().into_iter().filter(|seen| seen.taken && seen.path.to_ascii_lowercase().contains("logs"));
        logs.flat_map(|seen| super::requests::bodies(&seen.message())).collect()
    }

    /// The same of what came since this was asked last, which `read` counts.
    pub(crate) fn taken_since(&self, read: &mut usize) -> Vec<String> {
        let new = self.shared.seen.lock().expect("unbroken").get(*read..).unwrap_or_default().to_vec();
        *read += new.len();
        let logs = new.into_iter().filter(|seen| seen.taken && seen.path.to_ascii_lowercase().contains("logs"));
        logs.flat_map(|seen| super::requests::bodies(&seen.message())).collect()
    }

    /// Ends with all its connections; the bodies of the records that it took.
    pub(crate) async fn end(mut self) -> Vec<String> {
        self.task.abort();
        let _ = (&mut self.task).await;
        // Its connections end with the set that was in that task, when they are looked at next.
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.taken_bodies()
    }

    /// From now on this.
    pub(crate) fn answer(&self, reply: Reply) {
        *self.shared.after.lock().expect("unbroken") = Some(reply);
    }

    /// From now on success.
    pub(crate) fn recover(&self) {
        *self.shared.after.lock().expect("unbroken") = None;
    }
}

async fn accept(listener: TcpListener, tls: Option<tokio_rustls::TlsAcceptor>, shared: Arc<Shared>) {
    // Connections end with this set, so that a dropped backend is a dead one.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            match tls {
                None => serve(TokioIo::new(stream), shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(TokioIo::new(stream), shared).await;
                    }
                }
            }
        });
    }
}

async fn serve<S>(stream: S, shared: Arc<Shared>)
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let service = hyper::service::service_fn(move |request| answer(Arc::clone(&shared), request));
    // Clients that go away are no concern of a fake.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
}

type Answer = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
    let (head, body) = request.into_parts();
    let raw = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let is_grpc =
        head.headers.get("content-type").is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let content_type = head.headers.get("content-type").cloned();
    let scripted = shared.script.lock().expect("unbroken").pop_front();
    let reply = scripted.or_else(|| shared.after.lock().expect("unbroken").clone());
    let reply = match reply {
        Some(Reply::TooLargeAbove(bytes_max)) if raw.len() <= bytes_max => None,
        Some(Reply::OneIn(many)) if rand::random_range(0..many) > 0 => None,
        Some(Reply::OneIn(_)) if is_grpc => Some(Reply::Grpc(Code::Unavailable, None)),
        Some(Reply::OneIn(_)) => Some(Reply::http(503)),
        Some(Reply::TooLargeAbove(_)) if is_grpc => Some(Reply::Grpc(Code::ResourceExhausted, None)),
        Some(Reply::TooLargeAbove(_)) => Some(Reply::http(413)),
        other => other,
    };
    let seen = Seen { path: head.uri.path().to_owned(), headers: head.headers, raw, taken: reply.is_none() };
    shared.seen.lock().expect("unbroken").push(seen);
    match reply {
        None if is_grpc => Ok(grpc(&tonic::Status::ok(""), &[])),
        None => Ok(plain(200, content_type, Vec::new(), Vec::new())),
        Some(Reply::Http(status, headers, body)) => Ok(plain(status, content_type, headers, body)),
        Some(Reply::GrpcOk(message)) => Ok(grpc(&tonic::Status::ok(""), &message)),
        Some(Reply::Grpc(code, None)) => {
            // The words of grpc-go: without them the code may be that of a quota.
            let too_large = "grpc: received message larger than max (5000000 vs. 4194304)";
            let words = if code == Code::ResourceExhausted { too_large } else { "as scripted" };
            Ok(grpc(&tonic::Status::new(code, words), &[]))
        }
        Some(Reply::Grpc(code, Some(delay))) => {
            let details = ErrorDetails::with_retry_info(Some(delay));
            Ok(grpc(&tonic::Status::with_error_details(code, "as scripted", details), &[]))
        }
        Some(Reply::GrpcSays(code, words)) => Ok(grpc(&tonic::Status::new(code, words), &[])),
        Some(Reply::GrpcUnknownCode(code)) => {
            let mut answer = plain(200, content_type, Vec::new(), Vec::new());
            answer.headers_mut().insert("grpc-status", HeaderValue::from_static(code));
            Ok(answer)
        }
        // Told apart above.
        Some(Reply::TooLargeAbove(_) | Reply::OneIn(_)) => Ok(plain(413, content_type, Vec::new(), Vec::new())),
        Some(Reply::Close) => Err(std::io::Error::other("as scripted")),
        Some(Reply::Hang) => std::future::pending().await,
    }
}

fn plain(
    status: u16,
    content_type: Option<HeaderValue>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
) -> Answer {
    let mut answer = Response::new(http_body_util::Full::new(Bytes::from(body)).boxed_unsync());
    *answer.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    if let Some(content_type) = content_type {
        answer.headers_mut().insert("content-type", content_type);
    }
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).expect("a value");
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
    answer
}

/// A message, then the status in the trailers; an error is headers alone, as servers send it.
fn grpc(status: &tonic::Status, message: &[u8]) -> Answer {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).expect("a status");
    let mut answer = if status.code() == Code::Ok {
        let frames = [Ok(Frame::data(frame(0, message))), Ok(Frame::trailers(trailers))];
        Response::new(StreamBody::new(tokio_stream::iter(frames)).boxed_unsync())
    } else {
        let mut answer = Response::new(http_body_util::Empty::new().boxed_unsync());
        answer.headers_mut().extend(trailers);
        answer
    };
    answer.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    answer
}

fn acceptor(files: &Files) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}
