mod kafka;

use super::settings::ExporterKind;
use super::*;

fn environment(name: &str) -> Option<String> {
    (name == "KEY").then(|| "s3cret".to_owned())
}

/// The mistakes of a text, as `line: text`.
fn check(text: &str, expected: &[&str]) {
    let found: Vec<String> = match read(text, &environment) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(|mistake| format!("{}: {}", mistake.line, mistake.text)).collect(),
    };
    assert_eq!(found, expected);
}

const HEAD: &str = "receivers: {otlp: {protocols: {grpc: {}}}}\nprocessors: {why502: {}}\n";

#[test]
fn embedded_default_is_valid() {
    let config = read(EMBEDDED, &environment).expect("valid");
    assert_eq!(config.processor.hold.as_secs(), 8);
    assert_eq!(config.pipelines.len(), 2);
    assert!(config.warnings.is_empty());
    assert_eq!(config.receivers[0].grpc.as_ref().map(|grpc| grpc.request_bytes_max), Some(64 << 20));
}

#[test]
fn every_default_of_the_table_is_in_its_range() {
    for setting in table::SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
        let fits = match setting.kind {
            table::Kind::Duration(from, to) => {
                let parse = |text| values::duration(text).expect(text);
                (parse(from)..=parse(to)).contains(&parse(setting.default))
            }
            table::Kind::Bytes(from, to) => {
                let parse = |text| values::bytes(text).expect(text);
                (parse(from)..=parse(to)).contains(&parse(setting.default))
            }
            table::Kind::Count(from, to) => (from..=to).contains(&setting.default.parse().expect("a number")),
            table::Kind::Number(from, to) => (from..=to).contains(&setting.default.parse().expect("a number")),
            table::Kind::Bool => values::boolean(setting.default).is_some(),
            table::Kind::Choice(words) => words.contains(&setting.default),
            _ => true,
        };
        assert!(fits, "{}", setting.path);
    }
}

#[test]
fn all_mistakes_at_once() {
    let text = format!(
        "{HEAD}exporters:\n  otlp/a: {{endpiont: x:4317}}\n  otlphttp: {{endpoint: host:4318, timeout: 10}}\n  prometheus: {{}}\nservice:\n  pipelines:\n    logs: {{receivers: [otpl], processors: [tail_sampling], exporters: [otlp/a]}}\n    profiles: {{}}\nextension: {{}}\n"
    );
    check(
        &text,
        &[
            "4: `exporters::otlp/a` has no key `endpiont`; did you mean `endpoint`?",
            "4: `exporters::otlp/a` needs an `endpoint`, such as tempo:4317",
            "5: `exporters::otlphttp::endpoint`: `host:4318` needs a scheme, http:// or https://",
            "5: `exporters::otlphttp::timeout`: `10` is not a duration such as 8s or 1m30s, 10ms to 10m",
            "6: `exporters` has no exporter `prometheus`; it has otlp, otlphttp, datadog, jaeger, kafka, file, debug",
            "9: `service::pipelines::logs::processors`: why502 has no processor `tail_sampling`; put it into the collector in front or behind",
            "9: `service::pipelines::logs::receivers`: `receivers` has no entry `otpl`; did you mean `otlp`?",
            "10: `service::pipelines` has no pipeline `profiles`; it has logs, traces, metrics",
            "11: `the file` has no key `extension`; did you mean `extensions`?",
        ],
    );
}

#[test]
fn the_largest_request_must_fit_what_is_in_flight() {
    check(
        "receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:4317
        max_recv_msg_size_mib: 256
      http: {max_request_body_size: 4MiB, max_bytes_in_flight: 8MiB}
exporters: {debug: {}}
service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}
",
        &[
            "5: `receivers::otlp::protocols::grpc::max_bytes_in_flight` must be at least twice `max_recv_msg_size_mib`, or the largest request is never taken",
        ],
    );
}

#[test]
fn syntax_and_bombs() {
    check("a: [1\n", &["2: not YAML: while parsing a flow sequence, expected ',' or ']'"]);
    check("receivers: {}\nreceivers: {}\n", &["2: `receivers` stands here a second time, first in line 1; keep one"]);
    check("", &["1: the file is empty; leave `--config` away for the embedded default"]);
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let inner = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    let mistakes = read(&bomb, &environment).expect_err("a bomb");
    assert!(mistakes[0].text.contains("too deeply"), "{mistakes:?}");
}

#[test]
fn variables_and_secrets() {
    let pipelines = "service: {pipelines: {logs: {receivers: [otlp], exporters: [otlphttp]}}}\n";
    let text = format!(
        "{HEAD}exporters:\n  otlphttp: {{endpoint: \"https://${{env:HOST:-example.com}}\", headers: {{dd-api-key: \"${{env:KEY}}\"}}}}\n{pipelines}"
    );
    let config = read(&text, &environment).expect("valid");
    let ExporterKind::Http(remote) = &config.exporters[0].kind else { panic!("otlphttp") };
    let urls = remote.endpoints.each_ref().map(|endpoint| endpoint.as_ref().map(|endpoint| endpoint.url.to_string()));
    let expected = ["logs", "traces", "metrics"].map(|signal| Some(format!("https://example.com/v1/{signal}")));
    assert_eq!(urls, expected);
    assert_eq!(remote.headers[0].1.reveal(), "s3cret");
    assert!(!format!("{config:?}").contains("s3cret"));
    assert_eq!(config.warnings.len(), 1, "the processor is in no pipeline");
    // One sentence: that there is no endpoint would be false.
    for (exporter, key) in
        [("otlphttp", "endpoint"), ("otlphttp", "logs_endpoint"), ("otlp", "endpoint"), ("file", "path")]
    {
        let text = format!("{HEAD}exporters: {{{exporter}: {{{key}: \"https://${{env:NOBODY}}\"}}}}\n{pipelines}");
        let expected = format!(
            "3: `exporters::{exporter}::{key}`: the environment has no `NOBODY`; set it, or write `${{env:NOBODY:-default}}`"
        );
        check(&text.replace("[otlphttp]", &format!("[{exporter}]")), &[&expected]);
    }
    let text = format!("{HEAD}exporters: {{file: {{path: \"${{status}}\"}}}}\n{pipelines}");
    check(
        &text.replace("[otlphttp]", "[file]"),
        &[
            "3: `exporters::file::path`: the environment has no `status`; set it, or write `${env:status:-default}`, or `$${status}` where no variable is meant",
        ],
    );
    let text = format!("{HEAD}exporters: {{otlphttp: {{endpoint: }}}}\n{pipelines}");
    check(&text, &["3: `exporters::otlphttp` needs an `endpoint`, such as https://otlp.example.com"]);
}

#[test]
fn endpoints_are_checked_where_they_stand() {
    let text = format!(
        "{HEAD}exporters:
  otlp/a: {{endpoint: \"http://h:4317\"}}
  otlp/b:
    tls: {{cert_file: a.pem}}
    endpoint: tempo
  otlphttp/c: {{endpoint: \"https://h?k=s3cret\", logs_endpoint: \"ftp://h/x\"}}
  otlphttp/d: {{traces_endpoint: \"https://s3cret@h/v1/traces\"}}
service:
  pipelines:
    logs: {{receivers: [otlp], processors: [why502], exporters: [otlp/a, otlp/b, otlphttp/c, otlphttp/d]}}
  telemetry:
    logs: {{otlp_endpoint: \"unix:///run/x\"}}
    metrics: {{otlp_endpoint: \"h:99999\"}}
"
    );
    check(
        &text,
        &[
            "6: `exporters::otlp/b::tls` needs both `cert_file` and `key_file`",
            "7: `exporters::otlp/b::endpoint`: `tempo` names no port; 4317 is usual",
            "8: `exporters::otlphttp/c::endpoint`: `https://h/` has a query, behind which no `/v1/SIGNAL` can stand; write whole URLs as `logs_endpoint` and so on",
            "8: `exporters::otlphttp/c::logs_endpoint`: `ftp://h/x` has the scheme `ftp`; it must be http or https",
            "9: `exporters::otlphttp/d::traces_endpoint`: it has a user or key before its `@`; send it as one of the `headers`",
            "14: `service::telemetry::logs::otlp_endpoint`: `unix:///run/x` is a unix socket, which why502 does not speak gRPC over; write HOST:PORT",
            "15: `service::telemetry::metrics::otlp_endpoint`: `h:99999`: `99999` is no port; it is a number, 1 to 65535",
        ],
    );
}

#[test]
fn each_signal_has_its_url() {
    let urls = |kind: &str, options: &str| {
        let text = format!(
            "{HEAD}exporters: {{{kind}: {{{options}}}}}\nservice: {{pipelines: {{logs: {{receivers: [otlp], processors: [why502], exporters: [{kind}]}}}}}}\n"
        );
        let config = read(&text, &environment).expect("valid");
        let urls = config.exporters[0].endpoints().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert!(!format!("{config:?}").contains("s3cret"), "a query may be a secret");
        urls
    };
    assert_eq!(urls("otlp", "endpoint: h:4317"), "https://h:4317 https://h:4317 https://h:4317");
    assert_eq!(urls("otlp", "endpoint: h:1, tls: {insecure: true}"), "http://h:1 http://h:1 http://h:1");
    assert_eq!(
        urls("otlphttp", "endpoint: \"http://h/base/\", traces_endpoint: \"https://t/x?key=s3cret\""),
        "http://h/base/v1/logs https://t/x http://h/base/v1/metrics"
    );
    assert_eq!(urls("otlphttp", "metrics_endpoint: \"http://m/x\""), "http://m/x");
}

#[test]
fn what_would_take_and_drop() {
    check(
        "receivers: {otlp: {protocols: {grpc: {}}}, otlp/: {protocols: {http: {}}}}
processors: {why502: {}}
exporters: {debug: {}, file/: {path: x}}
service:
  pipelines:
    logs: {receivers: [otlp], exporters: []}
    logs/: {receivers: [otlp/], processors: [why502], exporters: [debug]}
    traces: {receivers: , processors: [why502, why502], exporters: [debug, debug]}
    traces/b: {processors: [why502], exporters: [file/]}
    metrics: {receivers: [otlp], processors: [why502], exporters: [debug]}
",
        &[
            "1: `receivers::otlp/` has no name behind its `/`; write `otlp` or `otlp/NAME`",
            "3: `exporters::file/` has no name behind its `/`; write `file` or `file/NAME`",
            "6: `service::pipelines::logs::exporters` is empty: what comes in would be dropped; name at least one",
            "7: `service::pipelines::logs/` has no name behind its `/`; write `logs` or `logs/NAME`",
            "8: `service::pipelines::traces::exporters`: `debug` stands here twice; keep one",
            "8: `service::pipelines::traces::processors`: `why502` stands here twice; keep one",
            "8: `service::pipelines::traces::receivers` is empty: nothing would come in; name at least one",
            "9: `service::pipelines::traces/b` names no receivers",
            "10: `service::pipelines::metrics::processors`: metrics are relayed untouched; take `why502` out of this pipeline",
        ],
    );
}

#[test]
fn mistakes_of_two_entries_are_two() {
    check(
        "receivers: {otlp: {protocols: {grpc: {}}}}
processors: {why502: {}}
exporters: {debug: {}}
service: {pipelines: {logs: {receivers: [x], processors: [tail_sampling, tail_sampling], exporters: [debug]}, traces: {receivers: [x], exporters: [debug]}}}
",
        &[
            "4: `service::pipelines::logs::processors`: `tail_sampling` stands here twice; keep one",
            "4: `service::pipelines::logs::processors`: why502 has no processor `tail_sampling`; put it into the collector in front or behind",
            "4: `service::pipelines::logs::receivers`: `receivers` has no entry `x`; it has otlp",
            "4: `service::pipelines::traces::receivers`: `receivers` has no entry `x`; it has otlp",
        ],
    );
    check(
        "receivers: {otlp: {protocols: {grpc: {}}}}
exporters: {debug: {}, monkey: {}, otpl/a: {}}
service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}
",
        &[
            "2: `exporters` has no exporter `monkey`; it has otlp, otlphttp, datadog, jaeger, kafka, file, debug",
            "2: `exporters` has no exporter `otpl/a`; did you mean `otlp`?",
        ],
    );
}

#[test]
fn listeners_at_one_address() {
    let told = |first: &str, second: &str| {
        let text = format!(
            "receivers:
  otlp: {{protocols: {{grpc: {{endpoint: \"{first}\"}}}}}}
  otlp/b: {{protocols: {{http: {{endpoint: \"{second}\"}}}}}}
exporters: {{debug: {{}}}}
service: {{pipelines: {{logs: {{receivers: [otlp, otlp/b], exporters: [debug]}}}}}}
"
        );
        read(&text, &environment).map_or_else(|mistakes| mistakes[0].text.clone(), |_| String::new())
    };
    for (first, second) in [
        ("127.0.0.1:4317", "127.0.0.1:4317"),
        ("localhost:4317", "127.0.0.1:4317"),
        ("127.0.0.1:4317", ":4317"),
        ("[::]:4317", "0.0.0.0:4317"),
        ("[::1]:4317", "[::]:4317"),
    ] {
        assert_eq!(
            told(first, second),
            format!(
                "`receivers::otlp/b::protocols::http::endpoint`: {second} is taken already by `receivers::otlp::protocols::grpc::endpoint` (line 2); choose another port"
            )
        );
    }
    for (first, second) in [
        ("127.0.0.1:4317", "127.0.0.1:4318"),
        ("127.0.0.1:4317", "127.0.0.2:4317"),
        ("127.0.0.1:4317", "[::1]:4317"),
        ("0.0.0.0:4317", "[::1]:4317"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ] {
        assert_eq!(told(first, second), "", "{first} {second}");
    }
}

#[test]
fn tls_of_a_plain_endpoint_is_told_of() {
    let text = format!(
        "{HEAD}exporters:
  otlphttp: {{endpoint: \"http://x:4318\", tls: {{ca_file: ca.pem, insecure: true}}}}
  otlp: {{endpoint: \"x:4317\", tls: {{insecure: true, server_name_override: y}}}}
  otlp/b: {{endpoint: \"x:4317\", tls: {{ca_file: ca.pem}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], processors: [why502], exporters: [otlphttp, otlp, otlp/b]}}}}}}
"
    );
    let warnings = read(&text, &environment).expect("valid").warnings;
    let told: Vec<String> = warnings.iter().map(|warning| format!("{}: {}", warning.line, warning.text)).collect();
    assert_eq!(
        told,
        [
            "4: `exporters::otlphttp::tls::ca_file` does nothing: what is sent to `exporters::otlphttp` is plain text",
            "5: `exporters::otlp::tls::server_name_override` does nothing: what is sent to `exporters::otlp` is plain text",
        ]
    );
}

#[test]
fn debug_without_the_processor_is_told_of() {
    let text = format!(
        "{HEAD}exporters: {{debug: {{}}, debug/b: {{}}, file: {{path: x}}}}
service:
  pipelines:
    logs: {{receivers: [otlp], processors: [why502], exporters: [debug]}}
    logs/b: {{receivers: [otlp], exporters: [file, debug/b]}}
    metrics: {{receivers: [otlp], exporters: [debug]}}
"
    );
    let warnings = read(&text, &environment).expect("valid").warnings;
    let told: Vec<String> = warnings.iter().map(|warning| format!("{}: {}", warning.line, warning.text)).collect();
    assert_eq!(
        told,
        [("7", "logs/b", "debug/b"), ("8", "metrics", "debug")].map(|(line, pipeline, debug)| format!(
            "{line}: `service::pipelines::{pipeline}` has no processor `why502`, so no verdicts, and `{debug}` shows nothing else: nothing of this pipeline"
        ))
    );
}

#[test]
fn formats_of_access_logs() {
    let with = |inside: &str| {
        format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{}}}}}}}}
exporters: {{debug: {{}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], processors: [why502], exporters: [debug]}}}}}}
processors:
  why502:
{inside}"
        )
    };
    check(
        &with(
            "    log_formats: [plain, plain, \"%(h)s %(s)s\"]
    gunicorn_formats:
      - \"%(h)s %s\"
      - $status
      - plain
      -
      - \"%(h)s\"
      - \"\"
      - log_format x
",
        ),
        &[
            "6: `processors::why502::log_formats`: number 1: it has no variable; nginx's begin with $, such as $status",
            "6: `processors::why502::log_formats`: number 2: it has no variable; nginx's begin with $, such as $status",
            "6: `processors::why502::log_formats`: number 3: it looks like Gunicorn's access_log_format; write it under `processors::why502::gunicorn_formats`",
            "8: `processors::why502::gunicorn_formats`: number 1: line 1, column 7: no name of a field; Gunicorn's fields look like %(h)s or %({x-request-id}i)s",
            "9: `processors::why502::gunicorn_formats`: number 2: it looks like nginx's log_format; write it under `processors::why502::log_formats`",
            "10: `processors::why502::gunicorn_formats`: number 3: it has no field; Gunicorn's look like %(h)s",
            "11: `processors::why502::gunicorn_formats` has an empty entry; take it out",
            "13: `processors::why502::gunicorn_formats`: number 5: it is empty; write the text of access_log_format, such as '%(h)s \"%(r)s\" %(s)s'",
            "14: `processors::why502::gunicorn_formats`: number 6 (x): it has no field; Gunicorn's look like %(h)s",
        ],
    );
    let named = "    log_formats: [\"log_format timed '$status $reqest_time'; x\", '$status']\n";
    check(
        &with(named),
        &[
            "6: `processors::why502::log_formats`: number 1 (timed): line 1, column 42: more text after the semicolon; give one log_format directive",
        ],
    );
    let config = read(&with(&named.replace("; x", ";")), &environment).expect("valid");
    assert_eq!(config.processor.log_formats.len(), 2);
    let told: Vec<String> = config.warnings.iter().map(|told| format!("{}: {}", told.line, told.text)).collect();
    assert_eq!(
        told,
        [
            "6: `processors::why502::log_formats`: number 1 (timed): nginx has no variable $reqest_time; did you mean $request_time? What it holds is read as text"
        ]
    );
}

#[test]
fn keepalive_as_the_collector_has_it() {
    let with = |keepalive: &str| {
        format!(
            "receivers:
  otlp:
    protocols:
      grpc:
        keepalive:
          {keepalive}
      http:
exporters: {{debug: {{}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}}}
"
        )
    };
    let seconds = |keepalive: &str| {
        let config = read(&with(keepalive), &environment).expect("valid");
        let of = |listener: Option<&settings::Listener>| {
            let keepalive = listener.expect("a listener").keepalive;
            (keepalive.time.as_secs(), keepalive.timeout.as_secs(), keepalive.age_max.map(|age| age.as_secs()))
        };
        (of(config.receivers[0].grpc.as_ref()), of(config.receivers[0].http.as_ref()))
    };
    let defaults = (60, 20, None);
    assert_eq!(seconds("{}"), (defaults, defaults));
    assert_eq!(
        seconds("server_parameters: {time: 30s, timeout: 5s, max_connection_age: 1h}"),
        ((30, 5, Some(3_600)), defaults)
    );
    check(
        &with(
            "{server_parameters: {max_connection_idle: 1s, max_connection_age_grace: 1s, tiem: 1s}, enforcement_policy: {min_time: 1s}}",
        ),
        &[
            "6: `receivers::otlp::protocols::grpc::keepalive::enforcement_policy` is not supported by why502; it has server_parameters here",
            "6: `receivers::otlp::protocols::grpc::keepalive::server_parameters::max_connection_age_grace` is not supported by why502; it has time, timeout, max_connection_age here",
            "6: `receivers::otlp::protocols::grpc::keepalive::server_parameters::max_connection_idle` is not supported by why502; it has time, timeout, max_connection_age here",
            "6: `receivers::otlp::protocols::grpc::keepalive::server_parameters` has no key `tiem`; did you mean `time`?",
        ],
    );
}

#[test]
fn sites_and_rules_of_the_topology() {
    let with = |sites: &str| EMBEDDED.replace("  why502:\n", &format!("  why502:\n    sites:\n{sites}"));
    check(
        &with(
            "      keys: [host.name, host.name, 'a b', service.namespace + service.name]
      upstream: []
      upstreams:
        - nginx: {host.name: edge-1}
          server: {service.name: }
          adress: 10.0.0.1:8000
        - {nginx: {}}
",
        ),
        &[
            "9: `processors::why502::sites::keys`: `a b` is no name of an attribute, nor several with ` + ` between them",
            "9: `processors::why502::sites::keys`: `host.name` stands here twice; keep one",
            "10: `processors::why502::sites` has no key `upstream`; did you mean `upstreams`?",
            "13: `processors::why502::sites::upstreams::1::server::service.name` needs a value",
            "14: `processors::why502::sites::upstreams::1` has no key `adress`; did you mean `address`?",
            "15: `processors::why502::sites::upstreams::2::nginx` names no attribute; write one with its value, such as {service.name: shop}",
            "15: `processors::why502::sites::upstreams::2::server` names no attribute; write one with its value, such as {service.name: shop}",
        ],
    );
    let text = with(
        "      keys: [a + b]
      upstreams: [{nginx: {host.name: edge-1}, server: {service.name: shop}, address: '10.0.0.1:8000'}]
",
    );
    let sites = read(&text, &environment).expect("valid").processor.sites;
    assert_eq!(sites.keys, [["a", "b"]]);
    assert_eq!(sites.upstreams[0].server, [("service.name".to_owned(), "shop".to_owned())]);
    assert_eq!(sites.upstreams[0].address.as_deref(), Some("10.0.0.1:8000"));
}

#[test]
fn the_default_sites_are_those_of_the_table() {
    let keys = read(EMBEDDED, &environment).expect("valid").processor.sites.keys;
    let written = keys.iter().map(|names| names.join(" + ")).collect::<Vec<_>>().join(", ");
    assert_eq!(table::find("why502::sites::keys").map(|row| row.default), Some(format!("[{written}]").as_str()));
}

#[test]
fn a_pasted_collector_file_works_or_says_what_to_do_instead() {
    let pasted = "receivers:
  otlp: {protocols: {grpc: {include_metadata: true, transport: tcp}, http: {}}}
processors:
  why502:
  batch: {timeout: 1s}
  memory_limiter/small: {limit_mib: 100}
exporters:
  debug: {verbosity: detailed}
  otlp/out:
    endpoint: tempo:4317
    balancer_name: round_robin
    sending_queue: {block_on_overflow: true, batch: {min_size: 100}}
service:
  pipelines:
    logs: {receivers: [otlp], processors: [memory_limiter/small, why502, batch], exporters: [debug, otlp/out]}
    metrics: {receivers: [otlp], processors: [batch], exporters: [otlp/out]}
";
    let config = read(pasted, &environment).expect("it works");
    let explained: Vec<bool> = config.pipelines.iter().map(|pipeline| pipeline.explained).collect();
    assert_eq!(explained, [true, false]);
    let told: Vec<usize> = config.warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(told, [2, 5, 6, 8, 11, 12, 12], "{:#?}", config.warnings);
    assert!(config.warnings.iter().all(|warning| warning.text.contains("does nothing: ")), "{:#?}", config.warnings);
    check(
        &pasted.replace("balancer_name: round_robin", "auth: {authenticator: bearertokenauth}"),
        &[
            "11: `exporters::otlp/out::auth::authenticator`: `bearertokenauth` is not defined under `extensions`; write it there",
        ],
    );
    check(
        &pasted.replace("block_on_overflow: true", "storage: file_storage"),
        &[
            "12: `exporters::otlp/out::sending_queue::storage`: why502 has no `file_storage` but a journal of its own; write `storage: journal` here and `journal: {directory: DIRECTORY}` at the top of the file",
        ],
    );
}

#[test]
fn a_journal_and_who_asks_for_it_go_together() {
    let text = |journal: &str, queue: &str| {
        format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{}}}}}}}}\n{journal}\n\
             exporters: {{otlp: {{endpoint: \"a:1\", sending_queue: {{{queue}}}}}}}\n\
             service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [otlp]}}}}}}\n"
        )
    };
    let sound =
        read(&text("journal: {directory: /j, max_bytes: 64MiB}", "storage: journal"), &environment).expect("sound");
    assert_eq!(sound.warnings, []);
    let journal = sound.journal.expect("a journal");
    assert_eq!((journal.directory.path.display().to_string(), journal.bytes_max), ("/j".to_owned(), 64 << 20));
    check(
        &text("", "storage: journal"),
        &[
            "1: `exporters::otlp::sending_queue::storage` is `journal`, and `journal::directory` is missing; write `journal: {directory: DIRECTORY}` at the top of the file",
        ],
    );
    check(
        &text("journal: {directory: /j}", "storage: disk"),
        &["3: `exporters::otlp::sending_queue::storage`: `disk` is not one of memory, journal"],
    );
    let idle = read(&text("journal: {directory: /j}", ""), &environment).expect("it works");
    assert!(idle.journal.is_none());
    let told: Vec<String> = idle.warnings.into_iter().map(|warning| warning.text).collect();
    assert_eq!(told, ["`journal` does nothing: no exporter has `sending_queue: {storage: journal}`"]);
}

#[test]
fn a_queue_that_is_off_takes_what_is_on_its_way() {
    let text = |queue: &str| {
        format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{}}}}}}}}\njournal: {{directory: /j}}\n\
             exporters: {{otlp: {{endpoint: \"a:1\", sending_queue: {{enabled: false, queue_size: 500{queue}}}}}}}\n\
             service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [otlp]}}}}}}\n"
        )
    };
    let mut sound = read(&text(""), &environment).expect("it works");
    let remote = sound.exporters.remove(0);
    assert_eq!(remote.remote().map(|remote| (remote.queue.requests_max, remote.queue.consumers)), Some((1, 10)));
    let told: Vec<String> = sound.warnings.into_iter().map(|warning| warning.text).collect();
    let expected = "`exporters::otlp::sending_queue::enabled: false`: a request is acknowledged when it is on its way, not when the backend has it, as in the collector; write `storage: journal` where no crash may lose it";
    assert!(told.iter().any(|text| text == expected), "{told:?}");
    check(
        &text(", storage: journal"),
        &[
            "3: `exporters::otlp::sending_queue::enabled` is false, and `storage: journal` keeps what waits; take one of them out",
        ],
    );
}

#[test]
fn sockets_of_the_file_system_are_listened_on() {
    let text = |grpc: &str, http: &str| {
        format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{{grpc}}}, http: {{{http}}}}}}}}}\n\
             exporters: {{debug: {{}}}}\nservice: {{pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}}}\n"
        )
    };
    let unix = "transport: unix, endpoint: /run/a.sock";
    let sound = read(&text(unix, "transport: unix, endpoint: /run/b.sock, socket_mode: 0600"), &environment);
    let sound = sound.expect("sound");
    let sockets: Vec<_> = sound.listeners().filter_map(|(_, listener)| listener.unix.clone()).collect();
    let shown: Vec<_> = sockets.iter().map(|socket| (socket.path.display().to_string(), socket.mode)).collect();
    assert_eq!(shown, [("/run/a.sock".to_owned(), 0o660), ("/run/b.sock".to_owned(), 0o600)]);
    check(
        &text("transport: unix", ""),
        &[
            "1: `receivers::otlp::protocols::grpc::endpoint`: `127.0.0.1:4317` is no absolute path of a socket, such as /run/why502/otlp.sock",
        ],
    );
    check(
        &text(unix, unix),
        &[
            "1: `receivers::otlp::protocols::http::endpoint`: /run/a.sock is taken already by `receivers::otlp::protocols::grpc::endpoint` (line 1); choose another path",
        ],
    );
    check(
        &text(&format!("{unix}, socket_mode: 888"), "socket_mode: 600"),
        &[
            "1: `receivers::otlp::protocols::grpc::socket_mode` is not three octal digits, such as 660",
            "1: `receivers::otlp::protocols::http::socket_mode` is for `transport: unix`; take it out",
        ],
    );
}

#[test]
fn open_listeners_are_told_of() {
    let told = |listener: &str| -> Vec<String> {
        let text = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{{listener}}}}}}}}}\nprocessors: {{why502: {{}}}}\n\
             exporters: {{debug: {{}}}}\nservice: {{pipelines: {{logs: {{receivers: [otlp], processors: [why502], exporters: [debug]}}}}}}\n"
        );
        read(&text, &environment).expect("it works").warnings.into_iter().map(|warning| warning.text).collect()
    };
    let tls = "tls: {cert_file: c, key_file: k}";
    for (listener, words) in [
        ("endpoint: 127.0.0.1:4317".to_owned(), None),
        ("endpoint: 0.0.0.0:4317".to_owned(), Some("without TLS")),
        (format!("endpoint: \"[::]:4317\", {tls}"), Some("asks for no certificate")),
        (format!("endpoint: 0.0.0.0:4317, {}", tls.replace('}', ", client_ca_file: a}")), None),
    ] {
        let found = told(&listener);
        assert_eq!(found.len(), usize::from(words.is_some()), "{listener}: {found:?}");
        assert!(words.is_none_or(|words| found.iter().all(|text| text.contains(words))), "{listener}: {found:?}");
    }
}

#[test]
fn probes_and_scrapes_in_the_words_of_the_collector() {
    let whole = |extensions: &str, service: &str| {
        format!(
            "{HEAD}exporters: {{debug: {{}}}}\nextensions:\n{extensions}\nservice:\n  pipelines: {{logs: {{receivers: [otlp], processors: [why502], exporters: [debug]}}}}\n{service}\n"
        )
    };
    let config = read(
        &whole(
            "  health_check: {endpoint: \"${env:POD:-0.0.0.0}:13133\", path: /healthz}",
            "  extensions: [health_check]\n  telemetry: {metrics: {level: detailed, readers: [{pull: {exporter: {prometheus: {host: '::', port: 8888}}}}]}}",
        ),
        &environment,
    )
    .expect("valid");
    let health = config.health.as_ref().expect("probes");
    assert_eq!(
        (health.listener.host.as_str(), health.listener.port, health.path.as_str()),
        ("0.0.0.0", 13133, "/healthz")
    );
    let scraped = config.telemetry.prometheus.as_ref().expect("scrapes");
    assert_eq!((scraped.listener.host.as_str(), scraped.listener.port), ("::", 8888));
    assert!(config.warnings.is_empty(), "what is open to everybody tells nothing of records: {:?}", config.warnings);

    let defaults = whole(
        "  health_check:",
        "  extensions: [health_check]\n  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: }}}]}}",
    );
    let config = read(&defaults, &environment).expect("valid");
    let all: Vec<&str> = config.listeners().map(|(_, listener)| listener.endpoint.as_str()).collect();
    assert_eq!(all, ["127.0.0.1:4317", "127.0.0.1:13133", "127.0.0.1:8888"]);

    let off = whole(
        "  health_check:",
        "  telemetry: {metrics: {level: none, readers: [{pull: {exporter: {prometheus: {}}}}]}}",
    );
    let config = read(&off, &environment).expect("valid");
    assert!(config.health.is_none() && config.telemetry.prometheus.is_none());
    let told: Vec<&str> = config.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(told, ["`extensions::health_check` is not in `service::extensions` and does nothing"]);

    check(
        &whole(
            "  health_check: {endpoint: 127.0.0.1:4317, path: healthz, tls: {}, port: 1}\n  k8s_observer: {}\n  health_check/2:",
            "  extensions: [health_check, health_check/2, helth_check, k8s_observer]\n  telemetry:\n    metrics:\n      address: :8888\n      readers:\n        - pull: {exporter: {prometheus: {prot: 1, port: 99999}}}\n        - pull: {exporter: {prometheus: {}}}\n        - periodic: {}\n        - {}",
        ),
        &[
            "5: `extensions::health_check::endpoint`: 127.0.0.1:4317 is taken already by `receivers::otlp::protocols::grpc::endpoint` (line 1); choose another port",
            "5: `extensions::health_check::path`: `healthz` is no path such as /healthz, which begins with a slash",
            "5: `extensions::health_check::tls` is not supported by why502: probes are answered in plain text; take it out",
            "5: `extensions::health_check` has no key `port`; did you mean `path`?",
            "6: `extensions` has no extension `k8s_observer`; it has basicauth, bearertokenauth, health_check; leave others to the collector in front or behind",
            "10: `service::extensions` has no entry `helth_check`; did you mean `health_check`?",
            "10: `service::extensions`: one health check is enough, and `health_check` is one already",
            "13: `service::telemetry::metrics::address` is not supported by why502: write `readers: [{pull: {exporter: {prometheus: {host: HOST, port: PORT}}}}]`",
            "15: `service::telemetry::metrics::readers::1::pull::exporter::prometheus::port`: `99999` is not a whole number, 0 to 65535",
            "15: `service::telemetry::metrics::readers::1::pull::exporter::prometheus` has no key `prot`; did you mean `port`?",
            "16: `service::telemetry::metrics::readers` has a second one for Prometheus; keep one",
            "17: `service::telemetry::metrics::readers::3::periodic` is not supported by why502: write where metrics go by OTLP as `service::telemetry::metrics::otlp_endpoint`",
            "18: `service::telemetry::metrics::readers::4` must be `pull: {exporter: {prometheus: {}}}`",
        ],
    );
}

#[test]
fn presets_of_backends() {
    let whole = |exporters: &str, pipelines: &str| {
        format!("{HEAD}exporters:\n{exporters}\nservice:\n  pipelines:\n{pipelines}\n")
    };
    let logs =
        |exporter: &str| format!("    logs: {{receivers: [otlp], processors: [why502], exporters: [{exporter}]}}");
    let traces =
        |exporter: &str| format!("    traces: {{receivers: [otlp], processors: [why502], exporters: [{exporter}]}}");
    let remote = |text: &str| match read(text, &environment).expect(text).exporters.remove(0).kind {
        ExporterKind::Grpc(remote) | ExporterKind::Http(remote) => remote,
        other => panic!("{other:?}"),
    };
    let url = |endpoint: &Option<settings::Endpoint>| endpoint.as_ref().map(|endpoint| endpoint.url.to_string());

    let datadog = remote(&whole("  datadog: {site: datadoghq.eu, key: \"${env:KEY}\", timeout: 3s}", &logs("datadog")));
    let expected = ["logs", "traces", "metrics"].map(|signal| Some(format!("https://otlp.datadoghq.eu/v1/{signal}")));
    assert_eq!(datadog.endpoints.each_ref().map(url), expected);
    assert_eq!((datadog.headers[0].0.as_str(), datadog.headers[0].1.reveal()), ("dd-api-key", "s3cret"));
    assert_eq!((datadog.request_bytes_max, datadog.request_items_max), (3_000_000, Some(1_000)));
    assert_eq!(datadog.timeout.as_secs(), 3);
    assert!(!format!("{datadog:?}").contains("s3cret"));
    let set = "  datadog/eu: {endpoint: 'http://127.0.0.1:1', key: k, max_request_bytes: 1MiB, max_request_items: 5}";
    let set = remote(&whole(set, &logs("datadog/eu")));
    assert_eq!(url(&set.endpoints[1]).as_deref(), Some("http://127.0.0.1:1/v1/traces"));
    assert_eq!((set.request_bytes_max, set.request_items_max), (1 << 20, Some(5)));

    let jaeger = remote(&whole("  jaeger: {endpoint: 'jaeger:4317', tls: {insecure: true}}", &traces("jaeger")));
    let expected = [None, Some("http://jaeger:4317/".to_owned()), None];
    assert_eq!(jaeger.endpoints.each_ref().map(url), expected);
    assert_eq!(jaeger.request_items_max, None);

    check(
        &whole(
            "  datadog: {site: datadoghq.co, kye: k, api: {key: k}, encoding: json}\n  datadog/2: {site: datadoghq.eu, endpoint: 'https://x', key: \"${env:KEY}\\n\"}\n  jaeger: {}",
            &format!("{}\n{}", logs("datadog, datadog/2, jaeger"), traces("jaeger")),
        ),
        &[
            "4: `exporters::datadog::api` is not supported by why502: write `site` and `key` without `api` above them",
            "4: `exporters::datadog::encoding`: Datadog takes `proto` alone; take it out",
            "4: `exporters::datadog::key` is missing; write `key: ${env:DD_API_KEY}`",
            "4: `exporters::datadog::site`: `datadoghq.co` is not one of datadoghq.com, us3.datadoghq.com, us5.datadoghq.com, ap1.datadoghq.com, ap2.datadoghq.com, datadoghq.eu",
            "4: `exporters::datadog` has no key `kye`; did you mean `key`?",
            "5: `exporters::datadog/2::endpoint` and `site` say the same; keep one",
            "5: `exporters::datadog/2::key`: take line breaks and control characters out",
            "6: `exporters::jaeger` needs an `endpoint`, such as tempo:4317",
            "9: `service::pipelines::logs::exporters`: Jaeger takes traces alone; take `jaeger` out",
        ],
    );
}

#[test]
fn a_mistake_is_told_once() {
    check(
        "\
receivers: {otlp: {protocols: {grpc: {}}}}
exporters: {debug: {}}
service:
  pipelines:
    logs: {receivers: [otlp], exporters: debug, processors: \"${env:NONE}\"}
",
        &[
            "5: `service::pipelines::logs::exporters` must be a list such as [a, b]",
            "5: `service::pipelines::logs::processors` must be a list such as [a, b]",
        ],
    );
}
