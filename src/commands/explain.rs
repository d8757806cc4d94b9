//! `why502 explain`: files in, every failed request with its cause out.

use crate::cli::{Explain, Group, ReportFormat};
use crate::commands::{INCOMPLETE, nginx_conf, say};
use crate::engine::evidence::SECOND;
use crate::engine::formats::{AccessFormats, LogFormat, Reader, gunicorn_format};
use crate::explain::report::{Filter, Report, json::Json, markdown::Markdown, text::Text};
use crate::explain::{self, Options};
use anyhow::Context;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

/// Explains files.
///
/// # Errors
/// When the report cannot be written, or a log format does not parse.
pub fn run(options: &Explain) -> anyhow::Result<ExitCode> {
    let mut problems = Vec::new();
    let reader = Reader::with_access_formats(formats(options, &mut problems)?);
    let filter =
        Filter { causes: options.cause.clone(), since: options.since, until: options.until, limit: options.limit };
    let by_cause = options.group == Group::Cause;
    let mut report: Box<dyn Report> = match options.format {
        ReportFormat::Text => Box::new(Text::new(filter.limit, by_cause)),
        ReportFormat::Json => Box::new(Json),
        ReportFormat::Markdown => Box::new(Markdown::new(filter.limit, by_cause)),
    };
    let bar = progress_bar();
    let told = bar.clone();
    let files = Options {
        files: options.files.clone(),
        traces: options.traces.clone(),
        zone: options.time_zone.map(|seconds| seconds.saturating_mul(SECOND)),
        progress: bar
            .is_some()
            .then(|| Box::new(move |bytes| told.iter().for_each(|bar| bar.set_position(bytes))) as Box<dyn Fn(u64)>),
    };
    let mut out = BufWriter::new(anstream::stdout().lock());
    let mut written: io::Result<()> = Ok(());
    let mut shown = 0_u64;
    let limit = if options.format == ReportFormat::Json { options.limit } else { None };
    let mut totals = explain::run(&files, &reader, |explained| {
        if written.is_ok() && filter.fits(explained.verdict) && limit.is_none_or(|limit| shown < limit) {
            shown += 1;
            written = report.verdict(&mut out, &explained);
        }
    });
    totals.problems.splice(0..0, problems);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    written?;
    report.finish(&mut out, &totals)?;
    out.flush()?;
    for problem in &totals.problems {
        say(problem);
    }
    Ok(if totals.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

/// The formats that the user named, those of options before those of a configuration.
fn formats(options: &Explain, problems: &mut Vec<String>) -> anyhow::Result<AccessFormats> {
    let compiled = options.log_format.iter().map(|text| LogFormat::compile(text)).collect::<Result<Vec<_>, _>>();
    let mut nginx = compiled.context("--log-format")?;
    let compiled = options.gunicorn_format.iter().map(|text| gunicorn_format::compile(text)).collect();
    let gunicorn: Result<Vec<_>, _> = compiled;
    if let Some(path) = &options.nginx_conf {
        let conf = nginx_conf::load(path).context("--nginx-conf")?;
        problems.extend(conf.mistakes.iter().map(ToString::to_string));
        nginx.extend(conf.log_formats);
    }
    Ok(AccessFormats::new(nginx, gunicorn.context("--gunicorn-format")?))
}

/// Only for a person who waits, and only when it takes long: it draws itself after a second.
fn progress_bar() -> Option<indicatif::ProgressBar> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let bar = indicatif::ProgressBar::new_spinner();
    let style = indicatif::ProgressStyle::with_template("{spinner} {bytes} read, {bytes_per_sec}").ok()?;
    bar.set_style(style);
    Some(bar)
}
