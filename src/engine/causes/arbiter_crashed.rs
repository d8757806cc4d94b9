//! Gunicorn's primary process died of an exception.

use super::{Case, Category, Cause, Claim, Leaves, Symptoms};
use crate::engine::correlate::gunicorn::Down;
use crate::read::evidence::Symptom;

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
    leaves: Leaves::BySymptom,
    marks: &[],
    judge,
    example: r#"[2026-03-04 09:15:00 +0000] [300] [ERROR] Unhandled exception in main loop
Traceback (most recent call last):
FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp']"#,
    near_miss: r#"[2026-03-04 09:15:00 +0000] [301] [ERROR] Exception in worker process"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    case.halted_for(Down::Crashed)
}
