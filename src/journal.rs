//! The journal: what is acknowledged is on the disk before, and stays there until every backend has it.
//!
//! ```text
//!  append ─► staged ─► writer's thread: write, fdatasync ─► acknowledgement      one append for a request, one sync for many
//!    │                                                          │
//!    └─ position ─► pieces ─► queues, holds ─► backends ─► ledger: done          one cursor for each backend
//!                                                             └─► cursors file, segments that nobody needs are removed
//! ```
//!
//! The directory:
//!
//! ```text
//!  overflow-0-17                      what the queue of a backend has no memory for (`exporter/overflow.rs`); not needed after an end
//!  lock                               held (flock) by the one process that may write
//!  note-incidents                     what is to be told of incidents that are open, should the program end before they do (`notes.rs`)
//!  cursors                            how far each backend is (`cursors.rs`)
//!  00000000000000000001.segment       requests from position 1 on
//!  00000000000000004711.segment       the newest; only ever appended to, and each start begins a new one
//! ```
//!
//! A segment, numbers little endian, sums CRC-32C:
//!
//! ```text
//!  header, 32 bytes     "why502\nj" 8 | version u32 | salt u32 | first position u64 | 0 u32 | sum of these u32
//!  frame, 56 bytes      sum of the rest of the head, begun with the salt u32 | sum of the body u32 | length of the body u32
//!                       | length of the receiver's name u16 | signal u8 | 0 u8 | position u64 | position of the frame before u64
//!                       | synced up to u64 | arrived, Unix ns i64 | items u64
//!        body           name of the receiver | protobuf of the request
//!  frame ...
//! ```
//!
//! Invariants: nothing is acknowledged before its sync returned; after a sync that failed nothing is written any more, since
//! the kernel may have dropped the pages and would say yes the next time; a name that was made, changed or taken away is
//! synced as well; what cannot be read is said with its place and never skipped in silence.

mod account;
mod check;
mod cursors;
mod deliveries;
mod directory;
mod frame;
mod ledger;
mod look;
mod marks;
mod notes;
mod open;
mod replay;
mod scan;
mod segment;
pub mod storage;
mod writer;

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

pub use account::{Account, OnDisk};
pub use check::{Repaired, Report, inspect, repair};
pub use deliveries::Deliveries;
pub use directory::open_directory;
pub use frame::{Append, Entry, VERSION};
pub use ledger::{Cursor, context_of};
pub use look::look;
pub use marks::Marks;
pub use replay::Replay;
pub use scan::{Damage, Found};

use crate::read::evidence::Nanos;
use bytes::Bytes;
use ledger::Ledger;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use storage::Storage;
use writer::Writer;

/// Why a journal cannot be opened. Each says what to do next; [`JournalError::in_directory`] adds where.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refuses something.
    #[error("cannot {operation} {name}: {source}{}", advice(.source))]
    Io {
        /// `read`, `write`.
        operation: &'static str,
        /// The file.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// It belongs to somebody else.
    #[error(
        "it belongs to user {owner} and why502 runs as user {own}; run it as that user, or name a directory of its own"
    )]
    Foreign {
        /// The user of the directory.
        owner: u32,
        /// Our own.
        own: u32,
    },
    /// Another process writes there.
    #[error("another process has it open; end that one, or name another directory: two cannot share one")]
    Locked,
    /// Another version of the format.
    #[error(
        "{name} is of format version {found} and this program reads version {VERSION}; start the program that wrote it until everything is delivered, or name another directory"
    )]
    Version {
        /// The file.
        name: String,
        /// Its version.
        found: u32,
    },
    /// Acknowledged requests cannot be read.
    #[error(
        "{} is damaged at byte {}: requests {} to {} were acknowledged and cannot be read; `why502 journal verify DIR` shows all damage, `why502 journal repair DIR` keeps what can be read and sets the rest aside", .0.name, .0.offset, .0.missing.start, .0.missing.end - 1
    )]
    Damaged(Damage),
    /// The file of cursors cannot be read.
    #[error(
        "the file `cursors` is damaged, so that nobody knows what is delivered; `why502 journal repair DIR` makes it anew, and what is in the journal is then delivered again"
    )]
    Cursors,
    /// The thread that writes cannot be started.
    #[error("the thread that writes cannot be started: {0}; raise the limit of processes of this user")]
    Thread(io::Error),
}

impl JournalError {
    fn io(operation: &'static str, name: &str, source: io::Error) -> JournalError {
        JournalError::Io { operation, name: name.to_owned(), source }
    }

    /// The whole sentence.
    pub fn in_directory(&self, directory: &std::path::Path) -> String {
        let shown = directory.display().to_string();
        format!("the journal {shown}: {}", self.to_string().replace(" DIR`", &format!(" {shown}`")))
    }
}

/// What to do about an error of the system.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free space there, or name a directory on a larger disk",
        ErrorKind::ReadOnlyFilesystem => "; mount it writable, or name a directory elsewhere",
        ErrorKind::PermissionDenied => "; let the user of why502 read and write there",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "; name a directory, not a file",
        _ => "; check the disk, or name a directory on another one",
    }
}

/// Why a request is not kept, and so not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// All bytes that the journal may take are needed still.
    #[error("the journal is full ({bytes} of {bytes_max} bytes wait for a backend)")]
    Full {
        /// Those on disk.
        bytes: u64,
        /// Those of the setting.
        bytes_max: u64,
    },
    /// More would take too much memory to count.
    #[error("the journal is full ({requests} requests wait for a backend)")]
    Many {
        /// Those that wait.
        requests: u64,
    },
    /// The disk does not take it, but may later.
    #[error("the journal cannot be written: {0}")]
    Disk(String),
    /// A sync failed: nothing is acknowledged until the next start.
    #[error("the disk did not confirm what was written to the journal: {0}; check the disk, then start why502 anew")]
    Poisoned(String),
    /// The program is ending.
    #[error("the journal is closed")]
    Closed,
}

/// Limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all segments together.
    pub bytes_max: u64,
    /// A segment of so many bytes is closed; a larger request has one of its own.
    pub segment_bytes: u64,
    /// Requests that some backend lacks.
    pub requests_max: u64,
    /// How long what is delivered stays for the engine to see it again.
    pub context: Nanos,
}

/// Begins the names of files of what queues have no memory for; nothing in them is needed after an end.
pub(crate) const OVERFLOW: &str = "overflow-";

/// Requests that some backend lacks: each is counted in 4 bytes of memory for each backend.
const REQUESTS_MAX: u64 = 4 << 20;
/// Segments are as many as this where all bytes are used, so that what is delivered makes room soon.
const SEGMENTS: u64 = 16;
/// The smallest and the largest segment; a new one costs two syncs.
const SEGMENT_BYTES: (u64, u64) = (1 << 20, 64 << 20);

impl Limits {
    /// Of a journal of so many bytes, for an engine that holds records so long.
    pub fn of(bytes_max: u64, hold: Nanos) -> Limits {
        let (least, most) = SEGMENT_BYTES;
        Limits {
            bytes_max,
            segment_bytes: (bytes_max / SEGMENTS).clamp(least, most),
            requests_max: REQUESTS_MAX,
            context: context_of(hold),
        }
    }
}

/// Numbers for our own telemetry.
#[derive(Debug, Default)]
pub struct Counts {
    appended: AtomicU64,
    syncs: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
    replayed: AtomicU64,
    torn_bytes: AtomicU64,
    disk_bytes: AtomicU64,
    overflow_bytes: AtomicU64,
    poisoned: AtomicU64,
}

macro_rules! counted {
    ($($(#[$doc:meta])* $get:ident, $add:ident, $field:ident;)*) => {
        impl Counts {
            $(
                $(#[$doc])*
                pub fn $get(&self) -> u64 {
                    self.$field.load(Ordering::Relaxed)
                }

                pub(crate) fn $add(&self, count: u64) {
                    self.$field.fetch_add(count, Ordering::Relaxed);
                }
            )*
        }
    };
}

counted! {
    /// Requests that were appended and synced.
    appended, add_appended, appended;
    /// Syncs that acknowledged something.
    syncs, add_syncs, syncs;
    /// Bytes that were appended, with their heads.
    bytes, add_bytes, bytes;
    /// Requests that could not be kept.
    refused, add_refused, refused;
    /// Items that a start found undelivered.
    replayed, add_replayed, replayed;
    /// Bytes that no request was read from, left by a crash.
    torn_bytes, add_torn_bytes, torn_bytes;
}

impl Counts {
    /// Bytes of all segments at the moment.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of what queues have no memory for.
    pub fn overflow_bytes(&self) -> u64 {
        self.overflow_bytes.load(Ordering::Relaxed)
    }

    /// Everything that `max_bytes` is the limit of.
    pub fn all_bytes(&self) -> u64 {
        self.disk_bytes().saturating_add(self.overflow_bytes())
    }

    /// 1 after a sync failed: nothing is acknowledged until the next start.
    pub fn poisoned(&self) -> u64 {
        self.poisoned.load(Ordering::Relaxed)
    }
}

/// An open journal.
pub struct Journal {
    writer: Arc<Writer>,
    /// Positions below it were there at the start.
    replay_end: u64,
    /// The names of what was there at the start, in order.
    old: Vec<Found>,
    backends: Vec<String>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Journal({} backends)", self.backends.len())
    }
}

/// What a start found.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// Sentences for the log.
    pub warnings: Vec<String>,
}

impl Journal {
    /// Opens a journal for backends of these names.
    ///
    /// # Errors
    /// Every reason why it may not be written, and [`JournalError::Damaged`] where acknowledged requests are missing.
    pub fn open(
        storage: Arc<dyn Storage>,
        limits: Limits,
        backends: &[String],
    ) -> Result<(Arc<Journal>, Opening), JournalError> {
        let open::Recovered { writer, old, opening, next } = open::open(storage, limits, backends)?;
        let writer = Arc::new(writer);
        let of_thread = Arc::clone(&writer);
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || of_thread.run());
        let thread = thread.map_err(JournalError::Thread)?;
        let journal =
            Journal { writer, replay_end: next, old, backends: backends.to_vec(), thread: Mutex::new(Some(thread)) };
        Ok((Arc::new(journal), opening))
    }

    /// Keeps a request: when this returns, it is on the disk.
    ///
    /// # Errors
    /// Then it must not be acknowledged.
    pub async fn append(&self, append: Append<'_>) -> Result<Kept, NotKept> {
        let staged = self.writer.stage(append);
        let (position, synced) = staged.inspect_err(|_| self.writer.counts().add_refused(1))?;
        // From here on: where the sender goes away, or the disk fails, nobody is owed anything.
        let kept = Kept { writer: Arc::clone(&self.writer), position, is_used: false };
        let result = synced.await.unwrap_or(Err(NotKept::Closed));
        result.inspect_err(|_| self.writer.counts().add_refused(1))?;
        Ok(kept)
    }

    /// Says in how many pieces a request of before goes to which backends.
    pub fn open_pieces(&self, position: u64, pieces: &[(usize, u32)]) {
        self.ledger().open(position, pieces);
    }

    /// Numbers for our own telemetry.
    pub fn counts(&self) -> &Counts {
        self.writer.counts()
    }

    /// Bytes that it may take.
    pub fn bytes_max(&self) -> u64 {
        self.writer.limits().bytes_max
    }

    /// Why nothing would be kept now; `None` while it takes what comes.
    pub fn trouble(&self) -> Option<NotKept> {
        self.writer.trouble()
    }

    /// What the start found undelivered, oldest first, and before it what the engine must see again to judge it as before;
    /// empty where every backend has everything.
    pub fn replay(&self) -> Replay {
        let lowest = self.ledger().lowest();
        let needs = |found: &&Found| found.last().is_some_and(|last| last >= lowest);
        let journal = Arc::clone(&self.writer);
        let mut replay = Replay { journal, segments: Vec::new(), open: None, lowest, from: i64::MAX };
        if lowest >= self.replay_end {
            return replay;
        }
        // When the oldest of those that somebody lacks came; found by reading, as its segment may be long.
        let oldest = self.old.iter().find(needs).and_then(|found| self.writer.arrival(&found.name, lowest));
        replay.from = oldest.unwrap_or(Nanos::MIN).saturating_sub(self.writer.limits().context);
        let from = replay.from;
        let seen = |found: &&Found| needs(found) || found.arrived.is_some_and(|(_, newest)| newest >= from);
        replay.segments = self.old.iter().filter(seen).rev().map(|found| found.name.clone()).collect();
        replay
    }

    /// The texts of a note that was left here; none where there is none.
    ///
    /// # Errors
    /// What the disk says, or that it is not what was written.
    pub fn note(&self, name: &str) -> io::Result<Vec<Bytes>> {
        notes::read(self.writer.storage(), name)
    }

    /// Leaves a note. Blocks on the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn leave_note<'t>(&self, name: &str, texts: impl Iterator<Item = &'t [u8]>) -> io::Result<()> {
        // A disk that did not confirm a sync is not believed in anything.
        if self.counts().poisoned() > 0 { Ok(()) } else { notes::write(self.writer.storage(), name, texts) }
    }

    /// Writes down how far everybody is, and ends. What is not delivered by then is replayed by the next start.
    pub fn close(&self) {
        self.writer.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's thread ended early");
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.writer.ledger()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// A request that is on the disk. Where it is dropped unused, nobody was told that it is, and it is forgotten.
pub struct Kept {
    writer: Arc<Writer>,
    position: u64,
    is_used: bool,
}

impl Kept {
    /// Its position, with the number of pieces that it goes in to which backends.
    pub fn used(mut self, pieces: &[(usize, u32)]) -> u64 {
        self.is_used = true;
        self.writer.ledger().open(self.position, pieces);
        self.position
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.is_used {
            self.writer.ledger().open(self.position, &[]);
        }
    }
}
