//! One file a subcommand, glue only.

pub mod causes;
pub mod completions;
pub mod explain;
pub mod health;
pub mod journal;
pub mod mcp;
pub mod nginx_conf;
pub mod parse;
pub mod preflight;
mod reload;
pub mod run;
pub mod schema;
mod signals;
pub mod tail;
pub mod validate;
pub mod watch;
mod wrap;

use crate::cli::{Cli, Command, GunicornFormat, Reading};
use crate::read::formats::{AccessFormats, LogFormat};
use crate::read::nginx_conf::{NginxConf, variables};
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit code where something could not be read or done; what it was has been said on standard error.
pub const INCOMPLETE: u8 = 1;

/// Exit code for options that contradict each other; those that do not parse end in the command line's own reader.
pub const USAGE: u8 = 2;

/// Runs a subcommand. Errors are one sentence on standard error.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Run(options) => run::run(&options),
        Command::Tail(options) => tail::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Parse(options) => parse::run(&options),
        Command::Validate(options) => validate::run(&options),
        Command::Causes(options) => causes::run(&options),
        Command::Watch(options) => watch::run(&options),
        Command::Health(options) => health::run(&options),
        Command::Journal(options) => journal::run(&options),
        Command::Mcp(options) => mcp::run(&options),
        Command::Schema(options) => schema::run(&options),
        Command::Completions { shell } => completions::completions(shell),
        Command::Man(options) => completions::man(&options),
    };
    match result {
        Ok(code) => code,
        // `why502 explain ... | head` has read enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(INCOMPLETE)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

/// One line on standard error; where nobody listens there is nobody to tell.
pub fn say(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Tells systemd, where it is the one that started us (`Type=notify`); others are not told anything.
pub fn tell_service_manager(state: &sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// The environment, for the configuration alone.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The runtime of the commands that have one.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The formats that the user named, those of options before those of a configuration.
fn formats(reading: &Reading, nginx: Option<&NginxConf>, problems: &mut Vec<String>) -> AccessFormats {
    let mut formats = reading.log_format.clone();
    problems.extend(unknown_names(formats.iter(), reading.gunicorn_format.iter()));
    formats.extend(nginx.iter().flat_map(|conf| conf.log_formats.iter().cloned()));
    let gunicorn = reading.gunicorn_format.iter().map(|given| given.format.clone()).collect();
    let formats = AccessFormats::new(formats, gunicorn);
    problems.extend(formats.left_out());
    formats
}

/// What is odd about formats that were given by options: names that nothing prints.
pub fn unknown_names<'a>(
    nginx: impl Iterator<Item = &'a LogFormat>,
    gunicorn: impl Iterator<Item = &'a GunicornFormat>,
) -> Vec<String> {
    let names = nginx.flat_map(LogFormat::variables).filter(|name| !variables::is_known(name));
    let of_nginx = names.map(|name| format!("--log-format: {}", variables::unknown(name)));
    let atoms = gunicorn.flat_map(|format| &format.unknown);
    of_nginx
        .chain(atoms.map(|atom| format!("--gunicorn-format: Gunicorn has no %({atom})s and prints - for it")))
        .collect()
}
