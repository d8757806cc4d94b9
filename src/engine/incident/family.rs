//! Which causes can have one origin: what the row of a cause says of it ([`Origin`]), and what an incident is of (`Scope`).
//!
//! A cause either names an origin of its own kind (its family), or it is what several kinds of origin look like from
//! nginx: nothing listens, a connection was closed and nothing says why. The first joins what is of its family, the second
//! what is of any family that it may be of. One that names none is a family by itself ([`Origin::ITS_OWN`]): what is not
//! known to belong together is told apart.

use crate::engine::causes::{self, Cause};

/// Kinds of origin that several causes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
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

/// How far from the origin a cause is: of those in one incident the one that is nearest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// It is an origin.
    Origin,
    /// It is what an origin of its family leads to.
    Follows,
    /// It is what a cause that follows leads to.
    FollowsLate,
    /// It says what happened and not why.
    SaysNoReason,
}

/// Which incidents a cause may be of.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The families; none where it is one by itself.
    families: &'static [Family],
    /// Where it stands in them.
    depth: Depth,
}

use Family::{Busy, Crashed, Denied, Exited, Killed, Network, NotHttp, Recycled, Server, Tls};

impl Origin {
    /// A family by itself.
    pub const ITS_OWN: Origin = Origin { families: &[], depth: Depth::Origin };
    /// Where a worker's end or the server's looks the same to nginx.
    pub const ENDS: &[Family] = &[Server, Busy, Killed, Crashed, Exited, Recycled];
    /// Where nobody listens: a restart, or the end of all workers.
    pub const NOBODY: &[Family] = &[Server, Killed, Crashed, Exited, Recycled];
    /// What has nginx set a server of a group aside.
    pub const SET_ASIDE: &[Family] = &[Server, Busy, Killed, Crashed, Exited, Recycled, Network, Denied, Tls, NotHttp];

    /// An origin of this family.
    pub const fn of(family: Family) -> Origin {
        Origin::after(family, Depth::Origin)
    }

    /// What an origin of this family leads to.
    pub const fn after(family: Family, depth: Depth) -> Origin {
        Origin { families: family.alone(), depth }
    }

    /// One that says no reason: it looks the same whichever of these it was.
    pub const fn any(families: &'static [Family]) -> Origin {
        Origin { families, depth: Depth::SaysNoReason }
    }
}

impl Family {
    const fn alone(self) -> &'static [Family] {
        const ALL: [Family; 11] = [
            Family::Server,
            Family::Busy,
            Family::Killed,
            Family::Crashed,
            Family::Exited,
            Family::Recycled,
            Family::Network,
            Family::Denied,
            Family::Limits,
            Family::Tls,
            Family::NotHttp,
        ];
        let (_, from) = ALL.split_at(self as usize);
        let (one, _) = from.split_at(1);
        one
    }
}

/// Bits that families with several causes take; each other cause has one behind them.
const FAMILIES: u32 = 16;

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
        let Origin { families, depth } = cause.origin;
        if families.is_empty() {
            let number = causes::all().iter().position(|known| *known == cause).unwrap_or_default();
            return (Scope { families: 1 << (FAMILIES + number as u32).min(u128::BITS - 1), settled: true }, depth);
        }
        let bits = families.iter().fold(0, |bits, family| bits | 1 << *family as u32);
        (Scope { families: bits, settled: families.len() == 1 }, depth)
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
        Origin::ENDS.iter().any(|family| self.families & 1 << *family as u32 != 0)
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
    fn each_family_and_each_cause_has_a_bit_of_its_own() {
        for family in Origin::SET_ASIDE.iter().chain([&Family::Limits]) {
            assert_eq!(family.alone(), [*family]);
        }
        assert!(causes::all().len() + (FAMILIES as usize) < u128::BITS as usize);
        assert!((NotHttp as u32) < FAMILIES);
    }
}
