//! OTLP out of topics of Kafka. The topic is the journal: an offset is committed when all before it is delivered.
//!
//! ```text
//!  brokers ─► poll ─► one task a partition ─► Tracked::take_tracked ─► holds, queues, backends
//!                │          no room: paused, tried again                        │
//!                └─ commit, now and then ◄── partitions ◄── delivered? ◄────────┘
//! ```
//!
//! When partitions go to another instance, reading ends, what is held has some time to be decided and delivered, and what is
//! then still held goes nowhere: the other instance reads it again, with what came shortly before it shown, so that it comes
//! to the same verdicts. What is not delivered is never committed; what is delivered and not committed comes twice.

mod letters;
mod partitions;

use super::{GivenUp, Refusal, Tracked};
use crate::clock;
use crate::config::kafka::{Encoding, KafkaReceiver};
use crate::kafka::{connect, sentence};
use crate::memory::Memory;
use crate::otlp::{Signal, json};
use bytes::Bytes;
use krafka::admin::{AdminClient, ListConsumerGroupOffsetsOptions};
use krafka::consumer::{
    AutoOffsetReset, Consumer, ConsumerRebalanceListener, GroupProtocol, OffsetAndMetadata,
    PartitionAssignmentStrategy, TopicPartition,
};
use krafka::error::KrafkaError;
use krafka::{CloseOptions, ConsumerRecord};
use letters::{Letters, Rarely};
use partitions::{Commit, Name, Partitions};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A request to a broker takes no longer; a fetch waits for data within it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a poll waits for messages, so that commits and the end are looked at.
const POLL_MAX: Duration = Duration::from_millis(250);
/// The same while some are there that cannot be taken yet.
const SHORT_POLL: Duration = Duration::from_millis(20);
/// So many polls the first message of a partition is waited for, where there should be one.
const WAITS_MAX: u32 = 100;
/// A message for which there is no room is tried again after so long.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Between two tries to reach a cluster, at first and at most.
const CONNECT_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Messages that a poll hands out: a fetch brings fewer, unless they are small.
const POLL_RECORDS_MAX: i32 = 256;
/// Messages that are decoded ahead of that.
const BUFFERED_MAX: i32 = 256;
/// What is held has so long to be decided when partitions go to somebody else, or `hold` where that is less.
const DECIDED_WITHIN: Duration = Duration::from_secs(9);
/// What is on its way to a backend then has so long to arrive.
const DELIVERED_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked whether that is so.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// A member that does not poll for so long is put out by the group. Above all waits of a rebalance.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(120);
/// After an error that passes by itself.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// How often brokers are asked whether they are there, and how long they have for the answer.
const WATCH_PAUSE: Duration = Duration::from_secs(5);
const WATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Leaving the group takes no longer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// What a compressed batch may be decompressed to, of the largest request.
const DECOMPRESSED_MIN: usize = 16 << 20;

/// Why nothing is read, for probes.
#[derive(Debug, Default)]
pub struct State(Mutex<Option<String>>);

impl State {
    /// The reason, in a sentence.
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, trouble: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// What a receiver needs of the rest of the program.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `kafka/name`.
    pub name: String,
    /// Signals that a pipeline takes.
    pub signals: Vec<Signal>,
    /// How long a record waits for its verdict.
    pub hold: Duration,
    /// What stands so long before the first message of a partition is shown again.
    pub context: Duration,
    /// The largest request.
    pub request_bytes_max: usize,
    /// Where messages that are not taken yet are counted.
    pub memory: Memory,
}

/// Reads until it is told to stop; then nothing of what is read is lost, and nothing that is not delivered is committed.
pub async fn run<T: Tracked>(settings: KafkaReceiver, setup: Setup, to: T, state: Arc<State>, stop: CancellationToken) {
    let source = Arc::new(Source::new(settings, setup, to, state));
    let (mut pause, longest) = CONNECT_PAUSE;
    while !stop.is_cancelled() {
        let began = clock::instant();
        match source.read(&stop).await {
            Ok(()) => return,
            Err(error) => source.tell(&error, pause),
        }
        // What went well for a while is not that which failed before.
        if began.elapsed() > longest {
            pause = CONNECT_PAUSE.0;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
        pause = (pause * 2).min(longest);
    }
}

/// One receiver.
struct Source<T> {
    settings: KafkaReceiver,
    setup: Setup,
    to: T,
    state: Arc<State>,
    /// Signal and encoding of a topic.
    topics: BTreeMap<String, (Signal, Encoding)>,
    partitions: Mutex<Partitions>,
    /// The consumer of the moment, which callbacks of it need.
    consumer: Mutex<Weak<Consumer>>,
    letters: Option<Letters>,
    poisoned: Rarely,
    troubled: Rarely,
}

impl<T: Tracked> Source<T> {
    fn new(settings: KafkaReceiver, setup: Setup, to: T, state: Arc<State>) -> Source<T> {
        let mut topics = BTreeMap::new();
        for signal in &setup.signals {
            let (names, encoding) = settings.topics_of(*signal);
            topics.extend(names.iter().map(|name| (name.clone(), (*signal, *encoding))));
        }
        let letters = settings.dead_letter.as_ref();
        let letters = letters.map(|(file, bytes_max)| Letters::new(file.path.clone(), *bytes_max));
        let about = format!("receivers::{} has not reached its brokers yet", setup.name);
        state.set(Some(about));
        Source {
            settings,
            setup,
            to,
            state,
            topics,
            partitions: Mutex::default(),
            consumer: Mutex::default(),
            letters,
            poisoned: Rarely::default(),
            troubled: Rarely::default(),
        }
    }

    fn partitions(&self) -> MutexGuard<'_, Partitions> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consumer(&self) -> Option<Arc<Consumer>> {
        self.consumer.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Says why nothing is read.
    fn tell(&self, error: &KrafkaError, pause: Duration) {
        let topics: Vec<String> = self.topics.keys().map(|topic| format!("`{topic}`")).collect();
        let plural = if topics.len() == 1 { "topic" } else { "one of the topics" };
        let about = match error {
            KrafkaError::Broker { code: krafka::error::ErrorCode::UnsupportedVersion, .. } => {
                format!("group `{}`", self.settings.group)
            }
            _ => format!("{plural} {}", topics.join(", ")),
        };
        let text = sentence(&self.settings.client, &about, error);
        let name = &self.setup.name;
        self.state.set(Some(format!("receivers::{name}: {text}")));
        if let Some(more) = self.troubled.now() {
            tracing::warn!(receiver = %name, "{text}; trying again in {:.0} s{more}", pause.as_secs_f64());
        }
    }

    /// Joins the group and reads until it is told to stop, or something fails that a new connection may mend.
    async fn read(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), KrafkaError> {
        let (consumer, admin) = tokio::select! {
            joined = self.join() => joined?,
            () = stop.cancelled() => return Ok(()),
        };
        tracing::info!(
            receiver = %self.setup.name,
            "reads {} as a member of group `{}`",
            self.topics.keys().cloned().collect::<Vec<_>>().join(", "),
            self.settings.group
        );
        self.state.set(None);
        let result = tokio::select! {
            result = self.read_on(&consumer, &admin, stop) => result,
            () = self.watch(&consumer) => Ok(()),
        };
        // What is ours is let go of in the same way, whether we end or begin anew.
        if let Err(error) = consumer.close_with(CloseOptions::new().timeout(self.close_timeout())).await {
            tracing::warn!(receiver = %self.setup.name, "leaving the group: {error}");
        }
        result
    }

    async fn join(self: &Arc<Self>) -> Result<(Arc<Consumer>, AdminClient), KrafkaError> {
        let settings = &self.settings;
        let kafka = connect(&settings.client, REQUEST_TIMEOUT, false).await?;
        let bytes = |bytes: usize| i32::try_from(bytes.min(self.setup.request_bytes_max)).unwrap_or(i32::MAX);
        let mut builder = kafka
            .consumer(settings.group.clone())
            .enable_auto_commit(false)
            .auto_offset_reset(if settings.from_earliest { AutoOffsetReset::Earliest } else { AutoOffsetReset::Latest })
            .fetch_min_bytes(bytes(settings.fetch_min))
            .fetch_max_bytes(bytes(settings.fetch_max))
            .max_partition_fetch_bytes(bytes(settings.partition_fetch_max))
            .fetch_max_wait(settings.fetch_wait)
            .max_poll_records(POLL_RECORDS_MAX)
            .max_buffered_records(BUFFERED_MAX)
            .max_poll_interval(POLL_INTERVAL_MAX)
            .max_decompressed_size(self.setup.request_bytes_max.max(DECOMPRESSED_MIN))
            .metrics_push(false)
            .rebalance_listener(Listener(Arc::clone(self)));
        builder = if settings.is_incremental {
            builder.group_protocol(GroupProtocol::Consumer).group_remote_assignor("range")
        } else {
            builder
                .group_protocol(GroupProtocol::Classic)
                .partition_assignment_strategy(PartitionAssignmentStrategy::Range)
                .session_timeout(settings.session_timeout)
                .heartbeat_interval(settings.heartbeat_interval)
        };
        if let Some(instance) = &settings.instance {
            builder = builder.group_instance_id(instance.clone());
        }
        if let Some(rack) = &settings.client.rack {
            builder = builder.client_rack(rack.clone());
        }
        let consumer = Arc::new(builder.build().await?);
        *self.consumer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&consumer);
        for topic in self.topics.keys() {
            // A group can be a member of a topic that is not there, and would wait for it without a word.
            let found = consumer.fetch_metadata(Some(topic)).await?;
            if !found.topics.iter().any(|known| known.name == *topic && !known.partitions.is_empty()) {
                return Err(KrafkaError::UnknownTopic { topic: topic.clone() });
            }
        }
        consumer.subscribe(self.topics.keys()).await?;
        Ok((consumer, kafka.admin()))
    }

    async fn read_on(
        self: &Arc<Self>,
        consumer: &Arc<Consumer>,
        admin: &AdminClient,
        stop: &CancellationToken,
    ) -> Result<(), KrafkaError> {
        let mut waiting: VecDeque<ConsumerRecord> = VecDeque::new();
        let mut is_paused = false;
        let mut committed = clock::instant();
        while !stop.is_cancelled() {
            let wait = if waiting.is_empty() { POLL_MAX.min(self.settings.commit_interval) } else { SHORT_POLL };
            let records = match consumer.poll(wait).await {
                Ok(records) => records,
                Err(error) if error.is_retriable() => {
                    self.tell(&error, TROUBLE_PAUSE);
                    tokio::time::sleep(TROUBLE_PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !records.is_empty() {
                self.state.set(None);
            }
            waiting = self.still_ours(waiting);
            self.setup.memory.add(records.iter().map(bytes_of).sum());
            waiting.extend(records);
            self.begin(consumer, admin, &waiting).await;
            let is_stuck;
            (waiting, is_stuck) = self.take_all(consumer, waiting).await;
            if committed.elapsed() >= self.settings.commit_interval {
                self.commit(consumer).await;
                committed = clock::instant();
            }
            if is_stuck || is_paused {
                self.pause(consumer, is_stuck).await;
            }
            is_paused = is_stuck;
            if is_stuck {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
        let waiting = self.still_ours(waiting);
        self.setup.memory.give_back(waiting.iter().map(bytes_of).sum());
        Ok(())
    }

    /// Asks now and then whether brokers are there, for ever: a poll waits for those that are not without a word.
    async fn watch(&self, consumer: &Consumer) {
        let topic = self.topics.keys().next().map(String::as_str);
        loop {
            tokio::time::sleep(WATCH_PAUSE).await;
            let asked = tokio::time::timeout(WATCH_TIMEOUT, consumer.fetch_metadata(topic)).await;
            match asked.unwrap_or_else(|_| Err(KrafkaError::Timeout { operation: "metadata".to_owned() })) {
                Ok(_) => self.state.set(None),
                Err(error) => self.tell(&error, WATCH_PAUSE),
            }
        }
    }

    /// Without those of partitions that went away, or went away and came back: they are read again.
    fn still_ours(&self, mut waiting: VecDeque<ConsumerRecord>) -> VecDeque<ConsumerRecord> {
        if !waiting.is_empty() {
            let partitions = self.partitions();
            waiting.retain(|record| {
                let is_ours = partitions.is_begun(&name_of(record));
                if !is_ours {
                    self.setup.memory.give_back(bytes_of(record));
                }
                is_ours
            });
        }
        waiting
    }

    /// While there is no room nothing more is fetched, and the group is told that we live.
    async fn pause(&self, consumer: &Consumer, is_paused: bool) {
        let mut by_topic: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in self.partitions().names() {
            by_topic.entry(topic).or_default().push(partition);
        }
        for (topic, partitions) in by_topic {
            if is_paused {
                consumer.pause(&topic, &partitions).await;
            } else {
                consumer.resume(&topic, &partitions).await;
            }
        }
    }

    /// Finds out where reading begins, once for each partition. Where nobody has committed anything this is committed: whoever
    /// has it after us begins no later.
    async fn begin(&self, consumer: &Consumer, admin: &AdminClient, waiting: &VecDeque<ConsumerRecord>) {
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

    /// Commits what is delivered.
    async fn commit(&self, consumer: &Consumer) {
        let due = self.partitions().due(|position| self.to.is_delivered(position));
        if !due.is_empty() && self.commit_these(consumer, &due).await {
            self.partitions().committed(due);
        }
    }

    /// Where it fails it is tried again with the next one.
    async fn commit_these(&self, consumer: &Consumer, commits: &[(Name, Commit)]) -> bool {
        let offsets = commits.iter().map(|((topic, partition), commit)| {
            let what = OffsetAndMetadata::with_metadata(commit.offset, commit.text.clone());
            (TopicPartition::new(topic.clone(), *partition), what)
        });
        let result = consumer.commit_offsets(offsets.collect::<Vec<_>>()).await;
        if let Err(error) = &result {
            tracing::warn!(receiver = %self.setup.name, "offsets are not committed yet: {error}");
        }
        result.is_ok()
    }

    /// Takes messages, those of a partition in their order; returns those that wait, and whether it is room that they wait for.
    async fn take_all(
        self: &Arc<Self>,
        consumer: &Consumer,
        waiting: VecDeque<ConsumerRecord>,
    ) -> (VecDeque<ConsumerRecord>, bool) {
        let mut groups: BTreeMap<Name, Vec<ConsumerRecord>> = BTreeMap::new();
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
                Look::Back(names) => {
                    let again = names.iter().filter_map(|name| groups.remove(name)).flatten();
                    self.setup.memory.give_back(again.map(|record| bytes_of(&record)).sum());
                }
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
                Err(error) => tracing::error!(%error, "a task that reads a partition ended early"),
            }
        }
        (left, is_full)
    }

    /// Before the first message of partitions that are new here, what stands shortly before is shown again: an error line is
    /// nothing without its access line, nor a line without its span. So all partitions of a number begin at one time, the
    /// earliest at which one of them has something to read.
    async fn look_back(&self, consumer: &Consumer, number: i32, groups: &BTreeMap<Name, Vec<ConsumerRecord>>) -> Look {
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

    async fn take_some(&self, name: &Name, records: Vec<ConsumerRecord>) -> Vec<ConsumerRecord> {
        let mut records = records.into_iter();
        while let Some(record) = records.next() {
            if let Err(refusal) = self.take(name, &record).await {
                if refusal.retry_after().is_some() {
                    return std::iter::once(record).chain(records).collect();
                }
                self.skip(name, &record, &refusal);
            }
            self.setup.memory.give_back(bytes_of(&record));
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

    /// Time for what is held of partitions that go away: lines about processes wait for `hold`.
    fn decided_within(&self) -> Duration {
        self.setup.hold.saturating_add(Duration::from_secs(1)).min(DECIDED_WITHIN)
    }

    fn close_timeout(&self) -> Duration {
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

/// What becomes of the first messages of new partitions.
enum Look {
    /// They are taken.
    On,
    /// They wait until all of them are there.
    Wait,
    /// These come again: reading has gone back.
    Back(Vec<Name>),
}

/// What the group tells us, in the course of a poll.
struct Listener<T>(Arc<Source<T>>);

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

fn name_of_partition(partition: &TopicPartition) -> Name {
    (partition.topic.clone(), partition.partition)
}

fn name_of(record: &ConsumerRecord) -> Name {
    (record.topic.to_string(), record.partition)
}

fn bytes_of(record: &ConsumerRecord) -> usize {
    record.value.as_ref().map_or(0, Bytes::len) + record.key.as_ref().map_or(0, Bytes::len)
}

fn reason_of(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Malformed(why) => format!("it is no OTLP of this signal and encoding ({why})"),
        other => other.to_string(),
    }
}
