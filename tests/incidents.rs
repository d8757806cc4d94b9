//! Outages: which verdicts are one incident, what is told of it, and which are not mixed into it. Each story is told again
//! with a second service beside it that fails in its own way at the same time and must not matter.

#[path = "incidents/bounds.rs"]
mod bounds;
#[path = "incidents/places.rs"]
mod places;
#[path = "incidents/seeded.rs"]
mod seeded;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use why502::engine::incident::Incident;
use why502::explain::{Options, Told, run_while};
use why502::read::formats::Reader;

/// `09:15:00` and so many seconds.
fn clock(second: u32) -> String {
    format!("{:02}:{:02}:{:02}", 9 + (900 + second) / 3_600, (900 + second) / 60 % 60, second % 60)
}

/// Lines of one service, by file.
#[derive(Clone, Default)]
struct Lines {
    access: Vec<(u32, String)>,
    error: Vec<(u32, String)>,
    gunicorn: Vec<(u32, String)>,
    connections: u32,
}

const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";
const CUT: &str = "upstream prematurely closed connection while reading response header from upstream";
const LATE: &str = "upstream timed out (110: Connection timed out) while reading response header from upstream";

impl Lines {
    /// A Gunicorn with two sync workers, 301 and 302.
    fn served() -> Lines {
        let mut lines = Lines::default();
        for line in [
            "[300] [INFO] Starting gunicorn 23.0.0",
            "[300] [INFO] Listening at: http://127.0.0.1:8000 (300)",
            "[300] [INFO] Using worker: sync",
            "[301] [INFO] Booting worker with pid: 301",
            "[302] [INFO] Booting worker with pid: 302",
        ] {
            lines.gunicorn(0, line);
        }
        lines
    }

    fn gunicorn(&mut self, second: u32, line: &str) -> &mut Lines {
        self.gunicorn.push((second, format!("[2026-03-04 {} +0000] {line}", clock(second))));
        self
    }

    fn access(&mut self, second: u32, target: &str, status: u16, took: u32, upstream: &str) {
        let connection = self.connections;
        let upstream_status = if status == 200 { "200" } else { "502" };
        self.access.push((second, format!(
            r#"{{"msec":"{}.500","pid":"411","connection":"{connection}","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"{status}","body_bytes_sent":"157","request_time":"{took}.000","upstream_addr":"{upstream}","upstream_status":"{upstream_status}","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"{took}.000","upstream_bytes_received":"0"}}"#,
            1_772_615_700 + second
        )));
    }

    fn error(&mut self, second: u32, target: &str, how: &str, upstream: &str) {
        let (clock, connection) = (clock(second), self.connections);
        self.error.push((second, format!(
            r#"2026/03/04 {clock} [error] 411#411: *{connection} {how}, client: 198.51.100.20, server: shop.test, request: "GET {target} HTTP/1.1", upstream: "http://{upstream}{target}", host: "shop.test""#
        )));
    }

    /// Both lines of a request that failed.
    fn fails(&mut self, second: u32, target: &str, how: &str) -> &mut Lines {
        self.fails_at(second, target, how, "127.0.0.1:8000")
    }

    fn fails_at(&mut self, second: u32, target: &str, how: &str, upstream: &str) -> &mut Lines {
        self.connections += 1;
        let (status, took) = if how == LATE { (504, 2) } else { (502, 0) };
        self.error(second, target, how, upstream);
        self.access(second, target, status, took, upstream);
        self
    }

    /// A request that a client gave up.
    fn given_up(&mut self, second: u32, target: &str) -> &mut Lines {
        self.connections += 1;
        self.access.push((second, format!(
            r#"{{"msec":"{}.500","pid":"411","connection":"{}","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"499","body_bytes_sent":"0","request_time":"1.000","upstream_addr":"127.0.0.1:8000","upstream_status":"-","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"1.000","upstream_bytes_received":"0"}}"#,
            1_772_615_700 + second, self.connections
        )));
        self
    }

    fn answers(&mut self, second: u32) -> &mut Lines {
        self.connections += 1;
        self.access(second, "/ok", 200, 0, "127.0.0.1:8000");
        self
    }

    fn times_out(&mut self, second: u32, worker: u32) -> &mut Lines {
        self.gunicorn(second, &format!("[300] [CRITICAL] WORKER TIMEOUT (pid:{worker})"));
        self.gunicorn(second, &format!("[300] [ERROR] Worker (pid:{worker}) was sent SIGKILL! Perhaps out of memory?"));
        self.gunicorn(second, &format!("[{0}] [INFO] Booting worker with pid: {0}", worker + 100))
    }

    fn files(&self) -> [(&'static str, String); 3] {
        let text = |lines: &[(u32, String)]| {
            let mut lines = lines.to_vec();
            lines.sort_by_key(|(second, _)| *second);
            lines.into_iter().map(|(_, line)| line + "\n").collect::<String>()
        };
        [("access.log", text(&self.access)), ("error.log", text(&self.error)), ("gunicorn.log", text(&self.gunicorn))]
    }
}

/// A second service that fails in every way at the same times, with the same pids, connections and address.
fn stranger() -> Lines {
    let mut lines = Lines::served();
    for second in (0..200).step_by(3) {
        lines.fails(second, "/invoice", CUT).fails(second + 1, "/invoice", REFUSED).answers(second + 2);
        lines.times_out(second, 9_000 + second);
    }
    lines
}

/// The incidents in these files, those of the shop alone.
fn incidents(shop: &Lines, stranger: Option<&Lines>) -> Vec<Arc<Incident>> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = Options::default();
    for (folder, lines) in [("shop", Some(shop)), ("billing", stranger)] {
        for (name, text) in lines.into_iter().flat_map(Lines::files).filter(|(_, text)| !text.is_empty()) {
            let path = directory.path().join(folder).join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(&path, text).expect("a file");
            options.files.push(path.display().to_string());
        }
    }
    let (mut found, mut of_shop) = (Vec::new(), BTreeMap::new());
    let totals = run_while(&options, &Reader::default(), |told| {
        match told {
            Told::Good(..) => {}
            Told::Verdict(explained) => {
                let is_of = |ticket, folder: &str| {
                    explained.places.get(ticket).is_some_and(|place| place.file.contains(&format!("/{folder}/")))
                };
                let records = || explained.verdict.records.iter().map(|(_, ticket)| *ticket);
                let label = explained.verdict.incident.clone().expect("each verdict is of an incident");
                let is_shop = records().any(|ticket| is_of(ticket, "shop"));
                assert!(!is_shop || !records().any(|ticket| is_of(ticket, "billing")), "of one service");
                let before = of_shop.insert(label.uid.clone(), is_shop);
                assert!(before.is_none_or(|before| before == is_shop), "two services never have one incident");
            }
            Told::Incident(outage) => found.push(outage.incident),
        }
        ControlFlow::Continue(())
    });
    assert!(totals.problems.is_empty(), "{:?}", totals.problems);
    found.retain(|incident| of_shop.get(&incident.label.uid).copied().unwrap_or_default());
    found.sort_by_key(|incident| (incident.first, incident.label.origin.id));
    found
}

/// `origin, requests+failures: cause count, ...; /path count, ...; end` of each incident.
fn told(lines: &Lines) -> Vec<String> {
    let shown = |incident: &Arc<Incident>| {
        let listed = |rows: Vec<(String, u64)>| {
            rows.iter().map(|(key, count)| format!("{key} {count}")).collect::<Vec<_>>().join(", ")
        };
        let tally = &incident.tally;
        let causes = listed(tally.causes.rows().into_iter().map(|(id, count)| (id.to_owned(), count)).collect());
        // Which of the two it is depends on how long the other service goes on.
        let end = incident.ended.as_ref().map_or("open", |ended| ended.id()).replace("end_of_input", "quiet");
        assert_eq!(tally.causes.total(), tally.total());
        assert!(incident.examples.len() <= 3 && !incident.examples.is_empty());
        assert!(incident.first <= incident.last);
        format!(
            "{}, {}+{}: {causes}; {}; {end}",
            incident.label.origin.id,
            tally.requests,
            tally.failures,
            listed(tally.paths.rows())
        )
    };
    let alone = incidents(lines, None);
    let beside = incidents(lines, Some(&stranger()));
    let shown_alone: Vec<String> = alone.iter().map(shown).collect();
    assert_eq!(beside.iter().map(shown).collect::<Vec<_>>(), shown_alone, "beside a second service");
    let uids = |incidents: &[Arc<Incident>]| -> Vec<String> {
        incidents.iter().map(|incident| incident.label.uid.clone()).collect()
    };
    assert_eq!(uids(&incidents(lines, None)), uids(&alone), "the same again");
    shown_alone
}

#[test]
fn a_database_that_hangs_is_one_incident_with_its_timeouts_queue_and_ghosts() {
    let mut lines = Lines::served();
    lines.answers(1);
    for second in [10, 10] {
        lines.fails(second, "/report/7", CUT);
    }
    lines.times_out(10, 301).times_out(10, 302);
    for number in 0..12 {
        lines.fails(15, &format!("/report/{number}"), LATE);
    }
    lines.fails(16, "/cheap", LATE).fails(31, "/cheap", LATE);
    // nginx had given their requests up.
    lines.times_out(21, 401).times_out(21, 402);
    let told = told(&lines);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("worker_timeout, 16+2: "), "{told:?}");
    assert!(told[0].contains("workers_saturated") && told[0].contains("; /report/* 14, /cheap 2; "), "{told:?}");
    let found = incidents(&lines, None);
    assert_eq!(found[0].began_with.as_deref(), Some("GET /report/*"), "what it began with");
    let evidence = found[0].evidence.as_ref().expect("evidence");
    assert!(evidence.text.starts_with("WORKER TIMEOUT"), "{evidence:?}");
    let causes: Vec<&str> = found[0].examples.iter().map(|example| example.cause.id).collect();
    assert!(causes.contains(&"worker_timeout") && causes.contains(&"workers_saturated"), "{causes:?}");
}

#[test]
fn a_start_before_the_stop_of_the_same_second_ends_no_outage() {
    let story = |returns: bool| {
        let mut lines = Lines::default();
        let start = |lines: &mut Lines, master: u32| {
            lines.gunicorn(3, &format!("[{master}] [INFO] Starting gunicorn 23.0.0"));
            lines.gunicorn(3, &format!("[{master}] [INFO] Listening at: http://127.0.0.1:8000 ({master})"));
            lines.gunicorn(3, &format!("[{0}] [INFO] Booting worker with pid: {0}", master + 1));
        };
        start(&mut lines, 300);
        lines.gunicorn(3, "[300] [INFO] Handling signal: term").gunicorn(3, "[300] [INFO] Shutting down: Master");
        lines.fails(3, "/a", REFUSED);
        if returns {
            start(&mut lines, 310);
        }
        told(&lines)
    };
    assert_eq!(story(false), ["gunicorn_not_running, 1+0: gunicorn_not_running 1; /a 1; quiet"]);
    assert_eq!(story(true), ["gunicorn_restarting, 1+0: gunicorn_restarting 1; /a 1; listening"]);
}

#[test]
fn a_release_that_cannot_start_is_one_incident_with_the_restart_and_the_refusals() {
    let mut lines = Lines::served();
    lines.answers(1).answers(5);
    lines.gunicorn(10, "[300] [INFO] Handling signal: term");
    lines.fails(10, "/a", CUT);
    lines.gunicorn(10, "[300] [INFO] Shutting down: Master").fails(11, "/a", REFUSED);
    for start in [12, 16] {
        lines.gunicorn(start, "[500] [INFO] Starting gunicorn 23.0.0");
        lines.gunicorn(start, "[500] [INFO] Listening at: http://127.0.0.1:8000 (500)");
        lines.gunicorn(start, "[501] [INFO] Booting worker with pid: 501");
        lines.gunicorn(start, "[501] [ERROR] Exception in worker process");
        let traceback = "Traceback (most recent call last):\nModuleNotFoundError: No module named 'broken'";
        lines.gunicorn.push((start, traceback.to_owned()));
        lines.gunicorn(start, "[501] [INFO] Worker exiting (pid: 501)");
        lines.gunicorn(start + 1, "[500] [ERROR] Worker (pid:501) exited with code 3");
        lines.gunicorn(start + 1, "[500] [ERROR] Shutting down: Master");
        lines.gunicorn(start + 1, "[500] [ERROR] Reason: Worker failed to boot.");
        lines.fails(start + 1, "/a", REFUSED).fails(start + 2, "/b", REFUSED);
    }
    lines.gunicorn(20, "[600] [INFO] Starting gunicorn 23.0.0");
    lines.gunicorn(20, "[600] [INFO] Listening at: http://127.0.0.1:8000 (600)");
    lines.answers(21);
    let told = told(&lines);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("worker_boot_failed, 6+"), "{told:?}");
    assert!(told[0].ends_with("; /a 4, /b 2; listening"), "{told:?}");
}

#[test]
fn the_gap_and_the_cuts_of_a_restart_are_one_and_the_next_restart_is_another() {
    let restart = |lines: &mut Lines, second: u32| {
        lines.gunicorn(second, "[300] [INFO] Handling signal: term");
        lines.fails(second, "/a", CUT).fails(second + 1, "/a", REFUSED);
        lines.gunicorn(second + 1, "[300] [INFO] Shutting down: Master");
        lines.gunicorn(second + 2, "[300] [INFO] Starting gunicorn 23.0.0");
        lines.gunicorn(second + 2, "[300] [INFO] Listening at: http://127.0.0.1:8000 (300)");
    };
    let mut lines = Lines::served();
    restart(&mut lines, 10);
    lines.answers(14).answers(20);
    restart(&mut lines, 40);
    lines.answers(44);
    let one = "gunicorn_restarting, 2+0: gunicorn_restarting 2; /a 2; listening";
    assert_eq!(told(&lines), [one, one]);
    // Where nobody was answered well between them nothing shows that it had recovered.
    let mut lines = Lines::served();
    restart(&mut lines, 10);
    restart(&mut lines, 40);
    assert_eq!(told(&lines), ["gunicorn_restarting, 4+0: gunicorn_restarting 4; /a 4; listening"]);
}

#[test]
fn unrelated_failures_at_the_same_time_are_not_mixed() {
    let mut lines = Lines::served();
    for second in [10, 20, 30] {
        lines.answers(second).fails(second, "/slow", LATE);
        lines.fails_at(second + 1, "/blog", REFUSED, "127.0.0.1:9000");
        lines.given_up(second + 2, "/impatient");
    }
    let told = told(&lines);
    let origins: Vec<&str> = told.iter().map(|told| told.split(':').next().unwrap_or_default()).collect();
    assert_eq!(origins, ["slow_request, 3+0", "gunicorn_not_running, 3+0", "client_closed_request, 3+0"], "{told:#?}");
}

#[test]
fn two_upstreams_of_one_nginx_are_two_applications_unless_one_request_tried_both() {
    let mut lines = Lines::default();
    for second in [10, 11, 12] {
        lines.fails_at(second, "/a", REFUSED, "10.0.0.1:8000").fails_at(second, "/b", REFUSED, "10.0.0.2:8000");
    }
    assert_eq!(told(&lines).len(), 2, "{:#?}", told(&lines));
    let mut lines = Lines::default();
    for second in [10, 11, 12] {
        lines.connections += 1;
        lines.error(second, "/a", REFUSED, "10.0.0.1:8000");
        lines.error(second, "/a", REFUSED, "10.0.0.2:8000");
        lines.access(second, "/a", 502, 0, "10.0.0.1:8000, 10.0.0.2:8000");
        lines.fails_at(second, "/a", REFUSED, "10.0.0.1:8000");
    }
    assert_eq!(told(&lines).len(), 1, "{:#?}", told(&lines));
}

#[test]
fn what_is_quiet_for_long_is_over() {
    for (gap, count) in [(80, 1), (100, 2)] {
        let mut lines = Lines::default();
        lines.fails(10, "/a", REFUSED).fails(10 + gap, "/a", REFUSED);
        assert_eq!(told(&lines).len(), count, "{gap} s");
    }
}

#[test]
fn a_memory_leak_is_not_the_start_before_it() {
    let mut lines = Lines::default();
    lines.fails(0, "/ok", REFUSED);
    lines.gunicorn(1, "[300] [INFO] Starting gunicorn 23.0.0");
    lines.gunicorn(1, "[300] [INFO] Listening at: http://127.0.0.1:8000 (300)");
    lines.gunicorn(1, "[301] [INFO] Booting worker with pid: 301");
    lines.answers(2).answers(8);
    for (second, worker) in [(10, 301), (20, 302)] {
        lines.fails(second, "/leak", CUT).answers(second + 1);
        lines
            .gunicorn(second, &format!("[300] [ERROR] Worker (pid:{worker}) was sent SIGKILL! Perhaps out of memory?"));
        lines.gunicorn(second, &format!("[{0}] [INFO] Booting worker with pid: {0}", worker + 1));
    }
    assert_eq!(
        told(&lines),
        [
            "gunicorn_not_running, 1+0: gunicorn_not_running 1; /ok 1; listening",
            "worker_killed, 2+0: worker_killed 2; /leak 2; booting"
        ]
    );
}
