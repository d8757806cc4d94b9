//! Several applications behind one nginx: whose words explain a request, where no address says it.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use why502::engine::verdict::Verdict;

/// An error line of nginx about a request to this server, in this second.
fn error(second: u32, connection: u32, message: &str, action: &str, path: &str, upstream: &str) -> String {
    format!(
        "2026/03/04 09:15:{second:02} [error] 411#411: *{connection} {message} while {action}, client: 198.51.100.20, server: \
         www.test, request: \"GET {path} HTTP/1.1\", upstream: \"http://{upstream}{path}\", host: \"www.test\"\n"
    )
}

fn cut(second: u32, path: &str, upstream: &str) -> String {
    let message = "upstream prematurely closed connection";
    error(second, 7, message, "reading response header from upstream", path, upstream)
}

fn gunicorn(second: u32, pid: u32, text: &str) -> String {
    format!("[2026-03-04 09:15:{second:02} +0000] [{pid}] [INFO] {text}\n")
}

fn killed(second: u32, primary: u32, worker: u32) -> String {
    gunicorn(second, primary, &format!("Worker (pid:{worker}) was sent SIGKILL! Perhaps out of memory?"))
}

fn timed_out(second: u32, primary: u32, worker: u32) -> String {
    gunicorn(second, primary, &format!("WORKER TIMEOUT (pid:{worker})"))
}

/// Target, cause and confidence of each verdict about a request.
fn told(files: &[(&str, &str)]) -> Vec<(String, &'static str, f64)> {
    let each = |verdict: &Verdict| (verdict.target.to_string(), verdict.cause.id, verdict.confidence);
    let mut told = told::of(files, each);
    told.retain(|(target, ..)| target.starts_with('/'));
    told
}

#[test]
fn of_two_logs_without_an_address_the_one_that_is_called_so_is_asked() {
    let nginx = cut(2, "/shop/cart", "10.1.2.3:8000");
    let (own, other) = (timed_out(2, 7, 31) + &killed(2, 7, 31), killed(2, 70, 77));
    let logs = |own: &str, other: &str, names: [&str; 2]| {
        let told = told(&[("nginx.log", &nginx), (names[0], own), (names[1], other)]);
        let [(_, cause, confidence)] = told.as_slice() else { panic!("{told:?}") };
        (*cause, *confidence)
    };
    let named = ["gunicorn-shop.log", "gunicorn-blog.log"];
    let (cause, confidence) = logs(&own, &other, named);
    assert_eq!(cause, "worker_timeout");
    assert!((0.6..0.9).contains(&confidence), "a name is no address: {confidence}");
    // What happens to the other at the time is no word about this one.
    let quiet = gunicorn(1, 7, "Handling signal: winch");
    assert_eq!(logs(&quiet, &(timed_out(2, 70, 77) + &killed(2, 70, 77)), named).0, "upstream_closed_early");
    // Where names say nothing either may be the one.
    for (own, other) in [(&own, &other), (&quiet, &other)] {
        let (_, confidence) = logs(own, other, ["gunicorn.log", "app.log"]);
        assert!(confidence < 0.6, "{confidence}");
    }
    // The only one in view is called as another upstream that failed.
    let both = cut(2, "/cart", "unix:/run/shop.sock:") + &cut(1, "/feed", "unix:/run/blog.sock:").replace("*7 ", "*8 ");
    for (name, is_sure) in [("gunicorn-blog.log", false), ("gunicorn-shop.log", true), ("gunicorn.log", true)] {
        let told = told(&[("nginx.log", &both), (name, &timed_out(2, 70, 77))]);
        let (_, cause, confidence) = told.iter().find(|(target, ..)| target == "/cart").expect("a verdict");
        assert!(*cause == "worker_timeout" && (*confidence > 0.6) == is_sure, "{name} {cause} {confidence}");
    }
    // Two logs of one Gunicorn are one.
    let own = gunicorn(0, 31, "Booting worker with pid: 31") + &own;
    let (cause, confidence) = logs(&own, &own, ["gunicorn.log", "app.log"]);
    assert_eq!(cause, "worker_timeout");
    assert!(confidence > 0.9, "{confidence}");
}

#[test]
fn a_socket_that_another_gunicorn_has_taken_over_is_the_other_ones() {
    let listens = |second: u32, pid: u32| gunicorn(second, pid, &format!("Listening at: unix:/run/app.sock ({pid})"));
    let left = listens(0, 7) + &gunicorn(1, 7, "Handling signal: term") + &gunicorn(2, 7, "Shutting down: Master");
    let taken = listens(4, 70) + &timed_out(40, 70, 77);
    let nginx = cut(40, "/cart", "unix:/run/app.sock:");
    let confidence = |left: &str| {
        let told = told(&[("nginx.log", &nginx), ("one.log", left), ("two.log", &taken)]);
        let [(_, "worker_timeout", confidence)] = told.as_slice() else { panic!("{told:?}") };
        *confidence
    };
    assert!(confidence(&left) > 0.9, "{}", confidence(&left));
    // In containers each has a socket of that name.
    assert!(confidence(&listens(0, 7)) < 0.6);
}

#[test]
fn a_group_without_servers_fails_for_the_reasons_of_its_own() {
    let refused = |connection: u32, path: &str, upstream: &str| {
        error(2, connection, "connect() failed (111: Connection refused)", "connecting to upstream", path, upstream)
    };
    let none = |second: u32, connection: u32, path: &str| {
        error(second, connection, "no live upstreams", "connecting to upstream", path, "shop")
    };
    let blog = cut(3, "/blog/feed", "10.1.2.9:9000");
    let gunicorns = [
        ("gunicorn-shop.log", "[2026-03-04 09:15:01 +0000] [7] [INFO] Shutting down: Master\n".to_owned()),
        ("gunicorn-blog.log", killed(3, 70, 77)),
    ];
    let listening = |primary: u32, address: &str| {
        format!("[2026-03-04 09:14:00 +0000] [{primary}] [INFO] Listening at: http://{address} ({primary})\n")
    };
    let gunicorns = [
        (gunicorns[0].0, listening(7, "10.1.2.3:8000") + &gunicorns[0].1),
        (gunicorns[1].0, listening(70, "10.1.2.9:9000") + &gunicorns[1].1),
    ];
    // The request that ran out of servers names them; where none did, requests alike have the same.
    let named = refused(8, "/shop/a", "10.1.2.3:8000") + &none(2, 8, "/shop/a") + &blog + &none(4, 9, "/shop/b");
    let alike = refused(8, "/shop/a", "10.1.2.3:8000") + &blog + &none(4, 9, "/shop/b");
    for nginx in [named, alike] {
        let told = told(&[("nginx.log", &nginx), (gunicorns[0].0, &gunicorns[0].1), (gunicorns[1].0, &gunicorns[1].1)]);
        let causes: Vec<_> = told.iter().map(|(target, cause, _)| (target.as_str(), *cause)).collect();
        assert!(causes.contains(&("/shop/b", "gunicorn_not_running")), "{causes:?}\n{nginx}");
        assert!(causes.contains(&("/blog/feed", "worker_killed")), "{causes:?}\n{nginx}");
    }
}

#[test]
fn of_two_primary_processes_in_one_file_each_has_its_workers() {
    let listening = |pid: u32, name: &str| gunicorn(0, pid, &format!("Listening at: unix:/run/{name}.sock ({pid})"));
    let both = listening(7, "shop") + &listening(70, "blog");
    let nginx = cut(3, "/cart", "unix:/run/shop.sock:");
    let lines = both + &timed_out(2, 7, 31) + &killed(3, 7, 31) + &killed(3, 70, 77);
    let told = told(&[("nginx.log", &nginx), ("all.log", &lines)]);
    assert_eq!(told.iter().map(|(_, cause, _)| *cause).collect::<Vec<_>>(), ["worker_timeout"]);
}

#[test]
fn a_unit_that_is_called_as_another_upstream_ended_for_itself() {
    let journal = |line: &str| format!("Mar  4 09:15:03 web1 {line}\n");
    let ended =
        |unit: &str| journal(&format!("systemd[1]: {unit}.service: Main process exited, code=killed, status=9/KILL"));
    let listens = |name: &str, pid: u32| {
        let line = gunicorn(0, pid, &format!("Listening at: unix:/run/{name}.sock ({pid})"));
        format!("Mar  4 09:15:00 web1 {name}[{pid}]: {line}")
    };
    let nginx = cut(3, "/cart", "unix:/run/shop.sock:");
    for (unit, expected) in [("blog", "upstream_closed_early"), ("shop", "worker_killed"), ("webapp", "worker_killed")]
    {
        let lines = listens("shop", 7) + &listens("blog", 70) + &ended(unit);
        let told = told(&[("nginx.log", &nginx), ("journal.log", &lines)]);
        assert_eq!(told.iter().map(|(_, cause, _)| *cause).collect::<Vec<_>>(), [expected], "{unit}");
    }
}

/// What the engine tells of failures in a pipeline, where a good access line that came before its error line was let go. Each is
/// the number of a request; an access log of another virtual host goes on beside them.
fn told_live(failures: impl Iterator<Item = u32>, own_access: impl Fn(u32) -> Option<(u16, bool)>) -> Vec<String> {
    use std::sync::Arc;
    use why502::engine::place::Stream;
    use why502::engine::verdict::Ticket;
    use why502::engine::{Engine, Output, Record, Settings};
    use why502::read::evidence::{Nanos, SECOND};
    use why502::read::formats::{Reader, Reading};
    use why502::read::time::from_utc;
    use why502::read::{SourceMemory, Wanted};

    let start = from_utc(2026, 3, 4, 9, 15, 0).expect("a date");
    let mut engine = Engine::new(Settings { finds_good: false, zone: Some(0), ..Settings::default() });
    let (reader, everything) = (Reader::default(), Wanted::everything());
    let streams = [Stream::on_host(1, "web"), Stream::on_host(2, "web"), Stream::on_host(3, "web")];
    let (mut tickets, mut found) = (0, Vec::new());
    let mut take = |engine: &mut Engine, now: Nanos, stream: usize, line: &str| {
        if let Reading::Proves(_, evidences) = reader.read(line.as_bytes(), &mut SourceMemory::default(), &everything) {
            for evidence in evidences {
                tickets += 1;
                let record =
                    Record { ticket: Ticket(tickets), stream: streams[stream].clone(), observed: now, evidence };
                engine.handle_record(now, record);
            }
        }
        while let Some(output) = engine.poll_output() {
            if let Output::Verdict(verdict) = output {
                let verdict: Arc<Verdict> = verdict;
                found.push(format!("{} {}", verdict.target, verdict.cause.id));
            }
        }
    };
    let access = |second: u32, path: &str, status: u16| {
        format!(
            "198.51.100.20 - - [04/Mar/2026:09:{:02}:{:02} +0000] \"GET {path} HTTP/1.1\" {status} 157 \"-\" \"curl/8\"",
            15 + second / 60,
            second % 60
        )
    };
    for number in failures {
        let now = start + i64::from(number) * SECOND;
        engine.handle_timeout(now);
        let path = format!("/{number}");
        let own = own_access(number);
        if let Some((status, true)) = own {
            take(&mut engine, now, 1, &access(number, &path, status));
        }
        let clock = format!("09:{:02}:{:02}", 15 + number / 60, number % 60);
        let refused = error(
            0,
            number,
            "connect() failed (111: Connection refused)",
            "connecting to upstream",
            &path,
            "10.1.2.3:8000",
        );
        take(&mut engine, now, 0, refused.replace("09:15:00", &clock).trim_end());
        if let Some((status, false)) = own {
            take(&mut engine, now, 1, &access(number, &path, status));
        }
        take(&mut engine, now, 2, &access(number, "/of-another-host", 200));
    }
    engine.handle_timeout(start + 3_600 * SECOND);
    take(&mut engine, start + 3_600 * SECOND, 2, "");
    found
}

#[test]
fn live_an_access_log_of_another_host_silences_no_outage() {
    // No access log has any of its requests: after so many failures that is known.
    let told = told_live(1..60, |_| None);
    assert!(told.len() >= 30 && told.iter().all(|told| told.ends_with("gunicorn_not_running")), "{told:?}");
    // Retries saved them, and their lines are there, or came too early to be found.
    assert_eq!(told_live(1..60, |_| Some((200, false))), [""; 0]);
    let late = |number: u32| Some((200, !number.is_multiple_of(3)));
    assert_eq!(told_live(1..60, late), [""; 0]);
    assert_eq!(told_live(1..60, |_| Some((502, false))).len(), 59);
}
