//! docs/registry: a registry of semantic conventions in Weaver's format (`weaver registry check -r docs/registry`).

use super::{generated_by, sentence};
use std::collections::BTreeSet;
use std::fmt::Write;
use why502::config::tree::{self, Kind as Yaml, Node};
use why502::engine::causes::{self, Category};
use why502::engine::incident::State;
use why502::engine::verdict::LinkMethod;
use why502::enrich::EVENT_NAME;
use why502::enrich::attributes::{ATTRIBUTES, Carrier, Kind, Presence, Row};
use why502::enrich::incident::INCIDENT_EVENT_NAME;
use why502::read::evidence::Symptom;

/// The conventions of which the other names are.
const STANDARD: &str = "1.44.0";

pub(crate) fn manifest() -> String {
    let mut out = generated_by("# ", "src/enrich/attributes.rs", "");
    let _ = write!(
        out,
        "name: why502\n\
         description: {}\n\
         schema_url: {}/schemas/{}\n\
         dependencies:\n  \
           - schema_url: https://opentelemetry.io/schemas/{STANDARD}\n    \
             registry_path: https://github.com/open-telemetry/semantic-conventions@v{STANDARD}[model]\n",
        quoted("Why NGINX answered 502: what why502 writes on log records and spans."),
        env!("CARGO_PKG_REPOSITORY"),
        env!("CARGO_PKG_VERSION"),
    );
    out
}

pub(crate) fn groups() -> String {
    let mut out = generated_by("# ", "src/enrich/attributes.rs", "");
    out.push_str("groups:\n");
    group(&mut out, "registry.why502", "attribute_group", "Attributes of why502.");
    out.push_str("    display_name: why502 Attributes\n    attributes:\n");
    ATTRIBUTES.iter().filter(|row| row.is_own()).for_each(|row| definition(&mut out, row));
    group(&mut out, "why502.record", "attribute_group", "On each log record of a failed request.");
    references(&mut out, Carrier::Record);
    group(&mut out, "why502.span", "attribute_group", "On the server or client span of a failed request.");
    references(&mut out, Carrier::Span);
    group(
        &mut out,
        &format!("event.{EVENT_NAME}"),
        "event",
        "A request failed, or a process that serves requests, and this is why.",
    );
    let note = "A log record of its own, severity WARN; its body is one sentence for people. Also an event of the request's span, there without `log.record.uid`, `why502.revision` and what the span itself has.";
    let _ = write!(out, "    name: {EVENT_NAME}\n    stability: development\n    note: {}\n", quoted(note));
    references(&mut out, Carrier::Verdict);
    let brief = "An outage: failures of one application with one origin.";
    group(&mut out, &format!("event.{INCIDENT_EVENT_NAME}"), "event", brief);
    let note = "A log record of its own when it opens, changes and closes; severity WARN while it is open and INFO when it is over; its body is one sentence for people.";
    let _ = write!(out, "    name: {INCIDENT_EVENT_NAME}\n    stability: development\n    note: {}\n", quoted(note));
    references(&mut out, Carrier::Incident);
    out
}

fn group(out: &mut String, id: &str, of: &str, brief: &str) {
    let _ = write!(out, "  - id: {id}\n    type: {of}\n    brief: {}\n", quoted(brief));
}

fn definition(out: &mut String, row: &Row) {
    let _ = writeln!(out, "      - id: {}", row.id);
    match row.kind {
        Kind::Words(vocabulary) => {
            out.push_str("        type:\n          members:\n");
            for (word, meaning) in vocabulary.words() {
                let brief = quoted(&sentence(meaning));
                let _ = write!(
                    out,
                    "            - id: {word}\n              value: {}\n              brief: {brief}\n              stability: development\n",
                    quoted(word)
                );
            }
        }
        Kind::String => out.push_str("        type: string\n"),
        Kind::Strings => out.push_str("        type: string[]\n"),
        Kind::Int => out.push_str("        type: int\n"),
        Kind::Double => out.push_str("        type: double\n"),
    }
    let _ = write!(out, "        stability: development\n        brief: {}\n", quoted(row.brief));
    if !row.note.is_empty() {
        let _ = writeln!(out, "        note: {}", quoted(row.note));
    }
    if !row.examples.is_empty() {
        let _ = writeln!(out, "        examples: [{}]", row.examples.join(", "));
    }
}

fn references(out: &mut String, carrier: Carrier) {
    out.push_str("    attributes:\n");
    for row in ATTRIBUTES.iter().filter(|row| row.on.contains(&carrier)) {
        let _ = writeln!(out, "      - ref: {}", row.id);
        match row.presence {
            Presence::Always => out.push_str("        requirement_level: required\n"),
            Presence::If(condition) => {
                let _ = write!(
                    out,
                    "        requirement_level:\n          conditionally_required: {}\n",
                    quoted(&sentence(&format!("if {condition}")))
                );
            }
        }
        if !row.is_own() {
            let _ = writeln!(out, "        brief: {}", quoted(row.brief));
        }
    }
}

/// A double-quoted scalar of YAML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Yaml::Map(members) = &node.kind else { return None };
    members.iter().find(|(known, _, _)| known == key).map(|(_, _, value)| value)
}

fn list<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    match get(node, key).map(|node| &node.kind) {
        Some(Yaml::List(items)) => items,
        _ => &[],
    }
}

fn text<'n>(node: &'n Node, key: &str) -> &'n str {
    match get(node, key).map(|node| &node.kind) {
        Some(Yaml::Text(text)) => text,
        _ => "",
    }
}

/// The registry, read back as YAML.
fn read_back() -> Node {
    tree::read(&groups()).expect("YAML")
}

fn words_of(attribute: &str) -> BTreeSet<String> {
    let registry = read_back();
    let own = list(&registry, "groups").first().expect("the attributes");
    let row = list(own, "attributes").iter().find(|row| text(row, "id") == attribute).expect("the attribute");
    let members = get(row, "type").map(|kind| list(kind, "members")).unwrap_or_default();
    members
        .iter()
        .inspect(|member| assert_eq!(text(member, "id"), text(member, "value")))
        .map(|member| text(member, "id").to_owned())
        .collect()
}

#[test]
fn every_word_is_in_the_registry() {
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    let of_causes: Vec<&str> = causes::all().iter().map(|cause| cause.id).collect();
    assert_eq!(words_of("why502.cause"), set(&of_causes));
    assert_eq!(words_of("why502.category"), set(&Category::ALL.map(Category::id)));
    assert_eq!(words_of("why502.symptom"), set(&Symptom::ALL.map(Symptom::id)));
    assert_eq!(words_of("why502.incident.origin"), set(&of_causes));
    assert_eq!(words_of("why502.incident.state"), set(&State::ALL.map(State::id)));
    assert_eq!(words_of("why502.link.method"), set(&LinkMethod::ALL.map(LinkMethod::id)));
    // What the arrays themselves may have missed: every category that a cause has, every method that there is.
    assert!(causes::all().iter().all(|cause| Category::ALL.contains(&cause.category)));
    let place = |method: LinkMethod| match method {
        LinkMethod::TraceContext => 0,
        LinkMethod::RequestId => 1,
        LinkMethod::Timing => 2,
        LinkMethod::None => 3,
    };
    assert_eq!(LinkMethod::ALL.map(place), [0, 1, 2, 3]);
}

#[test]
fn every_reference_is_defined() {
    let registry = read_back();
    let groups = list(&registry, "groups");
    let defined: BTreeSet<&str> =
        groups.iter().flat_map(|group| list(group, "attributes")).map(|row| text(row, "id")).collect();
    let mut references = 0;
    for group in groups {
        assert!(!text(group, "brief").is_empty() && !text(group, "id").is_empty());
        for row in list(group, "attributes").iter().filter(|row| get(row, "ref").is_some()) {
            references += 1;
            let name = text(row, "ref");
            assert_eq!(name.starts_with("why502."), defined.contains(name), "{name}");
        }
    }
    assert!(references > 30, "{references}");
}

#[test]
fn the_manifest_is_yaml() {
    let manifest = tree::read(&manifest()).expect("YAML");
    assert!(text(&manifest, "schema_url").ends_with(env!("CARGO_PKG_VERSION")));
    assert_eq!(list(&manifest, "dependencies").len(), 1);
}
