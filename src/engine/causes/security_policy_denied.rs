//! SELinux or another security module forbids the connection: errno 13 over TCP, or an AVC denial.

use super::{Case, Category, Cause, Claim, Family, Leaves, Origin, Rule, Standing, Symptoms, Trigger};
use crate::engine::case::host_quote;
use crate::read::evidence::{Host, Symptom};

const DENIAL_ALONE: Rule = Rule::new("security_policy_denied.denial_alone", Standing::Strong);
const DENIAL: Rule = Rule::new("security_policy_denied.denial", Standing::Proof);
const TCP: Rule = Rule::new("security_policy_denied.tcp", Standing::Strong);
const NO_UPSTREAM: Rule = Rule::new("security_policy_denied.no_upstream", Standing::Possible);

pub static CAUSE: Cause = Cause {
    id: "security_policy_denied",
    category: Category::Unreachable,
    summary: "SELinux or another security module forbids nginx to connect to the upstream",
    when: "nginx logs errno 13 for a TCP address, or an AVC or AppArmor denial names nginx.",
    hint: "Look for the denial with `ausearch -m AVC -c nginx`; over TCP `setsebool -P httpd_can_network_connect 1`, for a socket label it with `semanage fcontext -t httpd_var_run_t` and `restorecon`.",
    elsewhere: None,
    facts: "File permissions cannot deny a TCP connect: errno 13 there comes from a security module (connect(2), EACCES). The audit log names it: `type=AVC ... denied { name_connect } ... comm=\"nginx\"`.",
    links: &[
        "https://www.nginx.com/blog/using-nginx-plus-with-selinux/",
        "https://man7.org/linux/man-pages/man2/connect.2.html",
    ],
    explains: Symptoms::of(&[Symptom::ConnectPermissionDenied]),
    origin: Origin::of(Family::Denied),
    leaves: Leaves::BySymptom,
    marks: &[],
    rules: &[DENIAL_ALONE, DENIAL, TCP, NO_UPSTREAM],
    judge,
    example: r#"2026/03/04 09:15:02 [crit] 411#411: *7 connect() to 127.0.0.1:8000 failed (13: Permission denied) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [crit] 411#411: *7 connect() to unix:/run/shop/web.sock failed (13: Permission denied) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://unix:/run/shop/web.sock:/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        return match &host.seen.what {
            // Whom the application itself may not reach is another matter.
            Host::AccessDenied { process, .. } if process.contains("nginx") => {
                Claim::with(DENIAL_ALONE, vec![host_quote(host)])
            }
            _ => None,
        };
    }
    if !case.is_request() || case.symptom != Symptom::ConnectPermissionDenied {
        return None;
    }
    let denial = case
        .hosts()
        .find(|host| matches!(&host.seen.what, Host::AccessDenied { process, .. } if process.contains("nginx")));
    match (denial, case.is_unix(), case.upstream) {
        (Some(host), _, _) => Claim::with(DENIAL, vec![host_quote(host)]),
        (None, false, Some(_)) => Claim::of(TCP),
        (None, false, None) => Claim::of(NO_UPSTREAM),
        (None, true, _) => None,
    }
}
