//! Does nginx try the address that Gunicorn listens on?

/// How well an address that nginx tried fits one that Gunicorn listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressMatch {
    /// They differ for sure.
    No,
    /// Another port of whatever address: theirs only where a port is mapped, as those of containers and services are.
    Mapped,
    /// Nothing is known of one of them.
    Unknown,
    /// The same port under a name or an address that may well be this host.
    Maybe,
    /// The same.
    Yes,
}

/// Compares an upstream as nginx writes it (`127.0.0.1:8000`, `[::1]:8000`, `app:8000`, `unix:/run/g.sock`) with an
/// address that Gunicorn listens on, written the same way.
pub fn compare(upstream: &str, listening: &str) -> AddressMatch {
    match (upstream.strip_prefix("unix:"), listening.strip_prefix("unix:")) {
        (Some(tried), Some(bound)) if tidy_path(tried) == tidy_path(bound) => AddressMatch::Yes,
        (Some(_), _) | (_, Some(_)) => AddressMatch::No,
        (None, None) => compare_tcp(upstream, listening),
    }
}

fn compare_tcp(upstream: &str, listening: &str) -> AddressMatch {
    let (Some((host, port)), Some((bound_host, bound_port))) = (split_port(upstream), split_port(listening)) else {
        // The name of an upstream block: its servers are not known.
        return AddressMatch::Unknown;
    };
    if port != bound_port {
        return if is_any(bound_host) && !is_loopback(host) { AddressMatch::Mapped } else { AddressMatch::No };
    }
    if host == bound_host || (host == "localhost" && is_loopback(bound_host)) {
        return AddressMatch::Yes;
    }
    if is_any(bound_host) {
        // `0.0.0.0` takes IPv4 only; a bound `[::]` takes both unless told otherwise.
        return if host.starts_with('[') && bound_host == "0.0.0.0" { AddressMatch::No } else { AddressMatch::Yes };
    }
    if is_loopback(host) && is_loopback(bound_host) && host.starts_with('[') == bound_host.starts_with('[') {
        return AddressMatch::Yes;
    }
    if is_literal(host) && is_literal(bound_host) { AddressMatch::No } else { AddressMatch::Maybe }
}

/// True for what leads to the same machine: a unix socket, the loopback address.
pub fn is_local(upstream: &str) -> bool {
    upstream.starts_with("unix:") || split_port(upstream).is_some_and(|(host, _)| is_loopback(host))
}

/// True where the port that nginx tries elsewhere is bound on the loopback address alone, which only its own machine reaches.
pub fn is_own_only(upstream: &str, listening: &str) -> bool {
    let (Some((host, port)), Some((bound_host, bound_port))) = (split_port(upstream), split_port(listening)) else {
        return false;
    };
    port == bound_port && is_loopback(bound_host) && !is_loopback(host)
}

/// True where nobody answers at the address that nginx tries, which was meant for the other all the same: that is bound on its
/// own loopback address alone, or on another port of the same host.
pub fn may_be_meant(upstream: &str, listening: &str) -> bool {
    let hosts = host_of(upstream).zip(host_of(listening));
    is_own_only(upstream, listening) || hosts.is_some_and(|(host, bound)| host == bound && is_literal(host))
}

/// Address or name of an upstream without its port, without the brackets of IPv6; `None` for a socket.
pub fn host_of(upstream: &str) -> Option<&str> {
    if upstream.starts_with("unix:") {
        return None;
    }
    let host = split_port(upstream).map_or(upstream, |(host, _)| host);
    Some(host.trim_start_matches('[').trim_end_matches(']'))
}

fn tidy_path(path: &str) -> &str {
    // `/var/run` is a link to `/run` on every current distribution.
    let path = path.trim_end_matches(':');
    path.strip_prefix("/var").filter(|rest| rest.starts_with("/run/")).unwrap_or(path)
}

fn split_port(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    (!host.is_empty() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some((host, port))
}

fn is_any(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "[::]" | "*")
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.starts_with("127.") || host == "[::1]"
}

fn is_literal(host: &str) -> bool {
    host.starts_with('[') || host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |upstream, listening, expected| {
            assert_eq!(compare(upstream, listening), expected, "{upstream} against {listening}");
        };
        check("127.0.0.1:8000", "127.0.0.1:8000", AddressMatch::Yes);
        check("127.0.0.1:8001", "127.0.0.1:8000", AddressMatch::No);
        check("[::1]:8000", "127.0.0.1:8000", AddressMatch::No);
        check("[::1]:8000", "0.0.0.0:8000", AddressMatch::No);
        check("172.20.0.5:8000", "0.0.0.0:8000", AddressMatch::Yes);
        check("172.20.0.5:8000", "127.0.0.1:8000", AddressMatch::No);
        check("app:8000", "127.0.0.1:8000", AddressMatch::Maybe);
        check("localhost:8000", "127.0.0.1:8000", AddressMatch::Yes);
        check("unix:/run/g.sock", "unix:/var/run/g.sock", AddressMatch::Yes);
        check("unix:/run/g.sock", "unix:/run/h.sock", AddressMatch::No);
        check("unix:/run/g.sock", "127.0.0.1:8000", AddressMatch::No);
        check("backend", "127.0.0.1:8000", AddressMatch::Unknown);
        check("10.96.0.10:80", "0.0.0.0:8000", AddressMatch::Mapped);
        check("127.0.0.1:8080", "0.0.0.0:8000", AddressMatch::No);
        check("10.0.0.1:8000", "10.0.0.2:9000", AddressMatch::No);
    }

    #[test]
    fn what_may_be_meant() {
        let check = |upstream, listening, own_only, meant| {
            assert_eq!(is_own_only(upstream, listening), own_only, "{upstream} against {listening}");
            assert_eq!(may_be_meant(upstream, listening), meant, "{upstream} against {listening}");
        };
        check("172.18.0.3:8000", "127.0.0.1:8000", true, true);
        check("172.18.0.3:8000", "127.0.0.1:9000", false, false);
        check("127.0.0.1:8000", "127.0.0.1:9000", false, true);
        check("10.0.3.11:8000", "10.0.3.11:8001", false, true);
        check("10.0.3.11:8000", "10.0.3.12:8001", false, false);
        check("172.18.0.3:8000", "0.0.0.0:8000", false, false);
        check("unix:/run/a.sock", "127.0.0.1:8000", false, false);
    }
}
