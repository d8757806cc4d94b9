//! What settings do to a running why502: formats of access logs that are named, and how long a connection lives.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use bytes::Bytes;
use common::backend::{Backend, Reply};
use common::client::{call, frame, post};
use common::hop::{Hop, relay};
use common::process::{Program, explained, finished, write};
use common::{eventually, requests};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use why502::otlp::Signal;

/// One request that found nothing listening, in a format that no line tells by itself.
const ODD_FORMAT: &str = "$status;$upstream_status;$upstream_addr;$request_method $request_uri;$msec;$pid/$connection";
const ODD_LINE: &str = "502;502;127.0.0.1:8000;GET /cart;1772615703.500;411/7";
/// The same request, told by Gunicorn, which answered it with 502 itself.
const GUNICORN_FORMAT: &str = "%(p)s;%(m)s %(U)s;%(s)s;%(L)s;%(t)s";
const GUNICORN_LINE: &str = "<512>;GET /cart;502;0.004000;[04/Mar/2026:09:15:03 +0000]";
const COMBINED_LINE: &str =
    r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /cart HTTP/1.1" 502 157 "-" "curl/8""#;

/// The causes that these lines leave with, in their order, when the processor has these settings; and what was said.
async fn causes(processor: &str, lines: &[&str]) -> (Vec<String>, String) {
    let backend = Backend::always(Reply::http(200)).await;
    let processor = format!("hold: 100ms{processor}");
    let mut program =
        Program::run(&explained(&processor, &format!("otlphttp/out: {{endpoint: \"{}\"}}", backend.url())));
    let (grpc, _) = program.addresses().await;
    let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(lines)).await;
    assert_eq!(answer.grpc().code(), Code::Ok);
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let records: Vec<_> = backend.seen().iter().flat_map(|seen| requests::records(&seen.message())).collect();
    let cause = |line: &&str| {
        let record = records.iter().find(|record| requests::body(record) == *line).expect("it arrived");
        requests::attribute_of(&record.attributes, "why502.cause")
    };
    (lines.iter().map(cause).collect(), program.stderr())
}

#[tokio::test]
async fn access_logs_in_any_format_are_read_when_it_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), "logs.conf", &format!("log_format odd '{ODD_FORMAT}';\n"));
    let conf = "http {\n  include logs.conf;\n  include none.conf;\n  server { access_log odd.log odd; }\n}\n";
    let conf = write(directory.path(), "nginx.conf", conf).display().to_string();
    let [_, error] = requests::refused_by_upstream(7, "/cart");
    let lines = [ODD_LINE, &error];
    let (found, _) = causes("", &lines).await;
    assert_eq!(found[0], "", "nobody can know what it is");
    let (found, said) = causes(&format!(", log_formats: [\"{ODD_FORMAT}\"]"), &lines).await;
    assert_eq!((found[0].as_str(), found[1].as_str()), ("gunicorn_not_running", "gunicorn_not_running"), "{said}");
    let (found, said) = causes(&format!(", nginx_conf: \"{conf}\""), &lines).await;
    assert_eq!((found[0].as_str(), found[1].as_str()), ("gunicorn_not_running", "gunicorn_not_running"), "{said}");
    let told = format!(":7: warning: {conf}: line 3: include none.conf: ");
    assert!(said.contains(&told) && said.contains("does not exist"), "{said}");
}

#[tokio::test]
async fn gunicorns_access_log_in_any_format_is_read_when_it_is_named() {
    let lines = [COMBINED_LINE, GUNICORN_LINE];
    let (found, _) = causes("", &lines).await;
    assert_eq!(found[1], "", "nobody can know what it is");
    let (found, said) = causes(&format!(", gunicorn_formats: [\"{GUNICORN_FORMAT}\"]"), &lines).await;
    assert_eq!((found[0].as_str(), found[1].as_str()), ("app_returned_error", "app_returned_error"), "{said}");
}

#[tokio::test]
async fn verdict_records_of_one_incident_are_limited_and_the_attributes_are_not() {
    for (setting, limit) in [("", 5), (", verdicts: {per_incident: 2}", 2), (", verdicts: {per_incident: 0}", 0)] {
        let backend = Backend::always(Reply::http(200)).await;
        // Several consumers would send at once, in any order.
        let queue = "sending_queue: {num_consumers: 1}";
        let exporter = format!("otlphttp/out: {{endpoint: \"{}\", {queue}}}", backend.url());
        let mut program = Program::run(&explained(&format!("hold: 100ms{setting}"), &exporter));
        let (grpc, _) = program.addresses().await;
        let lines: Vec<String> =
            (1..=5).flat_map(|number| requests::refused_by_upstream(number, &format!("/cart/{number}"))).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(&lines)).await;
        assert_eq!(answer.grpc().code(), Code::Ok);
        program.signal("TERM");
        assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
        let records: Vec<_> = backend.seen().iter().flat_map(|seen| requests::records(&seen.message())).collect();
        let named = |name: &str| records.iter().filter(|record| record.event_name == name).collect::<Vec<_>>();
        assert_eq!(named("why502.verdict").len(), limit, "{setting}");
        let incidents = named("why502.incident");
        let states: Vec<String> = incidents
            .iter()
            .map(|record| requests::attribute_of(&record.attributes, "why502.incident.state"))
            .collect();
        assert_eq!(states, ["opened", "changed", "changed", "closed"], "{setting}: when it has doubled");
        let uid = |attributes: &[_]| requests::attribute_of(attributes, "why502.incident.uid");
        let last = incidents.last().expect("the end");
        assert!(requests::body(last).starts_with("gunicorn_not_running: 5 requests failed"), "{last:?}");
        let of_requests: Vec<String> = named("").iter().map(|record| uid(&record.attributes)).collect();
        assert_eq!(of_requests, vec![uid(&last.attributes); 10], "{setting}: on each record of the requests");
        let suppressed = program.stderr().contains(&format!("suppressed_verdicts{{per_incident}} {}", 5 - limit));
        assert_eq!(suppressed, limit < 5, "{}", program.stderr());
    }
}

#[tokio::test]
async fn what_nginx_is_told_of_its_upstreams_counts() {
    let directory = tempfile::tempdir().expect("a directory");
    let conf = "upstream shop { server 127.0.0.1:8000; } upstream blog { server 127.0.0.1:9000; }
        server { location / { proxy_pass http://shop; } location /blog { proxy_pass http://blog; } }";
    let conf = write(directory.path(), "nginx.conf", conf).display().to_string();
    // A Gunicorn that serves, elsewhere than where nginx looked for one.
    let other = "[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:9000 (300)";
    let [_, error] = requests::refused_by_upstream(7, "/cart");
    let (found, _) = causes("", &[other, &error]).await;
    assert_eq!(found[1], "upstream_address_mismatch", "it looks like it");
    let (found, _) = causes(&format!(", nginx_conf: \"{conf}\""), &[other, &error]).await;
    assert_eq!(found[1], "gunicorn_not_running", "it is the one of another upstream");
}

#[tokio::test]
async fn an_nginx_configuration_that_cannot_be_read_is_a_mistake() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = explained("nginx_conf: /no/such/nginx.conf", "debug: {}");
    let path = write(directory.path(), "why502.yaml", &config).display().to_string();
    for command in ["run", "validate"] {
        let (code, _, stderr) = finished(&[command, "--config", &path]).await;
        assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
        for words in [":7: `processors::why502::nginx_conf`: /no/such/nginx.conf", "No such file", "check the path"] {
            assert!(stderr.contains(words), "`{words}`: {stderr}");
        }
    }
}

/// A hop whose gRPC listener has these parameters.
async fn hop(parameters: &str) -> Hop {
    let keepalive = format!("keepalive: {{server_parameters: {{{parameters}}}}}");
    Hop::start(&relay("logs", 256).replacen(
        "endpoint: 127.0.0.1:0,",
        &format!("endpoint: 127.0.0.1:0, {keepalive},"),
        1,
    ))
    .await
}

/// What a peer gets that opens a connection and then answers nothing at all, until the server closes it.
async fn told_to_a_silent_peer(address: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    // The preface and empty settings (RFC 9113, sections 3.4 and 6.5).
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    stream.write_all(hello).await.expect("it listens");
    let mut told = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut told)).await;
    // A reset is an end too.
    let _ = closed.expect("it is closed within half a minute");
    told
}

/// Types of the frames in these bytes.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        types.push(*kind);
        bytes = rest.get(usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c)..).unwrap_or_default();
    }
    types
}

const PING: u8 = 6;
const GOAWAY: u8 = 7;

#[tokio::test]
async fn an_old_connection_is_closed_and_a_new_one_is_served() {
    let hop = hop("max_connection_age: 2s").await;
    let stream = TcpStream::connect(hop.grpc).await.expect("connects");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://test{}", Signal::Logs.grpc_path()))
        .header("content-type", "application/grpc")
        .body(Full::new(frame(0, &requests::logs(&["x"]))))
        .expect("a request");
    assert_eq!(sender.send_request(request).await.expect("an answer").status(), 200);
    // The client keeps it open: it ends because the server wants it.
    let ended = tokio::time::timeout(Duration::from_secs(30), connection).await;
    ended.expect("it is closed within half a minute").expect("no panic").expect("in good order");
    assert!(sender.is_closed());
    assert_eq!(call(hop.grpc, Signal::Logs.grpc_path(), &requests::logs(&["y"])).await.grpc().code(), Code::Ok);
    assert_eq!(hop.kept.take().len(), 2);
}

#[tokio::test]
async fn a_peer_that_is_gone_is_asked_and_then_closed() {
    let hop = hop("time: 1s, timeout: 1s").await;
    let told = frames(&told_to_a_silent_peer(hop.grpc).await);
    assert!(told.ends_with(&[PING, GOAWAY]), "{told:?}");
}

#[tokio::test]
async fn what_the_limit_of_memory_does_to_requests_is_said() {
    let text = explained("limits: {requests: 500, spans: 5000}", "debug: {}");
    let program = Program::run(&format!("memory: {{limit: 96MiB}}\n{text}"));
    let (_, http) = program.addresses().await;
    let words = "MiB at most, not 64: a larger one does not fit into `memory::limit`, 96 MiB";
    eventually(|| program.stderr(), || program.stderr().matches(words).count() == 2).await;
    let large = requests::logs(&[&"x".repeat(24 << 20)]);
    assert_eq!(post(http, "/v1/logs", "application/x-protobuf", large).await.status, 413);
    // The least that is allowed leaves nothing beside the engine as it is by default.
    let tight = Program::run(&format!("memory: {{limit: 64MiB}}\n{}", explained("", "debug: {}")));
    eventually(|| tight.stderr(), || tight.stderr().contains("leave too little for data beside the engine")).await;
}
