//! nginx's read timer ran out on this URL while others are served.

use super::{Case, Category, Cause, Claim, Elsewhere, Expected, Family, Leaves, Origin, Rule, Standing, Symptoms};
use crate::engine::case::{conclusion, configured_quote};
use crate::read::evidence::Symptom;

const IN_BODY: Rule = Rule::new("slow_request.in_body", Standing::Strong);
const SOMEWHERE: Rule = Rule::new("slow_request.or_connect", Standing::Plausible);
const ALONE: Rule = Rule::new("slow_request.read_timer", Standing::Strong);
const LINE_CUT: Rule = Rule::new("slow_request.line_cut", Standing::Plausible);
const QUEUED: Rule = Rule::new("slow_request.though_queued", Standing::Possible);
const CUT_QUEUED: Rule = Rule::new("slow_request.line_cut_queued", Standing::Hint);

pub static CAUSE: Cause = Cause {
    id: "slow_request",
    category: Category::Application,
    summary: "the application did not answer within nginx's read timeout",
    when: "nginx's read timer ran out, before the header or within the body, and nothing says that all workers were busy; less surely where neither an error line nor the access log tells whether nginx was connected.",
    hint: "Look at the request's trace for what takes the time and make it faster or a background job; if it must be slow, raise `proxy_read_timeout` (`fastcgi_read_timeout`, `uwsgi_read_timeout`) for this location, together with Gunicorn's `--timeout`.",
    elsewhere: Some(Elsewhere {
        summary: "the application did not answer within nginx's read timeout",
        hint: "Look at the request's trace for what takes the time and make it faster or a background job; if it must be slow, raise the read timeout of this location (`proxy_read_timeout`, `fastcgi_read_timeout`, `uwsgi_read_timeout`, `grpc_read_timeout`) together with the server's own limit.",
    }),
    facts: "`upstream timed out (110: ...) while reading response header from upstream` is nginx's own timer, 60 s by default, between two reads, and a 504 (src/http/ngx_http_upstream.c).",
    links: &[
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout",
        "https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_read_timeout",
    ],
    explains: Symptoms::of(&[Symptom::ResponseTimedOut, Symptom::ResponseTruncated, Symptom::Unknown]),
    origin: Origin::of(Family::Busy),
    leaves: Leaves::Always(Expected::Late),
    marks: &[],
    rules: &[IN_BODY, SOMEWHERE, ALONE, LINE_CUT, QUEUED, CUT_QUEUED],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /report HTTP/1.1", upstream: "http://127.0.0.1:8000/report", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream timed out (110: Connection timed out) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /report HTTP/1.1", upstream: "http://10.1.2.3:8000/report", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if case.is_request() && case.timed_out_in_body() {
        return Claim::with(IN_BODY, vec![conclusion("the read timer ran out in the middle of the body")]);
    }
    if case.is_request() && case.timed_out_somewhere() {
        return Claim::with(SOMEWHERE, vec![conclusion("the log format does not tell whether nginx was connected")]);
    }
    if !case.is_request() || case.symptom != Symptom::ResponseTimedOut {
        return None;
    }
    let set = case.configured(|pass| pass.read_timeout);
    let quotes = set.map(|(time, pass)| configured_quote(pass, "read", time)).into_iter().collect();
    // The signs of a full queue take away from it.
    let queued = case.wait_for_worker().fills_queue();
    // A line cut before its action may be about a connect or a handshake as well.
    let is_cut = case.error().is_some_and(|error| error.what.action.is_empty());
    let rule = match (is_cut, queued) {
        (false, false) => ALONE,
        (true, false) => LINE_CUT,
        (false, true) => QUEUED,
        (true, true) => CUT_QUEUED,
    };
    Claim::with(rule, quotes)
}
