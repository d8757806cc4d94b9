//! What the engine waits for, and how long.

use super::sites::SiteRef;
use super::verdict::Ticket;
use crate::read::evidence::{Nanos, SECOND};
use std::collections::BTreeMap;

/// Why the engine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A request is due for its verdict.
    Verdict,
    /// A held record or span that is part of no request may go on.
    Release,
    /// A process ended, and no request has shown up that its end explains.
    Standalone,
    /// A decided request is forgotten.
    Forget,
    /// An incident is told of again, or closes.
    Incident,
}

/// What falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A request is due for its verdict, or for another look at it.
    Request(SiteRef, u64),
    /// A request whose last line may have come: perhaps nothing can change its verdict any more.
    Settle(SiteRef, u64),
    /// The requests of a site that came in a crowd. One timer for all of them.
    Crowd(SiteRef),
    /// Good requests of a site are due for their link. One timer for all of them.
    Good(SiteRef),
    /// A held record that is part of no request may go on.
    Ticket(Ticket),
    /// A held span may go on, unless a request that opened later is still open and may be its own.
    Span(SiteRef, u64),
    /// A worker's end that no request joined: its place among all deaths ever seen at its site.
    Death(SiteRef, usize),
    /// A Gunicorn went down: its stream and the record.
    Phase(SiteRef, u64, Ticket),
    /// A line about a process.
    Host(SiteRef, Ticket),
    /// Decided requests of a site are forgotten. One timer for all of them: in a storm most are forgotten long before.
    Forget(SiteRef),
    /// Open incidents are looked at. One timer for all of them.
    Incidents,
}

impl Timer {
    /// What it is for, without whom.
    fn wake(self) -> Wake {
        match self {
            Timer::Request(..) | Timer::Settle(..) | Timer::Crowd(_) | Timer::Good(_) => Wake::Verdict,
            Timer::Ticket(_) | Timer::Span(..) => Wake::Release,
            Timer::Death(..) | Timer::Phase(..) | Timer::Host(..) => Wake::Standalone,
            Timer::Forget(_) => Wake::Forget,
            Timer::Incidents => Wake::Incident,
        }
    }
}

/// How long each kind of thing waits, counted from when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delays {
    /// A request for its verdict, and a late record for its request.
    pub(super) verdict: Nanos,
    /// A worker's end for a request that it explains: requests that came with it are decided before.
    pub(super) death: Nanos,
    /// A Gunicorn that went down: after the ends of its workers, which may tell of it.
    pub(super) phase: Nanos,
    /// A line about a process: after what Gunicorn itself said.
    pub(super) host: Nanos,
    /// A held record that nothing took: after all that could have.
    pub(super) record: Nanos,
}

/// Another look at a decided request, for which more evidence came: so long after it, because lines come in groups.
pub(super) const REVISIT: Nanos = SECOND;

impl Delays {
    pub(super) fn of_hold(hold: Nanos) -> Delays {
        let after = |seconds: Nanos| hold.saturating_add(seconds * SECOND);
        Delays { verdict: hold, death: after(2), phase: after(3), host: after(4), record: after(5) }
    }
}

/// Names one timer that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimerKey(Nanos, u64);

/// Timers in the order in which they fall due; those of one moment in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    running: BTreeMap<(Nanos, u64), Timer>,
    next: u64,
}

impl Timers {
    pub(super) fn set(&mut self, due: Nanos, timer: Timer) -> TimerKey {
        let key = (due, self.next);
        self.next += 1;
        self.running.insert(key, timer);
        TimerKey(key.0, key.1)
    }

    /// Forgets one, if it still runs.
    pub(super) fn cancel(&mut self, key: TimerKey) {
        self.running.remove(&(key.0, key.1));
    }

    /// The first that is due, with when it was.
    pub(super) fn pop_due(&mut self, now: Nanos) -> Option<(Nanos, Timer)> {
        let first = self.running.first_entry()?;
        let due = first.key().0;
        (due <= now).then(|| (due, first.remove()))
    }

    /// When the first falls due, and why.
    pub(super) fn next_due(&self) -> Option<(Nanos, Wake)> {
        self.running.first_key_value().map(|((due, _), timer)| (*due, timer.wake()))
    }

    /// All that run, in order; none run afterwards.
    pub(super) fn take(&mut self) -> Vec<(Nanos, Timer)> {
        std::mem::take(&mut self.running).into_iter().map(|((due, _), timer)| (due, timer)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fall_due_in_order_and_not_after_they_were_cancelled() {
        let mut timers = Timers::default();
        let ticket = |number| Timer::Ticket(Ticket(number));
        timers.set(20, ticket(1));
        let cancelled = timers.set(10, ticket(2));
        timers.set(10, ticket(3));
        timers.cancel(cancelled);
        timers.cancel(cancelled);
        assert_eq!(timers.next_due(), Some((10, Wake::Release)));
        assert_eq!(timers.pop_due(9), None);
        assert_eq!(timers.pop_due(30), Some((10, ticket(3))));
        assert_eq!(timers.pop_due(30), Some((20, ticket(1))));
        assert_eq!(timers.pop_due(30), None);
    }
}
