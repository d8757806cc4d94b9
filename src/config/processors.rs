//! `processors`: how logs are read and explained.

use super::pasted::{PROCESSORS_NOT_NEEDED, told_of};
use super::section::{Context, Section};
use super::settings::{Processor, Sites, Upstream};
use super::tree::{Mistake, Node};
use super::{Named, type_of};
use crate::engine::place::RULES_MAX;
use crate::read::formats::{LogFormat, LogFormatError, gunicorn_format};
use crate::read::nginx_conf::variables;
use crate::scan::place;

pub(super) fn processors(context: &mut Context<'_>, node: Option<&Node>) -> (Processor, Named) {
    let mut names = Vec::new();
    let mut found = None;
    for (name, line, value) in node.map_or(&[][..], |node| context.members(node, "processors")) {
        names.push((name.clone(), *line));
        if name == "why502" {
            found = Some(value);
        } else if type_of(name) == "why502" {
            context.mistake(
                *line,
                "there is one processor `why502`: logs are explained by spans, so all pipelines share it",
            );
        } else if let Some(words) = told_of(PROCESSORS_NOT_NEEDED, type_of(name)) {
            let text = format!("`processors::{name}` is not needed and does nothing: {words}");
            context.warnings.push(Mistake { line: *line, text });
        } else {
            context.mistake(
                *line,
                format!("why502 has no processor `{name}`; put it into the collector in front or behind"),
            );
        }
    }
    let section = Section::open(context, "why502", "processors::why502", found);
    let link = section.section(context, "link", "why502::link");
    let enrich = section.section(context, "enrich", "why502::enrich");
    let limits = section.section(context, "limits", "why502::limits");
    let verdicts = section.section(context, "verdicts", "why502::verdicts");
    let processor = Processor {
        hold: section.duration(context, "hold"),
        link_threshold: link.number(context, "threshold"),
        link_all: link.choice(context, "records") == "all",
        enrich_http: enrich.boolean(context, "http"),
        zone: section.zone(context, "time_zone"),
        log_formats: log_formats(context, &section),
        gunicorn_formats: gunicorn_formats(context, &section),
        nginx_conf: section.file(context, "nginx_conf"),
        sites: sites(context, &section),
        requests_max: limits.count(context, "requests"),
        spans_max: limits.count(context, "spans"),
        held_bytes_max: limits.bytes(context, "held_bytes"),
        held_span_bytes_max: limits.bytes(context, "held_span_bytes"),
        verdicts_max: limits.count(context, "verdicts"),
        verdicts_per_incident: verdicts
            .has_value("per_incident")
            .then(|| verdicts.count(context, "per_incident") as u64),
    };
    (processor, names)
}

fn sites(context: &mut Context<'_>, section: &Section<'_>) -> Sites {
    let section = section.section(context, "sites", "why502::sites");
    let written = section.list(context, "keys");
    let mut keys: Vec<Vec<String>> = Vec::new();
    for (key, line) in written {
        let names = place::split_key(&key);
        let text = if names.iter().any(|name| name.is_empty() || name.contains(char::is_whitespace)) {
            "is no name of an attribute, nor several with ` + ` between them"
        } else if keys.contains(&names) {
            "stands here twice; keep one"
        } else {
            keys.push(names);
            continue;
        };
        context.mistake(line, format!("`{}`: `{key}` {text}", section.place("keys").key));
    }
    if !section.has_value("keys") {
        keys = place::DEFAULT_KEYS.iter().map(|key| place::split_key(key)).collect();
    }
    let rules = section.sections(context, "upstreams", "upstream");
    if rules.len() > RULES_MAX {
        let text =
            format!("`{}` has {} rules; at most {RULES_MAX} are kept", section.place("upstreams").key, rules.len());
        context.mistake(section.line_of("upstreams"), text);
    }
    let rule = |rule: &Section<'_>| Upstream {
        nginx: rule.selector(context, "nginx"),
        server: rule.selector(context, "server"),
        address: rule.text(context, "address"),
    };
    Sites { keys, upstreams: rules.iter().map(rule).collect() }
}

fn log_formats(context: &mut Context<'_>, section: &Section<'_>) -> Vec<LogFormat> {
    formats(context, section, "log_formats", |text| match LogFormat::compile(text) {
        Err(LogFormatError::NoVariable) if text.contains("%(") => {
            Err("it looks like Gunicorn's access_log_format; write it under `processors::why502::gunicorn_formats`"
                .to_owned())
        }
        Err(LogFormatError::NoVariable) => Err("it has no variable; nginx's begin with $, such as $status".to_owned()),
        compiled => compiled.map_err(|problem| problem.to_string()),
    })
}

fn gunicorn_formats(context: &mut Context<'_>, section: &Section<'_>) -> Vec<LogFormat> {
    formats(context, section, "gunicorn_formats", |text| match gunicorn_format::compile(text) {
        Err(LogFormatError::NoVariable) if text.contains('$') => {
            Err("it looks like nginx's log_format; write it under `processors::why502::log_formats`".to_owned())
        }
        Err(LogFormatError::NoVariable) => Err("it has no field; Gunicorn's look like %(h)s".to_owned()),
        Err(LogFormatError::Empty) => {
            Err("it is empty; write the text of access_log_format, such as '%(h)s \"%(r)s\" %(s)s'".to_owned())
        }
        compiled => compiled.map_err(|problem| problem.to_string()),
    })
}

/// Compiled texts of a list; each that is wrong is told of by its number and, where it has one, its name.
fn formats(
    context: &mut Context<'_>,
    section: &Section<'_>,
    key: &str,
    compile: impl Fn(&str) -> Result<LogFormat, String>,
) -> Vec<LogFormat> {
    let mut formats = Vec::new();
    for (index, (text, line)) in section.list(context, key).into_iter().enumerate() {
        let mut words = text.split_whitespace();
        let name = words.next().filter(|word| *word == "log_format").and_then(|_| words.next());
        let name = name.map_or_else(String::new, |name| format!(" ({})", name.escape_debug()));
        let which = format!("`{}`: number {}{name}", section.place(key).key, index + 1);
        match compile(&text) {
            Ok(format) => {
                // Gunicorn's have the names of nginx's variables, or a letter of its own.
                if key == "log_formats" {
                    let unknown = format.variables().filter(|name| !variables::is_known(name));
                    let told = unknown.map(|name| format!("{which}: {}", variables::unknown(name)));
                    context.warnings.extend(told.map(|text| Mistake { line, text }));
                }
                formats.push(format);
            }
            Err(problem) => context.mistake(line, format!("{which}: {problem}")),
        }
    }
    formats
}
