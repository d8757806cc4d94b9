//! The form that finds requests, and what it found.

use super::parts::{Links, pages, requests};
use super::words::counted;
use crate::engine::causes;
use crate::engine::verdict::Verdict;
use maud::{Markup, html};

/// Requests on one page of a list: 30 KiB of HTML.
pub const PER_PAGE: usize = 100;

/// What was typed, as it was typed.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// A path or a part of one, an id of a request, incident or trace, a client's address.
    pub text: String,
    /// The id of a cause; empty is any.
    pub cause: String,
    /// Not before.
    pub since: String,
    /// Before.
    pub until: String,
}

/// The form, with what was typed and with what is wrong about it.
pub fn form(typed: &Typed, problem: Option<&str>) -> Markup {
    html! {
        form .search action="/search" method="get" role="search" aria-label="Failed requests" {
            label { "Path, id, trace or client" input type="search" name="q" value=(typed.text) maxlength="300"; }
            label { "Cause"
                select name="cause" {
                    option value="" { "any" }
                    @for cause in causes::all() {
                        option value=(cause.id) selected[cause.id == typed.cause] { (cause.id) }
                    }
                }
            }
            label { "Since" input type="text" name="since" value=(typed.since) placeholder="10:15, yesterday, 2h" maxlength="60"; }
            label { "Until" input type="text" name="until" value=(typed.until) placeholder="2026-11-25 10:20" maxlength="60"; }
            button type="submit" { "Search" }
        }
        @if let Some(problem) = problem { p .problem role="alert" { (problem) } }
    }
}

/// One page of what was found, and how many are kept in all.
pub fn found(found: &[&Verdict], number: usize, total: usize, kept: usize, link: impl Fn(usize) -> String) -> Markup {
    html! {
        p role="status" {
            @if total == 0 {
                "Nothing fits. "
                (counted(kept as u64, "failed request is kept", "failed requests are kept"))
                ", the newest ones; older ones are in your backend."
            } @else {
                (counted(total as u64, "failed request", "failed requests")) ", newest first."
            }
        }
        (requests(found.iter().copied(), Links::Site))
        (pages(number, total, PER_PAGE, link))
    }
}
