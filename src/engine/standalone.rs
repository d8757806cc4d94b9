//! Verdicts on fatal records that no request joined: a worker's end, a Gunicorn that could not start, a line of the kernel.

use super::case::{Case, Trigger};
use super::correlate::Interval;
use super::correlate::gunicorn::{Change, Death, Down, Instance, Phase};
use super::correlate::join::Request;
use super::verdict::{Ticket, Verdict};
use super::{Engine, Output, decide};
use crate::read::evidence::{SECOND, Symptom};
use std::sync::Arc;

/// From a worker that fails to boot to the last words of the server that halts for it: it first waits for its other
/// workers, 30 s by default (`gunicorn/arbiter.py`, `stop`).
const HALT_MAX: i64 = 35 * SECOND;

fn is_halt(phase: &Phase) -> bool {
    matches!(phase, Phase::Down(Down::BootFailed | Down::AppLoadFailed))
}

impl Engine {
    pub(super) fn decide_death(&mut self, number: usize) {
        let Some(index) = number.checked_sub(self.world.gunicorns.deaths_forgotten) else { return };
        let Some(death) = self.world.gunicorns.deaths.get(index) else { return };
        let ordered = death.ordered && !death.timed_out;
        if death.explains > 0 || death.reported || ordered || !(death.is_violent() || death.failed) {
            return;
        }
        if death.failed && !death.ran_out_of_files() && self.halts_after(death) {
            return;
        }
        let request = Request::empty();
        let case = self.standalone(Trigger::Death, &request, death.from, Some((index, death)));
        let fatal = self.finish_standalone(case.map(|case| self.standalone_verdict(&case)));
        if let Some(death) = self.world.gunicorns.deaths.get_mut(index) {
            death.reported = true;
        }
        self.publish_standalone(fatal);
    }

    pub(super) fn decide_phase(&mut self, source: u64, ticket: Ticket) {
        let request = Request::empty();
        let found = self.world.gunicorns.instances.iter().find(|instance| instance.source == source);
        let Some(instance) = found else { return };
        let Some(change) = instance.changes.iter().find(|change| change.quote.ticket == Some(ticket)) else { return };
        let explained = self.requests.iter().any(|(_, request)| {
            request.verdict.as_ref().is_some_and(|verdict| verdict.records.iter().any(|(_, known)| *known == ticket))
        });
        // A stop is no failure. It is shown only to one who has Gunicorn's log and nothing of nginx.
        let only_gunicorn = !self.world.has_error_log && !self.world.has_access_log;
        if explained
            || self.is_told(instance, change)
            || self.is_told_by_worker(instance, change)
            || !(decide::is_fatal(&change.phase) || only_gunicorn)
        {
            return;
        }
        let case = self.standalone(Trigger::Phase(change), &request, change.at, None);
        let verdict = self.finish_standalone(case.map(|case| self.standalone_verdict(&case)));
        self.publish_standalone(verdict);
    }

    /// The server halts because this worker failed to boot: one incident, and the halt tells of it.
    fn halts_after(&self, death: &Death) -> bool {
        let of_source = self.world.gunicorns.instances.iter().find(|instance| instance.source == death.source);
        let halts = |change: &Change| is_halt(&change.phase) && change.at.near(death.from, -SECOND, HALT_MAX);
        of_source.is_some_and(|instance| instance.changes.iter().any(halts))
    }

    /// The worker that failed to boot was told of before the words about the halt came.
    fn is_told_by_worker(&self, instance: &Instance, change: &Change) -> bool {
        let mut deaths = self.world.gunicorns.deaths.iter().rev().take(256);
        is_halt(&change.phase)
            && deaths.any(|death| {
                death.failed
                    && death.reported
                    && death.source == instance.source
                    && change.at.near(death.from, -SECOND, HALT_MAX)
            })
    }

    /// The same halt was told by a line before it, or its reason by a line about it.
    fn is_told(&self, instance: &Instance, change: &Change) -> bool {
        let near = instance.changes.iter().filter(|other| other.at.near(change.at, -3 * SECOND, 3 * SECOND));
        let mut earlier = near.clone().take_while(|other| !std::ptr::eq(*other, change));
        let with_reason = |phase: &Phase| {
            matches!(
                phase,
                Phase::Down(
                    Down::BootFailed | Down::AppLoadFailed | Down::BindFailed | Down::Crashed | Down::MasterLost
                )
            )
        };
        match change.phase {
            Phase::Down(Down::ShutDown) => {
                near.clone().any(|other| with_reason(&other.phase)) || earlier.any(|other| other.phase == change.phase)
            }
            Phase::Down(Down::BootFailed | Down::AppLoadFailed) => earlier.any(|other| other.phase == change.phase),
            _ => false,
        }
    }

    pub(super) fn decide_host(&mut self, ticket: Ticket) {
        let Some(host) = self.world.hosts.iter().find(|host| host.seen.ticket == ticket) else { return };
        if host.used {
            return;
        }
        let request = Request::empty();
        let case = self.standalone(Trigger::Host(host), &request, host.seen.at, None);
        let verdict = self.finish_standalone(case.map(|case| self.standalone_verdict(&case)));
        if let Some(host) = self.world.hosts.iter_mut().find(|host| host.seen.ticket == ticket) {
            host.used = true;
        }
        self.publish_standalone(verdict);
    }

    fn standalone<'a>(
        &'a self,
        trigger: Trigger<'a>,
        request: &'a Request,
        at: Interval,
        death: Option<(usize, &'a Death)>,
    ) -> Option<Case<'a>> {
        let of_source = |source: u64| self.world.gunicorns.instances.iter().find(|instance| instance.source == source);
        let instance = match trigger {
            Trigger::Death => death.and_then(|(_, death)| of_source(death.source)),
            Trigger::Phase(change) => self
                .world
                .gunicorns
                .instances
                .iter()
                .find(|instance| instance.changes.iter().any(|known| std::ptr::eq(known, change))),
            Trigger::Host(_) | Trigger::Request => None,
        };
        Some(Case {
            trigger,
            symptom: Symptom::Unknown,
            request,
            at,
            upstream: None,
            world: &self.world,
            instance,
            address: crate::read::address::AddressMatch::Unknown,
            death,
            derived_from: None,
            borrowed_symptom: false,
            passes: Vec::new(),
        })
    }

    fn standalone_verdict(&self, case: &Case<'_>) -> Verdict {
        decide::verdict_of(case, u64::MAX, 0, self.settings.link_threshold).0
    }

    fn finish_standalone(&self, verdict: Option<Verdict>) -> Option<Arc<Verdict>> {
        verdict.filter(|verdict| !verdict.cause.is_unknown()).map(Arc::new)
    }

    fn publish_standalone(&mut self, verdict: Option<Arc<Verdict>>) {
        let Some(verdict) = verdict else { return };
        // The lines of one incident (timeout, kill, boot failure, shutdown) make one verdict.
        let tickets: Vec<Ticket> = verdict.records.iter().map(|(_, ticket)| *ticket).collect();
        for death in &mut self.world.gunicorns.deaths {
            death.reported |=
                death.quotes.iter().any(|quote| quote.ticket.is_some_and(|ticket| tickets.contains(&ticket)));
        }
        self.mark_hosts(&verdict);
        for ticket in tickets {
            self.resolve(ticket, Some(Arc::clone(&verdict)));
        }
        self.outputs.push_back(Output::Verdict(verdict));
    }
}
