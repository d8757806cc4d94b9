//! Requests that wait their turn for the engine: for room for what they prove, or until it has come as far as to them.
//!
//! Who is refused sends all of it again, and a storm would be read twice; who waits is read once. Few wait, one behind the
//! other, for no longer than a sender would have been told to.

use std::time::Duration;
use tokio::sync::{Mutex, Notify, Semaphore};

/// Requests that wait at once: those of as many senders. The rest of what a receiver works on at once is left to requests
/// that need no turn.
const WAITING_MAX: usize = 32;
/// How long a request waits.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Who waits.
#[derive(Debug)]
pub(super) struct Turns {
    places: Semaphore,
    /// Of the one that is next.
    turn: Mutex<()>,
    freed: Notify,
}

impl Default for Turns {
    fn default() -> Self {
        Turns { places: Semaphore::new(WAITING_MAX), turn: Mutex::new(()), freed: Notify::new() }
    }
}

impl Turns {
    /// Tries until it is done, each time that there is more room; `None` when too many wait or it took too long.
    pub(super) async fn wait<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
        let _place = self.places.try_acquire().ok()?;
        let in_turn = async {
            let _turn = self.turn.lock().await;
            loop {
                let mut freed = std::pin::pin!(self.freed.notified());
                // What is freed from now on is not missed.
                freed.as_mut().enable();
                if let Some(done) = attempt() {
                    return done;
                }
                freed.await;
            }
        };
        tokio::time::timeout(WAIT_MAX, in_turn).await.ok()
    }

    /// There is more room.
    pub(super) fn freed(&self) {
        self.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    #[tokio::test]
    async fn one_after_the_other_as_there_is_room() {
        let (turns, room, order) = (Turns::default(), Cell::new(0), RefCell::new(Vec::new()));
        let waits = async |name: &'static str| {
            let take = || (room.get() > 0).then(|| room.set(room.get() - 1));
            turns.wait(take).await.expect("there will be room");
            order.borrow_mut().push(name);
        };
        let frees = async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                room.set(room.get() + 1);
                turns.freed();
            }
        };
        tokio::join!(waits("first"), waits("second"), waits("third"), frees);
        assert_eq!(order.into_inner(), ["first", "second", "third"]);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        assert_eq!(Turns::default().wait(|| None::<()>).await, None);
    }

    #[tokio::test]
    async fn who_finds_too_many_waiting_is_told_at_once() {
        let turns = Turns::default();
        let all = async {
            let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(turns.wait(|| None::<()>))).collect();
            // Each has its place.
            for one in &mut waiting {
                assert!(
                    std::future::poll_fn(|context| std::task::Poll::Ready(one.as_mut().poll(context).is_pending()))
                        .await
                );
            }
            assert_eq!(turns.wait(|| Some(())).await, None, "its room is for those before it");
        };
        all.await;
        assert_eq!(turns.wait(|| Some(())).await, Some(()), "who went away gave up its place");
    }
}
