//! Room in the queues of all outlets of a request, kept before anything of it is used: what is acknowledged has its place.
//!
//! What waits for a verdict is counted in these queues until it is released, with what a verdict adds to it. That count is
//! never refused, since the hold has a limit of its own in bytes: a release always fits, and who comes later finds that
//! much less room. Records of verdicts are few and go past the limit.

use super::Route;
use crate::exporter::backlog::Amount;
use crate::otlp::Signal;

/// What a verdict adds to a record or span, about.
const VERDICT_BYTES: usize = 1_536;

/// Room that is given back when this is dropped: by then the request is in the queues, or refused.
pub(super) struct Room<'r> {
    route: &'r Route,
    need: Amount,
    /// Outlets that gave room, in the order of [`Room::outlets`].
    count: usize,
}

impl<'r> Room<'r> {
    /// Room for a request in all queues; `None` when one has none.
    pub(super) fn reserve(route: &'r Route, signal: Signal, need: Amount) -> Option<Room<'r>> {
        let mut room = Room { route, need, count: 0 };
        for outlet in route.explained.iter().chain(&route.plain) {
            if !outlet.reserve(signal, need) {
                return None;
            }
            room.count += 1;
        }
        Some(room)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        for outlet in self.route.explained.iter().chain(&self.route.plain).take(self.count) {
            outlet.give_back(self.need);
        }
    }
}

/// The room of an item that waits for its verdict, by the length of its bytes.
pub(super) fn of_held(bytes: usize) -> Amount {
    Amount { items: 1, bytes: bytes + VERDICT_BYTES }
}

/// The room of items that wait, together.
pub(super) fn of_all_held(lengths: impl Iterator<Item = usize>) -> Amount {
    lengths.map(of_held).fold(Amount::default(), |sum, one| Amount {
        items: sum.items.saturating_add(one.items),
        bytes: sum.bytes.saturating_add(one.bytes),
    })
}

/// Counts room for items of a route that wait.
pub(super) fn hold(route: &Route, need: Amount) {
    if need.items > 0 {
        route.explained.iter().for_each(|outlet| outlet.hold(need));
    }
}

/// Gives back the room of items that were released.
pub(super) fn let_go(route: &Route, amount: Amount) {
    if amount.items > 0 {
        route.explained.iter().for_each(|outlet| outlet.give_back(amount));
    }
}
