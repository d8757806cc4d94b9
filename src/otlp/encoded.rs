//! Attributes that are written into many messages: encoded once, copied as bytes.

use super::value::{Attribute, Attributes, message};
use super::wire::{put_bytes, put_fixed64, put_number};
use std::borrow::Cow;
use std::sync::Arc;

/// Attributes with different keys, as they go on the wire. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Encoded(Option<Arc<Encoder>>);

/// Writes attributes, whose keys differ, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    /// Each a `KeyValue` as field [`FIELD`].
    fields: Vec<u8>,
    items: Vec<Item>,
}

/// The field as which attributes are kept: that of a log record, into which most are written.
const FIELD: u32 = 6;

#[derive(Clone, Debug)]
struct Item {
    key: Cow<'static, str>,
    /// Where the content of its field ends, and how long it is.
    end: usize,
    len: usize,
}

impl Encoder {
    /// Room for so many attributes, and so many bytes of them.
    pub fn with_capacity(count: usize, bytes: usize) -> Encoder {
        Encoder { fields: Vec::with_capacity(bytes), items: Vec::with_capacity(count) }
    }

    /// A copy with room for so many attributes in all, and so many bytes more.
    pub fn roomy(&self, count: usize, bytes: usize) -> Encoder {
        let mut copy = Encoder::with_capacity(count, self.fields.len() + bytes);
        copy.fields.extend_from_slice(&self.fields);
        copy.items.extend(self.items.iter().cloned());
        copy
    }

    /// A text.
    pub fn text(&mut self, key: &'static str, text: &str) {
        self.put(Cow::Borrowed(key), |out| put_bytes(out, 1, text.as_bytes()));
    }

    /// A whole number.
    pub fn int(&mut self, key: &'static str, number: i64) {
        self.put(Cow::Borrowed(key), |out| put_number(out, 3, number.cast_unsigned()));
    }

    /// A number.
    pub fn double(&mut self, key: &'static str, number: f64) {
        self.put(Cow::Borrowed(key), |out| put_fixed64(out, 4, number.to_bits()));
    }

    /// Texts, each given in parts.
    pub fn texts<'t>(&mut self, key: &'static str, texts: impl Iterator<Item = [&'t str; 3]>) {
        self.put(Cow::Borrowed(key), |out| {
            message(out, 5, |out| {
                for parts in texts {
                    message(out, 1, |out| {
                        message(out, 1, |out| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes())));
                    });
                }
            });
        });
    }

    fn put(&mut self, key: Cow<'static, str>, value: impl FnOnce(&mut Vec<u8>)) {
        let (mut len, start) = (0, self.fields.len());
        message(&mut self.fields, FIELD, |out| {
            let start = out.len();
            put_bytes(out, 1, key.as_bytes());
            message(out, 2, value);
            len = out.len() - start;
        });
        debug_assert!(start + len < self.fields.len());
        self.items.push(Item { key, end: self.fields.len(), len });
    }

    /// What was written.
    pub fn finish(self) -> Encoded {
        Encoded((!self.items.is_empty()).then(|| Arc::new(self)))
    }
}

/// Of two attributes with one key the later counts, as in a map.
impl From<Vec<Attribute>> for Encoded {
    fn from(attributes: Vec<Attribute>) -> Encoded {
        let mut unique: Vec<Attribute> = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            match unique.iter_mut().find(|known| known.key == attribute.key) {
                Some(known) => *known = attribute,
                None => unique.push(attribute),
            }
        }
        // 64 bytes an attribute: a guess that saves growing, no limit.
        let mut encoder = Encoder::with_capacity(unique.len(), 64 * unique.len());
        for Attribute { key, value } in unique {
            encoder.put(key, |out| value.encode(out));
        }
        encoder.finish()
    }
}

impl Encoded {
    /// These and more; of a key that is in both, the one of `self`.
    #[must_use]
    pub fn and(&self, more: &Encoded) -> Encoded {
        let mut both = self.0.as_deref().cloned().unwrap_or_default();
        for (key, content) in more.iter() {
            if !self.has(key.as_bytes()) {
                put_bytes(&mut both.fields, FIELD, content);
                both.items.push(Item { key: key.clone(), end: both.fields.len(), len: content.len() });
            }
        }
        both.finish()
    }

    fn items(&self) -> &[Item] {
        self.0.as_deref().map_or(&[], |encoder| &encoder.items)
    }

    fn fields(&self) -> &[u8] {
        self.0.as_deref().map_or(&[], |encoder| &encoder.fields)
    }

    /// What was written, read back.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::new(self.fields(), FIELD, 0)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.items().len()
    }

    /// True when one of them has this key.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.items().iter().any(|item| item.key.as_bytes() == key)
    }

    /// Key and content of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Cow<'static, str>, &[u8])> {
        let fields = self.fields();
        self.items().iter().map(|item| {
            let start = item.end.saturating_sub(item.len);
            (&item.key, fields.get(start..item.end).unwrap_or_default())
        })
    }

    /// How many bytes all of them take as fields of a number below 16.
    pub fn bytes_len(&self) -> usize {
        self.fields().len()
    }

    /// Appends all of them as field `number`.
    pub(super) fn put(&self, out: &mut Vec<u8>, number: u32) {
        if number == FIELD {
            out.extend_from_slice(self.fields());
            return;
        }
        for (_, content) in self.iter() {
            put_bytes(out, number, content);
        }
    }

    /// Appends those whose key is not among others.
    pub(super) fn put_without(&self, others: &Encoded, out: &mut Vec<u8>, number: u32) {
        if !self.items().iter().any(|item| others.has(item.key.as_bytes())) {
            self.put(out, number);
            return;
        }
        for (_, content) in self.iter().filter(|(key, _)| !others.has(key.as_bytes())) {
            put_bytes(out, number, content);
        }
    }
}

/// Appends an attribute that is a text.
pub(super) fn put_text(out: &mut Vec<u8>, field: u32, key: &str, text: &str) {
    message(out, field, |out| {
        put_bytes(out, 1, key.as_bytes());
        message(out, 2, |out| put_bytes(out, 1, text.as_bytes()));
    });
}

/// Appends an attribute that is a whole number.
pub(super) fn put_int(out: &mut Vec<u8>, field: u32, key: &str, number: i64) {
    message(out, field, |out| {
        put_bytes(out, 1, key.as_bytes());
        message(out, 2, |out| put_number(out, 3, number.cast_unsigned()));
    });
}
