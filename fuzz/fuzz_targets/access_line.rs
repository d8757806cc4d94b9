//! Any line through every reader of access lines: no panic, and what is dismissed unread is read as healthy too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use why502::read::formats::{AccessFormats, LogFormat, Reader, Reading, gunicorn_format};
use why502::read::{SourceMemory, Wanted};

static READER: LazyLock<Reader> = LazyLock::new(|| {
    let nginx = ["main", "upstreaminfo", "$status|$upstream_addr|$upstream_status|\"$request\"|$http_user_agent"];
    let nginx = nginx.iter().map(|text| LogFormat::compile(text).expect("compiles")).collect();
    let gunicorn = vec![gunicorn_format::compile(gunicorn_format::DEFAULT).expect("compiles")];
    Reader::with_access_formats(AccessFormats::new(nginx, gunicorn))
});

fuzz_target!(|line: &[u8]| {
    let mut memory = SourceMemory::default();
    let wanted = Wanted::default();
    let reading = READER.read(line, &mut memory, &wanted);
    let dismissed = READER.dismiss(line, &wanted).is_some();
    assert!(!dismissed || matches!(reading, Reading::Healthy(_)));
    let _ = READER.describe(line);
});
