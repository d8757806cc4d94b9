//! Closed or reset before a header, and nothing covers why.

use super::{Case, Category, Cause, Claim, Elsewhere, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::conclusion;

const LIVED: Rule = Rule::new("upstream_closed_early.worker_lived", Standing::Plausible);
const NO_END: Rule = Rule::new("upstream_closed_early.no_end_in_log", Standing::Possible);
const NO_LOG: Rule = Rule::new("upstream_closed_early.no_log", Standing::Possible);

pub static CAUSE: Cause = Cause {
    id: "upstream_closed_early",
    category: Category::Worker,
    summary: "the upstream closed the connection before it sent a response header; nothing says why",
    when: "The request was cut before its response header, and no line says which worker ended or why. Where the log of Gunicorn covers the time and names no end, no worker died.",
    hint: "Read Gunicorn's error log at this time (`--error-logfile -`, level info) and the kernel's; send both to why502 so that it can name the cause.",
    elsewhere: Some(Elsewhere {
        summary: "{} closed the connection before it sent a response header; nothing says why",
        hint: "Read the application server's own log at this time, and the kernel's; send both to why502 so that it can name the cause.",
    }),
    facts: "nginx writes the same line for a killed, crashed, timed-out or exited worker, a keep-alive race and any other server that closes (src/http/ngx_http_upstream.c, ngx_http_upstream_process_header).",
    links: &["https://docs.gunicorn.org/en/stable/settings.html#errorlog"],
    explains: Symptoms::CUT_OFF,
    origin: Origin::any(Origin::ENDS),
    leaves: Leaves::BySymptom,
    marks: &[Mark::WantsMoreEvidence, Mark::SaysNoReason],
    rules: &[LIVED, NO_END, NO_LOG],
    judge,
    example: r#"2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /import HTTP/1.1", upstream: "http://127.0.0.1:8000/import", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /import HTTP/1.1", upstream: "http://127.0.0.1:8000/import", host: "shop.test"
[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGSEGV!"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !case.is_request() || !case.is_cut_off() || case.violent_death().is_some() {
        return None;
    }
    if case.rules_out_death() {
        let words = "Gunicorn's log covers this time and names no worker that ended: the worker lived and closed the connection";
        return Claim::with(LIVED, vec![conclusion(words)]);
    }
    let (rule, why) = if case.has_gunicorn_log() {
        (NO_END, "Gunicorn's log names no worker that ended at this time")
    } else {
        (NO_LOG, "no Gunicorn log was read")
    };
    Claim::with(rule, vec![conclusion(why)])
}
