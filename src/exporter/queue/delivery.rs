//! One request on its way to the backend: tried until something has become of it, cut where it is too large, and counted.

use super::super::backlog::{Amount, Waiting};
use super::super::batch;
use super::super::error::{Delivered, Then};
use super::super::retry::Backoff;
use super::super::told::Kind;
use super::{Pause, Shared};
use crate::clock;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// At shutdown a wait that the backend asked for is kept if it is no longer than this.
const WAIT_AT_THE_END: Duration = Duration::from_secs(5);

/// What became of a request.
enum End {
    /// It was delivered, or lost and counted.
    Settled,
    /// It is too large for the backend: its parts.
    Cut(Vec<Waiting>),
    /// The program ends, and the journal has it.
    Kept,
}

impl Shared {
    /// Sends a request until it is taken or given up.
    pub(super) async fn settle(&self, mut request: Waiting) {
        let mut left = request.amount();
        let marks = std::mem::take(&mut request.marks);
        let mut parts = VecDeque::from([request]);
        while let Some(part) = parts.pop_front() {
            self.wait_for_pause().await;
            if part.items > self.backend().request_items_max
                && let Some(smaller) = batch::shrink(&part, usize::MAX)
            {
                prepend(&mut parts, smaller);
                continue;
            }
            let limit = self.limit();
            if part.request.len() > limit && (part.items > 1 || part.request.len() > self.request_bytes_max()) {
                let cut = batch::fit(part, limit);
                for one in cut.oversized {
                    // Larger than what was learned is worth its own try, larger than what is set is not.
                    if one.request.len() > self.request_bytes_max() {
                        let why = format!("an item is larger than `max_request_bytes` ({})", self.request_bytes_max());
                        self.lose(&one, "too_large", &why).await;
                        self.count_down(&mut left, one.amount());
                    } else {
                        match self.deliver(&one).await {
                            End::Settled => self.count_down(&mut left, one.amount()),
                            End::Cut(smaller) => prepend(&mut parts, smaller),
                            End::Kept => return,
                        }
                    }
                }
                prepend(&mut parts, cut.parts);
                continue;
            }
            match self.deliver(&part).await {
                End::Settled => self.count_down(&mut left, part.amount()),
                End::Cut(smaller) => prepend(&mut parts, smaller),
                End::Kept => return,
            }
        }
        // What surrounds items is repeated in parts, so that their bytes are not those of the whole.
        self.settled(left);
        self.done(&marks);
    }

    /// Frees the room of a part, at most what is left of the whole.
    fn count_down(&self, left: &mut Amount, part: Amount) {
        let freed = Amount { items: part.items.min(left.items), bytes: part.bytes.min(left.bytes) };
        left.items -= freed.items;
        left.bytes -= freed.bytes;
        self.settled(freed);
    }

    /// Sends one request until something has become of it.
    async fn deliver(&self, part: &Waiting) -> End {
        let mut backoff = Backoff::new(self.backend().retry);
        let began = clock::instant();
        loop {
            self.wait_for_pause().await;
            let deliver = Arc::clone(&self.backend().deliver);
            let error = match deliver.deliver(part.signal, part.request.clone()).await {
                Ok(delivered) => {
                    self.delivered(part, &delivered);
                    return End::Settled;
                }
                Err(error) => error,
            };
            self.stats.failed();
            let wait = match error.then {
                // The next start sends it.
                Then::Retry(_) if self.is_kept() => return End::Kept,
                Then::Retry(after)
                    if !self.closing.is_cancelled() || after.is_none_or(|after| after < WAIT_AT_THE_END) =>
                {
                    backoff.next(after, began.elapsed()).map(|wait| (wait, after.is_some()))
                }
                Then::Retry(_) | Then::Drop => None,
                Then::DropAndWait => {
                    self.pause();
                    None
                }
                Then::Shrink => {
                    let is_learned = self.sizes.too_large(part.request.len());
                    match batch::shrink(part, if is_learned { self.limit() } else { usize::MAX }) {
                        Some(parts) => return End::Cut(parts),
                        // So small that its size is not the reason: what comes next would be lost in the same way.
                        None if !is_learned => self.pause(),
                        None => {}
                    }
                    None
                }
            };
            let Some((wait, is_named)) = wait else {
                self.lose(part, error.reason, &error.text).await;
                return End::Settled;
            };
            self.stats.retried();
            let text = format!("{}; trying again in {:.1} s", error.text, wait.as_secs_f64());
            self.told.trouble(Kind::Trouble, &text);
            // At the end there is no time for a long wait that nobody asked for.
            let is_long = self.has_all_kept() || !is_named && wait > WAIT_AT_THE_END;
            let ends_early = is_long && !self.closing.is_cancelled();
            self.wait(wait, ends_early).await;
        }
    }

    /// Waits, but not longer than until the settings change and, where it may end early, the queue is closed.
    async fn wait(&self, wait: Duration, ends_early: bool) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.changed.notified() => {}
            () = self.closing.cancelled(), if ends_early => {}
        }
    }

    fn delivered(&self, part: &Waiting, delivered: &Delivered) {
        self.sizes.passed(part.request.len());
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // A backend cannot reject more than it was sent.
        let rejected = delivered.rejected.min(part.items);
        self.stats.sent(part.signal, part.items - rejected);
        if rejected > 0 {
            self.stats.rejected(rejected);
            let what = part.signal.items();
            let why = format!("the backend rejected {rejected} {what}: {}", delivered.message);
            self.told.lost(rejected, what, &why);
        } else if !delivered.message.is_empty() {
            self.told.trouble(Kind::Trouble, &format!("the backend warned: {}", delivered.message));
        }
    }

    /// Counts what no backend will have, says so, and writes it to the file that is kept for that.
    async fn lose(&self, part: &Waiting, reason: &'static str, why: &str) {
        self.stats.dropped(reason, part.items);
        let what = part.signal.items();
        if part.items == 0 {
            // Somebody sent it so, and there is nothing in it to lose.
            self.told.trouble(Kind::Trouble, &format!("{why}; a request without {what} is dropped"));
            return;
        }
        let kept = match &self.dead {
            Some(dead) => dead.write(part.signal, part.request.clone()).await,
            None => String::new(),
        };
        self.told.lost(part.items, what, &format!("{why}{kept}"));
    }

    /// Nothing is sent for a while, longer each time.
    fn pause(&self) {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::instant();
        match &mut *pause {
            // Requests that were on their way together are refused together.
            Some(known) if known.until > now => {}
            Some(known) => known.until = now + known.backoff.pause(),
            None => {
                let mut backoff = Backoff::new(self.backend().retry);
                *pause = Some(Pause { until: now + backoff.pause(), backoff });
            }
        }
    }

    async fn wait_for_pause(&self) {
        loop {
            let until = self.pause.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|pause| pause.until);
            let wait = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(clock::instant()));
            // At the end what is left gets its one try.
            if wait.is_zero() || self.closing.is_cancelled() {
                return;
            }
            self.wait(wait, true).await;
        }
    }
}

fn prepend(parts: &mut VecDeque<Waiting>, more: Vec<Waiting>) {
    for part in more.into_iter().rev() {
        parts.push_front(part);
    }
}
