//! What is delivered: for each backend how many pieces of each request are still on their way.
//!
//! ```text
//!            base                                   next
//!  position  │ 17    18       19    20      21      │
//!  pieces    │ 2     0        1     not used yet    │      17 is the cursor: all before it is delivered
//! ```
//!
//! What nobody settles stays open, so that a piece that is forgotten costs a second delivery and never a loss.

use super::marks::Marks;
use crate::read::evidence::Nanos;
use std::collections::VecDeque;
use std::ops::Range;

/// The pieces of a request that is being appended or waits to be replayed are not known yet.
const UNKNOWN: u32 = u32::MAX;
/// Ranges of delivered requests behind the cursor that are written down; the rest of them would be sent again after a crash.
const RANGES_MAX: usize = 4_096;

/// How far one backend is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// All requests before this position are delivered.
    pub next: u64,
    /// And these behind it, in order.
    pub done: Vec<Range<u64>>,
}

impl Cursor {
    /// Whether the backend has this request.
    pub fn has(&self, position: u64) -> bool {
        position < self.next || self.done.iter().any(|range| range.contains(&position))
    }
}

/// The open requests of every backend.
#[derive(Debug)]
pub(super) struct Ledger {
    backends: Vec<Backend>,
    next: u64,
    /// Something was settled since it was asked last.
    has_news: bool,
}

#[derive(Debug)]
struct Backend {
    /// Position of the first count.
    base: u64,
    pieces: VecDeque<u32>,
    open: u64,
}

impl Backend {
    fn get_mut(&mut self, position: u64) -> Option<&mut u32> {
        self.pieces.get_mut(usize::try_from(position.checked_sub(self.base)?).ok()?)
    }

    /// Sets what is left of a request.
    fn set(&mut self, position: u64, pieces: u32) {
        let Some(known) = self.get_mut(position) else { return };
        let before = std::mem::replace(known, pieces);
        match (before, pieces) {
            (0, 0) => {}
            (0, _) => self.open += 1,
            (_, 0) => self.open -= 1,
            _ => {}
        }
        if pieces == 0 {
            while self.pieces.front() == Some(&0) {
                self.pieces.pop_front();
                self.base += 1;
            }
        }
    }
}

impl Ledger {
    /// Of backends that are so far, where `next` is the next position to be given. What they lack waits to be replayed.
    pub(super) fn new(cursors: &[Cursor], next: u64) -> Ledger {
        let backend = |cursor: &Cursor| {
            let base = cursor.next.min(next);
            let pieces: VecDeque<u32> =
                (base..next).map(|position| if cursor.has(position) { 0 } else { UNKNOWN }).collect();
            let open = pieces.iter().filter(|pieces| **pieces > 0).count() as u64;
            Backend { base, pieces, open }
        };
        let mut ledger = Ledger { backends: cursors.iter().map(backend).collect(), next, has_news: true };
        // The first that is open leads.
        for backend in &mut ledger.backends {
            while backend.pieces.front() == Some(&0) {
                backend.pieces.pop_front();
                backend.base += 1;
            }
        }
        ledger
    }

    /// Gives the next position; its pieces are not known yet.
    pub(super) fn assign(&mut self) -> u64 {
        let position = self.next;
        self.next += 1;
        for backend in &mut self.backends {
            backend.pieces.push_back(UNKNOWN);
            backend.open += 1;
        }
        position
    }

    /// Says in how many pieces a request goes to which backends; to the others it does not go. A backend that has it
    /// already does not get it again.
    pub(super) fn open(&mut self, position: u64, pieces: &[(usize, u32)]) {
        for (index, backend) in self.backends.iter_mut().enumerate() {
            let count = pieces.iter().filter(|(of, _)| *of == index).fold(0, |sum: u32, (_, count)| sum + count);
            if backend.get_mut(position).is_some_and(|known| *known == UNKNOWN) {
                backend.set(position, count.min(UNKNOWN - 1));
            }
        }
        self.has_news = true;
    }

    /// One more piece of each of these that the backend does not have whole.
    pub(super) fn add(&mut self, backend: usize, marks: &Marks) {
        let Some(backend) = self.backends.get_mut(backend) else { return };
        for position in marks.positions() {
            if let Some(pieces) = backend.get_mut(position).filter(|pieces| **pieces > 0 && **pieces < UNKNOWN - 1) {
                *pieces += 1;
            }
        }
    }

    /// These pieces are settled: delivered, or lost for good and counted.
    pub(super) fn done(&mut self, backend: usize, marks: &Marks) {
        let Some(backend) = self.backends.get_mut(backend) else { return };
        for position in marks.positions() {
            let left = backend.get_mut(position).map_or(0, |pieces| *pieces);
            if left > 0 && left != UNKNOWN {
                backend.set(position, left - 1);
            }
        }
        self.has_news = true;
    }

    /// Nobody lacks it any more.
    pub(super) fn forget(&mut self, position: u64) {
        for backend in &mut self.backends {
            backend.set(position, 0);
        }
        self.has_news = true;
    }

    /// Whether the backend lacks a request.
    pub(super) fn lacks(&self, backend: usize, position: u64) -> bool {
        let Some(backend) = self.backends.get(backend) else { return false };
        let index = position.checked_sub(backend.base).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| backend.pieces.get(index)).is_some_and(|pieces| *pieces > 0)
    }

    /// The lowest position that some backend lacks; the next one to be given where none lacks any.
    pub(super) fn lowest(&self) -> u64 {
        self.backends.iter().map(|backend| backend.base).min().unwrap_or(self.next).min(self.next)
    }

    /// Requests from the lowest that some backend lacks on.
    pub(super) fn span(&self) -> u64 {
        self.next.saturating_sub(self.lowest())
    }

    /// How far each is.
    pub(super) fn cursors(&self) -> Vec<Cursor> {
        self.backends.iter().map(|backend| Cursor { next: backend.base, done: done_ranges(backend) }).collect()
    }

    /// Requests that a backend lacks.
    pub(super) fn open_count(&self, backend: usize) -> u64 {
        self.backends.get(backend).map_or(0, |backend| backend.open)
    }

    /// Whether something was settled since this was asked last.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }
}

fn done_ranges(backend: &Backend) -> Vec<Range<u64>> {
    let mut done: Vec<Range<u64>> = Vec::new();
    for (position, pieces) in (backend.base..).zip(&backend.pieces) {
        if *pieces > 0 {
            continue;
        }
        let is_full = done.len() == RANGES_MAX;
        match done.last_mut() {
            Some(last) if last.end == position => last.end += 1,
            _ if is_full => break,
            _ => done.push(position..position + 1),
        }
    }
    done
}

/// How long before the oldest request that somebody lacks others are replayed as well, so that the engine sees again what it
/// saw then: an error line is nothing without its access line.
pub fn context_of(hold: Nanos) -> Nanos {
    hold.saturating_mul(2).saturating_add(2 * crate::read::evidence::SECOND)
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "one range is meant")]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_delivered_when_its_last_piece_is() {
        let mut ledger = Ledger::new(&[Cursor { next: 1, done: Vec::new() }, Cursor { next: 1, done: Vec::new() }], 1);
        assert_eq!((ledger.assign(), ledger.assign(), ledger.assign()), (1, 2, 3));
        ledger.open(2, &[(0, 1), (1, 1)]);
        ledger.done(0, &Marks::of(Some(2)));
        assert_eq!(ledger.lowest(), 1, "nobody knows yet what becomes of the first");
        assert_eq!(ledger.cursors().first(), Some(&Cursor { next: 1, done: vec![2..3] }));
        ledger.open(1, &[(0, 2)]);
        assert!(ledger.lacks(0, 1) && !ledger.lacks(1, 1));
        ledger.done(0, &Marks::of(Some(1)));
        assert!(ledger.lacks(0, 1), "one of two pieces");
        ledger.add(0, &Marks::of(Some(1)));
        ledger.done(0, &Marks::of(Some(1)));
        ledger.done(0, &Marks::of(Some(1)));
        assert!(!ledger.lacks(0, 1));
        // What was settled once too often, or never opened, does no harm.
        ledger.done(0, &Marks::of(Some(1)));
        ledger.done(1, &Marks::of(Some(3)));
        assert_eq!((ledger.open_count(0), ledger.open_count(1)), (1, 2));
        ledger.open(3, &[]);
        ledger.done(1, &Marks::of(Some(2)));
        assert_eq!((ledger.lowest(), ledger.open_count(1)), (4, 0));
    }

    #[test]
    fn what_a_backend_lacks_waits_to_be_replayed() {
        let cursors = [Cursor { next: 3, done: vec![4..6] }, Cursor { next: 7, done: Vec::new() }];
        let mut ledger = Ledger::new(&cursors, 7);
        let lacking = |ledger: &Ledger| (1..8).filter(|position| ledger.lacks(0, *position)).collect::<Vec<u64>>();
        assert_eq!((lacking(&ledger), ledger.lowest()), (vec![3, 6], 3));
        ledger.open(3, &[(0, 1), (1, 1)]);
        assert!(!ledger.lacks(1, 3), "it has it already");
        ledger.done(0, &Marks::of(Some(3)));
        assert_eq!((lacking(&ledger), ledger.lowest()), (vec![6], 6));
        assert_eq!(ledger.cursors(), [Cursor { next: 6, done: Vec::new() }, Cursor { next: 7, done: Vec::new() }]);
    }
}
