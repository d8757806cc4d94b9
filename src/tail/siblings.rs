//! Where a rotation has put a log: beside it, under a name that begins with its own.

use super::followed::{FINGERPRINT_BYTES, Id, Left, id};
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Names that are looked at in one folder: a rotation keeps some dozens.
const NAMES_MAX: usize = 4_096;

/// Logs whose name stands for another file or for none, with what their file is called now.
pub(super) fn moved(left: &[Left]) -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for left in left {
        let is_there = std::fs::metadata(&left.path).is_ok_and(|metadata| id(&metadata).1 == left.id.1);
        if is_there {
            continue;
        }
        let again = beside(&left.path).into_iter().find(|(path, metadata)| {
            id(metadata).1 == left.id.1 && first(path).is_some_and(|first| left.is(id(metadata), &first))
        });
        // One that was read to its end has nothing more, and its program writes to another.
        if let Some((path, _)) = again.filter(|(_, metadata)| metadata.len() > left.offset) {
            found.push((left.path.clone(), path));
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
) -> Vec<PathBuf> {
    let Ok(end) = newest.created() else { return Vec::new() };
    let mut found: Vec<(SystemTime, PathBuf)> = beside(log)
        .into_iter()
        .filter(|(_, metadata)| !known.contains(&id(metadata)) && id(metadata) != id(newest))
        .filter_map(|(path, metadata)| Some((metadata.created().ok()?, path)))
        .filter(|(made, _)| *made > before && *made <= end)
        .filter(|(_, path)| {
            let is_copy =
                |first: &[u8]| of_log.iter().any(|left| !left.first.is_empty() && first.starts_with(&left.first));
            first(path).is_some_and(|first| !is_copy(&first))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Files in the folder of a log whose names begin with its own: `access.log.1`, `access.log-20261129`.
fn beside(log: &Path) -> Vec<(PathBuf, Metadata)> {
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

fn first(path: &Path) -> Option<Vec<u8>> {
    let mut first = Vec::new();
    File::open(path).ok()?.take(FINGERPRINT_BYTES as u64).read_to_end(&mut first).ok()?;
    Some(first)
}
