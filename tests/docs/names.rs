//! README.md and ARCHITECTURE.md name nothing that does not exist, and show nothing that is not so.

use super::{root, write, writes};
use clap::CommandFactory;
use std::fs;
use std::path::Path;
use why502::cli::Cli;
use why502::config;
use why502::read::formats::Reader;
use why502::read::nginx_conf::NginxConf;

const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"];
/// Logs that NGINX and Gunicorn write when a worker runs into `--timeout`.
const EXAMPLE: &str = "docs/example/*.log";

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect("a document")
}

/// Text in backticks outside of blocks.
fn code(text: &str) -> Vec<String> {
    let outside: Vec<&str> = text.split("```").step_by(2).collect();
    outside.iter().flat_map(|part| part.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let inside = text.split("```").skip(1).step_by(2);
    inside.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).map(str::to_owned).collect()
}

/// True for what can only be a path of this repository.
fn is_path(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    let first = text.split('/').next().unwrap_or_default();
    let folder = ["src", "tests", "docs", "deploy", "benches", "fuzz", "proto", ".ci"].contains(&first);
    let of_the_root = !text.contains('/') && [".md", ".toml"].iter().any(|ending| text.ends_with(ending));
    plain && (folder && text.contains('/') || of_the_root)
}

fn exists(name: &str) -> bool {
    root().join(name).exists()
}

#[test]
fn every_file_that_is_named_exists() {
    for name in DOCUMENTS {
        let text = document(name);
        let in_code = code(&text);
        let links =
            text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| !link.contains("://"));
        let commands = blocks(&text, "bash");
        let scripts = commands.iter().flat_map(|block| block.lines()).filter_map(|line| line.strip_prefix("bash "));
        let scripts = scripts.filter_map(|rest| rest.split_whitespace().next());
        let words = in_code.iter().flat_map(|span| span.split_whitespace()).filter(|word| is_path(word));
        // Comments in ASCII pictures and prose without backticks.
        let prose =
            text.split(|c: char| c.is_whitespace() || ",;:()[]`".contains(c)).map(|word| word.trim_end_matches('.'));
        let prose = prose.filter(|word| is_path(word) && word.contains('/'));
        let named: Vec<&str> = links.chain(scripts).chain(words).chain(prose).collect();
        assert!(name == "CHANGELOG.md" || named.len() > 5, "{name}: {named:?}");
        let missing: Vec<&&str> = named.iter().filter(|path| !exists(path)).collect();
        assert!(missing.is_empty(), "{name} names what does not exist: {missing:?}");
    }
}

#[test]
fn every_link_in_a_generated_document_leads_somewhere() {
    let mut checked = 0;
    for name in ["causes.md", "attributes.md", "configuration.md"] {
        let text = document(&format!("docs/{name}"));
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if path.is_empty() { name } else { path };
            assert!(exists(&format!("docs/{path}")), "docs/{name} links to {link}");
            let heading = format!("\n## {anchor}\n");
            assert!(anchor.is_empty() || document(&format!("docs/{path}")).contains(&heading), "docs/{name}: {link}");
            checked += 1;
        }
    }
    assert!(checked > 80, "{checked}");
}

#[test]
fn every_subcommand_and_option_exists() {
    let command = Cli::command();
    let mut named = Vec::new();
    for name in DOCUMENTS {
        let text = document(name);
        let shown = blocks(&text, "bash");
        let lines = shown.iter().flat_map(|block| block.lines()).map(str::to_owned).chain(code(&text));
        for line in lines {
            let Some(rest) = line.strip_prefix("why502 ") else { continue };
            let mut words = rest.split_whitespace();
            let word = words.next().unwrap_or_default();
            let found = command.find_subcommand(word).unwrap_or_else(|| panic!("{name}: `{line}`: no such subcommand"));
            named.push(word.to_owned());
            for option in words.filter_map(|word| word.strip_prefix("--")) {
                let known = found.get_arguments().any(|argument| argument.get_long() == Some(option));
                assert!(known, "{name}: `{line}`: `why502 {word}` has no --{option}");
            }
        }
    }
    for subcommand in command.get_subcommands() {
        assert!(
            named.iter().any(|word| word == subcommand.get_name()),
            "README.md leaves out {}",
            subcommand.get_name()
        );
    }
}

#[test]
fn every_configuration_that_is_shown_is_valid() {
    let shown = blocks(&document("README.md"), "yaml");
    let ours: Vec<&String> = shown.iter().filter(|block| block.starts_with("receivers:")).collect();
    assert!(!ours.is_empty());
    for block in ours {
        let config =
            config::read(block, &|_| Some("value".to_owned())).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
}

#[test]
fn the_log_format_that_is_shown_is_understood() {
    let shown = blocks(&document("README.md"), "nginx");
    let conf = NginxConf::read("README.md", shown.first().expect("a log_format"), &mut |_| Err("none".to_owned()));
    assert!(conf.mistakes.is_empty(), "{:?}", conf.mistakes);
    let format = conf.log_formats.first().expect("a log_format");
    assert!(format.has("request_id") && format.has("upstream_header_time"));
    let line = line_of_a_502(shown.first().expect("a log_format"));
    let description = Reader::default().describe(line.as_bytes());
    assert_eq!(description.format, Some("nginx_access_json"), "{line}");
    assert_eq!(description.evidence.as_deref(), Some("status 502"), "{line}");
    let field = |name: &str| description.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    assert_eq!(field("upstream_header_time"), Some(None), "{description:?}");
    assert_eq!(field("upstream_bytes_received"), Some(Some("0".to_owned())), "{description:?}");
}

/// What NGINX would write by this directive: each variable by a value that it can have.
fn line_of_a_502(directive: &str) -> String {
    let template: String = directive.split('\'').skip(1).step_by(2).collect();
    let value = |captures: &regex::Captures<'_>| match &captures[1] {
        "msec" => "1764065733.500",
        "status" | "upstream_status" => "502",
        "request" => "GET /report HTTP/1.1",
        "request_time" | "upstream_response_time" | "upstream_connect_time" => "0.050",
        "upstream_header_time" => "-",
        "upstream_bytes_received" => "0",
        _ => "1",
    };
    let variable = regex::Regex::new(r"\$([a-z_]+)").expect("a pattern");
    variable.replace_all(&template, |captures: &regex::Captures<'_>| value(captures).to_owned()).into_owned()
}

/// The report on the example as a person sees it in a file.
fn report() -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_why502"))
        .args(["explain", EXAMPLE])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("why502 runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_example_is_what_why502_prints() {
    const BEGIN: &str = "<!-- example:begin -->\n";
    const END: &str = "<!-- example:end -->";
    let readme = document("README.md");
    let (head, rest) = readme.split_once(BEGIN).expect("the mark");
    let (shown, tail) = rest.split_once(END).expect("the mark");
    let printed = format!("```text\n$ why502 explain {EXAMPLE}\n{}\n```\n", report().trim_end());
    if writes() {
        write("README.md", &format!("{head}{BEGIN}{printed}{END}{tail}"));
        return;
    }
    assert_eq!(shown, printed, "`WHY502_UPDATE_DOCS=1 cargo test --test docs` writes the example in README.md anew");
}

/// All sources, joined.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    let mut entries: Vec<_> = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
    text
}

#[test]
fn every_function_and_type_that_the_architecture_names_exists() {
    let all = sources(&root().join("src"));
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':');
    let named = code(&document("ARCHITECTURE.md"));
    let mut checked = 0;
    for name in named.iter().filter(|name| name.contains("::") && is_name(name)) {
        let (owner, last) = name.rsplit_once("::").expect("two parts");
        let owner = owner.rsplit("::").next().unwrap_or(owner);
        let defined =
            [format!("fn {last}("), format!("fn {last}<"), format!("struct {last} "), format!("enum {last} ")];
        let variant = [format!("{owner}::{last}"), format!("    {last},\n")];
        let found = defined.iter().any(|words| all.contains(words)) || variant.iter().all(|words| all.contains(words));
        assert!(found, "ARCHITECTURE.md names `{name}`");
        let known = [format!("{owner} "), format!("mod {owner};"), format!("{owner}<")];
        assert!(known.iter().any(|words| all.contains(words)), "ARCHITECTURE.md names `{name}`");
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn every_limit_stands_where_the_architecture_says() {
    let text = document("ARCHITECTURE.md");
    let table =
        text.split("| limit | constant | file |").nth(1).expect("the table").split("\n\n").next().unwrap_or_default();
    let mut checked = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && line.contains("src/")) {
        let cells = code(row);
        let (files, constants): (Vec<&String>, Vec<&String>) = cells.iter().partition(|cell| cell.contains('/'));
        let text: String = files.iter().map(|file| document(file)).collect();
        for constant in constants {
            assert!(text.contains(&format!("const {constant}: ")), "{constant} is not in {files:?}");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}
