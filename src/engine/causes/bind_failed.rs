//! Gunicorn could not bind its address.

use super::{Case, Category, Cause, Claim, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::{Halts, Unsaid};
use crate::engine::correlate::gunicorn::Down;
use crate::read::evidence::Symptom;

const ALONE: Rule = Rule::new("bind_failed.alone", Standing::Proof);
const HALTED: Rule = Rule::new("bind_failed.halted", Standing::Proof);
const BEFORE: Rule = Rule::new("bind_failed.before_start", Standing::Plausible);
const EDGE: Rule = Rule::new("bind_failed.just_before_halt", Standing::Proof);
const STARVED: Rule = Rule::new("bind_failed.out_of_files", Standing::Possible);
const HALTS: Halts =
    Halts { alone: ALONE, halted: HALTED, before: BEFORE, edge: EDGE, starved: STARVED, unsaid: Unsaid::No };

pub static CAUSE: Cause = Cause {
    id: "bind_failed",
    category: Category::Lifecycle,
    summary: "Gunicorn could not bind its address: something else already listens there, or the address is not this host's",
    when: "Gunicorn wrote `Can't connect to` or `Connection in use` and has not listened since.",
    hint: "Find who listens with `ss -ltnp 'sport = :PORT'` (often an older Gunicorn), stop it or choose another `--bind`.",
    elsewhere: None,
    facts: "Five tries one second apart, then `Can't connect to ('0.0.0.0', 8000)` and exit code 1 (gunicorn/sock.py, create_sockets). The older instance usually goes on serving.",
    links: &["https://docs.gunicorn.org/en/stable/settings.html#bind"],
    explains: Symptoms::REFUSED.or(Symptoms::CUT_OFF).and(&[Symptom::ResponseTimedOut]),
    origin: Origin::of(Family::Server),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[ALONE, HALTED, BEFORE, EDGE, STARVED],
    judge,
    example: r#"[2026-03-04 09:15:00 +0000] [300] [ERROR] Connection in use: ('0.0.0.0', 8000)
[2026-03-04 09:15:05 +0000] [300] [ERROR] Can't connect to ('0.0.0.0', 8000)"#,
    near_miss: r#"[2026-03-04 09:15:00 +0000] [300] [INFO] Listening at: http://0.0.0.0:8000 (300)"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    case.halted_for(Down::BindFailed, &HALTS)
}
