//! The requests that have one key.

use std::collections::VecDeque;
use std::iter::Chain;
use std::slice::Iter;

/// Requests of one connection or one request line that are looked at. Past it the oldest is no longer found by this
/// key, which costs a join, not memory.
const IDS_MAX: usize = 1_024;

/// Requests in the order in which they were found to have one key. Nearly every key is of one request: it takes no memory of
/// its own, which in a storm would be cold again by the time that the request is forgotten.
#[derive(Debug, Default)]
#[allow(
    clippy::box_collection,
    reason = "a deque of its own would make every entry twice as long for the few that are several"
)]
pub(super) enum Ids {
    #[default]
    None,
    One(u64),
    Several(Box<VecDeque<u64>>),
}

impl Ids {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Ids::None => true,
            Ids::One(_) => false,
            Ids::Several(ids) => ids.is_empty(),
        }
    }

    pub(super) fn iter(&self) -> Chain<Iter<'_, u64>, Iter<'_, u64>> {
        let (one, other): (&[u64], &[u64]) = match self {
            Ids::None => (&[], &[]),
            Ids::One(id) => (std::slice::from_ref(id), &[]),
            Ids::Several(ids) => ids.as_slices(),
        };
        one.iter().chain(other)
    }

    pub(super) fn add(&mut self, id: u64) {
        match self {
            Ids::None => *self = Ids::One(id),
            Ids::One(first) => *self = Ids::Several(Box::new(VecDeque::from([*first, id]))),
            Ids::Several(ids) => {
                if ids.len() == IDS_MAX {
                    ids.pop_front();
                }
                ids.push_back(id);
            }
        }
    }

    /// The newest and the oldest come and go most. Requests are numbered as they are opened and mostly found in that order, so
    /// that the place of one is most often where it would be if they were sorted.
    pub(super) fn drop(&mut self, id: u64) {
        let ids = match self {
            Ids::One(only) if *only == id => {
                *self = Ids::None;
                return;
            }
            Ids::None | Ids::One(_) => return,
            Ids::Several(ids) => ids,
        };
        if ids.back() == Some(&id) {
            ids.pop_back();
            return;
        }
        let place = ids.partition_point(|known| *known < id);
        if ids.get(place) == Some(&id) {
            ids.remove(place);
            return;
        }
        // In a storm on one URL it was pushed out long before, which a look at all of them says faster than a search.
        let (one, other) = ids.as_slices();
        if (one.contains(&id) || other.contains(&id))
            && let Some(at) = ids.iter().position(|known| *known == id)
        {
            ids.remove(at);
        }
    }
}

impl<'a> IntoIterator for &'a Ids {
    type Item = &'a u64;
    type IntoIter = Chain<Iter<'a, u64>, Iter<'a, u64>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// They are a list of bounded length, whatever comes and goes.
        #[test]
        fn they_are_a_list(steps in prop::collection::vec((any::<bool>(), 0_u64..40), 0..200)) {
            let (mut ids, mut list): (Ids, Vec<u64>) = Default::default();
            for (adds, id) in steps {
                if adds && !list.contains(&id) {
                    ids.add(id);
                    list.push(id);
                } else if !adds {
                    ids.drop(id);
                    list.retain(|known| *known != id);
                }
                prop_assert_eq!(ids.iter().copied().collect::<Vec<_>>(), list.clone());
                prop_assert_eq!(ids.iter().rev().copied().collect::<Vec<_>>(), list.iter().rev().copied().collect::<Vec<_>>());
                prop_assert_eq!(ids.is_empty(), list.is_empty());
            }
        }
    }

    #[test]
    fn the_oldest_of_too_many_is_found_no_more() {
        let mut ids = Ids::default();
        (0..=IDS_MAX as u64).for_each(|id| ids.add(id));
        assert_eq!((ids.iter().next(), ids.iter().count()), (Some(&1), IDS_MAX));
    }
}
