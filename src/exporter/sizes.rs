//! The largest request that a backend takes, learned from its answers: what was too large once is not sent again in that
//! size, and what passed is remembered.

use crate::clock;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Sizes below this are not learned: no backend has such a limit, so it refuses for another reason.
pub(super) const LEARNED_MIN: usize = 16 << 10;
/// After so long the backend may have a larger limit; to look costs one refused request.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// What is known of one backend.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    known: Mutex<Known>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The largest that passed.
    passed: usize,
    /// The smallest that was too large, and when.
    failed: Option<(usize, Instant)>,
}

impl Sizes {
    /// The largest request that is worth a try.
    pub(super) fn limit(&self, configured: usize) -> usize {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((failed, at)) = known.failed else { return configured };
        if clock::instant().saturating_duration_since(at) >= FORGOTTEN_AFTER {
            known.failed = None;
            return configured;
        }
        let passed = known.passed;
        // Halfway between what passed and what did not, until the two are close.
        let next = if failed - passed <= failed / 8 { passed } else { passed + (failed - passed) / 2 };
        next.max(LEARNED_MIN).min(configured)
    }

    /// A request of this size was taken.
    pub(super) fn passed(&self, bytes: usize) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.passed = known.passed.max(bytes);
        if known.failed.is_some_and(|(failed, _)| bytes >= failed) {
            known.failed = None;
        }
    }

    /// A request of this size was too large; true where that may well be meant.
    pub(super) fn too_large(&self, bytes: usize) -> bool {
        if bytes < LEARNED_MIN {
            return false;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.failed.is_none_or(|(failed, _)| bytes < failed) {
            known.failed = Some((bytes, clock::instant()));
        }
        if known.passed >= bytes {
            // The limit was lowered.
            known.passed = 0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_found_in_a_few_steps_and_kept() {
        for limit in [20_000, 100_000, 1 << 20, 3_200_000] {
            let sizes = Sizes::default();
            let mut refused = 0;
            for _ in 0..100 {
                let size = sizes.limit(4 << 20);
                if size > limit {
                    refused += 1;
                    assert!(sizes.too_large(size));
                } else {
                    sizes.passed(size);
                }
            }
            let found = sizes.limit(4 << 20);
            assert!(found <= limit && found * 8 >= limit * 6, "{limit}: {found}");
            assert!(refused <= 10, "{limit}: {refused}");
        }
    }

    #[test]
    fn a_tiny_request_that_is_too_large_teaches_nothing() {
        let sizes = Sizes::default();
        assert!(!sizes.too_large(300));
        assert_eq!(sizes.limit(4 << 20), 4 << 20);
    }

    #[test]
    fn a_backend_that_takes_more_again_is_believed() {
        let sizes = Sizes::default();
        assert!(sizes.too_large(1 << 20));
        assert!(sizes.limit(4 << 20) < 1 << 20);
        sizes.passed(2 << 20);
        assert_eq!(sizes.limit(4 << 20), 4 << 20);
    }
}
