//! Which file of a rotated set is the older one, by its name.
//!
//! `access.log.2.gz` is older than `access.log.1` (logrotate, savelog), `access.log-20261121` than `access.log-20261122`
//! (logrotate's `dateext`), and so are `gunicorn.log.2026-11-22_07` (Python's `TimedRotatingFileHandler`),
//! `0.log.20261122-071439.gz` (kubelet) and `access-20261122.log`. A number after a dash is no age: `web-1`, `app-8000`.

use std::cmp::Ordering;
use std::path::Path;

/// What a file is in its set. Ordered oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    /// Rotated at this time: digits of date and time, or seconds of Unix time.
    Dated(String),
    /// So many rotations ago.
    Numbered(u32),
    /// The one that is written.
    Live,
}

impl Rotation {
    fn rank(&self) -> u8 {
        match self {
            Rotation::Dated(_) => 0,
            Rotation::Numbered(_) => 1,
            Rotation::Live => 2,
        }
    }
}

impl Ord for Rotation {
    fn cmp(&self, other: &Rotation) -> Ordering {
        match (self, other) {
            (Rotation::Dated(one), Rotation::Dated(other)) => one.cmp(other),
            (Rotation::Numbered(one), Rotation::Numbered(other)) => other.cmp(one),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Rotation {
    fn partial_cmp(&self, other: &Rotation) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The path without its rotation, which all files of a set share, and the rotation.
pub(super) fn of(path: &Path) -> (String, Rotation) {
    let full = path.to_string_lossy();
    let bare = [".gz", ".zst", ".bz2", ".xz"].iter().find_map(|suffix| full.strip_suffix(suffix)).unwrap_or(&full);
    if let Some((stem, rotation)) = split(bare) {
        return (stem.to_owned(), rotation);
    }
    // logrotate's `extension .log` puts the date before it.
    if let Some(rest) = bare.strip_suffix(".log")
        && let Some((stem, rotation @ Rotation::Dated(_))) = split(rest)
    {
        return (format!("{stem}.log"), rotation);
    }
    (bare.to_owned(), Rotation::Live)
}

fn split(name: &str) -> Option<(&str, Rotation)> {
    let is_tail = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | ':' | 'T');
    let start = name.trim_end_matches(is_tail).len();
    let tail = name.get(start..)?;
    // The tail may begin inside the name itself: `web-1.2026-11-22`. The longest that is a date or a number counts.
    for (index, _) in tail.match_indices(['.', '-', '_']) {
        let (stem, rest) = (name.get(..start + index)?, tail.get(index..)?);
        if stem.is_empty() || stem.ends_with('/') {
            continue;
        }
        if let Some(rotation) = date(rest.get(1..)?).or_else(|| number(stem, rest)) {
            return Some((stem, rotation));
        }
    }
    None
}

/// `20261122`, `2026-11-22`, with or without a time behind, or ten digits of Unix time.
fn date(text: &str) -> Option<Rotation> {
    let groups: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).collect();
    if groups.iter().any(|group| group.is_empty()) {
        return None;
    }
    let digits: String = groups.concat();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let is_unix = lengths == [10] && digits.starts_with('1');
    let in_range = |range: std::ops::Range<usize>, least: u32, most: u32| {
        digits.get(range).and_then(|part| part.parse::<u32>().ok()).is_some_and(|part| (least..=most).contains(&part))
    };
    let is_day = matches!(lengths.as_slice(), [8 | 10 | 12 | 14, ..] | [4, 2, 2, ..])
        && in_range(0..4, 1990, 2199)
        && in_range(4..6, 1, 12)
        && in_range(6..8, 1, 31);
    (is_unix || is_day).then_some(Rotation::Dated(digits))
}

/// `.1` to `.9999`, but not the end of an address.
fn number(stem: &str, text: &str) -> Option<Rotation> {
    if stem.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = text.strip_prefix('.').filter(|digits| (1..=4).contains(&digits.len()))?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok().map(Rotation::Numbered))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], stem: &str) {
        let mut sorted: Vec<&str> = names.to_vec();
        sorted.reverse();
        sorted.sort_by_key(|name| of(Path::new(name)).1);
        assert_eq!(sorted, names, "oldest first");
        for name in names {
            assert_eq!(of(Path::new(name)).0, stem, "{name}");
        }
    }

    #[test]
    fn sets() {
        check(&["l/access.log.10.gz", "l/access.log.2.gz", "l/access.log.1", "l/access.log"], "l/access.log");
        check(&["a.log-20261121.gz", "a.log-20261122", "a.log"], "a.log");
        check(&["a.log-2026112122.zst", "a.log-2026112207", "a.log.1", "a.log"], "a.log");
        check(&["a.log-1795331679", "a.log-1795331680"], "a.log");
        check(&["g.log.2026-11-21", "g.log.2026-11-22_07-14", "g.log.2026-11-22_08-00", "g.log"], "g.log");
        check(&["0.log.20261122-071439.gz", "0.log.20261122-081439", "0.log"], "0.log");
        check(&["access-20261121.log.gz", "access-20261122.log", "access.log"], "access.log");
        check(&["web-1.2026-11-22", "web-1"], "web-1");
    }

    #[test]
    fn no_set() {
        for name in [
            "web-1",
            "app-8000.log",
            "access-10.0.0.12",
            "access_203.0.113.10",
            "2026-11-22",
            "x/20261122.log",
            "a.log-20261399",
            "a.log.12345",
            "gunicorn.8000.log",
        ] {
            let (stem, rotation) = of(Path::new(name));
            assert_eq!((stem.as_str(), rotation), (name, Rotation::Live));
        }
    }
}
