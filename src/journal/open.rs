//! Opening: what is there is read once, torn ends are cut off, damage is said.

use super::cursors::{self, Cursors};
use super::frame::Header;
use super::ledger::{Cursor, Ledger};
use super::scan::{Found, Scan};
use super::storage::Storage;
use super::writer::Writer;
use super::{JournalError, Limits, Opening};
use std::sync::Arc;

/// A journal before its thread runs.
pub(super) struct Recovered {
    pub(super) writer: Writer,
    pub(super) old: Vec<Found>,
    pub(super) opening: Opening,
    pub(super) next: u64,
}

pub(super) fn open(storage: Arc<dyn Storage>, limits: Limits, backends: &[String]) -> Result<Recovered, JournalError> {
    let names = storage.names().map_err(|source| JournalError::io("list", "its files", source))?;
    let known = Cursors::read(&*storage, &names)?;
    let synced = known.as_ref().map_or(0, |known| known.synced);
    let lowest = known.as_ref().and_then(|known| known.backends.iter().map(|(_, cursor)| cursor.next).min());
    let mut scan = Scan::of(&*storage, &names, synced, lowest)?;
    if let Some(damage) = scan.damages.first() {
        return Err(JournalError::Damaged(damage.clone()));
    }
    let mut opening = Opening::default();
    mend(&*storage, &mut scan, &mut opening)?;
    let first = scan.segments.iter().find_map(|found| found.positions.first()).map_or(1, |range| range.start);
    let next = scan.last.max(synced).max(known.as_ref().map_or(0, newest_cursor)) + 1;
    let is_new = known.is_none() && scan.last == 0;
    if known.is_none() && scan.last > 0 {
        opening.warnings.push(
            "its file `cursors` is missing, so that nobody knows what is delivered; all that is in it is delivered again"
                .to_owned(),
        );
    }
    let known = known.unwrap_or_default();
    let mut all = Vec::new();
    for name in backends {
        let cursor = known.backends.iter().find(|(known, _)| known == name).map(|(_, cursor)| cursor.clone());
        // One that was added later does not get what came before.
        let begin = if known.backends.is_empty() && !is_new { first } else { next };
        all.push(cursor.unwrap_or(Cursor { next: begin, done: Vec::new() }));
    }
    for (name, cursor) in known.backends.iter().filter(|(name, _)| !backends.contains(name)) {
        let positions = scan.segments.iter().flat_map(|found| found.positions.clone()).flatten();
        let lacking = positions.filter(|position| !cursor.has(*position)).count();
        if lacking > 0 {
            opening.warnings.push(format!(
                "the exporter `{name}` has no `storage: journal` any more; {lacking} requests that it lacks are not sent"
            ));
        }
    }
    let mut ledger = Ledger::new(&all, next);
    // Positions of writes that failed, and of damage that was set aside.
    let lowest = ledger.lowest();
    let mut present = scan.segments.iter().flat_map(|found| found.positions.clone()).flatten().peekable();
    for position in lowest..next {
        while present.next_if(|present| *present < position).is_some() {}
        if present.peek() != Some(&position) {
            ledger.open(position, &[]);
        }
    }
    let writer = Writer::new(storage, limits, ledger, scan.segments.clone(), backends.to_vec(), next)?;
    writer.counts().add_torn_bytes(scan.torn_bytes);
    Ok(Recovered { writer, old: scan.segments, opening, next })
}

fn newest_cursor(cursors: &Cursors) -> u64 {
    let end = |cursor: &Cursor| cursor.done.last().map_or(cursor.next, |range| range.end.max(cursor.next));
    cursors.backends.iter().map(|(_, cursor)| end(cursor).saturating_sub(1)).max().unwrap_or(0)
}

/// Cuts torn ends off and takes away what never held a request.
fn mend(storage: &dyn Storage, scan: &mut Scan, opening: &mut Opening) -> Result<(), JournalError> {
    let mut is_changed = false;
    if let Some((name, length)) = scan.torn.take() {
        opening.warnings.push(format!(
            "{} bytes at the end of {name} were being written when the program or the machine stopped; none of them was acknowledged, and they are cut off",
            scan.torn_bytes
        ));
        if length < super::frame::HEADER as u64 {
            scan.empty.push(name);
        } else {
            let cut = storage.open(&name).and_then(|file| file.cut(length).and_then(|()| file.sync()));
            cut.map_err(|source| JournalError::io("cut", &name, source))?;
        }
    }
    let unread: Vec<String> =
        scan.segments.iter().filter(|found| found.positions.is_empty()).map(|found| found.name.clone()).collect();
    scan.segments.retain(|found| !found.positions.is_empty());
    scan.empty.extend(unread);
    scan.empty.dedup();
    for name in &scan.empty {
        storage.remove(name).map_err(|source| JournalError::io("remove", name, source))?;
        is_changed = true;
    }
    // All of it is in the segments as well.
    let names = storage.names().map_err(|source| JournalError::io("list", "its files", source))?;
    for name in names.iter().filter(|name| name.starts_with(super::OVERFLOW)) {
        storage.remove(name).map_err(|source| JournalError::io("remove", name, source))?;
        is_changed = true;
    }
    match storage.remove(cursors::NEW) {
        Ok(()) => is_changed = true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(JournalError::io("remove", cursors::NEW, source)),
    }
    if is_changed {
        storage.sync_names().map_err(|source| JournalError::io("sync", "the directory", source))?;
    }
    Ok(())
}

/// A header with a salt that nobody knows.
pub(super) fn header(first: u64) -> Header {
    Header { first, salt: rand::random() }
}
