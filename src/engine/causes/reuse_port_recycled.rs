//! A recycled worker threw away the connections that waited in its own queue.

use super::{Case, Category, Cause, Claim, Family, Leaves, Origin, Rule, Standing, Symptoms};
use crate::engine::case::conclusion;
use crate::engine::correlate::gunicorn::{Death, Phase};
use crate::read::evidence::SECOND;

/// From a worker that leaves to the next that listens: the application is loaded anew.
const GAP_MAX: i64 = 5 * SECOND;

const RECYCLED: Rule = Rule::new("reuse_port_recycled.recycled", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "reuse_port_recycled",
    category: Category::Lifecycle,
    summary: "with `reuse_port` each worker has a socket of its own, and a recycled worker threw away the connections that waited in it",
    when: "Gunicorn listens with `reuse_port` (24 and later: `Listening at:` without an address), and the request was reset or refused as a worker recycled itself or left.",
    hint: "Do not combine `reuse_port` with `--max-requests`: without `reuse_port` all workers share one queue, and a worker that leaves loses nothing.",
    elsewhere: None,
    facts: "Since 24.0 `reuse_port` binds one socket in each worker (gunicorn/arbiter.py: the arbiter prints `Listening at:` with an empty list). The kernel deals connections out to the sockets; what waits in the queue of one that is closed is reset, and where all workers leave at once the port refuses.",
    links: &[
        "https://docs.gunicorn.org/en/stable/settings.html#reuse-port",
        "https://docs.gunicorn.org/en/stable/settings.html#max-requests",
    ],
    explains: Symptoms::CUT_OFF.or(Symptoms::REFUSED),
    origin: Origin::of(Family::Recycled),
    leaves: Leaves::BySymptom,
    marks: &[],
    rules: &[RECYCLED],
    judge,
    example: r#"[2026-03-04 09:14:00 +0000] [300] [INFO] Starting gunicorn 25.1.0
[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at:  (300)
[2026-03-04 09:14:00 +0000] [300] [INFO] Using worker: sync
[2026-03-04 09:14:00 +0000] [301] [INFO] Booting worker with pid: 301
[2026-03-04 09:15:02 +0000] [301] [INFO] Autorestarting worker after current request.
2026/03/04 09:15:02 [error] 411#411: *7 recv() failed (104: Connection reset by peer) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test"
[2026-03-04 09:15:02 +0000] [301] [INFO] Worker exiting (pid: 301)
[2026-03-04 09:15:03 +0000] [305] [INFO] Booting worker with pid: 305"#,
    near_miss: r#"[2026-03-04 09:14:00 +0000] [300] [INFO] Starting gunicorn 25.1.0
[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:00 +0000] [300] [INFO] Using worker: sync
[2026-03-04 09:14:00 +0000] [301] [INFO] Booting worker with pid: 301
2026/03/04 09:15:02 [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    let instance = case.instance.filter(|instance| case.is_request() && instance.reuse_port)?;
    if case.violent_death().is_some_and(|death| !death.exiting) {
        return None;
    }
    let recycles = instance.last_before(case.at, |phase| *phase == Phase::Recycling);
    let recycles = recycles.filter(|change| change.at.near(case.at, -SECOND, GAP_MAX)).map(|change| &change.quote);
    let leaves = |death: &&Death| {
        death.source == instance.source && death.exiting && !death.ordered && death.from.near(case.at, -SECOND, GAP_MAX)
    };
    let left = || case.deaths().rev().take(256).find(leaves).and_then(|death| death.quotes.first());
    let quote = recycles.or_else(left)?;
    let mut quotes = vec![quote.clone()];
    quotes.extend(instance.listening.clone());
    quotes.push(conclusion("`Listening at:` has no address: each worker has a socket of its own (`reuse_port`)"));
    Claim::with(RECYCLED, quotes)
}
