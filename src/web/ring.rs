//! The newest verdicts, bounded.

use crate::engine::verdict::Verdict;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Verdicts that a watcher may lag behind.
const LAG_MAX: usize = 1_024;

/// The newest verdicts; clones share them.
#[derive(Clone, Debug)]
pub struct Ring {
    verdicts: Arc<Mutex<VecDeque<Arc<Verdict>>>>,
    limit: usize,
    news: broadcast::Sender<Arc<Verdict>>,
}

impl Ring {
    /// A ring of at most so many.
    pub fn new(limit: usize) -> Ring {
        Ring { verdicts: Arc::default(), limit: limit.max(1), news: broadcast::Sender::new(LAG_MAX) }
    }

    /// Adds a verdict; a later revision takes the place of an earlier one.
    pub fn publish(&self, verdict: Arc<Verdict>) {
        {
            let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            if verdict.revision > 0 {
                verdicts.retain(|known| known.uid != verdict.uid);
            }
            if verdicts.len() == self.limit {
                verdicts.pop_front();
            }
            verdicts.push_back(Arc::clone(&verdict));
        }
        // Without watchers nobody takes it, which is no error.
        let _ = self.news.send(verdict);
    }

    /// Newest first.
    pub fn newest(&self) -> Vec<Arc<Verdict>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    /// One verdict by uid.
    pub fn get(&self, uid: &str) -> Option<Arc<Verdict>> {
        self.verdicts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .rev()
            .find(|verdict| verdict.uid == uid)
            .cloned()
    }

    /// What is published from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Verdict>> {
        self.news.subscribe()
    }
}
