//! Nothing listens: refused, or the socket file is missing, and no Gunicorn is known to listen elsewhere.

use super::{Case, Category, Cause, Claim, Elsewhere, Leaves, Mark, Symptoms};
use crate::engine::case::conclusion;
use crate::engine::correlate::gunicorn::{Down, Phase};
use crate::read::address::AddressMatch;
use crate::read::evidence::Symptom;

pub static CAUSE: Cause = Cause {
    id: "gunicorn_not_running",
    category: Category::Unreachable,
    summary: "Gunicorn is not running: nothing listens where nginx tries to connect",
    when: "Connections are refused, or the unix socket's file is missing, and no Gunicorn is known to listen elsewhere; less surely when requests are cut and the next ones refused.",
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
    leaves: Leaves::BySymptom,
    marks: &[Mark::FinalAlone],
    judge,
    example: r#"2026/03/04 09:15:02 [crit] 411#411: *7 connect() to unix:/run/shop/web.sock failed (2: No such file or directory) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://unix:/run/shop/web.sock:/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 open() "/srv/shop/static/a.css" failed (2: No such file or directory), client: 198.51.100.20, server: shop.test, request: "GET /static/a.css HTTP/1.1", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if case.is_request() && case.is_cut_off() && case.instance.is_none() && refused_after(case) {
        return Claim::with(0.55, vec![conclusion("it refused connections right after: the whole server went away")]);
    }
    if !case.is_request() || !case.is_refused() {
        return None;
    }
    let Some(instance) = case.instance else {
        return Claim::of(if case.is_unix() && case.symptom == Symptom::ConnectRefused { 0.4 } else { 0.96 });
    };
    let stopped = instance.before(case.at).filter(|change| matches!(change.phase, Phase::Down(_) | Phase::Stopping));
    match stopped {
        Some(change) if matches!(change.phase, Phase::Down(Down::ShutDown) | Phase::Stopping) => Claim::with(
            0.93,
            vec![change.quote.clone(), conclusion("it did not come back while this request was looked at")],
        ),
        Some(change) => Claim::with(0.3, vec![change.quote.clone()]),
        None if case.address >= AddressMatch::Maybe && instance.serves(case.at) => Claim::of(0.35),
        None if case.address == AddressMatch::No => Claim::of(if case.others_are_served(30) { 0.9 } else { 0.25 }),
        // Its workers have sockets of their own, and its log says that it is there.
        None if instance.reuse_port && instance.serves(case.at) => Claim::of(0.35),
        None => Claim::of(0.94),
    }
}

/// Requests were cut and the next ones refused: not one worker but the server that listens is gone.
fn refused_after(case: &Case<'_>) -> bool {
    case.failures_around(Symptom::ConnectRefused, 2).any(|failure| failure.at.to >= case.at.from)
}
