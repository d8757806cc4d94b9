//! List, get and watch of incidents.

use super::api;
use super::limits::Limits;
use super::ring::Newest;
use super::service::{LIST_DEFAULT, LIST_MAX, checked, nanos, placed, watched};
use crate::engine::incident::{Counts, Ended, Example, Incident};
use crate::enrich::hex;
use crate::read::evidence::Nanos;
use crate::read::text::printable;
use std::fmt::Display;
use std::pin::Pin;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// The service over the newest incidents.
#[derive(Clone, Debug)]
pub struct Service {
    incidents: Newest<Incident>,
    limits: Limits,
}

impl Service {
    /// The service over these incidents, within these limits.
    pub fn new(incidents: Newest<Incident>, limits: Limits) -> Service {
        Service { incidents, limits }
    }
}

#[tonic::async_trait]
impl api::incidents_server::Incidents for Service {
    async fn list(
        &self,
        request: Request<api::ListIncidentsRequest>,
    ) -> Result<Response<api::ListIncidentsResponse>, Status> {
        let request = request.into_inner();
        let filter = checked(request.filter)?;
        let place = self.limits.call()?;
        let limit = match request.limit {
            0 => LIST_DEFAULT,
            limit => (limit as usize).min(LIST_MAX),
        };
        let newest = self.incidents.newest();
        let incidents = newest.iter().filter(|incident| fits(&filter, incident)).take(limit);
        let incidents = incidents.map(|incident| message(incident)).collect();
        Ok(placed(api::ListIncidentsResponse { incidents }, place))
    }

    async fn get(&self, request: Request<api::GetIncidentRequest>) -> Result<Response<api::Incident>, Status> {
        let uid = request.into_inner().uid;
        let place = self.limits.call()?;
        match self.incidents.get(&uid) {
            Some(incident) => Ok(placed(message(&incident), place)),
            None => Err(Status::not_found("no incident with this uid is kept; it is unknown, or too old")),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<api::Incident, Status>> + Send>>;

    async fn watch(&self, request: Request<api::WatchIncidentsRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let filter = checked(request.filter)?;
        let place = self.limits.watcher()?;
        let backlog = (request.backlog as usize).min(LIST_MAX);
        let fits = move |incident: &Incident| fits(&filter, incident);
        Ok(placed(watched(&self.incidents, backlog, fits, message), place))
    }
}

fn fits(filter: &api::Filter, incident: &Incident) -> bool {
    let is_named = |id: &String| incident.tally.causes.rows().iter().any(|(cause, _)| cause == id);
    (filter.causes.is_empty() || filter.causes.iter().any(is_named))
        && (filter.since_unix_nano == 0 || incident.last >= nanos(filter.since_unix_nano))
        && (filter.until_unix_nano == 0 || incident.first < nanos(filter.until_unix_nano))
}

/// An incident as a message, every text printable.
pub fn message(incident: &Incident) -> api::Incident {
    let tally = &incident.tally;
    let ended = incident.ended.as_ref();
    let quoted = |quote: &crate::engine::verdict::Quote| format!("{}: {}", quote.source.id(), printable(&quote.text));
    api::Incident {
        uid: incident.label.uid.clone(),
        revision: incident.revision,
        state: incident.state.id().to_owned(),
        origin: incident.label.origin.id.to_owned(),
        first_unix_nano: unix(incident.first),
        last_unix_nano: unix(incident.last),
        requests: tally.requests,
        failures: tally.failures,
        causes: counted(&tally.causes),
        paths: counted(&tally.paths),
        upstreams: counted(&tally.upstreams),
        statuses: counted(&tally.statuses),
        began_with: incident.began_with.clone().unwrap_or_default(),
        evidence: incident.evidence.as_ref().map(quoted).unwrap_or_default(),
        examples: incident.examples.iter().map(example).collect(),
        ended: ended.map(|ended| ended.id().to_owned()).unwrap_or_default(),
        ended_text: ended.map(Ended::words).unwrap_or_default(),
        ended_unix_nano: ended.and_then(Ended::at).map(unix).unwrap_or_default(),
        hint: incident.label.hint().to_owned(),
        sentence: incident.sentence(),
    }
}

fn counted<K: Ord + Clone + Display>(counts: &Counts<K>) -> Vec<api::Count> {
    let others = (counts.others > 0).then(|| api::Count { key: "others".to_owned(), count: counts.others });
    let rows = counts.rows().into_iter().map(|(key, count)| api::Count { key: key.to_string(), count });
    rows.chain(others).collect()
}

fn example(example: &Example) -> api::Example {
    api::Example {
        uid: example.uid.clone(),
        time_unix_nano: unix(example.time),
        status: u32::from(example.status.unwrap_or(0)),
        method: example.method.clone(),
        target: example.target.clone(),
        cause: example.cause.id.to_owned(),
        trace_id: example.trace.map(|trace| hex(&trace.trace_id)).unwrap_or_default(),
        span_id: example.trace.and_then(|trace| trace.span_id).map(|id| hex(&id)).unwrap_or_default(),
    }
}

fn unix(time: Nanos) -> u64 {
    u64::try_from(time).unwrap_or(0)
}
