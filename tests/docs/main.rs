//! Documents that cannot lie: what is generated from tables is compared with them, and what is written by hand names
//! nothing that does not exist.

mod attributes;
mod causes;
mod configuration;
mod emitted;
mod names;
mod registry;
mod security;
mod telemetry;

use std::fs;
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "the one switch of this test; no code of why502 reads it")]
fn writes() -> bool {
    std::env::var("WHY502_UPDATE_DOCS").is_ok_and(|value| value == "1")
}

/// Writes a document whole, or not at all: other tests read it meanwhile.
fn write(name: &str, text: &str) {
    let path = root().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder of the document");
    let half = path.with_extension("new");
    fs::write(&half, text).expect("the document");
    fs::rename(&half, &path).expect("the document");
}

/// Compares a generated document with the committed one, or writes it.
fn compare(name: &str, generated: &str) {
    let path = root().join(name);
    if writes() {
        write(name, generated);
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let different = committed
        .lines()
        .zip(generated.lines())
        .position(|(one, other)| one != other)
        .unwrap_or_else(|| committed.lines().count().min(generated.lines().count()));
    assert!(
        committed == generated,
        "{name} is not what the tables say, from line {} on:\n  committed: {}\n  generated: {}\n\
         `WHY502_UPDATE_DOCS=1 cargo test --test docs` writes it anew; then read the difference and commit it",
        different + 1,
        committed.lines().nth(different).unwrap_or("(nothing)"),
        generated.lines().nth(different).unwrap_or("(nothing)"),
    );
}

/// Says where a document comes from; `start` and `end` are the marks of a comment.
fn generated_by(start: &str, source: &str, end: &str) -> String {
    format!("{start}Generated from {source} by `WHY502_UPDATE_DOCS=1 cargo test --test docs`. Do not edit.{end}\n\n")
}

/// A cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A sentence out of half of one.
fn sentence(half: &str) -> String {
    // `nginx` keeps its small letter, and so does code.
    let mut characters = half.chars();
    let first = characters.next().map(String::from).unwrap_or_default();
    let first = if half.starts_with("nginx") { first } else { first.to_uppercase() };
    format!("{first}{}.", characters.as_str())
}

#[test]
fn schemas_are_documented() {
    let text = |schema: serde_json::Value| format!("{schema:#}\n");
    compare("docs/explain.schema.json", &text(why502::explain::report::schema::schema()));
    compare("docs/configuration.schema.json", &text(why502::config::schema::schema()));
}

#[test]
fn causes_are_documented() {
    compare("docs/causes.md", &causes::markdown());
}

#[test]
fn attributes_are_documented() {
    compare("docs/attributes.md", &attributes::markdown());
}

#[test]
fn settings_are_documented() {
    compare("docs/configuration.md", &configuration::markdown());
}

#[test]
fn metrics_are_documented() {
    compare("docs/telemetry.md", &telemetry::markdown());
}

#[test]
fn the_registry_is_whole() {
    compare("docs/registry/manifest.yaml", &registry::manifest());
    compare("docs/registry/why502.yaml", &registry::groups());
}
