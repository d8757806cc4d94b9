//! Lines as people paste them: from other platforms, with their head lost, in the words and the marks of a page.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use told::{error, named};

/// What is said of these lines: symptom and cause of each verdict.
fn told(lines: &str) -> String {
    told::of(&[("pasted.log", lines)], |verdict| format!("{} {}", verdict.symptom.id(), verdict.cause.id)).join("\n")
}

fn check(lines: &str, expected: &str) {
    assert_eq!(told(lines), expected, "\n{lines}");
}

#[test]
fn the_numbers_of_windows() {
    let connect = |code: &str| told(&error(&format!("connect() failed ({code})"), "connecting to upstream"));
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
fn a_prefix_that_nobody_told_of_is_learned_from_its_file() {
    let prefixes: [fn(u32) -> String; 4] = [
        |number| format!(">>> nginx@web-{} >>> ", number % 3),
        |number| format!("seq:{number:06};host:web;"),
        |number| format!("app/web.1 [{number}] => "),
        |number| format!("Mar04-09:15:{:02}|nginx|", number % 60),
    ];
    for prefix in prefixes {
        let request = |number: u32| {
            let path = format!("GET /{number} ");
            let refused = error("connect() failed (111: Connection refused)", "connecting to upstream");
            let (of_error, of_access) = (prefix(2 * number), prefix(2 * number + 1));
            let access =
                format!(r#"198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] "{path}HTTP/1.1" 502 157 "-" "curl/8""#);
            format!("{of_error}{}\n{of_access}{access}\n", refused.replace("GET /cart ", &path))
        };
        let lines: String = (1..=5).map(request).collect();
        let of_both = |verdict: &why502::engine::verdict::Verdict| {
            format!("{:?} {} {}", verdict.status, verdict.cause.id, verdict.records.len())
        };
        let told = told::of(&[("nginx.log", &lines)], of_both);
        assert_eq!(told, ["Some(502) gunicorn_not_running 2"; 5], "\n{lines}");
    }
}

/// A line of `source` as a shipper or an export hands it on.
type Around = fn(line: &str, source: &str) -> String;

/// The text as a JSON string.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[test]
fn what_managers_platforms_and_pages_put_around_a_line() {
    let ways: [(&str, Around); 23] = [
        ("blanks that break no line", |line, _| line.replace(' ', "\u{a0}")),
        ("PM2", |line, source| format!("0|{source:<10}| {line}")),
        ("PM2 with a time", |line, source| format!("1|{source:<10}| 2026-03-04T09:15:02: {line}")),
        ("honcho", |line, source| format!("09:15:02 {:<9} | {line}", format!("{source}.1"))),
        ("a task of a swarm", |line, source| format!("shop_{source}.1.k3j9x8q2w1zz@node-1    | {line}")),
        ("Fly", |line, _| format!("2026-03-04T09:15:02Z app[918571e3] fra [info] {line}")),
        ("RFC 6587", |line, source| {
            let packet = format!("<30>1 2026-03-04T09:15:02.250Z web1 {source} 7 - - {line}");
            format!("{} {packet}", packet.len())
        }),
        ("journalctl -o short-monotonic", |line, source| format!("[ 2502.250000] web1 {source}[7]: {line}")),
        ("journalctl -o verbose", |line, source| {
            format!("    SYSLOG_IDENTIFIER={source}\n    _HOSTNAME=web1\n    MESSAGE={line}")
        }),
        ("docker logs --details", |line, source| format!("com.docker.compose.service={source},tier=front {line}")),
        ("stern --all-namespaces", |line, source| format!("prod web-7f8c9d6b5d-x2kqp {source} {line}")),
        ("k9s", |line, source| format!("2026-03-04T09:15:02.250Z web-7f8c9d6b5d-x2kqp {source} │ {line}")),
        ("Cloud Logging", |line, source| {
            format!("ERROR 2026-03-04T09:15:02.250Z [resource.labels.containerName: {source}] {line}")
        }),
        ("Kibana", |line, _| format!("Mar 4, 2026 @ 09:15:02.250\t{line}")),
        ("CloudWatch's console", |line, _| format!("▶ 2026-03-04T09:15:02.250+00:00 {line}")),
        ("aws logs --output text", |line, source| {
            format!("EVENTS\t38\t1772615702900\tshop/{source}/0f9e\t{line}\t1772615702250")
        }),
        ("code in a list", |line, _| format!("- `{line}`")),
        ("a number and a bar", |line, _| format!("  117 | {line}")),
        ("bat", |line, _| format!("   7   │ {line}")),
        ("colours as cat -v has them", |line, _| format!("^[[31m{line}^[[0m")),
        ("colours of a string of JSON", |line, _| format!("\\u001b[01;31m{line}\\u001b[0m")),
        ("colours that lost their escape", |line, _| format!("[31m{line}[0m")),
        ("Markdown", |line, _| line.replace('[', "\\[").replace('_', "\\_")),
    ];
    for (name, around) in ways {
        check_around(name, around);
    }
}

#[test]
fn lines_without_a_head_of_their_own_behind_what_tells_the_time() {
    let around =
        |before: &str, lines: &[String]| lines.iter().map(|line| format!("{before}{line}\n")).collect::<String>();
    let closed = error("upstream prematurely closed connection", "reading response header from upstream");
    for before in ["Mar 04 09:15:02 AM  ", "Mar 4, 2026 @ 09:15:02.250\t", "[shop-web] "] {
        let uwsgi =
            ["Wed Mar  4 09:15:02 2026 - *** HARAKIRI ON WORKER 1 (pid: 31, try: 1) ***".to_owned(), closed.clone()];
        check(&around(before, &uwsgi), "response_closed_early worker_timeout");
        let fpm = ["[04-Mar-2026 09:15:02] WARNING: [pool www] child 31 exited on signal 11 (SIGSEGV) after 81.3 seconds from start".to_owned(), closed.clone()];
        check(&around(before, &fpm), "response_closed_early worker_crashed");
    }
    let files = [
        "[2026-03-04 09:15:02 +0000] [31] [ERROR] Exception in worker process".to_owned(),
        "Traceback (most recent call last):".to_owned(),
        "OSError: [Errno 24] Too many open files".to_owned(),
        closed,
    ];
    check(&around("Mar 04 09:15:02 AM  ", &files), "response_closed_early gunicorn_files_exhausted");
}

#[test]
fn what_shippers_and_exports_put_around_a_line() {
    let ways: [(&str, Around); 24] = [
        ("logcli", |line, source| {
            format!("2026-03-04T09:15:02Z {{container=\"{source}\", namespace=\"shop\"}} {line}")
        }),
        ("Azure", |line, source| format!("{{\"LogEntry\":{},\"ContainerName\":\"{source}\"}}", json(line))),
        ("Azure, second table", |line, _| format!("{{\"LogMessage\":{},\"PodName\":\"web-1\"}}", json(line))),
        ("GELF", |line, _| format!("{{\"version\":\"1.1\",\"host\":\"web1\",\"short_message\":{}}}", json(line))),
        ("Datadog", |line, source| {
            format!(
                "{{\"id\":\"x\",\"content\":{{\"status\":\"error\",\"service\":\"{source}\",\"message\":{}}}}}",
                json(line)
            )
        }),
        ("Elasticsearch", |line, _| format!("{{\"_index\":\"f\",\"_source\":{{\"message\":{}}}}}", json(line))),
        ("Splunk", |line, _| format!("{{\"preview\":false,\"result\":{{\"_raw\":{},\"host\":\"web1\"}}}}", json(line))),
        ("LogDNA", |line, source| format!("{{\"_line\":{},\"_app\":\"{source}\"}}", json(line))),
        ("fluentd, standard output", |line, source| {
            format!("2026-03-04 09:15:02.000000000 +0000 docker.{source}: {{\"log\":{}}}", json(line))
        }),
        ("fluentd, file", |line, source| {
            format!("2026-03-04T09:15:02+00:00\tdocker.{source}\t{{\"log\":{}}}", json(line))
        }),
        ("Fluent Bit 2", |line, source| {
            format!("[0] kube.{source}: [[1772615702.123, {{}}], {{\"log\":{}}}]", json(line))
        }),
        ("a CSV", |line, source| {
            format!("\"2026-03-04T09:15:02.000Z\",\"{source}\",\"{}\"", line.replace('"', "\"\""))
        }),
        ("a CSV with bare values", |line, source| {
            format!("2026-03-04T09:15:02,{source},\"{}\"", line.replace('"', "\"\""))
        }),
        ("Sumo Logic", |line, _| format!("1,\"03/04/2026 09:15:02.000 +0000\",\"{}\"", line.replace('"', "\"\""))),
        ("Papertrail", |line, source| {
            format!(
                "17\t2026-03-04T09:15:02Z\t2026-03-04T09:15:02Z\t1\tweb1\t192.0.2.1\tLocal7\tInfo\t{source}\t{line}"
            )
        }),
        ("logfmt", |line, source| format!("ts=2026-03-04T09:15:02Z level=info container={source} msg={}", json(line))),
        ("Filebeat", |line, source| {
            format!(
                "{{\"@timestamp\":\"2026-03-04T09:15:02.250Z\",\"message\":{},\"log\":{{\"offset\":7,\"file\":{{\"path\":\"/var/log/{source}.log\"}}}}}}",
                json(line)
            )
        }),
        ("Azure Container Apps", |line, _| {
            format!("{{\"TimeStamp\":\"2026-03-04T09:15:02.250Z\",\"Log\":{}}}", json(line))
        }),
        ("Fluent Bit, the tag of a pod", |line, source| {
            let id = "0a1b4c5d6e7f8a9b".repeat(4);
            format!(
                "[0] kube.var.log.containers.shop-{source}-7f8c9d6b5d-x2kqp_prod_{source}-{id}.log: [[1772615702.123, {{}}], {{\"log\":{}}}]",
                json(line)
            )
        }),
        ("journalctl -o short-full", |line, source| format!("Wed 2026-03-04 09:15:02 UTC web1 {source}[7]: {line}")),
        ("journalctl -o short-unix", |line, source| format!("1772615702.250000 web1 {source}[7]: {line}")),
        ("grep -n", |line, _| format!("7:{line}")),
        ("a stamp in brackets", |line, _| format!("[2026-03-04T09:15:02Z] {line}")),
        ("the collector's debug exporter", |line, _| format!("Body: Str({line})")),
    ];
    for (name, around) in ways {
        check_around(name, around);
    }
}

/// Four requests that a worker's timeout cut, in one file and in one for each log.
fn check_around(name: &str, around: Around) {
    let reading = error("upstream prematurely closed connection", "reading response header from upstream");
    let (mut logs, mut all) = ([const { String::new() }; 3], String::new());
    for number in 0..4 {
        let second = 2 + number;
        let at = |line: String| line.replace("09:15:02", &format!("09:15:{second:02}"));
        let path = format!("GET /{number} ");
        let timeout = at(format!("[2026-03-04 09:15:02 +0000] [100] [CRITICAL] WORKER TIMEOUT (pid:{})", 300 + number));
        let refused = at(reading.replace("*7 ", &format!("*{number} ")).replace("GET /cart ", &path));
        let answer =
            at(format!(r#"198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] "{path}HTTP/1.1" 502 157 "-" "curl/8""#));
        let booting =
            at(format!("[2026-03-04 09:15:02 +0000] [{0}] [INFO] Booting worker with pid: {0}", 400 + number));
        for (log, line, source) in
            [(0, timeout, "gunicorn"), (1, refused, "nginx"), (2, answer, "nginx"), (0, booting, "gunicorn")]
        {
            let line = around(&line, source) + "\n";
            logs[log].push_str(&line);
            all.push_str(&line);
        }
    }
    let of_all = |verdict: &why502::engine::verdict::Verdict| format!("{:?} {}", verdict.status, verdict.cause.id);
    let expected = ["Some(502) worker_timeout"; 4];
    assert_eq!(told::of(&[("all.log", &all)], of_all), expected, "{name}\n{all}");
    let split = [("gunicorn.log", &*logs[0]), ("error.log", &*logs[1]), ("access.log", &*logs[2])];
    assert_eq!(told::of(&split, of_all), expected, "{name}, in three files\n{all}");
}

#[test]
fn a_file_of_the_collectors_exporter() {
    let request = |line: &str, source: &str| {
        let resource = format!(r#"{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{source}"}}}}]}}"#);
        let record = format!(r#"{{"timeUnixNano":"1772615702000000000","body":{{"stringValue":{}}}}}"#, json(line));
        format!(r#"{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#)
    };
    check_around("OTLP", request);
    // Several records in one request.
    let line = |text: String| format!(r#"{{"body":{{"stringValue":{}}}}}"#, json(&text));
    let records = [
        line(error("connect() failed (111: Connection refused)", "connecting to upstream")),
        line(r#"198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] "GET /cart HTTP/1.1" 502 157 "-" "curl/8""#.to_owned()),
    ];
    let both = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#, records.join(","));
    check(&both, "connect_refused gunicorn_not_running");
}

/// Makes one file out of lines, each with its source.
type Whole = fn(lines: &[(String, &str)]) -> String;

#[test]
fn documents_and_tables_of_log_stores() {
    let listening = |number: u32| {
        let line = format!("[{number}00] [INFO] Listening at: http://10.1.2.{number}:8000 ({number}00)");
        (format!("[2026-03-04 09:14:00 +0000] {line}"), "gunicorn")
    };
    let mut lines = vec![listening(1), listening(2)];
    for (number, service) in [(1, "shop"), (2, "billing")] {
        let cut = error("upstream prematurely closed connection", "reading response header from upstream")
            .replace("GET /cart", &format!("GET /{service}"))
            .replace("*7 ", &format!("*{number} "))
            .replace("10.1.2.3:8000", &format!("10.1.2.{number}:8000"));
        if service == "shop" {
            lines.push(("[2026-03-04 09:15:02 +0000] [100] [CRITICAL] WORKER TIMEOUT (pid:31)".to_owned(), "gunicorn"));
        }
        lines.push((cut, "nginx"));
        lines.push((
            format!(
                "198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] \"GET /{service} HTTP/1.1\" 502 157 \"-\" \"curl/8\""
            ),
            "nginx",
        ));
    }
    let ways: [(&str, Whole); 10] = [
        ("Elasticsearch", |lines| {
            let hits: Vec<_> = lines
                .iter()
                .map(|(line, _)| serde_json::json!({"_index": "a", "_source": {"message": line}}))
                .collect();
            format!("{:#}", serde_json::json!({"took": 3, "hits": {"total": {"value": 7}, "hits": hits}}))
        }),
        ("Loki", |lines| {
            let values: Vec<_> =
                lines.iter().map(|(line, _)| serde_json::json!(["1772615702000000000", line])).collect();
            serde_json::json!({"status": "success", "data": {"result": [{"stream": {"app": "x"}, "values": values}]}})
                .to_string()
        }),
        ("aws logs filter-log-events", |lines| {
            let events: Vec<_> = lines
                .iter()
                .map(|(line, _)| serde_json::json!({"timestamp": 1_772_615_702_000_u64, "message": line}))
                .collect();
            format!("{:#}", serde_json::json!({"events": events, "searchedLogStreams": []}))
        }),
        ("aws logs get-query-results", |lines| {
            let rows: Vec<_> =
                lines.iter().map(|(line, _)| serde_json::json!([{"field": "@message", "value": line}])).collect();
            format!("{:#}", serde_json::json!({"results": rows, "status": "Complete"}))
        }),
        ("Cloud Logging", |lines| {
            let entries: Vec<_> =
                lines.iter().map(|(line, _)| serde_json::json!({"insertId": "x", "textPayload": line})).collect();
            format!("{:#}", serde_json::json!(entries))
        }),
        ("Grafana", |lines| {
            let entries: Vec<_> = lines
                .iter()
                .map(|(line, _)| serde_json::json!({"line": line, "date": "2026-03-04T09:15:02Z"}))
                .collect();
            serde_json::json!(entries).to_string()
        }),
        ("journalctl -o json-pretty", |lines| {
            let entries = lines.iter().map(
                |(line, source)| serde_json::json!({"SYSLOG_IDENTIFIER": source, "_HOSTNAME": "web1", "MESSAGE": line}),
            );
            entries.map(|entry| format!("{entry:#}\n")).collect()
        }),
        ("Kibana", |lines| {
            let row = |line: &str, source: &str| {
                format!("\"Mar 4, 2026 @ 09:15:02.250\",{source},\"{}\"\n", line.replace('"', "\"\""))
            };
            let rows: String = lines.iter().map(|(line, source)| row(line, source)).collect();
            format!("\"@timestamp\",\"process.name\",message\n{rows}")
        }),
        ("Splunk", |lines| {
            let row = |line: &str| format!("\"{}\",\"2026-03-04T09:15:02.250+0000\",web1\n", line.replace('"', "\"\""));
            let rows: String = lines.iter().map(|(line, _)| row(line)).collect();
            format!("\"_raw\",\"_time\",host\n{rows}")
        }),
        ("Cloud Logging, a table", |lines| {
            let row = |line: &str| format!("x,INFO,\"{}\",2026-03-04T09:15:02Z\n", line.replace('"', "\"\""));
            let rows: String = lines.iter().map(|(line, _)| row(line)).collect();
            format!("insertId,severity,textPayload,timestamp\n{rows}")
        }),
    ];
    for (name, whole) in ways {
        let file = whole(&lines);
        let each = |verdict: &why502::engine::verdict::Verdict| {
            format!("{} {:?} {} {}", verdict.target, verdict.status, verdict.cause.id, verdict.records.len())
        };
        let mut told = told::of(&[("export", &file)], each);
        told.sort();
        let expected = ["/billing Some(502) upstream_closed_early 2", "/shop Some(502) worker_timeout 3"];
        assert_eq!(told, expected, "{name}\n{file}");
    }
}

#[test]
fn what_only_begins_as_a_document_is_read_line_by_line() {
    let refused = error("connect() failed (111: Connection refused)", "connecting to upstream");
    for before in ["{\n  \"a\": 1,\n", "[\n{\"message\": \"x\n", "time,message\n\"2026,x\n"] {
        check(&format!("{before}{refused}\n"), "connect_refused gunicorn_not_running");
    }
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
fn an_access_log_that_ends_before_a_failure_says_nothing_of_it() {
    let access = |second: u32| {
        format!("198.51.100.9 - - [04/Mar/2026:09:15:{second:02} +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"\n")
    };
    let refused = error("connect() failed (111: Connection refused)", "connecting to upstream");
    check(&format!("{}{refused}", access(1)), "connect_refused gunicorn_not_running");
    // Of another host, or of a location without an access log: only a good line of the request itself unsays its failure.
    check(&format!("{}{refused}\n{}", access(1), access(3)), "connect_refused gunicorn_not_running");
    let saved = access(8).replace("GET / ", "GET /cart ").replace("198.51.100.9", "198.51.100.20");
    check(&format!("{}{refused}\n{}{saved}", access(1), access(3)), "");
}

#[test]
fn a_retry_that_took_long_saved_its_request_also_where_others_failed() {
    let failed = |second: u32, path: &str| {
        let refused =
            error("connect() failed (111: Connection refused)", "connecting to upstream").replace("/cart", path);
        refused.replace("09:15:02", &format!("09:15:{second:02}"))
    };
    let access = |second: u32, path: &str, status: u16| {
        let size = if status == 502 { 157 } else { 5 };
        format!(
            "198.51.100.20 - - [04/Mar/2026:09:15:{second:02} +0000] \"GET {path} HTTP/1.1\" {status} {size} \"-\" \"x\""
        )
    };
    let lines = [failed(1, "/a"), access(1, "/a", 502), failed(2, "/b"), access(3, "/c", 200), access(8, "/b", 200)];
    check(&lines.join("\n"), "connect_refused gunicorn_not_running");
}

#[test]
fn an_access_log_that_hides_the_end_of_an_address_has_the_line_of_its_request() {
    let refused = error("connect() failed (111: Connection refused)", "connecting to upstream");
    for (whole, masked) in [("198.51.100.20", "198.51.100.0"), ("2001:db8:7:9::20", "2001:db8:7::")] {
        let access = format!("{masked} - - [04/Mar/2026:09:15:02 +0000] \"GET /cart HTTP/1.1\" 502 157 \"-\" \"x\"");
        check(
            &format!("{}\n{access}", refused.replace("198.51.100.20", whole)),
            "connect_refused gunicorn_not_running",
        );
    }
    let other = "198.51.101.0 - - [04/Mar/2026:09:15:02 +0000] \"GET /cart HTTP/1.1\" 502 300 \"-\" \"x\"";
    assert_eq!(told(&format!("{refused}\n{other}")).lines().count(), 2, "another network");
}

#[test]
fn gunicorns_own_line_of_a_request_among_its_error_lines_is_no_second_request() {
    let good = |number: u32| {
        format!("127.0.0.1 - - [04/Mar/2026:09:15:02 +0000] \"GET /{number} HTTP/1.0\" 200 3 \"-\" \"x\"\n")
    };
    let gunicorn = format!(
        "[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)\n{}{}{}{}",
        good(1),
        good(2),
        "127.0.0.1 - - [04/Mar/2026:09:15:02 +0000] \"GET /pay HTTP/1.0\" 502 24 \"-\" \"x\"\n",
        good(3)
    );
    let access = "198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] \"GET /pay HTTP/1.1\" 502 24 \"-\" \"x\"\n";
    let told = told::of(&[("access.log", access), ("gunicorn.log", &gunicorn)], told::target_and_cause);
    assert_eq!(told, ["/pay app_returned_error"]);
}

#[test]
fn a_handshake_that_timed_out_was_answered_with_504() {
    let failed = |second: u32, path: &str, message: &str, action: &str, status: u16| {
        let line = error(message, action).replace("/cart", path).replace("09:15:02", &format!("09:15:{second:02}"));
        format!(
            "{line}\n198.51.100.20 - - [04/Mar/2026:09:15:{second:02} +0000] \"GET {path} HTTP/1.1\" {status} 157 \"-\" \"x\"\n"
        )
    };
    let refused = failed(1, "/a", "connect() failed (111: Connection refused)", "connecting to upstream", 502);
    let handshake =
        failed(9, "/b", "upstream timed out (110: Connection timed out)", "SSL handshaking to upstream", 504);
    check(&(refused + &handshake), "connect_refused gunicorn_not_running\ntls_handshake_failed tls_handshake_failed");
}

#[test]
fn errands_of_nginx_itself_fail_no_request() {
    for line in [
        "2026/03/04 09:15:02 [error] 9#9: r3.o.lencr.org could not be resolved (110: Operation timed out) while requesting certificate status, responder: r3.o.lencr.org, certificate: \"/etc/ssl/a.pem\"",
        "2026/03/04 09:15:02 [warn] 9#9: no resolver defined to resolve r3.o.lencr.org while requesting certificate status, responder: r3.o.lencr.org, certificate: \"/etc/ssl/a.pem\"",
        "2026/03/04 09:15:02 [error] 9#9: connect() failed (111: Connection refused) while requesting certificate status, responder: r3.o.lencr.org, peer: 192.0.2.9:80, certificate: \"/etc/ssl/a.pem\"",
        "2026/03/04 09:15:02 [crit] 9#9: *7 connect() failed (101: Network unreachable), context: ngx.timer, client: 198.51.100.20, server: 0.0.0.0:8443",
        "2026/03/04 09:15:02 [error] 9#9: *7 upstream timed out (110: Connection timed out) while proxying upgraded connection, client: 198.51.100.20, server: shop.test, request: \"GET /ws HTTP/1.1\", upstream: \"http://10.1.2.3:8000/ws\", host: \"shop.test\"",
    ] {
        check(line, "");
    }
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

#[test]
fn attempts_a_minute_apart_are_of_one_request() {
    let line = |minute: u32| {
        format!(
            "2026/03/04 09:{minute}:51 [error] 411#411: *7 upstream timed out (110: Connection timed out) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: \"GET /cart HTTP/1.1\", upstream: \"http://10.0.1.{minute}:8000/cart\", host: \"shop.test\"\n"
        )
    };
    let attempts =
        told::of(&[("error.log", &(line(46) + &line(47)))], |verdict| (verdict.attempts, verdict.records.len()));
    assert_eq!(attempts.last(), Some(&(2, 2)), "{attempts:?}");
}
