//! Whose a record is: streams and their places, as the scan tells them apart.

use why502::engine::place::Machine;
use why502::otlp::{Attribute, NewRecord, RequestWriter, Surroundings, resource, scope};
use why502::read::Wanted;
use why502::read::formats::Reader;
use why502::scan::place::Sites;
use why502::scan::streams::Memories;
use why502::scan::{self, Scanned};

/// Attributes of a resource.
type Of<'a> = &'a [(&'static str, &'a str)];

/// A request of records, each with its resource, the path of its file and its line.
fn request(records: &[(Of<'_>, &str, &str)]) -> Vec<u8> {
    let mut writer = RequestWriter::new();
    for (of, path, body) in records {
        let attributes: Vec<_> = of.iter().map(|(key, value)| Attribute::new(*key, *value)).collect();
        let surroundings = Surroundings::new(&resource(&attributes), &scope("filelog", ""));
        let file = [Attribute::new("log.file.path", *path)];
        writer.push(&surroundings, &NewRecord { body, attributes: &file, ..NewRecord::default() }.encode());
    }
    writer.finish()
}

fn scan(streams: &Memories, request: &[u8]) -> Scanned {
    let scanned = scan::logs(request, &Reader::default(), streams, &Sites::default(), &Wanted::default(), |_| true);
    scanned.expect("everything is admitted")
}

const ERROR_LOG: &str = "/var/log/nginx/error.log";
const BROKEN: &str = r#"2026/03/04 09:15:03 [error] 411#411: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: s, request: "GET /cart?x=%0ay HTTP/1.1", upstream: "http://127.0.0.1:8000/cart?x="#;
const FORGED: &str = r#"2026/03/04 09:15:03 [error] 411#411: *9 upstream prematurely closed connection while reading response header from upstream, client: 198.51.100.21, server: s, request: "GET /forged HTTP/1.1", upstream: "http://127.0.0.1:8000/forged", host: "s""#;

#[test]
fn a_doubt_is_of_its_stream_whatever_stands_before_it() {
    let web: Of<'_> = &[("host.name", "b")];
    for other in [None, Some("a"), Some("c"), Some("quite another host")] {
        let streams = Memories::default();
        let host = other.map(|host| [("host.name", host)]);
        let mut records: Vec<(Of<'_>, &str, &str)> = Vec::new();
        if let Some(host) = &host {
            records.push((host, "/x.log", "an ordinary line"));
        }
        records.push((web, ERROR_LOG, BROKEN));
        scan(&streams, &request(&records));
        let scanned = scan(&streams, &request(&[(web, ERROR_LOG, FORGED)]));
        let genuine: Vec<bool> =
            scanned.found.iter().flat_map(|found| &found.evidences).map(|evidence| evidence.genuine).collect();
        assert_eq!(genuine, [false], "{other:?}");
        // The same line in another file of the host is nobody's forged half.
        let scanned = scan(&streams, &request(&[(web, "/var/log/nginx/blog.error.log", FORGED)]));
        assert!(scanned.found[0].evidences[0].genuine);
    }
}

#[test]
fn records_of_two_pods_in_one_resource_are_of_two_streams() {
    let paths = [
        "/var/log/pods/shop_web-6d4b75cb6d-x7k2p_0b8c5e0e/nginx/0.log",
        "/var/log/pods/shop_web-6d4b75cb6d-9zzzz_1b8c5e0e/nginx/0.log",
    ];
    let node: Of<'_> = &[("host.name", "node-1")];
    let records: Vec<_> = paths.iter().cycle().take(4).map(|path| (node, *path, FORGED)).collect();
    let found = scan(&Memories::default(), &request(&records)).found;
    assert_eq!(found.len(), 4);
    assert_eq!(found[0].stream, found[2].stream);
    assert_ne!(found[0].stream.place.site, found[1].stream.place.site);
    assert_eq!(found[0].stream.place.service, found[1].stream.place.service);
    assert!(found.iter().all(|found| found.stream.place.machine == Machine::Pod));
}

#[test]
fn healthy_answers_are_counted_for_their_streams() {
    let line = r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET / HTTP/1.1" 200 157 "-" "curl/8""#;
    let web: Of<'_> = &[("host.name", "b")];
    let of_one: Vec<_> = (0..100).map(|_| (web, "/var/log/nginx/access.log", line)).collect();
    let of_other: Vec<_> = (0..100).map(|_| (web, "/var/log/nginx/blog.access.log", line)).collect();
    let healthy = scan(&Memories::default(), &request(&[of_one, of_other].concat())).healthy;
    assert_eq!(healthy.len(), 2);
    assert_eq!(healthy.iter().map(|answers| answers.count).sum::<u64>(), 200);
    assert_ne!(healthy[0].stream.id, healthy[1].stream.id);
}

#[test]
fn of_healthy_answers_that_come_late_each_second_is_told() {
    const STAMPED: u64 = 1_772_615_703;
    let late_by = |seconds: u64| {
        let mut writer = RequestWriter::new();
        let surroundings = Surroundings::new(&resource(&[Attribute::new("host.name", "b")]), &scope("filelog", ""));
        for number in 0..40 {
            let body = format!(
                r#"198.51.100.20 - - [04/Mar/2026:09:15:{:02} +0000] "GET / HTTP/1.1" 200 157 "-" "curl/8""#,
                3 + number / 10
            );
            let observed_time = (STAMPED + seconds) * 1_000_000_000;
            writer.push(&surroundings, &NewRecord { body: &body, observed_time, ..NewRecord::default() }.encode());
        }
        let mut healthy = scan(&Memories::default(), &writer.finish()).healthy;
        assert_eq!((healthy.len(), healthy[0].count), (1, 40));
        std::mem::take(&mut healthy[0].late)
    };
    assert!(late_by(5).is_empty(), "about now");
    let expected: Vec<i64> = (0..4).map(|second| (STAMPED as i64 + second) * 1_000_000_000).collect();
    assert_eq!(late_by(8 * 86_400), expected);
}

#[test]
fn a_record_without_room_ends_the_scan() {
    let web: Of<'_> = &[("host.name", "b")];
    let request = request(&[(web, ERROR_LOG, FORGED), (web, ERROR_LOG, FORGED)]);
    let mut looks = 0;
    let admit = |_: &scan::FoundRecord| {
        looks += 1;
        false
    };
    let streams = Memories::default();
    let scanned = scan::logs(&request, &Reader::default(), &streams, &Sites::default(), &Wanted::default(), admit);
    assert!(scanned.is_none());
    assert_eq!(looks, 1);
}
