//! The journal as operators meet it: the built program, killed at any moment, on disks that are full, damaged or somebody
//! else's.

#![allow(clippy::print_stderr, reason = "how often something was delivered again is a number to look at")]

#[allow(dead_code, reason = "each test uses its part")]
mod common;

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

/// Rounds of the kill test: 20 in the ordinary run, more by `tests/kill.sh`.
fn rounds() -> u64 {
    let set = std::env::var_os("WHY502_KILL_ROUNDS").and_then(|rounds| rounds.to_str()?.parse().ok());
    set.unwrap_or(20)
}

/// Healthy records of each request of the kill test: a thousand rounds acknowledge more than a million records.
const HEALTHY: usize = 40;

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

/// Records of why502's own that a backend took: what each is of, with its uid, revision and state.
fn own_records(backend: &Backend) -> Vec<[String; 4]> {
    let taken = backend.seen().into_iter().filter(|seen| seen.taken && seen.path.to_ascii_lowercase().contains("logs"));
    let mut own = Vec::new();
    for record in taken.flat_map(|seen| requests::records(&seen.message())) {
        if !record.event_name.starts_with("why502.") {
            continue;
        }
        let attribute = |key| requests::attribute_of(&record.attributes, key);
        let (uid, state) = match record.event_name.as_str() {
            "why502.verdict" => (attribute("why502.request.uid"), attribute("why502.cause")),
            _ => (attribute("why502.incident.uid"), attribute("why502.incident.state")),
        };
        own.push([record.event_name.clone(), uid, attribute("why502.revision"), state]);
    }
    own
}

fn of_kind(own: &[[String; 4]], event: &str) -> Vec<[String; 4]> {
    let mut of_kind: Vec<[String; 4]> = own.iter().filter(|[name, ..]| name == event).cloned().collect();
    of_kind.sort();
    of_kind
}

#[tokio::test]
async fn revised_verdicts_and_incidents_are_made_again_with_the_same_uids_for_who_lacks_them() {
    let (down, alive) = (Backend::always(Reply::http(503)).await, Backend::start(Vec::new()).await);
    let place = Place::new("400ms", &[kept("otlphttp/down", &down), kept("otlphttp/alive", &alive)]);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    let gunicorn = |words: &str| format!("[2026-03-04 09:15:03 +0000] [300] {words}");
    let [access, error] = requests::refused_by_upstream(7, "/a");
    let refused = "connect() failed (111: Connection refused) while connecting to upstream";
    let cut = "upstream prematurely closed connection while reading response header from upstream";
    for lines in [
        vec![gunicorn("[INFO] Starting gunicorn 23.0.0"), gunicorn("[INFO] Booting worker with pid: 301")],
        vec![access, error.replace(refused, cut)],
        vec![gunicorn("[ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?")],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        send(grpc, Signal::Logs, &requests::logs(&lines)).await;
    }
    eventually("the first verdict", || of_kind(&own_records(&alive), "why502.verdict").len() == 1).await;
    // Late: the records of the request are gone, and its verdict is revised.
    let killed_by = "Mar  4 09:15:03 h kernel: Out of memory: Killed process 301 (gunicorn) total-vm:1kB, anon-rss:1kB";
    send(grpc, Signal::Logs, &requests::logs(&[killed_by])).await;
    eventually("the revised one", || of_kind(&own_records(&alive), "why502.verdict").len() == 2).await;
    let verdicts = of_kind(&own_records(&alive), "why502.verdict");
    let [first, second] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert!(first[1] == second[1] && first[3] == "worker_killed" && second[3] == "worker_oom_killed", "{verdicts:?}");
    let incident = of_kind(&own_records(&alive), "why502.incident");
    let is_opened = |told: &[[String; 4]]| told.iter().filter(|[.., state]| state == "opened").count() == 1;
    assert!(is_opened(&incident), "{incident:?}");
    // What is delivered is written down twice a second.
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    killed(&mut program).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(own_records(&down), Vec::<[String; 4]>::new());
    down.recover();
    let mut program = place.run();
    program.addresses().await;
    eventually("the other one gets both", || of_kind(&own_records(&down), "why502.verdict").len() >= 2).await;
    assert_eq!(of_kind(&own_records(&down), "why502.verdict"), verdicts);
    assert!(is_opened(&of_kind(&own_records(&down), "why502.incident")), "and is told that it opened");
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    assert_eq!(of_kind(&own_records(&alive), "why502.verdict"), verdicts, "it had both");
    for incidents in [own_records(&down), own_records(&alive)] {
        let uids: BTreeSet<String> =
            of_kind(&incidents, "why502.incident").into_iter().map(|[_, uid, ..]| uid).collect();
        assert_eq!(uids, [incident[0][1].clone()].into(), "one incident, whoever tells of it");
    }
}

/// An incident closes with the program, when all lines behind it have long been delivered.
#[tokio::test]
async fn what_nothing_undelivered_leads_to_is_in_the_journal_by_itself() {
    let backend = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &backend)]);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    let [access, error] = requests::refused_by_upstream(7, "/a");
    send(grpc, Signal::Logs, &requests::logs(&[&access, &error])).await;
    let states = || of_kind(&own_records(&backend), "why502.incident").into_iter().map(|[.., state]| state);
    eventually("it opened", || states().any(|state| state == "opened")).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    backend.answer(Reply::http(503));
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let said = program.stderr();
    assert!(said.contains("1 requests stay in the journal"), "{said}");
    assert!(!states().any(|state| state == "closed"));
    backend.recover();
    let mut program = place.run();
    eventually("it is told that it closed", || states().any(|state| state == "closed")).await;
    program.signal("TERM");
    program.ended().await;
    assert!(!program.stderr().contains("stay in the journal"), "{}", program.stderr());
    let incidents = of_kind(&own_records(&backend), "why502.incident");
    assert_eq!(incidents.iter().map(|[_, uid, ..]| uid).collect::<BTreeSet<_>>().len(), 1, "{incidents:?}");
    let opened = incidents.iter().filter(|[.., state]| state == "opened").count();
    assert_eq!(opened, 1, "it had that: {incidents:?}");
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

/// Sends numbered records until it is told to stop, each again until it is acknowledged.
async fn sender(
    name: usize,
    address: Arc<Mutex<Option<SocketAddr>>>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    tries: Arc<AtomicU64>,
) {
    let mut number = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let connection = u32::try_from(name).expect("small") * 1_000_000 + number;
        let mut bodies: Vec<String> = (0..HEALTHY).map(|index| format!("{name} {number} {index}")).collect();
        if number.is_multiple_of(3) {
            bodies.extend(requests::refused_by_upstream(connection, &format!("/{name}/{number}")));
        }
        let request = requests::logs(&bodies.iter().map(String::as_str).collect::<Vec<&str>>());
        while !stop.load(Ordering::Relaxed) {
            let to = *address.lock().expect("unbroken");
            tries.fetch_add(1, Ordering::Relaxed);
            if let Some(to) = to
                && post_once(to, &request).await
            {
                acknowledged.lock().expect("unbroken").extend(bodies);
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// True when it was acknowledged; a connection that ends is no answer.
async fn post_once(to: SocketAddr, request: &[u8]) -> bool {
    use hyper_util::rt::TokioIo;
    let Ok(stream) = tokio::net::TcpStream::connect(to).await else { return false };
    let body = http_body_util::Full::new(bytes::Bytes::copy_from_slice(request));
    let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await else {
        return false;
    };
    let connection = tokio::spawn(connection);
    let request =
        http::Request::post("/v1/logs").header("host", "test").header("content-type", "application/x-protobuf");
    let answer = sender.send_request(request.body(body).expect("a request")).await;
    connection.abort();
    answer.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_lose_nothing_that_was_acknowledged() {
    let backends = [Backend::always(Reply::OneIn(8)).await, Backend::always(Reply::OneIn(3)).await];
    // The second one has so little memory that what it refuses goes by the disk.
    let exporters = [kept("otlphttp/one", &backends[0]), with_little_memory(kept("otlp/other", &backends[1]))];
    let place = Place::new("200ms", &exporters);
    let (address, stop) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
    let (acknowledged, tries) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicU64::new(0)));
    let mut senders = tokio::task::JoinSet::new();
    for name in 0..4 {
        let (address, stop) = (Arc::clone(&address), Arc::clone(&stop));
        senders.spawn(sender(name, address, stop, Arc::clone(&acknowledged), Arc::clone(&tries)));
    }
    for round in 0..rounds() {
        let mut program = place.run();
        if round % 4 == 3 {
            // In the middle of a start.
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..60))).await;
        } else {
            *address.lock().expect("unbroken") = Some(program.addresses().await.1);
            tokio::time::sleep(Duration::from_millis(rand::random_range(10..400))).await;
        }
        killed(&mut program).await;
        let said = program.stderr();
        assert!(!said.contains("error: ") && !said.contains("lost"), "round {round}: {said}");
        *address.lock().expect("unbroken") = None;
    }
    stop.store(true, Ordering::Relaxed);
    senders.join_all().await;
    backends.iter().for_each(Backend::recover);
    let mut program = place.run();
    program.addresses().await;
    let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("unbroken"));
    for backend in &backends {
        // What came is read once, however often it is looked at: there may be a million of them.
        let (mut read, mut missing, mut ours) = (0, acknowledged.clone(), 0);
        for _ in 0..600 {
            let came = backend.taken_since(&mut read);
            ours += came.iter().filter(|body| acknowledged.contains(*body)).count();
            came.iter().for_each(|body| {
                missing.remove(body);
            });
            if missing.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let shown: Vec<&String> = missing.iter().take(3).collect();
        assert!(missing.is_empty(), "{} of {} acknowledged: {shown:?}", missing.len(), acknowledged.len());
        let twice = ours - acknowledged.len();
        eprintln!(
            "{} rounds: {} records acknowledged, none missing, {twice} delivered again",
            rounds(),
            acknowledged.len()
        );
    }
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
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

/// A journal with some requests in it, that nobody has open.
async fn filled() -> Place {
    let down = Backend::always(Reply::http(503)).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &down)]);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    for number in 0..5 {
        send(grpc, Signal::Logs, &requests::logs(&[&format!("{number}")])).await;
    }
    program.signal("TERM");
    program.ended().await;
    place
}

fn segment(place: &Place) -> PathBuf {
    let names = std::fs::read_dir(place.journal()).expect("a journal");
    let mut paths: Vec<PathBuf> = names.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    paths.sort();
    paths.into_iter().next().expect("a segment")
}

fn change(path: &Path, at: usize, byte: u8) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[at] = byte;
    std::fs::write(path, bytes).expect("a file");
}

#[tokio::test]
async fn a_journal_of_another_version_is_one_sentence() {
    let place = filled().await;
    change(&segment(&place), 8, 77);
    place.refused_by_both(&["format version 77", "or name another directory"]).await;
    let path = place.journal().display().to_string();
    for action in ["inspect", "verify", "repair"] {
        let (code, _, said) = finished(&["journal", action, &path]).await;
        assert!(code == 1 && said.contains("format version 77"), "{action}: {said}");
    }
}

#[tokio::test]
async fn a_flipped_bit_is_one_sentence_and_repair_keeps_the_rest() {
    let place = filled().await;
    let path = place.journal().display().to_string();
    let (code, said, _) = finished(&["journal", "verify", &path]).await;
    assert!(code == 0 && said.contains("sound, 5 requests"), "{said}");
    change(&segment(&place), 32 + 56 + 20, 0xff);
    let next = format!("`why502 journal repair {path}`");
    place.refused_by_both(&["is damaged at byte 32: requests 1 to 1 were acknowledged", &next]).await;
    let (code, said, _) = finished(&["journal", "verify", &path]).await;
    assert!(code == 1 && said.contains("requests 1 to 1 cannot be read") && said.contains(&next), "{said}");
    let (code, said, _) = finished(&["journal", "repair", &path]).await;
    assert!(code == 0 && said.contains("set aside as") && said.contains("what can be read is kept"), "{said}");
    let (code, _, _) = finished(&["journal", "verify", &path]).await;
    assert_eq!(code, 0);
    let alive = Backend::start(Vec::new()).await;
    place.configure("100ms", &[kept("otlphttp/out", &alive)]);
    let mut program = place.run();
    let arrived = || alive.taken_bodies().into_iter().collect::<BTreeSet<String>>();
    eventually("the rest arrives", || arrived() == ["1", "2", "3", "4"].map(str::to_owned).into()).await;
    program.signal("TERM");
    program.ended().await;
    let (_, said, _) = finished(&["journal", "repair", &path]).await;
    assert_eq!(said, "nothing to repair\n");
}

#[tokio::test]
async fn a_second_process_is_one_sentence() {
    let alive = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &alive)]);
    let program = place.run();
    program.addresses().await;
    let said = place.refused().await;
    assert!(said.contains("another process has it open"), "{said}");
    // Who looks at a changed file beside the why502 that runs by it has done nothing wrong.
    let (code, said) = place.validated().await;
    assert!(code == 0 && said.contains("warning: ") && said.contains("another process has it open"), "{said}");
    let path = place.journal().display().to_string();
    let (code, _, said) = finished(&["journal", "repair", &path]).await;
    assert!(code == 1 && said.contains("another process has it open"), "{said}");
    let (code, said, _) = finished(&["journal", "inspect", &path]).await;
    assert!(code == 0 && said.contains("otlphttp/out: has everything"), "{said}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_is_one_sentence() {
    let alive = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &alive)]);
    write(place.directory.path(), "journal", "a file");
    place.refused_by_both(&["name a directory, not a file"]).await;
    std::fs::remove_file(place.journal()).expect("it was there");
    let (code, said) = place.validated().await;
    assert_eq!((code, said.as_str(), place.journal().exists()), (0, "", false), "a start makes it, a look does not");
    let mut program = place.run();
    program.addresses().await;
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(place.journal()).expect("made").permissions());
    assert_eq!(mode & 0o777, 0o700, "nobody else reads logs there");
    program.signal("TERM");
    program.ended().await;
    // Only root may give a directory away.
    if std::os::unix::fs::chown(place.journal(), Some(12_345), None).is_ok() {
        place.refused_by_both(&["belongs to user 12345 and why502 runs as user 0"]).await;
    }
}

/// A file system of its own, of so many bytes; `None` where this user may not mount one.
struct Small {
    path: PathBuf,
    _directory: TempDir,
}

impl Small {
    fn of(bytes: u64) -> Option<Small> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("disk");
        std::fs::create_dir(&path).expect("a directory");
        let size = format!("size={bytes}");
        let mount = ["-t", "tmpfs", "-o", &size, "none"];
        let mounted = std::process::Command::new("mount").args(mount).arg(&path).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Small { path, _directory: directory })
    }

    fn again(&self, options: &str) {
        let remount = format!("remount,{options}");
        let done = std::process::Command::new("mount").args(["-o", &remount]).arg(&self.path).status();
        assert!(done.is_ok_and(|status| status.success()), "{options}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

#[tokio::test]
async fn a_full_disk_pushes_back_and_goes_on_when_there_is_room() {
    let Some(disk) = Small::of(1 << 20) else {
        eprintln!("not tested: this user may not mount a small disk");
        return;
    };
    let down = Backend::always(Reply::http(503)).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &down)]);
    std::os::unix::fs::symlink(&disk.path, place.journal()).expect("a link");
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    let mut acknowledged = BTreeSet::new();
    let refusal = loop {
        let body = format!("{} {}", acknowledged.len(), "x".repeat(50_000));
        let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[&body])).await;
        if answer.grpc().code() != Code::Ok {
            break answer;
        }
        acknowledged.insert(body);
        assert!(acknowledged.len() < 100, "the disk is full by now");
    };
    assert_eq!(refusal.grpc().code(), Code::Unavailable);
    assert!(refusal.retry_info().is_some(), "{refusal:?}");
    assert!(refusal.grpc().message().contains("free space there"), "{}", refusal.grpc().message());
    eventually("it is told", || program.stderr().contains("free space there")).await;
    disk.again("size=8m");
    for number in 0..5 {
        let body = format!("after {number}");
        send(grpc, Signal::Logs, &requests::logs(&[&body])).await;
        acknowledged.insert(body);
    }
    killed(&mut program).await;
    down.recover();
    let mut program = place.run();
    eventually("all of it arrives", || {
        let arrived: BTreeSet<String> = down.taken_bodies().into_iter().collect();
        acknowledged.is_subset(&arrived)
    })
    .await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    disk.again("ro");
    let said = place.refused().await;
    assert!(said.contains("mount it writable"), "{said}");
    let (code, said) = place.validated().await;
    assert!(code == 1 && said.contains("mount it writable"), "{said}");
    disk.again("rw");
    let (code, said) = place.validated().await;
    assert!(code == 0 && said.contains("warning: ") && said.contains("`journal::max_bytes` is 64 MiB"), "{said}");
    std::fs::write(disk.path.join("full"), vec![0; 9 << 20]).expect_err("it is full");
    place.refused_by_both(&["free space there"]).await;
}

async fn get(http: SocketAddr, path: &str) -> (u16, String) {
    let answer = http1(http, http::Method::GET, path, &[], "").await;
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test]
async fn a_sync_that_fails_poisons_the_journal_and_readiness_says_so() {
    let alive = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &alive)]);
    let (library, fails) = (place.directory.path().join("failing.so"), place.directory.path().join("fails"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/failing_sync.c");
    let compiled = std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(compiled.is_ok_and(|status| status.success()), "Rust needs a C compiler as well");
    let words = format!("export LD_PRELOAD='{}' SYNC_FAILS='{}'", library.display(), fails.display());
    let config = place.directory.path().join("why502.yaml").display().to_string();
    let mut program = Program::start_after(&words, &["run", "--config", &config]);
    let (grpc, http) = program.addresses().await;
    send(grpc, Signal::Logs, &requests::logs(&["before"])).await;
    assert_eq!(get(http, "/readyz").await, (200, "ready\n".to_owned()));
    std::fs::write(&fails, "").expect("a file");
    let refused = |body: &'static str| async move {
        let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[body])).await;
        assert_eq!(answer.grpc().code(), Code::Unavailable);
        assert!(answer.grpc().message().contains("did not confirm"), "{}", answer.grpc().message());
    };
    refused("not confirmed").await;
    std::fs::remove_file(&fails).expect("it was there");
    // The next sync would succeed, and prove nothing of what was written before.
    refused("after it").await;
    let (status, said) = get(http, "/readyz").await;
    assert!(status == 503 && said.contains("did not confirm") && said.contains("start why502 anew"), "{said}");
    assert_eq!(get(http, "/livez").await.0, 200, "a restart without a look at the disk would hide it");
    assert!(program.stderr().contains("nothing is acknowledged until then"), "{}", program.stderr());
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let mut program = place.run();
    let (grpc, http) = program.addresses().await;
    assert_eq!(get(http, "/readyz").await.0, 200);
    send(grpc, Signal::Logs, &requests::logs(&["anew"])).await;
    let arrived = || alive.taken_bodies();
    eventually("what was acknowledged arrives", || {
        ["before", "anew"].iter().all(|body| arrived().iter().any(|one| one == body))
    })
    .await;
    program.signal("TERM");
    program.ended().await;
}

/// A directory that was written by format version 1, as it must be read for ever.
#[tokio::test]
async fn the_first_version_of_the_format_is_read() {
    let alive = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &alive)]);
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/v1");
    std::fs::create_dir(place.journal()).expect("a directory");
    for name in ["00000000000000000001.segment", "cursors"] {
        std::fs::copy(frozen.join(name), place.journal().join(name)).expect("a frozen file");
    }
    let mut program = place.run();
    let arrived = || alive.taken_bodies().into_iter().collect::<BTreeSet<String>>();
    eventually("what it holds arrives", || arrived() == ["0", "1", "2", "3", "4"].map(str::to_owned).into()).await;
    program.signal("TERM");
    program.ended().await;
}
