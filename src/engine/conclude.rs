//! From a request whose hold is over to its verdict, and to the records and spans that get it.

use super::case::Case;
use super::causes::Mark;
use super::correlate::join::Request;
use super::correlate::{Interval, Seen};
use super::outcome::{self, Outcome};
use super::verdict::{LinkMethod, Ticket, Verdict};
use super::{Engine, Output, Timer};
use super::{decide, gather};
use crate::read::evidence::{Nanos, NginxAccess, SECOND, Symptom};
use crate::read::text;
use std::collections::HashMap;
use std::sync::Arc;

/// How long a decided request is remembered, so that late records of it still find their verdict.
const LATE: Nanos = 60 * SECOND;
/// Decided requests remembered for late records: 15 MiB. In a storm they are the newest.
const DECIDED_MAX: usize = 4_096;
/// Uids of recent verdicts that are kept to tell equal requests apart.
const UIDS_MAX: usize = 10_000;

impl Engine {
    /// A worker's end came in: requests decided without it are looked at again.
    pub(super) fn revisit(&mut self, now: Nanos, at: Interval) {
        let late: Vec<u64> = self
            .requests
            .iter()
            .rev()
            .take(256)
            .filter(|(_, request)| {
                let unsure = request
                    .verdict
                    .as_ref()
                    .is_some_and(|verdict| verdict.cause.has(Mark::WantsMoreEvidence) && verdict.status.is_some());
                unsure && outcome::failed_at(request).is_some_and(|failed| failed.near(at, -SECOND, SECOND))
            })
            .map(|(id, _)| id)
            .collect();
        for id in late {
            if let Some(request) = self.requests.get_mut(id) {
                request.stale = true;
            }
            self.set_timer(now.saturating_add(SECOND), Timer::Request(id));
        }
    }

    pub(super) fn decide_oldest(&mut self, now: Nanos) {
        if let Some(id) = self.requests.oldest_open() {
            self.decide(now, id);
        }
    }

    pub(super) fn decide(&mut self, now: Nanos, id: u64) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let first_time = request.verdict.is_none();
        if !first_time && !std::mem::take(&mut request.stale) {
            return;
        }
        let outcome = outcome::outcome(request, &self.world);
        if first_time {
            self.open = self.open.saturating_sub(1);
        }
        if outcome != Outcome::Failed {
            let tickets: Vec<Ticket> = request.records().into_iter().map(|(_, ticket)| ticket).collect();
            let maybe: Vec<Ticket> = request.maybe.iter().map(|access| access.ticket).collect();
            for ticket in tickets.into_iter().chain(maybe) {
                self.resolve(ticket, None);
            }
            self.forget_request(id);
            return;
        }
        adopt_truncated(request);
        self.give_verdict(now, id);
    }

    pub(super) fn give_verdict(&mut self, now: Nanos, id: u64) {
        self.world.spans.look_after(now, self.settings.spans_max);
        let Some(request) = self.requests.get(id) else { return };
        let Some(case) = gather::case_of(request, &self.world) else {
            self.forget_request(id);
            return;
        };
        let salt = match &request.verdict {
            Some(_) => 0,
            None => salt_for(&mut self.uids, &case),
        };
        let death = case.death.map(|(index, _)| index);
        let (mut verdict, span) = decide::verdict_of(&case, id, salt, self.settings.link_threshold);
        let before = request.verdict.clone();
        if let Some(before) = &before {
            verdict.uid.clone_from(&before.uid);
            verdict.revision = before.revision + 1;
            if before.cause.id == verdict.cause.id && before.link == verdict.link && before.status == verdict.status {
                let tickets: Vec<Ticket> = request.records().into_iter().map(|(_, ticket)| ticket).collect();
                for ticket in tickets {
                    self.resolve(ticket, Some(Arc::clone(before)));
                }
                return;
            }
        }
        let verdict = Arc::new(verdict);
        let maybe: Vec<Ticket> = request.maybe.iter().map(|access| access.ticket).collect();
        if let Some(index) = death
            && verdict.cause.has(Mark::BlamesWorker)
            && let Some(death) = self.world.gunicorns.deaths.get_mut(index)
        {
            death.explains += 1;
        }
        self.mark_hosts(&verdict);
        let skew = span.and_then(|number| self.skew_of(id, number, &verdict));
        if let Some(number) = span {
            self.world.spans.link(number, id);
        }
        if let Some((source, ahead)) = skew {
            self.world.note_span_end(source, ahead);
        }
        for (_, ticket) in &verdict.records {
            self.resolve(*ticket, Some(Arc::clone(&verdict)));
        }
        for ticket in maybe {
            self.resolve(ticket, None);
        }
        self.resolve_spans(id, &verdict);
        if let Some(request) = self.requests.get_mut(id) {
            request.verdict = Some(Arc::clone(&verdict));
            request.settle();
        }
        if let Some(trace) = verdict.link.trace {
            self.requests.note_link(id, trace.trace_id);
        }
        self.update_wanted(id);
        self.outputs.push_back(Output::Verdict(verdict));
        if before.is_none() {
            self.set_timer(now.saturating_add(LATE), Timer::Forget(id));
            self.decided.push_back(id);
            if self.decided.len() > self.settings.requests_max.min(DECIDED_MAX)
                && let Some(oldest) = self.decided.pop_front()
            {
                self.forget_request(oldest);
            }
        }
    }

    /// How far the clock of a span is ahead of that of the access log, where an id links the two and both tell of the same
    /// moment: the application's answer is nginx's.
    fn skew_of(&self, id: u64, span: u64, verdict: &Verdict) -> Option<(u64, Nanos)> {
        let exact = matches!(verdict.link.method, LinkMethod::TraceContext | LinkMethod::RequestId);
        let access = self.requests.get(id)?.access.as_ref().filter(|access| access.what.exact_time)?;
        let span = self.world.spans.get(span)?;
        (exact && verdict.symptom == Symptom::Relayed && span.is_server())
            .then(|| (access.source, span.end.saturating_sub(access.at.to)))
    }

    pub(super) fn mark_hosts(&mut self, verdict: &Verdict) {
        for host in &mut self.world.hosts {
            host.used |= verdict.records.iter().any(|(_, ticket)| *ticket == host.seen.ticket);
        }
    }

    pub(super) fn forget_request(&mut self, id: u64) {
        if let Some(mut request) = self.requests.remove(id) {
            if let Some(hash) = request.no_longer_awaited() {
                Arc::make_mut(&mut self.wanted).remove(hash);
            }
            for (_, ticket) in request.records() {
                self.resolve(ticket, request.verdict.clone());
            }
            for access in request.maybe {
                self.resolve(access.ticket, None);
            }
        }
    }
}

/// A healthy access line becomes the request's own where the answer was cut: the nearest in time. Where several are as near
/// and differ in length, nobody can tell which of them was cut, and none is blamed.
fn adopt_truncated(request: &mut Request) {
    if request.access.is_some() {
        return;
    }
    let error_at = request.error().map(|error| error.at);
    let distance = |access: &Seen<NginxAccess>| error_at.map_or(0, |at| at.distance(access.at));
    let served = || request.maybe.iter().enumerate().filter(|(_, access)| access.what.status < 400);
    let Some((index, nearest)) = served().min_by_key(|(_, access)| distance(access)) else { return };
    let length = nearest.what.body_bytes_sent.value();
    let alike = served()
        .filter(|(_, access)| distance(access) == distance(nearest))
        .all(|(_, access)| access.what.body_bytes_sent.value() == length);
    if alike {
        request.access = Some(request.maybe.swap_remove(index));
    }
}

/// How many verdicts with the same first words came before: equal requests in one second get uids of their own.
fn salt_for(uids: &mut HashMap<u64, u32>, case: &Case<'_>) -> u32 {
    if uids.len() >= UIDS_MAX {
        uids.clear();
    }
    let request = case.request;
    let text = request
        .errors
        .first()
        .map(|error| error.text.as_str())
        .or(request.access.as_ref().map(|access| access.text.as_str()));
    let counter = uids.entry(text::hash64(text.unwrap_or_default().as_bytes())).or_default();
    *counter += 1;
    *counter - 1
}
