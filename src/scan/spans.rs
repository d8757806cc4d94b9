//! What spans prove: a row of numbers for each server and client span, which of them could be a failed request's own, and
//! the names of those that took long.

mod label;

use crate::engine::correlate::slow::{SLOW_MIN, SlowSpan};
use crate::engine::correlate::spans::{SpanRow, hash_query, hash_text, method_code};
use crate::engine::place::Place;
use crate::engine::span_watch;
use crate::otlp::{AnyValue, KeyValue, Request, ResourceGroup, Span};
use crate::read::Wanted;
use crate::read::evidence::Nanos;
use std::ops::Range;
use std::sync::Arc;

/// OTLP `SpanKind` SERVER.
const SERVER: i32 = 2;
/// OTLP `SpanKind` CLIENT.
const CLIENT: i32 = 3;
/// OTLP `Status.code` ERROR.
const ERROR: i32 = 2;
/// Slow spans of one request: 1 MiB. A batch has 512 spans by default, and one service is hardly slow for all of them.
const SLOW_MAX: usize = 4_096;
/// So much of a target tells it from others; nginx's largest request line is 8 KiB by default
/// (`large_client_header_buffers`).
const TARGET_BYTES_MAX: usize = 8_192;

/// What the spans of a request prove.
#[derive(Debug, Default)]
pub struct Scanned {
    /// A row for each server and client span, in order.
    pub rows: Vec<SpanRow>,
    /// The rows by the place that made them: together all rows, in order.
    pub groups: Vec<(Arc<Place>, Range<usize>)>,
    /// Spans that could be a failed request's own: the row, and where the span stands in the request.
    pub candidates: Vec<(usize, Range<usize>)>,
    /// Spans of any kind that took long, with their names.
    pub slow: Vec<SlowSpan>,
    /// Server and client spans that no row was made for, and slow ones of which nothing is known.
    pub left_out: u64,
    /// Spans that took long and are not named.
    pub nameless: u64,
}

/// A span that is already known to be of interest, with its name, however long it took; `None` without valid ids.
pub fn named(bytes: &[u8], service: &[u8]) -> Option<SlowSpan> {
    label::slow(bytes, 0, service)
}

/// Reads the spans of a request that has passed [`crate::otlp::check`], and of its server and client spans at most so many.
/// `named` is what [`crate::engine::Engine::named`] says, `place` where the spans of a resource were made.
pub fn scan(
    request: &[u8],
    rows_max: usize,
    named: &Wanted,
    mut place: impl FnMut(&ResourceGroup<'_>) -> Arc<Place>,
) -> Scanned {
    // Nearly all spans are longer than that; room for the rest is made when they come.
    let room = rows_max.min(request.len() / 64);
    let mut scanned = Scanned { rows: Vec::with_capacity(room), ..Scanned::default() };
    for resource in Request::new(request).resources() {
        let from = scanned.rows.len();
        let (mut process, mut here) = (None, None);
        for scope in resource.scopes() {
            let from_nginx = if scope.name() == b"nginx" { SpanRow::FROM_NGINX } else { 0 };
            for item in scope.items() {
                let (row, is_slow) = read(item.bytes);
                // What nginx itself tells of a request is known from its log.
                if is_slow && from_nginx == 0 {
                    if scanned.slow.len() < SLOW_MAX {
                        let here = here.get_or_insert_with(|| (place(&resource), label::service_of(&resource)));
                        scanned.slow.extend(label::slow(item.bytes, here.0.site, here.1));
                    } else {
                        scanned.nameless += 1;
                        scanned.left_out += u64::from(row.is_none());
                    }
                }
                let Some(mut row) = row else { continue };
                if scanned.rows.len() >= rows_max {
                    scanned.left_out += 1;
                    continue;
                }
                (row.process, row.pid) = *process.get_or_insert_with(|| process_of(&resource));
                row.flags |= from_nginx;
                if span_watch::may_be_own(&row, named) {
                    scanned.candidates.push((scanned.rows.len(), item.range()));
                }
                scanned.rows.push(row);
            }
        }
        if scanned.rows.len() > from {
            let here = here.map_or_else(|| place(&resource), |(here, _)| here);
            scanned.groups.push((here, from..scanned.rows.len()));
        }
    }
    scanned
}

/// Hash of the resource, and its process id.
fn process_of(resource: &ResourceGroup<'_>) -> (u32, u32) {
    let pid = resource.attributes().get("process.pid").and_then(|value| value.as_int());
    let pid = pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
    (hash_text(resource.resource().unwrap_or_default()) as u32, pid)
}

/// The row of a server or client span, and whether a span of any kind took long.
#[inline]
fn read(bytes: &[u8]) -> (Option<SpanRow>, bool) {
    let mut words = Words::default();
    let span = Span::read_with(bytes, |kind| matches!(kind, 0 | SERVER | CLIENT), |pair| words.note(&pair));
    let is_slow = span.end.saturating_sub(span.start) >= SLOW_MIN.unsigned_abs();
    if !matches!(span.kind, SERVER | CLIENT) {
        return (None, is_slow);
    }
    (row_of(&span, &words), is_slow)
}

#[inline]
fn row_of(span: &Span<'_>, words: &Words<'_>) -> Option<SpanRow> {
    let (path, query) = words.target();
    Some(SpanRow {
        trace_id: span.trace_id()?,
        span_id: span.span_id()?,
        parent_span_id: span.parent_span_id().unwrap_or_default(),
        start: nanos(span.start),
        end: nanos(span.end),
        path,
        query,
        request_id: hash_text(words.request_id),
        status: words.status,
        method: method_code(words.method),
        flags: if span.kind == SERVER { SpanRow::SERVER } else { 0 }
            | if span.status_code == ERROR { SpanRow::ERROR } else { 0 },
        ..SpanRow::default()
    })
}

/// Times past 2262 saturate.
fn nanos(time: u64) -> Nanos {
    Nanos::try_from(time).unwrap_or(Nanos::MAX)
}

/// The attributes of interest: old and new names of the semantic conventions, which instrumentations write side by side or
/// alone.
#[derive(Default)]
struct Words<'a> {
    status: u16,
    method: &'a [u8],
    request_id: &'a [u8],
    path: Option<&'a [u8]>,
    query: &'a [u8],
    target: Option<&'a [u8]>,
    url: Option<&'a [u8]>,
}

impl<'a> Words<'a> {
    #[inline]
    fn note(&mut self, pair: &KeyValue<'a>) {
        match pair.key {
            b"http.response.status_code" | b"http.status_code" => {
                let status = pair.value().as_int().and_then(|status| u16::try_from(status).ok());
                self.status = status.unwrap_or(self.status);
            }
            b"http.request.method" | b"http.method" => {
                self.method = pair.value().as_string().unwrap_or(self.method);
            }
            b"url.path" => self.path = pair.value().as_string(),
            b"url.query" => self.query = pair.value().as_string().unwrap_or_default(),
            b"http.target" => self.target = pair.value().as_string(),
            b"http.url" | b"url.full" => self.url = pair.value().as_string(),
            b"http.request.header.x_request_id" | b"http.request.header.x-request-id" => {
                self.request_id = first_text(&pair.value());
            }
            _ => {}
        }
    }

    /// Path and query as rows have them.
    fn target(&self) -> (u64, u32) {
        let of_url = || self.url.and_then(after_authority);
        match (self.target, self.path) {
            // ASGI's target is the path alone, and its URL has the query.
            (Some(target), _) => match of_url() {
                Some(full) if !target.contains(&b'?') && full.starts_with(target) => hash_target(full),
                _ => hash_target(target),
            },
            (None, Some(path)) => match hash_target(path) {
                (path, 0) if !self.query.is_empty() => (path, hash_query(cut(self.query))),
                target => target,
            },
            (None, None) => of_url().map(hash_target).unwrap_or_default(),
        }
    }
}

fn hash_target(target: &[u8]) -> (u64, u32) {
    let target = cut(target);
    match memchr::memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (hash_text(path), hash_query(query.get(1..).unwrap_or_default())),
        None => (hash_text(target), 0),
    }
}

fn cut(text: &[u8]) -> &[u8] {
    text.get(..TARGET_BYTES_MAX).unwrap_or(text)
}

/// `/x?y` of `http://host:80/x?y`.
fn after_authority(url: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(url, b"://")? + 3;
    let rest = url.get(at..)?;
    rest.get(memchr::memchr(b'/', rest)?..)
}

/// A string, or the first of an array: captured headers are arrays.
fn first_text<'a>(value: &AnyValue<'a>) -> &'a [u8] {
    match value {
        AnyValue::String(bytes) => bytes,
        AnyValue::Array(values) => values.clone().next().and_then(|value| value.as_string()).unwrap_or_default(),
        _ => &[],
    }
}
