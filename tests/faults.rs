//! What goes wrong around why502 and must lose nothing: backends that flap, move or go without a word, and clocks that jump.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::{Backend, Reply};
use common::client::call;
use common::process::{Program, explained, write};
use common::{eventually, remote, requests};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use why502::exporter::Exporter;
use why502::otlp::Signal;

const EAGER: &str = "timeout: 300ms, retry_on_failure: {initial_interval: 10ms, max_interval: 50ms}";

fn offer(exporter: &Exporter, body: &str) {
    let request = requests::logs(&[body]).into();
    assert!(exporter.offer(Signal::Logs, request, 1).is_ok(), "there is room");
}

#[tokio::test]
async fn a_backend_that_comes_and_goes_has_everything_in_the_end() {
    for kind in ["otlp", "otlphttp"] {
        let mut backend = Backend::start(Vec::new()).await;
        let address = backend.address;
        let exporter = Exporter::start(&remote(kind, &backend.url(), EAGER)).expect("it starts");
        let mut sent = BTreeSet::new();
        let mut arrived = BTreeSet::new();
        for round in 0..6 {
            for number in 0..20 {
                let body = format!("{round} {number}");
                offer(&exporter, &body);
                sent.insert(body);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // Its connections end with it, whatever was on its way.
            arrived.extend(backend.end().await);
            tokio::time::sleep(Duration::from_millis(30)).await;
            backend = Backend::at(address).await;
        }
        eventually("all of it arrives", || {
            arrived.extend(backend.taken_bodies());
            arrived.is_superset(&sent)
        })
        .await;
        assert!(exporter.stats.dropped_counts().is_empty(), "{kind}: {:?}", exporter.stats.dropped_counts());
    }
}

/// Passes connections on to a backend. Those that are there when it freezes are never told that nobody listens any more.
async fn passage(to: SocketAddr, is_frozen: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut made = 0;
        while let Ok((mut from, _)) = listener.accept().await {
            made += 1;
            let (is_first, is_frozen) = (made == 1, Arc::clone(&is_frozen));
            tokio::spawn(async move {
                let mut to = TcpStream::connect(to).await.expect("the backend");
                let frozen = async {
                    while !(is_first && is_frozen.load(Ordering::Relaxed)) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut from, &mut to) => return,
                    () = frozen => {}
                }
                // Half-open: both sockets are there, and nothing passes.
                std::future::pending::<()>().await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_connection_whose_peer_has_gone_without_a_word_is_left_for_a_new_one() {
    for kind in ["otlp", "otlphttp"] {
        let backend = Backend::start(Vec::new()).await;
        let is_frozen = Arc::new(AtomicBool::new(false));
        let address = passage(backend.address, Arc::clone(&is_frozen)).await;
        let exporter = Exporter::start(&remote(kind, &format!("http://{address}"), EAGER)).expect("it starts");
        offer(&exporter, "before");
        eventually("the first arrives", || backend.taken_bodies() == ["before"]).await;
        is_frozen.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let began = why502::clock::instant();
        offer(&exporter, "after");
        eventually("the second too", || backend.taken_bodies() == ["before", "after"]).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{kind}: {:?}", began.elapsed());
        assert!(exporter.stats.dropped_counts().is_empty());
    }
}

/// A program in a world of its own: what a name means, and what time it is.
struct World {
    directory: TempDir,
}

impl World {
    fn new() -> World {
        let world = World { directory: tempfile::tempdir().expect("a directory") };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/world.c");
        let library = world.path("world.so");
        let compiled =
            std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(library).arg(source).status();
        assert!(compiled.is_ok_and(|status| status.success()), "Rust needs a C compiler as well");
        world.clock(0);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn name(&self, address: &str) {
        write(self.directory.path(), "name", address);
    }

    /// Sets the clock forth or back, by seconds, in place: the program has the file mapped.
    fn clock(&self, seconds: i64) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(self.path("clock"));
        file.expect("a file").write_all_at(&(seconds * 1_000_000_000).to_ne_bytes(), 0).expect("8 bytes");
    }

    fn run(&self, config: &str) -> Program {
        let config = write(self.directory.path(), "why502.yaml", config).display().to_string();
        let words = format!(
            "export LD_PRELOAD='{}' NAME_IS='{}' CLOCK_IS='{}'",
            self.path("world.so").display(),
            self.path("name").display(),
            self.path("clock").display()
        );
        Program::start_after(&words, &["run", "--config", &config])
    }
}

async fn send(grpc: SocketAddr, bodies: &[&str]) {
    let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(bodies)).await;
    assert_eq!(answer.grpc().code(), Code::Ok, "{:?}", answer.grpc());
}

#[tokio::test]
async fn a_backend_that_gets_another_address_is_found_there() {
    for (kind, old) in
        [("otlp", None), ("otlphttp", None), ("otlp", Some(Reply::Hang)), ("otlphttp", Some(Reply::Hang))]
    {
        let world = World::new();
        let is_silent = old.is_some();
        let first = match &old {
            // It takes connections and never says a word.
            Some(reply) => Backend::always(reply.clone()).await,
            None => Backend::start(Vec::new()).await,
        };
        let port = first.address.port();
        let second: SocketAddr = format!("127.0.0.2:{port}").parse().expect("an address");
        world.name("127.0.0.1");
        let exporter = format!("{kind}/out: {{endpoint: \"http://backend.test:{port}\", {EAGER}}}");
        let mut program = world.run(&explained("hold: 100ms", &exporter));
        let (grpc, _) = program.addresses().await;
        send(grpc, &["first"]).await;
        eventually("it is sent to the old address", || first.bodies().contains(&"first".to_owned())).await;
        let moved = Backend::at(second).await;
        world.name("127.0.0.2");
        let first = if is_silent {
            Some(first)
        } else {
            first.end().await;
            None
        };
        send(grpc, &["second"]).await;
        let what = || format!("it arrives at the new address: {kind}, silent {is_silent}: {}", program.stderr());
        eventually(what, || moved.taken_bodies().contains(&"second".to_owned())).await;
        if is_silent {
            eventually("and so does the first", || moved.taken_bodies().contains(&"first".to_owned())).await;
        }
        drop(first);
        program.signal("TERM");
        assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
        assert!(!program.stderr().contains("dropped{"), "{}", program.stderr());
    }
}

#[tokio::test]
async fn clocks_that_jump_keep_nothing_back_and_lose_no_verdict() {
    for journaled in [false, true] {
        let world = World::new();
        let backend = Backend::start(Vec::new()).await;
        let storage = if journaled { ", sending_queue: {storage: journal}" } else { "" };
        let exporter = format!("otlp/out: {{endpoint: \"{}\"{storage}}}", backend.url());
        let journal = format!("journal: {{directory: \"{}\"}}\n", world.path("journal").display());
        let config = format!("{}{}", if journaled { &journal } else { "" }, explained("hold: 500ms", &exporter));
        let mut program = world.run(&config);
        let (grpc, _) = program.addresses().await;
        let mut sent = BTreeSet::new();
        // An hour forth, two back, a day forth; each time while a request waits for its verdict.
        for (number, clock) in [0, 3_600, -3_600, 86_400, 0].into_iter().enumerate() {
            let [access, error] = requests::refused_by_upstream(number as u32, &format!("/p/{number}"));
            send(grpc, &[&error]).await;
            world.clock(clock);
            send(grpc, &[&access]).await;
            sent.extend([access, error]);
            let what = || format!("round {number}, journal {journaled}: {:?}", program.stderr());
            eventually(what, || {
                let arrived: BTreeSet<String> = backend.taken_bodies().into_iter().collect();
                arrived.is_superset(&sent)
            })
            .await;
        }
        let verdicts = || {
            let taken = backend.seen().into_iter().filter(|seen| seen.taken);
            let records = taken.flat_map(|seen| requests::records(&seen.message()));
            records.filter(|record| record.event_name == "why502.verdict").collect::<Vec<_>>()
        };
        eventually("each has its verdict", || verdicts().len() >= 5).await;
        let now = why502::clock::now() as u64 / 1_000_000_000;
        let is_ahead = |seconds: u64| seconds > now + 12 * 3_600;
        assert!(
            verdicts().iter().any(|record| is_ahead(record.observed_time_unix_nano / 1_000_000_000)),
            "its clock did jump"
        );
        program.signal("TERM");
        assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    }
}
