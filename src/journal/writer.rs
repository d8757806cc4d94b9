//! The thread that writes: all requests that wait become one write and one sync, and are then acknowledged together.

use super::cursors::Cursors;
use super::frame::{self, Append, HEADER, Head, signal_byte};
use super::ledger::Ledger;
use super::open;
use super::scan::Found;
use super::segment::{self, Next, Opened, Segment};
use super::storage::{Storage, Stored};
use super::{Counts, JournalError, Limits, NotKept};
use crate::clock;
use crate::read::evidence::Nanos;
use bytes::Bytes;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The longest wait for more requests before a sync, as senders notice it.
const GATHER_MAX: Duration = Duration::from_millis(2);
/// How far backends are is written down so often: what was delivered since is delivered again after a crash.
const CURSORS_EVERY: Duration = Duration::from_millis(500);
/// And so often while the disk has nothing else to do.
const CURSORS_IDLE: Duration = Duration::from_millis(50);
/// A trouble that goes on is told of so often.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// A buffer that grew past this is given back.
const BUFFER_KEPT: usize = 4 << 20;
/// A journal is called full when less than this part of it is free.
const FULL_SHARE: u64 = 32;

/// One request that waits for its sync.
struct Staged {
    head: Head,
    receiver: Box<str>,
    request: Bytes,
    tell: oneshot::Sender<Result<(), NotKept>>,
}

#[derive(Default)]
struct Staging {
    staged: Vec<Staged>,
    bytes: u64,
    /// Why nothing is taken any more.
    refusing: Option<NotKept>,
    /// Something was refused for want of room.
    wants_room: bool,
    closing: bool,
}

/// The files; the thread alone changes them.
struct Files {
    closed: Vec<Found>,
    active: Found,
    file: Box<dyn Stored>,
    salt: u32,
    /// Last position that was written, and that was synced.
    written: u64,
    synced: u64,
    buffer: Vec<u8>,
    saved: Instant,
    told: Option<Instant>,
    /// Requests of the last batch, and how long its sync took: as many may be on their way again.
    last_batch: usize,
    last_sync: Duration,
}

/// Shared by those who append and the thread.
pub(super) struct Writer {
    storage: Arc<dyn Storage>,
    limits: Limits,
    backends: Vec<String>,
    staging: Mutex<Staging>,
    news: Condvar,
    ledger: Mutex<Ledger>,
    files: Mutex<Files>,
    counts: Counts,
}

impl Writer {
    /// Begins a new segment behind those that are there.
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        limits: Limits,
        ledger: Ledger,
        closed: Vec<Found>,
        backends: Vec<String>,
        next: u64,
    ) -> Result<Writer, JournalError> {
        let name = segment::name_of(next);
        let begun = begin(&*storage, next).and_then(|begun| {
            begun.0.sync()?;
            Ok(begun)
        });
        let (file, salt) = begun.map_err(|source| JournalError::io("write", &name, source))?;
        let last = next - 1;
        let files = Files {
            closed,
            active: Found { name, positions: Vec::new(), arrived: None, bytes: HEADER as u64 },
            file,
            salt,
            written: last,
            synced: last,
            buffer: Vec::new(),
            saved: clock::instant(),
            told: None,
            last_batch: 0,
            last_sync: Duration::ZERO,
        };
        let writer = Writer {
            storage,
            limits,
            backends,
            staging: Mutex::default(),
            news: Condvar::new(),
            ledger: Mutex::new(ledger),
            files: Mutex::new(files),
            counts: Counts::default(),
        };
        writer.note_bytes(&writer.files());
        let saved = writer.save(&mut writer.files());
        saved.map_err(|source| JournalError::io("write", super::cursors::NAME, source))?;
        Ok(writer)
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn staging(&self) -> MutexGuard<'_, Staging> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a request came; `None` where it cannot be found.
    pub(super) fn arrival(&self, name: &str, position: u64) -> Option<Nanos> {
        let Ok(Opened::Segment(mut segment)) = Segment::open(&*self.storage, name) else { return None };
        loop {
            match segment.next().ok()? {
                Next::Entry(_, head, _) if head.position >= position => return Some(head.arrived),
                Next::End => return None,
                Next::Entry(..) | Next::Broken(_) => {}
            }
        }
    }

    /// Puts a request where the thread finds it; what is returned is told of its sync.
    pub(super) fn stage(&self, append: Append<'_>) -> Result<(u64, oneshot::Receiver<Result<(), NotKept>>), NotKept> {
        let body_len = u32::try_from(append.receiver.len() + append.request.len());
        let receiver_len = u16::try_from(append.receiver.len());
        let (Ok(body_len), Ok(receiver_len)) = (body_len, receiver_len) else {
            return Err(NotKept::Disk("the request is too large".to_owned()));
        };
        let mut head = Head {
            body_crc: frame::body_crc(&append),
            body_len,
            receiver_len,
            signal: signal_byte(append.signal),
            position: 0,
            before: 0,
            synced: 0,
            arrived: append.arrived,
            items: append.items,
        };
        let (tell, told) = oneshot::channel();
        let mut staging = self.staging();
        if let Some(why) = &staging.refusing {
            return Err(why.clone());
        }
        let bytes = self.counts.all_bytes().saturating_add(staging.bytes);
        if bytes.saturating_add(head.whole_len()) > self.limits.bytes_max {
            staging.wants_room = true;
            self.news.notify_one();
            return Err(NotKept::Full { bytes, bytes_max: self.limits.bytes_max });
        }
        let mut ledger = self.ledger();
        let requests = ledger.span();
        if requests >= self.limits.requests_max {
            return Err(NotKept::Many { requests });
        }
        head.position = ledger.assign();
        drop(ledger);
        staging.bytes += head.whole_len();
        staging.staged.push(Staged { head, receiver: append.receiver.into(), request: append.request.clone(), tell });
        self.news.notify_one();
        Ok((head.position, told))
    }

    /// Why nothing would be kept now. It is called full before the last byte, so that a probe does not say yes and no by turns.
    pub(super) fn trouble(&self) -> Option<NotKept> {
        if let Some(why) = &self.staging().refusing {
            return Some(why.clone());
        }
        let requests = self.ledger().span();
        if requests >= self.limits.requests_max {
            return Some(NotKept::Many { requests });
        }
        let (bytes, bytes_max) = (self.counts.all_bytes(), self.limits.bytes_max);
        (bytes.saturating_add(bytes_max / FULL_SHARE) > bytes_max).then_some(NotKept::Full { bytes, bytes_max })
    }

    /// Takes no more; the thread writes what waits and ends.
    pub(super) fn close(&self) {
        let mut staging = self.staging();
        staging.closing = true;
        staging.refusing.get_or_insert(NotKept::Closed);
        self.news.notify_one();
    }

    /// The thread.
    pub(super) fn run(&self) {
        let mut files = self.files();
        loop {
            let (batch, closing, wants_room) = self.gather(&files);
            let pause = if batch.is_empty() { CURSORS_IDLE } else { CURSORS_EVERY };
            if !batch.is_empty() {
                self.write(&mut files, batch);
            }
            if closing || wants_room || files.saved.elapsed() >= pause {
                self.look_after(&mut files);
            }
            if closing {
                return;
            }
        }
    }

    /// Waits until there is something to do.
    fn gather(&self, files: &Files) -> (Vec<Staged>, bool, bool) {
        let mut staging = self.staging();
        let wait = |staging, timeout| {
            let (staging, _) = self.news.wait_timeout(staging, timeout).unwrap_or_else(PoisonError::into_inner);
            staging
        };
        if staging.staged.is_empty() && !staging.closing && !staging.wants_room {
            staging = wait(staging, CURSORS_IDLE);
        }
        // Senders that were answered together come back together: to wait for them costs less than a sync for each.
        let until = clock::instant() + GATHER_MAX.min(files.last_sync / 2);
        while !staging.staged.is_empty() && staging.staged.len() < files.last_batch && !staging.closing {
            let left = until.saturating_duration_since(clock::instant());
            if left.is_zero() {
                break;
            }
            staging = wait(staging, left);
        }
        staging.bytes = 0;
        (std::mem::take(&mut staging.staged), staging.closing, std::mem::take(&mut staging.wants_room))
    }

    fn write(&self, files: &mut Files, batch: Vec<Staged>) {
        let refusing = self.staging().refusing.clone().filter(|why| matches!(why, NotKept::Poisoned(_)));
        let result = match refusing {
            Some(why) => Err(why),
            None => self.write_and_sync(files, &batch),
        };
        if let Err(NotKept::Poisoned(why)) = &result {
            self.poison(why);
        } else if let Err(why) = &result {
            self.tell(files, &format!("{why}; senders are asked to come back"));
        }
        for staged in batch {
            // Who went away needs no answer.
            let _ = staged.tell.send(result.clone());
        }
    }

    fn write_and_sync(&self, files: &mut Files, batch: &[Staged]) -> Result<(), NotKept> {
        let all: u64 = batch.iter().map(|staged| staged.head.whole_len()).sum();
        let is_begun = !files.active.positions.is_empty();
        if is_begun && files.active.bytes.saturating_add(all) > self.limits.segment_bytes {
            self.roll(files, batch)?;
        }
        let mut buffer = std::mem::take(&mut files.buffer);
        buffer.clear();
        let mut before = files.written;
        for staged in batch {
            let head = Head { before, synced: files.synced, ..staged.head };
            buffer.extend_from_slice(&head.encode(files.salt));
            buffer.extend_from_slice(staged.receiver.as_bytes());
            buffer.extend_from_slice(&staged.request);
            before = head.position;
        }
        let at = files.active.bytes;
        let written = files.file.write_at(&buffer, at);
        buffer.shrink_to(BUFFER_KEPT);
        files.buffer = buffer;
        if let Err(error) = written {
            // What is there of it is overwritten by the next, whether it can be cut off or not.
            let _ = files.file.cut(at);
            return Err(NotKept::Disk(with_advice(&error)));
        }
        let began = clock::instant();
        files.file.sync().map_err(|error| NotKept::Poisoned(error.to_string()))?;
        files.last_sync = began.elapsed();
        files.last_batch = batch.len();
        for staged in batch {
            let Head { position, arrived, .. } = staged.head;
            match files.active.positions.last_mut() {
                Some(range) if range.end == position => range.end += 1,
                _ => files.active.positions.push(position..position + 1),
            }
            let (first, newest) = files.active.arrived.unwrap_or((arrived, arrived));
            files.active.arrived = Some((first.min(arrived), newest.max(arrived)));
        }
        files.written = before;
        files.synced = before;
        files.active.bytes += all;
        self.note_bytes(files);
        self.counts.add_appended(batch.len() as u64);
        self.counts.add_syncs(1);
        self.counts.add_bytes(all);
        Ok(())
    }

    /// A new segment, whose name is on the disk before anything in it is acknowledged.
    fn roll(&self, files: &mut Files, batch: &[Staged]) -> Result<(), NotKept> {
        let first = batch.first().map_or(files.written + 1, |staged| staged.head.position);
        let (file, salt) = match begin(&*self.storage, first) {
            Ok(begun) => begun,
            Err(error) => {
                let _ = self.storage.remove(&segment::name_of(first));
                return Err(NotKept::Disk(with_advice(&error)));
            }
        };
        let active =
            Found { name: segment::name_of(first), positions: Vec::new(), arrived: None, bytes: HEADER as u64 };
        files.closed.push(std::mem::replace(&mut files.active, active));
        files.file = file;
        files.salt = salt;
        Ok(())
    }

    /// Writes down how far everybody is, and removes what nobody needs.
    fn look_after(&self, files: &mut Files) {
        files.saved = clock::instant();
        if matches!(self.staging().refusing, Some(NotKept::Poisoned(_))) || !self.ledger().take_news() {
            return;
        }
        let lowest = match self.save(files) {
            Ok(lowest) => lowest,
            Err(error) => {
                // It is written again the next time; until then a crash would deliver more a second time.
                self.tell(files, &format!("the journal cannot write down what is delivered: {}", with_advice(&error)));
                return;
            }
        };
        if let Err(error) = self.trim(files, lowest) {
            self.tell(files, &format!("the journal cannot remove what is delivered: {}", with_advice(&error)));
        }
        self.note_bytes(files);
    }

    /// Returns the first position that somebody lacks, as it is on the disk now.
    fn save(&self, files: &mut Files) -> io::Result<u64> {
        let cursors = self.ledger().cursors();
        let lowest = cursors.iter().map(|cursor| cursor.next).min().unwrap_or(0);
        let backends = self.backends.iter().cloned().zip(cursors).collect();
        Cursors { synced: files.synced, backends }.write(&*self.storage)?;
        Ok(lowest)
    }

    /// `lowest` is what is written down, not what is known by now: a crash must find everything that is not written down as
    /// delivered.
    fn trim(&self, files: &mut Files, lowest: u64) -> io::Result<()> {
        let all = files.closed.iter().chain([&files.active]);
        let oldest = all.clone().find(|found| found.last().is_some_and(|last| last >= lowest));
        let seen_again = oldest.and_then(|found| found.arrived).map_or_else(clock::now, |(first, _)| first);
        let from = seen_again.saturating_sub(self.limits.context);
        // What is only kept to be seen again takes no room from what is not delivered.
        let crowded = all.map(|found| found.bytes).sum::<u64>() > self.limits.bytes_max / 2;
        let is_needed = |found: &Found| {
            found.last().is_some_and(|last| last >= lowest)
                || (!crowded && found.arrived.is_some_and(|(_, newest)| newest >= from))
        };
        let count = files.closed.iter().take_while(|found| !is_needed(found)).count();
        if count == 0 {
            return Ok(());
        }
        for found in files.closed.iter().take(count) {
            match self.storage.remove(&found.name) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        files.closed.drain(..count);
        self.storage.sync_names()
    }

    fn note_bytes(&self, files: &Files) {
        let bytes = files.closed.iter().chain([&files.active]).map(|found| found.bytes).sum();
        self.counts.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    fn poison(&self, why: &str) {
        let mut staging = self.staging();
        if !matches!(staging.refusing, Some(NotKept::Poisoned(_))) {
            let why = NotKept::Poisoned(why.to_owned());
            tracing::error!("{why}; nothing is acknowledged until then");
            self.counts.poisoned.store(1, Ordering::Relaxed);
            staging.refusing = Some(why);
        }
    }

    fn tell(&self, files: &mut Files, text: &str) {
        let now = clock::instant();
        if files.told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY) {
            files.told = Some(now);
            tracing::warn!("{text}");
        }
    }
}

/// A new file with its header, whose name is on the disk.
fn begin(storage: &dyn Storage, first: u64) -> io::Result<(Box<dyn Stored>, u32)> {
    let header = open::header(first);
    let file = storage.create(&segment::name_of(first))?;
    file.write_at(&header.encode(), 0)?;
    storage.sync_names()?;
    Ok((file, header.salt))
}

fn with_advice(error: &io::Error) -> String {
    format!("{error}{}", super::advice(error))
}
