//! What the journal holds undelivered goes the way that it went when it came: the same intake, the same engine, the time of
//! its arrival, and only the backends that lack it.
//!
//! All of it is handed over before anything new is taken, so that the engine sees one time and one order and comes to the
//! same verdicts; what goes out then goes oldest first, beside what comes in. It fits into the queues, where it was before.
//! Requests that everybody has are shown to the engine too where they came shortly before one that somebody lacks: an error
//! line is nothing without its access line.

use super::correlator::Message;
use super::intake::{Intake, Limited};
use super::origin::{Origin, pieces};
use super::{Pipeline, Route, own, send_all};
use crate::exporter::Outlet;
use crate::journal::{Entry, Journal, JournalError, Marks};
use crate::otlp::Signal;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Items of requests that some backend lacks.
    pub items: u64,
    /// Records of our own that some backend lacks.
    pub own: u64,
    /// Items of requests that no pipeline takes any more.
    pub lost: u64,
}

/// Routes of those who lack a request, by receiver, signal and who they are: one for all that are alike, so that what is
/// released goes out together.
type Routes = BTreeMap<(usize, Signal, Vec<bool>), Arc<Route>>;

impl Pipeline {
    /// Hands over what the journal holds. Call before the receivers start.
    ///
    /// # Errors
    /// When the journal cannot be read any more.
    pub async fn replay(&self, journal: &Arc<Journal>) -> Result<Replayed, JournalError> {
        let mut replay = journal.replay();
        let mut replayed = Replayed::default();
        let mut routes = Routes::new();
        // Nobody else is served yet: that the disk is waited for here keeps nobody waiting.
        while let Some(entry) = replay.read_next()? {
            self.replay_one(journal, entry, &mut routes, &mut replayed).await;
        }
        let _ = self.messages.send(Message::Live).await;
        journal.counts().add_replayed(replayed.items + replayed.own);
        Ok(replayed)
    }

    async fn replay_one(&self, journal: &Journal, entry: Entry, routes: &mut Routes, replayed: &mut Replayed) {
        let Entry { position, receiver, signal, items, arrived, request } = entry;
        if let Some(id) = receiver.strip_prefix(own::RECEIVER) {
            own::lock(&self.own_found).insert(id.to_owned());
            self.replay_own(journal, position, &request, items, replayed);
            return;
        }
        let Some((index, intake)) = self.intake_of(&receiver, signal) else {
            journal.open_pieces(position, &[]);
            replayed.lost += items;
            return;
        };
        let whole = intake.route(signal);
        let is_explained = !whole.explained.is_empty();
        let lacks = |outlet: &Arc<dyn Outlet>| outlet.account().is_some_and(|account| account.lacks(position));
        let mask: Vec<bool> = whole.outlets().map(lacks).collect();
        let is_lacking = mask.contains(&true);
        if !is_lacking && !is_explained {
            return;
        }
        let route = routes.entry((index, signal, mask)).or_insert_with_key(|(_, _, mask)| part(whole, mask));
        // What was due by then is done first, and what the engine then asks for is looked for in what comes.
        let (done, is_done) = oneshot::channel();
        if self.messages.send(Message::Replay(arrived, done)).await.is_err() || is_done.await.is_err() {
            return;
        }
        let Ok(prepared) = intake.prepare(is_explained, signal, &request, items, Limited::No) else { return };
        journal.open_pieces(position, &pieces(route, prepared.pieces));
        let origin = Origin { position: Some(position), arrived: Some(arrived), is_replayed: true };
        if let Some(message) = intake.hand_over(route, signal, &request, items, prepared, origin) {
            let _ = self.messages.send(message).await;
        }
        if is_lacking {
            replayed.items += items;
        }
    }

    /// Records of our own are sent as they are to those who lack them.
    fn replay_own(&self, journal: &Journal, position: u64, request: &Bytes, items: u64, replayed: &mut Replayed) {
        let lacks = |outlet: &Arc<dyn Outlet>| outlet.account().is_some_and(|account| account.lacks(position));
        let mask: Vec<bool> = self.own_route.outlets().map(lacks).collect();
        let route = part(&self.own_route, &mask);
        journal.open_pieces(position, &pieces(&route, 1));
        if mask.contains(&true) {
            send_all(&route.explained, Signal::Logs, request, items, &Marks::of(Some(position)));
            replayed.own += items;
        }
    }

    /// The intake of the receiver of this name; where it is gone or has this signal no more, of the first that has it.
    fn intake_of(&self, receiver: &str, signal: Signal) -> Option<(usize, Intake)> {
        let has = |index: &usize| !self.intake(*index).route(signal).is_empty();
        let named = self.receivers.iter().position(|name| **name == *receiver).filter(has);
        let index = named.or_else(|| (0..self.receivers.len()).find(has))?;
        Some((index, self.intake(index)))
    }
}

/// The outlets of which the mask says so.
fn part(whole: &Route, mask: &[bool]) -> Arc<Route> {
    let (explained, plain) = mask.split_at(whole.explained.len().min(mask.len()));
    let of = |outlets: &[Arc<dyn Outlet>], mask: &[bool]| {
        let lacking = outlets.iter().zip(mask).filter(|(_, lacks)| **lacks);
        lacking.map(|(outlet, _)| Arc::clone(outlet)).collect()
    };
    Arc::new(Route { plain: of(&whole.plain, plain), explained: of(&whole.explained, explained) })
}
