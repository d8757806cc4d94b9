use super::*;
use crate::read::formats::{Format, Reader, Reading};
use crate::read::{SourceMemory, Wanted};
use proptest::prelude::*;

/// A line of each kind that a format reads.
const OURS: &[&str] = &[
    "2026/03/04 09:15:03 [notice] 411#411: signal process started",
    "2026/03/04 09:15:03 [error] 411#411: *1 connect() failed (111: Connection refused) while connecting to upstream",
    "2026/03/04 09:15:03 [error] no live upstreams",
    "connect() failed",
    "recv() failed (104: Connection reset by peer) while reading response header from upstream",
    "upstream prematurely closed connection while reading response header from upstream",
    "shop could not be resolved (3: Host not found)",
    "512 worker_connections are not enough while connecting to upstream",
    "[2026-03-04 09:15:03 +0000] [300] [INFO] anything",
    "[2026-03-04 09:15:03 +0000] [ERROR] anything",
    "WORKER TIMEOUT (pid:301)",
    "Worker (pid:301) was sent SIGKILL! Perhaps out of memory?",
    "Worker with pid 301 was terminated due to signal 9",
    "Booting worker with pid: 301",
    "Started server process [301]",
    "Finished server process [301]",
    "Starting gunicorn 23.0.0",
    "Listening at: http://127.0.0.1:8000 (300)",
    "Using worker: sync",
    "Handling signal: term",
    "Error handling request /x",
    "Invalid request from ip=127.0.0.1: x",
    "Hang up: Master",
    "Shutting down: Master",
    "Reason: App failed to load.",
    "Worker failed to boot.",
    "Failed to find attribute 'x' in 'm'.",
    "Exception in worker process",
    "Socket error processing request.",
    "Autorestarting worker after current request.",
    "Maximum request limit of 100 exceeded. Terminating process.",
    "Parent changed, shutting down: <Worker 301>",
    "Connection in use: ('0.0.0.0', 8000)",
    "Can't connect to ('0.0.0.0', 8000)",
    "Invalid address: x",
    "x [Errno 98] Address already in use",
    "error while attempting to bind on address x",
    "Unhandled exception in main loop",
    "Unhandled signal: cld",
    "Application startup failed. Exiting.",
    "Ignoring EPIPE",
    "Ignoring connection reset",
    "Already running on PID 31054 (or pid file '/run/g.pid' is stale)",
    "Error: Already running on PID 31054 (or pid file '/run/g.pid' is stale)",
    "Shutting down:",
    "Failed to find application object 'x' in 'm'",
    "ASGI lifespan startup failed",
    "No servers could be started",
    "Worker graceful timeout (pid:301)",
    "gunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>",
    "raise HaltServer(reason, self.WORKER_BOOT_ERROR)",
    "File \"/usr/lib/python3/dist-packages/gunicorn/util.py\", line 99, in load_class",
    "*** no app loaded. going in full dynamic mode ***",
    "worker respawning too fast !!! i have to sleep a bit (2 seconds)...",
    "Terminating timed out worker (worker failed to check in within 60 seconds): 301",
    "Failed at step EXEC spawning /srv/venv/bin/gunicorn: No such file or directory",
    "DIRTY WORKER TIMEOUT (pid:301)",
    "Dirty worker failed to boot (pid:301)",
    "Dirty arbiter (pid:301) exited with code 1",
    "Failed to load dirty apps: x",
    "File \"/usr/lib/python3/dist-packages/gunicorn/workers/base.py\", line 203, in handle_abort",
    "File \"/usr/lib/python3/dist-packages/gunicorn/arbiter.py\", line 130, in setup",
    "self.halt(reason=inst.reason, exit_status=inst.exit_status)",
    "ValueError: bad",
    "asyncio.exceptions.CancelledError",
    "SystemExit: 1",
    "Traceback (most recent call last):",
    "During handling of the above exception, another exception occurred:",
    "File \"/srv/app.py\", line 12, in load",
    "Out of memory: Killed process 301 (gunicorn) total-vm:1kB, anon-rss:1kB",
    "oom-kill:constraint=CONSTRAINT_MEMCG,task=gunicorn,pid=301",
    "gunicorn: worke[301]: segfault at 0 ip 0",
    "traps: gunicorn[301] general protection fault",
    "type=AVC msg=audit(1): avc:  denied  { name_connect } for pid=1 comm=\"nginx\"",
    "audit: apparmor=\"DENIED\" operation=\"open\" comm=\"nginx\"",
    "SELinux is preventing nginx from name_connect",
    "reason: OOMKilled",
    "Liveness probe failed: HTTP probe failed",
    "Back-off restarting failed container",
    "web.service: Main process exited, code=killed, status=9/KILL",
    "web.service: A process of this unit has been killed by the OOM killer.",
    "web.service: Failed with result 'exit-code'",
    "Stopping gunicorn daemon",
    "gave up: web entered FATAL state",
    "spawnerr: can't find command 'x'",
    "web  FATAL  Exited too quickly (process log may have details)",
    "exited: web (exit status 1; not expected)",
    "DAMN ! worker 1 (pid: 301) died, killed by signal 9 :(",
    "*** HARAKIRI ON WORKER 1 (pid: 301, try: 1) ***",
    "!!! uWSGI process 301 got Segmentation Fault !!!",
    "uwsgi_response_write_body_do(): Broken pipe",
    "uwsgi_response_write_body_do(): Broken pipe [core/writer.c line 341] during GET /a (192.0.2.7)",
    "[uwsgi-body-read] Error reading 94 bytes. Content-Length: 291 consumed: 197 left: 94 message: Client closed connection",
    "*** uWSGI listen queue of socket \"127.0.0.1:5000\" (fd: 3) full !!! (101/100) ***",
    "dropping connection to peer tcp4:x with abort=True: WebSocket ping timeout",
    "192.0.2.7 - - [03/Mar/2027:10:20:30 +0000] \"GET /a HTTP/1.1\" 502 5 \"-\" \"x\"",
    "192.0.2.7 - - [03/Mar/2027:10:20:30 +0000] \"\\x16\\x03\" 502 5 \"-\" \"x\"",
    "192.0.2.7 \"GET /a\" 502",
    "127.0.0.1:4711 - \"GET /a HTTP/1.1\" 502",
    "status=502 request_time=0.1 method=GET uri=/a",
    "{\"status\":502,\"request\":\"GET /a HTTP/1.1\"}",
    "{\"code\":502,\"method\":\"GET\",\"url\":\"/a\"}",
    "{\"response\":\"502\",\"method\":\"GET\",\"url\":\"/a\"}",
    "{\"statusCode\": 502, \"method\":\"GET\",\"url\":\"/a\"}",
];

/// What shippers, runtimes and people put around a line.
const ENVELOPES: &[&str] = &[
    "%",
    "web-1  | %",
    "2026-03-04T09:15:02.123456789Z stderr F %",
    "Mar  4 09:15:03 web gunicorn[7]: %",
    "<13>1 2026-03-04T09:15:02Z web app 7 - - %",
    "[pod/web-1/app] %",
    "  > %",
    "\u{1b}[31m%\u{1b}[0m",
    "{\"log\":\"%\\n\",\"stream\":\"stderr\",\"time\":\"2026-03-04T09:15:02Z\"}",
    "{\"level\":\"error\",\"message\":\"%\"}",
    "time=2026-03-04T09:15:02Z level=error msg=\"%\"",
];

/// The line in an envelope, escaped where it is a string of it.
fn enveloped(envelope: &str, line: &str) -> String {
    let is_string = envelope.contains("\"%");
    envelope.replace('%', &if is_string { line.replace('\\', "\\\\").replace('"', "\\\"") } else { line.to_owned() })
}

/// What it is read as without a sniff, and with one.
fn both_ways(line: &str) -> (Option<Format>, Option<Format>) {
    let format = |reading: Reading| match reading {
        Reading::Unrecognised => None,
        Reading::Healthy(format) | Reading::Proves(format, _) => Some(format),
    };
    let (reader, wanted) = (Reader::default(), Wanted::default());
    let fresh = SourceMemory::default;
    let whole = match reader.dismiss(line.as_bytes(), &wanted) {
        Some(format) => Some(format),
        None => format(reader.read_whole(line.as_bytes(), &mut fresh(), &wanted)),
    };
    (whole, format(reader.read(line.as_bytes(), &mut fresh(), &wanted)))
}

#[test]
fn no_line_of_ours_is_let_go() {
    for line in OURS {
        let (whole, _) = both_ways(line);
        assert!(whole.is_some(), "nothing reads {line}");
        for envelope in ENVELOPES {
            let line = enveloped(envelope, line);
            let (whole, sniffed) = both_ways(&line);
            assert_eq!(sniffed, whole, "{line}");
        }
    }
}

/// A message that is added to nginx's list has a telltale word.
#[test]
fn nginx_messages_have_a_telltale_word() {
    for words in crate::read::formats::nginx_error::messages::known_inside() {
        assert_eq!(sniff(format!("some words {words}").as_bytes()), Sign::Ours, "{words}");
    }
}

#[test]
fn lines_of_others_are_let_go() {
    for line in [
        "INFO 2027-03-03 10:20:30,123 orders.views Order 4711 was placed in 41 ms, total \"4711.99\" EUR, items=[4711]",
        "2027-03-03 10:20:30.123 UTC [4711] LOG:  duration: 41.123 ms  statement: SELECT id FROM orders LIMIT 10",
        r#"{"level":"info","ts":"2027-03-03T10:20:30.123Z","logger":"com.shop.Orders","thread":"worker-12","msg":"order placed"}"#,
        r#"{"level":30,"time":1772615702123,"pid":7,"hostname":"web-1","msg":"request completed","responseTime":3}"#,
        "[2027-03-03 10:20:30,123] INFO in views: order 4711",
        "2027/03/03 10:20:30 order 4711 of shop.go:12 placed",
        "the request was handled by worker 7; the server process is fine, the address is known, nothing failed",
        "== a heading ==",
        "a status of \"ok\" and status=ok, code: none",
        "",
    ] {
        for envelope in ENVELOPES {
            let line = enveloped(envelope, line);
            // What may be a request or a head is looked at once more.
            assert!(sniff(line.as_bytes()) < Sign::Ours, "{line}");
            assert_eq!(both_ways(&line), (None, None), "{line}");
        }
    }
}

#[test]
fn two_searchers_are_enough() {
    let (count, most) = (WORDS.anchors.len(), 2 * WORDS_OF_A_SEARCHER);
    let mut words: Vec<&str> = WORDS.anchors.iter().map(|anchor| anchor.word).collect();
    words.sort_unstable();
    assert!(
        count <= most,
        "{count} words are more than {most}, and a third searcher costs every line of every stream. Declare a word that \
         stands already, with neighbours of your own: `near(\"fail\", ...)` in two formats is searched once. Is there none, \
         let two that stand here share one. Or leave this test: a third searcher is built by itself; then measure \
         `cargo bench --bench lines -- foreign`. The words: {words:?}"
    );
    assert!(words.iter().all(|word| word.len() >= 4));
}

#[test]
fn a_long_value_costs_its_front() {
    let long = "x ".repeat(4_000);
    assert_eq!(sniff(format!("{{\"msg\":\"{long}\",\"code\":502,\"method\":\"GET\"}}").as_bytes()), Sign::Request);
    assert_eq!(sniff(format!("{{\"msg\":\"{long} WORKER TIMEOUT (pid:31)\"}}").as_bytes()), Sign::Ours);
    assert_eq!(sniff(br#"{"st":502,"verb":"GET","path":"/a"}"#), Sign::Request);
    assert_eq!(sniff(format!("{long} \"GET /a HTTP/1.1\" 502").as_bytes()), Sign::Request);
    assert_eq!(sniff(format!("{long}\nWORKER TIMEOUT (pid:31)").as_bytes()), Sign::Ours);
}

proptest! {
    /// Pieces of lines in any order: what the sniff lets go, no format reads.
    #[test]
    fn nothing_that_counts_is_let_go(
        envelope in 0..ENVELOPES.len(),
        pieces in proptest::collection::vec(0..OURS.len(), 1..4),
        noise in "[a-z\\[\\]{}:=\"' #0-9/.-]{0,40}",
    ) {
        let mut line = String::new();
        for piece in pieces {
            line.push_str(OURS.get(piece).copied().unwrap_or_default());
            line.push_str(&noise);
        }
        let line = enveloped(ENVELOPES.get(envelope).copied().unwrap_or("%"), &line);
        let (whole, sniffed) = both_ways(&line);
        prop_assert_eq!(sniffed, whole, "{}", line);
    }
}
