//! Where a record begins inside a damaged line: behind a shell prompt, a list dash, a comment mark, other words, or
//! with its head lost.
//!
//! Whatever stands before may quote text of a client, so a record found so is genuine only behind mere decoration.

use super::marks::is_mark;
use crate::read::client::{ends_early, quotes_request};
use crate::read::formats::nginx_error;
use crate::read::time::month_from_name;

/// A record inside a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::read) struct Found {
    /// Byte where it begins.
    pub(in crate::read) start: usize,
    /// Nothing but decoration (blanks, quotes, list and comment marks, ellipses) stands before it.
    pub(in crate::read) clean: bool,
}

/// The first record of nginx's error log that begins after the start of the line.
pub(in crate::read) fn nginx_error(line: &str) -> Option<Found> {
    let head = nginx_error::heads(line).find(|head| head.has_pid).map(|head| head.start);
    let start = head.or_else(|| nginx_error::find_message(line))?;
    let (before, rest) = line.split_at_checked(start)?;
    // Behind a request stands what a client sent with it.
    if quotes_request(before) {
        return None;
    }
    let is_value = before.contains('"') && ends_early(rest);
    Some(Found { start, clean: is_decoration(before) && !is_value })
}

/// How Gunicorn's messages about an end begin, where nothing else begins so (`gunicorn/arbiter.py`, `gunicorn/sock.py`).
const ENDS: [&str; 6] = [
    "WORKER TIMEOUT (pid:",
    "Worker (pid:",
    "Worker with pid ",
    "Connection in use: (",
    "Can't connect to (",
    "gunicorn.errors.HaltServer: <HaltServer '",
];

/// A message of Gunicorn about an end inside a line: behind the words of a page, or what is left of a head. A line about
/// a request may quote a client, and is never looked into; neither is what stands in double quotes.
pub(in crate::read) fn gunicorn_error(line: &str) -> Option<Found> {
    if quotes_request(line) {
        return None;
    }
    let start = ENDS.iter().filter_map(|end| line.find(end)).min()?;
    let before = line.get(..start)?;
    (!before.contains('"')).then(|| Found { start, clean: is_decoration(before) || is_marked(before) })
}

/// True behind what is left of Gunicorn's own head (`+0000] [6] [CRITICAL] `) and nothing else, and at the start of a
/// code span in prose: an access log in a format of any kind has other values before a client's, digits among them.
fn is_marked(before: &str) -> bool {
    let before = before.trim_end();
    let head = ["[WARNING]", "[ERROR]", "[CRITICAL]", "[INFO]"].iter().find_map(|level| before.strip_suffix(level));
    let pid = head.and_then(|head| head.trim_end().strip_suffix(']')?.rsplit_once('['));
    let is_pid = |pid: &str| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    pid.is_some_and(|(stamp, pid)| is_pid(pid) && is_end_of_stamp(stamp.trim_end()))
        || head.unwrap_or(before).ends_with('`') && !before.bytes().any(|byte| byte.is_ascii_digit())
}

/// The end of `[2026-03-04 09:15:03 +0000]`, however much of its beginning is lost, behind names at most: those of a pod, a
/// container, a level.
fn is_end_of_stamp(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let is_end = |shape: &str| "[0000-00-00 00:00:00 +0000]".ends_with(&shape.replace(" -", " +"));
    let is_name = |word: &str| {
        word.bytes().any(|byte| byte.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // A date of syslog's before the names.
    let mut words = shape.splitn(4, ' ');
    let month = words.next().unwrap_or_default();
    let is_dated = month_from_name(month.as_bytes()).is_some()
        && words.next().is_some_and(|day| matches!(day, "0" | "00"))
        && words.next().is_some_and(|time| time == "00:00:00");
    let shape = words.next().filter(|_| is_dated).unwrap_or(&shape);
    match shape.rsplit_once(' ') {
        Some((names, end)) if names.split(' ').all(is_name) => is_end(end),
        _ => is_end(shape),
    }
}

/// True for what people and their tools put before a line without saying anything.
fn is_decoration(text: &str) -> bool {
    let text = text.trim_start_matches("<p>").trim_start_matches("error, ");
    // Stamps of other tools, and masked ones (`YYYY/MM/DD hh:mm:ss`).
    let is_stamp = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|byte| {
                byte.is_ascii_digit()
                    || matches!(byte, b':' | b'-' | b'/' | b'.' | b',' | b'+' | b'T' | b'Z' | b'[' | b']')
                    || matches!(byte, b'X' | b'x' | b'Y' | b'M' | b'D' | b'h' | b'm' | b's')
            })
    };
    text.split_whitespace().filter(|word| !is_stamp(word)).all(|word| word.chars().all(is_mark))
}
