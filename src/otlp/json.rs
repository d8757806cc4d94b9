//! OTLP JSON, both ways (OTLP 1.11.0, "JSON Protobuf Encoding").
//!
//! Trace and span ids are hexadecimal in any case, enums are numbers only, 64-bit numbers are written as strings and
//! read as either, bytes are base64, keys are lowerCamelCase only, unknown keys are ignored, `null` is no field
//! and no element of a list.
//!
//! A value that is nested deeper than 28 values is replaced by a text that says so, both ways; the rest of its request
//! stays.
//!
//! Text is UTF-8 in JSON: bytes that are none become U+FFFD. Fields that OTLP does not know have no name and get lost,
//! which is why nothing but the `file` exporter and a backend that asks for JSON goes this way.

mod read;
pub(in crate::otlp) mod schema;
mod write;

use super::{Malformed, Signal, check};
use read::MessageSeed;
use serde::de::{DeserializeSeed, IgnoredAny};

/// JSON that is no OTLP request.
#[derive(Debug, thiserror::Error)]
#[error("this JSON is no OTLP request of {signal}: {source}", signal = .signal.id())]
pub struct JsonError {
    /// What it should be.
    pub signal: Signal,
    /// Where, by line and column, and why.
    #[source]
    pub source: serde_json::Error,
}

/// A request out of its JSON text, pretty-printed or not.
///
/// # Errors
/// [`JsonError`] when the text is no JSON object, or a known field has a value that it cannot have.
pub fn to_protobuf(signal: Signal, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::new();
    let mut text = serde_json::Deserializer::from_slice(json);
    MessageSeed { schema: schema::request(signal), out: &mut out, depth: 0 }
        .deserialize(&mut text)
        .and_then(|()| text.end())
        .map_err(|source| JsonError { signal, source })?;
    Ok(out)
}

/// The requests of a file: one object a line, or objects over several lines, with white space between them.
///
/// After an object that is none, reading goes on with the next line.
pub fn requests(signal: Signal, json: &[u8]) -> impl Iterator<Item = Result<Vec<u8>, JsonError>> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let mut objects = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        let found = objects.next()?;
        let end = match &found {
            Ok(_) => objects.byte_offset(),
            Err(_) => next_line(rest),
        };
        let (object, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after;
        Some(found.map_err(|source| JsonError { signal, source }).and_then(|_| to_protobuf(signal, object)))
    })
}

/// Where the line after the first one that is not blank starts.
fn next_line(text: &[u8]) -> usize {
    let blank = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let line = text.iter().skip(blank).position(|byte| *byte == b'\n');
    line.map_or(text.len(), |length| blank + length + 1)
}

/// The JSON text of a request, in one line without its end.
///
/// # Errors
/// [`Malformed`] when [`check`] refuses the request. What is malformed further inside, in an attribute, is left out.
pub fn from_protobuf(signal: Signal, request: &[u8]) -> Result<String, Malformed> {
    check(signal, request)?;
    // JSON is about twice as long as protobuf.
    let mut out = String::with_capacity(request.len().saturating_mul(2));
    write::write_message(&mut out, schema::request(signal), request, 0);
    Ok(out)
}
