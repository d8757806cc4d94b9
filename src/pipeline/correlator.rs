//! The engine's side: one task that owns the engine and the bytes of what it holds.

mod publish;

use super::builder::Builder;
use super::incidents;
use super::intake::{SPAN_OVERHEAD, weight_of};
use super::items::{Item, Items, Slot};
use super::lines;
use super::origin::Origin;
use super::own::Keeper;
use super::{Route, Shared, room};
use crate::clock;
use crate::engine::correlate::slow::SlowSpan;
use crate::engine::correlate::spans::SpanRow;
use crate::engine::place::{Place, Stream};
use crate::engine::verdict::{Ticket, Verdict};
use crate::engine::{Decision, Engine, Output, Record, Settings};
use crate::enrich::{self, Common, Enrichment};
use crate::exporter::Outlet;
use crate::journal::Marks;
use crate::otlp::{Attribute, Signal, Surroundings, resource, scope};
use crate::read::Wanted;
use crate::read::evidence::{Evidence, Nanos, SECOND};
use crate::receiver::GivenUp;
use crate::scan::Answers;
use crate::web::Ring;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Without anything due the task looks up so often, to note healthy traffic.
const IDLE: Duration = Duration::from_secs(1);
/// Requests that came at once reach the engine within less than this of each other's times; more is another clock.
const PUT_BACK: Nanos = 60 * SECOND;
/// With a journal timers are looked at no more often than this.
const HELD_BACK: Duration = Duration::from_millis(1);
/// Messages that are taken before the engine looks at its timers.
const MESSAGES_MAX: usize = 64;
/// Verdicts whose bytes are kept, some 2 KiB each.
const ENRICHMENTS_MAX: usize = 64;

/// One record that proves something.
#[derive(Debug)]
pub struct HeldRecord {
    /// What it counts of [`Shared::held_bytes`].
    pub weight: usize,
    /// The `LogRecord` message.
    pub bytes: Bytes,
    /// What surrounded it.
    pub surroundings: Surroundings,
    /// Who wrote it.
    pub stream: Stream,
    /// When a collector saw it; 0 is unknown.
    pub observed: Nanos,
    /// What it proves.
    pub evidences: Vec<Evidence>,
}

/// The server and client spans of a request of traces.
#[derive(Debug)]
pub struct Spans {
    /// A row for each.
    pub rows: Vec<SpanRow>,
    /// The rows by the place that made them.
    pub groups: Vec<(Arc<Place>, Range<usize>)>,
    /// Spans of any kind that took long.
    pub slow: Vec<SlowSpan>,
    /// Spans that could be a failed request's own, cut out of their request.
    pub held: Vec<HeldSpan>,
    /// Where they go.
    pub route: Arc<Route>,
    /// The request that they came in.
    pub origin: Origin,
}

/// A span that waits.
#[derive(Debug)]
pub struct HeldSpan {
    /// Which of the rows it is.
    pub row: usize,
    /// The `Span` message.
    pub bytes: Bytes,
    /// What surrounded it.
    pub surroundings: Surroundings,
}

/// What the task is told.
#[derive(Debug)]
pub enum Message {
    /// Records that prove something, cut out of their request.
    Records {
        /// In order.
        records: Vec<HeldRecord>,
        /// Where they go.
        route: Arc<Route>,
        /// The request that they came in.
        origin: Origin,
    },
    /// What the spans of a request prove, and those that wait.
    Spans(Box<Spans>),
    /// A replay goes on: this is the time at which its next request came. It is told when that is done.
    Replay(Nanos, oneshot::Sender<()>),
    /// The replay is over; time is that of the clock again.
    Live,
    /// Somebody else takes these requests again: what is held of them goes nowhere. Who asks is told of which something was.
    GiveUp(Vec<u64>, GivenUp, oneshot::Sender<Vec<u64>>),
    /// Give every open request its verdict and end.
    Finish,
}

/// Owns the engine.
pub struct Correlator {
    engine: Engine,
    shared: Arc<Shared>,
    ring: Ring,
    verdict_route: Arc<Route>,
    verdict_outlets: Vec<Arc<dyn Outlet>>,
    enrich_http: bool,
    incidents: incidents::Incidents,
    items: Items,
    /// The verdicts that were written last: the records and spans of one are mostly released together.
    enrichments: VecDeque<(Arc<Verdict>, Arc<Enrichment>)>,
    common: Common,
    wanted: Arc<Wanted>,
    named: Arc<Wanted>,
    own_scope: Surroundings,
    /// Outlets wait on disk: time is that at which requests came (`origin.rs`).
    is_journaled: bool,
    /// The latest time so far, where that is so.
    time: Nanos,
    /// A replay goes on.
    is_replaying: bool,
    /// Routes of verdicts about requests that were replayed, by who lacks one of their records.
    replay_routes: BTreeMap<Vec<bool>, Arc<Route>>,
    /// Takes records that nothing in the journal leads to.
    keeper: Option<Keeper>,
    /// Who lacks a verdict of an incident that a replay opened, by its uid, until it closes.
    replay_incidents: BTreeMap<String, Vec<bool>>,
}

impl Correlator {
    /// A correlator that holds nothing.
    pub fn new(
        settings: Settings,
        shared: Arc<Shared>,
        ring: Ring,
        log_outlets: Vec<Arc<dyn Outlet>>,
        verdict_outlets: Vec<Arc<dyn Outlet>>,
        enrich_http: bool,
        per_incident: Option<u64>,
    ) -> Correlator {
        let is_journaled =
            verdict_outlets.iter().any(|outlet| outlet.account().is_some_and(|account| account.journal().is_some()));
        let own_resource = resource(&[Attribute::new("service.name", "why502")]);
        Correlator {
            engine: Engine::new(settings),
            shared,
            ring,
            verdict_route: Arc::new(Route { plain: Vec::new(), explained: log_outlets }),
            verdict_outlets,
            enrich_http,
            incidents: incidents::Incidents::new(per_incident),
            items: Items::default(),
            enrichments: VecDeque::new(),
            common: Common::default(),
            wanted: Arc::default(),
            named: Arc::default(),
            own_scope: Surroundings::new(&own_resource, &scope("why502", env!("CARGO_PKG_VERSION"))),
            is_journaled,
            time: Nanos::MIN,
            is_replaying: false,
            replay_routes: BTreeMap::new(),
            keeper: None,
            replay_incidents: BTreeMap::new(),
        }
    }

    /// With who writes records to the journal that nothing in it leads to.
    pub(super) fn with_keeper(self, keeper: Option<Keeper>) -> Correlator {
        Correlator { keeper, ..self }
    }

    /// Runs until it is told to finish.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(MESSAGES_MAX);
        let mut armed = clock::instant() + IDLE;
        let sleep = tokio::time::sleep_until(armed.into());
        tokio::pin!(sleep);
        let mut finishing = false;
        while !finishing {
            // In a replay time only goes on with what is replayed.
            let due = self.engine.poll_timeout().filter(|_| !self.is_replaying);
            // Time may wait for a request that is on its way to the disk: it is looked at again soon, not at once.
            let least = if self.is_journaled { HELD_BACK } else { Duration::ZERO };
            let wake = clock::instant() + due.map_or(IDLE, |(due, _)| clock::until(due).clamp(least, IDLE));
            // A timer that is set too early only costs a look, and moving it for each message would cost more.
            if wake < armed || sleep.is_elapsed() {
                armed = wake;
                sleep.as_mut().reset(armed.into());
            }
            let count = tokio::select! {
                count = inbox.recv_many(&mut messages, MESSAGES_MAX) => Some(count),
                () = &mut sleep => {
                    tracing::trace!(?due, "woken");
                    None
                }
            };
            finishing = count == Some(0);
            let now = self.now();
            self.note_healthy(now);
            for message in messages.drain(..) {
                match message {
                    Message::Records { records, route, origin } => {
                        self.shared.queued_bytes.fetch_sub(weight_of(&records), Ordering::Relaxed);
                        self.shared.turns.freed();
                        let now = self.time_of(origin, now);
                        self.take_records(now, records, &route, origin);
                    }
                    Message::Spans(spans) => {
                        let now = self.time_of(spans.origin, now);
                        self.take_spans(now, *spans);
                    }
                    Message::Replay(arrived, done) => {
                        self.is_replaying = true;
                        self.go_on_to(arrived);
                        // Who waits for it may have gone.
                        let _ = done.send(());
                    }
                    Message::Live => {
                        self.is_replaying = false;
                        if let Some(keeper) = &mut self.keeper {
                            keeper.go_live(clock::now(), &self.shared.counters);
                        }
                    }
                    Message::GiveUp(positions, what, done) => {
                        let _ = done.send(self.give_up(&positions, what));
                    }
                    Message::Finish => finishing = true,
                }
            }
            let by_clock = if self.is_replaying { self.time } else { self.shared.taking.now() };
            // What is behind in the queue came before: it is for that to let time go on.
            if !self.is_journaled || inbox.is_empty() {
                self.time = later(self.time, by_clock);
            }
            let now = self.now();
            self.engine.handle_timeout(now);
            self.release(now);
            if let Some(keeper) = &mut self.keeper {
                let is_open = |uid: &str| self.incidents.is_open(uid);
                keeper.close_left(clock::now(), is_open, &self.verdict_route, &self.shared.counters);
            }
        }
        let now = clock::now();
        self.engine.finish(now);
        self.release(now);
        self.let_go_of_everything();
    }

    /// The time of the clock, or that of the requests.
    fn now(&self) -> Nanos {
        if self.is_journaled { self.time } else { clock::now() }
    }

    /// When a request came, as far as the engine needs to know.
    fn time_of(&mut self, origin: Origin, now: Nanos) -> Nanos {
        origin.arrived.map_or(now, |arrived| self.go_on_to(arrived))
    }

    /// Lets time go on to when a request came: what was due before is done first, then and in every replay.
    fn go_on_to(&mut self, arrived: Nanos) -> Nanos {
        self.time = later(self.time, arrived);
        self.note_healthy(self.time);
        self.engine.handle_timeout(self.time);
        self.release(self.time);
        self.time
    }

    fn note_healthy(&mut self, now: Nanos) {
        for Answers { stream, count, late } in self.shared.take_healthy().into_values() {
            if late.is_empty() {
                self.engine.handle_healthy(now.saturating_sub(SECOND / 2), &stream, count);
            } else {
                self.engine.handle_late_healthy(now, &stream, &late);
            }
        }
        for (stream, observed, evidence) in self.shared.take_samples() {
            // Nobody holds it, so that no ticket names it.
            self.engine.handle_sample(now, Record { ticket: Ticket::default(), stream, observed, evidence });
        }
    }

    fn take_records(&mut self, now: Nanos, records: Vec<HeldRecord>, route: &Arc<Route>, origin: Origin) {
        let mut builder = Builder::default();
        for record in records {
            let weight = record.weight;
            let process = if self.ring.details.is_on() { self.line_of_process(now, &record) } else { None };
            let slot = self.items.insert(Item {
                signal: Signal::Logs,
                bytes: record.bytes,
                surroundings: record.surroundings,
                route: Arc::clone(route),
                stamp: record.evidences.first().and_then(|evidence| evidence.stamp),
                pid: record.evidences.iter().find_map(|evidence| evidence.proof.pid()),
                is_of_process: record.evidences.iter().any(|evidence| lines::process(evidence).is_some()),
                is_told: false,
                pending: record.evidences.len(),
                verdict: None,
                good: None,
                weight,
                origin,
            });
            let (mut stream, mut rest) = (Some(record.stream), record.evidences.len());
            for evidence in record.evidences {
                let ticket = self.items.ticket(slot);
                rest -= 1;
                // Most records prove one thing, and counting who shares a place costs more than looking at it.
                let of_this = if rest == 0 { stream.take() } else { stream.clone() };
                let Some(stream) = of_this else { break };
                if let Some((source, line)) = &process {
                    self.ring.details.note_process(ticket, stream.id, *source, line.clone());
                }
                let record = Record { ticket, stream, observed: record.observed, evidence };
                if self.engine.handle_record(now, record) == Decision::Pass
                    && let Some(item) = self.items.get_mut(slot)
                {
                    item.pending = item.pending.saturating_sub(1);
                }
            }
            self.release_if_done(slot, &mut builder);
        }
        builder.finish();
    }

    fn take_spans(&mut self, now: Nanos, spans: Spans) {
        let Spans { rows, groups, slow, held, route, origin } = spans;
        let count = rows.len() + slow.len();
        // Before the rows, which may decide what they explain.
        self.engine.handle_slow(slow);
        let mut tickets = Vec::with_capacity(held.len());
        for span in held {
            let slot = self.items.insert(Item {
                signal: Signal::Traces,
                weight: span.bytes.len() + SPAN_OVERHEAD,
                bytes: span.bytes,
                surroundings: span.surroundings,
                route: Arc::clone(&route),
                stamp: None,
                pid: None,
                is_of_process: false,
                is_told: false,
                pending: 1,
                verdict: None,
                good: None,
                origin,
            });
            tickets.push((span.row, self.items.ticket(slot)));
        }
        let mut tickets = tickets.into_iter().peekable();
        for (place, group) in groups {
            let of_group = std::iter::from_fn(|| tickets.next_if(|(row, _)| group.contains(row)));
            let held: Vec<(usize, Ticket)> = of_group.map(|(row, ticket)| (row - group.start, ticket)).collect();
            self.engine.handle_spans(now, &place, rows.get(group).unwrap_or_default(), &held);
        }
        debug_assert!(tickets.peek().is_none(), "a span waits that is of no place, or is out of their order");
        self.shared.queued_rows.fetch_sub(count, Ordering::Relaxed);
    }

    /// Does what the engine says.
    fn release(&mut self, now: Nanos) {
        let mut outputs = Vec::new();
        // What verdicts are about first: their records are still here.
        let mut about = VecDeque::new();
        while let Some(output) = self.engine.poll_output() {
            if let Output::Verdict(verdict) = &output {
                about.push_back(self.about(verdict));
                self.keep_details(now, verdict);
            }
            outputs.push(output);
        }
        let is_freed = !outputs.is_empty();
        let mut items = Builder::for_items(outputs.len());
        let mut verdicts = Builder::for_items(about.len());
        for output in outputs {
            match output {
                Output::Verdict(verdict) => {
                    let about = about.pop_front().unwrap_or_else(|| self.about(&verdict));
                    self.publish(now, &verdict, about, &mut verdicts);
                }
                Output::Incident(incident) => self.publish_incident(now, &incident, &mut verdicts),
                Output::Release { ticket, verdict } => {
                    let Some(slot) = self.items.find(ticket) else { continue };
                    if let Some(item) = self.items.get_mut(slot) {
                        item.pending = item.pending.saturating_sub(1);
                        item.verdict = item.verdict.take().or(verdict);
                    }
                    self.release_if_done(slot, &mut items);
                }
                Output::Good(good) => {
                    for (_, ticket) in &good.records {
                        let slot = self.items.find(*ticket);
                        if let Some(item) = slot.and_then(|slot| self.items.get_mut(slot)) {
                            item.good = Some(Arc::clone(&good));
                        }
                    }
                }
            }
        }
        verdicts.finish();
        items.finish();
        if is_freed {
            self.shared.turns.freed();
        }
        let wanted = self.engine.wanted();
        if !Arc::ptr_eq(&wanted, &self.wanted) {
            self.wanted = Arc::clone(&wanted);
            self.shared.publish_wanted(wanted);
        }
        let named = self.engine.named();
        if !Arc::ptr_eq(&named, &self.named) {
            self.named = Arc::clone(&named);
            self.shared.publish_named(named);
        }
    }

    fn release_if_done(&mut self, slot: Slot, builder: &mut Builder) {
        if self.items.get(slot).is_none_or(|item| item.pending > 0) {
            return;
        }
        let Some(item) = self.items.remove(slot) else { return };
        let marks = Marks::of(item.origin.position);
        let held_bytes = match item.signal {
            Signal::Traces => &self.shared.held_span_bytes,
            Signal::Logs | Signal::Metrics => &self.shared.held_bytes,
        };
        held_bytes.fetch_sub(item.weight, Ordering::Relaxed);
        self.shared.counters.held_less(1);
        if let Some(verdict) = item.verdict.as_ref().filter(|_| item.signal == Signal::Traces) {
            self.ring.details.add_span(&verdict.uid, || lines::span(&item));
        }
        let Item { signal, bytes, surroundings, route, .. } = &item;
        let room = room::of_held(bytes.len());
        match (&item.verdict, signal) {
            (None, Signal::Logs) if item.good.is_some() => {
                let patch = item.good.as_deref().map(enrich::link_patch).unwrap_or_default();
                builder.push_with(route, *signal, room, marks, surroundings, |out| patch.apply_to(bytes, out));
            }
            (None, _) => {
                builder.push_with(route, *signal, room, marks, surroundings, |out| out.extend_from_slice(bytes));
            }
            (Some(verdict), Signal::Traces) => {
                let patched = self.enrichment(verdict).span_patch().apply(bytes);
                builder.push_with(route, *signal, room, marks, surroundings, |out| out.extend_from_slice(&patched));
            }
            (Some(verdict), _) => {
                let patch = self.enrichment(verdict).log_patch(self.enrich_http, item.pid);
                builder.push_with(route, *signal, room, marks, surroundings, |out| patch.apply_to(bytes, out));
            }
        }
    }

    /// What is held of these requests explains others still, as what a replay shows does, and is sent to nobody.
    fn give_up(&mut self, positions: &[u64], what: GivenUp) -> Vec<u64> {
        let positions: BTreeSet<u64> = positions.iter().copied().collect();
        let mut given_up = BTreeSet::new();
        for slot in self.items.slots() {
            let Some(item) = self.items.get_mut(slot) else { continue };
            let Some(position) = item.origin.position.filter(|position| positions.contains(position)) else { continue };
            if (item.is_of_process || item.is_told) && what == GivenUp::Requests {
                continue;
            }
            given_up.insert(position);
            room::let_go(&item.route, room::of_held(item.bytes.len()));
            item.route = Arc::default();
            item.origin = Origin::ELSEWHERE;
        }
        given_up.into_iter().collect()
    }

    /// Nothing should be left; what is goes on as it came.
    fn let_go_of_everything(&mut self) {
        let mut builder = Builder::default();
        for slot in self.items.slots() {
            if let Some(item) = self.items.get_mut(slot) {
                item.pending = 0;
            }
            self.release_if_done(slot, &mut builder);
        }
        builder.finish();
    }
}

/// The later time, unless it is because the clock was put back: nobody waits for it to come around again.
fn later(time: Nanos, other: Nanos) -> Nanos {
    if other.saturating_add(PUT_BACK) < time { other } else { time.max(other) }
}
