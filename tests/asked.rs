//! One look at all files of a host, sent as one request: an access line that looks good stands before the error line that says
//! otherwise. Each story is told beside a second service that must not matter.

use std::collections::BTreeMap;
use std::sync::Arc;
use why502::engine::verdict::{Ticket, Verdict};
use why502::engine::{Decision, Engine, Output, Record, Settings};
use why502::otlp::{Attribute, NewRecord, RequestWriter, Surroundings, resource, scope};
use why502::read::Wanted;
use why502::read::formats::Reader;
use why502::scan;
use why502::scan::place::Sites;
use why502::scan::streams::Memories;

const SECOND: u64 = 1_772_615_703_000_000_000;
const ACCESS: &str = "/var/log/nginx/access.log";
const ERROR: &str = "/var/log/nginx/error.log";
const CUT: &str = "upstream prematurely closed connection while reading upstream";
const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";

/// An access line as one of nginx's JSON formats has it, of pid 411, so many milliseconds after the second.
fn rich(connection: u64, millis: u64, target: &str, status: &str, protocol: &str) -> String {
    let attempts = if status.contains(',') { "127.0.0.1:8000, 127.0.0.1:8001" } else { "127.0.0.1:8000" };
    let last = status.rsplit(", ").next().unwrap_or_default();
    format!(
        r#"{{"msec":"1772615703.{millis:03}","pid":"411","connection":"{connection}","remote_addr":"198.51.100.20","request":"GET {target} {protocol}","status":"{last}","body_bytes_sent":"20000","request_time":"0.031","upstream_addr":"{attempts}","upstream_status":"{status}"}}"#
    )
}

fn combined(target: &str, status: u16) -> String {
    format!(r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET {target} HTTP/1.1" {status} 20000 "-" "curl/8""#)
}

fn error(connection: u64, words: &str, target: &str) -> String {
    format!(
        r#"2026/03/04 09:15:03 [error] 411#411: *{connection} {words}, client: 198.51.100.20, server: shop.test, request: "GET {target} HTTP/1.1", upstream: "http://127.0.0.1:8000{target}", host: "shop.test""#
    )
}

/// Lines of a host with their files.
type Lines<'a> = Vec<(&'a str, String)>;

/// Lines of each host in one request, in this order.
fn request(hosts: &[(&str, &Lines<'_>)]) -> Vec<u8> {
    let mut writer = RequestWriter::new();
    for (host, lines) in hosts {
        let surroundings = Surroundings::new(&resource(&[Attribute::new("host.name", *host)]), &scope("tail", ""));
        for (path, body) in *lines {
            let file = [Attribute::new("log.file.path", *path)];
            let record =
                NewRecord { body, attributes: &file, observed_time: SECOND + 700_000_000, ..NewRecord::default() };
            writer.push(&surroundings, &record.encode());
        }
    }
    writer.finish()
}

/// Each line that waited, with what was said of it; those that did not wait are not there.
fn told(requests: &[Vec<u8>]) -> Vec<(String, Option<Arc<Verdict>>)> {
    let memories = Memories::default();
    // As in a pipeline.
    let mut engine = Engine::new(Settings { finds_good: false, ..Settings::default() });
    let now = (SECOND + 800_000_000) as i64;
    let mut waiting = BTreeMap::new();
    let mut told = Vec::new();
    let mut numbers = 0..;
    for request in requests {
        let scanned = scan::logs(request, &Reader::default(), &memories, &Sites::default(), &engine.wanted(), |_| true)
            .expect("everything is admitted");
        for answers in &scanned.healthy {
            engine.handle_healthy(now, &answers.stream, answers.count);
        }
        for (found, number) in scanned.found.into_iter().zip(&mut numbers) {
            let text = String::from_utf8_lossy(&request[found.range.clone()]).into_owned();
            let [evidence] = <[_; 1]>::try_from(found.evidences).expect("each line proves one thing");
            let ticket = Ticket(number);
            let record = Record { ticket, stream: found.stream, observed: found.observed, evidence };
            if engine.handle_record(now, record) != Decision::Pass {
                waiting.insert(ticket, text);
            }
        }
    }
    engine.finish(now + 20_000_000_000);
    while let Some(output) = engine.poll_output() {
        if let Output::Release { ticket, verdict } = output
            && let Some(text) = waiting.remove(&ticket)
        {
            told.push((text, verdict));
        }
    }
    assert!(waiting.is_empty(), "each is released");
    told
}

/// Of these lines of the shop's the cause that is said of it, if any; alone, and before and behind a second service that has the
/// same connections and paths, all of whose requests went well.
fn check(name: &str, lines: &Lines<'_>, expected: &[Option<&str>]) {
    let well: Lines<'_> = lines.iter().filter(|(path, _)| *path == ACCESS).cloned().collect();
    let shop = ("shop", lines);
    for hosts in [vec![shop], vec![shop, ("blog", &well)], vec![("blog", &well), shop]] {
        let told = told(&[request(&hosts)]);
        let of_line = |line: &String| {
            let mut of_it = told.iter().filter(|(text, _)| text.contains(line));
            of_it.find_map(|(_, verdict)| verdict.as_ref().map(|one| one.cause.id))
        };
        let found: Vec<Option<&str>> = lines.iter().map(|(_, line)| of_line(line)).collect();
        assert_eq!(found, expected, "{name}, of {} hosts", hosts.len());
        // The other's lines are the same, and nothing is said of them.
        let all = told.iter().filter(|(_, verdict)| verdict.is_some()).count();
        assert_eq!(all, expected.iter().flatten().count(), "{name}, of {} hosts", hosts.len());
    }
}

const TOLD: Option<&str> = Some("response_truncated");

#[test]
fn an_answer_that_was_cut_off_looks_good() {
    let lines = vec![
        (ACCESS, rich(6, 100, "/cart", "200", "HTTP/1.1")),
        // The same request before, on the same connection.
        (ACCESS, rich(7, 110, "/cart", "200", "HTTP/1.1")),
        (ACCESS, rich(7, 310, "/cart", "200", "HTTP/1.1")),
        (ACCESS, rich(8, 400, "/cart", "200", "HTTP/1.1")),
        (ERROR, error(7, CUT, "/cart")),
    ];
    check("before its error line", &lines, &[None, None, TOLD, None, TOLD]);
    let mut behind = lines;
    behind.rotate_right(1);
    check("behind it", &behind, &[TOLD, None, None, TOLD, None]);
}

#[test]
fn without_connections_the_request_line_tells() {
    let lines = vec![(ACCESS, combined("/", 200)), (ACCESS, combined("/cart", 200)), (ERROR, error(7, CUT, "/cart"))];
    check("combined", &lines, &[None, TOLD, TOLD]);
}

#[test]
fn of_streams_of_one_connection_nobody_knows_which_was_cut_off() {
    let two = |protocol: &str| {
        vec![
            (ACCESS, rich(7, 110, "/cart", "200", protocol)),
            (ACCESS, rich(7, 310, "/cart", "200", protocol)),
            (ERROR, error(7, CUT, "/cart")),
        ]
    };
    check("HTTP/1.1 closes it", &two("HTTP/1.1"), &[None, TOLD, TOLD]);
    check("HTTP/2 does not", &two("HTTP/2.0"), &[None, None, TOLD]);
    let mut one = two("HTTP/2.0");
    one.remove(0);
    check("where there is one, it is that", &one, &[TOLD, TOLD]);
}

#[test]
fn a_request_that_another_peer_took_did_not_fail() {
    let lines = vec![
        (ACCESS, rich(7, 110, "/cart", "200", "HTTP/1.1")),
        (ACCESS, rich(7, 310, "/cart", "502, 200", "HTTP/1.1")),
        (ACCESS, rich(7, 410, "/cart", "200", "HTTP/1.1")),
        (ERROR, error(7, REFUSED, "/cart")),
    ];
    check("a retry", &lines, &[None, None, None, None]);
    let told = told(&[request(&[("shop", &lines)])]);
    let waited: Vec<bool> = lines.iter().map(|(_, line)| told.iter().any(|(text, _)| text.contains(line))).collect();
    assert_eq!(waited, [false, true, false, true], "the line of both attempts is its own");
}

#[test]
fn a_line_that_went_on_before_its_error_line_came_is_no_evidence() {
    let good = vec![(ACCESS, rich(7, 110, "/cart", "200", "HTTP/1.1"))];
    let told_of = |words: &str| {
        let errors = vec![(ERROR, error(7, words, "/cart"))];
        let told = told(&[request(&[("shop", &good), ("blog", &good)]), request(&[("shop", &errors)])]);
        let [(_, verdict)] = told.try_into().expect("the error line alone waited");
        verdict.map(|verdict| verdict.cause.id)
    };
    assert_eq!(told_of(CUT), TOLD, "the answer was cut off, whatever its line says");
    assert_eq!(told_of(REFUSED), None, "another peer may have answered");
}

#[test]
fn what_agents_put_before_lines_hides_none() {
    let cri = |line: String| format!("2026-03-04T09:15:03.123456789Z stdout F {line}");
    let lines = vec![
        (ACCESS, cri(combined("/", 200))),
        (ACCESS, cri(combined("/cart", 200))),
        (ERROR, cri(error(7, CUT, "/cart"))),
    ];
    check("containerd", &lines, &[None, TOLD, TOLD]);
}

#[test]
fn where_each_has_its_access_line_nothing_is_asked() {
    let good: Lines<'_> = (0..100).map(|number| (ACCESS, rich(number, 100, "/cart", "200", "HTTP/1.1"))).collect();
    let failed = (ACCESS, rich(207, 310, "/cart", "502", "HTTP/1.1"));
    let lines = [good, vec![failed, (ERROR, error(207, REFUSED, "/cart"))]].concat();
    let bytes = request(&[("shop", &lines)]);
    let found =
        scan::logs(&bytes, &Reader::default(), &Memories::default(), &Sites::default(), &Wanted::default(), |_| true);
    assert_eq!(found.expect("room").found.len(), 2);
}

#[test]
fn good_lines_of_one_path_without_end() {
    let good: Lines<'_> = (0..5_000).map(|_| (ACCESS, combined("/health", 200))).collect();
    let lines = [good, vec![(ERROR, error(7, CUT, "/health"))]].concat();
    let bytes = request(&[("shop", &lines)]);
    let scan = |room: usize| {
        let mut taken = 0;
        let admit = |_: &scan::FoundRecord| {
            taken += 1;
            taken <= room
        };
        scan::logs(&bytes, &Reader::default(), &Memories::default(), &Sites::default(), &Wanted::default(), admit)
    };
    assert_eq!(scan(usize::MAX).expect("room").found.len(), 1_025);
    assert_eq!(scan(10).expect("room for the error line, which is what counts").found.len(), 10);
    assert!(scan(0).is_none());
}
