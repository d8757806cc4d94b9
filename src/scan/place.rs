//! Where a stream stands: its place, out of the attributes of its resource and the path of its file. Made once for each
//! stream.
//!
//! What agents send, and what is made of it (the first of the keys whose attributes are all there names the site):
//!
//! ```text
//!  collector, k8sattributes     k8s.namespace.name + k8s.pod.name, k8s.pod.ip, k8s.deployment.name, ...    a pod
//!  Fluent Bit, Vector, Beats    resource empty; kubernetes: {namespace_name, pod_name, ...} in the record  a pod
//!  collector without either     log.file.path /var/log/pods/NAMESPACE_POD_UID/CONTAINER/0.log              a pod
//!  collector on Docker          container.id, or log.file.path /var/lib/docker/containers/ID/...           a container
//!  collector, resourcedetection host.name, host.id, host.ip; service.name of each file                     a host
//!  SDKs                         service.name, service.namespace; host.name is a pod's or container's name  a host
//!  why502 tail                  service.name or nothing                                                    none
//! ```

mod names;

use super::fields::Fields;
use crate::engine::place::{Machine, NAMES_MAX, Place, RULES_MAX, words_of};
use crate::otlp::{Attributes, LogRecord};
use crate::read::text::hash64;
use names::{Known, OfPath};
pub(super) use names::{hash_of_record, names_a_place};
use std::borrow::Cow;

/// Names of attributes that make a site, the most telling first; ` + ` joins those that must all be there.
///
/// A pod goes before its containers, which share its address; a container before its host; the name of a host before its
/// id, because SDKs and agents agree on the name; a host before its services, because nginx, Gunicorn and the application
/// often send as three.
pub const DEFAULT_KEYS: [&str; 9] = [
    "k8s.namespace.name + k8s.pod.name",
    "k8s.pod.uid",
    "k8s.pod.name",
    "aws.ecs.task.arn",
    "container.id",
    "host.name",
    "host.id",
    "service.namespace + service.name",
    "service.name",
];
/// Longest name that is kept: of a host in DNS (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;
/// Bytes of all names of one place: some 16 usual ones, so that a sender of long ones costs no more memory.
const NAMES_BYTES_MAX: usize = 1_024;

/// Attributes with the values that they must have.
pub type Selector = Vec<(String, String)>;

/// A rule of the topology: who is on nginx's side, and who on the application server's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Attributes of the resource that nginx's logs have.
    pub nginx: Selector,
    /// Attributes of the resource that the application server's logs and spans have.
    pub server: Selector,
}

/// How places are told apart. Made once out of the settings, shared by all tasks.
#[derive(Clone, Debug)]
pub struct Sites {
    keys: Vec<Vec<String>>,
    rules: Vec<Rule>,
}

impl Default for Sites {
    fn default() -> Self {
        Sites::new(DEFAULT_KEYS.iter().map(|key| split_key(key)).collect(), Vec::new())
    }
}

/// `a + b` as its names.
pub fn split_key(key: &str) -> Vec<String> {
    key.split('+').map(|name| name.trim().to_owned()).collect()
}

impl Sites {
    /// Sites by these keys, each one or several names of attributes, and at most [`RULES_MAX`] rules; more are ignored.
    pub fn new(keys: Vec<Vec<String>>, mut rules: Vec<Rule>) -> Sites {
        rules.truncate(RULES_MAX);
        Sites { keys, rules }
    }

    /// The place of spans: a resource says all.
    pub fn of_resource(&self, resource: Attributes<'_>) -> Place {
        self.place(&Known::new(Fields::of(resource), Fields::default(), OfPath::default()))
    }

    /// The place of the stream of a record. What it says itself, and the path of its file, count where the resource does
    /// not say it.
    pub fn of_record(&self, resource: Attributes<'_>, record: &LogRecord<'_>, path: &[u8]) -> Place {
        let own = names::of_record(record);
        let mut place = self.place(&Known::new(Fields::of(resource), own, OfPath::read(path)));
        if place.words.is_empty() {
            let name = path.rsplit(|byte| *byte == b'/').next().and_then(|name| std::str::from_utf8(name).ok());
            place.words.extend(name.into_iter().flat_map(words_of));
        }
        place
    }

    /// The place of the lines of a file, where its path names a pod or container.
    pub fn of_path(&self, path: &str) -> Option<Place> {
        let place = self.place(&Known::new(Fields::default(), Fields::default(), OfPath::read(path.as_bytes())));
        (place.site != 0).then_some(place)
    }

    fn place(&self, known: &Known<'_>) -> Place {
        let (site, machine) = self.site(known);
        let namespace = known.first(&["k8s.namespace.name", "service.namespace", COMPOSE_PROJECT]);
        let mut place = Place {
            site,
            machine,
            service: service(known),
            service_name: known.get("service.name").map_or(0, |name| hash64(name.to_ascii_lowercase().as_bytes())),
            host: host(known).map_or(0, |host| hash64(host.to_ascii_lowercase().as_bytes())),
            namespace: namespace.map_or(0, |name| hash64(name.as_bytes())),
            names: names(known, machine),
            words: words(known),
            nginx_of: 0,
            server_of: 0,
        };
        for (number, rule) in self.rules.iter().enumerate() {
            place.nginx_of |= u64::from(selects(&rule.nginx, known)) << number;
            place.server_of |= u64::from(selects(&rule.server, known)) << number;
        }
        place
    }

    fn site(&self, known: &Known<'_>) -> (u64, Machine) {
        for key in &self.keys {
            let values: Option<Vec<Cow<'_, str>>> = key.iter().map(|name| known.get(name)).collect();
            if let Some(values) = values.filter(|values| !values.is_empty()) {
                // The names are in it: a host called like a pod is another place.
                let mut text = key.join("+");
                for value in values {
                    text.push('\0');
                    text.push_str(&value);
                }
                return (hash64(text.as_bytes()).max(1), machine(key));
            }
        }
        (0, Machine::Unknown)
    }
}

/// What kind of machine these attributes name.
fn machine(key: &[String]) -> Machine {
    let of = |name: &String| match name.as_str() {
        name if name.starts_with("k8s.pod.") || name.starts_with("aws.ecs.task.") => Machine::Pod,
        name if name.starts_with("container.") || name.starts_with("k8s.container.") => Machine::Container,
        name if name.starts_with("host.") || name.starts_with("k8s.node.") => Machine::Host,
        _ => Machine::Unknown,
    };
    key.iter().map(of).max().unwrap_or_default()
}

fn selects(selector: &[(String, String)], known: &Known<'_>) -> bool {
    !selector.is_empty() && selector.iter().all(|(name, value)| known.get(name).is_some_and(|known| known == *value))
}

const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
/// Controllers of pods, the one that people name first.
const WORKLOADS: [&str; 5] =
    ["k8s.deployment.name", "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name"];

/// The workload of a pod as its resource names it, else its name without what its controller appended.
fn workload<'k>(known: &'k Known<'_>) -> Option<Cow<'k, str>> {
    known.first(&WORKLOADS).or_else(|| match known.get("k8s.pod.name")? {
        Cow::Borrowed(pod) => Some(Cow::Borrowed(without_suffixes(pod))),
        Cow::Owned(pod) => Some(Cow::Owned(without_suffixes(&pod).to_owned())),
    })
}

/// The application that replicas share.
fn service(known: &Known<'_>) -> u64 {
    let hash = |kind: &str, outer: Option<Cow<'_, str>>, name: &str| {
        hash64([kind, "\0", &outer.unwrap_or_default(), "\0", name].concat().as_bytes()).max(1)
    };
    if let Some(workload) = workload(known) {
        return hash("workload", known.get("k8s.namespace.name"), &workload);
    }
    if let Some(name) = known.get("service.name") {
        return hash("service", known.get("service.namespace"), &name);
    }
    if let Some(name) = known.get(COMPOSE_SERVICE) {
        return hash("compose", known.get(COMPOSE_PROJECT), &name);
    }
    known.get("container.name").map_or(0, |name| hash("container", None, &name))
}

/// Letters of the random parts of names in Kubernetes (`apimachinery/pkg/util/rand/rand.go`, v0.34: no vowels, no 0, 1, 3).
const RANDOM_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// `shop` of `shop-6d4b75cb6d-x7k2p`, `shop-x7k2p` and `shop-0`.
fn without_suffixes(pod: &str) -> &str {
    let is_random = |part: &str| part.bytes().all(|byte| RANDOM_LETTERS.contains(&byte));
    let Some((head, last)) = pod.rsplit_once('-').filter(|(head, _)| !head.is_empty()) else { return pod };
    if last.len() == 5 && is_random(last) {
        // A replica set's hash has up to 10 letters.
        return match head.rsplit_once('-') {
            Some((name, hash)) if !name.is_empty() && (6..=10).contains(&hash.len()) && is_random(hash) => name,
            _ => head,
        };
    }
    if !last.is_empty() && last.len() <= 4 && last.bytes().all(|byte| byte.is_ascii_digit()) { head } else { pod }
}

/// The host, also of a pod or container on it. SDKs in a pod or container take its name for their host's.
fn host<'k>(known: &'k Known<'_>) -> Option<Cow<'k, str>> {
    let node = known.get("k8s.node.name");
    let named = known.get("host.name").filter(|host| !is_inner(host, known));
    node.or(named).or_else(|| known.get("host.id"))
}

/// True for the name that a pod or container gives itself.
fn is_inner(host: &str, known: &Known<'_>) -> bool {
    known.get("k8s.pod.name").is_some_and(|pod| pod == host)
        || known.get("container.id").is_some_and(|id| host.len() == SHORT_ID && id.starts_with(host))
}

/// Digits of a container's id that are its host name and that people write.
const SHORT_ID: usize = 12;

/// Addresses and names by which an nginx may reach it.
/// Words in the names of its application, the nearest name.
fn words(known: &Known<'_>) -> Vec<u64> {
    let name = known.first(&["service.name", COMPOSE_SERVICE, "container.name", "k8s.container.name"]);
    name.map_or_else(Vec::new, |name| words_of(&name).collect())
}

fn names(known: &Known<'_>, machine: Machine) -> Vec<String> {
    let mut names = Names { names: Vec::new(), bytes: 0 };
    for name in ["k8s.pod.ip", "server.address", "k8s.pod.hostname", "k8s.pod.name", "container.name"] {
        names.add(known.get(name));
    }
    names.add(known.get("container.id").and_then(|id| id.get(..SHORT_ID).map(|id| Cow::Owned(id.to_owned()))));
    names.add(known.get(COMPOSE_SERVICE));
    // A service of Kubernetes has mostly the name of its workload.
    for service in [known.get("k8s.service.name"), workload(known)].into_iter().flatten() {
        if let Some(namespace) = known.get("k8s.namespace.name") {
            names.add(Some(Cow::Owned(format!("{service}.{namespace}"))));
        }
        names.add(Some(service));
    }
    // A pod is not reached by the address of its node, which it shares with strangers.
    let host = known.get("host.name");
    names.add(host.filter(|host| machine < Machine::Pod || is_inner(host, known)));
    if machine < Machine::Pod {
        for address in known.list("host.ip") {
            names.add(Some(address).filter(|address| is_of_one_host(address)));
        }
    }
    names.names
}

/// False for addresses that every host has: its loopback, Docker's bridge, the link's own.
fn is_of_one_host(address: &str) -> bool {
    !(address.starts_with("127.") || address == "::1" || address == "172.17.0.1" || address.starts_with("fe80:"))
}

struct Names {
    names: Vec<String>,
    bytes: usize,
}

impl Names {
    fn add(&mut self, name: Option<Cow<'_, str>>) {
        let Some(name) = name else { return };
        let name = name.to_ascii_lowercase();
        let fits = self.names.len() < NAMES_MAX && self.bytes + name.len() <= NAMES_BYTES_MAX;
        if fits && (1..=NAME_BYTES_MAX).contains(&name.len()) && !self.names.contains(&name) {
            self.bytes += name.len();
            self.names.push(name);
        }
    }
}

#[cfg(test)]
mod tests;
