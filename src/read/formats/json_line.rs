//! One JSON object on a line, read leniently: `escape=json` leaves unquoted values empty (`"urt":,`) and bytes above 0x7f
//! raw, and hand-made formats write `-` or lists without quotes (`"urt":0.1, 0.2,`).

use super::log_format::{Escape, quote};
use crate::read::sniff::{Around, Sign, Telltale, near};
use crate::read::text::mark;
use aho_corasick::AhoCorasick;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::LazyLock;

/// Keys of a status that have no such word in them; the object may be text within another.
pub const TELLTALES: &[Telltale] = &[
    near("ode\"", keyed_status),
    near("ode\\", keyed_status),
    near("nse\"", keyed_status),
    near("nse\\", keyed_status),
    near("\"st\"", keyed_status),
];

/// True for an object that may hold a request: under a name of its own, or as a quoted value of a text.
pub(super) fn may_have_request(line: &[u8]) -> bool {
    static NAMES: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        // `\" 502` and `/1.1\"` close the quoted request of a text.
        let names = ["equest", "\"req", "ethod", "verb", "- - [", "\\\" "];
        AhoCorasick::new(names).ok()
    });
    NAMES.as_ref().is_none_or(|names| names.is_match(line))
}

fn keyed_status(around: Around<'_>) -> Sign {
    if is_status(around.after) { Sign::Request } else { Sign::None }
}

/// True where a key ends whose value is a status: `":502`, `\": \"502`, `=502`.
pub(super) fn is_status(after: &[u8]) -> bool {
    let skip = |text: &[u8], signs: &[u8]| text.iter().take_while(|byte| signs.contains(byte)).count();
    let Some(rest) = after.get(skip(after, b"\\\"")..) else { return false };
    let Some(value) = rest.strip_prefix(b":").or_else(|| rest.strip_prefix(b"=")) else { return false };
    let value = value.get(skip(value, b" \t\\\"[")..).unwrap_or_default();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits == 3 || digits == 1 && matches!(value.first(), Some(b'0' | b'9'))
}

/// Members of one line that are read, nested ones included.
const MEMBERS_MAX: usize = 256;
/// Objects within objects that are looked into: `{"@fields":{"http":{"request":{}}}}` is three.
const DEPTH_MAX: usize = 4;

/// The members of one object and of the objects in it, values still escaped.
#[derive(Debug)]
pub struct JsonLine<'a> {
    members: Vec<Member<'a>>,
    /// A bit for each key: of the hundred names that are asked for, few are there.
    marks: u128,
}

#[derive(Debug)]
struct Member<'a> {
    key: &'a str,
    value: &'a str,
    is_string: bool,
    is_inner: bool,
}

impl<'a> JsonLine<'a> {
    /// Reads the members; `None` when the line is no object. What comes after a member that cannot be read is left out:
    /// such lines were cut.
    pub fn read(line: &'a str) -> Option<JsonLine<'a>> {
        let mut members: Vec<Member<'a>> = Vec::with_capacity(16);
        let mut marks = 0;
        let mut objects = VecDeque::from([(line.trim_start().strip_prefix('{')?, 0)]);
        while let Some((object, depth)) = objects.pop_front() {
            let mut rest = object;
            while members.len() < MEMBERS_MAX {
                rest = rest.trim_start_matches([' ', '\t', ',', '\n', '\r']);
                let Some((mut member, after)) = member(rest) else { break };
                member.is_inner = depth > 0;
                if depth < DEPTH_MAX
                    && !member.is_string
                    && let Some(inner) = member.value.strip_prefix('{')
                {
                    objects.push_back((inner, depth + 1));
                }
                marks |= mark(member.key.as_bytes());
                members.push(member);
                rest = after;
            }
        }
        (!members.is_empty()).then_some(JsonLine { members, marks })
    }

    /// The value of a key of the object itself with escapes undone. The first of equal keys counts: a client cannot add
    /// keys, its text is escaped.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let member = self.member(name)?;
        (!member.is_inner).then(|| member.text())
    }

    /// The same, looked for in inner objects too where the object itself has no such key.
    pub fn get_deep(&self, name: &str) -> Option<Cow<'a, str>> {
        Some(self.member(name)?.text())
    }

    fn member(&self, name: &str) -> Option<&Member<'a>> {
        if self.marks & mark(name.as_bytes()) == 0 {
            return None;
        }
        self.members.iter().find(|member| member.key == name)
    }

    /// Keys and values in order, escapes undone, inner ones after outer ones.
    pub fn members(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> + '_ {
        self.members.iter().map(|member| (member.key, member.text()))
    }

    /// Keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.members.iter().map(|member| member.key)
    }
}

impl<'a> Member<'a> {
    fn text(&self) -> Cow<'a, str> {
        if self.is_string { Escape::Json.undo(self.value.as_bytes()) } else { Cow::Borrowed(self.value) }
    }
}

fn member(text: &str) -> Option<(Member<'_>, &str)> {
    let (key, after) = string(text)?;
    let rest = after.trim_start().strip_prefix(':')?.trim_start();
    let (value, is_string, after) = value(rest)?;
    Some((Member { key, value, is_string, is_inner: false }, after))
}

/// A quoted string, its inside and what follows.
fn string(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let end = quote(Escape::Json, inner.as_bytes())?;
    Some((inner.get(..end)?, inner.get(end + 1..)?))
}

fn value(text: &str) -> Option<(&str, bool, &str)> {
    if text.starts_with('"') {
        let (value, rest) = string(text)?;
        return Some((value, true, rest));
    }
    if text.starts_with(['{', '[']) {
        // A line that was cut ends within.
        let end = nested_end(text).unwrap_or(text.len());
        return Some((text.get(..end)?, false, text.get(end..)?));
    }
    let end = unquoted_end(text.as_bytes());
    Some((text.get(..end)?.trim(), false, text.get(end..)?))
}

/// A number, a word, nothing, or an unquoted list: up to the comma before the next key, or the brace.
fn unquoted_end(text: &[u8]) -> usize {
    let mut from = 0;
    while let Some(index) =
        text.get(from..).and_then(|rest| memchr::memchr2(b',', b'}', rest)).map(|index| from + index)
    {
        let rest = text.get(index + 1..).unwrap_or_default().trim_ascii_start();
        if text.get(index) == Some(&b'}') || rest.first().is_none_or(|byte| *byte == b'"') {
            return index;
        }
        from = index + 1;
    }
    text.len()
}

/// Where an array or object ends, strings respected.
fn nested_end(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    let mut bytes = text.bytes().enumerate();
    let mut in_string = false;
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'\\' if in_string => {
                bytes.next();
            }
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expected: &str) {
        let read = JsonLine::read(line).map_or("none".to_owned(), |json| {
            json.members().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" | ")
        });
        assert_eq!(read, expected, "{line}");
    }

    #[test]
    fn lenient() {
        check(r#"{"a":1, "b" : "x\"y" ,"c":null}"#, "a=1 | b=x\"y | c=null");
        check(r#"{"urt":,"us":-,"ut":0.1, 0.2,"x":"1"}"#, "urt= | us=- | ut=0.1, 0.2 | x=1");
        check(r#"{"ut":0.1, 0.2, "us":"a,b","x":}"#, "ut=0.1, 0.2 | us=a,b | x=");
        check(r#"{"a":{"b":{"c":"}"}},"b":2}"#, r#"a={"b":{"c":"}"}} | b=2 | b={"c":"}"} | c=}"#);
        check(r#"{"a":"x","b":"cut he"#, "a=x");
        check(r#"{"a":["x","y"],"u":"\u00e4\ud83d\ude00"}"#, r#"a=["x","y"] | u=ä😀"#);
        check("{}", "none");
        check("no object", "none");
    }

    #[test]
    fn outer_keys_come_first() {
        let json = JsonLine::read(r#"{"x":{"status":200},"status":502}"#).expect("an object");
        assert_eq!(json.get("status").as_deref(), Some("502"));
        let json = JsonLine::read(r#"{"x":{"status":200}}"#).expect("an object");
        assert_eq!(json.get("status"), None);
        assert_eq!(json.get_deep("status").as_deref(), Some("200"));
    }

    proptest! {
        #[test]
        fn anything_goes(line in "\\PC{0,60}|\\{([\"{}\\[\\],:\\\\ a1]{1,3}){0,30}") {
            let _ = JsonLine::read(&line);
        }
    }

    #[test]
    fn hostile_lines_end() {
        for unit in ["{\"a\":", "{\"a\":[", "\"", "\\", ",\"a\":", ", "] {
            let line = format!("{{{}", unit.repeat((1 << 20) / unit.len()));
            let _ = JsonLine::read(&line);
        }
    }
}
