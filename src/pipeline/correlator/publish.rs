//! What becomes of what the engine says: verdicts and incidents as records, in the ring, and what the page keeps of them.

use super::super::builder::Builder;
use super::super::own::Own;
use super::super::{Route, lines};
use super::{Correlator, ENRICHMENTS_MAX, HeldRecord};
use crate::engine::incident::{Ended, Incident, State};
use crate::engine::verdict::{Source, Ticket, Verdict};
use crate::enrich::{self, Enrichment};
use crate::exporter::Outlet;
use crate::exporter::backlog::Amount;
use crate::journal::Marks;
use crate::otlp::{RequestWriter, Signal, Surroundings};
use crate::read::evidence::Nanos;
use crate::telemetry::metrics::{OF_ORIGIN, OWN_RECORDS, PER_INCIDENT, SUPPRESSED};
use crate::web::details::{KeptLine, LINES_MAX};
use bytes::Bytes;
use std::sync::Arc;

/// What a verdict is about.
pub(super) struct About {
    surroundings: Surroundings,
    marks: Marks,
    route: Arc<Route>,
}

fn has(route: &Route, outlet: &Arc<dyn Outlet>) -> bool {
    route.explained.iter().any(|known| Arc::ptr_eq(known, outlet))
}

impl Correlator {
    /// Whose resource the record of a verdict has, where it goes, and the requests that it is about: it is delivered with
    /// them, so that neither a crash nor a replay parts it from them.
    pub(super) fn about(&mut self, verdict: &Verdict) -> About {
        // Looked for anew each time: that costs less than a list of them, and the first nearly always says it.
        let held = || verdict.records.iter().filter_map(|(_, ticket)| self.items.get(self.items.find(*ticket)?));
        let is_alone = held().next().is_none();
        let mut marks = Marks::default();
        marks.extend(held().filter_map(|item| item.origin.position));
        let surroundings = self.surroundings_of(verdict);
        // A message with a line of it is delivered when its verdict is, and who delivers the others has all of them in sight.
        let is_elsewhere = |(source, ticket): &(Source, Ticket)| {
            let item = self.items.find(*ticket).and_then(|slot| self.items.get(slot));
            matches!(source, Source::NginxError | Source::NginxAccess)
                && item.is_some_and(|item| item.origin.is_elsewhere())
        };
        let is_told_elsewhere = verdict.records.iter().any(is_elsewhere);
        let lacks = |outlet: &Arc<dyn Outlet>| {
            let is_live = held().any(|item| !item.origin.is_replayed);
            !is_told_elsewhere && (is_alone || is_live || held().any(|item| has(&item.route, outlet)))
        };
        // What was replayed may get its verdict after the replay.
        let is_replayed = self.is_replaying || !is_alone && held().all(|item| item.origin.is_replayed);
        if !is_replayed && self.replay_incidents.is_empty() && self.verdict_route.explained.iter().all(lacks) {
            return About { surroundings, marks, route: Arc::clone(&self.verdict_route) };
        }
        let mask: Vec<bool> = self.verdict_route.explained.iter().map(lacks).collect();
        if let Some(incident) = &verdict.incident
            && (is_replayed || self.replay_incidents.contains_key(&incident.uid))
        {
            let known = self.replay_incidents.entry(incident.uid.clone()).or_default();
            known.resize(mask.len(), false);
            known.iter_mut().zip(&mask).for_each(|(known, lacks)| *known |= lacks);
        }
        let route = self.part_of_verdict_route(mask);
        About { surroundings, marks, route }
    }

    /// The outlets of verdicts of which the mask says so.
    pub(super) fn part_of_verdict_route(&mut self, mask: Vec<bool>) -> Arc<Route> {
        if !mask.contains(&false) {
            return Arc::clone(&self.verdict_route);
        }
        let part = |mask: &Vec<bool>| {
            let lacking = self.verdict_route.explained.iter().zip(mask).filter(|(_, lacks)| **lacks);
            let explained = lacking.map(|(outlet, _)| Arc::clone(outlet)).collect();
            Arc::new(Route { plain: Vec::new(), explained })
        };
        Arc::clone(self.replay_routes.entry(mask).or_insert_with_key(part))
    }

    /// A line about a process, as the page shows it.
    pub(super) fn line_of_process(&self, now: Nanos, record: &HeldRecord) -> Option<(Source, KeptLine)> {
        let source = record.evidences.iter().find_map(lines::process)?;
        Some((source, lines::of_process(record, now)))
    }

    /// Keeps for the page what only is in sight while the records are held.
    pub(super) fn keep_details(&self, now: Nanos, verdict: &Arc<Verdict>) {
        let details = &self.ring.details;
        let before = (verdict.revision > 0).then(|| self.ring.verdicts.get(&verdict.uid)).flatten();
        if !details.is_on() || !details.count(now, verdict, before.as_deref()) {
            return;
        }
        let quoted = verdict.evidence.iter().filter_map(|quote| quote.ticket);
        let mut tickets: Vec<Ticket> = quoted.chain(verdict.records.iter().map(|(_, ticket)| *ticket)).collect();
        // Those that decided come first, should there be more than are kept.
        tickets.truncate(4 * LINES_MAX);
        let mut kept: Vec<(Ticket, Arc<KeptLine>)> = Vec::with_capacity(tickets.len().min(LINES_MAX));
        for ticket in tickets {
            if kept.len() >= LINES_MAX || kept.iter().any(|(known, _)| *known == ticket) {
                continue;
            }
            let held = || self.items.get(self.items.find(ticket)?).map(|item| lines::of_request(item, verdict.time));
            kept.extend(details.process(ticket).or_else(|| held().map(Arc::new)).map(|line| (ticket, line)));
        }
        let trace = verdict.link.trace;
        let spans = trace.map(|trace| self.engine.slow_spans(&trace.trace_id).to_vec()).unwrap_or_default();
        details.keep(verdict, kept, spans);
    }

    pub(super) fn surroundings_of(&self, verdict: &Verdict) -> Surroundings {
        // The resource of the access line says best whose failure it is.
        let rank = |source: &Source| (*source != Source::NginxAccess, *source != Source::NginxError);
        let held =
            verdict.records.iter().filter_map(|(source, ticket)| Some((rank(source), self.items.find(*ticket)?)));
        let item = held.min_by_key(|(rank, _)| *rank).and_then(|(_, slot)| self.items.get(slot));
        match item {
            Some(item) => Surroundings::of(
                Arc::clone(item.surroundings.resource_shell()),
                Arc::clone(self.own_scope.scope_shell()),
            ),
            None => self.own_scope.clone(),
        }
    }

    pub(super) fn publish(&mut self, now: Nanos, verdict: &Arc<Verdict>, about: About, builder: &mut Builder) {
        self.shared.counters.verdict(verdict);
        self.ring.publish(Arc::clone(verdict));
        for outlet in &self.verdict_outlets {
            outlet.verdict(verdict);
        }
        let About { surroundings, marks, route } = about;
        if route.explained.is_empty() {
            return;
        }
        for (_, ticket) in &verdict.records {
            if let Some(item) = self.items.find(*ticket).and_then(|slot| self.items.get_mut(slot)) {
                item.is_told = true;
            }
        }
        if !self.incidents.note(verdict, &surroundings) {
            self.shared.counters.add(SUPPRESSED, PER_INCIDENT, 1);
            return;
        }
        let enrichment = self.enrichment(verdict);
        for account in route.explained.iter().filter_map(|outlet| outlet.account()) {
            account.add(&marks);
        }
        let write = |out: &mut Vec<u8>| enrichment.put_verdict_record(verdict, now, out);
        if marks.is_empty() {
            let id = (&*verdict.uid, verdict.revision);
            self.send_alone("verdict", id, &route, &surroundings, builder, write);
        } else {
            self.shared.counters.add(OWN_RECORDS, "verdict", 1);
            builder.push_with(&route, Signal::Logs, Amount::default(), marks, &surroundings, write);
        }
    }

    /// Sends a record that belongs to no request which is undelivered: through the journal by itself, where there is one.
    fn send_alone(
        &mut self,
        kind: &'static str,
        (uid, revision): (&str, u32),
        route: &Arc<Route>,
        surroundings: &Surroundings,
        builder: &mut Builder,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let counters = &self.shared.counters;
        let Some(keeper) = &mut self.keeper else {
            counters.add(OWN_RECORDS, kind, 1);
            builder.push_with(route, Signal::Logs, Amount::default(), Marks::default(), surroundings, write);
            return;
        };
        let mut alone = Builder::default();
        alone.push_with(route, Signal::Logs, Amount::default(), Marks::default(), surroundings, write);
        if let Some((route, request)) = alone.take() {
            let own = Own { kind, id: format!("{uid}-{revision}"), route, request };
            if self.is_replaying { keeper.take_replayed(own, counters) } else { keeper.take(own, counters) }
        }
    }

    pub(super) fn publish_incident(&mut self, now: Nanos, incident: &Arc<Incident>, builder: &mut Builder) {
        let surroundings = self.incidents.surroundings(incident);
        let [come, gone] = self.incidents.moved(incident);
        for (counter, origin) in OF_ORIGIN.into_iter().zip([come, gone]) {
            if let Some(origin) = origin {
                self.shared.counters.add(counter, origin, 1);
            }
        }
        match incident.state {
            State::Opened => self.shared.counters.add("incidents", incident.label.origin.id, 1),
            State::Changed => {}
            State::Closed => {
                self.incidents.forget(incident);
                self.replay_incidents.remove(&incident.label.uid);
            }
        }
        self.note_open(now, incident, surroundings.as_ref());
        self.ring.publish_incident(Arc::clone(incident));
        for outlet in &self.verdict_outlets {
            outlet.incident(incident);
        }
        // Those who have its verdicts were told that it opened. That it closed they were not.
        let known = self.replay_incidents.get(&incident.label.uid).filter(|_| incident.state != State::Closed);
        let mask = known.cloned().unwrap_or_default();
        let route = self.part_of_verdict_route(mask);
        if !route.explained.is_empty() {
            let record = enrich::incident::record(incident, now);
            let surroundings = surroundings.unwrap_or_else(|| self.own_scope.clone());
            let write = |out: &mut Vec<u8>| out.extend_from_slice(&record);
            if incident.state == State::Opened {
                self.shared.counters.add(OWN_RECORDS, "incident", 1);
                // In one request with the verdict that opened it.
                let (room, marks) = (Amount::default(), Marks::default());
                builder.push_with(&route, Signal::Logs, room, marks, &surroundings, write);
            } else {
                let id = (&*incident.label.uid, incident.revision);
                self.send_alone("incident", id, &route, &surroundings, builder, write);
            }
        }
    }

    /// Notes beside the journal that an incident is open, with what is to be told of it should the program end before it does.
    fn note_open(&mut self, now: Nanos, incident: &Arc<Incident>, surroundings: Option<&Surroundings>) {
        let Some(keeper) = &mut self.keeper else { return };
        if incident.state == State::Closed {
            keeper.over(&incident.label.uid);
            return;
        }
        let (state, ended, revision) = (State::Closed, Some(Ended::EndOfInput), incident.revision + 1);
        let closed = Incident { state, ended, revision, ..Incident::clone(incident) };
        let mut request = RequestWriter::with_capacity(2_048);
        let record = enrich::incident::record(&closed, now);
        request.push_with(surroundings.unwrap_or(&self.own_scope), |out| out.extend_from_slice(&record));
        keeper.open(&incident.label.uid, Bytes::from(request.finish()));
    }

    /// The bytes of a verdict, made once for all that it is written on.
    pub(super) fn enrichment(&mut self, verdict: &Arc<Verdict>) -> Arc<Enrichment> {
        if let Some((_, known)) = self.enrichments.iter().rev().find(|(known, _)| Arc::ptr_eq(known, verdict)) {
            return Arc::clone(known);
        }
        let enrichment = Arc::new(self.common.enrichment(verdict));
        if self.enrichments.len() >= ENRICHMENTS_MAX {
            self.enrichments.pop_front();
        }
        self.enrichments.push_back((Arc::clone(verdict), Arc::clone(&enrichment)));
        enrichment
    }
}
