//! A journal in a directory of the system: whose it is, and that nobody else has it open.

use super::storage::{Directory, Storage, Stored};
use super::{Journal, JournalError, Limits, Opening};
use rustix::fs::FlockOperation;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The file that is locked.
pub(super) const LOCK: &str = "lock";
/// How often it is tried, and how long it is waited for between: `why502 validate` holds it for a moment.
const TRIES: u32 = 4;
const BETWEEN: Duration = Duration::from_millis(50);

/// A directory that this process alone writes to; the lock is held as long as it is there.
struct Locked {
    directory: Directory,
    _lock: File,
}

/// Opens the journal in a directory, which is made where it is missing.
///
/// # Errors
/// As [`Journal::open`], and when the directory is another user's or another process has it open.
pub fn open_directory(
    path: &Path,
    limits: Limits,
    backends: &[String],
) -> Result<(Arc<Journal>, Opening), JournalError> {
    Journal::open(lock(path)?, limits, backends)
}

/// Makes the directory and locks it.
pub(super) fn lock(path: &Path) -> Result<Arc<dyn Storage>, JournalError> {
    make(path).map_err(|source| JournalError::io("make", "the directory", source))?;
    owned(path)?;
    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join(LOCK));
    let lock = lock.map_err(|source| JournalError::io("open", LOCK, source))?;
    let mut tries = 1;
    loop {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) if tries < TRIES => std::thread::sleep(BETWEEN),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(JournalError::Locked),
            Err(error) => return Err(JournalError::io("lock", LOCK, error.into())),
        }
        tries += 1;
    }
    Ok(Arc::new(Locked { directory: Directory::new(path.to_owned()), _lock: lock }))
}

/// A directory that is only looked at.
pub(super) fn look(path: &Path) -> Result<Arc<dyn Storage>, JournalError> {
    std::fs::read_dir(path).map_err(|source| JournalError::io("read", "the directory", source))?;
    Ok(Arc::new(Directory::new(path.to_owned())))
}

fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    // What is in it are logs, which others on this machine may not be meant to read.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // Its own name is in the directory above.
    let above = path.canonicalize()?;
    above.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
}

/// What root writes into another user's directory that user could not read.
pub(super) fn owned(path: &Path) -> Result<(), JournalError> {
    let metadata = std::fs::metadata(path).map_err(|source| JournalError::io("read", "the directory", source))?;
    let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner == own { Ok(()) } else { Err(JournalError::Foreign { owner, own }) }
}

impl Storage for Locked {
    fn names(&self) -> io::Result<Vec<String>> {
        self.directory.names()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Stored>> {
        self.directory.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Stored>> {
        self.directory.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.directory.sync_names()
    }
}
