//! Finished blocks of the report that wait for its summary, in an unnamed temporary file.
//!
//! ```text
//!  uid u64 │ story u64 │ revision u32 │ cause u16 │ flags u8 │ time i64 │ length u32 │ the block, `length` bytes
//! ```
//!
//! All little-endian, one entry for each verdict in order of time. An entry whose block is not shown (it is past the
//! limit, or another one tells its story) has none, but is counted. A verdict that late evidence revised has two entries;
//! the older one counts no more.

use super::summary::Summary;
use super::{Again, Filter, Report};
use crate::engine::causes::{self, Cause};
use crate::engine::incident::{Stories, Story};
use crate::explain::Explained;
use crate::read::evidence::Nanos;
use crate::read::text::hash64;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use tempfile::SpooledTempFile;

/// Reports up to this size never touch the disk: some ten thousand requests.
const MEMORY_BYTES_MAX: usize = 8 << 20;
const HEAD_BYTES: usize = 35;
/// Stories that are shown without `--each`: a few pages.
const STORIES_MAX: u64 = 50;
/// The verdict passes the filter.
const FITS: u8 = 1;
/// It is of a request; else of a record that joins none.
const REQUEST: u8 = 2;

/// Blocks that wait.
pub(super) struct Spill {
    file: BufWriter<SpooledTempFile>,
    /// The last revision of verdicts that were revised. Late evidence comes within a minute, so these are few.
    revised: HashMap<u64, u32>,
    /// Blocks kept, by cause where the limit is for each cause.
    kept: HashMap<u16, u64>,
    /// Tells stories apart; `None` where each failure is shown.
    stories: Option<Stories>,
    /// Verdicts whose blocks tell a story, by their uid; a revision takes them out of it.
    tellers: HashMap<u64, Story>,
    /// Blocks that tell each story.
    told: HashMap<Story, u64>,
}

struct Entry {
    uid: u64,
    story: Story,
    revision: u32,
    cause: u16,
    flags: u8,
    time: Nanos,
    length: u32,
}

impl Spill {
    /// Shows each failure, or each story once.
    pub(super) fn new(each: bool) -> Spill {
        let file = SpooledTempFile::new(MEMORY_BYTES_MAX);
        Spill {
            file: BufWriter::with_capacity(64 * 1024, file),
            revised: HashMap::new(),
            kept: HashMap::new(),
            stories: (!each).then(Stories::default),
            tellers: HashMap::new(),
            told: HashMap::new(),
        }
    }

    /// Keeps one verdict, and its block where it will be shown.
    pub(super) fn add(
        &mut self,
        explained: &Explained<'_>,
        fits: bool,
        report: &dyn Report,
        filter: &Filter,
    ) -> io::Result<()> {
        let verdict = explained.verdict;
        let uid = hash64(verdict.uid.as_bytes());
        if verdict.revision > 0 {
            self.revised.insert(uid, verdict.revision);
        } else if !fits {
            return Ok(());
        }
        let cause = causes::all().iter().position(|cause| *cause == verdict.cause).unwrap_or(usize::MAX);
        let cause = u16::try_from(cause).unwrap_or(u16::MAX);
        if let Some(revised) = self.tellers.remove(&uid)
            && let Some(told) = self.told.get_mut(&revised)
        {
            *told -= 1;
        }
        let story = self.stories.as_mut().map(|stories| stories.of(verdict));
        let mut block = Vec::new();
        let limit = match (filter.limit, story) {
            (Some(limit), Some(_)) => Some(limit.min(STORIES_MAX)),
            (None, Some(_)) => Some(STORIES_MAX),
            (limit, None) => limit,
        };
        let kept = self.kept.entry(if filter.by_cause { cause } else { 0 }).or_default();
        let is_told = story.is_some_and(|story| self.told.get(&story).is_some_and(|told| *told > 0));
        // A revision takes the place of a block that may be among the kept ones.
        if fits && !is_told && (verdict.revision > 0 || limit.is_none_or(|limit| *kept < limit)) {
            *kept += 1;
            report.request(&mut block, explained)?;
            if let Some(story) = story {
                self.tellers.insert(uid, story);
                *self.told.entry(story).or_default() += 1;
            }
        }
        let is_request = verdict.is_request();
        let entry = Entry {
            uid,
            story: story.unwrap_or(uid),
            revision: verdict.revision,
            cause,
            flags: (u8::from(fits) * FITS) | (u8::from(is_request) * REQUEST),
            time: verdict.time,
            length: u32::try_from(block.len()).unwrap_or(u32::MAX),
        };
        self.file.write_all(&entry.bytes()).and_then(|()| self.file.write_all(&block)).map_err(of_spill)
    }

    /// Counts all that fit.
    pub(super) fn summary(&mut self) -> io::Result<Summary> {
        let mut summary = Summary::default();
        self.each(|entry, _, _| {
            if let Some(cause) = causes::all().get(usize::from(entry.cause)) {
                summary.count(cause, entry.time, entry.flags & REQUEST != 0);
            }
            Ok(())
        })?;
        Ok(summary)
    }

    /// Writes the blocks, of one cause or of all, at most `limit`; returns how many failures they tell of.
    pub(super) fn write(
        &mut self,
        out: &mut dyn Write,
        report: &dyn Report,
        only: Option<&'static Cause>,
        limit: Option<u64>,
    ) -> io::Result<u64> {
        let (mut shown, mut blocks) = (0, 0);
        let mut block = Vec::new();
        let mut counts = self.counts()?;
        self.each(|entry, file, left| {
            let cause = causes::all().get(usize::from(entry.cause));
            let wanted = only.is_none_or(|only| cause.is_some_and(|cause| *cause == only));
            if !wanted || entry.length == 0 || limit.is_some_and(|limit| blocks >= limit) {
                return Ok(());
            }
            // Told by two blocks where a revision took one out and brought it back: the first tells of all.
            let again = match &mut counts {
                Some(counts) => match counts.remove(&entry.story) {
                    Some(again) => Some(again),
                    None => return Ok(()),
                },
                None => None,
            };
            block.resize(usize::try_from(entry.length).unwrap_or(0), 0);
            file.read_exact(&mut block).map_err(of_spill)?;
            *left = 0;
            blocks += 1;
            shown += 1 + again.map_or(0, |again| again.more);
            out.write_all(&block)?;
            report.again(out, again.filter(|again| again.more > 0))
        })?;
        Ok(shown)
    }

    /// How often each story is told, the one that is shown not counted; `None` where each failure is shown.
    fn counts(&mut self) -> io::Result<Option<BTreeMap<Story, Again>>> {
        if self.stories.is_none() {
            return Ok(None);
        }
        let mut counts: BTreeMap<Story, Again> = BTreeMap::new();
        self.each(|entry, _, _| {
            let again = counts.entry(entry.story);
            let one = |again: &mut Again| {
                again.more += 1;
                again.last = again.last.max(entry.time);
            };
            again.and_modify(one).or_insert(Again { more: 0, last: entry.time });
            Ok(())
        })?;
        Ok(Some(counts))
    }

    /// Calls back for each entry that fits and is the last of its revisions. The third argument is how many bytes of its
    /// block are unread.
    fn each(
        &mut self,
        mut found: impl FnMut(&Entry, &mut BufReader<&mut SpooledTempFile>, &mut i64) -> io::Result<()>,
    ) -> io::Result<()> {
        self.file.flush().map_err(of_spill)?;
        let file = self.file.get_mut();
        file.rewind().map_err(of_spill)?;
        let mut file = BufReader::with_capacity(64 * 1024, file);
        while let Some(entry) = Entry::read(&mut file)? {
            let mut left = i64::from(entry.length);
            let is_last = self.revised.get(&entry.uid).is_none_or(|last| *last == entry.revision);
            if is_last && entry.flags & FITS != 0 {
                found(&entry, &mut file, &mut left)?;
            }
            file.seek_relative(left).map_err(of_spill)?;
        }
        Ok(())
    }
}

impl Entry {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend(self.uid.to_le_bytes());
        bytes.extend(self.story.to_le_bytes());
        bytes.extend(self.revision.to_le_bytes());
        bytes.extend(self.cause.to_le_bytes());
        bytes.push(self.flags);
        bytes.extend(self.time.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes
    }

    fn read(file: &mut impl Read) -> io::Result<Option<Entry>> {
        let mut head = [0; HEAD_BYTES];
        match file.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(of_spill(error)),
        }
        let mut rest = head.as_slice();
        let entry = Entry {
            uid: u64::from_le_bytes(take(&mut rest)),
            story: u64::from_le_bytes(take(&mut rest)),
            revision: u32::from_le_bytes(take(&mut rest)),
            cause: u16::from_le_bytes(take(&mut rest)),
            flags: u8::from_le_bytes(take(&mut rest)),
            time: Nanos::from_le_bytes(take(&mut rest)),
            length: u32::from_le_bytes(take(&mut rest)),
        };
        Ok(Some(entry))
    }
}

/// The next bytes; zeros past the end, which the fixed head never reaches.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk::<N>() {
        Some((first, after)) => {
            *rest = after;
            *first
        }
        None => [0; N],
    }
}

fn of_spill(error: io::Error) -> io::Error {
    io::Error::other(format!("the temporary file of the report: {error}; is there room in the temporary directory?"))
}

#[cfg(test)]
mod tests {
    use super::super::summary::Row;
    use super::*;
    use crate::engine::calibration::Completeness;
    use crate::engine::verdict::{Link, Verdict};
    use crate::explain::places::Places;
    use crate::explain::{Outage, Totals};
    use crate::read::evidence::{Symptom, Text};

    struct Plain;

    impl Report for Plain {
        fn is_bare(&self) -> bool {
            false
        }
        fn head(&self, _: &mut dyn Write, _: &Summary, _: &Totals) -> io::Result<()> {
            Ok(())
        }
        fn incident(&self, _: &mut dyn Write, _: &Outage) -> io::Result<()> {
            Ok(())
        }
        fn more_incidents(&self, _: &mut dyn Write, _: u64, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn group(&self, _: &mut dyn Write, _: &Row) -> io::Result<()> {
            Ok(())
        }
        fn request(&self, out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()> {
            write!(out, "{}.{} ", explained.verdict.uid, explained.verdict.revision)
        }
        fn again(&self, out: &mut dyn Write, again: Option<Again>) -> io::Result<()> {
            again.map_or(Ok(()), |again| write!(out, "+{} ", again.more))
        }
        fn end(&self, _: &mut dyn Write, _: &Summary, _: u64) -> io::Result<()> {
            Ok(())
        }
    }

    fn verdict(uid: &str, revision: u32, cause: &str) -> Verdict {
        Verdict {
            uid: uid.to_owned(),
            revision,
            time: Nanos::from(revision) + 5,
            status: Some(502),
            method: Text::default(),
            target: Text::default(),
            client: Text::default(),
            host: Text::default(),
            symptom: Symptom::Unknown,
            cause: causes::by_id(cause).expect("a cause"),
            confidence: 0.5,
            completeness: Completeness::Whole,
            considered: Vec::new(),
            evidence: Vec::new(),
            records: Vec::new(),
            upstream: None,
            attempts: 1,
            worker_pid: None,
            peer: Default::default(),
            asks: None,
            link: Link::NONE,
            incident: None,
        }
    }

    fn check(filter: &Filter, only: Option<&str>, blocks: &str, counts: &str) {
        let places = Places::default();
        let mut spill = Spill::new(filter.each);
        let late = verdict("b", 1, "worker_timeout");
        for verdict in [verdict("a", 0, "unknown"), verdict("b", 0, "unknown"), verdict("c", 0, "worker_timeout"), late]
        {
            let explained = Explained { verdict: &verdict, places: &places };
            spill.add(&explained, filter.fits(&verdict), &Plain, filter).expect("keeps");
        }
        let rows = spill.summary().expect("counts").rows();
        let rows: Vec<String> = rows.iter().map(|row| format!("{} {}", row.count, row.cause.id)).collect();
        assert_eq!(rows.join(", "), counts);
        let mut out = Vec::new();
        spill.write(&mut out, &Plain, only.and_then(causes::by_id), filter.limit).expect("writes");
        assert_eq!(String::from_utf8_lossy(&out).trim(), blocks);
    }

    #[test]
    fn a_revision_takes_the_place_of_what_it_revises() {
        let all = Filter { each: true, ..Filter::default() };
        check(&all, None, "a.0 c.0 b.1", "2 worker_timeout, 1 unknown");
        check(&all, Some("worker_timeout"), "c.0 b.1", "2 worker_timeout, 1 unknown");
        let one = Filter { limit: Some(1), ..all.clone() };
        check(&one, None, "a.0", "2 worker_timeout, 1 unknown");
        let unknown = Filter { causes: vec!["unknown".to_owned()], ..all.clone() };
        check(&unknown, None, "a.0", "1 unknown");
        let timeout = Filter { causes: vec!["worker_timeout".to_owned()], ..all };
        check(&timeout, None, "c.0 b.1", "2 worker_timeout");
    }

    #[test]
    fn the_same_story_is_told_once_with_a_count() {
        let all = Filter::default();
        check(&all, None, "a.0 c.0 +1", "2 worker_timeout, 1 unknown");
        check(&all, Some("worker_timeout"), "c.0 +1", "2 worker_timeout, 1 unknown");
        let one = Filter { limit: Some(1), ..Filter::default() };
        check(&one, None, "a.0", "2 worker_timeout, 1 unknown");
    }

    #[test]
    fn a_revision_that_tells_another_story_leaves_its_own_to_the_next() {
        let places = Places::default();
        let (filter, mut spill) = (Filter::default(), Spill::new(false));
        let revised = verdict("a", 1, "worker_timeout");
        let verdicts = [verdict("a", 0, "unknown"), verdict("b", 0, "unknown"), revised, verdict("c", 0, "unknown")];
        for verdict in &verdicts {
            spill.add(&Explained { verdict, places: &places }, true, &Plain, &filter).expect("keeps");
        }
        let mut out = Vec::new();
        let told = spill.write(&mut out, &Plain, None, None).expect("writes");
        assert_eq!((String::from_utf8_lossy(&out).trim(), told), ("a.1 c.0 +1", 3));
    }

    #[test]
    fn more_than_memory_holds() {
        let places = Places::default();
        let mut spill = Spill::new(true);
        let filter = Filter { each: true, ..Filter::default() };
        let long = "x".repeat(1 << 20);
        for revision in [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] {
            let verdict = verdict(&long, revision, "unknown");
            spill.add(&Explained { verdict: &verdict, places: &places }, true, &Plain, &filter).expect("keeps");
        }
        let mut out = Vec::new();
        assert_eq!(spill.write(&mut out, &Plain, None, None).expect("writes"), 10);
        assert_eq!(out.len(), 10 * (long.len() + 3));
        assert_eq!(spill.summary().expect("counts").total, 10);
    }
}
