//! Does a view read what prost reads?

use super::super::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::common::v1::{self as common, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;

/// Deeper values are not compared.
const LEAF_DEPTH_MAX: u32 = 16;

pub(super) fn same_attributes<'a>(
    view: impl Iterator<Item = KeyValue<'a>>,
    expected: impl IntoIterator<Item = &'a common::KeyValue>,
) -> bool {
    let empty = common::AnyValue::default();
    let expected: Vec<_> = expected.into_iter().collect();
    let view: Vec<_> = view.collect();
    view.len() == expected.len()
        && view.iter().zip(expected).all(|(view, expected)| {
            view.key == expected.key.as_bytes()
                && same_value(&view.value(), expected.value.as_ref().unwrap_or(&empty), LEAF_DEPTH_MAX)
        })
}

fn same_value(view: &AnyValue<'_>, expected: &common::AnyValue, depth: u32) -> bool {
    match (view, &expected.value) {
        _ if depth == 0 => true,
        (AnyValue::String(text), Some(any_value::Value::StringValue(expected))) => *text == expected.as_bytes(),
        (AnyValue::Bool(yes), Some(any_value::Value::BoolValue(expected))) => yes == expected,
        (AnyValue::Int(number), Some(any_value::Value::IntValue(expected))) => number == expected,
        (AnyValue::Double(number), Some(any_value::Value::DoubleValue(expected))) => {
            number.to_bits() == expected.to_bits()
        }
        (AnyValue::Bytes(bytes), Some(any_value::Value::BytesValue(expected))) => bytes == expected,
        (AnyValue::Array(values), Some(any_value::Value::ArrayValue(expected))) => {
            let values: Vec<_> = values.clone().collect();
            values.len() == expected.values.len()
                && values.iter().zip(&expected.values).all(|(view, value)| same_value(view, value, depth - 1))
        }
        (AnyValue::Map(pairs), Some(any_value::Value::KvlistValue(expected))) => {
            same_attributes(pairs.clone(), &expected.values)
        }
        (AnyValue::Empty, None | Some(any_value::Value::StringValueStrindex(_))) => true,
        _ => false,
    }
}

pub(super) fn same_record(view: &super::super::LogRecord<'_>, expected: &LogRecord) -> bool {
    let body = match (view.body(), &expected.body) {
        (Some(view), Some(expected)) => same_value(&view, expected, LEAF_DEPTH_MAX),
        (view, expected) => view.is_none() && expected.is_none(),
    };
    body && view.time == expected.time_unix_nano
        && view.observed_time == expected.observed_time_unix_nano
        && view.severity_number == expected.severity_number
        && view.severity_text == expected.severity_text.as_bytes()
        && view.flags == expected.flags
        && view.event_name == expected.event_name.as_bytes()
        && view.trace_id() == super::super::view::valid_id(&expected.trace_id)
        && view.span_id() == super::super::view::valid_id(&expected.span_id)
        && same_attributes(view.attributes(), &expected.attributes)
}

pub(super) fn same_span(view: &super::super::Span<'_>, expected: &Span) -> bool {
    let status = expected.status.clone().unwrap_or_default();
    view.trace_id() == super::super::view::valid_id(&expected.trace_id)
        && view.span_id() == super::super::view::valid_id(&expected.span_id)
        && view.parent_span_id() == super::super::view::valid_id(&expected.parent_span_id)
        && view.name == expected.name.as_bytes()
        && view.kind == expected.kind
        && view.start == expected.start_time_unix_nano
        && view.end == expected.end_time_unix_nano
        && view.events == expected.events.len()
        && view.status_code == status.code
        && view.status_message == status.message.as_bytes()
        && same_attributes(view.attributes(), &expected.attributes)
}
