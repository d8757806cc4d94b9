//! Completion scripts and the manual page, out of the command line itself.

use crate::cli::{Cli, Man};
use crate::commands::{USAGE, say};
use anyhow::Context;
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

/// Prints a page of the manual, or writes every page into a folder.
///
/// # Errors
/// When it cannot be written, or there is no such subcommand.
pub fn man(options: &Man) -> anyhow::Result<ExitCode> {
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build();
    if let Some(folder) = &options.out {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        clap_mangen::generate_to(all, folder).with_context(|| format!("cannot write into {}", folder.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let page = match &options.command {
        None => all,
        Some(name) => match all.find_subcommand(name) {
            Some(page) => page.clone(),
            None => {
                say(&format!("error: why502 has no subcommand {name}; `why502 --help` lists them"));
                return Ok(ExitCode::from(USAGE));
            }
        },
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    std::io::Write::write_all(&mut std::io::stdout().lock(), &text)?;
    Ok(ExitCode::SUCCESS)
}
