//! What answers does not speak HTTP.

use super::{Case, Category, Cause, Claim, Leaves, Mark, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const SAID: Rule = Rule::new("not_http_upstream.said", Standing::Strong);

pub static CAUSE: Cause = Cause {
    id: "not_http_upstream",
    category: Category::Protocol,
    summary: "what listens at the upstream's address does not speak HTTP",
    when: "nginx logs that it found no valid HTTP at all, or the status 009.",
    hint: "Check which program listens there (`ss -ltnp`) and whether it wants `uwsgi_pass` or `fastcgi_pass` instead of `proxy_pass`.",
    elsewhere: None,
    facts: "`upstream sent no valid HTTP/1.0 header`: nginx passes the bytes on as HTTP/0.9 and logs status 009 (src/http/modules/ngx_http_proxy_module.c).",
    links: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass"],
    explains: Symptoms::of(&[Symptom::ResponseHeaderInvalid]),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream sent no valid HTTP/1.0 header while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://127.0.0.1:22/login", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream sent invalid header: "X Trace\x20..." while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://127.0.0.1:8000/login", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.answer_is_not_http()).then_some(())?;
    Claim::of(SAID)
}
