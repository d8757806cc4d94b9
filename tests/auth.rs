//! Who is let in by a secret, and who we say that we are: tokens, users, proxies, pages in a browser, and their renewal.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::backend::{Backend, Reply};
use common::certificates::Authority;
use common::client::{call, call_raw, frame, http1, post};
use common::process::{Program, explained, write};
use common::{eventually, remote, requests};
use http::Method;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use why502::exporter::Exporter;
use why502::otlp::Signal;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// A configuration whose listeners ask for what `extension` says.
fn guarded(extension: &str, name: &str, exporter: &str) -> String {
    let auth = format!("auth: {{authenticator: {name}}}");
    let text = explained("hold: 100ms", exporter)
        .replace("grpc: {endpoint: 127.0.0.1:0}", &format!("grpc: {{endpoint: 127.0.0.1:0, {auth}}}"))
        .replace("http: {endpoint: 127.0.0.1:0}", &format!("http: {{endpoint: 127.0.0.1:0, {auth}}}"));
    assert_eq!(text.matches("authenticator").count(), 2, "{text}");
    format!(
        "extensions:\n  {extension}\n{}",
        text.replace("service:\n", &format!("service:\n  extensions: [{name}]\n"))
    )
}

fn to(backend: &Backend) -> String {
    format!("otlp/out: {{endpoint: \"{}\"}}", backend.url())
}

fn record() -> Vec<u8> {
    requests::logs(&["a record"])
}

async fn over_grpc(address: SocketAddr, headers: &[(&str, &str)]) -> Code {
    call_raw(address, Signal::Logs.grpc_path(), headers, frame(0, &record())).await.grpc().code()
}

async fn over_http(address: SocketAddr, headers: &[(&str, &str)]) -> u16 {
    let mut all = vec![PROTOBUF];
    all.extend_from_slice(headers);
    http1(address, Method::POST, "/v1/logs", &all, record()).await.status
}

#[tokio::test]
async fn a_token_lets_in_and_nothing_else_does() {
    let backend = Backend::start(Vec::new()).await;
    let extension = "bearertokenauth: {tokens: [\"t0ken-one\", \"t0ken-two\"]}";
    let program = Program::run(&guarded(extension, "bearertokenauth", &to(&backend)));
    let (grpc, http) = program.addresses().await;
    let long = format!("Bearer {}", "x".repeat(5_000));
    for (value, is_good) in [
        ("Bearer t0ken-one", true),
        ("bearer  t0ken-two", true),
        ("Bearer t0ken-on", false),
        ("Bearer t0ken-onee", false),
        ("Basic t0ken-one", false),
        ("Bearert0ken-one", false),
        ("Bearer", false),
        ("", false),
        (&long, false),
    ] {
        let headers = [("authorization", value)];
        let expected = if is_good { (Code::Ok, 200) } else { (Code::Unauthenticated, 401) };
        assert_eq!((over_grpc(grpc, &headers).await, over_http(http, &headers).await), expected, "{value}");
    }
    let twice = [("authorization", "Bearer t0ken-one"), ("authorization", "Bearer t0ken-one")];
    assert_eq!((over_grpc(grpc, &twice).await, over_http(http, &twice).await), (Code::Unauthenticated, 401));
    eventually("those that were let in arrive", || backend.taken_bodies().len() == 4).await;

    let refused = post(http, "/v1/logs", "application/json", "{}").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer realm=\"why502\""));
    let words: serde_json::Value = serde_json::from_slice(&refused.body).expect("JSON");
    assert_eq!(words["code"], 16);
    // Nothing of a body is read that nobody answers for.
    let bomb = [PROTOBUF, ("content-encoding", "gzip")];
    assert_eq!(http1(http, Method::POST, "/v1/logs", &bomb, vec![0_u8; 1_000]).await.status, 401);
    // What kubelet asks is open, what tells of requests is not.
    assert_eq!(call(grpc, "/grpc.health.v1.Health/Check", b"").await.grpc().code(), Code::Ok);
    let verdicts = call(grpc, "/why502.v1.Verdicts/ListVerdicts", b"").await;
    assert_eq!(verdicts.grpc().code(), Code::Unauthenticated);
    assert!(!program.stderr().contains("t0ken"), "{}", program.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn users_by_bcrypt_and_as_they_are() {
    let backend = Backend::start(Vec::new()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let hash = bcrypt::hash("s3cret-a", 4).expect("hashes");
    let file = write(directory.path(), "htpasswd", &format!("ana:{hash}\n"));
    let extension = format!("basicauth/in: {{htpasswd: {{file: {}, inline: \"bob:s3cret-b\"}}}}", file.display());
    let text = guarded(&extension, "basicauth/in", &to(&backend));
    let program = run(directory.path(), &text);
    let (grpc, http) = program.addresses().await;
    // Twice, for the second time it is known.
    for (user, is_good) in [
        ("ana:s3cret-a", true),
        ("bob:s3cret-b", true),
        ("ana:s3cret-a", true),
        ("ana:s3cret-b", false),
        ("bob:", false),
        ("eve:s3cret-a", false),
        ("ana", false),
    ] {
        let value = format!("Basic {}", BASE64_STANDARD.encode(user));
        let headers = [("authorization", value.as_str())];
        let expected = if is_good { (Code::Ok, 200) } else { (Code::Unauthenticated, 401) };
        assert_eq!((over_grpc(grpc, &headers).await, over_http(http, &headers).await), expected, "{user}");
    }
    assert_eq!(over_http(http, &[("authorization", "Basic ???")]).await, 401);
    // Another password in the file, which is read again when it is told to.
    let hash = bcrypt::hash("s3cret-n", 4).expect("hashes");
    write(directory.path(), "htpasswd", &format!("ana:{hash}\n"));
    program.signal("HUP");
    eventually("it says so", || program.stderr().contains("are read anew")).await;
    let code = async |user: &str| {
        let value = format!("Basic {}", BASE64_STANDARD.encode(user));
        over_grpc(grpc, &[("authorization", value.as_str())]).await
    };
    assert_eq!((code("ana:s3cret-a").await, code("ana:s3cret-n").await), (Code::Unauthenticated, Code::Ok));
    // A file that is none: the old one stays.
    write(directory.path(), "htpasswd", "ana:$apr1$x$y\n");
    program.signal("HUP");
    eventually("it says so", || program.stderr().contains("the old one stays")).await;
    assert_eq!(code("ana:s3cret-n").await, Code::Ok);
    assert!(!program.stderr().contains("s3cret") && !program.stderr().contains("apr1"), "{}", program.stderr());
}

fn run(directory: &Path, text: &str) -> Program {
    Program::start(&["run", "--config", &write(directory, "why502.yaml", text).display().to_string()])
}

#[tokio::test]
async fn exporters_show_who_they_are() {
    let backend = Backend::start(Vec::new()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let token = write(directory.path(), "token", "t0ken-file\n");
    let text = explained(
        "hold: 100ms",
        &format!(
            "otlp/a: {{endpoint: \"{0}\", auth: {{authenticator: bearertokenauth/key}}}}\n  \
             otlphttp/b: {{endpoint: \"{0}\", auth: {{authenticator: bearertokenauth/file}}}}\n  \
             otlphttp/c: {{endpoint: \"{0}\", auth: {{authenticator: basicauth}}}}",
            backend.url()
        ),
    );
    let extensions = format!(
        "extensions:\n  bearertokenauth/key: {{token: t0ken-key, header: X-Api-Key, scheme: \"\"}}\n  \
         bearertokenauth/file: {{filename: {}}}\n  basicauth: {{client_auth: {{username: ana, password: s3cret}}}}\n",
        token.display()
    );
    let text =
        text.replace("service:\n", "service:\n  extensions: [bearertokenauth/key, bearertokenauth/file, basicauth]\n");
    let program = run(directory.path(), &format!("{extensions}{}", all_exporters(&text)));
    let (grpc, _) = program.addresses().await;
    call(grpc, Signal::Logs.grpc_path(), &record()).await;
    eventually(|| program.stderr(), || backend.count() == 3).await;
    let shown = |backend: &Backend| {
        let mut shown: Vec<String> = backend
            .seen()
            .iter()
            .map(|seen| format!("{}{}", seen.header("authorization"), seen.header("x-api-key")))
            .collect();
        shown.sort();
        shown
    };
    let basic = format!("Basic {}", BASE64_STANDARD.encode("ana:s3cret"));
    assert_eq!(shown(&backend), [basic.as_str(), "Bearer t0ken-file", "t0ken-key"]);
    write(directory.path(), "token", "t0ken-new\n");
    program.signal("HUP");
    eventually("it says so", || program.stderr().contains("are read anew")).await;
    call(grpc, Signal::Logs.grpc_path(), &record()).await;
    eventually(|| program.stderr(), || backend.count() == 6).await;
    assert!(shown(&backend).contains(&"Bearer t0ken-new".to_owned()), "{:?}", shown(&backend));
    assert!(!program.stderr().contains("t0ken"), "{}", program.stderr());
}

/// Every exporter in the pipelines.
fn all_exporters(text: &str) -> String {
    text.replace("exporters: [otlp/a]", "exporters: [otlp/a, otlphttp/b, otlphttp/c]")
}

#[tokio::test]
async fn what_is_wrong_with_a_secret_is_said_before_anything_starts() {
    let directory = tempfile::tempdir().expect("a directory");
    let check = |extension: &str, name: &str, words: &str| {
        let text = guarded(extension, name, "debug: {}");
        let path = write(directory.path(), "why502.yaml", &text);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_why502"))
            .args(["validate", "--config", &path.display().to_string()])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && said.contains(words), "{extension}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
    };
    check("bearertokenauth: {token: \"\"}", "bearertokenauth", "a token is empty");
    check("bearertokenauth: {scheme: Token}", "bearertokenauth", "names no token");
    check("bearertokenauth: {tokens: [\" \"]}", "bearertokenauth", "a token is empty");
    check("bearertokenauth: {filename: nowhere}", "bearertokenauth", "cannot use nowhere: No such file");
    check("bearertokenauth: {token: \"s3cret\\n\"}", "bearertokenauth", "no text for a header");
    check("bearertokenauth: {tokn: s3cret}", "bearertokenauth", "did you mean `token`?");
    check("basicauth: {htpasswd: {inline: \"ana:{SHA}s3cret\"}}", "basicauth", "hashed by something else than bcrypt");
    check("basicauth: {client_auth: {username: ana, password: s3cret}}", "basicauth", "without `htpasswd`");
    check("basicauth: {}", "basicauth", "names nobody");
    check("oauth2client: {}", "oauth2client", "has no extension `oauth2client`");
    check(
        "bearertokenauth: {token: s3cret}",
        "bearertokenauth/x",
        "`bearertokenauth/x` is not defined under `extensions`",
    );
}

#[tokio::test]
async fn certificates_are_looked_at_where_it_is_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let backend = Backend::start(Vec::new()).await;
    let (old, new) = (Authority::new(), Authority::new());
    let (_, new_ca) = (old.write(directory.path(), "old.pem"), new.write(directory.path(), "new.pem"));
    let files = old.certify(directory.path(), "localhost");
    let tls = format!(
        "tls: {{cert_file: {}, key_file: {}, reload_interval: 1s, min_version: \"1.3\"}}",
        files.certificate.display(),
        files.key.display()
    );
    let text = explained("", &to(&backend));
    let text = text.replace("grpc: {endpoint: 127.0.0.1:0}", &format!("grpc: {{endpoint: 127.0.0.1:0, {tls}}}"));
    let program = run(directory.path(), &text);
    let (grpc, _) = program.addresses().await;
    new.certify(directory.path(), "localhost");
    eventually(|| program.stderr(), || program.stderr().contains("have changed and are taken over")).await;
    let url = format!("https://localhost:{}", grpc.port());
    let options = format!("tls: {{ca_file: {}, min_version: \"1.3\"}}", new_ca.display());
    let client = Exporter::start(&remote("otlp", &url, &options)).expect("it starts");
    client.offer(Signal::Logs, record().into(), 1).expect("there is room");
    eventually("it arrives", || client.stats.sent_count(Signal::Logs) == 1).await;
}

#[tokio::test]
async fn pages_of_an_origin_that_is_named_may_send() {
    let backend = Backend::start(Vec::new()).await;
    let cors = "cors: {allowed_origins: [\"https://shop.example\", \"https://*.example.org\"], allowed_headers: [X-Key], max_age: 60}";
    let text = explained("hold: 100ms", &to(&backend)).replace(
        "http: {endpoint: 127.0.0.1:0}",
        &format!("http: {{endpoint: 127.0.0.1:0, {cors}, traces_url_path: /custom/traces}}"),
    );
    let program = Program::run(&text);
    let (_, http) = program.addresses().await;
    let ask = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-key"),
        ];
        http1(http, Method::OPTIONS, "/v1/logs", &headers, "").await
    };
    for (origin, is_let_in) in [
        ("https://shop.example", true),
        ("https://a.example.org", true),
        ("https://example.org", false),
        ("https://shop.example.evil.test", false),
        ("http://shop.example", false),
        ("null", false),
    ] {
        let answer = ask(origin).await;
        let expected = if is_let_in { origin } else { "" };
        assert_eq!(answer.header("access-control-allow-origin"), expected, "{origin}");
        assert_eq!(answer.header("access-control-max-age"), "60");
    }
    let sent = http1(http, Method::POST, "/v1/logs", &[PROTOBUF, ("origin", "https://shop.example")], record()).await;
    assert_eq!((sent.status, sent.header("access-control-allow-origin")), (200, "https://shop.example"));
    // And another path, for those who have one.
    let there = http1(http, Method::POST, "/custom/traces", &[PROTOBUF], "").await.status;
    let not_here = http1(http, Method::POST, "/v1/traces", &[PROTOBUF], "").await;
    assert_eq!((there, not_here.status), (200, 404));
    assert!(String::from_utf8_lossy(&not_here.body).contains("/custom/traces"), "{not_here:?}");
}

/// A proxy that connects, and notes to whom.
async fn proxy(answer: &'static str) -> (SocketAddr, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked: std::sync::Arc<std::sync::Mutex<Vec<String>>> = std::sync::Arc::default();
    let noted = std::sync::Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let noted = std::sync::Arc::clone(&noted);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(from.read_u8().await?);
                }
                let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
                noted.lock().expect("unbroken").push(line.clone());
                from.write_all(answer.as_bytes()).await?;
                if answer.contains("200") {
                    let mut to = TcpStream::connect(line.split(' ').nth(1).expect("a host")).await?;
                    tokio::io::copy_bidirectional(&mut from, &mut to).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_proxy_connects_plain_text_and_tls() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    let ca = authority.write(directory.path(), "ca.pem");
    let secure = Backend::tls(&authority.certify(directory.path(), "localhost")).await;
    let plain = Backend::start(Vec::new()).await;
    let (address, asked) = proxy("HTTP/1.1 200 OK\r\n\r\n").await;
    let port = secure.address.port();
    for (kind, url, backend) in
        [("otlphttp", plain.url(), &plain), ("otlp", format!("https://localhost:{port}"), &secure)]
    {
        let options = format!("proxy_url: \"http://{address}\", tls: {{ca_file: {}}}", ca.display());
        let client = Exporter::start(&remote(kind, &url, &options)).expect("it starts");
        client.offer(Signal::Logs, record().into(), 1).expect("there is room");
        eventually("it arrives", || backend.taken_bodies() == ["a record"]).await;
        client.close(Duration::from_secs(1)).await;
    }
    let expected = [format!("CONNECT {} HTTP/1.1", plain.address), format!("CONNECT localhost:{port} HTTP/1.1")];
    assert_eq!(*asked.lock().expect("unbroken"), expected);

    let (address, _) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let exporter = format!("otlphttp/out: {{endpoint: \"{}\", proxy_url: \"http://{address}\"}}", plain.url());
    let program = run(directory.path(), &explained("", &exporter));
    let (grpc, _) = program.addresses().await;
    call(grpc, Signal::Logs.grpc_path(), &record()).await;
    eventually(|| program.stderr(), || program.stderr().contains("the proxy of `proxy_url` does not connect")).await;
}

#[tokio::test]
async fn every_compression_is_read_by_another_why502() {
    let backend = Backend::always(Reply::http(200)).await;
    let program =
        Program::run(&explained("hold: 100ms", &format!("otlphttp/out: {{endpoint: \"{}\"}}", backend.url())));
    let (grpc, http) = program.addresses().await;
    let mut sent = 0;
    for (kind, compressions) in [
        ("otlp", &["gzip", "zstd", "snappy", "none"][..]),
        ("otlphttp", &["gzip", "zstd", "snappy", "zlib", "deflate", "lz4", "none"]),
    ] {
        let url = if kind == "otlp" { format!("http://{grpc}") } else { format!("http://{http}") };
        for compression in compressions {
            let client =
                Exporter::start(&remote(kind, &url, &format!("compression: {compression}"))).expect("it starts");
            client.offer(Signal::Logs, record().into(), 1).expect("there is room");
            eventually(|| format!("{kind} {compression}"), || client.stats.sent_count(Signal::Logs) == 1).await;
            sent += 1;
        }
    }
    eventually("all arrive", || backend.bodies().len() == sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_passwords_keeps_nobody_out_who_is_known() {
    let directory = tempfile::tempdir().expect("a directory");
    let backend = Backend::start(Vec::new()).await;
    // Dear enough that tries pile up.
    let hash = bcrypt::hash("s3cret-a", 11).expect("hashes");
    let file = write(directory.path(), "htpasswd", &format!("ana:{hash}\n"));
    let extension = format!("basicauth: {{htpasswd: {{file: {}}}}}", file.display());
    let program = run(directory.path(), &guarded(&extension, "basicauth", &to(&backend)));
    let (grpc, http) = program.addresses().await;
    let good = format!("Basic {}", BASE64_STANDARD.encode("ana:s3cret-a"));
    assert_eq!(over_http(http, &[("authorization", &good)]).await, 200);
    let mut tries = tokio::task::JoinSet::new();
    for number in 0..200 {
        let value = format!("Basic {}", BASE64_STANDARD.encode(format!("ana:{number}")));
        tries.spawn(async move { over_http(http, &[("authorization", &value)]).await });
    }
    let first = tries.join_next().await.expect("one of them").expect("an answer");
    assert_eq!(first, 503, "those for whom there is no place are told at once, before any is hashed to its end");
    assert_eq!(over_http(http, &[("authorization", &good)]).await, 200);
    assert_eq!(over_grpc(grpc, &[("authorization", &good)]).await, Code::Ok);
    assert!(!tries.is_empty(), "some still wait");
}
