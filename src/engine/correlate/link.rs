//! The trace of a request: by id, else by time, with the probability that it is the right one. A wrong link is worse than
//! none.
//!
//! ```text
//!  request ─► attempts ─┐                      ┌─► likely pairs ─► assignment ─► probability of each trace
//!  rivals  ─► attempts ─┼─► scene (who fits?) ─┘   (delays)        (assign)
//!  spans ───────────────┘
//! ```

pub mod assign;
pub mod delays;
pub mod goods;
mod orphans;
pub mod row;
pub mod scene;

use super::Interval;
use super::join::Request;
use super::spans::{SpanRow, hash_target, hash_text, method_code, parse_trace_id};
use crate::engine::case::{Case, Sight};
use crate::engine::causes::{Cause, Expected, Leaves, Mark};
use crate::engine::outcome::symptom_of;
use crate::engine::verdict::{Link, LinkMethod, Quote, Source};
use crate::read::evidence::{Nanos, NginxAccess, SECOND, Symptom, TraceContext};
use crate::read::text::quotable;
use delays::{Delays, NEIGHBOUR_APART_MAX};
use row::Row;
use scene::{APART_MAX, AROUND, Column, Found, LATE_MAX, LOOKED_AT, Odds, Scene, earliest_end};
use std::collections::BTreeMap;

/// Traces listed when the link is not certain.
const CANDIDATES_MAX: usize = 5;
/// A trace less likely than this is no candidate.
const CANDIDATE_MIN: f64 = 0.01;
/// Spans of one path that are looked at: at a hundred requests a second those of some seconds.
const COLUMNS_MAX: usize = 512;
/// Other requests on the path that are looked at, the newest, and of them those that may be of the same spans.
const RIVALS_LOOKED_AT: usize = 256;
const RIVALS_MAX: usize = 48;
/// What nginx's own span says comes before what the application's says.
const SURE: f64 = 0.5;
/// Worker classes of one site whose delays are learned apart.
const CLASSES_MAX: usize = 8;

/// What is learned of the delays between nginx and its application, by worker class.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    classes: Vec<(String, Delays)>,
    prior: Delays,
}

impl Learned {
    /// The delays of a worker class; the prior where nothing was learned.
    pub fn of(&self, class: &str) -> &Delays {
        self.classes.iter().find(|(known, _)| known == class).map_or(&self.prior, |(_, delays)| delays)
    }

    /// The same, to learn. Past `CLASSES_MAX` classes nothing more is learned.
    pub fn of_mut(&mut self, class: &str) -> Option<&mut Delays> {
        let place = match self.classes.iter().position(|(known, _)| known == class) {
            Some(place) => place,
            None if self.classes.len() < CLASSES_MAX => {
                self.classes.push((class.to_owned(), Delays::default()));
                self.classes.len() - 1
            }
            None => return None,
        };
        self.classes.get_mut(place).map(|(_, delays)| delays)
    }
}

/// Finds the trace. `cause` is the one that was found.
pub fn find(case: &Case<'_>, id: u64, cause: &Cause, threshold: f64) -> (Link, Option<u64>) {
    let asked = Asked::of(case.request);
    if let Some(exact) = by_id(&case.sight, asked, case.request.trace, case.access()) {
        return exact;
    }
    by_time(case, id, cause, threshold)
}

/// What there is to say of a link: what it rests on where it was found by time, and where an id contradicts the times.
pub fn remark(case: &Case<'_>, link: &Link, span: Option<u64>) -> Option<Quote> {
    let trace = link.trace?;
    if link.method == LinkMethod::Timing {
        let odds: Vec<String> = link.odds.iter().map(|(feature, odds)| format!("{feature} {odds:+.1}")).collect();
        let short: String = trace.trace_id.iter().take(ID_SHOWN / 2).map(|byte| format!("{byte:02x}")).collect();
        let text = format!("trace {short}... by time, {:.1}% (log-odds: {})", link.confidence * 100.0, odds.join(", "));
        return Some(Quote { source: Source::Trace, text: quotable(text), ticket: None });
    }
    let span = case.span(span?)?;
    let whole = whole_of(&case.sight, 0, case.request, Expected::Finished)?;
    let begun = whole.start.map_or(whole.end.from.saturating_sub(LATE_MAX), |start| start.from);
    let of_span = Interval { from: span.start, to: span.end };
    let apart = of_span.distance(Interval { from: begun, to: whole.last_end() });
    // What a full queue holds back begins later, and is no contradiction.
    (apart > LATE_MAX || of_span.to.saturating_add(CONTRADICTS) < begun).then(|| {
        let text = format!(
            "the id names a span that is {} s away from the request: kept, although the times contradict it",
            apart / SECOND
        );
        Quote { source: Source::Why502, text: quotable(text), ticket: None }
    })
}

/// A worker that ends takes along the spans that it had not ended yet: then its trace is in sight and the application's own span
/// of the request is not. Only said where spans have come that ended well after, for exporters send them late.
pub fn swallowed(case: &Case<'_>, link: &Link, cause: &Cause) -> Option<Quote> {
    let trace = link.trace.filter(|_| cause.has(Mark::BlamesWorker))?;
    let asked = Asked::of(case.request);
    let mut of_trace = case.sight.spans_of_trace(&trace.trace_id).map(|(_, span)| span);
    let is_own = |span: &SpanRow| span.is_server() && !span.is_from_nginx() && (span.path == 0 || asked.is_of(span));
    let (mut seen, mut has_own) = (0_u32, false);
    for span in of_trace.by_ref() {
        seen += 1;
        has_own |= is_own(span);
    }
    let on_time = case.at.to.saturating_add(EXPORTED_WITHIN);
    let fits = seen > 0 && !has_own && case.sight.spans_within(on_time, Nanos::MAX).next().is_some();
    let words = "its trace has no span of the application for this request: the worker's end took it along, with whatever else was not sent yet";
    fits.then(|| Quote { source: Source::Why502, text: quotable(words.to_owned()), ticket: None })
}

/// SDKs send spans every 5 s by default (`OTEL_BSP_SCHEDULE_DELAY`), and a collector in between as often as it likes.
const EXPORTED_WITHIN: Nanos = 8 * SECOND;
/// Digits of a trace id that are shown in a sentence; the link has all of them.
const ID_SHOWN: usize = 8;
/// A span that was over so long before its request began is not of it, whatever the clocks.
const CONTRADICTS: Nanos = 5 * SECOND;

/// The trace that an id names: in one of the records, or in `$request_id` and the span.
pub(in crate::engine) fn by_id(
    sight: &Sight<'_>,
    asked: Asked,
    trace: Option<TraceContext>,
    access: Option<&NginxAccess>,
) -> Option<(Link, Option<u64>)> {
    if let Some(context) = trace {
        let span = best_of_trace(sight, asked, &context);
        let span_id = span.map(|(_, span)| span.span_id).or(context.span_id);
        let trace = TraceContext { trace_id: context.trace_id, span_id };
        return Some((exact(LinkMethod::TraceContext, trace), span.map(|(number, _)| number)));
    }
    let request_id = access.map(|access| access.request_id.as_str()).filter(|id| !id.is_empty())?;
    // `proxy_set_header traceparent 00-$request_id-...`: the request id is the trace id.
    let of_trace = || {
        let trace_id = parse_trace_id(request_id)?;
        sight.spans_of_trace(&trace_id).min_by_key(|(number, span)| (!span.is_server(), *number))
    };
    let (number, span) = sight.span_of_request_id(hash_text(request_id.as_bytes())).or_else(of_trace)?;
    let trace = TraceContext { trace_id: span.trace_id, span_id: Some(span.span_id) };
    Some((exact(LinkMethod::RequestId, trace), Some(number)))
}

fn exact(method: LinkMethod, trace: TraceContext) -> Link {
    Link { method, confidence: 1.0, trace: Some(trace), candidates: Vec::new(), odds: Vec::new() }
}

fn best_of_trace<'a>(sight: &Sight<'a>, asked: Asked, context: &TraceContext) -> Option<(u64, &'a SpanRow)> {
    sight
        .spans_of_trace(&context.trace_id)
        .filter(|(_, span)| asked.is_of(span) || span.is_from_nginx())
        // The application's server span says more than nginx's, and nginx's more than a client's.
        .min_by_key(|(number, span)| (!span.is_server(), span.is_from_nginx(), *number))
}

/// The span that a request leaves by this cause.
pub fn expected(cause: &Cause, status: Option<u16>, symptom: Symptom) -> Expected {
    match cause.leaves {
        Leaves::Always(expected) => expected,
        Leaves::NoStatusAt(known) if status == Some(known) => Expected::NoStatus,
        Leaves::NoStatusAt(_) | Leaves::BySymptom => expected_by_symptom(symptom),
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

fn by_time(case: &Case<'_>, id: u64, cause: &Cause, threshold: f64) -> (Link, Option<u64>) {
    let expected = expected(cause, case.status(), case.symptom);
    let worker = case.death.map(|(_, death)| death.worker).filter(|_| cause.has(Mark::BlamesWorker));
    let Some(whole) = whole_of(&case.sight, id, case.request, expected) else { return (Link::NONE, None) };
    let whole = Row { worker, ..whole };
    let mut best = (Link::NONE, None);
    if case.has_spans_of_nginx() {
        let scene = scene_of(case, id, vec![Row { of_nginx: true, ..whole }]);
        best = chosen(case, scene, id, threshold);
        if best.0.confidence >= SURE {
            return best;
        }
    }
    let attempts = case.access().map_or_else(|| vec![whole], |access| row::attempts(whole, access));
    if attempts.iter().all(|row| row.expected == Expected::Never) {
        return best;
    }
    let scene = scene_of(case, id, attempts);
    let of_application = chosen(case, scene, id, threshold);
    if of_application.0.confidence < SURE
        && expected == Expected::NoStatus
        && let Some((link, _)) = orphans::with_scene(case, id, whole, |scene| chosen(case, scene, id, threshold))
        && link.confidence > of_application.0.confidence
    {
        // The span itself is lost: none of those in sight is the request's own.
        return (link, None);
    }
    if of_application.0.confidence >= best.0.confidence { of_application } else { best }
}

/// A request as its access line times it, else as its error line does, by the clock of the spans.
fn whole_of(sight: &Sight<'_>, id: u64, request: &Request, expected: Expected) -> Option<Row> {
    let asked = Asked::of(request);
    match &request.access {
        Some(access) => {
            // Where clocks are apart and nobody knows by how much, times prove nothing.
            let skew = sight.own().span_skew(access.source)?;
            Some(row::whole(id, asked, access.at.earlier(skew.saturating_neg()), &access.what, expected))
        }
        None => {
            let end = request.error()?.at;
            let (start, status, worker, spare) = (None, None, None, 0);
            Some(Row { who: id, asked, start, end, spare, status, expected, worker, of_nginx: false })
        }
    }
}

/// The attempts of another request that ended within a time, unless its trace is known.
pub(in crate::engine) fn rival_rows(
    sight: &Sight<'_>,
    id: u64,
    request: &Request,
    of_nginx: bool,
    (from, to): (Nanos, Nanos),
) -> Vec<Row> {
    let is_linked = request.verdict.as_ref().is_some_and(|verdict| verdict.link.trace.is_some());
    let is_in_time = request.access.as_ref().is_none_or(|access| access.at.to >= from && access.at.from <= to);
    if is_linked || request.trace.is_some() || !is_in_time {
        return Vec::new();
    }
    let symptom = symptom_of(request);
    let status = request.access.as_ref().map(|access| access.what.status);
    let expected = match &request.verdict {
        Some(verdict) => expected(verdict.cause, status, symptom),
        None => expected_by_symptom(symptom),
    };
    let Some(whole) = whole_of(sight, id, request, expected) else { return Vec::new() };
    match &request.access {
        Some(access) if !of_nginx => row::attempts(whole, &access.what),
        _ => vec![Row { of_nginx, ..whole }],
    }
}

/// The request alone with the spans of its path about its time.
fn scene_of<'a>(case: &Case<'a>, id: u64, rows: Vec<Row>) -> Scene<'a> {
    let mut scene = Scene { rows, columns: Vec::new(), has_good: case.sight.has_good() };
    let Some(path) = scene.rows.first().map(|row| row.asked.path) else { return scene };
    let of_nginx = scene.rows.iter().any(|row| row.of_nginx);
    scene.columns = columns(&case.sight, path, window(&scene.rows), of_nginx);
    let mut own: Vec<(Nanos, usize)> = Vec::new();
    for row in &scene.rows {
        let fitting = scene.columns.iter().enumerate().filter(|(_, column)| may_be_of(row, column.span));
        let mut nearest: Vec<(Nanos, usize)> =
            fitting.map(|(index, column)| (row.distance(column.span), index)).collect();
        if nearest.len() > 2 * LOOKED_AT {
            nearest.select_nth_unstable(2 * LOOKED_AT);
            nearest.truncate(2 * LOOKED_AT);
        }
        own.append(&mut nearest);
    }
    let mut is_free = false;
    for (_, index) in own {
        if let Some(column) = scene.columns.get_mut(index) {
            column.taken = case.sight.is_taken(column, id);
            is_free |= !column.taken;
        }
    }
    if !is_free {
        scene.columns.clear();
    }
    scene
}

/// When the spans of these may have ended.
fn window(rows: &[Row]) -> (Nanos, Nanos) {
    let until = |row: &Row| row.last_end().saturating_add(if row.is_late() { LATE_MAX } else { APART_MAX });
    let from = rows.iter().map(earliest_end).min().unwrap_or_default();
    (from, rows.iter().map(until).max().unwrap_or_default())
}

/// Adds the other requests that the spans may be of.
fn add_rivals(case: &Case<'_>, id: u64, scene: &mut Scene<'_>) {
    let Some(path) = scene.rows.first().map(|row| row.asked.path) else { return };
    let of_nginx = scene.rows.iter().any(|row| row.of_nginx);
    let is_own = |column: &&Column<'_>| !column.taken && scene.rows.iter().any(|row| may_be_of(row, column.span));
    let free: Vec<&SpanRow> = scene.columns.iter().filter(is_own).map(|column| column.span).collect();
    let wants_one = |row: &Row| free.iter().any(|span| may_be_of(row, span));
    // Those that met the same queue tell how long it was.
    let stood_in_line =
        |row: &Row| row.is_late() && scene.rows.iter().any(|own| own.is_late() && began_together(own, row));
    let others = case.sight.requests().on_path(path).filter(|(other, _)| *other != id).take(RIVALS_LOOKED_AT);
    let mut rivals: Vec<Row> = Vec::new();
    for (other, request) in others {
        if rivals.len() >= RIVALS_MAX {
            break;
        }
        let rows = rival_rows(&case.sight, other, request, of_nginx, (Nanos::MIN, Nanos::MAX));
        rivals.extend(rows.into_iter().filter(|row| stood_in_line(row) || wants_one(row)));
    }
    let (from, to) = window(&scene.rows);
    rivals.extend(case.sight.good_rows(path, from, to).into_iter().filter(wants_one));
    let of_rivals = |column: &Column<'_>| rivals.iter().any(|row| may_be_of(row, column.span));
    for column in scene.columns.iter_mut().filter(|column| !column.taken && of_rivals(column)) {
        column.taken = case.sight.is_taken(column, id);
    }
    scene.rows.extend(rivals);
}

/// Server spans on a path that ended within a time, and of those around it as many as there is room for, in order of their
/// end.
pub(in crate::engine) fn columns<'a>(
    sight: &Sight<'a>,
    path: u64,
    (from, to): (Nanos, Nanos),
    of_nginx: bool,
) -> Vec<Column<'a>> {
    let (from, to) = (from.max(Nanos::MIN / 2), to.min(Nanos::MAX / 2));
    let parts = [(from, to), (from.saturating_sub(AROUND), from - 1), (to + 1, to.saturating_add(AROUND))];
    let spans = parts.into_iter().flat_map(|(from, to)| sight.spans_on_path(path, from, to));
    let fitting = spans.filter(|(_, span)| span.is_server() && span.is_from_nginx() == of_nginx);
    let mut columns: Vec<Column<'a>> =
        fitting.take(COLUMNS_MAX).map(|(number, span)| Column { number, span, taken: false }).collect();
    columns.sort_by_key(|column| (column.span.end, column.number));
    // An exporter that sends again sends the same span.
    let id = |column: &Column<'_>| (column.span.end, column.span.trace_id, column.span.span_id);
    columns.dedup_by(|later, earlier| id(later) == id(earlier));
    columns
}

/// They began within the time in which a queue is one.
fn began_together(one: &Row, other: &Row) -> bool {
    one.start.zip(other.start).is_some_and(|(one, other)| one.distance(other) <= NEIGHBOUR_APART_MAX)
}

/// The cheap questions of [`Scene::solve`].
fn may_be_of(row: &Row, span: &SpanRow) -> bool {
    let until = row.last_end().saturating_add(if row.is_late() { LATE_MAX } else { APART_MAX });
    span.end >= earliest_end(row)
        && span.end <= until
        && row.start.is_none_or(|start| span.start >= start.from.saturating_sub(APART_MAX))
        && row.asked.is_of(span)
}

/// The likeliest trace of a request in a solved scene.
fn chosen(case: &Case<'_>, mut scene: Scene<'_>, id: u64, threshold: f64) -> (Link, Option<u64>) {
    if scene.columns.is_empty() {
        return (Link::NONE, None);
    }
    let class = case.instance.map_or("", |instance| instance.worker_class.as_str());
    let delays = case.sight.own().links.of(class);
    if scene.rows.iter().all(|row| row.who == id) && !scene.is_hopeless(delays) {
        add_rivals(case, id, &mut scene);
    }
    link_of(&scene, &scene.solve(delays), id, case.weight_of_spans(), threshold)
}

/// The link of one request of a solved scene. `weight` is how likely it is that the spans in sight are of its nginx.
pub(in crate::engine) fn link_of(
    scene: &Scene<'_>,
    found: &[Found],
    who: u64,
    weight: f64,
    threshold: f64,
) -> (Link, Option<u64>) {
    // Of one attempt only one span can be; a trace is the request's when any of its attempts left one in it.
    let mut traces: BTreeMap<([u8; 16], usize), (f64, Found)> = BTreeMap::new();
    for one in found {
        let (Some(row), Some(column)) = (scene.rows.get(one.row), scene.columns.get(one.column)) else { continue };
        if row.who != who {
            continue;
        }
        let (sum, best) = traces.entry((column.span.trace_id, one.row)).or_insert((0.0, *one));
        *sum += one.probability;
        if one.probability > best.probability {
            *best = *one;
        }
    }
    let mut by_trace: BTreeMap<[u8; 16], (f64, Found)> = BTreeMap::new();
    for ((trace, _), (probability, one)) in traces {
        let (none, best) = by_trace.entry(trace).or_insert((1.0, one));
        *none *= 1.0 - probability.min(1.0);
        if one.probability > best.probability {
            *best = one;
        }
    }
    let mut traces: Vec<(f64, [u8; 16], Found)> =
        by_trace.into_iter().map(|(trace, (none, best))| ((1.0 - none) * weight, trace, best)).collect();
    traces.sort_by(|one, other| other.0.total_cmp(&one.0));
    let Some((probability, trace_id, best)) = traces.first().copied() else { return (Link::NONE, None) };
    if probability < CANDIDATE_MIN {
        return (Link::NONE, None);
    }
    let column = scene.columns.get(best.column);
    let confidence = (probability.min(0.999) * 1_000.0).round() / 1_000.0;
    let sure = confidence >= threshold;
    let trace = column.filter(|_| sure).map(|column| TraceContext { trace_id, span_id: Some(column.span.span_id) });
    let likely = traces.iter().filter(|(probability, ..)| *probability >= CANDIDATE_MIN);
    let candidates = likely.take(CANDIDATES_MAX).map(|(_, trace, _)| *trace).collect();
    let link = Link { method: LinkMethod::Timing, confidence, trace, candidates, odds: told(best.odds) };
    (link, column.filter(|_| sure).map(|column| column.number))
}

/// What speaks for a pair, with one digit, without what says nothing.
fn told(odds: Odds) -> Vec<(&'static str, f64)> {
    let all = [
        ("end", odds.end),
        ("start", odds.start),
        ("status", odds.status),
        ("worker", odds.worker),
        ("arrival", odds.arrival),
        ("order", odds.order),
        ("rivals", odds.rivals),
    ];
    let rounded = all.into_iter().map(|(feature, odds)| (feature, (odds * 10.0).round() / 10.0));
    rounded.filter(|(_, odds)| odds.abs() >= 0.1).collect()
}

/// What a request asked for, as rows of spans say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The path, by `hash_text`.
    pub path: u64,
    query: u32,
    method: u8,
}

impl Asked {
    /// What this request asked for.
    pub fn of(request: &Request) -> Asked {
        Asked::of_target(request.method(), request.target())
    }

    /// The same of a method and a target.
    pub fn of_target(method: &str, target: &str) -> Asked {
        let (path, query) = hash_target(target);
        Asked { path, query, method: method_code(method.as_bytes()) }
    }

    /// Method and target agree; an ASGI span has the path only.
    pub fn is_of(&self, span: &SpanRow) -> bool {
        span.path != 0
            && span.path == self.path
            && (span.query == 0 || span.query == self.query)
            && (span.method == 0 || self.method == 0 || span.method == self.method)
    }
}

/// When a request began and ended by the clock of its access log, as far as one attempt tells it.
pub(in crate::engine) fn began(at: Interval, access: &NginxAccess) -> Option<Nanos> {
    let took = access.request_time.value().filter(|took| access.exact_time && *took >= 0)?;
    (access.attempts.len() <= 1).then(|| at.from.saturating_sub(took))
}
