//! OTLP requests by `prost`, which is not what the program reads and writes them with.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::io::{Read, Write};
use why502::otlp::Signal;

pub(crate) fn text(value: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(value.to_owned())) }
}

pub(crate) fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text(value)), ..KeyValue::default() }
}

/// A record with a string body.
pub(crate) fn record(body: &str) -> LogRecord {
    LogRecord { body: Some(text(body)), observed_time_unix_nano: 1_772_615_703_000_000_000, ..LogRecord::default() }
}

/// One resource, one scope, these records.
pub(crate) fn logs_of(log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

/// Records with these bodies.
pub(crate) fn logs(bodies: &[&str]) -> Vec<u8> {
    logs_of(bodies.iter().map(|body| record(body)).collect())
}

/// Spans with these names, of no kind that is held.
pub(crate) fn traces(names: &[&str]) -> Vec<u8> {
    let span = |name: &&str| Span {
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        name: (*name).to_owned(),
        kind: 1,
        start_time_unix_nano: 1_772_615_703_000_000_000,
        end_time_unix_nano: 1_772_615_703_100_000_000,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: names.iter().map(span).collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// A gauge with one data point for each name.
pub(crate) fn metrics(names: &[&str]) -> Vec<u8> {
    let point = || NumberDataPoint {
        time_unix_nano: 1_772_615_703_000_000_000,
        value: Some(number_data_point::Value::AsDouble(1.5)),
        ..NumberDataPoint::default()
    };
    let gauge = |name: &&str| Metric {
        name: (*name).to_owned(),
        data: Some(metric::Data::Gauge(Gauge { data_points: vec![point()] })),
        ..Metric::default()
    };
    let scope_metrics = vec![ScopeMetrics { metrics: names.iter().map(gauge).collect(), ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

/// A request of a signal with one item of this name.
pub(crate) fn one(signal: Signal, name: &str) -> Vec<u8> {
    match signal {
        Signal::Logs => logs(&[name]),
        Signal::Traces => traces(&[name]),
        Signal::Metrics => metrics(&[name]),
    }
}

/// True when both requests say the same, in whatever order of fields.
pub(crate) fn equal(signal: Signal, left: &[u8], right: &[u8]) -> bool {
    fn same<M: Message + Default + PartialEq>(left: &[u8], right: &[u8]) -> bool {
        M::decode(left).expect("a request") == M::decode(right).expect("a request")
    }
    match signal {
        Signal::Logs => same::<ExportLogsServiceRequest>(left, right),
        Signal::Traces => same::<ExportTraceServiceRequest>(left, right),
        Signal::Metrics => same::<ExportMetricsServiceRequest>(left, right),
    }
}

/// All records of a request of logs.
pub(crate) fn records(request: &[u8]) -> Vec<LogRecord> {
    let request = ExportLogsServiceRequest::decode(request).expect("a request of logs");
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    scopes.flat_map(|scope| scope.log_records).collect()
}

/// The string bodies of a request of logs; a record without one is an empty text.
pub(crate) fn bodies(request: &[u8]) -> Vec<String> {
    records(request).iter().map(body).collect()
}

pub(crate) fn body(record: &LogRecord) -> String {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

/// The text of an attribute, empty without it.
pub(crate) fn attribute_of(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

/// nginx's two lines of one request that found nothing listening: 502 at a time of its own.
pub(crate) fn refused_by_upstream(connection: u32, target: &str) -> [String; 2] {
    [
        format!(
            r#"{{"msec":"1772615703.500","pid":"411","connection":"{connection}","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.001","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"-","upstream_header_time":"-","upstream_response_time":"0.001","upstream_bytes_received":"0"}}"#
        ),
        format!(
            r#"2026/03/04 09:15:03 [error] 411#411: *{connection} connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET {target} HTTP/1.1", upstream: "http://127.0.0.1:8000{target}", host: "shop.test""#
        ),
    ]
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// RFC 1950, which HTTP calls `deflate`.
pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// RFC 1951 alone.
pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// One block of snappy.
pub(crate) fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("memory")
}

/// Frames of snappy.
pub(crate) fn framed_snappy(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).expect("memory");
    encoder.into_inner().expect("memory")
}

pub(crate) fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).expect("memory")
}

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).expect("gzip");
    out
}

pub(crate) fn unzstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(bytes).expect("zstd")
}
