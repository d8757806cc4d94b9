//! What was there at the start, read again.

use super::segment::{Next, Opened, Segment};
use super::writer::Writer;
use super::{Entry, JournalError};
use crate::read::evidence::Nanos;
use std::sync::Arc;

/// Reads what was there at the start.
pub struct Replay {
    pub(super) journal: Arc<Writer>,
    /// The next one last.
    pub(super) segments: Vec<String>,
    pub(super) open: Option<Segment>,
    /// What somebody may lack begins here.
    pub(super) lowest: u64,
    /// What came before this and is delivered is not needed.
    pub(super) from: Nanos,
}

impl Replay {
    /// True where there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The next request. Blocks on the disk.
    ///
    /// # Errors
    /// When a segment that could be read at the start cannot be read any more.
    pub fn read_next(&mut self) -> Result<Option<Entry>, JournalError> {
        loop {
            let Some(segment) = &mut self.open else {
                let Some(name) = self.segments.pop() else { return Ok(None) };
                match Segment::open(self.journal.storage(), &name)? {
                    Opened::Segment(segment) => self.open = Some(segment),
                    Opened::Headless(_) => {}
                }
                continue;
            };
            match segment.next().map_err(|source| JournalError::io("read", "a segment", source))? {
                // Whatever the clock said: what somebody may lack is never left out.
                Next::Entry(_, _, entry) if entry.position >= self.lowest || entry.arrived >= self.from => {
                    return Ok(Some(entry));
                }
                Next::Entry(..) | Next::Broken(_) => {}
                Next::End => self.open = None,
            }
        }
    }
}
