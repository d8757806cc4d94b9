//! What differs between two configurations, by the names of keys: which of it can be taken over while the program runs.

use super::tree::{self, Kind, Mistake, Node};
use std::collections::BTreeMap;

/// Keys of exporters that a running one takes over.
const OF_EXPORTERS: &[&str] = &[
    "endpoint",
    "logs_endpoint",
    "traces_endpoint",
    "metrics_endpoint",
    "headers",
    "auth",
    "proxy_url",
    "compression",
    "encoding",
    "timeout",
    "max_request_bytes",
    "max_request_items",
    "site",
    "key",
    "tls",
    "retry_on_failure",
    "sending_queue::queue_size",
    "sending_queue::sizer",
    "sending_queue::queue_bytes",
    "sending_queue::when_full",
];

/// Keys whose values differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// These can be taken over.
    pub taken: Vec<String>,
    /// These want a restart.
    pub restart: Vec<String>,
}

/// Compares two texts.
///
/// # Errors
/// When one is no YAML.
pub fn changes(before: &str, after: &str) -> Result<Changes, Mistake> {
    let (before, after) = (flat(&tree::read(before)?), flat(&tree::read(after)?));
    let mut changes = Changes::default();
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys.into_iter().filter(|key| before.get(*key) != after.get(*key)) {
        // What has a key less or more as a whole is another exporter, or another listener.
        let list =
            if is_live(key, &before) && is_live(key, &after) { &mut changes.taken } else { &mut changes.restart };
        list.push(key.clone());
    }
    Ok(changes)
}

/// True for a key of an exporter or listener that is there and that reads it while it runs.
fn is_live(key: &str, keys: &BTreeMap<String, String>) -> bool {
    let parts: Vec<&str> = key.split("::").collect();
    match parts.as_slice() {
        ["exporters", name, rest @ ..] => {
            let rest = rest.join("::");
            let is_known = keys.keys().any(|known| known.starts_with(&format!("exporters::{name}::")));
            is_known && OF_EXPORTERS.iter().any(|live| rest == *live || rest.starts_with(&format!("{live}::")))
        }
        ["receivers", name, "protocols", protocol, "tls", ..] => {
            // To switch TLS on or off is another matter than another certificate.
            keys.contains_key(&format!("receivers::{name}::protocols::{protocol}::tls::cert_file"))
        }
        ["web", "tls", ..] => keys.contains_key("web::tls::cert_file"),
        ["web", "auth", "authenticator"] | ["receivers", _, "protocols", _, "auth", "authenticator"] => {
            keys.contains_key(key)
        }
        ["extensions", name, ..] => keys.keys().any(|known| known.starts_with(&format!("extensions::{name}::"))),
        _ => false,
    }
}

/// Every scalar by its whole key; the entries of lists are numbered.
fn flat(root: &Node) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut nodes = vec![(String::new(), root)];
    while let Some((key, node)) = nodes.pop() {
        let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}::{name}") };
        match &node.kind {
            Kind::Text(text) => drop(found.insert(key, text.clone())),
            Kind::Null => drop(found.insert(key, String::new())),
            Kind::Map(members) if members.is_empty() => drop(found.insert(key, String::new())),
            Kind::Map(members) => nodes.extend(members.iter().map(|(name, _, value)| (below(name), value))),
            Kind::List(items) => {
                nodes.extend(items.iter().enumerate().map(|(number, item)| (below(&number.to_string()), item)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "
receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:1, tls: {cert_file: a, key_file: b}}, http: {}}}}
processors: {why502: {hold: 8s}}
exporters: {otlp/out: {endpoint: a:1, headers: {key: s3cret}}, file: {path: x}}
extensions: {bearertokenauth: {token: secret-a}}
service: {pipelines: {logs: {receivers: [otlp], exporters: [otlp/out]}}}
";

    fn check(from: &str, to: &str, taken: &[&str], restart: &[&str]) {
        let after = BEFORE.replace(from, to);
        assert_ne!(after, BEFORE, "{from}");
        let found = changes(BEFORE, &after).expect("YAML");
        assert_eq!((found.taken, found.restart), (owned(taken), owned(restart)), "{from} -> {to}");
    }

    fn owned(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn keys_that_differ_by_what_they_want() {
        assert_eq!(changes(BEFORE, BEFORE), Ok(Changes::default()));
        check("endpoint: a:1", "endpoint: b:1", &["exporters::otlp/out::endpoint"], &[]);
        check("s3cret", "s3cret2", &["exporters::otlp/out::headers::key"], &[]);
        check("cert_file: a", "cert_file: c", &["receivers::otlp::protocols::grpc::tls::cert_file"], &[]);
        check("secret-a", "secret-b", &["extensions::bearertokenauth::token"], &[]);
        check("hold: 8s", "hold: 9s", &[], &["processors::why502::hold"]);
        check("127.0.0.1:1", "127.0.0.1:2", &[], &["receivers::otlp::protocols::grpc::endpoint"]);
        check("path: x", "path: y", &[], &["exporters::file::path"]);
        check(
            "endpoint: a:1,",
            "endpoint: a:1, sending_queue: {queue_bytes: 1MiB, num_consumers: 2},",
            &["exporters::otlp/out::sending_queue::queue_bytes"],
            &["exporters::otlp/out::sending_queue::num_consumers"],
        );
        check("file: {path: x}", "file: {path: x}, otlp: {endpoint: c:1}", &[], &["exporters::otlp::endpoint"]);
        let on = ["receivers::otlp::protocols::http", "receivers::otlp::protocols::http::tls::cert_file"];
        check("http: {}", "http: {tls: {cert_file: x}}", &[], &on);
        check("[otlp/out]", "[otlp/out, file]", &[], &["service::pipelines::logs::exporters::1"]);
    }
}
