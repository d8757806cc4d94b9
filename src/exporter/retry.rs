//! Exponential backoff with jitter.

use crate::config::settings::Retry;
use rand::RngExt;
use std::time::Duration;

/// The waits between the tries of one request.
#[derive(Clone, Debug)]
pub struct Backoff {
    settings: Retry,
    interval: Duration,
}

impl Backoff {
    /// Before the first failure.
    pub fn new(settings: Retry) -> Backoff {
        Backoff { settings, interval: settings.initial_interval }
    }

    /// How long to wait before the next try; `None` when it is time to give up. A backend that named a time is obeyed, but
    /// where that is later than the end: nothing is given up before its time is over, and a last try comes then.
    /// `elapsed` is the time since the first try began, the tries included: those that time out take the longest.
    pub fn next(&mut self, named: Option<Duration>, elapsed: Duration) -> Option<Duration> {
        if !self.settings.enabled {
            return None;
        }
        let spread = self.settings.randomization_factor;
        let factor = 1.0 - spread + 2.0 * spread * rand::rng().random::<f64>();
        let wait = named.unwrap_or_else(|| self.interval.mul_f64(factor));
        self.interval = self.interval.mul_f64(self.settings.multiplier).min(self.settings.max_interval);
        let limit = self.settings.max_elapsed_time;
        if limit.is_zero() || elapsed.saturating_add(wait) <= limit {
            return Some(wait);
        }
        let rest = limit.saturating_sub(elapsed);
        (named.is_some() && !rest.is_zero()).then_some(rest)
    }

    /// The wait before the next request, where the last one must not be sent again.
    pub fn pause(&mut self) -> Duration {
        let spread = self.settings.randomization_factor;
        let wait = self.interval.mul_f64(1.0 - spread + 2.0 * spread * rand::rng().random::<f64>());
        self.interval = self.interval.mul_f64(self.settings.multiplier).min(self.settings.max_interval);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_within_its_limits_and_ends() {
        let settings = Retry {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Duration::from_secs(300),
        };
        let mut backoff = Backoff::new(settings);
        let mut elapsed = Duration::ZERO;
        let mut waits = Vec::new();
        while let Some(wait) = backoff.next(None, elapsed) {
            elapsed += wait;
            waits.push(wait);
        }
        assert!(waits.len() > 8 && waits.len() < 40, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(45)));
        assert!((2_500..=7_500).contains(&waits[0].as_millis()));
        assert!(waits.iter().sum::<Duration>() <= Duration::from_secs(300));
        assert_eq!(
            Backoff::new(settings).next(Some(Duration::from_secs(9)), Duration::ZERO),
            Some(Duration::from_secs(9))
        );
        let hour = Some(Duration::from_secs(3_600));
        assert_eq!(Backoff::new(settings).next(hour, Duration::from_secs(299)), Some(Duration::from_secs(1)));
        assert_eq!(Backoff::new(settings).next(hour, Duration::from_secs(300)), None);
        assert_eq!(Backoff::new(Retry { enabled: false, ..settings }).next(None, Duration::ZERO), None);
        assert_eq!(Backoff::new(settings).next(None, Duration::from_secs(299)), None, "tries take time as well");
        let mut forever = Backoff::new(Retry { max_elapsed_time: Duration::ZERO, ..settings });
        assert!((0..1_000).all(|_| forever.next(None, Duration::MAX).is_some()));
    }
}
