//! Views over one request: borrowed, zero copy. The shape stands at the head of [`crate::otlp`].

use super::value::{AnyValue, Attributes, KeyValue};
use super::wire::{Fields, Wire};
use std::ops::Range;
use std::sync::Arc;

/// An export request of any signal.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// A view over the whole message.
    pub fn new(bytes: &'a [u8]) -> Request<'a> {
        Request { bytes }
    }

    /// `resource_logs`, `resource_spans` or `resource_metrics`.
    pub fn resources(&self) -> impl Iterator<Item = ResourceGroup<'a>> + Clone + use<'a> {
        let bytes = self.bytes;
        Fields::new(bytes)
            .filter(|field| field.number == 1)
            .map(move |field| ResourceGroup { request: bytes, range: field.content_start()..field.end })
    }

    /// All items in order, without what surrounds them.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + Clone + use<'a> {
        self.resources().flat_map(|resource| resource.scopes()).flat_map(|scope| scope.items())
    }
}

/// `ResourceLogs`, `ResourceSpans` or `ResourceMetrics`.
///
/// Each method walks over the group anew, past all its scopes: ask once for a group, not once for an item.
#[derive(Clone, Debug)]
pub struct ResourceGroup<'a> {
    request: &'a [u8],
    range: Range<usize>,
}

impl<'a> ResourceGroup<'a> {
    /// Where its content stands in the request: without tag and length.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Its content.
    pub fn bytes(&self) -> &'a [u8] {
        self.request.get(self.range.clone()).unwrap_or_default()
    }

    /// The `Resource` message; `None` when it is missing, which is not the same as empty.
    pub fn resource(&self) -> Option<&'a [u8]> {
        last_bytes(self.bytes(), 1)
    }

    /// Attributes of the resource.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.resource().unwrap_or_default(), 1, 0)
    }

    /// Schema of the resource; empty when unset.
    pub fn schema_url(&self) -> &'a [u8] {
        last_bytes(self.bytes(), 3).unwrap_or_default()
    }

    /// `scope_logs`, `scope_spans` or `scope_metrics`.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeGroup<'a>> + Clone + use<'a> {
        let request = self.request;
        Fields::at(request, &self.range)
            .filter(|field| field.number == 2)
            .map(move |field| ScopeGroup { request, range: field.content_start()..field.end })
    }

    /// All of its content but the scope groups, as written. A copy: ask once and share it among the scopes.
    pub fn shell(&self) -> Arc<[u8]> {
        without(self.bytes(), 2)
    }
}

/// `ScopeLogs`, `ScopeSpans` or `ScopeMetrics`.
///
/// Each method walks over the group anew, past all its items: ask once for a group, not once for an item.
#[derive(Clone, Debug)]
pub struct ScopeGroup<'a> {
    request: &'a [u8],
    range: Range<usize>,
}

impl<'a> ScopeGroup<'a> {
    /// Where its content stands in the request: without tag and length.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Its content.
    pub fn bytes(&self) -> &'a [u8] {
        self.request.get(self.range.clone()).unwrap_or_default()
    }

    /// The `InstrumentationScope` message; `None` when it is missing, which is not the same as empty.
    pub fn scope(&self) -> Option<&'a [u8]> {
        last_bytes(self.bytes(), 1)
    }

    /// Name of the scope; empty when unset.
    pub fn name(&self) -> &'a [u8] {
        last_bytes(self.scope().unwrap_or_default(), 1).unwrap_or_default()
    }

    /// Version of the scope; empty when unset.
    pub fn version(&self) -> &'a [u8] {
        last_bytes(self.scope().unwrap_or_default(), 2).unwrap_or_default()
    }

    /// Attributes of the scope.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.scope().unwrap_or_default(), 3, 0)
    }

    /// Schema of the items; empty when unset.
    pub fn schema_url(&self) -> &'a [u8] {
        last_bytes(self.bytes(), 3).unwrap_or_default()
    }

    /// Its log records, spans or metrics.
    pub fn items(&self) -> Items<'a> {
        Items { request: self.request, fields: Fields::at(self.request, &self.range) }
    }

    /// All of its content but the items, as written. A copy: ask once and share it among the items.
    pub fn shell(&self) -> Arc<[u8]> {
        without(self.bytes(), 2)
    }
}

/// The items of one scope group in order.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    request: &'a [u8],
    fields: Fields<'a>,
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        let field = self.fields.find(|field| field.number == 2)?;
        Some(Item { request: self.request, start: field.content_start(), bytes: field.wire.bytes() })
    }
}

/// The bytes of one log record, span or metric.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    request: &'a [u8],
    start: usize,
    /// Its content: without tag and length.
    pub bytes: &'a [u8],
}

impl<'a> Item<'a> {
    /// Where its content stands in the request; [`super::Edits`] names items by it.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.bytes.len()
    }

    /// The request that it stands in.
    pub fn request(&self) -> &'a [u8] {
        self.request
    }

    /// Reads it as a log record.
    #[inline]
    pub fn log_record(&self) -> LogRecord<'a> {
        LogRecord::read(self.bytes)
    }

    /// Reads it as a span.
    #[inline]
    pub fn span(&self) -> Span<'a> {
        Span::read(self.bytes)
    }
}

/// A log record: one walk over its top-level fields; attributes and body are read when asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogRecord<'a> {
    bytes: &'a [u8],
    /// `time_unix_nano`; 0 is unknown.
    pub time: u64,
    /// `observed_time_unix_nano`; 0 is unknown.
    pub observed_time: u64,
    /// `severity_number`; 0 is unset, 1 to 24 are defined.
    pub severity_number: i32,
    /// `severity_text`; empty when unset.
    pub severity_text: &'a [u8],
    /// The `AnyValue` message of the body.
    body: Option<&'a [u8]>,
    /// `flags`; the low 8 bits are W3C trace flags.
    pub flags: u32,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    /// `event_name`; empty when unset.
    pub event_name: &'a [u8],
}

impl<'a> LogRecord<'a> {
    /// Reads the bytes of a `LogRecord` message.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> LogRecord<'a> {
        let mut record = LogRecord { bytes, ..LogRecord::default() };
        for field in Fields::new(bytes) {
            match field.number {
                1 => record.time = field.wire.number(),
                2 => record.severity_number = field.wire.number() as i32,
                3 => record.severity_text = field.wire.bytes(),
                5 => record.body = Some(field.wire.bytes()),
                8 => record.flags = field.wire.number() as u32,
                9 => record.trace_id = field.wire.bytes(),
                10 => record.span_id = field.wire.bytes(),
                11 => record.observed_time = field.wire.number(),
                12 => record.event_name = field.wire.bytes(),
                _ => {}
            }
        }
        record
    }

    /// The whole message.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The body; `None` when it is missing, which is not the same as empty.
    pub fn body(&self) -> Option<AnyValue<'a>> {
        self.body.map(AnyValue::read)
    }

    /// The body if it is a string: the usual log line, without a detour.
    #[inline]
    pub fn body_string(&self) -> Option<&'a [u8]> {
        match self.body.map(AnyValue::read) {
            Some(AnyValue::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Its attributes in order.
    #[inline]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes, 6, 0)
    }

    /// The trace id; `None` when it is missing or invalid: all zero or not 16 bytes.
    pub fn trace_id(&self) -> Option<[u8; 16]> {
        valid_id(self.trace_id)
    }

    /// The span id; `None` when it is missing or invalid: all zero or not 8 bytes.
    pub fn span_id(&self) -> Option<[u8; 8]> {
        valid_id(self.span_id)
    }
}

/// A span: one walk over its top-level fields; attributes are read when asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span<'a> {
    bytes: &'a [u8],
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_span_id: &'a [u8],
    /// `name`.
    pub name: &'a [u8],
    /// `kind`: 0 unset, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    /// `start_time_unix_nano`.
    pub start: u64,
    /// `end_time_unix_nano`.
    pub end: u64,
    /// `status.code`: 0 unset, 1 ok, 2 error.
    pub status_code: i32,
    /// `status.message`; empty when unset.
    pub status_message: &'a [u8],
    /// How many span events it has.
    pub events: usize,
}

impl<'a> Span<'a> {
    /// Reads the bytes of a `Span` message.
    pub fn read(bytes: &'a [u8]) -> Span<'a> {
        Span::read_with(bytes, |_| false, |_| {})
    }

    /// The same, with its attributes on the way: one walk instead of two. They are left out as soon as `of_interest` says no
    /// to the kind; a span whose kind stands behind its attributes is asked about with kind 0.
    #[inline]
    pub fn read_with(
        bytes: &'a [u8],
        of_interest: impl Fn(i32) -> bool,
        mut attribute: impl FnMut(KeyValue<'a>),
    ) -> Span<'a> {
        let mut span = Span { bytes, ..Span::default() };
        let mut fields = Fields::new(bytes);
        while let Ok(Some(field)) = fields.step() {
            match (field.number, field.wire) {
                (1, Wire::Bytes(id)) => span.trace_id = id,
                (2, Wire::Bytes(id)) => span.span_id = id,
                (4, Wire::Bytes(id)) => span.parent_span_id = id,
                (5, Wire::Bytes(name)) => span.name = name,
                (6, wire) => span.kind = wire.number() as i32,
                (7, wire) => span.start = wire.number(),
                (8, wire) => span.end = wire.number(),
                (9, Wire::Bytes(pair)) if of_interest(span.kind) => attribute(KeyValue::read(pair, 0)),
                (11, _) => span.events += 1,
                (15, Wire::Bytes(status)) => {
                    for field in Fields::new(status) {
                        match field.number {
                            2 => span.status_message = field.wire.bytes(),
                            3 => span.status_code = field.wire.number() as i32,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        span
    }

    /// The whole message.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its attributes in order.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes, 9, 0)
    }

    /// The trace id; `None` when it is missing or invalid: all zero or not 16 bytes.
    pub fn trace_id(&self) -> Option<[u8; 16]> {
        valid_id(self.trace_id)
    }

    /// The span id; `None` when it is missing or invalid: all zero or not 8 bytes.
    pub fn span_id(&self) -> Option<[u8; 8]> {
        valid_id(self.span_id)
    }

    /// The parent; `None` for a root span, and when it is invalid.
    pub fn parent_span_id(&self) -> Option<[u8; 8]> {
        valid_id(self.parent_span_id)
    }
}

/// The id, if it has its length and is not all zero (OTLP `logs.proto`, `trace.proto`: anything else is invalid).
pub(super) fn valid_id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    <[u8; N]>::try_from(bytes).ok().filter(|id| id.iter().any(|byte| *byte != 0))
}

/// The last occurrence of a length-delimited field.
pub(super) fn last_bytes(message: &[u8], number: u32) -> Option<&[u8]> {
    Fields::new(message).filter(|field| field.number == number).last().map(|field| field.wire.bytes())
}

/// A copy of the message without the fields of one number.
pub(super) fn without(message: &[u8], number: u32) -> Arc<[u8]> {
    let mut out = Vec::new();
    for field in Fields::new(message).filter(|field| field.number != number) {
        out.extend_from_slice(message.get(field.start..field.end).unwrap_or_default());
    }
    out.into()
}
