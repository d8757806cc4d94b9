use super::*;
use crate::read::time::rfc3339;
use proptest::prelude::*;

/// `status method target client time request_time attempts`, `~` for what is missing.
fn summary(read: Option<Line>) -> String {
    let Some(read) = read else { return "none".to_owned() };
    let access = &read.access;
    let or = |text: &str| if text.is_empty() { "~".to_owned() } else { text.to_owned() };
    let attempts: Vec<String> = access
        .attempts
        .iter()
        .map(|attempt| {
            format!(
                "{}/{}",
                or(&attempt.address),
                attempt.status.value().map_or("~".to_owned(), |status| status.to_string())
            )
        })
        .collect();
    format!(
        "{:03} {} {} {} {} {} {}{}",
        access.status,
        or(&access.method),
        or(&access.target),
        or(&access.client),
        read.stamp.map_or("~".to_owned(), |stamp| rfc3339(stamp.nanos)),
        access.request_time.value().map_or("~".to_owned(), |time| format!("{}ms", time / MILLISECOND)),
        or(&attempts.join(" ")),
        if read.is_doubtful { " doubtful" } else { "" },
    )
}

fn check(line: &str, expected: &str) {
    let read = match JsonLine::read(line) {
        Some(json) => read_json(&json),
        None => read_combined(line),
    };
    assert_eq!(summary(read), expected, "{line}");
}

#[test]
fn the_combined_family() {
    let stamp = "[03/Mar/2027:10:20:30 +0100]";
    let check = |line: &str, expected: &str| check(&line.replace("@", stamp), expected);
    check("192.0.2.7 - - @ \"GET /a HTTP/1.1\" 502 157 \"-\" \"x\"", "502 GET /a 192.0.2.7 2027-03-03T09:20:30Z ~ ~");
    check(
        "shop.test:443 192.0.2.7 - ann @ \"GET /a HTTP/1.1\" 502 157",
        "502 GET /a 192.0.2.7 2027-03-03T09:20:30Z ~ ~",
    );
    check(
        "192.0.2.7 - - @ \"GET /a HTTP/1.1\" 502 157 \"-\" \"x\" \"-\" 3.004 2.001 .",
        "502 GET /a 192.0.2.7 2027-03-03T09:20:30Z 3004ms ~",
    );
    check(
        "192.0.2.7 - - @ \"GET /a HTTP/1.1\" 502 157 \"-\" \"x\" rt=0.4 us=\"502 : 502\" ua=\"198.51.100.1:80 : unix:/run/a\"",
        "502 GET /a 192.0.2.7 2027-03-03T09:20:30Z 400ms 198.51.100.1:80/502 unix:/run/a/502",
    );
    check(
        "192.0.2.7 - - @ \"GET /a HTTP/1.1\" 502 157 upstream_status=500, 502 upstream=198.51.100.1:80, 198.51.100.2:80 request_time=0.003",
        "502 GET /a 192.0.2.7 2027-03-03T09:20:30Z 3ms 198.51.100.1:80/500 198.51.100.2:80/502",
    );
    check(
        "192.0.2.7 - - @ \"GET /a HTTP/1.1\" 504 0 \"-\" \"x\" 118 60.001 [web-shop-80] [] 198.51.100.1:80, 198.51.100.2:80 0, 7 5.000, 55.001 504, 504 0a1b",
        "504 GET /a 192.0.2.7 2027-03-03T09:20:30Z 60001ms 198.51.100.1:80/504 198.51.100.2:80/504",
    );
    check("xx.xx.xx.xx - - @ \"GET /a HTTP/1.1\" 502 157", "502 GET /a xx.xx.xx.xx 2027-03-03T09:20:30Z ~ ~");
    check("@ 502 \"GET /a HTTP/1.1\" 12", "502 GET /a ~ 2027-03-03T09:20:30Z ~ ~");
    check("192.0.2.7 - - @ \"\\x16\\x03\" 400 157 \"-\" \"-\"", "400 ~ \u{16}\u{3} 192.0.2.7 2027-03-03T09:20:30Z ~ ~");
    check("192.0.2.7 - - @ 'GET /a HTTP/1.0' 500 7 '-' 'x'", "500 GET /a 192.0.2.7 2027-03-03T09:20:30Z ~ ~");
    check("\"GET /a HTTP/1.1\" 502", "502 GET /a ~ ~ ~ ~");
}

#[test]
fn named_values() {
    check(
        "time=2027-03-03T10:20:30Z remote_addr=192.0.2.7 method=GET uri=/a status=502 upstream_status=502 upstream_addr=198.51.100.1:80",
        "502 GET /a 192.0.2.7 2027-03-03T10:20:30Z ~ 198.51.100.1:80/502",
    );
    check(
        "GET /a  [upstream_addr:198.51.100.1:80] [status:502] [request_time:0.028]",
        "502 GET /a ~ ~ 28ms 198.51.100.1:80/~",
    );
    check("status:502\trequest:\"GET /a HTTP/1.1\"\tclient_ip:192.0.2.7", "502 GET /a 192.0.2.7 ~ ~ ~");
    // An application's own log is none.
    check("level=info method=GET path=/a status=502 duration=3", "none");
    check("the status of GET /a is 502", "none");
}

#[test]
fn labels_between_tabs() {
    check(
        "time:03/Mar/2027:10:20:30 +0000\thost:192.0.2.7\treq:GET /a b HTTP/1.1\tstatus:502\tsize:5\tua:curl 8\treqtime:0.028\tvhost:shop.test",
        "502 GET /a b 192.0.2.7 2027-03-03T10:20:30Z 28ms ~",
    );
    check("time_ngx:x\tstatus:502\tmethod:GET\turi:/a\tremote_addr:192.0.2.7", "502 GET /a 192.0.2.7 ~ ~ ~");
    check(
        "site=\"shop\" time_local=\"03/Mar/2027:10:20:30 +0000\" status=\"502\" http_method=\"GET\" uri_path=\"/a\"",
        "502 GET /a ~ 2027-03-03T10:20:30Z ~ ~",
    );
    check("order:7\tstatus:502\tby:ann\tnote:x", "none");
    check("time:x\tlevel:info\tmethod:GET\tpath:/a\tstatus:502\tduration:3", "none");
}

#[test]
fn the_formats_of_nginx_proxy_manager() {
    let rest = "[Client 192.0.2.7] [Length 154] [Gzip -]";
    check(
        &format!(
            "[03/Mar/2027:10:20:30 +0000] - 504, 502 502 - GET https shop.test \"/a?b=c\" {rest} [Sent-to app] \"x\" \"-\""
        ),
        "502 GET /a?b=c 192.0.2.7 2027-03-03T10:20:30Z ~ ~/504 ~/502",
    );
    check(
        &format!("[03/Mar/2027:10:20:30 +0000] 502 - POST http shop.test \"/\" {rest} \"x\" \"-\""),
        "502 POST / 192.0.2.7 2027-03-03T10:20:30Z ~ ~",
    );
    check(&format!("[03/Mar/2027:10:20:30 +0000] said 502 - GET https \"/a\" {rest}"), "none");
}

#[test]
fn json() {
    check(
        r#"{"msec":1804069230.250,"remote_addr":"192.0.2.7","request":"GET /a\"b HTTP/1.1","status":502,"request_time":0.004,"upstream_status":"504, 502","urt":,"x":-}"#,
        "502 GET /a\"b 192.0.2.7 2027-03-03T10:20:30.250Z 4ms ~/504 ~/502",
    );
    check(
        r#"{"@timestamp":"2027-03-03T10:20:30+00:00","@fields":{"remote_addr":"192.0.2.7","status":"502","request":"GET /a HTTP/1.1"}}"#,
        "502 GET /a 192.0.2.7 2027-03-03T10:20:30Z ~ ~",
    );
    check(
        r#"{"ts":"2027-03-03T10:20:30Z","method":"GET","path":"/a","status":"502","upstream_response_time":0.1, 0.2,"ip":"192.0.2.7"}"#,
        "502 GET /a 192.0.2.7 2027-03-03T10:20:30Z ~ ~/~ ~/~",
    );
    check(
        r#"{"httpRequest":{"requestMethod":"GET","requestUrl":"http://a.test/a?b","status":502,"latency":"0.004s"}}"#,
        "502 GET /a?b ~ ~ 4ms ~",
    );
    check(r#"{"message":"x","status":"broken"}"#, "none");
}

#[test]
fn nobody_adds_a_field() {
    let agent = |agent: &str| {
        format!("192.0.2.7 - - [03/Mar/2027:10:20:30 +0000] \"GET /a HTTP/1.1\" 200 1 \"-\" \"{agent}\" us=\"200\"")
    };
    check(&agent("us=502 status=502 rt=9"), "200 GET /a 192.0.2.7 2027-03-03T10:20:30Z ~ ~/200");
    check(&agent("\\x22 us=\\x22502\\x22"), "200 GET /a 192.0.2.7 2027-03-03T10:20:30Z ~ ~/200");
    check(&agent("x 9 0.1 [a] [] b 1 0.1 502 c"), "200 GET /a 192.0.2.7 2027-03-03T10:20:30Z ~ ~/200");
    check(
        "remote_addr=192.0.2.7 method=GET uri=/a status=200 user_agent=x status=502 upstream_status=200",
        "200 GET /a 192.0.2.7 ~ ~ ~/200 doubtful",
    );
}

#[test]
fn missing_is_not_a_dash() {
    let read =
        read_combined("192.0.2.7 - - [x] \"GET /a HTTP/1.1\" 502 1 \"-\" \"-\" us=502 uht=soon uct=-").expect("reads");
    let attempt = read.access.attempts.first().expect("one attempt");
    assert!(!attempt.header_time.is_logged(), "a value that cannot be read proves nothing");
    assert!(attempt.connect_time.is_dash());
}

#[test]
fn stamps_without_reading_the_rest() {
    let check = |line: &str, expected: Option<&str>| {
        let stamp = quick_stamp(line.as_bytes()).map(crate::read::time::rfc3339);
        assert_eq!(stamp.as_deref(), expected, "{line}");
    };
    check("192.0.2.7 - - [03/Mar/2027:10:20:30 +0100] \"GET / HTTP/1.1\" 200 1", Some("2027-03-03T09:20:30Z"));
    check(r#"{"status":200,"msec":"1804069230.250"}"#, Some("2027-03-03T10:20:30.250Z"));
    check(r#"{"msec":1804069230.250,"status":200}"#, Some("2027-03-03T10:20:30.250Z"));
    check(r#"{"time_local":"03/Mar/2027:10:20:30 +0000"}"#, Some("2027-03-03T10:20:30Z"));
    check(r#"{"time_iso8601":"2027-03-03T10:20:30+02:00"}"#, Some("2027-03-03T08:20:30Z"));
    check(r#"{"time_iso8601":"2027-03-03T10:20:30"}"#, None);
    check(
        r#"{"log":"192.0.2.7 - - [03/Mar/2027:10:20:30 +0000] \"GET / HTTP/1.1\" 200"}"#,
        Some("2027-03-03T10:20:30Z"),
    );
    check(r#"{"status":200}"#, None);
    check("GET / 200", None);
}

proptest! {
    #[test]
    fn anything_goes(line in "\\PC{0,80}|([\"\\[\\]:=, a-zA-Z0-9./{}\\\\-]{1,4}){0,40}") {
        let _ = read_combined(&line);
        let _ = named_fields(&line);
        let _ = quick_status(line.as_bytes());
        let _ = quick_stamp(line.as_bytes());
        if let Some(json) = JsonLine::read(&line) {
            let _ = read_json(&json);
        }
    }
}
