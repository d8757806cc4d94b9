//! The receiver's side: check, scan, send on what proves nothing, hand over the rest.

use super::correlator::{HeldRecord, HeldSpan, Message, Spans};
use super::cut::{Copies, surroundings_of};
use super::origin::{Origin, Taken, pieces};
use super::room::{self, Room};
use super::streams::Lesson;
use super::{Route, Shared, send_all};
use crate::exporter::backlog::Amount;
use crate::journal::{Append, Marks};
use crate::otlp::{self, Edits, Signal};
use crate::receiver::{Consumer, Refusal};
use crate::scan::{self, FoundRecord};
use crate::telemetry::Unwatched;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// When a sender shall come back after it was asked to.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const OVERLOADED: Refusal = Refusal::Overloaded { retry_after: RETRY_AFTER };

/// What a receiver hands its requests to.
#[derive(Clone, Debug)]
pub struct Intake {
    pub(super) shared: Arc<Shared>,
    /// The receiver's name.
    pub(super) name: Arc<str>,
    /// By signal in the order of [`Signal::ALL`].
    pub(super) routes: [Arc<Route>; 3],
    pub(super) messages: mpsc::Sender<Message>,
}

impl Consumer for Intake {
    async fn consume(&self, signal: Signal, request: Bytes) -> Result<(), Refusal> {
        self.take(signal, request).await
    }

    fn refused(&self, refusal: &Refusal) {
        self.shared.counters.refused(refusal.reason());
    }
}

/// A request that was looked at, and of which nothing is used yet.
pub(super) struct Prepared<'s> {
    /// The pieces of it that go to each explained outlet.
    pub(super) pieces: usize,
    what: What<'s>,
}

enum What<'s> {
    /// All of it goes on as it came.
    Whole(Option<scan::Scanned>),
    /// Some records wait.
    Records {
        rest: Option<(Bytes, u64)>,
        held: Vec<HeldRecord>,
        scanned: scan::Scanned,
        permit: Option<mpsc::Permit<'s, Message>>,
        held_bytes: Reserved<'s>,
    },
    /// The engine is told of spans, some of which wait.
    Spans {
        rest: Option<(Bytes, u64)>,
        spans: Box<Spans>,
        permit: Option<mpsc::Permit<'s, Message>>,
        held_bytes: Reserved<'s>,
        rows: Reserved<'s>,
    },
}

/// Counted room, given back unless it is used.
struct Reserved<'s> {
    counter: &'s AtomicUsize,
    amount: usize,
}

impl<'s> Reserved<'s> {
    /// Counts so much.
    fn of(counter: &'s AtomicUsize, amount: usize) -> Reserved<'s> {
        counter.fetch_add(amount, Ordering::Relaxed);
        Reserved { counter, amount }
    }

    /// Somebody else gives it back.
    fn used(mut self) {
        self.amount = 0;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.counter.fetch_sub(self.amount, Ordering::Relaxed);
        }
    }
}

/// Whether limits hold: what was acknowledged before the start is never refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    /// It may be refused, and may wait before: the engine should have come as far as to it.
    InTurn,
    /// It may be refused.
    Yes,
    /// It may not.
    No,
}

impl Intake {
    /// The outlets of a signal.
    pub(super) fn route(&self, signal: Signal) -> &Arc<Route> {
        let [logs, traces, metrics] = &self.routes;
        match signal {
            Signal::Logs => logs,
            Signal::Traces => traces,
            Signal::Metrics => metrics,
        }
    }

    async fn take(&self, signal: Signal, request: Bytes) -> Result<(), Refusal> {
        let route = self.route(signal);
        let Some((items, _room)) = self.room_for(route, signal, &request)? else { return Ok(()) };
        let journal = route.journal();
        let prepared = self.prepare_in_turn(!route.explained.is_empty(), signal, &request, items).await?;
        // Not before: time does not go on while one is on its way to the disk.
        let taken = journal.map(|_| self.shared.taking.begin());
        let arrived = taken.as_ref().map(Taken::arrived);
        // Everything else that could refuse it has been asked: what is on the disk is then acknowledged.
        let position = match journal {
            Some(journal) => {
                let arrived = arrived.unwrap_or_default();
                let append = Append { receiver: &self.name, signal, items, arrived, request: &request };
                let kept = journal.append(append).await.map_err(|why| Refusal::NotKept(why.to_string()))?;
                Some(kept.used(&pieces(route, prepared.pieces)))
            }
            None => None,
        };
        self.hand_over(route, signal, &request, items, prepared, Origin { position, arrived, is_replayed: false });
        self.shared.counters.accepted(signal, items);
        Ok(())
    }

    /// Whether a request can be taken at all: its items, and room for it in all queues that it goes to, which is given back
    /// when it is in them or refused. `None` where there is nothing to send on.
    pub(super) fn room_for<'r>(
        &self,
        route: &'r Route,
        signal: Signal,
        request: &Bytes,
    ) -> Result<Option<(u64, Room<'r>)>, Refusal> {
        if route.is_empty() {
            return Err(Refusal::Disabled);
        }
        if self.shared.draining.load(Ordering::Relaxed) {
            return Err(Refusal::ShuttingDown);
        }
        let counts = otlp::check(signal, request).map_err(|error| Refusal::Malformed(error.to_string()))?;
        // A receiver answers success (OTLP 1.11.0, "Full Success"), and senders should not send it.
        if counts.entries == 0 {
            return Ok(None);
        }
        let need = Amount { items: counts.items, bytes: request.len() };
        let room = Room::reserve(route, signal, need);
        room.map(|room| Some((counts.items, room))).ok_or(OVERLOADED)
    }

    /// Looks at a request and cuts out what waits; nothing of it is used yet, and what was reserved is given back with it.
    pub(super) fn prepare(
        &self,
        is_explained: bool,
        signal: Signal,
        request: &Bytes,
        items: u64,
        limited: Limited,
    ) -> Result<Prepared<'_>, Refusal> {
        match signal {
            Signal::Logs if is_explained => self.prepare_logs(request, items, limited),
            Signal::Traces if is_explained => Ok(self.prepare_traces(request, items, limited)),
            _ => Ok(Prepared { pieces: 1, what: What::Whole(None) }),
        }
    }

    /// [`Intake::prepare`] for a request off the wire: it waits a moment for the engine, should that be behind or hold as much as
    /// it may. Who waited in vain, or found too many waiting, is refused only where there is no room at all.
    ///
    /// # Errors
    /// As [`Intake::prepare`], and [`Refusal::ShuttingDown`].
    pub(super) async fn prepare_in_turn(
        &self,
        is_explained: bool,
        signal: Signal,
        request: &Bytes,
        items: u64,
    ) -> Result<Prepared<'_>, Refusal> {
        let prepare = |limited| match self.prepare(is_explained, signal, request, items, limited) {
            Err(Refusal::Overloaded { .. }) if self.shared.draining.load(Ordering::Relaxed) => {
                Err(Refusal::ShuttingDown)
            }
            done => done,
        };
        let attempt = || Some(prepare(Limited::InTurn)).filter(|done| !matches!(done, Err(Refusal::Overloaded { .. })));
        if let Some(done) = attempt() {
            return done;
        }
        let waited = self.shared.turns.wait(attempt).await;
        waited.unwrap_or_else(|| prepare(Limited::Yes))
    }

    /// Uses it. Returns what is still to be told to the engine, where no place in its queue was kept.
    pub(super) fn hand_over(
        &self,
        route: &Arc<Route>,
        signal: Signal,
        request: &Bytes,
        items: u64,
        prepared: Prepared<'_>,
        origin: Origin,
    ) -> Option<Message> {
        let marks = Marks::of(origin.position);
        send_all(&route.plain, signal, request, items, &marks);
        let send_rest = |rest: Option<(Bytes, u64)>| {
            if let Some((rest, items)) = rest {
                send_all(&route.explained, signal, &rest, items, &marks);
            }
        };
        let (message, permit) = match prepared.what {
            What::Whole(scanned) => {
                scanned.into_iter().for_each(|scanned| self.count(scanned));
                send_all(&route.explained, signal, request, items, &marks);
                return None;
            }
            What::Records { rest, held, scanned, permit, held_bytes } => {
                held_bytes.used();
                send_rest(rest);
                room::hold(route, room::of_all_held(held.iter().map(|record| record.bytes.len())));
                self.shared.counters.held_more(held.len() as u64);
                self.shared.queued_bytes.fetch_add(weight_of(&held), Ordering::Relaxed);
                self.count(scanned);
                (Message::Records { records: held, route: Arc::clone(route), origin }, permit)
            }
            What::Spans { rest, mut spans, permit, held_bytes, rows } => {
                held_bytes.used();
                rows.used();
                send_rest(rest);
                room::hold(route, room::of_all_held(spans.held.iter().map(|span| span.bytes.len())));
                self.shared.counters.held_more(spans.held.len() as u64);
                spans.route = Arc::clone(route);
                spans.origin = origin;
                (Message::Spans(spans), permit)
            }
        };
        match permit {
            Some(permit) => {
                permit.send(message);
                None
            }
            None => Some(message),
        }
    }

    fn prepare_logs(&self, request: &Bytes, items: u64, limited: Limited) -> Result<Prepared<'_>, Refusal> {
        let shared = &self.shared;
        if limited != Limited::No && self.still_has_no_room(request, limited) {
            return Err(OVERLOADED);
        }
        let lesson = Lesson::new(&shared.streams);
        let (mut bytes, mut read) = (0, 0);
        let scanned = self.scan_all(request, &lesson).or_else(|| {
            let wanted = shared.wanted();
            // A request that is refused is read no further than to the record that has no room.
            let admit = |found: &FoundRecord| {
                bytes += found.range.len() + ITEM_OVERHEAD;
                read = read.max(found.range.end);
                limited == Limited::No || self.keeps_up(limited) && self.has_room(bytes)
            };
            let scanned = scan::logs(request, &shared.reader, &lesson, &shared.sites, &wanted, admit)?;
            shared.note_unlinked(&scanned.healthy);
            Some(scanned)
        });
        let Some(mut scanned) = scanned else {
            shared.refused.note(request, bytes, read);
            lesson.forget();
            return Err(OVERLOADED);
        };
        if scanned.found.is_empty() {
            return Ok(Prepared { pieces: 1, what: What::Whole(Some(scanned)) });
        }
        let mut edits = Edits::new();
        let mut copies = Copies::of_all(scanned.found.iter().map(|found| found.range.len()).sum());
        let mut held = Vec::with_capacity(scanned.found.len());
        let mut bytes = 0;
        let mut last_shells = None;
        let found_count = scanned.found.len() as u64;
        for found in std::mem::take(&mut scanned.found) {
            let Some(item) = request.get(found.range.clone()) else { continue };
            edits.remove(found.range);
            // What surrounds a record counts once for all records in it: it is as long as the sender likes.
            let shells = (found.surroundings.resource_shell().as_ptr(), found.surroundings.scope_shell().as_ptr());
            let shells_len = if last_shells == Some(shells) { 0 } else { found.surroundings.bytes_len() };
            last_shells = Some(shells);
            let weight = item.len() + ITEM_OVERHEAD + shells_len;
            bytes += weight;
            held.push(HeldRecord {
                weight,
                bytes: copies.of(item),
                surroundings: found.surroundings,
                stream: found.stream,
                observed: found.observed,
                evidences: found.evidences,
            });
        }
        // Before anything of the request is used: its sender shall send all of it again.
        let permit = match limited {
            Limited::No => None,
            Limited::InTurn | Limited::Yes => match self.admit(bytes, limited) {
                Ok(permit) => Some(permit),
                Err(refusal) => {
                    shared.refused.note(request, bytes, request.len());
                    lesson.forget();
                    return Err(refusal);
                }
            },
        };
        shared.refused.forget(request);
        let held_bytes = Reserved::of(&shared.held_bytes, bytes);
        let rest = items.saturating_sub(found_count);
        let rest = (rest > 0).then(|| (Bytes::from(edits.apply(request)), rest));
        let pieces = held.len() + usize::from(rest.is_some());
        Ok(Prepared { pieces, what: What::Records { rest, held, scanned, permit, held_bytes } })
    }

    /// All access lines of a request, where good ones are linked as well and there is room. Those of failing requests keep half of
    /// it, so that no sender is refused for a good one.
    fn scan_all(&self, request: &Bytes, lesson: &Lesson<'_>) -> Option<scan::Scanned> {
        let shared = &self.shared;
        let everything = shared.everything.as_ref()?;
        let mut bytes = shared.held_bytes.load(Ordering::Relaxed);
        let admit = |found: &FoundRecord| {
            bytes += found.range.len() + ITEM_OVERHEAD;
            bytes <= shared.held_bytes_max / 2 && self.messages.capacity() > 0
        };
        scan::logs(request, &shared.reader, lesson, &shared.sites, everything, admit)
    }

    /// What could be no failed request's own goes on at once. Past a limit everything does: a request of traces is never
    /// refused, its spans are then neither linked nor patched.
    fn prepare_traces(&self, request: &Bytes, items: u64, limited: Limited) -> Prepared<'_> {
        let (named, rows_max) = (self.shared.named(), ROWS_MAX.min(items as usize));
        let scanned = scan::spans::scan(request, rows_max, &named, |resource| self.shared.place(resource));
        if scanned.left_out > 0 {
            self.shared.counters.unwatched(Unwatched::Queue, scanned.left_out);
        }
        let Some((permit, queued_rows)) = self.room_for_rows(&scanned, limited) else {
            return Prepared { pieces: 1, what: What::Whole(None) };
        };
        let (kept, held_bytes) = self.within_budget(scanned.candidates);
        let surroundings = if kept.is_empty() { Vec::new() } else { surroundings_of(request, &kept) };
        let mut edits = Edits::new();
        let mut held = Vec::with_capacity(kept.len());
        for ((row, range), surroundings) in kept.into_iter().zip(surroundings) {
            let bytes = Bytes::copy_from_slice(request.get(range.clone()).unwrap_or_default());
            edits.remove(range);
            held.push(HeldSpan { row, bytes, surroundings });
        }
        let left = items.saturating_sub(held.len() as u64);
        let rest = if held.is_empty() {
            Some((request.clone(), items))
        } else {
            (left > 0).then(|| (Bytes::from(edits.apply(request)), left))
        };
        let pieces = held.len() + usize::from(rest.is_some());
        let (rows, groups, slow) = (scanned.rows, scanned.groups, scanned.slow);
        let spans = Box::new(Spans { rows, groups, slow, held, route: Arc::default(), origin: Origin::default() });
        Prepared { pieces, what: What::Spans { rest, spans, permit, held_bytes, rows: queued_rows } }
    }

    /// Room in the queue for the rows of a request. Half of the queue is left to log records, whose senders would be asked to
    /// come back.
    fn room_for_rows(
        &self,
        scanned: &scan::spans::Scanned,
        limited: Limited,
    ) -> Option<(Option<mpsc::Permit<'_, Message>>, Reserved<'_>)> {
        // A slow span takes no more than two rows, with its name, and is rare.
        let count = scanned.rows.len() + scanned.slow.len();
        if count == 0 {
            return None;
        }
        let reserved = Reserved::of(&self.shared.queued_rows, count);
        if limited == Limited::No {
            return Some((None, reserved));
        }
        let fits = self.shared.queued_rows.load(Ordering::Relaxed) <= ROWS_QUEUED_MAX;
        let has_room = fits && self.messages.capacity() > self.messages.max_capacity() / 2;
        let permit = if has_room { self.messages.try_reserve().ok() } else { None };
        if permit.is_none() {
            self.shared.counters.unwatched(Unwatched::Queue, count as u64);
        }
        permit.map(|permit| (Some(permit), reserved))
    }

    /// As many of the spans as there is room for, the first ones.
    fn within_budget(&self, mut candidates: Vec<(usize, Range<usize>)>) -> (Vec<(usize, Range<usize>)>, Reserved<'_>) {
        let before = candidates.len();
        let counter = &self.shared.held_span_bytes;
        let mut reserved = Reserved::of(counter, 0);
        candidates.retain(|(_, range)| {
            let weight = range.len() + SPAN_OVERHEAD;
            let held = counter.fetch_add(weight, Ordering::Relaxed);
            let fits = held.saturating_add(weight) <= self.shared.held_span_bytes_max;
            if fits {
                reserved.amount += weight;
            } else {
                counter.fetch_sub(weight, Ordering::Relaxed);
            }
            fits
        });
        if candidates.len() < before {
            self.shared.counters.unwatched(Unwatched::Budget, (before - candidates.len()) as u64);
        }
        (candidates, reserved)
    }

    fn admit(&self, bytes: usize, limited: Limited) -> Result<mpsc::Permit<'_, Message>, Refusal> {
        if !self.keeps_up(limited) || !self.has_room(bytes) {
            return Err(OVERLOADED);
        }
        self.messages.try_reserve().map_err(|_| OVERLOADED)
    }

    /// True for a request that was refused before, while there is no room for what it needs. What was guessed of it asks for
    /// no more than half of all room: it would wait for ever if the guess were wrong.
    fn still_has_no_room(&self, request: &[u8], limited: Limited) -> bool {
        let needs = self.shared.refused.needs(request).min(self.shared.held_bytes_max / 2);
        needs > 0 && !(self.keeps_up(limited) && self.has_room(needs))
    }

    /// The engine can be told of more. Who can wait does so where it is behind: what it is given before it comes to it would
    /// only grow cold.
    fn keeps_up(&self, limited: Limited) -> bool {
        let is_behind = || self.shared.queued_bytes.load(Ordering::Relaxed) >= QUEUED_BYTES_MAX;
        self.messages.capacity() > 0 && !(limited == Limited::InTurn && is_behind())
    }

    /// A request that would never fit is taken when nothing else is held.
    fn has_room(&self, bytes: usize) -> bool {
        let held = self.shared.held_bytes.load(Ordering::Relaxed);
        held == 0 || held.saturating_add(bytes) <= self.shared.held_bytes_max
    }

    fn count(&self, scanned: scan::Scanned) {
        if !scanned.healthy.is_empty() {
            self.shared.note_healthy(scanned.healthy);
        }
        if !scanned.samples.is_empty() {
            self.shared.note_samples(scanned.samples);
        }
        self.shared.counters.recognised(&scanned.recognised, scanned.unrecognised);
    }
}

/// What records that wait for the engine count of [`Shared::queued_bytes`].
pub(super) fn weight_of(records: &[HeldRecord]) -> usize {
    records.iter().map(|record| record.weight).sum()
}

/// Bytes of records, with what each takes beside, that wait for the engine before others wait their turn: some 800 of them.
const QUEUED_BYTES_MAX: usize = 2 << 20;
/// What a held item takes beside its bytes: evidence, tickets, entries of maps; measured at about 2 KiB.
pub(super) const ITEM_OVERHEAD: usize = 2_048;
/// The same of a span, of which the engine keeps a row.
pub(super) const SPAN_OVERHEAD: usize = 1_024;
/// Rows of one request: 6 MiB. SDKs send 512 spans at once by default, collectors 8,192.
const ROWS_MAX: usize = 65_536;
/// Rows that wait for the engine: two of the largest requests.
const ROWS_QUEUED_MAX: usize = 2 * ROWS_MAX;
