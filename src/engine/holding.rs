//! Records and spans that wait: each is released exactly once, those of one source in their order.

use super::verdict::{Ticket, Verdict};
use super::{Engine, Output};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Held {
    pub(super) lane: Option<u64>,
    pub(super) resolved: Option<Option<Arc<Verdict>>>,
}

impl Engine {
    pub(super) fn hold(&mut self, ticket: Ticket, lane: Option<u64>) {
        self.held.insert(ticket, Held { lane, resolved: None });
        if let Some(lane) = lane {
            self.lanes.entry(lane).or_default().push_back(ticket);
        }
    }

    /// The record may go on, in its turn: those of its source that came before it go first.
    pub(super) fn resolve(&mut self, ticket: Ticket, verdict: Option<Arc<Verdict>>) {
        let Some(held) = self.held.get_mut(&ticket) else { return };
        if held.resolved.is_some() {
            return;
        }
        let Some(lane) = held.lane else {
            self.held.remove(&ticket);
            self.outputs.push_back(Output::Release { ticket, verdict });
            return;
        };
        held.resolved = Some(verdict);
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        while let Some(first) = queue.front().copied() {
            match self.held.get(&first).map(|held| held.resolved.clone()) {
                Some(None) => break,
                Some(Some(verdict)) => {
                    self.held.remove(&first);
                    self.outputs.push_back(Output::Release { ticket: first, verdict });
                    queue.pop_front();
                }
                None => {
                    queue.pop_front();
                }
            }
        }
        if queue.is_empty() {
            self.lanes.remove(&lane);
        }
    }
}
