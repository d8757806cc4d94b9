//! What a journaled queue has no memory for waits on the disk, and comes back oldest first.
//!
//! ```text
//!  push ─► memory of the queue ─► consumers
//!    └─ no room there, or something waits here ─► files, a chunk for each request as it will be sent ─► back to the memory
//! ```
//!
//! Files of 16 MiB beside the segments, one that grows for each signal: `overflow-BACKEND-NUMBER`. Nothing but requests, one
//! after the other; what they are stands in memory, and they are read by nobody but the process that wrote them. Nothing is
//! synced: all of it is in the journal as well until the backend has it, so that a start takes these files away and replays.

use super::backlog::{Amount, Waiting, joined_enough};
use crate::clock;
use crate::journal::{Marks, OnDisk, storage::Stored};
use crate::otlp::Signal;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// Where a file ends, so that the disk is given back while much still waits.
const FILE_BYTES: u64 = 16 << 20;
/// Chunks of one backend, about 120 bytes of memory each. Small requests are put into one while those of a signal come in a row.
const CHUNKS_MAX: usize = 131_072;
/// A disk that did not take something is tried again after this; until then senders are asked to come back.
const TRIED_AGAIN: Duration = Duration::from_secs(5);
/// The newest chunk of a signal is looked for among so many: one for each signal.
const SIGNALS: usize = 3;

/// One request on the disk.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    signal: Signal,
    amount: Amount,
    marks: Marks,
    file: u64,
    offset: u64,
    sum: u32,
}

impl Chunk {
    pub(super) fn amount(&self) -> Amount {
        self.amount
    }

    pub(super) fn signal(&self) -> Signal {
        self.signal
    }
}

/// A file that is there.
#[derive(Debug, Default)]
struct Known {
    chunks: usize,
    bytes: u64,
}

/// A file that grows.
struct Growing {
    number: u64,
    file: Box<dyn Stored>,
    bytes: u64,
}

/// What waits on the disk for one backend.
pub(super) struct Overflow {
    account: OnDisk,
    chunks: VecDeque<Chunk>,
    waiting: Amount,
    files: BTreeMap<u64, Known>,
    growing: [Option<Growing>; 3],
    made: u64,
    /// One is being read, and what comes still comes behind it.
    is_reading: bool,
    /// When the disk did not take the last one.
    failed: Option<Instant>,
}

impl std::fmt::Debug for Overflow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Overflow({} chunks)", self.chunks.len())
    }
}

fn name_of(backend: usize, file: u64) -> String {
    format!("{}{backend}-{file}", crate::journal::OVERFLOW)
}

impl Overflow {
    /// Of a backend that has nothing there: the start of the journal took away what was left.
    pub(super) fn new(account: OnDisk) -> Overflow {
        let (chunks, files) = (VecDeque::new(), BTreeMap::new());
        let growing = [None, None, None];
        let waiting = Amount::default();
        Overflow { account, chunks, waiting, files, growing, made: 0, is_reading: false, failed: None }
    }

    /// True while everything that comes has to go behind what waits here.
    pub(super) fn is_active(&self) -> bool {
        !self.chunks.is_empty() || self.is_reading
    }

    /// Whether more may come.
    pub(super) fn has_room(&self) -> bool {
        let is_failing = self.failed.is_some_and(|failed| clock::instant().duration_since(failed) < TRIED_AGAIN);
        !is_failing && self.chunks.len() < CHUNKS_MAX
    }

    /// What waits here, with what is being read.
    pub(super) fn waiting(&self) -> Amount {
        self.waiting
    }

    /// Bytes of its files.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.files.values().map(|known| known.bytes).sum()
    }

    /// Writes a request behind the others. The lock of the queue is held meanwhile: the kernel copies it, and nothing is synced.
    ///
    /// # Errors
    /// The request back, and what the disk says.
    pub(super) fn push(&mut self, waiting: Waiting, request_bytes_max: usize) -> Result<(), (Waiting, io::Error)> {
        let (file, offset) = match self.write(waiting.signal, &waiting.request) {
            Ok(place) => place,
            Err(error) => {
                self.failed = Some(clock::instant());
                return Err((waiting, error));
            }
        };
        self.failed = None;
        let amount = waiting.amount();
        self.waiting.add(amount);
        let known = self.chunks.iter_mut().rev().take(SIGNALS).find(|chunk| chunk.signal == waiting.signal);
        let behind = known.filter(|chunk| {
            let len = chunk.amount.bytes;
            let is_behind = chunk.file == file && chunk.offset + len as u64 == offset;
            is_behind && !joined_enough(len) && len.saturating_add(amount.bytes) <= request_bytes_max
        });
        match behind {
            // OTLP requests join as bytes: their only field is repeated.
            Some(chunk) => {
                chunk.amount.add(amount);
                chunk.marks.join(waiting.marks);
                chunk.sum = crc32c::crc32c_append(chunk.sum, &waiting.request);
            }
            None => {
                let sum = crc32c::crc32c(&waiting.request);
                let Waiting { signal, marks, .. } = waiting;
                self.chunks.push_back(Chunk { signal, amount, marks, file, offset, sum });
                self.files.entry(file).or_default().chunks += 1;
            }
        }
        Ok(())
    }

    fn write(&mut self, signal: Signal, request: &[u8]) -> io::Result<(u64, u64)> {
        let index = Signal::ALL.iter().position(|known| *known == signal).unwrap_or(0);
        let Some(growing) = self.growing.get_mut(index) else { return Err(ErrorKind::InvalidInput.into()) };
        if growing.as_ref().is_none_or(|growing| growing.bytes >= FILE_BYTES) {
            let number = self.made + 1;
            let file = self.account.storage().create(&name_of(self.account.backend(), number))?;
            self.made = number;
            self.files.insert(number, Known::default());
            let before = growing.replace(Growing { number, file, bytes: 0 });
            if let Some(before) = before {
                self.remove_if_read(before.number);
            }
        }
        let Some(Some(growing)) = self.growing.get_mut(index) else { return Err(ErrorKind::InvalidInput.into()) };
        let (number, offset) = (growing.number, growing.bytes);
        // What is there of one that failed is overwritten by the next.
        growing.file.write_at(request, offset)?;
        growing.bytes += request.len() as u64;
        self.files.entry(number).or_default().bytes = growing.bytes;
        self.account.overflows(request.len() as u64);
        Ok((number, offset))
    }

    /// The oldest, without taking it.
    pub(super) fn first(&self) -> Option<&Chunk> {
        self.chunks.front().filter(|_| !self.is_reading)
    }

    /// Takes the oldest to be read; until [`Overflow::is_read`] everything that comes goes behind it.
    pub(super) fn take(&mut self) -> Option<(Chunk, Reader)> {
        let chunk = self.chunks.pop_front()?;
        self.is_reading = true;
        let reader = Reader { account: self.account.clone(), chunk: chunk.clone() };
        Some((chunk, reader))
    }

    /// It is in memory, or cannot be read.
    pub(super) fn is_read(&mut self, chunk: &Chunk) {
        self.is_reading = false;
        self.waiting.take(chunk.amount);
        if let Some(known) = self.files.get_mut(&chunk.file) {
            known.chunks = known.chunks.saturating_sub(1);
        }
        self.remove_if_read(chunk.file);
    }

    fn remove_if_read(&mut self, number: u64) {
        let grows = |growing: &Option<Growing>| growing.as_ref().is_some_and(|growing| growing.number == number);
        // One that grows stays while something waits, so that not each request makes a file of its own.
        let is_kept = self.growing.iter().any(grows) && self.is_active();
        if is_kept || self.files.get(&number).is_none_or(|known| known.chunks > 0) {
            return;
        }
        self.growing.iter_mut().filter(|growing| grows(growing)).for_each(|growing| *growing = None);
        if let Some(known) = self.files.remove(&number) {
            // One that cannot be removed is by the next start.
            let _ = self.account.storage().remove(&name_of(self.account.backend(), number));
            self.account.overflows_no_more(known.bytes);
        }
        if !self.is_active() {
            self.forget_empty();
        }
    }

    /// The files of other signals, which grew while something waited.
    fn forget_empty(&mut self) {
        let empty: Vec<u64> =
            self.files.iter().filter(|(_, known)| known.chunks == 0).map(|(number, _)| *number).collect();
        if let Some(number) = empty.first() {
            self.remove_if_read(*number);
        }
    }
}

/// Reads one chunk without the lock of the queue.
pub(super) struct Reader {
    account: OnDisk,
    chunk: Chunk,
}

impl Reader {
    /// The request. Blocks on the disk.
    ///
    /// # Errors
    /// What the disk says, or that it is not what was written.
    pub(super) fn read(&self) -> io::Result<Waiting> {
        let chunk = &self.chunk;
        let file = self.account.storage().open(&name_of(self.account.backend(), chunk.file))?;
        let mut bytes = vec![0; chunk.amount.bytes];
        let read = file.read_at(&mut bytes, chunk.offset)?;
        if read < bytes.len() || crc32c::crc32c(&bytes) != chunk.sum {
            return Err(io::Error::new(ErrorKind::InvalidData, "what is there is not what was written"));
        }
        let (signal, items, marks) = (chunk.signal, chunk.amount.items, chunk.marks.clone());
        Ok(Waiting { signal, request: Bytes::from(bytes), items, marks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Limits, open_directory};
    use std::path::Path;

    const MIB: usize = 1 << 20;

    fn overflow(directory: &Path) -> Overflow {
        let limits = Limits::of(64 << 20, 0);
        let (journal, _) = open_directory(directory, limits, &["otlp/a".to_owned()]).expect("a journal");
        Overflow::new(OnDisk::of(&journal, "otlp/a").expect("it is there"))
    }

    fn of(signal: Signal, byte: u8, bytes: usize) -> Waiting {
        let marks = Marks::of(Some(u64::from(byte)));
        Waiting { signal, request: vec![byte; bytes].into(), items: 1, marks }
    }

    fn files(directory: &Path) -> usize {
        let names =
            std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().starts_with(crate::journal::OVERFLOW)).count()
    }

    /// Reads the oldest.
    fn next(overflow: &mut Overflow) -> Option<Waiting> {
        overflow.first()?;
        let (chunk, reader) = overflow.take()?;
        assert!(overflow.is_active() && overflow.first().is_none(), "one at a time");
        let read = reader.read().expect("it can be read");
        overflow.is_read(&chunk);
        Some(read)
    }

    #[test]
    fn what_is_written_comes_back_in_order_and_small_ones_of_a_signal_together() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut overflow = overflow(directory.path());
        for byte in 0..10 {
            overflow.push(of(Signal::Logs, byte, 100), MIB).expect("room");
            overflow.push(of(Signal::Traces, byte, 200), MIB).expect("room");
        }
        overflow.push(of(Signal::Logs, 10, MIB), MIB).expect("room");
        assert_eq!(overflow.waiting(), Amount { items: 21, bytes: 3_000 + MIB });
        assert_eq!(files(directory.path()), 2);
        let first = next(&mut overflow).expect("logs");
        let expected: Vec<u8> = (0..10).flat_map(|byte| [byte; 100]).collect();
        assert_eq!((first.signal, first.items, &first.request[..]), (Signal::Logs, 10, &expected[..]));
        assert!(first.marks.positions().eq(0..10));
        let second = next(&mut overflow).expect("traces");
        assert_eq!((second.signal, second.items, second.request.len()), (Signal::Traces, 10, 2_000));
        assert_eq!(next(&mut overflow).expect("the long one").request.len(), MIB);
        assert!(next(&mut overflow).is_none() && !overflow.is_active());
        assert_eq!((overflow.waiting(), overflow.disk_bytes(), files(directory.path())), (Amount::default(), 0, 0));
        assert_eq!(overflow.account.journal().counts().overflow_bytes(), 0);
    }

    #[test]
    fn files_that_are_read_give_their_room_back_while_others_wait() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut overflow = overflow(directory.path());
        for byte in 0..50 {
            overflow.push(of(Signal::Logs, byte, MIB), MIB).expect("room");
        }
        let all = overflow.disk_bytes();
        assert_eq!((all, files(directory.path())), (50 << 20, 4));
        for byte in 0..33 {
            assert_eq!(next(&mut overflow).expect("it waits").request.first(), Some(&byte));
        }
        assert_eq!((overflow.disk_bytes(), files(directory.path())), (18 << 20, 2));
        assert_eq!(overflow.account.journal().counts().overflow_bytes(), 18 << 20);
    }

    #[test]
    fn a_flipped_bit_is_seen_and_a_start_takes_away_what_is_left() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut first = overflow(directory.path());
        first.push(of(Signal::Logs, 7, 100), MIB).expect("room");
        let path = directory.path().join(name_of(0, 1));
        let mut bytes = std::fs::read(&path).expect("a file");
        bytes[50] ^= 1;
        std::fs::write(&path, bytes).expect("a file");
        let (chunk, reader) = first.take().expect("it waits");
        assert!(reader.read().is_err());
        first.is_read(&chunk);
        first.push(of(Signal::Logs, 8, 100), MIB).expect("room");
        drop((first, reader));
        assert_eq!(files(directory.path()), 1);
        drop(overflow(directory.path()));
        assert_eq!(files(directory.path()), 0);
    }

    #[test]
    fn a_disk_that_does_not_take_it_gives_it_back_and_is_left_alone_for_a_while() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut overflow = overflow(directory.path());
        // Somebody else's file is in the way.
        std::fs::write(directory.path().join(name_of(0, 1)), "").expect("a file");
        let (back, _) = overflow.push(of(Signal::Logs, 7, 100), MIB).expect_err("it is taken");
        assert_eq!((back.request.len(), overflow.has_room(), overflow.is_active()), (100, false, false));
        std::fs::remove_file(directory.path().join(name_of(0, 1))).expect("it was there");
        overflow.push(of(Signal::Logs, 7, 100), MIB).expect("room");
        assert!(overflow.has_room());
    }
}
