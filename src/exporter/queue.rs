//! The queue before one backend and the consumers behind it.

mod delivery;
mod disk;

use super::Stats;
use super::backlog::{Amount, Backlog, Waiting};
use super::dead::DeadLetters;
use super::error::{Delivered, DeliveryError};
use super::retry::Backoff;
use super::sizes::{LEARNED_MIN, Sizes};
use super::told::{Kind, LOSS_ENDED, Told};
use crate::config::settings::{Remote, Retry, WhenFull};
use crate::journal::{Account, Marks};
use crate::memory::Memory;
use crate::otlp::Signal;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A queue of bytes is called full when less than this part of it is free, so that a probe does not say yes and no by turns.
const FULL_SHARE: usize = 32;

/// What delivers a request.
pub trait Deliver: Send + Sync + 'static {
    /// One try. `request` is protobuf of a signal with so many items.
    fn deliver(
        &self,
        signal: Signal,
        request: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<Delivered, DeliveryError>> + Send + '_>>;
}

/// The sending side.
#[derive(Clone, Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    now: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    backlog: Mutex<Backlog>,
    news: Notify,
    /// Wakes who reads what waits on the disk.
    room: Notify,
    backend: Mutex<Backend>,
    /// Wakes who waits to try again when the settings changed.
    changed: Notify,
    sizes: Sizes,
    /// While a backend takes nothing at all.
    pause: Mutex<Option<Pause>>,
    closing: CancellationToken,
    stats: Arc<Stats>,
    told: Told,
    dead: Option<DeadLetters>,
    /// Where what is delivered is noted.
    account: Option<Account>,
}

/// What may change while the program runs.
struct Backend {
    deliver: Arc<dyn Deliver>,
    retry: Retry,
    request_bytes_max: usize,
    request_items_max: u64,
}

impl Backend {
    fn of(remote: &Remote, deliver: Arc<dyn Deliver>) -> Backend {
        Backend {
            deliver,
            retry: remote.retry,
            request_bytes_max: remote.request_bytes_max,
            request_items_max: remote.request_items_max.unwrap_or(u64::MAX),
        }
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Backend({:?})", self.retry)
    }
}

/// A backend that refused for good what it may take later: nothing is sent before its time.
#[derive(Debug)]
struct Pause {
    backoff: Backoff,
    until: Instant,
}

/// Starts the consumers.
pub fn start(
    name: &str,
    remote: &Remote,
    deliver: Arc<dyn Deliver>,
    stats: Arc<Stats>,
    dead: Option<DeadLetters>,
    memory: Memory,
    account: Option<Account>,
) -> Sender {
    let on_disk = account.as_ref().and_then(Account::on_disk).cloned();
    let backlog = match on_disk {
        Some(on_disk) => Backlog::journaled(remote.queue, memory, on_disk),
        None => Backlog::new(remote.queue, memory),
    };
    let shared = Arc::new(Shared {
        backlog: Mutex::new(backlog),
        news: Notify::new(),
        room: Notify::new(),
        backend: Mutex::new(Backend::of(remote, deliver)),
        changed: Notify::new(),
        sizes: Sizes::default(),
        pause: Mutex::default(),
        closing: CancellationToken::new(),
        stats,
        told: Told::new(name),
        dead,
        account,
    });
    let tasks = TaskTracker::new();
    let now = CancellationToken::new();
    for _ in 0..remote.queue.consumers.max(1) {
        tasks.spawn(consume(Arc::clone(&shared), now.clone()));
    }
    tasks.spawn(look_after(Arc::clone(&shared)));
    if shared.is_on_disk() {
        tasks.spawn(disk::read_back(Arc::clone(&shared)));
    }
    tasks.close();
    Sender { shared, tasks, now }
}

impl Sender {
    /// Puts a request into the queue.
    ///
    /// # Errors
    /// The request back when the queue is full or closed.
    pub fn offer(&self, signal: Signal, request: Bytes, items: u64) -> Result<(), Bytes> {
        let shared = &self.shared;
        let waiting = Waiting { signal, request, items, marks: Marks::default() };
        let limit = shared.joined_max();
        {
            let mut backlog = shared.backlog();
            if shared.closing.is_cancelled() || !backlog.has_room(signal, waiting.amount(), limit) {
                return Err(waiting.request);
            }
            shared.stats.taken(items);
            let pushed = backlog.push(waiting, limit);
            drop(backlog);
            shared.pushed(pushed);
        }
        Ok(())
    }

    /// Keeps room for a request that is about to be sent; false when there is none.
    pub fn reserve(&self, signal: Signal, need: Amount) -> bool {
        let shared = &self.shared;
        let (has_room, queued, memory) = {
            let mut backlog = shared.backlog();
            (backlog.reserve(signal, need, shared.joined_max()), backlog.queued(), backlog.full_memory(need.bytes))
        };
        if !has_room {
            let (items, bytes) = (queued.items, queued.bytes);
            let what = match memory {
                // Another queue may be what fills it.
                Some(used) => {
                    format!("there is no room below `memory::limit` ({used} bytes of data, {bytes} in this queue)")
                }
                None => format!("its queue is full ({items} items, {bytes} bytes)"),
            };
            let text = format!("{what}; senders are asked to come back");
            shared.told.trouble(Kind::Full, &text);
        }
        has_room
    }

    /// Counts room for what was taken already and comes later.
    pub fn hold(&self, need: Amount) {
        self.shared.backlog().hold(need);
    }

    /// Gives back what was reserved or held.
    pub fn give_back(&self, amount: Amount) {
        self.shared.backlog().give_back(amount);
    }

    /// Puts a request for which there is room into the queue; in a queue that drops, what there is no room for is dropped.
    pub fn send(&self, signal: Signal, request: Bytes, items: u64, marks: Marks) {
        let shared = &self.shared;
        shared.stats.taken(items);
        if shared.closing.is_cancelled() {
            if marks.is_empty() {
                shared.stats.dropped("shutdown", items);
            }
            return;
        }
        let waiting = Waiting { signal, request, items, marks };
        let (need, limit) = (waiting.amount(), shared.joined_max());
        let (mut lost, mut lost_marks) = (0, Marks::default());
        let pushed = {
            let mut backlog = shared.backlog();
            match backlog.when_full() {
                WhenFull::Refuse => backlog.push(waiting, limit),
                WhenFull::DropNewest if backlog.has_room(signal, need, limit) => backlog.push(waiting, limit),
                WhenFull::DropNewest => {
                    (lost, lost_marks) = (items, waiting.marks);
                    Ok(())
                }
                WhenFull::DropOldest => {
                    while !backlog.has_room(signal, need, limit) {
                        let Some((oldest, marks)) = backlog.drop_oldest() else { break };
                        lost += oldest;
                        lost_marks.join(marks);
                    }
                    backlog.push(waiting, limit)
                }
            }
        };
        shared.pushed(pushed);
        shared.done(&lost_marks);
        if lost > 0 {
            shared.stats.dropped("queue_full", lost);
            shared.told.lost(lost, signal.items(), "its queue is full");
        }
    }

    /// Goes on with other settings and another client; what waits to be tried again is tried at once.
    pub fn change(&self, remote: &Remote, deliver: Arc<dyn Deliver>) {
        let shared = &self.shared;
        *shared.backend() = Backend::of(remote, deliver);
        shared.backlog().change(remote.queue);
        *shared.pause.lock().unwrap_or_else(PoisonError::into_inner) = None;
        shared.changed.notify_waiters();
    }

    /// What waits on the disk because there is no memory for it, and the bytes of its files.
    pub fn overflowing(&self) -> (Amount, u64) {
        self.shared.backlog().overflowing()
    }

    /// Requests that wait in memory, and their items and bytes with those that are on their way.
    pub fn waiting(&self) -> (usize, Amount) {
        let backlog = self.shared.backlog();
        (backlog.waiting(), backlog.queued())
    }

    /// True when a request of common size would be refused.
    pub fn is_full(&self) -> bool {
        let backlog = self.shared.backlog();
        let bytes = backlog.limits().bytes_max / FULL_SHARE;
        let need = Amount { items: 1, bytes };
        backlog.when_full() == WhenFull::Refuse && !backlog.has_room(Signal::Logs, need, self.shared.joined_max())
    }

    /// Requests that may wait, and items and bytes of those and of what is on its way.
    pub fn capacity(&self) -> (usize, Amount) {
        let limits = self.shared.backlog().limits();
        (limits.requests_max, Amount { items: limits.items_max, bytes: limits.bytes_max })
    }

    /// Delivers what waits, at most so long; returns how many items were left behind, which are counted as dropped unless they
    /// are in the journal.
    pub async fn close(&self, deadline: Duration) -> u64 {
        self.shared.closing.cancel();
        self.shared.news.notify_waiters();
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_err() {
            self.now.cancel();
            self.tasks.wait().await;
        }
        let left = {
            let mut backlog = self.shared.backlog();
            let left = backlog.queued();
            backlog.settled(left);
            left.items
        };
        if left > 0 && !self.shared.has_all_kept() {
            self.shared.stats.dropped("shutdown", left);
        }
        self.shared.told.look(true);
        left
    }

    /// Its part of the journal.
    pub fn account(&self) -> Option<&Account> {
        self.shared.account.as_ref()
    }
}

async fn consume(shared: Arc<Shared>, now: CancellationToken) {
    while let Some(next) = shared.next().await {
        tokio::select! {
            () = shared.settle(next) => {}
            () = now.cancelled() => return,
        }
    }
}

/// Says when a loss has ended, until the queue is closed.
async fn look_after(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOSS_ENDED) => shared.told.look(false),
            () = shared.closing.cancelled() => return,
        }
    }
}

impl Shared {
    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes who has something to do since a request came.
    fn pushed(&self, pushed: std::io::Result<()>) {
        self.news.notify_one();
        if self.is_on_disk() {
            self.room.notify_one();
        }
        if let Err(error) = pushed {
            let text = format!(
                "what there is no memory for cannot be written beside the journal: {error}; senders are asked to come back"
            );
            self.told.trouble(Kind::Full, &text);
        }
    }

    /// So much of what was taken out is settled.
    fn settled(&self, amount: Amount) {
        self.backlog().settled(amount);
        if self.is_on_disk() {
            self.room.notify_one();
        }
    }

    /// The largest request that is sent; while a backend takes nothing, as little as may be is put at risk.
    fn limit(&self) -> usize {
        let limit = self.joined_max();
        let is_paused = self.pause.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if is_paused { limit.min(LEARNED_MIN) } else { limit }
    }

    fn backend(&self) -> MutexGuard<'_, Backend> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request_bytes_max(&self) -> usize {
        self.backend().request_bytes_max
    }

    /// The largest request that is made of small ones.
    fn joined_max(&self) -> usize {
        self.sizes.limit(self.request_bytes_max())
    }

    /// The next request; `None` when the queue is closed and empty.
    async fn next(&self) -> Option<Waiting> {
        loop {
            let news = self.news.notified();
            let limit = self.joined_max();
            let next = self.backlog().pop(limit);
            if next.is_some() {
                // Another consumer may take what is left.
                self.news.notify_one();
                return next;
            }
            if self.closing.is_cancelled() {
                return None;
            }
            tokio::select! {
                () = news => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    /// True where what waits is in the journal.
    fn is_on_disk(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.on_disk().is_some())
    }

    /// True where what is not delivered stays in the journal, or in the topics that it came out of.
    fn has_all_kept(&self) -> bool {
        self.account.as_ref().is_some_and(Account::keeps_all)
    }

    /// True at the end where that is so.
    fn is_kept(&self) -> bool {
        self.closing.is_cancelled() && self.has_all_kept()
    }

    /// What these were made of is delivered, or lost for good and counted.
    fn done(&self, marks: &Marks) {
        if let Some(account) = &self.account {
            account.done(marks);
        }
    }
}
