//! What answers does not speak HTTP, or not the HTTP that nginx speaks to it.

use super::{Case, Category, Cause, Claim, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::{Spoken, conclusion};
use crate::read::evidence::Symptom;

const HTTP1: Rule = Rule::new("not_http_upstream.speaks_http1", Standing::Proof);
const SAID: Rule = Rule::new("not_http_upstream.said", Standing::Strong);

pub static CAUSE: Cause = Cause {
    id: "not_http_upstream",
    category: Category::Protocol,
    summary: "what listens at the upstream's address does not speak HTTP, or not the version that nginx speaks to it",
    when: "nginx logs that it found no valid HTTP at all, or the status 009; or that the answer to its HTTP/2 begins with the letters of HTTP/1, or asks for it.",
    hint: "Check which program listens there (`ss -ltnp`) and whether it wants `uwsgi_pass` or `fastcgi_pass` instead of `proxy_pass`.",
    elsewhere: None,
    facts: "`upstream sent no valid HTTP/1.0 header`: nginx passes the bytes on as HTTP/0.9 and logs status 009 (src/http/modules/ngx_http_proxy_module.c). Over HTTP/2 the first three bytes of the answer are written as a length: `upstream sent too large http2 frame: 4740180` is `HTT` (src/http/modules/ngx_http_proxy_v2_module.c, 1.31.4; RFC 9113, 4.1); error 13 of a refusal is HTTP_1_1_REQUIRED (RFC 9113, 7).",
    links: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass"],
    explains: Symptoms::of(&[Symptom::ResponseHeaderInvalid, Symptom::ResponseReset, Symptom::ResponseClosedEarly]),
    origin: Origin::of(Family::NotHttp),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[HTTP1, SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream sent no valid HTTP/1.0 header while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://127.0.0.1:22/login", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream sent invalid header: "X Trace\x20..." while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://127.0.0.1:8000/login", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    case.is_request().then_some(())?;
    let wants_http1 = case.refusal().is_some_and(|refusal| refusal.wants_http1());
    if wants_http1 || case.spoken() == Some(Spoken::Http1) {
        let words = "nginx speaks HTTP/2 to a port that speaks HTTP/1.1";
        let mut claim = Claim::with(HTTP1, vec![conclusion(words)])?;
        claim.hint = Some(HINT_HTTP1);
        return Some(claim);
    }
    (case.answer_is_not_http() && case.spoken() != Some(Spoken::Tls)).then(|| Claim::of(SAID))?
}

const HINT_HTTP1: &str = "Write `proxy_http_version 1.1` for this upstream, `proxy_pass` where `grpc_pass` stands, or switch HTTP/2 without TLS (h2c) on there.";
