//! A live verdict leaves when nothing that could still change it can come, else after the hold; better evidence later raises
//! its revision.

use std::collections::BTreeMap;
use why502::engine::place::Stream;
use why502::engine::verdict::Ticket;
use why502::engine::{Engine, Output, Record, Settings};
use why502::read::evidence::{Nanos, SECOND};
use why502::read::formats::{Reader, Reading};
use why502::read::time::from_utc;
use why502::read::{SourceMemory, Wanted};

struct Live {
    engine: Engine,
    memories: BTreeMap<u64, SourceMemory>,
    now: Nanos,
    tickets: u64,
    /// Each verdict: how long after the first line, its cause and its revision.
    told: Vec<(i64, &'static str, u32)>,
    begin: Nanos,
}

impl Live {
    fn new() -> Live {
        let begin = from_utc(2026, 3, 4, 9, 15, 3).expect("a date");
        let settings = Settings { settle: Some(SECOND), ..Settings::default() };
        Live {
            engine: Engine::new(settings),
            memories: BTreeMap::new(),
            now: begin,
            tickets: 0,
            told: Vec::new(),
            begin,
        }
    }

    fn line(&mut self, source: u64, text: &str) {
        let memory = self.memories.entry(source).or_default();
        let Reading::Proves(_, evidences) = Reader::default().read(text.as_bytes(), memory, &Wanted::default()) else {
            panic!("{text}");
        };
        for evidence in evidences {
            self.tickets += 1;
            let record =
                Record { ticket: Ticket(self.tickets), stream: Stream::alone(source), observed: self.now, evidence };
            self.engine.handle_record(self.now, record);
        }
    }

    fn wait(&mut self, tenths: i64) {
        for _ in 0..tenths {
            self.now += SECOND / 10;
            self.engine.handle_timeout(self.now);
            while let Some(output) = self.engine.poll_output() {
                if let Output::Verdict(verdict) = output {
                    self.told.push(((self.now - self.begin) / (SECOND / 10), verdict.cause.id, verdict.revision));
                }
            }
        }
    }
}

const ACCESS: u64 = 1;
const ERROR: u64 = 2;
const GUNICORN: u64 = 3;
const KERNEL: u64 = 4;
const OTHER: u64 = 5;

const CUT: &str = "upstream prematurely closed connection while reading response header from upstream";
const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";

fn error(words: &str) -> String {
    format!(
        r#"2026/03/04 09:15:03 [error] 411#411: *7 {words}, client: 198.51.100.20, server: shop.test, request: "GET /a HTTP/1.1", upstream: "http://127.0.0.1:8000/a", host: "shop.test""#
    )
}

const LINE: &str = r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /a HTTP/1.1" 502 157 "-" "curl/8""#;

fn gunicorn(text: &str) -> String {
    format!("[2026-03-04 09:15:03 +0000] [300] {text}")
}

#[test]
fn what_nothing_can_change_leaves_after_a_second() {
    let mut live = Live::new();
    live.line(ERROR, &error(REFUSED));
    live.wait(3);
    live.line(ACCESS, LINE);
    live.wait(120);
    assert_eq!(live.told, [(13, "gunicorn_not_running", 0)], "a second after its last line");
}

/// So many requests of one site that fail at once, each with both of its lines, from connection `first` on.
fn fail(live: &mut Live, sources: (u64, u64), words: &str, first: usize, count: usize) {
    for connection in first..first + count {
        let target = format!("GET /{connection} ");
        let line = error(words).replace("*7 ", &format!("*{connection} ")).replace("GET /a ", &target);
        live.line(sources.0, &line);
        live.line(sources.1, &LINE.replace("GET /a ", &target));
    }
}

#[test]
fn an_outage_is_told_of_as_soon_as_one_failure() {
    let mut live = Live::new();
    fail(&mut live, (ERROR, ACCESS), REFUSED, 10, 3_000);
    live.wait(1);
    let at_once = live.told.len();
    live.wait(120);
    assert_eq!(live.told.len(), 3_000);
    assert!(at_once > 2_000, "what hundreds say needs no second: {at_once}");
    let late = live.told.iter().filter(|(at, ..)| *at > 12).count();
    assert_eq!(late, 0, "the last ones wait no longer than any other: {:?}", live.told.last());
    assert!(live.told.iter().all(|(_, cause, revision)| (*cause, *revision) == ("gunicorn_not_running", 0)));
}

#[test]
fn an_outage_whose_reason_may_still_come_waits_for_it() {
    let mut live = Live::new();
    fail(&mut live, (ERROR, ACCESS), CUT, 10, 3_000);
    live.wait(70);
    assert_eq!(live.told, [], "Gunicorn's log may say why");
    live.wait(50);
    assert_eq!(live.told.len(), 3_000);
}

#[test]
fn what_gunicorn_may_still_explain_waits_for_it() {
    let mut live = Live::new();
    live.line(GUNICORN, &gunicorn("[INFO] Listening at: http://127.0.0.1:8000 (300)"));
    live.line(ERROR, &error(REFUSED));
    live.line(ACCESS, LINE);
    live.wait(120);
    assert_eq!(live.told.len(), 1);
    assert_eq!(live.told[0].0, 80, "the whole hold: {:?}", live.told);
}

#[test]
fn what_one_of_its_logs_has_not_told_of_waits_for_it() {
    let mut live = Live::new();
    live.line(ERROR, &error(REFUSED).replace("GET /a ", "GET /b "));
    live.line(ACCESS, &LINE.replace("/a", "/b"));
    live.line(ACCESS, LINE);
    live.wait(120);
    let at: Vec<i64> = live.told.iter().map(|(at, ..)| *at).collect();
    assert_eq!(at, [10, 80], "the second has no error line: {:?}", live.told);
}

#[test]
fn another_look_takes_no_workers_end_away() {
    for beside in [false, true] {
        let mut live = Live::new();
        let of = |line: &str, number: u32| {
            line.replace("*7 ", &format!("*{number} ")).replace("GET /a ", &format!("GET /{number} "))
        };
        live.line(GUNICORN, &gunicorn("[INFO] Listening at: http://127.0.0.1:8000 (300)"));
        live.line(GUNICORN, &gunicorn("[ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?"));
        live.line(GUNICORN, &gunicorn("[ERROR] Worker (pid:302) was sent SIGSEGV!"));
        if beside {
            // A second service, which ends a worker in the same second.
            let of_other = |text: &str| gunicorn(text).replace("[300]", "[900]");
            live.line(OTHER, &of_other("[INFO] Listening at: http://127.0.0.1:9000 (900)"));
            live.line(OTHER, &of_other("[CRITICAL] WORKER TIMEOUT (pid:901)"));
        }
        [1, 2].iter().for_each(|number| live.line(ERROR, &of(&error(CUT), *number)));
        live.wait(100);
        let told = |live: &Live| -> Vec<&str> { live.told.iter().map(|(_, cause, _)| *cause).collect() };
        let requests = ["worker_killed", "worker_crashed"];
        assert_eq!(told(&live)[..2], requests);
        // The access lines come late, and then the lines of another attempt.
        [1, 2].iter().for_each(|number| live.line(ACCESS, &of(LINE, *number)));
        live.wait(30);
        [1, 2].iter().for_each(|number| live.line(ERROR, &of(&error(CUT), *number)));
        live.wait(30);
        let all = told(&live);
        let again: Vec<&str> = all.into_iter().filter(|cause| requests.contains(cause)).skip(2).collect();
        assert!(!again.is_empty() && again.chunks(2).all(|pair| pair == requests), "beside: {beside}: {:?}", live.told);
    }
}

#[test]
fn a_worker_that_was_killed_was_killed_for_memory_once_the_kernel_says_so() {
    let mut live = Live::new();
    live.line(GUNICORN, &gunicorn("[INFO] Starting gunicorn 23.0.0"));
    live.line(GUNICORN, &gunicorn("[INFO] Booting worker with pid: 301"));
    live.wait(30);
    live.line(ERROR, &error(CUT));
    live.line(ACCESS, LINE);
    live.line(GUNICORN, &gunicorn("[ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?"));
    live.wait(50);
    assert_eq!(live.told, [(40, "worker_killed", 0)]);
    live.line(
        KERNEL,
        "Mar  4 09:15:03 h kernel: Out of memory: Killed process 301 (gunicorn) total-vm:1kB, anon-rss:1kB",
    );
    live.wait(200);
    assert_eq!(live.told[1..], [(90, "worker_oom_killed", 1)], "once, and the line gets no verdict of its own");
}
