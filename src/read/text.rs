//! Untrusted text made fit to show.

use std::borrow::Cow;

/// The text with every control character, line break and invalid byte made visible (`\x1B`), so that no log line can
/// send an escape to a terminal or forge a line of ours.
pub fn printable(text: &str) -> String {
    shown(text).into_owned()
}

/// The same, copied only where something is not visible.
pub fn shown(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_visible(c) {
            out.push(c);
        } else if (c as u32) < 0x100 {
            out.push_str(&format!("\\x{:02X}", c as u32));
        } else {
            out.push_str(&format!("\\u{{{:04X}}}", c as u32));
        }
    }
    Cow::Owned(out)
}

/// Where the words stand. The searchers of libraries prepare themselves for longer than a line takes to look through.
pub(in crate::read) fn find(text: &str, words: &str) -> Option<usize> {
    let (text, words) = (text.as_bytes(), words.as_bytes());
    let first = *words.first()?;
    memchr::memchr_iter(first, text).find(|at| text.get(*at..).is_some_and(|rest| rest.starts_with(words)))
}

/// One bit of 128 for a name, by its ends and its length: of the hundred names that are asked for in a line, few are there,
/// and the bits of those say so at once.
pub fn mark(name: &[u8]) -> u128 {
    let end = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
    1 << ((end(name.first()) * 3 + end(name.last()) * 5 + name.len() * 7) % 128)
}

/// What stands before and behind the first of a byte of ASCII.
pub fn split_at(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(byte, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The same of the last.
pub fn rsplit_at(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = memchr::memrchr(byte, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The bytes as text. Nearly all are, which is told faster than where one is not.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// True for a text of printable ASCII, as nearly all are.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Characters of a quote, and of a value that is shown beside it.
pub const QUOTE_MAX: usize = 200;

/// The text as a quote shows it: [`printable`], then [`shortened`] to [`QUOTE_MAX`].
pub fn quotable(text: String) -> String {
    if text.len() <= QUOTE_MAX && is_plain(&text) { text } else { shortened(&shown(&text), QUOTE_MAX) }
}

/// False for what a terminal obeys instead of showing: control characters, line separators, marks of writing direction.
pub fn is_visible(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// At most `limit` characters of the text, with an ellipsis where something was cut.
pub fn shortened(text: &str, limit: usize) -> String {
    // No character has less than a byte.
    if text.len() <= limit || text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(limit.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// A text as a number: stable across runs and machines, which uids need; no defence against chosen collisions. Eight bytes
/// at a time, since each line of a failed request is hashed more than once.
pub fn hash64(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = 0x9e37_79b9_7f4a_7c15 ^ bytes.len() as u64;
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word));
    }
    let last = rest.iter().fold(0, |last, byte| last << 8 | u64::from(*byte));
    fold(hash ^ last)
}

/// The two halves of a product with an odd number of evenly spread bits, one upon the other.
pub fn fold(number: u64) -> u64 {
    let product = u128::from(number.wrapping_add(0xd6e8_feb8_6659_fd93)) * 0xa076_1d64_78bd_642f;
    (product as u64) ^ ((product >> 64) as u64)
}
