//! Streams that all receivers share: a lock for each shard of the register and one for each stream, held for one record.

use crate::engine::place::{Place, Stream};
use crate::read::formats::SourceMemory;
use crate::scan::streams::{Entry, Streams};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The register is spread over so many locks, so that receivers on different cores seldom meet.
const SHARDS: usize = 16;
/// Streams of one generation of one shard: 32,768 streams in all at the most, of about 1 KiB with all their names. A
/// forgotten one costs a second look at its next line.
const GENERATION_MAX: usize = 1_024;

/// What is remembered of streams.
#[derive(Debug, Default)]
pub(super) struct Registry {
    shards: [Mutex<Shard>; SHARDS],
}

/// The streams in use lately. Whoever is asked for moves to the younger generation; when that is full, the older one,
/// which nobody asked for since, is forgotten: one sender of countless streams does not cost the others theirs.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<u64, Arc<Remembered>>,
    old: HashMap<u64, Arc<Remembered>>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Remembered {
    stream: Stream,
    memory: Mutex<Memory>,
}

/// The memory of a stream, and how often it was used: who takes something back sees whether others learned meanwhile.
#[derive(Debug, Default)]
struct Memory {
    memory: SourceMemory,
    uses: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn entry(&mut self, id: u64, place: impl FnOnce() -> Place) -> Arc<Remembered> {
        if let Some(known) = self.young.get(&id) {
            return Arc::clone(known);
        }
        let entry = self.old.remove(&id).unwrap_or_else(|| {
            let stream = Stream { id, place: Arc::new(place()) };
            Arc::new(Remembered { stream, memory: Mutex::default() })
        });
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, Arc::clone(&entry));
        entry
    }
}

impl Streams for Registry {
    type Entry = Arc<Remembered>;

    fn entry(&self, id: u64, place: impl FnOnce() -> Place) -> Arc<Remembered> {
        // The upper bits: those of a sum of FNV hashes that differ for each byte.
        let [first, ..] = &self.shards;
        let shard = self.shards.get((id >> 60) as usize % SHARDS).unwrap_or(first);
        lock(shard).entry(id, place)
    }
}

impl Entry for Arc<Remembered> {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn with<R>(&self, read: impl FnOnce(&mut SourceMemory) -> R) -> R {
        let mut memory = lock(&self.memory);
        memory.uses += 1;
        read(&mut memory.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_for_is_not_forgotten_for_countless_others() {
        let registry = Registry::default();
        let kept = registry.entry(7, Place::default);
        kept.with(|memory| memory.doubt_bytes = 9);
        let forgotten = registry.entry(8, Place::default);
        for id in 0..100_000_u64 {
            registry.entry(id.wrapping_mul(0x9e37_79b9_7f4a_7c15), Place::default);
            if id % 100 == 0 {
                registry.entry(7, Place::default);
            }
        }
        assert_eq!(registry.entry(7, || panic!("known")).with(|memory| memory.doubt_bytes), 9);
        assert!(!Arc::ptr_eq(&forgotten, &registry.entry(8, Place::default)));
        let of_shard = |shard: &Mutex<Shard>| {
            let shard = lock(shard);
            shard.young.len() + shard.old.len()
        };
        let count: usize = registry.shards.iter().map(of_shard).sum();
        assert!(count <= 2 * SHARDS * GENERATION_MAX, "{count}");
    }
}
