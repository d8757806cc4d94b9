//! Values by ascending numbers, the newest of which come and go: any of them is found at once, and what is gone takes no
//! memory, however long the others stay.

use std::collections::VecDeque;

/// Values of one board: 512 bytes of pointers.
const BOARD: u64 = 64;

/// Values by number.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    /// The number of the first board.
    first: u64,
    boards: VecDeque<Option<Box<Board<T>>>>,
    count: usize,
}

#[derive(Debug)]
struct Board<T> {
    used: usize,
    places: [Option<Box<T>>; BOARD as usize],
}

impl<T> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf { first: 0, boards: VecDeque::new(), count: 0 }
    }
}

impl<T> Shelf<T> {
    /// Adds a value whose number is greater than all that were added before.
    pub(super) fn push(&mut self, number: u64, value: T) {
        if self.boards.is_empty() {
            self.first = number / BOARD;
        }
        let Some(index) = self.index_of(number) else { return };
        while self.boards.len() <= index {
            self.boards.push_back(None);
        }
        let Some(board) = self.boards.get_mut(index) else { return };
        let board = board.get_or_insert_with(|| Box::new(Board { used: 0, places: [const { None }; BOARD as usize] }));
        if let Some(place) = board.places.get_mut((number % BOARD) as usize)
            && place.replace(Box::new(value)).is_none()
        {
            board.used += 1;
            self.count += 1;
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        let board = self.boards.get(self.index_of(number)?)?.as_deref()?;
        board.places.get((number % BOARD) as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let index = self.index_of(number)?;
        let board = self.boards.get_mut(index)?.as_deref_mut()?;
        board.places.get_mut((number % BOARD) as usize)?.as_deref_mut()
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Box<T>> {
        let index = self.index_of(number)?;
        let entry = self.boards.get_mut(index)?;
        let board = entry.as_deref_mut()?;
        let value = board.places.get_mut((number % BOARD) as usize)?.take()?;
        self.count -= 1;
        board.used -= 1;
        if board.used == 0 {
            *entry = None;
            while self.boards.front().is_some_and(Option::is_none) {
                self.boards.pop_front();
                self.first += 1;
            }
            while self.boards.back().is_some_and(Option::is_none) {
                self.boards.pop_back();
            }
        }
        Some(value)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Those whose number is this or greater, in order.
    pub(super) fn from(&self, number: u64) -> impl DoubleEndedIterator<Item = (u64, &T)> {
        let skipped = usize::try_from((number / BOARD).saturating_sub(self.first)).unwrap_or(usize::MAX);
        let skipped = skipped.min(self.boards.len());
        let boards = self.boards.range(skipped..).enumerate();
        let all = boards.filter_map(move |(index, board)| {
            let first = (self.first + (skipped + index) as u64) * BOARD;
            let places = board.as_deref()?.places.iter().enumerate();
            Some(places.filter_map(move |(place, value)| Some((first + place as u64, value.as_deref()?))))
        });
        all.flatten().filter(move |(known, _)| *known >= number)
    }

    fn index_of(&self, number: u64) -> Option<usize> {
        usize::try_from((number / BOARD).checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0_u64..3, 0_u64..200), 0..300), first in 0_u64..1_000) {
            let (mut shelf, mut map, mut next) = (Shelf::default(), BTreeMap::new(), first);
            for (what, number) in steps {
                if what == 0 {
                    next += number;
                    shelf.push(next, next);
                    map.insert(next, next);
                    next += 1;
                } else {
                    prop_assert_eq!(shelf.remove(first + number * what).map(|value| *value), map.remove(&(first + number * what)));
                }
                prop_assert_eq!(shelf.count(), map.len());
                prop_assert_eq!(shelf.get(first + number), map.get(&(first + number)));
            }
            let all = |from: u64| map.range(from..).map(|(number, value)| (*number, value)).collect::<Vec<_>>();
            for from in [0, first + 70, first + 128, next] {
                prop_assert_eq!(shelf.from(from).collect::<Vec<_>>(), all(from));
            }
            let mut back: Vec<_> = shelf.from(0).rev().collect();
            back.reverse();
            prop_assert_eq!(back, all(0));
            map.keys().for_each(|number| drop(shelf.remove(*number)));
            prop_assert!(shelf.boards.is_empty());
        }
    }
}
