//! A worker ended, which a log shows, and nothing says why.

use super::{
    Case, Category, Cause, Claim, Elsewhere, Expected, Leaves, Mark, Origin, Rule, Standing, Symptoms, Trigger,
};
use crate::engine::case::{Ended, HostSeen, How, conclusion, host_quote};

const ALONE: Rule = Rule::new("worker_died.alone", Standing::Likely);
const REPLACED: Rule = Rule::new("worker_died.replaced", Standing::Likely);
const HOST_NAMED: Rule = Rule::new("worker_died.told_by_host", Standing::Strong);
const HOST: Rule = Rule::new("worker_died.told_without_name", Standing::Plausible);

pub static CAUSE: Cause = Cause {
    id: "worker_died",
    category: Category::Worker,
    summary: "a worker ended while it had the request; nothing says why",
    when: "The request was cut as a worker was replaced about whose end Gunicorn says nothing, being too old to speak of signals or of an unknown version; or as another application server told of a worker that died.",
    hint: "Read the kernel's log at this time (`journalctl -k`), and use Gunicorn 20.1 or later, which says by which signal a worker ended.",
    elsewhere: Some(Elsewhere {
        summary: "a worker of {} ended while it had the request; nothing says why",
        hint: "Read the kernel's log at this time (`journalctl -k`) and the server's own log at a lower level.",
    }),
    facts: "Gunicorn older than 20.1 writes nothing about a worker that a signal ended (gunicorn/arbiter.py, reap_workers); it writes `Booting worker` for the next one. uvicorn writes `Child process [N] died` and not why (uvicorn/supervisors/multiprocess.py).",
    links: &["https://docs.gunicorn.org/en/stable/settings.html#errorlog"],
    explains: Symptoms::CUT_OFF,
    origin: Origin::any(Origin::ENDS),
    leaves: Leaves::Always(Expected::NoStatus),
    marks: &[Mark::WantsMoreEvidence, Mark::SaysNoReason],
    rules: &[ALONE, REPLACED, HOST_NAMED, HOST],
    judge,
    example: r#"[2026-03-04 09:10:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:10:00 +0000] [301] [INFO] Booting worker with pid: 301
[2026-03-04 09:10:30 +0000] [300] [INFO] Handling signal: winch
2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /import HTTP/1.1", upstream: "http://127.0.0.1:8000/import", host: "shop.test"
[2026-03-04 09:15:03 +0000] [305] [INFO] Booting worker with pid: 305"#,
    near_miss: r#"[2026-03-04 09:10:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:10:00 +0000] [301] [INFO] Booting worker with pid: 301
2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /import HTTP/1.1", upstream: "http://127.0.0.1:8000/import", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        return alone(case, host);
    }
    if case.violent_death().is_some() {
        return None;
    }
    replaced(case).or_else(|| told_by_host(case))
}

fn has_died(ended: &Ended<'_>) -> bool {
    ended.how == How::Died
}

fn alone(case: &Case<'_>, host: &HostSeen) -> Option<Claim> {
    let ended = case.end_of(host).filter(|ended| has_died(ended) && ended.names_server)?;
    // Its server says of the next ones that they fail as soon as they are there.
    if case.ended().any(|other| other.how == How::FailedToBoot && other.server() == ended.server()) {
        return None;
    }
    Claim::with(ALONE, vec![host_quote(ended.host)])
}

/// Gunicorn booted another, and would not have told of a signal.
fn replaced(case: &Case<'_>) -> Option<Claim> {
    let boot = case.silent_end().filter(|_| !case.speaks_of_signals())?;
    let quotes = vec![
        boot.quote.clone(),
        conclusion(
            "a worker was replaced, and a Gunicorn of this version, or of an unknown one, does not say what ended it",
        ),
    ];
    Claim::with(REPLACED, quotes)
}

/// Another application server says so.
fn told_by_host(case: &Case<'_>) -> Option<Claim> {
    let ended = case.ended().find(has_died).filter(|_| case.is_request() && case.is_cut_off())?;
    let mut claim = Claim::with(if ended.names_server { HOST_NAMED } else { HOST }, vec![host_quote(ended.host)])?;
    claim.worker = ended.worker;
    Some(claim)
}
