//! why502 tells why NGINX answered 502.

use clap::Parser;
use std::process::ExitCode;
use why502::cli::Cli;

/// In a storm of failures half of the time went into the C library's; this one also gives memory back after it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    why502::commands::run(cli)
}
