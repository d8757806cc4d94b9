//! Links by time, against what is true: a simulation with a seed, beside the ways that others have of doing it.

use std::collections::{BTreeMap, HashMap};
use why502::engine::correlate::spans::SpanRow;
use why502::engine::place::Stream;
use why502::engine::verdict::{Link, LinkMethod, Source, Ticket};
use why502::engine::{Decision, Engine, Output, Record, Settings};
use why502::read::evidence::{MILLISECOND, Nanos, SECOND};
use why502::read::formats::{Reader, Reading};
use why502::read::{SourceMemory, Wanted};

/// 2026-03-04 09:15:00.
const BEGIN: Nanos = 1_772_615_700 * SECOND;
const MICROSECOND: Nanos = 1_000;

/// The same numbers in each run.
struct Random(u64);

impl Random {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 / (1_u64 << 53) as f64).max(1e-12)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.share() * limit as f64) as u64
    }

    /// As often short as long ones are rare, with this mean.
    fn exponential(&mut self, mean: Nanos) -> Nanos {
        (-self.share().ln() * mean as f64) as Nanos
    }
}

/// One request as it was.
#[derive(Clone, Debug)]
struct Truth {
    target: String,
    status: u16,
    /// When nginx got it and when it was done, in milliseconds, as its log has them.
    began: Nanos,
    ended: Nanos,
    /// Its span, where it arrived.
    span: Option<SpanRow>,
}

/// So many clients that each ask again when they have their answer; four workers that take from one line.
struct World {
    concurrency: usize,
    targets: u64,
    /// Share of spans that never arrive.
    lost: f64,
    /// Share of requests whose worker is killed.
    killed: f64,
    seed: u64,
}

impl World {
    fn requests(&self, count: usize) -> Vec<Truth> {
        let mut random = Random(self.seed);
        let mut clients: Vec<Nanos> =
            (0..self.concurrency).map(|_| BEGIN + random.exponential(5 * MILLISECOND)).collect();
        let mut workers = [BEGIN; 4];
        let mut requests = Vec::new();
        while requests.len() < count {
            let client = (0..clients.len()).min_by_key(|client| clients[*client]).expect("a client");
            let began = clients[client];
            let worker = (0..workers.len()).min_by_key(|worker| workers[*worker]).expect("a worker");
            let arrived = began + 600 * MICROSECOND + random.exponential(700 * MICROSECOND);
            let start = arrived.max(workers[worker] + 300 * MICROSECOND + random.exponential(200 * MICROSECOND));
            let end = start + MILLISECOND + random.exponential(7 * MILLISECOND);
            workers[worker] = end + 400 * MICROSECOND;
            // The answer is on its way for a while; now and then the machine is busy with others.
            let busy = if random.below(12) == 0 { random.exponential(4 * MILLISECOND) } else { 0 };
            let ended = end - 300 * MICROSECOND + random.exponential(500 * MICROSECOND) + busy;
            clients[client] = ended + random.exponential(4 * MILLISECOND);
            let target = format!("/cart/{}", random.below(self.targets));
            let is_killed = random.share() < self.killed;
            let number = requests.len() as u128 + 1;
            let span = SpanRow {
                trace_id: number.to_le_bytes(),
                span_id: [7; 8],
                start,
                end,
                status: 200,
                flags: SpanRow::SERVER,
                ..SpanRow::default()
            };
            let arrives = !is_killed && random.share() >= self.lost;
            let milliseconds = |time: Nanos| time.div_euclid(MILLISECOND) * MILLISECOND;
            requests.push(Truth {
                span: arrives.then(|| span.asking("GET", &target)),
                target,
                status: if is_killed { 502 } else { 200 },
                began: milliseconds(began),
                ended: milliseconds(ended),
            });
        }
        requests.sort_by_key(|request| request.ended);
        requests
    }
}

fn line_of(request: &Truth) -> String {
    let Truth { target, status, began, ended, .. } = request;
    let time = |nanos: Nanos| format!("{}.{:03}", nanos / SECOND, nanos % SECOND / MILLISECOND);
    let (took, header) = (time(ended - began), if *status == 200 { time(ended - began) } else { "-".to_owned() });
    format!(
        r#"{{"msec":"{}","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"{status}","request_time":"{took}","upstream_addr":"127.0.0.1:8000","upstream_status":"{status}","upstream_connect_time":"0.000","upstream_header_time":"{header}","upstream_response_time":"{took}"}}"#,
        time(*ended)
    )
}

/// The trace that each request got.
fn why502(requests: &[Truth]) -> Vec<Option<[u8; 16]>> {
    let mut engine = Engine::new(Settings { link_all: true, ..Settings::default() });
    let mut wanted = Wanted::default();
    wanted.want_all();
    let (reader, mut memory) = (Reader::default(), SourceMemory::default());
    let mut links: HashMap<Ticket, Link> = HashMap::new();
    let mut items: Vec<(Nanos, Result<usize, SpanRow>)> = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        items.push((request.ended, Ok(number)));
        items.extend(request.span.map(|span| (span.end, Err(span))));
    }
    items.sort_by_key(|(time, _)| *time);
    let stream = Stream::alone(1);
    let mut drain = |engine: &mut Engine| {
        while let Some(output) = engine.poll_output() {
            let (records, link) = match output {
                Output::Good(good) => (good.records.clone(), good.link.clone()),
                Output::Verdict(verdict) => (verdict.records.clone(), verdict.link.clone()),
                Output::Incident(_) => continue,
                Output::Release { .. } => continue,
            };
            let own = records.iter().find(|(source, _)| *source == Source::NginxAccess);
            links.insert(own.expect("an access line").1, link);
        }
    };
    for (time, item) in items {
        engine.handle_timeout(time);
        match item {
            Ok(number) => {
                let line = line_of(&requests[number]);
                let Reading::Proves(_, evidences) = reader.read(line.as_bytes(), &mut memory, &wanted) else {
                    panic!("{line}")
                };
                for evidence in evidences {
                    let record =
                        Record { ticket: Ticket(number as u64 + 1), stream: stream.clone(), observed: 0, evidence };
                    assert_eq!(engine.handle_record(time, record), Decision::Hold);
                }
            }
            Err(span) => engine.handle_spans(time, &stream.place, &[span], &[]),
        }
        drain(&mut engine);
    }
    engine.finish(BEGIN + 3_600 * SECOND);
    drain(&mut engine);
    assert_eq!(engine.held_count(), 0, "everything goes on");
    assert_eq!(links.len(), requests.len(), "each request is told once");
    let link = |number: usize| links[&Ticket(number as u64 + 1)].trace.map(|trace| trace.trace_id);
    (0..requests.len()).map(link).collect()
}

/// Requests and spans of each target, in some order.
fn by_target(requests: &[Truth]) -> Vec<(Vec<usize>, Vec<SpanRow>)> {
    let mut targets: BTreeMap<&str, (Vec<usize>, Vec<SpanRow>)> = BTreeMap::new();
    for (number, request) in requests.iter().enumerate() {
        let (own, spans) = targets.entry(&request.target).or_default();
        own.push(number);
        spans.extend(request.span);
    }
    targets.into_values().collect()
}

fn contains(request: &Truth, span: &SpanRow) -> bool {
    span.start >= request.began - 2 * MILLISECOND && span.end <= request.ended + 12 * MILLISECOND
}

/// First come, first served: the first request that has room takes the first span that is free.
fn first_come(requests: &[Truth]) -> Vec<Option<[u8; 16]>> {
    let mut links = vec![None; requests.len()];
    for (mut own, mut spans) in by_target(requests) {
        own.sort_by_key(|number| requests[*number].began);
        spans.sort_by_key(|span| span.start);
        for number in own {
            if let Some(at) = spans.iter().position(|span| contains(&requests[number], span)) {
                links[number] = Some(spans.remove(at).trace_id);
            }
        }
    }
    links
}

/// The span whose end is nearest.
fn nearest(requests: &[Truth]) -> Vec<Option<[u8; 16]>> {
    let mut links = vec![None; requests.len()];
    for (own, spans) in by_target(requests) {
        for number in own {
            let request = &requests[number];
            let fitting = spans.iter().filter(|span| contains(request, span));
            links[number] = fitting.min_by_key(|span| (span.end - request.ended).abs()).map(|span| span.trace_id);
        }
    }
    links
}

/// As WAP5 does it (Reynolds and others, WWW 2006): of the requests that were open when a span began the likeliest one by
/// an exponential delay, which is the youngest.
fn youngest(requests: &[Truth]) -> Vec<Option<[u8; 16]>> {
    let mut links = vec![None; requests.len()];
    for (own, spans) in by_target(requests) {
        for span in spans {
            let open = own.iter().filter(|number| contains(&requests[**number], &span));
            if let Some(number) = open.max_by_key(|number| requests[**number].began) {
                links[*number] = Some(span.trace_id);
            }
        }
    }
    links
}

/// Right ones of those that were linked, and of those whose span arrived.
fn score(requests: &[Truth], links: &[Option<[u8; 16]>]) -> (f64, f64) {
    let is_right = |(request, link): &(&Truth, &Option<[u8; 16]>)| {
        link.is_some() && **link == request.span.map(|span| span.trace_id)
    };
    let right = requests.iter().zip(links).filter(is_right).count() as f64;
    let given = links.iter().flatten().count().max(1) as f64;
    let possible = requests.iter().filter(|request| request.span.is_some()).count().max(1) as f64;
    (right / given, right / possible)
}

/// `cargo test --test links -- --nocapture table` prints it.
#[allow(clippy::print_stdout, reason = "the table is for people")]
#[test]
fn a_table_of_ways_to_link_by_time() {
    println!(
        "| concurrency | requests | first come | nearest end | as WAP5 | why502 |\n|---:|---|---:|---:|---:|---:|"
    );
    let mut worst: f64 = 1.0;
    let (mut given, mut wrong) = (0.0, 0.0);
    for (concurrency, targets, recall_min) in
        [(1, 1, 0.98), (1, 40, 0.98), (10, 1, 0.05), (10, 40, 0.8), (50, 1, 0.0), (50, 40, 0.4)]
    {
        let world = World { concurrency, targets, lost: 0.2, killed: 0.02, seed: 7 };
        let requests = world.requests(500);
        let ours = why502(&requests);
        let all = [first_come(&requests), nearest(&requests), youngest(&requests), ours.clone()];
        let scores: Vec<(f64, f64)> = all.iter().map(|links| score(&requests, links)).collect();
        let cells: Vec<String> =
            scores.iter().map(|(precision, recall)| format!("{precision:.3} / {recall:.3}")).collect();
        println!("| {concurrency} | {} | {} |", if targets == 1 { "equal" } else { "different" }, cells.join(" | "));
        let (precision, recall) = scores[3];
        let count = ours.iter().flatten().count() as f64;
        (given, wrong) = (given + count, wrong + count * (1.0 - precision));
        worst = worst.min(precision);
        assert!(recall >= recall_min, "recall {recall} at {concurrency} of {targets}");
        for (other, _) in scores.iter().take(3).filter(|_| count > 0.0) {
            assert!(precision >= *other, "{precision} is less than {other} at {concurrency} of {targets}");
        }
    }
    println!("precision over all {:.4}, worst {worst:.4}", 1.0 - wrong / given);
    assert!(1.0 - wrong / given >= 0.995, "{wrong} of {given} are wrong");
}

/// What happened, in order of time: lines of an access log, and spans.
enum Told {
    Line(String),
    /// A healthy line that is handed over to learn from.
    Sample(String),
    Span(SpanRow),
}

/// The links of all verdicts with their evidence.
fn links_of(told: Vec<(Nanos, Told)>) -> Vec<(Link, Vec<String>)> {
    let mut engine = Engine::new(Settings::default());
    let (reader, mut memory, mut everything) = (Reader::default(), SourceMemory::default(), Wanted::default());
    everything.want_all();
    let stream = Stream::alone(1);
    let mut links = Vec::new();
    let mut last = BEGIN;
    for (number, (time, told)) in told.into_iter().enumerate() {
        last = time;
        engine.handle_timeout(time);
        let (line, is_sample) = match told {
            Told::Span(span) => {
                engine.handle_spans(time, &stream.place, &[span], &[]);
                continue;
            }
            Told::Line(line) => (line, false),
            Told::Sample(line) => (line, true),
        };
        let Reading::Proves(_, evidences) = reader.read(line.as_bytes(), &mut memory, &everything) else {
            panic!("{line}")
        };
        for evidence in evidences {
            let record = Record { ticket: Ticket(number as u64 + 1), stream: stream.clone(), observed: 0, evidence };
            if is_sample {
                engine.handle_sample(time, record);
            } else {
                engine.handle_record(time, record);
            }
        }
    }
    engine.finish(last + 60 * SECOND);
    while let Some(output) = engine.poll_output() {
        if let Output::Verdict(verdict) = output {
            let quotes = verdict.evidence.iter().map(|quote| quote.text.clone()).collect();
            links.push((verdict.link.clone(), quotes));
        }
    }
    links
}

/// A request that the application itself answered with 503 after 0.1 s.
fn relayed(ended: Nanos, target: &str, more: &str) -> String {
    let truth = Truth { target: target.to_owned(), status: 503, began: ended - 100 * MILLISECOND, ended, span: None };
    line_of(&truth)
        .replace(r#""upstream_header_time":"-""#, r#""upstream_header_time":"0.100""#)
        .replace('}', &format!("{more}}}"))
}

fn served(trace: u8, start: Nanos, end: Nanos, target: &str) -> SpanRow {
    let row = SpanRow {
        trace_id: [trace; 16],
        span_id: [trace; 8],
        start,
        end,
        status: 503,
        flags: SpanRow::SERVER,
        ..SpanRow::default()
    };
    row.asking("GET", target)
}

#[test]
fn an_id_that_contradicts_the_times_is_kept_and_said() {
    let trace = format!(r#","http_traceparent":"00-{}-{}-01""#, "02".repeat(16), "09".repeat(8));
    for (hours, says) in [(0, false), (3, true)] {
        let end = BEGIN - hours * 3_600 * SECOND;
        let span = served(2, end - 98 * MILLISECOND, end, "/cart");
        let told = vec![(BEGIN, Told::Span(span)), (BEGIN, Told::Line(relayed(BEGIN, "/cart", &trace)))];
        let (link, quotes) = links_of(told).pop().expect("a verdict");
        assert_eq!(link.trace.map(|trace| trace.trace_id), Some([2; 16]));
        assert_eq!(quotes.iter().any(|quote| quote.contains("the times contradict it")), says, "{quotes:?}");
    }
}

#[test]
fn a_link_by_time_says_what_spoke_for_it() {
    let span = served(2, BEGIN - 98 * MILLISECOND, BEGIN, "/cart");
    let told = vec![(BEGIN, Told::Span(span)), (BEGIN, Told::Line(relayed(BEGIN, "/cart", "")))];
    let (link, quotes) = links_of(told).pop().expect("a verdict");
    assert_eq!(link.trace.map(|trace| trace.trace_id), Some([2; 16]));
    let sum: f64 = link.odds.iter().map(|(_, odds)| odds).sum();
    assert!(sum > (0.95_f64 / 0.05).ln(), "{:?}", link.odds);
    assert!(quotes.iter().any(|quote| quote.starts_with("trace 02020202... by time, ")), "{quotes:?}");
}

#[test]
fn each_attempt_of_a_retried_request_has_its_own_span() {
    // The first attempt left by an exception, the second was answered; both are in one trace.
    let line = relayed(BEGIN, "/cart", "")
        .replace(r#""upstream_status":"503""#, r#""upstream_status":"502, 503""#)
        .replace(r#""upstream_addr":"127.0.0.1:8000""#, r#""upstream_addr":"127.0.0.1:8000, 127.0.0.1:8001""#)
        .replace(r#""upstream_connect_time":"0.000""#, r#""upstream_connect_time":"0.000, 0.000""#)
        .replace(r#""upstream_header_time":"0.100""#, r#""upstream_header_time":"-, 0.040""#)
        .replace(r#""upstream_response_time":"0.100""#, r#""upstream_response_time":"0.060, 0.040""#);
    let first = SpanRow { status: 0, ..served(2, BEGIN - 98 * MILLISECOND, BEGIN - 50 * MILLISECOND, "/cart") };
    let second = served(3, BEGIN - 38 * MILLISECOND, BEGIN, "/cart");
    // Of two traces, as where nobody hands the context on: the answer's is the request's.
    let told = vec![(BEGIN, Told::Span(first)), (BEGIN, Told::Span(second)), (BEGIN, Told::Line(line))];
    let (link, _) = links_of(told).pop().expect("a verdict");
    assert_eq!(link.candidates.len(), 2, "{link:?}");
    assert_eq!(link.trace.map(|trace| trace.trace_id), Some([3; 16]), "{link:?}");
}

#[test]
fn a_span_of_another_request_is_nobodys_guess() {
    // The worker was killed: its span is lost, and the only span about then ends with a request that is not in view.
    let killed =
        Truth { target: "/cart".to_owned(), status: 502, began: BEGIN - 100 * MILLISECOND, ended: BEGIN, span: None };
    let other = SpanRow { status: 200, ..served(9, BEGIN - 61 * MILLISECOND, BEGIN - 20 * MILLISECOND, "/cart") };
    for services in [1, 2] {
        let mut told = vec![(BEGIN, Told::Span(other)), (BEGIN, Told::Line(line_of(&killed)))];
        if services == 2 {
            told.push((BEGIN, Told::Span(served(8, BEGIN - 99 * MILLISECOND, BEGIN, "/billing"))));
        }
        let (link, _) = links_of(told).pop().expect("a verdict");
        assert_eq!(link.trace, None, "{link:?}");
    }
}

#[test]
fn good_requests_with_an_id_teach_what_is_usual() {
    let linked = |samples: i64| {
        let mut told = Vec::new();
        for number in 0..samples {
            let (at, trace) = (BEGIN + number * SECOND, [number as u8 + 1; 16]);
            // A server far away: its spans end 25 ms before nginx is done.
            let span = SpanRow {
                trace_id: trace,
                span_id: [1; 8],
                status: 200,
                ..served(0, at - 90 * MILLISECOND, at - 25 * MILLISECOND, "/cart")
            };
            let id: String = trace.iter().map(|byte| format!("{byte:02x}")).collect();
            let line = relayed(at, "/cart", &format!(r#","http_traceparent":"00-{id}-{}-01""#, "01".repeat(8)));
            told.push((at, Told::Span(span)));
            told.push((at, Told::Sample(line.replace("503", "200"))));
        }
        let at = BEGIN + 100 * SECOND;
        told.push((at, Told::Span(served(200, at - 90 * MILLISECOND, at - 25 * MILLISECOND, "/cart"))));
        told.push((at, Told::Line(relayed(at, "/cart", ""))));
        let (link, _) = links_of(told).pop().expect("a verdict");
        link.odds.iter().find(|(feature, _)| *feature == "end").map_or(0.0, |(_, odds)| *odds)
    };
    assert!(linked(60) > linked(0) + 1.0, "{} {}", linked(60), linked(0));
}

#[test]
fn good_requests_without_an_id_tell_how_far_clocks_are_apart() {
    let apart = 400 * MILLISECOND;
    let linked = |samples: i64| {
        let mut told = Vec::new();
        for number in 0..samples {
            // At no regular times, as requests come.
            let at = BEGIN + number * SECOND + (number * number * 37 % 911) * MILLISECOND;
            let span = served(100, at + apart - 98 * MILLISECOND, at + apart, "/cart");
            let other = served(101, at - (number * 53 % 700 + 90) * MILLISECOND, at, "/billing");
            told.push((at, Told::Span(SpanRow { status: 200, ..span })));
            told.push((at, Told::Span(SpanRow { status: 200, ..other })));
            told.push((at, Told::Sample(relayed(at, "/cart", "").replace("503", "200"))));
        }
        let at = BEGIN + 100 * SECOND;
        // By the clocks as they are, it would be this one's.
        told.push((at, Told::Span(served(9, at - 98 * MILLISECOND, at, "/cart"))));
        told.push((at, Told::Span(served(2, at + apart - 98 * MILLISECOND, at + apart, "/cart"))));
        told.push((at, Told::Line(relayed(at, "/cart", ""))));
        let (link, _) = links_of(told).pop().expect("a verdict");
        link.trace.map(|trace| trace.trace_id[0])
    };
    assert_eq!((linked(0), linked(5), linked(40)), (Some(9), Some(9), Some(2)));
}

#[test]
fn where_clocks_are_apart_and_nothing_says_by_how_much_times_prove_nothing() {
    // Two machines, each with a clock of its own.
    let mut told = Vec::new();
    for number in 0..60 {
        let at = BEGIN + number * SECOND + (number * number * 37 % 911) * MILLISECOND;
        let end = at + if number % 2 == 0 { 400 } else { -300 } * MILLISECOND;
        let span = served(100, end - 98 * MILLISECOND, end, "/cart");
        told.push((at, Told::Span(SpanRow { status: 200, ..span })));
        told.push((at, Told::Sample(relayed(at, "/cart", "").replace("503", "200"))));
    }
    let at = BEGIN + 100 * SECOND;
    told.push((at, Told::Span(served(9, at - 98 * MILLISECOND, at, "/cart"))));
    told.push((at, Told::Line(relayed(at, "/cart", ""))));
    assert_eq!(links_of(told).pop().expect("a verdict").0.trace, None);
}

#[test]
fn what_a_killed_worker_left_leads_to_its_trace() {
    let killed = |at: Nanos, target: &str| {
        line_of(&Truth { target: target.to_owned(), status: 502, began: at - 2 * SECOND, ended: at, span: None })
    };
    // A query of the killed request was over and sent; the span of its request never came.
    let call = |trace: u8, start: Nanos, end: Nanos| SpanRow {
        trace_id: [trace; 16],
        span_id: [trace; 8],
        parent_span_id: [77; 8],
        start,
        end,
        ..SpanRow::default()
    };
    let own = call(2, BEGIN - 1_995 * MILLISECOND, BEGIN - 1_900 * MILLISECOND);
    let line = (BEGIN, Told::Line(killed(BEGIN, "/report")));
    let (link, _) = links_of(vec![(BEGIN, Told::Span(own)), line]).pop().expect("a verdict");
    let context = link.trace.expect("a trace");
    assert_eq!((context.trace_id, context.span_id), ([2; 16], Some([77; 8])), "the lost span is the parent");
    // The call of a request that was answered has its parent.
    let parent =
        SpanRow { status: 200, ..served(2, BEGIN - 1_996 * MILLISECOND, BEGIN - 1_890 * MILLISECOND, "/other") };
    let line = (BEGIN, Told::Line(killed(BEGIN, "/report")));
    let told = vec![(BEGIN, Told::Span(own)), (BEGIN, Told::Span(parent)), line];
    assert_eq!(links_of(told).pop().expect("a verdict").0.trace, None);
    // Two workers were killed at once, and both left a call: nobody knows which is whose.
    let other = call(3, BEGIN - 1_994 * MILLISECOND, BEGIN - 1_850 * MILLISECOND);
    let told = vec![
        (BEGIN, Told::Span(own)),
        (BEGIN, Told::Span(other)),
        (BEGIN, Told::Line(killed(BEGIN, "/report"))),
        (BEGIN, Told::Line(killed(BEGIN, "/export"))),
    ];
    assert!(links_of(told).iter().all(|(link, _)| link.trace.is_none()));
}

#[test]
fn ids_in_a_line_are_exact_wherever_they_stand() {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let plain = |user: &str| {
        format!(r#"198.51.100.20 - {user} [04/Mar/2026:09:15:00 +0000] "GET /cart HTTP/1.1" 502 157 "-" "curl/8""#)
    };
    for (line, is_exact) in [
        (format!("{} trace_id={trace} span_id={span}", plain("-")), true),
        (format!("{} rt=0.003 trace={trace} span={span}", plain("-")), true),
        (format!("trace_id={trace} span_id={span} {}", plain("-")), true),
        // Whoever names himself so is no trace.
        (plain(&format!("trace_id={trace}")), false),
        (plain("-"), false),
    ] {
        let (link, _) = links_of(vec![(BEGIN, Told::Line(line.clone()))]).pop().expect("a verdict");
        assert_eq!(link.trace.is_some_and(|trace| trace.span_id.is_some()), is_exact, "{line}");
        assert_eq!(link.method == LinkMethod::TraceContext, is_exact, "{line}");
    }
}
