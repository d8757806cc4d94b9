//! The upstream itself answered 502, 503 or 504.

use super::{Case, Category, Cause, Claim, Expected, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::{answer_quote, conclusion};
use crate::read::evidence::{Logged, SECOND, Symptom};

const RELAYED: Rule = Rule::new("app_returned_error.relayed", Standing::Proof);
const LOGGED: Rule = Rule::new("app_returned_error.logged", Standing::Proof);
const SPAN: Rule = Rule::new("app_returned_error.span", Standing::Proof);
const SILENCE: Rule = Rule::new("app_returned_error.error_log_silent", Standing::Likely);
const STATUS: Rule = Rule::new("app_returned_error.status_alone", Standing::Hint);

pub static CAUSE: Cause = Cause {
    id: "app_returned_error",
    category: Category::Application,
    summary: "the application itself answered with this status; nginx only passed it on",
    when: "The access log has a `$upstream_header_time`, Gunicorn's access log or a span has the same status, or nginx's error log is silent and the body is not nginx's own page; never where the access log says that nobody's answer came.",
    hint: "Look into the application's own log and trace for this request: it is most often a gateway whose own upstream failed.",
    elsewhere: None,
    facts: "A number in `$upstream_header_time` proves that a whole response header came from the upstream; nginx writes no error line then (src/http/ngx_http_upstream.c).",
    links: &["https://nginx.org/en/docs/http/ngx_http_upstream_module.html#var_upstream_header_time"],
    explains: Symptoms::of(&[Symptom::Relayed, Symptom::Unknown]),
    origin: Origin::ITS_OWN,
    leaves: Leaves::Always(Expected::SameStatus),
    marks: &[Mark::Final],
    rules: &[RELAYED, LOGGED, SPAN, SILENCE, STATUS],
    judge,
    example: r#"{"msec":"1772615702.120","pid":"411","connection":"7","request":"GET /rates HTTP/1.1","status":"502","request_time":"0.201","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"0.200","upstream_response_time":"0.200","upstream_bytes_received":"194"}"#,
    near_miss: r#"{"msec":"1772615702.120","pid":"411","connection":"7","request":"GET /rates HTTP/1.1","status":"502","request_time":"0.201","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"0.200","upstream_bytes_received":"0"}"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    let status = case.status()?;
    if !case.is_request() || !matches!(status, 502..=504) {
        return None;
    }
    if case.symptom == Symptom::Relayed {
        return Claim::of(RELAYED);
    }
    if case.symptom != Symptom::Unknown || case.is_of_nginx_itself() {
        return None;
    }
    let answered = case.answers().rev().find(|answer| {
        answer.what.status == status
            && answer.what.target == case.target()
            && answer.at.near(case.at, -2 * SECOND, 2 * SECOND)
    });
    if let Some(answer) = answered {
        return Claim::with(LOGGED, vec![answer_quote(answer)]);
    }
    let (from, to) = (case.at.from.saturating_sub(2 * SECOND), case.at.to.saturating_add(2 * SECOND));
    let mut spans = case.spans_asked(from, to);
    if spans.any(|(_, span)| !span.is_from_nginx() && span.status == status) {
        return Claim::with(SPAN, vec![conclusion(format!("a span of this request ended with status {status}"))]);
    }
    // The access log knows nothing of upstreams. nginx writes an error line for each failure of its own.
    let silent_error_log = case.error_log_covers(case.at);
    let own_page = case.has_page_of_nginx();
    match (silent_error_log, own_page) {
        (true, false) => Claim::with(
            SILENCE,
            vec![conclusion("nginx's error log has no line for it, and the body is not nginx's own page")],
        ),
        // The error log that was read begins later: a part of a log.
        (false, false) if case.has_error_log() => None,
        // No application answers in no time.
        (false, false) if case.access().is_some_and(|access| access.request_time == Logged::Value(0)) => None,
        (false, false) => Claim::of(STATUS),
        // nginx's own page: it made the status itself, and its error line was not read.
        (_, true) => None,
    }
}
