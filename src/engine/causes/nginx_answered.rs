//! nginx itself answered with this status; no upstream was asked.

use super::{Case, Category, Cause, Claim, Expected, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::conclusion;
use crate::read::evidence::{Logged, MILLISECOND, Nanos, Symptom};

const NOBODY: Rule = Rule::new("nginx_answered.nobody_asked", Standing::Strong);
const SILENCE: Rule = Rule::new("nginx_answered.error_log_silent", Standing::Likely);

/// nginx answers by itself as soon as it has read the request; a name that does not resolve takes longer, if not always.
const BY_ITSELF_MAX: Nanos = 100 * MILLISECOND;

pub static CAUSE: Cause = Cause {
    id: "nginx_answered",
    category: Category::Application,
    summary: "nginx itself answered with this status; it asked no upstream",
    when: "The access line knows upstreams and names none for this request, or nginx's error log is silent and the body is nginx's own page; never where an attempt, an answer in Gunicorn's access log or a span says otherwise.",
    hint: "Look in nginx's configuration for what answers here: `return`, `error_page`, a maintenance page, `limit_req` and `limit_conn`.",
    elsewhere: None,
    facts: "nginx writes `-` for the `$upstream_*` variables where it made no attempt, and no error line for `return` and `error_page` (src/http/modules/ngx_http_rewrite_module.c, src/http/ngx_http_upstream.c).",
    links: &[
        "https://nginx.org/en/docs/http/ngx_http_rewrite_module.html#return",
        "https://nginx.org/en/docs/http/ngx_http_core_module.html#error_page",
    ],
    explains: Symptoms::of(&[Symptom::Unknown]),
    origin: Origin::ITS_OWN,
    leaves: Leaves::Always(Expected::Never),
    marks: &[Mark::Final],
    rules: &[NOBODY, SILENCE],
    judge,
    example: r#"{"msec":"1772615702.120","pid":"411","connection":"7","remote_addr":"198.51.100.20","request":"GET /cart HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.000","upstream_addr":"-","upstream_status":"-","upstream_connect_time":"-","upstream_header_time":"-","upstream_response_time":"-"}"#,
    near_miss: r#"{"msec":"1772615702.120","pid":"411","connection":"7","remote_addr":"198.51.100.20","request":"GET /cart HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.000","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"-","upstream_header_time":"-","upstream_response_time":"0.000"}"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    let access = case.access()?;
    let asks = case.is_request() && case.symptom == Symptom::Unknown && matches!(access.status, 502..=504);
    if !asks || case.error().is_some() || !case.request.errors.is_empty() {
        return None;
    }
    if access.has_upstream {
        let took_long = access.request_time.value().is_some_and(|took| took > BY_ITSELF_MAX);
        let tells_of_names = case.has_error_log();
        let fits = access.attempts.is_empty() && (access.status != 502 || tells_of_names || !took_long);
        let mut quotes = vec![conclusion("the access log knows upstreams and names none for this request")];
        if !tells_of_names && access.status == 502 {
            quotes.push(conclusion(
                "a name that does not resolve leaves the same line: nginx's error log, which was not read, tells",
            ));
        }
        return fits.then(|| Claim::with(NOBODY, quotes))?;
    }
    // Without them nginx's error log tells: it has a line for each upstream that failed.
    let at_once = matches!(access.request_time, Logged::No | Logged::Value(0));
    let fits = case.error_log_goes_on() && case.has_page_of_nginx() && at_once && !case.is_any_upstream_failing();
    let words = "nginx's error log has no line for it, and the body is nginx's own page";
    fits.then(|| Claim::with(SILENCE, vec![conclusion(words)]))?
}
