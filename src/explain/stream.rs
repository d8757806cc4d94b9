//! The files of one rotated set as one stream of what proves something.
//!
//! The place of an item in the order of time is its own stamp, but never before the item that came before it in its
//! stream: lines are written nearly in order, and a stamp that a hostile line forges must not pull the others along.
//!
//! Most lines are healthy requests: they are dismissed before anything else is done with them.

use super::Totals;
use super::input::{Input, Lines};
use super::places::Place;
use super::sites::{ORIGINS_MAX, Origin};
use super::survey::Survey;
use super::zones::LocalClock;
use crate::engine::place;
use crate::read::evidence::{Evidence, Nanos, Proof, SECOND};
use crate::read::formats::{Format, Reader, Reading, may_have_id, nginx_access};
use crate::read::paste::joiner::{Joiner, Pushed};
use crate::read::time::nearest_year;
use crate::read::{SourceMemory, Wanted};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

/// Text kept of a record for the timeline: as much as nginx writes of an error.
const TEXT_BYTES_MAX: usize = 2_048;
/// A stamp may jump this far ahead of its file's last one; past it the line keeps its place and its stamp is doubted
/// only for the order. Logs have gaps of days; a forged year 2500 is what this is for.
const JUMP_MAX: Nanos = 400 * 86_400 * SECOND;
/// Stamps of so many healthy lines are read, then of one in [`SAMPLE_LINES`]: enough to know which seconds an access log
/// covers.
const EACH_LINE_MAX: u64 = 100_000;
const SAMPLE_LINES: u64 = 32;
/// How often the progress is told.
const PROGRESS_BYTES: u64 = 1 << 20;

/// What all streams share while they read.
pub(super) struct Context<'a> {
    reader: &'a Reader,
    survey: &'a Survey,
    progress: Option<&'a super::Telling>,
    buffer_bytes: usize,
    /// To read lines that are let go otherwise.
    everything: Wanted,
    /// Whether a report shows the lines.
    pub(super) keeps_texts: bool,
    /// There are spans to compare healthy lines with.
    pub(super) samples: bool,
    /// Bytes of files as they are on disk.
    raw_bytes: u64,
    raw_bytes_all: Option<u64>,
    pub(super) problems: Vec<String>,
    files: u64,
    lines: u64,
    unrecognised: u64,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        reader: &'a Reader,
        survey: &'a Survey,
        progress: Option<&'a super::Telling>,
        buffer_bytes: usize,
        raw_bytes_all: Option<u64>,
    ) -> Context<'a> {
        let (raw_bytes, files, lines, unrecognised) = (0, 0, 0, 0);
        let mut everything = Wanted::default();
        everything.want_all();
        Context {
            reader,
            survey,
            progress,
            buffer_bytes,
            everything,
            keeps_texts: true,
            samples: false,
            raw_bytes,
            raw_bytes_all,
            problems: Vec::new(),
            files,
            lines,
            unrecognised,
        }
    }

    pub(super) fn finish(self, totals: &mut Totals) {
        totals.files += self.files;
        totals.lines += self.lines;
        totals.unrecognised += self.unrecognised;
        totals.problems.extend(self.problems);
    }

    fn told(&mut self, raw_bytes: u64) {
        self.raw_bytes += raw_bytes;
        if let Some(progress) = self.progress {
            progress(self.raw_bytes, self.raw_bytes_all);
        }
    }
}

/// The files of one rotated set.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    inputs: VecDeque<&'a Input>,
    current: Option<Current<'a>>,
    /// What the engine knows it by.
    identity: place::Stream,
    /// The same of lines whose own origin decides.
    by_origin: BTreeMap<Origin, place::Stream>,
    /// When it was last read; larger is later.
    pub(super) used: u64,
    /// What was found and not yet taken, in order.
    pub(super) ahead: VecDeque<Ahead>,
    memory: SourceMemory,
    joiner: Joiner,
    /// For stamps without a zone.
    clock: LocalClock,
    /// Order of the last item.
    order: Nanos,
    /// The last stamp of any line of this stream.
    stamp: Option<Nanos>,
    /// The last second in which a healthy answer is known.
    healthy_second: Option<i64>,
}

#[derive(Debug)]
struct Current<'a> {
    input: &'a Input,
    lines: Lines,
    /// Bytes on disk of which was told.
    raw_told: u64,
    /// Bytes of lines at which to tell next.
    tell_at: u64,
    /// First line that is not UTF-8, and how many are not.
    not_utf8: Option<(u64, u64)>,
}

#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) order: Nanos,
    /// Who wrote it.
    pub(super) stream: place::Stream,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Evidence(Box<Evidence>, Arc<Place>),
    Healthy(Nanos),
    /// A healthy request that carries an id.
    Sample(Box<Evidence>),
}

impl<'a> Stream<'a> {
    pub(super) fn new(input: &'a Input, survey: &Survey) -> Stream<'a> {
        Stream {
            inputs: VecDeque::from([input]),
            current: None,
            identity: survey.sites().stream(input.stream),
            by_origin: BTreeMap::new(),
            used: 0,
            ahead: VecDeque::new(),
            // Known from the first line on: whoever reads files has all of them.
            memory: SourceMemory { prefix: survey.prefix(input.stream), ..SourceMemory::default() },
            joiner: Joiner::default(),
            clock: LocalClock::default(),
            order: Nanos::MIN,
            stamp: None,
            healthy_second: None,
        }
    }

    /// Adds a younger file.
    pub(super) fn push(&mut self, input: &'a Input) {
        self.inputs.push_back(input);
    }

    /// True when a file of it is open.
    pub(super) fn is_open(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.lines.is_open())
    }

    /// True where its open file is found again only by reading it anew.
    pub(super) fn is_dear_to_close(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.lines.is_dear_to_close())
    }

    /// Closes its file until it is read again, where that can be; as much as `kept_bytes_max` of it may stay in memory.
    pub(super) fn close(&mut self, kept_bytes_max: usize) {
        if let Some(current) = &mut self.current {
            current.lines.close(kept_bytes_max);
        }
    }

    /// Reads on until there is an item ahead, or all files are read.
    pub(super) fn fill(&mut self, context: &mut Context<'_>, wanted: &Wanted) {
        while self.ahead.is_empty() {
            let Some(mut current) = self.current.take().or_else(|| self.open(context)) else { return };
            match self.read(&mut current, context, wanted) {
                Ok(true) => self.current = Some(current),
                Ok(false) => self.end(current, context, wanted),
                Err(error) => {
                    let line = current.lines.number + 1;
                    context.problems.push(format!("{}: line {line}: cannot be read on: {error}", current.input.name));
                    self.end(current, context, wanted);
                }
            }
        }
    }

    /// The next file that can be opened.
    fn open(&mut self, context: &mut Context<'_>) -> Option<Current<'a>> {
        while let Some(input) = self.inputs.pop_front() {
            match Lines::with_buffer(input, context.buffer_bytes) {
                Ok(lines) => {
                    context.files += 1;
                    return Some(Current { input, lines, raw_told: 0, tell_at: PROGRESS_BYTES, not_utf8: None });
                }
                Err(error) => context.problems.push(format!("{}: cannot be read: {error}", input.name)),
            }
        }
        None
    }

    /// Reads on until there is an item ahead; false at the end of the file.
    fn read(&mut self, current: &mut Current<'_>, context: &mut Context<'_>, wanted: &Wanted) -> std::io::Result<bool> {
        current.lines.reopen(context.buffer_bytes)?;
        while self.ahead.is_empty() {
            if current.lines.bytes >= current.tell_at {
                current.tell(context);
            }
            let Current { input, lines, not_utf8, .. } = current;
            let Some((first, unit)) = lines.next_unit()? else { return Ok(false) };
            context.lines += 1;
            let Ok(()) = unit.each(|line, before| -> Result<(), Infallible> {
                self.line(line, first + before, input, not_utf8, context, wanted);
                Ok(())
            });
            context.lines += lines.number - first;
        }
        Ok(true)
    }

    #[inline]
    fn line(
        &mut self,
        line: &[u8],
        number: u64,
        input: &Input,
        not_utf8: &mut Option<(u64, u64)>,
        context: &mut Context<'_>,
        wanted: &Wanted,
    ) {
        if self.joiner.is_empty()
            && let Some(format) = context.reader.pass(line, &mut self.memory, wanted)
        {
            if is_sampled(context.lines) {
                self.covers(format, line, context);
            }
            return;
        }
        if std::str::from_utf8(line).is_err() {
            let (_, count) = not_utf8.get_or_insert((number, 0));
            *count += 1;
        }
        self.record(line, number, input, context, wanted);
    }

    /// A line that is not dismissed at once.
    fn record(&mut self, line: &[u8], number: u64, input: &Input, context: &mut Context<'_>, wanted: &Wanted) {
        let mut pushed = self.joiner.push(line, number);
        if pushed == Pushed::Ended {
            self.take_joined(input, context, wanted);
            pushed = self.joiner.push(line, number);
        }
        if pushed == Pushed::Whole {
            self.look(line, number, input, context, wanted);
        }
    }

    fn take_joined(&mut self, input: &Input, context: &mut Context<'_>, wanted: &Wanted) {
        if let Some((text, first)) = self.joiner.take() {
            self.look(text.as_bytes(), first, input, context, wanted);
        }
    }

    /// The file is at its end: what is left is taken, and what was wrong with it is told.
    fn end(&mut self, mut current: Current<'_>, context: &mut Context<'_>, wanted: &Wanted) {
        self.take_joined(current.input, context, wanted);
        current.tell(context);
        let Current { input, lines, not_utf8, .. } = current;
        let mut problem =
            |line: u64, what: String| context.problems.push(format!("{}: line {line}: {what}", input.name));
        if lines.is_utf16 {
            problem(1, "the file is in UTF-16, which was read as well as it goes; logs are in UTF-8".to_owned());
        }
        if let Some((first, count)) = not_utf8 {
            let which = if count == 1 { "this line is".to_owned() } else { format!("{count} lines from here on are") };
            problem(first, format!("{which} not in UTF-8 (Latin-1?): characters other than those of ASCII are lost"));
        }
        if lines.cut > 0 {
            problem(lines.number, format!("lines longer than 1 MiB were read in part, {} up to here", lines.cut));
        }
        if let Some(change) = lines.changed() {
            problem(lines.number, change);
        }
    }

    fn look(&mut self, record: &[u8], number: u64, input: &Input, context: &mut Context<'_>, wanted: &Wanted) {
        match context.reader.read(record, &mut self.memory, wanted) {
            // A blank line is no line of a log.
            Reading::Unrecognised => context.unrecognised += u64::from(!record.trim_ascii().is_empty()),
            Reading::Healthy(format) => {
                if is_sampled(context.lines) {
                    self.covers(format, record, context);
                }
            }
            Reading::Proves(_, evidences) => {
                let mut place = None;
                for mut evidence in evidences {
                    self.complete_stamp(&mut evidence, context.survey);
                    let place = place.get_or_insert_with(|| {
                        let at = evidence.stamp.filter(|stamp| stamp.year_known).map(|stamp| stamp.nanos);
                        let text = if context.keeps_texts { text_of(record) } else { String::new() };
                        Arc::new(Place { at, file: Arc::clone(&input.name), line: number, text })
                    });
                    if evidence.stamp.is_none() && self.order == Nanos::MIN {
                        self.order = context.survey.first(self.identity.id).unwrap_or(Nanos::MIN);
                    }
                    let order = self.order_of(&evidence);
                    let stream = self.stream_of(context.survey, || Origin::of(&evidence));
                    let what = What::Evidence(Box::new(evidence), Arc::clone(place));
                    self.ahead.push_back(Ahead { order, stream, what });
                }
            }
        }
    }

    /// A healthy request was answered: the access log covers this time.
    fn covers(&mut self, format: Format, line: &[u8], context: &Context<'_>) {
        let survey = context.survey;
        if !matches!(format, Format::NginxAccess | Format::NginxAccessJson) {
            return;
        }
        let Some(at) = nginx_access::quick_stamp(line) else { return };
        let second = at.div_euclid(SECOND);
        if self.healthy_second != Some(second)
            && self.stamp.is_none_or(|last| at.saturating_sub(last).saturating_abs() <= JUMP_MAX)
        {
            self.healthy_second = Some(second);
            self.stamp = Some(at);
            self.order = self.order.max(at);
            let stream = self.stream_of(survey, || Origin::of_line(line));
            self.ahead.push_back(Ahead { order: self.order, stream: stream.clone(), what: What::Healthy(at) });
            if (context.samples || may_have_id(line))
                && let Reading::Proves(_, evidences) = context.reader.read(line, &mut self.memory, &context.everything)
            {
                for mut evidence in evidences {
                    self.complete_stamp(&mut evidence, survey);
                    let what = What::Sample(Box::new(evidence));
                    self.ahead.push_back(Ahead { order: self.order, stream: stream.clone(), what });
                }
            }
        }
    }

    /// What the engine knows the writer of a line by.
    fn stream_of(&mut self, survey: &Survey, origin: impl FnOnce() -> Option<Origin>) -> place::Stream {
        let sites = survey.sites();
        let Some(origin) = sites.are_by_origin().then(origin).flatten() else { return self.identity.clone() };
        if let Some(known) = self.by_origin.get(&origin) {
            return known.clone();
        }
        let stream = sites.stream_of(self.identity.id, &origin);
        if self.by_origin.len() < ORIGINS_MAX {
            self.by_origin.insert(origin, stream.clone());
        }
        stream
    }

    /// Gives a stamp the year and the zone that it lacks, by nginx's clock.
    fn complete_stamp(&mut self, evidence: &mut Evidence, survey: &Survey) {
        let Some(stamp) = &mut evidence.stamp else { return };
        if !stamp.year_known {
            // Nothing else is known where no line of any file has a year.
            let Some(near) = self.stamp.or(survey.near(self.identity.id)) else { return };
            stamp.nanos = nearest_year(stamp.nanos, near);
            stamp.year_known = true;
        }
        if !stamp.zone_known {
            stamp.nanos = self.clock.utc(survey.zone_of(self.identity.id), stamp.nanos);
            stamp.zone_known = true;
        }
        stamp.nanos = stamp.nanos.saturating_sub(survey.ahead(self.identity.id));
    }

    fn order_of(&mut self, evidence: &Evidence) -> Nanos {
        if let Some(stamp) = evidence.stamp {
            let mut at = stamp.nanos;
            if matches!(evidence.proof, Proof::NginxAccess(_)) {
                // Within its second the access line is the last word.
                at = at.saturating_add(stamp.grain - 1);
            }
            let jumps = self.stamp.is_some_and(|last| at.saturating_sub(last).saturating_abs() > JUMP_MAX);
            if evidence.genuine && !jumps {
                self.stamp = Some(at);
                self.order = self.order.max(at);
            }
        }
        self.order
    }
}

impl Current<'_> {
    fn tell(&mut self, context: &mut Context<'_>) {
        let raw = self.lines.raw_bytes();
        context.told(raw.saturating_sub(self.raw_told));
        self.raw_told = raw;
        self.tell_at = self.lines.bytes.saturating_add(PROGRESS_BYTES);
    }
}

fn is_sampled(lines: u64) -> bool {
    lines <= EACH_LINE_MAX || lines.is_multiple_of(SAMPLE_LINES)
}

fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..TEXT_BYTES_MAX).unwrap_or(line)).into_owned()
}
