//! Did a request fail, when, and what did nginx see?

mod symptom;

use super::case::{DeathKey, Sight};
use super::correlate::gunicorn::Death;
use super::correlate::join::Request;
use super::correlate::{Interval, Seen};
use crate::read::evidence::{Attempt, Logged, MILLISECOND, NginxAccess, NginxError, SECOND, Symptom};
use crate::read::formats::nginx_access::is_page_of_nginx;

/// So many attempts in no time are refusals.
const REFUSALS_MIN: usize = 3;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It failed and gets a verdict.
    Failed,
    /// It did not fail, or not for its upstream.
    Fine,
    /// An error line says that it failed, and the access log that covers the time knows nothing of it: a forged line,
    /// or a request that a retry saved.
    Contradicted,
}

/// True where nginx's own access line says that the request failed, whatever else is in sight.
pub(super) fn has_surely_failed(request: &Request) -> bool {
    request.access.as_ref().is_some_and(|access| is_failure(access.what.status))
}

fn is_failure(status: u16) -> bool {
    matches!(status, 502 | 504 | 499 | 9)
}

/// Whether the request failed. With `finds_good` an access line that looks good would be here ([`super::Settings`]).
pub(super) fn outcome(request: &Request, sight: &Sight<'_>, finds_good: bool) -> Outcome {
    let symptom = request.error().and_then(|error| error.what.symptom);
    if let Some(access) = &request.access {
        return if access_failed(&access.what, request, symptom, sight, access.at) {
            Outcome::Failed
        } else {
            Outcome::Fine
        };
    }
    let Some(symptom) = symptom else { return Outcome::Fine };
    // A forged line has the time that its writer likes.
    if !request.genuine && sight.own().has_any_access_log() {
        return Outcome::Contradicted;
    }
    // A refusal (413) that was whole before the connection broke was not cut.
    if symptom == Symptom::ResponseTruncated && request.maybe.iter().any(|access| access.what.status < 400) {
        let nearest = |access: &&Seen<NginxAccess>| request.error().map_or(0, |error| error.at.distance(access.at));
        let refused =
            request.maybe.iter().filter(|access| access.what.status >= 400).map(|access| nearest(&access)).min();
        let served =
            request.maybe.iter().filter(|access| access.what.status < 400).map(|access| nearest(&access)).min();
        return if refused.is_some() && refused <= served { Outcome::Fine } else { Outcome::Failed };
    }
    if !request.maybe.is_empty() {
        return Outcome::Fine;
    }
    let error = request.error();
    let concerns_a_request = error.is_some_and(|error| error.what.request.is_some());
    // An answer that was cut off has a line like any good one, which went on before anybody asked for it.
    let is_missed = finds_good || symptom != Symptom::ResponseTruncated;
    let is_covered = |error: &Seen<NginxError>| {
        sight.own().is_covered(error.at) && !(request.is_asked && sight.own().has_no_line_of(&error.what.server))
    };
    if concerns_a_request && is_missed && !finds_good && error.is_some_and(is_covered) {
        return Outcome::Contradicted;
    }
    Outcome::Failed
}

fn access_failed(
    access: &NginxAccess,
    request: &Request,
    symptom: Option<Symptom>,
    sight: &Sight<'_>,
    at: Interval,
) -> bool {
    let answered = access.attempts.last().is_some_and(|attempt| attempt.header_time.value().is_some());
    match access.status {
        status if is_failure(status) => true,
        503 if symptom.is_some() || answered => true,
        // `limiting requests` and the like: nginx's own 503, with a line that is no symptom, or without an upstream.
        503 => !access.has_upstream && request.errors.is_empty(),
        500 => symptom.is_some() || death_of_500(access, request, sight, at).is_some(),
        status if status < 400 => symptom == Some(Symptom::ResponseTruncated),
        // A refusal whose body never came: nginx then notes 502 for the attempt.
        _ => symptom.is_some() && access.attempts.last().is_some_and(|attempt| attempt.status == Logged::Value(502)),
    }
}

/// The abort or exit inside a worker that made this 500 (Gunicorn 22 and later answer 500 to `SystemExit`).
pub(super) fn death_of_500<'a>(
    access: &NginxAccess,
    request: &Request,
    sight: &Sight<'a>,
    at: Interval,
) -> Option<(DeathKey, &'a Death)> {
    let took = access.request_time.value();
    // `--timeout` is of whole seconds.
    let too_short = took.is_some_and(|took| took < 900 * MILLISECOND);
    let deaths = sight.keyed_deaths().rev().take(512);
    deaths
        .filter(|(_, death)| {
            let same = death.request.as_deref().is_some_and(|target| {
                let target = target.rsplit(' ').next().unwrap_or(target);
                target == access.target
            });
            let ends = if death.timed_out { !too_short } else { death.is_exit_of_application() };
            same && ends && death_interval(death).near(at, -2 * SECOND, 2 * SECOND)
        })
        .min_by_key(|(_, death)| {
            let unlikely = took.is_some() && !too_short && !death.timed_out;
            (request.is_taken(death), unlikely, death.to.distance(at))
        })
}

pub(super) fn death_interval(death: &Death) -> Interval {
    Interval { from: death.from.from, to: death.to.to.max(death.from.to) }
}

/// What nginx saw.
pub(super) fn symptom_of(request: &Request) -> Symptom {
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
    if refused_at_once(access) {
        return Symptom::ConnectRefused;
    }
    match last {
        Some(attempt) => symptom::of_attempt(access.status, attempt),
        None => symptom::of_attempt(access.status, &Attempt::default()),
    }
}

/// Several attempts that took no time at all, each answered by nginx itself, were refused: whoever takes a connection needs
/// longer to close it again, time after time.
fn refused_at_once(access: &NginxAccess) -> bool {
    let at_once = |attempt: &Attempt| {
        attempt.status == Logged::Value(502)
            && attempt.response_time == Logged::Value(0)
            && attempt.connect_time.value().is_none()
            && attempt.header_time.value().is_none()
            && matches!(attempt.bytes_received, Logged::No | Logged::Value(0))
    };
    access.attempts.len() >= REFUSALS_MIN && access.attempts.iter().all(at_once)
}

/// True when the client got a body as long as nginx's own page of its status: the built-in error pages for 502 to 504, with
/// and without version and with the padding for old browsers (`src/http/ngx_http_special_response.c`): `nginx`,
/// `nginx/1.2.3`, `nginx/1.22.1 (Ubuntu)`.
pub(super) fn has_page_of_nginx(access: &NginxAccess) -> bool {
    access.body_bytes_sent.value().is_some_and(|bytes| bytes == 0 || is_page_of_nginx(bytes))
}

/// When the last attempt failed: the access line's time where it is exact, else where it and the error line agree.
pub(super) fn failed_at(request: &Request) -> Option<Interval> {
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
