//! Access lines that look good, and whose error line stands in the same request.
//!
//! An answer that was cut off and a request that another peer took are logged with the status of success. Where the error
//! line came before, the engine asks for them ([`Wanted`]). Whoever looks at all files of a host at once sends both in one
//! request, the access line mostly first: then the error line asks here, and is put before it.
//!
//! ```text
//!  what came:       access GET /a 200 │ access GET /b 200 │ error GET /a │ …
//!                         ▲               goes on                │ asks
//!                         └──────────────────────────────────────┘
//!  what is found:   error GET /a │ … │ access GET /a 200
//! ```
//!
//! Keys before time, as everywhere: the connection where both lines have it, else the request line alone.

use super::FoundRecord;
use crate::read::Wanted;
use crate::read::evidence::{NginxAccess, Proof};
use crate::read::formats::nginx_access::is_interesting;
use std::cmp::Reverse;

/// Lines of one request that are found so: each takes some 2 KiB, and all may have the same request line.
pub(super) const LINES_MAX: usize = 1_024;

/// Site, hash of the request line, pid and connection: two nginx may well have the same of the latter.
type Key = (u64, u64, Option<(u32, u64)>);

/// Error lines of a request without an access line that failed.
#[derive(Debug)]
pub(super) struct Asked {
    /// Sorted.
    errors: Vec<Key>,
    wanted: Wanted,
}

impl Asked {
    /// What the error lines among these ask for; `None` where each has its access line.
    pub(super) fn by(found: &[FoundRecord]) -> Option<Asked> {
        let (mut errors, mut failed) = (Vec::new(), Vec::new());
        for (site, evidence) in found.iter().flat_map(|found| found.evidences.iter().map(|one| (site_of(found), one))) {
            match &evidence.proof {
                Proof::NginxError(error) if evidence.genuine && error.symptom.is_some() => {
                    let hash = error.request_line_hash();
                    errors.extend(hash.map(|hash| (site, hash, error.pid.zip(error.connection))));
                }
                Proof::NginxAccess(access) if is_interesting(access.status) => {
                    let hash = access.request_line_hash();
                    failed.extend(hash.map(|hash| (site, hash, access.pid.zip(access.connection))));
                }
                _ => {}
            }
        }
        if errors.is_empty() {
            return None;
        }
        errors.sort_unstable();
        failed.sort_unstable();
        errors.retain(|error| error.2.is_none() || failed.binary_search(error).is_err());
        // Of lines without a connection one is as good as another.
        let hashes = errors.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)).filter_map(|alike| {
            let (site, hash, _) = *alike.first()?;
            (alike.len() > count(&failed, (site, hash, None))).then_some(hash)
        });
        let wanted = Wanted::new(hashes.collect());
        (!wanted.is_empty()).then_some(Asked { errors, wanted })
    }

    /// Their request lines.
    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Puts the lines that are asked for behind everything else: of what was found anyway, and of these, which were not.
    pub(super) fn put_behind(&self, found: &mut Vec<FoundRecord>, others: Vec<FoundRecord>) {
        let chosen = self.choose(found.iter().chain(&others).filter_map(|found| self.line(found)).collect());
        let is_chosen = |found: &FoundRecord| chosen.binary_search(&found.range.start).is_ok();
        let mut behind: Vec<FoundRecord> = found.extract_if(.., |found| is_chosen(found)).collect();
        behind.extend(others.into_iter().filter(is_chosen));
        behind.sort_by_key(|found| found.range.start);
        found.append(&mut behind);
    }

    /// A good access line, where an error line may ask for it.
    fn line(&self, found: &FoundRecord) -> Option<Line> {
        let access = good_access(found)?;
        let hash = access.request_line_hash().filter(|hash| self.wanted.contains(*hash))?;
        let key = |connection| (site_of(found), hash, connection);
        let connection = access.pid.zip(access.connection);
        let has = |connection| self.errors.binary_search(&key(connection)).is_ok();
        // A collector that parsed the error line may have taken its connection away.
        let of = if connection.is_none() || has(connection) { connection } else { None };
        (connection.is_none() || has(of)).then(|| Line {
            key: key(of),
            has_one_attempt: access.attempts.len() < 2,
            is_alone_on_connection: access.protocol.starts_with("HTTP/1."),
            start: found.range.start,
        })
    }

    /// Where those of the lines start that are of the error lines, sorted. Of a connection no more than it has error lines: those
    /// of several attempts before all, then the last.
    fn choose(&self, mut lines: Vec<Line>) -> Vec<usize> {
        lines.sort_unstable_by_key(|line| (line.key, line.has_one_attempt, Reverse(line.start)));
        let mut chosen = Vec::with_capacity(lines.len());
        for alike in lines.chunk_by(|one, other| one.key == other.key) {
            let Some(Line { key, .. }) = alike.first() else { continue };
            let count = if key.2.is_some() { count(&self.errors, *key) } else { alike.len() };
            let (several, one) = alike.split_at(alike.partition_point(|line| !line.has_one_attempt));
            let left = count.saturating_sub(several.len());
            let is_clear = one.len() <= left || one.iter().all(|line| line.is_alone_on_connection);
            let of_one = one.iter().take(if is_clear { left } else { 0 });
            chosen.extend(several.iter().take(count).chain(of_one).map(|line| line.start));
        }
        chosen.sort_unstable();
        chosen
    }
}

/// A good access line that may be asked for.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// Of the error lines that it may be of.
    key: Key,
    has_one_attempt: bool,
    /// HTTP/1: nginx closes the connection of an answer that was cut off (`ngx_http_upstream_finalize_request`), so that the last
    /// line of it is that answer's. Streams of HTTP/2 and 3 go on.
    is_alone_on_connection: bool,
    /// Where its record starts in the request.
    start: usize,
}

/// How many of these, which are sorted, have this key.
fn count(keys: &[Key], key: Key) -> usize {
    keys.partition_point(|other| *other <= key) - keys.partition_point(|other| *other < key)
}

fn site_of(found: &FoundRecord) -> u64 {
    found.stream.place.site
}

/// The good access line that a record is.
fn good_access(found: &FoundRecord) -> Option<&NginxAccess> {
    match found.evidences.as_slice() {
        [evidence] => match &evidence.proof {
            Proof::NginxAccess(access) if !is_interesting(access.status) => Some(access),
            _ => None,
        },
        _ => None,
    }
}
