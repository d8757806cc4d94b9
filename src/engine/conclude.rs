//! From a request whose hold is over to its verdict, and to the records and spans that get it.

use super::case::{Case, DeathKey, Sight};
use super::causes::Mark;
use super::correlate::join::Request;
use super::correlate::{Interval, Seen};
use super::goods::Apart;
use super::incident::Trail;
use super::outcome::{self, Outcome};
use super::settle::Final;
use super::sites::{Late, SiteRef};
use super::timers::{REVISIT, Timer};
use super::topology::Ties;
use super::verdict::{LinkMethod, Source, Ticket, Verdict};
use super::{Engine, Output, decide, gather};
use crate::read::evidence::{Nanos, NginxAccess, SECOND, Symptom};
use crate::read::text::hash64;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long a decided request is remembered, so that late records of it still find their verdict.
const LATE: Nanos = 60 * SECOND;
/// Decided requests of all sites remembered for late records: 15 MiB, for a while twice as many. In a storm they are the newest,
/// and each site that has some has its share.
const DECIDED_MAX: usize = 4_096;
/// The same of those of which hardly anything may still come, as nearly all of an outage that no trace tells of: a megabyte,
/// which stays near the processor.
const CLOSED_MAX: usize = 512;
/// Sites whose requests are looked at again when a worker of another site ends.
const REVISITED_SITES_MAX: usize = 64;
/// Uids of recent verdicts that are kept to tell equal requests apart.
const UIDS_MAX: usize = 10_000;

impl Engine {
    /// A worker's end came in: requests decided without it are looked at again.
    pub(super) fn revisit(&mut self, now: Nanos, ended: SiteRef, at: Interval) {
        let sites: BTreeSet<SiteRef> = self.topology.nginxes_near(ended).take(REVISITED_SITES_MAX).collect();
        for of in sites {
            let Some(site) = self.sites.get_mut(of) else { continue };
            for id in site.requests.unsure_around(at) {
                if let Some(request) = site.requests.get_mut(id) {
                    request.stale = true;
                }
                self.timers.set(now.saturating_add(REVISIT), Timer::Request(of, id));
            }
        }
    }

    /// Too many requests wait: the oldest of the site that has the most gets its verdict now.
    pub(super) fn decide_oldest(&mut self, now: Nanos, newest: SiteRef) {
        let has_most = self.sites.get(newest).is_some_and(|site| site.open * 2 >= self.open);
        let busiest = if has_most { Some(newest) } else { self.sites.busiest() };
        let Some(at) = busiest else { return };
        if let Some(id) = self.sites.get_mut(at).and_then(|site| site.requests.oldest_open()) {
            self.decide(now, at, id);
        }
    }

    pub(super) fn decide(&mut self, now: Nanos, at: SiteRef, id: u64) {
        let Some(site) = self.sites.get_mut(at) else { return };
        let Some(request) = site.requests.get_mut(id) else { return };
        if request.verdict.is_some() {
            if request.stale {
                self.give_verdict(now, at, id, Only::Any);
                if let Some(request) = self.sites.get_mut(at).and_then(|site| site.requests.get_mut(id)) {
                    request.stale = false;
                }
            }
            return;
        }
        for timer in request.timer.into_iter().chain(request.settles.take()) {
            self.timers.cancel(timer);
        }
        site.open = site.open.saturating_sub(1);
        self.open = self.open.saturating_sub(1);
        if !outcome::has_surely_failed(request) {
            let servers = self.topology.ties(now, at, None, &self.sites);
            let outcome = self.sites.get(at).and_then(|site| {
                let request = site.requests.get(id)?;
                let sight = Sight::new(&self.sites, at, &servers)?;
                Some(outcome::outcome(request, &sight, self.settings.finds_good))
            });
            if outcome != Some(Outcome::Failed) {
                self.note_host(at, id, outcome == Some(Outcome::Contradicted));
                self.forget_request(at, id);
                return;
            }
        }
        if let Some(site) = self.sites.get_mut(at)
            && site.requests.get(id).is_some_and(|request| request.access.is_none())
        {
            let crowded = site.requests.are_offered_more(id);
            if let Some(request) = site.requests.get_mut(id) {
                adopt_truncated(request, crowded);
            }
        }
        self.give_verdict(now, at, id, Only::Any);
    }

    /// Decides a request that has surely failed and waits, if its verdict is final.
    pub(super) fn decide_if_final(&mut self, now: Nanos, at: SiteRef, id: u64) -> Option<Final> {
        let request = self.sites.get_mut(at)?.requests.get_mut(id)?;
        let timers = [request.timer, request.settles];
        let found = self.give_verdict(now, at, id, Only::Final)?;
        for timer in timers.into_iter().flatten() {
            self.timers.cancel(timer);
        }
        if let Some(site) = self.sites.get_mut(at) {
            site.open = site.open.saturating_sub(1);
        }
        self.open = self.open.saturating_sub(1);
        Some(found)
    }

    /// Notes whether the access logs have the requests of a virtual host: a failure that has an access line, or one that has none
    /// though it would be here.
    fn note_host(&mut self, at: SiteRef, id: u64, is_missed: bool) {
        let Some(site) = self.sites.get_mut(at).filter(|_| !self.settings.finds_good) else { return };
        let Some(request) = site.requests.get(id).filter(|request| request.genuine) else { return };
        let Some(error) = request.error() else { return };
        if request.access.is_some() || !request.maybe.is_empty() {
            site.world.note_host(&error.what.server, true);
        } else if is_missed && request.is_asked {
            site.world.note_host(&error.what.server, false);
        }
    }

    /// Gives a verdict, or none where only a final one is wanted; in that case says how final it is.
    fn give_verdict(&mut self, now: Nanos, at: SiteRef, id: u64, only: Only) -> Option<Final> {
        self.learn(now, now, at);
        self.note_host(at, id, false);
        let site = self.sites.get(at);
        let aim = site.and_then(|site| gather::aim_of(site.requests.get(id)?, &site.world));
        let Some(aim) = aim else {
            if only == Only::Any {
                self.forget_request(at, id);
            }
            return None;
        };
        let ties = self.topology.ties(now, at, aim.upstream, &self.sites);
        self.look_after_spans(now, at, &ties);
        let salt = self.salt_for(at, id);
        let Some(case) = gather::case_at(&self.sites, at, id, &ties) else {
            if only == Only::Any {
                self.forget_request(at, id);
            }
            return None;
        };
        let judged = decide::judge(&case);
        let found = if only == Only::Final { Some(Final::of(&case, &judged)?) } else { None };
        let awaits_none = case.request.has_all_lines() && !case.request.has_ids() && !case.sees_spans();
        let is_closed = found == Some(Final::Whole) && awaits_none && !judged.cause.has(Mark::MayLearnMore);
        let late = if is_closed { Late::Unlikely } else { Late::Likely };
        let request = case.request;
        let death = case.death.map(|(key, _)| key);
        let (mut verdict, span) = decide::verdict_of(&case, judged, id, salt, self.settings.link_threshold);
        let request_time = case.access().and_then(|access| access.request_time.value());
        self.slow.name(&mut verdict, request_time, decide::EVIDENCE_MAX);
        let before = request.verdict.clone();
        if let Some(before) = &before {
            verdict.uid.clone_from(&before.uid);
            verdict.revision = before.revision + 1;
            let is_same = before.cause == verdict.cause && before.link == verdict.link;
            if is_same && before.status == verdict.status && before.attempts == verdict.attempts {
                let tickets: Vec<Ticket> = request.records().into_iter().map(|(_, ticket)| ticket).collect();
                for ticket in tickets {
                    self.resolve(ticket, Some(Arc::clone(before)));
                }
                return found;
            }
        }
        verdict.incident = match &before {
            Some(before) => self.incidents.revise(now, before, &verdict),
            None => {
                let trail = Trail::of_request(&case, at, &ties, &self.sites, &verdict);
                Some(self.incidents.join(now, &self.sites, &trail, &verdict))
            }
        };
        let verdict = Arc::new(verdict);
        let maybe: Vec<Ticket> = request.maybe.iter().map(|access| access.ticket).collect();
        let apart = apart_of(&case, span, &verdict);
        let is_blamed = before.as_ref().is_some_and(|before| before.worker_pid == verdict.worker_pid);
        if let Some(death) = death.filter(|_| verdict.cause.has(Mark::BlamesWorker) && !is_blamed) {
            self.blame(death);
        }
        self.quoted.note(&verdict);
        if let Some(number) = span {
            self.link(at, number, id, &verdict);
        }
        for (_, ticket) in &verdict.records {
            self.resolve(*ticket, Some(Arc::clone(&verdict)));
        }
        for ticket in maybe {
            self.resolve(ticket, None);
        }
        self.resolve_spans(at, id, &verdict);
        if let Some(site) = self.sites.get_mut(at) {
            if let Some(apart) = apart {
                apart.teach(&mut site.world);
            }
            if let Some(request) = site.requests.get_mut(id) {
                request.verdict = Some(Arc::clone(&verdict));
                request.settle();
            }
            if let Some(trace) = verdict.link.trace {
                site.requests.note_link(id, trace.trace_id);
            }
        }
        self.update_named(at);
        self.update_wanted(at, id);
        self.outputs.push_back(Output::Verdict(verdict));
        self.tell_incidents();
        if before.is_none() {
            self.note_uid(at, id);
            self.remember_decided(now, at, late, id);
        }
        found
    }

    /// Spans are about to be looked for: those of this site and of the sites that its ties lead to are brought in order.
    pub(super) fn look_after_spans(&mut self, now: Nanos, at: SiteRef, ties: &Ties) {
        for site in ties.spans.iter().map(|tie| tie.site).chain([at]) {
            if let Some(site) = self.sites.get_mut(site) {
                site.world.spans.look_after(now, self.settings.spans_max);
            }
        }
    }

    /// A decided request is remembered for late records, but not for ever and not too many.
    fn remember_decided(&mut self, now: Nanos, at: SiteRef, late: Late, id: u64) {
        let due = now.saturating_add(LATE);
        self.sites.remember(at, late, due, id);
        if let Some(site) = self.sites.get_mut(at)
            && !std::mem::replace(&mut site.forgets, true)
        {
            self.timers.set(due, Timer::Forget(at));
        }
        let most = match late {
            Late::Likely => DECIDED_MAX,
            Late::Unlikely => CLOSED_MAX,
        };
        // One more than came: others may have taken of its share.
        for _ in 0..2 {
            let Some(oldest) = self.sites.take_past(at, late, most.min(self.settings.requests_max)) else { break };
            self.forget_request(at, oldest);
        }
    }

    /// Forgets the decided requests of a site whose time is over.
    pub(super) fn forget_decided(&mut self, now: Nanos, at: SiteRef) {
        for late in Late::ALL {
            while let Some(id) = self.sites.take_due(at, late, now) {
                self.forget_request(at, id);
            }
        }
        let Some(site) = self.sites.get_mut(at) else { return };
        let next = site.next_due();
        site.forgets = next.is_some();
        if let Some(due) = next {
            self.timers.set(due, Timer::Forget(at));
        }
    }

    /// A request is explained by this end of a worker, which explains one more.
    fn blame(&mut self, key: DeathKey) {
        let site = self.sites.get_mut(key.site);
        if let Some(death) = site.and_then(|site| site.world.gunicorns.deaths.get_mut(key.index)) {
            death.explains += 1;
        }
    }

    /// The span is this request's. By an id that both carry, it also tells where nginx's requests go.
    fn link(&mut self, nginx: SiteRef, number: u64, id: u64, verdict: &Verdict) {
        let Some(at) = self.sites.of_number(number) else { return };
        let Some(site) = self.sites.get_mut(at) else { return };
        site.world.spans.link(number, id);
        let is_server = site.world.spans.get(number).is_some_and(|span| span.is_server() && !span.is_from_nginx());
        if is_server && matches!(verdict.link.method, LinkMethod::TraceContext | LinkMethod::RequestId) {
            self.topology.learn(nginx, at, verdict.upstream.as_deref());
        }
    }

    pub(super) fn forget_request(&mut self, at: SiteRef, id: u64) {
        let Some(mut request) = self.sites.get_mut(at).and_then(|site| site.requests.remove(id)) else { return };
        self.update_named(at);
        if let Some(hash) = request.no_longer_awaited() {
            Arc::make_mut(&mut self.wanted).remove(hash);
        }
        let links = self.settings.link_all;
        // A good one after all waits for its link, where all have one.
        let waits = links && request.verdict.is_none() && request.access.is_some();
        // What is decided has let its records go, unless some came since.
        if !waits && (request.verdict.is_none() || request.stale) {
            for (_, ticket) in request.records_in_order() {
                self.resolve(ticket, request.verdict.clone());
            }
        }
        for access in std::mem::take(&mut request.maybe) {
            if !links {
                self.resolve(access.ticket, None);
            }
            self.good_after_all(at, access, None, Vec::new());
        }
        if request.verdict.is_some() {
            return;
        }
        let records: Vec<(Source, Ticket)> = request.records_in_order().collect();
        if let Some(access) = request.access {
            let others = records.into_iter().filter(|(_, ticket)| *ticket != access.ticket).collect();
            self.good_after_all(at, access, request.trace, others);
        }
    }

    /// How many verdicts of the site with the same first words came before: equal requests in one second get uids of
    /// their own. A verdict that is revised keeps its uid.
    fn salt_for(&self, at: SiteRef, id: u64) -> u32 {
        let Some(site) = self.sites.get(at) else { return 0 };
        let request = site.requests.get(id).filter(|request| request.verdict.is_none());
        request.and_then(|request| site.uids.get(&first_words(request))).copied().unwrap_or_default()
    }

    /// One more verdict with these first words was given.
    fn note_uid(&mut self, at: SiteRef, id: u64) {
        let Some(site) = self.sites.get_mut(at) else { return };
        let Some(words) = site.requests.get(id).map(first_words) else { return };
        if site.uids.len() >= UIDS_MAX {
            site.uids.clear();
        }
        *site.uids.entry(words).or_default() += 1;
    }
}

/// What the first line of a request says, hashed.
fn first_words(request: &Request) -> u64 {
    let words = request.errors.first().map(|error| error.words);
    words.or(request.access.as_ref().map(|access| access.words)).unwrap_or_else(|| hash64(b""))
}

/// Which verdicts are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    /// Whatever there is to say.
    Any,
    /// One that no later line unseats.
    Final,
}

/// What the span of a request tells of the delays between nginx and its application.
fn apart_of(case: &Case<'_>, span: Option<u64>, verdict: &Verdict) -> Option<Apart> {
    let access = case.request.access.as_ref()?;
    let class = case.instance.map_or("", |instance| instance.worker_class.as_str());
    // The application's answer is nginx's: both tell of the same moment.
    let usual = verdict.symptom == Symptom::Relayed;
    Some(Apart::of(&case.sight, access, &verdict.link, span, class, usual))
}

/// A healthy access line becomes the request's own where the answer was cut: the nearest in time. Where several are as near,
/// the one whose length differs from that of all others is it; else nobody can tell which of them was cut, and none is
/// blamed. Neither is one where equal requests that were cut have been offered more lines than there are of them.
fn adopt_truncated(request: &mut Request, crowded: bool) {
    if request.access.is_some() {
        return;
    }
    let error_at = request.error().map(|error| error.at);
    let distance = |access: &Seen<NginxAccess>| error_at.map_or(0, |at| at.distance(access.at));
    let served = || request.maybe.iter().enumerate().filter(|(_, access)| access.what.status < 400);
    let Some(least) = served().map(|(_, access)| distance(access)).min() else { return };
    let near: Vec<(usize, Option<u64>)> = served()
        .filter(|(_, access)| distance(access) == least)
        .map(|(index, access)| (index, access.what.body_bytes_sent.value()))
        .collect();
    let count = |length: Option<u64>| near.iter().filter(|(_, other)| *other == length).count();
    let mut odd = near.iter().filter(|(_, length)| count(*length) == 1);
    let found = match (near.as_slice(), odd.next(), odd.next()) {
        ([(only, _)], ..) if !crowded => Some(*only),
        (several, Some((index, _)), None) if several.len() >= ODD_AMONG => Some(*index),
        _ => None,
    };
    if let Some(index) = found {
        request.access = Some(request.maybe.swap_remove(index));
    }
}

/// Of so many answers one that differs from all others is the one that was cut.
const ODD_AMONG: usize = 3;
