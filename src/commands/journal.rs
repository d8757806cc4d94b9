//! `why502 journal`: what is in a journal, whether it is sound, and what can be kept of one that is not.

use crate::cli::{Journal, JournalAction};
use crate::commands::INCOMPLETE;
use crate::journal::{self, Damage, JournalError, Report, VERSION};
use crate::read::time::rfc3339;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Does what is asked.
///
/// # Errors
/// One sentence with what to do: it cannot be read, it is of another version, somebody has it open.
pub fn run(options: &Journal) -> anyhow::Result<ExitCode> {
    let directory = &options.directory;
    let failed = |error: JournalError| anyhow::anyhow!("{}", error.in_directory(directory));
    let (text, is_sound) = match options.action {
        JournalAction::Inspect => (inspected(directory, &journal::inspect(directory).map_err(failed)?), true),
        JournalAction::Verify => verified(directory, &journal::inspect(directory).map_err(failed)?),
        JournalAction::Repair => (repaired(&journal::repair(directory).map_err(failed)?), true),
    };
    write!(anstream::stdout().lock(), "{text}")?;
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

fn inspected(directory: &Path, report: &Report) -> String {
    let bytes: u64 = report.segments.iter().map(|found| found.bytes).sum();
    let mut text = format!(
        "{}: format version {VERSION}, {} segments, {bytes} bytes\n",
        directory.display(),
        report.segments.len()
    );
    for found in &report.segments {
        let ranges: Vec<String> =
            found.positions.iter().map(|range| format!("{}-{}", range.start, range.end - 1)).collect();
        let arrived = found
            .arrived
            .map_or_else(String::new, |(first, last)| format!(", came {} to {}", rfc3339(first), rfc3339(last)));
        let requests =
            if ranges.is_empty() { "no requests".to_owned() } else { format!("requests {}", ranges.join(" ")) };
        let _ = writeln!(text, "  {}: {requests}, {} bytes{arrived}", found.name, found.bytes);
    }
    match &report.backends {
        Some(backends) => {
            for (name, cursor) in backends {
                let lacking = report.lacking(cursor);
                let _ = match lacking {
                    0 => writeln!(text, "{name}: has everything"),
                    _ => writeln!(text, "{name}: lacks {lacking} requests, the first is {}", cursor.next),
                };
            }
        }
        None => text.push_str("the file `cursors` is damaged: nobody knows what is delivered\n"),
    }
    text.push_str(&damages(&report.damages));
    text
}

fn verified(directory: &Path, report: &Report) -> (String, bool) {
    if !report.damages.is_empty() || report.backends.is_none() {
        let mut text = damages(&report.damages);
        if report.backends.is_none() {
            text.push_str("the file `cursors` is damaged: nobody knows what is delivered\n");
        }
        let _ = writeln!(text, "`why502 journal repair {}` keeps what can be read", directory.display());
        return (text, false);
    }
    let requests: u64 =
        report.segments.iter().flat_map(|found| &found.positions).map(|range| range.end - range.start).sum();
    let torn = match report.torn_bytes {
        0 => String::new(),
        bytes => format!("; {bytes} bytes at the end were never acknowledged, and the next start cuts them off"),
    };
    (format!("{}: sound, {requests} requests{torn}\n", directory.display()), true)
}

fn repaired(repaired: &journal::Repaired) -> String {
    if repaired.aside.is_empty() && repaired.damages.is_empty() {
        return "nothing to repair\n".to_owned();
    }
    let mut text = damages(&repaired.damages);
    for name in &repaired.aside {
        let _ = writeln!(text, "set aside as {name}");
    }
    text.push_str("what can be read is kept, and the next start delivers it\n");
    text
}

fn damages(damages: &[Damage]) -> String {
    let mut text = String::new();
    for damage in damages {
        let (first, last) = (damage.missing.start, damage.missing.end - 1);
        let name = if damage.name.is_empty() { "no segment" } else { &damage.name };
        let _ = writeln!(text, "{name}, byte {}: requests {first} to {last} cannot be read", damage.offset);
    }
    text
}
