//! What the application's own code had to do with it: the innermost frame of a traceback that is neither Gunicorn's nor an
//! installed package's.

use super::Case;
use crate::engine::correlate::Interval;
use crate::engine::correlate::gunicorn::Death;
use crate::engine::verdict::{Quote, Ticket};
use crate::read::evidence::{MILLISECOND, SECOND, Symptom};

/// Ends that are looked at, the newest: those around one request in a storm.
const LOOKED_AT: usize = 256;

impl<'a> Case<'a> {
    /// The application's own line in the traceback of an end that these quotes tell of.
    pub(in crate::engine) fn own_line(&self, quotes: &[Quote]) -> Option<&'a Quote> {
        let tickets: Vec<Ticket> = quotes.iter().filter_map(|quote| quote.ticket).collect();
        if tickets.is_empty() {
            return None;
        }
        let is_told = |death: &&Death| {
            death.frame.is_some()
                && death.quotes.iter().any(|quote| quote.ticket.is_some_and(|ticket| tickets.contains(&ticket)))
        };
        self.deaths().rev().take(LOOKED_AT).find(is_told)?.frame.as_ref()
    }

    /// What the dirty side of Gunicorn told while this request was worked on: its worker may have waited for that. It says
    /// nothing of who ended the request, so it is told and no cause rests on it.
    pub(in crate::engine) fn dirty_trouble(&self) -> Option<&'a Quote> {
        let reached = self.is_request() && self.weight >= 1.0 && !self.is_refused() && self.symptom != Symptom::Unknown;
        let took = self.access().and_then(|access| access.request_time.value()).unwrap_or(SECOND);
        let while_it_ran = |at: Interval| at.near(self.at, -took.saturating_add(SECOND), 2 * SECOND);
        self.dirty().rev().filter(|_| reached).find(|(at, _)| while_it_ran(*at)).map(|(_, quote)| quote)
    }

    /// What was raised in the middle of a truncated answer: Gunicorn names the target, and its worker lived on.
    pub(in crate::engine) fn raised(&self) -> Vec<Quote> {
        if self.symptom != Symptom::ResponseTruncated || self.target().is_empty() {
            return Vec::new();
        }
        let is_of_request = |death: &&Death| {
            death.is_error_of_request()
                && death.request.as_deref() == Some(self.target())
                && death.exception.is_some()
                && death.to.near(self.at, -1_500 * MILLISECOND, 1_500 * MILLISECOND)
        };
        let found = self.deaths().rev().take(LOOKED_AT).find(is_of_request);
        found.map(|death| death.quotes.iter().skip(1).take(1).cloned().collect()).unwrap_or_default()
    }
}
