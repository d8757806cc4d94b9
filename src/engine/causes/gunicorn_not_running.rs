//! Nothing listens: refused, or the socket file is missing, and no Gunicorn is known to listen elsewhere.

use super::{Case, Category, Cause, Claim, Elsewhere, Leaves, Mark, Origin, Rule, Standing, Symptoms, Trigger};
use crate::engine::case::{How, conclusion, host_quote};
use crate::engine::correlate::gunicorn::{Down, Phase};
use crate::read::address::AddressMatch;
use crate::read::evidence::Symptom;

const REFUSED_AFTER: Rule = Rule::new("gunicorn_not_running.refused_after", Standing::Plausible);
const STALE: Rule = Rule::new("gunicorn_not_running.stale_socket", Standing::Possible);
const NO_GUNICORN: Rule = Rule::new("gunicorn_not_running.no_gunicorn_in_sight", Standing::Proof);
const STOPPED: Rule = Rule::new("gunicorn_not_running.stopped", Standing::Strong);
const HALTED: Rule = Rule::new("gunicorn_not_running.halted", Standing::Possible);
const SERVES: Rule = Rule::new("gunicorn_not_running.though_it_serves", Standing::Possible);
const ELSEWHERE: Rule = Rule::new("gunicorn_not_running.other_address_served", Standing::Strong);
const MISMATCH: Rule = Rule::new("gunicorn_not_running.other_address", Standing::Hint);
const UNSEEN: Rule = Rule::new("gunicorn_not_running.gunicorn_elsewhere", Standing::Strong);
const UNIT_ALONE: Rule = Rule::new("gunicorn_not_running.unit_alone", Standing::Likely);

pub static CAUSE: Cause = Cause {
    id: "gunicorn_not_running",
    category: Category::Unreachable,
    summary: "Gunicorn is not running: nothing listens where nginx tries to connect",
    when: "Connections are refused, or the unix socket's file is missing, and no Gunicorn is known to listen elsewhere; less surely when requests are cut and the next ones refused, or when systemd or supervisord says that it ended with an error and no other log is there.",
    hint: "Check the process with `systemctl status` and `systemctl is-active`, start it, and `systemctl enable` it so that it comes back after a reboot; then read why it stopped in its log.",
    elsewhere: Some(Elsewhere {
        summary: "{} is not running: nothing listens where nginx tries to connect",
        hint: "Check the process with `systemctl status` and `systemctl is-active`, or the container with `docker ps`; start it, and `systemctl enable` it so that it comes back after a reboot.",
    }),
    facts: "Linux answers connect() with errno 111 where no socket listens and with errno 2 where a unix socket's file is gone; nginx writes both (src/event/ngx_event_connect.c, 1.10 to 1.31). Gunicorn removes its socket file when it stops in good order (gunicorn/sock.py).",
    links: &[
        "https://docs.gunicorn.org/en/stable/deploy.html#systemd",
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass",
    ],
    explains: Symptoms::REFUSED.or(Symptoms::CUT_OFF),
    origin: Origin::any(Origin::NOBODY),
    leaves: Leaves::BySymptom,
    marks: &[Mark::FinalAlone],
    rules: &[REFUSED_AFTER, STALE, NO_GUNICORN, STOPPED, HALTED, SERVES, ELSEWHERE, MISMATCH, UNSEEN, UNIT_ALONE],
    judge,
    example: r#"2026/03/04 09:15:02 [crit] 411#411: *7 connect() to unix:/run/shop/web.sock failed (2: No such file or directory) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://unix:/run/shop/web.sock:/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 open() "/srv/shop/static/a.css" failed (2: No such file or directory), client: 198.51.100.20, server: shop.test, request: "GET /static/a.css HTTP/1.1", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        // Where nginx or Gunicorn are in sight, they say what it meant.
        let is_alone = case.instances().next().is_none() && !case.has_error_log() && !case.has_access_log();
        // 3, 126, 127 and 203 say more, and so does an end again and again (`worker_boot_failed`).
        let is_telling = matches!(How::of(&host.seen.what), Some(How::Code(3 | 126 | 127 | 203)));
        let is_once = || !is_telling && case.ends_with_errors(host).count() == 1;
        let words = "it ended with an error, and no log is here that says why";
        return (is_alone && is_once()).then(|| Claim::with(UNIT_ALONE, vec![host_quote(host), conclusion(words)]))?;
    }
    if case.is_request() && case.is_cut_off() && case.instance.is_none() && refused_after(case) {
        return Claim::with(
            REFUSED_AFTER,
            vec![conclusion("it refused connections right after: the whole server went away")],
        );
    }
    if !case.is_request() || !case.is_refused() {
        return None;
    }
    if case.instance.is_none_or(|instance| instance.before(case.at).is_none())
        && case.stop_of_unit().is_some_and(|(_, back)| back.is_some())
    {
        return None;
    }
    let Some(instance) = case.instance else {
        let rule = if case.is_unix() && case.symptom == Symptom::ConnectRefused { STALE } else { NO_GUNICORN };
        let told = case.end_of_server().map(host_quote);
        return Claim::with(rule, told.into_iter().chain(case.leads_to_itself()).collect());
    };
    let stopped = instance.before(case.at).filter(|change| matches!(change.phase, Phase::Down(_) | Phase::Stopping));
    match stopped {
        Some(change) if matches!(change.phase, Phase::Down(Down::ShutDown) | Phase::Stopping) => Claim::with(
            STOPPED,
            vec![change.quote.clone(), conclusion("it did not come back while this request was looked at")],
        ),
        Some(change) => Claim::with(HALTED, vec![change.quote.clone()]),
        None if case.address >= AddressMatch::Maybe && instance.serves(case.at) => Claim::of(SERVES),
        None if case.address == AddressMatch::No => {
            Claim::of(if case.others_are_served(30) { ELSEWHERE } else { MISMATCH })
        }
        // Its workers have sockets of their own, and its log says that it is there.
        None if instance.reuse_port && instance.serves(case.at) => Claim::of(SERVES),
        None => {
            let mut claim = Claim::of(UNSEEN)?;
            claim.hint = case.while_starting();
            Some(claim)
        }
    }
}

/// Requests were cut and the next ones refused: not one worker but the server that listens is gone.
fn refused_after(case: &Case<'_>) -> bool {
    case.failures_around(Symptom::ConnectRefused, 2).any(|failure| failure.at.to >= case.at.from)
}
