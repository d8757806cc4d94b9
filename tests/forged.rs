//! Nobody forges a cause: what a client sends stands in logs as one value, however much it looks like a line of its own.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use told::target_and_cause;

fn told(files: &[(&str, &str)]) -> Vec<String> {
    told::of(files, target_and_cause)
}

/// What a client would like to be read.
const PAYLOADS: [&str; 10] = [
    r#"2026/03/04 09:15:03 [error] 411#411: *1 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.9, server: s, request: "GET /forged HTTP/1.1", upstream: "http://127.0.0.1:8000/forged", host: "s""#,
    r#"2026/03/04 09:15:03 [alert] 411#411: 512 worker_connections are not enough while connecting to upstream"#,
    "[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)",
    "[2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?",
    "[2026-03-04 09:15:03 +0000] [300] [ERROR] Reason: Worker failed to boot.",
    "Mar  4 09:15:03 web kernel: Out of memory: Killed process 301 (gunicorn) total-vm:1kB, anon-rss:1kB",
    "web.service: Main process exited, code=killed, status=9/KILL",
    r#"{"log":"[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)\n","stream":"stderr"}"#,
    r#"2026-03-04T09:15:03.000000000Z stderr F [2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)"#,
    r#"198.51.100.9 - - [04/Mar/2026:09:15:03 +0000] "GET /forged HTTP/1.1" 502 157 "-" "-""#,
];

/// nginx's `escape=default`.
fn default_escape(text: &str) -> String {
    text.replace('\\', "\\x5C").replace('"', "\\x22").replace('\n', "\\x0A")
}

/// nginx's `escape=json`, and what Gunicorn does to quotes.
fn json_escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Healthy access lines whose fields hold the payload, as each program writes it.
fn healthy(payload: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for before in ["", "x\n", "x\" 502 157 \"-\" \"-\"\n"] {
        let sent = format!("{before}{payload}");
        let (nginx, json) = (default_escape(&sent), json_escape(&sent));
        for field in ["request", "referrer", "agent", "user", "host"] {
            let value =
                |of: &str, escaped: &str, usual: &str| if of == field { escaped.to_owned() } else { usual.to_owned() };
            let combined = |escaped: &str| {
                format!(
                    r#"198.51.100.2 - {} [04/Mar/2026:09:15:03 +0000] "GET /fine{} HTTP/1.1" 200 12 "{}" "{}""#,
                    value("user", &escaped.replace(' ', "_"), "-"),
                    value("request", escaped, ""),
                    value("referrer", escaped, "-"),
                    value("agent", escaped, "curl/8.5.0"),
                )
            };
            lines.push((format!("combined, {field}"), combined(&nginx)));
            lines.push((format!("Gunicorn, {field}"), combined(&json)));
            lines.push((
                format!("JSON, {field}"),
                format!(
                    r#"{{"msec":"1772615703.120","remote_addr":"198.51.100.2","remote_user":"{}","host":"{}","request":"GET /fine{} HTTP/1.1","status":"200","body_bytes_sent":"12","request_time":"0.013","upstream_addr":"127.0.0.1:8000","upstream_status":"200","http_referer":"{}","http_user_agent":"{}"}}"#,
                    value("user", &json, ""),
                    value("host", &json, "s"),
                    value("request", &json, ""),
                    value("referrer", &json, ""),
                    value("agent", &json, "curl/8.5.0"),
                ),
            ));
        }
    }
    lines
}

#[test]
fn no_field_of_a_healthy_request_makes_a_verdict() {
    for payload in PAYLOADS {
        for (name, line) in healthy(payload) {
            let found = told(&[("access.log", &format!("{line}\n"))]);
            assert!(found.is_empty(), "{name}: {found:?} of\n{line}");
        }
    }
}

/// Access logs in formats that nobody told of, with the value of a client in them; `%` is the value.
const ODD_FORMATS: [&str; 16] = [
    r#""%" 198.51.100.9 - - [04/Mar/2026:09:15:02 +0000] "GET / HTTP/1.1" 200 5 "-" "x""#,
    r#""%" 198.51.100.9 200 "x""#,
    r#"- "%" 200 "GET / HTTP/1.1""#,
    r#"- "%" 200 "x""#,
    r#""2026-03-04T09:15:02+00:00","198.51.100.9","GET","/x","200","%""#,
    r#""2026-03-04T09:15:02+00:00","shop.test","GET /x HTTP/1.1","200","%""#,
    r#""2026-03-04T09:15:02+00:00","198.51.100.9","%","200""#,
    "198.51.100.9|04/Mar/2026:09:15:02 +0000|GET|/x|200|%",
    "198.51.100.9\t200\tGET\t/x\t%",
    "time:04/Mar/2026:09:15:02 +0000\thost:198.51.100.9\tmethod:DELETE\turi:/x\tstatus:200\tua:%",
    "198.51.100.9 200 DELETE /x [%]",
    "198.51.100.9 200 DELETE /x '%'",
    "198.51.100.9 - - [04/Mar/2026:09:15:02 +0000] DELETE /x 200 %",
    "2026-03-04T09:15:02+00:00;198.51.100.9;DELETE;/x;200;%",
    r#"2026-03-04T09:15:02+00:00 198.51.100.9 DELETE /x 200 "%""#,
    "2026-03-04T09:15:02+00:00 198.51.100.9 DELETE /x 200 %",
];

/// What is left of lines when their head is lost, as pastes have it, and what other programs say.
const FRAGMENTS: [&str; 9] = [
    "[7] [CRITICAL] WORKER TIMEOUT (pid:31)",
    "+0000] [7] [CRITICAL] WORKER TIMEOUT (pid:31)",
    "`Worker (pid:31) was sent SIGKILL! Perhaps out of memory?`",
    "Worker (pid:31) was sent SIGKILL! Perhaps out of memory?",
    "WORKER TIMEOUT (pid:31)",
    "gunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>",
    "exited: gunicorn (terminated by SIGKILL; not expected)",
    "*** HARAKIRI ON WORKER 1 (pid: 31, try: 1) ***",
    "File '/x/workers/base.py', line 204, in handle_abort",
];

#[test]
fn no_value_in_a_format_of_any_kind_makes_a_verdict() {
    for format in ODD_FORMATS {
        for payload in PAYLOADS.iter().chain(&FRAGMENTS) {
            let line = format.replace('%', &default_escape(payload));
            let found =
                told::of(&[("access.log", &format!("{line}\n"))], |verdict| (verdict.cause.id, verdict.confidence));
            // Words of nginx's error log behind other words may be a paste: they are told of, with doubt.
            let doubted = payload.starts_with("2026/03/04") && found.iter().all(|(_, confidence)| *confidence < 0.5);
            assert!(found.is_empty() || doubted, "{found:?} of\n{line}");
        }
    }
}

/// What stands before the words again and again is no envelope of a tool: clients send what they like as often as they like.
#[test]
fn no_value_is_believed_for_its_number() {
    // With what nobody would take for an access log before it.
    let more = [
        r#"edge-1|% - - [04/Mar/2026:09:15:02 +0000] "GET / HTTP/1.1" 200 5 "-" "x""#,
        r#"<edge> shop: % - - [04/Mar/2026:09:15:02 +0000] "GET / HTTP/1.1" 200 5"#,
        r#"shop.test % - - [04/Mar/2026:09:15:02 +0000] "GET / HTTP/1.1" 200 5"#,
        r#"edge-1 shop.test % - - [04/Mar/2026:09:15:02 +0000] "GET / HTTP/1.1" 200 5"#,
        r#"[2026-03-04T09:15:02Z] % - - [04/Mar/2026:09:15:02 +0000] "GET / HTTP/1.1" 200 5"#,
        "2026-03-04T09:15:02+00:00\t198.51.100.9\tGET\t/x\t%",
        "2026-03-04T09:15:02+00:00\tshop.test\tdesktop\t%\t200\t198.51.100.9",
        r#"2026-03-04T09:15:02,shop.test,/x,"%""#,
        "ts=2026-03-04T09:15:02Z level=info ua=%",
        "<edge-1> agent: %",
        "edge-1;04/Mar/2026;200;%",
        "{edge} /x %",
    ];
    let healthy = r#"198.51.100.9 - - [04/Mar/2026:09:15:04 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl/8""#;
    for format in ODD_FORMATS.into_iter().chain(more) {
        for payload in PAYLOADS {
            for between in ["", healthy] {
                let line = format.replace('%', &default_escape(payload));
                let lines = format!("{line}\n{between}\n").repeat(8);
                let found = told::of(&[("access.log", &lines)], |verdict| (verdict.cause.id, verdict.confidence));
                let doubted =
                    payload.starts_with("2026/03/04") && found.iter().all(|(_, confidence)| *confidence < 0.5);
                assert!(found.is_empty() || doubted, "{found:?} of\n{lines}");
            }
        }
    }
}

/// A header without quotes behind the last value in quotes, of a request that failed: nothing in it is a second record.
#[test]
fn no_header_behind_the_last_quote_is_a_record() {
    let failed = r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /cart HTTP/1.1" 502 157 "-" "curl/8.5.0""#;
    let plain = told(&[("access.log", &format!("{failed} 203.0.113.9\n"))]);
    for payload in PAYLOADS {
        for behind in ["", " \"127.0.0.1:8000\""] {
            let line = format!("{failed} {}{behind}\n", default_escape(payload));
            let found = told(&[("access.log", &line)]);
            // A name that stands twice (`status=`) makes its own line doubtful, which then says nothing.
            assert!(found == plain || found.is_empty(), "{found:?} of\n{line}");
        }
    }
}

#[test]
fn a_genuine_failure_keeps_its_cause_beside_them() {
    let access = r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /cart HTTP/1.1" 502 157 "-" "curl/8.5.0""#;
    let error = r#"2026/03/04 09:15:03 [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: s, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "s""#;
    for payload in PAYLOADS {
        for (name, line) in healthy(payload) {
            let all = format!("{line}\n{access}\n{line}\n");
            let found = told(&[("access.log", &all), ("error.log", error)]);
            assert_eq!(found, ["/cart gunicorn_not_running"], "{name}:\n{line}");
        }
    }
}

#[test]
fn a_line_feed_that_nginx_decodes_into_its_error_log_forges_nothing() {
    let payloads = PAYLOADS.iter().filter(|payload| !payload.starts_with('{'));
    for payload in payloads {
        // nginx writes the decoded path raw into `upstream:`; the access line has it as it was sent.
        let target = format!("/cart?x=%0a{}", payload.replace(' ', "%20").replace('"', "%22"));
        let access = format!(
            "198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] \"GET {target} HTTP/1.1\" 502 157 \"-\" \"curl/8.5.0\"\n"
        );
        let error = format!(
            "2026/03/04 09:15:03 [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: s, request: \"GET {target} HTTP/1.1\", upstream: \"http://127.0.0.1:8000/cart\n{payload}\", host: \"s\"\n"
        );
        let found = told(&[("access.log", &access), ("error.log", &error)]);
        assert_eq!(found, [format!("{target} gunicorn_not_running")], "{payload}");
    }
}
