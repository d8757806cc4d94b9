//! Does a line concern us at all? Most lines of most streams are other programs' and prove nothing; they are let go by
//! their bytes, before anything is allocated.
//!
//! ```text
//!  INFO shop.views order 4711 placed             no telltale word: not ours
//!  web-1 | {"msg":"WORKER TIMEOUT (pid:31)"}     a telltale word of Gunicorn's: read it
//! ```
//!
//! Each format declares its telltale words in its own file ([`super::formats::table`]). They are searched in the line as
//! it came, so no envelope is peeled for it: words are chosen that no envelope changes (no quotes, no slashes). The sniff
//! only ever saves work: a line that it lets go is one that no format would have read. What it takes up may still be
//! nobody's.

use super::formats::table;
use aho_corasick::packed::{Config, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, Span};
use std::sync::LazyLock;

/// Where a telltale word stands in its line.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// What stands before the word: the last bytes of it.
    pub before: &'a [u8],
    /// What stands behind it: the first bytes.
    pub after: &'a [u8],
}

/// What a telltale word says about its line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// Nothing: the word has another meaning here.
    #[default]
    None,
    /// The line may be one of an access log, whose status decides whether it counts.
    Request,
    /// The line must be read.
    Ours,
}

/// A word without which no line is in the format that declares it.
#[derive(Clone, Copy, Debug)]
pub struct Telltale {
    /// At least four bytes, the first four as rare as can be had in other programs' lines.
    pub word: &'static str,
    /// Looks at what stands around it: words of a language are common, and only some of their neighbours are ours.
    pub says: fn(Around<'_>) -> Sign,
}

/// A word that is telltale wherever it stands.
pub const fn word(word: &'static str) -> Telltale {
    Telltale { word, says: |_| Sign::Ours }
}

/// A word that is telltale beside certain others only.
pub const fn near(word: &'static str, says: fn(Around<'_>) -> Sign) -> Telltale {
    Telltale { word, says }
}

/// A sign only if it holds.
pub fn ours_if(holds: bool) -> Sign {
    if holds { Sign::Ours } else { Sign::None }
}

/// What stands at the beginning of a physical line: its envelope (300 bytes at most), the head of its record (160) and
/// the first words of its message. A telltale word stands in it; long lines cost no more than that.
const FRONT_BYTES: usize = 512;
/// The same of a long value in an object: the object is its envelope, so what stands there is the head of a record and the
/// first words of its message.
const VALUE_BYTES: usize = 256;
/// Bytes beside a word that its meaning is read from: a line of nothing but such words stays cheap.
const NEAR_BYTES: usize = 256;
/// Bytes in which an object begins that stands behind another envelope.
const OBJECT_WITHIN: usize = 300;

/// The telltale words of all formats. One searcher takes 32 words at the speed of a few bytes a cycle, so there are two. A
/// word that several declare is searched once, so it costs nothing to declare one that stands already.
struct Words {
    anchors: Vec<Anchor>,
    searchers: Vec<(usize, Search)>,
}

/// A word, and what each who declared it sees in it.
#[derive(Clone, Debug)]
struct Anchor {
    word: &'static str,
    says: Vec<fn(Around<'_>) -> Sign>,
}

enum Search {
    Packed(Searcher),
    /// Where the processor has no vectors for it.
    Automaton(AhoCorasick),
}

/// Words of one searcher: up to here it uses its fast form.
const WORDS_OF_A_SEARCHER: usize = 32;
/// Buckets of such a searcher: the words of one are looked for together.
const BUCKETS: usize = 8;

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut anchors: Vec<Anchor> = Vec::new();
    for telltale in table::ROWS.iter().flat_map(|row| row.telltales).flat_map(|words| words.iter()) {
        match anchors.iter_mut().find(|anchor| anchor.word == telltale.word) {
            Some(anchor) => anchor.says.push(telltale.says),
            None => anchors.push(Anchor { word: telltale.word, says: vec![telltale.says] }),
        }
    }
    let sorted = alike_apart(anchors);
    let searchers = sorted.chunks(WORDS_OF_A_SEARCHER).enumerate().filter_map(|(index, words)| {
        let words = words.iter().map(|anchor| anchor.word);
        let packed = Config::new().match_kind(MatchKind::LeftmostFirst).builder().extend(words.clone()).build();
        let search = packed.map(Search::Packed).or_else(|| AhoCorasick::new(words).ok().map(Search::Automaton))?;
        Some((index * WORDS_OF_A_SEARCHER, search))
    });
    Words { searchers: searchers.collect(), anchors: sorted.clone() }
});

/// Orders words so that those of a kind (capitals, small letters, signs) come into one bucket of a searcher: a bucket stops
/// at any place where the bytes of different words of it are mixed.
fn alike_apart(mut anchors: Vec<Anchor>) -> Vec<Anchor> {
    anchors.sort_by_key(|anchor| {
        let mut kinds = [0; 4];
        for (kind, byte) in kinds.iter_mut().zip(anchor.word.bytes()) {
            *kind = byte >> 4;
        }
        (kinds, anchor.word)
    });
    let searchers = anchors.len().div_ceil(WORDS_OF_A_SEARCHER).max(1);
    let of_a_bucket = anchors.len().div_ceil(searchers * BUCKETS).max(1);
    // The searcher deals its words out to its buckets in turn.
    let mut dealt = Vec::with_capacity(anchors.len());
    for words in anchors.chunks(of_a_bucket * BUCKETS) {
        for turn in 0..of_a_bucket {
            dealt.extend((0..BUCKETS).filter_map(|bucket| words.get(bucket * of_a_bucket + turn)).cloned());
        }
    }
    dealt
}

impl Words {
    fn sign(&self, text: &[u8]) -> Sign {
        let mut sign = Sign::None;
        for (first, search) in &self.searchers {
            let mut from = 0;
            while let Some((word, start, end)) = search.find(text, from) {
                let before = text.get(start.saturating_sub(NEAR_BYTES)..start).unwrap_or_default();
                let after = text.get(end..text.len().min(end + NEAR_BYTES)).unwrap_or_default();
                let says = self.anchors.get(first + word).map_or(&[][..], |anchor| &anchor.says);
                sign = says.iter().fold(sign, |sign, says| sign.max(says(Around { before, after })));
                if sign == Sign::Ours {
                    return sign;
                }
                // Words may overlap, and the next may be the one that is meant.
                from = start + 1;
            }
        }
        sign
    }
}

impl Search {
    fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize, usize)> {
        let span = Span::from(from.min(text.len())..text.len());
        let found = match self {
            Search::Packed(searcher) => searcher.find_in(text, span)?,
            Search::Automaton(words) => words.find(aho_corasick::Input::new(text).span(span))?,
        };
        Some((found.pattern().as_usize(), found.start(), found.end()))
    }
}

/// What the bytes of a record say about it.
pub fn sniff(record: &[u8]) -> Sign {
    // The usual record is one line without escapes: one look over all of its bytes says so.
    if memchr::memchr2(b'\x1b', b'\n', record).is_none() {
        return of_line(record);
    }
    if memchr::memchr(b'\x1b', record).is_some() {
        // Terminal escapes stand within words.
        return of_record(&without_escapes(record));
    }
    of_record(record)
}

/// True where a telltale word stands, so that the text is worth being read.
pub fn is_ours(text: &str) -> bool {
    sniff(text.as_bytes()) == Sign::Ours
}

fn of_record(mut record: &[u8]) -> Sign {
    let mut sign = Sign::None;
    while !record.is_empty() && sign != Sign::Ours {
        let end = memchr::memchr(b'\n', record).unwrap_or(record.len());
        sign = sign.max(of_line(record.get(..end).unwrap_or_default()));
        record = record.get(end + 1..).unwrap_or_default();
    }
    sign
}

fn of_line(line: &[u8]) -> Sign {
    if is_object(line) {
        return of_object(line);
    }
    of_text(line.get(..FRONT_BYTES).unwrap_or(line), line)
}

/// True for an object, and for one behind another envelope.
fn is_object(line: &[u8]) -> bool {
    object_at(line).is_some()
}

/// Where an object begins, at the front of the line or behind another envelope.
pub(super) fn object_at(line: &[u8]) -> Option<usize> {
    let front = line.get(..OBJECT_WITHIN).unwrap_or(line);
    // Within a string its quotes are escaped.
    let opens = |at: usize| matches!(front.get(at + 1..), Some([b'"', ..] | [b'\\', b'"', ..]));
    if front.first() == Some(&b'{') { Some(0) } else { memchr::memchr_iter(b'{', front).find(|at| opens(*at)) }
}

fn of_text(front: &[u8], line: &[u8]) -> Sign {
    let by_shape = table::ROWS.iter().filter_map(|row| row.by_shape).map(|says| says(front, line)).max();
    match by_shape.unwrap_or_default() {
        Sign::Ours => Sign::Ours,
        sign => sign.max(WORDS.sign(front)),
    }
}

/// An object: all of it but what is past the front of a long value, which is another line.
fn of_object(line: &[u8]) -> Sign {
    let part = |from: usize, to: usize| line.get(from..to).map_or(Sign::None, |part| of_text(part, part));
    if line.len() <= 2 * FRONT_BYTES {
        return part(0, line.len());
    }
    let mut sign = Sign::None;
    let (mut from, mut at) = (0, 0);
    while let Some(open) = line.get(at..).and_then(|rest| memchr::memchr(b'"', rest)).map(|found| at + found) {
        let close = end_of_string(line, open + 1);
        if close - open > VALUE_BYTES {
            sign = sign.max(part(from, open + VALUE_BYTES));
            from = close.saturating_sub(LAST_BYTES);
        }
        at = close + 1;
    }
    sign.max(part(from, line.len()))
}

/// The last bytes of a value, where the last line of a traceback may stand.
const LAST_BYTES: usize = 64;

/// Where the string ends that begins at `from`; the end of the line where nothing closes it.
fn end_of_string(line: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(found) = line.get(at..).and_then(|rest| memchr::memchr(b'"', rest)) {
        let quote = at + found;
        let escapes = line.get(from..quote).unwrap_or_default().iter().rev().take_while(|byte| **byte == b'\\').count();
        if escapes.is_multiple_of(2) {
            return quote;
        }
        at = quote + 1;
    }
    line.len()
}

/// The text without terminal escapes (ECMA-48 control sequences).
fn without_escapes(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\x1b', rest) {
        plain.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(sequence) = rest.strip_prefix(b"[") {
            let end = sequence.iter().position(|byte| (b'@'..=b'~').contains(byte)).map_or(sequence.len(), |at| at + 1);
            rest = sequence.get(end..).unwrap_or_default();
        }
    }
    plain.extend_from_slice(rest);
    plain
}

#[cfg(test)]
mod tests;
