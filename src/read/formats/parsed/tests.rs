use super::*;
use crate::read::time::rfc3339;

const ERROR: &str = "2026/03/04 09:15:03 [error] 411#411: *7 connect() failed (111: Connection refused) while \
    connecting to upstream, client: 127.0.0.1, server: shop.test, request: \"GET /a HTTP/1.1\", upstream: \
    \"http://127.0.0.1:8000/a\", host: \"shop.test\"";
const MESSAGE: &str = "connect() failed (111: Connection refused) while connecting to upstream";
const TAIL: &str = ", client: 127.0.0.1, server: shop.test, request: \"GET /a HTTP/1.1\", upstream: \
    \"http://127.0.0.1:8000/a\", host: \"shop.test\"";
/// What the whole line says.
const ALL: &str = "2026-03-04T09:15:03Z error 411 *7 connect_refused 127.0.0.1 shop.test GET /a HTTP/1.1 \
    http://127.0.0.1:8000 shop.test";

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn read(pairs: Pairs<'_>, recorded: Option<Stamp>) -> Reading {
    let get = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value));
    let mut memory = SourceMemory::default();
    let reading = Reader::default().read_parsed(&get, &mut memory, &Wanted::default());
    complete(reading, &line_of(&get).unwrap_or_default(), recorded, &get, &mut memory)
}

fn shown(reading: &Reading) -> String {
    let evidence = match reading {
        Reading::Proves(_, evidences) => evidences.first().expect("what proves something says what"),
        Reading::Healthy(format) => return format!("{} healthy", format.id()),
        Reading::Unrecognised => return "unrecognised".to_owned(),
    };
    let time = evidence.stamp.map(|stamp| rfc3339(stamp.nanos));
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let trace = evidence.trace.map(|trace| format!("{:02x}", trace.trace_id[0]));
    let parts = match &evidence.proof {
        Proof::NginxError(error) => vec![
            text(error.level),
            number(error.pid.map(u64::from)),
            number(error.connection).map(|connection| format!("*{connection}")),
            Some(error.symptom.map_or(error.message.as_str(), |symptom| symptom.id()).to_owned()),
            text(&error.client),
            text(&error.server),
            error.request.as_ref().map(ToString::to_string),
            error.upstream.as_ref().map(|upstream| format!("{}://{upstream}", error.upstream_scheme)),
            error.host.as_ref().map(ToString::to_string),
        ],
        Proof::NginxAccess(access) => vec![
            Some(access.status.to_string()),
            number(access.pid.map(u64::from)),
            number(access.connection).map(|connection| format!("*{connection}")),
            text(&access.client),
            text(&access.request_id),
            access.attempts.first().map(|attempt| attempt.address.to_string()),
            trace,
        ],
        Proof::Gunicorn(gunicorn) => {
            vec![text(&gunicorn.level), number(gunicorn.pid.map(u64::from)), Some(format!("{:?}", gunicorn.event))]
        }
        Proof::GunicornAccess(access) => {
            vec![Some(access.status.to_string()), number(access.worker.map(u64::from)), text(&access.request_id)]
        }
        other => vec![Some(format!("{other:?}"))],
    };
    time.into_iter().chain(parts.into_iter().flatten()).collect::<Vec<_>>().join(" ")
}

fn check(pairs: Pairs<'_>, expected: &str) {
    assert_eq!(shown(&read(pairs, None)), expected, "{pairs:?}");
}

#[test]
fn a_line_that_was_moved_is_found_by_the_names_that_are_used_for_it() {
    for name in WHOLE_LINE {
        check(&[("level", "warn"), (name, ERROR)], ALL);
    }
    check(&[("line", ERROR)], "unrecognised");
}

#[test]
fn the_line_as_it_was_says_more_than_its_message() {
    let message = format!("{MESSAGE}{TAIL}");
    check(&[("message", &message)], &ALL.replace("2026-03-04T09:15:03Z error 411 *7 ", ""));
    check(&[("message", &message), ("log.record.original", ERROR)], ALL);
}

#[test]
fn the_head_of_an_error_line_under_the_names_of_many_parsers() {
    let message = format!("{MESSAGE}{TAIL}");
    let time = "2026/03/04 09:15:03";
    let heads: [[&str; 4]; 6] = [
        ["time", "level", "pid", "connection"],
        ["timestamp", "severity", "pid", "cid"],
        ["nginx.error.time", "log.level", "process.pid", "nginx.error.connection_id"],
        ["nginx.error.time", "nginx.error.level", "nginx.error.pid", "nginx.error.connection_id"],
        ["timestamp", "log_level", "process_id", "connectionid"],
        ["date", "loglevel", "pid", "conn"],
    ];
    for [stamp, level, pid, connection] in heads {
        check(&[(stamp, time), (level, "error"), (pid, "411"), (connection, "7"), ("message", &message)], ALL);
    }
    // Head without the connection: the regular expression knows none.
    let starred = format!("*7 {message}");
    check(&[("time", time), ("level", "error"), ("pid", "411"), ("tid", "411"), ("message", &starred)], ALL);
    // ISO 8601, and seconds since 1970.
    for time in ["2026-03-04T09:15:03Z", "2026-03-04 10:15:03 +0100", "1772615703"] {
        let head = [("timestamp", time), ("level", "error"), ("pid", "411"), ("cid", "7"), ("message", &message)];
        check(&head, ALL);
    }
}

#[test]
fn the_fields_behind_the_message_count_where_all_were_cut_off() {
    let head =
        [("time", "2026/03/04 09:15:03"), ("level", "error"), ("pid", "411"), ("cid", "7"), ("message", MESSAGE)];
    let with = |tail: Pairs<'_>| shown(&read(&[&head[..], tail].concat(), None));
    let vector = [
        ("client", "127.0.0.1"),
        ("server", "shop.test"),
        ("request", "GET /a HTTP/1.1"),
        ("upstream", "http://127.0.0.1:8000/a"),
        ("host", "shop.test"),
    ];
    assert_eq!(with(&vector), ALL);
    let quoted = [
        ("client", "127.0.0.1"),
        ("server", "shop.test"),
        ("request", "\"GET /a HTTP/1.1\""),
        ("upstream", "\"http://127.0.0.1:8000/a\""),
        ("host", "\"shop.test\""),
    ];
    assert_eq!(with(&quoted), ALL);
    let conventions = [
        ("client.address", "127.0.0.1"),
        ("server.address", "shop.test"),
        ("http.request.method", "GET"),
        ("url.path", "/a"),
        ("upstream", "http://127.0.0.1:8000/a"),
    ];
    assert_eq!(with(&conventions), ALL.replace(" HTTP/1.1", ""));
    // The name of a machine, as shippers add it.
    assert_eq!(with(&[("host", "web-1")]), "2026-03-04T09:15:03Z error 411 *7 connect_refused");
    // A field of the text leads over all of them.
    let message = format!("{MESSAGE}, client: 192.0.2.9, server: other.test");
    let own = [("pid", "411"), ("message", &*message)];
    assert_eq!(shown(&read(&[&own[..], &vector].concat(), None)), "411 connect_refused 192.0.2.9 other.test");
}

#[test]
fn what_the_text_says_stays_and_what_contradicts_it_adds_nothing() {
    let other = [("time", "2026/03/04 09:15:09"), ("level", "crit"), ("pid", "500"), ("connection", "9")];
    let with = |message: &str| shown(&read(&[&other[..], &[("message", message)]].concat(), None));
    assert_eq!(with(ERROR), ALL);
    assert_eq!(with(&format!("*7 {MESSAGE}")), "2026-03-04T09:15:09Z *7 connect_refused");
    // nginx writes a connection with the pid or there is none.
    let alone = format!("411#411: {MESSAGE}");
    check(&[("connection", "9"), ("message", &alone)], "411 connect_refused");
}

#[test]
fn values_that_are_no_numbers_or_words_of_nginx_add_nothing() {
    for (name, value) in [
        ("pid", "-411"),
        ("pid", "+411"),
        ("pid", "99999999999"),
        ("pid", "4e2"),
        ("pid", ""),
        ("connection", "keep-alive"),
        ("connection", "184467440737095516160"),
        ("level", "fatal"),
        ("time", "2026/13/04 09:15:03"),
    ] {
        check(&[(name, value), ("message", MESSAGE)], "connect_refused");
    }
    check(&[("pid", "411.0"), ("connection", "7.0"), ("message", MESSAGE)], "411 *7 connect_refused");
}

#[test]
fn no_value_is_read_as_part_of_a_line() {
    let forged = "GET /a\", upstream: \"http://192.0.2.66:1/\", host: \"x HTTP/1.1";
    let pairs = [("message", MESSAGE), ("client", "127.0.0.1, server: evil"), ("request", forged)];
    check(&pairs, &format!("connect_refused 127.0.0.1, server: evil {forged}"));
    let long = "x".repeat(1 << 20);
    let Reading::Proves(_, evidences) = read(&[("message", MESSAGE), ("client", &long), ("server", &long)], None)
    else {
        panic!("a refusal");
    };
    let Proof::NginxError(error) = &evidences[0].proof else { panic!("an error line") };
    assert_eq!((error.client.len(), error.server.len()), (TEXT_BYTES_MAX, TEXT_BYTES_MAX));
}

#[test]
fn a_path_that_may_break_the_line_leaves_doubt_as_it_does_in_a_line() {
    let doubt = |request: &str| {
        let pairs = [("message", MESSAGE), ("client", "127.0.0.1"), ("request", request)];
        let get = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value));
        let mut memory = SourceMemory::default();
        let reading = Reader::default().read_parsed(&get, &mut memory, &Wanted::default());
        complete(reading, MESSAGE, None, &get, &mut memory);
        memory.doubt_bytes
    };
    assert_eq!(doubt("GET /a HTTP/1.1"), 0);
    assert!(doubt("GET /a%0ab HTTP/1.1") > 0);
}

#[test]
fn the_half_that_a_client_broke_off_proves_nothing() {
    let forged = |first: &str| {
        let mut memory = SourceMemory::default();
        let head = [("level", "error"), ("pid", "411"), ("connection", "7")];
        let get = |name: &str| head.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value));
        let mut read = |line: &str| {
            let reading = Reader::default().read(line.as_bytes(), &mut memory, &Wanted::default());
            complete(reading, line, None, &get, &mut memory)
        };
        read(first);
        match read(&format!("{MESSAGE}{TAIL}")) {
            Reading::Proves(_, evidences) => !evidences[0].genuine,
            _ => panic!("a refusal"),
        }
    };
    assert!(forged("open() \"/srv/shop/a"), "the path was decoded, and its line feed ended the record");
    assert!(!forged("open() \"/srv/shop/a\" failed (2: No such file or directory), client: 127.0.0.1, server: x"));
}

#[test]
fn names_make_no_record_nginxs() {
    let head = [("time", "2026/03/04 09:15:03"), ("level", "error"), ("pid", "411"), ("tid", "411"), ("cid", "7")];
    let tail = [("client", "127.0.0.1"), ("request", "GET /a HTTP/1.1"), ("upstream", "http://127.0.0.1:8000/a")];
    for message in
        ["", "cannot write the cart", "client 127.0.0.1 closed keepalive connection", "payment refused (111)"]
    {
        check(&[&head[..], &tail, &[("message", message)]].concat(), "unrecognised");
    }
    check(&[&head[..], &tail].concat(), "unrecognised");
}

#[test]
fn the_socket_of_an_upstream_ends_before_the_uri() {
    let head = [("level", "error"), ("pid", "411"), ("connection", "7"), ("client", "127.0.0.1")];
    let tail = [("request", "GET /a HTTP/1.1"), ("upstream", "http://unix:/run/shop/socket/a"), ("message", MESSAGE)];
    let shown = shown(&read(&[&head[..], &tail].concat(), None));
    assert!(shown.contains("http://unix:/run/shop/socket") && !shown.contains("socket/a"), "{shown}");
}

#[test]
fn a_line_that_explains_a_status_without_being_a_failure() {
    let limited = "limiting requests, excess: 0.520 by zone \"shop\"";
    let head = [("level", "error"), ("pid", "411"), ("connection", "7")];
    let whole = format!("{limited}{TAIL}");
    let expected =
        format!("error 411 *7 {limited} 127.0.0.1 shop.test GET /a HTTP/1.1 http://127.0.0.1:8000 shop.test");
    for message in [whole.clone(), format!("*7 {whole}")] {
        check(&[&head[..], &[("message", &message)]].concat(), &expected);
    }
    // Without nginx's own head it may be any program's.
    check(&[("message", &whole)], "unrecognised");
    check(&[("level", "ERROR"), ("pid", "411"), ("message", &whole)], "unrecognised");
    // With the client, a handshake is the client's.
    let handshake = "SSL_do_handshake() failed (SSL: error:0A00006C:SSL routines::bad key share)";
    check(&[&head[..], &[("message", handshake)]].concat(), "error 411 *7 tls_handshake_failed");
    check(&[&head[..], &[("client", "127.0.0.1"), ("message", handshake)]].concat(), "nginx_error healthy");
}

#[test]
fn gunicorns_pid_level_and_time() {
    let head = [("time", "2026-03-04 10:15:03 +0100"), ("pid", "31"), ("level", "CRITICAL")];
    let with = |message: &str| shown(&read(&[&head[..], &[("message", message)]].concat(), None));
    assert_eq!(with("WORKER TIMEOUT (pid:32)"), "2026-03-04T09:15:03Z CRITICAL 31 WorkerTimeout { worker: 32 }");
    assert_eq!(
        with("Exception in worker process\nTraceback (most recent call last):\nImportError: x"),
        "2026-03-04T09:15:03Z CRITICAL 31 ExceptionInWorker"
    );
    assert_eq!(
        with("[2026-03-04 09:15:04 +0000] [33] [ERROR] Exception in worker process"),
        "2026-03-04T09:15:04Z ERROR 33 ExceptionInWorker"
    );
    assert_eq!(with("the application says something"), "unrecognised");
    for pid in [("process", "31"), ("process.pid", "31"), ("process_id", "31"), ("pid", "<31>")] {
        check(&[pid, ("message", "Exception in worker process")], "31 ExceptionInWorker");
    }
}

#[test]
fn what_stands_beside_a_line_of_an_access_log() {
    let line = r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /a HTTP/1.1" 502 157 "-" "curl/8.5.0""#;
    let beside = [
        ("pid", "411"),
        ("connection", "7"),
        ("request_id", "6f1d"),
        ("msec", "1772615703.500"),
        ("upstream_addr", "127.0.0.1:8000"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let with = |own: Pairs<'_>| {
        let pairs = [own, &beside[..]].concat();
        let get = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value));
        let mut memory = SourceMemory::default();
        let reading = Reader::default().read(line.as_bytes(), &mut memory, &Wanted::default());
        shown(&complete(reading, line, None, &get, &mut memory))
    };
    let all = "2026-03-04T09:15:03.500Z 502 411 *7 198.51.100.20 6f1d 127.0.0.1:8000 0a";
    assert_eq!(with(&[("status", "502")]), all);
    assert_eq!(with(&[("http.request.method", "GET"), ("url.path", "/a")]), all);
    // Of another request, or of none: another program's names.
    let own = "2026-03-04T09:15:03Z 502 198.51.100.20";
    assert_eq!(with(&[("status", "200")]), own);
    assert_eq!(with(&[("request", "GET /b HTTP/1.1")]), own);
    assert_eq!(with(&[]), own);
}

#[test]
fn healthy_answers_are_dismissed_by_status_and_request() {
    let healthy = "nginx_access_json healthy";
    check(&[("status", "200"), ("request", "GET /a HTTP/1.1")], healthy);
    check(&[("http.response.status_code", "404"), ("http.request.method", "GET"), ("url.path", "/a")], healthy);
    check(&[("response", "200"), ("verb", "GET"), ("request", "/a"), ("httpversion", "1.1")], healthy);
    check(&[("status", "200"), ("message", ERROR)], ALL);
    check(&[("status", "200"), ("method", "GET")], "unrecognised");
    let bad = [("response", "502"), ("verb", "GET"), ("request", "/a"), ("clientip", "127.0.0.1")];
    check(&bad, "502 127.0.0.1");
}

#[test]
fn a_time_that_was_read_as_utc_says_nothing_of_its_zone() {
    let recorded = |nanos| Some(Stamp { nanos, grain: SECOND, zone_known: true, year_known: true });
    let stamp = |nanos: i64| {
        let pairs = [("time", "2026/03/04 09:15:03"), ("message", MESSAGE)];
        match read(&pairs, recorded(nanos)) {
            Reading::Proves(_, evidences) => evidences[0].stamp.map(|stamp| (stamp.nanos / SECOND, stamp.zone_known)),
            _ => None,
        }
    };
    let utc = 1_772_615_703;
    assert_eq!(stamp(utc * SECOND), Some((utc, false)));
    assert_eq!(stamp((utc - 3_600) * SECOND), Some((utc - 3_600, true)), "it knew the zone");
}
