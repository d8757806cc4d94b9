//! The spans of one request that took long, as a timeline of text: where its time went, at a glance.

use crate::engine::correlate::slow::{SlowSpan, seconds, slowest};
use crate::enrich::hex;
use crate::page::spans::in_order;
use crate::read::evidence::Nanos;
use crate::read::text::{printable, shortened};

/// Spans that are shown: what fits between two other lines of an incident.
const ROWS_MAX: usize = 8;
/// Columns of a bar.
const WIDTH: i128 = 30;
/// Characters of a name.
const LABEL_CHARS_MAX: usize = 60;

/// A heading and a line for each span, parents before their children; none where no span tells more than that of the request
/// as a whole.
pub(super) fn rows(spans: &[SlowSpan]) -> Vec<String> {
    let Some(first) = spans.iter().map(|span| span.start).min() else { return Vec::new() };
    let last = spans.iter().map(|span| span.end).max().unwrap_or(first);
    let trace = spans.first().map(|span| hex(&span.trace_id)).unwrap_or_default();
    let (_, Some(slowest)) = slowest(spans) else { return Vec::new() };
    let mut rows = vec![format!("of trace {trace}, those of a second or more")];
    let ordered = in_order(spans);
    for span in ordered.iter().take(ROWS_MAX).map(|(span, _)| span) {
        let mark = if slowest.span_id == span.span_id { "►" } else { " " };
        let label = shortened(&printable(&span.label), LABEL_CHARS_MAX);
        rows.push(format!("{mark} {} {:>7} s  {label}", bar(span, first, last), seconds(span.took())));
    }
    let hidden = ordered.len().saturating_sub(ROWS_MAX);
    if hidden > 0 {
        rows.push(format!("  {hidden} more"));
    }
    rows
}

/// The time of a span within that of all, at least a column wide.
fn bar(span: &SlowSpan, first: Nanos, last: Nanos) -> String {
    let whole = (i128::from(last) - i128::from(first)).max(1);
    let column = |time: Nanos| (i128::from(time) - i128::from(first)) * WIDTH / whole;
    let from = column(span.start).clamp(0, WIDTH - 1);
    let to = column(span.end).clamp(from + 1, WIDTH);
    (0..WIDTH).map(|at| if (from..to).contains(&at) { '█' } else { '·' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::evidence::SECOND;

    fn span(number: u8, parent: u8, from: i64, to: i64, label: &str) -> SlowSpan {
        SlowSpan {
            trace_id: [0xab; 16],
            span_id: [number; 8],
            parent_span_id: [parent; 8],
            start: from * SECOND,
            end: to * SECOND,
            is_server: number == 1,
            site: 0,
            label: label.into(),
        }
    }

    fn check(spans: &[SlowSpan], expected: &str) {
        let rows = rows(spans);
        assert_eq!(rows.get(1..).unwrap_or_default().join("\n"), expected.trim_matches('\n'));
    }

    #[test]
    fn bars_stand_under_their_parents() {
        let spans = [
            span(3, 2, 1, 25, "SELECT orders on db.internal"),
            span(4, 1, 26, 29, "GET /stock on stock.internal"),
            span(2, 1, 0, 26, "render\u{1b}[31m"),
            span(1, 9, 0, 30, "GET /report of shop"),
        ];
        check(
            &spans,
            "
  ██████████████████████████████    30.0 s  GET /report of shop
  ██████████████████████████····    26.0 s  render\\x1B[31m
► ·████████████████████████·····    24.0 s  SELECT orders on db.internal
  ··························███·     3.0 s  GET /stock on stock.internal
",
        );
        assert_eq!(rows(&[]), Vec::<String>::new());
        assert_eq!(rows(spans.get(3..).unwrap_or_default()), Vec::<String>::new(), "its span alone");
    }

    #[test]
    fn circles_and_hostile_times_end() {
        let circle =
            [span(1, 2, 0, 3, "a"), span(2, 1, 1, 2, "b"), span(3, 3, i64::MIN / SECOND, i64::MAX / SECOND, "c")];
        assert_eq!(rows(&circle).len(), 4);
        let many: Vec<SlowSpan> = (0..32).map(|number| span(number, 0, 0, 3, "x")).collect();
        assert_eq!(rows(&many).len(), 1 + ROWS_MAX + 1);
        assert_eq!(rows(&many).last().map(String::as_str), Some("  24 more"));
    }
}
