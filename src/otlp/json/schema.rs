//! The fields of OTLP's messages as JSON names them: one table that both directions read.
//!
//! Source: `opentelemetry/proto/{common,resource,logs,trace,metrics}/v1/*.proto` of opentelemetry-proto 1.9, with the
//! collector's three requests on top.

use super::super::Signal;
use super::super::wire::{BYTES, FIXED32, FIXED64, VARINT};

/// A message and its fields in the order in which they are written.
#[derive(Debug)]
pub(in crate::otlp) struct Message {
    pub(in crate::otlp) fields: &'static [FieldSchema],
}

/// One field.
#[derive(Debug)]
pub(in crate::otlp) struct FieldSchema {
    pub(in crate::otlp) number: u32,
    /// The key, in lowerCamelCase.
    pub(in crate::otlp) name: &'static str,
    pub(in crate::otlp) kind: Kind,
    pub(in crate::otlp) rule: Rule,
}

/// How often a field stands, and whether its default value is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::otlp) enum Rule {
    /// At most once; a default value is the same as none.
    Single,
    /// At most once; a default value is not the same as none (`optional`).
    Optional,
    /// A member of the message's `oneof`. No OTLP message has two of them.
    Choice,
    /// Any number of times; numbers are packed.
    Repeated,
}

/// What a field holds, on the wire and in JSON.
#[derive(Clone, Copy, Debug)]
pub(in crate::otlp) enum Kind {
    String,
    /// base64.
    Bytes,
    /// Trace and span ids: hexadecimal.
    Id,
    Bool,
    /// A number, never its name.
    Enum,
    Int32,
    Int64,
    Uint32,
    Uint64,
    /// Zigzag.
    Sint32,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    Message(&'static Message),
}

impl Kind {
    /// The wire type.
    pub(in crate::otlp) fn wire(self) -> u8 {
        match self {
            Kind::String | Kind::Bytes | Kind::Id | Kind::Message(_) => BYTES,
            Kind::Bool | Kind::Enum | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 => VARINT,
            Kind::Fixed32 => FIXED32,
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => FIXED64,
        }
    }
}

impl Message {
    pub(in crate::otlp) fn by_name(&self, name: &str) -> Option<&'static FieldSchema> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The place in the table of the field with this number.
    pub(in crate::otlp) fn index(&self, number: u32) -> Option<usize> {
        self.fields.iter().position(|field| field.number == number)
    }
}

/// The request of a signal.
pub(in crate::otlp) fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Logs => &LOGS,
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
    }
}

/// True for the message whose nesting is limited.
pub(in crate::otlp) fn is_any_value(message: &Message) -> bool {
    std::ptr::eq(message, &raw const ANY_VALUE)
}

use Kind::{Bool, Bytes, Double, Enum, Fixed32, Fixed64, Id, Int32, Int64, Sfixed64, Sint32, String, Uint32, Uint64};
use Rule::{Choice, Optional, Repeated, Single};

const fn field(number: u32, name: &'static str, kind: Kind, rule: Rule) -> FieldSchema {
    FieldSchema { number, name, kind, rule }
}

const fn one(number: u32, name: &'static str, message: &'static Message) -> FieldSchema {
    field(number, name, Kind::Message(message), Single)
}

const fn choice(number: u32, name: &'static str, message: &'static Message) -> FieldSchema {
    field(number, name, Kind::Message(message), Choice)
}

const fn many(number: u32, name: &'static str, message: &'static Message) -> FieldSchema {
    field(number, name, Kind::Message(message), Repeated)
}

static LOGS: Message = Message { fields: &[many(1, "resourceLogs", &RESOURCE_LOGS)] };
static TRACES: Message = Message { fields: &[many(1, "resourceSpans", &RESOURCE_SPANS)] };
static METRICS: Message = Message { fields: &[many(1, "resourceMetrics", &RESOURCE_METRICS)] };

static RESOURCE_LOGS: Message = Message {
    fields: &[one(1, "resource", &RESOURCE), many(2, "scopeLogs", &SCOPE_LOGS), field(3, "schemaUrl", String, Single)],
};
static RESOURCE_SPANS: Message = Message {
    fields: &[
        one(1, "resource", &RESOURCE),
        many(2, "scopeSpans", &SCOPE_SPANS),
        field(3, "schemaUrl", String, Single),
    ],
};
static RESOURCE_METRICS: Message = Message {
    fields: &[
        one(1, "resource", &RESOURCE),
        many(2, "scopeMetrics", &SCOPE_METRICS),
        field(3, "schemaUrl", String, Single),
    ],
};
static SCOPE_LOGS: Message = Message {
    fields: &[one(1, "scope", &SCOPE), many(2, "logRecords", &LOG_RECORD), field(3, "schemaUrl", String, Single)],
};
static SCOPE_SPANS: Message =
    Message { fields: &[one(1, "scope", &SCOPE), many(2, "spans", &SPAN), field(3, "schemaUrl", String, Single)] };
static SCOPE_METRICS: Message =
    Message { fields: &[one(1, "scope", &SCOPE), many(2, "metrics", &METRIC), field(3, "schemaUrl", String, Single)] };

static RESOURCE: Message = Message {
    fields: &[
        many(1, "attributes", &KEY_VALUE),
        field(2, "droppedAttributesCount", Uint32, Single),
        many(3, "entityRefs", &ENTITY_REF),
    ],
};
static ENTITY_REF: Message = Message {
    fields: &[
        field(1, "schemaUrl", String, Single),
        field(2, "type", String, Single),
        field(3, "idKeys", String, Repeated),
        field(4, "descriptionKeys", String, Repeated),
    ],
};
static SCOPE: Message = Message {
    fields: &[
        field(1, "name", String, Single),
        field(2, "version", String, Single),
        many(3, "attributes", &KEY_VALUE),
        field(4, "droppedAttributesCount", Uint32, Single),
    ],
};
static KEY_VALUE: Message = Message {
    fields: &[field(1, "key", String, Single), one(2, "value", &ANY_VALUE), field(3, "keyStrindex", Int32, Single)],
};
static ANY_VALUE: Message = Message {
    fields: &[
        field(1, "stringValue", String, Choice),
        field(2, "boolValue", Bool, Choice),
        field(3, "intValue", Int64, Choice),
        field(4, "doubleValue", Double, Choice),
        choice(5, "arrayValue", &ARRAY_VALUE),
        choice(6, "kvlistValue", &KEY_VALUE_LIST),
        field(7, "bytesValue", Bytes, Choice),
        field(8, "stringValueStrindex", Int32, Choice),
    ],
};
static ARRAY_VALUE: Message = Message { fields: &[many(1, "values", &ANY_VALUE)] };
static KEY_VALUE_LIST: Message = Message { fields: &[many(1, "values", &KEY_VALUE)] };

static LOG_RECORD: Message = Message {
    fields: &[
        field(1, "timeUnixNano", Fixed64, Single),
        field(11, "observedTimeUnixNano", Fixed64, Single),
        field(2, "severityNumber", Enum, Single),
        field(3, "severityText", String, Single),
        one(5, "body", &ANY_VALUE),
        many(6, "attributes", &KEY_VALUE),
        field(7, "droppedAttributesCount", Uint32, Single),
        field(8, "flags", Fixed32, Single),
        field(9, "traceId", Id, Single),
        field(10, "spanId", Id, Single),
        field(12, "eventName", String, Single),
    ],
};

static SPAN: Message = Message {
    fields: &[
        field(1, "traceId", Id, Single),
        field(2, "spanId", Id, Single),
        field(3, "traceState", String, Single),
        field(4, "parentSpanId", Id, Single),
        field(16, "flags", Fixed32, Single),
        field(5, "name", String, Single),
        field(6, "kind", Enum, Single),
        field(7, "startTimeUnixNano", Fixed64, Single),
        field(8, "endTimeUnixNano", Fixed64, Single),
        many(9, "attributes", &KEY_VALUE),
        field(10, "droppedAttributesCount", Uint32, Single),
        many(11, "events", &SPAN_EVENT),
        field(12, "droppedEventsCount", Uint32, Single),
        many(13, "links", &SPAN_LINK),
        field(14, "droppedLinksCount", Uint32, Single),
        one(15, "status", &STATUS),
    ],
};
static SPAN_EVENT: Message = Message {
    fields: &[
        field(1, "timeUnixNano", Fixed64, Single),
        field(2, "name", String, Single),
        many(3, "attributes", &KEY_VALUE),
        field(4, "droppedAttributesCount", Uint32, Single),
    ],
};
static SPAN_LINK: Message = Message {
    fields: &[
        field(1, "traceId", Id, Single),
        field(2, "spanId", Id, Single),
        field(3, "traceState", String, Single),
        many(4, "attributes", &KEY_VALUE),
        field(5, "droppedAttributesCount", Uint32, Single),
        field(6, "flags", Fixed32, Single),
    ],
};
static STATUS: Message = Message { fields: &[field(2, "message", String, Single), field(3, "code", Enum, Single)] };

static METRIC: Message = Message {
    fields: &[
        field(1, "name", String, Single),
        field(2, "description", String, Single),
        field(3, "unit", String, Single),
        choice(5, "gauge", &GAUGE),
        choice(7, "sum", &SUM),
        choice(9, "histogram", &HISTOGRAM),
        choice(10, "exponentialHistogram", &EXPONENTIAL_HISTOGRAM),
        choice(11, "summary", &SUMMARY),
        many(12, "metadata", &KEY_VALUE),
    ],
};
static GAUGE: Message = Message { fields: &[many(1, "dataPoints", &NUMBER_POINT)] };
static SUM: Message = Message {
    fields: &[
        many(1, "dataPoints", &NUMBER_POINT),
        field(2, "aggregationTemporality", Enum, Single),
        field(3, "isMonotonic", Bool, Single),
    ],
};
static HISTOGRAM: Message =
    Message { fields: &[many(1, "dataPoints", &HISTOGRAM_POINT), field(2, "aggregationTemporality", Enum, Single)] };
static EXPONENTIAL_HISTOGRAM: Message =
    Message { fields: &[many(1, "dataPoints", &EXPONENTIAL_POINT), field(2, "aggregationTemporality", Enum, Single)] };
static SUMMARY: Message = Message { fields: &[many(1, "dataPoints", &SUMMARY_POINT)] };

static NUMBER_POINT: Message = Message {
    fields: &[
        many(7, "attributes", &KEY_VALUE),
        field(2, "startTimeUnixNano", Fixed64, Single),
        field(3, "timeUnixNano", Fixed64, Single),
        field(4, "asDouble", Double, Choice),
        field(6, "asInt", Sfixed64, Choice),
        many(5, "exemplars", &EXEMPLAR),
        field(8, "flags", Uint32, Single),
    ],
};
static HISTOGRAM_POINT: Message = Message {
    fields: &[
        many(9, "attributes", &KEY_VALUE),
        field(2, "startTimeUnixNano", Fixed64, Single),
        field(3, "timeUnixNano", Fixed64, Single),
        field(4, "count", Fixed64, Single),
        field(5, "sum", Double, Optional),
        field(6, "bucketCounts", Fixed64, Repeated),
        field(7, "explicitBounds", Double, Repeated),
        many(8, "exemplars", &EXEMPLAR),
        field(10, "flags", Uint32, Single),
        field(11, "min", Double, Optional),
        field(12, "max", Double, Optional),
    ],
};
static EXPONENTIAL_POINT: Message = Message {
    fields: &[
        many(1, "attributes", &KEY_VALUE),
        field(2, "startTimeUnixNano", Fixed64, Single),
        field(3, "timeUnixNano", Fixed64, Single),
        field(4, "count", Fixed64, Single),
        field(5, "sum", Double, Optional),
        field(6, "scale", Sint32, Single),
        field(7, "zeroCount", Fixed64, Single),
        one(8, "positive", &BUCKETS),
        one(9, "negative", &BUCKETS),
        field(10, "flags", Uint32, Single),
        many(11, "exemplars", &EXEMPLAR),
        field(12, "min", Double, Optional),
        field(13, "max", Double, Optional),
        field(14, "zeroThreshold", Double, Single),
    ],
};
static BUCKETS: Message =
    Message { fields: &[field(1, "offset", Sint32, Single), field(2, "bucketCounts", Uint64, Repeated)] };
static SUMMARY_POINT: Message = Message {
    fields: &[
        many(7, "attributes", &KEY_VALUE),
        field(2, "startTimeUnixNano", Fixed64, Single),
        field(3, "timeUnixNano", Fixed64, Single),
        field(4, "count", Fixed64, Single),
        field(5, "sum", Double, Single),
        many(6, "quantileValues", &QUANTILE),
        field(8, "flags", Uint32, Single),
    ],
};
static QUANTILE: Message =
    Message { fields: &[field(1, "quantile", Double, Single), field(2, "value", Double, Single)] };
static EXEMPLAR: Message = Message {
    fields: &[
        many(7, "filteredAttributes", &KEY_VALUE),
        field(2, "timeUnixNano", Fixed64, Single),
        field(3, "asDouble", Double, Choice),
        field(6, "asInt", Sfixed64, Choice),
        field(4, "spanId", Id, Single),
        field(5, "traceId", Id, Single),
    ],
};
