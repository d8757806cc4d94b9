//! The first bytes of a connection: they say which protocol it speaks, and must come soon.

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What an HTTP/2 client says first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads until the protocol is known; `None` when the connection ends before.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<Bytes>> {
    let mut first = BytesMut::with_capacity(PREFACE.len());
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        if stream.read_buf(&mut first).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(first.freeze()))
}

/// A connection whose first bytes were read already.
#[derive(Debug)]
pub(super) struct Opened<S> {
    first: Bytes,
    stream: S,
}

impl<S> Opened<S> {
    /// The bytes come again before the others.
    pub(super) fn new(first: Bytes, stream: S) -> Opened<S> {
        Opened { first, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(into.remaining());
            into.put_slice(self.first.get(..count).unwrap_or_default());
            self.first.advance(count);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_protocol_is_known_by_the_first_bytes_which_come_again() {
        let check = async |bytes: &'static [u8], read_first: Option<usize>| {
            let mut stream = bytes;
            let first = read(&mut stream).await.expect("memory");
            assert_eq!(first.as_ref().map(Bytes::len), read_first, "{bytes:?}");
            if let Some(first) = first {
                let mut all = Vec::new();
                Opened::new(first, stream).read_to_end(&mut all).await.expect("memory");
                assert_eq!(all, bytes);
            }
        };
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and frames", Some(24)).await;
        check(b"GET", Some(3)).await;
        check(b"POST /v1/logs HTTP/1.1\r\n", Some(24)).await;
        check(b"PRI * HT", None).await;
        check(b"", None).await;
    }
}
