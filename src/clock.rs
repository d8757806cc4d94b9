//! The one place that reads the clock.

use crate::read::evidence::Nanos;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Unix time in nanoseconds.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> Nanos {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| Nanos::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// The moment, for measuring how long something takes: no adjustment of the clock moves it.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// How long from now until then; zero when it is over.
pub fn until(then: Nanos) -> Duration {
    Duration::from_nanos(u64::try_from(then.saturating_sub(now())).unwrap_or(0))
}
