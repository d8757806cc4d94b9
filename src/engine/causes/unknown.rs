//! Honest: the evidence is listed. The to-do list for the next cause.

use super::{Case, Category, Cause, Claim, Elsewhere, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::conclusion;

const REFUSED: Rule = Rule::new("unknown.upstream_refused", Standing::Hint);
pub const NOTHING: Rule = Rule::new("unknown.nothing_joins", Standing::Hint);

pub static CAUSE: Cause = Cause {
    id: "unknown",
    category: Category::Unknown,
    summary: "the evidence does not say why",
    when: "No other cause claims the request; the evidence says which logs were not read.",
    hint: "Send nginx's error log and Gunicorn's error log of this time along with the access log, and log `$upstream_status`, `$upstream_header_time`, `$pid` and `$connection` there.",
    elsewhere: Some(Elsewhere {
        summary: "the evidence does not say why",
        hint: "Send nginx's error log and the application server's log of this time along with the access log, and log `$upstream_status`, `$upstream_header_time`, `$pid` and `$connection` there.",
    }),
    facts: "The formats `combined` and `main` hold no upstream variable, so a status alone does not tell whether nginx or the application made it.",
    links: &["https://nginx.org/en/docs/http/ngx_http_upstream_module.html#variables"],
    explains: Symptoms::ANY,
    origin: Origin::ITS_OWN,
    leaves: Leaves::BySymptom,
    marks: &[Mark::WantsMoreEvidence],
    rules: &[REFUSED, NOTHING],
    judge,
    example: r#"198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] "GET /report HTTP/1.1" 502 157 "-" "curl/8.5.0""#,
    near_miss: r#"198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] "GET /report HTTP/1.1" 200 157 "-" "curl/8.5.0""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !case.is_request() {
        return None;
    }
    if let Some(refusal) = case.refusal() {
        let mut claim = Claim::with(REFUSED, vec![conclusion(refusal.words())])?;
        claim.hint = Some(HINT_REFUSED);
        return Some(claim);
    }
    let (missing, hint) = match (case.has_error_log(), case.has_gunicorn_log()) {
        (false, false) => ("no error log of nginx and no log of Gunicorn was read", None),
        (false, true) => {
            ("no error log of nginx was read", Some("Send nginx's error log of this time along with the others."))
        }
        (true, false) => (
            "no log of Gunicorn was read",
            Some(
                "Send the application server's log of this time along with nginx's (Gunicorn: `--error-logfile -`, level info).",
            ),
        ),
        (true, true) => (
            "no line of the logs that were read joins this request",
            Some(
                "Log `$upstream_status`, `$upstream_header_time`, `$pid` and `$connection` in nginx's access log, so that its lines join those of the others.",
            ),
        ),
    };
    let mut claim = Claim::with(NOTHING, vec![conclusion(missing)])?;
    claim.hint = hint;
    Some(claim)
}

const HINT_REFUSED: &str = "Read the upstream's own log at this time: it answered over HTTP/2 that it does not take or finish the request, and only it knows why.";
