//! Gunicorn's `access_log_format`, compiled like nginx's `log_format` (`gunicorn/config.py`, `AccessLogFormat`;
//! `gunicorn/glogging.py`, `Logger.atoms`).
//!
//! ```text
//!  %(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %({x-request-id}i)s
//! ```
//!
//! Fields get the names of nginx's variables where nginx has one (`h` is `remote_addr`, `{x-request-id}i` is
//! `http_x_request_id`), and keep Gunicorn's letter where it has none (`D`, `L`, `M`, `T`, `l`).

use super::log_format::{Builder, Escape, LogFormat, LogFormatError, of_gunicorn};

/// The default, letter for letter nginx's `combined`.
pub const DEFAULT: &str = "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"";

/// Longest text of a format, as for nginx's.
const FORMAT_BYTES_MAX: usize = 64 * 1024;
/// Fields of one format.
const FIELDS_MAX: usize = 512;

/// Compiles the text of a format, or the line of a configuration file that sets it (`access_log_format = '...' "..."`).
///
/// # Errors
/// [`LogFormatError::Empty`], [`LogFormatError::NoVariable`], [`LogFormatError::TooLong`], and
/// [`LogFormatError::NoField`] with the place in the text.
pub fn compile(text: &str) -> Result<LogFormat, LogFormatError> {
    if text.len() > FORMAT_BYTES_MAX {
        return Err(LogFormatError::TooLong);
    }
    let format = unquoted(text.trim_matches(['\n', '\r']));
    if format.trim().is_empty() {
        return Err(LogFormatError::Empty);
    }
    let mut builder = Builder::default();
    let mut rest = format.as_str();
    let mut count = 0;
    while let Some(index) = rest.find('%') {
        let (literal, after) = rest.split_at(index);
        if !literal.is_empty() {
            builder.literal(literal.as_bytes().to_vec());
        }
        let here = format.len() - after.len();
        if let Some(next) = after.strip_prefix("%%") {
            builder.literal(b"%".to_vec());
            rest = next;
            continue;
        }
        let (atom, next) = field(after).ok_or_else(|| LogFormatError::no_field(&format, here))?;
        let (name, shape) = of_gunicorn(atom);
        builder.variable(name, shape);
        count += 1;
        rest = next;
    }
    if !rest.is_empty() {
        builder.literal(rest.as_bytes().to_vec());
    }
    match count {
        0 => Err(LogFormatError::NoVariable),
        1..=FIELDS_MAX => Ok(builder.finish(String::new(), Escape::Gunicorn)),
        _ => Err(LogFormatError::TooLong),
    }
}

/// Atoms of a format that no Gunicorn has (`gunicorn/glogging.py`, `Logger.atoms`); it prints `-` for them.
pub fn unknown_atoms(text: &str) -> Vec<String> {
    const ATOMS: &str = "hlutrsmUqHbBfaTDMLp";
    let format = unquoted(text);
    let mut unknown = Vec::new();
    let mut rest = format.as_str();
    while let Some((_, after)) = rest.split_once('%') {
        rest = after.strip_prefix('%').unwrap_or(after);
        let Some((atom, next)) = after.strip_prefix('(').and_then(|atom| atom.split_once(')')) else { continue };
        rest = next;
        let of_request = atom.strip_prefix('{').and_then(|rest| rest.rsplit_once('}'));
        let known = match of_request {
            Some((name, kind)) => !name.is_empty() && matches!(kind, "i" | "o" | "e"),
            None => atom.len() == 1 && ATOMS.contains(atom),
        };
        if !known && !unknown.iter().any(|other| other == atom) {
            unknown.push(atom.to_owned());
        }
    }
    unknown
}

/// `%(name)s` and what follows; a width (`%(h)-15s`) only adds blanks.
fn field(text: &str) -> Option<(&str, &str)> {
    let (atom, rest) = text.strip_prefix("%(")?.split_once(')')?;
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.'));
    let rest = rest.strip_prefix(['s', 'd', 'r', 'f'])?;
    (!atom.is_empty()).then_some((atom, rest))
}

/// The text of a Python setting: its name cut off, string literals joined. Any other text as it is.
fn unquoted(text: &str) -> String {
    let mut rest = text.trim_start();
    let mut assigned = false;
    for name in ["access_log_format", "--access-logformat"] {
        if let Some(after) = rest.strip_prefix(name) {
            let after = after.trim_start();
            rest = after.strip_prefix('=').unwrap_or(after).trim_start();
            assigned = true;
        }
    }
    let inside = rest.strip_prefix('(').and_then(|rest| rest.trim_end().strip_suffix(')')).unwrap_or(rest);
    match strings(inside) {
        Some(strings) if assigned || inside.starts_with('\'') || strings.len() == 1 => strings.concat(),
        _ if assigned => rest.to_owned(),
        _ => text.to_owned(),
    }
}

/// Python's string literals one after the other; `None` when the text is anything else.
fn strings(text: &str) -> Option<Vec<String>> {
    let mut strings = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let raw = rest.starts_with(['r', 'R']);
        rest = rest.trim_start_matches(['r', 'R', 'u', 'U']);
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let mut value = String::new();
        let mut chars = rest.get(1..)?.char_indices();
        let end = loop {
            let (index, c) = chars.next()?;
            match c {
                '\\' if !raw => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    't' => value.push('\t'),
                    '\n' => {}
                    c @ ('\\' | '\'' | '"') => value.push(c),
                    c => value.extend(['\\', c]),
                },
                c if c == quote => break index + 2,
                c => value.push(c),
            }
        };
        strings.push(value);
        rest = rest.get(end..)?.trim_start();
    }
    (!strings.is_empty()).then_some(strings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(format: &str, line: &str, expected: &str) {
        let read = match compile(format) {
            Err(error) => error.to_string(),
            Ok(format) => match format.read(line.as_bytes()) {
                None => "no match".to_owned(),
                Some(fields) => fields
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("~")))
                    .collect::<Vec<_>>()
                    .join(" | "),
            },
        };
        assert_eq!(read, expected, "{format}\n{line}");
    }

    #[test]
    fn atoms_that_gunicorn_has_not() {
        let none: [&str; 0] = [];
        assert_eq!(unknown_atoms(DEFAULT), none);
        assert_eq!(unknown_atoms("%(D)s %({x-request-id}i)s %({WSGI_ENV}e)s 100%% %(p)s %(q)s"), none);
        assert_eq!(unknown_atoms("access_log_format = '%(zz)s %({x}z)s' '%(Z)s %(zz)s'"), ["zz", "{x}z", "Z"]);
        assert_eq!(unknown_atoms("100% %(h %"), none);
    }

    #[test]
    fn formats() {
        check(
            DEFAULT,
            " - - [03/Mar/2027:10:20:30 +0100] \"GET /a HTTP/1.0\" 502 - \"-\" \"say \\\"hi\\\" \\ C:\\d\"",
            "remote_addr=~ | l=~ | remote_user=~ | time_local=03/Mar/2027:10:20:30 +0100 | request=GET /a HTTP/1.0 | \
             status=502 | body_bytes_sent=~ | http_referer=~ | http_user_agent=say \"hi\" \\ C:\\d",
        );
        check(
            "%(h)s %(s)s %(D)sµs %(p)s",
            "192.0.2.1 500 1204µs <77>",
            "remote_addr=192.0.2.1 | status=500 | D=1204 | pid=77",
        );
        check(
            "access_log_format = '%(m)s %(U)s ' \"%(s)s id=%({x-request-id}i)s\"",
            "GET /a 200 id=f00",
            "request_method=GET | uri=/a | status=200 | http_x_request_id=f00",
        );
        check("(100%%) %(s)s", "(100%) 200", "status=200");
    }

    #[test]
    fn refused() {
        check(
            "%(h)s %s",
            "",
            "line 1, column 7: no name of a field; Gunicorn's fields look like %(h)s or %({x-request-id}i)s",
        );
        check("plain", "", "the format has no variable: nginx's variables begin with $, Gunicorn's look like %(h)s");
    }

    proptest! {
        #[test]
        fn anything_goes(format in "([%()sh{}i'\"\\\\ ]{1,3}){0,16}|\\PC{0,30}", line: Vec<u8>) {
            if let Ok(format) = compile(&format) {
                let _ = format.read(&line);
            }
        }
    }
}
