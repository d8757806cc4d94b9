//! What was read of the partitions of one receiver: how far it may be committed.

use std::collections::{BTreeMap, VecDeque};

/// A topic, and the number of one of its partitions.
pub(super) type Name = (String, i32);

/// All partitions that are ours now.
#[derive(Debug, Default)]
pub(super) struct Partitions(BTreeMap<Name, Partition>);

/// One of them.
#[derive(Debug, Default)]
struct Partition {
    /// What was read and is not committed, in order: the offset, and the position of what is to be delivered of it.
    read: VecDeque<(i64, Option<u64>)>,
    /// The offset that would be committed next.
    next: Option<i64>,
    /// The one that was.
    committed: Option<i64>,
    /// Whether it was committed where reading begins.
    is_begun: bool,
    /// Whether what stands before the first message has been looked at.
    is_looked_at: bool,
    /// Messages before this offset are shown and go nowhere.
    shown_before: i64,
}

impl Partitions {
    /// These are ours from now on.
    pub(super) fn add(&mut self, names: impl Iterator<Item = Name>) {
        for name in names {
            self.0.insert(name, Partition { shown_before: i64::MIN, ..Partition::default() });
        }
    }

    /// These are ours no more; what was not committed of them is read again by somebody else.
    pub(super) fn remove(&mut self, names: &[Name]) {
        names.iter().for_each(|name| drop(self.0.remove(name)));
    }

    pub(super) fn names(&self) -> Vec<Name> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn has(&self, name: &Name) -> bool {
        self.0.contains_key(name)
    }

    /// True for one whose beginning is committed.
    pub(super) fn is_begun(&self, name: &Name) -> bool {
        self.0.get(name).is_some_and(|partition| partition.is_begun)
    }

    /// Those whose beginning is not committed.
    pub(super) fn not_begun(&self) -> Vec<Name> {
        let new = self.0.iter().filter(|(_, partition)| !partition.is_begun);
        new.map(|(name, _)| name.clone()).collect()
    }

    /// The beginning of these is committed: nobody who comes later begins further on.
    pub(super) fn begun(&mut self, offsets: &[(Name, i64)]) {
        for (name, offset) in offsets {
            if let Some(partition) = self.0.get_mut(name) {
                partition.is_begun = true;
                partition.next = partition.next.or(Some(*offset));
                partition.committed = partition.committed.or(Some(*offset));
            }
        }
    }

    /// True once for each partition that is new here.
    pub(super) fn look_at(&mut self, name: &Name) -> bool {
        self.0.get_mut(name).is_some_and(|partition| !std::mem::replace(&mut partition.is_looked_at, true))
    }

    /// What is read before this offset is shown only.
    pub(super) fn show_before(&mut self, name: &Name, offset: i64) {
        if let Some(partition) = self.0.get_mut(name) {
            partition.shown_before = offset;
        }
    }

    pub(super) fn is_shown_only(&self, name: &Name, offset: i64) -> bool {
        self.0.get(name).is_some_and(|partition| offset < partition.shown_before)
    }

    /// A message was read; what of it is to be delivered has this position.
    pub(super) fn read(&mut self, name: &Name, offset: i64, position: Option<u64>) {
        if let Some(partition) = self.0.get_mut(name) {
            partition.read.push_back((offset, position));
        }
    }

    /// Offsets to be committed that are not yet: all before them is delivered.
    pub(super) fn due(&mut self, is_delivered: impl Fn(u64) -> bool) -> Vec<(Name, i64)> {
        let mut due = Vec::new();
        for (name, partition) in &mut self.0 {
            while let Some((offset, position)) = partition.read.front()
                && position.is_none_or(&is_delivered)
            {
                partition.next = Some(offset + 1);
                partition.read.pop_front();
            }
            if let Some(next) = partition.next.filter(|next| partition.committed != Some(*next)) {
                due.push((name.clone(), next));
            }
        }
        due
    }

    /// These were committed.
    pub(super) fn committed(&mut self, offsets: &[(Name, i64)]) {
        for (name, offset) in offsets {
            if let Some(partition) = self.0.get_mut(name) {
                partition.committed = Some(*offset);
            }
        }
    }

    /// Positions of these that are not delivered.
    pub(super) fn open(&self, names: &[Name], is_delivered: impl Fn(u64) -> bool) -> Vec<u64> {
        let read = names.iter().filter_map(|name| self.0.get(name)).flat_map(|partition| &partition.read);
        read.filter_map(|(_, position)| *position).filter(|position| !is_delivered(*position)).collect()
    }

    /// From the first message of these positions on nothing is committed: somebody else reads it again.
    pub(super) fn cut(&mut self, positions: &[u64]) {
        for partition in self.0.values_mut() {
            let is_cut = |position: &u64| positions.contains(position);
            let first = partition.read.iter().position(|(_, position)| position.as_ref().is_some_and(is_cut));
            if let Some(first) = first {
                partition.read.truncate(first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_due_when_all_before_it_is_delivered() {
        let (one, two) = (("logs".to_owned(), 0), ("logs".to_owned(), 1));
        let mut partitions = Partitions::default();
        partitions.add([one.clone(), two.clone()].into_iter());
        assert!(partitions.look_at(&one) && !partitions.look_at(&one) && partitions.has(&two));
        partitions.show_before(&one, 7);
        assert!(partitions.is_shown_only(&one, 6) && !partitions.is_shown_only(&one, 7));
        assert!(!partitions.is_shown_only(&two, 0));
        for (offset, position) in [(7, Some(1)), (8, None), (10, Some(2)), (11, Some(3))] {
            partitions.read(&one, offset, position);
        }
        partitions.read(&two, 3, Some(4));
        assert!(partitions.due(|_| false).is_empty());
        assert_eq!(partitions.not_begun(), [one.clone(), two.clone()]);
        partitions.begun(&[(two.clone(), 3)]);
        assert_eq!((partitions.not_begun(), partitions.due(|_| false)), (vec![one.clone()], Vec::new()));
        assert_eq!(partitions.due(|position| position == 1), [(one.clone(), 9)]);
        partitions.committed(&[(one.clone(), 9)]);
        assert!(partitions.due(|position| position == 1 || position == 3).is_empty(), "not past the one before");
        assert_eq!(partitions.open(std::slice::from_ref(&one), |position| position == 3), [2]);
        // The second is given up: the first undelivered one is where somebody else goes on.
        partitions.cut(&[3]);
        assert_eq!(partitions.due(|_| true), [(one.clone(), 11), (two.clone(), 4)]);
        partitions.remove(std::slice::from_ref(&one));
        assert_eq!(partitions.names(), [two]);
    }
}
