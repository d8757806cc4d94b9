//! Everything in sight but the requests themselves: Gunicorns, hosts, spans, and how nginx's upstreams fare.

use super::gunicorn::{Gunicorns, Instance};
use super::skew::Skew;
use super::spans::Spans;
use super::{Interval, Seen};
use crate::engine::verdict::{Quote, Source, Ticket};
use crate::read::address::AddressMatch;
use crate::read::evidence::{Evidence, GunicornAccess, GunicornEvent, Host, Nanos, Proof, SECOND, Symptom};
use crate::read::nginx_conf::NginxConf;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Lines of each kind remembered; at one failing request a millisecond this is eight seconds.
const RECENT_MAX: usize = 8_192;

/// Access logs whose clock is compared with that of the spans.
const SKEWS_MAX: usize = 1_024;

/// One failed attempt of nginx, kept after its request was decided: the reason behind `no live upstreams`, and how
/// many fail alike.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When.
    pub at: Interval,
    /// nginx worker: the quarantine of a server is kept by each worker alone, unless the group has a `zone`.
    pub pid: Option<u32>,
    /// What it saw.
    pub symptom: Symptom,
    /// Whom it tried.
    pub upstream: String,
    /// Path without query.
    pub path: String,
    /// `server:` of the line.
    pub server: String,
    /// The line.
    pub quote: Quote,
}

/// A line of the kernel, systemd, Kubernetes or a supervisor.
#[derive(Clone, Debug)]
pub struct HostSeen {
    /// The record.
    pub seen: Seen<Host>,
    /// A verdict of its own was given, or a request was explained by it.
    pub used: bool,
    /// Time on the caller's clock when it came.
    pub arrived: Nanos,
}

/// Everything in sight but the requests themselves.
#[derive(Debug, Default)]
pub struct World {
    /// nginx's configuration, where it is known.
    pub nginx: Option<Arc<NginxConf>>,
    /// The Gunicorns.
    pub gunicorns: Gunicorns,
    /// The spans.
    pub spans: Spans,
    /// Lines about processes.
    pub hosts: VecDeque<HostSeen>,
    /// Failing answers in Gunicorn's access log.
    pub answers: VecDeque<Seen<GunicornAccess>>,
    /// Failed attempts.
    pub failures: VecDeque<Failure>,
    /// Seconds in which an access log wrote anything, newest last: what the access log covers.
    covered_seconds: VecDeque<i64>,
    /// Seconds in which a healthy answer was logged, by log stream.
    healthy_seconds: VecDeque<(u64, i64)>,
    /// The earliest genuine line of nginx's error log; what came before it is not covered.
    pub error_log_from: Option<Nanos>,
    /// Any line of nginx's error log was seen.
    pub has_error_log: bool,
    /// Any line of an nginx access log was seen.
    pub has_access_log: bool,
    /// Any line of a Gunicorn log was seen.
    pub has_gunicorn_log: bool,
    /// Any span of nginx's own module was seen.
    pub has_nginx_spans: bool,
    /// How far the clock of the spans is ahead of that of an access log, by log stream.
    span_skews: HashMap<u64, Skew>,
}

impl World {
    /// True when nginx's configuration says that this Gunicorn is there for another upstream.
    pub fn is_of_another_upstream(&self, gunicorn: &Instance, upstream: Option<&str>) -> bool {
        let Some((nginx, upstream)) = self.nginx.as_ref().zip(upstream) else { return false };
        gunicorn.matches(Some(upstream)) == AddressMatch::No
            && nginx.is_of_another_upstream(&gunicorn.addresses, upstream)
    }

    /// Takes evidence that is about no single request.
    pub fn handle(&mut self, now: Nanos, source: u64, ticket: Ticket, at: Interval, evidence: Evidence) {
        match evidence.proof {
            Proof::Gunicorn(gunicorn) => {
                self.has_gunicorn_log = true;
                if gunicorn.event == GunicornEvent::ClientGone {
                    let what = Host::PeerGone { program: "gunicorn".to_owned() };
                    let seen = Seen { ticket, source, at, text: evidence.text.clone(), what };
                    push(&mut self.hosts, HostSeen { seen, used: false, arrived: now });
                }
                self.gunicorns.handle(now, &Seen { ticket, source, at, text: evidence.text, what: gunicorn });
            }
            Proof::GunicornAccess(access) => {
                self.has_gunicorn_log = true;
                push(&mut self.answers, Seen { ticket, source, at, text: evidence.text, what: *access });
            }
            Proof::Exception { class, message } => {
                let quote = Quote { source: Source::Gunicorn, text: evidence.text, ticket: Some(ticket) };
                self.gunicorns.handle_exception(source, &class, &message, quote);
            }
            Proof::Host(host) => {
                let seen = Seen { ticket, source, at, text: evidence.text, what: host };
                push(&mut self.hosts, HostSeen { seen, used: false, arrived: now });
            }
            Proof::NginxError(_) | Proof::NginxAccess(_) => {}
        }
    }

    /// True when nginx itself is traced, so that a request which never reached the application still has a span.
    pub fn spans_from_nginx(&self) -> bool {
        self.has_nginx_spans
    }

    /// How far the clock of the spans is ahead of that of an access log; 0 while it is not known.
    pub fn span_skew(&self, source: u64) -> Nanos {
        self.span_skews.get(&source).map_or(0, Skew::ahead)
    }

    /// Notes when a request ended by its span and by its access line.
    pub fn note_span_end(&mut self, source: u64, ahead: Nanos) {
        if self.span_skews.len() < SKEWS_MAX || self.span_skews.contains_key(&source) {
            self.span_skews.entry(source).or_default().note(ahead);
        }
    }

    /// Notes that an access log wrote a line at this time.
    pub fn cover(&mut self, source: u64, at: Nanos, healthy: bool) {
        self.has_access_log = true;
        let second = at.div_euclid(SECOND);
        note_second(&mut self.covered_seconds, second);
        if healthy {
            note_second(&mut self.healthy_seconds, (source, second));
        }
    }

    /// True when an access log wrote lines around this time, so that a request missing in it is missed. The access line of
    /// a request is written after its error lines: a log that ends before this time covers nothing of it.
    pub fn is_covered(&self, at: Interval) -> bool {
        let (from, to) = (at.from.div_euclid(SECOND), at.to.div_euclid(SECOND));
        let around = |second: &i64| (from..=to + 3).contains(second);
        let before = |second: &i64| (from - 60..=to).contains(second);
        let after = |second: &i64| (from..=to + 60).contains(second);
        let seconds = &self.covered_seconds;
        seconds.iter().rev().any(around) || (seconds.iter().rev().any(before) && seconds.iter().rev().any(after))
    }

    /// True when the same access log has healthy answers within some seconds of this time; any, where `source` is `None`.
    pub fn is_healthy_around(&self, source: Option<u64>, at: Interval, seconds: i64) -> bool {
        let (from, to) = (at.from.div_euclid(SECOND), at.to.div_euclid(SECOND));
        let fits = |(of, second): &(u64, i64)| {
            source.is_none_or(|source| source == *of) && (from - seconds..=to + seconds).contains(second)
        };
        self.healthy_seconds.iter().rev().any(fits)
    }

    /// Remembers a failed attempt.
    pub fn fail(&mut self, failure: Failure) {
        push(&mut self.failures, failure);
    }

    /// Forgets what is older than the horizon; returns held spans to release.
    pub fn forget(&mut self, horizon: Nanos) {
        self.gunicorns.forget(horizon);
        while self.hosts.front().is_some_and(|host| host.seen.at.to < horizon && host.used) {
            self.hosts.pop_front();
        }
        while self.answers.front().is_some_and(|answer| answer.at.to < horizon) {
            self.answers.pop_front();
        }
        while self.failures.front().is_some_and(|failure| failure.at.to < horizon) {
            self.failures.pop_front();
        }
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == RECENT_MAX {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// Ten minutes of seconds: more than any hold.
const SECONDS_MAX: usize = 600;

fn note_second<T: PartialEq>(seconds: &mut VecDeque<T>, second: T) {
    // Files are merged nearly in order: a repeat is nearly always the newest.
    if seconds.iter().rev().take(8).any(|known| *known == second) {
        return;
    }
    if seconds.len() == SECONDS_MAX {
        seconds.pop_front();
    }
    seconds.push_back(second);
}
