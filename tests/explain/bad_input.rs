//! Input that is damaged, wrong, or changes: one clear sentence, everything else explained, exit code 1.

use super::{ACCESS, ERROR, Said, TOLD, check_whole, explain, gzip, logs, program, said, told, write};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Everything else is told, one sentence says what is wrong, and the exit code is 1.
fn check_bad(directory: &Path, arguments: &[&str], sentences: &[&str]) {
    let said =
        explain(directory, &[&["access.log", "error.log", "gunicorn.log", "--format", "json"], arguments].concat());
    assert_eq!(said.error.lines().collect::<Vec<_>>(), sentences, "{arguments:?}");
    assert_eq!((told(&said.out).as_str(), said.code), (TOLD, Some(1)), "{arguments:?}");
}

#[test]
fn files_that_cannot_be_read() {
    let directory = logs();
    let path = directory.path();
    check_bad(path, &["none.log"], &["none.log: no such file; check the path"]);
    check_bad(path, &["*.gz"], &["*.gz: no file fits this pattern; check the path"]);
    check_bad(path, &["access.log/x"], &["access.log/x: cannot be read: Not a directory (os error 20)"]);
    write(path, "program", b"one\ntwo\n\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0");
    check_bad(path, &["program"], &["program: cannot be read: it is a binary file, not a log (seen in line 3)"]);
    write(path, "old.log.bz2", b"BZh91AY&SY");
    let bzip2 = "old.log.bz2: cannot be read: it is compressed with bzip2: decompress it first";
    check_bad(path, &["old.log.bz2"], &[bzip2]);
    let damaged = gzip(&"line\n".repeat(1_000));
    write(path, "cut.log.gz", &damaged[..damaged.len() - 4]);
    let said = explain(path, &["cut.log.gz"]);
    assert!(said.error.starts_with("cut.log.gz: ") && said.error.contains("cannot be read"), "{}", said.error);
    assert_eq!(said.code, Some(1));
    let said = explain(path, &["none.log"]);
    assert_eq!((said.code, said.out == "Nothing was read, so nothing is known.\n"), (Some(1), true), "{}", said.out);
}

#[test]
fn encodings() {
    let directory = logs();
    let path = directory.path();
    write(path, "app.log", b"ok\ncaf\xe9 is open\nna\xefve\n");
    let latin = "app.log: line 2: 2 lines from here on are not in UTF-8 (Latin-1?): characters other than those of ASCII are lost";
    check_bad(path, &["app.log"], &[latin]);

    let wide: Vec<u8> = std::iter::once(0xfeff).chain(ERROR.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    write(path, "error.log", wide);
    let said = explain(path, &["access.log", "error.log", "gunicorn.log", "--format", "json"]);
    let wide = "error.log: line 1: the file is in UTF-16, which was read as well as it goes; logs are in UTF-8\n";
    assert_eq!((told(&said.out).as_str(), said.error.as_str(), said.code), (TOLD, wide, Some(1)));
}

#[test]
fn long_lines_and_holes() {
    let directory = logs();
    let path = directory.path();
    write(path, "long.log", format!("a\n{}\nb\n", "x".repeat(2 << 20)));
    check_bad(path, &["long.log"], &["long.log: line 3: lines longer than 1 MiB were read in part, 1 up to here"]);
    // `copytruncate` under a program that does not append.
    write(path, "error.log", [vec![0; 100_000], ERROR.as_bytes().to_vec()].concat());
    check_whole(path, &["access.log", "error.log", "gunicorn.log"]);
}

#[test]
fn formats_with_mistakes() {
    let directory = logs();
    let path = directory.path();
    check_bad(
        path,
        &["--nginx-conf", "none.conf"],
        &["none.conf: cannot be read: No such file or directory (os error 2); log formats are inferred from the lines"],
    );
    write(path, "nginx.conf", "events {}\nhttp {\n    log_format a '$status;\n}\n");
    let said =
        explain(path, &["access.log", "error.log", "gunicorn.log", "--format", "json", "--nginx-conf", "nginx.conf"]);
    assert!(said.error.starts_with("nginx.conf: line "), "{}", said.error);
    assert_eq!((told(&said.out).as_str(), said.code), (TOLD, Some(1)));
    write(path, "nginx.conf", "http {\n  log_format a '$remote_addr $status $upstream_adr';\n}\n");
    check_bad(
        path,
        &["--nginx-conf", "nginx.conf"],
        &[
            "nginx.conf: line 2: log_format: nginx has no variable $upstream_adr; did you mean $upstream_addr? What it holds is read as text",
        ],
    );
    check_bad(
        path,
        &["--log-format", "$remote_addr $status $team"],
        &["--log-format: nginx has no variable $team; what it holds is read as text"],
    );
    write(
        path,
        "nginx.conf",
        "http {\n  map $host $team { default a; }\n  log_format a '$remote_addr $status $team';\n}\n",
    );
    check_whole(path, &["access.log", "error.log", "gunicorn.log", "--nginx-conf", "nginx.conf"]);
}

/// The program has a log open and waits for a pipe; meanwhile `change` is done to the log.
#[cfg(unix)]
fn while_it_reads(change: impl FnOnce(&mut std::fs::File)) -> Said {
    let directory = logs();
    let path = directory.path();
    // Larger than what is read ahead.
    let healthy = ACCESS.lines().next().unwrap_or_default();
    write(path, "access.log", format!("{ACCESS}{}", format!("{healthy}\n").repeat(20_000)));
    assert!(Command::new("mkfifo").arg(path.join("pipe")).status().expect("mkfifo").success());
    let child = program(path, &["access.log", "error.log", "gunicorn.log", "pipe", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    // Opens when the program has opened its end, after the log.
    let pipe = std::fs::File::options().write(true).open(path.join("pipe")).expect("a pipe");
    change(&mut std::fs::File::options().append(true).open(path.join("access.log")).expect("a file"));
    drop(pipe);
    said(child.wait_with_output().expect("ends"))
}

#[test]
#[cfg(unix)]
fn files_that_change_while_they_are_read() {
    let grown = while_it_reads(|file| file.write_all(b"more\n").expect("appends"));
    assert_eq!((told(&grown.out).as_str(), grown.code), (TOLD, Some(1)));
    let sentence =
        "access.log: line 20004: the file grew while it was read: 5 bytes after this line are not in the report\n";
    assert_eq!(grown.error, sentence);
    let truncated = while_it_reads(|file| file.set_len(1_000).expect("truncates"));
    assert_eq!((told(&truncated.out).as_str(), truncated.code), (TOLD, Some(1)));
    assert!(truncated.error.starts_with("access.log: line "), "{}", truncated.error);
    assert!(truncated.error.contains("the file was truncated while it was read: "), "{}", truncated.error);
    let quiet = while_it_reads(|_| {});
    assert_eq!((told(&quiet.out).as_str(), quiet.error.as_str(), quiet.code), (TOLD, "", Some(0)));
}
