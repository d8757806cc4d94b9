//! What one backend has of what is kept for it: in our own journal, or in a topic that is read.

use super::deliveries::Deliveries;
use super::storage::Storage;
use super::{Journal, Marks};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The part of the journal, and of what came out of topics, that is about one backend. Positions of one are none of the
/// other, so that both are told of everything and each notes its own.
#[derive(Clone, Debug, Default)]
pub struct Account {
    journal: Option<OnDisk>,
    topics: Option<(Arc<Deliveries>, usize)>,
}

impl Account {
    /// Of the backend of this name; `None` where neither has it.
    pub fn of(journal: Option<&Arc<Journal>>, topics: Option<&Arc<Deliveries>>, name: &str) -> Option<Account> {
        let index = |names: &[String]| names.iter().position(|known| known == name);
        let journal = journal.and_then(|journal| OnDisk::of(journal, name));
        let topics = topics.and_then(|topics| Some((Arc::clone(topics), index(topics.backends())?)));
        (journal.is_some() || topics.is_some()).then_some(Account { journal, topics })
    }

    #[cfg(test)]
    pub(super) fn of_journal(journal: &Arc<Journal>, backend: usize) -> Account {
        Account { journal: Some(OnDisk { journal: Arc::clone(journal), backend }), topics: None }
    }

    /// The journal, and which of its backends it is.
    pub fn journal(&self) -> Option<(&Arc<Journal>, usize)> {
        self.journal.as_ref().map(|of| (&of.journal, of.backend))
    }

    /// Its part of the journal, where it has one.
    pub fn on_disk(&self) -> Option<&OnDisk> {
        self.journal.as_ref()
    }

    /// What is noted of requests out of topics, and which backend it is there.
    pub fn topics(&self) -> Option<(&Arc<Deliveries>, usize)> {
        self.topics.as_ref().map(|(topics, backend)| (topics, *backend))
    }

    /// Which backend it is of those that get what comes out of topics.
    pub fn of_topics(&self) -> Option<usize> {
        self.topics.as_ref().map(|(_, backend)| *backend)
    }

    /// Everything for this backend is kept elsewhere until it has it: what it does not get now it gets after the next start.
    pub fn keeps_all(&self) -> bool {
        self.journal.is_some() || self.topics.as_ref().is_some_and(|(topics, backend)| topics.keeps_all(*backend))
    }

    /// One more piece of each of these that the backend lacks.
    pub fn add(&self, marks: &Marks) {
        if marks.is_empty() {
            return;
        }
        if let Some((journal, backend)) = self.journal() {
            journal.ledger().add(backend, marks);
        }
        if let Some((topics, backend)) = &self.topics {
            topics.add(*backend, marks);
        }
    }

    /// These pieces are delivered, or lost for good and counted.
    pub fn done(&self, marks: &Marks) {
        if marks.is_empty() {
            return;
        }
        if let Some((journal, backend)) = self.journal() {
            journal.ledger().done(backend, marks);
        }
        if let Some((topics, backend)) = &self.topics {
            topics.done(*backend, marks);
        }
    }

    /// Whether the backend lacks a request of the journal.
    pub fn lacks(&self, position: u64) -> bool {
        self.journal().is_some_and(|(journal, backend)| journal.ledger().lacks(backend, position))
    }

    /// Requests of the journal that the backend lacks.
    pub fn open_count(&self) -> u64 {
        self.journal().map_or(0, |(journal, backend)| journal.ledger().open_count(backend))
    }
}

/// The part of the journal that is about one backend.
#[derive(Clone, Debug)]
pub struct OnDisk {
    journal: Arc<Journal>,
    backend: usize,
}

impl OnDisk {
    /// Of the backend of this name; `None` where the journal has none.
    pub fn of(journal: &Arc<Journal>, name: &str) -> Option<OnDisk> {
        let backend = journal.backends.iter().position(|known| known == name)?;
        Some(OnDisk { journal: Arc::clone(journal), backend })
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
}
