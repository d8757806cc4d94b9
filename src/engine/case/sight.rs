//! What is in sight around a request: the only door through which causes and the linker look at it.
//!
//! Each method goes on from oldest to newest and back with `rev`; none of them copies.

use super::Case;
use crate::engine::correlate::gunicorn::{Boot, Death, Instance};
use crate::engine::correlate::spans::SpanSeen;
use crate::engine::correlate::world::{Failure, HostSeen};
use crate::engine::correlate::{Interval, Seen};
use crate::engine::verdict::Quote;
use crate::read::evidence::{GunicornAccess, Nanos, SECOND, Symptom};
use crate::read::nginx_conf::NginxConf;

impl<'a> Case<'a> {
    /// nginx's configuration, where it is known.
    pub fn nginx_conf(&self) -> Option<&'a NginxConf> {
        self.world.nginx.as_deref()
    }

    /// Any line of nginx's error log was seen.
    pub fn has_error_log(&self) -> bool {
        self.world.has_error_log
    }

    /// Any line of an access log of nginx was seen.
    pub fn has_access_log(&self) -> bool {
        self.world.has_access_log
    }

    /// Any line of a Gunicorn log was seen.
    pub fn has_gunicorn_log(&self) -> bool {
        self.world.has_gunicorn_log
    }

    /// True when nginx's error log was read from this time on or longer, so that its silence says something.
    pub fn error_log_covers(&self, at: Interval) -> bool {
        self.world.error_log_from.is_some_and(|from| from <= at.to)
    }

    /// True when nginx served others well within so many seconds, by the access log that has this request.
    pub fn others_are_served(&self, seconds: i64) -> bool {
        let source = self.request.access.as_ref().map(|access| access.source);
        self.world.is_healthy_around(source, self.at, seconds)
    }

    /// The Gunicorns.
    pub fn instances(&self) -> impl DoubleEndedIterator<Item = &'a Instance> + use<'a> {
        self.world.gunicorns.instances.iter()
    }

    /// True when nginx's configuration says that this Gunicorn is there for another upstream.
    pub fn is_stranger(&self, instance: &Instance) -> bool {
        self.world.is_of_another_upstream(instance, self.upstream)
    }

    /// Ends of workers, in the order of the log.
    pub fn deaths(&self) -> impl DoubleEndedIterator<Item = &'a Death> + use<'a> {
        self.numbered_deaths().map(|(_, death)| death)
    }

    /// Ends of workers, each with the number that names it.
    pub fn numbered_deaths(&self) -> impl DoubleEndedIterator<Item = (usize, &'a Death)> + use<'a> {
        self.world.gunicorns.deaths.iter().enumerate()
    }

    /// Workers that were booted.
    pub fn boots(&self) -> impl DoubleEndedIterator<Item = &'a Boot> + use<'a> {
        self.world.gunicorns.boots.iter()
    }

    /// Requests without TLS that Gunicorn refused for it: when, and in which words.
    pub fn plain_requests(&self) -> impl DoubleEndedIterator<Item = &'a (Interval, Quote)> + use<'a> {
        self.world.gunicorns.plain_requests.iter()
    }

    /// Failing answers in Gunicorn's access log.
    pub fn answers(&self) -> impl DoubleEndedIterator<Item = &'a Seen<GunicornAccess>> + use<'a> {
        self.world.answers.iter()
    }

    /// Lines of the kernel, systemd, Kubernetes or a supervisor about a process.
    pub fn hosts(&self) -> impl DoubleEndedIterator<Item = &'a HostSeen> + use<'a> {
        self.world.hosts.iter()
    }

    /// Failed attempts of nginx, this one's among them.
    pub fn failures(&self) -> impl DoubleEndedIterator<Item = &'a Failure> + use<'a> {
        self.world.failures.iter()
    }

    /// Failed attempts with this symptom within so many seconds, on this upstream, newest first: in a storm the one that
    /// is looked for is among them.
    pub fn failures_around(&self, symptom: Symptom, seconds: i64) -> impl Iterator<Item = &'a Failure> + use<'a> {
        let (at, upstream) = (self.at, self.upstream);
        self.failures().rev().filter(move |failure| {
            failure.symptom == symptom
                && failure.at.distance(at) <= seconds * SECOND
                && upstream.is_none_or(|upstream| failure.upstream == upstream)
        })
    }

    /// Spans that ended within a time, in order of their end, each with its number.
    pub fn spans_ending_within(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = (u64, &'a SpanSeen)> + use<'a> {
        self.world.spans.ending_within(from, to)
    }

    /// The spans of a trace with their numbers, in order of arrival.
    pub fn spans_of_trace<'t>(
        &self,
        trace_id: &'t [u8; 16],
    ) -> impl Iterator<Item = (u64, &'a SpanSeen)> + use<'a, 't> {
        self.world.spans.of_trace(trace_id)
    }

    /// The span whose request header carried this request id.
    pub fn span_of_request_id(&self, request_id: &str) -> Option<(u64, &'a SpanSeen)> {
        self.world.spans.of_request_id(request_id)
    }

    /// True when nginx itself is traced, so that a request which never reached the application still has a span.
    pub fn has_spans_of_nginx(&self) -> bool {
        self.world.spans_from_nginx()
    }

    /// How far the clock of the spans is ahead of that of an access log; 0 while it is not known.
    pub fn span_skew(&self, source: u64) -> Nanos {
        self.world.span_skew(source)
    }
}
