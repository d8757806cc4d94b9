//! Records and spans that wait: each is released exactly once, those of one stream in their order.

use super::Output;
use super::verdict::{Ticket, Verdict};
use crate::read::maps::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// One record that waits in its stream.
#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    /// What it goes on with, where it may go on and waits for others of its stream.
    resolved: Option<Option<Arc<Verdict>>>,
}

/// What waits of one stream, in the order in which it came.
#[derive(Debug)]
struct Lane {
    stream: u64,
    waiting: VecDeque<Waiting>,
    /// Each ticket is greater than those before it, so that one is found without a look at all.
    is_sorted: bool,
}

impl Lane {
    fn find(&mut self, ticket: Ticket) -> Option<&mut Waiting> {
        let index = if self.is_sorted {
            self.waiting.partition_point(|waiting| waiting.ticket < ticket)
        } else {
            self.waiting.iter().position(|waiting| waiting.ticket == ticket)?
        };
        self.waiting.get_mut(index).filter(|waiting| waiting.ticket == ticket)
    }
}

/// Numbers a lane; a span has none.
const NO_LANE: u32 = u32::MAX;

/// What waits. Thousands do, and each is asked for again when it has gone cold: a map of tickets has no more than it must.
#[derive(Debug, Default)]
pub(super) struct Holding {
    /// In which lane a ticket waits.
    held: HashMap<Ticket, u32>,
    lanes: Vec<Option<Lane>>,
    /// Numbers of lanes that are not in use.
    free: Vec<u32>,
    by_stream: HashMap<u64, u32>,
}

impl Holding {
    /// Holds a record in the order of its stream, or a span, which has none.
    pub(super) fn hold(&mut self, ticket: Ticket, stream: Option<u64>) {
        let number = stream.map_or(NO_LANE, |stream| self.lane_of(stream));
        self.held.insert(ticket, number);
        if let Some(lane) = lane_at(&mut self.lanes, number) {
            lane.is_sorted &= lane.waiting.back().is_none_or(|last| last.ticket < ticket);
            lane.waiting.push_back(Waiting { ticket, resolved: None });
        }
    }

    fn lane_of(&mut self, stream: u64) -> u32 {
        if let Some(number) = self.by_stream.get(&stream) {
            return *number;
        }
        let lane = Lane { stream, waiting: VecDeque::new(), is_sorted: true };
        let number = self.free.pop().unwrap_or_else(|| {
            self.lanes.push(None);
            u32::try_from(self.lanes.len() - 1).unwrap_or(NO_LANE)
        });
        if let Some(place) = self.lanes.get_mut(number as usize) {
            *place = Some(lane);
        }
        self.by_stream.insert(stream, number);
        number
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
        let Some(number) = self.held.get(&ticket).copied() else { return };
        let Some(lane) = lane_at(&mut self.lanes, number) else {
            self.held.remove(&ticket);
            outputs.push_back(Output::Release { ticket, verdict });
            return;
        };
        if lane.waiting.front().is_none_or(|first| first.ticket != ticket) {
            if let Some(waiting) = lane.find(ticket).filter(|waiting| waiting.resolved.is_none()) {
                waiting.resolved = Some(verdict);
            }
            return;
        }
        lane.waiting.pop_front();
        self.held.remove(&ticket);
        outputs.push_back(Output::Release { ticket, verdict });
        // Those behind it that waited for it alone.
        while lane.waiting.front().is_some_and(|next| next.resolved.is_some())
            && let Some(next) = lane.waiting.pop_front()
        {
            self.held.remove(&next.ticket);
            outputs.push_back(Output::Release { ticket: next.ticket, verdict: next.resolved.flatten() });
        }
        if lane.waiting.is_empty() {
            self.by_stream.remove(&lane.stream);
            self.free.push(number);
            if let Some(place) = self.lanes.get_mut(number as usize) {
                *place = None;
            }
            if self.held.is_empty() {
                (self.lanes, self.free) = (Vec::new(), Vec::new());
            }
        }
    }
}

fn lane_at(lanes: &mut [Option<Lane>], number: u32) -> Option<&mut Lane> {
    lanes.get_mut(number as usize)?.as_mut()
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

    #[test]
    fn tickets_may_come_in_any_order() {
        let (mut holding, mut outputs) = (Holding::default(), VecDeque::new());
        for (ticket, lane) in [(9, Some(7)), (2, Some(7)), (8, Some(6)), (5, Some(7)), (1, Some(7))] {
            holding.hold(Ticket(ticket), lane);
        }
        let mut resolve = |ticket| {
            holding.resolve(Ticket(ticket), None, &mut outputs);
            released(&mut outputs)
        };
        assert_eq!((resolve(1), resolve(5), resolve(3)), (Vec::new(), Vec::new(), Vec::new()));
        assert_eq!((resolve(9), resolve(2), resolve(8)), (vec![9], vec![2, 5, 1], vec![8]));
        holding.hold(Ticket(1), Some(7));
        holding.resolve(Ticket(1), None, &mut outputs);
        assert_eq!((released(&mut outputs), holding.count()), (vec![1], 0));
    }
}
