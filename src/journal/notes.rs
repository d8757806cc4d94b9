//! Small texts beside the segments that the program wants back after its end: one file each, written anew and renamed.
//!
//! ```text
//!  note-NAME      "why502 note, version 1\n" | sum of the rest u32, little endian | the rest: each text behind its length u32
//! ```

use super::frame::VERSION;
use super::storage::Storage;
use bytes::Bytes;
use std::io::{self, ErrorKind};

/// More than any that is written: 1,024 open incidents of 16 KiB.
const BYTES_MAX: u64 = 16 << 20;

fn head() -> Vec<u8> {
    format!("why502 note, version {VERSION}\n").into_bytes()
}

/// The texts of a note; none where there is no such note.
///
/// # Errors
/// What the disk says, or that it is not what was written.
pub(super) fn read(storage: &dyn Storage, name: &str) -> io::Result<Vec<Bytes>> {
    let file = match storage.open(&format!("note-{name}")) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; usize::try_from(file.size()?.min(BYTES_MAX)).unwrap_or(0)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    parse(Bytes::from(bytes)).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it is not what was written"))
}

fn parse(bytes: Bytes) -> Option<Vec<Bytes>> {
    let head = head();
    let (sum, rest) = bytes.strip_prefix(head.as_slice())?.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != crc32c::crc32c(rest) {
        return None;
    }
    let mut at = head.len() + 4;
    let mut texts = Vec::new();
    while at < bytes.len() {
        let len = u32::from_le_bytes(*bytes.get(at..)?.first_chunk::<4>()?);
        let end = at.checked_add(4)?.checked_add(usize::try_from(len).ok()?)?;
        bytes.get(at + 4..end)?;
        texts.push(bytes.slice(at + 4..end));
        at = end;
    }
    Some(texts)
}

/// Writes a note so that after a crash there is the old one or the new one.
///
/// # Errors
/// What the disk says.
pub(super) fn write<'t>(storage: &dyn Storage, name: &str, texts: impl Iterator<Item = &'t [u8]>) -> io::Result<()> {
    let mut rest = Vec::new();
    for text in texts {
        rest.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        rest.extend_from_slice(text);
    }
    let mut bytes = head();
    bytes.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
    bytes.extend_from_slice(&rest);
    let (new, name) = (format!("note-{name}.new"), format!("note-{name}"));
    match storage.remove(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = storage.create(&new)?;
    file.write_at(&bytes, 0)?;
    file.sync()?;
    storage.rename(&new, &name)?;
    storage.sync_names()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::simulated::Simulated;

    #[test]
    fn what_is_written_is_read_and_a_flipped_bit_is_seen() {
        let disk = Simulated::new(1);
        assert!(read(&disk, "a").expect("there is none").is_empty());
        let texts: [&[u8]; 3] = [b"one", b"", b"three"];
        write(&disk, "a", texts.into_iter()).expect("room");
        assert_eq!(read(&disk, "a").expect("a note"), texts);
        write(&disk, "a", std::iter::empty()).expect("room");
        assert!(read(&disk, "a").expect("a note").is_empty());
        write(&disk, "a", texts.into_iter()).expect("room");
        for at in 0..disk.size("note-a") {
            disk.flip("note-a", at);
            assert!(read(&disk, "a").is_err(), "{at}");
            disk.flip("note-a", at);
        }
        let lost = disk.after_power_loss();
        assert_eq!(read(&lost, "a").expect("it was synced"), texts);
    }
}
