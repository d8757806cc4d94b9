//! `why502 explain` as people run it: the built program on files, its two outputs and its exit code.

#[path = "explain/bad_input.rs"]
mod bad_input;
#[path = "explain/sites.rs"]
mod sites;
#[path = "explain/terminal.rs"]
mod terminal;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ACCESS: &str = r#"198.51.100.20 - - [04/Mar/2026:09:15:01 +0000] "GET /ok HTTP/1.1" 200 512 "-" "curl/8.1.2"
198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /cart?x=1 HTTP/1.1" 502 157 "-" "curl/8.1.2"
198.51.100.21 - - [04/Mar/2026:09:20:09 +0000] "POST /pay HTTP/1.1" 502 157 "-" "Mozilla/5.0"
198.51.100.22 - - [04/Mar/2026:09:20:10 +0000] "GET /`x` HTTP/1.1" 502 157 "-" "Mozilla/5.0"
"#;
const ERROR: &str = r#"2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart?x=1 HTTP/1.1", upstream: "http://127.0.0.1:8000/cart?x=1", host: "shop.test"
2026/03/04 09:20:09 [error] 411#411: *8 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.21, server: shop.test, request: "POST /pay HTTP/1.1", upstream: "http://127.0.0.1:8000/pay", host: "shop.test"
2026/03/04 09:20:10 [error] 411#411: *9 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.22, server: shop.test, request: "GET /`x` HTTP/1.1", upstream: "http://127.0.0.1:8000/`x`", host: "shop.test"
"#;
const GUNICORN: &str = "[2026-03-04 09:14:00 +0000] [300] [INFO] Starting gunicorn 23.0.0
[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:00 +0000] [300] [INFO] Using worker: sync
[2026-03-04 09:14:00 +0000] [301] [INFO] Booting worker with pid: 301
[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)
[2026-03-04 09:15:04 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?
";

/// A directory with the three logs.
fn logs() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in [("access.log", ACCESS), ("error.log", ERROR), ("gunicorn.log", GUNICORN)] {
        write(directory.path(), name, text);
    }
    directory
}

fn write(directory: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(directory.join(name), text).expect("a file");
}

fn program(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_why502"));
    command.arg("explain").args(arguments).current_dir(directory);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// What was said, and how it ended.
struct Said {
    out: String,
    error: String,
    code: Option<i32>,
}

fn said(output: Output) -> Said {
    Said {
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        error: String::from_utf8(output.stderr).expect("UTF-8"),
        code: output.status.code(),
    }
}

fn explain(directory: &Path, arguments: &[&str]) -> Said {
    said(program(directory, arguments).output().expect("runs"))
}

fn with_input(directory: &Path, arguments: &[&str], input: &[u8]) -> Said {
    let mut child = program(directory, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("takes it");
    said(child.wait_with_output().expect("ends"))
}

/// The objects of JSON lines.
fn objects(out: &str) -> Vec<serde_json::Value> {
    out.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

/// `target cause` of each JSON line that is of a failure.
fn told(out: &str) -> String {
    let failures = objects(out).into_iter().filter(|object| object["type"] != "incident");
    let lines: Vec<String> = failures
        .map(|object| {
            let text = |key: &str| object.get(key).and_then(|value| value.as_str()).unwrap_or("-").to_owned();
            format!("{} {}", text("target"), text("cause"))
        })
        .collect();
    lines.join("\n")
}

const TOLD: &str = "/cart?x=1 worker_timeout\n/pay gunicorn_not_running\n/`x` gunicorn_not_running";

/// Everything is told as ever, nothing is wrong.
fn check_whole(directory: &Path, files: &[&str]) {
    let said = explain(directory, &[files, &["--format", "json"]].concat());
    assert_eq!((told(&said.out).as_str(), said.error.as_str(), said.code), (TOLD, "", Some(0)), "{files:?}");
}

#[test]
fn text_for_people() {
    let directory = logs();
    let said = explain(directory.path(), &["access.log", "error.log", "gunicorn.log"]);
    let hint = |id: &str| why502::engine::causes::by_id(id).expect("a cause").hint;
    let summary = |id: &str| why502::engine::causes::by_id(id).expect("a cause").summary;
    let (down, down_hint) = (summary("gunicorn_not_running"), hint("gunicorn_not_running"));
    let (timeout, timeout_hint) = (summary("worker_timeout"), hint("worker_timeout"));
    let expected = format!(
        r#"3 failed requests in 13 lines of 3 files

INCIDENT worker_timeout  1 request failed  2026-03-04T09:15:03Z
  {timeout}.
  What to do: {timeout_hint}
  ended      quiet for 90 s

INCIDENT gunicorn_not_running  2 requests failed  2026-03-04T09:20:09Z to 2026-03-04T09:20:10Z (1 s)
  {down}.
  What to do: {down_hint}
  paths      /`x` 1, /pay 1
  statuses   502 2
  upstreams  127.0.0.1:8000 2
  evidence   error.log:2 nginx.error: connect() failed (111: Connection refused) while connecting to upstream
  ended      the input ended before it was quiet
  example    2026-03-04T09:20:09Z 502 POST /pay gunicorn_not_running
  example    2026-03-04T09:20:10Z 502 GET /`x` gunicorn_not_running

2026-03-04T09:15:03Z 502 GET /cart?x=1 from 198.51.100.20
  worker_timeout (99% sure): {timeout}
  ► error.log:1 nginx.error 2026/03/04 09:15:03 [error] 411#411: *7 »upstream prematurely closed connection while reading response header from upstream«, client: 198.51.100.20, server: shop.test, request: "GET /cart?x=1 HTTP/1.1", upstream: "http://…
  ► gunicorn.log:5 gunicorn [2026-03-04 09:15:03 +0000] [300] [CRITICAL] »WORKER TIMEOUT (pid:301)«
    access.log:2 nginx.access 198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /cart?x=1 HTTP/1.1" 502 157 "-" "curl/8.1.2"
  ► gunicorn.log:6 gunicorn [2026-03-04 09:15:04 +0000] [300] [ERROR] »Worker (pid:301) was sent SIGKILL! Perhaps out of memory?«
"#
    );
    assert_eq!(said.out.get(..expected.len()), Some(expected.as_str()), "{}", said.out);
    assert!(said.out.contains("\n    access.log:3 nginx.access "), "{}", said.out);
    let causes = "
gunicorn_not_running  2 (67%)  2026-03-04T09:20:09Z to 2026-03-04T09:20:10Z
worker_timeout  1 (33%)  2026-03-04T09:15:03Z to 2026-03-04T09:15:03Z
";
    assert!(said.out.ends_with(causes), "{}", said.out);
    assert_eq!((said.error.as_str(), said.code), ("", Some(0)));
}

#[test]
fn markdown_for_a_ticket() {
    let directory = logs();
    let said = explain(directory.path(), &["access.log", "error.log", "gunicorn.log", "--format", "markdown"]);
    let hint = why502::engine::causes::by_id("worker_timeout").expect("a cause").hint;
    let summary = why502::engine::causes::by_id("worker_timeout").expect("a cause").summary;
    let expected = format!(
        "## why502: 3 failed requests

In 13 lines of 3 files.

### Incident: `worker_timeout`, 1 request failed

2026-03-04T09:15:03Z: {summary}. **What to do:** {hint}

- ended: `quiet for 90 s`

### Incident: `gunicorn_not_running`, 2 requests failed

"
    );
    assert_eq!(said.out.get(..expected.len()), Some(expected.as_str()), "{}", said.out);
    let causes = "
| cause | count | share | first | last |
|---|---:|---:|---|---|
| `gunicorn_not_running` | 2 | 67% | 2026-03-04T09:20:09Z | 2026-03-04T09:20:10Z |
| `worker_timeout` | 1 | 33% | 2026-03-04T09:15:03Z | 2026-03-04T09:15:03Z |
";
    assert!(said.out.ends_with(causes), "{}", said.out);
    let request = r#"
2026-03-04T09:15:03Z 502 `GET /cart?x=1`: **`worker_timeout`** (99% sure)

```text
► error.log:1 nginx.error 2026/03/04 09:15:03 [error] 411#411: *7 »upstream prematurely closed connection while reading response header from upstream«, client: 198.51.100.20, server: shop.test, request: "GET /cart?x=1 HTTP/1.1", upstream: "http://…
► gunicorn.log:5 gunicorn [2026-03-04 09:15:03 +0000] [300] [CRITICAL] »WORKER TIMEOUT (pid:301)«
  access.log:2 nginx.access 198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /cart?x=1 HTTP/1.1" 502 157 "-" "curl/8.1.2"
► gunicorn.log:6 gunicorn [2026-03-04 09:15:04 +0000] [300] [ERROR] »Worker (pid:301) was sent SIGKILL! Perhaps out of memory?«
► why502: not out of memory: it had been timed out, and Gunicorn itself killed it
```
"#;
    assert!(said.out.contains(request), "{}", said.out);
    assert!(said.out.contains("`GET /'x'`"), "a target cannot end its code: {}", said.out);
    assert_eq!(said.out.matches("```").count(), 6, "{}", said.out);
    assert_eq!((said.error.as_str(), said.code), ("", Some(0)));
}

#[test]
fn which_requests_are_shown() {
    let directory = logs();
    let json = |arguments: &[&str]| {
        let said = explain(
            directory.path(),
            &[&["access.log", "error.log", "gunicorn.log", "--format", "json"], arguments].concat(),
        );
        let hidden = TOLD.lines().count() - told(&said.out).lines().count();
        // What the other options leave out was not asked for.
        let limited = arguments.contains(&"--limit") && hidden > 0;
        let note = format!("note: {hidden} more failed requests are not shown; a larger --limit shows them\n");
        let note = if limited { note } else { String::new() };
        assert_eq!((said.error, said.code), (note, Some(0)), "{arguments:?}");
        told(&said.out)
    };
    assert_eq!(json(&[]), TOLD);
    assert_eq!(json(&["--cause", "worker_timeout"]), "/cart?x=1 worker_timeout");
    assert_eq!(json(&["--cause", "worker_timeout", "--cause", "gunicorn_not_running"]), TOLD);
    assert_eq!(json(&["--cause", "worker_crashed"]), "");
    assert_eq!(json(&["--since", "2026-03-04T09:20:10Z"]), "/`x` gunicorn_not_running");
    assert_eq!(json(&["--since", "2026-03-04T10:20:10+01:00"]), "/`x` gunicorn_not_running");
    assert_eq!(json(&["--until", "2026-03-04T09:20:09Z"]), "/cart?x=1 worker_timeout");
    assert_eq!(json(&["--limit", "1"]), "/cart?x=1 worker_timeout");
    assert_eq!(json(&["--limit", "0"]), "");
    let by_cause = "/pay gunicorn_not_running\n/`x` gunicorn_not_running\n/cart?x=1 worker_timeout";
    assert_eq!(json(&["--group", "cause"]), by_cause);
    assert_eq!(json(&["--group", "cause", "--limit", "1"]), "/pay gunicorn_not_running\n/cart?x=1 worker_timeout");

    let text = |arguments: &[&str]| {
        explain(directory.path(), &[&["access.log", "error.log", "gunicorn.log"], arguments].concat()).out
    };
    let limited = text(&["--limit", "1"]);
    assert!(limited.starts_with("3 failed requests in"), "the summary counts all: {limited}");
    assert!(limited.contains("GET /cart?x=1 from") && !limited.contains("POST /pay from"), "{limited}");
    assert!(limited.ends_with("(2 more; --each or a larger --limit shows them)\n"), "{limited}");
    let grouped = text(&["--group", "cause"]);
    let order: Vec<&str> = grouped.lines().filter_map(|line| line.strip_prefix("── ")?.split(' ').next()).collect();
    assert_eq!(order, ["gunicorn_not_running", "worker_timeout"]);
    assert!(grouped.find("POST /pay from") < grouped.find("GET /cart?x=1 from"), "{grouped}");
    assert!(text(&["--since", "2027-01-01T00:00:00Z"]).starts_with("No failed request in 13 lines of 3 files."));
}

#[test]
fn wrong_usage() {
    let directory = logs();
    for arguments in [
        &[][..],
        &["access.log", "--cause", "worker_timeot"],
        &["access.log", "--since", "tomorrow"],
        &["access.log", "--since", "2026-03-04T09:00:00Z", "--until", "2026-03-04T09:00:00Z"],
        &["access.log", "--limit", "many"],
        &["access.log", "--group", "colour"],
        &["access.log", "--format", "xml"],
        &["access.log", "--log-format", "no variable"],
        &["access.log", "--gunicorn-format", "no atom"],
        &["access.log", "--time-zone", "here"],
    ] {
        let said = explain(directory.path(), arguments);
        assert_eq!((said.out.as_str(), said.code), ("", Some(2)), "{arguments:?}");
        assert!(said.error.starts_with("error: "), "{}", said.error);
    }
    let said = explain(directory.path(), &["access.log", "--cause", "worker_timeot"]);
    assert!(said.error.contains("did you mean `worker_timeout`?"), "{}", said.error);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn the_ways_to_name_files() {
    let directory = logs();
    let path = directory.path();
    check_whole(path, &["access.log", "error.log", "gunicorn.log"]);
    check_whole(path, &["."]);
    check_whole(path, &["*.log"]);
    check_whole(path, &["[ae]*.log", "./gunicorn.log", "access.log", "error.log", "*"]);

    let rotated = tempfile::tempdir().expect("a directory");
    let path = rotated.path();
    let lines: Vec<&str> = ACCESS.split_inclusive('\n').collect();
    write(path, "access.log.2.gz", gzip(lines[0]));
    write(path, "access.log.1", lines[1]);
    write(path, "access.log", lines[2..].concat());
    let lines: Vec<&str> = ERROR.split_inclusive('\n').collect();
    write(path, "error.log-20260303.gz", gzip(""));
    write(path, "error.log-20260304.zst", zstd::encode_all(lines[0].as_bytes(), 1).expect("in memory"));
    write(path, "error.log", lines[1..].concat());
    std::fs::create_dir_all(path.join("app/web")).expect("a directory");
    write(path, "app/web/gunicorn.log.gz", gzip(GUNICORN));
    check_whole(path, &["."]);
    check_whole(path, &["access.log", "access.log.1", "access.log.2.gz", "error.log*", "app"]);
    check_whole(path, &["**/*"]);
    let records: Vec<String> = explain(path, &[".", "--format", "json"])
        .out
        .lines()
        .filter_map(|line| {
            let object: serde_json::Value = serde_json::from_str(line).ok()?;
            let records = object.get("records")?.as_array()?.clone();
            let access = records.iter().find(|record| record["source"] == "nginx.access")?.clone();
            Some(format!("{}:{}", access["file"].as_str()?, access["line"]))
        })
        .collect();
    assert_eq!(records, ["./access.log.1:1", "./access.log:1", "./access.log:2"]);
}

#[test]
#[cfg(unix)]
fn more_files_than_a_process_may_open() {
    let directory = logs();
    let path = directory.path();
    for number in 0..300 {
        let lines: String =
            ACCESS.lines().filter(|line| line.contains("200 512")).map(|line| format!("{line}\n")).collect();
        write(path, &format!("site{number}-access.log"), lines.repeat(5));
    }
    let script = "ulimit -n 150 && exec \"$0\" explain --format json .";
    let program = env!("CARGO_BIN_EXE_why502");
    let said = said(Command::new("sh").args(["-c", script, program]).current_dir(path).output().expect("runs"));
    assert_eq!((told(&said.out).as_str(), said.error.as_str(), said.code), (TOLD, "", Some(0)));
}

#[test]
fn standard_input() {
    let directory = logs();
    // All logs of a pod on one stream, as they were written.
    let mut lines: Vec<&str> = [GUNICORN, ERROR, ACCESS].iter().flat_map(|log| log.lines()).collect();
    lines.sort_by_key(|line| {
        line.match_indices(':')
            .find_map(|(at, _)| line.get(at.checked_sub(2)?..at + 6).filter(|time| time.starts_with("09:")))
    });
    let all = lines.join("\n");
    let said = with_input(directory.path(), &["-", "-", "--format", "json"], all.as_bytes());
    assert_eq!((told(&said.out).as_str(), said.error.as_str(), said.code), (TOLD, "", Some(0)));
    // The zone of the error log is found as in a file, also when it comes through a pipe.
    let ahead = lines
        .iter()
        .map(|line| if line.starts_with("2026/") { line.replace(" 09:", " 14:") } else { (*line).to_owned() });
    let ahead = ahead.collect::<Vec<_>>().join("\n");
    let said = with_input(directory.path(), &["-", "--format", "json"], ahead.as_bytes());
    assert_eq!((told(&said.out).as_str(), said.error.as_str(), said.code), (TOLD, "", Some(0)));
    let mixed = with_input(directory.path(), &["access.log", "-", "gunicorn.log", "--format", "json"], &gzip(ERROR));
    assert_eq!((told(&mixed.out).as_str(), mixed.error.as_str(), mixed.code), (TOLD, "", Some(0)));
    assert!(mixed.out.contains(r#""file":"-","line":1"#), "{}", mixed.out);
}

#[test]
fn traces_in_any_order_and_damaged() {
    let directory = logs();
    let path = directory.path();
    let span = |number: u32, second: u32, target: &str| {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{number:032x}","spanId":"{number:016x}","kind":2,"name":"x","startTimeUnixNano":"17726157{second:02}000000000","endTimeUnixNano":"17726157{second:02}400000000","status":{{"code":2}},"attributes":[{{"key":"url.path","value":{{"stringValue":"{target}"}}}},{{"key":"http.request.method","value":{{"stringValue":"GET"}}}}]}}]}}]}}]}}"#
        )
    };
    let lines = [span(2, 50, "/other"), "{\"resourceSpans\":[{".to_owned(), span(1, 2, "/cart"), "no json".to_owned()];
    write(path, "spans.json", lines.join("\n"));
    let said = explain(path, &["access.log", "error.log", "gunicorn.log", "--traces", "spans.json"]);
    let sentence = "spans.json: line 2: not OTLP JSON of traces: the object has no end (and 1 more)\n";
    assert_eq!((said.error.as_str(), said.code), (sentence, Some(1)));
    assert!(said.out.starts_with("3 failed requests in 13 lines of 3 files and 2 spans\n"), "{}", said.out);
}

#[test]
fn traces_by_a_clock_that_is_off_and_no_id_anywhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let (mut access, mut spans) = (String::new(), Vec::new());
    let span = |number: u64, end: u64, status: u64| {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{number:032x}","spanId":"{number:016x}","kind":2,"name":"x","startTimeUnixNano":"{}","endTimeUnixNano":"{}","attributes":[{{"key":"url.path","value":{{"stringValue":"/cart"}}}},{{"key":"http.request.method","value":{{"stringValue":"GET"}}}},{{"key":"http.response.status_code","value":{{"intValue":"{status}"}}}}]}}]}}]}}]}}"#,
            (end - 98) * 1_000_000,
            end * 1_000_000,
        )
    };
    let line = |end: u64, status: u64| {
        format!(
            r#"{{"msec":"{}.{:03}","connection":"{end}","remote_addr":"198.51.100.20","request":"GET /cart HTTP/1.1","status":"{status}","body_bytes_sent":"157","request_time":"0.100","upstream_addr":"127.0.0.1:8000","upstream_status":"{status}","upstream_connect_time":"0.000","upstream_header_time":"0.099","upstream_response_time":"0.100","upstream_bytes_received":"200"}}
"#,
            end / 1_000,
            end % 1_000
        )
    };
    // In milliseconds; the clock of the application is 700 ms ahead.
    for number in 0..40 {
        let end = 1_772_615_700_000 + number * 1_000 + number * number * 37 % 911;
        access += &line(end, 200);
        spans.push(span(100 + number, end + 700, 200));
    }
    let end = 1_772_615_750_500;
    access += &line(end, 502);
    spans.push(span(9, end, 502));
    spans.push(span(2, end + 700, 502));
    write(path, "access.log", access);
    write(path, "spans.json", spans.join("\n"));
    let said = explain(path, &["access.log", "--traces", "spans.json", "--format", "json"]);
    assert_eq!((said.error.as_str(), said.code), ("", Some(0)));
    let own = format!("{:032x}", 2);
    assert!(said.out.contains(&own) && !said.out.contains(&format!("{:032x}", 9)), "{}", said.out);
}
