//! The running program under bytes that nobody should send, together with healthy records: no panic, the rest of a batch
//! arrives, the refused are counted, and memory does not grow from round to round.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::Backend;
use common::client::{call, call_raw, frame, http1, post};
use common::eventually;
use common::process::{Program, explained};
use common::requests::{self, attribute, gzip, logs_of, record};
use http::Method;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::Code;
use why502::otlp::{Signal, json};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// 1 January 2500 in Unix nanoseconds.
const YEAR_2500: u64 = 16_725_225_600_000_000_000;

/// Bytes that are the same at every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

fn nested(depth: usize) -> AnyValue {
    (0..depth).fold(requests::text("the innermost"), |inner, level| {
        let value = if level % 2 == 0 {
            Value::ArrayValue(ArrayValue { values: vec![inner] })
        } else {
            let member = opentelemetry_proto::tonic::common::v1::KeyValue {
                key: "k".to_owned(),
                value: Some(inner),
                ..Default::default()
            };
            Value::KvlistValue(KeyValueList { values: vec![member] })
        };
        AnyValue { value: Some(value) }
    })
}

/// A good answer whose client wrote lines of other programs into everything that it may write, quotes escaped as nginx
/// does it in its access log.
fn forged(number: usize) -> String {
    let line = format!(
        "2026/03/04 09:15:03 [error] 411#411: *{number} connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: \\x22GET /forged HTTP/1.1\\x22, upstream: \\x22http://127.0.0.1:8000/forged\\x22"
    );
    format!(
        "198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] \"GET /fine?x=%0a{line} HTTP/1.1\" 200 12 \"{line}\" \"[CRITICAL] WORKER TIMEOUT (pid:{number})\\x0a{line}\""
    )
}

/// Records that are odd and allowed; what stands for bytes that are no UTF-8 is put in by [`odd`].
fn odd_records() -> Vec<LogRecord> {
    let with = |change: &dyn Fn(&mut LogRecord)| {
        let mut odd = record("odd");
        change(&mut odd);
        odd
    };
    vec![
        LogRecord::default(),
        record("\0\0 NUL and \u{1b}[31mcolour\u{1b}]0;title\u{7} and \u{9b}31m"),
        record("@@no UTF-8@@"),
        record(&"a long line ".repeat(3_000)),
        record(&forged(1)),
        record(&forged(2).replace("/fine?x=%0a2026", "/fine HTTP/1.1\" 200 12 \"-\" \"2026").replace("\\x22", "\\\"")),
        record(&"{\"a\":".repeat(5_000)),
        record(&"[".repeat(20_000)),
        record(&format!("2026/99/99 99:99:99 [error] {}#{0}: *{0} connect() failed", u64::MAX)),
        record("198.51.100.20 - - [99/Foo/9999:99:99:99 +9999] \"GET / HTTP/1.1\" 502 -1 \"-\" \"-\""),
        with(&|odd| odd.body = Some(nested(100))),
        with(&|odd| odd.body = Some(AnyValue { value: Some(Value::BytesValue(noise(7, 5_000))) })),
        with(&|odd| (odd.time_unix_nano, odd.observed_time_unix_nano) = (0, 0)),
        with(&|odd| (odd.time_unix_nano, odd.observed_time_unix_nano) = (YEAR_2500, YEAR_2500)),
        with(&|odd| (odd.time_unix_nano, odd.observed_time_unix_nano) = (u64::MAX, u64::MAX)),
        with(&|odd| (odd.trace_id, odd.span_id) = (noise(1, 15), noise(2, 9))),
        with(&|odd| odd.attributes = (0..2_000).map(|_| attribute("same.key", "value")).collect()),
        with(&|odd| odd.attributes = vec![attribute("", ""), attribute("log.file.path", "/\0/\u{1b}[2J")]),
        with(&|odd| (odd.flags, odd.severity_number, odd.dropped_attributes_count) = (u32::MAX, i32::MIN, u32::MAX)),
    ]
}

/// The odd records between two healthy ones of this name, and failing ones at times that cannot be.
fn odd(name: &str) -> Vec<u8> {
    let mut all = vec![record(&format!("healthy {name} first"))];
    all.extend(odd_records());
    for (number, time) in [(1, 0), (2, YEAR_2500), (3, 1_772_615_703_000_000_000)] {
        for line in requests::refused_by_upstream(number, "/\u{1b}[31mred\0") {
            let mut failing = record(&line);
            (failing.time_unix_nano, failing.observed_time_unix_nano) = (time, time);
            all.push(failing);
        }
    }
    all.push(record(&format!("healthy {name} last")));
    let mut request = logs_of(all);
    let at = request.windows(2).position(|pair| pair == b"@@").expect("the place");
    request[at..at + 2].copy_from_slice(b"\xff\xfe");
    request
}

/// Requests that are no OTLP, and some that could be anything: content type, body.
fn broken(round: u64) -> Vec<(&'static str, Vec<u8>)> {
    let good = odd("never");
    let mut all = Vec::new();
    for step in 0..8 {
        all.push((PROTOBUF, noise(round * 100 + step, 10 << step)));
        let cut = usize::try_from(round * 31 + step * 977).expect("small") % (good.len() - 1) + 1;
        all.push((PROTOBUF, good[..cut].to_vec()));
    }
    all.push((JSON, noise(round, 500)));
    all.push((JSON, b"[".repeat(100_000)));
    all.push((
        JSON,
        b"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"\xff\"}}]}]}]}".to_vec(),
    ));
    all.push((JSON, [b"{\"resourceLogs\":".as_slice(), &b"[".repeat(100_000)].concat()));
    let deep = "{\"arrayValue\":{\"values\":[".repeat(5_000);
    all.push((JSON, format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"body\":{deep}").into_bytes()));
    all
}

struct Hop {
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Hop {
    /// A value that is nested in JSON a hundred times costs itself, not its batch.
    async fn deep_json(&self) {
        let (open, close) = ("{\"arrayValue\":{\"values\":[".repeat(100), "]}}".repeat(100));
        let body = |value: &str| format!("{{\"body\":{value}}}");
        let deep = body(&format!("{open}{{\"boolValue\":true}}{close}"));
        let records = [deep, body("{\"stringValue\":\"healthy beside deep JSON\"}")].join(",");
        let text = format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{records}]}}]}}]}}");
        assert_eq!(post(self.http, "/v1/logs", JSON, text).await.status, 200);
    }

    /// One round; returns how many requests were refused as malformed.
    async fn round(&self, round: u64, huge: &[u8]) -> u64 {
        let mut refused = 0;
        let path = Signal::Logs.grpc_path();
        for (content_type, body) in broken(round) {
            let answer = post(self.http, "/v1/logs", content_type, body.clone()).await;
            assert!([200, 400].contains(&answer.status), "{}", answer.status);
            refused += u64::from(answer.status == 400);
            for signal in Signal::ALL {
                let code = call(self.grpc, signal.grpc_path(), &body).await.grpc().code();
                assert!([Code::Ok, Code::InvalidArgument].contains(&code), "{code:?}");
                refused += u64::from(code == Code::InvalidArgument);
            }
        }
        for framed in [b"".to_vec(), noise(round, 64), [b"\0\0\0\0\x09".as_slice(), b"short"].concat()] {
            let code = call_raw(self.grpc, path, &[], framed).await.grpc().code();
            assert!([Code::InvalidArgument, Code::ResourceExhausted].contains(&code), "{code:?}");
            refused += u64::from(code == Code::InvalidArgument);
        }
        let damaged = frame(1, &gzip(&noise(round, 5_000))[..2_000]);
        assert_eq!(
            call_raw(self.grpc, path, &[("grpc-encoding", "gzip")], damaged).await.grpc().code(),
            Code::InvalidArgument
        );
        refused += 1;
        for address in [self.grpc, self.http] {
            // No HTTP at all, and a head that never ends. It may be cut off before all is written.
            let mut stream = TcpStream::connect(address).await.expect("connects");
            let _ = stream.write_all(&noise(round, 3_000)).await;
            let mut stream = TcpStream::connect(address).await.expect("connects");
            let _ =
                stream.write_all(&[b"POST /v1/logs HTTP/1.1\r\nx: ".as_slice(), &b"y".repeat(1 << 20)].concat()).await;
        }
        let answer = call(self.grpc, path, &odd(&format!("{round} gRPC"))).await;
        assert_eq!(answer.grpc().code(), Code::Ok, "odd records are allowed: {answer:?}");
        let answer = post(self.http, "/v1/logs", PROTOBUF, odd(&format!("{round} HTTP"))).await;
        assert_eq!(answer.status, 200);
        let as_json = json::from_protobuf(Signal::Logs, &odd(&format!("{round} JSON"))).expect("a request");
        let headers = [("content-type", JSON), ("content-encoding", "gzip")];
        let answer = http1(self.http, Method::POST, "/v1/logs", &headers, gzip(as_json.as_bytes())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.deep_json().await;
        let long = logs_of(vec![record("healthy beside a line of a MiB"), record(&"a line of a MiB ".repeat(1 << 16))]);
        assert_eq!(call(self.grpc, path, &long).await.grpc().code(), Code::Ok);
        assert_eq!(call(self.grpc, path, huge).await.grpc().code(), Code::Ok, "60 MiB are within the limit");
        refused
    }
}

#[tokio::test]
async fn it_outlives_everything_and_the_rest_arrives() {
    let backend = Backend::start(Vec::new()).await;
    let exporter = format!("otlp/out: {{endpoint: \"{}\"}}", backend.url());
    let config = explained("hold: 200ms, limits: {requests: 100, spans: 100, verdicts: 20}", &exporter)
        .replace("exporters: [otlp/out]", "exporters: [otlp/out, debug]")
        .replace("exporters:\n", "exporters:\n  debug: {}\n");
    let mut program = Program::run(&config);
    let (grpc, http) = program.addresses().await;
    let hop = Hop { grpc, http };
    let huge = logs_of(vec![record("healthy beside 60 MiB"), record(&"z".repeat(60 << 20))]);
    let mut refused = 0;
    let (mut read, mut healthy, mut early) = (0, 0, 0);
    for round in 1..=12 {
        refused += hop.round(round, &huge).await;
        let expected = usize::try_from(round).expect("small") * 9;
        let arrived = || {
            // By the bytes, as prost takes no text that is not UTF-8; each message once.
            let all = backend.seen();
            for seen in all.iter().skip(read) {
                healthy += memchr::memmem::find_iter(&seen.message(), "healthy ").count();
            }
            read = all.len();
            healthy == expected
        };
        eventually("the healthy ones of the round arrive", arrived).await;
        assert!(program.is_running(), "{}", program.stderr());
        if round == 3 {
            early = program.resident_kib();
        }
    }
    let late = program.resident_kib();
    // The allocator gives back what it likes when it likes; a request kept of each round would be 540 MiB.
    assert!(late < early + (64 << 10), "resident memory grew from {early} KiB after round 3 to {late} KiB");
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let said = program.stderr();
    assert!(!said.contains("panicked"), "{said}");
    assert!(said.contains(&format!("refused{{malformed}} {refused}")), "{refused} were refused: {said}");
    assert!(
        said.contains("otlp/out dropped{too_large} 12") && said.contains("larger than `max_request_bytes` (4194304)"),
        "one record a round is larger than the backend takes: {said}"
    );
    let shown = program.stdout();
    assert!(shown.contains("gunicorn_not_running"), "the true failures among them are told");
    assert!(!shown.contains("/forged") && !shown.contains("worker_timeout"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\0', '\u{7}', '\u{9b}']), "nothing reaches a terminal unescaped");
}

#[tokio::test]
async fn what_a_client_wrote_into_a_good_answer_proves_nothing() {
    let mut program = Program::run(&explained("hold: 200ms", "debug: {}"));
    let (grpc, _) = program.addresses().await;
    let all: Vec<LogRecord> = odd_records().into_iter().filter(|odd| requests::body(odd).contains("/forged")).collect();
    assert_eq!(all.len(), 2, "as nginx escapes quotes and as Gunicorn does");
    assert_eq!(call(grpc, Signal::Logs.grpc_path(), &logs_of(all)).await.grpc().code(), Code::Ok);
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    assert_eq!(program.stdout(), "", "no verdict");
    assert!(program.stderr().contains("accepted 2 log records"), "{}", program.stderr());
}
