//! Text broken at the width of the terminal that shows it.

use std::io::{self, Write};

/// Narrower than that nothing is broken: there would be more breaks than words.
const WIDTH_MIN: usize = 40;
/// A line that goes on stands so much deeper than it began.
const HANG: usize = 4;
/// Longest line that is broken; what is longer goes through as it is.
const LINE_BYTES_MAX: usize = 64 << 10;

/// How wide the terminal is that standard output is shown on; `None` where it is shown on none.
pub(super) fn width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width.0)).filter(|width| *width >= WIDTH_MIN)
}

/// Breaks lines at spaces as they are written. What colours them takes no room; words longer than a line are not broken, so
/// that a path or an id can be copied.
pub(super) struct Wrapped<W: Write> {
    out: W,
    width: usize,
    line: Vec<u8>,
}

impl<W: Write> Wrapped<W> {
    /// Breaks at this width.
    pub(super) fn new(out: W, width: usize) -> Wrapped<W> {
        Wrapped { out, width, line: Vec::new() }
    }

    fn put(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        match std::str::from_utf8(&line) {
            Ok(text) => self.out.write_all(broken(text, self.width).as_bytes()),
            Err(_) => self.out.write_all(&line),
        }
    }
}

impl<W: Write> Write for Wrapped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") || self.line.len() > LINE_BYTES_MAX {
                self.put()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.put()?;
        self.out.flush()
    }
}

/// A line broken at its spaces.
fn broken(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let text = line.strip_suffix('\n').unwrap_or(line);
    let indent = text.chars().take_while(|c| *c == ' ').count();
    let hang = " ".repeat((indent + HANG).min(width / 2));
    let mut out = String::with_capacity(line.len() + line.len() / 8);
    let (mut column, mut has_word) = (0, false);
    for (index, word) in text.split(' ').enumerate() {
        let taken = visible(word);
        // Blanks at the beginning and between are kept where the line goes on.
        let fits = column + usize::from(index > 0) + taken <= width;
        if index > 0 && !fits && has_word && taken > 0 {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.push_str(&hang);
            column = hang.len();
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += taken;
        has_word |= taken > 0;
    }
    if line.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Characters of a word that are seen: none of `ESC [ ... m`.
fn visible(word: &str) -> usize {
    let mut count = 0;
    let mut in_escape = false;
    for c in word.chars() {
        match (in_escape, c) {
            (false, '\u{1b}') => in_escape = true,
            (true, 'm') => in_escape = false,
            (true, _) => {}
            (false, _) => count += 1,
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, width: usize, expected: &str) {
        let mut out = Vec::new();
        let mut wrapped = Wrapped::new(&mut out, width);
        wrapped.write_all(text.as_bytes()).and_then(|()| wrapped.flush()).expect("writes");
        assert_eq!(String::from_utf8_lossy(&out), expected, "{text}");
    }

    #[test]
    fn lines_are_broken_at_spaces() {
        check("one two three four\n", 40, "one two three four\n");
        check("  one two three four\n", 14, "  one two\n      three\n      four\n");
        check("one two three", 9, "one two\n    three");
        check("one aaaaaaaaaaaaaaaaaaaaaaaaa two\n", 12, "one\n    aaaaaaaaaaaaaaaaaaaaaaaaa\n    two\n");
        check("\u{1b}[1mone\u{1b}[0m two three\n", 13, "\u{1b}[1mone\u{1b}[0m two three\n");
        check("é é é é é é\n", 11, "é é é é é é\n");
        check("one two  three\n", 8, "one two\n    three\n");
        check("a\nb\n\n", 40, "a\nb\n\n");
        let spaced = "name      value that is long enough to be broken\n";
        check(spaced, 30, "name      value that is long\n    enough to be broken\n");
    }

    #[test]
    fn what_is_no_text_goes_through() {
        let mut out = Vec::new();
        let mut wrapped = Wrapped::new(&mut out, 40);
        wrapped.write_all(b"\xff\xfe \n").and_then(|()| wrapped.flush()).expect("writes");
        assert_eq!(out, b"\xff\xfe \n");
    }
}
