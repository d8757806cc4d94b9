//! Files to read: globs, directories, rotated sets in order, gzip and zstd, standard input.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest line that is read whole; the rest of a longer one is skipped and counted. nginx cuts error lines at 2 KiB,
/// access lines with cookies reach some 100 KiB.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Files of one directory or glob; past it somebody named `/`.
const FILES_MAX: usize = 100_000;
/// zstd frames may ask for this window at most, 2^27 bytes: what `zstd --long` writes by default.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// One file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// As it is shown.
    pub name: Arc<str>,
    /// Where it is; `None` is standard input.
    pub path: Option<PathBuf>,
    /// Files of one rotated set (`access.log.2.gz`, `access.log.1`, `access.log`) are one stream, oldest first.
    pub stream: u64,
}

/// The files that the arguments name, rotated sets in order. What cannot be found is a problem, not an end.
pub fn expand(arguments: &[String], problems: &mut Vec<String>) -> Vec<Input> {
    let mut inputs = Vec::new();
    let mut known = BTreeSet::new();
    for argument in arguments {
        if argument == "-" {
            inputs.push(Input { name: Arc::from("-"), path: None, stream: crate::engine::text::hash64(b"-") });
            continue;
        }
        let mut paths = paths_of(argument, problems);
        paths.retain(|path| known.insert(path.clone()));
        inputs.extend(paths.into_iter().map(|path| {
            let name: Arc<str> = Arc::from(path.to_string_lossy().as_ref());
            let (stem, _) = rotation_of(&path);
            Input { name, stream: crate::engine::text::hash64(stem.as_bytes()), path: Some(path) }
        }));
    }
    inputs
}

fn paths_of(argument: &str, problems: &mut Vec<String>) -> Vec<PathBuf> {
    let path = Path::new(argument);
    let mut paths = if path.is_dir() {
        files_of_directory(path, problems)
    } else if path.exists() {
        return vec![path.to_owned()];
    } else if argument.contains(['*', '?', '[']) {
        match glob::glob(argument) {
            Ok(found) => found.flatten().filter(|path| path.is_file()).take(FILES_MAX).collect(),
            Err(error) => {
                problems.push(format!("{argument}: not a pattern of file names: {error}"));
                return Vec::new();
            }
        }
    } else {
        Vec::new()
    };
    if paths.is_empty() {
        problems.push(format!("{argument}: no such file; check the path"));
    }
    // Oldest first: `access.log.10.gz` before `access.log.2` before `access.log`.
    paths.sort_by_cached_key(|path| {
        let (stem, age) = rotation_of(path);
        (stem, std::cmp::Reverse(age), path.clone())
    });
    paths
}

fn files_of_directory(path: &Path, problems: &mut Vec<String>) -> Vec<PathBuf> {
    match std::fs::read_dir(path) {
        Ok(entries) => {
            entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).take(FILES_MAX).collect()
        }
        Err(error) => {
            problems.push(format!("{}: cannot list the directory: {error}", path.display()));
            Vec::new()
        }
    }
}

/// The name without rotation (`access.log.2.gz` is the second oldest `access.log`), and its age.
fn rotation_of(path: &Path) -> (String, u64) {
    let full = path.to_string_lossy();
    let bare = full.strip_suffix(".gz").or_else(|| full.strip_suffix(".zst")).unwrap_or(&full);
    if let Some((stem, digits)) = bare.rsplit_once(['.', '-'])
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = digits.parse::<u64>()
    {
        // logrotate's `dateext` writes 20261122: a larger number is younger.
        let age = if digits.len() >= 8 { u64::MAX - number } else { number };
        return (stem.to_owned(), age);
    }
    (bare.to_owned(), 0)
}

/// The physical lines of one file, decompressed.
pub struct Lines {
    reader: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    /// Number of the line last read, from 1.
    pub number: u64,
    /// Lines that were longer than [`LINE_BYTES_MAX`].
    pub cut: u64,
    /// Bytes read, decompressed.
    pub bytes: u64,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lines").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Lines {
    /// Opens a file, or standard input.
    ///
    /// # Errors
    /// When it cannot be opened or its first bytes cannot be read.
    pub fn open(input: &Input) -> io::Result<Lines> {
        let raw: Box<dyn Read + Send> = match &input.path {
            Some(path) => Box::new(File::open(path)?),
            None => Box::new(io::stdin()),
        };
        let mut reader = BufReader::with_capacity(256 * 1024, raw);
        let head = reader.fill_buf()?;
        let reader: Box<dyn BufRead + Send> = if head.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(256 * 1024, flate2::bufread::MultiGzDecoder::new(reader)))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(BufReader::with_capacity(256 * 1024, decoder))
        } else {
            Box::new(reader)
        };
        Ok(Lines { reader, buffer: Vec::new(), number: 0, cut: 0, bytes: 0 })
    }

    /// The next line without its line end; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read on: damaged compression, a device that fails.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.buffer.clear();
        let mut complete = false;
        let mut seen = 0_usize;
        while !complete {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            let (take, ends) = match memchr::memchr(b'\n', chunk) {
                Some(index) => (index + 1, true),
                None => (chunk.len(), false),
            };
            let room = LINE_BYTES_MAX.saturating_sub(self.buffer.len()).min(take);
            self.buffer.extend_from_slice(chunk.get(..room).unwrap_or_default());
            self.reader.consume(take);
            seen += take;
            complete = ends;
        }
        if seen == 0 {
            return Ok(None);
        }
        self.bytes += seen as u64;
        self.number += 1;
        self.cut += u64::from(seen > LINE_BYTES_MAX + 2);
        while matches!(self.buffer.last(), Some(b'\n' | b'\r')) {
            self.buffer.pop();
        }
        Ok(Some(&self.buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn rotated_sets_come_oldest_first() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["error.log", "access.log", "access.log.1", "access.log.10.gz", "access.log.2.gz"] {
            File::create(directory.path().join(name)).expect("a file");
        }
        let mut problems = Vec::new();
        let inputs = expand(&[directory.path().to_string_lossy().into_owned()], &mut problems);
        let names: Vec<_> = inputs.iter().filter_map(|input| input.path.as_ref()?.file_name()?.to_str()).collect();
        assert_eq!(names, ["access.log.10.gz", "access.log.2.gz", "access.log.1", "access.log", "error.log"]);
        assert_eq!(inputs[0].stream, inputs[3].stream, "one set is one stream");
        assert_ne!(inputs[3].stream, inputs[4].stream);
        assert!(problems.is_empty());
    }

    #[test]
    fn compressed_and_damaged() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log.gz");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"one\r\ntwo\n\nlast").expect("in memory");
        let bytes = encoder.finish().expect("in memory");
        std::fs::write(&path, &bytes).expect("a file");
        let input = Input { name: Arc::from("a"), path: Some(path.clone()), stream: 0 };
        let mut lines = Lines::open(&input).expect("opens");
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().expect("reads") {
            all.push(String::from_utf8_lossy(line).into_owned());
        }
        assert_eq!(all, ["one", "two", "", "last"]);
        std::fs::write(&path, &bytes[..bytes.len() - 12]).expect("a file");
        let mut lines = Lines::open(&input).expect("opens");
        assert!(
            std::iter::from_fn(|| lines.next_line().map(|line| line.map(<[u8]>::len)).transpose())
                .any(|line| line.is_err())
        );
    }
}
