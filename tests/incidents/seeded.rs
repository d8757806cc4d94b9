//! Whatever comes in which order, each verdict is of exactly one incident, and the counts are those of the verdicts.

use std::collections::BTreeMap;
use std::sync::Arc;
use why502::engine::incident::{Incident, State};
use why502::engine::place::Stream;
use why502::engine::verdict::{Ticket, Verdict};
use why502::engine::{Decision, Engine, Output, Record, Settings};
use why502::read::evidence::{Nanos, SECOND};
use why502::read::formats::{Reader, Reading};
use why502::read::time::rfc3339;
use why502::read::{SourceMemory, Wanted};

/// A generator of numbers (Knuth's of MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// What the engine said.
#[derive(Default)]
struct Said {
    /// The last revision of each verdict, by its uid.
    verdicts: BTreeMap<String, Arc<Verdict>>,
    incidents: Vec<Arc<Incident>>,
    /// Which host the records of each incident are of.
    hosts: BTreeMap<String, u64>,
    all: Vec<String>,
}

struct World {
    engine: Engine,
    reader: Reader,
    now: Nanos,
    tickets: u64,
    said: Said,
}

impl World {
    fn line(&mut self, stream: u64, host: u64, line: &str) {
        let reading = self.reader.read(line.as_bytes(), &mut SourceMemory::default(), &Wanted::default());
        let Reading::Proves(_, evidences) = reading else { panic!("{line}") };
        for evidence in evidences {
            self.tickets += 1;
            // The host of a record can be told by its ticket.
            let ticket = Ticket(self.tickets * 2 + host);
            let stream = Stream::on_host(stream * 2 + host, &format!("host-{host}"));
            let record = Record { ticket, stream, observed: self.now, evidence };
            let _: Decision = self.engine.handle_record(self.now, record);
        }
        self.note();
    }

    fn pass(&mut self, nanos: Nanos) {
        self.now += nanos;
        self.engine.handle_timeout(self.now);
        self.note();
    }

    fn note(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Verdict(verdict) => {
                    let label = verdict.incident.as_ref().expect("each verdict is of an incident");
                    for (_, ticket) in &verdict.records {
                        let host = self.said.hosts.entry(label.uid.clone()).or_insert(ticket.0 % 2);
                        assert_eq!(*host, ticket.0 % 2, "two services never have one incident");
                    }
                    let before = self.said.verdicts.insert(verdict.uid.clone(), Arc::clone(&verdict));
                    let of = |verdict: &Verdict| verdict.incident.as_ref().map(|label| label.uid.clone());
                    assert!(before.is_none_or(|before| of(&before) == of(&verdict)), "it stays in its incident");
                    self.said.all.push(format!("{} {} {}", verdict.uid, verdict.revision, label.uid));
                }
                Output::Incident(incident) => {
                    self.said.all.push(format!("{} {} {:?}", incident.label.uid, incident.revision, incident.tally));
                    self.said.incidents.push(incident);
                }
                Output::Good(_) => {}
                Output::Release { .. } => {}
            }
        }
    }
}

/// Two hosts, each with an nginx before two applications, that fail in turns; some of Gunicorn's lines come late.
fn run(seed: u64) -> Said {
    let mut random = Random(seed);
    let engine = Engine::new(Settings { hold: 2 * SECOND, ..Settings::default() });
    let now = 1_772_615_700 * SECOND;
    let mut world = World { engine, reader: Reader::default(), now, tickets: 0, said: Said::default() };
    let mut late: Vec<(Nanos, u64, String)> = Vec::new();
    for number in 0..400 {
        let host = random.below(2);
        let stamp = rfc3339(world.now);
        let (date, clock) = (stamp[..10].to_owned(), stamp[11..19].to_owned());
        let how = random.one(&[
            "connect() failed (111: Connection refused) while connecting to upstream",
            "upstream prematurely closed connection while reading response header from upstream",
            "upstream timed out (110: Connection timed out) while reading response header from upstream",
            "upstream sent too big header while reading response header from upstream",
            "connect() failed (113: No route to host) while connecting to upstream",
        ]);
        let upstream = random.one(&["127.0.0.1:8000", "127.0.0.1:9000"]);
        let target = random.one(&["/a", "/b/1", "/b/2?x=1", "/c"]);
        let worker = 300 + number;
        let timeout = format!("[{date} {clock} +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:{worker})");
        if random.below(6) == 0 {
            world.line(2, host, &timeout);
        } else {
            let date = date.replace('-', "/");
            world.line(1, host, &format!(
                r#"{date} {clock} [error] 411#411: *{number} {how}, client: 198.51.100.20, server: s, request: "GET {target} HTTP/1.1", upstream: "http://{upstream}{target}", host: "s""#
            ));
            let (second, status) = (world.now / SECOND, if how.contains("timed out") { 504 } else { 502 });
            world.line(3, host, &format!(
                r#"{{"msec":"{second}.000","pid":"411","connection":"{number}","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"{status}","body_bytes_sent":"157","request_time":"0.001","upstream_addr":"{upstream}","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"0.001","upstream_bytes_received":"0"}}"#
            ));
            // What the request was cut by is told when it has its verdict.
            if how.contains("prematurely") && random.below(2) == 0 {
                late.push((world.now + 3 * SECOND, host, timeout));
            }
        }
        let step = random.below(4);
        world.pass(if step == 0 { 40 * SECOND } else { step as Nanos * SECOND / 2 });
        while late.first().is_some_and(|(due, ..)| *due <= world.now) {
            let (_, host, line) = late.remove(0);
            world.line(2, host, &line);
        }
    }
    let now = world.now;
    world.engine.finish(now);
    world.note();
    assert_eq!(world.engine.incident_count(), 0);
    world.said
}

#[test]
fn each_verdict_is_of_one_incident_and_the_counts_are_those_of_the_verdicts() {
    let mut revised = 0;
    for seed in 0..40 {
        let said = run(seed);
        revised += said.verdicts.values().filter(|verdict| verdict.revision > 0).count();
        let closed: Vec<&Arc<Incident>> =
            said.incidents.iter().filter(|incident| incident.state == State::Closed).collect();
        let mut by_incident: BTreeMap<&str, Vec<&Arc<Verdict>>> = BTreeMap::new();
        for verdict in said.verdicts.values() {
            let label = verdict.incident.as_ref().expect("an incident");
            by_incident.entry(&label.uid).or_default().push(verdict);
        }
        assert_eq!(closed.len(), by_incident.len(), "seed {seed}: each closes once");
        for incident in closed {
            let verdicts = &by_incident[incident.label.uid.as_str()];
            let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
            for verdict in verdicts {
                *causes.entry(verdict.cause.id).or_default() += 1;
            }
            let counted: BTreeMap<&str, u64> = incident.tally.causes.rows().into_iter().collect();
            assert_eq!(counted, causes, "seed {seed}");
            let requests = verdicts.iter().filter(|verdict| verdict.is_request()).count() as u64;
            assert_eq!(incident.tally.requests, requests, "seed {seed}");
            assert!(causes.contains_key(incident.label.origin.id), "seed {seed}: its origin is a cause in it");
            let times = verdicts.iter().map(|verdict| verdict.time);
            assert!(times.clone().min() >= Some(incident.first) && times.max() <= Some(incident.last), "seed {seed}");
            let upstreams = incident.tally.upstreams.rows();
            assert!(upstreams.len() <= 1, "seed {seed}: two applications never have one incident: {upstreams:?}");
        }
        assert_eq!(run(seed).all, said.all, "seed {seed}: the same again");
    }
    assert!(revised > 20, "late evidence changed {revised} verdicts");
}
