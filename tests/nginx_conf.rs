//! What nginx's configuration adds to what its logs say: each story is told without it, too, where it ends differently.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use why502::engine::verdict::Verdict;

/// A Gunicorn that serves, by its log.
const GUNICORN: &str = "[2026-03-04 09:14:00 +0000] [300] [INFO] Starting gunicorn 23.0.0
[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)
[2026-03-04 09:14:00 +0000] [300] [INFO] Using worker: gthread
[2026-03-04 09:14:00 +0000] [301] [INFO] Booting worker with pid: 301
";

fn error(words: &str, upstream: &str) -> String {
    format!(
        "2026/03/04 09:15:02 [error] 411#411: *7 {words} upstream, client: 198.51.100.20, server: shop.test, request: \"POST /cart HTTP/1.1\", upstream: \"http://{upstream}/cart\", host: \"shop.test\"\n"
    )
}

const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to";

fn check(conf: &str, files: &[(&str, &str)], without: &str, with: &str) -> Vec<String> {
    let cause = |verdict: &Verdict| verdict.cause.id.to_owned();
    assert_eq!(told::of(files, cause), [without], "without it");
    assert_eq!(told::with_nginx_conf(conf, files, cause), [with], "{conf}");
    let quotes = |verdict: &Verdict| verdict.evidence.iter().map(|quote| quote.text.clone()).collect::<Vec<_>>();
    told::with_nginx_conf(conf, files, quotes).concat()
}

#[test]
fn a_gunicorn_of_another_upstream_is_no_mismatch() {
    let refused = error(REFUSED, "127.0.0.1:8001");
    let files = [("error.log", refused.as_str()), ("gunicorn.log", GUNICORN)];
    let conf = "upstream shop { server 127.0.0.1:8001; } upstream blog { server 127.0.0.1:8000; }
        server { server_name shop.test; location / { proxy_pass http://shop; } }
        server { server_name blog.test; location / { proxy_pass http://blog; } }";
    check(conf, &files, "upstream_address_mismatch", "gunicorn_not_running");
    // Its workers' ends are nothing to this upstream either.
    let killed = format!(
        "{GUNICORN}[2026-03-04 09:15:02 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?\n"
    );
    let cut = error("upstream prematurely closed connection while reading response header from", "127.0.0.1:8001");
    let files = [("error.log", cut.as_str()), ("gunicorn.log", killed.as_str())];
    let named = |verdict: &Verdict| (verdict.cause.id, verdict.worker_pid);
    assert!(told::of(&files, named).contains(&("worker_killed", Some(301))));
    let found = told::with_nginx_conf(conf, &files, |verdict| (verdict.target.to_string(), verdict.worker_pid));
    assert!(found.contains(&("/cart".to_owned(), None)), "{found:?}");
}

#[test]
fn a_mismatch_says_which_location_to_mend() {
    let refused = error(REFUSED, "127.0.0.1:8080");
    let files = [("error.log", refused.as_str()), ("gunicorn.log", GUNICORN)];
    let conf = "server { server_name shop.test; location / { proxy_pass http://127.0.0.1:8080; } }";
    let quotes = check(conf, &files, "upstream_address_mismatch", "upstream_address_mismatch");
    let words = "nginx's configuration passes / of shop.test to 127.0.0.1:8080, and nothing to this Gunicorn";
    assert!(quotes.iter().any(|quote| quote == words), "{quotes:?}");
}

#[test]
fn a_timeout_without_error_line_is_known_by_the_timer() {
    let format =
        r#"log_format timed '$remote_addr [$time_local] "$request" $status $body_bytes_sent rt=$request_time';"#;
    let line = |took: &str| {
        format!(
            r#"{{"time_iso8601":"2026-03-04T09:15:32+00:00","remote_addr":"198.51.100.20","request":"GET /report HTTP/1.1","status":"504","body_bytes_sent":"167","request_time":"{took}"}}"#
        )
    };
    let conf = format!(
        "{format} server {{ location / {{ proxy_pass http://127.0.0.1:8000; proxy_connect_timeout 5s; proxy_read_timeout 30s; }} }}"
    );
    let of =
        |took: &str| told::with_nginx_conf(&conf, &[("access.log", &line(took))], |v| (v.cause.id, v.symptom.id()));
    assert_eq!(of("30.001"), [("slow_request", "response_timed_out")]);
    assert_eq!(of("5.001"), [("connect_timeout", "connect_timed_out")]);
    assert_eq!(of("12.000"), [("unknown", "unknown")]);
    let quotes = check(&conf, &[("access.log", &line("30.001"))], "unknown", "slow_request");
    assert!(
        quotes.iter().any(|quote| quote == "nginx's configuration has proxy_read_timeout 30.000 s for /"),
        "{quotes:?}"
    );
}

#[test]
fn there_is_no_race_for_a_connection_that_is_never_kept() {
    let access = r#"{"msec":"1772615702.120","pid":"411","connection":"7","request":"POST /cart HTTP/1.1","status":"502","request_time":"0.001","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"-","upstream_response_time":"0.001","upstream_bytes_received":"0"}"#;
    let reset =
        error("recv() failed (104: Connection reset by peer) while reading response header from", "127.0.0.1:8000");
    let files = [("access.log", access), ("error.log", reset.as_str()), ("gunicorn.log", GUNICORN)];
    let cause = |verdict: &Verdict| verdict.cause.id;
    assert_eq!(told::of(&files, cause), ["keepalive_race"]);
    let of = |conf: &str| told::with_nginx_conf(conf, &files, cause);
    let block = |keepalive: &str| {
        format!(
            "upstream app {{ server 127.0.0.1:8000; {keepalive} }} server {{ location / {{ proxy_pass http://app; }} }}"
        )
    };
    assert_ne!(of("server { location / { proxy_pass http://127.0.0.1:8000; } }"), ["keepalive_race"]);
    assert_ne!(of(&block("keepalive 0;")), ["keepalive_race"]);
    assert_eq!(of(&block("keepalive 16;")), ["keepalive_race"]);
    // Whether this one keeps connections depends on nginx's version.
    assert_eq!(of(&block("")), ["keepalive_race"]);
}

#[test]
fn an_upstream_that_no_line_names_is_the_one_of_its_location() {
    let access = r#"198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] "GET /cart HTTP/1.1" 502 157 "-" "curl/8.5.0""#;
    let conf =
        "server { location / { proxy_pass http://unix:/run/shop/web.sock; } location /b/ { proxy_pass http://$b; } }";
    let upstream = |verdict: &Verdict| verdict.upstream.as_ref().map(ToString::to_string);
    assert_eq!(told::of(&[("access.log", access)], upstream), [None]);
    let found = told::with_nginx_conf(conf, &[("access.log", access)], upstream);
    assert_eq!(found, [Some("unix:/run/shop/web.sock".to_owned())]);
    let variable = access.replace("/cart", "/b/cart");
    assert_eq!(told::with_nginx_conf(conf, &[("access.log", &variable)], upstream), [None]);
}
