//! Our own telemetry: counters, the log on standard error, and both over OTLP where configured. Never into itself.

pub mod metrics;
mod process;

use crate::config::settings::{Endpoint, Telemetry as Settings};
use crate::engine::verdict::Verdict;
use crate::otlp::Signal;
use crate::scan::FORMATS;
use http::uri::Scheme;
use metrics::Measured;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_otlp::{WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::ClientTlsConfig;

/// What is counted, in plain numbers; the exported metrics read them.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: [AtomicU64; 3],
    recognised: [AtomicU64; FORMATS.len()],
    unrecognised: AtomicU64,
    held: AtomicU64,
    unwatched: [AtomicU64; Unwatched::ALL.len()],
    /// Few labels, seldom counted.
    labelled: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

/// Why a span goes on without being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwatched {
    /// The engine is too far behind to be told of it.
    Queue,
    /// It is one of a failure, and there is no room for it to wait.
    Budget,
}

impl Unwatched {
    /// All reasons.
    pub const ALL: [Unwatched; 2] = [Unwatched::Queue, Unwatched::Budget];

    /// The word of the metric.
    pub fn id(self) -> &'static str {
        match self {
            Unwatched::Queue => "queue",
            Unwatched::Budget => "budget",
        }
    }
}

impl Counters {
    /// Counts items of a request that was acknowledged.
    pub fn accepted(&self, signal: Signal, items: u64) {
        if let Some(count) = self.accepted.get(index(signal)) {
            count.fetch_add(items, Ordering::Relaxed);
        }
    }

    /// Counts a request that was refused.
    pub fn refused(&self, reason: &'static str) {
        self.add("refused", reason, 1);
    }

    /// Counts records by format.
    pub fn recognised(&self, by_format: &[u64; FORMATS.len()], unrecognised: u64) {
        for (count, more) in self.recognised.iter().zip(by_format) {
            if *more > 0 {
                count.fetch_add(*more, Ordering::Relaxed);
            }
        }
        if unrecognised > 0 {
            self.unrecognised.fetch_add(unrecognised, Ordering::Relaxed);
        }
    }

    /// Counts a verdict by cause and by how it was linked.
    pub fn verdict(&self, verdict: &Verdict) {
        self.add("verdicts", verdict.cause.id, 1);
        self.add("links", verdict.link.method.id(), 1);
    }

    /// So many records or spans more wait for a verdict, or for the engine.
    pub fn held_more(&self, count: u64) {
        self.held.fetch_add(count, Ordering::Relaxed);
    }

    /// So many fewer do.
    pub fn held_less(&self, count: u64) {
        self.held.fetch_sub(count, Ordering::Relaxed);
    }

    /// Counts spans that go on without being looked at.
    pub fn unwatched(&self, why: Unwatched, count: u64) {
        let [queue, budget] = &self.unwatched;
        let counter = match why {
            Unwatched::Queue => queue,
            Unwatched::Budget => budget,
        };
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Spans that went on without being looked at, by reason.
    pub fn unwatched_counts(&self) -> impl Iterator<Item = (Unwatched, u64)> {
        Unwatched::ALL.into_iter().zip(self.unwatched.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Adds to a labelled counter.
    pub fn add(&self, name: &'static str, label: &'static str, count: u64) {
        *self.labelled.lock().unwrap_or_else(PoisonError::into_inner).entry((name, label)).or_default() += count;
    }

    /// All labelled counters: name, label, count.
    pub fn labelled(&self) -> Vec<(&'static str, &'static str, u64)> {
        let labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        labelled.iter().map(|((name, label), count)| (*name, *label, *count)).collect()
    }

    /// Items accepted of a signal.
    pub fn accepted_count(&self, signal: Signal) -> u64 {
        self.accepted.get(index(signal)).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Records by format, then those in none.
    pub fn recognised_counts(&self) -> (Vec<(&'static str, u64)>, u64) {
        let by_format = FORMATS
            .iter()
            .zip(&self.recognised)
            .map(|(format, count)| (format.id(), count.load(Ordering::Relaxed)))
            .collect();
        (by_format, self.unrecognised.load(Ordering::Relaxed))
    }

    /// Records and spans that wait.
    pub fn held_count(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

fn index(signal: Signal) -> usize {
    Signal::ALL.iter().position(|known| *known == signal).unwrap_or(0)
}

/// What has to be ended at shutdown.
pub struct Telemetry {
    metrics: Option<SdkMeterProvider>,
    registry: Option<prometheus::Registry>,
    logs: Option<SdkLoggerProvider>,
}

/// Why our own telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter cannot be built.
    #[error("service::telemetry: {0}")]
    Exporter(String),
}

/// Starts our log on standard error and, where configured, metrics and logs over OTLP. Called inside the runtime.
///
/// # Errors
/// When an exporter cannot be built.
pub fn start(settings: &Settings, measured: &Measured<'_>) -> Result<Telemetry, TelemetryError> {
    let logs = settings.logs_endpoint.as_ref().map(log_provider).transpose()?;
    log_to_stderr(&settings.level, logs.as_ref());
    let registry = settings.prometheus.as_ref().map(|_| prometheus::Registry::new());
    let metrics = if settings.metrics_endpoint.is_some() || registry.is_some() {
        Some(meter_provider(settings, registry.as_ref(), measured)?)
    } else {
        None
    };
    Ok(Telemetry { metrics, registry, logs })
}

/// Every metric in Prometheus's text format.
fn exposition(registry: &prometheus::Registry) -> String {
    let mut text = String::new();
    // Fails on a family without metrics alone, and then what stands before it is still told.
    if let Err(error) = prometheus::TextEncoder::new().encode_utf8(&registry.gather(), &mut text) {
        tracing::warn!(%error, "some metrics could not be told");
    }
    text
}

impl Telemetry {
    /// Makes the text that Prometheus scrapes; `None` where it is not configured.
    pub fn scrape(&self) -> Option<impl Fn() -> String + Clone + Send + Sync + 'static> {
        let registry = self.registry.clone()?;
        Some(move || exposition(&registry))
    }

    /// Sends what is left, at most so long.
    pub async fn shutdown(self, within: Duration) {
        // At shutdown there is nobody left to tell of a failure. Both wait on their thread for a backend that is away, the
        // metrics 5 s whatever they are told, so they do it together and out of the way: the end of the process ends them.
        let Telemetry { metrics, logs, .. } = self;
        let mut ended = Vec::new();
        let mut out_of_the_way = |work: Box<dyn FnOnce() + Send>| {
            let (tell, told) = tokio::sync::oneshot::channel();
            let work = move || {
                work();
                let _ = tell.send(());
            };
            if std::thread::Builder::new().name("telemetry".to_owned()).spawn(work).is_ok() {
                ended.push(told);
            }
        };
        if let Some(metrics) = metrics {
            out_of_the_way(Box::new(move || drop(metrics.shutdown())));
        }
        if let Some(logs) = logs {
            out_of_the_way(Box::new(move || drop(logs.shutdown_with_timeout(within))));
        }
        let all = async {
            for told in ended {
                let _ = told.await;
            }
        };
        let _ = tokio::time::timeout(within, all).await;
    }
}

/// Our own log on standard error alone, for commands without a configuration.
pub fn warnings_to_stderr() {
    log_to_stderr("warn", None);
}

fn log_to_stderr(level: &str, provider: Option<&SdkLoggerProvider>) {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let level: tracing::level_filters::LevelFilter = level.parse().unwrap_or(tracing::level_filters::LevelFilter::INFO);
    let of_our_own = tracing_subscriber::filter::Targets::new().with_target("why502", level);
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false);
    // Told on standard error as well, which panics where the terminal is gone.
    let to_stderr = to_stderr.log_internal_errors(false);
    // Only our own events: those of the exporter's own crates would send more events.
    let over_otlp = provider.map(|provider| {
        opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge::new(provider).with_filter(of_our_own.clone())
    });
    // A second start in one process, as tests have it, keeps the first.
    let _ = tracing_subscriber::registry().with(to_stderr.with_filter(of_our_own)).with(over_otlp).try_init();
}

fn log_provider(endpoint: &Endpoint) -> Result<SdkLoggerProvider, TelemetryError> {
    let exporter = to(opentelemetry_otlp::LogExporter::builder().with_tonic(), endpoint).build();
    let exporter = exporter.map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    Ok(SdkLoggerProvider::builder().with_batch_exporter(exporter).with_resource(own_resource()).build())
}

fn meter_provider(
    settings: &Settings,
    registry: Option<&prometheus::Registry>,
    measured: &Measured<'_>,
) -> Result<SdkMeterProvider, TelemetryError> {
    let mut provider = SdkMeterProvider::builder().with_resource(own_resource());
    if let Some(endpoint) = &settings.metrics_endpoint {
        let exporter = to(opentelemetry_otlp::MetricExporter::builder().with_tonic(), endpoint).build();
        let exporter = exporter.map_err(|error| TelemetryError::Exporter(error.to_string()))?;
        let reader = opentelemetry_sdk::metrics::PeriodicReader::builder(exporter);
        provider = provider.with_reader(reader.with_interval(settings.metrics_interval).build());
    }
    if let Some(registry) = registry {
        // Units stand in the names already, and there is one scope.
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        let exporter = exporter.without_units().scope_info_enabled(false).build();
        provider = provider.with_reader(exporter.map_err(|error| TelemetryError::Exporter(error.to_string()))?);
    }
    let provider = provider.build();
    metrics::observe(&provider.meter("why502"), measured);
    Ok(provider)
}

/// Trusts the authorities of the system where the endpoint begins with https.
fn to<B: WithExportConfig + WithTonicConfig>(builder: B, endpoint: &Endpoint) -> B {
    let builder = builder.with_endpoint(endpoint.url.to_string());
    if endpoint.url.scheme() == Some(&Scheme::HTTPS) {
        builder.with_tls_config(ClientTlsConfig::new().with_native_roots())
    } else {
        builder
    }
}

fn own_resource() -> opentelemetry_sdk::Resource {
    opentelemetry_sdk::Resource::builder()
        .with_service_name("why502")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}
