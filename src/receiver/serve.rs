//! Listening sockets: bound first, so that a taken port is one clear sentence, then served until shutdown.

use super::opening::{self, Opened};
use super::places::{Place, Places};
use super::socket::{Address, Socket, Stream};
use crate::config::settings::{Keepalive, Listener, ServerTls};
use crate::pem::{self, PemError};
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Connections at once: more than a machine's agents, fewer than its descriptors.
const CONNECTIONS_MAX: usize = 4_096;
/// Those of one address, which may be a proxy that many senders are behind: nobody takes them all.
const OF_ADDRESS_MAX: usize = 1_024;
/// A connection must say which protocol it speaks within this time, after its TLS handshake where there is one.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request head over HTTP/1.1: names and tokens of tens of KiB fit. HTTP/2 has hyper's 16 KiB.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// A request head must be whole within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A TLS handshake must be done within this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that run at shutdown may end within this time.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 streams of one connection; each is one request that is in memory.
const STREAMS_MAX: u32 = 256;
/// Flow-control windows: one request of the usual size (355 KB) fits without a round trip.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has it.
    #[error("{endpoint} is taken by another program: stop it (`ss {how}` names it), or change `{key}`{line}")]
    Taken {
        /// As configured.
        endpoint: String,
        /// The key.
        key: String,
        /// ` (line N)`, empty without a file.
        line: String,
        /// Options of `ss` that show it.
        how: &'static str,
    },
    /// The address is not this host's, the port needs rights, the name does not resolve.
    #[error("cannot listen on {endpoint}: {source}; check `{key}`{line}")]
    Address {
        /// As configured.
        endpoint: String,
        /// The key.
        key: String,
        /// ` (line N)`, empty without a file.
        line: String,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Pem(#[from] PemError),
}

/// A socket that listens and is not served yet.
pub struct Bound {
    socket: Socket,
    tls: Option<Certificates>,
    keepalive: Keepalive,
    /// Where it listens.
    pub address: Address,
}

/// What greets TLS connections, and may be exchanged while connections come in; those that are open stay.
#[derive(Clone)]
pub struct Certificates(Arc<RwLock<TlsAcceptor>>);

impl Certificates {
    /// Reads the files of a listener.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn of(settings: &ServerTls) -> Result<Certificates, PemError> {
        Ok(Certificates(Arc::new(RwLock::new(acceptor(settings)?))))
    }

    /// Reads them anew.
    ///
    /// # Errors
    /// When they cannot be used; then the old ones stay.
    pub fn change(&self, settings: &ServerTls) -> Result<(), PemError> {
        let acceptor = acceptor(settings)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Bound {
    /// Its certificates, where it has some.
    pub fn certificates(&self) -> Option<Certificates> {
        self.tls.clone()
    }
}

/// Listens.
///
/// # Errors
/// One sentence with what to do.
pub async fn bind(listener: &Listener, key: &str) -> Result<Bound, BindError> {
    let endpoint = &listener.endpoint;
    let line = if listener.line == 0 { String::new() } else { format!(" (line {})", listener.line) };
    let explain = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => {
            let how = if listener.unix.is_some() { "-lxp" } else { "-ltnp" };
            BindError::Taken { endpoint: endpoint.clone(), key: key.to_owned(), line: line.clone(), how }
        }
        _ => BindError::Address { endpoint: endpoint.clone(), key: key.to_owned(), line: line.clone(), source },
    };
    let tls = listener.tls.as_ref().map(Certificates::of).transpose()?;
    let bound = match &listener.unix {
        Some(unix) => Socket::bind_unix(unix).await,
        None => Socket::bind_tcp(&listener.host, listener.port).await,
    };
    let (socket, address) = bound.map_err(explain)?;
    Ok(Bound { socket, tls, keepalive: listener.keepalive, address })
}

/// What greets TLS connections.
///
/// # Errors
/// When a certificate or key cannot be used.
pub fn acceptor(settings: &ServerTls) -> Result<TlsAcceptor, PemError> {
    let (chain, key) = pem::identity(&settings.identity)?;
    let key_problem = |problem: String| PemError::new(&settings.identity.key_file, problem);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(pem::versions(settings.min_version))
        .map_err(|error| key_problem(error.to_string()))?;
    let builder = match &settings.client_ca_file {
        Some(file) => {
            let problem = |problem: String| PemError::new(file, problem);
            let mut roots = rustls::RootCertStore::empty();
            for certificate in pem::certificates(file)? {
                roots.add(certificate).map_err(|error| problem(error.to_string()))?;
            }
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| problem(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| key_problem(format!("it does not fit the certificate: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `shutdown`, then lets running requests end.
pub async fn serve(bound: Bound, router: Router, shutdown: CancellationToken) {
    let of_address_max = if bound.socket.has_addresses() { OF_ADDRESS_MAX } else { CONNECTIONS_MAX };
    let places = Places::new(CONNECTIONS_MAX, of_address_max);
    let tasks = tokio_util::task::TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = bound.socket.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: without a pause this would spin.
                tracing::warn!(%error, address = %bound.address, "cannot accept a connection; waiting a moment");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = places.take(from) else {
            // Closed at once: the sender retries, and what is connected goes on.
            continue;
        };
        let (tls, keepalive, router) =
            (bound.tls.as_ref().map(Certificates::acceptor), bound.keepalive, router.clone());
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            match stream {
                Stream::Tcp(stream) => {
                    // Answers are small: waiting for more would only add latency.
                    let _ = stream.set_nodelay(true);
                    connection(stream, place, tls, keepalive, router, shutdown).await;
                }
                Stream::Unix(stream) => connection(stream, place, tls, keepalive, router, shutdown).await,
            }
        });
    }
    drop(bound.socket);
    tasks.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!(address = %bound.address, "some requests did not end in time; their senders will send them again");
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    place: Place,
    tls: Option<TlsAcceptor>,
    keepalive: Keepalive,
    router: Router,
    shutdown: CancellationToken,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Who closes its side behind a request still waits for the answer (RFC 9112, 9.6).
    builder.http1().half_close(true);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(keepalive.time)
        .keep_alive_timeout(keepalive.timeout);
    let service = TowerToHyperService::new(router);
    let ending = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = aged(keepalive.age_max) => {}
        }
    };
    let result = match tls {
        None => match opened(stream, &place, &shutdown).await {
            Some(stream) => until(builder.serve_connection_with_upgrades(TokioIo::new(stream), service), ending).await,
            None => return,
        },
        Some(acceptor) => {
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
            let greeted = tokio::select! {
                greeted = handshake => greeted,
                () = place.given_away() => return,
            };
            let stream = match greeted {
                Ok(Ok(stream)) => opened(stream, &place, &shutdown).await,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    None
                }
                Err(_) => None,
            };
            let Some(stream) = stream else { return };
            until(builder.serve_connection_with_upgrades(TokioIo::new(stream), service), ending).await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A connection that has said which protocol it speaks; `None` where it did not in time, or where its place was needed.
async fn opened<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    place: &Place,
    shutdown: &CancellationToken,
) -> Option<Opened<S>> {
    let first = tokio::select! {
        first = tokio::time::timeout(OPENING_TIMEOUT, opening::read(&mut stream)) => first,
        () = place.given_away() => return None,
        // Nothing was asked for yet, so nothing has to be answered.
        () = shutdown.cancelled() => return None,
    };
    let first = first.ok()?.ok()??;
    place.spoke();
    Some(Opened::new(first, stream))
}

/// Serves a connection; from `ending` on it takes no new requests and ends with those that run.
async fn until<C: GracefulConnection>(connection: C, ending: impl Future<Output = ()>) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return result,
        () = ending => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// When a connection is old. Connections that were made at once shall not all come back at once.
async fn aged(age_max: Option<Duration>) {
    match age_max {
        Some(age) => tokio::time::sleep(age.mul_f64(rand::random_range(0.9..1.1))).await,
        None => std::future::pending().await,
    }
}
