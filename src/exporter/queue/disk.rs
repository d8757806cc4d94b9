//! What waits on the disk for a queue comes back to its memory.

use super::super::backlog::{Amount, Waiting};
use super::super::overflow::Reader;
use super::super::told::Kind;
use super::Shared;
use std::sync::Arc;
use std::time::Duration;

/// Between tries to read what waits on the disk.
const READ_AGAIN: [Duration; 3] = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];

/// Reads what waits on the disk, oldest first, as there is room for it.
pub(super) async fn read_back(shared: Arc<Shared>) {
    while !shared.closing.is_cancelled() {
        let room = shared.room.notified();
        let limit = shared.joined_max();
        let next = shared.backlog().next_of_disk(limit);
        let Some((chunk, reader)) = next else {
            tokio::select! {
                () = room => {}
                () = shared.closing.cancelled() => {}
            }
            continue;
        };
        let read = shared.read_one(reader).await;
        if read.is_none() && !shared.closing.is_cancelled() {
            let Amount { items, .. } = chunk.amount();
            shared.stats.dropped("unreadable", items);
            let what = chunk.signal().items();
            let why =
                "what waited on the disk cannot be read; the journal has it, and the next start sends it. Until then";
            shared.told.lost(items, what, why);
        }
        shared.backlog().is_read(&chunk, read, limit);
        shared.news.notify_one();
    }
}

impl Shared {
    /// A request of the disk; a disk that fails for a moment is asked again.
    async fn read_one(&self, reader: Reader) -> Option<Waiting> {
        let reader = Arc::new(reader);
        for wait in READ_AGAIN {
            let of_thread = Arc::clone(&reader);
            match tokio::task::spawn_blocking(move || of_thread.read()).await {
                Ok(Ok(waiting)) => return Some(waiting),
                Ok(Err(error)) => {
                    let text = format!("what waits on the disk cannot be read: {error}; trying again");
                    self.told.trouble(Kind::Trouble, &text);
                }
                // The runtime ends.
                Err(_) => return None,
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.closing.cancelled() => return None,
            }
        }
        None
    }
}
