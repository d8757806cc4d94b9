//! A first look at the files: which zone their local stamps have, whose clock is wrong, and which request lines their error
//! logs name.

mod repeats;

use super::clocks;
use super::input::{Input, Lines};
use super::sites::{ORIGINS_MAX, Origin, Seen, Sites};
use super::zones::{LocalClock, Zone, sampling};
use crate::read::evidence::{Evidence, GunicornEvent, Nanos, Proof, SECOND, Stamp, Symptom};
use crate::read::formats::{Format, Reader, Reading, gunicorn_error, nginx_access};
use crate::read::paste::joiner::{Joiner, Pushed};
use crate::read::paste::learned::Prefix;
use crate::read::{SourceMemory, Wanted};
use repeats::{Meaning, Repeats, ordinary};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// Lines looked at to tell whether a file holds anything but access lines.
const SNIFF_LINES: u64 = 2_000;
/// Bytes of one error log that are surveyed: some 4 million lines.
const SURVEY_BYTES_MAX: u64 = 1 << 30;
/// Request lines noted, 8 MiB of hashes.
const HASHES_MAX: usize = 1_000_000;
/// Failing access lines and error lines kept to find the zone.
const SAMPLES_MAX: usize = 20_000;
/// Zones are whole quarters of an hour (Nepal, Chatham).
const QUARTER: Nanos = 900 * SECOND;
/// Offsets with the most votes that are tried, alone and one after the other.
const OFFSETS_TRIED: usize = 3;
/// Daylight saving time is half an hour (Lord Howe) or an hour; two were seen in war time.
const CHANGE_MAX: Nanos = 7_200 * SECOND;
/// Local stamps of one stream that vote where no request is common.
const OVERLAP_SAMPLES: usize = 200;

/// What containers have.
static UTC: Zone = Zone::UTC;

/// What the first look found.
#[derive(Debug, Default)]
pub struct Survey {
    wanted: Wanted,
    zones: BTreeMap<u64, Zone>,
    /// The zone of streams that tell nothing of their own, by site; `None` is all of them.
    usual: BTreeMap<Option<u64>, Zone>,
    /// A time about which most lines of a site were written; `None` is all of them.
    near: BTreeMap<Option<u64>, Nanos>,
    /// When a good line was written, for files in which no other says a year.
    year: Option<Nanos>,
    /// How far the clocks of streams are ahead of nginx's.
    ahead: BTreeMap<u64, Nanos>,
    /// The first stamp of streams.
    firsts: BTreeMap<u64, Nanos>,
    /// What stands before the lines of streams, where no grammar knows it.
    prefixes: BTreeMap<u64, Prefix>,
    sites: Sites,
}

#[derive(Default)]
struct Samples {
    hashes: Vec<u64>,
    /// Stamps without a zone by stream, in their order, with the request line of nginx's.
    locals: Vec<(u64, Option<u64>, Nanos)>,
    /// True stamps of failing access lines, and their stream, by request line.
    accesses: BTreeMap<u64, Vec<(Nanos, u64)>>,
    /// True stamps of anything, to fall back on; in order once all are read.
    any: Vec<(Nanos, u64)>,
    /// When workers ended, by stream.
    ends: BTreeMap<u64, Vec<Nanos>>,
    /// Answers that were cut, by stream, in local time.
    cuts: Vec<(u64, Nanos)>,
    /// The first stamp of each stream.
    firsts: BTreeMap<u64, Stamp>,
    /// Prefixes that were learned, by stream.
    prefixes: BTreeMap<u64, Prefix>,
    repeats: Repeats,
    /// What shows of which site a stream is.
    seen: BTreeMap<u64, Seen>,
    /// Names of containers, pods and hosts in all of `seen`.
    origins: usize,
}

/// Looks at regular files and the beginning of standard input; other pipes can be read only once. `zone` is that of all
/// local stamps, where somebody says it.
pub fn survey(inputs: &[Input], reader: &Reader, zone: Option<Nanos>) -> Survey {
    let mut samples = Samples::default();
    for input in inputs {
        samples.seen.entry(input.stream).or_insert_with(|| Seen { path: input.stem.clone(), ..Seen::default() });
    }
    for input in inputs.iter().filter(|input| input.bytes.is_some() || !input.peeked.is_empty()) {
        let lines = if input.bytes.is_some() { Lines::open(input) } else { Lines::peeked(input) };
        // What cannot be read is told when it is read for the report.
        if let Ok(lines) = lines {
            look_at(input, lines, reader, &mut samples);
        }
    }
    let mut survey = Survey { sites: Sites::of(&samples.seen), ..Survey::default() };
    survey.wanted = Wanted::new(std::mem::take(&mut samples.hashes));
    // Also where the zone is given: the year is not.
    let (said, year) = zones_of_logs(inputs);
    let zones = if zone.is_some() { BTreeMap::new() } else { said };
    survey.year = year;
    // What none of several sites has for itself, all of them together tell.
    let own = samples.by_site(&survey.sites);
    survey.conclude(None, samples, &zones, zone);
    for (site, samples) in own {
        survey.conclude(Some(site), samples, &zones, zone);
    }
    survey
}

impl Survey {
    /// Draws conclusions from the samples of one site, or of all.
    fn conclude(
        &mut self,
        site: Option<u64>,
        mut samples: Samples,
        of_logs: &BTreeMap<u64, Zone>,
        zone: Option<Nanos>,
    ) {
        samples.any.sort_unstable();
        let mut locals: Vec<Nanos> = samples.locals.iter().map(|(_, _, local)| *local).collect();
        locals.sort_unstable();
        let middle = |times: &[Nanos]| times.get(times.len() / 2).copied();
        let any: Vec<Nanos> = samples.any.iter().map(|(known, _)| *known).collect();
        // For a year any zone will do.
        if let Some(near) = middle(&any).or(middle(&locals)) {
            self.near.insert(site, near);
        }
        let mut known: Vec<Zone> = Vec::new();
        for (stream, zone) in of_logs {
            if (site.is_none() || self.sites.site_of(*stream) == site) && !known.contains(zone) {
                known.push(zone.clone());
            }
        }
        let usual = match known.as_slice() {
            _ if zone.is_some() => Zone::fixed(zone.unwrap_or_default()),
            [only] => only.clone(),
            [] if site.is_some() => self.usual.get(&None).cloned().unwrap_or_default(),
            // Logs of several places, or none that tells: what containers have.
            _ => Zone::default(),
        };
        self.usual.insert(site, usual.clone());
        if zone.is_none() {
            let mut by_stream: BTreeMap<u64, Vec<(Option<u64>, Nanos)>> = BTreeMap::new();
            for (stream, hash, local) in &samples.locals {
                by_stream.entry(*stream).or_default().push((*hash, *local));
            }
            for (stream, locals) in by_stream {
                let zone = zone_of(&locals, &samples, &known, &usual);
                self.zones.insert(stream, zone);
            }
        }
        let mut local_clocks: BTreeMap<u64, LocalClock> = BTreeMap::new();
        let cuts: Vec<Nanos> = samples
            .cuts
            .iter()
            .map(|(stream, local)| local_clocks.entry(*stream).or_default().utc(self.zone_of(*stream), *local))
            .collect();
        for (stream, first) in samples.firsts {
            let utc = LocalClock::default().utc(self.zone_of(stream), first.nanos);
            self.firsts.insert(stream, if first.zone_known { first.nanos } else { utc });
        }
        self.prefixes.extend(samples.prefixes);
        let cuts = clocks::Seconds::of(cuts);
        for (stream, ends) in samples.ends {
            self.ahead.insert(stream, clocks::ahead(clocks::Seconds::of(ends), &cuts));
        }
    }

    /// Request lines that error logs name.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The zone of a stream's local stamps.
    pub fn zone_of(&self, stream: u64) -> &Zone {
        let usual = || self.usual.get(&self.sites.site_of(stream)).or_else(|| self.usual.get(&None));
        self.zones.get(&stream).or_else(usual).unwrap_or(&UTC)
    }

    /// How far the clock of a stream is ahead of nginx's.
    pub fn ahead(&self, stream: u64) -> Nanos {
        self.ahead.get(&stream).copied().unwrap_or(0)
    }

    /// When a stream begins: lines before its first stamp were written about then.
    pub fn first(&self, stream: u64) -> Option<Nanos> {
        Some(self.firsts.get(&stream)?.saturating_sub(self.ahead(stream)))
    }

    /// What stands before each line of a stream, if that was learned.
    pub fn prefix(&self, stream: u64) -> Prefix {
        self.prefixes.get(&stream).copied().unwrap_or_default()
    }

    /// A sentence for each stream whose clock is wrong.
    pub fn wrong_clocks<'a>(&'a self, inputs: &'a [Input]) -> impl Iterator<Item = String> + 'a {
        let wrong = self.ahead.iter().filter(|(_, ahead)| **ahead != 0);
        wrong.filter_map(|(stream, ahead)| {
            let input = inputs.iter().find(|input| input.stream == *stream)?;
            let (seconds, word) = (ahead.saturating_abs() / SECOND, if *ahead > 0 { "ahead of" } else { "behind" });
            Some(format!("{}: its clock is {seconds} s {word} nginx's, which was taken into account", input.name))
        })
    }

    /// Of which sites the files are.
    pub(super) fn sites(&self) -> &Sites {
        &self.sites
    }

    /// A time about which most lines of a stream's site were written, for stamps without a year; `None` where no line has a
    /// year.
    pub fn near(&self, stream: u64) -> Option<Nanos> {
        self.near.get(&self.sites.site_of(stream)).or_else(|| self.near.get(&None)).copied().or(self.year)
    }
}

/// What access logs say of their own zone, by stream, and when; where none does, what Gunicorn says of its machine's.
fn zones_of_logs(inputs: &[Input]) -> (BTreeMap<u64, Zone>, Option<Nanos>) {
    let found = zones_said(inputs, nginx_access::quick_zone);
    if found.0.is_empty() { zones_said(inputs, gunicorn_error::quick_zone) } else { found }
}

fn zones_said(inputs: &[Input], quick: sampling::Quick) -> (BTreeMap<u64, Zone>, Option<Nanos>) {
    let mut by_stream: BTreeMap<u64, Vec<(Nanos, Nanos)>> = BTreeMap::new();
    for (index, input) in inputs.iter().enumerate() {
        let mut samples = sampling::sample(input, quick);
        // A rotated set whose zone changed between two starts of files: the change lies within the first of the two.
        let next = inputs.get(index + 1).filter(|next| next.stream == input.stream);
        if let ([only], Some(next)) = (samples.as_slice(), next)
            && sampling::sample(next, quick).first().is_some_and(|first| first.1 != only.1)
        {
            samples = sampling::sample_all(input, quick);
        }
        by_stream.entry(input.stream).or_default().extend(samples);
    }
    let time = by_stream.values().flatten().map(|(time, _)| *time).next();
    let zones = by_stream.into_iter().filter_map(|(stream, samples)| Some((stream, Zone::of_samples(samples)?)));
    (zones.collect(), time)
}

fn look_at(input: &Input, mut lines: Lines, reader: &Reader, samples: &mut Samples) {
    let mut memory = SourceMemory::default();
    let mut others = 0_u64;
    let mut healthy = None;
    let mut joiner = Joiner::default();
    let mut take = |record: &[u8], others: &mut u64| {
        let ordinary = ordinary(record);
        if let Some(ordinary) = ordinary
            && let Some(meaning) = samples.repeats.meaning(ordinary)
            && samples.has_enough_of(input.stream, meaning)
        {
            samples.add_repeat(ordinary.hash, meaning);
            memory.last = Some(Format::NginxError);
            memory.doubt_bytes = memory.doubt_bytes.saturating_sub(u32::try_from(record.len()).unwrap_or(u32::MAX));
            *others += 1;
            return;
        }
        let reading = reader.read(record, &mut memory, &Wanted::default());
        match reading {
            Reading::Proves(format, evidences) => {
                samples.note_format(input.stream, format);
                if let (Some(ordinary), [only]) = (ordinary, evidences.as_slice())
                    && let Proof::NginxError(error) = &only.proof
                {
                    samples.repeats.learn(ordinary, meaning_of(error.symptom));
                }
                // What a client forged votes for no zone and no clock.
                for evidence in evidences.into_iter().filter(|evidence| evidence.genuine) {
                    *others += u64::from(!matches!(evidence.proof, Proof::NginxAccess(_)));
                    samples.add(input.stream, &evidence);
                    samples.note_origin(input.stream, &evidence);
                }
            }
            Reading::Healthy(format) => {
                samples.note_format(input.stream, format);
                if let Some(ordinary) = ordinary.filter(|_| format == Format::NginxError) {
                    samples.repeats.learn(ordinary, meaning_of(None));
                }
            }
            Reading::Unrecognised => {}
        }
    };
    while let Ok(Some((_, unit))) = lines.next_unit() {
        let mut look = |line: &[u8]| {
            if joiner.is_empty()
                && let Some(format) = reader.dismiss(line, &Wanted::default())
            {
                healthy = Some(format);
                return;
            }
            let mut pushed = joiner.push(line, 0);
            if pushed == Pushed::Ended {
                if let Some((record, _)) = joiner.take() {
                    take(record.as_bytes(), &mut others);
                }
                pushed = joiner.push(line, 0);
            }
            if pushed == Pushed::Whole {
                take(line, &mut others);
            }
        };
        let Ok(()) = unit.each(|line, _| -> Result<(), Infallible> {
            look(line);
            Ok(())
        });
        // A pure access log is not worth reading twice.
        if (lines.number >= SNIFF_LINES && others == 0) || lines.bytes > SURVEY_BYTES_MAX {
            break;
        }
    }
    if let Some((record, _)) = joiner.take() {
        take(record.as_bytes(), &mut others);
    }
    if let Some(format) = healthy {
        samples.note_format(input.stream, format);
    }
    if memory.prefix.is_learned() {
        samples.prefixes.insert(input.stream, memory.prefix);
    }
}

fn meaning_of(symptom: Option<Symptom>) -> Meaning {
    let is_cut = matches!(symptom, Some(Symptom::ResponseClosedEarly | Symptom::ResponseReset));
    Meaning { is_symptom: symptom.is_some(), is_cut }
}

impl Samples {
    /// True when another line of nginx's error log with this meaning has nothing to add but its request line.
    fn has_enough_of(&self, stream: u64, meaning: Meaning) -> bool {
        !meaning.is_symptom
            || self.locals.len() >= SAMPLES_MAX
                && self.firsts.contains_key(&stream)
                && (!meaning.is_cut || self.cuts.len() >= SAMPLES_MAX)
    }

    fn note_format(&mut self, stream: u64, format: Format) {
        if let Some(seen) = self.seen.get_mut(&stream)
            && matches!(format, Format::NginxError | Format::NginxAccess | Format::NginxAccessJson)
        {
            seen.nginx.insert(format);
        }
    }

    fn note_origin(&mut self, stream: u64, evidence: &Evidence) {
        if evidence.origin.is_none() || self.origins >= ORIGINS_MAX {
            return;
        }
        let origin = Origin::of(evidence);
        if let (Some(seen), Some(origin)) = (self.seen.get_mut(&stream), origin) {
            self.origins += usize::from(seen.origins.insert(origin));
        }
    }

    fn add_repeat(&mut self, hash: u64, meaning: Meaning) {
        if meaning.is_symptom && self.hashes.len() < HASHES_MAX {
            self.hashes.push(hash);
        }
    }

    fn add(&mut self, stream: u64, evidence: &Evidence) {
        let stamp = evidence.stamp.filter(|stamp| stamp.year_known);
        if let Some(stamp) = stamp {
            self.firsts.entry(stream).or_insert(stamp);
        }
        let known = stamp.filter(|stamp| stamp.zone_known).map(|stamp| stamp.nanos);
        let local = stamp.filter(|stamp| !stamp.zone_known).map(|stamp| stamp.nanos);
        let mut hash = None;
        match &evidence.proof {
            Proof::NginxError(error) => {
                hash = error.request_line_hash();
                let meaning = meaning_of(error.symptom);
                if let Some(local) = local.filter(|_| meaning.is_cut && self.cuts.len() < SAMPLES_MAX) {
                    self.cuts.push((stream, local));
                }
                if let Some(hash) = hash {
                    self.add_repeat(hash, meaning);
                }
            }
            Proof::NginxAccess(access) => {
                let hash = access.request_line_hash();
                if let (Some(known), Some(hash)) = (known.filter(|_| self.accesses.len() < SAMPLES_MAX), hash) {
                    let stamps = self.accesses.entry(hash).or_default();
                    if stamps.len() < 64 {
                        stamps.push((known, stream));
                    }
                }
            }
            Proof::Gunicorn(gunicorn) => {
                let is_end = matches!(
                    gunicorn.event,
                    GunicornEvent::WorkerTimeout { .. }
                        | GunicornEvent::WorkerSignalled { .. }
                        | GunicornEvent::WorkerExited { .. }
                );
                if let Some(known) = known.filter(|_| is_end) {
                    let ends = self.ends.entry(stream).or_default();
                    if ends.len() < SAMPLES_MAX {
                        ends.push(known);
                    }
                }
            }
            _ => {}
        }
        if let Some(local) = local.filter(|_| self.locals.len() < SAMPLES_MAX) {
            self.locals.push((stream, hash, local));
        }
        if let Some(known) = known.filter(|_| self.any.len() < SAMPLES_MAX) {
            self.any.push((known, stream));
        }
    }

    /// The samples of each site, where there are several; each sees only its own.
    fn by_site(&self, sites: &Sites) -> BTreeMap<u64, Samples> {
        let mut own: BTreeMap<u64, Samples> = BTreeMap::new();
        let site = |stream: &u64| sites.site_of(*stream);
        for local in &self.locals {
            site(&local.0).into_iter().for_each(|site| own.entry(site).or_default().locals.push(*local));
        }
        for any in &self.any {
            site(&any.1).into_iter().for_each(|site| own.entry(site).or_default().any.push(*any));
        }
        for cut in &self.cuts {
            site(&cut.0).into_iter().for_each(|site| own.entry(site).or_default().cuts.push(*cut));
        }
        for (stream, first) in &self.firsts {
            site(stream).into_iter().for_each(|site| _ = own.entry(site).or_default().firsts.insert(*stream, *first));
        }
        for (stream, ends) in &self.ends {
            site(stream)
                .into_iter()
                .for_each(|site| _ = own.entry(site).or_default().ends.insert(*stream, ends.clone()));
        }
        for (hash, stamps) in &self.accesses {
            for stamp in stamps {
                let site = site(&stamp.1).into_iter();
                site.for_each(|site| own.entry(site).or_default().accesses.entry(*hash).or_default().push(*stamp));
            }
        }
        own
    }

    /// True when an access line of this request may be the end of what its error line tells at this time: it comes up to a
    /// minute and a quarter after the first error line.
    fn joins(&self, hash: u64, utc: Nanos) -> bool {
        let stamps = self.accesses.get(&hash).map_or(&[][..], Vec::as_slice);
        stamps.iter().any(|(access, _)| JOINS.contains(&access.saturating_sub(utc)))
    }

    /// True when any line was written within some seconds of this time.
    fn is_busy_at(&self, utc: Nanos) -> bool {
        let first = self.any.partition_point(|(known, _)| *known < utc.saturating_sub(30 * SECOND));
        self.any.get(first).is_some_and(|(known, _)| *known <= utc.saturating_add(30 * SECOND))
    }
}

/// An access line follows the first error line of its request within so much.
const JOINS: std::ops::RangeInclusive<Nanos> = -3 * SECOND..=75 * SECOND;

/// The zone at which most of a stream's lines meet the access line of their request, or at least lines of other logs.
fn zone_of(locals: &[(Option<u64>, Nanos)], samples: &Samples, known: &[Zone], usual: &Zone) -> Zone {
    let requests: Vec<(u64, Nanos)> =
        locals.iter().filter_map(|(hash, local)| hash.map(|hash| (hash, *local))).collect();
    let mut candidates: Vec<Zone> = known.to_vec();
    candidates.extend(by_requests(&requests, samples));
    let mut best = (0, None);
    for candidate in candidates {
        let mut clock = LocalClock::default();
        let score = requests.iter().filter(|(hash, local)| samples.joins(*hash, clock.utc(&candidate, *local))).count();
        if score > best.0 {
            best = (score, Some(candidate));
        }
    }
    best.1.unwrap_or_else(|| {
        let locals: Vec<Nanos> = locals.iter().map(|(_, local)| *local).collect();
        by_overlap(&locals, samples, known, usual)
    })
}

/// The offsets that most error lines vote for, each alone and each after another.
fn by_requests(requests: &[(u64, Nanos)], samples: &Samples) -> Vec<Zone> {
    let mut votes: BTreeMap<Nanos, u32> = BTreeMap::new();
    for (hash, local) in requests {
        for (access, _) in samples.accesses.get(hash).map_or(&[][..], Vec::as_slice) {
            let ahead = local.saturating_sub(*access);
            let offset = nearest_quarter(ahead);
            if JOINS.contains(&offset.saturating_sub(ahead)) && is_zone(offset) {
                *votes.entry(offset).or_default() += 1;
            }
        }
    }
    let mut offsets: Vec<(Nanos, u32)> = votes.into_iter().collect();
    // UTC wins a tie: it is what containers have.
    offsets.sort_by_key(|(offset, count)| (std::cmp::Reverse(*count), offset.saturating_abs()));
    offsets.truncate(OFFSETS_TRIED);
    let mut zones: Vec<Zone> = offsets.iter().map(|(offset, _)| Zone::fixed(*offset)).collect();
    for (before, _) in &offsets {
        for (after, _) in offsets.iter().filter(|(after, _)| after != before) {
            if after.saturating_sub(*before).saturating_abs() <= CHANGE_MAX {
                zones.extend(change_between(requests, samples, *before, *after));
            }
        }
    }
    zones
}

/// One offset up to a line and another one from there: the line at which most lines fit.
fn change_between(requests: &[(u64, Nanos)], samples: &Samples, before: Nanos, after: Nanos) -> Option<Zone> {
    let fits = |offset: Nanos, (hash, local): &(u64, Nanos)| samples.joins(*hash, local.saturating_sub(offset));
    let all_after = requests.iter().filter(|request| fits(after, request)).count();
    let (mut best, mut place) = (0, None);
    let (mut so_far, mut left) = (0, all_after);
    for (index, request) in requests.iter().enumerate() {
        if so_far > 0 && left > 0 && so_far + left > best {
            (best, place) = (so_far + left, Some(index));
        }
        so_far += usize::from(fits(before, request));
        left -= usize::from(fits(after, request));
    }
    let (_, local) = requests.get(place?)?;
    let first = local.saturating_sub(after);
    // Clocks are changed at whole hours; the first line after it comes some time later.
    let hour = first.div_euclid(3_600 * SECOND).saturating_mul(3_600 * SECOND);
    let last = requests.get(..place?)?.iter().map(|(_, local)| local.saturating_sub(before)).max()?;
    Some(Zone::changing(before, if hour > last { hour } else { first }, after))
}

/// Without a common request: the offset at which lines fall near to lines of other logs. Where many do as well, what
/// access logs say.
fn by_overlap(locals: &[Nanos], samples: &Samples, known: &[Zone], usual: &Zone) -> Zone {
    let step = locals.len().div_ceil(OVERLAP_SAMPLES).max(1);
    let votes = |zone: &Zone| {
        let mut clock = LocalClock::default();
        locals.iter().step_by(step).filter(|local| samples.is_busy_at(clock.utc(zone, **local))).count()
    };
    let mut candidates = vec![usual.clone()];
    candidates.extend(known.iter().cloned());
    let mut offsets: Vec<Nanos> = (-48..=56).map(|quarters| quarters * QUARTER).collect();
    offsets.sort_by_key(|offset| offset.saturating_abs());
    candidates.extend(offsets.into_iter().map(Zone::fixed));
    let mut best = (0, usual.clone());
    for candidate in candidates {
        let count = votes(&candidate);
        if count > best.0 {
            best = (count, candidate);
        }
    }
    best.1
}

fn nearest_quarter(ahead: Nanos) -> Nanos {
    ahead.saturating_add(QUARTER / 2).div_euclid(QUARTER).saturating_mul(QUARTER)
}

fn is_zone(offset: Nanos) -> bool {
    (-12 * 3_600 * SECOND..=14 * 3_600 * SECOND).contains(&offset)
}
