//! Changes to items of one request, and the request with them made.
//!
//! Everything that no edit names is copied whole. Of the groups around a changed item only the length is written
//! anew, and only in its shortest form where it changed.

use super::wire::{Field, Fields, field_len, put_bytes, put_tag, put_varint};
use std::ops::Range;

/// Changes to the items of one request. Ranges come from [`super::Item::range`] and [`super::ScopeGroup::range`] of
/// that request; a range that names nothing there changes nothing, and of two edits of one item the later counts.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    items: Vec<(usize, Edit)>,
    appended: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum Edit {
    Replace(Vec<u8>),
    Remove,
}

impl Edits {
    /// No change yet.
    pub fn new() -> Edits {
        Edits::default()
    }

    /// True when nothing would change.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.appended.is_empty()
    }

    /// Writes other bytes for an item.
    pub fn replace(&mut self, item: Range<usize>, bytes: Vec<u8>) {
        self.items.push((item.start, Edit::Replace(bytes)));
    }

    /// Takes an item out. A scope that loses its last item this way goes too, and so does a resource.
    pub fn remove(&mut self, item: Range<usize>) {
        self.items.push((item.start, Edit::Remove));
    }

    /// Adds an item after the last one of a scope.
    pub fn append(&mut self, scope: Range<usize>, bytes: Vec<u8>) {
        self.appended.push((scope.start, bytes));
    }

    /// The request with all changes made. `request` has passed [`super::check`]; malformed bytes are copied whole.
    pub fn apply(mut self, request: &[u8]) -> Vec<u8> {
        self.items.sort_by_key(|(start, _)| *start);
        self.appended.sort_by_key(|(start, _)| *start);
        let mut plan = Plan { edits: &self, splices: Vec::new() };
        for field in Fields::new(request).filter(|field| field.number == 1) {
            if self.touches(&field) {
                plan.group(request, &field, Level::Resource);
            }
        }
        copy_with(request, &plan.splices)
    }

    fn touches(&self, field: &Field<'_>) -> bool {
        let inside = field.content_start()..=field.end;
        let first = self.items.partition_point(|(start, _)| start < inside.start());
        let first_appended = self.appended.partition_point(|(start, _)| start < inside.start());
        self.items.get(first).is_some_and(|(start, _)| inside.contains(start))
            || self.appended.get(first_appended).is_some_and(|(start, _)| inside.contains(start))
    }

    /// The edit of an item; the last of several.
    fn of_item(&self, start: usize) -> Option<&Edit> {
        let end = self.items.partition_point(|(at, _)| *at <= start);
        let (at, edit) = self.items.get(end.checked_sub(1)?)?;
        (*at == start).then_some(edit)
    }

    fn appended_to(&self, start: usize) -> impl Iterator<Item = &[u8]> {
        let first = self.appended.partition_point(|(at, _)| *at < start);
        let rest = self.appended.get(first..).unwrap_or_default();
        rest.iter().take_while(move |(at, _)| *at == start).map(|(_, bytes)| bytes.as_slice())
    }
}

/// A group that holds repeated children in field 2.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Resource,
    Scope,
}

/// Bytes of the request that are written otherwise.
struct Splice {
    range: Range<usize>,
    with: Vec<u8>,
}

struct Plan<'e> {
    edits: &'e Edits,
    /// In order of their ranges, which do not overlap.
    splices: Vec<Splice>,
}

/// How a field's size on the wire changes; `Gone` when it is taken out.
enum Change {
    By(isize),
    Gone,
}

impl Plan<'_> {
    /// Plans a group that an edit touches, its own tag and length included.
    fn group(&mut self, request: &[u8], group: &Field<'_>, level: Level) -> Change {
        let mark = self.splices.len();
        // Its place in the plan is before its children, its new length is known after them.
        let head = group.start..group.content_start();
        self.splices.push(Splice { range: head.clone(), with: Vec::new() });
        let (mut children, mut gone, mut delta) = (0_usize, 0_usize, 0_isize);
        for child in Fields::at(request, &(group.content_start()..group.end)).filter(|field| field.number == 2) {
            children += 1;
            let change = match level {
                Level::Resource if self.edits.touches(&child) => self.group(request, &child, Level::Scope),
                Level::Resource => continue,
                Level::Scope => self.item(&child),
            };
            match change {
                Change::By(by) => delta += by,
                Change::Gone => {
                    gone += 1;
                    delta -= (child.end - child.start).cast_signed();
                }
            }
        }
        let mut added = Vec::new();
        if level == Level::Scope {
            for item in self.edits.appended_to(group.content_start()) {
                put_bytes(&mut added, 2, item);
            }
        }
        if gone > 0 && gone == children && added.is_empty() {
            self.splices.truncate(mark);
            self.splices.push(Splice { range: group.start..group.end, with: Vec::new() });
            return Change::Gone;
        }
        delta += added.len().cast_signed();
        if !added.is_empty() {
            self.splices.push(Splice { range: group.end..group.end, with: added });
        }
        let length = group.wire.bytes().len();
        let with = if delta == 0 {
            request.get(head).unwrap_or_default().to_vec()
        } else {
            header(group.number, length.saturating_add_signed(delta))
        };
        let change = with.len().cast_signed() - (group.content_start() - group.start).cast_signed() + delta;
        if let Some(splice) = self.splices.get_mut(mark) {
            splice.with = with;
        }
        Change::By(change)
    }

    fn item(&mut self, item: &Field<'_>) -> Change {
        let range = item.start..item.end;
        match self.edits.of_item(item.content_start()) {
            None => Change::By(0),
            Some(Edit::Remove) => {
                self.splices.push(Splice { range, with: Vec::new() });
                Change::Gone
            }
            Some(Edit::Replace(bytes)) => {
                let mut with = Vec::with_capacity(field_len(bytes.len()));
                put_bytes(&mut with, item.number, bytes);
                let by = with.len().cast_signed() - range.len().cast_signed();
                self.splices.push(Splice { range, with });
                Change::By(by)
            }
        }
    }
}

fn header(number: u32, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_tag(&mut out, number, super::wire::BYTES);
    put_varint(&mut out, length as u64);
    out
}

fn copy_with(request: &[u8], splices: &[Splice]) -> Vec<u8> {
    let added: usize = splices.iter().map(|splice| splice.with.len()).sum();
    let mut out = Vec::with_capacity(request.len() + added);
    let mut copied = 0;
    for splice in splices {
        out.extend_from_slice(request.get(copied..splice.range.start).unwrap_or_default());
        out.extend_from_slice(&splice.with);
        copied = splice.range.end;
    }
    out.extend_from_slice(request.get(copied..).unwrap_or_default());
    out
}
