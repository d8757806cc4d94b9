//! What an agent may ask, as it is told.

use crate::engine::causes;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};
use std::sync::Arc;

/// All tools.
pub(super) fn all() -> Vec<Tool> {
    let ids: Vec<&str> = causes::all().iter().map(|cause| cause.id).collect();
    let time = "as logs have it (2026-11-25T10:15:33Z, 25/Nov/2026:10:15:33 +0000, 2026/11/25 10:15), a day, or how long ago (2h); UTC";
    let since = json!({"type": "string", "description": format!("Not before this time: {time}")});
    let until = json!({"type": "string", "description": format!("Before this time: {time}")});
    let cause = json!({"enum": ids, "description": "Only this cause"});
    vec![
        tool(
            "request",
            "Why did a request fail? Finds failed requests by path, time, id or cause, and tells of each the cause with its \
             probability, the evidence as lines with file and line number, what was ruled out, what else it could be, what to do, \
             and its trace. Ask this first for one request.",
            json!({
                "path": {"type": "string", "description": "Path, or a part of it, such as /report"},
                "time": {"type": "string", "description": format!("About when it failed: a time of day such as 10:15 of any day, or {time}")},
                "id": {"type": "string", "description": "uid of the request or its incident, or a trace id"},
                "cause": cause,
                "limit": {"type": "integer", "minimum": 1, "maximum": 20, "default": 3, "description": "Requests that are told in full"},
            }),
            &[],
        ),
        tool(
            "incidents",
            "What went wrong? Outages in the logs: each with its origin, counts by cause, path, status and upstream, first and last \
             failure, evidence, examples with ids, what ended it, and what to do; and how often each cause was named.",
            json!({"since": since, "until": until, "cause": cause}),
            &[],
        ),
        tool(
            "causes",
            "What does a cause mean? All causes in a sentence each, or one in full: when it is named, what to do, the facts that its \
             rule rests on with their sources.",
            json!({"id": {"enum": ids, "description": "One cause in full"}}),
            &[],
        ),
        tool(
            "explain",
            "The whole report as Markdown, for a ticket: incidents, each story of a failed request with its lines, counts by cause.",
            json!({
                "files": {"type": "array", "items": {"type": "string"}, "maxItems": 100, "description": "Some of the files that this server was started with; all without it"},
                "since": since, "until": until, "cause": cause,
                "limit": {"type": "integer", "minimum": 1, "maximum": 50, "default": 10, "description": "Stories that are told"},
            }),
            &[],
        ),
    ]
}

fn tool(name: &'static str, description: &'static str, properties: Value, required: &[&str]) -> Tool {
    let schema =
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let schema: JsonObject = schema.as_object().cloned().unwrap_or_default();
    // It reads files that were named by the user, and nothing else.
    let annotations = ToolAnnotations::from_raw(None, Some(true), Some(false), Some(true), Some(false));
    Tool::new(name, description, Arc::new(schema)).with_annotations(annotations)
}
