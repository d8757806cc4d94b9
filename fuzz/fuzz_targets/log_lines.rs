//! Lines of every program behind heads and envelopes that lead a reader deep into its parser: no panic, whatever follows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use why502::read::evidence::Proof;
use why502::read::formats::{Reader, Reading};
use why502::read::paste::joiner::{Joiner, Pushed};
use why502::read::{SourceMemory, Wanted};

const ENVELOPES: [&str; 8] = [
    "",
    "2026-03-04T09:15:02.5Z stderr F ",
    "{\"log\":\"",
    "web-1  | ",
    "<134>Mar  4 09:15:02 web nginx: ",
    "<134>1 2026-03-04T09:15:02Z web nginx 411 - - ",
    "Mar 04 09:15:02 web gunicorn[300]: ",
    "\u{1b}[32m",
];
const HEADS: [&str; 10] = [
    "",
    "2026/03/04 09:15:02 [error] 411#411: *7 ",
    "2026/03/04 09:15:02 [error] 411#411: *7 connect() failed (111: ",
    "2026/03/04 09:15:02 [error] 411#411: *7 upstream prematurely closed connection while reading response header from upstream, client: ",
    "[2026-03-04 09:15:02 +0000] [300] [CRITICAL] ",
    "[2026-03-04 09:15:02 +0000] [300] [ERROR] Worker (pid:301) ",
    "Traceback (most recent call last):\n",
    "[Wed Mar  4 09:15:02 2026] Out of memory: ",
    "audit: type=1400 audit(1772615702.000:7): avc:  denied  ",
    "{\"level\":\"critical\",\"message\":\"",
];

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, rest) = input;
    let envelope = ENVELOPES.get(usize::from(choice) % ENVELOPES.len()).copied().unwrap_or_default();
    let head = HEADS.get(usize::from(choice) / ENVELOPES.len() % HEADS.len()).copied().unwrap_or_default();
    let mut text = format!("{envelope}{head}").into_bytes();
    text.extend_from_slice(rest);
    let (reader, wanted) = (Reader::default(), Wanted::default());
    let (mut memory, mut joiner) = (SourceMemory::default(), Joiner::default());
    let mut read = |record: &[u8]| {
        if let Reading::Proves(_, evidences) = reader.read(record, &mut memory, &wanted) {
            assert!(!evidences.is_empty(), "what proves something says what");
            for evidence in evidences {
                if let Proof::NginxAccess(access) = &evidence.proof {
                    assert!(access.attempts.len() <= record.len());
                }
            }
        }
        let _ = reader.describe(record);
    };
    // A record of a collector is one text; a file is read line by line, and wrapped records are joined.
    read(&text);
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let mut pushed = joiner.push(line, number as u64);
        if pushed == Pushed::Ended {
            let (record, first) = joiner.take().expect("what ended was kept");
            assert!(first < number as u64);
            read(record.as_bytes());
            pushed = joiner.push(line, number as u64);
        }
        assert_ne!(pushed, Pushed::Ended, "an empty joiner has nothing to end");
        if pushed == Pushed::Whole {
            read(line);
        }
    }
    if let Some((record, _)) = joiner.take() {
        read(record.as_bytes());
    }
});
