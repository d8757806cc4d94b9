//! What runtimes, loggers and log shippers put around a line.
//!
//! One envelope at a time ([`layer`]); [`super::peel`] takes them off until the line is bare. It knows nothing of what the
//! line is: an envelope is told by its own form.

mod tools;

use super::evidence::{Origin, OriginKind, Stamp};
use super::formats::json_line::JsonLine;
use super::time::{epoch_stamp, iso_stamp, month_from_name};

/// What was taken off a line, and the line in it.
pub(super) struct Layer {
    /// The word that is printed.
    pub(super) name: &'static str,
    /// The line in it.
    pub(super) inner: String,
    /// When it was put around the line.
    pub(super) stamp: Option<Stamp>,
    /// Where.
    pub(super) origin: Option<Origin>,
}

impl Layer {
    /// One that says nothing.
    pub(super) fn plain(name: &'static str, inner: String) -> Layer {
        Layer { name, inner, stamp: None, origin: None }
    }
}

/// The outermost envelope of a line.
pub(super) fn layer(line: &str) -> Option<Layer> {
    if line.starts_with('{') {
        return json(line).or_else(|| labels(line));
    }
    compose(line)
        .or_else(|| tools::layer(line))
        .or_else(|| iso_prefix(line))
        .or_else(|| syslog(line))
        .or_else(|| rfc5424(line))
        .or_else(|| bracketed(line))
        .or_else(|| uwsgi(line))
}

/// True for a line in one of the envelopes that runtimes and loggers put around theirs.
pub(super) fn is_enveloped(line: &str) -> bool {
    compose(line).is_some()
        || tools::layer(line).is_some()
        || iso_prefix(line).is_some()
        || syslog(line).is_some()
        || bracketed(line).is_some()
}

/// True for a line that has the date of PHP-FPM or of uWSGI before it.
pub(super) fn is_dated(line: &str) -> bool {
    uwsgi(line).is_some() || bracketed(line).is_some_and(|layer| layer.name == "php")
}

/// True for an object that has the text of a line under a known key.
pub(super) fn is_object_with_text(line: &str) -> bool {
    json(line).is_some()
}

/// Keys that name a line's place, the nearest to the program first.
const ORIGINS: [(&str, OriginKind); 9] = [
    ("container", OriginKind::Container),
    ("container_name", OriginKind::Container),
    ("pod", OriginKind::Pod),
    ("pod_name", OriginKind::Pod),
    ("_HOSTNAME", OriginKind::Host),
    ("host", OriginKind::Host),
    ("hostname", OriginKind::Host),
    ("_SYSTEMD_UNIT", OriginKind::Unit),
    ("unit", OriginKind::Unit),
];

/// Keys of the text of a line: Docker's json-file, journald's export, JSON loggers, Cloud Logging, Loki, GELF, Azure's two
/// tables of containers, LogDNA, Splunk, CloudWatch Logs Insights.
const TEXTS: [(&str, &str); 15] = [
    ("log", "docker_json"),
    ("MESSAGE", "journald_json"),
    ("message", "json"),
    ("msg", "json"),
    ("event", "json"),
    ("textPayload", "json"),
    ("line", "json"),
    ("short_message", "gelf"),
    ("full_message", "gelf"),
    ("LogEntry", "json"),
    ("LogMessage", "json"),
    ("Log", "json"),
    ("_line", "json"),
    ("_raw", "json"),
    ("@message", "json"),
];

/// Objects in which exports put the record itself, and what stands beside each: an application that logs an answer of its own
/// as an object of that name has no such key. Elasticsearch, Splunk, Datadog's two interfaces, Cloud Logging.
const RECORDS: [(&str, &str); 5] = [
    ("_source", "_index"),
    ("result", "preview"),
    ("content", "id"),
    ("attributes", "id"),
    ("jsonPayload", "insertId"),
];

/// Docker's json-file, JSON loggers, journald's export: the text under a known key.
fn json(line: &str) -> Option<Layer> {
    let object = JsonLine::read(line)?;
    // A level is a word, and a status a number: the line of an access log.
    let is_number = |key: &str| object.get(key).is_some_and(|value| value.starts_with(|c: char| c.is_ascii_digit()));
    if is_number("status") || is_number("http.response.status_code") {
        return None;
    }
    // Filebeat's `log` is an object that tells of the file.
    let text_of = |key: &str| object.get(key).filter(|text| !text.starts_with("{\""));
    let Some((inner, name)) = TEXTS.iter().find_map(|(key, name)| text_of(key).map(|text| (text, *name))) else {
        let is_beside = |key: &str| object.get(key).is_some();
        let record = RECORDS
            .iter()
            .find_map(|(key, beside)| object.get(key).filter(|value| value.starts_with('{') && is_beside(beside)))?;
        return Some(Layer::plain("export", record.into_owned()));
    };
    let inner = inner.trim_end_matches(['\n', '\r']).to_owned();
    if inner.is_empty() || inner == line {
        return None;
    }
    let stamp = [
        "time",
        "timestamp",
        "@timestamp",
        "ts",
        "asctime",
        "__REALTIME_TIMESTAMP",
        "_time",
        "TimeGenerated",
        "TimeStamp",
    ]
    .iter()
    .find_map(|key| object.get(key))
    .and_then(|text| iso_stamp(&text).or_else(|| epoch_stamp(&text)));
    let origin = ORIGINS.iter().find_map(|(key, kind)| kind.named(object.get(key)?));
    Some(Layer { name, inner, stamp, origin })
}

/// `{container="nginx", namespace="shop"} ` before each line, as logcli writes it.
fn labels(line: &str) -> Option<Layer> {
    let (mut rest, mut origin) = (line.strip_prefix('{')?, None);
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || value.contains('\\') {
            return None;
        }
        let kind = ORIGINS.iter().find(|(key, _)| *key == name).map(|(_, kind)| kind);
        origin = origin.or_else(|| kind.and_then(|kind| kind.named(value)));
        match after.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => {
                let inner = after.strip_prefix('}')?.trim_start().to_owned();
                return Some(Layer { origin, ..Layer::plain("labels", inner) });
            }
        }
    }
}

/// `web_1  | `, `web-1 | 2025-04-10 11:31:17.826 | `.
fn compose(line: &str) -> Option<Layer> {
    let (name, inner) = line.split_once("| ").or_else(|| line.split_once("|\u{a0}"))?;
    let name = name.trim_end();
    // A number alone is that of a line.
    let is_name = name.bytes().any(|byte| !byte.is_ascii_digit())
        && name.len() <= 80
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@'));
    if is_name {
        // `web.1` of a Procfile is a process of this host; a task of Docker's swarm has an id behind its number.
        let is_process = name.rsplit_once('.').is_some_and(|(process, number)| {
            process.contains(char::is_alphabetic)
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        let kind = if is_process { OriginKind::Unit } else { OriginKind::Container };
        return Some(Layer { name: "compose", inner: inner.to_owned(), stamp: None, origin: kind.named(name) });
    }
    let stamp = iso_stamp(name)?;
    (name.len() <= 35).then(|| Layer { name: "timestamp", inner: inner.to_owned(), stamp: Some(stamp), origin: None })
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
    let stamp = whole_iso_stamp(stamp)?;
    let rest = line.get(end..)?.trim_start();
    // A zone of its own: fluentd's standard output.
    let (zone, behind) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let is_zone =
        zone.len() == 5 && zone.starts_with(['+', '-']) && zone.bytes().skip(1).all(|byte| byte.is_ascii_digit());
    let zoned = line.get(..end).filter(|_| is_zone).and_then(|stamp| iso_stamp(&format!("{stamp} {zone}")));
    let (stamp, rest) = zoned.map_or((stamp, rest), |stamp| (stamp, behind.trim_start()));
    for stream in ["stdout F ", "stderr F ", "stdout P ", "stderr P "] {
        if let Some(inner) = rest.strip_prefix(stream) {
            return Some(Layer { name: "cri", inner: inner.to_owned(), stamp: Some(stamp), origin: None });
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
    Some(Layer { name: "timestamp", inner: inner.to_owned(), stamp: Some(stamp), origin: None })
}

/// A text that is such a time and nothing else.
fn whole_iso_stamp(text: &str) -> Option<Stamp> {
    let is_part = |byte: u8| byte.is_ascii_digit() || b"T :.,+-Z".contains(&byte);
    let is_dashed = matches!(text.as_bytes(), [_, _, _, _, b'-', _, _, b'-', ..]);
    iso_stamp(text).filter(|_| is_dashed && text.bytes().all(is_part))
}

/// `<187>1 2026-11-22T07:14:39.123Z host nginx 812 - - `, with the number of its bytes before it where it came over TCP
/// (RFC 6587, octet counting).
fn rfc5424(line: &str) -> Option<Layer> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let framed = line.get(digits..).and_then(|rest| rest.strip_prefix(' ')).filter(|_| matches!(digits, 1..=5));
    let line = framed.unwrap_or(line);
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
    Some(Layer { name: "rfc5424", inner, stamp, origin: OriginKind::Host.named(host) })
}

/// `Sep 21 15:32:26 host gunicorn[434]: `, with `<134>` before it in syslog packets.
fn syslog(line: &str) -> Option<Layer> {
    let line = match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((priority, rest)) if priority.len() <= 3 && priority.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => line,
    };
    if let Some((stamp, rest)) = journal_stamp(line) {
        let host = rest.split(' ').next()?;
        let inner = host_and_program(rest)?.to_owned();
        return Some(Layer { name: "syslog", inner, stamp: Some(stamp), origin: OriginKind::Host.named(host) });
    }
    let mut words = line.split_ascii_whitespace();
    let month = words.next()?;
    let masked = month == "XXX";
    if !masked && (month.len() != 3 || month_from_name(month.as_bytes()).is_none()) {
        return None;
    }
    let day = words.next().filter(|day| day.len() <= 2)?;
    let time = words.next().filter(|time| time.as_bytes().get(2) == Some(&b':'))?;
    // Half of a day is no host, and an exception behind it no program.
    let host = words.next().filter(|host| !matches!(*host, "AM" | "PM"))?;
    let after_time = line.split_once(time)?.1.trim_start();
    let after_host = after_time.strip_prefix(host)?.trim_start();
    let inner = program(after_host).or_else(|| program(after_time))?;
    let stamp = day_stamp(month, day, time);
    Some(Layer { name: "syslog", inner: inner.to_owned(), stamp, origin: OriginKind::Host.named(host) })
}

/// `Thu 2026-03-12 10:15:02 UTC ` and `1773310502.250000 ` of `journalctl --output=short-full` and `short-unix`.
fn journal_stamp(line: &str) -> Option<(Stamp, &str)> {
    let (first, rest) = line.split_once(' ')?;
    if first.len() >= "1773310502.250000".len() && first.as_bytes().get(10) == Some(&b'.') {
        return Some((epoch_stamp(first)?, rest));
    }
    let is_day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&first);
    let (stamp, rest) = rest.split_at_checked("2026-03-12 10:15:02".len()).filter(|_| is_day)?;
    // The name of the zone, of which only UTC says how far it is ahead.
    let (zone, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    let is_zone =
        !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_uppercase() || b"+-0123456789".contains(&byte));
    let stamp = iso_stamp(stamp).filter(|_| is_zone)?;
    Some((Stamp { zone_known: zone == "UTC", ..stamp }, rest))
}

/// `Sep 21 15:32:26`: local time of no year.
fn day_stamp(month: &str, day: &str, time: &str) -> Option<Stamp> {
    let month = month_from_name(month.as_bytes())?;
    let day: u32 = day.parse().ok()?;
    let stamp = iso_stamp(&format!("1972-{month:02}-{day:02} {time}"))?;
    Some(Stamp { zone_known: false, year_known: false, ..stamp })
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
        return Some(Layer { name: "nginx_stderr", inner: rest.to_owned(), stamp: None, origin: None });
    }
    let (inside, rest) = line.strip_prefix('[')?.split_once("] ")?;
    // Not `[192.0.2.7]`, as which ingress-nginx may begin an access line.
    let is_uptime = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let uptime = inside.matches('.').count() == 1 && is_uptime(inside.trim());
    let pod = inside.starts_with("pod/");
    if let Some(stamp) = wall_time(inside) {
        return Some(Layer { name: "dmesg", inner: rest.to_owned(), stamp: Some(stamp), origin: None });
    }
    if let Some(stamp) = php_time(inside) {
        let levels = ["DEBUG: ", "NOTICE: ", "WARNING: ", "ERROR: ", "ALERT: "];
        let inner = levels.iter().find_map(|level| rest.strip_prefix(level)).unwrap_or(rest);
        return Some(Layer { name: "php", inner: inner.to_owned(), stamp: Some(stamp), origin: None });
    }
    if uptime && let Some(layer) = monotonic(rest) {
        return Some(layer);
    }
    (uptime || pod).then(|| Layer {
        name: if pod { "kubectl" } else { "dmesg" },
        inner: rest.to_owned(),
        stamp: None,
        origin: inside.strip_prefix("pod/").and_then(|rest| OriginKind::Pod.named(rest.split('/').next()?)),
    })
}

/// `web1 nginx[29]: ` behind the uptime of `journalctl --output=short-monotonic`; of the kernel's lines `dmesg` has no host.
fn monotonic(rest: &str) -> Option<Layer> {
    let (host, after) = rest.split_once(' ')?;
    let (name, _) = after.split_once(": ")?;
    let inner = host_and_program(rest).filter(|_| name.ends_with(']') || name == "kernel")?;
    let origin = OriginKind::Host.named(host);
    Some(Layer { origin, ..Layer::plain("syslog", inner.to_owned()) })
}

/// uWSGI's `Wed Nov 25 10:15:33 2026 - `.
fn uwsgi(line: &str) -> Option<Layer> {
    let (stamp, inner) = line.split_at_checked(WALL_TIME_BYTES)?;
    let inner = inner.strip_prefix(" - ")?;
    Some(Layer { name: "uwsgi", inner: inner.to_owned(), stamp: Some(wall_time(stamp)?), origin: None })
}

/// What `ctime` writes.
const WALL_TIME_BYTES: usize = "Wed Nov 25 10:15:33 2026".len();

/// `25-Nov-2026 10:15:33` of PHP-FPM, with its microseconds, and of PHP's own log with a zone (`25-Nov-2026 10:15:33 UTC`).
fn php_time(text: &str) -> Option<Stamp> {
    let (date, time) = text.split_once(' ')?;
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let day: u32 = day.parse().ok().filter(|_| day.len() == 2)?;
    let year: u32 = year.parse().ok().filter(|_| year.len() == 4)?;
    let month = month_from_name(month.as_bytes())?;
    iso_stamp(&format!("{year:04}-{month:02}-{day:02} {time}"))
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
