//! docs/telemetry.md.

use super::{cell, generated_by};
use std::collections::BTreeSet;
use std::fmt::Write;
use why502::telemetry::metrics::{Kind, METRICS};

pub(crate) fn markdown() -> String {
    let mut out = generated_by("<!-- ", "src/telemetry/metrics/table.rs", " -->");
    out.push_str(
        "# Telemetry\n\n\
         What why502 tells of itself: metrics and its own log, by OTLP over gRPC to the `otlp_endpoint` of\n\
         [`service::telemetry`](configuration.md), and nowhere without it; metrics also to Prometheus, on the `/metrics` of its\n\
         `readers`, where the names of counters end in `_total`. Counters are cumulative from the start of the process. What\n\
         was accepted is sent, rejected by the backend, dropped, or still held or queued. Of each exporter, at any time, taken = sent +\n\
         rejected + dropped + `queue_items`; of all that goes to one, accepted + own records = taken + held. `debug` takes no items.\n\n\
         | metric | kind | unit | attributes | what |\n|---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let attributes: Vec<String> = metric.attributes.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(
            out,
            "| `{}` | {kind} | `{}` | {} | {} |",
            metric.name,
            metric.unit,
            attributes.join(", "),
            cell(metric.brief)
        );
    }
    out
}

#[test]
fn every_metric_is_told_once_and_in_whole_sentences() {
    let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), METRICS.len());
    assert!(METRICS.iter().all(|metric| metric.brief.ends_with('.') && metric.name.starts_with("why502_")));
}
