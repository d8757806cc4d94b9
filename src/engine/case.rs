//! Everything that is known about one failed request, as a cause looks at it.

mod ends;
mod halt;
mod http2;
mod questions;
mod queue;
mod raised;
mod sight;

pub use super::correlate::world::{Failure, HostSeen};
pub(in crate::engine) use ends::pid_of;
pub use ends::{Ended, How, is_app_server, is_infrastructure, stops_unit};
pub use halt::{Halts, Unsaid};
pub use http2::{Refusal, Spoken};
pub use questions::Workers;
pub use queue::Wait;
pub use sight::{DeathKey, Sight};

use super::calibration::{Completeness, Rule};
use super::causes::Symptoms;
use super::correlate::gunicorn::{Change, Death, Instance, Phase};
use super::correlate::join::Request;
use super::correlate::{Interval, Seen};
use super::verdict::{Quote, Source, Ticket};
use crate::read::address::AddressMatch;
use crate::read::evidence::{Attempt, GunicornAccess, MILLISECOND, Nanos, NginxAccess, NginxError, SECOND, Symptom};
use crate::read::nginx_conf::Pass;
use crate::read::text::quotable;

/// What a cause says for itself.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Which of its rules fired: what that is worth is for the table of `calibration.rs` to say.
    pub rule: Rule,
    /// Evidence beyond nginx's own words, the most telling first.
    pub quotes: Vec<Quote>,
    /// The worker to blame.
    pub worker: Option<u32>,
    /// What to do, where that is not the same for all requests of the cause.
    pub hint: Option<&'static str>,
}

impl Claim {
    /// A claim that rests on nginx's own words.
    pub fn of(rule: Rule) -> Option<Claim> {
        Some(Claim { rule, quotes: Vec::new(), worker: None, hint: None })
    }

    /// A claim with evidence.
    pub fn with(rule: Rule, quotes: Vec<Quote>) -> Option<Claim> {
        Some(Claim { rule, quotes, worker: None, hint: None })
    }
}

/// What asks for a verdict.
#[derive(Clone, Copy, Debug)]
pub enum Trigger<'a> {
    /// A failed request.
    Request,
    /// A worker's end that no request joined.
    Death,
    /// A Gunicorn that went down, and no request joined.
    Phase(&'a Change),
    /// A line about a process, and no request joined.
    Host(&'a HostSeen),
}

/// One failed request with all that is in sight around it.
#[derive(Debug)]
pub struct Case<'a> {
    /// What asks for a verdict.
    pub trigger: Trigger<'a>,
    /// What nginx saw.
    pub symptom: Symptom,
    /// The records of the request.
    pub request: &'a Request,
    /// When the last attempt failed.
    pub at: Interval,
    /// Last peer tried.
    pub upstream: Option<&'a str>,
    /// Everything else; asked by the methods of `sight.rs` alone.
    pub(super) sight: Sight<'a>,
    /// The Gunicorn that the upstream most likely is.
    pub instance: Option<&'a Instance>,
    /// How well that Gunicorn's address fits.
    pub address: AddressMatch,
    /// How likely it is that this Gunicorn, or one of those in view, is the one: less than 1 where another may be.
    pub weight: f64,
    /// Several Gunicorns may be the one, and this one is called as the request says.
    pub is_called: bool,
    /// Streams of Gunicorns that are called as another upstream.
    pub(super) strangers: Vec<u64>,
    /// The worker's end that fits best, with the key that names it.
    pub death: Option<(DeathKey, &'a Death)>,
    /// What the case was before the root of `no live upstreams` was looked up.
    pub derived_from: Option<&'a Failure>,
    /// The symptom is that of the requests around it.
    pub borrowed_symptom: bool,
    /// Where nginx's configuration sends it; empty where that is not known.
    pub passes: Vec<&'a Pass>,
}

impl<'a> Case<'a> {
    /// True when a failed request asks.
    pub fn is_request(&self) -> bool {
        matches!(self.trigger, Trigger::Request)
    }

    /// The error line that decided the symptom.
    pub fn error(&self) -> Option<&'a Seen<NginxError>> {
        self.request.error()
    }

    /// The access line.
    pub fn access(&self) -> Option<&'a NginxAccess> {
        self.request.access.as_ref().map(|access| &access.what)
    }

    /// The last attempt of the access line.
    pub fn last_attempt(&self) -> Option<&'a Attempt> {
        self.access().and_then(|access| access.attempts.last())
    }

    /// How much of what could be told of it is in sight.
    pub fn completeness(&self) -> Completeness {
        if !self.is_request() {
            return Completeness::Process;
        }
        let access = self.request.access.is_some();
        if !access && self.has_access_log() {
            return Completeness::Doubtful;
        }
        if self.borrowed_symptom {
            return Completeness::Borrowed;
        }
        // The log of what may be another server than the one that was asked completes nothing.
        let gunicorn = self.weight == 1.0 && self.has_gunicorn_log();
        match (access, self.error().is_some(), gunicorn) {
            (true, true, true) => Completeness::Whole,
            (true, true, false) => Completeness::AccessAndError,
            (true, false, true) => Completeness::AccessAndServer,
            (false, _, true) => Completeness::ErrorAndServer,
            (true, false, false) => Completeness::AccessAlone,
            (false, _, false) => Completeness::ErrorAlone,
        }
    }

    /// Status that the client got.
    pub fn status(&self) -> Option<u16> {
        self.access().map(|access| access.status)
    }

    /// Request method; empty when unknown.
    pub fn method(&self) -> &'a str {
        self.request.method()
    }

    /// Path and query; empty when unknown.
    pub fn target(&self) -> &'a str {
        self.request.target()
    }

    /// nginx sends these again only when told so (`proxy_next_upstream non_idempotent`).
    pub fn is_idempotent(&self) -> bool {
        !matches!(self.method(), "POST" | "PATCH" | "LOCK")
    }

    /// True for the symptoms of a peer that took the request and went away. One that said over HTTP/2 that it does not take the
    /// request is alive.
    pub fn is_cut_off(&self) -> bool {
        Symptoms::CUT_OFF.has(self.symptom) && self.refusal().is_none()
    }

    /// True for the symptoms of a peer that could not be connected to because nobody listens.
    pub fn is_refused(&self) -> bool {
        Symptoms::REFUSED.has(self.symptom)
    }

    /// True when the upstream is a unix socket.
    pub fn is_unix(&self) -> bool {
        self.upstream.is_some_and(|upstream| upstream.starts_with("unix:"))
    }

    /// What the configuration says of its timeout, if all passes that it may have taken say the same.
    pub fn configured(&self, timeout: impl Fn(&Pass) -> Nanos) -> Option<(Nanos, &'a Pass)> {
        let first = *self.passes.first()?;
        let time = timeout(first);
        self.passes.iter().all(|pass| timeout(pass) == time).then_some((time, first))
    }

    /// True when the configuration has nginx keep connections to its upstream open, false when it closes them; `None`
    /// where that is not known.
    pub fn keeps_connections(&self) -> Option<bool> {
        let nginx = self.nginx_conf()?;
        let mut kept = self.passes.iter().map(|pass| match nginx.block_of(pass) {
            // nginx 1.29.7 and later keep some without being told.
            Some(block) => block.keepalive.map(|count| count > 0),
            None => Some(false),
        });
        let first = kept.next()??;
        kept.all(|other| other == Some(first)).then_some(first)
    }

    /// True when the upstream is an IPv6 address.
    pub fn is_ipv6(&self) -> bool {
        self.upstream.is_some_and(|upstream| upstream.starts_with('['))
    }

    /// The advice names Gunicorn; where nginx speaks another protocol than HTTP it is another server's.
    pub fn other_server(&self) -> Option<Quote> {
        let (protocol, server) = match self.error()?.what.upstream_scheme.as_str() {
            "fastcgi" => ("FastCGI", "PHP-FPM or its like, not Gunicorn"),
            "uwsgi" | "suwsgi" => ("uwsgi", "most likely uWSGI, not Gunicorn"),
            "scgi" => ("SCGI", "not Gunicorn"),
            "grpc" | "grpcs" => ("gRPC", "not Gunicorn"),
            _ => return None,
        };
        Some(conclusion(format!("nginx speaks {protocol} to this upstream: it is {server}")))
    }

    /// How long the last attempt took.
    pub fn response_time(&self) -> Option<Nanos> {
        let access = self.access()?;
        self.last_attempt()
            .and_then(|attempt| attempt.response_time.value())
            .or_else(|| (access.attempts.len() <= 1).then(|| access.request_time.value()).flatten())
    }

    /// The worker's end that fits best, when it was a violent one.
    pub fn violent_death(&self) -> Option<&'a Death> {
        self.death.map(|(_, death)| death).filter(|death| death.is_violent())
    }

    /// The newest change of the instance's phase before the failure that fits.
    pub fn phase_before(&self, fits: impl Fn(&Phase) -> bool) -> Option<&'a Change> {
        self.instance.and_then(|instance| instance.last_before(self.at, fits))
    }

    /// nginx's own words about the failure, first in the evidence.
    pub fn symptom_quote(&self) -> Option<Quote> {
        if let Some(error) = self.error() {
            return Some(error_quote(error));
        }
        self.request.access.as_ref().map(access_quote)
    }
}

/// The deciding words of an error line.
pub fn error_quote(error: &Seen<NginxError>) -> Quote {
    words_of_error(&error.what.message, &error.what.action, error.ticket)
}

/// The same of a line that is no longer there.
pub(in crate::engine) fn words_of_error(message: &str, action: &str, ticket: Ticket) -> Quote {
    let parts = if action.is_empty() { [message, "", ""] } else { [message, " while ", action] };
    Quote { source: Source::NginxError, text: quotable(parts.concat()), ticket: Some(ticket) }
}

/// What `upstream_status` and `upstream_header_time` take in a quote.
const UPSTREAM_BYTES: usize = ", upstream_status ".len() + ", upstream_header_time 00.000".len();

/// The deciding fields of an access line.
pub fn access_quote(access: &Seen<NginxAccess>) -> Quote {
    let what = &access.what;
    let words_of_upstream = if what.has_upstream { UPSTREAM_BYTES + 5 * what.attempts.len() } else { 0 };
    let mut words = String::with_capacity(what.method.len() + what.target.len() + 5 + words_of_upstream);
    words.extend([&*what.method, " ", &*what.target, " ", &what.status.to_string()]);
    if what.has_upstream {
        words.push_str(", upstream_status ");
        for (index, attempt) in what.attempts.iter().enumerate() {
            words.push_str(if index == 0 { "" } else { ", " });
            match attempt.status.value() {
                Some(status) => words.push_str(&status.to_string()),
                None => words.push('-'),
            }
        }
        if what.attempts.is_empty() {
            words.push('-');
        }
        if let Some(attempt) = what.attempts.last() {
            match attempt.header_time.value() {
                Some(time) => words.push_str(&format!(", upstream_header_time {}", seconds(time))),
                None if attempt.header_time.is_dash() => words.push_str(", upstream_header_time -"),
                None => {}
            }
        }
    }
    Quote { source: Source::NginxAccess, text: quotable(words), ticket: Some(access.ticket) }
}

/// `2.003` of a duration.
pub fn seconds(time: Nanos) -> String {
    format!("{}.{:03}", time / SECOND, time.rem_euclid(SECOND) / MILLISECOND)
}

/// A conclusion of why502 itself.
pub fn conclusion(text: impl Into<String>) -> Quote {
    Quote { source: Source::Why502, text: quotable(text.into()), ticket: None }
}

/// What the configuration sets for a request.
pub fn configured_quote(pass: &Pass, what: &str, time: Nanos) -> Quote {
    let kind = pass.scheme.trim_end_matches('s').replace("http", "proxy");
    conclusion(format!("nginx's configuration has {kind}_{what}_timeout {} s for {}", seconds(time), pass.place()))
}

/// The deciding words of a line about a process.
pub fn host_quote(host: &HostSeen) -> Quote {
    Quote { source: Source::Host, text: quotable(host.seen.text.clone()), ticket: Some(host.seen.ticket) }
}

/// The deciding fields of a line in Gunicorn's access log.
pub fn answer_quote(answer: &Seen<GunicornAccess>) -> Quote {
    let what = &answer.what;
    let words = format!("{} {} {}", what.method, what.target, what.status);
    Quote { source: Source::GunicornAccess, text: quotable(words), ticket: Some(answer.ticket) }
}
