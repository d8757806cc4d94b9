//! What is in sight around a request: the only door through which causes and the linker look at it.
//!
//! nginx's own site, and of the sites that the topology ties to it what an application server and its machine tell. Each
//! method goes on from oldest to newest within a site and back with `rev`; none of them copies.

mod chosen;

use super::Case;
use crate::engine::correlate::gunicorn::{Boot, Death, Instance};
use crate::engine::correlate::join::Requests;
use crate::engine::correlate::link::Asked;
use crate::engine::correlate::link::goods::Goods;
use crate::engine::correlate::link::row::Row;
use crate::engine::correlate::link::scene::Column;
use crate::engine::correlate::spans::SpanRow;
use crate::engine::correlate::world::{Failure, HostSeen, World};
use crate::engine::correlate::{Interval, Seen};
use crate::engine::place::{Machine, Place};
use crate::engine::sites::{SiteRef, Sites};
use crate::engine::topology::Ties;
use crate::engine::verdict::Quote;
use crate::read::address::AddressMatch;
use crate::read::evidence::{GunicornAccess, Nanos, SECOND, Symptom};
use crate::read::nginx_conf::NginxConf;

/// Names one end of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeathKey {
    /// Of which site.
    pub(in crate::engine) site: SiteRef,
    /// Its place among those in sight there.
    pub(in crate::engine) index: usize,
}

/// One site whose words may explain a request.
#[derive(Clone, Copy, Debug)]
struct Server<'a> {
    site: SiteRef,
    world: &'a World,
    weight: f64,
}

/// What a request of one nginx may be explained by.
#[derive(Debug)]
pub struct Sight<'a> {
    own: &'a World,
    requests: &'a Requests,
    goods: &'a Goods,
    place: &'a Place,
    servers: Vec<Server<'a>>,
    meant: Vec<Server<'a>>,
    spans: Vec<Server<'a>>,
    hosts: Vec<&'a World>,
}

impl<'a> Sight<'a> {
    /// Out of the ties of a site.
    pub(in crate::engine) fn new(sites: &'a Sites, at: SiteRef, ties: &Ties) -> Option<Sight<'a>> {
        let own = sites.get(at)?;
        let server = |tie: &crate::engine::topology::Tie| {
            sites.get(tie.site).map(|site| Server { site: tie.site, world: &site.world, weight: tie.weight })
        };
        let servers: Vec<Server<'a>> = ties.servers.iter().filter_map(server).collect();
        let of_servers = servers.iter().filter(|server| server.site != at).map(|server| server.world);
        let of_hosts = ties.hosts.iter().filter_map(|host| sites.get(*host)).map(|site| &site.world);
        Some(Sight {
            own: &own.world,
            requests: &own.requests,
            goods: &own.goods,
            place: &own.place,
            hosts: std::iter::once(&own.world).chain(of_servers).chain(of_hosts).collect(),
            servers,
            meant: ties.meant.iter().filter_map(server).collect(),
            spans: ties.spans.iter().filter_map(server).collect(),
        })
    }

    /// A site by itself, with the hosts under it.
    pub(in crate::engine) fn alone(sites: &'a Sites, at: SiteRef, hosts: &[SiteRef]) -> Option<Sight<'a>> {
        let own = sites.get(at)?;
        let server = Server { site: at, world: &own.world, weight: 1.0 };
        let under = hosts.iter().filter_map(|host| sites.get(*host)).map(|site| &site.world);
        Some(Sight {
            own: &own.world,
            requests: &own.requests,
            goods: &own.goods,
            place: &own.place,
            servers: vec![server],
            meant: Vec::new(),
            spans: vec![server],
            hosts: std::iter::once(&own.world).chain(under).collect(),
        })
    }

    /// nginx's own site.
    pub(in crate::engine) fn own(&self) -> &'a World {
        self.own
    }

    /// Requests that failed, of nginx's own site.
    pub(in crate::engine) fn requests(&self) -> &'a Requests {
        self.requests
    }

    /// Good requests of nginx's own site, where all are linked.
    pub(in crate::engine) fn goods(&self) -> &'a Goods {
        self.goods
    }

    /// True when the lines of good requests are in view.
    pub(in crate::engine) fn has_good(&self) -> bool {
        !self.goods.is_empty()
    }

    /// The attempts of good requests on a path that ended within a time by the clock of the spans.
    pub(in crate::engine) fn good_rows(&self, path: u64, from: Nanos, to: Nanos) -> Vec<Row> {
        let ahead = |source: u64| self.own.span_skew(source);
        if self.goods.is_empty() { Vec::new() } else { self.goods.rows(path, from, to, ahead) }
    }

    /// True when a span is known to be another request's.
    pub(in crate::engine) fn is_taken(&self, column: &Column<'_>, id: u64) -> bool {
        let linked = self.span_worlds().find_map(|world| world.spans.linked(column.number));
        linked.is_some_and(|linked| linked != id)
            || self.requests.is_of_another(column.span, id)
            || self.goods.names(&column.span.trace_id)
    }

    /// Spans with a path, by its hash, that ended within a time, each with its number.
    pub(in crate::engine) fn spans_on_path(
        &self,
        path: u64,
        from: Nanos,
        to: Nanos,
    ) -> impl Iterator<Item = (u64, &'a SpanRow)> + use<'a, '_> {
        self.span_worlds().flat_map(move |world| world.spans.on_path(path, from, to))
    }

    /// All spans that ended within a time, each with its number.
    pub(in crate::engine) fn spans_within(
        &self,
        from: Nanos,
        to: Nanos,
    ) -> impl Iterator<Item = (u64, &'a SpanRow)> + use<'a, '_> {
        self.span_worlds().flat_map(move |world| world.spans.within(from, to))
    }

    /// The spans of a trace with their numbers, in order of arrival within a site.
    pub(in crate::engine) fn spans_of_trace<'t>(
        &self,
        trace_id: &'t [u8; 16],
    ) -> impl Iterator<Item = (u64, &'a SpanRow)> + use<'a, 't, '_> {
        self.span_worlds().flat_map(move |world| world.spans.of_trace(trace_id))
    }

    /// The span whose request header carried this request id, by its hash.
    pub(in crate::engine) fn span_of_request_id(&self, request_id: u64) -> Option<(u64, &'a SpanRow)> {
        self.span_worlds().find_map(|world| world.spans.of_request_id(request_id))
    }

    /// One span by its number.
    pub(in crate::engine) fn span(&self, number: u64) -> Option<&'a SpanRow> {
        self.span_worlds().find_map(|world| world.spans.get(number))
    }

    /// How likely it is that the spans in sight are of this nginx's requests.
    pub(in crate::engine) fn weight_of_spans(&self) -> f64 {
        self.spans.iter().map(|server| server.weight).fold(1.0, f64::min)
    }

    fn span_worlds(&self) -> impl Iterator<Item = &'a World> + use<'a, '_> {
        let own = self.own;
        let others = self.spans.iter().map(|server| server.world);
        std::iter::once(own).chain(others.filter(move |world| !std::ptr::eq(*world, own)))
    }

    /// How likely it is that what its servers tell is of this request.
    pub(in crate::engine) fn weight(&self) -> f64 {
        self.servers.iter().map(|server| server.weight).fold(1.0, f64::min)
    }

    /// Ends of workers, each with the key that names it.
    pub(in crate::engine) fn keyed_deaths(
        &self,
    ) -> impl DoubleEndedIterator<Item = (DeathKey, &'a Death)> + use<'a, '_> {
        self.servers.iter().flat_map(|server| {
            let site = server.site;
            let deaths = server.world.gunicorns.deaths.iter().enumerate();
            deaths.map(move |(index, death)| (DeathKey { site, index }, death))
        })
    }
}

impl<'a> Case<'a> {
    /// nginx's configuration, where it is known.
    pub fn nginx_conf(&self) -> Option<&'a NginxConf> {
        self.sight.own.nginx.as_deref()
    }

    /// nginx's error log was read about then.
    pub fn has_error_log(&self) -> bool {
        self.sight.own.has_error_log(self.at)
    }

    /// An access log of nginx was read about then.
    pub fn has_access_log(&self) -> bool {
        self.sight.own.has_access_log(self.at)
    }

    /// An access log of nginx is read at all.
    pub fn reads_access_log(&self) -> bool {
        self.sight.own.has_any_access_log()
    }

    /// Spans are in sight.
    pub fn sees_spans(&self) -> bool {
        self.sight.span_worlds().any(|world| world.spans.count() > 0)
    }

    /// A Gunicorn's log was read then.
    pub fn has_gunicorn_log(&self) -> bool {
        let are_strangers = !self.strangers.is_empty() && self.instances().all(|instance| self.is_stranger(instance));
        !are_strangers && self.sight.servers.iter().any(|server| server.world.has_gunicorn_log(self.at))
    }

    /// True where nginx runs in a container of its own; the containers of a pod share their loopback address.
    pub fn is_in_container(&self) -> bool {
        self.sight.place.machine == Machine::Container
    }

    /// Where nginx's site stands.
    pub(in crate::engine) fn place(&self) -> &'a Place {
        self.sight.place
    }

    /// True when nginx's error log was read from this time on or longer, so that its silence says something.
    pub fn error_log_covers(&self, at: Interval) -> bool {
        self.sight.own.error_log_covers(at)
    }

    /// True when nginx's error log has lines before this request failed and after it, so that its silence says something.
    pub fn error_log_goes_on(&self) -> bool {
        self.sight.own.error_log_covers(self.at) && self.sight.own.error_log_goes_on(self.at)
    }

    /// True when nginx served others well within so many seconds, by the access log that has this request.
    pub fn others_are_served(&self, seconds: i64) -> bool {
        let source = self.request.access.as_ref().map(|access| access.source);
        self.sight.own.is_healthy_around(source, self.at, seconds)
    }

    /// The Gunicorns.
    pub fn instances(&self) -> impl DoubleEndedIterator<Item = &'a Instance> + use<'a, '_> {
        self.sight.servers.iter().flat_map(|server| server.world.gunicorns.instances.iter())
    }

    /// True when this stream is of another process of the application that the upstream is: a replica behind one address.
    pub fn is_replica(&self, stream: u64) -> bool {
        let Some(own) = self.instance.filter(|own| own.service != 0) else { return false };
        self.instances().any(|other| {
            other.source == stream && other.service == own.service && other.matches(self.upstream) == self.address
        })
    }

    /// True unless something says that this Gunicorn did not answer the request: it listens elsewhere, or another one listens
    /// where nginx tried and this is no replica of it.
    pub fn may_have_answered(&self, instance: &Instance) -> bool {
        if self.is_stranger(instance) || instance.matches(self.upstream) == AddressMatch::No {
            return false;
        }
        let own = self.instance.filter(|_| self.address >= AddressMatch::Maybe || self.is_called);
        own.is_none_or(|own| own.source == instance.source || self.is_replica(instance.source))
    }

    /// True when nginx's configuration says that this Gunicorn is there for another upstream, or its name does.
    pub fn is_stranger(&self, instance: &Instance) -> bool {
        self.strangers.contains(&instance.source) || self.sight.own.is_of_another_upstream(instance, self.upstream)
    }

    /// Ends of workers, in the order of the log.
    pub fn deaths(&self) -> impl DoubleEndedIterator<Item = &'a Death> + use<'a, '_> {
        self.keyed_deaths().map(|(_, death)| death)
    }

    /// Ends of workers, each with the key that names it.
    pub fn keyed_deaths(&self) -> impl DoubleEndedIterator<Item = (DeathKey, &'a Death)> + use<'a, '_> {
        self.sight.keyed_deaths()
    }

    /// Workers that were booted.
    pub fn boots(&self) -> impl DoubleEndedIterator<Item = &'a Boot> + use<'a, '_> {
        self.sight.servers.iter().flat_map(|server| server.world.gunicorns.boots.iter())
    }

    /// Requests without TLS that Gunicorn refused for it: when, and in which words.
    pub fn plain_requests(&self) -> impl DoubleEndedIterator<Item = &'a (Interval, Quote)> + use<'a, '_> {
        self.sight.servers.iter().flat_map(|server| server.world.gunicorns.plain_requests.iter())
    }

    /// What the dirty side of Gunicorn tells of trouble.
    pub fn dirty(&self) -> impl DoubleEndedIterator<Item = &'a (Interval, Quote)> + use<'a, '_> {
        self.sight.servers.iter().flat_map(|server| server.world.gunicorns.dirty.iter())
    }

    /// Failing answers in Gunicorn's access log.
    pub fn answers(&self) -> impl DoubleEndedIterator<Item = &'a Seen<GunicornAccess>> + use<'a, '_> {
        self.sight.servers.iter().flat_map(|server| server.world.answers.iter())
    }

    /// Lines of the kernel, systemd, Kubernetes or a supervisor about a process.
    pub fn hosts(&self) -> impl DoubleEndedIterator<Item = &'a HostSeen> + use<'a, '_> {
        self.sight.hosts.iter().flat_map(|world| world.hosts.iter())
    }

    /// Failed attempts of nginx, this one's among them.
    pub fn failures(&self) -> impl DoubleEndedIterator<Item = &'a Failure> + use<'a> {
        self.sight.own.failures.iter()
    }

    /// Failed attempts with this symptom within so many seconds, on this upstream, newest first: in a storm the one that
    /// is looked for is among them.
    pub fn failures_around(&self, symptom: Symptom, seconds: i64) -> impl Iterator<Item = &'a Failure> + use<'a> {
        let (at, upstream) = (self.at, self.upstream);
        let some = if self.sight.own.has_failed(symptom, at, seconds) { usize::MAX } else { 0 };
        self.failures().rev().take(some).filter(move |failure| {
            failure.symptom == symptom
                && failure.at.distance(at) <= seconds * SECOND
                && upstream.is_none_or(|upstream| *failure.upstream == *upstream)
        })
    }

    /// Spans of the request's method and target that ended within a time, each with its number.
    pub fn spans_asked(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = (u64, &'a SpanRow)> + use<'a, '_> {
        let asked = Asked::of(self.request);
        self.sight.spans_on_path(asked.path, from, to).filter(move |(_, span)| asked.is_of(span))
    }

    /// One span by its number.
    pub fn span(&self, number: u64) -> Option<&'a SpanRow> {
        self.sight.span(number)
    }

    /// How likely it is that the spans in sight are of this nginx's requests.
    pub fn weight_of_spans(&self) -> f64 {
        self.sight.weight_of_spans()
    }

    /// True when nginx itself is traced, so that a request which never reached the application still has a span.
    pub fn has_spans_of_nginx(&self) -> bool {
        self.sight.own.spans_from_nginx()
    }
}
