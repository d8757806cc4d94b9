//! Logs as a collector's filelog receiver sends them, and traces as an instrumented application does.

use crate::raw::Client;
use anyhow::bail;
use bytes::{BufMut, Bytes, BytesMut};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use why502::otlp::Signal;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    to: String,
    /// Log records, or spans, in all.
    #[arg(long, default_value_t = 2_000_000)]
    records: u64,
    #[arg(long, default_value_t = 1_000)]
    batch: u64,
    #[arg(long, default_value_t = 8)]
    streams: u64,
    /// Of 1,000 access lines so many are 502s, each with its error line; 0 with `--traces`.
    #[arg(long, default_value_t = 10)]
    failing: u64,
    /// Records a second in all streams together; as fast as they are taken without it.
    #[arg(long)]
    rate: Option<u64>,
    /// Spans instead of log records.
    #[arg(long)]
    traces: bool,
    /// JSON access lines instead of combined ones.
    #[arg(long)]
    json: bool,
    /// Lines of another application instead of access lines.
    #[arg(long, value_enum)]
    lines: Option<Lines>,
    /// How long such a line is.
    #[arg(long, default_value_t = 300)]
    line_bytes: usize,
    /// Every record is one of a failed request of this one path: an error line, then its access line. The sink does not
    /// look at how late they are.
    #[arg(long)]
    storm: bool,
}

/// Applications whose lines prove nothing.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Lines {
    Text,
    Json,
    Postgres,
}

/// A minute of refusals; then something is stuck.
const TRIES_MAX: u32 = 3_000;

/// Sends everything; a request that is refused is sent again after a while, as an exporter would.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let client = Client::connect(&options.to).await?;
    let requests = options.records.div_ceil(options.batch * options.streams);
    let pause = options.rate.map(|rate| Duration::from_secs_f64((options.batch * options.streams) as f64 / rate as f64));
    let began = Instant::now();
    let mut streams = tokio::task::JoinSet::new();
    let streams_count = options.streams;
    for stream in 0..options.streams {
        let client = client.clone();
        let mut maker = Maker::new(&options, stream);
        let signal = if options.traces { Signal::Traces } else { Signal::Logs };
        streams.spawn(async move {
            let mut refused = 0_u64;
            for number in 0..requests {
                if let Some(pause) = pause {
                    // Streams take turns within a pause.
                    let due = pause.mul_f64(number as f64 + stream as f64 / streams_count as f64);
                    tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
                }
                let request = maker.request(number);
                let mut tries = 0;
                while let Err(status) = client.send(signal, request.clone()).await {
                    tries += 1;
                    refused += 1;
                    if status.code() != tonic::Code::Unavailable || tries > TRIES_MAX {
                        bail!("the request was not taken: {status}");
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Ok::<u64, anyhow::Error>(refused)
        });
    }
    let mut refused = 0;
    while let Some(done) = streams.join_next().await {
        refused += done??;
    }
    let seconds = began.elapsed().as_secs_f64();
    let sent = requests * options.streams * options.batch;
    println!("{}", serde_json::json!({"sent": sent, "seconds": seconds, "refused": refused}));
    Ok(())
}

struct Maker {
    head: Vec<u8>,
    /// Healthy records, encoded but for the observed time, which is written into its fixed place.
    healthy: Vec<Vec<u8>>,
    batch: u64,
    failing: u64,
    stream: u64,
    json: bool,
    storm: bool,
    traces: bool,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0))
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

impl Maker {
    fn new(options: &Options, stream: u64) -> Maker {
        // Each stream is a place of its own: nginx's pods, the application's pods, and hosts in a storm.
        let attributes = if options.traces {
            vec![
                attribute("service.name", "shop"),
                attribute("k8s.namespace.name", "shop"),
                attribute("k8s.pod.name", &format!("shop-7d5fb757db-{stream}")),
                attribute("k8s.pod.ip", &format!("10.0.0.{stream}")),
            ]
        } else if options.storm {
            vec![attribute("host.name", &format!("{STORM}{stream}")), attribute("service.name", "nginx")]
        } else if options.lines.is_some() {
            vec![attribute("host.name", &format!("app-{stream}")), attribute("service.name", "billing")]
        } else {
            vec![
                attribute("host.name", &format!("web-{stream}")),
                attribute("k8s.namespace.name", "shop"),
                attribute("k8s.pod.name", &format!("web-6d4b75cb6d-{stream}")),
            ]
        };
        let resource = Resource { attributes, ..Resource::default() };
        let mut head = Vec::new();
        prost::encoding::message::encode(1, &resource, &mut head);
        let healthy = |number| match options.lines {
            _ if options.traces => span(stream, number, 200),
            Some(lines) => record(1, of_application(lines, number, options.line_bytes), "/var/log/app/app.log"),
            None => healthy(stream, number, options.json),
        };
        Maker {
            head,
            healthy: (0..options.batch).map(healthy).collect(),
            batch: options.batch,
            failing: if options.storm { 1_000 } else { options.failing },
            stream,
            json: options.json,
            storm: options.storm,
            traces: options.traces,
        }
    }

    /// One request: a resource, a scope, and its items.
    fn request(&mut self, number: u64) -> Bytes {
        let now = now();
        let mut items = BytesMut::with_capacity(self.healthy.len() * 400);
        // A failing access line and its error line stand where two healthy ones would.
        let every = if self.failing == 0 { u64::MAX } else { 1_000 / self.failing };
        let mut index = 0;
        while index < self.batch {
            if self.traces && index % every == every / 2 {
                // Its own end stands first, where `now` goes.
                let mut failed = span(self.stream, number * self.batch + index, 500);
                if let Some(place) = failed.get_mut(1..9) {
                    place.copy_from_slice(&now.to_le_bytes());
                }
                item(&mut items, &failed);
                index += 1;
                continue;
            }
            if index % every == every / 2 && index + 1 < self.batch {
                let (error, access) = failing(self.stream, number, index, now, self.json, self.storm);
                item(&mut items, &error);
                item(&mut items, &access);
                index += 2;
                continue;
            }
            if let Some(record) = self.healthy.get_mut(index as usize) {
                // `observed_time_unix_nano` stands first: a tag and eight bytes.
                if let Some(place) = record.get_mut(1..9) {
                    place.copy_from_slice(&now.to_le_bytes());
                }
                item(&mut items, record);
            }
            index += 1;
        }
        let mut group = BytesMut::with_capacity(items.len() + 512);
        group.put_slice(&self.head);
        prost::encoding::encode_key(2, prost::encoding::WireType::LengthDelimited, &mut group);
        prost::encoding::encode_varint(items.len() as u64, &mut group);
        group.put(items);
        let mut request = BytesMut::with_capacity(group.len() + 16);
        prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut request);
        prost::encoding::encode_varint(group.len() as u64, &mut request);
        request.put(group);
        request.freeze()
    }
}

fn item(items: &mut BytesMut, bytes: &[u8]) {
    prost::encoding::encode_key(2, prost::encoding::WireType::LengthDelimited, items);
    prost::encoding::encode_varint(bytes.len() as u64, items);
    items.put_slice(bytes);
}

/// `observed_time_unix_nano` first, then the rest: protobuf allows any order.
fn record(observed: u64, body: String, file: &str) -> Vec<u8> {
    let rest = LogRecord {
        body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
        attributes: vec![attribute("log.file.path", file), attribute("log.iostream", "stdout")],
        ..LogRecord::default()
    };
    let mut bytes = Vec::with_capacity(400);
    prost::encoding::fixed64::encode(11, &observed, &mut bytes);
    rest.encode_raw(&mut bytes);
    bytes
}

/// How the names of hosts begin that a storm comes from.
pub const STORM: &str = "storm-";
const ACCESS: &str = "/var/log/nginx/access.log";
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0";

fn healthy(stream: u64, number: u64, json: bool) -> Vec<u8> {
    let status = [200, 200, 200, 304, 404][(number % 5) as usize];
    let target = format!("/catalogue/item/{}?page={}", number * 7919 % 100_000, number % 40);
    record(1, access(stream, number, &target, status, 1_772_615_703, number, json), ACCESS)
}

fn access(stream: u64, number: u64, target: &str, status: u16, second: u64, connection: u64, json: bool) -> String {
    let client = format!("198.51.100.{}", number % 250);
    if json {
        let header = if status == 502 { "-" } else { "0.012" };
        return format!(
            r#"{{"msec":"{second}.120","pid":"{}","connection":"{connection}","remote_addr":"{client}","request":"GET {target} HTTP/1.1","status":"{status}","body_bytes_sent":"157","request_time":"0.013","upstream_addr":"10.0.0.{stream}:8000","upstream_status":"{status}","upstream_connect_time":"0.000","upstream_header_time":"{header}","upstream_response_time":"0.012"}}"#,
            400 + stream
        );
    }
    let (day, clock) = (second / 86_400, second % 86_400);
    let date = if day == 20_516 { "04/Mar/2026" } else { "24/Nov/2026" };
    format!(
        "{client} - - [{date}:{:02}:{:02}:{:02} +0000] \"GET {target} HTTP/1.1\" {status} 157 \"https://shop.example/catalogue\" \"{AGENT}\"",
        clock / 3_600,
        clock / 60 % 60,
        clock % 60
    )
}

/// The two lines of a request whose Gunicorn is gone.
fn failing(stream: u64, request: u64, index: u64, now: u64, json: bool, storm: bool) -> (Vec<u8>, Vec<u8>) {
    let connection = request * 1_000 + index;
    let second = now / 1_000_000_000;
    let clock = second % 86_400;
    let target = if storm { format!("/checkout?order={connection}") } else { format!("/cart/{stream}/{connection}") };
    let error = format!(
        "2026/11/24 {:02}:{:02}:{:02} [error] {pid}#{pid}: *{connection} connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.{}, server: shop.test, request: \"GET {target} HTTP/1.1\", upstream: \"http://10.0.0.{stream}:8000{target}\", host: \"shop.test\"",
        clock / 3_600,
        clock / 60 % 60,
        clock % 60,
        index % 250,
        pid = 400 + stream,
    );
    let line = access(stream, index, &target, 502, second, connection, json);
    (record(now, error, "/var/log/nginx/error.log"), record(now, line, ACCESS))
}

/// A line of an application that has nothing to do with nginx or Gunicorn, at least so long.
fn of_application(lines: Lines, number: u64, bytes: usize) -> String {
    let mut line = match lines {
        Lines::Text => format!("2026-11-24 09:15:03,{:03} INFO  [http-nio-8080-exec-{}] c.e.billing.InvoiceService - invoice {number} of customer {} was written:", number % 1_000, number % 16, number * 7919 % 100_000),
        Lines::Json => format!(r#"{{"timestamp":"2026-11-24T09:15:03.{:03}Z","level":"info","logger":"billing.invoice","thread":"worker-{}","customer":{},"message":"invoice {number} was written"#, number % 1_000, number % 16, number * 7919 % 100_000),
        Lines::Postgres => format!("2026-11-24 09:15:03.{:03} UTC [{}] app@billing LOG:  duration: {}.120 ms  statement: SELECT i.id, i.total FROM invoice i WHERE i.customer = {} AND i.id > {number}", number % 1_000, 4_000 + number % 50, number % 90, number * 7919 % 100_000),
    };
    let words = [" paid", " open", " net=12.50", " vat=2.38", " by card", " (retry 1 of 3)", " sent to archive"];
    let mut word = number as usize;
    while line.len() + 2 < bytes {
        line.push_str(words[word % words.len()]);
        word += 1;
    }
    if matches!(lines, Lines::Json) {
        line.push_str("\"}");
    }
    line
}

fn span(stream: u64, number: u64, status: i64) -> Vec<u8> {
    let began = now();
    let mut trace_id = [1_u8; 16];
    trace_id[..8].copy_from_slice(&number.to_le_bytes());
    trace_id[8] = stream as u8 + 1;
    let rest = Span {
        trace_id: trace_id.to_vec(),
        span_id: (number + 1).to_le_bytes().to_vec(),
        name: "GET /catalogue/item/<int:item>".to_owned(),
        kind: 2,
        start_time_unix_nano: began,
        attributes: vec![
            attribute("http.method", "GET"),
            attribute("http.target", &format!("/catalogue/item/{number}")),
            attribute("http.host", "shop.test"),
            attribute("http.route", "/catalogue/item/<int:item>"),
            KeyValue { key: "http.status_code".to_owned(), value: Some(AnyValue { value: Some(Value::IntValue(status)) }), ..KeyValue::default() },
            attribute("net.peer.ip", "127.0.0.1"),
        ],
        ..Span::default()
    };
    let mut bytes = Vec::new();
    prost::encoding::fixed64::encode(8, &(began + 12_000_000), &mut bytes);
    rest.encode_raw(&mut bytes);
    bytes
}
