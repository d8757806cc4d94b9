//! One file that is followed, whatever its name is by now.

use crate::tail::Line;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

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

/// Device and inode of a file.
pub(super) fn id(metadata: &Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}

/// How far a file was read that is no longer followed, for when it is found under another name.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) id: Id,
    offset: u64,
    /// The inode of a deleted file may be another file's soon.
    first: Vec<u8>,
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
    partial: Vec<u8>,
    /// The rest of a line that is too long is skipped.
    skipping: bool,
    idle_turns: u32,
}

impl Followed {
    /// Begins at the start, at the end, or where a file of the same inode and the same first bytes was left.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub(super) fn open(path: &Path, at_end: bool, left: &[Left]) -> io::Result<Followed> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let id = id(&metadata);
        let mut followed = Followed {
            path: path.to_owned(),
            id,
            file,
            offset: 0,
            partial: Vec::new(),
            skipping: false,
            idle_turns: 0,
        };
        let first = followed.first()?;
        let known =
            left.iter().rev().find(|left| left.id == id && !left.first.is_empty() && first.starts_with(&left.first));
        followed.offset = match known {
            Some(left) => left.offset,
            None if at_end => metadata.len(),
            None => 0,
        };
        followed.file.seek(SeekFrom::Start(followed.offset))?;
        Ok(followed)
    }

    /// True when it begins as gzip, bzip2, xz or zstd data does.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn is_compressed(&self) -> io::Result<bool> {
        const MAGIC: [&[u8]; 4] = [&[0x1f, 0x8b], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z'], &[0x28, 0xb5, 0x2f, 0xfd]];
        let first = self.first()?;
        Ok(MAGIC.iter().any(|magic| first.starts_with(magic)))
    }

    fn first(&self) -> io::Result<Vec<u8>> {
        let mut first = vec![0_u8; FINGERPRINT_BYTES];
        let count = self.file.read_at(&mut first, 0)?;
        first.truncate(count);
        Ok(first)
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
        Left { id: self.id, offset: self.offset, first: self.first().unwrap_or_default() }
    }

    /// Reads about `share` bytes; true when it had as many.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(&mut self, share: usize, lines: &mut Vec<Line>, cut: &mut u64) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        if length < self.offset {
            // Truncated (copytruncate): what was there is gone, what comes is new.
            self.flush(lines);
            self.offset = self.file.seek(SeekFrom::Start(0))?;
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

    fn split(&mut self, mut bytes: &[u8], lines: &mut Vec<Line>, cut: &mut u64) {
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
        }
    }
}
