//! How much of the API is served at once, so that who asks about verdicts never takes the memory of the records.
//!
//! A call takes its place when its message is there, and keeps it until its answer has been sent. `Health/Check` has no
//! limit: its answer is some bytes, and a full API is no reason to restart a container.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body, Frame};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// Watchers at once. Each is told of every verdict and may lag behind.
const WATCHERS_MAX: usize = 64;
/// Answers of List and Get at once; the longest is some MiB.
const CALLS_MAX: usize = 16;
/// Streams of reflection and of `Health/Watch` at once.
const OTHER_STREAMS_MAX: usize = 64;
/// Longest message of a call: the names of all causes are 1 KiB.
pub(super) const CALL_BYTES_MAX: usize = 64 << 10;
/// Most that a body gives away at once.
const PIECE_BYTES: usize = 16 << 10;

/// What is taken; clones share it.
#[derive(Clone, Debug)]
pub struct Limits {
    watchers: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    other_streams: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Limits {
        let places = |count| Arc::new(Semaphore::new(count));
        Limits { watchers: places(WATCHERS_MAX), calls: places(CALLS_MAX), other_streams: places(OTHER_STREAMS_MAX) }
    }
}

/// A place, for the extensions of the answer that it is for.
#[derive(Clone, Debug)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Place {
    fn of(places: &Arc<Semaphore>) -> Option<Place> {
        let permit = Arc::clone(places).try_acquire_owned().ok()?;
        Some(Place { _permit: Arc::new(permit) })
    }
}

impl Limits {
    /// For one watcher.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when as many as may be watch.
    pub fn watcher(&self) -> Result<Place, Status> {
        Place::of(&self.watchers).ok_or_else(|| {
            Status::resource_exhausted(format!(
                "{WATCHERS_MAX} watchers are there, and no more may be; end one, or call List"
            ))
        })
    }

    /// For one call of List or Get.
    ///
    /// # Errors
    /// UNAVAILABLE when as many as may be are answered.
    pub fn call(&self) -> Result<Place, Status> {
        Place::of(&self.calls)
            .ok_or_else(|| Status::unavailable(format!("busy with {CALLS_MAX} other calls; call again in a second")))
    }
}

/// Keeps the place of an answer until it has been sent; gives streams of services that are not our own theirs.
pub(super) async fn keep_places(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let of_others = if path.starts_with("/grpc.reflection.") || path == "/grpc.health.v1.Health/Watch" {
        let Some(place) = Place::of(&limits.other_streams) else {
            let words = format!("{OTHER_STREAMS_MAX} streams of reflection and health are there, and no more may be");
            return Status::resource_exhausted(words).into_http();
        };
        Some(place)
    } else {
        None
    };
    let mut response = next.run(request).await;
    match of_others.or_else(|| response.extensions_mut().remove::<Place>()) {
        Some(place) => response.map(|body| axum::body::Body::new(Placed { body, rest: Bytes::new(), _place: place })),
        None => response,
    }
}

/// Keeps a place until the answer has been sent.
pub(super) fn until_sent(response: Response, permit: OwnedSemaphorePermit) -> Response {
    let place = Place { _permit: Arc::new(permit) };
    response.map(|body| axum::body::Body::new(Placed { body, rest: Bytes::new(), _place: place }))
}

/// A body with the place that it takes, in pieces.
///
/// What a body has given away waits in the connection for a reader that is slow, and the body ends there and then. In
/// pieces no more than one of them does, so that the place is kept while there is much to send.
struct Placed {
    body: axum::body::Body,
    /// Of the last frame.
    rest: Bytes,
    _place: Place,
}

impl Body for Placed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return other,
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};

    #[tokio::test]
    async fn a_body_comes_in_pieces() {
        let limits = Limits::default();
        let whole: Vec<u8> = (0..3 * PIECE_BYTES + 1).map(|number| number as u8).collect();
        let body = axum::body::Body::new(Full::from(whole.clone()));
        let mut placed = Placed { body, rest: Bytes::new(), _place: limits.call().expect("a place") };
        let (mut lengths, mut read) = (Vec::new(), Vec::new());
        while let Some(frame) = placed.frame().await {
            assert_eq!(limits.calls.available_permits(), CALLS_MAX - 1);
            let data = frame.expect("a frame").into_data().expect("data");
            lengths.push(data.len());
            read.extend_from_slice(&data);
        }
        assert_eq!(lengths, [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 1]);
        assert!(read == whole && placed.is_end_stream());
        drop(placed);
        assert_eq!(limits.calls.available_permits(), CALLS_MAX);
    }
}
