//! A second record on one physical line.

use super::{Place, Reader, Reading, SourceMemory, both, nginx_error};
use crate::read::Wanted;

/// A second record on the same physical line, as pastes have them. A client can put such text into a referrer, so it
/// counts as doubtful.
pub(super) fn with_rest(reading: Reading, bare: &str, reader: &Reader, wanted: &Wanted) -> Reading {
    let Some(at) = head(bare) else { return reading };
    let Some(rest) = bare.get(at..) else { return reading };
    let mut memory = SourceMemory::default();
    let second = match reader.read_line(rest, &mut memory, wanted, Place::Alone) {
        Reading::Proves(format, mut evidences) => {
            for evidence in &mut evidences {
                evidence.genuine = false;
            }
            Reading::Proves(format, evidences)
        }
        other => other,
    };
    both(reading, second)
}

/// Bytes of `2026/11/22 07:14:39`.
const STAMP: usize = 19;

/// Where another record's head stands: ` [error] 12#12: ` after a stamp.
pub(super) fn head(bare: &str) -> Option<usize> {
    const LEVELS: [&str; 5] = [" [error] ", " [crit] ", " [alert] ", " [warn] ", " [emerg] "];
    // Nearly every line has its own head at its start, or none.
    let is_level = |at: &usize| bare.get(*at..).is_some_and(|rest| LEVELS.iter().any(|level| rest.starts_with(level)));
    let brackets = memchr::memchr_iter(b'[', bare.as_bytes()).filter_map(|at| at.checked_sub(1));
    if brackets.filter(is_level).all(|at| at == STAMP) {
        return None;
    }
    for level in LEVELS {
        for (index, _) in bare.match_indices(level) {
            let start = index.checked_sub(STAMP)?;
            if start > 0 && bare.get(start..).is_some_and(nginx_error::has_head) && !is_quoted(bare, start) {
                return Some(start);
            }
        }
    }
    None
}

/// True within quotes: what stands there is one value, a client's most likely. `\"` and `\x22` are no quotes.
fn is_quoted(line: &str, at: usize) -> bool {
    let mut quoted = false;
    let mut bytes = line.as_bytes().iter().take(at);
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    quoted
}
