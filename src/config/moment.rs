//! Times as people type them, or copy them out of a log.

use crate::read::evidence::SECOND;
use crate::read::time::{epoch_stamp, from_utc, month_from_name};

/// What a time may be, for messages.
pub const EXPECTED: &str = "a time as logs have it (2026-11-22T07:14:39Z, 2026/11/22 07:14:39, 22/Nov/2026:07:14:39 +0000, seconds since 1970), \
                            a day (2026-11-22, today, yesterday), a time of today (07:14), or how long ago (90m, 2h, 3d)";

/// Nanoseconds of a day.
const DAY: i64 = 86_400 * SECOND;

/// Nanoseconds since 1970 of a time that somebody typed. UTC where no offset is written, as in reports.
pub fn moment(text: &str, now: i64) -> Option<i64> {
    let text = text.trim().trim_matches(['[', ']', '"', '\'']).trim();
    ago(text, now)
        .or_else(|| named(text, now))
        .or_else(|| epoch_stamp(text).map(|stamp| stamp.nanos))
        .or_else(|| dated(text, now))
}

/// `90m`, `2h`, `3d`, each also with ` ago` behind it.
fn ago(text: &str, now: i64) -> Option<i64> {
    let text = text.strip_suffix("ago").map_or(text, str::trim_end);
    let ago = match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => std::time::Duration::from_secs(u64::from(days) * 86_400),
        _ => super::values::duration(text).filter(|_| text != "0")?,
    };
    now.checked_sub(i64::try_from(ago.as_nanos()).ok()?)
}

/// `now`, `today`, `yesterday`, and a time of one of both days.
fn named(text: &str, now: i64) -> Option<i64> {
    let midnight = now.div_euclid(DAY).checked_mul(DAY)?;
    let lower = text.to_ascii_lowercase();
    let (word, rest) = lower.split_once([' ', 'T']).unwrap_or((&lower, ""));
    let day = match word {
        "now" if rest.is_empty() => return Some(now),
        "today" => midnight,
        "yesterday" => midnight.checked_sub(DAY)?,
        _ => return None,
    };
    if rest.is_empty() { Some(day) } else { day.checked_add(of_day(text.split_at_checked(word.len() + 1)?.1)?) }
}

/// A day with its time or without, or a time of today.
fn dated(text: &str, now: i64) -> Option<i64> {
    let midnight = now.div_euclid(DAY).checked_mul(DAY)?;
    let Some((date, rest)) = date(text) else { return midnight.checked_add(of_day(text)?) };
    match rest.strip_prefix(['T', 't', ' ', ':']) {
        None if rest.is_empty() => Some(date),
        None => None,
        Some(clock) => date.checked_add(of_day(clock)?),
    }
}

/// The midnight that a text begins with: `2026-11-22`, `2026/11/22`, `22/Nov/2026`.
fn date(text: &str) -> Option<(i64, &str)> {
    let numbered = |between: char| {
        let (date, rest) = text.split_at_checked(10)?;
        let [year, month, day] = numbers(date, between, &[4, 2, 2])?.try_into().ok()?;
        Some((i64::from(year), month, day, rest))
    };
    let written = || {
        let (date, rest) = text.split_at_checked(11)?;
        let mut parts = date.split('/');
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        let month = month_from_name(month.as_bytes())?;
        let [day] = numbers(day, '/', &[2])?.try_into().ok()?;
        let [year] = numbers(year, '/', &[4])?.try_into().ok()?;
        Some((i64::from(year), month, day, rest))
    };
    let (year, month, day, rest) = numbered('-').or_else(|| numbered('/')).or_else(written)?;
    Some((from_utc(year, month, day, 0, 0, 0)?, rest))
}

/// `07:14`, `07:14:39.250`, `07:14:39 +0200`: nanoseconds since midnight UTC.
pub fn of_day(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !":.,".contains(c)).unwrap_or(text.len());
    let (clock, offset) = text.split_at_checked(end)?;
    // Python writes a comma before milliseconds.
    let (clock, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, "0"));
    let clock = numbers(clock, ':', &[2, 2, 2]).or_else(|| numbers(clock, ':', &[2, 2]))?;
    let offset = match offset.trim() {
        "" => 0,
        offset => super::values::zone(offset)?,
    };
    if fraction.is_empty() || fraction.len() > 9 || fraction.bytes().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let [hour, minute, rest @ ..] = clock.as_slice() else { return None };
    // The 1st of January 1970, whose midnight is 0.
    let of_day = from_utc(1970, 1, 1, *hour, *minute, rest.first().copied().unwrap_or(0))?;
    of_day.checked_add(nanos)?.checked_sub(offset.checked_mul(SECOND)?)
}

/// Numbers of so many digits each.
fn numbers(text: &str, between: char, digits: &[usize]) -> Option<Vec<u32>> {
    let parts: Vec<&str> = text.split(between).collect();
    let fits = parts.len() == digits.len()
        && parts
            .iter()
            .zip(digits)
            .all(|(part, count)| part.len() == *count && part.bytes().all(|b| b.is_ascii_digit()));
    if fits { parts.into_iter().map(|part| part.parse().ok()).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::time::rfc3339;

    #[test]
    fn times_as_people_type_and_copy_them() {
        let now = moment("2026-11-22T12:00:00Z", 0).expect("a time");
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(moment(text, now).map(rfc3339).as_deref(), expected, "{text}");
        };
        check("2026-11-22T07:14:39Z", Some("2026-11-22T07:14:39Z"));
        check("2026-11-22 07:14:39.250", Some("2026-11-22T07:14:39.250Z"));
        check("2026-11-22 07:14:39,250", Some("2026-11-22T07:14:39.250Z"));
        check("2026-11-22T07:14+01:00", Some("2026-11-22T06:14:00Z"));
        check("2026-11-22 07:14:39 -0530", Some("2026-11-22T12:44:39Z"));
        check("[2026-11-22 07:14:39 +0000]", Some("2026-11-22T07:14:39Z"));
        check("2026-11-22 07:14 UTC", Some("2026-11-22T07:14:00Z"));
        check("2026-11-22", Some("2026-11-22T00:00:00Z"));
        check("2026/11/22 07:14:39", Some("2026-11-22T07:14:39Z"));
        check("2026/11/22 07:00", Some("2026-11-22T07:00:00Z"));
        check("2026/11/22", Some("2026-11-22T00:00:00Z"));
        check("22/Nov/2026:07:14:39 +0000", Some("2026-11-22T07:14:39Z"));
        check("[22/Nov/2026:07:14:39 +0100]", Some("2026-11-22T06:14:39Z"));
        check("22/nov/2026", Some("2026-11-22T00:00:00Z"));
        check("07:14", Some("2026-11-22T07:14:00Z"));
        check("07:14:39", Some("2026-11-22T07:14:39Z"));
        check("yesterday", Some("2026-11-21T00:00:00Z"));
        check("Yesterday 22:15", Some("2026-11-21T22:15:00Z"));
        check("today", Some("2026-11-22T00:00:00Z"));
        check("now", Some("2026-11-22T12:00:00Z"));
        check("1795331679", Some("2026-11-22T07:14:39Z"));
        check("1795331679.250", Some("2026-11-22T07:14:39.250Z"));
        check("1795331679250", Some("2026-11-22T07:14:39.250Z"));
        check("2h", Some("2026-11-22T10:00:00Z"));
        check("2h ago", Some("2026-11-22T10:00:00Z"));
        check("1h30m", Some("2026-11-22T10:30:00Z"));
        check("3d", Some("2026-11-19T12:00:00Z"));
        for wrong in [
            "",
            "0",
            "tomorrow",
            "10:75",
            "yesterday junk",
            "2026-11-22T",
            "2026-11-22Z",
            "2026-13-01",
            "2026/13/01",
            "32/Nov/2026",
            "22/Nov/2026:",
            "22/Now/2026",
            "2026-02-30",
            "2026-11-22T25:00",
            "2026-11-22T07:14:39Zjunk",
            "2026-11-22T07:14:39 CET",
            "2026-11-22T07:14:39+0200 junk",
            "2026-11-22T7:14",
            "2026-1-22",
            "20261122",
            "2026-11-22T07:14:39.",
            "2026-11-22T07:14:39.1.2",
            "99999999999999999h",
            "\u{e4}026-11-22",
            "yesterda\u{e4}",
        ] {
            check(wrong, None);
        }
    }
}
