//! Everything in sight but the requests themselves: Gunicorns, hosts, spans, and how nginx's upstreams fare.

use super::alignment::{Alignment, Clock};
use super::coverage::{Coverage, READ_ABOUT};
use super::groups::Groups;
use super::gunicorn::{Gunicorns, Instance};
use super::link::Learned;
use super::skew::Skew;
use super::spans::{Spans, hash_text};
use super::{Interval, Seen};
use crate::engine::case::words_of_error;
use crate::engine::place::{Stream, words_of};
use crate::engine::verdict::{Quote, Source, Ticket};
use crate::read::address::AddressMatch;
use crate::read::evidence::{Evidence, GunicornAccess, GunicornEvent, Host, Nanos, NginxError, Proof, SECOND, Symptom};
use crate::read::maps::HashMap;
use crate::read::nginx_conf::NginxConf;
use crate::read::request_line::first_part;
use crate::read::text::split_at;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Lines of each kind remembered; at one failing request a millisecond this is eight seconds.
const RECENT_MAX: usize = 8_192;

/// Access logs whose clock is compared with that of the spans.
const SKEWS_MAX: usize = 1_024;
/// The same where no id says it: 26 KiB each at the most.
const ALIGNMENTS_MAX: usize = 16;

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
    pub upstream: Arc<str>,
    /// Path without query, hashed; 0 where there is none.
    pub path: u64,
    /// The first part of the path, hashed: locations that lead to different applications differ in it.
    pub area: u64,
    /// `server:` of the line.
    pub server: Arc<str>,
    /// The line's record.
    pub ticket: Ticket,
    message: Arc<str>,
    action: Arc<str>,
}

impl Failure {
    /// What an error line tells. Texts are shared with the failure before it: in a storm they are the same.
    pub(in crate::engine) fn of(error: &Seen<NginxError>, symptom: Symptom, before: Option<&Failure>) -> Failure {
        let what = &error.what;
        let target = what.method_and_target().map_or("", |(_, target)| target);
        let path = split_at(target, b'?').map_or(target, |(path, _)| path);
        let shared = |text: &str, of: fn(&Failure) -> &Arc<str>| match before.map(of) {
            Some(known) if **known == *text => Arc::clone(known),
            _ => Arc::from(text),
        };
        Failure {
            at: error.at,
            pid: what.pid,
            symptom,
            upstream: shared(what.upstream.as_deref().unwrap_or_default(), |failure| &failure.upstream),
            path: hash_text(path.as_bytes()),
            area: hash_text(first_part(path).as_bytes()),
            server: shared(&what.server, |failure| &failure.server),
            ticket: error.ticket,
            message: shared(&what.message, |failure| &failure.message),
            action: shared(&what.action, |failure| &failure.action),
        }
    }

    /// The deciding words of the line.
    pub fn quote(&self) -> Quote {
        words_of_error(&self.message, &self.action, self.ticket)
    }
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

/// Words in names of upstreams that are remembered.
const CALLED_MAX: usize = 1_024;

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
    /// Which server is of which block.
    groups: Groups,
    /// Words in the names of upstreams and virtual hosts that failed.
    called: BTreeSet<u64>,
    /// Failed attempts.
    pub failures: VecDeque<Failure>,
    /// The newest failure of each symptom: most that are looked for are not there.
    newest_failures: [Nanos; Symptom::ALL.len()],
    /// What the access logs cover.
    coverage: Coverage,
    /// The earliest and newest line of nginx's error log, and the earliest genuine one: what came before is not covered.
    error_log: Option<Interval>,
    genuine_error_from: Option<Nanos>,
    /// The earliest line of a Gunicorn's log: what came before is not covered.
    gunicorn_log_from: Option<Nanos>,
    /// Any span of nginx's own module was seen.
    pub has_nginx_spans: bool,
    /// How far the clock of the spans is ahead of that of an access log, by log stream: by what ids prove, and without them.
    span_skews: HashMap<u64, Skew>,
    alignments: HashMap<u64, Alignment>,
    /// How far requests and their spans are apart.
    pub links: Learned,
}

impl World {
    /// True when nginx's configuration says that this Gunicorn is there for another upstream.
    pub fn is_of_another_upstream(&self, gunicorn: &Instance, upstream: Option<&str>) -> bool {
        let Some((nginx, upstream)) = self.nginx.as_ref().zip(upstream) else { return false };
        gunicorn.matches(Some(upstream)) <= AddressMatch::Mapped
            && nginx.is_of_another_upstream(&gunicorn.addresses, upstream)
    }

    /// Takes evidence that is about no single request.
    pub fn handle(&mut self, now: Nanos, stream: &Stream, ticket: Ticket, at: Interval, evidence: Evidence) {
        let source = stream.id;
        match evidence.proof {
            Proof::Gunicorn(gunicorn) => {
                self.note_gunicorn_line(at);
                if gunicorn.event == GunicornEvent::ClientGone {
                    let what = Host::PeerGone { program: "gunicorn".to_owned() };
                    let seen = Seen { ticket, source, at, text: evidence.text.clone(), words: 0, what };
                    push(&mut self.hosts, HostSeen { seen, used: false, arrived: now });
                }
                let seen = Seen { ticket, source, at, text: evidence.text, words: 0, what: gunicorn };
                self.gunicorns.handle(now, &stream.place, &seen);
            }
            Proof::GunicornAccess(access) => {
                self.note_gunicorn_line(at);
                push(&mut self.answers, Seen { ticket, source, at, text: evidence.text, words: 0, what: *access });
            }
            Proof::Exception { class, message, frame } => {
                let quote = Quote { source: Source::Gunicorn, text: evidence.text, ticket: Some(ticket) };
                self.gunicorns.handle_exception(source, &class, &message, frame.as_deref(), quote);
            }
            Proof::Host(host) => {
                let seen = Seen { ticket, source, at, text: evidence.text, words: 0, what: host };
                push(&mut self.hosts, HostSeen { seen, used: false, arrived: now });
            }
            Proof::NginxError(_) | Proof::NginxAccess(_) => {}
        }
    }

    /// True when nginx itself is traced, so that a request which never reached the application still has a span.
    pub fn spans_from_nginx(&self) -> bool {
        self.has_nginx_spans
    }

    /// How far the clock of the spans is ahead of that of an access log: what ids prove counts first. 0 while nothing says
    /// that they are apart; `None` where they are, and nothing says by how much.
    pub fn span_skew(&self, source: u64) -> Option<Nanos> {
        if let Some(skew) = self.span_skews.get(&source).filter(|skew| skew.is_known()) {
            return Some(skew.ahead());
        }
        match self.alignments.get(&source).map(Alignment::clock).unwrap_or_default() {
            Clock::Together => Some(0),
            Clock::Ahead(ahead) => Some(ahead),
            Clock::Unclear => None,
        }
    }

    /// True when a good request that ended then is to be compared with the spans about it.
    pub fn asks_for_alignment(&self, source: u64, end: Nanos) -> bool {
        self.alignments.get(&source).is_none_or(|known| known.asks_for(end))
    }

    /// What is known of the clocks without ids, to be told more.
    pub fn alignment_mut(&mut self, source: u64) -> Option<&mut Alignment> {
        let is_known = self.alignments.contains_key(&source);
        (is_known || self.alignments.len() < ALIGNMENTS_MAX).then(|| self.alignments.entry(source).or_default())
    }

    /// Notes when a request ended by its span and by its access line.
    pub fn note_span_end(&mut self, source: u64, ahead: Nanos) {
        if self.span_skews.len() < SKEWS_MAX || self.span_skews.contains_key(&source) {
            self.span_skews.entry(source).or_default().note(ahead);
        }
    }

    /// Notes that an access log wrote a line at this time.
    pub fn cover(&mut self, stream: u64, at: Nanos, healthy: bool) {
        self.coverage.note(stream, at, healthy);
    }

    /// Notes a line of nginx's error log.
    pub fn note_error_line(&mut self, at: Interval, genuine: bool) {
        let known = self.error_log.get_or_insert(at);
        *known = Interval { from: known.from.min(at.from), to: known.to.max(at.to) };
        if genuine {
            let from = self.genuine_error_from.unwrap_or(Nanos::MAX);
            self.genuine_error_from = Some(from.min(at.from));
        }
    }

    fn note_gunicorn_line(&mut self, at: Interval) {
        let from = self.gunicorn_log_from.unwrap_or(Nanos::MAX);
        self.gunicorn_log_from = Some(from.min(at.from));
    }

    /// True when nginx's error log was read about then. It writes only of what fails: from its first line on it is there.
    pub fn has_error_log(&self, at: Interval) -> bool {
        self.error_log.is_some_and(|known| known.from.saturating_sub(READ_ABOUT) <= at.to)
    }

    /// True when nginx's error log was read from this time on or longer, so that its silence says something.
    pub fn error_log_covers(&self, at: Interval) -> bool {
        self.genuine_error_from.is_some_and(|from| from <= at.to)
    }

    /// True when nginx's error log has a line after this time.
    pub fn error_log_goes_on(&self, at: Interval) -> bool {
        self.error_log.is_some_and(|known| known.to > at.to)
    }

    /// True when an access log was read about then.
    pub fn has_access_log(&self, at: Interval) -> bool {
        self.coverage.is_about(at)
    }

    /// True when an access log is read at all.
    pub fn has_any_access_log(&self) -> bool {
        !self.coverage.is_empty()
    }

    /// True when the log of a Gunicorn was read then. It may be silent for months: from its first line on it is there.
    pub fn has_gunicorn_log(&self, at: Interval) -> bool {
        self.gunicorn_log_from.is_some_and(|from| from.saturating_sub(READ_ABOUT) <= at.to)
    }

    /// True when every access log that wrote about then covers this time, so that a request missing in them is missed.
    pub fn is_covered(&self, at: Interval) -> bool {
        self.coverage.covers(at)
    }

    /// Notes whether a failure of this virtual host has an access line.
    pub(in crate::engine) fn note_host(&mut self, server: &str, found: bool) {
        self.coverage.note_host(hash_text(server.as_bytes()), found);
    }

    /// True where the access logs in sight have no line of this virtual host.
    pub(in crate::engine) fn has_no_line_of(&self, server: &str) -> bool {
        self.coverage.has_none_of(hash_text(server.as_bytes()))
    }

    /// True when an access log has written at this time or later already.
    pub(in crate::engine) fn has_passed(&self, at: Interval) -> bool {
        self.coverage.has_passed(at)
    }

    /// True when the same access log has healthy answers within some seconds of this time; any, where `stream` is `None`.
    pub fn is_healthy_around(&self, stream: Option<u64>, at: Interval, seconds: i64) -> bool {
        self.coverage.is_healthy_around(stream, at, seconds)
    }

    /// Remembers a failed attempt.
    pub fn fail(&mut self, error: &Seen<NginxError>, symptom: Symptom) {
        let failure = Failure::of(error, symptom, self.failures.back());
        self.note_names(&failure);
        if let Some(newest) = self.newest_failures.get_mut(symptom as usize) {
            *newest = error.at.to.max(*newest);
        }
        push(&mut self.failures, failure);
    }

    /// A request found no server of its block in working order: those that it had tried before are of that block.
    pub(in crate::engine) fn learn_group(&mut self, errors: &[Seen<NginxError>]) {
        let Some((last, before)) = errors.split_last() else { return };
        let Some(group) = last.what.upstream.as_deref().filter(|_| last.what.symptom == Some(Symptom::NoLiveUpstreams))
        else {
            return;
        };
        let tried = before
            .iter()
            .filter(|error| error.what.symptom.is_some())
            .filter_map(|error| error.what.upstream.as_deref());
        tried.filter(|server| *server != group).for_each(|server| self.groups.learn(group, server));
    }

    /// In a storm they are those of the failure before.
    fn note_names(&mut self, failure: &Failure) {
        let of: [fn(&Failure) -> &Arc<str>; 2] = [|failure| &failure.upstream, |failure| &failure.server];
        for name in of {
            if self.failures.back().is_none_or(|before| !Arc::ptr_eq(name(before), name(failure))) {
                let room = CALLED_MAX.saturating_sub(self.called.len());
                self.called.extend(words_of(name(failure)).take(room));
            }
        }
    }

    /// True where one of these words is in the name of an upstream or a virtual host that failed.
    pub(in crate::engine) fn has_called(&self, words: &[u64]) -> bool {
        words.iter().any(|word| self.called.contains(word))
    }

    /// Whether a failed attempt was on a server of this block; `None` where nobody told.
    pub(in crate::engine) fn is_of_group(&self, failure: &Failure, group: Option<&str>) -> Option<bool> {
        self.groups.has(group?, &failure.upstream, self.nginx.as_deref())
    }

    /// True when an attempt failed so within so many seconds before a time, or after it.
    pub(in crate::engine) fn has_failed(&self, symptom: Symptom, at: Interval, seconds: i64) -> bool {
        let newest = self.newest_failures.get(symptom as usize).copied().unwrap_or_default();
        newest >= at.from.saturating_sub(seconds * SECOND)
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
