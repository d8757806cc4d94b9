//! nginx speaks plain HTTP to a port that wants TLS.

use super::{Case, Category, Cause, Claim, Elsewhere, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::{Spoken, conclusion};
use crate::read::evidence::{SECOND, Symptom};

const DEATH: Rule = Rule::new("plain_to_tls_port.worker_ended", Standing::Possible);
const ALERT: Rule = Rule::new("plain_to_tls_port.alert", Standing::Proof);
const SAID: Rule = Rule::new("plain_to_tls_port.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "plain_to_tls_port",
    category: Category::Tls,
    summary: "nginx speaks plain HTTP to an upstream port that wants TLS",
    when: "The request was cut within 2 s of Gunicorn's `[SSL: HTTP_REQUEST] http request`, or nginx read a TLS alert as the head of an HTTP/2 frame.",
    hint: "Write `proxy_pass https://...` for this upstream, or take `--certfile` away from Gunicorn and let nginx alone do TLS.",
    elsewhere: Some(Elsewhere {
        summary: "nginx speaks plain HTTP to an upstream port that wants TLS",
        hint: "Write `proxy_pass https://...` for this upstream, or take the certificate away from the server and let nginx alone do TLS.",
    }),
    facts: "Gunicorn 21 and later write `Invalid request from ip=...: [SSL: HTTP_REQUEST] http request`; nginx sees a reset and nothing of TLS. Over HTTP/2 nginx writes the first three bytes of the answer as a length: `upstream sent too large http2 frame: 1377027` is the head of a TLS alert (src/http/modules/ngx_http_proxy_v2_module.c, 1.31.4).",
    links: &[
        "https://docs.gunicorn.org/en/stable/settings.html#certfile",
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass",
    ],
    explains: Symptoms::CUT_OFF.and(&[Symptom::ResponseHeaderInvalid]),
    origin: Origin::of(Family::Tls),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[DEATH, ALERT, SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 recv() failed (104: Connection reset by peer) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://127.0.0.1:8443/login", host: "shop.test"
[2026-03-04 09:15:02 +0000] [301] [WARNING] Invalid request from ip=127.0.0.1: [SSL: HTTP_REQUEST] http request (_ssl.c:1006)"#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 recv() failed (104: Connection reset by peer) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "http://127.0.0.1:8443/login", host: "shop.test"
[2026-03-04 09:15:02 +0000] [301] [WARNING] Invalid request from ip=127.0.0.1: Invalid HTTP Version: 'HTTP/9'"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if case.is_request() && case.spoken() == Some(Spoken::Tls) {
        let words =
            "the length of the frame is the head of a TLS alert: nginx speaks without TLS to a port that wants it";
        return Claim::with(ALERT, vec![conclusion(words)]);
    }
    if !case.is_request() || !case.is_cut_off() {
        return None;
    }
    let refused = case.plain_requests().find(|(at, _)| at.near(case.at, -2 * SECOND, 2 * SECOND))?;
    Claim::with(if case.violent_death().is_some() { DEATH } else { SAID }, vec![refused.1.clone()])
}
