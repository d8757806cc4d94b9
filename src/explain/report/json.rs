//! One JSON object a line for each failed request, each failure that joins none, and each incident when it is over.

use super::summary::{Row, Summary};
use super::{Again, Report, when};
use crate::engine::incident::{Counts, Example, Incident};
use crate::engine::verdict::{self, GoodRequest, Quote, Source, Ticket};
use crate::enrich::hex;
use crate::explain::places::{Place, Places};
use crate::explain::{Explained, Outage, Totals};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// A usual line: it grows where it is longer.
const LINE_BYTES: usize = 2_048;

/// One JSON object a line: nothing else, so it needs no summary.
#[derive(Debug, Default)]
pub struct Json;

impl Report for Json {
    fn is_bare(&self) -> bool {
        true
    }

    fn head(&self, _: &mut dyn Write, _: &Summary, _: &Totals) -> io::Result<()> {
        Ok(())
    }

    fn incident(&self, out: &mut dyn Write, outage: &Outage) -> io::Result<()> {
        // Who takes the lines that begin with `{` has the failures alone, as it was before there were incidents.
        out.write_all(b" ")?;
        line(out, &of_incident(outage))
    }

    fn more_incidents(&self, _: &mut dyn Write, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn group(&self, _: &mut dyn Write, _: &Row) -> io::Result<()> {
        Ok(())
    }

    fn request(&self, out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()> {
        line(out, &object(explained))
    }

    fn good(&self, out: &mut dyn Write, good: &GoodRequest, places: &Places) -> io::Result<()> {
        line(out, &good_object(good, places))
    }

    fn again(&self, _: &mut dyn Write, _: Option<Again>) -> io::Result<()> {
        Ok(())
    }

    fn end(&self, _: &mut dyn Write, _: &Summary, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// The object of one verdict.
pub fn value(explained: &Explained<'_>) -> serde_json::Value {
    serde_json::to_value(object(explained)).unwrap_or_default()
}

/// The object of one incident.
pub fn incident_value(outage: &Outage) -> serde_json::Value {
    serde_json::to_value(of_incident(outage)).unwrap_or_default()
}

fn line(out: &mut dyn Write, object: &impl Serialize) -> io::Result<()> {
    let mut line = Vec::with_capacity(LINE_BYTES);
    object.serialize(&mut Serializer::with_formatter(&mut line, Visible))?;
    line.push(b'\n');
    out.write_all(&line)
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
    completeness: &'static str,
    confidence: f64,
    considered: Vec<Considered>,
    evidence: Vec<Evidence<'a>>,
    hint: &'static str,
    /// The uid of its incident.
    incident: Option<&'a str>,
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
    #[serde(rename = "type")]
    kind: &'static str,
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
struct Considered {
    cause: &'static str,
    confidence: f64,
    rule: &'static str,
}

#[derive(Serialize)]
struct Link {
    candidates: Vec<String>,
    confidence: f64,
    /// What speaks for the likeliest one: logarithms of odds by feature; not there where an id names it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    log_odds: BTreeMap<&'static str, f64>,
    method: &'static str,
}

impl Link {
    fn of(link: &verdict::Link) -> Link {
        Link {
            candidates: link.candidates.iter().map(|id| hex(id)).collect(),
            confidence: link.confidence,
            log_odds: link.odds.iter().copied().collect(),
            method: link.method.id(),
        }
    }
}

/// The object of a good request. Its keys are a contract as well.
#[derive(Serialize)]
struct Good<'a> {
    cause: Option<&'static str>,
    client: Option<&'a str>,
    link: Link,
    method: Option<&'a str>,
    records: Vec<Record<'a>>,
    span_id: Option<String>,
    status: u16,
    target: Option<&'a str>,
    time: Option<String>,
    trace_id: Option<String>,
    r#type: &'static str,
}

fn good_object<'a>(good: &'a GoodRequest, places: &'a Places) -> Good<'a> {
    let trace = good.link.trace;
    Good {
        cause: None,
        client: none_if_empty(&good.client),
        link: Link::of(&good.link),
        method: none_if_empty(&good.method),
        records: good.records.iter().map(|(source, ticket)| record(*source, *ticket, places)).collect(),
        span_id: trace.and_then(|trace| trace.span_id).map(|id| hex(&id)),
        status: good.status,
        target: none_if_empty(&good.target),
        time: when(good.time),
        trace_id: trace.map(|trace| hex(&trace.trace_id)),
        r#type: "good",
    }
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
        completeness: verdict.completeness.id(),
        confidence: verdict.confidence,
        considered: verdict.considered.iter().map(considered).collect(),
        evidence: verdict.evidence.iter().map(|quote| evidence(quote, places)).collect(),
        hint: verdict.hint(),
        incident: verdict.incident.as_ref().map(|label| label.uid.as_str()),
        link: Link::of(&verdict.link),
        method: none_if_empty(&verdict.method),
        records: verdict.records.iter().map(|(source, ticket)| record(*source, *ticket, places)).collect(),
        revision: verdict.revision,
        span_id: trace.and_then(|trace| trace.span_id).map(|id| hex(&id)),
        status: verdict.status,
        symptom: verdict.symptom.id(),
        target: none_if_empty(&verdict.target),
        time: when(verdict.time),
        trace_id: trace.map(|trace| hex(&trace.trace_id)),
        kind: if verdict.is_request() { "request" } else { "failure" },
        uid: &verdict.uid,
        upstream: verdict.upstream.as_deref(),
        worker_pid: verdict.worker_pid,
    }
}

/// The object of one incident. It has no `cause`: its `origin` is one, and `counts` has all.
#[derive(Serialize)]
struct OfIncident<'a> {
    began_with: Option<&'a str>,
    counts: CountsOf,
    ended: Option<EndedOf>,
    evidence: Option<Evidence<'a>>,
    examples: Vec<ExampleOf<'a>>,
    failures: u64,
    first: Option<String>,
    hint: &'static str,
    last: Option<String>,
    origin: &'static str,
    requests: u64,
    sentence: String,
    #[serde(rename = "type")]
    kind: &'static str,
    uid: &'a str,
}

#[derive(Serialize)]
struct CountsOf {
    cause: BTreeMap<String, u64>,
    path: BTreeMap<String, u64>,
    status: BTreeMap<String, u64>,
    upstream: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct EndedOf {
    at: Option<String>,
    by: &'static str,
    text: String,
}

#[derive(Serialize)]
struct ExampleOf<'a> {
    cause: &'static str,
    method: Option<&'a str>,
    span_id: Option<String>,
    status: Option<u16>,
    target: Option<&'a str>,
    time: Option<String>,
    trace_id: Option<String>,
    uid: &'a str,
}

/// Keys past the limit stand under this name.
const OTHERS: &str = "others";

fn counted<K: Ord + Clone + ToString>(counts: &Counts<K>) -> BTreeMap<String, u64> {
    let mut map: BTreeMap<String, u64> =
        counts.rows().into_iter().map(|(key, count)| (key.to_string(), count)).collect();
    if counts.others > 0 {
        *map.entry(OTHERS.to_owned()).or_default() += counts.others;
    }
    map
}

fn of_incident(outage: &Outage) -> OfIncident<'_> {
    let incident: &Incident = &outage.incident;
    let tally = &incident.tally;
    let place = outage.place.as_deref();
    OfIncident {
        began_with: incident.began_with.as_deref(),
        counts: CountsOf {
            cause: counted(&tally.causes),
            path: counted(&tally.paths),
            status: counted(&tally.statuses),
            upstream: counted(&tally.upstreams),
        },
        ended: incident.ended.as_ref().map(|ended| EndedOf {
            at: ended.at().and_then(when),
            by: ended.id(),
            text: ended.words(),
        }),
        evidence: incident.evidence.as_ref().map(|quote| quoted(quote, place)),
        examples: incident.examples.iter().map(of_example).collect(),
        failures: tally.failures,
        first: when(incident.first),
        hint: incident.label.hint(),
        last: when(incident.last),
        origin: incident.label.origin.id,
        requests: tally.requests,
        sentence: incident.sentence(),
        kind: "incident",
        uid: &incident.label.uid,
    }
}

fn of_example(example: &Example) -> ExampleOf<'_> {
    ExampleOf {
        cause: example.cause.id,
        method: none_if_empty(&example.method),
        span_id: example.trace.and_then(|trace| trace.span_id).map(|id| hex(&id)),
        status: example.status,
        target: none_if_empty(&example.target),
        time: when(example.time),
        trace_id: example.trace.map(|trace| hex(&trace.trace_id)),
        uid: &example.uid,
    }
}

fn considered(claim: &verdict::Considered) -> Considered {
    Considered { cause: claim.cause.id, confidence: claim.confidence, rule: claim.rule }
}

fn none_if_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn evidence<'a>(quote: &'a Quote, places: &'a Places) -> Evidence<'a> {
    quoted(quote, quote.ticket.and_then(|ticket| places.get(ticket)))
}

fn quoted<'a>(quote: &'a Quote, place: Option<&'a Place>) -> Evidence<'a> {
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
