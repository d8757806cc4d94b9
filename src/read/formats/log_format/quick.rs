//! The status of a line without reading the rest: what dismisses a healthy line.

use super::shape::Shape;
use super::{Escape, Part, matching};

/// The way to the status: over a number of quotes, which no client can add to, and then over values that nginx formats.
#[derive(Clone, Debug)]
pub struct Quick {
    escape: Escape,
    /// What the line begins with.
    head: Vec<u8>,
    /// Quotes that stand before the status.
    quotes: usize,
    /// What stands between the last of them and the status.
    steps: Vec<Step>,
    /// What follows the status; empty at the end of the line.
    tail: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Literal(Vec<u8>),
    Value(Shape),
}

impl Quick {
    pub(super) fn of(parts: &[Part], names: &[String], escape: Escape) -> Option<Quick> {
        let of_status = |part: &Part| matches!(part, Part::Variable(variable) if names.get(variable.name).is_some_and(|name| name == "status"));
        let place = parts.iter().position(of_status)?;
        let before = parts.get(..place)?;
        let literal = |part: Option<&Part>| match part {
            Some(Part::Literal(literal)) => literal.clone(),
            _ => Vec::new(),
        };
        let mut quick = Quick {
            escape,
            head: literal(before.first()),
            quotes: 0,
            steps: Vec::new(),
            tail: literal(parts.get(place + 1)),
        };
        for part in before {
            match part {
                Part::Literal(literal) => {
                    let count = memchr::memchr_iter(b'"', literal).count();
                    let last = memchr::memrchr(b'"', literal).filter(|_| escape != Escape::None);
                    if let Some(last) = last {
                        quick.quotes += count;
                        quick.steps.clear();
                        quick.steps.push(Step::Literal(literal.get(last + 1..)?.to_vec()));
                    } else {
                        quick.steps.push(Step::Literal(literal.clone()));
                    }
                }
                Part::Variable(variable) => quick.steps.push(Step::Value(variable.shape)),
            }
        }
        let safe = quick.steps.iter().all(|step| match step {
            Step::Literal(_) => true,
            Step::Value(shape) => shape.is_safe(),
        });
        // The digits of a status would run on into a variable that follows directly.
        let ends = !quick.tail.is_empty() || place + 1 == parts.len();
        (safe && ends).then_some(quick)
    }

    /// The status; `None` when the line is not what the format writes, as far as was looked.
    pub fn status(&self, line: &[u8]) -> Option<u16> {
        let mut rest = line;
        if !rest.starts_with(&self.head) {
            return None;
        }
        for _ in 0..self.quotes {
            rest = rest.get(matching::quote(self.escape, rest)? + 1..)?;
        }
        for step in &self.steps {
            match step {
                Step::Literal(literal) => rest = rest.strip_prefix(literal.as_slice())?,
                Step::Value(shape) => {
                    let length = rest.iter().position(|byte| !shape.takes(*byte)).unwrap_or(rest.len());
                    if !rest.get(..length).is_some_and(|value| shape.fits(value)) {
                        return None;
                    }
                    rest = rest.get(length..)?;
                }
            }
        }
        let [a, b, c, rest @ ..] = rest else { return None };
        let tail = if self.tail.is_empty() { rest.is_empty() } else { rest.starts_with(&self.tail) };
        let digits = a.is_ascii_digit() && b.is_ascii_digit() && c.is_ascii_digit();
        (tail && digits).then(|| u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
    }
}
