//! 504 on cheap and dear URLs alike while all workers are busy.

use super::{Case, Category, Cause, Claim, Mark};
use crate::engine::case::{conclusion, seconds};
use crate::engine::correlate::link;
use crate::read::evidence::{Nanos, SECOND, Symptom};
use std::collections::BTreeSet;

pub static CAUSE: Cause = Cause {
    id: "workers_saturated",
    category: Category::Capacity,
    summary: "all Gunicorn workers were busy: the request waited in the queue until nginx gave up",
    when: "nginx's read timer ran out and the request's span began late or only after nginx gave up, more requests waited together than there are sync workers, or at least four different paths timed out within 5 s.",
    hint: "Find what keeps the workers busy (slow queries, slow calls to others) and give Gunicorn more workers or threads; a longer `proxy_read_timeout` only makes the queue longer.",
    facts: "A connection is accepted by the kernel before a worker takes it, so nginx waits in `reading response header` for a request that no worker has seen: its span starts late or after nginx gave up, and unrelated URLs time out together.",
    links: &[
        "https://docs.gunicorn.org/en/stable/design.html#how-many-workers",
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout",
    ],
    marks: &[Mark::SpanEndsLater],
    judge,
    example: r#"2026/03/04 09:15:01 [error] 411#411: *1 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test"
2026/03/04 09:15:01 [error] 411#411: *2 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /health HTTP/1.1", upstream: "http://10.1.2.3:8000/health", host: "shop.test"
2026/03/04 09:15:01 [error] 411#411: *3 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://10.1.2.3:8000/login", host: "shop.test"
2026/03/04 09:15:02 [error] 411#411: *4 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /about HTTP/1.1", upstream: "http://10.1.2.3:8000/about", host: "shop.test"
2026/03/04 09:15:02 [error] 411#411: *5 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /orders HTTP/1.1", upstream: "http://10.1.2.3:8000/orders", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /report HTTP/1.1", upstream: "http://10.1.2.3:8000/report", host: "shop.test""#,
};

/// So many different paths time out together before it is no longer one slow view.
const PATHS_MIN: usize = 4;
/// A span that begins within this time of its request did not wait in the queue.
const AT_ONCE: Nanos = SECOND / 4;
/// A span of a request that waited may come so long after nginx gave up.
const GHOST_AFTER_MAX: Nanos = 20 * SECOND;

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !case.is_request() || case.symptom != Symptom::ResponseTimedOut {
        return None;
    }
    if let Some(waited) = waited_in_queue(case) {
        return Claim::with(0.92, vec![conclusion(format!("its span starts {} s after the request", seconds(waited)))]);
    }
    if let Some(claim) = more_than_workers(case) {
        return Some(claim);
    }
    if only_late_spans(case) {
        return Claim::with(0.8, vec![conclusion("the application began with such a request only after nginx gave up")]);
    }
    let paths: BTreeSet<&str> = case
        .failures_around(Symptom::ResponseTimedOut, 5)
        .map(|failure| failure.path.as_str())
        .filter(|path| !path.is_empty())
        .collect();
    if paths.len() < PATHS_MIN {
        return Claim::of(0.15);
    }
    let others_served = case.others_are_served(0);
    let quotes = vec![conclusion(format!("{} different paths timed out within 5 s", paths.len()))];
    Claim::with(if others_served { 0.4 } else { 0.7 }, quotes)
}

/// A sync worker has one request at a time: of more requests that waited together than there are workers, the rest was
/// in the queue.
fn more_than_workers(case: &Case<'_>) -> Option<Claim> {
    let instance = case.instance.filter(|instance| instance.worker_class == "sync")?;
    let workers = instance.crew.size_at(case.at)?;
    // Where the log does not tell: those that gave up in one second had waited for the same read timer.
    let took = case.response_time().unwrap_or(SECOND);
    // All of them were waiting when the first of them gave up.
    let together = case
        .world
        .failures
        .iter()
        .filter(|failure| {
            failure.symptom == Symptom::ResponseTimedOut
                && Some(failure.upstream.as_str()) == case.upstream
                && failure.at.distance(case.at) < took
        })
        .count();
    if workers == 0 || together < 2 * workers {
        return None;
    }
    let share = 1.0 - workers as f64 / together as f64;
    let words = format!("{together} requests waited together for {workers} sync workers");
    Claim::with(0.5 + 0.45 * share, vec![conclusion(words)])
}

/// How long the request waited before its span began, when that is most of its time.
fn waited_in_queue(case: &Case<'_>) -> Option<Nanos> {
    let access = case.request.access.as_ref()?;
    let took = access.what.request_time.value()?;
    let trace = case.request.trace?;
    let began = access.at.from.saturating_sub(took);
    let asked = link::Asked::of(case.request);
    let span = case
        .world
        .spans
        .of_trace(&trace.trace_id)
        .find(|(_, span)| span.is_server() && !span.is_from_nginx() && asked.is_of(span))?;
    let waited = span.1.start.saturating_sub(began);
    (waited > took / 2 && waited > AT_ONCE).then_some(waited)
}

/// Without a trace id: spans of this target begin after nginx gave up, and none when the request came.
fn only_late_spans(case: &Case<'_>) -> bool {
    let Some(access) = &case.request.access else { return false };
    let Some(took) = access.what.request_time.value().filter(|_| access.what.exact_time) else { return false };
    if case.request.trace.is_some() {
        return false;
    }
    let (began, gave_up) = (access.at.from.saturating_sub(took), access.at.from);
    let mut late = false;
    let asked = link::Asked::of(case.request);
    for (_, span) in asked.spans(case.world, began, gave_up.saturating_add(GHOST_AFTER_MAX)) {
        if !span.is_server() || span.is_from_nginx() {
            continue;
        }
        if span.start >= began.saturating_sub(AT_ONCE) && span.start <= began.saturating_add(AT_ONCE) {
            return false;
        }
        late |= span.start > began.saturating_add(took / 2);
    }
    late
}
