//! The JSON Schema of the configuration, for editors, out of the table of settings.
//!
//! Whether values fit together says `why502 validate` alone.

use super::pasted::{EXTENSIONS_NOT_NEEDED, NOT_NEEDED, PROCESSORS_NOT_NEEDED};
use super::table::Kind;
use serde_json::{Map, Value, json};

/// What a value may be in any place: a variable of the environment is a text.
const VARIABLE: &str = "\\$\\{";

/// Of the whole file.
pub fn schema() -> Value {
    let otlp = section(
        json!({
            "protocols": section(json!({"grpc": of("grpc"), "http": of("http")}), "At least one of both."),
        }),
        "OTLP.",
    );
    let remote = of("remote");
    let mut datadog = of("datadog");
    let more = remote.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(properties) = datadog.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(more);
    }
    // What it shares with other remote exporters stands in their part of the table.
    let shared = |keys: &[&str]| -> Map<String, Value> {
        let of_remotes = remote.get("properties").and_then(Value::as_object);
        let all = of_remotes.into_iter().flatten().filter(|(key, _)| keys.contains(&key.as_str()));
        all.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let kafka = |path: &str, keys: &[&str]| {
        let mut section = of(path);
        let client = of("kafka").get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(properties) = section.get_mut("properties").and_then(Value::as_object_mut) {
            properties.extend(client);
            properties.extend(shared(keys));
        }
        section
    };
    let kafka_receiver = kafka("kafka_receiver", &["tls"]);
    let kafka_exporter = kafka("kafka_exporter", &["tls", "retry_on_failure", "sending_queue", "dead_letter"]);
    let file = of("file");
    let pipeline = of("pipeline");
    let ignored =
        |words: &str| json!({"deprecated": true, "description": format!("Not needed, does nothing: {words}.")});
    let not_needed = |table: &[(&str, &str)]| -> Map<String, Value> {
        table.iter().map(|(name, words)| (format!("^{name}(/.+)?$"), ignored(words))).collect()
    };
    let mut processors = not_needed(PROCESSORS_NOT_NEEDED);
    processors.insert("^why502$".to_owned(), of("why502"));
    let mut extensions = not_needed(EXTENSIONS_NOT_NEEDED);
    extensions.insert("^bearertokenauth(/.+)?$".to_owned(), of("bearertokenauth"));
    extensions.insert("^basicauth(/.+)?$".to_owned(), of("basicauth"));
    extensions.insert("^health_check(/.+)?$".to_owned(), of("health_check"));
    let root = json!({
        "receivers": named(json!({"^otlp(/.+)?$": otlp, "^kafka(/.+)?$": kafka_receiver}), "What comes in."),
        "processors": named(Value::Object(processors), "The processor `why502`."),
        "exporters": named(json!({
            "^(otlp|otlp_grpc|otlphttp|otlp_http)(/.+)?$": remote, "^file(/.+)?$": file,
            "^datadog(/.+)?$": datadog, "^jaeger(/.+)?$": remote, "^kafka(/.+)?$": kafka_exporter,
            "^debug(/.+)?$": {"type": ["object", "null"], "description": "Verdicts for people on standard output."},
        }), "Where everything goes."),
        "extensions": named(Value::Object(extensions), "Who may send, and who we are towards a backend."),
        "memory": of("memory"),
        "journal": of("journal"),
        "web": of("web"),
        "service": section(json!({
            "pipelines": named(json!({"^(logs|traces|metrics)(/.+)?$": pipeline}), "What goes where."),
            "telemetry": of("telemetry"),
            "extensions": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Names of extensions."},
        }), "Pipelines, and why502's own telemetry."),
    });
    let mut schema =
        section(root, "why502's configuration, in the words and the shape of the OpenTelemetry Collector.");
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        schema.insert("title".to_owned(), "why502.yaml".into());
        schema.insert("type".to_owned(), "object".into());
    }
    schema
}

/// Keys with their schemas and no others; without any value it has its defaults.
fn section(properties: Value, description: &str) -> Value {
    json!({"type": ["object", "null"], "description": description, "properties": properties, "additionalProperties": false})
}

/// Entries by their type, each perhaps with a name.
fn named(patterns: Value, description: &str) -> Value {
    json!({"type": ["object", "null"], "description": description, "patternProperties": patterns, "additionalProperties": false})
}

/// A section of the table.
fn of(path: &str) -> Value {
    let mut properties: Map<String, Value> = Map::new();
    for key in super::table::keys_under(path) {
        let whole = format!("{path}::{key}");
        let value = match super::table::find(&whole) {
            Some(row) if row.kind == Kind::Sections => {
                let items = if whole == "why502::sites::upstreams" { "upstream" } else { "reader" };
                json!({"type": ["array", "null"], "items": of(items), "description": row.doc})
            }
            Some(row) => value(row.kind, row.default, row.doc),
            None => of(&whole),
        };
        properties.insert(key.to_owned(), value);
    }
    for (whole, words) in NOT_NEEDED {
        let key = whole.strip_prefix(path).and_then(|rest| rest.strip_prefix("::")).filter(|key| !key.contains("::"));
        if let Some(key) = key {
            let description = format!("Not needed, does nothing: {words}.");
            properties.insert(key.to_owned(), json!({"deprecated": true, "description": description}));
        }
    }
    json!({"type": ["object", "null"], "properties": properties, "additionalProperties": false})
}

fn value(kind: Kind, default: &str, doc: &str) -> Value {
    let variable = json!({"type": "string", "pattern": VARIABLE});
    let described = |schema: Value| -> Value {
        let mut schema = schema;
        if let Some(schema) = schema.as_object_mut() {
            let default = if default.is_empty() { String::new() } else { format!(" Default: {default}.") };
            schema.insert("description".to_owned(), format!("{doc}{default}").into());
        }
        schema
    };
    let either = |schema: Value| described(json!({"anyOf": [schema, variable, {"type": "null"}]}));
    match kind {
        Kind::Text | Kind::Endpoint | Kind::Path => described(json!({"type": ["string", "number", "boolean", "null"]})),
        Kind::Duration(..) => either(
            json!({"anyOf": [{"const": 0}, {"type": "string", "pattern": r"^(0|([0-9.]+(ns|us|µs|ms|s|m|h))+)$"}]}),
        ),
        Kind::Bytes(..) => either(
            json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+ *([KMG]i?B|kB|B)?$"}]}),
        ),
        Kind::Count(from, to) => either(json!({"type": "integer", "minimum": from, "maximum": to})),
        Kind::Number(from, to) => either(json!({"type": "number", "minimum": from, "maximum": to})),
        Kind::Bool => either(json!({"type": "boolean"})),
        Kind::Choice(words) => {
            // YAML reads 1.2 as a number.
            let numbers: Vec<f64> = words.iter().filter_map(|word| word.parse().ok()).collect();
            either(json!({"anyOf": [{"enum": words}, {"enum": numbers}]}))
        }
        Kind::List => described(json!({"type": ["array", "null"], "items": {"type": ["string", "number", "boolean"]}})),
        Kind::Headers | Kind::Selector => described(
            json!({"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}),
        ),
        Kind::Zone => either(json!({"type": "string", "pattern": r"^(UTC|Z|[+-][0-9]{2}:?[0-9]{2})$"})),
        // What its entries are, the section says.
        Kind::Sections => described(json!({"type": ["array", "null"]})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::SETTINGS;

    #[test]
    fn every_setting_is_described() {
        let text = schema().to_string();
        for setting in SETTINGS {
            let doc = Value::from(setting.doc).to_string();
            assert!(text.contains(doc.trim_matches('"')), "{}", setting.path);
        }
    }
}
