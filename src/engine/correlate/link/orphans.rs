//! What a killed worker leaves: the server span of its request never comes, but calls that were over before have been sent,
//! without their parent.

use super::row::Row;
use super::scene::{Column, Scene};
use super::{Asked, rival_rows};
use crate::engine::case::Case;
use crate::engine::causes::{Expected, Symptoms};
use crate::engine::correlate::spans::SpanRow;
use crate::engine::outcome::symptom_of;
use crate::read::evidence::{MILLISECOND, Nanos, SECOND};
use std::collections::{BTreeMap, BTreeSet};

/// Spans that are looked at, those that ended about the request.
const LOOKED_AT: usize = 4_096;
/// Other requests that a worker's end may have cut, the newest.
const RIVALS_LOOKED_AT: usize = 256;
const RIVALS_MAX: usize = 32;
/// A call began no earlier than its request, by the grain of the stamps.
const BEFORE_MAX: Nanos = 3 * MILLISECOND;
/// Orphans about the request by which those of strangers are counted.
const AROUND: Nanos = 5 * SECOND;
/// All orphans and all requests that were cut stand for one target: calls do not say whose they are.
const ANY: Asked = Asked { path: u64::MAX, query: 0, method: 0 };

/// The trace of calls without a parent in sight, as one span: from the first begin to the last end.
fn orphans(case: &Case<'_>, from: Nanos, to: Nanos) -> Vec<(u64, SpanRow)> {
    let mut traces: BTreeMap<[u8; 16], (u64, SpanRow)> = BTreeMap::new();
    let calls = case.sight.spans_within(from, to).filter(|(_, span)| !span.is_server()).take(LOOKED_AT);
    for (number, span) in calls {
        let known = traces.entry(span.trace_id).or_insert((number, *span));
        known.1.end = known.1.end.max(span.end);
        if span.start < known.1.start {
            let end = known.1.end;
            *known = (number, SpanRow { end, ..*span });
        }
    }
    traces.retain(|trace, _| {
        let is_of_request = |span: &SpanRow| span.is_server() && !span.is_from_nginx();
        !case.sight.spans_of_trace(trace).any(|(_, span)| is_of_request(span))
    });
    let as_server = |span: SpanRow| SpanRow {
        // The lost parent.
        span_id: span.parent_span_id,
        path: ANY.path,
        query: 0,
        method: 0,
        status: 200,
        flags: SpanRow::SERVER,
        ..span
    };
    traces.into_values().map(|(number, span)| (number, as_server(span))).collect()
}

/// The request, the others that were cut about then, and what is left of killed workers; `None` where nothing is.
pub(super) fn with_scene<T>(case: &Case<'_>, id: u64, whole: Row, solve: impl FnOnce(Scene<'_>) -> T) -> Option<T> {
    let start = whole.start.filter(|_| !whole.is_coarse())?;
    let (from, to) = (start.from.saturating_sub(AROUND), whole.end.to.saturating_add(AROUND));
    let orphans = orphans(case, from, to);
    let may_be = |row: &Row, span: &SpanRow| {
        row.start.is_some_and(|start| span.start >= start.from.saturating_sub(BEFORE_MAX))
            && span.end <= row.end.to.saturating_add(BEFORE_MAX)
    };
    if !orphans.iter().any(|(_, span)| may_be(&whole, span)) {
        return None;
    }
    let cut = |row: Row| Row { asked: ANY, expected: Expected::Finished, status: None, ..row };
    let mut rows = vec![cut(whole)];
    let others = case.sight.requests().iter().rev().take(RIVALS_LOOKED_AT);
    for (other, request) in others.filter(|(other, request)| *other != id && Symptoms::CUT_OFF.has(symptom_of(request)))
    {
        if rows.len() > RIVALS_MAX {
            break;
        }
        let rivals = rival_rows(&case.sight, other, request, false, (from, to));
        let last = rivals.into_iter().last().map(cut);
        rows.extend(last.filter(|row| orphans.iter().any(|(_, span)| may_be(row, span))));
    }
    // A call outside of every request that was cut is a stranger's, and so may others be.
    let taken: BTreeSet<u64> = orphans
        .iter()
        .filter(|(number, span)| case.sight.is_taken(&Column { number: *number, span, taken: false }, id))
        .map(|(number, _)| *number)
        .collect();
    let mut columns: Vec<Column<'_>> =
        orphans.iter().map(|(number, span)| Column { number: *number, span, taken: taken.contains(number) }).collect();
    columns.sort_by_key(|column| (column.span.end, column.number));
    Some(solve(Scene { rows, columns, has_good: false }))
}
