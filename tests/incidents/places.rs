//! Which pods are one application: replicas of one service are, and a second service in the same cluster is not.

use std::collections::BTreeMap;
use std::sync::Arc;
use why502::engine::incident::{Incident, State};
use why502::engine::place::{Machine, Place, Stream};
use why502::engine::verdict::Ticket;
use why502::engine::{Engine, Output, Record, Settings};
use why502::read::evidence::SECOND;
use why502::read::formats::{Reader, Reading};
use why502::read::{SourceMemory, Wanted};

/// A pod of a service, at an address.
fn pod(number: u64, service: u64, address: &str) -> Stream {
    let place = Place {
        site: 100 + number,
        machine: Machine::Pod,
        service,
        namespace: 7,
        names: vec![address.to_owned()],
        ..Place::default()
    };
    Stream { id: number, place: Arc::new(place) }
}

/// Closed incidents: origin, failures, and the peers that were tried.
fn told(lines: &[(&Stream, &str)]) -> Vec<String> {
    let reader = Reader::default();
    let mut engine = Engine::new(Settings { hold: 2 * SECOND, ..Settings::default() });
    let now = 1_772_615_703 * SECOND;
    let mut memories: BTreeMap<u64, SourceMemory> = BTreeMap::new();
    for (number, (stream, line)) in (1..).zip(lines) {
        let memory = memories.entry(stream.id).or_default();
        let Reading::Proves(_, evidences) = reader.read(line.as_bytes(), memory, &Wanted::default()) else { continue };
        for evidence in evidences {
            let (ticket, stream) = (Ticket(number), (*stream).clone());
            engine.handle_record(now, Record { ticket, stream, observed: now, evidence });
        }
    }
    engine.finish(now + 20 * SECOND);
    let mut closed: Vec<Arc<Incident>> = Vec::new();
    while let Some(output) = engine.poll_output() {
        if let Output::Incident(incident) = output
            && incident.state == State::Closed
        {
            closed.push(incident);
        }
    }
    let shown = |incident: &Arc<Incident>| {
        let upstreams: Vec<String> = incident.tally.upstreams.rows().into_iter().map(|(peer, _)| peer).collect();
        let (requests, failures) = (incident.tally.requests, incident.tally.failures);
        format!("{} {requests}+{failures} {}", incident.label.origin.id, upstreams.join(" "))
    };
    closed.iter().map(shown).collect()
}

const START: [&str; 2] = [
    "[2026-03-04 09:14:00 +0000] [1] [INFO] Starting gunicorn 23.0.0",
    "[2026-03-04 09:14:00 +0000] [1] [INFO] Listening at: http://0.0.0.0:8000 (1)",
];

#[test]
fn replicas_are_one_application_and_another_service_is_not() {
    let nginx = pod(1, 10, "10.0.0.100");
    let (web_1, web_2, billing) = (pod(2, 20, "10.0.0.1"), pod(3, 20, "10.0.0.2"), pod(4, 30, "10.0.0.9"));
    let cut = |number: u32, address: &str| {
        format!(
            r#"2026/03/04 09:15:03 [error] 411#411: *{number} upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /{number} HTTP/1.1", upstream: "http://{address}:8000/{number}", host: "shop.test""#
        )
    };
    let timeout = |worker: u32| format!("[2026-03-04 09:15:03 +0000] [1] [CRITICAL] WORKER TIMEOUT (pid:{worker})");
    let [first, second, third] = [(1, "10.0.0.1"), (2, "10.0.0.2"), (3, "10.0.0.9")].map(|(n, a)| cut(n, a));
    let [timeout_1, timeout_2, timeout_3, ghost] = [11, 12, 13, 14].map(timeout);
    let mut lines: Vec<(&Stream, &str)> = Vec::new();
    for stream in [&web_1, &web_2, &billing] {
        lines.extend(START.map(|line| (stream, line)));
    }
    lines.extend([(&nginx, first.as_str()), (&nginx, &second), (&web_1, &timeout_1), (&web_2, &timeout_2)]);
    // A worker of the second replica whose request no log has.
    lines.push((&web_2, &ghost));
    let web = "worker_timeout 2+1 10.0.0.1:8000 10.0.0.2:8000";
    assert_eq!(told(&lines), [web]);
    // The other service fails in the same way in the same second, behind the same nginx.
    lines.extend([(&nginx, third.as_str()), (&billing, &timeout_3)]);
    let mut both = told(&lines);
    both.sort();
    assert_eq!(both, ["worker_timeout 1+0 10.0.0.9:8000", web]);
}
