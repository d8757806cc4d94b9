//! Two hosts with an nginx and a Gunicorn each, simulated: requests, workers, faults of which the truth is known, and what
//! shippers make of it (delay, loss, a clock that is off, streams that overtake each other). Each request that an application
//! ended has a server span, by the clock of its host; some are lost, and all come late. Whatever comes, the invariants hold. A few thousand requests by default; `WHY502_SIMULATION=1000000 cargo test --release --test simulation` runs a million.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "how many requests is asked of the environment, and the result is told"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use why502::engine::correlate::spans::SpanRow;
use why502::engine::place::Stream;
use why502::engine::verdict::{Link, Source, Ticket};
use why502::engine::{Decision, Engine, Output, Record, Settings};
use why502::read::evidence::{MILLISECOND, Nanos, SECOND};
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
}

const ACCESS: u64 = 0;
const ERROR: u64 = 1;
const GUNICORN: u64 = 2;
const STREAMS: u64 = 3;

/// What befalls a host for a while, and the causes that are right for what fails then.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// A worker is killed from outside with one request in it.
    Killed,
    /// A worker is ended for taking too long.
    TimedOut,
    /// Gunicorn stops and starts again: refused in between.
    Restart,
    /// A release that does not boot.
    Broken,
    /// nginx gives up on a slow view.
    Slow,
}

impl Fault {
    fn right(self) -> &'static [&'static str] {
        match self {
            Fault::None => &[],
            Fault::Killed => &["worker_killed"],
            Fault::TimedOut => &["worker_timeout"],
            Fault::Restart => &["gunicorn_restarting", "gunicorn_not_running"],
            Fault::Broken => &["worker_boot_failed"],
            Fault::Slow => &["slow_request", "workers_saturated"],
        }
    }
}

/// One line on its way: when it arrives, of which host and stream, and the number of the request that it is of.
type Line = (Nanos, u64, u64, Option<u64>, String);

struct Simulation {
    random: Random,
    now: Nanos,
    /// Requests so far: the truth of each that failed.
    truth: BTreeMap<u64, Fault>,
    requests: u64,
    pids: u64,
    /// Lines of each stream, in the order in which they were written.
    lines: BTreeMap<(u64, u64), VecDeque<Line>>,
    /// Of ten requests the line of so many names the trace.
    named: u64,
    /// How far the clock of each host's Gunicorn is off.
    skew: [Nanos; 2],
    /// Spans on their way, by when they arrive, each with its host.
    spans: BTreeMap<(Nanos, u64), (u64, SpanRow)>,
    /// Requests whose span arrives.
    traced: BTreeSet<u64>,
}

impl Simulation {
    fn write(&mut self, at: Nanos, host: u64, stream: u64, request: Option<u64>, text: String) {
        // A shipper sends what it has about each half second; a stream keeps its order.
        let arrives = at + (self.random.below(500) as Nanos) * MILLISECOND;
        let queue = self.lines.entry((host, stream)).or_default();
        let last = queue.back().map_or(Nanos::MIN, |(arrives, ..)| *arrives);
        queue.push_back((arrives.max(last), host, stream, request, text));
    }

    fn gunicorn(&mut self, at: Nanos, host: u64, pid: u64, text: &str) {
        let stamp = rfc3339(at + self.skew[host as usize]);
        let line = format!("[{} {} +0000] [{pid}] {text}", &stamp[..10], &stamp[11..19]);
        self.write(at, host, GUNICORN, None, line);
    }

    /// The server span of a request, which its application began and ended at these times: the SDK sends it within five seconds,
    /// and one in forty is lost. Its trace is the number of the request.
    fn span(&mut self, number: u64, host: u64, target: &str, start: Nanos, end: Nanos) {
        if self.random.below(40) == 0 {
            return;
        }
        self.traced.insert(number);
        let arrives = end + (self.random.below(5_000) as Nanos) * MILLISECOND;
        let skew = self.skew[host as usize];
        let row = SpanRow {
            trace_id: (u128::from(number) + 1).to_be_bytes(),
            span_id: (number + 1).to_be_bytes(),
            start: start + skew,
            end: end + skew,
            status: 200,
            flags: SpanRow::SERVER,
            ..SpanRow::default()
        };
        self.spans.insert((arrives, number), (host, row.asking("GET", target)));
    }

    /// One request that ends at this time: its access line, and nginx's words where it failed.
    fn request(&mut self, at: Nanos, host: u64, status: u16, took: Nanos, words: &str, fault: Fault) {
        let number = self.requests;
        self.requests += 1;
        let target = ["/cart", "/report?day=1", "/api/items/7"][self.random.below(3) as usize];
        let stamp = rfc3339(at);
        if !words.is_empty() {
            self.truth.insert(number, fault);
            let (date, clock) = (stamp[..10].replace('-', "/"), &stamp[11..19]);
            let line = format!(
                r#"{date} {clock} [error] 41{host}#41{host}: *{number} {words}, client: 198.51.100.20, server: s, request: "GET {target} HTTP/1.1", upstream: "http://127.0.0.1:8000{target}", host: "s""#
            );
            self.write(at, host, ERROR, Some(number), line);
        }
        // nginx waits a little for the application to begin, and for its last byte.
        let (wait, last) = (self.random.below(2_000) as Nanos * 1_000, self.random.below(1_500) as Nanos * 1_000);
        match fault {
            Fault::None => self.span(number, host, target, at - took + wait, (at - last).max(at - took + wait)),
            // The view goes on after nginx gave up.
            Fault::Slow => self.span(number, host, target, at - took + wait, at + 2 * SECOND + last),
            // Its worker ended before the span, or nobody took the request.
            Fault::Killed | Fault::TimedOut | Fault::Restart | Fault::Broken => {}
        }
        let is_named = self.random.below(10) < self.named;
        let id = if is_named { format!(r#","trace_id":"{:032x}""#, number + 1) } else { String::new() };
        let seconds = |time: Nanos| format!("{}.{:03}", time / SECOND, time % SECOND / MILLISECOND);
        let connect = if words.starts_with("connect") { "-" } else { "0.000" };
        let header = if status == 200 { seconds(took) } else { "-".to_owned() };
        let bytes = if status == 200 { 200 } else { 0 };
        let line = format!(
            r#"{{"msec":"{}","pid":"41{host}","connection":"{number}","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"{status}","body_bytes_sent":"157","request_time":"{took}","upstream_addr":"127.0.0.1:8000","upstream_status":"{status}","upstream_connect_time":"{connect}","upstream_header_time":"{header}","upstream_response_time":"{took}","upstream_bytes_received":"{bytes}"{id}}}"#,
            seconds(at),
            took = seconds(took),
        );
        self.write(at, host, ACCESS, Some(number), line);
    }

    fn boot(&mut self, at: Nanos, host: u64) -> u64 {
        self.pids += 1;
        let pid = 1_000 + self.pids;
        self.gunicorn(at, host, pid, &format!("[INFO] Booting worker with pid: {pid}"));
        pid
    }

    fn start(&mut self, at: Nanos, host: u64, workers: &mut Vec<u64>) {
        self.pids += 1;
        let master = 1_000 + self.pids;
        self.gunicorn(at, host, master, "[INFO] Starting gunicorn 23.0.0");
        self.gunicorn(at, host, master, &format!("[INFO] Listening at: http://127.0.0.1:8000 ({master})"));
        self.gunicorn(at, host, master, "[INFO] Using worker: sync");
        workers.clear();
        for _ in 0..2 {
            let pid = self.boot(at, host);
            workers.push(pid);
        }
    }

    /// Healthy requests for some seconds.
    fn healthy(&mut self, host: u64, from: Nanos, seconds: i64) {
        for tenth in 0..seconds * 10 {
            let took = (1 + self.random.below(80)) as Nanos * MILLISECOND;
            self.request(from + tenth * SECOND / 10 + took, host, 200, took, "", Fault::None);
        }
    }

    /// One episode of a host; returns when it is over.
    fn episode(&mut self, host: u64, from: Nanos, workers: &mut Vec<u64>) -> Nanos {
        const CUT: &str = "upstream prematurely closed connection while reading response header from upstream";
        const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";
        let fault =
            [Fault::Killed, Fault::TimedOut, Fault::Restart, Fault::Broken, Fault::Slow][self.random.below(5) as usize];
        let at = from + 200 * MILLISECOND;
        let end = match fault {
            Fault::None => from,
            Fault::Killed => {
                let worker = workers.remove(0);
                self.gunicorn(
                    at,
                    host,
                    1,
                    &format!("[ERROR] Worker (pid:{worker}) was sent SIGKILL! Perhaps out of memory?"),
                );
                let next = self.boot(at + 10 * MILLISECOND, host);
                workers.push(next);
                self.request(at, host, 502, 300 * MILLISECOND, CUT, fault);
                at + 5 * SECOND
            }
            Fault::TimedOut => {
                let worker = workers.remove(0);
                self.gunicorn(at, host, 1, &format!("[CRITICAL] WORKER TIMEOUT (pid:{worker})"));
                let reaped = at + SECOND + 50 * MILLISECOND;
                self.gunicorn(
                    reaped,
                    host,
                    1,
                    &format!("[ERROR] Worker (pid:{worker}) was sent SIGKILL! Perhaps out of memory?"),
                );
                let next = self.boot(reaped + 10 * MILLISECOND, host);
                workers.push(next);
                self.request(reaped, host, 502, 31 * SECOND, CUT, fault);
                reaped + 5 * SECOND
            }
            Fault::Restart => {
                self.gunicorn(at, host, 1, "[INFO] Handling signal: term");
                self.gunicorn(at + 100 * MILLISECOND, host, 1, "[INFO] Shutting down: Master");
                for step in 0..10 {
                    self.request(at + SECOND + step * 100 * MILLISECOND, host, 502, 0, REFUSED, fault);
                }
                self.start(at + 4 * SECOND, host, workers);
                at + 12 * SECOND
            }
            Fault::Broken => {
                self.gunicorn(at, host, 1, "[INFO] Handling signal: term");
                self.gunicorn(at + 100 * MILLISECOND, host, 1, "[INFO] Shutting down: Master");
                for start in 1..4 {
                    let began = at + start * 2 * SECOND;
                    self.start(began, host, workers);
                    let worker = workers[0];
                    self.gunicorn(began, host, worker, "[ERROR] Exception in worker process");
                    self.gunicorn(began, host, 1, &format!("[ERROR] Worker (pid:{worker}) exited with code 3"));
                    self.gunicorn(began, host, 1, "[ERROR] Shutting down: Master");
                    self.gunicorn(began, host, 1, "[ERROR] Reason: Worker failed to boot.");
                    for step in 0..3 {
                        self.request(began + SECOND + 100 * step * MILLISECOND, host, 502, 0, REFUSED, fault);
                    }
                }
                self.start(at + 30 * SECOND, host, workers);
                at + 40 * SECOND
            }
            Fault::Slow => {
                let words =
                    "upstream timed out (110: Connection timed out) while reading response header from upstream";
                self.request(at, host, 504, 60 * SECOND, words, fault);
                at + 5 * SECOND
            }
        };
        self.healthy(host, end, 30);
        end + 30 * SECOND + 10 * SECOND
    }
}

#[derive(Default)]
struct Told {
    released: BTreeSet<u64>,
    held: BTreeSet<u64>,
    /// Request of each ticket, and its host.
    of_ticket: BTreeMap<u64, (Option<u64>, u64)>,
    /// The last word on each request: the cause and how sure it is.
    verdicts: BTreeMap<u64, (&'static str, f64)>,
    /// The request that its trace says it is, by request; of good ones where all are linked.
    links: BTreeMap<u64, Option<u64>>,
    words: u64,
}

/// The request that made the trace of a link.
fn linked(link: &Link) -> Option<u64> {
    link.trace.map(|trace| (u128::from_be_bytes(trace.trace_id) - 1) as u64)
}

impl Told {
    fn drain(&mut self, engine: &mut Engine) {
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Release { ticket, .. } => {
                    assert!(self.held.contains(&ticket.0), "what was held");
                    assert!(self.released.insert(ticket.0), "released once");
                }
                Output::Verdict(verdict) => {
                    let known = |ticket: &Ticket| self.of_ticket.get(&ticket.0).copied();
                    let hosts: BTreeSet<u64> =
                        verdict.records.iter().filter_map(|(_, ticket)| Some(known(ticket)?.1)).collect();
                    assert!(hosts.len() <= 1, "nothing of another host: {verdict:?}");
                    assert!((0.0..=1.0).contains(&verdict.confidence) && verdict.evidence.len() <= 5);
                    let of_nginx = |source: &Source| matches!(source, Source::NginxAccess | Source::NginxError);
                    let requests: BTreeSet<u64> = verdict
                        .records
                        .iter()
                        .filter(|(source, _)| of_nginx(source))
                        .filter_map(|(_, ticket)| known(ticket)?.0)
                        .collect();
                    assert!(requests.len() <= 1, "lines of one request: {verdict:?}");
                    if let Some(request) = requests.first() {
                        self.verdicts.insert(*request, (verdict.cause.id, verdict.confidence));
                        self.links.insert(*request, linked(&verdict.link));
                    }
                    self.words =
                        self.words.wrapping_mul(31).wrapping_add(why502::read::text::hash64(verdict.uid.as_bytes()));
                }
                Output::Good(good) => {
                    let own = good.records.iter().find(|(source, _)| *source == Source::NginxAccess);
                    if let Some((Some(request), _)) = own.and_then(|(_, ticket)| self.of_ticket.get(&ticket.0)) {
                        self.links.insert(*request, linked(&good.link));
                    }
                }
                Output::Incident(_) => {}
            }
        }
    }
}

/// Simulates so many requests, of ten of which the line of so many names the trace; returns the simulation with its truth,
/// and what was told. With `all` good requests are linked.
fn run(seed: u64, requests: u64, all: bool, named: u64) -> (Simulation, Told) {
    let now = 1_772_615_700 * SECOND;
    let mut simulation = Simulation {
        random: Random(seed),
        now,
        truth: BTreeMap::new(),
        requests: 0,
        pids: 0,
        lines: BTreeMap::new(),
        named,
        skew: [0, 0],
        spans: BTreeMap::new(),
        traced: BTreeSet::new(),
    };
    simulation.skew[1] = (simulation.random.below(600) as Nanos) * MILLISECOND;
    let mut workers = [Vec::new(), Vec::new()];
    let mut next = [now + SECOND, now + SECOND];
    for host in 0..2 {
        simulation.start(now, host as u64, &mut workers[host]);
        simulation.healthy(host as u64, now + SECOND, 20);
        next[host] = now + 40 * SECOND;
    }
    let mut engine = Engine::new(Settings { settle: Some(SECOND), link_all: all, ..Settings::default() });
    let everything = Wanted::everything();
    let reader = Reader::default();
    let mut memories: BTreeMap<u64, SourceMemory> = BTreeMap::new();
    let (mut told, mut tickets) = (Told::default(), 0);
    loop {
        let more = simulation.requests < requests;
        if more {
            for host in 0..2 {
                next[host] = simulation.episode(host as u64, next[host], &mut workers[host]);
            }
        }
        // What both hosts have written by then has arrived.
        let until = if more { next[0].min(next[1]) - 10 * SECOND } else { Nanos::MAX };
        while let Some((key, arrives)) = simulation
            .lines
            .iter()
            .filter_map(|(key, queue)| Some((*key, queue.front()?.0)))
            .min_by_key(|(_, arrives)| *arrives)
            .filter(|(_, arrives)| *arrives <= until)
        {
            let Some((_, host, stream, request, text)) = simulation.lines.get_mut(&key).and_then(VecDeque::pop_front)
            else {
                break;
            };
            while let Some(first) = simulation.spans.first_entry().filter(|first| first.key().0 <= arrives) {
                let ((at, _), (host, row)) = first.remove_entry();
                engine.handle_timeout(at);
                told.drain(&mut engine);
                engine.handle_spans(at, &Stream::on_host(1, &format!("host-{host}")).place, &[row], &[]);
            }
            simulation.now = arrives;
            engine.handle_timeout(arrives);
            told.drain(&mut engine);
            // One error line in two hundred is lost on its way.
            if stream == ERROR && simulation.random.below(200) == 0 {
                continue;
            }
            let at = Stream::on_host(host * STREAMS + stream + 1, &format!("host-{host}"));
            let memory = memories.entry(at.id).or_default();
            let wanted = engine.wanted();
            match reader.read(text.as_bytes(), memory, if all { &everything } else { &wanted }) {
                Reading::Proves(_, evidences) => {
                    for evidence in evidences {
                        tickets += 1;
                        told.of_ticket.insert(tickets, (request, host));
                        let record =
                            Record { ticket: Ticket(tickets), stream: at.clone(), observed: arrives, evidence };
                        if engine.handle_record(arrives, record) == Decision::Hold {
                            told.held.insert(tickets);
                        }
                    }
                }
                _ if stream == ACCESS => {
                    engine.handle_healthy(arrives, &at, 1);
                    let mut memory = SourceMemory::default();
                    if wanted.wants_samples()
                        && let Reading::Proves(_, evidences) = reader.read(text.as_bytes(), &mut memory, &everything)
                    {
                        for evidence in evidences {
                            let ticket = Ticket::default();
                            let sample = Record { ticket, stream: at.clone(), observed: arrives, evidence };
                            engine.handle_sample(arrives, sample);
                        }
                    }
                }
                _ => {}
            }
            told.drain(&mut engine);
        }
        if !more {
            break;
        }
        // What is told stays in bounds: the records of what is long over are forgotten here as well.
        assert!(engine.held_count() < 10_000 && engine.request_count() < 20_000);
    }
    engine.finish(simulation.now + 60 * SECOND);
    told.drain(&mut engine);
    assert_eq!(engine.held_count(), 0);
    assert_eq!(told.held, told.released, "every held record is released");
    (simulation, told)
}

/// Of links that were set the right ones and all, and the requests whose span came.
fn links(simulation: &Simulation, told: &Told) -> (u64, u64, u64) {
    let set = told.links.iter().filter_map(|(request, linked)| Some((*request, (*linked)?)));
    let right = set.clone().filter(|(request, linked)| request == linked).count() as u64;
    let came = told.links.keys().filter(|request| simulation.traced.contains(request)).count() as u64;
    (right, set.count() as u64, came)
}

#[test]
fn whatever_comes_the_invariants_hold() {
    let requests = std::env::var("WHY502_SIMULATION").ok().and_then(|count| count.parse().ok()).unwrap_or(6_000);
    for seed in 1..4 {
        let (simulation, told) = run(seed, requests, false, 1);
        let truth = &simulation.truth;
        let mut wrong: BTreeMap<(String, &str), u64> = BTreeMap::new();
        let (mut right, mut sure, mut sure_right) = (0_u64, 0_u64, 0_u64);
        for (request, (cause, confidence)) in &told.verdicts {
            let fault = truth.get(request).copied().unwrap_or(Fault::None);
            let is_right = fault.right().contains(cause);
            right += u64::from(is_right);
            if *confidence >= 0.9 {
                sure += 1;
                sure_right += u64::from(is_right);
            }
            if !is_right {
                *wrong.entry((format!("{fault:?}"), cause)).or_default() += 1;
            }
        }
        let good = told.verdicts.keys().filter(|request| !truth.contains_key(request)).count();
        assert_eq!(good, 0, "seed {seed}: a verdict on a good request");
        let (failed, found) = (truth.len() as u64, told.verdicts.len() as u64);
        eprintln!(
            "seed {seed}: {failed} failed, {found} told, {right} right, {sure_right} of {sure} sure ones; wrong {wrong:?}"
        );
        let (right_links, set, came) = links(&simulation, &told);
        eprintln!("seed {seed}: {right_links} of {set} links right, {came} spans of failed requests came");
        assert_eq!(right_links, set, "seed {seed}: a failed request has no other's trace");
        assert!(found * 1_000 >= failed * 990, "seed {seed}: {found} of {failed} were told");
        assert!(right * 100 >= found * 95, "seed {seed}: {wrong:?}");
        assert!(sure_right * 1_000 >= sure * 985, "seed {seed}: {sure_right} of {sure}: {wrong:?}");
    }
}

#[test]
fn the_same_input_gives_the_same_words() {
    let words = |seed| run(seed, 2_000, false, 1).1.words;
    assert_eq!(words(7), words(7));
    assert_ne!(words(7), words(8));
}

#[test]
fn links_of_all_requests_are_right() {
    let requests = std::env::var("WHY502_SIMULATION").ok().and_then(|count| count.parse().ok()).unwrap_or(3_000);
    // Without ids the times alone tell how far the clocks are apart.
    for (seed, named) in [(1, 1), (2, 1), (1, 0), (2, 0), (3, 0)] {
        let (simulation, told) = run(seed, requests, true, named);
        let (right, set, came) = links(&simulation, &told);
        let (skew, count) = (simulation.skew[1] / MILLISECOND, told.links.len());
        eprintln!("seed {seed}, {named} of 10 named, {skew} ms: {right} of {set} right, {came} came, {count} told");
        assert!(count as u64 * 1_000 >= simulation.requests * 990, "each request is told");
        assert!(right * 1_000 >= set * 995, "seed {seed}: {right} of {set}");
        assert!(right * 10 >= came * 9, "seed {seed}: {right} of {came}");
    }
}

#[test]
fn failed_requests_get_no_strangers_trace_where_clocks_are_apart() {
    let (mut right, mut came) = (0, 0);
    for seed in 1..5 {
        let (simulation, told) = run(seed, 3_000, false, 0);
        let (of_seed, set, spans) = links(&simulation, &told);
        assert_eq!(of_seed, set, "seed {seed}");
        (right, came) = (right + of_seed, came + spans);
    }
    assert!(right * 10 >= came * 9, "{right} of {came}");
}
