//! 504 on cheap and dear URLs alike while all workers are busy.

use super::{Case, Category, Cause, Claim, Elsewhere, Expected, Leaves, Symptoms};
use crate::read::evidence::Symptom;

pub static CAUSE: Cause = Cause {
    id: "workers_saturated",
    category: Category::Capacity,
    summary: "all Gunicorn workers were busy: the request waited in the queue until nginx gave up",
    when: "nginx's read timer ran out and the request's span began late or only after nginx gave up, more requests waited together than there are sync workers, or at least four different paths timed out within 5 s.",
    hint: "Find what keeps the workers busy (slow queries, slow calls to others) and give Gunicorn more workers or threads; a longer `proxy_read_timeout` only makes the queue longer.",
    elsewhere: Some(Elsewhere {
        summary: "all workers of {} were busy: the request waited in the queue until nginx gave up",
        hint: "Find what keeps the workers busy (slow queries, slow calls to others) and give the server more workers or threads; a longer read timeout only makes the queue longer.",
    }),
    facts: "A connection is accepted by the kernel before a worker takes it, so nginx waits in `reading response header` for a request that no worker has seen: its span starts late or after nginx gave up, and unrelated URLs time out together.",
    links: &[
        "https://docs.gunicorn.org/en/stable/design.html#how-many-workers",
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout",
    ],
    explains: Symptoms::of(&[Symptom::ResponseTimedOut]),
    leaves: Leaves::Always(Expected::Late),
    marks: &[],
    judge,
    example: r#"2026/03/04 09:15:01 [error] 411#411: *1 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test"
2026/03/04 09:15:01 [error] 411#411: *2 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /health HTTP/1.1", upstream: "http://10.1.2.3:8000/health", host: "shop.test"
2026/03/04 09:15:01 [error] 411#411: *3 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://10.1.2.3:8000/login", host: "shop.test"
2026/03/04 09:15:02 [error] 411#411: *4 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /about HTTP/1.1", upstream: "http://10.1.2.3:8000/about", host: "shop.test"
2026/03/04 09:15:02 [error] 411#411: *5 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /orders HTTP/1.1", upstream: "http://10.1.2.3:8000/orders", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /report HTTP/1.1", upstream: "http://10.1.2.3:8000/report", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.symptom == Symptom::ResponseTimedOut).then(|| case.wait_for_worker().claim())?
}
