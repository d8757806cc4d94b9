//! JSON of any bytes and bytes of any JSON: what was read once reads the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use why502::otlp::{Signal, check, json};

fuzz_target!(|input: &[u8]| {
    for signal in Signal::ALL {
        if let Ok(text) = json::from_protobuf(signal, input) {
            again(signal, &text);
        }
        if let Ok(request) = json::to_protobuf(signal, input) {
            assert!(check(signal, &request).is_ok());
            again(signal, &json::from_protobuf(signal, &request).expect("well formed"));
        }
        assert!(json::requests(signal, input).count() <= input.len());
    }
});

/// Our own JSON reads back and is written the same.
fn again(signal: Signal, text: &str) {
    assert!(!text.contains('\n'));
    let request = json::to_protobuf(signal, text.as_bytes()).expect("our own JSON");
    assert_eq!(json::from_protobuf(signal, &request).as_deref(), Ok(text));
}
