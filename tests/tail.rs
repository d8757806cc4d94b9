//! `why502 tail` as a process: rotation by renaming and by truncation, files that appear later, a server that is away.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::{Backend, Reply};
use common::eventually;
use common::process::{Program, finished};
use common::requests;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use tonic::Code;

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("opens");
    file.write_all(text.as_bytes()).expect("writes");
}

/// Waits until these lines, in this order and no others, were taken by the backend.
async fn arrived(backend: &Backend, expected: &[&str]) {
    let lines = || -> Vec<String> {
        let taken = backend.seen().into_iter().filter(|seen| seen.taken);
        taken.flat_map(|seen| requests::bodies(&seen.message())).collect()
    };
    eventually(|| format!("{expected:?} in {:?}", lines()), || lines().len() >= expected.len()).await;
    assert_eq!(lines(), expected);
}

#[tokio::test]
async fn rotated_truncated_and_late_files_are_followed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("error.log");
    append(&path, "before\n");
    let backend = Backend::start(Vec::new()).await;
    let pattern = directory.path().join("*.log").display().to_string();
    let mut tail = Program::start(&["tail", &pattern, "--to", &backend.address.to_string(), "--service", "shop"]);
    eventually("it follows", || tail.stderr().contains("following")).await;
    // It begins at the end, wherever that is when it looks first: a line that is sure to come after is awaited.
    let mut probes = 0;
    while backend.count() == 0 {
        probes += 1;
        assert!(probes < 600, "{}", tail.stderr());
        append(&path, "probe\n");
        common::process::pause().await;
    }
    common::process::pause().await;
    let told = || -> Vec<String> { backend.bodies().into_iter().filter(|line| line != "probe").collect() };
    let expect = async |expected: &[&str]| {
        eventually(|| format!("{expected:?} in {:?}", told()), || told().len() >= expected.len()).await;
        assert_eq!(told(), expected);
    };
    append(&path, "one\r\ntwo\n");
    expect(&["one", "two"]).await;
    append(&path, "last of the old\n");
    std::fs::rename(&path, directory.path().join("error.log.1")).expect("renames");
    append(&path, "first of the new\n");
    expect(&["one", "two", "last of the old", "first of the new"]).await;
    // As copytruncate does it: the file is empty for longer than the follower takes to look.
    OpenOptions::new().write(true).truncate(true).open(&path).expect("truncates");
    for _ in 0..10 {
        common::process::pause().await;
    }
    append(&path, "after\n");
    expect(&["one", "two", "last of the old", "first of the new", "after"]).await;
    append(&directory.path().join("late.log"), "late\n");
    expect(&["one", "two", "last of the old", "first of the new", "after", "late"]).await;
    append(&path, "without a line end");
    tail.signal("TERM");
    assert_eq!(tail.ended().await.code(), Some(0), "{}", tail.stderr());
    expect(&["one", "two", "last of the old", "first of the new", "after", "late", "without a line end"]).await;
    let late = backend.seen().into_iter().flat_map(|seen| requests::records(&seen.message()));
    let late = late.into_iter().find(|record| requests::body(record) == "late").expect("it came");
    let whole = directory.path().join("late.log").display().to_string();
    assert_eq!(requests::attribute_of(&late.attributes, "log.file.path"), whole);
    assert_eq!(requests::attribute_of(&late.attributes, "log.file.name"), "late.log");
    assert!(late.observed_time_unix_nano > 0 && late.time_unix_nano == 0);
    let resource = backend.seen()[0].message();
    let resource = String::from_utf8_lossy(&resource).into_owned();
    assert!(resource.contains("service.name") && resource.contains("shop"), "{resource}");
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_and_a_server_that_is_away_cost_no_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("later.log");
    let busy = vec![Reply::Grpc(Code::Unavailable, None), Reply::Close];
    let backend = Backend::start(busy).await;
    let url = backend.url();
    let mut tail = Program::start(&["tail", &path.display().to_string(), "--to", &url]);
    eventually("it says that it waits", || tail.stderr().contains("no such file yet")).await;
    append(&path, "first\nsecond\n");
    arrived(&backend, &["first", "second"]).await;
    tail.signal("INT");
    assert_eq!(tail.ended().await.code(), Some(0), "{}", tail.stderr());
}

#[tokio::test]
async fn what_stands_in_a_file_already_is_sent_where_told_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("old.log");
    append(&path, "old\n\n\u{1b}[31mred\u{1b}[0m\nbroken ");
    OpenOptions::new().append(true).open(&path).expect("opens").write_all(b"\xff\xfe\n").expect("writes");
    append(&path, &format!("{}\n", "x".repeat((1 << 20) + 5)));
    let backend = Backend::start(Vec::new()).await;
    let mut tail = Program::start(&["tail", "--from-start", &path.display().to_string(), "--to", &backend.url()]);
    let long = "x".repeat(1 << 20);
    arrived(&backend, &["old", "\u{1b}[31mred\u{1b}[0m", "broken \u{fffd}\u{fffd}", &long]).await;
    tail.signal("TERM");
    assert_eq!(tail.ended().await.code(), Some(0));
    assert!(tail.stderr().contains("lines longer than 1 MiB were cut: 1"), "{}", tail.stderr());
}

#[tokio::test]
async fn a_server_that_is_away_is_told_of() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    append(&path, "waits\n");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let mut tail = Program::start(&["tail", "--from-start", &path.display().to_string(), "--to", &free.to_string()]);
    let words = format!("cannot connect to {free}");
    eventually("it says so", || tail.stderr().contains(&words)).await;
    assert!(!tail.stderr().contains("line 0"), "{}", tail.stderr());
    let backend = Backend::at(free).await;
    arrived(&backend, &["waits"]).await;
    tail.signal("TERM");
    assert_eq!(tail.ended().await.code(), Some(0));
}

/// Every line is accounted for: those that were queued in vain, and the bytes that were never read.
#[tokio::test]
async fn what_was_not_delivered_is_told_at_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    let line = format!("{}\n", "x".repeat(1023));
    append(&path, &line.repeat(48 << 10));
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let mut tail = Program::start(&["tail", "--from-start", &path.display().to_string(), "--to", &free.to_string()]);
    eventually("it cannot send", || tail.stderr().contains("cannot connect")).await;
    tail.signal("TERM");
    assert_eq!(tail.ended().await.code(), Some(1), "{}", tail.stderr());
    let told = tail.stderr();
    let number = |words: &str| -> usize {
        let (before, _) = told.split_once(words).unwrap_or_else(|| panic!("{words} in {told}"));
        before
            .rsplit(|byte: char| !byte.is_ascii_digit())
            .next()
            .and_then(|digits| digits.parse().ok())
            .expect("a number")
    };
    let unread = number(" bytes of the files were not read");
    assert_eq!(number(" lines were not delivered") * line.len() + unread, 48 << 20, "{told}");
    assert!(unread > 0);
}

#[tokio::test]
async fn what_the_server_refuses_is_told_at_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    append(&path, "one\ntwo\n");
    let backend = Backend::always(Reply::Grpc(Code::Unimplemented, None)).await;
    let mut tail = Program::start(&["tail", "--from-start", &path.display().to_string(), "--to", &backend.url()]);
    eventually("it says so", || tail.stderr().contains("takes no logs")).await;
    append(&path, "three\n");
    eventually("it was refused again", || backend.count() == 2).await;
    tail.signal("TERM");
    assert_eq!(tail.ended().await.code(), Some(1), "{}", tail.stderr());
    assert!(
        tail.stderr().contains(&format!("3 lines were not delivered: {} refused them", backend.url())),
        "{}",
        tail.stderr()
    );
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was_and_nothing_is_lost_or_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, kept) = (directory.path().join("access.log"), directory.path().join("positions.json"));
    let backend = Backend::start(Vec::new()).await;
    let (log, positions, to) = (path.display().to_string(), kept.display().to_string(), backend.address.to_string());
    let arguments = ["tail", &log, "--from-start", "--to", &to, "--positions", &positions];
    let mut expected = Vec::new();
    let mut write = |from: u32, until: u32| {
        let lines: Vec<String> = (from..until).map(|number| format!("line {number}")).collect();
        append(&path, &(lines.join("\n") + "\n"));
        expected.extend(lines);
        expected.clone()
    };
    let told = |backend: &Backend| backend.taken_bodies();
    for (round, signal) in (0_u32..).zip(["KILL", "TERM", "KILL", "TERM"]) {
        // Each file has a length of its own, by which its position is told.
        let before = write(round * 100, round * 100 + 50 + round);
        let mut tail = Program::start(&arguments);
        eventually(|| format!("{:?}", told(&backend)), || told(&backend).len() >= before.len()).await;
        let known = || std::fs::read_to_string(&kept).unwrap_or_default();
        let length = std::fs::metadata(&path).expect("a file").len();
        eventually(known, || known().contains(&format!("\"offset\":{length}"))).await;
        tail.signal(signal);
        tail.ended().await;
        assert_eq!(told(&backend), before, "after {signal}");
        // While nobody follows: more lines, and a rotation.
        write(round * 100 + 60, round * 100 + 70 + 2 * round);
        std::fs::rename(&path, directory.path().join(format!("access.log.{round}"))).expect("renames");
    }
    let all = write(900, 901);
    let mut tail = Program::start(&arguments);
    eventually(|| format!("{:?}", told(&backend)), || told(&backend).len() >= all.len()).await;
    tail.signal("TERM");
    assert!(tail.ended().await.success(), "{}", tail.stderr());
    assert_eq!(told(&backend), all);
}

#[tokio::test]
async fn logs_that_are_rotated_faster_than_they_are_looked_at_lose_no_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    append(&path, "line 0\n");
    let backend = Backend::start(Vec::new()).await;
    let arguments = ["tail", &path.display().to_string(), "--from-start", "--to", &backend.address.to_string()];
    let mut tail = Program::start(&arguments);
    let told = || backend.taken_bodies();
    eventually("it follows", || told().len() == 1).await;
    let mut expected = vec!["line 0".to_owned()];
    for number in 1..=40 {
        let line = format!("line {number}");
        append(&path, &format!("{line}\n"));
        expected.push(line);
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        std::fs::rename(&path, directory.path().join(format!("access.log.{number}"))).expect("renames");
    }
    append(&path, "end\n");
    expected.push("end".to_owned());
    eventually(|| format!("{:?}", told()), || told().len() >= expected.len()).await;
    assert_eq!(told(), expected);
    tail.signal("TERM");
    assert!(tail.ended().await.success(), "{}", tail.stderr());
}

#[tokio::test]
async fn standard_input_is_sent_to_its_end() {
    let backend = Backend::start(Vec::new()).await;
    let script = "printf 'one\\ntwo\\n'; sleep 0.3; printf 'three'";
    let command = format!("({script}) | {} tail - --to {}", env!("CARGO_BIN_EXE_why502"), backend.address);
    let run = move || std::process::Command::new("sh").args(["-c", &command]).output();
    let ended = tokio::task::spawn_blocking(run);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), ended).await.expect("it ends");
    let ended = ended.expect("no panic").expect("a shell");
    assert!(ended.status.success(), "{ended:?}");
    arrived(&backend, &["one", "two", "three"]).await;
}

#[tokio::test]
async fn a_run_that_saw_no_new_line_is_gone_on_from_as_well() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, kept) = (directory.path().join("access.log"), directory.path().join("positions.json"));
    append(&path, "of long ago\n");
    let backend = Backend::start(Vec::new()).await;
    let (log, positions, to) = (path.display().to_string(), kept.display().to_string(), backend.address.to_string());
    let arguments = ["tail", &log, "--to", &to, "--positions", &positions];
    let mut idle = Program::start(&arguments);
    eventually("it has looked", || kept.exists()).await;
    idle.signal("KILL");
    idle.ended().await;
    append(&path, "meanwhile\n");
    let mut tail = Program::start(&arguments);
    arrived(&backend, &["meanwhile"]).await;
    tail.signal("TERM");
    assert!(tail.ended().await.success(), "{}", tail.stderr());
    arrived(&backend, &["meanwhile"]).await;
    let nowhere = directory.path().join("none/positions.json").display().to_string();
    let (code, _, said) = finished(&["tail", &log, "--to", &to, "--positions", &nowhere]).await;
    assert!(code != 0 && said.contains("check its folder"), "{said}");
}
