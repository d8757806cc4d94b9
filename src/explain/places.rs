//! Where the records behind tickets stand: file, line and text.

use crate::engine::verdict::Ticket;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Records remembered after the engine let go of them: a verdict may still quote them (`Listening at`, a worker's end
/// that explains several requests).
const RECENT_MAX: usize = 65_536;

/// Where one record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named on the command line.
    pub file: Arc<str>,
    /// Line number, from 1.
    pub line: u64,
    /// The line as it stands in the file, cut at a few KiB.
    pub text: String,
}

/// Where the records behind tickets stand. Bounded by what the engine holds and `RECENT_MAX`.
#[derive(Debug, Default)]
pub struct Places {
    by_ticket: HashMap<Ticket, Place>,
    recent: VecDeque<Ticket>,
}

impl Places {
    /// Remembers a record.
    pub fn keep(&mut self, ticket: Ticket, place: Place) {
        self.by_ticket.insert(ticket, place);
    }

    /// The engine let go of it: it is remembered a while longer.
    pub fn released(&mut self, ticket: Ticket) {
        if self.recent.len() == RECENT_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.by_ticket.remove(&oldest);
        }
        self.recent.push_back(ticket);
    }

    /// Where a record stands, if it is remembered.
    pub fn get(&self, ticket: Ticket) -> Option<&Place> {
        self.by_ticket.get(&ticket)
    }
}
