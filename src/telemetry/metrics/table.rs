//! The table of metrics: names, kinds, units and what each counts.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A value of now.
    Gauge,
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// As the collector names its own (`otelcol_receiver_accepted_log_records`).
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// In UCUM.
    pub unit: &'static str,
    /// What is counted.
    pub brief: &'static str,
    /// Its attributes.
    pub attributes: &'static [&'static str],
}

const fn row(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    attributes: &'static [&'static str],
    brief: &'static str,
) -> Metric {
    Metric { name, kind, unit, brief, attributes }
}

/// Every metric.
pub const METRICS: &[Metric] = &[
    row(
        "why502_receiver_accepted_log_records",
        Kind::Counter,
        "{record}",
        &[],
        "Log records of requests that were acknowledged.",
    ),
    row("why502_receiver_accepted_spans", Kind::Counter, "{span}", &[], "Spans of requests that were acknowledged."),
    row(
        "why502_receiver_accepted_metric_points",
        Kind::Counter,
        "{datapoint}",
        &[],
        "Data points of requests that were acknowledged.",
    ),
    row(
        "why502_receiver_refused_requests",
        Kind::Counter,
        "{request}",
        &["reason"],
        "Requests that were refused, by reason.",
    ),
    row(
        "why502_kafka_receiver_offset_lag",
        Kind::Gauge,
        "{message}",
        &["receiver", "topic", "partition"],
        "Messages of a partition that is read here which are not delivered and committed; only with `receivers: kafka`.",
    ),
    row(
        "why502_recognised_records",
        Kind::Counter,
        "{record}",
        &["format"],
        "Log records by the format that they are in; `none` for those in no known one.",
    ),
    row("why502_held_items", Kind::Gauge, "{item}", &[], "Log records and spans that wait for a verdict."),
    row(
        "why502_unwatched_spans",
        Kind::Counter,
        "{span}",
        &["reason"],
        "Spans that went on without being looked at: `queue` for those that the engine was too busy for, `budget` for those of a failure that `held_span_bytes` had no room for.",
    ),
    row("why502_verdicts", Kind::Counter, "{verdict}", &["cause"], "Verdicts, by cause."),
    row(
        "why502_incidents",
        Kind::Counter,
        "{incident}",
        &["origin"],
        "Incidents that opened, by the cause that they began with.",
    ),
    row(
        "why502_incidents_open",
        Kind::Gauge,
        "{incident}",
        &["origin"],
        "Incidents that go on now, by their origin as far as it is known.",
    ),
    row(
        "why502_suppressed_verdicts",
        Kind::Counter,
        "{verdict}",
        &["reason"],
        "Verdicts of which no record of their own was sent, by reason: `per_incident` for those past `verdicts::per_incident`.",
    ),
    row(
        "why502_unlinked_records",
        Kind::Counter,
        "{record}",
        &["reason"],
        "Access lines of good requests that went on without a link though `link::records` asks for it, by reason: `held_bytes` where half of that limit waits already.",
    ),
    row(
        "why502_own_records",
        Kind::Counter,
        "{record}",
        &["kind"],
        "Log records that why502 itself made and gave to the exporters of logs: of a `verdict` or an `incident`.",
    ),
    row("why502_links", Kind::Counter, "{verdict}", &["method"], "Verdicts, by how they were linked to a trace."),
    row(
        "why502_exporter_taken_items",
        Kind::Counter,
        "{item}",
        &["exporter"],
        "Items that the exporter was given: those of requests that were acknowledged, and the records of verdicts.",
    ),
    row(
        "why502_exporter_sent_log_records",
        Kind::Counter,
        "{record}",
        &["exporter"],
        "Log records that the backend took.",
    ),
    row("why502_exporter_sent_spans", Kind::Counter, "{span}", &["exporter"], "Spans that the backend took."),
    row(
        "why502_exporter_sent_metric_points",
        Kind::Counter,
        "{datapoint}",
        &["exporter"],
        "Data points that the backend took.",
    ),
    row(
        "why502_exporter_failed_requests",
        Kind::Counter,
        "{request}",
        &["exporter"],
        "Tries to send a request that failed, whatever became of it then.",
    ),
    row(
        "why502_exporter_retried_requests",
        Kind::Counter,
        "{request}",
        &["exporter"],
        "Failed tries after which the request was sent again.",
    ),
    row(
        "why502_exporter_rejected_items",
        Kind::Counter,
        "{item}",
        &["exporter"],
        "Items that the backend rejected out of a request that it took (partial success).",
    ),
    row(
        "why502_exporter_dropped_items",
        Kind::Counter,
        "{item}",
        &["exporter", "reason"],
        "Items that are lost, by reason.",
    ),
    row("why502_exporter_queue_size", Kind::Gauge, "{request}", &["exporter"], "Requests that wait for the backend."),
    row(
        "why502_exporter_queue_items",
        Kind::Gauge,
        "{item}",
        &["exporter"],
        "Items that wait for the backend, in memory or on the disk, or are on their way to it.",
    ),
    row(
        "why502_exporter_queue_bytes",
        Kind::Gauge,
        "By",
        &["exporter"],
        "Bytes that wait for the backend in memory or are on their way to it.",
    ),
    row(
        "why502_exporter_overflow_bytes",
        Kind::Gauge,
        "By",
        &["exporter"],
        "Bytes of files beside the journal with what waits for the backend and finds no memory; only with `storage: journal`.",
    ),
    row(
        "why502_exporter_queue_capacity",
        Kind::Gauge,
        "{request}",
        &["exporter"],
        "Requests that may wait for the backend; not told where `sizer` is not `requests`.",
    ),
    row(
        "why502_exporter_queue_bytes_capacity",
        Kind::Gauge,
        "By",
        &["exporter"],
        "Bytes that may wait for the backend or be on their way to it.",
    ),
    row(
        "why502_memory_data_bytes",
        Kind::Gauge,
        "By",
        &[],
        "Bytes of bodies that come in, and of what waits or is on its way out, all queues together.",
    ),
    row(
        "why502_memory_data_bytes_capacity",
        Kind::Gauge,
        "By",
        &[],
        "How many may be: what `memory::limit` leaves for data. Past it senders are asked to come back.",
    ),
    row("why502_process_uptime_seconds", Kind::Counter, "s", &[], "How long the process runs."),
    row("why502_process_cpu_seconds", Kind::Counter, "s", &[], "CPU time of the process, user and kernel."),
    row("why502_process_memory_rss_bytes", Kind::Gauge, "By", &[], "Resident memory of the process."),
    row(
        "why502_journal_waiting_requests",
        Kind::Gauge,
        "{request}",
        &["exporter"],
        "Requests in the journal that the backend does not have.",
    ),
    row("why502_journal_bytes", Kind::Gauge, "By", &[], "Bytes that the journal takes of the disk."),
    row(
        "why502_journal_bytes_capacity",
        Kind::Gauge,
        "By",
        &[],
        "How many it may take (`journal::max_bytes`). Past it senders are asked to come back.",
    ),
    row(
        "why502_journal_poisoned",
        Kind::Gauge,
        "{journal}",
        &[],
        "1 after the disk did not confirm a sync: nothing is acknowledged any more, until the disk is looked at and why502 started anew.",
    ),
    row(
        "why502_journal_appended_requests",
        Kind::Counter,
        "{request}",
        &[],
        "Requests that were written to the journal and synced before they were acknowledged.",
    ),
    row("why502_journal_appended_bytes", Kind::Counter, "By", &[], "Their bytes, with what the journal adds."),
    row("why502_journal_syncs", Kind::Counter, "{sync}", &[], "Syncs of the disk for them: one for all that wait."),
    row(
        "why502_journal_refused_requests",
        Kind::Counter,
        "{request}",
        &[],
        "Requests that could not be written to the journal; their senders were asked to come back.",
    ),
    row(
        "why502_journal_replayed_items",
        Kind::Counter,
        "{item}",
        &[],
        "Items that the last run had acknowledged and not delivered, and records of its own: they are in no `accepted` of this one.",
    ),
    row(
        "why502_journal_torn_bytes",
        Kind::Counter,
        "By",
        &[],
        "Bytes that were being written when the last run ended: cut off, none of them acknowledged.",
    ),
];
