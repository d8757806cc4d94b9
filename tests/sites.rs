//! Deployments, each by itself and with a stranger beside it that must not matter: what agents really send as resources,
//! through the scan and the engine.

#[path = "common/requests.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod requests;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use requests::{attribute, record};
use std::sync::Arc;
use why502::engine::verdict::{Ticket, Verdict};
use why502::engine::{Engine, Output, Record, Settings, UpstreamRule};
use why502::read::Wanted;
use why502::read::formats::Reader;
use why502::scan;
use why502::scan::place::{Rule, Sites};
use why502::scan::streams::Memories;

/// 2026-03-04 09:15:03 UTC, in nanoseconds.
const SECOND: u64 = 1_772_615_703_000_000_000;

type Attributes<'a> = &'a [(&'a str, &'a str)];

/// Lines of one file of one resource.
struct Lines<'a> {
    resource: Attributes<'a>,
    path: &'a str,
    lines: Vec<String>,
}

/// A server span of one resource: `GET /cart`, 502, some milliseconds within the request.
struct Served<'a> {
    resource: Attributes<'a>,
    trace: u8,
    parent: u8,
    target: &'a str,
}

#[derive(Default)]
struct Input<'a> {
    logs: Vec<Lines<'a>>,
    spans: Vec<Served<'a>>,
}

impl<'a> Input<'a> {
    fn log(mut self, resource: Attributes<'a>, path: &'a str, lines: &[&str]) -> Self {
        self.logs.push(Lines { resource, path, lines: lines.iter().map(|line| (*line).to_owned()).collect() });
        self
    }

    fn span(mut self, resource: Attributes<'a>, trace: u8, parent: u8, target: &'a str) -> Self {
        self.spans.push(Served { resource, trace, parent, target });
        self
    }
}

fn pairs(attributes: Attributes<'_>) -> Vec<KeyValue> {
    attributes.iter().map(|(key, value)| attribute(key, value)).collect()
}

fn logs_of(lines: &Lines<'_>) -> Vec<u8> {
    let with_path = |line: &String| {
        let mut record = record(line);
        if !lines.path.is_empty() {
            record.attributes.push(attribute("log.file.path", lines.path));
        }
        record
    };
    let log_records = lines.lines.iter().map(with_path).collect();
    let resource =
        (!lines.resource.is_empty()).then(|| Resource { attributes: pairs(lines.resource), ..Resource::default() });
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn spans_of(served: &Served<'_>) -> Vec<u8> {
    let mut attributes = pairs(&[("http.request.method", "GET"), ("url.path", served.target)]);
    let status = opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue(502);
    attributes.push(KeyValue {
        key: "http.response.status_code".to_owned(),
        value: Some(opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(status) }),
        ..KeyValue::default()
    });
    let span = Span {
        trace_id: vec![served.trace; 16],
        span_id: vec![served.trace; 8],
        parent_span_id: if served.parent == 0 { Vec::new() } else { vec![served.parent; 8] },
        kind: 2,
        start_time_unix_nano: SECOND + 455_000_000,
        end_time_unix_nano: SECOND + 498_000_000,
        attributes,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource =
        (!served.resource.is_empty()).then(|| Resource { attributes: pairs(served.resource), ..Resource::default() });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
    }
    .encode_to_vec()
}

fn verdicts(input: &[&Input<'_>], sites: &Sites, settings: Settings) -> Vec<Arc<Verdict>> {
    let memories = Memories::default();
    let mut engine = Engine::new(settings);
    let now = (SECOND + 600_000_000) as i64;
    let mut ticket = 0;
    let mut next = || {
        ticket += 1;
        Ticket(ticket)
    };
    for lines in input.iter().flat_map(|input| &input.logs) {
        let request = logs_of(lines);
        let scanned = scan::logs(&request, &Reader::default(), &memories, sites, &Wanted::default(), |_| true)
            .expect("everything is admitted");
        for answers in &scanned.healthy {
            engine.handle_healthy(now, &answers.stream, answers.count);
        }
        for found in scanned.found {
            for evidence in found.evidences {
                let (stream, observed) = (found.stream.clone(), found.observed);
                engine.handle_record(now, Record { ticket: next(), stream, observed, evidence });
            }
        }
    }
    for served in input.iter().flat_map(|input| &input.spans) {
        let request = spans_of(served);
        let scanned = scan::spans::scan(&request, usize::MAX, &Wanted::default(), |resource| {
            Arc::new(sites.of_resource(resource.attributes()))
        });
        for (place, rows) in scanned.groups {
            let held: Vec<(usize, Ticket)> = (0..rows.len()).map(|row| (row, next())).collect();
            engine.handle_spans(now, &place, &scanned.rows[rows], &held);
        }
    }
    engine.finish(now + 20_000_000_000);
    let mut verdicts = Vec::new();
    while let Some(output) = engine.poll_output() {
        if let Output::Verdict(verdict) = output {
            verdicts.push(verdict);
        }
    }
    verdicts
}

/// More than this is said where the logs of one deployment prove it.
const SURE: f64 = 0.8;

/// What is said of requests to `/cart`: the cause, the worker that is blamed, the first digit of the trace that is set; and
/// how sure that is.
fn told(input: &[&Input<'_>], sites: &Sites, settings: Settings) -> Vec<(String, f64)> {
    let of = verdicts(input, sites, settings);
    let mut told: Vec<(String, f64)> = of
        .iter()
        .filter(|verdict| verdict.target == "/cart")
        .map(|verdict| {
            let worker = verdict.worker_pid.map_or(String::new(), |pid| format!(" {pid}"));
            let trace = verdict.link.trace.map_or(String::new(), |trace| format!(" trace {:x}", trace.trace_id[0]));
            (format!("{}{worker}{trace}", verdict.cause.id), verdict.confidence)
        })
        .collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    told
}

/// Expected by itself, and quite surely; and the same as surely beside a stranger, whichever is heard of first.
fn check(name: &str, deployment: &Input<'_>, stranger: &Input<'_>, expected: &[&str]) {
    let sites = Sites::default();
    let alone = told(&[deployment], &sites, Settings::default());
    assert_eq!(alone.iter().map(|(words, _)| words.as_str()).collect::<Vec<_>>(), expected, "{name}, by itself");
    assert!(alone.iter().all(|(_, sure)| *sure > SURE), "{name}: {alone:?}");
    check_beside(name, deployment, stranger, &alone);
}

/// The same beside a stranger, whichever is heard of first.
fn check_beside(name: &str, deployment: &Input<'_>, stranger: &Input<'_>, alone: &[(String, f64)]) {
    let sites = Sites::default();
    assert_eq!(told(&[deployment, stranger], &sites, Settings::default()), alone, "{name}, a stranger behind it");
    assert_eq!(told(&[stranger, deployment], &sites, Settings::default()), alone, "{name}, a stranger before it");
}

/// The access line of a request that was cut, or that the application answered with 502.
fn access(target: &str, upstream: &str, answered: bool) -> String {
    let (header, bytes) = if answered { ("0.049", "312") } else { ("-", "0") };
    format!(
        r#"{{"msec":"1772615703.500","pid":"29","connection":"5","remote_addr":"198.51.100.20","request":"GET {target} HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"0.050","upstream_addr":"{upstream}","upstream_status":"502","upstream_connect_time":"0.000","upstream_header_time":"{header}","upstream_response_time":"0.050","upstream_bytes_received":"{bytes}"}}"#
    )
}

fn error(target: &str, upstream: &str, message: &str) -> String {
    format!(
        r#"2026/03/04 09:15:03 [error] 29#29: *5 {message}, client: 198.51.100.20, server: shop.test, request: "GET {target} HTTP/1.1", upstream: "http://{upstream}{target}", host: "shop.test""#
    )
}

const CLOSED: &str = "upstream prematurely closed connection while reading response header from upstream";
const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";

fn listening(address: &str, pid: u32) -> String {
    format!("[2026-03-04 09:14:00 +0000] [{pid}] [INFO] Listening at: http://{address} ({pid})")
}

fn timeout(pid: u32, worker: u32) -> String {
    format!("[2026-03-04 09:15:03 +0000] [{pid}] [CRITICAL] WORKER TIMEOUT (pid:{worker})")
}

fn nginx<'a>(resource: Attributes<'a>, target: &str, upstream: &str) -> Input<'a> {
    Input::default().log(resource, "/var/log/nginx/access.log", &[&access(target, upstream, false)]).log(
        resource,
        "/var/log/nginx/error.log",
        &[&error(target, upstream, CLOSED)],
    )
}

#[test]
fn nothing_is_known_of_anybody() {
    let deployment = nginx(&[], "/cart", "127.0.0.1:8000").log(
        &[],
        "/var/log/gunicorn/error.log",
        &[&listening("127.0.0.1:8000", 300), &timeout(300, 301)],
    );
    let elsewhere: Attributes<'_> = &[("host.name", "elsewhere"), ("service.name", "billing")];
    let stranger = nginx(elsewhere, "/invoice", "127.0.0.1:8000").log(
        elsewhere,
        "/var/log/gunicorn/error.log",
        &[&listening("127.0.0.1:8000", 300), &timeout(300, 777)],
    );
    check("no resource", &deployment, &stranger, &["worker_timeout 301"]);
}

#[test]
fn one_host_with_nginx_gunicorn_and_the_application_as_three_services() {
    let resource = |service: &'static str| -> [(&'static str, &'static str); 2] {
        [("host.name", "web-1"), ("service.name", service)]
    };
    let (proxy, gunicorn, shop) = (resource("nginx"), resource("gunicorn"), resource("shop"));
    let deployment = Input::default()
        .log(&proxy, "/var/log/nginx/access.log", &[&access("/cart", "127.0.0.1:8000", true)])
        .log(&gunicorn, "/var/log/gunicorn.log", &[&listening("127.0.0.1:8000", 300)])
        .span(&shop, 0xa1, 0, "/cart");
    let other: Attributes<'_> = &[("host.name", "web-2"), ("service.name", "shop")];
    let stranger = nginx(other, "/cart-of-another", "127.0.0.1:8000").span(other, 0xb2, 0, "/cart");
    check("one host", &deployment, &stranger, &["app_returned_error trace a1"]);

    // Two applications on the host: the one that listens elsewhere is not the one.
    let billing = [("host.name", "web-1"), ("service.name", "billing")];
    let two = Input::default()
        .log(&proxy, "/var/log/nginx/error.log", &[&error("/cart", "127.0.0.1:8000", CLOSED)])
        .log(&gunicorn, "/var/log/gunicorn.log", &[&listening("127.0.0.1:8000", 300), &timeout(300, 301)]);
    let neighbour = Input::default().log(
        &billing,
        "/var/log/billing.log",
        &[&listening("127.0.0.1:9000", 700), &timeout(700, 777)],
    );
    check("two applications of one host", &two, &neighbour, &["worker_timeout 301"]);
}

#[test]
fn compose() {
    let container = |name: &'static str, id: &'static str, project: &'static str| {
        [
            ("host.name", "docker-1"),
            ("container.id", id),
            ("container.name", name),
            ("com.docker.compose.project", project),
            ("com.docker.compose.service", name),
        ]
    };
    let (proxy, web) = (container("proxy", "c1", "shop"), container("web", "c2", "shop"));
    let deployment = nginx(&proxy, "/cart", "172.18.0.3:8000").log(
        &web,
        "/var/lib/docker/containers/c2/c2-json.log",
        &[&listening("0.0.0.0:8000", 1), &timeout(1, 7)],
    );
    let (their_proxy, their_web) = (container("proxy", "c3", "crm"), container("web", "c4", "crm"));
    let stranger = nginx(&their_proxy, "/contact", "172.19.0.3:8000").log(
        &their_web,
        "/var/lib/docker/containers/c4/c4-json.log",
        &[&listening("0.0.0.0:8000", 1), &timeout(1, 9)],
    );
    check("compose", &deployment, &stranger, &["worker_timeout 7"]);
}

#[test]
fn a_sidecar_pod() {
    let in_pod = |pod: &'static str, container: &'static str| {
        [
            ("k8s.namespace.name", "shop"),
            ("k8s.pod.name", pod),
            ("k8s.container.name", container),
            ("k8s.deployment.name", "web"),
            ("k8s.node.name", "node-1"),
        ]
    };
    let (proxy, app) = (in_pod("web-5d9c8b7f4-x2x8p", "nginx"), in_pod("web-5d9c8b7f4-x2x8p", "app"));
    let deployment = nginx(&proxy, "/cart", "127.0.0.1:8000").log(&app, "", &[&timeout(1, 7)]);
    let (other_proxy, other_app) = (in_pod("web-5d9c8b7f4-zz9zz", "nginx"), in_pod("web-5d9c8b7f4-zz9zz", "app"));
    // Another pod of the same deployment, with the same pid and connection.
    let stranger = nginx(&other_proxy, "/checkout", "127.0.0.1:8000").log(&other_app, "", &[&timeout(1, 9)]);
    check("sidecar", &deployment, &stranger, &["worker_timeout 7"]);
}

fn pod<'a>(namespace: &'a str, deployment: &'a str, pod: &'a str, ip: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("k8s.namespace.name", namespace),
        ("k8s.deployment.name", deployment),
        ("k8s.pod.name", pod),
        ("k8s.pod.ip", ip),
        ("k8s.node.name", "node-1"),
    ]
}

#[test]
fn an_nginx_deployment_before_an_application_of_three_pods() {
    let proxy = pod("shop", "proxy", "proxy-7d4b75cb6d-x7k2p", "10.1.0.9");
    let apps = [
        pod("shop", "web", "web-5d9c8b7f4-2xk8p", "10.1.0.11"),
        pod("shop", "web", "web-5d9c8b7f4-4fvz6", "10.1.0.12"),
        pod("shop", "web", "web-5d9c8b7f4-b7lq9", "10.1.0.13"),
    ];
    let theirs = pod("crm", "web", "web-66b9d8f5c-hk2lm", "10.1.0.21");
    let stranger = Input::default()
        .log(&theirs, "", &[&listening("0.0.0.0:8000", 1), &timeout(1, 99)])
        .span(&theirs, 0xb2, 0, "/cart");
    // Through the address of a service, which is no pod's, and by a pod's own.
    for upstream in ["10.96.0.10:80", "10.1.0.12:8000"] {
        let mut deployment = nginx(&proxy, "/cart", upstream);
        for (number, app) in apps.iter().enumerate() {
            let starts = listening("0.0.0.0:8000", 1);
            let lines = if number == 1 { vec![starts, timeout(1, 7)] } else { vec![starts] };
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            deployment = deployment.log(app, "", &lines);
        }
        check(&format!("three pods, {upstream}"), &deployment, &stranger, &["worker_timeout 7"]);
    }
}

#[test]
fn one_ingress_before_three_services() {
    let ingress = pod("ingress-nginx", "controller", "controller-7d4b75cb6d-x7k2p", "10.1.0.9");
    let shop = pod("shop", "web", "web-5d9c8b7f4-2xk8p", "10.1.0.11");
    let deployment =
        nginx(&ingress, "/cart", "10.1.0.11:8000").log(&shop, "", &[&listening("0.0.0.0:8000", 1), &timeout(1, 7)]);
    let (crm, blog) =
        (pod("crm", "web", "web-66b9d8f5c-hk2lm", "10.1.0.21"), pod("blog", "web", "web-55c7d9b8d-q8w7z", "10.1.0.31"));
    let stranger = Input::default().log(&crm, "", &[&listening("0.0.0.0:8000", 1), &timeout(1, 9)]).log(
        &blog,
        "",
        &[&timeout(1, 11)],
    );
    check("ingress", &deployment, &stranger, &["worker_timeout 7"]);

    // By the address of a service nobody can tell which of the three it is: none is blamed for sure.
    let sites = Sites::default();
    let unclear =
        nginx(&ingress, "/cart", "10.96.0.10:80").log(&shop, "", &[&listening("0.0.0.0:8000", 1), &timeout(1, 7)]);
    let told = told(&[&unclear, &stranger], &sites, Settings::default());
    assert!(told.len() == 1 && told[0].1 <= SURE, "{told:?}");
    let verdict = &verdicts(&[&unclear, &stranger], &sites, Settings::default())[0];
    assert!(verdict.confidence <= 0.5, "{} {}", verdict.cause.id, verdict.confidence);
}

#[test]
fn two_hosts_that_each_have_both() {
    let (one, other): (Attributes<'_>, Attributes<'_>) =
        (&[("host.name", "web-1"), ("service.name", "shop")], &[("host.name", "web-2"), ("service.name", "shop")]);
    let deployment =
        nginx(one, "/cart", "127.0.0.1:8000").log(one, "/var/log/gunicorn.log", &[&listening("127.0.0.1:8000", 300)]);
    let stranger = nginx(other, "/pay", "127.0.0.1:8000").log(
        other,
        "/var/log/gunicorn.log",
        &[&listening("127.0.0.1:8000", 300), &timeout(300, 301)],
    );
    let alone = told(&[&deployment], &Sites::default(), Settings::default());
    assert!(alone.len() == 1 && !alone[0].0.starts_with("worker_timeout"), "{alone:?}");
    check_beside("two hosts", &deployment, &stranger, &alone);
}

#[test]
fn blue_and_green_behind_one_upstream() {
    let proxy: Attributes<'_> = &[("host.name", "edge-1"), ("service.name", "nginx")];
    let host = |name: &'static str, ip: &'static str, service: &'static str| {
        [("host.name", name), ("host.ip", ip), ("service.name", service)]
    };
    let (blue, green) = (host("app-1", "10.0.0.1", "shop-blue"), host("app-2", "10.0.0.2", "shop-green"));
    // Green was cut; blue ended a worker in the same second, and listens on the same port.
    let deployment = nginx(proxy, "/cart", "10.0.0.2:8000").log(
        &green,
        "/var/log/gunicorn.log",
        &[&listening("0.0.0.0:8000", 1), &timeout(1, 7)],
    );
    let stranger =
        Input::default().log(&blue, "/var/log/gunicorn.log", &[&listening("0.0.0.0:8000", 1), &timeout(1, 9)]);
    // Addresses of hosts come as arrays; as text they are one address.
    check("blue and green", &deployment, &stranger, &["worker_timeout 7"]);
}

#[test]
fn spans_of_which_only_the_service_is_known() {
    let proxy: Attributes<'_> = &[("host.name", "web-1"), ("service.name", "nginx")];
    let logs: Attributes<'_> = &[("host.name", "web-1"), ("service.name", "shop")];
    let spans: Attributes<'_> = &[("service.name", "shop"), ("telemetry.sdk.language", "python")];
    let stranger = Input::default().span(&[("service.name", "billing")], 0xb2, 0, "/cart");
    // The service of the logs is that of the spans.
    let deployment = Input::default()
        .log(proxy, "/var/log/nginx/access.log", &[&access("/cart", "127.0.0.1:8000", true)])
        .log(logs, "/var/log/gunicorn.log", &[&listening("127.0.0.1:8000", 300)])
        .span(spans, 0xa1, 0, "/cart");
    check("spans by service", &deployment, &stranger, &["app_returned_error trace a1"]);

    // A trace id in the access line leads there whatever the resources say.
    let traced = access("/cart", "127.0.0.1:8000", true)
        .replace("{\"msec\"", "{\"otel_trace_id\":\"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\",\"msec\"");
    let deployment = Input::default().log(proxy, "/var/log/nginx/access.log", &[&traced]).span(spans, 0xa1, 0, "/cart");
    check("spans by trace", &deployment, &stranger, &["app_returned_error trace a1"]);
}

#[test]
fn the_span_of_another_machine_is_not_set_where_nothing_ties_it() {
    let (x, y): (Attributes<'_>, Attributes<'_>) =
        (&[("host.name", "host-x"), ("service.name", "shop")], &[("host.name", "host-y"), ("service.name", "billing")]);
    let deployment = Input::default().log(x, "/var/log/nginx/access.log", &[&access("/cart", "10.0.0.1:8000", true)]);
    let stranger = Input::default().span(y, 0xb2, 0, "/cart");
    check("a stranger's span", &deployment, &stranger, &["app_returned_error"]);
}

#[test]
fn a_rule_says_who_is_behind_whom() {
    let selector = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let rule = Rule { nginx: selector("host.name", "edge-1"), server: selector("service.name", "shop") };
    let sites =
        Sites::new(scan::place::DEFAULT_KEYS.iter().map(|key| scan::place::split_key(key)).collect(), vec![rule]);
    let settings = || Settings {
        upstream_rules: vec![UpstreamRule { address: Some("10.96.0.10:80".to_owned()) }],
        ..Settings::default()
    };
    let edge: Attributes<'_> = &[("host.name", "edge-1")];
    let (shop, billing): (Attributes<'_>, Attributes<'_>) =
        (&[("host.name", "app-1"), ("service.name", "shop")], &[("host.name", "app-2"), ("service.name", "billing")]);
    let deployment = nginx(edge, "/cart", "10.96.0.10:80").log(shop, "/g.log", &[&timeout(1, 7)]);
    let stranger = Input::default().log(billing, "/g.log", &[&timeout(1, 9)]);
    for input in [vec![&deployment], vec![&deployment, &stranger], vec![&stranger, &deployment]] {
        let told = told(&input, &sites, settings());
        assert!(matches!(told.as_slice(), [(words, sure)] if words == "worker_timeout 7" && *sure > SURE), "{told:?}");
    }
}

#[test]
fn a_refusal_is_no_mismatch_because_a_stranger_listens_elsewhere() {
    let (x, y): (Attributes<'_>, Attributes<'_>) =
        (&[("host.name", "host-x"), ("service.name", "shop")], &[("host.name", "host-y"), ("service.name", "billing")]);
    let refused = error("/cart", "127.0.0.1:8000", REFUSED);
    // The error log alone does not tell why nobody listens: that is said with less.
    let access = access("/cart", "127.0.0.1:8000", false);
    let deployment = Input::default().log(x, "/var/log/nginx/error.log", &[&refused]).log(
        x,
        "/var/log/nginx/access.log",
        &[&access],
    );
    let stranger = Input::default().log(y, "/g.log", &[&listening("127.0.0.1:9000", 300)]);
    check("a stranger listens", &deployment, &stranger, &["gunicorn_not_running"]);
}

#[test]
fn in_a_container_the_loopback_address_is_the_container_itself() {
    let refused =
        error("/cart", "127.0.0.1:8000", "connect() failed (111: Connection refused) while connecting to upstream");
    let warned = |resource: Attributes<'_>| {
        let input = Input::default().log(resource, "/var/log/nginx/error.log", &[&refused]);
        let told = verdicts(&[&input], &Sites::default(), Settings::default());
        let [verdict] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(verdict.cause.id, "gunicorn_not_running");
        verdict.evidence.iter().any(|quote| quote.text.contains("127.0.0.1 is that container itself"))
    };
    assert!(warned(&[("container.id", "4f1c2d"), ("container.name", "nginx")]));
    assert!(!warned(&[("host.name", "web-1")]), "on a host it is that host");
    assert!(!warned(&[("k8s.pod.uid", "77aa"), ("k8s.pod.name", "shop-1")]), "containers of a pod share it");
}
