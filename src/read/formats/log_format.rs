//! The compiler of nginx's `log_format`: the text of a directive becomes a reader of the lines that it makes nginx write.
//!
//! ```text
//!  log_format timed escape=json '$remote_addr "$request" '     a directive, quotes joined, comments skipped, or
//!  $remote_addr "$request" $status                             only the text of a format
//!        │
//!        ▼  syntax
//!  [variable remote_addr] [literal ` "`] [variable request] [literal `" `] [variable status]
//!        │
//!        ▼  matching: literals must stand, variables take what lies between, shapes guide where several ends are possible
//!  remote_addr = 192.0.2.7   request = GET / HTTP/1.1   status = 502
//! ```
//!
//! The rules of escaping are those of `src/http/modules/ngx_http_log_module.c` (nginx 1.10 to 1.31). The work for one
//! line is bounded whatever the line holds (module `matching`); a line that would need more is not read.

mod landmark;
mod matching;
mod quick;
mod shape;
mod syntax;

pub use quick::Quick;
pub use syntax::{Escape, LogFormatError, Position};

use landmark::Landmark;
use shape::Shape;
use std::borrow::Cow;

/// The format compiled into nginx: what `access_log FILE;` without a format writes.
pub const COMBINED: &str = "log_format combined '$remote_addr - $remote_user [$time_local] \"$request\" $status \
    $body_bytes_sent \"$http_referer\" \"$http_user_agent\"';";
/// The format of nginx's own packages and images.
pub const MAIN: &str = "log_format main '$remote_addr - $remote_user [$time_local] \"$request\" $status \
    $body_bytes_sent \"$http_referer\" \"$http_user_agent\" \"$http_x_forwarded_for\"';";
/// The default of ingress-nginx (`internal/ingress/controller/config/config.go`, `logFormatUpstream`).
pub const INGRESS: &str = "log_format upstreaminfo '$remote_addr - $remote_user [$time_local] \"$request\" $status \
    $body_bytes_sent \"$http_referer\" \"$http_user_agent\" $request_length $request_time [$proxy_upstream_name] \
    [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time \
    $upstream_status $req_id';";

/// Names and values of one line; `None` is `-` or empty. Names are unique and in the order of the format.
pub type Fields<'a> = Vec<(&'a str, Option<Cow<'a, str>>)>;

/// A compiled format.
#[derive(Clone, Debug)]
pub struct LogFormat {
    name: String,
    escape: Escape,
    parts: Vec<Part>,
    /// Each variable where it first stands.
    names: Vec<String>,
    quick: Option<Box<Quick>>,
    landmark: Landmark,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Vec<u8>),
    Variable(Variable),
}

#[derive(Clone, Debug)]
struct Variable {
    /// Index into the names.
    name: usize,
    shape: Shape,
}

impl LogFormat {
    /// Compiles the text of a directive (`log_format name escape=json '...' '...';`), the part of it after the name, or
    /// only the format itself. The names `combined`, `main` and `upstreaminfo` (ingress-nginx) stand for those formats.
    ///
    /// # Errors
    /// Every variant of [`LogFormatError`]; all but the limits name line and column.
    pub fn compile(text: &str) -> Result<LogFormat, LogFormatError> {
        let text = match text.trim() {
            "combined" => COMBINED,
            "main" => MAIN,
            "upstreaminfo" | "ingress-nginx" => INGRESS,
            _ => text,
        };
        let source = syntax::read(text)?;
        let mut builder = Builder::default();
        for piece in source.pieces(text)? {
            match piece {
                syntax::Piece::Literal(bytes) => builder.literal(bytes),
                syntax::Piece::Variable(name) => {
                    let shape = shape::of_nginx(&name);
                    builder.variable(name, shape);
                }
            }
        }
        Ok(builder.finish(source.name, source.escape))
    }

    /// The name in the directive; empty when only the text of a format was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How values are escaped.
    pub fn escape(&self) -> Escape {
        self.escape
    }

    /// The variables, each once, in the order in which they first stand.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// True when the format has this variable.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Reads a line without its line end; `None` when this format cannot have written it. Values that a paste masked,
    /// and texts where nginx writes a number, are read too if the literals stand.
    pub fn read<'a>(&'a self, line: &'a [u8]) -> Option<Fields<'a>> {
        self.read_on(line, &shape::Tier::EACH)
    }

    /// The same for a line whose values all have the form that nginx gives them: what tells formats apart.
    pub fn read_strictly<'a>(&'a self, line: &'a [u8]) -> Option<Fields<'a>> {
        self.read_on(line, &[shape::Tier::All])
    }

    fn read_on<'a>(&'a self, line: &'a [u8], tiers: &[shape::Tier]) -> Option<Fields<'a>> {
        let spans = matching::spans(&self.parts, self.escape, line, tiers)?;
        let mut fields: Fields<'a> = self.names.iter().map(|name| (name.as_str(), None)).collect();
        let variables = self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Literal(_) => None,
        });
        for (variable, span) in variables.zip(spans) {
            let raw = line.get(span)?;
            if let Some((_, value)) = fields.get_mut(variable.name).filter(|(_, value)| value.is_none()) {
                *value = self.value(raw, variable.shape);
            }
        }
        Some(fields)
    }

    /// Finds the status of a line without reading the rest; `None` when this format has no place for it that is safe
    /// from what clients write.
    pub fn quick(&self) -> Option<&Quick> {
        self.quick.as_deref()
    }

    /// False for a line that has not what each line of this format has, in whatever envelope it stands.
    pub fn may_fit(&self, line: &[u8]) -> bool {
        self.landmark.is_in(line)
    }

    fn value<'a>(&self, raw: &'a [u8], shape: Shape) -> Option<Cow<'a, str>> {
        let raw = shape.inside(raw);
        if raw.is_empty() || raw == b"-" {
            return None;
        }
        Some(self.escape.undo(raw))
    }
}

/// Parts in order, texts between variables joined.
#[derive(Default)]
pub(super) struct Builder {
    parts: Vec<Part>,
    names: Vec<String>,
}

impl Builder {
    pub(super) fn literal(&mut self, bytes: Vec<u8>) {
        // A record that the format breaks over lines is read as one line with blanks.
        let bytes = bytes.into_iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte });
        match self.parts.last_mut() {
            Some(Part::Literal(last)) => last.extend(bytes),
            _ => self.parts.push(Part::Literal(bytes.collect())),
        }
    }

    pub(super) fn variable(&mut self, name: String, shape: Shape) {
        let index = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        self.parts.push(Part::Variable(Variable { name: index, shape }));
    }

    pub(super) fn finish(self, name: String, escape: Escape) -> LogFormat {
        let quick = Quick::of(&self.parts, &self.names, escape).map(Box::new);
        let landmark = Landmark::of(&self.parts);
        LogFormat { name, escape, parts: self.parts, names: self.names, quick, landmark }
    }
}

pub(super) use matching::quote;
pub(super) use shape::of_gunicorn;

#[cfg(test)]
mod tests;
