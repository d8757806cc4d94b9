//! The built program: how it starts, what it says where it cannot, how it ends.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::{Backend, Reply};
use common::certificates::Authority;
use common::client::{call, post};
use common::eventually;
use common::process::{Program, explained, finished, write};
use common::requests;
use std::io::Write;
use std::net::SocketAddr;
use tonic::Code;
use why502::otlp::{Signal, json};

async fn send(grpc: SocketAddr, signal: Signal, request: &[u8]) {
    assert_eq!(call(grpc, signal.grpc_path(), request).await.grpc().code(), Code::Ok);
}

#[tokio::test]
async fn a_signal_drains_what_is_held_and_what_is_queued() {
    for signal in ["TERM", "INT"] {
        // Busy until the shutdown has begun: what was accepted waits in the queue.
        let backend = Backend::always(Reply::http(503)).await;
        let retry = "retry_on_failure: {initial_interval: 20ms, max_interval: 50ms}";
        let exporter = format!("otlphttp/out: {{endpoint: \"{}\", {retry}}}", backend.url());
        let mut program = Program::run(&explained("hold: 5m", &exporter));
        let (grpc, http) = program.addresses().await;
        let [access, error] = requests::refused_by_upstream(7, "/cart");
        send(grpc, Signal::Logs, &requests::logs(&["a healthy one", &access, &error])).await;
        let answer = post(http, "/v1/logs", "application/x-protobuf", requests::logs(&["another healthy one"])).await;
        assert_eq!(answer.status, 200);
        send(grpc, Signal::Traces, &requests::traces(&["a span"])).await;
        send(grpc, Signal::Metrics, &requests::metrics(&["a gauge"])).await;
        eventually("it was tried", || backend.count() > 0).await;
        program.signal(signal);
        eventually("it says so", || program.stderr().contains("stopping")).await;
        backend.recover();
        let status = program.ended().await;
        assert_eq!(status.code(), Some(0), "{signal}: {}", program.stderr());
        let accepted: Vec<_> = backend.seen().into_iter().filter(|seen| seen.taken).collect();
        let logs: Vec<_> = accepted.iter().filter(|seen| seen.path == "/v1/logs").collect();
        let records: Vec<_> = logs.iter().flat_map(|seen| requests::records(&seen.message())).collect();
        for body in ["a healthy one", "another healthy one", &access, &error] {
            let arrived = records.iter().filter(|record| requests::body(record) == body);
            assert!(arrived.count() == 1, "{signal}: {body}");
        }
        let blamed = |body: &str| {
            let record = records.iter().rfind(|record| requests::body(record) == body).expect("it arrived");
            requests::attribute_of(&record.attributes, "why502.cause")
        };
        assert_eq!(
            (blamed(&access).as_str(), blamed(&error).as_str()),
            ("gunicorn_not_running", "gunicorn_not_running")
        );
        assert_eq!(blamed("a healthy one"), "");
        let verdict = records.iter().find(|record| record.event_name == "why502.verdict").expect("a verdict");
        assert_eq!(requests::attribute_of(&verdict.attributes, "why502.cause"), "gunicorn_not_running");
        for path in ["/v1/traces", "/v1/metrics"] {
            assert!(accepted.iter().any(|seen| seen.path == path), "{path}");
        }
        assert!(!program.stderr().contains("left behind"), "{}", program.stderr());
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for (first, second) in [("TERM", "TERM"), ("TERM", "INT"), ("INT", "INT")] {
        let backend = Backend::always(Reply::Hang).await;
        let exporter = format!("otlp/out: {{endpoint: \"{}\", timeout: 10m}}", backend.url());
        let mut program = Program::run(&explained("", &exporter));
        let (grpc, _) = program.addresses().await;
        send(grpc, Signal::Logs, &requests::logs(&["never delivered"])).await;
        eventually("it is on its way", || backend.count() == 1).await;
        program.signal(first);
        eventually("it says so", || program.stderr().contains("stopping")).await;
        assert!(program.is_running(), "it waits for the backend");
        program.signal(second);
        assert_eq!(program.ended().await.code(), Some(130), "{first} {second}");
        assert!(program.stderr().contains("ended at once"), "{}", program.stderr());
    }
}

#[tokio::test]
async fn it_ends_though_nobody_answers() {
    // A backend and a collector of its own telemetry that hang, and a request that does not end.
    let backend = Backend::always(Reply::Hang).await;
    let collector = backend.url();
    let telemetry = format!(
        "  telemetry: {{metrics: {{otlp_endpoint: \"{collector}\"}}, logs: {{otlp_endpoint: \"{collector}\"}}}}\n"
    );
    let exporter = format!("otlp/out: {{endpoint: \"{}\", timeout: 10m}}", backend.url());
    let mut program = Program::run(&format!("{}{telemetry}", explained("", &exporter)));
    let (grpc, http) = program.addresses().await;
    send(grpc, Signal::Logs, &requests::logs(&["never delivered"])).await;
    let mut slow = std::net::TcpStream::connect(http).expect("connects");
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    slow.write_all(head.as_bytes()).expect("writes");
    eventually("it is on its way", || backend.count() > 0).await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let said = program.stderr();
    assert!(said.contains("stopping within 25 s") && said.contains("1 items were left behind"), "{said}");
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a document");
    assert!(readme.contains("within 25 seconds in all"), "the README says the same");
}

#[tokio::test]
async fn after_a_signal_no_new_requests_are_taken() {
    let backend = Backend::always(Reply::Hang).await;
    let exporter = format!("otlp/out: {{endpoint: \"{}\", timeout: 10m}}", backend.url());
    let program = Program::run(&explained("", &exporter));
    let (grpc, _) = program.addresses().await;
    send(grpc, Signal::Logs, &requests::logs(&["x"])).await;
    eventually("it is on its way", || backend.count() == 1).await;
    program.signal("TERM");
    eventually("the port is closed", || std::net::TcpStream::connect(grpc).is_err()).await;
}

const GRPC: &str = "receivers::otlp::protocols::grpc";

/// Runs `run` with a configuration that cannot work: one sentence that has these words.
async fn fails(config: &str, words: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(directory.path(), "bad.yaml", config).display().to_string();
    let (code, stdout, stderr) = finished(&["run", "--config", &path]).await;
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "`{word}` is not in: {stderr}");
    }
    assert_eq!(stderr.lines().count(), 1, "one sentence: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

async fn finished_text(config: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(directory.path(), "bad.yaml", config).display().to_string();
    finished(&["validate", "--config", &path]).await.2
}

#[tokio::test]
async fn a_backend_of_an_unknown_name_is_told_of_while_it_runs() {
    let config = explained("", "otlp/out: {endpoint: \"http://no-such-host.invalid:4317\"}");
    let program = Program::run(&format!("{config}web: {{endpoint: \"\"}}\n"));
    let (grpc, _) = program.addresses().await;
    send(grpc, Signal::Logs, &requests::logs(&["x"])).await;
    eventually("it says so", || program.stderr().contains("cannot connect to no-such-host.invalid:4317")).await;
    let said = program.stderr();
    assert!(said.contains("exporters::otlp/out::endpoint (line 9)") && said.lines().count() == 2, "{said}");
}

#[tokio::test]
async fn what_cannot_start_says_why_in_one_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = explained("", &format!("file/out: {{path: \"{}\"}}", directory.path().join("good.jsonl").display()));
    let grpc = "grpc: {endpoint: 127.0.0.1:0}";
    let with_grpc = |inside: &str| good.replace(grpc, &format!("grpc: {{{inside}}}"));
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy_at = busy.local_addr().expect("an address").to_string();
    fails(
        &with_grpc(&format!("endpoint: {busy_at}")),
        &[&busy_at, "taken by another program", "grpc::endpoint", "line 4"],
    )
    .await;
    fails(
        &with_grpc("endpoint: no-such-host.invalid:4317"),
        &["cannot listen on no-such-host.invalid:4317", "grpc::endpoint", "line 4"],
    )
    .await;
    fails(&with_grpc("endpoint: 192.0.2.1:4317"), &["cannot listen on 192.0.2.1:4317", "grpc::endpoint"]).await;

    let authority = Authority::new();
    let (files, other) = (authority.certify(directory.path(), "a.test"), authority.certify(directory.path(), "b.test"));
    let no_pem = write(directory.path(), "no.pem", "nonsense").display().to_string();
    let (certificate, key) = (files.certificate.display().to_string(), files.key.display().to_string());
    let other_key = other.key.display().to_string();
    let tls = |cert: &str, key: &str| {
        with_grpc(&format!("endpoint: 127.0.0.1:0, tls: {{cert_file: {cert}, key_file: {key}}}"))
    };
    // Both files of one listener, at once.
    let told = finished_text(&tls(&no_pem, "/no/such.pem")).await;
    let expected = [
        format!(":4: `{GRPC}::tls::cert_file`: cannot use {no_pem}: it holds no certificate in PEM"),
        format!(":4: `{GRPC}::tls::key_file`: cannot use /no/such.pem: No such file"),
    ];
    assert!(expected.iter().all(|words| told.contains(words)) && told.lines().count() == 2, "{told}");
    fails(&tls(&no_pem, &key), &["name the file of the certificate"]).await;
    fails(&tls("/no/such.pem", &key), &["check the path and who may read it"]).await;
    fails(&tls(&certificate, &no_pem), &[":4:", &format!("`{GRPC}::tls::key_file`"), "no private key in PEM"]).await;
    fails(&tls(&certificate, &other_key), &[":4:", "b.test.key", "does not fit the certificate"]).await;
    let with_ca = tls(&certificate, &key).replace("key_file", "client_ca_file: /no/ca.pem, key_file");
    fails(&with_ca, &[":4:", &format!("`{GRPC}::tls::client_ca_file`"), "/no/ca.pem"]).await;

    let out = |options: &str| explained("", &format!("otlp/out: {{{options}}}"));
    let secret = out("endpoint: \"https://user:s3cr3t@tempo:4317\"");
    fails(&secret, &[":9:", "exporters::otlp/out::endpoint", "headers"]).await;
    assert!(!finished_text(&secret).await.contains("s3cr3t"));
    fails(&out("endpoint: tempo"), &[":9:", "exporters::otlp/out", "`tempo`", "4317"]).await;
    fails(&out("endpoint: \"ftp://tempo:4317\""), &["exporters::otlp/out", "ftp://tempo:4317", "http"]).await;
    let ca_file = "`exporters::otlp/out::tls::ca_file`";
    fails(&out("endpoint: tempo:4317, tls: {ca_file: /no/such.pem}"), &[":9:", ca_file, "/no/such.pem"]).await;
    let identity = |cert: &str, key: &str| out(&format!("endpoint: h:1, tls: {{cert_file: {cert}, key_file: {key}}}"));
    let cert_file = "`exporters::otlp/out::tls::cert_file`";
    fails(&identity("/no/such.pem", &key), &[":9:", cert_file, "/no/such.pem"]).await;
    fails(&identity(&certificate, &other_key), &[":9:", "b.test.key", "does not fit the certificate"]).await;

    let file = |path: &str| explained("", &format!("file/out: {{path: \"{path}\"}}"));
    let path = "`exporters::file/out::path`";
    fails(&file("/no/such/dir/out.jsonl"), &[":9:", path, "/no/such/dir is no directory", "make it"]).await;
    let here = directory.path().display().to_string();
    fails(&file(&here), &[":9:", path, "is a directory"]).await;
    let twice = file(&format!("{here}/out.jsonl"))
        .replace("exporters:\n", &format!("exporters:\n  file: {{path: \"{here}/./out.jsonl\"}}\n"));
    fails(&twice, &[":10:", path, "is written already by `exporters::file::path` (line 9)"]).await;
    assert!(!directory.path().join("out.jsonl").exists(), "looking makes no file");
    fails(&explained("log_formats: [plain text]", "debug: {}"), &["why502::log_formats", "no variable", ":7:"]).await;

    let (code, _, stderr) = finished(&["run", "--config", "/no/such.yaml"]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot read /no/such.yaml") && stderr.lines().count() == 1, "{stderr}");
}

#[tokio::test]
async fn all_mistakes_of_a_configuration_come_at_once_with_their_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = explained("hodl: 8s, link: {threshold: 7}", "otlp/out: {endpiont: tempo:4317, compression: brotli}")
        .replace("metrics: {receivers: [otlp]", "metrics: {receivers: [otpl]");
    // And what only this machine can tell.
    let text = text.replace("exporters:\n", "exporters:\n  file: {path: /no/such/out.jsonl}\n");
    let path = write(directory.path(), "bad.yaml", &text).display().to_string();
    let expected = [
        ":9: `exporters::file::path`: /no/such is no directory; make it, or check the path",
        ":7: `processors::why502` has no key `hodl`; did you mean `hold`?",
        ":7: `processors::why502::link::threshold`: `7` is not a number, 0 to 1",
        ":10: `exporters::otlp/out` has no key `endpiont`; did you mean `endpoint`?",
        ":10: `exporters::otlp/out` needs an `endpoint`, such as tempo:4317",
        ":10: `exporters::otlp/out::compression`: `brotli` is not one of gzip, zstd, snappy, zlib, deflate, lz4, none",
        ":15: `service::pipelines::metrics::receivers`: `receivers` has no entry `otpl`; did you mean `otlp`?",
    ];
    for command in ["run", "validate"] {
        let (code, stdout, stderr) = finished(&[command, "--config", &path]).await;
        assert_eq!((code, stdout.as_str()), (1, ""), "{command}");
        let mut told: Vec<&str> = stderr.lines().map(|line| line.trim_start_matches(path.as_str())).collect();
        told.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(told, expected, "{command}");
    }
}

#[tokio::test]
async fn validate_and_its_connections() {
    let directory = tempfile::tempdir().expect("a directory");
    let validate = async |exporter: &str, options: &[&str]| {
        let path = write(directory.path(), "why502.yaml", &explained("", exporter)).display().to_string();
        let mut arguments = vec!["validate", "--config", &path];
        arguments.extend_from_slice(options);
        finished(&arguments).await
    };
    let (code, stdout, stderr) = validate("debug: {}", &[]).await;
    let warned = ":14: warning: `service::pipelines::metrics` has no processor `why502`";
    assert!(code == 0 && stderr.contains(warned) && stderr.lines().count() == 1, "{stderr}");
    assert!(stdout.ends_with(": valid; 3 pipelines, 1 exporter\n"), "{stdout}");
    // Nothing is connected to unless it is asked for.
    assert_eq!(validate("otlp/out: {endpoint: no-such-host.invalid:4317}", &[]).await.0, 0);
    let backend = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let alive = backend.local_addr().expect("an address").to_string();
    let dead = {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        closed.local_addr().expect("an address").to_string()
    };
    for (exporter, expected, words) in [
        (format!("otlp/out: {{endpoint: {alive}}}"), 0, "takes connections"),
        (format!("otlphttp/out: {{endpoint: \"http://{alive}\"}}"), 0, "takes connections"),
        (format!("otlp/out: {{endpoint: {dead}}}"), 1, "does not take connections"),
        (format!("otlphttp/out: {{endpoint: \"http://{dead}/otlp\"}}"), 1, "does not take connections"),
        ("otlp/out: {endpoint: no-such-host.invalid:4317}".to_owned(), 1, "name does not resolve"),
    ] {
        let (code, stdout, stderr) = validate(&exporter, &["--connect"]).await;
        assert_eq!(code, expected, "{exporter}: {stderr}");
        assert!(stdout.contains("valid"), "{exporter}: {stdout}");
        assert!(stderr.contains(words) && stderr.contains("/out"), "{exporter}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{exporter}: {stderr}");
        assert_eq!(expected == 1, stderr.contains("check exporters::") && stderr.contains("line 9"), "{stderr}");
    }
}

#[tokio::test]
async fn an_endpoint_on_the_command_line_is_a_matter_of_usage() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = write(directory.path(), "access.log", "").display().to_string();
    for (to, words) in [
        ("nonsense://x", "must be http or https"),
        ("", "is empty"),
        ("tempo", "names no port"),
        ("h:99999", "is no port"),
        ("unix:///run/x", "unix socket"),
        ("http://h:4317/v1/logs", "has a path"),
    ] {
        for arguments in [vec!["tail", &file, "--to", to], vec!["watch", "--to", to]] {
            let (code, stdout, stderr) = finished(&arguments).await;
            assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
            assert!(stderr.contains("--to") && stderr.contains(words), "{arguments:?}: {stderr}");
            assert!(!stderr.contains("line 0") && !stderr.contains("exporters::"), "{arguments:?}: {stderr}");
        }
    }
}

#[tokio::test]
async fn what_would_come_back_to_it_is_refused() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let port = free.port();
    for (listens, exporter, line) in [
        (format!("127.0.0.1:{port}"), format!("otlp/out: {{endpoint: 127.0.0.1:{port}}}"), 9),
        (format!("127.0.0.1:{port}"), format!("otlphttp/out: {{endpoint: \"http://localhost:{port}\"}}"), 9),
        (format!("\":{port}\""), format!("otlphttp/out: {{logs_endpoint: \"http://127.0.0.1:{port}/v1/logs\"}}"), 9),
        (format!("\"[::]:{port}\""), format!("otlp/out: {{endpoint: \"http://127.0.0.2:{port}\"}}"), 9),
    ] {
        let config = explained("", &exporter).replacen("127.0.0.1:0", &listens, 1);
        for command in ["run", "validate"] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = write(directory.path(), "loop.yaml", &config).display().to_string();
            let (code, _, stderr) = finished(&[command, "--config", &path]).await;
            assert_eq!((code, stderr.lines().count()), (1, 1), "{config}: {stderr}");
            for words in [&format!(":{line}: `exporters::"), "circles", "grpc::endpoint`, line 4"] {
                assert!(stderr.contains(words), "`{words}`: {stderr}");
            }
        }
    }
}

#[tokio::test]
async fn secrets_stay_out_of_the_log() {
    const SECRET: &str = "s3cr3t-k3y-0123456789";
    let words = format!("no such key: {SECRET}");
    let backend = Backend::always(Reply::Http(403, Vec::new(), words.into_bytes())).await;
    let exporter = format!("otlphttp/out: {{endpoint: \"{}\", headers: {{dd-api-key: {SECRET}}}}}", backend.url());
    let config = format!("{}  telemetry: {{logs: {{level: trace}}}}\n", explained("", &exporter));
    let mut program = Program::run(&config);
    let (grpc, _) = program.addresses().await;
    send(grpc, Signal::Logs, &requests::logs(&["x"])).await;
    eventually("it complains", || program.stderr().contains("answered 403")).await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    assert_eq!(backend.seen()[0].header("dd-api-key"), SECRET);
    let said = program.stderr() + &program.stdout();
    assert!(!said.contains(SECRET) && said.contains("dropped{refused} 1"), "{said}");
    let directory = tempfile::tempdir().expect("a directory");
    let bad = config.replace("endpoint: \"http", "endpoint: \"ftp").replace("level: trace", "level: loud");
    let path = write(directory.path(), "bad.yaml", &bad).display().to_string();
    let (code, _, stderr) = finished(&["validate", "--config", &path]).await;
    assert!(code == 1 && stderr.contains("loud") && !stderr.contains(SECRET), "{stderr}");
}

/// Where the disk is full for a while, whole lines are in the file before, and everything after: no half of a line.
#[tokio::test]
async fn a_file_that_cannot_grow_for_a_while_has_whole_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out.jsonl");
    let config = write(directory.path(), "why502.yaml", &explained("", &format!("file: {{path: {}}}", out.display())));
    // Files may have 32 KiB, and who writes more gets an error and no signal.
    let limited = "trap '' XFSZ; ulimit -S -f 64";
    let mut program = Program::start_after(limited, &["run", "--config", &config.display().to_string()]);
    let (grpc, _) = program.addresses().await;
    let bodies: Vec<String> = (0..60).map(|number| format!("{number} {}", "x".repeat(1_000))).collect();
    for body in &bodies {
        call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[body])).await;
    }
    eventually("it says so", || program.stderr().contains("is the disk full?")).await;
    let written = || -> Vec<String> {
        let text = std::fs::read_to_string(&out).expect("text");
        // What has no line end yet is being written.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let lines = whole.lines().map(|line| json::to_protobuf(Signal::Logs, line.as_bytes()).expect("a request"));
        lines.flat_map(|request| requests::bodies(&request)).collect()
    };
    assert!(written().len() < bodies.len());
    let id = program.id().to_string();
    let lifted = std::process::Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status();
    assert!(lifted.expect("prlimit of util-linux").success());
    eventually("the rest is written", || written().len() == bodies.len()).await;
    assert_eq!(written(), bodies, "each once and in order");
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
}

#[tokio::test]
async fn a_file_that_was_rotated_away_is_made_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out.jsonl");
    let program = Program::run(&explained("", &format!("file: {{path: {}}}", out.display())));
    let (grpc, _) = program.addresses().await;
    let bodies = |path: &std::path::Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.lines().filter_map(|line| json::to_protobuf(Signal::Logs, line.as_bytes()).ok());
        whole.flat_map(|request| requests::bodies(&request)).collect()
    };
    send(grpc, Signal::Logs, &requests::logs(&["one"])).await;
    eventually("it is written", || bodies(&out) == ["one"]).await;
    let old = directory.path().join("out.jsonl.1");
    std::fs::rename(&out, &old).expect("renames");
    send(grpc, Signal::Logs, &requests::logs(&["two"])).await;
    eventually("it is written to a new file", || bodies(&out) == ["two"]).await;
    assert_eq!(bodies(&old), ["one"]);
    std::fs::remove_file(&out).expect("removes");
    send(grpc, Signal::Logs, &requests::logs(&["three"])).await;
    eventually("it is written to another one", || bodies(&out) == ["three"]).await;
}
