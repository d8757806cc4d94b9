//! One failed request: why it failed, its lines, what else it could be, its trace.

use super::axis::Axis;
use super::parts::{self, Links, lanes, lines, prose, stamp, what};
use super::rows::Row;
use super::spans::waterfall;
use super::words::{counted, sentence};
use crate::engine::correlate::slow::SlowSpan;
use crate::engine::verdict::{LinkMethod, Verdict, percent};
use crate::enrich::hex;
use crate::read::evidence::{Nanos, SECOND};
use crate::read::text::{printable, shortened};
use maud::{Markup, html};

/// Characters of a target where it is what the page is about: the longest that nginx takes are 8 KiB.
const TARGET_CHARS_MAX: usize = 2_000;
/// A line whose stamp is further from the request is listed and not drawn.
const NEAR: Nanos = 600 * SECOND;

/// A failed request with what is known of it.
#[derive(Debug)]
pub struct Failed<'a> {
    /// The verdict.
    pub verdict: &'a Verdict,
    /// Its lines and conclusions, in order of time.
    pub rows: Vec<Row>,
    /// Spans of its trace that are known.
    pub spans: &'a [SlowSpan],
    /// False where only the words that decided are kept of its lines.
    pub has_lines: bool,
}

/// `502 GET /report?month=10`.
pub fn title(verdict: &Verdict) -> String {
    let status = verdict.status.map_or_else(String::new, |status| format!("{status} "));
    format!("{status}{}", shortened(&what(verdict), TARGET_CHARS_MAX))
}

/// What stands under the heading.
pub fn body(failed: &Failed<'_>, links: Links, sub: impl Fn(&str) -> Markup) -> Markup {
    let Failed { verdict, rows, spans, has_lines } = failed;
    html! {
        p .lead {
            (parts::cause(verdict.cause)) " " span .sure { (percent(verdict.confidence)) "% sure" } ": "
            (prose(&sentence(&verdict.summary())))
        }
        p .do { strong { "What to do: " } (prose(verdict.hint())) }
        (facts(verdict, links))
        (figure(rows, spans))
        (sub("Its lines"))
        @if !has_lines {
            p .note {
                "Only the words that decided are kept of this one. Its records went on to the backends with "
                code { "why502.request.uid" } " " code { (verdict.uid) } "."
            }
        }
        (lines(rows))
        (considered(verdict, &sub))
        (trace(verdict, spans, &sub))
    }
}

fn facts(verdict: &Verdict, links: Links) -> Markup {
    let text = |text: &str| html! { (printable(text)) };
    let incident = verdict.incident.as_ref();
    parts::facts(&[
        ("when", stamp(verdict.time)),
        ("client", text(&verdict.client)),
        ("host", text(&verdict.host)),
        ("upstream", text(verdict.upstream.as_deref().unwrap_or_default())),
        ("peers tried", html! { @if verdict.attempts > 1 { (verdict.attempts) } }),
        ("worker", html! { @if let Some(pid) = verdict.worker_pid { "pid " (pid) } }),
        ("symptom", html! { code { (verdict.symptom.id()) } }),
        ("in sight", html! { (verdict.completeness.id().replace('_', " ")) }),
        (
            "incident",
            html! {
                @if let Some(incident) = incident {
                    @match links {
                        Links::Site => { a href={ "/incident/" (incident.uid) } { (incident.origin.id) } },
                        Links::None => { (incident.origin.id) },
                    }
                }
            },
        ),
        ("uid", html! { code { (verdict.uid) } }),
    ])
}

/// Its lines and spans on one axis, where there is more than one moment to see.
fn figure(rows: &[Row], spans: &[SlowSpan]) -> Markup {
    let said: Vec<Nanos> = rows.iter().filter_map(|row| row.at).collect();
    let Some(middle) = said.get(said.len() / 2).copied() else { return html! {} };
    let near = |time: &Nanos| (middle.saturating_sub(NEAR)..=middle.saturating_add(NEAR)).contains(time);
    let of_spans = spans.iter().flat_map(|span| [span.start, span.end]);
    let all: Vec<Nanos> = said.iter().copied().chain(of_spans).filter(near).collect();
    let Some(axis) = Axis::over(all.iter().copied()) else { return html! {} };
    if all.iter().all(|time| *time == middle) {
        return html! {};
    }
    let axis = axis.with_margin();
    html! {
        figure .axis {
            (lanes(axis, rows, spans))
            figcaption { "Lines that decided are red, others grey; times are UTC." }
        }
    }
}

/// Every rule that fired, so that a reader sees what was weighed against what.
fn considered(verdict: &Verdict, sub: &impl Fn(&str) -> Markup) -> Markup {
    html! {
        @if verdict.considered.len() > 1 {
            (sub("What else it could be"))
            table {
                thead { tr { th scope="col" { "cause" } th scope="col" { "share" } th scope="col" { "by the rule" } } }
                tbody {
                    @for claim in &verdict.considered {
                        tr {
                            td { (parts::cause(claim.cause)) }
                            td { (percent(claim.confidence)) "%" }
                            td { code { (claim.rule) } }
                        }
                    }
                }
            }
        }
    }
}

fn trace(verdict: &Verdict, spans: &[SlowSpan], sub: &impl Fn(&str) -> Markup) -> Markup {
    let link = &verdict.link;
    let sure = percent(link.confidence);
    html! {
        (sub("Its trace"))
        @match (link.trace, link.method) {
            (Some(trace), LinkMethod::Timing) => p {
                "Trace " code { (hex(&trace.trace_id)) } ", found by its time: " (sure) "% sure."
            },
            (Some(trace), method) => p {
                "Trace " code { (hex(&trace.trace_id)) } ", named by "
                @if method == LinkMethod::RequestId { "the request id." } @else { "its records." }
            },
            (None, _) if !link.candidates.is_empty() => p {
                "None for sure. The likeliest is " (sure) "% sure; "
                (counted(link.candidates.len() as u64, "trace could be", "traces could be")) " it:"
                @for id in &link.candidates { " " code { (hex(id)) } }
            },
            (None, _) => p { "No trace of it is known." },
        }
        @if !link.odds.is_empty() {
            table {
                caption { "What speaks for the likeliest: above 1 for it, below 1 against it" }
                thead { tr { th scope="col" { "what" } th scope="col" { "odds" } } }
                tbody {
                    @for (feature, odds) in &link.odds {
                        tr { td { (feature.replace('_', " ")) } td { "× " (factor(*odds)) } }
                    }
                }
            }
        }
        @if !spans.is_empty() {
            p .note { "Its spans that are known: its own, and those of a second or more." }
            (waterfall(spans))
        }
    }
}

/// `3.2`, `0.014`, `12,000`: three digits at most that mean something.
fn factor(log_odds: f64) -> String {
    let factor = log_odds.exp();
    match factor {
        factor if factor >= 1e6 => "more than a million".to_owned(),
        factor if factor >= 100.0 => super::words::grouped(factor.round() as u64),
        factor if factor >= 1.0 => format!("{factor:.1}"),
        factor if factor >= 1e-6 => format!("{factor:.6}").trim_end_matches('0').to_owned(),
        _ => "less than a millionth".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_as_factors() {
        let shown = [0.0, 1.1, 9.2, 40.0, -1.0, -40.0, f64::NAN].map(factor);
        let expected = ["1.0", "3.0", "9,897", "more than a million", "0.367879", "less than a millionth"];
        assert_eq!(shown.get(..6).unwrap_or_default(), expected);
        assert_eq!(shown[6], "less than a millionth", "whatever it is");
    }
}
