//! The body of a request: read, and decompressed within its limit while it decompresses.

use super::Refusal;
use super::admission::Admitted;
use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use std::io::Read;
use std::pin::pin;
use std::time::Duration;

/// A body must be whole within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A body that takes longer than this gives its room up as soon as another sender lacks it: bodies that stand still must
/// not keep others out. 64 MiB in this time are 13 MB/s.
const PATIENCE: Duration = Duration::from_secs(5);
/// zstd frames may ask for a window of 8 MiB at most, which RFC 8878 asks every decoder to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// What is kept free for a body as long as it says that it will be; a longer one makes room as it comes, so that nobody takes
/// memory with a number.
const ANNOUNCED_MAX: usize = 1 << 20;
/// Steps in which decompressed bytes grow.
const STEP_BYTES: usize = 64 << 10;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 1950, which HTTP calls `deflate`; some send RFC 1951 alone under that name.
    Deflate,
    /// Google's snappy, as one block or framed.
    Snappy,
    /// Frames of LZ4.
    Lz4,
}

impl Encoding {
    /// Reads the value of `content-encoding` or `grpc-encoding`.
    ///
    /// # Errors
    /// [`Refusal::Encoding`] for one that is not read here.
    pub fn of(value: Option<&http::HeaderValue>) -> Result<Encoding, Refusal> {
        // Names of content codings are the same in any case (RFC 9110, 8.4.1).
        let name = value.map(|value| value.as_bytes().trim_ascii().to_ascii_lowercase()).unwrap_or_default();
        match name.as_slice() {
            b"" | b"identity" => Ok(Encoding::Identity),
            b"gzip" => Ok(Encoding::Gzip),
            b"zstd" => Ok(Encoding::Zstd),
            b"deflate" | b"zlib" => Ok(Encoding::Deflate),
            b"snappy" | b"x-snappy-framed" => Ok(Encoding::Snappy),
            b"lz4" => Ok(Encoding::Lz4),
            other => Err(Refusal::Encoding(String::from_utf8_lossy(other).chars().take(40).collect())),
        }
    }
}

/// Reads a body of at most `limit` bytes. `announced` is how long it will be, as far as its first bytes say.
///
/// # Errors
/// [`Refusal::TooLarge`], [`Refusal::Broken`] when it does not come whole in time or others need its room,
/// [`Refusal::Overloaded`] when all bodies together are too much.
pub async fn read<B>(
    body: B,
    limit: usize,
    admitted: &mut Admitted,
    announced: fn(&[u8]) -> Option<usize>,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let shortages = admitted.shortages();
    let mut whole = pin!(collect(body, limit, admitted, announced));
    if let Ok(result) = tokio::time::timeout(PATIENCE, &mut whole).await {
        return result;
    }
    tokio::select! {
        biased;
        result = whole => result,
        () = shortages.notified() => {
            Err(Refusal::Broken(format!("it took more than {} s and others need its room", PATIENCE.as_secs())))
        }
        () = tokio::time::sleep(BODY_TIMEOUT.saturating_sub(PATIENCE)) => {
            Err(Refusal::Broken(format!("it took more than {} s", BODY_TIMEOUT.as_secs())))
        }
    }
}

async fn collect<B>(
    mut body: B,
    limit: usize,
    admitted: &mut Admitted,
    announced: fn(&[u8]) -> Option<usize>,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let by_header = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let so_far = first.as_ref().map_or(0, Bytes::len).max(rest.len());
        if so_far.saturating_add(data.len()) > limit {
            return Err(Refusal::TooLarge(limit));
        }
        admitted.grow(data.len())?;
        match (&first, rest.is_empty()) {
            (None, true) => first = Some(data),
            (Some(head), true) => {
                let length = announced(head).unwrap_or(by_header).min(limit).min(ANNOUNCED_MAX);
                rest.reserve(length.max(head.len() + data.len()));
                rest.extend_from_slice(head);
                rest.extend_from_slice(&data);
            }
            (_, false) => rest.extend_from_slice(&data),
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}

/// Decompresses, and stops at the limit.
///
/// # Errors
/// [`Refusal::TooLarge`] past the limit, [`Refusal::Malformed`] for damaged data, [`Refusal::Overloaded`] when all
/// requests together are too much.
pub fn decompress(encoding: Encoding, bytes: Bytes, limit: usize, admitted: &mut Admitted) -> Result<Bytes, Refusal> {
    let damaged = |error: std::io::Error| Refusal::Malformed(format!("the compression is damaged: {error}"));
    match encoding {
        Encoding::Identity => Ok(bytes),
        Encoding::Gzip => bounded(flate2::read::MultiGzDecoder::new(&*bytes), limit, admitted, damaged),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&*bytes).map_err(damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(damaged)?;
            bounded(decoder, limit, admitted, damaged)
        }
        Encoding::Deflate if is_zlib(&bytes) => {
            bounded(flate2::read::ZlibDecoder::new(&*bytes), limit, admitted, damaged)
        }
        Encoding::Deflate => bounded(flate2::read::DeflateDecoder::new(&*bytes), limit, admitted, damaged),
        Encoding::Snappy if bytes.starts_with(SNAPPY_FRAMES) => {
            bounded(snap::read::FrameDecoder::new(&*bytes), limit, admitted, damaged)
        }
        Encoding::Snappy => snappy_block(&bytes, limit, admitted),
        Encoding::Lz4 => bounded(lz4_flex::frame::FrameDecoder::new(&*bytes), limit, admitted, damaged),
    }
}

/// How framed snappy begins: the chunk that names it.
const SNAPPY_FRAMES: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// The head of RFC 1950: method 8, and a check sum over both bytes.
fn is_zlib(bytes: &[u8]) -> bool {
    let Some([method, flags]) = bytes.first_chunk::<2>() else { return false };
    method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
}

/// One block, which says at its start how long it will be: nothing is made that would be too long.
fn snappy_block(bytes: &[u8], limit: usize, admitted: &mut Admitted) -> Result<Bytes, Refusal> {
    let damaged = |error: snap::Error| Refusal::Malformed(format!("the compression is damaged: {error}"));
    let length = snap::raw::decompress_len(bytes).map_err(damaged)?;
    if length > limit {
        return Err(Refusal::TooLarge(limit));
    }
    admitted.grow(length)?;
    snap::raw::Decoder::new().decompress_vec(bytes).map(Bytes::from).map_err(damaged)
}

fn bounded(
    mut reader: impl Read,
    limit: usize,
    admitted: &mut Admitted,
    damaged: impl Fn(std::io::Error) -> Refusal,
) -> Result<Bytes, Refusal> {
    let mut out = Vec::with_capacity(STEP_BYTES.min(limit));
    let mut step = vec![0_u8; STEP_BYTES];
    loop {
        let count = match reader.read(&mut step) {
            Ok(0) => return Ok(Bytes::from(out)),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        if out.len().saturating_add(count) > limit {
            return Err(Refusal::TooLarge(limit));
        }
        admitted.grow(count)?;
        out.extend_from_slice(step.get(..count).unwrap_or_default());
    }
}
