//! The request that a record is of: by the keys of its connection, else by its request line, client and time.

use super::{Request, Requests, error_line_hash};
use crate::engine::correlate::{Interval, Seen};
use crate::engine::outcome;
use crate::read::evidence::{Nanos, NginxAccess, NginxError, SECOND, Symptom};
use std::net::IpAddr;

/// An access line may follow its first error line by so much: retries, then a lingering close of at most 30 s
/// (`lingering_time`, `ngx_http_core_module`).
const ACCESS_AFTER_MAX: Nanos = 75 * SECOND;

/// A kept connection that was closed is noticed as soon as it is used, or while the application works.
const SAME_PEER_AGAIN: Nanos = 10 * SECOND;

/// An error line and an access line of one request that are too far apart in time.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct FarApart {
    /// Who wrote the error line.
    pub(in crate::engine) stream: u64,
    /// How much later it is than the access line.
    pub(in crate::engine) later: Nanos,
    /// The keys of their connection are equal; else it is the request line and the client.
    pub(in crate::engine) exact: bool,
}

impl Requests {
    /// Two lines of one request that are too far apart in time: an error line, and an access line that has none.
    pub(in crate::engine) fn far_apart(&self, id: u64) -> Option<FarApart> {
        let request = self.by_id.get(id).filter(|request| request.genuine)?;
        let connection = match (request.errors.first(), &request.access) {
            (Some(error), None) => error.what.pid.zip(error.what.connection),
            (None, Some(access)) => access.what.pid.zip(access.what.connection),
            _ => return None,
        };
        let of_connection = connection.and_then(|connection| self.by_connection.get(&connection));
        let alike = request.line_hash.and_then(|hash| self.by_line.get(&hash));
        let of_line = alike.map(|alike| if request.access.is_none() { &alike.lack_error } else { &alike.lack_access });
        let pair_with = |other: &u64| {
            let other = self.by_id.get(*other).filter(|other| other.genuine && other.line_hash == request.line_hash)?;
            let (error, access) = match (request.errors.first(), &other.access) {
                (Some(error), Some(access)) if other.errors.is_empty() => (error, access),
                _ => (other.errors.first()?, request.access.as_ref().filter(|_| other.access.is_none())?),
            };
            same_client(&access.what.client, &error.what.client).then_some((error, access))
        };
        let pair = |exact: bool| {
            move |(error, access): (&Seen<NginxError>, &Seen<NginxAccess>)| FarApart {
                stream: error.source,
                later: error.at.from.saturating_sub(access.at.to),
                exact,
            }
        };
        let exact = of_connection.into_iter().flatten().find_map(pair_with).map(pair(true));
        // Of equal requests the first of the one log is the first of the other.
        exact.or_else(|| of_line.into_iter().flatten().find_map(pair_with).map(pair(false)))
    }

    pub(super) fn find_for_error(&self, error: &Seen<NginxError>) -> Option<u64> {
        let same_line = |request: &Request| match (request.line_hash, error_line_hash(&error.what)) {
            (Some(known), Some(new)) => known == new,
            _ => true,
        };
        if let Some(connection) = error.what.pid.zip(error.what.connection) {
            let ids = self.by_connection.get(&connection).into_iter().flatten();
            let fits = |id: &&u64| {
                self.by_id.get(**id).is_some_and(|request| {
                    let in_time = match &request.access {
                        // nginx writes the access line last; its time is no earlier than the error's second. In one stream
                        // with it, it closes the request.
                        Some(access) => {
                            access.source != error.source
                                && access.at.to >= error.at.from
                                && access.at.from.saturating_sub(ACCESS_AFTER_MAX) <= error.at.to
                        }
                        None => request.errors.last().is_none_or(|last| may_follow(last, error)),
                    };
                    in_time && same_line(request)
                })
            };
            if let Some(id) = ids.rev().find(fits) {
                return Some(*id);
            }
        }
        // An access line without connection came first: nearest in time, not yet explained by an error line.
        let hash = error_line_hash(&error.what)?;
        if error.what.request.is_none() && error.what.connection.is_none() {
            let ids = self.by_line.get(&hash).into_iter().flat_map(|alike| &alike.lack_access);
            let same = |id: &&u64| {
                self.by_id.get(**id).is_some_and(|request| {
                    request.verdict.is_none()
                        && request.errors.first().is_some_and(|first| first.source == error.source)
                })
            };
            return ids.rev().find(same).copied();
        }
        self.find_lone_access(error)
    }

    /// The access line nearest in time that no error line has explained yet and that this one may.
    pub(super) fn find_lone_access(&self, error: &Seen<NginxError>) -> Option<u64> {
        let hash = error_line_hash(&error.what)?;
        let connection = error.what.pid.zip(error.what.connection);
        let ids = self.by_line.get(&hash).into_iter().flat_map(|alike| &alike.lack_error);
        nearest(ids.copied(), |id| {
            let request = self.by_id.get(id).filter(|request| request.errors.is_empty())?;
            let access = request.access.as_ref()?;
            let keys = access.what.pid.zip(access.what.connection);
            let fits = (keys.is_none() || connection.is_none() || keys == connection)
                && in_order(error.at, access.at)
                && same_client(&access.what.client, &error.what.client);
            fits.then(|| self.cost(error, access)).flatten()
        })
    }

    /// How far apart two lines are that may be of one request. Where nginx was seen to answer as its error lines say, one that
    /// says something else is another's.
    fn cost(&self, error: &Seen<NginxError>, access: &Seen<NginxAccess>) -> Option<Nanos> {
        let agree = agree(&error.what, &access.what);
        (agree || !self.agreed).then(|| access.at.distance(error.at) + Nanos::from(!agree))
    }

    pub(super) fn find_for_access(&self, access: &Seen<NginxAccess>, failed: bool) -> Option<u64> {
        let hash = access.what.request_line_hash();
        let lacks_access = |request: &Request| request.access.is_none() && (failed || request.verdict.is_none());
        if let Some(connection) = access.what.pid.zip(access.what.connection) {
            let ids = self.by_connection.get(&connection).into_iter().flatten();
            let fits = |id: &&u64| {
                self.by_id.get(**id).is_some_and(|request| {
                    lacks_access(request)
                        && request.last_error_at().is_none_or(|last| in_order(last, access.at))
                        && (request.line_hash.is_none() || hash.is_none() || request.line_hash == hash)
                })
            };
            let found = ids.copied().find(|id| fits(&id));
            if found.is_some() || !failed {
                return found;
            }
        }
        let is_exact = access.what.pid.is_some() && access.what.connection.is_some();
        let ids = self.by_line.get(&hash?).into_iter().flat_map(|alike| &alike.lack_access);
        nearest(ids.copied(), |id| {
            let request = self.by_id.get(id).filter(|request| lacks_access(request))?;
            let error = request.errors.last()?;
            // A collector that parsed the error line may have taken its connection away.
            let fits = !(is_exact && error.what.connection.is_some())
                && in_order(error.at, access.at)
                && same_client(&access.what.client, &error.what.client);
            if !fits {
                return None;
            }
            if failed {
                return self.cost(error, access);
            }
            // A line that looks good says something else than most error lines: a retry saved the request, or the line is
            // another's. Of equal requests each is offered one before one is offered a second.
            let of_other = Nanos::from(!agree(&error.what, &access.what));
            Some(access.at.distance(error.at) + of_other + request.maybe.len() as Nanos)
        })
    }
}

/// Two failed attempts of one connection may be of one request: nginx tries another peer at once, and the same one again
/// only where a connection that it had kept open was closed.
fn may_follow(last: &Seen<NginxError>, error: &Seen<NginxError>) -> bool {
    let apart = last.at.distance(error.at);
    let same_peer = last.what.upstream.is_some() && last.what.upstream == error.what.upstream;
    apart <= ACCESS_AFTER_MAX && !(same_peer && apart > SAME_PEER_AGAIN)
}

/// What nginx answered where an attempt failed so: of equal requests in one second it tells which line is whose.
pub(super) fn agree(error: &NginxError, access: &NginxAccess) -> bool {
    let Some(symptom) = error.symptom else { return true };
    let status = match symptom {
        Symptom::ResponseTimedOut | Symptom::ConnectTimedOut => 504,
        Symptom::TlsHandshakeFailed if error.message.starts_with("upstream timed out") => 504,
        Symptom::ClientClosed => 499,
        // The upstream's status was sent.
        Symptom::ResponseTruncated => return access.status < 500,
        // What is no status line of HTTP/1 is passed on as HTTP/0.9, which nginx notes as 009.
        Symptom::ResponseHeaderInvalid if access.status == 9 => return true,
        Symptom::NginxOutOfConnections | Symptom::NginxOutOfFiles => return true,
        _ => 502,
    };
    access.status == status && (access.body_bytes_sent.value().is_none() || outcome::has_page_of_nginx(access))
}

/// The first of the nearest. Nothing is nearer than 0.
fn nearest(ids: impl Iterator<Item = u64>, distance: impl Fn(u64) -> Option<Nanos>) -> Option<u64> {
    let mut best: Option<(Nanos, u64)> = None;
    for id in ids {
        match distance(id) {
            Some(0) => return Some(id),
            Some(distance) if best.is_none_or(|(least, _)| distance < least) => best = Some((distance, id)),
            _ => {}
        }
    }
    best.map(|(_, id)| id)
}

/// The error line is written first, both stamps may be a second coarse, and the clock of nginx's log may lag a turn.
fn in_order(error: Interval, access: Interval) -> bool {
    error.from <= access.to.saturating_add(SECOND) && access.from <= error.to.saturating_add(ACCESS_AFTER_MAX)
}

fn same_client(one: &str, other: &str) -> bool {
    // A host name before the address (`vhost_combined`) or a mask is no address to compare.
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok() || text.starts_with("unix:");
    one == other || !is_address(one) || !is_address(other) || is_masked(one, other) || is_masked(other, one)
}

/// True for an address of which the end was set to zero, as access logs have it where they must not tell who a client is:
/// `198.51.100.0` for `198.51.100.7`, `2001:db8::` for all of its network.
fn is_masked(masked: &str, whole: &str) -> bool {
    match (masked.parse(), whole.parse()) {
        (Ok(IpAddr::V4(masked)), Ok(IpAddr::V4(whole))) => {
            let (masked, whole) = (masked.octets(), whole.octets());
            masked[3] == 0 && masked[..2] == whole[..2] && (masked[2] == whole[2] || masked[2] == 0)
        }
        (Ok(IpAddr::V6(masked)), Ok(IpAddr::V6(whole))) => {
            let (masked, whole) = (masked.segments(), whole.segments());
            masked[..2] == whole[..2]
                && masked[4..] == [0; 4]
                && (2..4).all(|at| masked[at] == whole[at] || masked[at] == 0)
        }
        _ => false,
    }
}
