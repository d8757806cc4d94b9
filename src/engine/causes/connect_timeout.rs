//! The connect timer ran out: packets vanish on the way.

use super::{Case, Category, Cause, Claim, Family, Leaves, Origin, Rule, Standing, Symptoms};
use crate::engine::case::configured_quote;
use crate::read::evidence::Symptom;

const SOMEWHERE: Rule = Rule::new("connect_timeout.or_read", Standing::Possible);
const GUNICORN_THERE: Rule = Rule::new("connect_timeout.gunicorn_is_there", Standing::Hint);
const SAID: Rule = Rule::new("connect_timeout.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "connect_timeout",
    category: Category::Unreachable,
    summary: "nginx could not connect within `proxy_connect_timeout`: packets to the upstream vanish",
    when: "The connection was not made in time, and Gunicorn's log does not say that it listens there; unlikely where neither an error line nor the access log tells whether nginx was connected.",
    hint: "Check firewall, security group and address of the upstream (`nc -vz HOST PORT` from nginx's host); if the upstream is merely busy, give it more workers and a longer `--backlog`.",
    elsewhere: None,
    facts: "`upstream timed out (110: ...) while connecting to upstream` is nginx's own timer and a 504; `connect() failed (110: ...)` is the kernel's and a 502 (src/http/ngx_http_upstream.c, ngx_http_upstream_next and test_connect).",
    links: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_connect_timeout"],
    explains: Symptoms::of(&[Symptom::ConnectTimedOut, Symptom::Unknown]),
    origin: Origin::of(Family::Network),
    leaves: Leaves::BySymptom,
    marks: &[],
    rules: &[SOMEWHERE, GUNICORN_THERE, SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream timed out (110: Connection timed out) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if case.is_request() && case.timed_out_somewhere() {
        return Claim::of(SOMEWHERE);
    }
    if !case.is_request() || case.symptom != Symptom::ConnectTimedOut {
        return None;
    }
    let set = case.configured(|pass| pass.connect_timeout);
    let quotes = set.map(|(time, pass)| configured_quote(pass, "connect", time)).into_iter().collect();
    Claim::with(if case.gunicorn_is_there() { GUNICORN_THERE } else { SAID }, quotes)
}
