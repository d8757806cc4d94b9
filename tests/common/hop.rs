//! The receiving half in this process: real listeners, the real middle, and an outlet that keeps what comes out.

use super::config;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;
use why502::engine::verdict::Verdict;
use why502::exporter::Outlet;
use why502::memory::Memory;
use why502::otlp::Signal;
use why502::pipeline::Pipeline;
use why502::read::formats::Reader;
use why502::receiver::admission::Admission;
use why502::receiver::serve::{Bound, bind, serve};
use why502::receiver::{grpc, http};
use why502::telemetry::Counters;
use why502::web::{self, Health, Ring};

/// Keeps what it is given.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    requests: Mutex<Vec<(Signal, Bytes, u64)>>,
}

impl Outlet for Kept {
    fn send(&self, signal: Signal, request: Bytes, items: u64) {
        self.requests.lock().expect("unbroken").push((signal, request, items));
    }

    fn verdict(&self, _verdict: &Arc<Verdict>) {}
}

impl Kept {
    /// What came since the last call.
    pub(crate) fn take(&self) -> Vec<(Signal, Bytes, u64)> {
        std::mem::take(&mut *self.requests.lock().expect("unbroken"))
    }
}

/// Listeners that end with the test.
pub(crate) struct Hop {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) kept: Arc<Kept>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ring: Ring,
    pub(crate) health: Health,
    pub(crate) pipeline: Pipeline,
    shutdown: CancellationToken,
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Hop {
    /// `text` names one receiver `otlp` with both protocols on port 0, and exporters whose place one [`Kept`] takes.
    pub(crate) async fn start(text: &str) -> Hop {
        let config = config(text);
        let kept = Arc::new(Kept::default());
        let outlets: Vec<Arc<dyn Outlet>> =
            config.exporters.iter().map(|_| Arc::clone(&kept) as Arc<dyn Outlet>).collect();
        let counters = Arc::new(Counters::default());
        let ring = Ring::new(config.processor.verdicts_max);
        let pipeline = Pipeline::start(&config, Reader::default(), None, &outlets, ring.clone(), Arc::clone(&counters));
        let (api, health) = web::routes(ring.clone()).await.expect("descriptors");
        let receiver = config.receivers.first().expect("a receiver");
        let (on_grpc, on_http) = (receiver.grpc.as_ref().expect("gRPC"), receiver.http.as_ref().expect("HTTP"));
        let (bound_grpc, bound_http): (Bound, Bound) =
            (bind(on_grpc, "grpc").await.expect("a port"), bind(on_http, "http").await.expect("a port"));
        let port = |bound: &Bound| bound.address.tcp().expect("a port");
        let addresses = (port(&bound_grpc), port(&bound_http));
        let shutdown = CancellationToken::new();
        let (admission, intake) = (Admission::of(on_grpc, Memory::unlimited()), pipeline.intake(0));
        let router = grpc::routes(intake, on_grpc.request_bytes_max, admission, api, &web::SERVICES);
        tokio::spawn(serve(bound_grpc, router, shutdown.clone()));
        let router = http::routes(
            pipeline.intake(0),
            on_http.request_bytes_max,
            Admission::of(on_http, Memory::unlimited()),
            &on_http.paths,
        );
        tokio::spawn(serve(bound_http, router, shutdown.clone()));
        Hop { grpc: addresses.0, http: addresses.1, kept, counters, ring, health, pipeline, shutdown }
    }

    /// Relays all signals untouched; requests of at most 1 MiB.
    pub(crate) async fn relay() -> Hop {
        Hop::start(&relay("logs, traces, metrics", 256)).await
    }

    /// Requests refused for a reason so far.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        let all = self.counters.labelled();
        all.iter().filter(|(name, label, _)| *name == "refused" && *label == reason).map(|(_, _, count)| count).sum()
    }
}

/// The configuration of a relay of these signals that works on so many requests at once.
pub(crate) fn relay(signals: &str, requests_max: usize) -> String {
    let pipelines: Vec<String> =
        signals.split(", ").map(|signal| format!("    {signal}: {{receivers: [otlp], exporters: [debug]}}")).collect();
    format!(
        "receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:0, max_recv_msg_size_mib: 1, max_concurrent_requests: {requests_max}}}
      http: {{endpoint: 127.0.0.1:0, max_request_body_size: 1MiB, max_concurrent_requests: {requests_max}}}
exporters: {{debug: {{}}}}
service:
  pipelines:
{}
",
        pipelines.join("\n")
    )
}
