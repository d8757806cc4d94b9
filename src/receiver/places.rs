//! Places for connections: so many in all and so many of one address. One that has not said anything yet gives its place up
//! to one that comes, so that silent connections keep nobody out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Connections of a listener.
#[derive(Clone, Debug)]
pub(super) struct Places {
    state: Arc<Mutex<State>>,
    max: usize,
    of_address_max: usize,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    present: BTreeMap<u64, IpAddr>,
    by_address: BTreeMap<IpAddr, usize>,
    /// Of those that are present, the oldest first.
    silent: BTreeMap<u64, CancellationToken>,
}

impl State {
    fn remove(&mut self, id: u64) {
        self.silent.remove(&id);
        let Some(address) = self.present.remove(&id) else { return };
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    /// Closes the oldest silent connection, of this address where one is named; false when there is none.
    fn make_room(&mut self, of: Option<IpAddr>) -> bool {
        let oldest = self.silent.keys().find(|id| of.is_none_or(|of| self.present.get(id) == Some(&of))).copied();
        let Some(oldest) = oldest else { return false };
        if let Some(ended) = self.silent.get(&oldest) {
            ended.cancel();
        }
        self.remove(oldest);
        true
    }
}

impl Places {
    /// So many in all, and so many of one address.
    pub(super) fn new(max: usize, of_address_max: usize) -> Places {
        Places { state: Arc::default(), max, of_address_max }
    }

    /// A place for a connection; `None` when all are taken by others that have something to say.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        // An IPv4 address is the same however the listener sees it.
        let address = address.to_canonical();
        let mut state = self.state();
        if state.by_address.get(&address).is_some_and(|count| *count >= self.of_address_max)
            && !state.make_room(Some(address))
        {
            return None;
        }
        if state.present.len() >= self.max && !state.make_room(None) {
            return None;
        }
        let id = state.next;
        state.next += 1;
        let ended = CancellationToken::new();
        state.present.insert(id, address);
        *state.by_address.entry(address).or_default() += 1;
        state.silent.insert(id, ended.clone());
        Some(Place { of: self.clone(), id, ended })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Places,
    id: u64,
    ended: CancellationToken,
}

impl Place {
    /// The connection has said what it speaks: it keeps its place.
    pub(super) fn spoke(&self) {
        self.of.state().silent.remove(&self.id);
    }

    /// Waits until the place was given to another, which does not happen once it spoke.
    pub(super) async fn given_away(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.state().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn silent_connections_give_their_place_up_the_oldest_first() {
        let places = Places::new(3, 3);
        let all: Vec<Place> = (0..3).map(|_| places.take(address(1)).expect("a place")).collect();
        all[1].spoke();
        let fourth = places.take(address(2)).expect("the place of the first");
        let ended: Vec<bool> = all.iter().map(|place| place.ended.is_cancelled()).collect();
        assert_eq!(ended, [true, false, false]);
        let fifth = places.take(address(1)).expect("the place of the third");
        assert!(all[2].ended.is_cancelled() && !fourth.ended.is_cancelled());
        fourth.spoke();
        fifth.spoke();
        assert!(places.take(address(3)).is_none(), "all have something to say");
        drop(all);
        assert!(places.take(address(3)).is_some(), "that which spoke is gone");
        drop((fourth, fifth));
        let state = places.state();
        assert!(state.present.is_empty() && state.by_address.is_empty() && state.silent.is_empty(), "{state:?}");
    }

    #[test]
    fn one_address_takes_no_more_than_its_share() {
        let places = Places::new(10, 2);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        let (first, second) = (places.take(address(1)).expect("a place"), places.take(mapped).expect("a place"));
        first.spoke();
        second.spoke();
        assert!(places.take(address(1)).is_none() && places.take(mapped).is_none());
        assert!(places.take(address(2)).is_some());
        drop(first);
        assert!(places.take(address(1)).is_some());
    }
}
