//! What is remembered of each log stream between requests. Who shares it among cores, and how, is the caller's affair.

use crate::engine::place::{Place, Stream};
use crate::read::SourceMemory;
use crate::read::maps::HashMap;
use std::cell::RefCell;
use std::rc::Rc;

/// All streams. A cache: what is forgotten is made anew.
pub trait Streams {
    /// One stream.
    type Entry: Entry;
    /// The entry of a stream, which `place` is made for where it is new.
    fn entry(&self, id: u64, place: impl FnOnce() -> Place) -> Self::Entry;
}

/// What is remembered of one stream.
pub trait Entry {
    /// The stream with its place.
    fn stream(&self) -> &Stream;
    /// Lets one record be read with the memory of the records before it.
    fn with<R>(&self, read: impl FnOnce(&mut SourceMemory) -> R) -> R;
}

/// Streams of one thread, without a limit: for tests and tools.
#[derive(Debug, Default)]
pub struct Memories {
    entries: RefCell<HashMap<u64, Rc<Memory>>>,
}

/// One stream of [`Memories`].
#[derive(Debug)]
pub struct Memory {
    stream: Stream,
    memory: RefCell<SourceMemory>,
}

impl Streams for Memories {
    type Entry = Rc<Memory>;

    fn entry(&self, id: u64, place: impl FnOnce() -> Place) -> Rc<Memory> {
        let mut entries = self.entries.borrow_mut();
        let made = || {
            let stream = Stream { id, place: place().into() };
            Rc::new(Memory { stream, memory: RefCell::default() })
        };
        Rc::clone(entries.entry(id).or_insert_with(made))
    }
}

impl Entry for Rc<Memory> {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn with<R>(&self, read: impl FnOnce(&mut SourceMemory) -> R) -> R {
        read(&mut self.memory.borrow_mut())
    }
}
