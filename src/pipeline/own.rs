//! Records of why502's own that nothing in the journal leads to: that an incident changed or closed, that a verdict was revised
//! after its records went. They go through the journal by themselves, so that a kill loses none that waits for a backend.
//!
//! That an incident opened and the first record of a verdict travel with the requests that they are about, and are made again
//! when these are replayed. Those here are sent again as they are; what a replay comes to as well is held back until its end, and
//! then sent where it was not in the journal: the program may have been killed before it was.
//!
//! Beside the journal lies a note of the incidents that are open, each with the record that it closed. A start whose replay does not
//! open one again tells that it closed: nobody would otherwise.

use super::{Route, origin, send_all};
use crate::clock;
use crate::journal::{Append, Journal, Marks};
use crate::otlp::Signal;
use crate::read::evidence::{Nanos, SECOND};
use crate::telemetry::Counters;
use crate::telemetry::metrics::OWN_RECORDS;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// What stands in the journal for the receiver, before the id of the record: none is called so, as their names begin with
/// their type.
pub(super) const RECEIVER: &str = "why502/";
/// Records that wait for the disk. Past it they go without the journal: the engine waits for nobody.
const WAITING_MAX: usize = 1_024;
/// The name of the note.
const NOTE: &str = "incidents";
/// A verdict of what was replayed comes within the hold, and its incident with it.
const AFTER_HOLD: Nanos = 2 * SECOND;

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

/// What the task is told.
enum Task {
    Record(Own),
    /// An incident is open; the request that closes it.
    Open(String, Bytes),
    /// It is over.
    Over(String),
}

/// Open incidents by their uid, with the request that closes each.
type Left = BTreeMap<String, Bytes>;

/// Hands them over.
pub(super) struct Keeper {
    sender: mpsc::Sender<Task>,
    /// Incidents that the last run left open.
    left: Left,
    /// When those that are not open again are told to have closed; `None` before the replay is over.
    due: Option<Nanos>,
    /// How long after a replay its last verdict comes at the latest.
    wait: Nanos,
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
    pub(super) fn start(journal: Arc<Journal>, found: Found, hold: Nanos) -> (Keeper, tokio::task::JoinHandle<()>) {
        let (sender, inbox) = mpsc::channel(WAITING_MAX);
        let left = left_open(&journal);
        let wait = hold.saturating_add(AFTER_HOLD);
        let keeper = Keeper { sender, left: left.clone(), due: None, wait, found, made: Vec::new() };
        (keeper, tokio::spawn(keep(journal, inbox, left)))
    }

    /// Notes that an incident is open, with the request that closes it.
    pub(super) fn open(&mut self, uid: &str, closing: Bytes) {
        // Where the disk is behind, the note says what it said before.
        let _ = self.sender.try_send(Task::Open(uid.to_owned(), closing));
    }

    /// Notes that an incident is over.
    pub(super) fn over(&mut self, uid: &str) {
        self.left.remove(uid);
        let _ = self.sender.try_send(Task::Over(uid.to_owned()));
    }

    /// Tells that incidents closed which the last run left open and which are not open again.
    pub(super) fn close_left(
        &mut self,
        now: Nanos,
        is_open: impl Fn(&str) -> bool,
        route: &Arc<Route>,
        counters: &Counters,
    ) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        for (uid, request) in std::mem::take(&mut self.left) {
            if !is_open(&uid) {
                let (id, route) = (format!("{uid}-left"), Arc::clone(route));
                self.take(Own { kind: "incident", id, route, request }, counters);
                self.over(&uid);
            }
        }
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
        } else if let Err(error) = self.sender.try_send(Task::Record(own))
            && let Task::Record(own) = error.into_inner()
        {
            own.send(None);
        }
    }

    /// The same of one that a replay came to.
    pub(super) fn take_replayed(&mut self, own: Own, counters: &Counters) {
        if self.made.len() < WAITING_MAX { self.made.push(own) } else { self.take(own, counters) }
    }

    /// A replay is over.
    pub(super) fn go_live(&mut self, now: Nanos, counters: &Counters) {
        self.due = Some(now.saturating_add(self.wait));
        let found = std::mem::take(&mut *lock(&self.found));
        for own in std::mem::take(&mut self.made) {
            if !found.contains(&own.id) {
                self.take(own, counters);
            }
        }
    }
}

async fn keep(journal: Arc<Journal>, mut inbox: mpsc::Receiver<Task>, mut open: Left) {
    let mut is_changed = false;
    while let Some(task) = inbox.recv().await {
        match task {
            Task::Record(own) => keep_one(&journal, &own).await,
            Task::Open(uid, closing) => is_changed |= open.insert(uid, closing.clone()) != Some(closing),
            Task::Over(uid) => is_changed |= open.remove(&uid).is_some(),
        }
        if is_changed && inbox.is_empty() {
            is_changed = false;
            let (journal, open) = (Arc::clone(&journal), open.clone());
            let texts = move || {
                let texts = open.iter().flat_map(|(uid, closing)| [uid.as_bytes(), closing.as_ref()]);
                journal.leave_note(NOTE, texts)
            };
            if let Ok(Err(error)) = tokio::task::spawn_blocking(texts).await {
                tracing::warn!("the journal cannot note which incidents are open: {error}");
            }
        }
    }
}

/// What the last run left open.
fn left_open(journal: &Journal) -> Left {
    let texts = journal.note(NOTE).unwrap_or_else(|error| {
        tracing::warn!("the journal: it is not known which incidents were open: {error}");
        Vec::new()
    });
    let pairs = texts.chunks_exact(2).filter_map(|pair| match pair {
        [uid, closing] => Some((String::from_utf8(uid.to_vec()).ok()?, closing.clone())),
        _ => None,
    });
    pairs.collect()
}

async fn keep_one(journal: &Journal, own: &Own) {
    let (receiver, request) = (format!("{RECEIVER}{}", own.id), &own.request);
    let (signal, arrived) = (Signal::Logs, clock::now());
    let append = Append { receiver: &receiver, signal, items: 1, arrived, request };
    // Nobody was told that it is kept: where the disk has no room it goes as it would without a journal.
    let kept = journal.append(append).await.ok();
    own.send(kept.map(|kept| kept.used(&origin::pieces(&own.route, 1))));
}
