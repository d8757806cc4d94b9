//! The lines of one failed request from all files in order of time, the deciding words found in them.

use crate::engine::verdict::{Quote, Source, Ticket, Verdict};
use crate::read::evidence::Nanos;
use crate::read::text::{printable, shortened};
use std::borrow::Cow;

/// Lines of one request that are shown; a request that was tried a hundred times has hundreds. Those that decided, at
/// most five, always are.
const LINES_MAX: usize = 20;
/// Characters of a line that are shown: around its deciding words where it is longer.
const LINE_CHARS_MAX: usize = 220;
/// Characters shown before deciding words that stand far inside a line.
const LEAD_CHARS: usize = 60;

/// A line of a log that was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written, as it says itself; `None` where it does not.
    pub at: Option<Nanos>,
    /// Where it stands: `error.log:12`, or the file that a collector names; empty where nothing does.
    pub place: Cow<'a, str>,
    /// Its text as it came, cut to some KiB.
    pub text: &'a str,
}

/// One line of a timeline. Everything is printable: no control character of a log is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The record; `None` for what is none.
    pub ticket: Option<Ticket>,
    /// When it was written; `None` for a conclusion, and where no stamp is known.
    pub at: Option<Nanos>,
    /// It decided.
    pub deciding: bool,
    /// `error.log:12`; `None` for what is no line: a conclusion of why502.
    pub place: Option<String>,
    /// Who wrote it.
    pub source: &'static str,
    /// The line up to its deciding words.
    pub before: String,
    /// The deciding words; empty where there are none in the line.
    pub words: String,
    /// The rest of the line.
    pub after: String,
    /// What else was read from the line and decided.
    pub told: Vec<String>,
}

/// The rows of a verdict: lines in order of time, conclusions last. `find` knows the lines that were kept.
pub fn rows<'l>(verdict: &Verdict, find: impl Fn(Ticket) -> Option<Line<'l>>) -> Vec<Row> {
    let mut records = verdict.records.clone();
    // Tickets are numbered in order of time.
    records.sort_by_key(|(_, ticket)| *ticket);
    records.dedup_by_key(|(_, ticket)| *ticket);
    let mut rows: Vec<Row> =
        records.iter().filter_map(|(source, ticket)| line(verdict, *source, *ticket, find(*ticket))).collect();
    let mut left = LINES_MAX;
    let before = rows.len();
    rows.retain(|row| {
        let stays = row.deciding || left > 0;
        left = left.saturating_sub(1);
        stays
    });
    let hidden = before - rows.len();
    let conclusions = verdict.evidence.iter().filter(|quote| quote.ticket.is_none());
    rows.extend(conclusions.map(|quote| Row {
        deciding: true,
        source: quote.source.id(),
        before: printable(&quote.text),
        ..Row::default()
    }));
    if hidden > 0 {
        let before = format!("{hidden} more lines are not shown");
        rows.push(Row { before, ..Row::default() });
    }
    rows
}

/// The words that decided, where that is all that is shown of their line.
pub fn quoted(quote: &Quote, line: Option<Line<'_>>) -> Row {
    Row {
        ticket: quote.ticket,
        at: line.as_ref().and_then(|line| line.at),
        deciding: true,
        place: line.map(|line| printable(&line.place)).filter(|place| !place.is_empty()),
        source: quote.source.id(),
        words: printable(&quote.text),
        ..Row::default()
    }
}

/// A line that says something beside what decided.
pub fn plain(ticket: Ticket, source: Source, line: &Line<'_>) -> Row {
    Row {
        ticket: Some(ticket),
        at: line.at,
        place: Some(printable(&line.place)).filter(|place| !place.is_empty()),
        source: source.id(),
        before: shortened(&printable(line.text), LINE_CHARS_MAX),
        ..Row::default()
    }
}

/// Rows in order of their time; what has none stays behind what it followed.
pub fn in_order(rows: &mut [Row]) {
    let mut last = Nanos::MIN;
    rows.sort_by_cached_key(|row| {
        last = row.at.unwrap_or(last);
        last
    });
}

fn line(verdict: &Verdict, source: Source, ticket: Ticket, kept: Option<Line<'_>>) -> Option<Row> {
    let quotes: Vec<&Quote> = verdict.evidence.iter().filter(|quote| quote.ticket == Some(ticket)).collect();
    let text = kept.as_ref().map(|line| printable(line.text)).unwrap_or_default();
    let mut found = None;
    let mut told = Vec::new();
    for quote in &quotes {
        let (words, rest) = words_in(&text, quote, verdict);
        found = found.or(words);
        told.extend(rest.filter(|rest| !told.contains(rest)));
    }
    if kept.is_none() && told.is_empty() {
        return None;
    }
    let (before, words, after) = window(&text, found);
    Some(Row {
        ticket: Some(ticket),
        deciding: !quotes.is_empty(),
        at: kept.as_ref().and_then(|line| line.at),
        place: kept.map(|line| printable(&line.place)).filter(|place| !place.is_empty()),
        source: source.id(),
        before,
        words,
        after,
        told,
    })
}

/// Where the words of a quote stand in the line, and what of the quote does not stand there.
fn words_in(text: &str, quote: &Quote, verdict: &Verdict) -> (Option<std::ops::Range<usize>>, Option<String>) {
    let words = printable(&quote.text);
    let cut = words.strip_suffix('…').unwrap_or(&words);
    if let Some(start) = text.find(cut).filter(|_| !cut.is_empty()) {
        return (Some(start..start + cut.len()), None);
    }
    let Some(status) = verdict.status else { return (None, Some(words)) };
    // An access line's quote is made of its fields.
    let head = printable(&format!("{} {} {status}", verdict.method, verdict.target));
    let is_access = matches!(quote.source, Source::NginxAccess | Source::GunicornAccess);
    let rest = words.strip_prefix(&head).filter(|_| is_access);
    let shapes = [format!("\" {status} "), format!("\"status\":\"{status}\""), format!("\"status\":{status}")];
    let shapes = shapes.iter().chain([&format!("\"status\": {status}")]).filter(|_| is_access).find_map(|shape| {
        let start = text.find(shape.as_str())? + shape.find(&status.to_string())?;
        Some(start..start + 3)
    });
    let told = match (rest, &shapes) {
        (Some(""), Some(_)) => None,
        (Some(rest), Some(_)) => Some(rest.trim_start_matches(", ").to_owned()),
        _ => Some(words),
    };
    (shapes, told)
}

/// The line cut to what can be read, around its words.
fn window(text: &str, words: Option<std::ops::Range<usize>>) -> (String, String, String) {
    let Some(words) = words else { return (shortened(text, LINE_CHARS_MAX), String::new(), String::new()) };
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let (before, deciding, after) = (part(0..words.start), part(words.clone()), part(words.end..text.len()));
    let chars = |text: &str| text.chars().count();
    let mut shown_before = before.to_owned();
    if chars(before) + chars(deciding) > LINE_CHARS_MAX {
        let skipped = chars(before).saturating_sub(LEAD_CHARS);
        if skipped > 0 {
            shown_before = "…".chars().chain(before.chars().skip(skipped)).collect();
        }
    }
    let room = LINE_CHARS_MAX.saturating_sub(chars(&shown_before) + chars(deciding));
    let shown_after = if room == 0 && !after.is_empty() { "…".to_owned() } else { shortened(after, room) };
    (shown_before, deciding.to_owned(), shown_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_around_the_words() {
        let check = |before: usize, words: &str, after: usize, expected: (usize, usize)| {
            let text = format!("{}{words}{}", "é".repeat(before), "ü".repeat(after));
            let start = text.find(words).expect("the words");
            let (shown_before, shown, shown_after) = window(&text, Some(start..start + words.len()));
            assert_eq!(shown, words);
            assert_eq!((shown_before.chars().count(), shown_after.chars().count()), expected);
        };
        check(10, "words", 10, (10, 10));
        check(100, "words", 1_000, (100, 115));
        check(1_000, "words", 1_000, (61, 154));
        check(1_000, &"w".repeat(300), 10, (61, 1));
        assert_eq!(window(&"x".repeat(500), None).0.chars().count(), LINE_CHARS_MAX);
    }
}
