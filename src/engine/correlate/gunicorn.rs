//! The life of one Gunicorn as its log tells it: when it listened and where, when it stopped, which workers died.

mod crew;
mod death;
mod ends;

pub use crew::{Boot, BootKind, Crew};
pub use death::Death;
pub use ends::DEATHS_MAX;
use ends::{halts_for_exit, push_quote, reap};

use super::{Interval, Seen};
use crate::engine::place::Place;
use crate::engine::verdict::{Quote, Source};
use crate::read::address::{AddressMatch, compare};
use crate::read::evidence::{Gunicorn, GunicornEvent, Nanos, SECOND};
use std::collections::VecDeque;

/// Changes of phase remembered for one instance. A restart is three; one every second for a minute fits.
const PHASES_MAX: usize = 256;
/// Addresses of one instance: more than anybody binds, fewer than hurt.
const ADDRESSES_MAX: usize = 32;

/// Gunicorn tries five times to bind, once a second (`gunicorn/sock.py`); so many in a row are no accident.
const BIND_RETRIES_MIN: u32 = 3;

/// What an instance is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// `Starting gunicorn`.
    Starting,
    /// `Listening at`.
    Listening,
    /// `Handling signal: term`, `int`, `quit`.
    Stopping,
    /// `Handling signal: hup`.
    Reloading,
    /// `Autorestarting worker after current request.`
    Recycling,
    /// It no longer serves.
    Down(Down),
}

/// Why an instance no longer serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// `Shutting down: Master`.
    ShutDown,
    /// `Reason: Worker failed to boot.`
    BootFailed,
    /// `Reason: App failed to load.`
    AppLoadFailed,
    /// `Can't connect to`, after five tries to bind.
    BindFailed,
    /// `Unhandled exception in main loop`.
    Crashed,
    /// `Parent changed, shutting down`: the primary process died without a word.
    MasterLost,
}

/// One change of phase.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub at: Interval,
    /// To what.
    pub phase: Phase,
    /// The line that says so.
    pub quote: Quote,
}

/// One Gunicorn, by its log stream.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The log stream.
    pub source: u64,
    /// Hash of its service; 0 when unknown.
    pub service: u64,
    /// What its file or container is called ([`crate::engine::place::words_of`]).
    pub words: Vec<u64>,
    /// `23.0.0`; empty when its start was not seen.
    pub version: String,
    /// `sync`, `gthread`, ...; empty when its start was not seen.
    pub worker_class: String,
    /// Where it listens, the newest words.
    pub addresses: Vec<String>,
    /// The line that says so.
    pub listening: Option<Quote>,
    /// Changes of phase, oldest first.
    pub changes: VecDeque<Change>,
    /// When the first line in sight was written.
    pub first_at: Interval,
    /// When the newest line was written.
    pub last_at: Interval,
    /// Its workers.
    pub crew: Crew,
    /// Each worker has a socket of its own (`reuse_port`, 24 and later): the arbiter then listens on no address.
    pub reuse_port: bool,
    /// Tries to bind that failed, one after the other.
    bind_retries: u32,
    /// Primary processes that said where they listen, the newest last.
    primaries: Vec<Primary>,
}

/// A primary process of which a log tells: of several services that write one stream each has its own.
#[derive(Clone, Debug)]
struct Primary {
    pid: u32,
    addresses: Vec<String>,
    /// It wrote since the newest one listens.
    is_heard: bool,
}

/// Primary processes of one stream that are remembered.
const PRIMARIES_MAX: usize = 8;

impl Instance {
    fn new(source: u64, place: &Place, at: Interval) -> Instance {
        Instance {
            source,
            service: place.service,
            words: place.words.clone(),
            version: String::new(),
            worker_class: String::new(),
            addresses: Vec::new(),
            listening: None,
            changes: VecDeque::new(),
            first_at: at,
            last_at: at,
            crew: Crew::default(),
            reuse_port: false,
            bind_retries: 0,
            primaries: Vec::new(),
        }
    }

    /// A primary process listens: alone, as far as is known.
    fn listens(&mut self, pid: Option<u32>, addresses: &[String]) {
        self.addresses = addresses.iter().take(ADDRESSES_MAX).cloned().collect();
        let Some(pid) = pid else { return };
        self.primaries.retain(|primary| primary.pid != pid);
        self.primaries.iter_mut().for_each(|primary| primary.is_heard = false);
        if self.primaries.len() == PRIMARIES_MAX {
            self.primaries.remove(0);
        }
        self.primaries.push(Primary { pid, addresses: self.addresses.clone(), is_heard: true });
    }

    /// Who listened before another did and writes on was still there: both are, in one stream, or were until now.
    fn hears_of(&mut self, pid: Option<u32>) {
        let is_silent = |primary: &&mut Primary| Some(primary.pid) == pid && !primary.is_heard;
        let Some(primary) = self.primaries.iter_mut().find(is_silent) else { return };
        primary.is_heard = true;
        for address in &primary.addresses {
            if self.addresses.len() < ADDRESSES_MAX && !self.addresses.contains(address) {
                self.addresses.push(address.clone());
            }
        }
    }

    /// Where it listens, and where other primary processes of this stream do.
    pub(in crate::engine) fn all_addresses(&self) -> impl Iterator<Item = &str> {
        let of_primaries = self.primaries.iter().flat_map(|primary| &primary.addresses);
        self.addresses.iter().chain(of_primaries).map(String::as_str)
    }

    /// False where a primary process of this stream listens elsewhere, and another one where nginx tried.
    pub(in crate::engine) fn may_be_of_primary(&self, pid: Option<u32>, upstream: Option<&str>) -> bool {
        let Some(upstream) = upstream else { return true };
        let listens_there =
            |primary: &Primary| primary.addresses.iter().any(|bound| compare(upstream, bound) != AddressMatch::No);
        let Some(own) = self.primaries.iter().find(|primary| Some(primary.pid) == pid) else { return true };
        listens_there(own) || !self.primaries.iter().any(listens_there)
    }

    /// How well the upstream fits where it listens.
    pub fn matches(&self, upstream: Option<&str>) -> AddressMatch {
        let Some(upstream) = upstream else { return AddressMatch::Unknown };
        self.addresses.iter().map(|bound| compare(upstream, bound)).max().unwrap_or(AddressMatch::Unknown)
    }

    /// The last change of phase at or before a time, recycling left out.
    pub fn before(&self, at: Interval) -> Option<&Change> {
        self.changes.iter().rev().find(|change| change.at.from <= at.to && change.phase != Phase::Recycling)
    }

    /// The first change of phase after another that fits. Those of one second are in the order of their lines.
    pub fn after(&self, earlier: &Change, fits: impl Fn(&Phase) -> bool) -> Option<&Change> {
        let later = self.changes.iter().skip_while(|change| !std::ptr::eq(*change, earlier)).skip(1);
        later.into_iter().find(|change| fits(&change.phase))
    }

    /// The last change of phase at or before a time that fits.
    pub fn last_before(&self, at: Interval, fits: impl Fn(&Phase) -> bool) -> Option<&Change> {
        self.changes.iter().rev().find(|change| change.at.from <= at.to && fits(&change.phase))
    }

    /// True when its log says that it serves at this time: it listens and nothing stopped it since.
    pub fn serves(&self, at: Interval) -> bool {
        match self.before(at) {
            Some(change) => matches!(change.phase, Phase::Listening | Phase::Reloading),
            // Its start is older than what was read, and it wrote something: it was there.
            None => !self.changes.iter().any(|change| matches!(change.phase, Phase::Starting)),
        }
    }

    /// True when it served at this time or until just before: in the second of its stop the stamps do not tell which
    /// came first.
    pub fn served_until(&self, at: Interval) -> bool {
        let before = at.from.saturating_sub(SECOND);
        self.serves(at) || self.serves(Interval { from: before, to: before })
    }

    fn change(&mut self, at: Interval, phase: Phase, quote: Quote) {
        if self.changes.len() == PHASES_MAX {
            self.changes.pop_front();
        }
        // Streams are nearly in order; a late line finds its place from the end.
        let place = self.changes.iter().rposition(|change| change.at.from <= at.from).map_or(0, |index| index + 1);
        self.changes.insert(place, Change { at, phase, quote });
    }
}

/// All Gunicorns in sight.
#[derive(Debug, Default)]
pub struct Gunicorns {
    /// By log stream, in order of appearance.
    pub instances: Vec<Instance>,
    /// In order of the log.
    pub deaths: VecDeque<Death>,
    /// Deaths that fell out of the window, so that an index stays valid.
    pub deaths_forgotten: usize,
    /// `Booting worker with pid`, newest last, at most 256.
    pub boots: VecDeque<Boot>,
    /// `Invalid request ... [SSL: HTTP_REQUEST]`, newest last, at most 256.
    pub plain_requests: VecDeque<(Interval, Quote)>,
    /// What the dirty side tells of trouble, newest last, at most 256.
    pub dirty: VecDeque<(Interval, Quote)>,
}

/// Instances remembered: one for each log stream.
const INSTANCES_MAX: usize = 1_024;
const RECENT_MAX: usize = 256;

impl Gunicorns {
    /// Takes one line of a Gunicorn's log.
    pub fn handle(&mut self, now: Nanos, place: &Place, seen: &Seen<Gunicorn>) {
        let quote = Quote { source: Source::Gunicorn, text: message_of(&seen.text), ticket: Some(seen.ticket) };
        let emitter = seen.what.pid;
        let at = seen.at;
        use GunicornEvent as E;
        let served = match &seen.what.event {
            E::WorkerExited { worker, .. } => self.has_served(seen, *worker),
            // It says so whenever a worker exits with 3, which may be the application's own code.
            E::BootFailed => halts_for_exit(&self.deaths, seen),
            _ => false,
        };
        let instance = self.instance_mut(seen.source, place, at);
        instance.last_at = at;
        instance.hears_of(emitter);
        match &seen.what.event {
            E::Starting { version } => {
                instance.version.clone_from(version);
                instance.crew.restarts(at);
                instance.change(at, Phase::Starting, quote);
            }
            E::Listening { addresses } => {
                instance.reuse_port = addresses.is_empty();
                instance.bind_retries = 0;
                instance.listens(emitter, addresses);
                instance.listening = Some(quote.clone());
                instance.change(at, Phase::Listening, quote);
            }
            E::UsingWorker { class } => instance.worker_class.clone_from(class),
            E::HandlingSignal { name } if matches!(name.as_str(), "term" | "int" | "quit") => {
                instance.change(at, Phase::Stopping, quote);
            }
            E::HandlingSignal { name } if name == "hup" => {
                instance.crew.launches();
                instance.change(at, Phase::Reloading, quote);
            }
            E::HandlingSignal { name } if name == "ttin" => instance.crew.one_more(),
            E::HangUp => instance.change(at, Phase::Reloading, quote),
            E::ShuttingDown => instance.change(at, Phase::Down(Down::ShutDown), quote),
            E::BootFailed if served => instance.change(at, Phase::Down(Down::ShutDown), quote),
            E::BootFailed => instance.change(at, Phase::Down(Down::BootFailed), quote),
            E::AppLoadFailed { .. } => instance.change(at, Phase::Down(Down::AppLoadFailed), quote),
            E::StartupFailed => instance.change(at, Phase::Down(Down::BootFailed), quote),
            E::BindFailed { .. } => instance.change(at, Phase::Down(Down::BindFailed), quote),
            E::BindRetry => {
                instance.bind_retries += 1;
                if instance.bind_retries == BIND_RETRIES_MIN
                    && !instance
                        .last_before(at, |_| true)
                        .is_some_and(|change| change.phase == Phase::Down(Down::BindFailed))
                {
                    instance.change(at, Phase::Down(Down::BindFailed), quote);
                }
            }
            E::ArbiterCrashed => instance.change(at, Phase::Down(Down::Crashed), quote),
            E::ParentChanged => instance.change(at, Phase::Down(Down::MasterLost), quote),
            E::Autorestarting => instance.change(at, Phase::Recycling, quote),
            E::Booting { worker } => {
                let kind = instance.crew.boots(at, *worker);
                reap(&mut self.deaths, seen.source, at);
                push_recent(&mut self.boots, Boot { at, source: seen.source, worker: *worker, kind, quote });
            }
            E::PlainRequestToTlsPort => push_recent(&mut self.plain_requests, (at, quote)),
            E::DirtyTrouble => push_recent(&mut self.dirty, (at, quote)),
            E::WorkerTimeout { worker } => self.death(now, seen, *worker, quote, |death| death.timed_out = true),
            E::Aborted => self.aborted(now, seen, quote),
            E::WorkerExiting { worker } => self.death(now, seen, *worker, quote, |death| death.exiting = true),
            // A worker keeps the arbiter's handler of SIGCHLD where its class sets none of its own (aiohttp's): then it tells
            // so of its own children.
            E::WorkerSignalled { worker, .. } | E::WorkerExited { worker, .. }
                if emitter.is_some_and(|emitter| instance.crew.has(emitter)) && !instance.crew.has(*worker) => {}
            E::WorkerSignalled { worker, signal } => {
                let signal = *signal;
                self.death(now, seen, *worker, quote, |death| death.signal = Some(signal));
            }
            E::WorkerExited { worker, code } => {
                let code = *code;
                // The whole server halts on these two, and the line that says so is lost in some races at the halt.
                match code {
                    3 | 4 if served => {}
                    3 => instance.change(at, Phase::Down(Down::BootFailed), quote.clone()),
                    4 => instance.change(at, Phase::Down(Down::AppLoadFailed), quote.clone()),
                    _ => {}
                }
                self.death(now, seen, *worker, quote, |death| {
                    death.code = Some(code);
                    // It is told twice by some versions, and is no longer there at the second time.
                    death.served |= served;
                });
            }
            E::ExceptionInWorker => {
                // A `logconfig` without pids leaves the worker unknown, not its end.
                let worker = emitter.unwrap_or(Death::UNKNOWN_WORKER);
                self.death(now, seen, worker, quote, |death| death.failed = true);
            }
            E::PreloadFailed => {
                instance.change(at, Phase::Down(Down::BootFailed), quote.clone());
                self.death(now, seen, Death::UNKNOWN_WORKER, quote, |death| death.failed = true);
            }
            E::ErrorHandlingRequest { target } => {
                if let Some(worker) = emitter {
                    let target = target.clone().unwrap_or_default();
                    self.error_in_request(now, seen, worker, quote, target);
                }
            }
            E::GracefulTimeout { .. }
            | E::SocketError
            | E::InvalidRequest { .. }
            | E::ChildrenIgnored
            | E::ClientGone => {}
            E::HandlingSignal { .. } | E::Other => {}
        }
    }

    /// Takes the last line of a traceback with the application's own frame: it belongs to the newest failure of its stream.
    pub fn handle_exception(&mut self, source: u64, class: &str, message: &str, frame: Option<&str>, quote: Quote) {
        let mut of_stream = self.deaths.iter_mut().rev().take(64).filter(|death| death.source == source).peekable();
        let Some(newest) = of_stream.peek().map(|death| death.to) else { return };
        // Workers that time out together each have a traceback, in any order: one that has its own waits for no other.
        let waits = |death: &&mut Death| {
            death.exception.is_none() && (death.failed || death.request.is_some()) && death.to.distance(newest) == 0
        };
        if let Some(death) = of_stream.find(waits) {
            death.exception = Some((class.to_owned(), message.to_owned()));
            death.frame = frame.map(|frame| Quote { text: frame.to_owned(), ..quote.clone() });
            // `SystemExit: 1` says less than where it struck: Gunicorn's own abort raises it, as does the application.
            let says_where = death.frame.clone().filter(|_| class == "SystemExit");
            push_quote(&mut death.quotes, says_where.unwrap_or(quote));
        }
    }

    /// Forgets what is older than the horizon.
    pub fn forget(&mut self, horizon: Nanos) {
        while self.deaths.front().is_some_and(|death| death.to.to < horizon && death.reported_or_harmless()) {
            self.deaths.pop_front();
            self.deaths_forgotten += 1;
        }
        while self.boots.front().is_some_and(|boot| boot.at.to < horizon) {
            self.boots.pop_front();
        }
        for lines in [&mut self.plain_requests, &mut self.dirty] {
            while lines.front().is_some_and(|line| line.0.to < horizon) {
                lines.pop_front();
            }
        }
    }

    fn instance_mut(&mut self, source: u64, place: &Place, at: Interval) -> &mut Instance {
        if let Some(index) = self.instances.iter().position(|instance| instance.source == source) {
            return &mut self.instances[index];
        }
        if self.instances.len() == INSTANCES_MAX {
            // The stream that was silent the longest makes room.
            let oldest = (0..self.instances.len()).min_by_key(|index| self.instances[*index].last_at.from).unwrap_or(0);
            self.instances.swap_remove(oldest);
        }
        self.instances.push(Instance::new(source, place, at));
        let last = self.instances.len() - 1;
        &mut self.instances[last]
    }
}

fn push_recent<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == RECENT_MAX {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// The message of a line in Gunicorn's format: what follows `[time] [pid] [LEVEL] `.
pub fn message_of(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let mut rest = first;
    for _ in 0..3 {
        match rest.strip_prefix('[').and_then(|inner| inner.split_once("] ")) {
            Some((_, after)) => rest = after,
            None => break,
        }
    }
    if rest.is_empty() { first.to_owned() } else { rest.to_owned() }
}
