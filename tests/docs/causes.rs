//! docs/causes.md.

use super::{cell, generated_by, sentence};
use std::fmt::Write;
use why502::engine::causes::{Category, Cause, all};
use why502::engine::verdict::Verdict;
use why502::enrich::attributes::Vocabulary;
use why502::explain::{Options, run};
use why502::read::formats::Reader;

pub(crate) fn markdown() -> String {
    let mut out = generated_by("<!-- ", "the table in src/engine/causes.rs", " -->");
    let _ = write!(
        out,
        "# Causes\n\n\
         Every cause that why502 names, {} of them, by category. `why502 causes` prints the table, `why502 causes ID` one of them.\n\
         What each is read from stands below it as lines that it explains, with what the engine really says about them: the test\n\
         that writes this page runs it. Several causes may fit a request; the one whose rule proves most leads, `why502.confidence` says how\n\
         often that is right ([calibration.md](calibration.md)), and the evidence names the others.\n",
        all().len()
    );
    let meanings = Vocabulary::Categories.words();
    for category in Category::ALL {
        let meaning = meanings.iter().find(|(id, _)| *id == category.id()).map_or("", |(_, meaning)| meaning);
        let _ = write!(out, "\n| `{}` | {} |\n|---|---|\n", category.id(), cell(&sentence(meaning)));
        for cause in all().iter().filter(|cause| cause.category == category) {
            let _ = writeln!(out, "| [`{0}`](#{0}) | {1} |", cause.id, cell(&sentence(cause.summary)));
        }
    }
    all().iter().for_each(|cause| section(&mut out, cause));
    out
}

fn section(out: &mut String, cause: &Cause) {
    let _ = write!(
        out,
        "\n## {}\n\nCategory `{}`. {}\n\n\
         **When it is named.** {}\n\n\
         **What to do.** {}\n\n\
         **Where that comes from.** {}\n",
        cause.id,
        cause.category.id(),
        sentence(cause.summary),
        cause.when,
        cause.hint,
        cause.facts
    );
    let _ =
        write!(out, "\n**Lines that it explains.**\n\n```text\n{}\n```\n\n{}", cause.example, verdicts(cause.example));
    let _ = write!(
        out,
        "\n**Lines that look like it and are something else.**\n\n```text\n{}\n```\n\n{}",
        cause.near_miss,
        verdicts(cause.near_miss)
    );
    out.push_str("\n**More.** ");
    let links: Vec<String> = cause.links.iter().map(|link| format!("<{link}>")).collect();
    let _ = writeln!(out, "{}", links.join(", "));
}

/// What the engine says about lines, as a list.
fn verdicts(lines: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("example.log");
    std::fs::write(&path, lines).expect("a file");
    let options = Options { files: vec![path.display().to_string()], ..Options::default() };
    let mut said: Vec<(String, u32)> = Vec::new();
    run(&options, &Reader::default(), |explained| {
        let line = verdict(explained.verdict);
        match said.iter_mut().find(|(known, _)| *known == line) {
            Some((_, count)) => *count += 1,
            None => said.push((line, 1)),
        }
    });
    if said.is_empty() {
        return "why502 says: no failed request.\n".to_owned();
    }
    let mut out = "why502 says:\n\n".to_owned();
    for (line, count) in said {
        let times = if count > 1 { format!(" ({count} times alike)") } else { String::new() };
        let _ = writeln!(out, "- {line}{times}");
    }
    out
}

fn verdict(verdict: &Verdict) -> String {
    let of =
        if verdict.symptom.id() == "unknown" { String::new() } else { format!(", symptom `{}`", verdict.symptom.id()) };
    format!("`{}`, {:.0}% sure{of}", verdict.cause.id, verdict.confidence * 100.0)
}
