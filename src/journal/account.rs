//! The part of the journal that is about one backend.

use super::storage::Storage;
use super::{Journal, Marks};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The part of the journal that is about one backend.
#[derive(Clone, Debug)]
pub struct Account {
    pub(super) journal: Arc<Journal>,
    pub(super) backend: usize,
}

impl Account {
    /// Of the backend of this name; `None` where the journal has none.
    pub fn of(journal: &Arc<Journal>, name: &str) -> Option<Account> {
        let backend = journal.backends.iter().position(|known| known == name)?;
        Some(Account { journal: Arc::clone(journal), backend })
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Which backend it is.
    pub fn backend(&self) -> usize {
        self.backend
    }

    /// The directory, for what the queue of the backend has no memory for.
    pub(crate) fn storage(&self) -> &dyn Storage {
        self.journal.writer.storage()
    }

    /// More bytes of such.
    pub(crate) fn overflows(&self, bytes: u64) {
        self.journal.counts().overflow_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Fewer of them.
    pub(crate) fn overflows_no_more(&self, bytes: u64) {
        self.journal.counts().overflow_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// One more piece of each of these that the backend lacks.
    pub fn add(&self, marks: &Marks) {
        if !marks.is_empty() {
            self.journal.ledger().add(self.backend, marks);
        }
    }

    /// These pieces are delivered, or lost for good and counted.
    pub fn done(&self, marks: &Marks) {
        if !marks.is_empty() {
            self.journal.ledger().done(self.backend, marks);
        }
    }

    /// Whether the backend lacks a request.
    pub fn lacks(&self, position: u64) -> bool {
        self.journal.ledger().lacks(self.backend, position)
    }

    /// Requests that the backend lacks.
    pub fn open_count(&self) -> u64 {
        self.journal.ledger().open_count(self.backend)
    }
}
