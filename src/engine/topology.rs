//! Which site's application server answers which site's nginx.
//!
//! nginx and its application server are often not of one site: a pod before three, a proxy on a host of its own, an
//! ingress before many services. What ties them, the surest first: a rule of the configuration, a request whose trace was
//! followed, an address or a name, the site itself, the name of the service; else, where one application is in view and
//! nothing contradicts, that is the one, and the nearer place wins. Of several in view each is as likely as the others,
//! which lowers what its words are worth; an application whose address is known and another is never the one.

use super::place::{Machine, Place};
use super::sites::{SiteRef, Sites};
use crate::read::address::{AddressMatch, compare, host_of, is_local, may_be_meant};
use crate::read::evidence::{Nanos, SECOND};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Ties remembered for one nginx: one for each upstream address that its failures name.
const UPSTREAMS_MAX: usize = 256;
/// Ties that were learned of one application: proxies before it, with their addresses.
const LEARNED_MAX: usize = 64;
/// Sites of one name, service, namespace, host or application that are looked at: replicas.
const CANDIDATES_MAX: usize = 64;
/// Applications in view of which each may be the one: past it none is likely enough to be worth a word.
const APPLICATIONS_MAX: usize = 16;
/// Hosts under one pod or container: one, unless names are shared.
const HOSTS_MAX: usize = 4;
/// Services of one site that are told apart.
const SERVICES_MAX: usize = 16;
/// Ties are looked at anew at most so often, however often something joins: in a crowd of sites something always does.
const RENEW_AFTER: Nanos = SECOND / 4;
/// What the words of the only application in view are worth where it is on another machine and nothing says that nginx
/// goes there.
pub(super) const ELSEWHERE: f64 = 0.8;

/// What an explicit rule of the topology says beside who stands on its sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamRule {
    /// The peer as nginx writes it, `10.0.0.1:8000` or `unix:/run/gunicorn.sock`; any where `None`.
    pub address: Option<String>,
}

/// One site that may have answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tie {
    /// The site.
    pub(super) site: SiteRef,
    /// Probability that it is the one, given that one of those in view is.
    pub(super) weight: f64,
}

/// What a failure of one nginx and upstream may be explained by.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ties {
    /// Sites whose application server it may have been, by their logs.
    pub(super) servers: Vec<Tie>,
    /// Where there is none: the only application in view, which does not listen where nginx tries, or only where nginx cannot
    /// reach it. No answer came from it, but it may be the one that was meant.
    pub(super) meant: Vec<Tie>,
    /// Sites whose spans may be of its requests.
    pub(super) spans: Vec<Tie>,
    /// Hosts under these and under nginx, whose lines about processes count.
    pub(super) hosts: Vec<SiteRef>,
}

/// How a site is tied; the greater the surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Of the same site, and listens elsewhere: no answer came from it, but it may be the one that was meant.
    OwnElsewhere,
    /// In view.
    Far,
    /// On the same host.
    Host,
    /// In the same namespace.
    Namespace,
    /// Of the same service.
    Service,
    /// The same site.
    Own,
    /// The address or name that nginx tried.
    Address,
    /// A request was followed there.
    Learned,
    /// The configuration says so.
    Explicit,
}

/// What a site was seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// An nginx writes there.
    Nginx,
    /// An application server writes there.
    Server,
    /// Spans of requests come from there.
    Spans,
    /// Lines about processes come from there.
    Host,
}

impl Role {
    /// How many there are.
    pub(super) const COUNT: usize = 4;
}

#[derive(Debug, Default)]
struct Card {
    place: Arc<Place>,
    roles: BTreeSet<Role>,
    /// Names of its services, hashed.
    services: Vec<u64>,
    /// Whose requests were followed here, to which address.
    learned: Vec<(SiteRef, Option<String>)>,
}

/// By what a site is found without a look at all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// It has a side in an explicit rule.
    Ruled,
    /// A request of this nginx was followed there.
    LearnedOf(SiteRef),
    /// One of its addresses and names.
    Name(String),
    /// One of its services.
    Service(u64),
    /// Its namespace.
    Namespace(u64),
    /// Its host.
    Host(u64),
    /// It has this role.
    Role(Role),
}

/// What is known of the sites' relations.
#[derive(Debug, Default)]
pub(super) struct Topology {
    rules: Vec<UpstreamRule>,
    cards: BTreeMap<SiteRef, Card>,
    /// Sites by what they are found by.
    by_key: BTreeMap<Key, BTreeSet<SiteRef>>,
    /// Applications in view without an nginx of their own: sites by their service, each by itself where that is unknown.
    applications: BTreeMap<(u64, Option<SiteRef>), BTreeSet<SiteRef>>,
    /// Raised by everything that may change a tie.
    version: u64,
    known: BTreeMap<SiteRef, OfNginx>,
}

/// The ties of one nginx.
#[derive(Debug, Default)]
struct OfNginx {
    /// Where the upstream is not known.
    any: Option<Known>,
    by_upstream: BTreeMap<String, Known>,
}

impl OfNginx {
    fn get(&self, upstream: Option<&str>) -> Option<&Known> {
        upstream.map_or(self.any.as_ref(), |upstream| self.by_upstream.get(upstream))
    }
}

#[derive(Debug)]
struct Known {
    version: u64,
    at: Nanos,
    ties: Arc<Ties>,
}

impl Topology {
    pub(super) fn with_rules(rules: Vec<UpstreamRule>) -> Topology {
        Topology { rules, ..Topology::default() }
    }

    /// Notes what a site is seen to be, and its services.
    pub(super) fn note(&mut self, site: SiteRef, role: Role, place: &Arc<Place>) {
        let is_new = !self.cards.contains_key(&site);
        let card = self.cards.entry(site).or_default();
        let mut keys = Vec::new();
        if is_new {
            card.place = Arc::clone(place);
            keys.extend(place.names.iter().map(|name| Key::Name(name.to_ascii_lowercase())));
            keys.extend((place.server_of != 0).then_some(Key::Ruled));
            keys.extend((place.namespace != 0).then_some(Key::Namespace(place.namespace)));
            keys.extend((place.host != 0).then_some(Key::Host(place.host)));
        }
        if card.roles.insert(role) {
            keys.push(Key::Role(role));
        }
        // An SDK knows the service's name alone, a collector's logs the workload as well.
        for service in [place.service, place.service_name] {
            if service != 0 && card.services.len() < SERVICES_MAX && !card.services.contains(&service) {
                card.services.push(service);
                keys.push(Key::Service(service));
            }
        }
        let application = application_of(site, card);
        let (serves, has_nginx) = (card.serves(), card.roles.contains(&Role::Nginx));
        if keys.is_empty() {
            return;
        }
        self.version += 1;
        for key in keys {
            self.by_key.entry(key).or_default().insert(site);
        }
        if serves && !has_nginx {
            self.applications.entry(application).or_default().insert(site);
        } else {
            remove_from(&mut self.applications, &application, site);
        }
    }

    /// A Gunicorn said where it listens.
    pub(super) fn moved(&mut self) {
        self.version += 1;
    }

    /// A request of an nginx was followed to a site by an id that both know.
    pub(super) fn learn(&mut self, nginx: SiteRef, server: SiteRef, upstream: Option<&str>) {
        let card = self.cards.entry(server).or_default();
        let learned = (nginx, upstream.map(str::to_owned));
        if nginx != server && card.learned.len() < LEARNED_MAX && !card.learned.contains(&learned) {
            card.learned.push(learned);
            self.by_key.entry(Key::LearnedOf(nginx)).or_default().insert(server);
            self.version += 1;
        }
    }

    /// Forgets a site.
    pub(super) fn forget(&mut self, site: SiteRef) {
        self.known.remove(&site);
        self.by_key.remove(&Key::LearnedOf(site));
        let Some(card) = self.cards.remove(&site) else { return };
        self.version += 1;
        remove_from(&mut self.applications, &application_of(site, &card), site);
        for key in card.keys() {
            remove_from(&mut self.by_key, &key, site);
        }
    }

    /// Every tie is looked at anew when it is asked for next: after the last evidence.
    pub(super) fn renew(&mut self) {
        self.known.clear();
    }

    /// The sites in which an nginx writes.
    pub(super) fn nginxes(&self) -> impl Iterator<Item = SiteRef> {
        self.having(Key::Role(Role::Nginx))
    }

    /// The same, those first that are most likely to ask a site: its own, of its namespace, on its host.
    pub(super) fn nginxes_near(&self, site: SiteRef) -> impl Iterator<Item = SiteRef> {
        let place = self.cards.get(&site).map(|card| Arc::clone(&card.place)).unwrap_or_default();
        let near = [(place.namespace != 0, Key::Namespace(place.namespace)), (place.host != 0, Key::Host(place.host))];
        let near = near.into_iter().filter(|(known, _)| *known).flat_map(|(_, key)| self.having(key));
        let is_nginx = |at: &SiteRef| self.cards.get(at).is_some_and(|card| card.roles.contains(&Role::Nginx));
        std::iter::once(site).chain(near).filter(is_nginx).chain(self.nginxes())
    }

    fn having(&self, key: Key) -> impl Iterator<Item = SiteRef> {
        self.by_key.get(&key).into_iter().flatten().copied()
    }

    /// What the failures of an nginx with this upstream may be explained by.
    pub(super) fn ties(&mut self, now: Nanos, nginx: SiteRef, upstream: Option<&str>, sites: &Sites) -> Arc<Ties> {
        let version = self.version;
        if let Some(known) = self.known.get(&nginx).and_then(|of_nginx| of_nginx.get(upstream))
            && (known.version == version || now.saturating_sub(known.at).unsigned_abs() < RENEW_AFTER.unsigned_abs())
        {
            return Arc::clone(&known.ties);
        }
        let ties = Arc::new(self.look(nginx, upstream, sites));
        let known = Known { version, at: now, ties: Arc::clone(&ties) };
        let of_nginx = self.known.entry(nginx).or_default();
        match upstream {
            Some(upstream) => {
                if of_nginx.by_upstream.len() >= UPSTREAMS_MAX {
                    of_nginx.by_upstream.clear();
                }
                of_nginx.by_upstream.insert(upstream.to_owned(), known);
            }
            None => of_nginx.any = Some(known),
        }
        ties
    }

    fn look(&self, nginx: SiteRef, upstream: Option<&str>, sites: &Sites) -> Ties {
        let Some(own) = sites.get(nginx) else { return Ties::default() };
        let view = View { topology: self, sites, nginx, own: &own.place, upstream };
        let servers = view.chosen(Role::Server, &view.services_of(nginx));
        let meant = if servers.is_empty() { view.meant() } else { Vec::new() };
        let mut services = view.services_of(nginx);
        let sure = servers.iter().filter(|tie| tie.weight == 1.0);
        sure.for_each(|tie| services.extend(view.services_of(tie.site)));
        let spans = view.chosen(Role::Spans, &services);
        let mut hosts = self.hosts_under(nginx, sites);
        for server in &servers {
            let others = self.hosts_under(server.site, sites).into_iter();
            hosts.extend(others.filter(|host| *host != nginx && !servers.iter().any(|tie| tie.site == *host)));
        }
        hosts.sort_unstable();
        hosts.dedup();
        Ties { servers, meant, spans, hosts }
    }

    /// The host under a pod or container, where its lines about processes are read by themselves.
    pub(super) fn hosts_under(&self, site: SiteRef, sites: &Sites) -> Vec<SiteRef> {
        let Some(place) = sites.get(site).map(|found| &found.place) else { return Vec::new() };
        if place.host == 0 || place.machine <= Machine::Host {
            return Vec::new();
        }
        let is_under = |host: &SiteRef| {
            let tells = self.cards.get(host).is_some_and(|card| card.roles.contains(&Role::Host));
            tells && sites.get(*host).is_some_and(|found| found.place.machine == Machine::Host)
        };
        self.having(Key::Host(place.host)).filter(is_under).take(HOSTS_MAX).collect()
    }
}

impl Card {
    fn serves(&self) -> bool {
        self.roles.contains(&Role::Server) || self.roles.contains(&Role::Spans)
    }

    /// By what it is found, but for whose requests were followed there.
    fn keys(&self) -> impl Iterator<Item = Key> {
        let names = self.place.names.iter().map(|name| Key::Name(name.to_ascii_lowercase()));
        let of_place = [Key::Ruled, Key::Namespace(self.place.namespace), Key::Host(self.place.host)];
        let services = self.services.iter().map(|service| Key::Service(*service));
        let learned = self.learned.iter().map(|(nginx, _)| Key::LearnedOf(*nginx));
        let roles = self.roles.iter().map(|role| Key::Role(*role));
        names.chain(of_place).chain(services).chain(learned).chain(roles)
    }
}

/// The application of a site: its service, or the site itself.
fn application_of(site: SiteRef, card: &Card) -> (u64, Option<SiteRef>) {
    let service = card.place.service;
    (service, (service == 0).then_some(site))
}

fn remove_from<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<SiteRef>>, key: &K, site: SiteRef) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(&site);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

/// One nginx that looks for whom it asked.
struct View<'a> {
    topology: &'a Topology,
    sites: &'a Sites,
    nginx: SiteRef,
    own: &'a Place,
    upstream: Option<&'a str>,
}

impl View<'_> {
    fn services_of(&self, site: SiteRef) -> Vec<u64> {
        self.topology.cards.get(&site).map(|card| card.services.clone()).unwrap_or_default()
    }

    /// The sites of the highest rank. `services` are those that nginx's side is known to be of.
    fn chosen(&self, role: Role, services: &[u64]) -> Vec<Tie> {
        let mut ranked: Vec<(Rank, SiteRef)> = Vec::new();
        for site in self.candidates(services) {
            if let Some(card) = self.topology.cards.get(&site).filter(|card| card.roles.contains(&role))
                && let Some(rank) = self.rank(site, card, role, services)
            {
                ranked.push((rank, site));
            }
        }
        let Some(best) = ranked.iter().map(|(rank, _)| *rank).max() else { return Vec::new() };
        // Spans of the application come under its service's name alone, and its logs under its machine's as well.
        let of_best =
            |rank: Rank| rank == best || role == Role::Spans && rank >= Rank::Service && best >= Rank::Service;
        let chosen: Vec<SiteRef> =
            ranked.into_iter().filter(|(rank, _)| of_best(*rank)).map(|(_, site)| site).collect();
        let weight = if best >= Rank::Service || best == Rank::OwnElsewhere { 1.0 } else { self.weight(best, &chosen) };
        chosen.into_iter().map(|site| Tie { site, weight }).collect()
    }

    /// The only application in view, where its log says that it listens and nginx's address is not there but could have been
    /// meant for it: nginx tries its own container or pod, or the other one listens on its own loopback address alone.
    fn meant(&self) -> Vec<Tie> {
        let Some(upstream) = self.upstream.filter(|_| self.topology.applications.len() == 1) else { return Vec::new() };
        let is_meant = |site: &SiteRef| {
            self.sites.get(*site).is_some_and(|found| {
                let apart = self.own.machine.max(found.place.machine) >= Machine::Container;
                let bound = || found.world.gunicorns.instances.iter().flat_map(|instance| &instance.addresses);
                *site != self.nginx && apart && bound().any(|bound| is_local(upstream) || may_be_meant(upstream, bound))
            })
        };
        let sites = self.topology.applications.values().flatten().copied().filter(is_meant);
        let sites: Vec<SiteRef> = sites.take(CANDIDATES_MAX).collect();
        let weight = self.weight(Rank::Far, &sites);
        sites.into_iter().map(|site| Tie { site, weight }).collect()
    }

    /// Sites that may be tied in any way. In a crowd of applications none is likelier than another, and none is asked.
    fn candidates(&self, services: &[u64]) -> BTreeSet<SiteRef> {
        let topology = self.topology;
        let mut keys = vec![Key::Ruled, Key::LearnedOf(self.nginx)];
        keys.extend(self.upstream.and_then(host_of).map(|host| Key::Name(host.to_ascii_lowercase())));
        keys.extend(services.iter().map(|service| Key::Service(*service)));
        keys.extend((self.own.namespace != 0).then_some(Key::Namespace(self.own.namespace)));
        keys.extend((self.own.host != 0).then_some(Key::Host(self.own.host)));
        let mut found = BTreeSet::from([self.nginx]);
        for key in keys {
            found.extend(topology.having(key).take(CANDIDATES_MAX));
        }
        if topology.applications.len() <= APPLICATIONS_MAX {
            found.extend(topology.applications.values().flat_map(|sites| sites.iter().take(CANDIDATES_MAX)));
        }
        found
    }

    /// Nothing ties them but that they are in view: one application of so many.
    fn weight(&self, rank: Rank, chosen: &[SiteRef]) -> f64 {
        let of = |site: &SiteRef| self.topology.cards.get(site).map(|card| application_of(*site, card));
        let applications: BTreeSet<_> = chosen.iter().filter_map(of).collect();
        let elsewhere = rank == Rank::Far
            && self.own.machine != Machine::Unknown
            && chosen
                .iter()
                .any(|site| self.sites.get(*site).is_some_and(|found| found.place.machine != Machine::Unknown));
        (if elsewhere { ELSEWHERE } else { 1.0 }) / applications.len().max(1) as f64
    }

    fn rank(&self, site: SiteRef, card: &Card, role: Role, services: &[u64]) -> Option<Rank> {
        let found = self.sites.get(site)?;
        let place = &*found.place;
        if self.is_ruled(place) {
            return Some(Rank::Explicit);
        }
        if site != self.nginx {
            let followed = |(nginx, address): &(SiteRef, Option<String>)| {
                *nginx == self.nginx && (address.is_none() || address.as_deref() == self.upstream)
            };
            if card.learned.iter().any(followed) {
                return Some(Rank::Learned);
            }
        }
        let listening = found.world.gunicorns.instances.iter().filter(|instance| !instance.addresses.is_empty());
        let unknown = found.world.gunicorns.instances.iter().any(|instance| instance.addresses.is_empty());
        let best = listening.map(|instance| self.fit(instance.matches(self.upstream), place, site)).max();
        let is_named = site != self.nginx && self.names(place);
        match best {
            // What listens there listens elsewhere, and there is no other.
            Some(AddressMatch::No) if role == Role::Server && !unknown => {
                return (site == self.nginx).then_some(Rank::OwnElsewhere);
            }
            Some(AddressMatch::Yes) => return Some(Rank::Address),
            _ if is_named => return Some(Rank::Address),
            _ => {}
        }
        if site == self.nginx {
            return Some(Rank::Own);
        }
        // A socket and the loopback address lead to the same machine.
        let local = self.upstream.is_some_and(is_local);
        let apart = place.host != self.own.host && place.host != 0 && self.own.host != 0;
        if local && (apart || place.machine == Machine::Pod && self.own.machine == Machine::Pod) {
            return None;
        }
        if card.services.iter().any(|service| services.contains(service)) {
            return Some(Rank::Service);
        }
        if card.roles.contains(&Role::Nginx) {
            // It has an nginx of its own.
            return None;
        }
        // Pods and containers of all kinds meet on one host.
        let strange = place.namespace != 0 && self.own.namespace != 0 && place.namespace != self.own.namespace;
        if place.namespace != 0 && place.namespace == self.own.namespace {
            Some(Rank::Namespace)
        } else if place.host != 0 && place.host == self.own.host && !strange {
            Some(Rank::Host)
        } else {
            Some(Rank::Far)
        }
    }

    /// An address of another machine: `0.0.0.0` there is that machine's, and so is its loopback.
    fn fit(&self, fit: AddressMatch, place: &Place, site: SiteRef) -> AddressMatch {
        if site == self.nginx {
            return fit;
        }
        match fit {
            AddressMatch::Yes if !self.names(place) => AddressMatch::Maybe,
            // Containers and pods are reached through mapped ports as well.
            AddressMatch::Mapped if place.machine < Machine::Container => AddressMatch::No,
            other => other,
        }
    }

    fn names(&self, place: &Place) -> bool {
        let host = self.upstream.and_then(host_of).filter(|host| !host.is_empty());
        host.is_some_and(|host| place.names.iter().any(|name| name.eq_ignore_ascii_case(host)))
    }

    fn is_ruled(&self, place: &Place) -> bool {
        let common = self.own.nginx_of & place.server_of;
        let mut rules = self.topology.rules.iter().enumerate().filter(|(index, _)| common >> index & 1 == 1);
        rules.any(|(_, rule)| match (&rule.address, self.upstream) {
            (Some(address), Some(upstream)) => compare(upstream, address) >= AddressMatch::Maybe,
            _ => true,
        })
    }
}
