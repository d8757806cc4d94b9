//! What ended a process explains what it cut, and silence is evidence.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

const START: &str = "[2026-03-04 09:14:00 +0000] [300] [INFO] Starting gunicorn 23.0.0
[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:00 +0000] [300] [INFO] Using worker: sync
[2026-03-04 09:14:00 +0000] [301] [INFO] Booting worker with pid: 301
[2026-03-04 09:14:00 +0000] [302] [INFO] Booting worker with pid: 302
";

/// An error line and its access line of `combined`.
fn request(clock: &str, words: &str, method: &str, target: &str, status: u16) -> (String, String) {
    let access = format!(
        "198.51.100.20 - - [04/Mar/2026:{clock} +0000] \"{method} {target} HTTP/1.1\" {status} 157 \"-\" \"curl/8\"\n"
    );
    let error = format!(
        "2026/03/04 {clock} [error] 411#411: *7 {words}, client: 198.51.100.20, server: shop.test, request: \
         \"{method} {target} HTTP/1.1\", upstream: \"http://127.0.0.1:8000{target}\", host: \"shop.test\"\n"
    );
    (access, error)
}

const CUT: &str = "upstream prematurely closed connection while reading response header from upstream";
const RESET: &str = "recv() failed (104: Connection reset by peer) while reading response header from upstream";
const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";
const TIMED_OUT: &str = "upstream timed out (110: Connection timed out) while reading response header from upstream";

fn causes(files: &[(&str, &str)]) -> Vec<String> {
    told::of(files, |verdict| format!("{} {}", verdict.target, verdict.cause.id))
}

/// The verdict on one request that was cut at 09:15:03, with the logs of its Gunicorn and of its machine.
fn cut(gunicorn: &str, machine: &str) -> Vec<String> {
    let (access, error) = request("09:15:03", CUT, "GET", "/a", 502);
    let mut files = vec![("access.log", access.as_str()), ("error.log", error.as_str())];
    if !gunicorn.is_empty() {
        files.push(("gunicorn.log", gunicorn));
    }
    if !machine.is_empty() {
        files.push(("kernel.log", machine));
    }
    causes(&files)
}

#[test]
fn a_worker_that_timed_out_ends_when_it_is_reaped() {
    let timeout = "[2026-03-04 09:14:56 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)\n";
    let booted = "[2026-03-04 09:15:04 +0000] [303] [INFO] Booting worker with pid: 303\n";
    assert_eq!(cut(&format!("{START}{timeout}{booted}"), ""), ["/a worker_timeout"], "seven seconds after its abort");
    let killed =
        "[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?\n";
    assert_eq!(cut(&format!("{START}{timeout}{killed}{booted}"), ""), ["/a worker_timeout"]);
    // Another worker was reaped long before.
    let reaped = "[2026-03-04 09:14:57 +0000] [303] [INFO] Booting worker with pid: 303\n";
    let told = cut(&format!("{START}{timeout}{reaped}"), "");
    assert!(told.contains(&"/a upstream_closed_early".to_owned()), "{told:?}");
}

#[test]
fn the_kernel_names_the_worker_by_its_pid() {
    let killed = |pid: u32| {
        format!(
            "[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:{pid}) was sent SIGKILL! Perhaps out of memory?\n"
        )
    };
    let kernel = |pid: u32, clock: &str, process: &str| {
        format!("Mar  4 {clock} h kernel: Out of memory: Killed process {pid} ({process}) total-vm:1kB, anon-rss:1kB\n")
    };
    let gunicorn = format!("{START}{}", killed(301));
    assert_eq!(cut(&gunicorn, &kernel(301, "09:15:02", "gunicorn")), ["/a worker_oom_killed"]);
    // In a container the pids are others.
    assert_eq!(cut(&gunicorn, &kernel(9_301, "09:15:02", "gunicorn")), ["/a worker_oom_killed"]);
    // Long before, or another program's.
    let stranger = cut(&gunicorn, &kernel(9_301, "09:14:50", "python3"));
    assert!(stranger.contains(&"/a worker_killed".to_owned()), "{stranger:?}");
    assert_eq!(cut(&gunicorn, &kernel(9_301, "09:15:02", "postgres")), ["/a worker_killed"]);
    // Where the pids are known to be the machine's, a near line of another pid is another's.
    let both = format!("{}{}", kernel(302, "09:14:30", "gunicorn"), kernel(8_000, "09:15:03", "python3"));
    let before =
        "[2026-03-04 09:14:30 +0000] [300] [ERROR] Worker (pid:302) was sent SIGKILL! Perhaps out of memory?\n";
    let told = cut(&format!("{START}{before}{}", killed(301)), &both);
    assert!(told.contains(&"/a worker_killed".to_owned()), "{told:?}");
}

#[test]
fn a_silent_gunicorn_has_the_kernel_speak_for_it() {
    let silent = "[2026-03-04 09:10:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:10:00 +0000] [301] [INFO] Booting worker with pid: 301\n";
    let replaced = "[2026-03-04 09:15:04 +0000] [303] [INFO] Booting worker with pid: 303\n";
    let kernel = "Mar  4 09:15:03 h kernel: Out of memory: Killed process 301 (gunicorn) total-vm:1kB, anon-rss:1kB\n";
    assert_eq!(cut(&format!("{silent}{replaced}"), kernel), ["/a worker_oom_killed"]);
    assert_eq!(cut(&format!("{silent}{replaced}"), ""), ["/a worker_died"], "its version is not known");
    let old = format!("[2026-03-04 09:10:00 +0000] [300] [INFO] Starting gunicorn 20.0.4\n{silent}{replaced}");
    assert_eq!(cut(&old, ""), ["/a worker_died"]);
    let new = format!("[2026-03-04 09:10:00 +0000] [300] [INFO] Starting gunicorn 23.0.0\n{silent}{replaced}");
    assert_eq!(cut(&new, ""), ["/a worker_exited"]);
}

#[test]
fn a_log_that_names_no_end_rules_a_death_out() {
    let later = "[2026-03-04 09:20:00 +0000] [300] [INFO] Handling signal: winch\n";
    assert_eq!(cut(&format!("{START}{later}"), ""), ["/a upstream_closed_early"]);
    // Nor can a process of another program have been its worker.
    let kernel = "Mar  4 09:15:03 h kernel: Out of memory: Killed process 9301 (python3) total-vm:1kB, anon-rss:1kB\n";
    let told = cut(&format!("{START}{later}"), kernel);
    assert!(told.contains(&"/a upstream_closed_early".to_owned()), "{told:?}");
}

#[test]
fn other_servers_tell_of_their_processes() {
    let told = |line: &str| cut("", line);
    assert_eq!(told("Mar  4 09:15:03 h uvicorn[7]: INFO:     Child process [31] died\n"), ["/a worker_died"]);
    assert_eq!(told("Mar  4 09:15:03 h granian[7]: [ERROR] Unexpected exit from worker-1\n"), ["/a worker_died"]);
    let uwsgi = "Wed Mar  4 09:15:03 2026 - *** HARAKIRI ON WORKER 2 (pid: 77, try: 1) ***\n";
    assert_eq!(told(uwsgi), ["/a worker_timeout"]);
    let uwsgi =
        "Wed Mar  4 09:15:03 2026 - DAMN ! worker 2 (pid: 77) died, killed by signal 11 :( trying respawn ...\n";
    assert_eq!(told(uwsgi), ["/a worker_crashed"]);
    let php = "[04-Mar-2026 09:15:03] WARNING: [pool www] child 77 exited on signal 11 (SIGSEGV) after 3.2 seconds from start\n";
    assert_eq!(told(php), ["/a worker_crashed"]);
    let php = "[04-Mar-2026 09:15:03] WARNING: [pool www] child 77, script '/srv/index.php' (request: \"GET /a\") execution timed out (31.2 sec), terminating\n";
    assert_eq!(told(php), ["/a worker_timeout"]);
    let unit = "Mar  4 09:15:03 h systemd[1]: gunicorn.service: Main process exited, code=killed, status=9/KILL\n";
    assert_eq!(told(unit), ["/a worker_killed"]);
    let database =
        "Mar  4 09:15:03 h systemd[1]: postgresql.service: Main process exited, code=killed, status=9/KILL\n";
    assert_eq!(told(database), ["/a upstream_closed_early"], "another program's end");
}

#[test]
fn a_container_that_was_killed_cut_its_requests() {
    let (_, error) = request("09:15:03", CUT, "GET", "/a", 502);
    let compose = |exit: &str| format!("nginx-1  | {error}{exit}\n");
    let told = |exit: &str| causes(&[("compose.log", &compose(exit))]);
    assert_eq!(told("web-1 exited with code 137"), ["/a worker_killed"]);
    assert_eq!(told("redis-1 exited with code 137"), ["/a upstream_closed_early"]);
}

#[test]
fn a_release_that_fails_again_and_again_never_started() {
    let fails = |second: u32, pid: u32| {
        format!(
            "[2026-03-04 09:15:{second:02} +0000] [{pid}] [INFO] Starting gunicorn 23.0.0
[2026-03-04 09:15:{second:02} +0000] [{pid}] [INFO] Listening at: http://127.0.0.1:8000 ({pid})
[2026-03-04 09:15:{second:02} +0000] [{pid}1] [INFO] Booting worker with pid: {pid}1
[2026-03-04 09:15:{second:02} +0000] [{pid}1] [ERROR] Exception in worker process
Traceback (most recent call last):
ModuleNotFoundError: No module named 'broken'
[2026-03-04 09:15:{second:02} +0000] [{pid}] [ERROR] Worker (pid:{pid}1) exited with code 3
[2026-03-04 09:15:{second:02} +0000] [{pid}] [ERROR] Shutting down: Master
[2026-03-04 09:15:{second:02} +0000] [{pid}] [ERROR] Reason: Worker failed to boot.\n"
        )
    };
    let asks = |clock: &str, log: &str| {
        let (access, error) = request(clock, REFUSED, "GET", "/a", 502);
        let told = causes(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", log)]);
        told.into_iter().filter(|told| told.starts_with("/a")).collect::<Vec<String>>()
    };
    let again = format!("{}{}{}", fails(1, 40), fails(4, 50), fails(7, 60));
    assert_eq!(asks("09:15:03", &again), ["/a worker_boot_failed"], "between the first and the second");
    assert_eq!(asks("09:15:06", &again), ["/a worker_boot_failed"], "between the second and the third");
    // A good one, then a stop: the bad release is history.
    let good = START.replace("09:14:00", "09:15:04");
    let stopped = "[2026-03-04 09:15:09 +0000] [300] [INFO] Handling signal: term
[2026-03-04 09:15:09 +0000] [300] [INFO] Shutting down: Master\n";
    assert_eq!(asks("09:15:12", &format!("{}{good}{stopped}", fails(1, 40))), ["/a gunicorn_not_running"]);
}

#[test]
fn exit_code_3_of_a_worker_that_served_is_its_own() {
    let exits = "[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) exited with code 3
[2026-03-04 09:15:04 +0000] [300] [ERROR] Shutting down: Master
[2026-03-04 09:15:04 +0000] [300] [ERROR] Reason: Worker failed to boot.\n";
    assert_eq!(cut(&format!("{START}{exits}"), ""), ["/a worker_exited"]);
    let fresh = START.replace("09:14:00", "09:15:02");
    assert_eq!(cut(&format!("{fresh}{exits}"), ""), ["/a worker_boot_failed"]);
}

#[test]
fn a_port_that_cannot_be_bound_is_told_without_its_reason() {
    let tries: String = (1..=5)
        .map(|second| format!("[2026-03-04 09:15:0{second} +0000] [300] [ERROR] Retrying in 1 second.\n"))
        .collect();
    let log = format!("[2026-03-04 09:15:00 +0000] [300] [INFO] Starting gunicorn 21.2.0\n{tries}");
    assert_eq!(causes(&[("gunicorn.log", &log)]), [" bind_failed"]);
}

#[test]
fn reuse_port_throws_away_the_queue_of_a_recycled_worker() {
    let start = START.replace("23.0.0", "25.1.0").replace("http://127.0.0.1:8000", "");
    let recycles = "[2026-03-04 09:15:02 +0000] [301] [INFO] Autorestarting worker after current request.
[2026-03-04 09:15:03 +0000] [301] [INFO] Worker exiting (pid: 301)
[2026-03-04 09:15:04 +0000] [303] [INFO] Booting worker with pid: 303\n";
    let log = format!("{start}{recycles}");
    for words in [RESET, REFUSED] {
        let (access, error) = request("09:15:03", words, "GET", "/a", 502);
        let files = [("access.log", access.as_str()), ("error.log", error.as_str()), ("gunicorn.log", log.as_str())];
        assert_eq!(causes(&files), ["/a reuse_port_recycled"]);
    }
}

#[test]
fn all_workers_were_stuck_and_a_ghost_is_told_once() {
    let line = |clock: &str, pid: u32, rest: &str| format!("[2026-03-04 {clock} +0000] [{pid}] {rest}\n");
    let ends = |clock: &str, worker: u32, target: &str| {
        line(clock, 300, &format!("[CRITICAL] WORKER TIMEOUT (pid:{worker})"))
            + &line(clock, worker, &format!("[ERROR] Error handling request {target}"))
            + "Traceback (most recent call last):\nSystemExit: 1\n"
    };
    let log = [START, &ends("09:15:05", 301, "/report?day=1"), &ends("09:15:05", 302, "/report?day=2")].concat();
    let log = log
        + &line("09:15:05", 303, "[INFO] Booting worker with pid: 303")
        + &line("09:15:05", 304, "[INFO] Booting worker with pid: 304")
        + &ends("09:15:18", 303, "/report?day=3");
    let (mut access, mut error) = (String::new(), String::new());
    for (clock, target) in [("09:15:10", "/cheap"), ("09:15:11", "/report?day=3")] {
        let lines = request(clock, TIMED_OUT, "GET", target, 504);
        access += &lines.0;
        error += &lines.1;
    }
    let files = [("access.log", access.as_str()), ("error.log", error.as_str()), ("gunicorn.log", log.as_str())];
    let told = told::of(&files, |verdict| (verdict.target.to_string(), verdict.cause.id, verdict.revision));
    assert!(told.contains(&("/cheap".to_owned(), "workers_saturated", 0)), "{told:?}");
    assert!(told.contains(&("/report?day=3".to_owned(), "workers_saturated", 1)), "the ghost joins it: {told:?}");
    let alone = told.iter().filter(|(target, ..)| target.is_empty()).count();
    assert_eq!(alone, 2, "the two whose requests are not in the access log: {told:?}");
}

#[test]
fn an_error_that_the_application_raised_is_not_the_end_of_its_worker() {
    let (access, error) =
        request("09:15:03", "upstream prematurely closed connection while reading upstream", "GET", "/s", 200);
    let log = format!(
        "{START}[2026-03-04 09:15:03 +0000] [301] [ERROR] Error handling request
[2026-03-04 09:15:05 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?\n"
    );
    let files = |log: &str| {
        let told = causes(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", log)]);
        told.into_iter().filter(|told| told.starts_with("/s")).collect::<Vec<String>>()
    };
    assert_eq!(files(&log), ["/s response_truncated"]);
    let killed =
        "[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?\n";
    assert_eq!(files(&format!("{START}{killed}")), ["/s worker_killed"], "the cause of the cut");
}

#[test]
fn nginx_answers_by_itself() {
    let line = |upstream: &str, time: &str| {
        format!(
            r#"{{"msec":"1772615703.500","pid":"411","connection":"7","remote_addr":"198.51.100.20","request":"GET /a HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"{time}","upstream_addr":"{upstream}","upstream_status":"{}"}}"#,
            if upstream == "-" { "-" } else { "502" }
        )
    };
    assert_eq!(causes(&[("access.log", &line("-", "0.000"))]), ["/a nginx_answered"]);
    assert_ne!(causes(&[("access.log", &line("127.0.0.1:8000", "0.000"))]), ["/a nginx_answered"]);
    let three = r#"{"msec":"1772615703.500","pid":"411","connection":"7","remote_addr":"198.51.100.20","request":"GET /a HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.000","upstream_addr":"127.0.0.1:8000, 127.0.0.1:8001, 127.0.0.1:8002","upstream_status":"502, 502, 502","upstream_response_time":"0.000, 0.000, 0.000"}"#;
    assert_eq!(causes(&[("access.log", three)]), ["/a gunicorn_not_running"], "three refusals in no time");
}

#[test]
fn several_posts_that_break_in_one_moment_met_closing_connections() {
    let (mut access, mut error) = (String::new(), String::new());
    for connection in 1..=4 {
        access += &format!(
            "{}\n",
            format_args!(
                r#"{{"msec":"1772615703.500","pid":"411","connection":"{connection}","remote_addr":"198.51.100.20","request":"POST /cart/{connection} HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.020","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"0.020","upstream_bytes_received":"0"}}"#
            )
        );
        error += &format!(
            "2026/03/04 09:15:03 [error] 411#411: *{connection} {RESET}, client: 198.51.100.20, server: shop.test, request: \
             \"POST /cart/{connection} HTTP/1.1\", upstream: \"http://127.0.0.1:8000/cart/{connection}\", host: \"shop.test\"\n"
        );
    }
    access += r#"{"msec":"1772615703.600","pid":"411","connection":"9","remote_addr":"198.51.100.20","request":"GET / HTTP/1.1","status":"200","body_bytes_sent":"15","request_time":"0.020","upstream_addr":"127.0.0.1:8000","upstream_status":"200","upstream_connect_time":"0.000","upstream_header_time":"0.020","upstream_response_time":"0.020","upstream_bytes_received":"150"}"#;
    let threads = START.replace("worker: sync", "worker: gthread");
    let told = causes(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", &threads)]);
    assert_eq!(told.iter().filter(|told| told.ends_with("keepalive_race")).count(), 4, "{told:?}");
    // A worker ended then.
    let killed =
        "[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?\n";
    let told =
        causes(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", &format!("{threads}{killed}"))]);
    assert_eq!(told.iter().filter(|told| told.ends_with("worker_killed")).count(), 4, "{told:?}");
}

#[test]
fn errors_of_one_kept_connection_are_requests_of_their_own() {
    let error = |clock: &str| request(clock, REFUSED, "GET", "/a", 502).1;
    let far = [error("09:15:01"), error("09:15:48"), error("09:16:35")].concat();
    assert_eq!(causes(&[("error.log", &far)]).len(), 3, "47 s apart");
    // In one stream an access line closes its request.
    let (access, line) = request("09:15:03", REFUSED, "GET", "/a", 502);
    let stream = [line.as_str(), &access, &line, &access].concat();
    assert_eq!(causes(&[("nginx.log", &stream)]), ["/a gunicorn_not_running", "/a gunicorn_not_running"]);
}

#[test]
fn of_equal_requests_each_error_joins_the_answer_that_it_stands_for() {
    let (slow, slow_error) = request("09:15:03", TIMED_OUT, "GET", "/a", 504);
    let (cut, cut_error) = request("09:15:03", CUT, "GET", "/a", 502);
    let files =
        [("access.log", [slow, cut].concat()), ("error.log", [cut_error, slow_error.replace("*7 ", "*8 ")].concat())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, lines)| (*name, lines.as_str())).collect();
    let mut told = told::of(&files, |verdict| (verdict.status, verdict.symptom.id()));
    told.sort();
    assert_eq!(told, [(Some(502), "response_closed_early"), (Some(504), "response_timed_out")]);
}

#[test]
fn one_event_is_told_once() {
    let stop = "[2026-03-04 09:15:00 +0000] [300] [INFO] Handling signal: term
[2026-03-04 09:15:00 +0000] [301] [INFO] Worker exiting (pid: 301)
[2026-03-04 09:15:01 +0000] [300] [INFO] Shutting down: Master\n";
    assert_eq!(causes(&[("gunicorn.log", &format!("{START}{stop}"))]), [" gunicorn_restarting"]);
    let denied = |second: u32| {
        format!(
            "type=AVC msg=audit(17726157{second:02}.120:1): avc:  denied  {{ name_connect }} for  pid=411 comm=\"nginx\" dest=8000\n"
        )
    };
    let words = "connect() to 127.0.0.1:8000 failed (13: Permission denied) while connecting to upstream";
    let (access, error) = request("09:15:03", words, "GET", "/a", 502);
    let audit = [denied(3), denied(4), denied(5)].concat();
    let files = [("access.log", access.as_str()), ("error.log", error.as_str()), ("audit.log", audit.as_str())];
    assert_eq!(causes(&files), ["/a security_policy_denied"]);
}

#[test]
fn of_attempts_that_failed_differently_one_that_can_be_mended_leads() {
    let (access, error) = request("09:15:03", REFUSED, "GET", "/a", 502);
    let ipv6 = request(
        "09:15:03",
        "connect() failed (101: Network is unreachable) while connecting to upstream",
        "GET",
        "/a",
        502,
    )
    .1
    .replace("127.0.0.1:8000", "[2001:db8::7]:8000");
    for errors in [[error.as_str(), &ipv6].concat(), [ipv6.as_str(), &error].concat()] {
        assert_eq!(causes(&[("access.log", &access), ("error.log", &errors)]), ["/a gunicorn_not_running"]);
    }
    assert_eq!(causes(&[("access.log", &access), ("error.log", &ipv6)]), ["/a network_unreachable"], "it alone");
}

#[test]
fn what_kept_the_workers_busy_is_named_and_what_was_ruled_out_is_told() {
    let line = |clock: &str, pid: u32, rest: &str| format!("[2026-03-04 {clock} +0000] [{pid}] {rest}\n");
    let ends = |worker: u32, day: u32| {
        line("09:15:05", 300, &format!("[CRITICAL] WORKER TIMEOUT (pid:{worker})"))
            + &line("09:15:05", worker, &format!("[ERROR] Error handling request /report?day={day}"))
    };
    let log = [START, &ends(301, 1), &ends(302, 2)].concat();
    let (access, error) = request("09:15:10", TIMED_OUT, "GET", "/cheap", 504);
    let files = [("access.log", access.as_str()), ("error.log", error.as_str()), ("gunicorn.log", log.as_str())];
    let told = told::of(&files, |verdict| (verdict.target.to_string(), quotes(verdict)));
    let (_, evidence) = told.iter().find(|(target, _)| target == "/cheap").expect("a verdict");
    assert!(evidence.contains("what kept the workers busy was /report"), "{evidence}");

    let timeout = "[2026-03-04 09:15:02 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)
[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?\n";
    let (access, error) = request("09:15:03", CUT, "GET", "/a", 502);
    let log = format!("{START}{timeout}");
    let files = [("access.log", access.as_str()), ("error.log", error.as_str()), ("gunicorn.log", log.as_str())];
    let evidence = told::of(&files, quotes).concat();
    assert!(evidence.contains("not out of memory"), "{evidence}");
}

fn quotes(verdict: &why502::engine::verdict::Verdict) -> String {
    verdict.evidence.iter().map(|quote| format!("{}\n", quote.text)).collect()
}

#[test]
fn what_is_not_known_is_asked_for() {
    let access = "198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] \"GET /a HTTP/1.1\" 502 157 \"-\" \"curl/8\"\n";
    let hint = |files: &[(&str, &str)]| {
        let told = told::of(files, |verdict| (verdict.target.to_string(), verdict.cause.id, verdict.hint()));
        told.into_iter()
            .find(|(target, ..)| target == "/a")
            .map(|(_, cause, hint)| format!("{cause}: {hint}"))
            .expect("told")
    };
    let both = hint(&[("access.log", access)]);
    assert!(both.starts_with("unknown: ") && both.contains("application server's log"), "{both}");
    let gunicorn = hint(&[("access.log", access), ("gunicorn.log", START)]);
    assert!(gunicorn.starts_with("unknown: Send nginx's error log"), "{gunicorn}");
}

/// The Gunicorn of another service on the same host, behind the same nginx.
fn of_other_service(lines: &str) -> String {
    START
        .replace("127.0.0.1:8000", "127.0.0.1:9000")
        .replace("[300]", "[700]")
        .replace("301", "701")
        .replace("302", "702")
        + lines
}

#[test]
fn the_worker_of_another_service_explains_nothing() {
    let (access, error) = request("09:15:03", CUT, "GET", "/a", 502);
    let kernel = "Mar  4 09:15:03 h kernel: Out of memory: Killed process 701 (gunicorn) total-vm:1kB, anon-rss:1kB\n";
    let other = of_other_service(
        "[2026-03-04 09:15:03 +0000] [700] [ERROR] Worker (pid:701) was sent SIGKILL! Perhaps out of memory?\n",
    );
    for own in [START, ""] {
        let told = causes(&[
            ("access.log", &access),
            ("error.log", &error),
            ("gunicorn.log", own),
            ("invoices.log", &other),
            ("kernel.log", kernel),
        ]);
        let of_request: Vec<&String> = told.iter().filter(|told| told.starts_with("/a")).collect();
        assert_eq!(of_request, ["/a upstream_closed_early"], "its own log: {own}");
    }
}

#[test]
fn a_ghost_of_another_service_joins_nothing() {
    let (access, error) = request("09:15:10", TIMED_OUT, "GET", "/report", 504);
    let ends = |worker: u32| {
        format!(
            "[2026-03-04 09:15:18 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:{worker})
[2026-03-04 09:15:18 +0000] [{worker}] [ERROR] Error handling request /report\n"
        )
    };
    let revision = |own: &str, other: &str| {
        let files = [
            ("access.log", access.as_str()),
            ("error.log", error.as_str()),
            ("gunicorn.log", own),
            ("invoices.log", other),
        ];
        let told = told::of(&files, |verdict| (verdict.target.to_string(), verdict.revision));
        told.iter().filter(|(target, _)| target == "/report").map(|(_, revision)| *revision).max()
    };
    assert_eq!(revision(&format!("{START}{}", ends(301)), &of_other_service("")), Some(1), "its own worker had it");
    assert_eq!(
        revision(START, &of_other_service(&ends(701).replace("[300]", "[700]"))),
        Some(0),
        "a stranger's had one like it"
    );
}

#[test]
fn workers_that_fail_again_and_again_without_a_halt() {
    let fails = |second: u32| {
        format!(
            "[2026-03-04 09:15:{second:02} +0000] [{0}] [INFO] Booting worker with pid: {0}
[2026-03-04 09:15:{second:02} +0000] [{0}] [ERROR] Exception in worker process
Traceback (most recent call last):
ImportError: No module named broken
[2026-03-04 09:15:{second:02} +0000] [{0}] [INFO] Worker exiting (pid: {0})\n",
            400 + second
        )
    };
    let start = "[2026-03-04 09:15:00 +0000] [300] [INFO] Starting gunicorn 19.9.0
[2026-03-04 09:15:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)\n";
    let (access, error) = request("09:15:06", RESET, "GET", "/a", 502);
    let told = |log: &str| {
        let told = causes(&[("access.log", &access), ("error.log", &error), ("gunicorn.log", log)]);
        told.into_iter().filter(|told| told.starts_with("/a")).collect::<Vec<String>>()
    };
    let endless: String = (1..9).map(fails).collect();
    assert_eq!(told(&format!("{start}{endless}")), ["/a worker_boot_failed"]);
    let lives = "[2026-03-04 09:15:00 +0000] [399] [INFO] Booting worker with pid: 399\n";
    let one = told(&format!("{start}{lives}{}", fails(1)));
    assert_ne!(one, ["/a worker_boot_failed"], "one of two is no release that cannot start");
}

#[test]
fn a_pid_file_that_is_taken_is_no_port_that_is() {
    let log = "[2026-03-04 09:15:00 +0000] [300] [INFO] Starting gunicorn 23.0.0

Error: Already running on PID 31054 (or pid file '/run/g.pid' is stale)\n";
    assert_eq!(causes(&[("gunicorn.log", log)]), [" arbiter_crashed"]);
}

/// The cause, the rule and the symptom of one request that failed with these words of nginx and this status.
fn of_words(words: &str, status: u16, gunicorn: &str) -> Vec<String> {
    let (access, error) = request("09:15:03", words, "GET", "/a", status);
    let mut files = vec![("access.log", access.as_str()), ("error.log", error.as_str())];
    if !gunicorn.is_empty() {
        files.push(("gunicorn.log", gunicorn));
    }
    told::of(&files, |verdict| format!("{} {}", told::rule(verdict), verdict.symptom.id()))
}

#[test]
fn frames_of_another_protocol_name_it() {
    let frame = |length: u32| {
        let words =
            format!("upstream sent too large http2 frame: {length} while reading response header from upstream");
        of_words(&words, 502, "")
    };
    assert_eq!(frame(4_740_180), ["not_http_upstream.speaks_http1 response_header_invalid"], "`HTT`");
    assert_eq!(frame(1_377_027), ["plain_to_tls_port.alert response_header_invalid"], "a TLS alert");
    assert_eq!(frame(0x53_53_48), ["not_http_upstream.said response_header_invalid"], "`SSH`");
    assert_eq!(frame(70_000), ["response_header_invalid.said response_header_invalid"], "a frame that is too large");
}

#[test]
fn an_upstream_that_refuses_lives() {
    let refused = |words: &str, code: u32, gunicorn: &str| {
        let words = format!("{words} with error {code} while reading response header from upstream");
        of_words(&words, 502, gunicorn)
    };
    for words in ["upstream sent goaway", "upstream rejected request"] {
        for code in [0, 1, 2, 3, 7, 8, 11, 99] {
            assert_eq!(refused(words, code, ""), ["unknown.upstream_refused response_reset"], "{words} {code}");
        }
        assert_eq!(refused(words, 13, ""), ["not_http_upstream.speaks_http1 response_reset"]);
        // The end of a worker at the same time is not what refused it.
        let died = format!("{START}[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGSEGV!\n");
        let told = refused(words, 2, &died);
        assert!(told.contains(&"unknown.upstream_refused response_reset".to_owned()), "{told:?}");
        let stops = format!("{START}[2026-03-04 09:15:03 +0000] [300] [INFO] Handling signal: term\n");
        assert_eq!(refused(words, 0, &stops), ["gunicorn_restarting.cut_at_stop response_reset"]);
    }
}

#[test]
fn other_new_words_of_nginx() {
    let hints = of_words("upstream sent too big early hints while reading response header from upstream", 502, "");
    assert_eq!(hints, ["response_header_too_big.said response_header_too_big"]);
    let ahead = of_words("upstream prematurely sent response while SSL handshaking to upstream", 502, "");
    assert_eq!(ahead, ["tls_to_plain_port.said tls_handshake_failed"]);
    // nginx's own 500: what the client sent, or its own configuration.
    let own = [
        "too long http2 header value: \"aaaa\" while sending request to upstream",
        "zero length URI to proxy",
        "auth request unexpected status: 502 while sending to client",
    ];
    for words in own {
        assert!(of_words(words, 500, "").is_empty(), "{words}");
    }
}

#[test]
fn a_failed_subrequest_for_leave_is_told_once() {
    let (access, asked) = request("09:15:03", REFUSED, "GET", "/a", 500);
    let asked = asked.replace(
        ", upstream: \"http://127.0.0.1:8000/a\"",
        ", subrequest: \"/leave\", upstream: \"http://127.0.0.1:9000/leave\"",
    );
    let own = "2026/03/04 09:15:03 [error] 411#411: *7 auth request unexpected status: 502 while sending to client, client: \
               198.51.100.20, server: shop.test, request: \"GET /a HTTP/1.1\", host: \"shop.test\"\n";
    let files = [("access.log", access.as_str()), ("error.log", &format!("{asked}{own}"))];
    let told = told::of(&files, |verdict| (verdict.cause.id, verdict.records.len()));
    assert_eq!(told, [("gunicorn_not_running", 3)]);
}

#[test]
fn the_dirty_side_is_told_of_and_ends_no_web_worker() {
    let lines = "[2026-03-04 09:15:03 +0000] [310] [CRITICAL] DIRTY WORKER TIMEOUT (pid:311)
[2026-03-04 09:15:03 +0000] [310] [ERROR] Dirty worker (pid:311) killed by signal 9
[2026-03-04 09:15:03 +0000] [312] [ERROR] Execution timeout for shop.models.predict after 30.0s
[2026-03-04 09:15:03 +0000] [310] [ERROR] Dirty worker failed to boot (pid:313)
[2026-03-04 09:15:03 +0000] [313] [ERROR] Failed to load dirty apps: No module named 'torch'
[2026-03-04 09:15:03 +0000] [300] [ERROR] Dirty arbiter (pid:310) exited with code 1
";
    // By themselves they are no failure that anybody met.
    assert!(causes(&[("gunicorn.log", &format!("{START}{lines}"))]).is_empty());
    for line in lines.lines() {
        let log = format!("{START}{line}\n[2026-03-04 09:20:00 +0000] [300] [INFO] Handling signal: winch\n");
        let (access, error) = request("09:15:03", CUT, "GET", "/a", 502);
        let files = [("access.log", access.as_str()), ("error.log", error.as_str()), ("gunicorn.log", log.as_str())];
        let message = line.splitn(4, "] ").last().expect("a message");
        let told = told::of(&files, |verdict| {
            let is_told = verdict.evidence.iter().any(|quote| quote.text == message);
            (verdict.cause.id, is_told)
        });
        assert_eq!(told, [("upstream_closed_early", true)], "{line}");
    }
    // Long before or where nobody listened it says nothing.
    let before = "[2026-03-04 09:14:30 +0000] [310] [CRITICAL] DIRTY WORKER TIMEOUT (pid:311)\n";
    let (access, error) = request("09:15:03", CUT, "GET", "/a", 502);
    let log = format!("{START}{before}");
    let files = [("access.log", access.as_str()), ("error.log", error.as_str()), ("gunicorn.log", log.as_str())];
    let is_told = |text: &str| text.contains("DIRTY");
    let told = told::of(&files, |verdict| verdict.evidence.iter().any(|quote| is_told(&quote.text)));
    assert_eq!(told, [false]);
}

#[test]
fn a_name_that_may_not_resolve_is_not_answered_by_nginx() {
    let line = |time: &str, status: &str| {
        format!(
            r#"{{"msec":"1772615703.500","pid":"411","connection":"7","remote_addr":"198.51.100.20","request":"GET /a HTTP/1.1","status":"{status}","body_bytes_sent":"157","request_time":"{time}","upstream_addr":"-","upstream_status":"-"}}"#,
        )
    };
    assert_eq!(causes(&[("access.log", &line("0.001", "502"))]), ["/a nginx_answered"]);
    assert_eq!(
        causes(&[("access.log", &line("5.003", "502"))]),
        ["/a unknown"],
        "a resolver that is silent takes its time"
    );
}
