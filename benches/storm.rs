//! What a failed request costs when all of them fail: its error line and its access line from the bytes that arrive to
//! the bytes that go on, with the verdict on both and a record of its own. The throughput column is requests.
//!
//! `cargo bench --bench storm`

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use why502::engine::verdict::{Ticket, Verdict};
use why502::engine::{Decision, Engine, Output, Record, Settings};
use why502::enrich::Enrichment;
use why502::otlp::{Attribute, NewRecord, RequestWriter, Surroundings, resource, scope};
use why502::read::Wanted;
use why502::read::formats::Reader;
use why502::scan;
use why502::scan::place::Sites;
use why502::scan::streams::Memories;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const REQUESTS: u64 = 20_000;
/// Records of one OTLP request: 500 failed requests.
const RECORDS: u64 = 1_000;
/// 2027-03-03 10:20:30 UTC.
const START: i64 = 1_804_069_230_000_000_000;

fn main() {
    divan::main();
}

/// The failed requests of two hosts in turn, as a collector sends them. `paths` is how many URLs are asked for.
fn storm(paths: u64) -> Vec<Vec<u8>> {
    let mut writers: Vec<(Surroundings, Vec<Vec<u8>>)> = Vec::new();
    for host in ["edge-1.example.net", "edge-2.example.net"] {
        let shop = [Attribute::new("service.name", "shop-edge"), Attribute::new("host.name", host)];
        writers.push((Surroundings::new(&resource(&shop), &scope("filelog", "0.152.0")), Vec::new()));
    }
    let record = |number: u64, file: &str, body: &str| {
        let attributes = [Attribute::new("log.file.path", file)];
        let time = START.cast_unsigned() + number * 10_000;
        NewRecord { time, observed_time: time, body, attributes: &attributes, ..NewRecord::default() }.encode()
    };
    let (mut requests, mut body) = (Vec::new(), String::new());
    for number in 0..REQUESTS {
        let at = usize::from(number / (RECORDS / 2) % 2 == 1);
        let Some((surroundings, items)) = writers.get_mut(at) else { continue };
        let path = number % paths;
        body.clear();
        let _ = write!(
            body,
            "2027/03/03 10:20:30 [error] 29#29: *{number} connect() failed (111: Connection refused) while connecting to \
             upstream, client: 198.51.100.20, server: shop.example.net, request: \"GET /item/{path}?page=2 HTTP/1.1\", \
             upstream: \"http://10.0.0.7:8000/item/{path}?page=2\", host: \"shop.example.net\""
        );
        items.push(record(number, "/var/log/nginx/error.log", &body));
        body.clear();
        let _ = write!(
            body,
            "{{\"msec\":\"{}.{:03}\",\"pid\":\"29\",\"connection\":\"{number}\",\"remote_addr\":\"198.51.100.20\",\
             \"request\":\"GET /item/{path}?page=2 HTTP/1.1\",\"status\":\"502\",\"request_time\":\"0.004\",\
             \"upstream_addr\":\"10.0.0.7:8000\",\"upstream_status\":\"502\",\"upstream_connect_time\":\"-\",\
             \"upstream_header_time\":\"-\",\"upstream_response_time\":\"0.003\"}}",
            START / 1_000_000_000,
            number / 100
        );
        items.push(record(number, "/var/log/nginx/access.log", &body));
        if items.len() as u64 == RECORDS {
            let mut writer = RequestWriter::new();
            items.drain(..).for_each(|item| writer.push(surroundings, &item));
            requests.push(writer.finish());
        }
    }
    requests
}

/// How much of the way is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Read,
    Judge,
    Write,
}

fn run(bencher: Bencher<'_, '_>, paths: u64, stage: Stage) {
    let requests = storm(paths);
    bencher.counter(ItemsCount::new(REQUESTS)).bench_local(|| way(black_box(&requests), stage));
}

/// One thread does all that the running program does with the records, but for sockets and queues.
fn way(requests: &[Vec<u8>], stage: Stage) -> usize {
    let (reader, memories, sites) = (Reader::default(), Memories::default(), Sites::default());
    let wanted = Wanted::default();
    let mut engine = Engine::new(Settings::default());
    let mut held: HashMap<Ticket, (Surroundings, &[u8])> = HashMap::new();
    let own = Surroundings::new(&resource(&[Attribute::new("service.name", "why502")]), &scope("why502", "1"));
    let (mut ticket, mut now, mut written) = (0, START, 0);
    for request in requests {
        let scanned = scan::logs(request, &reader, &memories, &sites, &wanted, |_| true).unwrap_or_default();
        assert_eq!(scanned.found.len() as u64, RECORDS);
        if stage == Stage::Read {
            continue;
        }
        for found in scanned.found {
            for evidence in found.evidences {
                ticket += 1;
                let record =
                    Record { ticket: Ticket(ticket), stream: found.stream.clone(), observed: found.observed, evidence };
                if engine.handle_record(now, record) == Decision::Hold {
                    let item = request.get(found.range.clone()).unwrap_or_default();
                    held.insert(Ticket(ticket), (found.surroundings.clone(), item));
                }
            }
        }
        written += release(&mut engine, &mut held, &own, stage);
        now += 5_000_000;
    }
    engine.finish(now);
    written += release(&mut engine, &mut held, &own, stage);
    assert!(stage == Stage::Read || held.is_empty());
    written
}

fn release(
    engine: &mut Engine,
    held: &mut HashMap<Ticket, (Surroundings, &[u8])>,
    own: &Surroundings,
    stage: Stage,
) -> usize {
    let (mut items, mut verdicts) = (RequestWriter::new(), RequestWriter::new());
    let mut last: Option<(Arc<Verdict>, Enrichment)> = None;
    let mut written = 0;
    while let Some(output) = engine.poll_output() {
        // Requests have at most a mebibyte.
        for writer in [&mut items, &mut verdicts] {
            if writer.bytes_len() > 1 << 20 {
                written += std::mem::take(writer).finish().len();
            }
        }
        let verdict = match &output {
            Output::Release { verdict, .. } => verdict.clone(),
            Output::Verdict(verdict) => Some(Arc::clone(verdict)),
            Output::Incident(incident) => {
                if stage == Stage::Write {
                    verdicts.push(own, &why502::enrich::incident::record(incident, incident.last));
                }
                continue;
            }
            Output::Good(_) => None,
        };
        if let Some(verdict) = verdict.filter(|_| stage == Stage::Write)
            && last.as_ref().is_none_or(|(known, _)| !Arc::ptr_eq(known, &verdict))
        {
            last = Some((Arc::clone(&verdict), Enrichment::of(&verdict)));
        }
        let enrichment = last.as_ref().map(|(_, enrichment)| enrichment);
        match (output, enrichment) {
            (Output::Verdict(verdict), Some(enrichment)) => {
                verdicts.push(own, &enrichment.verdict_record(&verdict, verdict.time));
            }
            (Output::Release { ticket, .. }, enrichment) => {
                let Some((surroundings, item)) = held.remove(&ticket) else { continue };
                if let Some(enrichment) = enrichment {
                    items.push(&surroundings, &enrichment.log_patch(true, Some(29)).apply(item));
                }
            }
            (Output::Verdict(_), None) | (Output::Incident(_) | Output::Good(_), _) => {}
        }
    }
    written + items.finish().len() + verdicts.finish().len()
}

macro_rules! stages {
    ($($name:ident: $paths:expr;)*) => {
        $(#[divan::bench_group(sample_count = 3, sample_size = 1)]
        mod $name {
            use super::*;

            #[divan::bench]
            fn read(bencher: Bencher<'_, '_>) {
                run(bencher, $paths, Stage::Read);
            }

            #[divan::bench]
            fn read_and_judge(bencher: Bencher<'_, '_>) {
                run(bencher, $paths, Stage::Judge);
            }

            #[divan::bench]
            fn read_judge_and_write(bencher: Bencher<'_, '_>) {
                run(bencher, $paths, Stage::Write);
            }
        })*
    };
}

stages! {
    many_urls: 500;
    one_url: 1;
}
