//! Where the records behind tickets stand: file, line and text.

use crate::engine::verdict::{Source, Ticket, Verdict};
use crate::page::rows::Line;
use crate::read::evidence::Nanos;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Records remembered after the engine let go of them: a verdict may still quote them (`Listening at`, a worker's end
/// that explains several requests).
const RECENT_MAX: usize = 65_536;

/// Where one record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// When it was written, by the clock of nginx; `None` where no stamp is known.
    pub at: Option<Nanos>,
    /// The file as it was named on the command line.
    pub file: Arc<str>,
    /// Line number, from 1.
    pub line: u64,
    /// The line as it stands in the file, cut at a few KiB; empty where no report shows it.
    pub text: String,
}

impl Place {
    /// The line as reports show it.
    pub fn shown(&self) -> Line<'_> {
        Line { at: self.at, place: format!("{}:{}", self.file, self.line).into(), text: &self.text }
    }
}

/// Where the records of one verdict stand.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<(Ticket, Arc<Place>)>);

impl Places {
    /// Where a record stands, if that is still known.
    pub fn get(&self, ticket: Ticket) -> Option<&Place> {
        self.0.iter().find(|(of, _)| *of == ticket).map(|(_, place)| place.as_ref())
    }
}

/// Where the records stand that a verdict may name. Bounded by what the engine holds and `RECENT_MAX`.
#[derive(Debug, Default)]
pub struct Remembered {
    by_ticket: HashMap<Ticket, Arc<Place>, BuildHasherDefault<TicketHasher>>,
    recent: VecDeque<Ticket>,
}

impl Remembered {
    /// Remembers a record.
    pub fn keep(&mut self, ticket: Ticket, place: Arc<Place>) {
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

    /// Where one record stands.
    pub fn place(&self, ticket: Ticket) -> Option<Arc<Place>> {
        self.by_ticket.get(&ticket).cloned()
    }

    /// The places of these records.
    pub fn of_records(&self, records: &[(Source, Ticket)]) -> Places {
        let known = |ticket: Ticket| self.by_ticket.get(&ticket).map(|place| (ticket, Arc::clone(place)));
        Places(records.iter().filter_map(|(_, ticket)| known(*ticket)).collect())
    }

    /// The places of all records that a verdict names.
    pub fn of(&self, verdict: &Verdict) -> Places {
        let mut places = Places(Vec::with_capacity(verdict.records.len()));
        let quoted = verdict.evidence.iter().filter_map(|quote| quote.ticket);
        for ticket in verdict.records.iter().map(|(_, ticket)| *ticket).chain(quoted) {
            if let Some(place) = self.by_ticket.get(&ticket)
                && places.get(ticket).is_none()
            {
                places.0.push((ticket, Arc::clone(place)));
            }
        }
        places
    }
}

/// Tickets are numbered by this program, so nobody can choose any that collide.
#[derive(Debug, Default)]
struct TicketHasher(u64);

impl Hasher for TicketHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: the upper bits, of which the map takes its tags, differ too.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}
