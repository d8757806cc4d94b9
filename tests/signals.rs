//! No signal that a service manager or a closing terminal sends loses a record; SIGHUP reads the configuration and the
//! certificates anew.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::{Backend, Reply};
use common::certificates::Authority;
use common::client::call;
use common::process::{Program, explained, write};
use common::{eventually, remote, requests};
use std::net::SocketAddr;
use std::path::Path;
use tonic::Code;
use why502::exporter::Exporter;
use why502::otlp::Signal;

async fn send(grpc: SocketAddr, bodies: &[&str]) {
    let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(bodies)).await;
    assert_eq!(answer.grpc().code(), Code::Ok);
}

fn run(path: &Path) -> Program {
    Program::start(&["run", "--config", &path.display().to_string()])
}

fn out(backend: &Backend) -> String {
    let retry = "retry_on_failure: {initial_interval: 20ms, max_interval: 50ms}";
    format!("otlphttp/out: {{endpoint: \"{}\", {retry}}}", backend.url())
}

#[tokio::test]
async fn no_signal_loses_what_is_held_or_queued() {
    let backend = Backend::always(Reply::http(503)).await;
    let mut program = Program::run(&explained("hold: 5m", &out(&backend)));
    let (grpc, _) = program.addresses().await;
    let mut expected = Vec::new();
    for (number, signal) in (0..).zip(["USR1", "USR2", "HUP", "QUIT"]) {
        // One that waits for its verdict, one that waits for the backend.
        let access = requests::refused_by_upstream(number, "/cart")[0].clone();
        send(grpc, &[&access, signal]).await;
        expected.extend([access, signal.to_owned()]);
        program.signal(signal);
        let words = match signal {
            "HUP" => "are read anew".to_owned(),
            "QUIT" => "stopping".to_owned(),
            user => format!("SIG{user} is ignored"),
        };
        eventually(|| program.stderr(), || program.stderr().contains(&words)).await;
    }
    backend.recover();
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let mut arrived = backend.taken_bodies();
    arrived.retain(|body| expected.contains(body));
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected, "each once");
    assert!(!program.stderr().contains("left behind"), "{}", program.stderr());
}

#[tokio::test]
async fn a_hang_up_beside_the_end_ends_nothing_at_once() {
    let backend = Backend::always(Reply::http(503)).await;
    let mut program = Program::run(&explained("", &out(&backend)));
    let (grpc, _) = program.addresses().await;
    send(grpc, &["a record"]).await;
    // As systemd has it with `SendSIGHUP=yes`, and as terminals do.
    for signal in ["TERM", "HUP", "HUP", "USR1"] {
        program.signal(signal);
        eventually("it says so", || program.stderr().contains("stopping")).await;
    }
    assert!(program.is_running());
    backend.recover();
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    assert_eq!(backend.taken_bodies(), ["a record"]);
}

#[tokio::test]
async fn what_can_be_taken_over_is_and_the_rest_is_named() {
    let dead = Backend::always(Reply::http(503)).await;
    let alive = Backend::start(Vec::new()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let slow = "retry_on_failure: {initial_interval: 30m, max_interval: 30m}";
    let exporter = |backend: &Backend, key: &str| {
        format!("otlphttp/out: {{endpoint: \"{}\", headers: {{x-key: {key}}}, {slow}}}", backend.url())
    };
    let before = explained("hold: 100ms", &exporter(&dead, "s3cr3t-0ld"));
    let path = write(directory.path(), "why502.yaml", &before);
    let mut program = run(&path);
    let (grpc, _) = program.addresses().await;
    send(grpc, &["early"]).await;
    eventually("it is tried", || dead.count() > 0).await;

    // Wrong: the old one stays.
    write(directory.path(), "why502.yaml", &before.replace("hold:", "hodl:"));
    program.signal("HUP");
    eventually("it says so", || program.stderr().contains("the old one stays: it has mistakes")).await;
    assert!(program.stderr().contains("did you mean `hold`?"), "{}", program.stderr());
    std::fs::remove_file(&path).expect("removes");
    program.signal("HUP");
    eventually("it says so", || program.stderr().contains("the old one stays: cannot read")).await;
    assert_eq!(alive.count(), 0);

    // Another backend, what waits for the next try included.
    write(directory.path(), "why502.yaml", &explained("hold: 100ms", &exporter(&alive, "s3cr3t-n3w")));
    program.signal("HUP");
    eventually(|| program.stderr(), || alive.taken_bodies() == ["early"]).await;
    assert_eq!(alive.seen()[0].header("x-key"), "s3cr3t-n3w");
    eventually("it says so", || program.stderr().contains("are read anew: exporters::otlphttp/out::endpoint")).await;
    send(grpc, &["late"]).await;
    eventually("it goes to the new one", || alive.taken_bodies().len() == 2).await;

    // Keys that a running one does not read.
    write(directory.path(), "why502.yaml", &explained("hold: 200ms", &exporter(&alive, "s3cr3t-n3w")));
    program.signal("HUP");
    let words = "only a restart takes over processors::why502::hold";
    eventually(|| program.stderr(), || program.stderr().contains(words)).await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let said = program.stderr();
    assert!(!said.contains("s3cr3t") && !said.contains("dropped{"), "{said}");
}

#[tokio::test]
async fn a_full_queue_grows_when_it_is_told_to() {
    let backend = Backend::always(Reply::http(503)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = |size: &str| {
        let queue = format!("sending_queue: {{queue_size: {size}, sizer: items}}");
        explained("", &out(&backend).replace("retry_on", &format!("{queue}, retry_on")))
    };
    let path = write(directory.path(), "why502.yaml", &config("2"));
    let program = run(&path);
    let (grpc, _) = program.addresses().await;
    send(grpc, &["one", "two"]).await;
    let answer = async |body: &str| call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[body])).await.grpc().code();
    assert_eq!(answer("three").await, Code::Unavailable);
    write(directory.path(), "why502.yaml", &config("4"));
    program.signal("HUP");
    eventually("it says so", || program.stderr().contains("are read anew: exporters")).await;
    assert_eq!(answer("three").await, Code::Ok);
}

#[tokio::test]
async fn renewed_certificates_are_taken_over_and_connections_stay() {
    let directory = tempfile::tempdir().expect("a directory");
    let backend = Backend::start(Vec::new()).await;
    let (old, new) = (Authority::new(), Authority::new());
    let (old_ca, new_ca) = (old.write(directory.path(), "old.pem"), new.write(directory.path(), "new.pem"));
    let files = old.certify(directory.path(), "localhost");
    let tls = format!("tls: {{cert_file: {}, key_file: {}}}", files.certificate.display(), files.key.display());
    let config = explained("", &format!("otlp/out: {{endpoint: \"{}\"}}", backend.url()));
    let config = config.replace("grpc: {endpoint: 127.0.0.1:0}", &format!("grpc: {{endpoint: 127.0.0.1:0, {tls}}}"));
    let program = run(&write(directory.path(), "why502.yaml", &config));
    let (grpc, _) = program.addresses().await;
    let url = format!("https://localhost:{}", grpc.port());
    let client = |ca: &Path| {
        let options = format!("tls: {{ca_file: {}}}, retry_on_failure: {{enabled: false}}", ca.display());
        Exporter::start(&remote("otlp", &url, &options)).expect("it starts")
    };
    let offer = |client: &Exporter, body: &str| {
        client.offer(Signal::Logs, requests::logs(&[body]).into(), 1).expect("there is room");
    };
    let first = client(&old_ca);
    offer(&first, "one");
    eventually("it arrives", || first.stats.sent_count(Signal::Logs) == 1).await;

    // A certificate without its key: nothing changes.
    let renewed = new.certify(&directory.path().join("."), "other");
    std::fs::copy(&renewed.certificate, &files.certificate).expect("copies");
    program.signal("HUP");
    eventually("it says so", || program.stderr().contains("the old one stays")).await;
    let second = client(&old_ca);
    offer(&second, "two");
    eventually("it arrives", || second.stats.sent_count(Signal::Logs) == 1).await;

    new.certify(directory.path(), "localhost");
    program.signal("HUP");
    eventually("it says so", || program.stderr().contains("are read anew")).await;
    let third = client(&new_ca);
    offer(&third, "three");
    eventually("it arrives", || third.stats.sent_count(Signal::Logs) == 1).await;
    let fourth = client(&old_ca);
    offer(&fourth, "four");
    eventually("it does not", || !fourth.stats.dropped_counts().is_empty()).await;
    offer(&first, "five");
    eventually("the first connection is still there", || first.stats.sent_count(Signal::Logs) == 2).await;
}

#[tokio::test]
async fn the_authority_of_a_backend_is_read_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let (wrong, right) = (Authority::new(), Authority::new());
    let ca = wrong.write(directory.path(), "ca.pem");
    let backend = Backend::tls(&right.certify(directory.path(), "localhost")).await;
    let exporter = format!(
        "otlp/out: {{endpoint: \"https://localhost:{}\", tls: {{ca_file: {}}}, retry_on_failure: {{initial_interval: 30m}}}}",
        backend.address.port(),
        ca.display()
    );
    let program = run(&write(directory.path(), "why502.yaml", &explained("", &exporter)));
    let (grpc, _) = program.addresses().await;
    send(grpc, &["a record"]).await;
    eventually("it is tried", || program.stderr().contains("trying again")).await;
    right.write(directory.path(), "ca.pem");
    program.signal("HUP");
    eventually(|| program.stderr(), || backend.taken_bodies() == ["a record"]).await;
}

#[tokio::test]
async fn without_a_file_a_closed_terminal_ends_it_unless_it_shall_outlive_it() {
    for ignored in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("a.log");
        std::fs::write(&log, "one\ntwo\n").expect("a file");
        let backend = Backend::start(Vec::new()).await;
        let words = if ignored { "trap '' HUP" } else { "true" };
        let (file, to) = (log.display().to_string(), backend.address.to_string());
        let mut tail = Program::start_after(words, &["tail", &file, "--from-start", "--to", &to]);
        eventually("it follows", || tail.stderr().contains("following")).await;
        tail.signal("USR1");
        eventually("it says so", || tail.stderr().contains("SIGUSR1 is ignored")).await;
        tail.signal("HUP");
        if ignored {
            eventually("it arrives", || backend.taken_bodies().len() == 2).await;
            // Appended: written anew it would be empty for a moment, and all of it new.
            let mut open = std::fs::OpenOptions::new().append(true).open(&log).expect("a file");
            std::io::Write::write_all(&mut open, b"three\n").expect("a line");
            eventually("it goes on", || backend.taken_bodies().len() == 3).await;
            tail.signal("QUIT");
        }
        assert_eq!(tail.ended().await.code(), Some(0), "{}", tail.stderr());
        let expected = if ignored { vec!["one", "two", "three"] } else { vec!["one", "two"] };
        assert_eq!(backend.taken_bodies(), expected);
    }
}
