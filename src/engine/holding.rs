//! Records and spans that wait: each is released exactly once, those of one stream in their order.

use super::Output;
use super::verdict::{Ticket, Verdict};
use crate::read::maps::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
struct Held {
    lane: Option<u64>,
    /// What it goes on with, where it may go on and waits for others of its stream.
    resolved: Option<Option<Arc<Verdict>>>,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Holding {
    held: HashMap<Ticket, Held>,
    /// Tickets of one stream in the order in which they came.
    lanes: HashMap<u64, VecDeque<Ticket>>,
}

impl Holding {
    /// Holds a record in the order of its stream, or a span, which has none.
    pub(super) fn hold(&mut self, ticket: Ticket, lane: Option<u64>) {
        self.held.insert(ticket, Held { lane, resolved: None });
        if let Some(lane) = lane {
            self.lanes.entry(lane).or_default().push_back(ticket);
        }
    }

    /// True for what waits.
    pub(super) fn has(&self, ticket: Ticket) -> bool {
        self.held.contains_key(&ticket)
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.held.len()
    }

    /// It may go on, in its turn: those of its stream that came before it go first. What is not held, or may go on
    /// already, stays as it is.
    pub(super) fn resolve(&mut self, ticket: Ticket, verdict: Option<Arc<Verdict>>, outputs: &mut VecDeque<Output>) {
        let Some(held) = self.held.get_mut(&ticket) else { return };
        if held.resolved.is_some() {
            return;
        }
        let Some(lane) = held.lane else {
            self.held.remove(&ticket);
            outputs.push_back(Output::Release { ticket, verdict });
            return;
        };
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        if queue.front() != Some(&ticket) {
            held.resolved = Some(verdict);
            return;
        }
        queue.pop_front();
        self.held.remove(&ticket);
        outputs.push_back(Output::Release { ticket, verdict });
        // Those behind it that waited for it alone.
        while let Some(next) = queue.front().copied() {
            if self.held.get(&next).is_some_and(|held| held.resolved.is_none()) {
                return;
            }
            queue.pop_front();
            if let Some(Held { resolved: Some(verdict), .. }) = self.held.remove(&next) {
                outputs.push_back(Output::Release { ticket: next, verdict });
            }
        }
        self.lanes.remove(&lane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(outputs: &mut VecDeque<Output>) -> Vec<u64> {
        let number = |output| match output {
            Output::Release { ticket, .. } => ticket.0,
            Output::Verdict(_) | Output::Incident(_) | Output::Good(_) => 0,
        };
        outputs.drain(..).map(number).collect()
    }

    #[test]
    fn records_of_one_stream_go_on_in_order_and_those_of_others_do_not_wait() {
        let (mut holding, mut outputs) = (Holding::default(), VecDeque::new());
        for (ticket, lane) in [(1, Some(7)), (2, Some(7)), (3, Some(8)), (4, None), (5, Some(7))] {
            holding.hold(Ticket(ticket), lane);
        }
        let mut resolve = |ticket| {
            holding.resolve(Ticket(ticket), None, &mut outputs);
            released(&mut outputs)
        };
        assert_eq!(resolve(2), Vec::<u64>::new());
        assert_eq!(resolve(3), [3]);
        assert_eq!(resolve(4), [4]);
        assert_eq!(resolve(1), [1, 2]);
        assert_eq!(resolve(1), Vec::<u64>::new(), "once");
        assert_eq!(resolve(5), [5]);
        assert_eq!(holding.count(), 0);
    }
}
