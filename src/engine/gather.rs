//! The case of a request: whom it went to, which Gunicorn that is, which of its workers ended, and what others met.

use super::case::{Case, DeathKey, Sight, Trigger, Workers};
use super::correlate::Interval;
use super::correlate::gunicorn::{Change, Death, Instance, Phase};
use super::correlate::join::Request;
use super::correlate::spans::hash_text;
use super::correlate::world::{Failure, World};
use super::outcome::{death_interval, death_of_500, failed_at, has_page_of_nginx, symptom_of};
use super::sites::{SiteRef, Sites};
use super::topology::{ELSEWHERE, Ties};
use crate::read::address::{AddressMatch, compare};
use crate::read::evidence::{MILLISECOND, Nanos, NginxError, SECOND, Symptom};
use crate::read::nginx_conf::Pass;
use crate::read::request_line::first_part;

/// So many failures of one kind around a request without an error line, and none of another, make it one of them.
const ALIKE_MIN: usize = 3;
/// The quarantine of a server lasts `fail_timeout`, 10 s by default; the failures before it may be as old again.
const ROOT_AGE_MAX_SECONDS: i64 = 30;

/// Good answers within so many seconds of a refusal show that nginx's address is right.
const OTHERS_SECONDS: i64 = 30;
/// Failures that are asked whether anybody answers at an address, the newest.
const FAILURES_MAX: usize = 256;

/// Whom a request went to, as far as nginx's own site tells.
#[derive(Debug)]
pub(super) struct Aim<'a> {
    /// Last peer tried.
    pub(super) upstream: Option<&'a str>,
    symptom: Symptom,
    at: Interval,
    passes: Vec<&'a Pass>,
    derived_from: Option<&'a Failure>,
    borrowed: bool,
}

/// Whom a request went to; `None` where nothing says when it failed.
pub(super) fn aim_of<'a>(request: &'a Request, world: &'a World) -> Option<Aim<'a>> {
    let mut symptom = symptom_of(request);
    let at = failed_at(request)?;
    let passes = passes_of(request, world);
    if symptom == Symptom::Unknown {
        symptom = timer_of(request, &passes).unwrap_or(symptom);
    }
    let mut upstream = upstream_of(request).map_or_else(
        || world.nginx.as_ref().and_then(|nginx| nginx.only_server_of(&passes)),
        // The name of a block stands for its server where it has but one.
        |upstream| match world.nginx.as_ref().filter(|_| passes.iter().all(|pass| pass.address == upstream)) {
            Some(nginx) => nginx.only_server_of(&passes).or(Some(upstream)),
            None => Some(upstream),
        },
    );
    let mut derived_from = None;
    if symptom == Symptom::NoLiveUpstreams
        && let Some(root) = root_of(request, world, at)
    {
        symptom = root.symptom;
        upstream = Some(&*root.upstream);
        derived_from = Some(root);
    }
    if symptom == Symptom::ConnectFailed
        && request.error().is_none()
        && let Some(other) = same_failure(world, upstream, at)
    {
        symptom = other.symptom;
    }
    let alike = if symptom == Symptom::Unknown { failures_alike(request, world, at) } else { None };
    if let Some(other) = alike {
        symptom = other.symptom;
        upstream = upstream.or(Some(&*other.upstream));
    }
    Some(Aim { upstream, symptom, at, passes, derived_from, borrowed: alike.is_some() })
}

/// The case of a request of a site, which may be explained by what the ties lead to.
pub(super) fn case_at<'a>(sites: &'a Sites, at: SiteRef, id: u64, ties: &Ties) -> Option<Case<'a>> {
    let site = sites.get(at)?;
    let request = site.requests.get(id)?;
    let aim = aim_of(request, &site.world)?;
    let sight = Sight::new(sites, at, ties)?;
    let (found, strangers) = sight.chosen_for(request, aim.upstream, aim.at);
    let found = found.filter(|found| !site.world.is_of_another_upstream(found.instance, aim.upstream));
    let weight = found.map_or_else(|| sight.weight(), |found| found.weight);
    let mut case = Case {
        trigger: Trigger::Request,
        symptom: aim.symptom,
        request,
        at: aim.at,
        upstream: aim.upstream,
        sight,
        instance: found.map(|found| found.instance),
        address: found.map_or(AddressMatch::Unknown, |found| found.address),
        weight,
        is_called: found.is_some_and(|found| found.by_name),
        strangers,
        death: None,
        derived_from: aim.derived_from,
        borrowed_symptom: aim.borrowed,
        passes: aim.passes,
    };
    if case.is_refused() {
        look_behind_walls(&mut case);
    }
    case.death = death_for(&case);
    Some(case)
}

/// A connection that was refused may have been meant for a Gunicorn that serves, and not where nginx tries: in another
/// container, or on its own loopback address alone.
fn look_behind_walls(case: &mut Case<'_>) {
    let Some(upstream) = case.upstream else { return };
    let meant = match case.instance {
        // Ports are mapped for who asks the host, not from container to container.
        Some(instance) => Some((instance, case.weight * ELSEWHERE)).filter(|_| {
            case.sight.is_behind_wall(instance, upstream)
                || case.address == AddressMatch::Mapped && case.is_in_container()
        }),
        None => case.sight.instance_meant(),
    };
    if let Some((instance, weight)) =
        meant.filter(|(instance, _)| listens_on(instance, case.at) && !answers(case, upstream))
    {
        (case.instance, case.weight, case.address) = (Some(instance), weight, AddressMatch::No);
    }
}

/// It said that it listens, and it was not started anew: one that was killed says nothing.
fn listens_on(instance: &Instance, at: Interval) -> bool {
    let is_up = |change: &&Change| matches!(change.phase, Phase::Listening | Phase::Reloading);
    let is_start = |phase: &Phase| matches!(phase, Phase::Starting | Phase::Listening);
    instance.before(at).filter(is_up).is_some_and(|change| instance.after(change, is_start).is_none())
}

/// Somebody answers at this address, or nginx has others answered: the address is right.
fn answers(case: &Case<'_>, upstream: &str) -> bool {
    let mut failures = case.failures().rev().take(FAILURES_MAX);
    failures.any(|failure| *failure.upstream == *upstream && !failure.symptom.is_connect())
        || case.others_are_served(OTHERS_SECONDS)
}

/// Where nginx's configuration sends the request; where the peer is known, only the passes that lead to it.
fn passes_of<'a>(request: &Request, world: &'a World) -> Vec<&'a Pass> {
    let Some(nginx) = &world.nginx else { return Vec::new() };
    let error = request.error().or(request.errors.last()).map(|error| &error.what);
    let access = request.access.as_ref().map(|access| &access.what);
    let of_error = error.and_then(NginxError::method_and_target);
    let target = access.map(|access| access.target.as_str()).filter(|target| !target.is_empty());
    let Some(target) = target.or(of_error.map(|(_, target)| target)) else { return Vec::new() };
    let server = error.map(|error| error.server.as_str()).filter(|server| !server.is_empty());
    let host = access.map(|access| access.host.as_str()).filter(|host| !host.is_empty());
    let passes = nginx.passes_for(server.or(host), target);
    let Some(upstream) = upstream_of(request) else { return passes };
    let leads_there = |pass: &&Pass| {
        pass.address == upstream
            || nginx.servers_of(pass).iter().any(|server| compare(server, upstream) >= AddressMatch::Maybe)
    };
    passes.into_iter().filter(leads_there).collect()
}

/// Without an error line: the timer that a 504 took as long as. nginx's clock is up to some ten milliseconds behind, and
/// a retry or a slow client make it longer.
fn timer_of(request: &Request, passes: &[&Pass]) -> Option<Symptom> {
    let access = request.access.as_ref().map(|access| &access.what)?;
    let took = access.request_time.value().filter(|_| access.status == 504 && request.errors.is_empty())?;
    let fits = |timer: Nanos| (-50 * MILLISECOND..=SECOND).contains(&took.saturating_sub(timer));
    let all = |timer: fn(&Pass) -> Nanos| !passes.is_empty() && passes.iter().all(|pass| fits(timer(pass)));
    match (all(|pass| pass.connect_timeout), all(|pass| pass.read_timeout)) {
        (true, false) => Some(Symptom::ConnectTimedOut),
        (false, true) => Some(Symptom::ResponseTimedOut),
        _ => None,
    }
}

/// Last peer tried.
pub(super) fn upstream_of(request: &Request) -> Option<&str> {
    let of_error = request.error().and_then(|error| error.what.upstream.as_deref());
    let of_access =
        request.access.as_ref().and_then(|access| access.what.attempts.last()).map(|attempt| attempt.address.as_str());
    // Taken from the access line where it has one: nothing in it can be forged.
    of_access.filter(|address| !address.is_empty()).or(of_error)
}

/// The failure that emptied the group of servers: of one of its servers, on the same nginx worker, not long before. Where nobody
/// told whose server it was, of the same virtual host, and of requests alike where there are any.
fn root_of<'a>(request: &Request, world: &'a World, at: Interval) -> Option<&'a Failure> {
    let error = request.error()?;
    let group = error.what.upstream.as_deref();
    let fits = |failure: &&Failure| {
        failure.symptom != Symptom::NoLiveUpstreams
            && failure.symptom != Symptom::ClientClosed
            && failure.at.from <= at.to
            && failure.at.distance(at) <= ROOT_AGE_MAX_SECONDS * SECOND
            && *failure.server == *error.what.server
            && (failure.pid.is_none() || error.what.pid.is_none() || failure.pid == error.what.pid)
    };
    let area = hash_text(first_part(request.target()).as_bytes());
    let (mut of_area, mut of_host) = (None, None);
    for failure in world.failures.iter().rev().filter(fits) {
        match world.is_of_group(failure, group) {
            Some(true) => return Some(failure),
            Some(false) => {}
            None if failure.area == area => of_area = of_area.or(Some(failure)),
            None => of_host = of_host.or(Some(failure)),
        }
    }
    of_area.or(of_host)
}

/// The access line says that nginx could not connect, and its error line is missing or doubtful: the errno is the one
/// that this upstream had at the same time.
fn same_failure<'a>(world: &'a World, upstream: Option<&str>, at: Interval) -> Option<&'a Failure> {
    world.failures.iter().rev().find(|failure| {
        failure.symptom.is_connect() && Some(&*failure.upstream) == upstream && failure.at.distance(at) <= 5 * SECOND
    })
}

/// The access log has nginx's own 502 page and nothing of upstreams, and no error line joins it (they are lost, or in doubt
/// behind a forged one): while nginx could not connect for anybody, it could not for this request either.
fn failures_alike<'a>(request: &Request, world: &'a World, at: Interval) -> Option<&'a Failure> {
    let access = request.access.as_ref().filter(|_| request.errors.is_empty())?;
    if access.what.status != 502 || access.what.has_upstream || !has_page_of_nginx(&access.what) {
        return None;
    }
    let mut around =
        world.failures.iter().rev().take(1_024).filter(|failure| failure.at.near(at, -SECOND, SECOND)).peekable();
    let first = *around.peek()?;
    let mut count = 0;
    for failure in around {
        if failure.symptom != first.symptom || !failure.symptom.is_connect() {
            return None;
        }
        count += 1;
    }
    (count >= ALIKE_MIN).then_some(first)
}

/// The application raised in the middle of its answer: Gunicorn tells of an error and of no end at this time.
fn has_failed_by_itself(case: &Case<'_>) -> bool {
    let near = |death: &&Death| death_interval(death).near(case.at, -1_500 * MILLISECOND, 1_500 * MILLISECOND);
    let raised = |death: &&Death| death.request.is_some() && !death.is_violent();
    let mut deaths = case.deaths().rev().take(256).filter(near).filter(raised);
    deaths.any(|death| death_interval(death).distance(case.at) == 0)
        && !case.deaths().rev().take(256).any(|death| death.is_violent() && death.from.distance(case.at) == 0)
}

/// The worker's end that fits the request best: one not yet spoken for, nearest in time, first in the log.
fn death_for<'a>(case: &Case<'a>) -> Option<(DeathKey, &'a Death)> {
    if let Some(access) = case.access()
        && (case.symptom == Symptom::Relayed || case.symptom == Symptom::Unknown && access.status == 500)
    {
        return if access.status == 500 { death_of_500(access, case.request, &case.sight, case.at) } else { None };
    }
    if !case.is_cut_off()
        && !matches!(case.symptom, Symptom::ResponseTruncated | Symptom::TlsHandshakeFailed | Symptom::Unknown)
    {
        return None;
    }
    if case.symptom == Symptom::ResponseTruncated && has_failed_by_itself(case) {
        return None;
    }
    let serial = case.workers() != Workers::Concurrent;
    let own: Vec<&Instance> = case.instances().filter(|instance| case.may_have_answered(instance)).collect();
    let is_own = |death: &Death| {
        let mut of_stream = own.iter().filter(|instance| instance.source == death.source);
        of_stream.any(|instance| instance.may_be_of_primary(death.primary, case.upstream))
    };
    let deaths = case.keyed_deaths().rev().take(1_024);
    deaths
        .filter(|(_, death)| {
            // An abort that Gunicorn answered with 500 is another request's, unless this one was cut in its middle.
            let answered = death.request.is_some() && death.signal.is_none() && death.code.is_none();
            is_own(death) && !answered && death_interval(death).near(case.at, -1_500 * MILLISECOND, 1_500 * MILLISECOND)
        })
        .min_by_key(|(key, death)| {
            let taken = serial && case.request.is_taken(death);
            (
                !death.is_violent(),
                taken,
                death_interval(death).distance(case.at) / (100 * MILLISECOND),
                death.ordered,
                key.index,
            )
        })
}
