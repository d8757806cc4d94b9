//! Named values become a [`Line`]: names of nginx's variables, of semantic conventions, and what people call them.

use super::{Line, msec, split_request, time_local};
use crate::read::evidence::{Attempt, Logged, MILLISECOND, Nanos, NginxAccess, SECOND, Stamp, Text};
use crate::read::formats::{trace_context, trace_ids};
use crate::read::time::iso_stamp;
use std::borrow::Cow;

/// Attempts of one request that are read; nginx was seen to try nine times.
const ATTEMPTS_MAX: usize = 32;

/// The value of a name; `None` when the line has no such name.
pub type Get<'g, 'a> = &'g dyn Fn(&str) -> Option<Cow<'a, str>>;

pub(in crate::read::formats) const STATUS: &[&str] = &[
    "status",
    "http.response.status_code",
    "http.status_code",
    "response_status",
    "status_code",
    "http_status",
    "http_status_code",
    "response_code",
    "statusCode",
    "code",
    "response",
    "st",
];
const REQUEST: &[&str] = &["request", "request_line", "req"];
const METHOD: &[&str] = &[
    "request_method",
    "method",
    "http.request.method",
    "http.method",
    "http_method",
    "verb",
    "http_verb",
    "requestMethod",
];
const TARGET: &[&str] = &[
    "request_uri",
    "uri",
    "url.original",
    "url.path",
    "request_path",
    "path",
    "url",
    "http.target",
    "http.url",
    "requestUrl",
    "request_url",
    "http_request_url",
    "uri_path",
    "document_uri",
];
const QUERY: &[&str] = &["args", "query_string", "url.query", "query"];
const PROTOCOL: &[&str] = &["server_protocol", "protocol", "http_version", "httpversion"];
const CLIENT: &[&str] = &[
    "remote_addr",
    "client.address",
    "client",
    "client_ip",
    "remote_ip",
    "remote_address",
    "source.address",
    "clientip",
    "remoteIp",
    "ip",
    "remote",
    "the_real_ip",
    "realip_remote_addr",
    "clientIp",
    "source_ip",
    "net.peer.ip",
    "network.client.ip",
    "nginx.error.client",
];
const HOST: &[&str] =
    &["host", "http_host", "server.address", "server_name", "vhost", "domain", "http.host", "hostname", "authority"];
const BYTES: &[&str] = &[
    "body_bytes_sent",
    "bytes",
    "bytes_sent",
    "http.response.body.size",
    "http.response.body.bytes",
    "size",
    "body_bytes",
];
pub(in crate::read::formats) const TIME: &[&str] = &[
    "time_iso8601",
    "time_local",
    "@timestamp",
    "timestamp",
    "time",
    "ts",
    "date",
    "datetime",
    "timeLocal",
    "local_time",
    "asctime",
    "date_access",
    "nginx.access.time",
    "nginx.error.time",
];
const REQUEST_ID: &[&str] = &[
    "request_id",
    "req_id",
    "rid",
    "http_x_request_id",
    "x_request_id",
    "x-request-id",
    "requestId",
    "reqid",
    "http.request.header.x_request_id",
    "http.request.header.x-request-id",
    "http.request.id",
    "request-id",
    "req-id",
];
const TRACEPARENT: &[&str] = &[
    "http_traceparent",
    "traceparent",
    "sent_traceparent",
    "tp",
    "http.request.header.traceparent",
    "opentelemetry_context_traceparent",
];
const TRACE_ID: &[&str] =
    &["otel_trace_id", "trace_id", "traceId", "trace.id", "opentelemetry_trace_id", "traceid", "trace"];
const SPAN_ID: &[&str] = &["otel_span_id", "span_id", "spanId", "span.id", "opentelemetry_span_id", "spanid", "span"];
const REQUEST_TIME: &[&str] = &["request_time", "rt", "duration", "request_duration", "req_time", "reqtime", "latency"];
const REQUEST_LENGTH: &[&str] = &["request_length", "req_len", "http.request.size", "rl"];

/// Fills a line out of named values; false when they are no access line: without a status, or without a request.
pub fn from_fields<'a>(get: Get<'_, 'a>, read: &mut Line) -> bool {
    fill_status(get, read) && fill_request(get, read) && fill_rest(get, read)
}

/// The same for a line in a format that the user named: it is an access line even if it has no request, and where the
/// format has no `$status` the last `$upstream_status` stands for it.
pub fn from_format<'a>(get: Get<'_, 'a>, read: &mut Line) -> bool {
    if !fill_status(get, read) {
        let Some(list) = value(get, &["upstream_status"]) else { return false };
        let Some(status) = attempts_of(&list).last().and_then(status_of) else { return false };
        read.access.status = status;
    }
    fill_request(get, read);
    fill_rest(get, read)
}

/// True for the names and values of a healthy answer, without reading the rest: the usual record at the least cost.
pub(in crate::read::formats) fn is_healthy(get: Get<'_, '_>) -> bool {
    let status = STATUS.iter().filter_map(|name| get(name)).find_map(|value| status_of(&value));
    if status.is_none_or(super::is_interesting) {
        return false;
    }
    let has_method = || value(get, METHOD).is_some();
    match request_line(get) {
        Some(request) if !split_request(unquoted(&request)).0.is_empty() || !has_method() => true,
        Some(request) if is_target(unquoted(&request)) => true,
        _ => has_method() && value(get, TARGET).is_some(),
    }
}

/// What named values add to a line that was read as text; `None` when they speak of another request, or of none.
pub(in crate::read::formats) fn beside<'a>(get: Get<'_, 'a>, status: u16, method: &str, target: &str) -> Option<Line> {
    let mut read = Line::default();
    let (has_status, has_request) = (fill_status(get, &mut read), fill_request(get, &mut read));
    let path = |target: &str| target.split('?').next().unwrap_or_default().to_owned();
    let other_request = || read.access.method != method || path(&read.access.target) != path(target);
    if !(has_status || has_request)
        || (has_status && read.access.status != status)
        || (has_request && !target.is_empty() && other_request())
    {
        return None;
    }
    fill_rest(get, &mut read).then_some(read)
}

/// The request among named values as nginx prints it; `None` without one.
pub(in crate::read::formats) fn request_of(get: Get<'_, '_>) -> Option<String> {
    let mut read = Line::default();
    fill_request(get, &mut read).then_some(())?;
    let NginxAccess { method, target, protocol, .. } = read.access;
    Some([method, target, protocol].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
}

/// The client among named values; empty without one.
pub(in crate::read::formats) fn client_of(get: Get<'_, '_>) -> Text {
    text(get, CLIENT)
}

/// `$host` among named values; empty without one.
pub(in crate::read::formats) fn host_of(get: Get<'_, '_>) -> Text {
    text(get, HOST)
}

/// The first of the names that has a value.
pub(in crate::read::formats) fn value<'a>(get: Get<'_, 'a>, names: &[&str]) -> Option<Cow<'a, str>> {
    names.iter().filter_map(|name| get(name)).find(|value| !is_none(value))
}

fn text<'a>(get: Get<'_, 'a>, names: &[&str]) -> Text {
    value(get, names).map_or(Text::default(), Text::from)
}

fn is_none(value: &str) -> bool {
    matches!(value.trim(), "" | "-" | "null")
}

fn fill_status<'a>(get: Get<'_, 'a>, read: &mut Line) -> bool {
    let status = STATUS.iter().filter_map(|name| get(name)).find_map(|value| status_of(&value));
    read.access.status = status.unwrap_or_default();
    status.is_some()
}

/// `502`, `009`, and `502.0` of those who keep numbers as doubles.
fn status_of(text: &str) -> Option<u16> {
    let digits = text.trim().trim_end_matches(".0");
    (digits.len() == 3 || digits == "0" || digits == "9").then_some(())?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn fill_request<'a>(get: Get<'_, 'a>, read: &mut Line) -> bool {
    let access = &mut read.access;
    if let Some(request) = request_line(get) {
        let request = unquoted(&request);
        let (method, target, protocol) = split_request(request);
        let named = value(get, METHOD);
        if !method.is_empty() || named.is_none() {
            access.method = method.into();
            access.target = target.into();
            access.protocol = protocol.into();
            return true;
        }
        // Logstash's patterns call the target so.
        if let Some(method) = named.filter(|_| is_target(request)) {
            access.method = method.into();
            access.target = request.into();
            access.protocol = text(get, PROTOCOL);
            return true;
        }
    }
    access.protocol = text(get, PROTOCOL);
    access.method = text(get, METHOD);
    access.target = text(get, TARGET);
    if let Some((_, path)) = access.target.split_once("://") {
        access.target = path.find('/').and_then(|slash| path.get(slash..)).unwrap_or("/").into();
    }
    if let Some(query) = value(get, QUERY).filter(|_| !access.target.contains('?')) {
        let query = query.trim_start_matches('?');
        access.target = format!("{}?{query}", access.target).into();
    }
    !access.method.is_empty() && !access.target.is_empty()
}

/// The request line; an object (`"request":{...}`) is looked into by its members' names.
fn request_line<'a>(get: Get<'_, 'a>) -> Option<Cow<'a, str>> {
    value(get, REQUEST).filter(|request| !request.starts_with('{'))
}

/// Patterns that match a value with its quotes leave them on it.
fn unquoted(request: &str) -> &str {
    let request = request.trim();
    request.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(request)
}

fn is_target(request: &str) -> bool {
    request.starts_with('/') && !request.contains(' ')
}

fn fill_rest<'a>(get: Get<'_, 'a>, read: &mut Line) -> bool {
    let access = &mut read.access;
    access.client = text(get, CLIENT);
    access.host = text(get, HOST);
    access.body_bytes_sent = field(get, BYTES, |text| text.parse().ok());
    access.request_id = text(get, REQUEST_ID);
    access.request_time = field(get, REQUEST_TIME, seconds);
    access.request_length = field(get, REQUEST_LENGTH, |text| text.parse().ok());
    let number = |names: &[&str]| value(get, names).and_then(|text| text.trim().parse::<u64>().ok());
    access.pid = number(&["pid", "process.pid"]).and_then(|pid| u32::try_from(pid).ok());
    access.connection = number(&["connection", "conn", "c", "connection_id", "cid"]);
    access.connection_requests = number(&["connection_requests", "conn_req"]);
    Lists::of(get).fill(access);
    read.trace = TRACEPARENT
        .iter()
        .filter_map(|name| get(name))
        .find_map(|text| trace_context(&text))
        .or_else(|| trace_ids(value(get, TRACE_ID)?.trim(), value(get, SPAN_ID).unwrap_or_default().trim()));
    if let Some(stamp) = value(get, &["msec", "t", "time_msec", "ts", "timestamp", "time"]).and_then(|text| msec(&text))
    {
        read.stamp = Some(stamp);
        read.access.exact_time = true;
    }
    read.stamp = read.stamp.or_else(|| stamp_of(get));
    true
}

/// `29/Oct/2026:13:55:36 +0000` or ISO 8601, whatever the name says.
fn stamp_of(get: Get<'_, '_>) -> Option<Stamp> {
    TIME.iter().filter_map(|name| get(name)).find_map(|text| {
        let text = text.trim().trim_start_matches('[').trim_end_matches(']');
        time_local(text).or_else(|| iso_stamp(text))
    })
}

/// The lists of `$upstream_*`, one element an attempt.
struct Lists<'a> {
    address: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
    connect: Option<Cow<'a, str>>,
    header: Option<Cow<'a, str>>,
    response: Option<Cow<'a, str>>,
    received: Option<Cow<'a, str>>,
    sent: Option<Cow<'a, str>>,
}

impl<'a> Lists<'a> {
    fn of(get: Get<'_, 'a>) -> Lists<'a> {
        let list = |names: &[&str]| names.iter().find_map(|name| get(name));
        // `ua` is the upstream's address with some and the user agent with others.
        let agent = |list: &Cow<'a, str>| attempts_of(list).any(|item| !is_peer(item));
        Lists {
            address: list(&["upstream_addr", "u_addr", "upstream", "upstream_address", "upstreamAddr", "ua", "uaddr"])
                .filter(|list| !agent(list)),
            status: list(&["upstream_status", "u_status", "us", "upstreamStatus", "ust"]),
            connect: list(&["upstream_connect_time", "u_ct", "uct", "upstreamConnectTime"]),
            header: list(&["upstream_header_time", "u_ht", "uht", "upstreamHeaderTime"]),
            response: list(&["upstream_response_time", "u_rt", "urt", "upstream_time", "upstreamResponseTime", "ut"]),
            received: list(&["upstream_bytes_received", "u_recv", "ubr"]),
            sent: list(&["upstream_bytes_sent", "u_sent", "ubs"]),
        }
    }

    fn fill(&self, access: &mut NginxAccess) {
        let all =
            [&self.address, &self.status, &self.connect, &self.header, &self.response, &self.received, &self.sent];
        access.has_upstream = all.iter().any(|list| list.is_some());
        let none = |list: &Option<Cow<'_, str>>| list.as_ref().is_none_or(|list| attempts_of(list).all(is_none));
        if none(&self.address) && none(&self.status) && none(&self.response) {
            return;
        }
        let count = all.iter().filter_map(|list| list.as_ref().map(|list| attempts_of(list).count())).max();
        access.attempts = (0..count.unwrap_or(0)).map(|index| self.attempt(index)).collect();
    }

    fn attempt(&self, index: usize) -> Attempt {
        fn at<T>(list: &Option<Cow<'_, str>>, index: usize, parse: impl Fn(&str) -> Option<T>) -> Logged<T> {
            list.as_ref().map_or(Logged::No, |list| logged(attempts_of(list).nth(index).unwrap_or("-"), parse))
        }
        let bytes = |text: &str| text.parse::<u64>().ok();
        Attempt {
            address: at(&self.address, index, |text| Some(Text::from(text))).value().unwrap_or_default(),
            status: at(&self.status, index, |text| text.parse().ok()),
            connect_time: at(&self.connect, index, seconds),
            header_time: at(&self.header, index, seconds),
            response_time: at(&self.response, index, seconds),
            bytes_received: at(&self.received, index, bytes),
            bytes_sent: at(&self.sent, index, bytes),
        }
    }
}

/// `a, b : c`: commas between attempts, colons between rounds of an internal redirect; `["a","b"]` of those who split it
/// into a JSON array. A unix socket has a colon without blanks.
fn attempts_of(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    let array = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let separator = if array.is_some() { "," } else { ", " };
    // Most requests had one attempt.
    let is_one = array.is_none() && !text.as_bytes().contains(&b' ');
    let several = || array.unwrap_or(text).split(" : ").flat_map(move |round| round.split(separator));
    let several = (!is_one).then(several).into_iter().flatten();
    is_one.then_some(text).into_iter().chain(several).take(ATTEMPTS_MAX).map(|item| item.trim().trim_matches('"'))
}

fn is_peer(item: &str) -> bool {
    !item.contains([' ', '(', ';']) && (item.starts_with("unix:") || !item.contains('/'))
}

fn field<T>(get: Get<'_, '_>, names: &[&str], parse: impl Fn(&str) -> Option<T>) -> Logged<T> {
    names.iter().find_map(|name| get(name)).map_or(Logged::No, |text| logged(&text, parse))
}

/// A value that cannot be read is as good as none logged: it must not count as nginx's dash.
fn logged<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Logged<T> {
    let text = text.trim();
    if is_none(text) {
        return Logged::Dash;
    }
    parse(text).map_or(Logged::No, Logged::Value)
}

/// `12.003`, `12.003s` or `12ms` as nanoseconds; negative values and those over a year are none.
pub(in crate::read::formats) fn seconds(text: &str) -> Option<Nanos> {
    if let Some(millis) = text.strip_suffix("ms") {
        let millis: u32 = millis.trim().parse().ok()?;
        return Some(Nanos::from(millis) * MILLISECOND);
    }
    let text = text.strip_suffix('s').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || fraction.len() > 9 || !digits(fraction) {
        return None;
    }
    let whole = whole.parse::<u32>().ok().filter(|whole| *whole <= 31_536_000)?;
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |sum: Nanos, digit| sum * 10 + Nanos::from(digit - b'0'));
    Some(Nanos::from(whole) * SECOND + nanos)
}
