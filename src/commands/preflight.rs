//! What a configuration needs of the machine that it is for: `validate` and `run` look before anything starts.

use crate::config::settings::{Config, Endpoint, Listener};
use crate::config::tree::Mistake;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

/// A name must resolve within this time to be compared with our listeners'.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Every mistake that only this machine can tell, in order of lines.
pub fn mistakes(config: &Config) -> Vec<Mistake> {
    let mut mistakes = loops(config);
    mistakes.sort();
    mistakes
}

/// Endpoints at which this why502 itself listens.
fn loops(config: &Config) -> Vec<Mistake> {
    let telemetry = [&config.telemetry.metrics_endpoint, &config.telemetry.logs_endpoint];
    let endpoints = config.exporters.iter().flat_map(|exporter| exporter.endpoints());
    let mut found: Vec<Mistake> = Vec::new();
    for endpoint in endpoints.chain(telemetry.into_iter().flatten()) {
        let own = config.listeners().find(|(_, listener)| reaches(endpoint, listener));
        let Some((key, listener)) = own else { continue };
        let text = format!(
            "`{}`: {endpoint} is this why502 itself (`{key}`, line {}): what it sends would come in again and go in circles; name another backend, or another port",
            endpoint.place.key, listener.line
        );
        let mistake = Mistake { line: endpoint.place.line, text };
        // Signals of one endpoint are three that differ by path.
        if !found
            .iter()
            .any(|known| known.line == mistake.line && known.text.starts_with(&format!("`{}`", endpoint.place.key)))
        {
            found.push(mistake);
        }
    }
    found
}

/// True when a connection to the endpoint comes to the listener. Names are looked up only where the ports are the same.
fn reaches(endpoint: &Endpoint, listener: &Listener) -> bool {
    if listener.port != endpoint.port() {
        return false;
    }
    let listening = addresses(&listener.host);
    addresses(endpoint.host()).into_iter().any(|to| {
        // The system connects to itself where no address is named.
        let to = match to {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            to => to.to_canonical(),
        };
        listening.iter().any(|at| match at {
            // Every IPv6 address is every IPv4 address too, as Linux has it.
            at if at.is_unspecified() => (at.is_ipv6() || to.is_ipv4()) && is_of_this_machine(to),
            at => at.to_canonical() == to,
        })
    })
}

/// Addresses of a host; none where the name does not resolve in time.
fn addresses(host: &str) -> Vec<IpAddr> {
    if let Ok(address) = host.parse() {
        return vec![address];
    }
    // The system's resolver cannot be interrupted, so it is left behind where it takes too long.
    let (sender, found) = mpsc::sync_channel(1);
    let name = host.to_owned();
    std::thread::spawn(move || {
        let found: Vec<IpAddr> =
            (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|at| at.ip()).collect()).unwrap_or_default();
        let _ = sender.send(found);
    });
    found.recv_timeout(RESOLVE_TIMEOUT).unwrap_or_default()
}

/// A socket can be bound to the addresses of this machine alone; nothing is sent.
fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Place;
    use crate::config::{self, endpoint};

    fn check(listens: &str, endpoint: &str, expected: bool) {
        let text = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: \"{listens}\"}}}}}}}}\n\
             exporters: {{debug: {{}}}}\nservice: {{pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}}}\n"
        );
        let config = config::read(&text, &|_| None).expect("valid");
        let url = endpoint::grpc(endpoint, http::uri::Scheme::HTTP).expect(endpoint);
        let (_, listener) = config.listeners().next().expect("a listener");
        let found = reaches(&Endpoint { url, place: Place::default() }, listener);
        assert_eq!(found, expected, "{listens} {endpoint}");
    }

    #[test]
    fn our_own_listeners() {
        for own in ["127.0.0.1:4317", "localhost:4317", "0.0.0.0:4317", "https://127.0.0.1:4317"] {
            check("127.0.0.1:4317", own, true);
            check("localhost:4317", own, true);
            check(":4317", own, true);
            check("[::]:4317", own, true);
            check("127.0.0.1:4318", own, false);
            check("127.0.0.1:0", own, false);
        }
        check("0.0.0.0:4317", "127.0.0.9:4317", true);
        check("[::]:4317", "[::ffff:127.0.0.1]:4317", true);
        check("[::1]:4317", "[::]:4317", true);
        check("[::1]:4317", "127.0.0.1:4317", false);
        check("0.0.0.0:4317", "[::1]:4317", false);
        // Another program may listen at another address of the same machine.
        check("127.0.0.1:4317", "127.0.0.2:4317", false);
        // For documentation (RFC 5737), so of no machine.
        check("0.0.0.0:4317", "192.0.2.1:4317", false);
        check("0.0.0.0:4317", "no-such-host.invalid:4317", false);
    }
}
