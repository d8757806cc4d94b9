//! The command line of the built program: what is not about one subcommand's work.

use std::process::{Command, Output};

const SUBCOMMANDS: [&str; 13] = [
    "run",
    "tail",
    "explain",
    "parse",
    "validate",
    "causes",
    "watch",
    "mcp",
    "schema",
    "completions",
    "man",
    "health",
    "journal",
];

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
    let deeper = directory.path().join("a/b").display().to_string();
    assert_eq!(why502(&["man", "--out", &deeper]), (Some(0), String::new(), String::new()), "the folder is made");
    assert!(directory.path().join("a/b/why502-explain.1").is_file());
    let (code, _, error) = why502(&["man", "--out", "/dev/null/folder"]);
    assert!(code == Some(1) && error.contains("cannot make the folder /dev/null/folder"), "{error}");
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

/// Files in a folder of their own; their paths in order.
fn files(all: &[(&str, &str)]) -> (tempfile::TempDir, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let paths = all
        .iter()
        .map(|(name, text)| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        })
        .collect();
    (directory, paths)
}

const ACCESS: &str = "203.0.113.7 - - [25/Nov/2026:10:15:33 +0000] \"GET /report HTTP/1.1\" 502 157 \"-\" \"curl\"\n";
const REFUSED: &str = "2026/11/25 10:15:33 [error] 811#811: *4127 connect() failed (111: Connection refused) while connecting to upstream, client: 203.0.113.7, server: shop.example, request: \"GET /report HTTP/1.1\", upstream: \"http://127.0.0.1:8000/report\", host: \"shop.example\"\n";
const CLOSED: &str = "2026/11/25 10:15:33 [error] 811#811: *4127 upstream prematurely closed connection while reading response header from upstream, client: 203.0.113.7, server: shop.example, request: \"GET /report HTTP/1.1\", upstream: \"http://127.0.0.1:8000/report\", host: \"shop.example\"\n";

#[test]
fn since_takes_what_stands_in_logs_and_says_when_all_lies_outside() {
    let (_directory, paths) = files(&[("access.log", ACCESS)]);
    let shows = |since: &str| {
        let (code, out, error) = why502(&["explain", &paths[0], "--since", since]);
        assert_eq!(code, Some(0), "{since}: {error}");
        (out.contains("502 GET /report"), error)
    };
    for before in [
        "25/Nov/2026:10:15:00 +0000",
        "2026/11/25 10:15",
        "2026-11-25T10:15:33Z",
        "[2026-11-25 11:15:00 +0100]",
        "1795601733",
        "2026-11-25",
    ] {
        assert_eq!(shows(before), (true, String::new()), "{before}");
    }
    let outside =
        "note: nothing failed within --since and --until; 1 failure lies outside of it, at 2026-11-25T10:15:33Z\n";
    for after in ["25/Nov/2026:10:15:34 +0000", "2026/11/25 10:16", "1795601734", "2099-01-01"] {
        assert_eq!(shows(after), (false, outside.to_owned()), "{after}");
    }
    for of_now in ["00:00", "yesterday", "today", "90m"] {
        let (code, _, error) = why502(&["explain", &paths[0], "--since", of_now]);
        assert_eq!(code, Some(0), "{of_now}: {error}");
    }
}

#[test]
fn a_missing_file_is_not_no_failed_request() {
    for (format, words) in
        [("text", "Nothing was read, so nothing is known."), ("markdown", "why502: nothing was read")]
    {
        let (code, out, error) = why502(&["explain", "/no/such/file.log", "--format", format]);
        assert!(code == Some(1) && out.contains(words) && !out.contains("No failed request"), "{out}");
        assert_eq!(error, "/no/such/file.log: no such file; check the path\n");
    }
}

#[test]
fn a_plain_499_says_what_it_is() {
    let (_directory, paths) = files(&[("access.log", &ACCESS.replace(" 502 ", " 499 "))]);
    let (_, out, _) = why502(&["explain", &paths[0]]);
    assert!(out.contains("client_closed_request"), "{out}");
    assert!(out.contains("499 is nginx's own word for a client that went away first"), "{out}");
    // One that is beside it in the same second is no reason for another word.
    let other = ACCESS.replace("/report", "/other").replace("203.0.113.7", "203.0.113.8");
    let (_directory, paths) = files(&[("access.log", &format!("{}{other}", ACCESS.replace(" 502 ", " 499 ")))]);
    let (_, out, _) = why502(&["explain", &paths[0]]);
    assert_eq!(out.matches("499 is nginx's own word").count(), 1, "{out}");
}

#[test]
fn while_gunicorn_starts_nobody_is_told_to_start_it() {
    let starts = "[2026-11-25 10:15:32 +0000] [3430] [INFO] Starting gunicorn 23.0.0\n\
                  [2026-11-25 10:15:35 +0000] [3430] [INFO] Listening at: http://127.0.0.1:8000 (3430)\n";
    let hint = "What to do: Gunicorn was starting and did not listen yet: wait until it says `Listening at`.";
    let (_directory, paths) = files(&[("access.log", ACCESS), ("error.log", REFUSED), ("gunicorn.log", starts)]);
    let explained = |paths: &[String]| {
        let arguments: Vec<&str> = ["explain"].into_iter().chain(paths.iter().map(String::as_str)).collect();
        why502(&arguments).1
    };
    let out = explained(&paths);
    assert!(out.contains(hint) && !out.contains("systemctl"), "{out}");
    // A second service, whose Gunicorn has served for long, and none at all.
    let other = "[2026-11-25 08:00:00 +0000] [9] [INFO] Listening at: http://127.0.0.1:9000 (9)\n";
    let (_directory, paths) =
        files(&[("access.log", ACCESS), ("error.log", REFUSED), ("gunicorn.log", starts), ("other.log", other)]);
    assert!(explained(&paths).contains(hint), "{}", explained(&paths));
    let (_directory, paths) = files(&[("access.log", ACCESS), ("error.log", REFUSED)]);
    assert!(explained(&paths).contains("systemctl status"), "{}", explained(&paths));
}

#[test]
fn groups_need_no_word() {
    let (_directory, paths) = files(&[("access.log", ACCESS), ("error.log", REFUSED)]);
    let (code, by_cause, _) = why502(&["explain", &paths[0], &paths[1], "--group", "cause"]);
    assert!(code == Some(0) && by_cause.contains("── gunicorn_not_running"), "{by_cause}");
    assert_eq!(why502(&["explain", &paths[0], &paths[1], "--group"]).1, by_cause);
    assert_eq!(why502(&["explain", "--group", &paths[0], &paths[1]]).1, by_cause);
}

#[test]
fn text_is_wrapped_to_the_terminal() {
    let (_directory, paths) = files(&[("access.log", ACCESS), ("error.log", REFUSED)]);
    let script = format!("stty cols 60 rows 30 && {} explain {} {}", env!("CARGO_BIN_EXE_why502"), paths[0], paths[1]);
    let shown = Command::new("script").args(["-qec", &script, "/dev/null"]).stdin(std::process::Stdio::null()).output();
    let shown = String::from_utf8(shown.expect("a terminal").stdout).expect("text");
    let plain = regex::Regex::new("\x1b\\[[0-9;]*m").expect("a pattern").replace_all(&shown, "").into_owned();
    let words: Vec<&str> = plain.lines().filter(|line| line.chars().count() > 61).collect();
    // A path is not broken.
    assert!(words.iter().all(|line| line.split(' ').any(|word| word.len() > 50)), "{words:?}");
    assert!(plain.contains("What to do: Check the process with `systemctl"), "{plain}");
    assert!(plain.contains("\n      ") && plain.lines().count() > 20, "{plain}");
    // Where nobody looks, a line is a line.
    let (_, piped, _) = why502(&["explain", &paths[0], &paths[1]]);
    assert!(piped.lines().any(|line| line.len() > 150), "{piped}");
}

/// What README.md says of journald, Docker, compose and Kubernetes: each service's log by itself, with what these put before
/// each line.
#[test]
fn logs_are_fed_from_where_they_are() {
    let died = [
        "[2026-11-25 10:15:32 +0000] [3430] [CRITICAL] WORKER TIMEOUT (pid:3438)\n",
        "[2026-11-25 10:15:33 +0000] [3430] [ERROR] Worker (pid:3438) was sent SIGKILL! Perhaps out of memory?\n",
    ];
    let each =
        |lines: &[&str], prefix: &str| -> String { lines.iter().map(|line| format!("{prefix}{line}")).collect() };
    for (what, nginx, app) in [
        (
            "journalctl -o short-iso",
            "2026-11-25T10:15:33+0000 web nginx[811]: ",
            "2026-11-25T10:15:33+0000 web gunicorn[3430]: ",
        ),
        ("journalctl", "Nov 25 10:15:33 web nginx[811]: ", "Nov 25 10:15:33 web gunicorn[3430]: "),
        ("docker logs", "", ""),
        ("docker logs --timestamps", "2026-11-25T10:15:33.200000000Z ", "2026-11-25T10:15:33.200000000Z "),
        ("kubectl logs --timestamps", "2026-11-25T10:15:33.200000000Z ", "2026-11-25T10:15:33.200000000Z "),
    ] {
        let (directory, _) = files(&[("nginx", &each(&[CLOSED, ACCESS], nginx)), ("app", &each(&died, app))]);
        let script = format!("{} explain <(cat nginx) <(cat app)", env!("CARGO_BIN_EXE_why502"));
        let run = Command::new("bash").args(["-c", &script]).current_dir(directory.path()).output().expect("bash");
        let out = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(out.contains("502 GET /report") && out.contains("worker_timeout (9"), "{what}: {out}");
    }
}
