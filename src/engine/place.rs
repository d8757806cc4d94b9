//! Who wrote a record or a span: the stream, and the place that it stands in.

use crate::read::text::hash64;
use std::sync::Arc;

/// Names of one place that are kept: addresses of a pod with two families, its own, its host's and its service's name.
pub const NAMES_MAX: usize = 16;
/// Explicit rules of the topology: one bit each in [`Place::nginx_of`] and [`Place::server_of`].
pub const RULES_MAX: usize = 64;

/// How closely the writers of one place live together; the greater the closer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// Nothing names a machine: one service, or nothing at all.
    #[default]
    Unknown,
    /// One host with whatever runs on it.
    Host,
    /// One container.
    Container,
    /// One pod: its containers share their address.
    Pod,
}

/// Where something was written, as its resource and the path of its file say. Made once for each stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Equal where records may explain each other directly: the pod, else the container, else the host, else the service;
    /// 0 where nothing names one.
    pub site: u64,
    /// What kind of machine `site` is.
    pub machine: Machine,
    /// Hash of the application: workload or service with its namespace. Replicas share it. 0 when unknown.
    pub service: u64,
    /// Hash of `service.name` alone, in lower case: all that most spans say of their application. 0 when unknown.
    pub service_name: u64,
    /// Hash of the host or node, also of a pod or container on it; 0 when unknown.
    pub host: u64,
    /// Hash of the namespace of Kubernetes, of the service, or of the compose project; 0 when unknown.
    pub namespace: u64,
    /// Addresses without a port and names by which an nginx may reach it, lower case, at most [`NAMES_MAX`].
    pub names: Vec<String>,
    /// Hashes of the words in the name of the file, container or unit ([`words_of`]): `gunicorn-shop.log` is the log of `shop`.
    pub words: Vec<u64>,
    /// Explicit rules of the topology that name it as nginx's side, a bit each.
    pub nginx_of: u64,
    /// Explicit rules of the topology that name it as the application server's side, a bit each.
    pub server_of: u64,
}

/// Words of one name that are kept.
const WORDS_MAX: usize = 8;

/// Hashes of the words of a name that tell one service from another: what logs, servers and stages are called in general does
/// not.
pub fn words_of(name: &str) -> impl Iterator<Item = u64> {
    const GENERAL: [&str; 54] = [
        "access",
        "api",
        "app",
        "application",
        "backend",
        "com",
        "container",
        "current",
        "daemon",
        "debug",
        "default",
        "dev",
        "django",
        "err",
        "error",
        "errors",
        "flask",
        "gunicorn",
        "home",
        "http",
        "https",
        "journal",
        "json",
        "local",
        "localhost",
        "log",
        "logs",
        "main",
        "net",
        "nginx",
        "opt",
        "org",
        "out",
        "prod",
        "production",
        "run",
        "server",
        "service",
        "site",
        "sock",
        "socket",
        "srv",
        "staging",
        "stderr",
        "stdout",
        "svc",
        "test",
        "tmp",
        "txt",
        "unix",
        "usr",
        "var",
        "web",
        "www",
    ];
    let words = name.split(|c: char| !c.is_alphanumeric()).map(str::to_ascii_lowercase);
    let telling = words.filter(|word| {
        word.len() > 1
            && !word.bytes().all(|byte| byte.is_ascii_digit())
            && GENERAL.binary_search(&word.as_str()).is_err()
    });
    telling.take(WORDS_MAX).map(|word| hash64(word.as_bytes()))
}

/// One file or container of a place: format, clock and coverage are of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Tells streams apart: place and file; one per file in `explain`.
    pub id: u64,
    /// Where it stands.
    pub place: Arc<Place>,
}

impl Stream {
    /// A stream of a place that nothing is known of.
    pub fn alone(id: u64) -> Stream {
        Stream { id, place: Arc::default() }
    }

    /// A stream of a host.
    pub fn on_host(id: u64, host: &str) -> Stream {
        let hash = hash64(host.as_bytes());
        let place = Place {
            site: hash64(format!("host {host}").as_bytes()),
            machine: Machine::Host,
            host: hash,
            names: vec![host.to_ascii_lowercase()],
            ..Place::default()
        };
        Stream { id, place: Arc::new(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::words_of;
    use crate::read::text::hash64;

    #[test]
    fn words_that_tell_one_service_from_another() {
        for (name, expected) in [
            ("gunicorn-shop.log", &["shop"][..]),
            ("shop_Web_1", &["shop"]),
            ("unix:/run/blog.sock:", &["blog"]),
            ("www.example.com", &["example"]),
            ("error.log", &[]),
            ("127.0.0.1:8000", &[]),
            ("", &[]),
        ] {
            let expected: Vec<u64> = expected.iter().map(|word| hash64(word.as_bytes())).collect();
            assert_eq!(words_of(name).collect::<Vec<_>>(), expected, "{name}");
        }
        let general = ["access", "api", "gunicorn", "log", "production", "server", "svc", "web", "www"];
        assert_eq!(general.into_iter().flat_map(words_of).count(), 0, "the list is in order");
    }
}
