//! Compression of what goes out. The fastest level of each: logs shrink tenfold with it, and more costs more than it saves.

use crate::config::settings::Compression;
use bytes::Bytes;
use http::HeaderValue;
use std::io::{self, Write};

/// Over which protocol: `snappy` is framed in gRPC and one block in HTTP, as the collector reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `grpc-encoding`.
    Grpc,
    /// `content-encoding`.
    Http,
}

/// Its name in a header.
pub(super) fn encoding_name(compression: Compression) -> Option<HeaderValue> {
    let name = match compression {
        Compression::None => return None,
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
        Compression::Snappy => "snappy",
        Compression::Zlib => "zlib",
        Compression::Deflate => "deflate",
        Compression::Lz4 => "lz4",
    };
    Some(HeaderValue::from_static(name))
}

/// Compressed bytes.
pub(super) fn compress(compression: Compression, protocol: Protocol, bytes: &Bytes) -> Bytes {
    let room = Vec::with_capacity(bytes.len() / 4 + 64);
    let level = flate2::Compression::fast();
    let compressed: io::Result<Vec<u8>> = match compression {
        Compression::None => return bytes.clone(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(room, level);
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        Compression::Zstd => zstd::bulk::compress(bytes, 1),
        // HTTP's `deflate` is RFC 1950 as well (RFC 9110, 8.4.1.2).
        Compression::Zlib | Compression::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(room, level);
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        Compression::Snappy if protocol == Protocol::Http => {
            snap::raw::Encoder::new().compress_vec(bytes).map_err(io::Error::other)
        }
        Compression::Snappy => {
            let mut encoder = snap::write::FrameEncoder::new(room);
            encoder
                .write_all(bytes)
                .and_then(|()| encoder.into_inner().map_err(|error| io::Error::other(error.to_string())))
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(room);
            encoder.write_all(bytes).and_then(|()| encoder.finish().map_err(io::Error::other))
        }
    };
    // Writing into memory cannot fail, and a block of at most 64 MiB is one that snappy can hold.
    compressed.map_or_else(|_| bytes.clone(), Bytes::from)
}
