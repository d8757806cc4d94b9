//! Files of several sites in one run: what happened in one explains nothing in another.

use super::{explain, write};
use std::fmt::Write;
use std::path::Path;

/// A request that is cut, on one of two hosts.
fn error(path: &str) -> String {
    format!(
        r#"2026/03/04 09:15:03 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.20, server: shop.test, request: "GET {path} HTTP/1.1", upstream: "http://127.0.0.1:8000{path}", host: "shop.test"
"#
    )
}

/// A Gunicorn at that address, whose worker ends then or not.
fn gunicorn(ends: bool) -> String {
    let mut text = String::new();
    for line in
        ["Starting gunicorn 23.0.0", "Listening at: http://127.0.0.1:8000 (300)", "Booting worker with pid: 301"]
    {
        _ = writeln!(text, "[2026-03-04 09:14:00 +0000] [300] [INFO] {line}");
    }
    if ends {
        text.push_str("[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)\n");
        text.push_str(
            "[2026-03-04 09:15:04 +0000] [300] [ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?\n",
        );
    }
    text
}

/// `path cause` of each request, in order of the paths.
fn causes(directory: &Path, arguments: &[&str]) -> Vec<String> {
    let said = explain(directory, &[&["--format", "json"], arguments].concat());
    let lines = said.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let requests = lines.filter(|verdict| !verdict["target"].is_null());
    let text = |verdict: &serde_json::Value, key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
    let mut found: Vec<String> =
        requests.map(|verdict| format!("{} {}", text(&verdict, "target"), text(&verdict, "cause"))).collect();
    found.sort();
    found
}

#[test]
fn two_folders_are_two_hosts() {
    let directory = tempfile::tempdir().expect("a directory");
    for (host, path, ends) in [("web-1", "/a", true), ("web-2", "/b", false)] {
        std::fs::create_dir(directory.path().join(host)).expect("a directory");
        write(directory.path(), &format!("{host}/error.log"), error(path));
        write(directory.path(), &format!("{host}/gunicorn.log"), gunicorn(ends));
    }
    let expected = ["/a worker_timeout", "/b upstream_closed_early"];
    assert_eq!(causes(directory.path(), &["."]), expected);
    assert_eq!(causes(directory.path(), &["web-2", "web-1"]), expected, "in any order");
    assert_eq!(causes(directory.path(), &["web-2"]), ["/b upstream_closed_early"]);
}

#[test]
fn folders_of_programs_are_one_host() {
    let directory = tempfile::tempdir().expect("a directory");
    for folder in ["nginx", "gunicorn"] {
        std::fs::create_dir(directory.path().join(folder)).expect("a directory");
    }
    write(directory.path(), "nginx/error.log", error("/a"));
    write(directory.path(), "gunicorn/error.log", gunicorn(true));
    assert_eq!(causes(directory.path(), &["."]), ["/a worker_timeout"]);
}

#[test]
fn pods_by_the_paths_of_their_logs() {
    let directory = tempfile::tempdir().expect("a directory");
    for (pod, path, ends) in [("web-7d4b9c6f5d-x2x8k", "/a", true), ("web-7d4b9c6f5d-b4zq9", "/b", false)] {
        let folder = format!("log/pods/shop_{pod}_7f0d5c1e-93a4-4a61-8f04-0a6c1b0f7c11");
        let cri = |text: &str| {
            text.lines().map(|line| format!("2026-03-04T09:15:03.1Z stderr F {line}\n")).collect::<String>()
        };
        for (container, text) in [("nginx", error(path)), ("app", gunicorn(ends))] {
            let folder = format!("{folder}/{container}");
            std::fs::create_dir_all(directory.path().join(&folder)).expect("a directory");
            write(directory.path(), &format!("{folder}/0.log"), cri(&text));
        }
    }
    assert_eq!(causes(directory.path(), &["."]), ["/a worker_timeout", "/b upstream_closed_early"]);
}

#[test]
fn compose_names_its_containers() {
    let directory = tempfile::tempdir().expect("a directory");
    let named = |name: &str, text: &str| text.lines().map(|line| format!("{name}  | {line}\n")).collect::<String>();
    let error = error("/a").replace("127.0.0.1:8000", "web:8000");
    let gunicorn = |ends| gunicorn(ends).replace("127.0.0.1:8000", "0.0.0.0:8000");
    let text = [named("web-1", &gunicorn(false)), named("other-1", &gunicorn(true)), named("nginx-1", &error)];
    write(directory.path(), "compose.log", text.concat());
    assert_eq!(
        causes(directory.path(), &["compose.log"]),
        ["/a upstream_closed_early"],
        "the other service's worker ended"
    );
    let text = [named("web-1", &gunicorn(true)), named("nginx-1", &error)];
    write(directory.path(), "compose.log", text.concat());
    assert_eq!(causes(directory.path(), &["compose.log"]), ["/a worker_timeout"]);
}
