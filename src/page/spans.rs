//! The spans of one request that are known, as a waterfall.

use super::axis::Axis;
use crate::engine::correlate::slow::{SlowSpan, seconds, slowest};
use crate::read::text::{printable, shortened};
use maud::{Markup, html};

/// Spans that are drawn of one request.
const ROWS_MAX: usize = 32;
/// Characters of a name.
const LABEL_CHARS_MAX: usize = 120;
/// Indents that are drawn; deeper spans stand under each other.
const DEPTH_MAX: usize = 6;

/// Each span behind its parent, in order of their beginning, with how many parents it has among them. A span whose parent is
/// not among them, or is its own descendant, is told where its time comes.
pub fn in_order(spans: &[SlowSpan]) -> Vec<(&SlowSpan, usize)> {
    let mut left: Vec<&SlowSpan> = spans.iter().collect();
    left.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end), span.span_id));
    let has_parent = |span: &SlowSpan, of: &[&SlowSpan]| of.iter().any(|other| other.span_id == span.parent_span_id);
    let mut ordered: Vec<(&SlowSpan, usize)> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        // The newest span told whose child is left goes on; else the first root; else the first of a circle.
        let child = ordered.iter().rev().find_map(|(parent, depth)| {
            let is_child = |span: &&SlowSpan| span.parent_span_id == parent.span_id && span.span_id != parent.span_id;
            left.iter().position(is_child).map(|place| (place, depth + 1))
        });
        let root = || left.iter().position(|span| !has_parent(span, &left)).map(|place| (place, 0));
        let (next, depth) = child.or_else(root).unwrap_or((0, 0));
        ordered.push((left.remove(next), depth));
    }
    ordered
}

/// Spans that are drawn over each other, the longest first, so that none hides another; each with its class.
pub(super) fn layered(spans: &[SlowSpan]) -> Vec<(&SlowSpan, &'static str)> {
    let (_, slow) = slowest(spans);
    let class = |span: &SlowSpan| {
        let is_slowest = slow.is_some_and(|slow| slow.span_id == span.span_id);
        if is_slowest {
            "deciding"
        } else if span.is_server {
            "own"
        } else {
            "span"
        }
    };
    let mut layers: Vec<(&SlowSpan, &'static str)> = spans.iter().map(|span| (span, class(span))).collect();
    layers.sort_by_key(|(span, _)| std::cmp::Reverse(span.took()));
    layers
}

/// A bar for each span below its parent; nothing where none is known.
pub fn waterfall(spans: &[SlowSpan]) -> Markup {
    let Some(axis) = Axis::over(spans.iter().flat_map(|span| [span.start, span.end])) else { return html! {} };
    let (_, slow) = slowest(spans);
    let ordered = in_order(spans);
    let hidden = ordered.len().saturating_sub(ROWS_MAX);
    html! {
        ol .spans {
            @for (span, depth) in ordered.iter().take(ROWS_MAX) {
                @let is_slowest = slow.is_some_and(|slow| slow.span_id == span.span_id);
                @let is_own = span.is_server;
                li .{ "depth-" (depth.min(&DEPTH_MAX)) } {
                    span .label {
                        (shortened(&printable(&span.label), LABEL_CHARS_MAX))
                        @if is_slowest { " " strong { "took the most time" } }
                    }
                    span .took { (seconds(span.took())) " s" }
                    (axis.strip(8, html! {
                        (axis.bar(span.start, span.end, 0.0, 8.0, if is_slowest { "deciding" } else if is_own { "own" } else { "span" }))
                    }))
                }
            }
            @if hidden > 0 { li { (hidden) " more" } }
        }
    }
}
