//! `why502 schema`: contracts as JSON Schema, for editors and programs.

use crate::cli::{Schema, SchemaOf};
use crate::config;
use crate::explain::report::schema;
use std::io::Write;
use std::process::ExitCode;

/// Prints one.
///
/// # Errors
/// When it cannot be written.
pub fn run(options: &Schema) -> anyhow::Result<ExitCode> {
    let schema = match options.of {
        SchemaOf::Configuration => config::schema::schema(),
        SchemaOf::Explain => schema::schema(),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{schema:#}")?;
    Ok(ExitCode::SUCCESS)
}
