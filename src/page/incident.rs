//! One incident as a story: what failed, why, what to do, and when who said what.

use super::axis::{Axis, number};
use super::parts::{self, Links, NAMED_MAX, lane, lanes, lines, prose, stamp};
use super::rows::Row;
use super::spans::waterfall;
use super::words::{counted, failed, grouped, lasted, listed, sentence};
use crate::engine::correlate::slow::SlowSpan;
use crate::engine::incident::{Incident, State};
use crate::enrich::hex;
use crate::read::evidence::{Nanos, SECOND};
use crate::read::text::printable;
use maud::{Markup, html};

/// Columns of failures on the axis.
const COLUMNS: usize = 60;
/// A line whose stamp is further from the incident is listed and not drawn: its clock may be wrong.
const NEAR: Nanos = 600 * SECOND;
/// Height of a column.
const TALL: u32 = 40;

/// An incident with what is known of its story.
#[derive(Debug)]
pub struct Story<'a> {
    /// The incident.
    pub incident: &'a Incident,
    /// Lines of its requests and of the processes that they went to, in order of time.
    pub rows: Vec<Row>,
    /// When its requests failed, as far as they are kept.
    pub failures: Vec<Nanos>,
    /// Spans of one of its requests.
    pub spans: Vec<SlowSpan>,
}

/// What stands under the heading.
pub fn body(story: &Story<'_>, links: Links, sub: impl Fn(&str) -> Markup) -> Markup {
    let Story { incident, rows, spans, .. } = story;
    let trace = spans.first().map(|span| hex(&span.trace_id));
    html! {
        p .lead { (prose(&sentence(&incident.label.summary()))) }
        p .do { strong { "What to do: " } (prose(incident.label.hint())) }
        (facts(incident))
        (figure(story))
        @if rows.is_empty() {
            @if let Some(quote) = &incident.evidence {
                (sub("Evidence"))
                ol .lines { li .deciding {
                    span .{ "source " (lane(quote.source.id())) } { (quote.source.id()) } " "
                    span .text { mark { (printable(&quote.text)) } }
                } }
            }
        } @else {
            (sub("Who said what, in order of time"))
            (lines(rows))
        }
        @if !incident.examples.is_empty() && incident.tally.total() > 1 {
            (sub("Examples"))
            (parts::examples(&incident.examples, links))
        }
        @if let Some(trace) = trace {
            (sub("Where the time of one of them went"))
            p .note { "Spans of trace " code { (trace) } ", those of a second or more." }
            (waterfall(spans))
        }
    }
}

/// Whether it is over, for beside its heading.
pub fn badge(incident: &Incident) -> Markup {
    html! {
        @if incident.state == State::Closed { span .badge { "over" } } @else { span .badge.open { "open" } }
    }
}

fn facts(incident: &Incident) -> Markup {
    let tally = &incident.tally;
    let lasting = incident.last.saturating_sub(incident.first);
    let ended = incident.ended.as_ref();
    parts::facts(&[
        (
            "when",
            html! {
                (stamp(incident.first))
                @if lasting > 0 { " to " (stamp(incident.last)) " (" (lasted(lasting)) ")" }
            },
        ),
        ("how many", html! { (failed(incident)) }),
        ("causes", html! { (listed(&tally.causes, NAMED_MAX)) }),
        ("paths", html! { (listed(&tally.paths, NAMED_MAX)) }),
        ("statuses", html! { (listed(&tally.statuses, NAMED_MAX)) }),
        ("upstreams", html! { (listed(&tally.upstreams, NAMED_MAX)) }),
        ("began with", html! { @if let Some(path) = &incident.began_with { (printable(path)) } }),
        (
            "ended",
            html! {
                @if let Some(ended) = ended {
                    @if let Some(at) = ended.at() { (stamp(at)) " " }
                    (printable(&ended.words()))
                } @else { "not yet" }
            },
        ),
        ("uid", html! { code { (incident.label.uid) } }),
    ])
}

/// Lines, failures and spans on one axis.
fn figure(story: &Story<'_>) -> Markup {
    let Story { incident, rows, failures, spans } = story;
    let (from, to) = (incident.first.saturating_sub(NEAR), incident.last.saturating_add(NEAR));
    let near = |time: &Nanos| (from..=to).contains(time);
    let ended = incident.ended.as_ref().and_then(crate::engine::incident::Ended::at).filter(near);
    let said = rows.iter().filter_map(|row| row.at).filter(near);
    let of_spans = spans.iter().flat_map(|span| [span.start, span.end]).filter(near);
    let all = said.chain(of_spans).chain(failures.iter().copied().filter(near)).chain(ended);
    let Some(axis) = Axis::over(all.chain([incident.first, incident.last])) else { return html! {} };
    let axis = axis.with_margin();
    let columns = axis.parts(failures.iter().copied(), COLUMNS);
    let most = columns.iter().copied().max().unwrap_or(0);
    html! {
        figure .axis {
            @if most > 0 {
                div .lane.tall {
                    span .name { "failed" }
                    (axis.strip(TALL, html! {
                        @for (column, count) in columns.iter().enumerate().filter(|(_, count)| **count > 0) {
                            @let height = (*count as f64 / most as f64 * f64::from(TALL)).max(2.0);
                            rect .failed x=(number(column as f64 * 1_000.0 / COLUMNS as f64)) y=(number(f64::from(TALL) - height))
                                width=(number(1_000.0 / COLUMNS as f64 - 1.0)) height=(number(height)) {}
                        }
                        @if let Some(at) = ended { (axis.mark(at, f64::from(TALL), "ended")) }
                    }))
                }
            }
            (lanes(axis, rows, spans))
            figcaption {
                @if most > 0 {
                    (counted(failures.len() as u64, "failure", "failures")) " drawn, at most " (grouped(most)) " in a column. "
                }
                "Lines that decided are red, others grey" @if ended.is_some() { ", the end green" } "; times are UTC."
            }
        }
    }
}
