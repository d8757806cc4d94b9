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
use std::fs::Metadata;
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
                Ok(metadata) => {
                    self.follow_what_was_missed(&path, &metadata);
                    self.follow(&path);
                }
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

    fn follow(&mut self, path: &Path) {
        // A file that appears later is new from its start.
        let at_end = self.first_turn && !self.from_start && !self.goes_on;
        self.follow_as(path, path, at_end);
    }

    /// Logs that were rotated away while nobody looked, under the names that they have now.
    fn find_again(&mut self) {
        let moved = siblings::moved(&self.left);
        for (log, path) in moved {
            self.follow_as(&path, &log, false);
        }
    }

    /// A log that was made and rotated away since the last look comes before the one that has its name now.
    fn follow_what_was_missed(&mut self, log: &Path, newest: &Metadata) {
        let before = self.files.values().filter(|followed| followed.path == log);
        let Some(before) = before.filter_map(Followed::made).max() else { return };
        let known: BTreeSet<Id> = self.files.values().map(|followed| followed.id).collect();
        let positions = self.positions();
        let of_log: Vec<Left> = positions.left().filter(|left| left.path == log).collect();
        for path in siblings::between(log, before, newest, &known, &of_log) {
            self.follow_as(&path, log, false);
        }
    }

    /// Follows the file of a path as that of a log.
    fn follow_as(&mut self, path: &Path, log: &Path, at_end: bool) {
        let opened = Followed::open(path, at_end, &self.left).and_then(|mut followed| {
            log.clone_into(&mut followed.path);
            let is_compressed = followed.is_compressed()?;
            Ok((followed, is_compressed))
        });
        match opened {
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
mod tests {
    use super::*;
    use followed::{LINE_BYTES_MAX, PARTIAL_TURNS};
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

    fn rename(path: &Path, to: &str) {
        std::fs::rename(path, path.with_file_name(to)).expect("renames");
    }

    #[test]
    fn a_file_that_was_renamed_away_is_read_to_its_end_before_the_next_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        append(&path, "first\n");
        let mut follower = Follower::new(vec![path.display().to_string()], true);
        assert_eq!(turn(&mut follower), ["first"]);
        // More than a turn takes, as where the server was away for a while.
        let count = 5 * TURN_BYTES / 10;
        append(&path, &"old lines\n".repeat(count));
        rename(&path, "a.log.1");
        append(&path, "new\n");
        let mut lines = Vec::new();
        assert!(follower.turn(&mut lines), "there is more");
        assert!(lines.len() < count);
        assert!(follower.unread() > 0);
        let rest = turn(&mut follower);
        assert_eq!(lines.len() + rest.len(), count + 1);
        assert_eq!(rest.last().map(String::as_str), Some("new"));
        assert_eq!(follower.unread(), 0);
    }

    #[test]
    fn what_is_written_to_a_renamed_file_still_comes_and_it_is_left_in_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        append(&path, "one\n");
        let mut follower = Follower::new(vec![directory.path().join("a.log*").display().to_string()], true);
        assert_eq!(turn(&mut follower), ["one"]);
        // The rotation makes the new file before the program is told to open it; the glob finds the old one's new name.
        rename(&path, "a.log.1");
        append(&path, "");
        assert!(turn(&mut follower).is_empty());
        append(&directory.path().join("a.log.1"), "late\n");
        append(&path, "new\n");
        assert_eq!(turn(&mut follower), ["late", "new"]);
        for _ in 0..100 {
            assert!(turn(&mut follower).is_empty());
        }
        assert_eq!(follower.count(), 2, "both names are still there");
        std::fs::remove_file(directory.path().join("a.log.1")).expect("removes");
        for _ in 0..100 {
            assert!(turn(&mut follower).is_empty());
        }
        assert_eq!(follower.count(), 1);
    }

    #[test]
    fn a_log_whose_name_alone_is_followed_is_left_when_it_is_rotated_away() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        append(&path, "one\n");
        let mut follower = Follower::new(vec![path.display().to_string()], true);
        for number in 0..5 {
            turn(&mut follower);
            rename(&path, &format!("a.log.{number}"));
            append(&path, "more\n");
            for _ in 0..30 {
                turn(&mut follower);
            }
            assert_eq!(follower.count(), 1);
        }
        // One that comes back under the followed name goes on where it was left.
        rename(&path, "away");
        rename(&directory.path().join("a.log.0"), "a.log");
        append(&path, "again\n");
        assert_eq!(turn(&mut follower), ["again"]);
    }

    #[test]
    fn what_cannot_be_followed_is_told_once() {
        let directory = tempfile::tempdir().expect("a directory");
        append(&directory.path().join("a.log"), "text\n");
        std::fs::write(directory.path().join("a.log.1.gz"), [0x1f, 0x8b, 8, 0, 10, 10]).expect("writes");
        let of = |name: &str| directory.path().join(name).display().to_string();
        let patterns = [of("a.log*"), of(""), of("a.log/below"), of("none"), "/dev/null".to_owned()];
        let mut follower = Follower::new(patterns.to_vec(), true);
        assert_eq!(turn(&mut follower), ["text"]);
        turn(&mut follower);
        let problems = follower.problems();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[0].ends_with("a.log.1.gz is compressed and is not followed"), "{problems:?}");
        assert!(problems[1].contains("is a folder: name its files"), "{problems:?}");
        assert!(problems[2].contains("a.log/below: Not a directory"), "{problems:?}");
        assert_eq!(problems[3], "/dev/null is a device or pipe, no file, and is not followed");
        assert!(follower.problems().is_empty());
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

    #[test]
    fn a_file_that_was_truncated_and_has_grown_again_is_told_by_its_first_bytes() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        append(&path, "1 first\n2 second\n");
        let mut follower = Follower::new(vec![path.display().to_string()], true);
        assert_eq!(turn(&mut follower), ["1 first", "2 second"]);
        std::fs::write(&path, "3 third\n4 fourth\n5 fifth\n").expect("truncates");
        assert_eq!(turn(&mut follower), ["3 third", "4 fourth", "5 fifth"]);
        // As long as before, to the byte.
        std::fs::write(&path, "6 sixth\n7 seventh\n8 eigh\n").expect("truncates");
        append(&path, "9\n");
        assert_eq!(turn(&mut follower), ["6 sixth", "7 seventh", "8 eigh", "9"]);
    }

    #[test]
    fn logs_that_are_rotated_twice_between_two_looks_are_not_missed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        append(&directory.path().join("a.log.old"), "of another time\n");
        append(&path, "one\n");
        let mut follower = Follower::new(vec![path.display().to_string()], true);
        assert_eq!(turn(&mut follower), ["one"]);
        // Somebody keeps a copy, which is no log of its own.
        std::fs::copy(&path, directory.path().join("a.log.bak")).expect("copies");
        for number in 0..3 {
            append(&path, &format!("more {number}\n"));
            // The clock of a file system may have steps of some milliseconds.
            std::thread::sleep(std::time::Duration::from_millis(30));
            rename(&path, &format!("a.log.{number}"));
        }
        append(&path, "last\n");
        assert_eq!(turn(&mut follower), ["more 0", "more 1", "more 2", "last"]);
    }

    #[test]
    fn a_restart_goes_on_where_the_run_before_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, kept) = (directory.path().join("a.log"), directory.path().join("positions"));
        append(&path, "one\ntwo\nhal");
        let mut first = Follower::new(vec![path.display().to_string()], true);
        assert_eq!(turn(&mut first), ["one", "two"]);
        first.positions().write(&kept).expect("writes");
        drop(first);
        append(&path, "f\nlast of the old\n");
        rename(&path, "a.log.1");
        append(&path, "new\n");
        append(&directory.path().join("b.log"), "unknown before\n");
        let again = |patterns: &[&Path]| {
            let mut follower = Follower::new(patterns.iter().map(|path| path.display().to_string()).collect(), false);
            follower.go_on(&Positions::read(&kept).expect("reads").expect("some"));
            let lines = turn(&mut follower);
            (lines, follower.positions())
        };
        let (lines, positions) = again(&[&path, &directory.path().join("b.log")]);
        assert_eq!(lines, ["half", "last of the old", "new", "unknown before"]);
        positions.write(&kept).expect("writes");
        let (lines, _) = again(&[&path]);
        assert!(lines.is_empty(), "{lines:?}");
    }

    #[test]
    fn positions_that_are_none_are_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let kept = directory.path().join("positions");
        assert!(Positions::read(&kept).expect("reads").is_none());
        for (text, words) in [
            ("", "EOF"),
            ("{\"version\":2,\"files\":[]}", "is of version 2"),
            ("{\"version\":1,\"files\":[{}]}", "missing field"),
            ("{\"version\":1,\"files\":[],\"x\":1}", "unknown field"),
        ] {
            std::fs::write(&kept, text).expect("writes");
            let error = Positions::read(&kept).expect_err(text).to_string();
            assert!(error.contains(words) && error.contains("delete it to begin anew"), "{error}");
        }
        let nowhere = directory.path().join("none/positions");
        let error = Positions::default().write(&nowhere).expect_err("no folder").to_string();
        assert!(error.contains("check its folder"), "{error}");
    }
}
