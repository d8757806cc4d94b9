//! The engine's side: one task that owns the engine and the bytes of what it holds.

use super::intake::ITEM_OVERHEAD;
use super::{Route, Shared, send_all};
use crate::clock;
use crate::engine::place::Stream;
use crate::engine::verdict::{Source, Ticket, Verdict};
use crate::engine::{Decision, Engine, Output, Record, Settings, Span};
use crate::enrich;
use crate::exporter::Outlet;
use crate::otlp::{Attribute, Edits, Request, RequestWriter, Signal, Surroundings, resource, scope};
use crate::read::Wanted;
use crate::read::evidence::{Evidence, Nanos, SECOND, SpanFacts};
use crate::web::Ring;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// Without anything due the task looks up so often, to note healthy traffic.
const IDLE: Duration = Duration::from_secs(1);
/// Requests that are built out of released items are closed at this length; exporters join and split on their own.
const REQUEST_BYTES_MAX: usize = 1 << 20;

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

/// What the task is told.
#[derive(Debug)]
pub enum Message {
    /// Records that prove something, cut out of their request.
    Records {
        /// In order.
        records: Vec<HeldRecord>,
        /// Where they go.
        route: Arc<Route>,
    },
    /// A request of traces, whole.
    Spans {
        /// The request.
        request: Bytes,
        /// Spans in it.
        items: u64,
        /// Server and client spans: where each stands and what it proves.
        spans: Vec<(Range<usize>, SpanFacts)>,
        /// Where it goes.
        route: Arc<Route>,
    },
    /// Give every open request its verdict and end.
    Finish,
}

/// The bytes of a held record or span.
#[derive(Debug)]
struct Item {
    signal: Signal,
    bytes: Bytes,
    surroundings: Surroundings,
    route: Arc<Route>,
    /// The process that wrote a record.
    pid: Option<u32>,
    /// Tickets of its evidence that are not released yet.
    pending: usize,
    verdict: Option<Arc<Verdict>>,
    weight: usize,
}

/// Owns the engine.
pub struct Correlator {
    engine: Engine,
    shared: Arc<Shared>,
    ring: Ring,
    verdict_route: Arc<Route>,
    verdict_outlets: Vec<Arc<dyn Outlet>>,
    enrich_http: bool,
    tickets: HashMap<Ticket, u64>,
    items: HashMap<u64, Item>,
    next_item: u64,
    next_ticket: u64,
    wanted: Arc<Wanted>,
    own_scope: Surroundings,
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
    ) -> Correlator {
        let own_resource = resource(&[Attribute::new("service.name", "why502")]);
        Correlator {
            engine: Engine::new(settings),
            shared,
            ring,
            verdict_route: Arc::new(Route { plain: Vec::new(), explained: log_outlets }),
            verdict_outlets,
            enrich_http,
            tickets: HashMap::new(),
            items: HashMap::new(),
            next_item: 0,
            next_ticket: 0,
            wanted: Arc::default(),
            own_scope: Surroundings::new(&own_resource, &scope("why502", env!("CARGO_PKG_VERSION"))),
        }
    }

    /// Runs until it is told to finish.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        loop {
            let due = self.engine.poll_timeout();
            let wait = due.map_or(IDLE, |(due, _)| clock::until(due).min(IDLE));
            let message = match tokio::time::timeout(wait, inbox.recv()).await {
                Ok(Some(Message::Finish) | None) => break,
                Ok(message) => message,
                Err(_) => {
                    tracing::trace!(?due, "woken");
                    None
                }
            };
            let now = clock::now();
            self.note_healthy(now);
            match message {
                Some(Message::Records { records, route }) => self.take_records(now, records, &route),
                Some(Message::Spans { request, items, spans, route }) => {
                    self.take_spans(now, &request, items, spans, &route)
                }
                Some(Message::Finish) | None => {}
            }
            self.engine.handle_timeout(now);
            self.release(now);
        }
        let now = clock::now();
        self.engine.finish(now);
        self.release(now);
        self.let_go_of_everything();
    }

    fn note_healthy(&mut self, now: Nanos) {
        for (stream, count) in self.shared.take_healthy().into_values() {
            self.engine.handle_healthy(now.saturating_sub(SECOND / 2), &stream, count);
        }
    }

    fn take_records(&mut self, now: Nanos, records: Vec<HeldRecord>, route: &Arc<Route>) {
        let mut builder = Builder::default();
        for record in records {
            let weight = record.weight;
            let number = self.next_item;
            self.next_item += 1;
            let item = Item {
                signal: Signal::Logs,
                bytes: record.bytes,
                surroundings: record.surroundings,
                route: Arc::clone(route),
                pid: record.evidences.iter().find_map(|evidence| evidence.proof.pid()),
                pending: record.evidences.len(),
                verdict: None,
                weight,
            };
            self.items.insert(number, item);
            for evidence in record.evidences {
                let ticket = self.ticket(number);
                let stream = record.stream.clone();
                let record = Record { ticket, stream, observed: record.observed, evidence };
                if self.engine.handle_record(now, record) == Decision::Pass {
                    self.tickets.remove(&ticket);
                    if let Some(item) = self.items.get_mut(&number) {
                        item.pending = item.pending.saturating_sub(1);
                    }
                }
            }
            self.release_if_done(number, &mut builder);
        }
        builder.finish();
    }

    fn take_spans(
        &mut self,
        now: Nanos,
        request: &Bytes,
        items: u64,
        spans: Vec<(Range<usize>, SpanFacts)>,
        route: &Arc<Route>,
    ) {
        let mut held: Vec<(Range<usize>, u64)> = Vec::new();
        for (range, facts) in spans {
            let number = self.next_item;
            let ticket = self.ticket(number);
            if self.engine.handle_span(now, Span { ticket, place: Arc::default(), facts }) == Decision::Hold {
                self.next_item += 1;
                held.push((range, number));
            } else {
                self.tickets.remove(&ticket);
            }
        }
        self.shared.held_bytes.fetch_sub(request.len(), Ordering::Relaxed);
        if held.is_empty() {
            send_all(&route.explained, Signal::Traces, request, items);
            return;
        }
        let mut edits = Edits::new();
        let surroundings = surroundings_of(request, &held);
        for ((range, number), surroundings) in held.iter().zip(surroundings) {
            let Some(bytes) = request.get(range.clone()) else { continue };
            edits.remove(range.clone());
            let weight = bytes.len() + ITEM_OVERHEAD;
            self.shared.held_bytes.fetch_add(weight, Ordering::Relaxed);
            let item = Item {
                signal: Signal::Traces,
                bytes: Bytes::copy_from_slice(bytes),
                surroundings,
                route: Arc::clone(route),
                pid: None,
                pending: 1,
                verdict: None,
                weight,
            };
            self.items.insert(*number, item);
        }
        let rest = items.saturating_sub(held.len() as u64);
        if rest > 0 {
            send_all(&route.explained, Signal::Traces, &Bytes::from(edits.apply(request)), rest);
        }
    }

    fn ticket(&mut self, item: u64) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.tickets.insert(ticket, item);
        ticket
    }

    /// Does what the engine says.
    fn release(&mut self, now: Nanos) {
        let mut outputs = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            outputs.push(output);
        }
        let mut builder = Builder::default();
        // Verdicts first: their records are still here, and with them what surrounds them.
        for output in &outputs {
            if let Output::Verdict(verdict) = output {
                self.publish(now, verdict, &mut builder);
            }
        }
        for output in outputs {
            if let Output::Release { ticket, verdict } = output
                && let Some(number) = self.tickets.remove(&ticket)
            {
                if let Some(item) = self.items.get_mut(&number) {
                    item.pending = item.pending.saturating_sub(1);
                    item.verdict = item.verdict.take().or(verdict);
                }
                self.release_if_done(number, &mut builder);
            }
        }
        builder.finish();
        let wanted = self.engine.wanted();
        if !Arc::ptr_eq(&wanted, &self.wanted) {
            self.wanted = Arc::clone(&wanted);
            self.shared.publish_wanted(wanted);
        }
        self.shared.counters.held(self.items.len() as u64);
    }

    fn publish(&mut self, now: Nanos, verdict: &Arc<Verdict>, builder: &mut Builder) {
        self.shared.counters.verdict(verdict);
        self.ring.publish(Arc::clone(verdict));
        for outlet in &self.verdict_outlets {
            outlet.verdict(verdict);
        }
        if self.verdict_route.explained.is_empty() {
            return;
        }
        let mut records: Vec<&(Source, Ticket)> = verdict.records.iter().collect();
        // The resource of the access line says best whose failure it is.
        records.sort_by_key(|(source, _)| (*source != Source::NginxAccess, *source != Source::NginxError));
        let item = records.iter().find_map(|(_, ticket)| self.items.get(self.tickets.get(ticket)?));
        let surroundings = match item {
            Some(item) => Surroundings::of(
                Arc::clone(item.surroundings.resource_shell()),
                Arc::clone(self.own_scope.scope_shell()),
            ),
            None => self.own_scope.clone(),
        };
        builder.push(
            &Arc::clone(&self.verdict_route),
            Signal::Logs,
            &surroundings,
            &enrich::verdict_record(verdict, now),
        );
    }

    fn release_if_done(&mut self, number: u64, builder: &mut Builder) {
        if self.items.get(&number).is_none_or(|item| item.pending > 0) {
            return;
        }
        let Some(item) = self.items.remove(&number) else { return };
        self.shared.held_bytes.fetch_sub(item.weight, Ordering::Relaxed);
        let bytes = match (&item.verdict, item.signal) {
            (None, _) => item.bytes.to_vec(),
            (Some(verdict), Signal::Traces) => enrich::span_patch(verdict).apply(&item.bytes),
            (Some(verdict), _) => enrich::log_patch(verdict, self.enrich_http, item.pid).apply(&item.bytes),
        };
        builder.push(&item.route, item.signal, &item.surroundings, &bytes);
    }

    /// Nothing should be left; what is goes on as it came.
    fn let_go_of_everything(&mut self) {
        let mut builder = Builder::default();
        let mut numbers: Vec<u64> = self.items.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(item) = self.items.get_mut(&number) {
                item.pending = 0;
            }
            self.release_if_done(number, &mut builder);
        }
        builder.finish();
    }
}

/// What surrounds each of the held spans, in their order. Shells are made once for each group.
fn surroundings_of(request: &[u8], held: &[(Range<usize>, u64)]) -> Vec<Surroundings> {
    let mut by_range: BTreeMap<usize, Surroundings> = BTreeMap::new();
    for resource in Request::new(request).resources() {
        if !held.iter().any(|(range, _)| resource.range().contains(&range.start)) {
            continue;
        }
        let resource_shell = resource.shell();
        for scope in resource.scopes() {
            let inside: Vec<usize> =
                held.iter().map(|(range, _)| range.start).filter(|start| scope.range().contains(start)).collect();
            if inside.is_empty() {
                continue;
            }
            let surroundings = Surroundings::of(resource_shell.clone(), scope.shell());
            by_range.extend(inside.into_iter().map(|start| (start, surroundings.clone())));
        }
    }
    held.iter()
        .map(|(range, _)| by_range.get(&range.start).cloned().unwrap_or_else(|| Surroundings::new(&[], &[])))
        .collect()
}

/// Puts released items into requests, in order, one request for each run of items with one route.
#[derive(Default)]
struct Builder {
    writer: Option<(Arc<Route>, Signal, RequestWriter, u64)>,
}

impl Builder {
    fn push(&mut self, route: &Arc<Route>, signal: Signal, surroundings: &Surroundings, item: &[u8]) {
        let fits = self.writer.as_ref().is_some_and(|(known, of, writer, _)| {
            Arc::ptr_eq(known, route) && *of == signal && writer.bytes_len() + item.len() < REQUEST_BYTES_MAX
        });
        if !fits {
            self.finish();
        }
        let (_, _, writer, items) =
            self.writer.get_or_insert_with(|| (Arc::clone(route), signal, RequestWriter::new(), 0));
        writer.push(surroundings, item);
        *items += 1;
    }

    fn finish(&mut self) {
        if let Some((route, signal, writer, items)) = self.writer.take() {
            send_all(&route.explained, signal, &Bytes::from(writer.finish()), items);
        }
    }
}
