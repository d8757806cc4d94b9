//! Questions that more than one cause asks, each answered once.

use super::{Case, Trigger, conclusion};
use crate::engine::correlate::Interval;
use crate::engine::correlate::gunicorn::{Boot, BootKind, Death, Instance, Phase};
use crate::engine::outcome;
use crate::engine::verdict::Quote;
use crate::read::address::{AddressMatch, is_local, is_own_only};
use crate::read::evidence::{Logged, MILLISECOND, Nanos, SECOND, Symptom};

/// `proxy_buffer_size` is a page of memory by default, and is hardly ever made smaller.
const BUFFER_MIN: u64 = 4_096;

/// How the workers of a Gunicorn take their requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One at a time, and no connection is kept open.
    Sync,
    /// Several at once: threads, gevent, an event loop.
    Concurrent,
    /// Its start was not seen.
    Unknown,
}

impl Workers {
    fn of(instance: &Instance) -> Workers {
        match instance.worker_class.as_str() {
            "" => Workers::Unknown,
            "sync" => Workers::Sync,
            _ => Workers::Concurrent,
        }
    }
}

impl<'a> Case<'a> {
    /// How the Gunicorn's workers take their requests.
    pub fn workers(&self) -> Workers {
        self.instance.map_or(Workers::Unknown, Workers::of)
    }

    /// True where each worker takes so many requests as `worker_connections` allows: gevent's and eventlet's.
    pub fn has_green_workers(&self) -> bool {
        self.instance.is_some_and(|instance| ["gevent", "eventlet"].iter().any(|of| instance.worker_class.contains(of)))
    }

    /// True when Gunicorn's log says that it listens where nginx tries.
    pub fn gunicorn_is_there(&self) -> bool {
        self.address >= AddressMatch::Maybe && self.instance.is_some_and(|instance| instance.serves(self.at))
    }

    /// True when the error line is about the network, not the host. Decided by number, by text where it was lost.
    pub fn is_network_unreachable(&self) -> bool {
        self.symptom == Symptom::ConnectUnreachable
            && self.error().is_some_and(|error| match error.what.code {
                Some(101 | 51 | 100 | 50 | 10050 | 10051) => true,
                Some(113 | 65 | 112 | 64 | 10064 | 10065) => false,
                _ => error.what.code_text.contains("etwork"),
            })
    }

    /// True when nginx found no status line at all in what the upstream sent.
    pub fn answer_is_not_http(&self) -> bool {
        self.symptom == Symptom::ResponseHeaderInvalid
            && (self.status() == Some(9)
                || self.spoken().is_some()
                || self.error().is_some_and(|error| error.what.message.contains("no valid HTTP")))
    }

    /// The cut is nginx's own: it waited `proxy_read_timeout` for the next bytes of the body.
    pub fn timed_out_in_body(&self) -> bool {
        self.symptom == Symptom::ResponseTruncated
            && self.error().is_some_and(|error| error.what.message.starts_with("upstream timed out"))
    }

    /// True when nginx made the status itself: it tried nobody, or nobody's answer came whole.
    pub fn is_of_nginx_itself(&self) -> bool {
        let Some(access) = self.access() else { return false };
        match access.attempts.last() {
            Some(attempt) => attempt.header_time.is_dash() || attempt.bytes_received == Logged::Value(0),
            None => access.has_upstream,
        }
    }

    /// True for a 504 of nginx's own of which nothing says whether it connected.
    pub fn timed_out_somewhere(&self) -> bool {
        self.symptom == Symptom::Unknown
            && self.status() == Some(504)
            && self.error().is_none()
            && self
                .last_attempt()
                .is_some_and(|attempt| attempt.header_time.is_dash() && !attempt.connect_time.is_logged())
    }

    /// True when nothing says whether the upstream closed the connection or nginx refused its header: no error line, and
    /// a format that does not log how much came.
    pub fn may_have_refused_header(&self) -> bool {
        self.symptom == Symptom::ResponseClosedEarly
            && self.error().is_none()
            && self.last_attempt().is_some_and(|attempt| attempt.bytes_received.value().is_none())
    }

    /// True when the refused header may be one that was too large, for all that is known: no error line, and as much came
    /// as a buffer holds.
    pub fn may_have_filled_buffer(&self) -> bool {
        self.symptom == Symptom::ResponseHeaderInvalid
            && self.error().is_none()
            && self
                .last_attempt()
                .and_then(|attempt| attempt.bytes_received.value())
                .is_some_and(|bytes| bytes >= BUFFER_MIN)
    }

    /// True when the client got a body as long as nginx's own page of its status.
    pub fn has_page_of_nginx(&self) -> bool {
        self.access().is_some_and(outcome::has_page_of_nginx)
    }

    /// The worker that took the place of one that left in silence as the request was cut.
    pub fn silent_replacement(&self) -> Option<&'a Boot> {
        let instance = self.instance?;
        let replacements = self.boots().filter(|boot| {
            boot.source == instance.source
                && boot.kind != BootKind::Told
                && boot.at.near(self.at, -100 * MILLISECOND, 1_500 * MILLISECOND)
        });
        replacements.min_by_key(|boot| (boot.kind != BootKind::Silent, boot.at.distance(self.at)))
    }

    /// The worker that took the place of one whose end no line tells, where that end cut the request.
    pub fn silent_end(&self) -> Option<&'a Boot> {
        let ordered = |death: &Death| death.signal.is_some() || (death.exiting && !death.ordered);
        if !self.is_request() || !self.is_cut_off() || self.death.is_some_and(|(_, death)| ordered(death)) {
            return None;
        }
        let serves = |instance: &&Instance| self.address >= AddressMatch::Maybe && instance.served_until(self.at);
        self.instance.filter(serves).and_then(|_| self.silent_replacement())
    }

    /// True for a Gunicorn whose version is known to tell of workers that a signal ended: 20.1 and later
    /// (`gunicorn/arbiter.py`, `reap_workers`).
    pub fn speaks_of_signals(&self) -> bool {
        let version = self.instance.map_or("", |instance| instance.version.as_str());
        !version.is_empty() && !version.starts_with("19.") && !version.starts_with("20.0")
    }

    /// True when the log of the Gunicorn that was asked covers this time, tells of workers that boot, and tells of none that
    /// ended or booted then: whoever ends is replaced at once, so none did.
    pub fn rules_out_death(&self) -> bool {
        let Some(instance) = self.instance.filter(|_| self.address >= AddressMatch::Maybe) else { return false };
        let near = |at: Interval| at.near(self.at, -3 * SECOND, 3 * SECOND);
        let mut boots = self.boots().rev().filter(|boot| boot.source == instance.source).peekable();
        instance.first_at.from <= self.at.from
            && boots.peek().is_some()
            && !boots.any(|boot| boot.kind != BootKind::Told && near(boot.at))
            && !self.deaths().rev().take(256).any(|death| death.source == instance.source && near(death.to))
    }

    /// How long nginx had waited for its connection when the client left; `None` where it was connected, or where that is
    /// not known.
    pub fn waited_to_connect(&self) -> Option<Nanos> {
        let attempt = self.last_attempt().filter(|_| self.symptom == Symptom::ClientClosed)?;
        self.response_time().filter(|time| attempt.connect_time.is_dash() && *time >= SECOND)
    }

    /// The client left while nginx shook hands: the Gunicorn takes connections, nginx's is not made, and nobody's is.
    /// nginx counts the handshake to the time that it takes to connect (`ngx_http_upstream_send_request`).
    pub fn gave_up_in_handshake(&self) -> bool {
        self.waited_to_connect().is_some() && self.gunicorn_is_there() && !self.others_are_served(60)
    }

    /// True when an attempt of nginx failed around this time: the error line of this request may be among theirs.
    pub fn is_any_upstream_failing(&self) -> bool {
        self.failures().rev().take(1_024).any(|failure| failure.at.near(self.at, -60 * SECOND, 60 * SECOND))
    }

    /// True when a Gunicorn's log covers this time and no Gunicorn in sight tells of a worker that ended or booted then.
    pub fn is_silent_about_ends(&self) -> bool {
        let near = |at: Interval| at.near(self.at, -3 * SECOND, 3 * SECOND);
        let covers = |instance: &Instance| instance.first_at.from <= self.at.from && instance.last_at.to >= self.at.to;
        self.instances().any(covers)
            && !self.boots().rev().any(|boot| boot.kind == BootKind::Silent && near(boot.at))
            && !self.deaths().rev().take(256).any(|death| near(death.to))
    }

    /// In a container 127.0.0.1 is the container itself, and not the machine or another container.
    pub fn leads_to_itself(&self) -> Option<Quote> {
        let is_loopback = self.upstream.is_some_and(|upstream| is_local(upstream) && !upstream.starts_with("unix:"));
        let words = "nginx runs in a container, where 127.0.0.1 is that container itself: name the other container in \
                     `proxy_pass`";
        (is_loopback && self.is_in_container()).then(|| conclusion(words))
    }

    /// What another machine listens on is out of nginx's reach where it is bound on the loopback address alone.
    pub fn is_bound_inside(&self) -> Option<Quote> {
        let (instance, upstream) = (self.instance?, self.upstream?);
        let is_inside = instance.addresses.iter().any(|bound| is_own_only(upstream, bound));
        is_inside.then(|| conclusion("only its own machine or container reaches 127.0.0.1: bind 0.0.0.0 there"))
    }

    /// What to do about a request that was refused while Gunicorn had begun to start and did not listen yet: to start it is no
    /// help then.
    pub fn while_starting(&self) -> Option<&'static str> {
        let is_starting = self.instance?.before(self.at).is_some_and(|change| change.phase == Phase::Starting);
        is_starting.then_some(
            "Gunicorn was starting and did not listen yet: wait until it says `Listening at`. So that requests wait instead of \
             failing, let systemd hold the socket (socket activation), or send it requests only when it is ready.",
        )
    }

    /// True when a Gunicorn's log is in sight, and nothing says that it is another upstream's; also where a line of Gunicorn's
    /// or about one asks.
    pub fn asks_gunicorn(&self) -> bool {
        match self.trigger {
            Trigger::Request => self.instance.is_some() || self.instances().next().is_some(),
            Trigger::Death | Trigger::Phase(_) => true,
            Trigger::Host(host) => host.seen.text.to_ascii_lowercase().contains("gunicorn"),
        }
    }
}
