//! `why502 journal inspect`, `verify` and `repair`.

use super::cursors::{self, Cursors};
use super::directory;
use super::frame::{HEAD, HEADER, Head};
use super::open;
use super::scan::{Damage, Found, Scan};
use super::segment::{Next, Opened, Segment};
use super::storage::Storage;
use super::{Cursor, JournalError};
use std::path::Path;

/// Ends the names of files that are set aside.
const ASIDE: &str = ".damaged";

/// What a journal holds.
#[derive(Debug)]
pub struct Report {
    /// The segments.
    pub segments: Vec<Found>,
    /// How far each backend is; `None` where nobody knows.
    pub backends: Option<Vec<(String, Cursor)>>,
    /// Acknowledged requests that cannot be read.
    pub damages: Vec<Damage>,
    /// Bytes that a crash left at the end.
    pub torn_bytes: u64,
}

impl Report {
    /// Requests in the journal that a backend lacks.
    pub fn lacking(&self, cursor: &Cursor) -> usize {
        let positions = self.segments.iter().flat_map(|found| found.positions.clone()).flatten();
        positions.filter(|position| !cursor.has(*position)).count()
    }
}

/// What a repair did.
#[derive(Debug)]
pub struct Repaired {
    /// The damage that it left behind.
    pub damages: Vec<Damage>,
    /// Files that were set aside, as they are called now.
    pub aside: Vec<String>,
}

/// Reads a whole journal and changes nothing; another process may write to it meanwhile.
///
/// # Errors
/// When it cannot be read at all.
pub fn inspect(path: &Path) -> Result<Report, JournalError> {
    let storage = directory::look(path)?;
    let (report, _) = look(&*storage)?;
    Ok(report)
}

fn look(storage: &dyn Storage) -> Result<(Report, u64), JournalError> {
    let names = storage.names().map_err(|source| JournalError::io("list", "its files", source))?;
    let (known, is_lost) = match Cursors::read(storage, &names) {
        Ok(known) => (known, false),
        Err(JournalError::Cursors) => (None, true),
        Err(other) => return Err(other),
    };
    let lowest = known.as_ref().and_then(|known| known.backends.iter().map(|(_, cursor)| cursor.next).min());
    let synced = known.as_ref().map_or(0, |known| known.synced);
    let scan = Scan::of(storage, &names, synced, lowest)?;
    let backends = match known {
        Some(known) => Some(known.backends),
        None if is_lost => None,
        None => Some(Vec::new()),
    };
    let last = scan.last;
    let Scan { segments, damages, torn_bytes, .. } = scan;
    Ok((Report { segments, backends, damages, torn_bytes }, last))
}

/// Makes a journal whole without what cannot be read. Each file that is changed is kept under another name.
///
/// # Errors
/// When it cannot be read or written, or another process has it open.
pub fn repair(path: &Path) -> Result<Repaired, JournalError> {
    repair_storage(&*directory::lock(path)?)
}

pub(super) fn repair_storage(storage: &dyn Storage) -> Result<Repaired, JournalError> {
    let (report, last) = look(storage)?;
    let mut repaired = Repaired { damages: report.damages, aside: Vec::new() };
    if !repaired.damages.is_empty() {
        let names = storage.names().map_err(|source| JournalError::io("list", "its files", source))?;
        // Where the oldest are missing, what is left begins behind what was delivered.
        let lowest = report.backends.iter().flatten().map(|(_, cursor)| cursor.next.saturating_sub(1)).min();
        let mut before = lowest;
        for name in names.iter().filter(|name| super::segment::first_of(name).is_some()) {
            let is_first = before == lowest;
            rewrite(storage, name, &mut before, is_first, &mut repaired.aside)?;
        }
    }
    if report.backends.is_none() {
        set_aside(storage, cursors::NAME, &mut repaired.aside)?;
    } else if !repaired.damages.is_empty() {
        // What is missing is missing: nobody was told of more than what is there.
        let backends = report.backends.unwrap_or_default();
        let write = Cursors { synced: last, backends }.write(storage);
        write.map_err(|source| JournalError::io("write", cursors::NAME, source))?;
    }
    storage.sync_names().map_err(|source| JournalError::io("sync", "the directory", source))?;
    Ok(repaired)
}

/// Writes a segment anew with what can be read of it, chained to what comes before. One that is sound stays as it is.
fn rewrite(
    storage: &dyn Storage,
    name: &str,
    before: &mut Option<u64>,
    is_first: bool,
    aside: &mut Vec<String>,
) -> Result<(), JournalError> {
    let mut is_behind = !is_first;
    let io = |source| JournalError::io("read", name, source);
    let mut segment = match Segment::open(storage, name)? {
        Opened::Segment(segment) => segment,
        Opened::Headless(_) => return set_aside(storage, name, aside),
    };
    let header = open::header(segment.header().first);
    let mut bytes = Vec::from(header.encode());
    let mut is_sound = true;
    loop {
        match segment.next().map_err(io)? {
            Next::End => break,
            Next::Broken(_) => is_sound = false,
            Next::Entry(_, head, entry) => {
                // What comes before the first one was removed as delivered, or is delivered and still there.
                let is_first = !is_behind;
                let fits = before.is_none_or(|before| before == head.before || is_first && head.before < before);
                is_sound &= fits;
                let head = Head { before: before.filter(|_| !fits).unwrap_or(head.before), ..head };
                *before = Some(head.position);
                is_behind = true;
                bytes.reserve(HEAD + entry.request.len());
                bytes.extend_from_slice(&head.encode(header.salt));
                bytes.extend_from_slice(entry.receiver.as_bytes());
                bytes.extend_from_slice(&entry.request);
            }
        }
    }
    if is_sound {
        return Ok(());
    }
    if bytes.len() == HEADER {
        return set_aside(storage, name, aside);
    }
    let new = format!("{name}.new");
    let io = |source| JournalError::io("write", &new, source);
    let _ = storage.remove(&new);
    let file = storage.create(&new).map_err(io)?;
    file.write_at(&bytes, 0).map_err(io)?;
    file.sync().map_err(io)?;
    set_aside(storage, name, aside)?;
    storage.rename(&new, name).map_err(io)
}

fn set_aside(storage: &dyn Storage, name: &str, aside: &mut Vec<String>) -> Result<(), JournalError> {
    let to = format!("{name}{ASIDE}");
    storage.rename(name, &to).map_err(|source| JournalError::io("rename", name, source))?;
    aside.push(to);
    Ok(())
}
