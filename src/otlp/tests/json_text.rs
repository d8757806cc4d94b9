//! JSON against prost, with every field of every message set, and the rules of OTLP JSON one by one.

use crate::otlp::wire::{put_bytes, put_number};
use crate::otlp::{Signal, check, json};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric, number_data_point, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;

/// The message as JSON is this text, and the text is this message.
fn check_both_ways<M: Message + Default + PartialEq + std::fmt::Debug>(signal: Signal, message: &M, expected: &str) {
    let text = json::from_protobuf(signal, &message.encode_to_vec()).expect("well formed");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let expected_value: serde_json::Value = serde_json::from_str(expected).expect("JSON");
    assert_eq!(value, expected_value, "{text}");
    for text in [text.as_str(), expected] {
        let bytes = json::to_protobuf(signal, text.as_bytes()).expect("OTLP JSON");
        assert!(check(signal, &bytes).is_ok());
        assert_eq!(&M::decode(&bytes[..]).expect("protobuf"), message);
    }
}

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str) -> Vec<KeyValue> {
    vec![KeyValue { key: key.to_owned(), value: Some(value(Value::IntValue(-1))), key_strindex: 3 }]
}

fn full_resource() -> Option<Resource> {
    let entity = EntityRef {
        schema_url: "s".to_owned(),
        r#type: "host".to_owned(),
        id_keys: vec!["host.id".to_owned(), String::new()],
        description_keys: vec!["host.name".to_owned()],
    };
    Some(Resource { attributes: attribute("r"), dropped_attributes_count: 1, entity_refs: vec![entity] })
}

const RESOURCE: &str = r#"{"attributes":[{"key":"r","value":{"intValue":"-1"},"keyStrindex":3}],"droppedAttributesCount":1,
    "entityRefs":[{"schemaUrl":"s","type":"host","idKeys":["host.id",""],"descriptionKeys":["host.name"]}]}"#;

fn full_scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "lib".to_owned(),
        version: "1.2".to_owned(),
        attributes: attribute("s"),
        dropped_attributes_count: 2,
    })
}

const SCOPE: &str = r#"{"name":"lib","version":"1.2","attributes":[{"key":"s","value":{"intValue":"-1"},"keyStrindex":3}],
    "droppedAttributesCount":2}"#;

fn expected(template: &str) -> String {
    let attribute = |key: &str| format!(r#"[{{"key":"{key}","value":{{"intValue":"-1"}},"keyStrindex":3}}]"#);
    template
        .replace("RESOURCE", RESOURCE)
        .replace("SCOPE", SCOPE)
        .replace("ATTRIBUTES", &attribute("a"))
        .replace("EXEMPLARS", EXEMPLARS)
}

#[test]
fn every_field_of_logs() {
    let values = vec![
        value(Value::StringValue(String::new())),
        value(Value::BoolValue(false)),
        value(Value::IntValue(i64::MIN)),
        value(Value::DoubleValue(0.1)),
        value(Value::DoubleValue(f64::NEG_INFINITY)),
        value(Value::ArrayValue(ArrayValue { values: vec![] })),
        value(Value::KvlistValue(KeyValueList { values: attribute("k") })),
        value(Value::BytesValue(vec![0xfb, 0xff, 0])),
        value(Value::StringValueStrindex(4)),
        AnyValue { value: None },
    ];
    let record = LogRecord {
        time_unix_nano: 1,
        observed_time_unix_nano: u64::MAX,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: Some(value(Value::ArrayValue(ArrayValue { values }))),
        attributes: attribute("a"),
        dropped_attributes_count: 4,
        flags: u32::MAX,
        trace_id: (0xf0..=0xff).collect(),
        span_id: (1..=8).collect(),
        event_name: "e".to_owned(),
    };
    let scope_logs = vec![
        ScopeLogs { scope: full_scope(), log_records: vec![record, LogRecord::default()], schema_url: "u".to_owned() },
        ScopeLogs { scope: Some(InstrumentationScope::default()), log_records: vec![], schema_url: String::new() },
        ScopeLogs::default(),
    ];
    let resource_logs = vec![ResourceLogs { resource: full_resource(), scope_logs, schema_url: "v".to_owned() }];
    check_both_ways(
        Signal::Logs,
        &ExportLogsServiceRequest { resource_logs },
        &expected(
            r#"{"resourceLogs":[{"resource":RESOURCE,"scopeLogs":[{"scope":SCOPE,"logRecords":[{
            "timeUnixNano":"1","observedTimeUnixNano":"18446744073709551615","severityNumber":17,"severityText":"ERROR",
            "body":{"arrayValue":{"values":[{"stringValue":""},{"boolValue":false},{"intValue":"-9223372036854775808"},
                {"doubleValue":0.1},{"doubleValue":"-Infinity"},{"arrayValue":{}},
                {"kvlistValue":{"values":[{"key":"k","value":{"intValue":"-1"},"keyStrindex":3}]}},
                {"bytesValue":"+/8A"},{"stringValueStrindex":4},{}]}},
            "attributes":ATTRIBUTES,"droppedAttributesCount":4,"flags":4294967295,
            "traceId":"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff","spanId":"0102030405060708","eventName":"e"},{}],
            "schemaUrl":"u"},{"scope":{}},{}],"schemaUrl":"v"}]}"#,
        ),
    );
}

#[test]
fn every_field_of_traces() {
    let event = span::Event {
        time_unix_nano: 7,
        name: "exception".to_owned(),
        attributes: attribute("a"),
        dropped_attributes_count: 1,
    };
    let link = span::Link {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        trace_state: "k=v".to_owned(),
        attributes: attribute("a"),
        dropped_attributes_count: 2,
        flags: 0x301,
    };
    let span = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        trace_state: "a=b".to_owned(),
        parent_span_id: vec![0xef; 8],
        flags: 0x101,
        name: "GET".to_owned(),
        kind: 2,
        start_time_unix_nano: 5,
        end_time_unix_nano: 6,
        attributes: attribute("a"),
        dropped_attributes_count: 3,
        events: vec![event],
        dropped_events_count: 4,
        links: vec![link],
        dropped_links_count: 5,
        status: Some(Status { message: "gone".to_owned(), code: 2 }),
    };
    let scope_spans = vec![ScopeSpans { scope: full_scope(), spans: vec![span], schema_url: "u".to_owned() }];
    let resource_spans = vec![ResourceSpans { resource: full_resource(), scope_spans, schema_url: "v".to_owned() }];
    check_both_ways(
        Signal::Traces,
        &ExportTraceServiceRequest { resource_spans },
        &expected(
            r#"{"resourceSpans":[{"resource":RESOURCE,"scopeSpans":[{"scope":SCOPE,"spans":[{
            "traceId":"abababababababababababababababab","spanId":"cdcdcdcdcdcdcdcd","traceState":"a=b",
            "parentSpanId":"efefefefefefefef","flags":257,"name":"GET","kind":2,"startTimeUnixNano":"5",
            "endTimeUnixNano":"6","attributes":ATTRIBUTES,"droppedAttributesCount":3,
            "events":[{"timeUnixNano":"7","name":"exception","attributes":ATTRIBUTES,"droppedAttributesCount":1}],
            "droppedEventsCount":4,
            "links":[{"traceId":"01010101010101010101010101010101","spanId":"0202020202020202","traceState":"k=v",
                "attributes":ATTRIBUTES,"droppedAttributesCount":2,"flags":769}],
            "droppedLinksCount":5,"status":{"message":"gone","code":2}}],"schemaUrl":"u"}],"schemaUrl":"v"}]}"#,
        ),
    );
}

fn exemplars() -> Vec<Exemplar> {
    vec![
        Exemplar {
            filtered_attributes: attribute("a"),
            time_unix_nano: 9,
            span_id: vec![1; 8],
            trace_id: vec![2; 16],
            value: Some(exemplar::Value::AsDouble(0.0)),
        },
        Exemplar { value: Some(exemplar::Value::AsInt(-9)), ..Exemplar::default() },
    ]
}

const EXEMPLARS: &str = r#"[{"filteredAttributes":[{"key":"a","value":{"intValue":"-1"},"keyStrindex":3}],"timeUnixNano":"9",
    "spanId":"0101010101010101","traceId":"02020202020202020202020202020202","asDouble":0.0},{"asInt":"-9"}]"#;

fn number_points() -> Vec<NumberDataPoint> {
    vec![
        NumberDataPoint {
            attributes: attribute("a"),
            start_time_unix_nano: 1,
            time_unix_nano: 2,
            exemplars: exemplars(),
            flags: 1,
            value: Some(number_data_point::Value::AsDouble(1e300)),
        },
        NumberDataPoint { value: Some(number_data_point::Value::AsInt(0)), ..NumberDataPoint::default() },
    ]
}

const NUMBER_POINTS: &str = r#"[{"attributes":ATTRIBUTES,"startTimeUnixNano":"1","timeUnixNano":"2","exemplars":EXEMPLARS,
    "flags":1,"asDouble":1e300},{"asInt":"0"}]"#;

fn full_metrics() -> Vec<metric::Data> {
    let histogram = HistogramDataPoint {
        attributes: attribute("a"),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(0.0),
        bucket_counts: vec![0, u64::MAX],
        explicit_bounds: vec![0.5, -0.25],
        exemplars: exemplars(),
        flags: 1,
        min: Some(0.0),
        max: Some(4.5),
    };
    let exponential = ExponentialHistogramDataPoint {
        attributes: attribute("a"),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(1.5),
        scale: -20,
        zero_count: 4,
        positive: Some(Buckets { offset: i32::MIN, bucket_counts: vec![1, 300] }),
        negative: Some(Buckets::default()),
        flags: 1,
        exemplars: exemplars(),
        min: Some(0.0),
        max: Some(2.5),
        zero_threshold: 0.125,
    };
    let summary = SummaryDataPoint {
        attributes: attribute("a"),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: 6.5,
        quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: 7.5 }],
        flags: 1,
    };
    vec![
        metric::Data::Gauge(Gauge { data_points: number_points() }),
        metric::Data::Sum(Sum { data_points: number_points(), aggregation_temporality: 2, is_monotonic: true }),
        metric::Data::Histogram(Histogram {
            data_points: vec![histogram, HistogramDataPoint::default()],
            aggregation_temporality: 1,
        }),
        metric::Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential],
            aggregation_temporality: 2,
        }),
        metric::Data::Summary(Summary { data_points: vec![summary] }),
    ]
}

#[test]
fn every_field_of_metrics() {
    let metrics = full_metrics().into_iter().map(|data| Metric {
        name: "m".to_owned(),
        description: "d".to_owned(),
        unit: "By".to_owned(),
        metadata: attribute("a"),
        data: Some(data),
    });
    let scope_metrics =
        vec![ScopeMetrics { scope: full_scope(), metrics: metrics.collect(), schema_url: "u".to_owned() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: full_resource(), scope_metrics, schema_url: "v".to_owned() }];
    let head = r#"{"name":"m","description":"d","unit":"By","metadata":ATTRIBUTES"#;
    let template = format!(
        r#"{{"resourceMetrics":[{{"resource":RESOURCE,"scopeMetrics":[{{"scope":SCOPE,"metrics":[
        {head},"gauge":{{"dataPoints":{NUMBER_POINTS}}}}},
        {head},"sum":{{"dataPoints":{NUMBER_POINTS},"aggregationTemporality":2,"isMonotonic":true}}}},
        {head},"histogram":{{"dataPoints":[{{"attributes":ATTRIBUTES,"startTimeUnixNano":"1","timeUnixNano":"2",
            "count":"3","sum":0.0,"bucketCounts":["0","18446744073709551615"],"explicitBounds":[0.5,-0.25],
            "exemplars":EXEMPLARS,"flags":1,"min":0.0,"max":4.5}},{{}}],"aggregationTemporality":1}}}},
        {head},"exponentialHistogram":{{"dataPoints":[{{"attributes":ATTRIBUTES,"startTimeUnixNano":"1",
            "timeUnixNano":"2","count":"3","sum":1.5,"scale":-20,"zeroCount":"4",
            "positive":{{"offset":-2147483648,"bucketCounts":["1","300"]}},"negative":{{}},"flags":1,
            "exemplars":EXEMPLARS,"min":0.0,"max":2.5,"zeroThreshold":0.125}}],"aggregationTemporality":2}}}},
        {head},"summary":{{"dataPoints":[{{"attributes":ATTRIBUTES,"startTimeUnixNano":"1","timeUnixNano":"2",
            "count":"3","sum":6.5,"quantileValues":[{{"quantile":0.5,"value":7.5}}],"flags":1}}]}}}}
        ],"schemaUrl":"u"}}],"schemaUrl":"v"}}]}}"#
    );
    check_both_ways(Signal::Metrics, &ExportMetricsServiceRequest { resource_metrics }, &expected(&template));
}

/// One log record as JSON is one as protobuf, or refused with words that contain the error.
fn check_record(record: &str, expected: Result<LogRecord, &str>) {
    let text = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#);
    let result = json::to_protobuf(Signal::Logs, text.as_bytes());
    match (result, expected) {
        (Ok(bytes), Ok(expected)) => {
            let request = ExportLogsServiceRequest::decode(&bytes[..]).expect("protobuf");
            assert_eq!(request.resource_logs[0].scope_logs[0].log_records, [expected], "{record}");
        }
        (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{record}: {error}"),
        (result, expected) => panic!("{record}: {result:?}, not {expected:?}"),
    }
}

#[test]
fn the_rules_of_otlp_json() {
    let empty = LogRecord::default;
    let body = |inner| LogRecord { body: Some(value(inner)), ..empty() };
    // Ids are hexadecimal in any case.
    let id = vec![0xab; 8];
    check_record(r#"{"spanId":"abABabABabABabAB"}"#, Ok(LogRecord { span_id: id, ..empty() }));
    check_record(r#"{"spanId":""}"#, Ok(empty()));
    check_record(r#"{"spanId":"q6urq6urq6s="}"#, Err("expected hexadecimal digits"));
    check_record(r#"{"traceId":"abc"}"#, Err("`traceId` is not hexadecimal"));
    // Numbers of 64 bits are strings or numbers.
    check_record(r#"{"timeUnixNano":"12"}"#, Ok(LogRecord { time_unix_nano: 12, ..empty() }));
    check_record(r#"{"timeUnixNano":12}"#, Ok(LogRecord { time_unix_nano: 12, ..empty() }));
    check_record(r#"{"timeUnixNano":1.2e1}"#, Ok(LogRecord { time_unix_nano: 12, ..empty() }));
    check_record(r#"{"timeUnixNano":18446744073709551615}"#, Ok(LogRecord { time_unix_nano: u64::MAX, ..empty() }));
    check_record(r#"{"timeUnixNano":18446744073709551616}"#, Err("out of range"));
    check_record(r#"{"timeUnixNano":"-1"}"#, Err("out of range"));
    check_record(r#"{"timeUnixNano":"1.5"}"#, Err("no whole number"));
    check_record(r#"{"timeUnixNano":1.5}"#, Err("a fraction"));
    check_record(r#"{"timeUnixNano":true}"#, Err("is a boolean, expected an unsigned 64-bit number"));
    check_record(r#"{"flags":4294967296}"#, Err("out of range"));
    check_record(r#"{"body":{"intValue":-7}}"#, Ok(body(Value::IntValue(-7))));
    // Enums are numbers, known or not, and never names.
    check_record(r#"{"severityNumber":99}"#, Ok(LogRecord { severity_number: 99, ..empty() }));
    check_record(r#"{"severityNumber":"SEVERITY_NUMBER_ERROR"}"#, Err("not its name"));
    // Keys are lowerCamelCase; other keys are ignored whatever they hold.
    check_record(r#"{"time_unix_nano":"12"}"#, Ok(empty()));
    check_record(r#"{"future":{"x":[1,{"y":null}]},"eventName":"e"}"#, {
        Ok(LogRecord { event_name: "e".to_owned(), ..empty() })
    });
    // null is no field, and no element of a list.
    check_record(r#"{"body":null,"attributes":null,"traceId":null,"flags":null}"#, Ok(empty()));
    check_record("null", Err("`logRecords` is null in a list, expected an object"));
    check_record("{},null,{}", Err("`logRecords` is null in a list, expected an object"));
    check_record(r#"{"attributes":[null]}"#, Err("`attributes` is null in a list"));
    check_record(r#"{"body":{"arrayValue":{"values":[{},null]}}}"#, Err("`values` is null in a list"));
    check_record(r#"{"body":{"arrayValue":{"values":[{}]}}}"#, {
        Ok(body(Value::ArrayValue(ArrayValue { values: vec![AnyValue::default()] })))
    });
    // base64 in both alphabets, with padding or without.
    for text in ["+/8=", "+/8", "-_8=", "-_8"] {
        check_record(
            &format!(r#"{{"body":{{"bytesValue":"{text}"}}}}"#),
            Ok(body(Value::BytesValue(vec![0xfb, 0xff]))),
        );
    }
    check_record(r#"{"body":{"bytesValue":"?"}}"#, Err("no base64"));
    // Doubles.
    check_record(r#"{"body":{"doubleValue":1}}"#, Ok(body(Value::DoubleValue(1.0))));
    check_record(r#"{"body":{"doubleValue":"-Infinity"}}"#, Ok(body(Value::DoubleValue(f64::NEG_INFINITY))));
    check_record(r#"{"body":{"doubleValue":"1.5e3"}}"#, Ok(body(Value::DoubleValue(1500.0))));
    check_record(r#"{"body":{"doubleValue":"inf"}}"#, Err("no number"));
    // Shapes.
    check_record(r#"{"attributes":{}}"#, Err("expected an array"));
    check_record(r#"{"body":[]}"#, Err("`body` is an array, expected an object"));
    check_record(r#"{"body":{"stringValue":5}}"#, Err("`stringValue` is a number, expected a string"));
    check_record(r#"{"body":{"boolValue":"true"}}"#, Err("expected true or false"));
    check_record("7", Err("expected an object"));
}

#[test]
fn nan_comes_back_as_nan() {
    let text = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"doubleValue":"NaN"}}]}]}]}"#;
    let bytes = json::to_protobuf(Signal::Logs, text.as_bytes()).expect("OTLP JSON");
    assert_eq!(json::from_protobuf(Signal::Logs, &bytes).as_deref(), Ok(text));
}

#[test]
fn what_is_no_request_says_where() {
    for (text, words) in [
        ("", "EOF while parsing"),
        ("[]", "expected an object"),
        ("[{}]", "expected an object"),
        ("null", "null, expected an object"),
        ("{\"resourceLogs\":[null]}", "`resourceLogs` is null in a list"),
        ("{} x", "trailing characters at line 1 column 4"),
        ("{\"resourceLogs\":[\n{\"scopeLogs\":7}]}", "line 2"),
    ] {
        let error = json::to_protobuf(Signal::Logs, text.as_bytes()).expect_err(text).to_string();
        assert!(error.starts_with("this JSON is no OTLP request of logs: ") && error.contains(words), "{error}");
    }
    assert_eq!(json::to_protobuf(Signal::Traces, b" {} ").ok(), Some(Vec::new()));
}

#[test]
fn a_file_holds_lines_or_objects() {
    let span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"}]}]}]}"#;
    let pretty = "{\n  \"resourceSpans\": [\n {}\n ]\n}";
    let read = |file: &str| -> Vec<Option<u64>> {
        json::requests(Signal::Traces, file.as_bytes())
            .map(|request| request.ok().and_then(|request| check(Signal::Traces, &request).ok()).map(|c| c.resources))
            .collect()
    };
    assert_eq!(read(""), []);
    assert_eq!(read(&format!("{span}\n{span}\n\n")), [Some(1), Some(1)]);
    assert_eq!(read(&format!("{pretty}\n{span}")), [Some(1), Some(1)]);
    assert_eq!(read(&format!("{span}\nno JSON\n{span}\n")), [Some(1), None, Some(1)]);
    assert_eq!(read(&format!("{span}\n{{\"resourceSpans\":5}}\n{span}\n{{\"cut\":")), [Some(1), None, Some(1), None]);
    assert_eq!(read("{\"resourceLogs\":[{}]}"), [Some(0)]);
}

/// Found by fuzzing: a packed list of no numbers stood as `[]` and did not come back.
#[test]
fn an_empty_packed_list_is_none() {
    // The bounds of a data point, of 0 bytes and of 1, which is no double.
    for bounds in [&[0x3a, 0][..], &[0x3a, 1, 9]] {
        let request = [1, 9, 2, 2, 1].iter().fold(bounds.to_vec(), |content, number| {
            let mut out = Vec::new();
            put_bytes(&mut out, *number, &content);
            out
        });
        let text = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{}]}}]}]}]}"#;
        assert_eq!(json::from_protobuf(Signal::Metrics, &request).as_deref(), Ok(text));
    }
}

/// Found by fuzzing: a varint of 2^32 in a field of 32 bits is 0, and a 0 is not written.
#[test]
fn a_number_that_is_cut_to_zero_is_none() {
    // The dropped attributes of a record, then its severity number.
    for number in [7, 2] {
        let mut record = Vec::new();
        put_number(&mut record, number, 1 << 32);
        let request = [2, 2, 1].iter().fold(record, |content, number| {
            let mut out = Vec::new();
            put_bytes(&mut out, *number, &content);
            out
        });
        let text = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}"#;
        assert_eq!(json::from_protobuf(Signal::Logs, &request).as_deref(), Ok(text));
    }
}
