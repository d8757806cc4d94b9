//! Verdicts on fatal records that no request joined: a worker's end, a Gunicorn that could not start, a line of the kernel.

use super::case::{Case, DeathKey, Sight, Trigger};
use super::correlate::Interval;
use super::correlate::gunicorn::{Change, Death, Down, Instance, Phase};
use super::correlate::join::Request;
use super::correlate::world::World;
use super::incident::Trail;
use super::sites::SiteRef;
use super::verdict::{Ticket, Verdict};
use super::{Engine, Output, decide};
use crate::read::address::AddressMatch;
use crate::read::evidence::{Nanos, SECOND, Symptom};
use std::sync::Arc;

/// Sites of an nginx that are asked whether a Gunicorn is theirs.
const NGINXES_MAX: usize = 64;
/// From a worker that fails to boot to the last words of the server that halts for it: it first waits for its other
/// workers, 30 s by default (`gunicorn/arbiter.py`, `stop`).
const HALT_MAX: i64 = 35 * SECOND;

/// A stop that was asked for ends within this time: `--graceful-timeout` is 30 s by default, and some give it more.
const GRACE_MAX: Nanos = 120 * SECOND;

fn is_halt(phase: &Phase) -> bool {
    matches!(phase, Phase::Down(Down::BootFailed | Down::AppLoadFailed))
}

impl Engine {
    pub(super) fn decide_death(&mut self, now: Nanos, at: SiteRef, number: usize) {
        let Some(site) = self.sites.get(at) else { return };
        let Some(index) = number.checked_sub(site.world.gunicorns.deaths_forgotten) else { return };
        let Some(death) = site.world.gunicorns.deaths.get(index) else { return };
        let ordered = death.ordered && !death.timed_out;
        if death.explains > 0 || death.reported || ordered || !(death.is_violent() || death.failed) {
            return;
        }
        if death.failed && !death.ran_out_of_files() && halts_after(&site.world, death) {
            return;
        }
        let key = DeathKey { site: at, index };
        let (when, stream) = (death.from, Some(death.source));
        if self.joins_ghost(now, at, key) {
            return;
        }
        let verdict = self.verdict_on(at, Trigger::Death, when, Some(key));
        if let Some(death) = self.sites.get_mut(at).and_then(|site| site.world.gunicorns.deaths.get_mut(index)) {
            death.reported = true;
        }
        self.publish_standalone(now, at, stream, verdict);
    }

    pub(super) fn decide_phase(&mut self, now: Nanos, at: SiteRef, stream: u64, ticket: Ticket) {
        let only_gunicorn = !self.is_asked(now, at);
        let Some(world) = self.sites.get(at).map(|site| &site.world) else { return };
        let Some(instance) = world.gunicorns.instances.iter().find(|instance| instance.source == stream) else {
            return;
        };
        let Some(change) = instance.changes.iter().find(|change| change.quote.ticket == Some(ticket)) else { return };
        // A stop is no failure. It is shown only to one who has Gunicorn's log and nothing of its nginx.
        if self.quoted.has(ticket)
            || is_told(instance, change)
            || is_told_by_worker(world, instance, change)
            || !(decide::is_fatal(&change.phase) || only_gunicorn)
        {
            return;
        }
        let verdict = self.verdict_on(at, Trigger::Phase(change), change.at, None);
        self.publish_standalone(now, at, Some(stream), verdict);
    }

    pub(super) fn decide_host(&mut self, now: Nanos, at: SiteRef, ticket: Ticket) {
        let Some(world) = self.sites.get(at).map(|site| &site.world) else { return };
        let Some(host) = world.hosts.iter().find(|host| host.seen.ticket == ticket) else { return };
        if host.used {
            return;
        }
        let verdict = if self.quoted.has(ticket) || self.is_told_elsewhere(world, host) {
            None
        } else {
            self.verdict_on(at, Trigger::Host(host), host.seen.at, None)
        };
        let hosts = self.sites.get_mut(at).map(|site| &mut site.world.hosts);
        if let Some(host) = hosts.and_then(|hosts| hosts.iter_mut().find(|host| host.seen.ticket == ticket)) {
            host.used = true;
        }
        self.publish_standalone(now, at, None, verdict);
    }

    /// True when an nginx in view may ask this site.
    fn is_asked(&mut self, now: Nanos, at: SiteRef) -> bool {
        let nginxes: Vec<SiteRef> = self.topology.nginxes_near(at).take(NGINXES_MAX).collect();
        nginxes.into_iter().any(|nginx| {
            let ties = self.topology.ties(now, nginx, None, &self.sites);
            nginx == at || ties.servers.iter().any(|tie| tie.site == at)
        })
    }

    fn verdict_on(
        &self,
        at: SiteRef,
        trigger: Trigger<'_>,
        when: Interval,
        death: Option<DeathKey>,
    ) -> Option<Verdict> {
        let request = Request::empty();
        let sight = Sight::alone(&self.sites, at, &self.topology.hosts_under(at, &self.sites))?;
        let world = sight.own();
        let death = death.and_then(|key| world.gunicorns.deaths.get(key.index).map(|death| (key, death)));
        let instances = || world.gunicorns.instances.iter();
        let instance = match trigger {
            Trigger::Death => death.and_then(|(_, death)| instances().find(|instance| instance.source == death.source)),
            Trigger::Phase(change) => {
                instances().find(|instance| instance.changes.iter().any(|known| std::ptr::eq(known, change)))
            }
            Trigger::Host(_) | Trigger::Request => None,
        };
        let case = Case {
            trigger,
            symptom: Symptom::Unknown,
            request: &request,
            at: when,
            upstream: None,
            sight,
            instance,
            address: AddressMatch::Unknown,
            weight: 1.0,
            is_called: false,
            strangers: Vec::new(),
            death,
            derived_from: None,
            borrowed_symptom: false,
            passes: Vec::new(),
        };
        let verdict = decide::verdict_of(&case, decide::judge(&case), u64::MAX, 0, self.settings.link_threshold).0;
        (!verdict.cause.is_unknown()).then_some(verdict)
    }

    /// `stream` is the log of the process that it is about, where that is a Gunicorn's.
    fn publish_standalone(&mut self, now: Nanos, at: SiteRef, stream: Option<u64>, verdict: Option<Verdict>) {
        let Some(mut verdict) = verdict else { return };
        let trail = Trail::of_process(at, stream, &self.sites);
        verdict.incident = Some(self.incidents.join(now, &self.sites, &trail, &verdict));
        let verdict = Arc::new(verdict);
        // The lines of one incident (timeout, kill, boot failure, shutdown) make one verdict.
        let tickets: Vec<Ticket> = verdict.records.iter().map(|(_, ticket)| *ticket).collect();
        let deaths = self.sites.get_mut(at).map(|site| &mut site.world.gunicorns.deaths);
        for death in deaths.into_iter().flatten() {
            death.reported |=
                death.quotes.iter().any(|quote| quote.ticket.is_some_and(|ticket| tickets.contains(&ticket)));
        }
        self.quoted.note(&verdict);
        for ticket in tickets {
            self.resolve(ticket, Some(Arc::clone(&verdict)));
        }
        self.outputs.push_back(Output::Verdict(verdict));
        self.tell_incidents();
    }
}

/// The server halts because this worker failed to boot: one incident, and the halt tells of it.
fn halts_after(world: &World, death: &Death) -> bool {
    let of_source = world.gunicorns.instances.iter().find(|instance| instance.source == death.source);
    let halts = |change: &Change| is_halt(&change.phase) && change.at.near(death.from, -SECOND, HALT_MAX);
    of_source.is_some_and(|instance| instance.changes.iter().any(halts))
}

/// The worker that failed to boot was told of before the words about the halt came.
fn is_told_by_worker(world: &World, instance: &Instance, change: &Change) -> bool {
    let mut deaths = world.gunicorns.deaths.iter().rev().take(256);
    is_halt(&change.phase)
        && deaths.any(|death| {
            death.failed
                && death.reported
                && death.source == instance.source
                && change.at.near(death.from, -SECOND, HALT_MAX)
        })
}

/// The same halt was told by a line before it, or its reason by a line about it.
fn is_told(instance: &Instance, change: &Change) -> bool {
    let near = instance.changes.iter().filter(|other| other.at.near(change.at, -3 * SECOND, 3 * SECOND));
    let mut earlier = near.clone().take_while(|other| !std::ptr::eq(*other, change));
    let with_reason = |phase: &Phase| {
        matches!(
            phase,
            Phase::Down(Down::BootFailed | Down::AppLoadFailed | Down::BindFailed | Down::Crashed | Down::MasterLost)
        )
    };
    match change.phase {
        Phase::Down(Down::ShutDown) => {
            let since = instance.changes.iter().filter(|other| other.at.near(change.at, -1, GRACE_MAX));
            let asked =
                since.take_while(|other| !std::ptr::eq(*other, change)).any(|other| other.phase == Phase::Stopping);
            asked
                || near.clone().any(|other| with_reason(&other.phase))
                || earlier.any(|other| other.phase == change.phase)
        }
        // Gunicorn tries five times, a second apart, to bind.
        Phase::Down(Down::BootFailed | Down::AppLoadFailed | Down::BindFailed) => {
            earlier.any(|other| other.phase == change.phase)
        }
        // A second signal asks for the same stop.
        Phase::Stopping => earlier.any(|other| other.phase == change.phase),
        _ => false,
    }
}
