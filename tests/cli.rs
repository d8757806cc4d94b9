//! The command line of the built program: what is not about one subcommand's work.

use std::process::{Command, Output};

const SUBCOMMANDS: [&str; 10] =
    ["run", "tail", "explain", "parse", "validate", "causes", "watch", "completions", "man", "health"];

fn why502(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_why502")).args(arguments).output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_manual_has_a_page_for_each_subcommand() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().display().to_string();
    assert_eq!(why502(&["man", "--out", &folder]), (Some(0), String::new(), String::new()));
    let mut pages: Vec<String> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    pages.sort();
    let mut expected: Vec<String> = SUBCOMMANDS.map(|name| format!("why502-{name}.1")).to_vec();
    expected.push("why502.1".to_owned());
    expected.sort();
    assert_eq!(pages, expected);
    let (code, top, _) = why502(&["man"]);
    assert_eq!(code, Some(0));
    for name in SUBCOMMANDS {
        assert!(top.contains(&format!("why502\\-{name}(1)")), "{name} in {top}");
    }
    let (code, page, _) = why502(&["man", "explain"]);
    assert!(code == Some(0) && page.contains("\\-\\-since") && page.contains("why502 explain"), "{page}");
    assert_eq!(page, std::fs::read_to_string(directory.path().join("why502-explain.1")).expect("a page"));
    let (code, out, error) = why502(&["man", "nothing"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert_eq!(error, "error: why502 has no subcommand nothing; `why502 --help` lists them\n");
    let (code, _, error) = why502(&["man", "--out", "/no/such/folder"]);
    assert!(code == Some(1) && error.contains("cannot write into /no/such/folder"), "{error}");
}

#[test]
fn shells_complete_each_subcommand() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, _) = why502(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        for name in SUBCOMMANDS {
            assert!(script.contains(name), "{name} in the script for {shell}");
        }
    }
}

#[test]
fn parse_says_which_file_a_line_is_of() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let access = write("a.log", "127.0.0.1 - - [04/Mar/2026:09:15:02 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl\"\n");
    let other = write("b.log", "one\ntwo\n");
    let (code, text, _) = why502(&["parse", &access, &other]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with(&format!("{access}:1: 127.0.0.1")), "{text}");
    assert!(text.contains(&format!("{other}:2: two\n    not recognised: it is in no format")), "{text}");
    let (_, text, _) = why502(&["parse", &access]);
    assert!(text.starts_with("1: 127.0.0.1"), "{text}");
    let (_, json, _) = why502(&["parse", &access, &other, "--format", "json"]);
    let places: Vec<(String, u64)> = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an object"))
        .map(|object| (object["file"].as_str().expect("a name").to_owned(), object["line"].as_u64().expect("a number")))
        .collect();
    assert_eq!(places, [(access.clone(), 1), (other.clone(), 1), (other, 2)]);
}

#[test]
fn names_that_nothing_prints_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    std::fs::write(&path, "x 200\n").expect("a file");
    let path = path.display().to_string();
    for command in ["parse", "explain"] {
        let (code, _, error) = why502(&[command, &path, "--log-format", "$remote_addr $statsu"]);
        let words =
            "--log-format: nginx has no variable $statsu; did you mean $status? What it holds is read as text\n";
        assert_eq!((code, error.as_str()), (Some(1), words), "{command}");
        let (code, _, error) = why502(&[command, &path, "--gunicorn-format", "%(zz)s %(s)s"]);
        let words = "--gunicorn-format: Gunicorn has no %(zz)s and prints - for it\n";
        assert_eq!((code, error.as_str()), (Some(1), words), "{command}");
        let (code, _, error) = why502(&[command, &path, "--gunicorn-format", "%(h"]);
        assert!(code == Some(2) && error.contains("--gunicorn-format"), "{error}");
    }
}

#[test]
fn numbers_and_times_that_are_none() {
    for wrong in [["--limit", "-1"], ["--since", "2026-11-25T10:15:33Z junk"], ["--until", "tomorrow"]] {
        let (code, out, error) = why502(&[&["explain", "a.log"][..], &wrong].concat());
        assert_eq!((code, out.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(error.contains(&format!("invalid value '{}' for '{}", wrong[1], wrong[0])), "{error}");
    }
}
