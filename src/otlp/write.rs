//! Whole new records and requests, and items on their way again with all that surrounded them.

use super::encoded::{Encoded, put_text};
use super::value::{Attribute, Attributes, message};
use super::view::last_bytes;
use super::wire::{close_field, field_len, put_bytes, put_fixed64, put_long_message, put_number, varint_len};
use std::sync::Arc;

/// A log record of our own.
#[derive(Clone, Debug, Default)]
pub struct NewRecord<'a> {
    /// Unix time in nanoseconds; 0 is unknown.
    pub time: u64,
    /// When it was seen; 0 is unknown.
    pub observed_time: u64,
    /// 1 to 24, 0 is unset.
    pub severity_number: i32,
    /// Empty is unset.
    pub severity_text: &'a str,
    /// A string body.
    pub body: &'a str,
    /// Attributes; keys differ.
    pub attributes: &'a [Attribute],
    /// More attributes, encoded before; their keys differ from those of the others.
    pub encoded: &'a [&'a Encoded],
    /// More attributes that are texts; the same.
    pub texts: &'a [(&'static str, &'a str)],
    /// Never all zero.
    pub trace_id: Option<[u8; 16]>,
    /// Never all zero.
    pub span_id: Option<[u8; 8]>,
    /// Empty is unset.
    pub event_name: &'a str,
}

impl NewRecord<'_> {
    /// The `LogRecord` message.
    pub fn encode(&self) -> Vec<u8> {
        let encoded_len: usize = self.encoded.iter().map(|encoded| encoded.bytes_len()).sum();
        let mut out = Vec::with_capacity(self.body.len() + 64 * self.attributes.len() + encoded_len + 96);
        self.encode_to(&mut out);
        out
    }

    /// Appends the `LogRecord` message.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        if self.time != 0 {
            put_fixed64(out, 1, self.time);
        }
        if self.severity_number != 0 {
            put_number(out, 2, i64::from(self.severity_number).cast_unsigned());
        }
        if !self.severity_text.is_empty() {
            put_bytes(out, 3, self.severity_text.as_bytes());
        }
        message(out, 5, |out| put_bytes(out, 1, self.body.as_bytes()));
        for encoded in self.encoded {
            encoded.put(out, 6);
        }
        for (key, text) in self.texts {
            put_text(out, 6, key, text);
        }
        for attribute in self.attributes {
            attribute.encode(out, 6);
        }
        if let Some(id) = self.trace_id {
            put_bytes(out, 9, &id);
        }
        if let Some(id) = self.span_id {
            put_bytes(out, 10, &id);
        }
        if self.observed_time != 0 {
            put_fixed64(out, 11, self.observed_time);
        }
        if !self.event_name.is_empty() {
            put_bytes(out, 12, self.event_name.as_bytes());
        }
    }
}

/// A `Resource` message.
pub fn resource(attributes: &[Attribute]) -> Vec<u8> {
    let mut out = Vec::new();
    for attribute in attributes {
        attribute.encode(&mut out, 1);
    }
    out
}

/// An `InstrumentationScope` message.
pub fn scope(name: &str, version: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, name.as_bytes());
    put_bytes(&mut out, 2, version.as_bytes());
    out
}

/// All that stands around an item: its resource group and scope group without their children, schema URLs and unknown
/// fields included. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Surroundings {
    resource_shell: Arc<[u8]>,
    scope_shell: Arc<[u8]>,
}

impl Surroundings {
    /// What surrounds the items of a received scope, out of [`super::ResourceGroup::shell`] and
    /// [`super::ScopeGroup::shell`]. Each is a copy of as much as the sender liked to write there: make one for each
    /// group and share it.
    pub fn of(resource_shell: Arc<[u8]>, scope_shell: Arc<[u8]>) -> Surroundings {
        Surroundings { resource_shell, scope_shell }
    }

    /// Surroundings of our own, out of what [`resource`] and [`scope`] give.
    pub fn new(resource: &[u8], scope: &[u8]) -> Surroundings {
        let shell = |content| {
            let mut out = Vec::new();
            put_bytes(&mut out, 1, content);
            out.into()
        };
        Surroundings { resource_shell: shell(resource), scope_shell: shell(scope) }
    }

    /// How long both shells are, in bytes.
    pub fn bytes_len(&self) -> usize {
        self.resource_shell.len() + self.scope_shell.len()
    }

    /// The fields of the resource group but its scopes, as they go on the wire.
    pub fn resource_shell(&self) -> &Arc<[u8]> {
        &self.resource_shell
    }

    /// Attributes of the resource.
    pub fn resource_attributes(&self) -> Attributes<'_> {
        Attributes::new(last_bytes(&self.resource_shell, 1).unwrap_or_default(), 1, 0)
    }

    /// The fields of the scope group but its items, as they go on the wire.
    pub fn scope_shell(&self) -> &Arc<[u8]> {
        &self.scope_shell
    }
}

/// Puts items into a request, one after the other. Neighbours with equal surroundings share them.
///
/// ```
/// use why502::otlp::{Attribute, NewRecord, RequestWriter, Surroundings, resource, scope};
/// let shop = Surroundings::new(&resource(&[Attribute::new("service.name", "shop")]), &scope("why502", "1"));
/// let mut writer = RequestWriter::new();
/// writer.push(&shop, &NewRecord { body: "a line", ..NewRecord::default() }.encode());
/// let request = writer.finish();
/// assert_eq!(why502::otlp::check(why502::otlp::Signal::Logs, &request).map(|counts| counts.items), Ok(1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct RequestWriter {
    /// Whole fields of the request, then the content of the resource group that is open: its shell and whole scope groups,
    /// then the content of the scope group that is open: its shell and items. What is closed gets its length in front.
    bytes: Vec<u8>,
    resource: Option<Open>,
    scope: Option<Open>,
    /// Room that is left in front of a group for its tag and length.
    room: usize,
}

/// A group that is not closed yet.
#[derive(Clone, Debug)]
struct Open {
    shell: Arc<[u8]>,
    /// Where its content begins.
    start: usize,
    /// Bytes before that, which its tag and length take: where they need more or less the whole content is moved.
    room: usize,
}

/// A request with room for so many bytes will have groups of 16 KiB or more, whose lengths have three bytes.
const LONG: usize = 64 << 10;

impl Open {
    fn has_shell(&self, shell: &Arc<[u8]>) -> bool {
        // Items of one group share one shell, so that a long one is not compared for each of them.
        Arc::ptr_eq(&self.shell, shell) || self.shell == *shell
    }
}

impl RequestWriter {
    /// An empty request.
    pub fn new() -> RequestWriter {
        RequestWriter::default()
    }

    /// An empty request with room for so many bytes: one that grows is copied each time it does.
    pub fn with_capacity(bytes: usize) -> RequestWriter {
        let room = if bytes >= LONG { 1 + varint_len(LONG as u64) } else { 0 };
        RequestWriter { bytes: Vec::with_capacity(bytes), room, ..RequestWriter::default() }
    }

    /// True when nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.resource.is_none()
    }

    /// How long the request is so far, in bytes.
    pub fn bytes_len(&self) -> usize {
        self.bytes_len_with_content(0, 0)
    }

    /// How long it would be with so many more bytes in the open scope group, and so many more in the open resource group.
    fn bytes_len_with_content(&self, in_scope: usize, in_resource: usize) -> usize {
        let Some(resource) = &self.resource else { return self.bytes.len() };
        let (closed, scope_len) = match &self.scope {
            Some(scope) => (scope.start - scope.room, field_len(self.bytes.len() - scope.start + in_scope)),
            None => (self.bytes.len(), 0),
        };
        resource.start - resource.room + field_len(closed - resource.start + scope_len + in_resource)
    }

    /// Adds an item in its surroundings.
    pub fn push(&mut self, surroundings: &Surroundings, item: &[u8]) {
        self.push_item(&surroundings.resource_shell, &surroundings.scope_shell, item);
    }

    /// Adds an item that is written where it stays.
    pub fn push_with(&mut self, surroundings: &Surroundings, write: impl FnOnce(&mut Vec<u8>)) {
        self.open_scope(&surroundings.resource_shell, &surroundings.scope_shell);
        put_long_message(&mut self.bytes, 2, write);
    }

    /// How long the request would be with one more item.
    pub(super) fn bytes_len_with_item(
        &self,
        resource_shell: &Arc<[u8]>,
        scope_shell: &Arc<[u8]>,
        item: &[u8],
    ) -> usize {
        let item_len = field_len(item.len());
        let alone_len = field_len(scope_shell.len() + item_len);
        match (&self.resource, &self.scope) {
            (Some(resource), Some(scope)) if resource.has_shell(resource_shell) && scope.has_shell(scope_shell) => {
                self.bytes_len_with_content(item_len, 0)
            }
            _ => self.bytes_len_with(resource_shell, alone_len),
        }
    }

    /// How long the request would be with one more scope group of this content.
    pub(super) fn bytes_len_with_scope(&self, resource_shell: &Arc<[u8]>, scope: &[u8]) -> usize {
        self.bytes_len_with(resource_shell, field_len(scope.len()))
    }

    fn bytes_len_with(&self, resource_shell: &Arc<[u8]>, scope_field_len: usize) -> usize {
        match &self.resource {
            Some(resource) if resource.has_shell(resource_shell) => self.bytes_len_with_content(0, scope_field_len),
            _ => self.bytes_len() + field_len(resource_shell.len() + scope_field_len),
        }
    }

    fn push_item(&mut self, resource_shell: &Arc<[u8]>, scope_shell: &Arc<[u8]>, item: &[u8]) {
        self.open_scope(resource_shell, scope_shell);
        put_bytes(&mut self.bytes, 2, item);
    }

    fn open_scope(&mut self, resource_shell: &Arc<[u8]>, scope_shell: &Arc<[u8]>) {
        self.open_resource(resource_shell);
        if !self.scope.as_ref().is_some_and(|open| open.has_shell(scope_shell)) {
            self.close_scope();
            self.scope = Some(self.open(scope_shell));
        }
    }

    fn open(&mut self, shell: &Arc<[u8]>) -> Open {
        let room = self.room;
        let start = self.bytes.len() + room;
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(shell);
        Open { shell: Arc::clone(shell), start, room }
    }

    /// Adds a whole scope group.
    pub(super) fn push_scope(&mut self, resource_shell: &Arc<[u8]>, scope: &[u8]) {
        self.open_resource(resource_shell);
        self.close_scope();
        put_bytes(&mut self.bytes, 2, scope);
    }

    /// Adds a whole field of a request, tag and length included.
    pub(super) fn push_field(&mut self, field: &[u8]) {
        self.close_resource();
        self.bytes.extend_from_slice(field);
    }

    fn open_resource(&mut self, shell: &Arc<[u8]>) {
        if !self.resource.as_ref().is_some_and(|open| open.has_shell(shell)) {
            self.close_resource();
            self.resource = Some(self.open(shell));
        }
    }

    fn close_scope(&mut self) {
        if let Some(scope) = self.scope.take() {
            self.close(&scope, 2);
        }
    }

    fn close_resource(&mut self) {
        self.close_scope();
        if let Some(resource) = self.resource.take() {
            self.close(&resource, 1);
        }
    }

    /// The next group will be about as long.
    fn close(&mut self, open: &Open, number: u32) {
        let head = close_field(&mut self.bytes, open.start, open.room, number);
        if self.room > 0 {
            self.room = head;
        }
    }

    /// The request.
    pub fn finish(mut self) -> Vec<u8> {
        self.close_resource();
        self.bytes
    }
}
