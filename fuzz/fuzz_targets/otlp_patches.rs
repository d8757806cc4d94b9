//! Patches, edits, splitting and rewrapping of a well-formed request leave a well-formed one with the same items.

#![no_main]

use libfuzzer_sys::fuzz_target;
use why502::otlp::{
    Attribute, Edits, Encoded, LogPatch, LogRecord, Request, RequestWriter, Signal, SpanEvent, SpanPatch, Surroundings,
    check, split,
};

fn items(request: &[u8]) -> Vec<&[u8]> {
    Request::new(request).items().map(|item| item.bytes).collect()
}

fuzz_target!(|input: (u16, &[u8])| {
    let (choices, request) = input;
    let attributes = Encoded::from(vec![Attribute::new("why502.cause", "unknown"), Attribute::new("k", 1.5)]);
    let log = LogPatch {
        attributes: attributes.clone(),
        trace_id: Some([1; 16]),
        span_id: Some([2; 8]),
        ..LogPatch::default()
    };
    let event = SpanEvent { time: 1, name: "why502.verdict".to_owned(), attributes: attributes.clone() };
    let span = SpanPatch { attributes_if_missing: attributes, events: vec![event], ..SpanPatch::default() };
    for signal in [Signal::Logs, Signal::Traces] {
        let Ok(counts) = check(signal, request) else { continue };
        let mut edits = Edits::new();
        let mut writer = RequestWriter::new();
        let mut removed = 0;
        for resource in Request::new(request).resources() {
            for scope in resource.scopes() {
                let surroundings = Surroundings::of(resource.shell(), scope.shell());
                for (index, item) in scope.items().enumerate() {
                    writer.push(&surroundings, item.bytes);
                    match (choices >> (index % 8 * 2)) & 3 {
                        0 if signal == Signal::Logs => edits.replace(item.range(), log.apply(item.bytes)),
                        0 => edits.replace(item.range(), span.apply(item.bytes)),
                        1 => {
                            edits.remove(item.range());
                            removed += 1;
                        }
                        _ => {}
                    }
                }
            }
        }
        let output = edits.apply(request);
        assert_eq!(check(signal, &output).map(|counts| counts.items), Ok(counts.items - removed));
        assert_eq!(Edits::new().apply(request), request);
        assert_eq!(items(&writer.finish()), items(request));
    }
    for signal in Signal::ALL {
        let Ok(counts) = check(signal, request) else { continue };
        let bytes_max = request.len() / (usize::from(choices % 7) + 1);
        let split = split(signal, request, bytes_max);
        assert!(split.parts.iter().all(|part| part.len() <= bytes_max));
        let parts = split.parts.iter().chain(&split.oversized);
        let parts: Vec<_> = parts.map(|part| check(signal, part).expect("well formed").items).collect();
        assert_eq!(parts.iter().sum::<u64>(), counts.items);
    }
    let once = log.apply(request);
    assert_eq!(log.apply(&once), once);
    assert!(LogRecord::read(&once).attributes().filter(|pair| pair.key == b"why502.cause").count() <= 1);
});
