//! A restart by max_requests met a connection that nginx kept alive.

use super::{Case, Category, Cause, Claim, Elsewhere, Family, Leaves, Origin, Rule, Standing, Symptoms};
use crate::engine::case::Workers;
use crate::engine::correlate::gunicorn::Phase;
use crate::read::evidence::SECOND;

const REUSE_PORT: Rule = Rule::new("worker_recycled.reuse_port", Standing::Hint);
const SYNC: Rule = Rule::new("worker_recycled.sync", Standing::Possible);
const RECYCLED: Rule = Rule::new("worker_recycled.recycled", Standing::Strong);

pub static CAUSE: Cause = Cause {
    id: "worker_recycled",
    category: Category::Lifecycle,
    summary: "the worker was recycled by `--max-requests` just as nginx sent a request on a connection kept alive",
    when: "The request was cut within 3 s of a line about `max_requests`; unlikely with sync workers.",
    hint: "Spread the restarts with `--max-requests-jitter`, run more workers, and let nginx send it again with `proxy_next_upstream error timeout` (and `non_idempotent` only where that is safe).",
    elsewhere: Some(Elsewhere {
        summary: "a worker of {} was recycled just as nginx sent a request on a connection kept alive",
        hint: "Spread the restarts, run more workers, and let nginx send it again with `proxy_next_upstream error timeout` (and `non_idempotent` only where that is safe).",
    }),
    facts: "`Autorestarting worker after current request.` (gunicorn/workers/base.py and gthread.py), `Maximum request limit of N exceeded` (uvicorn). The leaving worker closes idle connections; sync workers keep none.",
    links: &["https://docs.gunicorn.org/en/stable/settings.html#max-requests-jitter"],
    explains: Symptoms::CUT_OFF,
    origin: Origin::of(Family::Recycled),
    leaves: Leaves::BySymptom,
    marks: &[],
    rules: &[REUSE_PORT, SYNC, RECYCLED],
    judge,
    example: r#"[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:00 +0000] [300] [INFO] Using worker: gthread
[2026-03-04 09:15:02 +0000] [301] [INFO] Autorestarting worker after current request.
2026/03/04 09:15:02 [error] 411#411: *7 recv() failed (104: Connection reset by peer) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "POST /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test""#,
    near_miss: r#"[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:00 +0000] [301] [INFO] Autorestarting worker after current request.
2026/03/04 09:15:02 [error] 411#411: *7 recv() failed (104: Connection reset by peer) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "POST /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !case.is_request() || !case.is_cut_off() || case.violent_death().is_some() {
        return None;
    }
    let recycling = case
        .phase_before(|phase| *phase == Phase::Recycling)
        .filter(|change| change.at.near(case.at, -SECOND, 3 * SECOND))?;
    if case.instance.is_some_and(|instance| instance.reuse_port) {
        return Claim::of(REUSE_PORT);
    }
    let sync = case.workers() == Workers::Sync;
    Claim::with(if sync { SYNC } else { RECYCLED }, vec![recycling.quote.clone()])
}
