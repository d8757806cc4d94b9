//! Who talks to whom: tasks, queues, limits, order of shutdown.
//!
//! ```text
//!  receiver's task              engine's task               exporter's task
//!  Intake::consume ───────────────────────────────────────► queue ─► backend     nothing found: the same bytes
//!        │ scan                                               ▲
//!        └── found records, spans ──► queue ─► Correlator ────┘                  held, then enriched
//!                                                 └─► verdicts ─► ring, debug
//! ```
//!
//! From socket to backend at most three tasks, with a bounded queue before each. What is acknowledged is in a queue or
//! held; past the limits senders are asked to come back before anything of their request is used. On shutdown:
//! receivers stop, the engine gives every open request its verdict, exporters drain.

mod builder;
pub mod correlator;
mod cut;
mod incidents;
pub mod intake;
mod items;
mod lines;
mod origin;
mod own;
mod refused;
mod replay;
mod room;
mod streams;
pub mod subject;
mod topics;
mod turns;

use crate::config::settings::Config;
use crate::engine::place::{Place, Stream};
use crate::engine::{Settings, UpstreamRule};
use crate::exporter::{Exporter, Outlet};
use crate::journal::{Deliveries, Journal, Marks};
use crate::otlp::{ResourceGroup, Signal};
use crate::read::Wanted;
use crate::read::evidence::{Evidence, Nanos};
use crate::read::formats::Reader;
use crate::read::nginx_conf::NginxConf;
use crate::read::text::hash64;
use crate::receiver::kafka::State;
use crate::scan::Answers;
use crate::scan::place::{Rule, Sites};
use crate::telemetry::Counters;
use crate::telemetry::metrics::{NO_ROOM, UNLINKED};
use crate::web::Ring;
use bytes::Bytes;
use refused::Refused;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use streams::Registry;
use tokio::sync::mpsc;
use turns::Turns;

/// Requests that wait for the engine; each is a few records, or what the spans of one request prove.
const ENGINE_QUEUE_MAX: usize = 1_024;
/// A verdict that nothing can change any more leaves so long after the last line of its request: lines of one moment come in
/// batches of their shippers, a few tenths of a second apart.
const SETTLE: i64 = crate::read::evidence::SECOND;
/// Log streams whose healthy answers are noted between two looks of the engine, at most a second apart.
const STREAMS_MAX: usize = 4_096;
/// Samples of good requests that wait for the engine: it takes four a second of a site.
const SAMPLES_MAX: usize = 64;

/// The outlets of one receiver and signal.
#[derive(Clone, Default)]
pub struct Route {
    /// Of pipelines that relay untouched.
    pub plain: Vec<Arc<dyn Outlet>>,
    /// Of pipelines that name the processor.
    pub explained: Vec<Arc<dyn Outlet>>,
}

impl Route {
    /// True when no pipeline has this signal from this receiver.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.explained.is_empty()
    }

    /// All of them, in the order in which they are asked for room.
    fn outlets(&self) -> impl Iterator<Item = &Arc<dyn Outlet>> {
        self.explained.iter().chain(&self.plain)
    }

    /// The journal, where an outlet waits on disk.
    fn journal(&self) -> Option<&Arc<Journal>> {
        self.outlets().filter_map(|outlet| outlet.account()?.journal()).map(|(journal, _)| journal).next()
    }
}

/// Gives each the same request, with what it is made of.
fn send_all(outlets: &[Arc<dyn Outlet>], signal: Signal, request: &Bytes, items: u64, marks: &Marks) {
    for outlet in outlets {
        if marks.is_empty() {
            outlet.send(signal, request.clone(), items);
        } else {
            outlet.send_marked(signal, request.clone(), items, marks.clone());
        }
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Route({} plain, {} explained)", self.plain.len(), self.explained.len())
    }
}

/// What all tasks share.
#[derive(Debug)]
pub struct Shared {
    /// Reads lines.
    pub reader: Reader,
    /// How places are told apart.
    pub sites: Sites,
    /// What is remembered of streams.
    streams: Registry,
    /// Access lines that the engine asks for.
    wanted: RwLock<Arc<Wanted>>,
    /// All of them, where good requests are linked as well.
    everything: Option<Arc<Wanted>>,
    /// Trace and request ids of which the engine asks for spans.
    named: RwLock<Arc<Wanted>>,
    /// Healthy answers since the engine looked last, by log stream.
    healthy: Mutex<Noted>,
    /// Good requests with an id, that the engine has not looked at.
    samples: Mutex<Vec<(Stream, Nanos, Evidence)>>,
    /// Bytes of records that wait for a verdict or for the engine.
    pub held_bytes: AtomicUsize,
    /// Limit of [`Shared::held_bytes`].
    pub held_bytes_max: usize,
    /// Of these, bytes of records that wait for the engine.
    queued_bytes: AtomicUsize,
    /// Requests of logs that had no room.
    refused: Refused,
    /// Those that wait for it.
    turns: Turns,
    /// Requests on their way to the journal and the engine.
    taking: origin::Taking,
    /// What is delivered of requests out of topics.
    topics: Arc<Deliveries>,
    /// The same of spans.
    pub held_span_bytes: AtomicUsize,
    /// Limit of [`Shared::held_span_bytes`].
    pub held_span_bytes_max: usize,
    /// Rows of spans that wait for the engine.
    pub queued_rows: AtomicUsize,
    /// Shutdown has begun.
    pub draining: AtomicBool,
    /// Counters.
    pub counters: Arc<Counters>,
}

impl Shared {
    fn new(config: &Config, reader: Reader, outlets: &[Arc<dyn Outlet>], counters: Arc<Counters>) -> Shared {
        let topics = outlets.iter().filter_map(|outlet| outlet.account()?.topics()).map(|(topics, _)| topics).next();
        Shared {
            topics: topics.map_or_else(|| Arc::new(Deliveries::new([])), Arc::clone),
            reader,
            sites: sites(config),
            streams: Registry::default(),
            wanted: RwLock::default(),
            everything: config.processor.link_all.then(|| Arc::new(Wanted::everything())),
            named: RwLock::default(),
            healthy: Mutex::default(),
            samples: Mutex::default(),
            held_bytes: AtomicUsize::new(0),
            held_bytes_max: config.processor.held_bytes_max,
            queued_bytes: AtomicUsize::new(0),
            refused: Refused::default(),
            turns: Turns::default(),
            taking: origin::Taking::default(),
            held_span_bytes: AtomicUsize::new(0),
            held_span_bytes_max: config.processor.held_span_bytes_max,
            queued_rows: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            counters,
        }
    }

    /// The access lines that the engine asks for.
    pub fn wanted(&self) -> Arc<Wanted> {
        Arc::clone(&self.wanted.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts access lines that go on without a link because there is no room for them.
    fn note_unlinked(&self, healthy: &[Answers]) {
        if self.everything.is_some() && !healthy.is_empty() {
            self.counters.add(UNLINKED, NO_ROOM, healthy.iter().map(|answers| answers.count).sum());
        }
    }

    /// Notes healthy answers; past [`STREAMS_MAX`] streams the engine is not told of more until it looked.
    fn note_healthy(&self, healthy: Vec<Answers>) {
        let mut noted = self.healthy.lock().unwrap_or_else(PoisonError::into_inner);
        for answers in healthy {
            if let Some(known) = noted.get_mut(&answers.stream.id) {
                known.add(answers);
            } else if noted.len() < STREAMS_MAX {
                noted.insert(answers.stream.id, answers);
            }
        }
    }

    /// Keeps samples of good requests for the engine; where it is behind, the newest are lost.
    fn note_samples(&self, samples: Vec<(Stream, Nanos, Evidence)>) {
        let mut noted = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SAMPLES_MAX.saturating_sub(noted.len());
        noted.extend(samples.into_iter().take(room));
    }

    fn take_samples(&self) -> Vec<(Stream, Nanos, Evidence)> {
        std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take_healthy(&self) -> Noted {
        std::mem::take(&mut *self.healthy.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The place that the spans of a resource were made in.
    pub fn place(&self, resource: &ResourceGroup<'_>) -> Arc<Place> {
        let id = hash64(resource.resource().unwrap_or_default());
        let entry = self.streams.entry(id, || self.sites.of_resource(resource.attributes()));
        Arc::clone(entry.place())
    }

    /// The ids of which the engine asks for spans.
    pub fn named(&self) -> Arc<Wanted> {
        Arc::clone(&self.named.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish_named(&self, named: Arc<Wanted>) {
        *self.named.write().unwrap_or_else(PoisonError::into_inner) = named;
    }

    fn publish_wanted(&self, wanted: Arc<Wanted>) {
        *self.wanted.write().unwrap_or_else(PoisonError::into_inner) = wanted;
    }
}

/// Healthy answers by the id of their stream.
type Noted = BTreeMap<u64, Answers>;

/// The settings of the processor that tell places apart.
fn sites(config: &Config) -> Sites {
    let sites = &config.processor.sites;
    let rule =
        |rule: &crate::config::settings::Upstream| Rule { nginx: rule.nginx.clone(), server: rule.server.clone() };
    Sites::new(sites.keys.clone(), sites.upstreams.iter().map(rule).collect())
}

/// The middle of the program: what receivers hand over to and what hands over to exporters.
#[derive(Debug)]
pub struct Pipeline {
    shared: Arc<Shared>,
    routes: Vec<[Arc<Route>; 3]>,
    /// Names of the receivers.
    receivers: Vec<Arc<str>>,
    messages: mpsc::Sender<correlator::Message>,
    correlator: tokio::task::JoinHandle<()>,
    /// Where the records of verdicts and incidents go.
    own_route: Arc<Route>,
    own_found: own::Found,
    /// Writes those to the journal that nothing in it leads to.
    keeper: Option<tokio::task::JoinHandle<()>>,
}

impl Pipeline {
    /// Starts the engine's task. `outlets` are in the order of the configuration's exporters.
    pub fn start(
        config: &Config,
        reader: Reader,
        nginx: Option<Arc<NginxConf>>,
        outlets: &[Arc<dyn Outlet>],
        ring: Ring,
        counters: Arc<Counters>,
    ) -> Pipeline {
        let shared = Arc::new(Shared::new(config, reader, outlets, counters));
        let routes = routes(config, outlets);
        let explained_logs = explained_outlets(config, outlets, Signal::Logs);
        let verdict_outlets = verdict_outlets(config, outlets);
        let (messages, inbox) = mpsc::channel(ENGINE_QUEUE_MAX);
        let processor = &config.processor;
        let hold = i64::try_from(processor.hold.as_nanos()).unwrap_or(i64::MAX);
        let settings = Settings {
            hold,
            settle: Some(SETTLE.min(hold / 4)),
            link_all: processor.link_all,
            finds_good: false,
            link_threshold: processor.link_threshold,
            requests_max: processor.requests_max,
            spans_max: processor.spans_max,
            zone: processor.zone.map(|seconds| seconds.saturating_mul(crate::read::evidence::SECOND)),
            nginx,
            upstream_rules: (processor.sites.upstreams.iter())
                .map(|rule| UpstreamRule { address: rule.address.clone() })
                .collect(),
        };
        let own_route = Arc::new(Route { plain: Vec::new(), explained: explained_logs.clone() });
        let own_found = own::Found::default();
        let (keeper, kept) = own_route
            .journal()
            .map(|journal| own::Keeper::start(Arc::clone(journal), Arc::clone(&own_found), hold))
            .unzip();
        let correlator = correlator::Correlator::new(
            settings,
            Arc::clone(&shared),
            ring,
            explained_logs,
            verdict_outlets,
            processor.enrich_http,
            processor.verdicts_per_incident,
        );
        let correlator = tokio::spawn(correlator.with_keeper(keeper).run(inbox));
        let receivers = config.receivers.iter().map(|receiver| receiver.name.as_str().into()).collect();
        Pipeline { shared, routes, receivers, messages, correlator, own_route, own_found, keeper: kept }
    }

    /// What a receiver hands its requests to; `receiver` is its index in the configuration.
    pub fn intake(&self, receiver: usize) -> intake::Intake {
        let routes = self.routes.get(receiver).cloned().unwrap_or_default();
        let name = self.receivers.get(receiver).cloned().unwrap_or_else(|| "".into());
        intake::Intake { shared: Arc::clone(&self.shared), name, routes, messages: self.messages.clone() }
    }

    /// What probes ask.
    pub fn subject(&self, exporters: &[Arc<Exporter>], sources: &[Arc<State>]) -> subject::Subject {
        let (shared, messages) = (Arc::clone(&self.shared), self.messages.clone());
        subject::Subject { shared, messages, exporters: exporters.to_vec(), sources: sources.to_vec() }
    }

    /// Refuses what comes from now on.
    pub fn stop_intake(&self) {
        self.shared.draining.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Gives every open request its verdict and hands everything to the outlets. Call when receivers have ended.
    pub async fn drain(self) {
        // Behind everything that was acknowledged.
        let told = self.messages.send(correlator::Message::Finish).await;
        if told.is_ok()
            && let Err(error) = self.correlator.await
        {
            tracing::error!(%error, "the engine's task ended early; what it held is lost");
        }
        // It has all of them by now, and ends with the last.
        if let Some(keeper) = self.keeper {
            let _ = keeper.await;
        }
    }
}

fn routes(config: &Config, outlets: &[Arc<dyn Outlet>]) -> Vec<[Arc<Route>; 3]> {
    let route = |receiver: usize, signal: Signal| {
        let mut route = Route::default();
        let mut seen = Vec::new();
        for pipeline in config
            .pipelines
            .iter()
            .filter(|pipeline| pipeline.signal == signal && pipeline.receivers.contains(&receiver))
        {
            for exporter in &pipeline.exporters {
                // Two pipelines to one exporter send twice, as in the collector; the same kind of pipeline only once.
                if seen.contains(&(pipeline.explained, *exporter)) {
                    continue;
                }
                seen.push((pipeline.explained, *exporter));
                let side = if pipeline.explained { &mut route.explained } else { &mut route.plain };
                side.extend(outlets.get(*exporter).cloned());
            }
        }
        Arc::new(route)
    };
    (0..config.receivers.len()).map(|receiver| Signal::ALL.map(|signal| route(receiver, signal))).collect()
}

fn explained_outlets(config: &Config, outlets: &[Arc<dyn Outlet>], signal: Signal) -> Vec<Arc<dyn Outlet>> {
    let mut indices: Vec<usize> = config
        .pipelines
        .iter()
        .filter(|pipeline| pipeline.explained && pipeline.signal == signal)
        .flat_map(|pipeline| pipeline.exporters.iter().copied())
        .collect();
    indices.sort_unstable();
    indices.dedup();
    indices.into_iter().filter_map(|index| outlets.get(index).cloned()).collect()
}

/// Outlets of every pipeline with the processor, each once: `debug` shows a verdict once, whatever the signals.
fn verdict_outlets(config: &Config, outlets: &[Arc<dyn Outlet>]) -> Vec<Arc<dyn Outlet>> {
    let explained = |index: usize| {
        config.pipelines.iter().any(|pipeline| pipeline.explained && pipeline.exporters.contains(&index))
    };
    outlets.iter().enumerate().filter(|(index, _)| explained(*index)).map(|(_, outlet)| Arc::clone(outlet)).collect()
}
