//! Gunicorn listens, but on another address or socket path than nginx tries.

use super::{Case, Category, Cause, Claim, Elsewhere, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::conclusion;
use crate::read::address::AddressMatch;

const REACHED: Rule = Rule::new("upstream_address_mismatch.gunicorn_reached", Standing::Hint);
const ELSEWHERE: Rule = Rule::new("upstream_address_mismatch.listens_elsewhere", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "upstream_address_mismatch",
    category: Category::Unreachable,
    summary: "Gunicorn listens on another address or socket path than the one nginx tries",
    when: "Connections are refused, or the unix socket's file is missing, while Gunicorn's log says that it listens elsewhere and serves; out of a container also where nginx asks 127.0.0.1, which is that container, or where the other one binds its own 127.0.0.1; unlikely where nginx serves other requests at the same time, and not where nginx's configuration has another upstream that is this Gunicorn.",
    hint: "Make Gunicorn's `--bind` and nginx's `proxy_pass` name the same address or socket path; in containers bind 0.0.0.0 and share the volume of the socket.",
    elsewhere: Some(Elsewhere {
        summary: "{} listens on another address or socket path than the one nginx tries",
        hint: "Have the server and nginx's `proxy_pass` name the same address or socket path; in containers bind 0.0.0.0 and share the volume of the socket.",
    }),
    facts: "Gunicorn says where it listens at each start: `Listening at: http://127.0.0.1:8000 (PID)` (gunicorn/arbiter.py, start). nginx prints the peer that it tried in `upstream:`.",
    links: &[
        "https://docs.gunicorn.org/en/stable/settings.html#bind",
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass",
    ],
    explains: Symptoms::REFUSED,
    origin: Origin::of(Family::Server),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[REACHED, ELSEWHERE],
    judge,
    example: r#"[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
2026/03/04 09:15:02 [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8080/cart", host: "shop.test""#,
    near_miss: r#"[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://0.0.0.0:8000 (300)
2026/03/04 09:15:02 [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://172.19.0.3:8000/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    let instance = case.instance?;
    if !case.is_request() || !case.is_refused() || case.address != AddressMatch::No || !instance.served_until(case.at) {
        return None;
    }
    // nginx reaches this Gunicorn for other requests, so this address may be meant for another server, which is down.
    let reached = case.others_are_served(30);
    let apart = case.leads_to_itself().or_else(|| case.is_bound_inside());
    let passed = case.passes.first().zip(case.upstream).map(|(pass, upstream)| {
        conclusion(format!("nginx's configuration passes {} to {upstream}, and nothing to this Gunicorn", pass.place()))
    });
    Claim::with(if reached { REACHED } else { ELSEWHERE }, instance.listening.iter().cloned().chain(passed).chain(apart).collect())
}
