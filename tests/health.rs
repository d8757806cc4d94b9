//! Probes, scrapes and `why502 health` of the built program.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::{Backend, Reply};
use common::client::{call, http1, post};
use common::eventually;
use common::process::{Program, explained, finished, write};
use common::requests;
use http::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use tonic::Code;
use why502::otlp::Signal;
use why502::telemetry::metrics::{Kind, METRICS};

/// A configuration whose probes and metrics are on free ports.
fn watched(processor: &str, exporter: &str) -> String {
    format!(
        "{}  extensions: [health_check]\n  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{port: 0}}}}}}}}]}}}}\nextensions:\n  health_check: {{endpoint: \"127.0.0.1:0\", path: /status}}\n",
        explained(processor, exporter)
    )
}

/// Where it says that probes and scrapes are answered.
async fn asked(program: &Program) -> (SocketAddr, SocketAddr) {
    let found = || {
        let said = program.stderr();
        let behind = |words: &str| {
            let rest = said.split_once(words)?.1;
            rest.split(['\n', '/']).next()?.parse().ok()
        };
        Some((behind("probes are answered on ")?, behind("metrics are on http://")?))
    };
    eventually(|| format!("it says where: {}", program.stderr()), || found().is_some()).await;
    found().expect("found before")
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = http1(address, Method::GET, path, &[], "").await;
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

/// Waits until a probe has this status.
async fn becomes(address: SocketAddr, path: &str, status: u16) -> String {
    for _ in 0..400 {
        let (found, body) = get(address, path).await;
        if found == status {
            return body;
        }
        common::process::pause().await;
    }
    panic!("{path} is never answered {status}");
}

#[tokio::test]
async fn probes_tell_life_from_readiness_and_a_backend_that_is_down_from_neither() {
    let backend = Backend::always(Reply::http(503)).await;
    let exporter = format!(
        "otlphttp/out: {{endpoint: \"{}\", max_request_bytes: 1KiB, sending_queue: {{queue_size: 2, num_consumers: 1}}, retry_on_failure: {{initial_interval: 20ms, max_interval: 50ms}}}}",
        backend.url()
    );
    let mut program = Program::run(&watched("hold: 100ms", &exporter));
    let (grpc, http) = program.addresses().await;
    let (probes, _) = asked(&program).await;
    for (address, path, body) in [
        (probes, "/livez", "alive\n"),
        (probes, "/readyz", "ready\n"),
        (probes, "/status", "ready\n"),
        (http, "/livez", "alive\n"),
        (http, "/readyz", "ready\n"),
    ] {
        assert_eq!(get(address, path).await, (200, body.to_owned()), "{path}");
        assert_eq!(http1(address, Method::HEAD, path, &[], "").await.status, 200, "{path}");
        assert_eq!(http1(address, Method::POST, path, &[], "").await.status, 405, "{path}");
    }
    assert_eq!(get(probes, "/v1/logs").await.0, 404);
    assert_eq!(get(http, "/status").await.0, 404);
    assert_eq!(post(http, "/v1/logs", "application/json", "{}").await.status, 200);

    // Down, and what comes is taken: neither fails.
    let mut taken = 0;
    let body = "x".repeat(700);
    while call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[&body])).await.grpc().code() == Code::Ok {
        taken += 1;
        assert!(taken < 100, "it is never full");
        if taken == 1 {
            eventually("it was tried", || backend.count() > 2).await;
            assert_eq!(get(probes, "/readyz").await.0, 200);
        }
    }
    let told = becomes(probes, "/readyz", 503).await;
    assert_eq!(told, "the queue of exporters::otlphttp/out is full; senders are asked to come back\n");
    assert_eq!(get(probes, "/livez").await.0, 200, "a restart would help nobody");

    // What `why502 health` says of it.
    let to = probes.to_string();
    let (code, _, said) = finished(&["health", "--to", &to]).await;
    assert_eq!((code, said.trim()), (1, format!("{to} answered 503: {}", told.trim()).as_str()));
    let (code, _, said) = finished(&["health", "--to", &to, "--live"]).await;
    assert_eq!((code, said.as_str()), (0, "alive\n"));
    backend.recover();
    becomes(probes, "/readyz", 200).await;
    let (code, _, said) = finished(&["health", "--to", &http.to_string()]).await;
    assert_eq!((code, said.as_str()), (0, "ready\n"));
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let (code, _, said) = finished(&["health", "--to", &to]).await;
    assert_eq!(code, 1);
    assert!(said.contains("does not answer") && said.contains("refused"), "{said}");
}

#[tokio::test]
async fn while_it_drains_it_lives_and_is_not_ready() {
    let backend = Backend::always(Reply::http(503)).await;
    let exporter = format!("otlphttp/out: {{endpoint: \"{}\"}}", backend.url());
    let mut program = Program::run(&watched("hold: 100ms", &exporter));
    let (grpc, _) = program.addresses().await;
    let (probes, scraped) = asked(&program).await;
    assert_eq!(call(grpc, Signal::Logs.grpc_path(), &requests::logs(&["one"])).await.grpc().code(), Code::Ok);
    eventually("it was tried", || backend.count() > 0).await;
    program.signal("TERM");
    assert_eq!(becomes(probes, "/readyz", 503).await, "shutting down\n");
    assert_eq!(get(probes, "/livez").await.0, 200);
    assert_eq!(get(scraped, "/metrics").await.0, 200);
    backend.recover();
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
}

#[tokio::test]
async fn prometheus_gets_every_metric_of_the_table() {
    let backend = Backend::start(Vec::new()).await;
    // With a journal, which has metrics of its own.
    let directory = tempfile::tempdir().expect("a directory");
    let journal = format!("journal: {{directory: {}}}\n", directory.path().join("journal").display());
    let queue = "sending_queue: {storage: journal}";
    let exporter = format!("otlphttp/out: {{endpoint: \"{}\", {queue}}}", backend.url());
    let mut program = Program::run(&format!("{journal}{}", watched("hold: 100ms", &exporter)));
    let (grpc, http) = program.addresses().await;
    let (probes, scraped) = asked(&program).await;
    for connection in [1, 2] {
        let [access, error] = requests::refused_by_upstream(connection, "/cart");
        call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[&access, &error])).await;
    }
    assert_eq!(post(http, "/v1/logs", "application/json", "{").await.status, 400);
    eventually("all is sent", || backend.bodies().len() >= 6).await;
    let answer = http1(scraped, Method::GET, "/metrics", &[], "").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
    let samples: BTreeMap<&str, f64> = (text.lines().filter(|line| !line.starts_with('#')))
        .map(|line| line.rsplit_once(' ').expect("a value"))
        .map(|(name, value)| (name, value.parse().expect("a number")))
        .collect();
    for (name, value) in [
        ("why502_receiver_accepted_log_records_total", 4.0),
        ("why502_receiver_refused_requests_total{reason=\"malformed\"}", 1.0),
        ("why502_verdicts_total{cause=\"gunicorn_not_running\"}", 2.0),
        ("why502_verdicts_total{cause=\"worker_timeout\"}", 0.0),
        ("why502_exporter_dropped_items_total{exporter=\"otlphttp/out\",reason=\"refused\"}", 0.0),
        ("why502_incidents_total{origin=\"gunicorn_not_running\"}", 1.0),
        ("why502_incidents_open{origin=\"gunicorn_not_running\"}", 1.0),
        ("why502_exporter_queue_capacity{exporter=\"otlphttp/out\"}", 1_000.0),
        ("why502_exporter_queue_bytes_capacity{exporter=\"otlphttp/out\"}", f64::from(128 << 20)),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}: {text}");
    }
    assert!(samples["why502_process_uptime_seconds_total"] > 0.0);
    assert!(samples["why502_process_memory_rss_bytes"] > 1e6);
    assert!(text.contains("target_info{service_name=\"why502\",service_version=\"0.1.0\""), "{text}");
    let told: BTreeSet<&str> = samples.keys().filter_map(|name| name.split('{').next()).collect();
    // What only a receiver of Kafka tells, tests/interop/test_kafka.py asks for.
    for metric in METRICS.iter().filter(|metric| metric.name != "why502_kafka_receiver_offset_lag") {
        let total = format!("{}_total", metric.name);
        let name = if metric.kind == Kind::Counter { total.as_str() } else { metric.name };
        assert!(told.contains(name), "{name}: {text}");
    }
    assert_eq!(get(scraped, "/").await.0, 404);
    assert_eq!(get(probes, "/metrics").await.0, 404);
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let config = watched("", "debug: {}");
    for (config, key, line) in [
        (
            config.replace("endpoint: \"127.0.0.1:0\"", &format!("endpoint: \"127.0.0.1:{port}\"")),
            "extensions::health_check::endpoint",
            18,
        ),
        (
            config.replace("prometheus: {port: 0}", &format!("prometheus: {{port: {port}}}")),
            "service::telemetry::metrics::readers::1::pull::exporter::prometheus::port",
            16,
        ),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = write(directory.path(), "why502.yaml", &config);
        let (code, _, said) = finished(&["run", "--config", &path.display().to_string()]).await;
        let expected = format!(
            "error: 127.0.0.1:{port} is taken by another program: stop it (`ss -ltnp` names it), or change `{key}` (line {line})"
        );
        // Warnings stand before it.
        assert_eq!(
            (code, said.lines().filter(|line| !line.contains("warning")).collect::<String>()),
            (1, expected),
            "{config}"
        );
    }
}

#[tokio::test]
async fn health_finds_its_way_by_the_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(
        directory.path(),
        "why502.yaml",
        "receivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\nservice: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n",
    );
    let path = path.display().to_string();
    let (code, _, said) = finished(&["health", "--config", &path]).await;
    let expected = format!(
        "error: {path} names nothing that answers probes; add `extensions: {{health_check: {{}}}}` and `service: {{extensions: [health_check]}}`\n"
    );
    assert_eq!((code, said), (1, expected));
}
