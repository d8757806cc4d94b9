//! Did the server halt for some reason, and not start since? Asked by each cause that is such a reason.

use super::{Case, Claim, Trigger, conclusion};
use crate::engine::calibration::Rule;
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

/// What speaks for one reason to halt.
#[derive(Clone, Copy, Debug)]
pub struct Halts {
    /// The words about the halt, and no request.
    pub alone: Rule,
    /// The server halted for it before the request, and has not started since.
    pub halted: Rule,
    /// The same, and the request may have come before the start that failed.
    pub before: Rule,
    /// The request was cut just before the halt was written.
    pub edge: Rule,
    /// It halted for it, and its workers had no descriptors left.
    pub starved: Rule,
    /// What Gunicorn does not say in so many words.
    pub unsaid: Unsaid,
}

/// Signs of a halt of which Gunicorn wrote no word.
#[derive(Clone, Copy, Debug)]
pub enum Unsaid {
    /// There are none for this reason.
    No,
    /// Workers that failed to boot.
    Boot {
        /// One of them by itself.
        worker: Rule,
        /// The same, with an exception that speaks of the application object.
        import: Rule,
        /// None is left, and none was booted again.
        gone: Rule,
        /// Each that is booted fails.
        vain: Rule,
    },
    /// Workers that left as soon as they had booted.
    Left(Rule),
}

impl Case<'_> {
    /// What says that the server halted for this reason and has not started since.
    pub fn halted_for(&self, reason: Down, rules: &Halts) -> Option<Claim> {
        if let Trigger::Phase(change) = self.trigger {
            return (change.phase == Phase::Down(reason))
                .then(|| Claim::with(rules.alone, with_exception(self, change.quote.clone())))?;
        }
        if matches!(self.trigger, Trigger::Death) {
            let (_, death) = self.death?;
            let Unsaid::Boot { worker, import, .. } = rules.unsaid else { return None };
            let rule = if is_load_error(death) { import } else { worker };
            let failed = death.failed && !death.ran_out_of_files();
            return failed.then(|| Claim::with(rule, death.quotes.clone()))?;
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
            return match rules.unsaid {
                Unsaid::Boot { gone, vain, .. } => {
                    crew_is_gone(self, instance, gone, rules.starved).or_else(|| boots_in_vain(self, instance, vain))
                }
                Unsaid::Left(rule) => left_at_boot(self, instance, rule),
                Unsaid::No => None,
            };
        };
        let is_over = halted.at.from <= self.at.to && !has_recovered(self, instance, halted);
        if is_over && self.symptom != Symptom::ResponseTimedOut {
            let rule = if starved(self, halted) {
                rules.starved
            } else if was_before(self, halted) {
                rules.before
            } else {
                rules.halted
            };
            return Claim::with(rule, with_exception(self, halted.quote.clone()));
        }
        // Reset while its workers were failing, just before the halt was written.
        let at_edge =
            |change: &&Change| change.phase == Phase::Down(reason) && self.at.near(change.at, -SECOND, 3 * SECOND);
        let listens_after = |halted: &Change| {
            instance.after(halted, |phase| *phase == Phase::Listening).is_some_and(|start| start.at.from <= self.at.to)
        };
        let halted = instance.changes.iter().rev().filter(|_| self.is_cut_off()).find(at_edge)?;
        if listens_after(halted) {
            return None;
        }
        let rule = if starved(self, halted) { rules.starved } else { rules.edge };
        Claim::with(rule, with_exception(self, halted.quote.clone()))
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
fn boots_in_vain(case: &Case<'_>, instance: &Instance, rule: Rule) -> Option<Claim> {
    let around = |at: Interval| at.near(case.at, -SECOND, VAIN_FOR);
    let failed = |death: &&Death| death.failed && death.source == instance.source && around(death.from);
    let death = case.deaths().rev().take(256).find(failed)?;
    if case.deaths().rev().take(256).filter(failed).count() < VAIN_MIN || death.ran_out_of_files() {
        return None;
    }
    let mut quotes = death.quotes.clone();
    quotes.push(conclusion("each worker that it boots fails, again and again"));
    Claim::with(rule, quotes)
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
fn crew_is_gone(case: &Case<'_>, instance: &Instance, rule: Rule, starved: Rule) -> Option<Claim> {
    // Words about another reason to halt are not lost: that is the reason.
    let told = instance.before(case.at).is_some_and(|change| change.phase == Phase::Down(Down::AppLoadFailed));
    if told || instance.crew.size_at(case.at) != Some(0) {
        return None;
    }
    let failed = |death: &&Death| death.failed && death.source == instance.source && death.from.from <= case.at.to;
    let death = case.deaths().rev().take(256).find(failed)?;
    let rule = if death.ran_out_of_files() { starved } else { rule };
    let mut quotes = death.quotes.clone();
    quotes.push(conclusion("none of its workers is left and none was booted again"));
    Claim::with(rule, quotes)
}

/// The same race where the application object was not found, which Gunicorn tells on standard error alone: every worker
/// left as soon as it had booted, nobody told them to, and none was booted in their place.
fn left_at_boot(case: &Case<'_>, instance: &Instance, rule: Rule) -> Option<Claim> {
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
    Claim::with(rule, quotes)
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
