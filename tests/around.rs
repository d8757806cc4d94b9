//! What stands around a line: envelopes of runtimes and platforms, documents and tables of log stores, signs of terminals and
//! pages, prefixes that nobody told of.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use told::{check, error};

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
