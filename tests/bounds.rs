//! What the engine keeps is bounded whatever comes in.

use why502::engine::place::Stream;
use why502::engine::verdict::Ticket;
use why502::engine::{Engine, Output, Record, Settings};
use why502::read::Wanted;
use why502::read::evidence::SECOND;
use why502::read::formats::{Reader, Reading, SourceMemory};

/// Requests that fail, some in each second; returns verdicts, and the most requests and records that were kept at once.
fn outage(settings: Settings, requests: u64, each_second: u64) -> (usize, usize, usize) {
    let reader = Reader::default();
    let mut memory = SourceMemory::default();
    let mut engine = Engine::new(settings);
    let (mut verdicts, mut kept, mut held) = (0, 0, 0);
    let mut count = |engine: &mut Engine| {
        while let Some(output) = engine.poll_output() {
            verdicts += usize::from(matches!(output, Output::Verdict(_)));
        }
    };
    let mut now = 0;
    for number in 0..requests {
        let second = number / each_second;
        let line = format!(
            r#"198.51.100.7 - - [04/Mar/2026:09:{:02}:{:02} +0000] "GET /p/{number} HTTP/1.1" 502 157 "-" "x""#,
            second / 60,
            second % 60
        );
        let Reading::Proves(_, evidences) = reader.read(line.as_bytes(), &mut memory, &Wanted::default()) else {
            panic!("{line}")
        };
        for evidence in evidences {
            now = evidence.stamp.map_or(now, |stamp| stamp.nanos);
            engine.handle_timeout(now);
            engine
                .handle_record(now, Record { ticket: Ticket(number), stream: Stream::alone(1), observed: 0, evidence });
        }
        count(&mut engine);
        kept = kept.max(engine.request_count());
        held = held.max(engine.held_count());
    }
    engine.finish(now);
    count(&mut engine);
    (verdicts, kept, held)
}

#[test]
fn requests_of_an_outage() {
    let settings = Settings { hold: 60 * SECOND, requests_max: 50, ..Settings::default() };
    let (verdicts, kept, held) = outage(settings, 3_000, 20);
    assert_eq!(verdicts, 3_000, "each failed request gets one verdict");
    assert!(kept <= 102 && held <= 51, "{kept} requests, {held} records");
    // Few enough to wait and to be remembered as long as they should.
    let settings = Settings { hold: 5 * SECOND, requests_max: 5_000, ..Settings::default() };
    let (verdicts, kept, held) = outage(settings, 3_000, 20);
    assert_eq!(verdicts, 3_000);
    assert!((1_250..=1_350).contains(&kept) && (90..=130).contains(&held), "{kept} requests, {held} records");
}
