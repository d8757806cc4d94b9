//! What spans prove: a few numbers and words of each server and client span.

use crate::otlp::{AnyValue, Attributes, Item, Request};
use crate::read::evidence::{Nanos, SpanFacts};
use crate::read::text::hash64;

/// OTLP `SpanKind` SERVER.
const SERVER: i32 = 2;
/// OTLP `SpanKind` CLIENT.
const CLIENT: i32 = 3;
/// OTLP `Status.code` ERROR.
const ERROR: i32 = 2;
/// Longest target that is kept; nginx's largest request line is 8 KiB by default (`large_client_header_buffers`).
const TARGET_BYTES_MAX: usize = 8_192;

/// Calls back for each server and client span of a request, in order. `request` has passed [`crate::otlp::check`].
pub fn for_each<'a>(request: &'a [u8], mut found: impl FnMut(Found<'a>, SpanFacts)) {
    for resource in Request::new(request).resources() {
        let mut process = None;
        for scope in resource.scopes() {
            let from_nginx = scope.name() == b"nginx";
            for item in scope.items() {
                let span = item.span();
                if !matches!(span.kind, SERVER | CLIENT) {
                    continue;
                }
                let (Some(trace_id), Some(span_id)) = (span.trace_id(), span.span_id()) else { continue };
                let (pid, process) = *process.get_or_insert_with(|| {
                    let pid = resource.attributes().get("process.pid").and_then(|value| value.as_int());
                    (pid.and_then(|pid| u32::try_from(pid).ok()), hash64(resource.resource().unwrap_or_default()))
                });
                let mut facts = SpanFacts {
                    trace_id,
                    span_id,
                    parent_span_id: span.parent_span_id(),
                    kind: if span.kind == SERVER { 2 } else { 3 },
                    start: nanos(span.start),
                    end: nanos(span.end),
                    error: span.status_code == ERROR,
                    pid,
                    process,
                    from_nginx,
                    ..SpanFacts::default()
                };
                read_attributes(span.attributes(), &mut facts);
                found(Found { item, resource: resource.clone(), scope: scope.clone() }, facts);
            }
        }
    }
}

/// Where a span stands.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The span.
    pub item: Item<'a>,
    /// Its resource group.
    pub resource: crate::otlp::ResourceGroup<'a>,
    /// Its scope group.
    pub scope: crate::otlp::ScopeGroup<'a>,
}

/// Times past 2262 saturate.
fn nanos(time: u64) -> Nanos {
    Nanos::try_from(time).unwrap_or(Nanos::MAX)
}

/// Old and new names of the semantic conventions, which instrumentations write side by side or alone.
fn read_attributes(attributes: Attributes<'_>, facts: &mut SpanFacts) {
    let mut path: Option<&[u8]> = None;
    let mut query: Option<&[u8]> = None;
    let mut target: Option<&[u8]> = None;
    let mut url: Option<&[u8]> = None;
    for pair in attributes {
        match pair.key {
            b"http.response.status_code" | b"http.status_code" => {
                facts.http_status =
                    pair.value().as_int().and_then(|status| u16::try_from(status).ok()).or(facts.http_status);
            }
            b"http.request.method" | b"http.method" => {
                if let Some(method) = pair.value().as_string() {
                    facts.method = text(method);
                }
            }
            b"url.path" => path = pair.value().as_string(),
            b"url.query" => query = pair.value().as_string(),
            b"http.target" => target = pair.value().as_string(),
            b"http.url" | b"url.full" => url = pair.value().as_string(),
            b"http.request.header.x_request_id" | b"http.request.header.x-request-id" => {
                facts.request_id = first_text(&pair.value())
            }
            _ => {}
        }
    }
    let of_url = url.and_then(after_authority);
    facts.target = match (target, path, query) {
        // ASGI's target is the path alone, and its URL has the query.
        (Some(target), _, _) => match of_url {
            Some(full) if !target.contains(&b'?') && full.starts_with(target) => text(full),
            _ => text(target),
        },
        (None, Some(path), Some(query)) if !query.is_empty() => format!("{}?{}", text(path), text(query)),
        (None, Some(path), _) => text(path),
        (None, None, _) => of_url.map(text).unwrap_or_default(),
    };
}

/// `/x?y` of `http://host:80/x?y`.
fn after_authority(url: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(url, b"://")? + 3;
    let rest = url.get(at..)?;
    rest.get(memchr::memchr(b'/', rest)?..)
}

/// A string, or the first of an array: captured headers are arrays.
fn first_text(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::String(bytes) => text(bytes),
        AnyValue::Array(values) => {
            values.clone().next().and_then(|value| value.as_string().map(text)).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..TARGET_BYTES_MAX).unwrap_or(bytes)).into_owned()
}
