//! Verdicts that need not wait for the hold: nothing that could still come would change them.
//!
//! A request is looked at once, a short while after its last line came. It is decided then only where both of nginx's logs
//! have told of it, its trace is known or nobody waits for one, and the cause is one that later lines do not unseat.

use super::calibration::Standing;
use super::case::Case;
use super::causes::{Cause, Expected, Leaves, Mark};
use super::decide::Judgement;
use super::sites::{Site, SiteRef};
use super::timers::Timer;
use super::{Engine, decide, gather};
use crate::engine::case::Sight;
use crate::engine::outcome::{self, Outcome};
use crate::read::evidence::{Nanos, SECOND, Symptom};
use std::collections::VecDeque;

/// Who restarts a Gunicorn has it start again within this time of its stop.
const RESTARTS_IN: Nanos = 5 * SECOND;
/// With so many requests open they come in a crowd: no timer is set for each of them.
const OPEN_MAX: usize = 512;
/// Whole requests of one site that wait for their look in a crowd. Past it the first of them is looked at sooner: what dozens
/// after it say as well needs no second to be believed.
const CROWD_MAX: usize = 64;
/// After one that could not be decided so many are not looked at: they wait for the same thing, and a look costs as much as
/// a verdict.
const PASSED_OVER: usize = 15;

/// Failing requests of a site that came in a crowd and of which both of nginx's logs have told.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// When it is looked at the latest, and which request it is.
    whole: VecDeque<(Nanos, u64)>,
    /// How many of the next ones are not looked at.
    passed_over: usize,
    /// The timer runs by which the last of them are looked at.
    is_timed: bool,
}

impl Engine {
    /// A line joined a request that is open: it may be the last one.
    pub(super) fn settle_later(&mut self, now: Nanos, at: SiteRef, id: u64) {
        let Some(delay) = self.settings.settle else { return };
        let Some(site) = self.sites.get_mut(at) else { return };
        let Some(request) = site.requests.get_mut(id).filter(|request| request.genuine) else { return };
        let due = now.saturating_add(delay);
        if self.open > OPEN_MAX {
            if request.access.is_some() && !request.errors.is_empty() {
                self.join_crowd(now, due, at, id);
            }
        } else if due < request.due {
            let timer = self.timers.set(due, Timer::Settle(at, id));
            if let Some(before) = request.settles.replace(timer) {
                self.timers.cancel(before);
            }
        }
    }

    /// A request of a crowd is whole: the first of the crowd may have waited long enough.
    fn join_crowd(&mut self, now: Nanos, due: Nanos, at: SiteRef, id: u64) {
        let Some(Site { crowd, .. }) = self.sites.get_mut(at) else { return };
        crowd.whole.push_back((due, id));
        if !std::mem::replace(&mut crowd.is_timed, true) {
            self.timers.set(due, Timer::Crowd(at));
        }
        if crowd.whole.len() > CROWD_MAX
            && let Some((_, first)) = crowd.whole.pop_front()
        {
            self.settle_of_crowd(now, at, first);
        }
    }

    /// Those of a crowd are looked at that have waited as long as any.
    pub(super) fn settle_crowd(&mut self, now: Nanos, at: SiteRef) {
        while let Some(Site { crowd, .. }) = self.sites.get_mut(at) {
            crowd.is_timed = false;
            let Some((due, first)) = crowd.whole.front().copied() else { return };
            if due > now {
                crowd.is_timed = true;
                self.timers.set(due, Timer::Crowd(at));
                return;
            }
            crowd.whole.pop_front();
            self.settle_of_crowd(now, at, first);
        }
    }

    fn settle_of_crowd(&mut self, now: Nanos, at: SiteRef, id: u64) {
        let Some(Site { crowd, .. }) = self.sites.get_mut(at) else { return };
        if crowd.passed_over > 0 {
            crowd.passed_over -= 1;
            return;
        }
        if !self.settle(now, at, id)
            && let Some(Site { crowd, .. }) = self.sites.get_mut(at)
        {
            crowd.passed_over = PASSED_OVER;
        }
    }

    /// Decides a request whose verdict nothing can change any more; true where it is decided. Where a span may still come that
    /// is its own, its link is looked for again when the hold would have been over.
    pub(super) fn settle(&mut self, now: Nanos, at: SiteRef, id: u64) -> bool {
        let site = self.sites.get_mut(at);
        let Some(request) = site.and_then(|site| site.requests.get_mut(id)) else { return true };
        request.settles = None;
        if request.verdict.is_some() {
            return true;
        }
        let due = request.due;
        let found = if outcome::has_surely_failed(request) {
            self.decide_if_final(now, at, id)
        } else {
            let found = self.is_final(now, at, id);
            if found.is_some() {
                self.decide(now, at, id);
            }
            found
        };
        let Some(found) = found else { return false };
        if found == Final::ButForSpan
            && let Some(request) = self.sites.get_mut(at).and_then(|site| site.requests.get_mut(id))
        {
            request.stale = true;
            self.timers.set(due, Timer::Request(at, id));
        }
        true
    }

    fn is_final(&mut self, now: Nanos, at: SiteRef, id: u64) -> Option<Final> {
        let site = self.sites.get(at)?;
        let upstream = gather::aim_of(site.requests.get(id)?, &site.world)?.upstream.map(str::to_owned);
        let ties = self.topology.ties(now, at, upstream.as_deref(), &self.sites);
        let request = self.sites.get(at)?.requests.get(id)?;
        let sight = Sight::new(&self.sites, at, &ties)?;
        if outcome::outcome(request, &sight, self.settings.finds_good) != Outcome::Failed {
            return None;
        }
        let case = gather::case_at(&self.sites, at, id, &ties)?;
        Final::of(&case, &decide::judge(&case))
    }
}

/// How final a verdict is that could be given now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Final {
    /// Its trace is known, or there is none.
    Whole,
    /// Spans of a worker that died may come, and nobody would miss them.
    ButForSpan,
}

impl Final {
    /// `None` where what may still come could change the verdict.
    pub(super) fn of(case: &Case<'_>, judged: &Judgement) -> Option<Final> {
        // What proves less waits for what may still come.
        let is_final = is_whole(case) && judged.standing >= Standing::Strong && stays(case, judged.cause);
        if !is_final {
            return None;
        }
        if case.request.trace.is_some() || case.symptom.is_connect() || !case.sees_spans() {
            return Some(Final::Whole);
        }
        match judged.cause.leaves {
            Leaves::Always(Expected::Never) => Some(Final::Whole),
            Leaves::Always(Expected::NoStatus) => Some(Final::ButForSpan),
            // The trace must be waited for: its records would go on without it.
            _ => None,
        }
    }
}

/// Both of nginx's logs have told of it.
fn is_whole(case: &Case<'_>) -> bool {
    let by_access = matches!(case.symptom, Symptom::Relayed | Symptom::ClientClosed);
    match (case.access().is_some(), case.error().is_some()) {
        (true, true) => true,
        (true, false) => by_access,
        (false, true) => !case.reads_access_log(),
        (false, false) => false,
    }
}

/// No line that comes later unseats the cause: a Gunicorn that stopped just now may be on its way back.
fn stays(case: &Case<'_>, cause: &Cause) -> bool {
    let stays_down = || {
        let stopped = case.phase_before(|_| true).map(|change| change.at);
        stopped.is_some_and(|stopped| !stopped.near(case.at, 0, RESTARTS_IN)) && !case.gunicorn_is_there()
    };
    cause.has(Mark::Final) || cause.has(Mark::FinalAlone) && (case.instances().next().is_none() || stays_down())
}
