//! The upstream closed an idle kept-alive connection just as nginx reused it.

use super::{Case, Category, Cause, Claim, Elsewhere, Leaves, Mark, Origin, Rule, Standing, Symptoms};
use crate::engine::case::{Workers, conclusion};
use crate::engine::correlate::gunicorn::{BootKind, Phase};
use crate::read::address::AddressMatch;
use crate::read::evidence::{Attempt, Logged, MILLISECOND, NginxAccess, SECOND, Symptom};

/// A request that was sent into a connection that is being closed breaks within this time: one way there and back.
const SHORT: i64 = 100 * MILLISECOND;
/// So many in one second are no accident.
const SEVERAL: usize = 3;

const UNTIMED: Rule = Rule::new("keepalive_race.untimed", Standing::Hint);
const LEAVING: Rule = Rule::new("keepalive_race.worker_leaving", Standing::Hint);
const SENT_IN_PART: Rule = Rule::new("keepalive_race.sent_in_part", Standing::Hint);
const REPLACED: Rule = Rule::new("keepalive_race.worker_replaced", Standing::Hint);
const FRESH: Rule = Rule::new("keepalive_race.fresh_connection", Standing::Hint);
const ASYNC_POST: Rule = Rule::new("keepalive_race.async_post", Standing::Strong);
const ASYNC: Rule = Rule::new("keepalive_race.async", Standing::Plausible);
const POST: Rule = Rule::new("keepalive_race.post", Standing::Likely);
const IDLE: Rule = Rule::new("keepalive_race.idempotent", Standing::Possible);
const SEVERAL_TIMED: Rule = Rule::new("keepalive_race.several_at_once", Standing::Strong);
const SEVERAL_UNTIMED: Rule = Rule::new("keepalive_race.several_untimed", Standing::Likely);

pub static CAUSE: Cause = Cause {
    id: "keepalive_race",
    category: Category::Protocol,
    summary: "Gunicorn closed an idle kept-alive connection just as nginx reused it",
    when: "The request was cut within 10 ms (100 ms where Gunicorn's log rules out that a worker ended) on a connection that was open before, no worker ended, and the workers are not sync; the surer where nginx may not send it again (POST), and where several broke in one moment while others were served. Never where nginx's configuration keeps no connections open.",
    hint: "Make Gunicorn's `--keep-alive` longer (75) than `keepalive_timeout` of nginx's upstream block (60 s by default), or let nginx keep none.",
    elsewhere: Some(Elsewhere {
        summary: "{} closed an idle kept-alive connection just as nginx reused it",
        hint: "Let the server keep idle connections longer (75 s) than `keepalive_timeout` of nginx's upstream block (60 s by default; Gunicorn `--keep-alive`, uvicorn `--timeout-keep-alive`), or let nginx keep none.",
    }),
    facts: "nginx keeps idle upstream connections 60 s (by default since 1.29.7), Gunicorn's asynchronous workers 2 s; sync workers keep none. nginx sends idempotent requests again, POST, PATCH and LOCK fail (src/http/ngx_http_upstream.c, ngx_http_upstream_next). Gunicorn writes nothing.",
    links: &[
        "https://docs.gunicorn.org/en/stable/settings.html#keepalive",
        "https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive",
    ],
    explains: Symptoms::CUT_OFF,
    origin: Origin::ITS_OWN,
    leaves: Leaves::BySymptom,
    marks: &[Mark::WantsMoreEvidence],
    rules: &[
        UNTIMED,
        LEAVING,
        SENT_IN_PART,
        REPLACED,
        FRESH,
        ASYNC_POST,
        ASYNC,
        POST,
        IDLE,
        SEVERAL_TIMED,
        SEVERAL_UNTIMED,
    ],
    judge,
    example: r#"{"msec":"1772615702.120","pid":"411","connection":"7","request":"POST /cart HTTP/1.1","status":"502","request_time":"0.001","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"0.001","upstream_bytes_received":"0"}
2026/03/04 09:15:02 [error] 411#411: *7 recv() failed (104: Connection reset by peer) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "POST /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test"
[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:00 +0000] [300] [INFO] Using worker: gthread"#,
    near_miss: r#"{"msec":"1772615702.120","pid":"411","connection":"7","request":"POST /cart HTTP/1.1","status":"502","request_time":"4.001","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"4.001","upstream_bytes_received":"0"}
2026/03/04 09:15:02 [error] 411#411: *7 recv() failed (104: Connection reset by peer) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "POST /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test"
[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:00 +0000] [300] [INFO] Using worker: gthread"#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !case.is_request() || !case.is_cut_off() || case.violent_death().is_some() {
        return None;
    }
    if case.keeps_connections() == Some(false) {
        return None;
    }
    let sync = case.workers() == Workers::Sync;
    let alive = case.rules_out_death();
    let at_once = case.response_time().is_some_and(|time| time <= if alive { 100 } else { 10 } * MILLISECOND);
    if let Some(several) = several_at_once(case, sync) {
        return Some(several);
    }
    if sync || !at_once {
        // Without times in the log a non-idempotent request leaves the race possible, no more.
        return if !sync && case.response_time().is_none() && !case.is_idempotent() {
            Claim::of(UNTIMED)
        } else {
            None
        };
    }
    let fresh =
        case.last_attempt().is_some_and(|attempt| matches!(attempt.connect_time, Logged::Value(time) if time > 0));
    let leaving = case.phase_before(|phase| matches!(phase, Phase::Stopping | Phase::Reloading | Phase::Recycling));
    if leaving.is_some_and(|change| change.at.near(case.at, -SECOND, 3 * SECOND)) {
        return Claim::of(LEAVING);
    }
    if case.last_attempt().is_some_and(|attempt| stopped_sending(attempt, case.access())) {
        return Claim::of(SENT_IN_PART);
    }
    let replaced = case.silent_replacement();
    if replaced.is_some_and(|boot| boot.kind == BootKind::Silent) {
        return Claim::of(REPLACED);
    }
    let asynchronous = case.workers() == Workers::Concurrent;
    // Nothing is known of the server, and the configuration does not say so: only nginx 1.29.7 and later keep some then.
    let is_untold = case.nginx_conf().is_some() && !case.passes.is_empty() && case.keeps_connections().is_none();
    if is_untold && !asynchronous {
        return Claim::of(UNTIMED);
    }
    let rule = match (asynchronous, case.is_idempotent(), fresh) {
        (_, _, true) => FRESH,
        (true, false, _) => ASYNC_POST,
        (true, true, _) => ASYNC,
        (false, false, _) => POST,
        (false, true, _) => IDLE,
    };
    Claim::with(
        rule,
        vec![conclusion("the attempt failed within 10 ms on an open connection and Gunicorn's log is silent")],
    )
}

/// Several requests broke in one moment, each just after it was sent, while others were served before and after: a worker
/// that ended would have taken along some that it had had for longer.
fn several_at_once(case: &Case<'_>, sync: bool) -> Option<Claim> {
    let time = case.response_time();
    let short = time.is_none_or(|time| time <= SHORT);
    // Without times a body that the application did not read breaks in the same way.
    let told = time.is_some() || case.symptom != Symptom::RequestSendFailed && case.is_silent_about_ends();
    let knows = !sync || case.address == AddressMatch::No;
    if !short || !told || !knows || case.is_idempotent() || case.death.is_some() || !case.others_are_served(1) {
        return None;
    }
    if case.failures_around(Symptom::ConnectRefused, 3).next().is_some() || case.silent_replacement().is_some() {
        return None;
    }
    let cut = |symptom| case.failures_around(symptom, 0).count();
    let count = cut(Symptom::ResponseReset) + cut(Symptom::ResponseClosedEarly) + cut(Symptom::RequestSendFailed);
    let words = format!("{count} requests broke in one moment, each just after it was sent, and others were served");
    (count >= SEVERAL)
        .then(|| Claim::with(if time.is_some() { SEVERAL_TIMED } else { SEVERAL_UNTIMED }, vec![conclusion(words)]))?
}

/// nginx writes a request that fits its buffer at once: one that was sent in part broke on its body.
fn stopped_sending(attempt: &Attempt, access: Option<&NginxAccess>) -> bool {
    let length = access.and_then(|access| access.request_length.value());
    matches!((attempt.bytes_sent.value(), length), (Some(sent), Some(length)) if sent > 0 && sent < length)
}
