//! The sites in sight: each has its own requests, world, clocks and limits, and sees nothing of another but through the
//! topology.

use super::clocks::Clocks;
use super::correlate::join::Requests;
use super::correlate::link::goods::{Good, Goods};
use super::correlate::spans::Spans;
use super::correlate::world::World;
use super::place::Place;
use super::settle::Crowd;
use super::topology::Role;
use crate::read::evidence::{Nanos, SECOND};
use crate::read::maps::HashMap;
use crate::read::nginx_conf::NginxConf;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Sites in sight at once. Each takes a few kilobytes beside what it keeps of requests and spans; past it the one that was
/// silent the longest is forgotten.
pub(super) const SITES_MAX: usize = 4_096;
/// A site that is silent for so long is forgotten, unless a Gunicorn of it is known: that may say where it listens at its
/// start and nothing more for months, and what it said stays true.
const SILENT_MAX: Nanos = 900 * SECOND;
/// Bits of a number that count the requests or spans of one site: those of two sites in sight never have the same number.
const COUNT_BITS: u32 = 36;
/// Bits of a number that tell the generations of one slot apart.
const GENERATION_BITS: u32 = 8;

/// Names one site; stays valid, and names nothing else, after the site is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SiteRef {
    slot: u32,
    generation: u32,
}

impl SiteRef {
    /// The first number of its requests and of its spans.
    pub(super) fn first_number(self) -> u64 {
        let generation = u64::from(self.generation) % (1 << GENERATION_BITS);
        (u64::from(self.slot) << GENERATION_BITS | generation) << COUNT_BITS
    }
}

/// One site.
#[derive(Debug)]
pub(super) struct Site {
    /// What it was first known as.
    pub(super) place: Arc<Place>,
    /// Failing requests.
    pub(super) requests: Requests,
    /// Good requests that wait for their link; only where all are linked.
    pub(super) goods: Goods,
    /// Good requests with an id that wait for their spans, to learn from.
    pub(super) samples: VecDeque<Good>,
    /// Everything else in sight.
    pub(super) world: World,
    /// The clocks of its streams.
    pub(super) clocks: Clocks,
    /// Requests that wait for their verdict.
    pub(super) open: usize,
    /// Requests in the order of their verdicts, with when each shall be forgotten; some of them are already. By what may
    /// still come of them.
    decided: [VecDeque<(Nanos, u64)>; Late::ALL.len()],
    /// The timer runs by which they are forgotten.
    pub(super) forgets: bool,
    /// Failing requests that came in a crowd and have both of their lines, in that order.
    pub(super) crowd: Crowd,
    /// How many verdicts began with the same words.
    pub(super) uids: HashMap<u64, u32>,
    /// The newest stamp of any evidence; `Nanos::MIN` before the first.
    pub(super) newest: Nanos,
    /// Time on the caller's clock when it was last heard of.
    heard: Nanos,
    /// What it was last seen to be, in which service, by role: most lines say nothing new of that.
    roles: [Option<u64>; Role::COUNT],
}

impl Site {
    /// True when it was not seen to be this in this service just before.
    pub(super) fn is_news(&mut self, role: Role, service: u64) -> bool {
        let known = self.roles.get_mut(role as usize);
        known.is_some_and(|known| known.replace(service) != Some(service))
    }

    /// When the next decided request shall be forgotten.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.decided.iter().filter_map(|decided| decided.front()).map(|(due, _)| *due).min()
    }
}

/// What may still come of a decided request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// A line, a span or the end of a worker.
    Likely,
    /// Hardly anything: both of its lines came, no later one unseats its cause, and no span is looked for.
    Unlikely,
}

impl Late {
    /// Both.
    pub(super) const ALL: [Late; 2] = [Late::Likely, Late::Unlikely];
}

/// Decided requests of one kind that are remembered, and how many sites have some.
#[derive(Debug, Default)]
struct Decided {
    requests: usize,
    sites: usize,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    site: Option<Box<Site>>,
}

/// All sites.
#[derive(Debug, Default)]
pub(super) struct Sites {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: HashMap<u64, SiteRef>,
    /// By the second in which they were last heard of.
    by_age: BTreeSet<(i64, SiteRef)>,
    /// The last one that was asked for: records come in runs.
    last: Option<(u64, SiteRef)>,
    /// Decided requests that are remembered, by what may still come of them.
    decided: [Decided; Late::ALL.len()],
}

impl Sites {
    /// The site of a place, and whether it is new. It is heard of now.
    pub(super) fn of_place(
        &mut self,
        now: Nanos,
        place: &Arc<Place>,
        nginx: Option<&Arc<NginxConf>>,
    ) -> (SiteRef, bool) {
        let known = match self.last {
            Some((key, at)) if key == place.site => Some(at),
            _ => self.by_key.get(&place.site).copied(),
        };
        if let Some(at) = known {
            self.last = Some((place.site, at));
            self.hear(now, at);
            return (at, false);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let generation = self.slots.get(slot as usize).map_or(0, |entry| entry.generation);
        let at = SiteRef { slot, generation };
        let mut world = World::default();
        world.nginx = nginx.cloned();
        world.spans = Spans::counting_from(at.first_number());
        let site = Site {
            place: Arc::clone(place),
            requests: Requests::counting_from(at.first_number()),
            goods: Goods::default(),
            samples: VecDeque::new(),
            world,
            clocks: Clocks::default(),
            open: 0,
            decided: Default::default(),
            forgets: false,
            crowd: Crowd::default(),
            uids: HashMap::default(),
            newest: Nanos::MIN,
            heard: now,
            roles: [None; Role::COUNT],
        };
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            entry.site = Some(Box::new(site));
        }
        self.by_key.insert(place.site, at);
        self.by_age.insert((now.div_euclid(SECOND), at));
        self.last = Some((place.site, at));
        (at, true)
    }

    fn hear(&mut self, now: Nanos, at: SiteRef) {
        let Some(site) = self.get_mut(at) else { return };
        let (before, second) = (site.heard.div_euclid(SECOND), now.div_euclid(SECOND));
        if second > before {
            site.heard = now;
            self.by_age.remove(&(before, at));
            self.by_age.insert((second, at));
        }
    }

    /// One site.
    pub(super) fn get(&self, at: SiteRef) -> Option<&Site> {
        let slot = self.slots.get(at.slot as usize)?;
        (slot.generation == at.generation).then_some(slot.site.as_deref()).flatten()
    }

    /// One site, to change it.
    pub(super) fn get_mut(&mut self, at: SiteRef) -> Option<&mut Site> {
        let slot = self.slots.get_mut(at.slot as usize)?;
        if slot.generation == at.generation { slot.site.as_deref_mut() } else { None }
    }

    /// All, in the order in which their slots were made.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SiteRef, &Site)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| {
            let at = SiteRef { slot: slot as u32, generation: entry.generation };
            entry.site.as_deref().map(|site| (at, site))
        })
    }

    /// The site whose request or span has this number.
    pub(super) fn of_number(&self, number: u64) -> Option<SiteRef> {
        let slot = u32::try_from(number >> (COUNT_BITS + GENERATION_BITS)).ok()?;
        let at = SiteRef { slot, generation: self.slots.get(slot as usize)?.generation };
        (at.first_number() >> COUNT_BITS == number >> COUNT_BITS && self.get(at).is_some()).then_some(at)
    }

    /// The next one in a round over all.
    pub(super) fn after(&mut self, round: &mut usize) -> Option<(SiteRef, &mut Site)> {
        let count = self.slots.len();
        let next = (0..count)
            .map(|step| (*round + step) % count)
            .find(|slot| self.slots.get(*slot).is_some_and(|entry| entry.site.is_some()))?;
        *round = next + 1;
        let entry = self.slots.get_mut(next)?;
        let at = SiteRef { slot: next as u32, generation: entry.generation };
        entry.site.as_deref_mut().map(|site| (at, site))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.by_age.len()
    }

    /// The next one to forget: silent for long, or the most silent of too many.
    pub(super) fn stale(&self, now: Nanos) -> Option<SiteRef> {
        if self.count() > SITES_MAX {
            return self.by_age.first().map(|(_, at)| *at);
        }
        let silent = now.saturating_sub(SILENT_MAX).div_euclid(SECOND);
        let old = self.by_age.iter().take_while(|(second, _)| *second < silent).map(|(_, at)| *at);
        old.take(STALE_LOOKS_MAX).find(|at| self.get(*at).is_some_and(|site| site.world.gunicorns.instances.is_empty()))
    }

    /// Remembers a decided request until it is due to be forgotten.
    pub(super) fn remember(&mut self, at: SiteRef, late: Late, due: Nanos, id: u64) {
        let Some(of_site) = self.get_mut(at).and_then(|site| site.decided.get_mut(late as usize)) else { return };
        let is_first = of_site.is_empty();
        of_site.push_back((due, id));
        if let Some(of_all) = self.decided.get_mut(late as usize) {
            of_all.requests += 1;
            of_all.sites += usize::from(is_first);
        }
    }

    /// The oldest decided request of a site, taken off where it is due.
    pub(super) fn take_due(&mut self, at: SiteRef, late: Late, now: Nanos) -> Option<u64> {
        let of_site = self.get_mut(at)?.decided.get_mut(late as usize)?;
        let (_, id) = of_site.pop_front_if(|(due, _)| *due <= now)?;
        let is_last = of_site.is_empty();
        if let Some(of_all) = self.decided.get_mut(late as usize) {
            of_all.requests -= 1;
            of_all.sites -= usize::from(is_last);
        }
        Some(id)
    }

    /// The same where all sites have more than `most` and this one more than its share, which is one at least: together they
    /// never have more than twice as many.
    pub(super) fn take_past(&mut self, at: SiteRef, late: Late, most: usize) -> Option<u64> {
        let of_all = self.decided.get(late as usize)?;
        let share = (most / of_all.sites.max(1)).max(1);
        let is_past = self.get(at)?.decided.get(late as usize)?.len() > share;
        if of_all.requests > most && is_past { self.take_due(at, late, Nanos::MAX) } else { None }
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, at: SiteRef) -> Option<Box<Site>> {
        let slot = self.slots.get_mut(at.slot as usize).filter(|slot| slot.generation == at.generation)?;
        let site = slot.site.take()?;
        for (of_all, of_site) in self.decided.iter_mut().zip(&site.decided) {
            of_all.requests -= of_site.len();
            of_all.sites -= usize::from(!of_site.is_empty());
        }
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(at.slot);
        self.by_key.remove(&site.place.site);
        self.by_age.remove(&(site.heard.div_euclid(SECOND), at));
        self.last = None;
        Some(site)
    }

    /// The site with the most requests that wait for their verdict: where there are too many it gives way.
    pub(super) fn busiest(&self) -> Option<SiteRef> {
        self.iter().max_by_key(|(_, site)| site.open).map(|(at, _)| at)
    }
}

/// Silent sites of which a Gunicorn is known that are passed over at one look.
const STALE_LOOKS_MAX: usize = 64;
