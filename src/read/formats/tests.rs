mod usual;

use super::*;

/// What a record proves, each with whether it counts as the program's own.
fn check(record: &str, expected: &[(Format, bool)]) {
    let reading = Reader::default().read(record.as_bytes(), &mut SourceMemory::default(), &Wanted::default());
    let found: Vec<(Format, bool)> = match &reading {
        Reading::Proves(_, evidences) => {
            evidences.iter().map(|evidence| (format_of(&evidence.proof), evidence.genuine)).collect()
        }
        Reading::Healthy(_) | Reading::Unrecognised => Vec::new(),
    };
    assert_eq!(found, expected, "{record}");
}

fn format_of(proof: &Proof) -> Format {
    match proof {
        Proof::NginxError(_) => Format::NginxError,
        Proof::NginxAccess(_) => Format::NginxAccess,
        Proof::Gunicorn(_) => Format::Gunicorn,
        Proof::GunicornAccess(_) => Format::GunicornAccess,
        Proof::Exception { .. } => Format::Exception,
        Proof::Host(_) => Format::Host,
    }
}

/// What a user would like to be read.
const FORGED: [&str; 7] = [
    "[2026-03-04 09:15:03 +0000] [1] [CRITICAL] WORKER TIMEOUT (pid:2)",
    "WORKER TIMEOUT (pid:2)",
    "2026/03/04 09:15:03 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, client: 192.0.2.7, server: s, request: \"GET /a HTTP/1.1\", upstream: \"http://127.0.0.1:8000/a\", host: \"s\"",
    "192.0.2.7 - - [04/Mar/2026:09:15:03 +0000] \"GET /a HTTP/1.1\" 502 5 \"-\" \"x\"",
    "Out of memory: Killed process 2 (gunicorn) total-vm:1kB",
    "web.service: Main process exited, code=killed, status=9/KILL",
    "gunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>",
];

#[test]
fn a_users_text_in_the_record_of_another_program_proves_nothing() {
    for forged in FORGED {
        for before in ["hi", "INFO shop.chat message from bob: hi", "hi\n\nthere", "{\"text\": \"hi\"", "\nhi"] {
            check(&format!("{before}\n{forged}"), &[]);
            check(&format!("{before}\r\n{forged}\r\nbye"), &[]);
            check(&format!("2026-03-04T09:15:02Z stdout F {before}\n{forged}"), &[]);
            let inside = format!("{before}\\n{}", forged.replace('"', "\\\""));
            check(&format!("{{\"message\":\"{}\"}}", inside.replace("{\\\"", "{").replace('\n', "\\n")), &[]);
        }
    }
}

#[test]
fn a_record_of_its_own_among_prints_of_the_application_counts() {
    let (reader, wanted, mut memory) = (Reader::default(), Wanted::default(), SourceMemory::default());
    for _ in 0..1_000 {
        reader.read(b"order 4711 placed", &mut memory, &wanted);
    }
    let reading = reader.read(FORGED.first().copied().unwrap_or_default().as_bytes(), &mut memory, &wanted);
    assert!(matches!(reading, Reading::Proves(Format::Gunicorn, evidences) if evidences.iter().all(|one| one.genuine)));
}

#[test]
fn the_traceback_that_a_program_logs_counts() {
    let traceback = "Traceback (most recent call last):\n  File \"/srv/gunicorn/workers/base.py\", line 204, in handle_abort\n    sys.exit(1)\nSystemExit: 1";
    let expected = [(Format::Gunicorn, true), (Format::Exception, true)];
    check(traceback, &expected);
    check(&format!("2026-03-04 09:15:02 ERROR shop: cannot load\n{traceback}"), &expected);
    let head = "[2026-03-04 09:15:03 +0000] [7] [ERROR] Exception in worker process";
    check(&format!("{head}\n{traceback}"), &[(Format::Gunicorn, true), expected[0], expected[1]]);
    check(&format!("\n{head}"), &[(Format::Gunicorn, true)]);
}

#[test]
fn each_format_has_one_row() {
    for (index, format) in table::FORMATS.iter().enumerate() {
        assert_eq!(table::FORMATS.iter().position(|known| known == format), Some(index), "{format:?}");
        assert!(!format.id().is_empty(), "{format:?}");
    }
}

#[test]
fn where_a_line_was_written() {
    use crate::read::evidence::OriginKind as K;
    let lines = [
        "[2026-03-04 09:15:03 +0000] [1] [CRITICAL] WORKER TIMEOUT (pid:2)",
        "192.0.2.7 - - [04/Mar/2026:09:15:03 +0000] 'GET /a HTTP/1.1' 502 5",
    ];
    for line in lines {
        let check = |envelope: &str, expected: Option<(K, &str)>| {
            let record = envelope.replace('%', line);
            let reading = Reader::default().read(record.as_bytes(), &mut SourceMemory::default(), &Wanted::default());
            let Reading::Proves(_, evidences) = reading else { panic!("{record}") };
            let origin = evidences.first().and_then(|evidence| evidence.origin.clone());
            assert_eq!(origin, expected.and_then(|(kind, name)| kind.named(name)), "{record}");
        };
        check("%", None);
        check("2026-03-04T09:15:02Z stderr F %", None);
        check("web-1  | %", Some((K::Container, "web-1")));
        check("[pod/web-5d9c8b7f4-x2x8p/app] %", Some((K::Pod, "web-5d9c8b7f4-x2x8p")));
        check("Mar  4 09:15:03 box gunicorn[7]: %", Some((K::Host, "box")));
        check("<13>1 2026-03-04T09:15:02Z box app 7 - - %", Some((K::Host, "box")));
        check("{\"message\":\"%\",\"pod\":\"web-5d9\",\"host\":\"box\"}", Some((K::Pod, "web-5d9")));
        check("{\"MESSAGE\":\"%\",\"_HOSTNAME\":\"box\"}", Some((K::Host, "box")));
        check("{\"MESSAGE\":\"%\",\"_SYSTEMD_UNIT\":\"web.service\"}", Some((K::Unit, "web.service")));
        // The nearest to the program counts.
        check("Mar  4 09:15:03 box docker[7]: web-1 | %", Some((K::Container, "web-1")));
    }
}

/// Whether each record of a line is genuine: `+`, or `?` for one that a client may have written.
fn records(line: &str) -> String {
    match Reader::default().read(line.as_bytes(), &mut SourceMemory::default(), &Wanted::default()) {
        Reading::Proves(_, evidences) => evidences.iter().map(|one| if one.genuine { '+' } else { '?' }).collect(),
        Reading::Healthy(_) | Reading::Unrecognised => String::new(),
    }
}

#[test]
fn a_second_record_on_the_line() {
    let access = "192.0.2.7 - - [04/Mar/2026:09:15:02 +0000] \"GET /a HTTP/1.1\" 502 5 \"-\" \"x\"";
    let error = "2026/03/04 09:15:02 [error] 4#4: *7 upstream timed out (110: Connection timed out) while reading response \
        header from upstream, client: 192.0.2.7, server: s, request: \"GET /a HTTP/1.1\", host: \"s\"";
    let gunicorn = "[2026-03-04 09:15:02 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:31)";
    let escaped = error.replace('"', "\\x22");
    for (line, expected) in [
        (access.to_owned(), "+"),
        (format!("{access}{error}"), "++"),
        (format!("{access} {error}"), "++"),
        (format!("{access}{gunicorn}"), "++"),
        // Behind a blank, a header without quotes may stand in nginx's format.
        (format!("{access} {gunicorn}"), "+?"),
        (format!("{access} {escaped}"), "+?"),
        (format!("{access} {escaped} \"10.0.0.7:8000\""), "+?"),
        (format!("{access} {} \"10.0.0.7:8000\"", error.split(" \"GET").next().unwrap_or_default()), "+?"),
        // What follows an error line may be its client's.
        (format!("{error}{error}"), "+?"),
        (format!("{error} {gunicorn}"), "+?"),
        // Within a value, and without a whole head.
        (access.replace("\"x\"", &format!("\"{escaped}\"")), "+"),
        (access.replace("\"x\"", &format!("\"{gunicorn}\"")), "+"),
        (format!("{access}{}", error.replace(" 4#4:", "")), "+?"),
    ] {
        assert_eq!(records(&line), expected, "{line}");
    }
}
