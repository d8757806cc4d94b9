//! A whole line as one quoted value of another: logfmt, Fluent Bit's own output, a CSV export, a list of strings.
//!
//! A value counts only where what stands before it is the shipper's own: a quoted value of an access log is a client's.

use super::prefix::{METHODS, begins_record};
use crate::read::client::ends_early;
use crate::read::envelope::is_enveloped;

/// Bytes before the value: a few stamps, names and levels.
const FRONT_BYTES_MAX: usize = 300;

/// Finds the value: its text behind the opening quote.
type Way = fn(&str) -> Option<&str>;

/// The line inside, and what it was taken out of.
pub(super) fn take_out(line: &str) -> Option<(&'static str, String)> {
    if let Some(inner) = line.strip_prefix("Body: Str(").and_then(|rest| rest.strip_suffix(')')) {
        // The collector's debug exporter; nothing is escaped in it.
        return begins_record(inner).then(|| ("otel_debug", inner.to_owned()));
    }
    let ways: [(&'static str, Way); 5] =
        [("logfmt", logfmt), ("fluent_bit", fluent_bit), ("csv", csv), ("list", list), ("quoted", whole)];
    ways.iter().find_map(|(name, way)| {
        let value = way(line).filter(|value| *name == "csv" || !ends_early(value))?;
        let inner = unquoted(value, *name == "csv")?;
        // Of a quote that nothing closes the end is the line's own.
        let closed = *name != "quoted" || inner.matches('"').count() % 2 == 0;
        (closed && (begins_record(&inner) || is_enveloped(&inner))).then_some((*name, inner))
    })
}

/// `time=2026-03-04T09:15:02Z level=error msg="`.
fn logfmt(line: &str) -> Option<&str> {
    let (front, value) = ["msg=\"", "message=\"", "log=\"", "line=\""].iter().find_map(|key| line.split_once(key))?;
    let is_pair = |word: &str| {
        let key = word.split_once('=').map_or("", |(key, _)| key);
        matches!(
            key,
            "time" | "ts" | "timestamp" | "level" | "lvl" | "stream" | "caller" | "container" | "pod" | "host"
        )
    };
    (front.len() <= FRONT_BYTES_MAX && !front.is_empty() && front.split_whitespace().all(is_pair)).then_some(value)
}

/// `[0] app: [1772615702.123456789, {"log"=>"`.
fn fluent_bit(line: &str) -> Option<&str> {
    let (front, value) = ["{\"log\"=>\"", "{\"message\"=>\""].iter().find_map(|key| line.split_once(key))?;
    (front.len() <= FRONT_BYTES_MAX && front.starts_with('[') && !front.contains('"')).then_some(value)
}

/// `"2026-03-04T09:15:02.123Z","web-1","web","`, with or without a number of its own before it, or without quotes around all
/// but the last of the values, which is the line.
fn csv(line: &str) -> Option<&str> {
    let numbered = line.split_once(',').filter(|(number, _)| is_number(number));
    let line = numbered.map_or(line, |(_, rest)| rest);
    let (first, value) = match line.strip_prefix('"') {
        Some(first) => first.rsplit_once("\",\"")?,
        None => line.split_once(",\"")?,
    };
    let separator = if line.starts_with('"') { "\",\"" } else { "," };
    let bytes = first.as_bytes();
    let is_dated = bytes.first().is_some_and(u8::is_ascii_digit)
        && (bytes.get(4) == Some(&b'-') || bytes.get(2) == Some(&b'/') && bytes.get(5) == Some(&b'/'));
    // A status, an address or a request among the values: an access log, whose last value is a client's.
    let is_of_request = |value: &str| is_number(value) || value.starts_with('/') || METHODS.contains(&value);
    let of_request = first.split(separator).skip(1).any(is_of_request) || first.contains("HTTP/");
    let is_export = is_dated && !of_request && first.len() <= FRONT_BYTES_MAX && !first.contains("\"\"");
    is_export.then_some(value)
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
}

/// `- "`.
fn list(line: &str) -> Option<&str> {
    line.strip_prefix("- \"")
}

/// `"` before a whole line, as in an array of strings or where somebody cites one.
fn whole(line: &str) -> Option<&str> {
    line.strip_prefix('"')
}

/// The text up to the quote that closes it, unescaped.
fn unquoted(value: &str, doubled: bool) -> Option<String> {
    let end = value.rfind('"')?;
    let (text, after) = value.split_at_checked(end)?;
    if !after.chars().all(|c| matches!(c, '"' | '}' | ']' | ',' | ' ')) {
        return None;
    }
    let text = if doubled { text.replace("\"\"", "\"") } else { text.replace("\\\"", "\"").replace("\\\\", "\\") };
    Some(text.trim_end_matches("\\n").to_owned())
}

#[cfg(test)]
mod tests {
    fn check(line: &str, layer: &str, inner: &str) {
        let peeled = crate::read::peel::peel(line);
        assert_eq!((peeled.layers.join(" ").as_str(), peeled.bare.as_ref()), (layer, inner), "{line}");
    }

    #[test]
    fn a_line_as_a_value() {
        let line = "[2026-03-04 09:15:02 +0000] [7] [ERROR] Error handling request /a \"b\"";
        let escaped = line.replace('"', "\\\"");
        check(&format!("time=2026-03-04T09:15:02Z level=error msg=\"{escaped}\""), "logfmt", line);
        check(&format!("[0] web: [1772615702.1, {{\"log\"=>\"{escaped}\\n\"}}]"), "fluent_bit", line);
        check(&format!("\"2026-03-04T09:15:02Z\",\"web-1\",\"{}\"", line.replace('"', "\"\"")), "csv", line);
        check(&format!("- \"{escaped}\""), "list", line);
        check(&format!("    \"{escaped}\","), "indent quoted", line);
        check(&format!("\"{line}\""), "quoted", line);
        check(&format!("\"web-1 | {line}\""), "quoted compose", line);
    }

    #[test]
    fn the_value_of_a_client_is_none() {
        let forged = "[2026-03-04 09:15:02 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:31)";
        for line in [
            format!("198.51.100.9 - - [04/Mar/2026:09:15:02 +0000] status=200 msg=\"{forged}\""),
            format!("level=info ua=x msg=\"{forged}\""),
            format!("198.51.100.9 [{{\"log\"=>\"{forged}\"}}]"),
        ] {
            let peeled = crate::read::peel::peel(&line);
            assert!(!peeled.bare.starts_with("[2026"), "{line}: {:?}", peeled.layers);
        }
    }
}
