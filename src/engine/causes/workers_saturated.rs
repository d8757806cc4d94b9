//! 504 on cheap and dear URLs alike while all workers are busy.

use super::{
    Case, Category, Cause, Claim, Depth, Elsewhere, Expected, Family, Leaves, Origin, Rule, Standing, Symptoms,
};
use crate::engine::case::{Wait, conclusion};
use crate::engine::verdict::Quote;
use crate::read::evidence::Symptom;

const LATE_SPAN: Rule = Rule::new("workers_saturated.late_span", Standing::Strong);
const MANY: Rule = Rule::new("workers_saturated.many_more_than_workers", Standing::Strong);
const MORE: Rule = Rule::new("workers_saturated.more_than_workers", Standing::Likely);
const ALL_TIMED_OUT: Rule = Rule::new("workers_saturated.all_timed_out", Standing::Strong);
const HAD_IT: Rule = Rule::new("workers_saturated.all_timed_out_with_it", Standing::Likely);
const LATE_SPANS: Rule = Rule::new("workers_saturated.late_spans_only", Standing::Strong);
const PATHS: Rule = Rule::new("workers_saturated.many_paths", Standing::Likely);
const PATHS_SERVED: Rule = Rule::new("workers_saturated.many_paths_others_served", Standing::Possible);
const UNSAID: Rule = Rule::new("workers_saturated.unsaid", Standing::Hint);

/// So many times as many requests as workers: most of them were in the queue, whichever of them this one is.
const MANY_TIMES: usize = 4;

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
    origin: Origin::after(Family::Busy, Depth::Follows),
    leaves: Leaves::Always(Expected::Late),
    marks: &[],
    rules: &[LATE_SPAN, MANY, MORE, ALL_TIMED_OUT, HAD_IT, LATE_SPANS, PATHS, PATHS_SERVED, UNSAID],
    judge,
    example: r#"2026/03/04 09:15:01 [error] 411#411: *1 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test"
2026/03/04 09:15:01 [error] 411#411: *2 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /health HTTP/1.1", upstream: "http://10.1.2.3:8000/health", host: "shop.test"
2026/03/04 09:15:01 [error] 411#411: *3 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://10.1.2.3:8000/login", host: "shop.test"
2026/03/04 09:15:02 [error] 411#411: *4 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /about HTTP/1.1", upstream: "http://10.1.2.3:8000/about", host: "shop.test"
2026/03/04 09:15:02 [error] 411#411: *5 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /orders HTTP/1.1", upstream: "http://10.1.2.3:8000/orders", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /report HTTP/1.1", upstream: "http://10.1.2.3:8000/report", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.symptom == Symptom::ResponseTimedOut).then_some(())?;
    let wait = case.wait_for_worker();
    let rule = match wait {
        Wait::LateSpan(_) => LATE_SPAN,
        Wait::MoreThanWorkers { together, workers } if together >= MANY_TIMES * workers => MANY,
        Wait::MoreThanWorkers { .. } => MORE,
        Wait::AllTimedOut { had_it: false, .. } => ALL_TIMED_OUT,
        Wait::AllTimedOut { had_it: true, .. } => HAD_IT,
        Wait::OnlyLateSpans => LATE_SPANS,
        Wait::Paths { others_served: false, .. } => PATHS,
        Wait::Paths { others_served: true, .. } => PATHS_SERVED,
        Wait::Unsaid => UNSAID,
    };
    let mut quotes: Vec<Quote> = wait.words().map(conclusion).into_iter().collect();
    if matches!(wait, Wait::AllTimedOut { .. }) {
        quotes
            .extend(case.kept_workers_busy().map(|path| conclusion(format!("what kept the workers busy was {path}"))));
    }
    let mut claim = Claim::with(rule, quotes)?;
    claim.hint = case.has_green_workers().then_some(HINT_GREEN);
    Some(claim)
}

/// A full worker of this kind takes no more connections and writes nothing of it (`gunicorn/workers/ggevent.py`): only spans and
/// what times out together tell.
const HINT_GREEN: &str = "Find what keeps requests open (slow queries, slow calls to others, an exhausted pool of connections) and raise `--worker-connections` or the number of workers; a longer `proxy_read_timeout` only makes the queue longer.";
