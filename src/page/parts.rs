//! What several pages show: stamps, causes, lists of requests, lines.

use super::axis::Axis;
use super::rows::Row;
use super::spans::layered;
use super::words::{failed, grouped, listed, sentence, when};
use crate::engine::causes::Cause;
use crate::engine::correlate::slow::SlowSpan;
use crate::engine::incident::{Example, Incident, State};
use crate::engine::verdict::{Verdict, percent};
use crate::enrich::hex;
use crate::read::evidence::Nanos;
use crate::read::text::{printable, shortened};
use maud::{Markup, html};

/// Characters of a target in a list.
const TARGET_CHARS_MAX: usize = 160;

/// Keys of one count that are named.
pub(super) const NAMED_MAX: usize = 8;
/// Height of a lane.
const LOW: u32 = 14;

/// Whether what is named can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// On the page of a running why502.
    Site,
    /// In a file that stands alone.
    None,
}

/// A stamp.
pub fn stamp(time: Nanos) -> Markup {
    match when(time) {
        Some(text) => {
            let shown = text.replacen('T', " ", 1).replace('Z', " UTC");
            html! { time datetime=(text) { (shown) } }
        }
        None => html! { span { "at an unknown time" } },
    }
}

/// A sentence of ours, what stands in backticks as code.
pub fn prose(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A cause by its id, in the colour of its category.
pub fn cause(cause: &Cause) -> Markup {
    html! { code .{ "cause k-" (cause.category.id()) } { (cause.id) } }
}

/// `GET /x`, or that there is no request.
pub fn what(verdict: &Verdict) -> String {
    match (verdict.method.is_empty(), verdict.target.is_empty()) {
        (_, true) if verdict.status.is_some() => "a request".to_owned(),
        (_, true) => "no request joined".to_owned(),
        (true, false) => printable(&verdict.target),
        (false, false) => format!("{} {}", printable(&verdict.method), printable(&verdict.target)),
    }
}

/// Requests, one a line; with what may be followed from each.
pub fn requests<'v>(verdicts: impl Iterator<Item = &'v Verdict>, links: Links) -> Markup {
    html! {
        ol .requests {
            @for verdict in verdicts {
                li {
                    (leading(links, "/request/", &verdict.uid, html! {
                        @if let Some(status) = verdict.status { span .status { (status) } " " }
                        span .what { (shortened(&what(verdict), TARGET_CHARS_MAX)) }
                    }))
                    " " (stamp(verdict.time)) " " (cause(verdict.cause)) " "
                    span .sure { (percent(verdict.confidence)) "% sure" }
                }
            }
        }
    }
}

/// Examples of an incident, each with its trace.
pub(super) fn examples(examples: &[Example], links: Links) -> Markup {
    html! {
        ol .requests {
            @for example in examples {
                li {
                    (leading(links, "/request/", &example.uid, html! {
                        @if let Some(status) = example.status { span .status { (status) } " " }
                        span .what {
                            @if example.target.is_empty() { "no request joined" }
                            @else { (example.method) " " (example.target) }
                        }
                    }))
                    " " (stamp(example.time)) " " (cause(example.cause)) " "
                    span .sure { @if let Some(trace) = example.trace { "trace " code { (hex(&trace.trace_id)) } } }
                }
            }
        }
    }
}

/// A link where there is somewhere to go.
fn leading(links: Links, path: &str, uid: &str, inner: Markup) -> Markup {
    match links {
        Links::Site => html! { a href={ (path) (uid) } { (inner) } },
        Links::None => html! { span .title { (inner) } },
    }
}

/// An incident in a few lines.
pub fn incident(incident: &Incident, links: Links) -> Markup {
    let origin = incident.label.origin;
    let is_open = incident.state != State::Closed;
    html! {
        article .{ "incident k-" (origin.category.id()) } {
            h2 {
                (leading(links, "/incident/", &incident.label.uid, html! { (origin.id) ": " (failed(incident)) }))
                " " @if is_open { span .badge.open { "open" } } @else { span .badge { "over" } }
            }
            p { (prose(&sentence(&incident.label.summary()))) }
            p .do { strong { "What to do: " } (prose(incident.label.hint())) }
            p .when {
                (stamp(incident.first))
                @if incident.last > incident.first { " to " (stamp(incident.last)) }
                @let paths = listed(&incident.tally.paths, NAMED_MAX);
                @if !paths.is_empty() { " · " span .what { (paths) } }
            }
        }
    }
}

/// Lines with their deciding words.
pub fn lines(rows: &[Row]) -> Markup {
    html! {
        ol .lines {
            @for row in rows {
                li .deciding[row.deciding] {
                    @if let Some(at) = row.at { (stamp(at)) " " }
                    @if !row.source.is_empty() { span .{ "source " (lane(row.source)) } { (row.source) } " " }
                    @if let Some(place) = &row.place { span .place { (place) } " " }
                    span .text {
                        (row.before)
                        @if !row.words.is_empty() { mark { (row.words) } }
                        (row.after)
                    }
                    @for told in &row.told { " " span .told { "= " (told) } }
                }
            }
        }
    }
}

/// Who said what when, and the spans, each in a lane of one axis; lanes of which nothing is to be seen are left out.
pub(super) fn lanes(axis: Axis, rows: &[Row], spans: &[SlowSpan]) -> Markup {
    html! {
        @for (name, shown) in [("nginx", "NGINX"), ("gunicorn", "Gunicorn"), ("host", "kernel, host")] {
            @let of = rows.iter().filter(|row| lane(row.source) == name);
            @let marks: Vec<(Nanos, bool)> = of.filter_map(|row| Some((row.at.filter(|at| axis.has(*at))?, row.deciding))).collect();
            @if !marks.is_empty() {
                div .lane {
                    span .name { (shown) }
                    (axis.strip(LOW, html! {
                        @for (at, deciding) in marks {
                            (axis.mark(at, f64::from(LOW), if deciding { "deciding" } else { "said" }))
                        }
                    }))
                }
            }
        }
        @if !spans.is_empty() {
            div .lane {
                span .name { "spans" }
                (axis.strip(LOW, html! {
                    @for (span, class) in layered(spans) { (axis.bar(span.start, span.end, 2.0, f64::from(LOW) - 4.0, class)) }
                }))
            }
        }
        (axis.ticks())
    }
}

/// The lane of a source on the axis.
pub(super) fn lane(source: &str) -> &'static str {
    match source.split('.').next() {
        Some("nginx") => "nginx",
        Some("gunicorn") => "gunicorn",
        Some("host") => "host",
        Some("trace") => "trace",
        _ => "why502",
    }
}

/// Names and values; those that are empty are left out.
pub(super) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! {
        dl .facts {
            @for (name, value) in facts.iter().filter(|(_, value)| !value.0.is_empty()) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// Where a list goes on: `first` of `total`, so many on one page. `link` makes the address of a page.
pub fn pages(number: usize, total: usize, per_page: usize, link: impl Fn(usize) -> String) -> Markup {
    let last = total.div_ceil(per_page.max(1)).max(1);
    html! {
        @if last > 1 {
            nav .pages aria-label="Pages of this list" {
                @if number > 1 { a rel="prev" href=(link(number - 1)) { "Newer" } }
                span { "Page " (grouped(number as u64)) " of " (grouped(last as u64)) }
                @if number < last { a rel="next" href=(link(number + 1)) { "Older" } }
            }
        }
    }
}
