//! Names and values as a collector or a JSON logger parsed them: no panic, whatever they are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use why502::engine::Wanted;
use why502::engine::formats::{Reader, Reading, SourceMemory};

const KEYS: [&str; 24] = [
    "message", "log", "msg", "level", "time", "pid", "status", "request", "request_uri", "remote_addr", "msec",
    "upstream_addr", "upstream_status", "upstream_header_time", "upstream_response_time", "upstream_connect_time",
    "request_time", "connection", "request_id", "time_iso8601", "exc_info", "event", "trace_id", "http.target",
];

fuzz_target!(|input: Vec<(u8, &str)>| {
    let fields: Vec<(&str, &str)> = input
        .iter()
        .take(64)
        .map(|(key, value)| (KEYS.get(usize::from(*key) % KEYS.len()).copied().unwrap_or_default(), *value))
        .collect();
    let reader = Reader::default();
    let mut memory = SourceMemory::default();
    if let Reading::Proves(_, evidences) = reader.read_parsed(&fields, &mut memory, &Wanted::default()) {
        assert!(!evidences.is_empty(), "what proves something says what");
    }
});
