//! The preset `datadog`: its intake of OTLP over HTTP, which takes logs and traces as protobuf and metrics of delta
//! temporality (Datadog's documentation, "OTLP Intake Endpoint"). A log that has the id of a trace is linked to it there: the
//! intake makes `dd.trace_id` of the lower half of the OTLP id.

use super::super::endpoint;
use super::super::section::{Context, Section};
use super::super::settings::Endpoint;
use super::super::values::Secret;
use crate::otlp::Signal;

/// It answers 413 to traces above 3.2 MB, and to logs above 5 MB.
pub(super) const REQUEST_BYTES_MAX: usize = 3_000_000;
/// Entries of one request of logs, as its logs API has it; spans have no such limit, and lose nothing by it.
pub(super) const REQUEST_ITEMS_MAX: u64 = 1_000;
/// The header of the key.
const KEY: &str = "dd-api-key";

/// Fills in what the site and the key say.
pub(super) fn preset(
    context: &mut Context<'_>,
    own: &Section<'_>,
    remote: &Section<'_>,
    endpoints: &mut [Option<Endpoint>; 3],
    headers: &mut Vec<(String, Secret)>,
) {
    let site = own.choice(context, "site");
    let written = ["endpoint", "logs_endpoint", "traces_endpoint", "metrics_endpoint"];
    if own.has("site") && remote.has_value("endpoint") {
        let text = format!("`{}` and `site` say the same; keep one", remote.place("endpoint").key);
        context.mistake(remote.line_of("endpoint"), text);
    }
    if !written.iter().any(|key| remote.has_value(key)) {
        let place = own.place("site");
        *endpoints = Signal::ALL.map(|signal| {
            let url = endpoint::http(&format!("https://otlp.{site}{}", signal.http_path())).ok()?;
            Some(Endpoint { url, place: place.clone() })
        });
    }
    if remote.choice(context, "encoding") == "json" {
        let place = remote.place("encoding");
        context.mistake(place.line, format!("`{}`: Datadog takes `proto` alone; take it out", place.key));
    }
    match own.secret(context, "key") {
        Some(key) => {
            headers.retain(|(name, _)| name != KEY);
            headers.push((KEY.to_owned(), key));
        }
        // What is wrong with one that is written has been told.
        None if own.has_value("key") => {}
        None => {
            let text = format!("`{}` is missing; write `key: ${{env:DD_API_KEY}}`", own.place("key").key);
            context.mistake(own.line, text);
        }
    }
}
