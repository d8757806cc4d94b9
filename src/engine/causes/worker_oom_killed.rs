//! SIGKILL with the word of the kernel or of Kubernetes that it was for memory.

use super::{Case, Category, Cause, Claim, Expected, Leaves, Mark, Symptoms, Trigger};
use crate::engine::case::{HostSeen, host_quote};
use crate::read::evidence::{Host, SECOND, Symptom};

pub static CAUSE: Cause = Cause {
    id: "worker_oom_killed",
    category: Category::Worker,
    summary: "the kernel killed the Gunicorn worker because memory ran out",
    when: "A worker ended by signal 9 and a line of the kernel, systemd or Kubernetes says that it was for memory, with the same pid or within 10 s; or such a line stands alone, which is as sure as its process is known to be Gunicorn's.",
    hint: "Give the host or container more memory or run fewer workers; find the leak, and recycle workers with `--max-requests` and `--max-requests-jitter` until it is mended.",
    facts: "The kernel names the process: `Out of memory: Killed process N (gunicorn)` or `Memory cgroup out of memory: ...` (mm/oom_kill.c); Kubernetes says OOMKilled. Its pid is the host's, not the container's.",
    links: &[
        "https://docs.gunicorn.org/en/stable/settings.html#max-requests",
        "https://kubernetes.io/docs/tasks/configure-pod-container/assign-memory-resource/",
    ],
    explains: Symptoms::OF_AN_END.and(&[Symptom::ResponseTruncated]),
    leaves: Leaves::Always(Expected::NoStatus),
    marks: &[Mark::BlamesWorker],
    judge,
    example: r#"[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?
Mar  4 09:15:03 web1 kernel: [ 4242.424242] Out of memory: Killed process 301 (gunicorn) total-vm:900000kB, anon-rss:800000kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:2000kB oom_score_adj:0"#,
    near_miss: r#"[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        return Claim::with(alone(case, host)?, vec![host_quote(host)]);
    }
    let death = case.violent_death().filter(|death| death.signal == Some(9) && !death.timed_out)?;
    let proof = case.hosts().rev().filter(|host| is_oom(host)).find(|host| {
        let same_pid = matches!(host.seen.what, Host::OomKill { pid: Some(pid), .. } if pid == death.worker);
        same_pid || (host.seen.at.near(death.to, -10 * SECOND, 10 * SECOND) && names_python(host))
    })?;
    let mut quotes = vec![host_quote(proof)];
    quotes.extend(death.quotes.clone());
    let mut claim = Claim::with(0.98, quotes)?;
    claim.worker = Some(death.worker);
    Some(claim)
}

/// What such a line proves by itself. `python3` is many a program's name, and a container or a unit is anybody's: they are
/// Gunicorn's more likely where Gunicorn or its nginx is in sight. A process of another name is not Gunicorn's.
fn alone(case: &Case<'_>, host: &HostSeen) -> Option<f64> {
    let name = match &host.seen.what {
        Host::OomKill { process, .. } => process.as_str(),
        Host::UnitOomKilled { unit } => unit.as_str(),
        _ => "",
    };
    if !is_oom(host) || !names_python(host) && !is_app_server(name) {
        return None;
    }
    let in_sight = case.has_gunicorn_log() || case.has_error_log() || case.has_access_log();
    let is_named = ["gunicorn", "uvicorn"].iter().any(|server| name.contains(server));
    Some(if is_named {
        0.93
    } else if in_sight {
        0.8
    } else {
        0.5
    })
}

/// Other servers that nginx has behind it.
fn is_app_server(process: &str) -> bool {
    ["uwsgi", "php-fpm", "unicorn", "puma", "hypercorn", "daphne"].iter().any(|name| process.contains(name))
}

fn is_oom(host: &HostSeen) -> bool {
    matches!(host.seen.what, Host::OomKill { .. } | Host::ContainerOomKilled { .. } | Host::UnitOomKilled { .. })
}

/// True unless the line names a process that cannot be Gunicorn's.
fn names_python(host: &HostSeen) -> bool {
    match &host.seen.what {
        Host::OomKill { process, .. } => {
            process.is_empty() || ["gunicorn", "python", "uvicorn"].iter().any(|name| process.contains(name))
        }
        _ => true,
    }
}
