//! Gunicorn killed the worker after `--timeout`.

use super::{
    Case, Category, Cause, Claim, Elsewhere, Expected, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms, Trigger,
};
use crate::engine::case::{Ended, HostSeen, How, conclusion, host_quote};
use crate::read::evidence::{Host, SECOND, Server, Symptom};

/// uWSGI tries again every second until the worker is gone.
const TRIES_MAX: i64 = 30 * SECOND;

const TLS: Rule = Rule::new("worker_timeout.in_handshake", Standing::Hint);
const TOLD: Rule = Rule::new("worker_timeout.told", Standing::Proof);
const LOG_BEGINS: Rule = Rule::new("worker_timeout.log_begins", Standing::Likely);
const OTHER_ALONE: Rule = Rule::new("worker_timeout.other_server_alone", Standing::Strong);
const OTHER: Rule = Rule::new("worker_timeout.other_server", Standing::Strong);

pub static CAUSE: Cause = Cause {
    id: "worker_timeout",
    category: Category::Worker,
    summary: "Gunicorn killed the worker because it did not finish within `--timeout`",
    when: "The request was cut, or answered with 500, as a worker of which Gunicorn had written `WORKER TIMEOUT` (or uWSGI, PHP-FPM or Puma the same in their words) came to its end.",
    hint: "Make the request faster or move its work to a background job; if it must be slow, raise Gunicorn's `--timeout` and nginx's `proxy_read_timeout` together, or use `--worker-class gthread`.",
    elsewhere: Some(Elsewhere {
        summary: "{} ended the worker because it did not finish within its time limit",
        hint: "Make the request faster or move its work to a background job; if it must be slow, raise the server's own limit (Gunicorn `--timeout`, uWSGI `harakiri`, PHP-FPM `request_terminate_timeout`, Puma `worker_timeout`) and nginx's read timeout together.",
    }),
    facts: "`WORKER TIMEOUT (pid:N)` is written as SIGABRT is sent, and SIGKILL follows at the next turn if the worker still lives, with `was sent SIGKILL! Perhaps out of memory?`: that line is no proof of an OOM kill (gunicorn/arbiter.py, murder_workers and reap_workers). Gunicorn 22 and later answer 500 if Python can still run (gunicorn/workers/base.py, handle_abort).",
    links: &[
        "https://docs.gunicorn.org/en/stable/settings.html#timeout",
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout",
    ],
    explains: Symptoms::OF_AN_END.and(&[Symptom::ResponseTruncated]),
    origin: Origin::of(Family::Busy),
    leaves: Leaves::Always(Expected::NoStatus),
    marks: &[Mark::BlamesWorker, Mark::Final],
    rules: &[TLS, TOLD, LOG_BEGINS, OTHER_ALONE, OTHER],
    judge,
    example: r#"[2026-03-04 09:15:02 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)
2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /report HTTP/1.1", upstream: "http://127.0.0.1:8000/report", host: "shop.test"
[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?"#,
    near_miss: r#"2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /report HTTP/1.1", upstream: "http://127.0.0.1:8000/report", host: "shop.test"
[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        return alone(case, host);
    }
    let violent = case.violent_death();
    if let Some(death) = violent.filter(|death| !death.timed_out && case.later_ones_timed_out(death)) {
        let mut quotes = death.quotes.clone();
        quotes.push(conclusion("the log begins here, and each worker that was killed later had timed out before"));
        let mut claim = Claim::with(LOG_BEGINS, quotes)?;
        claim.worker = Some(death.worker);
        return Some(claim);
    }
    let Some(death) = violent.filter(|death| death.timed_out) else { return of_other_server(case) };
    if case.timed_out_in_body() {
        return None;
    }
    // A TLS greeting that no worker can read ends in a timeout as well: then TLS is the reason.
    let rule = if case.symptom == Symptom::TlsHandshakeFailed { TLS } else { TOLD };
    let mut quotes = death.quotes.clone();
    // `Perhaps out of memory?` follows Gunicorn's own kill as well.
    if death.signal == Some(9) {
        quotes.truncate(2);
        quotes.push(conclusion("not out of memory: it had been timed out, and Gunicorn itself killed it"));
    }
    let mut claim = Claim::with(rule, quotes)?;
    claim.worker = Some(death.worker);
    Some(claim)
}

/// Another server's line by itself; its second and third try are told with the first.
fn alone(case: &Case<'_>, host: &HostSeen) -> Option<Claim> {
    let ended = case.end_of(host).filter(|ended| ended.how == How::TimedOut)?;
    let near = |other: &&HostSeen| {
        How::of(&other.seen.what) == Some(How::TimedOut) && other.seen.at.near(host.seen.at, 0, TRIES_MAX)
    };
    let first = case.hosts().find(near)?;
    (first.seen.ticket == host.seen.ticket).then(|| claim_of(OTHER_ALONE, ended))?
}

/// Another server ended a worker as the request was cut.
fn of_other_server(case: &Case<'_>) -> Option<Claim> {
    let ended = case.ended().find(|ended| ended.how == How::TimedOut).filter(|_| case.is_cut_off())?;
    claim_of(OTHER, ended)
}

fn claim_of(rule: Rule, ended: Ended<'_>) -> Option<Claim> {
    let limit = match &ended.host.seen.what {
        Host::Server { server: Server::Uwsgi, .. } => "the worker is uWSGI's, and the time limit is its `harakiri`",
        Host::Server { server: Server::PhpFpm, .. } => {
            "the worker is PHP-FPM's, and the time limit is its `request_terminate_timeout`"
        }
        Host::Server { server: Server::Puma, .. } => "the worker is Puma's, and the time limit is its `worker_timeout`",
        _ => "the time limit is that of its own server, not Gunicorn's `--timeout`",
    };
    Claim::with(rule, vec![host_quote(ended.host), conclusion(limit)])
}
