//! Records within documents of JSON: Elasticsearch's answers, Loki's, `aws logs`, exports of Cloud Logging and Grafana,
//! `journalctl --output=json-pretty`, OTLP.

use super::{Record, as_json, lines_before, otlp};
use crate::read::peel::peel;
use serde_json::{Map, Value};

/// Bytes of a record by which its place in the document is found.
const SOUGHT_BYTES: usize = 60;
/// Names of the lists that hold the records of a document.
const HOLDERS: [&[u8]; 7] =
    [b"\"resourceLogs\"", b"\"result\"", b"\"hits\"", b"\"events\"", b"\"results\"", b"\"values\"", b"\"logs\""];

/// True where a file begins with a document over several lines, or one that holds several records. A line of an
/// application that logs JSON is no document: it stands on a line of its own.
pub(super) fn begin(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    let (first, is_cut) = match memchr::memchr(b'\n', head) {
        Some(end) => (head.get(..end).unwrap_or_default(), false),
        None => (head, true),
    };
    let behind = |from: usize| head.get(from..).unwrap_or_default().trim_ascii_start().first().copied();
    match head.first() {
        Some(b'[') => {
            matches!(behind(1), Some(b'{')) || first.trim_ascii_end() == b"[" && matches!(behind(1), Some(b'['))
        }
        Some(b'{') if HOLDERS.iter().any(|holder| has_list(first, holder)) => true,
        Some(b'{') if is_cut => false,
        Some(b'{') => behind(1) == Some(b'"') && super::Nesting::default().goes_on(first),
        _ => false,
    }
}

/// True for a list of objects or of lists under this name.
fn has_list(line: &[u8], name: &[u8]) -> bool {
    let behind = |at: usize| line.get(at + name.len()..).unwrap_or_default();
    memchr::memmem::find_iter(line, name).any(|at| {
        let signs = behind(at).iter().filter(|byte| !byte.is_ascii_whitespace()).take(3);
        matches!(signs.copied().collect::<Vec<_>>().as_slice(), [b':', b'[', b'{' | b'['])
    })
}

/// Its records; `None` where it is no JSON, or holds no object.
pub(super) fn records(unit: &[u8]) -> Option<Vec<Record>> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let between = |byte: &u8| byte.is_ascii_whitespace() || b",[]".contains(byte);
        at += unit.get(at..)?.iter().take_while(|byte| between(byte)).count();
        let rest = unit.get(at..).filter(|rest| !rest.is_empty());
        let Some(rest) = rest else { return Some(found) };
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        let value = values.next()?.ok().filter(Value::is_object)?;
        let length = values.byte_offset();
        let mut lines = Vec::new();
        walk(&value, &mut lines);
        place(unit, at, lines, &mut found);
        at += length;
    }
}

/// Says in which line each of them stands: where its text is found, behind the one before it.
fn place(unit: &[u8], at: usize, lines: Vec<Line>, found: &mut Vec<Record>) {
    let mut from = at;
    for Line { text, sought } in lines {
        let sought = as_json(&sought);
        let mut end = sought.len().min(SOUGHT_BYTES);
        while !sought.is_char_boundary(end) {
            end -= 1;
        }
        let needle = sought.get(..end).filter(|needle| !needle.is_empty());
        let place = needle.and_then(|needle| memchr::memmem::find(unit.get(from..)?, needle.as_bytes()));
        from += place.unwrap_or(0);
        found.push(Record { text: text.into_bytes(), line: lines_before(unit, from) });
    }
}

/// A record, and the text by which it is found.
struct Line {
    text: String,
    sought: String,
}

fn walk(value: &Value, found: &mut Vec<Line>) {
    match value {
        Value::Array(items) => match row(items) {
            Some(row) => push(&Value::Object(row), found),
            None => items.iter().for_each(|item| walk(item, found)),
        },
        Value::Object(members) => object(value, members, found),
        _ => {}
    }
}

fn object(value: &Value, members: &Map<String, Value>, found: &mut Vec<Line>) {
    if let Some(records) = otlp::records(value) {
        found.extend(records.into_iter().map(|(text, sought)| Line { text, sought }));
        return;
    }
    if let (Some(Value::Object(labels)), Some(Value::Array(values))) = (members.get("stream"), members.get("values")) {
        return stream(labels, values, found);
    }
    let before = found.len();
    let holds = |value: &&Value| {
        value.as_array().and_then(|items| items.first()).is_some_and(|first| first.is_object() || first.is_array())
    };
    members.values().filter(holds).for_each(|inner| walk(inner, found));
    if found.len() > before {
        return;
    }
    if !peel(&value.to_string()).layers.is_empty() {
        return push(value, found);
    }
    members.values().filter(|inner| inner.is_object()).for_each(|inner| walk(inner, found));
    if found.len() == before && members.values().any(|inner| !inner.is_object() && !inner.is_array()) {
        push(value, found);
    }
}

/// A stream of Loki's: its labels, and pairs of time and line.
fn stream(labels: &Map<String, Value>, values: &[Value], found: &mut Vec<Line>) {
    for pair in values.iter().filter_map(Value::as_array) {
        let (Some(time), Some(Value::String(line))) = (pair.first(), pair.get(1)) else { continue };
        let mut object = labels.clone();
        object.insert("time".to_owned(), time.clone());
        object.insert("message".to_owned(), Value::String(line.clone()));
        found.push(Line { text: Value::Object(object).to_string(), sought: line.clone() });
    }
}

/// `[{"field": "@timestamp", "value": "..."}, {"field": "@message", "value": "..."}]` of CloudWatch Logs Insights.
fn row(items: &[Value]) -> Option<Map<String, Value>> {
    let member = |item: &Value| Some((item.get("field")?.as_str()?.to_owned(), item.get("value")?.clone()));
    (!items.is_empty()).then(|| items.iter().map(member).collect())?
}

/// An object is found by its longest text: that of the record mostly.
fn push(value: &Value, found: &mut Vec<Line>) {
    found.push(Line { text: value.to_string(), sought: longest(value).to_owned() });
}

fn longest(value: &Value) -> &str {
    match value {
        Value::String(text) => text,
        Value::Array(items) => items.iter().map(longest).max_by_key(|text| text.len()).unwrap_or_default(),
        Value::Object(members) => members.values().map(longest).max_by_key(|text| text.len()).unwrap_or_default(),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, expected: &[(u64, &str)]) {
        let found = records(document.as_bytes()).expect("JSON");
        let text = |record: &Record| String::from_utf8(record.text.clone()).expect("UTF-8");
        let found: Vec<_> = found.iter().map(|record| (record.line, text(record))).collect();
        let expected: Vec<_> = expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
        assert_eq!(found, expected, "{document}");
    }

    #[test]
    fn records_wherever_they_lie() {
        check(
            r#"[{"message":"a","x":1},{"message":"b"}]"#,
            &[(0, r#"{"message":"a","x":1}"#), (0, r#"{"message":"b"}"#)],
        );
        check(
            "[\n {\n  \"message\": \"a\"\n },\n {\n  \"message\": \"b\"\n }\n]",
            &[(2, r#"{"message":"a"}"#), (5, r#"{"message":"b"}"#)],
        );
        check(
            "{\"took\": 3, \"hits\": {\"total\": {\"value\": 2}, \"hits\": [\n{\"_index\": \"a\", \"_source\": {\"message\": \"one\"}},\n{\"_index\": \"a\", \"_source\": {\"message\": \"two\"}}]}}",
            &[
                (1, r#"{"_index":"a","_source":{"message":"one"}}"#),
                (2, r#"{"_index":"a","_source":{"message":"two"}}"#),
            ],
        );
        check(
            r#"{"data":{"result":[{"stream":{"container":"web"},"values":[["17","a"],["18","b"]]}]}}"#,
            &[
                (0, r#"{"container":"web","message":"a","time":"17"}"#),
                (0, r#"{"container":"web","message":"b","time":"18"}"#),
            ],
        );
        check(
            r#"{"results":[[{"field":"@timestamp","value":"2026"},{"field":"@message","value":"a"}]]}"#,
            &[(0, r#"{"@message":"a","@timestamp":"2026"}"#)],
        );
        check(r#"{"status":502,"request":"GET /a HTTP/1.1"}"#, &[(0, r#"{"request":"GET /a HTTP/1.1","status":502}"#)]);
        check("[", &[]);
        assert_eq!(records(b"{\"message\":\"a\""), None);
        assert_eq!(records(b"2026/03/04 09:15:02 [error] x"), None);
    }

    #[test]
    fn a_document_is_told_by_how_it_begins() {
        for document in
            ["[\n{", "[{\"a\":1}]", "{\n  \"a\": 1", "{\"hits\": {\"hits\": [{", "  [ {", "{\"a\": 1,\n\"b\": 2}"]
        {
            assert!(begin(document.as_bytes()), "{document}");
        }
        for other in [
            "[2026-03-04 09:15:02 +0000] [7] [INFO] x\n",
            "{\"a\":1}\n{\"a\":2}\n",
            "[emerg] 7#7: x",
            "{container=\"web\"} x\n",
            "[[31mx",
            "{\"log\":\"a",
            "",
        ] {
            assert!(!begin(other.as_bytes()), "{other}");
        }
    }
}
