//! Records that a collector or a JSON logger parsed: what was taken off a line and stands beside it counts as if it were
//! still in it.
//!
//! What a record is, its text says, or a status with a request: no name alone makes a record nginx's or Gunicorn's. A value
//! goes into its own field and is never read as part of a line, so that nothing in it can imitate another field. What the
//! text says itself stays; where a name contradicts it, the names are another line's and add nothing.

use super::nginx_access::{self, Get, beside, client_of, host_of, request_of, time_local, value};
use super::nginx_error::is_companion;
use super::{Format, Reader, Reading, cut, nginx_error, note_break};
use crate::read::evidence::{
    Evidence, Gunicorn, GunicornAccess, NginxAccess, NginxError, Proof, SECOND, Stamp, TEXT_BYTES_MAX, Text,
};
use crate::read::time::{epoch_stamp, iso_stamp};
use crate::read::{SourceMemory, Wanted};
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

/// True for a name that may make a record of a text that says nothing: a line, a status, the pid of nginx's head.
pub fn counts(name: &[u8]) -> bool {
    [&WHOLE_LINE[..], nginx_access::STATUS, &PID].iter().any(|names| names.iter().any(|known| known.as_bytes() == name))
}

/// True for a reading to which nothing can be added where there is nothing beside the text.
pub fn is_complete(reading: &Reading) -> bool {
    match reading {
        Reading::Healthy(_) => true,
        Reading::Proves(_, evidences) => evidences.iter().all(|evidence| evidence.stamp.is_some()),
        Reading::Unrecognised => false,
    }
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

/// True for a text that says nothing alone and may say something under nginx's head: one of the lines that belong to a
/// failure without being one, or one that a client may have broken.
pub fn may_gain(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    line.len() <= TEXT_BYTES_MAX && (line.contains('"') || may_be_companion(line))
}

fn may_be_companion(line: &str) -> bool {
    is_companion(line.trim_start_matches(|c: char| c == '*' || c == ' ' || c.is_ascii_digit()))
}

/// Such a text under nginx's head from beside it.
fn companion(text: &str, get: Get<'_, '_>, memory: &mut SourceMemory) -> Option<Evidence> {
    let line = text.lines().next().filter(|line| may_gain(line))?;
    let (level, pid) = (nginx_level(get)?, number(get, &PID)?);
    let connection = number(get, &CONNECTION).map_or(String::new(), |connection| format!("*{connection} "));
    let connection = if line.starts_with('*') { "" } else { &connection };
    let mut read = nginx_error::read(&format!("[{level}] {pid}#0: {connection}{line}"))?;
    let genuine = memory.doubt_bytes == 0;
    if read.may_be_broken {
        note_break(memory, line);
    }
    if !is_companion(&read.error.message) {
        return None;
    }
    complete_tail(&mut read.error, get);
    Some(Evidence {
        proof: Proof::NginxError(Box::new(read.error)),
        stamp: None,
        text: cut(line),
        words: 0,
        origin: None,
        trace: None,
        genuine,
    })
}

fn complete_error(error: &mut NginxError, text: &str, get: Get<'_, '_>, memory: &mut SourceMemory) {
    let pid = number(get, &PID).and_then(|pid| u32::try_from(pid).ok());
    let connection = number(get, &CONNECTION);
    if contradict(error.pid, pid) || contradict(error.connection, connection) {
        return;
    }
    let mut is_changed = false;
    if error.pid.is_none() {
        // A line with its pid and without a connection has none: nginx writes them together.
        is_changed = error.connection.is_none() && connection.is_some();
        error.connection = error.connection.or(connection);
        error.pid = pid;
    }
    if error.level.is_empty() {
        error.level = nginx_level(get).unwrap_or_default();
    }
    is_changed |= complete_tail(error, get);
    if is_changed && nginx_error::decide_anew(error, text) {
        note_break(memory, text);
    }
}

/// The fields behind the message, where all of them were cut off; false when nothing was added.
fn complete_tail(error: &mut NginxError, get: Get<'_, '_>) -> bool {
    if !error.client.is_empty() || error.request.is_some() {
        return false;
    }
    let named = |names: &[&str]| value(get, names).map(|text| Text::from(cut(text.trim().trim_matches('"'))));
    let request = request_of(get);
    let client = client_of(get);
    if request.is_none() && client.is_empty() {
        return false;
    }
    error.client = cut(&client).into();
    if error.server.is_empty() {
        error.server = named(&SERVER).unwrap_or_default();
    }
    error.subrequest = error.subrequest.take().or_else(|| named(&SUBREQUEST));
    let is_of_request = request.is_some();
    // First: where a socket's path ends is known by the request's.
    error.request = request.map(|request| cut(&request).into());
    if let Some(upstream) = named(&UPSTREAM) {
        let peer = nginx_error::split_upstream(&upstream, error);
        error.upstream.get_or_insert(peer);
    }
    // Without a request nginx writes no host: the name is that of a machine.
    let host = Some(host_of(get)).filter(|host| !host.is_empty() && is_of_request);
    error.host = error.host.take().or_else(|| host.map(|host| cut(host.trim_matches('"')).into()));
    true
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
mod tests;
