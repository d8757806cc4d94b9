//! What a worker goes on with after nginx gave up. When Gunicorn ends it for that, its lines name the URI: they are of the
//! request that nginx answered long before, and no failure of their own.

use super::case::{DeathKey, How, pid_of};
use super::correlate::gunicorn::Death;
use super::correlate::join::Request;
use super::correlate::world::{HostSeen, World};
use super::sites::SiteRef;
use super::verdict::{Source, Ticket, Verdict};
use super::{Engine, Output, gather, outcome};
use crate::read::evidence::{Host, Nanos, SECOND, Symptom};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Sites of an nginx that are asked whether a request is theirs.
const NGINXES_MAX: usize = 64;
/// Decided requests that are asked: a queue that was full of them.
const REQUESTS_MAX: usize = 2_048;
/// Of those with the same target so many are asked whom they went to, those that waited longest.
const TRIED_MAX: usize = 64;
/// Lines and ends of workers that are asked whether they are of the same end, the newest.
const LINES_MAX: usize = 256;
/// The kernel's and systemd's lines about one end come within this time of each other.
const OF_ONE_END: i64 = 5 * SECOND;
/// A security module denies the same again with each request: told once in this time.
const OF_ONE_TROUBLE: i64 = 60 * SECOND;

impl Engine {
    /// The request that nginx had given up joins the end of the worker that still had it; false where there is none.
    pub(super) fn joins_ghost(&mut self, now: Nanos, at: SiteRef, key: DeathKey) -> bool {
        let Some((nginx, id)) = self.ghost_of(now, at, key) else { return false };
        let death = self.sites.get(at).and_then(|site| site.world.gunicorns.deaths.get(key.index));
        let Some(death) = death else { return false };
        let quotes = death.quotes.clone();
        let worker = death.worker;
        let Some(request) = self.sites.get_mut(nginx).and_then(|site| site.requests.get_mut(id)) else { return false };
        let Some(before) = request.verdict.clone() else { return false };
        let mut verdict = Verdict::clone(&before);
        verdict.revision += 1;
        verdict.worker_pid = verdict.worker_pid.or(Some(worker));
        let tickets: Vec<Ticket> = quotes.iter().filter_map(|quote| quote.ticket).collect();
        request.others.extend(tickets.iter().map(|ticket| (Source::Gunicorn, *ticket)));
        verdict.records.extend(tickets.iter().map(|ticket| (Source::Gunicorn, *ticket)));
        verdict.evidence.truncate(super::decide::EVIDENCE_MAX - 1);
        verdict.evidence.extend(quotes.into_iter().next());
        let verdict = Arc::new(verdict);
        request.verdict = Some(Arc::clone(&verdict));
        self.quoted.note(&verdict);
        for ticket in tickets {
            self.resolve(ticket, Some(Arc::clone(&verdict)));
        }
        if let Some(death) = self.sites.get_mut(at).and_then(|site| site.world.gunicorns.deaths.get_mut(key.index)) {
            death.explains += 1;
            death.reported = true;
        }
        self.outputs.push_back(Output::Verdict(verdict));
        true
    }

    /// The request that a worker still had when Gunicorn ended it: the one that waited longest, of an nginx that asks this
    /// Gunicorn.
    fn ghost_of(&mut self, now: Nanos, at: SiteRef, key: DeathKey) -> Option<(SiteRef, u64)> {
        let death = self.sites.get(at)?.world.gunicorns.deaths.get(key.index)?;
        let death = Some(death).filter(|death| death.timed_out && death.request.is_some())?.clone();
        let nginxes: BTreeSet<SiteRef> = self.topology.nginxes_near(at).take(NGINXES_MAX).chain([at]).collect();
        nginxes.into_iter().find_map(|nginx| {
            let requests = &self.sites.get(nginx)?.requests;
            let newest = requests.iter().rev().take(REQUESTS_MAX).filter(|(_, request)| is_ghost_of(request, &death));
            let ids: Vec<u64> = newest.map(|(id, _)| id).collect();
            let id =
                ids.into_iter().rev().take(TRIED_MAX).find(|id| self.went_to(now, nginx, *id, &death) == Some(true))?;
            Some((nginx, id))
        })
    }

    /// True when a request may have gone to the Gunicorn of this worker.
    fn went_to(&mut self, now: Nanos, nginx: SiteRef, id: u64, death: &Death) -> Option<bool> {
        let site = self.sites.get(nginx)?;
        let upstream = gather::aim_of(site.requests.get(id)?, &site.world)?.upstream.map(str::to_owned);
        let ties = self.topology.ties(now, nginx, upstream.as_deref(), &self.sites);
        let case = gather::case_at(&self.sites, nginx, id, &ties)?;
        let mut own = case.instances().filter(|instance| case.may_have_answered(instance));
        Some(own.any(|instance| instance.source == death.source))
    }

    /// True when another line about the same end was told, or the end itself by Gunicorn's lines.
    pub(super) fn is_told_elsewhere(&self, world: &World, host: &HostSeen) -> bool {
        let (pid, how) = (pid_of(&host.seen.what), How::of(&host.seen.what));
        let within = |other: &HostSeen, time: i64| other.seen.at.near(host.seen.at, -time, time);
        let of_end = |other: &HostSeen| {
            pid.is_some()
                && pid_of(&other.seen.what) == pid
                && How::of(&other.seen.what) == how
                && within(other, OF_ONE_END)
        };
        let denied = |other: &HostSeen| {
            matches!(host.seen.what, Host::AccessDenied { .. })
                && other.seen.what == host.seen.what
                && within(other, OF_ONE_TROUBLE)
        };
        let mut told = world.hosts.iter().rev().take(LINES_MAX).filter(|other| {
            other.seen.ticket != host.seen.ticket && (other.used || self.quoted.has(other.seen.ticket))
        });
        let of_worker = |death: &Death| {
            Some(death.worker) == pid
                && (death.explains > 0 || death.reported)
                && death.to.near(host.seen.at, -OF_ONE_END, OF_ONE_END)
        };
        told.any(|other| of_end(other) || denied(other))
            || world.gunicorns.deaths.iter().rev().take(LINES_MAX).any(of_worker)
    }
}

fn is_ghost_of(request: &Request, death: &Death) -> bool {
    let given_up = |verdict: &Arc<Verdict>| {
        matches!(verdict.symptom, Symptom::ResponseTimedOut | Symptom::ClientClosed) && verdict.worker_pid.is_none()
    };
    request.verdict.as_ref().is_some_and(given_up)
        && death.request.as_deref().is_some_and(|target| !target.is_empty() && target == request.target())
        && outcome::failed_at(request).is_some_and(|at| at.from <= death.to.to)
}
