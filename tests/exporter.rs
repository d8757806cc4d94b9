//! Exporters as OTLP 1.11.0 has it, each against a backend that answers by a script: what is sent again, what is
//! dropped, and that all of it is counted.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use bytes::Bytes;
use common::backend::{Backend, Reply};
use common::requests::{self, one};
use common::{config, eventually, remote};
use prost::Message;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::Code;
use why502::config::settings::{Exporter as Settings, ExporterKind};
use why502::exporter::backlog::Amount;
use why502::exporter::{Exporter, Outlet};
use why502::otlp::{Signal, json};

const KINDS: [&str; 2] = ["otlp", "otlphttp"];
/// The first retry comes at once.
const EAGER: &str = "retry_on_failure: {initial_interval: 1ms, max_interval: 5ms}";
/// A retry comes only if the backend names a time.
const PATIENT: &str = "retry_on_failure: {initial_interval: 30m, max_interval: 30m, max_elapsed_time: 0}";
/// Nothing is tried again for long.
const BRIEF: &str = "retry_on_failure: {max_elapsed_time: 2s}";

fn start(kind: &str, url: &str, options: &str) -> Exporter {
    Exporter::start(&remote(kind, url, options)).expect("it starts")
}

fn offer(exporter: &Exporter, bodies: &[&str]) {
    let items = bodies.len() as u64;
    exporter.offer(Signal::Logs, requests::logs(bodies).into(), items).expect("there is room");
}

/// Sent, retried, rejected, dropped: all that is counted of logs.
fn counted(exporter: &Exporter) -> String {
    let stats = &exporter.stats;
    let dropped: Vec<String> =
        stats.dropped_counts().iter().map(|(reason, count)| format!("{reason}:{count}")).collect();
    format!(
        "sent {} retried {} rejected {} dropped {}",
        stats.sent_count(Signal::Logs),
        stats.retried_count(),
        stats.rejected_count(),
        dropped.join(",")
    )
}

/// Waits until so many records are sent, rejected or dropped.
async fn settled(exporter: &Exporter, items: u64) {
    let stats = &exporter.stats;
    let all = || {
        let dropped: u64 = stats.dropped_counts().iter().map(|(_, count)| count).sum();
        stats.sent_count(Signal::Logs) + stats.rejected_count() + dropped
    };
    eventually("all is settled", || all() >= items).await;
}

const RETRIED: &str = "sent 1 retried 1 rejected 0 dropped ";
const DROPPED: &str = "sent 0 retried 0 rejected 0 dropped refused:1";
const SENT: &str = "sent 1 retried 0 rejected 0 dropped ";

/// Each case: what it is called, the exporter's kind, the first answer, options, what is counted in the end.
async fn check(cases: Vec<(String, &'static str, Reply, &'static str, &'static str)>) {
    let mut running = JoinSet::new();
    for (name, kind, reply, options, expected) in cases {
        running.spawn(async move {
            let backend = Backend::start(vec![reply]).await;
            let exporter = start(kind, &backend.url(), options);
            offer(&exporter, &["a record"]);
            settled(&exporter, 1).await;
            assert_eq!(counted(&exporter), expected, "{kind} {name} {options}");
            assert_eq!(backend.count(), if expected == RETRIED { 2 } else { 1 }, "{kind} {name}");
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("no case failed");
    }
}

/// A queue that is off holds nobody's records back: who finds no consumer free is asked to come back.
#[tokio::test]
async fn a_queue_that_is_off_refuses_what_nobody_can_take_now() {
    let backend = Backend::always(Reply::Hang).await;
    let options = "compression: none, sending_queue: {enabled: false, num_consumers: 2}";
    let exporter = Exporter::start(&remote("otlp", &backend.url(), options)).expect("it starts");
    let long = "x".repeat(600_000);
    let request = Bytes::from(requests::logs(&[&long]));
    let mut taken = 0;
    for _ in 0..10 {
        taken += u32::from(exporter.offer(Signal::Logs, request.clone(), 1).is_ok());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((taken, backend.count()), (3, 2), "two on their way and the next");
}

#[tokio::test]
async fn every_grpc_code_with_and_without_retry_info() {
    let soon = Some(Duration::from_millis(1));
    let retried =
        [Code::Cancelled, Code::DeadlineExceeded, Code::Aborted, Code::OutOfRange, Code::Unavailable, Code::DataLoss];
    let dropped = [
        Code::Unknown,
        Code::InvalidArgument,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::FailedPrecondition,
        Code::Unimplemented,
        Code::Internal,
    ];
    let mut cases = Vec::new();
    for code in retried {
        cases.push((format!("{code:?}"), "otlp", Reply::Grpc(code, None), EAGER, RETRIED));
        cases.push((format!("{code:?} with RetryInfo"), "otlp", Reply::Grpc(code, soon), PATIENT, RETRIED));
    }
    for code in dropped {
        cases.push((format!("{code:?}"), "otlp", Reply::Grpc(code, None), EAGER, DROPPED));
        cases.push((format!("{code:?} with RetryInfo"), "otlp", Reply::Grpc(code, soon), EAGER, DROPPED));
    }
    // Too large, or a quota: only RetryInfo tells.
    cases.push(("too large".into(), "otlp", Reply::Grpc(Code::ResourceExhausted, None), EAGER, DROPPED));
    cases.push(("quota".into(), "otlp", Reply::Grpc(Code::ResourceExhausted, soon), PATIENT, RETRIED));
    for code in ["17", "99999", "-1", "soon"] {
        cases.push((format!("grpc-status {code}"), "otlp", Reply::GrpcUnknownCode(code), EAGER, DROPPED));
    }
    cases.push(("OK".into(), "otlp", Reply::GrpcOk(Vec::new()), EAGER, SENT));
    cases.push(("OK that cannot be read".into(), "otlp", Reply::GrpcOk(vec![0xff; 9]), EAGER, SENT));
    check(cases).await;
}

#[tokio::test]
async fn every_class_of_http_status_with_and_without_retry_after() {
    let with = |status: u16, after: &str| Reply::Http(status, vec![("retry-after", after.to_owned())], Vec::new());
    let mut cases = Vec::new();
    for status in [429, 502, 503, 504] {
        cases.push((format!("{status}"), "otlphttp", Reply::http(status), EAGER, RETRIED));
        for after in ["0", "1", "Thu, 01 Jan 1970 00:00:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"] {
            cases.push((format!("{status} after {after}"), "otlphttp", with(status, after), PATIENT, RETRIED));
        }
        for after in ["soon", "-1", "1.5", ""] {
            cases.push((format!("{status} after {after:?}"), "otlphttp", with(status, after), EAGER, RETRIED));
        }
        // No number of seconds that anybody means.
        cases.push((format!("{status} in ages"), "otlphttp", with(status, "99999999999999999999"), EAGER, RETRIED));
        // Later than `max_elapsed_time`: a last try comes at its end, and nothing is given up before.
        for after in ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"] {
            cases.push((format!("{status} after {after}"), "otlphttp", with(status, after), BRIEF, RETRIED));
        }
    }
    for status in [301, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 431, 500, 501, 505, 507, 511] {
        cases.push((format!("{status}"), "otlphttp", Reply::http(status), EAGER, DROPPED));
        cases.push((format!("{status} after 0"), "otlphttp", with(status, "0"), EAGER, DROPPED));
    }
    for status in [200, 201, 202, 204] {
        cases.push((format!("{status}"), "otlphttp", Reply::http(status), EAGER, SENT));
    }
    let unreadable = Reply::Http(200, Vec::new(), vec![0xff; 9]);
    cases.push(("200 that cannot be read".into(), "otlphttp", unreadable, EAGER, SENT));
    // A proxy in front of a gRPC backend answers in HTTP.
    for status in [429, 502, 503, 504] {
        cases.push((format!("a proxy's {status}"), "otlp", Reply::http(status), EAGER, RETRIED));
        cases.push((format!("a proxy's {status} after 0"), "otlp", with(status, "0"), PATIENT, RETRIED));
    }
    for status in [400, 401, 404, 500] {
        cases.push((format!("a proxy's {status}"), "otlp", Reply::http(status), EAGER, DROPPED));
    }
    check(cases).await;
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_tried_again() {
    check(KINDS.map(|kind| ("closed".to_owned(), kind, Reply::Close, EAGER, RETRIED)).into()).await;
    let slow = "timeout: 50ms, retry_on_failure: {initial_interval: 1ms}";
    check(KINDS.map(|kind| ("no answer in time".to_owned(), kind, Reply::Hang, slow, RETRIED)).into()).await;
}

#[tokio::test]
async fn a_backend_that_is_down_is_tried_until_it_is_up() {
    for kind in KINDS {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let exporter = start(kind, &format!("http://{free}"), EAGER);
        offer(&exporter, &["early"]);
        eventually("it was tried", || exporter.stats.retried_count() > 2).await;
        assert_eq!(exporter.stats.sent_count(Signal::Logs), 0);
        let backend = Backend::at(free).await;
        settled(&exporter, 1).await;
        assert_eq!(backend.bodies(), ["early"], "{kind}");
        assert!(exporter.stats.dropped_counts().is_empty());
    }
}

#[tokio::test]
async fn what_is_too_large_for_a_backend_is_halved() {
    let four = ["a", "b", "c", "d"].map(|letter| letter.repeat(100));
    let too_large = [("otlp", Reply::Grpc(Code::ResourceExhausted, None)), ("otlphttp", Reply::http(413))];
    for (kind, reply) in too_large {
        let backend = Backend::start(vec![reply.clone(), reply.clone()]).await;
        let exporter = start(kind, &backend.url(), EAGER);
        offer(&exporter, &four.each_ref().map(String::as_str));
        settled(&exporter, 4).await;
        assert_eq!(counted(&exporter), "sent 4 retried 0 rejected 0 dropped ", "{kind}");
        let arrived: String = backend.bodies().iter().filter_map(|body| body.chars().next()).collect();
        assert_eq!(arrived, "abcdababcd", "{kind}: whole, a half, its two records, the other half");

        let backend = Backend::always(reply).await;
        let exporter = start(kind, &backend.url(), EAGER);
        offer(&exporter, &four.each_ref().map(String::as_str));
        settled(&exporter, 4).await;
        assert_eq!(counted(&exporter), "sent 0 retried 0 rejected 0 dropped refused:4", "{kind}");
        assert_eq!(backend.count(), 7, "{kind}: whole, two halves, four records");
    }
}

#[tokio::test]
async fn partial_success_is_counted_and_not_sent_again() {
    use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
    let partial = |rejected: i64, message: &str| {
        let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: message.to_owned() };
        ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    };
    let json = |text: &str| Reply::Http(200, Vec::new(), text.as_bytes().to_vec());
    let http = |body: Vec<u8>| Reply::Http(202, Vec::new(), body);
    let (proto, as_json) = (EAGER, "encoding: json, retry_on_failure: {initial_interval: 1ms}");
    let cases = [
        ("otlp", Reply::GrpcOk(partial(2, "too old")), proto, 2),
        ("otlp", Reply::GrpcOk(partial(0, "only a warning")), proto, 0),
        ("otlp", Reply::GrpcOk(partial(0, "")), proto, 0),
        ("otlphttp", http(partial(2, "too old")), proto, 2),
        ("otlphttp", http(partial(0, "only a warning")), proto, 0),
        ("otlphttp", json(r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#), as_json, 2),
        ("otlphttp", json(r#"{"partialSuccess":{"rejectedLogRecords":2}}"#), as_json, 2),
        ("otlphttp", json(r#"{"partialSuccess":{"errorMessage":"only a warning"}}"#), as_json, 0),
        ("otlphttp", json(r#"{"partialSuccess":{}}"#), as_json, 0),
        ("otlphttp", json("{}"), as_json, 0),
        ("otlphttp", json("nonsense"), as_json, 0),
    ];
    for (kind, reply, options, rejected) in cases {
        let case = format!("{kind} {reply:?}");
        let backend = Backend::start(vec![reply]).await;
        let exporter = start(kind, &backend.url(), options);
        offer(&exporter, &["a", "b", "c"]);
        settled(&exporter, 3).await;
        let expected = format!("sent {} retried 0 rejected {rejected} dropped ", 3 - rejected);
        assert_eq!((counted(&exporter), backend.count()), (expected, 1), "{case}");
    }
}

#[tokio::test]
async fn requests_are_joined_and_cut_to_the_size_that_a_backend_takes() {
    for kind in KINDS {
        let backend = Backend::start(Vec::new()).await;
        let options = "max_request_bytes: 2KiB, sending_queue: {num_consumers: 1}";
        let exporter = start(kind, &backend.url(), options);
        let mut expected: Vec<String> = (0..100).map(|number| format!("{number} {}", "x".repeat(50))).collect();
        // Nothing is awaited in between, so all of it waits when the first is taken.
        for body in expected.iter().take(50) {
            offer(&exporter, &[body]);
        }
        let huge = "y".repeat(3_000);
        let mut rest: Vec<&str> = expected.iter().skip(50).map(String::as_str).collect();
        rest.insert(20, &huge);
        offer(&exporter, &rest);
        settled(&exporter, 101).await;
        assert_eq!(counted(&exporter), "sent 100 retried 0 rejected 0 dropped too_large:1", "{kind}");
        let mut arrived = backend.bodies();
        arrived.sort();
        expected.sort();
        assert_eq!(arrived, expected, "{kind}: each once");
        let sizes: Vec<usize> = backend.seen().iter().map(|seen| seen.message().len()).collect();
        assert!(sizes.iter().all(|size| *size <= 2_048), "{kind}: {sizes:?}");
        assert!(sizes.len() < 12, "{kind}: they were joined, {sizes:?}");
    }
}

#[tokio::test]
async fn compression_encoding_and_headers_arrive_as_configured() {
    let cases = [
        ("otlp", "none", "proto", "application/grpc"),
        ("otlp", "gzip", "proto", "application/grpc"),
        ("otlp", "zstd", "proto", "application/grpc"),
        ("otlphttp", "none", "proto", "application/x-protobuf"),
        ("otlphttp", "gzip", "proto", "application/x-protobuf"),
        ("otlphttp", "zstd", "proto", "application/x-protobuf"),
        ("otlphttp", "none", "json", "application/json"),
        ("otlphttp", "gzip", "json", "application/json"),
        ("otlphttp", "zstd", "json", "application/json"),
    ];
    for (kind, compression, encoding, content_type) in cases {
        let case = format!("{kind} {compression} {encoding}");
        let backend = Backend::start(Vec::new()).await;
        let extra = if encoding == "json" { ", encoding: json" } else { "" };
        let options = format!("compression: {compression}, headers: {{X-Scope-OrgID: shop, dd-api-key: k3y}}{extra}");
        let exporter = start(kind, &backend.url(), &options);
        for signal in Signal::ALL {
            let request = one(signal, &"compressible ".repeat(20));
            exporter.offer(signal, request.clone().into(), 1).expect("there is room");
            eventually("it is sent", || exporter.stats.sent_count(signal) == 1).await;
            let seen = backend.seen().pop().expect("a request");
            let path = if kind == "otlp" { signal.grpc_path() } else { signal.http_path() };
            assert_eq!((seen.path.as_str(), seen.header("content-type")), (path, content_type), "{case}");
            let named = seen.header(if kind == "otlp" { "grpc-encoding" } else { "content-encoding" });
            assert_eq!(named, if compression == "none" { "" } else { compression }, "{case}");
            assert_eq!((seen.header("x-scope-orgid"), seen.header("dd-api-key")), ("shop", "k3y"), "{case}");
            assert!(seen.header("user-agent").starts_with("why502/"), "{case}");
            if kind == "otlp" {
                assert_eq!((seen.header("te"), seen.raw[0]), ("trailers", u8::from(compression != "none")), "{case}");
            }
            let message = match encoding {
                "json" => json::to_protobuf(signal, &seen.message()).expect("OTLP JSON"),
                _ => seen.message(),
            };
            assert!(encoding == "json" || message == request, "{case}: byte for byte");
            assert!(requests::equal(signal, &message, &request), "{case}");
            assert!(compression == "none" || seen.raw.len() < message.len(), "{case}: it is shorter");
        }
    }
}

#[tokio::test]
async fn a_full_queue_that_may_drop_drops_and_counts() {
    let limits = ["queue_size: 3, sizer: items", "queue_bytes: 100KiB", "queue_size: 100000, sizer: bytes"];
    for (kind, limit) in KINDS.into_iter().flat_map(|kind| limits.map(|limit| (kind, limit))) {
        for when_full in ["drop_newest", "drop_oldest"] {
            let backend = Backend::always(Reply::Hang).await;
            let options = format!("sending_queue: {{num_consumers: 1, {limit}, when_full: {when_full}}}");
            let exporter = start(kind, &backend.url(), &options);
            // Too long to be copied together while they wait.
            let request = |number: u32| requests::logs(&[&format!("{number} {}", "x".repeat(33_000))]);
            exporter.send(Signal::Logs, request(0).into(), 1);
            eventually("the first is on its way", || backend.count() == 1).await;
            for number in 1..=5 {
                assert!(exporter.reserve(Signal::Logs, Amount { items: 1, bytes: 33_000 }), "nobody is refused");
                exporter.send(Signal::Logs, request(number).into(), 1);
                exporter.give_back(Amount { items: 1, bytes: 33_000 });
            }
            let told = counted(&exporter);
            let lost: u64 = exporter.stats.dropped_counts().iter().map(|(_, count)| count).sum();
            assert_eq!(exporter.waiting().1.items + lost, 6, "{kind} {options}: {told}");
            assert!((3..=4).contains(&lost) && told.contains("queue_full"), "{kind} {options}: {told}");
            let left = exporter.close(Duration::from_millis(10)).await;
            assert_eq!(left + lost, 6, "what is left at the end is counted: {}", counted(&exporter));
            assert_eq!(exporter.waiting().1, Amount::default());
        }
    }
}

#[tokio::test]
async fn nothing_is_tried_for_longer_than_it_may() {
    for kind in KINDS {
        let cases = [
            (
                Reply::Hang,
                "timeout: 100ms, retry_on_failure: {initial_interval: 1ms, max_interval: 1ms, max_elapsed_time: 500ms}",
                "timeout",
            ),
            (Reply::http(503), "retry_on_failure: {initial_interval: 50ms, max_elapsed_time: 500ms}", "refused"),
            (Reply::Close, "retry_on_failure: {enabled: false}", "unreachable"),
        ];
        for (reply, options, reason) in cases {
            let backend = Backend::always(reply).await;
            let exporter = start(kind, &backend.url(), options);
            offer(&exporter, &["a record"]);
            settled(&exporter, 1).await;
            assert_eq!(exporter.stats.dropped_counts(), [(reason, 1)], "{kind} {options}");
            assert!(backend.count() < 15, "{kind} {options}: tried {} times", backend.count());
        }
    }
}

#[tokio::test]
async fn a_dead_backend_that_may_drop_delays_no_other() {
    let dead = Backend::always(Reply::Hang).await;
    let alive = Backend::start(Vec::new()).await;
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{}}}}}}}}
exporters:
  otlp/dead: {{endpoint: \"{}\", sending_queue: {{queue_size: 3, sizer: items, when_full: drop_newest}}}}
  otlphttp/alive: {{endpoint: \"{}\"}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [otlp/dead, otlphttp/alive]}}}}}}
",
        dead.url(),
        alive.url()
    );
    let config = config(&text);
    let exporters: Vec<Arc<Exporter>> =
        config.exporters.iter().map(|settings| Arc::new(Exporter::start(settings).expect("it starts"))).collect();
    let outlets: Vec<Arc<dyn Outlet>> = exporters.iter().map(|one| Arc::clone(one) as Arc<dyn Outlet>).collect();
    let ring = why502::web::Ring::new(1);
    let pipeline =
        why502::pipeline::Pipeline::start(&config, Default::default(), None, &outlets, ring, Default::default());
    let intake = pipeline.intake(0);
    for number in 0..100 {
        use why502::receiver::Consumer;
        let request = requests::logs(&[&format!("record {number}")]);
        intake.consume(Signal::Logs, request.into()).await.expect("it is taken");
        tokio::task::yield_now().await;
    }
    settled(&exporters[1], 100).await;
    assert_eq!(counted(&exporters[1]), "sent 100 retried 0 rejected 0 dropped ");
    assert_eq!(alive.bodies().len(), 100);
    assert_eq!(exporters[0].stats.sent_count(Signal::Logs), 0, "the dead one took nothing");
    assert!(exporters[0].stats.dropped_counts().iter().any(|(reason, _)| *reason == "queue_full"));
}

#[tokio::test]
async fn the_file_exporter_writes_lines_that_decode() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out.jsonl");
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{}}}}}}}}
exporters: {{file: {{path: {}}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}}}
",
        path.display()
    );
    let exporter = Exporter::start(&config(&text).exporters[0]).expect("it starts");
    let sent =
        Signal::ALL.map(|signal| (signal, one(signal, "a \"quoted\" line\nwith \u{1b}[31mcolour and \u{1f980}")));
    for (signal, request) in &sent {
        exporter.offer(*signal, request.clone().into(), 1).expect("there is room");
    }
    assert_eq!(exporter.close(Duration::from_secs(30)).await, 0);
    let written = std::fs::read_to_string(&path).expect("the file");
    assert_eq!(written.lines().count(), 3, "{written}");
    for (line, (signal, request)) in written.lines().zip(&sent) {
        let decoded = json::to_protobuf(*signal, line.as_bytes()).expect("OTLP JSON");
        assert!(requests::equal(*signal, &decoded, request), "{line}");
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON for anybody");
        assert!(value.is_object());
    }
    let problem = Exporter::start(&Settings { name: "file".into(), kind: ExporterKind::File("/no/such/dir/x".into()) });
    let told = problem.expect_err("no such directory").to_string();
    assert!(told.contains("exporters::file: cannot write /no/such/dir/x") && told.contains("check"), "{told}");
}
