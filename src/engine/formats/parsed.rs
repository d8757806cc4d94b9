//! Records that a collector or a JSON logger parsed: what was taken off a line and stands beside it counts as if it were
//! still in it.
//!
//! What a record is, its text says, or a status with a request: no name alone makes a record nginx's or Gunicorn's. A value
//! goes into its own field and is never read as part of a line, so that nothing in it can imitate another field. What the
//! text says itself stays; where a name contradicts it, the names are another line's and add nothing.

use super::nginx_access::{self, Get, beside, client_of, host_of, request_of, time_local, value};
use super::{Format, Reader, Reading, SourceMemory, cut, is_companion, nginx_error, note_break};
use crate::engine::Wanted;
use crate::engine::envelope::epoch_stamp;
use crate::engine::evidence::{
    Evidence, Gunicorn, GunicornAccess, NginxAccess, NginxError, Proof, SECOND, Stamp, TEXT_BYTES_MAX,
};
use crate::engine::formats::gunicorn_error::iso_stamp;
use std::borrow::Cow;

/// Names under which collectors and JSON loggers keep a line. First those of the line as it was before it was parsed
/// (semantic conventions, Elastic Common Schema): the others may hold what is left of it.
const WHOLE_LINE: [&str; 8] =
    ["log.record.original", "event.original", "message", "msg", "log", "MESSAGE", "event", "nginx.error.message"];

// The head of an error log under the names of people's patterns, of Vector's `parse_nginx_log`, of the Ops Agent, of
// Elastic's nginx pipelines and of semantic conventions.
const PID: [&str; 4] = ["pid", "process.pid", "process_id", "nginx.error.pid"];
const CONNECTION: [&str; 6] =
    ["connection", "connection_id", "cid", "conn", "connectionid", "nginx.error.connection_id"];
const LEVEL: [&str; 7] = ["level", "log.level", "log_level", "severity", "loglevel", "levelname", "nginx.error.level"];
/// Python's loggers call the pid `process`; `p` is that of Gunicorn's access log.
const WORKER: [&str; 6] = ["pid", "process.pid", "process_id", "process", "worker_pid", "p"];

const SERVER: [&str; 4] = ["server", "server_name", "server.address", "nginx.error.server"];
const SUBREQUEST: [&str; 1] = ["subrequest"];
const UPSTREAM: [&str; 4] = ["upstream", "upstream_addr", "upstream_url", "nginx.error.upstream"];

impl Reader {
    /// Reads a record out of names and values: those of an access line, or a line under a name that is used for one.
    pub fn read_parsed(&self, get: Get<'_, '_>, memory: &mut SourceMemory, wanted: &Wanted) -> Reading {
        if wanted.is_empty() && nginx_access::is_healthy(get) {
            memory.last = Some(Format::NginxAccessJson);
            return Reading::Healthy(Format::NginxAccessJson);
        }
        let mut read = nginx_access::Line::default();
        if nginx_access::from_fields(get, &mut read) {
            memory.last = Some(Format::NginxAccessJson);
            return super::access_reading(read, Format::NginxAccessJson, String::new(), wanted);
        }
        line_of(get).map_or(Reading::Unrecognised, |line| self.read(line.as_bytes(), memory, wanted))
    }
}

/// The line among names and values; `None` without one.
pub fn line_of<'a>(get: Get<'_, 'a>) -> Option<Cow<'a, str>> {
    WHOLE_LINE.iter().find_map(|name| get(name))
}

/// Adds to what a text proves what names and values beside it say. `recorded` is the time that whoever parsed the line gave
/// to its record.
pub fn complete(
    reading: Reading,
    text: &str,
    recorded: Option<Stamp>,
    get: Get<'_, '_>,
    memory: &mut SourceMemory,
) -> Reading {
    let (format, mut evidences) = match reading {
        Reading::Proves(format, evidences) => (format, evidences),
        Reading::Unrecognised => match companion(text, get, memory) {
            Some(evidence) => (Format::NginxError, vec![evidence]),
            None => return Reading::Unrecognised,
        },
        healthy @ Reading::Healthy(_) => return healthy,
    };
    // The head of a record is that of its first line.
    if let Some(first) = evidences.first_mut().filter(|first| first.genuine) {
        match &mut first.proof {
            Proof::NginxError(error) => {
                complete_error(error, &first.text, get, memory);
                if error.symptom.is_none() && !is_companion(&error.message) {
                    evidences.remove(0);
                }
            }
            Proof::NginxAccess(access) => {
                if let Some(named) = beside(get, access.status, &access.method, &access.target) {
                    let exact = named.stamp.filter(|_| named.access.exact_time);
                    first.stamp = refined(first.stamp, exact);
                    access.exact_time |= exact.is_some() && first.stamp == exact;
                    first.trace = first.trace.or(named.trace);
                    complete_access(access, named.access);
                }
            }
            Proof::Gunicorn(gunicorn) => complete_gunicorn(gunicorn, get),
            Proof::GunicornAccess(access) => {
                if let Some(named) = beside(get, access.status, &access.method, &access.target) {
                    first.trace = first.trace.or(named.trace);
                    complete_gunicorn_access(access, named.access, get);
                }
            }
            Proof::Exception { .. } | Proof::Host(_) => {}
        }
    }
    if evidences.is_empty() {
        return Reading::Healthy(format);
    }
    if evidences.iter().any(|evidence| evidence.stamp.is_none()) {
        let stamp = stamp(recorded, get);
        evidences.iter_mut().for_each(|evidence| evidence.stamp = evidence.stamp.or(stamp));
    }
    Reading::Proves(format, evidences)
}

/// True for a text that may be one of nginx's lines that belong to a failure without being one, its head cut off.
pub fn may_be_companion(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    let message = line.trim_start_matches(|c: char| c == '*' || c == ' ' || c.is_ascii_digit());
    line.len() <= TEXT_BYTES_MAX && is_companion(message)
}

/// Such a line. Alone it is recognised by its head, so nginx's level and pid must stand beside it.
fn companion(text: &str, get: Get<'_, '_>, memory: &mut SourceMemory) -> Option<Evidence> {
    let line = text.lines().next().filter(|line| may_be_companion(line))?;
    let (level, pid) = (nginx_level(get)?, number(get, &PID)?);
    let mut read = nginx_error::read(&format!("[{level}] {pid}#0: {line}"))?;
    if !is_companion(&read.error.message) || memory.doubt_bytes > 0 {
        return None;
    }
    read.error.pid = None;
    complete_error(&mut read.error, line, get, memory);
    Some(Evidence {
        proof: Proof::NginxError(Box::new(read.error)),
        stamp: None,
        text: cut(line),
        origin: String::new(),
        trace: None,
        genuine: true,
    })
}

fn complete_error(error: &mut NginxError, text: &str, get: Get<'_, '_>, memory: &mut SourceMemory) {
    let pid = number(get, &PID).and_then(|pid| u32::try_from(pid).ok());
    let connection = number(get, &CONNECTION);
    if contradict(error.pid, pid) || contradict(error.connection, connection) {
        return;
    }
    if error.pid.is_none() {
        // A line with its pid and without a connection has none: nginx writes them together.
        error.connection = error.connection.or(connection);
        error.pid = pid;
    }
    if error.level.is_empty() {
        error.level = nginx_level(get).unwrap_or_default().to_owned();
    }
    if error.client.is_empty() && error.request.is_none() {
        complete_tail(error, get);
    }
    if nginx_error::decide_anew(error, text) {
        note_break(memory, text);
    }
}

/// The fields behind the message, where all of them were cut off.
fn complete_tail(error: &mut NginxError, get: Get<'_, '_>) {
    let named = |names: &[&str]| value(get, names).map(|text| cut(text.trim().trim_matches('"')));
    let request = request_of(get);
    let client = client_of(get);
    if request.is_none() && client.is_empty() {
        return;
    }
    error.client = cut(&client);
    if error.server.is_empty() {
        error.server = named(&SERVER).unwrap_or_default();
    }
    error.subrequest = error.subrequest.take().or_else(|| named(&SUBREQUEST));
    if let Some(upstream) = named(&UPSTREAM) {
        let peer = nginx_error::split_upstream(&upstream, error);
        error.upstream.get_or_insert(peer);
    }
    // Without a request nginx writes no host: the name is that of a machine.
    let host = Some(host_of(get)).filter(|host| !host.is_empty() && request.is_some());
    error.host = error.host.take().or_else(|| host.map(|host| cut(host.trim_matches('"'))));
    error.request = request.map(|request| cut(&request));
}

fn complete_access(access: &mut NginxAccess, named: NginxAccess) {
    if contradict(access.pid, named.pid) || contradict(access.connection, named.connection) {
        return;
    }
    access.pid = access.pid.or(named.pid);
    access.connection = access.connection.or(named.connection);
    access.connection_requests = access.connection_requests.or(named.connection_requests);
    if access.target.is_empty() {
        (access.method, access.target) = (named.method, named.target);
    }
    for (text, named) in [
        (&mut access.protocol, named.protocol),
        (&mut access.client, named.client),
        (&mut access.host, named.host),
        (&mut access.request_id, named.request_id),
    ] {
        if text.is_empty() {
            *text = named;
        }
    }
    if !access.request_time.is_logged() {
        access.request_time = named.request_time;
    }
    if !access.body_bytes_sent.is_logged() {
        access.body_bytes_sent = named.body_bytes_sent;
    }
    if !access.request_length.is_logged() {
        access.request_length = named.request_length;
    }
    if !access.has_upstream {
        (access.has_upstream, access.attempts) = (named.has_upstream, named.attempts);
    }
}

fn complete_gunicorn(gunicorn: &mut Gunicorn, get: Get<'_, '_>) {
    if gunicorn.pid.is_none() {
        gunicorn.pid = number(get, &WORKER).and_then(|pid| u32::try_from(pid).ok());
    }
    if gunicorn.level.is_empty() {
        let named = value(get, &LEVEL).unwrap_or_default();
        let levels = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
        let level = levels.iter().find(|level| level.eq_ignore_ascii_case(named.trim()));
        gunicorn.level = level.map_or(String::new(), |level| (*level).to_owned());
    }
}

fn complete_gunicorn_access(access: &mut GunicornAccess, named: NginxAccess, get: Get<'_, '_>) {
    if access.worker.is_none() {
        access.worker = number(get, &WORKER).and_then(|pid| u32::try_from(pid).ok());
    }
    if access.request_id.is_empty() {
        access.request_id = named.request_id;
    }
    access.duration = access.duration.or(named.request_time.value());
}

fn contradict<T: PartialEq>(text: Option<T>, named: Option<T>) -> bool {
    text.zip(named).is_some_and(|(text, named)| text != named)
}

/// The first of the names with a whole number, which Gunicorn prints as `<31>` and some keep as `31.0`.
fn number(get: Get<'_, '_>, names: &[&str]) -> Option<u64> {
    names.iter().filter_map(|name| get(name)).find_map(|text| {
        let text = text.trim().trim_start_matches(['<', '*']).trim_end_matches('>').trim_end_matches(".0");
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
    })
}

fn nginx_level(get: Get<'_, '_>) -> Option<&'static str> {
    let named = LEVEL.iter().find_map(|name| get(name))?;
    nginx_error::LEVELS.into_iter().find(|level| *level == named.trim())
}

/// `$msec` where it agrees with the line's own second.
fn refined(own: Option<Stamp>, exact: Option<Stamp>) -> Option<Stamp> {
    match (own, exact) {
        (Some(own), Some(exact)) if own.nanos.div_euclid(SECOND) == exact.nanos.div_euclid(SECOND) => Some(exact),
        (own, exact) => own.or(exact),
    }
}

/// The time of a line that has none itself.
fn stamp(recorded: Option<Stamp>, get: Get<'_, '_>) -> Option<Stamp> {
    let named = nginx_access::TIME.iter().filter_map(|name| get(name)).find_map(|text| {
        let text = text.trim().trim_start_matches('[').trim_end_matches(']');
        nginx_error::stamp_alone(text)
            .or_else(|| iso_stamp(text))
            .or_else(|| time_local(text))
            .or_else(|| epoch_stamp(text))
    });
    match (recorded, named) {
        // Whoever parsed it took a local time for UTC, or it is UTC: of its zone nothing is known.
        (Some(recorded), Some(named))
            if !named.zone_known && named.nanos.div_euclid(SECOND) == recorded.nanos.div_euclid(SECOND) =>
        {
            Some(named)
        }
        (recorded, named) => recorded.or(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::rfc3339;

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
                text(&error.level),
                number(error.pid.map(u64::from)),
                number(error.connection).map(|connection| format!("*{connection}")),
                Some(error.symptom.map_or_else(|| error.message.clone(), |symptom| symptom.id().to_owned())),
                text(&error.client),
                text(&error.server),
                error.request.clone(),
                error.upstream.as_ref().map(|upstream| format!("{}://{upstream}", error.upstream_scheme)),
                error.host.clone(),
            ],
            Proof::NginxAccess(access) => vec![
                Some(access.status.to_string()),
                number(access.pid.map(u64::from)),
                number(access.connection).map(|connection| format!("*{connection}")),
                text(&access.client),
                text(&access.request_id),
                access.attempts.first().map(|attempt| attempt.address.clone()),
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
            let get =
                |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value));
            let mut memory = SourceMemory::default();
            let reading = Reader::default().read_parsed(&get, &mut memory, &Wanted::default());
            complete(reading, MESSAGE, None, &get, &mut memory);
            memory.doubt_bytes
        };
        assert_eq!(doubt("GET /a HTTP/1.1"), 0);
        assert!(doubt("GET /a%0ab HTTP/1.1") > 0);
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
            let get =
                |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value));
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
                Reading::Proves(_, evidences) => {
                    evidences[0].stamp.map(|stamp| (stamp.nanos / SECOND, stamp.zone_known))
                }
                _ => None,
            }
        };
        let utc = 1_772_615_703;
        assert_eq!(stamp(utc * SECOND), Some((utc, false)));
        assert_eq!(stamp((utc - 3_600) * SECOND), Some((utc - 3_600, true)), "it knew the zone");
    }
}
