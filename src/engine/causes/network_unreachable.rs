//! No route to the network: errno 101.

use super::{Case, Category, Cause, Claim, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::conclusion;
use crate::read::evidence::Symptom;

const IPV6: Rule = Rule::new("network_unreachable.ipv6", Standing::Plausible);
const SAID: Rule = Rule::new("network_unreachable.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "network_unreachable",
    category: Category::Unreachable,
    summary: "nginx's host has no route to the upstream's network",
    when: "nginx logs errno 101 for the network, or its like on BSD.",
    hint: "Check the routes of nginx's host or container (`ip route get ADDRESS`); an IPv6 upstream without IPv6 is the usual case: `resolver ... ipv6=off`, or an address of the right family.",
    elsewhere: None,
    facts: "errno 101 (ENETUNREACH; 51 on BSD) is returned by connect() at once when no route matches.",
    links: &["https://nginx.org/en/docs/http/ngx_http_core_module.html#resolver"],
    explains: Symptoms::of(&[Symptom::ConnectUnreachable, Symptom::ConnectNoLocalPort]),
    origin: Origin::of(Family::Network),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[IPV6, SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 connect() to [2001:db8::7]:8000 failed (101: Network is unreachable) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://[2001:db8::7]:8000/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 connect() failed (113: No route to host) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if case.is_request() && case.symptom == Symptom::ConnectNoLocalPort && case.is_ipv6() {
        return Claim::with(IPV6, vec![conclusion("nginx's host may have no IPv6 address to connect from")]);
    }
    (case.is_request() && case.is_network_unreachable()).then_some(())?;
    Claim::of(SAID)
}
