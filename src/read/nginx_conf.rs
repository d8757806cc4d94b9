//! What nginx's own configuration tells about its logs and its upstreams.
//!
//! Pure: the text comes in, and `include` goes out through a callback. Everything that is not listed in [`NginxConf`] is
//! read over: a directive of a module that we do not know is no mistake.

mod routes;
mod statements;
pub mod variables;

use super::evidence::{MILLISECOND, Nanos, SECOND};
use super::formats::LogFormat;
use super::formats::log_format::{COMBINED, LogFormatError};
use statements::Statement;
use std::collections::BTreeSet;

/// Includes in includes; real configurations have three.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Files of one configuration. Generated ones have a file for each of some thousand sites.
const FILES_MAX: usize = 20_000;
/// Mistakes that are told; past it the file is something else.
const MISTAKES_MAX: usize = 100;

/// What was learned.
#[derive(Clone, Debug, Default)]
pub struct NginxConf {
    /// `log_format` directives in order.
    pub log_formats: Vec<LogFormat>,
    /// `access_log` directives that write to a file or a socket; `off` is left out.
    pub access_logs: Vec<AccessLog>,
    /// Paths of `error_log` directives.
    pub error_logs: Vec<String>,
    /// `upstream` blocks.
    pub upstreams: Vec<Upstream>,
    /// `proxy_pass` and its like.
    pub passes: Vec<Pass>,
    /// What could not be read, or is surely not meant.
    pub mistakes: Vec<Mistake>,
}

/// One `access_log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// As written; may hold variables.
    pub path: String,
    /// Name of its format; `combined` where none is named.
    pub format: String,
}

/// One `upstream` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Its name, which nginx logs as the address when all servers are down.
    pub name: String,
    /// Addresses as nginx logs them: `127.0.0.1:8000`, `unix:/run/g.sock`; port 80 where none is written.
    pub servers: Vec<String>,
    /// Idle connections kept; `None` without the directive (nginx 1.29.7 and later keep some by default).
    pub keepalive: Option<u32>,
}

/// How a `location` is compared with a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocationKind {
    /// `location /x` and `location ^~ /x`; also what stands outside of any.
    #[default]
    Prefix,
    /// `location = /x`.
    Exact,
    /// `location ~ x` and `location ~* x`; also a named one (`@x`), which is reached by other ways than its name.
    Regex,
}

/// Where requests are passed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// `http`, `https`, `fastcgi`, `uwsgi`, `scgi`, `grpc`, `grpcs`.
    pub scheme: String,
    /// An address as nginx logs it, the name of an `upstream` block, or a text with variables.
    pub address: String,
    /// `server_name` of the server around it.
    pub server_names: Vec<String>,
    /// `location` around it; empty outside of one.
    pub location: String,
    /// How that is compared.
    pub location_kind: LocationKind,
    /// `proxy_connect_timeout` or its like; 60 s by default.
    pub connect_timeout: Nanos,
    /// `proxy_read_timeout` or its like; 60 s by default.
    pub read_timeout: Nanos,
    /// `proxy_send_timeout` or its like; 60 s by default.
    pub send_timeout: Nanos,
}

/// What could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// One sentence.
    pub message: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: line {}: {}", self.file, self.line, self.message)
    }
}

/// A file that an `include` named.
#[derive(Clone, Debug)]
pub struct Included {
    /// Its path.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Finds the files of an `include` pattern (relative to the directory of the main file), or says why it cannot.
pub type Include<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<Included>, String>;

impl NginxConf {
    /// Reads a configuration from its main file, or from any file of it.
    pub fn read(path: &str, text: &str, include: Include<'_>) -> NginxConf {
        let mut reader =
            Reader { conf: NginxConf::default(), include, files: 0, defined: BTreeSet::new(), logged: Vec::new() };
        reader.file(path, text, &Context::default(), 0);
        reader.check_variables();
        let mut conf = reader.conf;
        conf.finish();
        conf
    }

    /// The format of an access log, by its path as configured or by its file name; `None` for a file that is not
    /// configured or whose format is not defined.
    pub fn format_of(&self, path: &str) -> Option<LogFormat> {
        let name_of = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let log = self
            .access_logs
            .iter()
            .find(|log| log.path == path)
            .or_else(|| self.access_logs.iter().find(|log| name_of(&log.path) == name_of(path)))?;
        self.format_named(&log.format)
    }

    /// A format by its name; `combined` is compiled into nginx.
    pub fn format_named(&self, name: &str) -> Option<LogFormat> {
        let known = self.log_formats.iter().find(|format| format.name() == name).cloned();
        known.or_else(|| (name == "combined").then(|| LogFormat::compile(COMBINED).ok())?)
    }

    /// Every address that nginx may try, `upstream` blocks resolved, each once. Those with variables are left out.
    pub fn addresses(&self) -> Vec<&str> {
        let mut addresses: Vec<&str> = Vec::new();
        for pass in self.passes.iter().filter(|pass| !pass.address.contains('$')) {
            match self.upstreams.iter().find(|upstream| upstream.name == pass.address) {
                Some(upstream) => addresses.extend(upstream.servers.iter().map(String::as_str)),
                None => addresses.push(&pass.address),
            }
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Names of `upstream` blocks get no port; any other host gets the port of its scheme.
    fn finish(&mut self) {
        for pass in &mut self.passes {
            let is_block = self.upstreams.iter().any(|upstream| upstream.name == pass.address);
            if !is_block && !pass.address.contains('$') {
                pass.address = with_port(&pass.address, if pass.scheme.ends_with('s') { 443 } else { 80 });
            }
        }
    }
}

/// What holds for everything in a block.
#[derive(Clone, Debug, Default)]
struct Context {
    server_names: Vec<String>,
    location: String,
    location_kind: LocationKind,
    /// Name of a timeout directive and its value; each name once.
    timeouts: Vec<(String, Nanos)>,
}

struct Reader<'a> {
    conf: NginxConf,
    include: Include<'a>,
    files: usize,
    /// Variables that the configuration defines.
    defined: BTreeSet<String>,
    /// Variables of log formats that nginx does not define, with where the format stands.
    logged: Vec<(String, usize, String)>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, text: &str, context: &Context, depth: usize) {
        self.files += 1;
        let statements = statements::read(path, text, &mut self.conf.mistakes);
        self.block(path, text, &statements, context, depth);
    }

    /// What a block sets for itself counts wherever in the block it stands, so that is read first.
    fn block(&mut self, path: &str, text: &str, statements: &[Statement], outer: &Context, depth: usize) {
        let mut context = outer.clone();
        for statement in statements {
            match (statement.name.as_str(), statement.arguments.as_slice()) {
                ("server_name", names) => names.clone_into(&mut context.server_names),
                (name, [value]) if name.ends_with("_timeout") => match duration(value) {
                    Some(time) if is_upstream_timeout(name) => {
                        context.timeouts.retain(|(known, _)| known != name);
                        context.timeouts.push((name.to_owned(), time));
                    }
                    Some(_) => {}
                    None if !value.contains('$') && is_upstream_timeout(name) => {
                        self.mistake(path, statement, format!("\"{value}\" is no time: write 60s or 500ms"));
                    }
                    None => {}
                },
                _ => {}
            }
        }
        for statement in statements {
            self.statement(path, text, statement, &context, depth);
        }
    }

    fn statement(&mut self, path: &str, text: &str, statement: &Statement, context: &Context, depth: usize) {
        variables::define(statement, &mut self.defined);
        let arguments = statement.arguments.as_slice();
        match (statement.name.as_str(), arguments, &statement.block) {
            ("include", [pattern], None) => self.include(path, statement, pattern, context, depth),
            ("log_format", _, None) => self.log_format(path, text, statement),
            ("access_log", [log, rest @ ..], None) if log != "off" => {
                let format = rest.first().filter(|word| !word.contains('=')).map_or("combined", String::as_str);
                self.conf.access_logs.push(AccessLog { path: log.clone(), format: format.to_owned() });
            }
            ("error_log", [log, ..], None) => self.conf.error_logs.push(log.clone()),
            ("upstream", [name], Some(block)) => self.conf.upstreams.push(upstream(name, block)),
            ("location", [modifiers @ .., location], Some(block)) => {
                let location_kind = match modifiers.first().map(String::as_str) {
                    Some("=") => LocationKind::Exact,
                    Some("~" | "~*") => LocationKind::Regex,
                    _ if location.starts_with('@') => LocationKind::Regex,
                    _ => LocationKind::Prefix,
                };
                let inner = Context { location: location.clone(), location_kind, ..context.clone() };
                self.block(path, text, block, &inner, depth);
            }
            (name, _, Some(block)) if name.starts_with("geoip2") => {
                block.iter().for_each(|line| variables::define(line, &mut self.defined));
            }
            // Their content is data, not directives.
            ("map" | "geo" | "types" | "split_clients", _, Some(_)) => {}
            (_, _, Some(block)) => self.block(path, text, block, context, depth),
            (name, [target], None) => {
                if let Some(kind) = name.strip_suffix("_pass").filter(|kind| KINDS.contains(kind)) {
                    self.conf.passes.push(pass(kind, target, context));
                }
            }
            _ => {}
        }
    }

    fn include(&mut self, path: &str, statement: &Statement, pattern: &str, context: &Context, depth: usize) {
        if depth == INCLUDE_DEPTH_MAX {
            let message =
                format!("includes are nested more than {INCLUDE_DEPTH_MAX} deep: does a file include itself?");
            return self.mistake(path, statement, message);
        }
        match (self.include)(pattern) {
            Ok(files) => {
                for file in files {
                    if self.files == FILES_MAX {
                        return self.mistake(path, statement, format!("the configuration has over {FILES_MAX} files"));
                    }
                    self.file(&file.path, &file.text, context, depth + 1);
                }
            }
            Err(reason) => self.mistake(path, statement, format!("include {pattern}: {reason}")),
        }
    }

    fn log_format(&mut self, path: &str, text: &str, statement: &Statement) {
        let source = text.get(statement.range.clone()).unwrap_or_default();
        match LogFormat::compile(source) {
            Ok(format) => {
                let unknown = format.variables().filter(|name| !variables::is_known(name));
                let unknown = unknown.map(|name| (path.to_owned(), statement.line, name.to_owned()));
                self.logged.extend(unknown.take(MISTAKES_MAX));
                self.conf.log_formats.push(format);
            }
            // A format of constant text is odd and allowed.
            Err(LogFormatError::NoVariable) => {}
            Err(error) => self.mistake(path, statement, format!("log_format, counted from its own line: {error}")),
        }
    }

    /// A variable may be defined further down, or in a file that could not be read: then nothing is said.
    fn check_variables(&mut self) {
        if !self.conf.mistakes.is_empty() {
            return;
        }
        for (path, line, name) in std::mem::take(&mut self.logged) {
            if !self.defined.contains(&name) && self.conf.mistakes.len() < MISTAKES_MAX {
                let message = format!("log_format: {}", variables::unknown(&name));
                self.conf.mistakes.push(Mistake { file: path, line, message });
            }
        }
    }

    fn mistake(&mut self, path: &str, statement: &Statement, message: String) {
        let mistake = Mistake { file: path.to_owned(), line: statement.line, message };
        note(&mut self.conf.mistakes, mistake);
    }
}

/// A file that is included several times has its mistakes once.
fn note(mistakes: &mut Vec<Mistake>, mistake: Mistake) {
    if mistakes.len() < MISTAKES_MAX && !mistakes.contains(&mistake) {
        mistakes.push(mistake);
    }
}

const KINDS: [&str; 5] = ["proxy", "fastcgi", "uwsgi", "scgi", "grpc"];

fn is_upstream_timeout(name: &str) -> bool {
    const PHASES: [&str; 3] = ["_connect_timeout", "_read_timeout", "_send_timeout"];
    KINDS.iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| PHASES.contains(&rest)))
}

fn upstream(name: &str, block: &[Statement]) -> Upstream {
    let mut upstream = Upstream { name: name.to_owned(), ..Upstream::default() };
    for statement in block {
        match (statement.name.as_str(), statement.arguments.first()) {
            ("server", Some(address)) => upstream.servers.push(with_port(address, 80)),
            ("keepalive", Some(count)) => upstream.keepalive = count.parse().ok(),
            _ => {}
        }
    }
    upstream
}

fn pass(kind: &str, target: &str, context: &Context) -> Pass {
    let default = if kind == "proxy" { "http" } else { kind };
    let (scheme, rest) = target.split_once("://").unwrap_or((default, target));
    let address = match rest.strip_prefix("unix:") {
        // `http://unix:/run/g.sock:/path`.
        Some(socket) => format!("unix:{}", socket.split(':').next().unwrap_or_default()),
        None => rest.split('/').next().unwrap_or_default().to_owned(),
    };
    let timeout = |what: &str| {
        let name = format!("{kind}_{what}_timeout");
        let set = context.timeouts.iter().find(|(known, _)| *known == name);
        set.map_or(60 * SECOND, |(_, time)| *time)
    };
    Pass {
        scheme: scheme.to_owned(),
        address,
        server_names: context.server_names.clone(),
        location: context.location.clone(),
        location_kind: context.location_kind,
        connect_timeout: timeout("connect"),
        read_timeout: timeout("read"),
        send_timeout: timeout("send"),
    }
}

/// An address as nginx logs it: with its port.
fn with_port(address: &str, port: u16) -> String {
    let tail = address.rsplit(']').next().unwrap_or(address);
    if address.is_empty() || address.starts_with("unix:") || tail.contains(':') {
        return address.to_owned();
    }
    format!("{address}:{port}")
}

/// nginx's times (`src/core/ngx_parse.c`, `ngx_parse_time`): `60`, `60s`, `1m 30s`, `500ms`. Months and years are not
/// used for timeouts.
fn duration(text: &str) -> Option<Nanos> {
    let mut total: Nanos = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = after.split_at_checked(letters)?;
        let unit = match unit {
            "ms" => MILLISECOND,
            "" | "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3_600 * SECOND,
            "d" => 86_400 * SECOND,
            "w" => 7 * 86_400 * SECOND,
            _ => return None,
        };
        total = total.checked_add(number.parse::<Nanos>().ok()?.checked_mul(unit)?)?;
        rest = next.trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests;
