//! Which lines about processes a verdict has quoted: these are told, and get no verdict of their own.

use super::verdict::{Source, Ticket, Verdict};
use crate::read::maps::HashSet;
use std::collections::VecDeque;

/// Lines remembered: those of some minutes of a server that restarts every second.
const QUOTED_MAX: usize = 16_384;

/// Lines of Gunicorn, the kernel and the like that verdicts have quoted, the newest.
#[derive(Debug, Default)]
pub(super) struct Quoted {
    known: HashSet<Ticket>,
    order: VecDeque<Ticket>,
}

impl Quoted {
    /// Notes what a verdict quotes.
    pub(super) fn note(&mut self, verdict: &Verdict) {
        for (source, ticket) in &verdict.records {
            let about_process = matches!(source, Source::Gunicorn | Source::Host | Source::GunicornAccess);
            if about_process && self.known.insert(*ticket) {
                self.order.push_back(*ticket);
            }
        }
        while self.order.len() > QUOTED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// True when a verdict quotes it.
    pub(super) fn has(&self, ticket: Ticket) -> bool {
        self.known.contains(&ticket)
    }
}
