//! Where a request came from, off the wire or out of the journal, and when.
//!
//! With a journal the engine's time is that of the requests: it comes to what it came to before when they are replayed with
//! the times at which they came. So while one that came is being written to the disk, time does not go on past it.

use super::Route;
use crate::clock;
use crate::exporter::Outlet;
use crate::journal::Account;
use crate::read::evidence::Nanos;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its place in the journal, where it is in there.
    pub position: Option<u64>,
    /// When it came, where it is in the journal.
    pub arrived: Option<Nanos>,
    /// It came before the start.
    pub is_replayed: bool,
}

impl Origin {
    /// Of what somebody else has delivered or will deliver: it explains others, and goes nowhere.
    pub(super) const ELSEWHERE: Origin = Origin { position: None, arrived: None, is_replayed: true };

    /// Whether it is such a one.
    pub(super) fn is_elsewhere(self) -> bool {
        self == Origin::ELSEWHERE
    }
}

/// Requests that came and that the engine has not been told of.
#[derive(Debug, Default)]
pub(super) struct Taking {
    arrivals: Mutex<Arrivals>,
}

#[derive(Debug, Default)]
struct Arrivals {
    /// The second number tells those apart that came at the same time.
    all: BTreeSet<(Nanos, u64)>,
    count: u64,
}

impl Taking {
    /// One comes, now. Until what is returned is dropped, time does not go on past it.
    pub(super) fn begin(&self) -> Taken<'_> {
        let mut arrivals = self.arrivals();
        // Read under the lock: nobody sees a later time without this one.
        let arrived = clock::now();
        arrivals.count += 1;
        let key = (arrived, arrivals.count);
        arrivals.all.insert(key);
        Taken { taking: self, key }
    }

    /// The time of the clock, or that at which the oldest of them came.
    pub(super) fn now(&self) -> Nanos {
        let arrivals = self.arrivals();
        let now = clock::now();
        arrivals.all.first().map_or(now, |(oldest, _)| now.min(*oldest))
    }

    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of [`Taking`].
pub(super) struct Taken<'t> {
    taking: &'t Taking,
    key: (Nanos, u64),
}

impl Taken<'_> {
    /// When it came.
    pub(super) fn arrived(&self) -> Nanos {
        self.key.0
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.taking.arrivals().all.remove(&self.key);
    }
}

/// Backends with a part of the journal, and how many pieces of a request go to each.
pub(super) fn pieces(route: &Route, explained: usize) -> Vec<(usize, u32)> {
    counted(route, explained, |account| account.journal().map(|(_, backend)| backend))
}

/// The same of those that get what comes out of topics.
pub(super) fn pieces_of_topics(route: &Route, explained: usize) -> Vec<(usize, u32)> {
    counted(route, explained, Account::of_topics)
}

fn counted(route: &Route, explained: usize, backend: impl Fn(&Account) -> Option<usize>) -> Vec<(usize, u32)> {
    let explained = u32::try_from(explained).unwrap_or(u32::MAX);
    let of = |outlets: &[Arc<dyn Outlet>], count: u32| {
        let backends = outlets.iter().filter_map(|outlet| outlet.account().and_then(&backend));
        backends.map(|backend| (backend, count)).collect::<Vec<(usize, u32)>>()
    };
    let mut pieces = of(&route.explained, explained);
    pieces.extend(of(&route.plain, 1));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_waits_for_what_is_being_taken() {
        let taking = Taking::default();
        let (first, second) = (taking.begin(), taking.begin());
        assert_eq!(taking.now(), first.arrived());
        let at = second.arrived();
        drop(first);
        assert_eq!(taking.now(), at);
        drop(second);
        assert!(taking.now() >= at && taking.arrivals().all.is_empty());
    }
}
