//! How values are written: durations, sizes, endpoints, secrets.

use std::fmt;
use std::time::Duration;

/// A text that is never shown: header values, keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself, for the wire.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[hidden]")
    }
}

/// `8s`, `1m30s`, `500ms`, `0`: durations as Go writes them.
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|digits| *digits > 0)?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit = ["ns", "us", "µs", "ms", "s", "m", "h"]
            .into_iter()
            .filter(|unit| rest.starts_with(unit))
            .max_by_key(|unit| unit.len())?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            _ => 3_600.0,
        };
        total += number * seconds;
        rest = rest.get(unit.len()..)?;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(total).ok()).flatten()
}

/// `4194304`, `4MiB`, `64 MiB`, `3MB`.
pub fn bytes(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text.get(..digits)?.parse().ok()?;
    let unit = match text.get(digits..)?.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// `true` and `false` as YAML 1.2 has them.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// `+02:00`, `-0330`, `UTC`: seconds that local time is ahead of UTC.
pub fn zone(text: &str) -> Option<i64> {
    if matches!(text, "UTC" | "Z" | "utc") {
        return Some(0);
    }
    let (sign, digits) =
        if let Some(rest) = text.strip_prefix('+') { (1, rest) } else { (-1, text.strip_prefix('-')?) };
    let digits = digits.replace(':', "");
    let (hours, minutes) =
        (digits.get(..2)?.parse::<i64>().ok()?, digits.get(2..4).unwrap_or("00").parse::<i64>().ok()?);
    (hours <= 14 && minutes < 60 && digits.len() <= 4).then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_values() {
        let check =
            |text: &str, millis: Option<u128>| assert_eq!(duration(text).map(|d| d.as_millis()), millis, "{text}");
        check("8s", Some(8_000));
        check("1m30s", Some(90_000));
        check("500ms", Some(500));
        check("1.5h", Some(5_400_000));
        check("0", Some(0));
        check("8", None);
        check("", None);
        check("8 s", None);
        check("s", None);
        assert_eq!(bytes("4MiB"), Some(4 << 20));
        assert_eq!(bytes("3 MB"), Some(3_000_000));
        assert_eq!(bytes("4 parsecs"), None);
        assert_eq!(zone("+05:45"), Some(20_700));
        assert_eq!(zone("-03"), Some(-10_800));
        assert_eq!(zone("CET"), None);
        assert_eq!(format!("{:?}", Secret::new("k".to_owned())), "[hidden]");
    }
}
