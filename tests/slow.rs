//! Spans tell causes, and so does a stack: the application's own line, and the span that took the time.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

const START: &str = "[2026-03-04 09:14:00 +0000] [300] [INFO] Starting gunicorn 23.0.0
[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:00 +0000] [300] [INFO] Using worker: sync
[2026-03-04 09:14:00 +0000] [301] [INFO] Booting worker with pid: 301
";
const CUT_IN_BODY: &str = "upstream prematurely closed connection while reading upstream";

/// A stack of Gunicorn's with the application's frames among those of packages and of Python.
const STACK: &str = "Traceback (most recent call last):
  File \"/srv/env/lib/python3.12/site-packages/gunicorn/workers/sync.py\", line 134, in handle
    self.handle_request(listener, req, client, addr)
  File \"/srv/shop/wsgi.py\", line 7, in application
    return report(environ)
  File \"/srv/shop/app.py\", line 19, in report
    time.sleep(60)
    ~~~~~~~~~~^^^^
  File \"/usr/lib/python3.12/threading.py\", line 655, in wait
    signaled = self._cond.wait(timeout)
  File \"/srv/env/lib/python3.12/site-packages/gunicorn/workers/base.py\", line 204, in handle_abort
    sys.exit(1)
";

/// The evidence of the request that failed at 09:15:03 with nginx's words, by what Gunicorn wrote.
fn evidence(words: &str, status: u16, gunicorn: &str) -> String {
    let access = format!(
        "198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] \"GET /report HTTP/1.1\" {status} 157 \"-\" \"curl/8\"\n"
    );
    // What Gunicorn 22 and later answer with 500 is no error of nginx's.
    let error = if words.is_empty() {
        String::new()
    } else {
        format!(
            "2026/03/04 09:15:03 [error] 411#411: *7 {words}, client: 198.51.100.20, server: shop.test, request: \
         \"GET /report HTTP/1.1\", upstream: \"http://127.0.0.1:8000/report\", host: \"shop.test\"\n"
        )
    };
    let log = format!("{START}{gunicorn}");
    let files = [("access.log", access.as_str()), ("error.log", error.as_str()), ("gunicorn.log", log.as_str())];
    let told = told::of(&files, |verdict| {
        let of_gunicorn = verdict.evidence.iter().filter(|quote| quote.source.id() == "gunicorn");
        let quotes: Vec<&str> = of_gunicorn.map(|quote| quote.text.as_str()).collect();
        format!("{}: {}", verdict.cause.id, quotes.join(" | "))
    });
    told.join("\n")
}

/// One record of a JSON logger, its lines in one text.
fn in_one(head: &str, lines: &str) -> String {
    format!("{{\"message\":\"{}\"}}\n", format!("{head}{lines}").trim_end().replace('"', "\\\"").replace('\n', "\\n"))
}

#[test]
fn a_timeout_names_the_application_s_own_line() {
    let timeout = "[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)\n";
    let request = "[2026-03-04 09:15:03 +0000] [301] [ERROR] Error handling request /report\n";
    let expected = "worker_timeout: WORKER TIMEOUT (pid:301) | Error handling request /report | app.py:19 in report";
    let lines = format!("{timeout}{request}{STACK}SystemExit: 1\n");
    assert_eq!(evidence("", 500, &lines), expected);
    let one = format!("{timeout}{}", in_one(request, &format!("{STACK}SystemExit: 1\n")));
    assert_eq!(evidence("", 500, &one), expected, "as one record");
    // Without a frame of the application's nothing is made up.
    let bare = format!("{timeout}{request}Traceback (most recent call last):\nSystemExit: 1\n");
    assert_eq!(
        evidence("", 500, &bare),
        "worker_timeout: WORKER TIMEOUT (pid:301) | Error handling request /report | SystemExit: 1"
    );
}

#[test]
fn workers_that_time_out_together_each_have_their_line() {
    let ends = |worker: u32, target: &str, function: &str| {
        format!(
            "[2026-03-04 09:15:03 +0000] [{worker}] [ERROR] Error handling request {target}\n{}SystemExit: 1\n",
            STACK.replace("in report", function)
        )
    };
    let timeout = |worker: u32| format!("[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:{worker})\n");
    let lines =
        [timeout(302), timeout(301), ends(301, "/other", "in other"), ends(302, "/report", "in report")].concat();
    let told = evidence("", 500, &lines);
    let expected = "worker_timeout: WORKER TIMEOUT (pid:302) | Error handling request /report | app.py:19 in report";
    assert!(told.lines().any(|line| line == expected), "{told}");
}

#[test]
fn an_exit_names_who_called_it() {
    let lines = format!(
        "[2026-03-04 09:15:03 +0000] [301] [ERROR] Error handling request /report\n{}SystemExit: 2\n",
        STACK.replace("in handle_abort", "in handle_quit")
    );
    assert_eq!(evidence("", 500, &lines), "worker_exited: Error handling request /report | app.py:19 in report");
}

#[test]
fn a_failed_boot_names_the_import_at_fault() {
    let lines = "[2026-03-04 09:15:01 +0000] [301] [ERROR] Exception in worker process
Traceback (most recent call last):
  File \"/srv/env/bin/gunicorn\", line 8, in <module>
    sys.exit(run())
  File \"/srv/shop/shop/__init__.py\", line 3, in <module>
    import shop.settings
  File \"<frozen importlib._bootstrap>\", line 1360, in _find_and_load
ModuleNotFoundError: No module named 'shop.settings'
[2026-03-04 09:15:01 +0000] [300] [ERROR] Worker (pid:301) exited with code 3.
[2026-03-04 09:15:01 +0000] [300] [ERROR] Shutting down: Master
[2026-03-04 09:15:01 +0000] [300] [ERROR] Reason: Worker failed to boot.\n";
    let told = evidence("connect() failed (111: Connection refused) while connecting to upstream", 502, lines);
    assert!(
        told.starts_with(
            "worker_boot_failed: ModuleNotFoundError: No module named 'shop.settings' | shop/__init__.py:3 in <module>"
        ),
        "{told}"
    );
}

#[test]
fn a_truncated_answer_names_what_was_raised_in_it() {
    let request = "[2026-03-04 09:15:03 +0000] [301] [ERROR] Error handling request /report\n";
    let (stack, _) = STACK.split_once("  File \"/usr/lib").expect("the frames before");
    let lines = format!("{request}{stack}ValueError: no rows\n");
    assert_eq!(evidence(CUT_IN_BODY, 200, &lines), "response_truncated: ValueError: no rows | app.py:19 in report");
    let other = lines.replace("request /report", "request /export");
    assert_eq!(evidence(CUT_IN_BODY, 200, &other), "response_truncated: ", "of another request");
}

#[test]
fn a_frame_alone_proves_nothing_and_goes_with_its_own_traceback() {
    let timeout = "[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)\n";
    let request = "[2026-03-04 09:15:03 +0000] [301] [ERROR] Error handling request /report\n";
    let frame = "  File \"/srv/shop/other.py\", line 1, in other\n    call()\n";
    // Another program's line ends the traceback that the frame stood in.
    let lines = format!("{timeout}{request}{frame}something else\nSystemExit: 1\n");
    assert!(evidence("", 500, &lines).ends_with("| SystemExit: 1"));
    // The traceback behind "During handling" is another one.
    let lines = format!(
        "{timeout}{request}{frame}During handling of the above exception, another exception occurred:\n\n{STACK}SystemExit: 1\n"
    );
    assert!(evidence("", 500, &lines).ends_with("| app.py:19 in report"));
    for hostile in [
        "  File \"/srv/\u{1}x\n".to_owned(),
        format!("  File \"/srv/{}.py\", line 19, in report\n", "x".repeat(1 << 19)),
        "  File \"/srv/x.py\", line 99999999999999999999, in report\n".to_owned(),
        "  File \"\", line 1, in \n".to_owned(),
    ] {
        let lines = format!("{timeout}{request}Traceback (most recent call last):\n{hostile}SystemExit: 1\n");
        assert!(evidence("", 500, &lines).ends_with("| SystemExit: 1"), "{hostile:.80}");
    }
    let coloured = "  File \"/srv/\u{1}x.py\", line 19, in report\n";
    let lines = format!("{timeout}{request}Traceback (most recent call last):\n{coloured}SystemExit: 1\n");
    assert!(evidence("", 500, &lines).ends_with("| \\x01x.py:19 in report"), "no control character is shown");
}

/// One span of a trace as OTLP JSON: number, parent, kind, start and end in seconds of 09:15, name, where it went.
fn span(trace: u8, number: u8, parent: u8, kind: u8, time: (f64, f64), name: &str, peer: &str) -> String {
    let nanos = |seconds: f64| 1_772_615_700_000_000_000 + (seconds * 1e9) as i64;
    let text = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let attributes = match kind {
        2 => [text("http.request.method", "GET"), text("url.path", "/report")].join(","),
        _ => text("server.address", peer),
    };
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{}]}},"scopeSpans":[{{"spans":[{{"traceId":"{trace:032x}","spanId":"{number:016x}","parentSpanId":"{parent:016x}","kind":{kind},"name":"{name}","startTimeUnixNano":"{}","endTimeUnixNano":"{}","attributes":[{attributes}]}}]}}]}}]}}"#,
        text("service.name", "shop"),
        nanos(time.0),
        nanos(time.1)
    ) + "\n"
}

/// A request that nginx gave up after 60 s, at 09:15:10, with the id of its trace.
fn gave_up() -> (String, String) {
    let access = format!(
        r#"{{"msec":"1772615710.000","remote_addr":"198.51.100.20","request":"GET /report HTTP/1.1","status":"504","request_time":"60.000","upstream_addr":"127.0.0.1:8000","upstream_status":"504","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"60.000","trace_id":"{:032x}"}}"#,
        1
    );
    let words = "upstream timed out (110: Connection timed out) while reading response header from upstream";
    let error = format!(
        "2026/03/04 09:15:10 [error] 411#411: *7 {words}, client: 198.51.100.20, server: shop.test, request: \
         \"GET /report HTTP/1.1\", upstream: \"http://127.0.0.1:8000/report\", host: \"shop.test\"\n"
    );
    (access + "\n", error)
}

/// Cause and what spans say of a request that nginx gave up, by its spans.
fn of_spans(spans: &[String]) -> Vec<String> {
    let (access, error) = gave_up();
    let files = [("access.log", access.as_str()), ("error.log", error.as_str()), ("gunicorn.log", START)];
    told::with_traces(&spans.concat(), &files, |verdict| {
        let of_spans = verdict.evidence.iter().filter(|quote| quote.source.id() == "trace");
        let quotes: Vec<&str> = of_spans.map(|quote| quote.text.as_str()).collect();
        format!("{}: {}", verdict.cause.id, quotes.join(" | "))
    })
}

#[test]
fn the_span_that_took_the_time_is_named() {
    let server = span(1, 1, 9, 2, (-50.0, 15.0), "GET /report", "");
    let select = span(1, 2, 1, 3, (-49.5, 14.0), "SELECT orders", "db.internal");
    let others = span(2, 3, 9, 3, (-49.5, 14.0), "SELECT other", "db.other");
    let told = of_spans(&[server.clone(), select, others.clone()]);
    assert_eq!(told, ["slow_request: SELECT orders on db.internal took 63.5 of 65.0 s"]);
    // Nothing of its own trace took the time: nobody's else is named.
    let quick = span(1, 2, 1, 3, (-49.5, -40.0), "SELECT orders", "db.internal");
    assert_eq!(of_spans(&[server, quick, others]), ["slow_request: "]);
}

#[test]
fn a_span_that_comes_after_the_verdict_is_not_waited_for() {
    let server = span(1, 1, 9, 2, (-50.0, 300.0), "GET /report", "");
    let select = span(1, 2, 1, 3, (-49.5, 299.0), "SELECT orders", "db.internal");
    assert_eq!(of_spans(&[server, select]), ["slow_request: "]);
}

#[test]
fn a_timeout_names_the_line_and_the_span() {
    let access = format!(
        r#"{{"msec":"1772615703.000","remote_addr":"198.51.100.20","request":"GET /report HTTP/1.1","status":"500","request_time":"30.000","upstream_addr":"127.0.0.1:8000","upstream_status":"500","upstream_connect_time":"0.000","upstream_header_time":"30.000","upstream_response_time":"30.000","trace_id":"{:032x}"}}"#,
        1
    ) + "\n";
    let log = format!(
        "{START}[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)
[2026-03-04 09:15:03 +0000] [301] [ERROR] Error handling request /report
{STACK}SystemExit: 1
[2026-03-04 09:15:03 +0000] [301] [INFO] Worker exiting (pid: 301)\n"
    );
    let spans = span(1, 1, 9, 2, (-27.0, 3.0), "GET /report", "")
        + &span(1, 2, 1, 3, (-26.5, 2.5), "SELECT orders", "db.internal");
    let told = told::with_traces(&spans, &[("access.log", &access), ("gunicorn.log", &log)], |verdict| {
        let quotes: Vec<&str> = verdict.evidence.iter().skip(1).map(|quote| quote.text.as_str()).collect();
        format!("{}: {}", verdict.cause.id, quotes.join(" | "))
    });
    let expected = "worker_timeout: WORKER TIMEOUT (pid:301) | Error handling request /report | app.py:19 in report | \
                    SELECT orders on db.internal took 29.0 of 30.0 s";
    assert_eq!(told, [expected]);
}

#[test]
fn full_green_workers_are_shown_by_spans_alone() {
    let (access, error) = gave_up();
    let log = START.replace("sync", "gevent");
    let files = [("access.log", access.as_str()), ("error.log", error.as_str()), ("gunicorn.log", log.as_str())];
    let told = |span: &str| {
        told::with_traces(span, &files, |verdict| (verdict.cause.id, verdict.hint().contains("--worker-connections")))
    };
    // It waited for 55 of its 60 seconds.
    assert_eq!(told(&span(1, 1, 9, 2, (5.0, 12.0), "GET /report", "")), [("workers_saturated", true)]);
    // It was worked on from the start, or nothing tells.
    assert_eq!(told(&span(1, 1, 9, 2, (-50.0, 12.0), "GET /report", "")), [("slow_request", false)]);
    assert_eq!(told(""), [("slow_request", false)]);
}

#[test]
fn a_span_that_the_worker_s_end_took_along_is_missed() {
    let access = format!(
        r#"{{"msec":"1772615703.000","pid":"411","connection":"7","remote_addr":"198.51.100.20","request":"GET /report HTTP/1.1","status":"502","request_time":"30.000","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"30.000","upstream_bytes_received":"0","trace_id":"{:032x}"}}"#,
        1
    );
    let log = format!(
        "{START}[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)\n\
         [2026-03-04 09:15:03 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?\n"
    );
    let child = span(1, 2, 1, 3, (-26.5, 2.5), "SELECT orders", "db.internal");
    let own = span(1, 1, 9, 2, (-27.0, 3.0), "GET /report", "");
    let later = span(2, 1, 9, 2, (19.0, 20.0), "GET /other", "");
    let is_missed = |spans: &[&str]| {
        let files = [("access.log", access.as_str()), ("gunicorn.log", log.as_str())];
        let told = told::with_traces(&spans.concat(), &files, |verdict| {
            let is_told = verdict.evidence.iter().any(|quote| quote.text.contains("the worker's end took it along"));
            (verdict.cause.id, is_told)
        });
        assert!(matches!(told.as_slice(), [("worker_timeout", _)]), "{told:?}");
        told.iter().any(|(_, is_told)| *is_told)
    };
    assert!(is_missed(&[&child, &later]));
    assert!(!is_missed(&[&child, &own, &later]), "it came");
    assert!(!is_missed(&[&child]), "it may still come");
    assert!(!is_missed(&[&later]), "nothing of the trace was sampled");
}

#[test]
fn an_incident_draws_the_spans_of_an_example() {
    let directory = tempfile::tempdir().expect("a directory");
    let (access, error) = gave_up();
    let spans = [
        span(1, 1, 9, 2, (-50.0, 15.0), "GET /report", ""),
        span(1, 4, 1, 1, (-50.0, -49.9), "too short to be drawn", ""),
        span(1, 3, 1, 1, (-50.0, 10.0), "render", ""),
        span(1, 2, 3, 3, (-49.5, 9.0), "SELECT orders", "db.internal"),
    ];
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let mut arguments = vec!["explain".to_owned(), write("access.log", &access), write("error.log", &error)];
    arguments.extend(["--traces".to_owned(), write("traces.json", &spans.concat())]);
    let run = |format: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_why502"))
            .args(&arguments)
            .args(["--format", format])
            .output()
            .expect("runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let drawn = "  ██████████████████████████████    65.0 s  GET /report of shop
X ███████████████████████████···    60.0 s  render
► ███████████████████████████···    58.5 s  SELECT orders on db.internal
"
    .replace('X', " ");
    let text = run("text");
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("             ")).collect();
    assert_eq!(lines.join("\n") + "\n", drawn, "{text}");
    let markdown = run("markdown");
    assert!(
        markdown.contains(&format!("```text\nspans of trace {:032x}, those of a second or more\n{drawn}```", 1)),
        "{markdown}"
    );
}
