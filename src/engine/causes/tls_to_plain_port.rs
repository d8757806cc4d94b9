//! nginx speaks TLS to a port that does not.

use super::{Case, Category, Cause, Claim, Elsewhere, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::conclusion;
use crate::read::evidence::Symptom;

const CLIENT_LEFT: Rule = Rule::new("tls_to_plain_port.client_left", Standing::Strong);
const SAID: Rule = Rule::new("tls_to_plain_port.said", Standing::Proof);
const WORKER_TIMEOUT: Rule = Rule::new("tls_to_plain_port.worker_timeout", Standing::Strong);
const TIMED_OUT: Rule = Rule::new("tls_to_plain_port.timed_out", Standing::Likely);
const NO_ALERT: Rule = Rule::new("tls_to_plain_port.no_alert", Standing::Possible);

pub static CAUSE: Cause = Cause {
    id: "tls_to_plain_port",
    category: Category::Tls,
    summary: "nginx speaks TLS to an upstream port that speaks plain HTTP",
    when: "The TLS handshake fails with words about a wrong version, or waits until Gunicorn's or nginx's own timeout.",
    hint: "Write `proxy_pass http://...` for this upstream, or give Gunicorn `--certfile` and `--keyfile`.",
    elsewhere: Some(Elsewhere {
        summary: "nginx speaks TLS to an upstream port that speaks plain HTTP",
        hint: "Write `proxy_pass http://...` for this upstream, or give the server a certificate and a key.",
    }),
    facts: "A server that answers in plain text gives OpenSSL `wrong version number`; nginx 1.29.5 and later see the plain answer before the handshake (`upstream prematurely sent response`); a Gunicorn sync worker waits for a line end that never comes, until its own timeout.",
    links: &[
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass",
        "https://docs.gunicorn.org/en/stable/settings.html#certfile",
    ],
    explains: Symptoms::of(&[
        Symptom::TlsHandshakeFailed,
        Symptom::ConnectTimedOut,
        Symptom::ResponseTimedOut,
        Symptom::ClientClosed,
    ]),
    origin: Origin::of(Family::Tls),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[CLIENT_LEFT, SAID, WORKER_TIMEOUT, TIMED_OUT, NO_ALERT],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while SSL handshaking to upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "https://127.0.0.1:8000/login", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 SSL_do_handshake() failed (SSL: error:0A000410:SSL routines::sslv3 alert handshake failure:SSL alert number 40) while SSL handshaking to upstream, client: 198.51.100.20, server: shop.test, request: "GET /login HTTP/1.1", upstream: "https://127.0.0.1:8443/login", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !case.is_request() {
        return None;
    }
    let handshaking = case.error().is_some_and(|error| error.what.action.contains("SSL handshaking to upstream"));
    if case.gave_up_in_handshake() {
        let words = "nginx was still not through with the connection when the client left, and Gunicorn takes connections: that is the wait of a TLS handshake";
        return Claim::with(CLIENT_LEFT, vec![conclusion(words)]);
    }
    match case.symptom {
        Symptom::TlsHandshakeFailed if speaks_plain(case) => Claim::of(SAID),
        Symptom::TlsHandshakeFailed if case.violent_death().is_some_and(|death| death.timed_out) => {
            Claim::with(WORKER_TIMEOUT, case.violent_death().map(|death| death.quotes.clone()).unwrap_or_default())
        }
        Symptom::ConnectTimedOut | Symptom::ResponseTimedOut if handshaking => Claim::of(TIMED_OUT),
        Symptom::TlsHandshakeFailed if closed_without_alert(case) => Claim::of(NO_ALERT),
        _ => None,
    }
}

fn speaks_plain(case: &Case<'_>) -> bool {
    case.error().is_some_and(|error| {
        let message = &error.what.message;
        [
            "wrong version number",
            "unknown protocol",
            "http request",
            "packet length too long",
            "record layer failure",
            "prematurely sent response",
        ]
        .iter()
        .any(|words| message.contains(words))
    })
}

fn closed_without_alert(case: &Case<'_>) -> bool {
    case.error().is_some_and(|error| error.what.message.contains("peer closed connection in SSL handshake"))
}
