//! Files to read: globs, directories, rotated sets in order, standard input; each file once.

pub mod exported;
mod lines;
mod rotation;
mod source;

pub use lines::{LINE_BYTES_MAX, Lines};

use rotation::Rotation;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of all arguments; past it somebody named `/`.
const FILES_MAX: usize = 100_000;
/// Directories in directories; `/var/log/pods` has three.
const DEPTH_MAX: usize = 16;

/// One file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// As it is shown.
    pub name: Arc<str>,
    /// Where it is; `None` is standard input.
    pub path: Option<PathBuf>,
    /// The path without what rotation added; `None` is standard input.
    pub stem: Option<String>,
    /// Files of one rotated set (`access.log.2.gz`, `access.log.1`, `access.log`) are one stream, oldest first.
    pub stream: u64,
    /// Bytes of a regular file, which can be read twice; `None` for pipes and devices.
    pub bytes: Option<u64>,
    /// What was read of standard input so far ([`Input::peek`]); empty for everything else.
    pub peeked: Arc<[u8]>,
}

impl Input {
    /// Reads ahead of standard input, which cannot be read twice: so much can be looked at before it is read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn peek(&mut self, bytes_max: u64) -> std::io::Result<()> {
        if self.path.is_none() && self.peeked.is_empty() {
            let mut bytes = Vec::new();
            std::io::stdin().lock().take(bytes_max).read_to_end(&mut bytes)?;
            self.peeked = bytes.into();
        }
        Ok(())
    }
}

/// The files that the arguments name, each once, rotated sets in order. What cannot be found is a problem, not an end.
pub fn expand(arguments: &[String], problems: &mut Vec<String>) -> Vec<Input> {
    let mut finder = Finder { problems, known: BTreeSet::new(), found: Vec::new() };
    for argument in arguments {
        finder.argument(argument);
    }
    let mut streams: BTreeMap<u64, usize> = BTreeMap::new();
    let mut ordered = Vec::with_capacity(finder.found.len());
    for (rotation, input) in finder.found {
        // A set stands where its first file was named.
        let next = streams.len();
        let place = *streams.entry(input.stream).or_insert(next);
        ordered.push((place, rotation, input));
    }
    ordered.sort_by(|(place, rotation, input), (other_place, other_rotation, other)| {
        (place, rotation, &input.name).cmp(&(other_place, other_rotation, &other.name))
    });
    ordered.into_iter().map(|(_, _, input)| input).collect()
}

struct Finder<'a> {
    problems: &'a mut Vec<String>,
    /// What was found already: the same file may be named twice, through links and globs.
    known: BTreeSet<Identity>,
    found: Vec<(Rotation, Input)>,
}

/// Tells whether two paths are one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    StandardInput,
    #[cfg(unix)]
    File(u64, u64),
    #[cfg(not(unix))]
    Path(PathBuf),
}

#[cfg(unix)]
fn identity(_path: &Path, metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    Identity::File(metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(path: &Path, _metadata: &Metadata) -> Identity {
    Identity::Path(std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
}

impl Finder<'_> {
    fn argument(&mut self, argument: &str) {
        if argument == "-" {
            if self.known.insert(Identity::StandardInput) {
                let stream = crate::read::text::hash64(b"-");
                let input =
                    Input { name: Arc::from("-"), path: None, stem: None, stream, bytes: None, peeked: Arc::default() };
                self.found.push((Rotation::Live, input));
            }
            return;
        }
        let path = Path::new(argument);
        match std::fs::metadata(path) {
            Ok(metadata) => self.path(path, &metadata, 0),
            Err(_) if argument.contains(['*', '?', '[']) => self.pattern(argument),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.problems.push(format!("{argument}: no such file; check the path"));
            }
            Err(error) => self.problems.push(format!("{argument}: cannot be read: {error}")),
        }
    }

    fn pattern(&mut self, pattern: &str) {
        // As a shell: hidden files only where the pattern says so.
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let found = match glob::glob_with(pattern, options) {
            Ok(found) => found,
            Err(error) => {
                self.problems.push(format!("{pattern}: not a pattern of file names: {error}"));
                return;
            }
        };
        let mut any = false;
        for path in found.take(FILES_MAX) {
            any = true;
            match path.map_err(|error| (error.path().to_owned(), error.into())) {
                Ok(path) => self.entry(&path, 0),
                Err((path, error)) => self.unreadable(&path, &error),
            }
        }
        if !any {
            self.problems.push(format!("{pattern}: no file fits this pattern; check the path"));
        }
    }

    fn entry(&mut self, path: &Path, depth: usize) {
        match std::fs::metadata(path) {
            // A directory or a pattern may hold sockets and pipes, which would block.
            Ok(metadata) if metadata.is_file() || metadata.is_dir() => self.path(path, &metadata, depth),
            Ok(_) => {}
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn path(&mut self, path: &Path, metadata: &Metadata, depth: usize) {
        if !self.known.insert(identity(path, metadata)) {
            return;
        }
        if metadata.is_dir() {
            return self.directory(path, depth);
        }
        if self.found.len() >= FILES_MAX {
            if self.found.len() == FILES_MAX {
                self.problems.push(format!("{}: over {FILES_MAX} files; the others are left out", path.display()));
            }
            return;
        }
        let name: Arc<str> = Arc::from(path.to_string_lossy().as_ref());
        let (stem, rotation) = rotation::of(path);
        let stream = crate::read::text::hash64(stem.as_bytes());
        let bytes = metadata.is_file().then_some(metadata.len());
        self.found.push((
            rotation,
            Input { name, stem: Some(stem), stream, path: Some(path.to_owned()), bytes, peeked: Arc::default() },
        ));
    }

    fn directory(&mut self, path: &Path, depth: usize) {
        if depth == DEPTH_MAX {
            let path = path.display();
            return self.problems.push(format!("{path}: directories are nested over {DEPTH_MAX} deep; left out"));
        }
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return self.problems.push(format!("{}: cannot list the directory: {error}", path.display())),
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).take(FILES_MAX).collect();
        paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
        paths.sort();
        if paths.is_empty() && depth == 0 {
            self.problems.push(format!("{}: an empty directory; check the path", path.display()));
        }
        for path in paths {
            self.entry(&path, depth + 1);
        }
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        self.problems.push(format!("{}: cannot be read: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for name in names {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, "x\n").expect("a file");
        }
        directory
    }

    /// Names below the directory, streams apart by `|`.
    fn found(directory: &Path, arguments: &[&str]) -> String {
        let full = |argument: &&str| directory.join(argument).to_string_lossy().into_owned();
        let mut problems = Vec::new();
        let inputs = expand(&arguments.iter().map(full).collect::<Vec<_>>(), &mut problems);
        let mut text = String::new();
        for (index, input) in inputs.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|index| inputs.get(index));
            text.push_str(before.map_or("", |before| if before.stream == input.stream { " " } else { " | " }));
            let path = input.path.as_deref().and_then(|path| path.strip_prefix(directory).ok());
            text.push_str(&path.unwrap_or(Path::new("?")).to_string_lossy());
        }
        assert_eq!(problems, Vec::<String>::new());
        text
    }

    #[test]
    fn rotated_sets_come_oldest_first() {
        let names = ["error.log", "access.log", "access.log.1", "access.log.10.gz", "access.log.2.gz"];
        let directory = directory(&names);
        let expected = "access.log.10.gz access.log.2.gz access.log.1 access.log | error.log";
        assert_eq!(found(directory.path(), &[""]), expected);
        assert_eq!(found(directory.path(), &["access*", "*"]), expected);
        // As a shell sorts them.
        let shell = ["access.log", "access.log.1", "access.log.10.gz", "access.log.2.gz", "error.log"];
        assert_eq!(found(directory.path(), &shell), expected);
    }

    #[test]
    fn each_file_once_and_directories_in_directories() {
        let directory = directory(&["a/x.log", "a/b/y.log", "a/.hidden", "a/b/x.log"]);
        assert_eq!(found(directory.path(), &["a"]), "a/b/x.log | a/b/y.log | a/x.log");
        assert_eq!(found(directory.path(), &["a/x.log", "a/../a/x.log", "a/b/../x.log"]), "a/x.log");
        assert_eq!(found(directory.path(), &["a/*"]), "a/b/x.log | a/b/y.log | a/x.log");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(directory.path(), directory.path().join("a/loop")).expect("a link");
            std::os::unix::fs::symlink(directory.path().join("a/x.log"), directory.path().join("z")).expect("a link");
            assert_eq!(found(directory.path(), &["z", "a/x.log"]), "z");
            assert_eq!(found(directory.path(), &["a/x.log", "a"]), "a/x.log | a/b/x.log | a/b/y.log");
        }
    }

    #[test]
    fn what_is_not_there() {
        let directory = directory(&["a.log"]);
        let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        std::fs::create_dir(path("empty")).expect("a directory");
        let mut problems = Vec::new();
        let names = [path("none"), path("a.log"), path("*.gz"), path("[a"), path("empty"), "-".into(), "-".into()];
        let inputs = expand(&names, &mut problems);
        assert_eq!(inputs.iter().map(|input| input.bytes).collect::<Vec<_>>(), [Some(2), None]);
        assert_eq!(problems.len(), 4, "{problems:#?}");
    }
}
