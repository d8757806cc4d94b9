//! The incidents that a person reads first: the largest, in order of time.

use super::when;
use crate::engine::incident::Example;
use crate::enrich::hex;
use crate::explain::Outage;
use crate::page::words::listed;
use crate::read::text::printable;

/// Incidents that are remembered, each of some KiB; the smallest are only counted.
const KEPT_MAX: usize = 256;
/// Incidents that are shown where not everything is: a page.
const SHOWN_MAX: usize = 12;
/// Keys of one count that are named.
const NAMED_MAX: usize = 5;

/// What was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Incidents.
    pub incidents: u64,
    /// Their failures.
    pub failures: u64,
}

impl LeftOut {
    fn count(&mut self, outage: &Outage) {
        self.incidents += 1;
        self.failures += outage.incident.tally.total();
    }
}

/// The largest incidents.
#[derive(Debug, Default)]
pub(super) struct Incidents {
    kept: Vec<Outage>,
    left_out: LeftOut,
}

impl Incidents {
    /// Takes one that is over.
    pub(super) fn keep(&mut self, outage: Outage) {
        self.kept.push(outage);
        if self.kept.len() > KEPT_MAX {
            let smallest = self.kept.iter().enumerate().min_by_key(|(_, outage)| outage.incident.tally.total());
            if let Some((smallest, _)) = smallest {
                self.left_out.count(&self.kept.swap_remove(smallest));
            }
        }
    }

    /// Those that are shown, in order of time, and what is not.
    pub(super) fn shown(&self, all: bool) -> (Vec<&Outage>, LeftOut) {
        let mut shown: Vec<&Outage> = self.kept.iter().collect();
        let mut left_out = self.left_out;
        shown.sort_by_key(|outage| (std::cmp::Reverse(outage.incident.tally.total()), outage.incident.first));
        for outage in shown.split_off(if all { shown.len() } else { SHOWN_MAX.min(shown.len()) }) {
            left_out.count(outage);
        }
        shown.sort_by_key(|outage| (outage.incident.first, outage.incident.label.uid.clone()));
        (shown, left_out)
    }
}

/// What is told of an incident, each with its name.
pub(super) fn lines(outage: &Outage) -> Vec<(&'static str, String)> {
    let incident = &outage.incident;
    let tally = &incident.tally;
    let mut lines = Vec::new();
    // Of one failure the report of that failure tells the rest.
    let is_one = tally.total() == 1;
    let counts = [
        ("causes", listed(&tally.causes, NAMED_MAX)),
        ("paths", listed(&tally.paths, NAMED_MAX)),
        ("statuses", listed(&tally.statuses, NAMED_MAX)),
        ("upstreams", listed(&tally.upstreams, NAMED_MAX)),
    ];
    // Of one cause alone its name has told already.
    let is_told = |name: &str, text: &str| is_one || text.is_empty() || name == "causes" && !text.contains(", ");
    lines.extend(counts.into_iter().filter(|(name, text)| !is_told(name, text)));
    let is_dear = tally.paths.rows().len() > 1 && tally.causes.rows().len() > 1;
    lines.extend(incident.began_with.clone().filter(|_| is_dear).map(|path| ("began with", path)));
    lines.extend(incident.evidence.as_ref().filter(|_| !is_one).map(|quote| {
        let place = outage.place.as_ref();
        let place = place.map_or_else(String::new, |place| format!("{}:{} ", printable(&place.file), place.line));
        ("evidence", format!("{place}{}: {}", quote.source.id(), printable(&quote.text)))
    }));
    lines.extend(incident.ended.as_ref().map(|ended| {
        let at = ended.at().and_then(when).map_or_else(String::new, |at| format!("{at} "));
        ("ended", format!("{at}{}", ended.words()))
    }));
    lines.extend(incident.examples.iter().filter(|_| !is_one).map(|example| ("example", shown(example))));
    lines
}

fn shown(example: &Example) -> String {
    let mut words: Vec<String> = when(example.time).into_iter().collect();
    words.extend(example.status.map(|status| status.to_string()));
    words.extend([&example.method, &example.target].into_iter().filter(|text| !text.is_empty()).cloned());
    words.push(example.cause.id.to_owned());
    words.extend(example.trace.map(|trace| format!("trace {}", hex(&trace.trace_id))));
    words.join(" ")
}
