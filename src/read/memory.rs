//! What is remembered of one source between its lines.

use super::evidence::{Nanos, Origin, OriginKind};
use super::formats::Format;
use super::paste::learned::Prefix;
use super::text::hash64;

/// Writers of one stream that are remembered for their Gunicorn.
const SERVERS_MAX: usize = 16;

/// A cache: losing it costs time, the proof that a line is the forged half of another
/// ([`Evidence::genuine`](crate::read::evidence::Evidence::genuine)), the application's own line of a traceback, and a few lines
/// until an unknown prefix is learned anew, nothing else.
#[derive(Clone, Debug, Default)]
pub struct SourceMemory {
    /// The format that the last recognised line had.
    pub last: Option<Format>,
    /// Bytes that may still belong to a record of nginx's error log which a client broke with a line feed: what stands
    /// in them may be forged. 0 is the usual case.
    pub doubt_bytes: u32,
    /// The last line was one of a Python traceback, not its last.
    pub in_traceback: bool,
    /// The application's own line of that traceback, the innermost so far.
    pub frame: Option<Box<str>>,
    /// Containers, pods and units that wrote Gunicorn's lines, where several write one stream: hashes of their names.
    pub servers: Vec<u64>,
    /// The program of the unit that `systemctl status` tells of, until it tells how that ended.
    pub program: Option<Box<str>>,
    /// What a tool that nobody told of puts before its lines.
    pub prefix: Prefix,
    /// When the last healthy line was observed that was read as a sample.
    pub sampled: Nanos,
}

impl SourceMemory {
    /// The line at hand is of this writer: what another one wrote before says nothing of it.
    pub(super) fn turn_to(&mut self, origin: &Origin) {
        if let Some(writer) = writer(origin) {
            self.last = self.servers.contains(&writer).then_some(Format::Gunicorn);
        }
    }

    /// Notes in which format this writer wrote a line.
    pub(super) fn note_writer(&mut self, origin: &Origin, format: Format) {
        let Some(writer) = writer(origin) else { return };
        let is_gunicorn = matches!(format, Format::Gunicorn | Format::GunicornAccess);
        if is_gunicorn && self.servers.len() < SERVERS_MAX && !self.servers.contains(&writer) {
            self.servers.push(writer);
        }
    }
}

/// A container, pod or unit; the programs of a host have its name in common.
fn writer(origin: &Origin) -> Option<u64> {
    (origin.kind != OriginKind::Host).then(|| hash64(origin.name.as_bytes()))
}
