//! The application called exit.

use super::{Case, Category, Cause, Claim, Expected, Leaves, Mark, Symptoms};
use crate::engine::case::conclusion;
use crate::engine::correlate::gunicorn::{BootKind, Death, Phase};
use crate::read::address::AddressMatch;
use crate::read::evidence::{SECOND, Symptom};

pub static CAUSE: Cause = Cause {
    id: "worker_exited",
    category: Category::Worker,
    summary: "the Gunicorn worker exited in the middle of the request: the application called exit",
    when: "The request was cut, or answered with 500, as a worker exited by itself: with a code that says so, with `SystemExit`, in good order unasked, or replaced without a word.",
    hint: "Look for `sys.exit`, `os._exit`, `quit()` and libraries that call them in the code of this request; raise an exception instead.",
    facts: "Gunicorn 21 and later write `Worker (pid:N) exited with code 1`; 20.1 and older write nothing, and no version does for code 0: then only a new `Booting worker` follows. Since 22 a sync worker answers 500 to `SystemExit` and lives on (gunicorn/workers/sync.py).",
    links: &[
        "https://docs.python.org/3/library/os.html#os._exit",
        "https://docs.python.org/3/library/sys.html#sys.exit",
    ],
    explains: Symptoms::OF_AN_END,
    leaves: Leaves::Always(Expected::NoStatus),
    marks: &[Mark::BlamesWorker],
    judge,
    example: r#"2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /import HTTP/1.1", upstream: "http://127.0.0.1:8000/import", host: "shop.test"
[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) exited with code 1"#,
    near_miss: r#"[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) exited with code 3
[2026-03-04 09:15:03 +0000] [300] [ERROR] Shutting down: Master
[2026-03-04 09:15:03 +0000] [300] [ERROR] Reason: Worker failed to boot."#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if case.symptom == Symptom::ResponseTruncated {
        return None;
    }
    if let Some(death) = case.violent_death().filter(|death| !death.timed_out && !death.ran_out_of_files()) {
        let told = (death.exit_code_tells() && !death.failed && death.signal.is_none())
            || (death.is_exit_of_application() && !death.ordered);
        if told {
            let mut claim = Claim::with(0.97, death.quotes.clone())?;
            claim.worker = Some(death.worker);
            return Some(claim);
        }
        return None;
    }
    polite_exit(case).or_else(|| silent_exit(case))
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
    let mut claim = Claim::with(0.85, death.quotes.clone())?;
    claim.quotes.push(conclusion("no stop, reload or timeout told this worker to leave"));
    claim.worker = Some(death.worker);
    Some(claim)
}

/// A worker went without a word and was replaced: a clean exit, or any exit under Gunicorn 20.1 and older.
fn silent_exit(case: &Case<'_>) -> Option<Claim> {
    let ordered_end = |death: &Death| death.signal.is_some() || (death.exiting && !death.ordered);
    if !case.is_request() || !case.is_cut_off() || case.death.is_some_and(|(_, death)| ordered_end(death)) {
        return None;
    }
    let instance =
        case.instance.filter(|instance| case.address >= AddressMatch::Maybe && instance.served_until(case.at))?;
    let boot = case.silent_replacement()?;
    // 20.0 and older are silent about signals as well.
    let speaks_of_signals = !instance.version.starts_with("19.") && !instance.version.starts_with("20.0");
    let confidence = match (boot.kind, speaks_of_signals) {
        (_, false) => 0.4,
        (BootKind::Doubtful, true) => 0.6,
        (_, true) => 0.85,
    };
    let quotes = vec![boot.quote.clone(), conclusion("a worker was replaced without a word about its end")];
    Claim::with(confidence, quotes)
}
