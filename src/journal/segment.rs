//! Reading one segment: frame by frame, and past what cannot be read.

use super::JournalError;
use super::frame::{self, Entry, HEAD, HEADER, Head, Header};
use super::storage::{Storage, Stored};
use bytes::Bytes;
use std::io;

/// Ends the names of segments.
const SUFFIX: &str = ".segment";
/// Read at once.
const WINDOW: u64 = 1 << 20;

/// `00000000000000000017.segment`, so that their order is that of their names.
pub(super) fn name_of(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The position that a name says; `None` for other files.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// What comes next in a segment.
#[derive(Debug)]
pub(super) enum Next {
    /// A request, with where it begins.
    Entry(u64, Head, Entry),
    /// Nothing that can be read from this byte to the next frame, or to the end.
    Broken(u64),
    /// Nothing.
    End,
}

/// Goes through a segment.
pub(super) struct Segment {
    file: Box<dyn Stored>,
    header: Header,
    size: u64,
    offset: u64,
    window: Bytes,
    window_at: u64,
}

/// What a file is that is called like a segment.
pub(super) enum Opened {
    /// One.
    Segment(Segment),
    /// It has no header, and so many bytes.
    Headless(u64),
}

impl Segment {
    /// Opens a segment.
    pub(super) fn open(storage: &dyn Storage, name: &str) -> Result<Opened, JournalError> {
        let io = |source| JournalError::io("read", name, source);
        let file = storage.open(name).map_err(io)?;
        let size = file.size().map_err(io)?;
        let mut bytes = [0; HEADER];
        let read = file.read_at(&mut bytes, 0).map_err(io)?;
        let header = if read == HEADER { Header::decode(&bytes, name)? } else { None };
        match header.filter(|header| Some(header.first) == first_of(name)) {
            Some(header) => {
                let (offset, window) = (HEADER as u64, Bytes::new());
                Ok(Opened::Segment(Segment { file, header, size, offset, window, window_at: 0 }))
            }
            None => Ok(Opened::Headless(size)),
        }
    }

    /// Its header.
    pub(super) fn header(&self) -> Header {
        self.header
    }

    /// Its bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        if self.offset >= self.size {
            return Ok(Next::End);
        }
        let at = self.offset;
        if let Some((head, entry)) = self.frame_at(at)? {
            self.offset = at + head.whole_len();
            return Ok(Next::Entry(at, head, entry));
        }
        // The sum of a head is wrong for all but one of 4,000,000,000 places that are none, and that of a body too.
        while self.offset < self.size {
            self.offset += 1;
            if self.frame_at(self.offset)?.is_some() {
                break;
            }
        }
        Ok(Next::Broken(at))
    }

    fn frame_at(&mut self, at: u64) -> io::Result<Option<(Head, Entry)>> {
        let Some(head) = self.bytes(at, HEAD as u64)?.and_then(|bytes| bytes.first_chunk::<HEAD>().copied()) else {
            return Ok(None);
        };
        let Some(head) = Head::decode(&head, self.header.salt) else { return Ok(None) };
        let Some(body) = self.bytes(at + HEAD as u64, u64::from(head.body_len))? else { return Ok(None) };
        Ok(frame::entry(&head, body).map(|entry| (head, entry)))
    }

    /// `None` past the end.
    fn bytes(&mut self, at: u64, len: u64) -> io::Result<Option<Bytes>> {
        if at.saturating_add(len) > self.size {
            return Ok(None);
        }
        let inside = |window_at: u64, window: &Bytes| {
            let from = usize::try_from(at.checked_sub(window_at)?).ok()?;
            let to = from.checked_add(usize::try_from(len).ok()?)?;
            (to <= window.len()).then(|| window.slice(from..to))
        };
        if let Some(bytes) = inside(self.window_at, &self.window) {
            return Ok(Some(bytes));
        }
        let want = len.max(WINDOW).min(self.size - at);
        let mut window = vec![0; usize::try_from(want).unwrap_or(usize::MAX)];
        let read = self.file.read_at(&mut window, at)?;
        window.truncate(read);
        self.window = Bytes::from(window);
        self.window_at = at;
        Ok(inside(self.window_at, &self.window))
    }
}
