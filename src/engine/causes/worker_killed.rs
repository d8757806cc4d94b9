//! SIGKILL from outside Gunicorn.

use super::{
    Case, Category, Cause, Claim, Depth, Elsewhere, Expected, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms,
    Trigger,
};
use crate::engine::case::{Ended, HostSeen, How, conclusion, host_quote};
use crate::read::evidence::{SECOND, Symptom};

const LOG_BEGINS: Rule = Rule::new("worker_killed.log_begins", Standing::Likely);
const TOLD: Rule = Rule::new("worker_killed.told", Standing::Proof);
const ALONE: Rule = Rule::new("worker_killed.alone", Standing::Likely);
const HOST_NAMED: Rule = Rule::new("worker_killed.told_by_host", Standing::Strong);
const HOST: Rule = Rule::new("worker_killed.told_without_name", Standing::Likely);

pub static CAUSE: Cause = Cause {
    id: "worker_killed",
    category: Category::Worker,
    summary: "the Gunicorn worker got SIGKILL from outside, most often from the kernel's OOM killer (not proven)",
    when: "The request was cut as a worker ended by signal 9, without `WORKER TIMEOUT` before and without a line of the kernel or Kubernetes about memory; less surely where the log begins with that end.",
    hint: "Ask the kernel: `journalctl -k | grep -i 'killed process'`, or the container's state for OOMKilled; then give more memory, run fewer workers, or recycle them with `--max-requests`.",
    elsewhere: Some(Elsewhere {
        summary: "a worker of {} got SIGKILL from outside, most often from the kernel's OOM killer (not proven)",
        hint: "Ask the kernel: `journalctl -k | grep -i 'killed process'`, or the container's state for OOMKilled; then give more memory or run fewer workers.",
    }),
    facts: "Gunicorn writes `Worker (pid:N) was sent SIGKILL! Perhaps out of memory?` (21 and later) or `was terminated due to signal 9` (20.1) for every SIGKILL, its own after a timeout included; 20.0 and older write nothing (gunicorn/arbiter.py, reap_workers).",
    links: &["https://docs.gunicorn.org/en/stable/faq.html#why-are-my-workers-silently-killed"],
    explains: Symptoms::OF_AN_END.and(&[Symptom::ResponseTruncated]),
    origin: Origin::after(Family::Killed, Depth::Follows),
    leaves: Leaves::Always(Expected::NoStatus),
    marks: &[Mark::BlamesWorker, Mark::Final, Mark::MayLearnMore],
    rules: &[LOG_BEGINS, TOLD, ALONE, HOST_NAMED, HOST],
    judge,
    example: r#"2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /report HTTP/1.1", upstream: "http://127.0.0.1:8000/report", host: "shop.test"
[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?"#,
    near_miss: r#"[2026-03-04 09:15:02 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)
[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        return alone(case, host);
    }
    if case.timed_out_in_body() {
        return None;
    }
    let Some(death) = case.violent_death() else { return in_silence(case) };
    if death.signal != Some(9) || death.timed_out || death.ordered {
        return None;
    }
    if death.begins_log && case.later_ones_timed_out(death) {
        return None;
    }
    let mut quotes = death.quotes.clone();
    let (rule, known) = if death.begins_log {
        (LOG_BEGINS, "the log begins here: a WORKER TIMEOUT just before is not in sight, nor is a kernel line")
    } else {
        (TOLD, "no WORKER TIMEOUT of this worker before, and no kernel line in sight")
    };
    quotes.push(conclusion(known));
    let mut claim = Claim::with(rule, quotes)?;
    claim.worker = Some(death.worker);
    Some(claim)
}

fn is_kill(ended: &Ended<'_>) -> bool {
    ended.how == How::Signal(9)
}

fn alone(case: &Case<'_>, host: &HostSeen) -> Option<Claim> {
    let ended = case.end_of(host).filter(|ended| is_kill(ended) && ended.names_server)?;
    // Its server may have ended a worker that took too long by itself.
    let by_itself = case.hosts().any(|other| {
        How::of(&other.seen.what) == Some(How::TimedOut) && other.seen.at.near(host.seen.at, 0, 30 * SECOND)
    });
    (!by_itself).then(|| Claim::with(ALONE, vec![host_quote(ended.host)]))?
}

/// systemd, Docker or a supervisor tells of it, and no Gunicorn does.
fn in_silence(case: &Case<'_>) -> Option<Claim> {
    let fits = case.is_request() && case.is_cut_off() && !case.rules_out_death();
    let ended = case.ended().filter(is_kill).max_by_key(|ended| ended.names_server).filter(|_| fits)?;
    let mut quotes = vec![host_quote(ended.host)];
    quotes.push(conclusion("signal 9 is often the kernel's for want of memory: its log was not read"));
    Claim::with(if ended.names_server { HOST_NAMED } else { HOST }, quotes)
}
