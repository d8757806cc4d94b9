//! No route to the host: errno 113, or it is down.

use super::{Case, Category, Cause, Claim, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const SAID: Rule = Rule::new("host_unreachable.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "host_unreachable",
    category: Category::Unreachable,
    summary: "the upstream's host does not answer on the network, or a firewall rejects nginx",
    when: "nginx logs errno 113 for the host, or its like on BSD.",
    hint: "Check that the host or container still has this address and is up, and that no firewall rejects the port; after a container moved, reload nginx or use `resolver` with a variable.",
    elsewhere: None,
    facts: "errno 113 (EHOSTUNREACH; 65 on BSD) comes back from a failed neighbour look-up or from ICMP host-unreachable and admin-prohibited.",
    links: &["https://nginx.org/en/docs/http/ngx_http_core_module.html#resolver"],
    explains: Symptoms::of(&[Symptom::ConnectUnreachable]),
    origin: Origin::of(Family::Network),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 connect() failed (113: No route to host) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 connect() to 10.1.2.3:8000 failed (101: Network is unreachable) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.symptom == Symptom::ConnectUnreachable && !case.is_network_unreachable())
        .then_some(())?;
    Claim::of(SAID)
}
