//! The response header is not valid HTTP.

use super::{Case, Category, Cause, Claim, Depth, Expected, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const MAYBE: Rule = Rule::new("response_header_invalid.closed_or_refused", Standing::Hint);
const NOT_HTTP: Rule = Rule::new("response_header_invalid.not_http", Standing::Hint);
const SAID: Rule = Rule::new("response_header_invalid.said", Standing::Proof);
const FULL: Rule = Rule::new("response_header_invalid.or_too_big", Standing::Plausible);
const STATUS: Rule = Rule::new("response_header_invalid.status_alone", Standing::Strong);

pub static CAUSE: Cause = Cause {
    id: "response_header_invalid",
    category: Category::Protocol,
    summary: "the application's response header is not valid HTTP, and nginx refuses it",
    when: "nginx logs that it refuses a header line of the response; without an error line, where the access log counts bytes that came and has no `$upstream_header_time`, less surely where as many came as a buffer holds. Where it counts no bytes, a connection that was closed is more likely.",
    hint: "Mend the header that nginx names: no blanks or control characters in names, Content-Length once and not together with Transfer-Encoding; nginx 1.23 and later refuse what older ones let pass.",
    elsewhere: None,
    facts: "`upstream sent invalid header`, `duplicate header line`, `\"Content-Length\" and \"Transfer-Encoding\" headers at the same time` (src/http/modules/ngx_http_proxy_module.c, 1.21.1 and 1.23.0).",
    links: &["https://nginx.org/en/CHANGES"],
    explains: Symptoms::of(&[Symptom::ResponseHeaderInvalid, Symptom::ResponseClosedEarly]),
    origin: Origin::after(Family::NotHttp, Depth::Follows),
    leaves: Leaves::Always(Expected::Finished),
    marks: &[Mark::Final],
    rules: &[MAYBE, NOT_HTTP, SAID, FULL, STATUS],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream sent invalid header: "X Trace\x20..." while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://127.0.0.1:8000/login", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream sent no valid HTTP/1.0 header while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://127.0.0.1:22/login", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !case.is_request() {
        return None;
    }
    if case.may_have_refused_header() {
        return Claim::of(MAYBE);
    }
    if case.symptom != Symptom::ResponseHeaderInvalid {
        return None;
    }
    Claim::of(match case.error() {
        _ if case.answer_is_not_http() => NOT_HTTP,
        Some(_) => SAID,
        None if case.may_have_filled_buffer() => FULL,
        None => STATUS,
    })
}
