//! `why502 run`: bind, start, serve, drain.

use crate::auth::AuthError;
use crate::cli::Run;
use crate::clock;
use crate::commands::preflight::Learned;
use crate::commands::reload::Running;
use crate::commands::signals::{Asked, Signals};
use crate::commands::{INCOMPLETE, environment, runtime, say, tell_service_manager, validate};
use crate::config::kafka::KafkaReceiver;
use crate::config::settings::{Config, Listener, Receiver, Web};
use crate::config::{self};
use crate::exporter::{Exporter, Outlet};
use crate::journal::{self, Account, Deliveries, Journal, Limits, Opening};
use crate::memory::{self, Memory, Plan};
use crate::otlp::Signal;
use crate::pipeline::Pipeline;
use crate::read::formats::Reader;
use crate::receiver::admission::Admission;
use crate::receiver::auth::{Guard, Protocol};
use crate::receiver::serve::{Bound, bind, serve};
use crate::receiver::{grpc, http, kafka};
use crate::telemetry::metrics::Measured;
use crate::telemetry::{self, Counters};
use crate::web::probes::{self, Subject};
use crate::web::{self, Ring};
use anyhow::Context;
use sd_notify::NotifyState;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A whole shutdown from the signal to the exit: 5 s less than Kubernetes gives a container (30 s by default).
const SHUTDOWN_MAX: Duration = Duration::from_secs(25);
/// The end of it is kept for our own telemetry, which says what was left behind.
const TELEMETRY_SHARE: Duration = Duration::from_secs(3);

/// Runs until it is told to stop.
///
/// # Errors
/// One sentence with what to do: a port is taken, a certificate cannot be used.
pub fn run(options: &Run) -> anyhow::Result<ExitCode> {
    let (config, learned) = match &options.config {
        Some(path) => match validate::load(path)? {
            Some(loaded) => loaded,
            None => return Ok(ExitCode::from(INCOMPLETE)),
        },
        None => (embedded()?, Learned::default()),
    };
    runtime()?.block_on(live(config, learned, options.config.as_deref()))
}

fn embedded() -> anyhow::Result<Config> {
    config::read(config::EMBEDDED, &environment)
        .map_err(|mistakes| anyhow::anyhow!("the embedded configuration: {mistakes:?}"))
}

async fn live(config: Config, learned: Learned, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let mut sockets = Vec::new();
    for (index, receiver) in config.receivers.iter().enumerate() {
        let key = |protocol: &str| format!("receivers::{}::protocols::{protocol}::endpoint", receiver.name);
        if let Some(listener) = &receiver.grpc {
            sockets.push((index, true, listener.clone(), bind(listener, &key("grpc")).await?));
        }
        if let Some(listener) = &receiver.http {
            sockets.push((index, false, listener.clone(), bind(listener, &key("http")).await?));
        }
    }
    let health = match &config.health {
        Some(health) => Some(bind(&health.listener, &health.key).await?),
        None => None,
    };
    let scraped = match &config.telemetry.prometheus {
        Some(scraped) => Some(bind(&scraped.listener, &scraped.key).await?),
        None => None,
    };
    let page = bind_page(&config).await?;
    let counters = Arc::new(Counters::default());
    let plan = memory::plan(&config, memory::of_machine(Path::new("/")));
    tell_of(&plan, &sockets);
    let memory = Memory::new(plan.data);
    let journal = open_journal(&config)?;
    let of_journal = journal.as_ref().map(|(journal, _)| journal);
    let topics = out_of_topics(&config);
    let start = |settings| Exporter::start_with(settings, &memory, of_journal, topics.as_ref());
    let exporters = config.exporters.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    let exporters: Vec<Arc<Exporter>> = exporters.into_iter().map(Arc::new).collect();
    let sources = sources(&config);
    let states: Vec<Arc<kafka::State>> = sources.iter().map(|(_, _, state)| Arc::clone(state)).collect();
    let measured = Measured { counters: &counters, exporters: &exporters, sources: &states, memory: &memory };
    let telemetry = telemetry::start(&config.telemetry, &measured)?;
    let outlets: Vec<Arc<dyn Outlet>> =
        exporters.iter().map(|exporter| Arc::clone(exporter) as Arc<dyn Outlet>).collect();
    let ring = Ring::new(config.processor.verdicts_max);
    let ring = if page.is_ok() { ring.with_details() } else { ring };
    let reader = Reader::with_access_formats(learned.formats);
    let pipeline = Pipeline::start(&config, reader, learned.nginx, &outlets, ring.clone(), Arc::clone(&counters));
    let (api, serving) = web::routes(ring.clone()).await.context("the descriptors of the verdict API")?;
    if let Some((journal, opening)) = &journal {
        opening.warnings.iter().for_each(|warning| tracing::warn!("the journal: {warning}"));
        replay(&pipeline, journal).await?;
    }
    announce(&sockets, &sources, &page, file.is_none());
    let subject: Arc<dyn Subject> = Arc::new(pipeline.subject(&exporters, &states));
    // These answer until the very end.
    let asked = CancellationToken::new();
    let answering = TaskTracker::new();
    if let (Some(bound), Some(settings)) = (health, &config.health) {
        say(&format!("probes are answered on {}", bound.address));
        let router = probes::routes(Arc::clone(&subject), Some(&settings.path));
        answering.spawn(serve(bound, router, asked.clone()));
    }
    if let (Some(bound), Some(text)) = (scraped, telemetry.scrape()) {
        say(&format!("metrics are on http://{}{}", bound.address, probes::METRICS));
        answering.spawn(serve(bound, probes::metrics(text), asked.clone()));
    }
    let guards = guards(&sockets)?;
    let mut running = Running::new(file, &config, &sockets, &guards, &exporters);
    if let (Some(running), Ok((_, bound, guard))) = (&mut running, &page) {
        running.add_page(bound, guard.as_ref());
    }
    let shutdown = CancellationToken::new();
    let servers = TaskTracker::new();
    for ((index, is_grpc, listener, bound), guard) in sockets.into_iter().zip(guards) {
        let intake = pipeline.intake(index);
        let bytes = listener.request_bytes_max.min(plan.request_bytes_max());
        let admission = Admission::of(&listener, memory.clone());
        let mut router = if is_grpc {
            grpc::routes(intake.clone(), bytes, admission, api.clone(), &web::SERVICES)
        } else {
            http::routes(intake.clone(), bytes, admission, &listener.paths)
        };
        if let Some(guard) = guard {
            let protocol = if is_grpc { Protocol::Grpc } else { Protocol::Http };
            router = guard.before(router, intake, protocol);
        }
        // Probes show no token, and are told nothing that needs one.
        if !is_grpc && probes::fit_beside(&listener.paths) {
            router = router.merge(probes::routes(Arc::clone(&subject), None));
        }
        // Outermost: what a browser asks before it sends shows no secret.
        if let Some(cors) = &listener.cors {
            router = http::open_to_pages(router, cors);
        }
        servers.spawn(serve(bound, router, shutdown.clone()));
    }
    for (index, settings, state) in sources {
        let setup = setup_of(&config, index, &plan, &memory);
        servers.spawn(kafka::run(settings, setup, pipeline.intake(index), state, shutdown.clone()));
    }
    if let Ok((settings, bound, guard)) = page {
        let router = web::page::routes(ring, &settings, shutdown.clone());
        let router = if let Some(guard) = guard { guard.before_page(router) } else { router };
        servers.spawn(serve(bound, router, shutdown.clone()));
    }
    servers.close();
    tell_service_manager(&NotifyState::Ready);
    loop {
        let renewal = running.as_ref().and_then(Running::renewal);
        let asked = tokio::select! {
            asked = signals.next() => asked,
            () = after(renewal) => {
                running.iter_mut().for_each(Running::renew);
                continue;
            }
        };
        match &mut running {
            _ if asked == Asked::End => break,
            Some(running) => running.reload(),
            None if signals.outlives_terminal => {}
            // There is nothing to read anew: the terminal is gone.
            None => break,
        }
    }
    let began = clock::instant();
    tell_service_manager(&NotifyState::Stopping);
    say(&format!(
        "stopping within {} s: no new requests; open ones get their verdict, queues are flushed; a second signal ends at once",
        SHUTDOWN_MAX.as_secs()
    ));
    let drained = async {
        web::set_draining(&serving).await;
        pipeline.stop_intake();
        shutdown.cancel();
        // Has a limit of its own, far within ours.
        servers.wait().await;
        if tokio::time::timeout(for_delivery(began.elapsed()), pipeline.drain()).await.is_err() {
            tracing::error!("the engine did not come to its end; what it held is lost");
        }
        let time = for_delivery(began.elapsed());
        let closing: Vec<_> = exporters.iter().map(|exporter| exporter.close(time)).collect();
        let left = futures(closing).await.into_iter().zip(&exporters);
        // What the journal has is not left behind.
        let left: u64 = left
            .filter(|(_, exporter)| !exporter.account().is_some_and(Account::keeps_all))
            .map(|(left, _)| left)
            .sum();
        if let Some((journal, _)) = &journal {
            // Writes down what is delivered.
            tokio::task::block_in_place(|| journal.close());
        }
        tracing::info!("{}", telemetry::metrics::snapshot(&counters, &exporters));
        telemetry.shutdown(for_telemetry(began.elapsed())).await;
        left
    };
    let left = tokio::select! {
        left = drained => left,
        () = signals.end() => return Ok(ended_at_once(journal.is_some())),
    };
    asked.cancel();
    let kept: u64 = exporters.iter().filter_map(|exporter| exporter.account()).map(Account::open_count).sum();
    if kept > 0 {
        say(&format!("{kept} requests stay in the journal; the next start sends them"));
    }
    if left > 0 {
        say(&format!("{left} items were left behind: their backend did not take them in time"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the limit of memory does to the rest of the configuration. Our own log is not there yet.
fn tell_of(plan: &Plan, sockets: &[(usize, bool, Listener, Bound)]) {
    if plan.is_tight {
        say(&format!(
            "{} MiB leave too little for data beside the engine; raise `memory::limit` (or the container's), or lower `why502::limits`",
            plan.limit >> 20
        ));
    }
    let most = plan.request_bytes_max();
    for (_, _, listener, bound) in sockets.iter().filter(|(_, _, listener, _)| listener.request_bytes_max > most) {
        say(&format!(
            "{} takes requests of {} MiB at most, not {}: a larger one does not fit into `memory::limit`, {} MiB",
            bound.address,
            most >> 20,
            listener.request_bytes_max >> 20,
            plan.limit >> 20
        ));
    }
}

/// What is noted of requests out of topics, where there are any: for each exporter that gets them.
fn out_of_topics(config: &Config) -> Option<Arc<Deliveries>> {
    let is_source = |receiver: &usize| config.receivers.get(*receiver).is_some_and(|known| known.kafka.is_some());
    let backend = |(index, exporter): (usize, &config::settings::Exporter)| {
        let of = config.pipelines.iter().filter(|pipeline| pipeline.exporters.contains(&index));
        let mut receivers = of.flat_map(|pipeline| &pipeline.receivers).peekable();
        receivers.peek()?;
        let (some, others): (Vec<&usize>, Vec<&usize>) = receivers.partition(|receiver| is_source(receiver));
        (!some.is_empty()).then(|| (exporter.name.clone(), others.is_empty()))
    };
    let backends: Vec<(String, bool)> = config.exporters.iter().enumerate().filter_map(backend).collect();
    (!backends.is_empty()).then(|| Arc::new(Deliveries::new(backends)))
}

/// Receivers that ask for data: their index, and where it is told why they get none.
type Sources = Vec<(usize, KafkaReceiver, Arc<kafka::State>)>;

fn sources(config: &Config) -> Sources {
    let all = config.receivers.iter().enumerate();
    let source = |(index, receiver): (usize, &Receiver)| {
        let state = Arc::new(kafka::State::of(receiver.name.clone()));
        Some((index, *receiver.kafka.clone()?, state))
    };
    all.filter_map(source).collect()
}

fn setup_of(config: &Config, index: usize, plan: &Plan, memory: &Memory) -> kafka::Setup {
    let takes = |signal: &Signal| {
        config.pipelines.iter().any(|pipeline| pipeline.signal == *signal && pipeline.receivers.contains(&index))
    };
    let hold = config.processor.hold;
    let context = journal::context_of(i64::try_from(hold.as_nanos()).unwrap_or(i64::MAX));
    kafka::Setup {
        name: config.receivers.get(index).map_or_else(String::new, |receiver| receiver.name.clone()),
        signals: Signal::ALL.into_iter().filter(takes).collect(),
        hold,
        context: Duration::from_nanos(u64::try_from(context).unwrap_or(0)),
        request_bytes_max: plan.request_bytes_max(),
        memory: memory.clone(),
    }
}

/// Who asks at each socket.
fn guards(sockets: &[(usize, bool, Listener, Bound)]) -> Result<Vec<Option<Guard>>, AuthError> {
    sockets.iter().map(|(_, _, listener, _)| listener.auth.as_ref().map(Guard::of).transpose()).collect()
}

/// After a while, or never.
async fn after(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// The journal, where an exporter asks for one, and what there is to say of it.
fn open_journal(config: &Config) -> anyhow::Result<Option<(Arc<Journal>, Opening)>> {
    let Some(settings) = &config.journal else { return Ok(None) };
    let asking = config.exporters.iter().filter(|exporter| exporter.is_journaled());
    let names: Vec<String> = asking.map(|exporter| exporter.name.clone()).collect();
    let hold = i64::try_from(config.processor.hold.as_nanos()).unwrap_or(i64::MAX);
    let limits = Limits::of(settings.bytes_max, hold);
    let directory = &settings.directory.path;
    let opened = journal::open_directory(directory, limits, &names);
    opened.map(Some).map_err(|error| anyhow::anyhow!("{}", error.in_directory(directory)))
}

/// Hands over what the last run did not deliver.
async fn replay(pipeline: &Pipeline, journal: &Arc<Journal>) -> anyhow::Result<()> {
    let replayed = pipeline.replay(journal).await.context("the journal")?;
    if replayed.items + replayed.own > 0 {
        let own = if replayed.own > 0 { format!(", nor {} records of its own", replayed.own) } else { String::new() };
        let items = replayed.items;
        tracing::info!("{items} items of the journal were not delivered by the last run{own}; they go first");
    }
    if replayed.lost > 0 {
        tracing::warn!("{} items of the journal are lost: no pipeline has their signal any more", replayed.lost);
    }
    Ok(())
}

/// What is left for verdicts and backends when so much of a shutdown has passed.
fn for_delivery(elapsed: Duration) -> Duration {
    SHUTDOWN_MAX.saturating_sub(TELEMETRY_SHARE).saturating_sub(elapsed)
}

/// What is left for our own telemetry when so much of a shutdown has passed.
fn for_telemetry(elapsed: Duration) -> Duration {
    SHUTDOWN_MAX.saturating_sub(elapsed)
}

fn ended_at_once(has_journal: bool) -> ExitCode {
    let kept = if has_journal { ", but for what the journal has: the next start sends it" } else { "" };
    say(&format!("ended at once; what was held or queued is lost{kept}"));
    ExitCode::from(130)
}

/// All at once: a slow backend must not take the time of the others.
async fn futures<F: Future<Output = u64>>(closing: Vec<F>) -> Vec<u64> {
    let mut closing: Vec<_> = closing.into_iter().map(Box::pin).collect();
    let mut results = vec![None; closing.len()];
    std::future::poll_fn(|context| {
        for (future, result) in closing.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(left) = future.as_mut().poll(context)
            {
                *result = Some(left);
            }
        }
        if results.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

/// The socket of the page with who asks there; why there is none.
type Page = Result<(Web, Bound, Option<Guard>), Option<String>>;

/// Listens for the page. A port that is taken is no reason not to start where nobody asked for the page: another why502 may
/// run here.
async fn bind_page(config: &Config) -> anyhow::Result<Page> {
    let Some(web) = &config.web else { return Ok(Err(None)) };
    match bind(&web.listener, "web::endpoint").await {
        Ok(bound) => Ok(Ok((web.clone(), bound, web.listener.auth.as_ref().map(Guard::of).transpose()?))),
        Err(error) if web.is_written => Err(error.into()),
        Err(error) => Ok(Err(Some(error.to_string()))),
    }
}

fn announce(sockets: &[(usize, bool, Listener, Bound)], sources: &Sources, page: &Page, is_embedded: bool) {
    let places: Vec<String> = sockets
        .iter()
        .map(|(_, is_grpc, _, bound)| format!("{} ({})", bound.address, if *is_grpc { "gRPC" } else { "HTTP" }))
        .collect();
    let topics = sources.iter().map(|(_, kafka, _)| format!("topics of {} (Kafka)", kafka.client.brokers.join(", ")));
    let places: Vec<String> = places.into_iter().chain(topics).collect();
    say(&format!("why502 {} takes OTLP on {}", env!("CARGO_PKG_VERSION"), places.join(" and ")));
    match page {
        Ok((_, bound, _)) => {
            let scheme = if bound.certificates().is_some() { "https" } else { "http" };
            say(&format!("the page for people is at {scheme}://{}/", bound.address));
        }
        Err(Some(problem)) => say(&format!("no page: {problem}")),
        Err(None) => {}
    }
    if is_embedded {
        say(
            "no configuration: verdicts appear here and nothing leaves this machine; `why502 run --config FILE` forwards",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::serve::DRAIN_TIMEOUT;

    #[test]
    fn a_shutdown_has_one_deadline_however_long_its_steps_take() {
        let second = Duration::from_secs(1);
        for servers in [Duration::ZERO, second, DRAIN_TIMEOUT] {
            for verdicts in [Duration::ZERO, second, Duration::MAX] {
                for backends in [Duration::ZERO, second, Duration::MAX] {
                    let mut elapsed = servers;
                    elapsed += verdicts.min(for_delivery(elapsed));
                    elapsed += backends.min(for_delivery(elapsed));
                    assert!(for_telemetry(elapsed) >= TELEMETRY_SHARE, "{servers:?} {verdicts:?} {backends:?}");
                    assert_eq!(elapsed + for_telemetry(elapsed), SHUTDOWN_MAX);
                }
            }
        }
        assert!(for_delivery(DRAIN_TIMEOUT) >= 15 * second, "what waits has most of the time");
        assert!(SHUTDOWN_MAX + 5 * second <= Duration::from_secs(30), "Kubernetes ends a container after 30 s");
    }
}
