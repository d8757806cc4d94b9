//! The TLS handshake with the upstream failed.

use super::{Case, Category, Cause, Claim, Depth, Family, Leaves, Origin, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const SAID: Rule = Rule::new("tls_handshake_failed.said", Standing::Strong);

pub static CAUSE: Cause = Cause {
    id: "tls_handshake_failed",
    category: Category::Tls,
    summary: "the TLS handshake between nginx and the upstream failed",
    when: "nginx logs a failed TLS handshake with the upstream that nothing else explains.",
    hint: "Compare protocols, ciphers and the name: `proxy_ssl_server_name on`, `proxy_ssl_name`, `proxy_ssl_protocols`; try `openssl s_client -connect HOST:PORT -servername NAME` from nginx's host.",
    elsewhere: None,
    facts: "`SSL_do_handshake() failed (SSL: ...)` and `peer closed connection in SSL handshake` while SSL handshaking to upstream (src/event/ngx_event_openssl.c).",
    links: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_server_name"],
    explains: Symptoms::of(&[Symptom::TlsHandshakeFailed]),
    origin: Origin::after(Family::Tls, Depth::Follows),
    leaves: Leaves::BySymptom,
    marks: &[],
    rules: &[SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 SSL_do_handshake() failed (SSL: error:0A000410:SSL routines::sslv3 alert handshake failure:SSL alert number 40) while SSL handshaking to upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "https://127.0.0.1:8443/login", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream SSL certificate verify error: (10:certificate has expired) while SSL handshaking to upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "https://127.0.0.1:8443/login", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.symptom == Symptom::TlsHandshakeFailed).then_some(())?;
    Claim::of(SAID)
}
