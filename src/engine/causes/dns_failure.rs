//! The upstream's name did not resolve, or no resolver is set.

use super::{Case, Category, Cause, Claim, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const SAID: Rule = Rule::new("dns_failure.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "dns_failure",
    category: Category::Unreachable,
    summary: "the upstream's name did not resolve",
    when: "nginx logs that the name could not be resolved, that no resolver is defined, or that the host was not found.",
    hint: "Check the name and the `resolver` directive (127.0.0.11 in Docker, the cluster's DNS in Kubernetes) from nginx's host with `dig @RESOLVER NAME`; names in `upstream` and plain `proxy_pass` are resolved only when nginx starts.",
    elsewhere: None,
    facts: "nginx answers 502 without any attempt; the number is the resolver's code, not an errno (src/core/ngx_resolver.c, ngx_resolver_strerror).",
    links: &["https://nginx.org/en/docs/http/ngx_http_core_module.html#resolver"],
    explains: Symptoms::of(&[Symptom::NameNotResolved]),
    origin: Origin::ITS_OWN,
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 shop-app.internal could not be resolved (3: Host not found), client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 no live upstreams while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://shop-app/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.symptom == Symptom::NameNotResolved).then_some(())?;
    Claim::of(SAID)
}
