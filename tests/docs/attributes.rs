//! docs/attributes.md.

use super::{cell, generated_by, sentence};
use std::fmt::Write;
use why502::enrich::EVENT_NAME;
use why502::enrich::attributes::{ATTRIBUTES, Carrier, Kind, Presence, Row, Vocabulary};
use why502::enrich::incident::INCIDENT_EVENT_NAME;

pub(crate) fn markdown() -> String {
    let mut out = generated_by("<!-- ", "src/enrich/attributes.rs", " -->");
    let _ = write!(
        out,
        "# Attributes\n\n\
         What why502 writes on the log records and the span of a failed request, and on the verdict's own record. Nothing else is\n\
         changed, but for the trace and span id of a log record that had none. The same as a registry of semantic conventions in\n\
         Weaver's format: [registry/](registry/).\n\n\
         | carrier | what it is |\n|---|---|\n\
         | record | each log record of the failed request: nginx's access and error line, Gunicorn's lines that decided |\n\
         | span | the server or client span of the failed request |\n\
         | span event | the event `{EVENT_NAME}` of that span, at the time of the failure |\n\
         | verdict | a log record of its own for each verdict: event name `{EVENT_NAME}`, severity WARN, body one sentence for people, with the trace and span id of the link |\n\
         | incident | a log record of its own for each incident when it opens, changes and closes: event name `{INCIDENT_EVENT_NAME}`, severity WARN while it is open and INFO when it is over, body one sentence for people |\n\n\
         At most 14 `why502.*` attributes stand on one record. Names and words are a contract.\n\n\
         ## Attributes of why502\n\n"
    );
    table(&mut out, ATTRIBUTES.iter().filter(|row| row.is_own()));
    out.push_str(
        "\n## Attributes of OpenTelemetry's semantic conventions\n\n\
         Written only where the record or span has none of that name: an existing one is never changed. On log records of the\n\
         request they are written only while `processors::why502::enrich::http` is on, which it is by default.\n\n",
    );
    table(&mut out, ATTRIBUTES.iter().filter(|row| !row.is_own()));
    for row in ATTRIBUTES {
        if let Kind::Words(vocabulary) = row.kind {
            words(&mut out, row, vocabulary);
        }
    }
    out
}

fn table<'a>(out: &mut String, rows: impl Iterator<Item = &'a Row>) {
    out.push_str("| attribute | type | meaning | example | there | on |\n|---|---|---|---|---|---|\n");
    for row in rows {
        let meaning = if row.note.is_empty() { row.brief.to_owned() } else { format!("{} {}", row.brief, row.note) };
        let examples: Vec<String> = row.examples.iter().map(|example| code(example)).collect();
        let there = match row.presence {
            Presence::Always => "always".to_owned(),
            Presence::If(condition) => format!("if {condition}"),
        };
        let on: Vec<&str> = row.on.iter().map(|carrier| name(*carrier)).collect();
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} |",
            row.id,
            kind(row.kind),
            cell(&meaning),
            cell(&examples.join(", ")),
            cell(&there),
            on.join(", ")
        );
    }
}

fn words(out: &mut String, row: &Row, vocabulary: Vocabulary) {
    let more = if vocabulary == Vocabulary::Causes { " [causes.md](causes.md) has each in full." } else { "" };
    let _ = write!(out, "\n## Words of `{}`\n\n{}{more}\n\n| word | meaning |\n|---|---|\n", row.id, row.brief);
    for (word, meaning) in vocabulary.words() {
        let shown = if vocabulary == Vocabulary::Causes {
            format!("[`{word}`](causes.md#{word})")
        } else {
            format!("`{word}`")
        };
        let _ = writeln!(out, "| {shown} | {} |", cell(&sentence(meaning)));
    }
}

fn name(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Record => "record",
        Carrier::Span => "span",
        Carrier::SpanEvent => "span event",
        Carrier::Verdict => "verdict",
        Carrier::Incident => "incident",
    }
}

/// Code that may hold backticks itself.
fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "string",
        Kind::Strings => "string[]",
        Kind::Int => "int",
        Kind::Double => "double",
        Kind::Words(_) => "string, one of the words below",
    }
}
