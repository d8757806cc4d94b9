//! How much may be in memory and worked on at once: bodies that come in, requests that are worked on, and their bytes.
//!
//! A request takes a slot only when its body is there: a sender that is slow, or means harm, keeps nobody else out of
//! them. Bytes are counted as they come in and as they decompress, so that many large requests together cannot take more
//! than the limit: past it their senders are asked to come back, and bodies that have been on their way for long give
//! their room up ([`Admitted::shortages`]).

use super::Refusal;
use crate::config::settings::Listener;
use crate::memory::Memory;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// When a sender shall come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Bytes are counted in units of this size: a permit count is 32 bits wide.
const UNIT_BYTES: usize = 1 << 10;
/// Bodies that come in at once. Each is a task and a head beside its bytes, some 10 KiB; twice the connections of a
/// listener, so that senders that have one request at a time never meet it.
const BODIES_MAX: usize = 8_192;

/// The limits of one listener.
#[derive(Clone, Debug)]
pub struct Admission {
    bodies: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    units: Arc<Semaphore>,
    shortages: Arc<Notify>,
    memory: Memory,
}

impl Admission {
    /// As a listener is configured, within what all of them may take together with the queues.
    pub fn of(listener: &Listener, memory: Memory) -> Admission {
        Admission { memory, ..Admission::new(BODIES_MAX, listener.requests_max, listener.in_flight_bytes_max) }
    }

    /// So many bodies that come in and so many requests that are worked on, with so many bytes together.
    fn new(bodies_max: usize, requests_max: usize, bytes_max: usize) -> Admission {
        let units = (bytes_max / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Admission {
            bodies: Arc::new(Semaphore::new(bodies_max)),
            slots: Arc::new(Semaphore::new(requests_max)),
            units: Arc::new(Semaphore::new(units)),
            shortages: Arc::default(),
            memory: Memory::unlimited(),
        }
    }

    /// Lets the body of a request come in.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when as many as may be come in.
    pub fn admit(&self) -> Result<Admitted, Refusal> {
        let Ok(body) = Arc::clone(&self.bodies).try_acquire_owned() else {
            self.shortages.notify_waiters();
            return Err(overloaded());
        };
        Ok(Admitted { of: self.clone(), body: Some(body), slot: None, taken: None, bytes: 0 })
    }
}

/// One request that was let in. Dropped, it makes room for others.
#[derive(Debug)]
pub struct Admitted {
    of: Admission,
    /// Until its body is there.
    body: Option<OwnedSemaphorePermit>,
    /// From then on.
    slot: Option<OwnedSemaphorePermit>,
    taken: Option<OwnedSemaphorePermit>,
    bytes: usize,
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
        let more = Arc::clone(&self.of.units).try_acquire_many_owned(missing).ok();
        let Some(more) = more.filter(|more| self.of.memory.take(more.num_permits() * UNIT_BYTES)) else {
            self.of.shortages.notify_waiters();
            return Err(overloaded());
        };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }

    /// Its body is there: it may be worked on until this is dropped.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when as many as may be are worked on.
    pub fn start(&mut self) -> Result<(), Refusal> {
        self.body = None;
        self.slot = Some(Arc::clone(&self.of.slots).try_acquire_owned().map_err(|_| overloaded())?);
        Ok(())
    }

    /// Tells each time that a sender was refused for want of room.
    pub fn shortages(&self) -> Arc<Notify> {
        Arc::clone(&self.of.shortages)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        self.of.memory.give_back(taken * UNIT_BYTES);
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
        let admission = Admission::new(8, 8, 10 * UNIT_BYTES);
        let mut first = admission.admit().expect("room");
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
        let admission = Admission::new(8, 1, 2 * UNIT_BYTES);
        let mut request = admission.admit().expect("a slot");
        for _ in 0..2 * UNIT_BYTES {
            request.grow(1).expect("fits");
        }
        assert!(request.grow(1).is_err());
    }

    #[test]
    fn a_slot_is_taken_when_the_body_is_there() {
        let admission = Admission::new(8, 1, UNIT_BYTES);
        let mut coming = [admission.admit(), admission.admit(), admission.admit()].map(|body| body.expect("room"));
        let [first, second, _] = &mut coming;
        second.start().expect("nobody works");
        assert_eq!(first.start(), Err(overloaded()));
        drop(coming);
        admission.admit().expect("room").start().expect("a slot");
    }

    #[test]
    fn bodies_that_come_in_have_a_limit() {
        let admission = Admission::new(1, 8, UNIT_BYTES);
        let mut request = admission.admit().expect("room");
        assert!(admission.admit().is_err());
        request.start().expect("a slot");
        assert!(admission.admit().is_ok(), "the first does not come in any more");
    }
}
