//! The page of `why502 run`: incidents and failed requests for people, on a listener of its own.
//!
//! Each request is looked at first (`guard`): by which name the page was asked for, whether there is room. Each answer
//! is a whole document that needs no script; one that is open is told when to load itself anew (`events`). It only reads
//! what the ring keeps, has no state of its own, and changes nothing.

mod events;
mod guard;
mod query;
mod views;

use crate::config::settings::Web;
use crate::page::document;
use crate::web::Ring;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use guard::Guard;
use maud::Markup;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Streams of events at once: one for each page that is open.
const STREAMS_MAX: usize = 32;
/// Bytes of a path with its query.
const TARGET_BYTES_MAX: usize = 2_048;

/// What is loaded and run: nothing but our own files, and nothing within a document.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every answer is made of.
#[derive(Clone)]
pub(super) struct Page {
    ring: Ring,
    /// Of the program: styles and scripts of another one are not kept.
    version: &'static str,
    shutdown: CancellationToken,
    streams: Arc<tokio::sync::Semaphore>,
}

/// The routes of the page, whose streams end at `shutdown`.
pub fn routes(ring: Ring, settings: &Web, shutdown: CancellationToken) -> Router {
    let streams = Arc::new(tokio::sync::Semaphore::new(STREAMS_MAX));
    let page = Page { ring, version: env!("CARGO_PKG_VERSION"), shutdown, streams };
    let guard = Arc::new(Guard::new(settings));
    let document = |text: &'static str, kind: &'static str| get(move || async move { asset(text, kind) });
    Router::new()
        .route("/", get(views::now))
        .route("/incidents", get(views::incidents))
        .route("/incident/{uid}", get(views::incident))
        .route("/request/{uid}", get(views::request))
        .route("/search", get(views::search))
        .route("/events", get(events::events))
        .route("/assets/style.css", document(document::STYLES, "text/css; charset=utf-8"))
        .route("/assets/live.js", document(document::SCRIPT, "text/javascript; charset=utf-8"))
        .route("/assets/icon.svg", document(document::ICON, "image/svg+xml"))
        .fallback(nowhere)
        .with_state(page)
        .layer(axum::middleware::from_fn_with_state(guard, guard::check))
}

fn asset(text: &'static str, kind: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=86400")];
    (headers, text).into_response()
}

async fn nowhere(State(page): State<Page>, uri: Uri) -> Response {
    let path: String = crate::read::text::printable(uri.path()).chars().take(200).collect();
    let main = maud::html! {
        h1 { "There is no such page" }
        p { code { (path) } " is none. " a href="/" { "What is wrong now" } ", " a href="/search" { "search" } "." }
    };
    page.answer(StatusCode::NOT_FOUND, "There is no such page", "", main)
}

impl Page {
    fn answer(&self, status: StatusCode, title: &str, query: &str, main: Markup) -> Response {
        let text = document::page(title, query, self.version, main).into_string();
        (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
    }
}

/// What a browser may do with any answer of ours.
fn harden(response: &mut Response) {
    let headers = response.headers_mut();
    let all = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in all {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
