//! The name of a span that took long, out of what instrumentations say of it: `SELECT orders on db.internal`.
//!
//! Of a statement only its verb and its table are taken, of a URL its path: values may be secrets.

use super::{SERVER, nanos};
use crate::engine::correlate::slow::{LABEL_BYTES_MAX, SlowSpan};
use crate::otlp::{ResourceGroup, Span};

/// Bytes of one part of a name: two of them and the words between fit into [`LABEL_BYTES_MAX`].
const PART_BYTES_MAX: usize = 56;
/// Words of a statement that are looked at for its table: those of a long list of columns.
const WORDS_MAX: usize = 64;

/// What a slow span is called by its attributes, the newer names of the semantic conventions before the older ones.
#[derive(Default)]
struct Words<'a> {
    operation: &'a [u8],
    collection: &'a [u8],
    statement: &'a [u8],
    system: &'a [u8],
    url: &'a [u8],
    path: &'a [u8],
    peer: &'a [u8],
    peer_service: &'a [u8],
}

/// `service.name` of a resource; empty when it has none.
pub(super) fn service_of<'a>(resource: &ResourceGroup<'a>) -> &'a [u8] {
    resource.attributes().get("service.name").and_then(|value| value.as_string()).unwrap_or_default()
}

/// A slow span with its name; `None` without valid ids.
pub(super) fn slow(bytes: &[u8], site: u64, service: &[u8]) -> Option<SlowSpan> {
    let mut words = Words::default();
    let span = Span::read_with(
        bytes,
        |_| true,
        |pair| {
            let Some(text) = pair.value().as_string() else { return };
            let place = match pair.key {
                b"db.operation.name" | b"db.operation" => &mut words.operation,
                b"db.collection.name" | b"db.sql.table" | b"db.mongodb.collection" => &mut words.collection,
                b"db.query.text" | b"db.statement" => &mut words.statement,
                b"db.system.name" | b"db.system" => &mut words.system,
                b"url.full" | b"http.url" => &mut words.url,
                b"url.path" => &mut words.path,
                b"server.address" | b"net.peer.name" | b"http.host" => &mut words.peer,
                b"peer.service" => &mut words.peer_service,
                _ => return,
            };
            if place.is_empty() {
                *place = text;
            }
        },
    );
    let is_server = span.kind == SERVER;
    Some(SlowSpan {
        trace_id: span.trace_id()?,
        span_id: span.span_id()?,
        parent_span_id: span.parent_span_id().unwrap_or_default(),
        start: nanos(span.start),
        end: nanos(span.end),
        is_server,
        site,
        label: label(span.name, &words, is_server, service).into(),
    })
}

fn label(name: &[u8], words: &Words<'_>, is_server: bool, service: &[u8]) -> String {
    let name = part(name);
    let what = match (part(words.operation), part(words.collection)) {
        (operation, collection) if !operation.is_empty() && !collection.is_empty() => {
            format!("{operation} {collection}")
        }
        _ if name.contains(' ') => name,
        // A verb alone is all that some instrumentations call their spans.
        _ => of_statement(words.statement).or_else(|| of_url(&name, words)).unwrap_or(name),
    };
    let what = if what.is_empty() { part(words.system) } else { what };
    let what = if what.is_empty() { "a span without a name".to_owned() } else { what };
    let peer = if words.peer.is_empty() { words.peer_service } else { words.peer };
    let (word, other) = if is_server { ("of", part(service)) } else { ("on", part(peer)) };
    let label = if other.is_empty() { what } else { format!("{what} {word} {other}") };
    text_of(label.as_bytes(), LABEL_BYTES_MAX)
}

/// `SELECT orders` of a statement of SQL.
fn of_statement(statement: &[u8]) -> Option<String> {
    let statement = text_of(statement, 2_048);
    let mut words = statement.split_ascii_whitespace().take(WORDS_MAX);
    let verb = words.next().filter(|verb| verb.bytes().all(|byte| byte.is_ascii_alphabetic()))?.to_ascii_uppercase();
    let is_before_table = |word: &str| ["FROM", "INTO", "UPDATE"].iter().any(|known| word.eq_ignore_ascii_case(known));
    let table = if verb == "UPDATE" {
        words.next()
    } else {
        words.by_ref().find(|word| is_before_table(word)).and(words.next())
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'"' | b'`' | b'[' | b']');
    let table = table.map(|table| table.trim_end_matches([';', ','])).filter(|table| table.bytes().all(is_name));
    let table = table.map(|table| table.trim_matches(['"', '`', '[', ']'])).filter(|table| !table.is_empty())?;
    Some(part(format!("{verb} {table}").as_bytes()))
}

/// `GET /stock` of a client span that is called `GET`.
fn of_url(name: &str, words: &Words<'_>) -> Option<String> {
    let is_method = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase());
    let path = if words.path.is_empty() { super::after_authority(words.url)? } else { words.path };
    let path = path.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    is_method.then(|| part(&[name.as_bytes(), b" ", path].concat()))
}

/// The beginning of a text.
fn part(text: &[u8]) -> String {
    text_of(text, PART_BYTES_MAX).trim().to_owned()
}

fn text_of(text: &[u8], bytes_max: usize) -> String {
    let cut = String::from_utf8_lossy(text.get(..bytes_max).unwrap_or(text)).into_owned();
    let end = (0..=bytes_max.min(cut.len())).rev().find(|end| cut.is_char_boundary(*end)).unwrap_or(0);
    cut.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, words: &Words<'_>, expected: &str) {
        assert_eq!(label(name.as_bytes(), words, false, b"shop"), expected);
    }

    #[test]
    fn names_of_calls() {
        let on_db = Words { peer: b"db.internal", system: b"postgresql", ..Words::default() };
        check("SELECT orders", &on_db, "SELECT orders on db.internal");
        check(
            "SELECT",
            &Words { operation: b"SELECT", collection: b"orders", ..on_db },
            "SELECT orders on db.internal",
        );
        let on_db = Words { peer: b"db.internal", ..Words::default() };
        let statement = b"select id, 'secret' from \"orders\" where card = '4111'";
        check("SELECT", &Words { statement, ..on_db }, "SELECT orders on db.internal");
        let on_db = Words { peer: b"db.internal", ..Words::default() };
        check("shop", &Words { statement: b"UPDATE orders SET x = 1", ..on_db }, "UPDATE orders on db.internal");
        let url = b"http://stock.internal:8000/stock/7?token=secret";
        check("GET", &Words { url, peer: b"stock.internal", ..Words::default() }, "GET /stock/7 on stock.internal");
        check("render", &Words::default(), "render");
        check("", &Words { system: b"redis", peer_service: b"cache", ..Words::default() }, "redis on cache");
        check("", &Words::default(), "a span without a name");
        assert_eq!(label(b"GET /report", &Words::default(), true, b"shop"), "GET /report of shop");
    }

    #[test]
    fn names_are_bounded() {
        let long = "\u{e9}".repeat(1 << 19);
        let words = Words { peer: long.as_bytes(), statement: long.as_bytes(), ..Words::default() };
        let told = label(long.as_bytes(), &words, false, b"");
        assert!(told.len() <= LABEL_BYTES_MAX, "{}", told.len());
        check("\u{fffd}", &Words { operation: &[0xff; 200], collection: &[0xff; 200], ..Words::default() }, &{
            let part = "\u{fffd}".repeat(18);
            format!("{part} {part}")
        });
    }
}
