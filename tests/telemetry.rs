//! Own telemetry of the built program: what its counters say by OTLP, and that it never feeds itself.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::{Backend, Reply};
use common::client::{call, post};
use common::eventually;
use common::process::{Program, explained, finished, write};
use common::requests;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use tonic::Code;
use why502::otlp::Signal;
use why502::telemetry::metrics::METRICS;

/// Every sum and gauge of the newest export: `name{key=value,...}` and its value.
fn counted(collector: &Backend) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let exports = collector.seen().into_iter().filter(|seen| seen.path == Signal::Metrics.grpc_path());
    let Some(newest) = exports.last() else { return found };
    let request = ExportMetricsServiceRequest::decode(&newest.message()[..]).expect("metrics");
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    for metric in scopes.flat_map(|scope| scope.metrics) {
        let points = match metric.data {
            Some(metric::Data::Sum(sum)) => sum.data_points,
            Some(metric::Data::Gauge(gauge)) => gauge.data_points,
            _ => continue,
        };
        for point in points {
            let mut labels: Vec<String> = point
                .attributes
                .iter()
                .map(|label| {
                    let value = requests::attribute_of(&point.attributes, &label.key);
                    format!("{}={value}", label.key)
                })
                .collect();
            labels.sort();
            let value = match point.value {
                Some(number_data_point::Value::AsInt(number)) => u64::try_from(number).unwrap_or(0),
                _ => 0,
            };
            found.insert(format!("{}{{{}}}", metric.name, labels.join(",")), value);
        }
    }
    found
}

#[tokio::test]
async fn counters_say_what_became_of_everything() {
    let collector = Backend::start(Vec::new()).await;
    // Busy once, then a partial success, then one answer that refuses for good.
    let partial = br#"{"partialSuccess":{"rejectedLogRecords":"1"}}"#.to_vec();
    let script = vec![Reply::http(503), Reply::Http(200, Vec::new(), partial), Reply::http(400)];
    let backend = Backend::start(script).await;
    let exporter = format!(
        "otlphttp/out: {{endpoint: \"{}\", encoding: json, retry_on_failure: {{initial_interval: 1ms}}, sending_queue: {{storage: journal}}}}",
        backend.url()
    );
    let directory = tempfile::tempdir().expect("a directory");
    let config = format!(
        "journal: {{directory: \"{}\"}}\n{}  telemetry: {{metrics: {{otlp_endpoint: \"{}\", interval: 1s}}, logs: {{otlp_endpoint: \"{}\"}}}}\n",
        directory.path().join("journal").display(),
        explained("hold: 100ms", &exporter),
        collector.url(),
        collector.url()
    );
    let mut program = Program::run(&config);
    let (grpc, http) = program.addresses().await;
    let log = async |bodies: &[&str]| {
        let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(bodies)).await;
        assert_eq!(answer.grpc().code(), Code::Ok);
    };
    log(&["one", "two"]).await;
    eventually("the first is sent", || backend.count() == 2).await;
    log(&["three"]).await;
    eventually("the second is refused", || backend.count() == 3).await;
    let [access, error] = requests::refused_by_upstream(1, "/cart");
    log(&[&access, &error]).await;
    call(grpc, Signal::Traces.grpc_path(), &requests::traces(&["a", "b", "c"])).await;
    call(grpc, Signal::Metrics.grpc_path(), &requests::metrics(&["g"])).await;
    assert_eq!(call(grpc, Signal::Logs.grpc_path(), b"\xff").await.grpc().code(), Code::InvalidArgument);
    assert_eq!(post(http, "/v1/logs", "application/json", "{").await.status, 400);
    assert_eq!(post(http, "/v1/logs", "text/plain", "{").await.status, 415);
    let expected = [
        ("why502_receiver_accepted_log_records{}", 5),
        ("why502_receiver_accepted_spans{}", 3),
        ("why502_receiver_accepted_metric_points{}", 1),
        ("why502_receiver_refused_requests{reason=malformed}", 2),
        ("why502_receiver_refused_requests{reason=content_type}", 1),
        ("why502_own_records{kind=verdict}", 1),
        ("why502_own_records{kind=incident}", 1),
        // With the records of verdict and incident: five sent, three spans, one data point, one rejected, one dropped.
        ("why502_exporter_taken_items{exporter=otlphttp/out}", 11),
        ("why502_exporter_sent_spans{exporter=otlphttp/out}", 3),
        ("why502_exporter_sent_metric_points{exporter=otlphttp/out}", 1),
        // Two of the failure, its verdict and its incident, and one of the first two.
        ("why502_exporter_sent_log_records{exporter=otlphttp/out}", 5),
        ("why502_exporter_rejected_items{exporter=otlphttp/out}", 1),
        ("why502_exporter_failed_requests{exporter=otlphttp/out}", 2),
        ("why502_exporter_retried_requests{exporter=otlphttp/out}", 1),
        ("why502_exporter_dropped_items{exporter=otlphttp/out,reason=refused}", 1),
        ("why502_verdicts{cause=gunicorn_not_running}", 1),
        ("why502_incidents{origin=gunicorn_not_running}", 1),
        ("why502_incidents_open{origin=gunicorn_not_running}", 1),
        ("why502_exporter_queue_capacity{exporter=otlphttp/out}", 1_000),
        ("why502_exporter_queue_bytes_capacity{exporter=otlphttp/out}", 128 << 20),
        ("why502_suppressed_verdicts{reason=per_incident}", 0),
        ("why502_unlinked_records{reason=held_bytes}", 0),
        ("why502_links{method=none}", 1),
        ("why502_recognised_records{format=nginx_error}", 1),
        ("why502_recognised_records{format=none}", 3),
        ("why502_unwatched_spans{reason=queue}", 0),
        ("why502_unwatched_spans{reason=budget}", 0),
        ("why502_held_items{}", 0),
        ("why502_exporter_queue_size{exporter=otlphttp/out}", 0),
        ("why502_exporter_queue_items{exporter=otlphttp/out}", 0),
        ("why502_exporter_queue_bytes{exporter=otlphttp/out}", 0),
        ("why502_journal_appended_requests{}", 5),
        ("why502_journal_waiting_requests{exporter=otlphttp/out}", 0),
        ("why502_journal_refused_requests{}", 0),
        ("why502_journal_replayed_items{}", 0),
        ("why502_journal_torn_bytes{}", 0),
        ("why502_journal_bytes_capacity{}", 1 << 30),
        ("why502_journal_poisoned{}", 0),
        ("why502_exporter_overflow_bytes{exporter=otlphttp/out}", 0),
    ];
    let last = expected.map(|(name, value)| (name.to_owned(), value));
    let all = || {
        let counted = counted(&collector);
        last.iter().all(|(name, value)| counted.get(name) == Some(value))
    };
    eventually(|| format!("{last:#?}\n{:#?}", counted(&collector)), all).await;
    let told: BTreeSet<String> =
        counted(&collector).into_keys().map(|name| name.split('{').next().unwrap_or_default().to_owned()).collect();
    // What only a receiver of Kafka tells, tests/interop/test_kafka.py asks for.
    let mut documented: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert!(documented.remove("why502_kafka_receiver_offset_lag"));
    assert_eq!(told, documented, "the table is what is sent");
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let logs: Vec<String> = collector.bodies();
    for words in ["answered 503", "trying again", "rejected 1 log records", "accepted 5 log records"] {
        assert!(logs.iter().any(|line| line.contains(words)), "its own log comes as well, `{words}`: {logs:?}");
    }
    assert!(backend.seen().iter().all(|seen| !String::from_utf8_lossy(&seen.message()).contains("why502_receiver")));
}

/// Accepted = delivered + held + queued + dropped, whatever happens meanwhile.
#[tokio::test]
async fn the_balance_is_told_while_it_runs() {
    let collector = Backend::start(Vec::new()).await;
    let backend = Backend::always(Reply::http(503)).await;
    let exporter = format!(
        "otlphttp/out: {{endpoint: \"{}\", retry_on_failure: {{initial_interval: 20ms, max_interval: 50ms}}}}",
        backend.url()
    );
    let telemetry = format!("  telemetry: {{metrics: {{otlp_endpoint: \"{}\", interval: 1s}}}}\n", collector.url());
    let mut program = Program::run(&format!("{}{telemetry}", explained("hold: 5m", &exporter)));
    let (grpc, _) = program.addresses().await;
    for number in 0..20 {
        let [access, error] = requests::refused_by_upstream(number, "/cart");
        let request = requests::logs(&["healthy", "healthy too", &access, &error]);
        assert_eq!(call(grpc, Signal::Logs.grpc_path(), &request).await.grpc().code(), Code::Ok);
    }
    let of = |all: &BTreeMap<String, u64>, name: &str| -> u64 {
        all.iter().filter(|(key, _)| key.starts_with(&format!("why502_{name}{{"))).map(|(_, value)| value).sum()
    };
    let balance = |all: &BTreeMap<String, u64>| {
        let taken = of(all, "exporter_taken_items");
        let gone = of(all, "exporter_sent_log_records")
            + of(all, "exporter_rejected_items")
            + of(all, "exporter_dropped_items");
        (
            of(all, "receiver_accepted_log_records") + of(all, "own_records"),
            taken + of(all, "held_items"),
            (taken, gone + of(all, "exporter_queue_items")),
        )
    };
    let holds = |is_sent: bool| {
        let all = counted(&collector);
        let (came, there, (taken, accounted)) = balance(&all);
        let accepted = of(&all, "receiver_accepted_log_records");
        accepted == 80
            && came == there
            && taken == accounted
            && of(&all, "exporter_sent_log_records") == if is_sent { came } else { 0 }
    };
    // The backend is down: everything is held or queued.
    eventually(|| format!("{:#?}", counted(&collector)), || holds(false)).await;
    backend.recover();
    eventually(|| format!("{:#?}", counted(&collector)), || holds(true)).await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let last = counted(&collector);
    let (came, there, (taken, accounted)) = balance(&last);
    let all = 80 + of(&last, "own_records");
    assert_eq!((came, there, taken, accounted), (all, all, all, all), "{last:#?}");
    assert!(all > 80, "with records of verdicts and of the incident: {last:#?}");
    assert_eq!(of(&last, "held_items") + of(&last, "exporter_queue_items"), 0);
}

#[tokio::test]
async fn it_never_feeds_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    for signal in ["metrics", "logs"] {
        for own in [format!("127.0.0.1:{}", free.port()), format!("http://localhost:{}", free.port())] {
            let config =
                format!("{}  telemetry: {{{signal}: {{otlp_endpoint: \"{own}\"}}}}\n", explained("", "debug: {}"));
            let config = config.replacen("127.0.0.1:0", &free.to_string(), 1);
            let path = write(directory.path(), "loop.yaml", &config).display().to_string();
            let (code, _, stderr) = finished(&["run", "--config", &path]).await;
            assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
            assert!(stderr.contains(&own) && stderr.contains("circles"), "{stderr}");
        }
    }
}

#[tokio::test]
async fn a_dead_collector_does_not_keep_it_from_ending() {
    let dead = Backend::always(Reply::Hang).await;
    let telemetry =
        format!("{{metrics: {{otlp_endpoint: \"{0}\", interval: 1s}}, logs: {{otlp_endpoint: \"{0}\"}}}}", dead.url());
    let mut program = Program::run(&format!("{}  telemetry: {telemetry}\n", explained("", "debug: {}")));
    let (grpc, _) = program.addresses().await;
    let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(&["x"])).await;
    assert_eq!(answer.grpc().code(), Code::Ok);
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
}

#[tokio::test]
async fn metrics_and_unknown_fields_are_relayed_byte_for_byte() {
    let backend = Backend::start(Vec::new()).await;
    let exporter = format!("otlp/out: {{endpoint: \"{}\", compression: none}}", backend.url());
    let program = Program::run(&explained("", &exporter));
    let (grpc, http) = program.addresses().await;
    for signal in Signal::ALL {
        let mut request = requests::one(signal, "as it is");
        // Field 1000 of a future version, at the top.
        request.extend_from_slice(&[0xc2, 0x3e, 3, 1, 2, 3]);
        let arrived = || -> Vec<Vec<u8>> {
            let of = backend.seen().into_iter().filter(|seen| seen.path == signal.grpc_path());
            of.map(|seen| seen.message()).collect()
        };
        call(grpc, signal.grpc_path(), &request).await;
        eventually("it arrives", || arrived().len() == 1).await;
        assert_eq!(post(http, signal.http_path(), "application/x-protobuf", request.clone()).await.status, 200);
        eventually("it arrives", || arrived().len() == 2).await;
        assert_eq!(arrived(), [request.clone(), request], "{signal:?}: over gRPC and over HTTP");
    }
}
