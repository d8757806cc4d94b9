//! What a page, a terminal or another program did to the whole of a line: its signs are written otherwise, or blanks fill
//! it up.

use crate::read::text::find;

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
    let bytes = line.as_bytes();
    let escaped = memchr::memchr_iter(b'\\', bytes).filter(|at| bytes.get(at + 1) == Some(&b'"')).count();
    (escaped > 0 && escaped == line.matches('"').count() && !line.contains("\\\\\""))
        .then(|| ("escaped", line.replace("\\\"", "\"").replace("\\t", "\t")))
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
