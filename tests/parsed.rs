//! Logs that a collector parsed before they came here: what it took off the lines joins records as if it were in them.

#[path = "common/requests.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod requests;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use requests::{attribute, logs_of, record, text};
use why502::engine::verdict::{Ticket, Verdict};
use why502::engine::{Engine, Output, Record, Settings};
use why502::read::Wanted;
use why502::read::evidence::Nanos;
use why502::read::formats::Reader;
use why502::scan;
use why502::scan::place::Sites;
use why502::scan::streams::Memories;

/// When a collector saw the records: half a second after their second.
const OBSERVED: u64 = 1_772_615_704_000_000_000;

/// The verdicts on records, each of which is in the stream of its file.
fn verdicts(records: Vec<LogRecord>) -> Vec<Verdict> {
    let request = logs_of(records);
    let scanned =
        scan::logs(&request, &Reader::default(), &Memories::default(), &Sites::default(), &Wanted::default(), |_| true);
    let scanned = scanned.expect("everything is admitted");
    let now = OBSERVED as Nanos;
    let mut engine = Engine::new(Settings::default());
    let mut tickets = 0;
    for found in scanned.found {
        for evidence in found.evidences {
            tickets += 1;
            let ticket = Ticket(tickets);
            let stream = found.stream.clone();
            engine.handle_record(now, Record { ticket, stream, observed: found.observed, evidence });
        }
    }
    engine.finish(now);
    let mut verdicts = Vec::new();
    while let Some(output) = engine.poll_output() {
        if let Output::Verdict(verdict) = output {
            verdicts.push((*verdict).clone());
        }
    }
    verdicts
}

/// The trace, the cause and the number of records of each verdict; the worker where one is blamed.
fn told(records: Vec<LogRecord>) -> Vec<String> {
    let shown = |verdict: &Verdict| {
        let trace = verdict.link.trace.map_or("-".to_owned(), |trace| format!("{:x}", trace.trace_id[0]));
        let worker = verdict.worker_pid.map_or(String::new(), |pid| format!(" {pid}"));
        format!("{trace} {} {}{worker}", verdict.cause.id, verdict.records.len())
    };
    let mut told: Vec<String> = verdicts(records).iter().map(shown).collect();
    told.sort();
    told
}

fn int(value: i64) -> AnyValue {
    AnyValue { value: Some(Value::IntValue(value)) }
}

fn map(pairs: &[(&str, AnyValue)]) -> AnyValue {
    let pair = |(key, value): &(&str, AnyValue)| KeyValue {
        key: (*key).to_owned(),
        value: Some(value.clone()),
        ..KeyValue::default()
    };
    AnyValue { value: Some(Value::KvlistValue(KeyValueList { values: pairs.iter().map(pair).collect() })) }
}

/// A record with a body of any kind, or none, out of one file.
fn of_file(name: &str, body: Option<AnyValue>, attributes: &[(&str, AnyValue)]) -> LogRecord {
    let mut pairs = vec![attribute("log.file.name", name)];
    pairs.extend(attributes.iter().map(|(key, value)| KeyValue {
        key: (*key).to_owned(),
        value: Some(value.clone()),
        ..KeyValue::default()
    }));
    LogRecord { body, attributes: pairs, observed_time_unix_nano: OBSERVED, ..record("") }
}

const REQUEST: &str = "GET /cart HTTP/1.1";
const TIME: &str = "2026/03/04 09:15:03";

/// A refused connection as each way of parsing leaves nginx's line; `connection` may be left away.
fn error_shapes(message: &str, connection: Option<i64>) -> Vec<(&'static str, LogRecord)> {
    let upstream = "http://127.0.0.1:8000/cart";
    let tail = format!(
        r#", client: 198.51.100.20, server: shop.test, request: "{REQUEST}", upstream: "{upstream}", host: "shop.test""#
    );
    let whole = format!("{message}{tail}");
    let pid = connection.map(|_| 411);
    let strings = |key: &'static str, number: Option<i64>| number.map(|number| (key, text(&number.to_string())));
    let ints = |key: &'static str, number: Option<i64>| number.map(|number| (key, int(number)));
    let of = |body, attributes: &[(&str, AnyValue)]| of_file("error.log", body, attributes);

    let head: Vec<_> = [Some(("time", text(TIME))), Some(("level", text("error"))), strings("pid", pid)]
        .into_iter()
        .chain([strings("tid", pid), strings("connection", connection)])
        .flatten()
        .collect();
    let message_too: Vec<_> = head.iter().cloned().chain([("message", text(&whole))]).collect();
    // Vector's `parse_nginx_log` cuts the fields behind the message off as well.
    let vector: Vec<_> = [
        Some(("timestamp", text("2026-03-04T09:15:03Z"))),
        Some(("severity", text("error"))),
        ints("pid", pid),
        ints("tid", pid),
        ints("cid", connection),
        Some(("message", text(message))),
        Some(("client", text("198.51.100.20"))),
        Some(("server", text("shop.test"))),
        Some(("request", text(REQUEST))),
        Some(("upstream", text(upstream))),
        Some(("host", text("shop.test"))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let number = |number: Option<i64>| number.map_or("null".to_owned(), |number| number.to_string());
    let json = format!(
        r#"{{"timestamp":"2026-03-04T09:15:03Z","severity":"error","pid":{},"cid":{},"message":{:?},"client":"198.51.100.20","server":"shop.test","request":{REQUEST:?},"upstream":{upstream:?}}}"#,
        number(pid),
        number(connection),
        message
    );
    // Elastic's names, flat and as maps within maps.
    let elastic: Vec<_> = [
        Some(("nginx.error.time", text(TIME))),
        Some(("log.level", text("error"))),
        ints("process.pid", pid),
        ints("process.thread.id", pid),
        ints("nginx.error.connection_id", connection),
    ]
    .into_iter()
    .flatten()
    .collect();
    let nested: Vec<_> = [
        Some(("message", text(&whole))),
        Some(("@timestamp", text("2026-03-04T09:15:03.000Z"))),
        Some(("log", map(&[("level", text("error"))]))),
        pid.map(|pid| ("process", map(&[("pid", int(pid)), ("thread", map(&[("id", int(pid))]))]))),
        connection.map(|number| ("nginx", map(&[("error", map(&[("connection_id", int(number))]))]))),
    ]
    .into_iter()
    .flatten()
    .collect();
    vec![
        ("message in the body", of(Some(text(&whole)), &head)),
        ("message among the attributes", of(None, &message_too)),
        ("a structured body", of(Some(map(&message_too)), &[])),
        ("head beside a structured body", of(Some(map(&[("message", text(&whole))])), &head)),
        ("all apart, in attributes", of(None, &vector)),
        ("all apart, in the body", of(Some(map(&vector)), &[])),
        ("all apart, in JSON", of(Some(text(&json)), &[])),
        ("Elastic's names", of(Some(text(&whole)), &elastic)),
        ("Elastic's names as maps", of(Some(map(&nested)), &[])),
    ]
}

/// A failed request in the same second as all others, as each way of parsing leaves it. Its trace begins with the number
/// of its connection.
fn access_shapes(connection: i64) -> Vec<(&'static str, LogRecord)> {
    let trace = format!("00-{connection:02x}000000000000000000000000000001-b7ad6b7169203331-01");
    let of = |body, attributes: &[(&str, AnyValue)]| of_file("access.log", body, attributes);
    let combined = format!(r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "{REQUEST}" 502 157 "-" "curl/8.5.0""#);
    let variables = [
        ("time_iso8601", text("2026-03-04T09:15:03+00:00")),
        ("pid", text("411")),
        ("connection", text(&connection.to_string())),
        ("remote_addr", text("198.51.100.20")),
        ("request", text(REQUEST)),
        ("status", text("502")),
        ("body_bytes_sent", text("157")),
        ("http_traceparent", text(&trace)),
    ];
    let conventions = [
        ("time", text("04/Mar/2026:09:15:03 +0000")),
        ("process.pid", int(411)),
        ("connection", int(connection)),
        ("client.address", text("198.51.100.20")),
        ("http.request.method", text("GET")),
        ("url.path", text("/cart")),
        ("http.response.status_code", int(502)),
        (
            "http.request.header.traceparent",
            AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![text(&trace)] })) },
        ),
    ];
    let nested = [
        ("message", text("an access line")),
        ("@timestamp", text("2026-03-04T09:15:03.000Z")),
        ("source", map(&[("address", text("198.51.100.20"))])),
        ("http", map(&[("response", map(&[("status_code", int(502))])), ("request", map(&[("method", text("GET"))]))])),
        ("url", map(&[("original", text("/cart"))])),
        ("process", map(&[("pid", int(411))])),
        ("nginx", map(&[("access", map(&[("connection", int(connection)), ("traceparent", text(&trace))]))])),
    ];
    vec![
        ("variables in attributes", of(None, &variables)),
        ("variables in the body", of(Some(map(&variables)), &[])),
        ("conventions", of(None, &conventions)),
        ("conventions as maps", of(Some(map(&nested)), &[])),
        // The line has no name for what stands behind it; the collector's regular expression does.
        ("beside the line", of(Some(text(&format!("{combined} 411 {connection} {trace}"))), &variables)),
    ]
}

const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";
const TOO_BIG: &str = "upstream sent too big header while reading response header from upstream";

#[test]
fn of_two_requests_that_look_alike_the_connection_tells_which_failed_how() {
    // Same client, same request line, same second; the errors come in the other order than the access lines.
    let ways = error_shapes(REFUSED, Some(9)).into_iter().zip(error_shapes(TOO_BIG, Some(7)));
    for ((way, refused), (_, too_big)) in ways {
        for ((access_way, first), (_, second)) in access_shapes(7).into_iter().zip(access_shapes(9)) {
            let records = [first, second, refused.clone(), too_big.clone()];
            let expected = ["7 response_header_too_big 2", "9 gunicorn_not_running 2"];
            assert_eq!(told(records.to_vec()), expected, "{way}; {access_way}");
            let [first, second, refused, too_big] = records;
            assert_eq!(told(vec![refused, too_big, first, second]), expected, "errors first: {way}; {access_way}");
        }
    }
}

#[test]
fn without_the_connection_nothing_tells_them_apart() {
    let ways = error_shapes(REFUSED, None).into_iter().zip(error_shapes(TOO_BIG, None));
    for ((way, refused), (_, too_big)) in ways {
        for ((access_way, first), (_, second)) in access_shapes(7).into_iter().zip(access_shapes(9)) {
            let found = told(vec![first, second, refused.clone(), too_big.clone()]);
            assert_eq!(found, ["7 gunicorn_not_running 2", "9 response_header_too_big 2"], "{way}; {access_way}");
        }
    }
}

/// Gunicorn's line as a regular expression leaves it: its head in attributes.
fn gunicorn(pid: Option<i64>, message: &str) -> LogRecord {
    let head = [Some(("time", text("2026-03-04 09:15:03 +0000"))), Some(("level", text("ERROR")))];
    let pid = pid.map(|pid| ("pid", text(&pid.to_string())));
    let attributes: Vec<_> = head.into_iter().chain([pid]).flatten().collect();
    of_file("gunicorn.log", Some(text(message)), &attributes)
}

#[test]
fn the_worker_that_wrote_a_line_is_known_by_an_attribute() {
    let answered = |connection: i64, target: &str| {
        let trace = format!("00-{connection:02x}000000000000000000000000000001-b7ad6b7169203331-01");
        let line = format!(
            r#"{{"msec":"1772615703.500","pid":"411","connection":"{connection}","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"500","http_traceparent":"{trace}","upstream_addr":"127.0.0.1:8000","upstream_status":"500","upstream_header_time":"2.000"}}"#
        );
        of_file("access.log", Some(text(&line)), &[])
    };
    let story = |first: Option<i64>, second: Option<i64>| {
        told(vec![
            gunicorn(Some(30), "WORKER TIMEOUT (pid:31)"),
            gunicorn(Some(30), "WORKER TIMEOUT (pid:32)"),
            gunicorn(second, "Error handling request /b"),
            gunicorn(first, "Error handling request /a"),
            answered(1, "/a"),
            answered(2, "/b"),
        ])
    };
    let known = ["1 worker_timeout 3 31", "2 worker_timeout 3 32"];
    assert_eq!(story(Some(31), Some(32)), known);
    assert_eq!(story(Some(32), Some(31)), ["1 worker_timeout 3 32", "2 worker_timeout 3 31"]);
    assert_ne!(story(None, None), known, "who wrote them is not in the lines");
}

#[test]
fn hostile_names_and_values_cost_no_line() {
    let whole = error_shapes(REFUSED, Some(9)).remove(0).1;
    let expected = told(vec![whole.clone()]);
    let mut deep = text("x");
    for _ in 0..60 {
        deep = map(&[("pid", deep)]);
    }
    let long = "x".repeat(1 << 20);
    let hostile = [
        ("pid", deep),
        (&*long, map(&[(&*long, text("411"))])),
        ("tid", text(&long)),
        ("level", AnyValue { value: Some(Value::BytesValue(vec![0xff; 64])) }),
        ("connection", AnyValue { value: Some(Value::DoubleValue(f64::NAN)) }),
        ("cid", AnyValue { value: Some(Value::IntValue(i64::MIN)) }),
        ("client", AnyValue { value: None }),
        ("time", AnyValue { value: Some(Value::IntValue(i64::MAX)) }),
        ("timestamp", text("9999-99-99T99:99:99Z")),
    ];
    let many: Vec<_> = (0..1_000).map(|_| ("", map(&[("", text(""))]))).collect();
    for attributes in [&hostile[..], &many] {
        let record = of_file("error.log", whole.body.clone(), attributes);
        assert_eq!(told(vec![record]), expected);
    }
}

#[test]
fn a_refusal_of_nginx_itself_is_no_failure_of_its_upstream() {
    let line = r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /cart HTTP/1.1" 503 197 "-" "curl/8.5.0""#;
    let access = of_file("access.log", Some(text(line)), &[]);
    assert_eq!(told(vec![access.clone()]), ["- unknown 1"], "without a word about it");
    for (way, limited) in error_shapes("limiting requests, excess: 0.520 by zone \"shop\"", Some(9)) {
        assert_eq!(told(vec![access.clone(), limited]), Vec::<String>::new(), "{way}");
    }
}
