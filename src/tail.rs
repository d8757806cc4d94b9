//! Follows log files: what is appended, what is rotated away by renaming or truncation, what appears later.
//!
//! Nothing is remembered across restarts: it begins at the end of a file, or at its start where told so. It reads no
//! further than its queue has room, so a server that is away costs no memory and no line, unless a file is rotated away
//! twice meanwhile.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest line that is sent whole; the rest of a longer one is cut and counted.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes read of one file in one turn, so that a busy file does not starve the others.
const TURN_BYTES: usize = 1 << 20;
/// Bytes read of all files in one turn, so that many files that are read from their start take no more memory than some.
const TURN_BYTES_OF_ALL: usize = 16 << 20;
/// Bytes of one read, of which each file has at least one in a turn: 64 MiB where [`FILES_MAX`] are followed.
const CHUNK_BYTES: usize = 16 << 10;
/// A last line without its line end is taken as whole after so many turns without growth: 4 s.
const PARTIAL_TURNS: u32 = 20;
/// Files followed at once.
const FILES_MAX: usize = 4_096;

/// One line with the file that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The file.
    pub path: PathBuf,
    /// Without its line end.
    pub text: Vec<u8>,
}

/// Follows files.
#[derive(Debug)]
pub struct Follower {
    patterns: Vec<String>,
    files: BTreeMap<PathBuf, Followed>,
    from_start: bool,
    first_turn: bool,
    /// Lines that were cut at [`LINE_BYTES_MAX`].
    pub cut: u64,
}

#[derive(Debug)]
struct Followed {
    file: File,
    inode: (u64, u64),
    offset: u64,
    partial: Vec<u8>,
    /// The rest of a line that is too long is skipped.
    skipping: bool,
    idle_turns: u32,
}

impl Follower {
    /// Follows what these paths and globs name, now and later.
    pub fn new(patterns: Vec<String>, from_start: bool) -> Follower {
        Follower { patterns, files: BTreeMap::new(), from_start, first_turn: true, cut: 0 }
    }

    /// Files that are followed at the moment.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// One turn: looks for new files and reads what was appended, at most about a MiB of each and 16 MiB of all. True when
    /// there may be more at once.
    pub fn turn(&mut self, lines: &mut Vec<Line>) -> bool {
        self.look_for_files();
        let mut more = false;
        let mut gone = Vec::new();
        let share = (TURN_BYTES_OF_ALL / self.files.len().max(1)).clamp(CHUNK_BYTES, TURN_BYTES);
        for (path, followed) in &mut self.files {
            match followed.read(path, share, lines, &mut self.cut) {
                // It has its share; there is more of it, also where it was renamed away meanwhile.
                Ok(true) => {
                    more = true;
                    continue;
                }
                Ok(false) => {}
                // It may come back under its name.
                Err(_) => gone.push(path.clone()),
            }
            if let Some(next) = followed.replaced(path) {
                // Renamed away: the old file was read to its end just now, so its last line is whole.
                followed.flush(path, lines);
                *followed = next;
                more = true;
            }
        }
        for path in gone {
            self.files.remove(&path);
        }
        self.first_turn = false;
        more
    }

    /// Bytes that stand in the files and were not read yet.
    pub fn unread(&self) -> u64 {
        let length = |followed: &Followed| followed.file.metadata().map_or(0, |metadata| metadata.len());
        self.files.values().map(|followed| length(followed).saturating_sub(followed.offset)).sum()
    }

    /// Gives out last lines without a line end: nothing more is coming.
    pub fn finish(&mut self, lines: &mut Vec<Line>) {
        for (path, followed) in &mut self.files {
            followed.flush(path, lines);
        }
    }

    fn look_for_files(&mut self) {
        let mut found = Vec::new();
        for pattern in &self.patterns {
            let literal = Path::new(pattern);
            if literal.is_file() {
                found.push(literal.to_owned());
            } else if let Ok(paths) = glob::glob(pattern) {
                found.extend(paths.flatten().filter(|path| path.is_file()));
            }
        }
        for path in found {
            if self.files.len() >= FILES_MAX || self.files.contains_key(&path) {
                continue;
            }
            // A file that appears later is new from its start.
            let at_end = self.first_turn && !self.from_start;
            if let Ok(followed) = Followed::open(&path, at_end) {
                self.files.insert(path, followed);
            }
        }
    }
}

impl Followed {
    fn open(path: &Path, at_end: bool) -> io::Result<Followed> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let offset = if at_end { file.seek(SeekFrom::End(0))? } else { 0 };
        Ok(Followed {
            file,
            inode: (metadata.dev(), metadata.ino()),
            offset,
            partial: Vec::new(),
            skipping: false,
            idle_turns: 0,
        })
    }

    /// The file that stands under the name now, when it is another one.
    fn replaced(&self, path: &Path) -> Option<Followed> {
        let metadata = std::fs::metadata(path).ok()?;
        if (metadata.dev(), metadata.ino()) == self.inode { None } else { Followed::open(path, false).ok() }
    }

    /// Reads about `share` bytes; true when it had as many.
    fn read(&mut self, path: &Path, share: usize, lines: &mut Vec<Line>, cut: &mut u64) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        if length < self.offset {
            // Truncated (copytruncate): what was there is gone, what comes is new.
            self.flush(path, lines);
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
            self.split(path, chunk.get(..count).unwrap_or_default(), lines, cut);
        }
        self.idle_turns = if taken > 0 { 0 } else { self.idle_turns.saturating_add(1) };
        if self.idle_turns == PARTIAL_TURNS {
            self.flush(path, lines);
        }
        Ok(taken >= share)
    }

    fn split(&mut self, path: &Path, mut bytes: &[u8], lines: &mut Vec<Line>, cut: &mut u64) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            self.keep(line, cut);
            bytes = rest.get(1..).unwrap_or_default();
            self.skipping = false;
            let mut text = std::mem::take(&mut self.partial);
            if text.last() == Some(&b'\r') {
                text.pop();
            }
            lines.push(Line { path: path.to_owned(), text });
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

    fn flush(&mut self, path: &Path, lines: &mut Vec<Line>) {
        if !self.partial.is_empty() {
            lines.push(Line { path: path.to_owned(), text: std::mem::take(&mut self.partial) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn turn(follower: &mut Follower) -> Vec<String> {
        let mut lines = Vec::new();
        while follower.turn(&mut lines) {}
        lines.into_iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }

    fn append(path: &Path, text: &str) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("opens");
        file.write_all(text.as_bytes()).expect("writes");
    }

    #[test]
    fn appended_rotated_truncated_and_late() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        append(&path, "old\n");
        let mut follower = Follower::new(vec![directory.path().join("*.log").display().to_string()], false);
        assert!(turn(&mut follower).is_empty(), "begins at the end");
        append(&path, "one\ntwo\r\nhal");
        assert_eq!(turn(&mut follower), ["one", "two"]);
        append(&path, "f\n");
        assert_eq!(turn(&mut follower), ["half"]);
        append(&path, "last of the old file\nno line end");
        std::fs::rename(&path, directory.path().join("a.log.1")).expect("renames");
        append(&path, "first of the new\n");
        assert_eq!(turn(&mut follower), ["last of the old file", "no line end", "first of the new"]);
        std::fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("truncates");
        assert!(turn(&mut follower).is_empty());
        append(&path, "after\n");
        assert_eq!(turn(&mut follower), ["after"]);
        append(&directory.path().join("b.log"), "late\n");
        assert_eq!(turn(&mut follower), ["late"], "a new file is read from its start");
    }

    #[test]
    fn a_file_that_was_renamed_away_is_read_to_its_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        // Several turns of it, as where the server was away for a while.
        let count = 5 * TURN_BYTES / 10;
        append(&path, &"old line\n".repeat(count));
        let mut follower = Follower::new(vec![path.display().to_string()], true);
        std::fs::rename(&path, directory.path().join("a.log.1")).expect("renames");
        let mut lines = Vec::new();
        follower.files.insert(path.clone(), Followed::open(&directory.path().join("a.log.1"), false).expect("opens"));
        append(&path, "new line\n");
        assert!(follower.turn(&mut lines), "there is more");
        assert!(lines.len() < count);
        assert!(follower.unread() > 0);
        let rest = turn(&mut follower);
        assert_eq!(lines.len() + rest.len(), count + 1);
        assert_eq!(rest.last().map(String::as_str), Some("new line"));
        assert_eq!(follower.unread(), 0);
    }

    #[test]
    fn many_files_share_a_turn() {
        let directory = tempfile::tempdir().expect("a directory");
        for number in 0..64 {
            append(&directory.path().join(format!("{number}.log")), &"some line\n".repeat(TURN_BYTES / 10));
        }
        let mut follower = Follower::new(vec![directory.path().join("*.log").display().to_string()], true);
        let mut lines = Vec::new();
        assert!(follower.turn(&mut lines));
        let bytes: usize = lines.iter().map(|line| line.text.len() + 1).sum();
        assert!(bytes <= TURN_BYTES_OF_ALL + 64 * CHUNK_BYTES, "{bytes}");
        let mut count = lines.len();
        while follower.turn(&mut lines) {
            count += std::mem::take(&mut lines).len();
        }
        assert_eq!(count, 64 * (TURN_BYTES / 10));
    }

    #[test]
    fn partial_and_long_lines() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        append(&path, "waits");
        let mut follower = Follower::new(vec![path.display().to_string()], true);
        assert!(turn(&mut follower).is_empty());
        let told: Vec<String> = (0..=PARTIAL_TURNS).flat_map(|_| turn(&mut follower)).collect();
        assert_eq!(told, ["waits"]);
        append(&path, &format!("{}\nshort\n", "x".repeat(3 << 20)));
        let lines = turn(&mut follower);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES_MAX, 5]);
        assert_eq!(follower.cut, 1);
        append(&path, "end");
        let mut lines = Vec::new();
        follower.turn(&mut lines);
        follower.finish(&mut lines);
        assert_eq!(lines.len(), 1);
    }
}
