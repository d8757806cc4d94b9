//! The trace of a failed request: by id, else by time where exactly one span fits. A wrong link is worse than none.

use super::Interval;
use super::join::Request;
use super::spans::{SpanRow, hash_target, hash_text, method_code, parse_trace_id};
use crate::engine::case::Case;
use crate::engine::causes::{Cause, Expected, Leaves};
use crate::engine::verdict::{Link, LinkMethod};
use crate::read::evidence::{MILLISECOND, Nanos, SECOND, Symptom, TraceContext};

/// Traces listed when the link is not certain.
const CANDIDATES_MAX: usize = 5;
/// A WSGI span ends at most 1 ms after nginx's last byte, an ASGI span up to 14 ms (lab-measured); 12 covers p99.
const END_AFTER_MAX: Nanos = 12 * MILLISECOND;
/// Under load a span was seen to end 32 ms before nginx logged the request.
const END_BEFORE_MAX: Nanos = 60 * MILLISECOND;

/// Finds the trace. `cause` is the one that was found.
pub fn find(case: &Case<'_>, id: u64, cause: &Cause, threshold: f64) -> (Link, Option<u64>) {
    if let Some(context) = case.request.trace {
        let span = best_of_trace(case, &context);
        let span_id = span.map(|(_, span)| span.span_id).or(context.span_id);
        let trace = TraceContext { trace_id: context.trace_id, span_id };
        let link =
            Link { method: LinkMethod::TraceContext, confidence: 1.0, trace: Some(trace), candidates: Vec::new() };
        return (link, span.map(|(number, _)| number));
    }
    if let Some(link) = by_request_id(case) {
        return link;
    }
    by_time(case, id, expected(case, cause), threshold)
}

/// The span that the request leaves by this cause.
pub fn expected(case: &Case<'_>, cause: &Cause) -> Expected {
    match cause.leaves {
        Leaves::Always(expected) => expected,
        Leaves::NoStatusAt(status) if case.status() == Some(status) => Expected::NoStatus,
        Leaves::NoStatusAt(_) | Leaves::BySymptom => expected_by_symptom(case.symptom),
    }
}

fn expected_by_symptom(symptom: Symptom) -> Expected {
    match symptom {
        Symptom::Relayed => Expected::SameStatus,
        Symptom::ResponseTimedOut | Symptom::ClientClosed => Expected::Late,
        Symptom::ResponseTruncated | Symptom::ResponseHeaderTooBig | Symptom::ResponseHeaderInvalid => {
            Expected::Finished
        }
        Symptom::ResponseClosedEarly | Symptom::ResponseReset | Symptom::RequestSendFailed | Symptom::Unknown => {
            Expected::NoStatus
        }
        _ => Expected::Never,
    }
}

fn best_of_trace<'a>(case: &Case<'a>, context: &TraceContext) -> Option<(u64, &'a SpanRow)> {
    let asked = Asked::of(case.request);
    case.spans_of_trace(&context.trace_id)
        .filter(|(_, span)| asked.is_of(span) || span.is_from_nginx())
        // The application's server span says more than nginx's, and nginx's more than a client's.
        .min_by_key(|(number, span)| (!span.is_server(), span.is_from_nginx(), *number))
}

fn by_request_id(case: &Case<'_>) -> Option<(Link, Option<u64>)> {
    let request_id = case.access().map(|access| access.request_id.as_str()).filter(|id| !id.is_empty())?;
    let exact = |number: u64, span: &SpanRow| {
        let trace = TraceContext { trace_id: span.trace_id, span_id: Some(span.span_id) };
        (
            Link { method: LinkMethod::RequestId, confidence: 1.0, trace: Some(trace), candidates: Vec::new() },
            Some(number),
        )
    };
    if let Some((number, span)) = case.span_of_request_id(hash_text(request_id.as_bytes())) {
        return Some(exact(number, span));
    }
    // `proxy_set_header traceparent 00-$request_id-...`: the request id is the trace id.
    let trace_id = parse_trace_id(request_id)?;
    let (number, span) = case.spans_of_trace(&trace_id).min_by_key(|(number, span)| (!span.is_server(), *number))?;
    Some(exact(number, span))
}

fn by_time(case: &Case<'_>, id: u64, expected: Expected, threshold: f64) -> (Link, Option<u64>) {
    let mut fitting: Vec<(Nanos, u64, &SpanRow)> = Vec::new();
    let Some(window) = Window::of(case, expected) else { return (Link::NONE, None) };
    for (number, span) in case.spans_asked(window.end_from, window.end_to) {
        if window.fits(span, case, expected) && case.linked(number).is_none_or(|linked| linked == id) {
            let distance = (span.end.saturating_sub(window.logged)).saturating_abs();
            fitting.push((distance, number, span));
        }
    }
    fitting.sort_by_key(|(distance, number, _)| (*distance, *number));
    let mut traces: Vec<[u8; 16]> = Vec::new();
    for (_, _, span) in &fitting {
        if !traces.contains(&span.trace_id) {
            traces.push(span.trace_id);
        }
    }
    let Some((_, number, span)) = fitting.first() else { return (Link::NONE, None) };
    let confidence = match (traces.len(), window.exact) {
        (1, true) => 0.96,
        (1, false) => 0.85,
        (several, _) => 0.9 / several as f64,
    };
    let confidence = confidence * case.weight_of_spans();
    let sure = traces.len() == 1 && confidence >= threshold;
    let trace = sure.then_some(TraceContext { trace_id: span.trace_id, span_id: Some(span.span_id) });
    traces.truncate(CANDIDATES_MAX);
    (Link { method: LinkMethod::Timing, confidence, trace, candidates: traces }, sure.then_some(*number))
}

struct Window {
    start_from: Nanos,
    start_to: Nanos,
    end_from: Nanos,
    end_to: Nanos,
    logged: Nanos,
    exact: bool,
}

impl Window {
    fn of(case: &Case<'_>, expected: Expected) -> Option<Window> {
        let access = case.request.access.as_ref()?;
        if expected == Expected::Never && !case.has_spans_of_nginx() {
            return None;
        }
        let skew = case.span_skew(access.source);
        let logged = Interval { from: access.at.from.saturating_add(skew), to: access.at.to.saturating_add(skew) };
        let took = access.what.request_time.value();
        let exact = access.what.exact_time && took.is_some();
        // Without `$request_time` the request began at most a default read timeout before.
        let start_from = logged.from.saturating_sub(took.unwrap_or(60 * SECOND)).saturating_sub(5 * MILLISECOND);
        let (end_from, end_to) = match expected {
            Expected::Late => (logged.from.saturating_sub(END_BEFORE_MAX), logged.to.saturating_add(120 * SECOND)),
            Expected::SameStatus | Expected::Finished | Expected::NoStatus | Expected::Never => {
                (logged.from.saturating_sub(END_BEFORE_MAX), logged.to.saturating_add(END_AFTER_MAX))
            }
        };
        Some(Window {
            start_from,
            start_to: logged.to.saturating_add(2 * MILLISECOND),
            end_from,
            end_to,
            logged: logged.to,
            exact,
        })
    }

    fn fits(&self, span: &SpanRow, case: &Case<'_>, expected: Expected) -> bool {
        let in_time = span.start >= self.start_from && span.start <= self.start_to;
        let of_status = if span.is_from_nginx() {
            span.status() == case.status()
        } else {
            match expected {
                Expected::SameStatus => span.status() == case.status(),
                Expected::Finished => true,
                Expected::Late => span.end >= self.logged.saturating_sub(END_BEFORE_MAX),
                Expected::NoStatus => span.status().is_none() || span.status() == case.status(),
                Expected::Never => false,
            }
        };
        span.is_server() && in_time && of_status
    }
}

/// What a request asked for, as rows of spans say it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The path, by `hash_text`.
    pub path: u64,
    query: u32,
    method: u8,
}

impl Asked {
    /// What this request asked for.
    pub fn of(request: &Request) -> Asked {
        let (path, query) = hash_target(request.target());
        Asked { path, query, method: method_code(request.method().as_bytes()) }
    }

    /// Method and target agree; an ASGI span has the path only.
    pub fn is_of(&self, span: &SpanRow) -> bool {
        span.path != 0
            && span.path == self.path
            && (span.query == 0 || span.query == self.query)
            && (span.method == 0 || self.method == 0 || span.method == self.method)
    }
}
