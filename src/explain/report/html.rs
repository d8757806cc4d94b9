//! The report as one file of HTML for a ticket: what the page of a running why502 shows, with its styles in it, and nothing
//! that loads or runs.

use super::summary::{Row as CauseRow, Summary};
use super::text::{none, read};
use super::{Again, Report, good};
use crate::engine::incident::Ended;
use crate::engine::verdict::GoodRequest;
use crate::explain::places::Places;
use crate::explain::{Explained, Outage, Totals};
use crate::page::document::{file_head, file_tail};
use crate::page::incident::{self, Story, badge};
use crate::page::parts::{self, Links};
use crate::page::request::{self, Failed};
use crate::page::rows::{Row, in_order, quoted};
use crate::page::words::failed;
use crate::page::words::{counted, grouped};
use maud::{Markup, PreEscaped, html};
use std::io::{self, Write};

/// The report as HTML.
#[derive(Debug, Default)]
pub struct Html;

fn put(out: &mut dyn Write, markup: Markup) -> io::Result<()> {
    out.write_all(markup.into_string().as_bytes())
}

fn sub(text: &str) -> Markup {
    html! { h3 { (text) } }
}

fn low(text: &str) -> Markup {
    html! { h4 { (text) } }
}

impl Report for Html {
    fn is_bare(&self) -> bool {
        false
    }

    fn head(&self, out: &mut dyn Write, summary: &Summary, totals: &Totals) -> io::Result<()> {
        let title = if summary.total == 0 { "No failed request".to_owned() } else { summary.sentence() };
        put(out, file_head(&format!("why502: {title}")))?;
        put(
            out,
            html! {
                h1 { (title) }
                p { @if summary.total == 0 { (none(totals)) } @else { "In " (read(totals)) "." } }
                (causes(summary))
            },
        )
    }

    fn incident(&self, out: &mut dyn Write, outage: &Outage) -> io::Result<()> {
        let incident = &outage.incident;
        let story = Story {
            incident,
            rows: rows(outage),
            failures: incident.examples.iter().map(|example| example.time).collect(),
            spans: outage.spans.clone(),
        };
        put(
            out,
            html! {
                section {
                    h2 { (incident.label.origin.id) ": " (failed(incident)) " " (badge(incident)) }
                    (incident::body(&story, Links::None, sub))
                }
            },
        )
    }

    fn more_incidents(&self, out: &mut dyn Write, count: u64, failures: u64) -> io::Result<()> {
        put(
            out,
            html! {
                @if count > 0 {
                    p .note { (counted(count, "smaller incident", "smaller incidents")) " with "
                        (counted(failures, "failure", "failures")) " more." }
                }
                h2 { "Failed requests" }
            },
        )
    }

    fn group(&self, out: &mut dyn Write, row: &CauseRow) -> io::Result<()> {
        put(out, html! { p { (parts::cause(row.cause)) " " (grouped(row.count)) } })
    }

    fn request(&self, out: &mut dyn Write, explained: &Explained<'_>) -> io::Result<()> {
        let verdict = explained.verdict;
        let mut rows = explained.rows();
        in_order(&mut rows);
        let failed = Failed { verdict, rows, spans: &[], has_lines: true };
        put(
            out,
            html! {
                (PreEscaped("<article>"))
                h3 { (request::title(verdict)) }
                (request::body(&failed, Links::None, low))
                (PreEscaped("</article>"))
            },
        )
    }

    fn good(&self, out: &mut dyn Write, good: &GoodRequest, places: &Places) -> io::Result<()> {
        // They come before the head: a line of text would stand outside of the document.
        put(out, html! { (PreEscaped("<!-- ")) (good::line(good, places).replace("--", "- -")) (PreEscaped(" -->\n")) })
    }

    fn again(&self, out: &mut dyn Write, again: Option<Again>) -> io::Result<()> {
        let Some(again) = again else { return Ok(()) };
        put(
            out,
            html! { p { strong { "And " (grouped(again.more)) " more like it" } ", the last at " (parts::stamp(again.last)) "." } },
        )
    }

    fn end(&self, out: &mut dyn Write, _: &Summary, hidden: u64) -> io::Result<()> {
        put(
            out,
            html! {
                @if hidden > 0 { p .note { (grouped(hidden)) " more are not shown; `--each` or a larger `--limit` shows them." } }
                (file_tail())
            },
        )
    }
}

fn causes(summary: &Summary) -> Markup {
    html! {
        @if summary.total > 0 {
            table {
                thead { tr {
                    th scope="col" { "cause" } th scope="col" { "count" } th scope="col" { "share" }
                    th scope="col" { "first" } th scope="col" { "last" }
                } }
                tbody {
                    @for row in summary.rows() {
                        tr {
                            td { (parts::cause(row.cause)) }
                            td { (grouped(row.count)) }
                            td { (format!("{:.0}%", row.percent)) }
                            td { (parts::stamp(row.first)) }
                            td { (parts::stamp(row.last)) }
                        }
                    }
                }
            }
        }
    }
}

/// What is known of an incident's lines: what told of its origin, and what ended it.
fn rows(outage: &Outage) -> Vec<Row> {
    let incident = &outage.incident;
    let mut rows = Vec::new();
    rows.extend(
        incident.evidence.as_ref().map(|quote| quoted(quote, outage.place.as_ref().map(|place| place.shown()))),
    );
    if let Some(Ended::Said { at, text }) = &incident.ended {
        rows.push(Row { at: Some(*at), source: "gunicorn", before: text.clone(), ..Row::default() });
    }
    in_order(&mut rows);
    rows
}
