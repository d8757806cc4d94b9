//! What is counted of an incident: bounded, whatever its requests ask for.

use super::route::route;
use crate::engine::causes::Cause;
use crate::engine::verdict::Verdict;
use crate::read::text::{shortened, shown};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Routes of one incident that are counted by themselves; the others are counted together.
const PATHS_MAX: usize = 32;
/// Upstreams of one incident, the same.
const UPSTREAMS_MAX: usize = 16;
/// Statuses of one incident, the same: 499 to 599 and a truncated 200 are few.
const STATUSES_MAX: usize = 16;
/// Characters of an upstream.
const UPSTREAM_CHARS_MAX: usize = 120;

/// Counts by key; keys past a limit are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts<K> {
    known: BTreeMap<K, u64>,
    /// Those whose key came past the limit.
    pub others: u64,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Counts { known: BTreeMap::new(), others: 0 }
    }
}

impl<K: Ord + Clone> Counts<K> {
    fn add(&mut self, key: K, limit: usize) {
        if let Some(count) = self.known.get_mut(&key) {
            *count += 1;
        } else if self.known.len() < limit {
            self.known.insert(key, 1);
        } else {
            self.others += 1;
        }
    }

    fn remove(&mut self, key: &K) {
        let Some(count) = self.known.get_mut(key) else {
            self.others = self.others.saturating_sub(1);
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.known.remove(key);
        }
    }

    /// Key and count, the most frequent first; at equal counts in the order of the keys.
    pub fn rows(&self) -> Vec<(K, u64)> {
        let mut rows: Vec<(K, u64)> = self.known.iter().map(|(key, count)| (key.clone(), *count)).collect();
        rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        rows
    }

    /// All that were counted.
    pub fn total(&self) -> u64 {
        self.known.values().sum::<u64>() + self.others
    }
}

impl Counts<String> {
    /// Copies the text where it is new.
    fn add_text(&mut self, text: &str, limit: usize) {
        if let Some(count) = self.known.get_mut(text) {
            *count += 1;
        } else if self.known.len() < limit {
            self.known.insert(text.to_owned(), 1);
        } else {
            self.others += 1;
        }
    }
}

/// Counts of one incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Failed requests.
    pub requests: u64,
    /// Failures that join no request: a worker's end, a Gunicorn that cannot start.
    pub failures: u64,
    /// Both, by the id of their cause.
    pub causes: Counts<&'static str>,
    /// Requests by route.
    pub paths: Counts<String>,
    /// Requests by the last peer that was tried.
    pub upstreams: Counts<String>,
    /// Requests by the status that the client got.
    pub statuses: Counts<u16>,
}

impl Tally {
    /// Counts a verdict.
    pub(super) fn add(&mut self, verdict: &Verdict) {
        if verdict.is_request() {
            self.requests += 1;
        } else {
            self.failures += 1;
        }
        // As many as there are causes.
        self.causes.add(verdict.cause.id, usize::MAX);
        if let Some(path) = path_of(verdict) {
            self.paths.add_text(&path, PATHS_MAX);
        }
        if let Some(upstream) = upstream_of(verdict) {
            self.upstreams.add_text(&upstream, UPSTREAMS_MAX);
        }
        if let Some(status) = verdict.status {
            self.statuses.add(status, STATUSES_MAX);
        }
    }

    /// Counts a verdict no longer: late evidence changed it.
    pub(super) fn remove(&mut self, verdict: &Verdict) {
        if verdict.is_request() {
            self.requests = self.requests.saturating_sub(1);
        } else {
            self.failures = self.failures.saturating_sub(1);
        }
        self.causes.remove(&verdict.cause.id);
        if let Some(path) = path_of(verdict) {
            self.paths.remove(&path);
        }
        if let Some(upstream) = upstream_of(verdict) {
            self.upstreams.remove(&upstream.into_owned());
        }
        if let Some(status) = verdict.status {
            self.statuses.remove(&status);
        }
    }

    /// How often a cause was named.
    pub fn of(&self, cause: &Cause) -> u64 {
        self.causes.known.get(cause.id).copied().unwrap_or_default()
    }

    /// All verdicts.
    pub fn total(&self) -> u64 {
        self.requests + self.failures
    }
}

fn path_of(verdict: &Verdict) -> Option<String> {
    (!verdict.target.is_empty()).then(|| route("", &verdict.target))
}

fn upstream_of(verdict: &Verdict) -> Option<Cow<'_, str>> {
    let upstream = shown(verdict.upstream.as_deref()?);
    // No character has less than a byte.
    let is_short = upstream.len() <= UPSTREAM_CHARS_MAX;
    Some(if is_short { upstream } else { Cow::Owned(shortened(&upstream, UPSTREAM_CHARS_MAX)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_past_the_limit_are_counted_together() {
        let mut counts = Counts::default();
        for key in [1, 1, 2, 3, 3, 3] {
            counts.add(key, 2);
        }
        assert_eq!((counts.rows(), counts.others, counts.total()), (vec![(1, 2), (2, 1)], 3, 6));
        counts.remove(&3);
        counts.remove(&2);
        assert_eq!((counts.rows(), counts.others, counts.total()), (vec![(1, 2)], 2, 4));
    }
}
