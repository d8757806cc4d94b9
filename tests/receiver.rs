//! The receiver as OTLP 1.11.0 has it: every code and body, both protocols, all signals, by raw clients.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::client::{Answer, call, call_raw, frame, http1, http2, post};
use common::hop::{Hop, relay};
use common::requests::{self, gzip, one, zstd};
use http::Method;
use prost::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use why502::otlp::{Signal, json};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

type Compress = fn(&[u8]) -> Vec<u8>;

/// `google.rpc.Status`, read by code of our own.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Code and message of the body of an error, in the encoding that the answer says.
fn status_of(answer: &Answer) -> Status {
    match answer.header("content-type") {
        PROTOBUF => Status::decode(answer.body.clone()).expect("a status in protobuf"),
        JSON => {
            let value: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            Status {
                code: value["code"].as_i64().and_then(|code| i32::try_from(code).ok()).expect("a code"),
                message: value["message"].as_str().expect("a message").to_owned(),
            }
        }
        other => panic!("the body of an error in {other}: {answer:?}"),
    }
}

fn as_json(signal: Signal, request: &[u8]) -> Vec<u8> {
    json::from_protobuf(signal, request).expect("a request").into_bytes()
}

#[tokio::test]
async fn success_is_an_empty_message_in_the_encoding_of_the_request() {
    let hop = Hop::relay().await;
    let plain: Compress = |bytes| bytes.to_vec();
    let encodings: [(&str, Compress); 3] = [("identity", plain), ("gzip", gzip), ("zstd", zstd)];
    for signal in Signal::ALL {
        let request = one(signal, "a healthy item");
        for (encoding, compress) in encodings {
            let arrived = |case: &str| {
                let kept = hop.kept.take();
                assert_eq!(kept.len(), 1, "{case}: one request");
                let (of, arrived, items) = &kept[0];
                assert_eq!((*of, *items), (signal, 1), "{case}");
                // Protobuf that was made out of JSON may have another order of fields.
                let is_same = case.contains("json") || arrived == &request;
                assert!(is_same && requests::equal(signal, arrived, &request), "{case}: {arrived:?}");
            };
            for (content_type, body) in [(PROTOBUF, request.clone()), (JSON, as_json(signal, &request))] {
                let case = format!("{signal:?} {encoding} {content_type}");
                let headers = [("content-type", content_type), ("content-encoding", encoding)];
                for version in [1, 2] {
                    let body = compress(&body);
                    let answer = match version {
                        1 => http1(hop.http, Method::POST, signal.http_path(), &headers, body).await,
                        _ => http2(hop.http, Method::POST, signal.http_path(), &headers, body).await,
                    };
                    assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{case}");
                    assert_eq!(&answer.body[..], if content_type == JSON { b"{}".as_slice() } else { b"" }, "{case}");
                    arrived(&case);
                }
            }
            let case = format!("{signal:?} {encoding} gRPC");
            let flag = u8::from(encoding != "identity");
            let framed = frame(flag, &compress(&request));
            let answer = call_raw(hop.grpc, signal.grpc_path(), &[("grpc-encoding", encoding)], framed).await;
            assert_eq!((answer.status, answer.grpc().code()), (200, Code::Ok), "{case}");
            assert_eq!(answer.header("content-type"), "application/grpc", "{case}");
            assert_eq!(&answer.body[..], [0; 5], "{case}: a frame of the empty message");
            arrived(&case);
            // A message that is not compressed may come under a header that names an encoding.
            let framed = frame(0, &request);
            let answer = call_raw(hop.grpc, signal.grpc_path(), &[("grpc-encoding", encoding)], framed).await;
            assert_eq!(answer.grpc().code(), Code::Ok, "{case}");
            arrived(&case);
        }
        assert_eq!(hop.counters.accepted_count(signal), 18);
    }
}

#[tokio::test]
async fn an_empty_request_is_a_success_and_goes_nowhere() {
    let hop = Hop::relay().await;
    for signal in Signal::ALL {
        for (content_type, body) in [(PROTOBUF, ""), (JSON, "{}")] {
            let answer = post(hop.http, signal.http_path(), content_type, body).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{signal:?}");
        }
        assert_eq!(call(hop.grpc, signal.grpc_path(), b"").await.grpc().code(), Code::Ok, "{signal:?}");
    }
    assert!(hop.kept.take().is_empty());
}

/// A few kilobytes that decompress to 4 MiB.
fn bombs() -> (Vec<u8>, Vec<u8>) {
    let zeros = vec![0_u8; 4 << 20];
    (gzip(&zeros), zstd(&zeros))
}

/// More than a MiB of items of a signal.
fn large(signal: Signal) -> Vec<u8> {
    one(signal, &"x".repeat(1 << 20))
}

#[tokio::test]
async fn what_http_refuses() {
    let hop = Hop::relay().await;
    let (gzip_bomb, zstd_bomb) = bombs();
    for signal in Signal::ALL {
        let path = signal.http_path();
        let good = one(signal, "fine");
        let good_json = as_json(signal, &good);
        let cut = good[..good.len() - 1].to_vec();
        // Content type, content encoding, body; status, code of google.rpc.Status, what the message speaks of.
        type Case = (&'static str, &'static str, Vec<u8>, u16, Code, &'static str);
        let cases: Vec<Case> = vec![
            (PROTOBUF, "", b"\xff\xff\xff".to_vec(), 400, Code::InvalidArgument, "malformed"),
            (PROTOBUF, "", cut.clone(), 400, Code::InvalidArgument, "malformed"),
            (PROTOBUF, "", good_json.clone(), 400, Code::InvalidArgument, "malformed"),
            (JSON, "", b"{\"resourceLogs\": [".to_vec(), 400, Code::InvalidArgument, "malformed"),
            (JSON, "", b"[]".to_vec(), 400, Code::InvalidArgument, "malformed"),
            (JSON, "", b"".to_vec(), 400, Code::InvalidArgument, "malformed"),
            (JSON, "", good.clone(), 400, Code::InvalidArgument, "malformed"),
            (JSON, "", [&good_json[..], b"x"].concat(), 400, Code::InvalidArgument, "malformed"),
            (PROTOBUF, "gzip", good.clone(), 400, Code::InvalidArgument, "compression"),
            (PROTOBUF, "zstd", good.clone(), 400, Code::InvalidArgument, "compression"),
            (JSON, "gzip", gzip(&good_json)[..20].to_vec(), 400, Code::InvalidArgument, "compression"),
            (JSON, "zstd", zstd(&good_json)[..20].to_vec(), 400, Code::InvalidArgument, "compression"),
            (PROTOBUF, "", large(signal), 413, Code::ResourceExhausted, "larger than"),
            (JSON, "", as_json(signal, &large(signal)), 413, Code::ResourceExhausted, "larger than"),
            (PROTOBUF, "gzip", gzip_bomb.clone(), 413, Code::ResourceExhausted, "larger than"),
            (PROTOBUF, "zstd", zstd_bomb.clone(), 413, Code::ResourceExhausted, "larger than"),
            (JSON, "gzip", gzip_bomb.clone(), 413, Code::ResourceExhausted, "larger than"),
            (JSON, "zstd", zstd_bomb.clone(), 413, Code::ResourceExhausted, "larger than"),
            (PROTOBUF, "br", good.clone(), 415, Code::Unimplemented, "`br`"),
            (JSON, "deflate", good_json.clone(), 415, Code::Unimplemented, "`deflate`"),
        ];
        for (content_type, encoding, body, status, code, word) in cases {
            let case = format!("{signal:?} {content_type} {encoding:?} {status} {word}");
            let mut headers = vec![("content-type", content_type)];
            if !encoding.is_empty() {
                headers.push(("content-encoding", encoding));
            }
            let answer = http1(hop.http, Method::POST, path, &headers, body).await;
            assert_eq!(answer.status, status, "{case}: {answer:?}");
            assert_eq!(answer.header("content-type"), content_type, "{case}");
            let told = status_of(&answer);
            assert_eq!(told.code, code as i32, "{case}: {told:?}");
            assert!(told.message.contains(word), "{case}: {told:?}");
            assert_eq!(answer.header("retry-after"), "", "{case}: it must not come again as it is");
        }
        for content_type in ["text/plain", "application/protobuf", "application/grpc", "*/*", ""] {
            let headers: &[(&str, &str)] =
                if content_type.is_empty() { &[] } else { &[("content-type", content_type)] };
            let answer = http1(hop.http, Method::POST, path, headers, good.clone()).await;
            assert_eq!(answer.status, 415, "{signal:?} {content_type:?}");
            assert!(answer.header("accept").contains(PROTOBUF) && answer.header("accept").contains(JSON));
            assert!(status_of(&answer).message.contains("content type"), "{content_type:?}");
        }
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let answer = http1(hop.http, method.clone(), path, &[("content-type", JSON)], "").await;
            assert_eq!((answer.status, answer.header("allow")), (405, "POST"), "{signal:?} {method}");
            assert!(status_of(&answer).message.contains("POST"), "{signal:?} {method}");
        }
    }
    for path in ["/", "/v1", "/v1/logs/", "/v1/profiles", "/v1development/profiles", "/v1/LOGS", "//v1/logs"] {
        let answer = post(hop.http, path, PROTOBUF, requests::logs(&["x"])).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(status_of(&answer).message.contains("/v1/logs"), "{path}");
    }
    assert!(hop.kept.take().is_empty(), "nothing of what was refused went on");
    assert_eq!(hop.refused("malformed"), 36, "{:?}", hop.counters.labelled());
    assert_eq!(hop.refused("too_large"), 18);
    assert_eq!(hop.refused("encoding"), 6);
}

#[tokio::test]
async fn content_types_with_parameters_are_read() {
    let hop = Hop::relay().await;
    let request = requests::logs(&["x"]);
    for content_type in [
        "application/x-protobuf; charset=utf-8",
        "application/x-protobuf;proto=com.example.Logs",
        "Application/X-Protobuf",
    ] {
        let answer = post(hop.http, "/v1/logs", content_type, request.clone()).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, PROTOBUF), "{content_type}");
    }
    for content_type in ["application/json; charset=utf-8", "application/json ;charset=UTF-8", "APPLICATION/JSON"] {
        let answer = post(hop.http, "/v1/logs", content_type, as_json(Signal::Logs, &request)).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, JSON), "{content_type}");
    }
    for content_type in ["application/grpc", "application/grpc+proto", "application/grpc; charset=utf-8"] {
        let headers = [("content-type", content_type)];
        let answer = call_raw(hop.grpc, Signal::Logs.grpc_path(), &headers, frame(0, &request)).await;
        assert_eq!(answer.grpc().code(), Code::Ok, "{content_type}");
    }
    assert_eq!(hop.kept.take().len(), 9);
}

#[tokio::test]
async fn content_codings_are_the_same_in_any_case() {
    let hop = Hop::relay().await;
    let request = requests::logs(&["x"]);
    for (encoding, body) in [("GZIP", gzip(&request)), ("Zstd", zstd(&request)), ("Identity", request.clone())] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", encoding)];
        let answer = http1(hop.http, Method::POST, "/v1/logs", &headers, body).await;
        assert_eq!(answer.status, 200, "{encoding}: {answer:?}");
    }
}

#[tokio::test]
async fn what_grpc_refuses() {
    let hop = Hop::relay().await;
    let (gzip_bomb, zstd_bomb) = bombs();
    for signal in Signal::ALL {
        let path = signal.grpc_path();
        let good = one(signal, "fine");
        let mut long = frame(0, &good).to_vec();
        long[1] = 0x7f;
        let two = [frame(0, &good), frame(0, &good)].concat();
        // grpc-encoding, the body as it is; code, what the message speaks of.
        type Case = (&'static str, Vec<u8>, Code, &'static str);
        let cases: Vec<Case> = vec![
            ("", frame(0, b"\xff\xff\xff").to_vec(), Code::InvalidArgument, "malformed"),
            ("", frame(0, &good[..good.len() - 1]).to_vec(), Code::InvalidArgument, "malformed"),
            ("", b"".to_vec(), Code::InvalidArgument, "no message"),
            ("", b"\0\0\0".to_vec(), Code::InvalidArgument, "no message"),
            ("", frame(0, &good)[..good.len()].to_vec(), Code::InvalidArgument, "announces"),
            ("", two, Code::InvalidArgument, "announces"),
            ("", frame(1, &good).to_vec(), Code::InvalidArgument, "compressed"),
            ("gzip", frame(2, &good).to_vec(), Code::InvalidArgument, "flag"),
            ("gzip", frame(1, &good).to_vec(), Code::InvalidArgument, "compression"),
            ("zstd", frame(1, &good).to_vec(), Code::InvalidArgument, "compression"),
            ("", long, Code::ResourceExhausted, "larger than"),
            ("", frame(0, &large(signal)).to_vec(), Code::ResourceExhausted, "larger than"),
            ("gzip", frame(1, &gzip_bomb).to_vec(), Code::ResourceExhausted, "larger than"),
            ("zstd", frame(1, &zstd_bomb).to_vec(), Code::ResourceExhausted, "larger than"),
            ("snappy", frame(1, &good).to_vec(), Code::Unimplemented, "`snappy`"),
        ];
        for (encoding, body, code, word) in cases {
            let case = format!("{signal:?} {encoding:?} {code:?} {word}");
            let headers: &[(&str, &str)] = if encoding.is_empty() { &[] } else { &[("grpc-encoding", encoding)] };
            let answer = call_raw(hop.grpc, path, headers, body).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, "application/grpc"), "{case}");
            let status = answer.grpc();
            assert_eq!(status.code(), code, "{case}: {status:?}");
            assert!(status.message().contains(word), "{case}: {status:?}");
            assert_eq!(answer.retry_info(), None, "{case}: it must not come again as it is");
            if code == Code::Unimplemented {
                assert_eq!(answer.header("grpc-accept-encoding"), "identity,gzip,zstd", "{case}");
            }
        }
        for content_type in ["application/json", "text/plain", "application/grpcx"] {
            let headers = [("content-type", content_type)];
            let answer = call_raw(hop.grpc, path, &headers, frame(0, &good)).await;
            assert_eq!(answer.status, 415, "{signal:?} {content_type}");
        }
        let answer = http2(hop.grpc, Method::GET, path, &[("content-type", "application/grpc")], "").await;
        assert_eq!(answer.status, 405, "{signal:?}");
    }
    for path in ["/opentelemetry.proto.collector.logs.v1.LogsService/Import", "/no.such.Service/Export", "/v1/logs"] {
        assert_eq!(call(hop.grpc, path, b"").await.grpc().code(), Code::Unimplemented, "{path}");
    }
    assert!(hop.kept.take().is_empty(), "nothing of what was refused went on");
    assert_eq!(hop.refused("malformed"), 30, "{:?}", hop.counters.labelled());
    assert_eq!(hop.refused("too_large"), 12);
    assert_eq!(hop.refused("encoding"), 3);
}

#[tokio::test]
async fn a_signal_without_a_pipeline_is_not_taken() {
    let hop = Hop::start(&relay("logs", 256)).await;
    for signal in [Signal::Traces, Signal::Metrics] {
        let request = one(signal, "x");
        for (content_type, body) in [(PROTOBUF, request.clone()), (JSON, as_json(signal, &request))] {
            let answer = post(hop.http, signal.http_path(), content_type, body).await;
            assert_eq!((answer.status, status_of(&answer).code), (404, Code::Unimplemented as i32), "{signal:?}");
            assert!(status_of(&answer).message.contains("pipeline"));
        }
        assert_eq!(call(hop.grpc, signal.grpc_path(), &request).await.grpc().code(), Code::Unimplemented);
    }
    assert_eq!(hop.refused("signal_disabled"), 6);
    assert_eq!(call(hop.grpc, Signal::Logs.grpc_path(), &one(Signal::Logs, "x")).await.grpc().code(), Code::Ok);
}

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

/// Sends one record as JSON with these members; returns what came out.
async fn record(hop: &Hop, members: &str) -> Result<opentelemetry_proto::tonic::logs::v1::LogRecord, Status> {
    let body = format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{{members}}}]}}]}}]}}");
    let answer = post(hop.http, "/v1/logs", JSON, body).await;
    if answer.status != 200 {
        return Err(status_of(&answer));
    }
    let (_, request, _) = hop.kept.take().pop().expect("a request");
    Ok(requests::records(&request).pop().expect("a record"))
}

#[tokio::test]
async fn the_rules_of_json() {
    let hop = Hop::relay().await;
    let hex = "5B8EFFF798038103D269B633813FC60C";
    let read = record(&hop, &format!(r#""traceId":"{hex}","spanId":"eee19b7ec3c1b174""#)).await.expect("taken");
    let upper = read.trace_id.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    assert_eq!((upper.as_str(), read.span_id.len()), (hex, 8), "ids are hexadecimal, in any case");
    for (members, time) in [
        (r#""timeUnixNano":"1772615703000000001""#, 1_772_615_703_000_000_001),
        (r#""timeUnixNano":1772615703000000001"#, 1_772_615_703_000_000_001),
        (r#""timeUnixNano":"18446744073709551615""#, u64::MAX),
        (r#""time_unix_nano":"7""#, 0),
        (r#""TimeUnixNano":"7""#, 0),
        (r#""timeUnixNano":null"#, 0),
        (r#""aFieldOfTheFuture":{"deep":[1,{"deeper":null}]},"timeUnixNano":"8""#, 8),
    ] {
        assert_eq!(record(&hop, members).await.map(|read| read.time_unix_nano), Ok(time), "{members}");
    }
    let read =
        record(&hop, r#""severityNumber":17,"severity_text":"no","body":{"intValue":"-9007199254740993"}"#).await;
    let read = read.expect("taken");
    assert_eq!((read.severity_number, read.severity_text.as_str()), (17, ""));
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = |read: &opentelemetry_proto::tonic::logs::v1::LogRecord| read.body.clone().and_then(|body| body.value);
    assert_eq!(value(&read), Some(Value::IntValue(-9_007_199_254_740_993)));
    let read = record(&hop, r#""body":{"bytesValue":"AAEC/w=="}"#).await.expect("taken");
    assert_eq!(value(&read), Some(Value::BytesValue(vec![0, 1, 2, 255])));
    for members in [
        r#""severityNumber":"SEVERITY_NUMBER_ERROR""#,
        r#""traceId":"not hexadecimal""#,
        r#""timeUnixNano":"-1""#,
        r#""timeUnixNano":"soon""#,
        r#""body":"a bare text""#,
        r#""attributes":{"key":"value"}"#,
    ] {
        let status = record(&hop, members).await.expect_err(members);
        assert_eq!(status.code, Code::InvalidArgument as i32, "{members}: {status:?}");
    }
}

#[tokio::test]
async fn health_and_reflection() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
    let hop = Hop::relay().await;
    let check = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
        let answer = call(hop.grpc, "/grpc.health.v1.Health/Check", &request).await;
        let status = HealthCheckResponse::decode(answer.message()).map(|response| response.status());
        (answer.grpc().code(), status.unwrap_or(ServingStatus::Unknown))
    };
    for service in ["", "opentelemetry.proto.collector.logs.v1.LogsService"] {
        assert_eq!(check(service).await, (Code::Ok, ServingStatus::Serving), "{service}");
    }
    assert_eq!(check("no.such.Service").await.0, Code::NotFound);
    why502::web::set_draining(&hop.health).await;
    assert_eq!(check("").await.1, ServingStatus::NotServing);
    // A request for the list of services: field 7, empty text.
    let answer = call(hop.grpc, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[0x3a, 1, b'*']).await;
    assert_eq!(answer.grpc().code(), Code::Ok);
    let names = String::from_utf8_lossy(&answer.body).into_owned();
    for service in ["why502.v1.Verdicts", "grpc.health.v1.Health"] {
        assert!(names.contains(service), "{names}");
    }
}
