//! The questions, each with its answer: words for who reads, and the same as JSON.

use super::{Named, read_value};
use crate::config::moment::{EXPECTED, moment, of_day};
use crate::engine::causes;
use crate::engine::verdict::percent;
use crate::enrich::hex;
use crate::explain::Explained;
use crate::explain::report::{Filter, Writer, markdown::Markdown};
use crate::page::words::counted;
use crate::read::evidence::{Nanos, SECOND};
use crate::read::text::printable;
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;

/// Requests so far from a time that was asked for are meant as well: people say `10:15` of what failed at 10:15:33 or 10:14:58.
const ABOUT: Nanos = 90 * SECOND;
/// Nanoseconds of a day.
const DAY: Nanos = 86_400 * SECOND;
/// Requests that are told in full where nothing is said.
const LIMIT: usize = 3;
/// Bytes of a report; an agent reads no more.
const REPORT_BYTES_MAX: usize = 60 << 10;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// In words.
    pub text: String,
    /// The same for programs.
    pub value: Value,
}

/// What was asked cannot be answered as it stands: one sentence.
pub type Refused = String;

/// Answers a question by its name; `now` is what relative times count from.
///
/// # Errors
/// One sentence with what to ask instead.
pub fn answer(named: &Named, name: &str, arguments: &Map<String, Value>, now: Nanos) -> Result<Answer, Refused> {
    match name {
        "request" => request(named, arguments, now),
        "incidents" => incidents(named, arguments, now),
        "causes" => causes_of(arguments),
        "explain" => explain(named, arguments, now),
        _ => Err(format!("there is no tool `{}`; there are request, incidents, causes and explain", printable(name))),
    }
}

/// When something was, as somebody says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// Some day at this time.
    OfDay(Nanos),
    /// At this time.
    At(Nanos),
}

impl About {
    fn read(text: &str, now: Nanos) -> Result<About, Refused> {
        if let Some(of_day) = of_day(text.trim()) {
            return Ok(About::OfDay(of_day.rem_euclid(DAY)));
        }
        moment(text, now).map(About::At).ok_or_else(|| not_a_time("time", text))
    }

    fn away(self, time: Nanos) -> Nanos {
        match self {
            About::At(at) => time.saturating_sub(at).saturating_abs(),
            About::OfDay(of_day) => {
                let apart = (time.rem_euclid(DAY) - of_day).abs();
                apart.min(DAY - apart)
            }
        }
    }
}

fn not_a_time(name: &str, text: &str) -> Refused {
    format!("`{name}`: `{}` is not {EXPECTED}", printable(text))
}

fn text<'a>(arguments: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refused> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim())),
        Some(_) => Err(format!("`{name}` must be a text")),
    }
}

fn time(arguments: &Map<String, Value>, name: &str, now: Nanos) -> Result<Option<Nanos>, Refused> {
    let Some(text) = text(arguments, name)? else { return Ok(None) };
    moment(text, now).map(Some).ok_or_else(|| not_a_time(name, text))
}

fn limit(arguments: &Map<String, Value>, default: usize, most: usize) -> Result<usize, Refused> {
    match arguments.get("limit") {
        None | Some(Value::Null) => Ok(default),
        Some(value) => match value.as_u64() {
            Some(limit @ 1..) => Ok(usize::try_from(limit).unwrap_or(most).min(most)),
            _ => Err("`limit` must be a whole number, 1 or more".to_owned()),
        },
    }
}

fn cause(arguments: &Map<String, Value>, name: &str) -> Result<Option<&'static causes::Cause>, Refused> {
    let Some(id) = text(arguments, name)? else { return Ok(None) };
    let known =
        causes::by_id(id).ok_or_else(|| format!("`{}` is no cause; the tool `causes` lists them", printable(id)))?;
    Ok(Some(known))
}

fn request(named: &Named, arguments: &Map<String, Value>, now: Nanos) -> Result<Answer, Refused> {
    let (path, id, cause) = (text(arguments, "path")?, text(arguments, "id")?, cause(arguments, "cause")?);
    let about = text(arguments, "time")?.map(|text| About::read(text, now)).transpose()?;
    let limit = limit(arguments, LIMIT, 20)?;
    let is_named = |explained: &Explained<'_>| {
        let verdict = explained.verdict;
        let has_id = |id: &str| {
            verdict.uid == id
                || verdict.incident.as_ref().is_some_and(|label| label.uid == id)
                || verdict.link.trace.is_some_and(|trace| hex(&trace.trace_id) == id)
                || verdict.link.candidates.iter().any(|candidate| hex(candidate) == id)
        };
        path.is_none_or(|path| verdict.target.contains(path))
            && id.is_none_or(has_id)
            && cause.is_none_or(|cause| verdict.cause == cause)
    };
    let away = |explained: &Explained<'_>| about.map_or(0, |about| about.away(explained.verdict.time));
    let found = named.find(
        limit,
        |explained| is_named(explained) && away(explained) <= ABOUT,
        |_| false,
        // The nearest first, then the first.
        |explained| if about.is_some() { away(explained) } else { explained.verdict.time },
    );
    let total: u64 = found.causes.values().sum();
    let requests: Vec<Value> = found.requests.into_iter().map(with_ruled_out).collect();
    let mut words = match total {
        0 => String::from("No failed request fits."),
        1 => String::from("One failed request fits."),
        _ => format!("{} fit; {} told in full.", counted(total, "failed request", "failed requests"), requests.len()),
    };
    if total == 0 {
        // What there is instead, so that the next question can be the last.
        let near = named.find(limit, is_named, |_| false, |explained| away(explained));
        let others: Vec<String> = near.requests.iter().map(|request| format!("- {}", headline(request))).collect();
        if others.is_empty() {
            words.push_str(" Nothing of this path, id or cause failed in these files; `incidents` tells what did.");
        } else {
            words.push_str(&format!(" At another time there are:\n{}", others.join("\n")));
        }
    }
    for request in &requests {
        words.push_str(&format!("\n\n{}", told(request)));
    }
    words.push_str(&format!("\n\n{}", read_words(&found.totals)));
    let value =
        json!({"matches": total, "causes": found.causes, "requests": requests, "read": read_value(&found.totals)});
    Ok(Answer { text: words, value })
}

/// The object of a request with what was ruled out and what else it could be by themselves.
fn with_ruled_out(mut request: Value) -> Value {
    let conclusions: Vec<Value> = request
        .get("evidence")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|quote| quote.get("source").and_then(Value::as_str) == Some("why502"))
        .filter_map(|quote| quote.get("text").cloned())
        .collect();
    let (ruled_out, others): (Vec<Value>, Vec<Value>) = conclusions
        .into_iter()
        .partition(|text| text.as_str().is_some_and(|text| text.starts_with("not ") || text.starts_with("no ")));
    if let Some(request) = request.as_object_mut() {
        request.insert("ruled_out".to_owned(), ruled_out.into());
        request.insert("conclusions".to_owned(), others.into());
    }
    request
}

fn string<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// `2026-11-25T10:15:33Z GET /report?month=10 -> 502: worker_timeout (99% sure)`.
fn headline(request: &Value) -> String {
    let status =
        request.get("status").and_then(Value::as_u64).map_or_else(String::new, |status| format!(" -> {status}"));
    let sure = percent(request.get("confidence").and_then(Value::as_f64).unwrap_or(0.0));
    let what = format!("{} {}", string(request, "method"), string(request, "target"));
    let what = if what.trim().is_empty() { "a failure that joins no request".to_owned() } else { what };
    printable(&format!("{} {what}{status}: {} ({sure}% sure)", string(request, "time"), string(request, "cause")))
}

/// One request in words.
fn told(request: &Value) -> String {
    let mut out = headline(request);
    if let Some(cause) = causes::by_id(string(request, "cause")) {
        out.push_str(&format!("\n{}.", cause.summary));
    }
    out.push_str("\nEvidence:");
    let quotes = request.get("evidence").and_then(Value::as_array).into_iter().flatten();
    for quote in quotes.filter(|quote| string(quote, "source") != "why502") {
        let line = quote.get("line").and_then(Value::as_u64).map_or_else(String::new, |line| format!(":{line}"));
        let (file, source, text) = (string(quote, "file"), string(quote, "source"), string(quote, "text"));
        out.push_str("\n- ");
        out.push_str(printable(&format!("{file}{line} {source}: {text}")).trim_start());
    }
    let listed = |key: &str| -> Vec<String> {
        let texts = request.get(key).and_then(Value::as_array).into_iter().flatten();
        texts.filter_map(Value::as_str).map(printable).collect()
    };
    for (name, key) in [("Ruled out", "ruled_out"), ("Also", "conclusions")] {
        let texts = listed(key);
        if !texts.is_empty() {
            out.push_str(&format!("\n{name}: {}.", texts.join("; ")));
        }
    }
    let considered = request.get("considered").and_then(Value::as_array).into_iter().flatten().skip(1);
    let considered: Vec<String> = considered
        .map(|claim| {
            let sure = percent(claim.get("confidence").and_then(Value::as_f64).unwrap_or(0.0));
            format!("{} ({sure}%)", string(claim, "cause"))
        })
        .collect();
    if !considered.is_empty() {
        out.push_str(&format!("\nAlso considered: {}.", considered.join(", ")));
    }
    out.push_str(&format!("\nWhat to do: {}", string(request, "hint")));
    let trace = string(request, "trace_id");
    if !trace.is_empty() {
        out.push_str(&format!("\nTrace: {trace}"));
    }
    out.push_str(&format!("\nIncident: {}, request: {}", string(request, "incident"), string(request, "uid")));
    out
}

fn read_words(totals: &crate::explain::Totals) -> String {
    let lines = counted(totals.lines, "line", "lines");
    let mut words = format!("Read: {lines} of {}.", counted(totals.files, "file", "files"));
    for problem in totals.problems.iter().chain(&totals.notes).take(10) {
        words.push_str(&format!(" {}.", printable(problem)));
    }
    words
}

fn incidents(named: &Named, arguments: &Map<String, Value>, now: Nanos) -> Result<Answer, Refused> {
    let (since, until) = (time(arguments, "since", now)?, time(arguments, "until", now)?);
    let cause = cause(arguments, "cause")?;
    let causes = cause.map(|cause| cause.id.to_owned()).into_iter().collect();
    let filter = Filter { causes, since, until, ..Filter::default() };
    let found = named.find(
        0,
        |explained| filter.fits(explained.verdict),
        |outage| filter.fits_incident(&outage.incident),
        |explained| explained.verdict.time,
    );
    let total: u64 = found.causes.values().sum();
    let mut words = match found.incidents.len() {
        0 => "No incident.".to_owned(),
        count => format!(
            "{} with {}.",
            counted(count as u64, "incident", "incidents"),
            counted(total, "failure", "failures")
        ),
    };
    for incident in &found.incidents {
        let evidence = incident.get("evidence").filter(|evidence| !evidence.is_null());
        let evidence = evidence.map_or_else(String::new, |quote| {
            format!("\n  evidence: {}", printable(&format!("{}: {}", string(quote, "source"), string(quote, "text"))))
        });
        words.push_str(&format!(
            "\n- {} from {} to {}{evidence}\n  what to do: {}\n  uid: {}",
            printable(string(incident, "sentence")),
            string(incident, "first"),
            string(incident, "last"),
            string(incident, "hint"),
            string(incident, "uid"),
        ));
    }
    if found.hidden_incidents > 0 {
        words.push_str(&format!("\n{} more are not listed; narrow the time.", found.hidden_incidents));
    }
    words.push_str(&format!("\n\n{}", read_words(&found.totals)));
    let value = json!({
        "failures": total, "causes": found.causes, "incidents": found.incidents, "not_listed": found.hidden_incidents,
        "read": read_value(&found.totals),
    });
    Ok(Answer { text: words, value })
}

fn causes_of(arguments: &Map<String, Value>) -> Result<Answer, Refused> {
    let short = |cause: &causes::Cause| json!({"id": cause.id, "category": cause.category.id(), "summary": cause.summary, "hint": cause.hint});
    let Some(cause) = cause(arguments, "id")? else {
        let lines: Vec<String> =
            causes::all().iter().map(|cause| format!("- {}: {}", cause.id, cause.summary)).collect();
        let value = json!({"causes": causes::all().iter().map(|cause| short(cause)).collect::<Vec<_>>()});
        return Ok(Answer { text: lines.join("\n"), value });
    };
    let text = format!(
        "{} ({})\n{}.\nNamed when: {}\nWhat to do: {}\nFacts: {}\nLinks: {}",
        cause.id,
        cause.category.id(),
        cause.summary,
        cause.when,
        cause.hint,
        cause.facts,
        cause.links.join(", ")
    );
    let mut value = short(cause);
    if let Some(value) = value.as_object_mut() {
        value.insert("when".to_owned(), cause.when.into());
        value.insert("facts".to_owned(), cause.facts.into());
        value.insert("links".to_owned(), json!(cause.links));
    }
    Ok(Answer { text, value })
}

fn explain(named: &Named, arguments: &Map<String, Value>, now: Nanos) -> Result<Answer, Refused> {
    let files = files(named, arguments)?;
    let causes = cause(arguments, "cause")?.map(|cause| cause.id.to_owned()).into_iter().collect();
    let limit = limit(arguments, 10, 50)?;
    let filter = Filter {
        causes,
        since: time(arguments, "since", now)?,
        until: time(arguments, "until", now)?,
        limit: u64::try_from(limit).ok(),
        ..Filter::default()
    };
    let mut out = Vec::new();
    let mut writer = Writer::new(&Markdown, &filter, &mut out);
    let mut written = Ok(());
    let totals = named.read(&files, |told| {
        written = writer.told(told);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let finished = written.and_then(|()| writer.finish(&totals)).map_err(|error| format!("the report: {error}"))?;
    let mut text = String::from_utf8_lossy(&out).into_owned();
    let is_cut = text.len() > REPORT_BYTES_MAX;
    if is_cut {
        let end = (0..=REPORT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push_str("\n\n(cut here; ask with a smaller `limit`, or for a shorter time)");
    }
    if let Some(words) = finished.outside.and_then(|outside| outside.words()) {
        text.push_str(&format!("\n\n{words}."));
    }
    let value = json!({"report": text, "is_cut": is_cut, "read": read_value(&totals)});
    Ok(Answer { text, value })
}

/// Some of the files that were named, and no others.
fn files(named: &Named, arguments: &Map<String, Value>) -> Result<Vec<String>, Refused> {
    let asked = match arguments.get("files") {
        None | Some(Value::Null) => return Ok(named.files.clone()),
        Some(Value::Array(files)) if files.is_empty() => return Ok(named.files.clone()),
        Some(Value::Array(files)) => files,
        Some(_) => return Err("`files` must be a list of names".to_owned()),
    };
    let known = named.names();
    let mut files = Vec::new();
    for file in asked {
        let name = file.as_str().ok_or_else(|| "`files` must be a list of names".to_owned())?;
        if !known.iter().any(|known| known == name) {
            let some: Vec<&str> = known.iter().take(20).map(String::as_str).collect();
            let words = printable(&format!(
                "`{name}` is not among the files that this server was started with: {}",
                some.join(", ")
            ));
            return Err(words);
        }
        files.push(name.to_owned());
    }
    Ok(files)
}
