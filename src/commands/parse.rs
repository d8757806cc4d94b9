//! `why502 parse`: what each line is read as.

use crate::cli::{Parse, TextOrJson};
use crate::commands::{INCOMPLETE, nginx_conf, say, unknown_names};
use crate::explain::input::{Input, Lines, expand};
use crate::read::formats::{AccessFormats, Description, LogFormat, Reader};
use crate::read::nginx_conf::NginxConf;
use crate::read::text::{printable, shortened};
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::io::{BufWriter, Write};
use std::process::ExitCode;

/// Describes every line of the files.
///
/// # Errors
/// When the answer cannot be written, or a format does not compile.
pub fn run(options: &Parse) -> anyhow::Result<ExitCode> {
    let mut problems = Vec::new();
    let parser = Parser::of(options, &mut problems)?;
    let mut out = BufWriter::new(anstream::stdout().lock());
    let inputs = expand(&options.files, &mut problems);
    let several = inputs.len() > 1;
    for input in inputs {
        let mut lines = match Lines::open(&input) {
            Ok(lines) => lines,
            Err(error) => {
                problems.push(format!("{}: cannot be read: {error}", input.name));
                continue;
            }
        };
        let how = parser.how(&input);
        let mut in_traceback = false;
        loop {
            let next = lines.number + 1;
            match lines.next_unit() {
                Ok(Some((number, unit))) => {
                    let mut describe = |line: &[u8], number: u64| -> std::io::Result<()> {
                        let found = how.describe(line, &mut in_traceback);
                        match options.format {
                            TextOrJson::Json => write_json(&mut out, &input.name, number, &found, how.reason()),
                            TextOrJson::Text => {
                                let place = match several {
                                    true => format!("{}:{number}", input.name),
                                    false => number.to_string(),
                                };
                                write_text(&mut out, &place, line, &found, how.reason())
                            }
                        }
                    };
                    unit.each(|line, before| describe(line, number + before))?;
                }
                Ok(None) => break,
                Err(error) => {
                    problems.push(format!("{}: line {next}: cannot be read on: {error}", input.name));
                    break;
                }
            }
        }
        if lines.cut > 0 {
            problems.push(format!("{}: {} lines longer than 1 MiB were read only in part", input.name, lines.cut));
        }
    }
    out.flush()?;
    for problem in &problems {
        say(&printable(problem));
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

/// The formats that were given.
struct Parser {
    /// Every line is read by this one.
    only: Option<LogFormat>,
    conf: Option<NginxConf>,
}

impl Parser {
    fn of(options: &Parse, problems: &mut Vec<String>) -> anyhow::Result<Parser> {
        problems.extend(unknown_names(options.log_format.iter(), options.gunicorn_format.iter()));
        let gunicorn = options.gunicorn_format.as_ref().map(|given| given.format.clone());
        let conf = options.nginx_conf.as_deref().map(nginx_conf::load).transpose().context("--nginx-conf")?;
        if let Some(conf) = &conf {
            problems.extend(conf.mistakes.iter().map(ToString::to_string));
        }
        Ok(Parser { only: options.log_format.clone().or(gunicorn), conf })
    }

    /// A format of the configuration belongs to the files that it names; other files may be in any of its formats.
    fn how(&self, input: &Input) -> How<'_> {
        if let Some(format) = &self.only {
            return How::Only(format);
        }
        let Some(conf) = &self.conf else { return How::Any(Reader::default()) };
        let formats = match conf.format_of(&input.name) {
            Some(format) => vec![format],
            None => conf.log_formats.clone(),
        };
        How::Any(Reader::with_access_formats(AccessFormats::new(formats, Vec::new())))
    }
}

/// How the lines of one file are read.
enum How<'a> {
    Only(&'a LogFormat),
    Any(Reader),
}

impl How<'_> {
    fn describe(&self, line: &[u8], in_traceback: &mut bool) -> Description {
        match self {
            How::Only(format) => Description::by_format(format, line),
            How::Any(reader) => reader.describe_next(line, in_traceback),
        }
    }

    /// Why a line is not recognised.
    fn reason(&self) -> &'static str {
        match self {
            How::Only(_) => "the line does not match the format that was given",
            How::Any(_) => {
                "it is in no format that why502 knows; if it is an access log, give its format with --log-format or --nginx-conf"
            }
        }
    }
}

fn write_json(out: &mut impl Write, file: &str, number: u64, found: &Description, reason: &str) -> std::io::Result<()> {
    let mut fields = Map::new();
    for (name, value) in &found.fields {
        let value = value.as_ref().filter(|value| !value.is_empty() && *value != "-");
        fields.insert(name.clone(), value.map_or(Value::Null, |value| Value::from(value.as_str())));
    }
    let object = json!({
        "file": file, "line": number, "envelope": found.envelopes, "format": found.format, "fields": fields,
        "evidence": found.evidence, "reason": found.format.is_none().then_some(reason),
    });
    writeln!(out, "{object}")
}

fn write_text(
    out: &mut impl Write,
    place: &str,
    line: &[u8],
    found: &Description,
    reason: &str,
) -> std::io::Result<()> {
    let text = String::from_utf8_lossy(line);
    writeln!(out, "{}: {}", printable(place), shortened(&printable(&text), 160))?;
    match found.format {
        Some(format) => writeln!(out, "    read as {format}")?,
        None => writeln!(out, "    not recognised: {reason}")?,
    }
    if !found.envelopes.is_empty() {
        writeln!(out, "    inside {}", found.envelopes.join(", "))?;
    }
    if let Some(evidence) = &found.evidence {
        writeln!(out, "    proves {}", printable(evidence))?;
    }
    for (name, value) in &found.fields {
        let value = value.as_deref().map_or_else(|| "-".to_owned(), printable);
        writeln!(out, "    {} = {value}", printable(name))?;
    }
    Ok(())
}
