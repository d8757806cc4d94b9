//! What probes are told of the pipeline: does its engine live, and is there room for what comes.

use super::{Shared, correlator::Message};
use crate::exporter::{Exporter, Outlet};
use crate::receiver::kafka::State;
use crate::web::probes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

/// Looks at the pipeline from outside.
#[derive(Debug)]
pub struct Subject {
    pub(super) shared: Arc<Shared>,
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) exporters: Vec<Arc<Exporter>>,
    /// Receivers that ask for data instead of listening.
    pub(super) sources: Vec<Arc<State>>,
}

impl probes::Subject for Subject {
    fn dead(&self) -> Option<String> {
        // At the end of a shutdown it is closed as well.
        let is_over = self.messages.is_closed() && !self.shared.draining.load(Ordering::Relaxed);
        is_over.then(|| "the engine has ended; only a restart helps".to_owned())
    }

    fn busy(&self) -> Option<String> {
        let shared = &self.shared;
        if shared.draining.load(Ordering::Relaxed) {
            return Some("shutting down".to_owned());
        }
        if let Some(trouble) = self.sources.iter().find_map(|source| source.trouble()) {
            return Some(trouble);
        }
        // What it refuses, all senders of its backends are asked to send again.
        let journal =
            self.exporters.iter().filter_map(|exporter| exporter.account()).find_map(|account| account.journal());
        if let Some(why) = journal.and_then(|(journal, _)| journal.trouble()) {
            return Some(format!("{why}; senders are asked to come back"));
        }
        if let Some(full) = self.exporters.iter().find(|exporter| exporter.is_full()) {
            return Some(format!("the queue of exporters::{} is full; senders are asked to come back", full.name));
        }
        if shared.held_bytes.load(Ordering::Relaxed) >= shared.held_bytes_max {
            let text =
                "as many records wait for their verdict as `limits::held_bytes` allows; senders are asked to come back";
            return Some(text.to_owned());
        }
        (self.messages.capacity() == 0).then(|| "the engine is behind; senders are asked to come back".to_owned())
    }
}
