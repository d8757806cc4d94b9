//! Which access line is of which error line, and what it says of a failure that there is one, another one or none.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use told::{check, error, symptoms_and_causes};

#[test]
fn only_a_good_line_of_the_request_itself_unsays_its_failure() {
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
    assert_eq!(symptoms_and_causes(&format!("{refused}\n{other}")).lines().count(), 2, "another network");
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
