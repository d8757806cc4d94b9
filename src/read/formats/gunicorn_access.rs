//! Gunicorn's default access log and uvicorn's.
//!
//! Gunicorn's default (`gunicorn/config.py`, `AccessLogFormat`) is nginx's `combined`, letter for letter. What tells
//! them apart: the peer is nginx, so over a unix socket the line starts with a blank, and the protocol is often
//! HTTP/1.0. A line that could be either is read as nginx's, unless its source writes Gunicorn's error log as well.

use super::nginx_access;
use super::{Bare, Format, Reading};
use crate::read::evidence::{GunicornAccess, MILLISECOND, Proof, SECOND, Stamp, TraceContext};
use crate::read::sniff::Telltale;

/// None of its own: its lines quote a request as nginx's do.
pub const TELLTALES: &[Telltale] = &[];

/// One line, read.
#[derive(Debug)]
pub struct Line {
    /// When the response was complete; uvicorn prints none.
    pub stamp: Option<Stamp>,
    /// Its fields.
    pub access: GunicornAccess,
    /// A logged `traceparent`.
    pub trace: Option<TraceContext>,
}

/// What such a line proves.
pub(super) fn reading(line: &mut Bare<'_>) -> Option<Reading> {
    read(line.text, line.memory.last).map(|read| reading_of(read, line))
}

pub(super) fn reading_of(read: Line, line: &Bare<'_>) -> Reading {
    if read.access.status < 400 {
        return Reading::Healthy(Format::GunicornAccess);
    }
    let proof = Proof::GunicornAccess(Box::new(read.access));
    let mut reading = line.proves(Format::GunicornAccess, proof, read.stamp, true);
    if let Reading::Proves(_, evidences) = &mut reading {
        evidences.iter_mut().for_each(|evidence| evidence.trace = read.trace);
    }
    reading
}

/// Reads a bare line; `None` when it is not Gunicorn's for sure.
pub fn read(line: &str, last: Option<Format>) -> Option<Line> {
    if let Some(line) = uvicorn(line) {
        return Some(line);
    }
    if !is_likely(line, last) {
        return None;
    }
    let read = nginx_access::read_combined(line)?;
    // Of a stream into which both write: nginx's own page of a failure that no application makes, and a status of its own.
    let page = read.access.body_bytes_sent.value().is_some_and(nginx_access::is_page_of_nginx);
    let of_nginx = page && matches!(read.access.status, 502 | 504) || read.access.status == 499;
    if of_nginx && !line.starts_with("- - [") {
        return None;
    }
    let access = GunicornAccess {
        status: read.access.status,
        method: read.access.method,
        target: read.access.target,
        client: read.access.client,
        ..GunicornAccess::default()
    };
    Some(Line { stamp: read.stamp, access, trace: read.trace })
}

/// True for a line whose peer is empty, as over a unix socket, and for one of a source that wrote Gunicorn's lines before.
pub fn is_likely(line: &str, last: Option<Format>) -> bool {
    line.starts_with("- - [") || matches!(last, Some(Format::Gunicorn | Format::GunicornAccess | Format::Exception))
}

/// True for a good line of a source that wrote Gunicorn's lines before, as nginx asks for it: from the machine itself, or in
/// HTTP/1.0, in which few clients ask for anything.
pub(super) fn goes_on(line: &[u8], last: Option<Format>) -> bool {
    let of_gunicorn = matches!(last, Some(Format::Gunicorn | Format::GunicornAccess | Format::Exception));
    let of_proxy = || line.starts_with(b"127.0.0.1 - ") || memchr::memmem::find(line, b" HTTP/1.0\" ").is_some();
    of_gunicorn && of_proxy()
}

/// Fills a line out of the fields of a named format ([`super::gunicorn_format`]); `None` without a status.
pub fn from_fields<'a>(get: &dyn Fn(&str) -> Option<std::borrow::Cow<'a, str>>) -> Option<Line> {
    let mut read = nginx_access::Line::default();
    nginx_access::from_format(get, &mut read).then_some(())?;
    // Whole seconds (`T`) are the coarsest and come last; `D` is microseconds, `M` milliseconds.
    let number = |name: &str| get(name)?.parse::<i64>().ok();
    let duration = get("L")
        .and_then(|text| nginx_access::seconds(&text))
        .or_else(|| number("D")?.checked_mul(MILLISECOND / 1_000))
        .or_else(|| number("M")?.checked_mul(MILLISECOND))
        .or_else(|| number("T")?.checked_mul(SECOND));
    let access = GunicornAccess {
        status: read.access.status,
        method: read.access.method,
        target: read.access.target,
        worker: read.access.pid,
        client: read.access.client,
        duration,
        request_id: read.access.request_id,
    };
    Some(Line { stamp: read.stamp, access, trace: read.trace })
}

/// `10.0.0.1:54321 - "GET /x HTTP/1.1" 200`, standalone with `INFO:     ` before it.
fn uvicorn(line: &str) -> Option<Line> {
    let line = line.trim_start_matches("INFO:").trim_start();
    let (peer, rest) = line.split_once(" - \"")?;
    if peer.contains(' ') {
        return None;
    }
    let (request, status) = rest.split_once("\" ")?;
    let status: u16 = status.split(' ').next()?.parse().ok()?;
    let (method, rest) = request.split_once(' ')?;
    let target = rest.rsplit_once(' ').map_or(rest, |(target, _)| target);
    let access = GunicornAccess {
        status,
        method: method.into(),
        target: target.into(),
        client: peer.rsplit_once(':').map_or(peer, |(host, _)| host).into(),
        ..GunicornAccess::default()
    };
    Some(Line { stamp: None, access, trace: None })
}
