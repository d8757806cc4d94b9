//! The running program among countless strangers: sites that are heard of once, one that shouts, resources of a mebibyte and
//! none at all. The requests of a shop beside them keep their verdicts, and memory has an end.
//!
//! `WHY502_STRANGERS=1000000` says how many sites there are; 10,000 by default; a million take some minutes with
//! `--release`.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::Backend;
use common::client::call;
use common::eventually;
use common::process::{Program, explained};
use common::requests::{attribute, attribute_of, body, record, refused_by_upstream};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::net::SocketAddr;
use tonic::Code;
use why502::otlp::Signal;

/// Sites of one request.
const A_REQUEST: usize = 200;
/// Requests of the site that shouts, for each of the shop.
const LOUD: usize = 100;

fn group(attributes: &[(&str, &str)], bodies: &[String]) -> ResourceLogs {
    let attributes = attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let log_records = bodies.iter().map(|body| record(body)).collect();
    ResourceLogs {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    }
}

/// Asks again while there is no room, as senders do.
async fn send(address: SocketAddr, groups: Vec<ResourceLogs>) {
    let message = ExportLogsServiceRequest { resource_logs: groups }.encode_to_vec();
    for _ in 0..600 {
        let code = call(address, Signal::Logs.grpc_path(), &message).await.grpc().code();
        if code == Code::Ok {
            return;
        }
        assert_eq!(code, Code::Unavailable);
        common::process::pause().await;
    }
    panic!("a minute without room");
}

#[tokio::test]
#[allow(clippy::disallowed_methods, clippy::print_stderr, reason = "how many there are is asked for by hand, and told")]
async fn a_shop_among_strangers_keeps_its_verdicts() {
    let count = std::env::var("WHY502_STRANGERS").ok().and_then(|count| count.parse().ok()).unwrap_or(10_000_usize);
    let backend = Backend::start(Vec::new()).await;
    let exporter = format!("otlp/out: {{endpoint: \"{}\"}}", backend.url());
    let mut program = Program::run(&explained("hold: 1s", &exporter));
    let (grpc, _) = program.addresses().await;
    let long = "z".repeat(1 << 20);
    let (mut read, mut explained_of_shop, mut early) = (0, Vec::new(), 0);
    let rounds = count.div_ceil(A_REQUEST);
    for round in 0..rounds {
        let strangers = (0..A_REQUEST).map(|number| {
            let (host, number) = (format!("stranger-{round}-{number}"), round * A_REQUEST + number);
            let lines = refused_by_upstream(u32::try_from(number).expect("small"), "/stranger");
            // Some tell of half of a request only.
            let half = if number % 3 == 0 { 1 } else { 2 };
            group(&[("host.name", &host)], &lines[..half])
        });
        send(grpc, strangers.collect()).await;
        if round % 10 == 0 {
            let number = u32::try_from(round).expect("small");
            let loud = (0..LOUD as u32).flat_map(|call| refused_by_upstream(number * LOUD as u32 + call, "/loud"));
            let mut groups = vec![group(&[("host.name", "loud")], &loud.collect::<Vec<_>>())];
            groups.push(group(&[("host.name", "shop")], &refused_by_upstream(number, &format!("/shop/{round}"))));
            groups.push(group(&[("note", &long), ("host.name", &format!("long-{round}"))], &["hello".to_owned()]));
            groups.push(ResourceLogs { resource: None, ..group(&[], &refused_by_upstream(number, "/nobody")) });
            send(grpc, groups).await;
        }
        if round == rounds / 4 {
            early = program.resident_kib();
        }
        if round % 50 == 0 {
            take(&backend, &mut read, &mut explained_of_shop);
        }
        assert!(program.is_running(), "{}", program.stderr());
    }
    let late = program.resident_kib();
    let expected = 2 * rounds.div_ceil(10);
    let all_of_shop = || {
        take(&backend, &mut read, &mut explained_of_shop);
        explained_of_shop.len() >= expected
    };
    eventually("the shop's records arrive", all_of_shop).await;
    assert_eq!(explained_of_shop.len(), expected, "each once");
    let told = |cause: &String| cause == "gunicorn_not_running";
    assert!(explained_of_shop.iter().all(told), "{explained_of_shop:?}");
    eprintln!("{count} sites: {} MiB after a quarter of them, {} MiB after all", early >> 10, late >> 10);
    // What the allocator keeps for a while, and what waits; each site that was kept would be several kilobytes.
    assert!(late < early + (96 << 10), "resident memory grew from {early} KiB to {late} KiB");
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    assert!(!program.stderr().contains("panicked"), "{}", program.stderr());
}

/// nginx's own lines, not why502's sentence about them.
fn is_of_shop(line: &str) -> bool {
    line.contains("GET /shop/") && line.starts_with(['{', '2'])
}

/// The causes on the shop's own records that arrived since.
fn take(backend: &Backend, read: &mut usize, causes: &mut Vec<String>) {
    let all = backend.seen();
    for seen in all.iter().skip(*read) {
        let request = ExportLogsServiceRequest::decode(seen.message().as_slice()).expect("logs");
        let scopes = request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
        let of_shop = scopes.flat_map(|scope| scope.log_records).filter(|record| is_of_shop(&body(record)));
        causes.extend(of_shop.map(|record| attribute_of(&record.attributes, "why502.cause")));
    }
    *read = all.len();
}
