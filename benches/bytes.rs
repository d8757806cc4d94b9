//! What the bytes cost: walks, patches and JSON, beside prost. Figures are per request of 1,000 records of about
//! 355 bytes; the throughput column is records.
//!
//! `cargo bench --bench bytes`

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message as _;
use why502::otlp::{
    Attribute, Edits, LogPatch, NewRecord, Request, RequestWriter, Signal, Surroundings, check, json, resource, scope,
    split,
};

const RECORDS: u64 = 1_000;

fn main() {
    divan::main();
}

/// One request as a collector that tails an access log sends it.
fn request() -> Vec<u8> {
    let shop = [Attribute::new("service.name", "shop-edge"), Attribute::new("host.name", "edge-3.example.net")];
    let surroundings = Surroundings::new(&resource(&shop), &scope("filelog", "0.152.0"));
    let mut writer = RequestWriter::new();
    for number in 0..RECORDS {
        let body = format!(
            "198.51.100.{} - - [03/Mar/2027:10:20:{:02} +0000] \"GET /catalogue/item/{number}?page=2&sort=price HTTP/1.1\" \
             200 {} \"https://shop.example.net/catalogue\" \"Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101\"",
            number % 250,
            number % 60,
            5_000 + number,
        );
        let attributes = [
            Attribute::new("log.file.name", "access.log"),
            Attribute::new("log.file.path", "/var/log/nginx/access.log"),
        ];
        let time = 1_804_069_200_000_000_000 + number * 1_000_000;
        let record = NewRecord { observed_time: time, body: &body, attributes: &attributes, ..NewRecord::default() };
        writer.push(&surroundings, &record.encode());
    }
    writer.finish()
}

fn verdict_patch() -> LogPatch {
    LogPatch {
        attributes: vec![
            Attribute::new("why502.cause", "worker_timeout"),
            Attribute::new("why502.category", "worker"),
            Attribute::new("why502.confidence", 0.93),
            Attribute::new("why502.evidence", vec!["gunicorn: WORKER TIMEOUT (pid:311)".to_owned()]),
        ]
        .into(),
        trace_id: Some([7; 16]),
        span_id: Some([9; 8]),
        ..LogPatch::default()
    }
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn copy(bencher: Bencher<'_, '_>) {
    let request = request();
    bencher.bench_local(|| black_box(&request).to_vec());
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn check_walk(bencher: Bencher<'_, '_>) {
    let request = request();
    bencher.bench_local(|| check(Signal::Logs, black_box(&request)));
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn walk_to_bodies(bencher: Bencher<'_, '_>) {
    let request = request();
    bencher.bench_local(|| {
        let items = Request::new(black_box(&request)).items();
        items.filter_map(|item| item.log_record().body_string()).map(<[u8]>::len).sum::<usize>()
    });
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn walk_to_an_attribute(bencher: Bencher<'_, '_>) {
    let request = request();
    bencher.bench_local(|| {
        let items = Request::new(black_box(&request)).items();
        items.filter(|item| item.log_record().attributes().get("log.file.path").is_some()).count()
    });
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn patch_one_record(bencher: Bencher<'_, '_>) {
    let request = request();
    let patch = verdict_patch();
    let item = Request::new(&request).items().nth(500).expect("a record");
    bencher.bench_local(|| {
        let mut edits = Edits::new();
        edits.replace(item.range(), patch.apply(item.bytes));
        edits.apply(black_box(&request))
    });
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn patch_every_record(bencher: Bencher<'_, '_>) {
    let request = request();
    let patch = verdict_patch();
    bencher.bench_local(|| {
        let mut edits = Edits::new();
        for item in Request::new(black_box(&request)).items() {
            edits.replace(item.range(), patch.apply(item.bytes));
        }
        edits.apply(&request)
    });
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn split_in_four(bencher: Bencher<'_, '_>) {
    let request = request();
    let bytes_max = request.len() / 4 + 1_000;
    bencher.bench_local(|| split(Signal::Logs, black_box(&request), bytes_max));
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn json_write(bencher: Bencher<'_, '_>) {
    let request = request();
    bencher.bench_local(|| json::from_protobuf(Signal::Logs, black_box(&request)));
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn json_read(bencher: Bencher<'_, '_>) {
    let text = json::from_protobuf(Signal::Logs, &request()).expect("well formed");
    bencher.bench_local(|| json::to_protobuf(Signal::Logs, black_box(text.as_bytes())));
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn prost_decode(bencher: Bencher<'_, '_>) {
    let request = request();
    bencher.bench_local(|| ExportLogsServiceRequest::decode(black_box(&request[..])));
}

#[divan::bench(counters = [ItemsCount::new(RECORDS)])]
fn prost_decode_and_encode(bencher: Bencher<'_, '_>) {
    let request = request();
    bencher.bench_local(|| {
        ExportLogsServiceRequest::decode(black_box(&request[..])).map(|decoded| decoded.encode_to_vec())
    });
}
