//! `why502 watch`: the incidents and verdicts of a running why502 as they come. The same story is told once; its incident
//! has the count.

use crate::cli::{TextOrJson, Watch};
use crate::commands::{INCOMPLETE, runtime, say};
use crate::engine::incident::route;
use crate::engine::verdict::percent;
use crate::read::text::printable;
use crate::read::time::rfc3339;
use crate::web::api::incidents_client::IncidentsClient;
use crate::web::api::verdicts_client::VerdictsClient;
use crate::web::api::{Count, Filter, Incident, Verdict, WatchIncidentsRequest, WatchRequest};
use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use tonic::{Status, Streaming};

/// How long to wait before the next try to connect.
const RECONNECT: Duration = Duration::from_secs(2);

/// Stories that are remembered; past it they are told anew.
const HEARD_MAX: usize = 4_096;

/// Shows incidents and verdicts until it is interrupted.
///
/// # Errors
/// When standard output is closed.
pub fn run(options: &Watch) -> anyhow::Result<ExitCode> {
    let to = &options.to;
    runtime()?.block_on(async {
        let mut backlog = options.backlog;
        let mut told = false;
        loop {
            match watch(options, backlog).await {
                Ok(()) => {
                    say(&format!("{to} ended the stream; connecting again"));
                    told = false;
                }
                Err(Ended::Output(error)) => return Err(error.into()),
                Err(Ended::Refused(status)) if status.code() == tonic::Code::InvalidArgument => {
                    say(&format!("error: {}", printable(status.message())));
                    return Ok(ExitCode::from(INCOMPLETE));
                }
                Err(Ended::Refused(status)) => {
                    if !told {
                        let question = match status.code() {
                            tonic::Code::ResourceExhausted => "",
                            _ => " is `why502 run` up, and is this its gRPC port?",
                        };
                        say(&format!("{to}: {};{question} trying again", printable(status.message())));
                        told = true;
                    }
                }
            }
            backlog = 0;
            tokio::time::sleep(RECONNECT).await;
        }
    })
}

enum Ended {
    Output(io::Error),
    Refused(Status),
}

async fn watch(options: &Watch, backlog: u32) -> Result<(), Ended> {
    let refused = |error: String| Ended::Refused(Status::unavailable(error));
    // With the authorities of the system where it begins with https.
    let endpoint = tonic::transport::Endpoint::new(options.to.url.clone()).map_err(|error| refused(root(&error)))?;
    let channel = endpoint.connect().await.map_err(|error| refused(format!("cannot connect: {}", root(&error))))?;
    let filter = Some(Filter { causes: options.cause.clone(), ..Filter::default() });
    let request = WatchIncidentsRequest { filter: filter.clone(), backlog };
    let mut incidents = match IncidentsClient::new(channel.clone()).watch(request).await {
        Ok(incidents) => Some(incidents.into_inner()),
        // An older why502 has verdicts alone.
        Err(status) if status.code() == tonic::Code::Unimplemented => None,
        Err(status) => return Err(Ended::Refused(status)),
    };
    let request = WatchRequest { filter, backlog };
    let mut verdicts = VerdictsClient::new(channel).watch(request).await.map_err(Ended::Refused)?.into_inner();
    let mut heard = BTreeSet::new();
    loop {
        let text = tokio::select! {
            biased;
            verdict = verdicts.message() => {
                let Some(verdict) = verdict.map_err(Ended::Refused)? else { return Ok(()) };
                match options.format {
                    TextOrJson::Json => format!("{}\n", object(&verdict)),
                    TextOrJson::Text if options.each || is_new(&mut heard, &verdict) => text(&verdict),
                    TextOrJson::Text => continue,
                }
            }
            incident = next_of(&mut incidents) => {
                let Some(incident) = incident.map_err(Ended::Refused)? else { return Ok(()) };
                match options.format {
                    TextOrJson::Json => format!("{}\n", incident_object(&incident)),
                    TextOrJson::Text => incident_text(&incident),
                }
            }
        };
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Ended::Output)?;
    }
}

/// The next incident; never, where none are told of.
async fn next_of(incidents: &mut Option<Streaming<Incident>>) -> Result<Option<Incident>, Status> {
    match incidents {
        Some(incidents) => incidents.message().await,
        None => std::future::pending().await,
    }
}

/// True when no verdict of the same incident, cause, status, upstream, method and route was shown.
fn is_new(heard: &mut BTreeSet<String>, verdict: &Verdict) -> bool {
    if heard.len() >= HEARD_MAX {
        heard.clear();
    }
    let Verdict { incident_uid, cause, status, upstream, method, target, .. } = verdict;
    heard.insert(format!("{incident_uid} {cause} {status} {upstream} {}", route(method, target)))
}

fn root(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        words = inner.to_string();
        source = inner.source();
    }
    words
}

/// Nothing that a server sends reaches the terminal unchecked.
fn text(verdict: &Verdict) -> String {
    let (bold, dim, red) = (Style::new().bold(), Style::new().dimmed(), AnsiColor::Red.on_default().bold());
    let time = rfc3339(i64::try_from(verdict.time_unix_nano).unwrap_or(0));
    let status = if verdict.status == 0 { String::new() } else { format!("{} ", verdict.status) };
    let mut out = format!(
        "{dim}{time}{dim:#} {red}{status}{}{red:#} {dim}({}% sure){dim:#} {bold}{} {}{bold:#}\n",
        printable(&verdict.cause),
        percent(verdict.confidence),
        printable(&verdict.method),
        printable(&verdict.target)
    );
    for quote in &verdict.evidence {
        out.push_str(&format!("    {}\n", printable(quote)));
    }
    out.push_str(&format!("  what to do: {}\n", printable(&verdict.hint)));
    let link = verdict.link.clone().unwrap_or_default();
    if !link.trace_id.is_empty() {
        let sure =
            if link.method == "timing" { format!(", {}% sure", percent(link.confidence)) } else { String::new() };
        out.push_str(&format!(
            "  trace: {} {dim}({}{sure}){dim:#}\n",
            printable(&link.trace_id),
            printable(&link.method)
        ));
    } else if !link.candidates.is_empty() {
        out.push_str(&format!("  could be trace {}\n", printable(&link.candidates.join(" or "))));
    }
    out.push('\n');
    out
}

/// One line; when it closes with what to do.
fn incident_text(incident: &Incident) -> String {
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    let time = rfc3339(i64::try_from(incident.last_unix_nano).unwrap_or(0));
    let (state, sentence) = (printable(&incident.state), printable(&incident.sentence));
    let mut out = format!("{dim}{time}{dim:#} {bold}incident {state}{bold:#} {sentence}\n");
    if !incident.ended.is_empty() && incident.requests + incident.failures > 1 {
        out.push_str(&format!("  what to do: {}\n", printable(&incident.hint)));
    }
    out.push('\n');
    out
}

fn incident_object(incident: &Incident) -> Value {
    let time = |time: u64| rfc3339(i64::try_from(time).unwrap_or(0));
    let counted = |counts: &[Count]| -> Map<String, Value> {
        counts.iter().map(|count| (count.key.clone(), count.count.into())).collect()
    };
    let none_if_empty = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let examples = incident.examples.iter().map(|example| {
        json!({
            "uid": example.uid, "time": time(example.time_unix_nano),
            "status": (example.status != 0).then_some(example.status),
            "method": example.method, "target": example.target, "cause": example.cause,
            "trace_id": none_if_empty(&example.trace_id), "span_id": none_if_empty(&example.span_id),
        })
    });
    json!({
        "type": "incident", "uid": incident.uid, "revision": incident.revision, "state": incident.state,
        "origin": incident.origin, "first": time(incident.first_unix_nano), "last": time(incident.last_unix_nano),
        "requests": incident.requests, "failures": incident.failures,
        "counts": {
            "cause": counted(&incident.causes), "path": counted(&incident.paths),
            "status": counted(&incident.statuses), "upstream": counted(&incident.upstreams),
        },
        "began_with": none_if_empty(&incident.began_with), "evidence": incident.evidence,
        "examples": examples.collect::<Vec<_>>(),
        "ended": none_if_empty(&incident.ended), "hint": incident.hint, "sentence": incident.sentence,
    })
}

fn object(verdict: &Verdict) -> Value {
    let link = verdict.link.clone().unwrap_or_default();
    json!({
        "type": if verdict.status != 0 || !verdict.target.is_empty() { "request" } else { "failure" },
        "incident": verdict.incident_uid,
        "uid": verdict.uid, "revision": verdict.revision,
        "time": rfc3339(i64::try_from(verdict.time_unix_nano).unwrap_or(0)),
        "status": (verdict.status != 0).then_some(verdict.status),
        "method": verdict.method, "target": verdict.target, "client": verdict.client,
        "cause": verdict.cause, "category": verdict.category, "symptom": verdict.symptom,
        "confidence": verdict.confidence, "evidence": verdict.evidence, "hint": verdict.hint,
        "upstream": verdict.upstream, "attempts": verdict.upstream_attempts,
        "worker_pid": (verdict.worker_pid != 0).then_some(verdict.worker_pid),
        "trace_id": (!link.trace_id.is_empty()).then_some(link.trace_id),
        "span_id": (!link.span_id.is_empty()).then_some(link.span_id),
        "link": {"method": link.method, "confidence": link.confidence, "candidates": link.candidates},
        "sentence": verdict.sentence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::api::Link;

    #[test]
    fn the_trace_is_shown() {
        let check = |link: Option<Link>, expected: &str| {
            let verdict = Verdict { link, method: "GET".to_owned(), target: "/x".to_owned(), ..Verdict::default() };
            let shown = anstream::adapter::strip_str(&text(&verdict)).to_string();
            assert_eq!(shown.lines().filter(|line| line.contains("trace")).collect::<Vec<_>>().join("\n"), expected);
        };
        let of = |method: &str, trace: &str, candidates: &[&str]| Link {
            method: method.to_owned(),
            confidence: 0.97,
            trace_id: trace.to_owned(),
            candidates: candidates.iter().map(|id| (*id).to_owned()).collect(),
            ..Link::default()
        };
        check(None, "");
        check(Some(of("none", "", &[])), "");
        check(Some(of("trace_context", "4bf9", &[])), "  trace: 4bf9 (trace_context)");
        check(Some(of("timing", "4bf9", &["4bf9"])), "  trace: 4bf9 (timing, 97% sure)");
        check(Some(of("timing", "", &["4bf9", "5c"])), "  could be trace 4bf9 or 5c");
    }
}
