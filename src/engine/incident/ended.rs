//! What ended an incident, and whether a server had recovered before it failed again.

use super::super::correlate::Interval;
use super::super::correlate::gunicorn::{Change, Down, Instance, Phase};
use super::super::sites::{SiteRef, Sites};
use super::QUIET;
use super::family::Scope;
use crate::read::evidence::{Nanos, SECOND};
use crate::read::text::printable;

/// A server that served for so long had recovered; one that fails at once had not.
const SERVED_MIN: Nanos = 2 * SECOND;
/// A line of Gunicorn says more than the good answer that came so long before it.
const SAID_AFTER: Nanos = 5 * SECOND;

/// What ended an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Gunicorn said `Listening at` or `Booting worker`.
    Said {
        /// When.
        at: Nanos,
        /// Its words.
        text: String,
    },
    /// nginx's access log has a good answer again.
    Served {
        /// In which second.
        at: Nanos,
    },
    /// Nothing failed for [`QUIET`].
    Quiet,
    /// The input ended, or why502 was stopped.
    EndOfInput,
    /// Too many others are open.
    TooMany,
}

impl Ended {
    /// The words of the contract (`why502.incident.ended`), each with what it means.
    pub const WORDS: [(&'static str, &'static str); 6] = [
        ("listening", "Gunicorn listens again"),
        ("booting", "Gunicorn boots a worker"),
        ("served", "nginx's access log has a good answer again"),
        ("quiet", "nothing failed for 90 s"),
        ("end_of_input", "the input ended, or why502 was stopped"),
        ("too_many", "too many other incidents were open at once"),
    ];

    /// The word of the contract (`why502.incident.ended`).
    pub fn id(&self) -> &'static str {
        match self {
            Ended::Said { text, .. } if text.starts_with("Listening") => "listening",
            Ended::Said { .. } => "booting",
            Ended::Served { .. } => "served",
            Ended::Quiet => "quiet",
            Ended::EndOfInput => "end_of_input",
            Ended::TooMany => "too_many",
        }
    }

    /// When it ended, where something says so.
    pub fn at(&self) -> Option<Nanos> {
        match self {
            Ended::Said { at, .. } | Ended::Served { at } => Some(*at),
            Ended::Quiet | Ended::EndOfInput | Ended::TooMany => None,
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self {
            Ended::Said { text, .. } => text.clone(),
            Ended::Served { .. } => String::from("first good answer in the access log"),
            Ended::Quiet => format!("quiet for {} s", QUIET / SECOND),
            Ended::EndOfInput => String::from("the input ended before it was quiet"),
            Ended::TooMany => String::from("too many incidents were open at once"),
        }
    }
}

/// Who can tell of the end.
pub(super) struct Witnesses<'a> {
    pub(super) sites: &'a Sites,
    pub(super) nginxes: &'a [SiteRef],
    pub(super) servers: &'a [(SiteRef, u64)],
}

impl Witnesses<'_> {
    fn instances(&self) -> impl Iterator<Item = (SiteRef, &Instance)> {
        self.servers.iter().filter_map(|(at, stream)| {
            let instances = &self.sites.get(*at)?.world.gunicorns.instances;
            Some((*at, instances.iter().find(|instance| instance.source == *stream)?))
        })
    }

    fn is_served(&self, from: Nanos, to: Nanos) -> bool {
        let worlds = self.nginxes.iter().filter_map(|at| self.sites.get(*at)).map(|site| &site.world);
        let mut worlds = worlds.into_iter();
        from <= to && worlds.any(|world| world.is_healthy_around(None, Interval { from, to }, 0))
    }

    /// When the server had come back and served others, so that a failure at `next` is of another outage than the one whose
    /// last failure was at `last`.
    pub(super) fn recovered(&self, last: Nanos, next: Nanos) -> Option<Ended> {
        self.instances().find_map(|(_, instance)| {
            let started = instance.changes.iter().rev().find(|change| {
                change.phase == Phase::Listening
                    && change.at.to >= last
                    && change.at.from.saturating_add(SERVED_MIN) <= next
            })?;
            let mut after = instance.changes.iter().skip_while(|change| !std::ptr::eq(*change, started)).skip(1);
            let then = after.find(|change| !matches!(change.phase, Phase::Listening | Phase::Recycling));
            let until = then.map_or(next, |change| change.at.from.min(next));
            let served_for = until.saturating_sub(started.at.from);
            let fell = then.is_some_and(is_failed_start);
            let is_served = || self.is_served(started.at.from, next.saturating_sub(1));
            (served_for >= SERVED_MIN && !fell && is_served()).then(|| said(started))
        })
    }

    /// What ended an outage whose last failure was at `last`; `None` where nothing says so.
    pub(super) fn end(&self, last: Nanos, scope: Scope) -> Option<Ended> {
        let served = self.first_served(last);
        let lines = self.instances().filter(|_| scope.is_of_process()).filter_map(|(at, instance)| {
            // What stands before its stop in the same second is no return.
            let goes =
                |change: &Change| matches!(change.phase, Phase::Stopping | Phase::Down(_)) && change.at.from <= last;
            let stop = instance.changes.iter().rposition(goes);
            if scope.is_of_server() {
                let back = |change: &&Change| change.phase == Phase::Listening && change.at.to >= last;
                let mut starts = instance.changes.iter().skip(stop.map_or(0, |stop| stop + 1)).filter(back);
                let start = starts.find(|start| {
                    let after = instance.changes.iter().skip_while(|change| !std::ptr::eq(*change, *start)).skip(1);
                    !after.into_iter().take(1).any(is_failed_start)
                });
                if let Some(start) = start {
                    return Some(said(start));
                }
            }
            let boots = &self.sites.get(at)?.world.gunicorns.boots;
            let from = stop.and_then(|stop| instance.changes.get(stop)).map_or(Nanos::MIN, |stop| stop.at.to);
            let mut boots = boots.iter().filter(|boot| boot.source == instance.source && boot.at.from > from);
            let boot = boots.find(|boot| boot.at.to >= last)?;
            Some(Ended::Said { at: boot.at.from, text: printable(&boot.quote.text) })
        });
        let line = lines.min_by_key(Ended::at).filter(|line| {
            let said_at = line.at().unwrap_or(Nanos::MAX);
            said_at <= served.map_or(last.saturating_add(QUIET), |served| served.saturating_add(SAID_AFTER))
        });
        line.or(served.map(|at| Ended::Served { at }))
    }

    /// The first whole second after a failure in which a request was answered well.
    fn first_served(&self, last: Nanos) -> Option<Nanos> {
        let from = last.div_euclid(SECOND).saturating_add(1);
        let (mut near, mut far) = (from, from.saturating_add(QUIET / SECOND));
        let is_served = |to: i64| self.is_served(from.saturating_mul(SECOND), to.saturating_mul(SECOND));
        if !is_served(far) {
            return None;
        }
        while near < far {
            let middle = near + (far - near) / 2;
            if is_served(middle) { far = middle } else { near = middle + 1 }
        }
        Some(near.saturating_mul(SECOND))
    }
}

fn is_failed_start(change: &Change) -> bool {
    use Down::{AppLoadFailed, BindFailed, BootFailed, Crashed, MasterLost};
    matches!(change.phase, Phase::Down(BootFailed | AppLoadFailed | BindFailed | Crashed | MasterLost))
}

fn said(change: &Change) -> Ended {
    Ended::Said { at: change.at.from, text: printable(&change.quote.text) }
}
