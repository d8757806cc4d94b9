//! What a line is: one file for each format, tried in the order of the rows of [`table`].

use super::evidence::{Evidence, Proof, Stamp, TEXT_BYTES_MAX};
use super::paste::{fragment, page, second};
use super::peel::{self, Peeled};
use super::request_line::request_line_hash;
use super::sniff::{self, Sign};
use super::{SourceMemory, Wanted};
use json_line::JsonLine;

pub mod access_formats;
pub mod describe;
pub mod gunicorn_access;
pub mod gunicorn_error;
pub mod gunicorn_format;
mod healthy;
pub mod host;
mod ids;
pub mod json_line;
pub mod log_format;
pub mod nginx_access;
pub mod nginx_error;
pub mod parsed;
mod place;
pub mod table;
pub mod traceback;

pub use access_formats::{AccessFormats, AccessReading};
pub use describe::Description;
pub use ids::{may_have_id, trace_context, trace_ids};
pub use log_format::{LogFormat, LogFormatError};
pub use nginx_access::Get;
use place::{Place, of_other};

/// Formats that a line can be in. The id is what `why502 parse` prints and `recognised{format}` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each name says what the string of `id` says")]
pub enum Format {
    NginxError,
    NginxAccess,
    NginxAccessJson,
    Gunicorn,
    GunicornAccess,
    Exception,
    Host,
}

impl Format {
    /// The word that is printed and counted.
    pub fn id(self) -> &'static str {
        table::row(self).map_or("", |row| row.id)
    }
}

/// What became of one line.
#[derive(Clone, Debug)]
pub enum Reading {
    /// In a known format and of no interest: a healthy request, a line about something else.
    Healthy(Format),
    /// It proves something; several things where several records stand in one.
    Proves(Format, Vec<Evidence>),
    /// In no format that we know.
    Unrecognised,
}

/// Reads lines. Immutable, shared by all tasks.
#[derive(Debug, Default)]
pub struct Reader {
    formats: AccessFormats,
}

/// Lines of one record that are looked at: a traceback has some dozens.
const LINES_MAX: usize = 256;
/// nginx cuts a record of its error log after so many bytes, its line feeds included (`src/core/ngx_log.h`,
/// `NGX_MAX_ERROR_STR`): a client that breaks one into several lines has no more to forge with.
const ERROR_BYTES_MAX: u32 = 2_048;

impl Reader {
    /// A reader that also knows these formats, nginx's and Gunicorn's.
    pub fn with_access_formats(formats: AccessFormats) -> Reader {
        Reader { formats }
    }

    /// Dismisses a healthy access line by its status alone: the usual line at the least cost. Remembers nothing.
    #[inline]
    pub fn dismiss(&self, line: &[u8], wanted: &Wanted) -> Option<Format> {
        healthy::dismiss(line, &self.formats, wanted)
    }

    /// The same, remembered: the first step of [`Reader::read`], for a caller who has more to do with other lines.
    #[inline]
    pub fn pass(&self, line: &[u8], memory: &mut SourceMemory, wanted: &Wanted) -> Option<Format> {
        let format = match healthy::dismiss(line, &self.formats, wanted)? {
            Format::NginxAccess if gunicorn_access::goes_on(line, memory.last) => Format::GunicornAccess,
            format => format,
        };
        memory.last = Some(format);
        // An error record of so many line feeds at the worst; the line itself may be another program's.
        memory.doubt_bytes = memory.doubt_bytes.saturating_sub(1);
        Some(format)
    }

    /// Reads one record, in its envelope or bare, without its line end. A record of several physical lines (a
    /// traceback) proves what its lines prove.
    pub fn read(&self, line: &[u8], memory: &mut SourceMemory, wanted: &Wanted) -> Reading {
        if let Some(format) = self.pass(line, memory, wanted) {
            return Reading::Healthy(format);
        }
        if let Some(reading) = self.read_usual(line, memory, wanted) {
            return reading;
        }
        self.read_any(line, memory, wanted)
    }

    /// Reads a record that is not dismissed by its status alone.
    fn read_any(&self, line: &[u8], memory: &mut SourceMemory, wanted: &Wanted) -> Reading {
        if !memory.in_traceback && !is_surely_ours(line) && !self.formats.may_fit(line) {
            // Lines of other programs end here, which are most of what is no access log.
            let format = match sniff::sniff(line) {
                Sign::Ours => None,
                Sign::Request => healthy::let_go(line, memory.last, wanted),
                Sign::None => match page::with_plain_blanks(line) {
                    // Words are told by the blanks in them.
                    Some(plain) => return self.read_any(&plain, memory, wanted),
                    None => Some(None),
                },
            };
            if let Some(format) = format {
                memory.doubt_bytes = memory.doubt_bytes.saturating_sub(bytes_of(line));
                memory.last = format.or(memory.last);
                if format.is_none() && memory.prefix.is_being_learned() {
                    // Another program's line, or one of nginx about nothing that matters.
                    memory.prefix.look_at(&super::text::lossy(line), None);
                }
                return format.map_or(Reading::Unrecognised, Reading::Healthy);
            }
        }
        self.read_whole(line, memory, wanted)
    }

    /// The two lines of a failed request in nginx's own formats, where nothing before them makes them doubtful: what
    /// [`Reader::read_any`] would say of them, at a fraction of its cost.
    fn read_usual(&self, line: &[u8], memory: &mut SourceMemory, wanted: &Wanted) -> Option<Reading> {
        if memory.doubt_bytes > 0 || memory.in_traceback {
            return None;
        }
        let reading = match nginx_error::read_usual(line) {
            Some(read) => {
                let text = std::str::from_utf8(line).ok()?.to_owned();
                let proof = Proof::NginxError(Box::new(read.error));
                let stamp = read.stamp;
                let evidence = Evidence { proof, stamp, text, words: 0, origin: None, trace: None, genuine: true };
                Reading::Proves(Format::NginxError, vec![evidence])
            }
            None => {
                // A format that the user named is tried first, and Gunicorn's lines may look the same.
                let status = nginx_access::quick_status(line).filter(|status| nginx_access::is_interesting(*status))?;
                let text = std::str::from_utf8(line).ok()?;
                if !self.formats.is_empty() || gunicorn_access::is_likely(text, memory.last) {
                    return None;
                }
                let read = nginx_access::read_usual(line).filter(|read| read.access.status == status)?;
                access_reading(read, Format::NginxAccess, text.to_owned(), wanted)
            }
        };
        if let Reading::Proves(format, _) | Reading::Healthy(format) = reading {
            memory.last = Some(format);
        }
        memory.frame = None;
        Some(reading)
    }

    /// The same without a look at telltale words first: what [`Reader::read`] must not tell otherwise.
    pub fn read_whole(&self, line: &[u8], memory: &mut SourceMemory, wanted: &Wanted) -> Reading {
        let text = super::text::lossy(line);
        let mut best = Reading::Unrecognised;
        let mut place = Place::Alone;
        for physical in text.lines().take(LINES_MAX) {
            let reading = self.read_line(physical, memory, wanted, place);
            place = place.next(&reading, physical);
            best = both(best, reading);
        }
        let reading = match &best {
            Reading::Proves(format, _) | Reading::Healthy(format) => {
                memory.last = Some(*format);
                // A frame may prove something; the code under it is still to come.
                memory.in_traceback = text.contains("File \"") && continues(&text, &mut memory.in_traceback);
                best
            }
            Reading::Unrecognised if continues(&text, &mut memory.in_traceback) => Reading::Healthy(Format::Exception),
            Reading::Unrecognised => best,
        };
        if !memory.in_traceback {
            // A frame says something of the exception that ends its own traceback, and of no later one.
            memory.frame = None;
        }
        reading
    }

    fn read_line(&self, line: &str, memory: &mut SourceMemory, wanted: &Wanted, place: Place) -> Reading {
        let reading = self.read_enveloped(line, memory, wanted, place);
        if place == Place::BehindOther { of_other(reading) } else { reading }
    }

    fn read_enveloped(&self, line: &str, memory: &mut SourceMemory, wanted: &Wanted, place: Place) -> Reading {
        let peeled = peel::peel_after(line, memory.prefix);
        if place == Place::Alone && memory.doubt_bytes == 0 {
            memory.prefix.look_at(&peeled.bare, peeled.pasted.as_deref());
        }
        if let Some(origin) = &peeled.origin {
            memory.turn_to(origin);
        }
        let named = if place == Place::Alone { self.read_named_whole(line, &peeled, memory, wanted) } else { None };
        let mut reading = named.unwrap_or_else(|| self.read_peeled(&peeled, memory, wanted, place));
        if let (Reading::Proves(format, _) | Reading::Healthy(format), Some(origin)) = (&reading, &peeled.origin) {
            memory.note_writer(origin, *format);
        }
        if let (Reading::Proves(_, evidences), Some(origin)) = (&mut reading, &peeled.origin) {
            for evidence in evidences {
                evidence.origin.get_or_insert_with(|| origin.clone());
            }
        }
        let Some(object) = &peeled.object else { return reading };
        let may_gain = match &reading {
            Reading::Healthy(_) => false,
            Reading::Proves(..) => true,
            Reading::Unrecognised => parsed::may_gain(&peeled.bare),
        };
        match JsonLine::read(object).filter(|_| may_gain) {
            Some(json) => parsed::complete(reading, &peeled.bare, None, &|name| json.get_deep(name), memory),
            None => reading,
        }
    }

    /// A line in a format that the user named, where what it begins with was taken for an envelope: `$time_iso8601`, quotes of
    /// a typesetter.
    fn read_named_whole(
        &self,
        line: &str,
        peeled: &Peeled<'_>,
        memory: &mut SourceMemory,
        wanted: &Wanted,
    ) -> Option<Reading> {
        if self.formats.is_empty() || peeled.bare == line {
            return None;
        }
        let is_doubtful = memory.doubt_bytes > 0;
        let mut read = |text: &str| {
            let formats = &self.formats;
            access_formats::read(&Bare { text, stamp: None, is_doubtful, continues: false, formats, memory, wanted })
        };
        if read(&peeled.bare).is_some() { None } else { read(line) }
    }

    fn read_peeled(&self, peeled: &Peeled<'_>, memory: &mut SourceMemory, wanted: &Wanted, place: Place) -> Reading {
        if !peeled.bare.contains('\n') {
            return self.read_bare(&peeled.bare, peeled, memory, wanted, place);
        }
        // The text of a JSON logger may have line ends of its own.
        let (mut best, mut place) = (Reading::Unrecognised, place);
        for bare in peeled.bare.lines().take(LINES_MAX) {
            let reading = self.read_bare(bare, peeled, memory, wanted, place);
            let reading = if place == Place::BehindOther { of_other(reading) } else { reading };
            place = place.next(&reading, bare);
            best = both(best, reading);
        }
        best
    }

    fn read_bare(
        &self,
        bare: &str,
        peeled: &Peeled<'_>,
        memory: &mut SourceMemory,
        wanted: &Wanted,
        place: Place,
    ) -> Reading {
        let is_doubtful = memory.doubt_bytes > 0 || place == Place::BehindNginx;
        memory.doubt_bytes = memory.doubt_bytes.saturating_sub(u32::try_from(bare.len() + 1).unwrap_or(u32::MAX));
        if bare.is_empty() {
            return Reading::Unrecognised;
        }
        if !is_doubtful {
            traceback::note(bare, &mut memory.frame);
        }
        let continues = place != Place::Alone;
        let formats = &self.formats;
        let mut line = Bare { text: bare, stamp: peeled.stamp, is_doubtful, continues, formats, memory, wanted };
        let mut is_named_tried = false;
        let mut second = None;
        for row in &table::ROWS {
            if row.is_access && !std::mem::replace(&mut is_named_tried, true) {
                let at = *second.get_or_insert_with(|| second::head(bare));
                if let Some(first) = at.and_then(|at| bare.get(..at)).filter(|first| first.contains('"')) {
                    // An access line that lost its end: what follows must not be read as its last values. Without quotes it
                    // is whole, in a format of its own, and what follows is a value of it.
                    let reading = self.read_bare(first.trim_end(), peeled, line.memory, wanted, place);
                    return with_rest(reading, bare, at, self, wanted, is_doubtful || continues);
                }
                // What a format says that the user named is not guessed.
                if let Some(reading) = access_formats::read(&line) {
                    return reading;
                }
            }
            if let Some(reading) = (row.read)(&mut line) {
                return if row.may_hold_second {
                    let at = second.unwrap_or_else(|| second::head(bare));
                    with_rest(reading, bare, at, self, wanted, is_doubtful || continues)
                } else {
                    reading
                };
            }
        }
        if bare.starts_with("{\"") {
            // What stands in the values of an object is not a line.
            return Reading::Unrecognised;
        }
        inside(bare, peeled.stamp, !is_doubtful && !continues)
    }
}

/// A bare line, with what is known around it.
#[derive(Debug)]
pub struct Bare<'a> {
    text: &'a str,
    /// What its envelope says.
    stamp: Option<Stamp>,
    /// It may be the forged half of a record that a client broke.
    is_doubtful: bool,
    /// It is not the first of its record.
    continues: bool,
    formats: &'a AccessFormats,
    memory: &'a mut SourceMemory,
    wanted: &'a Wanted,
}

impl Bare<'_> {
    /// The line proves this.
    fn proves(&self, format: Format, proof: Proof, stamp: Option<Stamp>, genuine: bool) -> Reading {
        let text = cut(self.text);
        Reading::Proves(
            format,
            vec![Evidence { proof, stamp: stamp.or(self.stamp), text, words: 0, origin: None, trace: None, genuine }],
        )
    }
}

/// A second record on the same physical line, as pastes have them: where `second` says. A client can put such text into a
/// request, so it counts as doubtful but where no client's value stands.
fn with_rest(
    reading: Reading,
    bare: &str,
    second: Option<usize>,
    reader: &Reader,
    wanted: &Wanted,
    is_doubtful: bool,
) -> Reading {
    let Some((first, rest)) = second.and_then(|at| bare.split_at_checked(at)) else { return reading };
    let of_access = match &reading {
        Reading::Healthy(format) => is_access(*format),
        Reading::Proves(format, evidences) => is_access(*format) && evidences.iter().all(|evidence| evidence.genuine),
        Reading::Unrecognised => false,
    };
    let genuine = of_access && !is_doubtful && second::is_no_value(first, rest);
    let mut second = reader.read_line(rest, &mut SourceMemory::default(), wanted, Place::Alone);
    if let Reading::Proves(_, evidences) = &mut second {
        evidences.iter_mut().for_each(|evidence| evidence.genuine &= genuine);
    }
    both(reading, second)
}

fn is_access(format: Format) -> bool {
    table::row(format).is_some_and(|row| row.is_access)
}

/// True for a line of a traceback, in its envelope or bare; see [`traceback::continues`].
fn continues(line: &str, inside: &mut bool) -> bool {
    let peeled = peel::peel(line);
    let is_indented = peeled.layers.contains(&"indent") || line.starts_with([' ', '\t']);
    traceback::continues(&peeled.bare, is_indented, inside)
}

/// True for the two lines of a failed request as nginx itself writes them, which need no look at words.
fn is_surely_ours(line: &[u8]) -> bool {
    nginx_error::is_headed(line) || nginx_access::quick_status(line).is_some_and(nginx_access::is_interesting)
}

/// Bytes of a line with its end.
fn bytes_of(line: &[u8]) -> u32 {
    u32::try_from(line.len() + 1).unwrap_or(u32::MAX)
}

/// Notes that a client may have broken the record of which this is the first line.
fn note_break(memory: &mut SourceMemory, line: &str) {
    // Counted from the first break on; a later break is part of the same record.
    let rest = ERROR_BYTES_MAX.saturating_sub(u32::try_from(line.len()).unwrap_or(u32::MAX));
    memory.doubt_bytes = memory.doubt_bytes.max(rest);
}

/// A record of nginx's error log, or one of Gunicorn about an end, that begins inside the line.
fn inside(bare: &str, stamp: Option<Stamp>, genuine: bool) -> Reading {
    if let Some(found) = fragment::gunicorn_error(bare)
        && let Some(rest) = bare.get(found.start..)
        && let Some(read) = gunicorn_error::read(rest)
    {
        let proof = Proof::Gunicorn(read.gunicorn);
        let text = cut(rest);
        let evidence =
            Evidence { proof, stamp, text, words: 0, origin: None, trace: None, genuine: genuine && found.clean };
        return Reading::Proves(Format::Gunicorn, vec![evidence]);
    }
    let Some(found) = fragment::nginx_error(bare) else { return Reading::Unrecognised };
    let Some(rest) = bare.get(found.start..) else { return Reading::Unrecognised };
    let rest = rest.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '\'' | '`' | '*'));
    let rest = if bare.starts_with('"') { rest.strip_suffix('"').unwrap_or(rest) } else { rest };
    let Some(read) = nginx_error::read(rest) else { return Reading::Unrecognised };
    if read.error.symptom.is_none() {
        return Reading::Unrecognised;
    }
    let evidence = Evidence {
        proof: Proof::NginxError(Box::new(read.error)),
        stamp: read.stamp.or(stamp),
        text: cut(rest),
        words: 0,
        origin: None,
        trace: None,
        genuine: genuine && found.clean,
    };
    Reading::Proves(Format::NginxError, vec![evidence])
}

fn both(one: Reading, other: Reading) -> Reading {
    match (one, other) {
        (Reading::Proves(format, mut evidences), Reading::Proves(_, more)) => {
            evidences.extend(more);
            Reading::Proves(format, evidences)
        }
        (proves @ Reading::Proves(..), _) | (_, proves @ Reading::Proves(..)) => proves,
        (healthy @ Reading::Healthy(_), _) | (_, healthy @ Reading::Healthy(_)) => healthy,
        (Reading::Unrecognised, Reading::Unrecognised) => Reading::Unrecognised,
    }
}

fn access_reading(read: nginx_access::Line, format: Format, text: String, wanted: &Wanted) -> Reading {
    let access = &read.access;
    let asked_for = || wanted.contains(request_line_hash(access.method.as_bytes(), access.target.as_bytes()));
    if !nginx_access::is_interesting(access.status) && (wanted.is_empty() || !asked_for()) {
        return Reading::Healthy(format);
    }
    let proof = Proof::NginxAccess(Box::new(read.access));
    Reading::Proves(
        format,
        vec![Evidence {
            proof,
            stamp: read.stamp,
            text,
            words: 0,
            origin: None,
            trace: read.trace,
            genuine: !read.is_doubtful,
        }],
    )
}

/// A line that may be the forged half of a record proves less.
fn in_doubt(mut reading: Reading, doubtful: bool) -> Reading {
    if let (Reading::Proves(_, evidences), true) = (&mut reading, doubtful) {
        for evidence in evidences {
            evidence.genuine = false;
        }
    }
    reading
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_BYTES_MAX).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
