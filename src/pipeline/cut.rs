//! What is cut out of a request: copies of its records, and what surrounds its spans.

use crate::otlp::{Request, Surroundings};
use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// Copies of records: slices of the request would keep all of it in memory for one record of it, and a piece of memory for
/// each costs more than its copy.
pub(super) struct Copies {
    block: BytesMut,
    /// Bytes that are still to be copied.
    left: usize,
}

impl Copies {
    /// For records of so many bytes together.
    pub(super) fn of_all(bytes: usize) -> Copies {
        Copies { block: BytesMut::new(), left: bytes }
    }

    /// Some neighbours lie in one block, which stays as long as one of them.
    pub(super) fn of(&mut self, item: &[u8]) -> Bytes {
        let left = self.left.max(item.len());
        self.left = left - item.len();
        if item.len() > COPIED_TOGETHER / 2 {
            return Bytes::copy_from_slice(item);
        }
        if self.block.capacity() < item.len() {
            self.block = BytesMut::with_capacity(COPIED_TOGETHER.min(left));
        }
        self.block.extend_from_slice(item);
        self.block.split().freeze()
    }
}

/// Bytes of records that lie together: no more than each is counted for beside its own ([`super::intake::ITEM_OVERHEAD`]).
const COPIED_TOGETHER: usize = 2_048;

/// What surrounds each of the spans, in their order. Shells are made once for each group.
pub(super) fn surroundings_of(request: &[u8], spans: &[(usize, Range<usize>)]) -> Vec<Surroundings> {
    let mut starts = spans.iter().map(|(_, range)| range.start).peekable();
    let mut found = Vec::with_capacity(spans.len());
    for resource in Request::new(request).resources() {
        if starts.peek().is_none_or(|start| !resource.range().contains(start)) {
            continue;
        }
        let resource_shell = resource.shell();
        for scope in resource.scopes() {
            if starts.peek().is_none_or(|start| !scope.range().contains(start)) {
                continue;
            }
            let surroundings = Surroundings::of(resource_shell.clone(), scope.shell());
            while starts.next_if(|start| scope.range().contains(start)).is_some() {
                found.push(surroundings.clone());
            }
        }
    }
    found
}
