//! Requests and spans that may belong together, and how likely each pair is.
//!
//! A pair is weighed against what else could be: the span may be of a request that is not in view (most are healthy, and
//! their lines never reach the engine), and the span of the request may be lost or never have been sampled. So a weight is
//!
//! ```text
//!    share that arrives        density of start, end and status for spans of this request
//!  ─────────────────────── × ─────────────────────────────────────────────────────────────
//!   1 - share that arrives     the same for spans of strangers: so many a second on this target
//! ```
//!
//! A span begins some time after its request; when it ends depends on what became of the request: with it, or earlier and
//! later by as much as spans last. What is not known of a pair (a line without `$request_time`) stands on neither side. Then all pairs together are one
//! assignment ([`super::assign`]). It is solved a few times: those that are nearly sure tell how long the queue was which
//! their neighbours waited in (whoever came first is accepted first), and how many spans are strangers'.

use super::assign::{Pair, marginals};
use super::delays::{Delays, Queue};
use super::row::Row;
use crate::engine::causes::Expected;
use crate::engine::correlate::Interval;
use crate::engine::correlate::spans::SpanRow;
use crate::read::evidence::{MILLISECOND, Nanos, SECOND};

/// Pairs of one row that are kept, the likeliest: at concurrency 50 the own span was among the first 20.
const PAIRS_OF_ROW_MAX: usize = 24;
/// Spans that are compared with one row, the nearest.
pub(super) const LOOKED_AT: usize = 64;
/// So many spans about as likely as the best: rivals and order tell two or three equal requests apart, not as many.
const ALIKE: usize = 16;
/// As likely as the best is what is this likely, or more.
const AS_LIKELY: f64 = 0.3;
/// A pair less likely than that to one against having no span at all changes nothing.
const WEIGHT_MIN: f64 = 1e-4;
/// How often it is solved: the third solution differs from the second by less than a percent.
const SOLUTIONS: usize = 3;
/// The application goes on for so long after nginx gave up; a longer one is not waited for.
pub(super) const LATE_MAX: Nanos = 120 * SECOND;
/// A request that took longer is compared with the spans of its last minutes only.
const LONGEST: Nanos = 120 * SECOND;
/// A span that ends farther than that from its request is nobody's.
pub(super) const APART_MAX: Nanos = SECOND;
/// A span may begin so much before its request by the grain of the stamps and a clock that is a little off.
const BEFORE_MAX: Nanos = 20 * MILLISECOND;
/// Strangers are counted about so near to a span; the largest rate is taken, because load comes in bursts.
const NEAR: [Nanos; 3] = [SECOND, 3 * SECOND, AROUND];
/// The farthest of them.
pub(super) const AROUND: Nanos = 10 * SECOND;
/// Where no stranger is in sight, as if there were so many of them.
const UNSEEN: f64 = 0.1;
/// Spans that are counted on each side.
const COUNTED_MAX: usize = 128;
/// Where the lines of good requests are in view as well, so few spans are strangers'.
const STRANGERS_OF_ALL: f64 = 0.02;
/// Failing requests are in view, so few failed spans are strangers'.
const STRANGERS_FAILED: f64 = 0.05;
/// Start and end are not independent: a machine that is busy delays both. What the end adds counts for so much less.
const TEMPER: f64 = 0.7;
/// Requests that waited less than that stood in no line.
const WAITED: Nanos = 20 * MILLISECOND;
/// Those that are asked for their turn, on each side.
const IN_LINE: usize = 6;
/// One that was served out of turn speaks so much against a pair: several workers take from one line, and each has its own
/// pace.
const OUT_OF_TURN: f64 = 0.7;
/// A pair so likely tells of the order.
const TELLS_ORDER: f64 = 0.5;
/// A pair so likely tells of the queue.
const TELLS: f64 = 0.3;

/// A span that may be of one of the requests.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// Its number.
    pub number: u64,
    /// The span.
    pub span: &'a SpanRow,
    /// Whose span it surely is, by an id: nobody else's.
    pub taken: bool,
}

/// What speaks for a pair, as natural logarithms of odds: 0 says nothing, 4.6 is a hundred to one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Odds {
    /// The time of its end against how long spans last.
    pub end: f64,
    /// The time of its start against how many spans of strangers there are.
    pub start: f64,
    /// Its status.
    pub status: f64,
    /// Its worker.
    pub worker: f64,
    /// That the span of such a request arrives at all.
    pub arrival: f64,
    /// That those that came before it were served before it.
    pub order: f64,
    /// What other requests and other spans leave of it.
    pub rivals: f64,
}

/// A pair with how likely it is.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Which row.
    pub row: usize,
    /// Which column.
    pub column: usize,
    /// Probability that they belong together.
    pub probability: f64,
    /// Why.
    pub odds: Odds,
}

/// Requests and spans that may belong together.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Attempts of requests.
    pub rows: Vec<Row>,
    /// Spans in order of their end.
    pub columns: Vec<Column<'a>>,
    /// The lines of good requests are among the rows.
    pub has_good: bool,
}

/// A request that waited, with the start of its span.
#[derive(Clone, Copy, Debug)]
struct Served {
    came: Nanos,
    began: Nanos,
    row: usize,
}

struct Candidate {
    row: usize,
    column: usize,
    end: f64,
    start: Option<f64>,
    wait: Nanos,
    status: f64,
    worker: f64,
    arrival: f64,
}

impl Candidate {
    /// To compare those of one row.
    fn likely(&self) -> f64 {
        self.end * self.start.unwrap_or(1.0) * self.status
    }
}

impl Scene<'_> {
    /// So many spans fit each row that nothing could tell which is its own: a storm of equal requests.
    pub fn is_hopeless(&self, delays: &Delays) -> bool {
        let is_hopeless = |index: usize| {
            let mut candidates = Vec::new();
            self.candidates_of(index, delays, &mut candidates);
            let best = candidates.first().map_or(0.0, Candidate::likely);
            candidates.get(ALIKE - 1).is_some_and(|one| one.likely() >= best * AS_LIKELY)
        };
        !self.rows.is_empty() && (0..self.rows.len()).all(is_hopeless)
    }

    /// The likely pairs, those of one row together.
    pub fn solve(&self, delays: &Delays) -> Vec<Found> {
        let mut candidates = Vec::new();
        for index in 0..self.rows.len() {
            self.candidates_of(index, delays, &mut candidates);
        }
        if candidates.is_empty() {
            return Vec::new();
        }
        let mut explained = vec![0.0; self.columns.len()];
        let mut queues: Vec<Option<Queue>> = vec![None; self.rows.len()];
        self.queues(&[], delays, &mut queues);
        let mut found = Vec::new();
        let mut served: Vec<Served> = Vec::new();
        for _ in 0..SOLUTIONS {
            found = self.solution(&candidates, &queues, &explained, &served);
            served = self.served(&found);
            explained.iter_mut().for_each(|share| *share = 0.0);
            for one in &found {
                if let Some(share) = explained.get_mut(one.column) {
                    *share = f64::min(*share + one.probability, 1.0);
                }
            }
            self.queues(&found, delays, &mut queues);
        }
        found
    }

    /// What a row and the spans of its target have to do with each other, before anybody else is looked at.
    fn candidates_of(&self, index: usize, delays: &Delays, out: &mut Vec<Candidate>) {
        let Some(row) = self.rows.get(index).filter(|row| row.expected != Expected::Never || row.of_nginx) else {
            return;
        };
        let from = earliest_end(row);
        let to = row.last_end().saturating_add(if row.is_late() { LATE_MAX } else { APART_MAX });
        let first = self.columns.partition_point(|column| column.span.end < from);
        let in_time = self.columns.iter().enumerate().skip(first).take_while(|(_, column)| column.span.end <= to);
        let fitting = in_time.filter(|(_, column)| !column.taken && row.asked.is_of(column.span));
        let mut nearest: Vec<(Nanos, usize, &SpanRow)> =
            fitting.map(|(at, column)| (row.distance(column.span), at, column.span)).collect();
        if nearest.len() > LOOKED_AT {
            nearest.select_nth_unstable_by_key(LOOKED_AT, |(distance, at, _)| (*distance, *at));
            nearest.truncate(LOOKED_AT);
        }
        let mut of_row: Vec<(f64, Candidate)> = nearest
            .into_iter()
            .filter_map(|(_, at, span)| {
                let candidate = candidate(index, row, at, span, delays)?;
                Some((candidate.likely(), candidate))
            })
            .collect();
        of_row.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.column.cmp(&other.1.column)));
        out.extend(of_row.into_iter().take(PAIRS_OF_ROW_MAX).map(|(_, candidate)| candidate));
    }

    fn solution(
        &self,
        candidates: &[Candidate],
        queues: &[Option<Queue>],
        explained: &[f64],
        served: &[Served],
    ) -> Vec<Found> {
        let mut strangers: Vec<Option<f64>> = vec![None; self.columns.len()];
        let mut found: Vec<Found> = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let Some(column) = self.columns.get(candidate.column) else { continue };
            let Some(known) = strangers.get_mut(candidate.column) else { continue };
            let rate = *known.get_or_insert_with(|| self.strangers(candidate.column, explained));
            let queue = queues.get(candidate.row).copied().flatten();
            // Strangers stand against the start, where that is known, else against the end.
            let (start, end) = match candidate.start {
                Some(alone) => {
                    let met = queue.map_or(alone, |queue| 0.3 * alone + 0.7 * queue.density(candidate.wait));
                    (met / rate, candidate.end)
                }
                None => (1.0, candidate.end / rate),
            };
            let status = candidate.status / self.status_of_strangers(column.span);
            let odds = Odds {
                end: end.ln() * TEMPER,
                start: start.ln(),
                status: status.ln(),
                worker: candidate.worker.ln(),
                arrival: candidate.arrival.ln(),
                order: self.order(candidate, served),
                rivals: 0.0,
            };
            if odds.weight() >= WEIGHT_MIN {
                found.push(Found { row: candidate.row, column: candidate.column, probability: 0.0, odds });
            }
        }
        let (rows, row_count) = numbered(found.iter().map(|one| one.row), self.rows.len());
        let (columns, column_count) = numbered(found.iter().map(|one| one.column), self.columns.len());
        let place = |numbers: &[usize], at: usize| numbers.get(at).copied().unwrap_or(0);
        let pairs: Vec<Pair> = found
            .iter()
            .map(|one| Pair {
                row: place(&rows, one.row),
                column: place(&columns, one.column),
                weight: one.odds.weight(),
            })
            .collect();
        for (one, probability) in found.iter_mut().zip(marginals(&pairs, row_count, column_count)) {
            one.probability = probability;
            one.odds.rivals = odds_of(probability).ln() - one.odds.weight().ln();
        }
        found
    }

    /// Requests that waited, and whose span is nearly sure, in the order in which they came.
    fn served(&self, found: &[Found]) -> Vec<Served> {
        let mut served: Vec<Served> = found
            .iter()
            .filter(|one| one.probability > TELLS_ORDER)
            .filter_map(|one| {
                let (row, column) = (self.rows.get(one.row)?, self.columns.get(one.column)?);
                let came = row.start.filter(|_| !row.is_coarse() && row.spare == 0)?.from;
                let began = column.span.start;
                (began.saturating_sub(came) > WAITED).then_some(Served { came, began, row: one.row })
            })
            .collect();
        served.sort_unstable_by_key(|one| (one.came, one.began, one.row));
        served
    }

    /// Whoever came first is accepted first: how many of those that came just before or after a request would have been
    /// served out of turn by this pair.
    fn order(&self, candidate: &Candidate, served: &[Served]) -> f64 {
        let (Some(row), Some(column)) = (self.rows.get(candidate.row), self.columns.get(candidate.column)) else {
            return 0.0;
        };
        let Some(start) = row.start.filter(|_| !row.is_coarse() && row.spare == 0) else { return 0.0 };
        if candidate.wait <= WAITED {
            return 0.0;
        }
        let place = served.partition_point(|one| one.came < start.from);
        let near = served.iter().skip(place.saturating_sub(IN_LINE)).take(2 * IN_LINE);
        let out_of_turn = near.filter(|one| one.row != candidate.row).filter(|one| {
            let (earlier, later) = (start.from.saturating_sub(one.came), column.span.start.saturating_sub(one.began));
            earlier.saturating_abs() > MILLISECOND
                && later.saturating_abs() > MILLISECOND
                && (earlier > 0) != (later > 0)
        });
        -OUT_OF_TURN * out_of_turn.count().min(IN_LINE) as f64
    }

    /// How many spans of others end each second about when this one does, of the same target.
    fn strangers(&self, index: usize, explained: &[f64]) -> f64 {
        let Some(of) = self.columns.get(index).map(|column| column.span) else { return 1.0 };
        let mut counts = [0.0; NEAR.len()];
        let mut count = |at: usize, column: &Column<'_>| {
            let apart = column.span.end.saturating_sub(of.end).saturating_abs();
            let unexplained = 1.0 - explained.get(at).copied().unwrap_or(0.0);
            if column.span.path == of.path && column.span.query == of.query && !column.taken {
                for (near, count) in NEAR.iter().zip(&mut counts) {
                    *count += if apart <= *near { unexplained } else { 0.0 };
                }
            }
            apart <= AROUND
        };
        let after = self.columns.iter().enumerate().skip(index + 1).take(COUNTED_MAX);
        let before = self.columns.iter().enumerate().take(index).rev().take(COUNTED_MAX);
        for (at, column) in after {
            if !count(at, column) {
                break;
            }
        }
        for (at, column) in before {
            if !count(at, column) {
                break;
            }
        }
        let each_second = |near: Nanos, count: f64| count / (2.0 * near as f64 / 1e9);
        let rates = NEAR.iter().zip(counts).map(|(near, count)| each_second(*near, count));
        let unseen = counts.last().map_or(UNSEEN, |count| count + UNSEEN);
        let rate = rates.fold(each_second(AROUND, unseen), f64::max);
        if self.has_good { rate * STRANGERS_OF_ALL } else { rate }
    }

    /// How usual the status of a span is among those of strangers.
    fn status_of_strangers(&self, span: &SpanRow) -> f64 {
        if span.failed() { STRANGERS_FAILED } else { 1.0 }
    }

    /// The queue that each row met, by its neighbours whose span is nearly sure and by those that were linked before.
    fn queues(&self, found: &[Found], delays: &Delays, queues: &mut [Option<Queue>]) {
        let begins = self.rows.iter().filter_map(|row| row.start).map(|start| start.from);
        let (Some(first), Some(last)) = (begins.clone().min(), begins.max()) else { return };
        let known: Vec<(Nanos, Nanos)> =
            delays.waits(first.saturating_sub(2 * SECOND), last.saturating_add(2 * SECOND)).collect();
        // Each row's own guess must not confirm itself.
        let mut guesses: Vec<(usize, Nanos, Nanos)> = Vec::new();
        for one in found.iter().filter(|one| one.probability > TELLS) {
            let (Some(row), Some(column)) = (self.rows.get(one.row), self.columns.get(one.column)) else { continue };
            let Some(start) = row.start.filter(|_| !row.is_coarse()) else { continue };
            guesses.push((one.row, start.from, column.span.start.saturating_sub(start.from)));
        }
        guesses.sort_unstable_by_key(|(row, at, _)| (*at, *row));
        let mut all: Vec<(Nanos, Nanos, Option<usize>)> = known.iter().map(|(at, wait)| (*at, *wait, None)).collect();
        all.extend(guesses.iter().map(|(row, at, wait)| (*at, *wait, Some(*row))));
        all.sort_unstable();
        for (index, (row, queue)) in self.rows.iter().zip(queues).enumerate() {
            let Some(start) = row.start.filter(|_| !row.is_coarse()) else { continue };
            let place = all.partition_point(|(at, ..)| *at < start.from);
            let near = all.iter().skip(place.saturating_sub(12)).take(24);
            let others: Vec<(Nanos, Nanos)> =
                near.filter(|(_, _, of)| *of != Some(index)).map(|(at, wait, _)| (*at, *wait)).collect();
            *queue = Queue::around(&others, start.from);
        }
    }
}

impl Odds {
    /// How much more likely the pair is than that the request has no span in view.
    fn weight(&self) -> f64 {
        (self.end + self.start + self.status + self.worker + self.arrival + self.order).exp()
    }
}

fn odds_of(probability: f64) -> f64 {
    let probability = probability.clamp(1e-9, 1.0 - 1e-9);
    probability / (1.0 - probability)
}

/// The members of a list that occur, numbered from 0, and how many there are.
fn numbered(members: impl Iterator<Item = usize>, count: usize) -> (Vec<usize>, usize) {
    let mut numbers = vec![usize::MAX; count];
    let mut next = 0;
    for member in members {
        if let Some(number) = numbers.get_mut(member).filter(|number| **number == usize::MAX) {
            *number = next;
            next += 1;
        }
    }
    (numbers, next)
}

/// How usual the duration of a span is among all: as many between 10 and 20 ms as between 1 and 2 s, a density for each
/// second.
fn density_of_duration(span: &SpanRow) -> f64 {
    let took = span.end.saturating_sub(span.start).max(0) as f64 / 1e9;
    1.0 / ((took + 0.003) * 4.0)
}

/// A pair with what speaks for it. Where the row may have been earlier or later, the better of both.
fn candidate(index: usize, row: &Row, at: usize, span: &SpanRow, delays: &Delays) -> Option<Candidate> {
    let early = candidate_of(index, row, at, span, delays);
    if row.spare == 0 {
        return early;
    }
    let later =
        |at: Interval| Interval { from: at.from.saturating_add(row.spare), to: at.to.saturating_add(row.spare) };
    let moved = Row { start: row.start.map(later), end: later(row.end), spare: 0, ..*row };
    let late = candidate_of(index, &moved, at, span, delays);
    let better = early.into_iter().chain(late).max_by(|one, other| one.likely().total_cmp(&other.likely()))?;
    Some(Candidate { end: better.end / 2.0, ..better })
}

fn candidate_of(index: usize, row: &Row, at: usize, span: &SpanRow, delays: &Delays) -> Option<Candidate> {
    if span.is_from_nginx() != row.of_nginx {
        return None;
    }
    let ahead = row.start.map_or(0, |start| start.from.saturating_sub(span.start));
    if ahead > BEFORE_MAX && !row.is_coarse() || ahead > APART_MAX {
        return None;
    }
    let end = (span.end.saturating_sub(row.end.to), span.end.saturating_sub(row.end.from));
    let (density_of_end, start, wait) = if row.of_nginx {
        let start = row.start.map(|start| sharp(apart(span.start, start)));
        (sharp(end) / if start.is_some() { density_of_duration(span) } else { 1.0 }, start, 0)
    } else {
        let wait = row.start.map(|start| apart(span.start, start));
        // Of a stamp of whole seconds the duration is known better than the start.
        let by_duration = |took: Nanos| {
            let longer = took.saturating_sub(span.end.saturating_sub(span.start));
            (longer, longer.saturating_add(MILLISECOND))
        };
        let known = if row.is_coarse() && !row.is_late() { row.took().map(by_duration) } else { wait };
        let start = known.map(|(from, to)| delays.start(from, to));
        let with_it = delays.end(end.0, end.1);
        let end = if start.is_none() {
            if row.is_late() { late(end, with_it) } else { with_it }
        } else {
            let share = ends_with_request(row.expected);
            let apart = if is_possible(row, end) { 1.0 - share } else { 1e-4 };
            share * with_it / density_of_duration(span) + apart
        };
        (end, start, wait.map_or(0, |(from, to)| from.midpoint(to)))
    };
    let (status, arrival) = fit_of_status(row, span);
    let share = delays.share_arrived() * arrival;
    Some(Candidate {
        row: index,
        column: at,
        end: density_of_end,
        start,
        wait,
        status,
        worker: fit_of_worker(row, span),
        arrival: share / (1.0 - share),
    })
}

fn apart(time: Nanos, since: Interval) -> (Nanos, Nanos) {
    (time.saturating_sub(since.to), time.saturating_sub(since.from))
}

/// nginx's module times its span by the clock that the access log has, in milliseconds.
fn sharp((from, to): (Nanos, Nanos)) -> f64 {
    let (from, to) = (from as f64 / 1e9 - 0.000_5, to as f64 / 1e9 + 0.000_5);
    let below = |x: f64| if x < 0.0 { 0.5 * (x / 0.000_4).exp() } else { 1.0 - 0.5 * (-x / 0.000_4).exp() };
    (below(to) - below(from)) / (to - from) + 1e-7
}

/// Where it is not known when the request began: the application goes on for a while that nobody knows.
fn late((_, to): (Nanos, Nanos), with_it: f64) -> f64 {
    let mean = |at: f64, length: f64| (-at / length).exp() / length;
    let after = to.max(0) as f64 / 1e9;
    let on = if to > 0 { 0.4 * mean(after, 0.7) + 0.35 * mean(after, 4.0) + 0.25 * mean(after, 20.0) } else { 0.0 };
    0.92 * on + 0.08 * with_it
}

/// The share of requests whose span ends with them. Others end when the application is done, which nginx did not wait for,
/// or was done before the connection was closed, or the answer was still being sent.
fn ends_with_request(expected: Expected) -> f64 {
    match expected {
        Expected::Late => 0.05,
        Expected::NoStatus | Expected::Never => 0.7,
        Expected::Finished => 0.9,
        Expected::SameStatus => 0.99,
    }
}

/// A span that does not end with its request ends before it, or after it where nginx gave up.
fn is_possible(row: &Row, (from, to): (Nanos, Nanos)) -> bool {
    if row.is_late() { to >= -BEFORE_MAX } else { from <= BEFORE_MAX }
}

/// How well the status of a span fits, and how much of such requests' spans arrives.
fn fit_of_status(row: &Row, span: &SpanRow) -> (f64, f64) {
    let same = span.status().is_some() && span.status() == row.status;
    let none = span.status().is_none();
    if row.of_nginx {
        return (if same { 0.97 } else { 0.01 }, 1.0);
    }
    match row.expected {
        Expected::SameStatus => (
            if same {
                0.96
            } else if none {
                0.02
            } else {
                0.005
            },
            1.0,
        ),
        // A header that nginx refuses, an answer before the body was read: the application was content.
        Expected::Finished => (
            if same || span.status == 413 {
                0.6
            } else if none {
                0.1
            } else {
                0.9
            },
            1.0,
        ),
        // Nobody was killed: what the application went on with ends some time.
        Expected::Late => (if none { 0.1 } else { 0.9 }, 1.0),
        // What an exception left has no status; a worker that was killed leaves nothing.
        Expected::NoStatus => (
            if none {
                0.8
            } else if same {
                0.2
            } else {
                0.01
            },
            0.6,
        ),
        Expected::Never => (0.001, 0.05),
    }
}

fn fit_of_worker(row: &Row, span: &SpanRow) -> f64 {
    match row.worker {
        Some(worker) if span.pid != 0 => {
            if span.pid == worker {
                4.0
            } else {
                0.02
            }
        }
        _ => 1.0,
    }
}

/// A span that ended before is not the row's: it may have ended at any time of its request where it left by an exception.
pub(super) fn earliest_end(row: &Row) -> Nanos {
    let begun = row.start.map_or(row.end.from, |start| start.from);
    row.end.from.min(begun).max(row.end.from.saturating_sub(LONGEST)).saturating_sub(APART_MAX)
}
