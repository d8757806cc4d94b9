//! Attributes that are written into many messages: encoded once, copied as bytes.

use super::value::{Attribute, Attributes, message};
use super::wire::{field_len, put_bytes};
use std::sync::Arc;

/// Attributes with different keys, as they go on the wire. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// Each a `KeyValue` as field 1.
    fields: Arc<[u8]>,
    items: Arc<[Item]>,
}

#[derive(Clone, Debug)]
struct Item {
    key: std::borrow::Cow<'static, str>,
    /// Where the content of its field ends, and how long it is.
    end: usize,
    len: usize,
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
        let mut fields = Vec::with_capacity(64 * unique.len());
        let mut items = Vec::with_capacity(unique.len());
        let mut content = Vec::new();
        for attribute in unique {
            content.clear();
            put_bytes(&mut content, 1, attribute.key.as_bytes());
            message(&mut content, 2, |out| attribute.value.encode(out));
            put_bytes(&mut fields, 1, &content);
            items.push(Item { key: attribute.key, end: fields.len(), len: content.len() });
        }
        Encoded { fields: fields.into(), items: items.into() }
    }
}

impl Encoded {
    /// These and more; of a key that is in both, the one of `self`.
    #[must_use]
    pub fn and(&self, more: &Encoded) -> Encoded {
        let mut fields = self.fields.to_vec();
        let mut items = self.items.to_vec();
        for (key, content) in more.iter() {
            if !self.has(key.as_bytes()) {
                put_bytes(&mut fields, 1, content);
                items.push(Item { key: key.clone(), end: fields.len(), len: content.len() });
            }
        }
        Encoded { fields: fields.into(), items: items.into() }
    }

    /// What was written, read back.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::new(&self.fields, 1, 0)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.items.len()
    }

    /// True when one of them has this key.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.items.iter().any(|item| item.key.as_bytes() == key)
    }

    /// Key and content of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&std::borrow::Cow<'static, str>, &[u8])> {
        self.items.iter().map(|item| {
            let start = item.end.saturating_sub(item.len);
            (&item.key, self.fields.get(start..item.end).unwrap_or_default())
        })
    }

    /// How many bytes all of them take as fields of a number below 16.
    pub(super) fn bytes_len(&self) -> usize {
        self.items.iter().map(|item| field_len(item.len)).sum()
    }

    /// Appends all of them as field `number`.
    pub(super) fn put(&self, out: &mut Vec<u8>, number: u32) {
        for (_, content) in self.iter() {
            put_bytes(out, number, content);
        }
    }
}
