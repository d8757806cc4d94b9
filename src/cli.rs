//! The command line: every subcommand with its options.

use crate::engine::formats::LogFormat;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Tells why NGINX answered 502.
#[derive(Debug, Parser)]
#[command(
    name = "why502",
    version,
    about = "Tells why NGINX answered 502: an OpenTelemetry log and trace processor",
    after_help = "Exit codes: 0 everything was read, 1 something could not be read or done (said on standard error), 2 usage."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive OTLP, enrich, forward; without a configuration: loopback only, verdicts on the terminal
    Run(Run),
    /// Follow log files and send their lines as OTLP logs: for a host without a collector
    Tail(Tail),
    /// Read log files of any mix and print every failed request with cause, evidence and what to do
    Explain(Explain),
    /// Show what each line is read as
    Parse(Parse),
    /// Check a configuration: every mistake at once, each with its line
    Validate(Validate),
    /// List the causes, or tell everything about one
    Causes(Causes),
    /// Show the verdicts of a running why502 as they come
    Watch(Watch),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Configuration in the shape of the OpenTelemetry Collector's; the embedded default without it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Options of `tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// Files or globs; a file may appear later
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// OTLP/gRPC endpoint
    #[arg(long, default_value = "http://127.0.0.1:4317", value_name = "ENDPOINT")]
    pub to: String,
    /// Begin with what the files hold already
    #[arg(long)]
    pub from_start: bool,
    /// `service.name` of the resource
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    Text,
    /// One object a line
    Json,
    /// For a ticket
    Markdown,
}

/// Text or JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TextOrJson {
    /// For people
    Text,
    /// For programs
    Json,
}

/// How a report is grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// In order of time
    None,
    /// Under their cause, the most frequent first
    Cause,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// Log files of any mix, globs, directories; `-` is standard input; gzip and zstd are read
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// OTLP JSON as the collector's file exporter writes it
    #[arg(long, value_name = "FILE")]
    pub traces: Vec<String>,
    /// How the report is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: ReportFormat,
    /// How far local time in nginx's error log is ahead of UTC (+02:00); inferred without it
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true, value_parser = zone)]
    pub time_zone: Option<i64>,
    /// Only this cause; may be repeated
    #[arg(long, value_name = "ID", value_parser = cause)]
    pub cause: Vec<String>,
    /// Only what failed at or after this time (2026-11-22T07:14:39Z)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<i64>,
    /// Only what failed before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<i64>,
    /// Show at most so many requests one by one, of each cause with `--group cause`; the summary counts all
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// How the report is grouped
    #[arg(long, value_enum, default_value = "none")]
    pub group: Group,
    /// Text of the nginx `log_format` directive that the access logs have; may be repeated
    #[arg(long, value_name = "TEXT", value_parser = log_format)]
    pub log_format: Vec<LogFormat>,
    /// Text of Gunicorn's `access_log_format`; may be repeated
    #[arg(long, value_name = "TEXT", value_parser = gunicorn_format)]
    pub gunicorn_format: Vec<LogFormat>,
    /// An nginx configuration: its log formats are then known, and its upstreams and timeouts count as evidence
    #[arg(long, value_name = "FILE")]
    pub nginx_conf: Option<PathBuf>,
}

/// Options of `parse`.
#[derive(Debug, Args)]
pub struct Parse {
    /// Log files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Text of an nginx `log_format` directive; every line is read by it
    #[arg(long, value_name = "TEXT")]
    pub log_format: Option<String>,
    /// Text of Gunicorn's `access_log_format`; every line is read by it
    #[arg(long, value_name = "TEXT", conflicts_with = "log_format")]
    pub gunicorn_format: Option<String>,
    /// An nginx configuration: its formats are known, and which file has which
    #[arg(long, value_name = "FILE")]
    pub nginx_conf: Option<PathBuf>,
    /// How the answer is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
}

/// Options of `validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Try to connect to every exporter's endpoint
    #[arg(long)]
    pub connect: bool,
}

/// Options of `causes`.
#[derive(Debug, Args)]
pub struct Causes {
    /// One cause in full
    #[arg(value_parser = cause)]
    pub id: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
}

/// Options of `watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// The gRPC endpoint of a running why502
    #[arg(long, default_value = "http://127.0.0.1:4317", value_name = "ENDPOINT")]
    pub to: String,
    /// Only this cause; may be repeated
    #[arg(long, value_name = "ID", value_parser = cause)]
    pub cause: Vec<String>,
    /// First show so many verdicts that were reached before, at most 1000
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub backlog: u32,
    /// How verdicts are written
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    LogFormat::compile(text).map_err(|error| error.to_string())
}

fn gunicorn_format(text: &str) -> Result<LogFormat, String> {
    crate::engine::formats::gunicorn_format::compile(text).map_err(|error| error.to_string())
}

fn zone(text: &str) -> Result<i64, String> {
    crate::config::values::zone(text).ok_or_else(|| "an offset such as +02:00, or UTC".to_owned())
}

fn time(text: &str) -> Result<i64, String> {
    let stamp = crate::engine::formats::gunicorn_error::iso_stamp(text);
    stamp.map(|stamp| stamp.nanos).ok_or_else(|| "a time such as 2026-11-22T07:14:39Z".to_owned())
}

fn cause(text: &str) -> Result<String, String> {
    if crate::engine::causes::by_id(text).is_some() {
        return Ok(text.to_owned());
    }
    let nearest =
        crate::engine::causes::all().iter().map(|cause| (strsim::damerau_levenshtein(text, cause.id), cause.id)).min();
    match nearest {
        Some((distance, id)) if distance <= 4 => Err(format!("no such cause; did you mean `{id}`?")),
        _ => Err("no such cause; `why502 causes` lists them".to_owned()),
    }
}
