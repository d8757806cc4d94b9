//! Where reading of a partition begins: where somebody committed, and, to understand what stands there, what came shortly before.

use super::partitions::{Commit, Name};
use super::take::Pending;
use super::{Source, name_of};
use crate::receiver::Tracked;
use krafka::admin::{AdminClient, ListConsumerGroupOffsetsOptions};
use krafka::consumer::{Consumer, TopicPartition};
use std::collections::{BTreeMap, VecDeque};

/// So many polls the first message of a partition is waited for, where there should be one.
const WAITS_MAX: u32 = 100;

/// What becomes of the first messages of new partitions.
pub(super) enum Look {
    /// They are taken.
    On,
    /// They wait until all of them are there.
    Wait,
    /// These come again: reading has gone back.
    Back(Vec<Name>),
}

impl<T: Tracked> Source<T> {
    /// Finds out where reading begins, once for each partition. Where nobody has committed anything this is committed: whoever
    /// has it after us begins no later.
    pub(super) async fn begin(&self, consumer: &Consumer, admin: &AdminClient, waiting: &VecDeque<Pending>) {
        let new = self.partitions().not_begun();
        if new.is_empty() {
            return;
        }
        let names = new.iter().map(|(topic, partition)| TopicPartition::new(topic.clone(), *partition)).collect();
        let options = ListConsumerGroupOffsetsOptions::default().partitions(names);
        let known = match admin.list_consumer_group_offsets(&self.settings.group, options).await {
            Ok(known) => known,
            Err(error) => {
                tracing::debug!(%error, "what is committed is asked for again");
                return;
            }
        };
        let mut first_of_all = Vec::new();
        for name in new {
            let committed =
                known.get(&TopicPartition::new(name.0.clone(), name.1)).and_then(|found| found.as_ref().ok());
            if let Some((offset, text)) = committed.and_then(|found| Some((found.offset?, found.metadata.clone()))) {
                self.partitions().begin(&name, Commit { offset, text: text.unwrap_or_default() });
                continue;
            }
            // What was handed out already is past.
            let first = waiting.iter().filter(|record| name_of(record) == name).map(|record| record.offset).min();
            let position = match first {
                Some(first) => Some(first),
                None => consumer.position(&name.0, name.1).await,
            };
            first_of_all.extend(position.map(|offset| (name, Commit { offset, text: String::new() })));
        }
        if !first_of_all.is_empty() && self.commit_these(consumer, &first_of_all).await {
            first_of_all.into_iter().for_each(|(name, commit)| self.partitions().begin(&name, commit));
        }
    }

    /// Before the first message of partitions that are new here, what stands shortly before is shown again: an error line is
    /// nothing without its access line, nor a line without its span. So all partitions of a number begin at one time, the
    /// earliest at which one of them has something to read.
    pub(super) async fn look_back(
        &self,
        consumer: &Consumer,
        number: i32,
        groups: &BTreeMap<Name, Vec<Pending>>,
    ) -> Look {
        let new = self.partitions().not_looked_at(number);
        if new.is_empty() {
            return Look::On;
        }
        for name in &new {
            if groups.contains_key(name) {
                continue;
            }
            // It may have something earlier to read than the others.
            let (Some(position), Ok((_, end))) =
                (consumer.position(&name.0, number).await, consumer.fetch_watermarks(&name.0, number).await)
            else {
                continue;
            };
            if position < end && self.partitions().waited_for(name) <= WAITS_MAX {
                return Look::Wait;
            }
        }
        self.partitions().looked_at(&new);
        let of_number = self.partitions().of_number(number);
        let firsts = of_number.iter().filter_map(|name| groups.get(name)?.first());
        let Some(first) = firsts.map(|record| record.timestamp).min() else { return Look::On };
        let from = first.saturating_sub(i64::try_from(self.setup.context.as_millis()).unwrap_or(i64::MAX));
        let mut back = Vec::new();
        for name in new {
            let (topic, partition) = (name.0.as_str(), name.1);
            let begin = match groups.get(&name).and_then(|records| records.first()) {
                Some(record) => Some(record.offset),
                None => consumer.position(topic, partition).await,
            };
            let mut found = consumer.offsets_for_times(&[(topic, partition)], from).await;
            let (Some(begin), Some(Ok(earlier))) = (begin, found.remove(&name)) else { continue };
            // Without anything so new it is said to be -1.
            if !(0..begin).contains(&earlier) {
                continue;
            }
            match consumer.seek(topic, partition, earlier).await {
                Ok(()) => {
                    self.partitions().show_before(&name, begin);
                    back.push(name);
                }
                Err(error) => tracing::debug!(%error, "what stands before the first message is not looked at"),
            }
        }
        if back.is_empty() { Look::On } else { Look::Back(back) }
    }
}
