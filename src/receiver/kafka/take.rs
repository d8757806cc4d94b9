//! Messages on their way into the pipelines: those of a partition in their order, partitions beside each other.

use super::begin::Look;
use super::partitions::Name;
use super::{Source, name_of};
use crate::config::kafka::Encoding;
use crate::memory::Memory;
use crate::otlp::json;
use crate::receiver::{Refusal, Tracked};
use bytes::Bytes;
use krafka::ConsumerRecord;
use krafka::consumer::Consumer;
use krafka::error::KrafkaError;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use tokio::task::JoinSet;

/// A message that is not taken yet, whose bytes count as long as it is here.
pub(super) struct Pending {
    record: ConsumerRecord,
    bytes: usize,
    memory: Memory,
}

impl Pending {
    pub(super) fn new(record: ConsumerRecord, memory: &Memory) -> Pending {
        let bytes = record.value.as_ref().map_or(0, Bytes::len) + record.key.as_ref().map_or(0, Bytes::len);
        memory.add(bytes);
        Pending { record, bytes, memory: memory.clone() }
    }
}

impl Deref for Pending {
    type Target = ConsumerRecord;

    fn deref(&self) -> &ConsumerRecord {
        &self.record
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

impl<T: Tracked> Source<T> {
    /// Takes messages, those of a partition in their order; returns those that wait, and whether it is room that they wait for.
    pub(super) async fn take_all(
        self: &Arc<Self>,
        consumer: &Consumer,
        waiting: VecDeque<Pending>,
    ) -> Result<(VecDeque<Pending>, bool), KrafkaError> {
        let mut groups: BTreeMap<Name, Vec<Pending>> = BTreeMap::new();
        for record in waiting {
            groups.entry(name_of(&record)).or_default().push(record);
        }
        let mut left = VecDeque::new();
        let numbers: BTreeSet<i32> = groups.keys().map(|(_, number)| *number).collect();
        for number in numbers {
            match self.look_back(consumer, number, &groups).await {
                Look::On => {}
                Look::Wait => {
                    for name in self.partitions().of_number(number) {
                        left.extend(groups.remove(&name).into_iter().flatten());
                    }
                }
                // They come again, behind what stands before them.
                Look::Back(names) => names.iter().for_each(|name| drop(groups.remove(name))),
            }
        }
        let mut is_full = false;
        let mut tasks = JoinSet::new();
        let is_single = groups.len() == 1;
        for (name, records) in groups {
            if is_single {
                let more = self.take_some(&name, records).await;
                is_full |= !more.is_empty();
                left.extend(more);
            } else {
                let source = Arc::clone(self);
                tasks.spawn(async move { source.take_some(&name, records).await });
            }
        }
        while let Some(result) = tasks.join_next().await {
            match result {
                Ok(more) => {
                    is_full |= !more.is_empty();
                    left.extend(more);
                }
                // What it had is read again, as it was never noted.
                Err(error) => return Err(KrafkaError::illegal_state(format!("a task ended early: {error}"))),
            }
        }
        Ok((left, is_full))
    }

    async fn take_some(&self, name: &Name, records: Vec<Pending>) -> Vec<Pending> {
        let mut records = records.into_iter();
        while let Some(record) = records.next() {
            if let Err(refusal) = self.take(name, &record).await {
                if refusal.retry_after().is_some() {
                    return std::iter::once(record).chain(records).collect();
                }
                self.skip(name, &record, &refusal);
            }
        }
        Vec::new()
    }

    async fn take(&self, name: &Name, record: &ConsumerRecord) -> Result<(), Refusal> {
        let is_shown_only = {
            let partitions = self.partitions();
            if !partitions.has(name) {
                return Ok(());
            }
            partitions.is_shown_only(name, record.offset)
        };
        let Some((signal, encoding)) = self.topics.get(&name.0).copied() else { return Ok(()) };
        let Some(value) = record.value.clone().filter(|value| !value.is_empty()) else {
            self.partitions().read(name, record.offset, None);
            return Ok(());
        };
        let request = match encoding {
            Encoding::Proto => value,
            Encoding::Json => {
                let request = json::to_protobuf(signal, &value);
                Bytes::from(request.map_err(|error| Refusal::Malformed(error.to_string()))?)
            }
        };
        if is_shown_only {
            match self.to.show(signal, request).await {
                // What is wrong with it was said when it was delivered.
                Ok(()) | Err(Refusal::Malformed(_)) => {}
                Err(other) => return Err(other),
            }
            self.partitions().read(name, record.offset, None);
            return Ok(());
        }
        let position = self.to.take_tracked(signal, request).await?;
        self.partitions().read(name, record.offset, position);
        Ok(())
    }

    /// Goes on past a message that will never be taken.
    fn skip(&self, name: &Name, record: &ConsumerRecord, refusal: &Refusal) {
        self.to.refused(refusal);
        let reason = reason_of(refusal);
        let kept = self.letters.as_ref().map_or_else(String::new, |letters| letters.write(record, &reason));
        if let Some(more) = self.poisoned.now() {
            let (topic, partition) = name;
            tracing::warn!(
                receiver = %self.setup.name,
                "the message at offset {} of `{topic}`, partition {partition}, is skipped: {}{kept}{more}",
                record.offset,
                reason
            );
        }
        self.partitions().read(name, record.offset, None);
    }
}

fn reason_of(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Malformed(why) => format!("it is no OTLP of this signal and encoding ({why})"),
        other => other.to_string(),
    }
}
