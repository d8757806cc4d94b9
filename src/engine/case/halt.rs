//! Did the server halt for some reason, and not start since? Asked by each cause that is such a reason.

use super::{Case, Claim, Trigger, conclusion};
use crate::engine::correlate::Interval;
use crate::engine::correlate::gunicorn::{Change, Death, Down, Instance, Phase};
use crate::engine::verdict::Quote;
use crate::read::address::AddressMatch;
use crate::read::evidence::{SECOND, Symptom};

/// A worker finds out within this time that the application object is missing: so long its module may take to import.
const LOAD_MAX: i64 = 10 * SECOND;
/// So many workers that failed to boot within such a time before a request are a release that cannot start.
const VAIN_MIN: usize = 3;
const VAIN_FOR: i64 = 30 * SECOND;

impl Case<'_> {
    /// How likely it is that the server halted for this reason and has not started since.
    pub fn halted_for(&self, reason: Down) -> Option<Claim> {
        if let Trigger::Phase(change) = self.trigger {
            return (change.phase == Phase::Down(reason))
                .then(|| Claim::with(0.96, with_exception(self, change.quote.clone())))?;
        }
        if matches!(self.trigger, Trigger::Death) {
            let (_, death) = self.death?;
            let failed = death.failed && !death.ran_out_of_files() && reason == Down::BootFailed;
            let app = is_load_error(death);
            return failed.then(|| Claim::with(if app { 0.6 } else { 0.85 }, death.quotes.clone()))?;
        }
        let fits = self.is_refused() || self.is_cut_off() || self.symptom == Symptom::ResponseTimedOut;
        if !fits {
            return None;
        }
        let instance = self
            .instance
            .filter(|instance| self.is_request() && self.address > AddressMatch::No || instance.addresses.is_empty())?;
        let mut halts = instance.changes.iter().filter(|change| change.phase == Phase::Down(reason));
        // The last one before the request; one after it is looked at only where there is none.
        let before = halts.clone().rev().find(|change| change.at.from <= self.at.to);
        let Some(halted) = before.or_else(|| halts.next()) else {
            return match reason {
                Down::BootFailed => crew_is_gone(self, instance).or_else(|| boots_in_vain(self, instance)),
                Down::AppLoadFailed => left_at_boot(self, instance),
                _ => None,
            };
        };
        let before = halted.at.from <= self.at.to;
        if before && !has_recovered(self, instance, halted) && self.symptom != Symptom::ResponseTimedOut {
            let confidence = if starved(self, halted) {
                0.3
            } else if was_before(self, halted) {
                0.4
            } else {
                0.97
            };
            return Claim::with(confidence, with_exception(self, halted.quote.clone()));
        }
        // Reset while its workers were failing, just before the halt was written.
        let at_edge =
            |change: &&Change| change.phase == Phase::Down(reason) && self.at.near(change.at, -SECOND, 3 * SECOND);
        let halted = instance.changes.iter().rev().filter(|_| self.is_cut_off()).find(at_edge)?;
        let confidence = if starved(self, halted) { 0.3 } else { 0.9 };
        Claim::with(confidence, with_exception(self, halted.quote.clone()))
    }
}

/// It started again before the request, and that start held: a start that halts as the one before did is no recovery.
fn has_recovered(case: &Case<'_>, instance: &Instance, halted: &Change) -> bool {
    let starts = |change: &&Change| {
        change.phase == Phase::Listening && change.at.from > halted.at.to && change.at.from <= case.at.to
    };
    let Some(start) = instance.changes.iter().rev().find(starts) else { return false };
    let next = instance.changes.iter().find(|change| {
        change.at.from >= start.at.from
            && !std::ptr::eq(*change, start)
            && matches!(change.phase, Phase::Down(_) | Phase::Stopping | Phase::Starting)
    });
    let fails_again = next.is_some_and(|next| {
        matches!(next.phase, Phase::Down(Down::BootFailed | Down::AppLoadFailed))
            && next.at.near(start.at, -LOAD_MAX, 0)
    });
    !fails_again
}

/// Gunicorn older than 20 boots a worker that fails again and again, and does not halt.
fn boots_in_vain(case: &Case<'_>, instance: &Instance) -> Option<Claim> {
    let around = |at: Interval| at.near(case.at, -SECOND, VAIN_FOR);
    let failed = |death: &&Death| death.failed && death.source == instance.source && around(death.from);
    let death = case.deaths().rev().take(256).find(failed)?;
    if case.deaths().rev().take(256).filter(failed).count() < VAIN_MIN || death.ran_out_of_files() {
        return None;
    }
    let mut quotes = death.quotes.clone();
    quotes.push(conclusion("each worker that it boots fails, again and again"));
    Claim::with(0.9, quotes)
}

/// The exception says that no descriptor was left: that has a cause of its own.
fn starved(case: &Case<'_>, halted: &Change) -> bool {
    let source = case.instance.map(|instance| instance.source);
    case.deaths().rev().take(256).any(|death| {
        death.failed
            && death.ran_out_of_files()
            && Some(death.source) == source
            && death.from.near(halted.at, -5 * SECOND, SECOND)
    })
}

/// Old Gunicorns lose the words about the halt in a race: every worker failed, and none was booted in its place.
fn crew_is_gone(case: &Case<'_>, instance: &Instance) -> Option<Claim> {
    if instance.crew.size_at(case.at) != Some(0) {
        return None;
    }
    let failed = |death: &&Death| death.failed && death.source == instance.source && death.from.from <= case.at.to;
    let death = case.deaths().rev().take(256).find(failed)?;
    let confidence = if death.ran_out_of_files() { 0.3 } else { 0.95 };
    let mut quotes = death.quotes.clone();
    quotes.push(conclusion("none of its workers is left and none was booted again"));
    Claim::with(confidence, quotes)
}

/// The same race where the application object was not found, which Gunicorn tells on standard error alone: every worker
/// left as soon as it had booted, nobody told them to, and none was booted in their place.
fn left_at_boot(case: &Case<'_>, instance: &Instance) -> Option<Claim> {
    let since = instance.changes.iter().rev().find(|change| change.at.from <= case.at.to)?;
    if instance.crew.size_at(case.at) != Some(0) || since.phase != Phase::Listening {
        return None;
    }
    let at_boot = |death: &&Death| {
        let mut boots = case.boots().filter(|boot| boot.source == death.source && boot.worker == death.worker);
        death.source == instance.source
            && death.left_by_itself()
            && death.from.from <= case.at.to
            && boots.any(|boot| boot.at.near(death.from, -SECOND, LOAD_MAX))
    };
    let death = case.deaths().rev().take(256).find(at_boot)?;
    let mut quotes = death.quotes.clone();
    quotes.push(conclusion("its workers left as soon as they had booted, and none was booted in their place"));
    Claim::with(0.95, quotes)
}

/// The stamps of one second do not tell whether a refusal came before the start or after the halt; a reset that follows
/// it does: that was the short time in which Gunicorn listened.
fn was_before(case: &Case<'_>, halted: &Change) -> bool {
    if !case.is_refused() || halted.at.to < case.at.from {
        return false;
    }
    let own = case.error().map(|error| error.ticket);
    let after_own = case.failures().skip_while(|failure| Some(failure.ticket) != own);
    after_own.skip(1).take(256).any(|failure| {
        failure.symptom == Symptom::ResponseReset
            && failure.at.near(case.at, 0, 2 * SECOND)
            && Some(&*failure.upstream) == case.upstream
    })
}

fn is_load_error(death: &Death) -> bool {
    death.exception.as_ref().is_some_and(|(class, _)| class.ends_with("AppImportError"))
}

fn with_exception(case: &Case<'_>, quote: Quote) -> Vec<Quote> {
    let mut quotes = vec![quote];
    let source = case.instance.map(|instance| instance.source);
    let failed = case.deaths().rev().take(64).find(|death| death.failed && Some(death.source) == source);
    if let Some(death) = failed {
        // The last line of the traceback says what to mend, so it comes first.
        let class = death.exception.as_ref().map_or("", |(class, _)| class.as_str());
        let (deciding, others): (Vec<&Quote>, Vec<&Quote>) =
            death.quotes.iter().partition(|quote| !class.is_empty() && quote.text.contains(class));
        quotes.splice(0..0, deciding.into_iter().take(1).cloned());
        quotes.extend(others.into_iter().take(1).cloned());
    }
    quotes
}
