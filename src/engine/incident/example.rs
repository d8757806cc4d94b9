//! Failures of an incident that are shown.

use super::EXAMPLES_MAX;
use crate::engine::causes::Cause;
use crate::engine::verdict::Verdict;
use crate::read::evidence::{Nanos, TraceContext};
use crate::read::text::{printable, shortened};

/// Characters of a target.
const TARGET_CHARS_MAX: usize = 160;

/// One failure of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Its uid: `why502.request.uid`.
    pub uid: String,
    /// When it failed.
    pub time: Nanos,
    /// Status that the client got; `None` where none is known.
    pub status: Option<u16>,
    /// Request method, printable; empty when unknown.
    pub method: String,
    /// Path and query, printable and cut to what can be read; empty when unknown.
    pub target: String,
    /// Why it failed.
    pub cause: &'static Cause,
    /// Its trace.
    pub trace: Option<TraceContext>,
}

impl Example {
    fn of(verdict: &Verdict) -> Example {
        Example {
            uid: verdict.uid.clone(),
            time: verdict.time,
            status: verdict.status,
            method: printable(&verdict.method),
            target: shortened(&printable(&verdict.target), TARGET_CHARS_MAX),
            cause: verdict.cause,
            trace: verdict.link.trace,
        }
    }

    fn is_request(&self) -> bool {
        self.status.is_some() || !self.target.is_empty()
    }
}

/// Shows a verdict where it tells more than what is shown: another cause, a request, a trace.
pub(super) fn show(examples: &mut Vec<Example>, verdict: &Verdict) {
    let has_cause = examples.iter().any(|example| example.cause == verdict.cause);
    if examples.len() < EXAMPLES_MAX {
        // One that joins no request has little to show beside another of its cause.
        if verdict.is_request() || !has_cause {
            examples.push(Example::of(verdict));
        }
        return;
    }
    let same = |example: &Example| example.cause == verdict.cause;
    let count = |of: &Example| examples.iter().filter(|example| example.cause == of.cause).count();
    let weaker = examples.iter().rposition(|example| {
        let is_spare = count(example) > 1 && !has_cause && verdict.is_request();
        let has_less = verdict.is_request() && !example.is_request()
            || verdict.link.trace.is_some()
                && example.trace.is_none()
                && (example.is_request() <= verdict.is_request());
        is_spare || same(example) && has_less
    });
    if let Some(place) = weaker.and_then(|index| examples.get_mut(index)) {
        *place = Example::of(verdict);
    }
}

/// Late evidence changed a verdict that may be shown.
pub(super) fn revise(examples: &mut [Example], verdict: &Verdict) {
    if let Some(place) = examples.iter_mut().find(|example| example.uid == verdict.uid) {
        *place = Example::of(verdict);
    }
}
