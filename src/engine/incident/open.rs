//! The open incidents: which one a verdict joins, when they are told of, when they close.

use super::ended::{Ended, Witnesses};
use super::example;
use super::family::{Depth, Scope};
use super::route::route;
use super::tally::Tally;
use super::{Example, Incident, Label, QUIET, State, TOLD_AGAIN, Trail};
use crate::engine::causes::Cause;
use crate::engine::sites::{SiteRef, Sites};
use crate::engine::verdict::{Quote, Source, Verdict};
use crate::read::evidence::{Nanos, SECOND};
use crate::read::text::hash64;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Open incidents, of all sites: each takes up to 8 KiB. Past it the one that nothing joined for the longest closes.
const OPEN_MAX: usize = 1_024;
/// Names by which an incident is found: the peers of its nginxes, the logs and services of its application.
const ANCHORS_MAX: usize = 64;
/// nginxes and Gunicorns of one incident that are asked what ended it.
const WITNESSES_MAX: usize = 8;
/// Virtual hosts of one incident by which others are kept out of it.
const HOSTS_MAX: usize = 16;
/// What joins no request is judged so much later than a request that failed at the same time.
const JUDGED_LATE: Nanos = 5 * SECOND;
/// A failure so long after the last one is asked whether the server had recovered.
const ASKED_AFTER: Nanos = 2 * SECOND;

/// One that is open.
#[derive(Debug)]
struct Open {
    label: Arc<Label>,
    scope: Scope,
    /// How deep its origin stands, and when it failed.
    depth: Depth,
    origin_at: Nanos,
    first: Nanos,
    last: Nanos,
    /// The server recovered then: what fails later is of another outage.
    recovered: Option<(Nanos, Ended)>,
    anchors: Vec<u64>,
    machines: Vec<u64>,
    hosts: Vec<u64>,
    /// Logs of Gunicorns with the sites that they are of.
    servers: Vec<(SiteRef, u64)>,
    nginxes: Vec<SiteRef>,
    has_peer: bool,
    has_stream: bool,
    tally: Tally,
    began_with: Option<String>,
    evidence: Option<Quote>,
    examples: Vec<Example>,
    revision: u32,
    /// Failures when it was told of last, and when that was.
    told: u64,
    told_at: Nanos,
    /// It changed since.
    is_news: bool,
    /// Time on the caller's clock when something joined it last.
    touched: Nanos,
}

impl Open {
    /// When to look at it next.
    fn due(&self) -> Nanos {
        let closes = self.touched.saturating_add(QUIET + JUDGED_LATE);
        if self.is_news { closes.min(self.told_at.saturating_add(TOLD_AGAIN)) } else { closes }
    }

    fn is_near(&self, time: Nanos) -> bool {
        let until = self.recovered.as_ref().map_or(Nanos::MAX, |(until, _)| *until);
        time >= self.first.saturating_sub(QUIET) && time <= self.last.saturating_add(QUIET) && time <= until
    }

    fn snapshot(&self, state: State, ended: Option<Ended>) -> Arc<Incident> {
        Arc::new(Incident {
            label: Arc::clone(&self.label),
            revision: self.revision,
            state,
            first: self.first,
            last: self.last,
            tally: self.tally.clone(),
            began_with: self.began_with.clone(),
            evidence: self.evidence.clone(),
            examples: self.examples.clone(),
            ended,
        })
    }

    fn witnesses<'a>(&'a self, sites: &'a Sites) -> Witnesses<'a> {
        Witnesses { sites, nginxes: &self.nginxes, servers: &self.servers }
    }

    /// Takes over where a failure leads to.
    fn follow(&mut self, trail: &Trail) -> Vec<u64> {
        let mut new = Vec::new();
        for anchor in trail.peers.iter().chain(&trail.stream).chain(&trail.service) {
            if self.anchors.len() < ANCHORS_MAX && !self.anchors.contains(anchor) {
                self.anchors.push(*anchor);
                new.push(*anchor);
            }
        }
        for machine in trail.machines.iter() {
            if self.machines.len() < WITNESSES_MAX && !self.machines.contains(machine) {
                self.machines.push(*machine);
                new.push(*machine);
            }
        }
        if trail.host != 0 && self.hosts.len() < HOSTS_MAX && !self.hosts.contains(&trail.host) {
            self.hosts.push(trail.host);
        }
        if let Some(nginx) = trail.nginx
            && self.nginxes.len() < WITNESSES_MAX
            && !self.nginxes.contains(&nginx)
        {
            self.nginxes.push(nginx);
        }
        if let Some(server) = trail.server
            && self.servers.len() < WITNESSES_MAX
            && !self.servers.contains(&server)
        {
            self.servers.push(server);
        }
        self.has_peer |= trail.has_peer;
        self.has_stream |= trail.stream.is_some();
        new
    }

    /// Counts a verdict, which may name the origin better than those before it; true when it does.
    fn take(&mut self, verdict: &Verdict, scope: Scope, depth: Depth) -> bool {
        self.tally.add(verdict);
        self.first = self.first.min(verdict.time);
        self.last = self.last.max(verdict.time);
        self.scope = self.scope.with(scope).unwrap_or(self.scope);
        example::show(&mut self.examples, verdict);
        self.is_news = true;
        self.name_origin(verdict, depth)
    }

    fn name_origin(&mut self, verdict: &Verdict, depth: Depth) -> bool {
        let is_better = (depth, verdict.time) < (self.depth, self.origin_at);
        if is_better || self.began_with.is_none() && self.label.origin == verdict.cause {
            let path = (!verdict.target.is_empty()).then(|| route(&verdict.method, &verdict.target));
            self.began_with = path.or(self.began_with.take());
        }
        if !is_better {
            if self.label.origin == verdict.cause && self.label.asks.is_some_and(|asks| verdict.asks != Some(asks)) {
                // What is to be done about some of them is not what is to be done about all.
                self.label = Arc::new(Label { asks: None, ..Label::clone(&self.label) });
            }
            return false;
        }
        (self.depth, self.origin_at) = (depth, verdict.time);
        self.evidence = telling(verdict).or(self.evidence.take());
        if self.label.origin == verdict.cause {
            return false;
        }
        self.label = Arc::new(Label {
            uid: self.label.uid.clone(),
            origin: verdict.cause,
            peer: verdict.peer,
            asks: verdict.asks,
        });
        true
    }
}

/// All that are open.
#[derive(Debug, Default)]
pub(in crate::engine) struct Incidents {
    open: BTreeMap<u64, Open>,
    next: u64,
    /// Open ones by the names that they are found by.
    by_anchor: BTreeMap<u64, Vec<u64>>,
    by_uid: BTreeMap<String, u64>,
    /// What there is to tell.
    news: Vec<Arc<Incident>>,
    /// When to look at them next, at the latest.
    due: Option<Nanos>,
}

impl Incidents {
    /// The incident of a verdict that was just reached.
    pub(in crate::engine) fn join(
        &mut self,
        now: Nanos,
        sites: &Sites,
        trail: &Trail,
        verdict: &Verdict,
    ) -> Arc<Label> {
        let (scope, depth) = Scope::of(verdict.cause);
        let found = self.find(sites, trail, verdict, scope);
        let number = found.unwrap_or_else(|| self.begin(now, sites, trail, verdict, scope, depth));
        let Some(open) = self.open.get_mut(&number) else { return label_of(trail, verdict) };
        let is_clearer = open.take(verdict, scope, depth);
        open.touched = open.touched.max(now);
        for anchor in open.follow(trail) {
            self.by_anchor.entry(anchor).or_default().push(number);
        }
        let label = Arc::clone(&open.label);
        let due = open.due();
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
        let is_due = open.tally.total() >= open.told.saturating_mul(2)
            || now.saturating_sub(open.told_at) >= TOLD_AGAIN
            || is_clearer;
        if found.is_none() {
            self.tell(now, number, State::Opened);
        } else if is_due {
            self.tell(now, number, State::Changed);
        }
        label
    }

    /// Late evidence changed a verdict: it stays in its incident, and its counts move.
    pub(in crate::engine) fn revise(&mut self, now: Nanos, before: &Verdict, verdict: &Verdict) -> Option<Arc<Label>> {
        let known = before.incident.clone()?;
        // A closed one is told of no more.
        let Some(number) = self.by_uid.get(&known.uid).copied() else { return Some(known) };
        let Some(open) = self.open.get_mut(&number) else { return Some(known) };
        open.tally.remove(before);
        let (scope, depth) = Scope::of(verdict.cause);
        open.tally.add(verdict);
        open.first = open.first.min(verdict.time);
        open.last = open.last.max(verdict.time);
        example::revise(&mut open.examples, verdict);
        open.is_news = true;
        let due = open.due();
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
        let mut is_clearer = false;
        // The cause that it began with is said of nothing in it any more.
        if open.tally.of(open.label.origin) == 0 {
            open.scope = open.scope.with(scope).unwrap_or(scope);
            (open.depth, open.origin_at) = (Depth::SaysNoReason, Nanos::MAX);
            is_clearer = open.name_origin(verdict, depth);
        } else if let Some(both) = open.scope.with(scope) {
            open.scope = both;
            is_clearer = open.name_origin(verdict, depth);
        }
        let label = Arc::clone(&open.label);
        if is_clearer {
            self.tell(now, number, State::Changed);
        }
        Some(label)
    }

    /// When to look at them next; at times earlier than needed. `None` where none is open.
    pub(in crate::engine) fn due(&self) -> Option<Nanos> {
        self.due
    }

    /// The timer fell due: tells of what changed, closes what is over.
    pub(in crate::engine) fn look(&mut self, now: Nanos, sites: &Sites) {
        let due: Vec<u64> = self.open.iter().filter(|(_, open)| open.due() <= now).map(|(number, _)| *number).collect();
        for number in due {
            let Some(open) = self.open.get(&number) else { continue };
            if open.touched.saturating_add(QUIET + JUDGED_LATE) <= now {
                self.close(sites, number, Ended::Quiet);
            } else {
                self.tell(now, number, State::Changed);
            }
        }
        self.due = self.open.values().map(Open::due).min();
    }

    /// Closes all: shutdown, end of input.
    pub(in crate::engine) fn finish(&mut self, now: Nanos, sites: &Sites) {
        let all: Vec<u64> = self.open.keys().copied().collect();
        for number in all {
            let Some(open) = self.open.get(&number) else { continue };
            let is_quiet = open.last.saturating_add(QUIET) <= now;
            self.close(sites, number, if is_quiet { Ended::Quiet } else { Ended::EndOfInput });
        }
    }

    /// What there is to tell.
    pub(in crate::engine) fn take_news(&mut self) -> Vec<Arc<Incident>> {
        std::mem::take(&mut self.news)
    }

    /// How many are open.
    pub(in crate::engine) fn count(&self) -> usize {
        self.open.len()
    }

    fn find(&mut self, sites: &Sites, trail: &Trail, verdict: &Verdict, scope: Scope) -> Option<u64> {
        let sure = trail.peers.iter().chain(&trail.stream).flat_map(|anchor| self.anchored(anchor));
        let sure: Vec<u64> = sure.collect();
        let found = self.best(&sure, verdict.time, scope).or_else(|| {
            // Replicas have logs of their own; two Gunicorns of one site are two applications.
            let replicas = trail.service.iter().flat_map(|anchor| self.anchored(anchor)).filter(|number| {
                let of_site = |(site, stream): &(SiteRef, u64)| {
                    trail.server.is_some_and(|(own, own_stream)| *site == own && *stream != own_stream)
                };
                self.open.get(number).is_some_and(|open| !open.servers.iter().any(of_site))
            });
            let replicas: Vec<u64> = replicas.collect();
            self.best(&replicas, verdict.time, scope)
        });
        let found = found.or_else(|| self.only_one_near(trail, verdict, scope))?;
        let open = self.open.get_mut(&found)?;
        let may_be_server = scope.is_of_server() || open.scope.is_of_server();
        let asks = may_be_server && verdict.time > open.last.saturating_add(ASKED_AFTER);
        if asks && let Some(ended) = open.witnesses(sites).recovered(open.last, verdict.time) {
            // What failed before and is judged later still joins it.
            open.recovered = Some((ended.at().unwrap_or(open.last).max(open.last), ended));
            return None;
        }
        Some(found)
    }

    fn anchored(&self, anchor: &u64) -> impl Iterator<Item = u64> + use<'_> {
        self.by_anchor.get(anchor).into_iter().flatten().copied()
    }

    /// Of several that fit the one whose family is known, then the newest.
    fn best(&self, numbers: &[u64], time: Nanos, scope: Scope) -> Option<u64> {
        let fitting = numbers.iter().filter(|number| {
            let open = self.open.get(number);
            open.is_some_and(|open| open.is_near(time) && open.scope.with(scope).is_some())
        });
        let rank = |number: &&u64| self.open.get(number).map(|open| (open.scope.is_settled(), open.last, **number));
        fitting.max_by_key(rank).copied()
    }

    /// Where it is not known which application failed, or what nginx calls it: the only one of its family that fails in
    /// that site is the one, where nothing contradicts.
    fn only_one_near(&self, trail: &Trail, verdict: &Verdict, scope: Scope) -> Option<u64> {
        let mut near: Vec<u64> = trail.machines.iter().flat_map(|machine| self.anchored(machine)).collect();
        near.sort_unstable();
        near.dedup();
        near.retain(|number| {
            self.open.get(number).is_some_and(|open| {
                let is_other_host = trail.host != 0 && !open.hosts.is_empty() && !open.hosts.contains(&trail.host);
                open.is_near(verdict.time)
                    && open.scope.with(scope).is_some()
                    && !(trail.has_peer && open.has_peer)
                    && !(trail.stream.is_some() && open.has_stream)
                    && !is_other_host
            })
        });
        if let [only] = near.as_slice() { Some(*only) } else { None }
    }

    fn begin(
        &mut self,
        now: Nanos,
        sites: &Sites,
        trail: &Trail,
        verdict: &Verdict,
        scope: Scope,
        depth: Depth,
    ) -> u64 {
        if self.open.len() >= OPEN_MAX {
            let stale =
                self.open.iter().min_by_key(|(number, open)| (open.touched, **number)).map(|(number, _)| *number);
            if let Some(stale) = stale {
                self.close(sites, stale, Ended::TooMany);
            }
        }
        let number = self.next;
        self.next += 1;
        let label = label_of(trail, verdict);
        self.by_uid.insert(label.uid.clone(), number);
        let open = Open {
            label,
            scope,
            depth,
            origin_at: verdict.time,
            first: verdict.time,
            last: verdict.time,
            recovered: None,
            anchors: Vec::new(),
            machines: Vec::new(),
            hosts: Vec::new(),
            servers: Vec::new(),
            nginxes: Vec::new(),
            has_peer: false,
            has_stream: false,
            tally: Tally::default(),
            began_with: None,
            evidence: telling(verdict),
            examples: Vec::new(),
            revision: 0,
            told: 0,
            told_at: now,
            is_news: false,
            touched: now,
        };
        self.open.insert(number, open);
        number
    }

    fn tell(&mut self, now: Nanos, number: u64, state: State) {
        let Some(open) = self.open.get_mut(&number) else { return };
        if state != State::Opened {
            open.revision += 1;
        }
        (open.told, open.told_at, open.is_news) = (open.tally.total(), now, false);
        self.news.push(open.snapshot(state, None));
    }

    fn close(&mut self, sites: &Sites, number: u64, otherwise: Ended) {
        let Some(mut open) = self.open.remove(&number) else { return };
        self.by_uid.remove(&open.label.uid);
        for anchor in open.anchors.iter().chain(&open.machines) {
            if let Some(numbers) = self.by_anchor.get_mut(anchor) {
                numbers.retain(|known| *known != number);
                if numbers.is_empty() {
                    self.by_anchor.remove(anchor);
                }
            }
        }
        let recovered = open.recovered.take().map(|(_, ended)| ended);
        let ended = recovered.or_else(|| open.witnesses(sites).end(open.last, open.scope)).unwrap_or(otherwise);
        open.revision += 1;
        self.news.push(open.snapshot(State::Closed, Some(ended)));
    }
}

/// Made of the place, the cause and the first failure: replay gives the same.
fn label_of(trail: &Trail, verdict: &Verdict) -> Arc<Label> {
    let mut words = Vec::with_capacity(80);
    words.extend_from_slice(&trail.place.to_le_bytes());
    words.extend_from_slice(verdict.cause.id.as_bytes());
    words.push(0);
    words.extend_from_slice(verdict.uid.as_bytes());
    let high = hash64(&words);
    words.push(b'#');
    let origin: &'static Cause = verdict.cause;
    Arc::new(Label {
        uid: format!("{high:016x}{:016x}", hash64(&words)),
        origin,
        peer: verdict.peer,
        asks: verdict.asks,
    })
}

/// What says most of why: not nginx's own words, where there are others.
fn telling(verdict: &Verdict) -> Option<Quote> {
    let of_nginx = |quote: &&Quote| matches!(quote.source, Source::NginxError | Source::NginxAccess);
    let is_line = |quote: &&Quote| quote.source != Source::Why502;
    let quotes = || verdict.evidence.iter().filter(is_line);
    quotes().find(|quote| !of_nginx(quote)).or_else(|| quotes().next()).cloned()
}
