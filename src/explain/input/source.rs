//! What the bytes of a file are: compressed, in UTF-16, no text at all.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Looked at to tell what a file is.
pub(super) const HEAD_BYTES: usize = 16 * 1024;
/// zstd frames may ask for this window at most, 2^27 bytes: what `zstd --long` writes by default.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

pub(super) fn read_some(reader: &mut dyn Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

pub(super) fn read_head(reader: &mut dyn Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; bytes_max];
    let mut length = 0;
    while let Some(free) = head.get_mut(length..).filter(|free| !free.is_empty()) {
        match read_some(reader, free)? {
            0 => break,
            count => length += count,
        }
    }
    head.truncate(length);
    Ok(head)
}

/// What reads on decompressed; `None` for a file that is not compressed.
pub(super) fn decompress(head: &[u8], reader: &mut Box<dyn Read + Send>) -> io::Result<Option<Box<dyn Read + Send>>> {
    const OTHERS: [(&[u8], &str); 4] =
        [(b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"PK\x03\x04", "zip"), (b"\x04\x22\x4d\x18", "lz4")];
    if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(io::Error::other(format!("it is compressed with {name}: decompress it first")));
    }
    let is_gzip = head.starts_with(&[0x1f, 0x8b]);
    if !is_gzip && !head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(None);
    }
    let rest = std::mem::replace(reader, Box::new(io::empty()));
    let whole = BufReader::with_capacity(128 * 1024, Cursor::new(head.to_owned()).chain(rest));
    if is_gzip {
        return Ok(Some(Box::new(flate2::bufread::MultiGzDecoder::new(whole))));
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(Some(Box::new(decoder)))
}

/// The first line with a byte that no text has, where there are too many of them for a log. A log may hold some: nginx
/// writes what clients send, and text in an old encoding has bytes that are no UTF-8.
pub(super) fn binary_line(head: &[u8]) -> Option<u64> {
    // The hole of a truncated log.
    let text = head.get(head.iter().position(|byte| *byte != 0)?..)?;
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127);
    let controls = text.iter().filter(|byte| is_control(byte)).count();
    let invalid: usize = text.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    let is_binary = controls * 10 > text.len() || (controls * 25 > text.len() && invalid * 5 > text.len());
    if !is_binary {
        return None;
    }
    let first = text.iter().position(is_control)?;
    Some(1 + text.iter().take(first).filter(|byte| **byte == b'\n').count() as u64)
}

/// Counts what is read.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// UTF-16 as UTF-8.
pub(super) struct Utf16<R> {
    inner: R,
    is_big: bool,
    /// UTF-8 that was not handed out yet.
    unread: Vec<u8>,
    at: usize,
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.unread.len() {
            self.refill()?;
        }
        let rest = self.unread.get(self.at..).unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}

impl<R: Read> Utf16<R> {
    /// Reads what follows the byte order mark.
    pub(super) fn new(inner: R, is_big: bool) -> Utf16<R> {
        Utf16 { inner, is_big, unread: Vec::new(), at: 0 }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.unread.clear();
        self.at = 0;
        let mut units = self.units(4_096)?;
        // A pair of surrogates stays together.
        if units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            units.extend(self.units(1)?);
        }
        let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        self.unread = text.into_bytes();
        Ok(())
    }

    fn units(&mut self, count: u64) -> io::Result<Vec<u16>> {
        let mut bytes = Vec::new();
        self.inner.by_ref().take(count * 2).read_to_end(&mut bytes)?;
        let unit = |pair: &[u8]| match pair {
            [high, low] if self.is_big => u16::from_be_bytes([*high, *low]),
            [low, high] => u16::from_le_bytes([*low, *high]),
            _ => u16::from(b'\n'),
        };
        Ok(bytes.chunks(2).map(unit).collect())
    }
}
