//! `why502 validate`: every mistake at once, each with its line.

use crate::cli::Validate;
use crate::commands::preflight::Found;
use crate::commands::{INCOMPLETE, environment, preflight, runtime, say};
use crate::config::kafka::Client;
use crate::config::settings::{Config, Endpoint, ExporterKind};
use crate::config::tree::Mistake;
use crate::config::{self};
use crate::kafka;
use crate::read::text::printable;
use anyhow::Context;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// A backend must take a connection within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Checks a configuration.
///
/// # Errors
/// When the file cannot be read or the answer cannot be written.
pub fn run(options: &Validate) -> anyhow::Result<ExitCode> {
    let Some((config, _)) = read(&options.config, preflight::look_closely)? else {
        return Ok(ExitCode::from(INCOMPLETE));
    };
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "{}: valid; {}, {}",
        options.config.display(),
        counted(config.pipelines.len(), "pipeline"),
        counted(config.exporters.len(), "exporter")
    )?;
    drop(out);
    if options.connect && !runtime()?.block_on(connect(&config)) {
        return Ok(ExitCode::from(INCOMPLETE));
    }
    Ok(ExitCode::SUCCESS)
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Reads a configuration and the files that it names, with what those tell; its mistakes and warnings go to standard error as
/// `FILE:LINE: text`. `None` when there are mistakes.
///
/// # Errors
/// When the file cannot be read.
pub fn load(path: &Path) -> anyhow::Result<Option<(Config, preflight::Learned)>> {
    read(path, preflight::look)
}

fn read(path: &Path, look: fn(&Config) -> Found) -> anyhow::Result<Option<(Config, preflight::Learned)>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}; check the path", path.display()))?;
    let (config, mut mistakes) = match config::draft(&text, &environment) {
        Ok(draft) => draft,
        Err(mistake) => {
            tell(path, "", &[mistake]);
            return Ok(None);
        }
    };
    let found = look(&config);
    mistakes.extend(found.mistakes);
    if !mistakes.is_empty() {
        mistakes.sort();
        tell(path, "", &mistakes);
        return Ok(None);
    }
    tell(path, "warning: ", &config.warnings);
    tell(path, "warning: ", &found.warnings);
    Ok(Some((config, found.learned)))
}

fn tell(path: &Path, kind: &str, mistakes: &[Mistake]) {
    for mistake in mistakes {
        say(&printable(&format!("{}:{}: {kind}{}", path.display(), mistake.line, mistake.text)));
    }
}

async fn connect(config: &Config) -> bool {
    let mut all = true;
    for exporter in &config.exporters {
        let mut tried = Vec::new();
        for endpoint in exporter.endpoints() {
            // Signals differ by path alone, mostly.
            if tried.contains(&endpoint.url.authority()) {
                continue;
            }
            tried.push(endpoint.url.authority());
            let result = try_endpoint(endpoint).await;
            all &= result.is_ok();
            let told = match result {
                Ok(()) => "takes connections".to_owned(),
                Err(problem) => format!("{problem}; check {}", endpoint.place),
            };
            say(&format!("exporters::{}: {}:{}: {told}", exporter.name, endpoint.host(), endpoint.port()));
        }
    }
    for (name, client) in clusters(config) {
        let result = kafka::connect(client, CONNECT_TIMEOUT, false).await;
        all &= result.is_ok();
        let told = match result {
            Ok(_) => format!("{} let us in", client.brokers.join(", ")),
            Err(error) => kafka::sentence(client, "the cluster", &error),
        };
        say(&format!("{name}: {told}"));
    }
    all
}

/// Clusters of Kafka, each with the name of who reads or writes there.
fn clusters(config: &Config) -> impl Iterator<Item = (String, &Client)> {
    let receivers = config.receivers.iter().filter_map(|receiver| {
        let kafka = receiver.kafka.as_ref()?;
        Some((format!("receivers::{}", receiver.name), &kafka.client))
    });
    let exporters = config.exporters.iter().filter_map(|exporter| match &exporter.kind {
        ExporterKind::Kafka(kafka) => Some((format!("exporters::{}", exporter.name), &kafka.client)),
        _ => None,
    });
    receivers.chain(exporters)
}

async fn try_endpoint(endpoint: &Endpoint) -> Result<(), String> {
    let found = tokio::net::lookup_host((endpoint.host(), endpoint.port()));
    let mut found = match tokio::time::timeout(CONNECT_TIMEOUT, found).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(format!("its name does not resolve: {error}")),
        Err(_) => return Err("its name does not resolve in time".to_owned()),
    };
    let first = found.next().ok_or_else(|| "its name has no address".to_owned())?;
    match tokio::time::timeout(CONNECT_TIMEOUT, tokio::net::TcpStream::connect(first)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{first} does not take connections: {error}")),
        Err(_) => Err(format!("{first} does not answer within {} s", CONNECT_TIMEOUT.as_secs())),
    }
}
