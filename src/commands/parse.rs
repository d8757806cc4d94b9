//! `why502 parse`: what each line is read as.

use crate::cli::{Parse, TextOrJson};
use crate::commands::{INCOMPLETE, nginx_conf, say};
use crate::engine::formats::{AccessFormats, Description, LogFormat, Reader, gunicorn_format};
use crate::engine::nginx_conf::NginxConf;
use crate::engine::text::{printable, shortened};
use crate::explain::input::{Input, Lines, expand};
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
    for input in expand(&options.files, &mut problems) {
        let mut lines = match Lines::open(&input) {
            Ok(lines) => lines,
            Err(error) => {
                problems.push(format!("{}: cannot be read: {error}", input.name));
                continue;
            }
        };
        let how = parser.how(&input);
        loop {
            let number = lines.number + 1;
            match lines.next_line() {
                Ok(Some(line)) => write(&mut out, options.format, number, line, &how.describe(line), how.reason())?,
                Ok(None) => break,
                Err(error) => {
                    problems.push(format!("{}: line {number}: cannot be read on: {error}", input.name));
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
        let nginx = options.log_format.as_deref().map(LogFormat::compile).transpose().context("--log-format")?;
        let gunicorn = options.gunicorn_format.as_deref().map(gunicorn_format::compile);
        let gunicorn = gunicorn.transpose().context("--gunicorn-format")?;
        let conf = options.nginx_conf.as_deref().map(nginx_conf::load).transpose().context("--nginx-conf")?;
        if let Some(conf) = &conf {
            problems.extend(conf.mistakes.iter().map(ToString::to_string));
        }
        Ok(Parser { only: nginx.or(gunicorn), conf })
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
    fn describe(&self, line: &[u8]) -> Description {
        match self {
            How::Only(format) => Description::by_format(format, line),
            How::Any(reader) => reader.describe(line),
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

fn write(
    out: &mut impl Write,
    format: TextOrJson,
    number: u64,
    line: &[u8],
    found: &Description,
    reason: &str,
) -> std::io::Result<()> {
    if format == TextOrJson::Json {
        let mut fields = Map::new();
        for (name, value) in &found.fields {
            let value = value.as_ref().filter(|value| !value.is_empty() && *value != "-");
            fields.insert(name.clone(), value.map_or(Value::Null, |value| Value::from(value.as_str())));
        }
        let object = json!({
            "line": number, "envelope": found.envelopes, "format": found.format, "fields": fields,
            "evidence": found.evidence, "reason": found.format.is_none().then_some(reason),
        });
        return writeln!(out, "{object}");
    }
    let text = String::from_utf8_lossy(line);
    writeln!(out, "{number}: {}", shortened(&printable(&text), 160))?;
    let read_as = found.format.map_or_else(|| format!("not recognised: {reason}"), str::to_owned);
    writeln!(out, "    read as {read_as}")?;
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
