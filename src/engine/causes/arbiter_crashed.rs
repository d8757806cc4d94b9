//! Gunicorn's primary process died of an exception.

use super::{Case, Category, Cause, Claim, Family, Leaves, Origin, Rule, Standing, Symptoms};
use crate::engine::case::{Halts, Unsaid};
use crate::engine::correlate::gunicorn::Down;
use crate::read::evidence::Symptom;

const ALONE: Rule = Rule::new("arbiter_crashed.alone", Standing::Proof);
const HALTED: Rule = Rule::new("arbiter_crashed.halted", Standing::Proof);
const BEFORE: Rule = Rule::new("arbiter_crashed.before_start", Standing::Plausible);
const EDGE: Rule = Rule::new("arbiter_crashed.just_before_halt", Standing::Proof);
const STARVED: Rule = Rule::new("arbiter_crashed.out_of_files", Standing::Possible);
const HALTS: Halts =
    Halts { alone: ALONE, halted: HALTED, before: BEFORE, edge: EDGE, starved: STARVED, unsaid: Unsaid::No };

pub static CAUSE: Cause = Cause {
    id: "arbiter_crashed",
    category: Category::Lifecycle,
    summary: "Gunicorn's primary process died of an exception of its own",
    when: "Gunicorn wrote `Unhandled exception in main loop` and has not listened since.",
    hint: "Read the traceback: mostly no writable directory for the heartbeat files (`--worker-tmp-dir /dev/shm`), a full disk, or no memory to fork.",
    elsewhere: None,
    facts: "`Unhandled exception in main loop`, exit code 255 (gunicorn/arbiter.py, run).",
    links: &["https://docs.gunicorn.org/en/stable/settings.html#worker-tmp-dir"],
    explains: Symptoms::REFUSED.or(Symptoms::CUT_OFF).and(&[Symptom::ResponseTimedOut]),
    origin: Origin::of(Family::Server),
    leaves: Leaves::BySymptom,
    marks: &[],
    rules: &[ALONE, HALTED, BEFORE, EDGE, STARVED],
    judge,
    example: r#"[2026-03-04 09:15:00 +0000] [300] [ERROR] Unhandled exception in main loop
Traceback (most recent call last):
FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp']"#,
    near_miss: r#"[2026-03-04 09:15:00 +0000] [301] [ERROR] Exception in worker process"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    case.halted_for(Down::Crashed, &HALTS)
}
