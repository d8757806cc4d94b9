//! Which Gunicorn a request was sent to. An address decides where one is known; else names do, where they are anybody's:
//! of files, containers and services, against nginx's virtual hosts and blocks. Of several that fit as well each is as
//! likely.
//!
//! ```text
//!  server: shop.test, upstream: "http://unix:/run/shop.sock:/cart"    shop, sock, run, cart
//!  gunicorn-shop.log, shop-web-1, shop.service                        shop        it is asked
//!  gunicorn-blog.log, while unix:/run/blog.sock failed as well        blog        a stranger
//! ```

use super::{Server, Sight};
use crate::engine::case::Case;
use crate::engine::correlate::Interval;
use crate::engine::correlate::gunicorn::{Instance, Phase};
use crate::engine::correlate::join::Request;
use crate::engine::place::{Machine, words_of};
use crate::engine::topology::ELSEWHERE;
use crate::read::address::{AddressMatch, is_local};
use crate::read::request_line::first_part;

/// Gunicorns of which each may be the one: past it none is likely enough to be worth a word.
const RIVALS_MAX: usize = 16;
/// Boots of two logs that are compared, the newest.
const BOOTS_MAX: usize = 32;

/// It is the one in view, or one that is not.
const OF_TWO: f64 = 1.0 / 2.0;

/// The Gunicorn that a request went to.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Chosen<'a> {
    pub(in crate::engine) instance: &'a Instance,
    /// How well its address fits.
    pub(in crate::engine) address: AddressMatch,
    /// How likely it is that one.
    pub(in crate::engine) weight: f64,
    /// Several fit as well, and its name decided.
    pub(in crate::engine) by_name: bool,
}

/// What a request says of its application: nginx's virtual host and block, and the first part of the path, by which locations
/// lead to one.
fn words_of_request(request: &Request, upstream: Option<&str>) -> Vec<u64> {
    let error = request.error();
    let server = error.map(|error| error.what.server.as_str());
    let block = error.and_then(|error| error.what.upstream.as_deref()).or(upstream);
    [server, block, Some(first_part(request.target()))].into_iter().flatten().flat_map(words_of).collect()
}

fn have_common(one: &[u64], other: &[u64]) -> bool {
    one.iter().any(|word| other.contains(word))
}

impl<'a> Sight<'a> {
    /// The Gunicorn that a request was sent to, and the streams of those that it was not, by their names.
    pub(in crate::engine) fn chosen_for(
        &self,
        request: &Request,
        upstream: Option<&str>,
        at: Interval,
    ) -> (Option<Chosen<'a>>, Vec<u64>) {
        let words = || words_of_request(request, upstream);
        let strangers = self.strangers(upstream, words);
        let found = self.choose(upstream, Some(at), &strangers, words);
        if found.is_some() || strangers.is_empty() {
            return (found, strangers);
        }
        // The only one in view may serve several virtual hosts, or be another's.
        let mut found = self.choose(upstream, Some(at), &[], words);
        found.iter_mut().for_each(|found| found.weight = found.weight.min(OF_TWO));
        (found, Vec::new())
    }

    /// The Gunicorn that an upstream most likely is.
    pub(in crate::engine) fn instance_for(&self, upstream: Option<&str>) -> Option<&'a Instance> {
        self.choose(upstream, None, &[], Vec::new).map(|found| found.instance)
    }

    /// Streams of Gunicorns of which no address is known, and that are called as another upstream is and not as the request says.
    fn strangers(&self, upstream: Option<&str>, words: impl FnOnce() -> Vec<u64>) -> Vec<u64> {
        let instances = self.servers.iter().flat_map(|server| &server.world.gunicorns.instances);
        let may_be = |instance: &&Instance| {
            instance.matches(upstream) == AddressMatch::Unknown && self.own.has_called(&instance.words)
        };
        let mut strangers: Vec<&Instance> = instances.filter(may_be).collect();
        if strangers.is_empty() {
            return Vec::new();
        }
        let words = words();
        strangers.retain(|instance| !have_common(&instance.words, &words));
        strangers.iter().map(|instance| instance.source).collect()
    }

    /// The one whose address fits best; of several the one that is called as the request says, if there is only one.
    fn choose(
        &self,
        upstream: Option<&str>,
        at: Option<Interval>,
        strangers: &[u64],
        words: impl FnOnce() -> Vec<u64>,
    ) -> Option<Chosen<'a>> {
        let instances = self
            .servers
            .iter()
            .flat_map(|server| server.world.gunicorns.instances.iter().map(move |instance| (instance, server)));
        let instances = instances.filter(|(instance, _)| !strangers.contains(&instance.source));
        let fitting = instances.map(|(instance, server)| (instance, instance.matches(upstream), server.weight));
        let newest = |(instance, fit, _): &(&Instance, AddressMatch, f64)| (*fit, instance.last_at.from);
        let (instance, address, weight) = fitting.clone().max_by_key(newest)?;
        // A socket has one listener at a time, and so has a port of the machine: who was stopped has left it to another.
        let has_one = address == AddressMatch::Yes && upstream.is_some_and(is_local);
        let has_left = |other: &Instance| {
            let before = at.and_then(|at| other.before(at));
            has_one && before.is_some_and(|change| matches!(change.phase, Phase::Down(_)))
        };
        let fitting = fitting.filter(|(other, fit, _)| *fit == address && !has_left(other));
        let (instance, _, weight) = fitting.clone().max_by_key(newest).unwrap_or((instance, address, weight));
        let mut rivals = vec![instance];
        for (other, ..) in fitting {
            let is_known = |rival: &&Instance| self.are_one_application(rival, other);
            if rivals.len() < RIVALS_MAX && !rivals.iter().any(is_known) {
                rivals.push(other);
            }
        }
        if rivals.len() > 1 {
            let words = words();
            let mut called = rivals.iter().filter(|rival| have_common(&rival.words, &words));
            if let (Some(instance), None) = (called.next(), called.next()) {
                return Some(Chosen { instance, address, weight: ELSEWHERE, by_name: true });
            }
        }
        Some(Chosen { instance, address, weight: weight.min(1.0 / rivals.len() as f64), by_name: false })
    }

    /// True for two logs of one application: of its replicas, or of the same process, which writes both. Pids are the same in
    /// many containers, when they booted is not.
    fn are_one_application(&self, one: &Instance, other: &Instance) -> bool {
        if one.source == other.source || one.service != 0 && one.service == other.service {
            return true;
        }
        let boots_of = |source: u64| {
            let boots = self.servers.iter().flat_map(|server| server.world.gunicorns.boots.iter().rev());
            boots.filter(move |boot| boot.source == source).take(BOOTS_MAX)
        };
        boots_of(one.source)
            .any(|boot| boots_of(other.source).any(|same| (same.worker, same.at) == (boot.worker, boot.at)))
    }

    /// The Gunicorn that was meant where nobody listens at the address that nginx tries: it answers at another.
    pub(in crate::engine) fn instance_meant(&self) -> Option<(&'a Instance, f64)> {
        let instances = self.meant.iter().flat_map(|server| {
            let Server { world, weight, .. } = *server;
            world.gunicorns.instances.iter().map(move |instance| (instance, weight))
        });
        instances.max_by_key(|(instance, _)| instance.last_at.from)
    }

    /// True where nginx cannot reach a Gunicorn by an address of its own machine: that is in another container.
    pub(in crate::engine) fn is_behind_wall(&self, instance: &Instance, upstream: &str) -> bool {
        let is_own = || self.own.gunicorns.instances.iter().any(|own| std::ptr::eq(own, instance));
        // Sockets are shared by a volume.
        let is_loopback = is_local(upstream) && !upstream.starts_with("unix:");
        self.place.machine == Machine::Container && is_loopback && !is_own()
    }
}

impl Case<'_> {
    /// True for a unit, a container or a program that is called as another upstream is, and not as this request's.
    pub fn is_called_as_another(&self, name: &str) -> bool {
        let name: Vec<u64> = words_of(name).collect();
        let is_own = || {
            let own = self.instance.map_or(&[][..], |instance| &instance.words);
            have_common(&name, own) || have_common(&name, &words_of_request(self.request, self.upstream))
        };
        let is_bound = || {
            let others = self.instances().flat_map(|instance| instance.all_addresses());
            others.filter(|bound| Some(*bound) != self.upstream).flat_map(words_of).any(|word| name.contains(&word))
        };
        !name.is_empty() && !is_own() && (self.sight.own.has_called(&name) || is_bound())
    }
}
