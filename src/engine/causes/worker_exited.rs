//! The application called exit.

use super::{
    Case, Category, Cause, Claim, Elsewhere, Expected, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms,
};
use crate::engine::case::{Ended, How, conclusion, host_quote};
use crate::engine::correlate::gunicorn::{BootKind, Phase};
use crate::read::evidence::{SECOND, Symptom};

const TOLD: Rule = Rule::new("worker_exited.told", Standing::Proof);
const POLITE: Rule = Rule::new("worker_exited.left_by_itself", Standing::Likely);
const DOUBTFUL: Rule = Rule::new("worker_exited.replaced_perhaps", Standing::Plausible);
const SILENT: Rule = Rule::new("worker_exited.replaced", Standing::Strong);
const HOST: Rule = Rule::new("worker_exited.told_by_host", Standing::Likely);

pub static CAUSE: Cause = Cause {
    id: "worker_exited",
    category: Category::Worker,
    summary: "the Gunicorn worker exited in the middle of the request: the application called exit",
    when: "The request was cut, or answered with 500, as a worker exited by itself: with a code that says so, with `SystemExit`, in good order unasked, or replaced without a word.",
    hint: "Look for `sys.exit`, `os._exit`, `quit()` and libraries that call them in the code of this request; raise an exception instead.",
    elsewhere: Some(Elsewhere {
        summary: "a worker of {} exited in the middle of the request: the application called exit",
        hint: "Look for a call of exit in the code of this path, and for a fatal error in the application's own log at this time.",
    }),
    facts: "Gunicorn 21 and later write `Worker (pid:N) exited with code 1`; 20.1 and older write nothing, and no version does for code 0: then only a new `Booting worker` follows. Since 22 a sync worker answers 500 to `SystemExit` and lives on (gunicorn/workers/sync.py).",
    links: &[
        "https://docs.python.org/3/library/os.html#os._exit",
        "https://docs.python.org/3/library/sys.html#sys.exit",
    ],
    explains: Symptoms::OF_AN_END.and(&[Symptom::ResponseTruncated]),
    origin: Origin::of(Family::Exited),
    leaves: Leaves::Always(Expected::NoStatus),
    marks: &[Mark::BlamesWorker, Mark::Final],
    rules: &[TOLD, POLITE, DOUBTFUL, SILENT, HOST],
    judge,
    example: r#"2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /import HTTP/1.1", upstream: "http://127.0.0.1:8000/import", host: "shop.test"
[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) exited with code 1"#,
    near_miss: r#"[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) exited with code 3
[2026-03-04 09:15:03 +0000] [300] [ERROR] Shutting down: Master
[2026-03-04 09:15:03 +0000] [300] [ERROR] Reason: Worker failed to boot."#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if case.timed_out_in_body() {
        return None;
    }
    if let Some(death) = case.violent_death().filter(|death| !death.timed_out && !death.ran_out_of_files()) {
        let told = (death.exit_code_tells() && !death.failed && death.signal.is_none())
            || (death.is_exit_of_application() && !death.ordered);
        if told {
            let mut claim = Claim::with(TOLD, death.quotes.clone())?;
            claim.worker = Some(death.worker);
            return Some(claim);
        }
        return None;
    }
    polite_exit(case).or_else(|| silent_exit(case)).or_else(|| told_by_host(case))
}

/// A sync worker of Gunicorn 21 and older that gets `SystemExit` in a request closes the connection and leaves in good
/// order. Nobody told it to: no stop, reload, recycling or timeout is in the log.
fn polite_exit(case: &Case<'_>) -> Option<Claim> {
    let (_, death) =
        case.death.filter(|(_, death)| case.is_request() && case.is_cut_off() && death.left_by_itself())?;
    let told = case.phase_before(|phase| matches!(phase, Phase::Recycling | Phase::Stopping | Phase::Reloading));
    if told.is_some_and(|change| change.at.near(death.from, -SECOND, 35 * SECOND)) {
        return None;
    }
    let mut claim = Claim::with(POLITE, death.quotes.clone())?;
    claim.quotes.push(conclusion("no stop, reload or timeout told this worker to leave"));
    claim.worker = Some(death.worker);
    Some(claim)
}

/// A worker went without a word and was replaced, under a Gunicorn that speaks of signals: a clean exit, or any exit under
/// 20.1 and older.
fn silent_exit(case: &Case<'_>) -> Option<Claim> {
    let boot = case.silent_end()?;
    let rule = match (boot.kind, case.speaks_of_signals()) {
        (_, false) => return None,
        (BootKind::Doubtful, true) => DOUBTFUL,
        (_, true) => SILENT,
    };
    let quotes = vec![boot.quote.clone(), conclusion("a worker was replaced without a word about its end")];
    Claim::with(rule, quotes)
}

/// What runs the application tells of an exit code, and no Gunicorn does.
fn told_by_host(case: &Case<'_>) -> Option<Claim> {
    let fits =
        |ended: &Ended<'_>| ended.names_server && matches!(ended.how, How::Code(code) if !matches!(code, 0 | 3 | 4));
    let ended =
        case.ended().find(fits).filter(|_| case.is_request() && case.is_cut_off() && !case.rules_out_death())?;
    Claim::with(HOST, vec![host_quote(ended.host)])
}
