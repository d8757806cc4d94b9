//! How much may be worked on at once: requests, and the bytes that they take in memory.
//!
//! Bytes are counted as they come in and as they decompress, so that many large requests together cannot take more than
//! the limit: past it their senders are asked to come back.

use super::Refusal;
use crate::config::settings::Listener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// When a sender shall come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Bytes are counted in units of this size: a permit count is 32 bits wide.
const UNIT_BYTES: usize = 1 << 10;

/// The limits of one listener.
#[derive(Clone, Debug)]
pub struct Admission {
    slots: Arc<Semaphore>,
    units: Arc<Semaphore>,
}

impl Admission {
    /// As a listener is configured.
    pub fn of(listener: &Listener) -> Admission {
        Admission::new(listener.requests_max, listener.in_flight_bytes_max)
    }

    /// So many requests at once, with so many bytes together.
    fn new(requests_max: usize, bytes_max: usize) -> Admission {
        let units = (bytes_max / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Admission { slots: Arc::new(Semaphore::new(requests_max)), units: Arc::new(Semaphore::new(units)) }
    }

    /// Lets a request in that has no bytes yet.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when as many as may be are worked on.
    pub fn admit(&self) -> Result<Admitted, Refusal> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| overloaded())?;
        Ok(Admitted { units: Arc::clone(&self.units), taken: None, bytes: 0, _slot: slot })
    }
}

/// One request that was let in. Dropped, it makes room for others.
#[derive(Debug)]
pub struct Admitted {
    units: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
    bytes: usize,
    _slot: OwnedSemaphorePermit,
}

impl Admitted {
    /// Counts so many bytes more.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when all requests together would take more than they may.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.bytes = self.bytes.saturating_add(bytes);
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = self.bytes.div_ceil(UNIT_BYTES).saturating_sub(taken);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| overloaded())?;
        let more = Arc::clone(&self.units).try_acquire_many_owned(missing).map_err(|_| overloaded())?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

fn overloaded() -> Refusal {
    Refusal::Overloaded { retry_after: RETRY_AFTER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_requests_together_have_a_limit() {
        let admission = Admission::new(8, 10 * UNIT_BYTES);
        let mut first = admission.admit().expect("a slot");
        let mut second = admission.admit().expect("a slot");
        first.grow(6 * UNIT_BYTES).expect("fits");
        second.grow(3 * UNIT_BYTES).expect("fits");
        assert_eq!(second.grow(2 * UNIT_BYTES).map_err(|refusal| refusal.reason()), Err("overloaded"));
        drop(first);
        second.grow(0).expect("there is room again for what it counts already");
        drop(second);
        admission.admit().expect("a slot").grow(10 * UNIT_BYTES).expect("all of it is free again");
    }

    #[test]
    fn small_steps_count_together() {
        let admission = Admission::new(1, 2 * UNIT_BYTES);
        let mut request = admission.admit().expect("a slot");
        for _ in 0..2 * UNIT_BYTES {
            request.grow(1).expect("fits");
        }
        assert!(request.grow(1).is_err());
    }

    #[test]
    fn requests_have_a_limit() {
        let admission = Admission::new(1, UNIT_BYTES);
        let request = admission.admit().expect("a slot");
        assert!(admission.admit().is_err());
        drop(request);
        assert!(admission.admit().is_ok());
    }
}
