//! What is acknowledged is delivered, and what cannot be taken is refused: the built program before backends that are down,
//! full, slow or choosy.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::{Backend, Reply};
use common::client::{call, post};
use common::process::{Program, explained};
use common::{eventually, remote, requests};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::Code;
use why502::exporter::{Exporter, Outlet};
use why502::otlp::Signal;

/// Tries again soon, for ever.
const SOON: &str = "retry_on_failure: {initial_interval: 20ms, max_interval: 50ms}";

fn start(kind: &str, url: &str, options: &str) -> Exporter {
    Exporter::start(&remote(kind, url, options)).expect("it starts")
}

fn dropped(exporter: &Exporter) -> u64 {
    exporter.stats.dropped_counts().iter().map(|(_, count)| count).sum()
}

/// A configuration with two backends behind each pipeline.
fn two(first: &str, second: &str) -> String {
    let config = explained("hold: 200ms", first);
    let name = |exporter: &str| exporter.split(": ").next().unwrap_or_default().to_owned();
    let (one, other) = (name(first), name(second));
    let both = config.replace(&format!("exporters: [{one}]"), &format!("exporters: [{one}, {other}]"));
    both.replace("exporters:\n", &format!("exporters:\n  {second}\n"))
}

/// Sends records one by one, in turns over both protocols, until one is refused; returns those that were acknowledged. A
/// refusal says when to come back.
async fn fill(grpc: SocketAddr, http: SocketAddr) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..2_000 {
        let body = format!("{number} {}", "x".repeat(5_000));
        let request = requests::logs(&[&body]);
        if number % 2 == 0 {
            let answer = call(grpc, Signal::Logs.grpc_path(), &request).await;
            if answer.grpc().code() == Code::Ok {
                acknowledged.push(body);
                continue;
            }
            assert_eq!(answer.grpc().code(), Code::Unavailable);
            assert!(answer.retry_info().is_some(), "RetryInfo");
        } else {
            let answer = post(http, "/v1/logs", "application/x-protobuf", request).await;
            if answer.status == 200 {
                acknowledged.push(body);
                continue;
            }
            assert_eq!(answer.status, 503);
            assert!(answer.header("retry-after").parse::<u64>().is_ok(), "Retry-After");
        }
        return acknowledged;
    }
    panic!("nothing was refused");
}

#[tokio::test]
async fn a_full_queue_is_pushed_back_to_the_sender_and_nothing_acknowledged_is_lost() {
    let down = Backend::always(Reply::http(503)).await;
    let alive = Backend::start(Vec::new()).await;
    let full =
        format!("otlphttp/down: {{endpoint: \"{}\", {SOON}, sending_queue: {{queue_bytes: 64KiB}}}}", down.url());
    let other = format!("otlp/alive: {{endpoint: \"{}\"}}", alive.url());
    let mut program = Program::run(&two(&full, &other));
    let (grpc, http) = program.addresses().await;
    let acknowledged = fill(grpc, http).await;
    assert!((5..20).contains(&acknowledged.len()), "{} of 5 KB in 64 KiB", acknowledged.len());
    // All signals of the pipeline wait for it, and a request that cannot be read is still told apart.
    let traces = call(grpc, Signal::Traces.grpc_path(), &requests::traces(&[&"x".repeat(5_000)])).await;
    let metrics = call(grpc, Signal::Metrics.grpc_path(), &requests::metrics(&[&"x".repeat(5_000)])).await;
    assert_eq!((traces.grpc().code(), metrics.grpc().code()), (Code::Unavailable, Code::Unavailable));
    assert_eq!(call(grpc, Signal::Logs.grpc_path(), b"\xff").await.grpc().code(), Code::InvalidArgument);
    eventually("it says so", || program.stderr().contains("senders are asked to come back")).await;
    down.recover();
    let whole: BTreeSet<String> = acknowledged.iter().cloned().collect();
    for backend in [&down, &alive] {
        let arrived = || backend.taken_bodies().into_iter().collect::<BTreeSet<String>>();
        eventually("all of it arrives", || arrived().len() == whole.len()).await;
        assert_eq!(arrived(), whole, "what was refused went nowhere");
        assert_eq!(backend.taken_bodies().len(), whole.len(), "each once");
    }
    // There is room again.
    assert_eq!(call(grpc, Signal::Logs.grpc_path(), &requests::logs(&["after"])).await.grpc().code(), Code::Ok);
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let said = program.stderr();
    assert!(!said.contains("dropped{") && !said.contains("lost"), "{said}");
}

#[tokio::test]
async fn what_waits_for_a_verdict_has_its_room_and_is_never_dropped() {
    let down = Backend::always(Reply::http(503)).await;
    let exporter =
        format!("otlphttp/out: {{endpoint: \"{}\", {SOON}, sending_queue: {{queue_bytes: 128KiB}}}}", down.url());
    let mut program = Program::run(&explained("hold: 5m", &exporter));
    let (grpc, _) = program.addresses().await;
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let pair = requests::refused_by_upstream(number, &format!("/p/{number}"));
        let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(&pair.each_ref().map(String::as_str))).await;
        if answer.grpc().code() == Code::Unavailable {
            break;
        }
        assert!(number < 1_000, "nothing was refused");
        acknowledged.extend(pair);
    }
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    program.signal("TERM");
    eventually("it says so", || program.stderr().contains("stopping")).await;
    down.recover();
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let mut arrived = down.taken_bodies();
    assert!(arrived.len() > acknowledged.len(), "with records of verdicts");
    arrived.retain(|body| acknowledged.contains(body));
    arrived.sort();
    acknowledged.sort();
    assert_eq!(arrived, acknowledged);
    assert!(!program.stderr().contains("dropped{"), "{}", program.stderr());
}

#[tokio::test]
async fn small_requests_are_joined_as_they_wait() {
    for kind in ["otlp", "otlphttp"] {
        let down = Backend::always(Reply::http(503)).await;
        let exporter = start(kind, &down.url(), SOON);
        // Many more than `queue_size`, in the signals' turns, while the backend is down.
        for number in 0..4_000_u64 {
            let signal = Signal::ALL[usize::try_from(number % 3).expect("small")];
            exporter.offer(signal, requests::one(signal, &format!("{number}")).into(), 1).expect("there is room");
        }
        let (waiting, amount) = exporter.waiting();
        assert!(waiting < 100 && amount.items == 4_000, "{kind}: {waiting} requests of {} items", amount.items);
        down.recover();
        let sent = || Signal::ALL.iter().map(|signal| exporter.stats.sent_count(*signal)).sum::<u64>();
        eventually("all is sent", || sent() == 4_000).await;
        assert_eq!((dropped(&exporter), exporter.waiting().1.items), (0, 0));
    }
}

#[tokio::test]
async fn what_consumers_hold_counts() {
    let hanging = Backend::always(Reply::Hang).await;
    let exporter = start("otlphttp", &hanging.url(), "sending_queue: {queue_bytes: 64KiB}");
    let request = requests::logs(&[&"x".repeat(60_000)]);
    exporter.offer(Signal::Logs, request.clone().into(), 1).expect("there is room");
    eventually("it is on its way", || hanging.count() == 1).await;
    assert_eq!((exporter.waiting().0, exporter.waiting().1.items), (0, 1));
    assert!(exporter.offer(Signal::Logs, request.into(), 1).is_err(), "what is on its way is in memory as well");
}

#[tokio::test]
async fn a_queue_that_may_drop_keeps_the_oldest_or_the_newest() {
    for (when_full, kept) in [("drop_newest", "0"), ("drop_oldest", "9")] {
        let down = Backend::always(Reply::http(503)).await;
        let queue = format!("sending_queue: {{num_consumers: 1, queue_size: 4, sizer: items, when_full: {when_full}}}");
        let exporter = start("otlphttp", &down.url(), &format!("{SOON}, {queue}"));
        // On its way, so that nothing is joined with it.
        exporter.send(Signal::Logs, requests::logs(&["first"]).into(), 1);
        eventually("it is tried", || down.count() > 0).await;
        for number in 0..10 {
            let body = format!("{number}{}", "x".repeat(70_000));
            exporter.send(Signal::Logs, requests::logs(&[&body]).into(), 1);
        }
        assert_eq!(exporter.stats.dropped_counts(), [("queue_full", 7)], "{when_full}");
        down.recover();
        eventually("the rest is sent", || exporter.stats.sent_count(Signal::Logs) == 4).await;
        let arrived: String = down.taken_bodies().iter().filter_map(|body| body.chars().next()).collect();
        assert!(arrived.contains(kept) && arrived.contains('f'), "{when_full}: {arrived}");
    }
}

#[tokio::test]
async fn a_backend_that_takes_nothing_for_a_while_loses_a_record_at_a_time() {
    let always = [
        ("otlphttp", Reply::http(413)),
        ("otlp", Reply::Grpc(Code::ResourceExhausted, None)),
        ("otlp", Reply::GrpcSays(Code::ResourceExhausted, "quota".to_owned())),
    ];
    for (kind, reply) in always {
        let case = format!("{kind} {reply:?}");
        let backend = Backend::always(reply).await;
        let exporter = start(kind, &backend.url(), "retry_on_failure: {initial_interval: 2s, randomization_factor: 0}");
        let many: Vec<String> = (0..10).map(|number| format!("{number} {}", "x".repeat(700))).collect();
        for _ in 0..100 {
            let bodies: Vec<&str> = many.iter().map(String::as_str).collect();
            exporter.offer(Signal::Logs, requests::logs(&bodies).into(), 10).expect("there is room");
            tokio::task::yield_now().await;
        }
        eventually("something is lost", || dropped(&exporter) > 0).await;
        let (asked, lost) = (backend.count(), dropped(&exporter));
        backend.recover();
        eventually("the rest is sent", || exporter.stats.sent_count(Signal::Logs) + dropped(&exporter) == 1_000).await;
        assert!(asked < 200, "{case}: {asked} requests");
        // A request that must not be sent again is lost whole; what came behind it is not.
        assert!(dropped(&exporter) < 300, "{case}: {lost}, {:?}", exporter.stats);
    }
}

#[tokio::test]
async fn the_size_that_a_backend_takes_is_learned() {
    for kind in ["otlp", "otlphttp"] {
        let backend = Backend::always(Reply::TooLargeAbove(100_000)).await;
        let options = "compression: none, sending_queue: {num_consumers: 1}";
        let exporter = start(kind, &backend.url(), options);
        for round in 1..=10_u64 {
            let bodies: Vec<String> = (0..1_000).map(|number| format!("{number} {}", "x".repeat(1_000))).collect();
            let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
            exporter.offer(Signal::Logs, requests::logs(&bodies).into(), 1_000).expect("there is room");
            eventually("all is sent", || exporter.stats.sent_count(Signal::Logs) == 1_000 * round).await;
        }
        assert_eq!(dropped(&exporter), 0);
        let refused = backend.seen().iter().filter(|seen| !seen.taken).count();
        assert!(refused < 12, "{kind}: {refused} of {} requests were too large", backend.count());
        assert!(backend.count() < 10 * 20, "{kind}: {} requests for 10 MB", backend.count());
    }
}

#[tokio::test]
async fn nothing_is_given_up_for_a_long_wait_that_the_backend_asks_for() {
    let later = Reply::Http(429, vec![("retry-after", "3600".to_owned())], Vec::new());
    let info = Reply::Grpc(Code::ResourceExhausted, Some(Duration::from_secs(3_600)));
    for (kind, reply) in [("otlphttp", later), ("otlp", info)] {
        let backend = Backend::always(reply).await;
        let exporter = start(kind, &backend.url(), "sending_queue: {num_consumers: 2}");
        for number in 0..100 {
            exporter.offer(Signal::Logs, requests::logs(&[&format!("{number}")]).into(), 1).expect("there is room");
        }
        eventually("it was tried", || exporter.stats.retried_count() > 0).await;
        assert_eq!((dropped(&exporter), exporter.waiting().1.items), (0, 100), "{kind}");
        assert!(backend.count() <= 2, "{kind}: once a consumer, {}", backend.count());
    }
}

#[tokio::test]
async fn a_loss_is_told_as_it_begins_and_as_it_ends_with_its_total_and_kept_in_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let dead = directory.path().join("dead.jsonl");
    let backend = Backend::start(Vec::new()).await;
    let choosy = Backend::always(Reply::http(400)).await;
    let exporter =
        format!("otlphttp/choosy: {{endpoint: \"{}\", dead_letter: {{path: \"{}\"}}}}", choosy.url(), dead.display());
    let program = Program::run(&two(&exporter, &format!("otlp/other: {{endpoint: \"{}\"}}", backend.url())));
    let (grpc, _) = program.addresses().await;
    let bodies: Vec<String> = (0..20).map(|number| format!("record {number}")).collect();
    for body in &bodies {
        assert_eq!(call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[body])).await.grpc().code(), Code::Ok);
    }
    eventually("it says that it began", || program.stderr().contains("log records are lost")).await;
    eventually("it says that it ended", || program.stderr().contains("nothing is lost any more; 20 items were")).await;
    let said = program.stderr();
    let told = said.lines().filter(|line| line.contains("lost")).count();
    assert!(told <= 3, "at a limited rate: {said}");
    let written = std::fs::read_to_string(&dead).expect("the file");
    let mut kept: Vec<String> = Vec::new();
    for line in written.lines() {
        let request = why502::otlp::json::to_protobuf(Signal::Logs, line.as_bytes()).expect("OTLP JSON");
        kept.extend(requests::bodies(&request));
    }
    kept.sort();
    let mut expected = bodies.clone();
    expected.sort();
    assert_eq!(kept, expected);
    eventually("the other backend has all", || backend.taken_bodies().len() == 20).await;
}

#[tokio::test]
async fn a_queue_of_records_or_bytes_holds_that_many() {
    for (limit, expected) in [("queue_size: 10, sizer: items", 10), ("queue_size: 200000, sizer: bytes", 19)] {
        let down = Backend::always(Reply::Hang).await;
        let exporter = start("otlp", &down.url(), &format!("sending_queue: {{{limit}}}"));
        let request = requests::logs(&[&"x".repeat(10_000)]);
        let mut taken = 0;
        while exporter.offer(Signal::Logs, request.clone().into(), 1).is_ok() {
            taken += 1;
            assert!(taken < 1_000, "{limit}: it is never full");
        }
        assert_eq!(taken, expected, "{limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_has_one_ceiling_however_much_is_sent() {
    const LIMIT_MIB: u64 = 96;
    // The code of a released program counts as well.
    const CODE_MIB: u64 = 18;
    const SENDERS: usize = 8;
    let down = Backend::always(Reply::Hang).await;
    let other = Backend::always(Reply::Hang).await;
    let rare = "timeout: 2s, retry_on_failure: {initial_interval: 1s, max_interval: 2s}, sending_queue: {queue_bytes: 4GiB, num_consumers: 2}";
    let exporters = ["a", "b"].map(|name| (name, if name == "a" { &down } else { &other }));
    let [first, second] =
        exporters.map(|(name, to)| format!("otlphttp/{name}: {{endpoint: \"{}\", {rare}}}", to.url()));
    let config = two(&first, &second)
        .replace("hold: 200ms", "hold: 200ms, limits: {requests: 500, spans: 5000}")
        .replace("receivers:\n", &format!("memory: {{limit: {LIMIT_MIB}MiB}}\nreceivers:\n"));
    let mut program = Program::run(&config);
    let (grpc, http) = program.addresses().await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        senders.spawn(async move {
            let (mut acknowledged, mut refused) = (Vec::new(), 0);
            for number in 0..60 {
                // Some are small and some are large, so that rounding up shows.
                let size = [2_000, 60_000, 1 << 20, 3 << 20][number % 4];
                let body = format!("{sender} {number} {}", "x".repeat(size));
                let access = requests::refused_by_upstream(u32::try_from(number).unwrap_or(0), "/p")[0].clone();
                let request = requests::logs(&[&body, &access]);
                let is_taken = if number % 2 == 0 {
                    call(grpc, Signal::Logs.grpc_path(), &request).await.grpc().code() == Code::Ok
                } else {
                    post(http, "/v1/logs", "application/x-protobuf", request).await.status == 200
                };
                if is_taken { acknowledged.push(format!("{sender} {number}")) } else { refused += 1 }
            }
            (acknowledged, refused)
        });
    }
    let (mut acknowledged, mut refused, mut most) = (BTreeSet::new(), 0, 0);
    loop {
        most = most.max(program.resident_kib() / 1_024);
        match tokio::time::timeout(Duration::from_millis(50), senders.join_next()).await {
            Err(_) => {}
            Ok(None) => break,
            Ok(Some(ended)) => {
                let (taken, not) = ended.expect("it sends");
                acknowledged.extend(taken);
                refused += not;
            }
        }
    }
    assert!(refused > 100 && acknowledged.len() > 10, "{refused} refused, {} taken", acknowledged.len());
    assert!(program.stderr().contains("there is no room below `memory::limit`"), "{}", program.stderr());
    down.recover();
    other.recover();
    for backend in [&down, &other] {
        let arrived = || -> BTreeSet<String> {
            let bodies = backend.taken_bodies().into_iter().filter(|body| body.ends_with('x'));
            bodies.map(|body| body.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
        };
        eventually("all of it arrives", || arrived().len() == acknowledged.len()).await;
        assert_eq!(arrived(), acknowledged);
    }
    most = most.max(program.resident_kib() / 1_024);
    assert!(most + CODE_MIB < LIMIT_MIB, "{most} MiB resident and {CODE_MIB} MiB of code, of {LIMIT_MIB}");
    // It recovers by itself.
    assert_eq!(call(grpc, Signal::Logs.grpc_path(), &requests::logs(&["after"])).await.grpc().code(), Code::Ok);
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    assert!(!program.stderr().contains("dropped{"), "{}", program.stderr());
}
