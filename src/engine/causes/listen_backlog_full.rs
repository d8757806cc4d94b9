//! The queue of connections that wait for `accept` is full.

use super::{Case, Category, Cause, Claim, Depth, Elsewhere, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms, Trigger};
use crate::engine::case::{conclusion, host_quote};
use crate::read::evidence::{Host, ServerEvent, Symptom};

const SAID: Rule = Rule::new("listen_backlog_full.said", Standing::Proof);
const LISTENS: Rule = Rule::new("listen_backlog_full.gunicorn_listens", Standing::Strong);
const TIMED_OUT: Rule = Rule::new("listen_backlog_full.connect_timed_out", Standing::Hint);
const SERVER_ALONE: Rule = Rule::new("listen_backlog_full.server_alone", Standing::Strong);

pub static CAUSE: Cause = Cause {
    id: "listen_backlog_full",
    category: Category::Capacity,
    summary: "Gunicorn's listen queue is full: its workers do not take connections as fast as they come",
    when: "nginx logs errno 11 for a unix socket; or the connection was not made in time while Gunicorn's log says that it listens at this address; or uWSGI says that its queue is full, and no log of nginx is there.",
    hint: "Give Gunicorn more workers or threads and make slow requests faster; raise `--backlog` together with `net.core.somaxconn` only to ride out short peaks.",
    elsewhere: Some(Elsewhere {
        summary: "the listen queue of {} is full: its workers do not take connections as fast as they come",
        hint: "Give it more workers or threads and make slow requests faster; raise its backlog together with `net.core.somaxconn` only to ride out short peaks.",
    }),
    facts: "On Linux a full queue of a unix socket fails a non-blocking connect at once with errno 11; of a TCP socket it drops SYNs, so that nginx's connect timer runs out. Gunicorn writes nothing about it.",
    links: &[
        "https://docs.gunicorn.org/en/stable/settings.html#backlog",
        "https://man7.org/linux/man-pages/man2/listen.2.html",
    ],
    explains: Symptoms::of(&[Symptom::ConnectBacklogFull, Symptom::ConnectTimedOut]),
    origin: Origin::after(Family::Busy, Depth::FollowsLate),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[SAID, LISTENS, TIMED_OUT, SERVER_ALONE],
    judge,
    example: r#"2026/03/04 09:15:02 [error] 411#411: *7 connect() to unix:/run/shop/web.sock failed (11: Resource temporarily unavailable) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://unix:/run/shop/web.sock:/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [error] 411#411: *7 upstream timed out (110: Connection timed out) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if let Trigger::Host(host) = case.trigger {
        let is_alone = !case.has_error_log() && !case.has_access_log();
        let is_full = matches!(host.seen.what, Host::Server { event: ServerEvent::QueueFull, .. });
        return (is_alone && is_full).then(|| Claim::with(SERVER_ALONE, vec![host_quote(host)]))?;
    }
    if !case.is_request() {
        return None;
    }
    match case.symptom {
        Symptom::ConnectBacklogFull => Claim::of(SAID),
        Symptom::ConnectTimedOut if case.gunicorn_is_there() => {
            let mut quotes: Vec<_> =
                case.instance.and_then(|instance| instance.listening.clone()).into_iter().collect();
            quotes.push(conclusion("Gunicorn listens on this address and does not take the connection"));
            Claim::with(LISTENS, quotes)
        }
        Symptom::ConnectTimedOut => Claim::of(TIMED_OUT),
        _ => None,
    }
}
