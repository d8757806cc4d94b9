//! The lines of verdicts as the page shows them, out of the records that are still held.

use super::correlator::HeldRecord;
use super::items::Item;
use crate::engine::correlate::slow::SlowSpan;
use crate::engine::verdict::Source;
use crate::otlp::{AnyValue, Attributes, LogRecord, Surroundings};
use crate::read::evidence::{Evidence, Nanos, Proof, SECOND, Stamp};
use crate::read::text::lossy;
use crate::read::time::nearest_year;
use crate::scan;
use crate::web::details::{KeptLine, LINE_BYTES_MAX};

/// Offsets of time zones are whole quarters of an hour.
const QUARTER: Nanos = 900 * SECOND;
/// Attributes of the record that say where it stands, the most telling first.
const FILES: [&str; 2] = ["log.file.path", "log.file.name"];
/// The same of the resource.
const PLACES: [&str; 5] = ["k8s.pod.name", "container.name", "host.name", "service.name", "container.id"];
/// Values of a structured record that are shown.
const VALUES_MAX: usize = 32;

/// Who wrote a line about a process; `None` for lines of requests, which are held.
pub(super) fn process(evidence: &Evidence) -> Option<Source> {
    match &evidence.proof {
        Proof::Gunicorn(_) => Some(Source::Gunicorn),
        Proof::Host(_) => Some(Source::Host),
        _ => None,
    }
}

/// A line about a process.
pub(super) fn of_process(record: &HeldRecord, now: Nanos) -> KeptLine {
    let evidence = record.evidences.first();
    let near = if record.observed > 0 { record.observed } else { now };
    let at = time(evidence.and_then(|evidence| evidence.stamp), near);
    KeptLine { at: at.or(Some(near)), place: place(&record.bytes, &record.surroundings), text: text(&record.bytes) }
}

/// A line of a request that failed at a time.
pub(super) fn of_request(item: &Item, failed: Nanos) -> KeptLine {
    KeptLine { at: time(item.stamp, failed), place: place(&item.bytes, &item.surroundings), text: text(&item.bytes) }
}

/// A span as the page draws it.
pub(super) fn span(item: &Item) -> Option<SlowSpan> {
    let service = item.surroundings.resource_attributes().get("service.name");
    let service = service.and_then(|value| value.as_string()).unwrap_or_default();
    scan::spans::named(&item.bytes, service)
}

/// A stamp without a zone or a year is of the one in which it is nearest to what it belongs to.
fn time(stamp: Option<Stamp>, near: Nanos) -> Option<Nanos> {
    let stamp = stamp?;
    let nanos = if stamp.year_known { stamp.nanos } else { nearest_year(stamp.nanos, near) };
    if stamp.zone_known {
        return Some(nanos);
    }
    let apart = near.saturating_sub(nanos).saturating_add(QUARTER / 2).div_euclid(QUARTER);
    Some(nanos.saturating_add(apart.saturating_mul(QUARTER)))
}

fn place(record: &[u8], surroundings: &Surroundings) -> String {
    let attributes = LogRecord::read(record).attributes();
    let first = |attributes: Attributes<'_>, names: &[&str]| {
        names.iter().find_map(|name| attributes.get(name)?.as_string().map(|text| cut(&lossy(text), 200)))
    };
    let file = first(attributes, &FILES);
    let place = first(surroundings.resource_attributes(), &PLACES);
    match (place, file) {
        (Some(place), Some(file)) => format!("{place} {file}"),
        (place, file) => place.or(file).unwrap_or_default(),
    }
}

/// The body, or what a parser made of it.
fn text(record: &[u8]) -> String {
    let record = LogRecord::read(record);
    match record.body() {
        Some(AnyValue::String(text)) => cut(&lossy(text), LINE_BYTES_MAX),
        Some(AnyValue::Map(values)) => pairs(values),
        _ => pairs(record.attributes()),
    }
}

fn pairs(values: Attributes<'_>) -> String {
    let mut out = String::new();
    for pair in values.take(VALUES_MAX) {
        let value = match pair.value() {
            AnyValue::String(text) => lossy(text).into_owned(),
            AnyValue::Int(number) => number.to_string(),
            AnyValue::Double(number) => number.to_string(),
            AnyValue::Bool(value) => value.to_string(),
            _ => continue,
        };
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&format!("{}={}", lossy(pair.key), cut(&value, 400)));
    }
    cut(&out, LINE_BYTES_MAX)
}

fn cut(text: &str, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::time::iso_stamp;

    #[test]
    fn stamps_without_a_zone_are_near_what_they_belong_to() {
        let near = iso_stamp("2026-11-25 10:15:33Z").expect("a stamp").nanos;
        let check = |text: &str, zone_known: bool, expected: &str| {
            let stamp = Stamp { zone_known, ..iso_stamp(text).expect("a stamp") };
            assert_eq!(time(Some(stamp), near).map(crate::read::time::rfc3339).as_deref(), Some(expected), "{text}");
        };
        check("2026-11-25 10:15:32", false, "2026-11-25T10:15:32Z");
        check("2026-11-25 15:45:32", false, "2026-11-25T10:15:32Z");
        check("2026-11-25 02:15:40", false, "2026-11-25T10:15:40Z");
        check("2026-11-25 02:15:40", true, "2026-11-25T02:15:40Z");
        assert_eq!(time(None, near), None);
        let hostile = Stamp { nanos: Nanos::MIN, grain: 1, zone_known: false, year_known: true };
        assert!(time(Some(hostile), near).is_some());
    }
}
