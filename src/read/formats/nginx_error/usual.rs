//! The line of an attempt that failed as nginx prints it most, read from left to right.
//!
//! ```text
//!  2026/11/22 07:14:39 [error] 12#12: *3 WORDS, client: C, server: S, request: "R", upstream: "U", host: "H", referrer: "X"
//! ```
//!
//! In a storm nearly every line is one of these. Only a line is read here that is in this shape letter for letter, and it is
//! read as [`read`](super::read) would read it; the tests ask both. Whatever may be more than one such line (a second record,
//! an envelope, a line feed, escapes) is left to the other readers.

use super::head::{connection, level, pid, stamp};
use super::{Line, fields, split_upstream};
use crate::read::evidence::{NginxError, TEXT_BYTES_MAX, Text};
use crate::read::text::{find, split_at};
use std::sync::LazyLock;

/// What nginx says most of an attempt that failed, up to the names of who was asked.
const USUAL: [&str; 8] = [
    "connect() failed (111: Connection refused) while connecting to upstream",
    "connect() failed (113: No route to host) while connecting to upstream",
    "no live upstreams while connecting to upstream",
    "recv() failed (104: Connection reset by peer) while reading response header from upstream",
    "upstream prematurely closed connection while reading response header from upstream",
    "upstream timed out (110: Connection timed out) while connecting to upstream",
    "upstream timed out (110: Connection timed out) while reading response header from upstream",
    "writev() failed (32: Broken pipe) while sending request to upstream",
];

/// The head has at most so many bytes: a longer one is no usual one.
const HEAD_BYTES_MAX: usize = 60;

/// What each of them says, as the general reader reads it. The texts are not copied for each line.
static KNOWN: LazyLock<Vec<(&'static str, NginxError)>> = LazyLock::new(|| {
    let tail =
        ", client: 192.0.2.1, server: a, request: \"GET / HTTP/1.1\", upstream: \"http://192.0.2.2:80/\", host: \"a\"";
    let known = USUAL.iter().map(|words| {
        let read = fields("error", None, None, &[words, tail].concat());
        let own = |text: &Text| {
            let at = find(words, text).filter(|_| !text.is_empty());
            at.and_then(|at| words.get(at..at + text.len())).map_or(Text::default(), Text::new_static)
        };
        let error = NginxError {
            level: read.level,
            message: own(&read.message),
            code: read.code,
            code_text: own(&read.code_text),
            action: own(&read.action),
            symptom: read.symptom,
            ..NginxError::default()
        };
        (*words, error)
    });
    known.collect()
});

/// Reads such a line; `None` for any other.
pub(in crate::read::formats) fn read(line: &[u8]) -> Option<Line> {
    // Most lines that are none end here.
    if line.get(19..28) != Some(b" [error] ") || line.len() > TEXT_BYTES_MAX || !is_plain(line) {
        return None;
    }
    let line = std::str::from_utf8(line).ok().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))?;
    let (stamp, rest) = stamp(line)?;
    let (_, rest) = level(rest);
    let (pid, rest) = pid(rest);
    let (connection, rest) = connection(rest);
    if pid.is_none() || connection.is_none() || line.len() - rest.len() > HEAD_BYTES_MAX {
        return None;
    }
    let (rest, known) = KNOWN.iter().find_map(|(words, error)| Some((rest.strip_prefix(words)?, error)))?;
    let (client, rest) = split_at(rest.strip_prefix(", client: ")?, b',')?;
    let (server, rest) = split_at(rest.strip_prefix(" server: ")?, b',')?;
    let (request, rest) = split_at(rest.strip_prefix(" request: \"")?, b'"')?;
    let (upstream, rest) = split_at(rest.strip_prefix(", upstream: \"")?, b'"')?;
    let (host, rest) = match rest.strip_prefix(", host: \"") {
        Some(host) => split_at(host, b'"').map(|(host, rest)| (Some(host), rest))?,
        None => (None, rest),
    };
    if !rest.is_empty() {
        let (referrer, rest) = split_at(rest.strip_prefix(", referrer: \"")?, b'"')?;
        (is_word(referrer) && rest.is_empty()).then_some(())?;
    }
    let is_request = memchr::memchr_iter(b' ', request.as_bytes()).count() == 2 && find(request, "%0").is_none();
    let are_words = [upstream, host.unwrap_or_default(), server].iter().all(|value| is_word(value));
    if client.is_empty() || !is_word(client) || !are_words || !is_request {
        return None;
    }
    let mut error = NginxError {
        pid,
        connection,
        client: client.into(),
        server: server.into(),
        request: Some(request.into()),
        host: host.map(Text::from),
        ..known.clone()
    };
    error.upstream = Some(split_upstream(upstream, &mut error));
    Some(Line { stamp: Some(stamp), error, may_be_broken: false })
}

/// No blank and no quote: it is one value.
fn is_word(value: &str) -> bool {
    memchr::memchr2(b' ', b'"', value.as_bytes()).is_none()
}

/// Printable ASCII without a backslash, and no bracket but those of the level: nothing else can begin in it.
pub(in crate::read::formats) fn is_plain(line: &[u8]) -> bool {
    let is_usual = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'\\');
    let (usual, brackets) = line.iter().fold((true, 0_u32), |(usual, brackets), byte| {
        (usual & is_usual(*byte), brackets + u32::from(matches!(byte, b'[' | b']')))
    });
    usual && brackets == 2
}
