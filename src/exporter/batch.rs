//! Requests cut to the size that a backend takes.

use super::backlog::Waiting;
use crate::journal::Marks;
use crate::otlp::{Signal, check, split};
use bytes::Bytes;

/// A request that was cut.
#[derive(Debug, Default)]
pub struct Cut {
    /// Requests that may be sent.
    pub parts: Vec<Waiting>,
    /// Requests of single items over the limit, which nobody takes.
    pub oversized: Vec<Waiting>,
}

/// The request in parts of at most `bytes_max`.
pub fn fit(request: Waiting, bytes_max: usize) -> Cut {
    if request.request.len() <= bytes_max {
        return Cut { parts: vec![request], oversized: Vec::new() };
    }
    let cut = split(request.signal, &request.request, bytes_max);
    let all = |parts: Vec<Vec<u8>>| parts.into_iter().map(|part| counted(request.signal, part)).collect();
    Cut { parts: all(cut.parts), oversized: all(cut.oversized) }
}

/// Parts of about the size that a backend takes, or two halves; `None` for a single item.
pub fn shrink(request: &Waiting, bytes_max: usize) -> Option<Vec<Waiting>> {
    if request.items <= 1 {
        return None;
    }
    if bytes_max < request.request.len() {
        let Cut { mut parts, oversized } = fit(request.clone(), bytes_max);
        parts.extend(oversized);
        // What cannot be cut would come back for ever.
        return if parts.len() > 1 { Some(parts) } else { halve(request) };
    }
    halve(request)
}

fn halve(request: &Waiting) -> Option<Vec<Waiting>> {
    // Each part repeats its resource and scope, so half of the bytes may not do for half of the items.
    let cut = |eighths: usize| {
        let cut = split(request.signal, &request.request, request.request.len() / 8 * eighths + 1);
        cut.parts.into_iter().chain(cut.oversized).collect::<Vec<_>>()
    };
    let parts = (4..8).map(cut).find(|parts| parts.len() == 2).unwrap_or_else(|| cut(4));
    let all: Vec<Waiting> = parts.into_iter().map(|part| counted(request.signal, part)).collect();
    (all.len() > 1).then_some(all)
}

fn counted(signal: Signal, request: Vec<u8>) -> Waiting {
    let items = check(signal, &request).map_or(0, |counts| counts.items);
    // The whole is settled when its last part is, and carries what it was made of.
    Waiting { signal, items, request: Bytes::from(request), marks: Marks::default() }
}
