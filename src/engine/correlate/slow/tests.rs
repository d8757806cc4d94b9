//! The set of slow spans and the words about them.

use super::*;

/// A span of trace 1: number, parent, start and end in tenths of a second, what it is.
fn span(number: u8, parent: u8, from: i64, to: i64, label: &str) -> SlowSpan {
    SlowSpan {
        trace_id: [1; 16],
        span_id: [number; 8],
        parent_span_id: [parent; 8],
        start: from * 100 * MILLISECOND,
        end: to * 100 * MILLISECOND,
        is_server: label.starts_with("GET"),
        site: 7,
        label: label.into(),
    }
}

fn check(spans: &[SlowSpan], request_time: Option<Nanos>, expected: &str) {
    let told = quote(spans, request_time).map(|quote| quote.text).unwrap_or_default();
    assert_eq!(told, expected, "{spans:?}");
}

#[test]
fn the_span_that_took_the_time_is_named() {
    let server = span(1, 0, 0, 300, "GET /report");
    let select = span(2, 3, 5, 295, "SELECT orders on db.internal");
    let view = span(3, 1, 2, 298, "render");
    let words = "SELECT orders on db.internal took 29.0 of 30.0 s";
    check(&[server.clone(), view.clone(), select.clone()], Some(30 * SECOND), words);
    check(&[select.clone(), view.clone(), server.clone()], None, words);
    // The server span was lost with its worker.
    check(&[view.clone(), select.clone()], Some(30 * SECOND), words);
    check(&[view.clone(), select.clone()], None, "");
    check(std::slice::from_ref(&server), None, "");
    // Nothing took most of it; the request took long before its span began.
    check(&[server.clone(), span(2, 1, 5, 100, "SELECT a"), span(4, 1, 100, 200, "SELECT b")], None, "");
    check(&[server.clone(), select], Some(90 * SECOND), "");
    // Children that were busy at the same time count once, and a span that is its own parent is no child.
    let halves = [span(2, 3, 5, 150, "one"), span(4, 3, 5, 150, "two"), span(3, 3, 2, 298, "render")];
    check(&[&[server][..], &halves].concat(), None, "render took 29.6 of 30.0 s");
}

#[test]
fn hostile_spans_are_bounded_and_made_visible() {
    let server = span(1, 0, i64::MIN / SECOND, i64::MAX / SECOND, "GET /");
    let hostile = SlowSpan { start: Nanos::MIN, end: Nanos::MAX, ..span(2, 1, 0, 0, "x\u{1b}[31m\ny") };
    let told = quote(&[server, hostile], None).expect("a quote").text;
    assert!(told.starts_with("x\\x1B[31m\\x0Ay took "), "{told}");
    let mut spans = SlowSpans::default();
    for number in 0..100_000_u32 {
        let trace_id = [number.to_le_bytes(); 4].concat().try_into().expect("16 bytes");
        spans.insert(SlowSpan { trace_id, site: 1, ..span(1, 0, 0, 300, "GET /") });
        if number == 0 {
            spans.insert(span(9, 0, 0, 300, "another site's"));
        }
    }
    assert_eq!((spans.count(), spans.order.values().map(VecDeque::len).sum::<usize>()), (SPANS_MAX, SPANS_MAX));
    assert_eq!(spans.of_trace(&[1; 16]).len(), 1, "one that has many pushes out its own");
    for _ in 0..2 {
        for number in 0..200 {
            spans.insert(span(number, 0, 0, 300, "a thousand of one trace"));
        }
    }
    assert_eq!(spans.of_trace(&[1; 16]).len(), PER_TRACE_MAX);
    assert!(spans.count() <= SPANS_MAX, "{}", spans.count());
}
