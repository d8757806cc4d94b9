//! `why502 watch`: the verdicts of a running why502 as they come.

use crate::cli::{TextOrJson, Watch};
use crate::commands::{INCOMPLETE, runtime, say};
use crate::engine::verdict::percent;
use crate::read::text::printable;
use crate::read::time::rfc3339;
use crate::web::api::verdicts_client::VerdictsClient;
use crate::web::api::{Filter, Verdict, WatchRequest};
use anstyle::{AnsiColor, Style};
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How long to wait before the next try to connect.
const RECONNECT: Duration = Duration::from_secs(2);

/// Shows verdicts until it is interrupted.
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
    Refused(tonic::Status),
}

async fn watch(options: &Watch, backlog: u32) -> Result<(), Ended> {
    let refused = |error: String| Ended::Refused(tonic::Status::unavailable(error));
    // With the authorities of the system where it begins with https.
    let endpoint = tonic::transport::Endpoint::new(options.to.url.clone()).map_err(|error| refused(root(&error)))?;
    let channel = endpoint.connect().await.map_err(|error| refused(format!("cannot connect: {}", root(&error))))?;
    let filter = Filter { causes: options.cause.clone(), ..Filter::default() };
    let request = WatchRequest { filter: Some(filter), backlog };
    let mut verdicts = VerdictsClient::new(channel).watch(request).await.map_err(Ended::Refused)?.into_inner();
    while let Some(verdict) = verdicts.message().await.map_err(Ended::Refused)? {
        let mut out = anstream::stdout().lock();
        let text = match options.format {
            TextOrJson::Json => format!("{}\n", object(&verdict)),
            TextOrJson::Text => text(&verdict),
        };
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Ended::Output)?;
    }
    Ok(())
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
    out.push_str(&format!("  what to do: {}\n\n", printable(&verdict.hint)));
    out
}

fn object(verdict: &Verdict) -> serde_json::Value {
    let link = verdict.link.clone().unwrap_or_default();
    json!({
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
