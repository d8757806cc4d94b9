//! Which sites a run of files is of: one, unless lines, folders or envelopes say otherwise.
//!
//! In order:
//! 1. the path names a pod or a container, as the kubelet and Docker lay their logs out;
//! 2. the lines carry names of containers, pods or hosts (`web-1  | ...`), at least two of one kind;
//! 3. sibling folders hold the same log of nginx (`web-1/access.log`, `web-2/access.log`), and no log of nginx lies outside
//!    of such folders.
//!
//! What none of them places, and everything where they find one site alone, is of the place that nothing is known of.
//! Pure: paths and names in, places out. They are those of the live pipeline (`src/scan/place.rs`), where the path of a
//! file, the name in a line and the resource of a span say the same.

use crate::engine::place::{Machine, Place, Stream, words_of};
use crate::read::evidence::{self, Evidence, OriginKind};
use crate::read::formats::Format;
use crate::read::text::hash64;
use crate::scan::place;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Names of containers, pods and hosts that are looked at to see whether there are several.
pub(super) const ORIGINS_MAX: usize = 1_024;

/// Who wrote a line, as its envelope says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    /// Container, pod or host.
    pub(super) machine: Machine,
    /// Its name; of a pod without its container.
    pub(super) name: String,
}

impl Origin {
    /// What the envelope of a record says; `None` where it has none, or one that names a unit of a host.
    pub(super) fn of(evidence: &Evidence) -> Option<Origin> {
        evidence.origin.as_ref().and_then(Origin::named)
    }

    /// The same of a healthy line.
    pub(super) fn of_line(line: &[u8]) -> Option<Origin> {
        let line = String::from_utf8_lossy(line);
        crate::read::peel::peel(&line).origin.as_ref().and_then(Origin::named)
    }

    fn named(origin: &evidence::Origin) -> Option<Origin> {
        let machine = match origin.kind {
            OriginKind::Container => Machine::Container,
            OriginKind::Pod => Machine::Pod,
            OriginKind::Host => Machine::Host,
            OriginKind::Unit => return None,
        };
        Some(Origin { machine, name: origin.name.clone() })
    }
}

/// What was seen of the files of one rotated set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The path without its rotation; `None` for standard input.
    pub(super) path: Option<String>,
    /// In which formats of nginx lines are.
    pub(super) nginx: BTreeSet<Format>,
    /// What envelopes name.
    pub(super) origins: BTreeSet<Origin>,
}

/// The places of all streams.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sites {
    /// Of streams that stand in one known place.
    by_stream: BTreeMap<u64, Arc<Place>>,
    /// Lines with an origin stand in its place.
    by_origin: bool,
    /// Words in the names of the files.
    words: BTreeMap<u64, Vec<u64>>,
    /// The only host that is named, on which all containers are then.
    host: Option<String>,
}

impl Sites {
    /// Finds the sites of a run.
    pub(super) fn of(streams: &BTreeMap<u64, Seen>) -> Sites {
        let name = |seen: &Seen| Some(seen.path.as_deref()?.rsplit('/').next()?.to_owned());
        let named = streams.iter().filter_map(|(id, seen)| Some((*id, words_of(&name(seen)?).collect())));
        Sites { words: named.collect(), ..Sites::placed(streams) }
    }

    fn placed(streams: &BTreeMap<u64, Seen>) -> Sites {
        let mut sites = Sites::default();
        for (id, seen) in streams {
            if let Some(place) = seen.path.as_deref().and_then(of_path) {
                sites.by_stream.insert(*id, Arc::new(place));
            }
        }
        if !sites.by_stream.is_empty() {
            if sites.by_stream.values().map(|place| place.site).collect::<BTreeSet<_>>().len() < 2 {
                return Sites::default();
            }
            return sites;
        }
        let origins: BTreeSet<&Origin> = streams.values().flat_map(|seen| &seen.origins).collect();
        let of_kind = |machine: Machine| origins.iter().filter(move |origin| origin.machine == machine);
        if [Machine::Container, Machine::Pod, Machine::Host].iter().any(|machine| of_kind(*machine).count() > 1) {
            let mut hosts = of_kind(Machine::Host);
            let host = hosts.next().map(|host| host.name.clone()).filter(|_| hosts.next().is_none());
            return Sites { by_origin: true, host, ..sites };
        }
        sites.by_stream = of_folders(streams);
        sites
    }

    /// The site of a stream, where that is known.
    pub(super) fn site_of(&self, id: u64) -> Option<u64> {
        self.by_stream.get(&id).map(|place| place.site)
    }

    /// What the engine knows a stream by, where its lines do not say more.
    pub(super) fn stream(&self, id: u64) -> Stream {
        let place = self.by_stream.get(&id).cloned().unwrap_or_default();
        let Some(words) = self.words.get(&id) else { return Stream { id, place } };
        Stream { id, place: Arc::new(Place { words: words.clone(), ..Place::clone(&place) }) }
    }

    /// True where no file has a known place.
    pub(super) fn are_one(&self) -> bool {
        self.by_stream.is_empty() && !self.by_origin
    }

    /// True where a line's own origin decides.
    pub(super) fn are_by_origin(&self) -> bool {
        self.by_origin
    }

    /// What the engine knows the lines of one origin within a stream by.
    pub(super) fn stream_of(&self, id: u64, origin: &Origin) -> Stream {
        let key = match origin.machine {
            Machine::Pod => "k8s.pod.name",
            Machine::Container => "container.name",
            Machine::Host | Machine::Unknown => "host.name",
        };
        let name = origin.name.to_ascii_lowercase();
        let host = if origin.machine == Machine::Host { Some(&name) } else { self.host.as_ref() };
        let mut names = vec![name.clone()];
        names.extend(without_number(&name).map(str::to_owned));
        let place = Place {
            site: site(&[key, &origin.name]),
            machine: origin.machine,
            host: host.map_or(0, |host| hash64(host.to_ascii_lowercase().as_bytes())),
            // What one file or one run shows together was started together.
            namespace: if origin.machine == Machine::Host { 0 } else { hash64(b"explain") },
            names,
            words: words_of(&origin.name).collect(),
            ..Place::default()
        };
        Stream { id: hash64(format!("{id} {}", place.site).as_bytes()), place: Arc::new(place) }
    }
}

/// `web-1`, `web_1` of compose, which nginx reaches as `web`.
fn without_number(name: &str) -> Option<&str> {
    let service = name.trim_end_matches(|c: char| c.is_ascii_digit());
    service.strip_suffix(['-', '_']).filter(|service| service.len() < name.len() && !service.is_empty())
}

/// The pod or container that the path of a log names, as the kubelet and Docker lay them out.
fn of_path(path: &str) -> Option<Place> {
    let mut place = place::Sites::default().of_path(path)?;
    if let (Machine::Container, Some((of_host, _))) = (place.machine, path.rsplit_once("/containers/")) {
        // Docker's folder is of one host.
        place.host = hash64(of_host.as_bytes());
    }
    Some(place)
}

/// 0 is the site that nothing names.
fn site(words: &[&str]) -> u64 {
    hash64(words.join("\0").as_bytes()).max(1)
}

/// Folders that each are a site.
fn of_folders(streams: &BTreeMap<u64, Seen>) -> BTreeMap<u64, Arc<Place>> {
    let mut paths: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    let mut logs: Vec<(Vec<&str>, Format)> = Vec::new();
    for (id, seen) in streams {
        let Some(path) = &seen.path else {
            if !seen.nginx.is_empty() {
                // Standard input lies in no folder.
                return BTreeMap::new();
            }
            continue;
        };
        let parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
        logs.extend(seen.nginx.iter().map(|format| (parts.clone(), role(*format))));
        paths.insert(*id, parts);
    }
    let Some(((first, _), others)) = logs.split_first() else { return BTreeMap::new() };
    // Where the paths of nginx's logs part.
    let common = |other: &[&str]| first.iter().zip(other).take_while(|(one, other)| one == other).count();
    let fork = others.iter().map(|(path, _)| common(path)).min().unwrap_or(first.len());
    let mut folders_of: BTreeMap<(&[&str], Format), BTreeSet<&str>> = BTreeMap::new();
    let mut folders: BTreeSet<&str> = BTreeSet::new();
    for (path, format) in &logs {
        match path.get(fork..) {
            Some([folder, below @ ..]) if !below.is_empty() => {
                folders.insert(folder);
                folders_of.entry((below, *format)).or_default().insert(folder);
            }
            // It lies beside the folders.
            _ => return BTreeMap::new(),
        }
    }
    let alike: BTreeSet<&str> = folders_of.into_values().filter(|of| of.len() > 1).flatten().collect();
    if alike.is_empty() || alike != folders {
        return BTreeMap::new();
    }
    let above = first.get(..fork).unwrap_or_default();
    let placed = paths.into_iter().filter_map(|(id, path)| {
        let Some([folder, _, ..]) = path.strip_prefix(above) else { return None };
        let folder = folders.get(folder)?;
        // Mostly it has the name of its host.
        let name = folder.to_ascii_lowercase();
        let place = Place {
            site: site(&["host.name", folder]),
            machine: Machine::Host,
            host: hash64(name.as_bytes()),
            names: vec![name],
            ..Place::default()
        };
        Some((id, Arc::new(place)))
    });
    placed.collect()
}

/// Two nginxes may write their access logs in two formats: both are access logs.
fn role(format: Format) -> Format {
    if format == Format::NginxAccessJson { Format::NginxAccess } else { format }
}

#[cfg(test)]
mod tests;
