//! Verdicts that need not wait for the hold: nothing that could still come would change them.
//!
//! A request is looked at once, a short while after its last line came. It is decided then only where both of nginx's logs
//! have told of it, its trace is known or nobody waits for one, and the cause is one that later lines do not unseat.

use super::calibration::Standing;
use super::case::Case;
use super::causes::{Cause, Expected, Leaves, Mark};
use super::sites::SiteRef;
use super::timers::Timer;
use super::{Engine, decide, gather};
use crate::engine::case::Sight;
use crate::engine::outcome::{self, Outcome};
use crate::read::evidence::{Nanos, SECOND, Symptom};

/// Who restarts a Gunicorn has it start again within this time of its stop.
const RESTARTS_IN: Nanos = 5 * SECOND;
/// With so many requests open each is looked at once, when its hold is over: a storm costs no second look.
const OPEN_MAX: usize = 512;

impl Engine {
    /// A line joined a request that is open: it may be the last one.
    pub(super) fn settle_later(&mut self, now: Nanos, at: SiteRef, id: u64) {
        let Some(delay) = self.settings.settle.filter(|_| self.open <= OPEN_MAX) else { return };
        let Some(request) = self.sites.get_mut(at).and_then(|site| site.requests.get_mut(id)) else { return };
        let due = now.saturating_add(delay);
        if due < request.due && request.genuine {
            let timer = self.timers.set(due, Timer::Settle(at, id));
            if let Some(before) = request.settles.replace(timer) {
                self.timers.cancel(before);
            }
        }
    }

    /// Decides a request whose verdict nothing can change any more. Where a span may still come that is its own, its link is
    /// looked for again when the hold would have been over.
    pub(super) fn settle(&mut self, now: Nanos, at: SiteRef, id: u64) {
        let Some(request) = self.sites.get_mut(at).and_then(|site| site.requests.get_mut(id)) else { return };
        request.settles = None;
        if request.verdict.is_some() {
            return;
        }
        let due = request.due;
        let Some(link) = self.is_final(now, at, id) else { return };
        self.decide(now, at, id);
        if link == Link::MayCome
            && let Some(request) = self.sites.get_mut(at).and_then(|site| site.requests.get_mut(id))
        {
            request.stale = true;
            self.timers.set(due, Timer::Request(at, id));
        }
    }

    fn is_final(&mut self, now: Nanos, at: SiteRef, id: u64) -> Option<Link> {
        let site = self.sites.get(at)?;
        let upstream = gather::aim_of(site.requests.get(id)?, &site.world)?.upstream.map(str::to_owned);
        let ties = self.topology.ties(now, at, upstream.as_deref(), &self.sites);
        let request = self.sites.get(at)?.requests.get(id)?;
        let sight = Sight::new(&self.sites, at, &ties)?;
        if outcome::outcome(request, &sight) != Outcome::Failed {
            return None;
        }
        let case = gather::case_at(&self.sites, at, id, &ties)?;
        if !is_whole(&case) {
            return None;
        }
        // What proves less waits for what may still come.
        let judged = decide::judge(&case);
        (judged.standing >= Standing::Strong && stays(&case, judged.cause)).then(|| link_of(&case, judged.cause))?
    }
}

/// What is known of the trace of a request that could be decided now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// It is known, or there is none.
    Known,
    /// Spans of a worker that died may come, and nobody would miss them.
    MayCome,
}

/// The trace of a request; `None` where it must be waited for, because its records would go on without it.
fn link_of(case: &Case<'_>, cause: &Cause) -> Option<Link> {
    if case.request.trace.is_some() || case.symptom.is_connect() || !case.sees_spans() {
        return Some(Link::Known);
    }
    match cause.leaves {
        Leaves::Always(Expected::Never) => Some(Link::Known),
        Leaves::Always(Expected::NoStatus) => Some(Link::MayCome),
        _ => None,
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
