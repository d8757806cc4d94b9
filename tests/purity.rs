//! The engine and the bytes are pure, and a `use` points one way. Held by reading the sources.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(root: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let mut found = Vec::new();
    let mut folders = Vec::new();
    let module = root.with_extension("rs");
    if module.is_file() {
        found.push(module);
    }
    folders.push(root);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source");
            (path, text)
        })
        .collect()
}

/// The code of a file before its tests, comments left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("\n#[cfg(test)]").unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.file_name().is_some_and(|name| name == "tests.rs")
}

fn violations(root: &str, forbidden: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let all = sources(root);
    assert!(!all.is_empty(), "{root} has sources");
    for (path, text) in all.iter().filter(|(path, _)| !is_test(path)) {
        for (number, line) in code(text) {
            if let Some(word) = forbidden.iter().find(|word| line.contains(**word)) {
                found.push(format!("{}:{number}: {word}", path.display()));
            }
        }
    }
    found
}

const IMPURE: [&str; 23] = [
    "std::time",
    "SystemTime",
    "Instant::",
    "std::fs",
    "File::",
    "std::net::Tcp",
    "std::net::Udp",
    "std::env",
    "env::var",
    "std::thread",
    "std::process",
    "Mutex",
    "RwLock",
    "Atomic",
    "tracing::",
    "println!",
    "eprintln!",
    "stdout(",
    "tokio",
    "async ",
    ".await",
    "rand::",
    "std::io",
];

#[test]
fn engine_and_bytes_are_pure() {
    let found: Vec<String> =
        ["src/read", "src/engine", "src/otlp"].iter().flat_map(|root| violations(root, &IMPURE)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn scan_and_enrich_are_pure() {
    let found: Vec<String> = ["src/scan", "src/enrich"].iter().flat_map(|root| violations(root, &IMPURE)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_use_points_one_way() {
    let outer = ["crate::pipeline", "crate::commands", "crate::cli"];
    let middle = ["crate::receiver", "crate::web", "crate::tail"];
    let mut found = Vec::new();
    for root in ["src/read", "src/engine", "src/otlp", "src/scan", "src/enrich", "src/config"] {
        found.extend(violations(root, &outer));
        found.extend(violations(root, &middle));
        found.extend(violations(root, &["crate::exporter"]));
    }
    for root in ["src/read", "src/engine", "src/otlp"] {
        found.extend(violations(root, &["crate::config", "crate::scan", "crate::enrich"]));
    }
    // Reading knows nothing of what is done with it.
    found.extend(violations("src/read", &["crate::engine", "crate::otlp"]));
    found.extend(violations("src/engine", &["crate::otlp"]));
    found.extend(violations("src/otlp", &["crate::engine", "crate::read"]));
    // The parts in the middle know nothing of each other.
    found.extend(violations("src/receiver", &["crate::exporter", "crate::web", "crate::pipeline", "crate::commands"]));
    found.extend(violations("src/exporter", &["crate::receiver", "crate::web", "crate::commands"]));
    found.extend(violations("src/web", &["crate::receiver", "crate::exporter", "crate::pipeline", "crate::commands"]));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_check_itself_finds_something() {
    assert!(!violations("src/clock", &["SystemTime"]).is_empty(), "the one place that reads the clock");
}
