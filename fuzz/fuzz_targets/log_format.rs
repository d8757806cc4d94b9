//! Any format and any line: the text before the first NUL is compiled, the rest is read by it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use why502::read::formats::{LogFormat, gunicorn_format};

fuzz_target!(|input: &[u8]| {
    let at = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let Ok(text) = std::str::from_utf8(&input[..at]) else { return };
    let line = input.get(at + 1..).unwrap_or_default();
    for format in [LogFormat::compile(text), gunicorn_format::compile(text)].into_iter().flatten() {
        let strictly = format.read_strictly(line);
        let read = format.read(line);
        if strictly.is_some() {
            assert_eq!(strictly, read);
        }
        if let Some(fields) = read {
            assert_eq!(fields.len(), format.variables().count());
        }
        // The short way finds the status that reading finds.
        let quick = format.quick().and_then(|quick| quick.status(line));
        if let (Some(quick), Some(fields)) = (quick, strictly) {
            let status = fields.iter().find(|(name, _)| *name == "status").and_then(|(_, value)| value.as_deref());
            assert_eq!(status, Some(format!("{quick:03}").as_str()));
        }
    }
});
