//! What a log says about its zone, found with a few looks into the file instead of by reading it.

use crate::explain::input::{Input, Lines};
use crate::read::evidence::Nanos;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Looks into a file: a change is found when it lies between two of them.
const LOOKS: u64 = 8;
/// Bytes of one look: some hundred lines.
const LOOK_BYTES: u64 = 64 << 10;
/// Lines at the start of a compressed file that are looked at.
const FIRST_LINES: u64 = 100;

/// The zone that a line says, with when.
pub(in crate::explain) type Quick = fn(&[u8]) -> Option<(Nanos, Nanos)>;

/// Samples of (UTC, how far local time is ahead), in order of the file; empty where no line has a zone. A compressed file
/// cannot be looked into: only its first lines tell.
pub(in crate::explain) fn sample(input: &Input, quick: Quick) -> Vec<(Nanos, Nanos)> {
    let Some((path, size)) = input.path.as_ref().zip(input.bytes) else { return Vec::new() };
    let plain = File::open(path).and_then(|mut file| {
        let mut magic = [0_u8; 4];
        let count = file.read(&mut magic)?;
        let is_compressed = magic.starts_with(&[0x1f, 0x8b]) || magic == [0x28, 0xb5, 0x2f, 0xfd];
        Ok((file, count > 0 && !is_compressed))
    });
    match plain {
        Ok((file, true)) => Looker { file, size, quick }.samples().unwrap_or_default(),
        Ok((_, false)) => first_of(input, quick).into_iter().collect(),
        // What cannot be read is told when it is read for the report.
        Err(_) => Vec::new(),
    }
}

/// Every change in a compressed file, by reading it.
pub(in crate::explain) fn sample_all(input: &Input, quick: Quick) -> Vec<(Nanos, Nanos)> {
    let mut samples: Vec<(Nanos, Nanos)> = Vec::new();
    let Ok(mut lines) = Lines::open(input) else { return samples };
    while let Ok(Some(line)) = lines.next_line() {
        if let Some(sample) = quick(line)
            && samples.last().is_none_or(|last| last.1 != sample.1)
        {
            samples.push(sample);
        }
    }
    samples
}

fn first_of(input: &Input, quick: Quick) -> Option<(Nanos, Nanos)> {
    let mut lines = Lines::open(input).ok()?;
    while lines.number < FIRST_LINES {
        if let Some(sample) = quick(lines.next_line().ok()??) {
            return Some(sample);
        }
    }
    None
}

struct Looker {
    file: File,
    size: u64,
    quick: Quick,
}

impl Looker {
    fn samples(&mut self) -> io::Result<Vec<(Nanos, Nanos)>> {
        let mut samples = Vec::new();
        let mut last: Option<(u64, Nanos)> = None;
        if self.size <= LOOK_BYTES {
            // One look sees it whole. It counts as two, as those into larger files do: it is not one line alone.
            let first = self.look(0)?.into_iter().next();
            return Ok(first.into_iter().chain(first).collect());
        }
        for look in 0..=LOOKS {
            let place = (u128::from(self.size) * u128::from(look) / u128::from(LOOKS)) as u64;
            let place = place.min(self.size.saturating_sub(LOOK_BYTES));
            let Some(sample) = self.look(place)?.into_iter().next() else { continue };
            if let Some((before, offset)) = last
                && offset != sample.1
            {
                samples.extend(self.between(before, offset, place)?);
            }
            samples.push(sample);
            last = Some((place, sample.1));
        }
        Ok(samples)
    }

    /// The samples around a change between two places.
    fn between(&mut self, mut low: u64, offset: Nanos, mut high: u64) -> io::Result<Vec<(Nanos, Nanos)>> {
        while high.saturating_sub(low) > LOOK_BYTES / 2 {
            let middle = low + (high - low) / 2;
            match self.look(middle)?.first() {
                Some((_, of_middle)) if *of_middle == offset => low = middle,
                Some(_) => high = middle,
                None => break,
            }
        }
        self.look(low)
    }

    /// All samples in the lines that begin within one look.
    fn look(&mut self, place: u64) -> io::Result<Vec<(Nanos, Nanos)>> {
        self.file.seek(SeekFrom::Start(place))?;
        let mut bytes = Vec::with_capacity(LOOK_BYTES.min(self.size + 1) as usize);
        (&self.file).take(LOOK_BYTES).read_to_end(&mut bytes)?;
        let lines = bytes.split(|byte| *byte == b'\n');
        // The first is a part of a line, unless it is the file's first.
        let whole = lines.skip(usize::from(place > 0));
        Ok(whole.filter_map(self.quick).collect())
    }
}
