//! Changes to the bytes of one log record or span. Fields that a patch does not name are copied as they are.

use super::value::{Attribute, KeyValue, message};
use super::view::LogRecord;
use super::wire::{Fields, put_bytes, put_fixed64};

/// What to change in a log record.
#[derive(Clone, Debug, Default)]
pub struct LogPatch {
    /// Written in place of those with the same key, else added. A key that stood twice stands once afterwards.
    pub attributes: Vec<Attribute>,
    /// Added where the record has no attribute with this key.
    pub attributes_if_missing: Vec<Attribute>,
    /// Set when the record has no valid trace id. Never all zero.
    pub trace_id: Option<[u8; 16]>,
    /// Set when the record has no valid span id and its trace id, old or new, is `trace_id`. Never all zero.
    pub span_id: Option<[u8; 8]>,
}

impl LogPatch {
    /// The patched `LogRecord` message.
    pub fn apply(&self, record: &[u8]) -> Vec<u8> {
        let view = LogRecord::read(record);
        let trace_id = self.trace_id.filter(|_| view.trace_id().is_none());
        let same_trace = trace_id.is_some() || view.trace_id() == self.trace_id;
        let span_id = self.span_id.filter(|_| same_trace && self.trace_id.is_some() && view.span_id().is_none());
        let (attributes, missing) = (&self.attributes, &self.attributes_if_missing);
        let mut upsert = Upsert::new(record, 6, attributes, missing);
        let mut out = upsert.out();
        for field in Fields::new(record) {
            let replaced = (field.number == 9 && trace_id.is_some()) || (field.number == 10 && span_id.is_some());
            if !replaced && !upsert.takes(field.number, field.wire.bytes(), &mut out) {
                out.extend_from_slice(record.get(field.start..field.end).unwrap_or_default());
            }
        }
        upsert.finish(&mut out);
        if let Some(id) = trace_id {
            put_bytes(&mut out, 9, &id);
        }
        if let Some(id) = span_id {
            put_bytes(&mut out, 10, &id);
        }
        out
    }
}

/// What to change in a span.
#[derive(Clone, Debug, Default)]
pub struct SpanPatch {
    /// Written in place of those with the same key, else added. A key that stood twice stands once afterwards.
    pub attributes: Vec<Attribute>,
    /// Added where the span has no attribute with this key: `error.type`.
    pub attributes_if_missing: Vec<Attribute>,
    /// Added after the span's own events, each unless it has one of that name: then it was patched before, by another
    /// why502 on its way.
    pub events: Vec<SpanEvent>,
}

/// A span event to write.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    /// Unix time in nanoseconds.
    pub time: u64,
    /// Name.
    pub name: String,
    /// Attributes; keys differ.
    pub attributes: Vec<Attribute>,
}

impl SpanPatch {
    /// The patched `Span` message.
    pub fn apply(&self, span: &[u8]) -> Vec<u8> {
        let mut upsert = Upsert::new(span, 9, &self.attributes, &self.attributes_if_missing);
        let mut out = upsert.out();
        for field in Fields::new(span) {
            if !upsert.takes(field.number, field.wire.bytes(), &mut out) {
                out.extend_from_slice(span.get(field.start..field.end).unwrap_or_default());
            }
        }
        upsert.finish(&mut out);
        for event in self.events.iter().filter(|event| !has_event(span, &event.name)) {
            message(&mut out, 11, |out| {
                put_fixed64(out, 1, event.time);
                put_bytes(out, 2, event.name.as_bytes());
                for attribute in &event.attributes {
                    attribute.encode(out, 3);
                }
            });
        }
        out
    }
}

fn has_event(span: &[u8], name: &str) -> bool {
    Fields::new(span).filter(|field| field.number == 11).any(|event| {
        let names = Fields::new(event.wire.bytes()).filter(|field| field.number == 2);
        names.last().is_some_and(|field| field.wire.bytes() == name.as_bytes())
    })
}

/// Attributes on their way into a message.
struct Upsert<'p> {
    message_len: usize,
    number: u32,
    /// Each with whether it is written already.
    pending: Vec<(&'p Attribute, bool)>,
}

impl<'p> Upsert<'p> {
    fn new(message: &[u8], number: u32, attributes: &'p [Attribute], missing: &'p [Attribute]) -> Upsert<'p> {
        let mut pending: Vec<(&Attribute, bool)> = Vec::with_capacity(attributes.len() + missing.len());
        // Of two attributes with one key in a patch the later counts, as in a map.
        for attribute in attributes {
            match pending.iter_mut().find(|(other, _)| other.key == attribute.key) {
                Some(slot) => slot.0 = attribute,
                None => pending.push((attribute, false)),
            }
        }
        for attribute in missing {
            let key = attribute.key.as_bytes();
            let planned = pending.iter().any(|(other, _)| other.key == attribute.key);
            let present = Fields::new(message)
                .any(|field| field.number == number && KeyValue::read(field.wire.bytes(), 0).key == key);
            if !planned && !present {
                pending.push((attribute, false));
            }
        }
        Upsert { message_len: message.len(), number, pending }
    }

    fn out(&self) -> Vec<u8> {
        // 64 bytes an attribute: a guess that saves growing, no limit.
        Vec::with_capacity(self.message_len + 64 * self.pending.len() + 32)
    }

    /// True when the field is an attribute that the patch replaces; it is then written, or dropped as a duplicate.
    fn takes(&mut self, number: u32, content: &[u8], out: &mut Vec<u8>) -> bool {
        if number != self.number {
            return false;
        }
        let key = KeyValue::read(content, 0).key;
        let Some((attribute, written)) = self.pending.iter_mut().find(|(other, _)| other.key.as_bytes() == key) else {
            return false;
        };
        if !*written {
            attribute.encode(out, self.number);
            *written = true;
        }
        true
    }

    fn finish(&self, out: &mut Vec<u8>) {
        for (attribute, _) in self.pending.iter().filter(|(_, written)| !written) {
            attribute.encode(out, self.number);
        }
    }
}
