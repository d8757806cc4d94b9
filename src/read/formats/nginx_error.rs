//! nginx's error log: `2026/11/22 07:14:39 [error] 12#12: *3 MESSAGE while ACTION, client: ..., request: "..."`.
//!
//! Built by `src/core/ngx_log.c` and `src/http/ngx_http_request.c` (`ngx_http_log_error_handler`), the same from 1.10 to
//! 1.31. Nothing in the quoted fields is escaped, so the line is read from the left and the fields in their one order;
//! what follows `, request: "` is the client's to choose. The line is cut at 2,048 bytes without a mark.

mod errno;
mod head;
pub(in crate::read) mod messages;
mod symptom;
mod usual;

pub(in crate::read) use head::has_whole_head;
pub(super) use head::stamp_alone;
pub(in crate::read) use head::{LEVELS, heads};
pub(in crate::read) use messages::find as find_message;
pub(super) use usual::is_plain as is_plain_record;
pub(super) use usual::read as read_usual;

use super::{Bare, Format, Reading, note_break};
use crate::read::evidence::{NginxError, Proof, Stamp, Text};
use crate::read::sniff::{Sign, Telltale, near, ours_if, word};
use crate::read::text::{find, split_at};
use aho_corasick::AhoCorasick;
use head::{connection, level, pid, stamp};
use std::sync::LazyLock;
use symptom::symptom;

/// What nginx says about upstreams, and about paths that a client may have broken its line with.
pub const TELLTALES: &[Telltale] = &[
    near("() t", |around| ours_if(around.before.ends_with(b"connect"))),
    // `recv() failed (104: ...`, `socket() 0.0.0.0:80 failed (24: ...`, and where the rest is lost.
    near("fail", |around| {
        let is_numbered = |rest: &[u8]| rest.first().is_some_and(u8::is_ascii_digit);
        let number = around.after.strip_prefix(b"ed (");
        ours_if(around.after.starts_with(b"ed") && around.before.ends_with(b"() ") || number.is_some_and(is_numbered))
    }),
    near("pstr", |around| ours_if(around.after.starts_with(b"eam"))),
    near("prem", |around| ours_if(around.after.starts_with(b"aturely"))),
    near("o re", |around| ours_if(around.after.starts_with(b"solver defined"))),
    near("be r", |around| ours_if(around.after.starts_with(b"esolved"))),
    word("er_connections"),
    near("n SS", |around| ours_if(around.after.starts_with(b"L handshake"))),
    near("imit", |around| {
        ours_if(around.after.starts_with(b"ing requests") || around.after.starts_with(b"ing connections"))
    }),
    // A head that a logger took off, beside a text with quotes, which a client may have broken.
    near("\"pid", |around| headless_if([around.before, around.after].iter().any(|text| has_escaped_quote(text)))),
];

/// True for an object that has one of nginx's levels and a pid.
pub(super) fn may_have_head(object: &[u8]) -> bool {
    static LEVEL_VALUES: LazyLock<Option<AhoCorasick>> =
        LazyLock::new(|| AhoCorasick::new(LEVELS.map(|level| format!("\"{level}"))).ok());
    memchr::memmem::find(object, b"\"pid").is_some()
        && LEVEL_VALUES.as_ref().is_none_or(|levels| levels.is_match(object))
}

fn headless_if(holds: bool) -> Sign {
    if holds { Sign::Request } else { Sign::None }
}

fn has_escaped_quote(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"\\\"").is_some()
}

/// `12#12: ` of its head, or a level behind its stamp.
pub fn by_shape(front: &[u8], _line: &[u8]) -> Sign {
    let is_pid = |at: usize| {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        let rest = front.get(at + 1..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && rest.get(digits) == Some(&b':') && digit(at.checked_sub(1).and_then(|before| front.get(before)))
    };
    let has_pid = memchr::memchr_iter(b'#', front).any(is_pid);
    // `2026/11/22 07:14:39 [`.
    let is_level = |at: usize| {
        let stamp = at.checked_sub(16).and_then(|from| front.get(from..at)).unwrap_or_default();
        matches!(stamp, [b'/', _, _, b'/', _, _, b' ', _, _, b':', _, _, b':', _, _, b' '])
    };
    ours_if(has_pid || memchr::memchr_iter(b'[', front).any(is_level))
}

/// True for a record that begins with a whole head: nothing else begins so, and nothing stands around it.
pub(super) fn is_headed(record: &[u8]) -> bool {
    let head = record.get(..HEAD_BYTES).unwrap_or(record);
    head.first().is_some_and(u8::is_ascii_digit) && std::str::from_utf8(head).is_ok_and(has_whole_head)
}

/// Stamp, level and pid have at most some 50 bytes.
const HEAD_BYTES: usize = 64;

/// True where a line of it begins: its stamp, or a message whose head is lost.
pub(super) fn begins(text: &str) -> bool {
    stamp(text).is_some() || messages::begins(text)
}

/// One line, read.
#[derive(Debug)]
pub struct Line {
    /// Local time without a zone; `None` when the head is lost.
    pub stamp: Option<Stamp>,
    /// Its fields.
    pub error: NginxError,
    /// The next physical lines may be the rest of this one: a client put a line feed into it.
    pub may_be_broken: bool,
}

/// Decides anew what a line means whose `upstream:` or `client:` was found elsewhere; `rest` is its text without head. True
/// when the next physical lines may be the rest of it.
pub(super) fn decide_anew(error: &mut NginxError, rest: &str) -> bool {
    error.symptom = symptom(error);
    may_be_broken(rest, error)
}

/// What such a line proves.
pub(super) fn reading(line: &mut Bare<'_>) -> Option<Reading> {
    let read = read(line.text)?;
    if read.may_be_broken {
        note_break(line.memory, line.text);
    }
    if read.error.symptom.is_none() && !is_companion(&read.error.message) {
        return Some(Reading::Healthy(Format::NginxError));
    }
    let genuine = !line.is_doubtful && !line.continues;
    Some(line.proves(Format::NginxError, Proof::NginxError(Box::new(read.error)), read.stamp, genuine))
}

/// Reads a bare line; `None` when it is no line of an error log.
pub fn read(line: &str) -> Option<Line> {
    let (stamp, rest) = match stamp(line) {
        Some((stamp, rest)) => (Some(stamp), rest),
        None => (None, line),
    };
    let (level, rest) = level(rest);
    let (pid, rest) = pid(rest);
    let (connection, rest) = connection(rest);
    let rest = rest.trim_start();
    let headless = stamp.is_none() && pid.is_none();
    let error = fields(level, pid, connection, rest);
    // A line without head is recognised by what only nginx says.
    if headless && (error.symptom.is_none() || (level.is_empty() && !speaks_like_nginx(&error))) {
        return None;
    }
    if headless && rest.is_empty() {
        return None;
    }
    if stamp.is_some() && level.is_empty() && pid.is_none() && error.symptom.is_none() {
        return None;
    }
    Some(Line { stamp, may_be_broken: may_be_broken(rest, &error), error })
}

/// Lines of an error log that are no failure but belong to one, or explain its status.
pub(super) fn is_companion(message: &str) -> bool {
    message.contains("server temporarily disabled")
        || message.starts_with("limiting requests")
        || message.starts_with("limiting connections")
        || message.starts_with("auth request unexpected status")
}

fn speaks_like_nginx(error: &NginxError) -> bool {
    !error.action.is_empty()
        || error.upstream.is_some()
        || error.request.is_some()
        || !error.client.is_empty()
        || error.symptom.is_some()
}

fn has(text: &str, words: &str) -> bool {
    find(text, words).is_some()
}

fn fields(level: &'static str, pid: Option<u32>, connection: Option<u64>, rest: &str) -> NginxError {
    let tail_at = find(rest, ", client: ").or_else(|| {
        // A line cut short, and the lines that have no client: resolver, start-up, reconnect.
        [", server: ", ", upstream: \"", ", resolver: "].iter().find_map(|name| find(rest, name))
    });
    let (before, tail) = match tail_at {
        Some(index) => (rest.get(..index).unwrap_or(rest), rest.get(index..).unwrap_or_default()),
        None => (rest, ""),
    };
    // Nothing of nginx's own has two asterisks in a row, a page that shows the deciding words in bold has.
    let plain = (has(before, "**") && !before.contains('"')).then(|| before.replace("**", ""));
    let (message, action) = split_action(plain.as_deref().unwrap_or(before));
    let mut error =
        NginxError { level, pid, connection, message: message.into(), action: action.into(), ..NginxError::default() };
    (error.code, error.code_text) = code(message);
    tail_fields(tail, &mut error);
    if let Some(rest) = message.strip_prefix("connect() to ")
        && let Some(peer) = find(rest, " failed").and_then(|end| rest.get(..end))
    {
        // nginx's own words, before any text of the client.
        error.upstream = Some(peer.into());
    }
    error.detail = detail(message);
    error.symptom = symptom(&error);
    error
}

/// The phrase after the last ` while ` is one of a closed list that begins with a verb in -ing.
fn split_action(before: &str) -> (&str, &str) {
    match memchr::memmem::rfind(before.as_bytes(), b" while ") {
        Some(index) => {
            let action = before.get(index + 7..).unwrap_or_default();
            let verb = action.split(' ').next().unwrap_or_default();
            if verb.ends_with("ing") || matches!(verb, "keepalive" | "SSL") {
                return (before.get(..index).unwrap_or(before), action.trim_end());
            }
            (before, "")
        }
        None => (before.trim_end(), ""),
    }
}

/// ` (N: text)`; OpenSSL's verify codes have no blank: `(18:self-signed certificate)`.
fn code(message: &str) -> (Option<i32>, Text) {
    for (index, _) in message.match_indices('(') {
        let inner = message.get(index + 1..).unwrap_or_default();
        let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 6 {
            continue;
        }
        if let Some(text) = inner.get(digits..).and_then(|rest| rest.strip_prefix(':')) {
            let text = text.split(')').next().unwrap_or_default().trim();
            return (inner.get(..digits).and_then(|number| number.parse().ok()), text.into());
        }
    }
    (None, Text::default())
}

/// The quoted fields in their one order. `upstream:` counts only before `host:` and `referrer:`.
fn tail_fields(tail: &str, error: &mut NginxError) {
    let request_at = find(tail, ", request: \"").or_else(|| find(tail, "request: \""));
    let head = request_at.map_or(tail, |index| tail.get(..index).unwrap_or(tail));
    let plain = |name: &str| {
        let after = tail.get(find(head, name)? + name.len()..)?;
        let end = find(after, ", ").unwrap_or(after.len());
        Some(Text::from(after.get(..end)?.trim_end_matches(',').trim()))
    };
    if let Some(client) = plain("client: ") {
        error.client = client;
    }
    if let Some(server) = plain("server: ") {
        error.server = server;
    }
    let Some(request_at) = request_at else {
        error.upstream = quoted(tail, "upstream: \"").map(|upstream| split_upstream(upstream, error));
        error.host = quoted(tail, ", host: \"").map(Text::from);
        return;
    };
    let rest = tail.get(request_at..).unwrap_or_default();
    let rest = split_at(rest, b'"').map_or("", |(_, rest)| rest);
    const MARKS: [&str; 4] = ["\", subrequest: \"", "\", upstream: \"", "\", host: \"", "\", referrer: \""];
    // Since 1.21.1 a request line holds no blank but its two, so the first mark after it is nginx's own.
    let end = first_of(rest, &MARKS);
    let request = match end {
        Some(end) => rest.get(..end).unwrap_or(rest),
        None => rest.strip_suffix('"').unwrap_or(rest),
    };
    error.request = Some(request.into());
    let mut rest = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
    for (name, which) in [(", subrequest: \"", 0), (", upstream: \"", 1), (", host: \"", 2)] {
        let Some(after) = rest.strip_prefix(name) else { continue };
        let marks = MARKS.get(which + 1..).unwrap_or_default();
        let end = first_of(after, marks);
        let value = match end {
            Some(end) => after.get(..end).unwrap_or(after),
            None => after.strip_suffix('"').unwrap_or(after),
        };
        match which {
            0 => error.subrequest = Some(value.into()),
            1 => error.upstream = Some(split_upstream(value, error)),
            _ => error.host = Some(value.into()),
        }
        rest = end.and_then(|end| after.get(end + 1..)).unwrap_or_default();
    }
}

/// Where the first of the marks stands, each of which begins with a quote and a comma.
fn first_of(text: &str, marks: &[&str]) -> Option<usize> {
    let begins = |at: &usize| text.get(*at..).is_some_and(|rest| marks.iter().any(|mark| rest.starts_with(mark)));
    memchr::memchr_iter(b'"', text.as_bytes()).find(begins)
}

fn quoted<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let after = text.get(find(text, name)? + name.len()..)?;
    Some(after.split('"').next().unwrap_or_default())
}

/// `http://127.0.0.1:8000/x` -> `127.0.0.1:8000`; `http://unix:/run/g.sock:/x` -> `unix:/run/g.sock`.
pub(super) fn split_upstream(value: &str, error: &mut NginxError) -> Text {
    let (scheme, rest) = find(value, "://")
        .and_then(|at| Some((value.get(..at)?, value.get(at + "://".len()..)?)))
        .unwrap_or(("", value));
    error.upstream_scheme = scheme.into();
    match rest.strip_prefix("unix:") {
        Some(path) => format!("unix:{}", socket_of(path, scheme, error.request.as_deref())).into(),
        None => split_at(rest, b'/').map_or(rest, |(peer, _)| peer).into(),
    }
}

/// The socket's path without the URI behind it. A `proxy_pass` that names the socket has a colon between them; a server of
/// an `upstream` block has none: `/run/g.sock/x`. FastCGI, uwsgi and SCGI peers have no URI.
fn socket_of<'v>(path: &'v str, scheme: &str, request: Option<&str>) -> &'v str {
    let target = request.and_then(|request| request.split(' ').nth(1)).filter(|target| target.starts_with('/'));
    let with_uri = scheme.starts_with("http") || scheme.starts_with("grpc");
    // What the client sent stands at the end, so nothing in it is taken for the end of the socket's path.
    if let Some(socket) = target.filter(|_| with_uri).and_then(|target| path.strip_suffix(target))
        && !socket.is_empty()
    {
        return socket.trim_end_matches(':');
    }
    if let Some((socket, _)) = path.split_once(":/") {
        return socket;
    }
    let end = [".sock/", ".socket/"].iter().filter_map(|end| Some(path.find(end)? + end.len() - 1)).min();
    end.and_then(|end| path.get(..end)).unwrap_or(path).trim_end_matches(':')
}

fn detail(message: &str) -> Text {
    if let Some(end) = find(message, " could not be resolved") {
        return message.get(..end).unwrap_or_default().into();
    }
    split_at(message, b'"')
        .and_then(|(_, rest)| split_at(rest, b'"'))
        .map_or(Text::default(), |(inner, _)| inner.into())
}

/// True when more lines may follow that are this one's.
///
/// Only decoded paths hold a line feed: in the message (`open() "/srv/a`), before any of nginx's own fields, or in
/// `upstream:` and `subrequest:`, behind the request line that shows it still encoded. Quotes prove nothing, a client
/// can send them as well.
fn may_be_broken(rest: &str, error: &NginxError) -> bool {
    let broken_in_message = error.client.is_empty() && rest.contains('"') && !has(rest, ", client: ");
    let encoded = |text: &str| has(text, "%0a") || has(text, "%0A");
    (error.connection.is_some() && broken_in_message) || error.request.as_deref().is_some_and(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_of_an_upstream() {
        let check = |upstream: &str, request: Option<&str>, expected: &str| {
            let mut error = NginxError { request: request.map(Text::from), ..NginxError::default() };
            assert_eq!(split_upstream(upstream, &mut error), expected, "{upstream} {request:?}");
        };
        let of = |target: &str| Some(format!("GET {target} HTTP/1.1"));
        check("http://127.0.0.1:8000/x", of("/x").as_deref(), "127.0.0.1:8000");
        check("http://unix:/run/g.sock:/x?y", of("/x?y").as_deref(), "unix:/run/g.sock");
        check("http://unix:/run/g.sock:/", of("/").as_deref(), "unix:/run/g.sock");
        check("http://unix:/run/g.sock:/inner", of("/api/inner/").as_deref(), "unix:/run/g.sock");
        check("http://unix:/run/g.sock:", None, "unix:/run/g.sock");
        // A server of an `upstream` block.
        check("http://unix:/run/g.sock/x?y", of("/x?y").as_deref(), "unix:/run/g.sock");
        check("http://unix:/run/shop/socket/x", of("/x").as_deref(), "unix:/run/shop/socket");
        check("http://unix:/run/g.sock/x", None, "unix:/run/g.sock");
        check("http://unix:/run/g.socket/inner", of("/api/inner/").as_deref(), "unix:/run/g.socket");
        // What a client chose is no part of it.
        check("http://unix:/run/g.sock/a:/b", of("/a:/b").as_deref(), "unix:/run/g.sock");
        check("http://unix:/run/g.sock:/a.sock/b", of("/a.sock/b").as_deref(), "unix:/run/g.sock");
        // Peers without URI.
        check("fastcgi://unix:/run/php.sock:", of("/php.sock").as_deref(), "unix:/run/php.sock");
        check("fastcgi://unix:/run/php.sock", of("/php.sock").as_deref(), "unix:/run/php.sock");
    }
}
