//! The formats of access logs that the user named: nginx's `log_format` directives and Gunicorn's `access_log_format`.
//!
//! They are tried before a format is inferred from the line, strictly: a line that another format wrote must not be
//! taken for theirs.

use super::log_format::{Fields, LogFormat};
use super::{Bare, Format, Reading, gunicorn_access, nginx_access};
use std::borrow::Cow;

/// Formats that are kept; a large nginx.conf has a dozen.
const FORMATS_MAX: usize = 64;

/// Compiled formats. Immutable, shared by all tasks.
#[derive(Clone, Debug, Default)]
pub struct AccessFormats {
    nginx: Vec<LogFormat>,
    gunicorn: Vec<LogFormat>,
    left_out: usize,
}

/// One line, read by a named format.
#[derive(Debug)]
pub enum AccessReading {
    /// nginx's.
    Nginx(nginx_access::Line),
    /// Gunicorn's.
    Gunicorn(gunicorn_access::Line),
}

impl AccessFormats {
    /// Keeps the formats; the first that fits reads a line. More than 64 of a kind are left out.
    pub fn new(mut nginx: Vec<LogFormat>, mut gunicorn: Vec<LogFormat>) -> AccessFormats {
        let given = nginx.len() + gunicorn.len();
        nginx.truncate(FORMATS_MAX);
        gunicorn.truncate(FORMATS_MAX);
        let left_out = given - nginx.len() - gunicorn.len();
        AccessFormats { nginx, gunicorn, left_out }
    }

    /// What to say where there were too many.
    pub fn left_out(&self) -> Option<String> {
        let count = self.left_out;
        (count > 0).then(|| format!("{count} formats of access logs are left out: no more than {FORMATS_MAX} of nginx's and of Gunicorn's are tried"))
    }

    /// True when no format was named.
    pub fn is_empty(&self) -> bool {
        self.nginx.is_empty() && self.gunicorn.is_empty()
    }

    /// The status of a bare line in one of nginx's formats, without reading the rest; `None` when no format has a safe
    /// short way to it or the line is in another format.
    pub fn quick_status(&self, line: &[u8]) -> Option<u16> {
        self.nginx.iter().find_map(|format| format.quick()?.status(line))
    }

    /// True for a line that may be in one of the formats, in whatever envelope: it has what each line of that format has.
    pub fn may_fit(&self, line: &[u8]) -> bool {
        self.nginx.iter().chain(&self.gunicorn).any(|format| format.may_fit(line))
    }

    /// Reads a bare line in the first format that fits. `prefers_gunicorn` is true for a source that writes Gunicorn's
    /// other lines: its default format is letter for letter nginx's `combined`.
    pub fn read(&self, line: &str, prefers_gunicorn: bool) -> Option<AccessReading> {
        let nginx = || {
            self.nginx.iter().find_map(|format| {
                let fields = format.read_strictly(line.as_bytes())?;
                nginx_line(&fields).map(AccessReading::Nginx)
            })
        };
        let gunicorn = || {
            self.gunicorn.iter().find_map(|format| {
                let fields = format.read_strictly(line.as_bytes()).map(|fields| gunicorn_line(&fields));
                // Over a unix socket the peer is empty, and whoever peels envelopes takes the blank after it.
                let read = fields.flatten().or_else(|| {
                    let restored = format!(" {line}");
                    gunicorn_line(&format.read_strictly(restored.as_bytes())?)
                });
                read.map(AccessReading::Gunicorn)
            })
        };
        if prefers_gunicorn { gunicorn().or_else(nginx) } else { nginx().or_else(gunicorn) }
    }

    /// Names and values of a bare line in the first format that fits, escaping undone; `None` is `-` or nothing.
    pub fn fields(&self, line: &str) -> Option<Vec<(String, Option<String>)>> {
        let mut formats = self.nginx.iter().chain(&self.gunicorn);
        let fields = formats.find_map(|format| format.read_strictly(line.as_bytes()))?;
        Some(fields.into_iter().map(|(name, value)| (name.to_owned(), value.map(Cow::into_owned))).collect())
    }
}

/// What a line in one of the formats proves.
pub(super) fn read(line: &Bare<'_>) -> Option<Reading> {
    let prefers_gunicorn = gunicorn_access::is_likely(line.text, line.memory.last);
    Some(match line.formats.read(line.text, prefers_gunicorn)? {
        AccessReading::Nginx(read) => nginx_access::reading_of(read, Format::NginxAccess, line),
        AccessReading::Gunicorn(read) => gunicorn_access::reading_of(read, line),
    })
}

fn value<'f>(fields: &'f Fields<'_>, name: &str) -> Option<Cow<'f, str>> {
    let (_, value) = fields.iter().find(|(known, _)| *known == name)?;
    // A variable that the format has and that has no value is a dash, not absent.
    Some(Cow::Borrowed(value.as_deref().unwrap_or("-")))
}

/// What the fields of a line of nginx say; `None` without a status.
pub fn nginx_line(fields: &Fields<'_>) -> Option<nginx_access::Line> {
    let mut read = nginx_access::Line::default();
    nginx_access::from_format(&|name| value(fields, name), &mut read).then_some(read)
}

/// What the fields of a line of Gunicorn say; `None` without a status.
pub fn gunicorn_line(fields: &Fields<'_>) -> Option<gunicorn_access::Line> {
    gunicorn_access::from_fields(&|name| value(fields, name))
}

#[cfg(test)]
mod tests {
    use super::super::gunicorn_format;
    use super::*;

    fn check(line: &str, prefers_gunicorn: bool, expected: &str) {
        let nginx = LogFormat::compile("$remote_addr - $remote_user [$time_local] \"$request\" $status $request_time");
        let formats = AccessFormats::new(
            vec![nginx.expect("compiles")],
            vec![gunicorn_format::compile("%(h)s - %(u)s %(t)s \"%(r)s\" %(s)s %(L)s").expect("compiles")],
        );
        let read = match formats.read(line, prefers_gunicorn) {
            None => "none".to_owned(),
            Some(AccessReading::Nginx(read)) => format!("nginx {} {}", read.access.status, read.access.target),
            Some(AccessReading::Gunicorn(read)) => {
                format!("gunicorn {} {} {:?}", read.access.status, read.access.target, read.access.duration)
            }
        };
        assert_eq!(read, expected, "{line}");
    }

    #[test]
    fn formats_that_are_too_many_are_told() {
        let format = |number: usize| LogFormat::compile(&format!("{number} $status")).expect("compiles");
        let of = |count: usize| AccessFormats::new((0..count).map(format).collect(), Vec::new());
        assert_eq!(of(FORMATS_MAX).left_out(), None);
        let told = of(FORMATS_MAX + 2).left_out().expect("too many");
        assert!(told.starts_with("2 formats of access logs are left out"), "{told}");
        assert!(of(FORMATS_MAX + 2).read("63 502", false).is_some());
        assert!(of(FORMATS_MAX + 2).read("64 502", false).is_none());
    }

    #[test]
    fn both_kinds() {
        let line = "192.0.2.7 - - [03/Mar/2027:10:20:30 +0000] \"GET /a HTTP/1.1\" 502 0.004";
        check(line, false, "nginx 502 /a");
        check(line, true, "gunicorn 502 /a Some(4000000)");
        // Over a unix socket, the blank taken by a peeled envelope.
        check(
            "- - [03/Mar/2027:10:20:30 +0000] \"GET /a HTTP/1.0\" 500 0.004000",
            true,
            "gunicorn 500 /a Some(4000000)",
        );
        check("something else", false, "none");
        // Fits only if the shapes do not count: another format's line.
        check("x - - [y] \"z\" 502 w", false, "none");
    }
}
