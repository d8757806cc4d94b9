//! Directories and disks that a journal cannot be on, or not any more: `run` and `validate` say the same of them.

use super::*;

/// A journal with some requests in it, that nobody has open.
async fn filled() -> Place {
    let down = Backend::always(Reply::http(503)).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &down)]);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    for number in 0..5 {
        send(grpc, Signal::Logs, &requests::logs(&[&format!("{number}")])).await;
    }
    program.signal("TERM");
    program.ended().await;
    place
}

fn segment(place: &Place) -> PathBuf {
    let names = std::fs::read_dir(place.journal()).expect("a journal");
    let mut paths: Vec<PathBuf> = names.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    paths.sort();
    paths.into_iter().next().expect("a segment")
}

fn change(path: &Path, at: usize, byte: u8) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[at] = byte;
    std::fs::write(path, bytes).expect("a file");
}

#[tokio::test]
async fn a_journal_of_another_version_is_one_sentence() {
    let place = filled().await;
    change(&segment(&place), 8, 77);
    place.refused_by_both(&["format version 77", "or name another directory"]).await;
    let path = place.journal().display().to_string();
    for action in ["inspect", "verify", "repair"] {
        let (code, _, said) = finished(&["journal", action, &path]).await;
        assert!(code == 1 && said.contains("format version 77"), "{action}: {said}");
    }
}

#[tokio::test]
async fn a_flipped_bit_is_one_sentence_and_repair_keeps_the_rest() {
    let place = filled().await;
    let path = place.journal().display().to_string();
    let (code, said, _) = finished(&["journal", "verify", &path]).await;
    assert!(code == 0 && said.contains("sound, 5 requests"), "{said}");
    change(&segment(&place), 32 + 56 + 20, 0xff);
    let next = format!("`why502 journal repair {path}`");
    place.refused_by_both(&["is damaged at byte 32: requests 1 to 1 were acknowledged", &next]).await;
    let (code, said, _) = finished(&["journal", "verify", &path]).await;
    assert!(code == 1 && said.contains("requests 1 to 1 cannot be read") && said.contains(&next), "{said}");
    let (code, said, _) = finished(&["journal", "repair", &path]).await;
    assert!(code == 0 && said.contains("set aside as") && said.contains("what can be read is kept"), "{said}");
    let (code, _, _) = finished(&["journal", "verify", &path]).await;
    assert_eq!(code, 0);
    let alive = Backend::start(Vec::new()).await;
    place.configure("100ms", &[kept("otlphttp/out", &alive)]);
    let mut program = place.run();
    let arrived = || alive.taken_bodies().into_iter().collect::<BTreeSet<String>>();
    eventually("the rest arrives", || arrived() == ["1", "2", "3", "4"].map(str::to_owned).into()).await;
    program.signal("TERM");
    program.ended().await;
    let (_, said, _) = finished(&["journal", "repair", &path]).await;
    assert_eq!(said, "nothing to repair\n");
}

#[tokio::test]
async fn a_second_process_is_one_sentence() {
    let alive = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &alive)]);
    let program = place.run();
    program.addresses().await;
    let said = place.refused().await;
    assert!(said.contains("another process has it open"), "{said}");
    // Who looks at a changed file beside the why502 that runs by it has done nothing wrong.
    let (code, said) = place.validated().await;
    assert!(code == 0 && said.contains("warning: ") && said.contains("another process has it open"), "{said}");
    let path = place.journal().display().to_string();
    let (code, _, said) = finished(&["journal", "repair", &path]).await;
    assert!(code == 1 && said.contains("another process has it open"), "{said}");
    let (code, said, _) = finished(&["journal", "inspect", &path]).await;
    assert!(code == 0 && said.contains("otlphttp/out: has everything"), "{said}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_is_one_sentence() {
    let alive = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &alive)]);
    write(place.directory.path(), "journal", "a file");
    place.refused_by_both(&["name a directory, not a file"]).await;
    std::fs::remove_file(place.journal()).expect("it was there");
    let (code, said) = place.validated().await;
    assert_eq!((code, said.as_str(), place.journal().exists()), (0, "", false), "a start makes it, a look does not");
    let mut program = place.run();
    program.addresses().await;
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(place.journal()).expect("made").permissions());
    assert_eq!(mode & 0o777, 0o700, "nobody else reads logs there");
    program.signal("TERM");
    program.ended().await;
    // Only root may give a directory away.
    if std::os::unix::fs::chown(place.journal(), Some(12_345), None).is_ok() {
        place.refused_by_both(&["belongs to user 12345 and why502 runs as user 0"]).await;
    }
}

/// A file system of its own, of so many bytes; `None` where this user may not mount one.
struct Small {
    path: PathBuf,
    _directory: TempDir,
}

impl Small {
    fn of(bytes: u64) -> Option<Small> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("disk");
        std::fs::create_dir(&path).expect("a directory");
        let size = format!("size={bytes}");
        let mount = ["-t", "tmpfs", "-o", &size, "none"];
        let mounted = std::process::Command::new("mount").args(mount).arg(&path).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Small { path, _directory: directory })
    }

    fn again(&self, options: &str) {
        let remount = format!("remount,{options}");
        let done = std::process::Command::new("mount").args(["-o", &remount]).arg(&self.path).status();
        assert!(done.is_ok_and(|status| status.success()), "{options}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

#[tokio::test]
async fn a_full_disk_pushes_back_and_goes_on_when_there_is_room() {
    let Some(disk) = Small::of(1 << 20) else {
        eprintln!("not tested: this user may not mount a small disk");
        return;
    };
    let down = Backend::always(Reply::http(503)).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &down)]);
    std::os::unix::fs::symlink(&disk.path, place.journal()).expect("a link");
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    let mut acknowledged = BTreeSet::new();
    let refusal = loop {
        let body = format!("{} {}", acknowledged.len(), "x".repeat(50_000));
        let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[&body])).await;
        if answer.grpc().code() != Code::Ok {
            break answer;
        }
        acknowledged.insert(body);
        assert!(acknowledged.len() < 100, "the disk is full by now");
    };
    assert_eq!(refusal.grpc().code(), Code::Unavailable);
    assert!(refusal.retry_info().is_some(), "{refusal:?}");
    assert!(refusal.grpc().message().contains("free space there"), "{}", refusal.grpc().message());
    eventually("it is told", || program.stderr().contains("free space there")).await;
    disk.again("size=8m");
    for number in 0..5 {
        let body = format!("after {number}");
        send(grpc, Signal::Logs, &requests::logs(&[&body])).await;
        acknowledged.insert(body);
    }
    killed(&mut program).await;
    down.recover();
    let mut program = place.run();
    eventually("all of it arrives", || {
        let arrived: BTreeSet<String> = down.taken_bodies().into_iter().collect();
        acknowledged.is_subset(&arrived)
    })
    .await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    disk.again("ro");
    let said = place.refused().await;
    assert!(said.contains("mount it writable"), "{said}");
    let (code, said) = place.validated().await;
    assert!(code == 1 && said.contains("mount it writable"), "{said}");
    disk.again("rw");
    let (code, said) = place.validated().await;
    assert!(code == 0 && said.contains("warning: ") && said.contains("`journal::max_bytes` is 64 MiB"), "{said}");
    std::fs::write(disk.path.join("full"), vec![0; 9 << 20]).expect_err("it is full");
    place.refused_by_both(&["free space there"]).await;
}

#[tokio::test]
async fn a_sync_that_fails_poisons_the_journal_and_readiness_says_so() {
    let alive = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &alive)]);
    let (library, fails) = (place.directory.path().join("failing.so"), place.directory.path().join("fails"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/failing_sync.c");
    let compiled = std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(compiled.is_ok_and(|status| status.success()), "Rust needs a C compiler as well");
    let words = format!("export LD_PRELOAD='{}' SYNC_FAILS='{}'", library.display(), fails.display());
    let config = place.directory.path().join("why502.yaml").display().to_string();
    let mut program = Program::start_after(&words, &["run", "--config", &config]);
    let (grpc, http) = program.addresses().await;
    send(grpc, Signal::Logs, &requests::logs(&["before"])).await;
    assert_eq!(get(http, "/readyz").await, (200, "ready\n".to_owned()));
    std::fs::write(&fails, "").expect("a file");
    let refused = |body: &'static str| async move {
        let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[body])).await;
        assert_eq!(answer.grpc().code(), Code::Unavailable);
        assert!(answer.grpc().message().contains("did not confirm"), "{}", answer.grpc().message());
    };
    refused("not confirmed").await;
    std::fs::remove_file(&fails).expect("it was there");
    // The next sync would succeed, and prove nothing of what was written before.
    refused("after it").await;
    let (status, said) = get(http, "/readyz").await;
    assert!(status == 503 && said.contains("did not confirm") && said.contains("start why502 anew"), "{said}");
    assert_eq!(get(http, "/livez").await.0, 200, "a restart without a look at the disk would hide it");
    assert!(program.stderr().contains("nothing is acknowledged until then"), "{}", program.stderr());
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let mut program = place.run();
    let (grpc, http) = program.addresses().await;
    assert_eq!(get(http, "/readyz").await.0, 200);
    send(grpc, Signal::Logs, &requests::logs(&["anew"])).await;
    let arrived = || alive.taken_bodies();
    eventually("what was acknowledged arrives", || {
        ["before", "anew"].iter().all(|body| arrived().iter().any(|one| one == body))
    })
    .await;
    program.signal("TERM");
    program.ended().await;
}

/// A directory that was written by format version 1, as it must be read for ever.
#[tokio::test]
async fn the_first_version_of_the_format_is_read() {
    let alive = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &alive)]);
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/v1");
    std::fs::create_dir(place.journal()).expect("a directory");
    for name in ["00000000000000000001.segment", "cursors"] {
        std::fs::copy(frozen.join(name), place.journal().join(name)).expect("a frozen file");
    }
    let mut program = place.run();
    let arrived = || alive.taken_bodies().into_iter().collect::<BTreeSet<String>>();
    eventually("what it holds arrives", || arrived() == ["0", "1", "2", "3", "4"].map(str::to_owned).into()).await;
    program.signal("TERM");
    program.ended().await;
}
