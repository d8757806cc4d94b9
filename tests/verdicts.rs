//! The query API of the built program and its client `why502 watch`: list, get and watch, filters, the bounded ring.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use bytes::Bytes;
use common::client::{call, frame};
use common::eventually;
use common::hop::Hop;
use common::process::{Program, explained, finished};
use common::requests;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tonic::Code;
use tonic::transport::Channel;
use why502::otlp::Signal;
use why502::web::api::incidents_client::IncidentsClient;
use why502::web::api::verdicts_client::VerdictsClient;
use why502::web::api::{
    Filter, GetIncidentRequest, GetRequest, ListIncidentsRequest, ListRequest, Verdict, WatchIncidentsRequest,
    WatchRequest,
};

/// Unix time of the first failure; each number fails so many seconds later.
const FIRST_SECOND: u64 = 1_772_615_700;

/// The access line of a request that failed in the second of its number, and the error line that says how.
fn failure(number: u64, how: &str) -> [String; 2] {
    let target = format!("/{number}");
    let access = format!(
        r#"{{"msec":"{}.500","pid":"411","connection":"{number}","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.001","upstream_addr":"127.0.0.1:8000","upstream_status":"502","upstream_connect_time":"-","upstream_header_time":"-","upstream_response_time":"0.001","upstream_bytes_received":"0"}}"#,
        FIRST_SECOND + number
    );
    let error = format!(
        r#"2026/03/04 09:15:{number:02} [error] 411#411: *{number} {how}, client: 198.51.100.20, server: shop.test, request: "GET {target} HTTP/1.1", upstream: "http://127.0.0.1:8000{target}", host: "shop.test""#
    );
    [access, error]
}

const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";
const TOO_BIG: &str = "upstream sent too big header while reading response header from upstream";

async fn fail(grpc: SocketAddr, number: u64, how: &str) {
    let [access, error] = failure(number, how);
    let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(&[&access, &error])).await;
    assert_eq!(answer.grpc().code(), Code::Ok);
}

async fn client(grpc: SocketAddr) -> VerdictsClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{grpc}")).expect("a URL");
    VerdictsClient::new(endpoint.connect().await.expect("connects"))
}

async fn list(grpc: SocketAddr, filter: Filter, limit: u32) -> Vec<Verdict> {
    let request = ListRequest { filter: Some(filter), limit };
    client(grpc).await.list(request).await.expect("a list").into_inner().verdicts
}

/// Waits until the newest verdict is this request's.
async fn reached(grpc: SocketAddr, number: u64) {
    for _ in 0..600 {
        let newest = list(grpc, Filter::default(), 1).await;
        if newest.first().is_some_and(|verdict| verdict.target == format!("/{number}")) {
            return;
        }
        common::process::pause().await;
    }
    panic!("no verdict on /{number}");
}

fn targets(verdicts: &[Verdict]) -> Vec<&str> {
    verdicts.iter().map(|verdict| verdict.target.as_str()).collect()
}

async fn program(verdicts_max: usize) -> (Program, SocketAddr) {
    let processor = format!("hold: 100ms, limits: {{verdicts: {verdicts_max}}}");
    let program = Program::run(&explained(&processor, "debug: {}"));
    let (grpc, _) = program.addresses().await;
    (program, grpc)
}

#[tokio::test]
async fn list_and_get_by_cause_and_time_out_of_a_bounded_ring() {
    let (mut program, grpc) = program(4).await;
    for number in 1..=6 {
        fail(grpc, number, if number % 2 == 0 { TOO_BIG } else { REFUSED }).await;
        reached(grpc, number).await;
    }
    let all = list(grpc, Filter::default(), 0).await;
    assert_eq!(targets(&all), ["/6", "/5", "/4", "/3"], "the newest four, newest first");
    assert_eq!(targets(&list(grpc, Filter::default(), 2).await), ["/6", "/5"]);
    let of = |causes: &[&str], since: u64, until: u64| {
        let nanos = |number: u64| if number == 0 { 0 } else { (FIRST_SECOND + number) * 1_000_000_000 + 500_000_000 };
        let causes = causes.iter().map(|cause| (*cause).to_owned()).collect();
        Filter { causes, since_unix_nano: nanos(since), until_unix_nano: nanos(until) }
    };
    let cases: [(Filter, &[&str]); 7] = [
        (of(&["gunicorn_not_running"], 0, 0), &["/5", "/3"]),
        (of(&["response_header_too_big"], 0, 0), &["/6", "/4"]),
        (of(&["gunicorn_not_running", "response_header_too_big"], 0, 0), &["/6", "/5", "/4", "/3"]),
        (of(&["dns_failure"], 0, 0), &[]),
        (of(&[], 5, 0), &["/6", "/5"]),
        (of(&[], 0, 5), &["/4", "/3"]),
        (of(&["gunicorn_not_running"], 4, 6), &["/5"]),
    ];
    for (filter, expected) in cases {
        let shown = format!("{filter:?}");
        assert_eq!(targets(&list(grpc, filter, 0).await), expected, "{shown}");
    }
    let newest = &all[0];
    assert_eq!((newest.status, newest.method.as_str(), newest.cause.as_str()), (502, "GET", "response_header_too_big"));
    assert_eq!(newest.symptom, "response_header_too_big");
    assert!(newest.confidence > 0.5 && newest.confidence <= 1.0 && !newest.hint.is_empty());
    assert!(!newest.evidence.is_empty() && newest.upstream == "127.0.0.1:8000", "{newest:?}");

    let mut client = client(grpc).await;
    let got = client.get(GetRequest { uid: newest.uid.clone() }).await.expect("it is kept").into_inner();
    assert_eq!(&got, newest);
    let unknown = client.get(GetRequest { uid: "no such uid".to_owned() }).await.expect_err("it is not kept");
    assert_eq!(unknown.code(), Code::NotFound);
    for filter in [of(&["worker_tiemout"], 0, 0), of(&["\u{1b}[31m"], 0, 0)] {
        let request = ListRequest { filter: Some(filter.clone()), limit: 0 };
        let refused = client.list(request).await.expect_err("no such cause");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(!refused.message().contains('\u{1b}'), "{refused:?}");
        let refused = client.watch(WatchRequest { filter: Some(filter), backlog: 0 }).await.expect_err("no such cause");
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let shown = program.stdout();
    assert!(shown.contains("gunicorn_not_running") && shown.contains("GET /1") && !shown.contains('\u{1b}'), "{shown}");
}

#[tokio::test]
async fn watch_sends_the_backlog_and_then_what_comes() {
    let (_program, grpc) = program(100).await;
    for number in 1..=3 {
        fail(grpc, number, if number == 2 { TOO_BIG } else { REFUSED }).await;
        reached(grpc, number).await;
    }
    let filter = Filter { causes: vec!["gunicorn_not_running".to_owned()], ..Filter::default() };
    let mut client = client(grpc).await;
    let mut some =
        client.watch(WatchRequest { filter: Some(filter), backlog: 5 }).await.expect("a stream").into_inner();
    let mut all = client.watch(WatchRequest { filter: None, backlog: 1 }).await.expect("a stream").into_inner();
    let mut none = client.watch(WatchRequest { filter: None, backlog: 0 }).await.expect("a stream").into_inner();
    for (number, how) in [(4, TOO_BIG), (5, REFUSED)] {
        fail(grpc, number, how).await;
        reached(grpc, number).await;
    }
    for (stream, expected) in [(&mut some, ["/1", "/3", "/5"]), (&mut all, ["/3", "/4", "/5"])] {
        for target in expected {
            let verdict = stream.message().await.expect("no error").expect("no end");
            assert_eq!(verdict.target, target);
        }
    }
    assert_eq!(none.message().await.expect("no error").expect("no end").target, "/4", "only what came after");
}

#[tokio::test]
async fn the_client_shows_verdicts_as_they_come() {
    let (program, grpc) = program(100).await;
    fail(grpc, 1, REFUSED).await;
    reached(grpc, 1).await;
    let to = grpc.to_string();
    let json = Program::start(&["watch", "--to", &to, "--backlog", "10", "--format", "json"]);
    let text = Program::start(&["watch", "--to", &to, "--backlog", "10", "--cause", "response_header_too_big"]);
    let of_kind = |incidents: bool| -> Vec<serde_json::Value> {
        let objects = json.stdout();
        let objects = objects.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        objects.filter(|object| (object["type"] == "incident") == incidents).collect()
    };
    eventually("the backlog is shown", || of_kind(false).len() == 1 && of_kind(true).len() == 1).await;
    // The other may not be there yet, so it gets more than one to see.
    let mut number = 1;
    while !text.stdout().contains("response_header_too_big") {
        number += 1;
        assert!(number < 50, "{} {}", text.stdout(), text.stderr());
        fail(grpc, number, TOO_BIG).await;
        reached(grpc, number).await;
        common::process::pause().await;
    }
    eventually("all is shown", || of_kind(false).len() as u64 == number).await;
    for (verdict, number) in of_kind(false).into_iter().zip(1..) {
        assert_eq!(verdict["target"], format!("/{number}"));
        let cause = if number == 1 { "gunicorn_not_running" } else { "response_header_too_big" };
        assert_eq!((&verdict["cause"], &verdict["status"]), (&cause.into(), &502.into()));
        assert_eq!(verdict["time"], format!("2026-03-04T09:15:{number:02}.500Z"));
        assert!(verdict["link"]["method"].is_string() && verdict["trace_id"].is_null());
    }
    assert!(!text.stdout().contains("gunicorn_not_running") && !text.stdout().contains('\u{1b}'), "{}", text.stdout());
    // However many requests tell it, a story is told once, and its incident has the count.
    let told = text.stdout().matches("sure)").count();
    assert!(told == 1 && text.stdout().contains("incident opened response_header_too_big"), "{}", text.stdout());
    let incidents = of_kind(true);
    let uids: std::collections::BTreeSet<&str> =
        incidents.iter().map(|incident| incident["uid"].as_str().expect("a uid")).collect();
    assert_eq!(uids.len(), 2, "{incidents:?}");
    assert!(of_kind(false).iter().all(|verdict| uids.contains(verdict["incident"].as_str().expect("a uid"))));
    drop(program);
    eventually("it says that the server is gone", || json.stderr().contains(&to)).await;
}

#[tokio::test]
async fn incidents_are_listed_got_and_watched() {
    let (program, grpc) = program(100).await;
    let endpoint = Channel::from_shared(format!("http://{grpc}")).expect("a URL");
    let mut incidents = IncidentsClient::new(endpoint.connect().await.expect("connects"));
    let watch = WatchIncidentsRequest { filter: None, backlog: 5 };
    let mut watched = incidents.watch(watch).await.expect("a stream").into_inner();
    for number in 1..=4 {
        fail(grpc, number, if number == 2 { TOO_BIG } else { REFUSED }).await;
        reached(grpc, number).await;
    }
    let causes = |causes: &[&str]| {
        Some(Filter { causes: causes.iter().map(|cause| (*cause).to_owned()).collect(), ..Filter::default() })
    };
    let all = incidents.list(ListIncidentsRequest { filter: None, limit: 0 }).await.expect("a list").into_inner();
    assert_eq!(all.incidents.len(), 2, "{all:?}");
    let request = ListIncidentsRequest { filter: causes(&["gunicorn_not_running"]), limit: 0 };
    let down = incidents.list(request).await.expect("a list").into_inner().incidents;
    let [down] = down.as_slice() else { panic!("{down:?}") };
    assert_eq!((down.origin.as_str(), down.ended.as_str()), ("gunicorn_not_running", ""));
    // It was told of when it opened, and when it had doubled: the fourth request waits for the next time.
    assert!((2..=3).contains(&down.requests) && down.state == "changed", "{down:?}");
    let got = incidents.get(GetIncidentRequest { uid: down.uid.clone() }).await.expect("it is kept").into_inner();
    assert_eq!(&got, down);
    let verdicts = list(grpc, Filter::default(), 0).await;
    let of_down = verdicts.iter().filter(|verdict| verdict.incident_uid == down.uid);
    assert_eq!(of_down.map(|verdict| verdict.target.as_str()).collect::<Vec<_>>(), ["/4", "/3", "/1"]);
    let unknown = incidents.get(GetIncidentRequest { uid: "no such uid".to_owned() }).await.expect_err("not kept");
    assert_eq!(unknown.code(), Code::NotFound);
    let request = ListIncidentsRequest { filter: causes(&["worker_tiemout"]), limit: 0 };
    assert_eq!(incidents.list(request).await.expect_err("no such cause").code(), Code::InvalidArgument);
    let mut told = Vec::new();
    for _ in 0..3 {
        let incident = watched.message().await.expect("no error").expect("no end");
        told.push(format!("{} {}", incident.state, incident.origin));
    }
    assert_eq!(told, ["opened gunicorn_not_running", "opened response_header_too_big", "changed gunicorn_not_running"]);
    program.signal("TERM");
    // The watcher is told of the ends, the terminal as well.
    eventually("it says what became of them", || program.stdout().matches("incident closed").count() == 2).await;
}

#[tokio::test]
async fn the_client_says_what_is_wrong() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let lonely = Program::start(&["watch", "--to", &free.to_string()]);
    eventually("it says so", || lonely.stderr().contains("cannot connect") && lonely.stderr().contains("trying again"))
        .await;
    let (code, stdout, stderr) = finished(&["watch", "--cause", "worker_tiemout"]).await;
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("did you mean `worker_timeout`?"), "{stderr}");
}

/// For reflection: list the services. For all others a field that they do not know.
const NAMES: &[u8] = &[0x3a, 1, b'*'];

/// What a call comes to; one that is answered without end has not been refused.
async fn status(grpc: SocketAddr, path: &str) -> tonic::Status {
    let path = format!("/{path}");
    let answer = tokio::time::timeout(std::time::Duration::from_secs(30), call(grpc, &path, NAMES));
    answer.await.unwrap_or_else(|_| panic!("{path}: no end")).grpc()
}

/// A client that reads heads alone, so that answers stay on their way.
struct Slow {
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    answers: Vec<::http::Response<hyper::body::Incoming>>,
}

impl Slow {
    async fn connect(grpc: SocketAddr) -> Slow {
        let stream = tokio::net::TcpStream::connect(grpc).await.expect("connects");
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(0)
            .handshake(TokioIo::new(stream))
            .await
            .expect("HTTP/2");
        tokio::spawn(connection);
        Slow { sender, answers: Vec::new() }
    }

    async fn call(&mut self, path: &str) {
        let request = ::http::Request::post(format!("http://test/{path}")).header("content-type", "application/grpc");
        let request = request.body(Full::new(frame(0, NAMES))).expect("a request");
        let answer = self.sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.headers().get("grpc-status"), None, "{path}: it is answered");
        self.answers.push(answer);
    }
}

#[tokio::test]
async fn what_is_served_at_once_has_limits() {
    let hop = Hop::relay().await;
    let reflection = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    // Calls that share a limit, the limit, what the next one is told.
    let cases: [(&[&str], usize, Code, &str); 3] = [
        (&["why502.v1.Verdicts/Watch"], 64, Code::ResourceExhausted, "64 watchers are there"),
        (&["why502.v1.Verdicts/List"], 16, Code::Unavailable, "busy with 16 other calls"),
        (
            &["grpc.health.v1.Health/Watch", reflection],
            64,
            Code::ResourceExhausted,
            "64 streams of reflection and health",
        ),
    ];
    let mut slow = Slow::connect(hop.grpc).await;
    for (paths, limit, code, words) in cases {
        for path in paths.iter().cycle().take(limit) {
            slow.call(path).await;
        }
        for path in paths {
            let refused = status(hop.grpc, path).await;
            assert_eq!(refused.code(), code, "{path}: {refused:?}");
            assert!(refused.message().contains(words), "{path}: {refused:?}");
        }
    }
    let refused = status(hop.grpc, "why502.v1.Verdicts/Get").await;
    assert_eq!(refused.code(), Code::Unavailable, "it shares the limit of List: {refused:?}");
    assert_eq!(status(hop.grpc, "grpc.health.v1.Health/Check").await.code(), Code::Ok);
    let answer = call(hop.grpc, Signal::Logs.grpc_path(), &requests::logs(&["x"])).await;
    assert_eq!(answer.grpc().code(), Code::Ok, "records come in all the same");
    drop(slow);
    for path in ["why502.v1.Verdicts/List", reflection] {
        let mut code = Code::Unknown;
        for _ in 0..600 {
            code = status(hop.grpc, path).await.code();
            if code == Code::Ok {
                break;
            }
            common::process::pause().await;
        }
        assert_eq!(code, Code::Ok, "{path}: there is room again");
    }
    Slow::connect(hop.grpc).await.call("why502.v1.Verdicts/Watch").await;
}

#[tokio::test]
async fn a_long_call_is_refused() {
    let hop = Hop::relay().await;
    for path in ["why502.v1.Verdicts/List", "grpc.health.v1.Health/Check"] {
        let status = call(hop.grpc, &format!("/{path}"), &[0; 100_000]).await.grpc();
        assert_eq!(status.code(), Code::OutOfRange, "{path}: {status:?}");
    }
}
