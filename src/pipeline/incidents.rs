//! What the pipeline remembers of incidents that are open: whose resource their records have, and how many verdicts of
//! each were sent.

use crate::engine::incident::{Incident, State};
use crate::engine::verdict::Verdict;
use crate::otlp::Surroundings;
use std::collections::BTreeMap;

/// Incidents remembered: as many as the engine has open, and some that it closes at the same time.
const KNOWN_MAX: usize = 2_048;

#[derive(Debug)]
struct Known {
    /// Of the failure that it began with.
    surroundings: Surroundings,
    /// Records of verdicts that were sent, and of revised ones.
    sent: [u64; 2],
}

/// The open incidents by their uid.
#[derive(Debug)]
pub(super) struct Incidents {
    known: BTreeMap<String, Known>,
    /// Their origins as they were told last: one may become clearer while it goes on.
    origins: BTreeMap<String, &'static str>,
    /// Records of verdicts of one incident that are sent.
    sent_max: Option<u64>,
}

impl Incidents {
    pub(super) fn new(sent_max: Option<u64>) -> Incidents {
        Incidents { known: BTreeMap::new(), origins: BTreeMap::new(), sent_max }
    }

    /// Notes a verdict; true when a record of its own shall be sent.
    pub(super) fn note(&mut self, verdict: &Verdict, surroundings: &Surroundings) -> bool {
        let Some(label) = &verdict.incident else { return true };
        if !self.known.contains_key(&label.uid) {
            // A revised verdict may be of one that has closed.
            if verdict.revision > 0 || self.known.len() >= KNOWN_MAX {
                return self.sent_max != Some(0);
            }
            let known = Known { surroundings: surroundings.clone(), sent: [0; 2] };
            self.known.insert(label.uid.clone(), known);
        }
        let Some(known) = self.known.get_mut(&label.uid) else { return true };
        let [first, revised] = &mut known.sent;
        let sent = if verdict.revision == 0 { first } else { revised };
        let is_sent = self.sent_max.is_none_or(|limit| *sent < limit);
        *sent += u64::from(is_sent);
        is_sent
    }

    /// Whether an incident is open.
    pub(super) fn is_open(&self, uid: &str) -> bool {
        self.origins.contains_key(uid)
    }

    /// Whose resource the records of an incident have.
    pub(super) fn surroundings(&self, incident: &Incident) -> Option<Surroundings> {
        self.known.get(&incident.label.uid).map(|known| known.surroundings.clone())
    }

    /// The origin that an incident has come under, and the one that it has left, where that is new.
    pub(super) fn moved(&mut self, incident: &Incident) -> [Option<&'static str>; 2] {
        let (uid, origin) = (&incident.label.uid, incident.label.origin.id);
        if incident.state == State::Closed {
            return [None, self.origins.remove(uid)];
        }
        if self.origins.len() >= KNOWN_MAX && !self.origins.contains_key(uid) {
            return [None; 2];
        }
        match self.origins.insert(uid.clone(), origin) {
            Some(before) if before == origin => [None; 2],
            before => [Some(origin), before],
        }
    }

    /// It has closed.
    pub(super) fn forget(&mut self, incident: &Incident) {
        self.known.remove(&incident.label.uid);
    }
}
