//! The application object was not found.

use super::{Case, Category, Cause, Claim, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::{Halts, Unsaid};
use crate::engine::correlate::gunicorn::Down;
use crate::read::evidence::Symptom;

const ALONE: Rule = Rule::new("app_load_failed.alone", Standing::Proof);
const HALTED: Rule = Rule::new("app_load_failed.halted", Standing::Proof);
const BEFORE: Rule = Rule::new("app_load_failed.before_start", Standing::Plausible);
const EDGE: Rule = Rule::new("app_load_failed.just_before_halt", Standing::Proof);
const STARVED: Rule = Rule::new("app_load_failed.out_of_files", Standing::Possible);
const LEFT_AT_BOOT: Rule = Rule::new("app_load_failed.left_at_boot", Standing::Proof);
const HALTS: Halts = Halts {
    alone: ALONE,
    halted: HALTED,
    before: BEFORE,
    edge: EDGE,
    starved: STARVED,
    unsaid: Unsaid::Left(LEFT_AT_BOOT),
};

pub static CAUSE: Cause = Cause {
    id: "app_load_failed",
    category: Category::Lifecycle,
    summary: "Gunicorn could not load the application object, so it shut down",
    when: "Gunicorn wrote `Reason: App failed to load.` or that it found no application object, and has not listened since; or every worker left as soon as it had booted, and none was booted again.",
    hint: "Correct `MODULE:APP` on Gunicorn's command line (the attribute must exist in the module) and try with `gunicorn --check-config MODULE:APP`.",
    elsewhere: None,
    facts: "`Failed to find attribute 'app' in 'module'.` (`Failed to find application object` in 19.x), code 4, `Reason: App failed to load.` (gunicorn/util.py, import_app; gunicorn/arbiter.py, APP_LOAD_ERROR).",
    links: &["https://docs.gunicorn.org/en/stable/run.html"],
    explains: Symptoms::REFUSED.or(Symptoms::CUT_OFF).and(&[Symptom::ResponseTimedOut]),
    origin: Origin::of(Family::Server),
    leaves: Leaves::BySymptom,
    marks: &[Mark::BlamesWorker, Mark::Final],
    rules: &[ALONE, HALTED, BEFORE, EDGE, STARVED, LEFT_AT_BOOT],
    judge,
    example: r#"[2026-03-04 09:15:00 +0000] [300] [ERROR] Shutting down: Master
[2026-03-04 09:15:00 +0000] [300] [ERROR] Reason: App failed to load."#,
    near_miss: r#"[2026-03-04 09:15:00 +0000] [300] [ERROR] Shutting down: Master
[2026-03-04 09:15:00 +0000] [300] [ERROR] Reason: Worker failed to boot."#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    case.halted_for(Down::AppLoadFailed, &HALTS)
}
