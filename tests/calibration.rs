//! The rules and what they are worth: the table that `tests/calibration/calibrate.py` writes.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use std::collections::BTreeSet;
use why502::engine::calibration::{
    Bin, Completeness, HELD_OUT, INPUT, Rule, Standing, VIEWS, counts, of_standing, probability,
};
use why502::engine::causes::all;

fn rules() -> impl Iterator<Item = Rule> {
    all().iter().flat_map(|cause| cause.rules.iter().copied())
}

#[test]
fn each_rule_stands_once_and_under_its_cause() {
    let ids: Vec<&str> = rules().map(|rule| rule.id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "ids are unique");
    for cause in all() {
        assert!(!cause.rules.is_empty(), "{}", cause.id);
        for rule in cause.rules {
            let name = rule.id.strip_prefix(cause.id).and_then(|rest| rest.strip_prefix('.'));
            let is_word =
                |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
            assert!(name.is_some_and(|name| !name.is_empty() && is_word(name)), "{} of {}", rule.id, cause.id);
        }
    }
}

#[test]
fn what_fires_is_in_the_list() {
    for cause in all() {
        for lines in [cause.example, cause.near_miss] {
            let fired = told::of(&[("case.log", lines)], |verdict| verdict.considered.clone());
            for claim in fired.iter().flatten() {
                assert!(claim.cause.rules.iter().any(|rule| rule.id == claim.rule), "{} of {}", claim.rule, cause.id);
            }
            assert!(fired.iter().all(|claims| !claims.is_empty()), "{}: a verdict without a rule", cause.id);
        }
    }
}

#[test]
fn claims_on_one_request_share_one_probability() {
    for cause in all() {
        for (sure, considered, leads) in told::of(&[("case.log", cause.example)], |verdict| {
            (verdict.confidence, verdict.considered.clone(), verdict.cause)
        }) {
            let sum: f64 = considered.iter().map(|claim| claim.confidence).sum();
            // Each is rounded to thousandths.
            assert!(sum <= 1.0 + 0.0005 * considered.len() as f64, "{}: {considered:?}", cause.id);
            assert!(considered.first().is_some_and(|first| first.confidence == sure && first.cause == leads));
        }
    }
}

#[test]
fn a_higher_standing_is_never_worth_less() {
    for completeness in Completeness::ALL {
        let worth = Standing::ALL.map(|standing| of_standing(standing, completeness));
        assert!(worth.is_sorted(), "{}: {worth:?}", completeness.id());
        assert!(worth.iter().all(|worth| *worth > 0.0 && *worth < 1.0), "{}: {worth:?}", completeness.id());
    }
}

#[test]
fn another_rule_is_worth_what_its_standing_is() {
    for standing in Standing::ALL {
        for completeness in Completeness::ALL {
            let new = Rule::new("worker_timeout.of_another_kind", standing);
            assert_eq!(probability(new, completeness), of_standing(standing, completeness));
        }
    }
}

/// Predictions for recordings that the table which made them had not seen. Requests of one recording share their fate, so
/// it is independent cases that are counted.
#[test]
fn said_is_right_as_often() {
    let told = HELD_OUT.iter().filter(|bin| bin.cases >= 30.0);
    // What chance makes of so many cases: one standard error.
    let chance = |bin: &Bin| (bin.said * (1.0 - bin.said) / bin.cases).sqrt();
    let off: Vec<_> = told.clone().filter(|bin| (bin.said - bin.was).abs() > 0.03 + chance(bin)).collect();
    assert!(off.is_empty(), "{off:#?}");
    // Without an access log a few recordings weigh too much to tell; of posted lines there are few.
    let off: Vec<_> = VIEWS.iter().filter(|view| matches!(view.view, "rich" | "combined") && view.off > 0.03).collect();
    assert!(off.is_empty() && VIEWS.len() >= 3, "{off:#?}");
    assert!(told.map(|bin| bin.of).sum::<u32>() >= 3_000, "nearly all predictions are in bins that tell something");
}

#[test]
fn the_table_is_of_the_rules_that_there_are() {
    let (records, pools) = counts();
    assert!(records.is_sorted_by_key(|record| (record.rule, record.completeness)), "they are searched by halves");
    for record in records {
        let rule = rules().find(|rule| rule.id == record.rule);
        let worth = rule.map(|rule| probability(rule, record.completeness));
        assert_eq!(worth, Some(record.probability), "{}: calibrate anew", record.rule);
        assert!(record.right <= record.of && record.of > 0, "{record:?}");
    }
    assert_eq!(pools.len(), Standing::ALL.len() * Completeness::ALL.len());
    assert!(INPUT.contains("sha256 "), "{INPUT}");
}

#[test]
fn few_cases_are_no_certainty() {
    for record in counts().0.iter().filter(|record| record.of <= 3) {
        assert!(record.probability > 0.0 && record.probability < 0.99, "{record:?}");
    }
    for standing in Standing::ALL {
        assert!(of_standing(standing, Completeness::Whole) < 0.99, "of a rule that was never seen");
    }
}
