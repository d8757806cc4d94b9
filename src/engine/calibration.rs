//! What a rule is worth: counted in recordings, never said by hand.
//!
//! A cause says which of its rules fires ([`Rule`]); the case says how much of what could be told is in sight
//! ([`Completeness`]). The table of both, written by `tests/calibration/calibrate.py` out of recordings whose truth is
//! known, says how often such a verdict was right. By hand a rule has a [`Standing`] alone: it orders rules that
//! contradict each other, and lends its record to a rule that was seldom seen. So another rule changes no number of those
//! that are there, and another recording no verdict, but how sure it is.

mod table;

pub use table::{HELD_OUT, INPUT, VIEWS};

/// How much a rule proves beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is possible, and something speaks against it or nothing for it.
    Hint,
    /// One of several that fit as well.
    Possible,
    /// A little more speaks for it than for others.
    Plausible,
    /// What was seen fits it, and hardly fits anything else.
    Likely,
    /// What was seen has hardly any other reason.
    Strong,
    /// Words that say so, of this request.
    Proof,
}

impl Standing {
    /// All of them, the lowest first.
    pub const ALL: [Standing; 6] =
        [Standing::Hint, Standing::Possible, Standing::Plausible, Standing::Likely, Standing::Strong, Standing::Proof];

    /// Its name in what is printed.
    pub fn id(self) -> &'static str {
        match self {
            Standing::Hint => "hint",
            Standing::Possible => "possible",
            Standing::Plausible => "plausible",
            Standing::Likely => "likely",
            Standing::Strong => "strong",
            Standing::Proof => "proof",
        }
    }

    /// So many steps lower, and no lower than the lowest.
    pub fn lowered(self, steps: usize) -> Standing {
        let place = (self as usize).saturating_sub(steps);
        Standing::ALL.get(place).copied().unwrap_or(Standing::Hint)
    }
}

/// One thing that speaks for a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The cause and what was seen: `worker_timeout.told`. Its count is kept under this name.
    pub id: &'static str,
    /// How much it proves beside others.
    pub standing: Standing,
}

impl Rule {
    /// A rule of a cause.
    pub const fn new(id: &'static str, standing: Standing) -> Rule {
        Rule { id, standing }
    }
}

/// How much of what could be told of a failed request is in sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// Its access line, its error line, and a log of the Gunicorn that was asked.
    Whole,
    /// Its access line and its error line.
    AccessAndError,
    /// Its access line and Gunicorn's log.
    AccessAndServer,
    /// Its error line and Gunicorn's log.
    ErrorAndServer,
    /// Its access line alone.
    AccessAlone,
    /// Its error line alone.
    ErrorAlone,
    /// What nginx saw is not told of it but of the requests around it.
    Borrowed,
    /// What nginx saw is not told, and a worker is blamed that ended in the same second.
    ByTime,
    /// Its access line is missing where an access log was read.
    Doubtful,
    /// No request: a line about a process.
    Process,
    /// Whatever is in sight: a rule of a higher standing fired as well, or one of a cause that comes first.
    Outranked,
}

impl Completeness {
    /// All of them.
    pub const ALL: [Completeness; 11] = [
        Completeness::Whole,
        Completeness::AccessAndError,
        Completeness::AccessAndServer,
        Completeness::ErrorAndServer,
        Completeness::AccessAlone,
        Completeness::ErrorAlone,
        Completeness::Borrowed,
        Completeness::ByTime,
        Completeness::Doubtful,
        Completeness::Process,
        Completeness::Outranked,
    ];

    /// Its name in what is printed.
    pub fn id(self) -> &'static str {
        match self {
            Completeness::Whole => "whole",
            Completeness::AccessAndError => "access_and_error",
            Completeness::AccessAndServer => "access_and_server",
            Completeness::ErrorAndServer => "error_and_server",
            Completeness::AccessAlone => "access_alone",
            Completeness::ErrorAlone => "error_alone",
            Completeness::Borrowed => "borrowed",
            Completeness::ByTime => "by_time",
            Completeness::Doubtful => "doubtful",
            Completeness::Process => "process",
            Completeness::Outranked => "outranked",
        }
    }
}

/// How often a verdict was right that rests on a rule of a standing with so much in sight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pool {
    /// The standing.
    pub standing: Standing,
    /// What was in sight.
    pub completeness: Completeness,
    /// Rules of it that were seen.
    pub rules: u32,
    /// Their cases.
    pub of: u32,
    /// Those in which the verdict was right.
    pub right: u32,
    /// What a rule is worth of which nothing is known but this.
    pub probability: f64,
}

impl Pool {
    const fn new(
        standing: Standing,
        completeness: Completeness,
        rules: u32,
        of: u32,
        right: u32,
        probability: f64,
    ) -> Pool {
        Pool { standing, completeness, rules, of, right, probability }
    }
}

/// How often one rule was right with so much in sight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// The rule.
    pub rule: &'static str,
    /// What was in sight.
    pub completeness: Completeness,
    /// Its cases.
    pub of: u32,
    /// Those in which the verdict was right.
    pub right: u32,
    /// What it is worth: its own count, smoothed by that of its standing.
    pub probability: f64,
}

impl Record {
    const fn new(rule: &'static str, completeness: Completeness, of: u32, right: u32, probability: f64) -> Record {
        Record { rule, completeness, of, right, probability }
    }
}

/// Predictions that were made for recordings by a table that had not seen them, by how sure they were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Independent cases: requests of one recording share their fate.
    pub cases: f64,
    /// Predictions.
    pub of: u32,
    /// Right ones.
    pub right: u32,
    /// What they said, on the average over the cases.
    pub said: f64,
    /// How often they were right, on the average over the cases.
    pub was: f64,
}

/// How far what was said was from what was right, in one view of the recordings: with this log or that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Its name: `rich`, `combined`, `errors`, `posted`.
    pub view: &'static str,
    /// Predictions.
    pub of: u32,
    /// Right ones.
    pub right: u32,
    /// The mean distance over tenths of what was said.
    pub off: f64,
}

/// How often a verdict is right that rests on this rule with so much in sight.
pub fn probability(rule: Rule, completeness: Completeness) -> f64 {
    let key = |record: &Record| (record.rule, record.completeness);
    let found = table::RULES.binary_search_by(|record| key(record).cmp(&(rule.id, completeness)));
    let of_rule = found.ok().and_then(|place| table::RULES.get(place)).map(|record| record.probability);
    of_rule.unwrap_or_else(|| of_standing(rule.standing, completeness))
}

/// The same of a rule of which nothing is known but its standing.
pub fn of_standing(standing: Standing, completeness: Completeness) -> f64 {
    let pools = table::STANDINGS.iter();
    let mut fitting = pools.filter(|pool| pool.standing == standing && pool.completeness == completeness);
    fitting.next().map_or(0.0, |pool| pool.probability)
}

/// All counts: those of the rules, and those of the standings.
pub fn counts() -> (&'static [Record], &'static [Pool]) {
    (table::RULES, table::STANDINGS)
}
