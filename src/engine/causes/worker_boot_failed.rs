//! Gunicorn's workers fail before they can serve.

use super::{Case, Category, Cause, Claim, Elsewhere, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms, Trigger};
use crate::engine::case::{Ended, Halts, How, Unsaid, conclusion, host_quote};
use crate::engine::correlate::gunicorn::Down;
use crate::read::evidence::{Host, ServerEvent, Symptom};

const ALONE: Rule = Rule::new("worker_boot_failed.alone", Standing::Proof);
const HALTED: Rule = Rule::new("worker_boot_failed.halted", Standing::Proof);
const BEFORE: Rule = Rule::new("worker_boot_failed.before_start", Standing::Plausible);
const EDGE: Rule = Rule::new("worker_boot_failed.just_before_halt", Standing::Proof);
const STARVED: Rule = Rule::new("worker_boot_failed.out_of_files", Standing::Possible);
const WORKER: Rule = Rule::new("worker_boot_failed.worker_alone", Standing::Strong);
const IMPORT: Rule = Rule::new("worker_boot_failed.import_alone", Standing::Plausible);
const CREW_GONE: Rule = Rule::new("worker_boot_failed.crew_gone", Standing::Proof);
const IN_VAIN: Rule = Rule::new("worker_boot_failed.in_vain", Standing::Strong);
const HOST: Rule = Rule::new("worker_boot_failed.told_by_host", Standing::Strong);
const EXIT_ALONE: Rule = Rule::new("worker_boot_failed.exit_alone", Standing::Strong);
const FATAL_ALONE: Rule = Rule::new("worker_boot_failed.fatal_alone", Standing::Likely);
const UNIT_ALONE: Rule = Rule::new("worker_boot_failed.unit_alone", Standing::Likely);
const AGAIN_ALONE: Rule = Rule::new("worker_boot_failed.again_alone", Standing::Likely);
const SERVER_ALONE: Rule = Rule::new("worker_boot_failed.server_alone", Standing::Strong);
const SERVER_EXIT_ALONE: Rule = Rule::new("worker_boot_failed.server_exit_alone", Standing::Likely);
const HALTS: Halts = Halts {
    alone: ALONE,
    halted: HALTED,
    before: BEFORE,
    edge: EDGE,
    starved: STARVED,
    unsaid: Unsaid::Boot { worker: WORKER, import: IMPORT, gone: CREW_GONE, vain: IN_VAIN },
};

pub static CAUSE: Cause = Cause {
    id: "worker_boot_failed",
    category: Category::Lifecycle,
    summary: "Gunicorn's workers fail to boot, so it shut down: importing or starting the application raised an exception",
    when: "Gunicorn wrote `Reason: Worker failed to boot.` and has not listened since, every worker failed and none came back, or a supervisor names exit code 3, 126 or 127, or another one again and again.",
    hint: "Read the last line of the traceback, mend the import, setting or dependency it names, and try with `gunicorn --check-config MODULE:APP` before the next deploy.",
    elsewhere: Some(Elsewhere {
        summary: "{} fails to start: its workers end as soon as they boot",
        hint: "Read the last lines of its log before it ended: they name the import, setting, file or port that is missing.",
    }),
    facts: "A worker that fails before it serves exits with code 3 and the whole server halts: `Reason: Worker failed to boot.` (gunicorn/arbiter.py, reap_workers, WORKER_BOOT_ERROR). The same happens after a reload or a mere respawn.",
    links: &["https://docs.gunicorn.org/en/stable/settings.html#check-config"],
    explains: Symptoms::REFUSED.or(Symptoms::CUT_OFF).and(&[Symptom::ResponseTimedOut]),
    origin: Origin::of(Family::Server),
    leaves: Leaves::BySymptom,
    marks: &[Mark::BlamesWorker, Mark::Final],
    rules: &[
        ALONE,
        HALTED,
        BEFORE,
        EDGE,
        STARVED,
        WORKER,
        IMPORT,
        CREW_GONE,
        IN_VAIN,
        HOST,
        EXIT_ALONE,
        FATAL_ALONE,
        UNIT_ALONE,
        AGAIN_ALONE,
        SERVER_ALONE,
        SERVER_EXIT_ALONE,
    ],
    judge,
    example: r#"[2026-03-04 09:15:00 +0000] [301] [ERROR] Exception in worker process
Traceback (most recent call last):
ModuleNotFoundError: No module named 'shop.settings'
[2026-03-04 09:15:00 +0000] [300] [ERROR] Shutting down: Master
[2026-03-04 09:15:00 +0000] [300] [ERROR] Reason: Worker failed to boot."#,
    near_miss: r#"[2026-03-04 09:15:00 +0000] [300] [ERROR] Shutting down: Master
[2026-03-04 09:15:00 +0000] [300] [ERROR] Reason: App failed to load."#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        if case.is_told_again(host) {
            return None;
        }
        let mut quotes = vec![host_quote(host)];
        if is_command_unusable(&host.seen.what) {
            quotes.push(conclusion("its command cannot be run: look at its path, its permissions and its `#!` line"));
        }
        let rule = of_supervisor(&host.seen.what).or_else(|| {
            // Where Gunicorn's own log is in sight, it says why.
            case.instances().next().is_none().then_some(())?;
            quotes.push(conclusion("it is started again and again, and ends with an error each time"));
            case.ends_with_errors(host).nth(1).map(|_| AGAIN_ALONE)
        });
        return Claim::with(rule?, quotes);
    }
    case.halted_for(Down::BootFailed, &HALTS).or_else(|| told_by_host(case))
}

/// Another application server, systemd or Docker says so, and no Gunicorn does.
fn told_by_host(case: &Case<'_>) -> Option<Claim> {
    let fits = case.is_request() && (case.is_refused() || case.is_cut_off()) && case.instance.is_none();
    let fails = |ended: &Ended<'_>| ended.names_server && matches!(ended.how, How::FailedToBoot | How::Code(3));
    let ended = case.ended().find(fails).filter(|_| fits)?;
    Claim::with(HOST, vec![host_quote(ended.host)])
}

/// A supervisor says that the program does not stay up. 3 is Gunicorn's own code for this; 126, 127 and systemd's 203 say
/// that its command cannot be run; 1 says nothing.
fn of_supervisor(host: &Host) -> Option<Rule> {
    match host {
        Host::SupervisorExited { detail, .. } => {
            let code = detail.strip_prefix("exit status ").and_then(|rest| rest.split([';', ' ']).next());
            match code {
                Some("3" | "126" | "127") => Some(EXIT_ALONE),
                Some(_) => None,
                None => (detail.contains("FATAL") || detail.contains("spawn error")).then_some(FATAL_ALONE),
            }
        }
        Host::UnitProcessExited { unit, code, status } => {
            let server = ["gunicorn", "uvicorn"].iter().any(|name| unit.contains(name));
            let told = matches!(status.split('/').next(), Some("3" | "126" | "127" | "203"));
            (server && code == "exited" && told).then_some(UNIT_ALONE)
        }
        Host::Server { event: ServerEvent::FailedToBoot, .. } => Some(SERVER_ALONE),
        Host::Server { event: ServerEvent::Exited(3 | 126 | 127), .. } => Some(SERVER_EXIT_ALONE),
        _ => None,
    }
}

/// A shell says 126 or 127 of such a command, systemd 203/EXEC.
fn is_command_unusable(host: &Host) -> bool {
    match host {
        Host::SupervisorExited { detail, .. } => {
            ["exit status 126", "exit status 127", "can't find command", "spawn error"]
                .iter()
                .any(|told| detail.contains(told))
        }
        Host::UnitProcessExited { status, .. } => ["126", "127", "203"].iter().any(|code| status.starts_with(code)),
        _ => false,
    }
}
