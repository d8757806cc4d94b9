//! Views over any bytes end; over a well-formed request they see as many items as the check counted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use why502::otlp::{AnyValue, Request, Signal, check};

fn read(value: AnyValue<'_>) -> usize {
    match value {
        AnyValue::Array(values) => values.map(read).sum::<usize>() + 1,
        AnyValue::Map(pairs) => pairs.map(|pair| pair.key.len() + read(pair.value())).sum::<usize>() + 1,
        AnyValue::String(bytes) | AnyValue::Bytes(bytes) => bytes.len(),
        _ => 1,
    }
}

fuzz_target!(|request: &[u8]| {
    let counts = Signal::ALL.map(|signal| check(signal, request));
    let mut items = 0;
    let mut seen = 0;
    for resource in Request::new(request).resources() {
        seen += resource.shell().len() + resource.attributes().map(|pair| read(pair.value())).sum::<usize>();
        for scope in resource.scopes() {
            seen += scope.shell().len() + scope.name().len() + scope.version().len();
            for item in scope.items() {
                assert_eq!(request.get(item.range()), Some(item.bytes));
                let (record, span) = (item.log_record(), item.span());
                seen += record.body().map_or(0, read) + record.body_string().map_or(0, <[u8]>::len);
                seen += record.attributes().chain(span.attributes()).map(|pair| read(pair.value())).sum::<usize>();
                seen += usize::from(span.parent_span_id().is_some()) + span.events;
                items += 1;
            }
        }
    }
    // Each byte is part of at most one value at each of 32 levels, and is read in a few ways above.
    assert!(seen <= request.len() * 32 * 8, "{seen} of {}", request.len());
    for counts in counts.into_iter().take(2).flatten() {
        assert_eq!(counts.items, items);
    }
});
