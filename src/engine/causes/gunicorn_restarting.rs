//! A stop, restart or reload is in progress.

use super::{
    Case, Category, Cause, Claim, Depth, Elsewhere, Family, Leaves, Origin, Rule, Standing, Symptoms, Trigger,
};
use crate::engine::case::{conclusion, host_quote, stops_unit};
use crate::engine::correlate::gunicorn::{Change, Down, Instance, Phase};
use crate::engine::verdict::Quote;
use crate::read::address::AddressMatch;
use crate::read::evidence::{SECOND, Symptom};

const STOP_ALONE: Rule = Rule::new("gunicorn_restarting.stop_alone", Standing::Plausible);
const UNIT_ALONE: Rule = Rule::new("gunicorn_restarting.unit_alone", Standing::Possible);
const ABORTED: Rule = Rule::new("gunicorn_restarting.aborted", Standing::Strong);
const STARTING: Rule = Rule::new("gunicorn_restarting.starting", Standing::Strong);
const GAP: Rule = Rule::new("gunicorn_restarting.gap", Standing::Proof);
const NOT_BACK: Rule = Rule::new("gunicorn_restarting.not_back", Standing::Possible);
const SAME_SECOND: Rule = Rule::new("gunicorn_restarting.same_second", Standing::Strong);
const VIOLENT: Rule = Rule::new("gunicorn_restarting.worker_ended", Standing::Possible);
const CUT: Rule = Rule::new("gunicorn_restarting.cut_at_stop", Standing::Proof);
const RELOAD: Rule = Rule::new("gunicorn_restarting.cut_at_reload", Standing::Strong);
const LATE_RELOAD: Rule = Rule::new("gunicorn_restarting.cut_after_reload", Standing::Possible);

pub static CAUSE: Cause = Cause {
    id: "gunicorn_restarting",
    category: Category::Lifecycle,
    summary: "Gunicorn was being stopped, restarted or reloaded when the request came",
    when: "The request was refused between a stop and the next `Listening at` (by systemd's words where Gunicorn's log does not reach so far back), or cut while the workers left after a stop or reload.",
    hint: "Restart without a gap: let systemd hold the socket (socket activation), reload with SIGHUP, or run two instances with `proxy_next_upstream error timeout`; raise `--graceful-timeout` if running requests are cut.",
    elsewhere: Some(Elsewhere {
        summary: "{} was being stopped, restarted or reloaded when the request came",
        hint: "Restart without a gap: let systemd hold the socket, reload instead of restarting, or run two instances with `proxy_next_upstream error timeout`.",
    }),
    facts: "On TERM Gunicorn closes its listener (a unix socket's file goes first), finishes running requests for `--graceful-timeout` and kills the rest without a word; what still waits in the listen queue is reset when the last worker leaves (gunicorn/arbiter.py, stop).",
    links: &[
        "https://docs.gunicorn.org/en/stable/settings.html#graceful-timeout",
        "https://docs.gunicorn.org/en/stable/deploy.html#systemd",
    ],
    explains: Symptoms::OF_AN_END.or(Symptoms::REFUSED).and(&[Symptom::ResponseTruncated, Symptom::ConnectTimedOut]),
    // A deploy restarts the server; where the new release cannot start, that is the origin.
    origin: Origin::after(Family::Server, Depth::Follows),
    leaves: Leaves::NoStatusAt(500),
    marks: &[],
    rules: &[STOP_ALONE, UNIT_ALONE, ABORTED, STARTING, GAP, NOT_BACK, SAME_SECOND, VIOLENT, CUT, RELOAD, LATE_RELOAD],
    judge,
    example: r#"[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:15:00 +0000] [300] [INFO] Handling signal: term
[2026-03-04 09:15:00 +0000] [300] [INFO] Shutting down: Master
2026/03/04 09:15:02 [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test"
[2026-03-04 09:15:03 +0000] [500] [INFO] Starting gunicorn 23.0.0
[2026-03-04 09:15:03 +0000] [500] [INFO] Listening at: http://127.0.0.1:8000 (500)"#,
    near_miss: r#"[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:30 +0000] [300] [INFO] Handling signal: term
[2026-03-04 09:14:31 +0000] [300] [INFO] Shutting down: Master
2026/03/04 09:15:02 [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test""#,
};

/// `--graceful-timeout` is 30 s by default; requests may be cut so long after the signal, and a little more.
const GRACE_MAX: i64 = 95 * SECOND;

fn judge(case: &Case<'_>) -> Option<Claim> {
    match case.trigger {
        Trigger::Phase(change) => {
            let stopping = matches!(change.phase, Phase::Stopping | Phase::Down(Down::ShutDown) | Phase::Reloading);
            return stopping.then(|| Claim::with(STOP_ALONE, vec![change.quote.clone()]))?;
        }
        Trigger::Host(host) => {
            // Where nginx is in sight it says whether that harmed anybody.
            let is_alone = !case.has_error_log() && !case.has_access_log();
            let stopping = is_alone && stops_unit(&host.seen.what) && !case.is_told_again(host);
            return stopping.then(|| Claim::with(UNIT_ALONE, vec![host_quote(host)]))?;
        }
        Trigger::Death => return None,
        Trigger::Request => {}
    }
    let instance = case.instance.filter(|_| case.address > AddressMatch::No);
    if case.is_refused() && instance.is_none_or(|instance| instance.before(case.at).is_none()) {
        return between_units(case);
    }
    let instance = instance?;
    let abort =
        case.status() == Some(500) && case.violent_death().is_some_and(|death| death.ordered && !death.timed_out);
    if abort {
        let stop = instance.last_before(case.at, |phase| *phase == Phase::Stopping)?;
        return Claim::with(ABORTED, vec![stop.quote.clone()]);
    }
    if case.is_refused() || matches!(case.symptom, Symptom::ConnectTimedOut) {
        return in_the_gap(case, instance);
    }
    // A server that leaves says so over HTTP/2.
    if case.is_cut_off() || case.refusal().is_some_and(|refusal| refusal.may_be_stop()) {
        return at_the_edge(case, instance);
    }
    None
}

fn is_stop(phase: &Phase) -> bool {
    matches!(phase, Phase::Stopping | Phase::Down(Down::ShutDown))
}

/// Refused between the stop and the next `Listening at`.
fn in_the_gap(case: &Case<'_>, instance: &Instance) -> Option<Claim> {
    let before = instance.before(case.at)?;
    let comes_back = instance.after(before, |phase| matches!(phase, Phase::Starting | Phase::Listening));
    let both = |change: &Change, back: Option<&Change>| -> Vec<Quote> {
        let mut quotes = vec![change.quote.clone()];
        quotes.extend(back.map(|back| back.quote.clone()));
        quotes
    };
    match &before.phase {
        Phase::Starting => {
            let mut claim = Claim::with(STARTING, both(before, comes_back))?;
            claim.hint = case.while_starting();
            Some(claim)
        }
        phase if is_stop(phase) && comes_back.is_some() => Claim::with(GAP, both(before, comes_back)),
        phase if is_stop(phase) && before.at.near(case.at, 0, 3 * SECOND) => Claim::with(NOT_BACK, both(before, None)),
        // The stamps of one second do not tell which came first.
        Phase::Listening => {
            let stopped =
                instance.last_before(case.at, is_stop).filter(|stop| stop.at.near(case.at, -SECOND, 8 * SECOND));
            stopped.and_then(|stop| Claim::with(SAME_SECOND, both(stop, Some(before))))
        }
        _ => None,
    }
}

/// Refused between the stop of the unit and its start, where Gunicorn's own log does not reach so far back.
fn between_units(case: &Case<'_>) -> Option<Claim> {
    let (stop, back) = case.stop_of_unit()?;
    match back {
        Some(back) => Claim::with(GAP, vec![host_quote(stop), host_quote(back)]),
        None if stop.seen.at.near(case.at, 0, 3 * SECOND) => Claim::with(NOT_BACK, vec![host_quote(stop)]),
        None => None,
    }
}

/// Reset or cut while the workers leave.
fn at_the_edge(case: &Case<'_>, instance: &Instance) -> Option<Claim> {
    let stop = instance.last_before(case.at, |phase| matches!(phase, Phase::Stopping | Phase::Reloading))?;
    let since = case.at.from.saturating_sub(stop.at.to);
    if since > GRACE_MAX {
        return None;
    }
    // Booted again and long done: the stop is history.
    let back =
        instance.last_before(case.at, |phase| *phase == Phase::Listening).filter(|back| back.at.from > stop.at.to);
    if back.is_some_and(|back| case.at.from.saturating_sub(back.at.to) > 5 * SECOND) {
        return None;
    }
    let violent = case.violent_death().is_some_and(|death| death.timed_out || !death.ordered);
    let rule = match (violent, stop.phase == Phase::Reloading) {
        (true, _) => VIOLENT,
        (false, false) => CUT,
        (false, true) if since < 35 * SECOND => RELOAD,
        (false, true) => LATE_RELOAD,
    };
    Claim::with(rule, vec![stop.quote.clone(), conclusion("the request was cut while the workers left")])
}
