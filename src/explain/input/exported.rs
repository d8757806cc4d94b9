//! Files in which a record is no line: what the interfaces and the command lines of log stores write.
//!
//! ```text
//!  [                                        the elements of a document, or what lies deeper in it,
//!    {"timestamp": 1772615702250,           each as one line that an envelope explains:
//!     "message": "2026/03/04 ..."},           {"timestamp":1772615702250,"message":"2026/03/04 ..."}
//!  "Date","Host","Message"                  the rows of a table whose head names a column of lines
//!  "2026-03-04 ...","web1","2026/03/04 ..."   {"host":"web1","message":"2026/03/04 ...","time":"2026-03-04 ..."}
//! ```
//!
//! What turns out to be neither is read line by line.

mod documents;
mod otlp;
mod tables;

use tables::Table;

/// Longest document: OTLP's receivers take 64 MiB at most.
pub(super) const DOCUMENT_BYTES_MAX: usize = 64 << 20;
/// Longest row of a table: that of a line, and other columns.
const ROW_BYTES_MAX: usize = 2 << 20;

/// How the records of a file stand in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// One a line.
    #[default]
    Lines,
    /// In objects of JSON that are over several lines, or hold several of them.
    Documents,
    /// In the rows of a table.
    Table(Table),
}

/// What was read at once.
#[derive(Debug)]
pub enum Unit<'a> {
    /// One line, as it is.
    Line(&'a [u8]),
    /// The lines of what turned out to be no document and no row, with their ends.
    Lines(&'a [u8]),
    /// The records of a document or of rows.
    Records(Vec<Record>),
}

impl Unit<'_> {
    /// Hands over each line or record, and how many lines of the unit stand before it.
    ///
    /// # Errors
    /// The first of the taker's.
    #[inline]
    pub fn each<E>(&self, mut take: impl FnMut(&[u8], u64) -> Result<(), E>) -> Result<(), E> {
        match self {
            Unit::Line(line) => take(line, 0),
            Unit::Lines(lines) => {
                let lines = lines.strip_suffix(b"\n").unwrap_or(lines).split(|byte| *byte == b'\n');
                (0..).zip(lines).try_for_each(|(before, line)| take(line, before))
            }
            Unit::Records(records) => records.iter().try_for_each(|record| take(&record.text, record.line)),
        }
    }
}

/// A record as one line, and in which line of its unit it stands, from 0.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// The line.
    pub text: Vec<u8>,
    /// Lines before it.
    pub line: u64,
}

impl Shape {
    /// By the first bytes of a file.
    pub(super) fn of(head: &[u8]) -> Shape {
        if documents::begin(head) {
            return Shape::Documents;
        }
        let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Table::of(first.trim_ascii_end()).map_or(Shape::Lines, Shape::Table)
    }

    /// Bytes of one line that are read.
    pub(super) fn line_bytes_max(&self, usual: usize) -> usize {
        if *self == Shape::Documents { DOCUMENT_BYTES_MAX } else { usual }
    }

    /// True where the next line is of the same unit.
    pub(super) fn goes_on(&self, unit: &[u8], nesting: &mut Nesting) -> bool {
        match self {
            Shape::Lines => false,
            Shape::Documents => nesting.goes_on(unit) && unit.len() < DOCUMENT_BYTES_MAX,
            Shape::Table(_) => nesting.is_quoted(unit) && unit.len() < ROW_BYTES_MAX,
        }
    }

    /// The records of a unit, which has its line ends.
    #[inline]
    pub(super) fn unit<'a>(&self, unit: &'a [u8]) -> Unit<'a> {
        if self.is_lines() && !unit.starts_with(otlp::BEGIN) { Unit::Line(unit) } else { self.several(unit) }
    }

    fn several<'a>(&self, unit: &'a [u8]) -> Unit<'a> {
        let found = match self {
            Shape::Lines | Shape::Documents => documents::records(unit),
            Shape::Table(table) => table.records(unit),
        };
        found.map_or(Unit::Lines(unit), Unit::Records)
    }

    /// True where lines are handed out as they are.
    #[inline]
    pub fn is_lines(&self) -> bool {
        matches!(self, Shape::Lines)
    }
}

/// How far a unit was looked at, and what is open there.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    at: usize,
    depth: u32,
    in_text: bool,
    escaped: bool,
}

impl Nesting {
    /// True while an object is open. What stands around the objects of an array says nothing.
    fn goes_on(&mut self, unit: &[u8]) -> bool {
        for byte in unit.get(self.at..).unwrap_or_default() {
            if self.in_text {
                (self.in_text, self.escaped) = (self.escaped || *byte != b'"', !self.escaped && *byte == b'\\');
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' => self.depth += 1,
                b'[' if self.depth > 0 => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.at = unit.len();
        self.depth > 0
    }

    /// True while a quoted value is open.
    fn is_quoted(&mut self, unit: &[u8]) -> bool {
        let quotes = memchr::memchr_iter(b'"', unit.get(self.at..).unwrap_or_default()).count();
        self.at = unit.len();
        self.in_text ^= quotes % 2 == 1;
        self.in_text
    }
}

/// Lines before a place.
fn lines_before(unit: &[u8], at: usize) -> u64 {
    memchr::memchr_iter(b'\n', unit.get(..at).unwrap_or_default()).count() as u64
}

/// The text as it stands in JSON, without its quotes.
fn as_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}
