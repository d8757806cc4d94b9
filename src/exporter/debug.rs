//! Incidents and verdicts for people, on standard output. The same story is told once; its incident has the count.

use super::Stats;
use crate::engine::incident::{Heard, Incident, State};
use crate::engine::verdict::{Verdict, percent};
use crate::enrich::hex;
use crate::read::text::printable;
use crate::read::time::rfc3339;
use anstyle::{AnsiColor, Style};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Verdicts that wait for a slow terminal; more are not shown, which is counted.
const WAITING_MAX: usize = 1_024;

/// What is shown.
enum Shown {
    Verdict(Arc<Verdict>),
    Incident(Arc<Incident>),
}

/// A writer of verdicts and incidents.
pub struct Debug {
    waiting: Mutex<Option<mpsc::Sender<Shown>>>,
    heard: Mutex<Heard>,
    writer: Mutex<Option<JoinHandle<()>>>,
    stats: Arc<Stats>,
}

impl Debug {
    /// Starts the writer, which may block on the terminal as long as it likes.
    pub fn start(stats: Arc<Stats>) -> Debug {
        let (waiting, mut inbox) = mpsc::channel::<Shown>(WAITING_MAX);
        let writer = tokio::task::spawn_blocking(move || {
            while let Some(shown) = inbox.blocking_recv() {
                let text = match &shown {
                    Shown::Verdict(verdict) => text(verdict),
                    Shown::Incident(incident) => incident_text(incident),
                };
                let mut out = anstream::stdout().lock();
                // A closed terminal is no reason to stop forwarding.
                let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            }
        });
        Debug { waiting: Mutex::new(Some(waiting)), heard: Mutex::default(), writer: Mutex::new(Some(writer)), stats }
    }

    /// Shows a verdict soon, unless one like it was shown.
    pub fn show(&self, verdict: &Arc<Verdict>) {
        if self.heard.lock().unwrap_or_else(PoisonError::into_inner).is_new(verdict) {
            self.send(Shown::Verdict(Arc::clone(verdict)));
        }
    }

    /// Shows soon what became of an incident.
    pub fn show_incident(&self, incident: &Arc<Incident>) {
        self.send(Shown::Incident(Arc::clone(incident)));
    }

    fn send(&self, shown: Shown) {
        let sender = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if sender.as_ref().is_none_or(|sender| sender.try_send(shown).is_err()) {
            self.stats.dropped("terminal_slow", 1);
        }
    }

    /// Writes what waits, at most so long.
    pub async fn close(&self, deadline: Duration) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = tokio::time::timeout(deadline, writer).await;
        }
    }
}

/// An incident for people, on one line; when it closes with what to do.
pub fn incident_text(incident: &Incident) -> String {
    let bold = Style::new().bold();
    let dim = Style::new().dimmed();
    let (time, state) = (rfc3339(incident.last), incident.state.id());
    let mut out = format!("{dim}{time}{dim:#} {bold}incident {state}{bold:#} {}\n", incident.sentence());
    if incident.state == State::Closed && incident.tally.total() > 1 {
        let _ = writeln!(out, "  what to do: {}", incident.label.hint());
    }
    out.push('\n');
    out
}

/// A verdict for people, with colours that `anstream` takes out where there is no terminal.
pub fn text(verdict: &Verdict) -> String {
    let bold = Style::new().bold();
    let dim = Style::new().dimmed();
    let red = AnsiColor::Red.on_default().bold();
    let cyan = AnsiColor::Cyan.on_default();
    let mut out = String::new();
    let status = verdict.status.map_or_else(String::new, |status| format!("{status} "));
    let request = match (verdict.method.is_empty(), verdict.target.is_empty()) {
        (_, true) => "no request joined".to_owned(),
        (true, false) => printable(&verdict.target),
        (false, false) => format!("{} {}", printable(&verdict.method), printable(&verdict.target)),
    };
    let revised = if verdict.revision > 0 { format!(" (revision {})", verdict.revision) } else { String::new() };
    let _ = writeln!(out, "{dim}{}{dim:#} {red}{status}{red:#}{bold}{request}{bold:#}{revised}", rfc3339(verdict.time));
    let percent = percent(verdict.confidence);
    let _ = writeln!(out, "  {red}{}{red:#} {dim}({percent}% sure){dim:#} {}", verdict.cause.id, verdict.summary());
    for quote in &verdict.evidence {
        let _ = writeln!(out, "    {cyan}{}{cyan:#}: {}", quote.source.id(), quote.text);
    }
    let _ = writeln!(out, "  what to do: {}", verdict.hint());
    if let Some(trace) = verdict.link.trace {
        let _ = writeln!(out, "  trace: {} {dim}({}){dim:#}", hex(&trace.trace_id), verdict.link.method.id());
    }
    out.push('\n');
    out
}
