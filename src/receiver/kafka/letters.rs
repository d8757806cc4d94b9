//! Messages that nobody can read: counted, told of at a limited rate, and written down where that is set.

use crate::clock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use krafka::ConsumerRecord;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is the same is told of so often.
const PAUSE: Duration = Duration::from_secs(60);

/// Says a thing now and then.
#[derive(Debug, Default)]
pub(super) struct Rarely(Mutex<Option<(Instant, u64)>>);

impl Rarely {
    /// The words to add, where it is time to say it again.
    pub(super) fn now(&self) -> Option<String> {
        let now = clock::instant();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some((at, untold)) if now.saturating_duration_since(*at) < PAUSE => {
                *untold += 1;
                None
            }
            other => {
                let untold = other.map_or(0, |(_, untold)| untold);
                *other = Some((now, 0));
                let more = format!(" (and {untold} times more in the last minute)");
                Some(if untold == 0 { String::new() } else { more })
            }
        }
    }
}

/// The file of one receiver.
#[derive(Debug)]
pub(super) struct Letters {
    path: PathBuf,
    /// Bytes that may still be written.
    left: Mutex<usize>,
}

impl Letters {
    pub(super) fn new(path: PathBuf, bytes_max: usize) -> Letters {
        Letters { path, left: Mutex::new(bytes_max) }
    }

    /// Writes a message; what became of it, for the end of a sentence. Such messages are few, so that the file is opened for
    /// each, and one that was renamed is made anew.
    pub(super) fn write(&self, record: &ConsumerRecord, why: &str) -> String {
        let encoded = |bytes: Option<&bytes::Bytes>| bytes.map(|bytes| STANDARD.encode(bytes));
        let line = serde_json::json!({
            "topic": &*record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "reason": why,
            "key": encoded(record.key.as_ref()),
            "value": encoded(record.value.as_ref()),
        });
        let line = format!("{line}\n");
        let shown = self.path.display();
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rest) = left.checked_sub(line.len()) else {
            return format!(" (not written to {shown}: `dead_letter::max_bytes` are there)");
        };
        let mut options = std::fs::OpenOptions::new();
        let file = options.create(true).append(true).open(&self.path);
        match file.and_then(|mut file| file.write_all(line.as_bytes())) {
            Ok(()) => {
                *left = rest;
                format!(" (written to {shown})")
            }
            Err(error) => format!(" (not written to {shown}: {error})"),
        }
    }
}
