//! Dead letters: what a backend refuses for good is written to a file, OTLP JSON, one request a line, so that it can be
//! looked at and sent again by hand.

use super::file::File;
use super::queue::Deliver;
use crate::otlp::Signal;
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The file of one exporter.
pub struct DeadLetters {
    file: File,
    path: PathBuf,
    /// Bytes of requests that may still be written.
    left: AtomicUsize,
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "DeadLetters({})", self.path.display())
    }
}

impl DeadLetters {
    /// Into an open file, at most so many bytes since the start of the program.
    pub(super) fn new(file: File, path: PathBuf, bytes_max: usize) -> DeadLetters {
        DeadLetters { file, path, left: AtomicUsize::new(bytes_max) }
    }

    /// Writes a request; returns what became of it, for the end of a sentence.
    pub(super) async fn write(&self, signal: Signal, request: Bytes) -> String {
        let path = self.path.display();
        let need = request.len();
        let room = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(need));
        if room.is_err() {
            return format!(" (not written to {path}: `dead_letter::max_bytes` are there)");
        }
        match self.file.deliver(signal, request).await {
            Ok(_) => format!(" (written to {path})"),
            Err(error) => format!(" (not written to {path}: {})", error.text),
        }
    }
}
