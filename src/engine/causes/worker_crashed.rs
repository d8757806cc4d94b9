//! The worker died of a signal of its own making.

use super::{
    Case, Category, Cause, Claim, Elsewhere, Expected, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms, Trigger,
};
use crate::engine::case::{Ended, host_quote};
use crate::read::evidence::Symptom;

const CRASH_ALONE: Rule = Rule::new("worker_crashed.fault_alone", Standing::Strong);
const SIGNAL: Rule = Rule::new("worker_crashed.signal", Standing::Proof);
const FAULT_PID: Rule = Rule::new("worker_crashed.fault_of_worker", Standing::Proof);
const FAULT: Rule = Rule::new("worker_crashed.fault_near", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "worker_crashed",
    category: Category::Worker,
    summary: "the Gunicorn worker crashed in native code (segmentation fault, abort or bus error)",
    when: "The request was cut as a worker ended by signal 4, 6, 7, 8, 10 or 11, or as the kernel logged a segmentation fault of it.",
    hint: "Run the workers with `PYTHONFAULTHANDLER=1` to see where, and update or rebuild the C extensions; a library that does not survive a fork must not be loaded with `--preload`.",
    elsewhere: Some(Elsewhere {
        summary: "a worker of {} crashed in native code (segmentation fault, abort or bus error)",
        hint: "Look at the core dump (`coredumpctl`) or the server's own backtrace for the library that crashed, and update or rebuild it.",
    }),
    facts: "Gunicorn 21 and later write `was sent SIGSEGV!` (or `code 139`, with the core-dump bit, in 21 to 23), 20.1 `was terminated due to signal 11` (gunicorn/arbiter.py, reap_workers); the kernel writes `segfault at` with the same pid.",
    links: &[
        "https://docs.python.org/3/library/faulthandler.html",
        "https://docs.gunicorn.org/en/stable/settings.html#preload-app",
    ],
    explains: Symptoms::OF_AN_END.and(&[Symptom::ResponseTruncated]),
    origin: Origin::of(Family::Crashed),
    leaves: Leaves::Always(Expected::NoStatus),
    marks: &[Mark::BlamesWorker, Mark::Final],
    rules: &[CRASH_ALONE, SIGNAL, FAULT_PID, FAULT],
    judge,
    example: r#"2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /thumb HTTP/1.1", upstream: "http://127.0.0.1:8000/thumb", host: "shop.test"
[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGSEGV!"#,
    near_miss: r#"[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGTERM!"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        let crash = case.end_of(host).filter(|ended| ended.how.is_crash() && ended.names_server);
        return crash.map(|ended| Claim::with(CRASH_ALONE, vec![host_quote(ended.host)]))?;
    }
    if case.timed_out_in_body() {
        return None;
    }
    let by_signal =
        case.violent_death().filter(|death| matches!(death.signal, Some(4 | 6 | 7 | 8 | 10 | 11)) && !death.timed_out);
    let fits = |ended: &Ended<'_>| {
        ended.how.is_crash()
            && match by_signal {
                Some(death) => ended.worker.is_none_or(|worker| worker == death.worker),
                None => ended.worker.is_some() || ended.names_server && !case.rules_out_death(),
            }
    };
    let fault = case.ended().filter(fits).max_by_key(|ended| ended.worker.is_some());
    let fault = fault.filter(|_| by_signal.is_some() || case.is_cut_off() && case.violent_death().is_none());
    match (by_signal, fault) {
        (None, None) => None,
        (death, fault) => {
            let mut quotes = death.map(|death| death.quotes.clone()).unwrap_or_default();
            quotes.extend(fault.map(|ended| host_quote(ended.host)));
            let rule = match (death, fault.and_then(|ended| ended.worker)) {
                (Some(_), _) => SIGNAL,
                (None, Some(_)) => FAULT_PID,
                (None, None) => FAULT,
            };
            let mut claim = Claim::with(rule, quotes)?;
            claim.worker = death.map(|death| death.worker).or(fault.and_then(|ended| ended.worker));
            Some(claim)
        }
    }
}
