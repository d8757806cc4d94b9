//! What a line of an access log costs: healthy ones that are dismissed, failing ones that are read. The throughput
//! column is bytes of lines; for records that a collector parsed it is records.
//!
//! `cargo bench --bench lines`

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use why502::otlp::{Attribute, NewRecord, RequestWriter, Surroundings, resource, scope};
use why502::read::formats::{AccessFormats, LogFormat, Reader, Reading};
use why502::read::request_line::request_line_hash;
use why502::read::{SourceMemory, Wanted};
use why502::scan;
use why502::scan::place::Sites;
use why502::scan::streams::Memories;

fn main() {
    divan::main();
}

const TIMED: &str = "log_format timed '$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
    \"$http_referer\" \"$http_user_agent\" rt=$request_time uct=\"$upstream_connect_time\" \
    uht=\"$upstream_header_time\" urt=\"$upstream_response_time\" ua=\"$upstream_addr\" us=\"$upstream_status\"';";
const ODD: &str = "log_format odd '$status|$request_time|$time_iso8601|$remote_addr|$upstream_addr|\
    $upstream_response_time|\"$request\"|\"$http_referer\"|\"$http_user_agent\"|$request_id';";

/// A line of about 250 bytes in the family of `combined`.
fn combined(status: u16) -> String {
    format!(
        "198.51.100.23 - - [03/Mar/2027:10:20:30 +0000] \"GET /catalogue/item/4711?page=2&sort=price HTTP/1.1\" {status} \
         5711 \"https://shop.example.net/catalogue?page=1\" \"Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 \
         Firefox/142.0\" \"203.0.113.9\""
    )
}

fn timed(status: u16) -> String {
    let head = combined(status);
    let head = head.strip_suffix(" \"203.0.113.9\"").unwrap_or(&head);
    format!("{head} rt=0.204 uct=\"0.001\" uht=\"0.203\" urt=\"0.203\" ua=\"10.0.0.7:8000\" us=\"{status}\"")
}

fn odd(status: u16) -> String {
    format!(
        "{status}|0.204|2027-03-03T10:20:30+00:00|198.51.100.23|10.0.0.7:8000, 10.0.0.8:8000|0.100, 0.103|\"GET \
         /catalogue/item/4711?page=2&sort=price HTTP/1.1\"|\"https://shop.example.net/catalogue\"|\"Mozilla/5.0 (X11; \
         Linux x86_64; rv:142.0)\"|9f86d081884c7d659a2feaa0c55ad015"
    )
}

fn json(status: u16) -> String {
    format!(
        "{{\"time_iso8601\":\"2027-03-03T10:20:30+00:00\",\"remote_addr\":\"198.51.100.23\",\"request\":\"GET \
         /catalogue/item/4711?page=2 HTTP/1.1\",\"status\":{status},\"body_bytes_sent\":5711,\"http_user_agent\":\
         \"Mozilla/5.0 (X11; Linux x86_64)\",\"request_time\":0.204,\"upstream_status\":\"{status}\"}}"
    )
}

fn reader(formats: &[&str]) -> Reader {
    let formats = formats.iter().filter_map(|text| LogFormat::compile(text).ok()).collect();
    Reader::with_access_formats(AccessFormats::new(formats, Vec::new()))
}

fn dismiss(bencher: Bencher<'_, '_>, formats: &[&str], line: &str, wanted: &Wanted) {
    let reader = reader(formats);
    assert!(reader.dismiss(line.as_bytes(), wanted).is_some(), "{line}");
    bencher
        .counter(BytesCount::of_str(line))
        .bench_local(|| black_box(&reader).dismiss(black_box(line.as_bytes()), black_box(wanted)));
}

fn read(bencher: Bencher<'_, '_>, formats: &[&str], line: &str) {
    let reader = reader(formats);
    let mut memory = SourceMemory::default();
    let wanted = Wanted::default();
    assert!(matches!(reader.read(line.as_bytes(), &mut memory, &wanted), Reading::Proves(..)), "{line}");
    bencher
        .counter(BytesCount::of_str(line))
        .bench_local(|| black_box(&reader).read(black_box(line.as_bytes()), &mut memory, black_box(&wanted)));
}

#[divan::bench_group]
mod healthy {
    use super::*;

    #[divan::bench]
    fn combined_line(bencher: Bencher<'_, '_>) {
        dismiss(bencher, &[], &combined(200), &Wanted::default());
    }

    #[divan::bench]
    fn combined_line_others_wanted(bencher: Bencher<'_, '_>) {
        let wanted = Wanted::new((0_u32..1_000).map(|n| request_line_hash(b"GET", &n.to_le_bytes())).collect());
        dismiss(bencher, &[], &combined(200), &wanted);
    }

    #[divan::bench]
    fn json_line(bencher: Bencher<'_, '_>) {
        dismiss(bencher, &[], &json(200), &Wanted::default());
    }

    #[divan::bench]
    fn json_line_others_wanted(bencher: Bencher<'_, '_>) {
        let wanted = Wanted::new((0_u32..1_000).map(|n| request_line_hash(b"GET", &n.to_le_bytes())).collect());
        dismiss(bencher, &[], &json(200), &wanted);
    }

    #[divan::bench]
    fn named_format(bencher: Bencher<'_, '_>) {
        dismiss(bencher, &[TIMED], &timed(200), &Wanted::default());
    }

    #[divan::bench]
    fn last_of_five_formats(bencher: Bencher<'_, '_>) {
        dismiss(
            bencher,
            &["$host $status", "$status", "[$time_local] $status", TIMED, ODD],
            &odd(200),
            &Wanted::default(),
        );
    }
}

#[divan::bench_group]
mod failing {
    use super::*;

    #[divan::bench]
    fn combined_line(bencher: Bencher<'_, '_>) {
        read(bencher, &[], &combined(502));
    }

    #[divan::bench]
    fn json_line(bencher: Bencher<'_, '_>) {
        read(bencher, &[], &json(502));
    }

    #[divan::bench]
    fn inferred_pairs(bencher: Bencher<'_, '_>) {
        read(bencher, &[], &timed(502));
    }

    #[divan::bench]
    fn named_format(bencher: Bencher<'_, '_>) {
        read(bencher, &[TIMED], &timed(502));
    }

    #[divan::bench]
    fn lists_between_bars(bencher: Bencher<'_, '_>) {
        read(bencher, &[ODD], &odd(502));
    }
}

/// Healthy records whose lines a collector parsed into attributes.
#[divan::bench_group]
mod parsed {
    use super::*;

    const RECORDS: u64 = 1_000;

    fn scan(bencher: Bencher<'_, '_>, body: &str, attributes: &[(&'static str, &str)]) {
        let surroundings = Surroundings::new(&resource(&[]), &scope("filelog", "0.152.0"));
        let attributes: Vec<_> = attributes.iter().map(|(name, value)| Attribute::new(*name, *value)).collect();
        let mut writer = RequestWriter::new();
        for _ in 0..RECORDS {
            let record = NewRecord { observed_time: 1, body, attributes: &attributes, ..NewRecord::default() };
            writer.push(&surroundings, &record.encode());
        }
        let (request, reader, wanted) = (writer.finish(), Reader::default(), Wanted::default());
        let (memories, sites) = (Memories::default(), Sites::default());
        let scan = |request: &[u8]| scan::logs(request, &reader, &memories, &sites, &wanted, |_| true);
        assert!(scan(&request).is_some_and(|scanned| scanned.found.is_empty()));
        bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| scan(black_box(&request)));
    }

    const VARIABLES: [(&str, &str); 12] = [
        ("log.file.name", "access.log"),
        ("remote_addr", "198.51.100.23"),
        ("time_local", "03/Mar/2027:10:20:30 +0000"),
        ("request", "GET /catalogue/item/4711?page=2 HTTP/1.1"),
        ("status", "200"),
        ("body_bytes_sent", "5711"),
        ("http_referer", "https://shop.example.net/catalogue"),
        ("http_user_agent", "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101"),
        ("request_time", "0.204"),
        ("upstream_addr", "10.0.0.7:8000"),
        ("upstream_status", "200"),
        ("upstream_response_time", "0.203"),
    ];

    #[divan::bench]
    fn line_and_variables(bencher: Bencher<'_, '_>) {
        scan(bencher, &combined(200), &VARIABLES);
    }

    #[divan::bench]
    fn variables_alone(bencher: Bencher<'_, '_>) {
        scan(bencher, "", &VARIABLES);
    }

    #[divan::bench]
    fn error_line_of_no_failure(bencher: Bencher<'_, '_>) {
        let head = [
            ("log.file.name", "error.log"),
            ("time", "2027/03/03 10:20:30"),
            ("level", "info"),
            ("pid", "411"),
            ("tid", "411"),
            ("connection", "7"),
        ];
        scan(bencher, "client 198.51.100.23 closed keepalive connection", &head);
    }

    #[divan::bench]
    fn line_of_another_program(bencher: Bencher<'_, '_>) {
        let names = [
            ("log.file.name", "shop.log"),
            ("level", "INFO"),
            ("logger", "shop.cart"),
            ("code.function", "add"),
            ("order", "4711"),
        ];
        scan(bencher, "added an item to the cart of customer 4711", &names);
    }
}

/// Lines that are read and prove nothing, one of a record each: what other programs write, and what nginx and Gunicorn
/// write on a good day. To be held against `healthy::combined_line`.
#[divan::bench_group]
mod foreign {
    use super::*;

    const RECORDS: u64 = 1_000;

    const TEXT: &str = "INFO 2027-03-03 10:20:30,123 orders.views Order 4711 of customer 32977 was placed in 41 ms, total \
        \"4711.99\" EUR, items=[4711, 4712], shipping to the usual address of the customer; the warehouse in Leipzig was \
        told, the invoice is due in 14 days, voucher SPRING was taken off the total and 3 points were added";
    const JSON: &str = r#"{"level":"info","ts":"2027-03-03T10:20:30.123Z","logger":"com.shop.Orders","thread":"worker-12","msg":"order 4711 placed, the warehouse in Leipzig was told","customer":32977,"took_ms":41,"total":"4711.99","currency":"EUR","items":[4711,4712],"caller":"orders/place.go:117","version":"2.31.0","region":"eu-1"}"#;
    const POSTGRESQL: &str = "2027-03-03 10:20:30.123 UTC [4711] LOG:  duration: 41.123 ms  statement: SELECT id, name, \
        total, currency, placed_at FROM orders WHERE customer = 32977 AND placed_at > '2027-01-01' ORDER BY created DESC \
        LIMIT 10 /* shop orders list */ -- in transaction 99812734, virtual 12/4711, client backend";
    const NOTICE: &str = "2027/03/03 10:20:30 [notice] 7#7: signal 17 (SIGCHLD) received from 4711";
    const GUNICORN: &str = "[2027-03-03 10:20:30 +0000] [7] [INFO] Booting worker with pid: 4711";

    /// In a format that is not configured, and that the `combined` family does not have.
    fn unconfigured() -> String {
        "198.51.100.23 shop.example.net 0.204 \"GET /catalogue/item/4711?page=2&sort=price HTTP/1.1\" rt=0.204 status=200 \
         ua=\"10.0.0.7:8000\" us=\"200\" agent=\"Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101\""
            .to_owned()
    }

    /// The line as often as it takes to 4 KiB.
    fn long(line: &str) -> String {
        let mut text = line.repeat(4_096 / line.len() + 1);
        text.truncate(4_096);
        text
    }

    fn scan(bencher: Bencher<'_, '_>, line: &str) {
        let surroundings = Surroundings::new(&resource(&[]), &scope("filelog", "0.152.0"));
        let attributes = [Attribute::new("log.file.path", "/var/log/app.log")];
        let mut writer = RequestWriter::new();
        for _ in 0..RECORDS {
            let record = NewRecord { observed_time: 1, body: line, attributes: &attributes, ..NewRecord::default() };
            writer.push(&surroundings, &record.encode());
        }
        let (request, reader, wanted) = (writer.finish(), Reader::default(), Wanted::default());
        let (memories, sites) = (Memories::default(), Sites::default());
        bencher
            .counter(ItemsCount::new(RECORDS))
            .bench_local(|| scan::logs(black_box(&request), &reader, &memories, &sites, &wanted, |_| true));
    }

    #[divan::bench]
    fn healthy_combined(bencher: Bencher<'_, '_>) {
        scan(bencher, &combined(200));
    }

    #[divan::bench]
    fn text(bencher: Bencher<'_, '_>) {
        scan(bencher, TEXT);
    }

    #[divan::bench]
    fn text_4k(bencher: Bencher<'_, '_>) {
        scan(bencher, &long(TEXT));
    }

    #[divan::bench]
    fn json(bencher: Bencher<'_, '_>) {
        scan(bencher, JSON);
    }

    #[divan::bench]
    fn json_4k(bencher: Bencher<'_, '_>) {
        let text = long(TEXT).replace('"', "'");
        scan(bencher, &JSON.replace("eu-1", &text));
    }

    #[divan::bench]
    fn postgresql(bencher: Bencher<'_, '_>) {
        scan(bencher, POSTGRESQL);
    }

    #[divan::bench]
    fn postgresql_4k(bencher: Bencher<'_, '_>) {
        scan(bencher, &long(POSTGRESQL));
    }

    #[divan::bench]
    fn nginx_notice(bencher: Bencher<'_, '_>) {
        scan(bencher, NOTICE);
    }

    #[divan::bench]
    fn gunicorn_info(bencher: Bencher<'_, '_>) {
        scan(bencher, GUNICORN);
    }

    #[divan::bench]
    fn access_format_not_configured(bencher: Bencher<'_, '_>) {
        scan(bencher, &unconfigured());
    }
}
