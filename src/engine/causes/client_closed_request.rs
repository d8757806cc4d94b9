//! The client went away before the answer: 499.

use super::{Case, Category, Cause, Claim, Expected, Leaves, Mark, Origin, Rule, Standing, Symptoms, Trigger};
use crate::engine::case::{conclusion, host_quote, seconds};
use crate::read::evidence::{Host, Symptom};

const PEER_GONE: Rule = Rule::new("client_closed_request.peer_gone", Standing::Plausible);
const HANDSHAKE: Rule = Rule::new("client_closed_request.in_handshake", Standing::Possible);
const CONNECTING: Rule = Rule::new("client_closed_request.while_connecting", Standing::Proof);
const BARE: Rule = Rule::new("client_closed_request.status_alone", Standing::Plausible);
const SAID: Rule = Rule::new("client_closed_request.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "client_closed_request",
    category: Category::Client,
    summary: "the client closed the connection before the answer came",
    when: "The access log has status 499, less surely where it logs no time and no upstream; or, where nothing of nginx was read, the application server says that its peer went away.",
    hint: "Look at how long the request had taken: an impatient client or load balancer has a shorter timeout than the application needs; raise that timeout or make the request faster.",
    elsewhere: None,
    facts: "nginx logs 499 and, at level info only, `client prematurely closed connection` (src/http/ngx_http_upstream.c, ngx_http_upstream_check_broken_connection). The application goes on with its work.",
    links: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ignore_client_abort"],
    explains: Symptoms::ANY,
    origin: Origin::ITS_OWN,
    leaves: Leaves::Always(Expected::Late),
    marks: &[Mark::Final],
    rules: &[PEER_GONE, HANDSHAKE, CONNECTING, BARE, SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [info] 411#411: *7 epoll_wait() reported that client prematurely closed connection, so upstream connection is closed too while sending request to upstream, client: 198.51.100.20, server: shop.test, request: "GET /report HTTP/1.1", upstream: "http://127.0.0.1:8000/report", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /report HTTP/1.1", upstream: "http://127.0.0.1:8000/report", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        // Only for one who has nothing of nginx: there the request itself is judged.
        let alone = !case.has_error_log() && !case.has_access_log();
        let gone = alone && matches!(host.seen.what, Host::PeerGone { .. });
        return gone.then(|| Claim::with(PEER_GONE, vec![host_quote(host)]))?;
    }
    (case.is_request() && (case.symptom == Symptom::ClientClosed || case.status() == Some(499))).then_some(())?;
    if case.gave_up_in_handshake() {
        return Claim::of(HANDSHAKE);
    }
    if let Some(waited) = case.waited_to_connect() {
        let words = format!("it waited {} s for a connection to the upstream", seconds(waited));
        return Claim::with(CONNECTING, vec![conclusion(words)]);
    }
    // The bare status tells who closed, not whether that was the trouble: a crawler that leaves, an application that hangs.
    let bare = case.error().is_none()
        && case.access().is_some_and(|access| !access.has_upstream && !access.request_time.is_logged());
    if bare {
        let words = "499 is nginx's own word for a client that went away first; how long it had waited is not logged";
        return Claim::with(BARE, vec![conclusion(words)]);
    }
    Claim::of(SAID)
}
