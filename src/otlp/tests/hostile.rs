//! Bytes that nobody should send: no panic, no growth, and the rest of the batch survives.

use super::generator::{Quirks, request};
use crate::otlp::wire::{put_bytes, put_fixed64};
use crate::otlp::{
    AnyValue, Attribute, Edits, LogPatch, LogRecord, Malformed, NewRecord, Request, RequestWriter, Signal, SpanEvent,
    SpanPatch, Surroundings, check, json, resource, scope, split,
};
use proptest::prelude::*;

/// Calls everything that takes bytes.
fn exercise(bytes: &[u8]) {
    let patch = LogPatch {
        attributes: vec![Attribute::new("why502.cause", "unknown")].into(),
        attributes_if_missing: vec![Attribute::new("error.type", "unknown")].into(),
        number_if_missing: Some(("process.pid", 29)),
        trace_id: Some([1; 16]),
        span_id: Some([2; 8]),
    };
    let events = vec![SpanEvent { time: 1, name: "e".to_owned(), attributes: vec![Attribute::new("k", true)].into() }];
    let span_patch = SpanPatch { attributes: patch.attributes.clone(), events, ..SpanPatch::default() };
    let mut edits = Edits::new();
    for resource in Request::new(bytes).resources() {
        drop(format!("{:?} {:?}", resource.attributes().collect::<Vec<_>>(), resource.schema_url()));
        for scope in resource.scopes() {
            drop(format!("{:?} {:?}", scope.name(), scope.shell()));
            for item in scope.items() {
                drop(format!("{:?} {:?}", item.log_record().body(), item.span().parent_span_id()));
                drop(format!("{:?}", item.log_record().attributes().map(|pair| pair.value()).collect::<Vec<_>>()));
                let patched = span_patch.apply(item.bytes);
                if check(Signal::Traces, bytes).is_ok() {
                    assert_eq!(span_patch.apply(&patched), patched, "by two why502 it is patched once");
                }
                edits.replace(item.range(), patch.apply(item.bytes));
            }
            edits.append(scope.range(), vec![1]);
        }
    }
    let output = edits.apply(bytes);
    assert!(output.len() <= 400 + bytes.len() * 200, "{} out of {}", output.len(), bytes.len());
    for signal in Signal::ALL {
        let _ = check(signal, bytes);
        drop(json::from_protobuf(signal, bytes));
        drop(json::to_protobuf(signal, bytes));
        drop(json::requests(signal, bytes).collect::<Vec<_>>());
    }
    drop(split(Signal::ALL[bytes.len() % 3], bytes, bytes.len() / 3));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise(&bytes);
    }

    #[test]
    fn damaged_requests_do_no_harm(
        tape in prop::collection::vec(any::<u8>(), 0..600),
        signal in super::signals(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = request(signal, Quirks::ALL, &tape);
        if !bytes.is_empty() {
            for (index, byte) in damage {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            exercise(&bytes);
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(&bytes);
    }

    #[test]
    fn damaged_json_does_no_harm(
        tape in prop::collection::vec(any::<u8>(), 0..400),
        signal in super::signals(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"{}[]\",:0a\\n-eE."[..])), 1..5),
    ) {
        let text = json::from_protobuf(signal, &request(signal, Quirks::ALL, &tape)).expect("well formed");
        let mut text = text.into_bytes();
        for (index, byte) in damage {
            let at = index.index(text.len());
            text[at] = byte;
        }
        if let Ok(output) = json::to_protobuf(signal, &text) {
            prop_assert!(check(signal, &output).is_ok());
        }
    }
}

fn logs(records: &[Vec<u8>]) -> Vec<u8> {
    let surroundings = Surroundings::new(&resource(&[Attribute::new("service.name", "till")]), &scope("shop", "2"));
    let mut writer = RequestWriter::new();
    records.iter().for_each(|record| writer.push(&surroundings, record));
    writer.finish()
}

/// A log record whose body is an array in an array, `levels` times.
fn nested(levels: usize) -> Vec<u8> {
    let mut value = Vec::new();
    put_bytes(&mut value, 1, b"core");
    for _ in 0..levels {
        let mut list = Vec::new();
        put_bytes(&mut list, 1, &value);
        value.clear();
        put_bytes(&mut value, 5, &list);
    }
    let mut record = Vec::new();
    put_bytes(&mut record, 5, &value);
    record
}

#[test]
fn nesting_has_a_floor() {
    for levels in [1, 27, 28, 31, 32, 100, 10_000] {
        let request = logs(&[nested(levels), NewRecord { body: "next", ..NewRecord::default() }.encode()]);
        assert_eq!(check(Signal::Logs, &request).map(|counts| counts.items), Ok(2));
        exercise(&request);
        let records: Vec<LogRecord<'_>> = Request::new(&request).items().map(|item| item.log_record()).collect();
        let mut value = records[0].body();
        let mut depth = 0;
        while let Some(AnyValue::Array(mut values)) = value {
            value = values.next();
            depth += 1;
        }
        assert_eq!(depth, levels.min(32), "{levels}");
        assert_eq!(value == Some(AnyValue::String(b"core")), levels < 32, "{levels}");
        assert_eq!(records[1].body_string(), Some(&b"next"[..]));

        let text = json::from_protobuf(Signal::Logs, &request).expect("well formed");
        assert_eq!(text.contains("core"), levels < 28, "{levels}");
        assert!(text.contains("next"));
        assert!(json::to_protobuf(Signal::Logs, text.as_bytes()).is_ok(), "{levels}: our own JSON reads back");
    }
}

#[test]
fn nested_json_costs_its_own_value_alone() {
    for levels in [10, 27, 28, 100, 100_000] {
        let open = "{\"arrayValue\":{\"values\":[".repeat(levels);
        let close = "]}}".repeat(levels);
        let text = format!(
            "{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"body\":{open}{{\"stringValue\":\"core\"}}{close}}},{{\"body\":{{\"stringValue\":\"next\"}}}}]}}]}}]}}"
        );
        let request = json::to_protobuf(Signal::Logs, text.as_bytes()).expect("the rest is fine");
        let found = |word: &[u8]| request.windows(word.len()).any(|window| window == word);
        assert_eq!((found(b"core"), found(b"nested too deeply")), (levels < 28, levels >= 28), "{levels}");
        let records: Vec<LogRecord<'_>> = Request::new(&request).items().map(|item| item.log_record()).collect();
        assert_eq!((records.len(), records[1].body_string()), (2, Some(&b"next"[..])), "{levels}");
        let ignored = format!("{{\"x\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(levels > 10_000 || json::to_protobuf(Signal::Logs, ignored.as_bytes()).is_ok());
    }
}

#[test]
fn times_at_the_edges_pass() {
    // 2500-01-01T00:00:00Z is past the end of a signed 64-bit count of nanoseconds.
    for time in [0, 1, 16_725_225_600_000_000_000, u64::MAX] {
        let mut record = Vec::new();
        put_fixed64(&mut record, 1, time);
        put_fixed64(&mut record, 11, time);
        let request = logs(&[record]);
        let view = Request::new(&request).items().next().map(|item| item.log_record()).expect("a record");
        assert_eq!((view.time, view.observed_time), (time, time));
        let text = json::from_protobuf(Signal::Logs, &request).expect("well formed");
        assert_eq!(text.contains(&format!("\"timeUnixNano\":\"{time}\"")), time != 0, "{text}");
    }
}

#[test]
fn bytes_that_are_no_text_stay_as_they_are() {
    let mut body = Vec::new();
    put_bytes(&mut body, 1, b"GET /\xff\xc0\x80\0\x1b[2J");
    let mut record = Vec::new();
    put_bytes(&mut record, 5, &body);
    let request = logs(&[record]);
    let item = Request::new(&request).items().next().expect("a record");
    assert_eq!(item.log_record().body_string(), Some(&b"GET /\xff\xc0\x80\0\x1b[2J"[..]));
    let mut edits = Edits::new();
    let patch = LogPatch { attributes: vec![Attribute::new("why502.cause", "unknown")].into(), ..LogPatch::default() };
    edits.replace(item.range(), patch.apply(item.bytes));
    let output = edits.apply(&request);
    let patched = Request::new(&output).items().next().expect("a record").log_record();
    assert_eq!(patched.body_string(), Some(&b"GET /\xff\xc0\x80\0\x1b[2J"[..]));
    let text = json::from_protobuf(Signal::Logs, &output).expect("well formed");
    assert!(text.contains("GET /\u{fffd}\u{fffd}\u{fffd}\\u0000\\u001b[2J"), "{text}");
}

#[test]
fn another_signals_request_is_refused() {
    let record = NewRecord { time: 1, body: "line", ..NewRecord::default() }.encode();
    let request = logs(&[record]);
    assert!(check(Signal::Logs, &request).is_ok());
    assert!(matches!(check(Signal::Traces, &request), Err(Malformed::WireType { number: 1, .. })));
    assert!(matches!(check(Signal::Metrics, &request), Err(Malformed::WireType { number: 1, .. })));
}

#[test]
fn a_cut_request_is_refused_at_every_byte() {
    let record = NewRecord { time: 1, body: "line", ..NewRecord::default() }.encode();
    let request = logs(&[record.clone(), record]);
    for length in 1..request.len() {
        assert!(check(Signal::Logs, &request[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_record_over_the_limit_costs_one_record() {
    let small = NewRecord { body: "small", ..NewRecord::default() }.encode();
    let large = NewRecord { body: &"x".repeat(5_000), ..NewRecord::default() }.encode();
    let request = logs(&[small.clone(), large, small]);
    let split = split(Signal::Logs, &request, 1_000);
    let items = |requests: &[Vec<u8>]| requests.iter().map(|part| Request::new(part).items().count()).sum::<usize>();
    assert_eq!((items(&split.parts), items(&split.oversized)), (2, 1));
}

/// The deepest place of a value is the attribute of an exemplar, and maps take the most brackets.
#[test]
fn the_deepest_json_of_our_own_reads_back() {
    let wrap = |numbers: &[u32], content: Vec<u8>| {
        numbers.iter().fold(content, |content, number| {
            let mut out = Vec::new();
            put_bytes(&mut out, *number, &content);
            out
        })
    };
    for levels in [26, 27, 28, 40] {
        let mut value = Vec::new();
        put_bytes(&mut value, 1, b"core");
        for _ in 0..levels {
            // AnyValue in KeyValue.value in KeyValueList.values in AnyValue.kvlist_value.
            value = wrap(&[2, 1, 6], value);
        }
        // KeyValue, Exemplar, NumberDataPoint, Sum, Metric, ScopeMetrics, ResourceMetrics, request.
        let request = wrap(&[2, 7, 5, 1, 7, 2, 2, 1], value);
        assert_eq!(check(Signal::Metrics, &request).map(|counts| counts.items), Ok(1));
        let text = json::from_protobuf(Signal::Metrics, &request).expect("well formed");
        assert_eq!(text.contains("core"), levels < 28, "{levels}");
        let back = json::to_protobuf(Signal::Metrics, text.as_bytes()).expect("our own JSON");
        assert_eq!(json::from_protobuf(Signal::Metrics, &back), Ok(text));
    }
}

#[test]
fn a_long_resource_is_not_repeated_without_end() {
    let long = Surroundings::new(&resource(&[Attribute::new("x", "y".repeat(3_000))]), &scope("shop", "2"));
    let mut writer = RequestWriter::new();
    let record = NewRecord { body: "small", ..NewRecord::default() }.encode();
    (0..1_000).for_each(|_| writer.push(&long, &record));
    let request = writer.finish();
    for bytes_max in [2_000, 4_000, 12_500] {
        let split = split(Signal::Logs, &request, bytes_max);
        let total: usize = split.parts.iter().chain(&split.oversized).map(Vec::len).sum();
        assert!(total < request.len() * 2, "{bytes_max}: {total} out of {}", request.len());
        assert_eq!(split.oversized.is_empty(), bytes_max == 12_500);
    }
}

#[test]
fn json_does_not_grow_past_the_limit_of_a_request() {
    let bounds = |count: usize| {
        let list = "0,".repeat(count);
        let list = list.trim_end_matches(',');
        let head =
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"explicitBounds":["#;
        json::to_protobuf(Signal::Metrics, format!("{head}{list}]}}]}}}}]}}]}}]}}").as_bytes())
    };
    assert_eq!(bounds(1_000).map(|request| request.len() / 8_000).ok(), Some(1));
    let error = bounds(9_000_000).expect_err("72 MB of bounds").to_string();
    assert!(error.contains("longer than 64 MiB"), "{error}");
}

#[test]
fn a_metric_of_many_points_is_cut_between_them() {
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","sum":{{"isMonotonic":true,"dataPoints":[{}]}}}}]}}]}}]}}"#,
        (0..1_000).map(|number| format!(r#"{{"asInt":{number}}}"#)).collect::<Vec<_>>().join(",")
    );
    let request = json::to_protobuf(Signal::Metrics, text.as_bytes()).expect("OTLP JSON");
    let split = split(Signal::Metrics, &request, 1_000);
    assert!(split.oversized.is_empty());
    assert_eq!(split.parts.len(), request.len().div_ceil(1_000));
    let mut points = String::new();
    for part in &split.parts {
        let text = json::from_protobuf(Signal::Metrics, part).expect("well formed");
        assert!(text.contains(r#""name":"m","sum""#) && text.contains(r#""isMonotonic":true"#), "{text}");
        points.push_str(&text);
    }
    let numbers: Vec<&str> = points.split("\"asInt\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(numbers, (0..1_000).map(|number: u32| number.to_string()).collect::<Vec<_>>());
}
