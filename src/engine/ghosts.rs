//! What a worker goes on with after nginx gave up. When Gunicorn ends it for that, its lines name the URI: they are of the
//! request that nginx answered long before, and no failure of their own.

use super::case::{DeathKey, How, pid_of};
use super::correlate::gunicorn::Death;
use super::correlate::join::Request;
use super::correlate::world::{HostSeen, World};
use super::sites::SiteRef;
use super::verdict::{Source, Ticket, Verdict};
use super::{Engine, Output, outcome};
use crate::read::evidence::{Host, SECOND, Symptom};
use std::sync::Arc;

/// Sites of an nginx that are asked whether a request is theirs.
const NGINXES_MAX: usize = 64;
/// Decided requests that are asked: a queue that was full of them.
const REQUESTS_MAX: usize = 2_048;
/// The kernel's and systemd's lines about one end come within this time of each other.
const OF_ONE_END: i64 = 5 * SECOND;
/// A security module denies the same again with each request: told once in this time.
const OF_ONE_TROUBLE: i64 = 60 * SECOND;

impl Engine {
    /// The request that nginx had given up joins the end of the worker that still had it; false where there is none.
    pub(super) fn joins_ghost(&mut self, at: SiteRef, key: DeathKey) -> bool {
        let death = self.sites.get(at).and_then(|site| site.world.gunicorns.deaths.get(key.index));
        let Some(death) = death.filter(|death| death.timed_out && death.request.is_some()) else { return false };
        let nginxes = self.topology.nginxes_near(at).take(NGINXES_MAX).chain([at]);
        let found = nginxes.into_iter().find_map(|nginx| {
            let requests = &self.sites.get(nginx)?.requests;
            let newest = requests.iter().rev().take(REQUESTS_MAX).filter(|(_, request)| is_ghost_of(request, death));
            // A worker takes what waited longest.
            newest.last().map(|(id, _)| (nginx, id))
        });
        let Some((nginx, id)) = found else { return false };
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

    /// True when another line about the same end was told, or the end itself by Gunicorn's lines.
    pub(super) fn is_told_elsewhere(&self, world: &World, host: &HostSeen) -> bool {
        let pid = pid_of(&host.seen.what);
        let how = How::of(&host.seen.what);
        let of_end = |other: &&HostSeen| {
            other.seen.ticket != host.seen.ticket
                && (other.used || self.quoted.has(other.seen.ticket))
                && How::of(&other.seen.what) == how
                && pid_of(&other.seen.what) == pid
                && other.seen.at.near(host.seen.at, -OF_ONE_END, OF_ONE_END)
        };
        let of_worker = |death: &&Death| {
            Some(death.worker) == pid
                && (death.explains > 0 || death.reported)
                && death.to.near(host.seen.at, -OF_ONE_END, OF_ONE_END)
        };
        let denied = |other: &&HostSeen| {
            other.seen.ticket != host.seen.ticket
                && (other.used || self.quoted.has(other.seen.ticket))
                && matches!(host.seen.what, Host::AccessDenied { .. })
                && other.seen.what == host.seen.what
                && other.seen.at.near(host.seen.at, -OF_ONE_TROUBLE, OF_ONE_TROUBLE)
        };
        if world.hosts.iter().rev().take(256).any(|other| denied(&other)) {
            return true;
        }
        pid.is_some()
            && (world.hosts.iter().rev().take(256).any(|other| of_end(&other))
                || world.gunicorns.deaths.iter().rev().take(256).any(|death| of_worker(&death)))
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
