//! The physical lines of one file: gzip and zstd decompressed, UTF-16 turned into UTF-8, binary files refused.

use super::Input;
use super::exported::{Nesting, Shape, Unit};
use super::source::{Counted, HEAD_BYTES, Utf16, binary_line, decompress, read_head, read_some};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest line that is read whole; the rest of a longer one is skipped and counted. nginx cuts error lines at 2 KiB,
/// access lines with cookies reach some 100 KiB.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Read ahead of each file when few are open.
const BUFFER_BYTES: usize = 256 * 1024;

/// The physical lines of one file. A regular file is read up to the size that it had when it was opened.
pub struct Lines {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// What is read of `buffer` and not handed out.
    unread: std::ops::Range<usize>,
    /// The beginning of a line that is too long for `buffer`.
    long: Vec<u8>,
    /// How records stand in it, and the last that are over several lines.
    shape: Shape,
    unit: Vec<u8>,
    watched: Option<Watched>,
    raw: Arc<AtomicU64>,
    /// Longest line that is read whole.
    pub line_bytes_max: usize,
    /// The file is in UTF-16, which no log is written in: somebody redirected one in PowerShell.
    pub is_utf16: bool,
    /// Number of the line last read, from 1.
    pub number: u64,
    /// Lines that were longer than [`LINE_BYTES_MAX`], or what was set instead.
    pub cut: u64,
    /// Bytes read, decompressed.
    pub bytes: u64,
}

/// A regular file, to see whether somebody else changes it meanwhile.
struct Watched {
    state: State,
    path: PathBuf,
    identity: super::Identity,
    bytes: u64,
    is_plain: bool,
}

/// Whether a regular file is open.
enum State {
    Open(Arc<File>),
    /// Closed for good: what is left of it is in memory.
    Kept,
    /// Closed until it is read again.
    Closed,
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
    /// When it cannot be opened, its first bytes cannot be read, or it is no text.
    pub fn open(input: &Input) -> io::Result<Lines> {
        Lines::with_buffer(input, BUFFER_BYTES)
    }

    /// The same with so many bytes read ahead: for thousands of open files.
    ///
    /// # Errors
    /// As [`Lines::open`].
    pub fn with_buffer(input: &Input, buffer_bytes: usize) -> io::Result<Lines> {
        let raw = Arc::new(AtomicU64::new(0));
        let mut watched = None;
        let reader: Box<dyn Read + Send> = match &input.path {
            None => {
                let inner = Cursor::new(Arc::clone(&input.peeked)).chain(io::stdin());
                Box::new(Counted { inner, count: Arc::clone(&raw) })
            }
            Some(path) => {
                let file = Arc::new(File::open(path)?);
                let metadata = file.metadata()?;
                if metadata.is_file() {
                    let bytes = metadata.len();
                    let identity = super::identity(path, &metadata);
                    let (path, is_plain, state) = (path.clone(), true, State::Open(Arc::clone(&file)));
                    watched = Some(Watched { state, path, identity, bytes, is_plain });
                    Box::new(Counted { inner: file.take(bytes), count: Arc::clone(&raw) })
                } else {
                    Box::new(Counted { inner: file, count: Arc::clone(&raw) })
                }
            }
        };
        Lines::of(reader, buffer_bytes, raw, watched)
    }

    /// The lines of what was read ahead of standard input; the last may be cut.
    ///
    /// # Errors
    /// When it is no text.
    pub fn peeked(input: &Input) -> io::Result<Lines> {
        Lines::of(Box::new(Cursor::new(Arc::clone(&input.peeked))), BUFFER_BYTES, Arc::default(), None)
    }

    fn of(
        mut reader: Box<dyn Read + Send>,
        buffer_bytes: usize,
        raw: Arc<AtomicU64>,
        mut watched: Option<Watched>,
    ) -> io::Result<Lines> {
        // Of a hundred thousand small files each is read in one piece, into no more memory than it needs.
        let bytes_all = watched.as_ref().map(|watched| usize::try_from(watched.bytes).unwrap_or(usize::MAX));
        let head_bytes = bytes_all.map_or(HEAD_BYTES, |bytes| bytes.saturating_add(1).min(HEAD_BYTES));
        let mut head = read_head(&mut reader, head_bytes)?;
        let decompressed = decompress(&head, &mut reader)?;
        let is_compressed = decompressed.is_some();
        if let Some(decompressed) = decompressed {
            reader = decompressed;
            head = read_head(&mut reader, HEAD_BYTES)?;
        }
        if let Some(watched) = &mut watched {
            watched.is_plain = !is_compressed;
        }
        let is_utf16 = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
        if is_utf16 {
            let is_big = head.first() == Some(&0xfe);
            let after_mark = head.split_off(2);
            reader = Box::new(Utf16::new(Cursor::new(after_mark).chain(reader), is_big));
            head = read_head(&mut reader, HEAD_BYTES)?;
        }
        if let Some(line) = binary_line(&head) {
            return Err(io::Error::other(format!("it is a binary file, not a log (seen in line {line})")));
        }
        let from = if head.starts_with(&[0xef, 0xbb, 0xbf]) { 3 } else { 0 };
        let unread = from..head.len();
        let shape = Shape::of(head.get(from..).unwrap_or_default());
        let line_bytes_max = shape.line_bytes_max(LINE_BYTES_MAX);
        let is_whole = !is_compressed && !is_utf16 && bytes_all.is_some_and(|bytes| bytes <= head.len());
        head.resize(if is_whole { head.len() + 1 } else { buffer_bytes.max(HEAD_BYTES) }, 0);
        Ok(Lines {
            reader,
            buffer: head,
            unread,
            long: Vec::new(),
            shape,
            unit: Vec::new(),
            watched,
            raw,
            line_bytes_max,
            is_utf16,
            number: 0,
            cut: 0,
            bytes: 0,
        })
    }

    /// The next line, or what stands in the next lines of a document or a table, with the number of its first line; `None` at
    /// the end.
    ///
    /// # Errors
    /// As [`Lines::next_line`].
    #[inline]
    pub fn next_unit(&mut self) -> io::Result<Option<(u64, Unit<'_>)>> {
        if !self.shape.is_lines() {
            return self.gathered();
        }
        let first = self.number + 1;
        Ok(self.next_line()?.map(|line| (first, Shape::Lines.unit(line))))
    }

    fn gathered(&mut self) -> io::Result<Option<(u64, Unit<'_>)>> {
        let first = self.number + 1;
        let mut unit = std::mem::take(&mut self.unit);
        unit.clear();
        let mut nesting = Nesting::default();
        while let Some(line) = self.next_line()? {
            unit.extend_from_slice(line);
            unit.push(b'\n');
            if !self.shape.goes_on(&unit, &mut nesting) {
                break;
            }
        }
        self.unit = unit;
        Ok((!self.unit.is_empty()).then(|| (first, self.shape.unit(&self.unit))))
    }

    /// The next line without its line end; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read on: damaged compression, a device that fails.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = 0;
        let length = loop {
            let window = self.buffer.get(self.unread.start + searched..self.unread.end).unwrap_or_default();
            if let Some(index) = memchr::memchr(b'\n', window) {
                break Some(searched + index);
            }
            searched = self.unread.len();
            if searched == self.buffer.len() {
                return self.long_line();
            }
            if self.fill()? == 0 {
                break None;
            }
        };
        let from = self.unread.start;
        let end = match length {
            Some(length) => {
                self.unread.start += length + 1;
                from + length
            }
            None if self.unread.is_empty() => return Ok(None),
            None => {
                self.unread.start = self.unread.end;
                self.unread.end
            }
        };
        self.bytes += (self.unread.start - from) as u64;
        self.number += 1;
        Ok(Some(trimmed(self.buffer.get(from..end).unwrap_or_default())))
    }

    /// Compressed or not: bytes of the file that were read so far.
    pub fn raw_bytes(&self) -> u64 {
        self.raw.load(Ordering::Relaxed)
    }

    /// What somebody else did to the file while it was read; ask at its end.
    pub fn changed(&self) -> Option<String> {
        let watched = self.watched.as_ref()?;
        let now = match &watched.state {
            State::Open(file) => file.metadata().ok()?.len(),
            State::Kept | State::Closed => {
                let metadata = std::fs::metadata(&watched.path).ok()?;
                (super::identity(&watched.path, &metadata) == watched.identity).then_some(metadata.len())?
            }
        };
        let read = if watched.is_plain { self.raw_bytes() } else { watched.bytes };
        if now < watched.bytes || read < watched.bytes {
            let lost = watched.bytes - now.min(read);
            return Some(format!("the file was truncated while it was read: {lost} bytes after this line are missing"));
        }
        let grown = now.checked_sub(watched.bytes).filter(|grown| *grown > 0)?;
        Some(format!("the file grew while it was read: {grown} bytes after this line are not in the report"))
    }

    /// True while a file is open for it, be it a pipe.
    pub fn is_open(&self) -> bool {
        self.watched.as_ref().is_none_or(|watched| matches!(watched.state, State::Open(_)))
    }

    /// True where the way back to a place in the file is to read it anew from its beginning.
    pub fn is_dear_to_close(&self) -> bool {
        self.is_utf16 || self.watched.as_ref().is_none_or(|watched| !watched.is_plain)
    }

    /// Closes the file for a while, where it can be found again: a process may have some hundred files open. What is left
    /// of it stays in memory where that is no more than `kept_bytes_max`. False where it must stay open.
    pub fn close(&mut self, kept_bytes_max: usize) -> bool {
        let is_dear = self.is_dear_to_close();
        let raw = self.raw_bytes();
        let Some(watched) = &mut self.watched else { return false };
        if !matches!(watched.state, State::Open(_)) {
            return true;
        }
        self.reader = Box::new(io::empty());
        let unread = self.buffer.get(self.unread.clone()).unwrap_or_default();
        if !is_dear && raw >= watched.bytes && unread.len() <= kept_bytes_max {
            let mut kept = Vec::with_capacity(unread.len() + 1);
            kept.extend_from_slice(unread);
            self.unread = 0..kept.len();
            // Room in which the end is found.
            kept.push(0);
            self.buffer = kept;
            watched.state = State::Kept;
            return true;
        }
        watched.state = State::Closed;
        self.raw.fetch_sub(if is_dear { raw } else { unread.len() as u64 }, Ordering::Relaxed);
        self.unread = 0..0;
        self.buffer = Vec::new();
        true
    }

    /// Goes on where it was closed; nothing where it is open or kept.
    ///
    /// # Errors
    /// When the file cannot be opened, or another one has its name now.
    pub fn reopen(&mut self, buffer_bytes: usize) -> io::Result<()> {
        let (is_dear, read) = (self.is_dear_to_close(), self.raw_bytes());
        let Some(watched) = self.watched.as_mut().filter(|watched| matches!(watched.state, State::Closed)) else {
            return Ok(());
        };
        let mut file = Arc::new(File::open(&watched.path)?);
        if super::identity(&watched.path, &file.metadata()?) != watched.identity {
            return Err(io::Error::other("another file took its name while it was read"));
        }
        file.seek(SeekFrom::Start(read))?;
        watched.state = State::Open(Arc::clone(&file));
        let rest = file.take(watched.bytes.saturating_sub(read));
        let reader = Box::new(Counted { inner: rest, count: Arc::clone(&self.raw) });
        if !is_dear {
            self.reader = reader;
            self.buffer = vec![0; buffer_bytes.max(HEAD_BYTES)];
            return Ok(());
        }
        let again = Lines::of(reader, buffer_bytes, Arc::clone(&self.raw), None)?;
        (self.reader, self.buffer, self.unread) = (again.reader, again.buffer, again.unread);
        self.skip(self.bytes)
    }

    /// Reads so many bytes for nothing.
    fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        loop {
            let unread = self.unread.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.unread.start += unread;
            bytes -= unread as u64;
            if bytes == 0 || self.fill()? == 0 {
                return Ok(());
            }
        }
    }

    /// Reads on; 0 at the end. There is room in the buffer.
    fn fill(&mut self) -> io::Result<usize> {
        if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let free = self.buffer.get_mut(self.unread.end..).unwrap_or_default();
        let count = read_some(&mut self.reader, free)?;
        self.unread.end += count;
        Ok(count)
    }

    /// A line that does not fit into the buffer.
    fn long_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.long.clear();
        let mut seen = 0_usize;
        loop {
            let unread = self.buffer.get(self.unread.clone()).unwrap_or_default();
            let end = memchr::memchr(b'\n', unread);
            let part = unread.get(..end.unwrap_or(unread.len())).unwrap_or_default();
            let room = self.line_bytes_max.saturating_sub(self.long.len()).min(part.len());
            self.long.extend_from_slice(part.get(..room).unwrap_or_default());
            seen += part.len();
            self.bytes += (part.len() + usize::from(end.is_some())) as u64;
            self.unread.start += part.len() + usize::from(end.is_some());
            if end.is_some() || self.fill()? == 0 {
                break;
            }
        }
        self.number += 1;
        self.cut += u64::from(seen > self.line_bytes_max + 1);
        Ok(Some(trimmed(&self.long)))
    }
}

/// Without the carriage return at its end and the zeros before it: a program that does not append leaves a hole when
/// its log is truncated (logrotate's `copytruncate`).
fn trimmed(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r'] = line {
        line = rest;
    }
    if line.first() == Some(&0) {
        let zeros = line.iter().position(|byte| *byte != 0).unwrap_or(line.len());
        line = line.get(zeros..).unwrap_or_default();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn input(path: &std::path::Path) -> Input {
        Input {
            name: Arc::from("a"),
            path: Some(path.to_owned()),
            stem: None,
            stream: 0,
            bytes: None,
            peeked: Arc::default(),
        }
    }

    fn all(lines: &mut Lines) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().expect("reads") {
            all.push(String::from_utf8_lossy(line).into_owned());
        }
        all
    }

    fn check(bytes: &[u8], expected: &[&str]) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        std::fs::write(&path, bytes).expect("a file");
        for buffer in [0, HEAD_BYTES + 1, BUFFER_BYTES] {
            let mut lines = Lines::with_buffer(&input(&path), buffer).expect("opens");
            assert_eq!(all(&mut lines), expected);
            assert_eq!(lines.changed(), None);
            assert_eq!(lines.raw_bytes(), bytes.len() as u64);
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("in memory");
        encoder.finish().expect("in memory")
    }

    #[test]
    fn plain_and_compressed() {
        let text = b"one\r\ntwo\n\nlast";
        let lines = ["one", "two", "", "last"];
        check(text, &lines);
        check(b"", &[]);
        check(b"\n", &[""]);
        check(&gzip(text), &lines);
        check(&[gzip(text), gzip(b"\nmore\n")].concat(), &["one", "two", "", "last", "more"]);
        check(&zstd::encode_all(text.as_slice(), 1).expect("in memory"), &lines);
    }

    #[test]
    fn encodings() {
        check(b"\xef\xbb\xbfone\n", &["one"]);
        let wide = |big: bool, text: &str| -> Vec<u8> {
            let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(unit).collect()
        };
        check(&wide(false, "one\r\nz\u{1f600}\n"), &["one", "z\u{1f600}"]);
        check(&wide(true, "one\nz\u{1f600}"), &["one", "z\u{1f600}"]);
        let long = "\u{1f600}".repeat(5_000);
        check(&wide(true, &format!("x{long}\ny")), &[&format!("x{long}"), "y"]);
        check(b"caf\xe9\n", &["caf\u{fffd}"]);
        check(&[[0; 40_000].as_slice(), b"after the hole\nnext\n"].concat(), &["after the hole", "next"]);
    }

    #[test]
    fn long_lines() {
        let longer = "x".repeat(LINE_BYTES_MAX + 10);
        let (whole, cut) = longer.split_at(LINE_BYTES_MAX);
        check(format!("a\n{whole}\nb\n").as_bytes(), &["a", whole, "b"]);
        check(format!("a\n{whole}{cut}\nb").as_bytes(), &["a", whole, "b"]);
        check(format!("{whole}{cut}").as_bytes(), &[whole]);
    }

    #[test]
    fn closed_and_opened_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        let expected: Vec<String> = (0..20_000).map(|number| format!("line {number}")).collect();
        std::fs::write(&path, expected.join("\n")).expect("a file");
        let mut lines = Lines::open(&input(&path)).expect("opens");
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().expect("reads").map(<[u8]>::to_vec) {
            found.push(String::from_utf8_lossy(&line).into_owned());
            if found.len() % 777 == 0 {
                assert!(lines.close(0) && !lines.is_open());
                lines.reopen(HEAD_BYTES).expect("opens");
                assert!(lines.is_open());
            }
        }
        assert!(found == expected, "the same lines");
        assert_eq!((lines.changed(), lines.number), (None, 20_000));

        let mut lines = Lines::open(&input(&path)).expect("opens");
        assert!(lines.close(0));
        std::fs::rename(&path, directory.path().join("a.log.1")).expect("a name");
        std::fs::write(&path, "other").expect("a file");
        assert!(lines.reopen(HEAD_BYTES).is_err());
    }

    #[test]
    fn what_is_not_found_by_its_place_is_read_anew() {
        let expected: Vec<String> = (0..20_000).map(|number| format!("line {number}")).collect();
        let wide: Vec<u8> =
            std::iter::once(0xfeff).chain(expected.join("\n").encode_utf16()).flat_map(u16::to_le_bytes).collect();
        for bytes in [gzip(expected.join("\r\n").as_bytes()), wide] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("a.log");
            std::fs::write(&path, &bytes).expect("a file");
            let mut lines = Lines::open(&input(&path)).expect("opens");
            let mut found = Vec::new();
            while let Some(line) = lines.next_line().expect("reads").map(<[u8]>::to_vec) {
                found.push(String::from_utf8_lossy(&line).into_owned());
                if found.len() % 777 == 0 {
                    assert!(lines.close(1 << 20) && !lines.is_open());
                    lines.reopen(HEAD_BYTES).expect("opens");
                }
            }
            assert!(found == expected, "the same lines");
            assert_eq!((lines.changed(), lines.number, lines.raw_bytes()), (None, 20_000, bytes.len() as u64));
        }
    }

    #[test]
    fn what_is_left_of_a_small_file_stays_in_memory() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        for (text, rest) in
            [("one\ntwo\nthree", &["two", "three"][..]), ("one\n\n", &[""]), ("one\n", &[]), ("one", &[])]
        {
            std::fs::write(&path, text).expect("a file");
            let mut lines = Lines::open(&input(&path)).expect("opens");
            assert_eq!(lines.next_line().expect("reads"), Some(b"one".as_slice()));
            assert!(lines.close(100) && !lines.is_open());
            lines.reopen(HEAD_BYTES).expect("nothing to open");
            assert!(!lines.is_open());
            assert_eq!(all(&mut lines), rest);
            assert_eq!((lines.changed(), lines.raw_bytes()), (None, text.len() as u64));
        }
    }

    #[test]
    fn what_is_no_log() {
        let refused = |bytes: &[u8]| {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("a");
            std::fs::write(&path, bytes).expect("a file");
            Lines::open(&input(&path)).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(refused(b"BZh9xxxx").contains("bzip2"));
        let noise: Vec<u8> = (0_u32..4_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert!(refused(&[b"one\ntwo\n".as_slice(), &noise].concat()).contains("line 3"));
        assert!(refused(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0").contains("binary"));
        assert!(refused(&gzip(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0")).contains("binary"));
        // Text in an old encoding, and what a client sent.
        assert_eq!(refused(&[0xc0, 0xd1, 0xf3, b' '].repeat(100)), "");
        let line = b"client sent invalid method, client: 192.0.2.1, request: \"\x16\x03\x01\0\xa5\"\n";
        assert_eq!(refused(line), "");
    }

    #[test]
    fn damaged_and_changed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log.gz");
        let bytes = gzip(b"one\ntwo\n");
        std::fs::write(&path, &bytes[..bytes.len() - 12]).expect("a file");
        let failed = Lines::open(&input(&path)).and_then(|mut lines| {
            while lines.next_line()?.is_some() {}
            Ok(())
        });
        assert!(failed.is_err());

        let path = directory.path().join("b.log");
        let text = "line\n".repeat(200_000);
        std::fs::write(&path, &text).expect("a file");
        let mut lines = Lines::open(&input(&path)).expect("opens");
        let mut file = File::options().append(true).open(&path).expect("a file");
        file.write_all(b"more\n").expect("a file");
        assert_eq!(all(&mut lines).len(), 200_000);
        assert!(lines.changed().is_some_and(|text| text.contains("grew while it was read: 5 bytes")));

        let mut lines = Lines::open(&input(&path)).expect("opens");
        file.set_len(600_000).expect("a file");
        assert_eq!(all(&mut lines).len(), 120_000);
        assert!(lines.changed().is_some_and(|text| text.contains("truncated while it was read: 400005 bytes")));
    }
}
