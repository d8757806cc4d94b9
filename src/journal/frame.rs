//! One request in a segment: a head of fixed size, then the body. The picture is in [`super`].

use super::JournalError;
use crate::otlp::Signal;
use crate::read::evidence::Nanos;
use bytes::Bytes;

/// Bytes of a head.
pub(super) const HEAD: usize = 56;
/// Bytes at the begin of a segment.
pub(super) const HEADER: usize = 32;
/// Says that a file is a segment.
const MAGIC: &[u8; 8] = b"why502\nj";
/// Raised with every change of what stands in a segment or in the cursors.
pub const VERSION: u32 = 1;

/// A request as it is appended.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// Name of the receiver that took it.
    pub receiver: &'a str,
    /// Its signal.
    pub signal: Signal,
    /// Items in it.
    pub items: u64,
    /// When it came.
    pub arrived: Nanos,
    /// Protobuf.
    pub request: &'a Bytes,
}

/// A request as it is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub position: u64,
    /// Name of the receiver that took it.
    pub receiver: String,
    /// Its signal.
    pub signal: Signal,
    /// Items in it.
    pub items: u64,
    /// When it came.
    pub arrived: Nanos,
    /// Protobuf.
    pub request: Bytes,
}

/// The head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) body_crc: u32,
    pub(super) body_len: u32,
    pub(super) receiver_len: u16,
    pub(super) signal: u8,
    pub(super) position: u64,
    /// Position of the request before it; 0 is none.
    pub(super) before: u64,
    /// All up to this one were on the disk when this one was written.
    pub(super) synced: u64,
    pub(super) arrived: Nanos,
    pub(super) items: u64,
}

impl Head {
    pub(super) fn encode(&self, salt: u32) -> [u8; HEAD] {
        let mut rest = Vec::with_capacity(HEAD);
        rest.extend_from_slice(&self.body_crc.to_le_bytes());
        rest.extend_from_slice(&self.body_len.to_le_bytes());
        rest.extend_from_slice(&self.receiver_len.to_le_bytes());
        rest.extend_from_slice(&[self.signal, 0]);
        for number in [self.position, self.before, self.synced] {
            rest.extend_from_slice(&number.to_le_bytes());
        }
        rest.extend_from_slice(&self.arrived.to_le_bytes());
        rest.extend_from_slice(&self.items.to_le_bytes());
        let mut head = [0; HEAD];
        let crc = crc32c::crc32c_append(salt, &rest).to_le_bytes();
        for (to, from) in head.iter_mut().zip(crc.iter().chain(&rest)) {
            *to = *from;
        }
        head
    }

    /// `None` for what is no head of a segment with this salt.
    pub(super) fn decode(bytes: &[u8; HEAD], salt: u32) -> Option<Head> {
        let mut fields = Fields(bytes);
        let crc = fields.u32()?;
        if crc != crc32c::crc32c_append(salt, fields.0) {
            return None;
        }
        Some(Head {
            body_crc: fields.u32()?,
            body_len: fields.u32()?,
            receiver_len: fields.take().map(u16::from_le_bytes)?,
            signal: fields.take::<2>().map(|[signal, _]| signal)?,
            position: fields.u64()?,
            before: fields.u64()?,
            synced: fields.u64()?,
            arrived: fields.take().map(Nanos::from_le_bytes)?,
            items: fields.u64()?,
        })
    }

    /// Bytes of head and body.
    pub(super) fn whole_len(&self) -> u64 {
        HEAD as u64 + u64::from(self.body_len)
    }
}

/// Takes numbers off.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// The sum of a body, which is made before the position is known.
pub(super) fn body_crc(append: &Append<'_>) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(append.receiver.as_bytes()), append.request)
}

pub(super) fn signal_byte(signal: Signal) -> u8 {
    match signal {
        Signal::Logs => 0,
        Signal::Traces => 1,
        Signal::Metrics => 2,
    }
}

/// What a body holds; `None` where it is not what the head says.
pub(super) fn entry(head: &Head, body: Bytes) -> Option<Entry> {
    if crc32c::crc32c(&body) != head.body_crc {
        return None;
    }
    let signal = *Signal::ALL.iter().find(|signal| signal_byte(**signal) == head.signal)?;
    let split = usize::from(head.receiver_len);
    let receiver = std::str::from_utf8(body.get(..split)?).ok()?.to_owned();
    let (position, items, arrived) = (head.position, head.items, head.arrived);
    Some(Entry { position, receiver, signal, items, arrived, request: body.slice(split..) })
}

/// The begin of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Position of its first request.
    pub(super) first: u64,
    /// What all sums in it begin with: nobody outside knows it, so that no request looks like the head of another one.
    pub(super) salt: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        let mut header = [0; HEADER];
        for (to, from) in header.iter_mut().zip(bytes) {
            *to = from;
        }
        header
    }

    /// `Ok(None)` for what is no header.
    pub(super) fn decode(bytes: &[u8], name: &str) -> Result<Option<Header>, JournalError> {
        let mut fields = Fields(bytes);
        if fields.take::<8>().as_ref() != Some(MAGIC) {
            return Ok(None);
        }
        let Some(version) = fields.u32() else { return Ok(None) };
        // Before the sum: another version may have its sum elsewhere.
        if version != VERSION {
            return Err(JournalError::Version { name: name.to_owned(), found: version });
        }
        let (Some(salt), Some(first), Some([0, 0, 0, 0])) = (fields.u32(), fields.u64(), fields.take()) else {
            return Ok(None);
        };
        let sum = bytes.get(..HEADER - 4).map(crc32c::crc32c);
        Ok((fields.u32() == sum && sum.is_some()).then_some(Header { first, salt }))
    }
}
