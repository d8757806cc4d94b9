//! What stands behind the `?` of an address, and which requests it asks for.

use crate::config::moment::{self, moment};
use crate::engine::causes;
use crate::engine::verdict::Verdict;
use crate::enrich::hex;
use crate::page::search::Typed;
use crate::read::evidence::Nanos;
use crate::read::text::printable;

/// Pages that can be turned to, so that no number is too large to count with.
const PAGE_MAX: usize = 1_000_000;

/// Name and value pairs of a query, decoded. Broken escapes stay as they are.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = || u8::from_str_radix(text.get(at + 1..at + 3)?, 16).ok();
        match byte {
            b'+' => out.push(b' '),
            b'%' => match escaped() {
                Some(byte) => {
                    out.push(byte);
                    at += 2;
                }
                None => out.push(b'%'),
            },
            byte => out.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A value for a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Which page of a list, from 1.
pub(super) fn number(query: &str) -> usize {
    let asked = pairs(query).into_iter().find(|(name, _)| name == "page").and_then(|(_, value)| value.parse().ok());
    asked.unwrap_or(1).clamp(1, PAGE_MAX)
}

/// Which failed requests are asked for.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) typed: Typed,
    since: Option<Nanos>,
    until: Option<Nanos>,
}

impl Search {
    /// Reads a query; what cannot be read is told, and asks for nothing.
    pub(super) fn of(query: &str, now: Nanos) -> (Search, Option<String>) {
        let mut search = Search::default();
        for (name, value) in pairs(query) {
            let place = match name.as_str() {
                "q" => &mut search.typed.text,
                "cause" => &mut search.typed.cause,
                "since" => &mut search.typed.since,
                "until" => &mut search.typed.until,
                _ => continue,
            };
            value.trim().clone_into(place);
        }
        let mut problem = None;
        let mut time = |text: &str, name: &str| -> Option<Nanos> {
            if text.is_empty() {
                return None;
            }
            let found = moment(text, now);
            if found.is_none() {
                problem = Some(format!("{name}: “{}” is not {}.", printable(text), moment::EXPECTED));
            }
            found
        };
        search.since = time(&search.typed.since, "Since");
        search.until = time(&search.typed.until, "Until");
        if !search.typed.cause.is_empty() && causes::by_id(&search.typed.cause).is_none() {
            problem = Some(format!("“{}” is no cause.", printable(&search.typed.cause)));
        }
        (search, problem)
    }

    /// True for a request that is asked for.
    pub(super) fn fits(&self, verdict: &Verdict) -> bool {
        (self.typed.cause.is_empty() || self.typed.cause == verdict.cause.id)
            && self.since.is_none_or(|since| verdict.time >= since)
            && self.until.is_none_or(|until| verdict.time < until)
            && self.has_text(verdict)
    }

    fn has_text(&self, verdict: &Verdict) -> bool {
        let text = self.typed.text.as_str();
        if text.is_empty() {
            return true;
        }
        let trace = |text: &str| verdict.link.trace.is_some_and(|trace| hex(&trace.trace_id) == text);
        let candidate = |text: &str| text.len() == 32 && verdict.link.candidates.iter().any(|id| hex(id) == text);
        let (method, path) = text.split_once(' ').unwrap_or(("", text));
        let is_line = !method.is_empty() && verdict.method == method && verdict.target.starts_with(path);
        verdict.target.contains(text)
            || is_line
            || verdict.uid == text
            || verdict.client == text
            || verdict.upstream.as_deref() == Some(text)
            || verdict.incident.as_ref().is_some_and(|label| label.uid == text)
            || trace(text)
            || candidate(text)
    }

    /// The same search as an address, of another page.
    pub(super) fn link(&self, number: usize) -> String {
        let Typed { text, cause, since, until } = &self.typed;
        let mut out = String::from("/search?");
        for (name, value) in [("q", text), ("cause", cause), ("since", since), ("until", until)] {
            if !value.is_empty() {
                out.push_str(&format!("{name}={}&", encoded(value)));
            }
        }
        out.push_str(&format!("page={number}"));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_and_encoded() {
        let check = |query: &str, expected: &[(&str, &str)]| {
            let found = pairs(query);
            let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{query}");
        };
        check("", &[]);
        check("q=a%20b+c&&x", &[("q", "a b c"), ("x", "")]);
        check("q=%zz%4&q=%E4%BD%A0", &[("q", "%zz%4"), ("q", "你")]);
        check("q=%FF%", &[("q", "\u{fffd}%")]);
        check("q=a=b%é", &[("q", "a=b%é")]);
        assert_eq!(encoded("a b&\"<é"), "a%20b%26%22%3C%C3%A9");
        let numbers = ["", "page=2", "page=0", "page=-1", "page=x", "page=99999999999999999999"].map(number);
        assert_eq!(numbers, [1, 2, 1, 1, 1, 1]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let told = |query: &str| Search::of(query, 0).1;
        assert_eq!(told("q=x&cause=worker_timeout&since=2h&until=2026-11-25"), None);
        assert!(told("since=<b>").is_some_and(|told| told.starts_with("Since: “<b>” is not")));
        assert_eq!(told("cause=nothing").as_deref(), Some("“nothing” is no cause."));
        let (search, _) = Search::of("q=%22%3E&since=2h", 0);
        assert_eq!(search.link(3), "/search?q=%22%3E&since=2h&page=3");
    }
}
