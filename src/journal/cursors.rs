//! How far each backend is, on disk: a small text file that is written anew and renamed.
//!
//! ```text
//!  why502 journal cursors, version 1
//!  synced 12345                               all requests up to this one were acknowledged after a sync
//!  backend 120 125-130,140-141 otlp/tempo     it has all before 120, and 125 to 129 and 140 as well
//!  backend 12346 - otlphttp/other
//!  sum 1a2b3c4d                               CRC-32C of the lines before
//! ```

use super::JournalError;
use super::frame::VERSION;
use super::ledger::Cursor;
use super::storage::Storage;
use std::fmt::Write as _;
use std::ops::Range;

/// The file.
pub(super) const NAME: &str = "cursors";
/// Until it is whole.
pub(super) const NEW: &str = "cursors.new";
/// Larger than any that is written: 64 backends with 4,096 ranges each.
const BYTES_MAX: u64 = 16 << 20;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursors {
    pub(super) synced: u64,
    pub(super) backends: Vec<(String, Cursor)>,
}

impl Cursors {
    /// `None` where there is no such file.
    pub(super) fn read(storage: &dyn Storage, names: &[String]) -> Result<Option<Cursors>, JournalError> {
        if !names.iter().any(|name| name == NAME) {
            return Ok(None);
        }
        let io = |source| JournalError::io("read", NAME, source);
        let file = storage.open(NAME).map_err(io)?;
        let mut bytes = vec![0; usize::try_from(file.size().map_err(io)?.min(BYTES_MAX)).unwrap_or(0)];
        let read = file.read_at(&mut bytes, 0).map_err(io)?;
        bytes.truncate(read);
        let text = String::from_utf8(bytes).map_err(|_| JournalError::Cursors)?;
        parse(&text).map(Some)
    }

    /// Writes the file so that after a crash there is the old one or the new one.
    pub(super) fn write(&self, storage: &dyn Storage) -> std::io::Result<()> {
        match storage.remove(NEW) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = storage.create(NEW)?;
        file.write_at(self.text().as_bytes(), 0)?;
        file.sync()?;
        storage.rename(NEW, NAME)?;
        storage.sync_names()
    }

    fn text(&self) -> String {
        let mut text = format!("why502 journal cursors, version {VERSION}\nsynced {}\n", self.synced);
        for (name, cursor) in &self.backends {
            let done: Vec<String> = cursor.done.iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
            let done = if done.is_empty() { "-".to_owned() } else { done.join(",") };
            let _ = writeln!(text, "backend {} {done} {name}", cursor.next);
        }
        let sum = crc32c::crc32c(text.as_bytes());
        let _ = writeln!(text, "sum {sum:08x}");
        text
    }
}

fn parse(text: &str) -> Result<Cursors, JournalError> {
    let version = text.lines().next().and_then(|line| line.strip_prefix("why502 journal cursors, version "));
    let version: u32 = version.and_then(|version| version.parse().ok()).ok_or(JournalError::Cursors)?;
    if version != VERSION {
        return Err(JournalError::Version { name: NAME.to_owned(), found: version });
    }
    let (lines, sum) = text.trim_end_matches('\n').rsplit_once('\n').ok_or(JournalError::Cursors)?;
    let sum = sum.strip_prefix("sum ").and_then(|sum| u32::from_str_radix(sum, 16).ok());
    if sum != Some(crc32c::crc32c(format!("{lines}\n").as_bytes())) {
        return Err(JournalError::Cursors);
    }
    let mut cursors = Cursors::default();
    for line in lines.lines().skip(1) {
        let known = if let Some(synced) = line.strip_prefix("synced ") {
            synced.parse().map(|synced| cursors.synced = synced).ok()
        } else {
            line.strip_prefix("backend ").and_then(backend).map(|backend| cursors.backends.push(backend))
        };
        known.ok_or(JournalError::Cursors)?;
    }
    Ok(cursors)
}

fn backend(line: &str) -> Option<(String, Cursor)> {
    let mut words = line.splitn(3, ' ');
    let next = words.next()?.parse().ok()?;
    let done: Option<Vec<Range<u64>>> = match words.next()? {
        "-" => Some(Vec::new()),
        ranges => ranges.split(',').map(range).collect(),
    };
    Some((words.next()?.to_owned(), Cursor { next, done: done? }))
}

fn range(text: &str) -> Option<Range<u64>> {
    let (start, end) = text.split_once('-')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_flipped_bit_is_seen() {
        let cursors = Cursors {
            synced: 12_345,
            backends: vec![
                ("otlp/tempo".to_owned(), Cursor { next: 120, done: vec![125..130, 140..141] }),
                ("otlphttp/with a space".to_owned(), Cursor { next: 12_346, done: Vec::new() }),
            ],
        };
        let text = cursors.text();
        assert_eq!(parse(&text).expect("it is sound"), cursors);
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            let flipped = String::from_utf8(bytes).expect("still ASCII");
            let read = parse(&flipped);
            // The end of the last line, and the case of a digit, say nothing.
            assert!(read.is_err() || read.is_ok_and(|read| read == cursors), "{index}: {flipped}");
        }
        assert!(matches!(parse(&text.replace("version 1", "version 9")), Err(JournalError::Version { found: 9, .. })));
        assert!(parse("").is_err());
    }
}
