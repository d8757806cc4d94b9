//! What runtimes and log shippers put around a line, peeled until the line is bare.

mod prefix;
mod quoted;

pub(super) use prefix::unknown as behind_unknown;
pub(super) use quoted::ends_early;

use super::evidence::{SECOND, Stamp};
use super::formats::gunicorn_error::iso_stamp;
use super::formats::json_line::JsonLine;
use super::formats::nginx_error;
use super::text::find;
use super::time::month_from_name;
use std::borrow::Cow;

/// Envelopes in envelopes: a compose prefix around CRI around JSON around syslog is four.
const DEPTH_MAX: usize = 6;

/// A bare line and what its envelopes said.
#[derive(Debug)]
pub struct Peeled<'a> {
    /// The line itself.
    pub bare: Cow<'a, str>,
    /// The innermost envelope's time.
    pub stamp: Option<Stamp>,
    /// Container, pod, host or unit.
    pub origin: String,
    /// Names of the envelopes, outermost first.
    pub layers: Vec<&'static str>,
    /// The innermost JSON object, which may say more than the text that was taken out of it.
    pub object: Option<Cow<'a, str>>,
}

/// Peels a line.
pub fn peel(line: &str) -> Peeled<'_> {
    let mut peeled =
        Peeled { bare: Cow::Borrowed(line), stamp: None, origin: String::new(), layers: Vec::new(), object: None };
    if line.contains('\x1b') {
        peeled.bare = Cow::Owned(without_ansi(line));
        peeled.layers.push("ansi");
    }
    if may_be_padded(&peeled.bare) && peeled.bare.trim().contains(PADDING) {
        peeled.bare = Cow::Owned(without_padding(&peeled.bare));
        peeled.layers.push("padding");
    }
    if let Some((name, plain)) = without_escapes(&peeled.bare) {
        peeled.bare = Cow::Owned(plain);
        peeled.layers.push(name);
    }
    for _ in 0..DEPTH_MAX {
        let Some(layer) = peel_one(&peeled.bare) else { break };
        peeled.stamp = layer.stamp.or(peeled.stamp);
        if !layer.origin.is_empty() {
            peeled.origin = layer.origin;
        }
        peeled.layers.push(layer.name);
        let outer = std::mem::replace(&mut peeled.bare, Cow::Owned(layer.inner));
        if outer.starts_with('{') {
            peeled.object = Some(outer);
        }
    }
    peeled
}

/// Blanks that no program writes into a line: a terminal filled its width with them where it wrapped one.
const PADDING: &str = "                                        ";

/// One of so many blanks stands at a place that is a multiple of their number, as does one of any row that is as long.
fn may_be_padded(line: &str) -> bool {
    line.as_bytes().iter().step_by(PADDING.len()).any(|byte| *byte == b' ')
}

/// The line as it was before a terminal wrapped it.
fn without_padding(line: &str) -> String {
    let body = line.trim_start();
    let mut plain = line.get(..line.len() - body.len()).unwrap_or_default().to_owned();
    let mut rest = body;
    while let Some(at) = rest.find(PADDING) {
        plain.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default().trim_start();
    }
    plain.push_str(rest);
    plain
}

/// A line that was quoted by another program or page: every quote is `\"` or `&quot;`, or typographic.
fn without_escapes(line: &str) -> Option<(&'static str, String)> {
    if (find(line, "&quot;").is_some() && !line.contains('"')) || opening_tag(line.trim_start()).is_some() {
        return Some(("html", without_html(line)));
    }
    if !line.is_ascii() && (line.contains('\u{a0}') || line.contains('\u{202f}')) {
        return Some(("no-break", line.replace(['\u{a0}', '\u{202f}'], " ")));
    }
    if !line.is_ascii() && !line.contains('"') && line.contains('\u{201d}') {
        return Some(("typographic", line.replace(['\u{201c}', '\u{201d}'], "\"")));
    }
    let bytes = line.as_bytes();
    let escaped = memchr::memchr_iter(b'\\', bytes).filter(|at| bytes.get(at + 1) == Some(&b'"')).count();
    (escaped > 0 && escaped == line.matches('"').count() && !line.contains("\\\\\""))
        .then(|| ("escaped", line.replace("\\\"", "\"").replace("\\t", "\t")))
}

/// What follows `<p>` and the like.
fn opening_tag(text: &str) -> Option<&str> {
    ["<p>", "<li>", "<pre>", "<code>", "<br>"].iter().find_map(|tag| text.strip_prefix(tag))
}

fn without_html(line: &str) -> String {
    let mut plain = line.trim();
    while let Some(rest) = opening_tag(plain) {
        plain = rest;
    }
    while let Some(rest) = ["</p>", "</li>", "</pre>", "</code>", "<br>"].iter().find_map(|tag| plain.strip_suffix(tag))
    {
        plain = rest;
    }
    let plain = plain.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'");
    plain.replace("&amp;", "&")
}

struct Layer {
    name: &'static str,
    inner: String,
    stamp: Option<Stamp>,
    origin: String,
}

fn peel_one(line: &str) -> Option<Layer> {
    let plain =
        |name: &'static str, inner: &str| Layer { name, inner: inner.to_owned(), stamp: None, origin: String::new() };
    let trimmed = without_indent(line);
    if trimmed.len() < line.len() {
        return Some(plain("indent", trimmed.trim_end_matches(['`', '*'])));
    }
    if line.starts_with("{") {
        return json(line);
    }
    if nginx_error::has_whole_head(line) {
        // The usual line of a failure: no envelope begins so.
        return None;
    }
    compose(line)
        .or_else(|| iso_prefix(line))
        .or_else(|| syslog(line))
        .or_else(|| rfc5424(line))
        .or_else(|| bracketed(line))
        .or_else(|| {
            if prefix::begins_record(line) {
                return None;
            }
            let quoted = quoted::take_out(line);
            quoted
                .map(|(name, inner)| plain(name, &inner))
                .or_else(|| prefix::take_off(line).map(|(name, inner)| plain(name, inner)))
        })
}

/// The line without blanks, quote and list marks. The star of `*7 `, nginx's connection where its head was cut off, stays.
fn without_indent(line: &str) -> &str {
    let trimmed = line.trim_start_matches([' ', '\t', '>', '`', '*', '\u{feff}', '\u{3000}']);
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let is_connection = digits > 0 && trimmed.as_bytes().get(digits) == Some(&b' ');
    let starred = line.get(line.len().saturating_sub(trimmed.len() + 1)..).filter(|line| line.starts_with('*'));
    starred.filter(|_| is_connection).unwrap_or(trimmed)
}

/// True for a line in one of the envelopes that runtimes and loggers put around theirs.
fn is_enveloped(line: &str) -> bool {
    compose(line).is_some() || iso_prefix(line).is_some() || syslog(line).is_some() || bracketed(line).is_some()
}

/// Docker's json-file, JSON loggers, journald's export: the text under a known key.
fn json(line: &str) -> Option<Layer> {
    let object = JsonLine::read(line)?;
    if object.get("status").is_some() || object.get("http.response.status_code").is_some() {
        return None;
    }
    let keys = [
        ("log", "docker_json"),
        ("MESSAGE", "journald_json"),
        ("message", "json"),
        ("msg", "json"),
        ("event", "json"),
        ("textPayload", "json"),
        ("line", "json"),
    ];
    let (inner, name) = keys.iter().find_map(|(key, name)| object.get(key).map(|text| (text, *name)))?;
    let inner = inner.trim_end_matches(['\n', '\r']).to_owned();
    if inner.is_empty() || inner == line {
        return None;
    }
    let stamp = ["time", "timestamp", "@timestamp", "ts", "asctime", "__REALTIME_TIMESTAMP"]
        .iter()
        .find_map(|key| object.get(key))
        .and_then(|text| iso_stamp(&text).or_else(|| epoch_stamp(&text)));
    let origin = ["container", "pod", "_HOSTNAME", "host", "_SYSTEMD_UNIT"]
        .iter()
        .find_map(|key| object.get(key))
        .map_or(String::new(), Cow::into_owned);
    Some(Layer { name, inner, stamp, origin })
}

/// `web_1  | `, `web-1 | 2025-04-10 11:31:17.826 | `.
fn compose(line: &str) -> Option<Layer> {
    let (name, inner) = line.split_once("| ").or_else(|| line.split_once("|\u{a0}"))?;
    let name = name.trim_end();
    let is_name = !name.is_empty()
        && name.len() <= 80
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/'));
    if is_name {
        return Some(Layer { name: "compose", inner: inner.to_owned(), stamp: None, origin: name.to_owned() });
    }
    let stamp = iso_stamp(name)?;
    (name.len() <= 35).then(|| Layer {
        name: "timestamp",
        inner: inner.to_owned(),
        stamp: Some(stamp),
        origin: String::new(),
    })
}

/// CRI (`2024-12-02T18:32:23.639496367Z stdout F `) and other prefixes that begin with an ISO time.
fn iso_prefix(line: &str) -> Option<Layer> {
    let bytes = line.as_bytes();
    if bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') || !matches!(bytes.get(10), Some(b'T' | b' ')) {
        return None;
    }
    let end = 19 + line.get(19..)?.find([' ', '\t'])?;
    let stamp = line.get(..end)?;
    // Nothing else may stand in it: the values of an access log do, without a blank between them.
    let is_stamp = |byte: u8| byte.is_ascii_digit() || b"T :.,+-Z".contains(&byte);
    let stamp = iso_stamp(stamp).filter(|_| stamp.bytes().all(is_stamp))?;
    let rest = line.get(end..)?.trim_start();
    for stream in ["stdout F ", "stderr F ", "stdout P ", "stderr P "] {
        if let Some(inner) = rest.strip_prefix(stream) {
            return Some(Layer { name: "cri", inner: inner.to_owned(), stamp: Some(stamp), origin: String::new() });
        }
    }
    // supervisord has levels of four letters (`supervisor/loggers.py`, LevelsByName).
    let rest = ["[inf]", "[err]", "[warn]", "app[web.1]:", "INFO", "ERROR", "WARN ", "CRIT ", "ERRO "]
        .iter()
        .find_map(|tag| rest.strip_prefix(tag))
        .map_or(rest, str::trim_start);
    // `host unit[pid]: ` of `journalctl -o short-iso` and of RFC 5424 relays, as which supervisord's words would pass.
    let of_supervisord = ["exited: ", "gave up: ", "spawnerr: "].iter().any(|words| rest.starts_with(words));
    let program = || program_with_pid(rest).or_else(|| host_and_program(rest));
    let inner = if of_supervisord { rest } else { program().unwrap_or(rest) };
    Some(Layer { name: "timestamp", inner: inner.to_owned(), stamp: Some(stamp), origin: String::new() })
}

/// `<187>1 2026-11-22T07:14:39.123Z host nginx 812 - - `.
fn rfc5424(line: &str) -> Option<Layer> {
    let (priority, rest) = line.strip_prefix('<')?.split_once('>')?;
    let rest = rest.strip_prefix("1 ")?;
    if priority.len() > 3 || !priority.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut words = rest.splitn(6, ' ');
    let stamp = iso_stamp(words.next()?);
    let host = words.next()?;
    let (_program, _pid, _id) = (words.next()?, words.next()?, words.next()?);
    let data_and_message = words.next()?;
    let inner = match data_and_message.strip_prefix('[') {
        Some(data) => data.split_once("] ")?.1,
        None => data_and_message.strip_prefix("- ")?,
    };
    let inner = inner.trim_start_matches('\u{feff}').to_owned();
    Some(Layer { name: "rfc5424", inner, stamp, origin: host.to_owned() })
}

/// `Sep 21 15:32:26 host gunicorn[434]: `, with `<134>` before it in syslog packets.
fn syslog(line: &str) -> Option<Layer> {
    let line = match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((priority, rest)) if priority.len() <= 3 && priority.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => line,
    };
    let mut words = line.split_ascii_whitespace();
    let month = words.next()?;
    let masked = month == "XXX";
    if !masked && (month.len() != 3 || month_from_name(month.as_bytes()).is_none()) {
        return None;
    }
    let day = words.next().filter(|day| day.len() <= 2)?;
    let time = words.next().filter(|time| time.as_bytes().get(2) == Some(&b':'))?;
    let host = words.next()?;
    let after_time = line.split_once(time)?.1.trim_start();
    let after_host = after_time.strip_prefix(host)?.trim_start();
    let inner = program(after_host).or_else(|| program(after_time))?;
    let stamp = day_stamp(month, day, time);
    Some(Layer { name: "syslog", inner: inner.to_owned(), stamp, origin: host.to_owned() })
}

/// `Sep 21 15:32:26`: local time of no year.
fn day_stamp(month: &str, day: &str, time: &str) -> Option<Stamp> {
    let month = month_from_name(month.as_bytes())?;
    let day: u32 = day.parse().ok()?;
    let stamp = iso_stamp(&format!("1972-{month:02}-{day:02} {time}"))?;
    Some(Stamp { zone_known: false, year_known: false, ..stamp })
}

/// Seconds, milliseconds, microseconds (journald) or nanoseconds since 1970, told by their length.
pub(super) fn epoch_stamp(text: &str) -> Option<Stamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = whole.parse().ok().filter(|_| whole.bytes().all(|byte| byte.is_ascii_digit()))?;
    let unit = match whole.len() {
        10 => SECOND,
        13 => SECOND / 1_000,
        16 => SECOND / 1_000_000,
        19 => 1,
        _ => return None,
    };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count().min(9);
    let parts: i64 = fraction.get(..digits)?.parse().unwrap_or(0);
    let fraction = parts.saturating_mul(10_i64.pow(9 - digits as u32)) / (SECOND / unit);
    let grain = if unit == SECOND && digits == 0 { SECOND } else { unit.min(SECOND / 1_000) };
    let nanos = number.checked_mul(unit)?.checked_add(fraction)?;
    Some(Stamp { nanos, grain, zone_known: true, year_known: true })
}

/// `gunicorn[434]: `: without the pid it could as well be an exception's class.
fn program_with_pid(rest: &str) -> Option<&str> {
    program(rest).filter(|_| rest.split(": ").next().is_some_and(|name| name.ends_with(']')))
}

fn host_and_program(rest: &str) -> Option<&str> {
    let (host, after) = rest.split_once(' ')?;
    let is_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    is_host.then(|| program(after))?
}

/// `gunicorn[434]: `, `kernel: `.
fn program(rest: &str) -> Option<&str> {
    let (name, inner) = rest.split_once(": ")?;
    let name_only = name.split('[').next().unwrap_or(name);
    let plain = !name_only.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'[' | b']' | b'@'));
    let is_level = matches!(name_only, "ERROR" | "INFO" | "WARNING");
    (plain && !is_level).then_some(inner)
}

/// `[pod/x/c] `, kernel's `[ 4242.424242] `, nginx's start-up copy `nginx: `.
fn bracketed(line: &str) -> Option<Layer> {
    if let Some(rest) = line.strip_prefix("nginx: ").filter(|rest| rest.starts_with('[')) {
        return Some(Layer { name: "nginx_stderr", inner: rest.to_owned(), stamp: None, origin: String::new() });
    }
    let (inside, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let uptime = inside.contains('.') && inside.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let pod = inside.starts_with("pod/");
    if let Some(stamp) = wall_time(inside) {
        return Some(Layer { name: "dmesg", inner: rest.to_owned(), stamp: Some(stamp), origin: String::new() });
    }
    (uptime || pod).then(|| Layer {
        name: if pod { "kubectl" } else { "dmesg" },
        inner: rest.to_owned(),
        stamp: None,
        origin: if pod { inside.to_owned() } else { String::new() },
    })
}

/// `Thu Mar  7 12:01:02 2024` of `dmesg -T`, in the zone of the host.
fn wall_time(text: &str) -> Option<Stamp> {
    let mut words = text.split_ascii_whitespace();
    let (_weekday, month, day) = (words.next().filter(|word| word.len() == 3)?, words.next()?, words.next()?);
    let (time, year) = (words.next()?, words.next()?);
    let month = month_from_name(month.as_bytes())?;
    let day: u32 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year: u32 = year.parse().ok().filter(|_| year.len() == 4)?;
    words.next().is_none().then(|| iso_stamp(&format!("{year:04}-{month:02}-{day:02} {time}")))?
}

/// The text without terminal escapes (ECMA-48 control sequences).
fn without_ansi(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            out.push(c);
            continue;
        }
        if chars.next_if_eq(&'[').is_some() {
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
    }
    out
}
