//! Streams that all receivers share: a lock for each shard of the register and one for each stream, held for one record.

use crate::engine::place::{Place, Stream};
use crate::read::SourceMemory;
use crate::read::maps::HashMap;
use crate::scan::streams::{Entry, Streams};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
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

impl Registry {
    /// The entry of a stream, which `place` is made for where it is new.
    pub(super) fn entry(&self, id: u64, place: impl FnOnce() -> Place) -> Arc<Remembered> {
        // The upper bits: those of a sum of FNV hashes that differ for each byte.
        let [first, ..] = &self.shards;
        let shard = self.shards.get((id >> 60) as usize % SHARDS).unwrap_or(first);
        lock(shard).entry(id, place)
    }
}

impl Remembered {
    /// Where it stands.
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.stream.place
    }
}

/// The streams of one request, which teach nothing if the request is refused: its sender sends all of it again.
#[derive(Debug)]
pub(super) struct Lesson<'r> {
    registry: &'r Registry,
    before: RefCell<Vec<Before>>,
}

/// A stream as it was before the request.
#[derive(Debug)]
struct Before {
    entry: Arc<Remembered>,
    memory: SourceMemory,
    uses: u64,
    own_uses: Rc<Cell<u64>>,
}

impl<'r> Lesson<'r> {
    /// A lesson that has not begun.
    pub(super) fn new(registry: &'r Registry) -> Lesson<'r> {
        Lesson { registry, before: RefCell::default() }
    }

    /// Takes back what was learned, but where another request read the same stream meanwhile: its doubts weigh more.
    pub(super) fn forget(self) {
        for before in self.before.into_inner() {
            let mut memory = lock(&before.entry.memory);
            if memory.uses == before.uses + before.own_uses.get() {
                memory.memory = before.memory;
            }
        }
    }
}

impl Streams for Lesson<'_> {
    type Entry = Taught;

    fn entry(&self, id: u64, place: impl FnOnce() -> Place) -> Taught {
        let mut before = self.before.borrow_mut();
        // Streams that take turns are looked at anew each time; the last few are enough to tell most of them.
        let known = before.iter().rev().take(KNOWN_LOOKS).find(|before| before.entry.stream.id == id);
        if let Some(known) = known {
            return Taught { entry: Arc::clone(&known.entry), uses: Rc::clone(&known.own_uses) };
        }
        let entry = self.registry.entry(id, place);
        let own_uses = Rc::new(Cell::new(0));
        let memory = lock(&entry.memory);
        let (of, uses) = (memory.memory.clone(), memory.uses);
        drop(memory);
        before.push(Before { entry: Arc::clone(&entry), memory: of, uses, own_uses: Rc::clone(&own_uses) });
        Taught { entry, uses: own_uses }
    }
}

/// Streams of one request that are compared with the one at hand before the register is asked.
const KNOWN_LOOKS: usize = 16;

/// A stream that a request is read with.
#[derive(Debug)]
pub(super) struct Taught {
    entry: Arc<Remembered>,
    uses: Rc<Cell<u64>>,
}

impl Entry for Taught {
    fn stream(&self) -> &Stream {
        &self.entry.stream
    }

    fn with<R>(&self, read: impl FnOnce(&mut SourceMemory) -> R) -> R {
        let mut memory = lock(&self.entry.memory);
        memory.uses += 1;
        self.uses.set(self.uses.get() + 1);
        read(&mut memory.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(registry: &Registry) -> u32 {
        lock(&registry.entry(7, Place::default).memory).memory.doubt_bytes
    }

    fn teach(lesson: &Lesson<'_>, doubt_bytes: u32) {
        lesson.entry(7, Place::default).with(|memory| memory.doubt_bytes = doubt_bytes);
    }

    #[test]
    fn what_a_refused_request_taught_is_forgotten() {
        let registry = Registry::default();
        teach(&Lesson::new(&registry), 5);
        let refused = Lesson::new(&registry);
        teach(&refused, 6);
        teach(&refused, 7);
        assert_eq!(doubt(&registry), 7);
        refused.forget();
        assert_eq!(doubt(&registry), 5);
    }

    #[test]
    fn what_another_request_taught_meanwhile_stays() {
        let registry = Registry::default();
        let refused = Lesson::new(&registry);
        teach(&refused, 6);
        teach(&Lesson::new(&registry), 8);
        refused.forget();
        assert_eq!(doubt(&registry), 8);
    }

    #[test]
    fn who_is_asked_for_is_not_forgotten_for_countless_others() {
        let registry = Registry::default();
        let kept = registry.entry(7, Place::default);
        lock(&kept.memory).memory.doubt_bytes = 9;
        let forgotten = registry.entry(8, Place::default);
        for id in 0..100_000_u64 {
            registry.entry(id.wrapping_mul(0x9e37_79b9_7f4a_7c15), Place::default);
            if id % 100 == 0 {
                registry.entry(7, Place::default);
            }
        }
        assert_eq!(lock(&registry.entry(7, || panic!("known")).memory).memory.doubt_bytes, 9);
        assert!(!Arc::ptr_eq(&forgotten, &registry.entry(8, Place::default)));
        let of_shard = |shard: &Mutex<Shard>| {
            let shard = lock(shard);
            shard.young.len() + shard.old.len()
        };
        let count: usize = registry.shards.iter().map(of_shard).sum();
        assert!(count <= 2 * SHARDS * GENERATION_MAX, "{count}");
    }
}
