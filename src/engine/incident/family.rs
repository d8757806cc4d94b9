//! Which causes can have one origin.
//!
//! A cause either names an origin of its own kind (its family), or it is what several kinds of origin look like from
//! nginx: nothing listens, a connection was closed and nothing says why. The first joins what is of its family, the second
//! what is of any family that it may be of. A cause without a row is a family by itself: what is not known to belong
//! together is told apart.

use crate::engine::causes::{self, Cause};

/// Kinds of origin that several causes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// The application server is not there: it stops, starts, cannot start, or died.
    Server,
    /// Its workers are all busy: something that they wait for does not answer.
    Busy,
    /// Workers are killed from outside: memory, an operator, a supervisor.
    Killed,
    /// Workers crash.
    Crashed,
    /// The application ends its workers.
    Exited,
    /// Workers that are recycled leave connections behind.
    Recycled,
    /// The network between nginx and the application server.
    Network,
    /// nginx may not connect.
    Denied,
    /// nginx itself has run out of something.
    Limits,
    /// nginx and the upstream disagree about TLS.
    Tls,
    /// What answers does not speak HTTP as nginx expects it.
    NotHttp,
}

use Family::{Busy, Crashed, Denied, Exited, Killed, Limits, Network, NotHttp, Recycled, Server, Tls};

/// Bits that families with several causes take; each other cause has one behind them.
const FAMILIES: u32 = 16;

/// How far from the origin a cause is: of those in one incident the one with the smallest depth names it.
pub(super) type Depth = u8;
/// It is an origin.
const ORIGIN: Depth = 0;
/// It is what an origin of its family leads to.
const FOLLOWS: Depth = 1;
/// It is what a cause that follows leads to.
const FOLLOWS_LATE: Depth = 2;
/// It says what happened and not why.
const SAYS_NO_REASON: Depth = 3;

/// Where a worker's end or the server's looks the same to nginx.
const ENDS: &[Family] = &[Server, Busy, Killed, Crashed, Exited, Recycled];
/// Where nobody listens: a restart, or the end of all workers.
const NOBODY: &[Family] = &[Server, Killed, Crashed, Exited, Recycled];
/// What has nginx set a server of a group aside.
const SET_ASIDE: &[Family] = &[Server, Busy, Killed, Crashed, Exited, Recycled, Network, Denied, Tls, NotHttp];

/// Which families a cause may be of, and how deep it stands.
static ROWS: &[(&Cause, &[Family], Depth)] = &[
    (&causes::worker_boot_failed::CAUSE, &[Server], ORIGIN),
    (&causes::app_load_failed::CAUSE, &[Server], ORIGIN),
    (&causes::bind_failed::CAUSE, &[Server], ORIGIN),
    (&causes::arbiter_crashed::CAUSE, &[Server], ORIGIN),
    (&causes::master_killed::CAUSE, &[Server], ORIGIN),
    (&causes::upstream_address_mismatch::CAUSE, &[Server], ORIGIN),
    // A deploy restarts the server; where the new release cannot start, that is the origin.
    (&causes::gunicorn_restarting::CAUSE, &[Server], FOLLOWS),
    (&causes::gunicorn_not_running::CAUSE, NOBODY, SAYS_NO_REASON),
    (&causes::no_live_upstreams::CAUSE, SET_ASIDE, SAYS_NO_REASON),
    (&causes::worker_timeout::CAUSE, &[Busy], ORIGIN),
    (&causes::slow_request::CAUSE, &[Busy], ORIGIN),
    (&causes::workers_saturated::CAUSE, &[Busy], FOLLOWS),
    (&causes::listen_backlog_full::CAUSE, &[Busy], FOLLOWS_LATE),
    (&causes::worker_oom_killed::CAUSE, &[Killed], ORIGIN),
    (&causes::worker_killed::CAUSE, &[Killed], FOLLOWS),
    (&causes::worker_crashed::CAUSE, &[Crashed], ORIGIN),
    (&causes::worker_exited::CAUSE, &[Exited], ORIGIN),
    (&causes::worker_recycled::CAUSE, &[Recycled], ORIGIN),
    (&causes::reuse_port_recycled::CAUSE, &[Recycled], ORIGIN),
    (&causes::worker_died::CAUSE, ENDS, SAYS_NO_REASON),
    (&causes::upstream_closed_early::CAUSE, ENDS, SAYS_NO_REASON),
    (&causes::host_unreachable::CAUSE, &[Network], ORIGIN),
    (&causes::network_unreachable::CAUSE, &[Network], ORIGIN),
    (&causes::connect_timeout::CAUSE, &[Network], ORIGIN),
    (&causes::socket_permission_denied::CAUSE, &[Denied], ORIGIN),
    (&causes::security_policy_denied::CAUSE, &[Denied], ORIGIN),
    (&causes::nginx_files_exhausted::CAUSE, &[Limits], ORIGIN),
    (&causes::nginx_connections_exhausted::CAUSE, &[Limits], ORIGIN),
    (&causes::tls_to_plain_port::CAUSE, &[Tls], ORIGIN),
    (&causes::plain_to_tls_port::CAUSE, &[Tls], ORIGIN),
    (&causes::tls_handshake_failed::CAUSE, &[Tls], FOLLOWS),
    (&causes::tls_certificate_rejected::CAUSE, &[Tls], ORIGIN),
    (&causes::not_http_upstream::CAUSE, &[NotHttp], ORIGIN),
    (&causes::response_header_invalid::CAUSE, &[NotHttp], FOLLOWS),
];

/// The families that an incident may still be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    families: u128,
    /// A cause in it names its family.
    settled: bool,
}

impl Scope {
    /// That of one cause, with how deep it stands.
    pub(super) fn of(cause: &'static Cause) -> (Scope, Depth) {
        if let Some((_, families, depth)) = ROWS.iter().find(|(known, ..)| *known == cause) {
            let bits = families.iter().fold(0, |bits, family| bits | 1 << *family as u32);
            return (Scope { families: bits, settled: families.len() == 1 }, *depth);
        }
        let number = causes::all().iter().position(|known| *known == cause).unwrap_or_default();
        (Scope { families: 1 << (FAMILIES + number as u32).min(u128::BITS - 1), settled: true }, ORIGIN)
    }

    /// That of both together; `None` where they cannot have one origin.
    pub(super) fn with(self, other: Scope) -> Option<Scope> {
        let families = self.families & other.families;
        (families != 0).then_some(Scope { families, settled: self.settled || other.settled })
    }

    /// True when a cause in it names its family.
    pub(super) fn is_settled(self) -> bool {
        self.settled
    }

    /// True when a process that starts may be its end.
    pub(super) fn is_of_process(self) -> bool {
        ENDS.iter().any(|family| self.families & 1 << *family as u32 != 0)
    }

    /// True when its end is the start of a server that was not there.
    pub(super) fn is_of_server(self) -> bool {
        self.families & 1 << Server as u32 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(one: &str, other: &str) -> bool {
        let scope = |id: &str| Scope::of(causes::by_id(id).expect(id)).0;
        scope(one).with(scope(other)).is_some()
    }

    #[test]
    fn what_may_have_one_origin() {
        for (one, other) in [
            ("worker_timeout", "workers_saturated"),
            ("worker_boot_failed", "gunicorn_not_running"),
            ("gunicorn_restarting", "worker_boot_failed"),
            ("worker_oom_killed", "worker_killed"),
            ("worker_oom_killed", "gunicorn_not_running"),
            ("worker_crashed", "worker_died"),
            ("worker_died", "gunicorn_not_running"),
            ("no_live_upstreams", "connect_timeout"),
            ("app_returned_error", "app_returned_error"),
        ] {
            assert!(join(one, other) && join(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("slow_request", "gunicorn_not_running"),
            ("client_closed_request", "workers_saturated"),
            ("client_closed_request", "worker_died"),
            ("unknown", "worker_died"),
            ("app_returned_error", "slow_request"),
            ("worker_crashed", "worker_exited"),
            ("dns_failure", "host_unreachable"),
            ("response_truncated", "worker_killed"),
        ] {
            assert!(!join(one, other) && !join(other, one), "{one} {other}");
        }
    }

    #[test]
    fn what_says_no_reason_settles_nothing() {
        let scope = |id: &str| Scope::of(causes::by_id(id).expect(id)).0;
        let both = scope("worker_died").with(scope("gunicorn_not_running")).expect("both");
        assert!(!both.is_settled());
        assert!(both.with(scope("worker_timeout")).is_none(), "nobody listens: it was not busy");
        let crashed = both.with(scope("worker_crashed")).expect("crashed");
        assert!(crashed.is_settled() && crashed.with(scope("worker_exited")).is_none());
    }

    #[test]
    fn each_row_stands_once_and_each_cause_has_a_bit_of_its_own() {
        let ids: std::collections::BTreeSet<&str> = ROWS.iter().map(|(cause, ..)| cause.id).collect();
        assert_eq!(ids.len(), ROWS.len());
        assert!(causes::all().len() + (FAMILIES as usize) < u128::BITS as usize);
        assert!((NotHttp as u32) < FAMILIES);
    }
}
