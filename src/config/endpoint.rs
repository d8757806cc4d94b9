//! How endpoints are written: the one reader of them, for the configuration and for the command line.
//!
//! Pure: no name is resolved and nothing is connected to.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use std::net::Ipv6Addr;

/// Longest name of a host (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Longest label of such a name.
const LABEL_BYTES_MAX: usize = 63;
/// Ways of gRPC libraries to find servers, which the collector's endpoints may begin with.
const RESOLVERS: [&str; 7] = ["dns", "passthrough", "ipv4", "ipv6", "vsock", "xds", "google-c2p"];

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Nothing is written.
    #[error("it is empty")]
    Empty,
    /// The text is not shown: what stands before an `@` is a secret.
    #[error("it has a user or key before its `@`; send it as one of the `headers`")]
    User,
    /// `unix:/run/otlp.sock`.
    #[error("`{0}` is a unix socket, which why502 does not speak gRPC over; write HOST:PORT")]
    UnixSocket(String),
    /// `dns:///tempo:4317`.
    #[error("`{endpoint}` names the resolver `{resolver}` of a gRPC library, which why502 has not; write HOST:PORT")]
    Resolver {
        /// As written.
        endpoint: String,
        /// `dns`.
        resolver: String,
    },
    /// `ftp://tempo:4317`.
    #[error("`{endpoint}` has the scheme `{scheme}`; it must be http or https")]
    Scheme {
        /// As written.
        endpoint: String,
        /// `ftp`.
        scheme: String,
    },
    /// OTLP over HTTP, without a scheme.
    #[error("`{0}` needs a scheme, http:// or https://")]
    NoScheme(String),
    /// OTLP over gRPC, with a path.
    #[error("`{0}` has a path or query, which gRPC has no place for; write HOST:PORT alone")]
    Path(String),
    /// The base of several URLs, with a query.
    #[error("`{0}` has a query, behind which no `/v1/SIGNAL` can stand; write whole URLs as `logs_endpoint` and so on")]
    Query(String),
    /// Nothing that can be a host.
    #[error("`{endpoint}` names no host: {problem}")]
    Host {
        /// As written.
        endpoint: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// OTLP over gRPC, without a port.
    #[error("`{0}` names no port; 4317 is usual")]
    NoPort(String),
    /// Letters, 0, 99999.
    #[error("`{endpoint}`: `{port}` is no port; it is a number, 1 to 65535")]
    Port {
        /// As written.
        endpoint: String,
        /// What stands in its place.
        port: String,
    },
    /// What follows the host.
    #[error("`{endpoint}` is no URL: {problem}")]
    Url {
        /// As written.
        endpoint: String,
        /// What is wrong.
        problem: String,
    },
}

/// The endpoint of an OTLP/gRPC server: `host:port`, `http://host:port` or `https://host:port`. `unwritten` is the
/// scheme where none is written. The path of the answer is `/`.
///
/// # Errors
/// Every variant but [`EndpointError::NoScheme`] and [`EndpointError::Query`].
pub fn grpc(text: &str, unwritten: Scheme) -> Result<Uri, EndpointError> {
    let (scheme, rest) = match scheme_of(text)? {
        (Some(scheme), rest) => (scheme, rest),
        (None, rest) => (unwritten, rest),
    };
    without_user(rest)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(EndpointError::Path(shown(text)));
    }
    let (_, port) = host_and_port(text, authority)?;
    if port.is_none() {
        return Err(EndpointError::NoPort(shown(text)));
    }
    url(text, scheme, authority, "/")
}

/// The URL of an OTLP/HTTP server, with its scheme.
///
/// # Errors
/// Every variant but [`EndpointError::NoPort`], [`EndpointError::Path`] and [`EndpointError::Query`].
pub fn http(text: &str) -> Result<Uri, EndpointError> {
    let (scheme, rest) = match scheme_of(text) {
        Ok((Some(scheme), rest)) => (scheme, rest),
        Ok((None, rest)) => {
            without_user(rest)?;
            return Err(EndpointError::NoScheme(shown(text)));
        }
        // Resolvers are gRPC's alone.
        Err(EndpointError::UnixSocket(endpoint)) => {
            return Err(EndpointError::Scheme { endpoint, scheme: "unix".to_owned() });
        }
        Err(EndpointError::Resolver { endpoint, resolver }) => {
            return Err(EndpointError::Scheme { endpoint, scheme: resolver });
        }
        Err(error) => return Err(error),
    };
    without_user(rest)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    host_and_port(text, authority)?;
    url(text, scheme, authority, path)
}

/// The URL of one signal below the URL of a server.
///
/// # Errors
/// [`EndpointError::Query`], [`EndpointError::Url`].
pub fn below(base: &Uri, path: &str) -> Result<Uri, EndpointError> {
    let text = base.to_string();
    if base.query().is_some() {
        return Err(EndpointError::Query(shown(&text)));
    }
    format!("{}{path}", text.trim_end_matches('/')).parse().map_err(|error: http::uri::InvalidUri| EndpointError::Url {
        endpoint: shown(&text),
        problem: error.to_string(),
    })
}

/// The address to listen on: host without brackets, and port, of which 0 is any free one. No host is every IPv4 address.
pub fn listen(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = if port == "0" { 0 } else { port_of(port)? };
    if host.is_empty() {
        return Some(("0.0.0.0".to_owned(), port));
    }
    host_of(host).ok().map(|host| (host.to_owned(), port))
}

/// The host of an endpoint, without brackets.
pub fn host(url: &Uri) -> &str {
    let host = url.host().unwrap_or_default();
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The port of an endpoint; that of its scheme where none is written.
pub fn port(url: &Uri) -> u16 {
    let default = if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    url.port_u16().unwrap_or(default)
}

/// An endpoint for people, without the query: some backends take their key in it.
pub fn without_query(url: &Uri) -> String {
    let authority = url.authority().map_or("", Authority::as_str);
    format!("{}://{authority}{}", url.scheme_str().unwrap_or("http"), url.path().trim_end_matches('/'))
}

/// Scheme, if one is written, and what follows it.
fn scheme_of(text: &str) -> Result<(Option<Scheme>, &str), EndpointError> {
    if text.is_empty() {
        return Err(EndpointError::Empty);
    }
    let Some((word, rest)) = text.split_once("://") else {
        let resolver = text.split_once(':').filter(|(_, rest)| port_of(rest).is_none() && rest.contains([':', '/']));
        return match resolver {
            Some(("unix" | "unix-abstract", _)) => Err(EndpointError::UnixSocket(shown(text))),
            Some((word, _)) if RESOLVERS.contains(&word) => {
                Err(EndpointError::Resolver { endpoint: shown(text), resolver: word.to_owned() })
            }
            _ => Ok((None, text)),
        };
    };
    match word.to_ascii_lowercase().as_str() {
        "http" => Ok((Some(Scheme::HTTP), rest)),
        "https" => Ok((Some(Scheme::HTTPS), rest)),
        "unix" | "unix-abstract" => Err(EndpointError::UnixSocket(shown(text))),
        resolver if RESOLVERS.contains(&resolver) => {
            Err(EndpointError::Resolver { endpoint: shown(text), resolver: resolver.to_owned() })
        }
        scheme => {
            without_user(rest)?;
            Err(EndpointError::Scheme { endpoint: shown(text), scheme: scheme.to_owned() })
        }
    }
}

fn without_user(rest: &str) -> Result<(), EndpointError> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.contains('@') { Err(EndpointError::User) } else { Ok(()) }
}

/// Host without brackets, and the port that is written.
fn host_and_port<'a>(text: &str, authority: &'a str) -> Result<(&'a str, Option<u16>), EndpointError> {
    let colon = authority.rfind(':').filter(|index| !authority.get(*index..).unwrap_or_default().contains(']'));
    let (host, port) = match colon {
        Some(index) => (authority.get(..index).unwrap_or_default(), authority.get(index + 1..)),
        None => (authority, None),
    };
    let host = host_of(host).map_err(|problem| EndpointError::Host { endpoint: shown(text), problem })?;
    let port = match port {
        Some(port) => Some(
            port_of(port)
                .ok_or_else(|| EndpointError::Port { endpoint: shown(text), port: port.escape_debug().to_string() })?,
        ),
        None => None,
    };
    Ok((host, port))
}

fn port_of(text: &str) -> Option<u16> {
    // `parse` takes a plus sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| *port > 0 && digits)
}

fn host_of(text: &str) -> Result<&str, &'static str> {
    if let Some(inside) = text.strip_prefix('[') {
        let inside = inside.strip_suffix(']').ok_or("a bracket is not closed")?;
        return inside.parse::<Ipv6Addr>().map(|_| inside).map_err(|_| "no IPv6 address stands in the brackets");
    }
    if text.is_empty() {
        return Err("it is missing");
    }
    if text.contains(':') {
        return Err("an IPv6 address needs brackets, such as [::1]:4317");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !text.bytes().all(allowed) {
        return Err("letters, digits, `-`, `_` and `.` may stand in it");
    }
    // A point at the end says that the name is whole.
    let labels = text.strip_suffix('.').unwrap_or(text);
    if text.len() > HOST_BYTES_MAX || labels.split('.').any(|label| label.is_empty() || label.len() > LABEL_BYTES_MAX) {
        return Err("a part between its points is empty or too long");
    }
    Ok(text)
}

fn url(text: &str, scheme: Scheme, authority: &str, path: &str) -> Result<Uri, EndpointError> {
    let wrong = |problem: String| EndpointError::Url { endpoint: shown(text), problem };
    let authority: Authority = authority.parse().map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
    let path = if path.is_empty() { "/" } else { path };
    let path: PathAndQuery = path.parse().map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
    let url = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
    url.map_err(|error| wrong(error.to_string()))
}

/// The text for a message: without its query, which may be a secret, and on one line.
fn shown(text: &str) -> String {
    text.split('?').next().unwrap_or(text).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(read: Result<Uri, EndpointError>) -> String {
        read.map_or_else(|error| error.to_string(), |url| format!("{url} {} {}", host(&url), port(&url)))
    }

    #[test]
    fn of_grpc() {
        let check = |text: &str, expected: &str| assert_eq!(told(grpc(text, Scheme::HTTPS)), expected, "{text}");
        check("tempo:4317", "https://tempo:4317/ tempo 4317");
        check("http://127.0.0.1:4317", "http://127.0.0.1:4317/ 127.0.0.1 4317");
        check("HTTPS://a.b-c_d.:443/", "https://a.b-c_d.:443/ a.b-c_d. 443");
        check("[::1]:4317", "https://[::1]:4317/ ::1 4317");
        check("dns:4317", "https://dns:4317/ dns 4317");
        check("", "it is empty");
        check("tempo", "`tempo` names no port; 4317 is usual");
        check("[::1]", "`[::1]` names no port; 4317 is usual");
        check("h:port", "`h:port`: `port` is no port; it is a number, 1 to 65535");
        check("h:0", "`h:0`: `0` is no port; it is a number, 1 to 65535");
        check("h:+80", "`h:+80`: `+80` is no port; it is a number, 1 to 65535");
        check("h:", "`h:`: `` is no port; it is a number, 1 to 65535");
        check("https://h:99999", "`https://h:99999`: `99999` is no port; it is a number, 1 to 65535");
        check("http://", "`http://` names no host: it is missing");
        check(":4317", "`:4317` names no host: it is missing");
        check("::1:4317", "`::1:4317` names no host: an IPv6 address needs brackets, such as [::1]:4317");
        check("[::1:4317", "`[::1:4317` names no host: a bracket is not closed");
        check("[h]:4317", "`[h]:4317` names no host: no IPv6 address stands in the brackets");
        check("a b:4317", "`a b:4317` names no host: letters, digits, `-`, `_` and `.` may stand in it");
        check("a..b:4317", "`a..b:4317` names no host: a part between its points is empty or too long");
        check("a\n:4317", "`a\\n:4317` names no host: letters, digits, `-`, `_` and `.` may stand in it");
        check(
            "h:4317/v1/logs",
            "`h:4317/v1/logs` has a path or query, which gRPC has no place for; write HOST:PORT alone",
        );
        check("ftp://h:4317", "`ftp://h:4317` has the scheme `ftp`; it must be http or https");
        for socket in ["unix:///tmp/x", "unix:/tmp/x", "unix-abstract:/x"] {
            check(
                socket,
                &format!("`{socket}` is a unix socket, which why502 does not speak gRPC over; write HOST:PORT"),
            );
        }
        for (name, resolver) in [("dns:///x:4317", "dns"), ("dns:x:4317", "dns"), ("xds:///x", "xds")] {
            let expected = format!(
                "`{name}` names the resolver `{resolver}` of a gRPC library, which why502 has not; write HOST:PORT"
            );
            check(name, &expected);
        }
        for secret in ["user:s3cret@h:4317", "https://s3cret@h", "ftp://s3cret@h"] {
            check(secret, "it has a user or key before its `@`; send it as one of the `headers`");
        }
    }

    #[test]
    fn of_http() {
        let check = |text: &str, expected: &str| assert_eq!(told(http(text)), expected, "{text}");
        check("https://otlp.example.com", "https://otlp.example.com/ otlp.example.com 443");
        check("http://h/base/", "http://h/base/ h 80");
        check("HTTP://[::1]:4318/v1/logs?a=b@c", "http://[::1]:4318/v1/logs?a=b@c ::1 4318");
        check("host:4318", "`host:4318` needs a scheme, http:// or https://");
        check("http://", "`http://` names no host: it is missing");
        check("http:///v1", "`http:///v1` names no host: it is missing");
        check("https://h:99999/v1", "`https://h:99999/v1`: `99999` is no port; it is a number, 1 to 65535");
        check("unix:///tmp/x", "`unix:///tmp/x` has the scheme `unix`; it must be http or https");
        check("dns:///x:4318", "`dns:///x:4318` has the scheme `dns`; it must be http or https");
        check("https://h/a b", "`https://h/a b` is no URL: invalid uri character");
        check("https://h:x?key=s3cret", "`https://h:x`: `x` is no port; it is a number, 1 to 65535");
        check("s3cret@h:1", "it has a user or key before its `@`; send it as one of the `headers`");
        check("", "it is empty");
    }

    #[test]
    fn signals_below_a_server() {
        let check = |base: &str, expected: &str| {
            let told = told(below(&http(base).expect(base), "/v1/logs"));
            assert_eq!(told.split(' ').next().unwrap_or_default(), expected, "{base}");
        };
        check("https://h", "https://h/v1/logs");
        check("https://h:1/otlp/", "https://h:1/otlp/v1/logs");
        assert_eq!(
            told(below(&http("https://h?key=s3cret").expect("a URL"), "/v1/logs")),
            "`https://h/` has a query, behind which no `/v1/SIGNAL` can stand; write whole URLs as `logs_endpoint` and so on"
        );
    }

    #[test]
    fn of_listeners() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(listen(text), expected, "{text}");
        };
        check("127.0.0.1:4317", Some(("127.0.0.1", 4317)));
        check(":4317", Some(("0.0.0.0", 4317)));
        check("[::]:0", Some(("::", 0)));
        check("localhost:65535", Some(("localhost", 65535)));
        for wrong in ["4317", "h:65536", "h:-1", "h:+1", "http://h:1", "::1:4317", "unix:/x", "[::1]", "h:"] {
            check(wrong, None);
        }
    }
}
