//! Requests joined, split and halved. OTLP requests join as bytes: their only field is repeated.

use super::Stats;
use super::queue::Waiting;
use crate::otlp::{Signal, check, split};
use bytes::{Bytes, BytesMut};

/// One request out of several of one signal.
pub fn join(parts: Vec<Waiting>) -> Waiting {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else { return Waiting { signal: Signal::Logs, request: Bytes::new(), items: 0 } };
    let rest: Vec<Waiting> = parts.collect();
    if rest.is_empty() {
        return first;
    }
    let mut bytes =
        BytesMut::with_capacity(first.request.len() + rest.iter().map(|part| part.request.len()).sum::<usize>());
    let mut items = first.items;
    bytes.extend_from_slice(&first.request);
    for part in &rest {
        bytes.extend_from_slice(&part.request);
        items += part.items;
    }
    Waiting { signal: first.signal, request: bytes.freeze(), items }
}

/// The request in parts of at most `bytes_max`; single items over the limit are dropped and counted.
pub fn fit(request: Waiting, bytes_max: usize, stats: &Stats) -> Vec<Waiting> {
    if request.request.len() <= bytes_max {
        return vec![request];
    }
    let cut = split(request.signal, &request.request, bytes_max);
    for lost in &cut.oversized {
        stats.dropped("too_large", count(request.signal, lost));
    }
    cut.parts
        .into_iter()
        .map(|part| Waiting { signal: request.signal, items: count(request.signal, &part), request: Bytes::from(part) })
        .collect()
}

/// Two halves or so; `None` for a single item.
pub fn halve(request: &Waiting) -> Option<Vec<Waiting>> {
    if request.items <= 1 {
        return None;
    }
    // Each part repeats its resource and scope, so half of the bytes may not do for half of the items.
    let cut = |eighths: usize| {
        let cut = split(request.signal, &request.request, request.request.len() / 8 * eighths + 1);
        cut.parts.into_iter().chain(cut.oversized).collect::<Vec<_>>()
    };
    let parts = (4..8).map(cut).find(|parts| parts.len() == 2).unwrap_or_else(|| cut(4));
    let all: Vec<Waiting> = parts
        .into_iter()
        .map(|part| Waiting { signal: request.signal, items: count(request.signal, &part), request: Bytes::from(part) })
        .collect();
    // What cannot be cut would come back for ever.
    (all.len() > 1).then_some(all)
}

fn count(signal: Signal, request: &[u8]) -> u64 {
    check(signal, request).map_or(0, |counts| counts.items)
}
