//! The command line: every subcommand with its options.

use crate::config::settings::{Endpoint, Place};
use crate::read::formats::log_format::LogFormatError;
use crate::read::formats::{LogFormat, gunicorn_format as of_gunicorn};
use clap::{Args, Parser, Subcommand, ValueEnum};
use http::uri::Scheme;
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
    /// Show the incidents and verdicts of a running why502 as they come
    Watch(Watch),
    /// Ask a running why502 whether it takes data: for the health check of a container, exit code 0 or 1
    Health(Health),
    /// Look into the directory of a journal, check it, or repair it
    Journal(Journal),
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

/// Options of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The subcommand that the page is about; about all of them without it
    pub command: Option<String>,
    /// Write every page into this folder: `why502.1`, `why502-run.1` and so on
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
    /// Files or globs; a file may appear later
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
    /// Only what failed at or after this time: 2026-11-22T07:14:39Z, 2026-11-22 (UTC where no offset is written), or 2h for
    /// so long ago
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
    /// How the report is grouped
    #[arg(long, value_enum, default_value = "none")]
    pub group: Group,
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
    moment(text, crate::clock::now()).ok_or_else(|| {
        "a time such as 2026-11-22T07:14:39Z or 2026-11-22T07:14+01:00, a day such as 2026-11-22, or how long ago, such as 90m, 2h or 3d".to_owned()
    })
}

/// Nanoseconds since 1970 of a time that somebody typed. UTC where no offset is written, as in the report.
fn moment(text: &str, now: i64) -> Option<i64> {
    let ago = match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => Some(std::time::Duration::from_secs(u64::from(days) * 86_400)),
        _ => crate::config::values::duration(text).filter(|_| text != "0"),
    };
    if let Some(ago) = ago {
        return now.checked_sub(i64::try_from(ago.as_nanos()).ok()?);
    }
    let (date, rest) = text.split_at_checked(10)?;
    let date = numbers(date, '-', &[4, 2, 2])?;
    let (clock, offset) = match rest.strip_prefix(['T', 't', ' ']) {
        None if rest.is_empty() => ("00:00", "Z"),
        None => return None,
        Some(rest) => {
            rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && !":.".contains(c)).unwrap_or(rest.len()))
        }
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let clock = numbers(clock, ':', &[2, 2, 2]).or_else(|| numbers(clock, ':', &[2, 2]))?;
    let offset = match offset.trim_start() {
        "" => 0,
        offset => crate::config::values::zone(offset)?,
    };
    if fraction.is_empty() || fraction.len() > 9 || fraction.bytes().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let ([year, month, day], [hour, minute, rest @ ..]) = (date.as_slice(), clock.as_slice()) else { return None };
    let second = rest.first().copied().unwrap_or(0);
    let utc = crate::read::time::from_utc(i64::from(*year), *month, *day, *hour, *minute, second)?;
    utc.checked_add(nanos)?.checked_sub(offset.checked_mul(crate::read::evidence::SECOND)?)
}

/// Numbers of so many digits each.
fn numbers(text: &str, between: char, digits: &[usize]) -> Option<Vec<u32>> {
    let parts: Vec<&str> = text.split(between).collect();
    let fits = parts.len() == digits.len()
        && parts
            .iter()
            .zip(digits)
            .all(|(part, count)| part.len() == *count && part.bytes().all(|b| b.is_ascii_digit()));
    if fits { parts.into_iter().map(|part| part.parse().ok()).collect() } else { None }
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
    use crate::read::time::rfc3339;

    #[test]
    fn times_as_people_type_them() {
        let now = moment("2026-11-22T12:00:00Z", 0).expect("a time");
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(moment(text, now).map(rfc3339).as_deref(), expected, "{text}");
        };
        check("2026-11-22T07:14:39Z", Some("2026-11-22T07:14:39Z"));
        check("2026-11-22 07:14:39.250", Some("2026-11-22T07:14:39.250Z"));
        check("2026-11-22T07:14+01:00", Some("2026-11-22T06:14:00Z"));
        check("2026-11-22 07:14:39 -0530", Some("2026-11-22T12:44:39Z"));
        check("2026-11-22 07:14 UTC", Some("2026-11-22T07:14:00Z"));
        check("2026-11-22", Some("2026-11-22T00:00:00Z"));
        check("2h", Some("2026-11-22T10:00:00Z"));
        check("1h30m", Some("2026-11-22T10:30:00Z"));
        check("3d", Some("2026-11-19T12:00:00Z"));
        for wrong in [
            "",
            "0",
            "now",
            "10:15",
            "2026-11-22T",
            "2026-11-22Z",
            "2026-13-01",
            "2026-02-30",
            "2026-11-22T25:00",
            "2026-11-22T07:14:39Zjunk",
            "2026-11-22T07:14:39 CET",
            "2026-11-22T07:14:39+0200 junk",
            "2026-11-22T7:14",
            "2026-1-22",
            "20261122",
            "2026-11-22T07:14:39.",
            "2026-11-22T07:14:39.1.2",
            "99999999999999999h",
            "\u{e4}026-11-22",
        ] {
            check(wrong, None);
        }
    }
}
