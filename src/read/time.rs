//! Calendar arithmetic on plain numbers: no clock, no time zone database.

use super::evidence::{MILLISECOND, Nanos, SECOND, Stamp};

/// A record that comes so long after it was written is late: a shipper was down, or reads a file from its start. A collector
/// needs some seconds.
pub const LATE_MIN: Nanos = 120 * SECOND;

/// Unix time in nanoseconds of a UTC date and time; `None` when a field is out of range or the result does not fit.
/// `second` may be 60 (a leap second reads as the next minute's first).
pub fn from_utc(year: i64, month: u32, day: u32, hour: u32, minute: u32, second: u32) -> Option<Nanos> {
    if !(1..=12).contains(&month)
        || day == 0
        || day > days_in_month(year, month)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400
        + i64::from(hour) * 3_600
        + i64::from(minute) * 60
        + i64::from(second);
    seconds.checked_mul(SECOND)
}

/// The same month, day and time in the year in which it is nearest to `near`.
pub fn nearest_year(nanos: Nanos, near: Nanos) -> Nanos {
    let date = |nanos: Nanos| civil_from_days(nanos.div_euclid(SECOND).div_euclid(86_400));
    let ((_, month, day), (year, _, _)) = (date(nanos), date(near));
    let of_day = nanos.rem_euclid(86_400 * SECOND);
    let in_year = |year: i64| Some(from_utc(year, month, day, 0, 0, 0)?.saturating_add(of_day));
    let years = (year - 1..=year + 1).filter_map(in_year);
    years.min_by_key(|time| time.saturating_sub(near).saturating_abs()).unwrap_or(nanos)
}

/// `2026-11-22T07:14:39.700Z`; milliseconds only when there are any.
pub fn rfc3339(nanos: Nanos) -> String {
    let seconds = nanos.div_euclid(SECOND);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let millis = nanos.rem_euclid(SECOND) / 1_000_000;
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{fraction}Z", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// `2026-11-22 07:14:42 +0000`, also `...42,345`, `...42.345`, with `T`, `Z` or no zone.
pub fn iso_stamp(text: &str) -> Option<Stamp> {
    let number = |from: usize, to: usize| {
        text.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse::<u32>().ok()
    };
    let nanos = from_utc(
        i64::from(number(0, 4)?),
        number(5, 7)?,
        number(8, 10)?,
        number(11, 13)?,
        number(14, 16)?,
        number(17, 19)?,
    )?;
    let mut rest = text.get(19..).unwrap_or_default();
    let mut grain = SECOND;
    let mut fraction: Nanos = 0;
    if let Some(after) = rest.strip_prefix([',', '.']) {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count().min(9);
        let value = after.get(..digits)?.parse::<Nanos>().unwrap_or(0);
        fraction = value.saturating_mul(10_i64.pow(9 - digits as u32));
        grain = if digits > 3 { 1 } else { MILLISECOND };
        rest = after.get(after.bytes().take_while(u8::is_ascii_digit).count()..).unwrap_or_default();
    }
    let offset = zone(rest.trim());
    Some(Stamp {
        nanos: nanos.saturating_add(fraction).saturating_sub(offset.unwrap_or(0)),
        grain,
        zone_known: offset.is_some(),
        year_known: true,
    })
}

/// `+0200`, `+02:00`, `Z`, `UTC`.
fn zone(text: &str) -> Option<Nanos> {
    if matches!(text, "Z" | "UTC" | "GMT") {
        return Some(0);
    }
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, text.get(1..)?),
        b'-' => (-1, text.get(1..)?),
        _ => return None,
    };
    let digits: String = digits.chars().filter(|c| *c != ':').take(4).collect();
    let hours: Nanos = digits.get(..2)?.parse().ok()?;
    let minutes: Nanos = digits.get(2..4).unwrap_or("00").parse().ok()?;
    Some(sign * (hours * 3_600 + minutes * 60) * SECOND)
}

/// Seconds, milliseconds, microseconds (journald) or nanoseconds since 1970, told by their length.
pub fn epoch_stamp(text: &str) -> Option<Stamp> {
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

/// Month number of `Jan` to `Dec`, any case.
pub fn month_from_name(name: &[u8]) -> Option<u32> {
    const NAMES: [&[u8]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    NAMES.iter().position(|month| name.eq_ignore_ascii_case(month)).map(|index| index as u32 + 1)
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, by counting 400-year eras from 1 March.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = i64::from((153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_without_a_year_is_the_nearest() {
        let check = |month: u32, day: u32, near: &str, expected: &str| {
            let digits =
                |from: usize, to: usize| near.get(from..to).and_then(|text| text.parse::<u32>().ok()).expect("digits");
            let near = from_utc(i64::from(digits(0, 4)), digits(5, 7), digits(8, 10), 12, 0, 0).expect("a date");
            let time = from_utc(1972, month, day, 23, 59, 58).expect("1972 has every day");
            assert_eq!(rfc3339(nearest_year(time, near)), expected);
        };
        check(12, 31, "2026-01-01", "2025-12-31T23:59:58Z");
        check(1, 1, "2025-12-31", "2026-01-01T23:59:58Z");
        check(6, 15, "2026-06-15", "2026-06-15T23:59:58Z");
        check(2, 29, "2025-03-01", "2024-02-29T23:59:58Z");
    }

    #[test]
    fn known_days() {
        let check = |date: (i64, u32, u32), text: &str| {
            let nanos = from_utc(date.0, date.1, date.2, 12, 34, 56).expect("a date");
            assert_eq!(rfc3339(nanos), text);
        };
        check((1970, 1, 1), "1970-01-01T12:34:56Z");
        check((2024, 2, 29), "2024-02-29T12:34:56Z");
        check((2026, 11, 22), "2026-11-22T12:34:56Z");
        check((1969, 12, 31), "1969-12-31T12:34:56Z");
        assert_eq!(from_utc(2023, 2, 29, 0, 0, 0), None);
        assert_eq!(from_utc(2500, 1, 1, 0, 0, 0), None, "past what 64 bits of nanoseconds hold");
    }
}
