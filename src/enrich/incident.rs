//! An incident on the wire: a log record of its own.

use super::unix;
use crate::engine::incident::{Counts, Ended, Incident, State};
use crate::otlp::{Attribute, Encoded, Encoder, NewRecord};
use crate::read::evidence::Nanos;
use crate::read::time::rfc3339;
use std::fmt::Display;

/// Name of the record of an incident.
pub const INCIDENT_EVENT_NAME: &str = "why502.incident";
/// OTLP severity WARN: while it is open.
const SEVERITY_WARN: i32 = 13;
/// OTLP severity INFO: it is over.
const SEVERITY_INFO: i32 = 9;
/// Keys of one count that are written.
const KEYS_MAX: usize = 10;

/// The attributes of an incident, at most 14.
pub fn attributes(incident: &Incident) -> Encoded {
    let tally = &incident.tally;
    let mut out = Encoder::with_capacity(14, 1_024);
    out.text("why502.incident.uid", &incident.label.uid);
    out.text("why502.incident.origin", incident.label.origin.id);
    out.text("why502.incident.state", incident.state.id());
    out.text("why502.incident.first", &rfc3339(incident.first));
    out.int("why502.incident.requests", count(tally.requests));
    out.int("why502.incident.failures", count(tally.failures));
    listed(&mut out, "why502.incident.causes", &tally.causes);
    listed(&mut out, "why502.incident.paths", &tally.paths);
    listed(&mut out, "why502.incident.statuses", &tally.statuses);
    listed(&mut out, "why502.incident.upstreams", &tally.upstreams);
    out.texts("why502.incident.examples", incident.examples.iter().map(|example| [example.uid.as_str(), "", ""]));
    if let Some(ended) = &incident.ended {
        out.text("why502.incident.ended", ended.id());
    }
    let quotes = incident.evidence.iter().map(|quote| [quote.source.id(), ": ", quote.text.as_str()]);
    out.texts("why502.evidence", quotes);
    out.text("why502.hint", incident.label.hint());
    out.finish()
}

/// The incident as a `LogRecord` message of its own. It is of the trace of its first example that has one.
pub fn record(incident: &Incident, now: Nanos) -> Vec<u8> {
    let is_over = incident.state == State::Closed;
    let uid = format!("{}-{}", incident.label.uid, incident.revision);
    let body = incident.sentence();
    let trace = incident.examples.iter().find_map(|example| example.trace);
    NewRecord {
        time: unix(incident.ended.as_ref().and_then(Ended::at).unwrap_or(incident.last)),
        observed_time: unix(now),
        severity_number: if is_over { SEVERITY_INFO } else { SEVERITY_WARN },
        severity_text: if is_over { "INFO" } else { "WARN" },
        body: &body,
        attributes: &[Attribute::new("log.record.uid", uid.as_str())],
        encoded: &[&attributes(incident)],
        texts: &[],
        trace_id: trace.map(|trace| trace.trace_id),
        span_id: trace.and_then(|trace| trace.span_id),
        event_name: INCIDENT_EVENT_NAME,
    }
    .encode()
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// `workers_saturated 18`, the most frequent first; nothing where nothing was counted.
fn listed<K: Ord + Clone + Display>(out: &mut Encoder, key: &'static str, counts: &Counts<K>) {
    let rows = counts.rows();
    let others = counts.others + rows.iter().skip(KEYS_MAX).map(|(_, count)| *count).sum::<u64>();
    let mut words: Vec<String> = rows.iter().take(KEYS_MAX).map(|(key, count)| format!("{key} {count}")).collect();
    words.extend((others > 0).then(|| format!("others {others}")));
    if !words.is_empty() {
        out.texts(key, words.iter().map(|word| [word.as_str(), "", ""]));
    }
}
