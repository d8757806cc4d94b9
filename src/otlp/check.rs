//! One walk over a request before it is acknowledged: is it what it says, and how much is in it?

use super::Signal;
use super::wire::{BYTES, FIXED32, FIXED64, Field, Fields, Malformed, VARINT};

/// How much a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Resource groups.
    pub resources: u64,
    /// Scope groups.
    pub scopes: u64,
    /// Log records, spans or metrics: what stands in a scope. A metric may have no data points, or some of a kind that this
    /// version does not know.
    pub entries: u64,
    /// Log records, spans or metric data points: what partial success counts.
    pub items: u64,
}

/// Checks the structure of a request down to the fields of its items, and counts.
///
/// Attributes, bodies, events and links are byte ranges that are copied whole, so their inside is not looked at;
/// views of it end early where it is malformed. An empty request is well formed.
///
/// # Errors
/// [`Malformed`] at the first byte that is no OTLP. The sender must not send it again.
pub fn check(signal: Signal, request: &[u8]) -> Result<Counts, Malformed> {
    let mut counts = Counts::default();
    let item_wires = match signal {
        Signal::Logs => &LOG_RECORD,
        Signal::Traces => &SPAN,
        Signal::Metrics => &METRIC,
    };
    let mut resources = Fields::new(request);
    while let Some(resource) = resources.try_next()? {
        if !is_message(&resource, 1)? {
            continue;
        }
        counts.resources += 1;
        let mut scopes = resources.inside(&resource);
        while let Some(scope) = scopes.try_next()? {
            if scope.number != 2 {
                check_surroundings(&scopes, &scope, &RESOURCE)?;
                continue;
            }
            is_message(&scope, 2)?;
            counts.scopes += 1;
            let mut items = scopes.inside(&scope);
            while let Some(item) = items.try_next()? {
                if item.number != 2 {
                    check_surroundings(&items, &item, &SCOPE)?;
                    continue;
                }
                is_message(&item, 2)?;
                counts.entries += 1;
                let fields = items.inside(&item);
                if signal == Signal::Metrics {
                    counts.items += count_data_points(fields)?;
                } else {
                    check_fields(fields, item_wires)?;
                    counts.items += 1;
                }
            }
        }
    }
    Ok(counts)
}

/// The wire type of each field by its number; [`NONE`] for a number that is not in use.
type Wires = [u8; 17];

const NONE: u8 = u8::MAX;

const LOG_RECORD: Wires = [
    NONE, FIXED64, VARINT, BYTES, NONE, BYTES, BYTES, VARINT, FIXED32, BYTES, BYTES, FIXED64, BYTES, NONE, NONE, NONE,
    NONE,
];

const SPAN: Wires = [
    NONE, BYTES, BYTES, BYTES, BYTES, BYTES, VARINT, FIXED64, FIXED64, BYTES, VARINT, BYTES, VARINT, BYTES, VARINT,
    BYTES, FIXED32,
];

const METRIC: Wires =
    [NONE, BYTES, BYTES, BYTES, NONE, BYTES, NONE, BYTES, NONE, BYTES, BYTES, BYTES, BYTES, NONE, NONE, NONE, NONE];

const RESOURCE: Wires =
    [NONE, BYTES, VARINT, BYTES, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE];

const SCOPE: Wires =
    [NONE, BYTES, BYTES, BYTES, VARINT, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE];

/// Numbers of the members of `Metric.data`; each has its data points in field 1.
pub(super) const METRIC_DATA: [u32; 5] = [5, 7, 9, 10, 11];

/// True when the field has this number.
///
/// # Errors
/// When it has the number and is no message.
#[inline]
fn is_message(field: &Field<'_>, number: u32) -> Result<bool, Malformed> {
    if field.number != number {
        return Ok(false);
    }
    check_field(field, BYTES)?;
    Ok(true)
}

#[inline]
fn check_field(field: &Field<'_>, wire: u8) -> Result<(), Malformed> {
    if wire == NONE || wire == field.wire.kind() {
        return Ok(());
    }
    Err(Malformed::WireType { offset: field.start, number: field.number })
}

#[inline]
fn check_fields(mut fields: Fields<'_>, wires: &Wires) -> Result<(), Malformed> {
    while let Some(field) = fields.step()? {
        let wire = wires.get(field.number as usize).copied().unwrap_or(NONE);
        check_field(&field, wire)?;
    }
    Ok(())
}

/// The fields beside the repeated one: 1 is the resource or the scope, 3 the schema URL.
fn check_surroundings(parent: &Fields<'_>, field: &Field<'_>, wires: &Wires) -> Result<(), Malformed> {
    match field.number {
        1 => {
            check_field(field, BYTES)?;
            check_fields(parent.inside(field), wires)
        }
        3 => check_field(field, BYTES),
        _ => Ok(()),
    }
}

fn count_data_points(mut fields: Fields<'_>) -> Result<u64, Malformed> {
    let mut count = 0;
    while let Some(field) = fields.try_next()? {
        let wire = METRIC.get(field.number as usize).copied().unwrap_or(NONE);
        check_field(&field, wire)?;
        if METRIC_DATA.contains(&field.number) {
            let mut points = fields.inside(&field);
            while let Some(point) = points.try_next()? {
                count += u64::from(is_message(&point, 1)?);
            }
        }
    }
    Ok(count)
}
