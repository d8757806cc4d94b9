//! Partitions that come from other instances and go to them.

use super::partitions::Name;
use super::{CLOSE_TIMEOUT, Source};
use crate::clock;
use crate::receiver::{GivenUp, Tracked};
use krafka::consumer::{ConsumerRebalanceListener, TopicPartition};
use std::sync::Arc;
use std::time::Duration;

/// What is held has so long to be decided when partitions go to somebody else, or `hold` where that is less.
const DECIDED_WITHIN: Duration = Duration::from_secs(9);
/// What is on its way to a backend then has so long to arrive.
const DELIVERED_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked whether that is so.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What the group tells us, in the course of a poll.
pub(super) struct Listener<T>(pub(super) Arc<Source<T>>);

impl<T: Tracked> ConsumerRebalanceListener for Listener<T> {
    async fn on_partitions_assigned(&self, partitions: &[TopicPartition]) {
        self.0.partitions().add(partitions.iter().map(name_of_partition));
        self.0.say("has", partitions);
    }

    async fn on_partitions_revoked(&self, partitions: &[TopicPartition]) {
        self.0.let_go(&partitions.iter().map(name_of_partition).collect::<Vec<_>>()).await;
        self.0.say("lets go of", partitions);
    }

    async fn on_partitions_lost(&self, partitions: &[TopicPartition]) {
        self.0.lose(&partitions.iter().map(name_of_partition).collect::<Vec<_>>()).await;
        self.0.say("has lost", partitions);
    }
}

impl<T> Source<T> {
    fn say(&self, what: &str, partitions: &[TopicPartition]) {
        if !partitions.is_empty() {
            let names = partitions.iter().map(|one| format!("{}-{}", one.topic, one.partition)).collect::<Vec<_>>();
            tracing::info!(receiver = %self.setup.name, "{what} {}", names.join(", "));
        }
    }
}

impl<T: Tracked> Source<T> {
    /// Time for what is held of partitions that go away: lines about processes wait for `hold`.
    fn decided_within(&self) -> Duration {
        self.setup.hold.saturating_add(Duration::from_secs(1)).min(DECIDED_WITHIN)
    }

    pub(super) fn close_timeout(&self) -> Duration {
        self.decided_within() + DELIVERED_WITHIN + CLOSE_TIMEOUT
    }

    /// Waits until all that was read of these is delivered; false where it is not by then.
    async fn delivered(&self, names: &[Name], within: Duration) -> bool {
        let began = clock::instant();
        loop {
            if self.open(names).is_empty() {
                return true;
            }
            if began.elapsed() >= within {
                return false;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    fn open(&self, names: &[Name]) -> Vec<u64> {
        self.partitions().open(names, |position| self.to.is_delivered(position))
    }

    /// These go to somebody else, who reads on where we commit. Requests without a verdict are theirs, as lines of them may
    /// still come; lines about processes and what is on its way are waited for.
    async fn let_go(&self, names: &[Name]) {
        if self.settings.is_incremental {
            self.give_up(names, GivenUp::Requests).await;
        }
        // With the classic protocol they may come back to us at once, and one engine must not see the same lines twice.
        if !self.delivered(names, self.decided_within()).await {
            self.give_up(names, GivenUp::All).await;
            self.delivered(names, DELIVERED_WITHIN).await;
        }
        if let Some(consumer) = self.consumer() {
            self.commit(&consumer).await;
        }
        self.partitions().remove(names);
    }

    async fn give_up(&self, names: &[Name], what: GivenUp) {
        let open = self.open(names);
        if !open.is_empty() {
            let held = self.to.give_up(open, what).await;
            self.partitions().give_up(&held);
            tracing::debug!(receiver = %self.setup.name, ?what, held = held.len(), "partitions go before all is delivered");
        }
    }

    /// These went to somebody else already, who has begun where we committed last.
    async fn lose(&self, names: &[Name]) {
        self.give_up(names, GivenUp::All).await;
        self.partitions().remove(names);
    }
}

fn name_of_partition(partition: &TopicPartition) -> Name {
    (partition.topic.clone(), partition.partition)
}
