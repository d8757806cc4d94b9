//! Rows of tables whose head names a column of lines: exports of Kibana, Grafana, Splunk, Datadog, CloudWatch, Azure and Cloud
//! Logging.

use super::{Record, lines_before};
use serde_json::{Map, Value};

/// Names of the column of lines, the surest first; of a name with dots the last part.
const TEXTS: [&str; 14] = [
    "message",
    "msg",
    "log",
    "line",
    "logentry",
    "logmessage",
    "textpayload",
    "raw",
    "log line",
    "content",
    "logline",
    "body",
    "event",
    "text",
];
/// What each of the others says, by the names that exports give it.
const OTHERS: [(&str, &[&str]); 4] = [
    ("time", &["timestamp", "time", "date", "timegenerated", "timegenerated [utc]", "datetime", "asctime"]),
    ("container", &["container", "containername", "container name", "container_name"]),
    ("pod", &["pod", "podname", "pod name", "pod_name"]),
    ("host", &["host", "hostname", "host name"]),
];
/// Columns of requests: such a table is an access log, and each of them says something.
const OF_REQUESTS: [&str; 6] = ["status", "request", "request_uri", "uri", "method", "remote_addr"];
/// Columns that are looked at.
const COLUMNS_MAX: usize = 256;
/// Bytes of a column's name.
const NAME_BYTES_MAX: usize = 64;

/// The head of a table.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    delimiter: u8,
    columns: usize,
    text: usize,
    others: Vec<(&'static str, usize)>,
}

impl Table {
    /// Reads the first line of a file.
    pub(super) fn of(head: &[u8]) -> Option<Table> {
        [b',', b'\t', b';'].into_iter().find_map(|delimiter| Table::with(head, delimiter))
    }

    fn with(head: &[u8], delimiter: u8) -> Option<Table> {
        let mut names = Vec::new();
        let record = rows(head, delimiter).next()?.ok()?;
        for name in record.iter().take(COLUMNS_MAX) {
            names.push(name_of(std::str::from_utf8(name).ok()?)?);
        }
        if names.len() < 2 || names.iter().any(|name| OF_REQUESTS.contains(&name.as_str())) {
            return None;
        }
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let text = TEXTS.iter().find_map(|name| place(name))?;
        let others = OTHERS.iter().filter_map(|(key, of)| Some((*key, of.iter().find_map(|name| place(name))?)));
        Some(Table { delimiter, columns: names.len(), text, others: others.filter(|(_, at)| *at != text).collect() })
    }

    /// The rows as lines; `None` where one has other columns than the head.
    pub(super) fn records(&self, unit: &[u8]) -> Option<Vec<Record>> {
        if Table::of(unit.trim_ascii_end()).is_some_and(|head| head == *self) {
            return Some(Vec::new());
        }
        let mut found = Vec::new();
        for row in rows(unit, self.delimiter) {
            let row = row.ok().filter(|row| row.len() == self.columns)?;
            let value = |at: usize| row.get(at).map(|value| String::from_utf8_lossy(value).into_owned());
            let text = value(self.text)?;
            let place = row.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(0));
            let mut object = Map::new();
            for (key, at) in &self.others {
                object.extend(value(*at).map(|value| ((*key).to_owned(), Value::String(value))));
            }
            object.insert("message".to_owned(), Value::String(text));
            found
                .push(Record { text: Value::Object(object).to_string().into_bytes(), line: lines_before(unit, place) });
        }
        Some(found)
    }
}

fn rows(bytes: &[u8], delimiter: u8) -> impl Iterator<Item = csv::Result<csv::ByteRecord>> {
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(delimiter);
    reader.from_reader(bytes).into_byte_records()
}

/// A name in lower case, without what stands before its last dot and its leading marks; `None` for what is no name.
fn name_of(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || " _@.-/()[]#:".contains(c);
    let text = text.trim();
    let is_name = !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.chars().all(is_part)
        && !text.starts_with(|c: char| c.is_ascii_digit());
    let last = text.rsplit('.').next().unwrap_or(text);
    is_name.then(|| last.trim_start_matches(['_', '@']).to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_names_a_column_of_lines() {
        let of = |head: &str| Table::of(head.as_bytes()).map(|table| (table.delimiter, table.text, table.others));
        assert_eq!(of("\"Date\",\"Host\",\"Service\",\"Message\""), Some((b',', 3, vec![("time", 0), ("host", 1)])));
        assert_eq!(of("@timestamp,@message,@logStream"), Some((b',', 1, vec![("time", 0)])));
        assert_eq!(
            of("insertId,resource.labels.container_name,textPayload,timestamp"),
            Some((b',', 2, vec![("time", 3), ("container", 1)]))
        );
        assert_eq!(of("\"_raw\",\"_time\",host,source"), Some((b',', 0, vec![("time", 1), ("host", 2)])));
        assert_eq!(of("Time\tLine\ttsNs"), Some((b'\t', 1, vec![("time", 0)])));
        for other in [
            "time,status,request,message",
            "message",
            "2026-03-04,a,message",
            "2026/03/04 09:15:02 [error] 7#7: *1 a, client: 192.0.2.7, server: _, message",
            "{\"a\":1,\"message\":\"b\"}",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn each_row_is_a_line() {
        let table = Table::of(b"time,container,message").expect("a head");
        let records = |rows: &str| table.records(rows.as_bytes());
        let found = records("2026,web,\"a \"\"b\"\"\nc\"\n2027,,d\n").expect("rows");
        let text = |record: &Record| String::from_utf8(record.text.clone()).expect("UTF-8");
        let found: Vec<_> = found.iter().map(|record| (record.line, text(record))).collect();
        let expected = [
            (0, r#"{"container":"web","message":"a \"b\"\nc","time":"2026"}"#),
            (2, r#"{"container":"","message":"d","time":"2027"}"#),
        ];
        assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
        assert_eq!(records("time,container,message\n"), Some(Vec::new()));
        assert_eq!(records("a line of another kind\n"), None);
    }
}
