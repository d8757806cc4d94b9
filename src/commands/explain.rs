//! `why502 explain`: files in, every failed request with its cause out.

use crate::cli::{Explain, Group, Reading, ReportFormat};
use crate::commands::wrap::{self, Wrapped};
use crate::commands::{INCOMPLETE, USAGE, formats, nginx_conf, say};
use crate::explain::report::{
    Filter, Finished, Outside, Report, Writer, html::Html, json::Json, markdown::Markdown, text::Text,
};
use crate::explain::{self, Options};
use crate::read::evidence::SECOND;
use crate::read::formats::Reader;
use crate::read::nginx_conf::NginxConf;
use crate::read::text::printable;
use anyhow::Context;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Problems that are listed; a directory of the wrong kind has thousands.
const PROBLEMS_MAX: usize = 100;
/// Input that takes so long that somebody wonders.
const LARGE_BYTES: u64 = 64 << 20;

/// Explains files.
///
/// # Errors
/// When the report cannot be written.
pub fn run(options: &Explain) -> anyhow::Result<ExitCode> {
    if let (Some(since), Some(until)) = (options.since, options.until)
        && since >= until
    {
        say("error: --since is not before --until: nothing can lie between them");
        return Ok(ExitCode::from(USAGE));
    }
    let mut problems = Vec::new();
    let nginx = configuration(&options.reading, &mut problems);
    let reader = Reader::with_access_formats(formats(&options.reading, nginx.as_ref(), &mut problems));
    let filter = Filter {
        causes: options.cause.clone(),
        since: options.since,
        until: options.until,
        limit: options.limit,
        by_cause: options.group == Group::Cause,
        each: options.each,
    };
    let stdout = anstream::stdout();
    let colours = stdout.current_choice() != anstream::ColorChoice::Never;
    let report: Box<dyn Report> = match (&options.html, options.format) {
        (Some(_), _) => Box::new(Html),
        (None, ReportFormat::Text) => Box::new(Text { colours }),
        (None, ReportFormat::Json) => Box::new(Json),
        (None, ReportFormat::Markdown) => Box::new(Markdown),
    };
    let mut out: Box<dyn Write> = match (&options.html, options.format, wrap::width()) {
        (Some(path), ..) => Box::new(BufWriter::new(created(path)?)),
        (None, ReportFormat::Text, Some(width)) => Box::new(BufWriter::new(Wrapped::new(stdout.lock(), width))),
        (None, ReportFormat::Text, None) => Box::new(BufWriter::new(stdout.lock())),
        (None, ReportFormat::Json | ReportFormat::Markdown, _) => Box::new(BufWriter::new(io::stdout().lock())),
    };
    // JSON lines come while it reads: on the same screen the bar would stand among them.
    let bar = (options.format != ReportFormat::Json || !io::stdout().is_terminal()).then(Bar::new).flatten();
    let files = Options {
        files: options.files.clone(),
        traces: options.reading.traces.clone(),
        zone: options.reading.time_zone.map(|seconds| seconds.saturating_mul(SECOND)),
        nginx: nginx.map(Arc::new),
        progress: bar.map(|bar| Box::new(move |done, all| bar.show(done, all)) as explain::Progress),
        without_texts: options.format == ReportFormat::Json,
        all: options.all,
    };
    let mut writer = Writer::new(report.as_ref(), &filter, out.as_mut());
    let mut written: io::Result<()> = Ok(());
    let totals = explain::run_while(&files, &reader, |told| {
        written = writer.told(told);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    problems.extend(totals.problems.iter().cloned());
    // Takes the bar off the screen.
    drop(files);
    let written = written.and_then(|()| writer.finish(&totals));
    for note in &totals.notes {
        say(&format!("note: {}", printable(note)));
    }
    for problem in problems.iter().take(PROBLEMS_MAX) {
        say(&printable(problem));
    }
    if let Some(more) = problems.len().checked_sub(PROBLEMS_MAX).filter(|more| *more > 0) {
        say(&format!("{more} more problems of this kind are not listed"));
    }
    let Finished { hidden, outside } = written.context("the report")?;
    if let Some(path) = &options.html {
        say(&format!("the report is in {}", path.display()));
    }
    if let Some(words) = outside.and_then(Outside::words) {
        say(&format!("note: {words}"));
    }
    if hidden > 0 {
        say(&format!("note: {hidden} more failed requests are not shown; a larger --limit shows them"));
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

/// A file for the report, made anew.
fn created(path: &Path) -> anyhow::Result<File> {
    File::create(path)
        .with_context(|| format!("cannot write {}; check the path and who may write there", path.display()))
}

/// nginx's configuration. What is wrong with it is a problem, not an end.
fn configuration(reading: &Reading, problems: &mut Vec<String>) -> Option<NginxConf> {
    match reading.nginx_conf.as_deref().map(nginx_conf::load)? {
        Ok(conf) => {
            problems.extend(conf.mistakes.iter().map(ToString::to_string));
            Some(conf)
        }
        Err(error) => {
            problems.push(format!("{error:#}; log formats are inferred from the lines"));
            None
        }
    }
}

/// A progress bar, for a person who waits: only on a terminal, and only where there is much to read.
struct Bar {
    bar: indicatif::ProgressBar,
    styled: AtomicBool,
}

impl Bar {
    fn new() -> Option<Bar> {
        // Hidden where standard error is no terminal; the check spares the work of it.
        io::stderr().is_terminal().then(|| Bar {
            bar: indicatif::ProgressBar::with_draw_target(None, indicatif::ProgressDrawTarget::hidden()),
            styled: AtomicBool::new(false),
        })
    }

    fn show(&self, done: u64, all: Option<u64>) {
        // Where the size is unknown (a pipe) it shows when much has come.
        if all.unwrap_or(done) < LARGE_BYTES {
            return;
        }
        if !self.styled.swap(true, Ordering::Relaxed) {
            let template = match all {
                Some(_) => "{percent:>3} % [{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
                None => "{spinner} {bytes} read, {bytes_per_sec}",
            };
            if let Ok(style) = indicatif::ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            if let Some(all) = all {
                self.bar.set_length(all);
            }
        }
        self.bar.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
