//! why502 tells why NGINX answered 502.

use clap::Parser;
use std::process::ExitCode;
use why502::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    why502::commands::run(cli)
}
