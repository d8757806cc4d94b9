//! The application answered and closed without reading the request body.

use super::{Case, Category, Cause, Claim, Expected, Leaves, Origin, Rule, Standing, Symptoms};
use crate::engine::case::{answer_quote, conclusion};
use crate::read::evidence::{SECOND, Symptom};

const REFUSED: Rule = Rule::new("request_body_unread.refused", Standing::Strong);
const ANSWERED: Rule = Rule::new("request_body_unread.answered", Standing::Proof);
const SEND_FAILED: Rule = Rule::new("request_body_unread.send_failed", Standing::Proof);
const SEND_FAILED_EARLY: Rule = Rule::new("request_body_unread.send_failed_unmeasured", Standing::Plausible);
const SEND_FAILED_ALIVE: Rule = Rule::new("request_body_unread.send_failed_and_worker_lived", Standing::Likely);
const RESET: Rule = Rule::new("request_body_unread.reset", Standing::Likely);

pub static CAUSE: Cause = Cause {
    id: "request_body_unread",
    category: Category::Protocol,
    summary: "the application answered and closed the connection without reading the request body, so its answer was lost",
    when: "The connection broke while nginx sent the request, or before it had sent the whole body; surest where Gunicorn's access log has an answer to it.",
    hint: "Let the application read or discard the body before it answers 401, 413 or a redirect, or let nginx refuse large bodies itself with `client_max_body_size`.",
    elsewhere: None,
    facts: "A socket closed with unread bytes sends a reset, and the answer that nginx has not read yet is gone: `writev() failed (104: ...) while sending request to upstream`, over a unix socket `(32: Broken pipe)`. Gunicorn's access log shows the answer.",
    links: &["https://nginx.org/en/docs/http/ngx_http_core_module.html#client_max_body_size"],
    explains: Symptoms::CUT_OFF.and(&[Symptom::ResponseTruncated]),
    origin: Origin::ITS_OWN,
    leaves: Leaves::Always(Expected::Finished),
    marks: &[],
    rules: &[REFUSED, ANSWERED, SEND_FAILED, SEND_FAILED_ALIVE, SEND_FAILED_EARLY, RESET],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 writev() failed (104: Connection reset by peer) while sending request to upstream, client: 198.51.100.20, server: shop.test, request: "POST /upload HTTP/1.1", upstream: "http://127.0.0.1:8000/upload", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 writev() failed (104: Connection reset by peer) while sending request to upstream, client: 198.51.100.20, server: shop.test, request: "POST /upload HTTP/1.1", upstream: "http://127.0.0.1:8000/upload", host: "shop.test"
[2026-03-04 09:15:02 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?"#,
};

/// A body that was sent at least in part and is larger than what one socket buffer swallows unseen.
const BODY_BYTES_MIN: u64 = 8 << 10;

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !case.is_request() || case.violent_death().is_some() {
        return None;
    }
    if case.symptom == Symptom::ResponseTruncated {
        // A refusal came, and the connection was reset before its body: the application had closed it on the rest of the
        // request.
        let refused = case.status().is_some_and(|status| status >= 400) && !case.is_idempotent();
        return refused.then(|| {
            Claim::with(
                REFUSED,
                vec![conclusion("the answer was a refusal, and the connection was reset behind its header")],
            )
        })?;
    }
    if !case.is_cut_off() {
        return None;
    }
    let answered = case.answers().rev().find(|answer| {
        answer.what.target == case.target()
            && answer.what.method == case.method()
            && answer.at.near(case.at, -2 * SECOND, 2 * SECOND)
    });
    if let Some(answer) = answered.filter(|_| case.symptom != Symptom::ResponseClosedEarly) {
        return Claim::with(ANSWERED, vec![answer_quote(answer)]);
    }
    let access = case.access();
    let length = access.and_then(|access| access.request_length.value());
    let sent = case.last_attempt().and_then(|attempt| attempt.bytes_sent.value());
    let unread = matches!((sent, length), (Some(sent), Some(length)) if sent < length && length >= BODY_BYTES_MIN);
    match (case.symptom, unread) {
        (Symptom::RequestSendFailed, true) => Claim::with(
            SEND_FAILED,
            vec![conclusion("nginx had not sent the whole body when the connection was closed")],
        ),
        // These have no body but by exception: the connection was gone before the request.
        (Symptom::RequestSendFailed, false) if matches!(case.method(), "GET" | "HEAD" | "OPTIONS") => None,
        (Symptom::RequestSendFailed, false) if case.rules_out_death() => Claim::with(
            SEND_FAILED_ALIVE,
            vec![conclusion(
                "Gunicorn's log names no worker that ended: it closed the connection while nginx was sending",
            )],
        ),
        (Symptom::RequestSendFailed, false) => Claim::of(SEND_FAILED_EARLY),
        (Symptom::ResponseReset, true) => {
            Claim::with(RESET, vec![conclusion("nginx had not sent the whole body when the connection was closed")])
        }
        _ => None,
    }
}
