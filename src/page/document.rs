//! What stands around: the head, the way to the other pages, the styles.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use ring::digest::{SHA256, digest};

/// The styles of all pages.
pub const STYLES: &str = include_str!("assets/style.css");
/// What renews a page that is open. Without it a page is the same, and stays as it was.
pub const SCRIPT: &str = include_str!("assets/live.js");
/// The picture beside the title.
pub const ICON: &str = include_str!("assets/icon.svg");

/// A page of a running why502.
pub fn page(title: &str, query: &str, version: &str, main: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · why502" }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href={ "/assets/style.css?" (version) };
                script type="module" src={ "/assets/live.js?" (version) } {}
            }
            body {
                a .skip href="#main" { "To the content" }
                header {
                    a .brand href="/" { "why502" }
                    nav aria-label="Pages" {
                        a href="/" { "Now" } a href="/incidents" { "Incidents" } a href="/search" { "Search" }
                    }
                    form .quick action="/search" method="get" role="search" aria-label="Everything" {
                        input type="search" name="q" value=(query) aria-label="Path, id, trace or client" placeholder="Path, id, trace  ( / )" maxlength="300";
                    }
                }
                p #away .away role="status" hidden {}
                main #main tabindex="-1" { (main) }
                footer {
                    noscript { "Without JavaScript this page does not renew itself: load it again. " }
                    "All times are UTC. Nothing is loaded from anywhere else."
                }
            }
        }
    }
}

/// The beginning of a file that stands alone: styles are in it, and nothing else may be loaded or run.
pub fn file_head(title: &str) -> Markup {
    let hash = BASE64.encode(digest(&SHA256, STYLES.as_bytes()));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    html! {
        (DOCTYPE)
        (PreEscaped("<html lang=\"en\">"))
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (PreEscaped(STYLES)) }
        }
        (PreEscaped("<body><main id=\"main\">"))
    }
}

/// Its end.
pub fn file_tail() -> Markup {
    html! {
        (PreEscaped("</main>"))
        footer { "Written by why502 " (env!("CARGO_PKG_VERSION")) ". All times are UTC. This file loads and runs nothing." }
        (PreEscaped("</body></html>\n"))
    }
}
