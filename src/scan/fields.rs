//! Names and values of a record: its attributes, or its structured body.

use super::bounded;
use crate::otlp::{AnyValue, Attributes};
use crate::read::text::{lossy, mark};
use std::borrow::Cow;

/// Pairs of one record that are looked at, those of maps within included.
const PAIRS_MAX: usize = 128;
/// Longest name that is looked at, with the names of the maps around it: no name that counts is longer.
const NAME_BYTES_MAX: usize = 128;
/// Elements of an array that are looked at, as many as attempts of one request.
const ELEMENTS_MAX: usize = 32;
/// Maps that hold the whole of a parsed line: the names in it are the line's own.
const WRAPPERS: [&[u8]; 5] = [b"nginx.access.", b"nginx.error.", b"nginx.", b"log_processed.", b"httpRequest."];

/// Names and values of one record. A map within gives its names behind its own and a dot, as flat attributes have them.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pairs: Vec<(Cow<'a, [u8]>, AnyValue<'a>)>,
    /// A bit for each name.
    marks: u128,
    /// Some of them are names within maps.
    has_inner: bool,
}

/// True for the names of what a line was read from, which agents write beside every line and no format asks for.
fn is_of_reading(name: &[u8]) -> bool {
    name.starts_with(b"log.file.") || name == b"log.iostream"
}

impl<'a> Fields<'a> {
    pub(super) fn of(attributes: Attributes<'a>) -> Fields<'a> {
        let mut fields = Fields::default();
        fields.add(attributes);
        fields
    }

    /// True where there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Adds more, which count where none of the first has the name.
    pub(super) fn add(&mut self, attributes: Attributes<'a>) {
        let mut next = self.pairs.len();
        self.push(attributes.map(|pair| (Cow::Borrowed(pair.key), pair.value())));
        while let Some((name, value)) = self.pairs.get(next) {
            if let AnyValue::Map(inner) = value {
                let (outer, inner) = (name.clone(), inner.clone());
                let short = inner.filter(|pair| outer.len() + 1 + pair.key.len() <= NAME_BYTES_MAX);
                self.push(short.map(|pair| (Cow::Owned([&*outer, b".", pair.key].concat()), pair.value())));
            }
            next += 1;
        }
    }

    fn push(&mut self, pairs: impl Iterator<Item = (Cow<'a, [u8]>, AnyValue<'a>)>) {
        let room = PAIRS_MAX.saturating_sub(self.pairs.len());
        for pair in pairs.take(room).filter(|(name, _)| name.len() <= NAME_BYTES_MAX && !is_of_reading(name)) {
            self.marks |= mark(&pair.0);
            self.has_inner |= matches!(pair.0, Cow::Owned(_));
            self.pairs.push(pair);
        }
    }

    /// The value of a name as text; `None` without one, and for a map.
    pub(super) fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        if !self.has_inner && self.marks & mark(name.as_bytes()) == 0 {
            return None;
        }
        let is_named = |known: &[u8]| known == name.as_bytes();
        let flat = self.pairs.iter().find(|(known, _)| is_named(known)).and_then(|(_, value)| text(value));
        flat.or_else(|| {
            let inner = self.pairs.iter().filter(|(known, _)| matches!(known, Cow::Owned(_)));
            let unwrapped = inner
                .filter(|(known, _)| WRAPPERS.iter().any(|wrapper| known.strip_prefix(*wrapper).is_some_and(is_named)));
            unwrapped.filter_map(|(_, value)| text(value)).next()
        })
    }
}

fn text<'a>(value: &AnyValue<'a>) -> Option<Cow<'a, str>> {
    // A header's values, or nginx's list that somebody split: nginx writes a comma and a blank between them.
    if let AnyValue::Array(values) = value {
        let elements: Vec<_> = values.clone().take(ELEMENTS_MAX).filter_map(|value| scalar(&value)).collect();
        return (!elements.is_empty()).then(|| Cow::Owned(elements.join(", ")));
    }
    scalar(value)
}

fn scalar<'a>(value: &AnyValue<'a>) -> Option<Cow<'a, str>> {
    match value {
        AnyValue::String(text) => Some(lossy(bounded(text))),
        AnyValue::Int(number) => Some(Cow::Owned(number.to_string())),
        AnyValue::Double(number) => Some(Cow::Owned(number.to_string())),
        AnyValue::Bool(flag) => Some(Cow::Owned(flag.to_string())),
        AnyValue::Empty | AnyValue::Array(_) | AnyValue::Map(_) | AnyValue::Bytes(_) => None,
    }
}
