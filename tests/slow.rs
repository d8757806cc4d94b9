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
