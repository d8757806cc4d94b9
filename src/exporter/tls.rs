//! Connections to backends: TLS by rustls, or plain text where the configuration says so.

use super::StartError;
use super::pieces::Pieces;
use crate::config::settings::{ClientTls, Remote};
use crate::pem::{self, PemError};
use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::{CertificateDer, ServerName};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower::{BoxError, Service};

/// A client with a pool of connections.
pub type HttpClient = Client<HttpsConnector<Way>, Pieces>;

/// Connections to one backend. Where a peer has gone without a word (its machine is off, a firewall forgot the connection, its name
/// has another address), the old ones would swallow every try until the kernel gives them up, a quarter of an hour later: a try
/// that found no answer in time makes the next one go over new ones.
pub struct Connections {
    connector: HttpsConnector<Way>,
    http2_only: bool,
    /// How often they were made anew, and the pool.
    current: Mutex<(u64, HttpClient)>,
}

impl Connections {
    fn new(connector: HttpsConnector<Way>, http2_only: bool) -> Connections {
        let current = Mutex::new((0, pool(connector.clone(), http2_only)));
        Connections { connector, http2_only, current }
    }

    /// Those that a try goes over, with their number.
    pub fn current(&self) -> (u64, HttpClient) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those of this number gave no answer in time: from now on others, unless that is so already. What is still on its way over
    /// the old ones comes to its end there.
    pub fn renew(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == number {
            *current = (number + 1, pool(self.connector.clone(), self.http2_only));
        }
    }
}

fn pool(connector: HttpsConnector<Way>, http2_only: bool) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http2_only(http2_only)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .http2_keep_alive_timeout(Duration::from_secs(20))
        .build(connector)
}

/// How a connection comes about.
#[derive(Clone)]
pub enum Way {
    /// To the backend itself.
    Direct(HttpConnector),
    /// Through a proxy that is asked to connect us.
    Proxied(Tunnel<HttpConnector>),
}

impl Service<Uri> for Way {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Way::Direct(connector) => connector.poll_ready(context).map_err(Into::into),
            Way::Proxied(tunnel) => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match self {
            Way::Direct(connector) => {
                let connecting = connector.call(to);
                Box::pin(async move { connecting.await.map_err(Into::into) })
            }
            Way::Proxied(tunnel) => {
                let connecting = tunnel.call(with_port(to));
                Box::pin(async move {
                    let through =
                        |error| io::Error::other(format!("the proxy of `proxy_url` does not connect: {error}"));
                    connecting.await.map_err(|error| through(error).into())
                })
            }
        }
    }
}

/// A connection must stand within this time; the timeout of a try covers it as well.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are closed after so long: before the usual load balancer does.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// A client for a backend; over HTTP/2 alone for gRPC.
///
/// # Errors
/// When a certificate or key cannot be used.
pub fn client(name: &str, remote: &Remote, http2_only: bool) -> Result<Connections, StartError> {
    let config = config(name, &remote.tls)?;
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(Duration::from_secs(60)));
    let connector = match &remote.proxy {
        Some(proxy) => Way::Proxied(Tunnel::new(proxy.url.clone(), connector)),
        None => Way::Direct(connector),
    };
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    let builder = match &remote.tls.server_name {
        Some(server) => {
            let parsed = ServerName::try_from(server.clone());
            let parsed = parsed.map_err(|error| wrong(name, format!("server_name_override is no name: {error}")))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(parsed))
        }
        None => builder,
    };
    let connector = if http2_only {
        builder.enable_http2().wrap_connector(connector)
    } else {
        builder.enable_all_versions().wrap_connector(connector)
    };
    Ok(Connections::new(connector, http2_only))
}

/// Of plain text without a port a tunnel would go to that of TLS.
fn with_port(to: Uri) -> Uri {
    let Some(host) = to.host().filter(|_| to.port().is_none() && to.scheme() == Some(&Scheme::HTTP)) else { return to };
    let authority = format!("{host}:80");
    let mut parts = to.clone().into_parts();
    parts.authority = authority.parse().ok();
    Uri::from_parts(parts).unwrap_or(to)
}

fn wrong(name: &str, problem: String) -> StartError {
    StartError::Tls { name: name.to_owned(), problem }
}

/// What is shown and trusted in a handshake.
///
/// # Errors
/// When a certificate or key cannot be used.
pub fn config(name: &str, tls: &ClientTls) -> Result<rustls::ClientConfig, StartError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(pem::versions(tls.min_version))
        .map_err(|error| wrong(name, error.to_string()))?;
    let builder = if tls.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnything(provider)))
    } else {
        builder.with_root_certificates(roots(tls)?)
    };
    match &tls.identity {
        Some(identity) => {
            let (chain, key) = pem::identity(identity)?;
            let problem = |error| format!("it does not fit the certificate: {error}");
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| PemError::new(&identity.key_file, problem(error)).into())
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

fn roots(tls: &ClientTls) -> Result<rustls::RootCertStore, PemError> {
    let mut roots = rustls::RootCertStore::empty();
    match &tls.ca_file {
        Some(file) => {
            for found in pem::certificates(file)? {
                roots.add(found).map_err(|error| PemError::new(file, error.to_string()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    Ok(roots)
}

/// `insecure_skip_verify`: for tests, as the collector has it.
#[derive(Debug)]
struct TrustAnything(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for TrustAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
