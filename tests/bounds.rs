//! What the engine keeps is bounded whatever comes in.

use why502::engine::place::Stream;
use why502::engine::verdict::Ticket;
use why502::engine::{Engine, Output, Record, Settings};
use why502::read::evidence::SECOND;
use why502::read::formats::{Reader, Reading};
use why502::read::{SourceMemory, Wanted};

/// Requests that fail, some in each second; returns verdicts, and the most requests and records that were kept at once.
fn outage(settings: Settings, requests: u64, each_second: u64) -> (usize, usize, usize) {
    let reader = Reader::default();
    let mut memory = SourceMemory::default();
    let mut engine = Engine::new(settings);
    let (mut verdicts, mut kept, mut held) = (0, 0, 0);
    let mut count = |engine: &mut Engine| {
        while let Some(output) = engine.poll_output() {
            verdicts += usize::from(matches!(output, Output::Verdict(_)));
        }
    };
    let mut now = 0;
    for number in 0..requests {
        let second = number / each_second;
        let line = format!(
            r#"198.51.100.7 - - [04/Mar/2026:09:{:02}:{:02} +0000] "GET /p/{number} HTTP/1.1" 502 157 "-" "x""#,
            second / 60,
            second % 60
        );
        let Reading::Proves(_, evidences) = reader.read(line.as_bytes(), &mut memory, &Wanted::default()) else {
            panic!("{line}")
        };
        for evidence in evidences {
            now = evidence.stamp.map_or(now, |stamp| stamp.nanos);
            engine.handle_timeout(now);
            engine
                .handle_record(now, Record { ticket: Ticket(number), stream: Stream::alone(1), observed: 0, evidence });
        }
        count(&mut engine);
        kept = kept.max(engine.request_count());
        held = held.max(engine.held_count());
    }
    engine.finish(now);
    count(&mut engine);
    (verdicts, kept, held)
}

#[test]
fn requests_of_an_outage() {
    let settings = Settings { hold: 60 * SECOND, requests_max: 50, ..Settings::default() };
    let (verdicts, kept, held) = outage(settings, 3_000, 20);
    assert_eq!(verdicts, 3_000, "each failed request gets one verdict");
    assert!(kept <= 102 && held <= 51, "{kept} requests, {held} records");
    // Few enough to wait and to be remembered as long as they should.
    let settings = Settings { hold: 5 * SECOND, requests_max: 5_000, ..Settings::default() };
    let (verdicts, kept, held) = outage(settings, 3_000, 20);
    assert_eq!(verdicts, 3_000);
    assert!((1_250..=1_350).contains(&kept) && (90..=130).contains(&held), "{kept} requests, {held} records");
}

/// What is said of a few requests of one host while a crowd of others writes, each once or in turns.
struct Crowd {
    engine: Engine,
    reader: Reader,
    now: i64,
    tickets: u64,
    /// Verdicts on the requests of the one host, and of the crowd.
    told: Vec<String>,
    others: usize,
    sites_max: usize,
}

impl Crowd {
    fn new(settings: Settings) -> Crowd {
        let now = 1_772_615_700 * SECOND;
        let engine = Engine::new(settings);
        Crowd { engine, reader: Reader::default(), now, tickets: 0, told: Vec::new(), others: 0, sites_max: 0 }
    }

    fn line(&mut self, stream: &Stream, line: &str) {
        let reading = self.reader.read(line.as_bytes(), &mut SourceMemory::default(), &Wanted::default());
        let Reading::Proves(_, evidences) = reading else { panic!("{line}") };
        for evidence in evidences {
            self.tickets += 1;
            let (ticket, stream, observed) = (Ticket(self.tickets), stream.clone(), self.now);
            self.engine.handle_record(self.now, Record { ticket, stream, observed, evidence });
        }
    }

    fn refused(&mut self, stream: &Stream, target: &str) {
        let stamp = why502::read::time::rfc3339(self.now);
        let (date, clock) = (stamp[..10].replace('-', "/"), &stamp[11..19]);
        self.line(stream, &format!(
            r#"{date} {clock} [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: s, request: "GET {target} HTTP/1.1", upstream: "http://127.0.0.1:8000{target}", host: "s""#
        ));
    }

    /// A request of the one host is cut as its Gunicorn times a worker out.
    fn timed_out(&mut self, number: u64) {
        let stamp = why502::read::time::rfc3339(self.now);
        let (date, clock) = (&stamp[..10], &stamp[11..19]);
        let (nginx, gunicorn) = (Stream::on_host(1, "the-one"), Stream::on_host(2, "the-one"));
        self.line(
            &gunicorn,
            &format!("[{date} {clock} +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:{})", 1_000 + number),
        );
        self.line(&nginx, &format!(
            r#"{} {clock} [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: s, request: "GET /the-one/{number} HTTP/1.1", upstream: "http://127.0.0.1:8000/the-one/{number}", host: "s""#,
            date.replace('-', "/")
        ));
    }

    fn pass(&mut self, nanos: i64) {
        self.now += nanos;
        self.engine.handle_timeout(self.now);
        self.sites_max = self.sites_max.max(self.engine.site_count());
        self.note();
    }

    fn note(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            let Output::Verdict(verdict) = output else { continue };
            if verdict.target.starts_with("/the-one/") {
                self.told.push(format!("{} {:?}", verdict.cause.id, verdict.worker_pid));
            } else {
                self.others += 1;
            }
        }
    }

    fn finish(&mut self) {
        self.engine.finish(self.now);
        self.note();
    }
}

fn expected(count: u64) -> Vec<String> {
    (0..count).map(|number| format!("worker_timeout Some({})", 1_000 + number)).collect()
}

#[test]
fn a_crowd_of_sites_costs_no_more_than_those_in_sight_and_takes_nobody_elses_verdicts() {
    let mut crowd = Crowd::new(Settings { hold: 2 * SECOND, ..Settings::default() });
    let sites = 30_000;
    for number in 0..sites {
        if number % 1_000 == 0 {
            crowd.timed_out(number / 1_000);
        }
        // Each host is heard of once: by a failure of nginx, or by a Gunicorn that may be anybody's.
        let stream = Stream::on_host(number + 10, &format!("host-{number}"));
        if number % 3 == 0 {
            crowd.refused(&stream, "/x");
        } else {
            let stamp = why502::read::time::rfc3339(crowd.now);
            let line = format!("[{} {} +0000] [1] [CRITICAL] WORKER TIMEOUT (pid:7)", &stamp[..10], &stamp[11..19]);
            crowd.line(&stream, &line);
        }
        crowd.pass(SECOND / 1_000);
    }
    crowd.finish();
    assert_eq!(crowd.told, expected(30));
    assert!(crowd.sites_max <= 4_097, "{} sites", crowd.sites_max);
    assert!(crowd.others >= sites as usize / 3, "{} verdicts of others", crowd.others);
    assert_eq!((crowd.engine.held_count(), crowd.engine.open_count()), (0, 0), "everything went on");
}

#[test]
fn a_site_at_a_hundred_times_the_rate_of_the_others_takes_none_of_their_time() {
    // So few at once that the storm alone would push everything out.
    let mut crowd = Crowd::new(Settings { hold: 2 * SECOND, requests_max: 100, ..Settings::default() });
    let storm = Stream::on_host(9, "storm");
    for number in 0..4_000 {
        if number % 100 == 0 {
            crowd.timed_out(number / 100);
        }
        crowd.refused(&storm, &format!("/x/{number}"));
        crowd.pass(SECOND / 100);
    }
    crowd.finish();
    assert_eq!(crowd.told, expected(40));
    assert_eq!(crowd.others, 4_000, "each failed request gets one verdict");
}

#[test]
fn sites_that_alternate_keep_what_they_know() {
    let mut crowd = Crowd::new(Settings { hold: 2 * SECOND, ..Settings::default() });
    let streams: Vec<Stream> = (0..500).map(|number| Stream::on_host(number + 10, &format!("host-{number}"))).collect();
    for round in 0..10 {
        crowd.timed_out(round);
        for stream in &streams {
            crowd.refused(stream, &format!("/x/{round}"));
        }
        crowd.pass(SECOND);
    }
    crowd.finish();
    assert_eq!(crowd.told, expected(10));
    assert_eq!(crowd.others, 5_000);
    assert_eq!(crowd.sites_max, 501);
}

#[test]
fn what_was_decided_is_remembered_within_one_limit_and_nobody_pushes_out_anothers() {
    let mut crowd = Crowd::new(Settings { hold: 2 * SECOND, ..Settings::default() });
    crowd.timed_out(0);
    crowd.pass(3 * SECOND);
    assert_eq!(crowd.told, expected(1));
    // Some sites, and then most of those that there may be.
    let mut storm = |sites: u64, rounds: u64| {
        let mut most = 0;
        for round in 0..rounds {
            for number in 0..sites {
                crowd.refused(&Stream::on_host(number + 10, &format!("host-{number}")), &format!("/x/{round}"));
            }
            crowd.pass(SECOND / 20);
            most = most.max(crowd.engine.request_count() - crowd.engine.open_count());
        }
        most
    };
    let (of_some, of_many) = (storm(40, 400), storm(3_000, 10));
    assert!((4_000..4_200).contains(&of_some), "{of_some} decided requests are remembered of 40 sites");
    assert!((4_000..=8_192).contains(&of_many), "{of_many} decided requests are remembered of 3,000 sites");
    // Its access line comes late, and finds the verdict.
    let nginx = Stream::on_host(1, "the-one");
    crowd.line(&nginx, r#"198.51.100.20 - - [04/Mar/2026:09:15:00 +0000] "GET /the-one/0 HTTP/1.1" 502 157 "-" "x""#);
    crowd.finish();
    assert_eq!(crowd.told, [expected(1), expected(1)].concat(), "it is told again, with its status");
}

#[test]
fn an_outage_of_which_nothing_more_may_come_is_soon_forgotten_and_what_a_line_may_still_join_is_not() {
    let settings = Settings { hold: 2 * SECOND, settle: Some(SECOND), ..Settings::default() };
    let mut crowd = Crowd::new(settings);
    crowd.timed_out(0);
    crowd.pass(3 * SECOND);
    let (errors, access) = (Stream::on_host(3, "beside"), Stream::on_host(4, "beside"));
    let mut most = 0;
    for number in 0..3_000 {
        let target = format!("/x/{number}");
        crowd.refused(&errors, &target);
        let stamp = why502::read::time::rfc3339(crowd.now);
        let clock = &stamp[11..19];
        let line = format!(r#"198.51.100.20 - - [04/Mar/2026:{clock} +0000] "GET {target} HTTP/1.1" 502 157 "-" "x""#);
        crowd.line(&access, &line);
        crowd.pass(SECOND / 200);
        most = most.max(crowd.engine.request_count() - crowd.engine.open_count());
    }
    crowd.pass(5 * SECOND);
    assert_eq!(crowd.others, 3_000, "each has its verdict");
    assert!((500..600).contains(&most), "{most} decided requests are remembered");
    // Its access line comes late, and finds the verdict.
    let nginx = Stream::on_host(1, "the-one");
    crowd.line(&nginx, r#"198.51.100.20 - - [04/Mar/2026:09:15:00 +0000] "GET /the-one/0 HTTP/1.1" 502 157 "-" "x""#);
    crowd.finish();
    assert_eq!(crowd.told, [expected(1), expected(1)].concat(), "it is told again, with its status");
    assert_eq!(crowd.others, 3_000, "none is told twice");
}

#[test]
fn an_outage_of_others_keeps_nobody_from_hearing_what_the_kernel_says_of_a_worker() {
    let settings = Settings { hold: 2 * SECOND, settle: Some(SECOND), ..Settings::default() };
    let mut crowd = Crowd::new(settings);
    let whole = |crowd: &mut Crowd, host: &str, number: u64, target: &str, words: &str| {
        let stamp = why502::read::time::rfc3339(crowd.now);
        let (date, clock) = (stamp[..10].replace('-', "/"), &stamp[11..19]);
        let error = format!(
            r#"{date} {clock} [error] 411#411: *7 {words}, client: 198.51.100.20, server: s, request: "GET {target} HTTP/1.1", upstream: "http://127.0.0.1:8000{target}", host: "s""#
        );
        let access =
            format!(r#"198.51.100.20 - - [04/Mar/2026:{clock} +0000] "GET {target} HTTP/1.1" 502 157 "-" "x""#);
        crowd.line(&Stream::on_host(number, host), &error);
        crowd.line(&Stream::on_host(number + 1, host), &access);
    };
    let (gunicorn, kernel) = (Stream::on_host(3, "the-one"), Stream::on_host(4, "the-one"));
    crowd.line(&gunicorn, "[2026-03-04 09:15:00 +0000] [300] [INFO] Starting gunicorn 23.0.0");
    crowd.line(&gunicorn, "[2026-03-04 09:15:00 +0000] [300] [INFO] Booting worker with pid: 301");
    let cut = "upstream prematurely closed connection while reading response header from upstream";
    whole(&mut crowd, "the-one", 1, "/the-one/0", cut);
    crowd.line(
        &gunicorn,
        "[2026-03-04 09:15:00 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?",
    );
    crowd.pass(2 * SECOND);
    // More than are remembered of what is over, in forty sites and in its own.
    let unreachable = "connect() failed (113: No route to host) while connecting to upstream";
    for round in 0..20 {
        let target = format!("/x/{round}");
        for number in 1..=40 {
            whole(&mut crowd, &format!("host-{number}"), 10 * number, &target, unreachable);
        }
        whole(&mut crowd, "the-one", 1, &target, unreachable);
    }
    crowd.pass(2 * SECOND);
    assert_eq!((crowd.others, crowd.told.as_slice()), (820, ["worker_killed Some(301)".to_owned()].as_slice()));
    crowd.line(
        &kernel,
        "Mar  4 09:15:00 h kernel: Out of memory: Killed process 301 (gunicorn) total-vm:1kB, anon-rss:1kB",
    );
    crowd.pass(10 * SECOND);
    crowd.finish();
    assert_eq!(crowd.told[1..], ["worker_oom_killed Some(301)"]);
    assert_eq!(crowd.others, 820, "none is told twice");
}

#[test]
fn a_site_that_is_forgotten_lets_its_good_requests_go() {
    let mut engine = Engine::new(Settings { link_all: true, ..Settings::default() });
    let (mut wanted, reader) = (Wanted::default(), Reader::default());
    wanted.want_all();
    let now = 1_772_615_700 * SECOND;
    let line = br#"198.51.100.7 - - [04/Mar/2026:09:15:00 +0000] "GET /p HTTP/1.1" 200 157 "-" "x""#;
    for number in 0..5_000 {
        let Reading::Proves(_, evidences) = reader.read(line, &mut SourceMemory::default(), &wanted) else {
            panic!("a good request that is asked for");
        };
        for evidence in evidences {
            let stream = Stream::on_host(number, &format!("host-{number}"));
            engine.handle_record(now, Record { ticket: Ticket(number), stream, observed: now, evidence });
        }
    }
    assert!(engine.site_count() < 5_000, "some were forgotten");
    engine.finish(now);
    let mut released = 0;
    while let Some(output) = engine.poll_output() {
        released += usize::from(matches!(output, Output::Release { .. }));
    }
    assert_eq!((released, engine.held_count()), (5_000, 0));
}
