//! Which requests of the journal something was made of: it travels with the bytes, from the intake to the backend's answer.

use std::ops::Range;

/// Positions, each once for every piece: a request that was cut in two and joined again is in it twice.
///
/// Requests that are joined are mostly neighbours, so that ranges are few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    ranges: Vec<Range<u64>>,
}

impl Marks {
    /// One piece of one request; nothing of none.
    pub fn of(position: Option<u64>) -> Marks {
        let mut marks = Marks::default();
        marks.extend(position.into_iter());
        marks
    }

    /// More pieces.
    pub fn extend(&mut self, positions: impl Iterator<Item = u64>) {
        for position in positions {
            self.push(position..position + 1);
        }
    }

    /// The pieces of another one as well.
    pub fn join(&mut self, more: Marks) {
        for range in more.ranges {
            self.push(range);
        }
    }

    /// True where nothing of it stands in a journal.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Every position, as often as it has pieces.
    pub fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    fn push(&mut self, range: Range<u64>) {
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "one range is meant")]
mod tests {
    use super::*;

    #[test]
    fn neighbours_take_no_more_room_than_one_and_pieces_are_counted() {
        let mut marks = Marks::of(Some(4));
        marks.extend(5..100);
        assert_eq!(marks.ranges, [4..100]);
        marks.join(Marks::of(Some(99)));
        marks.join(Marks::of(None));
        assert_eq!(marks.ranges, [4..100, 99..100]);
        assert_eq!(marks.positions().filter(|position| *position == 99).count(), 2);
        assert!(Marks::of(None).is_empty());
    }
}
