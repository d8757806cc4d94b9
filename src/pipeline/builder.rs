//! What the correlator releases, put together into requests.

use super::{Route, room, send_all};
use crate::exporter::backlog::Amount;
use crate::journal::Marks;
use crate::otlp::{RequestWriter, Signal, Surroundings};
use bytes::Bytes;
use std::sync::Arc;

/// Requests that are built out of released items are closed past this length; exporters join and split on their own.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// What a released item takes about, with a verdict on it: room is made for so much before it is written.
const ITEM_BYTES: usize = 1_536;

/// Puts released items into requests, in order, one request for each run of items with one route.
#[derive(Default)]
pub(super) struct Builder {
    writer: Option<(Arc<Route>, Signal, RequestWriter, u64)>,
    /// What its items counted in the queues while they waited.
    room: Amount,
    /// The requests that its items are of, or that its verdicts are about.
    marks: Marks,
    /// Items that are still to come, as far as is known.
    expected: usize,
}

impl Builder {
    /// For so many items or fewer.
    pub(super) fn for_items(expected: usize) -> Builder {
        Builder { expected, ..Builder::default() }
    }

    /// Writes one more.
    pub(super) fn push_with(
        &mut self,
        route: &Arc<Route>,
        signal: Signal,
        room: Amount,
        marks: Marks,
        surroundings: &Surroundings,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let fits = self.writer.as_ref().is_some_and(|(known, of, writer, _)| {
            Arc::ptr_eq(known, route) && *of == signal && writer.bytes_len() < REQUEST_BYTES_MAX
        });
        if !fits {
            self.finish();
        }
        let expected = self.expected;
        let (_, _, writer, items) = self.writer.get_or_insert_with(|| {
            let bytes = expected.saturating_mul(ITEM_BYTES).min(REQUEST_BYTES_MAX + 2 * ITEM_BYTES);
            (Arc::clone(route), signal, RequestWriter::with_capacity(bytes), 0)
        });
        writer.push_with(surroundings, write);
        self.expected = self.expected.saturating_sub(1);
        *items += 1;
        self.marks.join(marks);
        self.room.items += room.items;
        self.room.bytes += room.bytes;
    }

    /// What is written, and where it goes, for who hands it over by himself.
    pub(super) fn take(&mut self) -> Option<(Arc<Route>, Bytes)> {
        let (route, _, writer, _) = self.writer.take()?;
        Some((route, Bytes::from(writer.finish())))
    }

    /// Hands over what is written.
    pub(super) fn finish(&mut self) {
        if let Some((route, signal, writer, items)) = self.writer.take() {
            let mut request = writer.finish();
            if request.capacity() > 2 * request.len() {
                // It may wait in a queue, which counts what is in it alone.
                request.shrink_to_fit();
            }
            send_all(&route.explained, signal, &Bytes::from(request), items, &std::mem::take(&mut self.marks));
            room::let_go(&route, std::mem::take(&mut self.room));
        }
    }
}
