//! What orchestrators and Prometheus ask over HTTP: does it live, does it take data, what has it counted. Plain answers
//! that need no body, no id and no permission, and that tell nothing of the records that pass.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;

/// Says whether the process is worth keeping alive.
pub const LIVE: &str = "/livez";
/// Says whether it takes data.
pub const READY: &str = "/readyz";
/// What it has counted.
pub const METRICS: &str = "/metrics";
/// Prometheus's text format, version 0.0.4.
const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Whom the probes are about.
pub trait Subject: Send + Sync {
    /// Why only a restart helps; `None` while it lives. What happens to a backend is no reason.
    fn dead(&self) -> Option<String>;
    /// Why senders are asked to come back; `None` while data is taken.
    fn busy(&self) -> Option<String>;
}

/// Probes of a subject, with one more path for what `/readyz` says.
pub fn routes(subject: Arc<dyn Subject>, more: Option<&str>) -> Router {
    let mut router = Router::new().route(LIVE, get(live)).route(READY, get(ready));
    if let Some(more) = more.filter(|more| ![LIVE, READY].contains(more)) {
        router = router.route(more, get(ready));
    }
    router.with_state(subject)
}

/// True where no path of OTLP is one of theirs.
pub fn fit_beside(paths: &[String]) -> bool {
    !paths.iter().any(|path| [LIVE, READY].contains(&path.trim_end_matches('/')))
}

/// The metrics of a process, made anew for every scrape.
pub fn metrics(text: impl Fn() -> String + Clone + Send + Sync + 'static) -> Router {
    let answer = move || {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, TEXT_FORMAT)], text()) }
    };
    Router::new().route(METRICS, get(answer))
}

async fn live(State(subject): State<Arc<dyn Subject>>) -> Response {
    answer(subject.dead(), "alive")
}

async fn ready(State(subject): State<Arc<dyn Subject>>) -> Response {
    answer(subject.dead().or_else(|| subject.busy()), "ready")
}

fn answer(problem: Option<String>, good: &str) -> Response {
    match problem {
        None => format!("{good}\n").into_response(),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}
