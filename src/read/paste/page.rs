//! What a page, a terminal or another program did to the whole of a line: its signs are written otherwise, or blanks fill
//! it up.

use crate::read::text::find;

/// How programs write the escape character where they do not write it raw: `cat -v`, JSON, C, rsyslog.
const ESCAPES: [&str; 7] = ["^[", "\\u001b", "\\u001B", "\\x1b", "\\033", "#033", "\\e"];

/// The line without the colours of a terminal whose escape character was written otherwise, or lost.
pub(in crate::read) fn without_colours(line: &str) -> Option<(&'static str, String)> {
    let is_coloured = |rest: &str| colour(rest).is_some();
    let starts = || line.match_indices('[').filter(|(at, _)| line.get(*at..).is_some_and(is_coloured));
    // One that is lost is told by the end of the colour: `[0m`.
    let is_lost =
        starts().any(|(at, _)| line.get(at..).is_some_and(|rest| rest.starts_with("[0m") || rest.starts_with("[m")));
    let mut plain = String::new();
    let mut from = 0;
    for (at, _) in starts() {
        let before = line.get(from..at)?;
        let escape = ESCAPES.iter().find_map(|escape| before.strip_suffix(escape));
        if escape.is_none() && !is_lost {
            continue;
        }
        plain.push_str(escape.unwrap_or(before));
        from = at + colour(line.get(at..)?)?;
    }
    plain.push_str(line.get(from..)?);
    (from > 0).then_some(("ansi", plain))
}

/// Bytes of `[31m`, `[01;31m`, `[K`.
fn colour(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('[')?;
    let length = inside.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').take(12).count();
    let ends = matches!(inside.as_bytes().get(length), Some(b'm' | b'K'));
    ends.then_some(length + 2)
}

/// Blanks that no program writes into a line: a terminal filled its width with them where it wrapped one.
const PADDING: &str = "                                        ";

/// The line as it was before a terminal wrapped it; `None` where none did.
pub(in crate::read) fn without_padding(line: &str) -> Option<(&'static str, String)> {
    if !may_be_padded(line) || !line.trim().contains(PADDING) {
        return None;
    }
    let body = line.trim_start();
    let mut plain = line.get(..line.len() - body.len()).unwrap_or_default().to_owned();
    let mut rest = body;
    while let Some(at) = rest.find(PADDING) {
        plain.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default().trim_start();
    }
    plain.push_str(rest);
    Some(("padding", plain))
}

/// Of a row of so many blanks one stands at a place that is a multiple of their number.
fn may_be_padded(line: &str) -> bool {
    line.as_bytes().iter().step_by(PADDING.len()).any(|byte| *byte == b' ')
}

/// The line with blanks where a page has blanks that break no line; `None` where it has none.
pub(in crate::read) fn with_plain_blanks(line: &[u8]) -> Option<Vec<u8>> {
    const NO_BREAK: &[u8] = "\u{a0}".as_bytes();
    let mut at = memchr::memmem::find(line, NO_BREAK)?;
    let mut plain = Vec::with_capacity(line.len());
    let mut rest = line;
    loop {
        plain.extend_from_slice(rest.get(..at)?);
        plain.push(b' ');
        rest = rest.get(at + NO_BREAK.len()..)?;
        let Some(next) = memchr::memmem::find(rest, NO_BREAK) else { break };
        at = next;
    }
    plain.extend_from_slice(rest);
    Some(plain)
}

/// A line that was quoted by another program or page: every quote is `\"` or `&quot;`, or typographic.
pub(in crate::read) fn without_escapes(line: &str) -> Option<(&'static str, String)> {
    if (find(line, "&quot;").is_some() && !line.contains('"')) || opening_tag(line.trim_start()).is_some() {
        return Some(("html", without_html(line)));
    }
    if !line.is_ascii() && (line.contains('\u{a0}') || line.contains('\u{202f}')) {
        return Some(("no-break", line.replace(['\u{a0}', '\u{202f}'], " ")));
    }
    if !line.is_ascii() && !line.contains('"') && line.contains('\u{201d}') {
        return Some(("typographic", line.replace(['\u{201c}', '\u{201d}'], "\"")));
    }
    if let Some(plain) = without_markup(line) {
        return Some(("markup", plain));
    }
    let bytes = line.as_bytes();
    let escaped = memchr::memchr_iter(b'\\', bytes).filter(|at| bytes.get(at + 1) == Some(&b'"')).count();
    (escaped > 0 && escaped == line.matches('"').count() && !line.contains("\\\\\""))
        .then(|| ("escaped", line.replace("\\\"", "\"").replace("\\t", "\t")))
}

/// A line in which Markdown or Jira escaped the brackets: a pair of them, as heads have.
fn without_markup(line: &str) -> Option<String> {
    const ESCAPED: [char; 8] = ['[', ']', '{', '}', '_', '*', '#', '|'];
    let (_, behind) = line.split_once("\\[")?;
    let (inside, _) = behind.split_once(']')?;
    if inside.contains(['[', ']', '"']) {
        return None;
    }
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        if !after.starts_with(ESCAPED) {
            plain.push('\\');
        }
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}

/// What follows `<p>` and the like.
fn opening_tag(text: &str) -> Option<&str> {
    ["<p>", "<li>", "<pre>", "<code>", "<br>"].iter().find_map(|tag| text.strip_prefix(tag))
}

fn without_html(line: &str) -> String {
    let mut plain = line.trim();
    while let Some(rest) = opening_tag(plain) {
        plain = rest;
    }
    while let Some(rest) = ["</p>", "</li>", "</pre>", "</code>", "<br>"].iter().find_map(|tag| plain.strip_suffix(tag))
    {
        plain = rest;
    }
    let plain = plain.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'");
    plain.replace("&amp;", "&")
}
