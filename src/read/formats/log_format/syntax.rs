//! The text of a `log_format` directive: words and quotes as `src/core/ngx_conf_file.c` reads them
//! (`ngx_conf_read_token`), variables as `src/http/modules/ngx_http_log_module.c` does (`ngx_http_log_compile_format`).

use std::borrow::Cow;

/// Longest text of a format. The longest seen in the wild has 4 KiB.
const FORMAT_BYTES_MAX: usize = 64 * 1024;
/// Variables of one format; the most seen in the wild are 60.
const VARIABLES_MAX: usize = 512;

/// How nginx escapes values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// `\xHH` for quotes, backslashes, control characters and bytes above 0x7e; `-` for what has no value.
    Default,
    /// As in JSON strings; nothing for what has no value. Bytes above 0x7e stay raw.
    Json,
    /// Nothing is escaped.
    None,
    /// Gunicorn's: `\"` for a quote and nothing else (`gunicorn/glogging.py`, `SafeAtoms`).
    Gunicorn,
}

impl Escape {
    /// The value that was written. Invalid UTF-8 becomes U+FFFD.
    pub fn undo(self, raw: &[u8]) -> Cow<'_, str> {
        if self == Escape::None || !raw.contains(&b'\\') {
            return String::from_utf8_lossy(raw);
        }
        let mut bytes = Vec::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            if *first != b'\\' {
                bytes.push(*first);
                continue;
            }
            let taken = match self {
                Escape::Default => undo_hex(after, &mut bytes),
                Escape::Json => undo_json(after, &mut bytes).or_else(|| undo_hex(after, &mut bytes)),
                Escape::Gunicorn => (after.first() == Some(&b'"')).then(|| {
                    bytes.push(b'"');
                    1
                }),
                Escape::None => None,
            };
            match taken {
                Some(count) => rest = after.get(count..).unwrap_or_default(),
                None => bytes.push(b'\\'),
            }
        }
        Cow::Owned(
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        )
    }
}

/// `xHH` after the backslash; how many bytes it took.
fn undo_hex(after: &[u8], bytes: &mut Vec<u8>) -> Option<usize> {
    let [b'x', high, low, ..] = after else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
    Some(3)
}

/// One escape of JSON after the backslash; how many bytes it took.
fn undo_json(after: &[u8], bytes: &mut Vec<u8>) -> Option<usize> {
    let plain = match after.first()? {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 0x08,
        b'f' => 0x0c,
        byte @ (b'"' | b'\\' | b'/') => *byte,
        b'u' => {
            let unit = hex4(after.get(1..5)?)?;
            let (decoded, taken) = match (unit, after.get(5..7), after.get(7..11).and_then(hex4)) {
                (0xD800..=0xDBFF, Some(b"\\u"), Some(low @ 0xDC00..=0xDFFF)) => {
                    (0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), 11)
                }
                _ => (unit, 5),
            };
            let character = char::from_u32(decoded).unwrap_or(char::REPLACEMENT_CHARACTER);
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(taken);
        }
        _ => return None,
    };
    bytes.push(plain);
    Some(1)
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, byte| Some(value * 16 + char::from(*byte).to_digit(16)?))
}

/// Where in the text of a directive something stands; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line of the text.
    pub line: usize,
    /// Column in that line.
    pub column: usize,
}

impl Position {
    fn of(text: &str, offset: usize) -> Position {
        let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let start = memchr::memrchr(b'\n', before).map_or(0, |index| index + 1);
        let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count() + 1;
        Position { line, column }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "line {}, column {}", self.line, self.column)
    }
}

/// Why the text of a format cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum LogFormatError {
    #[error(
        "the format is empty: give the text of a log_format directive, such as '$remote_addr \"$request\" $status'"
    )]
    Empty,
    #[error("the format has no variable: nginx's variables begin with $, Gunicorn's look like %(h)s")]
    NoVariable,
    #[error("the format is longer than {FORMAT_BYTES_MAX} bytes or has more than {VARIABLES_MAX} variables")]
    TooLong,
    #[error("{at}: the quote {quote} is not closed")]
    UnclosedQuote { at: Position, quote: char },
    #[error("{at}: the brace of ${{...}} is not closed")]
    UnclosedBrace { at: Position },
    #[error("{at}: no name of a variable after $; nginx has no escape for a dollar sign")]
    NoName { at: Position },
    #[error("{at}: unknown escape type \"{word}\": use default, json or none")]
    UnknownEscape { at: Position, word: String },
    #[error("{at}: more text after the semicolon; give one log_format directive")]
    TextAfterEnd { at: Position },
    #[error("{at}: the format of a log_format directive is missing after its name")]
    NoFormat { at: Position },
    #[error("{at}: no name of a field; Gunicorn's fields look like %(h)s or %({{x-request-id}}i)s")]
    NoField { at: Position },
}

impl LogFormatError {
    pub(in crate::read::formats) fn no_field(text: &str, offset: usize) -> LogFormatError {
        LogFormatError::NoField { at: Position::of(text, offset) }
    }
}

/// A format with its quotes joined.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) escape: Escape,
    bytes: Vec<u8>,
    /// For each byte where it stands in the text, for messages.
    offsets: Vec<usize>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Vec<u8>),
    Variable(String),
}

/// One word of a directive.
struct Word {
    at: usize,
    quote: Option<u8>,
    bytes: Vec<u8>,
    offsets: Vec<usize>,
}

impl Word {
    fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

pub(super) fn read(text: &str) -> Result<Source, LogFormatError> {
    if text.len() > FORMAT_BYTES_MAX {
        return Err(LogFormatError::TooLong);
    }
    if text.trim().is_empty() {
        return Err(LogFormatError::Empty);
    }
    let source = if is_directive(text) { directive(text)? } else { bare(text) };
    if source.bytes.is_empty() { Err(LogFormatError::Empty) } else { Ok(source) }
}

/// True for a directive or the rest of one; false for the text of a format, in which blanks and quotes stand for
/// themselves.
fn is_directive(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some(comment) = rest.strip_prefix('#') {
        rest = comment.split_once('\n').map_or("", |(_, after)| after).trim_start();
    }
    if rest.strip_prefix("log_format").is_some_and(|after| after.starts_with(char::is_whitespace)) {
        return true;
    }
    // `name escape=json '...'` and its parts.
    for _ in 0..2 {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let plain = !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'='));
        if plain && (after.trim_start().starts_with(['\'', '"']) || after.trim_start().starts_with("escape=")) {
            let quoted = after.trim_start();
            if quoted.starts_with('"') && !word.starts_with("escape=") {
                // `host "$request"` is a format.
                return false;
            }
            rest = quoted;
        }
    }
    let Ok(words) = words(rest, 0) else { return false };
    let Some(first) = words.0.first() else { return false };
    match first.quote {
        Some(b'\'') => words.0.iter().all(|word| word.quote.is_some()),
        Some(_) => words.0.len() == 1 && !rest.contains("\\\""),
        None => false,
    }
}

fn bare(text: &str) -> Source {
    let end = text.trim_end_matches(['\n', '\r']).len();
    let bytes = text.as_bytes().get(..end).unwrap_or_default().to_vec();
    // Whoever writes JSON has `escape=json`, or no quotes in the values.
    let escape = if text.trim_start().starts_with('{') { Escape::Json } else { Escape::Default };
    Source { name: String::new(), escape, offsets: (0..bytes.len()).collect(), bytes }
}

fn directive(text: &str) -> Result<Source, LogFormatError> {
    let (words, end) = words(text, 0)?;
    if let Some(end) = end {
        let mut rest = text.get(end..).unwrap_or_default();
        loop {
            rest = rest.trim_start();
            let Some(comment) = rest.strip_prefix('#') else { break };
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        }
        if !rest.is_empty() {
            return Err(LogFormatError::TextAfterEnd { at: Position::of(text, text.len() - rest.len()) });
        }
    }
    let mut words = words.into_iter().peekable();
    let mut name = String::new();
    let had_keyword = words.next_if(|word| word.quote.is_none() && word.bytes == b"log_format").is_some();
    let is_name = |word: &Word| {
        had_keyword || (word.quote.is_none() && !word.bytes.starts_with(b"escape=") && !word.bytes.contains(&b'$'))
    };
    if let Some(word) = words.next_if(is_name) {
        name = word.text().into_owned();
    }
    let mut escape = Escape::Default;
    if let Some(word) = words.next_if(|word| word.bytes.starts_with(b"escape=")) {
        escape = match word.text().strip_prefix("escape=") {
            Some("default") => Escape::Default,
            Some("json") => Escape::Json,
            Some("none") => Escape::None,
            other => {
                let word_text = other.unwrap_or_default().to_owned();
                return Err(LogFormatError::UnknownEscape { at: Position::of(text, word.at), word: word_text });
            }
        };
    }
    let mut source = Source { name, escape, bytes: Vec::new(), offsets: Vec::new() };
    if words.peek().is_none() {
        return Err(LogFormatError::NoFormat { at: Position::of(text, text.trim_end().len()) });
    }
    for word in words {
        source.bytes.extend(word.bytes);
        source.offsets.extend(word.offsets);
    }
    Ok(source)
}

/// Words up to the semicolon or the end, and where the text goes on after the semicolon. A quote directly after a
/// closing quote, which nginx refuses, begins the next word: people paste such formats.
fn words(text: &str, from: usize) -> Result<(Vec<Word>, Option<usize>), LogFormatError> {
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b';' => return Ok((words, Some(at + 1))),
            b'#' => {
                at = memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default()).map_or(bytes.len(), |end| at + end);
            }
            quote @ (b'"' | b'\'') => {
                let (word, end) = word(bytes, at, Some(*quote)).ok_or_else(|| LogFormatError::UnclosedQuote {
                    at: Position::of(text, at),
                    quote: char::from(*quote),
                })?;
                words.push(word);
                at = end;
            }
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => {
                let Some((word, end)) = word(bytes, at, None) else { break };
                words.push(word);
                at = end;
            }
        }
    }
    Ok((words, None))
}

/// One word and where the text goes on; `None` when its quote is not closed.
fn word(bytes: &[u8], at: usize, quote: Option<u8>) -> Option<(Word, usize)> {
    let mut word = Word { at, quote, bytes: Vec::new(), offsets: Vec::new() };
    let mut index = if quote.is_some() { at + 1 } else { at };
    while let Some(byte) = bytes.get(index) {
        match (quote, byte) {
            (Some(quote), byte) if *byte == quote => return Some((word, index + 1)),
            (None, b';') => return Some((word, index)),
            (None, byte) if byte.is_ascii_whitespace() => return Some((word, index)),
            (_, b'\\') => {
                let plain = match bytes.get(index + 1) {
                    Some(b'n') => Some(b'\n'),
                    Some(b't') => Some(b'\t'),
                    Some(b'r') => Some(b'\r'),
                    Some(byte @ (b'"' | b'\'' | b'\\')) => Some(*byte),
                    _ => None,
                };
                word.bytes.push(plain.unwrap_or(b'\\'));
                word.offsets.push(index);
                index += if plain.is_some() { 2 } else { 1 };
            }
            (_, byte) => {
                word.bytes.push(*byte);
                word.offsets.push(index);
                index += 1;
            }
        }
    }
    quote.is_none().then_some((word, index))
}

impl Source {
    /// Literals and variables. `text` is what was read, for the positions of messages.
    pub(super) fn pieces(&self, text: &str) -> Result<Vec<Piece>, LogFormatError> {
        let position = |index: usize| Position::of(text, self.offsets.get(index).copied().unwrap_or(text.len()));
        let mut pieces = Vec::new();
        let mut rest = self.bytes.as_slice();
        let mut variables = 0;
        while !rest.is_empty() {
            let start = self.bytes.len() - rest.len();
            let end = memchr::memchr(b'$', rest).unwrap_or(rest.len());
            let (literal, after) = rest.split_at(end);
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_vec()));
            }
            let Some(after) = after.get(1..) else { break };
            let dollar = start + end;
            let (name, next) = if let Some(inner) = after.strip_prefix(b"{") {
                let close = memchr::memchr(b'}', inner)
                    .ok_or_else(|| LogFormatError::UnclosedBrace { at: position(dollar) })?;
                (inner.get(..close), inner.get(close + 1..))
            } else {
                let length = after.iter().take_while(|byte| is_name_byte(**byte)).count();
                (after.get(..length), after.get(length..))
            };
            let name = name.filter(|name| !name.is_empty() && name.iter().all(|byte| is_name_byte(*byte)));
            let name = name.ok_or_else(|| LogFormatError::NoName { at: position(dollar) })?;
            pieces.push(Piece::Variable(String::from_utf8_lossy(name).into_owned()));
            variables += 1;
            rest = next.unwrap_or_default();
        }
        match variables {
            0 => Err(LogFormatError::NoVariable),
            1..=VARIABLES_MAX => Ok(pieces),
            _ => Err(LogFormatError::TooLong),
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
