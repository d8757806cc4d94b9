//! OTLP into topics of Kafka: one message for each key of a request, with the key's partition and so its order.
//!
//! ```text
//!  request ─► one message for each key ─► batches of the partitions ─► acknowledged by all in-sync replicas ─► delivered
//! ```
//!
//! A request is delivered when all its messages are. Where one is not, all are sent again, so that a message may stand twice
//! in its topic and none is missing.

use super::error::{Delivered, DeliveryError, Then};
use super::queue::Deliver;
use crate::config::kafka::{Encoding, KafkaExporter, Key, of_signal};
use crate::config::settings::Compression;
use crate::kafka::{Meaning, connect, meaning, sentence};
use crate::otlp::{Signal, json, keyed};
use bytes::Bytes;
use krafka::Record;
use krafka::error::KrafkaError;
use krafka::producer::{Acks, Partitioner, Producer};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Mutex;

/// What frames messages in a request to a broker, at most; brokers refuse more than they allow in any case.
const REQUEST_OVERHEAD: usize = 1 << 20;
/// Messages without a key go to one partition so many times before they go to the next: batches of one partition are larger.
const STAYS: usize = 16;

/// A key, and the part of a request that has it; without a part it is all of it.
type Message = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The producer of one exporter, which is made when it is needed first.
pub struct Client {
    name: String,
    settings: KafkaExporter,
    producer: Mutex<Option<Arc<Producer>>>,
}

impl Client {
    /// A client that has no connection yet.
    pub fn new(name: &str, settings: &KafkaExporter) -> Client {
        Client { name: name.to_owned(), settings: settings.clone(), producer: Mutex::default() }
    }

    async fn send(&self, signal: Signal, request: Bytes) -> Result<Delivered, DeliveryError> {
        let (topic, encoding) = of_signal(&self.settings.topics, signal);
        let about = format!("topic `{topic}` of exporters::{}", self.name);
        let mut records = Vec::new();
        for (key, part) in self.messages(signal, &request) {
            let part = part.map_or_else(|| request.clone(), Bytes::from);
            let value = match encoding {
                Encoding::Proto => part,
                Encoding::Json => json::from_protobuf(signal, &part)
                    .map(Bytes::from)
                    .map_err(|error| DeliveryError { text: error.to_string(), reason: "encoding", then: Then::Drop })?,
            };
            let mut record = Record::new(topic.clone(), value);
            if let Some(key) = key {
                record = record.key(key);
            }
            for (name, value) in &self.settings.headers {
                record = record.header(name.clone(), value.reveal().to_owned());
            }
            records.push(record);
        }
        let whole = async {
            let producer = self.producer().await?;
            // All of them are on their way before the first is waited for.
            let mut waiting = Vec::with_capacity(records.len());
            for record in records {
                waiting.push(producer.enqueue(record).await?);
            }
            for one in waiting {
                let _ = one.await?;
            }
            Ok(())
        };
        let failed = match whole.await {
            Ok(()) => return Ok(Delivered::default()),
            Err(error) => error,
        };
        if ends_producer(&failed) {
            self.producer.lock().await.take();
        }
        let text = sentence(&self.settings.client, &about, &failed);
        let (reason, then) = match meaning(&failed) {
            Meaning::TooLarge => ("too_large", Then::Shrink),
            Meaning::Refused => ("refused", Then::Retry(None)),
            Meaning::Passing => ("unreachable", Then::Retry(None)),
        };
        Err(DeliveryError { text, reason, then })
    }

    /// A request as messages, each with its key; `None` is all of it.
    fn messages(&self, signal: Signal, request: &[u8]) -> Vec<Message> {
        let parts = match of_signal(&self.settings.keys, signal) {
            Key::None => return vec![(None, None)],
            Key::Attributes(names) => keyed::by_resource(request, |resource| keyed::values_of(resource, names)),
            Key::Resource => keyed::by_resource(request, keyed::all_of),
            Key::Trace => keyed::by_trace(request),
        };
        parts.into_iter().map(|(key, part)| (Some(key), part)).collect()
    }

    /// The producer that there is, else a new one.
    async fn producer(&self) -> Result<Arc<Producer>, KrafkaError> {
        let mut known = self.producer.lock().await;
        if let Some(producer) = &*known {
            return Ok(Arc::clone(producer));
        }
        let settings = &self.settings;
        let timeout = settings.remote.timeout;
        let kafka = connect(&settings.client, timeout, settings.creates_topics).await?;
        let bytes = settings.remote.request_bytes_max;
        let mut builder = kafka
            .producer()
            .acks(match settings.acks {
                Some(true) => Acks::All,
                Some(false) => Acks::Leader,
                None => Acks::None,
            })
            .idempotent(settings.acks == Some(true))
            .compression(compression(settings.compression))
            .compression_level(settings.level)
            .batch_size(bytes)
            .linger(settings.linger)
            .max_block(timeout)
            .delivery_timeout(timeout.saturating_add(settings.linger))
            .max_request_size(bytes.saturating_mul(4).saturating_add(REQUEST_OVERHEAD))
            .metrics_push(false);
        if !settings.is_murmur2 {
            builder = builder.partitioner(Sarama(AtomicUsize::new(0)));
        }
        let producer = Arc::new(builder.build().await?);
        *known = Some(Arc::clone(&producer));
        Ok(producer)
    }
}

impl Deliver for Client {
    fn deliver(
        &self,
        signal: Signal,
        request: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<Delivered, DeliveryError>> + Send + '_>> {
        Box::pin(self.send(signal, request))
    }
}

/// A producer that can go on no more, or whose connection should be made anew with what may have changed.
fn ends_producer(error: &KrafkaError) -> bool {
    error.is_fatal() || matches!(error, KrafkaError::OutOfOrderSequence { .. } | KrafkaError::IllegalState { .. })
}

fn compression(compression: Compression) -> krafka::Compression {
    match compression {
        Compression::Gzip => krafka::Compression::Gzip,
        Compression::Zstd => krafka::Compression::Zstd,
        Compression::Snappy => krafka::Compression::Snappy,
        Compression::Lz4 => krafka::Compression::Lz4,
        Compression::None | Compression::Zlib | Compression::Deflate => krafka::Compression::None,
    }
}

/// From a key to its partition as Sarama does it, and with it the collector: FNV-1a, read as a number with a sign.
struct Sarama(AtomicUsize);

impl Partitioner for Sarama {
    fn partition(&self, _topic: &str, key: Option<&[u8]>, partitions: usize) -> krafka::PartitionId {
        let count = i32::try_from(partitions.max(1)).unwrap_or(i32::MAX);
        match key {
            Some(key) => (fnv1a(key).cast_signed() % count).abs(),
            None => {
                let number = self.0.fetch_add(1, Ordering::Relaxed) / STAYS % partitions.max(1);
                i32::try_from(number).unwrap_or(0)
            }
        }
    }
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_partitions_of_sarama() {
        let sarama = Sarama(AtomicUsize::new(0));
        // FNV-1a of nothing and of `a`, as its authors publish them.
        assert_eq!((fnv1a(b""), fnv1a(b"a")), (0x811c_9dc5, 0xe40c_292c));
        let expected = |hash: u32, count: i32| (hash.cast_signed() % count).abs();
        assert_eq!(sarama.partition("t", Some(b"a"), 12), expected(0xe40c_292c, 12));
        let found: Vec<i32> = (0..3 * STAYS).map(|_| sarama.partition("t", None, 2)).collect();
        assert!(found.iter().filter(|one| **one == 0).count() == 2 * STAYS);
    }
}
