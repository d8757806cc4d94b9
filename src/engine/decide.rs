//! From the records of a request to its verdict: did it fail, what did nginx see, why, and which trace is it.

use super::case::{Case, Claim, Trigger, access_quote, conclusion};
use super::causes::{self, Cause, Mark};
use super::correlate::address::{AddressMatch, compare};
use super::correlate::gunicorn::{Death, Instance, Phase};
use super::correlate::join::{Request, split_request_line};
use super::correlate::world::{Failure, World};
use super::correlate::{Interval, link};
use super::evidence::{Logged, MILLISECOND, Nanos, NginxAccess, SECOND, Symptom};
use super::nginx_conf::Pass;
use super::text::hash64;
use super::verdict::{Link, Quote, Verdict};

/// Quotes on one verdict (`why502.evidence`).
const EVIDENCE_MAX: usize = 5;
/// A cause this likely beside the leading one is named in the evidence.
const ALSO_LIKELY: f64 = 0.15;
/// A claim this sure says why.
const SAYS_WHY: f64 = 0.8;
/// What is left of a rule's doubt when all logs of the request were read and nothing else fits.
const DOUBT_LEFT: f64 = 0.2;
/// A worker's end in the same second as a failure of which nginx's words are not known: one in three is another's.
const BLAMED_BY_TIME: f64 = 0.6;
/// What a claim is worth whose symptom is that of the other requests of the same second.
const BORROWED: f64 = 0.75;
/// What a cause that says no more than nginx is worth where no log could tell more. In lines that people post it is then
/// never contradicted; the doubt is about what their logs would have shown.
const CLOSED_AND_NOTHING_ELSE: f64 = 0.7;
/// So many failures of one kind around a request without an error line, and none of another, make it one of them.
const ALIKE_MIN: usize = 3;
/// The quarantine of a server lasts `fail_timeout`, 10 s by default; the failures before it may be as old again.
const ROOT_AGE_MAX_SECONDS: i64 = 30;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It failed and gets a verdict.
    Failed,
    /// It did not fail, or not for its upstream.
    Fine,
    /// An error line says that it failed, and the access log that covers the time knows nothing of it: a forged line,
    /// or a request that a retry saved.
    Contradicted,
}

/// Whether the request failed.
pub fn outcome(request: &Request, world: &World) -> Outcome {
    let symptom = request.error().and_then(|error| error.what.symptom);
    if let Some(access) = &request.access {
        return if access_failed(&access.what, request, symptom, world, access.at) {
            Outcome::Failed
        } else {
            Outcome::Fine
        };
    }
    let Some(symptom) = symptom else { return Outcome::Fine };
    if !request.genuine && world.has_access_log {
        return Outcome::Contradicted;
    }
    // A refusal (413) that was whole before the connection broke was not cut.
    if symptom == Symptom::ResponseTruncated && request.maybe.iter().any(|access| access.what.status < 400) {
        return Outcome::Failed;
    }
    if !request.maybe.is_empty() {
        return Outcome::Fine;
    }
    let error = request.error();
    let concerns_a_request = error.is_some_and(|error| error.what.request.is_some());
    if concerns_a_request && error.is_some_and(|error| world.is_covered(error.at)) {
        return Outcome::Contradicted;
    }
    Outcome::Failed
}

fn access_failed(
    access: &NginxAccess,
    request: &Request,
    symptom: Option<Symptom>,
    world: &World,
    at: Interval,
) -> bool {
    let answered = access.attempts.last().is_some_and(|attempt| attempt.header_time.value().is_some());
    match access.status {
        502 | 504 | 499 | 9 => true,
        503 if symptom.is_some() || answered => true,
        // `limiting requests` and the like: nginx's own 503, with a line that is no symptom, or without an upstream.
        503 => !access.has_upstream && request.errors.is_empty(),
        500 => symptom.is_some() || death_of_500(access, world, at).is_some(),
        status if status < 400 => symptom == Some(Symptom::ResponseTruncated),
        _ => false,
    }
}

/// The abort or exit inside a worker that made this 500 (Gunicorn 22 and later answer 500 to `SystemExit`).
fn death_of_500<'a>(access: &NginxAccess, world: &'a World, at: Interval) -> Option<(usize, &'a Death)> {
    let deaths = world.gunicorns.deaths.iter().enumerate().rev().take(512);
    deaths
        .filter(|(_, death)| {
            let same = death.request.as_deref().is_some_and(|target| {
                let target = target.rsplit(' ').next().unwrap_or(target);
                target == access.target
            });
            same && (death.timed_out || death.is_exit_of_application())
                && death_interval(death).near(at, -2 * SECOND, 2 * SECOND)
        })
        .min_by_key(|(_, death)| (death.explains > 0, death.to.distance(at)))
}

fn death_interval(death: &Death) -> Interval {
    Interval { from: death.from.from, to: death.to.to.max(death.from.to) }
}

/// What nginx saw.
pub fn symptom_of(request: &Request) -> Symptom {
    let of_error = request.error().and_then(|error| error.what.symptom);
    let Some(access) = request.access.as_ref().map(|access| &access.what) else {
        return of_error.unwrap_or(Symptom::Unknown);
    };
    let last = access.attempts.last();
    let answered = last.is_some_and(|attempt| attempt.header_time.value().is_some());
    match of_error {
        Some(Symptom::ResponseTruncated) => return Symptom::ResponseTruncated,
        // The failed attempts came before one that the application answered itself.
        Some(_) if answered && access.attempts.len() > 1 => return Symptom::Relayed,
        Some(symptom) => return symptom,
        None => {}
    }
    match access.status {
        499 => Symptom::ClientClosed,
        9 => Symptom::ResponseHeaderInvalid,
        _ if answered => Symptom::Relayed,
        status => last.map_or(Symptom::Unknown, |attempt| {
            let nothing_received = matches!(attempt.bytes_received, Logged::Value(0));
            match (status, attempt.connect_time, attempt.header_time) {
                (504, Logged::Dash, _) => Symptom::ConnectTimedOut,
                (504, _, Logged::Dash) => Symptom::ResponseTimedOut,
                (502, Logged::Dash, Logged::Dash) => Symptom::ConnectFailed,
                (502, Logged::Value(_), Logged::Dash) if nothing_received => Symptom::ResponseClosedEarly,
                (502, Logged::Value(_), Logged::Dash) => Symptom::ResponseHeaderInvalid,
                _ => Symptom::Unknown,
            }
        }),
    }
}

/// When the last attempt failed: the access line's time where it is exact, else where it and the error line agree.
pub fn failed_at(request: &Request) -> Option<Interval> {
    let error = request.error().or(request.errors.last()).map(|error| error.at);
    let access = request.access.as_ref();
    match (error, access) {
        (Some(error), Some(access)) => {
            let both = Interval { from: error.from.max(access.at.from), to: error.to.min(access.at.to) };
            // A lingering close delays the access line: then the error line is right.
            Some(if both.from <= both.to { both } else { error })
        }
        (Some(error), None) => Some(error),
        (None, Some(access)) => Some(access.at),
        (None, None) => None,
    }
}

/// Builds the case of a request.
pub fn case_of<'a>(request: &'a Request, world: &'a World) -> Option<Case<'a>> {
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
        upstream = Some(root.upstream.as_str());
        derived_from = Some(root);
    }
    if symptom == Symptom::ConnectFailed
        && request.error().is_none()
        && let Some(other) = same_failure(world, upstream, at)
    {
        symptom = other.symptom;
    }
    let borrowed = if symptom == Symptom::Unknown { failures_alike(request, world, at) } else { None };
    if let Some(other) = borrowed {
        symptom = other.symptom;
        upstream = upstream.or(Some(other.upstream.as_str()));
    }
    let found = world.gunicorns.instance_for(upstream);
    let found = found.filter(|(instance, _)| !world.is_of_another_upstream(instance, upstream));
    let mut case = Case {
        trigger: Trigger::Request,
        symptom,
        request,
        at,
        upstream,
        world,
        instance: found.map(|(instance, _)| instance),
        address: found.map_or(AddressMatch::Unknown, |(_, address)| address),
        death: None,
        derived_from,
        borrowed_symptom: borrowed.is_some(),
        passes,
    };
    case.death = death_for(&case);
    Some(case)
}

/// Where nginx's configuration sends the request; where the peer is known, only the passes that lead to it.
fn passes_of<'a>(request: &Request, world: &'a World) -> Vec<&'a Pass> {
    let Some(nginx) = &world.nginx else { return Vec::new() };
    let error = request.error().or(request.errors.last()).map(|error| &error.what);
    let access = request.access.as_ref().map(|access| &access.what);
    let of_error = error.and_then(|error| error.request.as_deref()).and_then(split_request_line);
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

fn upstream_of(request: &Request) -> Option<&str> {
    let of_error = request.error().and_then(|error| error.what.upstream.as_deref());
    let of_access =
        request.access.as_ref().and_then(|access| access.what.attempts.last()).map(|attempt| attempt.address.as_str());
    // Taken from the access line where it has one: nothing in it can be forged.
    of_access.filter(|address| !address.is_empty()).or(of_error)
}

/// The failure that emptied the group of servers: on the same nginx worker and server, not long before.
fn root_of<'a>(request: &Request, world: &'a World, at: Interval) -> Option<&'a Failure> {
    let error = request.error()?;
    world.failures.iter().rev().find(|failure| {
        failure.symptom != Symptom::NoLiveUpstreams
            && failure.symptom != Symptom::ClientClosed
            && failure.at.from <= at.to
            && failure.at.distance(at) <= ROOT_AGE_MAX_SECONDS * SECOND
            && failure.server == error.what.server
            && (failure.pid.is_none() || error.what.pid.is_none() || failure.pid == error.what.pid)
    })
}

/// The access line says that nginx could not connect, and its error line is missing or doubtful: the errno is the one
/// that this upstream had at the same time.
fn same_failure<'a>(world: &'a World, upstream: Option<&str>, at: Interval) -> Option<&'a Failure> {
    world.failures.iter().rev().find(|failure| {
        failure.symptom.id().starts_with("connect_")
            && Some(failure.upstream.as_str()) == upstream
            && failure.at.distance(at) <= 5 * SECOND
    })
}

/// The access log has nginx's own 502 page and nothing of upstreams, and no error line joins it (they are lost, or in doubt
/// behind a forged one): while nginx could not connect for anybody, it could not for this request either.
fn failures_alike<'a>(request: &Request, world: &'a World, at: Interval) -> Option<&'a Failure> {
    let access = request.access.as_ref().filter(|_| request.errors.is_empty())?;
    let own_page = access.what.body_bytes_sent.value().is_some_and(causes::app_returned_error::is_size_of_nginx_page);
    if access.what.status != 502 || access.what.has_upstream || !own_page {
        return None;
    }
    let mut around =
        world.failures.iter().rev().take(1_024).filter(|failure| failure.at.near(at, -SECOND, SECOND)).peekable();
    let first = *around.peek()?;
    let mut count = 0;
    for failure in around {
        if failure.symptom != first.symptom || !failure.symptom.id().starts_with("connect_") {
            return None;
        }
        count += 1;
    }
    (count >= ALIKE_MIN).then_some(first)
}

/// The worker's end that fits the request best: one not yet spoken for, nearest in time, first in the log.
fn death_for<'a>(case: &Case<'a>) -> Option<(usize, &'a Death)> {
    if let Some(access) = case.access()
        && (case.symptom == Symptom::Relayed || case.symptom == Symptom::Unknown && access.status == 500)
    {
        return if access.status == 500 { death_of_500(access, case.world, case.at) } else { None };
    }
    if !case.is_cut_off()
        && !matches!(case.symptom, Symptom::ResponseTruncated | Symptom::TlsHandshakeFailed | Symptom::Unknown)
    {
        return None;
    }
    let serial = case.instance.is_none_or(|instance| matches!(instance.worker_class.as_str(), "sync" | ""));
    let gunicorns = &case.world.gunicorns;
    let is_stranger = |instance: &&Instance| case.world.is_of_another_upstream(instance, case.upstream);
    let strangers = gunicorns.instances.iter().filter(is_stranger).map(|instance| instance.source);
    let strangers: Vec<u64> = strangers.collect();
    let deaths = gunicorns.deaths.iter().enumerate().rev().take(1_024);
    deaths
        .filter(|(_, death)| {
            if strangers.contains(&death.source) {
                return false;
            }
            let of_instance = case.address < AddressMatch::Maybe
                || case.instance.is_none_or(|instance| instance.source == death.source);
            // An abort that Gunicorn answered with 500 is another request's, unless this one was cut in its middle.
            let answered = death.request.is_some() && death.signal.is_none() && death.code.is_none();
            of_instance && !answered && death_interval(death).near(case.at, -1_500 * MILLISECOND, 1_500 * MILLISECOND)
        })
        .min_by_key(|(index, death)| {
            let taken = serial && death.explains > 0;
            (
                !death.is_violent(),
                taken,
                death_interval(death).distance(case.at) / (100 * MILLISECOND),
                death.ordered,
                *index,
            )
        })
}

/// The leading cause with its claim, and what else it could be.
pub fn judge(case: &Case<'_>) -> (&'static Cause, Claim) {
    let mut claims: Vec<(&'static Cause, Claim)> =
        causes::all().iter().filter_map(|cause| (cause.judge)(case).map(|claim| (*cause, claim))).collect();
    for (cause, claim) in &mut claims {
        claim.confidence *= weight_of_time(case, cause);
    }
    // Stable: at equal confidence the order of the table decides.
    claims.sort_by(|one, other| other.1.confidence.total_cmp(&one.1.confidence));
    let mut claims = claims.into_iter();
    let Some((cause, mut claim)) = claims.next() else {
        return (causes::UNKNOWN, Claim { confidence: 0.3, ..Claim::default() });
    };
    let sure = claim.confidence;
    let mut rival: f64 = 0.0;
    let mut others: Vec<&str> = Vec::new();
    for (other, claim) in claims.filter(|(_, claim)| claim.confidence >= ALSO_LIKELY).take(3) {
        rival = rival.max(claim.confidence);
        if sure < SAYS_WHY || !other.has(Mark::SaysNoReason) {
            others.push(other.id);
        }
    }
    if !others.is_empty() && cause.id != "unknown" {
        claim.quotes.truncate(EVIDENCE_MAX - 2);
        claim.quotes.push(conclusion(format!("could also be {}", others.join(", "))));
    }
    claim.confidence = stated(case, cause, claim.confidence, rival);
    (cause, claim)
}

/// What a claim is worth that rests on the time alone, nginx's own words about the request not being known.
fn weight_of_time(case: &Case<'_>, cause: &Cause) -> f64 {
    let by_time = case.is_request() && case.symptom == Symptom::Unknown && case.status() != Some(500);
    if by_time && cause.has(Mark::BlamesWorker) {
        BLAMED_BY_TIME
    } else if case.borrowed_symptom {
        BORROWED
    } else {
        1.0
    }
}

/// The confidence that is said. A claim weighs one rule by what it has seen; where every log of the request is in sight
/// a rule that stands unrivalled is wrong less often than that, and a worker is blamed less surely by time alone.
/// Fitted to recordings of a real nginx and Gunicorn: said 0.9 = right 9 times in 10.
fn stated(case: &Case<'_>, cause: &Cause, claimed: f64, rival: f64) -> f64 {
    let claimed = claimed.clamp(0.0, 1.0);
    if cause.id == "unknown" || !case.is_request() {
        return claimed;
    }
    if cause.has(Mark::WantsMoreEvidence) && !case.world.has_gunicorn_log && rival == 0.0 {
        // It says that the connection was closed and that nothing tells why: without Gunicorn's log nothing can.
        return CLOSED_AND_NOTHING_ELSE;
    }
    let complete = case.request.access.is_some() && case.error().is_some() && case.world.has_gunicorn_log;
    if !complete {
        return claimed;
    }
    1.0 - (1.0 - claimed) * (DOUBT_LEFT + rival).min(1.0)
}

/// The verdict on a case. `uid_salt` tells equal requests apart.
pub fn verdict_of(case: &Case<'_>, id: u64, uid_salt: u32, threshold: f64) -> (Verdict, Option<u64>) {
    let (cause, claim) = judge(case);
    let request = case.request;
    let mut confidence = claim.confidence;
    if !request.genuine {
        confidence *= 0.5;
    }
    if case.is_request() && request.access.is_none() && case.world.has_access_log {
        confidence *= 0.9;
    }
    let (link, span) = match case.trigger {
        Trigger::Request => link::find(case.world, case, id, cause, threshold),
        Trigger::Death | Trigger::Phase(_) | Trigger::Host(_) => (Link::NONE, None),
    };
    let evidence = evidence_of(case, &claim);
    let mut records = request.records();
    for quote in &evidence {
        if let Some(ticket) = quote.ticket
            && !records.iter().any(|(_, known)| *known == ticket)
        {
            records.push((quote.source, ticket));
        }
    }
    // A verdict is kept for minutes.
    records.shrink_to_fit();
    let access = request.access.as_ref();
    let attempts = access.map_or(0, |access| access.what.attempts.len());
    let attempts = if attempts > 0 {
        attempts
    } else {
        request.errors.iter().filter(|error| error.what.symptom.is_some()).count()
    };
    let verdict = Verdict {
        uid: uid_of(case, uid_salt),
        revision: 0,
        time: access.map_or(case.at.from, |access| access.at.from),
        status: case.status(),
        method: case.method().to_owned(),
        target: case.target().to_owned(),
        client: client_of(request),
        host: host_of(request),
        symptom: symptom_shown(case),
        cause,
        confidence: (confidence * 1_000.0).round() / 1_000.0,
        evidence,
        records,
        upstream: upstream_of(request).or(case.upstream).map(str::to_owned),
        attempts: attempts as u32,
        worker_pid: claim.worker.filter(|worker| *worker != Death::UNKNOWN_WORKER),
        link,
    };
    (verdict, span)
}

fn symptom_shown(case: &Case<'_>) -> Symptom {
    if case.derived_from.is_some() { Symptom::NoLiveUpstreams } else { case.symptom }
}

fn client_of(request: &Request) -> String {
    let of_access =
        request.access.as_ref().map(|access| access.what.client.clone()).filter(|client| !client.is_empty());
    of_access.or_else(|| request.error().map(|error| error.what.client.clone())).unwrap_or_default()
}

/// The `Host` of the request, which a client may choose freely; nginx's own `server_name` where it is not logged.
fn host_of(request: &Request) -> String {
    let of_access = request.access.as_ref().map(|access| access.what.host.as_str());
    let error = request.error().map(|error| &error.what);
    let of_error = [error.and_then(|error| error.host.as_deref()), error.map(|error| error.server.as_str())];
    let names = of_access.into_iter().chain(of_error.into_iter().flatten());
    names.map(without_port).find(|name| !matches!(*name, "" | "_" | "-")).unwrap_or_default().to_owned()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

fn evidence_of(case: &Case<'_>, claim: &Claim) -> Vec<Quote> {
    let mut evidence: Vec<Quote> = Vec::new();
    let mut push = |quote: Quote| {
        if evidence.len() < EVIDENCE_MAX
            && !evidence.iter().any(|known| known.text == quote.text && known.source == quote.source)
        {
            evidence.push(quote);
        }
    };
    case.symptom_quote().into_iter().for_each(&mut push);
    if let Some(root) = case.derived_from {
        push(root.quote.clone());
    }
    claim.quotes.iter().cloned().for_each(&mut push);
    if case.error().is_some()
        && let Some(access) = &case.request.access
        && access.what.has_upstream
    {
        push(access_quote(access));
    }
    case.other_server().into_iter().for_each(&mut push);
    for quote in &mut evidence {
        quote.text = super::text::shortened(&super::text::printable(&quote.text), 200);
    }
    evidence
}

/// 32 hexadecimal digits out of the first record's words and time: the same input gives the same uid.
fn uid_of(case: &Case<'_>, salt: u32) -> String {
    let request = case.request;
    let mut words = String::new();
    if let Some(error) = request.errors.first() {
        words.push_str(&error.text);
    }
    if let Some(access) = &request.access {
        words.push_str(&access.text);
    }
    if words.is_empty() {
        let text = match (&case.trigger, case.death) {
            (Trigger::Phase(change), _) => change.quote.text.clone(),
            (Trigger::Host(host), _) => host.seen.text.clone(),
            (_, Some((_, death))) => {
                format!("{} {}", death.worker, death.quotes.first().map_or("", |quote| quote.text.as_str()))
            }
            _ => String::new(),
        };
        words.push_str(&text);
    }
    words.push_str(&format!("|{}|{salt}", case.at.from));
    let high = hash64(words.as_bytes());
    words.push('#');
    format!("{high:016x}{:016x}", hash64(words.as_bytes()))
}

/// True when a change of phase is worth a verdict of its own.
pub fn is_fatal(phase: &Phase) -> bool {
    use super::correlate::gunicorn::Down;
    matches!(
        phase,
        Phase::Down(Down::BootFailed | Down::AppLoadFailed | Down::BindFailed | Down::Crashed | Down::MasterLost)
    )
}
