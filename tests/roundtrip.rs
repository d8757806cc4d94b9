//! Every field of every signal comes out as it came in: nine ways in (gRPC, HTTP with protobuf, HTTP with JSON; each plain,
//! gzip, zstd) by nine ways out, compared as encoded bytes.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::{Backend, Seen};
use common::process::Program;
use common::{eventually, remote};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use std::fmt::Write;
use why502::exporter::Exporter;
use why502::otlp::{Signal, json};

/// Kind of the exporter, its options.
const WAYS: [(&str, &str); 9] = [
    ("otlp", "compression: none"),
    ("otlp", "compression: gzip"),
    ("otlp", "compression: zstd"),
    ("otlphttp", "compression: none"),
    ("otlphttp", "compression: gzip"),
    ("otlphttp", "compression: zstd"),
    ("otlphttp", "compression: none, encoding: json"),
    ("otlphttp", "compression: gzip, encoding: json"),
    ("otlphttp", "compression: zstd, encoding: json"),
];

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// Values of every kind and at every border.
fn attributes() -> Vec<KeyValue> {
    let doubles = [
        0.0,
        -0.0,
        1.5,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::MIN,
        f64::EPSILON,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    let texts =
        ["", "plain", "quote \" back \\ slash", "\u{0}\u{1f}\u{7f}", "line\nfeed\ttab", "ü€😀\u{2028}", "</script>"];
    let mut all = vec![
        pair("", value(Value::BoolValue(false))),
        pair("bool", value(Value::BoolValue(true))),
        pair("nothing", AnyValue::default()),
        KeyValue { key: "no value".to_owned(), ..KeyValue::default() },
        pair("bytes", value(Value::BytesValue((0..=255).collect()))),
        pair("no bytes", value(Value::BytesValue(Vec::new()))),
        // A key may stand there twice.
        pair("bool", value(Value::BoolValue(true))),
    ];
    all.extend([0, 1, -1, i64::MAX, i64::MIN, 1 << 53].map(|int| pair("int", value(Value::IntValue(int)))));
    all.extend(doubles.map(|double| pair("double", value(Value::DoubleValue(double)))));
    all.extend(texts.map(|text| pair(text, value(Value::StringValue(text.to_owned())))));
    let nested = ArrayValue { values: all.iter().filter_map(|pair| pair.value.clone()).collect() };
    let list = KeyValueList { values: all.clone() };
    all.push(pair("list", value(Value::KvlistValue(list))));
    all.push(pair("array", value(Value::ArrayValue(nested))));
    all.push(pair("empty", value(Value::ArrayValue(ArrayValue::default()))));
    all.push(pair("empty", value(Value::KvlistValue(KeyValueList::default()))));
    all
}

fn resource() -> Option<Resource> {
    let entity = EntityRef {
        schema_url: "https://example.com/e".to_owned(),
        r#type: "service".to_owned(),
        id_keys: vec!["service.name".to_owned()],
        description_keys: vec!["a".to_owned(), String::new()],
    };
    Some(Resource { attributes: attributes(), dropped_attributes_count: u32::MAX, entity_refs: vec![entity] })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "scope".to_owned(),
        version: "1.2.3".to_owned(),
        attributes: attributes(),
        dropped_attributes_count: 7,
    })
}

fn logs() -> Vec<u8> {
    let full = LogRecord {
        time_unix_nano: u64::MAX,
        observed_time_unix_nano: 1,
        severity_number: 24,
        severity_text: "FATAL".to_owned(),
        body: Some(value(Value::KvlistValue(KeyValueList { values: attributes() }))),
        attributes: attributes(),
        dropped_attributes_count: 1,
        flags: u32::MAX,
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        event_name: "event".to_owned(),
    };
    let of = |log_records| ScopeLogs { scope: scope(), log_records, schema_url: "https://example.com/s".to_owned() };
    let scope_logs = vec![of(vec![full.clone(), LogRecord::default()]), of(Vec::new()), ScopeLogs::default()];
    let group = ResourceLogs { resource: resource(), scope_logs, schema_url: "https://example.com/r".to_owned() };
    ExportLogsServiceRequest { resource_logs: vec![group.clone(), ResourceLogs::default(), group] }.encode_to_vec()
}

fn traces() -> Vec<u8> {
    let event =
        Event { time_unix_nano: 5, name: "event".to_owned(), attributes: attributes(), dropped_attributes_count: 2 };
    let link = Link {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        trace_state: "a=b".to_owned(),
        attributes: attributes(),
        dropped_attributes_count: 3,
        flags: 0x301,
    };
    let full = Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        trace_state: "vendor=1,other=2".to_owned(),
        parent_span_id: (2..=9).collect(),
        flags: 0x301,
        name: "span".to_owned(),
        kind: 5,
        start_time_unix_nano: 1,
        end_time_unix_nano: u64::MAX,
        attributes: attributes(),
        dropped_attributes_count: 1,
        events: vec![event, Event::default()],
        dropped_events_count: 4,
        links: vec![link, Link::default()],
        dropped_links_count: 5,
        status: Some(Status { message: "no".to_owned(), code: 2 }),
    };
    let unset = Span { status: Some(Status::default()), kind: 99, ..Span::default() };
    let scope_spans = vec![
        ScopeSpans { scope: scope(), spans: vec![full, unset], schema_url: "https://example.com/s".to_owned() },
        ScopeSpans::default(),
    ];
    let group = ResourceSpans { resource: resource(), scope_spans, schema_url: "https://example.com/r".to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![group, ResourceSpans::default()] }.encode_to_vec()
}

fn exemplars() -> Vec<Exemplar> {
    let one = |value| Exemplar {
        filtered_attributes: attributes(),
        time_unix_nano: 9,
        span_id: (1..=8).collect(),
        trace_id: (1..=16).collect(),
        value,
    };
    vec![one(Some(exemplar::Value::AsInt(i64::MIN))), one(Some(exemplar::Value::AsDouble(0.0))), one(None)]
}

fn numbers() -> Vec<NumberDataPoint> {
    let one = |value| NumberDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        exemplars: exemplars(),
        flags: 1,
        value,
    };
    let values = [number_data_point::Value::AsInt(0), number_data_point::Value::AsDouble(f64::NAN)];
    let mut all: Vec<NumberDataPoint> = values.into_iter().map(|value| one(Some(value))).collect();
    all.push(one(None));
    all
}

fn metrics() -> Vec<u8> {
    let histogram = HistogramDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: u64::MAX,
        sum: Some(0.0),
        bucket_counts: vec![0, 1, u64::MAX],
        explicit_bounds: vec![-1.0, f64::INFINITY],
        exemplars: exemplars(),
        flags: 1,
        min: Some(-0.0),
        max: Some(f64::MAX),
    };
    let buckets = Buckets { offset: i32::MIN, bucket_counts: vec![0, u64::MAX] };
    let exponential = ExponentialHistogramDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: None,
        scale: i32::MIN,
        zero_count: 4,
        positive: Some(buckets.clone()),
        negative: Some(Buckets::default()),
        flags: 1,
        exemplars: exemplars(),
        min: Some(1.0),
        max: None,
        zero_threshold: f64::MIN_POSITIVE,
    };
    let quantiles = vec![ValueAtQuantile { quantile: 0.5, value: f64::NEG_INFINITY }, ValueAtQuantile::default()];
    let summary = SummaryDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: 4.5,
        quantile_values: quantiles,
        flags: 1,
    };
    let data = [
        Some(Data::Gauge(Gauge { data_points: numbers() })),
        Some(Data::Sum(Sum { data_points: numbers(), aggregation_temporality: 2, is_monotonic: true })),
        Some(Data::Histogram(Histogram {
            data_points: vec![histogram, HistogramDataPoint::default()],
            aggregation_temporality: 1,
        })),
        Some(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential, ExponentialHistogramDataPoint::default()],
            aggregation_temporality: 2,
        })),
        Some(Data::Summary(Summary { data_points: vec![summary, SummaryDataPoint::default()] })),
        Some(Data::Gauge(Gauge::default())),
        None,
    ];
    let of = |data| Metric {
        name: "metric".to_owned(),
        description: "what it is".to_owned(),
        unit: "By".to_owned(),
        metadata: attributes(),
        data,
    };
    let scope_metrics = vec![
        ScopeMetrics { scope: scope(), metrics: data.map(of).to_vec(), schema_url: "https://example.com/s".to_owned() },
        ScopeMetrics::default(),
    ];
    let group = ResourceMetrics { resource: resource(), scope_metrics, schema_url: "https://example.com/r".to_owned() };
    ExportMetricsServiceRequest { resource_metrics: vec![group, ResourceMetrics::default()] }.encode_to_vec()
}

/// As another implementation writes it, so that the order of fields and defaults do not matter.
fn written_anew(signal: Signal, request: &[u8]) -> Vec<u8> {
    match signal {
        Signal::Logs => ExportLogsServiceRequest::decode(request).expect("logs").encode_to_vec(),
        Signal::Traces => ExportTraceServiceRequest::decode(request).expect("traces").encode_to_vec(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(request).expect("metrics").encode_to_vec(),
    }
}

fn protobuf(signal: Signal, seen: &Seen) -> Vec<u8> {
    let message = seen.message();
    let message = match seen.header("content-type") {
        "application/json" => json::to_protobuf(signal, &message).expect("JSON"),
        _ => message,
    };
    written_anew(signal, &message)
}

async fn check(processors: &str) {
    let mut backends = Vec::new();
    let (mut exporters, mut names) = (String::new(), Vec::new());
    for (number, (kind, options)) in WAYS.iter().enumerate() {
        let backend = Backend::start(Vec::new()).await;
        let name = format!("{kind}/{number}");
        let _ =
            writeln!(exporters, "  {name}: {{endpoint: \"{}\", {options}, max_request_bytes: 64MiB}}", backend.url());
        names.push(name);
        backends.push(backend);
    }
    let names = names.join(", ");
    let program = Program::run(&format!(
        "receivers:
  otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}, http: {{endpoint: 127.0.0.1:0}}}}}}
processors: {{why502: {{}}}}
exporters:
{exporters}service:
  pipelines:
    logs: {{receivers: [otlp], {processors}exporters: [{names}]}}
    traces: {{receivers: [otlp], {processors}exporters: [{names}]}}
    metrics: {{receivers: [otlp], exporters: [{names}]}}
"
    ));
    let (grpc, http) = program.addresses().await;
    let mut sent = 0;
    for (kind, options) in WAYS {
        let url = if kind == "otlp" { format!("http://{grpc}") } else { format!("http://{http}") };
        let sender = Exporter::start(&remote(kind, &url, options)).expect("it starts");
        for (signal, request) in [(Signal::Logs, logs()), (Signal::Traces, traces()), (Signal::Metrics, metrics())] {
            assert_eq!(written_anew(signal, &request), request);
            sender.offer(signal, request.clone().into(), 1).expect("there is room");
            sent += 1;
            let arrived = || backends.iter().all(|backend| backend.count() == sent);
            eventually(|| format!("{kind} {options} {signal:?}\n{}", program.stderr()), arrived).await;
            for (backend, way) in backends.iter().zip(WAYS) {
                let seen = backend.seen().pop().expect("it came");
                assert!(protobuf(signal, &seen) == request, "{signal:?} in by {kind} {options}, out by {way:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_relayed_by_every_way() {
    check("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_past_the_processor() {
    check("processors: [why502], ").await;
}
