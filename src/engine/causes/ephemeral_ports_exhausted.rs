//! No local port is left towards this upstream: errno 99.

use super::{Case, Category, Cause, Claim, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const IPV6: Rule = Rule::new("ephemeral_ports_exhausted.ipv6", Standing::Possible);
const SAID: Rule = Rule::new("ephemeral_ports_exhausted.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "ephemeral_ports_exhausted",
    category: Category::Capacity,
    summary: "nginx's host has no local port left for another connection to this upstream",
    when: "nginx logs errno 99, or 49 on BSD.",
    hint: "Keep upstream connections alive (`keepalive` in the upstream block with HTTP/1.1) or use a unix socket; widen `net.ipv4.ip_local_port_range` and set `net.ipv4.tcp_tw_reuse=1`.",
    elsewhere: None,
    facts: "connect() fails with errno 99 (EADDRNOTAVAIL; 49 on BSD) when every local port towards one address and port is taken, mostly by TIME_WAIT.",
    links: &["https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive"],
    explains: Symptoms::of(&[Symptom::ConnectNoLocalPort]),
    origin: Origin::ITS_OWN,
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[IPV6, SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [crit] 411#411: *7 connect() to 127.0.0.1:8000 failed (99: Cannot assign requested address) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.symptom == Symptom::ConnectNoLocalPort).then_some(())?;
    // A host without an IPv6 address of its own says the same of every IPv6 peer, at the first request.
    Claim::of(if case.is_ipv6() { IPV6 } else { SAID })
}
