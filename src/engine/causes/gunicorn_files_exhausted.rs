//! A Gunicorn worker has no file descriptor left.

use super::{Case, Category, Cause, Claim, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::correlate::gunicorn::{Death, Down, Phase};
use crate::read::evidence::{SECOND, Symptom};

const AT_BOOT: Rule = Rule::new("gunicorn_files_exhausted.at_boot", Standing::Proof);
const NEAR: Rule = Rule::new("gunicorn_files_exhausted.near", Standing::Strong);

pub static CAUSE: Cause = Cause {
    id: "gunicorn_files_exhausted",
    category: Category::Capacity,
    summary: "a Gunicorn worker has no file descriptor left",
    when: "A worker near the failure ended with `[Errno 24]`, or Gunicorn shut down because its workers could not boot for it.",
    hint: "Raise `LimitNOFILE=` of the unit (or the container's ulimit) and look for connections or files that the application never closes.",
    elsewhere: None,
    facts: "accept() fails with `OSError: [Errno 24] Too many open files`; a sync worker lets it through and ends with `Exception in worker process` and code 255 (gunicorn/workers/sync.py).",
    links: &["https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#LimitNOFILE="],
    explains: Symptoms::REFUSED.or(Symptoms::CUT_OFF).and(&[Symptom::ResponseTimedOut, Symptom::ConnectTimedOut]),
    origin: Origin::ITS_OWN,
    leaves: Leaves::BySymptom,
    marks: &[Mark::BlamesWorker],
    rules: &[AT_BOOT, NEAR],
    judge,
    example: r#"[2026-03-04 09:15:02 +0000] [301] [ERROR] Exception in worker process
Traceback (most recent call last):
OSError: [Errno 24] Too many open files"#,
    near_miss: r#"[2026-03-04 09:15:02 +0000] [301] [ERROR] Exception in worker process
Traceback (most recent call last):
ModuleNotFoundError: No module named 'shop'"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    let starved = |death: &&Death| death.ran_out_of_files();
    let own = case.death.map(|(_, death)| death).filter(starved);
    let near = || {
        let around = |death: &&Death| starved(death) && death.to.near(case.at, -5 * SECOND, 5 * SECOND);
        case.deaths().rev().take(256).find(around)
    };
    if case.is_request() && case.is_refused() {
        let death = kept_it_from_booting(case)?;
        return Claim::with(AT_BOOT, death.quotes.clone());
    }
    let fits = case.is_cut_off() || matches!(case.symptom, Symptom::ResponseTimedOut | Symptom::ConnectTimedOut);
    let death =
        if case.is_request() && !fits { None } else { own.or_else(|| if case.is_request() { near() } else { None }) }?;
    let mut claim = Claim::with(NEAR, death.quotes.clone())?;
    claim.worker = Some(death.worker);
    Some(claim)
}

/// Gunicorn halted because its workers could not even boot for want of descriptors.
fn kept_it_from_booting<'a>(case: &Case<'a>) -> Option<&'a Death> {
    let instance = case.instance?;
    let halted = instance.last_before(case.at, |phase| *phase == Phase::Down(Down::BootFailed));
    if halted.is_none() && instance.crew.size_at(case.at) != Some(0) {
        return None;
    }
    let starved = |death: &&Death| {
        death.failed
            && death.ran_out_of_files()
            && death.source == instance.source
            && match halted {
                Some(halted) => death.from.near(halted.at, -5 * SECOND, SECOND),
                None => death.from.from <= case.at.to,
            }
    };
    case.deaths().rev().take(256).find(starved)
}
