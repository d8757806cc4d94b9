//! Arbitrary requests out of a tape of bytes: an exhausted tape ends every message, so that a shorter tape is a
//! smaller request and a failing one shrinks.

use crate::otlp::Signal;
use crate::otlp::json::schema::{self, FieldSchema, Kind, Message, Rule};
use crate::otlp::wire::{BYTES, put_bytes, put_tag, put_varint};
use proptest::prelude::{Strategy, any};

/// Messages inside messages; an exemplar's attribute is 8 deep.
const DEPTH_MAX: u32 = 14;

/// What the requests of a test may have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quirks {
    /// Fields that OTLP does not know, at every level.
    pub(super) unknown_fields: bool,
    /// Lengths in more bytes than they need.
    pub(super) long_lengths: bool,
    /// Singular fields more than once.
    pub(super) duplicates: bool,
}

impl Quirks {
    pub(super) const ALL: Quirks = Quirks { unknown_fields: true, long_lengths: true, duplicates: true };
}

/// Requests of a signal as bytes; strings are UTF-8 so that prost takes them.
pub(super) fn requests(signal: Signal, quirks: Quirks) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..3_000).prop_map(move |tape| request(signal, quirks, &tape))
}

pub(super) fn request(signal: Signal, quirks: Quirks, tape: &[u8]) -> Vec<u8> {
    let mut tape = Tape { rest: tape, quirks };
    let mut out = Vec::new();
    // Until the tape is used up, so that a long one makes a request with several groups.
    while !tape.rest.is_empty() {
        tape.message(schema::request(signal), &mut out, 0);
    }
    out
}

struct Tape<'t> {
    rest: &'t [u8],
    quirks: Quirks,
}

impl Tape<'_> {
    fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((first, rest)) => {
                self.rest = rest;
                *first
            }
            None => 0,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    /// Numbers at the edges more often than between them.
    fn bits(&mut self) -> u64 {
        match self.byte() % 8 {
            0 => 0,
            1 => u64::MAX,
            2 => u64::from(self.byte()),
            3 => i64::MIN.cast_unsigned(),
            4 => f64::NAN.to_bits(),
            5 => f64::from(self.byte()).to_bits(),
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn message(&mut self, schema: &'static Message, out: &mut Vec<u8>, depth: u32) {
        let fields = self.below(if depth < 4 { 9 } else { 5 });
        let mut seen = Vec::new();
        for _ in 0..fields {
            if self.quirks.unknown_fields && self.byte() % 16 == 1 {
                self.unknown_field(schema, out);
                continue;
            }
            // The repeated child of a group more often than what stands beside it.
            let child = depth < 3 && self.byte() % 2 == 1;
            let wanted = if child { 1 } else { self.below(schema.fields.len()) };
            let Some(field) = schema.fields.get(wanted % schema.fields.len()) else { continue };
            let slot = if field.rule == Rule::Choice { 0 } else { field.number };
            if !self.quirks.duplicates && field.rule != Rule::Repeated && seen.contains(&slot) {
                continue;
            }
            seen.push(slot);
            self.field(field, out, depth);
        }
    }

    fn field(&mut self, field: &'static FieldSchema, out: &mut Vec<u8>, depth: u32) {
        let number = field.number;
        let content = match field.kind {
            Kind::Message(_) if depth >= DEPTH_MAX => Vec::new(),
            Kind::Message(schema) => {
                let mut content = Vec::new();
                self.message(schema, &mut content, depth + 1);
                content
            }
            Kind::String => self.text().into_bytes(),
            Kind::Bytes => (0..self.below(9)).map(|_| self.byte()).collect(),
            Kind::Id => {
                let length = match self.byte() % 4 {
                    0 | 1 if matches!(field.name, "traceId") => 16,
                    0 | 1 => 8,
                    2 => 0,
                    _ => self.below(20),
                };
                let fill = self.byte() % 3;
                vec![fill * 7; length]
            }
            kind if field.rule == Rule::Repeated && self.byte().is_multiple_of(2) => {
                let mut packed = Vec::new();
                for _ in 0..self.below(4) {
                    self.number(kind, &mut packed);
                }
                packed
            }
            kind => {
                put_tag(out, number, kind.wire());
                self.number(kind, out);
                return;
            }
        };
        self.bytes_field(number, &content, out);
    }

    fn bytes_field(&mut self, number: u32, content: &[u8], out: &mut Vec<u8>) {
        if self.quirks.long_lengths && content.len() < 128 && self.byte() % 16 == 1 {
            put_tag(out, number, BYTES);
            out.extend_from_slice(&[content.len() as u8 | 0x80, 0x80, 0x00]);
            out.extend_from_slice(content);
        } else {
            put_bytes(out, number, content);
        }
    }

    fn number(&mut self, kind: Kind, out: &mut Vec<u8>) {
        let bits = self.bits();
        match kind {
            Kind::Fixed32 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => out.extend_from_slice(&bits.to_le_bytes()),
            Kind::Bool => put_varint(out, bits & 1),
            Kind::Uint32 | Kind::Sint32 => put_varint(out, bits & u64::from(u32::MAX)),
            Kind::Enum | Kind::Int32 => put_varint(out, i64::from(bits as i32).cast_unsigned()),
            _ => put_varint(out, bits),
        }
    }

    fn text(&mut self) -> String {
        const WORDS: [&str; 10] = [
            "",
            "why502.cause",
            "error.type",
            "http.route",
            "GET /cart HTTP/1.1",
            "\"quoted\" \\ and\nbroken\r\tby\0control \u{1b}[31m",
            "größer als 1 µs",
            "\u{2028}\u{feff}\u{10ffff}",
            "why502.hint",
            "a longer text that takes its length above one hundred and twenty-seven bytes, so that the length of a field \
             needs two bytes on the wire",
        ];
        let word = self.below(WORDS.len());
        WORDS.get(word).copied().unwrap_or_default().to_owned()
    }

    fn unknown_field(&mut self, schema: &Message, out: &mut Vec<u8>) {
        let number = 13 + 40 * u32::from(self.byte());
        if schema.index(number).is_some() {
            return;
        }
        let content: Vec<u8> = (0..self.below(6)).map(|_| self.byte()).collect();
        match self.byte() % 4 {
            0 => {
                put_tag(out, number, 0);
                put_varint(out, self.bits());
            }
            1 => {
                put_tag(out, number, 1);
                out.extend_from_slice(&self.bits().to_le_bytes());
            }
            2 => {
                put_tag(out, number, 5);
                out.extend_from_slice(&[1, 2, 3, 4]);
            }
            _ => self.bytes_field(number, &content, out),
        }
    }
}
