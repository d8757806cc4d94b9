//! Requests out of topics: they are kept there until all backends have them, so that nothing is written here. What is held of
//! a partition that somebody else reads from now on goes nowhere.

use super::Route;
use super::correlator::Message;
use super::intake::Intake;
use super::origin::{Origin, pieces_of_topics};
use crate::otlp::{self, Signal};
use crate::receiver::{GivenUp, Refusal, Tracked};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Tracked for Intake {
    async fn take_tracked(&self, signal: Signal, request: Bytes) -> Result<Option<u64>, Refusal> {
        let route = self.route(signal);
        let Some((items, _room)) = self.room_for(route, signal, &request)? else { return Ok(None) };
        let prepared = self.prepare_in_turn(!route.explained.is_empty(), signal, &request, items).await?;
        let position = self.shared.topics.begin(&pieces_of_topics(route, prepared.pieces));
        let origin = Origin { position: Some(position), arrived: None, is_replayed: false };
        self.hand_over(route, signal, &request, items, prepared, origin);
        self.shared.counters.accepted(signal, items);
        Ok(Some(position))
    }

    async fn show(&self, signal: Signal, request: Bytes) -> Result<(), Refusal> {
        if self.route(signal).explained.is_empty() {
            return Ok(());
        }
        let counts = otlp::check(signal, &request).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let prepared = self.prepare_in_turn(true, signal, &request, counts.items).await?;
        self.hand_over(&Arc::new(Route::default()), signal, &request, counts.items, prepared, Origin::ELSEWHERE);
        Ok(())
    }

    fn is_delivered(&self, position: u64) -> bool {
        self.shared.topics.is_done(position)
    }

    async fn give_up(&self, positions: Vec<u64>, what: GivenUp) -> Vec<u64> {
        let (done, is_done) = oneshot::channel();
        let told = self.messages.send(Message::GiveUp(positions, what, done)).await;
        // Where the engine has ended, it holds nothing.
        let held = if told.is_ok() { is_done.await.unwrap_or_default() } else { Vec::new() };
        self.shared.topics.forget(held.iter().copied());
        held
    }
}
