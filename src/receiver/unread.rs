//! Bodies that nobody reads to their end.
//!
//! Over HTTP/1.1 a request that is refused early still comes in. Who closes on bytes that were not read takes the answer back
//! (RFC 9112, 9.6): the sender finds a broken pipe and not why. So what is left is taken and thrown away, for a while.

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::Version;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A body that nobody wants is taken for so long: 64 MiB at 13 MB/s.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);
/// And no more of it than this, the largest request of the default configuration.
const DISCARD_BYTES_MAX: usize = 64 << 20;

/// Has the rest of the body taken, should nobody read it. HTTP/2 ends a stream without its connection.
pub(super) async fn take_rest(request: Request) -> Request {
    if request.version() >= Version::HTTP_2 {
        return request;
    }
    request.map(|body| Body::new(Watched { body: Some(body) }))
}

/// A body until its end.
struct Watched {
    body: Option<Body>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(discard(rest));
        }
    }
}

async fn discard(mut body: Body) {
    let all = async {
        let mut left = DISCARD_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    };
    // Nobody waits for its end.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, all).await;
}
