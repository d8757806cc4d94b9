//! Gunicorn's workers fail before they can serve.

use super::{Case, Category, Cause, Claim, Mark, Trigger};
use crate::engine::case::{conclusion, host_quote};
use crate::engine::correlate::gunicorn::{Change, Death, Down, Instance, Phase};
use crate::engine::verdict::Quote;
use crate::read::address::AddressMatch;
use crate::read::evidence::{Host, SECOND, Symptom};

/// A worker finds out within this time that the application object is missing: so long its module may take to import.
const LOAD_MAX: i64 = 10 * SECOND;

pub static CAUSE: Cause = Cause {
    id: "worker_boot_failed",
    category: Category::Lifecycle,
    summary: "Gunicorn's workers fail to boot, so it shut down: importing or starting the application raised an exception",
    when: "Gunicorn wrote `Reason: Worker failed to boot.` and has not listened since, every worker failed and none came back, or a supervisor names exit code 3, 126 or 127.",
    hint: "Read the last line of the traceback, mend the import, setting or dependency it names, and try with `gunicorn --check-config MODULE:APP` before the next deploy.",
    facts: "A worker that fails before it serves exits with code 3 and the whole server halts: `Reason: Worker failed to boot.` (gunicorn/arbiter.py, reap_workers, WORKER_BOOT_ERROR). The same happens after a reload or a mere respawn.",
    links: &["https://docs.gunicorn.org/en/stable/settings.html#check-config"],
    marks: &[Mark::BlamesWorker],
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
        let mut quotes = vec![host_quote(host)];
        if is_command_unusable(&host.seen.what) {
            quotes.push(conclusion("its command cannot be run: look at its path, its permissions and its `#!` line"));
        }
        return Claim::with(of_supervisor(&host.seen.what)?, quotes);
    }
    down(case, Down::BootFailed)
}

/// A supervisor says that the program does not stay up. 3 is Gunicorn's own code for this; 126, 127 and systemd's 203 say
/// that its command cannot be run; 1 says nothing.
fn of_supervisor(host: &Host) -> Option<f64> {
    match host {
        Host::SupervisorExited { detail, .. } => {
            let code = detail.strip_prefix("exit status ").and_then(|rest| rest.split([';', ' ']).next());
            match code {
                Some("3" | "126" | "127") => Some(0.8),
                Some(_) => None,
                None => (detail.contains("FATAL") || detail.contains("spawn error")).then_some(0.65),
            }
        }
        Host::UnitProcessExited { unit, code, status } => {
            let server = ["gunicorn", "uvicorn"].iter().any(|name| unit.contains(name));
            let told = matches!(status.split('/').next(), Some("3" | "126" | "127" | "203"));
            (server && code == "exited" && told).then_some(0.75)
        }
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

/// Shared with `app_load_failed`: the server halted for this reason and has not started since.
pub fn down(case: &Case<'_>, reason: Down) -> Option<Claim> {
    if let Trigger::Phase(change) = case.trigger {
        return (change.phase == Phase::Down(reason))
            .then(|| Claim::with(0.96, with_exception(case, change.quote.clone())))?;
    }
    if matches!(case.trigger, Trigger::Death) {
        let (_, death) = case.death?;
        let failed = death.failed && !death.ran_out_of_files() && reason == Down::BootFailed;
        let app = is_load_error(death);
        return failed.then(|| Claim::with(if app { 0.6 } else { 0.85 }, death.quotes.clone()))?;
    }
    let instance = case.instance.filter(|_| {
        case.is_request() && case.address > AddressMatch::No
            || case.instance.is_some_and(|instance| instance.addresses.is_empty())
    })?;
    let fits = case.is_refused() || case.is_cut_off() || matches!(case.symptom, Symptom::ResponseTimedOut);
    if !fits {
        return None;
    }
    let Some(halted) = instance.changes.iter().rev().find(|change| change.phase == Phase::Down(reason)) else {
        return match reason {
            Down::BootFailed => crew_is_gone(case, instance),
            Down::AppLoadFailed => left_at_boot(case, instance),
            _ => None,
        };
    };
    if halted.at.from <= case.at.to {
        let started_since = instance.changes.iter().rev().find(|change| {
            change.phase == Phase::Listening && change.at.from > halted.at.to && change.at.from <= case.at.to
        });
        if started_since.is_none() && !matches!(case.symptom, Symptom::ResponseTimedOut) {
            let confidence = if starved(case, halted) {
                0.3
            } else if was_before(case, halted) {
                0.4
            } else {
                0.97
            };
            return Claim::with(confidence, with_exception(case, halted.quote.clone()));
        }
    }
    // Reset while its workers were failing, just before the halt was written.
    let edge = case.is_cut_off() && case.at.near(halted.at, -SECOND, 3 * SECOND);
    let confidence = if starved(case, halted) { 0.3 } else { 0.9 };
    edge.then(|| Claim::with(confidence, with_exception(case, halted.quote.clone())))?
}

/// The exception says that no descriptor was left: that has a cause of its own.
fn starved(case: &Case<'_>, halted: &Change) -> bool {
    let source = case.instance.map(|instance| instance.source);
    case.deaths().rev().take(256).any(|death| {
        death.failed
            && death.ran_out_of_files()
            && Some(death.source) == source
            && death.from.near(halted.at, -5 * SECOND, SECOND)
    })
}

/// Old Gunicorns lose the words about the halt in a race: every worker failed, and none was booted in its place.
fn crew_is_gone(case: &Case<'_>, instance: &Instance) -> Option<Claim> {
    if instance.crew.size_at(case.at) != Some(0) {
        return None;
    }
    let failed = |death: &&Death| death.failed && death.source == instance.source && death.from.from <= case.at.to;
    let death = case.deaths().rev().take(256).find(failed)?;
    let confidence = if death.ran_out_of_files() { 0.3 } else { 0.95 };
    let mut quotes = death.quotes.clone();
    quotes.push(conclusion("none of its workers is left and none was booted again"));
    Claim::with(confidence, quotes)
}

/// The same race where the application object was not found, which Gunicorn tells on standard error alone: every worker
/// left as soon as it had booted, nobody told them to, and none was booted in their place.
fn left_at_boot(case: &Case<'_>, instance: &Instance) -> Option<Claim> {
    let since = instance.changes.iter().rev().find(|change| change.at.from <= case.at.to)?;
    if instance.crew.size_at(case.at) != Some(0) || since.phase != Phase::Listening {
        return None;
    }
    let at_boot = |death: &&Death| {
        let mut boots = case.boots().filter(|boot| boot.source == death.source && boot.worker == death.worker);
        death.source == instance.source
            && death.left_by_itself()
            && death.from.from <= case.at.to
            && boots.any(|boot| boot.at.near(death.from, -SECOND, LOAD_MAX))
    };
    let death = case.deaths().rev().take(256).find(at_boot)?;
    let mut quotes = death.quotes.clone();
    quotes.push(conclusion("its workers left as soon as they had booted, and none was booted in their place"));
    Claim::with(0.95, quotes)
}

/// The stamps of one second do not tell whether a refusal came before the start or after the halt; a reset that follows
/// it does: that was the short time in which Gunicorn listened.
fn was_before(case: &Case<'_>, halted: &Change) -> bool {
    if !case.is_refused() || halted.at.to < case.at.from {
        return false;
    }
    let own = case.error().map(|error| error.ticket);
    let after_own = case.failures().skip_while(|failure| failure.quote.ticket != own);
    after_own.skip(1).take(256).any(|failure| {
        failure.symptom == Symptom::ResponseReset
            && failure.at.near(case.at, 0, 2 * SECOND)
            && Some(failure.upstream.as_str()) == case.upstream
    })
}

fn is_load_error(death: &Death) -> bool {
    death.exception.as_ref().is_some_and(|(class, _)| class.ends_with("AppImportError"))
}

fn with_exception(case: &Case<'_>, quote: Quote) -> Vec<Quote> {
    let mut quotes = vec![quote];
    let source = case.instance.map(|instance| instance.source);
    let failed = case.deaths().rev().take(64).find(|death| death.failed && Some(death.source) == source);
    if let Some(death) = failed {
        // The last line of the traceback says what to mend, so it comes first.
        let class = death.exception.as_ref().map_or("", |(class, _)| class.as_str());
        let (deciding, others): (Vec<&Quote>, Vec<&Quote>) =
            death.quotes.iter().partition(|quote| !class.is_empty() && quote.text.contains(class));
        quotes.splice(0..0, deciding.into_iter().take(1).cloned());
        quotes.extend(others.into_iter().take(1).cloned());
    }
    quotes
}
