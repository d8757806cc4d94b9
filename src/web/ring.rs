//! The newest verdicts and incidents, bounded.

use crate::engine::incident::Incident;
use crate::engine::verdict::Verdict;
use crate::web::details::Details;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Verdicts, and incidents, that a watcher may lag behind.
const LAG_MAX: usize = 1_024;
/// Incidents that are kept: a few KiB each, and seldom a hundred a day.
const INCIDENTS_MAX: usize = 1_000;

/// What has a uid and is told of more than once.
pub trait Kept {
    /// Its uid.
    fn uid(&self) -> &str;
    /// Raised each time that it is told of.
    fn revision(&self) -> u32;
}

impl Kept for Verdict {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn revision(&self) -> u32 {
        self.revision
    }
}

impl Kept for Incident {
    fn uid(&self) -> &str {
        &self.label.uid
    }

    fn revision(&self) -> u32 {
        self.revision
    }
}

/// The newest of a kind; clones share them.
#[derive(Debug)]
pub struct Newest<T> {
    kept: Arc<Mutex<VecDeque<Arc<T>>>>,
    limit: usize,
    news: broadcast::Sender<Arc<T>>,
}

impl<T> Clone for Newest<T> {
    fn clone(&self) -> Self {
        Newest { kept: Arc::clone(&self.kept), limit: self.limit, news: self.news.clone() }
    }
}

impl<T: Kept> Newest<T> {
    fn new(limit: usize) -> Newest<T> {
        Newest { kept: Arc::default(), limit: limit.max(1), news: broadcast::Sender::new(LAG_MAX) }
    }

    /// Adds one; a later revision takes the place of an earlier one.
    pub fn publish(&self, one: Arc<T>) {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if one.revision() > 0 {
                kept.retain(|known| known.uid() != one.uid());
            }
            if kept.len() == self.limit {
                kept.pop_front();
            }
            kept.push_back(Arc::clone(&one));
        }
        // Without watchers nobody takes it, which is no error.
        let _ = self.news.send(one);
    }

    /// Newest first.
    pub fn newest(&self) -> Vec<Arc<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    /// One by its uid.
    pub fn get(&self, uid: &str) -> Option<Arc<T>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|one| one.uid() == uid).cloned()
    }

    /// What is published from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<T>> {
        self.news.subscribe()
    }
}

/// The newest verdicts and incidents; clones share them.
#[derive(Clone, Debug)]
pub struct Ring {
    /// The verdicts.
    pub verdicts: Newest<Verdict>,
    /// The incidents.
    pub incidents: Newest<Incident>,
    /// What the page keeps beside them; nothing until it is switched on.
    pub details: Details,
}

impl Ring {
    /// A ring of at most so many verdicts.
    pub fn new(limit: usize) -> Ring {
        Ring { verdicts: Newest::new(limit), incidents: Newest::new(INCIDENTS_MAX), details: Details::default() }
    }

    /// The same for a page that will be served.
    pub fn with_details(self) -> Ring {
        Ring { details: Details::on(), ..self }
    }

    /// Adds a verdict.
    pub fn publish(&self, verdict: Arc<Verdict>) {
        self.verdicts.publish(verdict);
    }

    /// Adds what became of an incident.
    pub fn publish_incident(&self, incident: Arc<Incident>) {
        self.incidents.publish(incident);
    }
}
