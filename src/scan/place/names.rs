//! Names under which agents write where a record comes from: those of the semantic conventions, their own, and paths.

use crate::otlp::{AnyValue, Attributes, LogRecord};
use crate::read::text::hash64;
use crate::scan::fields::Fields;
use std::borrow::Cow;

/// Longest value that names anything; the longest in use is the ARN of a task.
const VALUE_BYTES_MAX: usize = 512;
/// Hexadecimal digits of a container's id.
const CONTAINER_ID: usize = 64;

/// Other names for those of the semantic conventions, where the resource or the record has them: Fluent Bit 4
/// (`plugins/filter_kubernetes`), Vector 0.50 (`kubernetes_logs`), Beats 9 (`add_kubernetes_metadata`), the labels that
/// the collector's `docker_observer` and Docker itself write, the Datadog agent's tags, journald, and older conventions.
const ALIASES: &[(&str, &str)] = &[
    ("k8s.namespace.name", "kubernetes.namespace_name"),
    ("k8s.namespace.name", "kubernetes.pod_namespace"),
    ("k8s.namespace.name", "kubernetes.namespace"),
    ("k8s.namespace.name", "kube_namespace"),
    ("k8s.pod.name", "kubernetes.pod_name"),
    ("k8s.pod.name", "kubernetes.pod.name"),
    ("k8s.pod.name", "pod_name"),
    ("k8s.pod.uid", "kubernetes.pod_id"),
    ("k8s.pod.uid", "kubernetes.pod_uid"),
    ("k8s.pod.uid", "kubernetes.pod.uid"),
    ("k8s.pod.ip", "kubernetes.pod_ip"),
    ("k8s.pod.ip", "kubernetes.pod.ip"),
    ("k8s.container.name", "kubernetes.container_name"),
    ("k8s.container.name", "kubernetes.container.name"),
    ("k8s.node.name", "kubernetes.host"),
    ("k8s.node.name", "kubernetes.pod_node_name"),
    ("k8s.node.name", "kubernetes.node.name"),
    ("k8s.deployment.name", "kubernetes.deployment.name"),
    ("k8s.deployment.name", "kube_deployment"),
    ("k8s.statefulset.name", "kubernetes.statefulset.name"),
    ("k8s.service.name", "kube_service"),
    ("container.id", "kubernetes.docker_id"),
    ("container.id", "container_id"),
    ("container.id", "CONTAINER_ID_FULL"),
    ("container.name", "container_name"),
    ("container.name", "CONTAINER_NAME"),
    ("host.name", "_HOSTNAME"),
    ("com.docker.compose.project", "container.label.com.docker.compose.project"),
    ("com.docker.compose.project", "docker.compose.project"),
    ("com.docker.compose.project", "label.com.docker.compose.project"),
    ("com.docker.compose.service", "container.label.com.docker.compose.service"),
    ("com.docker.compose.service", "docker.compose.service"),
    ("com.docker.compose.service", "label.com.docker.compose.service"),
];

/// What a record itself may say of where it comes from. No name that a program's own log could have by chance: a client
/// may choose the host that an access log names.
fn is_of_record(name: &[u8]) -> bool {
    name.starts_with(b"kubernetes.")
        || name.starts_with(b"k8s.")
        || matches!(
            name,
            b"container.id"
                | b"container_id"
                | b"container.name"
                | b"container_name"
                | b"CONTAINER_ID_FULL"
                | b"_HOSTNAME"
        )
}

/// Everything that is known of where a stream stands.
pub(super) struct Known<'a> {
    resource: Fields<'a>,
    record: Fields<'a>,
    path: OfPath<'a>,
    /// The resource, or the record, names a pod or container: the path says nothing new then.
    is_inside: bool,
}

impl<'a> Known<'a> {
    pub(super) fn new(resource: Fields<'a>, record: Fields<'a>, path: OfPath<'a>) -> Known<'a> {
        let mut known = Known { resource, record, path, is_inside: false };
        known.is_inside =
            ["k8s.pod.name", "k8s.pod.uid", "container.id"].iter().any(|name| known.written(name).is_some());
        known
    }

    /// The value of a name of the semantic conventions, or of a setting.
    pub(super) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.written(name).or_else(|| {
            let of_path = if self.is_inside { None } else { self.path.get(name) };
            of_path.map(Cow::Borrowed)
        })
    }

    fn written(&self, name: &str) -> Option<Cow<'_, str>> {
        let fits = |value: &Cow<'_, str>| (1..=VALUE_BYTES_MAX).contains(&value.trim().len());
        let names = || {
            let aliases = ALIASES.iter().filter(move |(of, _)| *of == name).map(|(_, alias)| *alias);
            std::iter::once(name).chain(aliases)
        };
        let of_resource = names().find_map(|name| self.resource.get(name).filter(fits));
        of_resource
            .or_else(|| {
                let of_record = |name: &&str| is_of_record(name.as_bytes());
                names().filter(of_record).find_map(|name| self.record.get(name).filter(fits))
            })
            .map(|value| match (name, value) {
                // Docker writes the name of a container behind a stroke.
                ("container.name", value) => Cow::Owned(value.trim_start_matches('/').to_owned()),
                (_, value) => value,
            })
    }

    /// The first of these names that has a value.
    pub(super) fn first(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        names.iter().find_map(|name| self.get(name))
    }

    /// The elements of a list.
    pub(super) fn list(&self, name: &str) -> Vec<Cow<'_, str>> {
        let joined = self.resource.get(name).unwrap_or_default();
        joined.split(',').map(|value| Cow::Owned(value.trim().to_owned())).collect()
    }
}

/// True when the attributes of a resource name a pod or container: what its records say of theirs is not looked at.
pub(in crate::scan) fn names_a_place(resource: Attributes<'_>) -> bool {
    resource.take(RESOURCE_PAIRS_MAX).any(|pair| matches!(pair.key, b"k8s.pod.name" | b"k8s.pod.uid" | b"container.id"))
}

/// Attributes of a resource that are looked at for each request; usual ones have some twenty.
const RESOURCE_PAIRS_MAX: usize = 128;
/// Pairs of a body, or of the map `kubernetes` in it, that are looked at for each record.
const RECORD_PAIRS_MAX: usize = 64;

/// A hash of what a record says of where it comes from; 0 where it says nothing.
pub(in crate::scan) fn hash_of_record(record: &LogRecord<'_>) -> u64 {
    let body = match record.body() {
        Some(AnyValue::Map(body)) => hash_of_pairs(body),
        _ => 0,
    };
    body ^ hash_of_pairs(record.attributes())
}

fn hash_of_pairs(pairs: Attributes<'_>) -> u64 {
    let mut hash = 0_u64;
    for pair in pairs.take(RECORD_PAIRS_MAX) {
        if pair.key == b"kubernetes" {
            if let AnyValue::Map(inner) = pair.value() {
                // Labels and annotations are maps within: they are left out.
                let texts = inner.take(RECORD_PAIRS_MAX).filter_map(|pair| Some((pair.key, pair.value().as_string()?)));
                hash = texts.fold(hash, |hash, (key, value)| hash ^ hash_of_pair(key, value));
            }
        } else if is_of_record(pair.key)
            && let Some(value) = pair.value().as_string()
        {
            hash ^= hash_of_pair(pair.key, value);
        }
    }
    hash
}

/// Pairs may stand in any order.
fn hash_of_pair(key: &[u8], value: &[u8]) -> u64 {
    hash64(key).rotate_left(31) ^ hash64(value.get(..VALUE_BYTES_MAX).unwrap_or(value))
}

/// Names and values of a record, its body's included.
pub(super) fn of_record<'a>(record: &LogRecord<'a>) -> Fields<'a> {
    let mut fields = Fields::of(record.attributes());
    if let Some(AnyValue::Map(body)) = record.body() {
        fields.add(body);
    }
    fields
}

/// What a path of the kubelet or of Docker says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OfPath<'a> {
    namespace: Option<&'a str>,
    pod: Option<&'a str>,
    uid: Option<&'a str>,
    container: Option<&'a str>,
    id: Option<&'a str>,
}

impl<'a> OfPath<'a> {
    /// `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/0.log`, `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`
    /// (kubelet, `pkg/kubelet/kuberuntime/helpers.go` and `legacy.go`), `/var/lib/docker/containers/ID/ID-json.log`.
    /// Whatever stands before them is where the agent sees the host's files.
    pub(super) fn read(path: &'a [u8]) -> OfPath<'a> {
        std::str::from_utf8(path).ok().and_then(OfPath::of).unwrap_or_default()
    }

    fn of(path: &'a str) -> Option<OfPath<'a>> {
        let is_id = |id: &&str| id.len() == CONTAINER_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let behind = |folder: &str| path.rsplit_once(folder).map(|(_, behind)| behind);
        if let Some(behind) = behind("/log/pods/") {
            let mut parts = behind.split('/');
            let mut names = parts.next()?.split('_');
            let (namespace, pod, uid) = (names.next()?, names.next()?, names.next()?);
            return Some(OfPath {
                namespace: Some(namespace),
                pod: Some(pod),
                uid: Some(uid),
                container: parts.next(),
                id: None,
            });
        }
        if let Some(behind) = behind("/log/containers/") {
            let mut names = behind.strip_suffix(".log")?.split('_');
            let (pod, namespace) = (names.next()?, names.next()?);
            let (container, id) = names.next()?.rsplit_once('-')?;
            return Some(OfPath {
                namespace: Some(namespace),
                pod: Some(pod),
                uid: None,
                container: Some(container),
                id: Some(id).filter(is_id),
            });
        }
        let id = behind("/docker/containers/")?.split('/').next().filter(is_id);
        Some(OfPath { id, ..OfPath::default() })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        match name {
            "k8s.namespace.name" => self.namespace,
            "k8s.pod.name" => self.pod,
            "k8s.pod.uid" => self.uid,
            "k8s.container.name" => self.container,
            "container.id" => self.id,
            _ => None,
        }
        .filter(|value| !value.is_empty())
    }
}
