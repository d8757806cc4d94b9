//! A first look at the files: which zone their local stamps have, and which request lines their error logs name.

use super::input::{Input, Lines};
use crate::engine::Wanted;
use crate::engine::correlate::join::split_request_line;
use crate::engine::evidence::{Nanos, Proof, SECOND};
use crate::engine::formats::joiner::{Joiner, Pushed};
use crate::engine::formats::{Reader, Reading, SourceMemory, request_line_hash};
use std::collections::{BTreeMap, HashMap};

/// Lines looked at to tell whether a file holds error lines at all.
const SNIFF_LINES: u64 = 2_000;
/// Bytes of one error log that are surveyed: some 4 million lines.
const SURVEY_BYTES_MAX: u64 = 1 << 30;
/// Request lines noted, 8 MiB of hashes.
const HASHES_MAX: usize = 1_000_000;
/// Failing access lines and error lines kept to find the zone.
const SAMPLES_MAX: usize = 20_000;
/// Zones are whole quarters of an hour (Nepal, Chatham).
const QUARTER: Nanos = 900 * SECOND;

/// What the first look found.
#[derive(Debug, Default)]
pub struct Survey {
    wanted: Wanted,
    zones: BTreeMap<u64, Nanos>,
}

#[derive(Default)]
struct Samples {
    hashes: Vec<u64>,
    /// Local stamps of error lines by stream and request line.
    errors: Vec<(u64, u64, Nanos)>,
    /// True stamps of failing access lines by request line.
    accesses: HashMap<u64, Vec<Nanos>>,
    /// True stamps of anything, to fall back on.
    any: Vec<Nanos>,
}

/// Looks at regular files; pipes can be read only once.
pub fn survey(inputs: &[Input], reader: &Reader) -> Survey {
    let mut samples = Samples::default();
    for input in inputs.iter().filter(|input| input.bytes.is_some()) {
        // What cannot be read is told when it is read for the report.
        if let Ok(lines) = Lines::open(input) {
            look_at(input, lines, reader, &mut samples);
        }
    }
    let mut zones = BTreeMap::new();
    let mut streams: Vec<u64> = samples.errors.iter().map(|(stream, _, _)| *stream).collect();
    streams.sort_unstable();
    streams.dedup();
    for stream in streams {
        if let Some(offset) = zone_by_requests(stream, &samples).or_else(|| zone_by_overlap(stream, &samples)) {
            zones.insert(stream, offset);
        }
    }
    Survey { wanted: Wanted::new(samples.hashes), zones }
}

impl Survey {
    /// Request lines that error logs name.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// How far a stream's local stamps are ahead of UTC.
    pub fn zone_of(&self, stream: u64) -> Nanos {
        self.zones.get(&stream).copied().unwrap_or(0)
    }

    /// All streams with their offsets.
    pub fn zones<'a>(&'a self, inputs: &'a [Input]) -> impl Iterator<Item = (u64, Nanos)> + 'a {
        inputs.iter().map(|input| (input.stream, self.zone_of(input.stream)))
    }
}

fn look_at(input: &Input, mut lines: Lines, reader: &Reader, samples: &mut Samples) {
    let mut memory = SourceMemory::default();
    let mut error_lines = 0_u64;
    let mut joiner = Joiner::default();
    let mut take = |record: &[u8], error_lines: &mut u64| {
        if let Reading::Proves(_, evidences) = reader.read(record, &mut memory, &Wanted::default()) {
            for evidence in evidences {
                *error_lines += u64::from(matches!(evidence.proof, Proof::NginxError(_)));
                samples.add(input.stream, &evidence);
            }
        }
    };
    while let Ok(Some(line)) = lines.next_line() {
        let mut pushed = joiner.push(line, 0);
        if pushed == Pushed::Ended {
            if let Some((record, _)) = joiner.take() {
                take(record.as_bytes(), &mut error_lines);
            }
            pushed = joiner.push(line, 0);
        }
        if pushed == Pushed::Whole {
            take(line, &mut error_lines);
        }
        // A pure access log is not worth reading twice.
        if (lines.number >= SNIFF_LINES && error_lines == 0) || lines.bytes > SURVEY_BYTES_MAX {
            break;
        }
    }
    if let Some((record, _)) = joiner.take() {
        take(record.as_bytes(), &mut error_lines);
    }
}

impl Samples {
    fn add(&mut self, stream: u64, evidence: &crate::engine::evidence::Evidence) {
        match &evidence.proof {
            Proof::NginxError(error) => {
                let Some((method, target)) = error.request.as_deref().and_then(split_request_line) else { return };
                let hash = request_line_hash(method.as_bytes(), target.as_bytes());
                if error.symptom.is_some() && self.hashes.len() < HASHES_MAX {
                    self.hashes.push(hash);
                }
                if let Some(stamp) = evidence.stamp.filter(|stamp| !stamp.zone_known)
                    && self.errors.len() < SAMPLES_MAX
                {
                    self.errors.push((stream, hash, stamp.nanos));
                }
            }
            Proof::NginxAccess(access) => {
                if let Some(stamp) = evidence.stamp.filter(|stamp| stamp.zone_known)
                    && self.accesses.len() < SAMPLES_MAX
                {
                    let hash = request_line_hash(access.method.as_bytes(), access.target.as_bytes());
                    let stamps = self.accesses.entry(hash).or_default();
                    if stamps.len() < 64 {
                        stamps.push(stamp.nanos);
                    }
                    self.any.push(stamp.nanos);
                }
            }
            _ => {
                if let Some(stamp) = evidence.stamp.filter(|stamp| stamp.zone_known)
                    && self.any.len() < SAMPLES_MAX
                {
                    self.any.push(stamp.nanos);
                }
            }
        }
    }
}

/// Each error line votes for the offsets at which an access line of its request follows within some seconds.
fn zone_by_requests(stream: u64, samples: &Samples) -> Option<Nanos> {
    let mut votes: BTreeMap<Nanos, u32> = BTreeMap::new();
    for (_, hash, local) in samples.errors.iter().filter(|(of, _, _)| *of == stream) {
        for access in samples.accesses.get(hash).map_or(&[][..], Vec::as_slice) {
            let ahead = local.saturating_sub(*access);
            let offset = nearest_quarter(ahead);
            // The access line comes up to a minute and a quarter after the first error line.
            if (-3 * SECOND..=75 * SECOND).contains(&offset.saturating_sub(ahead)) && is_zone(offset) {
                *votes.entry(offset).or_default() += 1;
            }
        }
    }
    winner(&votes)
}

/// Without a common request: the offset at which error lines fall nearest to lines of other logs.
fn zone_by_overlap(stream: u64, samples: &Samples) -> Option<Nanos> {
    let locals: Vec<Nanos> =
        samples.errors.iter().filter(|(of, _, _)| *of == stream).map(|(_, _, local)| *local).take(200).collect();
    let mut votes: BTreeMap<Nanos, u32> = BTreeMap::new();
    for local in locals {
        for known in samples.any.iter().take(500) {
            let ahead = local.saturating_sub(*known);
            let offset = nearest_quarter(ahead);
            if offset.saturating_sub(ahead).saturating_abs() <= 30 * SECOND && is_zone(offset) {
                *votes.entry(offset).or_default() += 1;
            }
        }
    }
    winner(&votes)
}

/// UTC wins a tie: it is what containers have.
fn winner(votes: &BTreeMap<Nanos, u32>) -> Option<Nanos> {
    votes
        .iter()
        .max_by_key(|(offset, count)| (**count, std::cmp::Reverse(offset.saturating_abs())))
        .map(|(offset, _)| *offset)
}

fn nearest_quarter(ahead: Nanos) -> Nanos {
    ahead.saturating_add(QUARTER / 2).div_euclid(QUARTER).saturating_mul(QUARTER)
}

fn is_zone(offset: Nanos) -> bool {
    (-12 * 3_600 * SECOND..=14 * 3_600 * SECOND).contains(&offset)
}
