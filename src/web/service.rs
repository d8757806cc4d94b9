//! List, get and watch of verdicts, and what the service of incidents shares with it.

use super::api;
use super::limits::{Limits, Place};
use super::ring::{Kept, Newest};
use crate::engine::causes;
use crate::engine::verdict::Verdict;
use crate::enrich::hex;
use crate::read::evidence::Nanos;
use crate::read::text::printable;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// Verdicts, or incidents, of one answer.
pub(super) const LIST_MAX: usize = 1_000;
pub(super) const LIST_DEFAULT: usize = 100;

/// The service over the newest verdicts.
#[derive(Clone, Debug)]
pub struct Service {
    verdicts: Newest<Verdict>,
    limits: Limits,
}

impl Service {
    /// The service over these verdicts, within these limits.
    pub fn new(verdicts: Newest<Verdict>, limits: Limits) -> Service {
        Service { verdicts, limits }
    }
}

/// An answer that takes a place until it has been sent.
pub(super) fn placed<T>(message: T, place: Place) -> Response<T> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(place);
    response
}

#[tonic::async_trait]
impl api::verdicts_server::Verdicts for Service {
    async fn list(&self, request: Request<api::ListRequest>) -> Result<Response<api::ListResponse>, Status> {
        let request = request.into_inner();
        let filter = checked(request.filter)?;
        let place = self.limits.call()?;
        let limit = match request.limit {
            0 => LIST_DEFAULT,
            limit => (limit as usize).min(LIST_MAX),
        };
        let verdicts = self
            .verdicts
            .newest()
            .iter()
            .filter(|verdict| fits(&filter, verdict))
            .take(limit)
            .map(|verdict| message(verdict))
            .collect();
        Ok(placed(api::ListResponse { verdicts }, place))
    }

    async fn get(&self, request: Request<api::GetRequest>) -> Result<Response<api::Verdict>, Status> {
        let uid = request.into_inner().uid;
        let place = self.limits.call()?;
        match self.verdicts.get(&uid) {
            Some(verdict) => Ok(placed(message(&verdict), place)),
            None => Err(Status::not_found(
                "no verdict with this uid is kept; it is unknown, or older than the newest `limits::verdicts`",
            )),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<api::Verdict, Status>> + Send>>;

    async fn watch(&self, request: Request<api::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let filter = checked(request.filter)?;
        let place = self.limits.watcher()?;
        let backlog = (request.backlog as usize).min(LIST_MAX);
        let fits = move |verdict: &Verdict| fits(&filter, verdict);
        Ok(placed(watched(&self.verdicts, backlog, fits, message), place))
    }
}

/// What a watcher is sent: some of what is kept, then what comes.
pub(super) fn watched<T, M>(
    newest: &Newest<T>,
    backlog: usize,
    fits: impl Fn(&T) -> bool + Send + 'static,
    message: fn(&T) -> M,
) -> Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>
where
    T: Kept + Send + Sync + 'static,
    M: Send + 'static,
{
    // Subscribed before the backlog is read: what comes between is sent twice rather than never.
    let news = newest.subscribe();
    let mut old: VecDeque<Arc<T>> = newest.newest().into_iter().filter(|one| fits(one)).take(backlog).collect();
    old.make_contiguous().reverse();
    let last_old = old.back().map(|one| (one.uid().to_owned(), one.revision()));
    let old = tokio_stream::iter(old.into_iter().map(move |one| Ok(message(&one))));
    let new = tokio_stream::wrappers::BroadcastStream::new(news).filter_map(move |news| match news {
        Ok(one) if last_old.as_ref().is_some_and(|(uid, revision)| uid == one.uid() && *revision == one.revision()) => {
            None
        }
        Ok(one) => fits(&one).then(|| Ok(message(&one))),
        Err(error) => Some(Err(lagged(&error))),
    });
    Box::pin(old.chain(new))
}

fn lagged(error: &tokio_stream::wrappers::errors::BroadcastStreamRecvError) -> Status {
    Status::out_of_range(format!(
        "the watcher reads too slowly ({error}); call Watch again, List shows what was missed"
    ))
}

pub(super) fn checked(filter: Option<api::Filter>) -> Result<api::Filter, Status> {
    let filter = filter.unwrap_or_default();
    match filter.causes.iter().find(|id| causes::by_id(id).is_none()) {
        Some(unknown) => {
            Err(Status::invalid_argument(format!("`{}` is no cause; `why502 causes` lists them", printable(unknown))))
        }
        None => Ok(filter),
    }
}

fn fits(filter: &api::Filter, verdict: &Verdict) -> bool {
    (filter.causes.is_empty() || filter.causes.iter().any(|id| id == verdict.cause.id))
        && (filter.since_unix_nano == 0 || verdict.time >= nanos(filter.since_unix_nano))
        && (filter.until_unix_nano == 0 || verdict.time < nanos(filter.until_unix_nano))
}

pub(super) fn nanos(time: u64) -> Nanos {
    Nanos::try_from(time).unwrap_or(Nanos::MAX)
}

/// A verdict as a message, every text printable.
pub fn message(verdict: &Verdict) -> api::Verdict {
    let trace = verdict.link.trace;
    api::Verdict {
        uid: verdict.uid.clone(),
        revision: verdict.revision,
        time_unix_nano: u64::try_from(verdict.time).unwrap_or(0),
        status: u32::from(verdict.status.unwrap_or(0)),
        method: printable(&verdict.method),
        target: printable(&verdict.target),
        client: printable(&verdict.client),
        cause: verdict.cause.id.to_owned(),
        category: verdict.cause.category.id().to_owned(),
        symptom: verdict.symptom.id().to_owned(),
        confidence: verdict.confidence,
        evidence: verdict.evidence.iter().map(|quote| format!("{}: {}", quote.source.id(), quote.text)).collect(),
        hint: verdict.hint().to_owned(),
        upstream: verdict.upstream.as_deref().map(printable).unwrap_or_default(),
        upstream_attempts: verdict.attempts,
        worker_pid: verdict.worker_pid.unwrap_or(0),
        link: Some(api::Link {
            method: verdict.link.method.id().to_owned(),
            confidence: verdict.link.confidence,
            trace_id: trace.map(|trace| hex(&trace.trace_id)).unwrap_or_default(),
            span_id: trace.and_then(|trace| trace.span_id).map(|id| hex(&id)).unwrap_or_default(),
            candidates: verdict.link.candidates.iter().map(|id| hex(id)).collect(),
        }),
        sentence: verdict.sentence(),
        incident_uid: verdict.incident.as_ref().map(|label| label.uid.clone()).unwrap_or_default(),
        incident_origin: verdict.incident.as_ref().map(|label| label.origin.id.to_owned()).unwrap_or_default(),
    }
}
