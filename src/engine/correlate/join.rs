//! Which records are of one request: keys before time.
//!
//! In order: nginx's pid and connection (exact, where the access log has `$pid` and `$connection`), then request line,
//! client and time, one to one. A connection is serial, so on one kept alive the request line and the time tell its
//! requests apart.

mod find;
mod ids;
mod request;

use super::shelf::Shelf;
use super::spans::{SpanRow, hash_id, hash_target, hash_text, parse_trace_id};
use super::{Interval, Seen};
use crate::engine::causes::Mark;
use crate::engine::outcome;
use crate::read::evidence::{Nanos, NginxAccess, NginxError, SECOND, TraceContext};
use crate::read::maps::HashMap;
use crate::read::request_line::request_line_hash;
pub(in crate::engine) use find::FarApart;
use ids::Ids;
pub use request::Request;

/// Error lines of one request that are kept; nginx was seen to try nine times.
const ERRORS_MAX: usize = 16;
/// Keys by which spans find one request: its path on both lines, trace, request id also as a trace, links of two revisions.
const SPAN_KEYS_MAX: usize = 7;
/// Requests that are looked at again when a worker ended: the newest.
const REVISITED_MAX: usize = 256;
/// Healthy access lines kept as possible ends of one request.
const MAYBE_MAX: usize = 8;

/// Requests in sight: open ones, and decided ones for a while so that late records find them.
#[derive(Debug, Default)]
pub struct Requests {
    next: u64,
    /// No request before this one is open.
    first_open: u64,
    by_id: Shelf<Request>,
    /// An error line and an access line of nginx's own page with the status that it stands for were joined.
    agreed: bool,
    by_connection: HashMap<(u32, u64), Ids>,
    by_line: HashMap<u64, Alike>,
    by_span_key: HashMap<SpanKey, Ids>,
    /// Ids among the keys that came or went since somebody asked.
    naming: Vec<Naming>,
}

/// Requests of one request line that lack one of their lines. In a storm on one URL nearly all of them have both.
#[derive(Debug, Default)]
struct Alike {
    lack_access: Ids,
    lack_error: Ids,
}

/// A request names an id by which spans find it, or no longer does.
#[derive(Clone, Copy, Debug)]
pub struct Naming {
    /// Hash of the trace or request id.
    pub id: u64,
    /// Which request.
    pub request: u64,
    /// It names it from now on.
    pub named: bool,
}

/// What a span and a request may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SpanKey {
    /// The path of the target, hashed.
    Path(u64),
    /// The trace that a record of the request names.
    Trace([u8; 16]),
    /// `$request_id`, hashed.
    RequestId(u64),
    /// The trace that the request's verdict is linked to.
    Linked([u8; 16]),
}

impl SpanKey {
    fn of_path(target: &str) -> Option<SpanKey> {
        SpanKey::of_path_hash(hash_target(target).0)
    }

    fn of_path_hash(path: u64) -> Option<SpanKey> {
        (path != 0).then_some(SpanKey::Path(path))
    }

    fn of_request_id(request_id: u64) -> Option<SpanKey> {
        (request_id != 0).then_some(SpanKey::RequestId(request_id))
    }

    /// The id by which a span names the request.
    fn id(self) -> Option<u64> {
        match self {
            SpanKey::Path(_) => None,
            SpanKey::Trace(trace_id) | SpanKey::Linked(trace_id) => Some(hash_id(&trace_id)),
            SpanKey::RequestId(request_id) => Some(request_id),
        }
    }
}

impl Requests {
    /// Requests whose numbers begin here.
    pub(in crate::engine) fn counting_from(first: u64) -> Requests {
        Requests { next: first, first_open: first, ..Requests::default() }
    }

    /// Joins an error line, or opens a request with it.
    pub fn join_error(&mut self, now: Nanos, due: Nanos, error: Seen<NginxError>, genuine: bool) -> u64 {
        let found = if genuine { self.find_for_error(&error) } else { None };
        let id = found.unwrap_or_else(|| self.open(now, due));
        if !genuine {
            // A line that may be forged joins nothing, and nothing joins it.
            if let Some(request) = self.by_id.get_mut(id) {
                request.genuine = false;
                request.errors.push(error);
            }
            return id;
        }
        self.index(id, error.what.pid.zip(error.what.connection), error_line_hash(&error.what));
        let target = error.what.method_and_target().map_or("", |(_, target)| target);
        self.index_for_spans(id, SpanKey::of_path(target));
        if let Some(request) = self.by_id.get_mut(id)
            && request.errors.len() < ERRORS_MAX
        {
            // Nearly all have one, and each takes half a kilobyte.
            request.errors.reserve_exact(1);
            request.errors.push(error);
        }
        self.note_lines(id);
        id
    }

    /// Joins the access line of a failed request, or opens a request with it.
    pub fn join_failed_access(
        &mut self,
        now: Nanos,
        due: Nanos,
        access: Seen<NginxAccess>,
        trace: Option<TraceContext>,
    ) -> u64 {
        let id = self.find_for_access(&access, true).unwrap_or_else(|| self.open(now, due));
        self.index(id, access.what.pid.zip(access.what.connection), access.what.request_line_hash());
        self.index_access_for_spans(id, &access.what, trace);
        if let Some(request) = self.by_id.get_mut(id) {
            request.trace = request.trace.or(trace);
            request.access = Some(access);
        }
        self.note_lines(id);
        id
    }

    /// True when an open request waits for this access line.
    pub fn expects(&self, access: &Seen<NginxAccess>) -> bool {
        self.find_for_access(access, true).is_some()
    }

    /// A stream's stamps were taken for so much later than they are: what it wrote of open requests is set back, and joins
    /// the access lines that it is of. Returns the requests that were merged into others.
    pub(in crate::engine) fn set_back(&mut self, stream: u64, later: Nanos) -> Vec<Request> {
        let of_stream = |request: &Request| {
            request.access.is_none()
                && !request.errors.is_empty()
                && request.errors.iter().all(|error| error.source == stream)
        };
        let open: Vec<u64> = self.open_ids().filter(|id| self.by_id.get(*id).is_some_and(of_stream)).collect();
        let mut merged = Vec::new();
        for id in open {
            let Some(request) = self.by_id.get_mut(id) else { continue };
            for error in &mut request.errors {
                error.at = error.at.earlier(later);
            }
            let first = request.errors.first().filter(|_| request.genuine).cloned();
            let found = first.and_then(|first| self.find_lone_access(&first));
            let Some(found) = found else { continue };
            let Some(request) = self.remove(id) else { continue };
            for error in &request.errors {
                self.index(found, error.what.pid.zip(error.what.connection), None);
            }
            if let Some(into) = self.by_id.get_mut(found) {
                into.errors.extend(request.errors.iter().cloned());
                into.others.extend(request.others.iter().copied());
            }
            self.note_lines(found);
            merged.push(*request);
        }
        merged
    }

    /// Offers a healthy access line to the open requests that may have ended with it; gives it back where none has.
    pub fn join_healthy_access(
        &mut self,
        access: Seen<NginxAccess>,
        trace: Option<TraceContext>,
    ) -> Result<u64, Box<Seen<NginxAccess>>> {
        let exact = access.what.pid.is_some() && access.what.connection.is_some();
        let Some(id) = self.find_for_access(&access, false) else { return Err(Box::new(access)) };
        if exact {
            self.index_access_for_spans(id, &access.what, trace);
        }
        let Some(request) = self.by_id.get_mut(id) else { return Err(Box::new(access)) };
        if exact {
            request.trace = request.trace.or(trace);
            request.access = Some(access);
        } else if request.maybe.len() < MAYBE_MAX {
            request.maybe.push(access);
        } else {
            return Err(Box::new(access));
        }
        self.note_lines(id);
        Ok(id)
    }

    /// One request.
    pub fn get(&self, id: u64) -> Option<&Request> {
        self.by_id.get(id)
    }

    /// One request, to change it.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Request> {
        self.by_id.get_mut(id)
    }

    /// True when an equal request that lacks its access line has been offered more than one: there are more lines than requests.
    pub(in crate::engine) fn are_offered_more(&self, id: u64) -> bool {
        let hash = self.by_id.get(id).and_then(|request| request.line_hash);
        let alike = hash.and_then(|hash| self.by_line.get(&hash));
        let mut others = alike.into_iter().flat_map(|alike| &alike.lack_access).filter(|other| **other != id);
        others.any(|other| self.by_id.get(*other).is_some_and(|request| request.maybe.len() > 1))
    }

    /// All in order of opening.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Request)> {
        self.by_id.from(0)
    }

    /// Open ones, the first that was opened first.
    pub fn open_ids(&self) -> impl Iterator<Item = u64> {
        let open = self.by_id.from(self.first_open).filter(|(_, request)| request.verdict.is_none());
        open.map(|(id, _)| id)
    }

    /// Decided ones for whose cause little speaks, of those that were opened last and failed about then.
    pub(in crate::engine) fn unsure_around(&self, at: Interval) -> Vec<u64> {
        let unsure = |request: &Request| {
            request.verdict.as_ref().is_some_and(|verdict| {
                (verdict.cause.has(Mark::WantsMoreEvidence) || verdict.cause.has(Mark::MayLearnMore))
                    && verdict.status.is_some()
            })
        };
        let near =
            |request: &Request| outcome::failed_at(request).is_some_and(|failed| failed.near(at, -SECOND, SECOND));
        let newest = self.iter().rev().take(REVISITED_MAX);
        newest.filter(|(_, request)| unsure(request) && near(request)).map(|(id, _)| id).collect()
    }

    /// The open one that was opened first.
    pub fn oldest_open(&mut self) -> Option<u64> {
        let is_open = |request: &Request| request.verdict.is_none();
        let oldest = self.by_id.from(self.first_open).find(|(_, request)| is_open(request)).map(|(id, _)| id);
        // What is decided stays so: next time the search begins here.
        self.first_open = oldest.unwrap_or(self.next);
        oldest
    }

    /// How many are remembered, decided ones included.
    pub fn count(&self) -> usize {
        self.by_id.count()
    }

    /// Requests on the path of a span. Newest first.
    pub fn on_path_of(&self, span: &SpanRow) -> impl Iterator<Item = &Request> {
        let ids = SpanKey::of_path_hash(span.path).and_then(|key| self.by_span_key.get(&key));
        ids.into_iter().flat_map(|ids| ids.iter().rev()).filter_map(|id| self.by_id.get(*id))
    }

    /// Requests on a path, by its hash, with their numbers. Newest first.
    pub fn on_path(&self, path: u64) -> impl Iterator<Item = (u64, &Request)> {
        let ids = SpanKey::of_path_hash(path).and_then(|key| self.by_span_key.get(&key));
        ids.into_iter()
            .flat_map(|ids| ids.iter().rev())
            .filter_map(|id| self.by_id.get(*id).map(|request| (*id, request)))
    }

    /// True when a record of another request names the trace or the request id of a span, or it is linked to the trace.
    pub(in crate::engine) fn is_of_another(&self, span: &SpanRow, id: u64) -> bool {
        let of_request_id = SpanKey::of_request_id(span.request_id);
        let keys = [Some(SpanKey::Trace(span.trace_id)), Some(SpanKey::Linked(span.trace_id)), of_request_id];
        keys.into_iter().flatten().filter_map(|key| self.by_span_key.get(&key)).flatten().any(|known| *known != id)
    }

    /// Notes that the request's verdict is linked to a trace.
    pub fn note_link(&mut self, id: u64, trace_id: [u8; 16]) {
        self.index_for_spans(id, Some(SpanKey::Linked(trace_id)));
    }

    /// Trace and request ids that requests name since the last call, or no longer.
    pub fn take_naming(&mut self) -> impl Iterator<Item = Naming> {
        self.naming.drain(..)
    }

    /// Forgets a request.
    pub fn remove(&mut self, id: u64) -> Option<Box<Request>> {
        let request = self.by_id.remove(id)?;
        let of_errors = request.errors.iter().map(|error| (error.what.pid, error.what.connection));
        let of_access = request.access.iter().map(|access| (access.what.pid, access.what.connection));
        for (pid, connection) in of_errors.chain(of_access) {
            if let Some(connection) = pid.zip(connection) {
                forget_id(&mut self.by_connection, connection, id);
            }
        }
        if let Some(hash) = request.line_hash
            && let Some(alike) = self.by_line.get_mut(&hash)
        {
            alike.lack_access.drop(id);
            alike.lack_error.drop(id);
            if alike.lack_access.is_empty() && alike.lack_error.is_empty() {
                self.by_line.remove(&hash);
            }
        }
        for key in &request.span_keys {
            forget_id(&mut self.by_span_key, *key, id);
            if let Some(hash) = key.id() {
                self.naming.push(Naming { id: hash, request: id, named: false });
            }
        }
        Some(request)
    }

    fn open(&mut self, now: Nanos, due: Nanos) -> u64 {
        let id = self.next;
        self.next += 1;
        self.by_id.push(id, Request { opened: now, due, ..Request::empty() });
        id
    }

    fn index_access_for_spans(&mut self, id: u64, access: &NginxAccess, trace: Option<TraceContext>) {
        self.index_for_spans(id, SpanKey::of_path(&access.target));
        self.index_for_spans(id, SpanKey::of_request_id(hash_text(access.request_id.as_bytes())));
        // `proxy_set_header traceparent 00-$request_id-...`.
        self.index_for_spans(id, parse_trace_id(&access.request_id).map(SpanKey::Trace));
        self.index_for_spans(id, trace.map(|trace| SpanKey::Trace(trace.trace_id)));
    }

    fn index_for_spans(&mut self, id: u64, key: Option<SpanKey>) {
        if let (Some(key), Some(request)) = (key, self.by_id.get_mut(id))
            && request.span_keys.len() < SPAN_KEYS_MAX
            && !request.span_keys.contains(&key)
        {
            if request.span_keys.is_empty() {
                // Nearly all have one.
                request.span_keys.reserve_exact(1);
            }
            request.span_keys.push(key);
            self.by_span_key.entry(key).or_default().add(id);
            if let Some(hash) = key.id() {
                self.naming.push(Naming { id: hash, request: id, named: true });
            }
        }
    }

    fn index(&mut self, id: u64, connection: Option<(u32, u64)>, line_hash: Option<u64>) {
        if let Some(connection) = connection {
            let ids = self.by_connection.entry(connection).or_default();
            if !ids.iter().rev().any(|known| *known == id) {
                ids.add(id);
            }
        }
        if let (Some(hash), Some(request)) = (line_hash, self.by_id.get_mut(id))
            && request.line_hash.is_none()
        {
            request.line_hash = Some(hash);
        }
    }

    /// Notes which of its lines a request lacks, for those that look for one.
    fn note_lines(&mut self, id: u64) {
        let Some(request) = self.by_id.get_mut(id) else { return };
        let Some(hash) = request.line_hash else { return };
        let lacks = (request.access.is_none(), request.errors.is_empty());
        if let (false, Some(access), Some(error)) = (self.agreed, &request.access, request.errors.last()) {
            self.agreed = access.what.status >= 500 && find::agree(&error.what, &access.what);
        }
        let before = std::mem::replace(&mut request.lacks, lacks);
        if lacks == before {
            return;
        }
        let alike = self.by_line.entry(hash).or_default();
        for (ids, lacks, before) in
            [(&mut alike.lack_access, lacks.0, before.0), (&mut alike.lack_error, lacks.1, before.1)]
        {
            match (lacks, before) {
                (true, false) => ids.add(id),
                (false, true) => ids.drop(id),
                _ => {}
            }
        }
        if alike.lack_access.is_empty() && alike.lack_error.is_empty() {
            self.by_line.remove(&hash);
        }
    }
}

fn error_line_hash(error: &NginxError) -> Option<u64> {
    match error.request {
        Some(_) => error.request_line_hash(),
        // Lines about no request (no connection left, no file left) that say the same are one story.
        None if error.connection.is_none() => Some(request_line_hash(error.symptom?.id().as_bytes(), b"")),
        None => None,
    }
}

fn forget_id<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Ids>, key: K, id: u64) {
    if let Some(ids) = map.get_mut(&key) {
        ids.drop(id);
        if ids.is_empty() {
            map.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
