//! One line that proves something: which request it joins, what it tells of a process, and whether it waits for a verdict.

use super::correlate::{Interval, Seen};
use super::place::Stream;
use super::sites::SiteRef;
use super::timers::{REVISIT, Timer};
use super::topology::Role;
use super::verdict::Ticket;
use super::{Decision, Engine};
use crate::read::evidence::{Evidence, GunicornEvent, Host, Nanos, Proof, Server, Symptom};
use std::sync::Arc;

/// One line on its way through the engine.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) now: Nanos,
    pub(super) site: SiteRef,
    pub(super) stream: &'a Stream,
    pub(super) ticket: Ticket,
    pub(super) at: Interval,
}

impl Line<'_> {
    /// The line itself goes while it is at hand: thousands of requests may wait, and nobody asks for it again.
    fn seen<T>(&self, words: u64, what: T) -> Seen<T> {
        Seen { ticket: self.ticket, source: self.stream.id, at: self.at, text: String::new(), words, what }
    }
}

impl Engine {
    pub(super) fn handle_error(&mut self, line: Line<'_>, evidence: Evidence) -> Decision {
        let words = evidence.words();
        let Proof::NginxError(error) = evidence.proof else { return Decision::Pass };
        self.note(line.site, Role::Nginx, &line.stream.place);
        let due = line.now.saturating_add(self.delays.verdict);
        let Some(site) = self.sites.get_mut(line.site) else { return Decision::Pass };
        site.world.note_error_line(line.at, evidence.genuine);
        let symptom = error.symptom;
        let seen = line.seen(words, *error);
        if let Some(symptom) = symptom
            && evidence.genuine
        {
            site.world.fail(&seen, symptom);
        }
        let has_passed = site.world.has_passed(line.at);
        let id = site.requests.join_error(line.now, due, seen, evidence.genuine);
        if let Some(request) = site.requests.get_mut(id).filter(|request| request.errors.len() == 1) {
            request.is_asked = !has_passed;
        }
        if symptom == Some(Symptom::NoLiveUpstreams)
            && let Some(request) = site.requests.get(id).filter(|request| request.genuine)
        {
            site.world.learn_group(&request.errors);
        }
        self.joined(line, id)
    }

    pub(super) fn handle_access(&mut self, line: Line<'_>, evidence: Evidence) -> Decision {
        let words = evidence.words();
        let Proof::NginxAccess(access) = evidence.proof else { return Decision::Pass };
        self.note(line.site, Role::Nginx, &line.stream.place);
        let due = line.now.saturating_add(self.delays.verdict);
        let Some(site) = self.sites.get_mut(line.site) else { return Decision::Pass };
        let failing = matches!(access.status, 499..=u16::MAX | 9);
        site.world.cover(line.stream.id, line.at.from, !failing && access.status < 500);
        let seen = line.seen(words, *access);
        if failing && !evidence.genuine && !site.requests.expects(&seen) {
            // It may be forged, and no error line is waiting for it.
            return Decision::Pass;
        }
        let id = if failing {
            Some(site.requests.join_failed_access(line.now, due, seen, evidence.trace))
        } else {
            match site.requests.join_healthy_access(seen, evidence.trace) {
                Ok(id) => Some(id),
                Err(good) if self.settings.link_all => return self.hold_good(line, *good, evidence.trace),
                Err(_) => None,
            }
        };
        match id {
            Some(id) => self.joined(line, id),
            None => Decision::Pass,
        }
    }

    /// Records that come late say nothing of their zone by when they come: two lines of one connection and request line
    /// that are whole quarters of an hour apart do.
    fn compare_zones(&mut self, at: SiteRef, id: u64) {
        let Some(site) = self.sites.get_mut(at).filter(|site| site.clocks.are_late()) else { return };
        let Some(pair) = site.requests.far_apart(id) else { return };
        let Some(later) = site.clocks.show_zone(pair) else { return };
        let merged = site.requests.set_back(pair.stream, later);
        self.named.apply(at, site.requests.take_naming());
        site.open = site.open.saturating_sub(merged.len());
        self.open = self.open.saturating_sub(merged.len());
        for mut request in merged {
            if let Some(timer) = request.timer {
                self.timers.cancel(timer);
            }
            if let Some(hash) = request.no_longer_awaited() {
                Arc::make_mut(&mut self.wanted).remove(hash);
            }
        }
    }

    /// A record joined a request: it is held until the verdict, or gets the verdict that there is.
    fn joined(&mut self, line: Line<'_>, id: u64) -> Decision {
        self.update_wanted(line.site, id);
        self.update_named(line.site);
        let Some(site) = self.sites.get_mut(line.site) else { return Decision::Pass };
        let Some(request) = site.requests.get_mut(id) else { return Decision::Pass };
        let decided = request.verdict.is_some();
        if decided {
            request.stale = true;
            self.timers.set(line.now.saturating_add(REVISIT), Timer::Request(line.site, id));
        } else if request.timer.is_none() {
            request.timer = Some(self.timers.set(request.due, Timer::Request(line.site, id)));
            site.open += 1;
            self.open += 1;
            if self.open > self.settings.requests_max {
                self.decide_oldest(line.now, line.site);
            }
        }
        self.holding.hold(line.ticket, Some(line.stream.id));
        if !decided {
            self.settle_later(line.now, line.site, id);
        }
        self.compare_zones(line.site, id);
        Decision::Hold
    }

    pub(super) fn handle_other(&mut self, line: Line<'_>, evidence: Evidence) -> Decision {
        if !evidence.genuine {
            // A forged half of another line proves nothing about a process.
            return Decision::Pass;
        }
        let interesting = is_worth_holding(&evidence.proof);
        let (phase, host) = match &evidence.proof {
            Proof::Gunicorn(gunicorn) => (changes_phase(&gunicorn.event), gunicorn.event == GunicornEvent::ClientGone),
            Proof::Host(_) => (false, true),
            _ => (false, false),
        };
        let listens = matches!(&evidence.proof, Proof::Gunicorn(gunicorn) if matches!(gunicorn.event, GunicornEvent::Listening { .. }));
        let role = match &evidence.proof {
            Proof::Host(Host::Server { server: Server::Container(_), .. }) => Role::Host,
            // An application server other than Gunicorn, of its own workers.
            Proof::Host(Host::Server { .. }) => Role::Server,
            Proof::Host(_) => Role::Host,
            _ => Role::Server,
        };
        self.note(line.site, role, &line.stream.place);
        let Some(site) = self.sites.get_mut(line.site) else { return Decision::Pass };
        let deaths_before = site.world.gunicorns.deaths_forgotten + site.world.gunicorns.deaths.len();
        site.world.handle(line.now, line.stream, line.ticket, line.at, evidence);
        let deaths_after = site.world.gunicorns.deaths_forgotten + site.world.gunicorns.deaths.len();
        if listens {
            self.topology.moved();
        }
        let after = |delay: Nanos| line.now.saturating_add(delay);
        if deaths_after > deaths_before {
            self.timers.set(after(self.delays.death), Timer::Death(line.site, deaths_after - 1));
        }
        if deaths_after > deaths_before || host {
            self.revisit(line.now, line.site, line.at);
        }
        if phase {
            self.timers.set(after(self.delays.phase), Timer::Phase(line.site, line.stream.id, line.ticket));
        }
        if host {
            self.timers.set(after(self.delays.host), Timer::Host(line.site, line.ticket));
        }
        if !interesting {
            return Decision::Pass;
        }
        self.holding.hold(line.ticket, Some(line.stream.id));
        self.timers.set(after(self.delays.record), Timer::Ticket(line.ticket));
        Decision::Hold
    }
}

fn changes_phase(event: &GunicornEvent) -> bool {
    matches!(
        event,
        GunicornEvent::BootFailed
            | GunicornEvent::AppLoadFailed { .. }
            | GunicornEvent::StartupFailed
            | GunicornEvent::PreloadFailed
            | GunicornEvent::BindFailed { .. }
            | GunicornEvent::BindRetry
            | GunicornEvent::ArbiterCrashed
            | GunicornEvent::WorkerExited { code: 3 | 4, .. }
            | GunicornEvent::ParentChanged
            | GunicornEvent::ShuttingDown
            | GunicornEvent::HandlingSignal { .. }
    )
}

fn is_worth_holding(proof: &Proof) -> bool {
    match proof {
        Proof::Gunicorn(gunicorn) => !matches!(
            gunicorn.event,
            GunicornEvent::Starting { .. }
                | GunicornEvent::Listening { .. }
                | GunicornEvent::UsingWorker { .. }
                | GunicornEvent::Booting { .. }
                | GunicornEvent::Other
                | GunicornEvent::ClientGone
        ),
        Proof::GunicornAccess(access) => access.status >= 500,
        Proof::Exception { .. } | Proof::Host(_) => true,
        Proof::NginxError(_) | Proof::NginxAccess(_) => true,
    }
}
