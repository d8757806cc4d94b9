//! Where the values of a line stand.
//!
//! Literals must stand where the format has them; a variable takes what lies between. Where a literal occurs more than
//! once the first end whose value has the right shape is tried, and the next one if the rest of the line does not fit.
//! What failed once from one place is not tried again, and the bytes looked at for one line are counted: lines made to
//! be hard cost at most [`LOOKS_PER_BYTE`] times their length, and then are not read.

use super::shape::{Shape, Tier};
use super::{Escape, Part, Variable};
use std::ops::Range;

/// Bytes that may be looked at for each byte of the line, over all tiers. The formats of the wild need at most 12.
const LOOKS_PER_BYTE: usize = 64;
/// Looks that each line has at least, so that short lines in formats of hundreds of variables are read.
const LOOKS_MIN: usize = 16 * 1024;
/// Elements of one list that are read; nginx was seen to try nine peers.
const ELEMENTS_MAX: usize = 64;
/// Ends of one list that are tried.
const ENDS_MAX: usize = 256;
/// Bits kept of what failed: 1 MiB. Longer lines in larger formats do without, within the same count of looks.
const FAILED_BITS_MAX: usize = 8 * 1024 * 1024;

/// The range of each variable in order; `None` when the line is in another format.
pub(super) fn spans(parts: &[Part], escape: Escape, line: &[u8], tiers: &[Tier]) -> Option<Vec<Range<usize>>> {
    let mut looks = line.len().saturating_mul(LOOKS_PER_BYTE).max(LOOKS_MIN);
    for tier in tiers {
        let mut matcher = Matcher { parts, escape, line, tier: *tier, looks, failed: Vec::new(), spans: Vec::new() };
        if matcher.rest(0, 0) {
            return Some(matcher.spans);
        }
        looks = matcher.looks;
    }
    None
}

struct Matcher<'a> {
    parts: &'a [Part],
    escape: Escape,
    line: &'a [u8],
    tier: Tier,
    looks: usize,
    /// One bit for each part and place from which the rest did not fit; empty until something fails.
    failed: Vec<u64>,
    spans: Vec<Range<usize>>,
}

impl Matcher<'_> {
    /// Reads the parts from `part` on at `at`; on success their spans are kept.
    fn rest(&mut self, part: usize, at: usize) -> bool {
        match self.parts.get(part) {
            None => at == self.line.len(),
            Some(Part::Literal(literal)) => match self.after_literal(part, literal, at) {
                Some(next) => self.rest(part + 1, next),
                None => false,
            },
            Some(Part::Variable(variable)) => {
                if self.has_failed(part, at) {
                    return false;
                }
                let found = self.variable(part, variable, at);
                if !found {
                    self.fail(part, at);
                }
                found
            }
        }
    }

    fn after_literal(&self, part: usize, literal: &[u8], at: usize) -> Option<usize> {
        let rest = self.line.get(at..)?;
        if rest.starts_with(literal) {
            return Some(at + literal.len());
        }
        // Editors and terminals cut blanks at the end of a line.
        let last = part + 1 == self.parts.len() && rest == literal.trim_ascii_end();
        last.then_some(self.line.len())
    }

    fn variable(&mut self, part: usize, variable: &Variable, at: usize) -> bool {
        let shape = variable.shape.on(self.tier);
        let extent = self.extent(shape, at);
        let next = match self.parts.get(part + 1) {
            Some(Part::Literal(literal)) => Some(literal.as_slice()),
            _ => None,
        };
        if shape.is_list() {
            return self.list(part, shape, at);
        }
        match (next, self.parts.get(part + 1)) {
            (_, None) => extent == self.line.len() && self.fits(shape, at, extent) && self.take(part, at, extent),
            (Some(literal), _) => self.before_literal(part, shape, literal, at, extent),
            (None, _) if shape == Shape::Text => (at..=extent).any(|end| self.spend(1) && self.take(part, at, end)),
            (None, _) => {
                (at..=extent).rev().any(|end| self.spend(1) && self.fits(shape, at, end) && self.take(part, at, end))
            }
        }
    }

    /// Tries each place where the literal stands within reach.
    fn before_literal(&mut self, part: usize, shape: Shape, literal: &[u8], at: usize, extent: usize) -> bool {
        let mut from = at;
        loop {
            let reach = extent.saturating_add(literal.len()).min(self.line.len());
            let Some(window) = self.line.get(from..reach) else { return false };
            let Some(offset) = memchr::memmem::find(window, literal) else {
                self.spend(window.len());
                return self.cut_short(part, shape, literal, at, extent);
            };
            let end = from + offset;
            if !self.spend(offset + 1) {
                return false;
            }
            if self.fits(shape, at, end) && self.take(part, at, end) {
                return true;
            }
            from = end + 1;
        }
    }

    /// The last literal without the blanks at its end, which were cut.
    fn cut_short(&mut self, part: usize, shape: Shape, literal: &[u8], at: usize, extent: usize) -> bool {
        let trimmed = literal.trim_ascii_end();
        if part + 2 != self.parts.len() || trimmed.len() == literal.len() || !self.line.ends_with(trimmed) {
            return false;
        }
        let end = self.line.len() - trimmed.len();
        (at..=extent).contains(&end) && self.fits(shape, at, end) && self.take(part, at, end)
    }

    /// Tries the longest list first: a comma and a blank, or a colon between blanks, go on with it. An element ends at
    /// the first byte that it cannot hold, or earlier where the next literal begins with what it can
    /// (`${upstream_response_time}s`, `[$upstream_addr]`).
    fn list(&mut self, part: usize, shape: Shape, at: usize) -> bool {
        let literal: &[u8] = match self.parts.get(part + 1) {
            Some(Part::Literal(literal)) => literal,
            _ => &[],
        };
        let mut ends = Vec::new();
        let mut from = at;
        for _ in 0..ELEMENTS_MAX {
            let end = self.extent(shape, from);
            self.ends_within(shape, literal, from..end, &mut ends);
            if !self.spend(end - from + 1) || !self.line.get(from..end).is_some_and(|value| shape.fits_element(value)) {
                break;
            }
            ends.push(end);
            from = match self.line.get(end..).unwrap_or_default() {
                [b',', b' ', ..] => end + 2,
                [b' ', b':', b' ', ..] => end + 3,
                _ => break,
            };
        }
        ends.iter().rev().any(|end| self.take(part, at, *end))
    }

    /// Ends of an element before its last byte, longest first, so that the shortest is tried first.
    fn ends_within(&mut self, shape: Shape, literal: &[u8], element: Range<usize>, ends: &mut Vec<usize>) {
        if literal.first().is_none_or(|byte| !shape.takes(*byte)) {
            return;
        }
        let room = ENDS_MAX.saturating_sub(ends.len());
        let window = self.line.get(element.start..element.end.saturating_add(literal.len()).min(self.line.len()));
        let found: Vec<usize> = memchr::memmem::find_iter(window.unwrap_or_default(), literal)
            .map(|offset| element.start + offset)
            .filter(|end| *end < element.end)
            .filter(|end| self.line.get(element.start..*end).is_some_and(|value| shape.fits_element(value)))
            .take(room)
            .collect();
        ends.extend(found.into_iter().rev());
    }

    /// Takes a value and reads on.
    fn take(&mut self, part: usize, at: usize, end: usize) -> bool {
        let kept = self.spans.len();
        self.spans.push(at..end);
        if self.rest(part + 1, end) {
            return true;
        }
        self.spans.truncate(kept);
        false
    }

    fn fits(&self, shape: Shape, at: usize, end: usize) -> bool {
        self.line.get(at..end).is_some_and(|value| shape.fits(value))
    }

    /// How far a value may go: to the first byte that its shape does not take, or to a quote, which is never raw inside
    /// an escaped value.
    fn extent(&mut self, shape: Shape, at: usize) -> usize {
        let rest = self.line.get(at..).unwrap_or_default();
        let mut length = rest.len();
        if self.tier != Tier::None {
            length = quote(self.escape, rest).unwrap_or(length);
        }
        if !matches!(shape, Shape::Text | Shape::Request) {
            length = rest.iter().take(length).position(|byte| !shape.takes(*byte)).unwrap_or(length);
        }
        self.spend(length);
        at + length
    }

    /// False when the line has used up its looks.
    fn spend(&mut self, looks: usize) -> bool {
        self.looks = self.looks.saturating_sub(looks);
        self.looks > 0
    }

    fn bit(&self, part: usize, at: usize) -> Option<(usize, u64)> {
        let bits = self.parts.len().checked_mul(self.line.len() + 1).filter(|bits| *bits <= FAILED_BITS_MAX)?;
        let index = part * (self.line.len() + 1) + at;
        (index < bits).then_some((index / 64, 1 << (index % 64)))
    }

    fn has_failed(&self, part: usize, at: usize) -> bool {
        let Some((word, mask)) = self.bit(part, at) else { return false };
        self.looks == 0 || self.failed.get(word).is_some_and(|bits| bits & mask != 0)
    }

    fn fail(&mut self, part: usize, at: usize) {
        let Some((word, mask)) = self.bit(part, at) else { return };
        if self.failed.is_empty() {
            self.failed.resize((self.parts.len() * (self.line.len() + 1)).div_ceil(64), 0);
        }
        if let Some(bits) = self.failed.get_mut(word) {
            *bits |= mask;
        }
    }
}

/// Where the first quote stands that no escape stands before.
pub(in crate::read::formats) fn quote(escape: Escape, text: &[u8]) -> Option<usize> {
    match escape {
        Escape::None => None,
        Escape::Default => memchr::memchr(b'"', text),
        Escape::Json | Escape::Gunicorn => {
            let mut from = 0;
            loop {
                let index = from + memchr::memchr2(b'"', b'\\', text.get(from..)?)?;
                if text.get(index) == Some(&b'"') {
                    return Some(index);
                }
                // Gunicorn escapes nothing but the quote, so a backslash before anything else stands for itself.
                let pair = escape == Escape::Json || text.get(index + 1) == Some(&b'"');
                from = index + if pair { 2 } else { 1 };
            }
        }
    }
}
