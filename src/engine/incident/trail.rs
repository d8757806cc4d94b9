//! By what a failure is known to be of the same application as another.
//!
//! The same peer of one nginx is one application, and so is the log of one Gunicorn, and a service with its replicas. A
//! site alone is not: two applications may run on one host.

use super::super::case::Case;
use super::super::sites::{SiteRef, Sites};
use super::super::topology::Ties;
use crate::engine::verdict::Verdict;
use crate::read::address::AddressMatch;
use crate::read::text::hash64;
use std::ops::Deref;

/// Peers of one request that are looked at: the servers of one group.
const PEERS_MAX: usize = 8;
/// Sites that may have answered and are remembered.
const MACHINES_MAX: usize = 4;

/// What a name is of: equal names of two kinds are two.
#[derive(Clone, Copy)]
enum Kind {
    Peer = 1,
    Virtual = 2,
    Stream = 3,
    Service = 4,
    Machine = 5,
}

/// A few different hashes, in the order in which they came; past `N` none is added. Each failed request has two of these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Few<const N: usize> {
    all: [u64; N],
    count: usize,
}

impl<const N: usize> Default for Few<N> {
    fn default() -> Few<N> {
        Few { all: [0; N], count: 0 }
    }
}

impl<const N: usize> Few<N> {
    fn add(&mut self, hash: u64) {
        if !self.contains(&hash)
            && let Some(free) = self.all.get_mut(self.count)
        {
            *free = hash;
            self.count += 1;
        }
    }
}

impl<const N: usize> Deref for Few<N> {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        self.all.get(..self.count).unwrap_or_default()
    }
}

/// Where a failure leads to.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Trail {
    /// Hash of the place of nginx, or of the process that failed.
    pub(super) place: u64,
    /// Peers that nginx tried, or the virtual host where none is known.
    pub(super) peers: Few<PEERS_MAX>,
    /// A peer is known.
    pub(super) has_peer: bool,
    /// The virtual host; 0 where it is not known.
    pub(super) host: u64,
    /// The log of the Gunicorn that it is.
    pub(super) stream: Option<u64>,
    /// The service of that application.
    pub(super) service: Option<u64>,
    /// Sites that may be its application's.
    pub(super) machines: Few<MACHINES_MAX>,
    /// nginx's site, whose access log tells when requests are answered well again.
    pub(super) nginx: Option<SiteRef>,
    /// The Gunicorn whose log tells when it serves again: its site and stream.
    pub(super) server: Option<(SiteRef, u64)>,
}

impl Trail {
    /// Of a failed request of this nginx.
    pub(in crate::engine) fn of_request(
        case: &Case<'_>,
        nginx: SiteRef,
        ties: &Ties,
        sites: &Sites,
        verdict: &Verdict,
    ) -> Trail {
        let peer = |name: &str| named(Kind::Peer, nginx, name.as_bytes());
        let of_access = case.access().into_iter().flat_map(|access| &access.attempts).map(|attempt| &*attempt.address);
        let of_errors = case.request.errors.iter().filter_map(|error| error.what.upstream.as_deref());
        let names = case.upstream.into_iter().chain(verdict.upstream.as_deref()).chain(of_access).chain(of_errors);
        let mut peers = Few::default();
        // Nearly always all of them name the same.
        let mut last = "";
        for name in names.filter(|name| !name.is_empty()) {
            if name == last {
                continue;
            }
            last = name;
            peers.add(peer(name));
        }
        let has_peer = !peers.is_empty();
        if !has_peer {
            peers.add(named(Kind::Virtual, nginx, verdict.host.as_bytes()));
        }
        let is_sure = case.weight >= 1.0;
        let instance = case.instance.filter(|_| is_sure);
        let site_of = |stream: u64| {
            let has = |site: &SiteRef| {
                let of = sites.get(*site).map(|site| &site.world.gunicorns.instances);
                of.is_some_and(|instances| instances.iter().any(|instance| instance.source == stream))
            };
            ties.servers.iter().map(|tie| tie.site).find(has)
        };
        let server = instance.and_then(|instance| Some((site_of(instance.source)?, instance.source)));
        let stream = server.filter(|_| case.address >= AddressMatch::Maybe);
        let service_of = |site: SiteRef| sites.get(site).map_or(0, |site| site.place.service);
        let mut services = ties.servers.iter().map(|tie| tie.site).filter(|site| *site != nginx).map(service_of);
        let first = services.next().filter(|service| *service != 0);
        let service = first.filter(|first| services.all(|other| other == *first));
        Trail {
            place: case.place().site,
            peers,
            has_peer,
            host: if verdict.host.is_empty() { 0 } else { hash64(verdict.host.as_bytes()) },
            stream: stream.map(|(site, stream)| named(Kind::Stream, site, &stream.to_le_bytes())),
            service: service.map(of_service),
            machines: machines(ties.servers.iter().map(|tie| tie.site).chain([nginx])),
            nginx: Some(nginx),
            server,
        }
    }

    /// Of a failure that joins no request: a worker's end or a Gunicorn's, by its log; a line about a process has none.
    pub(in crate::engine) fn of_process(site: SiteRef, stream: Option<u64>, sites: &Sites) -> Trail {
        let place = sites.get(site).map(|site| &site.place);
        let service = place.map_or(0, |place| place.service);
        Trail {
            place: place.map_or(0, |place| place.site),
            stream: stream.map(|stream| named(Kind::Stream, site, &stream.to_le_bytes())),
            service: (service != 0 && stream.is_some()).then(|| of_service(service)),
            machines: machines([site].into_iter()),
            server: stream.map(|stream| (site, stream)),
            ..Trail::default()
        }
    }
}

fn machines(sites: impl Iterator<Item = SiteRef>) -> Few<MACHINES_MAX> {
    let mut found = Few::default();
    sites.for_each(|site| found.add(named(Kind::Machine, site, &[])));
    found
}

fn of_service(service: u64) -> u64 {
    hash64(&[(Kind::Service as u64).to_le_bytes(), service.to_le_bytes()].concat())
}

/// Bytes of a name that are looked at without a copy on the heap: an address with its port, and what stands before it.
const SHORT: usize = 128;

fn named(kind: Kind, site: SiteRef, name: &[u8]) -> u64 {
    let head = [(kind as u64).to_le_bytes(), site.first_number().to_le_bytes()];
    let length = head.as_flattened().len() + name.len();
    let mut short = [0; SHORT];
    match short.get_mut(..length) {
        Some(words) => {
            let (of_head, of_name) = words.split_at_mut(head.as_flattened().len());
            of_head.copy_from_slice(head.as_flattened());
            of_name.copy_from_slice(name);
            hash64(words)
        }
        None => hash64(&[head.as_flattened(), name].concat()),
    }
}
