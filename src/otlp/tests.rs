//! Properties of views, patches, splitting and JSON, with prost's types as the independent reading.

mod generator;
mod hostile;
mod json_text;
mod same;

use super::{
    Attribute, Edits, Encoded, LogPatch, Request, RequestWriter, Signal, SpanEvent, SpanPatch, Surroundings, Value,
    check, json, split,
};
use generator::{Quirks, requests};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{self as common, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric};
use opentelemetry_proto::tonic::trace::v1::{Span, span};
use proptest::prelude::*;
use prost::Message as _;
use same::{same_attributes, same_record, same_span};
use std::sync::Arc;

fn signals() -> impl Strategy<Value = Signal> {
    prop::sample::select(&Signal::ALL[..])
}

fn any_request(quirks: Quirks) -> impl Strategy<Value = (Signal, Vec<u8>)> {
    signals().prop_flat_map(move |signal| (Just(signal), requests(signal, quirks)))
}

/// The request as prost reads it; NaN equals NaN in this form.
fn decoded(signal: Signal, request: &[u8]) -> String {
    match signal {
        Signal::Logs => format!("{:?}", ExportLogsServiceRequest::decode(request).expect("logs")),
        Signal::Traces => format!("{:?}", ExportTraceServiceRequest::decode(request).expect("traces")),
        Signal::Metrics => format!("{:?}", ExportMetricsServiceRequest::decode(request).expect("metrics")),
    }
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    let keys = prop::sample::select(vec!["why502.cause", "error.type", "http.route", "", "new.key"]);
    let values = prop_oneof![
        "[a-z ]{0,200}".prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e9..1e9).prop_map(Value::Double),
        prop::collection::vec("[a-z]{0,9}".prop_map(String::from), 0..4).prop_map(Value::Strings),
    ];
    prop::collection::vec((keys, values).prop_map(|(key, value)| Attribute::new(key, value)), 0..5)
}

/// Of two attributes with one key the former.
fn first_of_each(attributes: &[Attribute]) -> Encoded {
    attributes.iter().fold(Encoded::default(), |all, attribute| all.and(&vec![attribute.clone()].into()))
}

/// A patch, and the attributes that it was made of.
type Patch = (LogPatch, Vec<Attribute>, Vec<Attribute>);

fn log_patches() -> impl Strategy<Value = Patch> {
    let ids = (proptest::option::of(Just([7_u8; 16])), proptest::option::of(Just([9_u8; 8])));
    let keys = prop::sample::select(vec!["process.pid", "http.route", "new.key"]);
    let number = proptest::option::of((keys, any::<i64>()));
    (attributes(), attributes(), number, ids).prop_map(|(attributes, missing, number, (trace_id, span_id))| {
        let patch = LogPatch {
            attributes: attributes.clone().into(),
            attributes_if_missing: first_of_each(&missing),
            number_if_missing: number,
            trace_id,
            span_id,
        };
        (patch, attributes, missing)
    })
}

/// The same value in prost's type.
fn in_prost(value: &Value) -> common::AnyValue {
    let text = |text: &String| any_value::Value::StringValue(text.clone());
    common::AnyValue {
        value: Some(match value {
            Value::String(string) => text(string),
            Value::Bool(yes) => any_value::Value::BoolValue(*yes),
            Value::Int(number) => any_value::Value::IntValue(*number),
            Value::Double(number) => any_value::Value::DoubleValue(*number),
            Value::Strings(strings) => any_value::Value::ArrayValue(common::ArrayValue {
                values: strings.iter().map(|string| common::AnyValue { value: Some(text(string)) }).collect(),
            }),
        }),
    }
}

/// What a patch should do to attributes, said once more in prost's types.
fn model_upsert(list: &mut Vec<common::KeyValue>, attributes: &[Attribute], if_missing: &[Attribute]) {
    let pair = |attribute: &Attribute| common::KeyValue {
        key: attribute.key.to_string(),
        value: Some(in_prost(&attribute.value)),
        key_strindex: 0,
    };
    let before: Vec<String> = list.iter().map(|pair| pair.key.clone()).collect();
    for attribute in attributes {
        let first = list.iter().position(|pair| pair.key == attribute.key);
        match first {
            Some(at) => {
                list[at] = pair(attribute);
                let mut index = 0;
                list.retain(|pair| {
                    index += 1;
                    index - 1 == at || pair.key != attribute.key
                });
            }
            None => list.push(pair(attribute)),
        }
    }
    for attribute in if_missing {
        if !before.contains(&attribute.key.to_string()) && !list.iter().any(|pair| pair.key == attribute.key) {
            list.push(pair(attribute));
        }
    }
}

fn model_log_patch(record: &mut LogRecord, (patch, attributes, missing): &Patch) {
    let number = patch.number_if_missing.map(|(key, number)| Attribute::new(key, number));
    let missing: Vec<Attribute> = missing.iter().cloned().chain(number).collect();
    model_upsert(&mut record.attributes, attributes, &missing);
    let valid = |id: &[u8], length: usize| id.len() == length && id.iter().any(|byte| *byte != 0);
    let Some(trace_id) = patch.trace_id else { return };
    if !valid(&record.trace_id, 16) {
        record.trace_id = trace_id.to_vec();
    }
    if let Some(span_id) = patch.span_id
        && record.trace_id == trace_id
        && !valid(&record.span_id, 8)
    {
        record.span_id = span_id.to_vec();
    }
}

/// What happens to one item.
#[derive(Clone, Debug)]
enum Fate {
    Keep,
    Patch,
    Remove,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![4 => Just(Fate::Keep), 2 => Just(Fate::Patch), 1 => Just(Fate::Remove)];
    prop::collection::vec(fate, 1..30)
}

/// Makes the edits with `patch` for each item whose fate it is.
fn edits_of(request: &[u8], fates: &[Fate], patch: impl Fn(&[u8]) -> Vec<u8>) -> Edits {
    let mut edits = Edits::new();
    for (item, fate) in Request::new(request).items().zip(fates.iter().cycle()) {
        match fate {
            Fate::Keep => {}
            Fate::Patch => edits.replace(item.range(), patch(item.bytes)),
            Fate::Remove => edits.remove(item.range()),
        }
    }
    edits
}

/// Does to prost's lists what [`edits_of`] does to bytes: groups that lose all their items go.
macro_rules! model_edits {
    ($resources:expr, $scopes:ident, $items:ident, $fates:expr, $patch:expr) => {{
        let mut fates = $fates.iter().cycle();
        $resources.retain_mut(|resource| {
            let scopes_before = resource.$scopes.len();
            resource.$scopes.retain_mut(|scope| {
                let items_before = scope.$items.len();
                scope.$items.retain_mut(|item| match fates.next() {
                    Some(Fate::Patch) => {
                        $patch(item);
                        true
                    }
                    fate => !matches!(fate, Some(Fate::Remove)),
                });
                items_before == 0 || !scope.$items.is_empty()
            });
            scopes_before == 0 || !resource.$scopes.is_empty()
        });
    }};
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_prost_reads_passes_the_check(
        // Of two kinds of data in one metric prost keeps the last, and the check counts both.
        (signal, request) in any_request(Quirks { duplicates: false, ..Quirks::ALL }),
    ) {
        let reading = decoded(signal, &request);
        let counts = check(signal, &request).expect("well formed");
        let items = match signal {
            Signal::Logs => reading.matches("LogRecord {").count(),
            Signal::Traces => reading.matches("Span {").count(),
            Signal::Metrics => reading.matches("DataPoint {").count(),
        };
        prop_assert_eq!(counts.items, items as u64);
        prop_assert_eq!(counts.resources, Request::new(&request).resources().count() as u64);
        prop_assert_eq!(counts.scopes, Request::new(&request).resources().flat_map(|r| r.scopes()).count() as u64);
    }

    #[test]
    fn nothing_matched_nothing_changes((_, request) in any_request(Quirks::ALL)) {
        prop_assert_eq!(Edits::new().apply(&request), request.clone());
        let mut edits = Edits::new();
        edits.replace(request.len() + 1..request.len() + 2, vec![1]);
        prop_assert_eq!(edits.apply(&request), request);
    }

    #[test]
    fn patched_logs_differ_by_exactly_the_patch(
        request in requests(Signal::Logs, Quirks::ALL), fates in fates(), patch in log_patches(),
    ) {
        let output = edits_of(&request, &fates, |record| patch.0.apply(record)).apply(&request);
        let mut expected = ExportLogsServiceRequest::decode(&request[..]).expect("input");
        model_edits!(expected.resource_logs, scope_logs, log_records, fates, |record| model_log_patch(record, &patch));
        prop_assert!(check(Signal::Logs, &output).is_ok());
        prop_assert_eq!(decoded(Signal::Logs, &output), format!("{expected:?}"));
    }

    #[test]
    fn patched_spans_differ_by_exactly_the_patch(
        request in requests(Signal::Traces, Quirks::ALL), fates in fates(), new in attributes(), missing in attributes(),
        event in attributes(),
    ) {
        let mut event = event;
        event.sort_by(|one, other| one.key.cmp(&other.key));
        event.dedup_by(|one, other| one.key == other.key);
        let events = vec![SpanEvent { time: 12, name: "why502.verdict".to_owned(), attributes: event.clone().into() }];
        let patch = SpanPatch { attributes: new.clone().into(), attributes_if_missing: first_of_each(&missing), events };
        let output = edits_of(&request, &fates, |span| patch.apply(span)).apply(&request);
        let mut expected = ExportTraceServiceRequest::decode(&request[..]).expect("input");
        model_edits!(expected.resource_spans, scope_spans, spans, fates, |span: &mut Span| {
            model_upsert(&mut span.attributes, &new, &missing);
            span.events.push(span::Event {
                time_unix_nano: 12,
                name: "why502.verdict".to_owned(),
                attributes: event.iter().map(|attribute| common::KeyValue {
                    key: attribute.key.to_string(), value: Some(in_prost(&attribute.value)), key_strindex: 0,
                }).collect(),
                dropped_attributes_count: 0,
            });
        });
        prop_assert_eq!(decoded(Signal::Traces, &output), format!("{expected:?}"));
    }

    #[test]
    fn what_is_not_patched_keeps_its_bytes(
        (_, request) in any_request(Quirks::ALL), fates in fates(), patch in log_patches(),
    ) {
        let fates: Vec<Fate> = fates.into_iter().filter(|fate| !matches!(fate, Fate::Remove)).chain([Fate::Keep]).collect();
        let output = edits_of(&request, &fates, |record| patch.0.apply(record)).apply(&request);
        let groups = |bytes| {
            let resources = Request::new(bytes).resources();
            resources.flat_map(|r| r.scopes().map(move |s| (r.shell(), s.shell()))).collect::<Vec<_>>()
        };
        prop_assert_eq!(groups(&request), groups(&output));
        let pairs = Request::new(&request).items().zip(Request::new(&output).items());
        for ((before, after), fate) in pairs.zip(fates.iter().cycle()) {
            if matches!(fate, Fate::Keep) {
                prop_assert_eq!(before.bytes, after.bytes);
            }
        }
    }

    #[test]
    fn a_patch_never_duplicates_and_is_idempotent(
        request in requests(Signal::Logs, Quirks::ALL), patch in log_patches(),
    ) {
        for item in Request::new(&request).items() {
            let once = patch.0.apply(item.bytes);
            prop_assert_eq!(&patch.0.apply(&once), &once);
            let record = super::LogRecord::read(&once);
            for attribute in &patch.1 {
                let same = record.attributes().filter(|pair| pair.key == attribute.key.as_bytes());
                prop_assert_eq!(same.count(), 1);
            }
        }
    }

    #[test]
    fn appended_items_stand_last(request in requests(Signal::Logs, Quirks::ALL), count in 1_usize..4) {
        let mut expected = ExportLogsServiceRequest::decode(&request[..]).expect("input");
        let mut edits = Edits::new();
        let record = super::NewRecord { body: "added", time: 5, ..super::NewRecord::default() }.encode();
        let scopes = Request::new(&request).resources().flat_map(|resource| resource.scopes());
        for scope in scopes {
            (0..count).for_each(|_| edits.append(scope.range(), record.clone()));
        }
        for scope in expected.resource_logs.iter_mut().flat_map(|resource| &mut resource.scope_logs) {
            let added = LogRecord::decode(&record[..]).expect("record");
            scope.log_records.extend(std::iter::repeat_n(added, count));
        }
        prop_assert_eq!(decoded(Signal::Logs, &edits.apply(&request)), format!("{expected:?}"));
    }

    #[test]
    fn views_read_what_prost_reads(
        request in requests(Signal::Logs, Quirks { duplicates: false, ..Quirks::ALL }),
        traces in requests(Signal::Traces, Quirks { duplicates: false, ..Quirks::ALL }),
    ) {
        let expected = ExportLogsServiceRequest::decode(&request[..]).expect("input");
        let resources = Request::new(&request).resources();
        prop_assert_eq!(resources.clone().count(), expected.resource_logs.len());
        for (group, expected) in resources.zip(&expected.resource_logs) {
            prop_assert_eq!(group.schema_url(), expected.schema_url.as_bytes());
            prop_assert_eq!(group.resource().is_some(), expected.resource.is_some());
            let attributes = expected.resource.iter().flat_map(|resource| &resource.attributes);
            prop_assert!(same_attributes(group.attributes(), attributes));
            prop_assert_eq!(group.scopes().count(), expected.scope_logs.len());
            for (scope, expected) in group.scopes().zip(&expected.scope_logs) {
                let expected_scope = expected.scope.clone().unwrap_or_default();
                prop_assert_eq!(scope.scope().is_some(), expected.scope.is_some());
                prop_assert_eq!(scope.name(), expected_scope.name.as_bytes());
                prop_assert_eq!(scope.version(), expected_scope.version.as_bytes());
                prop_assert_eq!(scope.schema_url(), expected.schema_url.as_bytes());
                for (item, expected) in scope.items().zip(&expected.log_records) {
                    prop_assert!(same_record(&item.log_record(), expected), "{:?} {expected:?}", item.log_record());
                }
            }
        }
        let expected = ExportTraceServiceRequest::decode(&traces[..]).expect("input");
        let expected = expected.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
        for (item, expected) in Request::new(&traces).items().zip(expected) {
            prop_assert!(same_span(&item.span(), expected), "{:?} {expected:?}", item.span());
        }
    }

    #[test]
    fn a_split_keeps_every_item_in_order((signal, request) in any_request(Quirks::ALL), bytes_max in 20_usize..6_000) {
        let split = split(signal, &request, bytes_max);
        for part in &split.parts {
            prop_assert!(part.len() <= bytes_max);
            prop_assert!(check(signal, part).is_ok());
        }
        for alone in &split.oversized {
            prop_assert!(alone.len() > bytes_max);
        }
        let parts = split.parts.iter().chain(&split.oversized);
        let items = parts.map(|part| check(signal, part).expect("well formed").items).sum::<u64>();
        prop_assert_eq!(items, check(signal, &request).expect("well formed").items);
        // A metric may be cut in several.
        if signal == Signal::Metrics {
            return Ok(());
        }
        let whole = surrounded(&request);
        let mut rest = split.parts.iter().flat_map(|part| surrounded(part)).peekable();
        let mut dropped = split.oversized.iter().flat_map(|part| surrounded(part)).peekable();
        for item in whole {
            let found = if rest.peek() == Some(&item) { rest.next() } else { dropped.next() };
            prop_assert_eq!(found, Some(item));
        }
        prop_assert!(rest.next().is_none() && dropped.next().is_none());
    }

    #[test]
    fn the_pieces_of_a_metric_are_the_metric(
        request in requests(Signal::Metrics, Quirks { duplicates: false, ..Quirks::ALL }), bytes_max in 200_usize..2_000,
    ) {
        let mut before = ExportMetricsServiceRequest::decode(&request[..]).expect("input");
        let split = split(Signal::Metrics, &request, bytes_max);
        let whole: Vec<_> = all_metrics(&mut before).collect();
        let mut pieces = Vec::new();
        for part in split.parts.iter().chain(&split.oversized) {
            let mut part = ExportMetricsServiceRequest::decode(&part[..]).expect("part");
            pieces.extend(all_metrics(&mut part));
        }
        prop_assert!(pieces.len() >= whole.len());
        // Names, units and points of the whole, each with the metric that it belongs to.
        let mut before: Vec<String> = whole.iter().flat_map(points).collect();
        let mut after: Vec<String> = pieces.iter().flat_map(points).collect();
        // What is oversized stands after the parts here, and at its place in the whole.
        before.sort();
        after.sort();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn rewrapped_items_keep_their_surroundings((signal, request) in any_request(Quirks::ALL)) {
        let mut writer = RequestWriter::new();
        for resource in Request::new(&request).resources() {
            for scope in resource.scopes() {
                let surroundings = Surroundings::of(resource.shell(), scope.shell());
                scope.items().for_each(|item| writer.push(&surroundings, item.bytes));
            }
        }
        let length = writer.bytes_len();
        let output = writer.finish();
        prop_assert_eq!(length, output.len());
        prop_assert!(check(signal, &output).is_ok());
        prop_assert_eq!(surrounded(&output), surrounded(&request));
    }

    #[test]
    fn json_comes_back_as_prost_reads_it((signal, request) in any_request(Quirks::ALL)) {
        let text = json::from_protobuf(signal, &request).expect("well formed");
        prop_assert!(!text.bytes().any(|byte| byte < 0x20));
        let output = json::to_protobuf(signal, text.as_bytes()).expect("our own JSON");
        prop_assert_eq!(decoded(signal, &output), decoded(signal, &request), "{}", text);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let pretty = serde_json::to_vec_pretty(&value).expect("JSON");
        // serde_json sorts keys, and nothing else changes: no field of OTLP depends on the order of another.
        let output = json::to_protobuf(signal, &pretty).expect("pretty JSON");
        prop_assert_eq!(decoded(signal, &output), decoded(signal, &request));
    }
}

fn all_metrics(request: &mut ExportMetricsServiceRequest) -> impl Iterator<Item = Metric> {
    let resources = std::mem::take(&mut request.resource_metrics).into_iter();
    resources.flat_map(|resource| resource.scope_metrics).flat_map(|scope| scope.metrics)
}

/// Each data point with all that stands around it in its metric.
fn points(metric: &Metric) -> Vec<String> {
    let mut shell = metric.clone();
    let points: Vec<String> = match &mut shell.data {
        Some(metric::Data::Gauge(data)) => texts(&mut data.data_points),
        Some(metric::Data::Sum(data)) => texts(&mut data.data_points),
        Some(metric::Data::Histogram(data)) => texts(&mut data.data_points),
        Some(metric::Data::ExponentialHistogram(data)) => texts(&mut data.data_points),
        Some(metric::Data::Summary(data)) => texts(&mut data.data_points),
        None => Vec::new(),
    };
    points.into_iter().map(|point| format!("{shell:?} {point}")).collect()
}

fn texts<T: std::fmt::Debug>(points: &mut Vec<T>) -> Vec<String> {
    points.drain(..).map(|point| format!("{point:?}")).collect()
}

/// Properties over requests that hold nothing would prove nothing.
#[test]
fn the_generator_reaches_every_level() {
    for signal in Signal::ALL {
        let (mut items, mut unknown, mut attributes, mut scopes) = (0, 0, 0, 0);
        let mut seed = 1_u64;
        for _ in 0..100 {
            let tape: Vec<u8> = std::iter::repeat_with(|| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 56) as u8
            })
            .take(1_500)
            .collect();
            let request = generator::request(signal, Quirks::ALL, &tape);
            scopes += Request::new(&request).resources().flat_map(|resource| resource.scopes()).count();
            for item in Request::new(&request).items() {
                items += 1;
                let fields = super::wire::Fields::new(item.bytes);
                unknown += fields.clone().filter(|field| field.number > 16).count();
                attributes += fields.filter(|field| [6, 9].contains(&field.number)).count();
            }
        }
        assert!(scopes > 300 && items > 300 && unknown > 50, "{signal:?}: {scopes} {items} {unknown}");
        assert!(attributes > 100, "{signal:?}: {scopes} {items} {unknown} {attributes}");
    }
}

/// The shells of its resource and scope, and an item.
type Surrounded = (Arc<[u8]>, Arc<[u8]>, Vec<u8>);

/// Each item with what surrounds it.
fn surrounded(request: &[u8]) -> Vec<Surrounded> {
    let mut all = Vec::new();
    for resource in Request::new(request).resources() {
        for scope in resource.scopes() {
            all.extend(scope.items().map(|item| (resource.shell(), scope.shell(), item.bytes.to_vec())));
        }
    }
    all
}
