//! Stamps without a zone or a year: around the changes of daylight saving time, at midnight, at New Year, on any machine.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;
use std::sync::Arc;
use why502::engine::correlate::spans::SpanRow;
use why502::engine::place::Stream;
use why502::engine::verdict::{LinkMethod, Ticket, Verdict};
use why502::engine::{Engine, Output, Record, Settings};
use why502::enrich::hex;
use why502::read::evidence::{MILLISECOND, Nanos, SECOND};
use why502::read::formats::{Reader, Reading};
use why502::read::time::{from_utc, rfc3339};
use why502::read::{SourceMemory, Wanted};

const HOUR: Nanos = 3_600 * SECOND;

/// `2026-10-25`, `02:30:00` of a UTC time in a zone.
fn local(utc: Nanos, offset: Nanos) -> (String, String) {
    let text = rfc3339(utc + offset);
    (text[..10].to_owned(), text[11..19].to_owned())
}

fn month_name(date: &str) -> &'static str {
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        [date[5..7].parse::<usize>().expect("a month") - 1]
}

/// What nginx writes of one refused request: error line, `combined` access line, JSON access line with `$msec`.
fn refused(number: u32, utc: Nanos, offset: Nanos) -> [String; 3] {
    let (date, clock) = local(utc, offset);
    let hours = offset / HOUR;
    let zone = format!("{}{:02}00", if hours < 0 { '-' } else { '+' }, hours.abs());
    [
        format!(
            r#"{} {clock} [error] 411#411: *{number} connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart/{number} HTTP/1.1", upstream: "http://127.0.0.1:8000/cart/{number}", host: "shop.test""#,
            date.replace('-', "/")
        ),
        format!(
            r#"198.51.100.20 - - [{}/{}/{}:{clock} {zone}] "GET /cart/{number} HTTP/1.1" 502 157 "-" "curl/8.5.0""#,
            &date[8..10],
            month_name(&date),
            &date[..4]
        ),
        format!(
            r#"{{"msec":"{}.300","remote_addr":"198.51.100.20","request":"GET /cart/{number} HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.001","upstream_addr":"127.0.0.1:8000","upstream_status":"502"}}"#,
            utc / SECOND
        ),
    ]
}

/// The verdicts' times, status and causes. A request whose two lines did not meet would be two verdicts.
fn verdicts(files: &[(&str, &str)]) -> Vec<String> {
    told::of(files, |verdict| {
        let records = verdict.records.len();
        format!("{} {:?} {} {records}", rfc3339(verdict.time), verdict.status, verdict.cause.id)
    })
}

/// One request each ten minutes from two hours before a change of the zone to two hours after it.
fn around(change: Nanos, before: Nanos, after: Nanos) -> ([String; 3], Vec<String>) {
    let mut logs = [String::new(), String::new(), String::new()];
    let mut times = Vec::new();
    for step in -12_i32..=12 {
        let utc = change + Nanos::from(step) * 600 * SECOND;
        let offset = if utc < change { before } else { after };
        for (log, line) in logs.iter_mut().zip(refused((step + 20) as u32, utc, offset)) {
            writeln!(log, "{line}").expect("memory");
        }
        times.push(rfc3339(utc));
    }
    (logs, times)
}

fn check_change(change: Nanos, before: Nanos, after: Nanos) {
    let ([error, combined, json], times) = around(change, before, after);
    for (access, fraction) in [(combined, ""), (json, ".300")] {
        let found = verdicts(&[("access.log", &access), ("error.log", &error)]);
        let expected: Vec<String> = times
            .iter()
            .map(|time| format!("{} Some(502) gunicorn_not_running 2", time.replace('Z', &format!("{fraction}Z"))))
            .collect();
        assert_eq!(found, expected, "{before} to {after}");
    }
}

#[test]
fn an_hour_is_missing_in_spring() {
    check_change(from_utc(2026, 3, 29, 1, 0, 0).expect("a date"), HOUR, 2 * HOUR);
    check_change(from_utc(2026, 3, 8, 7, 0, 0).expect("a date"), -5 * HOUR, -4 * HOUR);
}

#[test]
fn an_hour_comes_twice_in_autumn() {
    check_change(from_utc(2026, 10, 25, 1, 0, 0).expect("a date"), 2 * HOUR, HOUR);
    check_change(from_utc(2026, 11, 1, 6, 0, 0).expect("a date"), -4 * HOUR, -5 * HOUR);
}

#[test]
fn around_midnight_in_any_zone() {
    for hours in [-11, -5, 0, 2, 9, 13] {
        let midnight = from_utc(2026, 6, 30, 0, 0, 0).expect("a date") - hours * HOUR;
        let [error, _, _] = refused(1, midnight - SECOND, hours * HOUR);
        // The access line is written a second later: on another day.
        let [_, access, _] = refused(1, midnight, hours * HOUR);
        let expected = vec![format!("{} Some(502) gunicorn_not_running 2", rfc3339(midnight))];
        assert_eq!(verdicts(&[("access.log", &access), ("error.log", &error)]), expected, "{hours}");
    }
}

#[test]
fn a_change_in_the_midst_of_a_large_log_is_found() {
    // Healthy lines fill the access log, so that a look at its first lines sees one zone only.
    let change = from_utc(2026, 10, 25, 1, 0, 0).expect("a date");
    let (mut access, mut error) = (String::new(), String::new());
    for minute in -2_000_i64..2_000 {
        let utc = change + minute * 60 * SECOND;
        let offset = if utc < change { 2 * HOUR } else { HOUR };
        let [error_line, access_line, _] = refused((minute + 3_000) as u32, utc, offset);
        let healthy = access_line.replace("502 157", "200 157").replace("/cart/", "/about/");
        writeln!(access, "{healthy}\n{healthy}").expect("memory");
        if minute.rem_euclid(500) == 77 {
            writeln!(access, "{access_line}").expect("memory");
            writeln!(error, "{error_line}").expect("memory");
        }
    }
    let found = verdicts(&[("access.log", &access), ("error.log", &error)]);
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(found.iter().all(|verdict| verdict.ends_with("Some(502) gunicorn_not_running 2")), "{found:?}");
}

#[test]
fn a_kernel_line_without_a_year_meets_its_request() {
    for (utc, offset) in [(from_utc(2026, 1, 1, 0, 30, 0), HOUR), (from_utc(2024, 2, 29, 12, 0, 0), 0)] {
        let utc = utc.expect("a date");
        let (date, clock) = local(utc, offset);
        let [error, access, _] = refused(1, utc, offset);
        let error = error.replace(
            "connect() failed (111: Connection refused) while connecting to upstream",
            "upstream prematurely closed connection while reading response header from upstream",
        );
        let kernel = format!(
            "{} {:>2} {clock} web kernel: [ 4242.1] Out of memory: Killed process 301 (gunicorn) total-vm:812344kB, anon-rss:502344kB, file-rss:0kB, shmem-rss:0kB\n",
            month_name(&date),
            date[8..10].trim_start_matches('0'),
        );
        let utc_stamp = |text: &str| format!("[{} {} +0000] {text}\n", &rfc3339(utc)[..10], &rfc3339(utc)[11..19]);
        let gunicorn = utc_stamp("[300] [INFO] Listening at: http://127.0.0.1:8000 (300)")
            + &utc_stamp("[300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?");
        let found = verdicts(&[
            ("access.log", &access),
            ("error.log", &error),
            ("gunicorn.log", &gunicorn),
            ("kern.log", &kernel),
        ]);
        assert_eq!(found, [format!("{} Some(502) worker_oom_killed 4", rfc3339(utc))]);
    }
}

#[test]
fn where_no_access_log_tells_the_zone_gunicorn_does() {
    let line = |pid: u32, text: &str| {
        format!("Mar  4 09:15:02 web gunicorn[{pid}]: [2026-03-04 09:15:02 +0200] [{pid}] {text}\n")
    };
    let journal =
        "Mar  4 09:15:02 web kernel: Memory cgroup out of memory: Killed process 301 (gunicorn) total-vm:812344kB\n"
            .to_owned()
            + &line(300, "[ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?");
    let one = verdicts(&[("journal.log", &journal)]);
    assert_eq!(one, ["2026-03-04T07:15:02Z None worker_oom_killed 2"]);
    let cut = cut(1, from_utc(2026, 3, 4, 9, 15, 2).expect("a date"));
    let found = verdicts(&[("error.log", &cut), ("journal.log", &journal)]);
    assert_eq!(found, ["2026-03-04T07:15:02Z None worker_oom_killed 3"]);
}

#[test]
fn a_line_without_a_year_takes_that_of_nginx_which_says_no_zone() {
    let error = cut(1, from_utc(2024, 2, 29, 12, 0, 0).expect("a date"));
    let kernel = "Feb 29 12:00:00 web kernel: gunicorn[301]: segfault at 0 ip 00007f sp 00007f error 4\n";
    let expected = "2024-02-29T12:00:00Z None worker_crashed 2";
    assert_eq!(verdicts(&[("error.log", &error), ("kern.log", kernel)]), [expected]);
    assert_eq!(verdicts(&[("both.log", &(kernel.to_owned() + &error))]), [expected], "the year comes after it");
}

/// nginx's error line of an answer that was cut.
fn cut(number: u32, utc: Nanos) -> String {
    let [error, _, _] = refused(number, utc, 0);
    error.replace(
        "connect() failed (111: Connection refused) while connecting to upstream",
        "upstream prematurely closed connection while reading response header from upstream",
    )
}

fn gunicorn(utc: Nanos, text: &str) -> String {
    let (date, clock) = local(utc, 0);
    format!("[{date} {clock} +0000] {text}")
}

#[test]
fn a_gunicorn_whose_clock_is_wrong_is_understood_in_files() {
    let start = from_utc(2026, 6, 30, 10, 0, 0).expect("a date");
    let at = [3, 106, 177, 264].map(|second| start + second * SECOND);
    for ahead in [37, 0, -130] {
        let log = |line: &dyn Fn(usize, Nanos) -> String| -> String {
            at.iter().enumerate().map(|(index, utc)| line(index, *utc) + "\n").collect()
        };
        let error = log(&|index, utc| cut(index as u32, utc));
        let access = log(&|index, utc| refused(index as u32, utc, 0)[1].clone());
        let workers = log(&|index, utc| {
            let worker = 301 + index;
            let timeout = gunicorn(utc + ahead * SECOND, &format!("[300] [CRITICAL] WORKER TIMEOUT (pid:{worker})"));
            let kill = format!("[300] [ERROR] Worker (pid:{worker}) was sent SIGKILL! Perhaps out of memory?");
            timeout + "\n" + &gunicorn(utc + ahead * SECOND, &kill)
        });
        let found = verdicts(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", &workers)]);
        let expected: Vec<String> =
            at.iter().map(|utc| format!("{} Some(502) worker_timeout 4", rfc3339(*utc))).collect();
        assert_eq!(found, expected, "{ahead} s");
    }
}

/// A live engine that is told lines with when they were seen.
struct Live {
    engine: Engine,
    memories: BTreeMap<u64, SourceMemory>,
    now: Nanos,
    verdicts: Vec<Arc<Verdict>>,
    tickets: u64,
}

impl Live {
    fn new(now: Nanos) -> Live {
        Live {
            engine: Engine::new(Settings::default()),
            memories: BTreeMap::new(),
            now,
            verdicts: Vec::new(),
            tickets: 0,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn line(&mut self, source: u64, text: &str) {
        let reading =
            Reader::default().read(text.as_bytes(), self.memories.entry(source).or_default(), &Wanted::default());
        let Reading::Proves(_, evidences) = reading else { return };
        for evidence in evidences {
            let record = Record { ticket: self.ticket(), stream: Stream::alone(source), observed: self.now, evidence };
            self.engine.handle_record(self.now, record);
        }
    }

    fn span(&mut self, span: SpanRow) {
        let ticket = self.ticket();
        self.engine.handle_spans(self.now, &Default::default(), &[span], &[(0, ticket)]);
    }

    fn wait(&mut self, seconds: i64) {
        self.now += seconds * SECOND;
        self.engine.handle_timeout(self.now);
        while let Some(output) = self.engine.poll_output() {
            if let Output::Verdict(verdict) = output {
                self.verdicts.push(verdict);
            }
        }
    }
}

#[test]
fn a_gunicorn_whose_clock_is_ahead_is_understood_live() {
    for ahead in [0, 40] {
        let mut live = Live::new(from_utc(2026, 6, 30, 10, 0, 0).expect("a date"));
        for worker in 301..308 {
            let worker_says = |text: &str| gunicorn(live.now + ahead * SECOND, text);
            let booting = worker_says(&format!("[{worker}] [INFO] Booting worker with pid: {worker}"));
            live.line(2, &booting);
            live.wait(20);
        }
        live.line(1, &cut(1, live.now));
        live.line(3, &refused(1, live.now, 0)[1]);
        let timeout = gunicorn(live.now + ahead * SECOND, "[300] [CRITICAL] WORKER TIMEOUT (pid:307)");
        live.line(2, &timeout);
        live.wait(30);
        let causes: Vec<&str> = live.verdicts.iter().map(|verdict| verdict.cause.id).collect();
        assert_eq!(causes, ["worker_timeout"], "{ahead} s");
    }
}

#[test]
fn records_that_come_hours_late_are_joined_in_whatever_order_their_files_come() {
    let start = from_utc(2026, 6, 30, 10, 0, 0).expect("a date");
    // Which of the lines of `refused` is the access line: combined has no connection, JSON has its keys.
    for format in [1, 2] {
        for late in [20 * 60, 3_600, 5 * 3_600] {
            for hours in [0, 2, -5] {
                for errors_first in [true, false] {
                    let mut live = Live::new(start + late * SECOND);
                    let both: Vec<[String; 2]> = (1..6)
                        .map(|number| {
                            let lines = refused(number, start + Nanos::from(number) * 7 * SECOND, hours * HOUR);
                            [lines[0].clone(), lines[format].clone()]
                        })
                        .collect();
                    let (first, then) = if errors_first { (0, 1) } else { (1, 0) };
                    both.iter().for_each(|lines| live.line(first as u64, &lines[first]));
                    both.iter().for_each(|lines| live.line(then as u64, &lines[then]));
                    live.wait(60);
                    let told: Vec<_> =
                        live.verdicts.iter().map(|verdict| (verdict.cause.id, verdict.records.len())).collect();
                    let shown = format!("format {format}, {late} s late, {hours} h, errors first: {errors_first}");
                    assert_eq!(told, [("gunicorn_not_running", 2); 5], "{shown}");
                }
            }
        }
    }
}

#[test]
fn a_line_without_a_stamp_among_late_ones_makes_nothing_old() {
    let start = from_utc(2026, 6, 30, 10, 0, 0).expect("a date");
    for beside in [false, true] {
        let mut live = Live::new(start + 8 * 24 * HOUR);
        live.line(2, &gunicorn(start, "[300] [INFO] Listening at: http://127.0.0.1:8000 (300)"));
        for worker in [301, 302] {
            let text = format!("[300] [ERROR] Worker (pid:{worker}) was sent SIGKILL! Perhaps out of memory?");
            live.line(2, &gunicorn(start + Nanos::from(worker - 300) * 20 * SECOND, &text));
        }
        live.line(2, &gunicorn(start + 50 * SECOND, "[303] [ERROR] Error handling request /other"));
        live.line(2, "Traceback (most recent call last):");
        live.line(2, "SystemExit: 1");
        // The spans of a second service, by today's clock.
        if beside {
            live.span(SpanRow { end: live.now, ..SpanRow::default() }.asking("GET", "/invoice"));
        }
        let ended = |number: u32| start + Nanos::from(number) * 20 * SECOND;
        [1, 2].iter().for_each(|number| live.line(1, &cut(*number, ended(*number))));
        (0..20).for_each(|_| live.wait(1));
        // Another look, for the access lines came later still.
        [1, 2].iter().for_each(|number| live.line(3, &refused(*number, ended(*number), 0)[1]));
        (0..20).for_each(|_| live.wait(1));
        let told: BTreeMap<u32, &str> =
            live.verdicts.iter().map(|verdict| (verdict.worker_pid.unwrap_or(0), verdict.cause.id)).collect();
        // The last is of a request that is not in sight.
        let expected = [(301, "worker_killed"), (302, "worker_killed"), (303, "worker_exited")];
        assert_eq!(told, BTreeMap::from(expected), "beside: {beside}");
    }
}

#[test]
fn good_answers_that_come_late_were_given_when_they_say() {
    let start = from_utc(2026, 6, 30, 10, 0, 0).expect("a date");
    let told = |seconds: &[Nanos]| {
        let mut live = Live::new(start + 8 * 24 * HOUR);
        live.line(2, &gunicorn(start, "[300] [INFO] Listening at: http://127.0.0.1:8000 (300)"));
        // Of two upstreams of one nginx the other is down.
        let elsewhere = |line: &str| line.replace(":8000", ":8001");
        live.line(1, &elsewhere(&refused(1, start + 20 * SECOND, 0)[0]));
        live.line(3, &elsewhere(&refused(1, start + 20 * SECOND, 0)[2]));
        live.engine.handle_late_healthy(live.now, &Stream::alone(3), seconds);
        live.wait(60);
        live.verdicts.iter().map(|verdict| verdict.cause.id).collect::<Vec<_>>()
    };
    assert_eq!(told(&[start + 19 * SECOND, start + 25 * SECOND]), ["gunicorn_not_running"]);
    assert_eq!(told(&[]), ["upstream_address_mismatch"]);
}

/// What a client makes of a refused request whose path has a line feed, twice: behind it stand lines that tell of the same
/// request some time later. Then other lines, until what a client can break is over, as nginx cuts a record.
fn with_forged_halves(number: u32, utc: Nanos, later: Nanos) -> [String; 3] {
    let target = format!("/cart/{number}");
    let sent = format!("{target}%0a%0a");
    let [error, access, json] =
        refused(number, utc, 0).map(|line| line.replace(&format!("GET {target} "), &format!("GET {sent} ")));
    let [forged, _, _] =
        refused(number, utc + later, 0).map(|line| line.replace(&format!("GET {target} "), &format!("GET {sent} ")));
    let broken = error.replace(&format!("8000{target}\""), &format!("8000{target}\n{forged}\n{forged}\""));
    assert_ne!(broken, error, "the path was found");
    let (date, clock) = local(utc, 0);
    let other = format!(
        "{} {clock} [warn] 411#411: *{number} a client request body is buffered to a temporary file\n",
        date.replace('-', "/")
    );
    [format!("{broken}\n{}", other.repeat(30)), access, json]
}

#[test]
fn forged_stamps_move_no_clock_live() {
    let mut live = Live::new(from_utc(2026, 6, 30, 10, 0, 0).expect("a date"));
    for number in 1..8 {
        let [error, access, _] = with_forged_halves(number, live.now, 120 * SECOND);
        for line in error.lines() {
            live.line(1, line);
        }
        live.line(3, &access);
        live.wait(20);
    }
    let [error, access, _] = refused(99, live.now, 0);
    live.line(1, &error);
    live.line(3, &access);
    live.wait(20);
    let last: Vec<(usize, Option<u16>)> = live
        .verdicts
        .iter()
        .filter(|verdict| verdict.target == "/cart/99")
        .map(|verdict| (verdict.records.len(), verdict.status))
        .collect();
    assert_eq!(last, [(2, Some(502))], "both of its lines at one time");
}

#[test]
fn forged_stamps_move_no_zone_in_files() {
    let start = from_utc(2026, 6, 30, 10, 0, 0).expect("a date");
    let (mut error, mut combined, mut json) = (String::new(), String::new(), String::new());
    for number in 1..8 {
        let [lines, line, of_json] = with_forged_halves(number, start + Nanos::from(number) * 20 * SECOND, 5 * HOUR);
        // Its user name looks like a stamp of another zone.
        let line = line.replace("- - [", "- [30/Jun/2026:09:00:00 +0900] [");
        writeln!(error, "{lines}").expect("memory");
        writeln!(combined, "{line}").expect("memory");
        writeln!(json, "{of_json}").expect("memory");
    }
    let [last_error, last_combined, last_json] = refused(99, start + 200 * SECOND, 0);
    let error = error + &last_error + "\n";
    // JSON with an epoch says of no zone: there the error log's is what the requests that both tell of say.
    for (access, fraction) in [(combined + &last_combined + "\n", ""), (json + &last_json + "\n", ".300")] {
        let found = verdicts(&[("access.log", &access), ("error.log", &error)]);
        let time = rfc3339(start + 200 * SECOND).replace('Z', &format!("{fraction}Z"));
        assert!(found.contains(&format!("{time} Some(502) gunicorn_not_running 2")), "{found:#?}");
        // Each request at its own time, whatever its user name says.
        assert!(found.iter().all(|verdict| verdict.starts_with("2026-06-30T10:0")), "{found:#?}");
    }
}

#[test]
fn a_span_is_linked_by_timing_across_a_difference_of_clocks_that_ids_have_shown() {
    let linked = |ahead: Nanos, known: u32| {
        let mut live = Live::new(from_utc(2026, 6, 30, 10, 0, 0).expect("a date"));
        for number in 0..=known {
            let trace_id = [number as u8 + 1; 16];
            let with_id = number < known;
            // nginx relays the 503 that the application itself answered.
            let trace = if with_id {
                format!(r#","http_traceparent":"00-{}-{}-01""#, hex(&trace_id), hex(&[9; 8]))
            } else {
                String::new()
            };
            let line = format!(
                r#"{{"msec":"{}.300","remote_addr":"198.51.100.20","request":"GET /cart/{number} HTTP/1.1","status":"503","request_time":"0.100","upstream_addr":"127.0.0.1:8000","upstream_status":"503","upstream_connect_time":"0.000","upstream_header_time":"0.100","upstream_response_time":"0.100"{trace}}}"#,
                live.now / SECOND
            );
            let end = live.now + 299 * MILLISECOND + ahead;
            let span = SpanRow {
                trace_id,
                span_id: [9; 8],
                flags: SpanRow::SERVER,
                start: end - 98 * MILLISECOND,
                end,
                status: 503,
                ..SpanRow::default()
            };
            live.span(span.asking("GET", &format!("/cart/{number}")));
            live.line(1, &line);
            live.wait(20);
        }
        let last = live.verdicts.last().expect("a verdict");
        assert_eq!(live.verdicts.len(), known as usize + 1);
        (last.link.method, last.link.trace.is_some())
    };
    assert_eq!(linked(0, 0), (LinkMethod::Timing, true));
    assert_eq!(linked(400 * MILLISECOND, 2), (LinkMethod::Timing, false), "it could be, and nobody knows");
    assert_eq!(linked(400 * MILLISECOND, 6), (LinkMethod::Timing, true));
    assert_eq!(linked(-2_000 * MILLISECOND, 6), (LinkMethod::Timing, true));
}

#[test]
fn the_zone_of_this_machine_does_not_matter() {
    let directory = tempfile::tempdir().expect("a directory");
    let ([error, combined, _], _) = around(from_utc(2026, 10, 25, 1, 0, 0).expect("a date"), 2 * HOUR, HOUR);
    std::fs::write(directory.path().join("error.log"), error).expect("a file");
    std::fs::write(directory.path().join("access.log"), combined).expect("a file");
    let printed = |zone: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_why502"))
            .args(["explain", "--format", "json", "access.log", "error.log"])
            .current_dir(directory.path())
            .env("TZ", zone)
            .output()
            .expect("why502 runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let expected = printed("UTC");
    let failures = expected.lines().filter(|line| !line.contains(r#""type":"incident""#)).count();
    assert_eq!(failures, 25, "{expected}");
    for zone in ["Asia/Kathmandu", "America/New_York", "Pacific/Chatham"] {
        assert_eq!(printed(zone), expected, "{zone}");
    }
}
