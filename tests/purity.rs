//! What reads, reasons and writes bytes is pure, and a `use` points one way. Held by reading the sources: what is not
//! allowed here is refused, so that nobody has to think of every way out.

#[path = "common/source.rs"]
mod source;

use source::{Named, Token, macros, paths, tokens};
use std::fs;
use std::path::{Path, PathBuf};

/// Pure parts of the standard library.
const PURE_STD: [&str; 27] = [
    "std::array::from_fn",
    "std::borrow::Cow",
    "std::cmp",
    "std::collections::BTreeMap",
    "std::collections::BTreeSet",
    // Their order reaches nothing: `clippy.toml` bans what goes over it.
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::collections::VecDeque",
    "std::collections::btree_map",
    "std::collections::hash_map::Entry",
    "std::collections::vec_deque",
    "std::convert",
    "std::fmt",
    "std::hash::Hash",
    "std::hash::Hasher",
    "std::iter",
    "std::mem",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::num",
    "std::ops",
    "std::ptr::eq",
    "std::slice",
    "std::str",
    "std::string",
    "std::sync::Arc",
];

/// Macros that only make values, and those that stop.
const PURE_MACROS: [&str; 14] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "concat",
    "debug_assert",
    "debug_assert_eq",
    "format",
    "format_args",
    "matches",
    "stringify",
    "unreachable",
    "vec",
    "write",
    "writeln",
];

/// A part of the crate and what its files may name.
struct Layer {
    /// Module, and folder below `src`.
    name: &'static str,
    /// Other parts of the crate.
    parts: &'static [&'static str],
    /// Other crates, and what else it may use of the standard library.
    crates: &'static [&'static str],
}

const PURE: [Layer; 5] = [
    // The patterns of a format are built at their first use, and never change.
    Layer {
        name: "read",
        parts: &[],
        crates: &[
            "memchr",
            "foldhash::quality::RandomState",
            "aho_corasick",
            "smol_str",
            "strsim",
            "thiserror",
            "std::sync::LazyLock",
        ],
    },
    Layer { name: "engine", parts: &["crate::read"], crates: &[] },
    Layer { name: "otlp", parts: &[], crates: &["serde", "serde_json", "base64", "thiserror"] },
    // What streams taught is kept by the caller; in one thread, for tests and tools, by the scan itself.
    Layer {
        name: "scan",
        // Spans are read straight into the engine's rows.
        parts: &[
            "crate::engine::place",
            "crate::engine::correlate::slow",
            "crate::engine::correlate::spans",
            "crate::engine::span_watch",
            "crate::otlp",
            "crate::read",
        ],
        crates: &["memchr", "std::cell::RefCell", "std::rc::Rc"],
    },
    Layer {
        name: "enrich",
        parts: &[
            "crate::engine::verdict",
            "crate::engine::causes",
            "crate::engine::incident",
            "crate::otlp",
            "crate::read",
        ],
        crates: &[],
    },
];

/// Sources of a part: `src/NAME.rs` and all below `src/NAME`, each with the module that it is.
fn sources(name: &str) -> Vec<(Vec<String>, PathBuf, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.join(name).with_extension("rs")];
    let mut folders = vec![source.join(name)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.retain(|path| path.is_file() && !is_test(path));
    files.sort();
    assert!(!files.is_empty(), "{name} has sources");
    files
        .into_iter()
        .map(|path| {
            let inner = path.strip_prefix(&source).expect("below src").with_extension("");
            let parts = inner.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
            let text = fs::read_to_string(&path).expect("a source");
            (["crate".to_owned()].into_iter().chain(parts).collect(), path, text)
        })
        .collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// True when the path is this one or goes on from it.
fn begins(path: &[String], with: &str) -> bool {
    with.split("::").count() <= path.len() && with.split("::").zip(path).all(|(one, other)| one == other)
}

fn named(tokens: &[Token], module: &[String]) -> Vec<Named> {
    let names: Vec<&str> = module.iter().map(String::as_str).collect();
    let mut found = paths(tokens, &names);
    // A macro of the file makes a module: `table!` of the causes.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(names[1..].join("/"));
    for named in &mut found {
        if named.path.first().is_some_and(|first| folder.join(first).with_extension("rs").is_file()) {
            named.path.splice(0..0, module.iter().cloned());
        }
    }
    found
}

/// What a source of this layer may not do.
fn refused(layer: &Layer, module: &[String], text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let own = format!("crate::{}", layer.name);
    // Names of lints.
    let allowed = PURE_STD.iter().chain(layer.parts).chain(layer.crates).copied().chain([own.as_str(), "clippy"]);
    let allowed: Vec<&str> = allowed.collect();
    let mut found: Vec<String> = named(&tokens, module)
        .into_iter()
        .filter(|named| !allowed.iter().any(|with| begins(&named.path, with)))
        .map(|named| format!("{}: {}", named.line, named.path.join("::")))
        .collect();
    let called = macros(&tokens).into_iter().filter(|(name, _)| !PURE_MACROS.contains(&name.as_str()));
    found.extend(called.map(|(name, line)| format!("{line}: {name}!")));
    let words = tokens.iter().filter(|token| matches!(token.text.as_str(), "async" | "await" | "unsafe" | "extern"));
    found.extend(words.map(|token| format!("{}: {}", token.line, token.text)));
    found
}

#[test]
fn the_centre_is_pure() {
    let mut found = Vec::new();
    for layer in &PURE {
        for (module, path, text) in sources(layer.name) {
            found.extend(refused(layer, &module, &text).into_iter().map(|what| format!("{}:{what}", path.display())));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// A part or a crate that a layer no longer uses is no longer allowed.
#[test]
fn no_allowance_is_idle() {
    let mut idle = Vec::new();
    for layer in &PURE {
        let all: Vec<Named> =
            sources(layer.name).iter().flat_map(|(module, _, text)| named(&tokens(text), module)).collect();
        let is_used = |with: &str| all.iter().any(|named| begins(&named.path, with));
        idle.extend(
            layer.parts.iter().chain(layer.crates).filter(|with| !is_used(with)).map(|with| (layer.name, *with)),
        );
    }
    assert!(idle.is_empty(), "{idle:?}");
}

/// The check is shown to fail: each of these says what it must not.
#[test]
fn what_is_not_pure_is_refused() {
    let engine = PURE.iter().find(|layer| layer.name == "engine").expect("the engine");
    let module = ["crate", "engine", "place"].map(str::to_owned);
    let check = |snippet: &str, what: &str| {
        let found = refused(engine, &module, snippet);
        assert!(found.iter().any(|found| found.ends_with(what)), "{snippet}\n{what}: {found:?}");
    };
    check("use std::{fmt, fs};", "std::fs");
    check("use std::{collections::{BTreeMap, hash_map::{Entry, RandomState}}, fmt::Write as _};", "RandomState");
    check("use std::fs as fmt;", "std::fs");
    check("use std::*;", "std::*");
    check("use std::sync;\nstatic A: sync::OnceLock<u8> = sync::OnceLock::new();", "std::sync::OnceLock");
    check("use std as s;\nfn f() { s::fs::read(p) }", "std::fs::read");
    check("use std::sync::OnceLock;", "std::sync::OnceLock");
    check("use std::sync::{Arc, atomic::AtomicU64};", "std::sync::atomic::AtomicU64");
    check("fn f(lock: &std::sync::Mutex<u8>) {}", "std::sync::Mutex");
    check("fn f() { let now = ::std::time::Instant::now(); }", "std::time::Instant::now");
    check("use std::cell::RefCell;", "std::cell::RefCell");
    check("use std::net::TcpStream;", "std::net::TcpStream");
    check("fn f() -> i64 { crate::clock::now() }", "crate::clock::now");
    check("use crate::{clock, read::text};", "crate::clock");
    check("use super::super::pipeline::Pipeline;", "crate::pipeline::Pipeline");
    check("use crate as why;\nfn f() { why::clock::now() }", "crate::clock::now");
    check("use crate::otlp::Value;", "crate::otlp::Value");
    check("use tokio::sync::mpsc;", "tokio::sync::mpsc");
    check("fn f() -> u8 { rand::random::<u8>() }", "rand::random");
    check("#[tracing::instrument]\nfn f() {}", "tracing::instrument");
    check("fn f() { tracing::info!(\"x\") }", "tracing::info");
    check("fn f() { println!(\"x\") }", "println!");
    check("fn f() -> u8 { dbg!(1) }", "dbg!");
    check("thread_local! { static A: u8 = 1; }", "thread_local!");
    check("const A: &str = include_str!(\"x\");", "include_str!");
    check("async fn f() {}", "async");
    check("fn f() { g().await }", "await");
    // What comes after the tests of a file counts too.
    check("#[cfg(test)]\nmod tests;\n\nuse std::env;", "std::env");
    check("#[cfg(test)]\nmod tests { fn f(a: [u8; 2]) {} }\nuse std::env;", "std::env");
}

#[test]
fn what_is_pure_is_not_refused() {
    let engine = PURE.iter().find(|layer| layer.name == "engine").expect("the engine");
    let module = ["crate", "engine", "place"].map(str::to_owned);
    for snippet in [
        "use std::collections::{BTreeMap, btree_map::Entry};\nfn f() -> std::fmt::Result { Ok(()) }",
        "// use std::fs;\n/* std::fs::read /* std::env */ std::io */ fn f() {}",
        "const A: &str = \"std::fs \\\" println!()\"; const B: &str = r#\"std::fs \" async\"#; const C: char = '\"';",
        "#[cfg(test)]\nmod tests { use std::fs; }",
        "#[cfg(test)]\nuse std::{fs, env};",
        "use super::verdict::Quote;\nmod part;\npub use part::Whole;\nuse Whole as W;\nfn f<'a>() -> part::Whole { W::new('a') }",
        "fn f<'a>(x: &'a u8) -> impl Iterator<Item = &'a u8> + use<'a> { if !(*x == u8::MAX) {} g::<u8>() }",
        "macro_rules! table { ($($name:ident)*) => { $(mod $name; &$name::CAUSE;)* } }\ntable! { one }",
    ] {
        let found = refused(engine, &module, snippet);
        assert!(found.is_empty(), "{snippet}\n{found:?}");
    }
}

/// A cause asks the case and nobody else: no other cause, not the linker, not what the engine keeps.
#[test]
fn causes_stand_alone() {
    const ASKED: [&str; 23] = [
        "crate::engine::case",
        "crate::engine::causes::Case",
        "crate::engine::causes::Category",
        "crate::engine::causes::Cause",
        "crate::engine::causes::Depth",
        "crate::engine::causes::Elsewhere",
        "crate::engine::causes::Claim",
        "crate::engine::causes::Expected",
        "crate::engine::causes::Family",
        "crate::engine::causes::Leaves",
        "crate::engine::causes::Mark",
        "crate::engine::causes::Origin",
        "crate::engine::causes::Rule",
        "crate::engine::causes::Standing",
        "crate::engine::causes::Symptoms",
        "crate::engine::causes::Trigger",
        "crate::engine::correlate::Seen",
        "crate::engine::correlate::gunicorn",
        "crate::engine::verdict::Quote",
        "crate::read::address",
        "crate::read::evidence",
        "std",
        "clippy",
    ];
    let refused = |module: &[String], text: &str| -> Vec<String> {
        let tokens = tokens(text);
        let mut found: Vec<String> = named(&tokens, module)
            .into_iter()
            .filter(|named| !ASKED.iter().any(|with| begins(&named.path, with)))
            .map(|named| named.path.join("::"))
            .collect();
        found.extend(tokens.iter().filter(|token| token.text == "world").map(|token| token.text.clone()));
        found
    };
    let mut wrong = Vec::new();
    for (module, path, text) in sources("engine/causes") {
        if path.ends_with("engine/causes.rs") {
            continue;
        }
        wrong.extend(refused(&module, &text).into_iter().map(|what| format!("{}: {what}", path.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let module = ["crate", "engine", "causes", "slow_request"].map(str::to_owned);
    for snippet in [
        "use super::worker_exited::silent_replacement;",
        "fn f(case: &Case<'_>) { (super::workers_saturated::CAUSE.judge)(case) }",
        "use crate::engine::correlate::link;",
        "use crate::engine::{case::Case, correlate::world::World};",
        "fn f(case: &Case<'_>) -> bool { case.world.has_error_log }",
    ] {
        assert!(!refused(&module, snippet).is_empty(), "{snippet}");
    }
}

/// How sure a rule is, recordings say: no cause, and no question that causes ask, has a number of its own for it.
#[test]
fn no_confidence_is_set_by_hand() {
    let fractions = |text: &str| -> Vec<usize> {
        let tokens = tokens(text);
        let is_number = |token: &Token| token.text.starts_with(|first: char| first.is_ascii_digit());
        let is_fraction = |three: &&[Token]| matches!(three, [whole, dot, part] if is_number(whole) && dot.text == "." && is_number(part));
        let written = tokens.iter().filter(|token| matches!(token.text.as_str(), "f32" | "f64"));
        tokens
            .windows(3)
            .filter(is_fraction)
            .map(|three| three[0].line)
            .chain(written.map(|token| token.line))
            .collect()
    };
    assert_eq!(fractions("fn f() -> bool {\n    1 < 2 && 0.97 > g(3) }"), [2]);
    assert_eq!(fractions("fn f(confidence: f64) {}"), [1]);
    for (_, path, text) in sources("engine/causes") {
        assert_eq!(fractions(&text), [0; 0], "{}", path.display());
    }
}

/// The decision and the linker ask the case as well.
#[test]
fn what_is_in_sight_has_one_door() {
    for (_, path, text) in sources("engine") {
        if path.ends_with("engine/decide.rs") || path.ends_with("correlate/link.rs") {
            let reached = tokens(&text).into_iter().find(|token| token.text == "world" || token.text == "World");
            assert_eq!(reached, None, "{}", path.display());
        }
    }
}

/// Inside `read`: an envelope knows no format, what a paste put before a line asks the table where a record begins, and no
/// format knows what stood around its line.
#[test]
fn reading_goes_one_way() {
    // Part, and what of the formats and of what stands around a line it may name.
    let rules: [(&str, &[&str]); 9] = [
        ("read/client", &[]),
        // Its object is a syntax.
        ("read/envelope", &["crate::read::formats::json_line", "crate::read::envelope"]),
        ("read/paste/marks", &[]),
        ("read/paste/page", &[]),
        (
            "read/paste/prefix",
            &["crate::read::envelope", "crate::read::formats::table", "crate::read::formats::Format"],
        ),
        ("read/paste/quoted", &["crate::read::envelope"]),
        ("read/paste/fragment", &["crate::read::formats"]),
        ("read/formats", &["crate::read::formats", "crate::read::SourceMemory"]),
        ("read/memory", &["crate::read::formats::Format", "crate::read::paste::learned"]),
    ];
    const AROUND: [&str; 5] = [
        "crate::read::SourceMemory",
        "crate::read::envelope",
        "crate::read::formats",
        "crate::read::paste",
        "crate::read::peel",
    ];
    // The reader itself, and what tells people what it did.
    const WHOLE: [&str; 2] = ["src/read/formats.rs", "src/read/formats/describe.rs"];
    let mut found = Vec::new();
    for (name, allowed) in rules {
        for (module, path, text) in sources(name) {
            if WHOLE.iter().any(|whole| path.ends_with(whole)) {
                continue;
            }
            let own = if name.starts_with("read/paste/") { "crate::read::paste" } else { "crate::read::wanted" };
            let wrong = named(&tokens(&text), &module).into_iter().filter(|named| {
                let is_allowed = allowed.iter().chain([&own]).any(|with| begins(&named.path, with));
                AROUND.iter().any(|with| begins(&named.path, with)) && !is_allowed
            });
            found.extend(wrong.map(|named| format!("{}:{}: {}", path.display(), named.line, named.path.join("::"))));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_use_points_one_way() {
    const OUTER: [&str; 3] = ["crate::pipeline", "crate::commands", "crate::cli"];
    let rules: [(&str, &[&str]); 5] = [
        // It knows of bytes, positions and backends by name.
        ("journal", &["crate::exporter", "crate::receiver", "crate::web", "crate::config", "crate::engine"]),
        ("config", &["crate::exporter", "crate::receiver", "crate::web", "crate::tail"]),
        // The parts in the middle know nothing of each other.
        ("receiver", &["crate::exporter", "crate::web"]),
        ("exporter", &["crate::receiver", "crate::web"]),
        ("web", &["crate::receiver", "crate::exporter"]),
    ];
    let mut found = Vec::new();
    for (name, others) in rules {
        for (module, path, text) in sources(name) {
            let named = named(&tokens(&text), &module);
            let wrong = named.iter().filter(|named| OUTER.iter().chain(others).any(|part| begins(&named.path, part)));
            found.extend(wrong.map(|named| format!("{}:{}: {}", path.display(), named.line, named.path.join("::"))));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Clippy bans what goes over a hash map in its own order; a path that does not exist would only warn.
#[test]
fn the_order_of_a_hash_map_is_banned() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name);
    let bans = read("clippy.toml");
    for method in
        ["iter", "iter_mut", "keys", "values", "values_mut", "into_keys", "into_values", "drain", "extract_if"]
    {
        assert!(bans.contains(&format!("\"std::collections::HashMap::{method}\"")), "{method}");
    }
    for method in ["iter", "drain", "extract_if", "difference", "intersection", "symmetric_difference", "union"] {
        assert!(bans.contains(&format!("\"std::collections::HashSet::{method}\"")), "{method}");
    }
    assert!(read("Cargo.toml").contains("iter_over_hash_type = \"warn\""));
}
