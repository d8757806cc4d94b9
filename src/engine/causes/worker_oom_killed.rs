//! SIGKILL with the word of the kernel or of Kubernetes that it was for memory.

use super::{
    Case, Category, Cause, Claim, Elsewhere, Expected, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms, Trigger,
};
use crate::engine::case::{Ended, HostSeen, How, host_quote, is_app_server, is_infrastructure};
use crate::engine::correlate::gunicorn::Death;
use crate::read::evidence::{Host, Symptom};

const PROVEN: Rule = Rule::new("worker_oom_killed.proven", Standing::Proof);
const WORKER: Rule = Rule::new("worker_oom_killed.of_worker", Standing::Proof);
const HOST_NAMED: Rule = Rule::new("worker_oom_killed.told_by_host", Standing::Strong);
const HOST: Rule = Rule::new("worker_oom_killed.told_without_name", Standing::Plausible);
const NAMED_ALONE: Rule = Rule::new("worker_oom_killed.named_alone", Standing::Strong);
const ALONE_IN_SIGHT: Rule = Rule::new("worker_oom_killed.alone_in_sight", Standing::Likely);
const ALONE: Rule = Rule::new("worker_oom_killed.alone", Standing::Possible);

pub static CAUSE: Cause = Cause {
    id: "worker_oom_killed",
    category: Category::Worker,
    summary: "the kernel killed the Gunicorn worker because memory ran out",
    when: "A worker ended by signal 9 and a line of the kernel, systemd or Kubernetes says that it was for memory, with its pid, or at that time without another's; the request was cut at the time of such a line and no log of Gunicorn rules it out; or such a line stands alone, which is as sure as its process is known to be Gunicorn's.",
    hint: "Give the host or container more memory or run fewer workers; find the leak, and recycle workers with `--max-requests` and `--max-requests-jitter` until it is mended.",
    elsewhere: Some(Elsewhere {
        summary: "the kernel killed a worker of {} because memory ran out",
        hint: "Give the host or container more memory or run fewer workers; find the leak, and recycle workers until it is mended.",
    }),
    facts: "The kernel names the process: `Out of memory: Killed process N (gunicorn)` or `Memory cgroup out of memory: ...` (mm/oom_kill.c); Kubernetes says OOMKilled. Its pid is the host's, not the container's.",
    links: &[
        "https://docs.gunicorn.org/en/stable/settings.html#max-requests",
        "https://kubernetes.io/docs/tasks/configure-pod-container/assign-memory-resource/",
    ],
    explains: Symptoms::OF_AN_END.and(&[Symptom::ResponseTruncated]),
    origin: Origin::of(Family::Killed),
    leaves: Leaves::Always(Expected::NoStatus),
    marks: &[Mark::BlamesWorker, Mark::Final],
    rules: &[PROVEN, WORKER, HOST_NAMED, HOST, NAMED_ALONE, ALONE_IN_SIGHT, ALONE],
    judge,
    example: r#"[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?
Mar  4 09:15:03 web1 kernel: [ 4242.424242] Out of memory: Killed process 301 (gunicorn) total-vm:900000kB, anon-rss:800000kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:2000kB oom_score_adj:0"#,
    near_miss: r#"[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        return Claim::with(alone(case, host)?, vec![host_quote(host)]);
    }
    match case.violent_death().filter(|death| death.signal == Some(9) && !death.timed_out) {
        Some(death) => with_death(case, death),
        None => in_silence(case),
    }
}

/// Gunicorn tells that the worker was killed, the machine why.
fn with_death(case: &Case<'_>, death: &Death) -> Option<Claim> {
    // A kill of another worker is not this one's, however near.
    let fits = |ended: &Ended<'_>| ended.how == How::Memory && ended.worker.is_none_or(|worker| worker == death.worker);
    let proof = case.ended_with(death).filter(fits).max_by_key(|ended| ended.worker.is_some())?;
    let mut quotes = vec![host_quote(proof.host)];
    quotes.extend(death.quotes.clone());
    let mut claim = Claim::with(PROVEN, quotes)?;
    claim.worker = Some(death.worker);
    Some(claim)
}

/// No log of the application server tells of it: it is silent about signals, or it was not read.
fn in_silence(case: &Case<'_>) -> Option<Claim> {
    if !case.is_cut_off() && case.symptom != Symptom::ResponseTruncated || case.violent_death().is_some() {
        return None;
    }
    let memory = case.ended().filter(|ended| ended.how == How::Memory);
    let ended = memory.max_by_key(|ended| (ended.worker.is_some(), ended.names_server))?;
    let rule = match (ended.worker, case.rules_out_death()) {
        (Some(_), _) => WORKER,
        // Its log is there and names no end: another process was killed.
        (None, true) => return None,
        (None, false) if ended.names_server => HOST_NAMED,
        (None, false) => HOST,
    };
    let mut claim = Claim::with(rule, vec![host_quote(ended.host)])?;
    claim.worker = ended.worker;
    Some(claim)
}

/// What such a line proves by itself. `python3` is many a program's name, and a container or a unit is anybody's: they are
/// Gunicorn's more likely where Gunicorn or its nginx is in sight. A process of another name is not Gunicorn's.
fn alone(case: &Case<'_>, host: &HostSeen) -> Option<Rule> {
    let name = match &host.seen.what {
        Host::OomKill { process, .. } => process.as_str(),
        Host::ContainerOomKilled { container } => container.as_str(),
        Host::UnitOomKilled { unit } => unit.as_str(),
        _ => return None,
    };
    let is_process = matches!(host.seen.what, Host::OomKill { .. });
    if is_process && !name.is_empty() && !is_app_server(name) || !is_process && is_infrastructure(name) {
        return None;
    }
    let in_sight = case.has_gunicorn_log() || case.has_error_log() || case.has_access_log();
    let is_named = ["gunicorn", "uvicorn"].iter().any(|server| name.contains(server));
    Some(if is_named {
        NAMED_ALONE
    } else if in_sight {
        ALONE_IN_SIGHT
    } else {
        ALONE
    })
}
