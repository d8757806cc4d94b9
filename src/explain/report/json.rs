//! One JSON object a line for each failed request.

use super::summary::{Row, Summary};
use super::{Report, when};
use crate::engine::verdict::{Quote, Source, Ticket};
use crate::enrich::hex;
use crate::explain::places::Places;
use crate::explain::{Explained, Totals};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use std::io::{self, Write};

/// A usual line: it grows where it is longer.
const LINE_BYTES: usize = 2_048;

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
        let mut line = Vec::with_capacity(LINE_BYTES);
        object(explained).serialize(&mut Serializer::with_formatter(&mut line, Visible))?;
        line.push(b'\n');
        out.write_all(&line)
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

/// The object of one verdict. Its keys are a contract, and stand in alphabetical order.
#[derive(Serialize)]
struct Object<'a> {
    attempts: u32,
    category: &'static str,
    cause: &'static str,
    client: Option<&'a str>,
    confidence: f64,
    evidence: Vec<Evidence<'a>>,
    hint: &'static str,
    link: Link,
    method: Option<&'a str>,
    records: Vec<Record<'a>>,
    revision: u32,
    span_id: Option<String>,
    status: Option<u16>,
    symptom: &'static str,
    target: Option<&'a str>,
    time: Option<String>,
    trace_id: Option<String>,
    uid: &'a str,
    upstream: Option<&'a str>,
    worker_pid: Option<u32>,
}

#[derive(Serialize)]
struct Evidence<'a> {
    file: Option<&'a str>,
    line: Option<u64>,
    source: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Link {
    candidates: Vec<String>,
    confidence: f64,
    method: &'static str,
}

#[derive(Serialize)]
struct Record<'a> {
    file: Option<&'a str>,
    line: Option<u64>,
    source: &'static str,
}

fn object<'a>(explained: &Explained<'a>) -> Object<'a> {
    let Explained { verdict, places } = *explained;
    let trace = verdict.link.trace;
    Object {
        attempts: verdict.attempts,
        category: verdict.cause.category.id(),
        cause: verdict.cause.id,
        client: none_if_empty(&verdict.client),
        confidence: verdict.confidence,
        evidence: verdict.evidence.iter().map(|quote| evidence(quote, places)).collect(),
        hint: verdict.hint(),
        link: Link {
            candidates: verdict.link.candidates.iter().map(|id| hex(id)).collect(),
            confidence: verdict.link.confidence,
            method: verdict.link.method.id(),
        },
        method: none_if_empty(&verdict.method),
        records: verdict.records.iter().map(|(source, ticket)| record(*source, *ticket, places)).collect(),
        revision: verdict.revision,
        span_id: trace.and_then(|trace| trace.span_id).map(|id| hex(&id)),
        status: verdict.status,
        symptom: verdict.symptom.id(),
        target: none_if_empty(&verdict.target),
        time: when(verdict.time),
        trace_id: trace.map(|trace| hex(&trace.trace_id)),
        uid: &verdict.uid,
        upstream: verdict.upstream.as_deref(),
        worker_pid: verdict.worker_pid,
    }
}

fn none_if_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn evidence<'a>(quote: &'a Quote, places: &'a Places) -> Evidence<'a> {
    let place = quote.ticket.and_then(|ticket| places.get(ticket));
    Evidence {
        file: place.map(|place| place.file.as_ref()),
        line: place.map(|place| place.line),
        source: quote.source.id(),
        text: &quote.text,
    }
}

fn record(source: Source, ticket: Ticket, places: &Places) -> Record<'_> {
    let place = places.get(ticket);
    Record { file: place.map(|place| place.file.as_ref()), line: place.map(|place| place.line), source: source.id() }
}
