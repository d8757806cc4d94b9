//! `receivers: kafka` and `exporters: kafka`: the collector's keys, and what is said of those that are none here.

use super::super::kafka::{Encoding, Key, Mechanism};
use super::super::settings::{Compression, ExporterKind};
use super::{check, environment};
use crate::config::read;
use std::time::Duration;

fn whole(receiver: &str, exporter: &str) -> String {
    format!(
        "receivers:\n  kafka: {receiver}\nprocessors: {{why502: {{}}}}\nexporters:\n  kafka: {exporter}\nservice:\n  pipelines:\n    logs: {{receivers: [kafka], processors: [why502], exporters: [kafka]}}\n"
    )
}

#[test]
fn defaults_are_those_of_the_collector_but_where_they_would_lose_something() {
    let config = read(&whole("{}", "{}"), &environment).expect("valid");
    let receiver = config.receivers[0].kafka.as_ref().expect("kafka");
    assert_eq!(receiver.client.brokers, ["localhost:9092"]);
    let topics: Vec<&str> = receiver.topics.iter().map(|(topics, _)| topics[0].as_str()).collect();
    assert_eq!(topics, ["otlp_logs", "otlp_spans", "otlp_metrics"]);
    assert_eq!((receiver.group.as_str(), receiver.from_earliest, receiver.is_incremental), ("why502", false, true));
    assert_eq!((receiver.fetch_max, receiver.commit_interval), (1 << 20, Duration::from_secs(1)));
    let ExporterKind::Kafka(exporter) = &config.exporters[0].kind else { panic!("kafka") };
    assert_eq!((exporter.acks, exporter.compression, exporter.is_murmur2), (Some(true), Compression::None, false));
    assert_eq!((exporter.remote.request_bytes_max, exporter.remote.queue.consumers), (1_000_000, 1));
    assert_eq!(exporter.remote.timeout, Duration::from_secs(5));
    assert_eq!(exporter.keys, [Key::None, Key::None, Key::None]);
    assert_eq!(config.exporters[0].endpoints().count(), 0);
}

#[test]
fn what_is_written_is_read() {
    let receiver = "{brokers: [a:1, b:2], client_id: c, rack_id: r, logs: {topics: [x, y], topic: z, encoding: otlp_json}, group_id: g, initial_offset: earliest, group_protocol: classic, autocommit: {interval: 2s}, tls: {ca_file: /ca}, auth: {sasl: {mechanism: SCRAM-SHA-512, username: u, password: \"${env:KEY}\"}}, dead_letter: {path: /x}}";
    let exporter = "{traces: {topic: t, encoding: otlp_json}, partition_by: [service.namespace], record_partitioner: {sticky_key: {hasher: murmur2}}, producer: {required_acks: 1, compression: zstd, compression_params: {level: 3}, linger: 1ms, max_message_bytes: 2000000}, record_headers: {a: b}, sending_queue: {num_consumers: 4}, retry_on_failure: {max_elapsed_time: 1m}}";
    let text = whole(receiver, exporter);
    let config = read(&text, &environment).expect("valid");
    let receiver = config.receivers[0].kafka.as_ref().expect("kafka");
    assert_eq!(receiver.topics[0], (vec!["x".to_owned(), "y".to_owned(), "z".to_owned()], Encoding::Json));
    assert!(receiver.from_earliest && !receiver.is_incremental && receiver.client.tls.is_some());
    let sasl = receiver.client.sasl.as_ref().expect("sasl");
    assert_eq!(
        (sasl.mechanism, sasl.username.as_str(), sasl.password.reveal()),
        (Mechanism::ScramSha512, "u", "s3cret")
    );
    assert!(!format!("{config:?}").contains("s3cret"));
    let ExporterKind::Kafka(exporter) = &config.exporters[0].kind else { panic!("kafka") };
    let key = Key::Attributes(vec!["service.namespace".to_owned()]);
    assert_eq!(exporter.keys, [key.clone(), key.clone(), key]);
    assert_eq!((exporter.acks, exporter.level, exporter.is_murmur2), (Some(false), Some(3), true));
    assert_eq!((exporter.topics[1].0.as_str(), exporter.topics[1].1), ("t", Encoding::Json));
    assert_eq!((exporter.remote.queue.consumers, exporter.remote.request_bytes_max), (4, 2_000_000));
}

#[test]
fn each_mistake_is_one_sentence_that_says_what_to_do() {
    check(
        &whole(
            "{brokers: [kafka], logs: {encoding: raw, topic: ^a}, traces: {topics: [otlp_logs, otlp_logs]}, autocommit: {enable: false}, group_rebalance_strategy: sticky, grup_id: x, heartbeat_interval: 20s, header_extraction: {}, auth: {sasl: {mechanism: PLAIN, username: u}, kerberos: {}}}",
            "{logs: {encoding: jaeger_proto}, partition_logs_by_resource_attributes: true, partition_by: [a], topic_from_attribute: x, partition_logs_by_trace_id: true, producer: {compression: lz4, compression_params: {level: 1}}, tls: {min_version: 1.3}}",
        ),
        &[
            "2: `receivers::kafka::auth::kerberos` is not supported by why502: write `sasl` with PLAIN or SCRAM, or certificates under `tls`",
            "2: `receivers::kafka::auth::sasl` needs a `password`",
            "2: `receivers::kafka::autocommit::enable`: offsets are committed when every backend has what was read, and only then; take it out",
            "2: `receivers::kafka::brokers`: `kafka` is not HOST:PORT, such as kafka:9092",
            "2: `receivers::kafka::group_rebalance_strategy`: `sticky` may give the logs of a site to one instance and its traces to another; write `range`, or take it out",
            "2: `receivers::kafka::header_extraction` is not supported by why502: headers of messages are not read; let what sends write attributes of the resource",
            "2: `receivers::kafka::heartbeat_interval` must be shorter than `session_timeout`, a third of it",
            "2: `receivers::kafka::logs::encoding`: `raw` is no encoding here; why502 reads and writes `otlp_proto` and `otlp_json`; let a collector turn others into these",
            "2: `receivers::kafka::logs::topic`: `^a` is a pattern; name each topic: those of one pattern need not have the same partitions",
            "2: `receivers::kafka` has no key `grup_id`; did you mean `group_id`?",
            "2: `receivers::kafka`: topic `otlp_logs` stands here twice; each signal needs topics of its own",
            "5: `exporters::kafka::logs::encoding`: `jaeger_proto` is no encoding here; why502 reads and writes `otlp_proto` and `otlp_json`; let a collector turn others into these",
            "5: `exporters::kafka::partition_logs_by_resource_attributes` and `partition_by` both say what makes the key; keep one",
            "5: `exporters::kafka::partition_logs_by_trace_id` is not supported by why502: lines of one site would go to several partitions; write `partition_by: [ATTRIBUTE]`",
            "5: `exporters::kafka::producer::compression_params::level`: gzip and zstd alone have levels; take it out",
            "5: `exporters::kafka::tls::min_version`: brokers are spoken to by TLS 1.2 or 1.3, whichever both have; take it out",
            "5: `exporters::kafka::topic_from_attribute` is not supported by why502: name a topic for each signal, and a second exporter for a second topic",
        ],
    );
}

#[test]
fn keys_that_do_nothing_here_are_let_stand_and_told_of() {
    let text = whole(
        "{protocol_version: 2.1.0, metadata: {full: true}, message_marking: {after: true}, error_backoff: {enabled: true}, telemetry: {}, auth: {sasl: {mechanism: PLAIN, username: u, password: p, version: 1}}}",
        "{conn_idle_timeout: 9m, producer: {flush_max_messages: 3}}",
    );
    let config = read(&text, &environment).expect("valid");
    let told: Vec<&str> = config.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(told.len(), 9, "{told:#?}");
    assert!(told.iter().any(|text| text.contains("PLAIN without `tls`")), "{told:#?}");
}
