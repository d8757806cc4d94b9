//! Lines whose format nobody named: the `combined` family with anything before and after it, and lines of named values.
//!
//! ```text
//!  shop.example:443 192.0.2.7 - ann [03/Mar/2027:10:20:30 +0000] "GET /a HTTP/1.1" 502 157 "-" "x" 0.004 us="502" rt=0.004
//!  └────────────────── head ──────────────────────────────────┘ └── request ────┘ └─────────── tail ──────────────────┘
//! ```
//!
//! Values in quotes are skipped as a whole, so names are only read where nginx's format has them. A client can still
//! write where the format puts its text without quotes; a name that stands there twice makes the line doubtful.

mod shapes;

use super::{Line, from_fields, is_method, split_request};
use crate::read::formats::log_format::Escape;
use crate::read::text::mark;
use crate::read::time::iso_stamp;
use std::borrow::Cow;

/// Words of one line that are looked at; a line of 60 variables has some 200.
const WORDS_MAX: usize = 512;
/// Named values that are kept.
const FIELDS_MAX: usize = 64;

/// Names that only a proxy's access log has; they tell its lines of named values from those of applications.
const PROXY_NAMES: &[&str] = &[
    "remote_addr",
    "upstream_addr",
    "upstream_status",
    "upstream_response_time",
    "upstream",
    "urt",
    "uct",
    "uht",
    "us",
    "request_time",
    "body_bytes_sent",
    "bytes_sent",
    "body_bytes",
    "http_referer",
    "http_user_agent",
    "client_ip",
    "time_local",
];

/// Names and values as they stand, still escaped.
#[derive(Debug, Default)]
struct Named<'a> {
    fields: Vec<(&'a str, Cow<'a, str>)>,
    /// Values in quotes without a name, in order.
    quoted: Vec<&'a str>,
    /// Words without a name, in order.
    plain: Vec<&'a str>,
    is_doubtful: bool,
}

/// Reads a line of the `combined` family or one of named values; `None` when it is neither.
pub fn read_combined(line: &str) -> Option<Line> {
    let named = fields_of(line)?;
    let marks = named.fields.iter().fold(0, |marks, (name, _)| marks | mark(name.as_bytes()));
    let get = |name: &str| {
        if marks & mark(name.as_bytes()) == 0 {
            return None;
        }
        let (_, value) = named.fields.iter().find(|(known, _)| *known == name)?;
        Some(undo(value))
    };
    let mut read = Line { is_doubtful: named.is_doubtful, ..Line::default() };
    from_fields(&get, &mut read).then_some(read)
}

/// The named values of such a line in order, escaping undone, for people; `None` for `-` and nothing.
pub fn named_fields(line: &str) -> Option<Vec<(String, Option<String>)>> {
    let named = fields_of(line)?;
    let value = |text: &str| Some(undo(text).into_owned()).filter(|text| !text.is_empty() && text != "-");
    Some(named.fields.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect())
}

fn undo(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    if text.contains("\\\"") { Cow::Owned(text.replace("\\\"", "\"")) } else { Escape::Default.undo(text.as_bytes()) }
}

/// The status of a line of labels between tabs; `None` for any other line.
pub(in crate::read::formats) fn labelled_status(line: &str) -> Option<u16> {
    // Most lines have no such label, and this is cheaper than splitting them.
    memchr::memmem::find(line.as_bytes(), b"status:")?;
    let named = shapes::ltsv(line)?;
    let (_, status) = named.fields.iter().find(|(name, _)| *name == "status")?;
    status.parse().ok()
}

fn fields_of(line: &str) -> Option<Named<'_>> {
    family(line).or_else(|| shapes::ltsv(line)).or_else(|| pairs_only(line)).or_else(|| shapes::proxy_manager(line))
}

/// The family: a quoted request with a status beside it.
fn family(line: &str) -> Option<Named<'_>> {
    let (open, close) = request_quotes(line)?;
    let (head, tail) = (line.get(..open)?, line.get(close + 1..)?);
    let request = line.get(open + 1..close)?.trim();
    if head.trim_end().ends_with(['=', ':']) {
        return named_request(line);
    }
    let mut after = tail.trim_start_matches([' ', ',', '|', '\t']);
    let mut named = Named::default();
    let stamped = head.trim_end().ends_with(']');
    let status = match leading_status(after) {
        Some((status, rest)) => {
            after = rest;
            Some(status)
        }
        None => head.trim_end().rsplit(' ').next().filter(|word| is_status(word)),
    };
    let proper = is_proper(request);
    // A request that nginx could not parse is known only by its neighbours.
    if !(proper || (stamped && status.is_some())) {
        return None;
    }
    read_head(head, &mut named);
    named.fields.push(("request", Cow::Borrowed(request)));
    if let Some(status) = status {
        named.fields.push(("status", Cow::Borrowed(status)));
        let (bytes, rest) = after.trim_start().split_once(' ').unwrap_or((after.trim(), ""));
        if bytes == "-" || (!bytes.is_empty() && bytes.bytes().all(|byte| byte.is_ascii_digit())) {
            named.fields.push(("body_bytes_sent", Cow::Borrowed(bytes)));
            after = rest;
        }
    }
    if !ingress(after, &mut named) {
        words(after, &mut named);
        name_the_rest(&mut named);
    }
    let before = if stamped { "" } else { head };
    // Names before the request: `status=502 request="GET ..."`.
    if named.fields.iter().all(|(name, _)| *name != "status") {
        words(before, &mut named);
    }
    named.fields.iter().any(|(name, _)| *name == "status").then_some(named)
}

/// The request in quotes and the status behind it, without reading the rest; `None` without a request.
pub(in crate::read::formats) fn request_and_status(line: &str) -> Option<(&str, Option<u16>)> {
    let (open, close) = request_quotes(line)?;
    let (head, request) = (line.get(..open)?, line.get(open + 1..close)?.trim());
    let after = line.get(close + 1..)?.trim_start_matches([' ', ',', '|', '\t']);
    let is_plain = is_proper(request) && !head.trim_end().ends_with(['=', ':']);
    let status = match leading_status(after) {
        Some((status, _)) => Some(status),
        None if head.trim_end().rsplit(' ').next().is_some_and(is_status) => None,
        None => named_status(line),
    };
    Some((request, status.filter(|_| is_plain).and_then(|status| status.parse().ok())))
}

/// The one value of the name `status`, outside of quotes; `None` where there are several.
fn named_status(line: &str) -> Option<&str> {
    let bytes = line.as_bytes();
    let is_named = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        before.is_none_or(|byte| !is_name_byte(*byte)) && matches!(bytes.get(at + "status".len()), Some(b'=' | b':'))
    };
    let mut places = line.match_indices("status").map(|(at, _)| at).filter(is_named);
    let (at, None) = (places.next()?, places.next()) else { return None };
    let is_quoted = memchr::memchr_iter(b'"', bytes.get(..at)?).count() % 2 == 1;
    let value = line.get(at + "status=".len()..).filter(|_| !is_quoted)?;
    let value = value.strip_prefix('"').unwrap_or(value);
    leading_status(value.trim_end_matches('"').split('"').next()?).map(|(status, _)| status)
}

/// True for a line of named values that only a proxy has, with a status among them: it may be an access line that quotes
/// no request.
pub(in crate::read::formats) fn has_proxy_name(line: &str) -> bool {
    let is_name = |name: &str| {
        line.match_indices(name).any(|(at, _)| {
            let before = at.checked_sub(1).and_then(|before| line.as_bytes().get(before));
            let after = line.as_bytes().get(at + name.len());
            before.is_none_or(|byte| !is_name_byte(*byte)) && matches!(after, Some(b'=' | b':'))
        })
    };
    line.contains("status") && PROXY_NAMES.iter().any(|name| is_name(name))
}

/// `[03/Mar/2027:10:20:30 +0000] status:502 request:"GET /a HTTP/1.1"`: the request has a name like all the others.
fn named_request(line: &str) -> Option<Named<'_>> {
    let mut named = Named::default();
    let stamp = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).filter(|(stamp, _)| is_stamp(stamp));
    if let Some((stamp, _)) = stamp {
        named.fields.push(("time_local", Cow::Borrowed(stamp)));
    }
    words(stamp.map_or(line, |(_, rest)| rest), &mut named);
    let has = |name: &str| named.fields.iter().any(|(known, _)| *known == name);
    (has("status") && has("request")).then_some(named)
}

/// Where the quotes of the request stand.
fn request_quotes(line: &str) -> Option<(usize, usize)> {
    let bytes = line.as_bytes();
    let mut from = 0;
    let mut first = None;
    for _ in 0..8 {
        let Some(open) = memchr::memchr(b'"', bytes.get(from..)?).map(|index| from + index) else { break };
        let close = open + 1 + closing(line.get(open + 1..)?)?;
        let inside = line.get(open + 1..close)?.trim();
        if is_proper(inside) {
            return Some((open, close));
        }
        if first.is_none() && line.get(..open)?.trim_end().ends_with(']') {
            first = Some((open, close));
        }
        from = close + 1;
    }
    first.or_else(|| {
        // `'GET / HTTP/1.1' 502`.
        let open = line.find('\'')?;
        let close = open + 1 + line.get(open + 1..)?.find('\'')?;
        is_proper(line.get(open + 1..close)?).then_some((open, close))
    })
}

/// The first quote that is not escaped.
fn closing(text: &str) -> Option<usize> {
    crate::read::formats::log_format::quote(Escape::Gunicorn, text.as_bytes())
}

/// `GET /x HTTP/1.1`; a paste may have lost the protocol.
fn is_proper(request: &str) -> bool {
    let (method, target, protocol) = split_request(request);
    !method.is_empty() && (!protocol.is_empty() || target.starts_with('/'))
}

fn is_status(word: &str) -> bool {
    word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// `502 157 ...`, `[502] ...`.
fn leading_status(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('[').unwrap_or(text);
    let (status, rest) = inside.split_at_checked(3)?;
    let ends = rest.is_empty() || rest.starts_with([' ', ',', ']', '\t', '|', ';']);
    (is_status(status) && ends).then(|| (status, rest.trim_start_matches([']', ',', '|', ';', '\t'])))
}

/// Client, user, host and time: whatever stands before the request.
/// Words before the client's address that may be ids.
const HEAD_WORDS_MAX: usize = 8;
/// Names of ids that may stand before a line of the family.
const ID_NAMES: [&str; 5] = ["trace_id", "span_id", "trace", "span", "request_id"];

fn read_head<'a>(head: &'a str, named: &mut Named<'a>) {
    let (before, stamp) = match head.find('[') {
        Some(open) => {
            let inside = head.get(open + 1..).unwrap_or_default();
            (head.get(..open).unwrap_or_default(), inside.split(']').next().unwrap_or_default())
        }
        None => (head, ""),
    };
    // Ids may stand first. Behind the client's address stands a name that the client chooses.
    for word in before.split_ascii_whitespace().take_while(|word| !is_client(word)).take(HEAD_WORDS_MAX) {
        if let Some((name, value)) = word.split_once('=').filter(|(name, _)| ID_NAMES.contains(name)) {
            named.push(name, value);
        }
    }
    // Some formats have another bracket before the stamp: `192.0.2.1 - [192.0.2.1] - - [03/Mar/...`.
    // The last one counts: `$remote_user` stands before it, which a client chooses as it likes.
    let stamp = head.rsplit('[').filter_map(|part| part.split(']').next()).find(|part| is_stamp(part)).unwrap_or(stamp);
    if is_stamp(stamp) {
        named.fields.push(("time_local", Cow::Borrowed(stamp)));
    }
    let head_words = || before.split_ascii_whitespace().filter(|word| !word.contains('='));
    let client = head_words().position(is_client);
    let words: Vec<&str> = head_words().take(8).collect();
    match client.and_then(|index| Some((index, *words.get(index)?))) {
        Some((index, client)) => {
            named.fields.push(("remote_addr", Cow::Borrowed(client)));
            if let Some(host) = index.checked_sub(1).and_then(|before| words.get(before)).filter(|word| is_host(word)) {
                let host = host.rsplit_once(':').map_or(*host, |(host, _)| host);
                named.fields.push(("host", Cow::Borrowed(host)));
            }
            if let (Some(&"-"), Some(user)) = (words.get(index + 1), words.get(index + 2)) {
                named.fields.push(("remote_user", Cow::Borrowed(user)));
            }
        }
        // Masked: `xx.xx.xx.xx - - [`.
        None => {
            if let Some(first) = words.first().filter(|word| **word != "-" && !is_status(word)) {
                named.fields.push(("remote_addr", Cow::Borrowed(first)));
            }
        }
    }
    if stamp.is_empty()
        && let Some(at) = before.split_ascii_whitespace().find(|word| iso_stamp(word).is_some())
    {
        named.fields.push(("time_iso8601", Cow::Borrowed(at)));
    }
}

fn is_stamp(text: &str) -> bool {
    super::time_local(text).is_some() || iso_stamp(text).is_some()
}

fn is_client(word: &str) -> bool {
    let bytes = word.as_bytes();
    let v4 = bytes.iter().filter(|byte| **byte == b'.').count() == 3
        && bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let v6 = bytes.iter().filter(|byte| **byte == b':').count() >= 2
        && bytes.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    v4 || v6 || word == "unix:"
}

fn is_host(word: &str) -> bool {
    word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':'))
}

/// What ingress-nginx appends: `"REFERER" "AGENT" LENGTH TIME [UPSTREAM] [ALTERNATIVE] ADDR LENGTH TIME STATUS ID`, the
/// four lists without quotes. Older versions have one bracket.
fn ingress<'a>(tail: &'a str, named: &mut Named<'a>) -> bool {
    let Some((text, lists)) = tail.rsplit_once("] ") else { return false };
    // A client's text ends at its quote: what follows holds none.
    if lists.contains('"') {
        return false;
    }
    let head = text.rsplit_once('"').map_or(text, |(_, head)| head);
    let Some((numbers, upstream)) = head.split_once(" [") else { return false };
    let numbers: Vec<&str> = numbers.split_ascii_whitespace().collect();
    let items: Vec<&str> = lists
        .split_ascii_whitespace()
        .take(WORDS_MAX)
        .map(|word| word.trim_end_matches(','))
        .filter(|word| *word != ":")
        .collect();
    let attempts = items.len().saturating_sub(1) / 4;
    if attempts == 0 || !(items.len() - 1).is_multiple_of(4) || numbers.len() < 2 {
        return false;
    }
    let column = |list: usize| items.get(list * attempts..(list + 1) * attempts).unwrap_or_default().join(", ");
    let times_fit =
        items.get(3 * attempts..4 * attempts).unwrap_or_default().iter().all(|item| is_status(item) || *item == "-");
    if !times_fit {
        return false;
    }
    if let [.., length, time] = numbers.as_slice() {
        named.fields.push(("request_length", Cow::Borrowed(length)));
        named.fields.push(("request_time", Cow::Borrowed(time)));
    }
    named.fields.push(("proxy_upstream_name", Cow::Borrowed(upstream.split(']').next().unwrap_or_default())));
    named.fields.push(("upstream_addr", Cow::Owned(column(0))));
    named.fields.push(("upstream_response_length", Cow::Owned(column(1))));
    named.fields.push(("upstream_response_time", Cow::Owned(column(2))));
    named.fields.push(("upstream_status", Cow::Owned(column(3))));
    named.fields.push(("req_id", Cow::Borrowed(items.last().copied().unwrap_or("-"))));
    true
}

/// Splits the rest into `name=value`, `name="value"`, `name:value`, `[name:value]`, quoted values and plain words.
fn words<'a>(text: &'a str, named: &mut Named<'a>) {
    let mut rest = text;
    for _ in 0..WORDS_MAX {
        rest = rest.trim_start_matches([' ', '\t', ',', ';', '[', ']', '(', ')', '{', '}', '|']);
        if rest.is_empty() {
            return;
        }
        if let Some(inner) = rest.strip_prefix('"') {
            let end = closing(inner).unwrap_or(inner.len());
            named.quoted.push(inner.get(..end).unwrap_or_default());
            rest = inner.get(end + 1..).unwrap_or_default();
            continue;
        }
        let length = rest.bytes().take_while(|byte| is_name_byte(*byte)).count();
        let (name, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let value = after.strip_prefix('=').or_else(|| after.strip_prefix(':').filter(|_| is_known(name)));
        match value {
            Some(value) if !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) => {
                let (value, next) = value_of(value);
                named.push(name, value);
                rest = next;
            }
            _ => {
                let end = rest.find([' ', '\t', '"', '|']).unwrap_or(rest.len()).max(1);
                let (word, next) = rest.split_at_checked(end).unwrap_or((rest, ""));
                named.plain.push(word);
                rest = next;
            }
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@')
}

/// Names that may stand before a colon; any other colon belongs to a value.
fn is_known(name: &str) -> bool {
    PROXY_NAMES.contains(&name)
        || matches!(
            name,
            "status"
                | "request"
                | "method"
                | "uri"
                | "host"
                | "domain"
                | "client"
                | "rt"
                | "referer"
                | "user_agent"
                | "upstream_connect_time"
                | "upstream_header_time"
                | "request_id"
                | "time"
                | "size"
                | "reqtime"
                | "time_local"
                | "remote_user"
                | "request_method"
                | "request_uri"
                | "ua"
        )
}

/// A value and what follows: quoted, or up to a blank; a list goes on after a comma or ` : `.
fn value_of(text: &str) -> (&str, &str) {
    let text = text.strip_prefix([' ', '\t']).filter(|rest| !rest.starts_with([' ', '\t'])).unwrap_or(text);
    if let Some(inner) = text.strip_prefix('"') {
        let end = closing(inner).unwrap_or(inner.len());
        return (inner.get(..end).unwrap_or_default(), inner.get(end + 1..).unwrap_or_default());
    }
    let mut end = 0;
    for _ in 0..WORDS_MAX {
        let rest = text.get(end..).unwrap_or_default();
        let word = rest.find([' ', '\t', ']', ')', ';', '|', '"']).unwrap_or(rest.len());
        end += word;
        let next = text.get(end..).unwrap_or_default();
        let goes_on = text.get(..end).is_some_and(|value| value.ends_with(',')) && next.starts_with(' ');
        let round = next.starts_with(" : ");
        let following = next.trim_start_matches([' ', ':']);
        let is_item =
            following.split([' ', ',', ']']).next().is_some_and(|item| !item.is_empty() && !item.contains('='));
        if !((goes_on || round) && is_item) {
            break;
        }
        end += if round { 3 } else { 1 };
    }
    let value = text.get(..end).unwrap_or_default().trim_end_matches(',');
    (value, text.get(end..).unwrap_or_default())
}

impl<'a> Named<'a> {
    /// The first of equal names counts; another value makes the line doubtful.
    fn push(&mut self, name: &'a str, value: &'a str) {
        match self.fields.iter().find(|(known, _)| *known == name) {
            Some((_, known)) => self.is_doubtful |= known.as_ref() != value,
            None if self.fields.len() < FIELDS_MAX => self.fields.push((name, Cow::Borrowed(value))),
            None => {}
        }
    }
}

/// Quoted values without names are referrer, user agent and forwarded-for; the first time without one is the request's.
fn name_the_rest(named: &mut Named<'_>) {
    for (name, value) in ["http_referer", "http_user_agent", "http_x_forwarded_for"].iter().zip(named.quoted.clone()) {
        named.push(name, value);
    }
    let time = named.plain.iter().copied().find(|word| {
        word.split_once('.').is_some_and(|(whole, fraction)| {
            fraction.len() == 3 && [whole, fraction].iter().all(|half| half.bytes().all(|byte| byte.is_ascii_digit()))
        })
    });
    if let Some(time) = time.filter(|_| !named.fields.iter().any(|(name, _)| matches!(*name, "rt" | "request_time"))) {
        named.push("request_time", time);
    }
}

/// A line of named values only: a status, a request, and a name that only a proxy has.
fn pairs_only(line: &str) -> Option<Named<'_>> {
    // Most lines of other programs have no such name, and this is cheaper than splitting them.
    memchr::memmem::find(line.as_bytes(), b"status")?;
    let mut named = Named::default();
    words(line, &mut named);
    let has = |name: &str| named.fields.iter().any(|(known, _)| *known == name);
    let is_proxy = PROXY_NAMES.iter().any(|name| has(name));
    if !is_proxy || !has("status") {
        return None;
    }
    if !["request", "method", "request_method", "http_method"].iter().any(|name| has(name)) {
        // `GET /x [status:502]`.
        let mut plain = named.plain.iter().copied();
        let method = plain.by_ref().find(|word| is_method(word))?;
        let target = plain.next().filter(|word| word.starts_with('/'))?;
        named.fields.push(("request_method", Cow::Borrowed(method)));
        named.fields.push(("request_uri", Cow::Borrowed(target)));
    }
    Some(named)
}
