use super::followed::{LINE_BYTES_MAX, PARTIAL_TURNS};
use super::*;
use std::io::Write;

fn turn(follower: &mut Follower) -> Vec<String> {
    let mut lines = Vec::new();
    while follower.turn(&mut lines) {}
    lines.into_iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("opens");
    file.write_all(text.as_bytes()).expect("writes");
}

#[test]
fn appended_rotated_truncated_and_late() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    append(&path, "old\n");
    let mut follower = Follower::new(vec![directory.path().join("*.log").display().to_string()], false);
    assert!(turn(&mut follower).is_empty(), "begins at the end");
    append(&path, "one\ntwo\r\nhal");
    assert_eq!(turn(&mut follower), ["one", "two"]);
    append(&path, "f\n");
    assert_eq!(turn(&mut follower), ["half"]);
    append(&path, "last of the old file\nno line end");
    std::fs::rename(&path, directory.path().join("a.log.1")).expect("renames");
    append(&path, "first of the new\n");
    assert_eq!(turn(&mut follower), ["last of the old file", "no line end", "first of the new"]);
    std::fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("truncates");
    assert!(turn(&mut follower).is_empty());
    append(&path, "after\n");
    assert_eq!(turn(&mut follower), ["after"]);
    append(&directory.path().join("b.log"), "late\n");
    assert_eq!(turn(&mut follower), ["late"], "a new file is read from its start");
}

fn rename(path: &Path, to: &str) {
    std::fs::rename(path, path.with_file_name(to)).expect("renames");
}

#[test]
fn a_file_that_was_renamed_away_is_read_to_its_end_before_the_next_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    append(&path, "first\n");
    let mut follower = Follower::new(vec![path.display().to_string()], true);
    assert_eq!(turn(&mut follower), ["first"]);
    // More than a turn takes, as where the server was away for a while.
    let count = 5 * TURN_BYTES / 10;
    append(&path, &"old lines\n".repeat(count));
    rename(&path, "a.log.1");
    append(&path, "new\n");
    let mut lines = Vec::new();
    assert!(follower.turn(&mut lines), "there is more");
    assert!(lines.len() < count);
    assert!(follower.unread() > 0);
    let rest = turn(&mut follower);
    assert_eq!(lines.len() + rest.len(), count + 1);
    assert_eq!(rest.last().map(String::as_str), Some("new"));
    assert_eq!(follower.unread(), 0);
}

#[test]
fn what_is_written_to_a_renamed_file_still_comes_and_it_is_left_in_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    append(&path, "one\n");
    let mut follower = Follower::new(vec![directory.path().join("a.log*").display().to_string()], true);
    assert_eq!(turn(&mut follower), ["one"]);
    // The rotation makes the new file before the program is told to open it; the glob finds the old one's new name.
    rename(&path, "a.log.1");
    append(&path, "");
    assert!(turn(&mut follower).is_empty());
    append(&directory.path().join("a.log.1"), "late\n");
    append(&path, "new\n");
    assert_eq!(turn(&mut follower), ["late", "new"]);
    for _ in 0..100 {
        assert!(turn(&mut follower).is_empty());
    }
    assert_eq!(follower.count(), 2, "both names are still there");
    std::fs::remove_file(directory.path().join("a.log.1")).expect("removes");
    for _ in 0..100 {
        assert!(turn(&mut follower).is_empty());
    }
    assert_eq!(follower.count(), 1);
}

#[test]
fn a_log_whose_name_alone_is_followed_is_left_when_it_is_rotated_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    append(&path, "one\n");
    let mut follower = Follower::new(vec![path.display().to_string()], true);
    for number in 0..5 {
        turn(&mut follower);
        rename(&path, &format!("a.log.{number}"));
        append(&path, "more\n");
        for _ in 0..30 {
            turn(&mut follower);
        }
        assert_eq!(follower.count(), 1);
    }
    // One that comes back under the followed name goes on where it was left.
    rename(&path, "away");
    rename(&directory.path().join("a.log.0"), "a.log");
    append(&path, "again\n");
    assert_eq!(turn(&mut follower), ["again"]);
}

#[test]
fn what_cannot_be_followed_is_told_once() {
    let directory = tempfile::tempdir().expect("a directory");
    append(&directory.path().join("a.log"), "text\n");
    std::fs::write(directory.path().join("a.log.1.gz"), [0x1f, 0x8b, 8, 0, 10, 10]).expect("writes");
    let of = |name: &str| directory.path().join(name).display().to_string();
    let patterns = [of("a.log*"), of(""), of("a.log/below"), of("none"), "/dev/null".to_owned()];
    let mut follower = Follower::new(patterns.to_vec(), true);
    assert_eq!(turn(&mut follower), ["text"]);
    turn(&mut follower);
    let problems = follower.problems();
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(problems[0].ends_with("a.log.1.gz is compressed and is not followed"), "{problems:?}");
    assert!(problems[1].contains("is a folder: name its files"), "{problems:?}");
    assert!(problems[2].contains("a.log/below: Not a directory"), "{problems:?}");
    assert_eq!(problems[3], "/dev/null is a device or pipe, no file, and is not followed");
    assert!(follower.problems().is_empty());
}

#[test]
fn many_files_share_a_turn() {
    let directory = tempfile::tempdir().expect("a directory");
    for number in 0..64 {
        append(&directory.path().join(format!("{number}.log")), &"some line\n".repeat(TURN_BYTES / 10));
    }
    let mut follower = Follower::new(vec![directory.path().join("*.log").display().to_string()], true);
    let mut lines = Vec::new();
    assert!(follower.turn(&mut lines));
    let bytes: usize = lines.iter().map(|line| line.text.len() + 1).sum();
    assert!(bytes <= TURN_BYTES_OF_ALL + 64 * CHUNK_BYTES, "{bytes}");
    let mut count = lines.len();
    while follower.turn(&mut lines) {
        count += std::mem::take(&mut lines).len();
    }
    assert_eq!(count, 64 * (TURN_BYTES / 10));
}

#[test]
fn partial_and_long_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    append(&path, "waits");
    let mut follower = Follower::new(vec![path.display().to_string()], true);
    assert!(turn(&mut follower).is_empty());
    let told: Vec<String> = (0..=PARTIAL_TURNS).flat_map(|_| turn(&mut follower)).collect();
    assert_eq!(told, ["waits"]);
    append(&path, &format!("{}\nshort\n", "x".repeat(3 << 20)));
    let lines = turn(&mut follower);
    assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES_MAX, 5]);
    assert_eq!(follower.cut, 1);
    append(&path, "end");
    let mut lines = Vec::new();
    follower.turn(&mut lines);
    follower.finish(&mut lines);
    assert_eq!(lines.len(), 1);
}

#[test]
fn a_file_that_was_truncated_and_has_grown_again_is_told_by_its_first_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    append(&path, "1 first\n2 second\n");
    let mut follower = Follower::new(vec![path.display().to_string()], true);
    assert_eq!(turn(&mut follower), ["1 first", "2 second"]);
    std::fs::write(&path, "3 third\n4 fourth\n5 fifth\n").expect("truncates");
    assert_eq!(turn(&mut follower), ["3 third", "4 fourth", "5 fifth"]);
    // As long as before, to the byte.
    std::fs::write(&path, "6 sixth\n7 seventh\n8 eigh\n").expect("truncates");
    append(&path, "9\n");
    assert_eq!(turn(&mut follower), ["6 sixth", "7 seventh", "8 eigh", "9"]);
}

#[test]
fn logs_that_are_rotated_twice_between_two_looks_are_not_missed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    append(&directory.path().join("a.log.old"), "of another time\n");
    append(&path, "one\n");
    let mut follower = Follower::new(vec![path.display().to_string()], true);
    assert_eq!(turn(&mut follower), ["one"]);
    // Somebody keeps a copy, which is no log of its own.
    std::fs::copy(&path, directory.path().join("a.log.bak")).expect("copies");
    for number in 0..3 {
        append(&path, &format!("more {number}\n"));
        // The clock of a file system may have steps of some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(30));
        rename(&path, &format!("a.log.{number}"));
    }
    append(&path, "last\n");
    assert_eq!(turn(&mut follower), ["more 0", "more 1", "more 2", "last"]);
}

#[test]
fn a_restart_goes_on_where_the_run_before_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, kept) = (directory.path().join("a.log"), directory.path().join("positions"));
    append(&path, "one\ntwo\nhal");
    let mut first = Follower::new(vec![path.display().to_string()], true);
    assert_eq!(turn(&mut first), ["one", "two"]);
    first.positions().write(&kept).expect("writes");
    drop(first);
    append(&path, "f\nlast of the old\n");
    rename(&path, "a.log.1");
    append(&path, "new\n");
    append(&directory.path().join("b.log"), "unknown before\n");
    let again = |patterns: &[&Path]| {
        let mut follower = Follower::new(patterns.iter().map(|path| path.display().to_string()).collect(), false);
        follower.go_on(&Positions::read(&kept).expect("reads").expect("some"));
        let lines = turn(&mut follower);
        (lines, follower.positions())
    };
    let (lines, positions) = again(&[&path, &directory.path().join("b.log")]);
    assert_eq!(lines, ["half", "last of the old", "new", "unknown before"]);
    positions.write(&kept).expect("writes");
    let (lines, _) = again(&[&path]);
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn positions_that_are_none_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let kept = directory.path().join("positions");
    assert!(Positions::read(&kept).expect("reads").is_none());
    for (text, words) in [
        ("", "EOF"),
        ("{\"version\":2,\"files\":[]}", "is of version 2"),
        ("{\"version\":1,\"files\":[{}]}", "missing field"),
        ("{\"version\":1,\"files\":[],\"x\":1}", "unknown field"),
    ] {
        std::fs::write(&kept, text).expect("writes");
        let error = Positions::read(&kept).expect_err(text).to_string();
        assert!(error.contains(words) && error.contains("delete it to begin anew"), "{error}");
    }
    let nowhere = directory.path().join("none/positions");
    let error = Positions::default().write(&nowhere).expect_err("no folder").to_string();
    assert!(error.contains("check its folder"), "{error}");
}

#[test]
fn a_rotation_that_goes_on_while_it_is_looked_at_hides_no_file() {
    const ROTATIONS: usize = 40;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    append(&path, "line 0\n");
    let mut follower = Follower::new(vec![path.display().to_string()], true);
    let mut told = turn(&mut follower);
    let rotating = std::thread::spawn(move || {
        for line in 1..=ROTATIONS {
            // Longer than a tick of the clock by which a file was made.
            std::thread::sleep(std::time::Duration::from_millis(20));
            for number in (1..line).rev() {
                rename(&path.with_file_name(format!("a.log.{number}")), &format!("a.log.{}", number + 1));
            }
            rename(&path, "a.log.1");
            append(&path, &format!("line {line}\n"));
        }
    });
    while !rotating.is_finished() {
        told.extend(turn(&mut follower));
        std::thread::sleep(std::time::Duration::from_millis(35));
    }
    rotating.join().expect("rotates");
    told.extend(turn(&mut follower));
    told.extend(turn(&mut follower));
    let expected: Vec<String> = (0..=ROTATIONS).map(|line| format!("line {line}")).collect();
    assert_eq!(told, expected);
}
