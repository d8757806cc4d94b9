//! Requests that were refused because there was no room for what they prove. Their sender sends them again, and reading each
//! time as far as to the record that has no room would cost more than taking them once: while there is no more room than
//! before, they are refused unread.

use crate::read::text::hash64;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Requests remembered: those of as many senders at once. A forgotten one is read again.
const KNOWN_MAX: usize = 256;
/// Bytes at each end of a request that tell it from others, beside its length.
const END_BYTES: usize = 1_024;

/// What refused requests need.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// By their hash; the newest last.
    known: Mutex<VecDeque<(u64, usize)>>,
    /// How many there are, for those who would not wait to see that there are none.
    count: AtomicUsize,
}

impl Refused {
    /// How many bytes of room the request needs as far as is known, 0 for one that was not refused.
    pub(super) fn needs(&self, request: &[u8]) -> usize {
        if self.count.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let hash = hash_of(request);
        self.known().iter().find(|(known, _)| *known == hash).map_or(0, |(_, bytes)| *bytes)
    }

    /// Notes what a request needs: so many bytes for what was `read` of it, and as much for each part of the rest.
    pub(super) fn note(&self, request: &[u8], bytes: usize, read: usize) {
        let all = bytes as f64 * (request.len() as f64 / read.max(1) as f64).max(1.0);
        let hash = hash_of(request);
        let mut known = self.known();
        known.retain(|(other, _)| *other != hash);
        if known.len() == KNOWN_MAX {
            known.pop_front();
        }
        known.push_back((hash, all as usize));
        self.count.store(known.len(), Ordering::Relaxed);
    }

    /// It was taken.
    pub(super) fn forget(&self, request: &[u8]) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let hash = hash_of(request);
            let mut known = self.known();
            known.retain(|(other, _)| *other != hash);
            self.count.store(known.len(), Ordering::Relaxed);
        }
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<(u64, usize)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash_of(request: &[u8]) -> u64 {
    let first = request.get(..END_BYTES).unwrap_or(request);
    let last = request.get(request.len().saturating_sub(END_BYTES)..).unwrap_or_default();
    hash64(first) ^ hash64(last).rotate_left(17) ^ request.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_needs_is_known_until_it_is_taken() {
        let refused = Refused::default();
        let (one, other) = (vec![1; 5_000], vec![2; 5_000]);
        assert_eq!(refused.needs(&one), 0);
        refused.note(&one, 100, 2_500);
        assert_eq!((refused.needs(&one), refused.needs(&other)), (200, 0), "the other half needs as much");
        refused.note(&one, 300, 5_000);
        assert_eq!(refused.needs(&one), 300);
        refused.forget(&one);
        assert_eq!(refused.needs(&one), 0);
    }

    #[test]
    fn countless_refused_requests_take_no_memory() {
        let refused = Refused::default();
        (0..10_000_usize).for_each(|number| refused.note(&number.to_le_bytes(), 1, 8));
        assert_eq!(refused.known().len(), KNOWN_MAX);
        assert_eq!((refused.needs(&0_usize.to_le_bytes()), refused.needs(&9_999_usize.to_le_bytes())), (0, 1));
    }
}
