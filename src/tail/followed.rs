//! One file that is followed, whatever its name is by now.

use crate::tail::Line;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Longest line that is sent whole; the rest of a longer one is cut and counted.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes of one read.
pub(super) const CHUNK_BYTES: usize = 16 << 10;
/// A last line without its line end is taken as whole after so many turns without growth: 4 s.
pub(super) const PARTIAL_TURNS: u32 = 20;
/// A file whose name stands for another one now, or that was deleted, is done with after so many turns without growth: 5 s.
/// Programs write to it until they are told to open the new one.
const REPLACED_TURNS: u32 = 25;
/// The same for one that was renamed and whose name stands for nothing yet: an hour.
const RENAMED_TURNS: u32 = 5 * 3_600;
/// First bytes by which a file is known again.
const FINGERPRINT_BYTES: usize = 256;

/// Device and inode.
pub(super) type Id = (u64, u64);

/// The first bytes of a file, wherever it is read at the moment.
///
/// # Errors
/// When it cannot be read.
pub(super) fn first_of(file: &File) -> io::Result<Vec<u8>> {
    let mut first = vec![0_u8; FINGERPRINT_BYTES];
    let count = file.read_at(&mut first, 0)?;
    first.truncate(count);
    Ok(first)
}

/// Device and inode of a file.
pub(super) fn id(metadata: &Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}

/// How far a file was read that is no longer followed, or that was followed before a restart, for when it is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) id: Id,
    /// The name of the log that it was.
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    /// The inode of a deleted file may be another file's soon.
    pub(super) first: Vec<u8>,
}

impl Left {
    /// True for a file of this inode that begins with these bytes. Numbers of devices may change when a machine starts.
    pub(super) fn is(&self, id: Id, first: &[u8]) -> bool {
        self.id.1 == id.1 && !self.first.is_empty() && first.starts_with(&self.first)
    }
}

/// What stands under the name by which a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The file itself.
    Same,
    /// Another one.
    Other,
    /// Nothing.
    Nothing,
}

/// One open file.
#[derive(Debug)]
pub(super) struct Followed {
    /// The name by which it was found: that of the log, also when it is rotated away.
    pub(super) path: PathBuf,
    pub(super) id: Id,
    file: File,
    offset: u64,
    /// Behind the last line that was given out.
    given_out: u64,
    /// Its first bytes, by which a file that was truncated and has grown again is told.
    first: Vec<u8>,
    partial: Vec<u8>,
    /// The rest of a line that is too long is skipped.
    skipping: bool,
    idle_turns: u32,
}

impl Followed {
    /// Begins at the start, at the end, or where a file of the same inode and the same first bytes was left.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn begin(file: File, path: &Path, at_end: bool, left: &[Left]) -> io::Result<Followed> {
        let metadata = file.metadata()?;
        let id = id(&metadata);
        let mut followed = Followed {
            path: path.to_owned(),
            id,
            file,
            offset: 0,
            given_out: 0,
            first: Vec::new(),
            partial: Vec::new(),
            skipping: false,
            idle_turns: 0,
        };
        followed.first = first_of(&followed.file)?;
        let known = left.iter().rev().find(|left| left.is(id, &followed.first));
        followed.offset = match known {
            Some(left) => left.offset,
            None if at_end => metadata.len(),
            None => 0,
        };
        followed.given_out = followed.offset;
        followed.file.seek(SeekFrom::Start(followed.offset))?;
        Ok(followed)
    }

    /// True when it begins as gzip, bzip2, xz or zstd data does.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn is_compressed(&self) -> io::Result<bool> {
        const MAGIC: [&[u8]; 4] = [&[0x1f, 0x8b], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z'], &[0x28, 0xb5, 0x2f, 0xfd]];
        let first = first_of(&self.file)?;
        Ok(MAGIC.iter().any(|magic| first.starts_with(magic)))
    }

    /// When it was made, where the file system says so.
    pub(super) fn made(&self) -> Option<SystemTime> {
        self.file.metadata().ok()?.created().ok()
    }

    /// Bytes that were not read yet.
    pub(super) fn unread(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len()).saturating_sub(self.offset)
    }

    /// What its name stands for now.
    pub(super) fn name(&self) -> Name {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if id(&metadata) == self.id => Name::Same,
            Ok(_) => Name::Other,
            Err(_) => Name::Nothing,
        }
    }

    /// True when nothing more is to be expected of it.
    pub(super) fn is_over(&self, name: Name) -> bool {
        let is_deleted = self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        match name {
            Name::Same => false,
            Name::Nothing if !is_deleted => self.idle_turns >= RENAMED_TURNS,
            Name::Other | Name::Nothing => self.idle_turns >= REPLACED_TURNS,
        }
    }

    /// Closes it; its last line is whole.
    pub(super) fn leave(mut self, lines: &mut Vec<Line>) -> Left {
        self.flush(lines);
        self.position()
    }

    /// How far it was given out.
    pub(super) fn position(&self) -> Left {
        Left { id: self.id, path: self.path.clone(), offset: self.given_out, first: self.first.clone() }
    }

    /// Reads about `share` bytes; true when it had as many.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(&mut self, share: usize, lines: &mut Vec<Line>, cut: &mut u64) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        if length != self.offset && self.is_another(length)? {
            // Truncated (copytruncate): what was there is gone, what comes is new.
            self.flush(lines);
            self.offset = self.file.seek(SeekFrom::Start(0))?;
            self.given_out = 0;
            self.first = first_of(&self.file)?;
        }
        let mut chunk = vec![0_u8; CHUNK_BYTES];
        let mut taken = 0;
        while taken < share {
            let count = self.file.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            taken += count;
            self.offset += count as u64;
            self.split(chunk.get(..count).unwrap_or_default(), lines, cut);
        }
        self.idle_turns = if taken > 0 { 0 } else { self.idle_turns.saturating_add(1) };
        if self.idle_turns == PARTIAL_TURNS {
            self.flush(lines);
        }
        Ok(taken >= share)
    }

    /// True when what was read so far is not there any more. A file that has grown past where it was read to before it was
    /// looked at again is told by its first bytes, of which there are more as it grows.
    fn is_another(&mut self, length: u64) -> io::Result<bool> {
        if length < self.offset {
            return Ok(true);
        }
        let first = first_of(&self.file)?;
        let is_another = !first.starts_with(&self.first);
        if !is_another {
            self.first = first;
        }
        Ok(is_another)
    }

    fn split(&mut self, mut bytes: &[u8], lines: &mut Vec<Line>, cut: &mut u64) {
        let end_of_bytes = self.offset;
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            self.keep(line, cut);
            bytes = rest.get(1..).unwrap_or_default();
            self.skipping = false;
            let mut text = std::mem::take(&mut self.partial);
            if text.last() == Some(&b'\r') {
                text.pop();
            }
            lines.push(Line { path: self.path.clone(), text });
            self.given_out = end_of_bytes - bytes.len() as u64;
        }
        self.keep(bytes, cut);
    }

    fn keep(&mut self, bytes: &[u8], cut: &mut u64) {
        let room = LINE_BYTES_MAX.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        if bytes.len() > room && !self.skipping {
            self.skipping = true;
            *cut += 1;
        }
    }

    /// Gives out a last line without a line end.
    pub(super) fn flush(&mut self, lines: &mut Vec<Line>) {
        if !self.partial.is_empty() {
            lines.push(Line { path: self.path.clone(), text: std::mem::take(&mut self.partial) });
            self.given_out = self.offset;
        }
    }
}
