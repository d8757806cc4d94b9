//! Where a limit is reached or shutdown has begun, senders are asked to come back.

use super::common::client::{Answer, call, call_raw, frame, http1, post};
use super::common::config;
use super::common::hop::{Hop, relay};
use super::common::requests::{self, gzip, one};
use super::{JSON, PROTOBUF, as_json, status_of};
use ::http::Method;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use why502::config::settings::Listener;
use why502::otlp::Signal;
use why502::receiver::admission::Admission;
use why502::receiver::serve::{bind, serve};
use why502::receiver::{Consumer, Refusal, grpc, http};

/// An answer that says: busy, come back.
fn is_busy(answer: &Answer, content_type: &str) {
    assert_eq!((answer.status, answer.header("content-type")), (503, content_type));
    assert_eq!(status_of(answer).code, Code::Unavailable as i32);
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds));
}

fn is_busy_grpc(answer: &Answer) {
    assert_eq!(answer.grpc().code(), Code::Unavailable);
    let delay = answer.retry_info().expect("RetryInfo");
    assert!(!delay.is_zero() && delay <= Duration::from_secs(60));
}

/// Works on each request until it is told to end.
#[derive(Clone)]
struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
    refused: Arc<Mutex<Vec<Refusal>>>,
}

impl Consumer for Gate {
    async fn consume(&self, _signal: Signal, _request: Bytes) -> Result<(), Refusal> {
        self.entered.add_permits(1);
        self.open.acquire().await.expect("never closed").forget();
        Ok(())
    }

    fn refused(&self, refusal: &Refusal) {
        self.refused.lock().expect("unbroken").push(refusal.clone());
    }
}

impl Gate {
    /// Through which so many may go.
    fn open(count: usize) -> Gate {
        Gate { entered: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(count)), refused: Arc::default() }
    }

    fn refused(&self) -> Vec<&'static str> {
        self.refused.lock().expect("unbroken").iter().map(Refusal::reason).collect()
    }
}

/// A listener whose limits the test has a hand on.
struct Listening {
    address: SocketAddr,
    admission: Admission,
    shutdown: CancellationToken,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Listening {
    /// Works on so many requests at once, which take 2 MiB together.
    async fn start(is_grpc: bool, requests_max: usize, gate: &Gate) -> Listening {
        let receiver = config(&relay("logs", requests_max)).receivers.remove(0);
        let listener = if is_grpc { receiver.grpc } else { receiver.http }.expect("a listener");
        let listener = Listener { in_flight_bytes_max: 2 << 20, ..listener };
        let (admission, shutdown) =
            (Admission::of(&listener, why502::memory::Memory::unlimited()), CancellationToken::new());
        let router = match is_grpc {
            true => grpc::routes(gate.clone(), 1 << 20, admission.clone(), axum::Router::new(), &[]),
            false => http::routes(
                gate.clone(),
                1 << 20,
                admission.clone(),
                &why502::otlp::Signal::ALL.map(|signal| signal.http_path().to_owned()),
            ),
        };
        let bound = bind(&listener, "endpoint").await.expect("a port");
        let address = bound.address.tcp().expect("a port");
        tokio::spawn(serve(bound, router, shutdown.clone()));
        Listening { address, admission, shutdown }
    }
}

#[tokio::test]
async fn a_full_receiver_asks_to_come_back() {
    let request = requests::logs(&["x"]);
    for content_type in [PROTOBUF, JSON, "gRPC"] {
        let is_grpc = content_type == "gRPC";
        let gate = Gate::open(0);
        let listening = Listening::start(is_grpc, 1, &gate).await;
        let address = listening.address;
        let body = if content_type == JSON { as_json(Signal::Logs, &request) } else { request.clone() };
        let send = || {
            let body = body.clone();
            async move {
                match is_grpc {
                    true => call(address, Signal::Logs.grpc_path(), &body).await,
                    false => post(address, "/v1/logs", content_type, body).await,
                }
            }
        };
        let first = tokio::spawn(send());
        gate.entered.acquire().await.expect("never closed").forget();
        let second = send().await;
        if is_grpc {
            is_busy_grpc(&second)
        } else {
            is_busy(&second, content_type)
        }
        gate.open.add_permits(2);
        for answer in [first.await.expect("no panic"), send().await] {
            assert!(answer.status == 200 && (!is_grpc || answer.grpc().code() == Code::Ok), "{answer:?}");
        }
        assert_eq!(gate.refused(), ["overloaded"]);
    }
}

/// The head of a request whose body comes when the receiver waits for it.
fn head(length: usize) -> String {
    format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
    )
}

/// Connects, and returns when the receiver waits for the body.
async fn awaited(address: SocketAddr, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(head(length).as_bytes()).await.expect("writes");
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test]
async fn bodies_that_do_not_come_keep_nobody_out() {
    let hop = Hop::start(&relay("logs", 1)).await;
    let request = requests::logs(&["x"]);
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut stream = awaited(hop.http, request.len()).await;
        stream.write_all(&request[..request.len() / 2]).await.expect("writes");
        slow.push(stream);
    }
    // Over gRPC the one that does not end is a stream whose body waits.
    let (more, body) = tokio::sync::mpsc::channel::<Result<http_body::Frame<Bytes>, std::io::Error>>(1);
    let stream = TcpStream::connect(hop.grpc).await.expect("connects");
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .expect("HTTP/2");
    tokio::spawn(connection);
    let path = Signal::Logs.grpc_path();
    let waiting = ::http::Request::post(format!("http://test{path}"))
        .header("content-type", "application/grpc")
        .body(http_body_util::StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(body)))
        .expect("a request");
    let waiting = tokio::spawn(sender.send_request(waiting));
    for _ in 0..50 {
        assert_eq!(post(hop.http, "/v1/logs", PROTOBUF, request.clone()).await.status, 200);
        assert_eq!(call(hop.grpc, path, &request).await.grpc().code(), Code::Ok);
    }
    // The slow ones are served all the same.
    more.send(Ok(http_body::Frame::data(frame(0, &request)))).await.expect("the body is awaited");
    drop(more);
    assert_eq!(waiting.await.expect("no panic").expect("an answer").status(), 200);
    for stream in &mut slow {
        stream.write_all(&request[request.len() / 2..]).await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(hop.refused("overloaded"), 0);
}

/// A request of 900 KiB.
fn large() -> Vec<u8> {
    requests::logs(&["x".repeat(900 << 10).as_str()])
}

#[tokio::test]
async fn large_requests_have_a_limit_together() {
    let (gate, large) = (Gate::open(10), large());
    let (over_http, over_grpc) = (Listening::start(false, 256, &gate).await, Listening::start(true, 256, &gate).await);
    // As if two of them came in.
    let taken = [&over_http, &over_grpc].map(|listening| {
        let mut taken = listening.admission.admit().expect("room");
        taken.grow(1800 << 10).expect("room");
        taken
    });
    // Plain and compressed: the same bytes in memory.
    for (encoding, flag, body) in [("identity", 0, large.clone()), ("gzip", 1, gzip(&large))] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", encoding)];
        is_busy(&http1(over_http.address, Method::POST, "/v1/logs", &headers, body.clone()).await, PROTOBUF);
        let headers = [("grpc-encoding", encoding)];
        is_busy_grpc(&call_raw(over_grpc.address, Signal::Logs.grpc_path(), &headers, frame(flag, &body)).await);
    }
    let send = async |request: &[u8]| {
        assert_eq!(post(over_http.address, "/v1/logs", PROTOBUF, request.to_vec()).await.status, 200);
        assert_eq!(call(over_grpc.address, Signal::Logs.grpc_path(), request).await.grpc().code(), Code::Ok);
    };
    send(&requests::logs(&["there is room for a small one"])).await;
    drop(taken);
    send(&large).await;
    send(&large).await;
    assert_eq!(gate.refused(), ["overloaded"; 4]);
}

#[tokio::test]
async fn bodies_that_stand_still_give_their_room_up() {
    let (gate, large) = (Gate::open(0), large());
    let listening = Listening::start(false, 256, &gate).await;
    let mut taken = listening.admission.admit().expect("room");
    taken.grow(1800 << 10).expect("room");
    let mut still = awaited(listening.address, large.len()).await;
    let still = tokio::spawn(async move {
        let mut answer = String::new();
        still.read_to_string(&mut answer).await.expect("an answer");
        answer
    });
    for _ in 0..3_000 {
        if still.is_finished() {
            break;
        }
        is_busy(&post(listening.address, "/v1/logs", PROTOBUF, large.clone()).await, PROTOBUF);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answer = still.await.expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("others need its room"), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(gate.refused().contains(&"broken_body"));
}

#[tokio::test]
async fn shutdown_asks_to_come_back() {
    let hop = Hop::relay().await;
    hop.pipeline.stop_intake();
    for signal in Signal::ALL {
        let request = one(signal, "x");
        is_busy(&post(hop.http, signal.http_path(), PROTOBUF, request.clone()).await, PROTOBUF);
        is_busy(&post(hop.http, signal.http_path(), JSON, as_json(signal, &request)).await, JSON);
        is_busy_grpc(&call(hop.grpc, signal.grpc_path(), &request).await);
    }
    assert_eq!(hop.refused("shutting_down"), 9);
    assert!(hop.kept.take().is_empty());
}

/// A pipeline in which records wait so long, 64 KiB of them.
fn explained(hold: &str) -> String {
    let processors =
        format!("processors: {{why502: {{hold: {hold}, limits: {{held_bytes: 64KiB}}}}}}\nexporters: {{debug");
    relay("logs", 256)
        .replace("exporters: {debug", &processors)
        .replace("receivers: [otlp],", "receivers: [otlp], processors: [why502],")
}

/// A failed request of which only the access line comes, so that it waits for its hold, a fifth of the room; and a healthy one.
fn failing(number: u32) -> Vec<u8> {
    let [access, _] = requests::refused_by_upstream(number + 1, &format!("/{}", "x".repeat(10_000)));
    requests::logs(&[&access, "a healthy one"])
}

#[tokio::test]
async fn who_finds_no_room_waits_a_moment_for_it_and_nobody_else_does() {
    let hop = Hop::start(&explained("300ms")).await;
    for number in 0..15 {
        let answer = call(hop.grpc, Signal::Logs.grpc_path(), &failing(number)).await;
        assert_eq!(answer.grpc().code(), Code::Ok, "request {number}: {:?}", answer.grpc());
    }
    let order = Mutex::new(Vec::new());
    let send = async |name: &'static str, request: Vec<u8>| {
        let answer = call(hop.grpc, Signal::Logs.grpc_path(), &request).await;
        assert_eq!(answer.grpc().code(), Code::Ok, "{name}");
        order.lock().expect("unbroken").push(name);
    };
    // There is hardly room for more of the outage; another service is beside it.
    let storm = async {
        tokio::join!(
            send("outage", failing(20)),
            send("outage", failing(21)),
            send("outage", failing(22)),
            send("outage", failing(23)),
        )
    };
    let beside = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        send("beside", requests::logs(&["GET /healthy of another service"])).await;
    };
    tokio::join!(storm, beside);
    let order = order.into_inner().expect("unbroken");
    let place = |name| order.iter().position(|known| *known == name).expect("it was taken");
    assert!(place("beside") < order.len() - 1, "{order:?}");
    assert_eq!(hop.refused("overloaded"), 0, "{order:?}");
}

/// Four times as many senders as may wait, all at once.
#[tokio::test]
async fn more_senders_than_may_wait_are_taken_while_there_is_room() {
    let text = explained("300ms").replace("held_bytes: 64KiB", "held_bytes: 64MiB");
    let hop = Hop::start(&text).await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..128 {
        let lines = (0..50).flat_map(|number| requests::refused_by_upstream(sender * 50 + number, "/x"));
        let lines: Vec<String> = lines.collect();
        let request = requests::logs(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let address = hop.grpc;
        senders.spawn(async move { call(address, Signal::Logs.grpc_path(), &request).await.grpc().code() });
    }
    let codes = senders.join_all().await;
    assert!(codes.iter().all(|code| *code == Code::Ok), "{codes:?}");
    assert_eq!(hop.refused("overloaded"), 0);
}

#[tokio::test]
async fn past_the_bytes_that_may_be_held_senders_come_back() {
    let hop = Hop::start(&explained("5m")).await;
    let mut taken = 0_u32;
    let refused = loop {
        let request = failing(taken);
        let answer = call(hop.grpc, Signal::Logs.grpc_path(), &request).await;
        if answer.grpc().code() != Code::Ok {
            break answer;
        }
        taken += 1;
        assert!(taken < 100, "there is a limit");
    };
    is_busy_grpc(&refused);
    assert_eq!(hop.refused("overloaded"), 1);
    assert!(taken > 0);
    let healthy = hop.kept.take().len();
    assert_eq!(healthy, taken as usize, "nothing of the refused request went on, not even its healthy record");
}
