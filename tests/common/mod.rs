//! What the tests of the hop share: requests, raw clients, scripted backends, the running binary.

pub(crate) mod backend;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod hop;
pub(crate) mod process;
pub(crate) mod requests;

use std::time::Duration;

/// What a test waits for, in words that may be found at the end only.
pub(crate) trait What {
    fn told(&self) -> String;
}

impl What for &str {
    fn told(&self) -> String {
        (*self).to_owned()
    }
}

impl<F: Fn() -> String> What for F {
    fn told(&self) -> String {
        self()
    }
}

/// Waits until a condition holds; a test that waits longer than half a minute has failed.
pub(crate) async fn eventually(what: impl What, mut holds: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came true: {}", what.told());
}

/// The configuration of a text, which must be valid.
pub(crate) fn config(text: &str) -> why502::config::settings::Config {
    why502::config::read(text, &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{text}"))
}

/// The settings of one remote exporter; `options` is the rest of its section.
pub(crate) fn remote(kind: &str, url: &str, options: &str) -> why502::config::settings::Exporter {
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{}}}}}}}}
exporters:
  {kind}: {{endpoint: \"{url}\", {options}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [{kind}]}}}}}}
"
    );
    config(&text).exporters.pop().expect("an exporter")
}
