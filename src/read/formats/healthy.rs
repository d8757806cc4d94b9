//! Dismisses the healthy lines of access logs by their status alone: most lines of most logs, so nothing is allocated
//! and as little as possible is looked at.
//!
//! A line is dismissed only where no client can have written the digits that were looked at: after quotes that its
//! text cannot hold, or at a key of JSON, whose quotes are escaped inside values.

use super::access_formats::AccessFormats;
use super::{Format, gunicorn_access, json_line, nginx_access, nginx_error};
use crate::read::Wanted;
use crate::read::request_line::request_line_hash;
use crate::read::sniff::object_at;

/// The format of a healthy line; `None` for a line that must be read.
#[inline]
pub(super) fn dismiss(line: &[u8], formats: &AccessFormats, wanted: &Wanted) -> Option<Format> {
    if let Some(status) = formats.quick_status(line) {
        return (is_healthy(status) && is_unwanted(line, wanted)).then_some(Format::NginxAccess);
    }
    if let Some(inside) = line.strip_prefix(DOCKER_HEAD) {
        let (status, request) = docker_access(inside)?;
        let unwanted = wanted.is_empty() || is_unwanted_request(request, wanted);
        return (is_healthy(status) && unwanted).then_some(Format::NginxAccess);
    }
    if line.first() == Some(&b'{') {
        let digits = json_value(line, b"\"status\":")?;
        let [a @ b'1'..=b'4', b @ b'0'..=b'9', c @ b'0'..=b'9', end, ..] = digits else { return None };
        let status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
        let ends = matches!(end, b',' | b'"' | b'}' | b' ');
        return (ends && is_healthy(status) && is_unwanted_json(line, wanted)).then_some(Format::NginxAccessJson);
    }
    let status = nginx_access::quick_status(line)?;
    (is_healthy(status) && is_unwanted(line, wanted)).then_some(Format::NginxAccess)
}

/// What to do with a line that has no telltale word but those of a request: `Some` lets it go, as what it is or as nobody's;
/// `None` must be read. Only a line whose quotes are its own can be judged by them.
pub(super) fn let_go(line: &[u8], last: Option<Format>, wanted: &Wanted) -> Option<Option<Format>> {
    if let Some(at) = object_at(line) {
        // Behind an access line it is a value of its format. A status alone is no access line, and a pid alone no head.
        let before = line.get(..at).and_then(|before| std::str::from_utf8(before).ok()).unwrap_or_default();
        let may_count = nginx_access::request_and_status(before).is_some()
            || json_line::may_have_request(line)
            || nginx_error::may_have_head(line);
        return (!may_count).then_some(None);
    }
    let has = |word: &[u8]| memchr::memmem::find(line, word).is_some();
    let is_plain = line.is_ascii() && !has(b"\\") && !has(b"\n") && !has(b"\"\"") && !has(b"&quot;");
    let text = std::str::from_utf8(line).ok().filter(|_| is_plain && !has(b"request: \""))?;
    if let Some(status) = nginx_access::labelled_status(text) {
        return (is_healthy(status) && wanted.is_empty()).then_some(Some(Format::NginxAccess));
    }
    let Some((request, status)) = nginx_access::request_and_status(text) else {
        return (!nginx_access::has_proxy_name(text)).then_some(None);
    };
    let is_of_gunicorn = gunicorn_access::is_likely(text, last) || has(b" - \"");
    if is_of_gunicorn || !is_healthy(status?) {
        return None;
    }
    let unwanted = wanted.is_empty() || is_unwanted_request(request.as_bytes(), wanted);
    unwanted.then_some(Some(Format::NginxAccess))
}

/// How Docker's `json-file` driver begins each line (`daemon/logger/jsonfilelog/jsonlog`).
const DOCKER_HEAD: &[u8] = b"{\"log\":\"";

/// Status and request of a line of the `combined` family inside a string of JSON: its quotes are `\"`. nginx itself has
/// no quote inside a value, and what Gunicorn escapes has more than one backslash.
fn docker_access(inside: &[u8]) -> Option<(u16, &[u8])> {
    let head = inside.get(..400.min(inside.len()))?;
    let open = memchr::memchr(b'"', head)?;
    head.get(..open)?.ends_with(b"] \\").then_some(())?;
    let rest = inside.get(open + 1..)?;
    let close = memchr::memchr(b'"', rest)?;
    let request = rest.get(..close)?.strip_suffix(b"\\").filter(|request| !request.ends_with(b"\\"))?;
    let status = nginx_access::three_digits(rest.get(close + 1..close + 6)?)?;
    Some((status, request))
}

fn is_healthy(status: u16) -> bool {
    !nginx_access::is_interesting(status)
}

/// True when nobody waits for this request line. What is escaped, or has blanks in its path, is left to the reader.
fn is_unwanted(line: &[u8], wanted: &Wanted) -> bool {
    wanted.is_empty() || nginx_access::quick_request(line).is_some_and(|request| is_unwanted_request(request, wanted))
}

fn is_unwanted_request(request: &[u8], wanted: &Wanted) -> bool {
    let mut words = request.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(protocol), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    protocol.starts_with(b"HTTP/")
        && memchr::memchr(b'\\', target).is_none()
        && !wanted.contains(request_line_hash(method, target))
}

fn is_unwanted_json(line: &[u8], wanted: &Wanted) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let text = |key: &[u8]| {
        let value = json_value(line, key)?;
        value.get(..memchr::memchr(b'"', value)?).filter(|value| memchr::memchr(b'\\', value).is_none())
    };
    if let Some(request) = text(b"\"request\":") {
        return is_unwanted_request(request, wanted);
    }
    match (text(b"\"request_method\":"), text(b"\"request_uri\":")) {
        (Some(method), Some(target)) => !wanted.contains(request_line_hash(method, target)),
        _ => false,
    }
}

/// What follows a key, without a blank and a quote before it.
fn json_value<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let value = line.get(memchr::memmem::find(line, key)? + key.len()..)?;
    let value = value.strip_prefix(b" ").unwrap_or(value);
    Some(value.strip_prefix(b"\"").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::super::LogFormat;
    use super::*;

    fn check(line: &str, expected: Option<Format>) {
        let timed = LogFormat::compile("$remote_addr $status \"$request\"").expect("compiles");
        let formats = AccessFormats::new(vec![timed], Vec::new());
        assert_eq!(dismiss(line.as_bytes(), &formats, &Wanted::default()), expected, "{line}");
        let other = Wanted::new(vec![request_line_hash(b"GET", b"/other")]);
        assert_eq!(dismiss(line.as_bytes(), &formats, &other), expected, "{line}, while another is wanted");
        let wanted = Wanted::new(vec![request_line_hash(b"GET", b"/a")]);
        assert_eq!(dismiss(line.as_bytes(), &formats, &wanted), None, "{line}, while it is wanted");
    }

    #[test]
    fn healthy_lines() {
        let access = Some(Format::NginxAccess);
        let json = Some(Format::NginxAccessJson);
        let combined = |status: &str| {
            format!("192.0.2.7 - - [03/Mar/2027:10:20:30 +0000] \"GET /a HTTP/1.1\" {status} 5 \"-\" \"x\"")
        };
        check(&combined("200"), access);
        check(&combined("404"), access);
        for status in ["499", "500", "502", "503", "504", "009", "000"] {
            check(&combined(status), None);
        }
        check("192.0.2.7 200 \"GET /a HTTP/1.1\"", access);
        check("192.0.2.7 502 \"GET /a HTTP/1.1\"", None);
        check(r#"{"status":200,"request":"GET /a HTTP/1.1"}"#, json);
        check(r#"{"status": "200","request_method":"GET","request_uri":"/a"}"#, json);
        check(r#"{"status":502,"request":"GET /a HTTP/1.1"}"#, None);
        check(r#"{"status":2005,"request":"GET /a HTTP/1.1"}"#, None);
        check(r#"{"agent":"\"status\":200","status":502,"request":"GET /a HTTP/1.1"}"#, None);
        check("192.0.2.7 - x [a] 200 [03/Mar/2027:10:20:30 +0000] \"GET /a HTTP/1.1\" 502 5", None);
        check("2027/03/03 10:20:30 [error] 7#7: *1 x, request: \"GET /a HTTP/1.1\", host: \"x\"", None);
        check("", None);
    }

    #[test]
    fn an_object_behind_an_access_line_is_a_value_of_it() {
        let line = "192.0.2.7 \"GET /a\" 502 {\"cache\":\"-\"}";
        assert_eq!(let_go(line.as_bytes(), None, &Wanted::default()), None);
        assert_eq!(let_go(b"web-1 | {\"status\":502}", None, &Wanted::default()), Some(None));
    }

    #[test]
    fn labels_between_tabs() {
        let go = |line: &str, wanted: &Wanted| let_go(line.as_bytes(), None, wanted);
        let line = |status: &str| format!("time:x\treq:GET /a HTTP/1.1\tstatus:{status}\tua:x");
        let (nothing, wanted) = (Wanted::default(), Wanted::new(vec![request_line_hash(b"GET", b"/a")]));
        assert_eq!(go(&line("200"), &nothing), Some(Some(Format::NginxAccess)));
        assert_eq!(go(&line("200"), &wanted), None);
        assert_eq!(go(&line("502"), &nothing), None);
        // An application's own, which says nothing of what the access log covers.
        assert_eq!(go("order:7\tstatus:200\tby:ann", &nothing), Some(None));
        assert_eq!(go("level:info\tmethod:GET\tpath:/a\tstatus:200\tms:3", &nothing), Some(None));
    }

    #[test]
    fn healthy_lines_of_docker() {
        let docker = |line: &str| {
            let object = serde_json::json!({ "log": format!("{line}\n") }).to_string();
            object.replacen('}', ",\"stream\":\"stdout\",\"time\":\"2027-03-03T10:20:30.1Z\"}", 1)
        };
        let line = |request: &str, status: &str| {
            docker(&format!("192.0.2.7 - - [03/Mar/2027:10:20:30 +0000] \"{request}\" {status} 5 \"-\" \"x\""))
        };
        check(&line("GET /a HTTP/1.1", "200"), Some(Format::NginxAccess));
        check(&line("GET /a HTTP/1.1", "502"), None);
        // Gunicorn escapes a quote that a client sent.
        check(&line("GET /\\\" 200 5 HTTP/1.1", "502"), None);
        check(&docker("192.0.2.7 - \"x\" 200 [03/Mar/2027:10:20:30 +0000] \"GET /a HTTP/1.1\" 502 5"), None);
        check(&docker("{\"status\":200}"), None);
        check("{\"log\":\"", None);
    }
}
