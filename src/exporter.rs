//! What goes to the backends: one queue, one retry loop and one connection for each, so that none delays another.
//!
//! ```text
//!  reserve, send ─► queue (bounded in requests, items, bytes) ─► consumers ─► split, compress ─► gRPC or HTTP ─► retry or drop
//!                     └─ with a journal: what it has no memory for waits on the disk
//! ```
//!
//! Room is asked for before a request is acknowledged; what a backend refuses for good is dropped, counted by reason and
//! told of, never silently.

pub mod backlog;
pub mod batch;
mod compress;
mod dead;
pub mod debug;
pub mod error;
pub mod file;
pub mod grpc;
pub mod http;
pub mod kafka;
mod overflow;
mod pieces;
pub mod queue;
pub mod retry;
mod sizes;
pub mod tls;
mod told;

use crate::auth::AuthError;
use crate::config::settings::{Exporter as Settings, ExporterKind, Remote};
use crate::engine::incident::Incident;
use crate::engine::verdict::Verdict;
use crate::journal::{Account, Deliveries, Journal, Marks};
use crate::memory::Memory;
use crate::otlp::Signal;
use crate::pem::PemError;
use backlog::Amount;
use bytes::Bytes;
use dead::DeadLetters;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where requests go: what an exporter is to the pipeline.
pub trait Outlet: Send + Sync {
    /// Keeps room for a request of so many items and bytes; false when there is none, and then it must not be acknowledged.
    fn reserve(&self, _signal: Signal, _need: Amount) -> bool {
        true
    }
    /// Counts room for what was taken already and is sent later, so that others find less.
    fn hold(&self, _need: Amount) {}
    /// Gives back what was reserved or held.
    fn give_back(&self, _amount: Amount) {}
    /// Takes a request without waiting, whether room was kept for it or not; what it cannot take it counts itself.
    fn send(&self, signal: Signal, request: Bytes, items: u64);
    /// The same of what the journal holds: the outlet notes what becomes of it.
    fn send_marked(&self, signal: Signal, request: Bytes, items: u64, _marks: Marks) {
        self.send(signal, request, items);
    }
    /// Its part of the journal, where what it is given waits on disk as well.
    fn account(&self) -> Option<&Account> {
        None
    }
    /// Takes a verdict; most outlets do nothing with it.
    fn verdict(&self, verdict: &Arc<Verdict>);
    /// Takes an incident; most outlets do nothing with it.
    fn incident(&self, _incident: &Arc<Incident>) {}
}

/// Why an exporter cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The file of its token cannot be used.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Another part of its TLS cannot be used.
    #[error("`exporters::{name}::tls`: {problem}")]
    Tls {
        /// The exporter.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The file cannot be written.
    #[error("exporters::{name}: cannot write {path}: {source}; check the directory and its permissions", path = .path.display())]
    File {
        /// The exporter.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// What became of items, by signal.
#[derive(Debug, Default)]
pub struct Stats {
    taken: AtomicU64,
    sent: [AtomicU64; 3],
    failed: AtomicU64,
    retried: AtomicU64,
    rejected: AtomicU64,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
}

impl Stats {
    /// Items that the exporter was given.
    pub fn taken(&self, items: u64) {
        self.taken.fetch_add(items, Ordering::Relaxed);
    }

    /// Items that a backend took.
    pub fn sent(&self, signal: Signal, items: u64) {
        if let Some(count) =
            Signal::ALL.iter().position(|known| *known == signal).and_then(|index| self.sent.get(index))
        {
            count.fetch_add(items, Ordering::Relaxed);
        }
    }

    /// A try that failed.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that is sent again.
    pub fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// Items that a backend took the request of and rejected.
    pub fn rejected(&self, items: u64) {
        self.rejected.fetch_add(items, Ordering::Relaxed);
    }

    /// Items that are lost, with the reason.
    pub fn dropped(&self, reason: &'static str, items: u64) {
        *self.dropped.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += items;
    }

    /// Items given to the exporter.
    pub fn taken_count(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Items sent of a signal.
    pub fn sent_count(&self, signal: Signal) -> u64 {
        Signal::ALL
            .iter()
            .position(|known| *known == signal)
            .and_then(|index| self.sent.get(index))
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Tries that failed.
    pub fn failed_count(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Requests sent again.
    pub fn retried_count(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Items rejected by backends.
    pub fn rejected_count(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Items lost, by reason.
    pub fn dropped_counts(&self) -> Vec<(&'static str, u64)> {
        self.dropped
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(reason, count)| (*reason, *count))
            .collect()
    }
}

/// One running exporter.
pub struct Exporter {
    /// `otlp/tempo`.
    pub name: String,
    /// What became of its items.
    pub stats: Arc<Stats>,
    kind: Kind,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Exporter({})", self.name)
    }
}

enum Kind {
    Queued(queue::Sender),
    Debug(debug::Debug),
}

impl Exporter {
    /// Starts its tasks, without a limit or a journal. Must be called inside the runtime.
    ///
    /// # Errors
    /// One sentence with what to do.
    pub fn start(settings: &Settings) -> Result<Exporter, StartError> {
        Exporter::start_within(settings, &Memory::unlimited())
    }

    /// The same within what all queues and listeners may take together.
    ///
    /// # Errors
    /// One sentence with what to do.
    pub fn start_within(settings: &Settings, memory: &Memory) -> Result<Exporter, StartError> {
        Exporter::start_with(settings, memory, None, None)
    }

    /// The same with a journal, and with what is noted of requests out of topics. What is sent to a backend that either knows
    /// is noted there.
    ///
    /// # Errors
    /// One sentence with what to do.
    pub fn start_with(
        settings: &Settings,
        memory: &Memory,
        journal: Option<&Arc<Journal>>,
        topics: Option<&Arc<Deliveries>>,
    ) -> Result<Exporter, StartError> {
        let memory = memory.clone();
        let stats = Arc::new(Stats::default());
        let name = settings.name.clone();
        let account = Account::of(journal, topics, &name);
        let kind = match &settings.kind {
            ExporterKind::Grpc(remote) => {
                let client = grpc::Client::new(&name, remote)?;
                let dead = dead_letters(&name, remote)?;
                Kind::Queued(queue::start(&name, remote, Arc::new(client), Arc::clone(&stats), dead, memory, account))
            }
            ExporterKind::Http(remote) => {
                let client = http::Client::new(&name, remote)?;
                let dead = dead_letters(&name, remote)?;
                Kind::Queued(queue::start(&name, remote, Arc::new(client), Arc::clone(&stats), dead, memory, account))
            }
            ExporterKind::Kafka(kafka) => {
                let client = kafka::Client::new(&name, kafka);
                let remote = &kafka.remote;
                let dead = dead_letters(&name, remote)?;
                Kind::Queued(queue::start(&name, remote, Arc::new(client), Arc::clone(&stats), dead, memory, account))
            }
            ExporterKind::File(named) => {
                let writer = file::File::open(&name, &named.path)?;
                let settings = file::queue_settings();
                Kind::Queued(queue::start(
                    &name,
                    &settings,
                    Arc::new(writer),
                    Arc::clone(&stats),
                    None,
                    memory,
                    account,
                ))
            }
            ExporterKind::Debug => Kind::Debug(debug::Debug::start(Arc::clone(&stats))),
        };
        Ok(Exporter { name, stats, kind })
    }

    /// Goes on with other settings and with certificates that are read anew; what is queued stays. How many consumers there
    /// are and where dead letters go stays as it was, and so do exporters that are no remote ones.
    ///
    /// # Errors
    /// When a certificate or key cannot be used; then nothing has changed.
    pub fn change(&self, settings: &Settings) -> Result<(), StartError> {
        let Kind::Queued(sender) = &self.kind else { return Ok(()) };
        match &settings.kind {
            ExporterKind::Grpc(remote) => sender.change(remote, Arc::new(grpc::Client::new(&self.name, remote)?)),
            ExporterKind::Http(remote) => sender.change(remote, Arc::new(http::Client::new(&self.name, remote)?)),
            ExporterKind::Kafka(kafka) => {
                sender.change(&kafka.remote, Arc::new(kafka::Client::new(&self.name, kafka)));
            }
            ExporterKind::File(_) | ExporterKind::Debug => {}
        }
        Ok(())
    }

    /// Delivers what waits, at most so long; returns how many items were left behind.
    pub async fn close(&self, deadline: Duration) -> u64 {
        match &self.kind {
            Kind::Queued(sender) => sender.close(deadline).await,
            Kind::Debug(debug) => {
                debug.close(deadline).await;
                0
            }
        }
    }

    /// What waits on the disk because there is no memory for it, and the bytes of its files.
    pub fn overflowing(&self) -> (Amount, u64) {
        match &self.kind {
            Kind::Queued(sender) => sender.overflowing(),
            Kind::Debug(_) => (Amount::default(), 0),
        }
    }

    /// Requests that wait in memory, and items and bytes of those and of what is on its way.
    pub fn waiting(&self) -> (usize, Amount) {
        match &self.kind {
            Kind::Queued(sender) => sender.waiting(),
            Kind::Debug(_) => (0, Amount::default()),
        }
    }

    /// True while its senders are asked to come back.
    pub fn is_full(&self) -> bool {
        match &self.kind {
            Kind::Queued(sender) => sender.is_full(),
            Kind::Debug(_) => false,
        }
    }

    /// Requests, and items and bytes, that may wait or be on their way; `None` where nothing is queued.
    pub fn capacity(&self) -> Option<(usize, Amount)> {
        match &self.kind {
            Kind::Queued(sender) => Some(sender.capacity()),
            Kind::Debug(_) => None,
        }
    }

    /// Takes a request if there is room.
    ///
    /// # Errors
    /// The request back: the queue is full. Nothing is counted.
    pub fn offer(&self, signal: Signal, request: Bytes, items: u64) -> Result<(), Bytes> {
        match &self.kind {
            Kind::Queued(sender) => sender.offer(signal, request, items),
            Kind::Debug(_) => Ok(()),
        }
    }
}

impl Outlet for Exporter {
    fn reserve(&self, signal: Signal, need: Amount) -> bool {
        match &self.kind {
            Kind::Queued(sender) => sender.reserve(signal, need),
            Kind::Debug(_) => true,
        }
    }

    fn hold(&self, need: Amount) {
        if let Kind::Queued(sender) = &self.kind {
            sender.hold(need);
        }
    }

    fn give_back(&self, amount: Amount) {
        if let Kind::Queued(sender) = &self.kind {
            sender.give_back(amount);
        }
    }

    fn send(&self, signal: Signal, request: Bytes, items: u64) {
        if let Kind::Queued(sender) = &self.kind {
            sender.send(signal, request, items, Marks::default());
        }
    }

    fn send_marked(&self, signal: Signal, request: Bytes, items: u64, marks: Marks) {
        if let Kind::Queued(sender) = &self.kind {
            sender.send(signal, request, items, marks);
        }
    }

    fn account(&self) -> Option<&Account> {
        match &self.kind {
            Kind::Queued(sender) => sender.account(),
            Kind::Debug(_) => None,
        }
    }

    fn verdict(&self, verdict: &Arc<Verdict>) {
        if let Kind::Debug(debug) = &self.kind {
            debug.show(verdict);
        }
    }

    fn incident(&self, incident: &Arc<Incident>) {
        if let Kind::Debug(debug) = &self.kind {
            debug.show_incident(incident);
        }
    }
}

/// The file for what the backend refuses, where one is set.
fn dead_letters(name: &str, remote: &Remote) -> Result<Option<DeadLetters>, StartError> {
    let Some((file, bytes_max)) = &remote.dead_letter else { return Ok(None) };
    let open = file::File::open(name, &file.path)?;
    Ok(Some(DeadLetters::new(open, file.path.clone(), *bytes_max)))
}
