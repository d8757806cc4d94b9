//! Incidents: verdicts of one outage, told as one story.
//!
//! A verdict is of a request; an operator has an outage. Every verdict belongs to exactly one incident, from its first
//! revision on. It joins an open one where three things fit, and begins its own where none does:
//!
//! | what | rule | why |
//! |---|---|---|
//! | application | they share an upstream of one nginx, a Gunicorn's log, or a service (`trail.rs`) | two services never have one incident, whatever they have in common |
//! | family | their causes can have one origin (`family.rs`) | a slow URL explains no dead socket; a worker that timed out explains a full queue |
//! | time | it failed within [`QUIET`] of the first or last failure, and nothing shows that the server had recovered before it (`ended.rs`) | a second outage is a second story |
//!
//! The **origin** is the cause that the others follow from: of those that name an origin the one that failed first. It may
//! become clearer while the incident lasts: a restart that turns out to be a release which cannot start. The uid stays.
//!
//! Bounds: open incidents, keys of each count, examples; one timer for all of them. The same verdicts in the same order
//! give the same incidents with the same uids.

mod ended;
mod example;
pub mod family;
mod open;
mod route;
mod sentence;
mod story;
mod tally;
mod trail;

pub use ended::Ended;
pub use example::Example;
pub use route::route;
pub use story::{Heard, Stories, Story};
pub use tally::{Counts, Tally};

pub(super) use open::Incidents;
pub(super) use trail::Trail;

use super::causes::Cause;
use super::verdict::Quote;
use super::words::Peer;
use crate::read::evidence::{Nanos, SECOND};
use std::borrow::Cow;
use std::sync::Arc;

/// Failures further apart than this are two incidents: one and a half of nginx's default timers of 60 s, by which the
/// requests of one outage come one after the other.
pub const QUIET: Nanos = 90 * SECOND;
/// An open incident that grows is told of again after so long; when its count has doubled, at once.
pub const TOLD_AGAIN: Nanos = 10 * SECOND;
/// Examples of one incident.
pub const EXAMPLES_MAX: usize = 3;

/// What stands of its incident on a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// 32 hexadecimal digits: `why502.incident.uid`.
    pub uid: String,
    /// The cause that the others follow from, as far as it was known then: `why502.incident.origin`.
    pub origin: &'static Cause,
    /// The application server that it is about.
    pub peer: Peer,
    /// What to do, where the failure that names the origin asks for something of its own.
    pub asks: Option<&'static str>,
}

impl Label {
    /// What happened, half a sentence.
    pub fn summary(&self) -> Cow<'static, str> {
        self.peer.summary(self.origin)
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        self.asks.unwrap_or_else(|| self.peer.hint(self.origin))
    }
}

/// What became of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its first failure was judged.
    Opened,
    /// More failures joined it, or its origin became clearer.
    Changed,
    /// Nothing joins it any more.
    Closed,
}

impl State {
    /// All of them.
    pub const ALL: [State; 3] = [State::Opened, State::Changed, State::Closed];

    /// The word of the contract (`why502.incident.state`).
    pub fn id(self) -> &'static str {
        match self {
            State::Opened => "opened",
            State::Changed => "changed",
            State::Closed => "closed",
        }
    }
}

/// Failures with one origin, as they are known at one moment.
#[derive(Clone, Debug)]
pub struct Incident {
    /// Its uid and its origin.
    pub label: Arc<Label>,
    /// 0, raised each time that it is told of.
    pub revision: u32,
    /// What became of it.
    pub state: State,
    /// When its first request failed.
    pub first: Nanos,
    /// When its last request failed, so far.
    pub last: Nanos,
    /// Its failures, counted.
    pub tally: Tally,
    /// What its origin asked of the application first: method and route; `None` where no request of it is known.
    pub began_with: Option<String>,
    /// The most telling words about its origin.
    pub evidence: Option<Quote>,
    /// Some of its failures, those with a trace first, each cause before a second of the same.
    pub examples: Vec<Example>,
    /// What ended it; `None` while it is open.
    pub ended: Option<Ended>,
}
