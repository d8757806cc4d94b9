//! nginx's access log: `combined`, `main` and what people append to them, ingress-nginx, JSON whose keys are named after
//! nginx's variables, lines of `name=value` pairs, and records that a collector already parsed.
//!
//! Every way ends in [`from_fields`]: named values become one [`Line`]. With `escape=default` quotes inside a value are
//! `\x22`, with `escape=json` and Gunicorn's they are `\"`, so a raw quote ends a value, and no name is ever looked for
//! inside quotes: a client cannot add a field.

mod fields;
mod infer;
mod usual;

pub use fields::{Get, from_fields, from_format};
pub(super) use fields::{STATUS, TIME, beside, client_of, host_of, is_healthy, request_of, seconds, value};
pub(super) use infer::{has_proxy_name, labelled_status, request_and_status};
pub use infer::{named_fields, read_combined};
pub(super) use usual::read as read_usual;

use super::json_line::JsonLine;
use super::{Bare, Format, Reading, access_reading, cut, in_doubt};
use crate::read::evidence::{MILLISECOND, Nanos, NginxAccess, SECOND, Stamp, TraceContext};
use crate::read::sniff::{Sign, Telltale, near};
use crate::read::text::{rsplit_at, split_at};
use crate::read::time::{from_utc, iso_stamp, month_from_name};

/// A request, a status with a name, the head of the `combined` family.
pub const TELLTALES: &[Telltale] = &[
    near("HTTP", |around| request_if(around.after.starts_with(b"/") || around.after.starts_with(b"\\/"))),
    near("tatu", |around| {
        let rest = around.after.strip_prefix(b"s").unwrap_or_default();
        let name = rest.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'_').count();
        request_if(rest.get(name..).is_some_and(super::json_line::is_status))
    }),
    near("- - [", |_| Sign::Request),
];

fn request_if(holds: bool) -> Sign {
    if holds { Sign::Request } else { Sign::None }
}

/// A quoted value behind a stamp or a quoted request that lost its protocol, and a request behind a long front.
pub fn by_shape(front: &[u8], line: &[u8]) -> Sign {
    let is_object = line.first() == Some(&b'{');
    let is_request = |at: usize| {
        let before = front.get(..at).unwrap_or_default().trim_ascii_end();
        before.strip_suffix(b"]").is_some_and(is_end_of_stamp) || is_request(front.get(at + 1..).unwrap_or_default())
    };
    let quoted = if is_object {
        memchr::memmem::find_iter(front, b"\\\"").any(|at| is_request(at + 1))
    } else {
        memchr::memchr2_iter(b'"', b'\'', front).take(QUOTES_MAX).any(is_request)
    };
    let rest = line.get(front.len()..).unwrap_or_default();
    let far = rest.get(..REQUEST_WITHIN).unwrap_or(rest);
    // Nginx Proxy Manager's: `[03/Mar/2027:` and the client in words.
    let is_dated = matches!(front, [b'[', _, _, b'/', ..]);
    let is_of_manager = || is_dated && memchr::memmem::find(line, b"\" [Client ").is_some();
    request_if(quoted || is_of_manager() || !far.is_empty() && memchr::memmem::find(far, b"HTTP/").is_some())
}

/// `+0000` or a second.
fn is_end_of_stamp(text: &[u8]) -> bool {
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = text.len().checked_sub(digits + 1).and_then(|at| text.get(at));
    matches!(digits, 2 | 4) && matches!(sign, Some(b'+' | b'-' | b':'))
}

/// Quotes that are looked at for a request: those of the values that may stand before it.
const QUOTES_MAX: usize = 16;

/// `GET /x`.
fn is_request(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let method = text.iter().take_while(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')).count();
    let target = text.get(method..).unwrap_or_default();
    method > 0 && (target.starts_with(b" /") || target.starts_with(b" \\/"))
}

/// nginx takes a request line and headers of 8 KiB (`large_client_header_buffers`), some of which may stand before the
/// request in a line.
const REQUEST_WITHIN: usize = 8 * 1024;

/// `ADDRESS - USER [02/Mar/2026:`, with a host before it or not.
pub(super) fn begins(rest: &str) -> bool {
    let Some((before, after)) = rest.split_once(" [") else { return false };
    let bytes = after.as_bytes();
    before.contains(" - ")
        && before.len() <= 300
        && !before.contains('"')
        && bytes.get(2) == Some(&b'/')
        && bytes.get(6) == Some(&b'/')
}

/// True for the same behind nothing but the client's address.
pub(super) fn has_head(text: &str) -> bool {
    let client = text.split(' ').next().unwrap_or_default();
    client.matches(['.', ':']).count() >= 3
        && client.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'))
        && begins(text)
}

/// What a line of the `combined` family, or one of named values, proves.
pub(super) fn reading(line: &mut Bare<'_>) -> Option<Reading> {
    read_combined(line.text).map(|read| reading_of(read, Format::NginxAccess, line))
}

/// What a line of JSON proves.
pub(super) fn json_reading(line: &mut Bare<'_>) -> Option<Reading> {
    let read = read_json(&JsonLine::read(line.text)?)?;
    Some(reading_of(read, Format::NginxAccessJson, line))
}

pub(super) fn reading_of(read: Line, format: Format, line: &Bare<'_>) -> Reading {
    in_doubt(access_reading(read, format, cut(line.text), line.wanted), line.is_doubtful)
}

/// One line, read.
#[derive(Debug, Default)]
pub struct Line {
    /// End of the request.
    pub stamp: Option<Stamp>,
    /// Its fields.
    pub access: NginxAccess,
    /// `$http_traceparent` or `$otel_trace_id`.
    pub trace: Option<TraceContext>,
    /// A name stands twice with different values, outside of quotes: a client may have written one of them.
    pub is_doubtful: bool,
}

/// True for a status that may be a failure: what is not dismissed at once. 9 is HTTP/0.9 garbage passed through, 0 a
/// connection closed before any answer.
pub fn is_interesting(status: u16) -> bool {
    status >= 499 || status == 9 || status == 0
}

/// True for bytes of a body that nginx's own page of an error has.
pub fn is_page_of_nginx(bytes: u64) -> bool {
    matches!(bytes, 141..=230 | 537..=640)
}

/// The status of a line of the `combined` family without parsing the rest: three digits after the quoted request.
pub fn quick_status(line: &[u8]) -> Option<u16> {
    let open = memchr::memchr(b'"', line.get(..400.min(line.len()))?)?;
    // The stamp stands before the request in this family, and nothing else is in brackets.
    line.get(..open)?.ends_with(b"] ").then_some(())?;
    let close = open + 1 + memchr::memchr(b'"', line.get(open + 1..)?)?;
    // Gunicorn escapes a quote with a backslash; nginx never has a raw one.
    (line.get(close.checked_sub(1)?) != Some(&b'\\')).then_some(())?;
    three_digits(line.get(close + 1..close + 6)?)
}

pub(super) fn three_digits(text: &[u8]) -> Option<u16> {
    match text {
        [b' ', a, b, c, b' '] if a.is_ascii_digit() && b.is_ascii_digit() && c.is_ascii_digit() => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => None,
    }
}

/// The request between the first two quotes of a line of the `combined` family.
pub fn quick_request(line: &[u8]) -> Option<&[u8]> {
    let open = memchr::memchr(b'"', line)?;
    let rest = line.get(open + 1..)?;
    rest.get(..memchr::memchr(b'"', rest)?)
}

/// When a healthy line was written, without parsing the rest.
pub fn quick_stamp(line: &[u8]) -> Option<Nanos> {
    let text = |from: usize, length: usize| std::str::from_utf8(line.get(from..from + length)?).ok();
    // A line of Docker's is text inside JSON, and its first bracket is that of the text.
    if line.first() == Some(&b'{') && !line.starts_with(b"{\"log\":\"") {
        if let Some(at) = memchr::memmem::find(line, b"\"msec\":") {
            let at = if line.get(at + 7) == Some(&b'"') { at + 8 } else { at + 7 };
            return msec(text(at, 14)?).map(|stamp| stamp.nanos);
        }
        if let Some(at) = memchr::memmem::find(line, b"\"time_iso8601\":\"") {
            let stamp = iso_stamp(text(at + 16, 25)?)?;
            return stamp.zone_known.then_some(stamp.nanos);
        }
        let at = memchr::memmem::find(line, b"\"time_local\":\"")? + 14;
        return time_local(text(at, 26)?).map(|stamp| stamp.nanos);
    }
    let head = head(line);
    // Where the request comes first, the stamp is the first bracket behind it.
    let at = memchr::memrchr(b'[', head).or_else(|| memchr::memchr(b'[', line))? + 1;
    time_local(text(at, 26)?).map(|stamp| stamp.nanos)
}

/// What stands before the first value in quotes of a line that is no JSON, or is text in Docker's. The last stamp in it is
/// nginx's; what stands before that may be a client's user name.
fn head(line: &[u8]) -> &[u8] {
    let is_docker = line.starts_with(b"{\"log\":\"");
    let end = if is_docker { memchr::memmem::find(line, b"\\\"") } else { memchr::memchr(b'"', line) };
    end.and_then(|end| line.get(..end)).unwrap_or(line)
}

/// The zone in which a line was written, with when, where its stamp has one: `[29/Oct/2026:13:55:36 +0200]`, in JSON too,
/// or `2026-10-29T13:55:36+02:00`. In nanoseconds ahead of UTC.
pub fn quick_zone(line: &[u8]) -> Option<(Nanos, Nanos)> {
    let is_json = line.first() == Some(&b'{') && !line.starts_with(b"{\"log\":\"");
    let head = if is_json { line } else { head(line) };
    let text = |from: usize, length: usize| std::str::from_utf8(head.get(from..from.checked_add(length)?)?).ok();
    let date = if is_json { memchr::memmem::find(head, b"/20") } else { memchr::memmem::rfind(head, b"/20") };
    if let Some(colon) = date.filter(|at| head.get(at + 5) == Some(&b':')) {
        let stamp = text(colon.checked_sub(6)?, 26)?;
        let local = time_local(stamp.get(..20)?)?.nanos;
        let utc = time_local(stamp).filter(|stamp| stamp.zone_known)?.nanos;
        return Some((utc, local.saturating_sub(utc)));
    }
    let at = memchr::memchr_iter(b'T', head).find(|at| {
        head.get(at + 3) == Some(&b':') && at.checked_sub(3).is_some_and(|dash| head.get(dash) == Some(&b'-'))
    })?;
    let stamp = text(at.checked_sub(10)?, 25)?;
    let utc = iso_stamp(stamp).filter(|stamp| stamp.zone_known)?.nanos;
    Some((utc, iso_stamp(stamp.get(..19)?)?.nanos.saturating_sub(utc)))
}

/// Method, then target and protocol. A request that nginx could not parse (`\x16\x03\x01`) has neither.
fn split_request(request: &str) -> (&str, &str, &str) {
    match split_at(request, b' ') {
        Some((method, rest)) if is_method(method) => match rsplit_at(rest, b' ') {
            Some((target, protocol)) if protocol.starts_with("HTTP/") => (method, target, protocol),
            _ => (method, rest, ""),
        },
        _ => ("", request, ""),
    }
}

/// `GET /x HTTP/1.1`, as nginx and Gunicorn log it.
pub(in crate::read) fn is_request_line(request: &str) -> bool {
    let (method, _, protocol) = split_request(request);
    !method.is_empty() && !protocol.is_empty()
}

fn is_method(word: &str) -> bool {
    (1..=32).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
        && word.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// `29/Oct/2026:13:55:36 +0000`.
pub fn time_local(text: &str) -> Option<Stamp> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let month = month_from_name(text.get(3..6)?.as_bytes())?;
    let nanos =
        from_utc(i64::from(number(7, 11)?), month, number(0, 2)?, number(12, 14)?, number(15, 17)?, number(18, 20)?)?;
    let zone = text.get(20..).map(str::trim).unwrap_or_default();
    if !zone.starts_with(['+', '-']) {
        return Some(Stamp { nanos, grain: SECOND, zone_known: false, year_known: true });
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let hours = zone.get(1..3)?.parse::<u32>().ok()?;
    let minutes = zone.get(3..5)?.parse::<u32>().ok()?;
    let offset = sign * Nanos::from(hours * 3_600 + minutes * 60) * SECOND;
    Some(Stamp { nanos: nanos.saturating_sub(offset), grain: SECOND, zone_known: true, year_known: true })
}

/// Reads a JSON line whose keys are named after nginx's variables, or after what people call them.
pub fn read_json(line: &JsonLine<'_>) -> Option<Line> {
    let mut read = Line::default();
    from_fields(&|name| line.get_deep(name), &mut read).then_some(read)
}

/// `$msec`: `1795331679.700`.
fn msec(text: &str) -> Option<Stamp> {
    let (whole, fraction) = text.trim().split_once('.')?;
    if !(9..=11).contains(&whole.len()) || fraction.len() != 3 {
        return None;
    }
    let fraction: u32 = fraction.parse().ok()?;
    let nanos = whole.parse::<Nanos>().ok()?.checked_mul(SECOND)?;
    let nanos = nanos.checked_add(Nanos::from(fraction) * MILLISECOND)?;
    Some(Stamp { nanos, grain: MILLISECOND, zone_known: true, year_known: true })
}

#[cfg(test)]
mod tests;
