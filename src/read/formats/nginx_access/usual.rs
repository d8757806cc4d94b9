//! A line of `combined` as nginx writes it, read from left to right.
//!
//! ```text
//!  192.0.2.7 - ann [03/Mar/2027:10:20:30 +0000] "GET /a HTTP/1.1" 502 157 "https://shop.example/" "Mozilla/5.0"
//! ```
//!
//! In a storm every other line is one of these. Only a line is read here that is in this shape letter for letter, and it is
//! read as [`read_combined`](super::read_combined) would read it; the tests ask both.

use super::{Line, split_request, three_digits, time_local};
use crate::read::evidence::{Logged, NginxAccess, TEXT_BYTES_MAX};
use crate::read::formats::nginx_error::is_plain_record;
use crate::read::text::{find, split_at};

/// Bytes of `03/Mar/2027:10:20:30 +0000`.
const STAMP_BYTES: usize = 26;
/// Bytes of a number that has room in 64 bits, whatever its digits.
const DIGITS_MAX: usize = 18;

/// Reads such a line; `None` for any other.
pub(in crate::read::formats) fn read(line: &[u8]) -> Option<Line> {
    if !line.first().is_some_and(u8::is_ascii_digit) || line.len() > TEXT_BYTES_MAX || !is_plain_record(line) {
        return None;
    }
    let line = std::str::from_utf8(line).ok()?;
    let (client, rest) = split_at(line, b' ')?;
    let (user, rest) = split_at(rest.strip_prefix("- ")?, b' ')?;
    let (stamp, rest) = rest.strip_prefix('[')?.split_at_checked(STAMP_BYTES)?;
    let (request, rest) = split_at(rest.strip_prefix("] \"")?, b'"')?;
    let (status, rest) = rest.split_at_checked(5)?;
    let (bytes, rest) = split_at(rest, b' ')?;
    let (referrer, rest) = split_at(rest.strip_prefix('"')?, b'"')?;
    let (agent, rest) = split_at(rest.strip_prefix(" \"")?, b'"')?;
    let (method, target, protocol) = split_request(request);
    let status = three_digits(status.as_bytes())?;
    let is_usual = rest.is_empty()
        && is_address(client)
        && is_name(user)
        && !(method.is_empty() || protocol.is_empty())
        && memchr::memchr(b' ', target.as_bytes()).is_none()
        && is_quiet(referrer)
        && is_quiet(agent);
    if !is_usual {
        return None;
    }
    let access = NginxAccess {
        status,
        method: method.into(),
        target: target.into(),
        protocol: protocol.into(),
        client: client.into(),
        body_bytes_sent: match bytes {
            "-" => Logged::Dash,
            digits if digits.len() <= DIGITS_MAX && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Logged::Value(digits.parse().ok()?)
            }
            _ => return None,
        },
        ..NginxAccess::default()
    };
    Some(Line { stamp: Some(time_local(stamp)?), access, ..Line::default() })
}

/// An address of IPv4.
fn is_address(client: &str) -> bool {
    client.bytes().filter(|byte| *byte == b'.').count() == 3
        && client.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn is_name(user: &str) -> bool {
    !user.is_empty()
        && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@'))
}

/// Text of a client in which no other reader looks for anything: neither blanks that a terminal fills a line up with, nor
/// what nginx does meanwhile, nor a frame of Python (`File "`).
fn is_quiet(value: &str) -> bool {
    !value.ends_with(' ') && find(value, "  ").is_none() && find(value, "hile ").is_none()
}
