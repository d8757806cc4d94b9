//! Did the request wait in the queue until nginx gave up, because all workers were busy?

use super::questions::Workers;
use super::{Case, seconds};
use crate::engine::correlate::link::Asked;
use crate::read::evidence::{Nanos, SECOND, Symptom};
use std::collections::{BTreeMap, BTreeSet};

/// So many different paths time out together before it is no longer one slow view.
const PATHS_MIN: usize = 4;
/// Failures around a request that are asked for their paths: the newest of a storm.
const PATHS_LOOKED_AT: usize = 1_024;
/// A span that begins within this time of its request did not wait in the queue.
const AT_ONCE: Nanos = SECOND / 4;
/// Workers that are ended for taking too long within this time of a request were busy while it waited: nginx waits 60 s by
/// default, and Gunicorn lets a worker be busy for 30 s.
const STUCK_FOR: Nanos = 30 * SECOND;
/// A span of a request that waited may come so long after nginx gave up.
const GHOST_AFTER_MAX: Nanos = 20 * SECOND;

/// What says that a request waited for a worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// Its span began so long after it.
    LateSpan(Nanos),
    /// More requests waited together than there are sync workers.
    MoreThanWorkers {
        /// Requests that gave up together.
        together: usize,
        /// Sync workers.
        workers: usize,
    },
    /// All sync workers were ended for taking too long around this time.
    AllTimedOut {
        /// Workers that there were.
        workers: usize,
        /// One of them had this very request in the end.
        had_it: bool,
    },
    /// The application began with such a request only after nginx gave up.
    OnlyLateSpans,
    /// So many different paths timed out together.
    Paths {
        /// How many.
        count: usize,
        /// Others were served in the same second.
        others_served: bool,
    },
    /// Nothing says so, and nothing against it.
    Unsaid,
}

impl Wait {
    /// True where the signs of a full queue outweigh those of one slow request.
    pub fn fills_queue(self) -> bool {
        !matches!(self, Wait::Unsaid | Wait::Paths { others_served: true, .. })
    }

    /// What says so in words; `None` where nothing does.
    pub fn words(self) -> Option<String> {
        Some(match self {
            Wait::LateSpan(waited) => format!("its span starts {} s after the request", seconds(waited)),
            Wait::MoreThanWorkers { together, workers } => {
                format!("{together} requests waited together for {workers} sync workers")
            }
            Wait::AllTimedOut { workers: 1, .. } => {
                "its only sync worker was busy with a request for which Gunicorn ended it".to_owned()
            }
            Wait::AllTimedOut { workers, .. } => {
                format!("all {workers} sync workers were busy with requests for which Gunicorn ended them")
            }
            Wait::OnlyLateSpans => "the application began with such a request only after nginx gave up".to_owned(),
            Wait::Paths { count, .. } => format!("{count} different paths timed out within 5 s"),
            Wait::Unsaid => return None,
        })
    }
}

impl Case<'_> {
    /// The path, without its query, of the requests for which Gunicorn ended most workers around this one's wait; none where
    /// its log names no request.
    pub fn kept_workers_busy(&self) -> Option<String> {
        let instance = self.instance?;
        let waited = self.response_time().unwrap_or(STUCK_FOR).max(STUCK_FOR);
        let mut paths: BTreeMap<&str, usize> = BTreeMap::new();
        for death in self.deaths().rev().take(512) {
            let around = death.from.near(self.at, -waited, waited);
            let target = death.request.as_deref().filter(|target| !target.is_empty());
            if let Some(target) = target.filter(|_| death.source == instance.source && death.timed_out && around) {
                *paths.entry(target.split('?').next().unwrap_or(target)).or_default() += 1;
            }
        }
        let most = paths.into_iter().max_by_key(|(_, count)| *count)?;
        Some(most.0.to_owned())
    }

    /// What says that a request whose read timer ran out waited for a worker.
    pub fn wait_for_worker(&self) -> Wait {
        if let Some(waited) = waited_in_queue(self) {
            return Wait::LateSpan(waited);
        }
        if let Some(wait) = all_timed_out(self) {
            return wait;
        }
        if let Some(wait) = more_than_workers(self) {
            return wait;
        }
        if only_late_spans(self) {
            return Wait::OnlyLateSpans;
        }
        let paths: BTreeSet<u64> = self
            .failures_around(Symptom::ResponseTimedOut, 5)
            .take(PATHS_LOOKED_AT)
            .map(|failure| failure.path)
            .filter(|path| *path != 0)
            .collect();
        match paths.len() {
            count if count < PATHS_MIN => Wait::Unsaid,
            count => Wait::Paths { count, others_served: self.others_are_served(0) },
        }
    }
}

/// A sync worker has one request at a time: of more requests that waited together than there are workers, the rest was
/// in the queue.
fn more_than_workers(case: &Case<'_>) -> Option<Wait> {
    let instance = case.instance.filter(|_| case.workers() == Workers::Sync)?;
    let workers = instance.crew.size_at(case.at)?;
    // Where the log does not tell: those that gave up in one second had waited for the same read timer.
    let took = case.response_time().unwrap_or(SECOND);
    // All of them were waiting when the first of them gave up.
    let together = case
        .failures()
        .filter(|failure| {
            failure.symptom == Symptom::ResponseTimedOut
                && Some(&*failure.upstream) == case.upstream
                && failure.at.distance(case.at) < took
        })
        .count();
    (workers > 0 && together >= 2 * workers).then_some(Wait::MoreThanWorkers { together, workers })
}

/// Each sync worker was stuck in a request and ended for it around the wait: whoever came then waited for all of them. Of
/// one that Gunicorn names right away, its worker had it from the start.
fn all_timed_out(case: &Case<'_>) -> Option<Wait> {
    let instance = case.instance.filter(|_| case.workers() == Workers::Sync)?;
    let waited = case.response_time().unwrap_or(STUCK_FOR).max(STUCK_FOR);
    let (from, to) = (case.at.from.saturating_sub(waited), case.at.to.saturating_add(waited));
    let workers = instance.crew.most_between(from, case.at.to);
    let mut stuck: BTreeSet<u32> = BTreeSet::new();
    let mut had_it = false;
    for death in case.deaths().rev().take(512) {
        let around = death.from.from >= from && death.from.from <= to;
        if death.source != instance.source || !death.timed_out || !around {
            continue;
        }
        stuck.insert(death.worker);
        if death.request.as_deref().is_some_and(|target| target == case.target()) {
            // It was with a worker when nginx gave up, or just before: no sign of a wait.
            if death.from.distance(case.at) <= SECOND {
                return None;
            }
            had_it = true;
        }
    }
    let named = case.deaths().rev().take(512).any(|death| death.timed_out && death.request.is_some());
    let alone = !named && case.failures_around(Symptom::ResponseTimedOut, 5).count() <= workers;
    (workers > 0 && stuck.len() >= workers && !alone).then_some(Wait::AllTimedOut { workers, had_it })
}

/// How long the request waited before its span began, when that is most of its time.
fn waited_in_queue(case: &Case<'_>) -> Option<Nanos> {
    let access = case.request.access.as_ref()?;
    let took = access.what.request_time.value()?;
    let trace = case.request.trace?;
    let began = access.at.from.saturating_sub(took);
    let asked = Asked::of(case.request);
    let span = case
        .sight
        .spans_of_trace(&trace.trace_id)
        .find(|(_, span)| span.is_server() && !span.is_from_nginx() && asked.is_of(span))?;
    let waited = span.1.start.saturating_sub(began);
    (waited > took / 2 && waited > AT_ONCE).then_some(waited)
}

/// Without a trace id: spans of this target begin after nginx gave up, and none when the request came.
fn only_late_spans(case: &Case<'_>) -> bool {
    let Some(access) = &case.request.access else { return false };
    let Some(took) = access.what.request_time.value().filter(|_| access.what.exact_time) else { return false };
    if case.request.trace.is_some() {
        return false;
    }
    let (began, gave_up) = (access.at.from.saturating_sub(took), access.at.from);
    let mut late = false;
    for (_, span) in case.spans_asked(began, gave_up.saturating_add(GHOST_AFTER_MAX)) {
        if !span.is_server() || span.is_from_nginx() {
            continue;
        }
        if span.start >= began.saturating_sub(AT_ONCE) && span.start <= began.saturating_add(AT_ONCE) {
            return false;
        }
        late |= span.start > began.saturating_add(took / 2);
    }
    late
}
