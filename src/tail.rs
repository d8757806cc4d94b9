//! Follows log files: what is appended, what is rotated away by renaming or truncation, what appears later.
//!
//! A file is known by its inode and its first bytes, so one that is renamed is read to its end and not begun again under its
//! new name, and one that was truncated is begun again. Where the caller keeps [`Positions`], a restart goes on from them;
//! else it begins at the end of a file, or at its start where told so. It reads no further than its queue has room, so a
//! server that is away costs no memory, and no line either unless a file is deleted or truncated before it was read.

mod followed;
mod positions;
mod siblings;

pub use positions::{Positions, PositionsError};
mod piped;

use followed::{CHUNK_BYTES, Followed, Id, Left, Name, id};
use piped::Piped;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

/// Bytes read of one file in one turn, so that a busy file does not starve the others.
const TURN_BYTES: usize = 1 << 20;
/// Bytes read of all files in one turn, so that many files that are read from their start take no more memory than some.
/// Each has at least one chunk in a turn: 64 MiB where [`FILES_MAX`] are followed.
const TURN_BYTES_OF_ALL: usize = 16 << 20;
/// Files followed at once, and files that are known again when they were left.
const FILES_MAX: usize = 4_096;

/// Stands for standard input.
const PIPE: &str = "-";

/// One line with the file that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The name under which the file was found.
    pub path: PathBuf,
    /// Without its line end.
    pub text: Vec<u8>,
}

/// Follows files.
#[derive(Debug)]
pub struct Follower {
    patterns: Vec<String>,
    from_start: bool,
    first_turn: bool,
    /// Standard input, where `-` is among the patterns.
    piped: Option<Piped>,
    /// By the order in which they were found, which is that of their lines where one took the other's name.
    files: BTreeMap<u64, Followed>,
    found: u64,
    left: Vec<Left>,
    /// There was a run before this one: what it did not know is new.
    goes_on: bool,
    /// Files that are not followed, and why; each is told once.
    refused: BTreeMap<PathBuf, String>,
    problems: Vec<String>,
    /// Lines that were cut at 1 MiB.
    pub cut: u64,
}

impl Follower {
    /// Follows what these paths and globs name, now and later; `-` is standard input.
    pub fn new(mut patterns: Vec<String>, from_start: bool) -> Follower {
        let is_piped = patterns.iter().any(|pattern| pattern == PIPE);
        patterns.retain(|pattern| pattern != PIPE);
        let piped = is_piped.then(Piped::start).and_then(Result::ok);
        Follower {
            patterns,
            from_start,
            first_turn: true,
            piped,
            files: BTreeMap::new(),
            found: 0,
            left: Vec::new(),
            goes_on: false,
            refused: BTreeMap::new(),
            problems: Vec::new(),
            cut: 0,
        }
    }

    /// Goes on where a run before this one was.
    pub fn go_on(&mut self, positions: &Positions) {
        self.left.extend(positions.left());
        self.goes_on = true;
    }

    /// How far every file was given out by the last turn, those that were left included.
    pub fn positions(&self) -> Positions {
        let followed = self.files.values().map(Followed::position);
        Positions::of(self.left.iter().cloned().chain(followed))
    }

    /// Files that were taken up so far.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// Files that are followed at the moment.
    pub fn count(&self) -> usize {
        self.files.len() + usize::from(self.piped.is_some())
    }

    /// True when nothing but standard input was to be followed, and it has ended.
    pub fn is_over(&self) -> bool {
        self.patterns.is_empty() && self.piped.as_ref().is_none_or(|piped| piped.is_over)
    }

    /// What is new about files that cannot be followed, as sentences.
    pub fn problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    /// One turn: looks for new files and reads what was appended, at most about a MiB of each and 16 MiB of all. True when
    /// there may be more at once.
    pub fn turn(&mut self, lines: &mut Vec<Line>) -> bool {
        self.look_for_files();
        let piped = self.piped.as_mut().is_some_and(|piped| piped.turn(TURN_BYTES, lines, &mut self.cut));
        let mut over = Vec::new();
        // Files that have more; what came to stand under the same name waits for its turn.
        let mut unfinished: BTreeSet<PathBuf> = BTreeSet::new();
        let share = (TURN_BYTES_OF_ALL / self.files.len().max(1)).clamp(CHUNK_BYTES, TURN_BYTES);
        for (number, followed) in &mut self.files {
            if unfinished.contains(&followed.path) {
                continue;
            }
            let name = followed.name();
            match followed.read(share, lines, &mut self.cut) {
                Ok(true) => {
                    unfinished.insert(followed.path.clone());
                }
                Ok(false) => {
                    if name == Name::Other {
                        // Its last line is whole: the program that wrote it begins another file.
                        followed.flush(lines);
                    }
                    if followed.is_over(name) {
                        over.push(*number);
                    }
                }
                Err(error) => {
                    // It is opened again in the next turn where it can be.
                    self.problems.push(format!("cannot read {}: {error}", followed.path.display()));
                    over.push(*number);
                }
            }
        }
        for followed in over.iter().filter_map(|number| self.files.remove(number)).collect::<Vec<_>>() {
            if self.left.len() >= FILES_MAX {
                self.left.remove(0);
            }
            self.left.push(followed.leave(lines));
        }
        self.first_turn = false;
        piped || !unfinished.is_empty()
    }

    /// Gives out last lines without a line end: nothing more is coming.
    pub fn finish(&mut self, lines: &mut Vec<Line>) {
        for followed in self.files.values_mut() {
            followed.flush(lines);
        }
    }

    /// Bytes that stand in the files and were not read yet.
    pub fn unread(&self) -> u64 {
        self.files.values().map(Followed::unread).sum()
    }

    fn look_for_files(&mut self) {
        let known: BTreeSet<Id> = self.files.values().map(|followed| followed.id).collect();
        let paths = self.paths();
        if self.first_turn && self.goes_on {
            self.find_again();
        }
        for path in paths {
            match std::fs::metadata(&path) {
                Ok(metadata) if known.contains(&id(&metadata)) => {}
                Ok(metadata) if metadata.is_dir() => {
                    self.refuse(
                        &path,
                        format!(
                            "{} is a folder: name its files, such as {}",
                            path.display(),
                            path.join("*.log").display()
                        ),
                    );
                }
                // nginx's container image makes links to its standard output of its logs.
                Ok(metadata) if !metadata.is_file() => {
                    self.refuse(&path, format!("{} is a device or pipe, no file, and is not followed", path.display()));
                }
                Ok(_) if self.files.len() >= FILES_MAX => {
                    self.refuse(&path, format!("{} is not followed: {FILES_MAX} files are already", path.display()));
                }
                Ok(_) => self.follow(&path),
                // One that is named and not there yet is awaited.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => self.refuse(&path, format!("cannot read {}: {error}", path.display())),
            }
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for pattern in &self.patterns {
            let literal = Path::new(pattern);
            match glob::glob(pattern) {
                Ok(found) if pattern.contains(['*', '?', '[']) && !literal.exists() => {
                    paths.extend(found.filter_map(|path| match path {
                        Ok(path) => (!path.is_dir()).then_some(path),
                        Err(error) => Some(error.path().to_owned()),
                    }));
                }
                _ => paths.push(literal.to_owned()),
            }
        }
        paths
    }

    /// Follows what stands under a name that it was told, or found by a pattern.
    fn follow(&mut self, path: &Path) {
        // A file that appears later is new from its start.
        let at_end = self.first_turn && !self.from_start && !self.goes_on;
        // Opened before its siblings are looked for: whatever takes its name from here on is of the next look.
        match File::open(path).and_then(|file| Ok((file.metadata()?, file))) {
            Ok((metadata, file)) => {
                self.follow_what_was_missed(path, &metadata);
                self.follow_as(path, path, file, at_end);
            }
            // It was renamed away since it was seen.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.refuse(path, format!("cannot read {}: {error}", path.display())),
        }
    }

    /// Logs that were rotated away while nobody looked, under the names that they have now.
    fn find_again(&mut self) {
        for (log, sibling) in siblings::moved(&self.left) {
            self.follow_as(&sibling.path, &log, sibling.file, false);
        }
    }

    /// A log that was made and rotated away since the last look comes before the one that has its name now.
    fn follow_what_was_missed(&mut self, log: &Path, newest: &Metadata) {
        let before = self.files.values().filter(|followed| followed.path == log);
        let Some(before) = before.filter_map(Followed::made).max() else { return };
        let known: BTreeSet<Id> = self.files.values().map(|followed| followed.id).collect();
        let positions = self.positions();
        let of_log: Vec<Left> = positions.left().filter(|left| left.path == log).collect();
        for sibling in siblings::between(log, before, newest, &known, &of_log) {
            self.follow_as(&sibling.path, log, sibling.file, false);
        }
    }

    /// Follows the file of a path as that of a log.
    fn follow_as(&mut self, path: &Path, log: &Path, file: File, at_end: bool) {
        let begun = Followed::begin(file, log, at_end, &self.left).and_then(|followed| {
            let is_compressed = followed.is_compressed()?;
            Ok((followed, is_compressed))
        });
        match begun {
            Ok((_, true)) => self.refuse(path, format!("{} is compressed and is not followed", path.display())),
            Ok((followed, false)) => {
                self.refused.remove(path);
                // Under one inode there is one file.
                if !self.files.values().any(|other| other.id == followed.id) {
                    self.left.retain(|left| left.id.1 != followed.id.1);
                    self.files.insert(self.found, followed);
                    self.found += 1;
                }
            }
            Err(error) => self.refuse(path, format!("cannot read {}: {error}", path.display())),
        }
    }

    fn refuse(&mut self, path: &Path, why: String) {
        if self.refused.get(path) != Some(&why) && self.refused.len() < FILES_MAX {
            self.problems.push(why.clone());
            self.refused.insert(path.to_owned(), why);
        }
    }
}

#[cfg(test)]
mod tests;
