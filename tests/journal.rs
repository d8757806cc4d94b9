//! The journal as operators meet it: the built program, killed at any moment, on disks that are full, damaged or somebody
//! else's.

#![allow(clippy::print_stderr, reason = "how often something was delivered again is a number to look at")]

#[allow(dead_code, reason = "each test uses its part")]
mod common;
#[path = "journal/kills.rs"]
mod kills;
#[path = "journal/own.rs"]
mod own;
#[path = "journal/refused.rs"]
mod refused;

use common::backend::{Backend, Reply};
use common::client::{call, http1};
use common::process::{Program, finished, write};
use common::{eventually, requests};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tonic::Code;
use why502::otlp::Signal;

/// Tries again soon, for ever, and keeps what waits on disk.
const KEPT: &str = "retry_on_failure: {initial_interval: 20ms, max_interval: 50ms}, sending_queue: {storage: journal}";

/// A directory with a configuration, and the journal beside it.
struct Place {
    directory: TempDir,
}

impl Place {
    /// `exporters` are whole entries, `hold` the setting.
    fn new(hold: &str, exporters: &[String]) -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        let place = Place { directory };
        place.configure(hold, exporters);
        place
    }

    fn configure(&self, hold: &str, exporters: &[String]) {
        let names: Vec<&str> = exporters.iter().filter_map(|entry| entry.split(": ").next()).collect();
        let names = names.join(", ");
        let config = format!(
            "journal: {{directory: \"{}\", max_bytes: 64MiB}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:0}}
      http: {{endpoint: 127.0.0.1:0}}
processors:
  why502: {{hold: {hold}}}
exporters:
  {}
service:
  pipelines:
    logs: {{receivers: [otlp], processors: [why502], exporters: [{names}]}}
    traces: {{receivers: [otlp], processors: [why502], exporters: [{names}]}}
    metrics: {{receivers: [otlp], exporters: [{names}]}}
",
            self.journal().display(),
            exporters.join("\n  "),
        );
        write(self.directory.path(), "why502.yaml", &config);
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    fn run(&self) -> Program {
        Program::start(&["run", "--config", &self.directory.path().join("why502.yaml").display().to_string()])
    }

    /// The one sentence with which a start ends that cannot be.
    async fn refused(&self) -> String {
        let mut program = self.run();
        assert_eq!(program.ended().await.code(), Some(1));
        let said = program.stderr();
        let error = said.lines().find(|line| line.contains("error: ")).unwrap_or_else(|| panic!("{said}"));
        error.to_owned()
    }

    /// The exit code of `why502 validate`, and what it says of the journal.
    async fn validated(&self) -> (i32, String) {
        let config = self.directory.path().join("why502.yaml").display().to_string();
        let (code, _, said) = finished(&["validate", "--config", &config]).await;
        let of_journal: Vec<&str> = said.lines().filter(|line| line.contains("journal")).collect();
        assert!(of_journal.len() <= 1, "{said}");
        let of_journal = of_journal.into_iter().next().unwrap_or_default();
        assert!(of_journal.is_empty() || of_journal.starts_with(&format!("{config}:1: ")), "{said}");
        (code, of_journal.to_owned())
    }

    /// `why502 validate` says of it what `run` says, and fails.
    async fn refused_by_both(&self, words: &[&str]) {
        let refused = self.refused().await;
        let (code, validated) = self.validated().await;
        assert_eq!(code, 1, "{validated}");
        for word in words {
            assert!(refused.contains(word), "{word}: {refused}");
            assert!(validated.contains(word), "{word}: {validated}");
        }
    }
}

fn kept(name: &str, backend: &Backend) -> String {
    let url = backend.url();
    format!("{name}: {{endpoint: \"{url}\", {KEPT}}}")
}

/// The least that a queue may have.
fn with_little_memory(exporter: String) -> String {
    exporter.replace("{storage: journal}", "{storage: journal, queue_bytes: 64KiB}")
}

async fn send(grpc: SocketAddr, signal: Signal, request: &[u8]) {
    let answer = call(grpc, signal.grpc_path(), request).await;
    assert_eq!(answer.grpc().code(), Code::Ok, "{:?}", answer.grpc());
}

async fn get(http: SocketAddr, path: &str) -> (u16, String) {
    let answer = http1(http, http::Method::GET, path, &[], "").await;
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

async fn killed(program: &mut Program) {
    program.signal("KILL");
    program.ended().await;
}

/// The uids of verdicts that a backend took: of records of requests by their body, and of records of their own.
fn uids(backend: &Backend) -> (Vec<(String, String)>, Vec<String>) {
    let taken = backend.seen().into_iter().filter(|seen| seen.taken && seen.path.to_ascii_lowercase().contains("logs"));
    let (mut of_records, mut own) = (Vec::new(), Vec::new());
    for record in taken.flat_map(|seen| requests::records(&seen.message())) {
        let uid = requests::attribute_of(&record.attributes, "why502.request.uid");
        let body = requests::body(&record);
        if record.event_name == "why502.verdict" {
            own.push(uid);
        } else if !uid.is_empty() {
            of_records.push((body, uid));
        }
    }
    of_records.sort();
    own.sort();
    (of_records, own)
}

#[tokio::test]
async fn what_was_acknowledged_is_sent_after_a_kill_whatever_it_is() {
    let down = Backend::always(Reply::http(503)).await;
    let place = Place::new("5m", &[kept("otlphttp/out", &down)]);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    let mut sent = BTreeSet::new();
    for number in 0..20 {
        let healthy = format!("healthy {number}");
        let [access, error] = requests::refused_by_upstream(number, &format!("/p/{number}"));
        send(grpc, Signal::Logs, &requests::logs(&[&healthy, &access])).await;
        send(grpc, Signal::Logs, &requests::logs(&[&error])).await;
        sent.extend([healthy, access, error]);
    }
    send(grpc, Signal::Traces, &requests::traces(&["a span"])).await;
    send(grpc, Signal::Metrics, &requests::metrics(&["a gauge"])).await;
    killed(&mut program).await;
    assert_eq!(down.taken_bodies(), Vec::<String>::new());
    down.recover();
    place.configure("300ms", &[kept("otlphttp/out", &down)]);
    let mut program = place.run();
    eventually("all of it arrives", || {
        let arrived: BTreeSet<String> = down.taken_bodies().into_iter().collect();
        sent.is_subset(&arrived)
    })
    .await;
    let count = |what: &str| down.seen().iter().filter(|seen| seen.taken && seen.path.ends_with(what)).count();
    eventually("the other signals too", || (count("/v1/traces"), count("/v1/metrics")) == (1, 1)).await;
    let (of_records, own) = uids(&down);
    assert_eq!((of_records.len(), own.len()), (40, 20), "each has its verdict");
    let arrived = down.taken_bodies();
    assert!(sent.iter().all(|body| arrived.iter().filter(|one| *one == body).count() == 1), "each once");
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let said = program.stderr();
    assert!(
        said.contains("62 items of the journal were not delivered") && !said.contains("stay in the journal"),
        "{said}"
    );
    // Nothing is left.
    let before = down.count();
    let mut program = place.run();
    program.addresses().await;
    program.signal("TERM");
    program.ended().await;
    assert_eq!(down.count(), before);
}

#[tokio::test]
async fn a_replay_comes_to_the_same_verdicts_and_goes_to_those_who_lack_it() {
    let (down, alive) = (Backend::always(Reply::http(503)).await, Backend::start(Vec::new()).await);
    let exporters = [kept("otlphttp/down", &down), kept("otlphttp/alive", &alive)];
    let place = Place::new("400ms", &exporters);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    let all: Vec<[String; 2]> =
        (0..12).map(|number| requests::refused_by_upstream(number / 2, &format!("/p/{}", number / 2))).collect();
    // Each twice, word for word: only their order tells them apart.
    for [access, error] in &all {
        send(grpc, Signal::Logs, &requests::logs(&[access])).await;
        send(grpc, Signal::Logs, &requests::logs(&[error])).await;
    }
    eventually("the verdicts", || uids(&alive).1.len() >= 6 && alive.taken_bodies().len() >= 24 + 6).await;
    let lines = |backend: &Backend| {
        let mut taken = backend.taken_bodies();
        taken.retain(|body| all.iter().flatten().any(|line| line == body));
        taken.sort();
        taken
    };
    // What is delivered is written down twice a second.
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    let before = uids(&alive);
    let own = |backend: &Backend| backend.taken_bodies().len() - lines(backend).len() - uids(backend).1.len();
    let incidents = own(&alive);
    killed(&mut program).await;
    // What was on its way to the backend when the program died is still refused.
    tokio::time::sleep(Duration::from_millis(200)).await;
    down.recover();
    let mut program = place.run();
    program.addresses().await;
    eventually("the other one gets them", || uids(&down).1.len() >= before.1.len()).await;
    eventually("and all records", || lines(&down).len() >= lines(&alive).len()).await;
    assert!(lines(&down) == lines(&alive), "each as often");
    let after = uids(&down);
    assert!(after == before, "{:?}\n{:?}", after.1, before.1);
    assert!(lines(&alive).len() == 24 && uids(&alive) == before, "it had everything");
    assert!(own(&alive) <= incidents + 2, "an incident may change and close: {} {incidents}", own(&alive));
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_stop_with_a_backend_that_is_down_keeps_everything() {
    let down = Backend::always(Reply::http(503)).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &down)]);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    for number in 0..10 {
        send(grpc, Signal::Logs, &requests::logs(&[&format!("{number}")])).await;
    }
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let said = program.stderr();
    assert!(said.contains("10 requests stay in the journal"), "{said}");
    assert!(!said.contains("left behind") && !said.contains("dropped{"), "{said}");
    let (code, shown, _) = finished(&["journal", "inspect", &place.journal().display().to_string()]).await;
    assert_eq!(code, 0);
    assert!(shown.contains("otlphttp/out: lacks 10 requests, the first is 1"), "{shown}");
    down.recover();
    let mut program = place.run();
    eventually("it arrives", || down.taken_bodies().len() == 10).await;
    program.signal("TERM");
    program.ended().await;
}

/// The numbers that the bodies `N xxx...` begin with.
fn numbers(bodies: &[String]) -> Vec<usize> {
    bodies.iter().filter_map(|body| body.split(' ').next()?.parse().ok()).collect()
}

fn numbered(number: usize) -> String {
    format!("{number} {}", "x".repeat(20_000))
}

#[tokio::test]
async fn a_backend_that_is_down_takes_the_disk_and_no_memory_and_then_has_everything_in_order() {
    let down = Backend::always(Reply::http(503)).await;
    let queue = "num_consumers: 1, queue_bytes: 1MiB, storage: journal";
    let retry = "retry_on_failure: {initial_interval: 20ms, max_interval: 50ms}";
    let exporter = |backend: &Backend| {
        format!(
            "otlphttp/out: {{endpoint: \"{}\", compression: none, {retry}, sending_queue: {{{queue}}}}}",
            backend.url()
        )
    };
    let place = Place::new("100ms", &[exporter(&down)]);
    let mut program = place.run();
    let (grpc, http) = program.addresses().await;
    send(grpc, Signal::Logs, &requests::logs(&[&numbered(0)])).await;
    let before = program.resident_kib();
    // Until the journal is full: 64 MiB, of which what is on the disk twice takes a half.
    let mut acknowledged = 1;
    let refusal = loop {
        let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[&numbered(acknowledged)])).await;
        if answer.grpc().code() != Code::Ok {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 10_000, "the journal is full by now");
    };
    assert_eq!(refusal.grpc().code(), Code::Unavailable);
    assert!(refusal.retry_info().is_some() && refusal.grpc().message().contains("journal is full"), "{refusal:?}");
    assert!(acknowledged > 1_500, "thirty times as much as the queue has memory for: {acknowledged}");
    let grown = program.resident_kib().saturating_sub(before);
    assert!(grown < 20 << 10, "{grown} KiB more of {acknowledged} records of 20 kB");
    let (status, said) = get(http, "/readyz").await;
    assert!(status == 503 && said.contains("the journal is full"), "{said}");
    // Killed, it is replayed, and still takes the disk.
    killed(&mut program).await;
    let mut program = place.run();
    program.addresses().await;
    let resident = program.resident_kib();
    assert!(resident < before + (24 << 10), "{resident} KiB after a replay");
    down.recover();
    eventually("all of it arrives", || down.taken_bodies().len() >= acknowledged).await;
    let arrived = numbers(&down.taken_bodies());
    assert!(arrived.iter().copied().eq(0..acknowledged), "each once and in order: {} of {acknowledged}", arrived.len());
    // There is room again, and nothing is left of it.
    let (grpc, http) = program.addresses().await;
    assert_eq!(get(http, "/readyz").await.0, 200);
    send(grpc, Signal::Logs, &requests::logs(&["after"])).await;
    eventually("the last one", || down.taken_bodies().len() > acknowledged).await;
    let left = || std::fs::read_dir(place.journal()).expect("a journal").map(|entry| entry.expect("one").file_name());
    assert!(!left().any(|name| name.to_string_lossy().starts_with("overflow")));
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_waits_on_the_disk_goes_out_beside_what_comes_in_and_verdicts_with_it() {
    let down = Backend::always(Reply::http(503)).await;
    let alive = Backend::start(Vec::new()).await;
    let small = |name: &str, backend: &Backend| with_little_memory(kept(name, backend));
    let place = Place::new("100ms", &[small("otlphttp/down", &down), small("otlp/alive", &alive)]);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    let mut sent = BTreeSet::new();
    for number in 0..300 {
        let [access, error] = requests::refused_by_upstream(number, &format!("/p/{number}"));
        let healthy = format!("healthy {number} {}", "x".repeat(3_000));
        send(grpc, Signal::Logs, &requests::logs(&[&healthy, &access, &error])).await;
        send(grpc, Signal::Traces, &requests::traces(&[&format!("span {number}")])).await;
        sent.extend([healthy, access, error]);
        if number == 200 {
            down.recover();
        }
    }
    for backend in [&down, &alive] {
        let mut read = 0;
        let mut left = sent.clone();
        eventually("all of it arrives", || {
            backend.taken_since(&mut read).iter().for_each(|body| {
                left.remove(body);
            });
            left.is_empty()
        })
        .await;
        eventually("each with its verdict", || uids(backend).0.len() == 600 && uids(backend).1.len() == 300).await;
    }
    assert_eq!(uids(&down), uids(&alive));
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let said = program.stderr();
    assert!(!said.contains("dropped{") && !said.contains("stay in the journal"), "{said}");
}
