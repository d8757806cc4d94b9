//! The formats as a table: one row each, in the order in which they are counted.
//!
//! A new format is a file of its own and a row here: the sniff, the words that `why502 parse` prints, the counters and
//! their documentation, and "does a record begin here" read the same rows.

use super::{Format, gunicorn_access, gunicorn_error, host, json_line, nginx_access, nginx_error, traceback};
use crate::read::sniff::{Sign, Telltale};

/// What no single word tells: by the front of a line and the line.
pub type ByShape = fn(&[u8], &[u8]) -> Sign;

/// One format.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub format: Format,
    /// The word that is printed and counted.
    pub id: &'static str,
    /// Words without which no line is in this format.
    pub telltales: &'static [Telltale],
    /// What tells a line that has none of them.
    pub by_shape: Option<ByShape>,
}

/// The row of a format.
pub fn row(format: Format) -> Option<&'static Row> {
    static ALL: [Row; COUNT] = ROWS;
    ALL.iter().find(|row| row.format == format)
}

/// The formats in the order of the rows.
pub const FORMATS: [Format; COUNT] = {
    let mut formats = [Format::NginxError; COUNT];
    let mut index = 0;
    while index < COUNT {
        formats[index] = ROWS[index].format;
        index += 1;
    }
    formats
};

/// Formats there are.
pub const COUNT: usize = 7;

/// All of them.
pub const ROWS: [Row; COUNT] = [
    Row {
        format: Format::NginxError,
        id: "nginx_error",
        telltales: nginx_error::TELLTALES,
        by_shape: Some(nginx_error::by_shape),
    },
    Row {
        format: Format::NginxAccess,
        id: "nginx_access",
        telltales: nginx_access::TELLTALES,
        by_shape: Some(nginx_access::by_shape),
    },
    Row { format: Format::NginxAccessJson, id: "nginx_access_json", telltales: json_line::TELLTALES, by_shape: None },
    Row {
        format: Format::Gunicorn,
        id: "gunicorn_error",
        telltales: gunicorn_error::TELLTALES,
        by_shape: Some(gunicorn_error::by_shape),
    },
    // Its lines are those of nginx's access log, or quote a request as they do.
    Row {
        format: Format::GunicornAccess,
        id: "gunicorn_access",
        telltales: gunicorn_access::TELLTALES,
        by_shape: None,
    },
    Row {
        format: Format::Exception,
        id: "python_exception",
        telltales: traceback::TELLTALES,
        by_shape: Some(traceback::by_shape),
    },
    Row { format: Format::Host, id: "host", telltales: host::TELLTALES, by_shape: None },
];
