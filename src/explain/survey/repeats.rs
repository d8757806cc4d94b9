//! Lines of nginx's error log that say what lines before them said, of another request.
//!
//! In an outage an error log is millions of lines with a handful of messages. Once a message was read in full, a line
//! with the same one has nothing new for the survey but its request line, which is cut out of it at a fraction of the
//! cost. A line that looks in any way unusual is read in full.

use crate::read::request_line::{request_line_hash, split_request_line};
use memchr::memmem;
use std::collections::HashMap;

/// Different messages that are remembered; those with an address of their own in each line are no repeats.
const MESSAGES_MAX: usize = 1_024;
/// Stamp, level and pids before the message: `2026/03/04 09:00:00 [error] 4194304#4194304: *`.
const HEAD_BYTES_MAX: usize = 80;

/// What a message of nginx's error log means to the survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    /// It says that an upstream failed, so that the access line of its request is looked for.
    pub(super) is_symptom: bool,
    /// It says that an answer was cut.
    pub(super) is_cut: bool,
}

/// Message and request line of an ordinary line of nginx's error log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ordinary<'a> {
    message: &'a [u8],
    /// Hash of the request line, as in [`crate::read::Wanted`].
    pub(super) hash: u64,
}

/// The messages that were read in full.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    meanings: HashMap<Vec<u8>, Meaning>,
}

impl Repeats {
    /// What a line says whose message was read before.
    pub(super) fn meaning(&self, line: Ordinary<'_>) -> Option<Meaning> {
        self.meanings.get(line.message).copied()
    }

    /// Remembers what a line says that was read in full.
    pub(super) fn learn(&mut self, line: Ordinary<'_>, meaning: Meaning) {
        if self.meanings.len() < MESSAGES_MAX {
            self.meanings.entry(line.message.to_vec()).or_insert(meaning);
        }
    }
}

/// The parts of a whole, ordinary line of nginx's error log about one request; `None` for every other line.
pub(super) fn ordinary(line: &[u8]) -> Option<Ordinary<'_>> {
    let is_stamped = matches!(line, [_, _, _, _, b'/', _, _, b'/', ..]) && line.get(19..21) == Some(b" [");
    if !is_stamped || line.last() != Some(&b'"') {
        return None;
    }
    let head = line.get(..HEAD_BYTES_MAX).unwrap_or(line);
    let connection = memmem::find(head, b": *")? + b": *".len();
    let digits = line.get(connection..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let message = line.get(connection + digits..)?.strip_prefix(b" ").filter(|_| digits > 0)?;
    let end = memmem::find(message, b", client: ")?;
    let (message, fields) = message.split_at_checked(end)?;
    let begin = memmem::find(fields, b", request: \"")?;
    let before = fields.get(..begin)?;
    let request = fields.get(begin + b", request: \"".len()..)?;
    let (request, rest) = request.split_at_checked(memchr::memchr(b'"', request)?)?;
    let after = rest.strip_prefix(b"\"")?;
    let is_usual_rest = after.is_empty() || after.starts_with(b", upstream: ") || after.starts_with(b", host: ");
    // A second record on the line has a bracket behind its level or its stamp.
    let is_single = memmem::find(rest, b"] ").is_none() && memmem::find(rest, b", client: ").is_none();
    let is_even = memchr::memchr_iter(b'"', rest).count() % 2 == 1 && memchr::memchr(b'"', before).is_none();
    if !is_usual_rest || !is_single || !is_even || memchr::memchr(b'"', message).is_some() {
        return None;
    }
    let (method, target) = split_request_line(std::str::from_utf8(request).ok()?)?;
    Some(Ordinary { message, hash: request_line_hash(method.as_bytes(), target.as_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = r#"2026/03/04 09:00:00 [error] 31#31: *1 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 192.0.2.1, server: a.test, request: "GET /x?y=1 HTTP/1.1", upstream: "http://[::1]:8000/x?y=1", host: "a.test""#;

    #[test]
    fn a_usual_line_and_its_repeat() {
        let line = ordinary(USUAL.as_bytes()).expect("ordinary");
        assert_eq!(line.hash, request_line_hash(b"GET", b"/x?y=1"));
        let mut repeats = Repeats::default();
        assert_eq!(repeats.meaning(line), None);
        let meaning = Meaning { is_symptom: true, is_cut: false };
        repeats.learn(line, meaning);
        let other = USUAL.replace("*1 ", "*99 ").replace("/x?y=1 ", "/z ").replace("192.0.2.1", "2001:db8::7");
        let other = ordinary(other.as_bytes()).expect("ordinary");
        assert_eq!((repeats.meaning(other), other.hash), (Some(meaning), request_line_hash(b"GET", b"/z")));
        let another = USUAL.replace("response header", "upstream");
        assert_eq!(repeats.meaning(ordinary(another.as_bytes()).expect("ordinary")), None);
    }

    #[test]
    fn what_is_unusual_is_read_in_full() {
        for (from, to) in [
            ("2026/03/04", "2026-03-04"),
            ("*1 ", ""),
            (", client: 192.0.2.1", ""),
            ("/x?y=1 HTTP", "/\" HTTP"),
            ("GET /x?y=1 HTTP/1.1\"", "GET /x?y=1 HTTP/1.1\" x"),
            ("host: \"a.test\"", "host: \"a.test"),
            ("host: \"a.test\"", "host: \"a.test\" 192.0.2.1 - - [04/Mar/2026:09:00:00 +0000] \"GET /\""),
            ("upstream timed", "\"upstream timed"),
        ] {
            let line = USUAL.replace(from, to);
            assert_ne!(line, USUAL, "{from}");
            assert_eq!(ordinary(line.as_bytes()), None, "{line}");
        }
    }
}
