//! The formats as a table: one row each, in the order in which a line is tried.
//!
//! A new format is a file of its own and a row here: the reader, the sniff, the words that `why502 parse` prints, the
//! counters and their documentation, and "does a record begin here" read the same rows.

use super::{
    Bare, Format, Reading, gunicorn_access, gunicorn_error, host, json_line, nginx_access, nginx_error, traceback,
};
use crate::read::sniff::{Sign, Telltale, is_ours};

/// What no single word tells: by the front of a line and the line.
pub type ByShape = fn(&[u8], &[u8]) -> Sign;

/// One format.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub format: Format,
    /// The word that is printed and counted.
    pub id: &'static str,
    /// Words without which no line is in this format, list by list.
    pub telltales: &'static [&'static [Telltale]],
    /// What tells a line that has none of them.
    pub by_shape: Option<ByShape>,
    /// True where a line of it begins, with its head or without.
    pub begins: fn(&str) -> bool,
    /// True where its whole head stands, which nothing else begins with.
    pub has_head: fn(&str) -> bool,
    /// What a bare line in this format proves; `None` for a line in another.
    pub read: Read,
    /// Its lines are of an access log: formats that the user named are tried before it.
    pub is_access: bool,
    /// Another record may stand behind a line of it: its end is visible.
    pub may_hold_second: bool,
}

/// Reads a bare line.
pub type Read = fn(&mut Bare<'_>) -> Option<Reading>;

/// The format of the record that begins a text; `None` where none begins.
pub fn begins_record(text: &str) -> Option<Format> {
    ROWS.iter().find(|row| (row.begins)(text)).map(|row| row.format)
}

/// True where a whole head of a format stands: it says whose the line is, whatever follows.
pub fn has_head(text: &str) -> bool {
    ROWS.iter().any(|row| (row.has_head)(text))
}

/// True where a quoted request stands behind a stamp and a status behind it, as in `combined` and what is made of it.
pub fn is_access_shaped(text: &str) -> bool {
    nginx_access::quick_status(text.as_bytes()).is_some()
}

fn never(_: &str) -> bool {
    false
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

/// All of them, in the order in which a line is tried: what is told by its head first, what is guessed last.
pub const ROWS: [Row; COUNT] = [
    Row {
        format: Format::NginxError,
        id: "nginx_error",
        telltales: &[nginx_error::TELLTALES],
        by_shape: Some(nginx_error::by_shape),
        begins: nginx_error::begins,
        has_head: nginx_error::has_whole_head,
        read: nginx_error::reading,
        is_access: false,
        may_hold_second: true,
    },
    Row {
        format: Format::NginxAccessJson,
        id: "nginx_access_json",
        telltales: &[json_line::TELLTALES],
        by_shape: None,
        begins: |text| text.starts_with('{'),
        has_head: never,
        read: nginx_access::json_reading,
        is_access: true,
        may_hold_second: false,
    },
    // Its lines are those of nginx's access log, or quote a request as they do.
    Row {
        format: Format::GunicornAccess,
        id: "gunicorn_access",
        telltales: &[gunicorn_access::TELLTALES],
        by_shape: None,
        begins: never,
        has_head: never,
        read: gunicorn_access::reading,
        is_access: true,
        may_hold_second: false,
    },
    Row {
        format: Format::NginxAccess,
        id: "nginx_access",
        telltales: &[nginx_access::TELLTALES],
        by_shape: Some(nginx_access::by_shape),
        begins: nginx_access::begins,
        has_head: nginx_access::has_head,
        read: nginx_access::reading,
        is_access: true,
        may_hold_second: true,
    },
    Row {
        format: Format::Gunicorn,
        id: "gunicorn_error",
        telltales: &[gunicorn_error::TELLTALES],
        by_shape: Some(gunicorn_error::by_shape),
        begins: gunicorn_error::begins,
        has_head: gunicorn_error::has_head,
        read: gunicorn_error::reading,
        is_access: false,
        may_hold_second: false,
    },
    Row {
        format: Format::Exception,
        id: "python_exception",
        telltales: &[traceback::TELLTALES],
        by_shape: Some(traceback::by_shape),
        begins: |text| traceback::exception(text).is_some() || traceback::is_head(text),
        has_head: never,
        read: traceback::reading,
        is_access: false,
        may_hold_second: false,
    },
    Row {
        format: Format::Host,
        id: "host",
        telltales: host::TELLTALES,
        by_shape: None,
        begins: |text| is_ours(text) && host::read(text).is_some(),
        has_head: never,
        read: host::reading,
        is_access: false,
        may_hold_second: false,
    },
];
