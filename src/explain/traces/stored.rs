//! A span as it stands in a temporary file.
//!
//! ```text
//!  end i64 │ start i64 │ path u64 │ request id u64 │ query u32 │ process u32 │ pid u32 │ status u16 │ method u8 │ flags u8 │
//!  trace id 16 │ span id 8 │ parent span id 8
//! ```
//!
//! All little-endian.

use crate::engine::correlate::spans::SpanRow;
use crate::read::evidence::Nanos;

/// Bytes of one span.
pub(super) const BYTES: usize = 80;

/// Appends a span.
pub(super) fn write(span: &SpanRow, out: &mut Vec<u8>) {
    out.extend(span.end.to_le_bytes());
    out.extend(span.start.to_le_bytes());
    out.extend(span.path.to_le_bytes());
    out.extend(span.request_id.to_le_bytes());
    out.extend(span.query.to_le_bytes());
    out.extend(span.process.to_le_bytes());
    out.extend(span.pid.to_le_bytes());
    out.extend(span.status.to_le_bytes());
    out.extend([span.method, span.flags]);
    out.extend(span.trace_id);
    out.extend(span.span_id);
    out.extend(span.parent_span_id);
}

/// Reads the next and moves past it; `None` when it is not whole.
pub(super) fn read(bytes: &mut &[u8]) -> Option<SpanRow> {
    let (mut body, after) = bytes.split_at_checked(BYTES)?;
    *bytes = after;
    let body = &mut body;
    Some(SpanRow {
        end: Nanos::from_le_bytes(take(body)?),
        start: Nanos::from_le_bytes(take(body)?),
        path: u64::from_le_bytes(take(body)?),
        request_id: u64::from_le_bytes(take(body)?),
        query: u32::from_le_bytes(take(body)?),
        process: u32::from_le_bytes(take(body)?),
        pid: u32::from_le_bytes(take(body)?),
        status: u16::from_le_bytes(take(body)?),
        method: take::<1>(body)?[0],
        flags: take::<1>(body)?[0],
        trace_id: take(body)?,
        span_id: take(body)?,
        parent_span_id: take(body)?,
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = bytes.split_first_chunk::<N>()?;
    *bytes = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let empty = SpanRow::default();
        let full = SpanRow {
            trace_id: [1; 16],
            span_id: [2; 8],
            parent_span_id: [3; 8],
            start: -4,
            end: Nanos::MAX,
            path: 5,
            request_id: u64::MAX,
            query: 6,
            process: u32::MAX,
            pid: 7,
            status: 502,
            method: 8,
            flags: 9,
        };
        let mut bytes = Vec::new();
        write(&empty, &mut bytes);
        write(&full, &mut bytes);
        assert_eq!(bytes.len(), 2 * BYTES);
        let mut rest = bytes.as_slice();
        assert_eq!(read(&mut rest), Some(empty));
        assert_eq!(read(&mut rest.get(..rest.len() - 1).unwrap_or_default()), None);
        assert_eq!(read(&mut rest), Some(full));
        assert!(rest.is_empty());
    }
}
