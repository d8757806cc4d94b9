//! A span as it stands in a temporary file.
//!
//! ```text
//!  length u32 │ end i64 │ start i64 │ process u64 │ line u64 │ file u32 │ pid u32 │ status u16 │ kind u8 │ flags u8 │
//!  trace id 16 │ span id 8 │ parent span id 8 │ method, target, request id: each length u32 │ bytes
//! ```
//!
//! All little-endian; `length` is of what follows it.

use crate::read::evidence::{Nanos, SpanFacts};

const ERROR: u8 = 1;
const FROM_NGINX: u8 = 2;
const HAS_STATUS: u8 = 4;
const HAS_PID: u8 = 8;
const HAS_PARENT: u8 = 16;

/// A span and where it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) facts: SpanFacts,
    /// Which of the files.
    pub(super) file: u32,
    /// First line of its request.
    pub(super) line: u64,
}

impl Stored {
    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let facts = &self.facts;
        size_of::<Stored>() + facts.method.len() + facts.target.len() + facts.request_id.len()
    }

    /// Appends it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let facts = &self.facts;
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let flags = flag(facts.error, ERROR)
            | flag(facts.from_nginx, FROM_NGINX)
            | flag(facts.http_status.is_some(), HAS_STATUS)
            | flag(facts.pid.is_some(), HAS_PID)
            | flag(facts.parent_span_id.is_some(), HAS_PARENT);
        let start = out.len();
        out.extend([0; 4]);
        out.extend(facts.end.to_le_bytes());
        out.extend(facts.start.to_le_bytes());
        out.extend(facts.process.to_le_bytes());
        out.extend(self.line.to_le_bytes());
        out.extend(self.file.to_le_bytes());
        out.extend(facts.pid.unwrap_or_default().to_le_bytes());
        out.extend(facts.http_status.unwrap_or_default().to_le_bytes());
        out.extend([facts.kind, flags]);
        out.extend(facts.trace_id);
        out.extend(facts.span_id);
        out.extend(facts.parent_span_id.unwrap_or_default());
        for text in [&facts.method, &facts.target, &facts.request_id] {
            out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend(text.as_bytes());
        }
        let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Reads the next and moves past it; `None` when it is not whole.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Stored> {
        let mut ahead = *bytes;
        let length = u32::from_le_bytes(take(&mut ahead)?);
        let (mut body, after) = ahead.split_at_checked(length as usize)?;
        let stored = Stored::read_body(&mut body)?;
        *bytes = after;
        Some(stored)
    }

    fn read_body(body: &mut &[u8]) -> Option<Stored> {
        let end = Nanos::from_le_bytes(take(body)?);
        let start = Nanos::from_le_bytes(take(body)?);
        let process = u64::from_le_bytes(take(body)?);
        let line = u64::from_le_bytes(take(body)?);
        let file = u32::from_le_bytes(take(body)?);
        let pid = u32::from_le_bytes(take(body)?);
        let status = u16::from_le_bytes(take(body)?);
        let [kind, flags] = take(body)?;
        let has = |flag: u8| flags & flag != 0;
        let (trace_id, span_id, parent) = (take(body)?, take(body)?, take(body)?);
        let facts = SpanFacts {
            trace_id,
            span_id,
            parent_span_id: has(HAS_PARENT).then_some(parent),
            kind,
            start,
            end,
            error: has(ERROR),
            http_status: has(HAS_STATUS).then_some(status),
            method: text(body)?,
            target: text(body)?,
            request_id: text(body)?,
            pid: has(HAS_PID).then_some(pid),
            process,
            from_nginx: has(FROM_NGINX),
        };
        Some(Stored { facts, file, line })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = bytes.split_first_chunk::<N>()?;
    *bytes = after;
    Some(*first)
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = u32::from_le_bytes(take(bytes)?);
    let (text, after) = bytes.split_at_checked(length as usize)?;
    *bytes = after;
    String::from_utf8(text.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let empty = Stored { facts: SpanFacts::default(), file: 0, line: 1 };
        let full = Stored {
            facts: SpanFacts {
                trace_id: [1; 16],
                span_id: [2; 8],
                parent_span_id: Some([3; 8]),
                kind: 2,
                start: -4,
                end: Nanos::MAX,
                error: true,
                http_status: Some(502),
                method: "GET".to_owned(),
                target: "/é".to_owned(),
                request_id: "r".to_owned(),
                pid: Some(7),
                process: u64::MAX,
                from_nginx: true,
            },
            file: 5,
            line: u64::MAX,
        };
        let mut bytes = Vec::new();
        empty.write(&mut bytes);
        full.write(&mut bytes);
        let mut rest = bytes.as_slice();
        assert_eq!(Stored::read(&mut rest), Some(empty));
        assert_eq!(Stored::read(&mut rest.get(..rest.len() - 1).unwrap_or_default()), None);
        assert_eq!(Stored::read(&mut rest), Some(full));
        assert!(rest.is_empty());
    }
}
