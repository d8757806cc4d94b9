//! What waits before one backend: joined as it waits, and measured in requests, items and bytes.
//!
//! ```text
//!  reserve ─► reserved ─┐
//!  push ─► waiting, joined with the last of its signal ─► pop ─► on its way ─► settled
//!          └───────────────── counts until here ──────────────────────────────┘
//! ```
//!
//! What a consumer holds counts as much as what waits: it is in memory as well. Small requests are copied together as they
//! wait, so that `queue_size` means requests as they will be sent, and no buffer of a connection is kept for a few bytes.

use super::overflow::{Chunk, Overflow, Reader};
use crate::config::settings::{Queue, WhenFull};
use crate::journal::{Marks, OnDisk};
use crate::memory::Memory;
use crate::otlp::Signal;
use bytes::Bytes;
use std::collections::VecDeque;

/// A request of so many bytes is not joined with more: a copy of them costs more than a request of its own.
const JOINED_ENOUGH: usize = 512 << 10;
/// A longer request is not copied while it waits: the lock is held meanwhile. It may still be joined when it is taken out.
const COPIED_MAX: usize = 64 << 10;
/// The newest request of a signal is looked for among so many: one for each signal.
const SIGNALS: usize = 3;

/// True for a request of so many bytes that nothing is joined to any more.
pub(super) fn joined_enough(bytes: usize) -> bool {
    bytes >= JOINED_ENOUGH
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
    /// What it is made of, where that is in the journal.
    pub marks: Marks,
}

/// So much of the room of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Log records, spans or data points.
    pub items: u64,
    /// Their bytes.
    pub bytes: usize,
}

impl Amount {
    pub(super) fn add(&mut self, more: Amount) {
        self.items = self.items.saturating_add(more.items);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    pub(super) fn take(&mut self, less: Amount) {
        self.items = self.items.saturating_sub(less.items);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }
}

impl Waiting {
    /// The room that it takes.
    pub fn amount(&self) -> Amount {
        Amount { items: self.items, bytes: self.request.len() }
    }
}

/// A request in the queue.
#[derive(Debug)]
struct Entry {
    signal: Signal,
    items: u64,
    body: Body,
    marks: Marks,
}

#[derive(Debug)]
enum Body {
    /// As it came.
    Whole(Bytes),
    /// Several, copied together.
    Joined(Vec<u8>),
}

impl Entry {
    fn len(&self) -> usize {
        match &self.body {
            Body::Whole(bytes) => bytes.len(),
            Body::Joined(bytes) => bytes.len(),
        }
    }

    /// OTLP requests join as bytes: their only field is repeated.
    fn append(&mut self, more: &[u8], items: u64, marks: Marks) {
        self.items += items;
        self.marks.join(marks);
        let need = self.len() + more.len();
        // Twice as much each time, but nothing that the last request of a full one would leave empty: it is not counted.
        let capacity = (2 * need).min(JOINED_ENOUGH + COPIED_MAX).max(need);
        match &mut self.body {
            Body::Joined(bytes) => {
                if bytes.capacity() < need {
                    bytes.reserve_exact(capacity - bytes.len());
                }
                bytes.extend_from_slice(more);
            }
            Body::Whole(first) => {
                let mut bytes = Vec::with_capacity(capacity);
                bytes.extend_from_slice(first);
                bytes.extend_from_slice(more);
                self.body = Body::Joined(bytes);
            }
        }
    }

    fn taken(self) -> Waiting {
        let request = match self.body {
            Body::Whole(bytes) => bytes,
            Body::Joined(bytes) => Bytes::from(bytes),
        };
        Waiting { signal: self.signal, request, items: self.items, marks: self.marks }
    }
}

/// The queue itself, behind its lock.
#[derive(Debug)]
pub(super) struct Backlog {
    limits: Queue,
    entries: VecDeque<Entry>,
    /// What waits and what is on its way.
    queued: Amount,
    /// What may still come: requests that are being taken, and what waits for a verdict.
    reserved: Amount,
    /// What all queues and listeners have together.
    memory: Memory,
    /// Bytes that are counted there.
    counted: usize,
    /// What there is no memory for, where the journal has it as well.
    overflow: Option<Overflow>,
}

impl Backlog {
    /// An empty queue.
    pub(super) fn new(limits: Queue, memory: Memory) -> Backlog {
        let (queued, reserved) = (Amount::default(), Amount::default());
        Backlog { limits, entries: VecDeque::new(), queued, reserved, memory, counted: 0, overflow: None }
    }

    /// The same of a backend with a part of the journal.
    pub(super) fn journaled(limits: Queue, memory: Memory, account: OnDisk) -> Backlog {
        Backlog { overflow: Some(Overflow::new(account)), ..Backlog::new(limits, memory) }
    }

    /// Tells the common count what has changed here.
    fn count(&mut self) {
        let bytes = self.queued.bytes.saturating_add(self.reserved.bytes);
        match bytes.checked_sub(self.counted) {
            Some(more) => self.memory.add(more),
            None => self.memory.give_back(self.counted - bytes),
        }
        self.counted = bytes;
    }

    /// Other limits; what is there already stays.
    pub(super) fn change(&mut self, limits: Queue) {
        self.limits = limits;
    }

    /// The limits that hold now.
    pub(super) fn limits(&self) -> Queue {
        self.limits
    }

    /// What becomes of a request for which there is no room.
    pub(super) fn when_full(&self) -> WhenFull {
        self.limits.when_full
    }

    /// What waits on the disk, and the bytes that this takes there.
    pub(super) fn overflowing(&self) -> (Amount, u64) {
        self.overflow.as_ref().map(|overflow| (overflow.waiting(), overflow.disk_bytes())).unwrap_or_default()
    }

    /// Requests that wait in memory, as they will be sent.
    pub(super) fn waiting(&self) -> usize {
        self.entries.len()
    }

    /// What waits in memory and what is on its way.
    pub(super) fn queued(&self) -> Amount {
        self.queued
    }

    /// Bytes of data that all queues and listeners have together, where so many more do not fit.
    pub(super) fn full_memory(&self, bytes: usize) -> Option<usize> {
        (!self.memory.has_room(bytes)).then(|| self.memory.used().0)
    }

    /// Keeps room for a request; false when there is none. Queues that drop what they have no room for always say yes.
    pub(super) fn reserve(&mut self, signal: Signal, need: Amount, request_bytes_max: usize) -> bool {
        if self.limits.when_full == WhenFull::Refuse && !self.has_room(signal, need, request_bytes_max) {
            return false;
        }
        self.reserved.add(need);
        self.count();
        true
    }

    /// Counts room that is needed whether it is there or not: what it is for has been taken already.
    pub(super) fn hold(&mut self, need: Amount) {
        self.reserved.add(need);
        self.count();
    }

    /// Gives back what was reserved or held.
    pub(super) fn give_back(&mut self, amount: Amount) {
        self.reserved.take(amount);
        self.count();
    }

    /// A request that would never fit is taken when nothing else is there.
    pub(super) fn has_room(&self, signal: Signal, need: Amount, request_bytes_max: usize) -> bool {
        // What the memory has no room for waits on the disk, and whether that has room the journal says.
        if self.limits.when_full == WhenFull::Refuse && self.overflow.as_ref().is_some_and(Overflow::has_room) {
            return true;
        }
        // Where nothing is refused, what may come must not push out what is there.
        let is_reserving = self.limits.when_full == WhenFull::Refuse;
        let reserved = if is_reserving { self.reserved } else { Amount::default() };
        self.has_memory(reserved, signal, need, request_bytes_max)
    }

    fn has_memory(&self, reserved: Amount, signal: Signal, need: Amount, request_bytes_max: usize) -> bool {
        let mut used = self.queued;
        used.add(reserved);
        if used == Amount::default() {
            return true;
        }
        used.add(need);
        self.memory.has_room(need.bytes)
            && used.bytes <= self.limits.bytes_max
            && used.items <= self.limits.items_max
            && (self.entries.len() < self.limits.requests_max
                || self.newest(signal).is_some_and(|entry| joins(entry, need.bytes, request_bytes_max)))
    }

    /// Puts a request at the end, whether there is room or not: where there is a journal behind the memory.
    ///
    /// # Errors
    /// What the disk says. It is in memory then, and whoever comes next is refused.
    pub(super) fn push(&mut self, waiting: Waiting, request_bytes_max: usize) -> std::io::Result<()> {
        let has_memory = || self.has_memory(Amount::default(), waiting.signal, waiting.amount(), request_bytes_max);
        let is_kept = self.overflow.as_ref().is_none_or(|overflow| !overflow.is_active() && has_memory());
        let (waiting, result) = match self.overflow.as_mut().filter(|_| !is_kept) {
            None => (waiting, Ok(())),
            Some(overflow) => match overflow.push(waiting, request_bytes_max) {
                Ok(()) => return Ok(()),
                Err((waiting, error)) => (waiting, Err(error)),
            },
        };
        self.keep(waiting, request_bytes_max);
        result
    }

    /// Into memory.
    fn keep(&mut self, waiting: Waiting, request_bytes_max: usize) {
        let Waiting { signal, request, items, marks } = waiting;
        self.queued.add(Amount { items, bytes: request.len() });
        self.count();
        let known = self.entries.iter_mut().rev().take(SIGNALS).find(|entry| entry.signal == signal);
        match known.filter(|entry| joins(entry, request.len(), request_bytes_max)) {
            Some(entry) => entry.append(&request, items, marks),
            None => self.entries.push_back(Entry { signal, items, body: Body::Whole(request), marks }),
        }
    }

    /// The oldest request on the disk, where the memory has room for it. It is read without the lock, and then told of with
    /// [`Backlog::is_read`].
    pub(super) fn next_of_disk(&mut self, request_bytes_max: usize) -> Option<(Chunk, Reader)> {
        let first = self.overflow.as_ref()?.first()?;
        // Whatever fills the memory: where nothing else waits here, the consumers would wait for ever.
        let fits = self.entries.is_empty()
            || self.has_memory(Amount::default(), first.signal(), first.amount(), request_bytes_max);
        self.overflow.as_mut().filter(|_| fits)?.take()
    }

    /// A request of the disk is read; nothing where it cannot be.
    pub(super) fn is_read(&mut self, chunk: &Chunk, read: Option<Waiting>, request_bytes_max: usize) {
        if let Some(waiting) = read {
            self.keep(waiting, request_bytes_max);
        }
        if let Some(overflow) = &mut self.overflow {
            overflow.is_read(chunk);
        }
    }

    /// Takes the oldest request out, joined with those of its signal behind it. It counts until it is settled.
    pub(super) fn pop(&mut self, request_bytes_max: usize) -> Option<Waiting> {
        let mut first = self.entries.pop_front()?;
        while let Some(next) = self.entries.front() {
            let fits = first.len() < JOINED_ENOUGH && first.len().saturating_add(next.len()) <= request_bytes_max;
            if next.signal != first.signal || !fits {
                break;
            }
            let Some(next) = self.entries.pop_front() else { break };
            let next = next.taken();
            first.append(&next.request, next.items, next.marks);
        }
        Some(first.taken())
    }

    /// Drops the oldest request; returns its items and what it was made of.
    pub(super) fn drop_oldest(&mut self) -> Option<(u64, Marks)> {
        let entry = self.entries.pop_front()?;
        self.queued.take(Amount { items: entry.items, bytes: entry.len() });
        self.count();
        Some((entry.items, entry.marks))
    }

    /// So much of what was taken out is settled.
    pub(super) fn settled(&mut self, amount: Amount) {
        self.queued.take(amount);
        self.count();
    }

    fn newest(&self, signal: Signal) -> Option<&Entry> {
        self.entries.iter().rev().take(SIGNALS).find(|entry| entry.signal == signal)
    }
}

fn joins(entry: &Entry, more: usize, request_bytes_max: usize) -> bool {
    let len = entry.len();
    len < JOINED_ENOUGH && more <= COPIED_MAX && len + more <= request_bytes_max
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn limits(when_full: WhenFull) -> Queue {
        Queue { requests_max: 2, items_max: 100, bytes_max: 10_000, consumers: 1, when_full }
    }

    fn of(signal: Signal, bytes: usize, items: u64) -> Waiting {
        Waiting { signal, request: vec![b'x'; bytes].into(), items, marks: Marks::default() }
    }

    #[test]
    fn small_requests_join_as_they_wait_each_signal_by_itself() {
        let mut backlog =
            Backlog::new(Queue { requests_max: 3, bytes_max: MIB, ..limits(WhenFull::Refuse) }, Memory::unlimited());
        for _ in 0..10 {
            for signal in Signal::ALL {
                assert!(backlog.has_room(signal, Amount { items: 1, bytes: 50 }, MIB));
                backlog.push(of(signal, 50, 1), MIB).expect("memory");
            }
        }
        assert_eq!((backlog.waiting(), backlog.queued()), (3, Amount { items: 30, bytes: 1_500 }));
        let first = backlog.pop(MIB).expect("one waits");
        assert_eq!((first.items, first.request.len()), (10, 500));
        assert_eq!(backlog.queued().items, 30, "it counts until it is settled");
        backlog.settled(first.amount());
        assert_eq!(backlog.queued().items, 20);
        // No request is joined past the size that a backend takes.
        (0..30).for_each(|_| backlog.push(of(Signal::Logs, 50, 1), 1_000).expect("memory"));
        assert_eq!(backlog.waiting(), 4);
        assert!(std::iter::from_fn(|| backlog.pop(1_000)).all(|taken| taken.request.len() <= 1_000));
    }

    #[test]
    fn every_limit_is_kept_and_one_request_is_always_taken() {
        let mut backlog = Backlog::new(limits(WhenFull::Refuse), Memory::unlimited());
        let need = |items, bytes| Amount { items, bytes };
        assert!(backlog.reserve(Signal::Logs, need(500, 50_000), MIB), "it would never fit");
        assert!(!backlog.reserve(Signal::Logs, need(1, 1), MIB));
        backlog.give_back(need(500, 50_000));
        assert!(backlog.reserve(Signal::Logs, need(60, 100), MIB));
        assert!(!backlog.reserve(Signal::Logs, need(60, 100), MIB), "items");
        assert!(!backlog.reserve(Signal::Logs, need(1, 9_950), MIB), "bytes");
        backlog.give_back(need(60, 100));
        backlog.push(of(Signal::Logs, 400, 1), 500).expect("memory");
        backlog.push(of(Signal::Logs, 400, 1), 500).expect("memory");
        assert!(!backlog.reserve(Signal::Logs, need(1, 400), 500), "requests");
        assert!(backlog.reserve(Signal::Logs, need(1, 100), 500), "but this one joins the last");
        backlog.hold(need(98, 0));
        assert!(!backlog.reserve(Signal::Logs, need(1, 1), 500), "what waits for a verdict counts");
    }

    #[test]
    fn queues_that_drop_never_refuse() {
        let mut backlog = Backlog::new(limits(WhenFull::DropOldest), Memory::unlimited());
        let much = Amount { items: 500, bytes: 50_000 };
        assert!(backlog.reserve(Signal::Logs, much, MIB) && backlog.reserve(Signal::Logs, much, MIB));
        backlog.push(of(Signal::Logs, 9_000, 7), MIB).expect("memory");
        assert!(
            backlog.has_room(Signal::Logs, Amount { items: 1, bytes: 900 }, MIB),
            "reserved room pushes nothing out"
        );
        assert!(!backlog.has_room(Signal::Logs, Amount { items: 1, bytes: 1_001 }, MIB));
        assert_eq!((backlog.drop_oldest(), backlog.drop_oldest()), (Some((7, Marks::default())), None));
        assert_eq!(backlog.queued(), Amount::default());
    }

    #[test]
    fn queues_share_one_memory() {
        let memory = Memory::new(8_000);
        let mut first = Backlog::new(limits(WhenFull::Refuse), memory.clone());
        let mut second = Backlog::new(limits(WhenFull::DropOldest), memory.clone());
        let need = |bytes| Amount { items: 1, bytes };
        assert!(first.reserve(Signal::Logs, need(5_000), MIB));
        second.push(of(Signal::Logs, 1_500, 1), MIB).expect("memory");
        assert!(!first.reserve(Signal::Logs, need(1_000), MIB), "an eighth is left to what comes in");
        assert!(!second.has_room(Signal::Logs, need(1_000), MIB));
        first.give_back(need(5_000));
        assert!(second.has_room(Signal::Logs, need(1_000), MIB));
        assert_eq!(second.drop_oldest(), Some((1, Marks::default())));
        assert_eq!(memory.used().0, 0, "all of it is given back");
    }
}
