//! The protobuf wire format: tags, varints, lengths (protobuf.dev, "Encoding").
//!
//! Groups (wire types 3 and 4) count as malformed: proto3 cannot declare them and no OTLP version has used them.

/// Bytes that are no protobuf message, or not the one they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The message ends inside a field.
    #[error("the protobuf message ends inside the field at byte {offset}: send it whole")]
    Truncated {
        /// Where the field starts.
        offset: usize,
    },
    /// A varint has more than 64 bits.
    #[error("the field at byte {offset} has a varint of more than 64 bits: this is no protobuf message")]
    Varint {
        /// Where the field starts.
        offset: usize,
    },
    /// A tag has field number 0 or a wire type that OTLP does not use.
    #[error("the field at byte {offset} has an invalid tag: this is no OTLP protobuf message")]
    Tag {
        /// Where the field starts.
        offset: usize,
    },
    /// A field of OTLP has another type than OTLP says.
    #[error("field {number} at byte {offset} has the wrong wire type: is this another signal's request?")]
    WireType {
        /// Where the field starts.
        offset: usize,
        /// Its number.
        number: u32,
    },
}

/// Wire type of a varint.
pub(super) const VARINT: u8 = 0;
/// Wire type of 8 bytes.
pub(super) const FIXED64: u8 = 1;
/// Wire type of bytes, strings, messages and packed numbers.
pub(super) const BYTES: u8 = 2;
/// Wire type of 4 bytes.
pub(super) const FIXED32: u8 = 5;

/// The content of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Wire<'a> {
    /// The wire type.
    pub(super) fn kind(self) -> u8 {
        match self {
            Wire::Varint(_) => VARINT,
            Wire::Fixed64(_) => FIXED64,
            Wire::Bytes(_) => BYTES,
            Wire::Fixed32(_) => FIXED32,
        }
    }

    /// The bytes of a length-delimited field, empty for any other.
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Wire::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// The number of a numeric field, 0 for bytes.
    pub(super) fn number(self) -> u64 {
        match self {
            Wire::Varint(number) | Wire::Fixed64(number) => number,
            Wire::Fixed32(number) => u64::from(number),
            Wire::Bytes(_) => 0,
        }
    }
}

/// One field with its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// Field number, 1 or more.
    pub(super) number: u32,
    /// Content.
    pub(super) wire: Wire<'a>,
    /// Where its tag starts in the bytes that [`Fields`] was made over.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
}

impl Field<'_> {
    /// Where the content of a length-delimited field starts.
    #[inline]
    pub(super) fn content_start(&self) -> usize {
        self.end - self.wire.bytes().len()
    }
}

/// The fields of one message in order. As an iterator it ends at the first malformed byte.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a message that is all of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { bytes, position: 0 }
    }

    /// The fields of the message inside a field of `self`; offsets keep counting from the outermost message.
    #[inline]
    pub(super) fn inside(&self, field: &Field<'a>) -> Fields<'a> {
        Fields { bytes: self.bytes.get(..field.end).unwrap_or_default(), position: field.content_start() }
    }

    /// The fields of the message at `range` of `bytes`.
    pub(super) fn at(bytes: &'a [u8], range: &std::ops::Range<usize>) -> Fields<'a> {
        Fields { bytes: bytes.get(..range.end).unwrap_or_default(), position: range.start }
    }

    /// The next field.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes are no field; do not call it again after that.
    #[inline]
    pub(super) fn try_next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        self.step()
    }

    /// [`Fields::try_next`] for the loops over all fields of each item: a call of its own for each field took longer than
    /// what it does.
    #[inline(always)]
    pub(super) fn step(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        let start = self.position;
        if start >= self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint(start)?;
        let number = match u32::try_from(tag) {
            Ok(tag) if tag >> 3 > 0 => tag >> 3,
            _ => return Err(Malformed::Tag { offset: start }),
        };
        let wire = match (tag & 7) as u8 {
            VARINT => Wire::Varint(self.varint(start)?),
            FIXED64 => Wire::Fixed64(u64::from_le_bytes(self.array(start)?)),
            BYTES => {
                let length = self.varint(start)?;
                let content = usize::try_from(length).ok().and_then(|length| self.take(length));
                Wire::Bytes(content.ok_or(Malformed::Truncated { offset: start })?)
            }
            FIXED32 => Wire::Fixed32(u32::from_le_bytes(self.array(start)?)),
            _ => return Err(Malformed::Tag { offset: start }),
        };
        Ok(Some(Field { number, wire, start, end: self.position }))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.position.checked_add(length)?;
        let content = self.bytes.get(self.position..end)?;
        self.position = end;
        Some(content)
    }

    #[inline]
    fn array<const N: usize>(&mut self, start: usize) -> Result<[u8; N], Malformed> {
        let content = self.take(N).and_then(|content| <[u8; N]>::try_from(content).ok());
        content.ok_or(Malformed::Truncated { offset: start })
    }

    #[inline]
    fn varint(&mut self, start: usize) -> Result<u64, Malformed> {
        // Nearly all tags have one byte and nearly all lengths one or two.
        match self.bytes.get(self.position..) {
            Some([byte, ..]) if *byte < 0x80 => {
                self.position += 1;
                Ok(u64::from(*byte))
            }
            Some([low, high, ..]) if *high < 0x80 => {
                self.position += 2;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(start),
        }
    }

    fn long_varint(&mut self, start: usize) -> Result<u64, Malformed> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        match decode_varint(rest) {
            Some((number, length)) => {
                self.position += length;
                Ok(number)
            }
            None if rest.len() < VARINT_BYTES_MAX => Err(Malformed::Truncated { offset: start }),
            None => Err(Malformed::Varint { offset: start }),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        match self.try_next() {
            Ok(field) => field,
            Err(_) => {
                self.position = self.bytes.len();
                None
            }
        }
    }
}

/// Longest varint: 64 bits in groups of 7.
const VARINT_BYTES_MAX: usize = 10;

/// The number at the start of `bytes` and how many bytes it takes; `None` when it is cut off or too long.
pub(super) fn decode_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        if index + 1 == VARINT_BYTES_MAX && *byte > 1 {
            return None;
        }
        number |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Some((number, index + 1));
        }
    }
    None
}

/// How many bytes a number takes as a varint.
pub(super) fn varint_len(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// How many bytes a length-delimited field takes whose number is below 16.
pub(super) fn field_len(content_len: usize) -> usize {
    1 + varint_len(content_len as u64) + content_len
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a tag.
pub(super) fn put_tag(out: &mut Vec<u8>, number: u32, kind: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(kind));
}

/// Appends a length-delimited field.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    put_tag(out, number, BYTES);
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Appends a fixed64 field.
pub(super) fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a varint field.
pub(super) fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, VARINT);
    put_varint(out, value);
}

/// Appends a message field whose content `write` appends, and which most often has fewer than 128 bytes.
pub(super) fn put_message<E>(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    put_tag(out, number, BYTES);
    let start = out.len();
    // Room for the length of a content under 128 bytes; a longer one is moved up once.
    out.push(0);
    write(out)?;
    let length = (out.len() - start - 1) as u64;
    // The last byte of the length takes the room that was left, those before it are put in front.
    let (mut bytes, mut rest, mut count) = ([0; VARINT_BYTES_MAX], length, 0);
    for byte in &mut bytes {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
        count += 1;
        if rest == 0 {
            *byte &= 0x7f;
            break;
        }
    }
    if let Some((last, before)) = bytes.get(..count).and_then(<[u8]>::split_last) {
        if let Some(room) = out.get_mut(start) {
            *room = *last;
        }
        insert(out, start, before);
    }
    Ok(())
}

/// The same for a content that most often has more: one of 128 bytes to 16 KiB stays where it is written.
pub(super) fn put_long_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_tag(out, number, BYTES);
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    write(out);
    let length = out.len() - start - 2;
    if let (0x80..0x4000, Some([low, high])) = (length, out.get_mut(start..start + 2)) {
        (*low, *high) = (length as u8 | 0x80, (length >> 7) as u8);
        return;
    }
    out.copy_within(start + 2.., start);
    out.truncate(start + length);
    let mut head = Vec::with_capacity(VARINT_BYTES_MAX);
    put_varint(&mut head, length as u64);
    insert(out, start, &head);
}

/// Makes what stands from `start` on the content of a length-delimited field whose number is below 16, and before which
/// `room` bytes were left for its tag and length. Returns how many those take: where there were so many nothing is moved.
pub(super) fn close_field(out: &mut Vec<u8>, start: usize, room: usize, number: u32) -> usize {
    let length = out.len().saturating_sub(start);
    let mut head = Vec::with_capacity(1 + VARINT_BYTES_MAX);
    put_tag(&mut head, number, BYTES);
    put_varint(&mut head, length as u64);
    let from = start.saturating_sub(room);
    if let Some(more) = head.len().checked_sub(room) {
        insert(out, start, head.get(room..).unwrap_or_default());
        debug_assert_eq!(out.len(), start + more + length);
    } else {
        let less = room - head.len();
        out.copy_within(start.., start - less);
        out.truncate(out.len() - less);
    }
    if let Some(place) = out.get_mut(from..from + head.len()) {
        place.copy_from_slice(&head);
    }
    head.len()
}

/// Puts bytes before those that stand from `start` on.
fn insert(out: &mut Vec<u8>, start: usize, bytes: &[u8]) {
    if bytes.is_empty() || start > out.len() {
        return;
    }
    let end = out.len();
    out.extend_from_slice(bytes);
    out.copy_within(start..end, start + bytes.len());
    if let Some(place) = out.get_mut(start..start + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<usize, Malformed>) {
        let mut fields = Fields::new(bytes);
        let mut count = 0;
        let result = loop {
            match fields.try_next() {
                Ok(Some(_)) => count += 1,
                Ok(None) => break Ok(count),
                Err(malformed) => break Err(malformed),
            }
        };
        assert_eq!(result, expected, "{bytes:02x?}");
    }

    #[test]
    fn fields_are_read_or_refused() {
        check(&[], Ok(0));
        check(&[0x08, 0x01], Ok(1));
        check(&[0x0a, 0x02, 1, 2, 0x15, 1, 2, 3, 4, 0x19, 1, 2, 3, 4, 5, 6, 7, 8], Ok(3));
        check(&[0x8a, 0x80, 0x00, 0x81, 0x00, 9], Ok(1));
        check(&[0x0a, 0x02, 1], Err(Malformed::Truncated { offset: 0 }));
        check(&[0x08, 0x01, 0x0a, 0x80], Err(Malformed::Truncated { offset: 2 }));
        check(&[0x15, 1, 2, 3], Err(Malformed::Truncated { offset: 0 }));
        check(&[0x00, 0x01], Err(Malformed::Tag { offset: 0 }));
        check(&[0x0b, 0x0c], Err(Malformed::Tag { offset: 0 }));
        check(&[0x0e], Err(Malformed::Tag { offset: 0 }));
        check(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01], Err(Malformed::Tag { offset: 0 }));
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        check(&[&[0x08][..], &most, &[0x01]].concat(), Ok(1));
        check(&[&[0x08][..], &most, &[0x02]].concat(), Err(Malformed::Varint { offset: 0 }));
        check(&[&[0x0a][..], &most, &[0x01]].concat(), Err(Malformed::Truncated { offset: 0 }));
    }

    #[test]
    fn a_varint_comes_back() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(bytes.len(), varint_len(number), "{number}");
            assert_eq!(decode_varint(&bytes), Some((number, bytes.len())));
        }
    }

    #[test]
    fn a_message_of_any_length_gets_its_length() {
        for length in [0, 1, 127, 128, 20_000] {
            let mut out = vec![7];
            let done: Result<(), ()> = put_message(&mut out, 2, |out| {
                out.resize(out.len() + length, 5);
                Ok(())
            });
            let mut expected = vec![7];
            put_bytes(&mut expected, 2, &vec![5; length]);
            assert_eq!((done, out), (Ok(()), expected), "{length}");
        }
    }
}
