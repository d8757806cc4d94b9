//! Where a limit is reached or shutdown has begun, senders are asked to come back.

use super::common::client::{Answer, call, frame, http1, post};
use super::common::hop::{Hop, relay};
use super::common::requests::{self, gzip, one};
use super::{JSON, PROTOBUF, as_json, status_of};
use http::Method;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use why502::otlp::Signal;

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

#[tokio::test]
async fn a_full_receiver_asks_to_come_back() {
    let hop = Hop::start(&relay("logs", 1)).await;
    let request = requests::logs(&["x"]);
    for content_type in [PROTOBUF, JSON] {
        // A request that does not end takes the only place.
        let mut slow = TcpStream::connect(hop.http).await.expect("connects");
        let head =
            format!("POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 9\r\n\r\n");
        slow.write_all(head.as_bytes()).await.expect("writes");
        let body = if content_type == JSON { as_json(Signal::Logs, &request) } else { request.clone() };
        let mut answer = post(hop.http, "/v1/logs", content_type, body.clone()).await;
        for _ in 0..1_000 {
            if answer.status != 200 {
                break;
            }
            answer = post(hop.http, "/v1/logs", content_type, body.clone()).await;
        }
        is_busy(&answer, content_type);
        drop(slow);
        while post(hop.http, "/v1/logs", content_type, body.clone()).await.status != 200 {}
    }
    // Over gRPC the one that does not end is a stream whose body waits.
    let (more, body) = tokio::sync::mpsc::channel::<Result<http_body::Frame<bytes::Bytes>, std::io::Error>>(1);
    let stream = TcpStream::connect(hop.grpc).await.expect("connects");
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .expect("HTTP/2");
    tokio::spawn(connection);
    let slow = http::Request::post(format!("http://test{}", Signal::Logs.grpc_path()))
        .header("content-type", "application/grpc")
        .body(http_body_util::StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(body)))
        .expect("a request");
    let slow = tokio::spawn(sender.send_request(slow));
    let mut answer = call(hop.grpc, Signal::Logs.grpc_path(), &request).await;
    for _ in 0..1_000 {
        if answer.grpc().code() != Code::Ok {
            break;
        }
        answer = call(hop.grpc, Signal::Logs.grpc_path(), &request).await;
    }
    is_busy_grpc(&answer);
    more.send(Ok(http_body::Frame::data(frame(0, &request)))).await.expect("the body is awaited");
    drop(more);
    let answer = slow.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), 200, "the slow one is served all the same");
    assert!(hop.refused("overloaded") >= 3);
}

#[tokio::test]
async fn large_requests_have_a_limit_together() {
    let text = relay("logs", 256)
        .replace("max_request_body_size: 1MiB", "max_request_body_size: 1MiB, max_bytes_in_flight: 2MiB");
    let hop = Hop::start(&text).await;
    let large = requests::logs(&["x".repeat(900 << 10).as_str()]);
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        large.len()
    );
    let (most, last) = large.split_at(large.len() - 1);
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(hop.http).await.expect("connects");
        stream.write_all(head.as_bytes()).await.expect("writes");
        stream.write_all(most).await.expect("writes");
        slow.push(stream);
    }
    // Plain and compressed: the same bytes in memory.
    for (encoding, body) in [("identity", large.clone()), ("gzip", gzip(&large))] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", encoding)];
        let mut answer = http1(hop.http, Method::POST, "/v1/logs", &headers, body.clone()).await;
        for _ in 0..1_000 {
            if answer.status != 200 {
                break;
            }
            answer = http1(hop.http, Method::POST, "/v1/logs", &headers, body.clone()).await;
        }
        is_busy(&answer, PROTOBUF);
    }
    assert_eq!(
        post(hop.http, "/v1/logs", PROTOBUF, requests::logs(&["small"])).await.status,
        200,
        "there is room for it"
    );
    for mut stream in slow {
        stream.write_all(last).await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(post(hop.http, "/v1/logs", PROTOBUF, large).await.status, 200, "and again for all");
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

#[tokio::test]
async fn past_the_bytes_that_may_be_held_senders_come_back() {
    let text = relay("logs", 256)
        .replace(
            "exporters: {debug",
            "processors: {why502: {hold: 5m, limits: {held_bytes: 64KiB}}}\nexporters: {debug",
        )
        .replace("receivers: [otlp],", "receivers: [otlp], processors: [why502],");
    let hop = Hop::start(&text).await;
    let mut taken = 0_u32;
    let refused = loop {
        let lines = requests::refused_by_upstream(taken + 1, &format!("/{}", "x".repeat(10_000)));
        let request = requests::logs(&[&lines[0], &lines[1], "a healthy one"]);
        let answer = call(hop.grpc, Signal::Logs.grpc_path(), &request).await;
        if answer.grpc().code() != Code::Ok {
            break answer;
        }
        taken += 1;
        assert!(taken < 100, "there is a limit");
    };
    is_busy_grpc(&refused);
    assert!(taken > 0);
    let healthy = hop.kept.take().len();
    assert_eq!(healthy, taken as usize, "nothing of the refused request went on, not even its healthy record");
}
