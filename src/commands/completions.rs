//! Completion scripts and the manual page, out of the command line itself.

use crate::cli::Cli;
use clap::CommandFactory;
use std::process::ExitCode;

/// Prints a completion script.
///
/// # Errors
/// When it cannot be written.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "why502", &mut text);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page.
///
/// # Errors
/// When it cannot be written.
pub fn man() -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text)?;
    std::io::Write::write_all(&mut std::io::stdout().lock(), &text)?;
    Ok(ExitCode::SUCCESS)
}
