//! why502 tells why NGINX answered 502.

use clap::Parser;
use std::process::ExitCode;
use why502::cli::Cli;

/// In a storm of failures the C library's allocator made the program take nearly three times as long; this one gives memory
/// back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse_from(why502::cli::arguments(std::env::args_os()));
    why502::commands::run(cli)
}
