//! OTLP requests of logs, as the collector's file exporter writes them, one a line, and others over several.
//!
//! ```text
//!  {"resourceLogs":[{"resource":{"attributes":[k8s.pod.name]},"scopeLogs":[{"logRecords":[{"timeUnixNano","body"}, ...]}]}]}
//!  {"pod":"web-1","time":"1772615702123456789","message":"2026/03/04 09:15:02 [error] ..."}        one for each record
//! ```

use serde_json::{Map, Value};

/// How such a line begins.
pub(super) const BEGIN: &[u8] = b"{\"resourceLogs\"";

/// Attributes of a resource that say whose the lines are, with the key under which an envelope says it; the nearest to the
/// program first.
const ORIGINS: [(&str, &str); 6] = [
    ("k8s.container.name", "container"),
    ("container.name", "container"),
    ("container.id", "container"),
    ("service.name", "container"),
    ("k8s.pod.name", "pod"),
    ("host.name", "host"),
];

/// The records of a request, each with the text by which it is found; `None` for any other object.
pub(super) fn records(request: &Value) -> Option<Vec<(String, String)>> {
    request.get("resourceLogs")?;
    let mut found = Vec::new();
    for of_resource in list(request, "resourceLogs") {
        let resource = of_resource.get("resource");
        let attributes: Vec<&Value> = resource.into_iter().flat_map(|resource| list(resource, "attributes")).collect();
        let mut named = Map::new();
        for (name, key) in ORIGINS {
            let found = attributes.iter().find(|attribute| attribute.get("key").and_then(Value::as_str) == Some(name));
            if let Some(value) = found.and_then(|attribute| attribute.get("value")) {
                named.entry(key.to_owned()).or_insert_with(|| plain(value));
            }
        }
        for scope in list(of_resource, "scopeLogs") {
            found.extend(list(scope, "logRecords").map(|record| (line_of(record, named.clone()), text_of(record))));
        }
    }
    Some(found)
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text_of(record: &Value) -> String {
    record.pointer("/body/stringValue").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A record as an envelope says it: a text under `message`, the members of anything else as they are.
fn line_of(record: &Value, mut object: Map<String, Value>) -> String {
    let body = record.get("body").map(plain);
    let time = ["timeUnixNano", "observedTimeUnixNano"].iter().find_map(|key| {
        let text = record.get(*key)?;
        let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
        (text != "0").then_some(text)
    });
    if let Some(time) = time {
        object.insert("time".to_owned(), Value::String(time));
    }
    match body {
        Some(Value::Object(members)) => {
            object.extend(members);
            for attribute in list(record, "attributes") {
                let key = attribute.get("key").and_then(Value::as_str).unwrap_or_default();
                object.entry(key.to_owned()).or_insert_with(|| attribute.get("value").map(plain).unwrap_or_default());
            }
        }
        Some(body) => _ = object.insert("message".to_owned(), body),
        None => {}
    }
    Value::Object(object).to_string()
}

/// An `AnyValue` as plain JSON. Bytes stay base64.
fn plain(value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let Some((kind, value)) = members.iter().next() else { return Value::Null };
    match kind.as_str() {
        "arrayValue" => Value::Array(list(value, "values").map(plain).collect()),
        "kvlistValue" => {
            let pairs = list(value, "values").filter_map(|pair| {
                Some((pair.get("key")?.as_str()?.to_owned(), pair.get("value").map(plain).unwrap_or_default()))
            });
            Value::Object(pairs.collect())
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::records;

    #[test]
    fn each_record_is_a_line() {
        let line = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"nginx"}},{"key":"k8s.pod.name","value":{"stringValue":"web-1"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1772615702000000000","body":{"stringValue":"a \"b\""}},{"observedTimeUnixNano":"17","timeUnixNano":"0","body":{"kvlistValue":{"values":[{"key":"status","value":{"intValue":"502"}}]}},"attributes":[{"key":"x","value":{"boolValue":true}}]},{}]}]},{}]}"#;
        let expected = [
            r#"{"container":"nginx","pod":"web-1","time":"1772615702000000000","message":"a \"b\""}"#,
            r#"{"container":"nginx","pod":"web-1","time":"17","status":"502","x":true}"#,
            r#"{"container":"nginx","pod":"web-1"}"#,
        ];
        let request = serde_json::from_str(line).expect("JSON");
        let found = records(&request).expect("a request");
        assert_eq!(sorted(&found.iter().map(|(line, _)| line).collect::<Vec<_>>()), sorted(&expected));
        assert_eq!(records(&serde_json::json!({"resource": 1})), None);
    }

    fn sorted<T: AsRef<str>>(lines: &[T]) -> Vec<serde_json::Value> {
        lines.iter().map(|line| serde_json::from_str(line.as_ref()).expect("an object")).collect()
    }
}
