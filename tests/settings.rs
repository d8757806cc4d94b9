//! What settings do to a running why502: formats of access logs that are named, and how long a connection lives.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::{Backend, Reply};
use common::client::call;
use common::process::{Program, explained, finished, write};
use common::requests;
use tonic::Code;
use why502::otlp::Signal;

/// One request that found nothing listening, in a format that no line tells by itself.
const ODD_FORMAT: &str = "$status;$upstream_status;$upstream_addr;$request_method $request_uri;$msec;$pid/$connection";
const ODD_LINE: &str = "502;502;127.0.0.1:8000;GET /cart;1772615703.500;411/7";
/// The same request, told by Gunicorn, which answered it with 502 itself.
const GUNICORN_FORMAT: &str = "%(p)s;%(m)s %(U)s;%(s)s;%(L)s;%(t)s";
const GUNICORN_LINE: &str = "<512>;GET /cart;502;0.004000;[04/Mar/2026:09:15:03 +0000]";
const COMBINED_LINE: &str =
    r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /cart HTTP/1.1" 502 157 "-" "curl/8""#;

/// The causes that these lines leave with, in their order, when the processor has these settings; and what was said.
async fn causes(processor: &str, lines: &[&str]) -> (Vec<String>, String) {
    let backend = Backend::always(Reply::http(200)).await;
    let processor = format!("hold: 100ms{processor}");
    let mut program =
        Program::run(&explained(&processor, &format!("otlphttp/out: {{endpoint: \"{}\"}}", backend.url())));
    let (grpc, _) = program.addresses().await;
    let answer = call(grpc, Signal::Logs.grpc_path(), &requests::logs(lines)).await;
    assert_eq!(answer.grpc().code(), Code::Ok);
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let records: Vec<_> = backend.seen().iter().flat_map(|seen| requests::records(&seen.message())).collect();
    let cause = |line: &&str| {
        let record = records.iter().find(|record| requests::body(record) == *line).expect("it arrived");
        requests::attribute_of(&record.attributes, "why502.cause")
    };
    (lines.iter().map(cause).collect(), program.stderr())
}

#[tokio::test]
async fn access_logs_in_any_format_are_read_when_it_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), "logs.conf", &format!("log_format odd '{ODD_FORMAT}';\n"));
    let conf = "http {\n  include logs.conf;\n  include none.conf;\n  server { access_log odd.log odd; }\n}\n";
    let conf = write(directory.path(), "nginx.conf", conf).display().to_string();
    let [_, error] = requests::refused_by_upstream(7, "/cart");
    let lines = [ODD_LINE, &error];
    let (found, _) = causes("", &lines).await;
    assert_eq!(found[0], "", "nobody can know what it is");
    let (found, said) = causes(&format!(", log_formats: [\"{ODD_FORMAT}\"]"), &lines).await;
    assert_eq!((found[0].as_str(), found[1].as_str()), ("gunicorn_not_running", "gunicorn_not_running"), "{said}");
    let (found, said) = causes(&format!(", nginx_conf: \"{conf}\""), &lines).await;
    assert_eq!((found[0].as_str(), found[1].as_str()), ("gunicorn_not_running", "gunicorn_not_running"), "{said}");
    let told = format!(":7: warning: {conf}: line 3: include none.conf: ");
    assert!(said.contains(&told) && said.contains("does not exist"), "{said}");
}

#[tokio::test]
async fn gunicorns_access_log_in_any_format_is_read_when_it_is_named() {
    let lines = [COMBINED_LINE, GUNICORN_LINE];
    let (found, _) = causes("", &lines).await;
    assert_eq!(found[1], "", "nobody can know what it is");
    let (found, said) = causes(&format!(", gunicorn_formats: [\"{GUNICORN_FORMAT}\"]"), &lines).await;
    assert_eq!((found[0].as_str(), found[1].as_str()), ("app_returned_error", "app_returned_error"), "{said}");
}

#[tokio::test]
async fn an_nginx_configuration_that_cannot_be_read_is_a_mistake() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = explained("nginx_conf: /no/such/nginx.conf", "debug: {}");
    let path = write(directory.path(), "why502.yaml", &config).display().to_string();
    for command in ["run", "validate"] {
        let (code, _, stderr) = finished(&[command, "--config", &path]).await;
        assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
        for words in [":7: `processors::why502::nginx_conf`: /no/such/nginx.conf", "No such file", "check the path"] {
            assert!(stderr.contains(words), "`{words}`: {stderr}");
        }
    }
}
