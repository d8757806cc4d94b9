//! Records of why502's own that nothing in the journal leads to: that an incident changed or closed, that a verdict was revised
//! after its records went. They go through the journal by themselves, so that a kill loses none that waits for a backend.
//!
//! That an incident opened and the first record of a verdict travel with the requests that they are about, and are made again
//! when these are replayed. Those here are sent again as they are; what a replay comes to as well is held back until its end, and
//! then sent where it was not in the journal: the program may have been killed before it was.

use super::{Route, origin, send_all};
use crate::clock;
use crate::journal::{Append, Journal, Marks};
use crate::otlp::Signal;
use crate::telemetry::Counters;
use crate::telemetry::metrics::OWN_RECORDS;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// What stands in the journal for the receiver, before the id of the record: none is called so, as their names begin with
/// their type.
pub(super) const RECEIVER: &str = "why502/";
/// Records that wait for the disk. Past it they go without the journal: the engine waits for nobody.
const WAITING_MAX: usize = 1_024;

/// One such record.
pub(super) struct Own {
    /// `verdict` or `incident`.
    pub(super) kind: &'static str,
    /// Uid and revision.
    pub(super) id: String,
    pub(super) route: Arc<Route>,
    pub(super) request: Bytes,
}

impl Own {
    fn send(&self, position: Option<u64>) {
        send_all(&self.route.explained, Signal::Logs, &self.request, 1, &Marks::of(position));
    }
}

/// Hands them over.
pub(super) struct Keeper {
    sender: mpsc::Sender<Own>,
    /// Those that a replay found in the journal.
    found: Found,
    /// Those that a replay came to.
    made: Vec<Own>,
}

/// Ids of records that a replay found.
pub(super) type Found = Arc<Mutex<BTreeSet<String>>>;

/// The set of them.
pub(super) fn lock(found: &Found) -> MutexGuard<'_, BTreeSet<String>> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    /// Starts the task that writes them, which ends when nobody can hand over any more.
    pub(super) fn start(journal: Arc<Journal>, found: Found) -> (Keeper, tokio::task::JoinHandle<()>) {
        let (sender, inbox) = mpsc::channel(WAITING_MAX);
        (Keeper { sender, found, made: Vec::new() }, tokio::spawn(keep(journal, inbox)))
    }

    /// Takes a record, in the order in which they come.
    pub(super) fn take(&mut self, own: Own, counters: &Counters) {
        counters.add(OWN_RECORDS, own.kind, 1);
        let has_journal = own
            .route
            .explained
            .iter()
            .any(|outlet| outlet.account().is_some_and(|account| account.on_disk().is_some()));
        if !has_journal {
            own.send(None);
        } else if let Err(error) = self.sender.try_send(own) {
            error.into_inner().send(None);
        }
    }

    /// The same of one that a replay came to.
    pub(super) fn take_replayed(&mut self, own: Own, counters: &Counters) {
        if self.made.len() < WAITING_MAX { self.made.push(own) } else { self.take(own, counters) }
    }

    /// A replay is over.
    pub(super) fn go_live(&mut self, counters: &Counters) {
        let found = std::mem::take(&mut *lock(&self.found));
        for own in std::mem::take(&mut self.made) {
            if !found.contains(&own.id) {
                self.take(own, counters);
            }
        }
    }
}

async fn keep(journal: Arc<Journal>, mut inbox: mpsc::Receiver<Own>) {
    while let Some(own) = inbox.recv().await {
        let (receiver, request) = (format!("{RECEIVER}{}", own.id), &own.request);
        let (signal, arrived) = (Signal::Logs, clock::now());
        let append = Append { receiver: &receiver, signal, items: 1, arrived, request };
        // Nobody was told that it is kept: where the disk has no room it goes as it would without a journal.
        let kept = journal.append(append).await.ok();
        let position = kept.map(|kept| kept.used(&origin::pieces(&own.route, 1)));
        own.send(position);
    }
}
