//! What is delivered of requests that somebody else keeps: a topic that is read is a journal that we need not write. Only how
//! far backends are is noted here, in the same ledger, so that an offset is committed when all before it is delivered.

use super::ledger::{Cursor, Ledger};
use super::marks::Marks;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The first position: above every one that a journal on disk reaches.
const FIRST: u64 = 1 << 63;

/// How far backends are with requests out of topics.
#[derive(Debug)]
pub struct Deliveries {
    /// Names, and whether nothing comes to them but out of topics.
    backends: Vec<String>,
    all_of: Vec<bool>,
    ledger: Mutex<Ledger>,
}

impl Deliveries {
    /// For backends of these names; of each it is said whether all that it gets comes out of topics.
    pub fn new(backends: impl IntoIterator<Item = (String, bool)>) -> Deliveries {
        let (backends, all_of): (Vec<String>, Vec<bool>) = backends.into_iter().unzip();
        let cursors = vec![Cursor { next: FIRST, done: Vec::new() }; backends.len()];
        Deliveries { backends, all_of, ledger: Mutex::new(Ledger::new(&cursors, FIRST)) }
    }

    /// Takes a request that goes in so many pieces to which backends; its position.
    pub fn begin(&self, pieces: &[(usize, u32)]) -> u64 {
        let mut ledger = self.ledger();
        let position = ledger.assign();
        ledger.open(position, pieces);
        position
    }

    /// Whether every backend has it, or lost it for good and counted it.
    pub fn is_done(&self, position: u64) -> bool {
        let ledger = self.ledger();
        (0..self.backends.len()).all(|backend| !ledger.lacks(backend, position))
    }

    /// Nobody asks for these any more: somebody else reads them again.
    pub fn forget(&self, positions: impl Iterator<Item = u64>) {
        let mut ledger = self.ledger();
        positions.for_each(|position| ledger.forget(position));
    }

    pub(super) fn backends(&self) -> &[String] {
        &self.backends
    }

    pub(super) fn keeps_all(&self, backend: usize) -> bool {
        self.all_of.get(backend).is_some_and(|all| *all)
    }

    pub(super) fn add(&self, backend: usize, marks: &Marks) {
        self.ledger().add(backend, marks);
    }

    pub(super) fn done(&self, backend: usize, marks: &Marks) {
        self.ledger().done(backend, marks);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Account;
    use super::*;
    use std::sync::Arc;

    #[test]
    fn an_offset_may_be_committed_when_every_backend_has_all_pieces() {
        let topics = Arc::new(Deliveries::new([("a".to_owned(), true), ("b".to_owned(), false)]));
        let account = |name: &str| Account::of(None, Some(&topics), name).expect("it is known");
        let (a, b) = (account("a"), account("b"));
        assert!(Account::of(None, Some(&topics), "c").is_none() && a.keeps_all() && !b.keeps_all());
        let position = topics.begin(&[(0, 2), (1, 1)]);
        let other = topics.begin(&[]);
        assert!(topics.is_done(other) && !topics.is_done(position), "what goes nowhere is done at once");
        a.done(&Marks::of(Some(position)));
        b.done(&Marks::of(Some(position)));
        // A verdict about it is one more piece.
        a.add(&Marks::of(Some(position)));
        a.done(&Marks::of(Some(position)));
        assert!(!topics.is_done(position));
        // Positions of a journal on disk are none of these.
        a.done(&Marks::of(Some(1)));
        a.done(&Marks::of(Some(position)));
        assert!(topics.is_done(position));
        let given_up = topics.begin(&[(0, 1)]);
        topics.forget([given_up].into_iter());
        assert!(topics.is_done(given_up));
        a.done(&Marks::of(Some(given_up)));
    }
}
