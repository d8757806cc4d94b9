//! Names and values as a collector or a JSON logger parsed them: no panic, whatever they are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::borrow::Cow;
use why502::read::formats::{Reader, Reading, parsed};
use why502::read::{SourceMemory, Wanted};

const KEYS: [&str; 32] = [
    "message",
    "log",
    "msg",
    "level",
    "time",
    "pid",
    "status",
    "request",
    "request_uri",
    "remote_addr",
    "msec",
    "upstream_addr",
    "upstream_status",
    "upstream_header_time",
    "upstream_response_time",
    "upstream_connect_time",
    "request_time",
    "connection",
    "request_id",
    "time_iso8601",
    "exc_info",
    "event",
    "trace_id",
    "http.target",
    "client",
    "server",
    "upstream",
    "host",
    "nginx.error.connection_id",
    "process.pid",
    "severity",
    "method",
];

fuzz_target!(|input: Vec<(u8, &str)>| {
    let fields: Vec<(&str, &str)> = input
        .iter()
        .take(64)
        .map(|(key, value)| (KEYS.get(usize::from(*key) % KEYS.len()).copied().unwrap_or_default(), *value))
        .collect();
    let get = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value));
    let reader = Reader::default();
    let mut memory = SourceMemory::default();
    let reading = reader.read_parsed(&get, &mut memory, &Wanted::default());
    let line = parsed::line_of(&get).unwrap_or_default();
    if let Reading::Proves(_, evidences) = parsed::complete(reading, &line, None, &get, &mut memory) {
        assert!(!evidences.is_empty(), "what proves something says what");
    }
});
