//! Records that a terminal, a mail or an editor wrapped over several physical lines, put together again.
//!
//! A line is kept back only when it begins a record that proves something and is visibly not at its end; the lines after
//! it belong to it until it is whole, or until one begins a record of its own. Healthy lines pass at the cost of one
//! search for a few words.

use super::fragment;
use super::prefix::unknown;
use crate::read::formats::{Format, gunicorn_error, table};
use crate::read::peel::peel;
use crate::read::sniff::{Sign, sniff};

/// Physical lines of one record: a record of nginx is at most 2,048 bytes, 64 lines of a narrow terminal.
const LINES_MAX: usize = 64;
/// Bytes of one record. Access lines with cookies are longer than error lines, and wrapped ones are pastes.
const BYTES_MAX: usize = 64 * 1024;
/// Shorter lines are not full: nobody's terminal is narrower.
const WIDTH_MIN: usize = 40;

/// What to do with a line that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is a record by itself: read it as it is.
    Whole,
    /// It was kept; push the next.
    Kept,
    /// The record that was kept is at its end: take it, then push this line again.
    Ended,
}

/// Puts wrapped records together. Holds at most one record.
#[derive(Clone, Debug, Default)]
pub struct Joiner {
    /// The physical lines, as they came.
    lines: Vec<String>,
    bytes: usize,
    first_number: u64,
}

impl Joiner {
    /// True when nothing is kept.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes the physical line with this number.
    pub fn push(&mut self, line: &[u8], number: u64) -> Pushed {
        if self.lines.is_empty() {
            if !may_begin(line) {
                return Pushed::Whole;
            }
            let text = String::from_utf8_lossy(line);
            // What an envelope quotes ends as the envelope does.
            if is_whole(&text) || is_whole(&peel(&text).bare) {
                return Pushed::Whole;
            }
            self.bytes = text.len();
            self.first_number = number;
            self.lines.push(text.into_owned());
            return Pushed::Kept;
        }
        let text = String::from_utf8_lossy(line);
        let full = self.lines.len() >= LINES_MAX || self.bytes.saturating_add(text.len()) > BYTES_MAX;
        if full || self.is_at_end() || begins_record(&text) {
            return Pushed::Ended;
        }
        self.bytes += text.len();
        self.lines.push(text.into_owned());
        Pushed::Kept
    }

    /// Takes the record that was kept, with the number of its first line; `None` when there is none.
    pub fn take(&mut self) -> Option<(String, u64)> {
        if self.lines.is_empty() {
            return None;
        }
        let joined = join(&self.lines);
        self.lines.clear();
        self.bytes = 0;
        Some((joined, self.first_number))
    }

    fn is_at_end(&self) -> bool {
        self.lines.len() > 1 && is_whole(&join(&self.lines))
    }
}

/// The quick check: only a line that the sniff takes up, or one with a failing status, can begin a record worth joining.
fn may_begin(line: &[u8]) -> bool {
    line.len() >= 10
        && line.first() != Some(&b'{')
        && match sniff(line) {
            Sign::Ours => true,
            Sign::Request => FAILING.iter().any(|status| memchr::memmem::find(line, status.as_bytes()).is_some()),
            Sign::None => false,
        }
}

/// Behind the request of an access line.
const FAILING: [&str; 4] = ["\" 502 ", "\" 503 ", "\" 504 ", "\" 499 "];

/// False for the visible beginning of a record of which the end is missing.
fn is_whole(text: &str) -> bool {
    let trimmed = text.trim_end();
    if let Some(start) = combined_request_end(trimmed) {
        return is_whole_access(trimmed, start);
    }
    if trimmed.contains("ut of memory") {
        return trimmed.contains("process ") || !trimmed.contains("emory: Ki");
    }
    if let Some(message) = message_of_gunicorn(trimmed) {
        return gunicorn_error::event(message).is_some() && !trimmed.ends_with(':');
    }
    let Some(start) = error_start(trimmed) else { return true };
    is_whole_error(trimmed.get(start..).unwrap_or_default())
}

/// What follows the level, where it is the beginning of a message that tells of an end, a start or an address.
fn message_of_gunicorn(text: &str) -> Option<&str> {
    const BEGINNINGS: [&str; 8] = [
        "Worker (pid:",
        "Worker with pid ",
        "WORKER TIMEOUT",
        "Booting worker with",
        "Listening at:",
        "Autorestarting worker",
        "Maximum request limit",
        "Invalid request from",
    ];
    BEGINNINGS.iter().find_map(|beginning| {
        let at = text.find(&format!("] {beginning}"))?;
        text.get(at + "] ".len()..)
    })
}

fn error_start(text: &str) -> Option<usize> {
    if table::begins_record(text) == Some(Format::NginxError) {
        return Some(0);
    }
    fragment::nginx_error(text).map(|found| found.start)
}

/// An error line about a request ends in the closing quote of its last field; one without fields ends where it ends,
/// unless it visibly breaks off.
fn is_whole_error(record: &str) -> bool {
    let quotes = record.matches('"').count();
    if record.ends_with(',') || record.ends_with(':') || record.ends_with(" while") {
        return false;
    }
    if record.contains(", client: ") {
        let fields_follow = record.contains("request: \"") || record.contains("upstream: \"");
        return if fields_follow {
            quotes.is_multiple_of(2) && record.ends_with('"')
        } else {
            quotes.is_multiple_of(2) && !about_request(record)
        };
    }
    let action = record.rsplit_once(" while ").map(|(_, action)| action);
    let is_cut = action
        .is_some_and(|action| ACTIONS.iter().any(|known| known.len() > action.len() && known.starts_with(action)));
    let in_parentheses = record.matches('(').count() > record.matches(')').count();
    if about_request(record) || is_cut || in_parentheses || record.ends_with("worker_connections are") {
        return false;
    }
    // A bare message: whole with its action. Without one only the head says that more should follow.
    action.is_some()
        || quotes.is_multiple_of(2) && !record.contains("connect() to ") && !record.contains("recv() failed")
}

/// What nginx is busy with when an upstream fails (`ngx_http_upstream.c`).
const ACTIONS: [&str; 7] = [
    "connecting to upstream",
    "SSL handshaking to upstream",
    "sending request to upstream",
    "reading response header from upstream",
    "reading upstream",
    "proxying upgraded connection",
    "sending to client",
];

/// With `*N` nginx writes `client:` and `request:`.
fn about_request(record: &str) -> bool {
    record.contains(": *") && !record.contains("request: \"") && !record.contains("bytes from/to")
}

/// Where the request of an access line with a failing status ends.
fn combined_request_end(text: &str) -> Option<usize> {
    let status = FAILING.iter().filter_map(|status| text.find(status)).min()?;
    let before = text.get(..status)?;
    (before.contains("] \"") && before.matches('"').count() == 1).then_some(status)
}

/// `combined` has two more quoted values, ingress-nginx's format lists of peers behind its brackets.
fn is_whole_access(text: &str, request_end: usize) -> bool {
    let rest = text.get(request_end + 1..).unwrap_or_default();
    let quotes = rest.matches('"').count();
    if quotes % 2 == 1 || quotes == 2 && rest.ends_with("\"-\"") {
        return false;
    }
    !(rest.ends_with("[]") || rest.ends_with(','))
}

/// True for a line that begins a record by itself, or is one.
fn begins_record(line: &str) -> bool {
    let bare = line.trim_start_matches([' ', '\t', '>', '/', '*', '#']).trim_end();
    if bare.is_empty() {
        // One blank line may stand inside a paste; the next decides.
        return false;
    }
    let bytes = bare.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let is_dated = digits(0..4) && matches!(bytes.get(4), Some(b'-' | b'/')) && digits(5..7);
    let is_bracketed = bytes.first() == Some(&b'[') && !bare.starts_with("[] ") && !is_ipv6(bare);
    is_dated
        || is_bracketed
        || bare.contains(" - - [")
        || bare.contains("] \"GET ")
        || bare.contains("] \"POST ")
        || bare
            .split_once("| ")
            .is_some_and(|(name, _)| name.len() <= 80 && !name.contains('"') && !name.trim_end().contains(' '))
        || is_syslog(bare)
        || bare.starts_with("File \"")
        || table::begins_record(bare).is_some()
        || unknown(bare).is_some()
        || table::has_head(&peel(bare).bare)
}

/// `[2001:db8::7]:8000`.
fn is_ipv6(bare: &str) -> bool {
    bare.strip_prefix('[').and_then(|rest| rest.split_once(']')).is_some_and(|(inside, _)| {
        inside.contains(':') && inside.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
    })
}

/// `Feb 16 20:07:06 `.
fn is_syslog(bare: &str) -> bool {
    let bytes = bare.as_bytes();
    bytes.get(..3).is_some_and(|month| crate::read::time::month_from_name(month).is_some())
        && bytes.get(3) == Some(&b' ')
        && bytes.get(9) == Some(&b':')
}

/// Lines of one width were cut by a terminal, in the middle of words; others by people, between words.
fn join(lines: &[String]) -> String {
    let full = lines.split_last().map_or(&[][..], |(_, full)| full);
    let is_of_one_width = |chars: fn(&str) -> usize| {
        let width = full.first().map_or(0, |line| chars(line));
        width >= WIDTH_MIN && full.len() > 1 && full.iter().all(|line| chars(line).abs_diff(width) <= 1)
    };
    // Counted from the edge of the terminal, or from where the lines after the first are indented to.
    let is_cut_by_width =
        is_of_one_width(|line| line.chars().count()) || is_of_one_width(|line| line.trim_start().chars().count());
    let joined = join_as(lines, is_cut_by_width);
    if is_cut_by_width && !is_sound(&joined) {
        // Of one width by chance: the blank stood where the line ends.
        let apart = join_as(lines, false);
        return if is_sound(&apart) { apart } else { joined };
    }
    joined
}

/// What nginx is busy with has its words apart, and so has a request.
fn is_sound(record: &str) -> bool {
    let has_action = ACTIONS.iter().any(|action| record.contains(action)) || !record.contains(" while ");
    let request = record.split_once("request: \"").and_then(|(_, request)| request.split_once('"'));
    has_action && request.is_none_or(|(request, _)| request.split(' ').count() == 3)
}

fn join_as(lines: &[String], is_cut_by_width: bool) -> String {
    let mut joined = String::with_capacity(lines.iter().map(String::len).sum::<usize>() + lines.len());
    for (index, line) in lines.iter().enumerate() {
        if index == 0 {
            joined.push_str(if is_cut_by_width { line } else { line.trim_end() });
            continue;
        }
        // A comment's mark; a path has one.
        let part = line.trim_start_matches([' ', '\t', '>']);
        let part = part.strip_prefix("//").map_or(part, str::trim_start);
        let part = if is_cut_by_width && index + 1 < lines.len() { part } else { part.trim_end() };
        if part.is_empty() {
            continue;
        }
        if !is_cut_by_width {
            joined.push(' ');
        }
        joined.push_str(part);
    }
    joined
}
