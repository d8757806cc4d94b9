//! The metrics: where each number of their table comes from.

mod table;

use super::Counters;
use super::process::Process;
use crate::engine::causes;
use crate::exporter::{Exporter, Outlet};
use crate::journal::{Counts, Journal};
use crate::memory::Memory;
use crate::otlp::Signal;
use crate::receiver::kafka::State;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
pub use table::{Kind, METRICS, Metric};

/// The counter of records that why502 itself made, by what they tell of.
pub const OWN_RECORDS: &str = "own_records";
/// The counter of verdicts of which no record was sent, and the one reason that there is.
pub const SUPPRESSED: &str = "suppressed_verdicts";
/// The counters of incidents that came under an origin and that left it: what is between them goes on now.
pub const OF_ORIGIN: [&str; 2] = ["incidents_come", "incidents_gone"];
/// More of its incident were sent than `verdicts::per_incident` allows.
pub const PER_INCIDENT: &str = "per_incident";

/// The counter of good access lines that got no link, and the one reason that there is.
pub const UNLINKED: &str = "unlinked_records";
/// Half of `limits::held_bytes` waits already.
pub const NO_ROOM: &str = "held_bytes";
/// Why requests are refused, as far as it is a sender's or an operator's concern.
const REFUSALS: [&str; 3] = ["malformed", "overloaded", "too_large"];
/// Why items are lost behind a queue, as far as a backend or an operator can make it so.
const LOSSES: [&str; 4] = ["queue_full", "refused", "shutdown", "too_large"];

/// Where the values come from.
#[derive(Debug)]
pub struct Measured<'a> {
    /// What is counted.
    pub counters: &'a Arc<Counters>,
    /// The backends.
    pub exporters: &'a [Arc<Exporter>],
    /// Receivers that ask for data.
    pub sources: &'a [Arc<State>],
    /// What is counted of the memory.
    pub memory: &'a Memory,
}

/// Registers every metric with where its value comes from.
pub(super) fn observe(meter: &Meter, measured: &Measured<'_>) {
    let Measured { counters, exporters, sources, memory } = *measured;
    let of = memory.clone();
    register(meter, "why502_memory_data_bytes", move |observer| observer.observe(of.used().0 as u64, &[]));
    let of = memory.clone();
    register(meter, "why502_memory_data_bytes_capacity", move |observer| observer.observe(of.used().1 as u64, &[]));
    for signal in Signal::ALL {
        let [accepted, sent] = match signal {
            Signal::Logs => ["why502_receiver_accepted_log_records", "why502_exporter_sent_log_records"],
            Signal::Traces => ["why502_receiver_accepted_spans", "why502_exporter_sent_spans"],
            Signal::Metrics => ["why502_receiver_accepted_metric_points", "why502_exporter_sent_metric_points"],
        };
        let of = Arc::clone(counters);
        register(meter, accepted, move |observer| observer.observe(of.accepted_count(signal), &[]));
        of_exporters(meter, sent, exporters, move |exporter| exporter.stats.sent_count(signal));
    }
    let causes: Vec<&'static str> = causes::all().iter().map(|cause| cause.id).collect();
    for (name, counter, label, known) in [
        ("why502_receiver_refused_requests", "refused", "reason", REFUSALS.to_vec()),
        ("why502_verdicts", "verdicts", "cause", causes.clone()),
        ("why502_links", "links", "method", Vec::new()),
        ("why502_own_records", OWN_RECORDS, "kind", vec!["verdict", "incident"]),
        ("why502_incidents", "incidents", "origin", causes),
    ] {
        let of = Arc::clone(counters);
        register(meter, name, move |observer| {
            // What Prometheus sees first at 1 has not grown for it: what may be counted is 0 until then.
            let mut counts: BTreeMap<&'static str, u64> = known.iter().map(|value| (*value, 0)).collect();
            counts.extend(
                of.labelled().into_iter().filter(|(of, _, _)| *of == counter).map(|(_, value, count)| (value, count)),
            );
            for (value, count) in counts {
                observer.observe(count, &[KeyValue::new(label, value)]);
            }
        });
    }
    for (name, counter, reason) in
        [("why502_suppressed_verdicts", SUPPRESSED, PER_INCIDENT), ("why502_unlinked_records", UNLINKED, NO_ROOM)]
    {
        let of = Arc::clone(counters);
        register(meter, name, move |observer| {
            let counted = of.labelled().into_iter().find(|(known, _, _)| *known == counter);
            observer.observe(counted.map_or(0, |(_, _, count)| count), &[KeyValue::new("reason", reason)]);
        });
    }
    let of = Arc::clone(counters);
    register(meter, "why502_incidents_open", move |observer| {
        let labelled = of.labelled();
        let [come, gone] = OF_ORIGIN;
        for (_, origin, count) in labelled.iter().filter(|(name, _, _)| *name == come) {
            let left = labelled.iter().find(|(name, of, _)| *name == gone && of == origin);
            let open = count.saturating_sub(left.map_or(0, |(_, _, count)| *count));
            observer.observe(open, &[KeyValue::new("origin", *origin)]);
        }
    });
    let of = Arc::clone(counters);
    register(meter, "why502_recognised_records", move |observer| {
        let (by_format, unrecognised) = of.recognised_counts();
        for (format, count) in by_format {
            observer.observe(count, &[KeyValue::new("format", format)]);
        }
        observer.observe(unrecognised, &[KeyValue::new("format", "none")]);
    });
    let of = Arc::clone(counters);
    register(meter, "why502_unwatched_spans", move |observer| {
        for (why, count) in of.unwatched_counts() {
            observer.observe(count, &[KeyValue::new("reason", why.id())]);
        }
    });
    let of = Arc::clone(counters);
    register(meter, "why502_held_items", move |observer| observer.observe(of.held_count(), &[]));
    of_exporters(meter, "why502_exporter_failed_requests", exporters, |exporter| exporter.stats.failed_count());
    of_exporters(meter, "why502_exporter_retried_requests", exporters, |exporter| exporter.stats.retried_count());
    of_exporters(meter, "why502_exporter_rejected_items", exporters, |exporter| exporter.stats.rejected_count());
    of_exporters(meter, "why502_exporter_queue_size", exporters, |exporter| exporter.waiting().0 as u64);
    of_exporters(meter, "why502_exporter_queue_items", exporters, |exporter| {
        exporter.waiting().1.items.saturating_add(exporter.overflowing().0.items)
    });
    of_exporters(meter, "why502_exporter_queue_bytes", exporters, |exporter| exporter.waiting().1.bytes as u64);
    of_exporters(meter, "why502_exporter_taken_items", exporters, |exporter| exporter.stats.taken_count());
    of_journal(meter, exporters);
    of_sources(meter, sources);
    let of = exporters.to_vec();
    register(meter, "why502_exporter_queue_capacity", move |observer| {
        for exporter in &of {
            if let Some((requests, _)) = exporter.capacity().filter(|(requests, _)| *requests != usize::MAX) {
                observer.observe(requests as u64, &[named(exporter)]);
            }
        }
    });
    let of = exporters.to_vec();
    register(meter, "why502_exporter_queue_bytes_capacity", move |observer| {
        for exporter in &of {
            if let Some((_, amount)) = exporter.capacity() {
                observer.observe(amount.bytes as u64, &[named(exporter)]);
            }
        }
    });
    of_process(meter);
    let of = exporters.to_vec();
    register(meter, "why502_exporter_dropped_items", move |observer| {
        for exporter in &of {
            let known = if exporter.capacity().is_some() { LOSSES.as_slice() } else { &[] };
            let mut counts: BTreeMap<&'static str, u64> = known.iter().map(|reason| (*reason, 0)).collect();
            counts.extend(exporter.stats.dropped_counts());
            for (reason, count) in counts {
                observer.observe(count, &[named(exporter), KeyValue::new("reason", reason)]);
            }
        }
    });
}

/// The journal is that of any exporter that has one.
fn of_journal(meter: &Meter, exporters: &[Arc<Exporter>]) {
    let Some(journal) = journal_of(exporters) else { return };
    type Count = (&'static str, fn(&Counts) -> u64);
    let counts: [Count; 8] = [
        ("why502_journal_bytes", Counts::all_bytes),
        ("why502_journal_appended_requests", Counts::appended),
        ("why502_journal_appended_bytes", Counts::bytes),
        ("why502_journal_syncs", Counts::syncs),
        ("why502_journal_refused_requests", Counts::refused),
        ("why502_journal_replayed_items", Counts::replayed),
        ("why502_journal_torn_bytes", Counts::torn_bytes),
        ("why502_journal_poisoned", Counts::poisoned),
    ];
    for (name, count) in counts {
        let journal = Arc::clone(&journal);
        register(meter, name, move |observer| observer.observe(count(journal.counts()), &[]));
    }
    let of = Arc::clone(&journal);
    register(meter, "why502_journal_bytes_capacity", move |observer| observer.observe(of.bytes_max(), &[]));
    let of = exporters.to_vec();
    register(meter, "why502_journal_waiting_requests", move |observer| {
        let journaled =
            |exporter: &Arc<Exporter>| exporter.account().filter(|account| account.journal().is_some()).cloned();
        for (exporter, account) in of.iter().filter_map(|exporter| Some((exporter, journaled(exporter)?))) {
            observer.observe(account.open_count(), &[named(exporter)]);
        }
    });
    let of = exporters.to_vec();
    register(meter, "why502_exporter_overflow_bytes", move |observer| {
        for exporter in
            of.iter().filter(|exporter| exporter.account().is_some_and(|account| account.on_disk().is_some()))
        {
            observer.observe(exporter.overflowing().1, &[named(exporter)]);
        }
    });
}

fn of_sources(meter: &Meter, sources: &[Arc<State>]) {
    if sources.is_empty() {
        return;
    }
    let of = sources.to_vec();
    register(meter, "why502_kafka_receiver_offset_lag", move |observer| {
        for source in &of {
            for ((topic, partition), lag) in source.lags() {
                let labels = [
                    KeyValue::new("receiver", source.receiver().to_owned()),
                    KeyValue::new("topic", topic),
                    KeyValue::new("partition", i64::from(partition)),
                ];
                observer.observe(lag, &labels);
            }
        }
    });
}

fn journal_of(exporters: &[Arc<Exporter>]) -> Option<Arc<Journal>> {
    exporters
        .iter()
        .filter_map(|exporter| exporter.account())
        .find_map(|account| account.journal())
        .map(|(journal, _)| Arc::clone(journal))
}

fn of_exporters(
    meter: &Meter,
    name: &str,
    exporters: &[Arc<Exporter>],
    value: impl Fn(&Exporter) -> u64 + Send + Sync + 'static,
) {
    let of = exporters.to_vec();
    register(meter, name, move |observer| {
        for exporter in &of {
            observer.observe(value(exporter), &[named(exporter)]);
        }
    });
}

fn of_process(meter: &Meter) {
    let process = Process::now();
    register_seconds(meter, "why502_process_uptime_seconds", move || Some(process.uptime()));
    register_seconds(meter, "why502_process_cpu_seconds", move || process.cpu());
    register(meter, "why502_process_memory_rss_bytes", move |observer| {
        if let Some(bytes) = process.resident_bytes() {
            observer.observe(bytes, &[]);
        }
    });
}

fn named(exporter: &Exporter) -> KeyValue {
    KeyValue::new("exporter", exporter.name.clone())
}

/// Registers a metric of the table.
fn register(meter: &Meter, name: &str, callback: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static) {
    let Some(metric) = METRICS.iter().find(|metric| metric.name == name) else { return };
    match metric.kind {
        Kind::Counter => {
            let builder = meter.u64_observable_counter(metric.name).with_unit(metric.unit);
            builder.with_description(metric.brief).with_callback(callback).build();
        }
        Kind::Gauge => {
            let builder = meter.u64_observable_gauge(metric.name).with_unit(metric.unit);
            builder.with_description(metric.brief).with_callback(callback).build();
        }
    }
}

/// Registers a counter of the table that is a time.
fn register_seconds(meter: &Meter, name: &str, value: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
    let Some(metric) = METRICS.iter().find(|metric| metric.name == name) else { return };
    let builder = meter.f64_observable_counter(metric.name).with_unit(metric.unit).with_description(metric.brief);
    let callback = move |observer: &dyn AsyncInstrument<f64>| {
        if let Some(time) = value() {
            observer.observe(time.as_secs_f64(), &[]);
        }
    };
    builder.with_callback(callback).build();
}

/// All counters in one line, for the log at shutdown.
pub fn snapshot(counters: &Counters, exporters: &[Arc<Exporter>]) -> String {
    let mut words = Vec::new();
    for signal in Signal::ALL {
        words.push(format!("accepted {} {}", counters.accepted_count(signal), signal.items()));
    }
    for (name, label, count) in counters.labelled().into_iter().filter(|(name, _, _)| !OF_ORIGIN.contains(name)) {
        words.push(format!("{name}{{{label}}} {count}"));
    }
    for (why, count) in counters.unwatched_counts().filter(|(_, count)| *count > 0) {
        words.push(format!("unwatched spans{{{}}} {count}", why.id()));
    }
    for exporter in exporters {
        let sent: u64 = Signal::ALL.iter().map(|signal| exporter.stats.sent_count(*signal)).sum();
        words.push(format!("{} taken {}", exporter.name, exporter.stats.taken_count()));
        words.push(format!("{} sent {sent}", exporter.name));
        if exporter.stats.rejected_count() > 0 {
            words.push(format!("{} rejected {}", exporter.name, exporter.stats.rejected_count()));
        }
        for (reason, count) in exporter.stats.dropped_counts() {
            words.push(format!("{} dropped{{{reason}}} {count}", exporter.name));
        }
    }
    if let Some(journal) = journal_of(exporters) {
        let counts = journal.counts();
        words.push(format!("journal appended {} requests", counts.appended()));
        words.push(format!("journal synced {} times", counts.syncs()));
        words.push(format!("journal replayed {} items", counts.replayed()));
    }
    words.join(", ")
}
