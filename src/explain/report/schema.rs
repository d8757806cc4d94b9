//! The JSON Schema of `explain --format json`, out of the tables that its words come from.

use crate::engine::calibration::Completeness;
use crate::engine::causes;
use crate::engine::incident::Ended;
use crate::engine::verdict::{LinkMethod, Source};
use crate::read::evidence::Symptom;
use serde_json::{Value, json};

/// Of one object, which is one line.
pub fn schema() -> Value {
    let causes: Vec<&str> = causes::all().iter().map(|cause| cause.id).collect();
    let mut categories: Vec<&str> = causes::Category::ALL.iter().map(|category| category.id()).collect();
    categories.sort_unstable();
    let symptoms: Vec<&str> = Symptom::ALL.iter().map(|symptom| symptom.id()).collect();
    let methods: Vec<&str> = LinkMethod::ALL.iter().map(|method| method.id()).collect();
    let completeness: Vec<&str> = Completeness::ALL.iter().map(|completeness| completeness.id()).collect();
    let sources: Vec<&str> = Source::ALL.iter().map(|source| source.id()).collect();
    let ended: Vec<&str> = Ended::WORDS.iter().map(|(word, _)| *word).collect();
    let text = json!({"type": ["string", "null"]});
    let time = json!({"type": ["string", "null"], "description": "RFC 3339 in UTC; without a year where no file tells of one, null where no line has a stamp"});
    let status = json!({"type": ["integer", "null"], "minimum": 0, "maximum": 999});
    let probability = json!({"type": "number", "minimum": 0, "maximum": 1});
    let uid = json!({"type": "string", "pattern": "^[0-9a-f]{32}$"});
    let trace = json!({"type": ["string", "null"], "pattern": "^[0-9a-f]{32}$"});
    let span = json!({"type": ["string", "null"], "pattern": "^[0-9a-f]{16}$"});
    let cause = json!({"enum": causes});
    let count = json!({"type": "integer", "minimum": 0});
    let counts = json!({"type": "object", "additionalProperties": count});
    let line = json!({"type": ["integer", "null"], "minimum": 1});
    let evidence = object(json!({"file": text, "line": line, "source": {"enum": sources}, "text": {"type": "string"}}));
    let record = object(json!({"file": text, "line": line, "source": {"enum": sources}}));
    let records = json!({"type": "array", "items": record, "description": "every line of the request"});
    let mut link = object(json!({
        "candidates": {"type": "array", "items": uid, "maxItems": 5}, "confidence": probability, "method": {"enum": methods},
    }));
    insert(
        &mut link,
        "log_odds",
        json!({"type": "object", "additionalProperties": {"type": "number"}, "description": "what speaks for the likeliest trace: logarithms of odds"}),
    );
    let considered = object(json!({"cause": cause, "confidence": probability, "rule": {"type": "string"}}));
    let failure = |kind: &str| {
        object(json!({
            "type": {"const": kind}, "uid": uid, "revision": count, "time": time, "status": status, "method": text, "target": text,
            "client": text, "upstream": text, "attempts": count, "worker_pid": {"type": ["integer", "null"], "minimum": 0},
            "cause": cause, "category": {"enum": categories}, "symptom": {"enum": symptoms}, "confidence": probability,
            "completeness": {"enum": completeness}, "considered": {"type": "array", "items": considered, "maxItems": 8},
            "evidence": {"type": "array", "items": evidence, "maxItems": 5}, "records": records, "hint": {"type": "string"},
            "incident": {"anyOf": [uid, {"type": "null"}]}, "trace_id": trace, "span_id": span, "link": link,
        }))
    };
    let example = object(json!({
        "uid": uid, "time": time, "status": status, "method": text, "target": text, "cause": cause, "trace_id": trace, "span_id": span,
    }));
    let incident = object(json!({
        "type": {"const": "incident"}, "uid": uid, "origin": cause, "first": time, "last": time, "requests": count, "failures": count,
        "counts": object(json!({"cause": counts, "path": counts, "status": counts, "upstream": counts})),
        "began_with": text, "evidence": {"anyOf": [evidence, {"type": "null"}]}, "examples": {"type": "array", "items": example, "maxItems": 3},
        "ended": {"anyOf": [object(json!({"at": time, "by": {"enum": ended}, "text": {"type": "string"}})), {"type": "null"}]},
        "hint": {"type": "string"}, "sentence": {"type": "string"},
    }));
    let good = object(json!({
        "type": {"const": "good"}, "time": time, "status": {"type": "integer"}, "method": text, "target": text, "client": text,
        "cause": {"type": "null"}, "records": records, "trace_id": trace, "span_id": span, "link": link,
    }));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "why502 explain --format json",
        "description": "One object a line: a failed request, a failure that joins no request, an incident, and with --all a good request.",
        "oneOf": [failure("request"), failure("failure"), incident, good],
    })
}

/// An object that has all of these keys and no others.
fn object(properties: Value) -> Value {
    let required: Vec<String> = properties.as_object().map(|keys| keys.keys().cloned().collect()).unwrap_or_default();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// Adds a key that may be missing.
fn insert(object: &mut Value, key: &str, schema: Value) {
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(key.to_owned(), schema);
    }
}
