//! What the engine asks for although it looks healthy: access lines by their request line, spans by their ids.

use crate::read::maps::HashMap;
use std::sync::Arc;

/// Hashes of the request lines whose access line is looked for, or of the ids whose spans are.
///
/// A reader hands over healthy access lines only when their request line is wanted
/// ([`super::request_line::request_line_hash`]): a truncated answer and a retried request are logged with status 200.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of open requests that lack their access line, with how many of them there are.
    open: HashMap<u64, u32>,
    /// Sorted; known to the caller from elsewhere.
    known: Arc<[u64]>,
    /// Everything is wanted.
    all: bool,
    /// A healthy line is wanted now and then, although it carries no id.
    samples: bool,
}

impl Wanted {
    /// A set of hashes in any order.
    pub fn new(mut hashes: Vec<u64>) -> Wanted {
        hashes.sort_unstable();
        hashes.dedup();
        Wanted { known: hashes.into(), ..Wanted::default() }
    }

    /// Every access line.
    pub fn everything() -> Wanted {
        Wanted { all: true, ..Wanted::default() }
    }

    /// True when nothing is wanted, which is the usual case.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.known.is_empty() && !self.all
    }

    /// True when the request line with this hash is wanted.
    pub fn contains(&self, hash: u64) -> bool {
        self.all || self.open.contains_key(&hash) || self.known.binary_search(&hash).is_ok()
    }

    /// True when the caller knows from elsewhere that the request line with this hash is wanted.
    pub fn knows(&self, hash: u64) -> bool {
        self.known.binary_search(&hash).is_ok()
    }

    /// Takes over what another set knows from elsewhere.
    pub fn know(&mut self, other: &Wanted) {
        self.known = Arc::clone(&other.known);
    }

    /// Looks for every access line from now on.
    pub fn want_all(&mut self) {
        self.all = true;
    }

    /// Looks at a healthy access line now and then, although it carries no id: there are spans to compare it with.
    pub fn want_samples(&mut self) {
        self.samples = true;
    }

    /// True when healthy lines without an id are of use now and then.
    pub fn wants_samples(&self) -> bool {
        self.samples
    }

    /// Looks for one more access line with this request line.
    pub fn add(&mut self, hash: u64) {
        *self.open.entry(hash).or_default() += 1;
    }

    /// Looks for one less.
    pub fn remove(&mut self, hash: u64) {
        if let Some(count) = self.open.get_mut(&hash) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&hash);
            }
        }
    }
}
