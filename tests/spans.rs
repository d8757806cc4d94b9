//! Which spans wait for a verdict: those that could be a failed request's own. No other waits, and nobody is refused for them.

#[allow(dead_code, reason = "each test uses its part")]
mod common;

use common::backend::Backend;
use common::client::call;
use common::eventually;
use common::process::{Program, explained};
use common::requests::{attribute, attribute_of, body, logs, records};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use std::sync::Arc;
use tonic::Code;
use why502::engine::correlate::spans::{SpanRow, hash_text};
use why502::engine::place::Stream;
use why502::engine::span_watch::may_be_own;
use why502::engine::verdict::{LinkMethod, Ticket, Verdict};
use why502::engine::{Engine, Output, Record, Settings};
use why502::otlp::Signal;
use why502::read::evidence::{MILLISECOND, Nanos, SECOND};
use why502::read::formats::{Reader, Reading};
use why502::read::{SourceMemory, Wanted, time};
use why502::scan::spans::scan;

/// When the failed request of [`relayed`] ended: 2026-03-04 09:15:03.300.
const ENDED: Nanos = 1_772_615_703_300 * MILLISECOND;

/// The access line of a request that the application itself answered with 503 within 0.1 s; `more` is further fields.
fn relayed(target: &str, more: &str) -> String {
    format!(
        r#"{{"msec":"1772615703.300","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"503","request_time":"0.100","upstream_addr":"127.0.0.1:8000","upstream_status":"503","upstream_connect_time":"0.000","upstream_header_time":"0.100","upstream_response_time":"0.100"{more}}}"#
    )
}

fn status_of(number: i64) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::IntValue(number)) });
    KeyValue { key: "http.response.status_code".to_owned(), value, ..KeyValue::default() }
}

/// A span of `GET /cart` that ended with the failed request.
fn span(name: &str, kind: i32, attributes: Vec<KeyValue>) -> Span {
    let number = hash_text(name.as_bytes());
    let mut all = vec![attribute("http.request.method", "GET"), attribute("url.path", "/cart")];
    all.extend(attributes);
    Span {
        trace_id: [number.to_le_bytes(), [9; 8]].concat(),
        span_id: number.to_le_bytes().to_vec(),
        name: name.to_owned(),
        kind,
        start_time_unix_nano: (ENDED - 98 * MILLISECOND) as u64,
        end_time_unix_nano: (ENDED - MILLISECOND) as u64,
        attributes: all,
        ..Span::default()
    }
}

fn traces(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
        .encode_to_vec()
}

/// All spans that a backend got, in order: name and cause.
fn spans_of(backend: &Backend) -> Vec<(String, String)> {
    let traces = backend.seen().into_iter().filter(|seen| seen.path.to_ascii_lowercase().contains("trace"));
    let requests = traces.map(|seen| ExportTraceServiceRequest::decode(&seen.message()[..]).expect("traces"));
    let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
    let spans = scopes.flat_map(|scope| scope.spans);
    spans.map(|span| (span.name.clone(), attribute_of(&span.attributes, "why502.cause"))).collect()
}

async fn ok(program: &Program, signal: Signal, request: &[u8]) {
    let (grpc, _) = program.addresses().await;
    assert_eq!(call(grpc, signal.grpc_path(), request).await.grpc().code(), Code::Ok);
}

#[tokio::test]
async fn a_healthy_span_goes_on_while_its_path_fails() {
    let backend = Backend::start(Vec::new()).await;
    // Nothing that waits comes out before the end.
    let mut program = Program::run(&explained("hold: 5m", &format!("otlp/out: {{endpoint: \"{}\"}}", backend.url())));
    ok(&program, Signal::Logs, &logs(&[&relayed("/cart", "")])).await;
    let spans = vec![
        span("served", 2, vec![status_of(200)]),
        span("failed", 2, vec![status_of(503)]),
        span("redirected", 2, vec![status_of(302)]),
        span("called", 3, vec![status_of(200)]),
        span("internal", 1, Vec::new()),
        span("refused", 2, vec![status_of(404)]),
    ];
    ok(&program, Signal::Traces, &traces(spans)).await;
    let named = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), String::new())).collect::<Vec<_>>();
    let healthy = named(&["served", "redirected", "called", "internal", "refused"]);
    eventually(|| format!("{:?}", spans_of(&backend)), || spans_of(&backend) == healthy).await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let last = spans_of(&backend).pop();
    assert_eq!(last, Some(("failed".to_owned(), "app_returned_error".to_owned())));
    assert_eq!(spans_of(&backend).len(), 6);
}

#[tokio::test]
async fn past_their_budget_spans_go_on_and_nobody_is_refused() {
    let backend = Backend::start(Vec::new()).await;
    let limits = "hold: 5m, limits: {held_span_bytes: 64KiB, held_bytes: 64KiB}";
    let mut program = Program::run(&explained(limits, &format!("otlp/out: {{endpoint: \"{}\"}}", backend.url())));
    for request in 0..10 {
        let failed = |number: usize| span(&format!("{request}.{number}"), 2, vec![status_of(500)]);
        ok(&program, Signal::Traces, &traces((0..100).map(failed).collect())).await;
    }
    // A span of theirs counts for some 1,200 bytes.
    eventually(|| format!("{}", spans_of(&backend).len()), || spans_of(&backend).len() >= 1_000 - 64).await;
    ok(&program, Signal::Logs, &logs(&[&relayed("/other", "")])).await;
    let out = spans_of(&backend).len();
    assert!((1_000 - 64..1_000 - 40).contains(&out), "{out} went on");
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let mut names: Vec<String> = spans_of(&backend).into_iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), spans_of(&backend).len()), (1_000, 1_000), "each once");
    assert!(program.stderr().contains(&format!("unwatched spans{{budget}} {out}")), "{}", program.stderr());
}

/// The engine with a clock that is a number.
struct Live {
    engine: Engine,
    now: Nanos,
    tickets: u64,
    released: Vec<(u64, bool)>,
    verdicts: Vec<std::sync::Arc<Verdict>>,
}

impl Live {
    fn new() -> Live {
        let engine = Engine::new(Settings::default());
        Live { engine, now: ENDED + SECOND, tickets: 0, released: Vec::new(), verdicts: Vec::new() }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn line(&mut self, line: &str) {
        let reading = Reader::default().read(line.as_bytes(), &mut SourceMemory::default(), &Wanted::default());
        let Reading::Proves(_, evidences) = reading else { panic!("{line}") };
        for evidence in evidences {
            let record = Record { ticket: self.ticket(), stream: Stream::alone(1), observed: self.now, evidence };
            self.engine.handle_record(self.now, record);
        }
    }

    /// Hands over a span as the pipeline does; its ticket, if it was kept back.
    fn span(&mut self, span: SpanRow) -> Option<u64> {
        let keep = may_be_own(&span, &self.engine.named());
        let held = keep.then(|| (0, self.ticket()));
        self.engine.handle_spans(self.now, &Default::default(), &[span], held.as_slice());
        self.outputs();
        held.map(|(_, ticket)| ticket.0)
    }

    fn wait(&mut self, time: Nanos) {
        self.now += time;
        self.engine.handle_timeout(self.now);
        self.outputs();
    }

    fn outputs(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Release { ticket, verdict } => self.released.push((ticket.0, verdict.is_some())),
                Output::Verdict(verdict) => self.verdicts.push(verdict),
                Output::Incident(_) => {}
                Output::Good(_) => panic!("nobody asked for good requests"),
            }
        }
    }
}

fn served(trace: u8) -> SpanRow {
    SpanRow {
        trace_id: [trace; 16],
        span_id: [trace; 8],
        start: ENDED - 98 * MILLISECOND,
        end: ENDED - MILLISECOND,
        status: 200,
        flags: SpanRow::SERVER,
        ..SpanRow::default()
    }
    .asking("GET", "/cart")
}

#[test]
fn a_healthy_span_waits_only_where_a_failing_line_names_it() {
    let by_trace = r#","http_traceparent":"00-07070707070707070707070707070707-0808080808080808-01""#;
    let by_request_id = r#","request_id":"abc""#;
    let as_trace = r#","request_id":"07070707070707070707070707070707""#;
    for (more, request_id, method) in [
        (by_trace, "", LinkMethod::TraceContext),
        (by_request_id, "abc", LinkMethod::RequestId),
        (as_trace, "", LinkMethod::RequestId),
    ] {
        let mut live = Live::new();
        let own = SpanRow { request_id: hash_text(request_id.as_bytes()), ..served(7) };
        assert_eq!(live.span(own), None, "nobody names it yet");
        live.line(&relayed("/cart", more));
        assert_eq!(live.span(served(6)), None, "a stranger on the same path");
        let client = SpanRow { flags: 0, ..own };
        assert_eq!(live.span(client), None, "a call that the application made");
        let ticket = live.span(own).expect("it is named");
        assert!(!live.released.contains(&(ticket, true)));
        live.wait(9 * SECOND);
        assert!(live.released.contains(&(ticket, true)), "{more}: {:?}", live.released);
        assert_eq!(live.verdicts[0].link.method, method);
        // Whoever comes late gets what there is, without waiting.
        let late = live.span(own).expect("it is named still");
        assert!(live.released.contains(&(late, true)), "{more}");
        live.wait(120 * SECOND);
        assert_eq!(live.span(own), None, "forgotten with its request");
        assert!(live.engine.named().is_empty());
        assert_eq!(live.engine.held_count(), 0);
    }
}

#[test]
fn a_span_that_went_on_is_linked_by_its_time() {
    // The client gave up, and the application never knew.
    let line = relayed("/cart", "")
        .replace("503", "499")
        .replace(r#""upstream_header_time":"0.100""#, r#""upstream_header_time":"-""#);
    for strangers in [0, 1] {
        let mut live = Live::new();
        for trace in 1..=1 + strangers {
            let late = SpanRow { end: ENDED + 2 * SECOND, ..served(trace) };
            assert_eq!(live.span(late), None, "it looks healthy");
        }
        live.line(&line);
        live.wait(9 * SECOND);
        let link = &live.verdicts[0].link;
        assert_eq!((link.method, link.candidates.len()), (LinkMethod::Timing, 1 + usize::from(strangers)));
        assert_eq!(link.trace.map(|trace| trace.trace_id), (strangers == 0).then_some([1; 16]));
    }
}

#[test]
fn a_failing_span_waits_for_its_request_and_no_longer_than_that() {
    let mut live = Live::new();
    let failed = SpanRow { status: 503, ..served(1) };
    let ticket = live.span(failed).expect("it tells of a failure");
    live.wait(9 * SECOND);
    assert!(live.released.is_empty(), "its request's line may still come");
    live.wait(2 * SECOND);
    assert_eq!(live.released, [(ticket, false)]);
    let ticket = live.span(failed).expect("it tells of a failure");
    live.wait(7 * SECOND);
    live.line(&relayed("/cart", ""));
    live.wait(4 * SECOND);
    assert!(!live.released.iter().any(|(released, _)| *released == ticket), "its request is open now");
    live.wait(5 * SECOND);
    assert!(live.released.contains(&(ticket, true)), "{:?}", live.released);
}

#[test]
fn the_scan_reads_what_instrumentations_write() {
    let array = Value::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue {
        values: vec![common::requests::text("abc")],
    });
    let header = KeyValue {
        key: "http.request.header.x_request_id".to_owned(),
        value: Some(AnyValue { value: Some(array) }),
        ..KeyValue::default()
    };
    /// Method, target, status and request id.
    type Read = (&'static str, &'static str, u16, &'static str);
    let cases: Vec<(Vec<KeyValue>, Read)> = vec![
        (vec![attribute("http.method", "GET"), attribute("http.target", "/x?y=1")], ("GET", "/x?y=1", 0, "")),
        (vec![attribute("url.path", "/x"), attribute("url.query", "y=1"), status_of(200)], ("", "/x?y=1", 200, "")),
        (vec![attribute("url.path", "/x"), attribute("url.query", "")], ("", "/x", 0, "")),
        (vec![attribute("http.url", "http://h:80/x?y"), attribute("http.target", "/x")], ("", "/x?y", 0, "")),
        (vec![attribute("url.full", "http://h:80/x?y"), attribute("http.method", "PURGE")], ("PURGE", "/x?y", 0, "")),
        (vec![attribute("url.full", "http://h"), attribute("http.status_code", "502")], ("", "", 502, "")),
        (vec![header], ("", "", 0, "abc")),
        (vec![attribute("url.path", ""), attribute("http.request.header.x-request-id", "q")], ("", "", 0, "q")),
    ];
    let spans = cases.iter().map(|(attributes, _)| Span { attributes: attributes.clone(), ..span("x", 2, Vec::new()) });
    let mut spans: Vec<Span> = spans.collect();
    spans.push(span("internal", 1, Vec::new()));
    spans.push(Span { trace_id: vec![0; 16], ..span("no trace", 2, Vec::new()) });
    spans.push(Span { kind: 3, status: Some(Status { code: 2, ..Status::default() }), ..span("c", 3, vec![]) });
    let request = traces(spans);
    let scanned = scan(&request, usize::MAX, &Wanted::default(), |_| Arc::default());
    let first = scanned.rows[0];
    for (row, (attributes, (method, target, status, request_id))) in scanned.rows.iter().zip(&cases) {
        let expected = SpanRow { status: *status, request_id: hash_text(request_id.as_bytes()), ..first };
        assert_eq!(*row, expected.asking(method, target), "{attributes:?}");
    }
    assert_eq!(scanned.rows.len(), cases.len() + 1);
    assert_eq!(scanned.rows[cases.len()].flags, SpanRow::ERROR);
    assert_eq!(scanned.groups.len(), 1);
    assert_eq!(scanned.groups[0].1, 0..scanned.rows.len());
    // A method and no status, a status of 502, an error.
    let candidates: Vec<usize> = scanned.candidates.iter().map(|(row, _)| *row).collect();
    assert_eq!(candidates, [0, 4, 5, 8]);
    assert_eq!(time::rfc3339(first.end), "2026-03-04T09:15:03.299Z");
    let scanned = scan(&request, 3, &Wanted::default(), |_| Arc::default());
    assert_eq!((scanned.rows.len(), scanned.left_out, scanned.candidates.len()), (3, cases.len() as u64 - 2, 1));
}

/// Links of the records that a backend got, by their line: method, and whether a trace is set.
fn links_of(backend: &Backend, lines: &[String]) -> Vec<(String, bool)> {
    let records: Vec<_> = backend.seen().iter().flat_map(|seen| records(&seen.message())).collect();
    let link = |line: &String| {
        let record = records.iter().find(|record| body(record) == *line).expect("it arrived");
        (attribute_of(&record.attributes, "why502.link.method"), !record.trace_id.is_empty())
    };
    lines.iter().map(link).collect()
}

#[tokio::test]
async fn records_of_good_requests_get_their_link_where_all_are_asked_for() {
    let good = |target: &str, more: &str| relayed(target, more).replace("503", "200");
    let id = format!(r#","trace_id":"{}""#, "7f".repeat(16));
    let lines = [good("/a", &id), good("/b", ""), relayed("/c", "")];
    let run = async |link: &str| {
        let backend = Backend::always(common::backend::Reply::http(200)).await;
        let exporter = format!("otlphttp/out: {{endpoint: \"{}\"}}", backend.url());
        let mut program = Program::run(&explained(&format!("hold: 100ms{link}"), &exporter));
        let bodies: Vec<&str> = lines.iter().map(String::as_str).collect();
        ok(&program, Signal::Logs, &logs(&bodies)).await;
        program.signal("TERM");
        assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
        (links_of(&backend, &lines), program.stderr())
    };
    let owned = |links: [(&str, bool); 3]| links.map(|(method, is_set)| (method.to_owned(), is_set)).to_vec();
    assert_eq!(run("").await.0, owned([("", false), ("", false), ("none", false)]));
    let all = run(", link: {records: all}").await.0;
    assert_eq!(all, owned([("trace_context", true), ("none", false), ("none", false)]));
    // No room for good ones: they go on at once, are counted, and nobody is refused.
    let (small, said) = run(", link: {records: all}, limits: {held_bytes: 64KiB}").await;
    assert_eq!(small, all, "three fit {said}");
    let many: Vec<String> = (0..40).map(|number| good(&format!("/a/{number}"), &id)).collect();
    let backend = Backend::always(common::backend::Reply::http(200)).await;
    let exporter = format!("otlphttp/out: {{endpoint: \"{}\"}}", backend.url());
    let settings = "hold: 100ms, link: {records: all}, limits: {held_bytes: 64KiB}";
    let mut program = Program::run(&explained(settings, &exporter));
    ok(&program, Signal::Logs, &logs(&many.iter().map(String::as_str).collect::<Vec<_>>())).await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    assert_eq!(links_of(&backend, &many), vec![(String::new(), false); 40]);
    assert!(program.stderr().contains("unlinked_records{held_bytes} 40"), "{}", program.stderr());
}
