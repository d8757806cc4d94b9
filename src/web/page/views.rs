//! The pages, each a whole document.

use super::Page;
use super::query::{Search, number};
use crate::clock;
use crate::engine::incident::{Heard, Incident};
use crate::engine::verdict::{Ticket, Verdict};
use crate::page::incident::{self, Story};
use crate::page::now::{self, Now};
use crate::page::parts::{Links, pages, requests};
use crate::page::request::{self, Failed};
use crate::page::rows::{Row, in_order};
use crate::page::search::{PER_PAGE, form, found};
use crate::page::words::counted;
use crate::read::evidence::{Nanos, SECOND};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Requests of an incident whose lines make its story, and how many are looked at for them.
const TOLD_MAX: usize = 6;
const LOOKED_AT: usize = 64;
/// Lines of a story: two screens.
const ROWS_MAX: usize = 40;
/// Lines about processes so long before the first and behind the last failure are part of the story.
const AROUND: Nanos = 40 * SECOND;
/// Incidents on one page of a list.
const INCIDENTS_PER_PAGE: usize = 50;

fn sub(text: &str) -> Markup {
    html! { h2 { (text) } }
}

/// What renews itself on an open page.
fn live(inner: Markup) -> Markup {
    html! { div #live data-live { (inner) } }
}

pub(super) async fn now(State(page): State<Page>) -> Response {
    page.built(move |page| {
        let (incidents, verdicts) = (page.ring.incidents.newest(), page.ring.verdicts.newest());
        let (title, rates) = (now::title(&incidents), page.ring.details.rates());
        let body = now::body(&Now { at: clock::now(), incidents: &incidents, verdicts: &verdicts, rates: &rates });
        page.answer(StatusCode::OK, &title, "", live(html! { h1 { (title) } (body) }))
    })
    .await
}

pub(super) async fn incidents(State(page): State<Page>, RawQuery(query): RawQuery) -> Response {
    page.built(move |page| {
        let all = page.ring.incidents.newest();
        let number = number(&query.unwrap_or_default());
        let shown = all.iter().skip((number - 1) * INCIDENTS_PER_PAGE).take(INCIDENTS_PER_PAGE).map(Arc::as_ref);
        let main = html! {
            h1 { "Incidents" }
            p role="status" {
                @if all.is_empty() { "None has been seen since why502 was started." }
                @else { (counted(all.len() as u64, "incident is kept", "incidents are kept")) ", newest first." }
            }
            (now::incidents(shown))
            (pages(number, all.len(), INCIDENTS_PER_PAGE, |page| format!("/incidents?page={page}")))
        };
        page.answer(StatusCode::OK, "Incidents", "", if number == 1 { live(main) } else { main })
    })
    .await
}

pub(super) async fn incident(State(page): State<Page>, Path(uid): Path<String>, RawQuery(query): RawQuery) -> Response {
    page.built(move |page| {
        let Some(one) = page.ring.incidents.get(&uid) else {
            return page.unknown("incident", "It is unknown, or older than the newest 1,000 that are kept.");
        };
        let number = number(&query.unwrap_or_default());
        let is_of = |verdict: &&Arc<Verdict>| verdict.incident.as_ref().is_some_and(|label| label.uid == uid);
        let all = page.ring.verdicts.newest();
        let of: Vec<&Arc<Verdict>> = all.iter().filter(is_of).collect();
        let failures = of.iter().map(|verdict| verdict.time).collect();
        let story = page.story(&one, failures);
        let shown = of.iter().skip((number - 1) * PER_PAGE).take(PER_PAGE).map(|verdict| verdict.as_ref());
        let gone = one.tally.total().saturating_sub(of.len() as u64);
        let title = format!("{}: {}", one.label.origin.id, crate::page::words::failed(&one));
        let main = html! {
            h1 { (title) " " (incident::badge(&one)) }
            @if number == 1 { (incident::body(&story, Links::Site, sub)) }
            @else { p { a href={ "/incident/" (uid) } { "The story of this incident" } } }
            h2 #requests { "Its failures: " (counted(of.len() as u64, "is kept", "are kept")) }
            @if gone > 0 {
                p .note { (counted(gone, "older one is", "older ones are")) " no longer kept here; your backend has them with "
                    code { "why502.incident.uid" } "." }
            }
            (requests(shown, Links::Site))
            (pages(number, of.len(), PER_PAGE, |page| format!("/incident/{uid}?page={page}#requests")))
        };
        page.answer(StatusCode::OK, &title, "", if number == 1 { live(main) } else { main })
    })
    .await
}

pub(super) async fn request(State(page): State<Page>, Path(uid): Path<String>) -> Response {
    page.built(move |page| {
        let detail = page.ring.details.get(&uid);
        let kept = page.ring.verdicts.get(&uid);
        let Some(verdict) = kept.or_else(|| detail.as_ref().map(|detail| Arc::clone(&detail.verdict))) else {
            return page.unknown(
                "request",
                "It is unknown, or no longer kept: the newest `limits::verdicts` are. Your backend has it with why502.request.uid.",
            );
        };
        let rows = detail.as_ref().map_or_else(|| crate::page::rows::rows(&verdict, |_| None), |detail| detail.rows());
        let spans = detail.as_ref().map_or(&[][..], |detail| detail.spans.as_slice());
        let title = request::title(&verdict);
        let failed = Failed { verdict: &verdict, rows, spans, has_lines: detail.is_some() };
        let body = request::body(&failed, Links::Site, sub);
        page.answer(StatusCode::OK, &title, "", live(html! { h1 { (title) } (body) }))
    })
    .await
}

pub(super) async fn search(State(page): State<Page>, RawQuery(query): RawQuery) -> Response {
    page.built(move |page| {
        let query = query.unwrap_or_default();
        let (search, problem) = Search::of(&query, clock::now());
        let all = page.ring.verdicts.newest();
        let fitting: Vec<&Verdict> = match problem {
            Some(_) => Vec::new(),
            None => all.iter().map(Arc::as_ref).filter(|verdict| search.fits(verdict)).collect(),
        };
        let number = number(&query);
        let shown: Vec<&Verdict> = fitting.iter().skip((number - 1) * PER_PAGE).take(PER_PAGE).copied().collect();
        let main = html! {
            h1 { "Failed requests" }
            (form(&search.typed, problem.as_deref()))
            @if problem.is_none() { (found(&shown, number, fitting.len(), all.len(), |page| search.link(page))) }
        };
        let status = if problem.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        page.answer(status, "Failed requests", &search.typed.text, main)
    })
    .await
}

impl Page {
    /// Makes an answer where it may take some milliseconds without standing in the way of records.
    async fn built(self, make: impl FnOnce(&Page) -> Response + Send + 'static) -> Response {
        let page = self.clone();
        match tokio::task::spawn_blocking(move || make(&page)).await {
            Ok(response) => response,
            Err(_) => self.answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                "This page could not be made",
                "",
                html! { h1 { "This page could not be made" } p { "That is a fault of why502; its log says more." } },
            ),
        }
    }

    fn unknown(&self, what: &str, why: &str) -> Response {
        let title = format!("This {what} is not kept here");
        let main = html! {
            h1 { (title) }
            p { (why) " " a href="/" { "What is wrong now" } ", " a href="/search" { "search" } "." }
        };
        self.answer(StatusCode::NOT_FOUND, &title, "", main)
    }

    /// What is known of an incident: lines of some of its requests, and of the processes that they name.
    fn story<'i>(&self, incident: &'i Incident, failures: Vec<Nanos>) -> Story<'i> {
        let mut details = self.ring.details.of_incident(&incident.label.uid, LOOKED_AT);
        let examples = incident.examples.iter().filter_map(|example| self.ring.details.get(&example.uid));
        for example in examples {
            if details.iter().all(|known| known.verdict.uid != example.verdict.uid) {
                details.push(example);
            }
        }
        // The same story is told once.
        let mut heard = Heard::default();
        details.retain(|detail| heard.is_new(&detail.verdict));
        details.truncate(TOLD_MAX);
        let mut known: BTreeMap<Ticket, Row> = BTreeMap::new();
        let mut others = Vec::new();
        for row in details.iter().flat_map(|detail| detail.rows()) {
            match row.ticket {
                Some(ticket) => {
                    let deciding = row.deciding;
                    known.entry(ticket).or_insert(row).deciding |= deciding;
                }
                None if others.iter().all(|other: &Row| other.before != row.before) => others.push(row),
                None => {}
            }
        }
        let tickets: Vec<Ticket> = known.keys().copied().collect();
        let (from, to) = (incident.first.saturating_sub(AROUND), incident.last.saturating_add(AROUND));
        for row in self.ring.details.around(&tickets, from, to) {
            if let Some(ticket) = row.ticket {
                known.entry(ticket).or_insert(row);
            }
        }
        let mut rows: Vec<Row> = known.into_values().collect();
        in_order(&mut rows);
        let mut room = ROWS_MAX.saturating_sub(rows.iter().filter(|row| row.deciding).count());
        rows.retain(|row| {
            let stays = row.deciding || room > 0;
            room = room.saturating_sub(usize::from(!row.deciding));
            stays
        });
        rows.truncate(2 * ROWS_MAX);
        rows.extend(others);
        let spans = details.iter().map(|detail| &detail.spans).find(|spans| !spans.is_empty());
        Story { incident, rows, failures, spans: spans.cloned().unwrap_or_default() }
    }
}
