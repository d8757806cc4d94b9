//! The head of a line: `2026/11/22 07:14:39 [error] 12#12: *3 `, and where one stands inside another line.

use crate::read::evidence::{SECOND, Stamp};
use crate::read::text::split_at;
use crate::read::time::from_utc;

/// The stamp alone: `2026/11/22 07:14:39`.
pub(in crate::read::formats) fn stamp_alone(text: &str) -> Option<Stamp> {
    stamp(text).filter(|(_, rest)| rest.is_empty()).map(|(stamp, _)| stamp)
}

/// True for a line that starts with the stamp of an error log.
pub(in crate::read) fn has_head(line: &str) -> bool {
    stamp(line).is_some()
}

/// True for a line that starts with stamp, level and pid.
pub(in crate::read) fn has_whole_head(line: &str) -> bool {
    let behind = |(_, rest)| {
        let (level, rest) = level(rest);
        !level.is_empty() && pid(rest).0.is_some()
    };
    stamp(line).is_some_and(behind)
}

/// `2026/11/22 07:14:39 `, with up to three lost first digits of the year (`021/09/27`).
pub(super) fn stamp(line: &str) -> Option<(Stamp, &str)> {
    let bytes = line.as_bytes();
    let slash = bytes.iter().take(5).position(|byte| *byte == b'/')?;
    if slash == 0 || bytes.get(slash + 3) != Some(&b'/') || bytes.get(slash + 6) != Some(&b' ') {
        return None;
    }
    let number = |from: usize, to: usize| line.get(from..to)?.parse::<u32>().ok();
    let year = i64::from(number(0, slash)?);
    let year = if slash < 4 { 2_000 + year % 100 } else { year };
    let at = slash + 7;
    let colons = bytes.get(at + 2) == Some(&b':') && bytes.get(at + 5) == Some(&b':');
    let time =
        colons.then(|| Some((number(at, at + 2)?, number(at + 3, at + 5)?, number(at + 6, at + 8)?))).flatten()?;
    let nanos = from_utc(year, number(slash + 1, slash + 3)?, number(slash + 4, slash + 6)?, time.0, time.1, time.2)?;
    let rest = line.get(at + 8..)?;
    (rest.is_empty() || rest.starts_with(' '))
        .then(|| (Stamp { nanos, grain: SECOND, zone_known: false, year_known: true }, rest.trim_start()))
}

/// The words in brackets.
pub(in crate::read) const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

pub(super) fn level(rest: &str) -> (&'static str, &str) {
    if let Some(inner) = rest.strip_prefix('[') {
        for level in LEVELS {
            if let Some(after) = inner.strip_prefix(level).and_then(|after| after.strip_prefix(']')) {
                return (level, after.trim_start());
            }
        }
    }
    ("", rest)
}

/// `12#12: `.
pub(super) fn pid(rest: &str) -> (Option<u32>, &str) {
    let Some((pid, after)) = split_at(rest, b'#') else { return (None, rest) };
    let Ok(number) = pid.parse::<u32>() else { return (None, rest) };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    match after.get(digits..).and_then(|tail| tail.strip_prefix(':')) {
        Some(tail) => (Some(number), tail.trim_start()),
        None => (None, rest),
    }
}

/// `*3 `, in pastes `\*3 `.
pub(super) fn connection(rest: &str) -> (Option<u64>, &str) {
    let bare = rest.strip_prefix('\\').unwrap_or(rest);
    let Some(after) = bare.strip_prefix('*') else { return (None, rest) };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    match (after.get(..digits).and_then(|number| number.parse().ok()), after.get(digits..)) {
        (Some(number), Some(tail)) => (Some(number), tail.trim_start()),
        _ => (None, rest),
    }
}

/// A head inside a text.
#[derive(Clone, Copy, Debug)]
pub(in crate::read) struct Head {
    /// Byte where it begins: its stamp where it has one, else its level.
    pub(in crate::read) start: usize,
    /// It has the stamp.
    pub(in crate::read) is_stamped: bool,
    /// It has a pid.
    pub(in crate::read) has_pid: bool,
}

/// The heads in a text, by their levels: at the start, behind other words, behind another record.
pub(in crate::read) fn heads(text: &str) -> impl Iterator<Item = Head> + '_ {
    memchr::memchr_iter(b'[', text.as_bytes()).filter_map(|open| {
        let (level, rest) = text.get(open..).map(level)?;
        if level.is_empty() {
            return None;
        }
        // With up to three lost first digits of the year.
        let is_stamp = |start: &usize| {
            text.get(*start..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && has_head(rest))
        };
        let stamped = (17..=20).rev().filter_map(|length| open.checked_sub(length)).find(is_stamp);
        Some(Head { start: stamped.unwrap_or(open), is_stamped: stamped.is_some(), has_pid: pid(rest).0.is_some() })
    })
}
