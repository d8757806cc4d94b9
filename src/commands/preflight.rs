//! What a configuration needs of the machine that it is for: `validate` and `run` look before anything starts.

use crate::auth;
use crate::commands::nginx_conf;
use crate::config::settings::{Config, Endpoint, Exporter, ExporterKind, Identity, Listener, NamedFile, Place};
use crate::config::tree::Mistake;
use crate::exporter::{StartError, tls};
use crate::journal;
use crate::pem::{self, PemError};
use crate::read::formats::AccessFormats;
use crate::read::nginx_conf::NginxConf;
use crate::receiver::auth::Guard;
use crate::receiver::serve;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A name must resolve within this time to be compared with our listeners'.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What only this machine can tell, in order of lines.
    pub mistakes: Vec<Mistake>,
    /// What works and may not be meant.
    pub warnings: Vec<Mistake>,
    /// What files that it names told.
    pub learned: Learned,
}

/// What files that the configuration names tell of the logs.
#[derive(Debug, Default)]
pub struct Learned {
    /// Formats of access logs, those of the configuration before those of nginx's own.
    pub formats: AccessFormats,
    /// nginx's configuration.
    pub nginx: Option<Arc<NginxConf>>,
}

/// Looks at everything that the configuration names.
pub fn look(config: &Config) -> Found {
    let mut mistakes = loops(config);
    mistakes.extend(listeners_tls(config));
    for exporter in &config.exporters {
        mistakes.extend(exporter_tls(exporter));
    }
    for tls in config.receivers.iter().filter_map(|receiver| receiver.kafka.as_ref()?.client.tls.as_ref()) {
        mistakes.extend(unusable(tls.identity.as_ref(), tls.ca_file.as_ref()).into_iter().map(of_pem));
    }
    mistakes.extend(secrets(config));
    mistakes.extend(files(config));
    let mut found = Found { mistakes, ..Found::default() };
    let mut log_formats = config.processor.log_formats.clone();
    if let Some(file) = &config.processor.nginx_conf {
        let line = file.place.line;
        match nginx_conf::load(&file.path) {
            Ok(conf) => {
                found.warnings.extend(conf.mistakes.iter().map(|told| Mistake { line, text: told.to_string() }));
                log_formats.extend(conf.log_formats.iter().cloned());
                found.learned.nginx = Some(Arc::new(conf));
            }
            Err(error) => {
                let text = format!("`{}`: {error:#}; check the path and who may read it", file.place.key);
                found.mistakes.push(Mistake { line, text });
            }
        }
    }
    found.learned.formats = AccessFormats::new(log_formats, config.processor.gunicorn_formats.clone());
    if let Some(text) = found.learned.formats.left_out() {
        let line = config.processor.nginx_conf.as_ref().map_or(1, |file| file.place.line);
        found.warnings.push(Mistake { line, text });
    }
    found.mistakes.sort();
    found
}

/// The same, and at what a start would find out by itself a moment later, or what a running why502 has open.
pub fn look_closely(config: &Config) -> Found {
    let mut found = look(config);
    let Some(settings) = &config.journal else { return found };
    let NamedFile { path, place } = &settings.directory;
    let told = |text: String| Mistake { line: place.line, text: format!("`{}`: {text}", place.key) };
    match journal::look(path, settings.bytes_max) {
        Ok(warnings) => {
            let texts = warnings.into_iter().map(|text| format!("the journal {}: {text}", path.display()));
            found.warnings.extend(texts.map(told));
        }
        Err(error) => found.mistakes.push(told(error.in_directory(path))),
    }
    found.mistakes.sort();
    found
}

/// Certificates and keys of listeners.
fn listeners_tls(config: &Config) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for tls in config.listeners().filter_map(|(_, listener)| listener.tls.as_ref()) {
        let found = unusable(Some(&tls.identity), tls.client_ca_file.as_ref());
        // Each file is sound; do they fit?
        let together = if found.is_empty() { serve::acceptor(tls).err() } else { None };
        mistakes.extend(found.into_iter().chain(together).map(of_pem));
    }
    mistakes
}

/// Files of tokens and users.
fn secrets(config: &Config) -> Vec<Mistake> {
    let asked = config.listeners().filter_map(|(_, listener)| listener.auth.as_ref());
    let asked = asked.filter_map(|authenticator| Guard::of(authenticator).err());
    let remotes = config.exporters.iter().filter_map(Exporter::remote);
    let shown = remotes.filter_map(|remote| remote.auth.as_ref().and_then(|shown| auth::shown(shown).err()));
    let mut mistakes: Vec<Mistake> =
        asked.chain(shown).map(|error| Mistake { line: error.line, text: error.text }).collect();
    // One file may be asked for at several listeners.
    mistakes.sort();
    mistakes.dedup();
    mistakes
}

/// Certificates and keys of an exporter.
fn exporter_tls(exporter: &Exporter) -> Vec<Mistake> {
    let Some(remote) = exporter.remote() else { return Vec::new() };
    let found = unusable(remote.tls.identity.as_ref(), remote.tls.ca_file.as_ref());
    if !found.is_empty() {
        return found.into_iter().map(of_pem).collect();
    }
    match tls::config(&exporter.name, &remote.tls) {
        Ok(_) => Vec::new(),
        Err(StartError::Pem(error)) => vec![of_pem(error)],
        Err(error) => {
            let line = exporter.endpoints().next().map_or(1, |endpoint| endpoint.place.line);
            vec![Mistake { line, text: error.to_string() }]
        }
    }
}

/// Files that hold no certificate or key.
fn unusable(identity: Option<&Identity>, authority: Option<&NamedFile>) -> Vec<PemError> {
    let certificate = identity.and_then(|identity| pem::certificates(&identity.cert_file).err());
    let key = identity.and_then(|identity| pem::key(&identity.key_file).err());
    let authority = authority.and_then(|file| pem::certificates(file).err());
    certificate.into_iter().chain(key).chain(authority).collect()
}

fn of_pem(error: PemError) -> Mistake {
    Mistake { line: error.place.line, text: error.to_string() }
}

/// Files that exporters write: into a directory that exists, and each by one of them.
fn files(config: &Config) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut written: Vec<(PathBuf, &Place)> = Vec::new();
    let files = config.exporters.iter().filter_map(|exporter| match &exporter.kind {
        ExporterKind::File(file) => Some(file),
        ExporterKind::Grpc(_) | ExporterKind::Http(_) | ExporterKind::Kafka(_) => {
            exporter.remote().and_then(|remote| remote.dead_letter.as_ref()).map(|(file, _)| file)
        }
        ExporterKind::Debug => None,
    });
    let of_receivers = config.receivers.iter().filter_map(|receiver| receiver.kafka.as_ref()?.dead_letter.as_ref());
    let files = files.chain(of_receivers.map(|(file, _)| file));
    for NamedFile { path, place } in files {
        let mut wrong = |problem: String| {
            mistakes.push(Mistake { line: place.line, text: format!("`{}`: {problem}", place.key) });
        };
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if path.is_dir() {
            wrong(format!("{} is a directory; name a file in it", path.display()));
        } else if !directory.is_dir() {
            wrong(format!("{} is no directory; make it, or check the path", directory.display()));
        } else if let Some(error) = refused(path) {
            wrong(format!("{} cannot be written: {error}; check who may", path.display()));
        }
        // By any name: `out`, `./out`, through a link.
        let whole = path.canonicalize().or_else(|_| {
            let directory = directory.canonicalize()?;
            Ok::<_, std::io::Error>(directory.join(path.file_name().unwrap_or_default()))
        });
        let whole = whole.unwrap_or_else(|_| path.clone());
        match written.iter().find(|(known, _)| *known == whole) {
            Some((_, first)) => wrong(format!(
                "{} is written already by `{}` (line {}); choose another file",
                path.display(),
                first.key,
                first.line
            )),
            None => written.push((whole, place)),
        }
    }
    mistakes
}

/// Why a file that exists cannot be appended to; nothing is made or written.
fn refused(path: &Path) -> Option<std::io::Error> {
    // To open a pipe would wait for its reader.
    path.is_file().then(|| std::fs::OpenOptions::new().append(true).open(path).err())?
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
