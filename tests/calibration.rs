//! The rules and what they are worth: the table that `tests/calibration/calibrate.py` writes.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use std::collections::BTreeSet;
use why502::engine::calibration::{Completeness, Rule, Standing, of_standing, probability};
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
