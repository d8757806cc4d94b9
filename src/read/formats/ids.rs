//! Ids of requests and traces as lines have them.

use crate::read::evidence::TraceContext;

/// False for a line without 32 hexadecimal digits in a row: it names neither a trace nor nginx's `$request_id`.
pub fn may_have_id(line: &[u8]) -> bool {
    let mut run = 0;
    line.iter().any(|byte| {
        run = if byte.is_ascii_hexdigit() { run + 1 } else { 0 };
        run >= 32
    })
}

/// `00-TRACE-SPAN-FLAGS` of W3C trace context.
pub fn trace_context(text: &str) -> Option<TraceContext> {
    let mut parts = text.trim().split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    (version.len() == 2 && version != "ff").then_some(())?;
    trace_ids(trace, span).filter(|context| context.span_id.is_some())
}

/// Trace and span id in hexadecimal; all zero is none.
pub fn trace_ids(trace: &str, span: &str) -> Option<TraceContext> {
    let trace_id: [u8; 16] = hex(trace)?.try_into().ok().filter(|id| *id != [0; 16])?;
    let span_id: Option<[u8; 8]> = hex(span).and_then(|bytes| bytes.try_into().ok()).filter(|id| *id != [0; 8]);
    Some(TraceContext { trace_id, span_id })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
