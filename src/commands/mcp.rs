//! `why502 mcp`: an agent's questions about log files.

use crate::cli::Mcp;
use crate::commands::signals::Signals;
use crate::commands::{USAGE, formats, nginx_conf, runtime, say};
use crate::config::endpoint;
use crate::config::settings::{Keepalive, Listener};
use crate::config::web::is_loopback;
use crate::mcp::Named;
use crate::mcp::server::Server;
use crate::otlp::Signal;
use crate::read::evidence::SECOND;
use crate::receiver::serve::{bind, serve};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A connection that is silent for so long is asked whether it is alive.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Requests and their bytes, as the protocol's own limit has them.
const REQUEST_BYTES_MAX: usize = 1 << 20;
const REQUESTS_MAX: usize = 16;

/// Answers until the client goes away, or over HTTP until it is told to stop.
///
/// # Errors
/// When the client does not speak the protocol, or the address cannot be listened on.
pub fn run(options: &Mcp) -> anyhow::Result<ExitCode> {
    if options.http.is_none() && options.files.iter().any(|file| file == "-") {
        say("error: standard input is where the client speaks; name files, or let it come over --http");
        return Ok(ExitCode::from(USAGE));
    }
    let nginx = options.reading.nginx_conf.as_deref().map(nginx_conf::load).transpose()?;
    let mut problems: Vec<String> = nginx.iter().flat_map(|conf| &conf.mistakes).map(ToString::to_string).collect();
    let formats = formats(&options.reading, nginx.as_ref(), &mut problems);
    problems.iter().for_each(|problem| say(problem));
    let named = Named {
        files: options.files.clone(),
        traces: options.reading.traces.clone(),
        zone: options.reading.time_zone.map(|seconds| seconds.saturating_mul(SECOND)),
        nginx: nginx.map(Arc::new),
        formats,
    };
    let server = Server::new(named);
    match &options.http {
        None => runtime()?.block_on(server.on_standard_input())?,
        Some(endpoint) => match listener(endpoint) {
            Ok(listener) => runtime()?.block_on(over_http(server, &listener))?,
            Err(problem) => {
                say(&format!("error: --http: {problem}"));
                return Ok(ExitCode::from(USAGE));
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}

async fn over_http(server: Server, listener: &Listener) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let bound = bind(listener, "--http").await?;
    say(&format!("agents are answered at http://{}/mcp", bound.address));
    let shutdown = CancellationToken::new();
    let router = server.routes(shutdown.clone());
    let serving = tokio::spawn(serve(bound, router, shutdown.clone()));
    // Whatever it is told: there is nothing to read anew.
    signals.next().await;
    shutdown.cancel();
    Ok(serving.await?)
}

/// Only this machine is answered: who asks is not asked who they are.
fn listener(text: &str) -> Result<Listener, String> {
    let Some((host, port)) = endpoint::listen(text) else {
        return Err(format!("`{text}` is not HOST:PORT, such as 127.0.0.1:5021"));
    };
    if !is_loopback(&host) {
        return Err(format!("{text} can be reached by others, and nobody is asked who they are; listen on 127.0.0.1"));
    }
    Ok(Listener {
        endpoint: text.to_owned(),
        host,
        port,
        unix: None,
        request_bytes_max: REQUEST_BYTES_MAX,
        requests_max: REQUESTS_MAX,
        in_flight_bytes_max: REQUESTS_MAX * REQUEST_BYTES_MAX,
        tls: None,
        auth: None,
        cors: None,
        paths: Signal::ALL.map(|_| String::new()),
        keepalive: Keepalive { time: KEEPALIVE, timeout: KEEPALIVE / 3, age_max: None },
        line: 0,
    })
}
