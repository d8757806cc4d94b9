//! Changes to the bytes of one log record or span. Fields that a patch does not name are copied as they are.

use super::encoded::{Encoded, put_int};
use super::value::{KeyValue, message};
use super::view::valid_id;
use super::wire::{Fields, field_len, put_bytes, put_fixed64};

/// What to change in a log record.
#[derive(Clone, Debug, Default)]
pub struct LogPatch {
    /// Written in place of those with the same key, else added. A key that stood twice stands once afterwards.
    pub attributes: Encoded,
    /// Added where the record has no attribute with this key.
    pub attributes_if_missing: Encoded,
    /// A whole number that is added likewise: one that differs from record to record.
    pub number_if_missing: Option<(&'static str, i64)>,
    /// Set when the record has no valid trace id. Never all zero.
    pub trace_id: Option<[u8; 16]>,
    /// Set when the record has no valid span id and its trace id, old or new, is `trace_id`. Never all zero.
    pub span_id: Option<[u8; 8]>,
}

impl LogPatch {
    /// The patched `LogRecord` message.
    pub fn apply(&self, record: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes_len(record));
        self.apply_to(record, &mut out);
        out
    }

    /// Appends the patched `LogRecord` message.
    pub fn apply_to(&self, record: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.bytes_len(record));
        let number = self.number_if_missing.filter(|(key, _)| !self.has(key.as_bytes()));
        let (mut trace_id, mut span_id) = (None::<[u8; 16]>, None::<[u8; 8]>);
        let (mut is_touched, mut has_number) = (false, false);
        for field in Fields::new(record) {
            match field.number {
                ATTRIBUTES => {
                    let key = KeyValue::read(field.wire.bytes(), 0).key;
                    is_touched |= self.has(key);
                    has_number |= number.is_some_and(|(number, _)| number.as_bytes() == key);
                }
                TRACE_ID => {
                    trace_id = valid_id(field.wire.bytes());
                    is_touched = true;
                }
                SPAN_ID => {
                    span_id = valid_id(field.wire.bytes());
                    is_touched = true;
                }
                _ => {}
            }
        }
        let new_trace_id = self.trace_id.filter(|_| trace_id.is_none());
        let same_trace = new_trace_id.is_some() || trace_id == self.trace_id;
        let new_span_id = self.span_id.filter(|_| same_trace && self.trace_id.is_some() && span_id.is_none());
        if is_touched {
            let mut upsert = Upsert::new(record, ATTRIBUTES, &self.attributes, &self.attributes_if_missing);
            for field in Fields::new(record) {
                let replaced = (field.number == TRACE_ID && new_trace_id.is_some())
                    || (field.number == SPAN_ID && new_span_id.is_some());
                if !replaced && !upsert.takes(field.number, field.wire.bytes(), out) {
                    out.extend_from_slice(record.get(field.start..field.end).unwrap_or_default());
                }
            }
            upsert.finish(out);
        } else {
            // Nothing of it stands in the record yet, as nearly always.
            out.extend_from_slice(record);
            self.attributes.put(out, ATTRIBUTES);
            self.attributes_if_missing.put_without(&self.attributes, out, ATTRIBUTES);
        }
        if let Some((key, number)) = number.filter(|_| !has_number) {
            put_int(out, ATTRIBUTES, key, number);
        }
        if let Some(id) = new_trace_id {
            put_bytes(out, TRACE_ID, &id);
        }
        if let Some(id) = new_span_id {
            put_bytes(out, SPAN_ID, &id);
        }
    }

    fn has(&self, key: &[u8]) -> bool {
        self.attributes.has(key) || self.attributes_if_missing.has(key)
    }

    /// How long a record is at most when it is patched: two ids, and a number with its key.
    fn bytes_len(&self, record: &[u8]) -> usize {
        record.len() + self.attributes.bytes_len() + self.attributes_if_missing.bytes_len() + 96
    }
}

/// Numbers of fields of `LogRecord`.
const ATTRIBUTES: u32 = 6;
const TRACE_ID: u32 = 9;
const SPAN_ID: u32 = 10;

/// What to change in a span.
#[derive(Clone, Debug, Default)]
pub struct SpanPatch {
    /// Written in place of those with the same key, else added. A key that stood twice stands once afterwards.
    pub attributes: Encoded,
    /// Added where the span has no attribute with this key: `error.type`.
    pub attributes_if_missing: Encoded,
    /// Added after the span's own events, each unless it has one of that name: then it was patched before, by another
    /// why502 on its way.
    pub events: Vec<SpanEvent>,
}

/// A span event to write.
#[derive(Clone, Debug)]
pub struct SpanEvent {
    /// Unix time in nanoseconds.
    pub time: u64,
    /// Name.
    pub name: String,
    /// Attributes; keys differ.
    pub attributes: Encoded,
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
                event.attributes.put(out, 3);
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
    pending: Vec<Pending<'p>>,
}

/// One attribute that the message shall have.
struct Pending<'p> {
    key: &'p [u8],
    content: &'p [u8],
    is_written: bool,
}

impl<'p> Upsert<'p> {
    fn new(message: &[u8], number: u32, attributes: &'p Encoded, missing: &'p Encoded) -> Upsert<'p> {
        let all = |encoded: &'p Encoded| {
            encoded.iter().map(|(key, content)| Pending { key: key.as_bytes(), content, is_written: false })
        };
        let mut pending = Vec::with_capacity(attributes.count() + missing.count());
        pending.extend(all(attributes));
        let planned = pending.len();
        pending.extend(all(missing).filter(|one| !attributes.has(one.key)));
        if pending.len() > planned {
            for field in Fields::new(message).filter(|field| field.number == number) {
                let key = KeyValue::read(field.wire.bytes(), 0).key;
                let found = pending.iter().skip(planned).position(|one| one.key == key);
                if let Some(found) = found {
                    pending.remove(planned + found);
                }
            }
        }
        Upsert { message_len: message.len(), number, pending }
    }

    fn out(&self) -> Vec<u8> {
        let added: usize = self.pending.iter().map(|one| field_len(one.content.len())).sum();
        // Two ids.
        Vec::with_capacity(self.message_len + added + 32)
    }

    /// True when the field is an attribute that the patch replaces; it is then written, or dropped as a duplicate.
    fn takes(&mut self, number: u32, content: &[u8], out: &mut Vec<u8>) -> bool {
        if number != self.number {
            return false;
        }
        let key = KeyValue::read(content, 0).key;
        let Some(one) = self.pending.iter_mut().find(|one| one.key == key) else { return false };
        if !one.is_written {
            put_bytes(out, self.number, one.content);
            one.is_written = true;
        }
        true
    }

    fn finish(&self, out: &mut Vec<u8>) {
        for one in self.pending.iter().filter(|one| !one.is_written) {
            put_bytes(out, self.number, one.content);
        }
    }
}
