//! What is kept of incidents and told of them is bounded, whatever fails.

use super::{Lines, REFUSED, incidents};
use std::process::Command;
use why502::engine::incident::State;
use why502::engine::place::Stream;
use why502::engine::verdict::Ticket;
use why502::engine::{Engine, Output, Record, Settings};
use why502::read::evidence::{Nanos, SECOND};
use why502::read::formats::{Reader, Reading};
use why502::read::time::rfc3339;
use why502::read::{SourceMemory, Wanted};

/// An error line of nginx about a peer that refused.
fn refused(now: Nanos, number: u64, upstream: &str) -> String {
    let stamp = rfc3339(now);
    let (date, clock) = (stamp[..10].replace('-', "/"), &stamp[11..19]);
    format!(
        r#"{date} {clock} [error] 411#411: *{number} connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: s, request: "GET /x/{number} HTTP/1.1", upstream: "http://{upstream}/x/{number}", host: "s""#
    )
}

/// Opened and closed incidents, and the most that were open at once.
fn count(failures: u64, step: Nanos, upstream: impl Fn(u64) -> String) -> (u64, u64, usize) {
    let reader = Reader::default();
    let mut engine = Engine::new(Settings { hold: SECOND, requests_max: 100, ..Settings::default() });
    let mut now = 1_772_615_700 * SECOND;
    let (mut opened, mut closed, mut most) = (0, 0, 0);
    let mut note = |engine: &mut Engine| {
        while let Some(output) = engine.poll_output() {
            if let Output::Incident(incident) = output {
                opened += u64::from(incident.state == State::Opened);
                closed += u64::from(incident.state == State::Closed);
            }
        }
        most = most.max(engine.incident_count());
    };
    for number in 0..failures {
        now += step;
        engine.handle_timeout(now);
        let line = refused(now, number, &upstream(number));
        let reading = reader.read(line.as_bytes(), &mut SourceMemory::default(), &Wanted::default());
        let Reading::Proves(_, evidences) = reading else { panic!("{line}") };
        for evidence in evidences {
            let (ticket, stream) = (Ticket(number), Stream::on_host(1, "one"));
            engine.handle_record(now, Record { ticket, stream, observed: now, evidence });
        }
        note(&mut engine);
    }
    engine.finish(now);
    note(&mut engine);
    assert_eq!(engine.incident_count(), 0);
    (opened, closed, most)
}

#[test]
fn incidents_one_after_the_other_leave_nothing_behind() {
    let failures = 100_000;
    let (opened, closed, most) = count(failures, 100 * SECOND, |_| "10.0.0.1:8000".to_owned());
    assert_eq!((opened, closed), (failures, failures));
    assert!(most <= 2, "{most} open at once");
}

#[test]
fn too_many_at_once_close_early() {
    let failures = 5_000;
    let (opened, closed, most) =
        count(failures, SECOND / 100, |number| format!("10.0.{}.{}:80", number / 250, number % 250));
    assert_eq!((opened, closed), (failures, failures));
    assert_eq!(most, 1_024, "open at once");
}

/// Requests that fail alike, each for a page of its own.
fn storm(requests: u32) -> Lines {
    let mut lines = Lines::default();
    for number in 0..requests {
        lines.fails(number / 200, &format!("/item/{number}"), REFUSED);
    }
    lines
}

/// What `explain` prints of a storm.
fn explained(requests: u32, arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in storm(requests).files() {
        std::fs::write(directory.path().join(name), text).expect("a file");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_why502"));
    command.args(["explain", "access.log", "error.log"]).args(arguments).current_dir(directory.path());
    String::from_utf8(command.output().expect("runs").stdout).expect("UTF-8")
}

#[test]
fn ten_thousand_failures_are_a_page() {
    let page = explained(10_000, &[]);
    assert!(page.lines().count() <= 40, "{} lines\n{page}", page.lines().count());
    assert!(page.starts_with("10,000 failed requests in") && page.contains("9,999 more like it"), "{page}");
}

#[test]
fn each_failure_is_shown_where_that_is_asked_for() {
    for format in ["text", "markdown"] {
        let page = explained(500, &["--format", format]);
        assert!(page.lines().count() <= 40 && page.contains("499 more like it"), "{format}: {page}");
        let each = explained(500, &["--format", format, "--each"]);
        assert!((0..500).all(|number| each.contains(&format!("GET /item/{number}"))), "{format}: {each}");
        assert!(!each.contains("more like it"), "{format}: {each}");
    }
    assert_eq!(explained(500, &["--format", "json", "--each"]), explained(500, &["--format", "json"]));
}

#[test]
fn json_never_groups() {
    let json = explained(2_000, &["--format", "json"]);
    let of = |kind: &str| json.lines().filter(|line| line.contains(&format!(r#""type":"{kind}""#))).count();
    assert_eq!((of("request"), of("failure"), of("incident")), (2_000, 0, 1));
    let incident = json.lines().find(|line| line.contains(r#""type":"incident""#)).expect("an incident");
    let incident: serde_json::Value = serde_json::from_str(incident).expect("JSON");
    assert_eq!(incident["counts"]["cause"]["gunicorn_not_running"], 2_000);
    assert_eq!(incident["counts"]["path"]["/item/*"], 2_000);
    assert_eq!((&incident["origin"], &incident["requests"]), (&"gunicorn_not_running".into(), &2_000.into()));
    assert!(incident.get("cause").is_none() && incident["uid"].is_string(), "{incident}");
}

#[test]
fn pages_without_end_are_counted_together() {
    let mut lines = Lines::default();
    let word = |number: u32| {
        let letter = |by: u32| char::from(b'a' + u8::try_from(number / by % 26).expect("a letter"));
        [letter(676), letter(26), letter(1)].iter().collect::<String>()
    };
    for number in 0..500 {
        lines.fails(number / 50, &format!("/buy/{}", word(number)), REFUSED);
    }
    let found = incidents(&lines, None);
    let [incident] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((incident.tally.paths.rows().len(), incident.tally.paths.others), (32, 468));
    assert_eq!(incident.tally.paths.total(), 500);
}
