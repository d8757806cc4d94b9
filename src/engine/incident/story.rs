//! Which failures tell the same story, so that it is told once with a count.
//!
//! Equal are the incident, cause, method, route, upstream, status and the shape of the evidence: which program said what,
//! whatever the numbers in it.

use super::route::route;
use crate::engine::verdict::{Source, Verdict};
use crate::read::text::hash64;
use std::collections::{BTreeMap, BTreeSet};

/// Routes that are told apart where all else is equal; the others are one story together.
const ROUTES_MAX: usize = 6;
/// Stories whose routes are told apart; in the others none are.
const KNOWN_MAX: usize = 4_096;
/// Quotes that make the shape: nginx's own words, and what says most of why.
const SHAPE_QUOTES: usize = 2;

/// Names one story.
pub type Story = u64;

/// Tells stories apart. Bounded, whatever is asked for.
#[derive(Debug, Default)]
pub struct Stories {
    routes: BTreeMap<u64, BTreeSet<u64>>,
}

impl Stories {
    /// The story of a verdict.
    pub fn of(&mut self, verdict: &Verdict) -> Story {
        let mut words = String::with_capacity(256);
        let incident = verdict.incident.as_ref().map_or("", |label| label.uid.as_str());
        for part in [incident, verdict.cause.id, verdict.upstream.as_deref().unwrap_or_default(), &verdict.method] {
            words.push_str(part);
            words.push('\n');
        }
        words.push_str(&verdict.status.unwrap_or_default().to_string());
        push_shape(&mut words, verdict);
        let rest = hash64(words.as_bytes());
        if self.routes.len() >= KNOWN_MAX && !self.routes.contains_key(&rest) {
            return rest;
        }
        let of_rest = self.routes.entry(rest).or_default();
        let route = hash64(route("", &verdict.target).as_bytes());
        if of_rest.len() < ROUTES_MAX {
            of_rest.insert(route);
        }
        if of_rest.contains(&route) { hash64(&[rest.to_le_bytes(), route.to_le_bytes()].concat()) } else { rest }
    }
}

fn push_shape(words: &mut String, verdict: &Verdict) {
    let sources: BTreeSet<Source> = verdict.evidence.iter().map(|quote| quote.source).collect();
    for source in sources {
        words.push('\n');
        words.push_str(source.id());
    }
    for quote in verdict.evidence.iter().take(SHAPE_QUOTES) {
        words.push('\n');
        let text = if verdict.target.is_empty() {
            quote.text.clone()
        } else {
            quote.text.replace(verdict.target.as_str(), "")
        };
        push_without_numbers(words, &text);
    }
}

/// Each word with a digit in it is one of many: a pid, a time, an id.
fn push_without_numbers(out: &mut String, text: &str) {
    let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    for word in text.split_inclusive(|c| !is_of_word(c)) {
        if word.bytes().any(|byte| byte.is_ascii_digit()) {
            out.push('#');
            out.extend(word.chars().next_back().filter(|c| !is_of_word(*c)));
        } else {
            out.push_str(word);
        }
    }
}

/// Which stories were told already, for those who show verdicts as they come.
#[derive(Debug, Default)]
pub struct Heard {
    stories: Stories,
    told: BTreeSet<Story>,
}

impl Heard {
    /// True when nothing like it was told before. After some thousand stories they are told anew.
    pub fn is_new(&mut self, verdict: &Verdict) -> bool {
        if self.told.len() >= KNOWN_MAX {
            *self = Heard::default();
        }
        self.told.insert(self.stories.of(verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_no_stories_apart() {
        let shape = |text: &str| {
            let mut out = String::new();
            push_without_numbers(&mut out, text);
            out
        };
        assert_eq!(shape("WORKER TIMEOUT (pid:301)"), "WORKER TIMEOUT (pid:#)");
        assert_eq!(
            shape("12 requests waited together for 2 sync workers"),
            "# requests waited together for # sync workers"
        );
        assert_eq!(shape("Listening at: http://127.0.0.1:8000 (300)"), "Listening at: http://#:# (#)");
        assert_eq!(shape(""), "");
    }
}
