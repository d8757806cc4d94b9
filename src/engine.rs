//! Evidence in, verdicts out. Pure: no clock, file, socket, lock, log or async; time is a number that is passed in.
//!
//! Live use, `why502 explain` on last week's files, replay and simulation run this same code. The caller reads lines
//! and spans ([`crate::read::formats`]), hands over what proves something, and keeps the bytes of what the engine holds.
//!
//! ```text
//!  handle_record ─┐                                ┌─► Output::Release  a held record or span may go on, with its verdict
//!  handle_spans  ─┼─► site ─► join ─► case ─► cause ┤
//!  handle_timeout ┘   topology of sites ┘     link  └─► Output::Verdict  once for each failed request
//! ```
//!
//! A site is one deployment whose records may explain each other. Nothing in one site sees another but through the
//! topology.
//!
//! Invariants: every held ticket is released exactly once; memory is bounded by [`Settings`]; the same calls in the
//! same order give the same outputs.

pub mod calibration;
pub mod case;
pub mod causes;
pub mod correlate;
pub mod decide;
pub mod incident;
pub mod place;
mod sites;
pub mod span_watch;
mod timers;
mod topology;
pub mod verdict;
pub mod words;

mod clocks;
mod conclude;
mod gather;
mod ghosts;
mod goods;
mod holding;
mod lines;
mod named;
mod outcome;
mod quoted;
mod settle;
mod standalone;

use crate::read::evidence::{Evidence, Nanos, Proof, SECOND};
use crate::read::{Wanted, evidence, nginx_conf};
use correlate::slow::SlowSpans;
use holding::Holding;
use incident::{Incident, Incidents};
use lines::Line;
use named::Named;
use place::{Place, Stream};
use quoted::Quoted;
use sites::{SiteRef, Sites};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
pub use timers::Wake;
use timers::{Delays, Timer, TimerKey, Timers};
pub use topology::UpstreamRule;
use topology::{Role, Topology};
use verdict::{GoodRequest, Ticket, Verdict};

/// What the engine may keep, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a record waits for its verdict. Default 8 s.
    pub hold: Nanos,
    /// A verdict that nothing can change any more leaves so long after the last line of its request; `None`, the default, has
    /// each wait for the whole hold.
    pub settle: Option<Nanos>,
    /// A link that is not exact is set at this confidence or above. 0 to 1, default 0.95.
    pub link_threshold: f64,
    /// Good requests are linked as well: the caller hands over their access lines. Default false.
    pub link_all: bool,
    /// Access lines that look good are handed over where their error line asks for them, also those that came long before it:
    /// that there is none is evidence. Default true.
    pub finds_good: bool,
    /// Failed requests open at once; past it the oldest gets its verdict early. Default 10,000.
    pub requests_max: usize,
    /// Spans remembered for linking; past it the oldest are forgotten, of the site that has the most. Default 200,000.
    pub spans_max: usize,
    /// How far local time in error logs is ahead of UTC; inferred for each source where `None`, the default.
    pub zone: Option<Nanos>,
    /// nginx's configuration, where it is known: its upstreams and timeouts.
    pub nginx: Option<Arc<nginx_conf::NginxConf>>,
    /// Explicit rules of the topology, at most [`place::RULES_MAX`], in the order of their bits in [`Place::nginx_of`] and
    /// [`Place::server_of`].
    pub upstream_rules: Vec<UpstreamRule>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            hold: 8 * evidence::SECOND,
            settle: None,
            link_threshold: 0.95,
            link_all: false,
            finds_good: true,
            requests_max: 10_000,
            spans_max: 200_000,
            zone: None,
            nginx: None,
            upstream_rules: Vec::new(),
        }
    }
}

/// One line that proves something.
#[derive(Clone, Debug)]
pub struct Record {
    /// Names the caller's copy.
    pub ticket: Ticket,
    /// Who wrote it.
    pub stream: Stream,
    /// When a collector saw the line; 0 when unknown.
    pub observed: Nanos,
    /// What it proves.
    pub evidence: Evidence,
}

/// What the caller does with the record that it just handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send it on now; the engine forgets its ticket as far as releasing goes.
    Pass,
    /// Keep it until [`Output::Release`] names its ticket.
    Hold,
}

/// What the engine has to say.
#[derive(Clone, Debug)]
pub enum Output {
    /// A held record or span may go on; with a verdict it belongs to that failed request and gets its attributes.
    Release {
        /// The ticket of the held record or span.
        ticket: Ticket,
        /// The verdict to write on it.
        verdict: Option<Arc<Verdict>>,
    },
    /// A verdict was reached or revised; sent once for each request and revision.
    Verdict(Arc<Verdict>),
    /// An incident opened, changed or closed; while it is open at most about every ten seconds and when it has doubled.
    Incident(Arc<Incident>),
    /// A request that did not fail got its link; only where [`Settings::link_all`] asks for it, and before its records go on.
    Good(Arc<GoodRequest>),
}

/// How far back causes look: a graceful stop may take 30 s, and a boot failure matters until the next start.
const LOOK_BACK: Nanos = 180 * SECOND;
/// Sites that are relieved of what is old at each look at the clock.
const SWEEP: usize = 4;

/// Evidence in, verdicts out.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    delays: Delays,
    sites: Sites,
    topology: Topology,
    timers: Timers,
    holding: Holding,
    /// Requests that wait for their verdict, of all sites.
    open: usize,
    /// Lines about processes that a verdict has quoted.
    quoted: Quoted,
    /// Spans in sight, of all sites.
    spans: usize,
    /// Sites in which spans wait.
    waiting: BTreeSet<SiteRef>,
    /// Ids by which spans find their requests.
    named: Named,
    /// Spans that took long, of all sites: a trace id is one trace's wherever it comes from.
    slow: SlowSpans,
    incidents: Incidents,
    /// Looks at them: when it falls due, and its name.
    incident_timer: Option<(Nanos, TimerKey)>,
    outputs: VecDeque<Output>,
    wanted: Arc<Wanted>,
    /// Where the next sweep begins.
    swept: usize,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(settings: Settings) -> Engine {
        Engine {
            delays: Delays::of_hold(settings.hold),
            sites: Sites::default(),
            topology: Topology::with_rules(settings.upstream_rules.clone()),
            timers: Timers::default(),
            holding: Holding::default(),
            open: 0,
            quoted: Quoted::default(),
            spans: 0,
            waiting: BTreeSet::new(),
            named: Named::default(),
            slow: SlowSpans::default(),
            incidents: Incidents::default(),
            incident_timer: None,
            outputs: VecDeque::new(),
            wanted: Arc::default(),
            swept: 0,
            settings,
        }
    }

    /// The settings that it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes one line that proves something.
    pub fn handle_record(&mut self, now: Nanos, record: Record) -> Decision {
        let at = self.site_of(now, &record.stream.place);
        let zone = self.settings.zone;
        let Some(site) = self.sites.get_mut(at) else { return Decision::Pass };
        let moment = site.clocks.moment(now, zone, &record);
        // A line without a stamp says when it was seen, which may be long after it was written.
        if record.evidence.stamp.is_some() {
            site.newest = site.newest.max(moment.from.min(now));
        }
        let Record { ticket, stream, evidence, .. } = record;
        let line = Line { now, site: at, stream: &stream, ticket, at: moment };
        match evidence.proof {
            Proof::NginxError(_) => self.handle_error(line, evidence),
            Proof::NginxAccess(_) => self.handle_access(line, evidence),
            _ => self.handle_other(line, evidence),
        }
    }

    /// Counts healthy requests of a stream, so that causes can tell a sick URL from a sick server, and so that it is
    /// known which times the access log covers. `now` is about when they were answered.
    pub fn handle_healthy(&mut self, now: Nanos, stream: &Stream, count: u64) {
        if count > 0 {
            let at = self.site_of(now, &stream.place);
            self.note(at, Role::Nginx, &stream.place);
            if let Some(site) = self.sites.get_mut(at) {
                site.world.cover(stream.id, now, true);
            }
        }
    }

    /// The same where their lines came long after they were written: each second in which one was answered.
    pub fn handle_late_healthy(&mut self, now: Nanos, stream: &Stream, seconds: &[Nanos]) {
        let at = self.site_of(now, &stream.place);
        self.note(at, Role::Nginx, &stream.place);
        if let Some(site) = self.sites.get_mut(at) {
            seconds.iter().for_each(|second| site.world.cover(stream.id, *second, true));
        }
    }

    /// Lets time pass: requests whose hold is over get their verdict.
    pub fn handle_timeout(&mut self, now: Nanos) {
        while let Some((due, timer)) = self.timers.pop_due(now) {
            self.handle_timer(due, timer);
        }
        self.sweep(now);
    }

    /// When to call [`Engine::handle_timeout`] next, and why; `None` when nothing is held and no request is in sight.
    pub fn poll_timeout(&self) -> Option<(Nanos, Wake)> {
        self.timers.next_due()
    }

    /// The next thing to do; call until `None` after each `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Gives every open request its verdict now: shutdown, end of input.
    pub fn finish(&mut self, now: Nanos) {
        self.topology.renew();
        // No span comes any more that they would have to wait for.
        let sites: Vec<SiteRef> = self.sites.iter().map(|(at, _)| at).collect();
        sites.iter().for_each(|at| self.learn(now, Nanos::MAX, *at));
        // Deaths and phases after requests: a request that they explain comes first.
        let (requests, others): (Vec<_>, Vec<_>) =
            self.timers.take().into_iter().partition(|(_, timer)| matches!(timer, Timer::Request(..)));
        for (due, timer) in requests.into_iter().chain(others) {
            self.handle_timer(due.min(now), timer);
        }
        for (_, timer) in self.timers.take() {
            self.handle_timer(now, timer);
        }
        self.incidents.finish(now, &self.sites);
        self.tell_incidents();
        sites.into_iter().for_each(|at| self.forget_decided(Nanos::MAX, at));
        self.finish_goods();
        self.timers.take();
    }

    /// The access lines to hand over although they look healthy. Compare the pointer to see whether it changed. While no
    /// copy of it is kept, changes cost no copy.
    pub fn wanted(&self) -> Arc<Wanted> {
        Arc::clone(&self.wanted)
    }

    /// Adds request lines whose access line the caller wants handed over in any case.
    pub fn want(&mut self, known: Wanted) {
        Arc::make_mut(&mut self.wanted).know(&known);
    }

    /// Records and spans that the caller keeps for the engine.
    pub fn held_count(&self) -> usize {
        self.holding.count()
    }

    /// Requests that wait for their verdict.
    pub fn open_count(&self) -> usize {
        self.open
    }

    /// Requests in sight: those that wait, and those that were decided and may get late records.
    pub fn request_count(&self) -> usize {
        self.sites.iter().map(|(_, site)| site.requests.count()).sum()
    }

    /// Incidents that are open.
    pub fn incident_count(&self) -> usize {
        self.incidents.count()
    }

    /// Sites in sight.
    pub fn site_count(&self) -> usize {
        self.sites.count()
    }

    /// The site of a place. A new one may have another forgotten.
    fn site_of(&mut self, now: Nanos, place: &Arc<Place>) -> SiteRef {
        let (at, is_new) = self.sites.of_place(now, place, self.settings.nginx.as_ref());
        if is_new && let Some(stale) = self.sites.stale(now).filter(|stale| *stale != at) {
            self.forget_site(now, stale);
        }
        at
    }

    /// Notes what a site is seen to be.
    fn note(&mut self, at: SiteRef, role: Role, place: &Arc<Place>) {
        if let Some(site) = self.sites.get_mut(at)
            && site.is_news(role, place.service)
        {
            self.topology.note(at, role, place);
        }
    }

    /// What it holds goes on, with its verdict where it is part of a failed request.
    fn forget_site(&mut self, now: Nanos, at: SiteRef) {
        let Some(site) = self.sites.get(at) else { return };
        let open: Vec<u64> = site.requests.open_ids().collect();
        for id in open {
            self.decide(now, at, id);
        }
        let all: Vec<u64> =
            self.sites.get(at).map(|site| site.requests.iter().map(|(id, _)| id).collect()).unwrap_or_default();
        for id in all {
            self.forget_request(at, id);
        }
        self.finish_goods_of(at);
        if let Some(mut site) = self.sites.remove(at) {
            self.spans = self.spans.saturating_sub(site.world.spans.count());
            site.world.spans.forget(Nanos::MAX);
            for ticket in site.world.spans.take_forgotten() {
                self.resolve(ticket, None);
            }
        }
        self.topology.forget(at);
    }

    /// Forgets what is old, of a few sites at a time.
    fn sweep(&mut self, now: Nanos) {
        let look_back = LOOK_BACK.saturating_add(self.settings.hold);
        for _ in 0..SWEEP.min(self.sites.count()) {
            let Some((at, site)) = self.sites.after(&mut self.swept) else { break };
            // Logs may be old (a replay) or their clock behind: what counts is how far behind the newest evidence.
            let newest = if site.newest == Nanos::MIN { now } else { now.min(site.newest) };
            site.world.forget(newest.saturating_sub(look_back));
            let before = site.world.spans.count();
            site.world.spans.forget(now.saturating_sub(look_back));
            self.spans = (self.spans + site.world.spans.count()).saturating_sub(before);
            self.release_forgotten(at);
        }
        if let Some(stale) = self.sites.stale(now) {
            self.forget_site(now, stale);
        }
    }

    fn handle_timer(&mut self, now: Nanos, timer: Timer) {
        match timer {
            Timer::Request(site, id) => self.decide(now, site, id),
            Timer::Settle(site, id) => {
                self.settle(now, site, id);
            }
            Timer::Crowd(site) => self.settle_crowd(now, site),
            Timer::Good(site) => self.decide_goods(now, site),
            Timer::Ticket(ticket) => self.resolve(ticket, None),
            Timer::Span(site, number) => self.release_span(now, site, number),
            Timer::Death(site, number) => self.decide_death(now, site, number),
            Timer::Phase(site, stream, ticket) => self.decide_phase(now, site, stream, ticket),
            Timer::Host(site, ticket) => self.decide_host(now, site, ticket),
            Timer::Forget(site) => self.forget_decided(now, site),
            Timer::Incidents => {
                self.incident_timer = None;
                self.incidents.look(now, &self.sites);
                self.tell_incidents();
            }
        }
    }

    /// Hands out what there is to tell of incidents, and sees to it that they are looked at again.
    fn tell_incidents(&mut self) {
        self.outputs.extend(self.incidents.take_news().into_iter().map(Output::Incident));
        let Some(due) = self.incidents.due() else { return };
        if self.incident_timer.is_none_or(|(running, _)| due < running) {
            if let Some((_, running)) = self.incident_timer {
                self.timers.cancel(running);
            }
            self.incident_timer = Some((due, self.timers.set(due, Timer::Incidents)));
        }
    }

    fn resolve(&mut self, ticket: Ticket, verdict: Option<Arc<Verdict>>) {
        self.holding.resolve(ticket, verdict, &mut self.outputs);
    }

    /// Takes over by which ids spans find the requests of a site.
    fn update_named(&mut self, at: SiteRef) {
        if let Some(site) = self.sites.get_mut(at) {
            self.named.apply(at, site.requests.take_naming());
        }
    }

    /// Notes whether the access line of a request is still looked for.
    fn update_wanted(&mut self, at: SiteRef, id: u64) {
        let Some(request) = self.sites.get_mut(at).and_then(|site| site.requests.get_mut(id)) else { return };
        match request.note_awaited() {
            Some((hash, true)) => Arc::make_mut(&mut self.wanted).add(hash),
            Some((hash, false)) => Arc::make_mut(&mut self.wanted).remove(hash),
            None => {}
        }
    }
}
