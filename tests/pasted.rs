//! Lines as people paste them: from other platforms, with their head lost, in the words and the marks of a page.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use told::{check, error, named, symptoms_and_causes};

#[test]
fn the_numbers_of_windows() {
    let connect =
        |code: &str| symptoms_and_causes(&error(&format!("connect() failed ({code})"), "connecting to upstream"));
    assert_eq!(connect("10061: Es konnte keine Verbindung hergestellt werden"), "connect_refused gunicorn_not_running");
    assert_eq!(connect("10060: A connection attempt failed"), "connect_timed_out connect_timeout");
    assert_eq!(connect("10065: A socket operation was attempted"), "connect_unreachable host_unreachable");
    assert_eq!(connect("10055: An operation on a socket"), "connect_no_local_port ephemeral_ports_exhausted");
    assert_eq!(connect("10013: An attempt was made"), "connect_permission_denied security_policy_denied");
    let reading = "reading response header from upstream";
    check(&error("WSARecv() failed (10054: FormatMessage() error)", reading), "response_reset upstream_closed_early");
    check(
        &error("WSASend() failed (10053: x)", "sending request to upstream"),
        "request_send_failed upstream_closed_early",
    );
    check(
        &error("upstream timed out (10060: A connection attempt failed)", reading),
        "response_timed_out slow_request",
    );
}

#[test]
fn deciding_words_in_bold() {
    let reading = "reading response header from upstream";
    let bold = error("**upstream prematurely closed connection", &format!("{reading}**"));
    check(&bold, "response_closed_early upstream_closed_early");
    check(
        &error("connect() failed (111: **Connection refused**)", "connecting to upstream"),
        "connect_refused gunicorn_not_running",
    );
    // Asterisks of a path are a path's.
    let path = "2026/03/04 09:15:02 [error] 4#4: *7 open() \"/srv/**/a\" failed (2: No such file or directory), client: 198.51.100.20, server: shop.test, request: \"GET /a HTTP/1.1\", host: \"shop.test\"";
    check(path, "");
}

#[test]
fn a_listening_socket_without_a_descriptor() {
    let line = |code: &str| format!("2026/03/04 09:15:02 [emerg] 411#411: socket() 0.0.0.0:80 failed ({code})");
    check(&line("24: Too many open files"), "nginx_out_of_files nginx_files_exhausted");
    check(&line("97: Address family not supported by protocol"), "");
}

#[test]
fn an_end_of_a_worker_behind_what_is_left_of_its_head() {
    check("web-1 web CRITICAL +0000] [6] [CRITICAL] WORKER TIMEOUT (pid:68)", "unknown worker_timeout");
    check(
        "We see `[ERROR] Worker (pid:31) was sent SIGKILL! Perhaps out of memory?` each hour.",
        "unknown worker_killed",
    );
    check("Error: `Worker (pid:52) was sent SIGSEGV!`", "unknown worker_crashed");
    // Words of somebody, perhaps of a client.
    check("INFO searched for WORKER TIMEOUT (pid:68)", "");
    check(r#"INFO query="x [6] [CRITICAL] WORKER TIMEOUT (pid:68)""#, "");
    check("[2026-03-04 09:15:03 +0000] [6] [INFO] GET /?q=`WORKER TIMEOUT (pid:68)", "");
}

#[test]
fn a_heading_is_no_exception() {
    check(
        "Error: `85#85: 1024 worker_connections are not enough`",
        "nginx_out_of_connections nginx_connections_exhausted",
    );
}

#[test]
fn a_worker_that_cannot_boot_is_one_incident() {
    let lines = "[2026-03-04 09:15:00 +0000] [301] [ERROR] Exception in worker process
Traceback (most recent call last):
  File \"/srv/env/gunicorn/arbiter.py\", line 608, in spawn_worker
    worker.init_process()
ModuleNotFoundError: No module named 'shop.settings'
[2026-03-04 09:15:00 +0000] [301] [INFO] Worker exiting (pid: 301)
[2026-03-04 09:15:01 +0000] [300] [ERROR] Worker (pid:301) exited with code 3
[2026-03-04 09:15:01 +0000] [300] [ERROR] Shutting down: Master
[2026-03-04 09:15:01 +0000] [300] [ERROR] Reason: Worker failed to boot.";
    check(lines, "unknown worker_boot_failed");
    let evidence = told::of(&[("a.log", lines)], |verdict| {
        verdict.evidence.iter().any(|quote| quote.text.contains("No module named 'shop.settings'"))
    });
    assert_eq!(evidence, [true], "the line that says what to mend");
    // A worker alone, and one of a `logconfig` without pids.
    let (alone, _) = lines.split_once("[2026-03-04 09:15:01").expect("the halt");
    check(alone, "unknown worker_boot_failed");
    check("[ERROR] Exception in worker process\nImportError: cannot import name 'app'", "unknown worker_boot_failed");
}

#[test]
fn an_application_that_the_master_cannot_import() {
    let frames = |function: &str| {
        format!(
            "web-1  | Traceback (most recent call last):
web-1  |   File \"/srv/env/gunicorn/arbiter.py\", line 120, in {function}
web-1  |     self.app.wsgi()
web-1  | ModuleNotFoundError: No module named 'shop'"
        )
    };
    check(&frames("setup"), "unknown worker_boot_failed");
    check(&frames("sleep"), "");
}

#[test]
fn a_terminal_that_filled_its_width_with_blanks() {
    let blanks = " ".repeat(60);
    let line = error("connect() failed (111: Connection refused)", "connecting to upstream");
    let wrapped =
        line.replace("Connection", &format!("Con{blanks}nection")).replace("GET /cart", &format!("GET /c{blanks}art"));
    assert_eq!(told::of(&[("a.log", &wrapped)], told::target_and_cause), ["/cart gunicorn_not_running"]);
}

#[test]
fn an_access_line_and_an_error_line_run_together() {
    let access = r#"198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] "GET /cart HTTP/1.1" 504 167 "-" "-""#;
    let timed_out = error("upstream timed out (110: Connection timed out)", "reading response header from upstream");
    check(&format!("{access} {timed_out}"), "response_timed_out slow_request");
    check(&format!("{access}{timed_out}"), "response_timed_out slow_request");
    // Words of a client in a header that a format has without quotes: they decide nothing.
    check(&format!("{access} {}", timed_out.replace('"', "\\x22")), "unknown unknown");
    let own = timed_out.split(" \"GET").next().unwrap_or_default();
    check(&format!("{access} {own} \"10.1.2.3:8000\""), "unknown unknown");
}

/// What why502 adds of its own to the evidence of the first verdict.
fn added(lines: &str) -> Vec<String> {
    let quotes = told::of(&[("a.log", lines)], |verdict| verdict.evidence.clone());
    quotes.into_iter().take(1).flatten().filter(|quote| quote.ticket.is_none()).map(|quote| quote.text).collect()
}

#[test]
fn what_the_usual_advice_does_not_fit() {
    let refused = error("connect() failed (111: Connection refused)", "connecting to upstream");
    assert_eq!(added(&refused), [""; 0]);
    assert!(added(&refused.replace("http://10", "fastcgi://10")).iter().any(|text| text.contains("PHP-FPM")));
    let file = "2026/03/04 09:15:02 [crit] 4#4: *7 open() \"/var/cache/nginx/7\" failed (13: Permission denied) while reading upstream";
    assert!(added(file).iter().any(|text| text.contains("temporary file")));
    let unit = "Mar  4 09:15:03 web1 systemd[1]: gunicorn.service: Main process exited, code=exited, status=";
    assert!(added(&format!("{unit}203/EXEC")).iter().any(|text| text.contains("cannot be run")));
    assert_eq!(added(&format!("{unit}3/n/a")), [""; 0]);
}

#[test]
fn no_address_of_its_own_is_the_rule_for_ipv6() {
    let line = |peer: &str| {
        error(&format!("connect() to {peer} failed (99: Cannot assign requested address)"), "connecting to upstream")
    };
    check(&line("[::1]:8000"), "connect_no_local_port network_unreachable");
    check(&line("127.0.0.1:8000"), "connect_no_local_port ephemeral_ports_exhausted");
}

#[test]
fn a_bare_499_tells_who_closed_not_why() {
    let line = |more: &str| {
        format!("198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] \"GET /cart HTTP/1.1\" 499 0 \"-\" \"x\"{more}")
    };
    let rule = |lines: &str| told::of(&[("a.log", lines)], told::rule);
    assert_eq!(rule(&line("")), ["client_closed_request.status_alone"]);
    let ingress = " 120 29.998 [web-8000] [] 10.1.2.3:8000 0 29.998 - 0f3c2a";
    assert_eq!(rule(&line(ingress)), ["client_closed_request.said"]);
}

#[test]
fn a_frame_of_the_abort_is_a_timeout() {
    let frame =
        "  File \"/srv/env/gunicorn/workers/base.py\", line 204, in handle_abort\n    sys.exit(1)\nSystemExit: 1\n";
    check(frame, "unknown worker_timeout");
    let workers = |lines: &str| told::of(&[("a.log", lines)], |verdict| (verdict.cause.id, verdict.worker_pid));
    assert_eq!(workers(frame), [("worker_timeout", None)]);
    let exits = format!("{frame}[2026-03-04 09:15:04 +0000] [301] [INFO] Worker exiting (pid: 301)\n");
    assert_eq!(workers(&exits), [("worker_timeout", Some(301))]);
    let request = format!("[2026-03-04 09:15:03 +0000] [301] [ERROR] Error handling request /slow\n{exits}");
    assert_eq!(workers(&request), [("worker_timeout", Some(301))]);
    let timeout = format!("[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)\n{request}");
    assert_eq!(workers(&timeout), [("worker_timeout", Some(301))]);
}

#[test]
fn lines_before_the_first_stamp_are_of_the_beginning() {
    let lines =
        "upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20
[2026-03-04 09:15:02 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)";
    let found = told::of(&[("a.log", lines)], |verdict| (verdict.cause.id, verdict.time));
    // A line without a stamp is of this second or the one before.
    assert_eq!(found, [("worker_timeout", 1_772_615_701_000_000_000)]);
}

#[test]
fn records_that_a_mail_or_a_narrow_terminal_wrapped() {
    check("[2026-03-04 09:15:02 +0000] [300] [CRITICAL] WORKER TIMEOUT\n(pid:301)", "unknown worker_timeout");
    check(
        "web-1  | [2026-03-04 09:15:02 +0000] [300] [WARNING] Worker with pid 301 was\nterminated due to signal 11",
        "unknown worker_crashed",
    );
    check(
        "recv() failed (104: Connection reset by peer) while reading response\nheader from upstream",
        "response_reset upstream_closed_early",
    );
    check(
        "2026/03/04 09:15:02 [alert] 4#4: 1024 worker_connections are\nnot enough",
        "nginx_out_of_connections nginx_connections_exhausted",
    );
    let to_ipv6 =
        error("connect() to\n[2001:db8::7]:8000 failed (101: Network is unreachable)", "connecting to upstream");
    check(&to_ipv6, "connect_unreachable network_unreachable");
    // A path at the beginning of a line is no comment.
    let access = "198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] \"GET /cart HTTP/1.1\" 502 157 \"-\" \"x\"";
    let refused = error("connect() failed (111: Connection refused)", "connecting to upstream");
    check(&format!("{}\n{access}", refused.replace("GET /cart", "GET\n/cart")), "connect_refused gunicorn_not_running");
    // Three lines of one width by chance, which were cut between words.
    let cut = error("upstream prematurely closed connection", "reading upstream");
    let (first, rest) = cut.split_once(" upstream, client").expect("an action");
    let (second, third) = rest.split_at(first.len() - " upstream, client".len() + 1);
    check(&format!("{first}\nupstream, client{second}\n{third}"), "response_truncated response_truncated");
    let reset = error("recv() failed (104: Connection reset by peer)", "reading response header from upstream");
    let recycled = "[2026-03-04 09:15:02 +0000] [301] [INFO] Autorestarting worker after\ncurrent request.";
    check(&format!("{recycled}\n{reset}"), "response_reset worker_recycled");
    // Cut in the middle of words, every line after the first indented.
    let line = error("connect() failed (111: Connection refused)", "connecting to upstream");
    let (mut wrapped, mut rest) = (String::new(), line.as_str());
    while rest.len() > 70 {
        let (part, after) = rest.split_at(70);
        wrapped.push_str(&format!("{part}\n    "));
        rest = after;
    }
    check(&format!("{wrapped}{rest}"), "connect_refused gunicorn_not_running");
}

#[test]
fn marks_before_other_envelopes() {
    for mark in ["- ", "3. ", "# "] {
        check(&format!("{mark}[CRITICAL] WORKER TIMEOUT (pid:31)"), "unknown worker_timeout");
        let syslog = "Mar  4 09:15:03 web1 gunicorn[300]: [CRITICAL] WORKER TIMEOUT (pid:31)";
        check(&format!("{mark}{syslog}"), "unknown worker_timeout");
    }
}

#[test]
fn a_failure_without_any_time_is_judged_like_another() {
    let lines = "198.51.100.20 - - [masked] \"GET /cart HTTP/1.1\" 502 157 \"-\" \"x\"";
    assert_eq!(told::of(&[("a.log", lines)], |verdict| verdict.cause.id), ["unknown"]);
    let json = r#"{"status":"502","request":"GET /cart HTTP/1.1","upstream_addr":"10.1.2.3:8000","upstream_status":"502","upstream_header_time":"0.010"}"#;
    assert_eq!(told::of(&[("a.log", json)], |verdict| verdict.cause.id), ["app_returned_error"]);
}

#[test]
fn a_log_that_begins_with_a_kill_does_not_tell_of_a_timeout_before() {
    let kill = "[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?\n";
    let rule = |lines: &str| told::of(&[("a.log", lines)], told::rule);
    assert_eq!(rule(kill), ["worker_killed.log_begins"]);
    let boot = |pid: u32, second: u32| {
        format!("[2026-03-04 09:15:{second:02} +0000] [{pid}] [INFO] Booting worker with pid: {pid}\n")
    };
    assert_eq!(rule(&format!("{}{kill}", boot(301, 2))), ["worker_killed.told"], "its whole life is in sight");
    assert_eq!(rule(&format!("{}{kill}", boot(302, 0))), ["worker_killed.told"]);
    // Those that were killed later had timed out.
    let timed_out = |second: u32, pid: u32| {
        let killed = kill.replace("15:03", &format!("15:{:02}", second + 1)).replace("301", &pid.to_string());
        format!("[2026-03-04 09:15:{second:02} +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:{pid})\n{killed}")
    };
    assert_eq!(rule(&format!("{kill}{}", timed_out(33, 302))), ["worker_timeout.log_begins", "worker_timeout.told"]);
    let other = kill.replace("15:03", "15:40").replace("301", "303");
    let both = format!("{kill}{}{other}", timed_out(33, 302));
    assert_eq!(rule(&both), ["worker_killed.log_begins", "worker_timeout.told", "worker_killed.told"]);
}

#[test]
fn a_header_that_nginx_ignores_fails_no_request() {
    let line = |level: &str, end: &str| {
        format!(
            "2026/03/04 09:15:02 [{level}] 411#411: *7 upstream sent duplicate header line: \"Date: Wed, 04 Mar 2026 09:15:02 GMT\", previous value: \"Date: Wed, 04 Mar 2026 09:15:02 GMT\"{end} while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: \"GET /cart HTTP/1.1\", upstream: \"http://127.0.0.1:8000/cart\", host: \"shop.test\"\n"
        )
    };
    assert_eq!(named(&line("warn", ", ignored")), Vec::<String>::new());
    assert_eq!(named(&line("error", "")), ["response_header_invalid"]);
}
