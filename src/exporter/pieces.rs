//! The body of a request: bytes that lie elsewhere, behind a short head where the protocol wants one. A head in the same
//! buffer would cost a copy of the whole message.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A head and a message, each of which may be empty.
#[derive(Debug, Default)]
pub struct Pieces {
    head: Bytes,
    message: Bytes,
}

impl Pieces {
    /// A message behind a head.
    pub fn new(head: Bytes, message: Bytes) -> Pieces {
        Pieces { head, message }
    }
}

impl From<Bytes> for Pieces {
    fn from(message: Bytes) -> Pieces {
        Pieces { head: Bytes::new(), message }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let pieces = &mut *self;
        let next = [&mut pieces.head, &mut pieces.message].into_iter().find(|piece| !piece.is_empty());
        Poll::Ready(next.map(|piece| Ok(Frame::data(std::mem::take(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_empty() && self.message.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.head.len() + self.message.len()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn head_and_message_follow_each_other() {
        for (head, message) in [("head", "message"), ("", "message"), ("head", ""), ("", "")] {
            let pieces = Pieces::new(Bytes::from(head), Bytes::from(message));
            assert_eq!(pieces.size_hint().exact(), Some((head.len() + message.len()) as u64));
            let collected = pieces.collect().await.expect("cannot fail").to_bytes();
            assert_eq!(collected, format!("{head}{message}"));
        }
    }
}
