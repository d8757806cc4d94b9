//! What in a line may be a client's own words: the one place that knows. Whatever stands in them proves nothing.
//!
//! A line that quotes a request has them in any of its values; a value in quotes is one; a value that others follow stands
//! among them.

/// True for a line that quotes a request: it quotes a client, who may have chosen any words. Whatever separates the values
/// of an access log, a method and a path stand near each other in it.
pub(super) fn quotes_request(line: &str) -> bool {
    const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"];
    let bytes = line.as_bytes();
    let is_word = |at: usize, method: &str| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let after = bytes.get(at + method.len()..).unwrap_or_default();
        before.is_none_or(|byte| !byte.is_ascii_alphanumeric())
            && after.first().is_some_and(|byte| !byte.is_ascii_alphanumeric())
            && after.iter().take(12).any(|byte| *byte == b'/')
    };
    line.contains("HTTP/") || METHODS.iter().any(|method| line.match_indices(method).any(|(at, _)| is_word(at, method)))
}

/// True for a value that is followed by others: its first quote closes it, and more than brackets stands behind that. In a
/// line that somebody cites the first quote opens a value of the line's own (`request: "GET /`).
pub(super) fn ends_early(value: &str) -> bool {
    let is_escaped =
        |at: usize| value.as_bytes().iter().take(at).rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    let Some((at, _)) = value.match_indices('"').find(|(at, _)| !is_escaped(*at)) else { return false };
    let (before, after) = (value.get(..at).unwrap_or_default(), value.get(at + 1..).unwrap_or_default());
    let opens = (before.is_empty() || before.ends_with([' ', ':', '=', '(']))
        && after.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '[' | '<'));
    !opens && after.chars().any(|c| !matches!(c, '"' | '\'' | '}' | ']' | ')' | ',' | ' '))
}

/// True within quotes: what stands there is one value, a client's most likely. `\"` and `\x22` are no quotes.
pub(super) fn is_quoted(line: &str, at: usize) -> bool {
    let mut quoted = false;
    let mut bytes = line.as_bytes().iter().take(at);
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    quoted
}
