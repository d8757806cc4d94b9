//! Attributes and values: views over received ones, and the few kinds that why502 writes.

use super::wire::{Fields, Wire, put_bytes, put_fixed64, put_message, put_number};
use std::borrow::Cow;
use std::convert::Infallible;

/// Values inside values that a view follows; deeper ones read as [`AnyValue::Empty`].
///
/// Log bodies seen in the field nest 3 or 4 deep, and prost refuses messages nested 100 deep, which is 33 values.
pub const DEPTH_MAX: u8 = 32;

/// A received value. Strings are what the sender wrote, perhaps no UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyValue<'a> {
    /// No field set, or one that OTLP does not know.
    Empty,
    /// `string_value`.
    String(&'a [u8]),
    /// `bool_value`.
    Bool(bool),
    /// `int_value`.
    Int(i64),
    /// `double_value`.
    Double(f64),
    /// `array_value`.
    Array(Values<'a>),
    /// `kvlist_value`.
    Map(Attributes<'a>),
    /// `bytes_value`.
    Bytes(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    /// Reads the bytes of an `AnyValue` message.
    pub fn read(bytes: &'a [u8]) -> AnyValue<'a> {
        AnyValue::read_at(bytes, 0)
    }

    fn read_at(bytes: &'a [u8], depth: u8) -> AnyValue<'a> {
        let mut value = AnyValue::Empty;
        if depth >= DEPTH_MAX {
            return value;
        }
        for field in Fields::new(bytes) {
            value = match (field.number, field.wire) {
                (1, Wire::Bytes(text)) => AnyValue::String(text),
                (2, Wire::Varint(number)) => AnyValue::Bool(number != 0),
                (3, Wire::Varint(number)) => AnyValue::Int(number.cast_signed()),
                (4, Wire::Fixed64(bits)) => AnyValue::Double(f64::from_bits(bits)),
                (5, Wire::Bytes(list)) => AnyValue::Array(Values { fields: Fields::new(list), depth: depth + 1 }),
                (6, Wire::Bytes(map)) => AnyValue::Map(Attributes::new(map, 1, depth + 1)),
                (7, Wire::Bytes(bytes)) => AnyValue::Bytes(bytes),
                _ => value,
            };
        }
        value
    }

    /// The text of a string.
    pub fn as_string(&self) -> Option<&'a [u8]> {
        match self {
            AnyValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number: an int, or a string of decimal digits, as collectors that parsed a line with a regex leave it.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            AnyValue::Int(number) => Some(*number),
            AnyValue::String(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }
}

/// The elements of an array in order.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    fields: Fields<'a>,
    depth: u8,
}

impl<'a> Iterator for Values<'a> {
    type Item = AnyValue<'a>;

    fn next(&mut self) -> Option<AnyValue<'a>> {
        let depth = self.depth;
        self.fields.find(|field| field.number == 1).map(|field| AnyValue::read_at(field.wire.bytes(), depth))
    }
}

impl PartialEq for Values<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.clone().eq(other.clone())
    }
}

/// Key and value pairs in order, duplicates included.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    fields: Fields<'a>,
    number: u32,
    depth: u8,
}

impl<'a> Attributes<'a> {
    /// The `KeyValue`s in field `number` of a message.
    pub(super) fn new(message: &'a [u8], number: u32, depth: u8) -> Attributes<'a> {
        Attributes { fields: Fields::new(message), number, depth }
    }

    /// The value of the first pair with this key.
    pub fn get(&self, key: &str) -> Option<AnyValue<'a>> {
        self.clone().find(|pair| pair.key == key.as_bytes()).map(|pair| pair.value())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = KeyValue<'a>;

    #[inline]
    fn next(&mut self) -> Option<KeyValue<'a>> {
        let field = self.fields.find(|field| field.number == self.number)?;
        Some(KeyValue::read(field.wire.bytes(), self.depth))
    }
}

impl PartialEq for Attributes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.clone().eq(other.clone())
    }
}

/// One attribute as it was received.
#[derive(Clone, Copy, Debug)]
pub struct KeyValue<'a> {
    /// The name.
    pub key: &'a [u8],
    value: &'a [u8],
    depth: u8,
}

impl<'a> KeyValue<'a> {
    #[inline]
    pub(super) fn read(bytes: &'a [u8], depth: u8) -> KeyValue<'a> {
        if let Some((key, value)) = KeyValue::usual(bytes) {
            return KeyValue { key, value, depth };
        }
        let mut pair = KeyValue { key: &[], value: &[], depth };
        for field in Fields::new(bytes) {
            match field.number {
                1 => pair.key = field.wire.bytes(),
                2 => pair.value = field.wire.bytes(),
                _ => {}
            }
        }
        pair
    }

    /// Key and value of a pair as nearly all are written: the key, the value, both shorter than 128 bytes, nothing else.
    #[inline]
    fn usual(bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let [0x0a, length @ 0..0x80, rest @ ..] = bytes else { return None };
        let (key, rest) = rest.split_at_checked(usize::from(*length))?;
        let [0x12, length @ 0..0x80, value @ ..] = rest else { return None };
        (value.len() == usize::from(*length)).then_some((key, value))
    }

    /// The value; read when asked for.
    pub fn value(&self) -> AnyValue<'a> {
        AnyValue::read_at(self.value, self.depth)
    }
}

impl PartialEq for KeyValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value() == other.value()
    }
}

/// A value to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `string_value`.
    String(String),
    /// `bool_value`.
    Bool(bool),
    /// `int_value`.
    Int(i64),
    /// `double_value`.
    Double(f64),
    /// `array_value` of strings.
    Strings(Vec<String>),
}

impl Value {
    /// Appends the content of an `AnyValue` message.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::String(text) => put_bytes(out, 1, text.as_bytes()),
            Value::Bool(yes) => put_number(out, 2, u64::from(*yes)),
            Value::Int(number) => put_number(out, 3, number.cast_unsigned()),
            Value::Double(number) => put_fixed64(out, 4, number.to_bits()),
            Value::Strings(texts) => message(out, 5, |out| {
                for text in texts {
                    message(out, 1, |out| put_bytes(out, 1, text.as_bytes()));
                }
            }),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Value {
        Value::Bool(yes)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Double(number)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Value {
        Value::Strings(texts)
    }
}

/// An attribute to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The name.
    pub key: Cow<'static, str>,
    /// The value.
    pub value: Value,
}

impl Attribute {
    /// An attribute out of its two halves: `Attribute::new("process.pid", 42)`.
    pub fn new(key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Attribute {
        Attribute { key: key.into(), value: value.into() }
    }

    /// Appends a `KeyValue` as field `number`.
    pub(super) fn encode(&self, out: &mut Vec<u8>, number: u32) {
        message(out, number, |out| {
            put_bytes(out, 1, self.key.as_bytes());
            message(out, 2, |out| self.value.encode(out));
        });
    }
}

/// Appends a message field whose content cannot fail to be written.
pub(super) fn message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let _: Result<(), Infallible> = put_message(out, number, |out| {
        write(out);
        Ok(())
    });
}
