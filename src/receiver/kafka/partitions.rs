//! What was read of the partitions of one receiver, and how far it may be committed: the offset before which all is delivered,
//! and in the text that Kafka keeps beside it which messages behind it are delivered as well. Whoever reads on shows those to
//! the engine and sends them to nobody.
//!
//! ```text
//!  offset      100        101      102        103        104
//!              delivered  held     delivered  delivered  held
//!  committed   101, "why502 1 1-3": of those from 101 on, 1 to 2 are delivered
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::ops::Range;

/// A topic, and the number of one of its partitions.
pub(super) type Name = (String, i32);

/// Begins the text beside an offset; the number is its version.
const TEXT_HEAD: &str = "why502 1";
/// Bytes of such a text: brokers keep 4,096 (`offset.metadata.max.bytes`). What does not fit comes twice.
const TEXT_BYTES_MAX: usize = 3_500;

/// All partitions that are ours now.
#[derive(Debug, Default)]
pub(super) struct Partitions(BTreeMap<Name, Partition>);

/// One of them.
#[derive(Debug, Default)]
struct Partition {
    /// What was read and is not committed, in order.
    read: VecDeque<(i64, Part)>,
    /// The offset that would be committed next.
    next: Option<i64>,
    /// What was committed last.
    committed: Option<Commit>,
    /// Whether it is known where reading begins.
    is_begun: bool,
    /// Whether what stands before the first message has been looked at.
    is_looked_at: bool,
    /// How often its first message was waited for.
    waited: u32,
    /// Messages before this offset are shown and go nowhere.
    shown_before: i64,
    /// And these.
    delivered: Vec<Range<i64>>,
}

/// What of a message is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Nothing, or nothing any more.
    Nothing,
    /// That of this position.
    Position(u64),
    /// All, by somebody else.
    GivenUp,
}

/// An offset, and the text beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) offset: i64,
    pub(super) text: String,
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

    /// True for one of which it is known where reading begins.
    pub(super) fn is_begun(&self, name: &Name) -> bool {
        self.0.get(name).is_some_and(|partition| partition.is_begun)
    }

    /// Those of which it is not.
    pub(super) fn not_begun(&self) -> Vec<Name> {
        let new = self.0.iter().filter(|(_, partition)| !partition.is_begun);
        new.map(|(name, _)| name.clone()).collect()
    }

    /// Reading begins where this was committed.
    pub(super) fn begin(&mut self, name: &Name, commit: Commit) {
        if let Some(partition) = self.0.get_mut(name) {
            partition.is_begun = true;
            partition.delivered = delivered_of(commit.offset, &commit.text);
            partition.next = Some(commit.offset);
            partition.committed = Some(commit);
        }
    }

    /// Those of a number, of all topics: what is in them is understood together.
    pub(super) fn of_number(&self, number: i32) -> Vec<Name> {
        self.0.keys().filter(|(_, known)| *known == number).cloned().collect()
    }

    /// Those of a number that are new here, so that what stands before their first message has not been looked at.
    pub(super) fn not_looked_at(&self, number: i32) -> Vec<Name> {
        let new = self.0.iter().filter(|((_, known), partition)| *known == number && !partition.is_looked_at);
        new.map(|(name, _)| name.clone()).collect()
    }

    /// These have been looked at.
    pub(super) fn looked_at(&mut self, names: &[Name]) {
        for name in names {
            if let Some(partition) = self.0.get_mut(name) {
                partition.is_looked_at = true;
            }
        }
    }

    /// How often it was waited for the first message of one, counted on.
    pub(super) fn waited_for(&mut self, name: &Name) -> u32 {
        self.0.get_mut(name).map_or(u32::MAX, |partition| {
            partition.waited += 1;
            partition.waited
        })
    }

    /// What is read before this offset is shown only.
    pub(super) fn show_before(&mut self, name: &Name, offset: i64) {
        if let Some(partition) = self.0.get_mut(name) {
            partition.shown_before = offset;
        }
    }

    /// True for a message that goes nowhere, as it is delivered.
    pub(super) fn is_shown_only(&self, name: &Name, offset: i64) -> bool {
        self.0.get(name).is_some_and(|partition| {
            offset < partition.shown_before || partition.delivered.iter().any(|range| range.contains(&offset))
        })
    }

    /// A message was read; what of it is to be delivered has this position.
    pub(super) fn read(&mut self, name: &Name, offset: i64, position: Option<u64>) {
        // What stands before the beginning is committed already.
        if let Some(partition) = self.0.get_mut(name).filter(|partition| offset >= partition.shown_before) {
            partition.read.push_back((offset, position.map_or(Part::Nothing, Part::Position)));
        }
    }

    /// What is to be committed and is not yet.
    pub(super) fn due(&mut self, is_delivered: impl Fn(u64) -> bool) -> Vec<(Name, Commit)> {
        let mut due = Vec::new();
        for (name, partition) in &mut self.0 {
            for (_, part) in &mut partition.read {
                if matches!(part, Part::Position(position) if is_delivered(*position)) {
                    *part = Part::Nothing;
                }
            }
            while let Some((offset, Part::Nothing)) = partition.read.front() {
                partition.next = Some(offset + 1);
                partition.read.pop_front();
            }
            let Some(offset) = partition.next else { continue };
            let commit = Commit { offset, text: text_of(offset, &partition.read) };
            if partition.committed.as_ref() != Some(&commit) {
                due.push((name.clone(), commit));
            }
        }
        due
    }

    /// These were committed.
    pub(super) fn committed(&mut self, commits: Vec<(Name, Commit)>) {
        for (name, commit) in commits {
            if let Some(partition) = self.0.get_mut(&name) {
                partition.committed = Some(commit);
            }
        }
    }

    /// The offset that was committed last of one.
    pub(super) fn committed_of(&self, name: &Name) -> Option<i64> {
        self.0.get(name)?.committed.as_ref().map(|commit| commit.offset)
    }

    /// Positions of these that are not delivered.
    pub(super) fn open(&self, names: &[Name], is_delivered: impl Fn(u64) -> bool) -> Vec<u64> {
        let read = names.iter().filter_map(|name| self.0.get(name)).flat_map(|partition| &partition.read);
        let positions = read.filter_map(|(_, part)| match part {
            Part::Position(position) => Some(*position),
            Part::Nothing | Part::GivenUp => None,
        });
        positions.filter(|position| !is_delivered(*position)).collect()
    }

    /// Messages of these positions are read again by somebody else.
    pub(super) fn give_up(&mut self, positions: &[u64]) {
        for (_, part) in self.0.values_mut().flat_map(|partition| &mut partition.read) {
            if matches!(part, Part::Position(position) if positions.contains(position)) {
                *part = Part::GivenUp;
            }
        }
    }
}

/// The text beside an offset, of what was read from there on.
fn text_of(offset: i64, read: &VecDeque<(i64, Part)>) -> String {
    let mut ranges: Vec<Range<i64>> = Vec::new();
    for (at, _) in read.iter().filter(|(_, part)| *part == Part::Nothing) {
        let at = at - offset;
        match ranges.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => ranges.push(at..at + 1),
        }
    }
    let mut text = String::new();
    for range in ranges {
        if text.len() + 2 * 20 > TEXT_BYTES_MAX {
            break;
        }
        text.push_str(if text.is_empty() { TEXT_HEAD } else { "," });
        if text.len() == TEXT_HEAD.len() {
            text.push(' ');
        }
        let _ = write!(text, "{}-{}", range.start, range.end);
    }
    text
}

/// What is delivered behind an offset, by the text beside it; one of somebody else says nothing.
fn delivered_of(offset: i64, text: &str) -> Vec<Range<i64>> {
    let ranges = text.strip_prefix(TEXT_HEAD).map_or("", str::trim_start);
    let range = |text: &str| {
        let (start, end) = text.split_once('-')?;
        Some(offset.checked_add(start.parse().ok()?)?..offset.checked_add(end.parse().ok()?)?)
    };
    ranges.split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(offset: i64, text: &str) -> Commit {
        Commit { offset, text: text.to_owned() }
    }

    #[test]
    fn an_offset_is_due_when_all_before_it_is_delivered() {
        let (one, two) = (("logs".to_owned(), 0), ("logs".to_owned(), 1));
        let mut partitions = Partitions::default();
        partitions.add([one.clone(), two.clone()].into_iter());
        assert_eq!((partitions.not_looked_at(0), partitions.of_number(1)), (vec![one.clone()], vec![two.clone()]));
        assert_eq!((partitions.waited_for(&one), partitions.waited_for(&one)), (1, 2));
        partitions.looked_at(std::slice::from_ref(&one));
        assert!(partitions.not_looked_at(0).is_empty() && partitions.has(&two));
        assert_eq!(partitions.not_begun(), [one.clone(), two.clone()]);
        partitions.begin(&one, commit(7, ""));
        partitions.begin(&two, commit(3, "of somebody else"));
        assert!(partitions.not_begun().is_empty() && partitions.is_begun(&two));
        partitions.show_before(&one, 7);
        assert!(partitions.is_shown_only(&one, 6) && !partitions.is_shown_only(&one, 7));
        assert!(!partitions.is_shown_only(&two, 0));
        for (offset, position) in [(6, None), (7, Some(1)), (8, None), (10, Some(2)), (11, Some(3)), (12, Some(4))] {
            partitions.read(&one, offset, position);
        }
        partitions.read(&two, 3, Some(5));
        // The text of somebody else is written over.
        let due = partitions.due(|_| false);
        assert_eq!(due, [(one.clone(), commit(7, "why502 1 1-2")), (two.clone(), commit(3, ""))]);
        partitions.committed(due);
        let due = partitions.due(|position| position == 1 || position == 3);
        assert_eq!(due, [(one.clone(), commit(9, "why502 1 2-3"))], "not past the one before");
        partitions.committed(due);
        assert!(partitions.due(|_| false).is_empty());
        assert_eq!(partitions.open(std::slice::from_ref(&one), |position| position == 4), [2]);
        // What is given up is never committed past, whatever becomes of the others.
        partitions.give_up(&[2]);
        let due = partitions.due(|_| true);
        assert_eq!(due, [(one.clone(), commit(9, "why502 1 2-4")), (two.clone(), commit(4, ""))]);
        partitions.committed(due);
        partitions.remove(std::slice::from_ref(&one));
        assert_eq!(partitions.names(), [two]);
        // Who reads on shows what is delivered.
        partitions.add(std::iter::once(one.clone()));
        partitions.begin(&one, commit(9, "why502 1 2-4"));
        assert_eq!(
            [9, 10, 11, 12, 13].map(|offset| partitions.is_shown_only(&one, offset)),
            [false, false, true, true, false]
        );
    }

    #[test]
    fn a_text_fits_and_nonsense_is_none() {
        let read = (0..10_000).map(|offset| (2 * offset, Part::Nothing)).collect();
        let text = text_of(0, &read);
        assert!(text.len() <= TEXT_BYTES_MAX && text.starts_with("why502 1 0-1,2-3,4-5,"), "{}", text.len());
        assert!(delivered_of(0, &text).len() > 300);
        for text in ["", "why502 1", "why502 1 x-y,-,3", "why502 9 1-2", "1-2"] {
            let found = delivered_of(5, text);
            assert!(found.is_empty(), "{text}: {found:?}");
        }
    }
}
