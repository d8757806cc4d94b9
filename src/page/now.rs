//! The first page: what is wrong at the moment.

use super::parts::{self, Links, incident, requests};
use super::rate::Rates;
use super::words::counted;
use crate::engine::incident::{Incident, State};
use crate::engine::verdict::Verdict;
use crate::read::evidence::Nanos;
use maud::{Markup, html};
use std::sync::Arc;

/// Incidents that are over, of those that are shown.
pub const OVER_MAX: usize = 5;
/// Incidents that are open, of those that are shown: a screen or two.
pub const OPEN_MAX: usize = 20;
/// Requests that failed last.
pub const REQUESTS_MAX: usize = 20;

/// What is known now.
#[derive(Debug)]
pub struct Now<'a> {
    /// The clock.
    pub at: Nanos,
    /// Incidents, newest first.
    pub incidents: &'a [Arc<Incident>],
    /// Failed requests, newest first.
    pub verdicts: &'a [Arc<Verdict>],
    /// Failures by minute.
    pub rates: &'a Rates,
}

/// The heading: one sentence.
pub fn title(incidents: &[Arc<Incident>]) -> String {
    let open = incidents.iter().filter(|incident| incident.state != State::Closed).count();
    match open {
        0 => "No incident is open".to_owned(),
        count => counted(count as u64, "incident is open", "incidents are open"),
    }
}

/// What stands under the heading.
pub fn body(now: &Now<'_>) -> Markup {
    let is_open = |incident: &&Arc<Incident>| incident.state != State::Closed;
    let open = now.incidents.iter().filter(is_open);
    let over = now.incidents.iter().filter(|incident| !is_open(incident));
    let hidden = open.clone().count().saturating_sub(OPEN_MAX);
    html! {
        @for one in open.take(OPEN_MAX) { (incident(one, Links::Site)) }
        @if hidden > 0 { p { a href="/incidents" { (counted(hidden as u64, "more incident is", "more incidents are")) " open" } } }
        section {
            h2 { "Failures a minute, by cause" }
            (now.rates.html(now.at))
        }
        section {
            h2 { "Failed last" }
            @if now.verdicts.is_empty() {
                p .note { "No failed request has been seen since why502 was started." }
            } @else {
                (requests(now.verdicts.iter().take(REQUESTS_MAX).map(Arc::as_ref), Links::Site))
                p { a href="/search" { "Search all that are kept" } }
            }
        }
        section {
            h2 { "Over" }
            @if over.clone().next().is_none() { p .note { "No incident has ended yet." } }
            @for one in over.take(OVER_MAX) { (incident(one, Links::Site)) }
            @if now.incidents.len() > OVER_MAX { p { a href="/incidents" { "All incidents that are kept" } } }
        }
    }
}

/// A list of incidents.
pub fn incidents<'i>(shown: impl Iterator<Item = &'i Incident>) -> Markup {
    html! { @for one in shown { (parts::incident(one, Links::Site)) } }
}
