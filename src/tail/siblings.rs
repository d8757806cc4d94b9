//! Where a rotation has put a log: beside it, under a name that begins with its own.

use super::followed::{Id, Left, first_of, id};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Names that are looked at in one folder: a rotation keeps some dozens.
const NAMES_MAX: usize = 4_096;

/// Looks at a folder at most: each that finds something new, or a name that has gone to another file, is followed by another.
const LOOKS_MAX: usize = 8;

/// A file that a rotation has put beside its log. It is open, as its name may be another file's by now.
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) file: File,
    metadata: Metadata,
}

impl Sibling {
    fn open(path: PathBuf) -> io::Result<Sibling> {
        let file = File::open(&path)?;
        let metadata = file.metadata()?;
        Ok(Sibling { path, file, metadata })
    }
}

/// Logs whose name stands for another file or for none, with their file where it is now.
pub(super) fn moved(left: &[Left]) -> Vec<(PathBuf, Sibling)> {
    let mut found = Vec::new();
    for left in left {
        let is_there = std::fs::metadata(&left.path).is_ok_and(|metadata| id(&metadata).1 == left.id.1);
        if is_there {
            continue;
        }
        let again = beside(&left.path, |metadata| id(metadata).1 == left.id.1)
            .into_iter()
            .find(|sibling| first_of(&sibling.file).is_ok_and(|first| left.is(id(&sibling.metadata), &first)));
        // One that was read to its end has nothing more, and its program writes to another.
        if let Some(sibling) = again.filter(|sibling| sibling.metadata.len() > left.offset) {
            found.push((left.path.clone(), sibling));
        }
    }
    found
}

/// Files of a log that were made after `before` and before `newest`, in the order in which they were made: none that is
/// `known`, and none that begins as one `of_log` does, which is a copy of it. Nothing where the file system does not say when
/// a file was made.
pub(super) fn between(
    log: &Path,
    before: SystemTime,
    newest: &Metadata,
    known: &BTreeSet<Id>,
    of_log: &[Left],
) -> Vec<Sibling> {
    let Ok(end) = newest.created() else { return Vec::new() };
    let is_between = |metadata: &Metadata| {
        let is_other = !known.contains(&id(metadata)) && id(metadata) != id(newest);
        is_other && metadata.created().is_ok_and(|made| made > before && made <= end)
    };
    let is_copy = |first: &[u8]| of_log.iter().any(|left| !left.first.is_empty() && first.starts_with(&left.first));
    let mut found = beside(log, is_between);
    found.retain(|sibling| first_of(&sibling.file).is_ok_and(|first| !is_copy(&first)));
    found.sort_by_cached_key(|sibling| (sibling.metadata.created().ok(), sibling.path.clone()));
    found
}

/// Those files in the folder of a log whose names begin with its own: `access.log.1`, `access.log-20261129`. A rotation that
/// goes on meanwhile renames them, so that the folder is looked at until a look finds what the one before it found.
fn beside(log: &Path, is_asked_for: impl Fn(&Metadata) -> bool) -> Vec<Sibling> {
    let mut found: BTreeMap<Id, Sibling> = BTreeMap::new();
    for look in 1..=LOOKS_MAX {
        let mut is_still = look > 1;
        for (path, seen) in names_beside(log) {
            if !is_asked_for(&seen) || found.contains_key(&id(&seen)) {
                continue;
            }
            is_still = false;
            let Ok(sibling) = Sibling::open(path) else { continue };
            if sibling.metadata.is_file() && is_asked_for(&sibling.metadata) {
                found.insert(id(&sibling.metadata), sibling);
            }
        }
        if is_still {
            break;
        }
    }
    found.into_values().collect()
}

fn names_beside(log: &Path) -> Vec<(PathBuf, Metadata)> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .take(NAMES_MAX)
        .filter(|entry| {
            let rest = entry.file_name();
            let rest = rest.to_str().and_then(|other| other.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with(['.', '-', '_', '~']))
        })
        .filter_map(|entry| Some((entry.path(), std::fs::metadata(entry.path()).ok()?)))
        .filter(|(_, metadata)| metadata.is_file())
        .collect()
}
