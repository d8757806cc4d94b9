//! Tells an open page that something happened, at most once a second and without what: it then loads itself anew.

use super::Page;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;

/// News of one second are one.
const PAUSE: Duration = Duration::from_secs(1);
/// Something is said so often, so that a connection that is gone is noticed.
const ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(State(page): State<Page>) -> Response {
    let Ok(place) = Arc::clone(&page.streams).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "Too many pages are open; this one does not renew itself.\n")
            .into_response();
    };
    let (sender, news) = mpsc::channel::<Result<Event, Infallible>>(1);
    let mut verdicts = page.ring.verdicts.subscribe();
    let mut incidents = page.ring.incidents.subscribe();
    let shutdown = page.shutdown.clone();
    tokio::spawn(async move {
        let _place = place;
        let telling = async {
            loop {
                tokio::select! {
                    more = next(&mut verdicts) => if !more { return },
                    more = next(&mut incidents) => if !more { return },
                }
                // What comes meanwhile is told by one event more.
                loop {
                    if sender.send(Ok(Event::default().event("changed").data("1"))).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(PAUSE).await;
                    if !(take_all(&mut verdicts) | take_all(&mut incidents)) {
                        break;
                    }
                }
            }
        };
        tokio::select! {
            () = telling => {}
            () = shutdown.cancelled() => {}
            () = sender.closed() => {}
        }
    });
    Sse::new(ReceiverStream::new(news)).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

/// Takes what has come; true where there was something.
fn take_all<T: Clone>(news: &mut broadcast::Receiver<T>) -> bool {
    let mut any = false;
    while matches!(news.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {
        any = true;
    }
    any
}

/// Waits for something; false where nothing comes any more.
async fn next<T: Clone>(news: &mut broadcast::Receiver<T>) -> bool {
    match news.recv().await {
        Ok(_) | Err(RecvError::Lagged(_)) => true,
        Err(RecvError::Closed) => false,
    }
}
