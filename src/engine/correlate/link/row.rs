//! What one attempt of a request shows of itself, to be compared with spans.

use super::Asked;
use crate::engine::causes::Expected;
use crate::engine::correlate::Interval;
use crate::engine::correlate::spans::SpanRow;
use crate::read::evidence::{Attempt, MILLISECOND, Nanos, NginxAccess};

/// Attempts of one request that are looked at, the last ones: nginx was seen to try nine times.
const ATTEMPTS_MAX: usize = 8;
/// Times in one access line may differ by so much more than rounding: nginx reads its clock once a turn.
const SLACK: Nanos = 5 * MILLISECOND;
/// A stamp coarser than this says nothing of milliseconds.
const COARSE: Nanos = 100 * MILLISECOND;

/// One attempt of a request, as its access line times it. All times are by the clock of the spans.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The request; attempts of one have the same.
    pub who: u64,
    /// What it asked for.
    pub asked: Asked,
    /// When it began; `None` where the line does not say how long it took.
    pub start: Option<Interval>,
    /// When it was over for nginx.
    pub end: Interval,
    /// Both may be so much later: the time that nginx had the request before, or after, its upstream had it. A body that
    /// came slowly was read before, one that left slowly was sent after, and nobody knows which.
    pub spare: Nanos,
    /// Status that nginx got, or gave.
    pub status: Option<u16>,
    /// The span that it leaves.
    pub expected: Expected,
    /// The worker that had it, where that is known.
    pub worker: Option<u32>,
    /// It is compared with spans of nginx itself, not of the application.
    pub of_nginx: bool,
}

impl Row {
    /// The stamp says nothing of milliseconds.
    pub fn is_coarse(&self) -> bool {
        self.end.to.saturating_sub(self.end.from) > COARSE
    }

    /// How long it took, where that is known better than when it was.
    pub fn took(&self) -> Option<Nanos> {
        self.start.map(|start| self.end.to.saturating_sub(start.to))
    }

    /// The latest end for nginx.
    pub fn last_end(&self) -> Nanos {
        self.end.to.saturating_add(self.spare)
    }

    /// How far a span is away, by what is better known of this row: where nginx gave up the end says nothing.
    pub fn distance(&self, span: &SpanRow) -> Nanos {
        match self.start.filter(|_| self.is_late() && !self.is_coarse()) {
            Some(start) => span.start.saturating_sub(start.to).saturating_abs(),
            None => span.end.saturating_sub(self.end.to).saturating_abs(),
        }
    }

    /// The application may go on when nginx has given up.
    pub fn is_late(&self) -> bool {
        self.expected == Expected::Late
    }
}

/// What an access line says of a request as a whole, without its attempts: nginx's own span is as long.
pub fn whole(who: u64, asked: Asked, at: Interval, access: &NginxAccess, expected: Expected) -> Row {
    let took = access.request_time.value().filter(|took| *took >= 0);
    let start = took.map(|took| at.earlier(took));
    Row { who, asked, start, end: at, spare: 0, status: Some(access.status), expected, worker: None, of_nginx: false }
}

/// The attempts of an access line, in order, each with the time that its own upstream took where the line tells it.
pub fn attempts(whole: Row, access: &NginxAccess) -> Vec<Row> {
    let last = access.attempts.last();
    let times: Option<Vec<Nanos>> =
        access.attempts.iter().map(|attempt| attempt.response_time.value().filter(|time| *time >= 0)).collect();
    let (Some(times), Some(start)) = (times, whole.start) else { return vec![whole] };
    let tried: Nanos = times.iter().fold(0, |sum, time| sum.saturating_add(*time));
    let left = whole.took().unwrap_or(0).saturating_sub(tried);
    if last.is_none() || left < -SLACK {
        return vec![whole];
    }
    let spare = if left > SLACK { left } else { 0 };
    let mut rows = Vec::with_capacity(times.len());
    let mut until_end = tried;
    for (attempt, time) in access.attempts.iter().zip(&times) {
        let is_last = rows.len() + 1 == times.len();
        let begin = whole.end.earlier(until_end.saturating_add(spare));
        until_end = until_end.saturating_sub(*time);
        let end = whole.end.earlier(until_end.saturating_add(spare));
        // The first begins with the request as well as anybody can tell.
        let start = if rows.is_empty() { start } else { begin };
        let (status, expected) = if is_last { (whole.status, whole.expected) } else { of_failed(attempt) };
        rows.push(Row { start: Some(start), end, spare, status, expected, ..whole });
    }
    let first = rows.len().saturating_sub(ATTEMPTS_MAX);
    rows.split_off(first)
}

/// An attempt after which nginx asked another server: what it left in the application.
fn of_failed(attempt: &Attempt) -> (Option<u16>, Expected) {
    let status = attempt.status.value();
    let expected = match (status, attempt.header_time.value().is_some()) {
        (_, true) => Expected::SameStatus,
        (Some(504), false) => Expected::Late,
        // Nothing was connected to.
        _ if attempt.connect_time.is_dash() => Expected::Never,
        _ => Expected::NoStatus,
    };
    (status, expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::evidence::Logged;

    /// `status time` of each attempt; start, end and expectation of each row, in milliseconds of the request.
    fn check(took: Nanos, tried: &[(u16, Nanos)], expected: &str) {
        let attempts_of = |(status, time): &(u16, Nanos)| Attempt {
            status: Logged::Value(*status),
            connect_time: Logged::Value(0),
            response_time: Logged::Value(time * MILLISECOND),
            ..Attempt::default()
        };
        let access = NginxAccess {
            status: 502,
            request_time: Logged::Value(took * MILLISECOND),
            attempts: tried.iter().map(attempts_of).collect(),
            ..NginxAccess::default()
        };
        let at = Interval { from: took * MILLISECOND, to: took * MILLISECOND };
        let asked = Asked { path: 1, query: 0, method: 1 };
        let rows = attempts(whole(0, asked, at, &access, Expected::NoStatus), &access);
        let told: Vec<String> = rows
            .iter()
            .map(|row| {
                let start = row.start.expect("a start");
                let ms = |at: Interval| at.from / MILLISECOND;
                let spare = if row.spare == 0 { String::new() } else { format!("+{}", row.spare / MILLISECOND) };
                format!("{}-{}{spare} {:?}", ms(start), ms(row.end), row.expected)
            })
            .collect();
        assert_eq!(told.join(", "), expected);
    }

    #[test]
    fn each_attempt_has_its_own_time() {
        check(100, &[(502, 100)], "0-100 NoStatus");
        check(101, &[(502, 100)], "0-101 NoStatus");
        check(100, &[(502, 20), (504, 50), (502, 30)], "0-20 NoStatus, 20-70 Late, 70-100 NoStatus");
        check(1_000, &[(502, 20)], "0-20+980 NoStatus");
        check(100, &[], "0-100 NoStatus");
        check(100, &[(502, 900)], "0-100 NoStatus");
    }
}
