//! Any order of lines, spans and time: each held ticket is released once, verdicts are well formed, and the same input gives
//! the same verdicts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use std::sync::Arc;
use why502::engine::correlate::spans::SpanRow;
use why502::engine::place::Stream;
use why502::engine::span_watch::may_be_own;
use why502::engine::verdict::Ticket;
use why502::engine::{Decision, Engine, Output, Record, Settings};
use why502::read::SourceMemory;
use why502::read::evidence::SECOND;
use why502::read::formats::{Reader, Reading};
use why502::read::nginx_conf::NginxConf;

const START: i64 = 1_772_615_702;

/// Lines in which `#` is a small number and `@` a second.
const LINES: [&str; 20] = [
    r##"2026/03/04 09:15:0@ [error] 411#411: *# connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.2, server: s, request: "GET /# HTTP/1.1", upstream: "http://127.0.0.1:8000/#", host: "s""##,
    r##"2026/03/04 09:15:0@ [crit] 411#411: *# connect() to unix:/run/g.sock failed (2: No such file or directory) while connecting to upstream, client: 198.51.100.2, server: s, request: "GET /# HTTP/1.1", upstream: "http://unix:/run/g.sock:/#", host: "s""##,
    r##"2026/03/04 09:15:0@ [error] 411#411: *# upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.2, server: s, request: "GET /# HTTP/1.1", upstream: "http://127.0.0.1:8000/#", host: "s""##,
    r##"2026/03/04 09:15:0@ [error] 411#411: *# upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.2, server: s, request: "GET /# HTTP/1.1", upstream: "http://127.0.0.1:8000/#", host: "s""##,
    r##"2026/03/04 09:15:0@ [error] 411#411: *# upstream prematurely closed connection while reading upstream, client: 198.51.100.2, server: s, request: "GET /# HTTP/1.1", upstream: "http://127.0.0.1:8000/#", host: "s""##,
    r##"2026/03/04 09:15:0@ [error] 411#411: *# no live upstreams while connecting to upstream, client: 198.51.100.2, server: s, request: "GET /# HTTP/1.1", upstream: "http://app/#", host: "s""##,
    r##"198.51.100.2 - - [04/Mar/2026:09:15:0@ +0000] "GET /# HTTP/1.1" 502 157 "-" "curl/8""##,
    r##"198.51.100.2 - - [04/Mar/2026:09:15:0@ +0000] "GET /# HTTP/1.1" 504 167 "-" "curl/8""##,
    r##"198.51.100.2 - - [04/Mar/2026:09:15:0@ +0000] "GET /# HTTP/1.1" 499 0 "-" "curl/8""##,
    r##"198.51.100.2 - - [04/Mar/2026:09:15:0@ +0000] "GET /# HTTP/1.1" 200 10 "-" "curl/8""##,
    r##"{"msec":"177261570@.500","pid":"411","connection":"#","remote_addr":"198.51.100.2","request":"GET /# HTTP/1.1","status":"502","request_time":"1.0","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"0.0","upstream_header_time":"-","upstream_response_time":"1.0"}"##,
    "[2026-03-04 09:15:0@ +0000] [300] [INFO] Starting gunicorn 23.0.0",
    "[2026-03-04 09:15:0@ +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)",
    "[2026-03-04 09:15:0@ +0000] [30#] [INFO] Booting worker with pid: 30#",
    "[2026-03-04 09:15:0@ +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:30#)",
    "[2026-03-04 09:15:0@ +0000] [300] [ERROR] Worker (pid:30#) was sent SIGKILL! Perhaps out of memory?",
    "[2026-03-04 09:15:0@ +0000] [300] [ERROR] Worker (pid:30#) was sent SIGSEGV!",
    "[2026-03-04 09:15:0@ +0000] [300] [INFO] Handling signal: term",
    "[2026-03-04 09:15:0@ +0000] [300] [ERROR] Shutting down: Master",
    "Mar  4 09:15:0@ web kernel: Out of memory: Killed process 30# (gunicorn) total-vm:1kB",
];

/// Runs the operations; returns what was said, in order.
fn run(operations: &[(u8, u8, u8)]) -> Vec<String> {
    let conf = "upstream app { server 127.0.0.1:8000; } server { location / { proxy_pass http://app; }
        location /b { proxy_pass http://127.0.0.1:9000; proxy_read_timeout 1s; } }";
    let with_conf = operations.len() % 2 == 1;
    let nginx = with_conf.then(|| Arc::new(NginxConf::read("n.conf", conf, &mut |_| Ok(Vec::new()))));
    let settings = Settings { requests_max: 16, spans_max: 16, nginx, ..Settings::default() };
    let (mut engine, reader) = (Engine::new(settings), Reader::default());
    let mut memory = SourceMemory::default();
    let (mut now, mut last) = (START * SECOND, 0);
    let (mut held, mut said) = (BTreeSet::new(), Vec::new());
    for (kind, number, second) in operations {
        let index = usize::from(*kind) % (LINES.len() + 3);
        if let Some(line) = LINES.get(index) {
            let line = line.replace('#', &(number % 4).to_string()).replace('@', &(second % 10).to_string());
            if let Reading::Proves(_, evidences) = reader.read(line.as_bytes(), &mut memory, &engine.wanted()) {
                for evidence in evidences {
                    last += 1;
                    let ticket = Ticket(last);
                    let record = Record { ticket, stream: Stream::alone(index as u64 / 6), observed: 0, evidence };
                    if engine.handle_record(now, record) == Decision::Hold {
                        held.insert(ticket);
                    }
                }
            }
        } else if index == LINES.len() {
            last += 1;
            let ticket = Ticket(last);
            let end = START * SECOND + i64::from(*second) * (SECOND / 10);
            let span = SpanRow {
                trace_id: [*number % 4 + 1; 16],
                flags: SpanRow::SERVER,
                start: end - SECOND,
                end,
                status: if number.is_multiple_of(2) { 502 } else { 200 * u16::from(number.is_multiple_of(3)) },
                ..SpanRow::default()
            };
            let span = span.asking("GET", &format!("/{}", number % 4));
            let waits = may_be_own(&span, &engine.named()).then_some((0, ticket));
            held.extend(waits.map(|(_, ticket)| ticket));
            engine.handle_spans(now, &Arc::default(), &[span], waits.as_slice());
        } else if index == LINES.len() + 1 {
            engine.handle_healthy(now, &Stream::alone(1), u64::from(*number));
        } else {
            now += i64::from(*second) * SECOND;
            engine.handle_timeout(now);
            assert!(engine.poll_timeout().is_none_or(|(due, _)| due > now));
        }
        drain(&mut engine, &mut held, &mut said);
    }
    engine.finish(now);
    drain(&mut engine, &mut held, &mut said);
    assert!(held.is_empty(), "at the end nothing is held: {held:?}");
    assert_eq!(engine.held_count(), 0);
    assert_eq!(engine.open_count(), 0);
    said
}

fn drain(engine: &mut Engine, held: &mut BTreeSet<Ticket>, said: &mut Vec<String>) {
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Release { ticket, verdict } => {
                assert!(held.remove(&ticket), "{ticket:?} was not held, or was released before");
                said.push(format!("{ticket:?} {:?}", verdict.map(|verdict| verdict.uid.clone())));
            }
            Output::Verdict(verdict) => {
                assert!((0.0..=1.0).contains(&verdict.confidence));
                assert!(verdict.evidence.len() <= 5);
                assert!(verdict.link.candidates.len() <= 5);
                assert!(verdict.incident.is_some(), "every verdict is of an incident");
                said.push(format!("{} {} {}", verdict.uid, verdict.revision, verdict.cause.id));
            }
            Output::Incident(incident) => {
                assert!(incident.first <= incident.last && incident.examples.len() <= 3);
                assert_eq!(incident.tally.causes.total(), incident.tally.total());
                said.push(format!("{} {} {:?}", incident.label.uid, incident.revision, incident.state));
            }
            Output::Good(good) => {
                assert!((0.0..=1.0).contains(&good.link.confidence));
                assert!(good.link.candidates.len() <= 5);
                said.push(format!("good {:?}", good.link.trace));
            }
        }
    }
    assert_eq!(engine.held_count(), held.len());
}

fuzz_target!(|operations: Vec<(u8, u8, u8)>| {
    let operations = operations.get(..operations.len().min(400)).unwrap_or_default();
    assert_eq!(run(operations), run(operations), "the same input, the same verdicts");
});
