//! nginx's table of connections is full.

use super::{Case, Category, Cause, Claim, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::read::evidence::Symptom;

const SAID: Rule = Rule::new("nginx_connections_exhausted.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "nginx_connections_exhausted",
    category: Category::Capacity,
    summary: "nginx's table of connections is full",
    when: "nginx logs `worker_connections are not enough`.",
    hint: "Raise `worker_connections`: a proxied request takes two; look for slow upstreams that keep connections open.",
    elsewhere: None,
    facts: "`N worker_connections are not enough` at accept leaves no access line at all, while connecting to an upstream it makes a 500 (src/core/ngx_connection.c).",
    links: &["https://nginx.org/en/docs/ngx_core_module.html#worker_connections"],
    explains: Symptoms::of(&[Symptom::NginxOutOfConnections]),
    origin: Origin::of(Family::Limits),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [alert] 411#411: 512 worker_connections are not enough"#,
    near_miss: r#"2026/03/04 09:15:02 [notice] 411#411: using the "epoll" event method"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    (case.is_request() && case.symptom == Symptom::NginxOutOfConnections).then_some(())?;
    Claim::of(SAID)
}
