//! JSON text to protobuf bytes, in one pass and without a tree in between.

use super::super::wire::{put_bytes, put_message, put_tag, put_varint};
use super::schema::{FieldSchema, Kind, Message, Rule, is_any_value};
use super::write::DEPTH_MAX;
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Longest request that is made out of JSON: the limit that OTLP 1.11.0 recommends for any request. Two bytes of JSON
/// can be eight of protobuf (`0,` in a list of bounds), so the limit on the JSON does not do.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Number of `AnyValue.string_value`.
const STRING_VALUE: u32 = 1;
/// What stands in the place of a value that is nested deeper than [`DEPTH_MAX`].
const TOO_DEEP: &[u8] = b"(nested too deeply to be read)";

/// Reads the object of a message and appends the message's content.
pub(super) struct MessageSeed<'o> {
    pub(super) schema: &'static Message,
    pub(super) out: &'o mut Vec<u8>,
    /// Values that this message is inside of.
    pub(super) depth: usize,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(known) = map.next_key_seed(NameSeed { schema: self.schema })? {
            match known {
                Some(field) => {
                    map.next_value_seed(FieldSeed { field, out: self.out, in_list: false, depth: self.depth })?
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a key; `None` for one that the message does not have.
struct NameSeed {
    schema: &'static Message,
}

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Option<&'static FieldSchema>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Option<&'static FieldSchema>;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.schema.by_name(name))
    }
}

/// Reads the value of a field, or one element of it, and appends it with its tag; a packed element comes without.
struct FieldSeed<'o> {
    field: &'static FieldSchema,
    out: &'o mut Vec<u8>,
    in_list: bool,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if self.out.len() > REQUEST_BYTES_MAX {
            return Err(D::Error::custom("the request is longer than 64 MiB in protobuf: send smaller ones"));
        }
        json.deserialize_any(self)
    }
}

impl FieldSeed<'_> {
    fn refused<E: Error>(&self, what: &str) -> E {
        E::custom(format_args!("`{}` is {what}, expected {}", self.field.name, Expected(self)))
    }

    /// Appends a numeric field whose bits on the wire are these.
    fn put(self, bits: u64) {
        let kind = self.field.kind;
        let packed = self.field.rule == Rule::Repeated;
        if self.field.rule == Rule::Single && bits == 0 {
            return;
        }
        if !packed {
            put_tag(self.out, self.field.number, kind.wire());
        }
        match kind {
            Kind::Fixed32 => self.out.extend_from_slice(&(bits as u32).to_le_bytes()),
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => self.out.extend_from_slice(&bits.to_le_bytes()),
            _ => put_varint(self.out, bits),
        }
    }

    fn put_text<E: Error>(self, content: &[u8]) -> Result<(), E> {
        if self.field.rule != Rule::Single || !content.is_empty() {
            put_bytes(self.out, self.field.number, content);
        }
        Ok(())
    }

    fn put_integer<E: Error>(self, number: i128) -> Result<(), E> {
        let bits = match self.field.kind {
            Kind::Enum | Kind::Int32 => i32::try_from(number).ok().map(|number| i64::from(number).cast_unsigned()),
            Kind::Sint32 => i32::try_from(number).ok().map(zigzag),
            Kind::Uint32 | Kind::Fixed32 => u32::try_from(number).ok().map(u64::from),
            Kind::Int64 | Kind::Sfixed64 => i64::try_from(number).ok().map(i64::cast_unsigned),
            Kind::Uint64 | Kind::Fixed64 => u64::try_from(number).ok(),
            Kind::Double => Some((number as f64).to_bits()),
            _ => return Err(self.refused("a number")),
        };
        match bits {
            Some(bits) => {
                self.put(bits);
                Ok(())
            }
            None => Err(self.refused("a number out of range")),
        }
    }

    fn put_double<E: Error>(self, number: f64) -> Result<(), E> {
        if matches!(self.field.kind, Kind::Double) {
            self.put(number.to_bits());
            return Ok(());
        }
        // ProtoJSON takes 1.0 and 1e3 for whole numbers. The bound keeps the conversion exact in range: 2^64 < 1e30 < 2^127.
        if number.fract() == 0.0 && number.abs() < 1e30 {
            return self.put_integer(number as i128);
        }
        Err(self.refused("a fraction"))
    }
}

/// Says what a field takes.
struct Expected<'f, 'o>(&'f FieldSeed<'o>);

impl fmt::Display for Expected<'_, '_> {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.0;
        if seed.field.rule == Rule::Repeated && !seed.in_list {
            return text.write_str("an array");
        }
        text.write_str(match seed.field.kind {
            Kind::String => "a string",
            Kind::Bytes => "base64",
            Kind::Id => "hexadecimal digits",
            Kind::Bool => "true or false",
            Kind::Enum => "the number of an enum value, not its name",
            Kind::Int32 | Kind::Sint32 => "a signed 32-bit number",
            Kind::Uint32 | Kind::Fixed32 => "an unsigned 32-bit number",
            Kind::Int64 | Kind::Sfixed64 => "a signed 64-bit number",
            Kind::Uint64 | Kind::Fixed64 => "an unsigned 64-bit number",
            Kind::Double => "a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
            Kind::Message(_) => "an object",
        })
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(text, "{}", Expected(self))
    }

    /// `null` is the same as no field, and no element of a list (ProtoJSON's conformance tests,
    /// `RepeatedFieldMessageElementIsNull`).
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.in_list { Err(self.refused("null in a list")) } else { Ok(()) }
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<(), E> {
        if !matches!(self.field.kind, Kind::Bool) || self.wants_list() {
            return Err(self.refused("a boolean"));
        }
        self.put(u64::from(yes));
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        if self.wants_list() { Err(self.refused("a number")) } else { self.put_integer(i128::from(number)) }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        if self.wants_list() { Err(self.refused("a number")) } else { self.put_integer(i128::from(number)) }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        if self.wants_list() { Err(self.refused("a number")) } else { self.put_double(number) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.wants_list() {
            return Err(self.refused("a string"));
        }
        match self.field.kind {
            Kind::String => self.put_text(text.as_bytes()),
            Kind::Bytes => match decode_base64(text) {
                Some(bytes) => self.put_text(&bytes),
                None => Err(self.refused("no base64")),
            },
            Kind::Id => match decode_hex(text) {
                Some(bytes) => self.put_text(&bytes),
                None => Err(self.refused("not hexadecimal")),
            },
            Kind::Bool | Kind::Enum | Kind::Message(_) => Err(self.refused("a string")),
            Kind::Double => match decode_double(text) {
                Some(number) => self.put_double(number),
                None => Err(self.refused("no number")),
            },
            _ => match text.parse::<i128>() {
                Ok(number) => self.put_integer(number),
                Err(_) => Err(self.refused("no whole number")),
            },
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match self.field.kind {
            Kind::Message(schema) if !self.wants_list() => {
                let depth = self.depth + usize::from(is_any_value(schema));
                if depth > DEPTH_MAX {
                    // One value too deep costs this value, not the batch that it came in.
                    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                    return put_message(self.out, self.field.number, |out| {
                        put_bytes(out, STRING_VALUE, TOO_DEEP);
                        Ok(())
                    });
                }
                put_message(self.out, self.field.number, |out| MessageSeed { schema, out, depth }.visit_map(map))
            }
            _ => Err(self.refused("an object")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.wants_list() {
            return Err(self.refused("an array"));
        }
        let field = self.field;
        if matches!(field.kind, Kind::Message(_) | Kind::String | Kind::Bytes | Kind::Id) {
            while list
                .next_element_seed(FieldSeed { field, out: self.out, in_list: true, depth: self.depth })?
                .is_some()
            {}
            return Ok(());
        }
        let mut packed = Vec::new();
        while list.next_element_seed(FieldSeed { field, out: &mut packed, in_list: true, depth: self.depth })?.is_some()
        {
        }
        if !packed.is_empty() {
            put_bytes(self.out, field.number, &packed);
        }
        Ok(())
    }
}

impl FieldSeed<'_> {
    fn wants_list(&self) -> bool {
        self.field.rule == Rule::Repeated && !self.in_list
    }
}

fn zigzag(number: i32) -> u64 {
    u64::from(((number << 1) ^ (number >> 31)).cast_unsigned())
}

/// ProtoJSON reads both alphabets, with padding or without.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
    const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);
    PLAIN.decode(text).or_else(|_| URL.decode(text)).ok()
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

fn decode_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust also reads `inf` and `nan`, ProtoJSON does not.
        _ if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) => {
            text.parse().ok()
        }
        _ => None,
    }
}
