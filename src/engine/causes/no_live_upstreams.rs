//! All servers of the group are in quarantine, and the failure that put them there is not in sight.

use super::{Case, Category, Cause, Claim, Leaves, Origin, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const SAID: Rule = Rule::new("no_live_upstreams.said", Standing::Strong);

pub static CAUSE: Cause = Cause {
    id: "no_live_upstreams",
    category: Category::Unreachable,
    summary: "nginx has set every server of the upstream group aside after failures that are not in sight",
    when: "nginx logs `no live upstreams`, and no failure of the same group in the 30 s before is in sight; otherwise that failure's cause is named.",
    hint: "Find the first failures of this group in nginx's error log (other errors in the seconds before, on any worker) and mend their cause; `max_fails=0` on a single server avoids the quarantine.",
    elsewhere: None,
    facts: "A server that failed `max_fails` times (default 1) is left out for `fail_timeout` (default 10 s), by each nginx worker for itself unless the group has a `zone` (src/http/ngx_http_upstream_round_robin.c). A consequence, never a root cause.",
    links: &["https://nginx.org/en/docs/http/ngx_http_upstream_module.html#max_fails"],
    explains: Symptoms::of(&[Symptom::NoLiveUpstreams]),
    origin: Origin::any(Origin::SET_ASIDE),
    leaves: Leaves::BySymptom,
    marks: &[],
    rules: &[SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 no live upstreams while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://shop-app/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:01 [error] 411#411: *5 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test"
2026/03/04 09:15:02 [error] 411#411: *7 no live upstreams while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://shop-app/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.symptom == Symptom::NoLiveUpstreams).then_some(())?;
    Claim::of(SAID)
}
