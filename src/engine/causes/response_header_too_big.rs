//! The response header does not fit into nginx's buffer.

use super::{Case, Category, Cause, Claim, Expected, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const SAID: Rule = Rule::new("response_header_too_big.said", Standing::Proof);
const FULL: Rule = Rule::new("response_header_too_big.buffer_full", Standing::Possible);
const MAYBE: Rule = Rule::new("response_header_too_big.closed_or_refused", Standing::Hint);

pub static CAUSE: Cause = Cause {
    id: "response_header_too_big",
    category: Category::Protocol,
    summary: "the application's response header is larger than nginx's `proxy_buffer_size`",
    when: "nginx logs `upstream sent too big header`; less surely without an error line, where the access log counts at least a page of memory that came and has no `$upstream_header_time`.",
    hint: "Raise `proxy_buffer_size` (16k, with `proxy_buffers 8 16k` and `proxy_busy_buffers_size 32k`) or make the headers smaller: cookies and Content-Security-Policy are the usual ones.",
    elsewhere: None,
    facts: "`upstream sent too big header` and, since 1.29.0, `upstream sent too big early hints` (src/http/ngx_http_upstream.c, ngx_http_upstream_process_header); the buffer is one memory page by default. Gunicorn logs the request as served.",
    links: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffer_size"],
    explains: Symptoms::of(&[
        Symptom::ResponseHeaderTooBig,
        Symptom::ResponseHeaderInvalid,
        Symptom::ResponseClosedEarly,
    ]),
    origin: Origin::ITS_OWN,
    leaves: Leaves::Always(Expected::Finished),
    marks: &[Mark::Final],
    rules: &[SAID, FULL, MAYBE],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream sent too big header while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://127.0.0.1:8000/login", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 client intended to send too large body: 5000000 bytes, client: 198.51.100.20, server: shop.test, request: "POST /upload HTTP/1.1", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !case.is_request() {
        return None;
    }
    if case.symptom == Symptom::ResponseHeaderTooBig {
        return Claim::of(SAID);
    }
    if case.may_have_filled_buffer() && !case.answer_is_not_http() {
        return Claim::of(FULL);
    }
    if case.may_have_refused_header() { Claim::of(MAYBE) } else { None }
}
