//! One JSON object a line for each failed request.

use super::Report;
use crate::engine::time::rfc3339;
use crate::engine::verdict::{Quote, Source, Ticket, Verdict};
use crate::explain::places::Places;
use crate::explain::{Explained, Totals};
use serde_json::{Value, json};
use std::io::{self, Write};

/// One JSON object a line.
#[derive(Debug, Default)]
pub struct Json;

impl Report for Json {
    fn verdict(&mut self, out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &object(explained.verdict, explained.places))?;
        out.write_all(b"\n")
    }

    fn finish(&mut self, _out: &mut dyn Write, _totals: &Totals) -> io::Result<()> {
        Ok(())
    }
}

/// The object of one verdict; its keys are a contract.
pub fn object(verdict: &Verdict, places: &Places) -> Value {
    let none_if_empty = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    let trace = verdict.link.trace;
    json!({
        "time": rfc3339(verdict.time),
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

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
