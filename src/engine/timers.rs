//! What the engine waits for.

use super::verdict::Ticket;

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
}

/// What falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A request is due for its verdict.
    Request(u64),
    /// A held record that is part of no request may go on.
    Ticket(Ticket),
    /// A held span may go on, unless a request that opened later is still open and may be its own.
    Span(u64),
    /// A worker's end that no request joined: its place among all deaths ever seen.
    Death(usize),
    /// A Gunicorn went down: its stream and the record.
    Phase(u64, Ticket),
    /// A line about a process.
    Host(Ticket),
    /// A decided request is forgotten.
    Forget(u64),
}

impl Timer {
    /// What it is for, without whom.
    pub(super) fn wake(self) -> Wake {
        match self {
            Timer::Request(_) => Wake::Verdict,
            Timer::Ticket(_) | Timer::Span(_) => Wake::Release,
            Timer::Death(_) | Timer::Phase(..) | Timer::Host(_) => Wake::Standalone,
            Timer::Forget(_) => Wake::Forget,
        }
    }
}
