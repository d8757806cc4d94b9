//! Who may come in, and who is shown out: connections that say nothing, or not enough.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::client::{call, post};
use common::hop::Hop;
use common::process::{Program, explained};
use common::{eventually, requests};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use tonic::Code;
use why502::otlp::Signal;

/// A connection that sends this and then nothing.
fn silent(address: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.write_all(first).expect("writes");
    stream.set_nonblocking(true).expect("a socket");
    stream
}

/// True when the other side has closed it, whatever it said before.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = [0_u8; 1_024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

#[tokio::test]
async fn a_connection_that_does_not_say_what_it_speaks_is_closed() {
    let hop = Hop::relay().await;
    for address in [hop.grpc, hop.http] {
        let firsts: [&[u8]; 5] =
            [b"", b"P", b"PRI * HTTP/2.0\r\n\r\nSM", b"POST /v1/logs HTTP/1.1\r\nhost:", b"GET / H"];
        let mut all: Vec<TcpStream> = firsts.iter().map(|first| silent(address, first)).collect();
        eventually("all are closed", || all.iter_mut().all(is_closed)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_nobody_out() {
    let hop = Hop::relay().await;
    let mut crowd: Vec<TcpStream> = (0..200).map(|_| silent(hop.grpc, b"")).collect();
    crowd.extend((0..200).map(|_| silent(hop.http, b"")));
    let request = requests::logs(&["a record"]);
    assert_eq!(call(hop.grpc, Signal::Logs.grpc_path(), &request).await.grpc().code(), Code::Ok);
    assert_eq!(post(hop.http, "/v1/logs", "application/x-protobuf", request).await.status, 200);
    drop(crowd);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let hop = Hop::relay().await;
    let mut stream = TcpStream::connect(hop.http).expect("connects");
    stream.write_all(b"POST /v1/logs HTTP/1.1\r\n").expect("writes");
    let line = format!("x-long: {}\r\n", "x".repeat(1_000));
    // The other side may have closed it before the last of it.
    for _ in 0..200 {
        if stream.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    stream.set_nonblocking(true).expect("a socket");
    eventually("it is closed", || is_closed(&mut stream)).await;
}

#[tokio::test]
async fn who_is_refused_before_the_end_of_a_body_hears_why() {
    let program = Program::run(&explained("", "debug: {}"));
    let (_, http) = program.addresses().await;
    let body = bytes::Bytes::from(vec![b'x'; 16 << 20]);
    for _ in 0..20 {
        let answer = post(http, "/v1/logs", "text/plain", body.clone()).await;
        assert_eq!(answer.status, 415);
        let answer = post(http, "/v1/nothing", "application/json", body.clone()).await;
        assert_eq!(answer.status, 404);
    }
}
