//! What can be said of a journal before it is opened, for `why502 validate`: nothing is made, changed or kept locked.

use super::{JournalError, check, directory};
use rustix::fs::{Access, AtFlags, CWD, FlockOperation, accessat, flock, statvfs};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// With less than this on the disk not even an empty journal is certain to begin.
const FREE_MIN: u64 = super::SEGMENT_BYTES.0;

/// Looks at a directory as an opening would. Returns what works and may not be meant.
///
/// # Errors
/// The reason why it could not be opened now.
pub fn look(path: &Path, bytes_max: u64) -> Result<Vec<String>, JournalError> {
    if !path.exists() {
        return made(path).map(|()| short_of_room(path, bytes_max, 0).into_iter().collect());
    }
    if !path.is_dir() {
        return Err(JournalError::io("make", "the directory", ErrorKind::NotADirectory.into()));
    }
    directory::owned(path)?;
    writable(path).map_err(|source| JournalError::io("write", "the directory", source))?;
    if is_locked(path) {
        // It has been read by who has it open, and changes while it is looked at.
        return Ok(vec!["another process has it open; where that is not the why502 that this file is of, name another directory: two cannot share one".to_owned()]);
    }
    let report = check::inspect(path)?;
    if let Some(damage) = report.damages.into_iter().next() {
        return Err(JournalError::Damaged(damage));
    }
    if report.backends.is_none() {
        return Err(JournalError::Cursors);
    }
    let own = report.segments.iter().map(|found| found.bytes).sum();
    if free(path).is_some_and(|free| free < FREE_MIN) {
        return Err(JournalError::io("write", "the directory", ErrorKind::StorageFull.into()));
    }
    Ok(short_of_room(path, bytes_max, own).into_iter().collect())
}

/// Whether a directory that is missing could be made.
fn made(path: &Path) -> Result<(), JournalError> {
    let above = path.ancestors().skip(1).map(or_here).find(|above| above.exists());
    let above = above.unwrap_or(Path::new("/"));
    let io = |source| JournalError::io("make", "the directory", source);
    if !above.is_dir() {
        return Err(io(ErrorKind::NotADirectory.into()));
    }
    writable(above).map_err(io)
}

/// The parent of a relative name is called nothing.
fn or_here(path: &Path) -> &Path {
    if path == Path::new("") { Path::new(".") } else { path }
}

fn writable(path: &Path) -> io::Result<()> {
    Ok(accessat(CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Held for a moment where nobody else has it; who opens a journal waits longer than that.
fn is_locked(path: &Path) -> bool {
    let Ok(lock) = File::open(path.join(directory::LOCK)) else { return false };
    flock(&lock, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

fn free(path: &Path) -> Option<u64> {
    let there = path.ancestors().map(or_here).find(|path| path.exists())?;
    statvfs(there).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn short_of_room(path: &Path, bytes_max: u64, own: u64) -> Option<String> {
    let left = free(path)?.saturating_add(own);
    (left < bytes_max).then(|| {
        format!(
            "its disk has room for {} MiB and `journal::max_bytes` is {} MiB: senders are asked to come back when the disk is full; free space there, or lower it",
            left >> 20,
            bytes_max >> 20
        )
    })
}
