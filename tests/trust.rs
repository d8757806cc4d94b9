//! Whom exporters trust with what: TLS by the right authority alone, one clear sentence where it fails, and secrets that
//! no error and no `Debug` shows.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::{Backend, Reply};
use common::certificates::{Authority, Files};
use common::hop::{Hop, relay};
use common::{remote, requests};
use std::net::TcpListener;
use tonic::Code;
use why502::config::settings::{Exporter as Settings, ExporterKind};
use why502::exporter::queue::Deliver;
use why502::exporter::{Exporter, grpc, http};
use why502::otlp::Signal;

const KINDS: [&str; 2] = ["otlp", "otlphttp"];

/// One try; the sentence of a failure.
async fn try_once(settings: &Settings) -> Result<(), String> {
    let request = requests::logs(&["over TLS"]);
    let result = match &settings.kind {
        ExporterKind::Grpc(remote) => {
            let client = grpc::Client::new(&settings.name, remote).map_err(|error| error.to_string())?;
            client.deliver(Signal::Logs, request.into()).await
        }
        ExporterKind::Http(remote) => {
            let client = http::Client::new(&settings.name, remote).map_err(|error| error.to_string())?;
            client.deliver(Signal::Logs, request.into()).await
        }
        _ => panic!("a remote one"),
    };
    result.map(drop).map_err(|error| error.text)
}

#[tokio::test]
async fn tls_by_the_right_authority_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (right, wrong) = (Authority::new(), Authority::new());
    let right_file = right.write(directory.path(), "right.pem").display().to_string();
    let wrong_file = wrong.write(directory.path(), "wrong.pem").display().to_string();
    let none = directory.path().join("none.pem").display().to_string();
    let no_pem = common::process::write(directory.path(), "no.pem", "nonsense").display().to_string();
    let backend = Backend::tls(&right.certify(directory.path(), "127.0.0.1")).await;
    let other_name = Backend::tls(&right.certify(directory.path(), "backend.test")).await;
    let plain = Backend::start(Vec::new()).await;
    for kind in KINDS {
        let tls = |backend: &Backend, options: String| {
            let url = format!("https://{}", backend.address);
            remote(kind, &url, &format!("tls: {{{options}}}"))
        };
        let good = [
            tls(&backend, format!("ca_file: {right_file}")),
            tls(&backend, "insecure_skip_verify: true".to_owned()),
            tls(&other_name, format!("ca_file: {right_file}, server_name_override: backend.test")),
        ];
        for settings in good {
            assert_eq!(try_once(&settings).await, Ok(()), "{kind} {settings:?}");
        }
        // What is wrong, and the words that one can act on.
        let bad = [
            (tls(&backend, format!("ca_file: {wrong_file}")), vec!["cannot connect to", "certificate", "ca_file"]),
            (tls(&backend, String::new()), vec!["cannot connect to", "certificate", "ca_file"]),
            (tls(&other_name, format!("ca_file: {right_file}")), vec!["cannot connect to", "certificate", "127.0.0.1"]),
            (tls(&plain, format!("ca_file: {right_file}")), vec!["cannot connect to", "TLS"]),
            (tls(&backend, format!("ca_file: {none}")), vec!["none.pem", "No such file"]),
            (tls(&backend, format!("ca_file: {no_pem}")), vec!["no.pem", "no certificate in PEM"]),
        ];
        for (settings, words) in bad {
            let told = try_once(&settings).await.expect_err("it cannot work");
            for word in words {
                assert!(told.contains(word), "{kind}: `{word}` is not in: {told}");
            }
            assert!(!told.contains('\n') && told.len() < 400, "one sentence: {told}");
        }
    }
    assert_eq!(backend.bodies().len() + other_name.bodies().len(), 6, "and nothing came by another way");
}

#[tokio::test]
async fn secrets_are_in_no_error_and_no_debug() {
    const SECRET: &str = "s3cr3t-k3y-0123456789";
    for kind in KINDS {
        let options = format!("headers: {{dd-api-key: {SECRET}}}");
        // A backend that is so kind as to repeat the key.
        let words = format!("the key {SECRET} is not valid");
        let echo = match kind {
            "otlp" => Reply::GrpcSays(Code::PermissionDenied, words),
            _ => Reply::Http(403, Vec::new(), words.into_bytes()),
        };
        for reply in [echo, Reply::http(401), Reply::Close] {
            let backend = Backend::always(reply).await;
            let settings = remote(kind, &backend.url(), &options);
            let told = try_once(&settings).await.expect_err("it is refused");
            assert!(!told.contains(SECRET) && !told.contains("0123456789"), "{told}");
            assert_eq!(backend.seen()[0].header("dd-api-key"), SECRET);
            let exporter = Exporter::start(&settings).expect("it starts");
            for shown in [format!("{settings:?}"), format!("{settings:#?}"), format!("{exporter:?}")] {
                assert!(!shown.contains(SECRET), "{shown}");
            }
        }
        let backend = Backend::always(Reply::http(404)).await;
        if kind == "otlphttp" {
            let url = format!("logs_endpoint: \"{}/v1/logs?key={SECRET}\"", backend.url());
            let told = try_once(&remote(kind, &backend.url(), &url)).await.expect_err("it is refused");
            assert!(told.contains("/v1/logs answered 404") && !told.contains(SECRET), "{told}");
            assert_eq!(backend.seen()[0].path, "/v1/logs");
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let told = try_once(&remote(kind, &format!("http://{free}"), &options)).await.expect_err("nothing listens");
        assert!(told.contains("cannot connect to") && told.contains("endpoint") && !told.contains(SECRET), "{told}");
    }
}

#[tokio::test]
async fn the_receiver_speaks_tls_and_asks_for_certificates() {
    let directory = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (Authority::new(), Authority::new());
    let our_file = ours.write(directory.path(), "ours.pem").display().to_string();
    let server = ours.certify(directory.path(), "127.0.0.1");
    let (friend, stranger) = (ours.certify(directory.path(), "friend"), theirs.certify(directory.path(), "stranger"));
    let pair = |files: &Files| format!("cert_file: {}, key_file: {}", files.certificate.display(), files.key.display());
    let anybody = format!("tls: {{{}}}", pair(&server));
    let known = format!("tls: {{{}, client_ca_file: {our_file}}}", pair(&server));
    let (nobody, friend, stranger) = (String::new(), format!(", {}", pair(&friend)), format!(", {}", pair(&stranger)));
    let cases = [
        (&anybody, &nobody, true),
        (&anybody, &stranger, true),
        (&known, &friend, true),
        (&known, &nobody, false),
        (&known, &stranger, false),
    ];
    for (tls, certificate, welcome) in cases {
        let text = relay("logs", 256).replace("endpoint: 127.0.0.1:0,", &format!("endpoint: 127.0.0.1:0, {tls},"));
        let hop = Hop::start(&text).await;
        for (kind, address) in [("otlp", hop.grpc), ("otlphttp", hop.http)] {
            let options = format!("tls: {{ca_file: {our_file}{certificate}}}");
            let result = try_once(&remote(kind, &format!("https://{address}"), &options)).await;
            assert_eq!(result.is_ok(), welcome, "{kind} {tls} {certificate}: {result:?}");
            let plain = try_once(&remote(kind, &format!("http://{address}"), "")).await;
            assert!(plain.is_err(), "{kind}: plain text is not taken");
        }
        assert_eq!(hop.kept.take().len(), if welcome { 2 } else { 0 }, "{tls} {certificate}");
    }
}
