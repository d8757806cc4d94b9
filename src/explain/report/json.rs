//! One JSON object a line for each failed request.

use super::summary::{Row, Summary};
use super::{Report, when};
use crate::engine::verdict::{Quote, Source, Ticket, Verdict};
use crate::enrich::hex;
use crate::explain::places::Places;
use crate::explain::{Explained, Totals};
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Serializer, Value, json};
use std::io::{self, Write};

/// One JSON object a line: nothing else, so it needs no summary and is written as it comes.
#[derive(Debug, Default)]
pub struct Json;

impl Report for Json {
    fn is_bare(&self) -> bool {
        true
    }

    fn summary(&self, _: &mut dyn Write, _: &Summary, _: &Totals) -> io::Result<()> {
        Ok(())
    }

    fn group(&self, _: &mut dyn Write, _: &Row) -> io::Result<()> {
        Ok(())
    }

    fn request(&self, out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()> {
        let object = object(explained.verdict, explained.places);
        object.serialize(&mut Serializer::with_formatter(&mut *out, Visible))?;
        out.write_all(b"\n")
    }

    fn end(&self, _: &mut dyn Write, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Compact JSON whose strings hold no character that a terminal obeys: JSON itself lets DEL, the second set of control
/// characters and the marks of writing direction stand as they are.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return out.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            if crate::read::text::is_visible(c) {
                write!(out, "{c}")?;
            } else {
                // All of them are in the first plane.
                write!(out, "\\u{:04x}", c as u32)?;
            }
        }
        Ok(())
    }
}

/// The object of one verdict; its keys are a contract.
pub fn object(verdict: &Verdict, places: &Places) -> Value {
    let none_if_empty = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    let trace = verdict.link.trace;
    json!({
        "time": when(verdict.time),
        "status": verdict.status,
        "method": none_if_empty(&verdict.method),
        "target": none_if_empty(&verdict.target),
        "client": none_if_empty(&verdict.client),
        "cause": verdict.cause.id,
        "category": verdict.cause.category.id(),
        "symptom": verdict.symptom.id(),
        "confidence": verdict.confidence,
        "evidence": verdict.evidence.iter().map(|quote| evidence(quote, places)).collect::<Vec<_>>(),
        "records": verdict.records.iter().map(|(source, ticket)| record(*source, *ticket, places)).collect::<Vec<_>>(),
        "upstream": verdict.upstream,
        "attempts": verdict.attempts,
        "worker_pid": verdict.worker_pid,
        "trace_id": trace.map(|trace| hex(&trace.trace_id)),
        "span_id": trace.and_then(|trace| trace.span_id).map(|id| hex(&id)),
        "link": {
            "method": verdict.link.method.id(),
            "confidence": verdict.link.confidence,
            "candidates": verdict.link.candidates.iter().map(|id| hex(id)).collect::<Vec<_>>(),
        },
        "hint": verdict.cause.hint,
        "uid": verdict.uid,
        "revision": verdict.revision,
    })
}

fn evidence(quote: &Quote, places: &Places) -> Value {
    let place = quote.ticket.and_then(|ticket| places.get(ticket));
    json!({
        "source": quote.source.id(),
        "file": place.map(|place| place.file.as_ref()),
        "line": place.map(|place| place.line),
        "text": quote.text,
    })
}

fn record(source: Source, ticket: Ticket, places: &Places) -> Value {
    let place = places.get(ticket);
    json!({
        "source": source.id(),
        "file": place.map(|place| place.file.as_ref()),
        "line": place.map(|place| place.line),
    })
}
