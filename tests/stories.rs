//! Stories that lines of several programs tell together: which causes lead, in order. Each was first seen on a real nginx and
//! Gunicorn (`tests/versions/matrix.py`); the lines here are the few that decide.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use told::target_and_cause;

/// The leading causes with the targets they are said of, a line each.
fn told(files: &[(&str, &str)]) -> String {
    told::of(files, target_and_cause).join("\n")
}

fn check(files: &[(&str, &str)], expected: &str) {
    assert_eq!(told(files), expected, "\n{files:#?}");
}

/// nginx's two lines of one failed request: `GET /x`, 502, cut before its header, at 09:15:SS.5.
fn cut(second: u32, connection: u32, target: &str) -> (String, String) {
    let access = format!(
        r#"{{"msec":"17726157{second:02}.500","pid":"411","connection":"{connection}","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.050","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"0.050","upstream_bytes_received":"0"}}"#
    );
    let error = format!(
        r#"2026/03/04 09:15:{second:02} [error] 411#411: *{connection} upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET {target} HTTP/1.1", upstream: "http://127.0.0.1:8000{target}", host: "shop.test""#
    );
    (access, error)
}

const START: &str = "[2026-03-04 09:14:00 +0000] [300] [INFO] Starting gunicorn 23.0.0
[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:00 +0000] [300] [INFO] Using worker: sync
[2026-03-04 09:14:00 +0000] [301] [INFO] Booting worker with pid: 301
[2026-03-04 09:14:00 +0000] [302] [INFO] Booting worker with pid: 302
";

#[test]
fn a_worker_that_is_replaced_without_a_word_has_left() {
    let (access, error) = cut(3, 7, "/a");
    let replaced = format!("{START}[2026-03-04 09:15:03 +0000] [303] [INFO] Booting worker with pid: 303\n");
    check(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", &replaced)], "/a worker_exited");

    // The same boot makes good the end of another worker, of which the log tells.
    let told_of = format!(
        "{START}[2026-03-04 09:15:02 +0000] [300] [INFO] Worker exiting (pid: 302)
[2026-03-04 09:15:03 +0000] [303] [INFO] Booting worker with pid: 303\n"
    );
    let late = told_of.replace("09:15:02", "09:15:00");
    check(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", &late)], "/a upstream_closed_early");

    // A worker more was asked for.
    let asked = format!(
        "{START}[2026-03-04 09:15:02 +0000] [300] [INFO] Handling signal: ttin
[2026-03-04 09:15:03 +0000] [303] [INFO] Booting worker with pid: 303\n"
    );
    check(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", &asked)], "/a upstream_closed_early");
}

#[test]
fn a_worker_that_leaves_in_good_order_unasked_was_told_so_by_the_application() {
    let (access, error) = cut(3, 7, "/a");
    let start = START.replace("23.0.0", "20.1.0");
    let leaves = "[2026-03-04 09:15:03 +0000] [301] [INFO] Worker exiting (pid: 301)
[2026-03-04 09:15:03 +0000] [303] [INFO] Booting worker with pid: 303\n";
    let files = |gunicorn: String| told(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", &gunicorn)]);
    assert_eq!(files(format!("{start}{leaves}")), "/a worker_exited");
    let recycled = "[2026-03-04 09:15:03 +0000] [301] [INFO] Autorestarting worker after current request.\n";
    assert_ne!(files(format!("{start}{recycled}{leaves}")), "/a worker_exited");
    let stopped = "[2026-03-04 09:15:02 +0000] [300] [INFO] Handling signal: term\n";
    assert_eq!(files(format!("{start}{stopped}{leaves}")), "/a gunicorn_restarting");
}

/// A 504 of a sync Gunicorn with two workers after 2 s.
fn timed_out(connection: u32, target: &str) -> (String, String) {
    let access = format!(
        r#"{{"msec":"1772615703.500","pid":"411","connection":"{connection}","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"504","body_bytes_sent":"167","request_time":"2.000","upstream_addr":"127.0.0.1:8000","upstream_status":"504","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"2.000","upstream_bytes_received":"0"}}"#
    );
    let error = format!(
        r#"2026/03/04 09:15:03 [error] 411#411: *{connection} upstream timed out (110: Connection timed out) while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET {target} HTTP/1.1", upstream: "http://127.0.0.1:8000{target}", host: "shop.test""#
    );
    (access, error)
}

#[test]
fn more_requests_than_sync_workers_wait_in_the_queue() {
    let story = |requests: u32| {
        let lines: Vec<_> = (0..requests).map(|number| timed_out(number + 1, "/report")).collect();
        let access: String = lines.iter().map(|(access, _)| format!("{access}\n")).collect();
        let error: String = lines.iter().map(|(_, error)| format!("{error}\n")).collect();
        told(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", START)])
    };
    assert_eq!(story(2), "/report slow_request\n/report slow_request", "each may be in a worker of its own");
    assert!(story(12).lines().all(|line| line == "/report workers_saturated"), "{}", story(12));
}

#[test]
fn a_gunicorn_that_started_and_stopped_within_a_second_did_not_come_back() {
    let (access, error) = (
        r#"{"msec":"1772615703.700","pid":"411","connection":"7","remote_addr":"198.51.100.20","request":"GET /a HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.001","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"-","upstream_header_time":"-","upstream_response_time":"0.001","upstream_bytes_received":"0"}"#,
        r#"2026/03/04 09:15:03 [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /a HTTP/1.1", upstream: "http://127.0.0.1:8000/a", host: "shop.test""#,
    );
    let start = START.replace("09:14:00", "09:15:03");
    let stop = "[2026-03-04 09:15:03 +0000] [300] [INFO] Handling signal: term
[2026-03-04 09:15:03 +0000] [301] [INFO] Worker exiting (pid: 301)
[2026-03-04 09:15:03 +0000] [302] [INFO] Worker exiting (pid: 302)
[2026-03-04 09:15:03 +0000] [300] [INFO] Shutting down: Master\n";
    let story = |gunicorn: &str| told(&[("access.log", access), ("error.log", error), ("gunicorn.log", gunicorn)]);
    assert_eq!(story(&format!("{start}{stop}")), "/a gunicorn_not_running");
    // It does, a second later or within the same.
    let again = start.replace("[300]", "[310]").replace("30", "31");
    let later = again.replace("09:15:03", "09:15:04");
    assert_eq!(story(&format!("{start}{stop}{later}")), "/a gunicorn_restarting");
    assert_eq!(story(&format!("{START}{stop}{again}")), "/a gunicorn_restarting");
}

#[test]
fn no_descriptor_left_is_the_reason_of_a_failed_boot() {
    let refused = r#"2026/03/04 09:15:08 [error] 411#411: *9 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /a HTTP/1.1", upstream: "http://127.0.0.1:8000/a", host: "shop.test""#;
    let boot = |exception: &str| {
        format!(
            "{START}[2026-03-04 09:15:01 +0000] [301] [ERROR] Exception in worker process
Traceback (most recent call last):
{exception}
[2026-03-04 09:15:01 +0000] [301] [INFO] Worker exiting (pid: 301)
[2026-03-04 09:15:02 +0000] [300] [ERROR] Worker (pid:301) exited with code 3
[2026-03-04 09:15:02 +0000] [300] [ERROR] Shutting down: Master
[2026-03-04 09:15:02 +0000] [300] [ERROR] Reason: Worker failed to boot.\n"
        )
    };
    let starved = boot("OSError: [Errno 24] Too many open files: '/srv/shop/settings.py'");
    let broken = boot("ModuleNotFoundError: No module named 'shop.settings'");
    let first = |gunicorn: &str| {
        let all = told(&[("error.log", refused), ("gunicorn.log", gunicorn)]);
        all.lines().find(|line| line.starts_with("/a ")).map(str::to_owned)
    };
    assert_eq!(first(&starved).as_deref(), Some("/a gunicorn_files_exhausted"));
    assert_eq!(first(&broken).as_deref(), Some("/a worker_boot_failed"));
}

#[test]
fn a_crew_that_failed_and_was_not_booted_again_is_down_without_a_word() {
    let refused = r#"2026/03/04 09:15:08 [error] 411#411: *9 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /a HTTP/1.1", upstream: "http://127.0.0.1:8000/a", host: "shop.test""#;
    let failed: String = [301, 302]
        .iter()
        .map(|pid| {
            format!(
                "[2026-03-04 09:14:01 +0000] [{pid}] [ERROR] Exception in worker process
Traceback (most recent call last):
ModuleNotFoundError: No module named 'shop.settings'
[2026-03-04 09:14:01 +0000] [{pid}] [INFO] Worker exiting (pid: {pid})\n"
            )
        })
        .collect();
    let all = told(&[("error.log", refused), ("gunicorn.log", &format!("{START}{failed}"))]);
    assert!(all.contains("/a worker_boot_failed"), "{all}");
}

#[test]
fn of_two_answers_in_one_second_nobody_can_tell_which_was_cut() {
    let error = r#"2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading upstream, client: 198.51.100.20, server: shop.test, request: "GET /a HTTP/1.1", upstream: "http://127.0.0.1:8000/a", host: "shop.test""#;
    let line = |bytes: u32| {
        format!(r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /a HTTP/1.1" 200 {bytes} "-" "curl/8.1.2""#)
    };
    let blamed = |access: &str| {
        told::of(&[("access.log", access), ("error.log", error)], |verdict| (verdict.cause.id, verdict.status))
    };
    assert_eq!(blamed(&line(512)), [("response_truncated", Some(200))]);
    assert_eq!(blamed(&format!("{}\n{}\n", line(512), line(9_000))), [("response_truncated", None)]);
}

#[test]
fn while_nginx_can_connect_for_nobody_a_page_of_its_own_without_an_error_line_is_one_of_them() {
    let access = |target: &str, bytes: u32| {
        format!(
            r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET {target} HTTP/1.1" 502 {bytes} "-" "curl/8.1.2""#
        )
    };
    let error = |number: u32| {
        format!(
            r#"2026/03/04 09:15:03 [error] 411#411: *{number} connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /{number} HTTP/1.1", upstream: "http://127.0.0.1:8000/{number}", host: "shop.test""#
        )
    };
    let errors: String = (1..=4).map(|number| format!("{}\n", error(number))).collect();
    let of = |lost: &str| {
        let accesses: String = (1..=4).map(|number| format!("{}\n", access(&format!("/{number}"), 157))).collect();
        let all = told(&[("access.log", &format!("{accesses}{lost}\n")), ("error.log", &errors)]);
        all.lines().find(|line| line.starts_with("/lost ")).map(str::to_owned)
    };
    assert_eq!(of(&access("/lost", 157)).as_deref(), Some("/lost gunicorn_not_running"));
    // A page of another size is the application's.
    assert_eq!(of(&access("/lost", 4_000)).as_deref(), Some("/lost app_returned_error"));
}

#[test]
fn the_same_line_under_many_heads() {
    let timeout = "WORKER TIMEOUT (pid:31)";
    let heads = [
        "[2026-03-04 09:15:03 +0000] [30] [CRITICAL] ",
        "│ [2026-03-04 09:15:03 +0000] [30] [CRITICAL] ",
        "2026-03-04T09:15:03.100Z web-1 [2026-03-04 09:15:03 +0000] [30] [CRITICAL] ",
        "CRITICAL:gunicorn.error:",
        "2026-03-04 09:15:03,100 CRITICAL gunicorn.error: ",
        "2026-03-04 09:15:03,100 - gunicorn.error - CRITICAL - ",
        "2026-03-04 09:15:03.100 | CRITICAL | gunicorn.arbiter:murder_workers:498 - ",
    ];
    for head in heads {
        assert_eq!(told(&[("gunicorn.log", &format!("{head}{timeout}\n"))]), "worker_timeout", "{head}");
    }
    // Words that a client or another logger wrote.
    for head in ["ERROR:shop.chat:user wrote: ", "INFO shop: path=/gunicorn.error: ", "GET /gunicorn.error: "] {
        assert_eq!(told(&[("app.log", &format!("{head}{timeout}\n"))]), "", "{head}");
    }
}

#[test]
fn lines_of_the_kernel() {
    let check = |line: &str, expected: &str| assert_eq!(told(&[("dmesg.log", line)]), expected, "{line}");
    let killed = "Out of memory: Killed process 4711 (gunicorn) total-vm:2097152kB, anon-rss:1048576kB, UID:1000";
    check(&format!("[Wed Mar  4 09:15:03 2026] {killed}"), "worker_oom_killed");
    check(&format!("[ 4242.424242] {killed}"), "worker_oom_killed");
    let fault = "gunicorn: worke[4711]: segfault at 0 ip 00007f2b sp 00007ffc error 4 in libc.so.6[7f2b+1000]";
    check(&format!("[4242.424242] {fault}"), "worker_crashed");
    check("[4242.424242] firefox[4711]: segfault at 0 ip 00007f2b sp 00007ffc error 4 in libxul.so[7f2b+1000]", "");
}

#[test]
fn kqueue_says_who_told_it() {
    let line = r#"2026/03/04 09:15:02 [error] 411#0: *7 kevent() reported that connect() failed (61: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test""#;
    assert_eq!(told(&[("error.log", line)]), "/cart gunicorn_not_running");
}

/// Gunicorn tells on standard error alone that the application object is missing, and a worker's end that interrupts its
/// shutdown takes the words about that away too.
#[test]
fn workers_that_all_leave_at_boot_found_no_application() {
    let refused = |second: u32| {
        format!(
            r#"2026/03/04 09:14:{second:02} [error] 411#411: *{second} connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /{second} HTTP/1.1", upstream: "http://127.0.0.1:8000/{second}", host: "shop.test""#
        )
    };
    let errors = format!("{}\n{}\n", refused(5), refused(20));
    let leaves = |second: u32, worker: u32| {
        format!("[2026-03-04 09:14:{second:02} +0000] [{worker}] [INFO] Worker exiting (pid: {worker})\n")
    };
    let of = |gunicorn: String| told(&[("error.log", &errors), ("gunicorn.log", &gunicorn)]);
    let both = format!("{START}{}{}", leaves(1, 301), leaves(1, 302));
    assert_eq!(of(both.clone()), "/5 app_load_failed\n/20 app_load_failed");
    // Some time later it is something else that made them go, as is one that left of two, or a stop.
    let not = |gunicorn: String| assert!(!of(gunicorn.clone()).contains("app_load_failed"), "{gunicorn}");
    not(format!("{START}{}{}", leaves(30, 301), leaves(30, 302)));
    not(format!("{START}{}", leaves(1, 301)));
    let stop = "[2026-03-04 09:14:01 +0000] [300] [INFO] Handling signal: term\n";
    not(format!("{START}{stop}{}{}", leaves(1, 301), leaves(1, 302)));
    // It was started again, and serves.
    let again = START.replace("09:14:00", "09:14:10").replace("301", "311").replace("302", "312");
    let found = of(format!("{both}{again}"));
    assert!(found.starts_with("/5 ") && !found.contains("/20 app_load_failed"), "{found}");
}

/// A second service behind the same nginx: another upstream, a Gunicorn of its own, a worker of it that is killed and a
/// request of its that is cut, in the same second. None of it may matter to the first.
const STRANGER_ACCESS: &str = r#"{"msec":"1772615703.400","pid":"411","connection":"90","remote_addr":"198.51.100.21","request":"GET /stranger HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.050","upstream_addr":"127.0.0.1:9000","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"0.050"}"#;
const STRANGER_GUNICORN: &str = "[2026-03-04 09:14:00 +0000] [900] [INFO] Starting gunicorn 23.0.0
[2026-03-04 09:14:00 +0000] [900] [INFO] Listening at: http://127.0.0.1:9000 (900)
[2026-03-04 09:14:00 +0000] [900] [INFO] Using worker: sync
[2026-03-04 09:14:00 +0000] [901] [INFO] Booting worker with pid: 901
[2026-03-04 09:15:03 +0000] [900] [ERROR] Worker (pid:901) was sent SIGKILL! Perhaps out of memory?
[2026-03-04 09:15:03 +0000] [902] [INFO] Booting worker with pid: 902
";

/// Without an error line the access line alone says what nginx saw, in so many fields as its format has.
#[test]
fn a_field_that_the_format_lacks_is_no_proof() {
    let access = |status: u16, fields: &str| {
        format!(
            r#"{{"msec":"1772615703.500","pid":"411","connection":"7","remote_addr":"198.51.100.20","request":"GET /a HTTP/1.1","status":"{status}","body_bytes_sent":"157","request_time":"2.050","upstream_addr":"127.0.0.1:8000","upstream_status":"{status}",{fields}"upstream_response_time":"2.050"}}"#
        )
    };
    let check = |status: u16, fields: &str, expected: &str| {
        let line = access(status, fields);
        let alone = told(&[("access.log", &line), ("gunicorn.log", START)]);
        assert_eq!(alone, format!("/a {expected}"), "{status} {fields}");
        let beside = told(&[
            ("access.log", &format!("{STRANGER_ACCESS}\n{line}\n")),
            ("gunicorn.log", START),
            ("other.log", STRANGER_GUNICORN),
        ]);
        assert!(beside.lines().any(|told| told == alone), "{status} {fields}\n{beside}");
    };
    let (connected, refused) = (r#""upstream_connect_time":"0.000","#, r#""upstream_connect_time":"-","#);
    let (no_header, nothing) = (r#""upstream_header_time":"-","#, r#""upstream_bytes_received":"0","#);
    let some = r#""upstream_bytes_received":"194","#;
    let full = r#""upstream_bytes_received":"4096","#;
    check(502, &format!("{connected}{no_header}"), "upstream_closed_early");
    check(502, &format!("{connected}{no_header}{nothing}"), "upstream_closed_early");
    check(502, &format!("{connected}{nothing}"), "upstream_closed_early");
    check(502, &format!("{connected}{no_header}{some}"), "response_header_invalid");
    check(502, &format!("{no_header}{some}"), "response_header_invalid");
    check(502, &format!("{connected}{no_header}{full}"), "response_header_invalid");
    check(502, no_header, "unknown");
    check(504, &format!("{connected}{no_header}"), "slow_request");
    check(504, &format!("{refused}{no_header}"), "listen_backlog_full");
    check(504, no_header, "slow_request");
}
