//! The path of a request as a route: without its query, with what looks like an id cut.

use crate::read::text::shown;
use std::borrow::Cow;

/// Characters of a route.
const CHARS_MAX: usize = 80;
/// Segments of a route.
const SEGMENTS_MAX: usize = 6;
/// A word of letters alone that is longer than this is an id: a token, a hash in base 32.
const WORD_MAX: usize = 40;
/// Digits of a version: `v1`, `v12`.
const VERSION_DIGITS_MAX: usize = 2;

/// `GET /users/*/orders` of `GET /users/4711/orders?page=2`. Printable; empty where neither is known.
pub fn route(method: &str, target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut out = String::with_capacity(method.len() + path.len() + 1);
    out.push_str(method);
    if path.is_empty() {
        return shown_of(out);
    }
    if !method.is_empty() {
        out.push(' ');
    }
    for (number, segment) in path.split('/').enumerate() {
        if number > 0 {
            out.push('/');
        }
        if number > SEGMENTS_MAX || out.len() > CHARS_MAX {
            out.push('…');
            break;
        }
        push_segment(&mut out, segment);
    }
    shown_of(out)
}

/// A copy only where something is not visible.
fn shown_of(text: String) -> String {
    match shown(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    }
}

fn push_segment(out: &mut String, segment: &str) {
    let is_version = segment.strip_prefix('v').is_some_and(|digits| {
        (1..=VERSION_DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let has_digit = segment.bytes().any(|byte| byte.is_ascii_digit());
    if is_version || !has_digit && segment.len() <= WORD_MAX {
        out.push_str(segment);
    } else if is_id(segment) {
        out.push('*');
    } else {
        // `page-12.html`: the rest of the word says which page it is.
        let mut in_number = false;
        for c in segment.chars() {
            let digit = c.is_ascii_digit();
            if !digit {
                out.push(c);
            } else if !in_number {
                out.push('*');
            }
            in_number = digit;
        }
    }
}

/// A number, a UUID, a hash, a token.
fn is_id(segment: &str) -> bool {
    let hex = segment.bytes().filter(|byte| byte.is_ascii_hexdigit() || *byte == b'-').count();
    segment.len() > WORD_MAX || hex == segment.len() || segment.len() >= 16 && hex * 4 >= segment.len() * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_and_words_stay() {
        let check =
            |target: &str, expected: &str| assert_eq!(route("GET", target), format!("GET {expected}"), "{target}");
        check("/users/4711/orders?page=2", "/users/*/orders");
        check("/report", "/report");
        check("/", "/");
        check("/api/v1/items/12", "/api/v1/items/*");
        check("/p49", "/p*");
        check("/page-12.html", "/page-*.html");
        check("/o/5f0c2b9f-3c7d-41e8-8a3d-8f1f3c2a9b10", "/o/*");
        check("/o/5f0c2b9f3c7d41e88a3d8f1f3c2a9b10/pay", "/o/*/pay");
        check("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/…");
        check(&format!("/{}", "x".repeat(500)), "/*");
        check("/caf\u{e9}/\x1b[31m", "/caf\u{e9}/\\x1B[*m");
        assert_eq!(route("", "/x"), "/x");
        assert_eq!(route("GET", ""), "GET");
        assert_eq!(route("", ""), "");
    }
}
