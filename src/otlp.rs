//! OTLP as bytes: views over a request, patches to it, JSON both ways. Pure: no clock, file, socket, lock, log or async.
//!
//! The three requests have one shape, so one set of views serves all signals:
//!
//! ```text
//!  Request            field 1: ResourceGroup, repeated
//!  ├─ ResourceGroup   field 1: resource      field 2: ScopeGroup, repeated   field 3: schema URL
//!  │  └─ ScopeGroup   field 1: scope         field 2: Item, repeated         field 3: schema URL
//!  │     └─ Item      a LogRecord, a Span or a Metric
//! ```
//!
//! The way of a request: [`check`] once, before it is acknowledged; then [`Request`] views read it without a copy, and
//! an [`Edits`] says which items change. What no edit names is copied whole, unknown fields included.
//!
//! Two requests of one signal are joined by joining their bytes: a protobuf message is the merge of its parts, and the
//! only field of a request is repeated. [`split()`] is the way back.
//!
//! Views never fail and never panic: on bytes that [`check`] refuses they end early. They read the last occurrence of a
//! field, as protobuf says, and hand out strings as bytes, because nobody proved them UTF-8.

mod check;
mod edits;
mod encoded;
pub mod json;
pub mod keyed;
mod patch;
mod split;
mod value;
mod view;
mod wire;
mod write;

#[cfg(test)]
mod tests;

pub use check::{Counts, check};
pub use edits::Edits;
pub use encoded::{Encoded, Encoder};
pub use patch::{LogPatch, SpanEvent, SpanPatch};
pub use split::{Split, split};
pub use value::{AnyValue, Attribute, Attributes, DEPTH_MAX, KeyValue, Value, Values};
pub use view::{Item, Items, LogRecord, Request, ResourceGroup, ScopeGroup, Span};
pub use wire::Malformed;
pub use write::{NewRecord, RequestWriter, Surroundings, resource, scope};

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// `ExportLogsServiceRequest`.
    Logs,
    /// `ExportTraceServiceRequest`.
    Traces,
    /// `ExportMetricsServiceRequest`.
    Metrics,
}

impl Signal {
    /// All signals.
    pub const ALL: [Signal; 3] = [Signal::Logs, Signal::Traces, Signal::Metrics];

    /// The word of the configuration and of our own telemetry.
    pub fn id(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
        }
    }

    /// Path of OTLP over HTTP (OTLP 1.11.0, "OTLP/HTTP Request").
    pub fn http_path(self) -> &'static str {
        match self {
            Signal::Logs => "/v1/logs",
            Signal::Traces => "/v1/traces",
            Signal::Metrics => "/v1/metrics",
        }
    }

    /// Path of OTLP over gRPC: service and method.
    pub fn grpc_path(self) -> &'static str {
        match self {
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// What one item is called in a sentence: `log records`, `spans`, `data points`.
    pub fn items(self) -> &'static str {
        match self {
            Signal::Logs => "log records",
            Signal::Traces => "spans",
            Signal::Metrics => "data points",
        }
    }
}
