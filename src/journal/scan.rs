//! All segments of a journal, one after the other: which requests are there, what is torn and what is damaged.
//!
//! Each frame says which one was written before it, and up to which one all were on the disk by then. So a gap whose
//! requests were acknowledged (damage) is told from one that a loss of power left of the last batch, which was not (torn):
//! after damage there is a frame, or the file of cursors, that knows of a later sync.

use super::JournalError;
use super::frame::HEADER;
use super::segment::{self, Next, Opened, Segment};
use super::storage::Storage;
use crate::read::evidence::Nanos;
use std::ops::Range;

/// One segment, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its file.
    pub name: String,
    /// Positions in it.
    pub positions: Vec<Range<u64>>,
    /// When its requests came: the first and the last.
    pub arrived: Option<(Nanos, Nanos)>,
    /// Its bytes, as far as they can be read.
    pub bytes: u64,
}

impl Found {
    /// The last position.
    pub fn last(&self) -> Option<u64> {
        self.positions.last().map(|range| range.end - 1)
    }
}

/// Requests that were acknowledged and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file and the byte where it begins.
    pub name: String,
    /// The byte in it.
    pub offset: u64,
    /// The positions that are missing.
    pub missing: Range<u64>,
}

/// What a journal holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) segments: Vec<Found>,
    pub(super) damages: Vec<Damage>,
    /// What the last batch left, none of it acknowledged: the file and its sound length.
    pub(super) torn: Option<(String, u64)>,
    /// Bytes that are no part of a request.
    pub(super) torn_bytes: u64,
    /// Files that never held a request.
    pub(super) empty: Vec<String>,
    /// The last position that can be read; 0 is none.
    pub(super) last: u64,
}

/// A place from which on nothing fits.
#[derive(Clone, Debug)]
struct Gap {
    name: String,
    offset: u64,
    after: u64,
    bytes: u64,
}

impl Scan {
    /// Reads everything. `synced` is the last position that is known to be acknowledged, `lowest` the first that somebody
    /// may lack.
    pub(super) fn of(
        storage: &dyn Storage,
        names: &[String],
        synced: u64,
        lowest: Option<u64>,
    ) -> Result<Scan, JournalError> {
        let mut scan = Scan::default();
        let mut gap: Option<Gap> = None;
        let segments: Vec<&String> = names.iter().filter(|name| segment::first_of(name).is_some()).collect();
        let newest = segments.last().copied();
        for name in segments {
            let mut segment = match Segment::open(storage, name)? {
                Opened::Segment(segment) => segment,
                // The crash came before its header was on the disk, and so before anything in it was.
                Opened::Headless(size) if Some(name) == newest && size <= HEADER as u64 => {
                    scan.empty.push(name.clone());
                    continue;
                }
                Opened::Headless(bytes) => {
                    gap.get_or_insert(Gap { name: name.clone(), offset: 0, after: scan.last, bytes });
                    continue;
                }
            };
            let read = scan.read(name, &mut segment, &mut gap, lowest);
            read.map_err(|source| JournalError::io("read", name, source))?;
        }
        if let Some(gap) = gap {
            if synced > gap.after {
                scan.damage(&gap, synced + 1);
            } else {
                scan.torn_bytes += gap.bytes;
                scan.torn = Some((gap.name, gap.offset));
            }
        } else if synced > scan.last && lowest.is_some_and(|lowest| lowest <= synced) {
            let name = scan.segments.last().map_or_else(String::new, |found| found.name.clone());
            let offset = scan.segments.last().map_or(0, |found| found.bytes);
            let after = scan.last.max(lowest.unwrap_or(1).saturating_sub(1));
            if synced > after {
                scan.damage(&Gap { name, offset, after, bytes: 0 }, synced + 1);
            }
        }
        Ok(scan)
    }

    fn read(
        &mut self,
        name: &str,
        segment: &mut Segment,
        gap: &mut Option<Gap>,
        lowest: Option<u64>,
    ) -> std::io::Result<()> {
        let mut found = Found { name: name.to_owned(), positions: Vec::new(), arrived: None, bytes: HEADER as u64 };
        // What comes before the first segment was taken away as delivered.
        let start = match self.last {
            0 => lowest.map_or(0, |lowest| lowest.saturating_sub(1)),
            last => last,
        };
        let mut is_first = self.last == 0;
        loop {
            match segment.next()? {
                Next::End => break,
                Next::Broken(offset) => {
                    let bytes = segment.size() - offset;
                    gap.get_or_insert(Gap { name: name.to_owned(), offset, after: self.last, bytes });
                }
                Next::Entry(offset, head, _) => {
                    let fits =
                        if is_first { head.before <= start || lowest.is_none() } else { head.before == self.last };
                    if !fits {
                        let after = if is_first { start } else { self.last };
                        let bytes = segment.size() - offset;
                        gap.get_or_insert(Gap { name: name.to_owned(), offset, after, bytes });
                    }
                    if let Some(known) = gap.take() {
                        if fits {
                            // Left of a write that failed, and overtaken by the next one.
                            self.torn_bytes += offset.saturating_sub(known.offset);
                        } else if head.synced > known.after {
                            self.damage(&known, head.before + 1);
                        } else {
                            // Of the same batch: it was not acknowledged either.
                            *gap = Some(known);
                            continue;
                        }
                    }
                    is_first = false;
                    self.last = head.position;
                    found.bytes = offset + head.whole_len();
                    match found.positions.last_mut() {
                        Some(range) if range.end == head.position => range.end += 1,
                        _ => found.positions.push(head.position..head.position + 1),
                    }
                    let (first, newest) = found.arrived.unwrap_or((head.arrived, head.arrived));
                    found.arrived = Some((first.min(head.arrived), newest.max(head.arrived)));
                }
            }
        }
        if found.positions.is_empty() && gap.is_none() {
            self.empty.push(found.name);
        } else {
            self.segments.push(found);
        }
        Ok(())
    }

    fn damage(&mut self, gap: &Gap, end: u64) {
        self.damages.push(Damage { name: gap.name.clone(), offset: gap.offset, missing: gap.after + 1..end });
    }
}
