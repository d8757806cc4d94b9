//! The queue before one backend and the consumers behind it.

use super::Stats;
use super::batch;
use super::error::{Delivered, DeliveryError, Then};
use super::retry::Backoff;
use crate::config::settings::{Queue, Remote, Retry};
use crate::otlp::Signal;
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A request of so many bytes is not joined with more: a copy of them costs more than a request of its own.
const JOINED_ENOUGH: usize = 512 << 10;

/// What delivers a request.
pub trait Deliver: Send + Sync + 'static {
    /// One try. `request` is protobuf of a signal with so many items.
    fn deliver(
        &self,
        signal: Signal,
        request: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<Delivered, DeliveryError>> + Send + '_>>;
}

/// One request that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its signal.
    pub signal: Signal,
    /// Protobuf.
    pub request: Bytes,
    /// Items in it.
    pub items: u64,
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
    name: String,
    waiting: Mutex<VecDeque<Waiting>>,
    bytes: AtomicUsize,
    /// Items that are queued or on their way.
    unsettled: AtomicI64,
    news: Notify,
    limits: Queue,
    retry: Retry,
    request_bytes_max: usize,
    closing: CancellationToken,
    stats: Arc<Stats>,
    complaints: Mutex<[Complaint; 2]>,
}

/// When a complaint of its kind was told last, and how many were not told since.
type Complaint = Option<(crate::read::evidence::Nanos, u64)>;

/// Kinds of complaints, each with a limit of its own: what is lost must not hide behind what is tried again.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Lost,
    Other,
}

/// Starts the consumers.
pub fn start(name: &str, remote: &Remote, backend: Arc<dyn Deliver>, stats: Arc<Stats>) -> Sender {
    let shared = Arc::new(Shared {
        name: name.to_owned(),
        waiting: Mutex::default(),
        bytes: AtomicUsize::new(0),
        unsettled: AtomicI64::new(0),
        news: Notify::new(),
        limits: remote.queue,
        retry: remote.retry,
        request_bytes_max: remote.request_bytes_max,
        closing: CancellationToken::new(),
        stats,
        complaints: Mutex::default(),
    });
    let tasks = TaskTracker::new();
    let now = CancellationToken::new();
    for _ in 0..remote.queue.consumers.max(1) {
        tasks.spawn(consume(Arc::clone(&shared), Arc::clone(&backend), now.clone()));
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
        if shared.closing.is_cancelled() {
            return Err(request);
        }
        {
            let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = shared.bytes.load(Ordering::Relaxed);
            let full = waiting.len() >= shared.limits.requests_max
                || (bytes > 0 && bytes.saturating_add(request.len()) > shared.limits.bytes_max);
            if full {
                return Err(request);
            }
            shared.bytes.fetch_add(request.len(), Ordering::Relaxed);
            shared.unsettled.fetch_add(i64::try_from(items).unwrap_or(0), Ordering::Relaxed);
            waiting.push_back(Waiting { signal, request, items });
        }
        shared.news.notify_one();
        Ok(())
    }

    /// True when it takes nothing more.
    pub fn is_closed(&self) -> bool {
        self.shared.closing.is_cancelled()
    }

    /// Requests that wait, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        let count = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).len();
        (count, self.shared.bytes.load(Ordering::Relaxed))
    }

    /// Delivers what waits, at most so long; returns how many items were left behind, which are counted as dropped.
    pub async fn close(&self, deadline: Duration) -> u64 {
        self.shared.closing.cancel();
        self.shared.news.notify_waiters();
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_err() {
            self.now.cancel();
            self.tasks.wait().await;
        }
        let left = u64::try_from(self.shared.unsettled.load(Ordering::Relaxed)).unwrap_or(0);
        if left > 0 {
            self.shared.stats.dropped("shutdown", left);
        }
        left
    }
}

async fn consume(shared: Arc<Shared>, backend: Arc<dyn Deliver>, now: CancellationToken) {
    while let Some(next) = shared.next().await {
        tokio::select! {
            () = shared.settle(&*backend, next) => {}
            () = now.cancelled() => return,
        }
    }
}

impl Shared {
    /// The next request, joined with those of its signal that wait already; `None` when the queue is closed and empty.
    async fn next(&self) -> Option<Waiting> {
        loop {
            let news = self.news.notified();
            if let Some(next) = self.pop() {
                // Another consumer may take what is left.
                self.news.notify_one();
                return Some(next);
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

    fn pop(&self) -> Option<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let first = waiting.pop_front()?;
        let mut parts = vec![first];
        let mut length = parts.first().map_or(0, |first| first.request.len());
        while let (Some(first), Some(next)) = (parts.first(), waiting.front().filter(|_| length < JOINED_ENOUGH)) {
            if next.signal != first.signal || length.saturating_add(next.request.len()) > self.request_bytes_max {
                break;
            }
            length += next.request.len();
            parts.extend(waiting.pop_front());
        }
        drop(waiting);
        self.bytes.fetch_sub(length, Ordering::Relaxed);
        Some(batch::join(parts))
    }

    /// Sends a request until it is taken or given up.
    async fn settle(&self, backend: &dyn Deliver, request: Waiting) {
        let (signal, items) = (request.signal, request.items);
        let mut parts = VecDeque::from(batch::fit(request, self.request_bytes_max, &self.stats));
        let lost = items.saturating_sub(parts.iter().map(|part| part.items).sum());
        if lost > 0 {
            let (limit, what) = (self.request_bytes_max, signal.items());
            self.complain(Kind::Lost, &format!("{lost} {what} are larger than `max_request_bytes` ({limit}) and lost"));
        }
        while let Some(part) = parts.pop_front() {
            if let Some(halves) = self.deliver(backend, part).await {
                for half in halves.into_iter().rev() {
                    parts.push_front(half);
                }
            }
        }
        self.unsettled.fetch_sub(i64::try_from(items).unwrap_or(0), Ordering::Relaxed);
    }

    /// Sends one request; returns its halves when it is too large for the backend.
    async fn deliver(&self, backend: &dyn Deliver, part: Waiting) -> Option<Vec<Waiting>> {
        let mut backoff = Backoff::new(self.retry);
        let began = crate::clock::instant();
        loop {
            let error = match backend.deliver(part.signal, part.request.clone()).await {
                Ok(delivered) => {
                    self.stats.sent(part.signal, part.items.saturating_sub(delivered.rejected));
                    if delivered.rejected > 0 || !delivered.message.is_empty() {
                        self.stats.rejected(delivered.rejected);
                        let kind = if delivered.rejected > 0 { Kind::Lost } else { Kind::Other };
                        let (rejected, what) = (delivered.rejected, part.signal.items());
                        self.complain(kind, &format!("the backend rejected {rejected} {what}: {}", delivered.message));
                    }
                    return None;
                }
                Err(error) => error,
            };
            self.stats.failed();
            let wait = match error.then {
                Then::Retry(after)
                    if !self.closing.is_cancelled() || after.is_none_or(|after| after < Duration::from_secs(5)) =>
                {
                    backoff.next(after, began.elapsed())
                }
                Then::Retry(_) | Then::Drop => None,
                Then::Halve => match batch::halve(&part) {
                    Some(halves) => return Some(halves),
                    None => None,
                },
            };
            let Some(wait) = wait else {
                self.stats.dropped(error.reason, part.items);
                let (items, what) = (part.items, part.signal.items());
                match items {
                    // Somebody sent it so, and there is nothing in it to lose.
                    0 => self.complain(Kind::Other, &format!("{}; a request without {what} is dropped", error.text)),
                    _ => self.complain(Kind::Lost, &format!("{}; {items} {what} are lost", error.text)),
                }
                return None;
            };
            self.stats.retried();
            self.complain(Kind::Other, &format!("{}; trying again in {:.1} s", error.text, wait.as_secs_f64()));
            tokio::time::sleep(wait).await;
        }
    }

    /// Says it in the log, each kind once a minute: a backend that is down would fill it.
    fn complain(&self, kind: Kind, text: &str) {
        const PAUSE: crate::read::evidence::Nanos = 60 * crate::read::evidence::SECOND;
        let now = crate::clock::now();
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let [lost, others] = &mut *complaints;
        let complaint = if matches!(kind, Kind::Lost) { lost } else { others };
        match complaint {
            Some((last, untold)) if now.saturating_sub(*last) < PAUSE => *untold += 1,
            other => {
                let untold = other.map_or(0, |(_, untold)| untold);
                *other = Some((now, 0));
                match untold {
                    0 => tracing::warn!(exporter = %self.name, "{text}"),
                    _ => tracing::warn!(exporter = %self.name, "{text} (and {untold} times more in the last minute)"),
                }
            }
        }
    }
}
