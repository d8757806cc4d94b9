//! One failing request with the records that are of it.

use super::SpanKey;
use crate::engine::correlate::gunicorn::Death;
use crate::engine::correlate::{Interval, Seen};
use crate::engine::timers::TimerKey;
use crate::engine::verdict::{Source, Ticket, Verdict};
use crate::read::evidence::{Nanos, NginxAccess, NginxError, Symptom, TraceContext};
use std::sync::Arc;

/// One failing request, before and a while after its verdict.
#[derive(Debug)]
pub struct Request {
    /// Error lines in order.
    pub errors: Vec<Seen<NginxError>>,
    /// None of the error lines looks forged.
    pub genuine: bool,
    /// Its error line came before its access line could have, and asks for it: a good one would be here.
    pub is_asked: bool,
    /// The access line.
    pub access: Option<Seen<NginxAccess>>,
    /// Healthy access lines with the same request line, while the own one is not known.
    pub maybe: Vec<Seen<NginxAccess>>,
    /// Trace context that one of the records carries.
    pub trace: Option<TraceContext>,
    /// Other records held for it.
    pub others: Vec<(Source, Ticket)>,
    /// Time on the caller's clock when the first record came.
    pub opened: Nanos,
    /// When the verdict is due.
    pub due: Nanos,
    /// The verdict, once given.
    pub verdict: Option<Arc<Verdict>>,
    /// The record shall be looked at again: evidence came after the verdict.
    pub stale: bool,
    /// The timer of its verdict; `None` before it was set.
    pub(in crate::engine) timer: Option<TimerKey>,
    /// The timer of the look at it that may come earlier.
    pub(in crate::engine) settles: Option<TimerKey>,
    pub(super) line_hash: Option<u64>,
    /// It is among those that lack their access line, and those that lack an error line.
    pub(super) lacks: (bool, bool),
    /// Its access line is among those that readers look for.
    pub(super) looked_for: bool,
    /// By what spans find it.
    pub(super) span_keys: Vec<SpanKey>,
}

impl Request {
    /// A request of which nothing is known: the frame for a verdict on a fatal record that no request joined.
    pub fn empty() -> Request {
        Request {
            errors: Vec::new(),
            genuine: true,
            is_asked: false,
            access: None,
            maybe: Vec::new(),
            trace: None,
            others: Vec::new(),
            opened: 0,
            due: 0,
            verdict: None,
            stale: false,
            timer: None,
            settles: None,
            line_hash: None,
            lacks: (false, false),
            looked_for: false,
            span_keys: Vec::new(),
        }
    }

    /// True when another request is explained by this end of a worker. At another look it is not another's for having
    /// explained this one.
    pub fn is_taken(&self, death: &Death) -> bool {
        let blamed = self.verdict.as_ref().and_then(|verdict| verdict.worker_pid);
        death.explains > u32::from(blamed == Some(death.worker))
    }

    /// Takes less memory from now on: its verdict was given, and what its records say stays for late evidence. The room goes
    /// that lists keep for more.
    pub fn settle(&mut self) {
        if let Some(access) = &mut self.access {
            access.what.attempts.shrink_to_fit();
        }
        self.errors.shrink_to_fit();
        self.others.shrink_to_fit();
        self.span_keys.shrink_to_fit();
    }

    /// Of every attempt that its access line counts an error line came.
    pub(in crate::engine) fn has_all_lines(&self) -> bool {
        self.access.as_ref().is_some_and(|access| self.errors.len() >= access.what.attempts.len().max(1))
    }

    /// One of its records names its trace or its id, by which a span may come that is its own.
    pub(in crate::engine) fn has_ids(&self) -> bool {
        self.trace.is_some() || self.span_keys.iter().any(|key| key.id().is_some())
    }

    /// The hash of its request line, and whether its access line is looked for, when that changed since the last call.
    pub fn note_awaited(&mut self) -> Option<(u64, bool)> {
        let hash = self.line_hash?;
        let awaited = self.access.is_none() && self.verdict.is_none();
        (std::mem::replace(&mut self.looked_for, awaited) != awaited).then_some((hash, awaited))
    }

    /// The hash of its request line if its access line was looked for until now.
    pub fn no_longer_awaited(&mut self) -> Option<u64> {
        std::mem::take(&mut self.looked_for).then_some(self.line_hash).flatten()
    }

    /// The error line that decides: the last with a symptom that somebody can do something about.
    pub fn error(&self) -> Option<&Seen<NginxError>> {
        let telling = || self.errors.iter().rev().filter(|error| error.what.symptom.is_some());
        // A name that resolves to IPv6 as well, on a host without it: nobody can mend that, and the other attempt failed too.
        let is_without_ipv6 = |error: &&Seen<NginxError>| {
            let is_ipv6 = error.what.upstream.as_deref().is_some_and(|upstream| upstream.starts_with('['));
            is_ipv6 && matches!(error.what.symptom, Some(Symptom::ConnectUnreachable | Symptom::ConnectFailed))
        };
        telling().find(|error| !is_without_ipv6(error)).or_else(|| telling().next())
    }

    /// Every record with its writer, in order of the story.
    pub fn records(&self) -> Vec<(Source, Ticket)> {
        let mut records = Vec::with_capacity(self.errors.len() + self.others.len() + 1);
        records.extend(self.records_in_order());
        records
    }

    /// The same without a list of them.
    pub fn records_in_order(&self) -> impl Iterator<Item = (Source, Ticket)> {
        let errors = self.errors.iter().map(|error| (Source::NginxError, error.ticket));
        let access = self.access.iter().map(|access| (Source::NginxAccess, access.ticket));
        errors.chain(access).chain(self.others.iter().copied())
    }

    /// Request method; empty when unknown.
    pub fn method(&self) -> &str {
        let access = self.access.as_ref().map(|access| access.what.method.as_str()).filter(|method| !method.is_empty());
        let of_error = || self.error().and_then(|error| error.what.method_and_target());
        access.or_else(|| of_error().map(|(method, _)| method)).unwrap_or_default()
    }

    /// Path and query; empty when unknown.
    pub fn target(&self) -> &str {
        let access = self.access.as_ref().map(|access| access.what.target.as_str()).filter(|target| !target.is_empty());
        let of_error = || self.errors.iter().find(|error| error.what.request.is_some())?.what.method_and_target();
        access.or_else(|| of_error().map(|(_, target)| target)).unwrap_or_default()
    }

    pub(super) fn last_error_at(&self) -> Option<Interval> {
        self.errors.last().map(|error| error.at)
    }
}
