//! The command line: every subcommand with its options.

use crate::config::moment::{EXPECTED, moment};
use crate::config::settings::{Endpoint, Place};
use crate::read::formats::log_format::LogFormatError;
use crate::read::formats::{LogFormat, gunicorn_format as of_gunicorn};
use clap::{Args, Parser, Subcommand, ValueEnum};
use http::uri::Scheme;
use std::ffi::OsString;
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

/// The arguments with `--group` made whole: a file that follows it is no word of its own.
pub fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut given = given.peekable();
    let mut all = Vec::new();
    while let Some(argument) = given.next() {
        // A word of letters is one that was mistyped, where it is none of ours.
        let is_letters = |next: &str| !next.is_empty() && next.bytes().all(|byte| byte.is_ascii_alphabetic());
        let is_word = |next: &OsString| next.to_str().is_some_and(is_letters);
        if argument == "--group" && !given.peek().is_some_and(is_word) {
            all.push("--group=cause".into());
        } else if argument == "--" {
            all.push(argument);
            all.extend(given.by_ref());
        } else {
            all.push(argument);
        }
    }
    all
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
    /// Show the incidents and verdicts of a running why502 as they come
    Watch(Watch),
    /// Ask a running why502 whether it takes data: for the health check of a container, exit code 0 or 1
    Health(Health),
    /// Look into the directory of a journal, check it, or repair it
    Journal(Journal),
    /// Answer an agent's questions about log files by the Model Context Protocol
    Mcp(Mcp),
    /// Print a JSON Schema: of the configuration, or of `explain --format json`
    Schema(Schema),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a page of the manual, or write all of them
    Man(Man),
}

/// What is done with a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JournalAction {
    /// Show what is in it and what each exporter lacks; a running why502 may have it open
    Inspect,
    /// Read all of it: exit code 0 when it is sound, 1 when something is damaged
    Verify,
    /// Keep what can be read and set aside what cannot; no why502 may have it open
    Repair,
}

/// Options of `journal`.
#[derive(Debug, Args)]
pub struct Journal {
    /// What to do
    #[arg(value_enum)]
    pub action: JournalAction,
    /// The directory: `journal::directory` of the configuration
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// How log files are read that are named on the command line.
#[derive(Debug, Args)]
pub struct Reading {
    /// OTLP JSON as the collector's file exporter writes it
    #[arg(long, value_name = "FILE")]
    pub traces: Vec<String>,
    /// How far local time in nginx's error log is ahead of UTC (+02:00); inferred without it
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true, value_parser = zone)]
    pub time_zone: Option<i64>,
    /// Text of the nginx `log_format` directive that the access logs have; may be repeated
    #[arg(long, value_name = "TEXT", value_parser = log_format)]
    pub log_format: Vec<LogFormat>,
    /// Text of Gunicorn's `access_log_format`; may be repeated
    #[arg(long, value_name = "TEXT", value_parser = gunicorn_format)]
    pub gunicorn_format: Vec<GunicornFormat>,
    /// An nginx configuration: its log formats are then known, and its upstreams and timeouts count as evidence
    #[arg(long, value_name = "FILE")]
    pub nginx_conf: Option<PathBuf>,
}

/// Options of `mcp`.
#[derive(Debug, Args)]
pub struct Mcp {
    /// Log files, globs, directories: all that may be read, whatever the agent asks for
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Listen here over HTTP (`/mcp`), on the loopback alone; standard input and output without it
    #[arg(long, value_name = "ENDPOINT")]
    pub http: Option<String>,
    /// What is read beside them, and how
    #[command(flatten)]
    pub reading: Reading,
}

/// Options of `schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// What is described
    #[arg(value_enum)]
    pub of: SchemaOf,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The configuration
    Configuration,
    /// One line of `explain --format json`
    Explain,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The subcommand that the page is about; about all of them without it
    pub command: Option<String>,
    /// Write every page into this folder, which is made where it is missing: `why502.1`, `why502-run.1` and so on
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    pub out: Option<PathBuf>,
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
    /// Files or globs; a file may appear later; `-` is standard input, and it ends with it
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// OTLP/gRPC endpoint
    #[arg(long, default_value = "http://127.0.0.1:4317", value_name = "ENDPOINT", value_parser = endpoint)]
    pub to: Endpoint,
    /// Begin with what the files hold already
    #[arg(long)]
    pub from_start: bool,
    /// Keep how far files were delivered in this file, and go on from there after a restart
    #[arg(long, value_name = "FILE")]
    pub positions: Option<PathBuf>,
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
    /// How the report is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: ReportFormat,
    /// Write the report into this file as one page of HTML for a ticket: styles are in it, and it loads and runs nothing
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    pub html: Option<PathBuf>,
    /// Only this cause; may be repeated
    #[arg(long, value_name = "ID", value_parser = cause)]
    pub cause: Vec<String>,
    /// Only what failed at or after this time, as logs have it or as you say it: 2026-11-22T07:14:39Z, 22/Nov/2026:07:14:39
    /// +0000, 2026/11/22 07:14, 1795331679, 07:14, yesterday, or 2h for so long ago; UTC where no offset is written
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<i64>,
    /// Only what failed before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<i64>,
    /// Show every failed request; without it equal stories are told once with a count, and JSON has every one in any case
    #[arg(long)]
    pub each: bool,
    /// Show at most so many requests one by one, of each cause with `--group cause`; the summary counts all
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub limit: Option<u64>,
    /// Good requests too, each with its trace
    #[arg(long)]
    pub all: bool,
    /// How the report is grouped; by cause where no word follows
    #[arg(long, value_enum, default_value = "none", num_args = 0..=1, default_missing_value = "cause")]
    pub group: Group,
    /// What is read beside them, and how
    #[command(flatten)]
    pub reading: Reading,
}

/// Options of `parse`.
#[derive(Debug, Args)]
pub struct Parse {
    /// Log files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Text of an nginx `log_format` directive; every line is read by it
    #[arg(long, value_name = "TEXT", value_parser = log_format)]
    pub log_format: Option<LogFormat>,
    /// Text of Gunicorn's `access_log_format`; every line is read by it
    #[arg(long, value_name = "TEXT", value_parser = gunicorn_format, conflicts_with = "log_format")]
    pub gunicorn_format: Option<GunicornFormat>,
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
    #[arg(long, default_value = "http://127.0.0.1:4317", value_name = "ENDPOINT", value_parser = endpoint)]
    pub to: Endpoint,
    /// Only this cause; may be repeated
    #[arg(long, value_name = "ID", value_parser = cause)]
    pub cause: Vec<String>,
    /// First show so many verdicts and incidents that were reached before, at most 1000
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub backlog: u32,
    /// Show every verdict; without it equal stories are told once, and JSON has every one in any case
    #[arg(long)]
    pub each: bool,
    /// How verdicts are written
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
}

/// Options of `health`.
#[derive(Debug, Args)]
pub struct Health {
    /// Where it answers probes: the endpoint of its extension `health_check`, or that of OTLP over HTTP
    #[arg(long, value_name = "ENDPOINT", default_value = "http://127.0.0.1:13133", value_parser = endpoint)]
    pub to: Endpoint,
    /// Its configuration, which says where it answers
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub config: Option<PathBuf>,
    /// Ask whether it lives alone: a full queue is then no failure
    #[arg(long)]
    pub live: bool,
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let url = crate::config::endpoint::grpc(text, Scheme::HTTP).map_err(|error| error.to_string())?;
    Ok(Endpoint { url, place: Place { key: "--to".to_owned(), line: 0 } })
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    LogFormat::compile(text).map_err(|error| match error {
        LogFormatError::NoVariable if text.contains("%(") => {
            "it looks like Gunicorn's access_log_format; give it with --gunicorn-format".to_owned()
        }
        other => other.to_string(),
    })
}

/// A format of Gunicorn's, with what in it Gunicorn does not know.
#[derive(Clone, Debug)]
pub struct GunicornFormat {
    /// The format.
    pub format: LogFormat,
    /// Atoms for which Gunicorn prints `-`.
    pub unknown: Vec<String>,
}

fn gunicorn_format(text: &str) -> Result<GunicornFormat, String> {
    let format = of_gunicorn::compile(text).map_err(|error| match error {
        LogFormatError::NoVariable if text.contains('$') => {
            "it looks like nginx's log_format; give it with --log-format".to_owned()
        }
        other => other.to_string(),
    })?;
    Ok(GunicornFormat { format, unknown: of_gunicorn::unknown_atoms(text) })
}

fn zone(text: &str) -> Result<i64, String> {
    crate::config::values::zone(text).ok_or_else(|| "an offset such as +02:00, or UTC".to_owned())
}

fn time(text: &str) -> Result<i64, String> {
    moment(text, crate::clock::now()).ok_or_else(|| EXPECTED.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_needs_no_value() {
        let check = |given: &str, group: Group, files: &[&str]| {
            let all = arguments(given.split(' ').map(OsString::from));
            let Ok(Cli { command: Command::Explain(explain) }) = Cli::try_parse_from(all) else { panic!("{given}") };
            assert_eq!((explain.group, explain.files), (group, files.iter().map(|file| (*file).to_owned()).collect()));
        };
        check("why502 explain a.log", Group::None, &["a.log"]);
        check("why502 explain a.log --group", Group::Cause, &["a.log"]);
        check("why502 explain --group a.log b.log", Group::Cause, &["a.log", "b.log"]);
        check("why502 explain --group cause a.log", Group::Cause, &["a.log"]);
        check("why502 explain --group none a.log", Group::None, &["a.log"]);
        check("why502 explain --group=none a.log", Group::None, &["a.log"]);
        check("why502 explain --group --each a.log", Group::Cause, &["a.log"]);
        check("why502 explain -- --group", Group::None, &["--group"]);
    }
}
