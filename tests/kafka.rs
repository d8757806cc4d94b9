//! Kafka on both sides against a broker within this process, which speaks its protocol; a real one is in
//! `tests/interop/test_kafka.py`.

use bytes::Bytes;
use krafka::consumer::ConsumerRecord;
use krafka::testing::FakeBroker;
use krafka::{Kafka, Record};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use why502::config;
use why502::config::kafka::KafkaReceiver;
use why502::exporter::Exporter;
use why502::memory::Memory;
use why502::otlp::{Attribute, NewRecord, RequestWriter, Signal, Surroundings, json, resource, scope};
use why502::receiver::kafka::{Setup, State, run};
use why502::receiver::{Consumer, GivenUp, Refusal, Tracked};

/// One record of a service.
fn request(service: &str, body: &str) -> Vec<u8> {
    let surroundings = Surroundings::new(&resource(&[Attribute::new("service.name", service)]), &scope("s", "1"));
    let mut writer = RequestWriter::new();
    writer.push(&surroundings, &NewRecord { time: 1, observed_time: 1, body, ..NewRecord::default() }.encode());
    writer.finish()
}

/// A pipeline that has no room for some, delivers when it is told to, and remembers.
#[derive(Clone, Debug, Default)]
struct Taker {
    taken: Arc<Mutex<Vec<(Signal, Bytes)>>>,
    shown: Arc<Mutex<Vec<Bytes>>>,
    refused: Arc<AtomicU64>,
    /// Refusals for want of room that are still to come.
    full: Arc<AtomicU64>,
    delivered: Arc<Mutex<BTreeSet<u64>>>,
}

impl Consumer for Taker {
    async fn consume(&self, _signal: Signal, _request: Bytes) -> Result<(), Refusal> {
        Ok(())
    }

    fn refused(&self, _refusal: &Refusal) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Tracked for Taker {
    async fn take_tracked(&self, signal: Signal, request: Bytes) -> Result<Option<u64>, Refusal> {
        if self.full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(Refusal::Overloaded { retry_after: Duration::from_secs(1) });
        }
        why502::otlp::check(signal, &request).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let mut taken = self.taken.lock().expect("no panic");
        taken.push((signal, request));
        Ok(Some(taken.len() as u64))
    }

    async fn show(&self, _signal: Signal, request: Bytes) -> Result<(), Refusal> {
        self.shown.lock().expect("no panic").push(request);
        Ok(())
    }

    fn is_delivered(&self, position: u64) -> bool {
        self.delivered.lock().expect("no panic").contains(&position)
    }

    async fn give_up(&self, positions: Vec<u64>, _what: GivenUp) -> Vec<u64> {
        positions
    }
}

impl Taker {
    fn deliver(&self, positions: impl IntoIterator<Item = u64>) {
        self.delivered.lock().expect("no panic").extend(positions);
    }

    fn count(&self) -> usize {
        self.taken.lock().expect("no panic").len()
    }
}

/// A receiver that runs.
struct Running {
    stop: CancellationToken,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(settings: &KafkaReceiver, to: &Taker) -> Running {
        let setup = Setup {
            name: "kafka".to_owned(),
            signals: vec![Signal::Logs],
            hold: Duration::from_millis(200),
            context: Duration::from_secs(60),
            request_bytes_max: 1 << 20,
            memory: Memory::unlimited(),
        };
        let (stop, state) = (CancellationToken::new(), Arc::<State>::default());
        let task = tokio::spawn(run(settings.clone(), setup, to.clone(), Arc::clone(&state), stop.clone()));
        Running { stop, state, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("it ends");
    }
}

fn settings(broker: &FakeBroker, more: &str) -> KafkaReceiver {
    let text = format!(
        "receivers: {{kafka: {{brokers: [\"{}\"], group_id: g, initial_offset: earliest, autocommit: {{interval: 50ms}}, logs: {{topics: [logs]{more}}}}}}}\n\
         exporters: {{debug: {{}}}}\nservice: {{pipelines: {{logs: {{receivers: [kafka], exporters: [debug]}}}}}}\n",
        broker.bootstrap_servers()
    );
    let config = config::read(&text, &|_| None).expect("valid");
    *config.receivers[0].kafka.clone().expect("kafka")
}

async fn produce(broker: &FakeBroker, values: &[Vec<u8>]) {
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("it is there");
    let producer = kafka.producer().build().await.expect("a producer");
    for value in values {
        let sent = producer.send(Record::new("logs", value.clone()).partition(0)).await.expect("it is taken");
        assert_eq!(sent.partition, 0);
    }
    producer.close().await.expect("it ends");
}

async fn wait_for(what: &str, is: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_is_committed_when_all_before_it_is_delivered() {
    let broker = FakeBroker::start().await.expect("a broker");
    broker.create_topic("logs", 1);
    let bodies: Vec<Vec<u8>> = (0..4).map(|number| request("shop", &number.to_string())).collect();
    let [zero, one, two, three] = bodies.clone().try_into().expect("four");
    produce(&broker, &[zero, one, b"\xff nonsense".to_vec(), two, three]).await;
    let to = Taker::default();
    to.full.store(3, Ordering::Relaxed);
    let running = Running::start(&settings(&broker, ""), &to);
    wait_for("what there was no room for is tried again", || to.count() == 4).await;
    let taken: Vec<Bytes> = to.taken.lock().expect("no panic").iter().map(|(_, request)| request.clone()).collect();
    assert_eq!(taken, bodies, "in order, and each once");
    assert_eq!((to.refused.load(Ordering::Relaxed), running.state.trouble()), (1, None));
    let committed = || broker.committed_offset("g", "logs", 0);
    wait_for("where reading begins is committed", || committed() == Some(0)).await;
    to.deliver([1]);
    wait_for("the first", || committed() == Some(1)).await;
    // The third is delivered and the second is not: the nonsense between them is no hindrance, the second is.
    to.deliver([3]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(committed(), Some(1));
    to.deliver([2]);
    wait_for("all but the last", || committed() == Some(4)).await;
    running.stop().await;
    assert_eq!(committed(), Some(4), "what is given up is not committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_on_is_shown_what_came_before() {
    let broker = FakeBroker::start().await.expect("a broker");
    broker.create_topic("logs", 1);
    let bodies: Vec<Vec<u8>> = (0..5).map(|number| request("shop", &number.to_string())).collect();
    let (first, second) = (Taker::default(), Taker::default());
    produce(&broker, bodies.get(..4).expect("four")).await;
    let running = Running::start(&settings(&broker, ""), &first);
    wait_for("four", || first.count() == 4).await;
    // The second of them waits for its verdict when the instance ends.
    first.deliver([1, 3, 4]);
    running.stop().await;
    assert_eq!(broker.committed_offset("g", "logs", 0), Some(1));
    produce(&broker, bodies.get(4..).expect("one")).await;
    let running = Running::start(&settings(&broker, ""), &second);
    wait_for("the second and the fifth", || second.count() == 2).await;
    let taken: Vec<Bytes> = second.taken.lock().expect("no panic").iter().map(|(_, request)| request.clone()).collect();
    assert_eq!(taken, [bodies[1].clone(), bodies[4].clone()], "what is delivered is not taken again");
    let shown = second.shown.lock().expect("no panic").clone();
    assert_eq!(shown, [bodies[0].clone(), bodies[2].clone(), bodies[3].clone()], "but shown, from before on");
    second.deliver([1, 2]);
    wait_for("all", || broker.committed_offset("g", "logs", 0) == Some(5)).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_waited_for_and_told() {
    let broker = FakeBroker::start().await.expect("a broker");
    let to = Taker::default();
    let running = Running::start(&settings(&broker, ", encoding: otlp_json"), &to);
    let told = || running.state.trouble().unwrap_or_default();
    wait_for("a sentence", || told().contains("topic `logs` does not exist")).await;
    broker.create_topic("logs", 1);
    let body = request("shop", "text");
    let text = json::from_protobuf(Signal::Logs, &body).expect("JSON");
    produce(&broker, &[text.clone().into_bytes()]).await;
    wait_for("it is read when it is there", || to.count() == 1).await;
    let expected = json::to_protobuf(Signal::Logs, text.as_bytes()).expect("OTLP");
    assert_eq!(to.taken.lock().expect("no panic").first(), Some(&(Signal::Logs, Bytes::from(expected))));
    assert_eq!(running.state.trouble(), None);
    to.deliver([1]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_gives_each_service_its_key_and_its_partition() {
    let broker = FakeBroker::start().await.expect("a broker");
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{}}}}}}}}\n\
         exporters: {{kafka: {{brokers: [\"{}\"], logs: {{topic: logs}}, partition_by: [service.name], record_headers: {{a: b}}, producer: {{allow_auto_topic_creation: false}}, retry_on_failure: {{initial_interval: 50ms, max_interval: 50ms}}}}}}\n\
         service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [kafka]}}}}}}\n",
        broker.bootstrap_servers()
    );
    let config = config::read(&text, &|_| None).expect("valid");
    let exporter = Exporter::start(&config.exporters[0]).expect("it starts");
    let (shop, other) = (request("shop", "1"), request("other", "2"));
    let both = [shop.clone(), other.clone()].concat();
    assert!(exporter.offer(Signal::Logs, Bytes::from(both), 2).is_ok());
    // Its topic is not there yet.
    wait_for("a try", || exporter.stats.failed_count() > 0).await;
    broker.create_topic("logs", 4);
    wait_for("both are sent", || exporter.stats.sent_count(Signal::Logs) == 2).await;
    assert!(exporter.offer(Signal::Logs, Bytes::from(shop.clone()), 1).is_ok());
    wait_for("one more", || exporter.stats.sent_count(Signal::Logs) == 3).await;
    let found: Vec<ConsumerRecord> = broker.all_records("logs").expect("records");
    let of = |key: &str| -> Vec<(i32, Bytes)> {
        let found = found.iter().filter(|record| record.key_str() == Some(key));
        found.map(|record| (record.partition, record.value.clone().unwrap_or_default())).collect()
    };
    // FNV-1a of `shop` and `other` as Sarama reads it.
    assert_eq!(of("shop"), [(3, Bytes::from(shop.clone())), (3, Bytes::from(shop))]);
    assert_eq!(of("other"), [(3, Bytes::from(other))]);
    assert!(found.iter().all(|record| record.header_str("a") == Some("b")));
    assert_eq!(exporter.close(Duration::from_secs(5)).await, 0);
}
