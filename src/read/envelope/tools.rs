//! What process managers and platforms put before each line on a screen: every one has a form of its own.

use super::{Layer, whole_iso_stamp};
use crate::read::evidence::OriginKind;

/// One of them.
pub(super) fn layer(line: &str) -> Option<Layer> {
    pm2(line).or_else(|| procfile(line)).or_else(|| fly(line))
}

/// `0|web    | `, with a date before the line or without (`pm2 logs`, `--timestamp`).
fn pm2(line: &str) -> Option<Layer> {
    let (number, rest) = line.split_once('|')?;
    let (name, rest) = rest.split_once("| ")?;
    let is_number = matches!(number.len(), 1..=4) && number.bytes().all(|byte| byte.is_ascii_digit());
    let name = name.trim_end();
    if !is_number || !is_name(name) {
        return None;
    }
    let dated = rest.split_once(": ").and_then(|(stamp, inner)| Some((whole_iso_stamp(stamp)?, inner)));
    let (stamp, inner) = dated.map_or((None, rest), |(stamp, inner)| (Some(stamp), inner));
    Some(Layer { name: "pm2", inner: inner.to_owned(), stamp, origin: OriginKind::Unit.named(name) })
}

/// `10:15:02 web.1     | ` (foreman, honcho).
fn procfile(line: &str) -> Option<Layer> {
    let (front, inner) = line.split_once("| ")?;
    let (time, name) = front.split_once(' ')?;
    let is_time = matches!(time.as_bytes(), [a, b, b':', c, d, b':', e, f] if [a, b, c, d, e, f].iter().all(|byte| byte.is_ascii_digit()));
    let name = name.trim();
    let origin = OriginKind::Unit.named(name);
    (is_time && is_name(name)).then(|| Layer { origin, ..Layer::plain("procfile", inner.to_owned()) })
}

/// `2026-03-12T10:15:02Z app[918571e3] fra [info] ` (`fly logs`).
fn fly(line: &str) -> Option<Layer> {
    let (stamp, rest) = line.split_once(' ')?;
    let (writer, rest) = rest.split_once("] ")?;
    let (region, rest) = rest.split_once(" [")?;
    let (level, inner) = rest.split_once(']')?;
    let (kind, machine) = writer.split_once('[')?;
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_fly = is_word(kind) && region.len() == 3 && is_word(region) && is_word(level) && is_name(machine);
    let stamp = whole_iso_stamp(stamp).filter(|_| is_fly)?;
    let inner = inner.trim_start().to_owned();
    Some(Layer { name: "fly", inner, stamp: Some(stamp), origin: OriginKind::Container.named(machine) })
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= 80 && name.bytes().all(is_part)
}
