use super::*;
use crate::engine::verdict::Ticket;
use crate::read::evidence::SECOND;
use std::collections::BTreeSet;

/// A small generator of numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn row(trace: u8, path: &str, end: Nanos) -> SpanRow {
    SpanRow { trace_id: [trace; 16], span_id: [1; 8], end, flags: SpanRow::SERVER, ..SpanRow::default() }
        .asking("GET", path)
}

#[test]
fn a_row_is_small_and_so_is_what_surrounds_it() {
    assert!(size_of::<SpanRow>() <= 80, "{} bytes", size_of::<SpanRow>());
    let mut spans = Spans::default();
    for number in 0..100_000_i64 {
        let mut row = row(1, "/cart", number * (SECOND / 20_000));
        row.trace_id = (number as u128 + 1).to_le_bytes();
        spans.insert(number * (SECOND / 20_000), row, 200_000);
    }
    let bytes = spans.bytes() / spans.count();
    assert!(bytes <= 90, "{bytes} bytes a span without an index");
    spans.look_after(60 * SECOND, 200_000);
    let bytes = spans.bytes() / spans.count();
    assert!(bytes <= 98, "{bytes} bytes a span with one");
}

/// Everything that is found, with and without indexes, is what looking at each row finds.
#[test]
fn the_ring_finds_what_a_list_finds() {
    for (seed, limit) in [(1, 40), (2, 300), (3, 5_000), (4, 20_000)] {
        let mut random = Random(seed);
        let (mut spans, mut list) = (Spans::default(), Vec::new());
        let mut now = 1_000 * SECOND;
        for step in 0..6_000 {
            now += random.below(50) as Nanos * (SECOND / 1_000);
            let apart = if random.below(50) == 0 { 900 } else { 4 };
            let end = now - random.below(apart) as Nanos * SECOND + random.below(SECOND as u64) as Nanos;
            let mut row = row(random.below(40) as u8 + 1, ["/a", "/b?x=1", "/c"][random.below(3) as usize], end);
            row.request_id = if random.below(4) == 0 { hash_text(&[random.below(9) as u8]) } else { 0 };
            let number = spans.insert(now, row, limit);
            assert!(spans.count() <= limit, "step {step}: {} spans of {limit}", spans.count());
            list.push((number, row));
            if random.below(20) == 0 {
                spans.look_after(now, limit);
            }
            if step % 40 != 0 {
                continue;
            }
            // What is forgotten is the rows of whole buckets.
            list.retain(|(number, _)| spans.get(*number).is_some());
            assert_eq!(list.len(), spans.count());
            let trace = [random.below(42) as u8; 16];
            let numbers = |wanted: &dyn Fn(&SpanRow) -> bool| -> BTreeSet<u64> {
                list.iter().filter(|(_, row)| wanted(row)).map(|(number, _)| *number).collect()
            };
            let expected = numbers(&|row| row.trace_id == trace);
            let found: Vec<u64> = spans.of_trace(&trace).map(|(number, _)| number).collect();
            assert!(found.is_sorted());
            assert_eq!(found, expected.into_iter().take(PER_TRACE_MAX).collect::<Vec<u64>>());
            let request_id = hash_text(&[random.below(10) as u8]);
            let expected = numbers(&|row| row.request_id == request_id).pop_last();
            assert_eq!(spans.of_request_id(request_id).map(|(number, _)| number), expected);
            let (from, path) = (now - random.below(4_000) as Nanos * (SECOND / 1_000), hash_text(b"/b"));
            let (to, query) = (from + random.below(2_000) as Nanos * (SECOND / 1_000), hash_query(b"x=1"));
            let expected = numbers(&|row| row.path == path && row.query == query && (from..=to).contains(&row.end));
            let found: BTreeSet<u64> = spans.on_path(path, from, to).map(|(number, _)| number).collect();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn what_is_forgotten_is_let_go_once() {
    let mut spans = Spans::default();
    for number in 1..=100_u64 {
        let at = spans.insert(0, row(1, "/", 0), 80);
        spans.wait(at, 0, Ticket(number));
        if number % 2 == 0 {
            spans.waited(at);
        }
        spans.link(at, number);
    }
    let mut forgotten = spans.take_forgotten();
    assert_eq!(forgotten, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19].map(Ticket));
    assert_eq!(spans.linked(0), None);
    spans.forget(1);
    forgotten.extend(spans.take_forgotten());
    assert_eq!(forgotten, (1..100).step_by(2).map(Ticket).collect::<Vec<Ticket>>());
    assert_eq!((spans.count(), spans.bytes()), (0, 0));
}

/// A sender whose clock is wrong, and spans that trickle in, keep nobody's spans in sight and push nobody's out.
#[test]
fn wrong_clocks_do_no_harm() {
    let mut spans = Spans::default();
    for second in 0..2_000_i64 {
        let now = second * SECOND;
        for ahead in [0, 3_000, -70, 86_400 * 365 * 100, -900] {
            spans.insert(now, row(1, "/", now.saturating_add(ahead * SECOND)), 100_000);
        }
        spans.forget(now - 188 * SECOND);
        assert!(spans.count() <= 5 * 260, "{} spans at {second} s", spans.count());
        let found = spans.on_path(hash_text(b"/"), now - 100 * SECOND, now - 100 * SECOND).count();
        assert_eq!(found, usize::from(second >= 100) + usize::from(second >= 30), "{second}");
    }
}

#[test]
fn texts_are_told_apart() {
    let texts = [
        "",
        "/",
        "//",
        "/cart",
        "/cart/",
        "/cart/1",
        "/cart/2",
        "/catalogue/item/1",
        "/catalogue/item/2",
        "\0",
        "\0\0",
    ];
    let hashes: BTreeSet<u64> = texts.iter().map(|text| hash_text(text.as_bytes())).collect();
    assert_eq!(hashes.len(), texts.len());
    assert_eq!(hash_text(b""), 0);
    let methods = [
        "", "GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "PROPFIND", "_OTHER", "get",
    ];
    let codes: BTreeSet<u8> = methods.iter().map(|method| method_code(method.as_bytes())).collect();
    assert_eq!(codes.len(), methods.len());
    assert_ne!(hash_target("/?"), hash_target("/"));
    assert_eq!(hash_target("/x?a?b"), (hash_text(b"/x"), hash_query(b"a?b")));
}
