//! Signs that people and pages put around a line: the one list of them.

/// Before each line of what somebody cites; no line begins with one, so they come off whatever follows.
const CITED: [char; 7] = [' ', '\t', '>', '`', '*', '\u{feff}', '\u{3000}'];
/// Before a line as well, where a record begins behind them: marks of lists and comments, quotes, prompts, ellipses.
pub(super) const MARKS: [char; 24] = [
    '▶', '►', '▸', '❯', '→', '-', '#', '/', '•', '·', '+', '|', '$', '%', '\'', '"', '(', '[', '…', '.', '│', '┃', '¦',
    '\\',
];

/// True for any of them: what stands before a record and is nothing else says nothing.
pub(super) fn is_mark(c: char) -> bool {
    c.is_whitespace() || CITED.contains(&c) || MARKS.contains(&c)
}

/// The line without blanks, quote and list marks; `None` where it has none before it. The star of `*7 `, nginx's connection
/// where its head was cut off, stays.
pub(in crate::read) fn indent(line: &str) -> Option<(&'static str, &str)> {
    let trimmed = line.trim_start_matches(CITED);
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let is_connection = digits > 0 && trimmed.as_bytes().get(digits) == Some(&b' ');
    let starred = line.get(line.len().saturating_sub(trimmed.len() + 1)..).filter(|line| line.starts_with('*'));
    let rest = starred.filter(|_| is_connection).unwrap_or(trimmed);
    (rest.len() < line.len()).then(|| ("indent", rest.trim_end_matches(['`', '*'])))
}
