//! Whatever stands around a line comes off, a layer at a time, until the line is bare: the envelopes of runtimes and
//! shippers, and what a paste left of it.
//!
//! Whoever asks has seen a telltale word in the line, or its stream is known: other programs' lines are not peeled.

use super::envelope::{self, Layer};
use super::evidence::{Origin, Stamp};
use super::formats::nginx_error;
use super::paste;
use super::paste::learned::Prefix;
use std::borrow::Cow;

/// Envelopes in envelopes: a compose prefix around CRI around JSON around syslog is four.
const DEPTH_MAX: usize = 6;

/// A bare line and what its envelopes said.
#[derive(Debug)]
pub struct Peeled<'a> {
    /// The line itself.
    pub bare: Cow<'a, str>,
    /// The innermost envelope's time.
    pub stamp: Option<Stamp>,
    /// Container, pod, host or unit: what the innermost envelope names that names any.
    pub origin: Option<Origin>,
    /// Names of the envelopes, outermost first.
    pub layers: Vec<&'static str>,
    /// The line in which the first layer was found that no envelope explains: what a paste or an unknown tool put there.
    pub pasted: Option<String>,
    /// The innermost JSON object, which may say more than the text that was taken out of it.
    pub object: Option<Cow<'a, str>>,
}

/// Peels a line on its own.
pub fn peel(line: &str) -> Peeled<'_> {
    peel_after(line, Prefix::default())
}

/// Peels a line of a stream whose lines had such a prefix.
pub fn peel_after(line: &str, known: Prefix) -> Peeled<'_> {
    let mut peeled =
        Peeled { bare: Cow::Borrowed(line), stamp: None, origin: None, layers: Vec::new(), pasted: None, object: None };
    if line.contains('\x1b') {
        peeled.bare = Cow::Owned(without_ansi(line));
        peeled.layers.push("ansi");
    }
    for repair in [paste::page::without_colours, paste::page::without_padding, paste::page::without_escapes] {
        if let Some((name, plain)) = repair(&peeled.bare) {
            peeled.bare = Cow::Owned(plain);
            peeled.layers.push(name);
        }
    }
    for _ in 0..DEPTH_MAX {
        let Some((layer, is_pasted)) = layer(&peeled.bare, known) else { break };
        if is_pasted && peeled.pasted.is_none() {
            peeled.pasted = Some(peeled.bare.to_string());
        }
        peeled.stamp = layer.stamp.or(peeled.stamp);
        peeled.origin = layer.origin.or(peeled.origin);
        peeled.layers.push(layer.name);
        let outer = std::mem::replace(&mut peeled.bare, Cow::Owned(layer.inner));
        if outer.starts_with('{') {
            peeled.object = Some(outer);
        }
    }
    peeled
}

/// The next layer, and whether no envelope explains it.
fn layer(line: &str, known: Prefix) -> Option<(Layer, bool)> {
    if nginx_error::has_whole_head(line) {
        // The usual line of a failure: no envelope begins so.
        return None;
    }
    // Marks before an object hide it.
    if let Some((name, inner)) = paste::marks::indent(line) {
        return Some((Layer::plain(name, inner.to_owned()), false));
    }
    match envelope::layer(line) {
        None if !line.starts_with('{') => paste::layer(line, known).map(|layer| (layer, true)),
        layer => layer.map(|layer| (layer, false)),
    }
}

/// The text without terminal escapes (ECMA-48 control sequences).
fn without_ansi(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            out.push(c);
            continue;
        }
        if chars.next_if_eq(&'[').is_some() {
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
    }
    out
}
