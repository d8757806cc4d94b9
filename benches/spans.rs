//! What a span costs: the scan of a request, a row in the ring, and what a verdict looks up there. Figures are per 1,000
//! healthy server spans of about 350 bytes; the throughput column is spans.
//!
//! `cargo bench --bench spans`

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use std::sync::Arc;
use why502::engine::correlate::spans::{SpanRow, Spans, hash_target};
use why502::otlp::{Signal, check};
use why502::read::Wanted;
use why502::read::evidence::{MILLISECOND, Nanos, SECOND};
use why502::scan::spans::scan;

const SPANS: u64 = 1_000;
/// Spans in sight, and how many of them end within a second.
const IN_SIGHT: u64 = 200_000;
const RATE: u64 = 20_000;
const START: Nanos = 1_804_069_200 * SECOND;

fn main() {
    divan::main();
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// The number spread over an id.
fn trace_id(number: u64) -> [u8; 16] {
    (u128::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()
}

/// One request as an SDK sends it.
fn request() -> Vec<u8> {
    let span = |number: u64| {
        let texts = [
            ("http.request.method", "GET".to_owned()),
            ("url.path", format!("/catalogue/item/{number}")),
            ("url.scheme", "http".to_owned()),
            ("server.address", "shop.test".to_owned()),
            ("client.address", "198.51.100.7".to_owned()),
            ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)".to_owned()),
            ("network.protocol.version", "1.1".to_owned()),
            ("http.route", "/catalogue/item/{item}".to_owned()),
        ];
        let mut attributes: Vec<KeyValue> =
            texts.into_iter().map(|(key, text)| attribute(key, Value::StringValue(text))).collect();
        attributes.push(attribute("http.response.status_code", Value::IntValue(200)));
        let start = START as u64 + number * 50_000;
        Span {
            trace_id: trace_id(number).to_vec(),
            span_id: (number + 1).to_le_bytes().to_vec(),
            name: "GET /catalogue/item/{item}".to_owned(),
            kind: 2,
            start_time_unix_nano: start,
            end_time_unix_nano: start + 12_000_000,
            attributes,
            ..Span::default()
        }
    };
    let scope_spans = vec![ScopeSpans { spans: (0..SPANS).map(span).collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn row(number: u64) -> SpanRow {
    let end = START + (number * (SECOND as u64 / RATE)) as Nanos;
    SpanRow {
        trace_id: trace_id(number),
        start: end - 12 * MILLISECOND,
        end,
        status: 200,
        flags: 1,
        ..SpanRow::default()
    }
}

/// A ring that is full, each span with one of a thousand paths.
fn full() -> (Spans, Nanos) {
    let mut spans = Spans::default();
    let mut now = START;
    for number in 0..IN_SIGHT {
        let row = row(number).asking("GET", &format!("/catalogue/item/{}", number % 1_000));
        now = row.end;
        spans.insert(now, row, IN_SIGHT as usize);
    }
    (spans, now)
}

#[divan::bench(counters = [ItemsCount::new(SPANS)])]
fn check_walk(bencher: Bencher<'_, '_>) {
    let request = request();
    bencher.bench_local(|| check(Signal::Traces, black_box(&request)));
}

#[divan::bench(counters = [ItemsCount::new(SPANS)])]
fn scan_healthy(bencher: Bencher<'_, '_>) {
    let request = request();
    bencher.bench_local(|| scan(black_box(&request), &Wanted::default(), |_| Arc::default()));
}

#[divan::bench(counters = [ItemsCount::new(SPANS)])]
fn scan_while_ids_are_named(bencher: Bencher<'_, '_>) {
    let request = request();
    let named = Wanted::new((0..1_000).collect());
    bencher.bench_local(|| scan(black_box(&request), &named, |_| Arc::default()));
}

#[divan::bench(counters = [ItemsCount::new(SPANS)])]
fn remember(bencher: Bencher<'_, '_>) {
    let (mut spans, mut number) = (Spans::default(), 0);
    bencher.bench_local(|| {
        for _ in 0..SPANS {
            let row = row(number);
            spans.insert(row.end, row, IN_SIGHT as usize);
            number += 1;
        }
    });
}

#[divan::bench(counters = [ItemsCount::new(SPANS)])]
fn remember_and_index(bencher: Bencher<'_, '_>) {
    let (mut spans, mut number) = (Spans::default(), 0);
    bencher.bench_local(|| {
        for _ in 0..SPANS {
            let row = row(number);
            spans.insert(row.end, row, IN_SIGHT as usize);
            number += 1;
            if number.is_multiple_of(10) {
                spans.look_after(row.end, IN_SIGHT as usize);
            }
        }
    });
}

/// A verdict by trace id, with a span and without.
#[divan::bench(args = [true, false])]
fn find_trace(bencher: Bencher<'_, '_>, known: bool) {
    let (mut spans, now) = full();
    spans.look_after(now, IN_SIGHT as usize);
    let trace_id = trace_id(if known { 100_000 } else { IN_SIGHT });
    bencher.bench_local(|| spans.of_trace(black_box(&trace_id)).count());
}

/// A verdict by time: the spans of its path within 72 ms, or within two minutes.
#[divan::bench(args = [72, 120_000])]
fn find_on_path(bencher: Bencher<'_, '_>, milliseconds: i64) {
    let (mut spans, now) = full();
    spans.look_after(now, IN_SIGHT as usize);
    let (path, _) = hash_target("/catalogue/item/7");
    let from = START + 2 * SECOND;
    bencher.bench_local(|| spans.on_path(black_box(path), from, from + milliseconds * MILLISECOND).count());
}
