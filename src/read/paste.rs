//! The repair of pastes: what people, pages, terminals and tools that nobody told of did to a line.
//!
//! ```text
//!  page       "&quot;", typographic quotes, blanks that a terminal filled its width with
//!  marks      > and * before each line of what somebody cites
//!  quoted     a whole line as a value of another
//!  prefix     numbers, file names, prompts, pods: whatever stands before a record that begins behind it
//!  learned    the same where no grammar knows it and its shape repeats from line to line
//!  fragment   a record inside other words, or without its head
//!  second     two records on one line
//!  joiner     one record on several lines
//! ```
//!
//! `explain` asks for all of it; in live reading only a line with a telltale word comes here. Nothing in here knows a format:
//! where a record begins, the table of formats says.

pub(in crate::read) mod fragment;
pub mod joiner;
pub mod learned;
pub(in crate::read) mod marks;
pub(in crate::read) mod page;
mod prefix;
mod quoted;
pub(in crate::read) mod second;

use super::envelope::Layer;
use super::evidence::OriginKind;
use super::formats::table;

/// What a paste or an unknown tool put around a line, where a record begins behind it.
pub(super) fn layer(line: &str, known: learned::Prefix) -> Option<Layer> {
    if let Some((name, inner)) = prefix::take_off_certain(line) {
        return Some(Layer::plain(name, inner.to_owned()));
    }
    // A pod's name stands where a format may have a host, and before what is left of Gunicorn's heads.
    if let Some((pod, inner)) = prefix::pod(line) {
        return Some(Layer { origin: OriginKind::Pod.named(pod), ..Layer::plain("stern", inner.to_owned()) });
    }
    if table::begins_record(line).is_some() {
        return None;
    }
    if let Some(inner) = known.take_off(line) {
        return Some(Layer::plain("learned", inner.to_owned()));
    }
    if let Some((name, inner)) = quoted::take_out(line) {
        return Some(Layer::plain(name, inner));
    }
    if prefix::begins_record(line) {
        return None;
    }
    let (name, inner) = prefix::take_off(line)?;
    let origin =
        if name == "host" { line.split(' ').next().and_then(|host| OriginKind::Host.named(host)) } else { None };
    Some(Layer { origin, ..Layer::plain(name, inner.to_owned()) })
}
