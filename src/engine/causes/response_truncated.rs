//! The header was sent, the body was cut; the client saw 200.

use super::{Case, Category, Cause, Claim, Elsewhere, Expected, Leaves, Origin, Rule, Standing, Symptoms};
use crate::engine::case::conclusion;
use crate::engine::correlate::Seen;
use crate::read::evidence::{NginxError, Symptom};

const TIMED_OUT: Rule = Rule::new("response_truncated.timed_out", Standing::Possible);
const WORKER_ENDED: Rule = Rule::new("response_truncated.worker_ended", Standing::Possible);
const SAID: Rule = Rule::new("response_truncated.said", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "response_truncated",
    category: Category::Application,
    summary: "the answer was cut in its body after its header had gone out: the client saw the status of a success",
    when: "nginx logs that the upstream closed the connection while it read the body.",
    hint: "Look for the worker's end or an exception at this time in Gunicorn's log, and for a Content-Length that is larger than the body; `proxy_http_version 1.1` lets clients notice the cut.",
    elsewhere: Some(Elsewhere {
        summary: "the answer was cut in its body after its header had gone out: the client saw the status of a success",
        hint: "Look for the worker's end or an exception at this time in the application server's log, and for a Content-Length that is larger than the body; `proxy_http_version 1.1` lets clients notice the cut.",
    }),
    facts: "`upstream prematurely closed connection while reading upstream`: the header is sent, so nginx can only close the connection; the access log shows the upstream's status (src/event/ngx_event_pipe.c).",
    links: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_http_version"],
    explains: Symptoms::of(&[Symptom::ResponseTruncated]),
    origin: Origin::ITS_OWN,
    leaves: Leaves::Always(Expected::Finished),
    marks: &[],
    rules: &[TIMED_OUT, WORKER_ENDED, SAID],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream prematurely closed connection while reading upstream, client: 198.51.100.20, server: shop.test, request: "GET /export HTTP/1.1", upstream: "http://127.0.0.1:8000/export", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /export HTTP/1.1", upstream: "http://127.0.0.1:8000/export", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !case.is_request() || case.symptom != Symptom::ResponseTruncated {
        return None;
    }
    // It stays the symptom where a worker's end is the cause.
    let rule = match case.violent_death() {
        _ if case.timed_out_in_body() => TIMED_OUT,
        Some(_) => WORKER_ENDED,
        None => SAID,
    };
    let mut quotes = Vec::new();
    // nginx's temporary files (`src/core/ngx_file.c`): nobody but nginx itself is to blame.
    let of_file = |error: &Seen<NginxError>| {
        ["open() ", "pwrite() ", "mkdir() "].iter().any(|call| error.what.message.starts_with(call))
    };
    if case.error().is_some_and(of_file) {
        quotes.push(conclusion("nginx could not write the answer to its temporary file: its user needs that directory and room on its disk"));
    }
    Claim::with(rule, quotes)
}
