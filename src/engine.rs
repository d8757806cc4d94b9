//! Evidence in, verdicts out. Pure: no clock, file, socket, lock, log or async; time is a number that is passed in.
//!
//! Live use, `why502 explain` on last week's files, replay and simulation run this same code. The caller reads lines
//! and spans ([`formats`]), hands over what proves something, and keeps the bytes of what the engine holds.
//!
//! ```text
//!  handle_record ─┐                          ┌─► Output::Release  a held record or span may go on, with its verdict
//!  handle_spans  ─┼─► window ─► join ─► cause ┤
//!  handle_timeout ┘             link          └─► Output::Verdict  once for each failed request
//! ```
//!
//! Invariants: every held ticket is released exactly once; memory is bounded by [`Settings`]; the same calls in the
//! same order give the same outputs.

pub mod case;
pub mod causes;
pub mod correlate;
pub mod decide;
mod timers;
pub mod verdict;

mod conclude;
mod gather;
mod holding;
mod moment;
mod outcome;
pub mod place;
pub mod span_watch;
mod standalone;

use crate::read::evidence::{Evidence, GunicornEvent, Nanos, Proof, SECOND};
use crate::read::{Wanted, evidence, nginx_conf};
use case::error_quote;
use correlate::join::Requests;
use correlate::skew::Ahead;
use correlate::world::{Failure, World};
use correlate::{Interval, Seen};
use holding::Held;
use place::Stream;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use timers::Timer;
pub use timers::Wake;
use verdict::{Ticket, Verdict};

/// What the engine may keep, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a record waits for its verdict. Default 8 s.
    pub hold: Nanos,
    /// A link that is not exact is set at this confidence or above. 0 to 1, default 0.95.
    pub link_threshold: f64,
    /// Failed requests open at once; past it the oldest gets its verdict early. Default 10,000.
    pub requests_max: usize,
    /// Spans remembered for linking; past it the oldest are forgotten. Default 200,000.
    pub spans_max: usize,
    /// How far local time in error logs is ahead of UTC; inferred for each source where `None`, the default.
    pub zone: Option<Nanos>,
    /// nginx's configuration, where it is known: its upstreams and timeouts.
    pub nginx: Option<Arc<nginx_conf::NginxConf>>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            hold: 8 * evidence::SECOND,
            link_threshold: 0.95,
            requests_max: 10_000,
            spans_max: 200_000,
            zone: None,
            nginx: None,
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
}

/// How far back causes look: a graceful stop may take 30 s, and a boot failure matters until the next start.
const LOOK_BACK: Nanos = 180 * SECOND;
/// A fatal record waits so much longer than the hold for the request that it explains.
const STANDALONE_AFTER: Nanos = 2 * SECOND;

/// Evidence in, verdicts out.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    requests: Requests,
    open: usize,
    /// Requests in the order of their verdicts; some of them are forgotten already.
    decided: VecDeque<u64>,
    world: World,
    timers: BTreeMap<(Nanos, u64), Timer>,
    next_timer: u64,
    held: HashMap<Ticket, Held>,
    lanes: HashMap<u64, VecDeque<Ticket>>,
    uids: HashMap<u64, u32>,
    outputs: VecDeque<Output>,
    wanted: Arc<Wanted>,
    /// How far the clocks of log streams are ahead of the collector's.
    ahead: HashMap<u64, Ahead>,
    /// The newest time of any evidence.
    newest: Nanos,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(settings: Settings) -> Engine {
        let mut world = World::default();
        world.nginx.clone_from(&settings.nginx);
        Engine {
            settings,
            requests: Requests::default(),
            open: 0,
            decided: VecDeque::new(),
            world,
            timers: BTreeMap::new(),
            next_timer: 0,
            held: HashMap::new(),
            lanes: HashMap::new(),
            uids: HashMap::new(),
            outputs: VecDeque::new(),
            wanted: Arc::default(),
            ahead: HashMap::new(),
            newest: Nanos::MIN,
        }
    }

    /// The settings that it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes one line that proves something.
    pub fn handle_record(&mut self, now: Nanos, record: Record) -> Decision {
        let at = self.moment(now, &record);
        self.newest = self.newest.max(at.from.min(now));
        let Record { ticket, stream, evidence, .. } = record;
        let source = stream.id;
        match evidence.proof {
            Proof::NginxError(_) => self.handle_error(now, source, ticket, at, evidence),
            Proof::NginxAccess(_) => self.handle_access(now, source, ticket, at, evidence),
            _ => self.handle_other(now, source, ticket, at, evidence),
        }
    }

    /// Counts healthy requests of a stream, so that causes can tell a sick URL from a sick server, and so that it is
    /// known which times the access log covers. `now` is about when they were answered.
    pub fn handle_healthy(&mut self, now: Nanos, stream: &Stream, count: u64) {
        if count > 0 {
            self.world.cover(stream.id, now, true);
        }
    }

    /// Lets time pass: requests whose hold is over get their verdict.
    pub fn handle_timeout(&mut self, now: Nanos) {
        while let Some((&(due, number), &timer)) = self.timers.first_key_value() {
            if due > now {
                break;
            }
            self.timers.remove(&(due, number));
            self.handle_timer(due, timer);
        }
        let look_back = LOOK_BACK.saturating_add(self.settings.hold);
        // Logs may be old (a replay) or their clock behind: what counts is how far behind the newest evidence.
        self.world.forget(now.min(self.newest).saturating_sub(look_back));
        self.world.spans.forget(now.saturating_sub(look_back));
        for ticket in self.world.spans.take_forgotten() {
            self.resolve(ticket, None);
        }
    }

    /// When to call [`Engine::handle_timeout`] next, and why; `None` when nothing is held and no request is in sight.
    pub fn poll_timeout(&self) -> Option<(Nanos, Wake)> {
        self.timers.first_key_value().map(|((due, _), timer)| (*due, timer.wake()))
    }

    /// The next thing to do; call until `None` after each `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Gives every open request its verdict now: shutdown, end of input.
    pub fn finish(&mut self, now: Nanos) {
        // Deaths and phases after requests: a request that they explain comes first.
        let timers = std::mem::take(&mut self.timers);
        let (requests, others): (Vec<_>, Vec<_>) =
            timers.into_iter().partition(|(_, timer)| matches!(timer, Timer::Request(_)));
        for ((due, _), timer) in requests.into_iter().chain(others) {
            self.handle_timer(due.min(now), timer);
        }
        for (_, timer) in std::mem::take(&mut self.timers) {
            self.handle_timer(now, timer);
        }
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
        self.held.len()
    }

    /// Requests that wait for their verdict.
    pub fn open_count(&self) -> usize {
        self.open
    }

    /// Requests in sight: those that wait, and those that were decided and may get late records.
    pub fn request_count(&self) -> usize {
        self.requests.count()
    }

    fn handle_error(&mut self, now: Nanos, source: u64, ticket: Ticket, at: Interval, evidence: Evidence) -> Decision {
        let Proof::NginxError(error) = evidence.proof else { return Decision::Pass };
        self.world.has_error_log = true;
        if evidence.genuine {
            let from = self.world.error_log_from.unwrap_or(Nanos::MAX);
            self.world.error_log_from = Some(from.min(at.from));
        }
        let symptom = error.symptom;
        let seen = Seen { ticket, source, at, text: evidence.text, what: *error };
        if let Some(symptom) = symptom
            && evidence.genuine
        {
            self.world.fail(failure_of(&seen, symptom));
        }
        let id = self.requests.join_error(now, now.saturating_add(self.settings.hold), seen, evidence.genuine);
        self.joined(now, id, source, ticket)
    }

    fn handle_access(&mut self, now: Nanos, source: u64, ticket: Ticket, at: Interval, evidence: Evidence) -> Decision {
        let Proof::NginxAccess(access) = evidence.proof else { return Decision::Pass };
        let failing = matches!(access.status, 499..=u16::MAX | 9);
        self.world.cover(source, at.from, !failing && access.status < 500);
        let seen = Seen { ticket, source, at, text: evidence.text, what: *access };
        if failing && !evidence.genuine && !self.requests.expects(&seen) {
            // It may be forged, and no error line is waiting for it.
            return Decision::Pass;
        }
        let id = if failing {
            let due = now.saturating_add(self.settings.hold);
            Some(self.requests.join_failed_access(now, due, seen, evidence.trace))
        } else {
            self.requests.join_healthy_access(seen, evidence.trace)
        };
        match id {
            Some(id) => self.joined(now, id, source, ticket),
            None => Decision::Pass,
        }
    }

    /// A record joined a request: it is held until the verdict, or gets the verdict that there is.
    fn joined(&mut self, now: Nanos, id: u64, source: u64, ticket: Ticket) -> Decision {
        self.update_wanted(id);
        let Some(request) = self.requests.get_mut(id) else { return Decision::Pass };
        let is_new = !std::mem::replace(&mut request.timed, true);
        let decided = request.verdict.clone();
        if decided.is_some() {
            request.stale = true;
        }
        if is_new {
            let due = request.due;
            self.open += 1;
            self.set_timer(due, Timer::Request(id));
            if self.open > self.settings.requests_max {
                self.decide_oldest(now);
            }
        } else if decided.is_some() {
            self.set_timer(now.saturating_add(SECOND), Timer::Request(id));
        }
        self.hold(ticket, Some(source));
        Decision::Hold
    }

    fn handle_other(&mut self, now: Nanos, source: u64, ticket: Ticket, at: Interval, evidence: Evidence) -> Decision {
        if !evidence.genuine {
            // A forged half of another line proves nothing about a process.
            return Decision::Pass;
        }
        let interesting = is_worth_holding(&evidence.proof);
        let (phase, host) = match &evidence.proof {
            Proof::Gunicorn(gunicorn) => (changes_phase(&gunicorn.event), gunicorn.event == GunicornEvent::ClientGone),
            Proof::Host(_) => (false, true),
            _ => (false, false),
        };
        let deaths_before = self.world.gunicorns.deaths_forgotten + self.world.gunicorns.deaths.len();
        self.world.handle(now, source, ticket, at, evidence);
        let deaths_after = self.world.gunicorns.deaths_forgotten + self.world.gunicorns.deaths.len();
        let standalone = now.saturating_add(self.settings.hold).saturating_add(STANDALONE_AFTER);
        if deaths_after > deaths_before {
            self.set_timer(standalone, Timer::Death(deaths_after - 1));
            self.revisit(now, at);
        }
        if phase {
            self.set_timer(standalone.saturating_add(SECOND), Timer::Phase(source, ticket));
        }
        if host {
            self.set_timer(standalone.saturating_add(2 * SECOND), Timer::Host(ticket));
        }
        if !interesting {
            return Decision::Pass;
        }
        self.hold(ticket, Some(source));
        self.set_timer(standalone.saturating_add(3 * SECOND), Timer::Ticket(ticket));
        Decision::Hold
    }

    fn handle_timer(&mut self, now: Nanos, timer: Timer) {
        match timer {
            Timer::Request(id) => self.decide(now, id),
            Timer::Ticket(ticket) => self.resolve(ticket, None),
            Timer::Span(number) => self.release_span(now, number),
            Timer::Death(number) => self.decide_death(number),
            Timer::Phase(source, ticket) => self.decide_phase(source, ticket),
            Timer::Host(ticket) => self.decide_host(ticket),
            Timer::Forget(id) => self.forget_request(id),
        }
    }

    fn set_timer(&mut self, due: Nanos, timer: Timer) {
        self.timers.insert((due, self.next_timer), timer);
        self.next_timer += 1;
    }

    /// Notes whether the access line of a request is still looked for.
    fn update_wanted(&mut self, id: u64) {
        let Some(request) = self.requests.get_mut(id) else { return };
        match request.note_awaited() {
            Some((hash, true)) => Arc::make_mut(&mut self.wanted).add(hash),
            Some((hash, false)) => Arc::make_mut(&mut self.wanted).remove(hash),
            None => {}
        }
    }
}

fn failure_of(error: &Seen<evidence::NginxError>, symptom: evidence::Symptom) -> Failure {
    let what = &error.what;
    let target = what.request.as_deref().and_then(correlate::join::split_request_line).map_or("", |(_, target)| target);
    Failure {
        at: error.at,
        pid: what.pid,
        symptom,
        upstream: what.upstream.clone().unwrap_or_default(),
        path: target.split('?').next().unwrap_or(target).to_owned(),
        server: what.server.clone(),
        quote: error_quote(error),
    }
}

fn changes_phase(event: &GunicornEvent) -> bool {
    matches!(
        event,
        GunicornEvent::BootFailed
            | GunicornEvent::AppLoadFailed { .. }
            | GunicornEvent::StartupFailed
            | GunicornEvent::PreloadFailed
            | GunicornEvent::BindFailed { .. }
            | GunicornEvent::ArbiterCrashed
            | GunicornEvent::WorkerExited { code: 3 | 4, .. }
            | GunicornEvent::ParentChanged
            | GunicornEvent::ShuttingDown
            | GunicornEvent::HandlingSignal { .. }
    )
}

fn is_worth_holding(proof: &Proof) -> bool {
    match proof {
        Proof::Gunicorn(gunicorn) => !matches!(
            gunicorn.event,
            GunicornEvent::Starting { .. }
                | GunicornEvent::Listening { .. }
                | GunicornEvent::UsingWorker { .. }
                | GunicornEvent::Booting { .. }
                | GunicornEvent::Other
                | GunicornEvent::ClientGone
        ),
        Proof::GunicornAccess(access) => access.status >= 500,
        Proof::Exception { .. } | Proof::Host(_) => true,
        Proof::NginxError(_) | Proof::NginxAccess(_) => true,
    }
}
