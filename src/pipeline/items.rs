//! What the correlator holds: one slab, and tickets that name a place in it, so that no map stands between them.
//!
//! ```text
//!  ticket   40 bits: how many tickets were given before   24 bits: the slot of the item
//! ```
//!
//! Tickets grow from one to the next, and one that was given for an item that is gone names nothing: the counter comes
//! around after 1,000,000,000,000 of them, four months at 100,000 a second.

use super::Route;
use super::origin::Origin;
use crate::engine::verdict::{GoodRequest, Ticket, Verdict};
use crate::otlp::{Signal, Surroundings};
use crate::read::evidence::Stamp;
use bytes::Bytes;
use std::sync::Arc;

/// Bits of a slot: 16 million items, while the largest limit of bytes holds 8 million of the smallest.
const SLOT_BITS: u32 = 24;
/// Bits of the counter.
const COUNT_MASK: u64 = (1 << (64 - SLOT_BITS)) - 1;

/// Slots that are kept when nothing is held.
const KEPT_MIN: usize = 1_024;

/// The bytes of a held record or span.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) signal: Signal,
    pub(super) bytes: Bytes,
    pub(super) surroundings: Surroundings,
    pub(super) route: Arc<Route>,
    /// The stamp of a record's first evidence.
    pub(super) stamp: Option<Stamp>,
    /// The process that wrote a record.
    pub(super) pid: Option<u32>,
    /// It is a line about a process, not about a request.
    pub(super) is_of_process: bool,
    /// The verdict of its request has been told of: it waits for those before it in its stream.
    pub(super) is_told: bool,
    /// Tickets of its evidence that are not released yet.
    pub(super) pending: usize,
    pub(super) verdict: Option<Arc<Verdict>>,
    /// The good request that it is of, where such have their link.
    pub(super) good: Option<Arc<GoodRequest>>,
    /// What it counts of the bytes that may be held.
    pub(super) weight: usize,
    /// The request that it came in.
    pub(super) origin: Origin,
}

/// A slot of [`Items`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

#[derive(Debug, Default)]
struct Entry {
    /// The tickets of the item: the first, and how many there are.
    first: u64,
    tickets: u64,
    item: Option<Item>,
}

/// Held items.
#[derive(Debug, Default)]
pub(super) struct Items {
    entries: Vec<Entry>,
    free: Vec<u32>,
    given: u64,
}

impl Items {
    /// Items at the moment.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Keeps an item.
    pub(super) fn insert(&mut self, item: Item) -> Slot {
        let entry = Entry { first: 0, tickets: 0, item: Some(item) };
        if let Some(free) = self.free.pop()
            && let Some(place) = self.entries.get_mut(free as usize)
        {
            *place = entry;
            return Slot(free);
        }
        self.entries.push(entry);
        Slot(u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX))
    }

    /// A ticket for one more piece of evidence of an item. All of an item's are asked for before the next item's.
    pub(super) fn ticket(&mut self, slot: Slot) -> Ticket {
        self.given = (self.given + 1) & COUNT_MASK;
        let given = self.given;
        if let Some(entry) = self.entries.get_mut(slot.0 as usize) {
            if entry.tickets == 0 {
                entry.first = given;
            }
            entry.tickets += 1;
        }
        Ticket(given << SLOT_BITS | u64::from(slot.0))
    }

    /// The slot of the item that a ticket was given for; `None` where it is gone.
    pub(super) fn find(&self, ticket: Ticket) -> Option<Slot> {
        let slot = ticket.0 & ((1 << SLOT_BITS) - 1);
        let entry = self.entries.get(usize::try_from(slot).ok()?).filter(|entry| entry.item.is_some())?;
        let after = (ticket.0 >> SLOT_BITS).wrapping_sub(entry.first) & COUNT_MASK;
        (after < entry.tickets).then_some(Slot(slot as u32))
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Item> {
        self.entries.get(slot.0 as usize)?.item.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Item> {
        self.entries.get_mut(slot.0 as usize)?.item.as_mut()
    }

    /// Takes an item out.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Item> {
        let item = self.entries.get_mut(slot.0 as usize)?.item.take()?;
        self.free.push(slot.0);
        if self.free.len() == self.entries.len() && self.entries.len() > KEPT_MIN {
            // Nothing is held: what a storm took is given back.
            *self = Items { given: self.given, ..Items::default() };
        }
        Some(item)
    }

    /// All slots that hold an item, in the order in which their items came.
    pub(super) fn slots(&self) -> Vec<Slot> {
        let mut held: Vec<(u64, u32)> = Vec::new();
        for (slot, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.item.is_some()) {
            held.push((entry.first, u32::try_from(slot).unwrap_or(u32::MAX)));
        }
        held.sort_unstable();
        held.into_iter().map(|(_, slot)| Slot(slot)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> Item {
        Item {
            signal: Signal::Logs,
            bytes: Bytes::new(),
            surroundings: Surroundings::new(&[], &[]),
            route: Arc::default(),
            stamp: None,
            pid: None,
            is_of_process: false,
            is_told: false,
            pending: 1,
            verdict: None,
            good: None,
            weight: 0,
            origin: Origin::default(),
        }
    }

    #[test]
    fn a_ticket_names_its_item_and_no_later_one() {
        let mut items = Items::default();
        let (first, second) = (items.insert(item()), items.insert(item()));
        let tickets = [items.ticket(first), items.ticket(first)];
        let other = items.ticket(second);
        assert!(tickets[0] < tickets[1] && tickets[1] < other);
        assert_eq!(tickets.map(|ticket| items.find(ticket)), [Some(first); 2]);
        assert_eq!(items.find(other), Some(second));
        assert!(items.remove(first).is_some() && items.remove(first).is_none());
        assert_eq!(items.find(tickets[0]), None);
        let third = items.insert(item());
        assert_eq!(third, first, "the slot is used again");
        let ticket = items.ticket(third);
        assert_eq!((items.find(ticket), items.find(tickets[0]), items.find(tickets[1])), (Some(third), None, None));
        assert_eq!(items.slots(), [second, third]);
        assert_eq!(items.count(), 2);
        items.remove(second);
        items.remove(third);
        let many: Vec<Slot> = (0..=KEPT_MIN).map(|_| items.insert(item())).collect();
        for slot in many {
            items.remove(slot);
        }
        assert_eq!((items.count(), items.entries.capacity()), (0, 0), "memory is given back");
    }
}
