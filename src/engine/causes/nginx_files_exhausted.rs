//! nginx has no file descriptor left: errno 24.

use super::{Case, Category, Cause, Claim, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const SAID: Rule = Rule::new("nginx_files_exhausted.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "nginx_files_exhausted",
    category: Category::Capacity,
    summary: "nginx has no file descriptor left",
    when: "nginx logs errno 24 for a socket of its own.",
    hint: "Raise `worker_rlimit_nofile` (and `LimitNOFILE=` of the unit) to at least twice `worker_connections`.",
    elsewhere: None,
    facts: "`socket() failed (24: Too many open files)` makes a 500, `accept4() failed (24: ...)` leaves clients waiting (src/event/ngx_event_connect.c, ngx_event_accept.c).",
    links: &["https://nginx.org/en/docs/ngx_core_module.html#worker_rlimit_nofile"],
    explains: Symptoms::of(&[Symptom::NginxOutOfFiles]),
    origin: Origin::of(Family::Limits),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [alert] 411#411: *7 socket() failed (24: Too many open files) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test""#,
    near_miss: r#"[2026-03-04 09:15:02 +0000] [301] [ERROR] Exception in worker process
Traceback (most recent call last):
OSError: [Errno 24] Too many open files"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.symptom == Symptom::NginxOutOfFiles).then_some(())?;
    Claim::of(SAID)
}
