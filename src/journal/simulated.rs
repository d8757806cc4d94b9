//! A disk in memory of which only synced bytes survive a loss of power, with syncs that fail and room that ends.

use super::storage::{Storage, Stored};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// A disk writes whole sectors, in any order.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
struct Content {
    /// As a process sees it, and as it is on the disk.
    seen: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    /// By number, so that a file that was renamed is the same.
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    made: u64,
    /// Syncs of files until one fails.
    syncs_left: Option<u64>,
    /// Bytes until the disk is full.
    room: Option<usize>,
    random: u64,
}

/// Clones share one disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    pub(super) fn new(seed: u64) -> Simulated {
        let disk = Simulated::default();
        disk.state().random = seed.wrapping_mul(2).wrapping_add(1);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("unbroken")
    }

    /// A number below the limit.
    pub(super) fn below(&self, limit: u64) -> u64 {
        let mut state = self.state();
        state.random = state.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state.random >> 33) % limit.max(1)
    }

    /// So many syncs succeed and all others fail.
    pub(super) fn fail_after(&self, syncs: u64) {
        self.state().syncs_left = Some(syncs);
    }

    /// So many bytes can be written, then the disk is full; `None` is no limit.
    pub(super) fn room(&self, bytes: Option<usize>) {
        self.state().room = bytes;
    }

    /// The disk as it is after a loss of power: what was synced, some sectors of what was not, and some names.
    pub(super) fn after_power_loss(&self) -> Simulated {
        let (files, names, synced_names, made) = {
            let state = self.state();
            (state.files.clone(), state.names.clone(), state.synced_names.clone(), state.made)
        };
        let left = Simulated::new(self.below(u64::MAX >> 1));
        let mut survived = BTreeMap::new();
        for (number, content) in files {
            let mut bytes = content.synced.clone();
            for (index, sector) in content.seen.chunks(SECTOR).enumerate() {
                let at = index * SECTOR;
                let was = content.synced.get(at..(at + sector.len()).min(content.synced.len())).unwrap_or_default();
                if was == sector || self.below(2) == 0 {
                    continue;
                }
                if bytes.len() < at + sector.len() {
                    bytes.resize(at + sector.len(), 0);
                }
                bytes[at..at + sector.len()].copy_from_slice(sector);
            }
            survived.insert(number, Content { seen: bytes.clone(), synced: bytes });
        }
        let mut kept = synced_names.clone();
        for (name, number) in &names {
            if synced_names.get(name) != Some(number) && self.below(2) == 0 {
                kept.insert(name.clone(), *number);
            }
        }
        for name in synced_names.keys().filter(|name| !names.contains_key(*name)) {
            if self.below(2) == 0 {
                kept.remove(name);
            }
        }
        {
            let mut state = left.state();
            state.files = survived;
            state.names = kept.clone();
            state.synced_names = kept;
            state.made = made;
        }
        left
    }

    /// Changes bytes as a failing disk does.
    pub(super) fn flip(&self, name: &str, at: usize) {
        let mut state = self.state();
        let number = *state.names.get(name).expect("a file");
        let content = state.files.get_mut(&number).expect("a file");
        content.seen[at] ^= 0x10;
        content.synced = content.seen.clone();
    }

    pub(super) fn size(&self, name: &str) -> usize {
        let state = self.state();
        state.names.get(name).and_then(|number| state.files.get(number)).map_or(0, |content| content.seen.len())
    }
}

struct Open {
    disk: Simulated,
    number: u64,
}

impl Storage for Simulated {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Stored>> {
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.made += 1;
        let number = state.made;
        state.names.insert(name.to_owned(), number);
        state.files.insert(number, Content::default());
        Ok(Box::new(Open { disk: self.clone(), number }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Stored>> {
        let number = *self.state().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Open { disk: self.clone(), number }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let number = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state().names.remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.synced_names = state.names.clone();
        Ok(())
    }
}

impl Stored for Open {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().files.get(&self.number).map_or(0, |content| content.seen.len()) as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let seen = state.files.get(&self.number).map_or(&[][..], |content| &content.seen);
        let rest = seen.get(usize::try_from(offset).expect("small")..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let fits = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        state.room = state.room.map(|room| room - fits);
        let content = state.files.get_mut(&self.number).expect("a file");
        let at = usize::try_from(offset).expect("small");
        if content.seen.len() < at + fits {
            content.seen.resize(at + fits, 0);
        }
        content.seen[at..at + fits].copy_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let content = state.files.get_mut(&self.number).expect("a file");
        content.seen.resize(usize::try_from(length).expect("small"), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if let Some(left) = &mut state.syncs_left {
            if *left == 0 {
                // As the kernel does: the pages are no longer dirty, and the next sync would succeed.
                state.syncs_left = None;
                return Err(io::Error::from_raw_os_error(5));
            }
            *left -= 1;
        }
        let content = state.files.get_mut(&self.number).expect("a file");
        content.synced = content.seen.clone();
        Ok(())
    }
}
