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

mod begin;
mod letters;
mod moves;
mod partitions;
mod take;

use super::Tracked;
use crate::clock;
use crate::config::kafka::{Encoding, KafkaReceiver};
use crate::kafka::{connect, sentence};
use crate::memory::Memory;
use crate::otlp::Signal;
use krafka::admin::AdminClient;
use krafka::consumer::{
    AutoOffsetReset, Consumer, GroupProtocol, OffsetAndMetadata, PartitionAssignmentStrategy, TopicPartition,
};
use krafka::error::KrafkaError;
use krafka::{CloseOptions, ConsumerRecord};
use letters::{Letters, Rarely};
use moves::Listener;
use partitions::{Commit, Name, Partitions};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use take::Pending;
use tokio_util::sync::CancellationToken;

/// A request to a broker takes no longer; a fetch waits for data within it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a poll waits for messages, so that commits and the end are looked at.
const POLL_MAX: Duration = Duration::from_millis(250);
/// The same while some are there that cannot be taken yet.
const SHORT_POLL: Duration = Duration::from_millis(20);
/// A message for which there is no room is tried again after so long.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Between two tries to reach a cluster, at first and at most.
const CONNECT_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Messages that a poll hands out: a fetch brings fewer, unless they are small.
const POLL_RECORDS_MAX: i32 = 256;
/// Messages that are decoded ahead of that.
const BUFFERED_MAX: i32 = 256;
/// A member that does not poll for so long is put out by the group. Above all waits of a rebalance.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(120);
/// After an error that passes by itself.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// How often brokers are asked whether they are there, and how long they have for the answer.
const WATCH_PAUSE: Duration = Duration::from_secs(5);
const WATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Partitions whose lag is told, at most.
const LAGS_MAX: usize = 1_024;
/// Leaving the group takes no longer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// What a compressed batch may be decompressed to, of the largest request.
const DECOMPRESSED_MIN: usize = 16 << 20;

/// How a receiver fares, for probes and metrics.
#[derive(Debug, Default)]
pub struct State {
    receiver: String,
    trouble: Mutex<Option<String>>,
    lags: Mutex<BTreeMap<Name, u64>>,
}

impl State {
    /// Of the receiver with this name.
    pub fn of(receiver: String) -> State {
        State { receiver, ..State::default() }
    }

    /// `kafka/name`.
    pub fn receiver(&self) -> &str {
        &self.receiver
    }

    /// Why nothing is read, in a sentence.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Topic and number of each partition that is read here, with how many of its messages are not committed.
    pub fn lags(&self) -> BTreeMap<(String, i32), u64> {
        self.lags.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn set_lags(&self, lags: BTreeMap<Name, u64>) {
        *self.lags.lock().unwrap_or_else(PoisonError::into_inner) = lags;
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
        self.state.set_lags(BTreeMap::new());
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
            .lag_staleness_threshold(WATCH_PAUSE)
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
        let mut waiting: VecDeque<Pending> = VecDeque::new();
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
            waiting.extend(records.into_iter().map(|record| Pending::new(record, &self.setup.memory)));
            self.begin(consumer, admin, &waiting).await;
            let is_stuck;
            (waiting, is_stuck) = self.take_all(consumer, waiting).await?;
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
        Ok(())
    }

    /// Asks now and then whether brokers are there, for ever: a poll waits for those that are not without a word.
    async fn watch(&self, consumer: &Consumer) {
        let topic = self.topics.keys().next().map(String::as_str);
        loop {
            tokio::time::sleep(WATCH_PAUSE).await;
            let asked = tokio::time::timeout(WATCH_TIMEOUT, consumer.fetch_metadata(topic)).await;
            match asked.unwrap_or_else(|_| Err(KrafkaError::Timeout { operation: "metadata".to_owned() })) {
                Ok(_) => {
                    self.state.set(None);
                    self.look_at_lag(consumer).await;
                }
                Err(error) => self.tell(&error, WATCH_PAUSE),
            }
        }
    }

    /// How many messages of each partition are not committed, as the group's own tools count them. Fetches tell where a
    /// partition ends; of one that is paused it is asked.
    async fn look_at_lag(&self, consumer: &Consumer) {
        let known = consumer.lag().await.into_iter();
        let known: BTreeMap<Name, _> =
            known.map(|(partition, lag)| ((partition.topic, partition.partition), lag)).collect();
        let mut lags = BTreeMap::new();
        // A broker that does not answer is asked once: whether brokers are there is asked again soon.
        let mut answers = true;
        for (name, known) in known.into_iter().take(LAGS_MAX) {
            let Some(committed) = self.partitions().committed_of(&name) else { continue };
            let mut end = known.high_watermark.filter(|_| !known.stale);
            if end.is_none() && answers {
                let asked = tokio::time::timeout(WATCH_TIMEOUT, consumer.fetch_watermarks(&name.0, name.1)).await;
                end = asked.ok().and_then(Result::ok).map(|(_, end)| end);
                answers = end.is_some();
            }
            lags.extend(end.map(|end| (name, u64::try_from(end.saturating_sub(committed)).unwrap_or(0))));
        }
        self.state.set_lags(lags);
    }

    /// Without those of partitions that went away, or went away and came back: they are read again.
    fn still_ours(&self, mut waiting: VecDeque<Pending>) -> VecDeque<Pending> {
        if !waiting.is_empty() {
            let partitions = self.partitions();
            waiting.retain(|record| partitions.is_begun(&name_of(record)));
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
}

fn name_of(record: &ConsumerRecord) -> Name {
    (record.topic.to_string(), record.partition)
}
