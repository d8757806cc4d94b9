//! Protobuf bytes to JSON text.

use super::super::wire::{Field, Fields, VARINT, Wire, decode_varint};
use super::schema::{FieldSchema, Kind, Message, Rule, is_any_value};
use base64::Engine as _;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Values inside values that are written out and read. JSON readers stop at 128 brackets (serde_json); a value in the
/// attributes of an exemplar stands in 15 of them, and each level of a map takes 4 more: 15 + 4 * 28 < 128.
pub(super) const DEPTH_MAX: usize = 28;

/// What stands in the place of a value that is nested deeper.
const TOO_DEEP: &str = r#"{"stringValue":"(nested too deeply to be written)"}"#;

/// Appends a message as a JSON object. Bytes that are no such message end it early.
pub(super) fn write_message(out: &mut String, schema: &Message, bytes: &[u8], depth: usize) {
    let depth = depth + usize::from(is_any_value(schema));
    if depth > DEPTH_MAX {
        out.push_str(TOO_DEEP);
        return;
    }
    let present = Present::of(schema, bytes);
    out.push('{');
    let mut first = true;
    for (index, field) in schema.fields.iter().enumerate() {
        if !present.has(index, field) {
            continue;
        }
        let occurrences = Fields::new(bytes)
            .filter(|found| found.number == field.number && fits(field, found))
            .skip_while(|found| field.rule == Rule::Choice && found.start < present.choice_start);
        let mark = out.len();
        if !first {
            out.push(',');
        }
        out.push('"');
        out.push_str(field.name);
        out.push_str("\":");
        if write_field(out, field, occurrences, depth) {
            first = false;
        } else {
            out.truncate(mark);
        }
    }
    out.push('}');
}

/// Which fields of the schema a message has.
struct Present {
    /// One bit for each place in the table; no message has more than 16 fields.
    bits: u32,
    /// Place of the `oneof` member that counts, which is the last one.
    choice: Option<usize>,
    /// Where that member first stood after any other.
    choice_start: usize,
}

impl Present {
    fn of(schema: &Message, bytes: &[u8]) -> Present {
        let mut present = Present { bits: 0, choice: None, choice_start: 0 };
        for found in Fields::new(bytes) {
            let Some(index) = schema.index(found.number) else { continue };
            let Some(field) = schema.fields.get(index) else { continue };
            if !fits(field, &found) {
                continue;
            }
            present.bits |= 1 << index;
            if field.rule == Rule::Choice && present.choice != Some(index) {
                present.choice = Some(index);
                present.choice_start = found.start;
            }
        }
        present
    }

    fn has(&self, index: usize, field: &FieldSchema) -> bool {
        self.bits >> index & 1 == 1 && (field.rule != Rule::Choice || self.choice == Some(index))
    }
}

/// True when the field has the wire type of its kind; a repeated number may also be packed.
fn fits(field: &FieldSchema, found: &Field<'_>) -> bool {
    let packed = field.rule == Rule::Repeated && matches!(found.wire, Wire::Bytes(_));
    packed || found.wire.kind() == field.kind.wire()
}

/// Appends the value of a field; false when it is a default value, whose text the caller takes back.
fn write_field<'a>(
    out: &mut String,
    field: &FieldSchema,
    occurrences: impl Iterator<Item = Field<'a>>,
    depth: usize,
) -> bool {
    if field.rule == Rule::Repeated {
        out.push('[');
        let mark = out.len();
        for found in occurrences {
            write_elements(out, field.kind, found.wire, depth);
        }
        // The comma after the last one; without one the list is packed and empty, which is the same as none.
        let any = out.len() > mark && out.pop().is_some();
        out.push(']');
        return any;
    }
    if let Kind::Message(schema) = field.kind {
        // A message that stands twice is the merge of both, which is the message of both contents in a row.
        let content = occurrences.map(|found| Cow::Borrowed(found.wire.bytes())).reduce(|before, next| {
            let mut joined = before.into_owned();
            joined.extend_from_slice(&next);
            Cow::Owned(joined)
        });
        write_message(out, schema, &content.unwrap_or_default(), depth);
        return true;
    }
    let Some(last) = occurrences.last() else { return false };
    if field.rule == Rule::Single && is_default(field.kind, last.wire) {
        return false;
    }
    write_scalar(out, field.kind, last.wire);
    true
}

fn is_default(kind: Kind, wire: Wire<'_>) -> bool {
    match kind {
        // Readers take the low 32 bits of a longer varint (protobuf.dev, "Updating A Message Type").
        Kind::Enum | Kind::Int32 | Kind::Uint32 | Kind::Sint32 => wire.number() as u32 == 0,
        _ => wire.number() == 0 && wire.bytes().is_empty(),
    }
}

/// Appends each element of one occurrence of a repeated field with a comma after it.
fn write_elements(out: &mut String, kind: Kind, wire: Wire<'_>, depth: usize) {
    match (kind, wire) {
        (Kind::Message(schema), wire) => {
            write_message(out, schema, wire.bytes(), depth);
            out.push(',');
        }
        (Kind::String | Kind::Bytes | Kind::Id, wire) => {
            write_scalar(out, kind, wire);
            out.push(',');
        }
        (_, Wire::Bytes(packed)) => {
            let mut rest = packed;
            while let Some((wire, length)) = unpack(kind, rest) {
                write_scalar(out, kind, wire);
                out.push(',');
                rest = rest.get(length..).unwrap_or_default();
            }
        }
        (_, wire) => {
            write_scalar(out, kind, wire);
            out.push(',');
        }
    }
}

/// The first of packed numbers and its length.
fn unpack(kind: Kind, bytes: &[u8]) -> Option<(Wire<'static>, usize)> {
    if kind.wire() == VARINT {
        return decode_varint(bytes).map(|(number, length)| (Wire::Varint(number), length));
    }
    // No repeated field of OTLP is 4 bytes wide.
    let fixed = bytes.first_chunk::<8>()?;
    Some((Wire::Fixed64(u64::from_le_bytes(*fixed)), 8))
}

fn write_scalar(out: &mut String, kind: Kind, wire: Wire<'_>) {
    let number = wire.number();
    let signed = number.cast_signed();
    // Writing to a String cannot fail.
    let _ = match kind {
        Kind::String => {
            write_string(out, &String::from_utf8_lossy(wire.bytes()));
            Ok(())
        }
        Kind::Bytes => {
            out.push('"');
            base64::engine::general_purpose::STANDARD.encode_string(wire.bytes(), out);
            out.push('"');
            Ok(())
        }
        Kind::Id => {
            out.push('"');
            for byte in wire.bytes() {
                out.push(hex_digit(byte >> 4));
                out.push(hex_digit(byte & 0xf));
            }
            out.push('"');
            Ok(())
        }
        Kind::Bool => write!(out, "{}", number != 0),
        Kind::Enum | Kind::Int32 => write!(out, "{}", signed as i32),
        Kind::Uint32 | Kind::Fixed32 => write!(out, "{}", number as u32),
        Kind::Sint32 => {
            let zigzag = number as u32;
            write!(out, "{}", (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
        }
        Kind::Int64 | Kind::Sfixed64 => write!(out, "\"{signed}\""),
        Kind::Uint64 | Kind::Fixed64 => write!(out, "\"{number}\""),
        Kind::Double => write_double(out, f64::from_bits(number)),
        Kind::Message(_) => Ok(()),
    };
}

fn write_double(out: &mut String, number: f64) -> std::fmt::Result {
    if number.is_nan() {
        out.write_str("\"NaN\"")
    } else if number.is_infinite() {
        out.write_str(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" })
    } else {
        // The shortest text that reads back as the same number.
        write!(out, "{number:?}")
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

/// Appends a JSON string. No byte below 0x20 gets out, so one request stays one line.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = special_at(rest.as_bytes()) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(other) => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Where the first byte stands that a JSON string cannot hold as it is.
fn special_at(bytes: &[u8]) -> Option<usize> {
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let mut start = 0;
    // A chunk without a branch inside is looked at in one go.
    for chunk in bytes.chunks(32) {
        if chunk.iter().fold(false, |found, byte| found | special(*byte)) {
            return chunk.iter().position(|byte| special(*byte)).map(|at| start + at);
        }
        start += chunk.len();
    }
    None
}
