//! nginx does not trust the upstream's certificate.

use super::{Case, Category, Cause, Claim, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const SAID: Rule = Rule::new("tls_certificate_rejected.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "tls_certificate_rejected",
    category: Category::Tls,
    summary: "nginx does not trust the upstream's certificate",
    when: "nginx logs a certificate verify error or a name that does not match.",
    hint: "Renew the certificate or name its authority in `proxy_ssl_trusted_certificate`, and its name in `proxy_ssl_name`.",
    elsewhere: None,
    facts: "`upstream SSL certificate verify error: (18:self-signed certificate)`, `upstream SSL certificate does not match \"NAME\"` with `proxy_ssl_verify on` (src/http/ngx_http_upstream.c).",
    links: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_trusted_certificate"],
    explains: Symptoms::of(&[Symptom::TlsCertificateRejected]),
    origin: Origin::of(Family::Tls),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream SSL certificate verify error: (10:certificate has expired) while SSL handshaking to upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "https://127.0.0.1:8443/login", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 peer closed connection in SSL handshake while SSL handshaking to upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "https://127.0.0.1:8443/login", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.symptom == Symptom::TlsCertificateRejected).then_some(())?;
    Claim::of(SAID)
}
