//! What each line of a format has, in whatever envelope: the quick way to know that a line is in another.

use super::Part;
use super::shape::Shape;

/// The rarest thing that a format's lines share.
#[derive(Clone, Debug)]
pub(super) enum Landmark {
    /// A date of the form `29/Oct/2026:`.
    Date,
    /// Bytes of one of its texts.
    Text(Vec<u8>),
    /// Nothing that other programs' lines lack.
    None,
}

impl Landmark {
    pub(super) fn of(parts: &[Part]) -> Landmark {
        let is_date = |part: &Part| matches!(part, Part::Variable(variable) if matches!(variable.shape, Shape::TimeLocal | Shape::TimeBracketed));
        if parts.iter().any(is_date) {
            return Landmark::Date;
        }
        let literals = parts.iter().filter_map(|part| match part {
            Part::Literal(literal) => Some(literal.as_slice()),
            Part::Variable(_) => None,
        });
        // What envelopes change, and what any line has: quotes, backslashes, slashes, blanks.
        let pieces = literals.flat_map(|literal| literal.split(|byte| !is_steady(*byte)));
        let rarest = pieces.filter(|piece| is_rare(piece)).max_by_key(|piece| piece.len());
        rarest.map_or(Landmark::None, |piece| Landmark::Text(piece.to_vec()))
    }

    pub(super) fn is_in(&self, line: &[u8]) -> bool {
        match self {
            Landmark::None => true,
            Landmark::Text(text) => memchr::memmem::find(line, text).is_some(),
            Landmark::Date => memchr::memmem::find_iter(line, b"/20").any(|at| {
                let before = at.checked_sub(1).and_then(|before| line.get(before));
                before.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'\\')
            }),
        }
    }
}

fn is_steady(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_=|~^#;:-.".contains(&byte)
}

fn is_rare(piece: &[u8]) -> bool {
    piece.len() > 2 && piece.iter().any(u8::is_ascii_alphabetic) || piece.iter().any(|byte| b"_=|~^#".contains(byte))
}
