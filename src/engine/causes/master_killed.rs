//! A stale unix socket: the primary process died without cleaning up.

use super::{Case, Category, Cause, Claim, Elsewhere, Family, Leaves, Origin, Rule, Standing, Symptoms, Trigger};
use crate::engine::case::conclusion;
use crate::engine::correlate::gunicorn::{Down, Phase};
use crate::read::evidence::Symptom;

const LOST_ALONE: Rule = Rule::new("master_killed.lost_alone", Standing::Strong);
const LOST: Rule = Rule::new("master_killed.lost", Standing::Proof);
const VANISHED: Rule = Rule::new("master_killed.vanished", Standing::Strong);
const STOPPING: Rule = Rule::new("master_killed.stopping", Standing::Possible);
const STALE: Rule = Rule::new("master_killed.stale_socket", Standing::Proof);

pub static CAUSE: Cause = Cause {
    id: "master_killed",
    category: Category::Unreachable,
    summary: "Gunicorn's primary process died without cleaning up; its socket is left and nobody listens on it",
    when: "A unix socket refuses connections although its file is there, the workers wrote `Parent changed`, or requests are cut and the next ones refused while the log of the Gunicorn at this address says nothing of a stop.",
    hint: "Start Gunicorn again (it replaces the stale socket) and find out who killed it: `journalctl -k` for the OOM killer, `systemctl status` for the unit; let systemd restart it.",
    elsewhere: Some(Elsewhere {
        summary: "the main process of {} died without cleaning up; its socket is left and nobody listens on it",
        hint: "Start it again and find out who killed it: `journalctl -k` for the OOM killer, `systemctl status` for the unit; let systemd restart it.",
    }),
    facts: "A unix socket file without a listener is refused with errno 111, a removed one with errno 2. Gunicorn unlinks the file when it stops (gunicorn/sock.py), so a file that is left means that it could not. Workers notice at their next turn: `Parent changed, shutting down` (gunicorn/workers/base.py).",
    links: &[
        "https://docs.gunicorn.org/en/stable/deploy.html#systemd",
        "https://man7.org/linux/man-pages/man7/unix.7.html",
    ],
    explains: Symptoms::REFUSED.or(Symptoms::CUT_OFF),
    origin: Origin::of(Family::Server),
    leaves: Leaves::BySymptom,
    marks: &[],
    rules: &[LOST_ALONE, LOST, VANISHED, STOPPING, STALE],
    judge,
    example: r#"2026/03/04 09:20:11 [error] 411#411: *19 connect() to unix:/run/shop/web.sock failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://unix:/run/shop/web.sock:/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:20:11 [crit] 411#411: *19 connect() to unix:/run/shop/web.sock failed (2: No such file or directory) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://unix:/run/shop/web.sock:/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Phase(change) = case.trigger {
        return if change.phase == Phase::Down(Down::MasterLost) {
            Claim::with(LOST_ALONE, vec![change.quote.clone()])
        } else {
            None
        };
    }
    let lost = case.phase_before(|phase| matches!(phase, Phase::Down(Down::MasterLost) | Phase::Listening));
    let lost = lost.filter(|change| change.phase == Phase::Down(Down::MasterLost));
    if let (Some(change), true) = (lost, case.is_refused() || case.is_cut_off()) {
        return Claim::with(LOST, vec![change.quote.clone()]);
    }
    if case.is_cut_off() && case.violent_death().is_none() && vanished(case) {
        return Claim::with(
            VANISHED,
            vec![conclusion("it refused connections right after, and its log says nothing of a stop")],
        );
    }
    let stale = case.symptom == Symptom::ConnectRefused && case.is_unix();
    if !stale {
        return None;
    }
    let stopping = case
        .instance
        .and_then(|instance| instance.before(case.at))
        .is_some_and(|change| matches!(change.phase, Phase::Stopping | Phase::Down(_) | Phase::Starting));
    Claim::of(if stopping { STOPPING } else { STALE })
}

/// Requests were cut and the next ones refused, while the log of the Gunicorn at this address is silent.
fn vanished(case: &Case<'_>) -> bool {
    case.gunicorn_is_there()
        && case.failures_around(Symptom::ConnectRefused, 3).any(|failure| failure.at.to >= case.at.from)
}
