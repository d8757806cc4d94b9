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
    // Two logs of one Gunicorn are one.
    let own = gunicorn(0, 31, "Booting worker with pid: 31") + &own;
    let (cause, confidence) = logs(&own, &own, ["gunicorn.log", "app.log"]);
    assert_eq!(cause, "worker_timeout");
    assert!(confidence > 0.9, "{confidence}");
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
