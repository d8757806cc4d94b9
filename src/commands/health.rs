//! `why502 health`: asks a running why502 over HTTP, as a probe does, for containers that hold no other program.

use crate::cli::Health;
use crate::commands::{INCOMPLETE, environment, runtime, say};
use crate::config::settings::{Config, Listener};
use crate::config::{self};
use crate::read::text::printable;
use crate::web::probes::{LIVE, READY};
use anyhow::Context;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// An answer must be there within this time; a probe of Kubernetes has 1 s, Docker's health check 30 s.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer that are shown.
const ANSWER_BYTES_MAX: usize = 1_024;

/// Asks, and says the answer.
///
/// # Errors
/// When the configuration cannot be read or names nothing to ask.
pub fn run(options: &Health) -> anyhow::Result<ExitCode> {
    let authority = match &options.config {
        Some(path) => of_file(path)?,
        None => format!("{}:{}", bracketed(options.to.host()), options.to.port()),
    };
    let path = if options.live { LIVE } else { READY };
    match runtime()?.block_on(async { tokio::time::timeout(TIMEOUT, ask(&authority, path)).await }) {
        Ok(Ok((StatusCode::OK, answer))) => {
            say(&answer);
            Ok(ExitCode::SUCCESS)
        }
        Ok(Ok((status, answer))) => failed(&format!("{authority} answered {}: {answer}", status.as_u16())),
        Ok(Err(problem)) => failed(&format!("{authority} does not answer: {problem}")),
        Err(_) => failed(&format!("{authority} does not answer within {} s", TIMEOUT.as_secs())),
    }
}

fn failed(text: &str) -> anyhow::Result<ExitCode> {
    say(text);
    Ok(ExitCode::from(INCOMPLETE))
}

async fn ask(authority: &str, path: &str) -> Result<(StatusCode, String), String> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(format!("http://{authority}{path}")).body(Empty::new());
    let answer = client.request(request.map_err(|error| error.to_string())?).await.map_err(|error| deepest(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok((status, printable(String::from_utf8_lossy(&body).trim()).to_string()))
}

/// "client error (Connect)" says nothing that one could act on; its source does.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Where a why502 with this configuration answers.
fn of_file(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}; check the path"))?;
    let (config, _) = config::draft(&text, &environment)
        .map_err(|mistake| anyhow::anyhow!("{shown}:{}: {}", mistake.line, mistake.text))?;
    asked(&config).ok_or_else(|| {
        anyhow::anyhow!("{shown} names nothing that answers probes; add `extensions: {{health_check: {{}}}}` and `service: {{extensions: [health_check]}}`")
    })
}

/// The extension, else OTLP over HTTP in plain text.
fn asked(config: &Config) -> Option<String> {
    let plain = |listener: &&Listener| listener.tls.is_none() && listener.port != 0;
    let health = config.health.iter().map(|health| &health.listener);
    let http = config.receivers.iter().filter_map(|receiver| receiver.http.as_ref());
    let listener = health.chain(http).find(plain)?;
    let host = match listener.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    Some(format!("{}:{}", bracketed(host), listener.port))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(extensions: &str, http: &str, expected: Option<&str>) {
        let text = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{}}{http}}}}}}}\nexporters: {{debug: {{}}}}\n{extensions}\nservice: {{{} pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}}}\n",
            if extensions.is_empty() { "" } else { "extensions: [health_check]," }
        );
        let config = config::read(&text, &|_| None).expect("valid");
        assert_eq!(asked(&config).as_deref(), expected, "{text}");
    }

    #[test]
    fn where_a_configuration_says_that_it_answers() {
        check("", "", None);
        check("", ", http: {}", Some("127.0.0.1:4318"));
        check("extensions: {health_check: {}}", ", http: {}", Some("127.0.0.1:13133"));
        check("extensions: {health_check: {endpoint: ':13133'}}", "", Some("127.0.0.1:13133"));
        check("extensions: {health_check: {endpoint: '[::]:13133'}}", "", Some("[::1]:13133"));
        check("", ", http: {endpoint: 'host:0'}", None);
    }
}
