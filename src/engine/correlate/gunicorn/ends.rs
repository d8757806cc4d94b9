//! Which lines of a Gunicorn's log are of one end of a worker.

use super::{Death, Down, Gunicorns, Instance, Phase};
use crate::engine::correlate::{Interval, Seen};
use crate::engine::verdict::Quote;
use crate::read::evidence::{Gunicorn, Nanos, SECOND};
use std::collections::VecDeque;

/// Deaths remembered over all instances; a storm that kills a worker every 50 ms for three minutes fits.
pub const DEATHS_MAX: usize = 4_096;
/// A pid that comes back after so long is another process.
const SAME_PROCESS_MAX: Nanos = 90 * SECOND;
/// The arbiter kills a worker that its abort did not end after a second (`gunicorn/arbiter.py`, `murder_workers`).
const KILLED_AFTER_ABORT: Nanos = 2 * SECOND;
/// A worker that lived so long had loaded its application: by default the arbiter gives it 30 s to do so (`timeout`).
const BOOTED_AFTER: Nanos = 35 * SECOND;
/// The lines about one end of a worker follow each other within this time.
const NEXT_LINES: Nanos = 5 * SECOND;

impl Gunicorns {
    pub(super) fn death(
        &mut self,
        now: Nanos,
        seen: &Seen<Gunicorn>,
        worker: u32,
        quote: Quote,
        mark: impl FnOnce(&mut Death),
    ) {
        if worker != Death::UNKNOWN_WORKER {
            let of_stream = |instance: &&mut Instance| instance.source == seen.source;
            if let Some(instance) = self.instances.iter_mut().find(of_stream) {
                instance.crew.ends(seen.at, worker);
            }
        }
        // A worker's own lines do not say whose it is.
        let primary = seen.what.pid.filter(|pid| *pid != worker && worker != Death::UNKNOWN_WORKER);
        // The lines after one that names no worker tell whose it was.
        let unnamed = self.deaths.iter_mut().rev().take(64).find(|death| {
            death.source == seen.source
                && death.worker == Death::UNKNOWN_WORKER
                && death.to.distance(seen.at) < NEXT_LINES
        });
        if let Some(death) = unnamed {
            death.worker = worker;
        }
        let known = self.deaths.iter_mut().rev().take(512).find(|death| {
            death.source == seen.source && death.worker == worker && death.to.distance(seen.at) < SAME_PROCESS_MAX
                // A request that ended by SystemExit while the worker lived on is an end of its own.
                && (!death.is_exit_of_application() || death.timed_out)
                // Nor is one that it answered for, and lived on.
                && !(death.is_error_of_request() && death.to.distance(seen.at) >= SECOND)
        });
        if let Some(death) = known {
            if seen.at.to > death.to.to {
                death.to = seen.at;
            }
            death.primary = death.primary.or(primary);
            push_quote(&mut death.quotes, quote);
            mark(death);
            return;
        }
        let mut death = self.new_death(now, seen, worker, quote);
        death.primary = primary;
        mark(&mut death);
        self.push_death(death);
    }

    /// A frame out of SIGABRT's handler: the arbiter sends that signal to a worker that timed out, and to no other.
    pub(super) fn aborted(&mut self, now: Nanos, seen: &Seen<Gunicorn>, quote: Quote) {
        let told = self.deaths.iter_mut().rev().take(64).find(|death| {
            death.source == seen.source
                && (death.timed_out || death.request.is_some())
                && death.to.distance(seen.at) < NEXT_LINES
        });
        match told {
            Some(death) if death.timed_out => {}
            Some(death) => {
                death.timed_out = true;
                push_quote(&mut death.quotes, quote);
            }
            None => self.death(now, seen, Death::UNKNOWN_WORKER, quote, |death| death.timed_out = true),
        }
    }

    pub(super) fn error_in_request(
        &mut self,
        now: Nanos,
        seen: &Seen<Gunicorn>,
        worker: u32,
        quote: Quote,
        target: String,
    ) {
        let timeout = self.deaths.iter_mut().rev().take(512).find(|death| {
            death.source == seen.source
                && death.worker == worker
                && death.timed_out
                && death.request.is_none()
                && death.to.distance(seen.at) < NEXT_LINES
        });
        if let Some(death) = timeout {
            death.request = Some(target);
            push_quote(&mut death.quotes, quote);
            return;
        }
        let mut death = self.new_death(now, seen, worker, quote);
        death.request = Some(target);
        self.push_death(death);
    }

    fn new_death(&mut self, now: Nanos, seen: &Seen<Gunicorn>, worker: u32, quote: Quote) -> Death {
        let instance = self.instances.iter().find(|instance| instance.source == seen.source);
        let ordered = instance.is_some_and(|instance| {
            matches!(
                instance.before(seen.at).map(|change| &change.phase),
                Some(Phase::Stopping | Phase::Reloading | Phase::Down(Down::ShutDown))
            )
        });
        let booted = self.boots.iter().any(|boot| boot.source == seen.source && boot.worker == worker);
        let at_start = instance.is_some_and(|instance| instance.first_at.distance(seen.at) < KILLED_AFTER_ABORT);
        Death {
            source: seen.source,
            worker,
            primary: None,
            from: seen.at,
            to: seen.at,
            timed_out: false,
            signal: None,
            code: None,
            exiting: false,
            failed: false,
            request: None,
            exception: None,
            frame: None,
            quotes: vec![quote],
            ordered,
            reaped: false,
            begins_log: at_start && !booted,
            served: false,
            explains: 0,
            reported: false,
            seen: now,
        }
    }

    /// True for a worker that booted long ago and did not fail at that.
    pub(super) fn has_served(&self, seen: &Seen<Gunicorn>, worker: u32) -> bool {
        let instance = self.instances.iter().find(|instance| instance.source == seen.source);
        let booted = instance.and_then(|instance| instance.crew.booted(worker));
        let of_worker = |death: &Death| death.source == seen.source && death.worker == worker;
        let failed = self.deaths.iter().rev().take(512).any(|death| of_worker(death) && death.failed);
        booted.is_some_and(|booted| booted.distance(seen.at) > BOOTED_AFTER) && !failed
    }

    fn push_death(&mut self, death: Death) {
        if self.deaths.len() == DEATHS_MAX {
            self.deaths.pop_front();
            self.deaths_forgotten += 1;
        }
        self.deaths.push_back(death);
    }
}

/// The halt is that of a worker which exited with 3 after it had served.
pub(super) fn halts_for_exit(deaths: &VecDeque<Death>, seen: &Seen<Gunicorn>) -> bool {
    let newest = deaths.iter().rev().take(64).find(|death| death.source == seen.source && death.code.is_some());
    newest.is_some_and(|death| death.served && death.to.distance(seen.at) < BOOTED_AFTER)
}

/// A worker takes the place of one that was reaped: a worker that was timed out, and of which nothing was told since, is at
/// its end only now, however long after its abort.
pub(super) fn reap(deaths: &mut VecDeque<Death>, source: u64, at: Interval) {
    let waits = |death: &&mut Death| {
        death.source == source
            && death.timed_out
            && death.signal.is_none()
            && death.code.is_none()
            && !death.exiting
            && !death.reaped
            && death.to.distance(at) < SAME_PROCESS_MAX
    };
    let mut oldest_first = deaths.iter_mut().rev().take(64).filter(waits).collect::<Vec<_>>();
    if let Some(death) = oldest_first.pop() {
        death.reaped = true;
        if at.to > death.to.to {
            death.to = at;
        }
    }
}

pub(super) fn push_quote(quotes: &mut Vec<Quote>, quote: Quote) {
    if quotes.len() < 6 {
        quotes.push(quote);
    }
}
