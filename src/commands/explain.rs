//! `why502 explain`: files in, every failed request with its cause out.

use crate::cli::{Explain, Group, ReportFormat};
use crate::commands::{INCOMPLETE, nginx_conf, say};
use crate::engine::evidence::SECOND;
use crate::engine::formats::{AccessFormats, LogFormat, Reader, gunicorn_format};
use crate::engine::text::printable;
use crate::explain::report::{Filter, Report, Writer, json::Json, markdown::Markdown, text::Text};
use crate::explain::{self, Options};
use anyhow::Context;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Explains files.
///
/// # Errors
/// When the report cannot be written, or a log format does not parse.
pub fn run(options: &Explain) -> anyhow::Result<ExitCode> {
    let mut problems = Vec::new();
    let reader = Reader::with_access_formats(formats(options, &mut problems)?);
    let filter = Filter {
        causes: options.cause.clone(),
        since: options.since,
        until: options.until,
        limit: options.limit,
        by_cause: options.group == Group::Cause,
    };
    let stdout = anstream::stdout();
    let colours = stdout.current_choice() != anstream::ColorChoice::Never;
    let report: Box<dyn Report> = match options.format {
        ReportFormat::Text => Box::new(Text { colours }),
        ReportFormat::Json => Box::new(Json),
        ReportFormat::Markdown => Box::new(Markdown),
    };
    let mut out: Box<dyn Write> = match options.format {
        ReportFormat::Text => Box::new(BufWriter::new(stdout.lock())),
        ReportFormat::Json | ReportFormat::Markdown => Box::new(BufWriter::new(io::stdout().lock())),
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
    let mut writer = Writer::new(report.as_ref(), &filter, out.as_mut());
    let mut written: io::Result<()> = Ok(());
    let mut totals = explain::run_while(&files, &reader, |explained| {
        written = writer.verdict(&explained);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    totals.problems.splice(0..0, problems);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    written.and_then(|()| writer.finish(&totals)).context("the report")?;
    for problem in &totals.problems {
        say(&printable(problem));
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
