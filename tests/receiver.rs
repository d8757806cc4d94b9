//! The receiver as OTLP 1.11.0 has it: every code and body, both protocols, all signals, by raw clients.

#[allow(dead_code, reason = "each test uses its part")]
mod common;
#[path = "receiver/full.rs"]
mod full;
#[path = "receiver/json_rules.rs"]
mod json_rules;

use common::client::{Answer, call, call_raw, frame, http1, http2, post};
use common::hop::{Hop, relay};
use common::requests::{self, gzip, one, zstd};
use http::Method;
use prost::Message;
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
    let encodings: [(&str, Compress); 10] = [
        ("identity", plain),
        ("gzip", gzip),
        ("zstd", zstd),
        ("deflate", requests::zlib),
        ("deflate", requests::deflate),
        ("zlib", requests::zlib),
        ("snappy", requests::snappy),
        ("snappy", requests::framed_snappy),
        ("x-snappy-framed", requests::framed_snappy),
        ("lz4", requests::lz4),
    ];
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
        assert_eq!(hop.counters.accepted_count(signal), 60);
    }
}

#[tokio::test]
async fn an_empty_request_is_a_success_and_goes_nowhere() {
    let untouched = relay("logs, traces, metrics", 256);
    let explained = untouched
        .replace("exporters: {debug", "processors: {why502: {}}\nexporters: {debug")
        .replace("receivers: [otlp],", "receivers: [otlp], processors: [why502],")
        .replace("metrics: {receivers: [otlp], processors: [why502],", "metrics: {receivers: [otlp],");
    for text in [untouched, explained] {
        let hop = Hop::start(&text).await;
        for (signal, name) in Signal::ALL.into_iter().zip(["Logs", "Spans", "Metrics"]) {
            // Nothing, a resource group without scopes, one with an empty scope.
            for body in [&b""[..], &[0x0a, 0], &[0x0a, 2, 0x12, 0]] {
                let answer = post(hop.http, signal.http_path(), PROTOBUF, body).await;
                assert_eq!((answer.status, answer.header("content-type")), (200, PROTOBUF), "{signal:?} {body:?}");
                assert_eq!(
                    call(hop.grpc, signal.grpc_path(), body).await.grpc().code(),
                    Code::Ok,
                    "{signal:?} {body:?}"
                );
            }
            let (group, scopes) = (format!("resource{name}"), format!("scope{name}"));
            for body in [
                "{}".to_owned(),
                format!("{{\"{group}\":null}}"),
                format!("{{\"{group}\":[{{}}]}}"),
                format!("{{\"{group}\":[{{\"{scopes}\":[{{}}]}}]}}"),
            ] {
                let answer = post(hop.http, signal.http_path(), JSON, body.clone()).await;
                assert_eq!((answer.status, answer.header("content-type")), (200, JSON), "{signal:?} {body}");
            }
            for body in ["null".to_owned(), "[{}]".to_owned(), format!("{{\"{group}\":[null]}}")] {
                let answer = post(hop.http, signal.http_path(), JSON, body.clone()).await;
                assert_eq!(answer.status, 400, "{signal:?} {body}: this is no empty request");
            }
        }
        assert_eq!(hop.kept.take(), [], "{text}");
        // A metric without points known here is none of these: its points may be of a kind that is new.
        let request = [0x0a, 8, 0x12, 6, 0x12, 4, 0x7a, 2, 0x0a, 0];
        assert_eq!(call(hop.grpc, Signal::Metrics.grpc_path(), &request).await.grpc().code(), Code::Ok);
        assert_eq!(hop.kept.take(), [(Signal::Metrics, request.to_vec().into(), 0)]);
    }
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
            (JSON, "compress", good_json.clone(), 415, Code::Unimplemented, "`compress`"),
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
    for path in ["/", "/v1", "/v1/logs//", "/v1/profiles", "/v1development/profiles", "/v1/LOGS", "//v1/logs"] {
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
        let framed_bomb = frame(1, &requests::framed_snappy(&large(signal))).to_vec();
        let cases: Vec<Case> = vec![
            ("", frame(0, b"\xff\xff\xff").to_vec(), Code::InvalidArgument, "malformed"),
            ("", frame(0, &good[..good.len() - 1]).to_vec(), Code::InvalidArgument, "malformed"),
            ("", b"".to_vec(), Code::InvalidArgument, "no message"),
            ("", b"\0\0\0".to_vec(), Code::InvalidArgument, "no message"),
            ("", frame(0, &good)[..good.len()].to_vec(), Code::InvalidArgument, "announces"),
            ("", two, Code::InvalidArgument, "announces"),
            ("", frame(1, &good).to_vec(), Code::Internal, "compressed"),
            ("gzip", frame(2, &good).to_vec(), Code::InvalidArgument, "flag"),
            ("gzip", frame(1, &good).to_vec(), Code::InvalidArgument, "compression"),
            ("zstd", frame(1, &good).to_vec(), Code::InvalidArgument, "compression"),
            ("", long, Code::ResourceExhausted, "larger than"),
            ("", frame(0, &large(signal)).to_vec(), Code::ResourceExhausted, "larger than"),
            ("gzip", frame(1, &gzip_bomb).to_vec(), Code::ResourceExhausted, "larger than"),
            ("zstd", frame(1, &zstd_bomb).to_vec(), Code::ResourceExhausted, "larger than"),
            ("deflate", frame(1, &requests::zlib(&large(signal))).to_vec(), Code::ResourceExhausted, "larger than"),
            ("deflate", frame(1, &requests::deflate(&large(signal))).to_vec(), Code::ResourceExhausted, "larger than"),
            ("snappy", frame(1, &requests::snappy(&large(signal))).to_vec(), Code::ResourceExhausted, "larger than"),
            ("snappy", framed_bomb.clone(), Code::ResourceExhausted, "larger than"),
            ("lz4", frame(1, &requests::lz4(&large(signal))).to_vec(), Code::ResourceExhausted, "larger than"),
            // A block that says that it will be 4 GiB long, and is not.
            ("snappy", frame(1, b"\xff\xff\xff\xff\x0f").to_vec(), Code::ResourceExhausted, "larger than"),
            ("deflate", frame(1, &good).to_vec(), Code::InvalidArgument, "compression"),
            ("snappy", frame(1, b"\x05\xff").to_vec(), Code::InvalidArgument, "compression"),
            ("lz4", frame(1, &good).to_vec(), Code::InvalidArgument, "compression"),
            ("br", frame(1, &good).to_vec(), Code::Unimplemented, "`br`"),
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
                assert_eq!(
                    answer.header("grpc-accept-encoding"),
                    "identity,gzip,zstd,deflate,zlib,snappy,lz4",
                    "{case}"
                );
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
    for path in [
        "/opentelemetry.proto.collector.logs.v1.LogsService/Import",
        "/no.such.Service/Export",
        "/why502.v1.Verdicts/Delete",
        "/grpc.health.v1.Health/Treat",
        "/v1/logs",
    ] {
        let status = call(hop.grpc, path, b"").await.grpc();
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
        for name in ["opentelemetry.proto.collector.trace.v1.TraceService/Export", "why502.v1.Verdicts"] {
            assert!(status.message().contains(name), "{path}: {status:?}");
        }
    }
    // OTLP over HTTP on the port of gRPC: nothing that its sender takes for success.
    for path in ["/v1/logs", Signal::Logs.grpc_path(), "/"] {
        let answer = post(hop.grpc, path, PROTOBUF, requests::logs(&["x"])).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (415, ""), "{path}");
        assert!(String::from_utf8_lossy(&answer.body).contains("4318"), "{path}: {answer:?}");
    }
    assert!(hop.kept.take().is_empty(), "nothing of what was refused went on");
    assert_eq!(hop.refused("malformed"), 36, "{:?}", hop.counters.labelled());
    assert_eq!(hop.refused("too_large"), 30);
    assert_eq!(hop.refused("encoding"), 6);
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
    for service in why502::web::SERVICES.iter().filter(|service| !service.contains("reflection")) {
        assert!(names.contains(service), "{names}");
    }
    for signal in Signal::ALL {
        let service = signal.grpc_path().trim_start_matches('/').split('/').next().expect("a service");
        assert!(names.contains(service), "{names}");
    }
    assert!(!names.contains("Profiles"), "{names}");
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_is_no_other_path() {
    let hop = Hop::relay().await;
    for signal in Signal::ALL {
        let path = format!("{}/", signal.http_path());
        assert_eq!(post(hop.http, &path, PROTOBUF, one(signal, "an item")).await.status, 200, "{path}");
        assert_eq!(hop.kept.take().len(), 1);
    }
}
