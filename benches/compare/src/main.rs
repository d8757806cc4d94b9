//! The other sides of `benches/compare.sh`.
//!
//! `compare proxy`: OTLP over gRPC in, the same bytes out (tonic with a codec of raw bytes): the floor of any hop.
//! `compare sink`: takes everything, counts it, and tells on standard output when it ends.
//! `compare load`: sends logs or traces over several streams, as fast as they are taken or at a rate.

mod load;
mod raw;

use clap::Parser;
use raw::{Hop, RawService};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;

#[derive(Parser)]
enum Command {
    /// Copies bytes.
    Proxy {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        to: String,
    },
    /// Counts what comes.
    Sink {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Sends.
    Load(load::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Proxy { listen, to } => {
            let hop = Hop::Proxy(raw::Client::connect(&to).await?);
            serve(listen, hop).await
        }
        Command::Sink { listen } => {
            let counts = Arc::new(Counts::default());
            serve(listen, Hop::Sink(Arc::clone(&counts))).await?;
            println!("{}", counts.json());
            Ok(())
        }
        Command::Load(options) => load::run(options).await,
    }
}

async fn serve(listen: SocketAddr, hop: Hop) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let stop = async {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("a handler");
        term.recv().await;
    };
    tonic::transport::Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .add_service(RawService::logs(hop.clone()))
        .add_service(RawService::traces(hop))
        .serve_with_incoming_shutdown(tokio_stream::wrappers::TcpListenerStream::new(listener), stop)
        .await?;
    Ok(())
}

/// What a sink took.
#[derive(Debug, Default)]
pub struct Counts {
    log_records: AtomicU64,
    spans: AtomicU64,
    verdicts: AtomicU64,
    enriched: AtomicU64,
    /// Delays of healthy records, and of healthy spans, in tenths of a millisecond, one a request.
    delays: [std::sync::Mutex<Vec<u32>>; 2],
}

/// Requests whose delay is kept.
const DELAYS_MAX: usize = 1_000_000;

impl Counts {
    /// Counts a request. The first record that no verdict touched tells when it was sent by its observed time.
    pub fn take(&self, signal: why502::otlp::Signal, request: &[u8]) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let (mut items, mut verdicts, mut enriched, mut sent) = (0, 0, 0, None);
        for resource in why502::otlp::Request::new(request).resources() {
            let host = resource.attributes().get("host.name").and_then(|host| host.as_string());
            let in_storm = host.is_some_and(|host| host.starts_with(load::STORM.as_bytes()));
            for scope in resource.scopes() {
                let own = scope.name() == b"why502";
                for item in scope.items() {
                    items += 1;
                    if signal == why502::otlp::Signal::Traces && sent.is_none() {
                        let span = item.span();
                        let status = span.attributes().get("http.status_code").and_then(|status| status.as_int());
                        sent = (status == Some(200)).then_some(span.end);
                    }
                    if signal == why502::otlp::Signal::Logs {
                        if own {
                            verdicts += 1;
                        } else if sent.is_none() && !in_storm {
                            let record = item.log_record();
                            if record.attributes().get("why502.cause").is_some() {
                                enriched += 1;
                            } else {
                                sent = Some(record.observed_time);
                            }
                        }
                    }
                }
            }
        }
        match signal {
            why502::otlp::Signal::Logs => self.log_records.fetch_add(items - verdicts, Ordering::Relaxed),
            _ => self.spans.fetch_add(items, Ordering::Relaxed),
        };
        self.verdicts.fetch_add(verdicts, Ordering::Relaxed);
        self.enriched.fetch_add(enriched, Ordering::Relaxed);
        // Requests of held records alone are late by design.
        if let Some(sent) = sent.filter(|_| items >= 100) {
            let delay = now.saturating_sub(u128::from(sent)) / 100_000;
            let of_signal = usize::from(signal == why502::otlp::Signal::Traces);
            let mut delays = self.delays[of_signal].lock().expect("not poisoned");
            if delays.len() < DELAYS_MAX {
                delays.push(u32::try_from(delay).unwrap_or(u32::MAX));
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        let [logs, spans] = [0, 1].map(|signal: usize| {
            let mut delays = std::mem::take(&mut *self.delays[signal].lock().expect("not poisoned"));
            delays.sort_unstable();
            [0.5, 0.99].map(|share| {
                delays.get((delays.len() as f64 * share) as usize).map(|delay| f64::from(*delay) / 10.0)
            })
        });
        serde_json::json!({
            "log_records": self.log_records.load(Ordering::Relaxed),
            "spans": self.spans.load(Ordering::Relaxed),
            "verdicts": self.verdicts.load(Ordering::Relaxed),
            "delay_ms_p50": logs[0], "delay_ms_p99": logs[1],
            "span_delay_ms_p50": spans[0], "span_delay_ms_p99": spans[1],
        })
    }
}
