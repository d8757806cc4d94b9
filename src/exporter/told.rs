//! What is said of one backend in the log, at a limited rate: a backend that is down would fill it. A loss is said as it
//! begins, with its total while it goes on, and again when it has ended.

use crate::clock;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A loss that goes on is told of so often.
const LOSS_PAUSE: Duration = Duration::from_secs(10);
/// A loss that nothing was added to for so long has ended.
pub(super) const LOSS_ENDED: Duration = Duration::from_secs(5);
/// Everything else is told of so often.
const PAUSE: Duration = Duration::from_secs(60);

/// What is told that is no loss, each with a limit of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A try that failed, a backend's warning.
    Trouble,
    /// Senders are asked to come back.
    Full,
}

/// What was told when.
#[derive(Debug)]
pub(super) struct Told {
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last of its kind was told, and how many were not told since.
    kinds: [Option<(Instant, u64)>; 2],
    loss: Option<Loss>,
}

/// A loss that goes on.
#[derive(Clone, Copy, Debug)]
struct Loss {
    began: Instant,
    last: Instant,
    told: Instant,
    items: u64,
}

impl Told {
    /// Of the exporter of this name.
    pub(super) fn new(name: &str) -> Told {
        Told { name: name.to_owned(), state: Mutex::default() }
    }

    /// Says something that is no loss.
    pub(super) fn trouble(&self, kind: Kind, text: &str) {
        let now = clock::instant();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let [trouble, full] = &mut state.kinds;
        let last = if matches!(kind, Kind::Trouble) { trouble } else { full };
        match last {
            Some((at, untold)) if now.saturating_duration_since(*at) < PAUSE => *untold += 1,
            other => {
                let untold = other.map_or(0, |(_, untold)| untold);
                *other = Some((now, 0));
                match untold {
                    0 => tracing::warn!(exporter = %self.name, "{text}"),
                    _ => tracing::warn!(exporter = %self.name, "{text} (and {untold} times more in the last minute)"),
                }
            }
        }
    }

    /// So many items, such as `log records`, are lost, for a reason in words.
    pub(super) fn lost(&self, items: u64, what: &str, why: &str) {
        let now = clock::instant();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.loss {
            None => {
                state.loss = Some(Loss { began: now, last: now, told: now, items });
                tracing::warn!(exporter = %self.name, "{why}; {items} {what} are lost");
            }
            Some(loss) => {
                loss.items += items;
                loss.last = now;
                if now.saturating_duration_since(loss.told) >= LOSS_PAUSE {
                    loss.told = now;
                    let (all, since) = (loss.items, now.saturating_duration_since(loss.began).as_secs());
                    tracing::warn!(exporter = %self.name, "{why}; {items} {what} are lost, {all} items in {since} s");
                }
            }
        }
    }

    /// Says the total of a loss that has ended, or of any at the end of the program.
    pub(super) fn look(&self, at_the_end: bool) {
        let now = clock::instant();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |loss: &Loss| at_the_end || now.saturating_duration_since(loss.last) >= LOSS_ENDED;
        if let Some(loss) = state.loss.take_if(|loss| over(loss)) {
            let (items, seconds) = (loss.items, loss.last.saturating_duration_since(loss.began).as_secs_f64());
            tracing::warn!(exporter = %self.name, "nothing is lost any more; {items} items were, in {seconds:.0} s");
        }
    }
}
