//! Spans in sight: a row of fixed size for each, and the ring that keeps them.

mod bucket;
mod ring;

use crate::read::evidence::Nanos;
use crate::read::text::{fold, hash64, split_at};
pub use ring::Spans;

/// Rows that are looked at of one trace; a trace may have thousands, a request's own are among the first.
pub const PER_TRACE_MAX: usize = 64;

/// What the engine keeps of a server or client span: numbers and hashes, no text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanRow {
    /// Never all zero.
    pub trace_id: [u8; 16],
    /// Never all zero.
    pub span_id: [u8; 8],
    /// All zero for a root span.
    pub parent_span_id: [u8; 8],
    /// Start.
    pub start: Nanos,
    /// End.
    pub end: Nanos,
    /// [`hash_text`] of the path; 0 when absent.
    pub path: u64,
    /// [`hash_text`] of `http.request.header.x_request_id`; 0 when absent.
    pub request_id: u64,
    /// [`hash_query`] of what follows the `?`; 0 where the target has none.
    pub query: u32,
    /// Hash of the resource: tells processes apart.
    pub process: u32,
    /// `process.pid` of the resource, the Gunicorn worker; 0 when absent.
    pub pid: u32,
    /// `http.response.status_code` or `http.status_code`; 0 when absent: an exception left a server span without one.
    pub status: u16,
    /// [`method_code`].
    pub method: u8,
    /// [`SpanRow::SERVER`], [`SpanRow::ERROR`] and [`SpanRow::FROM_NGINX`].
    pub flags: u8,
}

impl SpanRow {
    /// OTLP `SpanKind` SERVER; a client span otherwise.
    pub const SERVER: u8 = 1;
    /// OTLP `Status.code` ERROR.
    pub const ERROR: u8 = 2;
    /// The scope is nginx's own module (`ngx_otel_module` names its scope `nginx`).
    pub const FROM_NGINX: u8 = 4;

    /// The same span for a request with this method and target; either may be empty.
    pub fn asking(mut self, method: &str, target: &str) -> SpanRow {
        self.method = method_code(method.as_bytes());
        (self.path, self.query) = hash_target(target);
        self
    }

    /// True for a server span.
    pub fn is_server(&self) -> bool {
        self.flags & SpanRow::SERVER != 0
    }

    /// True for a span of nginx's own module.
    pub fn is_from_nginx(&self) -> bool {
        self.flags & SpanRow::FROM_NGINX != 0
    }

    /// The status that it was answered with.
    pub fn status(&self) -> Option<u16> {
        (self.status != 0).then_some(self.status)
    }

    /// True when it tells of a failure itself: an error, a status of 500 or above, or a server span of HTTP without a
    /// status, which an exception left.
    pub fn failed(&self) -> bool {
        self.flags & SpanRow::ERROR != 0
            || self.status >= 500
            || (self.is_server() && self.status == 0 && self.method != 0)
    }
}

/// A number for a method: 0 for none. Those of RFC 9110 and PATCH have numbers of their own, all others share the rest.
pub fn method_code(method: &[u8]) -> u8 {
    match method {
        b"" => 0,
        b"GET" => 1,
        b"POST" => 2,
        b"HEAD" => 3,
        b"PUT" => 4,
        b"DELETE" => 5,
        b"PATCH" => 6,
        b"OPTIONS" => 7,
        b"CONNECT" => 8,
        b"TRACE" => 9,
        other => 16 + (hash_text(other) % 240) as u8,
    }
}

/// Path and query of a target as rows have them.
pub fn hash_target(target: &str) -> (u64, u32) {
    match split_at(target, b'?') {
        Some((path, query)) => (hash_text(path.as_bytes()), hash_query(query.as_bytes())),
        None => (hash_text(target.as_bytes()), 0),
    }
}

/// A query as rows have it, also an empty one: never 0.
pub fn hash_query(query: &[u8]) -> u32 {
    (hash_text(query) as u32).max(1)
}

/// A text as rows have it: 0 for an empty one alone.
pub fn hash_text(text: &[u8]) -> u64 {
    if text.is_empty() { 0 } else { hash64(text).max(1) }
}

/// A trace id as a number.
pub fn hash_id(trace_id: &[u8; 16]) -> u64 {
    let both = u128::from_le_bytes(*trace_id);
    fold(fold(both as u64) ^ (both >> 64) as u64)
}

/// The trace id that 32 hexadecimal digits are.
pub fn parse_trace_id(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 32 {
        return None;
    }
    let mut id = [0_u8; 16];
    for (index, pair) in bytes.chunks_exact(2).enumerate() {
        let high = (*pair.first()? as char).to_digit(16)?;
        let low = (*pair.get(1)? as char).to_digit(16)?;
        *id.get_mut(index)? = (high * 16 + low) as u8;
    }
    (id != [0; 16]).then_some(id)
}

#[cfg(test)]
mod tests;
