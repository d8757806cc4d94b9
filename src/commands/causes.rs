//! `why502 causes`: the table, or one cause in full.

use crate::cli::{Causes, TextOrJson};
use crate::engine::calibration::Rule;
use crate::engine::causes::{Cause, all, by_id};
use anstyle::Style;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// Prints the table or one cause.
///
/// # Errors
/// When it cannot be written.
pub fn run(options: &Causes) -> anyhow::Result<ExitCode> {
    let mut out = anstream::stdout().lock();
    let one = options.id.as_deref().and_then(by_id);
    match (options.format, one) {
        (TextOrJson::Json, Some(cause)) => writeln!(out, "{}", object(cause))?,
        (TextOrJson::Json, None) => {
            for cause in all() {
                writeln!(out, "{}", object(cause))?;
            }
        }
        (TextOrJson::Text, Some(cause)) => full(&mut out, cause)?,
        (TextOrJson::Text, None) => {
            let width = all().iter().map(|cause| cause.id.len()).max().unwrap_or(0);
            for cause in all() {
                writeln!(out, "{:width$}  {:12} {}", cause.id, cause.category.id(), cause.summary)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn full(out: &mut impl Write, cause: &Cause) -> std::io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "{bold}{}{bold:#} ({})\n\n{}.\n", cause.id, cause.category.id(), cause.summary)?;
    writeln!(out, "{bold}When it is named{bold:#}\n{}\n", cause.when)?;
    writeln!(out, "{bold}What to do{bold:#}\n{}\n", cause.hint)?;
    writeln!(out, "{bold}Where that comes from{bold:#}\n{}\n", cause.facts)?;
    writeln!(out, "{bold}Lines that prove it{bold:#}\n{}\n", cause.example)?;
    writeln!(out, "{bold}Lines that look like it and are something else{bold:#}\n{}\n", cause.near_miss)?;
    writeln!(out, "{bold}More{bold:#}")?;
    for link in cause.links {
        writeln!(out, "{link}")?;
    }
    Ok(())
}

fn object(cause: &Cause) -> serde_json::Value {
    let rule = |rule: &Rule| json!({"id": rule.id, "standing": rule.standing.id()});
    let rules: Vec<serde_json::Value> = cause.rules.iter().map(rule).collect();
    json!({
        "id": cause.id, "category": cause.category.id(), "summary": cause.summary, "when": cause.when, "hint": cause.hint,
        "facts": cause.facts, "links": cause.links, "example": cause.example, "near_miss": cause.near_miss,
        "rules": rules,
    })
}
